// sample on devices: its launch.
// SPDX-License-Identifier: Apache-2.0
#include <bit>

#include "codelets/sample/sample_op.hpp"
#include "runtime/device/queue.hpp"

namespace tessera {

void sample_gpu(const TileArgs& args, DeviceQueue& queue) {
  constexpr int64_t width = 64;  // items of a group
  const TileView &logits = args[0], &rng = args[1], &params = args[2], &tokens = args[3];
  const auto vocab = static_cast<int32_t>(logits.cols);
  const auto token_bits = static_cast<int32_t>(std::bit_width(static_cast<uint32_t>(vocab - 1)));
  void* weights = queue.scratch<double>(logits.size());
  void* least = queue.scratch<uint64_t>(logits.rows);
  void* fault = queue.fault("sample: the temperature is not 0 or more");
  const Grid groups{.groups = {logits.rows, 1, 1}, .items = {width, 1}};
  const auto kernel = [&](std::string_view name, bool weighted) {
    return DeviceKernel{"sample", name, {{"T", logits.dtype}, {"WIDTH", width}, {"WEIGHTED", weighted}}};
  };
  queue.launch(kernel("token_weights", false), groups, logits, params, weights, least, fault, vocab);
  for (bool weighted : {false, true})
    queue.launch(kernel("keep_likeliest", weighted), groups, logits, params, weights, least, vocab,
                 token_bits);
  queue.launch(kernel("draw_token", false), groups, logits, rng, weights, least, tokens,
               args.attributes<Sample>().stream, static_cast<int32_t>(logits.row0), vocab, token_bits);
}

}  // namespace tessera
