//! Facts that trained weights carry with them, so that a file of weights can be used by itself.

use mnas_net::{Shape, Weights};

use crate::{Meta, Normalize};

/// Metadata keys of weights and model files.
pub mod keys {
    /// The network's text.
    pub const SPEC: &str = "mnas.spec";
    /// Class names, one per line, in the order of the network's answers.
    pub const CLASSES: &str = "mnas.classes";
    /// Image shape, as `28x28x1`.
    pub const INPUT: &str = "mnas.input";
    /// Mean and standard deviation per channel, as JSON of `{mean, std}`.
    pub const NORMALIZE: &str = "mnas.normalize";
    /// Whose weights these were before mnas imported them.
    pub const IMPORTED_FROM: &str = "mnas.imported_from";
    /// Name of the data set.
    pub const DATA: &str = "mnas.data";
    /// Hash of the data set.
    pub const FINGERPRINT: &str = "mnas.fingerprint";
}

/// What a user of trained weights needs to know besides the network's text.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainedFacts {
    /// Shape of an image.
    pub input: Shape,
    /// Class names in the order of the network's answers.
    pub classes: Vec<String>,
    /// Normalisation of pixel values in 0..1.
    pub normalize: Normalize,
}

/// Weights without a fact that training writes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the weights carry no valid {key}; train them again with this version")]
pub struct FactsError {
    /// The metadata key.
    pub key: &'static str,
}

impl TrainedFacts {
    /// The facts of weights trained on a data set.
    pub fn of(meta: &Meta) -> Self {
        Self {
            input: meta.shape,
            classes: meta.classes.clone(),
            normalize: meta.normalize.clone(),
        }
    }

    /// Reads what [`TrainedFacts::write`] wrote.
    ///
    /// # Errors
    /// [`FactsError`] with the first key that is missing or not understood.
    pub fn read(weights: &Weights) -> Result<Self, FactsError> {
        let get = |key: &'static str| weights.metadata.get(key).ok_or(FactsError { key });
        let extents: Option<Vec<usize>> = get(keys::INPUT)?
            .split('x')
            .map(|v| v.parse().ok())
            .collect();
        let Some(&[h, w, c]) = extents.as_deref() else {
            return Err(FactsError { key: keys::INPUT });
        };
        let normalize = serde_json::from_str(get(keys::NORMALIZE)?);
        Ok(Self {
            input: Shape::new(h, w, c),
            classes: get(keys::CLASSES)?.lines().map(String::from).collect(),
            normalize: normalize.map_err(|_| FactsError {
                key: keys::NORMALIZE,
            })?,
        })
    }

    /// Writes the facts beside the weights.
    pub fn write(&self, weights: &mut Weights) {
        let Normalize { mean, std } = &self.normalize;
        let normalize = serde_json::json!({ "mean": mean, "std": std });
        let facts = [
            (keys::CLASSES, self.classes.join("\n")),
            (keys::INPUT, self.input.to_string()),
            (keys::NORMALIZE, normalize.to_string()),
        ];
        weights
            .metadata
            .extend(facts.map(|(key, value)| (key.to_string(), value)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_come_back_and_missing_ones_are_named() {
        let facts = TrainedFacts {
            input: Shape::new(28, 32, 3),
            classes: vec!["a cat".into(), "dog".into()],
            normalize: Normalize {
                mean: vec![0.1, 0.2, 0.3],
                std: vec![0.5, 0.25, 0.7],
            },
        };
        let mut weights = Weights::default();
        facts.write(&mut weights);
        assert_eq!(TrainedFacts::read(&weights).unwrap(), facts);
        for key in [keys::INPUT, keys::CLASSES, keys::NORMALIZE] {
            let mut bare = weights.clone();
            bare.metadata.remove(key);
            assert_eq!(TrainedFacts::read(&bare), Err(FactsError { key }));
        }
        weights.metadata.insert(keys::INPUT.into(), "28x28".into());
        assert_eq!(
            TrainedFacts::read(&weights),
            Err(FactsError { key: keys::INPUT })
        );
    }
}
