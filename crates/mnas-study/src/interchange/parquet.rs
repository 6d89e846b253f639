//! Tables as Parquet: one row group, one page per column, every column optional, plain values in
//! gzip. Written here, since the format's library takes longer to build than all of this crate
//! and a table of a study needs a corner of it only (github.com/apache/parquet-format).

use std::io::{self, Write};

use flate2::Compression;
use flate2::write::GzEncoder;

use super::table::{Column, Table, Values};

const MAGIC: &[u8; 4] = b"PAR1";

/// Numbers of the format's enumerations (parquet.thrift).
const DATA_PAGE: i64 = 0;
const PLAIN: i64 = 0;
const RLE: i64 = 3;
const GZIP: i64 = 2;
const OPTIONAL: i64 = 1;

/// Where a column's page lies.
struct Chunk {
    offset: usize,
    /// Bytes of the page with its header, before compression and in the file.
    plain: usize,
    stored: usize,
}

/// The file's bytes.
///
/// # Errors
/// None that a memory buffer gives.
pub(super) fn parquet(table: &Table) -> io::Result<Vec<u8>> {
    let mut file = MAGIC.to_vec();
    let mut chunks = vec![];
    for column in table.columns() {
        let page = page(&column.values, table.rows());
        let mut encoder = GzEncoder::new(vec![], Compression::default());
        encoder.write_all(&page)?;
        let packed = encoder.finish()?;
        let header = page_header(page.len(), packed.len(), table.rows());
        chunks.push(Chunk {
            offset: file.len(),
            plain: header.len() + page.len(),
            stored: header.len() + packed.len(),
        });
        file.extend(header);
        file.extend(packed);
    }
    let footer = footer(table, &chunks);
    file.extend(&footer);
    file.extend((footer.len() as u32).to_le_bytes());
    file.extend(MAGIC);
    Ok(file)
}

/// A page: which rows have a value, then the values.
fn page(values: &Values, rows: usize) -> Vec<u8> {
    fn split<T>(values: &[Option<T>], plain: impl Fn(&T) -> Vec<u8>) -> (Vec<bool>, Vec<u8>) {
        let present = values.iter().map(Option::is_some).collect();
        (present, values.iter().flatten().flat_map(plain).collect())
    }
    let (present, plain) = match values {
        Values::Whole(v) => split(v, |n| n.to_le_bytes().to_vec()),
        Values::Real(v) => split(v, |n| n.to_le_bytes().to_vec()),
        Values::Time(v) => split(v, |n| n.to_le_bytes().to_vec()),
        Values::Text(v) => split(v, |t| {
            [&(t.len() as u32).to_le_bytes()[..], t.as_bytes()].concat()
        }),
        Values::Flag(v) => {
            let set: Vec<bool> = v.iter().flatten().copied().collect();
            let bit = |(i, set): (usize, &bool)| u8::from(*set) << i;
            let byte = |bits: &[bool]| bits.iter().enumerate().map(bit).sum::<u8>();
            let present = v.iter().map(Option::is_some).collect();
            (present, set.chunks(8).map(byte).collect())
        }
    };
    let levels = runs(&present);
    let mut page = Vec::with_capacity(rows + plain.len());
    page.extend((levels.len() as u32).to_le_bytes());
    page.extend(levels);
    page.extend(plain);
    page
}

/// Runs of equal levels: a length and the level.
fn runs(present: &[bool]) -> Vec<u8> {
    let mut out = vec![];
    for run in present.chunk_by(|a, b| a == b) {
        varint(&mut out, (run.len() as u64) << 1);
        out.push(u8::from(run[0]));
    }
    out
}

fn page_header(plain: usize, packed: usize, rows: usize) -> Vec<u8> {
    let mut page = Struct::default();
    page.int(1, rows as i64);
    page.int(2, PLAIN);
    page.int(3, RLE);
    page.int(4, RLE);
    let mut header = Struct::default();
    header.int(1, DATA_PAGE);
    header.int(2, plain as i64);
    header.int(3, packed as i64);
    header.nested(5, page);
    header.end()
}

