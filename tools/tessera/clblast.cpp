// CLBlast's sgemm; a build without OpenCL has none.
// SPDX-License-Identifier: Apache-2.0
#include "tools/tessera/clblast.hpp"

#include "runtime/core/error.hpp"

#if TESSERA_HAS_CLBLAST
#include <clblast.h>

namespace tessera {

void clblast_sgemm(DeviceQueue& queue, int64_t n, void* a, void* b, void* c) {
  const auto size = static_cast<size_t>(n);
  auto* commands = static_cast<cl_command_queue>(queue.native());
  const clblast::StatusCode status =
      clblast::Gemm<float>(clblast::Layout::kRowMajor, clblast::Transpose::kNo, clblast::Transpose::kNo, size,
                           size, size, 1.0f, static_cast<cl_mem>(a), 0, size, static_cast<cl_mem>(b), 0, size,
                           0.0f, static_cast<cl_mem>(c), 0, size, &commands);
  if (status != clblast::StatusCode::kSuccess)
    throw Failure(fmt::format("CLBlast: sgemm ends with status {}", static_cast<int>(status)));
  queue.finish();
}

}  // namespace tessera
#else
namespace tessera {

void clblast_sgemm(DeviceQueue&, int64_t, void*, void*, void*) {
  throw Failure("CLBlast: this build is without OpenCL");
}

}  // namespace tessera
#endif
