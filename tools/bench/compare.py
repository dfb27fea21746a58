"""Runs Tessera and its peers in turns and prints figures, targets and ratios as a Markdown table; see compare.sh."""
# SPDX-License-Identifier: Apache-2.0
import argparse
import hashlib
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

PEERS = pathlib.Path(__file__).parent / "peers"
THREADS = 2


def cpu_lines(name):
    return [line.split(":", 1)[1].strip() for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines()
            if line.split(":")[0].strip() == name]


def cpu_name():
    return next(iter(cpu_lines("model name")), "unknown")


def has_bf16_units():
    return any(flags & {"avx512_bf16", "amx_bf16", "bf16"}
               for flags in (set(line.split()) for name in ("flags", "Features") for line in cpu_lines(name)[:1]))


def fingerprint(program):
    """Of the command and its library, which lies beside it or, installed, in lib."""
    program = pathlib.Path(program).resolve()
    library = (folder / "libtessera.so" for folder in (program.parent, program.parent.parent / "lib"))
    whole = hashlib.sha256()
    for file in (program, *library):
        if file.exists():
            whole.update(file.read_bytes())
    return whole.hexdigest()


class Kept:
    """What was measured before, in a file of JSON lines: a command's first run there is its first run here."""

    def __init__(self, path, program):
        self.path, self.left = pathlib.Path(path), {}
        here = {"program": fingerprint(program), "cpu": cpu_name()}
        try:
            before = [json.loads(line) for line in self.path.read_text().splitlines()] if self.path.exists() else []
            if before and before[0] != here:
                sys.exit(f"compare: {path} was measured by another program or on another machine; remove it, or name "
                         "another file")
            for line in before[1:]:
                self.left.setdefault(line["command"], []).append(line["printed"])
        except (ValueError, KeyError, TypeError, OSError) as what:
            sys.exit(f"compare: {path} does not hold what --keep writes ({what}); remove it, or name another file")
        if not before:
            self.write(here)

    def write(self, line):
        try:
            with self.path.open("a") as file:
                file.write(json.dumps(line) + "\n")
        except OSError as what:
            sys.exit(f"compare: cannot write {self.path}: {what.strerror}")

    def next(self, command):
        runs = self.left.get(command)
        return runs.pop(0) if runs else None

    def add(self, command, printed):
        self.write({"command": command, "printed": printed})


class Runner:
    """Runs one command after the other; each prints JSON lines."""

    def __init__(self, args):
        self.program, self.python = args.program, args.python
        self.kept = Kept(args.keep, args.program) if args.keep else None

    def run(self, command, key=None):
        key = key or " ".join(command)
        if self.kept and (known := self.kept.next(key)) is not None:
            return known
        print("compare:", " ".join(command), file=sys.stderr, flush=True)
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"compare: {' '.join(command)} failed:\n{done.stderr[-2000:]}")
        lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        if self.kept:
            self.kept.add(key, lines)
        return lines

    def tessera(self, *words, key=None):
        return self.run([self.program, *map(str, words), "--json"], key)

    def bench(self, *words):
        return self.tessera("bench", *words, "--workers", min(THREADS, os.cpu_count()))

    def peer(self, script, *words):
        return self.run([self.python, str(PEERS / script), *map(str, words), "--threads", str(THREADS)])[0]

    def has(self, module):
        return subprocess.run([self.python, "-c", f"import {module}"], capture_output=True).returncode == 0


