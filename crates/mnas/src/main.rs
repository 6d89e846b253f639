//! The `mnas` binary.

fn main() -> std::process::ExitCode {
    mnas::main_with(mnas::Registry::builtin())
}
