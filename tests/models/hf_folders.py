"""Model folders and their logits in transformers, for hf_folders_peers_test.cpp.

  hf_folders.py write FOLDER      saves models of every kind into folders of FOLDER, each with logits.bin
  hf_folders.py read MODEL...     loads model folders and leaves logits.bin in each
"""
# SPDX-License-Identifier: Apache-2.0
import json
import os
import pathlib
import sys

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, logging

logging.set_verbosity_error()
logging.disable_progress_bar()

VOCAB, SEQ = 61, 24


def gpt2(**settings):
    return GPT2LMHeadModel(GPT2Config(vocab_size=VOCAB, n_positions=SEQ, n_embd=32, n_layer=2, n_head=4, **settings))


def llama(**settings):
    return LlamaForCausalLM(LlamaConfig(
        vocab_size=VOCAB, max_position_embeddings=SEQ, hidden_size=32, intermediate_size=80, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=settings.pop("kv_heads", 2), **settings))


def leave_logits(model, folder):
    vocab = model.config.vocab_size
    ids = torch.tensor([[(position * 7 + 3) % vocab for position in range(SEQ)]])
    with torch.no_grad():
        logits = model.float().eval()(ids, use_cache=False).logits[0]
    (folder / "logits.bin").write_bytes(logits.contiguous().numpy().tobytes())


def rename(folder, change):
    """Saves the folder's tensors again under other names, or more of them."""
    file = folder / "model.safetensors"
    save_file(change(load_file(file)), file, metadata={"format": "pt"})


def edit_config(folder, **keys):
    file = folder / "config.json"
    config = json.loads(file.read_text())
    config.update(keys)
    file.write_text(json.dumps({key: value for key, value in config.items() if value is not ...}))


def write(root):
    def save(name, model, dtype=torch.float32, **how):
        torch.manual_seed(len(name))
        for parameter in model.parameters():  # larger than usual, so that every layer matters
            torch.nn.init.normal_(parameter, mean=float(parameter.dim() == 1), std=0.15)
        model.tie_weights()
        folder = root / name
        model.to(dtype).save_pretrained(folder, **how)
        # The stored values, computed with in f32; a model cast to bf16 and back would keep rounded rotary angles.
        leave_logits(AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32), folder)
        return folder

    save("gpt2_tied", gpt2())
    save("gpt2_untied", gpt2(tie_word_embeddings=False, activation_function="gelu", n_inner=96))
    save("gpt2_bf16", gpt2(), torch.bfloat16)
    save("gpt2_shards", gpt2(tie_word_embeddings=False), max_shard_size="20KB")
    bare = save("gpt2_bare", gpt2())  # as first published: other names, causal masks among the weights
    rename(bare, lambda tensors: {name.removeprefix("transformer."): tensor for name, tensor in tensors.items()} |
           {"h.0.attn.bias": torch.ones(1, 1, SEQ, SEQ)})
    base = save("gpt2_base", gpt2())
    GPT2LMHeadModel.from_pretrained(base).transformer.save_pretrained(base)
    head = save("gpt2_head", gpt2())  # the head's own copy of the embedding
    rename(head, lambda tensors: tensors | {"lm_head.weight": tensors["transformer.wte.weight"].clone()})

    save("llama_untied", llama())
    save("llama_tied", llama(tie_word_embeddings=True, kv_heads=1))
    save("llama_bf16", llama(kv_heads=4, attention_bias=True, mlp_bias=True), torch.bfloat16)
    save("llama_shards", llama(rope_parameters={"rope_type": "default", "rope_theta": 500.0}), max_shard_size="20KB")
    save("llama_bf16_shards", llama(tie_word_embeddings=True), torch.bfloat16, max_shard_size="10KB")
    old = save("llama_old", llama(), torch.float16)  # keys of transformers 4
    edit_config(old, torch_dtype="float16", dtype=..., rope_parameters=..., rope_theta=10000.0, head_dim=...)
    none = save("llama_no_dtype", llama())
    edit_config(none, dtype=...)


def read(folders):
    for folder in map(pathlib.Path, folders):
        model, about = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
        for what, keys in about.items():
            if keys:
                sys.exit(f"{folder}: {what}: {keys}")
        expected = {"gpt2": "GPT2LMHeadModel", "llama": "LlamaForCausalLM"}[model.config.model_type]
        if type(model).__name__ != expected:
            sys.exit(f"{folder}: loads as {type(model).__name__}")
        leave_logits(model, folder)


if sys.argv[1] == "write":
    write(pathlib.Path(sys.argv[2]))
else:
    read(sys.argv[2:])
