// The tensor graph: appending inputs, variables and ops.
// SPDX-License-Identifier: Apache-2.0
#include "runtime/graph/graph.hpp"

#include <algorithm>

#include "runtime/core/error.hpp"

namespace tessera {

const TensorType& Tensor::type() const { return graph->info(*this).type; }
const Shape& Tensor::shape() const { return type().shape; }
DType Tensor::dtype() const { return type().dtype; }
const std::string& Tensor::name() const { return graph->info(*this).name; }

std::vector<Tensor> Op::grad(const GradArgs& args) const {
  std::string inputs;
  for (Tensor in : args.in) inputs += fmt::format("{}{}", inputs.empty() ? "" : ", ", to_string(in.shape()));
  throw error("{}({}): has no gradient", name(), inputs);
}

Tensor Graph::add_tensor(TensorInfo info) {
  const int id = static_cast<int>(tensors_.size());
  if (info.kind != TensorInfo::Kind::result) named_.emplace(info.name, id);
  tensors_.push_back(std::move(info));
  return {this, id};
}

Tensor Graph::input(const std::string& name, const Shape& shape, DType dtype) {
  if (find(name)) throw error("the graph already has an input or variable named '{}'", name);
  return add_tensor({.name = name, .type = {shape, dtype}, .kind = TensorInfo::Kind::input});
}

Tensor Graph::variable(const std::string& name, const Shape& shape, DType dtype, Init init) {
  if (find(name)) throw error("the graph already has an input or variable named '{}'", name);
  return add_tensor({.name = name, .type = {shape, dtype}, .kind = TensorInfo::Kind::variable, .init = init});
}

Tensor Graph::shadow(Tensor variable, DType dtype) {
  if (info(variable).kind != TensorInfo::Kind::variable)
    throw error("shadow: '{}' is not a variable", variable.name());
  if (variable.dtype() == dtype) return variable;
  const std::string name = fmt::format("{}:{}", variable.name(), name_of(dtype));
  if (Tensor known = find(name)) return known;
  return add_tensor({.name = name,
                     .type = {variable.shape(), dtype},
                     .kind = TensorInfo::Kind::variable,
                     .shadow_of = variable.id});
}

std::vector<Tensor> Graph::apply(std::shared_ptr<const Op> op, std::vector<Tensor> in) {
  std::vector<TensorType> types;
  for (Tensor tensor : in) {
    if (tensor.graph != this) throw error("{}: an input is empty or belongs to another graph", op->name());
    types.push_back(tensor.type());
  }
  const std::vector<TensorType> results = op->infer(types);
  const int node = static_cast<int>(nodes_.size());
  std::vector<Tensor> out;
  for (const TensorType& type : results) {
    std::string name = scope_.empty() ? std::string(op->name()) : scope_ + "/" + std::string(op->name());
    out.push_back(add_tensor({.name = std::move(name), .type = type, .producer = node}));
  }
  nodes_.push_back({std::move(op), std::move(in), out, scope_, backward_of_});
  return out;
}

void Graph::fetch(Tensor tensor) {
  if (std::find(fetches_.begin(), fetches_.end(), tensor) == fetches_.end()) fetches_.push_back(tensor);
}

Tensor Graph::find(const std::string& name) {
  const auto found = named_.find(name);
  return found == named_.end() ? Tensor() : Tensor{this, found->second};
}

Graph::Scope::Scope(Graph& graph, const std::string& name) : graph_(graph), length_(graph.scope_.size()) {
  if (!graph_.scope_.empty()) graph_.scope_ += '/';
  graph_.scope_ += name;
}

Graph::Scope::~Scope() { graph_.scope_.resize(length_); }

}  // namespace tessera
