use std::collections::BTreeMap;
use std::io::Write;

use super::*;

mod broken;
mod raw_files;
mod shared;
mod trees;

/// A folder for a test's data and one for its cache.
struct Place {
    folder: tempfile::TempDir,
    cache: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let cache = tempfile::tempdir().unwrap();
        Self { folder, cache }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file, and its folders.
    fn write(&self, name: &str, bytes: &[u8]) {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn open_with(&self, name: &str, edit: impl Fn(&mut OpenOptions)) -> Result<Data, DataError> {
        let mut options = OpenOptions {
            image_size: None,
            cache_dir: self.cache.path(),
            seed: 1,
            validation_fraction: Some(0.25),
            progress: &|_, _| (),
        };
        edit(&mut options);
        open(self.path().join(name).to_str().unwrap(), &options)
    }

    fn open(&self, name: &str) -> Result<Data, DataError> {
        self.open_with(name, |_| ())
    }

    /// The message of the error, the folder's own path written as `DIR`.
    fn error(&self, name: &str) -> String {
        self.shorten(&self.open(name).unwrap_err())
    }

    fn shorten(&self, error: &DataError) -> String {
        let path = self.path().canonicalize().unwrap();
        error.to_string().replace(path.to_str().unwrap(), "DIR")
    }
}

/// A PNG of one colour.
fn png(width: usize, height: usize, colour: &[u8]) -> Vec<u8> {
    let mut bytes = vec![];
    let mut encoder = png::Encoder::new(&mut bytes, width as u32, height as u32);
    encoder.set_color(match colour.len() {
        1 => png::ColorType::Grayscale,
        _ => png::ColorType::Rgb,
    });
    let mut writer = encoder.write_header().unwrap();
    let pixels = colour.repeat(width * height);
    writer.write_image_data(&pixels).unwrap();
    writer.finish().unwrap();
    bytes
}

/// Images of each class in a split.
fn counts(split: &Split) -> BTreeMap<u16, usize> {
    let mut counts = BTreeMap::new();
    for i in 0..split.len() {
        *counts.entry(split.label(i)).or_default() += 1;
    }
    counts
}

fn positions(split: &Split) -> Vec<u32> {
    (0..split.len()).map(|i| split.position(i)).collect()
}

#[test]
fn the_built_in_set() {
    let cache = tempfile::tempdir().unwrap();
    let mut options = OpenOptions {
        image_size: None,
        cache_dir: cache.path(),
        seed: 1,
        validation_fraction: Some(0.1),
        progress: &|_, _| (),
    };
    let data = open("fashion-mnist-10k", &options).unwrap();
    assert_eq!(data.meta.shape, Shape::new(28, 28, 1));
    assert_eq!(data.meta.classes[9], "Ankle boot");
    assert_eq!(counts(&data.train), (0..10).map(|c| (c, 900)).collect());
    assert_eq!(
        counts(&data.validation),
        (0..10).map(|c| (c, 100)).collect()
    );
    assert_eq!(counts(&data.test), (0..10).map(|c| (c, 200)).collect());
    // Fashion-MNIST as a whole: 0.2860 and 0.3530.
    let n = &data.meta.normalize;
    assert!(
        (n.mean[0] - 0.286).abs() < 0.005 && (n.std[0] - 0.353).abs() < 0.005,
        "{n:?}"
    );
    let mut all = [&data.train, &data.validation, &data.test]
        .map(positions)
        .concat();
    all.sort_unstable();
    assert_eq!(all, (0..12_000).collect::<Vec<u32>>());
    // Validation follows the seed, the test images don't.
    options.seed = 2;
    let other = open("fashion-mnist-10k", &options).unwrap();
    assert_ne!(positions(&other.validation), positions(&data.validation));
    assert_eq!(positions(&other.test), positions(&data.test));
    assert_eq!(other.meta.fingerprint, data.meta.fingerprint);
    assert_eq!(fs::read_dir(cache.path()).unwrap().count(), 1);
    // Few images, so more of them choose.
    options.validation_fraction = None;
    let usual = open("fashion-mnist-10k", &options).unwrap();
    assert_eq!((usual.validation.len(), usual.train.len()), (3000, 7000));
    assert_eq!(usual.meta.validation_fraction, 0.3);
    assert_eq!(
        [60_000, 15_000, 500].map(validation_fraction),
        [0.1, 0.2, 0.3]
    );
}

#[test]
fn subsets_keep_the_classes_shares() {
    let shape = Shape::new(1, 1, 1);
    let labels: Vec<u16> = (0..100)
        .map(|i| if i < 60 { 0 } else { 1 + i as u16 % 2 })
        .collect();
    let split = Split::from_bytes(shape, (0..100).collect(), labels);
    for n in [1, 7, 10, 50, 99, 100, 1000] {
        let subset = split.subset(n, 3);
        assert_eq!(subset.len(), n.min(100));
        for (class, share) in [(0, 0.6), (1, 0.2), (2, 0.2)] {
            let count = counts(&subset).get(&class).copied().unwrap_or(0);
            let exact = share * n.min(100) as f64;
            assert!(
                (count as f64 - exact).abs() <= 1.0,
                "{count} of {n} in class {class}"
            );
        }
        let places = positions(&subset);
        assert!(places.is_sorted_by(|a, b| a < b));
        assert_eq!(places, positions(&split.subset(n, 3)));
        for (i, place) in places.iter().enumerate() {
            assert_eq!(subset.image(i)[0], *place as u8);
        }
    }
    assert_ne!(
        positions(&split.subset(50, 3)),
        positions(&split.subset(50, 4))
    );
}

#[test]
fn a_union_holds_each_image_of_both_once() {
    let shape = Shape::new(1, 1, 1);
    let all = Split::from_bytes(shape, (0..50).collect(), vec![0; 50]);
    let (first, second) = (all.subset(20, 1), all.subset(30, 2));
    let union = first.union(&second);
    let positions = |s: &Split| (0..s.len()).map(|i| s.position(i)).collect::<Vec<_>>();
    assert_eq!(
        positions(&union),
        [positions(&first), positions(&second)].concat()
    );
    assert_eq!(union.stored(21), second.stored(1));
}

#[test]
#[should_panic(expected = "splits of two data sets")]
fn splits_of_two_data_sets_have_no_union() {
    let set = || Split::from_bytes(Shape::new(1, 1, 1), vec![0], vec![0]);
    let _ = set().union(&set());
}

#[test]
fn normalisation_is_that_of_the_training_images() {
    let stored = Shape::new(1, 2, 2);
    let moments: Vec<[u64; 2]> = [[0u8, 10, 200, 10], [100, 10, 0, 10], [255, 255, 255, 255]]
        .iter()
        .flat_map(|image| {
            let sums = |c: usize| {
                let values = image.iter().skip(c).step_by(2).map(|v| u64::from(*v));
                [values.clone().sum(), values.map(|v| v * v).sum()]
            };
            [sums(0), sums(1)]
        })
        .collect();
    let n = normalize(&moments, stored, &[0, 1]);
    // 0, 200, 100, 0: mean 75, variance 6875. A constant channel gets one grey level.
    let close = |a: f32, b: f64| assert!((f64::from(a) * 255.0 - b).abs() < 1e-4, "{a} {b}");
    close(n.mean[0], 75.0);
    close(n.std[0], 6875f64.sqrt());
    close(n.mean[1], 10.0);
    close(n.std[1], 1.0);
}

#[test]
fn options_and_names_are_checked() {
    let place = Place::new();
    let error = |edit: fn(&mut OpenOptions)| place.open_with("x", edit).unwrap_err().to_string();
    assert_eq!(
        error(|o| o.validation_fraction = Some(0.0)),
        "validation fraction = 0: expected more than 0, at most 0.5"
    );
    assert_eq!(
        error(|o| o.image_size = Some(4)),
        "image size = 4: expected 8 to 1024 pixels"
    );
    let options = OpenOptions {
        image_size: None,
        cache_dir: place.cache.path(),
        seed: 0,
        validation_fraction: Some(0.1),
        progress: &|_, _| (),
    };
    let text = open("no-such-set", &options).unwrap_err().to_string();
    assert!(
        text.starts_with(
            "no data set \"no-such-set\": no such file or folder, and no such name in "
        ),
        "{text}"
    );
    assert!(
        text.ends_with(&format!("; expected {}", accepted())),
        "{text}"
    );
    place.write("notes.txt", b"hello");
    let text = place.error("notes.txt");
    assert_eq!(
        text,
        format!(
            "DIR/notes.txt: no data set is laid out like this; expected {}",
            accepted()
        )
    );
}
