//! A search space: the text of a network with `{a,b}` holes.

use mnas_net::Stream;

/// A sample of a space: one index per decision.
pub type Tokens = Vec<u16>;

/// One hole of a space.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Name, as `block3.kernel`.
    pub name: String,
    /// The alternatives, as they stand in the text.
    pub choices: Vec<String>,
}

/// Why a space can't be read or a sample can't be decoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {kind}")]
pub struct SpaceError {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub kind: SpaceErrorKind,
}

/// What is wrong with a space's text or a sample.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpaceErrorKind {
    /// `{` without `}`.
    #[error("hole isn't closed")]
    Unclosed,
}

/// A search space.
#[derive(Debug, Clone, PartialEq)]
pub struct Space {
    name: String,
    text: String,
    decisions: Vec<Decision>,
}

impl Space {
    /// The name it was parsed under.
    pub fn name(&self) -> &str {
        &self.name
    }
    /// The text it was parsed from.
    pub fn text(&self) -> &str {
        &self.text
    }
    /// Its holes, in order.
    pub fn decisions(&self) -> &[Decision] {
        &self.decisions
    }
    /// A uniform sample.
    pub fn sample(&self, stream: &mut Stream) -> Tokens {
        self.decisions
            .iter()
            .map(|d| stream.below(d.choices.len()) as u16)
            .collect()
    }
}
