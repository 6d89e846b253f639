//! SIMD kernels for training small convolutional networks on a CPU, NHWC, f32.
