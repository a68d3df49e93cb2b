#!/usr/bin/env python3
"""Write the other side of the tests of pictures and metrics.

The files are tests/golden/pictures.h and tests/golden/metrics.h; the picture
files among the former are also where fuzzing begins (tests/fuzz/corpus).

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


def fuzz_from(name, data):
    with open(os.path.join(OUT, "..", "fuzz", "corpus", "picture", name),
              "wb") as f:
        f.write(data)


def c_bytes(out, name, data):
    if data[:2] in (b"\xff\xd8", b"\x89P", b"BM"):
        fuzz_from(name[7:], data)
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


def rows_of(im):
    return im.convert("RGB").tobytes()


def segments(data):
    """A JPEG's segments, each with its marker and the coded data behind it."""
    out, at = [], 2
    while data[at + 1] != 0xd9:
        end = at + 2 + (data[at + 2] << 8 | data[at + 3])
        while data[end] != 0xff or data[end + 1] in (0, *range(0xd0, 0xd8)):
            end += 1
        out.append(data[at:end])
        at = end
    return out


def encoded(im, kind, **how):
    buf = io.BytesIO()
    im.save(buf, kind, **how)
    return buf.getvalue()


def decoded(data):
    return Image.open(io.BytesIO(data))


def jpeg_kinds(out):
    """What other readers read: as Pillow does."""
    y, x = numpy.mgrid[0:24, 0:40]
    smooth = numpy.stack([x * 6, y * 10, 250 - x * 3 - y * 4], 2)
    smooth = Image.fromarray(smooth.astype(numpy.uint8))
    cmyk = numpy.stack([x * 3, y * 4, 90 - x - y, x + y], 2)[:8, :16]
    cmyk = Image.frombytes("CMYK", (16, 8), cmyk.astype(numpy.uint8).tobytes())
    data = encoded(cmyk, "JPEG", quality=95)
    plain = b"\xff\xd8" + b"".join(s for s in segments(data)
                                   if s[1] != 0xee) + b"\xff\xd9"
    c_bytes(out, "golden_cmyk", plain)
    c_bytes(out, "golden_cmyk_pixels", rows_of(decoded(plain)))
    c_bytes(out, "golden_restarts", encoded(smooth, "JPEG", quality=60,
                                            restart_marker_blocks=2))
    data = encoded(smooth, "JPEG", quality=90, progressive=True)
    c_bytes(out, "golden_scans", data)
    scans, head = [], b"\xff\xd8"
    for s in segments(data):
        head += s
        if s[1] == 0xda:
            scans.append(len(head))
    out.append("enum { golden_scans_first = %d, golden_scans_third = %d };\n"
               % (scans[0], scans[2]))


def upright_png(out):
    """The orientation's low byte is found in the file by the C test."""
    exif, at = exif_segment(False)
    data = bytearray(encoded(corners(), "PNG", exif=exif))
    at += data.index(exif[6:]) - 6
    c_bytes(out, "golden_png_exif", data)
    out.append("enum { golden_png_exif_orientation = %d };\n" % at)
    rgb = noise(13, 11, 3, 9)
    rows = b""
    for x0, y0, dx, dy in ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8),
                           (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
                           (0, 1, 1, 2)):
        for row in rgb[y0::dy, x0::dx]:
            rows += b"\0" + row.tobytes()
    data = (b"\x89PNG\r\n\x1a\n"
            + png_chunk(b"IHDR", struct.pack(">IIBBBBB", 13, 11, 8, 2, 0, 0, 1))
            + png_chunk(b"IDAT", zlib.compress(rows, 9))
            + png_chunk(b"IEND", b""))
    assert rows_of(decoded(data)) == rgb.tobytes()
    c_bytes(out, "golden_png_interlaced", data)


def bmp_file(header, more, pixels):
    start = 14 + len(header) + len(more)
    return (struct.pack("<2sIHHI", b"BM", start + len(pixels), 0, 0, start)
            + header + more + pixels)


def bmp_header(size, w, h, bits, packing=0, colours=0, masks=b""):
    data = struct.pack("<IiiHHIIiiII", size, w, h, 1, bits, packing, 0, 0, 0,
                       colours, 0) + masks
    return data + bytes(size - len(data)) if size > len(data) else data


def bmp_cases(out):
    """Headers of all ages, as Pillow reads them."""
    palette = bytes(range(10, 58))
    masks = struct.pack("<IIII", 0xff0000, 0xff00, 0xff, 0xff000000)
    files = [
        ("golden_bmp_os2",                       # 12 bytes, 3 for a colour
         bmp_file(struct.pack("<IHHHH", 12, 6, 2, 1, 4), palette,
                  bytes([0x01, 0x23, 0x45, 0, 0x67, 0x89, 0xab, 0]))),
        ("golden_bmp_565",
         bmp_file(bmp_header(40, 2, 1, 16, 3),
                  struct.pack("<III", 0xf800, 0x7e0, 0x1f),
                  struct.pack("<HH", 0xf81f, 0x07e0))),
        ("golden_bmp_topdown",
         bmp_file(bmp_header(40, 2, -2, 24), b"",
                  bytes([1, 2, 3, 4, 5, 6, 0, 0, 7, 8, 9, 10, 11, 12, 0, 0]))),
        ("golden_bmp_alpha",
         bmp_file(bmp_header(108, 2, -1, 32, 3, 0, masks), b"",
                  bytes([10, 20, 30, 255, 40, 50, 60, 128]))),
    ]
    for name, data in files:
        c_bytes(out, name, data)
        c_bytes(out, name + "_pixels", rows_of(decoded(data)))


def alpha_cases(out):
    """Half-transparent pixels on white and on a colour."""
    im = Image.frombytes("RGBA", (16, 8), noise(16, 8, 4, 21).tobytes())
    c_bytes(out, "golden_rgba", encoded(im, "PNG"))
    c_bytes(out, "golden_rgba_stored", im.tobytes())
    for name, colour in (("white", (255, 255, 255)), ("teal", (0, 128, 100))):
        on = Image.new("RGB", im.size, colour)
        on.paste(im, mask=im.getchannel("A"))
        c_bytes(out, "golden_rgba_" + name, on.tobytes())


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
    write("pictures.h", resize_cases, exif_cases, progressive, png_cases,
          jpeg_kinds, upright_png, bmp_cases, alpha_cases)
    write("metrics.h", metric_cases)
    fuzz_from("npy_mark", b"\x93NUMPY")