fn footer(table: &Table, chunks: &[Chunk]) -> Vec<u8> {
    let mut root = Struct::default();
    root.text(4, "trials");
    root.int(5, table.columns().len() as i64);
    let fields = table.columns().iter().map(|column| {
        let (physical, converted) = kind(&column.values);
        let mut field = Struct::default();
        field.int(1, physical);
        field.int(3, OPTIONAL);
        field.text(4, &column.name);
        if let Some(converted) = converted {
            field.int(6, converted);
        }
        field
    });
    let schema: Vec<Struct> = [root].into_iter().chain(fields).collect();
    let columns = table.columns().iter().zip(chunks);
    let columns = columns.map(|(column, chunk)| column_chunk(column, chunk, table.rows()));
    let mut group = Struct::default();
    group.structs(1, columns.collect());
    group.long(2, chunks.iter().map(|c| c.plain).sum());
    group.long(3, table.rows());
    let mut file = Struct::default();
    file.int(1, 1);
    file.structs(2, schema);
    file.long(3, table.rows());
    file.structs(4, vec![group]);
    file.text(6, concat!("mnas ", env!("CARGO_PKG_VERSION")));
    file.end()
}

fn column_chunk(column: &Column, chunk: &Chunk, rows: usize) -> Struct {
    let mut meta = Struct::default();
    meta.int(1, kind(&column.values).0);
    meta.ints(2, &[PLAIN, RLE]);
    meta.texts(3, &[&column.name]);
    meta.int(4, GZIP);
    meta.long(5, rows);
    meta.long(6, chunk.plain);
    meta.long(7, chunk.stored);
    meta.long(9, chunk.offset);
    let mut place = Struct::default();
    place.long(2, chunk.offset);
    place.nested(3, meta);
    place
}

/// Physical and converted type: `UTF8` for texts, `TIMESTAMP_MILLIS` (in UTC) for moments.
fn kind(values: &Values) -> (i64, Option<i64>) {
    match values {
        Values::Flag(_) => (0, None),
        Values::Whole(_) => (2, None),
        Values::Time(_) => (2, Some(9)),
        Values::Real(_) => (5, None),
        Values::Text(_) => (6, Some(0)),
    }
}

/// A struct in Thrift's compact protocol: fields by rising id.
#[derive(Default)]
struct Struct {
    bytes: Vec<u8>,
    last: u8,
}

const I32: u8 = 5;
const I64: u8 = 6;
const BINARY: u8 = 8;
const LIST: u8 = 9;
const STRUCT: u8 = 12;

impl Struct {
    fn field(&mut self, id: u8, kind: u8) {
        // Ids rise by 15 at most, so that the short form does.
        self.bytes.push((id - self.last) << 4 | kind);
        self.last = id;
    }

    fn int(&mut self, id: u8, value: i64) {
        self.field(id, I32);
        zigzag(&mut self.bytes, value);
    }

    fn long(&mut self, id: u8, value: usize) {
        self.field(id, I64);
        zigzag(&mut self.bytes, value as i64);
    }

    fn text(&mut self, id: u8, text: &str) {
        self.field(id, BINARY);
        binary(&mut self.bytes, text);
    }

    fn nested(&mut self, id: u8, value: Struct) {
        self.field(id, STRUCT);
        self.bytes.extend(value.end());
    }

    fn list(&mut self, id: u8, kind: u8, length: usize) {
        self.field(id, LIST);
        match u8::try_from(length) {
            Ok(short @ 0..15) => self.bytes.push(short << 4 | kind),
            _ => {
                self.bytes.push(0xf0 | kind);
                varint(&mut self.bytes, length as u64);
            }
        }
    }

    fn ints(&mut self, id: u8, values: &[i64]) {
        self.list(id, I32, values.len());
        values.iter().for_each(|v| zigzag(&mut self.bytes, *v));
    }

    fn texts(&mut self, id: u8, values: &[&str]) {
        self.list(id, BINARY, values.len());
        values.iter().for_each(|v| binary(&mut self.bytes, v));
    }

    fn structs(&mut self, id: u8, values: Vec<Struct>) {
        self.list(id, STRUCT, values.len());
        self.bytes.extend(values.into_iter().flat_map(Struct::end));
    }

    fn end(mut self) -> Vec<u8> {
        self.bytes.push(0);
        self.bytes
    }
}

fn binary(out: &mut Vec<u8>, text: &str) {
    varint(out, text.len() as u64);
    out.extend(text.as_bytes());
}

fn zigzag(out: &mut Vec<u8>, value: i64) {
    varint(out, ((value << 1) ^ (value >> 63)) as u64);
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
