#!/usr/bin/env python3
"""Write small checkpoints of every kind, and what the nets in them answer:
tests/golden/checkpoints/*, for tests/test_import.c.

    python3 tools/make_checkpoint_goldens.py           # PyTorch 2.13.0
    python3 tools/make_checkpoint_goldens.py           # again, PyTorch 1.13

The two releases write their own files and leave each other's alone; weights
come from a seed that means the same to both. Results are computed in float64
from the values that the file holds, and stored in answers.safetensors by the
newer release. With CGD_DATA set, the answer of a published net is among them
(its weights are not).
"""
import io
import os
import pickle
import struct
import sys
import tarfile
import zipfile
from collections import OrderedDict

import torch
import torch.nn.functional as F

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import make_goldens  # noqa: E402  (its writer of safetensors)

HERE = os.path.dirname(os.path.abspath(__file__))
OUT = os.path.join(HERE, "..", "tests", "golden", "checkpoints")
OLD = torch.__version__.startswith("1.")


# --------------------------------------------------------------------------
# nets, as dicts of weights and a walk over their names
# --------------------------------------------------------------------------

class Net:
    """A state dict that is filled while its layers are named."""

    def __init__(self, seed):
        self.rng = torch.Generator().manual_seed(seed)
        self.sd = OrderedDict()

    def randn(self, *shape, scale=0.15):
        return torch.randn(*shape, generator=self.rng) * scale

    def conv(self, name, *shape, bias=True):
        out = shape[0]
        self.sd[name + ".weight"] = self.randn(*shape)
        if bias:
            self.sd[name + ".bias"] = self.randn(out)

    def deconv(self, name, *shape, bias=True):
        self.sd[name + ".weight"] = self.randn(*shape)
        if bias:
            self.sd[name + ".bias"] = self.randn(shape[1])

    def norm(self, name, c, kind):
        if kind in ("batch", "affine"):
            self.sd[name + ".weight"] = 1 + self.randn(c)
            self.sd[name + ".bias"] = self.randn(c)
        if kind in ("batch", "stale"):
            self.sd[name + ".running_mean"] = self.randn(c)
            self.sd[name + ".running_var"] = 1 + self.randn(c).abs()
            self.sd[name + ".num_batches_tracked"] = torch.tensor(7)


