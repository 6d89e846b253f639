"""The default search against scaled references and random search, on real trials.

    python3 benches/real_trials.py --program target/release/mnas --dir real-trials [--seeds 3] [--trials 96]
                                   [--device benches/host-rten.linear.toml]

Each seed: `mnas search` with the default algorithm, then random search, both on the built-in images with the default
training, and with the same number of proposals. A study's winner (the most accurate finalist on the validation images that
meets the target) stands beside MobileNetV2 and MnasNet-A1 scaled to the target, all trained alike and tested on the same
images. Latency is predicted by a linear model that was fitted to a run on a real device, so that
nothing depends on what else the machine does; --device host:rten measures instead.
Studies that exist in --dir are resumed or reused. Needs nothing but Python's standard library.
"""

import argparse
import json
import pathlib
import subprocess

STUDY = """data = "fashion-mnist-10k"
device = "{device}"
minutes = 240.0
"""


def study(args, algorithm, seed):
    """The report of a study, which is run where it is missing."""
    folder = args.dir / f"{algorithm}{seed}"
    if not (folder / "study.db").exists():
        file = args.dir / "study.toml"
        device = pathlib.Path(args.device)
        file.write_text(STUDY.format(device=f"linear:{device.resolve()}" if device.exists() else args.device))
        command = [args.program, "search", file, "--seed", str(seed), "--trials", str(args.trials), "--dir", folder]
        command += ["--algorithm", algorithm] if algorithm != "default" else []
    else:
        command = [args.program, "resume", folder]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return json.loads(subprocess.run([args.program, "report", folder, "--json"], check=True, capture_output=True).stdout)


def line(label, net):
    return f"  {label:<28}{100 * net['test_accuracy']:7.2f} %{net['latency_ms']:9.3f} ms"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", type=pathlib.Path, required=True)
    parser.add_argument("--dir", type=pathlib.Path, required=True)
    parser.add_argument("--device", default=str(pathlib.Path(__file__).parent / "host-rten.linear.toml"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--trials", type=int, default=96)
    args = parser.parse_args()
    args.dir.mkdir(parents=True, exist_ok=True)
    over_references = over_random = 0
    for seed in range(args.seeds):
        found, random = (study(args, algorithm, seed) for algorithm in ("default", "random"))
        references = [f for f in found["finals"] if f["trial"] is None and f["test_accuracy"] is not None]
        mine, other = found["winner"], random["winner"]
        distinct = [r["totals"]["distinct"] for r in (found, random)]
        print(f"seed {seed}, target {found['facts']['target_ms']:.3f} ms, {distinct[0]} and {distinct[1]} distinct networks")
        print(line("found", mine))
        for reference in references:
            print(line(reference["name"], reference))
        print(line("found by random search", other), flush=True)
        over_references += all(mine["test_accuracy"] > r["test_accuracy"] and mine["latency_ms"] <= r["latency_ms"] for r in references)
        over_random += mine["test_accuracy"] > other["test_accuracy"]
    print(f"more accurate than each reference at no more latency: {over_references} of {args.seeds} seeds; than random search: {over_random}")


if __name__ == "__main__":
    main()
