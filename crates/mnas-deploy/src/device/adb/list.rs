//! The phones that `adb` sees.

use std::fmt;
use std::path::Path;
use std::process::Command;

use super::super::DeviceError;
use super::super::meter::protocol::readable;
use super::super::remote::shell;
use super::LIST_LIMIT;

/// State of a phone that can be used.
pub(super) const READY: &str = "device";

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Phone {
    pub(super) serial: String,
    pub(super) state: String,
    pub(super) model: String,
}

impl Phone {
    pub(super) fn is_ready(&self) -> bool {
        self.state == READY
    }

    pub(super) fn advice(&self) -> String {
        advice(&self.state)
    }
}

impl fmt::Display for Phone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "adb:{} {}", self.serial, self.advice())
    }
}

/// A state and what to do about it.
pub(super) fn advice(state: &str) -> String {
    let what = match state {
        READY => return "ready".into(),
        "unauthorized" => "allow USB debugging on the phone's screen",
        "offline" => "plug it in again, or `adb reconnect`",
        "no permissions" => {
            "this user may not use the USB device: add a udev rule, or the group plugdev"
        }
        "bootloader" | "recovery" | "sideload" | "rescue" => "start Android on it",
        "authorizing" | "connecting" => "it is being connected: try again",
        _ => return state.into(),
    };
    format!("{state}: {what}")
}

/// Asks `adb`.
pub(super) fn phones() -> Result<Vec<Phone>, DeviceError> {
    let mut adb = Command::new("adb");
    adb.args(["devices", "-l"]);
    let text = shell::run(Path::new("adb"), adb, None, LIST_LIMIT, |_, _| false)?;
    Ok(parse(&text))
}

/// `SERIAL STATE key:value...` a line, after a heading and what the server says when it starts.
fn parse(text: &str) -> Vec<Phone> {
    let lines = text
        .lines()
        .skip_while(|l| !l.starts_with("List of devices"))
        .skip(1);
    lines.filter_map(parse_line).collect()
}

fn parse_line(line: &str) -> Option<Phone> {
    let (serial, rest) = line.split_once(char::is_whitespace)?;
    let rest = rest.trim();
    let state = if rest.starts_with("no permissions") {
        "no permissions"
    } else {
        rest.split_whitespace().next()?
    };
    let model = rest
        .split_whitespace()
        .find_map(|f| f.strip_prefix("model:"));
    Some(Phone {
        serial: readable(serial),
        state: readable(state),
        model: readable(model.unwrap_or("unknown")).replace('_', " "),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_adb_are_read() {
        let text = "* daemon not running; starting now at tcp:5037\n\
            * daemon started successfully\n\
            List of devices attached\n\
            emulator-5554          device product:sdk_phone64 model:Pixel_7_Pro device:emu64 transport_id:1\n\
            0A1B2C                 unauthorized usb:1-4 transport_id:3\n\
            XY                     no permissions (user in plugdev group; are your udev rules wrong?); see [http://developer.android.com/tools/device.html] usb:1-1\n\
            10.0.0.2:5555          offline transport_id:5\n\
            \u{1b}[31mZ            device\n\n";
        let found = parse(text);
        let got: Vec<(&str, &str, &str)> = found
            .iter()
            .map(|p| (&*p.serial, &*p.state, &*p.model))
            .collect();
        assert_eq!(
            got,
            [
                ("emulator-5554", "device", "Pixel 7 Pro"),
                ("0A1B2C", "unauthorized", "unknown"),
                ("XY", "no permissions", "unknown"),
                ("10.0.0.2:5555", "offline", "unknown"),
                ("[31mZ", "device", "unknown"),
            ]
        );
        assert_eq!(
            found[1].to_string(),
            "adb:0A1B2C unauthorized: allow USB debugging on the phone's screen"
        );
        assert!(parse("").is_empty() && parse("List of devices attached\n").is_empty());
    }
}
