"""A network that `mnas-bench --graph NAME` printed, as a PyTorch module.

Padding is the graph's own where it is the same on both sides, else zeros are added before the window (`same=True`) or
half of the window on each side (`same=False`, which costs least and gives the same sizes).
"""
import torch
import torch.nn as nn
import torch.nn.functional as F


class Window(nn.Module):
    """A convolution or pool after padding that its own setting can't express."""

    def __init__(self, padding, value, inner):
        super().__init__()
        self.padding, self.value, self.inner = padding, value, inner

    def forward(self, x):
        return self.inner(F.pad(x, self.padding, value=self.value))


def convolution(node, channels, same):
    k, out = node["kernel"], node["shape"][2]
    groups = channels if node["op"] == "depthwise_conv" else 1
    top, bottom, left, right = node["padding"]
    even = top == bottom == left == right
    conv = nn.Conv2d(channels, out, k, node["stride"], top if even else k // 2, groups=groups, bias=node["bias"])
    if even or not same:
        return conv
    conv.padding = (0, 0)
    return Window((left, right, top, bottom), 0.0, conv)


class Concat(nn.Module):
    def forward(self, *xs):
        return torch.cat(xs, 1)


class Add(nn.Module):
    def forward(self, x, y):
        return x + y


class Mul(nn.Module):
    def forward(self, x, gate):
        return x * gate.reshape(*gate.shape[:2], 1, 1)


class Mean(nn.Module):
    def forward(self, x):
        return x.mean((2, 3), keepdim=True)


class Linear(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.inner = nn.Linear(inputs, outputs)

    def forward(self, x):
        return self.inner(x.flatten(1))


def module(node, channels, alone, same):
    """`alone`: nothing else reads the input, so that it may be overwritten."""
    op = node["op"]
    if op in ("conv", "depthwise_conv"):
        return convolution(node, channels, same)
    if op == "batch_norm":
        # PyTorch's momentum is the share of the new value.
        return nn.BatchNorm2d(channels, eps=node["epsilon"], momentum=0.1)
    if op == "act":
        f = node["function"]
        return {"relu": nn.ReLU(alone), "relu6": nn.ReLU6(alone), "hswish": nn.Hardswish(), "sigmoid": nn.Sigmoid()}[f]
    if op in ("avg_pool", "max_pool"):
        k, s = node["kernel"], node["stride"]
        if op == "avg_pool":
            return nn.AvgPool2d(k, s, k // 2, count_include_pad=False)
        return nn.MaxPool2d(k, s, k // 2)
    if op == "dropout":
        return nn.Dropout(node["rate"])
    if op == "linear":
        return Linear(channels, node["shape"][2])
    return {"add": Add, "mul": Mul, "concat": Concat, "global_avg_pool": Mean}[op]()


class Network(nn.Module):
    def __init__(self, graph, same=False):
        super().__init__()
        nodes = graph["nodes"]
        uses = [0] * len(nodes)
        for node in nodes:
            for i in node["inputs"]:
                uses[i] += 1
        self.inputs = [node["inputs"] for node in nodes]
        self.sizes = [node["shape"] for node in nodes]
        self.output, self.checked = graph["output"], False
        self.names = [node["name"] for node in nodes]
        modules = [nn.Identity()]
        for node in nodes[1:]:
            first = node["inputs"][0]
            after_norm = nodes[first]["op"] == "batch_norm"
            modules.append(module(node, nodes[first]["shape"][2], uses[first] == 1 and after_norm, same))
        self.layers = nn.ModuleList(modules)
        # Values are dropped after their last use, as a hand-written forward pass would.
        self.last = [max([j for j, n in enumerate(nodes) if i in n["inputs"]], default=len(nodes)) for i in range(len(nodes))]
        self.ends = [[i for i in range(j) if self.last[i] == j] for j in range(len(nodes))]

    def forward(self, x):
        values = [x]
        for i in range(1, len(self.layers)):
            y = self.layers[i](*[values[j] for j in self.inputs[i]])
            if not self.checked:
                h, w, c = self.sizes[i]
                assert y.shape[1] == c and (y.dim() == 2 or y.shape[2:] == (h, w)), (self.names[i], y.shape)
            values.append(y)
            for j in self.ends[i]:
                values[j] = None
        self.checked = True
        return values[self.output]
