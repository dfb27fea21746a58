// What kernels are launched with on a device: one interface for OpenCL and CUDA.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/core/dtype.hpp"
#include "runtime/core/error.hpp"
#include "runtime/device/choices.hpp"
#include "runtime/plan/kernel.hpp"

namespace tessera {

enum class DeviceApi : uint8_t { opencl, cuda };

// A word of the compiler's command line: -DT=bf16, -DHEAD_DIM=64.
struct Define {
  const char* name;
  int64_t value;
  bool is_type = false;

  constexpr Define(const char* n, std::integral auto v) : name(n), value(static_cast<int64_t>(v)) {}
  constexpr Define(const char* n, DType type) : name(n), value(static_cast<int64_t>(type)), is_type(true) {}
  bool operator==(const Define&) const = default;
};

// One kernel of codelets/*/<op>_gpu.cl, compiled with these definitions when it is first launched.
struct DeviceKernel {
  static constexpr size_t max_defines = 10;

  std::string_view op, name;
  std::array<Define, max_defines> defines = filled({});
  size_t n_defines = 0;

  DeviceKernel(std::string_view o, std::string_view n, std::initializer_list<Define> d = {})
      : op(o), name(n), defines(filled(d)), n_defines(d.size()) {}
  std::string options() const;  // "-DT=bf16 -DHEAD_DIM=64"
  bool operator==(const DeviceKernel&) const = default;

 private:
  static constexpr std::array<Define, max_defines> filled(std::initializer_list<Define> d) {
    constexpr Define none{"", 0};
    std::array<Define, max_defines> all{none, none, none, none, none, none, none, none, none, none};
    for (size_t k = 0; k < d.size(); ++k) all[k] = d.begin()[k];
    return all;
  }
};

struct DeviceKernelHash {
  size_t operator()(const DeviceKernel& kernel) const;
};

// Groups of items that share local memory and barriers.
struct Grid {
  std::array<int64_t, 3> groups{1, 1, 1};
  std::array<int, 2> items{64, 1};
  // Where groups of any size do, elements in all, or in each row: then an item of a CPU has many of them.
  int64_t each = 0, in_row = 0;
};

// An item for each of n elements, for kernels written with FOR_EACH; of rows × cols, with FOR_EACH_IN_ROWS.
Grid for_each(int64_t n);
Grid for_each_in_rows(int64_t rows, int64_t cols);

// The same for kernels written with EACH_WIDE and EACH_WIDE_IN_ROWS, whose items have eight neighbours.
Grid for_each_wide(int64_t n);
Grid for_each_wide_in_rows(int64_t rows, int64_t cols);

// The same for a CPU: an item has a run of elements, or a row of them, enough to be worth its start and a few
// for each core. Other grids stay as they are.
Grid in_runs(const Grid& grid, int cores);

// One argument: a device address, or a number. What follows a shorter number is no zero, so that a kernel
// that takes a wider one does not happen to work.
struct LaunchArg {
  static constexpr std::byte filler{0xa5};
  enum class Kind : uint8_t { memory, value };
  Kind kind;
  uint8_t bytes = 0;  // of a value
  alignas(8) std::array<std::byte, 8> value = [] {
    std::array<std::byte, 8> all;
    all.fill(filler);
    return all;
  }();

