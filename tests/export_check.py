"""Hold exported files against PyTorch, safetensors, onnx and ONNX Runtime.

    python3 tests/export_check.py FOLDER EXPORT_NETS CGD

FOLDER holds NAME.safetensors and, exported from it, NAME.pth, NAME.onnx,
NAME.f16.safetensors, NAME.f16.pth, NAME.f16.onnx and NAME.bf16.pth;
EXPORT_NETS is the program that applies a model, CGD the command line. Packages
that are missing are skipped. Called by tests/test_export.sh.
"""
import glob
import json
import os
import struct
import subprocess
import sys

import numpy

try:
    import torch
except ImportError:
    torch = None
try:
    import safetensors.numpy
except ImportError:
    safetensors = None
try:
    import safetensors.torch
except ImportError:
    pass
try:
    import onnx.checker
except ImportError:
    onnx = None
try:
    import onnxruntime
except ImportError:
    onnxruntime = None

SIZES = [(1, 16, 24), (1, 28, 20), (2, 12, 16)]     # N, H, W
counts = {"passed": 0, "failed": 0, "skipped": 0}


def report(name, problem):
    """problem: None, or what went wrong."""
    counts["failed" if problem else "passed"] += 1
    print("FAILED %s: %s" % (name, problem) if problem else "ok " + name)


def skip(what):
    counts["skipped"] += 1
    print("skipped: " + what)


def description(path):
    """The architecture's words in the header of a safetensors file."""
    with open(path, "rb") as f:
        size, = struct.unpack("<Q", f.read(8))
        words = json.loads(f.read(size))["__metadata__"]["cgd.net"].split()
    return dict(w.split("=") for w in words if "=" in w)


def official(d):
    """The official generator (and its relatives) as a torch module."""
    nn = torch.nn
    norm = d["norm"]
    bias = norm != "batch"
    width = [int(v) for v in d["stage"].split(",")]

    def norm_of(c):
        if norm == "batch":
            return nn.BatchNorm2d(c)
        if norm == "none":
            return nn.Identity()
        return nn.InstanceNorm2d(c, affine=norm == "instance_affine")

    class Separable(nn.Module):
        def __init__(self, a, b):
            super().__init__()
            self.conv = nn.Sequential(
                nn.Conv2d(a, a, 3, groups=a, bias=bias), norm_of(a),
                nn.Conv2d(a, b, 1, bias=bias))

        def forward(self, x):
            return self.conv(x)

    class Block(nn.Module):
        def __init__(self, outer, inner):
            super().__init__()
            if d["block"] == "separable":
                self.conv_block = nn.Sequential(
                    nn.ReflectionPad2d(1), Separable(outer, inner),
                    norm_of(inner), nn.ReLU(), nn.Dropout(0),
                    nn.ReflectionPad2d(1), Separable(inner, outer),
                    norm_of(outer))
            else:
                self.conv_block = nn.Sequential(
                    nn.ReflectionPad2d(1), nn.Conv2d(outer, inner, 3,
                                                     bias=bias),
                    norm_of(inner), nn.ReLU(), nn.ReflectionPad2d(1),
                    nn.Conv2d(inner, outer, 3, bias=bias), norm_of(outer))

        def forward(self, x):
            return x + self.conv_block(x)

    class Blur(nn.Module):
        def __init__(self, c):
            super().__init__()
            row = torch.tensor([1., 2., 1.])
            self.register_buffer("filt", (row[:, None] * row / 16)[
                None, None].repeat(c, 1, 1, 1))

        def forward(self, x):
            return nn.functional.conv2d(
                nn.functional.pad(x, [1] * 4, mode="reflect"), self.filt,
                stride=2, groups=x.shape[1])

    def up(a, b):
        if d["up"] == "deconv":
            conv = [nn.ConvTranspose2d(a, b, 3, 2, 1, 1, bias=bias)]
        else:
            how = ({"mode": "nearest"} if d["up"] == "nearest" else
                   {"mode": "bilinear", "align_corners": False})
            conv = [nn.Upsample(scale_factor=2, **how)] + (
                [nn.Conv2d(a, b, 3, padding=1, bias=bias)]
                if d.get("zero_pad") == "1" else
                   [nn.ReflectionPad2d(1), nn.Conv2d(a, b, 3, bias=bias)])
        return conv + [norm_of(b), nn.ReLU()]

    class Generator(nn.Module):
        def __init__(self):
            super().__init__()
            layers = [nn.ReflectionPad2d(3),
                      nn.Conv2d(int(d["in"]), width[0], 7, bias=bias),
                      norm_of(width[0]), nn.ReLU()]
            for a, b in ((0, 1), (1, 2)):
                blur = d.get("antialias") == "1"
                layers += [nn.Conv2d(width[a], width[b], 3, 1 if blur else 2,
                                     1, bias=bias),
                           norm_of(width[b]), nn.ReLU()]
                layers += [Blur(width[b])] if blur else []
            layers += [Block(width[2], width[3])
                       for _ in range(int(d["blocks"]))]
            layers += up(width[2], width[4]) + up(width[4], width[5])
            layers += [nn.ReflectionPad2d(3),
                       nn.Conv2d(width[5], int(d["out"]), 7), nn.Tanh()]
            self.model = nn.Sequential(*layers)

        def forward(self, x):
            return self.model(x)

    net = Generator()
    # batch norm of one picture's own statistics is that of training
    return net.train(norm == "batch" and d["image_stats"] == "1")


def ours(program, path, x):
    """What the library makes of x (N, C, H, W)."""
    n, _, h, w = x.shape
    x.transpose(0, 2, 3, 1).tofile(path + ".in")
    subprocess.run([program, "apply", path, str(n), str(h), str(w),
                    path + ".in", path + ".out"], check=True)
    y = numpy.fromfile(path + ".out", numpy.float32)
    os.remove(path + ".in")
    os.remove(path + ".out")
    return y.reshape(n, h, w, -1).transpose(0, 3, 1, 2)


