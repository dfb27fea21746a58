// cross_entropy on the CPU: what is left once every row is a handful of numbers.
// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "codelets/cross_entropy/row_stats.hpp"
#include "runtime/core/error.hpp"
#include "runtime/plan/kernel.hpp"

namespace tessera {
namespace {

RowStats merged_row(const TileArgs& args, size_t begin, size_t end, int64_t row) {
  RowStats sum = args[begin].as<const RowStats>()[row];
  for (size_t k = begin + 1; k < end; ++k) sum = merge(sum, args[k].as<const RowStats>()[row]);
  return sum;
}

}  // namespace

// stats, … -> stats
void cross_entropy_merge_cpu(const TileArgs& args) {
  const size_t last = args.count() - 1;
  for (int64_t r = 0; r < args[last].rows; ++r) args[last].as<RowStats>()[r] = merged_row(args, 0, last, r);
}

// labels, stats, … -> lse, Σ loss; params[0]: vocab
void cross_entropy_finish_cpu(const TileArgs& args) {
  const CrossEntropyOptions& options = args.attributes<CrossEntropyOp>().options;
  const int32_t* labels = args[0].as<const int32_t>();
  const float smoothing = static_cast<float>(options.label_smoothing),
              vocab = static_cast<float>(args.params[0]);
  float* lse = args[1].as<float>();
  float total = 0;
  for (int64_t r = 0; r < args[0].rows; ++r) {
    const RowStats row = merged_row(args, 3, args.count(), r);
    lse[r] = row.max + std::log(row.sum);
    if (labels[r] == options.ignore_index) continue;
    float loss = (1 - smoothing) * (lse[r] - row.label);
    if (smoothing > 0) loss += smoothing * (lse[r] - row.total / vocab);
    total += loss;
  }
  *args[2].as<float>() = total;
}

// labels, … -> how many are not ignored; params[0]: vocab
void cross_entropy_count_cpu(const TileArgs& args) {
  const int32_t ignored = args.attributes<CrossEntropyOp>().options.ignore_index;
  const size_t last = args.count() - 1;
  int64_t count = 0;
  for (size_t k = 0; k < last; ++k)
    for (int64_t r = 0; r < args[k].rows; ++r) {
      const int32_t label = args[k].as<const int32_t>()[r];
      if (label == ignored) continue;
      if (label < 0 || label >= args.params[0])
        throw error(
            "cross_entropy: the label of row {} is {}, not in [0, {}); rows to be ignored have the label {}",
            args[k].row0 + r, label, args.params[0], ignored);
      ++count;
    }
  *args[last].as<float>() = static_cast<float>(count);
}

// loss, … -> Σ
void cross_entropy_total_cpu(const TileArgs& args) {
  const size_t last = args.count() - 1;
  float total = 0;
  for (size_t k = 0; k < last; ++k) total += *args[k].as<const float>();
  *args[last].as<float>() = total;
}

// Σ loss, count -> loss
void cross_entropy_mean_cpu(const TileArgs& args) {
  const float total = *args[0].as<const float>(), count = *args[1].as<const float>();
  *args[2].as<float>() = count > 0 ? total / count : 0;
}

}  // namespace tessera
