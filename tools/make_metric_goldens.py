#!/usr/bin/env python3
"""Write tests/golden/sets.h, the other side of the tests of MS-SSIM, of the
distances between sets, and of the bootstrap.

    python3 -m venv /tmp/venv
    /tmp/venv/bin/pip install numpy scipy torch
    /tmp/venv/bin/python tools/make_metric_goldens.py

Everything is computed from the papers' formulas, in double precision and by
other means than the library's: windows cut out whole, two-dimensional filters
of scipy, sums over index pairs, torch's convolutions. Only the random draws
are the library's own, since they are part of what it promises: its generator
is written out here. Pictures come from a formula that the tests know too.
"""
import math
import os

import numpy
import scipy
import scipy.ndimage
import scipy.stats
import torch

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)),
                   "..", "tests", "golden", "sets.h")
MASK = 0xffffffff


# ---- the library's random numbers --------------------------------------------

def scramble(z):
    z ^= z >> 16
    z = z * 0x7feb352d & MASK
    z ^= z >> 15
    z = z * 0x846ca68b & MASK
    return z ^ (z >> 16)


class Rng:
    """xoshiro128**, seeded as cgd_rng_seed does it."""

    def __init__(self, seed, stream):
        z = scramble(seed) ^ scramble((stream + 0x9e3779b9) & MASK) * 3 & MASK
        self.s = []
        for _ in range(4):
            z = (z + 0x9e3779b9) & MASK
            self.s.append(scramble(z))
        self.s[0] |= 1

    def next(self):
        s = self.s
        x = s[1] * 5 & MASK
        x = ((x << 7 | x >> 25) & MASK) * 9 & MASK
        t = s[1] << 9 & MASK
        s[2] ^= s[0]
        s[3] ^= s[1]
        s[1] ^= s[2]
        s[0] ^= s[3]
        s[2] ^= t
        s[3] = (s[3] << 11 | s[3] >> 21) & MASK
        return x

    def below(self, n):
        reject = (1 << 32) % n
        while True:
            x = self.next()
            if x >= reject:
                return x % n

    def uniform(self):
        return self.next() / 4294967296.0

    def normal(self):
        while True:
            a = 2 * self.uniform() - 1
            b = 2 * self.uniform() - 1
            r = a * a + b * b
            if 0 < r < 1:
                return a * math.sqrt(-2 * math.log(r) / r)


# ---- pictures that both sides know -------------------------------------------

def noise(count, seed):
    out = numpy.empty(count, numpy.int64)
    x = seed
    for i in range(count):
        x = (x * 1664525 + 1013904223) & MASK
        out[i] = x >> 24
    return out


def picture(w, h, c, seed, kind):
    """make_picture() in tests/test_metrics.c."""
    y, x, k = numpy.mgrid[0:h, 0:w, 0:c]
    grain = noise(w * h * c, seed).reshape(h, w, c) % (16 + 16 * kind)
    slope = (2 + kind) * x + (seed % 7) * y + 40 * k + 13 * (seed % 11)
    return ((grain + slope) % 256).astype(numpy.uint8)


def pictures(count, w, h, c, first, kind):
    return [picture(w, h, c, first + i, kind) for i in range(count)]


# ---- pairs -------------------------------------------------------------------

def ssim_and_contrast(a, b):
    """Of two planes: every window cut out, statistics straight from it."""
    t = numpy.arange(-5, 6)
    g = numpy.exp(-t * t / (2 * 1.5 * 1.5))
    g = numpy.outer(g, g)
    g /= g.sum()
    wa = numpy.lib.stride_tricks.sliding_window_view(a, (11, 11))
    wb = numpy.lib.stride_tricks.sliding_window_view(b, (11, 11))
    ma = (wa * g).sum((2, 3))
    mb = (wb * g).sum((2, 3))
    da = wa - ma[:, :, None, None]
    db = wb - mb[:, :, None, None]
    va = (da * da * g).sum((2, 3))
    vb = (db * db * g).sum((2, 3))
    cov = (da * db * g).sum((2, 3))
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    contrast = (2 * cov + c2) / (va + vb + c2)
    light = (2 * ma * mb + c1) / (ma * ma + mb * mb + c1)
    return (light * contrast).mean(), contrast.mean()


