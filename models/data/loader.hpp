// Batches of packed rows, and where they come from.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

namespace tessera {

// Rows = batch x seq; each list has one entry per row.
struct Batch {
  static constexpr int32_t ignored = -100;  // a label that counts for nothing
  static constexpr int32_t padding = -1;    // the start of a row that belongs to no sequence

  std::vector<int32_t> tokens;
  std::vector<int32_t> positions;  // within the row's sequence
  std::vector<int32_t> starts;     // row of the batch at which the row's sequence begins
  std::vector<int32_t> labels;     // the token that should come next

  Batch() = default;
  explicit Batch(int64_t rows)  // nothing but padding
      : tokens(static_cast<size_t>(rows), 0),
        positions(tokens.size(), 0),
        starts(tokens.size(), padding),
        labels(tokens.size(), ignored) {}

  void set(int64_t row, int64_t start, int32_t token, int32_t label) {
    size_t at = static_cast<size_t>(row);
    tokens[at] = token;
    positions[at] = static_cast<int32_t>(row - start);
    starts[at] = static_cast<int32_t>(start);
    labels[at] = label;
  }
  int64_t counted() const {
    return std::ranges::count_if(labels, [](int32_t label) { return label != ignored; });
  }
};

// A loader keeps no place: batch `index` is the same whenever it is asked for, so resuming needs only the
// index. Training draws sample by sample: the batches 4i to 4i+3 of size 3 hold what batch i of size 12 does.
class Loader {
 public:
  virtual ~Loader() = default;
  virtual Batch at(int64_t index) const = 0;
  virtual int64_t batches() const = 0;  // in one pass; 0: endless
};

struct LoaderOptions {
  int64_t batch = 1, seq = 1;
  int64_t seed = 0;
};

}  // namespace tessera
