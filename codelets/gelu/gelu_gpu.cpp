// gelu on devices: its launches.
// SPDX-License-Identifier: Apache-2.0
#include "codelets/gelu/gelu.hpp"
#include "runtime/device/queue.hpp"

namespace tessera {
namespace {

DeviceKernel kernel(const TileArgs& args, std::string_view name) {
  const bool exact = args.attributes<GeluAttributes>().form == GeluForm::exact;
  return {"gelu", name, {{"T", args[0].dtype}, {"EXACT", exact}}};
}

}  // namespace

void gelu_gpu(const TileArgs& args, DeviceQueue& queue) {
  const int64_t n = args[1].size();
  queue.launch(kernel(args, "gelu"), for_each_wide(n), args[0], args[1], n);
}

void gelu_backward_gpu(const TileArgs& args, DeviceQueue& queue) {
  const int64_t n = args[2].size();
  queue.launch(kernel(args, "gelu_backward"), for_each_wide(n), args[0], args[1], args[2], n);
}

}  // namespace tessera
