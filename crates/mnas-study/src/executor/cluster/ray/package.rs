//! The worker program as Ray ships it to nodes: a zip archive (APPNOTE.TXT 6.3, by PKWARE) with
//! one compressed file that may be executed.

use std::io::{self, Write};
use std::path::Path;

use flate2::Crc;
use flate2::{Compression, write::DeflateEncoder};
use sha2::{Digest, Sha256};

/// Name of the program in the archive.
pub(super) const PROGRAM: &str = "mnas";

/// An archive and the name that Ray knows it by, which follows from its content.
#[derive(Debug)]
pub(super) struct Package {
    pub(super) name: String,
    pub(super) bytes: Vec<u8>,
}

impl Package {
    pub(super) fn of(program: &Path) -> io::Result<Self> {
        let program = std::fs::read(program)?;
        let digest = Sha256::digest(&program);
        let digest: String = digest[..8].iter().map(|b| format!("{b:02x}")).collect();
        Ok(Self {
            name: format!("_ray_pkg_mnas{digest}.zip"),
            bytes: zip(&program)?,
        })
    }
}

/// 1 January 1980, the format's earliest: an archive is the same whenever it is made.
const DATE: u16 = 0x21;
const DEFLATED: u16 = 8;
/// "Version made by" Unix, which is what gives the mode its meaning.
const UNIX: u16 = 3 << 8 | 20;
const MODE: u32 = 0o100_755;

fn zip(program: &[u8]) -> io::Result<Vec<u8>> {
    let too_long = |_| io::Error::other("the program is too long for a zip archive");
    let mut crc = Crc::new();
    crc.update(program);
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(program)?;
    let packed = encoder.finish()?;
    let sizes = [packed.len(), program.len()].map(u32::try_from);
    let [packed_len, len] = [sizes[0].map_err(too_long)?, sizes[1].map_err(too_long)?];
    // What local header and directory share: version needed, flags, method, time, date, checksum,
    // sizes, length of the name, length of extra fields.
    let mut shared = vec![];
    for word in [20u16, 0, DEFLATED, 0, DATE] {
        shared.extend(word.to_le_bytes());
    }
    for word in [crc.sum(), packed_len, len] {
        shared.extend(word.to_le_bytes());
    }
    shared.extend((PROGRAM.len() as u16).to_le_bytes());
    shared.extend(0u16.to_le_bytes());

    let mut out = b"PK\x03\x04".to_vec();
    out.extend(&shared);
    out.extend(PROGRAM.as_bytes());
    out.extend(packed);
    let directory = out.len() as u32;
    out.extend(b"PK\x01\x02");
    out.extend(UNIX.to_le_bytes());
    out.extend(&shared);
    // Length of the comment, number of the disk, internal attributes.
    out.extend([0; 6]);
    out.extend((MODE << 16).to_le_bytes());
    // Where the local header lies.
    out.extend(0u32.to_le_bytes());
    out.extend(PROGRAM.as_bytes());
    let directory_len = out.len() as u32 - directory;
    out.extend(b"PK\x05\x06");
    out.extend([0; 4]);
    for word in [1u16, 1] {
        out.extend(word.to_le_bytes());
    }
    out.extend(directory_len.to_le_bytes());
    out.extend(directory.to_le_bytes());
    out.extend(0u16.to_le_bytes());
    Ok(out)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// What Python, whose `zipfile` Ray unpacks with, reads.
    #[test]
    fn python_reads_the_archive() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("program");
        std::fs::write(&program, "#!/bin/sh\necho started\n".repeat(1000)).unwrap();
        let package = Package::of(&program).unwrap();
        assert!(package.bytes.len() < 2000, "{}", package.bytes.len());
        let archive = folder.path().join("a.zip");
        std::fs::write(&archive, &package.bytes).unwrap();
        let script = "import sys, zipfile\nz = zipfile.ZipFile(sys.argv[1])\nassert z.testzip() is None\n\
            i, = z.infolist()\nprint(i.filename, oct(i.external_attr >> 16), len(z.read(i)))";
        let mut python = Command::new("python3");
        python.args(["-c", script]).arg(&archive);
        let Ok(said) = python.output() else {
            println!("skipped: python_reads_the_archive (no python3)");
            return;
        };
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        assert_eq!(said.trim(), "mnas 0o100755 23000");
    }
}
