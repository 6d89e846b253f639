use super::*;

#[test]
fn unknown_names_list_what_exists() {
    let check = |name: &str, parts: &[&str]| {
        let message = open(name).err().unwrap().to_string();
        for part in parts {
            assert!(message.contains(part), "{name}: {message}");
        }
    };
    check(
        "pixel9",
        &[
            "pixel9",
            "host:litert",
            "table:FILE",
            "linear:FILE",
            "command:PROGRAM",
        ],
    );
    check("", &["host:litert"]);
    check(
        "host:tflite",
        &["tflite", "host:rten, host:litert and host:ort exist"],
    );
    check("table", &["table needs an argument: table:FILE"]);
    check("linear:", &["linear needs an argument"]);
    check("command:", &["command needs an argument"]);
    check("table:no/such/file.toml", &["can't read no/such/file.toml"]);
    check("command:no/such/program", &["can't start no/such/program"]);
}

#[test]
fn schemes_are_distinct_and_described() {
    let schemes: std::collections::BTreeSet<&str> = DEVICES.iter().map(|k| k.scheme()).collect();
    assert_eq!(schemes.len(), DEVICES.len());
    for kind in DEVICES {
        assert!(
            kind.describe().starts_with(kind.scheme()),
            "{}",
            kind.describe()
        );
    }
}

#[test]
fn host_names_its_engine() {
    match open("host") {
        Ok(device) => {
            let name = &device.info().name;
            assert!(name.starts_with("host:"), "{name}");
            // Opening what it resolved to gives the same device.
            assert_eq!(open(name).unwrap().info(), device.info());
        }
        #[cfg(not(feature = "rten"))]
        Err(DeviceError::Engine(_) | DeviceError::NotBuilt { .. }) => {}
        Err(e) => panic!("{e}"),
    }
}

#[cfg(feature = "rten")]
#[test]
fn a_core_that_is_not_ours_is_refused() {
    let mut device = open("host:rten").unwrap();
    let plan = MeasurePlan {
        core: Some(1_000_000),
        ..MeasurePlan::search()
    };
    let error = device.measure(&[], &plan).unwrap_err();
    assert!(
        matches!(
            error,
            DeviceError::Core {
                core: 1_000_000,
                ..
            }
        ),
        "{error}"
    );
}

#[cfg(not(feature = "rten"))]
#[test]
fn an_engine_that_is_not_built_in_is_named() {
    let message = open("host:rten").err().unwrap().to_string();
    assert!(
        message.starts_with("this build has no inference engine rten"),
        "{message}"
    );
}
