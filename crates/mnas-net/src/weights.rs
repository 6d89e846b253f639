//! Named tensors of a network: what training hands to export, and safetensors bytes.

use std::collections::{BTreeMap, HashMap};

use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use crate::Graph;
use crate::graph::param::{ParamRole, ParamSpec};
use crate::rng::Stream;

/// A dense float32 tensor, outermost extent first.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    /// Extents, outermost first.
    pub shape: Vec<usize>,
    /// `shape.iter().product()` values, innermost extent contiguous.
    pub data: Vec<f32>,
}

/// Why weights could not be read or don't belong to a graph.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// The bytes are no safetensors file.
    #[error("no valid safetensors file: {0}")]
    Format(#[from] safetensors::SafeTensorError),
    /// A tensor that is not float32.
    #[error("tensor {name} is {dtype:?}; float32 only")]
    Dtype {
        /// The tensor's name.
        name: String,
        /// What it holds.
        dtype: Dtype,
    },
    /// A tensor that the graph needs is absent.
    #[error("tensor {name} {expected:?} is missing")]
    Missing {
        /// The tensor's name.
        name: String,
        /// The shape that the graph needs.
        expected: Vec<usize>,
    },
    /// A tensor of another shape than the graph needs.
    #[error("tensor {name} is {got:?}; the network needs {expected:?}")]
    Shape {
        /// The tensor's name.
        name: String,
        /// The shape found.
        got: Vec<usize>,
        /// The shape that the graph needs.
        expected: Vec<usize>,
    },
    /// A tensor that the graph has no use for.
    #[error("tensor {name} belongs to no layer of the network")]
    Extra {
        /// The tensor's name.
        name: String,
    },
}

/// Tensors by name, and text metadata stored beside them.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Weights {
    /// Tensors by parameter name ([`ParamSpec::name`]).
    pub tensors: BTreeMap<String, Tensor>,
    /// Facts stored in the file, as the network's text or the class names.
    pub metadata: BTreeMap<String, String>,
}

impl Weights {
    /// Fresh weights for a graph. Convolutions as the MnasNet reference code draws them: normal
    /// with standard deviation `sqrt(2 / (kernel² · out))` (`out` = 1 for depthwise); linear layers
    /// uniform in `±1/sqrt(in)`; scales and variances 1, the rest 0.
    ///
    /// The reference code's classifier is uniform in `±1/sqrt(classes)`. At its 1280 features and
    /// 1000 classes that is nearly the same; at 10 classes it is eleven times as wide, and training
    /// starts at a loss of 5 to 7 instead of 2.3.
    pub fn init(graph: &Graph, stream: &mut Stream) -> Self {
        let mut tensors = BTreeMap::new();
        for p in graph.params() {
            let n = p.len();
            let data = match p.role {
                ParamRole::LinearKernel => {
                    let limit = 1.0 / (p.shape[1] as f64).sqrt();
                    (0..n)
                        .map(|_| ((2.0 * stream.uniform() - 1.0) * limit) as f32)
                        .collect()
                }
                ParamRole::ConvKernel | ParamRole::DepthwiseKernel => {
                    let std = (2.0 / fan_out(&p)).sqrt();
                    (0..n).map(|_| (stream.normal() * std) as f32).collect()
                }
                ParamRole::BnScale | ParamRole::BnVar => vec![1.0; n],
                ParamRole::Bias | ParamRole::BnShift | ParamRole::BnMean => vec![0.0; n],
            };
            tensors.insert(
                p.name,
                Tensor {
                    shape: p.shape,
                    data,
                },
            );
        }
        Self {
            tensors,
            metadata: BTreeMap::new(),
        }
    }

    /// The tensor of a parameter.
    ///
    /// # Panics
    /// If it is absent: [`Weights::check`] first.
    pub fn get(&self, name: &str) -> &Tensor {
        self.tensors
            .get(name)
            .unwrap_or_else(|| panic!("weights hold no {name}: check them first"))
    }

    /// Checks that these are exactly the weights of `graph`.
    ///
    /// # Errors
    /// The first tensor that is missing, of another shape, or not used.
    pub fn check(&self, graph: &Graph) -> Result<(), WeightsError> {
        let params = graph.params();
        for p in &params {
            match self.tensors.get(&p.name) {
                None => {
                    return Err(WeightsError::Missing {
                        name: p.name.clone(),
                        expected: p.shape.clone(),
                    });
                }
                Some(t) if t.shape != p.shape => {
                    let (got, expected) = (t.shape.clone(), p.shape.clone());
                    return Err(WeightsError::Shape {
                        name: p.name.clone(),
                        got,
                        expected,
                    });
                }
                Some(_) => {}
            }
        }
        match self
            .tensors
            .keys()
            .find(|name| !params.iter().any(|p| p.name == **name))
        {
            Some(name) => Err(WeightsError::Extra { name: name.clone() }),
            None => Ok(()),
        }
    }

