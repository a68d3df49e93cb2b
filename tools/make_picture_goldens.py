#!/usr/bin/env python3
"""Write the other side of the tests of pictures and metrics.

The files are tests/golden/pictures.h and tests/golden/metrics.h.

    python3 -m venv /tmp/venv
    /tmp/venv/bin/pip install pillow==11.3.0 numpy scikit-image
    /tmp/venv/bin/python tools/make_picture_goldens.py

Pillow says what resizing, turning upright and the conversion to grey give,
scikit-image what SSIM and PSNR are. (Pillow resizes the width first, as all
trainings until now have seen it; from 12.2 on it does some tall pictures the
other way round, which rounds differently.) The C tests need no Python:
pictures come from a formula that both sides know (noise), results are hashes,
numbers and a few very small picture files.
"""
import io
import os
import struct
import zlib

import numpy
import PIL
import skimage
from PIL import Image, ImageOps
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)),
                   "..", "tests", "golden")

# width, height, channels -> width, height
SIZES = [(4, 1, 1, 2, 1), (3, 1, 1, 5, 1), (1, 1, 3, 7, 5), (1, 1, 1, 1, 1),
         (7, 5, 3, 1, 1), (5, 7, 3, 5, 7), (5, 7, 3, 11, 7), (5, 7, 3, 5, 3),
         (64, 64, 3, 286, 286), (256, 256, 3, 286, 286), (71, 53, 1, 30, 97),
         (300, 200, 3, 64, 64), (301, 199, 1, 286, 286), (97, 64, 3, 96, 65),
         (3000, 17, 3, 64, 64), (17, 3000, 3, 64, 64), (2, 2, 3, 500, 3),
         (33, 1, 3, 9, 40), (1000, 3, 1, 7, 2), (45, 31, 4, 20, 50)]
FILTERS = [("CGD_BICUBIC", Image.Resampling.BICUBIC),
           ("CGD_BILINEAR", Image.Resampling.BILINEAR)]
# width, height, channels, how much the second picture differs
PAIRS = [(64, 64, 3, 20), (11, 11, 1, 90), (100, 37, 3, 5), (37, 41, 1, 255),
         (256, 256, 3, 1), (12, 200, 3, 60)]


def noise(w, h, c, seed):
    """The bytes that noise() in tests/test_pictures.c makes."""
    out = numpy.empty(w * h * c, numpy.uint8)
    x = seed
    for i in range(out.size):
        x = (x * 1664525 + 1013904223) & 0xffffffff
        out[i] = x >> 24
    return out.reshape(h, w, c)


def fnv1a(data):
    """Fowler, Noll and Vo's hash FNV-1a."""
    x = 2166136261
    for b in data:
        x = ((x ^ b) * 16777619) & 0xffffffff
    return x


def resize(a, w, h, method):
    """Four channels one by one, since Pillow treats alpha differently."""
    planes = [a[:, :, :3]] if a.shape[2] == 3 else \
        [a[:, :, i] for i in range(a.shape[2])]
    done = [numpy.asarray(Image.fromarray(p).resize((w, h), method))
            for p in planes]
    return done[0] if a.shape[2] == 3 else numpy.stack(done, axis=2)


def resize_cases(out):
    out.append("static const struct { size_t w, h, c, to_w, to_h; int filter;\n"
               "    unsigned long hash; } golden_resize[] = {")
    for w, h, c, tw, th in SIZES:
        for name, method in FILTERS:
            r = resize(noise(w, h, c, w * 7 + h), tw, th, method)
            out.append("    { %d, %d, %d, %d, %d, %s, 0x%08xUL }," %
                       (w, h, c, tw, th, name, fnv1a(r.tobytes())))
    out.append("};\n")


