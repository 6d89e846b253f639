//! Text to [`NetSpec`]. Every fault is an error with its place; nothing is skipped in silence.

use super::canonical::cells_used;
use super::cell::Cells;
use super::decimal::{Decimal, DecimalError};
use super::key::MOST_LAYERS;
use super::{Head, Key, NetSpec, SpecError, SpecErrorKind, Stem};
use crate::block::{BLOCKS, Block, BlockKind, Skip};
use crate::graph::op::Activation;

mod cell;

/// A piece of text and its place.
#[derive(Debug, Clone, Copy)]
struct Token<'a> {
    text: &'a str,
    line: usize,
    column: usize,
}

impl<'a> Token<'a> {
    fn error(&self, reason: SpecErrorKind) -> SpecError {
        SpecError {
            line: self.line,
            column: self.column,
            reason,
        }
    }

    /// What stands before the first underscore.
    fn code(&self) -> &'a str {
        self.text
            .split_once('_')
            .map_or(self.text, |(code, _)| code)
    }

    /// The token without its first `bytes` bytes.
    fn from(&self, bytes: usize) -> Token<'a> {
        Token {
            text: &self.text[bytes..],
            column: self.column + self.text[..bytes].chars().count(),
            ..*self
        }
    }

    /// The parts between underscores.
    fn parts(self) -> impl Iterator<Item = Token<'a>> {
        let mut column = self.column;
        self.text.split('_').map(move |text| {
            let part = Token {
                text,
                column,
                ..self
            };
            column += text.chars().count() + 1;
            part
        })
    }
}

/// The items of a text: what white space and semicolons separate, without comments.
fn items(text: &str) -> Vec<Token<'_>> {
    let mut items = vec![];
    for (i, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or("");
        let mut column = 1;
        for text in line.split(|c: char| c.is_whitespace() || c == ';') {
            if !text.is_empty() {
                items.push(Token {
                    text,
                    line: i + 1,
                    column,
                });
            }
            column += text.chars().count() + 1;
        }
    }
    items
}

/// The place just after an item, or the start of an empty text.
fn after(item: Option<&Token<'_>>) -> (usize, usize) {
    item.map_or((1, 1), |t| (t.line, t.column + t.text.chars().count()))
}

pub(super) fn net(text: &str) -> Result<NetSpec, SpecError> {
    let items = items(text);
    let is_stem = |t: &&Token<'_>| t.code() == "stem";
    let first = items.first().filter(is_stem);
    let Some(first) = first else {
        let place = items.first().map_or((1, 1), |t| (t.line, t.column));
        return Err(at(place, SpecErrorKind::MissingStem));
    };
    let stem = stem(*first)?;
    let mut cells = Cells::default();
    let mut blocks: Vec<Block> = vec![];
    let mut layers = 0;
    for (i, item) in items.iter().enumerate().skip(1) {
        if item.code() == "stem" {
            return Err(item.error(SpecErrorKind::SecondStem));
        }
        if item.code() == "head" {
            let head = head(*item)?;
            return match items.get(i + 1) {
                Some(next) => Err(next.error(SpecErrorKind::AfterHead)),
                None => Ok(NetSpec {
                    stem,
                    cells,
                    blocks,
                    head,
                }),
            };
        }
        if let "normal" | "reduce" = item.code() {
            if !blocks.is_empty() {
                return Err(item.error(SpecErrorKind::LateCell));
            }
            cell::line(*item, &mut cells)?;
            continue;
        }
        let block = block(*item)?;
        let described = |cell: &super::Cell| !cell.nodes.is_empty();
        let (normal, reduction) = cells_used(std::slice::from_ref(&block));
        for (needed, (code, cell)) in [normal, reduction].into_iter().zip(cells.named()) {
            if needed && !described(cell) {
                return Err(item.error(SpecErrorKind::MissingCell { code }));
            }
        }
        layers += block.repeats;
        if layers > MOST_LAYERS {
            return Err(item.error(SpecErrorKind::TooDeep { most: MOST_LAYERS }));
        }
        blocks.push(block);
    }
    Err(at(after(items.last()), SpecErrorKind::MissingHead))
}

