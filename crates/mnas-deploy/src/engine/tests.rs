use super::*;

#[test]
fn names_are_read_back() {
    for engine in EngineId::ALL {
        assert_eq!(engine.to_string().parse::<EngineId>(), Ok(engine));
        let json = serde_json::to_string(&engine).unwrap();
        assert_eq!(json, format!("\"{engine}\""));
    }
    let error = "tflite".parse::<EngineId>().unwrap_err();
    assert!(error.to_string().contains("rten, litert and ort exist"));
}

/// The label under which rten's figures are stored is the version that is compiled in.
#[cfg(feature = "rten")]
#[test]
fn the_stated_version_of_rten_is_the_locked_one() {
    let lock = concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.lock");
    let lock = std::fs::read_to_string(lock).unwrap();
    let entry = lock
        .split("[[package]]")
        .find(|p| p.contains("name = \"rten\"\n"))
        .unwrap();
    assert!(
        entry.contains(&format!("version = \"{}\"\n", rten::VERSION)),
        "{entry}"
    );
    assert_eq!(
        version(EngineId::Rten).unwrap().label,
        format!("rten {}", rten::VERSION)
    );
}

#[test]
fn work_on_the_engines_thread_is_not_on_the_callers() {
    for engine in EngineId::ALL {
        let caller = std::thread::current().id();
        let (inside, nested) = on_own_thread(engine, || {
            let id = std::thread::current().id();
            (
                id,
                on_own_thread(EngineId::Rten, || std::thread::current().id()),
            )
        });
        assert_ne!(inside, caller, "{engine}");
        // rten's work started on its thread stays there: what is pinned is what works.
        if engine == EngineId::Rten && cfg!(feature = "rten") {
            assert_eq!(inside, nested);
        }
    }
}

#[test]
fn a_panic_on_the_engines_thread_reaches_the_caller() {
    for engine in EngineId::ALL {
        let caught = std::panic::catch_unwind(|| on_own_thread(engine, || panic!("told")));
        assert!(caught.is_err(), "{engine}");
    }
}
