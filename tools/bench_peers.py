#!/usr/bin/env python3
"""Our speed beside PyTorch's, ONNX Runtime's and ncnn's:   make bench-peers

The same nets and steps, in turn with ours, each in a process of its own;
medians of ROUNDS rounds. Uses the torch that python3 finds (and onnxruntime
with onnx, and ncnn, if it finds them). For nets the best of eager, frozen and
compiled counts, of ncnn the better of its own choice of Winograd's sizes and
F(4x4,3x3) alone; for steps eager; fp32 and bf16 (autocast) apart.

    python3 tools/bench_peers.py [NAME...]      teacher_64_16 train_128_32 ...

One line a figure: name, ours, the peer, ratio; memory is the process's peak.
The nets of the inference engines are written to a file first, so that their
processes hold no PyTorch, and must give PyTorch's picture.
"""
import os
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
BENCH = os.path.join(HERE, "..", "build", "bench")
THREADS = 2
ROUNDS = 3
SIZES = {"256_64": (256, 64), "128_32": (128, 32), "64_16": (64, 16)}
ENGINES = {"onnx": "onnxruntime", "ncnn": "ncnn", "ncnn43": "ncnn"}
NAMES = [what + "_" + size for size in SIZES
         for what in ("teacher", "student", "train", "distil")]


# ---- the peers' side, in a child process -----------------------------------

def median_ms(call, seconds=4.0):
    call()
    call()
    took, start = [], time.perf_counter()
    while len(took) < 3 or (time.perf_counter() - start < seconds
                            and len(took) < 100):
        t = time.perf_counter()
        call()
        took.append(time.perf_counter() - t)
    return 1e3 * statistics.median(took)


def train_call(torch, pt, size, width, cast):
    F = torch.nn.functional
    g = [pt.Generator(width, 9, "instance", "deconv") for _ in "ab"]
    d = [pt.PatchGan(width, 3, "instance") for _ in "ab"]
    adams = pt.optimiser(*g), pt.optimiser(*d)
    a, b = (torch.rand(1, 3, size, size) * 2 - 1 for _ in "ab")

    def call():
        for p in (p for net in d for p in net.parameters()):
            p.requires_grad_(False)             # as the official code does
        with cast():
            fake_b, fake_a = g[0](a), g[1](b)
            loss = (10 * (F.l1_loss(g[1](fake_b), a)
                          + F.l1_loss(g[0](fake_a), b))
                    + 5 * (F.l1_loss(g[0](b), b) + F.l1_loss(g[1](a), a))
                    + pt.real(d[1](fake_b)) + pt.real(d[0](fake_a)))
        pt.descend(adams[0], loss)
        for p in (p for net in d for p in net.parameters()):
            p.requires_grad_(True)
        with cast():
            loss = pt.judge(d[0], a, fake_a) + pt.judge(d[1], b, fake_b)
        pt.descend(adams[1], loss)
    return call


def distil_call(torch, pt, size, width, cast):
    """All terms of the original method, the reverse generator frozen."""
    F = torch.nn.functional
    teacher, reverse = (pt.Generator(width, 9, "instance", "deconv")
                        .requires_grad_(False) for _ in "ab")
    student = pt.Generator(width, 3, "instance", "deconv")
    d = pt.PatchGan(width, 3, "instance")
    adams = pt.optimiser(student), pt.optimiser(d)
    a, b = (torch.rand(1, 3, size, size) * 2 - 1 for _ in "ab")

    def call():
        d.requires_grad_(False)
        with cast():
            with torch.no_grad():
                goal, blocks = teacher(a, features=True)
                fake_a = reverse(b)
            fake_b, own = student(a, features=True)
            loss = (sum(F.mse_loss(s, blocks[t])
                        for s, t in zip(own, (1, 4, 8))) / 3
                    + 10 * F.l1_loss(fake_b, goal)
                    + 10 * (F.l1_loss(reverse(fake_b), a)
                            + F.l1_loss(student(fake_a), b))
                    + 5 * F.l1_loss(student(b), b) + pt.real(d(fake_b)))
        pt.descend(adams[0], loss)
        d.requires_grad_(True)
        with cast():
            loss = pt.judge(d, b, fake_b)
        pt.descend(adams[1], loss)
    return call


def generator(torch, pt, what, size, width):
    net = pt.Generator(width, 9 if what == "teacher" else 3, "instance",
                       "deconv").eval()
    return net, torch.rand(1, 3, size, size) * 2 - 1


def net_call(torch, pt, what, size, width, cast, how):
    net, x = generator(torch, pt, what, size, width)
    if how == "frozen":
        net = torch.jit.freeze(torch.jit.trace(net, x))
    if how == "compiled":
        net = torch.compile(net)

    def call():
        with torch.inference_mode(), cast():
            net(x)
    return call


