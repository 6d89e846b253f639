use super::*;

const INPUT: Shape = Shape::new(32, 32, 3);
const NET: &str = "stem_k3_s2_c8; ds_r1_k3_s1_c8; ir_r2_k5_s2_e3_c16_se0.25; head_c24";

/// A file of these tensors, each value its own.
fn file(tensors: &[(String, Vec<usize>)]) -> Weights {
    let mut weights = Weights::default();
    for (i, (name, shape)) in tensors.iter().enumerate() {
        let n = shape.iter().product::<usize>();
        let data = (0..n).map(|j| 0.5 + i as f32 + j as f32 / 4096.0).collect();
        weights.tensors.insert(
            name.clone(),
            Tensor {
                shape: shape.clone(),
                data,
            },
        );
    }
    weights
}

fn read(file: &Weights, net: &str) -> Result<Imported, ImportError> {
    import(&file.to_safetensors(), &net.parse().unwrap(), INPUT)
}

/// A batch norm of `c` channels in a scope of TensorFlow.
fn norm(scope: &str, c: usize) -> Vec<(String, Vec<usize>)> {
    let variables = ["gamma", "beta", "moving_mean", "moving_variance"];
    variables.map(|v| (format!("{scope}/{v}"), vec![c])).into()
}

/// The network as the MnasNet reference code saves it. Its convolutions are Keras layers, which
/// count from the first block on, over all scopes.
fn reference_file() -> Weights {
    let root = "mnasnet-a1/mnas_net_model";
    let layer = |name: &str, shape: &[usize]| (format!("{root}/{name}"), shape.to_vec());
    let mut tensors = vec![
        layer("mnas_stem/conv2d_10/kernel", &[3, 3, 3, 8]),
        layer(
            "mnas_blocks_0/depthwise_conv2d/depthwise_kernel",
            &[3, 3, 8, 1],
        ),
        layer("mnas_blocks_0/conv2d/kernel", &[1, 1, 8, 8]),
        layer("mnas_blocks_1/conv2d_1/kernel", &[1, 1, 8, 24]),
        layer(
            "mnas_blocks_1/depthwise_conv2d_1/depthwise_kernel",
            &[5, 5, 24, 1],
        ),
        layer("mnas_blocks_1/se/conv2d_2/kernel", &[1, 1, 24, 2]),
        layer("mnas_blocks_1/se/conv2d_2/bias", &[2]),
        layer("mnas_blocks_1/se/conv2d_3/kernel", &[1, 1, 2, 24]),
        layer("mnas_blocks_1/se/conv2d_3/bias", &[24]),
        layer("mnas_blocks_1/conv2d_4/kernel", &[1, 1, 24, 16]),
        layer("mnas_blocks_2/conv2d_5/kernel", &[1, 1, 16, 48]),
        layer(
            "mnas_blocks_2/depthwise_conv2d_2/depthwise_kernel",
            &[5, 5, 48, 1],
        ),
        layer("mnas_blocks_2/se/conv2d_6/kernel", &[1, 1, 48, 4]),
        layer("mnas_blocks_2/se/conv2d_6/bias", &[4]),
        layer("mnas_blocks_2/se/conv2d_9/kernel", &[1, 1, 4, 48]),
        layer("mnas_blocks_2/se/conv2d_9/bias", &[48]),
        // As a number 10 comes after 9, not before.
        layer("mnas_blocks_2/conv2d_10/kernel", &[1, 1, 48, 16]),
        layer("mnas_head/conv2d_11/kernel", &[1, 1, 16, 24]),
        layer("mnas_head/dense/kernel", &[24, 7]),
        layer("mnas_head/dense/bias", &[7]),
    ];
    for (scope, widths) in [
        ("mnas_stem", &[8][..]),
        ("mnas_blocks_0", &[8, 8]),
        ("mnas_blocks_1", &[24, 24, 16]),
        ("mnas_blocks_2", &[48, 48, 16]),
        ("mnas_head", &[24]),
    ] {
        for (i, c) in widths.iter().enumerate() {
            let number = if i == 0 {
                String::new()
            } else {
                format!("_{i}")
            };
            tensors.extend(norm(
                &format!("{root}/{scope}/batch_normalization{number}"),
                *c,
            ));
        }
    }
    let mut weights = file(&tensors);
    weights.tensors.insert(
        "global_step".into(),
        Tensor {
            shape: vec![],
            data: vec![1.0],
        },
    );
    weights
}

