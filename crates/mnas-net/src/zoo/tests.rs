use super::*;

#[test]
fn names_take_a_width_and_an_input_size() {
    let check = |text: &str, name: &str, width: f64, input: usize| {
        let found = find(text).unwrap();
        assert_eq!(
            (found.name.as_str(), found.width, found.input),
            (name, width, input)
        );
        assert_eq!(find(name).unwrap(), found, "{name} names the same network");
        let plain = find(found.entry.name).unwrap();
        assert_eq!(found.spec, plain.spec.scaled(width));
    };
    check("mnasnet-a1", "mnasnet-a1", 1.0, 224);
    check("mnasnet-a1-0.5x@160", "mnasnet-a1-0.5x@160", 0.5, 160);
    check("mnasnet-a1-1.0x@224", "mnasnet-a1", 1.0, 224);
    check("mobilenet-v2-1.40x", "mobilenet-v2-1.4x", 1.4, 224);
    check("mobilenet-v2-small", "mobilenet-v2-small", 1.0, 28);
    check(
        "mobilenet-v2-small-0.75x@32",
        "mobilenet-v2-small-0.75x@32",
        0.75,
        32,
    );
}

#[test]
fn wrong_names_are_refused() {
    let check = |name: &str, message: &str| {
        let error = find(name).unwrap_err().to_string();
        assert_eq!(error, message, "{name:?}");
    };
    for name in [
        "resnet50",
        "",
        "-",
        "@",
        "mnasnet",
        "mnasnet-a1x",
        "mnasnet-a1-0.5",
        "mnasnet-a1-2x-2x",
        "MNASNET-A1",
    ] {
        check(
            name,
            &format!(
                "no network is called {name:?}; known: mnasnet-a1, mnasnet-b1, mnasnet-small, mobilenet-v1, mobilenet-v2, nasnet-a-mobile, mnasnet-mbconv3-k3, mnasnet-mbconv3-k5, mnasnet-mbconv6-k3, mnasnet-mbconv6-k5, mnasnet-a1-small, mobilenet-v2-small, each also with a width and an input size, as mnasnet-a1-0.5x@160"
            ),
        );
    }
    for name in ["mnasnet-a2", "mnasnet-a3-0.5x@160"] {
        check(
            name,
            &format!(
                "only totals of {} were published, never its blocks; it can be compared with, but not built",
                &name[..10]
            ),
        );
    }
    for width in ["0", "-1", "1e3", "inf", "nan", "", "+1", "17", "."] {
        let name = format!("mnasnet-a1-{width}x");
        if width == "-1" {
            // The base is then "mnasnet-a1-", which nothing is called.
            assert!(matches!(find(&name), Err(ZooError::Unknown { .. })));
        } else {
            check(
                &name,
                &format!("width {width:?} must be a number from 0.01 to 16"),
            );
        }
    }
    for input in [
        "0",
        "",
        "-1",
        "+8",
        "1.5",
        "8193",
        "99999999999999999999999",
        "160@160",
    ] {
        check(
            &format!("mnasnet-a1@{input}"),
            &format!("input size {input:?} must be a whole number of pixels from 1 to 8192"),
        );
    }
}

#[test]
fn entries_are_well_formed() {
    for (i, e) in entries().iter().enumerate() {
        assert!(
            entries()[..i].iter().all(|o| o.name != e.name),
            "{} twice",
            e.name
        );
        if let Some(text) = e.text {
            // Written as printed, so a person sees what a study stores.
            assert_eq!(
                text.parse::<NetSpec>().unwrap().to_string(),
                text,
                "{}",
                e.name
            );
        }
        for p in e.published {
            let figures = [
                p.top1_percent,
                p.top5_percent,
                p.params_m,
                p.macs_m,
                p.pixel1_ms,
            ];
            assert!(
                figures.iter().any(Option::is_some),
                "{}: a row without figures",
                e.name
            );
            assert!(!p.source.is_empty(), "{}", e.name);
        }
    }
}

#[test]
fn our_counts_agree_with_the_published_ones() {
    // Tolerances: half a unit of the last digit that each source prints, and for multiply-adds the
    // differences of counting that the sources show among themselves (575 and 569 for MobileNetV1).
    let mut compared = 0;
    for e in entries().iter().filter(|e| e.text.is_some()) {
        for p in e.published.iter().filter(|p| p.confirmed) {
            let spec = find(e.name).unwrap().spec.scaled(p.width);
            let graph = spec
                .graph(crate::Shape::new(p.input, p.input, 3), 1000)
                .unwrap();
            let cost = crate::cost(&graph);
            let place = format!("{} {}x@{} of {}", e.name, p.width, p.input, p.source);
            if let Some(published) = p.params_m {
                let ours = cost.params as f64 / 1e6;
                assert!(
                    (ours - published).abs() < 0.0501,
                    "{place}: {ours} {published}"
                );
                compared += 1;
            }
            if let Some(published) = p.macs_m {
                let ours = cost.macs as f64 / 1e6;
                assert!(
                    (ours / published - 1.0).abs() < 0.035,
                    "{place}: {ours} {published}"
                );
                compared += 1;
            }
        }
    }
    assert!(compared > 60, "{compared}");
}
