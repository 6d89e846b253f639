//! The containers of a TFLite file: buffers, tensors, operators and what holds them together,
//! over the untyped flatbuffer builder.

use flatbuffers::{FlatBufferBuilder, ForwardsUOffset, TableFinishedWIPOffset, Vector, WIPOffset};

use super::schema::{Code, IDENTIFIER, OptionsKind, TensorKind, VERSION, field};

type Table = WIPOffset<TableFinishedWIPOffset>;

/// Engines map weights straight from the file and read them with aligned vector loads
/// (`force_align: 16` in the schema).
const DATA_ALIGNMENT: usize = 16;

/// Position of a tensor in the file's list.
pub(super) type TensorIndex = i32;

/// A field of an options table.
#[derive(Debug, Clone, Copy)]
pub(super) enum Field {
    Byte(i8),
    Int(i32),
    Bool(bool),
}

/// How integers of a tensor stand for numbers: by one scale, or one for each position of an axis.
#[derive(Debug, Clone, Copy)]
pub(super) struct Quantization<'a> {
    pub(super) scales: &'a [f32],
    /// The same for all scales.
    pub(super) zero_point: i32,
    pub(super) axis: i32,
}

/// A TFLite file under construction.
pub(super) struct FileBuilder {
    is_int8: bool,
    flat: FlatBufferBuilder<'static>,
    buffers: Vec<Table>,
    tensors: Vec<Table>,
    operators: Vec<Table>,
    codes: Vec<Code>,
    metadata: Vec<Table>,
}

impl FileBuilder {
    /// A file whose operators work on 8-bit integers, or on float32.
    pub(super) fn new(is_int8: bool) -> Self {
        let mut flat = FlatBufferBuilder::new();
        // Buffer 0 is the empty one that computed tensors name.
        let table = flat.start_table();
        let empty = flat.end_table(table);
        Self {
            is_int8,
            flat,
            buffers: vec![empty],
            tensors: vec![],
            operators: vec![],
            codes: vec![],
            metadata: vec![],
        }
    }

    /// Adds constant bytes, aligned for vector loads; returns the buffer's position.
    fn buffer(&mut self, bytes: &[u8]) -> u32 {
        // The builder writes back to front, so what is aligned is the distance from the end; the
        // end itself is aligned in `finish`.
        self.pad(bytes.len());
        let data = self.flat.create_vector(bytes);
        let table = self.flat.start_table();
        self.flat.push_slot_always(slot(field::buffer::DATA), data);
        self.buffers.push(self.flat.end_table(table));
        self.buffers.len() as u32 - 1
    }

    /// Writes zeros until what follows, `upcoming` bytes long, starts aligned.
    fn pad(&mut self, upcoming: usize) {
        while !(self.flat.unfinished_data().len() + upcoming).is_multiple_of(DATA_ALIGNMENT) {
            self.flat.push(0u8);
        }
    }

    /// Adds a tensor that an operator computes, or the input.
    pub(super) fn computed(&mut self, name: &str, shape: &[i32]) -> TensorIndex {
        self.tensor(name, shape, TensorKind::Float32, 0, None)
    }

    /// Adds a constant float32 tensor.
    pub(super) fn floats(&mut self, name: &str, shape: &[i32], values: &[f32]) -> TensorIndex {
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        let buffer = self.buffer(&bytes);
        self.tensor(name, shape, TensorKind::Float32, buffer, None)
    }

    /// Adds a constant vector of int32.
    pub(super) fn ints(&mut self, name: &str, values: &[i32]) -> TensorIndex {
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        let buffer = self.buffer(&bytes);
        let shape = [values.len() as i32];
        self.tensor(name, &shape, TensorKind::Int32, buffer, None)
    }

    /// Adds a constant of rows of two int32.
    pub(super) fn pairs(&mut self, name: &str, values: &[i32]) -> TensorIndex {
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        let buffer = self.buffer(&bytes);
        let shape = [values.len() as i32 / 2, 2];
        self.tensor(name, &shape, TensorKind::Int32, buffer, None)
    }

    /// Adds a tensor of 8-bit integers that an operator computes.
    pub(super) fn computed_int8(
        &mut self,
        name: &str,
        shape: &[i32],
        q: Quantization<'_>,
    ) -> TensorIndex {
        self.tensor(name, shape, TensorKind::Int8, 0, Some(q))
    }