  LaunchArg(const TileView& tile) : LaunchArg(tile.data) {}  // NOLINT(google-explicit-constructor)
  LaunchArg(const void* memory) : kind(Kind::memory) {       // NOLINT(google-explicit-constructor)
    std::memcpy(value.data(), static_cast<const void*>(&memory), sizeof memory);
  }
  template <class V>
    requires std::is_arithmetic_v<V> && (!std::same_as<V, bool>)
  LaunchArg(V v) : kind(Kind::value), bytes(sizeof v) {  // NOLINT(google-explicit-constructor)
    std::memcpy(value.data(), &v, sizeof v);
  }
  void* memory() const {
    void* p;
    std::memcpy(static_cast<void*>(&p), value.data(), sizeof p);
    return p;
  }
};

// A rectangle of bytes inside a matrix: where it begins, and how far its rows lie apart.
struct Region {
  void* memory = nullptr;
  int64_t offset = 0, pitch = 0;
};

// What launches choose kernels and the sizes of groups by; never the shape of a sum.
struct DeviceTraits {
  bool is_cpu = false;  // an OpenCL device that is one
  int compute_units = 1;
  int64_t local_bytes = 32 << 10;  // what a group may have
  bool matrix_units = false;       // those of runtime/device/matrix_units.h
};

// In-order work of one device worker. Addresses are the device's own (CUDA pointers, OpenCL memory objects),
// so offsets into them are arguments of kernels. Nothing here waits for the device, except where it says so.
class DeviceQueue {
 public:
  virtual ~DeviceQueue() = default;
  virtual DeviceApi api() const = 0;
  virtual std::string device_name() const = 0;
  virtual std::string kind() const { return device_name(); }  // all that decides how fast it is
  // What bits depend on: the device's model and what compiles and computes for it, with versions.
  virtual std::string numerics() const { return device_name(); }
  virtual DeviceTraits traits() const { return {}; }
  virtual void* native() const { return nullptr; }  // the cl_command_queue or cudaStream_t, for libraries

  template <class... Args>
  void launch(const DeviceKernel& kernel, const Grid& grid, const Args&... args) {
    const std::array<LaunchArg, sizeof...(Args)> list{LaunchArg(args)...};
    launch_kernel(kernel, grid, list);
  }
  virtual void launch_kernel(const DeviceKernel& kernel, const Grid& grid,
                             std::span<const LaunchArg> args) = 0;

  // rows × bytes between rectangles; they must not overlap.
  virtual void copy(const Region& to, const Region& from, int64_t rows, int64_t row_bytes) = 0;
  virtual void fill(void* memory, int64_t bytes, uint8_t value) = 0;

  // Device memory, and copies between it and the host; the copies wait until they are over.
  virtual void* allocate(size_t bytes) = 0;
  virtual void deallocate(void* memory) = 0;
  virtual void read(void* host, void* memory, size_t bytes) = 0;
  virtual void write(void* memory, const void* host, size_t bytes) = 0;
  virtual void finish() = 0;  // waits for all that was launched

  // The same without more waiting than the device needs: for launches from now on, of host memory that stays
  // as it is until they are done; and of what nothing that was launched still writes, by one thread at a
  // time.
  virtual void upload(void* memory, const void* host, size_t bytes) { write(memory, host, bytes); }
  virtual void download(void* host, void* memory, size_t bytes) { read(host, memory, bytes); }

  // Whether the device computes in the host's own memory, so that host memory can be lent to it: whole pages,
  // by any thread. What lend() makes is an address for launches, to be given to deallocate() later.
  virtual bool in_host_memory() { return false; }
  virtual void* lend(void* /*host*/, size_t /*bytes*/) { throw failure("{} has memory of its own", kind()); }

  // Device memory for the running task; the queue takes it back when the task's work is done.
  virtual void* scratch_bytes(size_t bytes) = 0;
  template <class T>
  void* scratch(int64_t count) {
    return scratch_bytes(static_cast<size_t>(count) * sizeof(T));
  }

  // Where kernels report bad data: i32 {row + 1, value}, 0 at first. After the task a row that is there makes
  // a Failure of `what` with {row} and {value} filled in: "the id of row {row} is {value}, beyond the table".
  virtual void* fault(std::string what) = 0;

  // A matrix product by the vendor's library; false where it has none, or not for this one, and then nothing
  // was launched. Its bias lies on the device as well.
  virtual bool library_gemm(const struct Gemm& shape, const struct GemmOperands& operands) = 0;

  // Around the launches of a task, also of one that failed meanwhile. Where the queue is synchronous,
  // end_task waits and throws Failure for what went wrong on the device; else task_done does, called once for
  // every end_task, in their order, when the device is through with the task.
  virtual void end_task() = 0;
  virtual void task_done() {}

  ChoiceBook& choices() { return choices_; }

 private:
  ChoiceBook choices_;
};

// What a kernel that does not compile throws: the message names op, kernel, device and the compiler's line.
struct CompileFailure : Failure {
  using Failure::Failure;
};

std::string fault_text(std::string what, int row, int value);  // of fault()'s text and what was reported

}  // namespace tessera
