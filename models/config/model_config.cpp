// Which sizes of a model fit together.
// SPDX-License-Identifier: Apache-2.0
#include "models/config/model_config.hpp"

#include <fmt/format.h>

namespace tessera {
namespace {

struct Limit {
  std::string_view key;
  int64_t ModelConfig::* member;
  int64_t least, most;
};
constexpr Limit limits[] = {
    {"layers", &ModelConfig::layers, 1, 4096},     {"heads", &ModelConfig::heads, 1, 4096},
    {"kv_heads", &ModelConfig::kv_heads, 1, 4096}, {"width", &ModelConfig::width, 1, 1 << 17},
    {"ffn", &ModelConfig::ffn, 1, 1 << 20},        {"vocab", &ModelConfig::vocab, 0, 1 << 24},
    {"seq", &ModelConfig::seq, 1, 1 << 20}};

ConfigProblem problem(std::string_view key, std::string reason) { return {key, std::move(reason)}; }

std::optional<ConfigProblem> kind_problem(const ModelConfig& m) {
  if (m.kind == ModelKind::gpt2) {
    if (m.kv_heads != m.heads)
      return problem("kv_heads",
                     fmt::format("{} differs from heads = {}; gpt2 has no grouped queries, leave it out",
                                 m.kv_heads, m.heads));
    if (m.activation == ActivationKind::silu)
      return problem("activation", "silu is llama's; gpt2 takes gelu or gelu_tanh");
    return std::nullopt;
  }
  if (m.activation != ActivationKind::silu)
    return problem("activation", "a llama's feed-forward is gated by silu; leave it out");
  if (m.head_dim() % 2 != 0)
    return problem("width",
                   fmt::format("{} over {} heads gives heads of odd size {}, which cannot be rotated by RoPE",
                               m.width, m.heads, m.head_dim()));
  return std::nullopt;
}

}  // namespace

ModelConfig default_model(ModelKind kind) {
  ModelConfig model;
  model.kind = kind;
  if (kind == ModelKind::llama) {
    model.bias = model.tied = false;
    model.activation = ActivationKind::silu;
  }
  return model;
}

int64_t default_ffn(ModelKind kind, int64_t width) {
  return kind == ModelKind::gpt2 ? 4 * width : (8 * width / 3 + 63) / 64 * 64;
}

std::optional<ConfigProblem> find_problem(const ModelConfig& m) {
  for (const Limit& limit : limits)
    if (int64_t value = m.*limit.member; value < limit.least || value > limit.most)
      return problem(limit.key,
                     fmt::format("{} is out of range; {} to {} is possible", value, limit.least, limit.most));
  if (m.width % m.heads != 0)
    return problem("width", fmt::format("{} is not divisible by heads = {}; choose a multiple, such as {}",
                                        m.width, m.heads, (m.width / m.heads + 1) * m.heads));
  if (m.heads % m.kv_heads != 0)
    return problem("kv_heads", fmt::format("{} does not divide heads = {}", m.kv_heads, m.heads));
  if (!(m.norm_eps > 0 && m.norm_eps < 1))
    return problem("norm_eps", fmt::format("{} is out of range; it lies between 0 and 1", m.norm_eps));
  if (!(m.rope_theta > 0 && m.rope_theta <= 1e12))
    return problem("rope_theta", fmt::format("{} is out of range; it lies between 0 and 1e12", m.rope_theta));
  if (!(m.init_std >= 0 && m.init_std <= 10))
    return problem("init_std", fmt::format("{} is out of range; it lies between 0 and 10", m.init_std));
  return kind_problem(m);
}

}  // namespace tessera