def metric_cases(out):
    out.append("static const struct { size_t w, h, c; int change;\n"
               "    double psnr, ssim; } golden_metric[] = {")
    for w, h, c, change in PAIRS:
        a = noise(w, h, c, w * 7 + h)
        n = noise(w, h, c, w * 7 + h + 1).astype(int)
        y, x = numpy.mgrid[0:h, 0:w]
        a = ((a.astype(int) % 64) + (2 * x + y)[:, :, None]) % 256
        b = numpy.clip(a + n % (change + 1) - change // 2, 0, 255)
        a, b = a.astype(numpy.uint8), b.astype(numpy.uint8)
        s = structural_similarity(a, b, gaussian_weights=True, sigma=1.5,
                                  use_sample_covariance=False, data_range=255,
                                  channel_axis=2)
        p = peak_signal_noise_ratio(a, b, data_range=255)
        out.append("    { %d, %d, %d, %d, %.10f, %.10f }," %
                   (w, h, c, change, p, s))
    out.append("};\n")


def c_bytes(out, name, data):
    out.append("static const unsigned char %s[%d] = {" % (name, len(data)))
    for i in range(0, len(data), 18):
        out.append("    " + ",".join("%d" % b for b in data[i:i + 18]) + ",")
    out.append("};\n")


def corners():
    """16 x 8: red, green above blue, yellow."""
    a = numpy.zeros((8, 16, 3), numpy.uint8)
    a[:4, :8], a[:4, 8:] = (230, 20, 20), (20, 200, 20)
    a[4:, :8], a[4:, 8:] = (20, 20, 220), (220, 220, 30)
    return Image.fromarray(a)


def exif_segment(big):
    """One directory: a make (another tag before ours), the orientation."""
    e = ">" if big else "<"
    tiff = (b"MM" if big else b"II") + struct.pack(e + "HI", 42, 8)
    tiff += struct.pack(e + "H", 2)
    tiff += struct.pack(e + "HHI", 0x10f, 2, 4) + b"abc\0"
    tiff += struct.pack(e + "HHI", 0x112, 3, 1)
    at = len(tiff) + (1 if big else 0)           # the orientation's low byte
    tiff += struct.pack(e + "HH", 1, 0) + struct.pack(e + "I", 0)
    return b"Exif\0\0" + tiff, at + 6


def jpeg(big):
    buf = io.BytesIO()
    exif, at = exif_segment(big)
    corners().save(buf, "JPEG", quality=95, subsampling=0, exif=exif)
    data = bytearray(buf.getvalue())
    at += data.index(exif)
    return data, at


def exif_cases(out):
    """Where the four colours (0 red, 1 green, 2 blue, 3 yellow) end up."""
    rows = []
    for name, big in (("golden_jpeg_ii", False), ("golden_jpeg_mm", True)):
        data, at = jpeg(big)
        c_bytes(out, name, data)
        out.append("enum { %s_orientation = %d };\n" % (name, at))
        for o in range(1, 9):
            data[at] = o
            a = numpy.asarray(ImageOps.exif_transpose(
                Image.open(io.BytesIO(bytes(data)))).convert("RGB")).astype(int)
            seen = []
            for y, x in ((0, 0), (0, -1), (-1, 0), (-1, -1)):
                r, g, b = a[y, x]
                seen.append(3 if r > 128 and g > 128 else
                            0 if r > 128 else 1 if g > 128 else 2)
            if big:
                rows.append("    { %d, %d, { %s } }," % (
                    a.shape[1], a.shape[0], ", ".join(map(str, seen))))
    out.append("static const struct { size_t w, h; int corner[4]; } "
               "golden_upright[8] = {")
    out.extend(rows)
    out.append("};\n")


def progressive(out):
    buf = io.BytesIO()
    corners().save(buf, "JPEG", quality=90, progressive=True)
    c_bytes(out, "golden_progressive", buf.getvalue())


def png_chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + \
        struct.pack(">I", zlib.crc32(kind + data))


def png_file(w, h, depth, colour, rows, extra=b""):
    return (b"\x89PNG\r\n\x1a\n"
            + png_chunk(b"IHDR", struct.pack(">IIBBBBB", w, h, depth, colour,
                                             0, 0, 0))
            + extra + png_chunk(b"IDAT", zlib.compress(rows, 9))
            + png_chunk(b"IEND", b""))


def png_cases(out):
    """Kinds of PNG that stb_image_write cannot write; as Pillow reads them."""
    files = [
        ("golden_png_rgb16", png_file(2, 1, 16, 2, b"\0" + bytes(range(12)))),
        ("golden_png_grey_alpha",
         png_file(3, 1, 8, 4, b"\0" + bytes([9, 0, 100, 128, 250, 255]))),
        ("golden_png_palette_alpha",
         png_file(4, 1, 2, 3, b"\0\x1b",
                  png_chunk(b"PLTE", bytes([1, 2, 3, 40, 50, 60, 7, 80, 9,
                                            200, 210, 220]))
                  + png_chunk(b"tRNS", bytes([0, 128, 255])))),
        ("golden_png_1bit", png_file(8, 1, 1, 0, b"\0\xa5")),
        ("golden_png_rgba",
         png_file(2, 1, 8, 6, b"\0" + bytes([5, 6, 7, 0, 250, 128, 1, 9]))),
    ]
    for name, data in files:
        im = Image.open(io.BytesIO(data))
        c_bytes(out, name, data)
        c_bytes(out, name + "_pixels", im.convert("RGB").tobytes())
    rgb = Image.fromarray(noise(16, 16, 3, 5))
    c_bytes(out, "golden_grey", rgb.convert("L").tobytes())


def write(name, *parts):
    out = ["/* Written by tools/make_picture_goldens.py with Pillow %s, "
           "scikit-image\n * %s and numpy %s; seeds are the sizes'. Do not "
           "edit. */\n" % (PIL.__version__, skimage.__version__,
                           numpy.__version__)]
    for part in parts:
        part(out)
    with open(os.path.join(OUT, name), "w", encoding="ascii") as f:
        f.write("\n".join(out).rstrip("\n") + "\n")


if __name__ == "__main__":
    write("pictures.h", resize_cases, exif_cases, progressive, png_cases)
    write("metrics.h", metric_cases)
