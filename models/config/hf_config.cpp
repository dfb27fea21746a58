// Reading and writing config.json with every key that changes the computation checked.
// SPDX-License-Identifier: Apache-2.0
#include "models/config/hf_config.hpp"

#include <algorithm>
#include <cmath>

#include "models/checkpoint/json.hpp"
#include "models/config/config_names.hpp"
#include "runtime/core/error.hpp"
#include "runtime/core/file.hpp"
#include "runtime/core/text.hpp"

namespace tessera {
namespace {

using nlohmann::json;

// Our name of a size, and theirs.
struct KeyNames {
  std::string_view ours, gpt2, llama;
};
constexpr KeyNames key_names[] = {{"layers", "n_layer", "num_hidden_layers"},
                                  {"heads", "n_head", "num_attention_heads"},
                                  {"kv_heads", "n_head", "num_key_value_heads"},
                                  {"width", "n_embd", "hidden_size"},
                                  {"ffn", "n_inner", "intermediate_size"},
                                  {"vocab", "vocab_size", "vocab_size"},
                                  {"seq", "n_positions", "max_position_embeddings"},
                                  {"activation", "activation_function", "hidden_act"},
                                  {"norm_eps", "layer_norm_epsilon", "rms_norm_eps"},
                                  {"rope_theta", "rope_theta", "rope_theta"},
                                  {"init_std", "initializer_range", "initializer_range"}};

constexpr std::pair<std::string_view, ActivationKind> gpt2_activations[] = {
    {"gelu", ActivationKind::gelu},
    {"gelu_new", ActivationKind::gelu_tanh},
    {"gelu_pytorch_tanh", ActivationKind::gelu_tanh}};
constexpr std::pair<std::string_view, DType> hf_dtypes[] = {
    {"float32", DType::f32}, {"bfloat16", DType::bf16}, {"float16", DType::f16}};

std::string_view hf_key(ModelKind kind, std::string_view ours) {
  const KeyNames& names = *std::ranges::find(key_names, ours, &KeyNames::ours);
  return kind == ModelKind::gpt2 ? names.gpt2 : names.llama;
}

// Typed access to the file's top level; null counts as absent, as it does for Hugging Face.
class Fields {
 public:
  Fields(const json& object, std::string_view source) : object_(object), source_(source) {}

  [[noreturn]] void fail(std::string_view key, std::string_view reason) const {
    throw error("{}: {}: {}", source_, key, reason);
  }
  const json* find(std::string_view key) const {
    auto at = object_.find(key);
    return at == object_.end() || at->is_null() ? nullptr : &*at;
  }
  int64_t integer(std::string_view key, std::optional<int64_t> absent = {}) const {
    const json* value = find(key);
    if (!value && absent) return *absent;
    if (!value) fail(key, "missing");
    if (!value->is_number_integer() || (value->is_number_unsigned() && value->get<uint64_t>() > INT64_MAX))
      fail(key, "must be a whole number");
    return value->get<int64_t>();
  }
  double number(std::string_view key, double absent) const {
    const json* value = find(key);
    if (value && !value->is_number()) fail(key, "must be a number");
    return value ? value->get<double>() : absent;
  }
  bool boolean(std::string_view key, bool absent) const {
    const json* value = find(key);
    if (value && !value->is_boolean()) fail(key, "must be true or false");
    return value ? value->get<bool>() : absent;
  }
  std::string text(std::string_view key, std::string_view absent) const {
    const json* value = find(key);
    if (value && !value->is_string()) fail(key, "must be a string");
    return value ? value->get<std::string>() : std::string(absent);
  }
  // A variant that is computed in one way only here.
  void must_be(std::string_view key, bool wanted) const {
    if (boolean(key, wanted) != wanted) fail(key, fmt::format("{} is not supported", !wanted));
  }
  template <class E>
  E choose(std::string_view key, std::string_view absent,
           std::span<const std::pair<std::string_view, E>> choices) const {
    std::string word = text(key, absent);
    std::vector<std::string_view> known;
    for (const auto& [name, value] : choices) {
      if (name == word) return value;
      known.push_back(name);
    }
    fail(key, fmt::format("{} is not supported; {} are", shown(word), listed(known)));
  }

