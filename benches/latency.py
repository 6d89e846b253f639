"""Whether latencies of `mnas measure` can be reproduced, and whether stock tools measure the same.

    cargo build --release -p mnas
    python benches/latency.py repeat [--engines litert,ort,rten] [--sizes 224,96] [--processes 8]
    python benches/latency.py rank   [--engines litert] [--networks 20] [--rounds 3]
    python benches/latency.py loop   [--engines litert,ort] [--rounds 5]
    python benches/latency.py int8   [--rounds 5]

Runs with a Python that has numpy and ai-edge-litert or onnxruntime; the program finds their
libraries there. Common: --program target/release/mnas, --core 1, --runs 100, --net mnasnet-a1.

repeat  the same network in separate processes: coefficient of variation of the medians
rank    runs over random networks, each in a process or all in turns: Kendall's tau of the medians, run by run
loop    `mnas measure FILE`, a plain Python loop and (LiteRT) its own `litert-benchmark` over the same file on
        the same core, in turn
int8    LiteRT's float and 8-bit latency of three networks, in interleaved rounds
"""

import argparse
import itertools
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time

LOOP = """
import os, resource, sys, time, json
os.sched_setaffinity(0, {int(sys.argv[3])})
import numpy as np
engine, path, runs = sys.argv[1], sys.argv[2], int(sys.argv[4])
rng = np.random.default_rng(0)
if engine == "ort":
    import onnxruntime as ort
    o = ort.SessionOptions()
    o.intra_op_num_threads = o.inter_op_num_threads = 1
    s = ort.InferenceSession(path, o, providers=["CPUExecutionProvider"])
    x = {s.get_inputs()[0].name: rng.standard_normal(s.get_inputs()[0].shape).astype(np.float32)}
    run = lambda: s.run(None, x)
else:
    from ai_edge_litert.interpreter import Interpreter
    i = Interpreter(model_path=path, num_threads=1)
    i.allocate_tensors()
    d = i.get_input_details()[0]
    i.set_tensor(d["index"], rng.standard_normal(d["shape"]).astype(np.float32))
    run = i.invoke
for _ in range(10):
    run()
# Runs during which the core was taken away measure the neighbours; mnas drops them too.
switches = lambda: resource.getrusage(resource.RUSAGE_THREAD).ru_nivcsw
times, end = [], time.monotonic() + 30
while len(times) < runs and time.monotonic() < end:
    before, a = switches(), time.perf_counter()
    run()
    took = 1e3 * (time.perf_counter() - a)
    if switches() == before:
        times.append(took)
print(json.dumps(sorted(times)[len(times) // 2]))
"""

FORMAT = {"litert": "tflite", "ort": "onnx", "rten": "onnx"}


def mnas(args, *words):
    out = subprocess.run(
        [args.program, *map(str, words), "--json"],
        capture_output=True,
        text=True,
        env={"VIRTUAL_ENV": sys.prefix, **os.environ},
    )
    if out.returncode:
        raise SystemExit(out.stderr)
    return json.loads(out.stdout)


def measure(args, engine, nets, *words):
    start = time.monotonic()
    answer = mnas(
        args, "measure", *nets, "--device", f"host:{engine}", "--runs", args.runs,
        "--core", args.core, *words,
    )  # fmt: skip
    return answer, time.monotonic() - start


def export(args, folder, net, engine, side, *words):
    path = os.path.join(folder, f"{net}-{side}-{len(words)}.{FORMAT[engine]}")
    mnas(
        args, "export", net, "--format", FORMAT[engine], "--image-size", side, "--out", path, *words
    )
    return path


def repeat(args):
    for engine, side in itertools.product(args.engines.split(","), args.sizes.split(",")):
        medians, seconds, noisy = [], [], 0
        for _ in range(args.processes):
            answer, took = measure(args, engine, [args.net], "--image-size", side)
            network = answer["networks"][0]
            medians.append(network["median_ms"])
            noisy += network["noisy"]
            seconds.append(took)
        cv = statistics.stdev(medians) / statistics.mean(medians)
        print(
            f"{engine:7} {side:>4} px: {args.processes} processes, median {statistics.median(medians):.3f} ms, "
            f"CV {100 * cv:.2f} %, range {min(medians):.3f} to {max(medians):.3f}, {noisy} noisy, "
            f"{statistics.median(seconds):.2f} s each (longest {max(seconds):.2f})"
        )