class Report:
    """Rows of the table. A target is an operator and a number that the value, or its ratio to the peer's, must meet."""

    def __init__(self):
        self.lines = []
        self.missed = 0

    @staticmethod
    def shown(values, form):
        middle = statistics.median(values)
        if len(values) < 2 or middle == 0:
            return form.format(middle)
        return form.format(middle) + f" ± {50 * (max(values) - min(values)) / abs(middle):.0f} %"

    def row(self, figure, what, values, form, target, peers=None, lower=False):
        """peers: {name: values}; the best one counts, and the target is then for the ratio to it."""
        ours, peer_text, ratio_text = statistics.median(values), "", ""
        judged = ours
        if peers:
            better = min if lower else max
            name = better(peers, key=lambda peer: statistics.median(peers[peer]))
            judged = ours / statistics.median(peers[name])
            peer_text, ratio_text = f"{name}: {self.shown(peers[name], form)}", f"{judged:.2f}"
        sign, bound = target
        reached = judged >= bound if sign == "≥" else judged <= bound
        self.missed += not reached
        wanted = f"{sign} {bound} ×" if peers else f"{sign} {form.format(bound)}"
        self.lines.append(f"| {figure} | {what} | {self.shown(values, form)} | {peer_text} | {ratio_text} | {wanted} "
                          f"| {'yes' if reached else 'no'} |")

    def left_out(self, figure, what, why):
        self.lines.append(f"| {figure} | {what} | left out: {why} | | | | |")

    def text(self, head):
        return "\n".join([head, "", "| figure | what | Tessera | peer | ratio | target | reached |",
                          "|---|---|---|---|---|---|---|", *self.lines])


def steps(run, report, args, figures):
    """Figures 1, 2, 3 and 6: training steps beside PyTorch's."""
    wanted = []  # shape, dtype
    shapes = ("llama17m",) if args.quick else ("gpt30m", "gpt2", "llama17m")
    for figure, dtype in ((1, "f32"), (2, "bf16")):
        if figure == 2 and 2 in figures and not has_bf16_units():
            # PyTorch 2.15 multiplies at 1 to 2 GF/s then: one step of gpt30m takes five minutes.
            report.left_out(2, "steps in bf16", "this CPU has no units for it, which PyTorch needs")
        elif figure in figures:
            wanted += [(shape, dtype) for shape in shapes]
    if 3 in figures:
        wanted.append(("chargpt", "f32"))
    memory = "llama17m" if args.quick else "gpt30m"
    if 6 in figures and (memory, "f32") not in wanted:
        wanted.append((memory, "f32"))
    count = 3 if args.quick else 9
    seen = {case: {"ours": [], "peers": {}} for case in wanted}
    for _ in range(args.runs):
        for case in wanted:
            shape, dtype = case
            many = 20 if shape == "chargpt" else 1
            seen[case]["ours"] += run.bench("step", "--shape", shape, "--dtype", dtype, "--steps", many * count)
            for how in ([], ["--compile"]):
                if how and args.quick:
                    continue
                result = run.peer("pytorch_train.py", shape, dtype, "--steps", many * count, *how)
                seen[case]["peers"].setdefault(result["peer"], []).append(result)
    for case in wanted:
        rows_of_step(report, figures, case, seen[case])
    if 6 in figures:
        rows_of_memory(run, report, args, memory, seen[(memory, "f32")])


def rows_of_step(report, figures, case, seen):
    (shape, dtype), ours = case, seen["ours"]
    peers = {name: [r["gflops"] for r in results] for name, results in seen["peers"].items()}
    gflops = [r["gflops"] for r in ours]
    if shape == "chargpt":
        report.row(3, "chargpt f32, tokens/s", [r["tokens_per_s"] for r in ours], "{:.0f}", ("≥", 1.5),
                   {name: [r["tokens_per_s"] for r in results] for name, results in seen["peers"].items()})
        waste = [100 * (r["time"]["idle"] + r["time"]["engine"]) / sum(r["time"].values()) for r in ours]
        report.row(3, "chargpt f32, engine and idle", waste, "{:.1f} %", ("≤", 8))
        return
    figure = 1 if dtype == "f32" else 2
    if figure not in figures:
        return
    llama = shape == "llama17m"
    share = (75 if llama else 78) if dtype == "f32" else (62 if llama else 65)
    ratio = (1.2 if llama else 1.25) if dtype == "f32" else 1.1
    report.row(figure, f"{shape} {dtype}, share of the ceiling", [100 * r["share"] for r in ours], "{:.1f} %",
               ("≥", share))
    report.row(figure, f"{shape} {dtype}, GF/s", gflops, "{:.0f}", ("≥", ratio), peers)


