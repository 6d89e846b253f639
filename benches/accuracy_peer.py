"""Test accuracy of a network trained by mnas beside the same network trained by PyTorch.

    python benches/accuracy_peer.py --data fashion-mnist --net benches/parity.net --epochs 4 --seeds 3
                                    [--mnas target/release/mnas] [--bench target/release/mnas-bench] [--out FILE]

Runs with a Python that has torch and Pillow. Both train on all training images (`mnas train --with-validation`) with the
recipe `full` in batches of 32 at a rate of 0.05: the same batch, schedule, decay and its exceptions, label smoothing, batch-norm momentum, shifts and
mirroring, the same distributions of first weights, and the graph's own padding. Orders and draws differ. Fashion-MNIST is
read from Debian's `dataset-fashion-mnist`; CIFAR-10 from a folder of JPEGs (`train/CLASS/N.jpg`, `test/CLASS/N.jpg`).
"""
import argparse
import gzip
import json
import math
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

import torch_graph

FASHION = pathlib.Path("/usr/share/datasets/fashion-mnist")


def fashion(part):
    stem = {"train": "train", "test": "t10k"}[part]
    images = gzip.open(FASHION / f"{stem}-images-idx3-ubyte.gz").read()
    labels = gzip.open(FASHION / f"{stem}-labels-idx1-ubyte.gz").read()
    return np.frombuffer(images, np.uint8, offset=16).reshape(-1, 1, 28, 28), np.frombuffer(labels, np.uint8, offset=8)


def pictures(folder, part):
    from PIL import Image

    files = sorted((folder / part).glob("*/*.jpg"))
    classes = sorted({f.parent.name for f in files})
    images = np.stack([np.asarray(Image.open(f).convert("RGB")).transpose(2, 0, 1) for f in files])
    return images, np.array([classes.index(f.parent.name) for f in files])


def factor(epoch, run, warmup=0.25, first=1 / 25, last=1 / 1000):
    done = epoch / run
    if done < warmup:
        return first + (1 - first) * done / warmup
    return last + (1 - last) * (0.5 + 0.5 * math.cos(math.pi * (done - warmup) / (1 - warmup)))