def apart(y, want, bound):
    if y.shape != want.shape:
        return "shape %s, not %s" % (y.shape, want.shape)
    off = float(abs(y - want).max())
    return None if off <= bound else "off by %g" % off


def check_torch(name, state, d, cases, bound):
    """Load strictly and compare."""
    net = official(d)
    try:
        net.load_state_dict(state, strict=True)
    except RuntimeError as e:
        report(name + ": strict", e)
        return
    problem = None
    with torch.no_grad():
        for x, want in cases:
            if x.shape[0] == 1:            # a batch shares training's norms
                y = net(torch.from_numpy(x)).numpy()
                problem = problem or apart(y, want, bound)
    report(name, problem)


def check_return(name, state, d, cases, program, cgd, stem):
    """What PyTorch saves again comes back through cgd import, in both of its
    formats. Names and shapes alone do not tell every net from another."""
    if (d["norm"] == "none" or d["up"] == "nearest"
            or d["image_stats"] == "0"):
        return
    net = official(d)
    net.load_state_dict(state, strict=True)
    for form in (True, False):
        back = stem + ".back"
        torch.save(net.state_dict(), back,
                   _use_new_zipfile_serialization=form)
        done = subprocess.run([cgd, "import", back, "-o", back + ".model"],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True)
        problem = done.stdout if done.returncode else None
        for x, want in cases:
            problem = problem or apart(ours(program, back + ".model", x),
                                       want, 1e-4)
        report("%s and back, %s" % (name, "zip" if form else "legacy"),
               problem)


def check_onnx(name, path, cases, bound):
    if onnx:
        try:
            onnx.checker.check_model(onnx.load(path), full_check=True)
            report(name + ": checker", None)
        except Exception as e:
            report(name + ": checker", e)
    if not onnxruntime:
        return
    session = onnxruntime.InferenceSession(
        path, providers=["CPUExecutionProvider"])
    problem = None
    for x, want in cases:
        y, = session.run(None, {"input": x})
        problem = problem or apart(y, want, bound)
    report(name, problem)


def check_described(folder, cgd):
    """What says what it is in a tensor comes back from Python, which loses
    the metadata, as it was; at the top, and under names of others."""
    state = safetensors.numpy.load_file(folder + "/none.described.safetensors")
    back = folder + "/none.back.safetensors"
    text = bytes(state["cgd.description"]).decode()
    report("--describe: text", None if "up=nearest" in text else text)
    for key in "", "net.":
        for dtype in numpy.uint8, numpy.float16:
            state["cgd.description"] = \
                state["cgd.description"].astype(dtype)
            safetensors.numpy.save_file(
                {key + k: v for k, v in state.items()}, back)
            done = subprocess.run(
                [cgd, "import", back, "-o", back + ".model"],
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            problem = None
            if done.returncode or "assumed" in done.stdout:
                problem = done.stdout
            elif (open(back + ".model", "rb").read() !=
                  open(folder + "/none.ranged.safetensors", "rb").read()):
                problem = "another net"
            report("--describe and back, %s%s" % (key, dtype.__name__),
                   problem)
    for what in "no description", "one of zeros":
        state["cgd.description"] = numpy.zeros(9, numpy.float32)
        if what == "no description":
            del state["cgd.description"]
        safetensors.numpy.save_file(state, back)
        done = subprocess.run([cgd, "import", back, "-o", back + ".model"],
                              stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True)
        good = done.returncode == 0 and "export --describe" in done.stdout
        report("what was guessed names --describe: " + what,
               None if good else done.stdout)


def main():
    folder, program, cgd = sys.argv[1:4]
    random = numpy.random.RandomState(3)
    version = " (PyTorch %s)" % torch.__version__ if torch else ""
    for path in sorted(glob.glob(folder + "/*.safetensors")):
        stem = path[:-len(".safetensors")]
        name = os.path.basename(stem)
        if "." in name:
            continue
        d = description(path)
        cases = []
        for size in SIZES:
            x = random.uniform(-1, 1, (size[0], int(d["in"])) + size[1:])
            x = x.astype(numpy.float32)
            cases.append((x, ours(program, path, x)))
        for kind, bound in (("", 1e-4), (".f16", 1e-2)):
            if torch:
                state = torch.load(stem + kind + ".pth", weights_only=True)
                check_torch(name + kind + ".pth" + version, state, d, cases,
                            bound)
                if not kind:
                    check_return(name + ".pth" + version, state, d, cases,
                                 program, cgd, stem)
            if torch and safetensors:
                state = safetensors.torch.load_file(
                    stem + kind + ".safetensors")
                check_torch(name + kind + ".safetensors" + version, state, d,
                            cases, bound)
            if onnx or onnxruntime:
                check_onnx(name + kind + ".onnx", stem + kind + ".onnx",
                           cases, bound)
        if torch:
            state = torch.load(stem + ".bf16.pth", weights_only=True)
            types = set(t.dtype for t in state.values())
            report(name + ".bf16.pth" + version,
                   None if types == {torch.bfloat16} else types)
    if safetensors:
        check_described(folder, cgd)
    if not torch:
        skip("PyTorch is not installed")
    if not safetensors:
        skip("the Python package safetensors is not installed")
    if not onnx:
        skip("the Python package onnx is not installed")
    if not onnxruntime:
        skip("ONNX Runtime is not installed")
    print("%(passed)d passed, %(failed)d failed, %(skipped)d skipped" % counts)
    return counts["failed"] != 0


sys.exit(main())