def halve(a):
    a = numpy.pad(a, ((0, a.shape[0] % 2), (0, a.shape[1] % 2)), "edge")
    return (a[::2, ::2] + a[1::2, ::2] + a[::2, 1::2] + a[1::2, 1::2]) / 4


def ms_ssim(a, b):
    weights = [0.0448, 0.2856, 0.3001, 0.2363, 0.1333]
    scales, side = 0, min(a.shape[:2])
    while scales < 5 and side >= 11:
        side = (side + 1) // 2
        scales += 1
    weights = numpy.array(weights[:scales]) / sum(weights[:scales])
    result = []
    for k in range(a.shape[2]):
        pa, pb = a[:, :, k].astype(float), b[:, :, k].astype(float)
        product = 1
        for i in range(scales):
            ssim, contrast = ssim_and_contrast(pa, pb)
            factor = ssim if i == scales - 1 else contrast
            product *= max(factor, 0) ** weights[i]
            pa, pb = halve(pa), halve(pb)
        result.append(product)
    return numpy.mean(result)


def pair_cases(out):
    out.append("static const struct { size_t w, h, c; unsigned long seed;\n"
               "    int kind_a, kind_b; double ms_ssim, l1; } "
               "golden_pair[] = {")
    for w, h, c, seed, ka, kb in [(64, 64, 3, 5, 0, 0), (64, 64, 3, 12, 0, 1),
                                  (161, 170, 3, 3, 1, 1), (43, 29, 1, 8, 0, 2),
                                  (11, 20, 3, 9, 1, 1), (256, 177, 1, 2, 1, 1),
                                  (64, 48, 1, 2, 0, 1)]:
        a = picture(w, h, c, seed, ka)
        b = picture(w, h, c, seed + 77, kb)
        if ka == kb:
            b = ((a.astype(int) * 3 + b) // 4).astype(numpy.uint8)
        out.append("    { %d, %d, %d, %dUL, %d, %d, %.12f, %.12f }," %
                   (w, h, c, seed, ka, kb, ms_ssim(a, b),
                    abs(a.astype(float) - b).mean()))
    out.append("};\n")


# ---- bootstrap ---------------------------------------------------------------

def draws(seed, replicates, n, m):
    """How often each picture is drawn, for each replicate."""
    result = []
    for r in range(replicates):
        rng = Rng(seed, r)
        a = numpy.bincount([rng.below(n) for _ in range(n)], minlength=n)
        b = numpy.bincount([rng.below(m) for _ in range(m)], minlength=m) \
            if m else None
        result.append((a, b))
    return result


def interval(value, replicates):
    r = numpy.sort(replicates)
    cut = len(r) // 40
    return (value, value + r[cut] - r.mean(),
            value + r[len(r) - 1 - cut] - r.mean())


# ---- sliced Wasserstein distance ---------------------------------------------

BINOMIAL = numpy.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1]) / 256.0


def pyramid(p):
    levels = [p.astype(float)]
    while (min(levels[-1].shape[:2]) + 1) // 2 >= 16:
        top = levels[-1]
        small = scipy.ndimage.convolve(top, BINOMIAL[:, :, None],
                                       mode="mirror")[::2, ::2]
        spread = numpy.zeros_like(top)
        spread[::2, ::2] = small
        levels[-1] = top - scipy.ndimage.convolve(
            spread, 4 * BINOMIAL[:, :, None], mode="mirror")
        levels.append(small)
    return levels


