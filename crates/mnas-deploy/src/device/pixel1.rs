//! `pixel1`: the paper's phone, predicted. A linear model of layers ([`LinearModel`]) that is fitted
//! to public latencies of a Google Pixel 1 (one big core, TFLite, float32) and judged on networks
//! kept out of the fit: `docs/reference/pixel1.md`, and `tests/pixel1`, which refits it.

use std::path::Path;

use super::linear::LinearModel;
use super::predict::predict_all;
use super::{Candidate, Device, DeviceError, DeviceInfo, DeviceKind, Measured};
use crate::engine::library::hash_bytes;
use crate::measure::MeasurePlan;

const SCHEME: &str = "pixel1";
const USAGE: &str = "pixel1   predicts the first Pixel phone, the paper's, from public latencies";

/// Written by `cargo run -p mnas-deploy --example fit_pixel1`.
const MODEL: &str = include_str!("pixel1/model.toml");

pub(super) struct Pixel1Kind;

impl DeviceKind for Pixel1Kind {
    fn scheme(&self) -> &'static str {
        SCHEME
    }

    fn describe(&self) -> &'static str {
        USAGE
    }

    fn open(&self, rest: Option<&str>) -> Result<Box<dyn Device>, DeviceError> {
        match rest {
            None => Ok(Box::new(Pixel1::open()?)),
            Some(_) => Err(DeviceError::TakesNothing { scheme: SCHEME }),
        }
    }

    fn probe(&self) -> Vec<DeviceInfo> {
        Pixel1::open().map(|d| d.info).into_iter().collect()
    }
}

struct Pixel1 {
    model: LinearModel,
    info: DeviceInfo,
}

impl Pixel1 {
    fn open() -> Result<Self, DeviceError> {
        let model = LinearModel::from_toml(MODEL).map_err(|source| DeviceError::Table {
            path: SCHEME.into(),
            source,
        })?;
        let info = DeviceInfo {
            name: SCHEME.into(),
            device: model.device.clone(),
            engine: model.engine.clone(),
            library_hash: Some(hash_bytes(MODEL.as_bytes())),
            predicted: true,
        };
        Ok(Self { model, info })
    }
}

impl Device for Pixel1 {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn measure(
        &mut self,
        candidates: &[Candidate<'_>],
        plan: &MeasurePlan,
    ) -> Result<Measured, DeviceError> {
        predict_all(candidates, plan, self.model.error, |g| {
            self.model.predict(Path::new(SCHEME), g)
        })
    }
}
