//! How fast is it: batch-norm folding, the interpreter, ONNX and TFLite export, devices and measuring.
