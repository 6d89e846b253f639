"""Opens the study in ./s as a user would, and compares what is found with ./view.json (the answer of
`mnas report --json`). Usage: readers.py PART."""

import json
import math
import re
import sys
import threading
import urllib.request


def view():
    with open("view.json") as f:
        return json.load(f)


def near(a, b):
    if a is None or b is None or (isinstance(a, float) and math.isnan(a)):
        return b is None
    return math.isclose(a, b, rel_tol=1e-9)


def get(url):
    with urllib.request.urlopen(url, timeout=60) as answer:
        return json.load(answer)


def pandas():
    import pandas as pd

    frames = {
        "parquet": pd.read_parquet("s/trials.parquet"),
        "csv": pd.read_csv("s/trials.csv"),
        "jsonl": pd.read_json("s/trials.jsonl", lines=True, dtype=False),
    }
    for name in ("csv", "jsonl"):
        for column in ("proposed_at", "finished_at"):
            frames[name][column] = pd.to_datetime(frames[name][column])
    trials = view()["trials"]
    for name, frame in frames.items():
        assert len(frame) == len(trials), name
        for row, trial in zip(frame.to_dict("records"), trials):
            assert row["trial"] == trial["trial"], name
            assert row["state"] == trial["state"], name
            assert row["hash"] == trial["hash"], name
            assert row["spec"] == "; ".join(trial["spec"].splitlines()), name
            assert row["attempt"] == trial["attempt"], name
            for key in ("latency_ms", "reward", "macs", "params"):
                assert near(row[key], trial[key]), (name, key, row[key], trial[key])
            if trial["state"] == "done":
                assert near(row["accuracy"], trial["accuracy"]), name
        assert str(frame["proposed_at"].dt.tz) in ("UTC", "datetime.timezone.utc"), name
        assert (frame["finished_at"] >= frame["proposed_at"]).all(), name
        decisions = [c for c in frame.columns if "." in c]
        assert len(decisions) == 4, (name, decisions)
        assert frame["on_front"].astype(bool).sum() == len(view()["front"]), name
    parquet, csv = frames["parquet"], frames["csv"]
    assert list(parquet.columns) == list(csv.columns)
    assert str(parquet["proposed_at"].dtype).startswith("datetime64"), parquet.dtypes
    assert parquet["latency_ms"].dtype == "float64"
    for column in parquet.columns:
        same = parquet[column].astype(str) == csv[column].astype(str)
        if parquet[column].dtype.kind not in "fM" and parquet[column].notna().all():
            assert same.all(), (column, parquet[column], csv[column])


def optuna():
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    storage = "sqlite:///s/optuna.db"
    [summary] = optuna.get_all_study_summaries(storage)
    study = optuna.load_study(study_name=summary.study_name, storage=storage)
    assert study.directions == [
        optuna.study.StudyDirection.MAXIMIZE,
        optuna.study.StudyDirection.MINIMIZE,
    ]
    assert study.metric_names == ["accuracy", "latency_ms"]
    ours = view()
    assert len(study.trials) == len(ours["trials"])
    for found, trial in zip(study.trials, ours["trials"]):
        assert found.number == trial["trial"]
        assert near(found.values[0], trial["accuracy"]), (found.values, trial)
        assert near(found.values[1], trial["latency_ms"])
        assert near(found.user_attrs["reward"], trial["reward"])
        assert found.user_attrs["hash"] == trial["hash"]
        assert found.datetime_complete >= found.datetime_start
    # The front: Optuna's own, of networks (it keeps duplicates, a front doesn't).
    front = {t.user_attrs["hash"] for t in study.best_trials}
    assert front == {t["hash"] for t in ours["front"]}, front
    # A sampler continues it with the space's own choices.
    study.sampler = optuna.samplers.TPESampler(seed=1)
    distributions = study.trials[0].distributions
    before = len(study.trials)
    for _ in range(12):
        trial = study.ask(distributions)
        study.tell(trial, [0.5, 1.0])
    again = optuna.load_study(study_name=summary.study_name, storage=storage)
    assert len(again.trials) == before + 12
    assert all(t.distributions == distributions for t in again.trials)


def optuna_dashboard():
    from wsgiref.simple_server import WSGIRequestHandler, make_server

    from optuna_dashboard import wsgi

    class Quiet(WSGIRequestHandler):
        def log_message(self, *_):
            pass

    server = make_server("127.0.0.1", 0, wsgi("sqlite:///mine.db"), handler_class=Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    base = f"http://127.0.0.1:{server.server_port}"
    [study] = get(base + "/api/studies")["study_summaries"]
    detail = get(f"{base}/api/studies/{study['study_id']}?after=0")
    ours = view()
    assert len(detail["trials"]) == len(ours["trials"])
    assert detail["directions"] == ["maximize", "minimize"], detail["directions"]
    front = {t["number"] for t in detail["best_trials"]}
    assert {t["trial"] for t in ours["front"]} <= front, (front, ours["front"])
    names = {p["name"] for t in detail["trials"] for p in t["params"]}
    assert len(names) == 4, names
    server.shutdown()


def tensorboard():
    from tensorboard import program
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    ours = view()
    events = EventAccumulator("s/tensorboard/search", size_guidance={"scalars": 0})
    events.Reload()
    tags = events.Tags()["scalars"]
    for tag in ("reward", "best_reward", "accuracy", "latency_ms"):
        assert tag in tags, tags
    rewards = [(e.step, e.value) for e in events.Scalars("reward")]
    expected = [(t["trial"], t["reward"]) for t in ours["trials"] if t["reward"] is not None]
    assert [s for s, _ in rewards] == [s for s, _ in expected], rewards
    assert all(math.isclose(a[1], b[1], rel_tol=1e-6) for a, b in zip(rewards, expected))
    board = program.TensorBoard()
    board.configure(argv=[None, "--logdir", "s/tensorboard", "--port", "0", "--reload_interval", "1"])
    base = board.launch().rstrip("/")
    # An extended study may have runs of finalists of before, too.
    finals = {"finals/" + re.sub(r"[^A-Za-z0-9._-]", "-", f["name"]) for f in ours["finals"]}
    runs = {}
    for _ in range(200):
        runs = get(base + "/data/plugin/scalars/tags")
        if "search" in runs and finals <= set(runs):
            break
        threading.Event().wait(0.1)
    shown = get(base + "/data/plugin/scalars/scalars?run=search&tag=reward")
    assert [s for _, s, _ in shown] == [s for s, _ in expected], (runs, shown)
    assert finals and finals <= set(runs), (finals, runs)
    for run in finals:
        assert {"loss", "accuracy"} <= set(runs[run]), runs


part = sys.argv[1]
globals()[part]()
print(f"{part}: good")