def rows_of_memory(run, report, args, shape, seen):
    eager = next(iter(seen["peers"]))
    peaks = [r["peak_mib"] for r in seen["ours"]]
    report.row(6, f"{shape} f32, peak memory in MiB", peaks, "{:.0f}", ("≤", 0.8),
               {eager: [r["peak_mib"] for r in seen["peers"][eager]]}, lower=True)
    off = [100 * abs(r["peak_mib"] / r["predicted_mib"] - 1) for r in seen["ours"]]
    report.row(6, f"{shape} f32, peak against the plan's prediction", off, "{:.1f} %", ("≤", 15))
    large = "llama17m" if args.quick else "gpt2"
    kept, spent = [], []
    for _ in range(args.runs):
        plain, saving = (run.bench("step", "--shape", large, "--steps", 3 if args.quick else 9, "--recompute", how)[0]
                         for how in ("none", "block"))
        kept.append(100 * (1 - saving["activation_mib"] / plain["activation_mib"]))
        spent.append(100 * (saving["step_s"] / plain["step_s"] - 1))
    report.row(6, f"{large} f32, activations saved by recompute = block", kept, "{:.0f} %", ("≥", 40))
    report.row(6, f"{large} f32, time added by recompute = block", spent, "{:.0f} %", ("≤", 35))


def shakespeare(run, report, args):
    what = "tiny-shakespeare, 2,000 steps in seconds"
    data = os.environ.get("TESSERA_DATA")
    if args.quick or not data:
        return report.left_out(3, what, "--quick" if args.quick else "TESSERA_DATA is not set")
    ours, theirs = [], []
    for _ in range(args.runs):
        with tempfile.TemporaryDirectory() as folder:
            workers = f"run.workers={min(THREADS, os.cpu_count())}"
            ours += run.tessera("train", "examples/shakespeare.toml", "--out", folder, "--set", workers,
                                key="train examples/shakespeare.toml")[:1]
        theirs.append(run.peer("char_gpt.py", pathlib.Path(data) / "tinyshakespeare" / "input.txt"))
    seconds = [r["seconds"] for r in ours]
    report.row(3, what, seconds, "{:.0f}", ("≤", 60))
    report.row(3, what, seconds, "{:.0f}", ("≤", 0.6), {theirs[0]["peer"]: [r["seconds"] for r in theirs]}, lower=True)


def engine(run, report, args):
    plain, metg = {0: [], 50: []}, {}
    for _ in range(args.runs):
        for line in run.bench("engine", "--pattern", "stencil", "--task-us", 0, "--task-us", 50):
            plain[int(line["task_us"])].append(line)
        for line in run.bench("engine", "--metg", "--steps", 5 if args.quick else 10):
            metg.setdefault(line["pattern"], []).append(line["metg_us"] or 1e6)
    report.row(4, "µs per task, stencil", [r["us_per_task"] for r in plain[0]], "{:.2f}", ("≤", 1.5))
    report.row(4, "efficiency at 50 µs, stencil", [100 * r["efficiency"] for r in plain[50]], "{:.1f} %", ("≥", 95))
    for pattern, values in metg.items():
        report.row(4, f"METG(50 %) in µs, {pattern}", values, "{:.2f}", ("≤", 5))


def decode(run, report, args):
    # llama.cpp keeps keys and values in f16 whatever its weights are, so that is what they are kept in here.
    cases = [("llama17m", "f32")] if args.quick else [("llama17m", "f32"), ("llama134m", "bf16"), ("llama134m", "f32")]
    has_peer = run.has("llama_cpp, gguf")
    tokens = 16 if args.quick else 128
    ours, peers = {case: {1: [], 16: []} for case in cases}, {case: [] for case in cases}
    for _ in range(args.runs):
        for case in cases:
            for line in run.bench("decode", case[0], "--dtype", case[1], "--kv-dtype", "f16", "--tokens", tokens):
                ours[case][line["batch"]].append(line)
            if has_peer:
                peers[case].append(run.peer("llama_cpp_decode.py", *case, "--tokens", tokens))
    for case in cases:
        name = " ".join(case)
        for what, bound in (("decode", 1.0), ("prefill", 1.2)):
            key = what + "_tokens_per_s"
            if has_peer:
                report.row(5, f"{name}, {what}, tokens/s", [r[key] for r in ours[case][1]], "{:.0f}", ("≥", bound),
                           {"llama.cpp": [r[key] for r in peers[case]]})
            else:
                report.left_out(5, f"{name}, {what}, beside llama.cpp", "it is not installed")
        report.row(5, f"{name}, weights' share of the read bandwidth", [100 * r["share"] for r in ours[case][1]],
                   "{:.0f} %", ("≥", 70))
        report.row(5, f"{name}, 16 sequences together against one",
                   [many["decode_tokens_per_s"] / one["decode_tokens_per_s"]
                    for one, many in zip(ours[case][1], ours[case][16])], "{:.1f} ×", ("≥", 6))


