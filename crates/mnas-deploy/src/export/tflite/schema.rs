//! Numbers of the TFLite schema that are written or read here, from
//! `tensorflow/compiler/mlir/lite/schema/schema.fbs`.

/// `BuiltinOperator`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    Add = 0,
    AveragePool2d = 1,
    Concatenation = 2,
    Conv2d = 3,
    DepthwiseConv2d = 4,
    Dequantize = 6,
    FullyConnected = 9,
    Logistic = 14,
    MaxPool2d = 17,
    Mul = 18,
    Relu = 19,
    Relu6 = 21,
    Reshape = 22,
    Pad = 34,
    Mean = 40,
    Quantize = 114,
    HardSwish = 117,
}

impl Code {
    /// The version that an engine must know to run this operator as it is written here
    /// (`tensorflow/lite/tools/versioning/op_version.cc`). Version 1 of every operator runs float32;
    /// the versions of 8-bit ones are the first that take signed integers, per channel where there
    /// are kernels.
    pub(super) fn version(self, is_int8: bool) -> i32 {
        if !is_int8 {
            return 1;
        }
        match self {
            Code::HardSwish | Code::Reshape | Code::Quantize => 1,
            Code::Add
            | Code::AveragePool2d
            | Code::Concatenation
            | Code::Dequantize
            | Code::Logistic
            | Code::MaxPool2d
            | Code::Mean
            | Code::Mul
            | Code::Pad
            | Code::Relu
            | Code::Relu6 => 2,
            Code::Conv2d | Code::DepthwiseConv2d => 3,
            Code::FullyConnected => 4,
        }
    }
}

/// `BuiltinOptions`: which table holds an operator's settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OptionsKind {
    None = 0,
    Conv2d = 1,
    DepthwiseConv2d = 2,
    Pool2d = 5,
    FullyConnected = 8,
    Concatenation = 10,
    Add = 11,
    Mul = 21,
    Pad = 22,
    Reducer = 27,
}

/// `ActivationFunctionType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FusedActivation {
    None = 0,
    Relu = 1,
    Relu6 = 3,
}

/// `TensorType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TensorKind {
    Float32 = 0,
    Int32 = 2,
    Int8 = 9,
}

/// `Padding`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Padding {
    Same = 0,
    Valid = 1,
}

/// `Model.version`.
pub(crate) const VERSION: u32 = 3;

/// File identifier, at byte 4.
pub(crate) const IDENTIFIER: &str = "TFL3";

/// Field numbers, by table.
pub(crate) mod field {
    pub(crate) mod model {
        pub(crate) const VERSION: u16 = 0;
        pub(crate) const OPERATOR_CODES: u16 = 1;
        pub(crate) const SUBGRAPHS: u16 = 2;
        pub(crate) const DESCRIPTION: u16 = 3;
        pub(crate) const BUFFERS: u16 = 4;
        pub(crate) const METADATA: u16 = 6;
        pub(crate) const SIGNATURES: u16 = 7;
    }
    pub(crate) mod operator_code {
        /// One byte, for readers older than operator 127.
        pub(crate) const DEPRECATED_CODE: u16 = 0;
        pub(crate) const VERSION: u16 = 2;
        pub(crate) const CODE: u16 = 3;
    }
    pub(crate) mod subgraph {
        pub(crate) const TENSORS: u16 = 0;
        pub(crate) const INPUTS: u16 = 1;
        pub(crate) const OUTPUTS: u16 = 2;
        pub(crate) const OPERATORS: u16 = 3;
        pub(crate) const NAME: u16 = 4;
    }
    pub(crate) mod tensor {
        pub(crate) const SHAPE: u16 = 0;
        pub(crate) const KIND: u16 = 1;
        pub(crate) const BUFFER: u16 = 2;
        pub(crate) const NAME: u16 = 3;
        pub(crate) const QUANTIZATION: u16 = 4;
    }
    pub(crate) mod quantization {
        pub(crate) const SCALE: u16 = 2;
        pub(crate) const ZERO_POINT: u16 = 3;
        pub(crate) const DIMENSION: u16 = 6;
    }
    pub(crate) mod operator {
        pub(crate) const CODE_INDEX: u16 = 0;
        pub(crate) const INPUTS: u16 = 1;
        pub(crate) const OUTPUTS: u16 = 2;
        pub(crate) const OPTIONS_KIND: u16 = 3;
        pub(crate) const OPTIONS: u16 = 4;
    }
    pub(crate) mod buffer {
        pub(crate) const DATA: u16 = 0;
    }
    pub(crate) mod metadata {
        pub(crate) const NAME: u16 = 0;
        pub(crate) const BUFFER: u16 = 1;
    }
    pub(crate) mod signature {
        pub(crate) const INPUTS: u16 = 0;
        pub(crate) const OUTPUTS: u16 = 1;
        pub(crate) const KEY: u16 = 2;
    }
    pub(crate) mod tensor_map {
        pub(crate) const NAME: u16 = 0;
        pub(crate) const TENSOR: u16 = 1;
    }
    pub(crate) mod conv {
        pub(crate) const PADDING: u16 = 0;
        pub(crate) const STRIDE_W: u16 = 1;
        pub(crate) const STRIDE_H: u16 = 2;
        pub(crate) const ACTIVATION: u16 = 3;
    }
    pub(crate) mod depthwise_conv {
        pub(crate) const PADDING: u16 = 0;
        pub(crate) const STRIDE_W: u16 = 1;
        pub(crate) const STRIDE_H: u16 = 2;
        pub(crate) const MULTIPLIER: u16 = 3;
        pub(crate) const ACTIVATION: u16 = 4;
    }
    pub(crate) mod pool {
        pub(crate) const PADDING: u16 = 0;
        pub(crate) const STRIDE_W: u16 = 1;
        pub(crate) const STRIDE_H: u16 = 2;
        pub(crate) const WIDTH: u16 = 3;
        pub(crate) const HEIGHT: u16 = 4;
        pub(crate) const ACTIVATION: u16 = 5;
    }
    pub(crate) mod add {
        pub(crate) const ACTIVATION: u16 = 0;
    }
    pub(crate) mod mul {
        pub(crate) const ACTIVATION: u16 = 0;
    }
    pub(crate) mod fully_connected {
        pub(crate) const ACTIVATION: u16 = 0;
    }
    pub(crate) mod concatenation {
        pub(crate) const AXIS: u16 = 0;
    }
    pub(crate) mod reducer {
        pub(crate) const KEEP_DIMS: u16 = 0;
    }
}
