// Recomputation: activations of a block (or of its attention) are built again in the backward pass, not kept.
// SPDX-License-Identifier: Apache-2.0
//
// Chen et al., "Training deep nets with sublinear memory cost", 2016. The same ops on the same inputs: the
// same bits.
#include <algorithm>
#include <map>
#include <numeric>

#include "runtime/plan/passes.hpp"

namespace tessera {
namespace {

// The part of the model that is recomputed as one: "block3" or "block3/attention"; empty where nothing is.
std::string region_of(const Node& node, Recompute what) {
  std::string_view scope = node.scope;
  for (size_t from = 0; from < scope.size();) {
    const size_t to = std::min(scope.find('/', from), scope.size());
    const std::string_view part = scope.substr(from, to - from);
    if (what == Recompute::block ? part.starts_with("block") : part == "attention")
      return std::string(scope.substr(0, to));
    from = to + 1;
  }
  return {};
}

class Recomputation {
 public:
  Recomputation(Program& program, Recompute what)
      : program_(program),
        what_(what),
        storage_(program.tensors.size()),
        updates_(program.tensors.size(), 0) {
    std::iota(storage_.begin(), storage_.end(), 0);
  }

  void run() {
    for (const Node& node : program_.nodes) {
      const std::string region = region_of(node, what_);
      auto found = forward_.find(region);
      if (node.backward_of >= 0 && found != forward_.end()) {
        repeat(found->second);
        forward_.erase(found);
      }
      if (node.backward_of < 0 && !region.empty()) remember(node, region);
      nodes_.push_back(node);
      if (node.backward_of >= 0) replace(nodes_.back().in);
      for (size_t k = 0; k < node.out.size(); ++k)
        if (int source = node.op->alias(static_cast<int>(k)); source >= 0) {
          const int storage = storage_of(node.in[static_cast<size_t>(source)]);
          storage_[static_cast<size_t>(node.out[k].id)] = storage;
          ++updates_[static_cast<size_t>(storage)];
        }
    }
    program_.nodes = std::move(nodes_);
    prune(program_);
  }

 private:
  struct Part {
    std::vector<Node> nodes;
    std::vector<std::pair<int, int>> reads;  // storage and how often it had been updated
    bool in_place = false;
  };

  int storage_of(Tensor tensor) const { return storage_[static_cast<size_t>(tensor.id)]; }

  void replace(std::vector<Tensor>& tensors) const {
    for (Tensor& tensor : tensors)
      if (auto it = again_.find(tensor.id); it != again_.end()) tensor.id = it->second;
  }

  void remember(const Node& node, const std::string& region) {
    Part& part = forward_[region];
    part.nodes.push_back(node);
    for (Tensor in : node.in)
      part.reads.emplace_back(storage_of(in), updates_[static_cast<size_t>(storage_of(in))]);
    for (size_t k = 0; k < node.out.size(); ++k)
      part.in_place = part.in_place || node.op->alias(static_cast<int>(k)) >= 0;
  }

  // What updates something, or reads what was updated since, would not give the same again: it stays kept.
  void repeat(const Part& part) {
    bool changed = part.in_place;
    for (auto [storage, count] : part.reads)
      changed = changed || updates_[static_cast<size_t>(storage)] != count;
    if (changed) return;
    for (Node copy : part.nodes) {
      replace(copy.in);
      for (Tensor& out : copy.out) {
        TensorInfo info = program_.tensors[static_cast<size_t>(out.id)];
        const int id = static_cast<int>(program_.tensors.size());
        program_.tensors.push_back(std::move(info));
        storage_.push_back(id);
        updates_.push_back(0);
        again_[out.id] = id;
        out.id = id;
      }
      nodes_.push_back(std::move(copy));
    }
  }

  Program& program_;
  Recompute what_;
  std::vector<int> storage_;  // per tensor: the one whose storage it is in
  std::vector<int> updates_;  // per storage: updates in place so far
  std::map<std::string, Part> forward_;
  std::map<int, int> again_;  // tensor -> its second computation
  std::vector<Node> nodes_;
};

}  // namespace

void recompute(Program& program, Recompute what) {
  if (what != Recompute::none) Recomputation(program, what).run();
}

}  // namespace tessera
