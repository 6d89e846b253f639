"""The same 30 networks searched by mnas and by a hand-written PyTorch and ONNX Runtime loop: wall time, peak memory.

    python benches/whole-job/peer.py [--trials 30] [--mnas target/release/mnas] [--bench target/release/mnas-bench] [--out FILE]

Runs with a Python that has torch, onnx and onnxruntime. First `mnas search study.toml` (random networks of peer.space,
2,000 images of Fashion-MNIST, 3 epochs in batches of 96, validated on 6,000, latency in ONNX
Runtime). Then PyTorch trains, validates on as many, exports and measures the networks that mnas proposed, one after the
other on two threads, as such scripts do: the whole data in memory, channels last, one-cycle SGD, 50 timed runs on a thread.
The loop takes the allocator settings that suit PyTorch best. Peak memory is of all processes of each side, as the sum of
their proportional shares, looked at ten times a second.
"""
import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": "4294967296", "MALLOC_TRIM_THRESHOLD_": "17179869184"}


def loop(specs, images, epochs, batch=96):
    """What a hand-written script does with each network."""
    import io
    import warnings

    import numpy as np
    import onnxruntime
    import torch

    import accuracy_peer
    import torch_graph

    warnings.filterwarnings("ignore")
    torch.set_num_threads(2)
    x, y = accuracy_peer.fashion("train")
    x = torch.from_numpy(x.copy()).float().div_(255).sub_(0.286).div_(0.353)
    y = torch.from_numpy(y.astype(np.int64))
    form = torch.channels_last
    for number, graph in enumerate(specs):
        start = time.time()
        torch.manual_seed(number)
        model = torch_graph.Network(graph).to(memory_format=form).train()
        steps = epochs * (images // batch)
        optimizer = torch.optim.SGD(model.parameters(), 0.2, momentum=0.9, nesterov=True, weight_decay=5e-4, fused=True)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.2, total_steps=steps)
        for _ in range(epochs):
            order = torch.randperm(images)
            for chosen in order[: images // batch * batch].split(batch):
                loss = torch.nn.functional.cross_entropy(model(x[chosen].contiguous(memory_format=form)), y[chosen])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
        model.eval()
        with torch.inference_mode():
            answers = torch.cat([model(b.contiguous(memory_format=form)).argmax(1) for b in x[54000:].split(250)])
        accuracy = (answers == y[54000:]).float().mean().item()
        file = io.BytesIO()
        torch.onnx.export(model, torch.randn(1, 1, 28, 28), file, dynamo=False, input_names=["x"])
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(file.getvalue(), options, providers=["CPUExecutionProvider"])
        feed, times = {"x": np.random.randn(1, 1, 28, 28).astype("f")}, []
        for i in range(60):
            t = time.perf_counter()
            session.run(None, feed)
            times += [time.perf_counter() - t] if i >= 10 else []
        print(json.dumps({"accuracy": accuracy, "latency_ms": float(np.median(times)) * 1e3, "seconds": time.time() - start}), flush=True)


def shares(pid):
    """Proportional memory of a process and its children, in bytes."""
    total = 0
    try:
        for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1]) * 1024
        children = [c for t in pathlib.Path(f"/proc/{pid}/task").iterdir() for c in (t / "children").read_text().split()]
    except (OSError, ProcessLookupError):
        return total
    return total + sum(shares(c) for c in children)


def watched(command, env=None, cwd=None, stdin=None):
    start, most = time.time(), 0
    process = subprocess.Popen(command, env=env, cwd=cwd, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    out = []
    reader = threading.Thread(target=lambda: out.append(process.stdout.read()))
    reader.start()
    if stdin:
        process.stdin.write(stdin)
    process.stdin.close()
    while process.poll() is None:
        most = max(most, shares(process.pid))
        time.sleep(0.1)
    reader.join()
    if process.returncode:
        sys.exit(f"{command[0]} failed with {process.returncode}")
    return time.time() - start, most, out[0]


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--trials", type=int, default=30)
    p.add_argument("--images", type=int, default=2000)
    p.add_argument("--epochs", type=int, default=3)
    p.add_argument("--mnas", default="target/release/mnas")
    p.add_argument("--bench", default="target/release/mnas-bench")
    p.add_argument("--out")
    p.add_argument("--loop", action="store_true", help=argparse.SUPPRESS)
    a = p.parse_args()
    if a.loop:
        return loop([json.loads(l) for l in sys.stdin if l.strip()], a.images, a.epochs)
    mnas, bench = (pathlib.Path(x).resolve() for x in (a.mnas, a.bench))
    with tempfile.TemporaryDirectory() as folder:
        for name in ("peer.space", "study.toml"):
            shutil.copy(HERE / name, folder)
        # The images are decoded once per machine; neither side is timed for that.
        subprocess.run([mnas, "train", "mnasnet-a1-small-0.5x", "--data", "fashion-mnist", "--epochs", "0.01", "--out", f"{folder}/warm.safetensors"], check=True, capture_output=True)
        search = [mnas, "search", "study.toml", "--dir", "study", "--trials", str(a.trials)]
        ours, our_memory, _ = watched(search, cwd=folder)
        subprocess.run([mnas, "export-study", "--to", "jsonl", "study"], cwd=folder, check=True, capture_output=True)
        rows = [json.loads(l) for l in (pathlib.Path(folder) / "study/trials.jsonl").read_text().splitlines()]
    shape = ["--image", "28x28x1", "--classes", "10"]
    graphs = [subprocess.run([bench, "--graph", r["spec"].replace("; ", "\n"), *shape], check=True, capture_output=True, text=True).stdout for r in rows]
    command = [sys.executable, __file__, "--loop", "--images", str(a.images), "--epochs", str(a.epochs)]
    theirs, their_memory, out = watched(command, os.environ | ALLOCATOR, stdin="".join(graphs))
    peers = [json.loads(l) for l in out.splitlines() if l.startswith("{")]
    result = {"trials": len(rows), "mnas_seconds": ours, "peer_seconds": theirs, "mnas_bytes": our_memory, "peer_bytes": their_memory,
              "mnas_accuracy": [r.get("accuracy") for r in rows], "peer_accuracy": [r["accuracy"] for r in peers],
              "mnas_latency_ms": [r.get("latency_ms") for r in rows], "peer_latency_ms": [r["latency_ms"] for r in peers]}
    print(json.dumps(result))
    print(f"{len(rows)} networks: mnas {ours:.0f} s, {our_memory / 1e6:.0f} MB; PyTorch loop {theirs:.0f} s, {their_memory / 1e6:.0f} MB; "
          f"time {ours / theirs:.2f}, memory {our_memory / their_memory:.2f} of the loop's")
    if a.out:
        with open(a.out, "a") as f:
            f.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
