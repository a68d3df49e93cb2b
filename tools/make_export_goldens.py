#!/usr/bin/env python3
"""Write tests/golden/halves.h: floats, and the half and the bfloat16 that
NumPy and PyTorch round them to.

    python3 tools/make_export_goldens.py

Floats at the edges of every range, ties in both directions and their
neighbours, and random bits of a fixed seed. The C tests need no Python.
"""
import os
import struct

import numpy
import torch

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)),
                   "..", "tests", "golden", "halves.h")


def bits_of(value):
    return struct.unpack("<I", struct.pack("<f", value))[0]


def main():
    edges = [0, 2.0 ** -24, 2.0 ** -25, 3 * 2.0 ** -25, 2.0 ** -14,
             2.0 ** -14 - 2.0 ** -25, 1, 1 + 2.0 ** -11, 1 + 3 * 2.0 ** -11,
             1 + 2.0 ** -8, 1 + 3 * 2.0 ** -8, 2047.5, 2048.5, 2049, 65504,
             65519, 65520, 65536, 3.3895313892515355e38,
             3.4028234663852886e38, 2.0 ** -126, 2.0 ** -149, 0.02]
    bits = []
    for edge in edges:
        for step in (-1, 0, 1):
            bits.append(max(bits_of(edge) + step, 0))
    bits += [0x7f800000, 0x7f7fffff]
    bits += numpy.random.RandomState(5).randint(
        0, 2 ** 31, 60, dtype=numpy.int64).tolist()
    # exponents in which halves are numbers, subnormal ones among them
    bits += (numpy.random.RandomState(6).randint(
        0, 2 ** 23, 80, dtype=numpy.int64)
        + (numpy.arange(80) % 42 + 101 << 23)).tolist()
    bits = sorted(set(b for b in bits if b <= 0x7f800000))     # no NaN
    bits += [b | 0x80000000 for b in bits[::3]]
    floats = numpy.array(bits, numpy.uint32).view(numpy.float32)
    with numpy.errstate(over="ignore"):
        half = floats.astype(numpy.float16).view(numpy.uint16)
    bfloat = torch.from_numpy(floats.copy()).to(torch.bfloat16)
    bfloat = bfloat.view(torch.int16).numpy().view(numpy.uint16)
    with open(OUT, "w") as f:
        f.write("/* Written by tools/make_export_goldens.py with NumPy %s and "
                "PyTorch\n * %s, seeds 5 and 6. Do not edit. */\n\n"
                % (numpy.__version__, torch.__version__.split("+")[0]))
        f.write("static const struct { unsigned bits, half, bfloat; } "
                "golden_half[] = {\n")
        for row in zip(bits, half, bfloat):
            f.write("    { 0x%08xU, 0x%04xU, 0x%04xU },\n" % row)
        f.write("};\n")


main()
