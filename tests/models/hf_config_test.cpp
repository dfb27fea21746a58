// config.json of GPT-2 and LLaMA: read, written, read back, and refused where it asks for something else.
// SPDX-License-Identifier: Apache-2.0
#include "models/config/hf_config.hpp"

#include <nlohmann/json.hpp>

#include "tests/models/scratch.hpp"

namespace tessera {
namespace {

using nlohmann::json;
using test::error_of;
using testing::HasSubstr;
using testing::StartsWith;

const json gpt2 = json::parse(R"({"architectures": ["GPT2LMHeadModel"], "model_type": "gpt2", "n_layer": 2,
  "n_head": 4, "n_embd": 32, "n_inner": null, "vocab_size": 100, "n_positions": 64, "n_ctx": 64,
  "activation_function": "gelu_new", "layer_norm_epsilon": 1e-05, "initializer_range": 0.02,
  "bos_token_id": 50256, "eos_token_id": 99, "scale_attn_weights": true, "torch_dtype": "float32",
  "task_specific_params": {"x": 1}})");
const json llama = json::parse(R"({"architectures": ["LlamaForCausalLM"], "model_type": "llama",
  "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "hidden_size": 32,
  "intermediate_size": 88, "vocab_size": 100, "max_position_embeddings": 64, "rms_norm_eps": 1e-06,
  "rope_theta": 500000.0, "hidden_act": "silu", "attention_bias": false, "mlp_bias": false, "head_dim": 8,
  "bos_token_id": 1, "eos_token_id": [2, 3], "tie_word_embeddings": true, "dtype": "bfloat16",
  "rope_scaling": null, "pretraining_tp": 1})");

HfConfig read(const json& object) { return parse_hf_config(object.dump(), "config.json"); }

TEST(HfConfig, ReadsGpt2) {
  HfConfig c = read(gpt2);
  ModelConfig expected{
      .layers = 2, .heads = 4, .kv_heads = 4, .width = 32, .ffn = 128, .vocab = 100, .seq = 64};
  EXPECT_EQ(c.model, expected);
  EXPECT_EQ(c.dtype, DType::f32);
  EXPECT_EQ(c.bos, std::nullopt);
  EXPECT_EQ(c.eos, 99);
}

TEST(HfConfig, ReadsLlamaOfOldAndOfToday) {
  ModelConfig expected{.kind = ModelKind::llama,
                       .layers = 2,
                       .heads = 4,
                       .kv_heads = 2,
                       .width = 32,
                       .ffn = 88,
                       .vocab = 100,
                       .seq = 64,
                       .bias = false,
                       .activation = ActivationKind::silu,
                       .tied = true,
                       .norm_eps = 1e-6,
                       .rope_theta = 500000};
  HfConfig c = read(llama);
  EXPECT_EQ(c.model, expected);
  EXPECT_EQ(c.dtype, DType::bf16);
  EXPECT_EQ(c.bos, 1);
  EXPECT_EQ(c.eos, 2);
  json today = llama;
  today.erase("rope_theta");
  today["rope_parameters"] = {{"rope_type", "default"}, {"rope_theta", 500000.0}};
  EXPECT_EQ(read(today), c);
}

TEST(HfConfig, ReadsBackWhatItWrites) {
  for (const json& source : {gpt2, llama}) {
    HfConfig c = read(source);
    c.model.tied = false;
    c.dtype = DType::f16;
    c.model.bias = true;
    if (c.model.kind == ModelKind::gpt2) c.model.activation = ActivationKind::gelu;
    EXPECT_EQ(parse_hf_config(hf_config_json(c), "again"), c);
  }
  EXPECT_EQ(json::parse(hf_config_json(read(gpt2)))["architectures"], json::array({"GPT2LMHeadModel"}));
}

struct Change {
  const json& base;
  std::string_view patch, message;
};

