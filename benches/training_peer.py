"""Training and inference speed of the mnas CPU engine beside PyTorch on the same networks.

    python3 benches/training_peer.py [--rounds 5] [--threads 2] [--nets a,b] [--seconds 3] [--isa avx512|avx2]
                                     [--python PYTHON] [--out benches/results/training.jsonl]

One command: builds `mnas-bench`, makes a Python environment with torch in target/bench-venv (or takes --python),
and prints a table. Each round runs PyTorch (channels last, with the allocator settings that suit it best, fused
optimiser) and mnas one after the other, so that both meet the same machine; the table has medians over rounds and
the ratio of the two. With `--isa avx2` both are held to AVX2: ours by `MNAS_ISA`, PyTorch, oneDNN and MKL by theirs.
A line of JSON for each network is added to the file, with the machine's description.

Networks and batches are those of `mnas-bench --list`. PyTorch pads strided windows symmetrically, which costs it less than the true padding.
The share of peak is of the machine's own best matrix product, which PyTorch is asked for once.
"""
import argparse
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
# Without these, glibc maps and unmaps each large tensor at every step.
ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": "4294967296", "MALLOC_TRIM_THRESHOLD_": "17179869184"}
LIMITS = {
    "avx512": {},
    "avx2": {
        "MNAS_ISA": "avx2",
        "ATEN_CPU_CAPABILITY": "avx2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    },
}


def median(f, seconds):
    for _ in range(3):
        f()
    times, start = [], time.perf_counter()
    while time.perf_counter() - start < seconds or len(times) < 5:
        t = time.perf_counter()
        f()
        times.append(time.perf_counter() - t)
    return statistics.median(times) * 1e3


def yardstick(graph, threads, seconds):
    """One PyTorch measurement, in this process; prints a JSON line."""
    import resource

    import torch
    import torch.nn.functional as F

    import torch_graph

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    graph = json.loads(pathlib.Path(graph).read_text())
    h, w, c = graph["nodes"][0]["shape"]
    batch, classes = graph["batch"], graph["classes"]
    form = torch.channels_last
    model = torch_graph.Network(graph).to(memory_format=form).train()
    x = torch.randn(batch, c, h, w).contiguous(memory_format=form)
    y = torch.randint(0, classes, (batch,))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, fused=True)

    def step():
        optimizer.zero_grad(set_to_none=True)
        F.cross_entropy(model(x), y).backward()
        optimizer.step()

    train = median(step, seconds)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    model.eval()
    one = x[:1].contiguous(memory_format=form)
    with torch.inference_mode():
        infer = median(lambda: model(one), seconds / 4)
    print(json.dumps({"train_ms": train, "infer_ms": infer, "peak_rss_bytes": peak, "torch": torch.__version__}))


def peak(threads):
    """GFLOP/s of PyTorch's product of two 2048 x 2048 matrices; prints a JSON line."""
    import torch

    torch.set_num_threads(threads)
    a, b = torch.randn(2048, 2048), torch.randn(2048, 2048)
    print(json.dumps({"gflops": 2 * 2048**3 / median(lambda: a @ b, 2) / 1e6}))


def output(command, env=None):
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))} failed:\n{done.stderr[-2000:]}")
    return done.stdout


def last_json(command, env=None):
    return json.loads(output(command, env).strip().splitlines()[-1])


def environment():
    """A Python with torch and what reads images for it, made once."""
    folder = ROOT / "target/bench-venv"
    python = folder / "bin/python"
    if not python.exists():
        print("making target/bench-venv (torch is a large download)", flush=True)
        output([sys.executable, "-m", "venv", folder])
        output([python, "-m", "pip", "install", "--quiet", "torch==2.15.0", "torchvision==0.29.2", "pillow==13.0.0", "numpy"])
    return python


def program():
    output(["cargo", "build", "--release", "--quiet", "-p", "mnas-bench", "--manifest-path", ROOT / "Cargo.toml"])
    return pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release/mnas-bench"


def machine():
    info = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    model = next((l.split(":")[1].strip() for l in info if l.startswith("model name")), platform.machine())
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout
    return {"cpu": model, "cores": os.cpu_count(), "commit": commit.strip(), "date": time.strftime("%Y-%m-%d")}


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--nets", default="all")
    p.add_argument("--seconds", type=float, default=3)
    p.add_argument("--isa", default="avx512", choices=LIMITS)
    p.add_argument("--python")
    p.add_argument("--out")
    p.add_argument("--yardstick", help=argparse.SUPPRESS)
    p.add_argument("--peak", action="store_true", help=argparse.SUPPRESS)
    a = p.parse_args()
    if a.yardstick:
        return yardstick(a.yardstick, a.threads, a.seconds)
    if a.peak:
        return peak(a.threads)
    python, ours = a.python or environment(), program()
    env = os.environ | ALLOCATOR | LIMITS[a.isa]
    common = ["--threads", str(a.threads), "--seconds", str(a.seconds)]
    names = output([ours, "--list"]).split() if a.nets == "all" else a.nets.split(",")
    best = last_json([python, __file__, "--peak", "--threads", str(a.threads)], env)["gflops"]
    about = machine() | {"isa": a.isa, "threads": a.threads, "peak_gflops": round(best, 1)}
    print(json.dumps(about))
    print(f"{'network':<20}{'torch ms':>10}{'mnas ms':>10}{'ratio':>7}{'range':>14}{'images/s':>10}"
          f"{'of peak':>9}{'RSS MB':>14}{'infer ratio':>13}", flush=True)
    graph = ROOT / "target/bench-graph.json"
    graph.parent.mkdir(exist_ok=True)
    for net in names:
        graph.write_text(output([ours, "--graph", net]))
        theirs, mine = [], []
        for _ in range(a.rounds):
            theirs.append(last_json([python, __file__, "--yardstick", graph, *common], env))
            mine.append(last_json([ours, "--net", net, "--json", *common], env))
        t, o = ({k: statistics.median(r[k] for r in runs) for k in runs[0] if k not in ("net", "isa", "torch")}
                for runs in (theirs, mine))
        ratios = [x["train_ms"] / y["train_ms"] for x, y in zip(theirs, mine)]
        ratio, infer = statistics.median(ratios), t["infer_ms"] / o["infer_ms"]
        ranges, memory = f"[{min(ratios):.2f}-{max(ratios):.2f}]", f"{t['peak_rss_bytes'] / 1e6:.0f}/{o['peak_rss_bytes'] / 1e6:.0f}"
        print(f"{net:<20}{t['train_ms']:>10.2f}{o['train_ms']:>10.2f}{ratio:>7.2f}{ranges:>14}{o['images_per_second']:>10.0f}"
              f"{o['gflops'] / best:>9.0%}{memory:>14}{infer:>13.2f}", flush=True)
        if a.out:
            line = about | {"net": net, "ratio": ratio, "ratios": ratios, "torch": theirs, "mnas": mine}
            with open(a.out, "a") as f:
                f.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