def augment(x, margin, flip):
    """Shifts by up to `margin` pixels over a mirrored rim, and mirrors left and right."""
    n, _, h, w = x.shape
    padded = F.pad(x, (margin,) * 4, mode="reflect")
    rows = torch.randint(0, 2 * margin + 1, (n, 1)) + torch.arange(h)
    columns = torch.randint(0, 2 * margin + 1, (n, 1)) + torch.arange(w)
    if flip:
        columns = torch.where(torch.rand(n, 1) < 0.5, columns.flip(1), columns)
    return padded[torch.arange(n)[:, None, None], :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def first_weights(model):
    for m in model.modules():
        if isinstance(m, nn.Conv2d):
            fan = m.kernel_size[0] ** 2 * (1 if m.groups > 1 else m.out_channels)
            nn.init.normal_(m.weight, 0, math.sqrt(2 / fan))
            if m.bias is not None:
                nn.init.zeros_(m.bias)
        if isinstance(m, nn.Linear):
            limit = 1 / math.sqrt(m.in_features)
            nn.init.uniform_(m.weight, -limit, limit)
            nn.init.zeros_(m.bias)


# Settings of both.
BATCH, RATE = 32, 0.05


def shift(side):
    return math.ceil(side / 8)


def train(graph, train_set, test_set, epochs, seed):
    torch.manual_seed(seed)
    model = torch_graph.Network(graph, same=True).to(memory_format=torch.channels_last).train()
    first_weights(model)
    x, y = torch.from_numpy(train_set[0].copy()), torch.from_numpy(train_set[1].astype(np.int64))
    mean = x.float().mean((0, 2, 3), keepdim=True)
    std = x.float().std((0, 2, 3), keepdim=True)
    ready = lambda x: ((x.float() - mean) / std).contiguous(memory_format=torch.channels_last)
    # Batch norm's scales and shifts don't decay.
    norms = [p for m in model.modules() if isinstance(m, nn.BatchNorm2d) for p in m.parameters()]
    others = [p for p in model.parameters() if all(p is not n for n in norms)]
    groups = [{"params": others, "weight_decay": 1e-4}, {"params": norms, "weight_decay": 0.0}]
    optimizer = torch.optim.SGD(groups, lr=RATE, momentum=0.9, nesterov=True, fused=True)
    per_epoch = len(x) // BATCH
    steps = round(epochs * per_epoch)
    start = time.time()
    for step in range(steps):
        within = step % per_epoch
        if within == 0:
            order = torch.randperm(len(x))
        chosen = order[within * BATCH : (within + 1) * BATCH]
        for group in optimizer.param_groups:
            group["lr"] = RATE * factor(step / per_epoch, steps / per_epoch)
        images = ready(augment(x[chosen].float(), shift(x.shape[2]), x.shape[1] == 3))
        loss = F.cross_entropy(model(images), y[chosen], label_smoothing=0.1)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    seconds = time.time() - start
    model.eval()
    x, y = torch.from_numpy(test_set[0].copy()), torch.from_numpy(test_set[1].astype(np.int64))
    with torch.inference_mode():
        answers = torch.cat([model(ready(b)).argmax(1) for b in x.split(250)])
    return (answers == y).float().mean().item(), seconds


def ours(a, data, side, seed, folder):
    weights = pathlib.Path(folder) / f"{seed}.safetensors"
    command = [a.mnas, "train", a.net, "--data", data, "--epochs", str(a.epochs), "--seed", str(seed), "--threads", str(a.threads)]
    command += ["--batch", str(BATCH), "--learning-rate", str(RATE), "--shift", str(shift(side))]
    trained = json.loads(subprocess.run([*command, "--with-validation", "--out", weights, "--json"], check=True, capture_output=True, text=True).stdout)
    tested = subprocess.run([a.mnas, "eval", weights, "--data", data, "--json"], check=True, capture_output=True, text=True)
    return json.loads(tested.stdout)["top1"], trained["seconds"]


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--data", required=True, help="fashion-mnist, or a folder of JPEGs")
    p.add_argument("--net", default="benches/parity.net")
    p.add_argument("--epochs", type=float, default=4)
    p.add_argument("--seeds", type=int, default=3)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--mnas", default="target/release/mnas")
    p.add_argument("--bench", default="target/release/mnas-bench")
    p.add_argument("--out")
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    read = fashion if a.data == "fashion-mnist" else lambda part: pictures(pathlib.Path(a.data), part)
    train_set, test_set = read("train"), read("test")
    _, c, h, w = train_set[0].shape
    shape = ["--image", f"{h}x{w}x{c}", "--classes", str(int(train_set[1].max()) + 1)]
    file = pathlib.Path(a.net)
    text = file.read_text().strip() if file.exists() else a.net
    graph = json.loads(subprocess.run([a.bench, "--graph", text, *shape], check=True, capture_output=True, text=True).stdout)
    runs = []
    for seed in range(a.seeds):
        with tempfile.TemporaryDirectory() as folder:
            mine, my_seconds = ours(a, a.data, h, seed, folder)
        theirs, their_seconds = train(graph, train_set, test_set, a.epochs, seed)
        runs.append({"seed": seed, "mnas": mine, "torch": theirs, "mnas_seconds": my_seconds, "torch_seconds": their_seconds})
        print(f"seed {seed}: mnas {mine:.2%} in {my_seconds:.0f} s, torch {theirs:.2%} in {their_seconds:.0f} s", flush=True)
    mean = {k: statistics.mean(r[k] for r in runs) for k in ("mnas", "torch", "mnas_seconds", "torch_seconds")}
    print(f"mean: mnas {mean['mnas']:.2%}, torch {mean['torch']:.2%}, difference {100 * (mean['mnas'] - mean['torch']):+.2f} points; "
          f"time {mean['torch_seconds'] / mean['mnas_seconds']:.2f} of ours")
    if a.out:
        with open(a.out, "a") as f:
            f.write(json.dumps({"data": pathlib.PurePath(a.data).name, "net": a.net, "epochs": a.epochs, "runs": runs}) + "\n")


if __name__ == "__main__":
    main()
