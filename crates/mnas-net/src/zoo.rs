//! Published networks by name, with the figures published for them.

use std::fmt;

use crate::{NetSpec, SpecError};

mod mnasnet;
mod mobilenet;
mod nasnet;
mod one_type;
mod small;
#[cfg(test)]
mod tests;

/// A network of the zoo.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Entry {
    /// Name, as `mnasnet-a1`.
    pub name: &'static str,
    /// One line for people.
    pub summary: &'static str,
    /// The network at width 1, as [`NetSpec`] reads it; `None` where only totals were published.
    pub text: Option<&'static str>,
    /// Side of the square input image in pixels, where the name doesn't say another.
    pub input: usize,
    /// Figures that others published, each with its source.
    pub published: &'static [Published],
}

/// Figures that a source gives for one width and input size of an entry; what it doesn't give is
/// `None`. Accuracies are on ImageNet, 1000 classes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Published {
    /// Width multiplier.
    pub width: f64,
    /// Side of the square input image in pixels.
    pub input: usize,
    /// Top-1 accuracy in percent.
    pub top1_percent: Option<f64>,
    /// Top-5 accuracy in percent.
    pub top5_percent: Option<f64>,
    /// Parameters in millions.
    pub params_m: Option<f64>,
    /// Multiply-accumulates in millions.
    pub macs_m: Option<f64>,
    /// Latency of one image on a big core of the first Pixel phone, one thread, in milliseconds.
    pub pixel1_ms: Option<f64>,
    /// Where the figures stand.
    pub source: &'static str,
    /// Whether the figures were read in the source itself; others are quoted from memory of it.
    pub confirmed: bool,
}

impl Published {
    /// A row without figures, for struct update.
    const fn none(source: &'static str) -> Published {
        Published {
            width: 1.0,
            input: 224,
            top1_percent: None,
            top5_percent: None,
            params_m: None,
            macs_m: None,
            pixel1_ms: None,
            source,
            confirmed: true,
        }
    }
}

/// Every entry, references first.
pub fn entries() -> &'static [Entry] {
    const ENTRIES: &[Entry] = &[
        mnasnet::A1,
        mnasnet::B1,
        mnasnet::SMALL,
        mnasnet::A2,
        mnasnet::A3,
        mobilenet::V1,
        mobilenet::V2,
        nasnet::A_MOBILE,
        one_type::E3_K3,
        one_type::E3_K5,
        one_type::E6_K3,
        one_type::E6_K5,
        small::MNASNET_A1,
        small::MOBILENET_V2,
    ];
    ENTRIES
}

/// A network found by name.
#[derive(Debug, Clone, PartialEq)]
pub struct Named {
    /// The entry that the name starts with.
    pub entry: &'static Entry,
    /// The network, scaled.
    pub spec: NetSpec,
    /// Width multiplier, 1 where the name gives none.
    pub width: f64,
    /// Side of the square input image in pixels.
    pub input: usize,
    /// The name without what is the default: `mnasnet-a1-1x@224` is `mnasnet-a1`.
    pub name: String,
}

/// Why a name gives no network.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ZooError {
    /// No entry has this name.
    #[error(
        "no network is called {name:?}; known: {known}, each also with a width and an input size, as mnasnet-a1-0.5x@160"
    )]
    Unknown {
        /// The name.
        name: String,
        /// Entries that have a network.
        known: String,
    },
    /// An entry whose block list was never published.
    #[error(
        "only totals of {name} were published, never its blocks; it can be compared with, but not built"
    )]
    TotalsOnly {
        /// The entry's name.
        name: &'static str,
    },
    /// A width outside the range.
    #[error("width {width:?} must be a number from {} to {}", MIN_WIDTH, MAX_WIDTH)]
    Width {
        /// What stands before the `x`.
        width: String,
    },
    /// An input size outside the range.
    #[error(
        "input size {input:?} must be a whole number of pixels from 1 to {}",
        MAX_INPUT
    )]
    Input {
        /// What stands after the `@`.
        input: String,
    },
    /// An entry whose text is no network; a fault of the zoo that its tests exclude.
    #[error("the text of {name} is no network: {error}")]
    Text {
        /// The entry's name.
        name: &'static str,
        /// What is wrong with it.
        error: SpecError,
    },
}

const MIN_WIDTH: f64 = 0.01;
const MAX_WIDTH: f64 = 16.0;
const MAX_INPUT: usize = 8192;

/// The network that a name stands for: an entry's name, then `-0.5x` for a width multiplier
/// ([`NetSpec::scaled`]), then `@160` for an input size; both may be absent.
///
/// # Errors
/// A [`ZooError`] where no entry has the name, where the entry has no network, or where width or
/// input size are out of range.
pub fn find(name: &str) -> Result<Named, ZooError> {
    let (rest, input) = match name.split_once('@') {
        Some((rest, input)) => (rest, Some(input)),
        None => (name, None),
    };
    let entry = |name: &str| entries().iter().find(|e| e.name == name);
    let (entry, width) = match (entry(rest), rest.rsplit_once('-')) {
        (Some(e), _) => (e, None),
        (None, Some((base, suffix))) => match (entry(base), suffix.strip_suffix('x')) {
            (Some(e), Some(width)) => (e, Some(width)),
            _ => return Err(unknown(name)),
        },
        (None, None) => return Err(unknown(name)),
    };
    let text = entry
        .text
        .ok_or(ZooError::TotalsOnly { name: entry.name })?;
    let width = width.map_or(Ok(1.0), parse_width)?;
    let input = input.map_or(Ok(entry.input), parse_input)?;
    let spec: NetSpec = text.parse().map_err(|error| ZooError::Text {
        name: entry.name,
        error,
    })?;
    Ok(Named {
        entry,
        spec: spec.scaled(width),
        width,
        input,
        name: full_name(entry, width, input),
    })
}

fn full_name(entry: &Entry, width: f64, input: usize) -> String {
    let mut name = entry.name.to_string();
    if width != 1.0 {
        name += &format!("-{width}x");
    }
    if input != entry.input {
        name += &format!("@{input}");
    }
    name
}

fn unknown(name: &str) -> ZooError {
    let known = entries().iter().filter(|e| e.text.is_some());
    ZooError::Unknown {
        name: name.into(),
        known: known.map(|e| e.name).collect::<Vec<_>>().join(", "),
    }
}

fn parse_width(text: &str) -> Result<f64, ZooError> {
    // Digits and a point only: Rust's own reading also takes "inf", "1e3" and "+1".
    let plain = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let width = text.parse().ok().filter(|_| plain);
    width
        .filter(|w| (MIN_WIDTH..=MAX_WIDTH).contains(w))
        .ok_or(ZooError::Width { width: text.into() })
}

fn parse_input(text: &str) -> Result<usize, ZooError> {
    let plain = text.bytes().all(|b| b.is_ascii_digit());
    let input = text.parse().ok().filter(|_| plain);
    input
        .filter(|i| (1..=MAX_INPUT).contains(i))
        .ok_or(ZooError::Input { input: text.into() })
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}
