//! The messages of an ONNX file that are written or read here. Field numbers are those of
//! `onnx.proto` in <https://github.com/onnx/onnx>; fields that aren't used are left out, which
//! protobuf allows: readers skip what they don't know.

use prost::Message;

/// `ModelProto`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct ModelProto {
    #[prost(int64, tag = "1")]
    pub(crate) ir_version: i64,
    #[prost(string, tag = "2")]
    pub(crate) producer_name: String,
    #[prost(string, tag = "3")]
    pub(crate) producer_version: String,
    #[prost(string, tag = "6")]
    pub(crate) doc_string: String,
    #[prost(message, optional, tag = "7")]
    pub(crate) graph: Option<GraphProto>,
    #[prost(message, repeated, tag = "8")]
    pub(crate) opset_import: Vec<OperatorSet>,
    #[prost(message, repeated, tag = "14")]
    pub(crate) metadata_props: Vec<StringEntry>,
}

/// `StringStringEntryProto`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct StringEntry {
    #[prost(string, tag = "1")]
    pub(crate) key: String,
    #[prost(string, tag = "2")]
    pub(crate) value: String,
}

/// `OperatorSetIdProto`. The empty domain is ONNX's own and has to be present.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct OperatorSet {
    #[prost(string, tag = "1")]
    pub(crate) domain: String,
    #[prost(int64, tag = "2")]
    pub(crate) version: i64,
}

/// `GraphProto`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct GraphProto {
    #[prost(message, repeated, tag = "1")]
    pub(crate) node: Vec<NodeProto>,
    #[prost(string, tag = "2")]
    pub(crate) name: String,
    #[prost(message, repeated, tag = "5")]
    pub(crate) initializer: Vec<TensorProto>,
    #[prost(message, repeated, tag = "11")]
    pub(crate) input: Vec<ValueInfo>,
    #[prost(message, repeated, tag = "12")]
    pub(crate) output: Vec<ValueInfo>,
}

/// `NodeProto`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct NodeProto {
    #[prost(string, repeated, tag = "1")]
    pub(crate) input: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    pub(crate) output: Vec<String>,
    #[prost(string, tag = "3")]
    pub(crate) name: String,
    #[prost(string, tag = "4")]
    pub(crate) op_type: String,
    #[prost(message, repeated, tag = "5")]
    pub(crate) attribute: Vec<Attribute>,
}

/// `AttributeProto`. The numbers are optional so that a zero is written.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Attribute {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(float, optional, tag = "2")]
    pub(crate) f: Option<f32>,
    #[prost(int64, optional, tag = "3")]
    pub(crate) i: Option<i64>,
    #[prost(int64, repeated, packed = "false", tag = "8")]
    pub(crate) ints: Vec<i64>,
    /// 1 float, 2 int, 7 ints.
    #[prost(int32, tag = "20")]
    pub(crate) kind: i32,
}

impl Attribute {
    pub(super) fn float(name: &str, value: f32) -> Self {
        Self {
            name: name.into(),
            f: Some(value),
            kind: 1,
            ..Self::default()
        }
    }

    pub(super) fn int(name: &str, value: i64) -> Self {
        Self {
            name: name.into(),
            i: Some(value),
            kind: 2,
            ..Self::default()
        }
    }

    pub(super) fn ints(name: &str, values: &[i64]) -> Self {
        Self {
            name: name.into(),
            ints: values.into(),
            kind: 7,
            ..Self::default()
        }
    }
}

/// `TensorProto`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct TensorProto {
    #[prost(int64, repeated, packed = "false", tag = "1")]
    pub(crate) dims: Vec<i64>,
    /// 1 is float32, 2 uint8, 3 int8, 6 int32.
    #[prost(int32, tag = "2")]
    pub(crate) data_type: i32,
    #[prost(string, tag = "8")]
    pub(crate) name: String,
    /// Values in C order, little endian.
    #[prost(bytes = "vec", tag = "9")]
    pub(crate) raw_data: Vec<u8>,
}

impl TensorProto {
    /// An unnamed float32 tensor.
    pub(super) fn float(shape: &[usize], values: impl Iterator<Item = f32>) -> Self {
        Self::of(FLOAT, shape, values.flat_map(f32::to_le_bytes).collect())
    }

    /// An unnamed tensor of unsigned 8-bit integers.
    pub(super) fn uint8(shape: &[usize], values: impl Iterator<Item = u8>) -> Self {
        Self::of(UINT8, shape, values.collect())
    }

    /// An unnamed tensor of signed 8-bit integers.
    pub(super) fn int8(shape: &[usize], values: impl Iterator<Item = i8>) -> Self {
        Self::of(INT8, shape, values.map(|v| v as u8).collect())
    }

    /// An unnamed tensor of 32-bit integers.
    pub(super) fn int32(shape: &[usize], values: impl Iterator<Item = i32>) -> Self {
        Self::of(INT32, shape, values.flat_map(i32::to_le_bytes).collect())
    }

    fn of(data_type: i32, shape: &[usize], raw_data: Vec<u8>) -> Self {
        Self {
            dims: shape.iter().map(|d| *d as i64).collect(),
            data_type,
            name: String::new(),
            raw_data,
        }
    }
}

/// `TensorProto.DataType`.
const FLOAT: i32 = 1;
const UINT8: i32 = 2;
const INT8: i32 = 3;
const INT32: i32 = 6;

/// `ValueInfoProto`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct ValueInfo {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(message, optional, tag = "2")]
    pub(crate) kind: Option<Type>,
}

impl ValueInfo {
    pub(super) fn float(name: &str, shape: &[usize]) -> Self {
        let dim = |d: &usize| Dimension {
            value: Some(*d as i64),
        };
        Self {
            name: name.into(),
            kind: Some(Type {
                tensor: Some(TensorType {
                    element: FLOAT,
                    shape: Some(TensorShape {
                        dim: shape.iter().map(dim).collect(),
                    }),
                }),
            }),
        }
    }

    /// Extents where the value is a float32 tensor of fixed shape.
    pub(crate) fn float_shape(&self) -> Option<Vec<usize>> {
        let tensor = self.kind.as_ref()?.tensor.as_ref()?;
        let dims = &tensor.shape.as_ref()?.dim;
        let fixed = |d: &Dimension| usize::try_from(d.value?).ok();
        let shape = dims.iter().map(fixed).collect();
        if tensor.element == FLOAT { shape } else { None }
    }
}

/// `TypeProto`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Type {
    #[prost(message, optional, tag = "1")]
    pub(crate) tensor: Option<TensorType>,
}

/// `TypeProto.Tensor`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct TensorType {
    #[prost(int32, tag = "1")]
    pub(crate) element: i32,
    #[prost(message, optional, tag = "2")]
    pub(crate) shape: Option<TensorShape>,
}

/// `TensorShapeProto`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct TensorShape {
    #[prost(message, repeated, tag = "1")]
    pub(crate) dim: Vec<Dimension>,
}

/// `TensorShapeProto.Dimension`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Dimension {
    #[prost(int64, optional, tag = "1")]
    pub(crate) value: Option<i64>,
}
