"""How well a short training ranks networks, per second: the choice of the default proxy.

The same random networks are trained under each proxy and in full; a line per proxy gives Kendall's tau
of its validation accuracies with the full training's, and core-seconds per network.

usage: python3 benches/proxy_rank.py PATH_OF_MNAS FOLDER [NETWORKS]

Results of finished runs stay in FOLDER and are not repeated. Needs no package.
"""

import itertools
import json
import subprocess
import sys
from pathlib import Path

FULL = dict(images=None, epochs=8.0, batch=32, learning_rate=0.05)
PROXIES = [
    dict(images=4500, epochs=1.0, batch=32, learning_rate=0.05),
    dict(images=2250, epochs=2.0, batch=32, learning_rate=0.05),
    dict(images=1500, epochs=3.0, batch=32, learning_rate=0.05),
    dict(images=4500, epochs=1.0, batch=64, learning_rate=0.1),
    dict(images=9000, epochs=1.0, batch=32, learning_rate=0.05),
    dict(images=2250, epochs=1.0, batch=32, learning_rate=0.05),
    dict(images=1500, epochs=3.0, batch=32, learning_rate=0.02),
    dict(images=2250, epochs=2.0, batch=16, learning_rate=0.02),
    dict(images=1500, epochs=3.0, batch=16, learning_rate=0.02),
    dict(images=1000, epochs=4.5, batch=16, learning_rate=0.02),
    dict(images=1000, epochs=4.5, batch=32, learning_rate=0.05),
]
# Latency doesn't matter here: it is counted, so that nothing is measured and nothing is too slow.
DEVICE = 'kind = "linear"\ndevice = "none"\nengine = "none"\nbias_ms = 0.1\n[coefficients]\n"conv.macs" = 1e-9\n'


def run(mnas, folder, networks, recipe):
    name = "-".join(str(v) for v in recipe.values())
    study = folder / name
    if not study.exists():
        lines = [f"{k} = {v}" for k, v in recipe.items() if v is not None]
        text = [
            'device = "linear:%s"' % (folder / "device.toml"),
            'algorithm = "random"',
            f"trials = {networks}",
            f"batch = {networks}",
            f'dir = "{study}"',
            "[target]",
            "ms = 1000.0",
            "[finals]",
            "count = 0",
            "references = []",
            "[proxy]",
            *lines,
        ]
        (folder / f"{name}.toml").write_text("\n".join(text) + "\n")
        subprocess.run([mnas, "search", str(folder / f"{name}.toml")], check=True, stdout=subprocess.DEVNULL)
    out = subprocess.run([mnas, "report", str(study), "--json"], check=True, capture_output=True)
    view = json.loads(out.stdout)
    done = {t["spec"]: t["accuracy"] for t in view["trials"] if t["accuracy"] is not None}
    return done, view["totals"]["train_seconds"] / max(1, len(done))


def tau(xs, ys):
    """Kendall's tau-b."""
    concordant = discordant = ties_x = ties_y = 0
    for (a, b), (c, d) in itertools.combinations(zip(xs, ys), 2):
        x, y = a - c, b - d
        if x * y > 0:
            concordant += 1
        elif x * y < 0:
            discordant += 1
        else:
            ties_x += x == 0
            ties_y += y == 0
    pairs = concordant + discordant
    return (concordant - discordant) / (((pairs + ties_x) * (pairs + ties_y)) ** 0.5)


def main():
    mnas, folder = sys.argv[1], Path(sys.argv[2]).resolve()
    networks = int(sys.argv[3]) if len(sys.argv) > 3 else 24
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "device.toml").write_text(DEVICE)
    runs = {}
    for recipe in [*PROXIES, FULL]:
        runs[str(recipe)] = run(mnas, folder, networks, recipe)
        print(f"{recipe}: {runs[str(recipe)][1]:.1f} core-seconds a network", flush=True)
    full, _ = runs[str(FULL)]
    for recipe in PROXIES:
        proxy, seconds = runs[str(recipe)]
        both = [s for s in full if s in proxy]
        t = tau([proxy[s] for s in both], [full[s] for s in both])
        print(json.dumps({**recipe, "tau": round(t, 3), "core_seconds": round(seconds, 2), "networks": len(both)}))


if __name__ == "__main__":
    main()
