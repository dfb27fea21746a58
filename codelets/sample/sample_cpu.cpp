// sample on the CPU: vectors find the few candidates, and only these are sorted.
// SPDX-License-Identifier: Apache-2.0
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codelets/sample/sample_cpu.cpp"
#include <hwy/foreach_target.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "codelets/sample/sample_op.hpp"
#include "codelets/simd.hpp"
#include "codelets/simd_exp2.hpp"

HWY_BEFORE_NAMESPACE();
namespace tessera::HWY_NAMESPACE {
namespace {

struct Candidate {
  float logit;
  int32_t token;

  bool operator<(const Candidate& other) const {  // the likelier, then the earlier, comes first
    return logit > other.logit || (logit == other.logit && token < other.token);
  }
};

struct Row {
  const float* logits;
  int64_t vocab;
  float largest;
  double temperature;

  double weight(float logit) const {
    return std::exp((static_cast<double>(logit) - static_cast<double>(largest)) / temperature);
  }
  HWY_INLINE Vec weights(Vec logit) const {
    return exp2_negative(
        hn::Mul(hn::Sub(logit, set(largest)), set(log2_e / static_cast<float>(temperature))));
  }
};

int32_t first_largest(const Row& row) {
  int64_t i = 0;
  while (i + lanes() <= row.vocab && hn::AllFalse(F32(), hn::Eq(load(row.logits + i), set(row.largest))))
    i += lanes();
  for (; i < row.vocab; ++i)
    if (row.logits[i] == row.largest) return static_cast<int32_t>(i);
  return 0;
}

// The k likeliest tokens, sorted. Only logits above the k-th best so far are looked at one by one.
std::vector<Candidate> best(const Row& row, size_t k) {
  std::vector<Candidate> found;
  found.reserve(2 * k);
  float floor = -HUGE_VALF;
  const auto prune = [&] {
    if (found.size() <= k) return;
    std::nth_element(found.begin(), found.begin() + static_cast<std::ptrdiff_t>(k) - 1, found.end());
    found.resize(k);
    floor = found.back().logit;
  };
  const int64_t step = lanes();
  for (int64_t i = 0; i < row.vocab; i += step) {
    const int64_t n = std::min(step, row.vocab - i);
    if (n == step && found.size() >= k && hn::AllFalse(F32(), hn::Gt(load(row.logits + i), set(floor))))
      continue;
    for (int64_t c = i; c < i + n; ++c)
      if (found.size() < k || row.logits[c] > floor)
        found.push_back({row.logits[c], static_cast<int32_t>(c)});
    if (found.size() + static_cast<size_t>(step) > 2 * k) prune();
  }
  prune();
  std::sort(found.begin(), found.end());
  return found;
}

// One of the first tokens whose mass reaches top_p of `all`; none where all candidates together do not.
int32_t draw(const Row& row, std::vector<Candidate> candidates, double all, double top_p, double u,
             bool complete) {
  double mass = 0;
  size_t kept = 0;
  while (kept < candidates.size() && (kept == 0 || mass < top_p * all))
    mass += row.weight(candidates[kept++].logit);
  if (!complete && mass < top_p * all) return -1;
  candidates.resize(kept);
  std::sort(candidates.begin(), candidates.end(),
            [](const Candidate& a, const Candidate& b) { return a.token < b.token; });
  double left = u * mass;
  for (const Candidate& candidate : candidates) {
    left -= row.weight(candidate.logit);
    if (left < 0) return candidate.token;
  }
  return candidates.back().token;
}

// From the whole vocabulary: first a chunk of it by the chunks' sums, then a token of the chunk.
int32_t draw_from_all(const Row& row, double u) {
  constexpr int64_t chunk = 1024;
  const auto size = [&](int64_t from) { return std::min(chunk, row.vocab - from); };
  const auto weight_of = [&](Vec x) { return row.weights(x); };
  std::vector<double> sums;
  double all = 0;
  for (int64_t from = 0; from < row.vocab; from += chunk)
    all += sums.emplace_back(sum_of(size(from), weight_of, row.logits + from));
  double left = u * all;
  size_t at = 0;
  while (at + 1 < sums.size() && left >= sums[at]) left -= sums[at++];
  const int64_t begin = static_cast<int64_t>(at) * chunk;
  int64_t token = begin;
  for (int64_t i = begin; i < begin + size(begin); ++i) {
    const double weight = row.weight(row.logits[i]);
    if (weight > 0) token = i;
    left -= weight;
    if (left < 0) break;
  }
  return static_cast<int32_t>(token);
}

int32_t sample_row(const Row& row, float top_k, double top_p, double u) {
  if (row.temperature == 0) return first_largest(row);
  const bool limited = top_k >= 1 && top_k < static_cast<float>(row.vocab);
  if (!limited && top_p >= 1) return draw_from_all(row, u);
  if (limited) {
    std::vector<Candidate> candidates = best(row, static_cast<size_t>(top_k));
    double all = 0;
    for (const Candidate& candidate : candidates) all += row.weight(candidate.logit);
    return draw(row, std::move(candidates), all, top_p, u, true);
  }
  const auto weight_of = [&](Vec x) { return row.weights(x); };
  const auto all = static_cast<double>(sum_of(row.vocab, weight_of, row.logits));
  const auto vocab = static_cast<size_t>(row.vocab);
  for (size_t k = std::min<size_t>(64, vocab);; k = std::min(8 * k, vocab))
    if (const int32_t token = draw(row, best(row, k), all, top_p, u, k == vocab); token >= 0) return token;
}

void sample(const TileArgs& args) {
  const auto& op = args.attributes<Sample>();
  const TileView& logits = args[0];
  const auto* rng = args[1].as<const uint32_t>();
  const auto* params = args[2].as<const float>();
  if (!(params[0] >= 0)) throw error("sample: the temperature is {}, which is not 0 or more", params[0]);
  const Draws draws{rng[0], rng[1], op.stream};
  float* copy = scratch<float>(logits.cols);
  const auto same = [](auto x) { return x; };
  with_float(logits.dtype, [&]<class T>(T) {
    for (int64_t r = 0; r < logits.rows; ++r) {
      map(logits.cols, copy, same, logits.as<const T>() + r * logits.cols);
      const Row row{copy, logits.cols, max_of(logits.cols, same, copy), static_cast<double>(params[0])};
      const auto u = static_cast<double>(uniform(draws, static_cast<uint64_t>(logits.row0 + r)));
      args[3].as<int32_t>()[r] = sample_row(row, params[1], static_cast<double>(params[2]), u);
    }
  });
}

}  // namespace
}  // namespace tessera::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tessera {
HWY_EXPORT(sample);
void sample_cpu(const TileArgs& args) { HWY_DYNAMIC_DISPATCH(sample)(args); }
}  // namespace tessera
#endif