def tau(a, b):
    pairs = list(itertools.combinations(range(len(a)), 2))
    signs = [(a[i] - a[j]) * (b[i] - b[j]) for i, j in pairs]
    return (sum(s > 0 for s in signs) - sum(s < 0 for s in signs)) / len(pairs)


def networks(count):
    """Random networks with MnasNet's skeleton."""
    random.seed(0)
    nets = []
    for _ in range(count):
        lines = ["stem_k3_s2_c32", "ds_r1_k3_s1_c16"]
        for stride, width in [(2, 24), (2, 40), (2, 80), (1, 96), (2, 160), (1, 320)]:
            layers, kernel = random.randint(1, 4), random.choice([3, 5])
            expand, se = random.choice([3, 6]), random.choice(["", "_se0.25"])
            lines.append(f"ir_r{layers}_k{kernel}_s{stride}_e{expand}_c{width}{se}")
        nets.append("; ".join([*lines, "head_c1280"]))
    return nets


def rank(args):
    nets, side = networks(args.networks), args.sizes.split(",")[0]
    alone = lambda engine: [measure(args, engine, [net], "--image-size", side)[0]["networks"][0] for net in nets]
    together = lambda engine: measure(args, engine, nets, "--image-size", side)[0]["networks"]
    for engine in args.engines.split(","):
        for how, run in (("a process each", alone), ("in turns in one process", together)):
            runs = [[n["median_ms"] for n in run(engine)] for _ in range(args.rounds)]
            taus = [f"{tau(a, b):.3f}" for a, b in itertools.combinations(runs, 2)]
            print(f"{engine}: {len(nets)} networks of {min(runs[0]):.2f} to {max(runs[0]):.2f} ms, {how}: Kendall's tau of "
                  f"{args.rounds} runs {', '.join(taus)}", flush=True)  # fmt: skip


def stock(args, path):
    """Median by the benchmark script that comes with LiteRT."""
    tool = os.path.join(os.path.dirname(sys.executable), "litert-benchmark")
    with tempfile.NamedTemporaryFile(suffix=".json") as result:
        words = ["--model", path, "--num_runs", str(args.runs), "--warmup_runs", "10", "--num_threads", "1"]
        command = ["taskset", "-c", str(args.core), tool, *words, "--result_json", result.name]
        subprocess.run(command, capture_output=True, text=True, check=True)
        return json.load(open(result.name))["latency"]["median_ms"]


def loop(args):
    with tempfile.TemporaryDirectory() as folder:
        for engine, side in itertools.product(args.engines.split(","), args.sizes.split(",")):
            path = export(args, folder, args.net, engine, side)
            ours, theirs, stocks = [], [], []
            for _ in range(args.rounds):
                if engine == "litert":
                    stocks.append(stock(args, path))
                answer, _ = measure(args, engine, [path])
                ours.append(answer["networks"][0]["median_ms"])
                words = [engine, path, str(args.core), str(args.runs)]
                out = subprocess.run([sys.executable, "-c", LOOP, *words], capture_output=True, text=True, check=True)
                theirs.append(float(out.stdout.splitlines()[-1]))
            a, b = statistics.median(ours), statistics.median(theirs)
            own = f", litert-benchmark {statistics.median(stocks):.3f} ms, ratio {a / statistics.median(stocks):.3f}" if stocks else ""
            print(f"{engine:7} {side:>4} px: mnas {a:.3f} ms, Python loop {b:.3f} ms, ratio {a / b:.3f}{own} ({args.rounds} rounds)")


def int8(args):
    with tempfile.TemporaryDirectory() as folder:
        for net in ["mnasnet-b1", "mnasnet-a1", "mobilenet-v2"]:
            ratios = []
            for _ in range(args.rounds):
                both = [
                    measure(args, "litert", [net], "--precision", p, "--image-size", 224)[0]["networks"][0]["median_ms"]
                    for p in ("float", "int8")
                ]
                ratios.append(both[0] / both[1])
            print(f"{net}: float {both[0]:.3f} ms, int8 {both[1]:.3f} ms; float/int8 {statistics.median(ratios):.2f} ({args.rounds} rounds: {', '.join(f'{r:.2f}' for r in ratios)})")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["repeat", "rank", "loop", "int8"])
    parser.add_argument("--program", default="target/release/mnas")
    parser.add_argument("--engines", default="litert,ort")
    parser.add_argument("--sizes", default="224,96")
    parser.add_argument("--net", default="mnasnet-a1")
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--networks", type=int, default=20)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--core", type=int, default=1)
    args = parser.parse_args()
    globals()[args.what](args)


if __name__ == "__main__":
    main()
