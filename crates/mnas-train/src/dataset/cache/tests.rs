use super::*;

#[test]
fn every_thread_has_an_image() {
    for (threads, bytes, expected) in [
        (1, 1 << 20, 2),
        (4, 1 << 20, 8),
        (4, 3 << 20, 4),
        (4, 100 << 20, 4),
        (1, 100 << 20, 1),
    ] {
        assert_eq!(chunk(threads, bytes), expected, "{threads} {bytes}");
    }
}

#[test]
fn any_cut_or_bend_of_the_end_is_no_cache_or_the_same_one() {
    let mut bytes = vec![];
    let mut writer = Writer::new(&mut bytes, 1);
    let shape = Shape::new(1, 2, 1);
    for (pixels, label, part) in [([1, 2], 0, Part::Train), ([3, 4], 1, Part::Test)] {
        let facts = Facts::of(&pixels, 1);
        writer.image(&pixels, &facts, label, part).unwrap();
    }
    let classes = ["a".to_string(), "b".to_string()];
    writer.finish(&classes, shape, shape, 5).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cache");
    let parse = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        Cache::read(&path).unwrap()
    };
    let cache = parse(&bytes).unwrap();
    assert_eq!(cache.parts, [Part::Train, Part::Test]);
    assert_eq!(cache.moments, [[3, 5], [7, 25]]);
    assert_eq!(cache.images.labels, [0, 1]);
    assert_eq!((cache.skipped, cache.classes), (5, classes.to_vec()));
    for n in 1..bytes.len() {
        assert!(parse(&bytes[..n]).is_none(), "cut to {n}");
    }
    for at in bytes.len() - 16..bytes.len() {
        let mut bent = bytes.clone();
        bent[at] ^= 0x80;
        assert!(parse(&bent).is_none(), "bent at {at}");
    }
}
