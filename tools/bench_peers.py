#!/usr/bin/env python3
"""Our speed beside PyTorch's and ONNX Runtime's:   make bench-peers

The same nets and steps, in turn with ours, each in a process of its own;
medians of ROUNDS rounds. Uses the torch that python3 finds (and onnxruntime
with onnx, if it finds them). For nets the best of eager, frozen and compiled
counts, for steps eager; fp32 and bf16 (autocast) apart.

    python3 tools/bench_peers.py [NAME...]      teacher_64_16 train_128_32 ...

One line a figure: name, ours, the peer, ratio; memory is the process's peak.
"""
import io
import os
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
BENCH = os.path.join(HERE, "..", "build", "bench")
THREADS = 2
ROUNDS = 3
SIZES = {"256_64": (256, 64), "128_32": (128, 32), "64_16": (64, 16)}
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


def net_call(torch, pt, what, size, width, cast, how):
    net = pt.Generator(width, 9 if what == "teacher" else 3, "instance",
                       "deconv").eval()
    x = torch.rand(1, 3, size, size) * 2 - 1
    if how == "onnx":
        import onnxruntime
        file = io.BytesIO()
        torch.onnx.export(net, (x,), file, opset_version=17, dynamo=False)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = THREADS
        session = onnxruntime.InferenceSession(
            file.getvalue(), options, providers=["CPUExecutionProvider"])
        feed = {session.get_inputs()[0].name: x.numpy()}
        return lambda: session.run(None, feed)
    if how == "frozen":
        net = torch.jit.freeze(torch.jit.trace(net, x))
    if how == "compiled":
        net = torch.compile(net)

    def call():
        with torch.inference_mode(), cast():
            net(x)
    return call


def peer(name, how, precision):
    import torch
    import make_goldens as pt
    torch.set_num_threads(THREADS)
    what, size = name.split("_", 1)
    size, width = SIZES[size]

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


# ---- the comparison ----------------------------------------------------------

def run(command):
    """Output and peak memory in MB of a process; None where it failed."""
    child = subprocess.Popen(command, stdout=subprocess.PIPE,
                             stderr=subprocess.DEVNULL, text=True)
    out = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = status
    return (out, usage.ru_maxrss / 1e3) if status == 0 else (None, 0)


def ours(name):
    out, memory = run([BENCH, "%dt" % THREADS, name])
    key = "%s_%dt " % (name, THREADS)
    for line in (out or "").splitlines():
        if line.startswith(key):
            return float(line.split()[1]), memory
    sys.exit("bench_peers: %s printed no %s: run `make bench-peers`"
             % (BENCH, key))


def theirs(name, how, precision):
    out, memory = run([sys.executable, os.path.abspath(__file__), "--peer",
                       name, how, precision])
    return (float(out.split("peer ")[1].split()[0]), memory) if out else None


def variants(name):
    if name.startswith(("train", "distil")):
        return [("eager", "fp32"), ("eager", "bf16")]
    return [("eager", "fp32"), ("frozen", "fp32"), ("compiled", "fp32"),
            ("onnx", "fp32"), ("eager", "bf16"), ("frozen", "bf16")]


def label(how, precision):
    return "onnxruntime" if how == "onnx" else "pytorch_" + precision


def compare(name):
    """Interleaved rounds; the best variant under each label counts."""
    own, rows = [], {}
    for _ in range(ROUNDS):
        own.append(ours(name))
        for how, precision in variants(name):
            result = theirs(name, how, precision)
            if result:
                rows.setdefault((how, precision), []).append(result)
    ms, mb = (statistics.median(v) for v in zip(*own))
    best = {}
    for key, runs in rows.items():
        figure = tuple(statistics.median(v) for v in zip(*runs)) + (key[0],)
        best[label(*key)] = min(best.get(label(*key), figure), figure)
    for peer_name, (peer_ms, peer_mb, how) in sorted(best.items()):
        print("%s_%dt ours %.4g ms %.0f MB  %s %.4g ms %.0f MB (%s)  "
              "faster %.2f  smaller %.1f"
              % (name, THREADS, ms, mb, peer_name, peer_ms, peer_mb, how,
                 peer_ms / ms, peer_mb / mb), flush=True)


def main(names):
    # Not imported here: a child's peak memory would start from ours.
    version, _ = run([sys.executable, "-c",
                      "import torch; print(torch.__version__)"])
    if not version:
        sys.exit("bench_peers: python3 finds no torch: pip install torch")
    print("# PyTorch %s, %d threads, %d rounds"
          % (version.strip(), THREADS, ROUNDS), flush=True)
    for name in names or NAMES:
        if name not in NAMES:
            sys.exit("bench_peers: unknown name %s; known are %s"
                     % (name, ", ".join(NAMES)))
        compare(name)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--peer"]:
        peer(*sys.argv[2:])
    else:
        main(sys.argv[1:])
