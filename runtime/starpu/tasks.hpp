// StarPU's tasks: what the executor prepares once and submits again in every step; private to this folder.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "runtime/exec/device_copies.hpp"
#include "runtime/starpu/policy.hpp"

namespace tessera {

enum starpu_data_access_mode starpu_mode(Mode mode);

// What all tasks have. StarPU keeps a pointer to the model until it shuts down, so it lives with the engine.
struct Codelet {
  starpu_perfmodel model{};
  starpu_codelet codelet{};
  bool goes_on = false;

  Codelet();
  void keep_to_kinds();  // a task that wants a kind of workers
  // A worker goes on with what its tasks made ready, without asking StarPU, to whose policy such a task
  // returns to the same worker anyway. For CPU workers in the main memory.
  void go_on();
  Codelet(const Codelet&) = delete;
  Codelet& operator=(const Codelet&) = delete;
};

// Buffers by their ids.
struct Buffers {
  std::vector<std::span<std::byte>> memory;
  std::vector<starpu_data_handle_t> handles;  // empty where StarPU moves nothing
  std::vector<void*> lent;                    // the memory as the device knows it that computes in it
  std::unique_ptr<DeviceCopies> copies;       // where there is one GPU
};

std::unique_ptr<TaskSet> make_starpu_tasks(const Codelet& codelet, const Timing& timing,
                                           const Buffers& buffers, const WorkerKinds& kinds,
                                           std::vector<EngineTask> tasks, TaskRunner& runner);

}  // namespace tessera
