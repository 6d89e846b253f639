//! Layouts of images, and the checks that every engine makes of a model's input and output.

use mnas_net::Shape;

use super::{EngineError, EngineId};

/// Checks the length of an image given to an engine.
pub(super) fn check_image(image: &[f32], shape: Shape) -> Result<(), EngineError> {
    if image.len() == shape.len() {
        Ok(())
    } else {
        Err(EngineError::InputLength {
            got: image.len(),
            expected: shape.len(),
            shape,
        })
    }
}

/// Channels last to channels first.
#[cfg(any(feature = "rten", feature = "ort"))]
pub(super) fn channels_first(image: &[f32], shape: Shape) -> Vec<f32> {
    let mut out = vec![0.0; image.len()];
    for (pixel, values) in image.chunks_exact(shape.c).enumerate() {
        for (channel, value) in values.iter().enumerate() {
            out[channel * shape.pixels() + pixel] = *value;
        }
    }
    out
}

/// Checks that an engine sees the input that the file states. `extents` are the engine's, batch
/// first; an extent that the model leaves open fits any.
pub(super) fn check_input(
    engine: EngineId,
    extents: &[Option<usize>],
    expected: [usize; 4],
) -> Result<(), EngineError> {
    let fits = extents.len() == expected.len()
        && extents
            .iter()
            .zip(expected)
            .all(|(got, expected)| got.is_none_or(|got| got == expected));
    if fits {
        Ok(())
    } else {
        Err(EngineError::Shape {
            engine,
            got: format!("{extents:?}"),
            expected: format!("{expected:?}"),
        })
    }
}

/// Exactly one input, or exactly one output.
pub(super) fn exactly_one(
    engine: EngineId,
    what: &'static str,
    count: usize,
) -> Result<(), EngineError> {
    if count == 1 {
        Ok(())
    } else {
        Err(EngineError::Model {
            engine,
            what,
            got: count.to_string(),
            expected: "1",
        })
    }
}

/// An element type other than float32.
pub(super) fn not_float(engine: EngineId, what: &'static str, got: String) -> EngineError {
    EngineError::Model {
        engine,
        what,
        got,
        expected: "float32",
    }
}
