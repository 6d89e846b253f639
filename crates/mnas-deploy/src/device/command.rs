//! `command:PROGRAM`: a program of the user's measures, on whatever it can reach.
//!
//! The program is started without a shell and without arguments, and speaks JSON lines: one
//! request per line on its standard input, one reply per line on its standard output. Its standard
//! error is shown. First comes a greeting:
//!
//! ```text
//! -> {"request":"hello","protocol":1}
//! <- {"protocol":1,"device":"Some board","engine":"Some engine 1.2","format":"tflite"}
//! ```
//!
//! `format` is the model format that it wants (`onnx` or `tflite`); `library_hash`, up to 64
//! characters, may be added where the engine has one. Then, per network and round:
//!
//! ```text
//! -> {"request":"measure","id":1,"name":"trial 7","spec":"...","model":"/path/model.tflite",
//!     "model_sha256":"9f86d0...","format":"tflite","runs":50,"warmup":5,"seconds_max":3.0,
//!     "precision":"float"}
//! <- {"id":1,"times_ms":[1.25,1.27,...],"dropped":0}
//! <- {"id":1,"error":"why not"}                     (instead)
//! ```
//!
//! `times_ms` has at least `runs` values, each the time of one inference (the mean of
//! `runs_per_sample`, where that is added). A reply may add `model_sha256`, which must then be the
//! one asked for, `noisy` and `notes`. The model file lasts at least until the reply, and `core` is
//! added where the user asks for one. The program ends when its standard input does. A reply that
//! is late, too long or not of this form ends the program; it is started again for the next
//! network.

use std::path::Path;

use super::meter::lines::Lines;
use super::meter::route::Local;
use super::meter::{CommandError, Limits, Meter};
use super::{Device, DeviceError, DeviceInfo, DeviceKind};

const SCHEME: &str = "command";
const USAGE: &str = "command:PROGRAM   asks a program, by JSON lines";

pub(super) struct CommandKind;

impl DeviceKind for CommandKind {
    fn scheme(&self) -> &'static str {
        SCHEME
    }

    fn describe(&self) -> &'static str {
        USAGE
    }

    fn open(&self, rest: Option<&str>) -> Result<Box<dyn Device>, DeviceError> {
        match rest {
            Some(program) if !program.is_empty() => {
                Ok(Box::new(open(Path::new(program), Limits::STANDARD)?))
            }
            _ => Err(DeviceError::Argument {
                scheme: SCHEME,
                usage: USAGE,
            }),
        }
    }

    fn probe(&self) -> Vec<DeviceInfo> {
        vec![]
    }
}

pub(super) fn open(program: &Path, limits: Limits) -> Result<Meter, CommandError> {
    let route = Local {
        program: program.into(),
    };
    let name = format!("{SCHEME}:{}", program.display());
    Meter::open(Box::new(Lines::new(Box::new(route), limits)), name)
}
