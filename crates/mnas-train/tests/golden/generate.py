"""Training curves of a small network in PyTorch, the golden values of the CPU engine's test.

    python generate.py curves.safetensors

Needs torch. Writes initial weights (under the engine's names and layouts), two batches of images
and labels, the losses of 30 steps of SGD (momentum 0.9, Nesterov, weight decay) and of 30 steps of
RMSProp by TensorFlow 1's formula, and after the latter some weights and their moving averages.
The network covers dense, depthwise and pointwise convolution with TensorFlow "same" padding at
strides 1 and 2, batch norm, ReLU, ReLU6, hard swish, squeeze-excitation, residual, pooling, linear
and label smoothing.
"""
import json
import struct
import sys

import torch
import torch.nn.functional as F

STEPS, BATCH, SIZE, CLASSES = 30, 16, 13, 7
DECAY, EMA = 1e-3, 0.98
MEAN, STD = (0.45, 0.5, 0.4), (0.25, 0.2, 0.3)


def parameters(generator):
    """Name to (tensor in PyTorch's layout, whether weight decay applies)."""
    p = {}

    def kernel(name, *shape):
        fan = shape[0] * shape[2] * shape[3] if shape[1] > 1 else shape[2] * shape[3]
        p[f"{name}.weight"] = (torch.randn(*shape, generator=generator) * (2 / fan) ** 0.5, True)

    def norm(name, c):
        p[f"{name}.weight"] = (1 + 0.2 * torch.randn(c, generator=generator), False)
        p[f"{name}.bias"] = (0.1 * torch.randn(c, generator=generator), False)

    kernel("stem", 8, 3, 3, 3)
    norm("stem_bn", 8)
    kernel("expand", 24, 8, 1, 1)
    norm("expand_bn", 24)
    kernel("depthwise", 24, 1, 5, 5)
    norm("depthwise_bn", 24)
    kernel("reduce", 4, 24, 1, 1)
    p["reduce.bias"] = (torch.zeros(4), True)
    kernel("widen", 24, 4, 1, 1)
    p["widen.bias"] = (torch.zeros(24), True)
    kernel("project", 8, 24, 1, 1)
    norm("project_bn", 8)
    kernel("down", 8, 1, 3, 3)
    norm("down_bn", 8)
    kernel("head", 20, 8, 1, 1)
    norm("head_bn", 20)
    p["classifier.weight"] = (0.3 * torch.randn(CLASSES, 20, generator=generator), True)
    p["classifier.bias"] = (torch.zeros(CLASSES), True)
    return {k: (v.requires_grad_(), d) for k, (v, d) in p.items()}


def same(x, k, s):
    """Pads as TensorFlow does: the odd zero goes after."""
    pad = []
    for n in (x.shape[3], x.shape[2]):
        total = max((-(-n // s) - 1) * s + k - n, 0)
        pad += [total // 2, total - total // 2]
    return F.pad(x, pad)


def forward(p, running, x):
    def conv(name, x, stride=1, groups=1):
        w = p[f"{name}.weight"][0]
        bias = p.get(f"{name}.bias", (None,))[0]
        return F.conv2d(same(x, w.shape[2], stride), w, bias, stride, groups=groups)

    def norm(name, x):
        mean, var = running[name]
        w, b = p[f"{name}.weight"][0], p[f"{name}.bias"][0]
        return F.batch_norm(x, mean, var, w, b, True, 0.1, 1e-3)

    x = F.relu(norm("stem_bn", conv("stem", x, 2)))
    y = F.relu6(norm("expand_bn", conv("expand", x)))
    y = F.hardswish(norm("depthwise_bn", conv("depthwise", y, groups=24)))
    s = F.relu(conv("reduce", y.mean((2, 3), keepdim=True)))
    y = y * torch.sigmoid(conv("widen", s))
    x = x + norm("project_bn", conv("project", y))
    x = F.relu(norm("down_bn", conv("down", x, 2, 8)))
    x = F.relu(norm("head_bn", conv("head", x)))
    return F.linear(x.mean((2, 3)), p["classifier.weight"][0], p["classifier.bias"][0])


def native(name, t):
    """PyTorch's layout to the engine's."""
    if t.dim() != 4:
        return t
    if name.split(".")[0] in ("depthwise", "down"):
        return t[:, 0].permute(1, 2, 0)
    return t.permute(0, 2, 3, 1)


def train(batches, rule):
    p = parameters(torch.Generator().manual_seed(5))
    running = {
        k[:-7]: (torch.zeros_like(v), torch.ones_like(v))
        for k, (v, _) in p.items()
        if k.endswith("_bn.weight")
    }
    slots = {k: (torch.zeros_like(v), torch.ones_like(v)) for k, (v, _) in p.items()}

    def everything():
        out = {k: v for k, (v, _) in p.items()}
        for k, (mean, var) in running.items():
            out[f"{k}.running_mean"], out[f"{k}.running_var"] = mean, var
        return {k: v.detach().clone() for k, v in out.items()}

    start, average, losses = everything(), everything(), []
    for step in range(STEPS):
        images, labels = batches[step % len(batches)]
        x = (images / 255 - torch.tensor(MEAN)) / torch.tensor(STD)
        loss = F.cross_entropy(
            forward(p, running, x.permute(0, 3, 1, 2)), labels, label_smoothing=0.1
        )
        losses.append(loss.item())
        grads = torch.autograd.grad(loss, [v for v, _ in p.values()])
        with torch.no_grad():
            for (k, (v, decays)), g in zip(p.items(), grads):
                g = g + DECAY * v if decays else g
                m, s = slots[k]
                if rule == "sgd":
                    m.mul_(0.9).add_(g)
                    v -= 0.05 * (g + 0.9 * m)
                else:
                    s.mul_(0.9).add_(0.1 * g * g)
                    m.mul_(0.9).add_(0.01 * g / (s + 1e-3).sqrt())
                    v -= m
            keep = min(EMA, (2 + step) / (11 + step))
            for k, v in everything().items():
                average[k].mul_(keep).add_((1 - keep) * v)
    return start, losses, everything(), average


def save(path, tensors):
    header, data = {}, b""
    for name, t in tensors.items():
        raw = t.contiguous().float().numpy().tobytes()
        header[name] = {
            "dtype": "F32",
            "shape": list(t.shape),
            "data_offsets": [len(data), len(data) + len(raw)],
        }
        data += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + data)


def main():
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    g = torch.Generator().manual_seed(11)
    batches = [
        (
            torch.randint(0, 256, (BATCH, SIZE, SIZE, 3), generator=g).float(),
            torch.randint(0, CLASSES, (BATCH,), generator=g),
        )
        for _ in range(2)
    ]
    out = {}
    for i, (images, labels) in enumerate(batches):
        out[f"images/{i}"], out[f"labels/{i}"] = images, labels
    for rule in ("sgd", "rmsprop"):
        start, losses, end, average = train(batches, rule)
        out[f"losses/{rule}"] = torch.tensor(losses)
        print(rule, [round(v, 4) for v in losses])
    out |= {f"start/{k}": native(k, v) for k, v in start.items()}
    kept = ("classifier.weight", "expand_bn.running_mean", "expand_bn.running_var", "down.weight")
    for k in kept:
        out[f"end/{k}"], out[f"average/{k}"] = native(k, end[k]), native(k, average[k])
    save(sys.argv[1], out)


main()