fn at((line, column): (usize, usize), reason: SpecErrorKind) -> SpecError {
    SpecError {
        line,
        column,
        reason,
    }
}

fn stem(item: Token<'_>) -> Result<Stem, SpecError> {
    let required = [Key::Kernel, Key::Stride, Key::Width];
    let s = Settings::read(item, "stem", &required, &[Key::Act])?;
    Ok(Stem {
        kernel: s.kernel,
        stride: s.stride,
        width: s.width,
        act: s.act,
    })
}

fn head(item: Token<'_>) -> Result<Head, SpecError> {
    let optional = [Key::Dropout, Key::Act];
    let s = Settings::read(item, "head", &[Key::HeadWidth], &optional)?;
    Ok(Head {
        width: s.width,
        dropout: s.dropout,
        act: s.act,
    })
}

fn block(item: Token<'_>) -> Result<Block, SpecError> {
    let code = item.code();
    let Some(kind) = BLOCKS.iter().find(|k| k.code() == code) else {
        let known: Vec<&str> = BLOCKS.iter().map(|k| k.code()).collect();
        return Err(item.error(SpecErrorKind::UnknownCode {
            code: code.into(),
            known: known.join(", "),
        }));
    };
    let kind: &'static dyn BlockKind = *kind;
    let s = Settings::read(item, kind.code(), kind.required(), kind.optional())?;
    if s.repeats == 0 && s.stride > 1 {
        return Err(item.error(SpecErrorKind::AbsentStride));
    }
    Ok(Block {
        kind,
        repeats: s.repeats,
        kernel: s.kernel,
        stride: s.stride,
        expand: s.expand,
        width: s.width,
        squeeze: s.squeeze,
        act: s.act,
        skip: s.skip.unwrap_or(kind.default_skip()),
    })
}

/// The values of a line's keys; neutral where the line doesn't give the key.
struct Settings {
    repeats: usize,
    kernel: usize,
    stride: usize,
    expand: usize,
    width: usize,
    squeeze: Decimal,
    dropout: Decimal,
    act: Activation,
    skip: Option<Skip>,
}

impl Settings {
    fn read(
        item: Token<'_>,
        code: &'static str,
        required: &[Key],
        optional: &[Key],
    ) -> Result<Settings, SpecError> {
        let mut settings = Settings {
            repeats: 1,
            kernel: 1,
            stride: 1,
            expand: 1,
            width: 0,
            squeeze: Decimal::ZERO,
            dropout: Decimal::ZERO,
            act: Activation::Relu,
            skip: None,
        };
        let taken: Vec<Key> = required.iter().chain(optional).copied().collect();
        let mut given: Vec<Key> = vec![];
        for part in item.parts().skip(1) {
            if part.text.is_empty() {
                return Err(part.error(SpecErrorKind::EmptyKey));
            }
            let (letters, value) = split(part);
            let Some(key) = taken.iter().copied().find(|k| k.letters() == letters) else {
                let key = if letters.is_empty() {
                    part.text
                } else {
                    letters
                };
                return Err(part.error(SpecErrorKind::UnknownKey {
                    code,
                    key: key.into(),
                    takes: listed(&taken),
                }));
            };
            if given.contains(&key) {
                return Err(part.error(SpecErrorKind::DuplicateKey { key: key.letters() }));
            }
            settings.set(key, value)?;
            given.push(key);
        }
        match required.iter().find(|k| !given.contains(k)) {
            Some(key) => Err(item.error(SpecErrorKind::MissingKey {
                code,
                key: key.letters(),
            })),
            None => Ok(settings),
        }
    }

