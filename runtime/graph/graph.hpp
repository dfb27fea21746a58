// The tensor graph: an append-only list of op uses, and the variables that live across runs.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "runtime/graph/op.hpp"

namespace tessera {

// How a variable starts: N(mean, std) where std > 0, else mean everywhere. Counter-based: the same for every
// tiling.
struct Init {
  float mean = 0, std = 0;
};

struct TensorInfo {
  enum class Kind { input, variable, result };

  std::string name;
  TensorType type;
  Kind kind = Kind::result;
  int producer = -1;   // node, for results
  Init init = {};      // for variables
  int shadow_of = -1;  // the variable of which this variable is a copy in another dtype
};

struct Node {
  std::shared_ptr<const Op> op;
  std::vector<Tensor> in, out;
  std::string scope;     // "block3/attention": names the node's tasks in traces
  int backward_of = -1;  // the forward node whose gradient this computes
};

class Graph {
 public:
  Graph() = default;
  Graph(const Graph&) = delete;  // tensors point to their graph
  Graph& operator=(const Graph&) = delete;

  Tensor input(const std::string& name, const Shape& shape, DType dtype);
  Tensor variable(const std::string& name, const Shape& shape, DType dtype, Init init = {});
  // A copy of a variable in another dtype that the session keeps up to date; one per variable and dtype.
  Tensor shadow(Tensor variable, DType dtype);

  // Appends one use of an op.
  std::vector<Tensor> apply(std::shared_ptr<const Op> op, std::vector<Tensor> in);
  Tensor apply1(std::shared_ptr<const Op> op, std::vector<Tensor> in) {
    return apply(std::move(op), std::move(in))[0];
  }

  // Gradients of one f32 with respect to `wrt`, by reverse accumulation over the nodes so far, times `scale`
  // (by default the variable "loss_scale", 1 at first). A variable's gradient is also reached through its
  // shadows. Empty where the loss does not depend on it.
  std::vector<Tensor> grad(Tensor loss, std::span<const Tensor> wrt, Tensor scale = {});

  // Makes a tensor readable after a run: what it is where it stands in the graph, so a variable before its
  // updates.
  void fetch(Tensor tensor);

  const std::vector<Node>& nodes() const { return nodes_; }
  const std::vector<TensorInfo>& tensors() const { return tensors_; }
  const TensorInfo& info(Tensor tensor) const { return tensors_[static_cast<size_t>(tensor.id)]; }
  const std::vector<Tensor>& fetches() const { return fetches_; }
  Tensor tensor(int id) { return {this, id}; }
  Tensor find(const std::string& name);  // an input or a variable by name; empty where there is none

  // Names what is appended while it lives: Scope s(graph, "block3").
  class Scope {
   public:
    Scope(Graph& graph, const std::string& name);
    ~Scope();
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    Graph& graph_;
    size_t length_;
  };

 private:
  Tensor add_tensor(TensorInfo info);

  std::vector<Node> nodes_;
  std::vector<TensorInfo> tensors_;
  std::unordered_map<std::string, int> named_;  // inputs and variables
  std::vector<Tensor> fetches_;
  std::string scope_;
  int backward_of_ = -1;
};

// Sums two gradients of one tensor; an op like any other (codelets/add).
Tensor add(Tensor a, Tensor b);

}  // namespace tessera
