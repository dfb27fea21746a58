// Walking through a llama2.c checkpoint in the order its two exporters write it.
// SPDX-License-Identifier: Apache-2.0
#include "models/checkpoint/llama2c.hpp"

#include <array>
#include <cstring>

#include "runtime/core/error.hpp"
#include "runtime/core/file.hpp"

namespace tessera {
namespace {

constexpr int32_t magic = 0x616b3432;  // "ak42", from version 1 on
constexpr size_t header_bytes_v0 = 7 * sizeof(int32_t), header_bytes_v1 = 256;

using Bytes = std::span<const std::byte>;

struct Header {
  ModelConfig config;
  bool first_version;  // version 0: other order, and tables of cosines and sines at the end
  size_t bytes;
};

Header read_header(Bytes bytes, std::string_view source) {
  std::array<int32_t, 9> words{};
  if (bytes.size() < header_bytes_v0)
    throw error("{}: is {} bytes long, no llama2.c checkpoint", source, bytes.size());
  std::memcpy(words.data(), bytes.data(), std::min(bytes.size(), sizeof words));
  bool first = words[0] != magic;
  if (!first && bytes.size() < header_bytes_v1) throw error("{}: is truncated within its header", source);
  if (!first && words[1] != 1)
    throw error("{}: is of version {} of llama2.c's formats; 0 and 1 are read, export it with --version 1",
                source, words[1]);
  const int32_t* size = words.data() + (first ? 0 : 2);
  ModelConfig config = default_model(ModelKind::llama);
  config.width = size[0], config.ffn = size[1], config.layers = size[2], config.heads = size[3];
  config.kv_heads = size[4], config.seq = size[6];
  // Version 0 says by a negative vocabulary that the head is not shared, version 1 by a byte.
  config.vocab = first ? std::abs(int64_t{size[5]}) : size[5];
  config.tied = first ? size[5] > 0 : bytes[sizeof words] != std::byte{0};
  if (config.vocab == 0)
    throw error("{}: vocab: 0 is out of range; no llama2.c checkpoint, or damaged", source);
  if (auto problem = find_problem(config))
    throw error("{}: {}: {}; no llama2.c checkpoint, or damaged", source, problem->key, problem->reason);
  return {config, first, first ? header_bytes_v0 : header_bytes_v1};
}

// One kind of tensor; with layers, one for each layer lies after the other.
struct Part {
  std::string_view name;
  std::vector<int64_t> shape;
  int64_t layers;
  int64_t rotated_heads = 0;  // of q and k
};

std::vector<Part> parts_in_order(const Header& header) {
  const ModelConfig& c = header.config;
  int64_t layers = c.layers, kv_width = c.kv_heads * c.head_dim();
  Part embed{"model.embed_tokens", {c.vocab, c.width}, 0}, head{"lm_head", {c.vocab, c.width}, 0};
  Part norm1{"input_layernorm", {c.width}, layers}, norm2{"post_attention_layernorm", {c.width}, layers};
  Part norm{"model.norm", {c.width}, 0};
  Part q{"self_attn.q_proj", {c.width, c.width}, layers, c.heads};
  Part k{"self_attn.k_proj", {kv_width, c.width}, layers, c.kv_heads};
  Part v{"self_attn.v_proj", {kv_width, c.width}, layers}, o{"self_attn.o_proj", {c.width, c.width}, layers};
  Part gate{"mlp.gate_proj", {c.ffn, c.width}, layers}, up{"mlp.up_proj", {c.ffn, c.width}, layers};
  Part down{"mlp.down_proj", {c.width, c.ffn}, layers};
  std::vector<Part> parts;
  if (header.first_version)
    // The two halves of the rotation's tables, which have no name and are worked out anew.
    parts = {embed, norm1, q, k, v, o, norm2, gate, down, up, norm, {"", {2, c.seq, c.head_dim() / 2}, 0}};
  else
    parts = {norm1, norm2, norm, embed, q, k, v, o, gate, down, up};
  if (!c.tied) parts.push_back(head);
  return parts;
}

size_t bytes_of(const Part& part) {
  size_t bytes = sizeof(float) * static_cast<size_t>(std::max<int64_t>(part.layers, 1));
  for (int64_t extent : part.shape) bytes *= static_cast<size_t>(extent);
  return bytes;
}

// Within each head, rows 0 2 4 … come first and 1 3 5 … after them.
void halves_from_pairs(std::vector<std::byte>& bytes, Bytes src, int64_t heads, int64_t rows,
                       int64_t columns) {
  size_t row_bytes = static_cast<size_t>(columns) * sizeof(float);
  int64_t head_dim = rows / heads;
  for (int64_t row = 0; row < rows; ++row) {
    int64_t in_head = row % head_dim, to = row - in_head + in_head / 2 + in_head % 2 * (head_dim / 2);
    std::memcpy(bytes.data() + static_cast<size_t>(to) * row_bytes,
                src.data() + static_cast<size_t>(row) * row_bytes, row_bytes);
  }
}

OwnedArray tensor_from(const Part& part, std::string name, Bytes src) {
  OwnedArray tensor{std::move(name), DType::f32, part.shape, std::vector<std::byte>(src.begin(), src.end())};
  if (part.rotated_heads > 0)
    halves_from_pairs(tensor.bytes, src, part.rotated_heads, part.shape[0], part.shape[1]);
  return tensor;
}

}  // namespace

ImportedModel read_llama2c_checkpoint(const std::filesystem::path& file) {
  MappedFile mapped(file);
  return parse_llama2c_checkpoint(mapped.bytes(), file.string());
}

ImportedModel parse_llama2c_checkpoint(Bytes bytes, std::string_view source) {
  Header header = read_header(bytes, source);
  std::vector<Part> parts = parts_in_order(header);
  size_t needed = header.bytes;
  for (const Part& part : parts) needed += bytes_of(part);
  if (bytes.size() != needed)
    throw error(
        "{}: is {} bytes long, a checkpoint of the sizes in its header has {}; truncated, or another format",
        source, bytes.size(), needed);

  ImportedModel model{header.config, {}};
  Bytes rest = bytes.subspan(header.bytes);
  for (const Part& part : parts) {
    Bytes stored = rest.first(bytes_of(part));
    rest = rest.subspan(stored.size());
    if (part.name.empty()) continue;
    if (part.layers == 0)
      model.tensors.push_back(tensor_from(part, fmt::format("{}.weight", part.name), stored));
    for (int64_t layer = 0; layer < part.layers; ++layer) {
      size_t each = stored.size() / static_cast<size_t>(part.layers);
      model.tensors.push_back(tensor_from(part, fmt::format("model.layers.{}.{}.weight", layer, part.name),
                                          stored.subspan(static_cast<size_t>(layer) * each, each)));
    }
  }
  return model;
}

}  // namespace tessera
