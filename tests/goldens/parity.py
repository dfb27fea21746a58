"""Losses of 20 training steps of a small GPT-2 and a small LLaMA in PyTorch, with the weights they start from.

Needs torch and transformers. Writes <kind>/config.json, <kind>/model.safetensors and <kind>/losses.json beside itself.
"""
# SPDX-License-Identifier: Apache-2.0
import json
import math
import pathlib

import torch
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

HERE = pathlib.Path(__file__).parent
VOCAB, SEQ, BATCH, STEPS = 61, 16, 10, 20
LR, MIN_LR, WARMUP, BETAS, DECAY, CLIP = 3e-3, 3e-4, 4, (0.9, 0.95), 0.1, 1.0


def gpt2():
    return GPT2LMHeadModel(GPT2Config(
        vocab_size=VOCAB, n_positions=SEQ, n_embd=32, n_layer=2, n_head=4, n_inner=80, activation_function="gelu_new",
        resid_pdrop=0, embd_pdrop=0, attn_pdrop=0, bos_token_id=0, eos_token_id=0, attn_implementation="eager"))


def llama():
    return LlamaForCausalLM(LlamaConfig(
        vocab_size=VOCAB, max_position_embeddings=SEQ, hidden_size=32, intermediate_size=80, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, rms_norm_eps=1e-5, tie_word_embeddings=False, bos_token_id=0,
        eos_token_id=0, attn_implementation="eager"))


def rate(step):
    if step < WARMUP:
        return LR * (step + 1) / (WARMUP + 1)
    return MIN_LR + 0.5 * (1 + math.cos(math.pi * (step - WARMUP) / (STEPS - WARMUP))) * (LR - MIN_LR)


def main():
    for name, make in (("gpt2", gpt2), ("llama", llama)):
        torch.manual_seed(0)
        model = make().float().train()
        for parameter in model.parameters():  # larger than usual, so that every layer matters
            if parameter.dim() == 2:
                torch.nn.init.normal_(parameter, std=0.15)
        folder = HERE / name
        model.save_pretrained(folder)
        (folder / "generation_config.json").unlink(missing_ok=True)
        matrices = [p for p in model.parameters() if p.dim() == 2]
        vectors = [p for p in model.parameters() if p.dim() == 1]
        optimizer = torch.optim.AdamW([{"params": matrices, "weight_decay": DECAY}, {"params": vectors, "weight_decay": 0.0}],
                                      lr=LR, betas=BETAS, eps=1e-8)
        steps = []
        for step in range(STEPS):
            tokens = torch.randint(VOCAB, (BATCH, SEQ))
            labels = (tokens * 7 + torch.roll(tokens, 1, 1) * 3 + 1) % VOCAB
            labels[0, :3] = -100
            for group in optimizer.param_groups:
                group["lr"] = rate(step)
            logits = model(tokens, use_cache=False).logits
            loss = torch.nn.functional.cross_entropy(logits.view(-1, VOCAB), labels.view(-1), ignore_index=-100)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
            optimizer.step()
            steps.append({"tokens": tokens.flatten().tolist(), "labels": labels.flatten().tolist(), "loss": loss.item()})
        settings = {"batch": BATCH, "steps": STEPS, "lr": LR, "min_lr": MIN_LR, "warmup": WARMUP, "betas": BETAS,
                    "weight_decay": DECAY, "clip": CLIP}
        (folder / "losses.json").write_text(json.dumps({"made_with": f"torch {torch.__version__}", "settings": settings, "steps": steps}) + "\n")
        print(name, steps[0]["loss"], steps[-1]["loss"])


main()
