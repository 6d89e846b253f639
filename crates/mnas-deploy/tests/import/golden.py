"""Writes what networks of timm and torchvision answer, for the tests of `mnas import`.

Usage: golden.py FOLDER       (needs torch, timm and torchvision; any CPU build)

Writes FOLDER/MODEL.json for each model: the names and shapes of its tensors, and some of its logits
on square images of 64 and of 224 pixels. Weights, batch-norm statistics and images are not stored:
both sides make them from the tensor's name (`values`), so the files stay small.
"""

import json
import pathlib
import sys

import numpy as np
import timm
import torch
import torchvision

GOLDEN = 0x9E3779B97F4A7C15
MODELS = {
    "timm-semnasnet_100": ("mnasnet-a1", lambda: timm.create_model("semnasnet_100")),
    "timm-mnasnet_100": ("mnasnet-b1", lambda: timm.create_model("mnasnet_100")),
    "timm-mnasnet_small": ("mnasnet-small", lambda: timm.create_model("mnasnet_small")),
    "timm-mobilenetv2_100": ("mobilenet-v2", lambda: timm.create_model("mobilenetv2_100")),
    "timm-semnasnet_075": ("mnasnet-a1-0.75x", lambda: timm.create_model("semnasnet_075")),
    "torchvision-mnasnet1_0": ("mnasnet-b1", torchvision.models.mnasnet1_0),
    "torchvision-mnasnet0_5": ("mnasnet-b1-0.5x", torchvision.models.mnasnet0_5),
    "torchvision-mobilenet_v2": ("mobilenet-v2", torchvision.models.mobilenet_v2),
}


def uniform(name, count):
    """`count` numbers in 0..1: SplitMix64 from the FNV-1a hash of the name."""
    seed = 0xCBF29CE484222325
    for byte in name.encode():
        seed = ((seed ^ byte) * 0x100000001B3) % 2**64
    with np.errstate(over="ignore"):
        x = np.uint64(seed) + (np.arange(count, dtype=np.uint64) + np.uint64(1)) * np.uint64(GOLDEN)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        x = x ^ (x >> np.uint64(31))
    return (x >> np.uint64(11)).astype(np.float64) * 2.0**-53


def values(name, shape):
    u = uniform(name, int(np.prod(shape)))
    if len(shape) > 1:
        u = (2 * u - 1) * np.sqrt(6 / np.prod(shape[1:]))
    elif name.endswith((".weight", "running_var")):
        u = 0.5 + u
    else:
        u = 0.2 * (2 * u - 1)
    return u.astype(np.float32).reshape(shape)


def main(folder):
    folder.mkdir(parents=True, exist_ok=True)
    for name, (network, make) in MODELS.items():
        model = make().eval()
        state = {k: v for k, v in model.state_dict().items() if "num_batches" not in k}
        for key, tensor in state.items():
            tensor.copy_(torch.from_numpy(values(key, tuple(tensor.shape))))
        answers = []
        for side in (64, 224):
            image = (2 * uniform("image", 3 * side * side) - 1).astype(np.float32)
            with torch.no_grad():
                logits = model(torch.from_numpy(image.reshape(1, 3, side, side)))[0]
            logits = [float(v) for v in logits[::50]]
            answers.append({"side": side, "logits": logits})
        tensors = [[k, list(v.shape)] for k, v in state.items()]
        facts = {"network": network, "every": 50, "answers": answers, "tensors": tensors}
        text = json.dumps(facts, separators=(",", ":"))
        text = text.replace('],["', '],\n["').replace('"tensors"', '\n"tensors"')
        (folder / f"{name}.json").write_text(text + "\n", encoding="utf-8")
        print(name, len(tensors), "tensors", answers[0]["logits"][:3])


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
