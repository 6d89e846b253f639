//! Data that can't be used: every message names the path and what to do.

use super::*;

fn fixture(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    fs::read(folder.join(name)).unwrap()
}

#[test]
fn trees_without_what_is_needed() {
    let check = |files: &[&str], folders: &[&str], expected: &str| {
        let place = Place::new();
        fs::create_dir(place.path().join("set")).unwrap();
        for file in files {
            place.write(&format!("set/{file}"), &png(8, 8, &[1, 2, 3]));
        }
        for folder in folders {
            fs::create_dir_all(place.path().join("set").join(folder)).unwrap();
        }
        assert_eq!(place.error("set"), format!("DIR/set: {expected}"));
    };
    let none = "no images found; put JPEG or PNG files into a folder per class, or into train/CLASS/ and test/CLASS/";
    check(&[], &[], none);
    check(&[], &["a", "b"], none);
    check(&["1.png", "2.png"], &[], none);
    check(
        &["a/1.png", "b/1.png"],
        &["c"],
        "the class folder c holds no JPEG or PNG images; add some or remove the folder",
    );
    check(
        &["a/1.png", "b/1.gif"],
        &[],
        "the class folder b holds no JPEG or PNG images; add some or remove the folder",
    );
    check(
        &["train/a/1.png", "train/b/1.png", "test/a/1.png"],
        &["test/b"],
        "the class folder test/b holds no JPEG or PNG images; add some or remove the folder",
    );
    check(
        &["only/1.png", "only/2.png"],
        &[],
        "only one class (only); a classifier needs at least two, each in its own folder",
    );
    check(
        &["train/a/1.png", "train/b/1.png", "test/a/1.png"],
        &[],
        "test has no images of class b; every class needs some in every split",
    );
    check(
        &[
            "train/a/1.png",
            "train/b/1.png",
            "test/a/1.png",
            "test/b/1.png",
            "test/x/1.png",
        ],
        &[],
        "train has no images of class x; every class needs some in every split",
    );
    check(
        &["a/1.png", "a/2.png", "a/3.png", "b/1.png", "b/2.png"],
        &[],
        "class b has 2 training image(s); at least 3 are needed to cut the splits",
    );
}

/// 100 good images of each of two classes.
fn two_hundred(place: &Place) {
    for class in ["a", "b"] {
        for i in 0..100 {
            place.write(&format!("set/{class}/{i:03}.png"), &png(8, 8, &[i, 2, 3]));
        }
    }
}

#[test]
fn one_broken_image_in_a_hundred_is_left_out() {
    let place = Place::new();
    two_hundred(&place);
    // One can't be told from its head, the other can.
    place.write("set/a/007.png", &fixture("truncated.jpg"));
    place.write("set/b/099.png", b"");
    let data = place.open("set").unwrap();
    assert_eq!(data.meta.skipped, 2);
    let splits = [&data.train, &data.validation, &data.test];
    assert_eq!(splits.map(Split::len).iter().sum::<usize>(), 198);
    let ends: Vec<u8> = splits
        .iter()
        .flat_map(|s| (0..s.len()).map(|i| s.image(i)[0]))
        .collect();
    assert_eq!(ends.iter().filter(|v| **v == 7).count(), 1);
    // Whoever finds the cache is told as well.
    assert_eq!(place.open("set").unwrap().meta.skipped, 2);
}

#[test]
fn more_broken_images_are_an_error() {
    let place = Place::new();
    two_hundred(&place);
    for name in ["a/007.png", "b/000.png", "b/099.png"] {
        place.write(&format!("set/{name}"), b"GIF89a....");
    }
    assert_eq!(
        place.error("set"),
        "DIR/set: 3 of 200 images can't be read, more than 1 %; repair or remove them. The first: a/007.png: is neither JPEG nor PNG"
    );
    assert_eq!(fs::read_dir(place.cache.path()).unwrap().count(), 0);
}

#[test]
fn a_class_that_loses_its_only_image() {
    let place = Place::new();
    for i in 0..100 {
        place.write(&format!("set/train/a/{i}.png"), &png(8, 8, &[1, 2, 3]));
        place.write(&format!("set/train/b/{i}.png"), &png(8, 8, &[1, 2, 3]));
    }
    place.write("set/test/a/1.png", &png(8, 8, &[1, 2, 3]));
    place.write("set/test/b/1.png", b"");
    assert_eq!(
        place.error("set"),
        "DIR/set: test has no images of class b; every class needs some in every split"
    );
}

#[test]
fn archives_that_end_early() {
    let place = Place::new();
    let mut builder = tar::Builder::new(vec![]);
    let bytes = png(64, 64, &[1, 2, 3]).repeat(20);
    for name in ["a/1.png", "b/1.png"] {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        builder.append_data(&mut header, name, &bytes[..]).unwrap();
    }
    let whole = builder.into_inner().unwrap();
    place.write("cut.tar", &whole[..512 + bytes.len() / 2]);
    let text = place.error("cut.tar");
    assert!(
        text.starts_with("DIR/cut.tar: no valid tar archive ("),
        "{text}"
    );
    assert!(text.ends_with("); get or make it again"), "{text}");
    place.write("text.tar", &b"no archive at all ".repeat(100));
    let text = place.error("text.tar");
    assert!(
        text.starts_with("DIR/text.tar: no valid tar archive ("),
        "{text}"
    );
    place.write("empty.tar", b"");
    let text = place.error("empty.tar");
    assert!(text.starts_with("DIR/empty.tar: "), "{text}");
}

#[test]
fn a_cache_that_can_t_be_written() {
    let place = Place::new();
    two_hundred(&place);
    place.write("file", b"");
    let nowhere = place.path().join("file").join("cache");
    let error = open(
        place.path().join("set").to_str().unwrap(),
        &OpenOptions {
            image_size: None,
            cache_dir: &nowhere,
            seed: 1,
            validation_fraction: Some(0.1),
            progress: &|_, _| (),
        },
    )
    .unwrap_err();
    // A file stands where a folder should be: some systems refuse to look, others to make it.
    let text = error.to_string();
    assert!(text.starts_with(&nowhere.display().to_string()), "{text}");
    assert!(text.contains(": can't "), "{text}");
}

#[test]
fn a_full_disk_is_told_from_other_faults() {
    let error = DataError::DiskFull {
        path: "cache".into(),
        bytes: 1_500_000,
    };
    assert_eq!(
        error.to_string(),
        "cache: the disk is full; decoded images need 2 MB there: free some space or choose another cache folder"
    );
}
