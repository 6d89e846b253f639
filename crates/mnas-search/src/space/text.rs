//! Reading a space's text: items, holes, and the way back from a substituted line to its source.

use mnas_net::SpecError;

use super::{Decision, SpaceError, SpaceErrorKind};

/// Most combinations of one line's choices: all are checked when a space is read.
pub(super) const COMBINATIONS_MAX: u128 = 100_000;

/// Most choices of a hole: what a token can count.
const CHOICES_MAX: usize = 1 << 16;

/// A line of a network with holes. Like the network's text, a space may put several on one line of
/// the file, with semicolons or white space between.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Item {
    /// Line in the file, from 1.
    pub(super) line: usize,
    /// Column of its first character, from 1.
    pub(super) column: usize,
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text { text: String, column: usize },
    Hole(Hole),
}

/// A hole's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hole {
    /// Index of its decision.
    pub(super) decision: usize,
    /// Column of its brace.
    pub(super) column: usize,
    /// Column of each choice.
    choices: Vec<usize>,
}

impl Item {
    /// Whether the line describes a cell.
    pub(super) fn is_cell(&self) -> bool {
        self.code().is_some()
    }

    /// The code of a line that describes a cell.
    fn code(&self) -> Option<&'static str> {
        let Some(Piece::Text { text, .. }) = self.pieces.first() else {
            return None;
        };
        let code = text.split('_').next().unwrap_or("");
        ["normal", "reduce"].into_iter().find(|c| *c == code)
    }

    pub(super) fn holes(&self) -> impl Iterator<Item = &Hole> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Hole(hole) => Some(hole),
            Piece::Text { .. } => None,
        })
    }

    /// The pieces' texts and columns in the file, with one token for each hole.
    fn filled<'a>(
        &'a self,
        decisions: &'a [Decision],
        choice: &'a [u16],
    ) -> impl Iterator<Item = (&'a str, usize)> {
        let mut tokens = choice.iter();
        self.pieces.iter().map(move |piece| match piece {
            Piece::Text { text, column } => (text.as_str(), *column),
            Piece::Hole(hole) => {
                let token = usize::from(tokens.next().copied().unwrap_or(0));
                let text = decisions[hole.decision].choices[token].as_str();
                (text, hole.choices[token])
            }
        })
    }

    /// The line with its holes filled.
    pub(super) fn substitute(&self, decisions: &[Decision], choice: &[u16]) -> String {
        self.filled(decisions, choice)
            .map(|(text, _)| text)
            .collect()
    }

    /// Where `column` of the substituted line stands in the file.
    pub(super) fn source_column(
        &self,
        decisions: &[Decision],
        choice: &[u16],
        column: usize,
    ) -> usize {
        let mut offset = column.saturating_sub(1);
        let mut end = self.column;
        for (text, source) in self.filled(decisions, choice) {
            let len = text.chars().count();
            if offset < len {
                return source + offset;
            }
            offset -= len;
            end = source + len;
        }
        end + offset
    }
}

/// A fault that belongs to no item, at the start of the text.
pub(super) fn whole(error: &SpecError) -> SpaceError {
    SpaceError {
        line: 1,
        column: 1,
        kind: SpaceErrorKind::Net {
            choices: "this text".to_owned(),
            reason: error.reason.clone(),
        },
    }
}

/// Items and decisions of a text.
pub(super) fn read(text: &str) -> Result<(Vec<Item>, Vec<Decision>), SpaceError> {
    let mut items = vec![];
    let mut decisions = vec![];
    for (index, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or("");
        Reader {
            line: index + 1,
            chars: line.chars().collect(),
            at: 0,
            items: &mut items,
            decisions: &mut decisions,
        }
        .read()?;
    }
    name(&items, &mut decisions);
    Ok((items, decisions))
}

struct Reader<'a> {
    line: usize,
    chars: Vec<char>,
    at: usize,
    items: &'a mut Vec<Item>,
    decisions: &'a mut Vec<Decision>,
}

