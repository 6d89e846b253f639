"""The default search against scaled references and random search, on real trials.

    python3 benches/real_trials.py --program target/release/mnas --dir real-trials [--seeds 3] [--trials 96]
                                   [--data fashion-mnist-10k] [--epochs 8] [--device linear:benches/host-rten-calibrated.linear.toml]

Each seed: `mnas search` with the default algorithm, then random search, both on the same images with the default
short training and eight epochs for finalists, and with the same number of proposals. A study's winner (the most accurate finalist on the validation images that
meets the target) stands beside MobileNetV2 and MnasNet-A1, each the widest that meets the target, all trained alike and
tested on the same images. Latency is predicted by a linear model that `mnas device calibrate` fitted to a run on a real
device, so that nothing depends on what else the machine does. Studies that exist in --dir are resumed or reused. Needs
nothing but Python's standard library.
"""

import argparse
import json
import pathlib
import statistics
import subprocess

STUDY = """data = "{data}"
device = "{device}"
[full]
epochs = {epochs}
"""


def study(args, algorithm, seed):
    """The report of a study, which is run where it is missing."""
    folder = args.dir / f"{algorithm}{seed}"
    if not (folder / "study.db").exists():
        file = args.dir / f"{algorithm}.toml"
        text = STUDY.format(device=args.device, data=args.data, epochs=args.epochs)
        # Those of the default search are trained alike, and are the ones that are read.
        file.write_text(text if algorithm == "default" else text + "[finals]\nreferences = []\n")
        command = [args.program, "search", file, "--seed", str(seed), "--trials", str(args.trials), "--dir", folder]
        command += ["--algorithm", algorithm] if algorithm != "default" else []
    else:
        command = [args.program, "resume", folder]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    report = json.loads(subprocess.run([args.program, "report", folder, "--json"], check=True, capture_output=True).stdout)
    made = report["totals"]["proposals"]
    if made != args.trials:
        raise SystemExit(f"{folder}: {made} proposals instead of {args.trials}; use another --dir")
    return report


def line(label, net):
    if net is None or net["test_accuracy"] is None:
        return f"  {label:<28}no network was tested"
    return f"  {label:<28}{100 * net['test_accuracy']:7.2f} %{net['latency_ms']:9.3f} ms{net['macs'] / 1e6:8.2f} M MACs"


def value(net, target_ms):
    """Test accuracy of a network that meets the target; below all others where there is none."""
    met = net is not None and net["test_accuracy"] is not None and net["latency_ms"] <= target_ms
    return net["test_accuracy"] if met else float("-inf")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", type=pathlib.Path, required=True)
    parser.add_argument("--dir", type=pathlib.Path, required=True)
    model = pathlib.Path(__file__).parent.resolve() / "host-rten-calibrated.linear.toml"
    parser.add_argument("--device", default=f"linear:{model}")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--trials", type=int, default=96)
    parser.add_argument("--data", default="fashion-mnist-10k")
    parser.add_argument("--epochs", type=float, default=8.0)
    args = parser.parse_args()
    args.dir.mkdir(parents=True, exist_ok=True)
    over_references, over_random, gaps = 0, 0, []
    for seed in range(args.seeds):
        found, random = (study(args, algorithm, seed) for algorithm in ("default", "random"))
        target_ms = found["facts"]["target_ms"]
        references = [f for f in found["finals"] if f["trial"] is None and f["test_accuracy"] is not None]
        trained = [r["totals"]["trained"] for r in (found, random)]
        print(f"seed {seed}, target {target_ms:.3f} ms, {trained[0]} and {trained[1]} networks trained")
        print(line(f"found by {found['facts']['algorithm']}", found["winner"]))
        for reference in references:
            print(line(reference["name"], reference))
        print(line("found by random search", random["winner"]), flush=True)
        ours, theirs = (value(r["winner"], target_ms) for r in (found, random))
        over_references += bool(references) and all(ours > r["test_accuracy"] for r in references)
        over_random += ours > theirs
        if min(ours, theirs) > float("-inf"):
            gaps.append(100 * (ours - theirs))
    print(f"within the target and more accurate than each reference: {over_references} of {args.seeds} seeds; than random search: {over_random}")
    if len(gaps) > 1:
        error = statistics.stdev(gaps) / len(gaps) ** 0.5
        print(f"over random search: {statistics.mean(gaps):+.2f} points, standard error over seeds {error:.2f}; all share their test images")


if __name__ == "__main__":
    main()
