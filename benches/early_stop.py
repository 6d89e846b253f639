"""What cutting trainings short would have saved, and cost, in studies whose trials were trained to the end.

For each study, batch by batch: the rule of `early_stop` (a line from the loss after three tenths of the
training to the final accuracy, fitted to the networks of earlier batches that were trained to the end; a
training is cut where the forecast plus so many standard deviations isn't worth the reward of the k-th best),
and successive halving with one rung (the better half of each batch by that loss goes on). Proposals are the
study's own, so what the controller would have proposed otherwise doesn't show.

usage: python3 benches/early_stop.py STUDY_DIR...

Prints the share of training time saved, how much lower the best reward and the mean of the three best are
(regret), and how many of the ten best networks were cut. Needs no package.
"""

import json
import math
import sqlite3
import sys

POINT = 2  # three tenths; the curve has ten points
GRACE = 24
RULES = [(3, 1.0), (3, 1.5), (3, 2.0), (10, 1.0)]


def study(folder):
    db = sqlite3.connect(f"file:{folder}/study.db?mode=ro", uri=True)
    batches, done, plan, target = {}, {}, None, None
    for kind, body in db.execute("select kind, body from events order by seq"):
        event = json.loads(body)[kind]
        if kind == "started":
            plan = event["plan"]
        elif kind == "target":
            target = event["target_ms"]
        elif kind == "proposed":
            batches.update((p["trial"], event["batch"]) for p in event["proposals"])
        elif kind == "finished" and "done" in event["outcome"]:
            done[event["trial"]] = event["outcome"]["done"]
    full = max(len(m["curve"]) for m in done.values())
    done = {t: m for t, m in done.items() if len(m["curve"]) == full == 10}
    kind = plan["objective"]

    def reward(accuracy, metrics):
        ratio = metrics["latency"]["median_ms"] / target
        if "soft" in kind:
            return accuracy * ratio ** kind["soft"]["alpha" if ratio <= 1 else "beta"]
        if "hard" in kind:
            return accuracy * (ratio ** kind["hard"]["beta"] if ratio > 1 else 1)
        return accuracy + kind["absolute"]["beta"] * abs(ratio - 1)

    by_batch = {}
    for trial, metrics in done.items():
        by_batch.setdefault(batches[trial], []).append(metrics)
    return [by_batch[b] for b in sorted(by_batch)], reward


def loss(metrics):
    return metrics["curve"][POINT]["loss"]


def line(seen):
    xs, ys = [loss(m) for m in seen], [m["accuracy"] for m in seen]
    x, y = sum(xs) / len(xs), sum(ys) / len(ys)
    slope = sum((a - x) * (b - y) for a, b in zip(xs, ys)) / sum((a - x) ** 2 for a in xs)
    left = sum((b - y - slope * (a - x)) ** 2 for a, b in zip(xs, ys))
    return y - slope * x, slope, math.sqrt(left / (len(xs) - 2))


def early(best, deviations):
    def keep(batch, seen, reward):
        if len(seen) < GRACE:
            return batch
        intercept, slope, deviation = line(seen)
        least = sorted((reward(m["accuracy"], m) for m in seen), reverse=True)[best - 1]
        hope = lambda m: reward(intercept + slope * loss(m) + deviations * deviation, m)
        return [m for m in batch if hope(m) >= least]

    return keep


def halving(batch, seen, reward):
    return sorted(batch, key=loss)[: max(1, round(len(batch) / 2))]


def replay(batches, reward, keep):
    kept, saved, total = [], 0.0, 0.0
    for batch in batches:
        going = keep(batch, list(kept), reward)
        for m in batch:
            total += m["train_seconds"]
            if m not in going:
                saved += m["train_seconds"] * (1 - m["curve"][POINT]["epoch"] / m["curve"][-1]["epoch"])
        kept += going
    rank = lambda ms: sorted((reward(m["accuracy"], m) for m in ms), reverse=True)
    every, found = rank([m for b in batches for m in b]), rank(kept)
    lost = sum(r not in found for r in every[:10])
    return saved / total, every[0] - found[0], sum(every[:3]) / 3 - sum(found[:3]) / 3, lost


def main():
    rules = [(f"best {k}, {z} deviations", early(k, z)) for k, z in RULES] + [("halving", halving)]
    sums = {name: [] for name, _ in rules}
    for folder in sys.argv[1:]:
        batches, reward = study(folder)
        print(f"{folder}: {sum(map(len, batches))} networks")
        for name, keep in rules:
            result = replay(batches, reward, keep)
            sums[name].append(result)
            print(f"  {name:24} saved {result[0]:.3f}  regret {result[1]:.4f}  of three {result[2]:.4f}  cut of ten {result[3]}")
    print(f"all {len(sys.argv) - 1}: mean (worst)")
    for name, results in sums.items():
        columns = list(zip(*results))
        mean = [sum(c) / len(c) for c in columns]
        print(
            f"  {name:24} saved {mean[0]:.3f} ({min(columns[0]):.3f})  regret {mean[1]:.5f} ({max(columns[1]):.4f})"
            f"  of three {mean[2]:.5f} ({max(columns[2]):.4f})  cut of ten {mean[3]:.1f} ({max(columns[3])})"
        )


if __name__ == "__main__":
    main()
