//! Kernels in ONNX's order, channels first.

/// ONNX extents of a kernel of these extents, and for each of its values the position in ours.
pub(super) type Order = fn(&[usize]) -> (Vec<usize>, Vec<usize>);

/// `[out, kh, kw, in]` as ONNX's `[out, in, kh, kw]`.
pub(super) fn conv_kernel(shape: &[usize]) -> (Vec<usize>, Vec<usize>) {
    let [out, kh, kw, input] = extents(shape);
    let positions = (0..out)
        .flat_map(|o| (0..input).map(move |i| (o, i)))
        .flat_map(|(o, i)| (0..kh * kw).map(move |p| (o * kh * kw + p) * input + i));
    (vec![out, input, kh, kw], positions.collect())
}

/// `[kh, kw, channels]` as ONNX's `[channels, 1, kh, kw]`.
pub(super) fn depthwise_kernel(shape: &[usize]) -> (Vec<usize>, Vec<usize>) {
    let [kh, kw, channels] = extents(shape);
    let positions = (0..channels).flat_map(|c| (0..kh * kw).map(move |p| p * channels + c));
    (vec![channels, 1, kh, kw], positions.collect())
}

/// `[features, in]` as `[features, in, 1, 1]`.
pub(super) fn linear_as_conv(shape: &[usize]) -> (Vec<usize>, Vec<usize>) {
    let [features, input] = extents(shape);
    let positions = (0..features * input).collect();
    (vec![features, input, 1, 1], positions)
}

/// `[features, in]`, unchanged.
pub(super) fn as_it_is(shape: &[usize]) -> (Vec<usize>, Vec<usize>) {
    (shape.to_vec(), (0..shape.iter().product()).collect())
}

/// A checked kernel's extents, as many as its role has.
fn extents<const N: usize>(shape: &[usize]) -> [usize; N] {
    let shape = <[usize; N]>::try_from(shape);
    shape.expect("the weights are checked against the graph, which fixes each tensor's rank")
}
