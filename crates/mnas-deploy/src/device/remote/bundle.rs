//! The files of an agent: the program and the libraries that go with it.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::super::DeviceError;
use super::shell::quote;

/// Names the agent: its program, or a folder with the program and its libraries.
pub(crate) const VARIABLE: &str = "MNAS_AGENT";

/// What the agent's program is called, in a bundle.
const PROGRAMS: [&str; 2] = ["mnas-agent", "mnas"];

/// Files to send to a machine.
#[derive(Debug, Clone)]
pub(crate) struct Bundle {
    files: Vec<BundleFile>,
    /// Index of the program.
    program: usize,
    hash: String,
    architecture: Option<&'static str>,
}

#[derive(Debug, Clone)]
pub(crate) struct BundleFile {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
}

impl Bundle {
    /// The agent that the user names; without a name, this very program, if it is `mnas`.
    ///
    /// # Errors
    /// [`DeviceError::NoAgent`] says how to get one.
    pub(crate) fn of_user() -> Result<Self, DeviceError> {
        let absent = |problem: String| DeviceError::NoAgent { problem };
        if let Some(named) = std::env::var_os(VARIABLE).filter(|v| !v.is_empty()) {
            let named = PathBuf::from(named);
            return Self::read(&named)
                .map_err(|problem| absent(format!("{VARIABLE}={}: {problem}", named.display())));
        }
        let program = std::env::current_exe().map_err(|e| absent(e.to_string()))?;
        let beside = program.with_file_name(PROGRAMS[0]);
        let agent = if beside.is_file() { beside } else { program };
        if agent
            .file_stem()
            .is_none_or(|stem| PROGRAMS.iter().all(|p| stem != *p))
        {
            return Err(absent("this program is no agent".into()));
        }
        let mut paths = vec![agent.clone()];
        #[cfg(feature = "litert")]
        paths.extend(crate::engine::litert_files());
        Self::of_files(&agent, paths).map_err(|e| absent(format!("{}: {e}", agent.display())))
    }

    /// A program, or a folder with one.
    fn read(path: &Path) -> Result<Self, String> {
        let text = |e: std::io::Error| e.to_string();
        if !path.is_dir() {
            return Self::of_files(path, vec![path.into()]).map_err(text);
        }
        let entries = fs::read_dir(path).and_then(|d| d.collect::<Result<Vec<_>, _>>());
        let entries = entries.map_err(text)?.into_iter().map(|e| e.path());
        let mut files: Vec<PathBuf> = entries.filter(|p| p.is_file()).collect();
        files.sort_unstable();
        let program = PROGRAMS
            .iter()
            .map(|p| path.join(p))
            .find(|p| files.contains(p));
        let program = program.ok_or("no mnas-agent in this folder")?;
        Self::of_files(&program, files).map_err(text)
    }

    fn of_files(program: &Path, paths: Vec<PathBuf>) -> std::io::Result<Self> {
        let mut digest = Sha256::new();
        let mut files = vec![];
        for path in &paths {
            let contents = fs::read(path)?;
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            digest.update((name.len() as u64).to_le_bytes());
            digest.update(&name);
            digest.update((contents.len() as u64).to_le_bytes());
            digest.update(&contents);
            files.push(BundleFile {
                name,
                path: path.clone(),
            });
        }
        let hash = digest.finalize();
        Ok(Self {
            program: paths.iter().position(|p| p == program).unwrap_or_default(),
            files,
            hash: hash[..8].iter().map(|b| format!("{b:02x}")).collect(),
            architecture: architecture(program)?,
        })
    }

    pub(crate) fn files(&self) -> &[BundleFile] {
        &self.files
    }

    pub(crate) fn program(&self) -> &Path {
        &self.files[self.program].path
    }

    /// First 16 hex digits of the sha256 of names and contents.
    pub(crate) fn hash(&self) -> &str {
        &self.hash
    }