    /// Adds a constant tensor of 8-bit integers.
    pub(super) fn int8s(
        &mut self,
        name: &str,
        shape: &[i32],
        values: &[i8],
        q: Quantization<'_>,
    ) -> TensorIndex {
        let bytes: Vec<u8> = values.iter().map(|v| *v as u8).collect();
        let buffer = self.buffer(&bytes);
        self.tensor(name, shape, TensorKind::Int8, buffer, Some(q))
    }

    /// Adds a constant vector of int32 that stand for numbers.
    pub(super) fn scaled_ints(
        &mut self,
        name: &str,
        values: &[i32],
        q: Quantization<'_>,
    ) -> TensorIndex {
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        let buffer = self.buffer(&bytes);
        let shape = [values.len() as i32];
        self.tensor(name, &shape, TensorKind::Int32, buffer, Some(q))
    }

    fn quantization(&mut self, q: Quantization<'_>) -> Table {
        let zeros = vec![i64::from(q.zero_point); q.scales.len()];
        let scales = self.flat.create_vector(q.scales);
        let zeros = self.flat.create_vector(&zeros);
        let f = &mut self.flat;
        let table = f.start_table();
        f.push_slot_always(slot(field::quantization::SCALE), scales);
        f.push_slot_always(slot(field::quantization::ZERO_POINT), zeros);
        f.push_slot_always(slot(field::quantization::DIMENSION), q.axis);
        f.end_table(table)
    }

    fn tensor(
        &mut self,
        name: &str,
        shape: &[i32],
        kind: TensorKind,
        buffer: u32,
        q: Option<Quantization<'_>>,
    ) -> TensorIndex {
        let q = q.map(|q| self.quantization(q));
        let name = self.flat.create_string(name);
        let shape = self.flat.create_vector(shape);
        let f = &mut self.flat;
        let table = f.start_table();
        f.push_slot_always(slot(field::tensor::SHAPE), shape);
        f.push_slot_always(slot(field::tensor::KIND), kind as i8);
        f.push_slot_always(slot(field::tensor::BUFFER), buffer);
        f.push_slot_always(slot(field::tensor::NAME), name);
        if let Some(q) = q {
            f.push_slot_always(slot(field::tensor::QUANTIZATION), q);
        }
        self.tensors.push(f.end_table(table));
        self.tensors.len() as TensorIndex - 1
    }

    /// Adds an operator that computes one tensor; `fields` are those of its options, by number.
    pub(super) fn operator(
        &mut self,
        code: Code,
        inputs: &[TensorIndex],
        output: TensorIndex,
        kind: OptionsKind,
        fields: &[(u16, Field)],
    ) {
        let index = self.code_index(code);
        let inputs = self.flat.create_vector(inputs);
        let outputs = self.flat.create_vector(&[output]);
        let options = (kind != OptionsKind::None).then(|| self.options(fields));
        let f = &mut self.flat;
        let table = f.start_table();
        f.push_slot_always(slot(field::operator::CODE_INDEX), index);
        f.push_slot_always(slot(field::operator::INPUTS), inputs);
        f.push_slot_always(slot(field::operator::OUTPUTS), outputs);
        if let Some(options) = options {
            f.push_slot_always(slot(field::operator::OPTIONS_KIND), kind as u8);
            f.push_slot_always(slot(field::operator::OPTIONS), options);
        }
        self.operators.push(f.end_table(table));
    }

    fn code_index(&mut self, code: Code) -> u32 {
        let found = self.codes.iter().position(|c| *c == code);
        let index = found.unwrap_or_else(|| {
            self.codes.push(code);
            self.codes.len() - 1
        });
        index as u32
    }

    fn options(&mut self, fields: &[(u16, Field)]) -> Table {
        let table = self.flat.start_table();
        for (number, value) in fields {
            match *value {
                Field::Byte(v) => self.flat.push_slot_always(slot(*number), v),
                Field::Int(v) => self.flat.push_slot_always(slot(*number), v),
                Field::Bool(v) => self.flat.push_slot_always(slot(*number), v),
            }
        }
        self.flat.end_table(table)
    }

    /// Adds a metadata entry.
    pub(super) fn metadata(&mut self, name: &str, bytes: &[u8]) {
        let buffer = self.buffer(bytes);
        let name = self.flat.create_string(name);
        let table = self.flat.start_table();
        self.flat
            .push_slot_always(slot(field::metadata::NAME), name);
        self.flat
            .push_slot_always(slot(field::metadata::BUFFER), buffer);
        self.metadata.push(self.flat.end_table(table));
    }

