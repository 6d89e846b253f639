//! Settings of the policy and its learning: one table for each preset, a reason in every line.

use super::super::settings::Values;
use super::super::{Algorithm, Setting};
use super::Ppo;

/// Checked settings.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Settings {
    pub(super) units: usize,
    pub(super) init: f64,
    pub(super) learning_rate: f64,
    pub(super) bias_rate: f64,
    pub(super) clip: f64,
    pub(super) epochs: usize,
    pub(super) minibatch: usize,
    pub(super) entropy: f64,
    pub(super) baseline_decay: f64,
    pub(super) baseline_weight: f64,
    pub(super) normalize: bool,
    pub(super) advantage_limit: f64,
}

impl Settings {
    pub(super) fn new(values: &Values) -> Settings {
        Settings {
            units: values.whole("units"),
            init: values.get("init"),
            learning_rate: values.get("learning_rate"),
            bias_rate: values.get("bias_rate"),
            clip: values.get("clip"),
            epochs: values.whole("epochs"),
            minibatch: values.whole("minibatch"),
            entropy: values.get("entropy"),
            baseline_decay: values.get("baseline_decay"),
            baseline_weight: values.get("baseline_weight"),
            normalize: values.whole("normalize") == 1,
            advantage_limit: values.get("advantage_limit"),
        }
    }
}

const fn number(
    name: &'static str,
    default: f64,
    range: (f64, f64),
    source: &'static str,
) -> Setting {
    Setting {
        name,
        default,
        min: range.0,
        max: range.1,
        whole: false,
        source,
    }
}

const fn whole(
    name: &'static str,
    default: f64,
    range: (f64, f64),
    source: &'static str,
) -> Setting {
    Setting {
        whole: true,
        ..number(name, default, range, source)
    }
}

/// For searches of hundreds of trials. "Chosen" means: by mean reward of the last quarter of 100 to
/// 1,000 proposals on this crate's toy landscapes (see `tests/learning.rs`).
pub(in super::super) const DEFAULT: Algorithm = Algorithm {
    name: "ppo",
    summary: "LSTM policy learning by PPO, set for searches of hundreds of trials",
    settings: &[
        whole(
            "units",
            24.0,
            (1.0, 1024.0),
            "LSTM units; fewer than the paper's 100, which brought no gain in hundreds of trials",
        ),
        number(
            "init",
            0.1,
            (0.0, 1.0),
            "weights start uniform in +-init; NASNet, appendix A.2",
        ),
        number(
            "learning_rate",
            0.003,
            (0.0, 1.0),
            "Adam's; chosen. The paper's 3.5e-4 is for 8,000 trials",
        ),
        number(
            "bias_rate",
            10.0,
            (0.0, 1000.0),
            "factor of the learning rate of head biases, which every trial informs; chosen",
        ),
        number(
            "clip",
            0.2,
            (0.0, 10.0),
            "PPO's clip; Schulman et al. 2017, section 6.1",
        ),
        whole(
            "epochs",
            4.0,
            (1.0, 1000.0),
            "passes over a batch; chosen, 8 settles too early",
        ),
        whole(
            "minibatch",
            8.0,
            (1.0, 10_000.0),
            "trials per Adam step; chosen, makes learning depend on trials and not on batch size",
        ),
        number(
            "entropy",
            0.03,
            (0.0, 10.0),
            "entropy bonus per token, for advantages of unit spread; chosen, keeps late proposals distinct",
        ),
        number(
            "baseline_decay",
            0.95,
            (0.0, 1.0),
            "per trial, of the moving averages of rewards and their spread; NASNet, appendix A.3",
        ),
        number(
            "baseline_weight",
            2.0,
            (0.0, 1e9),
            "the baseline weighs the moving average as that many trials of the batch; chosen, an average alone lags while rewards rise",
        ),
        whole(
            "normalize",
            1.0,
            (0.0, 1.0),
            "1 = divide advantages by the rewards' spread, as rewards differ by hundredths; common in PPO",
        ),
        number(
            "advantage_limit",
            3.0,
            (0.0, 1e9),
            "advantages are cut at +-limit, so that one failed trial can't drown a batch; ours",
        ),
    ],
    make: |values, setup| Box::new(Ppo::new(DEFAULT.name, Settings::new(values), setup)),
};

/// As published for NASNet, whose controller MnasNet uses; for thousands of trials.
pub(in super::super) const PAPER: Algorithm = Algorithm {
    name: "ppo-paper",
    summary: "LSTM policy learning by PPO with the settings published for NASNet and MnasNet",
    settings: &[
        whole(
            "units",
            100.0,
            (1.0, 1024.0),
            "LSTM units; NASNet, appendix A.2",
        ),
        number(
            "init",
            0.1,
            (0.0, 1.0),
            "weights start uniform in +-init; NASNet, appendix A.2",
        ),
        number(
            "learning_rate",
            3.5e-4,
            (0.0, 1.0),
            "Adam's; NASNet, appendix A.3",
        ),
        number(
            "bias_rate",
            1.0,
            (0.0, 1000.0),
            "1 = one learning rate for all, as in the paper",
        ),
        number(
            "clip",
            0.2,
            (0.0, 10.0),
            "PPO's clip; not published for NASNet, Schulman et al. 2017, section 6.1",
        ),
        whole(
            "epochs",
            4.0,
            (1.0, 1000.0),
            "passes over a batch; not published for NASNet, a usual value",
        ),
        whole(
            "minibatch",
            20.0,
            (1.0, 10_000.0),
            "trials per Adam step; NASNet, appendix A.3",
        ),
        number(
            "entropy",
            1e-5,
            (0.0, 10.0),
            "entropy bonus per token; NASNet, appendix A.3",
        ),
        number(
            "baseline_decay",
            0.95,
            (0.0, 1.0),
            "per trial, of the moving average of rewards; NASNet, appendix A.3",
        ),
        number(
            "baseline_weight",
            1e9,
            (0.0, 1e9),
            "large = the moving average alone, as in the paper",
        ),
        whole(
            "normalize",
            0.0,
            (0.0, 1.0),
            "0 = advantages are rewards minus baseline, as in the paper",
        ),
        number(
            "advantage_limit",
            1e9,
            (0.0, 1e9),
            "large = no limit, as in the paper",
        ),
    ],
    make: |values, setup| Box::new(Ppo::new(PAPER.name, Settings::new(values), setup)),
};