    fn set(&mut self, key: Key, value: Token<'_>) -> Result<(), SpecError> {
        match key {
            Key::Repeats => self.repeats = count(key, value, 0)?,
            Key::Kernel => self.kernel = kernel(value)?,
            Key::Stride => self.stride = count(key, value, 1)?,
            Key::Expand => self.expand = count(key, value, 1)?,
            Key::Width => self.width = count(key, value, 1)?,
            Key::HeadWidth => self.width = count(key, value, 0)?,
            Key::Squeeze => self.squeeze = decimal(key, value, "number like 0.25")?,
            Key::Dropout => self.dropout = decimal(key, value, "number like 0.25")?,
            Key::Act => self.act = activation(value)?,
            Key::Skip => self.skip = Some(skip(value)?),
        }
        Ok(())
    }
}

/// The keys' letters in printing order.
fn listed(keys: &[Key]) -> String {
    let sorted = Key::ALL.iter().filter(|k| keys.contains(k));
    sorted.map(|k| k.letters()).collect::<Vec<_>>().join(", ")
}

/// A part's key letters and value. The keys whose values are words are told by their letters;
/// the letters of the others end where the number starts.
fn split(part: Token<'_>) -> (&str, Token<'_>) {
    if part.text == "noskip" {
        let none = Token {
            text: "none",
            ..part
        };
        return (Key::Skip.letters(), none);
    }
    let word = [Key::Act, Key::Skip].map(Key::letters);
    let bytes = match word.iter().find(|w| part.text.starts_with(**w)) {
        Some(word) => word.len(),
        None => part
            .text
            .find(|c: char| !c.is_alphabetic())
            .unwrap_or(part.text.len()),
    };
    (&part.text[..bytes], part.from(bytes))
}

/// A whole number of at least `least` (0 or 1) and at most the key's limit.
fn count(key: Key, value: Token<'_>, least: usize) -> Result<usize, SpecError> {
    let expected = "whole number";
    if value.text.contains('.') {
        return Err(not_a_number(key, value, expected));
    }
    // The limits of these keys are small whole numbers, so nothing is lost here.
    let n = decimal(key, value, expected)?.of(1);
    if n < least {
        return Err(value.error(SpecErrorKind::Zero { key: key.letters() }));
    }
    Ok(n)
}

fn kernel(value: Token<'_>) -> Result<usize, SpecError> {
    let kernel = count(Key::Kernel, value, 1)?;
    if kernel.is_multiple_of(2) {
        return Err(value.error(SpecErrorKind::EvenKernel { kernel }));
    }
    Ok(kernel)
}

fn decimal(key: Key, value: Token<'_>, expected: &'static str) -> Result<Decimal, SpecError> {
    let too_large = || SpecErrorKind::TooLarge {
        key: key.letters(),
        most: key.most(),
    };
    match Decimal::parse(value.text) {
        Ok(n) if n <= key.most() => Ok(n),
        Ok(_) | Err(DecimalError::Overflow) => Err(value.error(too_large())),
        Err(DecimalError::Malformed) => Err(not_a_number(key, value, expected)),
        Err(DecimalError::TooPrecise) => {
            Err(value.error(SpecErrorKind::TooPrecise { key: key.letters() }))
        }
    }
}

fn not_a_number(key: Key, value: Token<'_>, expected: &'static str) -> SpecError {
    value.error(SpecErrorKind::NotANumber {
        key: key.letters(),
        expected,
        value: value.text.into(),
    })
}

fn activation(value: Token<'_>) -> Result<Activation, SpecError> {
    match value.text {
        "relu" => Ok(Activation::Relu),
        "relu6" => Ok(Activation::Relu6),
        "hswish" => Ok(Activation::HSwish),
        _ => Err(unknown_word(Key::Act, value, "relu, relu6 or hswish")),
    }
}

fn skip(value: Token<'_>) -> Result<Skip, SpecError> {
    match value.text {
        "identity" => Ok(Skip::Identity),
        "pool" => Ok(Skip::Pool),
        "none" => Ok(Skip::None),
        _ => Err(unknown_word(Key::Skip, value, "identity, pool or none")),
    }
}

fn unknown_word(key: Key, value: Token<'_>, takes: &'static str) -> SpecError {
    value.error(SpecErrorKind::UnknownWord {
        key: key.letters(),
        takes,
        value: value.text.into(),
    })
}
