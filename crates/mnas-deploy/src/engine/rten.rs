//! rten: an inference engine in Rust, compiled in, so that a latency can be had anywhere.

use std::sync::{Arc, OnceLock};

use ::rten::{
    DataType, Dimension, Model, ModelOptions, NodeId, RunOptions, ThreadPool, Value, ValueType,
};
use mnas_net::Shape;
use rten_tensor::prelude::*;
use rten_tensor::{NdTensor, Tensor};

use super::layout::{channels_first, check_image, check_input, exactly_one, not_float};
use super::{EngineError, EngineId, EngineVersion, InferenceEngine};
use crate::export::ModelFile;

const ID: EngineId = EngineId::Rten;

/// The version that this workspace's lock file resolves. A dependency's version isn't told at
/// compile time, so a test compares this with the lock file.
pub(super) const VERSION: &str = "0.27.0";

/// One worker thread for all models. Work that starts on that thread runs on in place, without a
/// hand-over between threads per run.
fn pool() -> &'static Arc<ThreadPool> {
    static POOL: OnceLock<Arc<ThreadPool>> = OnceLock::new();
    POOL.get_or_init(|| Arc::new(ThreadPool::with_num_threads(1)))
}

pub(super) fn version() -> EngineVersion {
    EngineVersion {
        label: format!("rten {VERSION}"),
        library_hash: None,
    }
}

/// Runs `job` on the worker thread.
pub(super) fn on_own_thread<R: Send>(job: impl FnOnce() -> R + Send) -> R {
    pool().run(job)
}

struct Rten {
    model: Model,
    input: NodeId,
    output: NodeId,
    shape: Shape,
    outputs: usize,
    image: NdTensor<f32, 4>,
    last: Option<Value>,
}

pub(super) fn load(file: &ModelFile) -> Result<Box<dyn InferenceEngine>, EngineError> {
    let mut options = ModelOptions::with_all_ops();
    options.prepack_weights(true);
    let model = options
        .load(file.bytes.clone())
        .map_err(|e| EngineError::Load {
            engine: ID,
            detail: e.to_string(),
        })?;
    exactly_one(ID, "number of inputs", model.input_ids().len())?;
    exactly_one(ID, "number of outputs", model.output_ids().len())?;
    let (input, output) = (model.input_ids()[0], model.output_ids()[0]);
    match model.node_info(input).and_then(|n| n.dtype()) {
        Some(ValueType::Tensor(DataType::Float)) => {}
        other => return Err(not_float(ID, "input type", format!("{other:?}"))),
    }
    let extents: Vec<Option<usize>> = model
        .input_shape(0)
        .unwrap_or_default()
        .iter()
        .map(|extent| match extent {
            Dimension::Fixed(n) => Some(*n),
            Dimension::Symbolic(_) => None,
        })
        .collect();
    let shape = file.input;
    let first = [1, shape.c, shape.h, shape.w];
    check_input(ID, &extents, first)?;
    Ok(Box::new(Rten {
        model,
        input,
        output,
        shape,
        outputs: file.outputs,
        image: NdTensor::zeros(first),
        last: None,
    }))
}

impl InferenceEngine for Rten {
    fn id(&self) -> EngineId {
        ID
    }

    fn input_shape(&self) -> Shape {
        self.shape
    }

    fn outputs(&self) -> usize {
        self.outputs
    }

    fn set_input(&mut self, image: &[f32]) -> Result<(), EngineError> {
        check_image(image, self.shape)?;
        let values = channels_first(image, self.shape);
        self.image = NdTensor::from_data(self.image.shape(), values);
        Ok(())
    }

    fn invoke(&mut self) -> Result<(), EngineError> {
        let options = RunOptions::default().with_thread_pool(Some(pool().clone()));
        let inputs = vec![(self.input, self.image.view().into())];
        let mut values = self
            .model
            .run(inputs, &[self.output], Some(options))
            .map_err(|e| failed("run", e.to_string()))?;
        self.last = values.pop();
        Ok(())
    }

    fn output(&mut self) -> Result<Vec<f32>, EngineError> {
        let Some(last) = self.last.clone() else {
            return Ok(vec![]);
        };
        let tensor: Tensor<f32> = last
            .try_into()
            .map_err(|e| failed("reading the output", format!("{e:?}")))?;
        Ok(tensor.to_vec())
    }
}

fn failed(call: &'static str, detail: String) -> EngineError {
    EngineError::Failed {
        engine: ID,
        call,
        detail,
    }
}
