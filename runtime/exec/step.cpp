// What goes into a step and what comes out: feeds and fetches.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>

#include "runtime/core/error.hpp"
#include "runtime/core/f16.hpp"
#include "runtime/exec/executor_set.hpp"

namespace tessera {

namespace {

const Feed* feed_of(std::span<const Feed> feeds, size_t tensor) {
  auto found = std::find_if(feeds.begin(), feeds.end(),
                            [&](const Feed& f) { return f.tensor.id == static_cast<int>(tensor); });
  return found == feeds.end() ? nullptr : &*found;
}

}  // namespace

// Before anything is started, so that a mistake leaves the executor as it was.
void Executor::check_feeds(std::span<const Feed> feeds) const {
  for (const Feed& feed : feeds) {
    if (!feed.tensor || feed.tensor.graph != plan_.program.graph)
      throw error("run: a fed tensor is empty or belongs to another graph than the plan");
    const TensorInfo& info = plan_.program.tensors[static_cast<size_t>(feed.tensor.id)];
    if (info.kind != TensorInfo::Kind::input) throw error("run: '{}' is fed, but it is no input", info.name);
    if (static_cast<int64_t>(feed.bytes) != info.type.bytes())
      throw error("run: input '{}' is {} of {} ({} bytes), not {} bytes", info.name,
                  to_string(info.type.shape), name_of(info.type.dtype), info.type.bytes(), feed.bytes);
    if (feed.dtype && *feed.dtype != info.type.dtype)
      throw error("run: input '{}' is {}, not {}", info.name, name_of(info.type.dtype), name_of(*feed.dtype));
  }
  for (size_t id = 0; id < plan_.program.tensors.size(); ++id)
    if (const TensorInfo& info = plan_.program.tensors[id];
        info.kind == TensorInfo::Kind::input && !plan_.grid[id].empty() && !feed_of(feeds, id))
      throw error("run: input '{}' is not fed", info.name);
}

void Executor::check_kinds(const std::string& wanted) const {
  if (wanted.empty()) return;
  if (wanted.size() != plan_.tasks.size())
    throw error("run: kinds of workers for {} tasks; the plan has {}", wanted.size(), plan_.tasks.size());
  std::vector<char> drives_device(kinds_.names.size(), 0);
  for (size_t w = 0; w < kinds_.of.size(); ++w)
    drives_device[static_cast<size_t>(kinds_.of[w])] =
        session_.engine().queue(static_cast<int>(w)) != nullptr;
  for (size_t t = 0; t < wanted.size(); ++t) {
    if (plan_.tasks[t].external()) continue;
    const auto kind = static_cast<size_t>(wanted[t] - 'a');
    if (kind >= kinds_.names.size())
      throw error("run: {} is to run on kind '{}', which is none of the workers'", plan_.tasks[t].label,
                  wanted[t]);
    if (drives_device[kind] && !on_device_[t])
      throw error("run: {} is to run on {}, which cannot", plan_.tasks[t].label, kinds_.names[kind]);
  }
}

void Executor::feed(Set& set, std::span<const Feed> feeds) {
  for (size_t id = 0; id < plan_.program.tensors.size(); ++id) {
    const TensorInfo& info = plan_.program.tensors[id];
    if (info.kind != TensorInfo::Kind::input || plan_.grid[id].empty()) continue;
    const Feed* found = feed_of(feeds, id);
    const Shape& shape = info.type.shape;
    std::vector<HostTile> tiles;
    for (TileId tile : plan_.grid[id]) {
      const auto buffer = static_cast<size_t>(plan_.tiles[static_cast<size_t>(tile)].buffer);
      tiles.push_back({set.buffers[buffer], set.data[buffer]});
    }
    scatter({shape.rank() > 0 ? plan_.tiling.cuts(shape[0]) : Cuts(1),
             shape.rank() > 1 ? plan_.tiling.cuts(shape[1]) : Cuts(1),
             {}},
            info.type.dtype, found->data, session_.engine(), tiles);
  }
}

// Copies a finished step's fetches out of the set that a later one will use.
void Executor::collect(Set& set) {
  if (!set.result.outcome_ || set.result.outcome_->collected) return;
  set.result.outcome_->collected = true;
  set.result.outcome_->kinds = set.ran;
  for (size_t k = 0; k < plan_.fetched.size(); ++k) {
    const TensorInfo& info = plan_.program.tensors[static_cast<size_t>(plan_.program.fetches[k])];
    const Shape& shape = info.type.shape;
    std::vector<std::byte> whole(static_cast<size_t>(info.type.bytes()));
    std::vector<HostTile> tiles;
    for (TileId tile : plan_.fetched[k]) {
      const auto buffer = static_cast<size_t>(plan_.tiles[static_cast<size_t>(tile)].buffer);
      tiles.push_back({set.buffers[buffer], set.data[buffer]});
    }
    gather({shape.rank() > 0 ? plan_.tiling.cuts(shape[0]) : Cuts(1),
            shape.rank() > 1 ? plan_.tiling.cuts(shape[1]) : Cuts(1),
            {}},
           info.type.dtype, session_.engine(), tiles, whole.data());
    set.result.outcome_->values.push_back(std::move(whole));
  }
}

void Executor::Step::wait() const {
  executor_->wait_for(index_);
  if (executor_->failed_) {
    executor_->wait();
    std::rethrow_exception(executor_->problem_);
  }
  Set& set = *executor_->sets_[index_ % step_sets];
  if (set.step == index_) executor_->collect(set);
}

namespace {

template <class T, class S>
std::vector<T> converted(const std::vector<std::byte>& bytes) {
  std::vector<T> values(bytes.size() / sizeof(S));
  for (size_t i = 0; i < values.size(); ++i) {
    S stored;
    std::memcpy(&stored, bytes.data() + i * sizeof(S), sizeof(S));
    values[i] = static_cast<T>(stored);
  }
  return values;
}

// The fetch, and what it holds.
std::pair<size_t, DType> fetch_of(const Plan& plan, Tensor tensor) {
  if (!tensor || tensor.graph != plan.program.graph)
    throw error("get: the tensor is empty or belongs to another graph than the plan");
  const TensorInfo& info = plan.program.tensors[static_cast<size_t>(tensor.id)];
  const auto& fetches = plan.program.fetches;
  auto found = std::find(fetches.begin(), fetches.end(), tensor.id);
  if (found == fetches.end())
    throw error("get: '{}' is not fetched; call graph.fetch() before the plan is made", info.name);
  return {static_cast<size_t>(found - fetches.begin()), info.type.dtype};
}

}  // namespace

const std::string& Executor::Step::kinds() const {
  wait();
  return outcome_->kinds;
}

std::vector<float> Executor::Step::get(Tensor tensor) const {
  const auto [fetch, dtype] = fetch_of(executor_->plan_, tensor);
  wait();
  const std::vector<std::byte>& bytes = outcome_->values[fetch];
  switch (dtype) {
    case DType::f32:
      return converted<float, float>(bytes);
    case DType::bf16:
      return converted<float, bf16>(bytes);
    case DType::f16:
      return converted<float, f16>(bytes);
    case DType::i32:
      break;
  }
  return converted<float, int32_t>(bytes);
}

std::vector<int32_t> Executor::Step::get_i32(Tensor tensor) const {
  const auto [fetch, dtype] = fetch_of(executor_->plan_, tensor);
  if (dtype != DType::i32)
    throw error("get_i32: '{}' is {}", executor_->plan_.program.tensors[static_cast<size_t>(tensor.id)].name,
                name_of(dtype));
  wait();
  return converted<int32_t, int32_t>(outcome_->values[fetch]);
}

}  // namespace tessera