def split_name(name):
    what, size = name.split("_", 1)
    return (what,) + SIZES[size]


def peer(name, how, precision):
    import torch
    import make_goldens as pt
    torch.set_num_threads(THREADS)
    what, size, width = split_name(name)

    def cast():
        return torch.autocast("cpu", dtype=torch.bfloat16,
                              enabled=precision == "bf16")
    if what == "train":
        call = train_call(torch, pt, size, width, cast)
    elif what == "distil":
        call = distil_call(torch, pt, size, width, cast)
    else:
        call = net_call(torch, pt, what, size, width, cast, how)
    print("peer %g ms" % median_ms(call))


# ---- inference engines: a net is written, then run without PyTorch ---------

class NcnnWriter:
    """A net in ncnn's format: lines of text, one a layer, and raw floats."""

    def __init__(self):
        self.lines, self.blobs, self.data = ["Input in 0 1 in"], 1, []

    def layer(self, kind, inputs, params=(), outputs=1):
        """Add a layer; the names of its outputs."""
        names = ["b%d" % (self.blobs + i) for i in range(outputs)]
        self.blobs += outputs
        self.lines.append(" ".join(
            [kind, "%s_%d" % (kind, len(self.lines)), str(len(inputs)),
             str(outputs)] + inputs + names + ["%d=%s" % p for p in params]))
        return names

    def weights(self, weight, bias):
        self.data.append(b"\0\0\0\0")             # what follows is float32
        for t in [weight] if bias is None else [weight, bias]:
            self.data.append(t.detach().numpy().astype("<f4").tobytes())

    def add(self, layer, x):
        kind = type(layer).__name__
        if hasattr(layer, "conv_block"):
            x, y = self.layer("Split", [x], outputs=2)
            for inner in layer.conv_block:
                y = self.add(inner, y)
            return self.layer("BinaryOp", [x, y], [(0, 0)])[0]
        if kind == "ReflectionPad2d":
            return self.layer("Padding", [x], [
                (i, layer.padding[0]) for i in range(4)] + [(4, 2)])[0]
        if kind in ("Conv2d", "ConvTranspose2d"):
            params = [(0, layer.out_channels), (1, layer.kernel_size[0]),
                      (3, layer.stride[0]), (4, layer.padding[0]),
                      (5, int(layer.bias is not None)),
                      (6, layer.weight.numel())]
            weight = layer.weight
            if kind == "ConvTranspose2d":
                params += [(18, layer.output_padding[0]),
                           (19, layer.output_padding[0])]
                weight = weight.transpose(0, 1).contiguous()
            self.weights(weight, layer.bias)
            return self.layer("Convolution" if kind == "Conv2d" else
                              "Deconvolution", [x], params)[0]
        if kind == "InstanceNorm2d":
            return self.layer("InstanceNorm", [x], [
                (0, layer.num_features), (1, layer.eps), (2, 0)])[0]
        return self.layer({"ReLU": "ReLU", "Tanh": "TanH"}[kind], [x])[0]

    def save(self, net, path):
        out = "in"
        for layer in net.model:
            out = self.add(layer, out)
        with open(path + ".param", "w") as f:
            f.write("7767517\n%d %d\n%s\n" % (len(self.lines), self.blobs,
                                              "\n".join(self.lines)))
        with open(path + ".bin", "wb") as f:
            f.write(b"".join(self.data))


def export(name, how, path):
    """Write path.* for an engine: the net, a picture, PyTorch's answer."""
    import numpy
    import torch
    import make_goldens as pt
    what, size, width = split_name(name)
    net, x = generator(torch, pt, what, size, width)
    with torch.no_grad():
        y = net(x)
    numpy.savez(path + ".npz", x=x.numpy(), y=y.numpy())
    if how == "onnx":
        torch.onnx.export(net, (x,), path + ".onnx", opset_version=17,
                          dynamo=False)
    else:
        NcnnWriter().save(net, path)


def onnx_call(path, x):
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    session = onnxruntime.InferenceSession(
        path + ".onnx", options, providers=["CPUExecutionProvider"])
    feed = {session.get_inputs()[0].name: x}
    return lambda: session.run(None, feed)[0][0]


def ncnn_call(path, x, only43):
    import ncnn
    import numpy
    net = ncnn.Net()
    net.opt.num_threads = THREADS
    net.opt.use_winograd_convolution = True
    for what in ("fp16_packed", "fp16_storage", "fp16_arithmetic",
                 "bf16_packed", "bf16_storage"):
        setattr(net.opt, "use_" + what, False)
    if only43:
        net.opt.use_winograd23_convolution = False
        net.opt.use_winograd63_convolution = False
    if net.load_param(path + ".param") or net.load_model(path + ".bin"):
        sys.exit("ncnn does not read the net")
    picture = ncnn.Mat(x[0]).clone()
    last = net.output_names()[0]

    def call():
        extractor = net.create_extractor()
        extractor.input("in", picture)
        return numpy.array(extractor.extract(last)[1])
    return call


