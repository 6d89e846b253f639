use tempfile::TempDir;

use super::*;

const SPEC: Spec = Spec {
    stem: "onnxruntime",
    library: "ONNX Runtime",
    package: "onnxruntime",
    folder: "onnxruntime/capi",
    variable: "MNAS_ORT_LIB",
};

/// A folder tree and what a process in it would see.
struct Place {
    root: TempDir,
    around: Surroundings,
}

impl Place {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let around = Surroundings {
            named: None,
            program: None,
            virtual_env: None,
            current: root.path().join("project"),
            loader: vec![root.path().join("system")],
        };
        Self { root, around }
    }

    fn file(&self, path: &str) -> PathBuf {
        let path = self.root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, path.to_string_lossy().as_bytes()).unwrap();
        path
    }

    fn found(&self) -> Result<PathBuf, LibraryError> {
        find_in(&SPEC, &self.around)
    }
}

/// `libonnxruntime.so.1.2.3` or what the system calls it.
fn versioned(version: &str) -> String {
    let (prefix, extension) = (env::consts::DLL_PREFIX, env::consts::DLL_EXTENSION);
    if cfg!(target_os = "macos") {
        format!("{prefix}onnxruntime.{version}.{extension}")
    } else {
        format!("{prefix}onnxruntime.{extension}.{version}")
    }
}

#[test]
fn places_are_tried_in_order() {
    let mut place = Place::new();
    assert!(matches!(place.found(), Err(LibraryError::Missing { .. })));
    let message = place.found().unwrap_err().to_string();
    assert!(message.contains("pip install onnxruntime"), "{message}");

    let system = place.file(&format!("system/{}", versioned("1.20.0")));
    assert_eq!(place.found(), Ok(system));
    let folder = "lib/python3.11/site-packages/onnxruntime/capi";
    let local = place.file(&format!("project/.venv/{folder}/{}", versioned("1.21.0")));
    assert_eq!(place.found(), Ok(local));
    place.around.virtual_env = Some(place.root.path().join("env").into());
    let active = place.file(&format!("env/{folder}/{}", versioned("1.22.0")));
    assert_eq!(place.found(), Ok(active));
    let named = place.file("elsewhere/any-name");
    place.around.named = Some(named.clone().into());
    assert_eq!(place.found(), Ok(named.clone()));
    fs::remove_file(&named).unwrap();
    assert!(matches!(place.found(), Err(LibraryError::NoFile { .. })));
}

#[test]
fn the_newest_library_of_a_folder_is_taken_and_nothing_else() {
    let place = Place::new();
    for name in [
        "libonnxruntime_providers_shared.so",
        "onnxruntime.py",
        "libonnxruntime.so.txt",
    ] {
        place.file(&format!("system/{name}"));
    }
    assert!(place.found().is_err());
    place.file(&format!("system/{}", versioned("1.9.0")));
    let newest = place.file(&format!("system/{}", versioned("1.32.0")));
    assert_eq!(place.found(), Ok(newest));
    let plain = format!(
        "{}onnxruntime.{}",
        env::consts::DLL_PREFIX,
        env::consts::DLL_EXTENSION
    );
    let plain = place.file(&format!("system/{plain}"));
    assert_eq!(place.found(), Ok(plain));
}

#[test]
fn hashes_are_those_of_sha256() {
    let place = Place::new();
    let path = place.root.path().join("file");
    fs::write(&path, "abc").unwrap();
    // FIPS 180-2, appendix B.1.
    assert_eq!(hash_file(&path).unwrap(), "ba7816bf8f01cfea");
}
