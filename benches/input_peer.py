"""How fast one thread turns JPEGs into training images: mnas, Pillow and torchvision, interleaved.

    python3 benches/input_peer.py FOLDER [--size 224] [--rounds 5] [--seconds 2] [--mosaic 3x2] [--python PYTHON]

FOLDER holds a folder of JPEGs per class (`train/CLASS/..` or `CLASS/..`). With --mosaic, pictures of so many columns and rows
of them are made first: content as dense as theirs, in the sizes that cameras and photo sites give. Builds the
program; makes target/bench-venv unless --python is given, a Python with torch, torchvision and Pillow.

decode  each JPEG decoded, scaled to cover the stored size (8/7 of --size) and cut to it; mnas writes it to its cache, too
train   what each epoch costs: mnas takes a random crop of its cache, the others decode again (RandomResizedCrop and mirroring)
"""
import argparse
import io
import json
import os
import pathlib
import random
import statistics
import sys
import tempfile
import time

import training_peer
from training_peer import ALLOCATOR, last_json, output


def files(folder):
    return sorted(p for p in pathlib.Path(folder).rglob("*") if p.suffix.lower() in (".jpg", ".jpeg"))


def mosaic(folder, columns, rows, to):
    """JPEGs of `columns` x `rows` pictures each, quality 90, into class folders of `to`."""
    from PIL import Image

    pictures = files(folder)
    random.Random(0).shuffle(pictures)
    each = columns * rows
    for n in range(min(len(pictures) // each, 400)):
        parts = [Image.open(p).convert("RGB") for p in pictures[n * each : (n + 1) * each]]
        w, h = parts[0].size
        whole = Image.new("RGB", (w * columns, h * rows))
        for i, part in enumerate(parts):
            whole.paste(part.resize((w, h)), (i % columns * w, i // columns * h))
        place = pathlib.Path(to) / "ab"[n % 2]
        place.mkdir(exist_ok=True)
        whole.save(place / f"{n}.jpg", quality=90)


def rate(one, data, seconds):
    for d in data[:20]:
        one(d)
    n, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        one(data[n % len(data)])
        n += 1
    return n / (time.perf_counter() - start)


def peers(folder, size, seconds):
    """Images per second of Pillow and torchvision on one thread; prints a JSON line."""
    import numpy as np
    import torch
    from PIL import Image
    from torchvision.io import ImageReadMode, decode_jpeg
    from torchvision.transforms import v2

    torch.set_num_threads(1)
    data = [p.read_bytes() for p in files(folder)]
    random.Random(1).shuffle(data)
    data = data[:400]
    tensors = [torch.frombuffer(bytearray(d), dtype=torch.uint8) for d in data]
    stored = (size * 8 + 3) // 7
    cover = v2.Compose([v2.Resize(stored, antialias=True), v2.CenterCrop(stored)])
    crop = v2.Compose([v2.RandomResizedCrop(size, antialias=True), v2.RandomHorizontalFlip()])

    def pillow_decode(d):
        image = Image.open(io.BytesIO(d)).convert("RGB")
        w, h = image.size
        side = min(w, h)
        box = ((w - side) / 2, (h - side) / 2, (w + side) / 2, (h + side) / 2)
        return np.asarray(image.resize((stored, stored), Image.Resampling.BILINEAR, box=box))

    def pillow_train(d):
        image = Image.open(io.BytesIO(d)).convert("RGB")
        top, left, height, width = v2.RandomResizedCrop.make_params(crop.transforms[0], [image]).values()
        image = image.resize((size, size), Image.Resampling.BILINEAR, box=(left, top, left + width, top + height))
        if random.random() < 0.5:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        return np.asarray(image)

    print(json.dumps({
        "pillow": {"decode": rate(pillow_decode, data, seconds), "train": rate(pillow_train, data, seconds)},
        "torchvision": {"decode": rate(lambda t: cover(decode_jpeg(t, ImageReadMode.RGB)), tensors, seconds),
                        "train": rate(lambda t: crop(decode_jpeg(t, ImageReadMode.RGB)), tensors, seconds)},
    }))  # fmt: skip


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("folder")
    p.add_argument("--size", type=int, default=224)
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--seconds", type=float, default=2)
    p.add_argument("--mosaic", help="COLUMNSxROWS")
    p.add_argument("--python")
    p.add_argument("--peers", action="store_true", help=argparse.SUPPRESS)
    p.add_argument("--make", help=argparse.SUPPRESS)
    a = p.parse_args()
    if a.make:
        return mosaic(a.folder, *map(int, a.mosaic.split("x")), a.make)
    if a.peers:
        return peers(a.folder, a.size, a.seconds)
    python = a.python or training_peer.environment()
    ours = training_peer.program().with_name("input")
    with tempfile.TemporaryDirectory() as made:
        if a.mosaic:
            output([python, __file__, a.folder, "--mosaic", a.mosaic, "--make", made])
        folder = made if a.mosaic else a.folder
        rounds = []
        for _ in range(a.rounds):
            common = [folder, "--size", str(a.size), "--seconds", str(a.seconds)]
            row = last_json([python, __file__, *common, "--peers"], os.environ | ALLOCATOR)
            rounds.append(row | {"mnas": last_json([ours, *common, "--json"])})
        for what in ("decode", "train"):
            middle = {k: statistics.median(r[k][what] for r in rounds) for k in ("mnas", "pillow", "torchvision")}
            ratios = {k: statistics.median(r["mnas"][what] / r[k][what] for r in rounds) for k in ("pillow", "torchvision")}
            print(f"{what}: mnas {middle['mnas']:.0f} images/s, Pillow {middle['pillow']:.0f} (ratio {ratios['pillow']:.2f}), "
                  f"torchvision {middle['torchvision']:.0f} (ratio {ratios['torchvision']:.2f})")  # fmt: skip


if __name__ == "__main__":
    main()
