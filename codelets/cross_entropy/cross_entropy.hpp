// Cross-entropy of logits against class labels, with the softmax inside.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "runtime/graph/graph.hpp"

namespace tessera {

struct CrossEntropyOptions {
  int32_t ignore_index = -100;  // rows with this label count for nothing
  double label_smoothing = 0;   // the share of the target spread evenly over the vocabulary, in [0, 1)
};

struct CrossEntropyResult {
  Tensor loss;   // scalar f32
  Tensor lse;    // [rows] f32: log Σ exp of every row
  Tensor count;  // scalar f32: rows that are not ignored
};

// loss = Σ_r (lse[r] - Σ_v target[r, v] · logits[r, v]) / count over the rows that are not ignored; 0 where
// all are. logits: [rows, vocab]; labels: i32 [rows], in [0, vocab) or ignore_index (which may be a class of
// its own).
CrossEntropyResult cross_entropy(Tensor logits, Tensor labels, CrossEntropyOptions options = {});

// d_logits, like logits. `lse` and `count` are the forward pass's; d_loss: scalar f32; d_lse: f32 [rows].
// Either gradient may be empty.
Tensor cross_entropy_backward(const CrossEntropyResult& forward, Tensor logits, Tensor labels, Tensor d_loss,
                              CrossEntropyOptions options = {}, Tensor d_lse = {});

}  // namespace tessera