    /// The processor that the program is for, as `uname -m` names it; `None` = can't tell.
    pub(crate) fn architecture(&self) -> Option<&'static str> {
        self.architecture
    }

    /// Shell words that start the agent in the folder that has the files. A loader among the files
    /// (`ld-linux-aarch64.so.1`) starts it, with the bundle's own C library: so a program for Linux
    /// runs on Android.
    pub(crate) fn start(&self) -> String {
        let name = |f: &BundleFile| quote(&format!("./{}", f.name));
        let program = &self.files[self.program];
        let loader = self.files.iter().find(|f| f.name.starts_with("ld-"));
        let mut words: Vec<String> = match loader {
            Some(loader) => vec![name(loader), "--library-path".into(), ".".into()],
            None => vec![],
        };
        words.push(name(program));
        if program.name != PROGRAMS[0] {
            words.push("agent".into());
        }
        words.join(" ")
    }
}

/// What an ELF file's header says; `None` for scripts and the like.
fn architecture(program: &Path) -> std::io::Result<Option<&'static str>> {
    let mut header = [0; 20];
    let mut file = fs::File::open(program)?;
    if file.read_exact(&mut header).is_err() || header[..4] != *b"\x7fELF" {
        return Ok(None);
    }
    // e_machine of the ELF specification, in the file's own byte order; all of these are little.
    Ok(match u16::from_le_bytes([header[18], header[19]]) {
        3 => Some("i686"),
        40 => Some("armv7l"),
        62 => Some("x86_64"),
        183 => Some("aarch64"),
        243 => Some("riscv64"),
        _ => None,
    })
}

/// Whether a program for `built` runs where `uname -m` says `machine`.
pub(crate) fn runs_on(built: &str, machine: &str) -> bool {
    let arm32 = |name: &str| name.starts_with("armv7") || name.starts_with("armv8");
    built == machine || (arm32(built) && arm32(machine)) || (built == "i686" && machine == "i386")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(names: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in names {
            fs::write(folder.path().join(name), name).unwrap();
        }
        folder
    }

    #[test]
    fn a_bundle_starts_its_program() {
        let check = |names: &[&str], expected: &str| {
            let folder = folder(names);
            let bundle = Bundle::read(folder.path()).unwrap();
            assert_eq!(bundle.start(), expected);
            assert_eq!(bundle.files().len(), names.len());
        };
        check(&["mnas-agent"], "'./mnas-agent'");
        check(&["mnas", "libLiteRt.so"], "'./mnas' agent");
        check(
            &["mnas-agent", "libc.so.6", "ld-linux-aarch64.so.1"],
            "'./ld-linux-aarch64.so.1' --library-path . './mnas-agent'",
        );
        check(&["mnas-agent", "it's $(a) name"], "'./mnas-agent'");
        let empty = folder(&["libLiteRt.so"]);
        assert!(
            Bundle::read(empty.path())
                .unwrap_err()
                .contains("no mnas-agent")
        );
        assert!(Bundle::read(Path::new("/no/such")).is_err());
    }

    #[test]
    fn contents_and_names_make_the_hash() {
        let hash = |names: &[&str]| Bundle::read(folder(names).path()).unwrap().hash;
        let one = hash(&["mnas-agent", "a"]);
        assert_eq!(one, hash(&["mnas-agent", "a"]));
        assert_ne!(one, hash(&["mnas-agent", "b"]));
        assert_eq!(one.len(), 16);
    }

    #[test]
    fn programs_tell_their_processor() {
        let check = |machine: u16, expected: Option<&str>| {
            let mut elf = vec![0; 64];
            elf[..4].copy_from_slice(b"\x7fELF");
            elf[18..20].copy_from_slice(&machine.to_le_bytes());
            let file = tempfile::NamedTempFile::new().unwrap();
            fs::write(file.path(), elf).unwrap();
            assert_eq!(architecture(file.path()).unwrap(), expected);
        };
        check(183, Some("aarch64"));
        check(62, Some("x86_64"));
        check(9999, None);
        assert!(runs_on("armv7l", "armv8l") && runs_on("aarch64", "aarch64"));
        assert!(!runs_on("x86_64", "aarch64") && !runs_on("armv7l", "aarch64"));
    }
}
