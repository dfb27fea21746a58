// Model folders in Hugging Face's layout.
// SPDX-License-Identifier: Apache-2.0
#include "models/checkpoint/hf_weights.hpp"

#include "models/checkpoint/safetensors.hpp"
#include "runtime/core/error.hpp"

namespace tessera {
namespace {

using Layout = HfWeight::Layout;
using Sizes = std::vector<int64_t>;

void add_gpt2_block(std::vector<HfWeight>& list, const ModelConfig& c, int64_t layer) {
  const std::string ours = fmt::format("block{}/", layer), theirs = fmt::format("transformer.h.{}.", layer);
  const int64_t d = c.width, f = c.ffn;
  auto bias = [&](const std::string& mine, const std::string& name, int64_t size,
                  Layout layout = Layout::same) {
    list.push_back({ours + mine, {theirs + name}, {{size}}, c.bias ? layout : Layout::absent});
  };
  for (const char* which : {"1", "2"}) {
    list.push_back({ours + "norm" + which + ".weight", {theirs + "ln_" + which + ".weight"}, {{d}}});
    bias(std::string("norm") + which + ".bias", std::string("ln_") + which + ".bias", d);
  }
  list.push_back({ours + "qkv.weight", {theirs + "attn.c_attn.weight"}, {{d, 3 * d}}, Layout::fused, true});
  bias("qkv.bias", "attn.c_attn.bias", 3 * d, Layout::fused);
  list.push_back({ours + "proj.weight", {theirs + "attn.c_proj.weight"}, {{d, d}}, Layout::transposed});
  bias("proj.bias", "attn.c_proj.bias", d);
  list.push_back({ours + "up.weight", {theirs + "mlp.c_fc.weight"}, {{d, f}}, Layout::transposed});
  bias("up.bias", "mlp.c_fc.bias", f);
  list.push_back({ours + "down.weight", {theirs + "mlp.c_proj.weight"}, {{f, d}}, Layout::transposed});
  bias("down.bias", "mlp.c_proj.bias", d);
}

void add_llama_block(std::vector<HfWeight>& list, const ModelConfig& c, int64_t layer) {
  const std::string ours = fmt::format("block{}/", layer), theirs = fmt::format("model.layers.{}.", layer);
  const int64_t d = c.width, f = c.ffn, kv = c.kv_heads * c.head_dim();
  auto linear = [&](const std::string& mine, const std::string& name, int64_t out, int64_t in) {
    list.push_back({ours + mine + ".weight", {theirs + name + ".weight"}, {{out, in}}});
    if (c.bias) list.push_back({ours + mine + ".bias", {theirs + name + ".bias"}, {{out}}});
  };
  auto attention = [&](const char* part) { return theirs + "self_attn." + part; };
  list.push_back({ours + "norm1.weight", {theirs + "input_layernorm.weight"}, {{d}}});
  list.push_back({ours + "norm2.weight", {theirs + "post_attention_layernorm.weight"}, {{d}}});
  list.push_back({ours + "qkv.weight",
                  {attention("q_proj.weight"), attention("k_proj.weight"), attention("v_proj.weight")},
                  {{d, d}, {kv, d}, {kv, d}},
                  Layout::fused});
  if (c.bias)
    list.push_back({ours + "qkv.bias",
                    {attention("q_proj.bias"), attention("k_proj.bias"), attention("v_proj.bias")},
                    {{d}, {kv}, {kv}},
                    Layout::fused});
  linear("proj", "self_attn.o_proj", d, d);
  linear("gate", "mlp.gate_proj", f, d);
  linear("up", "mlp.up_proj", f, d);
  linear("down", "mlp.down_proj", d, f);
}

// The row of queries, keys and values one after the other that stands in row `fused` of ours.
int64_t separate_row(const ModelConfig& c, int64_t fused) {
  const int64_t hd = c.head_dim(), group = c.heads / c.kv_heads, unit = (group + 2) * hd;
  const int64_t kv_head = fused / unit, part = fused % unit / hd, d = fused % hd;
  if (part < group) return (kv_head * group + part) * hd + d;
  return (c.heads + (part == group ? 0 : c.kv_heads) + kv_head) * hd + d;
}

// Rows of `width` values move between our order and theirs.
std::vector<float> reordered(const ModelConfig& c, const std::vector<float>& from, int64_t width,
                             bool to_separate) {
  std::vector<float> to(from.size());
  const int64_t rows = static_cast<int64_t>(from.size()) / width;
  for (int64_t fused = 0; fused < rows; ++fused) {
    const int64_t separate = separate_row(c, fused);
    std::copy_n(from.begin() + (to_separate ? fused : separate) * width, width,
                to.begin() + (to_separate ? separate : fused) * width);
  }
  return to;
}

std::vector<float> transposed(const std::vector<float>& from, int64_t rows, int64_t cols) {
  std::vector<float> to(from.size());
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t k = 0; k < cols; ++k)
      to[static_cast<size_t>(k * rows + r)] = from[static_cast<size_t>(r * cols + k)];
  return to;
}

int64_t count_of(const Sizes& shape) {
  int64_t count = 1;
  for (int64_t size : shape) count *= size;
  return count;
}

// The parameter's values in the order of the stored tensors, one after the other.
std::vector<float> to_stored(const ModelConfig& c, const HfWeight& weight, Session& session) {
  if (weight.layout == Layout::absent) return std::vector<float>(static_cast<size_t>(weight.shapes[0][0]));
  std::vector<float> values = session.get(weight.variable);
  const Shape& shape = session.type(weight.variable).shape;
  if (weight.layout == Layout::fused) values = reordered(c, values, shape.cols(), true);
  if (weight.layout == Layout::transposed || weight.transposed)
    values = transposed(values, shape.rows(), shape.cols());
  return values;
}

std::vector<std::byte> stored_as(DType dtype, std::span<const float> values) {
  const auto copied = [](auto bytes) { return std::vector<std::byte>(bytes.begin(), bytes.end()); };
  if (dtype == DType::f32) return copied(std::as_bytes(values));
  const std::vector<bf16> narrow(values.begin(), values.end());
  return copied(std::as_bytes(std::span(narrow)));
}

std::vector<float> from_stored(const ModelConfig& c, const HfWeight& weight, std::vector<float> values,
                               const Shape& shape) {
  if (weight.layout == Layout::transposed || weight.transposed)
    values = transposed(values, shape.cols(), shape.rows());
  if (weight.layout == Layout::fused) values = reordered(c, values, shape.cols(), false);
  return values;
}

// GPT-2 was first published without the "transformer." in front.
const TensorEntry& find_weight(const ModelWeights& stored, const std::string& name) {
  const bool bare = !stored.find(name) && name.starts_with("transformer.");
  const TensorEntry* found = bare ? stored.find(name.substr(12)) : nullptr;
  return found ? *found : stored.at(name);
}

}  // namespace

