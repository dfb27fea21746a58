// Reverse-mode differentiation on the tensor graph.
// SPDX-License-Identifier: Apache-2.0
#include "runtime/core/error.hpp"
#include "runtime/graph/graph.hpp"

namespace tessera {

std::vector<Tensor> Graph::grad(Tensor loss, std::span<const Tensor> wrt, Tensor scale) {
  if (loss.shape().size() != 1) throw error("grad: the loss {} is not a scalar", to_string(loss.shape()));
  if (!scale) scale = find("loss_scale");
  if (!scale) scale = variable("loss_scale", loss.shape(), DType::f32, {.mean = 1});

  // Which tensors depend on `wrt`, and so need a gradient on the way back.
  std::vector<char> needed(tensors_.size(), 0);
  for (Tensor tensor : wrt) needed[static_cast<size_t>(tensor.id)] = 1;
  for (size_t id = 0; id < tensors_.size(); ++id)
    if (int base = tensors_[id].shadow_of; base >= 0 && needed[static_cast<size_t>(base)]) needed[id] = 1;
  for (const Node& node : nodes_) {
    bool depends = false;
    for (Tensor in : node.in) depends = depends || needed[static_cast<size_t>(in.id)];
    for (Tensor out : node.out) needed[static_cast<size_t>(out.id)] = depends;
  }

  std::vector<Tensor> gradient(tensors_.size());
  gradient[static_cast<size_t>(loss.id)] = scale;
  auto contribute = [&](Tensor to, Tensor part) {
    Tensor& sum = gradient[static_cast<size_t>(to.id)];
    sum = sum ? add(sum, part) : part;
  };

  const std::string outer = scope_;
  for (size_t n = nodes_.size(); n-- > 0;) {
    const Node node = nodes_[n];  // a copy: appending moves the list
    if (!needed[static_cast<size_t>(node.out[0].id)]) continue;
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
    for (size_t k = 0; k < node.in.size(); ++k)
      if (k < d_in.size() && d_in[k] && needed[static_cast<size_t>(node.in[k].id)])
        contribute(node.in[k], d_in[k]);
  }

  std::vector<Tensor> result;
  for (Tensor tensor : wrt) {
    for (size_t id = 0; id < needed.size(); ++id)
      if (tensors_[id].shadow_of == tensor.id && gradient[id]) contribute(tensor, gradient[id]);
    result.push_back(gradient[static_cast<size_t>(tensor.id)]);
  }
  scope_ = outer;
  backward_of_ = -1;
  return result;
}

}  // namespace tessera
