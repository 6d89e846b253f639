//! Larger data that this repository doesn't hold: `MNAS_SHARED` names its folder.

use super::*;

fn shared(test: &str, name: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("MNAS_SHARED").map(PathBuf::from);
    let path = folder
        .map(|f| f.join("data").join(name))
        .filter(|p| p.exists());
    if path.is_none() {
        println!("skipped: {test}");
    }
    path
}

fn open_timed(path: &Path, image_size: Option<usize>) -> Data {
    let cache = tempfile::tempdir().unwrap();
    let options = OpenOptions {
        image_size,
        cache_dir: cache.path(),
        seed: 1,
        validation_fraction: Some(0.1),
        progress: &|_, _| (),
    };
    let started = std::time::Instant::now();
    let data = open(path.to_str().unwrap(), &options).unwrap();
    let decoded = started.elapsed().as_secs_f64();
    let images = data.train.len() + data.validation.len() + data.test.len();
    let started = std::time::Instant::now();
    open(path.to_str().unwrap(), &options).unwrap();
    println!(
        "{}: {images} images in {decoded:.2} s with {} threads, {:.0}/s; again in {:.3} s",
        path.display(),
        rayon::current_num_threads(),
        images as f64 / decoded,
        started.elapsed().as_secs_f64()
    );
    data
}

#[test]
fn cifar10_as_two_archives() {
    let Some(path) = shared("cifar10_as_two_archives", "cifar10") else {
        return;
    };
    let data = open_timed(&path, None);
    assert_eq!(data.meta.shape, Shape::new(32, 32, 3));
    assert_eq!(data.meta.classes.len(), 10);
    let sizes = [&data.train, &data.validation, &data.test].map(Split::len);
    assert_eq!(sizes, [45_000, 5_000, 10_000]);
    assert_eq!(data.meta.skipped, 0);
    // Published for CIFAR-10: 0.4914 0.4822 0.4465 and 0.2470 0.2435 0.2616.
    let n = &data.meta.normalize;
    for (got, published) in n.mean.iter().zip([0.4914, 0.4822, 0.4465]) {
        assert!((got - published).abs() < 0.005, "{n:?}");
    }
    for (got, published) in n.std.iter().zip([0.2470, 0.2435, 0.2616]) {
        assert!((got - published).abs() < 0.005, "{n:?}");
    }
}

#[test]
fn flowers_at_96_pixels() {
    let Some(path) = shared("flowers_at_96_pixels", "flowers/flowers.tar") else {
        return;
    };
    let data = open_timed(&path, Some(96));
    assert_eq!(data.train.shape(), Shape::new(96, 96, 3));
    assert_eq!(data.train.stored_shape(), Shape::new(110, 110, 3));
    let classes = ["daisy", "dandelion", "roses", "sunflowers", "tulips"];
    assert_eq!(data.meta.classes, classes);
    assert_eq!(data.test.len(), 550);
    assert_eq!(data.train.len() + data.validation.len(), 2_569);
    assert_eq!(data.meta.skipped, 0);
}