/// Whether our tensor holds TensorFlow's `[h, w, in, out]`, value by value.
fn same_kernel(ours: &Tensor, theirs: &Tensor) -> bool {
    let [h, w, input, out] = theirs.shape[..] else {
        return false;
    };
    let at = |o: usize, y: usize, x: usize, i: usize| {
        ours.data[((o * h + y) * w + x) * input + i]
            == theirs.data[((y * w + x) * input + i) * out + o]
    };
    let all = |n: usize, f: &dyn Fn(usize) -> bool| (0..n).all(f);
    all(out, &|o| {
        all(h, &|y| all(w, &|x| all(input, &|i| at(o, y, x, i))))
    })
}

#[test]
fn the_reference_code_s_variables_become_ours() {
    let theirs = reference_file();
    let net = read(&theirs, NET).unwrap();
    assert_eq!((net.source, net.classes), (Source::TensorFlowMnasNet, 7));
    assert_eq!(
        net.spec,
        NET.parse::<NetSpec>().unwrap(),
        "TensorFlow's padding is ours"
    );
    let root = "mnasnet-a1/mnas_net_model";
    let get = |name: &str| &theirs.tensors[&format!("{root}/{name}")];
    for (ours, name) in [
        ("stem.conv", "mnas_stem/conv2d_10"),
        ("blocks.0.0.project.conv", "mnas_blocks_0/conv2d"),
        ("blocks.1.0.expand.conv", "mnas_blocks_1/conv2d_1"),
        ("blocks.1.0.se.reduce", "mnas_blocks_1/se/conv2d_2"),
        ("blocks.1.0.se.expand", "mnas_blocks_1/se/conv2d_3"),
        ("blocks.1.0.project.conv", "mnas_blocks_1/conv2d_4"),
        ("blocks.1.1.expand.conv", "mnas_blocks_2/conv2d_5"),
        ("blocks.1.1.se.expand", "mnas_blocks_2/se/conv2d_9"),
        ("blocks.1.1.project.conv", "mnas_blocks_2/conv2d_10"),
        ("head.conv", "mnas_head/conv2d_11"),
    ] {
        let (ours, theirs) = (
            net.weights.get(&format!("{ours}.weight")),
            get(&format!("{name}/kernel")),
        );
        assert!(same_kernel(ours, theirs), "{name}");
    }
    // Depthwise kernels are alike: `[h, w, c]`.
    let depthwise = get("mnas_blocks_1/depthwise_conv2d_1/depthwise_kernel");
    assert_eq!(
        net.weights.get("blocks.1.0.depthwise.conv.weight").data,
        depthwise.data
    );
    let (dense, ours) = (
        get("mnas_head/dense/kernel"),
        net.weights.get("classifier.weight"),
    );
    assert!((0..7).all(|o| (0..24).all(|i| ours.data[o * 24 + i] == dense.data[i * 7 + o])));
    // The same epsilon, so scales are taken as they are.
    for (ours, name) in [
        (
            "blocks.0.0.project.bn.weight",
            "mnas_blocks_0/batch_normalization_1/gamma",
        ),
        (
            "blocks.1.0.project.bn.running_var",
            "mnas_blocks_1/batch_normalization_2/moving_variance",
        ),
        (
            "blocks.1.1.expand.bn.bias",
            "mnas_blocks_2/batch_normalization/beta",
        ),
        (
            "head.bn.running_mean",
            "mnas_head/batch_normalization/moving_mean",
        ),
    ] {
        assert_eq!(net.weights.get(ours).data, get(name).data, "{name}");
    }
}

#[test]
fn averages_are_taken_where_a_file_has_them() {
    let mut theirs = reference_file();
    let name = "mnasnet-a1/mnas_net_model/mnas_head/dense/bias";
    let average = Tensor {
        shape: vec![7],
        data: vec![9.0; 7],
    };
    theirs
        .tensors
        .insert(format!("{name}{AVERAGE}"), average.clone());
    theirs
        .tensors
        .insert(format!("{name}/RMSProp"), average.clone());
    theirs.tensors.insert(format!("{name}/RMSProp_1"), average);
    assert_eq!(
        read(&theirs, NET)
            .unwrap()
            .weights
            .get("classifier.bias")
            .data,
        [9.0; 7]
    );
}

