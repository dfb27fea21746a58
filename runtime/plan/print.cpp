// Programs and plans as text.
// SPDX-License-Identifier: Apache-2.0
#include "runtime/plan/print.hpp"

#include <fmt/ranges.h>

#include <map>

namespace tessera {
namespace {

std::string name_of_tensor(const Program& program, int id) {
  const TensorInfo& info = program.tensors[static_cast<size_t>(id)];
  return info.kind == TensorInfo::Kind::result ? fmt::format("t{}", id) : info.name;
}

// Names of tiles: of their tensor, with the place in its grid where it has several; temporaries by number.
class TileNames {
 public:
  explicit TileNames(const Plan& plan) : plan_(plan) {
    for (size_t id = 0; id < plan.grid.size(); ++id) {
      const std::vector<TileId>& tiles = plan.grid[id];
      size_t cols = 0;
      while (cols < tiles.size() && tile(tiles[cols]).row0 == tile(tiles[0]).row0) ++cols;
      const bool matrix = plan.program.tensors[id].type.shape.rank() == 2;
      for (size_t k = 0; k < tiles.size(); ++k) {
        std::string name = name_of_tensor(plan.program, static_cast<int>(id));
        if (tiles.size() > 1)
          name += matrix ? fmt::format("[{},{}]", k / cols, k % cols) : fmt::format("[{}]", k);
        known_.emplace(tiles[k], std::move(name));  // the first tensor keeps what others take over
      }
    }
    for (size_t k = 0; k < plan.fetched.size(); ++k)  // copies of variables; others have their names
      for (TileId id : plan.fetched[k])
        known_.emplace(id, "fetch " + name_of_tensor(plan.program, plan.program.fetches[k]));
  }

  std::string operator()(TileId id) {
    auto [at, fresh] = known_.emplace(id, "");
    if (fresh) at->second = fmt::format("tmp{}", n_temporaries_++);
    if (tile(id).residence == Residence::scratch) return at->second + "~";
    const bool shared = tile(id).residence == Residence::intermediate && tile(id).buffer >= 0;
    return shared ? fmt::format("{}@{}", at->second, tile(id).buffer) : at->second;
  }

 private:
  const Tile& tile(TileId id) const { return plan_.tiles[static_cast<size_t>(id)]; }

  const Plan& plan_;
  std::map<TileId, std::string> known_;
  int n_temporaries_ = 0;
};

std::string to_text(const Stage& stage, TileNames& names) {
  std::vector<std::string> in, out;
  std::string arrow = ">";
  for (const Access& access : stage.accesses) {
    (access.mode == Mode::read ? in : out).push_back(names(access.tile));
    if (access.mode == Mode::update) arrow = "+>";
  }
  const std::string_view kernel = stage.kernel ? stage.kernel->name : "external";
  return fmt::format("{}({}) {} {}", kernel, fmt::join(in, ", "), arrow, fmt::join(out, ", "));
}

}  // namespace

std::string to_text(const Program& program) {
  std::string text;
  for (const Node& node : program.nodes) {
    std::vector<std::string> in, out;
    for (Tensor tensor : node.in) in.push_back(name_of_tensor(program, tensor.id));
    for (size_t k = 0; k < node.out.size(); ++k) {
      out.push_back(name_of_tensor(program, node.out[k].id));
      if (int source = node.op->alias(static_cast<int>(k)); source >= 0)
        out.back() += " in " + in[static_cast<size_t>(source)];
    }
    text +=
        fmt::format("{} = {}{}{}({}){}\n", fmt::join(out, ", "), node.scope, node.scope.empty() ? "" : "/",
                    node.op->name(), fmt::join(in, ", "), node.backward_of >= 0 ? " backward" : "");
  }
  for (int id : program.fetches) text += fmt::format("fetch {}\n", name_of_tensor(program, id));
  return text;
}

std::string to_text(const Plan& plan) {
  TileNames names(plan);
  std::string text;
  const bool parts = !plan.tasks.empty() && plan.tasks.back().micro_batch > 0;
  int part = -1;
  for (size_t t = 0; t < plan.tasks.size(); ++t) {
    const Task& task = plan.tasks[t];
    if (parts && task.micro_batch != part) text += fmt::format("micro-batch {}:\n", part = task.micro_batch);
    std::vector<std::string> stages;
    for (const Stage& stage : task.stages) stages.push_back(to_text(stage, names));
    text += fmt::format("{}: {}", t, fmt::join(stages, "; "));
    if (!task.next.empty()) text += fmt::format("  before {}", fmt::join(task.next, " "));
    if (!task.next_step.empty()) text += fmt::format("  next step {}", fmt::join(task.next_step, " "));
    text += '\n';
  }
  return text;
}

}  // namespace tessera
