// What the launches of optimizers share: where their tiles lie.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "codelets/optimizer_op.hpp"
#include "runtime/device/queue.hpp"

namespace tessera {

// Accesses: param, grad, `n_state` state tiles, lr, step, control, perhaps the shadow. What is not there is
// the parameter again, and the kernel leaves it alone.
struct OptimizerTiles {
  const TileView &param, &grad, &state0, &state1, &lr, &step, &control, &shadow;
  bool with_shadow;

  OptimizerTiles(const TileArgs& args, size_t n_state)
      : param(args[0]),
        grad(args[1]),
        state0(args[n_state > 0 ? 2 : 0]),
        state1(args[n_state > 1 ? 3 : 0]),
        lr(args[n_state + 2]),
        step(args[n_state + 3]),
        control(args[n_state + 4]),
        shadow(args[args.count() > n_state + 5 ? n_state + 5 : 0]),
        with_shadow(args.count() > n_state + 5) {}
};

}  // namespace tessera
