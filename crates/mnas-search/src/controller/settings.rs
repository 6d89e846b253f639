//! Settings of an algorithm: a table of defaults, and what a study changes of it.

use std::collections::BTreeMap;

use super::{Algorithm, BuildError, Setting, names};

/// The values of every setting of an algorithm.
#[derive(Debug, Clone)]
pub(crate) struct Values(Vec<(&'static str, f64)>);

impl Values {
    /// Defaults with overrides; every override must be known and in range.
    pub(crate) fn check(
        algorithm: &Algorithm,
        overrides: &BTreeMap<String, f64>,
    ) -> Result<Values, BuildError> {
        let mut values: Vec<(&'static str, f64)> = algorithm
            .settings
            .iter()
            .map(|s| (s.name, s.default))
            .collect();
        for (name, value) in overrides {
            let at = algorithm.settings.iter().position(|s| s.name == name);
            let at = at.ok_or_else(|| BuildError::UnknownSetting {
                algorithm: algorithm.name,
                name: name.clone(),
                known: names(algorithm.settings.iter().map(|s| s.name)),
            })?;
            let setting = &algorithm.settings[at];
            if !allows(setting, *value) {
                return Err(BuildError::SettingRange {
                    algorithm: algorithm.name,
                    name: setting.name,
                    value: *value,
                    allowed: allowed(setting),
                });
            }
            values[at].1 = *value;
        }
        Ok(Values(values))
    }

    /// The value of a setting.
    ///
    /// # Panics
    /// If the algorithm's table has no such line, which is a mistake in this crate that building
    /// the algorithm in any test shows.
    pub(crate) fn get(&self, name: &str) -> f64 {
        match self.0.iter().find(|(n, _)| *n == name) {
            Some((_, value)) => *value,
            None => panic!("setting {name} is missing in its table"),
        }
    }

    /// The value of a whole setting.
    pub(crate) fn whole(&self, name: &str) -> usize {
        self.get(name) as usize
    }
}

fn allows(setting: &Setting, value: f64) -> bool {
    // Written so that NaN is refused.
    let in_range = value >= setting.min && value <= setting.max;
    in_range && (!setting.whole || libm::floor(value) == value)
}

fn allowed(setting: &Setting) -> String {
    let kind = if setting.whole {
        "whole numbers"
    } else {
        "numbers"
    };
    format!("{kind} from {} to {}", setting.min, setting.max)
}
