//! What can be wrong with a text, and where.

use super::decimal::Decimal;

/// A text that is no network, with the place of the fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {reason}")]
pub struct SpecError {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong there.
    pub reason: SpecErrorKind,
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpecErrorKind {
    /// A line that starts with none of the known codes.
    #[error("unknown block {code:?}; known: stem, {known}, head")]
    UnknownCode {
        /// What stands there.
        code: String,
        /// Codes of the known blocks.
        known: String,
    },
    /// A key that this kind of line doesn't take.
    #[error("{code} takes no key {key:?}; it takes {takes}")]
    UnknownKey {
        /// Code of the line.
        code: &'static str,
        /// The key.
        key: String,
        /// Keys that the line takes.
        takes: String,
    },
    /// Two underscores in a row, or one at the end.
    #[error("a key is missing between underscores")]
    EmptyKey,
    /// A key given twice.
    #[error("{key} is given twice")]
    DuplicateKey {
        /// The key.
        key: &'static str,
    },
    /// A line without a key that it needs.
    #[error("{code} needs {key}")]
    MissingKey {
        /// Code of the line.
        code: &'static str,
        /// The key.
        key: &'static str,
    },
    /// A value that is no number, or has decimals where a whole number is needed.
    #[error("{key} takes a {expected}, not {value:?}")]
    NotANumber {
        /// The key.
        key: &'static str,
        /// `whole number` or `number like 0.25`.
        expected: &'static str,
        /// What stands there.
        value: String,
    },
    /// More than six decimals.
    #[error("{key} takes at most six decimals")]
    TooPrecise {
        /// The key.
        key: &'static str,
    },
    /// A zero where at least 1 is needed.
    #[error("{key} must be at least 1")]
    Zero {
        /// The key.
        key: &'static str,
    },
    /// A number above the key's limit ([`Key::most`](crate::Key::most)).
    #[error("{key} must be at most {most}")]
    TooLarge {
        /// The key.
        key: &'static str,
        /// The limit.
        most: Decimal,
    },
    /// An even kernel.
    #[error("k must be odd, not {kernel}")]
    EvenKernel {
        /// The kernel's side.
        kernel: usize,
    },
    /// A word that the key doesn't know.
    #[error("{key} takes {takes}, not {value:?}")]
    UnknownWord {
        /// The key.
        key: &'static str,
        /// Words that the key takes.
        takes: &'static str,
        /// What stands there.
        value: String,
    },
    /// A text that doesn't start with a stem.
    #[error("the first line must be a stem, as stem_k3_s2_c32")]
    MissingStem,
    /// A stem after the first line.
    #[error("a network has one stem, its first line")]
    SecondStem,
    /// A text that doesn't end with a head.
    #[error("the last line must be a head, as head_c1280_drop0.2")]
    MissingHead,
    /// A line after the head.
    #[error("nothing may follow the head")]
    AfterHead,
    /// A cell described after a block.
    #[error("cells are described before the first block")]
    LateCell,
    /// A `cell` block whose cell has no node.
    #[error(
        "the network's {code} cell isn't described; add lines like {code}_sep3@0_id@1 before the blocks"
    )]
    MissingCell {
        /// Code of the missing lines.
        code: &'static str,
    },
    /// A line of a cell that is neither a node nor a joined state.
    #[error(
        "a node of a cell is two edges, as normal_sep3@0_id@1; a state that joins is normal_join@1"
    )]
    CellParts,
    /// No edge of a cell.
    #[error("{edge:?} is no edge like sep3@0; operations: {known}")]
    UnknownEdge {
        /// What stands there.
        edge: String,
        /// Names of the operations.
        known: String,
    },
    /// A state that doesn't exist, or not yet.
    #[error("{state:?} is no state; here they are 0 to {last}")]
    UnknownState {
        /// What stands there.
        state: String,
        /// The last state so far.
        last: usize,
    },
    /// Too many nodes in a cell.
    #[error("a cell has at most {most} nodes")]
    TooManyNodes {
        /// The limit.
        most: usize,
    },
    /// A block of no layers that was to have a stride.
    #[error("a block of no layers (r0) has no stride")]
    AbsentStride,
    /// Too many layers.
    #[error("more than {most} layers")]
    TooDeep {
        /// The limit.
        most: usize,
    },
}
