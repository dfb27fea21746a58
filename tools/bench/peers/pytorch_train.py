"""Median time of a PyTorch training step (forward, backward, AdamW) on the CPU, for shapes that `tessera bench step` names.

  pytorch_train.py SHAPE {f32 | bf16} [--compile] [--steps 9] [--threads 2]

One JSON line: seconds per step, tokens per second, GF/s of matrix products (6 x matrix parameters x tokens +
6 x layers x batch x seq^2 x width) and the process's peak memory.
"""
# SPDX-License-Identifier: Apache-2.0
import argparse
import json
import resource
import statistics
import time

import torch
import torch.nn as nn
import torch.nn.functional as F

SHAPES = {  # kind, layers, heads, width, ffn, vocab, seq, batch
    "chargpt": ("gpt", 4, 4, 128, 512, 65, 64, 12),
    "llama17m": ("llama", 4, 8, 512, 1408, 4096, 256, 4),
    "gpt30m": ("gpt", 6, 8, 512, 2048, 8192, 256, 8),
    "gpt2": ("gpt", 12, 12, 768, 3072, 50257, 512, 2),
}


class RMSNorm(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x):
        return F.rms_norm(x, x.shape[-1:], self.weight, 1e-5)


def rotate(x, cos, sin):
    a, b = x.chunk(2, -1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), -1)


class Block(nn.Module):
    def __init__(self, kind, heads, width, ffn):
        super().__init__()
        self.heads = heads
        self.llama = kind == "llama"
        norm, bias = (RMSNorm, False) if self.llama else (nn.LayerNorm, True)
        self.norm1, self.norm2 = norm(width), norm(width)
        self.qkv, self.proj = nn.Linear(width, 3 * width, bias), nn.Linear(width, width, bias)
        self.up, self.down = nn.Linear(width, ffn, bias), nn.Linear(ffn, width, bias)
        if self.llama:
            self.gate = nn.Linear(width, ffn, bias)

    def attention(self, x, angles):
        batch, seq, width = x.shape
        q, k, v = self.qkv(x).view(batch, seq, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        if self.llama:
            q, k = rotate(q, *angles), rotate(k, *angles)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.proj(y.transpose(1, 2).reshape(batch, seq, width))

    def mlp(self, x):
        if self.llama:
            return self.down(F.silu(self.gate(x)) * self.up(x))
        return self.down(F.gelu(self.up(x), approximate="tanh"))

    def forward(self, x, angles):
        x = x + self.attention(self.norm1(x), angles)
        return x + self.mlp(self.norm2(x))


class Model(nn.Module):
    def __init__(self, kind, layers, heads, width, ffn, vocab, seq):
        super().__init__()
        self.llama = kind == "llama"
        self.tokens = nn.Embedding(vocab, width)
        self.positions = None if self.llama else nn.Embedding(seq, width)
        self.blocks = nn.ModuleList(Block(kind, heads, width, ffn) for _ in range(layers))
        self.norm = RMSNorm(width) if self.llama else nn.LayerNorm(width)
        self.head = nn.Linear(width, vocab, bias=False)
        if not self.llama:
            self.head.weight = self.tokens.weight
        dim = width // heads
        t = torch.arange(seq)[:, None] / 10000 ** (torch.arange(0, dim, 2) / dim)
        self.register_buffer("cos", t.cos())
        self.register_buffer("sin", t.sin())

    def forward(self, x, y):
        h = self.tokens(x)
        if self.positions is not None:
            h = h + self.positions.weight[: x.shape[1]]
        for block in self.blocks:
            h = block(h, (self.cos, self.sin))
        logits = self.head(self.norm(h))
        return F.cross_entropy(logits.float().view(-1, logits.shape[-1]), y.view(-1))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shape", choices=SHAPES)
    parser.add_argument("dtype", choices=("f32", "bf16"))
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--steps", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    kind, layers, heads, width, ffn, vocab, seq, batch = SHAPES[args.shape]
    torch.manual_seed(0)
    torch.set_num_threads(args.threads)
    model = Model(kind, layers, heads, width, ffn, vocab, seq)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4, fused=True)
    x, y = torch.randint(vocab, (batch, seq)), torch.randint(vocab, (batch, seq))
    forward = torch.compile(model) if args.compile else model

    def step():
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=args.dtype == "bf16"):
            loss = forward(x, y)
        loss.backward()
        optimizer.step()
        return loss.item()

    for _ in range(3):
        step()
    times = []
    for _ in range(args.steps):
        begin = time.perf_counter()
        step()
        times.append(time.perf_counter() - begin)
    seconds = statistics.median(times)
    matrices = layers * (4 * width * width + (3 if kind == "llama" else 2) * width * ffn) + vocab * width
    flops = 6 * matrices * batch * seq + 6 * layers * batch * seq * seq * width
    print(json.dumps({
        "peer": "pytorch-" + torch.__version__.split("+")[0] + ("-compiled" if args.compile else ""),
        "shape": args.shape, "dtype": args.dtype, "step_s": seconds, "tokens_per_s": batch * seq / seconds,
        "gflops": flops / seconds * 1e-9, "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))


if __name__ == "__main__":
    main()
