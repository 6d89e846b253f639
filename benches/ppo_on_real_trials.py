"""PPO against random search on real trials: the mean reward of the last distinct networks, and a plot.

    python3 benches/ppo_on_real_trials.py --program target/release/mnas --dir ppo-studies --svg docs/ppo-on-real-trials.svg

Every trial trains a network on the built-in images. Latency is predicted by a linear model that was
fitted to a run on a real device (benches/host-rten.linear.toml), so that rewards don't depend on what
else the machine does while the studies run. Studies that exist in --dir are resumed or reused.
Needs nothing but Python's standard library.
"""

import argparse
import json
import pathlib
import statistics
import subprocess

STUDY = """data = "fashion-mnist-10k"
device = "linear:{device}"
[target]
ms = {target_ms}
[full]
epochs = 0.1
[finals]
count = 1
references = []
"""
WINDOW = 50


def rewards(args, algorithm, seed, proposals):
    """Rewards of the distinct networks of a study, in order; runs the study where it is missing."""
    folder = args.dir / f"{algorithm}{seed}"
    if not folder.exists():
        study = args.dir / "study.toml"
        study.write_text(STUDY.format(device=args.device.resolve(), target_ms=args.target_ms))
        command = [args.program, "search", study, "--algorithm", algorithm, "--seed", str(seed)]
        command += ["--trials", str(proposals), "--dir", folder]
    else:
        command = [args.program, "resume", folder, "--trials", str(proposals)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    report = subprocess.run([args.program, "report", folder, "--json"], check=True, capture_output=True)
    trials = json.loads(report.stdout)["trials"]
    return [t["reward"] for t in trials if t["duplicate_of"] is None and t["reward"] is not None]


def running_mean(values):
    return [statistics.mean(values[max(0, i + 1 - WINDOW) : i + 1]) for i in range(len(values))]


def svg(curves):
    """Running means over the last WINDOW distinct networks, PPO's in blue, random's in grey."""
    width, height, left, bottom = 760, 400, 60, 50
    top = max(max(c) for _, c in curves)
    low = min(min(c[WINDOW - 1 :]) for _, c in curves)
    low, top = low - 0.02, top + 0.01
    length = max(len(c) for _, c in curves)

    def x(i):
        return left + (width - left - 20) * i / length

    def y(v):
        return height - bottom - (height - bottom - 40) * (v - low) / (top - low)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="13">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        f'<text x="{left}" y="22" font-size="15">Mean reward of the last {WINDOW} distinct networks, one line per seed</text>',
    ]
    for step in range(int(low * 50) + 1, int(top * 50) + 1):
        v = step / 50
        parts.append(f'<line x1="{left}" x2="{width - 20}" y1="{y(v):.1f}" y2="{y(v):.1f}" stroke="#ddd"/>')
        parts.append(f'<text x="{left - 8}" y="{y(v) + 4:.1f}" text-anchor="end">{v:.2f}</text>')
    for i in range(0, length + 1, 100):
        parts.append(f'<text x="{x(i):.1f}" y="{height - bottom + 20}" text-anchor="middle">{i}</text>')
    parts.append(f'<text x="{width / 2}" y="{height - 12}" text-anchor="middle">distinct networks trained</text>')
    for algorithm, curve in curves:
        colour = "#1f6fb4" if algorithm == "ppo" else "#888"
        points = " ".join(f"{x(i):.1f},{y(v):.1f}" for i, v in enumerate(curve) if i >= WINDOW - 1)
        parts.append(f'<polyline fill="none" stroke="{colour}" stroke-width="1.6" points="{points}"/>')
    for row, (name, colour) in enumerate([("PPO", "#1f6fb4"), ("random search", "#888")]):
        at = height - bottom - 40 + 20 * row
        parts.append(f'<line x1="{width - 170}" x2="{width - 140}" y1="{at}" y2="{at}" stroke="{colour}" stroke-width="3"/>')
        parts.append(f'<text x="{width - 132}" y="{at + 4}">{name}</text>')
    return "\n".join(parts + ["</svg>\n"])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", type=pathlib.Path, required=True)
    parser.add_argument("--dir", type=pathlib.Path, required=True)
    here = pathlib.Path(__file__).parent
    parser.add_argument("--device", type=pathlib.Path, default=here / "host-rten.linear.toml")
    parser.add_argument("--target-ms", type=float, default=1.7)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--proposals", type=int, default=400)
    parser.add_argument("--last", type=int, default=100)
    parser.add_argument("--svg", type=pathlib.Path)
    args = parser.parse_args()
    args.dir.mkdir(parents=True, exist_ok=True)
    curves, wins = [], 0
    print("seed  distinct  ppo last  random  better")
    for seed in range(args.seeds):
        ppo = rewards(args, "ppo", seed, args.proposals)
        # Random search doesn't learn: its first networks are as good as its last.
        random = rewards(args, "random", seed, args.last + 8)
        mine, other = (statistics.mean(r[-args.last :]) for r in (ppo, random))
        wins += mine > other
        print(f"{seed:4}  {len(ppo):8}  {mine:8.4f}  {other:6.4f}  {'yes' if mine > other else 'no'}", flush=True)
        curves += [("ppo", running_mean(ppo)), ("random", running_mean(random))]
    print(f"PPO's last {args.last} distinct networks beat random search's in {wins} of {args.seeds} seeds")
    if args.svg:
        args.svg.write_text(svg(curves))


if __name__ == "__main__":
    main()
