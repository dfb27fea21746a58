// Reverse-mode differentiation on the tensor graph.
// SPDX-License-Identifier: Apache-2.0
#include "runtime/core/error.hpp"
#include "runtime/graph/graph.hpp"

namespace tessera {

namespace {

// Puts a value back, also when a gradient cannot be had.
template <class T>
class Restore {
 public:
  explicit Restore(T& value) : value_(value), before_(value) {}
  ~Restore() { value_ = std::move(before_); }
  Restore(const Restore&) = delete;
  Restore& operator=(const Restore&) = delete;

 private:
  T& value_;
  T before_;
};

// Which tensors depend on `wrt`, and so need a gradient on the way back; and which nodes have a part in it.
struct Needed {
  std::vector<char> tensors, nodes;

  Needed(const Graph& graph, std::span<const Tensor> wrt)
      : tensors(graph.tensors().size(), 0), nodes(graph.nodes().size(), 0) {
    for (Tensor tensor : wrt) tensors[static_cast<size_t>(tensor.id)] = 1;
    for (size_t id = 0; id < tensors.size(); ++id)
      if (int base = graph.tensors()[id].shadow_of; base >= 0 && tensors[static_cast<size_t>(base)])
        tensors[id] = 1;
    for (size_t n = 0; n < nodes.size(); ++n) {
      for (Tensor in : graph.nodes()[n].in) nodes[n] |= tensors[static_cast<size_t>(in.id)];
      for (Tensor out : graph.nodes()[n].out) tensors[static_cast<size_t>(out.id)] |= nodes[n];
    }
  }
};

}  // namespace

std::vector<Tensor> Graph::grad(Tensor loss, std::span<const Tensor> wrt, Tensor scale) {
  if (loss.graph != this) throw error("grad: the loss is empty or belongs to another graph");
  for (Tensor tensor : wrt)
    if (tensor.graph != this) throw error("grad: a tensor is empty or belongs to another graph");
  if (loss.shape().size() != 1 || loss.dtype() != DType::f32)
    throw error("grad: the loss is {} of {}, not one f32", to_string(loss.shape()), name_of(loss.dtype()));
  if (!scale) scale = find("loss_scale");
  if (!scale) scale = variable("loss_scale", loss.shape(), DType::f32, {.mean = 1});

  const Needed needed(*this, wrt);
  std::vector<Tensor> gradient(tensors_.size());
  gradient[static_cast<size_t>(loss.id)] = scale;
  auto contribute = [&](Tensor to, Tensor part) {
    Tensor& sum = gradient[static_cast<size_t>(to.id)];
    sum = sum ? add(sum, part) : part;
  };

  const Restore scope(scope_);
  const Restore backward(backward_of_);
  for (size_t n = nodes_.size(); n-- > 0;) {
    if (!needed.nodes[n]) continue;
    const Node node = nodes_[n];  // a copy: appending moves the list
    std::vector<Tensor> d_out;
    bool reached = false;
    for (Tensor out : node.out) {
      d_out.push_back(gradient[static_cast<size_t>(out.id)]);
      reached = reached || d_out.back();
    }
    if (!reached) continue;
    scope_ = node.scope;
    backward_of_ = static_cast<int>(n);
    const std::vector<Tensor> d_in = node.op->grad({node.in, node.out, d_out});
    for (size_t k = 0; k < node.in.size() && k < d_in.size(); ++k)
      if (d_in[k] && needed.tensors[static_cast<size_t>(node.in[k].id)]) contribute(node.in[k], d_in[k]);
  }
  for (size_t id = 0; id < gradient.size(); ++id)
    if (int base = tensors_[id].shadow_of; base >= 0 && gradient[id]) contribute(tensor(base), gradient[id]);

  std::vector<Tensor> result;
  for (Tensor tensor : wrt) result.push_back(gradient[static_cast<size_t>(tensor.id)]);
  return result;
}

}  // namespace tessera