 private:
  const json& object_;
  std::string source_;
};

ModelKind read_kind(const Fields& fields) {
  std::string type = fields.text("model_type", "");
  if (const json* names = fields.find("architectures")) {
    if (!names->is_array() || names->size() != 1 || !names->front().is_string())
      fields.fail("architectures", "must be a list of one string");
    std::string name = names->front().get<std::string>();
    // A GPT-2 saved without its head: that is the token embedding once more, unless tied is false.
    if (name != "GPT2LMHeadModel" && name != "GPT2Model" && name != "LlamaForCausalLM")
      fields.fail("architectures",
                  fmt::format("{} is not supported; GPT2LMHeadModel and LlamaForCausalLM are", shown(name)));
    std::string_view implied = name == "LlamaForCausalLM" ? "llama" : "gpt2";
    if (!type.empty() && type != implied)
      fields.fail("model_type", fmt::format("{} does not fit the architecture {}", shown(type), name));
    type = implied;
  }
  if (type.empty()) fields.fail("model_type", "missing, and so is architectures");
  for (const auto& [word, kind] : model_kinds)
    if (word == type) return kind;
  fields.fail("model_type", fmt::format("{} is not supported; gpt2 and llama are", shown(type)));
}

void read_gpt2(const Fields& fields, ModelConfig& model) {
  model.kv_heads = model.heads;
  model.ffn = fields.integer("n_inner", model.width > 0 && model.width < INT32_MAX ? 4 * model.width : 0);
  model.bias = true;
  model.activation = fields.choose<ActivationKind>("activation_function", "gelu_new", gpt2_activations);
  model.norm_eps = fields.number("layer_norm_epsilon", 1e-5);
  model.tied = fields.boolean("tie_word_embeddings", true);
  fields.must_be("scale_attn_weights", true);
  fields.must_be("scale_attn_by_inverse_layer_idx", false);
  fields.must_be("add_cross_attention", false);
}

// "rope_theta": 10000 of old, "rope_parameters": {"rope_type": "default", "rope_theta": 10000} of today.
double read_rope(const Fields& fields, std::string_view source) {
  double theta = fields.number("rope_theta", 10000);
  for (std::string_view key : {"rope_scaling", "rope_parameters"}) {
    const json* rope = fields.find(key);
    if (!rope) continue;
    if (!rope->is_object()) fields.fail(key, "must be an object");
    Fields inner(*rope, fmt::format("{}: {}", source, key));
    std::string type = inner.text("rope_type", inner.text("type", "default"));
    if (type != "default") fields.fail(key, fmt::format("rope_type {} is not supported", shown(type)));
    theta = inner.number("rope_theta", theta);
  }
  return theta;
}

void read_llama(const Fields& fields, ModelConfig& model, std::string_view source) {
  model.kv_heads = fields.integer("num_key_value_heads", model.heads);
  model.ffn = fields.integer("intermediate_size");
  model.bias = fields.boolean("attention_bias", false);
  if (fields.boolean("mlp_bias", false) != model.bias)
    fields.fail("mlp_bias", "differs from attention_bias; biases everywhere or nowhere are supported");
  constexpr std::pair<std::string_view, ActivationKind> silu[] = {{"silu", ActivationKind::silu}};
  model.activation = fields.choose<ActivationKind>("hidden_act", "silu", silu);
  model.norm_eps = fields.number("rms_norm_eps", 1e-6);
  model.rope_theta = read_rope(fields, source);
  model.tied = fields.boolean("tie_word_embeddings", false);
}

// Null, one id, or a list of which the first counts.
std::optional<int32_t> read_token(const Fields& fields, std::string_view key, int64_t vocab) {
  const json* value = fields.find(key);
  if (value && value->is_array()) value = value->empty() ? nullptr : &value->front();
  if (!value) return std::nullopt;
  if (!value->is_number_integer()) fields.fail(key, "must be a token id");
  // GPT-2's class default of 50256 stands in configurations of any vocabulary: beyond it, no such token.
  if (!value->is_number_unsigned() || value->get<uint64_t>() >= static_cast<uint64_t>(vocab))
    return std::nullopt;
  return value->get<int32_t>();
}

std::string_view hf_name(DType type) {
  for (const auto& [name, value] : hf_dtypes)
    if (value == type) return name;
  throw error("weights cannot be stored as {}", name_of(type));
}

}  // namespace

HfConfig read_hf_config(const std::filesystem::path& file) {
  return parse_hf_config(read_file(file, 16 << 20), file.string());
}

HfConfig parse_hf_config(std::string_view text, std::string_view source) {
  json object = parse_json(text, source);
  if (!object.is_object()) throw error("{}: must be a JSON object", source);
  Fields fields(object, source);
  if (fields.find("quantization_config"))
    fields.fail("quantization_config", "quantized weights are not supported");

  HfConfig config;
  ModelKind kind = read_kind(fields);
  ModelConfig& model = config.model = default_model(kind);
  model.layers = fields.integer(hf_key(kind, "layers"));
  model.heads = fields.integer(hf_key(kind, "heads"));
  model.width = fields.integer(hf_key(kind, "width"));
  model.vocab = fields.integer(hf_key(kind, "vocab"));
  model.seq = fields.integer(hf_key(kind, "seq"));
  model.init_std = fields.number(hf_key(kind, "init_std"), 0.02);
  if (kind == ModelKind::gpt2)
    read_gpt2(fields, model);
  else
    read_llama(fields, model, source);
  if (model.vocab == 0) fields.fail("vocab_size", "0 is out of range");
  if (auto problem = find_problem(model)) fields.fail(hf_key(kind, problem->key), problem->reason);
  if (fields.integer("head_dim", model.head_dim()) != model.head_dim())
    fields.fail("head_dim", fmt::format("differs from width over heads, which is {}", model.head_dim()));

  config.dtype = fields.choose<DType>("dtype", fields.text("torch_dtype", "float32"), hf_dtypes);
  config.bos = read_token(fields, "bos_token_id", model.vocab);
  config.eos = read_token(fields, "eos_token_id", model.vocab);
  return config;
}

std::string hf_config_json(const HfConfig& config) {
  const ModelConfig& m = config.model;
  auto key = [&](std::string_view ours) { return std::string(hf_key(m.kind, ours)); };
  auto token = [](std::optional<int32_t> id) { return id ? json(*id) : json(nullptr); };
  json out = {{"torch_dtype", hf_name(config.dtype)},
              {key("layers"), m.layers},
              {key("heads"), m.heads},
              {key("width"), m.width},
              {key("ffn"), m.ffn},
              {key("vocab"), m.vocab},
              {key("seq"), m.seq},
              {key("norm_eps"), m.norm_eps},
              {key("init_std"), m.init_std},
              {"tie_word_embeddings", m.tied},
              {"bos_token_id", token(config.bos)},
              {"eos_token_id", token(config.eos)}};
  if (m.kind == ModelKind::gpt2) {
    out.update({{"architectures", {"GPT2LMHeadModel"}}, {"model_type", "gpt2"}});
    out["activation_function"] = m.activation == ActivationKind::gelu ? "gelu" : "gelu_new";
    for (const char* dropout : {"attn_pdrop", "embd_pdrop", "resid_pdrop"}) out[dropout] = 0.0;
  } else {
    out.update({{"architectures", {"LlamaForCausalLM"}}, {"model_type", "llama"}});
    out.update({{"num_key_value_heads", m.kv_heads}, {"rope_theta", m.rope_theta}, {"hidden_act", "silu"}});
    out.update({{"attention_bias", m.bias}, {"mlp_bias", m.bias}, {"attention_dropout", 0.0}});
  }
  return out.dump(2) + "\n";
}

}  // namespace tessera
