//! Phones: the real `adb` client and a stand-in for the phone's daemon.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use mnas_deploy::{CommandError, DEVICES, Device, DeviceError, open};
use mnas_testkit::adbd::{Adbd, program};
use mnas_testkit::device::check_device;
use tempfile::TempDir;

use super::place::{await_file, bundle, files, forgetful, free_port, has, inside, measure, script};

/// A server of `adb` of the test's own, which ends with it.
struct Server {
    folder: TempDir,
}

impl Server {
    /// The variables that every client of it needs, and then these.
    fn variables<'a>(&self, more: &[(&'a str, OsString)]) -> Vec<(&'a str, OsString)> {
        let mut variables = vec![
            ("ANDROID_ADB_SERVER_PORT", free_port().to_string().into()),
            ("HOME", self.folder.path().into()),
            ("TMPDIR", self.folder.path().into()),
        ];
        variables.extend(more.iter().cloned());
        variables
    }

    fn run(
        test: &str,
        more: &dyn Fn(&Path) -> Vec<(&'static str, OsString)>,
        body: impl FnOnce(&Path),
    ) {
        if !has("adb", "adb") {
            return;
        }
        let server = Server {
            folder: tempfile::tempdir().unwrap(),
        };
        let root = std::env::var_os("HOME")
            .map(PathBuf::from)
            .unwrap_or_default();
        let variables = server.variables(&more(server.folder.path()));
        inside(test, &variables, || body(&root));
        if std::env::var_os("MNAS_TEST_INSIDE").is_none() {
            let mut adb = Command::new("adb");
            adb.arg("kill-server")
                .envs(variables.iter().map(|(k, v)| (k, v)));
            assert!(adb.output().unwrap().status.success());
        }
    }
}

/// A phone whose files are in `root/NAME`, known to the server.
fn phone(root: &Path, name: &str) -> (Adbd, PathBuf) {
    let folder = root.join(name);
    fs::create_dir_all(&folder).unwrap();
    let phone = Adbd::start(&folder, "Stand In 1");
    call(&phone);
    (phone, folder)
}

fn call(phone: &Adbd) {
    let out = Command::new("adb")
        .args(["connect", &phone.serial()])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(said.contains("connected to"), "{said}");
}

fn adb(phones: &[&Adbd]) -> Result<Box<dyn Device>, DeviceError> {
    let serials: Vec<String> = phones.iter().map(|p| p.serial()).collect();
    open(&format!("adb:{}", serials.join(",")))
}

fn with_agent(folder: &Path) -> Vec<(&'static str, OsString)> {
    vec![("MNAS_AGENT", bundle(folder).into())]
}

#[test]
fn a_phone_keeps_the_contract_of_devices() {
    Server::run(
        "phone::a_phone_keeps_the_contract_of_devices",
        &with_agent,
        |root| {
            let (phone, folder) = phone(root, "phone");
            let attached: Vec<_> = DEVICES.iter().flat_map(|k| k.attached()).collect();
            assert_eq!(attached.len(), 1, "{attached:?}");
            assert_eq!(attached[0].name, format!("adb:{}", phone.serial()));
            assert_eq!(
                (&*attached[0].device, &*attached[0].state),
                ("Stand In 1", "ready")
            );

            // Without a serial: the phones that are there.
            let mut device = open("adb").unwrap();
            assert_eq!(device.info().name, format!("adb:{}", phone.serial()));
            assert_eq!(
                device.info().device,
                "Stand Stand In 1 (stand/in/1:14/TEST)"
            );
            check_device(&mut *device);
            let names = ["$(touch trapped)", "`touch trapped`", "'; touch trapped; '"];
            let samples = measure(&mut *device, &names).unwrap();
            let first = samples[0].as_ref().unwrap();
            assert!(
                first.notes.iter().any(|n| n.starts_with("core ")),
                "{:?}",
                first.notes
            );
            drop(device);
            let left = files(&folder);
            assert!(
                !left
                    .iter()
                    .any(|f| f.contains("trapped") || f.contains("run-")),
                "{left:?}"
            );
            let agents = left.iter().filter(|f| f.ends_with("/mnas-agent"));
            assert_eq!(
                agents.count(),
                1,
                "the agent stays for the next time: {left:?}"
            );
        },
    );
}