TEST(HfConfig, NamesTheKeyItCannotFollow) {
  const Change changes[] = {
      {gpt2, R"({"architectures": ["BertModel"]})", "architectures: 'BertModel' is not supported"},
      {gpt2, R"({"architectures": "GPT2LMHeadModel"})", "architectures: must be a list"},
      {gpt2, R"({"architectures": null, "model_type": null})", "model_type: missing"},
      {gpt2, R"({"architectures": null, "model_type": "t5"})", "model_type: 't5' is not supported"},
      {gpt2, R"({"model_type": "llama"})", "model_type: 'llama' does not fit"},
      {gpt2, R"({"n_layer": null})", "n_layer: missing"},
      {gpt2, R"({"n_layer": 1000000000})", "n_layer: 1000000000 is out of range"},
      {gpt2, R"({"n_layer": "2"})", "n_layer: must be a whole number"},
      {gpt2, R"({"n_layer": 2.5})", "n_layer: must be a whole number"},
      {gpt2, R"({"n_embd": 33})", "n_embd: 33 is not divisible by heads = 4"},
      {gpt2, R"({"n_embd": -9223372036854775808})", "n_embd: -9223372036854775808 is out of range"},
      {gpt2, R"({"n_embd": 18446744073709551615})", "n_embd: must be a whole number"},
      {gpt2, R"({"n_head": 0})", "n_head: 0 is out of range"},
      {gpt2, R"({"vocab_size": 0})", "vocab_size: 0 is out of range"},
      {gpt2, R"({"activation_function": "relu"})", "activation_function: 'relu' is not supported"},
      {gpt2, R"({"scale_attn_weights": false})", "scale_attn_weights: false is not supported"},
      {gpt2, R"({"add_cross_attention": true})", "add_cross_attention: true is not supported"},
      {gpt2, R"({"layer_norm_epsilon": "x"})", "layer_norm_epsilon: must be a number"},
      {gpt2, R"({"tie_word_embeddings": 1})", "tie_word_embeddings: must be true or false"},
      {gpt2, R"({"torch_dtype": "int8"})", "dtype: 'int8' is not supported"},
      {gpt2, R"({"quantization_config": {"bits": 4}})", "quantization_config: quantized weights"},
      {gpt2, R"({"eos_token_id": "x"})", "eos_token_id: must be a token id"},
      {llama, R"({"num_key_value_heads": 3})", "num_key_value_heads: 3 does not divide heads = 4"},
      {llama, R"({"head_dim": 16})", "head_dim: differs from width over heads, which is 8"},
      {llama, R"({"hidden_act": "gelu"})", "hidden_act: 'gelu' is not supported"},
      {llama, R"({"mlp_bias": true})", "mlp_bias: differs from attention_bias"},
      {llama, R"({"rope_scaling": {"rope_type": "llama3", "factor": 8}})",
       "rope_scaling: rope_type 'llama3'"},
      {llama, R"({"rope_scaling": {"type": "linear"}})", "rope_scaling: rope_type 'linear'"},
      {llama, R"({"rope_parameters": {"rope_theta": "x"}})", "rope_parameters: rope_theta: must be a number"},
      {llama, R"({"rope_theta": -1})", "rope_theta: -1 is out of range"},
      {llama, R"({"intermediate_size": null})", "intermediate_size: missing"},
      {llama, R"({"rms_norm_eps": 2})", "rms_norm_eps: 2 is out of range"},
  };
  for (const Change& change : changes) {
    json object = change.base;
    object.update(json::parse(change.patch));
    std::string message = error_of([&] { read(object); });
    EXPECT_THAT(message, HasSubstr(change.message));
    EXPECT_THAT(message, StartsWith("config.json: "));
  }
}

TEST(HfConfig, RefusesWhatIsNoObject) {
  EXPECT_THAT(error_of([] { parse_hf_config("", "c"); }), HasSubstr("c: not valid JSON"));
  EXPECT_THAT(error_of([] { parse_hf_config("[]", "c"); }), HasSubstr("c: must be a JSON object"));
  EXPECT_THAT(error_of([] { parse_hf_config("{\"n_layer\":1,\"n_layer\":2}", "c"); }), HasSubstr("twice"));
  EXPECT_THAT(error_of([] { parse_hf_config("{\"n_layer\":1e999}", "c"); }), HasSubstr("c: not valid JSON"));
  test::ScratchFolder folder;
  EXPECT_THAT(error_of([&] { read_hf_config(folder / "config.json"); }),
              HasSubstr("config.json: no such file"));
}

}  // namespace
}  // namespace tessera
