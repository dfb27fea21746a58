// Drawing sums, keeping some out of training, and laying them out in batches.
// SPDX-License-Identifier: Apache-2.0
#include "models/data/addition.hpp"

#include <algorithm>
#include <set>

#include "models/data/streams.hpp"
#include "runtime/core/error.hpp"

namespace tessera {
namespace {

constexpr PhiloxKey fixed_key{0x7e55e2a, 0xadd};  // no seed: every run holds out the same sums

Sum sum_from(const PhiloxCounter& random, int64_t limit) {
  uint64_t n = static_cast<uint64_t>(limit);
  return {static_cast<int64_t>(draw_below(n, random[0], random[1])),
          static_cast<int64_t>(draw_below(n, random[2], random[3]))};
}

// Shared by both loaders: a sum's tokens in one sequence of a batch.
class SumBatches : public Loader {
 public:
  SumBatches(const Addition& addition, const LoaderOptions& options)
      : addition_(addition), options_(options), tokenizer_(Addition::tokenizer()) {
    if (options.seq < addition.rows())
      throw error("sequences of seq = {} are too short: a sum of {} digits needs {}", options.seq,
                  addition.digits(), addition.rows());
  }

 protected:
  void put(Batch& batch, int64_t sequence, const Sum& sum) const {
    std::string prompt = addition_.prompt(sum);
    std::vector<int32_t> tokens = tokenizer_.encode(prompt + addition_.answer(sum));
    int64_t start = sequence * options_.seq;
    for (size_t i = 0; i + 1 < tokens.size(); ++i)
      batch.set(start + static_cast<int64_t>(i), start, tokens[i],
                i + 1 < prompt.size() ? Batch::ignored : tokens[i + 1]);
  }

  Addition addition_;
  LoaderOptions options_;
  CharTokenizer tokenizer_;
};

class TrainingSums final : public SumBatches {
 public:
  TrainingSums(const Addition& addition, int64_t limit, const LoaderOptions& options)
      : SumBatches(addition, options), limit_(limit) {}

  Batch at(int64_t index) const override {
    Batch batch(options_.batch * options_.seq);
    for (int64_t i = 0; i < options_.batch; ++i) put(batch, i, sum_at(index * options_.batch + i));
    return batch;
  }
  int64_t batches() const override { return 0; }

 private:
  Sum sum_at(int64_t sample) const {
    PhiloxKey key = philox_key(static_cast<uint64_t>(options_.seed));
    for (uint32_t attempt = 0;; ++attempt) {
      Sum sum = sum_from(draw(DataStream::sums, sample, attempt, key), limit_);
      if (!addition_.held_out(sum)) return sum;
    }
  }

  int64_t limit_;
};

class ListedSums final : public SumBatches {
 public:
  ListedSums(const Addition& addition, std::vector<Sum> sums, const LoaderOptions& options)
      : SumBatches(addition, options), sums_(std::move(sums)) {}

  Batch at(int64_t index) const override {
    Batch batch(options_.batch * options_.seq);
    int64_t first = index * options_.batch,
            end = std::min(first + options_.batch, static_cast<int64_t>(sums_.size()));
    for (int64_t i = first; i < end; ++i) put(batch, i - first, sums_[static_cast<size_t>(i)]);
    return batch;
  }
  int64_t batches() const override {
    return (static_cast<int64_t>(sums_.size()) + options_.batch - 1) / options_.batch;
  }

 private:
  std::vector<Sum> sums_;
};

int64_t power_of_ten(int64_t digits) { return digits == 0 ? 1 : 10 * power_of_ten(digits - 1); }

}  // namespace

Addition::Addition(int64_t digits, double held_out) : digits_(digits), held_out_(held_out) {
  if (digits < 1 || digits > 6) throw error("addition of {} digits: 1 to 6 are possible", digits);
  if (!(held_out > 0 && held_out <= 0.5)) throw error("held_out = {}: it lies between 0 and 0.5", held_out);
  limit_ = power_of_ten(digits);
}

bool Addition::held_out(const Sum& sum) const {
  auto [low, high] = std::minmax(sum.a, sum.b);
  int64_t pair = low * limit_ + high;
  return unit_float(draw(DataStream::held_out, pair, 0, fixed_key)[0]) < held_out_;
}

std::vector<Sum> Addition::held_out_sums(int64_t count) const {
  // Enough draws to find nearly all of them where there are fewer than wanted.
  int64_t draws =
      std::min<int64_t>(4'000'000, static_cast<int64_t>(100.0 * static_cast<double>(count) / held_out_));
  std::vector<Sum> sums;
  std::set<std::pair<int64_t, int64_t>> seen;
  for (int64_t i = 0; i < draws && static_cast<int64_t>(sums.size()) < count; ++i) {
    Sum sum = sum_from(draw(DataStream::evaluation, i, 0, fixed_key), limit_);
    if (held_out(sum) && seen.insert(std::minmax(sum.a, sum.b)).second) sums.push_back(sum);
  }
  if (sums.empty())
    throw error("held_out = {} of all sums of {} digits leaves none to evaluate on; raise it", held_out_,
                digits_);
  return sums;
}

std::string Addition::prompt(const Sum& sum) const {
  return fmt::format("{:0{}}+{:0{}}=", sum.a, digits_, sum.b, digits_);
}

std::string Addition::answer(const Sum& sum) const {
  std::string digits = fmt::format("{:0{}}", sum.a + sum.b, digits_ + 1);
  std::ranges::reverse(digits);
  return digits + ".";
}

std::optional<int64_t> Addition::parse_answer(std::string_view generated) const {
  if (generated.ends_with('.')) generated.remove_suffix(1);
  if (static_cast<int64_t>(generated.size()) != digits_ + 1) return std::nullopt;
  int64_t value = 0;
  for (auto at = generated.rbegin(); at != generated.rend(); ++at) {
    if (*at < '0' || *at > '9') return std::nullopt;
    value = value * 10 + (*at - '0');
  }
  return value;
}

std::unique_ptr<Loader> addition_training(const Addition& addition, const LoaderOptions& options) {
  return std::make_unique<TrainingSums>(addition, power_of_ten(addition.digits()), options);
}

std::unique_ptr<Loader> addition_batches(const Addition& addition, std::vector<Sum> sums,
                                         const LoaderOptions& options) {
  return std::make_unique<ListedSums>(addition, std::move(sums), options);
}

}  // namespace tessera
