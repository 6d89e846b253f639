//! The agent for ARM under `qemu-user`, with LiteRT's own ARM library: it answers as this machine's
//! engine does. Its times mean nothing.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use mnas_deploy::{EngineId, Format, ModelFile, ModelMeta, export, load_model};
use mnas_testkit::device::{network, weights};
use serde_json::{Value, json};

use super::place::has;

const QEMU: &str = "qemu-aarch64-static";
/// Debian's folder of the ARM C library.
const LIBRARIES: &str = "/usr/aarch64-linux-gnu";

/// What `cpuinfo`, a part of LiteRT, reads to tell the processor; qemu passes this machine's own.
const CPUINFO: &str = "processor\t: 0\nBogoMIPS\t: 50.00\n\
    Features\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp asimdrdm lrcpc dcpop asimddp\n\
    CPU implementer\t: 0x41\nCPU architecture: 8\nCPU variant\t: 0x4\nCPU part\t: 0xd0b\nCPU revision\t: 1\n\n";

/// Agent and library, from the environment that `cargo xtask test` makes.
fn parts() -> Option<(PathBuf, PathBuf)> {
    let named = |name: &str| {
        let value = std::env::var_os(name).map(PathBuf::from);
        if value.is_none() {
            println!("skipped: {name} names no file (`cargo xtask test` makes it where it can)");
        }
        value
    };
    let parts = named("MNAS_AGENT_AARCH64").zip(named("MNAS_LITERT_AARCH64"));
    let there = Path::new(LIBRARIES).is_dir();
    if !there {
        println!("skipped: no {LIBRARIES} (Debian's package libstdc++-12-dev-arm64-cross)");
    }
    parts.filter(|_| there && has(QEMU, "qemu-user-static"))
}

/// A root of files that qemu looks at before this machine's: its `-L`.
fn root(folder: &Path) {
    symlink(Path::new(LIBRARIES).join("lib"), folder.join("lib")).unwrap();
    write(folder, "proc/cpuinfo", CPUINFO);
    write(folder, "proc/device-tree/model", "Stand-in Board Rev 1\0");
    write(
        folder,
        "sys/class/thermal/thermal_zone0/type",
        "cpu-thermal\n",
    );
    write(folder, "sys/class/thermal/thermal_zone0/temp", "42000\n");
    for core in 0..256 {
        let cpu = format!("sys/devices/system/cpu/cpu{core}");
        write(
            folder,
            &format!("{cpu}/cpu_capacity"),
            &(1024 - core).to_string(),
        );
        let cpu = format!("{cpu}/cpufreq");
        let clock = clock_khz(core).to_string();
        write(folder, &format!("{cpu}/cpuinfo_max_freq"), &clock);
        write(folder, &format!("{cpu}/scaling_cur_freq"), &clock);
        write(folder, &format!("{cpu}/scaling_governor"), "schedutil\n");
    }
}

/// Of the board's cores the first is the biggest, whichever this process may use.
fn clock_khz(core: u64) -> u64 {
    2_400_000 - 1000 * core
}

fn write(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn model() -> ModelFile {
    let graph = network(32, 8);
    export(
        &graph,
        &weights(&graph),
        Format::Tflite,
        &ModelMeta::default(),
    )
    .unwrap()
}

/// The image that agents and `host` run on.
fn image(file: &ModelFile) -> Vec<f32> {
    let mut random = mnas_net::stream(0, 0, mnas_net::Purpose::Measure);
    (0..file.input.len())
        .map(|_| random.normal() as f32)
        .collect()
}

#[test]
fn the_agent_for_arm_answers_as_this_machine_does() {
    let Some((agent, library)) = parts() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let (rootfs, bundle) = (folder.path().join("root"), folder.path().join("bundle"));
    fs::create_dir_all(&rootfs).unwrap();
    fs::create_dir_all(&bundle).unwrap();
    root(&rootfs);
    fs::copy(&agent, bundle.join("mnas-agent")).unwrap();
    fs::copy(&library, bundle.join("libLiteRt.so")).unwrap();
    fs::copy(
        library.with_file_name("__init__.py"),
        bundle.join("__init__.py"),
    )
    .unwrap();

    let file = model();
    let path = bundle.join("model.tflite");
    fs::write(&path, &file.bytes).unwrap();
    let mut child = Command::new(QEMU)
        .args(["-cpu", "cortex-a76", "-L"])
        .arg(&rootfs)
        .arg(bundle.join("mnas-agent"))
        .args(["--engine", "litert"])
        .env("MNAS_LITERT_LIB", bundle.join("libLiteRt.so"))
        .current_dir(&bundle)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut ask = |request: Value| -> Value {
        writeln!(input, "{request}").unwrap();
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|e| panic!("{line:?}: {e}"))
    };
    let hello = ask(json!({"request": "hello", "protocol": 1}));
    assert!(
        hello["engine"].as_str().unwrap().starts_with("LiteRT "),
        "{hello}"
    );
    assert_eq!(hello["device"], "Stand-in Board Rev 1");
    let cores = hello["board"]["cores"].as_array().unwrap();
    let big = cores[0]["core"].as_u64().unwrap();
    let request = json!({
        "request": "measure", "id": 1, "name": "n", "spec": "", "model": path,
        "model_sha256": sha256(&path), "format": "tflite", "runs": 10, "warmup": 5,
        "seconds_max": 10.0, "precision": "float", "answer": true});
    let reply = ask(request);
    // Its times mean nothing: on a busy machine every one of them is dropped.
    assert!(reply["answer"].is_array(), "{reply}");
    let conditions = &reply["conditions"];
    assert_eq!(conditions["core"], big, "{conditions}");
    let clock = (clock_khz(big) / 1000) as f64;
    assert_eq!(
        (&conditions["clock_mhz"], &conditions["governor"]),
        (&json!(clock), &json!("schedutil"))
    );
    assert_eq!(conditions["celsius_before"], 42.0);
    drop(input);
    assert!(child.wait().unwrap().success());

    let there: Vec<f32> = serde_json::from_value(reply["answer"].clone()).unwrap();
    assert_eq!(there.len(), 10);
    let here = match load_model(&file, EngineId::LiteRt) {
        Ok(mut model) => model.run(&image(&file)).unwrap(),
        Err(_) => {
            println!("skipped: LiteRT isn't here, compared with rten instead");
            let graph = network(32, 8);
            let file = export(
                &graph,
                &weights(&graph),
                Format::Onnx,
                &ModelMeta::default(),
            )
            .unwrap();
            load_model(&file, EngineId::Rten)
                .unwrap()
                .run(&image(&file))
                .unwrap()
        }
    };
    let scale = here.iter().fold(0.0_f32, |m, v| m.max(v.abs()));
    for (a, b) in here.iter().zip(&there) {
        assert!((a - b).abs() <= 1e-4 * scale, "{here:?} {there:?}");
    }
}

fn sha256(path: &Path) -> String {
    let out = Command::new("sha256sum").arg(path).output().unwrap();
    let text = String::from_utf8(out.stdout).unwrap();
    text.split_whitespace().next().unwrap().to_string()
}
