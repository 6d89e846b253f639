//! Folders and archives.

use super::*;

/// Classes a, b, c by colour, `n` images each.
const COLOURS: [(&str, [u8; 3]); 3] = [("a", [200, 0, 0]), ("b", [0, 200, 0]), ("c", [0, 0, 200])];

/// The images of a split's folder, `prefix` being `""` or `train/` and so on.
fn files(prefix: &str, n: usize, side: usize) -> Vec<(String, Vec<u8>)> {
    let one = |i: usize, class: &str, colour: &[u8; 3]| {
        let mut colour = *colour;
        colour[0] += i as u8;
        (
            format!("{prefix}{class}/{i:03}.png"),
            png(side, side, &colour),
        )
    };
    let of = |(class, colour): &(&str, [u8; 3])| -> Vec<_> {
        (0..n).map(|i| one(i, class, colour)).collect()
    };
    COLOURS.iter().flat_map(of).collect()
}

fn write_all(place: &Place, folder: &str, files: &[(String, Vec<u8>)]) {
    for (name, bytes) in files {
        place.write(&format!("{folder}/{name}"), bytes);
    }
}

fn tar_of(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(vec![]);
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, &bytes[..]).unwrap();
    }
    builder.into_inner().unwrap()
}

/// Every image of every split has its class's colour.
fn check_colours(data: &Data) {
    for split in [&data.train, &data.validation, &data.test] {
        for i in 0..split.len() {
            let image = split.image(i);
            let label = usize::from(split.label(i));
            let strongest = (0..3).max_by_key(|c| image[*c]).unwrap();
            assert_eq!(strongest, label);
        }
    }
}

#[test]
fn a_folder_per_class() {
    let place = Place::new();
    write_all(&place, "set", &files("", 12, 10));
    place.write("set/README.txt", b"not an image");
    place.write("set/.hidden/x.png", b"not an image");
    place.write("set/a/.DS_Store", b"not an image");
    let data = place.open("set").unwrap();
    assert_eq!(data.meta.classes, ["a", "b", "c"]);
    assert_eq!(data.meta.name, "set");
    assert_eq!(data.meta.shape, Shape::new(10, 10, 3));
    // A fifth of 12 for testing, a quarter of the other 10 for validation.
    let each = |n: usize| BTreeMap::from([(0, n), (1, n), (2, n)]);
    assert_eq!(counts(&data.test), each(2));
    assert_eq!(counts(&data.validation), each(3));
    assert_eq!(counts(&data.train), each(7));
    check_colours(&data);
    let again = place.open("set").unwrap();
    assert_eq!(positions(&again.test), positions(&data.test));
    let other = place.open_with("set", |o| o.seed = 9).unwrap();
    assert_ne!(positions(&other.test), positions(&data.test));
}

#[test]
fn splits_that_the_source_brings_along() {
    let sizes = |folder: &str, place: &Place| {
        let data = place.open(folder).unwrap();
        check_colours(&data);
        [&data.train, &data.validation, &data.test].map(Split::len)
    };
    let place = Place::new();
    let (train, val, test) = (
        files("train/", 8, 9),
        files("val/", 3, 9),
        files("test/", 5, 9),
    );
    // With test: test tests, a quarter of train validates.
    write_all(&place, "with-test", &[train.clone(), test.clone()].concat());
    assert_eq!(sizes("with-test", &place), [18, 6, 15]);
    // With val alone: val tests.
    write_all(&place, "with-val", &[train.clone(), val.clone()].concat());
    assert_eq!(sizes("with-val", &place), [18, 6, 9]);
    // With both: each is what it says.
    write_all(&place, "with-both", &[train.clone(), val, test].concat());
    assert_eq!(sizes("with-both", &place), [24, 9, 15]);
    // With train alone: both are cut.
    write_all(&place, "alone", &train);
    assert_eq!(sizes("alone", &place), [12, 6, 6]);
}

#[test]
fn archives_are_like_their_folders() {
    let place = Place::new();
    let tree = [files("train/", 8, 9), files("test/", 5, 9)].concat();
    write_all(&place, "set", &tree);
    let folder = place.open("set").unwrap();
    place.write("set.tar", &tar_of(&tree));
    // The same below a top folder, with the leading "./" that `tar .` writes.
    let beneath: Vec<_> = tree
        .iter()
        .map(|(n, b)| (format!("./top/{n}"), b.clone()))
        .collect();
    place.write("top.tar", &tar_of(&beneath));
    // An archive per split, with and without the split's folder inside.
    place.write("pair/train.tar", &tar_of(&files("train/", 8, 9)));
    place.write("pair/test.tar", &tar_of(&files("", 5, 9)));
    // A folder with nothing but one archive and a text.
    place.write("lone/set.tar", &tar_of(&tree));
    place.write("lone/README.txt", b"about");
    for name in ["set.tar", "top.tar", "pair", "lone"] {
        let data = place.open(name).unwrap();
        assert_eq!(data.meta.fingerprint, folder.meta.fingerprint, "{name}");
        assert_eq!(
            positions(&data.validation),
            positions(&folder.validation),
            "{name}"
        );
        check_colours(&data);
    }
    assert_eq!(place.open("set.tar").unwrap().meta.name, "set");
}

