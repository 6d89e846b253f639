use super::*;
use crate::graph::shape::Padding;

fn builder() -> GraphBuilder {
    GraphBuilder::new(Shape::new(7, 7, 3)).unwrap()
}

#[test]
fn same_padding_is_tensorflow_s() {
    for (input, kernel, stride, expected) in [
        (
            224,
            3,
            2,
            Padding {
                output: 112,
                before: 0,
                after: 1,
            },
        ),
        (
            7,
            3,
            2,
            Padding {
                output: 4,
                before: 1,
                after: 1,
            },
        ),
        (
            28,
            5,
            1,
            Padding {
                output: 28,
                before: 2,
                after: 2,
            },
        ),
        (
            14,
            5,
            2,
            Padding {
                output: 7,
                before: 1,
                after: 2,
            },
        ),
        (
            1,
            5,
            2,
            Padding {
                output: 1,
                before: 2,
                after: 2,
            },
        ),
        (
            4,
            1,
            2,
            Padding {
                output: 2,
                before: 0,
                after: 0,
            },
        ),
    ] {
        assert_eq!(
            same_padding(input, kernel, stride),
            expected,
            "{input} k{kernel} s{stride}"
        );
    }
}

#[test]
fn shapes_are_inferred() {
    let mut b = builder();
    let conv = Op::Conv {
        kernel: 3,
        stride: 2,
        filters: 8,
        bias: false,
    };
    let c = b.add("c", conv, &[b.input()]).unwrap();
    let p = b.add("p", Op::GlobalAvgPool, &[c]).unwrap();
    let m = b.add("m", Op::Mul, &[c, p]).unwrap();
    let k = b.add("k", Op::Concat, &[c, m]).unwrap();
    let g = b.add("g", Op::GlobalAvgPool, &[k]).unwrap();
    let l = b.add("l", Op::Linear { features: 10 }, &[g]).unwrap();
    assert_eq!(b.shape(k), Shape::new(4, 4, 16));
    let graph = b.finish(l);
    assert_eq!(graph.output_shape(), Shape::new(1, 1, 10));
    assert_eq!(
        graph.params().iter().map(|p| p.len()).sum::<usize>(),
        8 * 27 + 16 * 10 + 10
    );
}

#[test]
fn wrong_nodes_are_refused_by_name() {
    let check = |op: Op, n: usize, message: &str| {
        let mut b = builder();
        let inputs = vec![b.input(); n];
        assert_eq!(b.add("bad", op, &inputs).unwrap_err().to_string(), message);
    };
    check(Op::Add, 1, "bad: add takes 2 input(s), not 1");
    check(
        Op::Linear { features: 2 },
        1,
        "bad: linear needs a 1x1 input, not 7x7x3; pool first",
    );
    check(
        Op::AvgPool {
            kernel: 2,
            stride: 1,
        },
        1,
        "bad: kernel 2 is even; odd kernels only",
    );
    check(
        Op::MaxPool {
            kernel: 3,
            stride: 0,
        },
        1,
        "bad: stride must be at least 1",
    );
    check(Op::Mul, 2, "bad: mul can't join 7x7x3 and 7x7x3");
    check(Op::Input, 0, "bad: input takes no input(s), not 0");
    let mut b = builder();
    assert!(matches!(
        b.add("input", Op::GlobalAvgPool, &[b.input()]),
        Err(GraphError::DuplicateName { .. })
    ));
}