#[test]
fn slim_s_variables_become_ours() {
    let layer = |name: &str, shape: &[usize]| (format!("MobilenetV2/{name}"), shape.to_vec());
    let mut tensors = vec![
        layer("Conv/weights", &[3, 3, 3, 8]),
        layer("expanded_conv/depthwise/depthwise_weights", &[3, 3, 8, 1]),
        layer("expanded_conv/project/weights", &[1, 1, 8, 8]),
        layer("expanded_conv_1/expand/weights", &[1, 1, 8, 24]),
        layer(
            "expanded_conv_1/depthwise/depthwise_weights",
            &[3, 3, 24, 1],
        ),
        layer("expanded_conv_1/project/weights", &[1, 1, 24, 16]),
        layer("Conv_1/weights", &[1, 1, 16, 24]),
        layer("Logits/Conv2d_1c_1x1/weights", &[1, 1, 24, 5]),
        layer("Logits/Conv2d_1c_1x1/biases", &[5]),
    ];
    for (scope, c) in [
        ("Conv", 8),
        ("expanded_conv/depthwise", 8),
        ("expanded_conv/project", 8),
        ("expanded_conv_1/expand", 24),
        ("expanded_conv_1/depthwise", 24),
        ("expanded_conv_1/project", 16),
        ("Conv_1", 24),
    ] {
        tensors.extend(norm(&format!("MobilenetV2/{scope}/BatchNorm"), c));
    }
    let theirs = file(&tensors);
    let text = "stem_k3_s2_c8_actrelu6; ds_r1_k3_s1_c8_actrelu6; ir_r1_k3_s2_e3_c16_actrelu6; head_c24_actrelu6";
    let net = read(&theirs, text).unwrap();
    assert_eq!((net.source, net.classes), (Source::TensorFlowMobileNet, 5));
    let kernel = |name: &str| &theirs.tensors[&format!("MobilenetV2/{name}/weights")];
    for (ours, name) in [
        ("stem.conv", "Conv"),
        ("blocks.0.0.project.conv", "expanded_conv/project"),
        ("blocks.1.0.expand.conv", "expanded_conv_1/expand"),
        ("head.conv", "Conv_1"),
        ("classifier", "Logits/Conv2d_1c_1x1"),
    ] {
        let ours = net.weights.get(&format!("{ours}.weight"));
        assert!(same_kernel(ours, kernel(name)), "{name}");
    }
}

#[test]
fn a_file_that_doesn_t_fit_is_refused_by_its_first_tensor() {
    let check = |edit: fn(&mut BTreeMap<String, Tensor>), net: &str, message: &str| {
        let mut theirs = reference_file();
        edit(&mut theirs.tensors);
        assert_eq!(read(&theirs, net).unwrap_err().to_string(), message);
    };
    let root = "mnasnet-a1/mnas_net_model/mnas_blocks";
    check(
        |t| t.retain(|n, _| !n.contains("mnas_blocks_2/")),
        NET,
        "tensor mnas_blocks_2/conv2d/kernel [1, 1, 16, 48] is missing (blocks.1.1.expand.conv.weight of the network)",
    );
    check(
        |t| t.retain(|n, _| !n.contains("dense")),
        NET,
        "tensor mnas_head/dense/kernel [24, 1] is missing (classifier.weight of the network)",
    );
    check(
        |_| {},
        &NET.replace("_e3", "_e6"),
        &format!(
            "tensor {root}_1/conv2d_1/kernel is [1, 1, 8, 24]; the network needs [1, 1, 8, 48] (blocks.1.0.expand.conv.weight)"
        ),
    );
    check(
        |_| {},
        &NET.replace("_r2", "_r1"),
        &format!("tensor {root}_2/batch_normalization/beta belongs to no layer of the network"),
    );
    check(
        |_| {},
        &NET.replace("ds_", "sep_"),
        "block 0 is sep; networks of TensorFlow MnasNet are made of ds and ir blocks",
    );
    check(
        |t| {
            let theirs = std::mem::take(t);
            t.extend(
                theirs
                    .into_iter()
                    .enumerate()
                    .map(|(i, (_, tensor))| (format!("t{i}"), tensor)),
            );
        },
        NET,
        "the tensors have the names of no known source (timm, torchvision or TensorFlow MnasNet or MobileNetV2); the first is \"t0\"",
    );
    let junk = import(b"junk", &NET.parse().unwrap(), INPUT).unwrap_err();
    assert!(
        junk.to_string().starts_with("no valid safetensors file"),
        "{junk}"
    );
}
