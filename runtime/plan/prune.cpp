// Pruning: op uses that reach neither a fetch nor a variable's update are dropped.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "runtime/plan/passes.hpp"

namespace tessera {

void prune(Program& program) {
  std::vector<char> live(program.tensors.size(), 0);
  for (int id : program.fetches) live[static_cast<size_t>(id)] = 1;

  // The variable whose storage a tensor is, through any chain of in-place ops; or -1.
  std::vector<int> variable(program.tensors.size(), -1);
  for (size_t id = 0; id < program.tensors.size(); ++id)
    if (program.tensors[id].kind == TensorInfo::Kind::variable) variable[id] = static_cast<int>(id);
  for (const Node& node : program.nodes)
    for (size_t k = 0; k < node.out.size(); ++k)
      if (int source = node.op->alias(static_cast<int>(k)); source >= 0)
        variable[static_cast<size_t>(node.out[k].id)] =
            variable[static_cast<size_t>(node.in[static_cast<size_t>(source)].id)];

  std::vector<Node> kept;
  for (size_t n = program.nodes.size(); n-- > 0;) {
    Node& node = program.nodes[n];
    const bool needed = std::any_of(node.out.begin(), node.out.end(), [&](Tensor out) {
      return live[static_cast<size_t>(out.id)] || variable[static_cast<size_t>(out.id)] >= 0;
    });
    if (!needed) continue;
    for (Tensor in : node.in) live[static_cast<size_t>(in.id)] = 1;
    kept.push_back(std::move(node));
  }
  std::reverse(kept.begin(), kept.end());
  program.nodes = std::move(kept);
}

}  // namespace tessera
