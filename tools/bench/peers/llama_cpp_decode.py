"""llama.cpp on the CPU: prefill and decode speed of a LLaMA with random weights.

  llama_cpp_decode.py SHAPE {f32 | bf16} [--prompt 256] [--tokens 128] [--threads 2]

One JSON line. Needs numpy, gguf and llama-cpp-python, built with CMAKE_ARGS=-DGGML_NATIVE=ON.
"""
# SPDX-License-Identifier: Apache-2.0
import argparse
import ctypes
import json
import os
import statistics
import tempfile
import time

import gguf
import llama_cpp
import numpy as np

SHAPES = {  # layers, heads, width, ffn, vocab
    "llama17m": (4, 8, 512, 1408, 4096),
    "llama134m": (12, 12, 768, 2048, 32000),
}


def write(path, layers, heads, width, ffn, vocab):
    random = np.random.default_rng(0)
    out = gguf.GGUFWriter(path, "llama")
    out.add_block_count(layers)
    out.add_context_length(2048)
    out.add_embedding_length(width)
    out.add_feed_forward_length(ffn)
    out.add_head_count(heads)
    out.add_head_count_kv(heads)
    out.add_layer_norm_rms_eps(1e-5)
    out.add_rope_dimension_count(width // heads)
    out.add_vocab_size(vocab)
    out.add_file_type(0)
    out.add_tokenizer_model("none")

    def matrix(name, *shape):
        out.add_tensor(name, (random.standard_normal(shape) * 0.02).astype(np.float32))

    def ones(name):
        out.add_tensor(name, np.ones(width, np.float32))

    matrix("token_embd.weight", vocab, width)
    ones("output_norm.weight")
    matrix("output.weight", vocab, width)
    for i in range(layers):
        ones(f"blk.{i}.attn_norm.weight")
        ones(f"blk.{i}.ffn_norm.weight")
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            matrix(f"blk.{i}.{name}.weight", width, width)
        matrix(f"blk.{i}.ffn_gate.weight", ffn, width)
        matrix(f"blk.{i}.ffn_up.weight", ffn, width)
        matrix(f"blk.{i}.ffn_down.weight", width, ffn)
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()


def model_file(folder, shape, dtype):
    path = os.path.join(folder, "f32.gguf")
    write(path, *SHAPES[shape])
    if dtype == "f32":
        return path
    other = os.path.join(folder, dtype + ".gguf")
    how = llama_cpp.llama_model_quantize_default_params()
    how.ftype = llama_cpp.LLAMA_FTYPE_MOSTLY_BF16
    if llama_cpp.llama_model_quantize(path.encode(), other.encode(), ctypes.byref(how)) != 0:
        raise SystemExit("llama.cpp cannot convert to " + dtype)
    return other


def measure(path, args):
    how = llama_cpp.llama_model_default_params()
    how.n_gpu_layers = 0
    model = llama_cpp.llama_model_load_from_file(path.encode(), how)
    how = llama_cpp.llama_context_default_params()
    how.n_ctx, how.n_batch = args.prompt + args.tokens + 1, max(512, args.prompt)
    how.n_threads = how.n_threads_batch = args.threads
    context = llama_cpp.llama_init_from_model(model, how)
    memory = llama_cpp.llama_get_memory(context)

    def timed(tokens):
        begin = time.perf_counter()
        llama_cpp.llama_decode(context, llama_cpp.llama_batch_get_one(tokens, len(tokens)))
        llama_cpp.llama_synchronize(context)
        return time.perf_counter() - begin

    ids = np.random.default_rng(1).integers(3, 4000, args.prompt).tolist()
    prompt = (llama_cpp.llama_token * args.prompt)(*ids)
    prefills = []
    for i in range(6):
        llama_cpp.llama_memory_clear(memory, True)
        seconds = timed(prompt)
        if i > 0:
            prefills.append(seconds)
    one = (llama_cpp.llama_token * 1)(5)
    return args.prompt / statistics.median(prefills), 1 / statistics.median(timed(one) for _ in range(args.tokens))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shape", choices=SHAPES)
    parser.add_argument("dtype", choices=("f32", "bf16"))
    parser.add_argument("--prompt", type=int, default=256)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    llama_cpp.llama_backend_init()
    with tempfile.TemporaryDirectory() as folder:
        prefill, decode = measure(model_file(folder, args.shape, args.dtype), args)
    print(json.dumps({"peer": "llama.cpp", "shape": args.shape, "dtype": args.dtype,
                      "prefill_tokens_per_s": prefill, "decode_tokens_per_s": decode}))


if __name__ == "__main__":
    main()
