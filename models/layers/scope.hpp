// Where a layer's parameters live, and in which dtype it computes.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "runtime/graph/graph.hpp"

namespace tessera {

// A trained variable; weight decay is for matrices only.
struct Parameter {
  Tensor variable;
  bool decay = false;
};

// What layers of one model share while they are built.
struct ModelParts {
  Graph& graph;
  DType dtype = DType::f32;  // of activations and of the matrices' shadows; parameters themselves are f32
  std::vector<Parameter> parameters = {};
};

// "block3/attention" of a model: names parameters, and the tasks of what is appended under Graph::Scope.
class Scope {
 public:
  explicit Scope(ModelParts& parts, std::string name = {}) : parts_(&parts), name_(std::move(name)) {}
  Scope operator/(const std::string& part) const {
    return Scope(*parts_, name_.empty() ? part : name_ + "/" + part);
  }

  Tensor parameter(const std::string& name, const Shape& shape, Init init) const {
    const Tensor made = graph().variable(name_ + "." + name, shape, DType::f32, init);
    parts_->parameters.push_back({made, shape.rank() == 2});
    return made;
  }
  // The parameter as activations are computed with it.
  Tensor used(Tensor parameter) const { return graph().shadow(parameter, parts_->dtype); }

  Graph& graph() const { return parts_->graph; }
  const std::string& name() const { return name_; }

 private:
  ModelParts* parts_;
  std::string name_;
};

}  // namespace tessera
