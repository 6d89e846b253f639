//! The agent on its own: `mnas agent` without the rest of mnas, small enough to send to a phone.

use std::io::{stdin, stdout};
use std::process::ExitCode;

use mnas_deploy::EngineId;

const USAGE: &str = "usage: mnas-agent [--engine litert|ort|rten]\n\
    answers requests to measure, one JSON line each, on its standard input and output";
/// As of `mnas`: wrong arguments, and a device or engine that can't be used.
const USAGE_CODE: u8 = 2;
const DEVICE_CODE: u8 = 4;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let engine = match args[..] {
        [] => None,
        ["--version"] => {
            println!("mnas-agent {}", env!("CARGO_PKG_VERSION"));
            return ExitCode::SUCCESS;
        }
        ["--help"] => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        ["--engine", name] => match name.parse::<EngineId>() {
            Ok(engine) => Some(engine),
            Err(error) => {
                eprintln!("error: {error}");
                return ExitCode::from(USAGE_CODE);
            }
        },
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(USAGE_CODE);
        }
    };
    match mnas_deploy::serve_agent(engine, stdin().lock(), stdout().lock()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(DEVICE_CODE)
        }
    }
}
