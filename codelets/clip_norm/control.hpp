// What clip_norm's op and its kernels share.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "codelets/clip_norm/clip_norm.hpp"

namespace tessera {

struct ClipNormOp : Op {
  ClipNormOptions options;

  explicit ClipNormOp(ClipNormOptions o) : options(o) {}
};

}  // namespace tessera
