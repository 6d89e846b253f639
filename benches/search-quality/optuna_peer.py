"""Optuna's samplers on NAS-Bench-Macro, as JSON lines that `search_quality --peer FILE` scores.

    python3 optuna_peer.py TABLE.json OUT.jsonl SAMPLER OBJECTIVE TRIALS SEEDS [FIRST_SEED]

SAMPLER: random, tpe, tpe-mv, gp, ga, ga50 (population 20 and 50), cmaes isn't for categories.
OBJECTIVE: soft, hard (one reward, target 45 million multiply-accumulates) or front (accuracy up, cost down).

A line is one seed: what was asked for in order, as digits of the table's keys. Rewards are looked up again by the
scorer, so that both sides are judged by the same arithmetic. If optuna is missing, the script makes a virtual
environment beside the output file and starts itself again in it.
"""

import json
import subprocess
import sys
import time
import venv
from pathlib import Path

PACKAGES = ["optuna==5.0.0", "numpy", "scipy", "torch"]
TARGET = 45.0


def in_environment(out):
    """Starts this script again in a virtual environment that has optuna."""
    folder = out.resolve().parent / "optuna-venv"
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
        index = ["--extra-index-url", "https://download.pytorch.org/whl/cpu"]
        subprocess.run([python, "-m", "pip", "install", "-q", *PACKAGES, *index], check=True)
    sys.exit(subprocess.run([python, *sys.argv], check=False).returncode)


def main():
    table, out = Path(sys.argv[1]), Path(sys.argv[2])
    name, objective, trials, seeds = sys.argv[3], sys.argv[4], int(sys.argv[5]), int(sys.argv[6])
    first = int(sys.argv[7]) if len(sys.argv) > 7 else 0
    try:
        import optuna
        import torch  # noqa: F401 (the GP sampler needs it)
    except ImportError:
        if Path(sys.prefix).name == "optuna-venv":
            raise
        in_environment(out)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    nets = json.loads(table.read_text())

    def sampler(seed):
        kinds = optuna.samplers
        front = objective == "front"
        return {
            "random": lambda: kinds.RandomSampler(seed=seed),
            "tpe": lambda: kinds.TPESampler(seed=seed),
            "tpe-mv": lambda: kinds.TPESampler(seed=seed, multivariate=True, group=True),
            "ga": lambda: kinds.NSGAIISampler(seed=seed, population_size=20),
            "ga50": lambda: kinds.NSGAIISampler(seed=seed, population_size=50),
            "gp": lambda: kinds.GPSampler(seed=seed, deterministic_objective=True),
        }[name](), ["maximize", "minimize"] if front else ["maximize"]

    def value(key):
        accuracy, cost = nets[key]["mean_acc"] / 100, nets[key]["flops"] / 1e6
        if objective == "front":
            return [accuracy, cost]
        exponent = -0.07 if objective == "soft" else (0 if cost <= TARGET else -1)
        return accuracy * (cost / TARGET) ** exponent

    for seed in range(first, first + seeds):
        chosen, directions = sampler(seed)
        study = optuna.create_study(directions=directions, sampler=chosen)
        samples, start = [], time.perf_counter()
        for _ in range(trials):
            trial = study.ask()
            key = "".join(str(trial.suggest_categorical(f"p{j}", [0, 1, 2])) for j in range(8))
            study.tell(trial, value(key))
            samples.append(key)
        line = {
            "problem": f"macro-{objective}",
            "algorithm": f"optuna {name}",
            "seed": seed,
            "samples": samples,
            "seconds": round(time.perf_counter() - start, 2),
        }
        with out.open("a") as lines:
            lines.write(json.dumps(line) + "\n")
        print(f"{name} {objective} seed {seed}: {line['seconds']} s", flush=True)


if __name__ == "__main__":
    main()