def official(seed, kind="instance", width=2, blocks=2, second=5, bias=None,
             resize=False):
    """The official ResnetGenerator's names; second: 6 with dropout."""
    n, f = Net(seed), width
    if bias is None:
        bias = kind not in ("batch",)

    def layer(i, *shape):
        n.conv("model.%d" % i, *shape, bias=bias)
        n.norm("model.%d" % (i + 1), shape[0], kind)
    layer(1, f, 3, 7, 7)
    layer(4, 2 * f, f, 3, 3)
    layer(7, 4 * f, 2 * f, 3, 3)
    for b in range(10, 10 + blocks):
        for k in (1, second):
            n.conv("model.%d.conv_block.%d" % (b, k), 4 * f, 4 * f, 3, 3,
                   bias=bias)
            n.norm("model.%d.conv_block.%d" % (b, k + 1), 4 * f, kind)
    i = 10 + blocks
    for c in (4 * f, 2 * f):
        if resize:
            layer(i + 2, c // 2, c, 3, 3)
            i += 5
        else:
            n.deconv("model.%d" % i, c, c // 2, 3, 3, bias=bias)
            n.norm("model.%d" % (i + 1), c // 2, kind)
            i += 3
    n.conv("model.%d" % (i + 1), 3, f, 7, 7)
    return n.sd


def collection(seed, width=2, blocks=2):
    """PyTorch-GAN's GeneratorResNet, under the official names."""
    sd, n = official(seed, width=width, blocks=blocks, resize=True), Net(seed)
    for k, v in sd.items():
        i = int(k.split(".")[1]) - 10 - blocks
        n.sd[k if i < 0 else k.replace("model.%d" % (i + 10 + blocks),
             "model.%d" % (i + 9 + blocks - (i > 4)))] = v
    return n.sd


def binomial(c, row, gain):
    """A fixed filter of CUT's, the same for all channels."""
    row = torch.tensor(row)
    f = row[:, None] * row[None]
    return (f * gain / f.sum())[None, None].repeat(c, 1, 1, 1)


def antialiased(seed, width=2, blocks=1, kind="instance"):
    """CUT's default generator, under its names: each step down is a
    convolution, a norm, a ReLU and a blur; each up a filter and those."""
    n, f, bias = Net(seed), width, kind != "batch"

    def layer(i, *shape):
        n.conv("model.%d" % i, *shape, bias=bias)
        n.norm("model.%d" % (i + 1), shape[0], kind)
    layer(1, f, 3, 7, 7)
    for i, c in ((4, f), (8, 2 * f)):
        layer(i, 2 * c, c, 3, 3)
        n.sd["model.%d.filt" % (i + 3)] = binomial(2 * c, [1., 2., 1.], 1)
    for b in range(12, 12 + blocks):
        for k in (1, 5):
            n.conv("model.%d.conv_block.%d" % (b, k), 4 * f, 4 * f, 3, 3,
                   bias=bias)
            n.norm("model.%d.conv_block.%d" % (b, k + 1), 4 * f, kind)
    i = 12 + blocks
    for c in (4 * f, 2 * f):
        n.sd["model.%d.filt" % i] = binomial(c, [1., 3., 3., 1.], 4)
        layer(i + 1, c // 2, c, 3, 3)
        i += 4
    n.conv("model.%d" % (i + 1), 3, f, 7, 7)
    return n.sd


def normalised(sd, kinds):
    """The same weights under spectral or weight norm, in both spellings."""
    out = OrderedDict()
    for k, v in sd.items():
        kind = kinds.get(k)
        stem = k[:-len("weight")]
        deconv = k.startswith("model.1") and v.dim() == 4 and \
            v.shape[1] < v.shape[0] and v.shape[2] == 3
        if kind in ("spectral", "spectral_new"):
            m = (v.transpose(0, 1) if deconv else v).reshape(
                v.shape[1 if deconv else 0], -1)
            left, scale, right = torch.linalg.svd(m.double())
            u, r = left[:, 0].float(), right[0].float()
            if kind == "spectral":
                out.update({stem + "weight_orig": v * 3, stem + "weight_u": u,
                            stem + "weight_v": r})
            else:
                new = stem + "parametrizations.weight."
                out.update({new + "original": v * 3, new + "0._u": u,
                            new + "0._v": r})
        elif kind in ("weight", "weight_new"):
            g = v.flatten(1).norm(dim=1).reshape(-1, 1, 1, 1)
            if kind == "weight":
                out.update({stem + "weight_g": g, stem + "weight_v": v * 5})
            else:
                new = stem + "parametrizations.weight."
                out.update({new + "original0": g, new + "original1": v * 5})
        else:
            out[k] = v
    return out


def folded(sd):
    """What PyTorch's own modules make of such weights after eval()."""
    out = OrderedDict()
    stems = {}
    for k, v in sd.items():
        for end in ("weight_orig", "weight_u", "weight_v", "weight_g",
                    "parametrizations.weight.original",
                    "parametrizations.weight.0._u",
                    "parametrizations.weight.0._v",
                    "parametrizations.weight.original0",
                    "parametrizations.weight.original1"):
            if k.endswith("." + end):
                stems.setdefault(k[:-len(end) - 1], {})[end] = v
                break
        else:
            out[k] = v
    for stem, parts in stems.items():
        big = max(parts.values(), key=lambda v: v.numel())
        deconv = "weight_u" in parts and \
            parts["weight_u"].numel() == big.shape[1] != big.shape[0] or \
            "parametrizations.weight.0._u" in parts and \
            parts["parametrizations.weight.0._u"].numel() == big.shape[1] \
            != big.shape[0]
        kind = torch.nn.ConvTranspose2d if deconv else torch.nn.Conv2d
        a, b = big.shape[:2]
        m = kind(a if deconv else b, b if deconv else a, big.shape[2],
                 bias=False)
        if "weight_orig" in parts:
            m = torch.nn.utils.spectral_norm(m)
        elif "weight_g" in parts:
            m = torch.nn.utils.weight_norm(m)
        elif "parametrizations.weight.0._u" in parts:
            m = torch.nn.utils.parametrizations.spectral_norm(m)
        else:
            m = torch.nn.utils.parametrizations.weight_norm(m)
        m.load_state_dict(parts)
        m.eval()
        channels = a if deconv else b
        m(torch.zeros(1, channels, 9, 9))
        out[stem + ".weight"] = m.weight.detach()
    return out


def mobile(seed, stages=(2, 3, 8, 4, 3), inside=(4, 4, 6), second=6):
    """GAN Compression's mobile_resnet: names, and widths all different."""
    n = Net(seed)
    a, b, c, d, e = stages
    n.conv("model.1", a, 3, 7, 7)
    n.conv("model.4", b, a, 3, 3)
    n.conv("model.7", c, b, 3, 3)
    for i, m in enumerate(inside):
        for k, (x, y) in ((1, (c, m)), (second, (m, c))):
            stem = "model.%d.conv_block.%d.conv" % (10 + i, k)
            n.conv(stem + ".0", x, 1, 3, 3)
            n.conv(stem + ".2", y, x, 1, 1)
    i = 10 + len(inside)
    n.deconv("model.%d" % i, c, d, 3, 3)
    n.deconv("model.%d" % (i + 3), d, e, 3, 3)
    n.conv("model.%d" % (i + 7), 3, e, 7, 7)
    return n.sd


def project(sd, blocks):
    """The same net under the original distillation project's names."""
    stage = {1: "inp_layers", 4: "downsampling_1", 7: "downsampling_2",
             10 + blocks: "upsampling_1", 13 + blocks: "upsampling_2",
             16 + blocks: "out_layers"}
    half = {"1": "conv_1", "2": "norm_1", "5": "conv_2", "6": "norm_2"}
    out = OrderedDict()
    for name, t in sd.items():
        w = name.split(".")
        i = int(w[1])
        if w[2] == "conv_block":
            new = "res_block_%d.layers.%s" % (i - 9, half[w[3]])
        else:
            first = max(k for k in stage if k <= i)
            part = i - first + (first == 1)
            new = "%s.%d" % (stage[first], part)
        out["layers.%s.%s" % (new, w[-1])] = t
    return out


def patch(seed, width=2, layers=2, kind="instance", channels=3):
    n, c, out, i = Net(seed), channels, width, 0
    for k in range(layers + 2):
        if k == layers + 1:
            out = 1
        plain = k in (0, layers + 1)
        n.conv("model.%d" % i, out, c, 4, 4,
               bias=plain or kind == "instance")
        if not plain:
            n.norm("model.%d" % (i + 1), out, kind)
        i += 2 if k == 0 else 3
        c, out = out, min(out * 2, width * 8)
    return n.sd


# --------------------------------------------------------------------------
# their answers, by the formulas
# --------------------------------------------------------------------------

def picture(n=1, size=16):
    """Numbers that C makes too: ((7i + 13j + 29c + ij) mod 17) / 8 - 1."""
    i = torch.arange(size).reshape(1, size, 1)
    j = torch.arange(size).reshape(1, 1, size)
    c = torch.arange(3).reshape(3, 1, 1)
    x = (7 * i + 13 * j + 29 * c + i * j) % 17
    return x.double()[None] / 8 - 1


def weights(sd):
    return {k: v.double() for k, v in sd.items()}


def normed(w, name, x):
    """Instance norm; a batch norm on one picture's own statistics is that."""
    y = F.instance_norm(x, eps=1e-5)
    if name + ".weight" in w:
        y = y * w[name + ".weight"][:, None, None] \
            + w[name + ".bias"][:, None, None]
    return y


def shifted(name, by):
    """The name of the norm behind a convolution."""
    w = name.split(".")
    w[-1] = str(int(w[-1]) + by)
    return ".".join(w)


def convolved(w, name, x, pad=0, reflect=False, **how):
    if reflect:
        x, pad = F.pad(x, [pad] * 4, mode="reflect"), 0
    return F.conv2d(x, w[name + ".weight"], w.get(name + ".bias"),
                    padding=pad, **how)


def generated(sd, x, nearest=False):
    """Any official or mobile generator: what is there says what it is; nearest:
    as PyTorch-GAN resizes, with zeros around."""
    w, h = weights(sd), x

    def stage(i, h, **how):
        name = "model.%d" % i
        return F.relu(normed(w, shifted(name, 1),
                             convolved(w, name, h, **how)))
    h = stage(1, h, pad=3, reflect=True)
    if "model.7.filt" in w:
        for i in 4, 8:
            h = F.pad(stage(i, h, pad=1), [1] * 4, mode="reflect")
            h = F.conv2d(h, w["model.%d.filt" % (i + 3)], stride=2,
                         groups=h.shape[1])
        i = 12
    else:
        h = stage(4, h, pad=1, stride=2)
        h = stage(7, h, pad=1, stride=2)
        i = 10
    while any(k.startswith("model.%d.conv_block." % i) for k in w):
        stem, y = "model.%d.conv_block" % i, h
        places = sorted({int(k.split(".")[3]) for k in w
                         if k.startswith(stem) and w[k].dim() == 4})
        for k in places:
            name = "%s.%d" % (stem, k)
            if name + ".conv.0.weight" in w:
                y = convolved(w, name + ".conv.0", y, pad=1, reflect=True,
                              groups=y.shape[1])
                y = normed(w, name + ".conv.1", y)
                y = convolved(w, name + ".conv.2", y)
            else:
                y = convolved(w, name, y, pad=1, reflect=True)
            y = normed(w, shifted(name, 1), y)
            if k == places[0]:
                y = F.relu(y)
        h, i = h + y, i + 1
    for _ in range(2):
        name = "model.%d" % i
        if name + ".weight" in w:
            h = F.conv_transpose2d(h, w[name + ".weight"],
                                   w.get(name + ".bias"), stride=2, padding=1,
                                   output_padding=1)
            h, i = F.relu(normed(w, shifted(name, 1), h)), i + 3
        elif name + ".filt" in w:
            h = F.conv_transpose2d(F.pad(h, [1] * 4, mode="replicate"),
                                   w[name + ".filt"], stride=2, padding=2,
                                   groups=h.shape[1])
            h = h[:, :, 1:-1, 1:-1]
            h, i = stage(i + 1, h, pad=1), i + 4
        elif nearest:
            h = F.interpolate(h, scale_factor=2, mode="nearest")
            h, i = stage(i + 1, h, pad=1), i + 4
        else:
            h = F.interpolate(h, scale_factor=2, mode="bilinear",
                              align_corners=False)
            h, i = stage(i + 2, h, pad=1, reflect=True), i + 5
    return torch.tanh(convolved(w, "model.%d" % (i + 1), h, pad=3,
                                reflect=True))


def judged(sd, x):
    w, h = weights(sd), x
    convs = [int(k.split(".")[1]) for k in w if w[k].dim() == 4]
    for n, i in enumerate(convs):
        stride = 2 if n < len(convs) - 2 else 1
        h = convolved(w, "model.%d" % i, h, pad=1, stride=stride)
        if n == len(convs) - 1:
            return h
        if n > 0:
            h = normed(w, "model.%d" % (i + 1), h)
        h = F.leaky_relu(h, 0.2)


def frozen(sd, x):
    """A batch norm on running statistics, biases and all: the first stage."""
    w = weights(sd)
    h = convolved(w, "model.1", x, pad=3, reflect=True)
    return F.relu(F.batch_norm(h, w["model.2.running_mean"],
                               w["model.2.running_var"], w["model.2.weight"],
                               w["model.2.bias"], eps=1e-5))


# --------------------------------------------------------------------------
# files
# --------------------------------------------------------------------------

def write(name, data):
    with open(os.path.join(OUT, name), "wb") as f:
        f.write(data)
    print("%-28s %7d bytes" % (name, len(data)))


def saved(obj, legacy=False):
    b = io.BytesIO()
    torch.save(obj, b, _use_new_zipfile_serialization=not legacy)
    return b.getvalue()


def in_windows(sd):
    """Every tensor as the first part of a storage with room for more."""
    out = OrderedDict()
    for k, t in sd.items():
        big = torch.zeros([2 * n if i < 2 else n
                           for i, n in enumerate(t.shape)])
        part = big[tuple(slice(0, n) for n in t.shape)]
        part.copy_(t)
        out[k] = part
    return out


def odd_tensors():
    base = torch.arange(12.).reshape(3, 4)
    shared = torch.arange(6.)
    return OrderedDict([
        ("transposed", base.t()), ("column", base[:, 1]),
        ("offset", shared[2:5]), ("shared", shared),
        ("double", torch.tensor([1.5, -2.25], dtype=torch.float64)),
        ("half", torch.tensor([0.5, -65504.]).half()),
        ("bfloat", torch.tensor([0.5, -3.140625]).bfloat16()),
        ("long", torch.tensor([-1, 1 << 40])),
        ("int", torch.tensor([-5], dtype=torch.int32)),
        ("short", torch.tensor([-300, 300], dtype=torch.int16)),
        ("char", torch.tensor([-128, 127], dtype=torch.int8)),
        ("byte", torch.tensor([0, 255], dtype=torch.uint8)),
        ("bool", torch.tensor([True, False])),
        ("scalar", torch.tensor(3.5)), ("empty", torch.zeros(0, 3)),
        ("parameter", torch.nn.Parameter(torch.tensor([1., 2.]))),
        ("nested", {"list": [torch.tensor([7.]), (torch.tensor([8.]),)],
                    5: torch.tensor([9.])}),
        ("epoch", 3), ("loss", 0.25), ("note", None), ("size", base.shape),
    ])


def flat(obj, path=""):
    """The tensors by name, as the library should list them."""
    if torch.is_tensor(obj):
        return {path: obj.detach()}
    items = obj.items() if isinstance(obj, dict) else \
        enumerate(obj) if isinstance(obj, (list, tuple)) else ()
    out = {}
    for k, v in items:
        out.update(flat(v, "%s.%s" % (path, k) if path else str(k)))
    return out


class Calls:
    def __reduce__(self):
        return (os.system, ("echo this must not be run",))


def zipped(entries, method):
    b = io.BytesIO()
    with zipfile.ZipFile(b, "w", method) as z:
        for name, data in entries:
            z.writestr(name, data)
    return b.getvalue()


def entries_of(data):
    with zipfile.ZipFile(io.BytesIO(data)) as z:
        return [(n, z.read(n)) for n in z.namelist()]


def zip64(entries):
    """Sizes and places in the 64-bit records alone."""
    import zlib
    body, central = b"", b""
    for name, data in entries:
        at, crc, n = len(body), zlib.crc32(data), name.encode()
        body += struct.pack("<IHHHHHIIIHH", 0x04034b50, 45, 0, 0, 0, 0, crc,
                            0xffffffff, 0xffffffff, len(n), 20) + n
        body += struct.pack("<HHQQ", 1, 16, len(data), len(data)) + data
        central += struct.pack("<IHHHHHHIIIHHHHHII", 0x02014b50, 45, 45, 0, 0,
                               0, 0, crc, 0xffffffff, 0xffffffff, len(n), 28,
                               0, 0, 0, 0, 0xffffffff) + n
        central += struct.pack("<HHQQQ", 1, 24, len(data), len(data), at)
    start, end = len(body), len(body) + len(central)
    tail = struct.pack("<IQHHIIQQQQ", 0x06064b50, 44, 45, 45, 0, 0,
                       len(entries), len(entries), len(central), start)
    tail += struct.pack("<IIQI", 0x07064b50, 0, end, 1)
    tail += struct.pack("<IHHHHIIH", 0x06054b50, 0, 0, 0xffff, 0xffff,
                        0xffffffff, 0xffffffff, 0)
    return body + central + tail


def tarred():
    b = io.BytesIO()
    with tarfile.open(fileobj=b, mode="w") as t:
        for name in ("sys_info", "pickle", "tensors", "storages"):
            info = tarfile.TarInfo(name)
            info.size = 4
            t.addfile(info, io.BytesIO(b"\x80\x02N."))
    return b.getvalue()


# --------------------------------------------------------------------------

def old_release():
    """What PyTorch 1.13 writes: the original project's file with four nets
    and an optimiser, and a legacy file of an older time."""
    ab, ba = official(3, "batch", bias=True), official(4, "batch", bias=True)
    state = {"model_state_dict": {
        "generator_ab": project(ab, 2), "generator_ba": project(ba, 2),
        "discriminator_a": patch(5), "discriminator_b": patch(6)},
        "epoch": 9, "optimizer_state_dict": {
            "state": {0: {"step": 5, "exp_avg": torch.ones(2)}},
            "param_groups": [{"lr": 2e-4, "params": [0, 1]}]}}
    write("project.pth", saved(state))
    sd = official(2, "stale", second=6)
    write("dropout.pth", saved(OrderedDict(("module." + k, v)
                                           for k, v in sd.items()), True))
    write("odd_legacy_113.pth", saved(odd_tensors(), True))


def new_release():
    x = picture()
    answers = {"picture": x[0]}
    answers["dropout"] = generated(official(2, "stale", second=6), x)[0]
    answers["project.ab"] = generated(official(3, "batch", bias=True), x)[0]
    answers["project.ba"] = generated(official(4, "batch", bias=True), x)[0]
    answers["project.frozen"] = frozen(official(3, "batch", bias=True), x)[0]
    answers["project.d_a"] = judged(patch(5), x)[0]

    def case(name, sd, obj=None, legacy=False):
        write(name + ".pth", saved(sd if obj is None else obj, legacy))
        answers[name] = generated(sd, x)[0]
    case("official", official(1))
    case("batch", {k: v.double() if v.dim() else v
                   for k, v in official(7, "batch").items()})
    sd = {k: v.bfloat16() for k, v in official(8, "affine").items()}
    case("affine", sd, {"netD_A": patch(15), "G_A2B": sd})
    case("resize", official(9, resize=True))
    case("cut", antialiased(20))
    case("cut_batch", {k: v.half() if v.dim() else v for k, v in
                       antialiased(21, 3, 0, "batch").items()})
    sd = antialiased(22, 1, 0)
    sd["model.12.filt"] = torch.full((4, 1, 4, 4), 0.25)
    write("cut_box.pth", saved(sd, True))
    sd = collection(17)
    write("collection.pth", saved(OrderedDict(
        (k.replace("conv_block", "block"), v) for k, v in sd.items())))
    answers["collection"] = generated(sd, x, nearest=True)[0]
    sd = normalised(official(18), {
        "model.1.weight": "spectral", "model.4.weight": "weight",
        "model.7.weight": "spectral_new",
        "model.10.conv_block.1.weight": "weight_new",
        "model.12.weight": "spectral", "model.15.weight": "spectral_new"})
    write("normalised.pth", saved(sd))
    answers["normalised"] = generated(folded(sd), x)[0]
    sd = official(19)
    answers["protocol"] = generated(sd, x)[0]
    for protocol in 4, 5:
        for legacy in False, True:
            b = io.BytesIO()
            torch.save({"dtype": torch.float32, "device": torch.device("cpu"),
                        "tags": {"a", "b"}, "net": sd}, b,
                       pickle_protocol=protocol,
                       _use_new_zipfile_serialization=not legacy)
            write("protocol_%d%s.pth" % (protocol, "_legacy" * legacy),
                  b.getvalue())
    sd = mobile(10)
    case("mobile", sd, in_windows(sd), legacy=True)
    sd = {k: v.half() for k, v in mobile(11, second=5).items()}
    del sd["model.20.bias"]
    case("mobile_5", sd)
    sd = patch(12, layers=3)
    write("patch.pth", saved(sd, True))
    answers["patch"] = judged(sd, picture(size=32))[0]

    sd = patch(16, width=1, layers=1)
    sd["model.2.weight"][0, 0, 1, 2] = float("nan")
    write("nan.pth", saved(sd, True))
    import safetensors.torch
    sd = OrderedDict((k, v.half() if "10" in k else v.bfloat16())
                     for k, v in official(13, second=6).items())
    write("python.safetensors", safetensors.torch.save(
        OrderedDict(reversed(sd.items()))))
    answers["python"] = generated(sd, x)[0]
    sd = patch(14, kind="batch")
    write("python_d.safetensors", safetensors.torch.save(
        {k: v.double() if v.dim() else v for k, v in sd.items()}))
    answers["python_d"] = judged(sd, x)[0]
    odd = odd_tensors()
    for name, t in flat(odd).items():
        answers["odd." + name] = t
    write("odd.pth", saved(odd))
    write("odd_legacy.pth", saved(odd, True))
    small = saved(OrderedDict(a=torch.arange(3.)))
    write("zip64.pth", zip64(entries_of(saved(odd))))
    write("deflated.pth", zipped(entries_of(small), zipfile.ZIP_DEFLATED))
    write("big_endian.pth", zipped(
        [(n, b"big" if n.endswith("byteorder") else d)
         for n, d in entries_of(small)], zipfile.ZIP_STORED))
    torch.serialization.set_crc32_options(False)
    write("unchecked.pth", saved(OrderedDict(a=torch.arange(3.))))
    torch.serialization.set_crc32_options(True)
    write("module.pth", saved(torch.nn.Linear(1, 1)))
    write("module_legacy.pth", saved(torch.nn.Linear(1, 1), True))
    b = io.BytesIO()
    torch.jit.save(torch.jit.trace(torch.nn.Linear(1, 1), torch.ones(1, 1)),
                   b)
    write("script.pt", b.getvalue())
    write("calls.pth", saved({"a": torch.ones(1), "b": Calls()}))
    write("calls_legacy.pth", saved({"a": Calls()}, True))
    write("plain.pkl", pickle.dumps({"a": [1.0, 2.0]}, protocol=4))
    write("tar.pth", tarred())
    data = os.environ.get("CGD_DATA")
    if data:
        sd = torch.load(os.path.join(
            data, "checkpoints",
            "01_gancompression_h2z_student_legacy_strided.pth"),
            map_location="cpu", weights_only=True)
        answers["h2z"] = generated(sd, picture(size=32))[0]
    make_goldens.OUT = OUT
    make_goldens.save("answers", answers, {})


if __name__ == "__main__":
    os.makedirs(OUT, exist_ok=True)
    old_release() if OLD else new_release()