#[test]
fn names_in_archives_reach_nowhere() {
    let place = Place::new();
    let mut bytes = tar_of(&files("", 6, 9));
    // Rewrites the first entry's name to climb out; the checksum follows.
    let name = b"../../a/000.png";
    bytes[..name.len()].copy_from_slice(name);
    bytes[name.len()..100].fill(0);
    bytes[148..156].fill(b' ');
    let sum: u32 = bytes[..512].iter().map(|b| u32::from(*b)).sum();
    bytes[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    place.write("set.tar", &bytes);
    let data = place.open("set.tar").unwrap();
    assert_eq!(data.meta.classes, ["a", "b", "c"]);
    let left: Vec<_> = fs::read_dir(place.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "nothing is unpacked");
}

#[test]
fn sizes_seen_and_kept() {
    let place = Place::new();
    write_all(&place, "same", &files("", 6, 40));
    let shapes = |folder: &str, size| {
        let data = place.open_with(folder, |o| o.image_size = size).unwrap();
        check_colours(&data);
        let (seen, kept) = (data.train.shape(), data.train.stored_shape());
        assert_eq!(data.meta.shape, seen);
        assert_eq!(data.train.image(0).len(), seen.len());
        (seen, kept)
    };
    let square = |side| Shape::new(side, side, 3);
    assert_eq!(shapes("same", None), (square(40), square(40)));
    assert_eq!(shapes("same", Some(40)), (square(40), square(40)));
    assert_eq!(shapes("same", Some(64)), (square(64), square(64)));
    assert_eq!(shapes("same", Some(28)), (square(28), square(32)));
    write_all(&place, "mixed", &files("", 6, 40));
    place.write("mixed/a/wide.png", &png(90, 41, &[200, 0, 0]));
    assert_eq!(shapes("mixed", None), (square(224), square(256)));
    assert_eq!(shapes("mixed", Some(28)), (square(28), square(32)));
    write_all(&place, "large", &files("", 6, 300));
    assert_eq!(shapes("large", None), (square(224), square(256)));
}

#[test]
fn gray_sets_have_one_channel_unless_an_image_has_colour() {
    let place = Place::new();
    for (class, level) in [("dark", 10), ("light", 240)] {
        for i in 0..6 {
            place.write(&format!("set/{class}/{i}.png"), &png(9, 9, &[level]));
        }
    }
    assert_eq!(place.open("set").unwrap().meta.shape, Shape::new(9, 9, 1));
    place.write("set/dark/colour.png", &png(9, 9, &[10, 0, 0]));
    assert_eq!(place.open("set").unwrap().meta.shape, Shape::new(9, 9, 3));
}

#[test]
fn prediction_sees_images_as_training_does() {
    let place = Place::new();
    // Stripes, so that crops and scales show.
    let mut stripes = vec![];
    let mut encoder = png::Encoder::new(&mut stripes, 48, 36);
    encoder.set_color(png::ColorType::Rgb);
    let mut writer = encoder.write_header().unwrap();
    let pixels: Vec<u8> = (0..48 * 36 * 3).map(|i| (i * 7 % 256) as u8).collect();
    writer.write_image_data(&pixels).unwrap();
    writer.finish().unwrap();
    for class in ["a", "b"] {
        for i in 0..4 {
            place.write(&format!("set/{class}/{i}.png"), &stripes);
        }
    }
    let file = place.path().join("set/a/0.png");
    for size in [None, Some(20), Some(64)] {
        let data = place.open_with("set", |o| o.image_size = size).unwrap();
        let seen = load_image(&file, data.meta.shape).unwrap();
        assert!(seen[..] == data.train.image(0)[..], "at {size:?}");
    }
    let gray = load_image(&file, Shape::new(16, 16, 1)).unwrap();
    assert_eq!(gray.len(), 256);
    let error = load_image(&place.path().join("absent.png"), Shape::new(8, 8, 3)).unwrap_err();
    assert!(
        error.to_string().contains("absent.png: can't read: "),
        "{error}"
    );
}

#[test]
fn the_cache_is_used_again_and_follows_changes() {
    let place = Place::new();
    write_all(&place, "set", &files("", 6, 10));
    let decoded = std::cell::Cell::new(0);
    let count = |done, all| {
        assert!(done <= all);
        decoded.set(done);
    };
    let open = || {
        decoded.set(0);
        let options = OpenOptions {
            image_size: None,
            cache_dir: place.cache.path(),
            seed: 1,
            validation_fraction: Some(0.25),
            progress: &count,
        };
        let data = super::open(place.path().join("set").to_str().unwrap(), &options).unwrap();
        (data.meta.fingerprint, decoded.get())
    };
    let (first, n) = open();
    assert_eq!(n, 18);
    assert_eq!(open(), (first.clone(), 0));
    // Another image under the same name and length, another time.
    let bytes = png(10, 10, &[9, 9, 9]);
    place.write("set/a/000.png", &bytes);
    let (second, n) = open();
    assert_eq!(n, 18);
    assert_ne!(second, first);
    // A cache that was cut short is made again.
    let caches = || -> Vec<PathBuf> {
        let entries = fs::read_dir(place.cache.path()).unwrap();
        entries.map(|e| e.unwrap().path()).collect()
    };
    for cache in caches() {
        let whole = fs::read(&cache).unwrap();
        fs::write(&cache, &whole[..whole.len() - 5]).unwrap();
    }
    assert_eq!(open(), (second, 18));
    assert_eq!(caches().len(), 2, "no temporary files stay");
}
