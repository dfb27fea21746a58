// Kinds of workers: instruction set or device model, and library versions. Bits depend on which kind ran a
// task.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/device/choices.hpp"

namespace tessera {

class Engine;

inline constexpr int any_kind = -1;

// The kinds among an engine's workers, in the order of the workers.
struct WorkerKinds {
  std::vector<std::string> names;
  std::vector<int> of;  // per worker

  int find(std::string_view name) const;  // any_kind where there is none
};
WorkerKinds kinds_of(Engine& engine);
std::string cpu_numerics();

// Where a step's tasks ran: a letter each, 'a' for the first kind; '-' for those completed from outside.
inline constexpr int most_kinds = 26;
inline constexpr char no_kind = '-';
inline char letter_of(int kind) { return static_cast<char>('a' + kind); }

// The choices that the queues of each kind made so far, by the kind's name.
using ChoicesByKind = std::map<std::string, Choices>;
ChoicesByKind choices_of(Engine& engine);
size_t count_choices(Engine& engine);
// Hands recorded choices to the queues of their kinds; before anything runs there. Kinds that are not here
// keep theirs to themselves.
void use_choices(Engine& engine, const ChoicesByKind& recorded);

}  // namespace tessera