impl Reader<'_> {
    fn error(&self, at: usize, kind: SpaceErrorKind) -> SpaceError {
        SpaceError {
            line: self.line,
            column: at + 1,
            kind,
        }
    }

    fn read(mut self) -> Result<(), SpaceError> {
        let mut pieces = vec![];
        let mut start = 0;
        while let Some(c) = self.chars.get(self.at).copied() {
            if c.is_whitespace() || c == ';' {
                self.finish(start, &mut pieces);
                self.at += 1;
                start = self.at;
            } else if c == '{' {
                pieces.push(self.hole()?);
            } else if c == '}' {
                return Err(self.error(self.at, SpaceErrorKind::Unopened));
            } else {
                pieces.push(self.plain());
            }
        }
        self.finish(start, &mut pieces);
        Ok(())
    }

    fn finish(&mut self, start: usize, pieces: &mut Vec<Piece>) {
        if !pieces.is_empty() {
            self.items.push(Item {
                line: self.line,
                column: start + 1,
                pieces: std::mem::take(pieces),
            });
        }
    }

    fn plain(&mut self) -> Piece {
        let start = self.at;
        let ends = |c: &char| c.is_whitespace() || ";{}".contains(*c);
        while self.chars.get(self.at).is_some_and(|c| !ends(c)) {
            self.at += 1;
        }
        Piece::Text {
            text: self.chars[start..self.at].iter().collect(),
            column: start + 1,
        }
    }

    fn hole(&mut self) -> Result<Piece, SpaceError> {
        let open = self.at;
        let rest = &self.chars[open + 1..];
        let Some(len) = rest.iter().position(|c| *c == '}') else {
            return Err(self.error(open, SpaceErrorKind::Unclosed));
        };
        if let Some(nested) = rest[..len].iter().position(|c| *c == '{') {
            return Err(self.error(open + 1 + nested, SpaceErrorKind::Nested));
        }
        let (mut choices, mut columns) = (vec![], vec![]);
        let mut at = open + 1;
        for part in self.chars[open + 1..open + 1 + len].split(|c| *c == ',') {
            let blank = part.iter().take_while(|c| c.is_whitespace()).count();
            let text: String = part.iter().collect();
            let text = text.trim().to_owned();
            self.check_choice(at, &text, &choices)?;
            choices.push(text);
            columns.push(at + blank + 1);
            at += part.len() + 1;
        }
        self.at = open + len + 2;
        let decision = self.decisions.len();
        self.decisions.push(Decision {
            name: String::new(),
            choices,
        });
        Ok(Piece::Hole(Hole {
            decision,
            column: open + 1,
            choices: columns,
        }))
    }

    fn check_choice(&self, at: usize, text: &str, before: &[String]) -> Result<(), SpaceError> {
        let kind = if text.is_empty() {
            SpaceErrorKind::EmptyChoice
        } else if text.contains(|c: char| c.is_whitespace() || c == ';') {
            SpaceErrorKind::BrokenChoice(text.to_owned())
        } else if before.iter().any(|b| b == text) {
            SpaceErrorKind::DuplicateChoice(text.to_owned())
        } else if before.len() == CHOICES_MAX {
            SpaceErrorKind::TooManyChoices { max: CHOICES_MAX }
        } else {
            return Ok(());
        };
        Err(self.error(at, kind))
    }
}

/// Names every decision after its line and the key that it sets.
fn name(items: &[Item], decisions: &mut [Decision]) {
    let mut seen = std::collections::BTreeMap::<&str, usize>::new();
    for (index, item) in items.iter().enumerate() {
        let line = match (index, item.code()) {
            (0, _) => "stem".to_owned(),
            _ if index + 1 == items.len() => "head".to_owned(),
            (_, code) => {
                let kind = code.unwrap_or("block");
                let number = seen.entry(kind).or_default();
                *number += 1;
                format!("{kind}{}", *number - 1)
            }
        };
        let mut before = String::new();
        let mut taken: Vec<String> = vec![];
        for piece in &item.pieces {
            match piece {
                Piece::Text { text, .. } => before.push_str(text),
                Piece::Hole(hole) => {
                    let decision = &mut decisions[hole.decision];
                    let key = match item.is_cell() {
                        true if before.ends_with('@') => "state".to_owned(),
                        true => "op".to_owned(),
                        false => key(&before, &decision.choices[0]),
                    };
                    // A key that two holes of a line share (`{cn,ir_e3}` and `e{3,6}` don't) is
                    // numbered from the second on.
                    let again = taken.iter().filter(|k| **k == key).count();
                    decision.name = match again {
                        0 => format!("{line}.{key}"),
                        n => format!("{line}.{key}{}", n + 1),
                    };
                    taken.push(key);
                    before.push_str(&decision.choices[0]);
                }
            }
        }
    }
}

/// The name of the key that a hole sets, given the line before it and its first choice.
fn key(before: &str, choice: &str) -> String {
    // A choice of several keys is what the layer is.
    if before.is_empty() || choice.trim_start_matches('_').contains('_') {
        return "op".to_owned();
    }
    let part = before.rsplit('_').next().unwrap_or("");
    let source = match choice.strip_prefix('_') {
        Some(whole) => whole,
        None if part.is_empty() => choice,
        None => part,
    };
    let letters: String = source.chars().take_while(|c| c.is_alphabetic()).collect();
    let name = match letters.as_str() {
        "r" => "layers",
        "k" => "kernel",
        "s" => "stride",
        "e" => "expand",
        "c" => "width",
        "drop" => "dropout",
        "noskip" => "skip",
        l if l.starts_with("skip") => "skip",
        l if l.starts_with("act") => "act",
        other => other,
    };
    name.to_owned()
}
