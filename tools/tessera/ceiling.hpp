// The machine's ceiling: how fast oneDNN multiplies hot matrices on all workers at once, and how fast they
// read.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "runtime/core/dtype.hpp"

namespace tessera {

struct MatmulRate {
  DType dtype;
  int64_t n;  // of square matrices
  double gflops;
};

// Sum over `workers` threads of each one's median rate, all running for `seconds`: with the right factor as
// it is or laid out beforehand, whichever is faster.
MatmulRate measure_matmul(DType dtype, int64_t n, int workers, double seconds);
// Bytes/s, also the sum of medians, of memory that no cache holds: only read; and read and written in place,
// where both count.
double measure_read_bandwidth(int workers, double seconds);
double measure_update_bandwidth(int workers, double seconds);

struct Ceiling {  // GF/s of all workers
  double f32 = 0, bf16 = 0;

  double of(DType dtype) const { return dtype == DType::f32 ? f32 : bf16; }
};

Ceiling ceiling_of(const std::vector<MatmulRate>& rates);  // the best size of each storage type

// Takes 0.4 s; kept per machine and number of workers in the user's cache folder, or in `file`.
Ceiling cached_ceiling(int workers);
Ceiling cached_ceiling(int workers, const std::filesystem::path& file);
std::filesystem::path ceiling_file();  // empty where the user has no cache folder

}  // namespace tessera