    /// Closes the file over its only subgraph; returns its bytes.
    pub(super) fn finish(
        mut self,
        description: &str,
        input: (&str, TensorIndex),
        output: (&str, TensorIndex),
    ) -> Vec<u8> {
        let subgraph = self.subgraph(input.1, output.1);
        let signature = self.signature(input, output);
        let codes = self.operator_codes();
        let codes = self.flat.create_vector(&codes);
        let subgraphs = self.flat.create_vector(&[subgraph]);
        let signatures = self.flat.create_vector(&[signature]);
        let buffers = self.flat.create_vector(&self.buffers);
        let metadata = self.flat.create_vector(&self.metadata);
        let description = self.flat.create_string(description);
        let f = &mut self.flat;
        let table = f.start_table();
        f.push_slot_always(slot(field::model::VERSION), VERSION);
        f.push_slot_always(slot(field::model::OPERATOR_CODES), codes);
        f.push_slot_always(slot(field::model::SUBGRAPHS), subgraphs);
        f.push_slot_always(slot(field::model::DESCRIPTION), description);
        f.push_slot_always(slot(field::model::BUFFERS), buffers);
        f.push_slot_always(slot(field::model::METADATA), metadata);
        f.push_slot_always(slot(field::model::SIGNATURES), signatures);
        let model = f.end_table(table);
        // The root offset and the identifier are all that comes before, four bytes each. With them
        // the file is a multiple of the alignment long, so distances from its end are offsets.
        self.pad(8);
        self.flat.finish(model, Some(IDENTIFIER));
        self.flat.finished_data().to_vec()
    }

    fn subgraph(&mut self, input: TensorIndex, output: TensorIndex) -> Table {
        let tensors = self.flat.create_vector(&self.tensors);
        let operators = self.flat.create_vector(&self.operators);
        let inputs = self.flat.create_vector(&[input]);
        let outputs = self.flat.create_vector(&[output]);
        let name = self.flat.create_string("main");
        let f = &mut self.flat;
        let table = f.start_table();
        f.push_slot_always(slot(field::subgraph::TENSORS), tensors);
        f.push_slot_always(slot(field::subgraph::INPUTS), inputs);
        f.push_slot_always(slot(field::subgraph::OUTPUTS), outputs);
        f.push_slot_always(slot(field::subgraph::OPERATORS), operators);
        f.push_slot_always(slot(field::subgraph::NAME), name);
        f.end_table(table)
    }

    /// The names by which callers address input and output, as TensorFlow's converter writes them.
    fn signature(&mut self, input: (&str, TensorIndex), output: (&str, TensorIndex)) -> Table {
        let inputs = self.tensor_map(input);
        let outputs = self.tensor_map(output);
        let key = self.flat.create_string("serving_default");
        let f = &mut self.flat;
        let table = f.start_table();
        f.push_slot_always(slot(field::signature::INPUTS), inputs);
        f.push_slot_always(slot(field::signature::OUTPUTS), outputs);
        f.push_slot_always(slot(field::signature::KEY), key);
        f.end_table(table)
    }

    fn tensor_map(
        &mut self,
        (name, tensor): (&str, TensorIndex),
    ) -> WIPOffset<Vector<'static, ForwardsUOffset<TableFinishedWIPOffset>>> {
        let name = self.flat.create_string(name);
        let table = self.flat.start_table();
        self.flat
            .push_slot_always(slot(field::tensor_map::NAME), name);
        self.flat
            .push_slot_always(slot(field::tensor_map::TENSOR), tensor as u32);
        let entry = self.flat.end_table(table);
        self.flat.create_vector(&[entry])
    }

    fn operator_codes(&mut self) -> Vec<Table> {
        let f = &mut self.flat;
        let table = |code: &Code| {
            let table = f.start_table();
            let number = *code as i32;
            // Every code used is below 127, so both fields hold it.
            f.push_slot_always(slot(field::operator_code::DEPRECATED_CODE), number as i8);
            let version = code.version(self.is_int8);
            f.push_slot_always(slot(field::operator_code::VERSION), version);
            f.push_slot_always(slot(field::operator_code::CODE), number);
            f.end_table(table)
        };
        self.codes.iter().map(table).collect()
    }
}

/// Position in a vtable of the field with this number.
const fn slot(number: u16) -> u16 {
    4 + 2 * number
}
