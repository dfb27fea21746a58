// Kinds of workers, and what was chosen on them.
// SPDX-License-Identifier: Apache-2.0
#include "runtime/exec/kinds.hpp"

#include <hwy/targets.h>

#include <algorithm>

#include "codelets/matmul/gemm.hpp"
#include "runtime/core/error.hpp"
#include "runtime/core/machine.hpp"
#include "runtime/exec/engine.hpp"

namespace tessera {

int WorkerKinds::find(std::string_view name) const {
  const auto found = std::find(names.begin(), names.end(), name);
  return found == names.end() ? any_kind : static_cast<int>(found - names.begin());
}

std::string cpu_numerics() {
  const int64_t target = hwy::SupportedAndGeneratedTargets().front();  // the best one
  return fmt::format("cpu {}, {}, {}, Tessera {}", Machine::here().cpu, hwy::TargetName(target),
                     gemm_library(), TESSERA_VERSION);
}

WorkerKinds kinds_of(Engine& engine) {
  WorkerKinds kinds;
  for (int worker = 0; worker < engine.workers(); ++worker) {
    const DeviceQueue* queue = engine.queue(worker);
    const std::string name =
        queue ? fmt::format("{}, Tessera {}", queue->numerics(), TESSERA_VERSION) : cpu_numerics();
    if (kinds.find(name) == any_kind) kinds.names.push_back(name);
    kinds.of.push_back(kinds.find(name));
  }
  if (kinds.names.size() > most_kinds)
    throw error("{} kinds of workers: at most {} go together", kinds.names.size(), most_kinds);
  return kinds;
}

namespace {

// f(queue, name of its kind)
template <class F>
void for_each_queue(Engine& engine, F f) {
  const WorkerKinds& kinds = engine.kinds();
  for (int worker = 0; worker < engine.workers(); ++worker)
    if (DeviceQueue* queue = engine.queue(worker))
      f(*queue, kinds.names[static_cast<size_t>(kinds.of[static_cast<size_t>(worker)])]);
}

}  // namespace

ChoicesByKind choices_of(Engine& engine) {
  ChoicesByKind all;
  for_each_queue(engine, [&](DeviceQueue& queue, const std::string& kind) {
    if (Choices its = queue.choices().all(); !its.empty()) all[kind].merge(its);
  });
  return all;
}

size_t count_choices(Engine& engine) {
  size_t count = 0;
  for_each_queue(engine, [&](DeviceQueue& queue, const std::string&) { count += queue.choices().size(); });
  return count;
}

void use_choices(Engine& engine, const ChoicesByKind& recorded) {
  for_each_queue(engine, [&](DeviceQueue& queue, const std::string& kind) {
    if (const auto its = recorded.find(kind); its != recorded.end()) queue.choices().add(its->second);
  });
}

}  // namespace tessera
