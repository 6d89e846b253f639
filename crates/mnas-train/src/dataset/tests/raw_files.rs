//! IDX files and CIFAR-10 binaries.

use super::*;

fn idx(sizes: &[usize], bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![0, 0, 8, sizes.len() as u8];
    sizes
        .iter()
        .for_each(|s| out.extend((*s as u32).to_be_bytes()));
    out.extend_from_slice(bytes);
    out
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(vec![], flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// `n` images of 3 x 2 pixels, image `i` all of byte `10 * (i % classes)`, labelled `i % classes`.
fn digits(n: usize, classes: usize) -> (Vec<u8>, Vec<u8>) {
    let pixels: Vec<u8> = (0..n * 6).map(|i| 10 * (i / 6 % classes) as u8).collect();
    let labels: Vec<u8> = (0..n).map(|i| (i % classes) as u8).collect();
    (idx(&[n, 3, 2], &pixels), idx(&[n], &labels))
}

fn write_digits(place: &Place, folder: &str, classes: usize) {
    let ((images, labels), (test_images, test_labels)) =
        (digits(10 * classes, classes), digits(3 * classes, classes));
    place.write(&format!("{folder}/train-images-idx3-ubyte"), &images);
    place.write(&format!("{folder}/train-labels-idx1-ubyte"), &labels);
    place.write(
        &format!("{folder}/t10k-images-idx3-ubyte.gz"),
        &gzip(&test_images),
    );
    place.write(
        &format!("{folder}/t10k-labels-idx1-ubyte.gz"),
        &gzip(&test_labels),
    );
}

fn check_digits(data: &Data) {
    assert_eq!(data.meta.shape, Shape::new(3, 2, 1));
    for split in [&data.train, &data.validation, &data.test] {
        for i in 0..split.len() {
            assert_eq!(split.image(i)[..], [10 * split.label(i) as u8; 6]);
        }
    }
}

#[test]
fn idx_files_gzipped_or_not() {
    let place = Place::new();
    write_digits(&place, "digits", 3);
    let data = place.open("digits").unwrap();
    assert_eq!(data.meta.classes, ["0", "1", "2"]);
    // A quarter of 10 is 2.5, rounded away from zero.
    assert_eq!(
        [&data.train, &data.validation, &data.test].map(Split::len),
        [21, 9, 9]
    );
    check_digits(&data);
    // A folder named after the fashion set has its names.
    write_digits(&place, "FashionMNIST/raw", 10);
    let data = place.open("FashionMNIST").unwrap();
    assert_eq!(data.meta.classes[..2], ["T-shirt/top", "Trouser"]);
}

#[test]
fn idx_faults_name_the_file() {
    let check = |file: &str, bytes: &[u8], expected: &str| {
        let place = Place::new();
        write_digits(&place, "d", 3);
        place.write(&format!("d/{file}"), bytes);
        assert_eq!(place.error("d"), format!("DIR/d/{expected}"));
    };
    check(
        "train-images-idx3-ubyte",
        b"\x1f\x8b\x08\x00 compressed",
        "train-images-idx3-ubyte: no IDX file of bytes with 3 dimension(s): it starts with [1f, 8b, 08, 00]; get the file again",
    );
    check(
        "train-images-idx3-ubyte",
        &idx(&[30, 0, 2], &[]),
        "train-images-idx3-ubyte: images of 0x2x1 have no pixels; get the file again",
    );
    let (images, labels) = digits(30, 3);
    check(
        "train-images-idx3-ubyte",
        &images[..images.len() - 7],
        "train-images-idx3-ubyte: 173 bytes where 180 are expected; get the file again",
    );
    check(
        "train-labels-idx1-ubyte",
        &idx(&[3], &[0, 1, 2]),
        "train-labels-idx1-ubyte: 3 labels for 30 images; get the file again",
    );
    check(
        "t10k-labels-idx1-ubyte.gz",
        &gzip(&idx(&[9], &[0, 1, 2, 0, 1, 2, 0, 1, 7])),
        "t10k-labels-idx1-ubyte.gz: image 8 has label 7; there are 3 classes; get the file again",
    );
    check(
        "t10k-images-idx3-ubyte.gz",
        &gzip(&idx(&[9, 2, 3], &[0; 54])),
        "t10k-images-idx3-ubyte.gz: images of 2x3x1; the training images are 3x2x1; get the file again",
    );
    let place = Place::new();
    write_digits(&place, "d", 3);
    place.write("d/t10k-labels-idx1-ubyte.gz", &gzip(&labels)[..20]);
    let text = place.error("d");
    assert!(
        text.starts_with("DIR/d/t10k-labels-idx1-ubyte.gz: can't read: "),
        "{text}"
    );
    let place = Place::new();
    write_digits(&place, "d", 3);
    fs::remove_file(place.path().join("d/train-labels-idx1-ubyte")).unwrap();
    assert_eq!(
        place.error("d"),
        "DIR/d/train-labels-idx1-ubyte: this file, or the same with .gz, belongs to the data set and is missing"
    );
}

#[test]
fn cifar_binaries() {
    let place = Place::new();
    // Record `i`: class `i % 10`, red 1, green 2, blue the class.
    let records = |n: usize| -> Vec<u8> {
        let record = |i: usize| {
            let class = (i % 10) as u8;
            let plane = |v: u8| vec![v; 1024];
            [vec![class], plane(1), plane(2), plane(class)].concat()
        };
        (0..n).flat_map(record).collect()
    };
    place.write("c/cifar-10-batches-bin/data_batch_1.bin", &records(40));
    place.write("c/cifar-10-batches-bin/data_batch_2.bin", &records(20));
    place.write("c/cifar-10-batches-bin/test_batch.bin", &records(10));
    let data = place.open("c").unwrap();
    assert_eq!(data.meta.shape, Shape::new(32, 32, 3));
    assert_eq!(data.meta.classes[6], "frog");
    // A quarter of 6, rounded.
    assert_eq!(
        [&data.train, &data.validation, &data.test].map(Split::len),
        [40, 20, 10]
    );
    for i in 0..data.train.len() {
        let class = data.train.label(i) as u8;
        assert!(
            data.train
                .image(i)
                .chunks_exact(3)
                .all(|p| p == [1, 2, class])
        );
    }
    place.write("c/cifar-10-batches-bin/test_batch.bin", &records(10)[1..]);
    assert_eq!(
        place.error("c"),
        "DIR/c/cifar-10-batches-bin/test_batch.bin: 30729 bytes where 30730 are expected; get the file again"
    );
}
