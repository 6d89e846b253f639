//! Reads the few facts of a TFLite file that `read_model` returns, bounds-checked: the file may
//! be anyone's and may be damaged.

use super::schema::{IDENTIFIER, field};

/// A flatbuffer table inside `bytes`.
#[derive(Clone, Copy)]
pub(crate) struct Table<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// A flatbuffer vector: position of its first element, and its length.
#[derive(Clone, Copy)]
pub(crate) struct List<'a> {
    bytes: &'a [u8],
    at: usize,
    pub(crate) len: usize,
}

/// Whether the bytes are a TFLite file by its identifier.
pub(crate) fn is_tflite(bytes: &[u8]) -> bool {
    bytes.get(4..8) == Some(IDENTIFIER.as_bytes())
}

/// The model table of a TFLite file.
pub(crate) fn model(bytes: &[u8]) -> Option<Table<'_>> {
    let at = u32_at(bytes, 0)?;
    is_tflite(bytes).then_some(Table { bytes, at })
}

impl<'a> Table<'a> {
    /// Position of a field's value, if the field is present.
    fn field(self, number: u16) -> Option<usize> {
        let back = i64::from(i32_at(self.bytes, self.at)?);
        let vtable = usize::try_from(i64::try_from(self.at).ok()? - back).ok()?;
        let slot = 4 + 2 * usize::from(number);
        if slot + 2 > u16_at(self.bytes, vtable)? {
            return None;
        }
        match u16_at(self.bytes, vtable.checked_add(slot)?)? {
            0 => None,
            offset => self.at.checked_add(offset),
        }
    }

    /// An int32 field, or its default.
    pub(crate) fn int(self, number: u16, default: i32) -> Option<i32> {
        match self.field(number) {
            Some(at) => i32_at(self.bytes, at),
            None => Some(default),
        }
    }

    /// A byte field, or its default.
    pub(crate) fn byte(self, number: u16, default: i8) -> Option<i8> {
        match self.field(number) {
            Some(at) => self.bytes.get(at).map(|b| *b as i8),
            None => Some(default),
        }
    }

    /// A vector field. `size` is an element's in bytes; the vector lies inside the file.
    fn list(self, number: u16, size: usize) -> Option<List<'a>> {
        let at = self.field(number)?;
        let start = at.checked_add(u32_at(self.bytes, at)?)?;
        let (len, at) = (u32_at(self.bytes, start)?, start.checked_add(4)?);
        let end = at.checked_add(len.checked_mul(size)?)?;
        let bytes = self.bytes;
        (end <= bytes.len()).then_some(List { bytes, at, len })
    }

    /// A table inside this one.
    #[cfg(test)]
    pub(crate) fn table(self, number: u16) -> Option<Table<'a>> {
        let at = self.field(number)?;
        let at = at.checked_add(u32_at(self.bytes, at)?)?;
        let bytes = self.bytes;
        Some(Table { bytes, at })
    }

    /// A vector of tables.
    pub(crate) fn tables(self, number: u16) -> Option<List<'a>> {
        self.list(number, 4)
    }

    /// A vector of bytes.
    pub(crate) fn data(self, number: u16) -> Option<&'a [u8]> {
        let list = self.list(number, 1)?;
        self.bytes.get(list.at..list.at + list.len)
    }

    /// A string.
    pub(crate) fn text(self, number: u16) -> Option<&'a str> {
        std::str::from_utf8(self.data(number)?).ok()
    }

    /// A vector of int32.
    pub(crate) fn ints(self, number: u16) -> Option<Vec<i32>> {
        let list = self.list(number, 4)?;
        (0..list.len)
            .map(|i| i32_at(self.bytes, list.at + 4 * i))
            .collect()
    }
}

impl<'a> List<'a> {
    /// The table at this position.
    pub(crate) fn table(self, i: usize) -> Option<Table<'a>> {
        let at = self.at.checked_add(i.checked_mul(4)?)?;
        let bytes = self.bytes;
        let table = at.checked_add(u32_at(bytes, at)?)?;
        (i < self.len).then_some(Table { bytes, at: table })
    }

    /// All tables.
    pub(crate) fn iter(self) -> impl Iterator<Item = Table<'a>> {
        (0..self.len).filter_map(move |i| self.table(i))
    }
}

/// Shape and kind of the tensor that is the model's only input or output (`direction`).
pub(crate) fn end(model: Table<'_>, direction: u16) -> Option<(Vec<i32>, i8)> {
    let subgraph = model.tables(field::model::SUBGRAPHS)?.table(0)?;
    let [index] = *subgraph.ints(direction)?.as_slice() else {
        return None;
    };
    let tensors = subgraph.tables(field::subgraph::TENSORS)?;
    let tensor = tensors.table(usize::try_from(index).ok()?)?;
    let kind = tensor.byte(field::tensor::KIND, 0)?;
    Some((tensor.ints(field::tensor::SHAPE)?, kind))
}

/// The bytes of a metadata entry.
pub(crate) fn metadata<'a>(model: Table<'a>, name: &str) -> Option<&'a [u8]> {
    let entries = model.tables(field::model::METADATA)?;
    let is_named = |e: &Table<'_>| e.text(field::metadata::NAME) == Some(name);
    let entry = entries.iter().find(is_named)?;
    let index = usize::try_from(entry.int(field::metadata::BUFFER, 0)?).ok()?;
    let buffers = model.tables(field::model::BUFFERS)?;
    buffers.table(index)?.data(field::buffer::DATA)
}

fn u16_at(bytes: &[u8], at: usize) -> Option<usize> {
    let b = bytes.get(at..at.checked_add(2)?)?;
    Some(usize::from(u16::from_le_bytes([b[0], b[1]])))
}

fn i32_at(bytes: &[u8], at: usize) -> Option<i32> {
    let b = bytes.get(at..at.checked_add(4)?)?;
    Some(i32::from_le_bytes([b[0], b[1], b[2], b[3]]))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<usize> {
    usize::try_from(i32_at(bytes, at)?).ok()
}
