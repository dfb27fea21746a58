// Sums to learn addition from: "012+345=7530.", the answer reversed so that carries come when they count.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "models/data/loader.hpp"
#include "models/tokenizer/char_tokenizer.hpp"

namespace tessera {

struct Sum {
  int64_t a = 0, b = 0;
  bool operator==(const Sum&) const = default;
};

class Addition {
 public:
  // Numbers of 1 to 6 digits; a hash of {a, b}, whichever comes first, holds out that share of all sums.
  Addition(int64_t digits, double held_out);

  int64_t digits() const { return digits_; }
  int64_t rows() const { return 3 * digits_ + 3; }  // of a sequence that holds one sum
  bool held_out(const Sum& sum) const;
  // Up to `count` different held-out sums, the same ones every time; swapped twins count as one.
  // Error where there are none.
  std::vector<Sum> held_out_sums(int64_t count) const;

  std::string prompt(const Sum& sum) const;  // "012+345="
  std::string answer(const Sum& sum) const;  // "7530."
  // The number that a generated answer says, its end mark there or not; none where it is no answer.
  std::optional<int64_t> parse_answer(std::string_view generated) const;
  bool correct(const Sum& sum, std::string_view generated) const {
    return parse_answer(generated) == sum.a + sum.b;
  }

  static CharTokenizer tokenizer() { return CharTokenizer("0123456789+=.", "."); }

 private:
  int64_t digits_, limit_;  // numbers are below the limit
  double held_out_;
};

// Endless sums that are not held out, one per sequence, loss on the answer only.
std::unique_ptr<Loader> addition_training(const Addition& addition, const LoaderOptions& options);
// These sums, each once; the last batch is padded.
std::unique_ptr<Loader> addition_batches(const Addition& addition, std::vector<Sum> sums,
                                         const LoaderOptions& options);

}  // namespace tessera
