//! One event file: records of a length and a message, each with a checksum (TFRecord), of which the
//! messages are `tensorflow.Event` (tensorflow/core/util/event.proto).

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use prost::Message;

#[derive(Clone, PartialEq, Message)]
pub(super) struct Event {
    /// Seconds since 1970.
    #[prost(double, tag = "1")]
    pub(super) wall_time: f64,
    #[prost(int64, tag = "2")]
    pub(super) step: i64,
    #[prost(string, optional, tag = "3")]
    pub(super) file_version: Option<String>,
    #[prost(message, optional, tag = "5")]
    pub(super) summary: Option<Summary>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Summary {
    #[prost(message, repeated, tag = "1")]
    pub(super) value: Vec<Value>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Value {
    #[prost(string, tag = "1")]
    pub(super) tag: String,
    /// One of several kinds of value, so that zero is written too.
    #[prost(float, optional, tag = "2")]
    pub(super) simple_value: Option<f32>,
}

/// A step and its values by tag; those absent or not finite are left out.
pub(super) type Step = (i64, Vec<(&'static str, Option<f64>)>);

/// A file to append to. Steps of a tag only go up: TensorBoard takes a step that goes down for a
/// restart and forgets what came after it.
#[derive(Debug)]
pub(super) struct EventFile {
    file: File,
    /// The last step of each tag.
    last: BTreeMap<String, i64>,
}

impl EventFile {
    /// Opens or makes the file. A record that was cut off at its end is dropped.
    pub(super) fn open(path: &Path, time_ms: u64) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        let mut bytes = vec![];
        file.read_to_end(&mut bytes)?;
        let (events, whole) = read(&bytes);
        file.set_len(whole as u64)?;
        file.seek(SeekFrom::End(0))?;
        if events.is_empty() {
            let version = Event {
                wall_time: time_ms as f64 / 1e3,
                file_version: Some("brain.Event:2".into()),
                ..Event::default()
            };
            file.write_all(&record(&version))?;
        }
        let mut last = BTreeMap::new();
        for event in events {
            let values = event.summary.map(|s| s.value).unwrap_or_default();
            last.extend(values.into_iter().map(|v| (v.tag, event.step)));
        }
        Ok(Self { file, last })
    }

    /// Appends steps, in order; values at or before the last step of their tag are there already.
    pub(super) fn append(&mut self, time_ms: u64, steps: &[Step]) -> io::Result<()> {
        let mut bytes = vec![];
        for (step, values) in steps {
            let last = &self.last;
            let new = values.iter().filter_map(|(tag, value)| {
                let value = value.filter(|v| v.is_finite())?;
                let known = last.get(*tag).is_some_and(|l| step <= l);
                (!known).then(|| Value {
                    tag: (*tag).into(),
                    simple_value: Some(value as f32),
                })
            });
            let value: Vec<Value> = new.collect();
            if value.is_empty() {
                continue;
            }
            self.last
                .extend(value.iter().map(|v| (v.tag.clone(), *step)));
            bytes.extend(record(&Event {
                wall_time: time_ms as f64 / 1e3,
                step: *step,
                file_version: None,
                summary: Some(Summary { value }),
            }));
        }
        self.file.write_all(&bytes)
    }
}

/// Whole records from the start on, and where they end.
pub(super) fn read(bytes: &[u8]) -> (Vec<Event>, usize) {
    let (mut events, mut at) = (vec![], 0);
    while let Some((event, length)) = first(&bytes[at..]) {
        events.push(event);
        at += length;
    }
    (events, at)
}

fn first(bytes: &[u8]) -> Option<(Event, usize)> {
    let (head, rest) = bytes.split_at_checked(8)?;
    let (head_sum, rest) = rest.split_at_checked(4)?;
    let length = usize::try_from(u64::from_le_bytes(head.try_into().ok()?)).ok()?;
    let (body, rest) = rest.split_at_checked(length)?;
    let (body_sum, _) = rest.split_at_checked(4)?;
    let sound = head_sum == checksum(head) && body_sum == checksum(body);
    let event = Event::decode(body).ok().filter(|_| sound)?;
    Some((event, 16 + length))
}

fn record(event: &Event) -> Vec<u8> {
    let body = event.encode_to_vec();
    let head = (body.len() as u64).to_le_bytes();
    [&head[..], &checksum(&head), &body, &checksum(&body)].concat()
}

/// TFRecord's masked CRC-32C (tensorflow/core/lib/hash/crc32c.h).
fn checksum(bytes: &[u8]) -> [u8; 4] {
    static CRC: crc::Crc<u32> = crc::Crc::<u32>::new(&crc::CRC_32_ISCSI);
    let sum = CRC.checksum(bytes);
    sum.rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
}
