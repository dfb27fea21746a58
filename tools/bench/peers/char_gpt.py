"""Train nanoGPT's character model on a text with PyTorch, as examples/shakespeare.toml does: seconds and validation loss.

  char_gpt.py INPUT.txt [--steps 2000] [--threads 2]

The first 90 % train, in random windows; AdamW with betas 0.9, 0.99, decay 0.1 on matrices, clip 1, a cosine from 1e-3
to 1e-4 after 100 steps of warm-up; no biases, tied head, no dropout.
"""
# SPDX-License-Identifier: Apache-2.0
import argparse
import json
import math
import time

import torch
import torch.nn as nn
import torch.nn.functional as F

LAYERS, HEADS, WIDTH, SEQ, BATCH = 4, 4, 128, 64, 12


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH, bias=False), nn.LayerNorm(WIDTH, bias=False)
        self.qkv, self.proj = nn.Linear(WIDTH, 3 * WIDTH, False), nn.Linear(WIDTH, WIDTH, False)
        self.up, self.down = nn.Linear(WIDTH, 4 * WIDTH, False), nn.Linear(4 * WIDTH, WIDTH, False)

    def forward(self, x):
        q, k, v = self.qkv(self.norm1(x)).view(*x.shape[:2], 3, HEADS, WIDTH // HEADS).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.proj(y.transpose(1, 2).reshape(x.shape))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class Gpt(nn.Module):
    def __init__(self, vocab):
        super().__init__()
        self.tokens, self.positions = nn.Embedding(vocab, WIDTH), nn.Embedding(SEQ, WIDTH)
        self.blocks = nn.ModuleList(Block() for _ in range(LAYERS))
        self.norm = nn.LayerNorm(WIDTH, bias=False)
        for name, p in self.named_parameters():
            if p.dim() == 2:
                residual = name.endswith(("proj.weight", "down.weight"))
                nn.init.normal_(p, std=0.02 / math.sqrt(2 * LAYERS) if residual else 0.02)

    def forward(self, x):
        h = self.tokens(x) + self.positions.weight[: x.shape[1]]
        for block in self.blocks:
            h = block(h)
        return F.linear(self.norm(h), self.tokens.weight)


def rate(step, steps):
    if step < 100:
        return 1e-3 * (step + 1) / 101
    return 1e-4 + 0.5 * (1 + math.cos(math.pi * (step - 100) / max(1, steps - 100))) * 9e-4


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(args.threads)
    with open(args.text, encoding="utf-8") as file:
        text = file.read()
    ids = {c: i for i, c in enumerate(sorted(set(text)))}
    data = torch.tensor([ids[c] for c in text])
    cut = int(0.9 * len(data))
    train, val = data[:cut], data[cut:]
    model = Gpt(len(ids))
    groups = [{"params": [p for p in model.parameters() if p.dim() == 2], "weight_decay": 0.1},
              {"params": [p for p in model.parameters() if p.dim() == 1], "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.99), fused=True)
    begin = time.time()
    for step in range(args.steps):
        for group in optimizer.param_groups:
            group["lr"] = rate(step, args.steps)
        at = torch.randint(len(train) - SEQ, (BATCH,))
        x = torch.stack([train[i : i + SEQ] for i in at])
        y = torch.stack([train[i + 1 : i + SEQ + 1] for i in at])
        loss = F.cross_entropy(model(x).view(-1, len(ids)), y.view(-1))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    seconds = time.time() - begin
    windows = (len(val) - 1) // SEQ
    x, y = val[: windows * SEQ].view(windows, SEQ), val[1 : windows * SEQ + 1].view(windows, SEQ)
    with torch.no_grad():
        total = sum(F.cross_entropy(model(x[i : i + 64]).view(-1, len(ids)), y[i : i + 64].reshape(-1),
                                    reduction="sum").item() for i in range(0, windows, 64))
    print(json.dumps({"peer": "pytorch-" + torch.__version__.split("+")[0], "seconds": seconds,
                      "val_loss": total / (windows * SEQ)}))


if __name__ == "__main__":
    main()
