//! Destinations, tables as text, and the MLflow conversation with a server that answers as the real
//! one did. Optuna, pandas and TensorBoard themselves read our files in `mnas/tests/interchange.rs`.

mod server;

use std::path::PathBuf;

use mnas_search::Study;

use super::table::Values;
use super::{Destination, InterchangeError, Table, TableFormat, mlflow, parquet, text};
use crate::fakes::{Bench, plan};

/// A finished study of 40 trials and its table.
fn sample() -> (Study, Table) {
    let mut bench = Bench::new(&plan());
    bench.complete();
    let study = bench.study();
    let table = Table::of(&study, bench.store.events()).unwrap();
    (study, table)
}

#[test]
fn destinations_name_a_format_or_a_file() {
    let file = |format, path: &str| Ok(Destination::File(format, Some(PathBuf::from(path))));
    let cases: [(&str, Result<Destination, &str>); 10] = [
        ("csv", Ok(Destination::File(TableFormat::Csv, None))),
        ("optuna", Ok(Destination::File(TableFormat::Optuna, None))),
        ("optuna.db", file(TableFormat::Optuna, "optuna.db")),
        ("a b/x.parquet", file(TableFormat::Parquet, "a b/x.parquet")),
        ("./x.jsonl", file(TableFormat::Jsonl, "./x.jsonl")),
        (
            "mlflow:http://127.0.0.1:5000/",
            Ok(Destination::Mlflow("http://127.0.0.1:5000".into())),
        ),
        ("mlflow:https://example.org", Err("https isn't supported")),
        ("mlflow:somewhere", Err("isn't of the form http://")),
        ("table.xlsx", Err("names no format")),
        ("", Err("names no format")),
    ];
    for (given, expected) in cases {
        match (given.parse::<Destination>(), expected) {
            (Ok(found), Ok(wanted)) => assert_eq!(found, wanted, "{given}"),
            (Err(error), Err(words)) => {
                assert!(error.to_string().contains(words), "{given}: {error}");
            }
            (found, wanted) => panic!("{given}: {found:?}, expected {wanted:?}"),
        }
    }
}

#[test]
fn a_table_has_every_trial_with_its_decisions() {
    let (study, table) = sample();
    assert_eq!(table.rows(), study.trials().len());
    let column = |name: &str| {
        let found = table.columns().iter().find(|c| c.name == name);
        found.map(|c| c.values.clone()).unwrap()
    };
    let space = mnas_search::Space::parse("s", study.space_text()).unwrap();
    for (at, decision) in space.decisions().iter().enumerate() {
        let chosen = |row: usize| &decision.choices[usize::from(study.trials()[row].tokens[at])];
        for row in 0..table.rows() {
            let found = match column(&decision.name) {
                Values::Whole(v) => v[row].unwrap().to_string(),
                Values::Real(v) => v[row].unwrap().to_string(),
                Values::Text(v) => v[row].clone().unwrap(),
                other => panic!("{other:?}"),
            };
            assert_eq!(&found, chosen(row), "{}", decision.name);
        }
    }
    let (Values::Time(proposed), Values::Time(finished)) =
        (column("proposed_at"), column("finished_at"))
    else {
        panic!("moments are moments");
    };
    assert!(proposed.iter().zip(&finished).all(|(p, f)| p <= f));
    let Values::Flag(front) = column("on_front") else {
        panic!("on_front is a flag");
    };
    let on_front = front.iter().filter(|f| **f == Some(true)).count();
    assert_eq!(on_front, study.front().len());
}

#[test]
fn text_is_read_back_as_it_was() {
    let (study, table) = sample();
    let lines = text::json_lines(&table);
    for (line, trial) in lines.lines().zip(study.trials()) {
        let row: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(row["trial"], trial.id);
        assert_eq!(row["reward"].as_f64(), trial.reward);
        assert_eq!(row["latency_ms"].as_f64(), trial.latency_ms());
        let spec: mnas_net::NetSpec = row["spec"].as_str().unwrap().parse().unwrap();
        assert_eq!(spec.hash(), trial.hash);
    }
    let csv = text::csv(&table);
    assert_eq!(csv.lines().count(), study.trials().len() + 1);
    let width = table.columns().len();
    assert!(csv.lines().all(|l| l.split(',').count() == width), "{csv}");
    let odd = super::Table::of(&study, &[]).unwrap();
    assert_eq!(odd.rows(), study.trials().len(), "times are no condition");
}

#[test]
fn a_parquet_file_is_framed_as_the_format_wants() {
    let (_, table) = sample();
    let file = parquet::parquet(&table).unwrap();
    assert!(file.starts_with(b"PAR1") && file.ends_with(b"PAR1"));
    let at = file.len() - 8;
    let footer = u32::from_le_bytes(file[at..at + 4].try_into().unwrap());
    assert!((footer as usize) < at - 4 && footer > 1_000);
}

#[test]
fn mlflow_gets_each_trial_once() {
    let (study, table) = sample();
    let server = server::Server::start();
    let export = || mlflow::export(&server.url(), "it's a study", &study, &table).unwrap();
    let first = export();
    assert_eq!((first.trials, first.kept), (table.rows() as u64, 0));
    let again = export();
    assert_eq!((again.trials, again.kept), (0, table.rows() as u64));
    let runs = server.runs();
    assert_eq!(runs.len(), study.trials().len());
    for (run, trial) in runs.iter().zip(study.trials()) {
        assert_eq!(run.metric("accuracy"), trial.accuracy());
        assert_eq!(run.metric("latency_ms"), trial.latency_ms());
        assert_eq!(run.params.len(), table.decisions().len());
        let fine = trial.latency_ms().is_some();
        assert_eq!(run.status, if fine { "FINISHED" } else { "FAILED" });
    }
}

#[test]
fn a_server_that_refuses_or_is_not_there_is_named() {
    let (study, table) = sample();
    let server = server::Server::start();
    server.refuse();
    let error = mlflow::export(&server.url(), "s", &study, &table).unwrap_err();
    assert!(
        matches!(&error, InterchangeError::Refused { status: 403, message, .. } if message.contains("not allowed")),
        "{error}"
    );
    let gone = server.url();
    drop(server);
    let error = mlflow::export(&gone, "s", &study, &table).unwrap_err();
    assert!(matches!(error, InterchangeError::Unreachable { .. }));
}
