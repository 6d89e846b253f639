//! A search space: the text of a network with `{a,b}` holes. `decode` is "substitute, then parse".

mod builtin;
mod encode;
mod images;
#[cfg(test)]
mod tests;
mod text;

pub use images::Images;
#[cfg(test)]
pub(crate) use mnas_net::Shape;
use mnas_net::{NetSpec, SpecError, SpecErrorKind, Stream};

use self::text::Item;

/// A sample of a space: one index per decision.
pub type Tokens = Vec<u16>;

/// One hole of a space.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Name, as `block3.kernel`; blocks count from 0, as in names of a graph's nodes.
    pub name: String,
    /// The alternatives, as they stand in the text.
    pub choices: Vec<String>,
}

/// Why a space can't be read or a sample can't be decoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {kind}")]
pub struct SpaceError {
    /// Line of the space's text, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub kind: SpaceErrorKind,
}

/// What is wrong with a space's text or a sample.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpaceErrorKind {
    /// `{` without `}` on the same line.
    #[error("the hole isn't closed on its line")]
    Unclosed,
    /// `}` without `{`.
    #[error("a hole is closed that wasn't opened")]
    Unopened,
    /// `{` inside a hole.
    #[error("a hole can't hold a hole")]
    Nested,
    /// Nothing between commas.
    #[error("a choice is empty")]
    EmptyChoice,
    /// The same choice twice in a hole.
    #[error("choice {0:?} stands twice in its hole")]
    DuplicateChoice(String),
    /// More choices than a token can count.
    #[error("a hole has at most {max} choices")]
    TooManyChoices {
        /// The most allowed.
        max: usize,
    },
    /// White space or a semicolon in a choice; it would break the line in two.
    #[error("choice {0:?} would break its line")]
    BrokenChoice(String),
    /// More combinations in one line than can be checked.
    #[error("the holes of a line have {found} combinations, {max} at most")]
    TooManyCombinations {
        /// How many there are.
        found: u128,
        /// The most allowed.
        max: u128,
    },
    /// With these choices, the text isn't a network.
    #[error("with {choices}: {reason}")]
    Net {
        /// The choices of the line's holes, as `block1.op=cn, block1.se=0.25`, or `these lines`.
        choices: String,
        /// What the network's parser says.
        reason: SpecErrorKind,
    },
    /// A sample of another length.
    #[error("a sample has {expected} tokens, not {found}")]
    TokenCount {
        /// Its length.
        found: usize,
        /// Number of decisions.
        expected: usize,
    },
    /// A token without its choice.
    #[error("decision {decision} has {choices} choices, token {token} isn't one")]
    TokenRange {
        /// The decision's name.
        decision: String,
        /// The token.
        token: u16,
        /// Number of choices, counted from 0.
        choices: usize,
    },
}

/// A search space.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Space {
    name: String,
    text: String,
    items: Vec<Item>,
    decisions: Vec<Decision>,
}

impl Space {
    /// Reads a space. Every combination of the choices of a line must be a line of a network.
    pub fn parse(name: &str, text: &str) -> Result<Space, SpaceError> {
        let (items, decisions) = text::read(text)?;
        let space = Space {
            name: name.to_owned(),
            text: text.to_owned(),
            items,
            decisions,
        };
        space.check()?;
        Ok(space)
    }

    /// A built-in space.
    pub fn builtin(name: &str) -> Option<Space> {
        let text = builtin::text(name)?;
        // A test parses every built-in text, so this is never `None` for a known name.
        Space::parse(name, text).ok()
    }

