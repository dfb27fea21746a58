// The fused layout of queries, keys and values: checks and cuts.
// SPDX-License-Identifier: Apache-2.0
#include "codelets/attention/heads.hpp"

#include "runtime/core/error.hpp"

namespace tessera {

void HeadLayout::check(std::string_view op, const TensorType& qkv) const {
  if (heads < 1 || kv_heads < 1 || heads % kv_heads != 0)
    throw error("{}: kv_heads = {} must divide heads = {}", op, kv_heads, heads);
  if (head_dim < 1 || head_dim > 256)
    throw error("{}: head_dim = {} is not in 1 … 256; choose heads so that width / heads is", op, head_dim);
  if (!is_float(qkv.dtype)) throw error("{}: qkv is of type {}, not floating", op, name_of(qkv.dtype));
  if (qkv.shape.rank() != 2 || qkv.shape.cols() != kv_heads * qkv_unit())
    throw error("{}: qkv is {}, but {} heads over {} keys of {} take [rows, {}]", op, to_string(qkv.shape),
                heads, kv_heads, head_dim, kv_heads * qkv_unit());
}

Cuts rescale(const Cuts& cuts, int64_t from, int64_t to) {
  std::vector<int64_t> at{0};
  for (int j = 0; j < cuts.count(); ++j) at.push_back(cuts.end(j) / from * to);
  std::vector<int> groups;
  for (int group = 0; group <= cuts.group_count(); ++group)
    groups.push_back(group < cuts.group_count() ? cuts.group_begin(group) : cuts.count());
  return {std::move(at), std::move(groups)};
}

}  // namespace tessera