def fit_line(work, times):
    """a + b · work with the least relative errors squared; the largest relative error in percent."""
    weights = [1 / t**2 for t in times]
    total = sum(weights)
    mean_w = sum(k * w for k, w in zip(weights, work)) / total
    mean_t = sum(k * t for k, t in zip(weights, times)) / total
    b = (sum(k * (w - mean_w) * (t - mean_t) for k, w, t in zip(weights, work, times))
         / sum(k * (w - mean_w) ** 2 for k, w in zip(weights, work)))
    return max(100 * abs((mean_t + b * (w - mean_w)) / t - 1) for w, t in zip(work, times))


def fit_ratio(work, times):
    """c · work with the least largest relative error; that error in percent."""
    rates = [t / w for w, t in zip(work, times)]
    return 100 * (max(rates) - min(rates)) / (max(rates) + min(rates))


def cost(run, report, args):
    layers = (1, 2, 4) if args.quick else (1, 2, 4, 8, 16)
    lengths = (256, 512, 1024) if args.quick else (256, 512, 1024, 2048, 4096, 8192)
    by_layers, by_length = [], []
    for _ in range(args.runs):
        per_token = [1 / run.bench("step", "--shape", "llama17m", "--layers", n, "--steps", 5)[0]["tokens_per_s"]
                     for n in layers]
        by_layers.append(fit_line(layers, per_token))
        attention = []
        for seq in lengths:
            batch = max(1, lengths[-1] // seq)
            time = run.bench("step", "--shape", "llama17m", "--layers", 1, "--seq", seq, "--batch", batch, "--steps",
                             3)[0]["time"]
            attention.append(sum(t for name, t in time.items() if name.startswith("attention")) / (seq * batch))
        by_length.append(fit_ratio(lengths, attention))
    report.row(7, f"llama17m with {layers[0]} to {layers[-1]} layers: time per token off a line in the layers",
               by_layers, "{:.1f} %", ("≤", 10))
    report.row(7, f"attention over {lengths[0]} to {lengths[-1]} positions: time per token off the flops", by_length,
               "{:.1f} %", ("≤", 10))


def shown_arguments(words):
    """Without --keep and its file, which change no figure."""
    at = words.index("--keep") if "--keep" in words else len(words)
    return words[:at] + words[at + 2:]


def head_of(run, args):
    info = {}
    for line in run.tessera("info"):
        info.update(line)
    words = " ".join(["tools/bench/compare.sh", *shown_arguments(sys.argv[5:])])
    return (f"`{words}` on {info['cpu']}, {info['cores']} cores, {THREADS} threads or workers each: medians "
            f"of {args.runs} runs in turns, ± half the range.")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", required=True)
    parser.add_argument("--python", required=True)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--runs", type=int, default=0)
    parser.add_argument("--figures", default="1,2,3,4,5,6,7")
    parser.add_argument("--keep")
    args = parser.parse_args()
    try:
        figures = {int(word) for word in args.figures.split(",")}
    except ValueError:
        figures = {0}
    if not figures <= set(range(1, 8)):
        sys.exit(f"compare: --figures {args.figures}: numbers from 1 to 7, as in 1,4")
    if args.runs < 0:
        sys.exit(f"compare: --runs {args.runs}: at least one")
    args.runs = args.runs or (1 if args.quick else 3)
    run, report = Runner(args), Report()
    if figures & {1, 2, 3, 6}:
        steps(run, report, args, figures)
    if 3 in figures:
        shakespeare(run, report, args)
    if 4 in figures:
        engine(run, report, args)
    if 5 in figures:
        decode(run, report, args)
    if 7 in figures:
        cost(run, report, args)
    report.lines.sort(key=lambda line: line.split("|")[1])
    print(report.text(head_of(run, args)))


if __name__ == "__main__":
    main()