#[test]
fn phones_share_the_work_and_take_over() {
    let body = |root: &Path| {
        let ((one, one_folder), (two, two_folder)) = (phone(root, "one"), phone(root, "two"));
        let mut device = adb(&[&one, &two]).unwrap();
        let names = ["a", "b", "c", "d"];
        let done = measure(&mut *device, &names).unwrap();
        assert!(done.iter().all(Result::is_ok), "{done:?}");
        for folder in [&one_folder, &two_folder] {
            let left = files(folder);
            assert!(left.iter().any(|f| f.ends_with("/mnas-agent")), "{left:?}");
        }
        one.unplug();
        let done = measure(&mut *device, &names).unwrap();
        assert_eq!(
            done.iter().filter(|d| d.is_ok()).count(),
            4,
            "the other takes over: {done:?}"
        );
        two.unplug();
        let start = Instant::now();
        let error = measure(&mut *device, &names).unwrap_err();
        assert!(
            matches!(error, DeviceError::Command(CommandError::Lost { .. })),
            "{error}"
        );
        assert!(start.elapsed() < Duration::from_secs(60));
        one.plug();
        let done = measure(&mut *device, &names).unwrap();
        assert!(done.iter().all(Result::is_ok), "back again: {done:?}");
    };
    let variables = |folder: &Path| {
        let mut variables = with_agent(folder);
        variables.push(("MNAS_DEVICE_WAIT_S", "1".into()));
        variables
    };
    Server::run(
        "phone::phones_share_the_work_and_take_over",
        &variables,
        body,
    );
}

#[test]
fn a_phone_that_is_unplugged_and_plugged_in_again_goes_on() {
    let body = |root: &Path| {
        let (phone, _) = phone(root, "phone");
        let mut device = adb(&[&phone]).unwrap();
        let done = std::thread::scope(|scope| {
            scope.spawn(|| {
                await_file(&root.join("seen"));
                phone.unplug();
                phone.plug();
            });
            measure(&mut *device, &["a", "b"])
        });
        let done = done.unwrap();
        assert_eq!(done[0].as_ref().unwrap().times_ms.len(), 50);
        assert!(done[1].is_ok());
    };
    let variables = |folder: &Path| vec![("MNAS_AGENT", script(folder, &forgetful(folder)).into())];
    let test = "phone::a_phone_that_is_unplugged_and_plugged_in_again_goes_on";
    Server::run(test, &variables, body);
}

#[test]
fn a_phone_that_stays_unplugged_is_a_failed_measurement() {
    let body = |root: &Path| {
        let (phone, _) = phone(root, "phone");
        let mut device = adb(&[&phone]).unwrap();
        let start = Instant::now();
        let error = std::thread::scope(|scope| {
            scope.spawn(|| {
                await_file(&root.join("seen"));
                phone.unplug();
            });
            measure(&mut *device, &["a"]).unwrap_err()
        });
        let text = error.to_string();
        assert!(
            text.contains(&phone.serial()) && text.contains("can't be reached"),
            "{text}"
        );
        assert!(start.elapsed() < Duration::from_secs(60));
        let error = adb(&[&phone]).err().unwrap();
        assert!(error.to_string().contains("can't be reached"), "{error}");
    };
    let variables = |folder: &Path| {
        vec![
            ("MNAS_AGENT", script(folder, &forgetful(folder)).into()),
            ("MNAS_DEVICE_WAIT_S", "1".into()),
        ]
    };
    let test = "phone::a_phone_that_stays_unplugged_is_a_failed_measurement";
    Server::run(test, &variables, body);
}

