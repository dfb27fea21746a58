// kv_append and paged_attention: what they mean, and their tiles.
// SPDX-License-Identifier: Apache-2.0
#include "codelets/kv_cache/kv_cache.hpp"

#include <algorithm>
#include <cmath>

#include "codelets/kv_cache/kv_cache_op.hpp"
#include "runtime/core/error.hpp"
#include "runtime/plan/lowering.hpp"

namespace tessera {

void kv_append_gpu(const TileArgs& args, DeviceQueue& queue);
void paged_attention_gpu(const TileArgs& args, DeviceQueue& queue);

namespace {

const Kernel kv_append_kernel{.name = "kv_append", .cpu = kv_append_cpu, .gpu = kv_append_gpu};
const Kernel paged_attention_kernel{
    .name = "paged_attention", .cpu = paged_attention_cpu, .gpu = paged_attention_gpu};

}  // namespace

void CacheOp::check_caches(const TensorType& k, const TensorType& v) const {
  const int64_t width = options.kv_heads * options.head_dim;
  if (!(k == v))
    throw error("{}: the caches {} and {} are not alike", name(), to_string(k.shape), to_string(v.shape));
  if (!is_float(k.dtype) || k.shape.rank() != 2 || k.shape.cols() != width || options.block_size < 1 ||
      k.shape.rows() % options.block_size != 0)
    throw error("{}: the cache is {} {}, not [blocks · {}, {}]", name(), name_of(k.dtype), to_string(k.shape),
                options.block_size, width);
}

void CacheOp::check_rows(std::string_view what, const TensorType& indices, const TensorType& qkv) const {
  if (indices.dtype != DType::i32 || indices.shape.size() != qkv.shape.rows())
    throw error("{}: {} is {} {}, not i32 [{}]", name(), what, name_of(indices.dtype),
                to_string(indices.shape), qkv.shape.rows());
}

std::vector<TensorType> KvAppend::infer(std::span<const TensorType> in) const {
  layout().check(name(), in[2]);
  check_caches(in[0], in[1]);
  check_rows("slots", in[3], in[2]);
  return {in[0], in[1]};
}

void KvAppend::lower(Lowering& to) const {
  const TileGrid &k = to.out(0), &v = to.out(1);
  const Cuts rows = to.in(2).rows;
  const TileGrid qkv = to.in(2, rows, rescale(k.cols, options.head_dim, layout().qkv_unit()));
  const TileGrid slots = to.in(3, rows, Cuts(1));
  for (int c = 0; c < k.rows.count(); ++c)
    for (int j = 0; j < k.cols.count(); ++j) {
      std::vector<Access> accesses;
      accesses.reserve(2 * static_cast<size_t>(rows.count()) + 1);
      for (int i = 0; i < rows.count(); ++i) accesses.push_back(read(qkv(i, j)));
      for (int i = 0; i < rows.count(); ++i) accesses.push_back(read(slots(i)));
      accesses.push_back(update(k(c, j)));
      accesses.push_back(update(v(c, j)));
      to.task(kv_append_kernel, std::move(accesses), {.index = {c, j}, .params = {rows.count()}});
    }
}

void KvAppend::reference(HostIn in, HostOut out) const {
  const HeadLayout l = layout();
  for (size_t which : {0u, 1u}) out[which].values = in[which].values;
  for (int64_t r = 0; r < in[2].rows(); ++r) {
    const auto slot = static_cast<int64_t>(in[3][static_cast<size_t>(r)]);
    for (int64_t c = 0; slot >= 0 && c < in[0].cols(); ++c) {
      const int64_t unit = c / l.head_dim * l.qkv_unit() + c % l.head_dim;
      out[0](slot, c) = in[2](r, unit + l.key_at());
      out[1](slot, c) = in[2](r, unit + l.value_at());
    }
  }
}

std::vector<TensorType> PagedAttention::infer(std::span<const TensorType> in) const {
  layout().check(name(), in[0]);
  check_caches(in[1], in[2]);
  if (in[3].dtype != DType::i32 || in[3].shape.rank() != 2)
    throw error("paged_attention: block_table is {} {}, not i32 [sequences, max_blocks]",
                name_of(in[3].dtype), to_string(in[3].shape));
  check_rows("sequence", in[4], in[0]);
  check_rows("positions", in[5], in[0]);
  return {{{in[0].shape[0], layout().out_dim()}, in[0].dtype}};
}

void PagedAttention::lower(Lowering& to) const {
  const TileGrid& o = to.out(0);
  const Cuts cache_rows = to.in(1).rows, cache_cols = rescale(o.cols, layout().out_unit(), options.head_dim);
  const Shape& table_shape = to.in_type(3).shape;
  const TileGrid qkv = to.in(0, o.rows, rescale(o.cols, layout().out_unit(), layout().qkv_unit()));
  const TileGrid k = to.in(1, cache_rows, cache_cols), v = to.in(2, cache_rows, cache_cols);
  const TileGrid table = to.in(3, Cuts(table_shape.rows()), Cuts(table_shape.cols()));
  const TileGrid sequence = to.in(4, o.rows, Cuts(1)), positions = to.in(5, o.rows, Cuts(1));
  const double keys =
      static_cast<double>(std::min(table_shape.cols() * options.block_size, cache_rows.total())) / 2;
  for (int i = 0; i < o.rows.count(); ++i)
    for (int j = 0; j < o.cols.count(); ++j) {
      std::vector<Access> accesses = {read(qkv(i, j)), read(table(0)), read(sequence(i)), read(positions(i))};
      for (int c = 0; c < cache_rows.count(); ++c) accesses.push_back(read(k(c, j)));
      for (int c = 0; c < cache_rows.count(); ++c) accesses.push_back(read(v(c, j)));
      accesses.push_back(write(o(i, j)));
      to.task(paged_attention_kernel, std::move(accesses),
              {.flops = 4 * keys * static_cast<double>(o.rows.size(i) * o.cols.size(j)),
               .index = {i, j},
               .params = {cache_rows.count()}});
    }
}

void PagedAttention::reference(HostIn in, HostOut out) const {
  const HeadLayout l = layout();
  const HostArray &qkv = in[0], &k = in[1], &v = in[2], &table = in[3];
  for (int64_t r = 0; r < qkv.rows(); ++r) {
    const auto sequence = static_cast<int64_t>(in[4][static_cast<size_t>(r)]);
    const auto position = static_cast<int64_t>(in[5][static_cast<size_t>(r)]);
    if (sequence < 0) continue;
    const auto row_of = [&](int64_t p) {
      return static_cast<int64_t>(table(sequence, p / options.block_size)) * options.block_size +
             p % options.block_size;
    };
    for (int64_t h = 0; h < l.heads; ++h) {
      const int64_t kv = h / l.group(), q = kv * l.qkv_unit() + h % l.group() * l.head_dim;
      std::vector<double> p(static_cast<size_t>(position) + 1);
      for (size_t s = 0; s < p.size(); ++s) {
        for (int64_t d = 0; d < l.head_dim; ++d)
          p[s] += qkv(r, q + d) * k(row_of(static_cast<int64_t>(s)), kv * l.head_dim + d);
        p[s] /= std::sqrt(static_cast<double>(l.head_dim));
      }
      const double largest = *std::max_element(p.begin(), p.end());
      double sum = 0;
      for (double& x : p) sum += x = std::exp(x - largest);
      for (size_t s = 0; s < p.size(); ++s)
        for (int64_t d = 0; d < l.head_dim; ++d)
          out[0](r, h * l.head_dim + d) +=
              p[s] / sum * v(row_of(static_cast<int64_t>(s)), kv * l.head_dim + d);
    }
  }
}

KvCache kv_append(KvCache cache, Tensor qkv, Tensor slots, const PagedAttentionOptions& options) {
  const std::vector<Tensor> out =
      qkv.graph->apply(std::make_shared<KvAppend>(options), {cache.k, cache.v, qkv, slots});
  return {out[0], out[1]};
}

Tensor paged_attention(const PagedAttentionInputs& in, const PagedAttentionOptions& options) {
  return in.qkv.graph->apply1(std::make_shared<PagedAttention>(options),
                              {in.qkv, in.cache.k, in.cache.v, in.block_table, in.sequence, in.positions});
}

OpEntry kv_cache_entry() {
  return {"kv_cache", {&kv_append_kernel, &paged_attention_kernel}, kv_cache_cases};
}

}  // namespace tessera