def patches(levels_of_all, level, seed):
    """(pictures, 128, 7, 7, c), standardised per channel."""
    cut = []
    for i, levels in enumerate(levels_of_all):
        p = levels[level]
        rng = Rng(seed, (level << 20) + i)
        own = []
        for _ in range(128):
            x = rng.below(p.shape[1] - 6)
            y = rng.below(p.shape[0] - 6)
            own.append(p[y:y + 7, x:x + 7])
        cut.append(own)
    cut = numpy.array(cut)
    cut -= cut.mean((0, 1, 2, 3), keepdims=True)
    return cut / cut.std((0, 1, 2, 3), keepdims=True)


def transport(a, wa, b, wb):
    return scipy.stats.wasserstein_distance(a, b, wa, wb)


def swd(a, b, seed, replicates):
    c = a[0].shape[2]
    rng = Rng(seed, MASK)
    directions = numpy.array([[rng.normal() for _ in range(49 * c)]
                              for _ in range(512)])
    directions /= numpy.sqrt((directions ** 2).sum(1, keepdims=True))
    pa = [pyramid(p) for p in a]
    pb = [pyramid(p) for p in b]
    counts = draws(seed, replicates, len(a), len(b))
    values, resampled = [], numpy.zeros(replicates)
    for level in range(len(pa[0])):
        qa = patches(pa, level, seed).reshape(len(a) * 128, -1) @ directions.T
        qb = patches(pb, level, seed).reshape(len(b) * 128, -1) @ directions.T
        values.append(numpy.mean([transport(qa[:, d], None, qb[:, d], None)
                                  for d in range(512)]))
        for r, (wa, wb) in enumerate(counts):
            resampled[r] += numpy.mean(
                [transport(qa[:, d], numpy.repeat(wa, 128), qb[:, d],
                           numpy.repeat(wb, 128)) for d in range(64)])
    scale = 1000 / len(values)
    return interval(scale * sum(values), scale * resampled)


def swd_cases(out):
    out.append("static const struct { size_t w, h, c, n, m; int kind; "
               "unsigned long seed;\n    size_t replicates; "
               "double value, low, high; } golden_swd[] = {")
    for w, h, c, n, m, kind, seed in [(32, 32, 3, 4, 4, 1, 1),
                                      (37, 33, 3, 3, 5, 2, 7),
                                      (16, 40, 1, 2, 3, 1, 2)]:
        a = pictures(n, w, h, c, 100, 0)
        b = pictures(m, w, h, c, 200, kind)
        v = swd(a, b, seed, 40)
        out.append("    { %d, %d, %d, %d, %d, %d, %dUL, 40,\n"
                   "      %.9f, %.9f, %.9f }," % ((w, h, c, n, m, kind, seed)
                                                  + v))
    out.append("};\n")


# ---- features, KID, density and coverage -------------------------------------

def features(p):
    rng = Rng(2017, 0)
    x = torch.tensor(p, dtype=torch.float64).permute(2, 0, 1)[None]
    x = x / 127.5 - 1
    result = []
    for i in range(4):
        n_in, n_out = x.shape[1], 16 << i
        deviation = math.sqrt(2 / (9 * n_in))
        w = torch.tensor([deviation * rng.normal()
                          for _ in range(9 * n_in * n_out)],
                         dtype=torch.float64)
        w = w.reshape(3, 3, n_in, n_out).permute(3, 2, 0, 1)
        for _ in range(n_out):
            rng.uniform()                    # drawn for a bias, times 0
        x = torch.nn.functional.pad(x, (1, 1, 1, 1), mode="reflect")
        x = torch.relu(torch.nn.functional.conv2d(x, w, stride=2))
        flat = x[0].flatten(1)
        stats = torch.stack([flat.mean(1), flat.std(1, unbiased=False)], 1)
        result.append(stats.flatten())
    return torch.cat(result).numpy()


def c_doubles(out, name, values):
    out.append("static const double %s[%d] = {" % (name, len(values)))
    for i in range(0, len(values), 5):
        out.append("    " + ", ".join("%.9g" % v for v in values[i:i + 5])
                   + ",")
    out.append("};\n")