#[test]
fn unlike_phones_and_absent_agents_are_refused() {
    let body = |root: &Path| {
        let none = open("adb").err().unwrap().to_string();
        assert!(none.starts_with("no phone is ready"), "{none}");
        let (one, _) = phone(root, "one");
        let other = Adbd::start(&root.join("other"), "Another Model");
        call(&other);
        let error = adb(&[&one, &other]).err().unwrap().to_string();
        assert!(
            error.contains("not alike") && error.contains("Another Model"),
            "{error}"
        );
        for bad in ["adb:-s", "adb:$(id)", "adb:", "adb:a,,b", "adb:a b"] {
            let refused = open(bad).err().unwrap();
            assert!(
                matches!(refused, DeviceError::BadName { .. }),
                "{bad}: {refused}"
            );
        }
    };
    Server::run(
        "phone::unlike_phones_and_absent_agents_are_refused",
        &with_agent,
        body,
    );
}

/// A program for another processor is refused before it is sent.
#[test]
fn an_agent_for_another_processor_is_refused() {
    let variables = |folder: &Path| {
        let mut elf = vec![0_u8; 64];
        elf[..4].copy_from_slice(b"\x7fELF");
        // The number of IBM's S/390, which nobody's phone is.
        elf[18..20].copy_from_slice(&[40, 0]);
        let path = folder.join("mnas-agent");
        fs::write(&path, elf).unwrap();
        vec![("MNAS_AGENT", path.into())]
    };
    Server::run(
        "phone::an_agent_for_another_processor_is_refused",
        &variables,
        |root| {
            let (phone, _) = phone(root, "phone");
            let error = adb(&[&phone]).err().unwrap().to_string();
            assert!(error.contains("is for armv7l"), "{error}");
        },
    );
}

/// TensorFlow Lite's own tool, as far as it prints, on a phone with one big core.
#[test]
fn benchmark_model_is_pinned_to_the_big_core() {
    let variables = |folder: &Path| {
        let tool = folder.join("benchmark_model");
        program(
            &tool,
            "#!/bin/sh\nfor a in \"$@\"; do case $a in --graph=*) [ -s \"${a#--graph=}\" ] || exit 7 ;; esac; done\n\
             echo 'INFO: Inference timings in us: Init: 5342, First inference: 9043, Warmup (avg): 5200, Inference (avg): 4226.68'\n",
        );
        vec![("MNAS_BENCHMARK_MODEL", tool.into())]
    };
    Server::run(
        "phone::benchmark_model_is_pinned_to_the_big_core",
        &variables,
        |root| {
            let (phone, folder) = phone(root, "phone");
            for (core, clock) in [(0, "1800000"), (1, "2850000"), (2, "1800000")] {
                let cpu = folder.join(format!("sys/devices/system/cpu/cpu{core}/cpufreq"));
                fs::create_dir_all(&cpu).unwrap();
                fs::write(cpu.join("cpuinfo_max_freq"), clock).unwrap();
            }
            let log = folder.join("tasks");
            program(
                &folder.join("bin/taskset"),
                &format!(
                    "#!/bin/sh\necho \"$@\" >>'{}'\nshift\nexec \"$@\"\n",
                    log.display()
                ),
            );
            let mut device = adb(&[&phone]).unwrap();
            assert!(device.info().engine.contains("benchmark_model"));
            let done = measure(&mut *device, &["a"]).unwrap();
            let samples = done[0].as_ref().unwrap();
            assert_eq!((samples.times_ms.len(), samples.runs_per_sample), (10, 5));
            assert!((samples.median_ms() - 4.22668).abs() < 1e-9);
            let tasks = fs::read_to_string(log).unwrap();
            assert_eq!(tasks.lines().count(), 10);
            assert!(
                tasks
                    .lines()
                    .all(|l| l.starts_with("2 ") && l.contains("--num_threads=1")),
                "{tasks}"
            );
        },
    );
}