def engine(how, path):
    import numpy
    case = numpy.load(path + ".npz")
    if how == "onnx":
        call = onnx_call(path, case["x"])
    else:
        call = ncnn_call(path, case["x"], how == "ncnn43")
    off = float(abs(call() - case["y"][0]).max())
    if not off <= 1e-3:
        sys.exit("its picture is %g off PyTorch's" % off)
    print("peer %g ms" % median_ms(call))


# ---- the comparison ----------------------------------------------------------

def run(command, **more):
    """Status, output and peak memory in MB of a process."""
    child = subprocess.Popen(command, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, text=True,
                             env=dict(os.environ, **more))
    out = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = status
    return status, out, usage.ru_maxrss / 1e3


def ours(name, precision):
    """Our time and memory; None for bf16 where the processor has none."""
    more = {"CGD_ISA": "bf16"} if precision == "bf16" else {}
    status, out, memory = run([BENCH, "%dt" % THREADS, name], **more)
    key = "%s_%dt " % (name, THREADS)
    for line in out.splitlines():
        if line.startswith(key):
            return float(line.split()[1]), memory
    if status and more:
        return None
    sys.exit("bench_peers: %s printed no %s: run `make bench-peers`"
             % (BENCH, key))


def child(*args):
    return run([sys.executable, os.path.abspath(__file__)] + list(args))


def theirs(name, how, precision):
    """Milliseconds and MB, or None and a word on standard error."""
    if how in ENGINES:
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "net")
            status, out, memory = child("--export", name, how, path)
            if status == 0:
                status, out, memory = child("--engine", how, path)
    else:
        status, out, memory = child("--peer", name, how, precision)
    lines = out.splitlines() or ["nothing was printed"]
    if status == 0:
        return float(lines[-1].split()[1]), memory
    print("# %s, %s %s: %s" % (name, how, precision, lines[-1]),
          file=sys.stderr)
    return None


def variants(name):
    if name.startswith(("train", "distil")):
        return [("eager", "fp32"), ("eager", "bf16")]
    return [("eager", "fp32"), ("frozen", "fp32"), ("compiled", "fp32"),
            ("onnx", "fp32"), ("ncnn", "fp32"), ("ncnn43", "fp32"),
            ("eager", "bf16"), ("frozen", "bf16")]


def label(how, precision):
    return ENGINES.get(how, "pytorch_" + precision)


def compare(name):
    """Interleaved rounds; the best variant under each label counts. Our bf16
    stands beside the peers' bf16, our fp32 beside everything."""
    own, rows = {"fp32": [], "bf16": []}, {}
    for _ in range(ROUNDS):
        for precision in own:
            result = ours(name, precision)
            if result:
                own[precision].append(result)
        for how, precision in variants(name):
            result = theirs(name, how, precision)
            if result:
                rows.setdefault((how, precision), []).append(result)
    best = {}
    for key, runs in rows.items():
        figure = tuple(statistics.median(v) for v in zip(*runs)) + (key[0],)
        best[label(*key)] = min(best.get(label(*key), figure), figure)
    for precision, runs in own.items():
        for peer_name, (peer_ms, peer_mb, how) in sorted(best.items()):
            if not runs or (precision == "bf16" and "bf16" not in peer_name):
                continue
            ms, mb = (statistics.median(v) for v in zip(*runs))
            print("%s_%dt ours_%s %.4g ms %.0f MB  %s %.4g ms %.0f MB (%s)  "
                  "faster %.2f  smaller %.1f"
                  % (name, THREADS, precision, ms, mb, peer_name, peer_ms,
                     peer_mb, how, peer_ms / ms, peer_mb / mb), flush=True)


def main(names):
    # Not imported here: a child's peak memory would start from ours.
    status, version, _ = run([sys.executable, "-c",
                              "import torch; print(torch.__version__)"])
    if status != 0:
        sys.exit("bench_peers: python3 finds no torch: pip install torch")
    print("# PyTorch %s, %d threads, %d rounds"
          % (version.strip(), THREADS, ROUNDS), flush=True)
    for name in names or NAMES:
        if name not in NAMES:
            sys.exit("bench_peers: unknown name %s; known are %s"
                     % (name, ", ".join(NAMES)))
        compare(name)


if __name__ == "__main__":
    child_of = {"--peer": peer, "--export": export, "--engine": engine}
    if sys.argv[1:2] and sys.argv[1] in child_of:
        child_of[sys.argv[1]](*sys.argv[2:])
    else:
        main(sys.argv[1:])