def feature_cases(out):
    c_doubles(out, "golden_features_rgb",
              features(picture(33, 20, 3, 5, 1))[::7])
    c_doubles(out, "golden_features_grey",
              features(picture(16, 24, 1, 6, 0))[::7])


def points(n, d, seed, shift):
    """make_points() in tests/test_metrics.c."""
    return (noise(n * d, seed) - 128 + shift).reshape(n, d) / 128.0


def kid(x, y, replicates, seed):
    k = lambda u, v: (u @ v.T / u.shape[1] + 1) ** 3
    xx, yy, xy = k(x, x), k(y, y), k(x, y)

    def of(wx, wy):
        def apart(m, w):
            pairs = numpy.outer(w, w) * (1 - numpy.eye(len(w)))
            if pairs.sum() == 0:             # one picture, drawn n times
                return m[w.argmax(), w.argmax()]
            return (pairs * m).sum() / pairs.sum()
        return apart(xx, wx) + apart(yy, wy) - 2 * \
            (numpy.outer(wx, wy) * xy).sum() / (wx.sum() * wy.sum())
    value = of(numpy.ones(len(x)), numpy.ones(len(y)))
    return interval(value, [of(a, b) for a, b in
                            draws(seed, replicates, len(x), len(y))])


def density(real, fake, k, replicates, seed):
    def gaps(u, v):
        return numpy.sqrt(((u[:, None] - v[None]) ** 2).sum(2))
    radii = numpy.sort(gaps(real, real), axis=1)[:, k]
    inside = gaps(real, fake) < radii[:, None]

    def of(wr, wf):
        held = (inside * wr[:, None] * wf[None]).sum() / (k * wf.sum())
        return held, (wr * (inside @ wf > 0)).sum() / wr.sum()
    value = of(numpy.ones(len(real)), numpy.ones(len(fake)))
    all_of = numpy.array([of(a, b) for a, b in
                          draws(seed, replicates, len(real), len(fake))])
    d = interval(value[0], all_of[:, 0])
    c = interval(value[1], all_of[:, 1])
    return numpy.maximum(d, 0), numpy.clip(c, 0, 1)


def score_cases(out):
    out.append("static const struct { size_t n, m, d, k; long shift;\n"
               "    unsigned long seed; double kid[3], density[3], "
               "coverage[3]; } golden_scores[] = {")
    for n, m, d, k, shift, seed in [(20, 20, 8, 5, 0, 1), (30, 17, 6, 3, 40, 4),
                                    (8, 2, 3, 1, 0, 9), (12, 40, 480, 5, 9, 2)]:
        x = points(n, d, 11 + seed, 0)
        y = points(m, d, 500 + seed, shift)
        de, co = density(x, y, k, 200, seed)
        rows = ["{ %.10f, %.10f, %.10f }" % t
                for t in (kid(x, y, 200, seed), tuple(de), tuple(co))]
        out.append("    { %d, %d, %d, %d, %dL, %dUL,\n      %s }," %
                   (n, m, d, k, shift, seed, ",\n      ".join(rows)))
    out.append("};\n")


def mean_cases(out):
    v = points(31, 1, 77, 0).ravel()
    means = interval(v.mean(), [(a * v).mean()
                                for a, _ in draws(5, 200, 31, 0)])
    c_doubles(out, "golden_mean", means)


def main():
    out = ["/* Written by tools/make_metric_goldens.py with numpy %s, scipy "
           "%s\n * and torch %s; seeds are in the rows. Do not edit. */\n"
           % (numpy.__version__, scipy.__version__,
              torch.__version__.split("+")[0])]
    for part in (pair_cases, mean_cases, swd_cases, feature_cases,
                 score_cases):
        part(out)
    with open(OUT, "w", encoding="ascii") as f:
        f.write("\n".join(out).rstrip("\n") + "\n")


if __name__ == "__main__":
    main()
