// Recomputation: activations of a block (or of its attention) are built again in the backward pass, not kept.
// SPDX-License-Identifier: Apache-2.0
//
// Chen et al., "Training deep nets with sublinear memory cost", 2016. The same ops on the same inputs: the
// same bits.
#include <map>

#include "runtime/plan/passes.hpp"

namespace tessera {
namespace {

// The part of the model that is recomputed as one: "block3" or "block3/attention"; empty where nothing is.
std::string region_of(const Node& node, Recompute what) {
  if (what == Recompute::block) {
    const size_t at = node.scope.find("block");
    if (at == std::string::npos) return {};
    return node.scope.substr(0, node.scope.find('/', at));
  }
  const size_t at = node.scope.find("/attention");
  return at == std::string::npos ? std::string() : node.scope.substr(0, at + 10);
}

}  // namespace

void recompute(Program& program, Recompute what) {
  if (what == Recompute::none) return;
  std::map<std::string, std::vector<Node>> forward;
  for (const Node& node : program.nodes)
    if (std::string region = region_of(node, what); node.backward_of < 0 && !region.empty())
      forward[region].push_back(node);

  std::vector<Node> nodes;
  std::map<int, int> again;  // tensor -> its second computation
  for (const Node& node : program.nodes) {
    const std::string region = region_of(node, what);
    if (node.backward_of >= 0) {
      auto found = forward.find(region);
      if (found != forward.end()) {
        for (Node copy : found->second) {
          for (Tensor& in : copy.in)
            if (auto it = again.find(in.id); it != again.end()) in.id = it->second;
          for (Tensor& out : copy.out) {
            TensorInfo info = program.tensors[static_cast<size_t>(out.id)];
            info.producer = -1;
            again[out.id] = static_cast<int>(program.tensors.size());
            program.tensors.push_back(std::move(info));
            out.id = static_cast<int>(program.tensors.size()) - 1;
          }
          nodes.push_back(std::move(copy));
        }
        forward.erase(found);
      }
    }
    nodes.push_back(node);
    if (node.backward_of >= 0)
      for (Tensor& in : nodes.back().in)
        if (auto it = again.find(in.id); it != again.end()) in.id = it->second;
  }
  program.nodes = std::move(nodes);
  prune(program);
}

}  // namespace tessera
