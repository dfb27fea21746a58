// What the fake knows: memory between guards, and streams whose work is done when somebody waits for it.
// SPDX-License-Identifier: Apache-2.0
#include "tests/device/fake_cuda.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "tests/device/fake_tables.hpp"

namespace tessera {
namespace {

constexpr size_t guard = 256;
constexpr std::byte guarded{0x5c}, fresh{0xcd};

}  // namespace

FakeCuda* FakeCuda::active = nullptr;
thread_local int FakeCuda::current_device = 0;

FakeCuda::FakeCuda(int opencl_index) : device_(opencl_index) {
  active = this;
  runtime_ = FakeRuntime::table();
  nvrtc_ = FakeNvrtc::table();
  cublas_lt_ = FakeCublasLt::table();
  try {
    real_nvrtc_ = &cuda_api().nvrtc();
  } catch (const Failure&) {
    real_nvrtc_ = nullptr;  // the toolkit's library is not here
  }
}

FakeCuda::~FakeCuda() {
  for (auto& [_, allocation] : allocations_) device_.release(allocation.raw);
  active = nullptr;
}

int FakeCuda::enter(const char* call) {
  calls_.emplace_back(call);
  auto found = failing_.find(call);
  if (found == failing_.end()) return 0;
  const int status = found->second;
  failing_.erase(found);
  return status;
}

int FakeCuda::problem(const std::string& text, int status) {
  last_problem_ = fmt::format("{}: {}", calls_.empty() ? "" : calls_.back(), text);
  problems_.push_back(last_problem_);
  return status;
}

std::vector<std::string> FakeCuda::calls() const {
  std::lock_guard lock(mutex_);
  return calls_;
}
size_t FakeCuda::count(std::string_view call) const {
  std::lock_guard lock(mutex_);
  return static_cast<size_t>(std::count(calls_.begin(), calls_.end(), call));
}
std::vector<std::string> FakeCuda::problems() const {
  std::lock_guard lock(mutex_);
  return problems_;
}
std::string FakeCuda::live() const {
  std::lock_guard lock(mutex_);
  std::string text;
  for (const auto& [n, what] : {std::pair{allocations_.size(), "allocations"},
                                {streams_.size(), "streams"},
                                {programs_.size(), "programs"},
                                {libraries_.size(), "libraries"},
                                {objects_.size(), "objects of cuBLAS"}})
    if (n > 0) text += fmt::format("{}{} {}", text.empty() ? "" : ", ", n, what);
  return text;
}
size_t FakeCuda::pending() const {
  std::lock_guard lock(mutex_);
  size_t n = 0;
  for (const auto& [_, stream] : streams_) n += stream->work.size();
  return n;
}
void FakeCuda::fail_next(std::string_view call, int status) {
  std::lock_guard lock(mutex_);
  failing_.emplace(call, status);
}
void FakeCuda::forget() {
  std::lock_guard lock(mutex_);
  calls_.clear();
  problems_.clear();
  failing_.clear();
}

void FakeCuda::repair(void* memory) {
  std::lock_guard lock(mutex_);
  auto* at = static_cast<std::byte*>(memory);
  std::fill(at - guard, at, guarded);
  const size_t bytes = around(memory)->second.bytes;
  std::fill(at + bytes, at + bytes + guard, guarded);
}

void* FakeCuda::allocate(size_t bytes, bool on_host) {
  auto* raw = static_cast<std::byte*>(device_.allocate(bytes + 3 * guard));
  if (!raw) return nullptr;
  std::byte* memory = raw + guard;
  memory += (guard - reinterpret_cast<uintptr_t>(memory) % guard) % guard;
  std::fill(memory - guard, memory, guarded);
  std::fill(memory + bytes, memory + bytes + guard, guarded);
  std::fill(memory, memory + bytes, fresh);
  allocations_[reinterpret_cast<uintptr_t>(memory)] = {raw, bytes, on_host, current_device};
  return memory;
}

bool FakeCuda::release(void* memory) {
  auto found = allocations_.find(reinterpret_cast<uintptr_t>(memory));
  if (found == allocations_.end()) return false;
  if (!intact(memory)) problem("something was written beside this memory", 0);
  device_.release(found->second.raw);
  allocations_.erase(found);
  return true;
}

std::map<uintptr_t, FakeCuda::Allocation>::const_iterator FakeCuda::around(const void* p) const {
  const auto address = reinterpret_cast<uintptr_t>(p);
  auto next = allocations_.upper_bound(address);
  if (next == allocations_.begin()) return allocations_.end();
  auto found = std::prev(next);
  return address - found->first <= found->second.bytes ? found : allocations_.end();
}

bool FakeCuda::holds(const void* p, size_t bytes, bool or_host) const {
  auto found = around(p);
  if (found == allocations_.end()) return false;
  const Allocation& allocation = found->second;
  if (allocation.on_host ? !or_host : allocation.device != current_device) return false;
  return reinterpret_cast<uintptr_t>(p) - found->first + bytes <= allocation.bytes;
}

bool FakeCuda::intact(const void* p) const {
  auto found = around(p);
  if (found == allocations_.end()) return false;
  const auto* memory = reinterpret_cast<const std::byte*>(found->first);  // NOLINT(performance-no-int-to-ptr)
  const auto all = [](const std::byte* from) {
    return std::all_of(from, from + guard, [](std::byte b) { return b == guarded; });
  };
  return all(memory - guard) && all(memory + found->second.bytes);
}

FakeCuda::Stream* FakeCuda::stream_of(cudaStream_t stream) {
  auto found = streams_.find(stream);
  return found == streams_.end() ? nullptr : found->second.get();
}

void FakeCuda::drain(Stream& stream) {
  while (!stream.work.empty()) {
    const auto work = std::move(stream.work.front());
    stream.work.pop_front();
    work();
  }
}

void FakeCuda::drain_all() {
  for (auto& [_, stream] : streams_) drain(*stream);
}

cudaStream_t FakeCuda::new_stream(int device) {
  std::lock_guard lock(mutex_);
  auto made = std::make_unique<Stream>(Stream{device, {}});
  auto handle = reinterpret_cast<cudaStream_t>(made.get());
  streams_[handle] = std::move(made);
  return handle;
}

void FakeCuda::synchronize(cudaStream_t stream) {
  std::lock_guard lock(mutex_);
  drain(*streams_.at(stream));
}

}  // namespace tessera
