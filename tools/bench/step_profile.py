"""Where the time of a training step goes, as a Markdown table: a bar per kernel, filled as far as its bound.

usage: python3 tools/bench/step_profile.py [SHAPE [DTYPE]]      default gpt30m f32

A kernel's bar is as long as its share of the workers' time; the filled part is what it would take at its bound,
the machine's matmul rate or its memory's, as `tessera bench ops` measures it for this shape's tiles, one core at
work. Leave the machine idle. TESSERA_PROGRAM is the command to measure; default build/tessera.
"""
# SPDX-License-Identifier: Apache-2.0
import json
import os
import subprocess
import sys

WIDTH = 60  # characters of a bar for the whole step


def lines_of(*words):
    command = [os.environ.get("TESSERA_PROGRAM", "build/tessera"), "bench", *words, "--json"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"step_profile: {' '.join(command)} failed:\n{done.stderr[-2000:]}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def main():
    if any(word.startswith("-") for word in sys.argv[1:]) or len(sys.argv) > 3:
        sys.exit(__doc__)
    shape, dtype = (sys.argv[1:] + ["gpt30m", "f32"][len(sys.argv) - 1:])[:2]
    step = lines_of("step", "--shape", shape, "--dtype", dtype)[0]
    at_bound, took = {}, {}
    for line in lines_of("ops", "--shape", shape, "--dtype", dtype):
        if line["what"] == "op":
            took[line["kernel"]] = took.get(line["kernel"], 0) + line["us"]
            at_bound[line["kernel"]] = at_bound.get(line["kernel"], 0) + line["us"] * line["share"]
    total = sum(step["time"].values())
    print(f"{shape} {dtype}: {step['step_s']:.3f} s a step, {step['gflops']:.0f} GF/s, "
          f"{100 * step['share']:.0f} % of the ceiling\n")
    print("| kernel | of the step | of its bound | |\n|---|---|---|---|")
    for name, seconds in sorted(step["time"].items(), key=lambda item: -item[1]):
        if seconds < 0.002 * total:
            continue
        share = at_bound[name] / took[name] if took.get(name) else 0
        length = WIDTH * seconds / total
        bar = "█" * round(length * share) + "░" * (max(1, round(length)) - round(length * share))
        print(f"| {name} | {100 * seconds / total:.1f} % | {f'{100 * share:.0f} %' if share else ''} | `{bar}` |")


if __name__ == "__main__":
    main()