    /// The bytes of a safetensors file; equal weights give equal bytes.
    pub fn to_safetensors(&self) -> Vec<u8> {
        let bytes: Vec<(&String, &Tensor, Vec<u8>)> = self
            .tensors
            .iter()
            .map(|(n, t)| (n, t, t.data.iter().flat_map(|v| v.to_le_bytes()).collect()))
            .collect();
        let views = bytes.iter().map(|(n, t, b)| {
            let view = TensorView::new(Dtype::F32, t.shape.clone(), b);
            (
                n.as_str(),
                view.expect("a tensor's bytes are four times its values"),
            )
        });
        let metadata: HashMap<String, String> = self.metadata.clone().into_iter().collect();
        let metadata = (!metadata.is_empty()).then_some(metadata);
        let file = safetensors::serialize(views, metadata)
            .expect("names and views come from a map, so are valid");
        in_order(&file)
    }

    /// Reads the bytes of a safetensors file.
    ///
    /// # Errors
    /// [`WeightsError::Format`] or [`WeightsError::Dtype`].
    pub fn from_safetensors(bytes: &[u8]) -> Result<Self, WeightsError> {
        Self::from_safetensors_where(bytes, |_| true)
    }

    /// Reads the tensors whose names are `wanted`; the others may be of any type.
    ///
    /// # Errors
    /// [`WeightsError::Format`] or [`WeightsError::Dtype`].
    pub(crate) fn from_safetensors_where(
        bytes: &[u8],
        wanted: impl Fn(&str) -> bool,
    ) -> Result<Self, WeightsError> {
        let (_, header) = SafeTensors::read_metadata(bytes)?;
        let metadata = header
            .metadata()
            .clone()
            .unwrap_or_default()
            .into_iter()
            .collect();
        let mut tensors = BTreeMap::new();
        for (name, view) in SafeTensors::deserialize(bytes)?.tensors() {
            if !wanted(&name) {
                continue;
            }
            if view.dtype() != Dtype::F32 {
                return Err(WeightsError::Dtype {
                    name,
                    dtype: view.dtype(),
                });
            }
            let value = |b: &[u8]| f32::from_le_bytes([b[0], b[1], b[2], b[3]]);
            let data = view.data().chunks_exact(4).map(value).collect();
            tensors.insert(
                name,
                Tensor {
                    shape: view.shape().to_vec(),
                    data,
                },
            );
        }
        Ok(Self { tensors, metadata })
    }
}

/// `kernel² · out`, the fan of the reference initialiser; a depthwise kernel has one output.
fn fan_out(p: &ParamSpec) -> f64 {
    (match p.role {
        ParamRole::DepthwiseKernel => p.shape[0] * p.shape[1],
        _ => p.shape[0] * p.shape[1] * p.shape[2],
    }) as f64
}

/// A safetensors file whose header has its keys in order; the library writes metadata in that of a hash map.
fn in_order(file: &[u8]) -> Vec<u8> {
    type Entry = BTreeMap<String, serde_json::Value>;
    let (length, rest) = file.split_at(8);
    let length = u64::from_le_bytes(length.try_into().expect("eight bytes"));
    let (header, data) = rest.split_at(length as usize);
    let header: BTreeMap<String, Entry> =
        serde_json::from_slice(header).expect("a header is an object of objects");
    let mut header = serde_json::to_vec(&header).expect("text keys");
    // Data starts at a multiple of eight bytes, after spaces.
    header.resize(header.len().next_multiple_of(8), b' ');
    let length = (header.len() as u64).to_le_bytes();
    [&length, &*header, data].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Purpose, stream};
    use crate::{GraphBuilder, Op, Shape};

    fn graph() -> Graph {
        let mut b = GraphBuilder::new(Shape::new(4, 4, 2)).unwrap();
        let op = Op::Conv {
            kernel: 3,
            stride: 1,
            filters: 4,
            bias: false,
        };
        let c = b.add("c", op, &[b.input()]).unwrap();
        let n = b.add("n", Op::BATCH_NORM, &[c]).unwrap();
        let p = b.add("p", Op::GlobalAvgPool, &[n]).unwrap();
        let l = b.add("l", Op::Linear { features: 3 }, &[p]).unwrap();
        b.finish(l)
    }

    #[test]
    fn round_trip_and_check() {
        let g = graph();
        let mut w = Weights::init(&g, &mut stream(0, 0, Purpose::Init));
        w.metadata.insert("classes".into(), "a\nb".into());
        for key in 0..16 {
            w.metadata.insert(key.to_string(), "\u{e9}\"".into());
        }
        let file = w.to_safetensors();
        assert_eq!(Weights::from_safetensors(&file).unwrap(), w);
        assert_eq!(w.clone().to_safetensors(), file);
        w.check(&g).unwrap();
        let check = |edit: fn(&mut Weights), message: &str| {
            let mut bad = w.clone();
            edit(&mut bad);
            assert_eq!(bad.check(&g).unwrap_err().to_string(), message);
        };
        check(
            |w| drop(w.tensors.remove("n.bias")),
            "tensor n.bias [4] is missing",
        );
        check(
            |w| w.tensors.get_mut("l.bias").unwrap().shape = vec![2],
            "tensor l.bias is [2]; the network needs [3]",
        );
        check(
            |w| {
                drop(w.tensors.insert(
                    "x".into(),
                    Tensor {
                        shape: vec![],
                        data: vec![1.0],
                    },
                ))
            },
            "tensor x belongs to no layer of the network",
        );
        assert!(matches!(
            Weights::from_safetensors(b"junk"),
            Err(WeightsError::Format(_))
        ));
    }
}
