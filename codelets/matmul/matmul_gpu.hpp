// The matrix product on devices, below the op: its kernel, and the sizes it is compiled for.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <functional>
#include <vector>

#include "codelets/matmul/gemm.hpp"
#include "runtime/device/queue.hpp"

namespace tessera {

// Sizes of a kernel: a group's part of C, its step along k, and the block of C in registers. With columns in
// vectors of 16 a group is one item that works as a CPU's core does; else items share tiles in local memory,
// as GPUs like it. Every element is summed in the order of k, so the sizes do not change its bits.
struct MatmulSizes {
  int tm, tn, tk, mr, nr;

  bool panels() const { return nr >= 16; }
  int64_t local_bytes() const;
  bool operator==(const MatmulSizes&) const = default;
};

// What else is added to C: nothing, what it holds, or another matrix that lies as C does.
struct Addend {
  void* data = nullptr;
  DType dtype = DType::f32;
  int64_t ld = 0;
};

void device_matmul(DeviceQueue& queue, const Gemm& shape, const GemmOperands& operands, const Addend& addend,
                   const MatmulSizes& sizes);

// Those that suit a device, the default first.
std::vector<MatmulSizes> matmul_sizes(const DeviceTraits& device);

// The sizes for products of what is stored so: as tuned for devices of this name, else the default.
MatmulSizes tuned_matmul(DeviceQueue& queue, DType dtype);

// Measures all sizes that suit the device, keeps the best for tuned_matmul, in this process and in the user's
// cache folder, and returns it. Takes ten seconds, most of it compilation; tells its progress from 0 to 1.
MatmulSizes tune_matmul(DeviceQueue& queue, DType dtype, const std::function<void(double)>& progress = {});

// The file of tuned sizes, a JSON line per device and dtype: {"device":…,"dtype":…,"tm":…,"tn":…,"tk":…,
// "mr":…,"nr":…}.
struct TunedMatmul {
  std::string device;
  DType dtype;
  MatmulSizes sizes;
};
std::filesystem::path tuned_matmul_file();  // empty where the user has no cache folder
// Nothing where there is no file; a file that is not what keep_tuned_matmul writes costs a warning.
std::vector<TunedMatmul> read_tuned_matmul(const std::filesystem::path& file);
void keep_tuned_matmul(const std::filesystem::path& file, const TunedMatmul& tuned);

}  // namespace tessera
