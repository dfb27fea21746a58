// Runs a graph once on threads, for tests that compare what plans compute.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>
#include <vector>

#include "runtime/core/philox.hpp"
#include "runtime/exec/executor.hpp"

namespace tessera::testing_ops {

// Values in [-1, 1) that depend on the name and the element alone.
inline std::vector<float> values_for(const std::string& name, int64_t count) {
  uint32_t key = 0;
  for (char letter : name) key = key * 31 + static_cast<unsigned char>(letter);
  std::vector<float> values(static_cast<size_t>(count));
  for (size_t i = 0; i < values.size(); ++i)
    values[i] = 2 * unit_float(philox({static_cast<uint32_t>(i), key, 0, 0}, {1, 2})[0]) - 1;
  return values;
}

// What all fetches hold after `steps` steps; inputs and variables that start at zero get values_for their
// names.
inline std::vector<std::vector<float>> run_graph(Graph& graph, const PlanOptions& options, int steps = 1,
                                                 const ExecutorOptions& how = {.poison = true}) {
  Session session({.engine = "threads", .workers = 1});
  Executor executor(session, make_plan(graph, options), how);
  for (const TensorInfo& info : graph.tensors())
    if (info.kind == TensorInfo::Kind::variable && info.init.mean == 0 && info.shadow_of < 0 &&
        session.has(info.name))
      session.set(info.name, values_for(info.name, info.type.shape.size()));
  std::map<int, std::vector<float>> inputs;
  std::vector<Feed> feeds;
  for (size_t id = 0; id < graph.tensors().size(); ++id)
    if (const TensorInfo& info = graph.tensors()[id]; info.kind == TensorInfo::Kind::input) {
      auto& values = inputs[static_cast<int>(id)] = values_for(info.name, info.type.shape.size());
      feeds.emplace_back(graph.tensor(static_cast<int>(id)), values);
    }
  Executor::Step last;
  for (int step = 0; step < steps; ++step) last = executor.run(feeds);
  std::vector<std::vector<float>> fetched;
  for (Tensor tensor : graph.fetches()) fetched.push_back(last.get(tensor));
  return fetched;
}

}  // namespace tessera::testing_ops
