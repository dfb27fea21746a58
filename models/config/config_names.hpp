// The words that the configuration's choices are written with.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <string_view>
#include <utility>

#include "models/config/config.hpp"

namespace tessera {

template <class E, size_t n>
using Words = std::array<std::pair<std::string_view, E>, n>;

inline constexpr Words<DataKind, 2> data_kinds{{{"addition", DataKind::addition}, {"text", DataKind::text}}};
inline constexpr Words<OptimizerKind, 4> optimizers{{{"adamw", OptimizerKind::adamw},
                                                     {"adam", OptimizerKind::adam},
                                                     {"rmsprop", OptimizerKind::rmsprop},
                                                     {"sgd", OptimizerKind::sgd}}};
inline constexpr Words<Schedule, 3> schedules{
    {{"constant", Schedule::constant}, {"linear", Schedule::linear}, {"cosine", Schedule::cosine}}};
inline constexpr Words<Recompute, 3> recomputes{
    {{"none", Recompute::none}, {"attention", Recompute::attention}, {"block", Recompute::block}}};
inline constexpr Words<NonFinite, 2> non_finites{{{"stop", NonFinite::stop}, {"skip", NonFinite::skip}}};
inline constexpr Words<DType, 2> run_dtypes{{{"f32", DType::f32}, {"bf16", DType::bf16}}};

// The word of a value in its list.
template <class E, size_t n>
constexpr std::string_view word_for(E value, const std::array<std::pair<std::string_view, E>, n>& words) {
  for (const auto& [word, meaning] : words)
    if (meaning == value) return word;
  return "?";
}

}  // namespace tessera