std::vector<HfWeight> hf_weights(const ModelConfig& c) {
  std::vector<HfWeight> list;
  const bool gpt2 = c.kind == ModelKind::gpt2;
  list.push_back({"tokens.weight",
                  {gpt2 ? "transformer.wte.weight" : "model.embed_tokens.weight"},
                  {{c.vocab, c.width}}});
  if (gpt2) list.push_back({"positions.weight", {"transformer.wpe.weight"}, {{c.seq, c.width}}});
  for (int64_t layer = 0; layer < c.layers; ++layer)
    (gpt2 ? add_gpt2_block : add_llama_block)(list, c, layer);
  list.push_back({"norm.weight", {gpt2 ? "transformer.ln_f.weight" : "model.norm.weight"}, {{c.width}}});
  if (gpt2)
    list.push_back(
        {"norm.bias", {"transformer.ln_f.bias"}, {{c.width}}, c.bias ? Layout::same : Layout::absent});
  if (!c.tied) list.push_back({"head.weight", {"lm_head.weight"}, {{c.vocab, c.width}}});
  return list;
}

void save_weights(const std::filesystem::path& folder, const ModelConfig& config, Session& session,
                  DType dtype) {
  const std::vector<HfWeight> weights = hf_weights(config);
  std::vector<NamedArray> arrays;  // one at a time is in memory
  for (const HfWeight& weight : weights) {
    int64_t from = 0;
    for (size_t k = 0; k < weight.names.size(); ++k) {
      const int64_t count = count_of(weight.shapes[k]);
      arrays.push_back({weight.names[k], dtype, weight.shapes[k], {}, [&, dtype, from, count] {
                          const std::vector<float> all = to_stored(config, weight, session);
                          return stored_as(dtype, std::span(all).subspan(static_cast<size_t>(from),
                                                                         static_cast<size_t>(count)));
                        }});
      from += count;
    }
  }
  write_safetensors(folder / "model.safetensors", arrays);
}

void check_weights(const std::filesystem::path& folder, const ModelConfig& config) {
  const ModelWeights stored = ModelWeights::open(folder);
  for (const HfWeight& weight : hf_weights(config))
    for (size_t k = 0; k < weight.names.size() && weight.layout != Layout::absent; ++k)
      find_weight(stored, weight.names[k]).check(weight.shapes[k], DType::f32);
}

void load_weights(const std::filesystem::path& folder, const ModelConfig& config, Session& session) {
  const ModelWeights stored = ModelWeights::open(folder);
  for (const HfWeight& weight : hf_weights(config)) {
    if (weight.layout == Layout::absent) continue;
    std::vector<float> values;
    for (size_t k = 0; k < weight.names.size(); ++k) {
      std::vector<float> part(static_cast<size_t>(count_of(weight.shapes[k])));
      find_weight(stored, weight.names[k])
          .read(weight.shapes[k], DType::f32, std::as_writable_bytes(std::span(part)));
      values.insert(values.end(), part.begin(), part.end());
    }
    if (!session.has(weight.variable)) throw error("the session has no variable '{}'", weight.variable);
    session.set(weight.variable,
                from_stored(config, weight, std::move(values), session.type(weight.variable).shape));
  }
}

}  // namespace tessera