    /// Names of the built-in spaces.
    pub fn builtin_names() -> Vec<&'static str> {
        builtin::SPACES.iter().map(|(name, _)| *name).collect()
    }

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

    /// Decimal logarithm of the number of samples. Networks are fewer: samples that differ in a
    /// choice that can't matter are one network.
    pub fn size_log10(&self) -> f64 {
        self.decisions
            .iter()
            .map(|d| libm::log10(d.choices.len() as f64))
            .sum()
    }

    /// A uniform sample.
    pub fn sample(&self, stream: &mut Stream) -> Tokens {
        self.decisions
            .iter()
            .map(|d| stream.below(d.choices.len()) as u16)
            .collect()
    }

    /// `count` samples in which every decision takes each of its choices equally often, but for a
    /// remainder: a design that covers the space better than as many uniform samples.
    pub fn balanced(&self, count: usize, stream: &mut Stream) -> Vec<Tokens> {
        let mut samples = vec![Tokens::new(); count];
        for decision in &self.decisions {
            let mut column: Vec<u16> = (0..count)
                .map(|i| (i % decision.choices.len()) as u16)
                .collect();
            stream.shuffle(&mut column);
            samples
                .iter_mut()
                .zip(column)
                .for_each(|(s, token)| s.push(token));
        }
        samples
    }

    /// The network of a sample, in canonical form.
    pub fn decode(&self, tokens: &[u16]) -> Result<NetSpec, SpaceError> {
        if tokens.len() != self.decisions.len() {
            return Err(SpaceError {
                line: 1,
                column: 1,
                kind: SpaceErrorKind::TokenCount {
                    found: tokens.len(),
                    expected: self.decisions.len(),
                },
            });
        }
        for item in &self.items {
            for hole in item.holes() {
                let decision = &self.decisions[hole.decision];
                if usize::from(tokens[hole.decision]) >= decision.choices.len() {
                    return Err(SpaceError {
                        line: item.line,
                        column: hole.column,
                        kind: SpaceErrorKind::TokenRange {
                            decision: decision.name.clone(),
                            token: tokens[hole.decision],
                            choices: decision.choices.len(),
                        },
                    });
                }
            }
        }
        self.substitute(tokens).map(|spec| spec.canonical())
    }

    /// Tokens of a network: the first in order whose network is the same, line by line; `None`
    /// where the space doesn't hold it.
    pub fn encode(&self, spec: &NetSpec) -> Option<Tokens> {
        let target = spec.canonical();
        let tokens = encode::tokens(self, &target)?;
        let decoded = self.decode(&tokens).ok()?;
        (decoded == target).then_some(tokens)
    }

    /// Every combination of an item's choices, one token per hole, the last hole fastest.
    fn combinations(&self, item: &Item) -> impl Iterator<Item = Tokens> + use<> {
        let sizes: Vec<usize> = item
            .holes()
            .map(|h| self.decisions[h.decision].choices.len())
            .collect();
        let total: usize = sizes.iter().product();
        (0..total).map(move |mut index| {
            let mut tokens = vec![0; sizes.len()];
            for (token, size) in tokens.iter_mut().zip(&sizes).rev() {
                *token = (index % size) as u16;
                index /= size;
            }
            tokens
        })
    }

    fn check(&self) -> Result<(), SpaceError> {
        for item in &self.items {
            let sizes = item
                .holes()
                .map(|h| self.decisions[h.decision].choices.len() as u128);
            let found = sizes.fold(1u128, u128::saturating_mul);
            if found > text::COMBINATIONS_MAX {
                return Err(SpaceError {
                    line: item.line,
                    column: item.column,
                    kind: SpaceErrorKind::TooManyCombinations {
                        found,
                        max: text::COMBINATIONS_MAX,
                    },
                });
            }
        }
        // The whole text first, for faults between lines; then each line in all its forms.
        let first: Tokens = vec![0; self.decisions.len()];
        self.substitute(&first)?;
        for (index, item) in self.items.iter().enumerate() {
            // One fault is found in the choice that brings it alone, where there is one.
            for choice in self.alone(item).chain(self.combinations(item)) {
                self.check_line(index, &choice)?;
            }
        }
        Ok(())
    }

    /// Combinations that differ from the first in one hole.
    fn alone(&self, item: &Item) -> impl Iterator<Item = Tokens> + use<> {
        let sizes: Vec<usize> = item
            .holes()
            .map(|h| self.decisions[h.decision].choices.len())
            .collect();
        (0..sizes.len()).flat_map(move |hole| {
            let holes = sizes.len();
            (1..sizes[hole]).map(move |token| {
                let mut tokens = vec![0; holes];
                tokens[hole] = token as u16;
                tokens
            })
        })
    }

    fn check_line(&self, index: usize, choice: &[u16]) -> Result<(), SpaceError> {
        const STEM: &str = "stem_k1_s1_c1";
        const HEAD: &str = "head_c1";
        let item = &self.items[index];
        let line = item.substitute(&self.decisions, choice);
        let mut lines = vec![line];
        if index > 0 {
            // Blocks may need cells, and a cell's nodes those before them.
            let end = if item.is_cell() {
                index
            } else {
                self.items.len()
            };
            let cells = self.items[..end].iter().filter(|i| i.is_cell());
            let first = |i: &Item| i.substitute(&self.decisions, &vec![0; i.holes().count()]);
            let before = std::iter::once(STEM.to_owned()).chain(cells.map(first));
            lines.splice(0..0, before);
        }
        if index + 1 < self.items.len() {
            lines.push(HEAD.to_owned());
        }
        match lines.join("\n").parse::<NetSpec>() {
            Ok(_) => Ok(()),
            Err(error) => Err(self.locate(item, choice, &error)),
        }
    }

    /// Parses the text with every hole filled.
    fn substitute(&self, tokens: &[u16]) -> Result<NetSpec, SpaceError> {
        let choice = |item: &Item| -> Tokens { item.holes().map(|h| tokens[h.decision]).collect() };
        let lines: Vec<String> = self
            .items
            .iter()
            .map(|item| item.substitute(&self.decisions, &choice(item)))
            .collect();
        lines.join("\n").parse().map_err(|error: SpecError| {
            let Some(item) = self.items.get(error.line - 1) else {
                return text::whole(&error);
            };
            self.locate(item, &choice(item), &error)
        })
    }

    /// An error of a substituted line, at its place in the space's text.
    fn locate(&self, item: &Item, choice: &[u16], error: &SpecError) -> SpaceError {
        let chosen: Vec<String> = item
            .holes()
            .zip(choice)
            .map(|(hole, token)| {
                let decision = &self.decisions[hole.decision];
                format!(
                    "{}={}",
                    decision.name,
                    decision.choices[usize::from(*token)]
                )
            })
            .collect();
        let choices = match chosen.is_empty() {
            true => "this line".to_owned(),
            false => chosen.join(", "),
        };
        SpaceError {
            line: item.line,
            column: item.source_column(&self.decisions, choice, error.column),
            kind: SpaceErrorKind::Net {
                choices,
                reason: error.reason.clone(),
            },
        }
    }
}
