"""Training and inference speed of the mnas CPU engine beside PyTorch on the same networks.

    cargo build --release -p mnas-bench
    python benches/training_peer.py [--rounds 3] [--threads 2] [--nets a,b] [--seconds 3]
                                    [--program target/release/mnas-bench]

Runs with the Python that has torch. Each round runs PyTorch (channels last, with the allocator
settings that suit it best) and mnas one after the other, so that both meet the same machine;
medians over rounds and their ratio are printed. Networks and batches are those of `mnas-bench`;
PyTorch pads symmetrically, which costs the same.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import time

NETS = {
    "a": ((16, 1, False, [(3, 3, 24, 2, 2), (6, 5, 40, 2, 2), (6, 3, 80, 2, 2)], 160, 10), 64, 32),
    "b": (
        (
            32,
            2,
            True,
            [
                (3, 3, 24, 3, 2),
                (3, 5, 40, 3, 2),
                (6, 5, 80, 3, 2),
                (6, 3, 96, 2, 1),
                (6, 5, 192, 4, 2),
                (6, 3, 320, 1, 1),
            ],
            1280,
            1000,
        ),
        16,
        96,
    ),
}


def build(nn, config):
    stem, stride, separable, stages, head, classes = config

    class Inverted(nn.Module):
        def __init__(self, ci, co, e, k, s):
            super().__init__()
            m, layers = ci * e, []
            if e > 1:
                layers += [nn.Conv2d(ci, m, 1, bias=False), nn.BatchNorm2d(m), nn.ReLU(True)]
            layers += [nn.Conv2d(m, m, k, s, k // 2, groups=m, bias=False)]
            layers += [nn.BatchNorm2d(m), nn.ReLU(True)]
            layers += [nn.Conv2d(m, co, 1, bias=False), nn.BatchNorm2d(co)]
            self.layers, self.residual = nn.Sequential(*layers), s == 1 and ci == co

        def forward(self, x):
            y = self.layers(x)
            return x + y if self.residual else y

    net = [nn.Conv2d(3, stem, 3, stride, 1, bias=False), nn.BatchNorm2d(stem), nn.ReLU(True)]
    c = stem
    if separable:
        net.append(Inverted(c, 16, 1, 3, 1))
        c = 16
    for e, k, co, n, s in stages:
        for i in range(n):
            net.append(Inverted(c, co, e, k, s if i == 0 else 1))
            c = co
    net += [nn.Conv2d(c, head, 1, bias=False), nn.BatchNorm2d(head), nn.ReLU(True)]
    return nn.Sequential(*net, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(head, classes))


def median(f, seconds):
    for _ in range(3):
        f()
    times, start = [], time.perf_counter()
    while time.perf_counter() - start < seconds or len(times) < 5:
        t = time.perf_counter()
        f()
        times.append(time.perf_counter() - t)
    return statistics.median(times) * 1e3


def yardstick(net, threads, seconds):
    """One PyTorch measurement, in this process; prints a JSON line."""
    import torch
    import torch.nn as nn
    import torch.nn.functional as F

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    config, batch, size = NETS[net]
    form = torch.channels_last
    model = build(nn, config).to(memory_format=form).train()
    x = torch.randn(batch, 3, size, size).contiguous(memory_format=form)
    y = torch.randint(0, config[-1], (batch,))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)

    def step():
        optimizer.zero_grad(set_to_none=True)
        F.cross_entropy(model(x), y).backward()
        optimizer.step()

    train = median(step, seconds)
    model.eval()
    one = x[:1].contiguous(memory_format=form)
    with torch.inference_mode():
        infer = median(lambda: model(one), seconds / 4)
    print(json.dumps({"train_ms": train, "infer_ms": infer}))


def last_json(command, env=None):
    out = subprocess.run(command, env=env, check=True, capture_output=True, text=True).stdout
    return json.loads(out.strip().splitlines()[-1])


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--nets", default="a,b")
    p.add_argument("--seconds", type=float, default=3)
    p.add_argument("--program", default="target/release/mnas-bench")
    p.add_argument("--yardstick", help=argparse.SUPPRESS)
    a = p.parse_args()
    if a.yardstick:
        return yardstick(a.yardstick, a.threads, a.seconds)
    # Without these, glibc maps and unmaps each large tensor at every step.
    env = os.environ | {
        "MALLOC_MMAP_THRESHOLD_": "4294967296",
        "MALLOC_TRIM_THRESHOLD_": "17179869184",
    }
    common = ["--threads", str(a.threads), "--seconds", str(a.seconds)]
    for net in a.nets.split(","):
        torch_runs, our_runs = [], []
        for _ in range(a.rounds):
            torch_runs.append(
                last_json([sys.executable, __file__, "--yardstick", net, *common], env)
            )
            our_runs.append(last_json([a.program, "--net", net, "--json", *common]))
        for what in ("train_ms", "infer_ms"):
            t, o = [r[what] for r in torch_runs], [r[what] for r in our_runs]
            tm, om = statistics.median(t), statistics.median(o)
            print(
                f"net {net} {what} {a.threads} thread(s): torch {tm:.2f} "
                f"[{min(t):.2f}-{max(t):.2f}], mnas {om:.2f} [{min(o):.2f}-{max(o):.2f}], "
                f"ratio {tm / om:.2f}",
                flush=True,
            )
            print(json.dumps({"net": net, "what": what, "threads": a.threads, "torch": t,
                              "mnas": o, "ratio": tm / om}), flush=True)


main()
