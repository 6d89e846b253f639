"""Runs exported models with the engines that deploy them.

Usage: check.py FOLDER

FOLDER holds cases.json, a list of {"name", "input": [h, w, c], "output": [h, w, c]}, and for case
number N the files N.onnx, N.tflite, N.input and N.expected (float32, channels last, little endian).
Prints a JSON line per case and engine: {"case", "engine", "difference"}, where the difference is
the largest absolute one over the largest expected magnitude. Exits with an error where a model is
not valid or its signature is not what the exporter promises.
"""

import json
import pathlib
import sys

import numpy as np
import onnx
import onnxruntime
from ai_edge_litert.interpreter import Interpreter


def signature_shape(extents, channels_first):
    """Shape of a model's end: [1, c] for a vector, else four axes."""
    h, w, c = extents
    return [1, c, h, w] if channels_first else [1, h, w, c]


def output_shape(extents, channels_first):
    h, w, c = extents
    return [1, c] if h * w == 1 else signature_shape(extents, channels_first)


def expect(what, got, wanted):
    if got != wanted:
        raise SystemExit(f"{what}: {got}, not {wanted}")


def run_onnx(path, case, image):
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    expect("name", {p.key: p.value for p in model.metadata_props}["name"], case["name"])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    (x,), (y,) = session.get_inputs(), session.get_outputs()
    expect("ends", [x.name, y.name], ["input", "logits"])
    expect("input", x.shape, signature_shape(case["input"], True))
    expect("output", y.shape, output_shape(case["output"], True))
    (answer,) = session.run(None, {"input": image.transpose(0, 3, 1, 2)})
    return answer.transpose(0, 2, 3, 1) if answer.ndim == 4 else answer


def run_tflite(path, case, image):
    interpreter = Interpreter(model_path=str(path), num_threads=1)
    interpreter.allocate_tensors()
    signatures = {"serving_default": {"inputs": ["input"], "outputs": ["logits"]}}
    expect("signatures", interpreter.get_signature_list(), signatures)
    (x,), (y,) = interpreter.get_input_details(), interpreter.get_output_details()
    expect("input", x["shape"].tolist(), signature_shape(case["input"], False))
    expect("output", y["shape"].tolist(), output_shape(case["output"], False))
    interpreter.set_tensor(x["index"], image)
    interpreter.invoke()
    return interpreter.get_tensor(y["index"])


def difference(got, expected):
    got = got.reshape(-1).astype(np.float64)
    expected = expected.astype(np.float64)
    if got.shape != expected.shape or not np.isfinite(got).all():
        return None
    largest = np.abs(expected).max()
    worst = np.abs(got - expected).max()
    return float(worst / largest if largest > 0 else worst)


def main(folder):
    cases = json.loads((folder / "cases.json").read_text(encoding="utf-8"))
    for number, case in enumerate(cases):
        read = lambda kind: np.fromfile(folder / f"{number}.{kind}", dtype="<f4")
        image = read("input").reshape(1, *case["input"])
        expected = read("expected")
        for engine, extension, run in (
            ("ONNX Runtime", "onnx", run_onnx),
            ("LiteRT", "tflite", run_tflite),
        ):
            try:
                answer = run(folder / f"{number}.{extension}", case, image)
            except Exception as error:
                raise SystemExit(f"{engine}, {case['name']}: {error}") from error
            line = {"case": number, "engine": engine, "difference": difference(answer, expected)}
            print(json.dumps(line))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
