/* cgd_pictures.h - pictures read and written carefully. For cycle_gan_distil.h
 *
 * Checks JPEG, PNG and BMP before stb_image sees them, turns them upright by
 * EXIF, lays transparent parts on a background, writes PNG by itself, and
 * reads and writes arrays.
 *
 * Quick start: in one source file
 *
 *     #define STB_IMAGE_IMPLEMENTATION
 *     #include <stb/stb_image.h>
 *     #define STB_IMAGE_WRITE_IMPLEMENTATION
 *     #include <stb/stb_image_write.h>
 *     #define CGD_IMPLEMENTATION
 *     #define CGD_PICTURES_IMPLEMENTATION
 *     #include "tools/cgd_pictures.h"
 *
 *     cgd_init(&ctx, NULL);
 *     cgd_use_pictures(&ctx);
 *
 * and everywhere else only the last #include. From then on cgd_image_load,
 * cgd_image_save and the data sets of the context are as careful. It includes
 * cycle_gan_distil.h, whose public interface it uses and whose macros
 * (CGD_STATIC, CGDDEF, CGD_NO_STDIO) hold here too. Without stb_image no
 * pictures are read, without stb_image_write PNG and arrays are written.
 *
 * No damaged file shows what memory held. Where you define
 * STB_IMAGE_IMPLEMENTATION, these lines make sure of it whatever the version
 * of stb_image does; keep PNG in, whose decompressor is used by itself.
 *
 *     #define STBI_MALLOC(size)      calloc(1, size)
 *     #define STBI_REALLOC(p, size)  realloc(p, size)
 *     #define STBI_FREE(p)           free(p)
 *
 * Contents
 *
 *   [api:pictures]   careful reading, backgrounds, PNG
 *   [impl:encoding]  PNG
 *   [impl:decoding]  JPEG, PNG, BMP
 *   [impl:arrays]    arrays
 *   [impl:codec]     upright pictures; files written
 */
#ifndef CGD_PICTURES_H
#define CGD_PICTURES_H

#include "../cycle_gan_distil.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ======================================================================== */
/* [api:pictures] Careful reading, backgrounds, PNG                         */
/* ======================================================================== */

/* Make this the codec of a context. It reads
 *   JPEG, PNG and BMP to c = 1, 3 or 4 channels, turned upright by EXIF. With
 *     4 alpha is kept; with 1 or 3 transparent parts are laid on the
 *     background. Grey is Pillow's convert("L"). A picture that ends too early
 *     is refused, even where stb_image would show what there is; only a
 *     progressive JPEG may lack detail, with a warning.
 *   arrays of any c: NumPy's .npy or a safetensors file of one tensor, (h, w)
 *     or (h, w, c).
 * and writes .png (of 16 bits where the picture has them); .npy, the picture's
 * own type, (h, w, c); .jpg/.jpeg (quality 95) and .bmp through
 * stb_image_write. Dropping bits of 16 is warned of; floating point and more
 * than 4 channels are written as .npy only. */
CGDDEF void cgd_use_pictures(cgd_ctx *ctx);

/* What shows where pictures are transparent: 0xRRGGBB; white unless this is
 * called, with one warning. CGD_NO_BACKGROUND: the colours that a file hides
 * there, as Pillow's convert("RGB") shows them. */
#define CGD_NO_BACKGROUND 0x1000000U
CGDDEF void cgd_use_background(cgd_ctx *ctx, cgd_u32 rgb);

/* A picture of 1 to 4 channels, bytes or 16 bits, as a PNG file, handed to
 * `write` in one piece. Errors: CGD_ERR_ARGUMENT, CGD_ERR_MEMORY. */
CGDDEF cgd_status cgd_image_write_png(cgd_ctx *ctx, const cgd_image *image,
    void (*write)(void *user, const void *data, size_t bytes), void *user);

#ifdef __cplusplus
}
#endif
#endif /* CGD_PICTURES_H */

/* ======================================================================== */
/*                              IMPLEMENTATION                              */
/* ======================================================================== */
#if defined(CGD_PICTURES_IMPLEMENTATION) && !defined(CGD__PICTURES_IMPLEMENTED)
#define CGD__PICTURES_IMPLEMENTED

#include <limits.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- small tools ---------------------------------------------------------*/

#define CGD__MOST_PIXELS ((size_t)1 << 26)       /* of a cgd_image           */
#define CGD__MOST_SIDE ((size_t)1 << 20)

static size_t cgd__fewer(size_t a, size_t b) { return a < b ? a : b; }

/* CRC-32, four bits at a time. */
static cgd_u32 cgd__png_sum(const unsigned char *p, size_t n)
{
    static const cgd_u32 table[16] = {
        0x00000000U, 0x1db71064U, 0x3b6e20c8U, 0x26d930acU,
        0x76dc4190U, 0x6b6b51f4U, 0x4db26158U, 0x5005713cU,
        0xedb88320U, 0xf00f9344U, 0xd6d6a3e8U, 0xcb61b38cU,
        0x9b64c2b0U, 0x86d3d2d4U, 0xa00ae278U, 0xbdbdf21cU };
    cgd_u32 crc = 0xffffffffU;
    for (; n > 0; n--) {
        crc ^= *p++;
        crc = crc >> 4 ^ table[crc & 15];
        crc = crc >> 4 ^ table[crc & 15];
    }
    return crc ^ 0xffffffffU;
}

/* ======================================================================== */
/* [impl:encoding] PNG                                                      */
/* ======================================================================== */
/* stb_image_write ends the process where memory for a PNG is short, and knows
 * 8 bits only; so PNG is written here. The compressor is deflate (RFC 1951)
 * with its fixed code: what was seen before within 32 KB, found by a hash of
 * three bytes, becomes a length and a distance. */

#define CGD__PNG_STORED ((size_t)65535)   /* bytes in a stored block         */
#define CGD__DEFLATE_WINDOW ((size_t)32768)
#define CGD__DEFLATE_TRIES 16

typedef struct cgd__deflate {
    const unsigned char *in;
    size_t size;                       /* of in                              */
    unsigned char *out;
    size_t written;
    cgd_u32 bits;                      /* those of a byte that is not full   */
    int count;
    cgd_u32 *head, *before;            /* by hash, by place: the last place  */
} cgd__deflate;                        /* with this hash, plus 1; 0: none    */

static void cgd__put_bits(cgd__deflate *z, cgd_u32 value, int count)
{
    z->bits |= value << z->count;
    for (z->count += count; z->count >= 8; z->count -= 8) {
        z->out[z->written++] = (unsigned char)(z->bits & 255);
        z->bits >>= 8;
    }
}

/* Of a code the highest bit comes first. */
static void cgd__put_code(cgd__deflate *z, cgd_u32 code, int count)
{
    cgd_u32 turned = 0;
    int i;
    for (i = 0; i < count; i++) turned |= (code >> i & 1) << (count - 1 - i);
    cgd__put_bits(z, turned, count);
}

static void cgd__put_symbol(cgd__deflate *z, cgd_u32 s)
{
    if (s < 144) cgd__put_code(z, 0x30 + s, 8);
    else if (s < 256) cgd__put_code(z, 0x190 + s - 144, 9);
    else if (s < 280) cgd__put_code(z, s - 256, 7);
    else cgd__put_code(z, 0xc0 + s - 280, 8);
}

/* Lengths and distances double their step every four and every two symbols;
 * what the symbol leaves open follows as bits. */
static void cgd__put_match(cgd__deflate *z, size_t length, size_t distance)
{
    cgd_u32 v = (cgd_u32)length - 3, d = (cgd_u32)distance - 1;
    int n = 0;
    while (v >> n > 7) n++;
    if (length == 258) {
        cgd__put_symbol(z, 285);
    } else {
        cgd__put_symbol(z, 257 + 4 * (cgd_u32)n + (v >> n));
        cgd__put_bits(z, v & ((1U << n) - 1), n);
    }
    for (n = 0; d >> n > 3;) n++;
    cgd__put_code(z, 2 * (cgd_u32)n + (d >> n), 5);
    cgd__put_bits(z, d & ((1U << n) - 1), n);
}

static size_t cgd__deflate_hash(const unsigned char *p)
{
    return ((p[0] | (cgd_u32)p[1] << 8 | (cgd_u32)p[2] << 16) * 0x9e3779b1U
            & 0xffffffffU) >> 17;
}

/* The longest match for what stands at `at`, of three bytes or more; or 0. */
static size_t cgd__deflate_match(const cgd__deflate *z, size_t at,
                                 size_t *distance)
{
    size_t limit = cgd__fewer(258, z->size - at), best = 2, n, from, tries;
    const unsigned char *in = z->in;
    if (limit < 3) return 0;
    from = z->head[cgd__deflate_hash(in + at)];
    for (tries = 0; from > 0 && tries < CGD__DEFLATE_TRIES; tries++) {
        size_t start = from - 1;
        if (at - start > CGD__DEFLATE_WINDOW) break;
        for (n = 0; n < limit && in[start + n] == in[at + n]; n++) continue;
        if (n > best) {
            best = n;
            *distance = at - start;
        }
        if (best == limit) break;
        from = z->before[start % CGD__DEFLATE_WINDOW];
    }
    return best > 2 ? best : 0;
}

static void cgd__deflate_run(cgd__deflate *z)
{
    size_t at, next, n, distance = 0;
    cgd__put_bits(z, 3, 3);                       /* last block, fixed code  */
    for (at = 0; at < z->size; at = next) {
        n = cgd__deflate_match(z, at, &distance);
        next = at + (n > 0 ? n : 1);
        if (n > 0) cgd__put_match(z, n, distance);
        else cgd__put_symbol(z, z->in[at]);
        for (; at < next && z->size - at >= 3; at++) {
            cgd_u32 *head = &z->head[cgd__deflate_hash(z->in + at)];
            z->before[at % CGD__DEFLATE_WINDOW] = *head;
            *head = (cgd_u32)at + 1;
        }
    }
    cgd__put_symbol(z, 256);
    cgd__put_bits(z, 0, 7);
}

static void cgd__put_big(unsigned char *p, cgd_u32 v)
{
    int k;
    for (k = 0; k < 4; k++) p[k] = (unsigned char)(v >> (24 - 8 * k) & 255);
}

/* The beginning of a chunk of n bytes. */
static unsigned char *cgd__png_head(unsigned char *to, const char *type,
                                    size_t n)
{
    cgd__put_big(to, (cgd_u32)n);
    memcpy(to + 4, type, 4);
    return to + 8;
}

/* And its end, the check sum. */
static unsigned char *cgd__png_seal(unsigned char *data, size_t n)
{
    cgd__put_big(data + n, cgd__png_sum(data - 4, n + 4));
    return data + n + 4;
}

/* Rows as a data stream whose blocks are stored as they are, without the
 * check sum at its end. It may begin before the rows in the same memory. */
static unsigned char *cgd__png_store(unsigned char *to,
                                     const unsigned char *rows, size_t raw)
{
    *to++ = 0x78;
    *to++ = 1;
    while (raw > 0) {
        size_t n = cgd__fewer(raw, CGD__PNG_STORED);
        memmove(to + 5, rows, n);
        to[0] = n == raw;
        to[1] = (unsigned char)(n & 255);
        to[2] = (unsigned char)(n >> 8);
        to[3] = (unsigned char)(~n & 255);
        to[4] = (unsigned char)(~n >> 8 & 255);
        to += 5 + n;
        rows += n;
        raw -= n;
    }
    return to;
}

/* The whole zlib stream; stored where that is shorter. */
static unsigned char *cgd__zlib(cgd__deflate *z)
{
    unsigned char *to = z->out;
    cgd_u32 a = 1, b = 0;                         /* Adler-32                */
    size_t i;
    to[0] = 0x78;
    to[1] = 1;
    z->written = 2;
    cgd__deflate_run(z);
    if (z->written > z->size + 5 * (z->size / CGD__PNG_STORED + 1))
        to = cgd__png_store(to, z->in, z->size);
    else
        to += z->written;
    for (i = 0; i < z->size; i++) {
        a = (a + z->in[i]) % 65521;
        b = (b + a) % 65521;
    }
    cgd__put_big(to, b << 16 | a);
    return to + 4;
}

static int cgd__paeth(int a, int b, int c)
{
    int pa = b - c, pb = a - c, pc = pa + pb;
    if (pa < 0) pa = -pa;
    if (pb < 0) pb = -pb;
    if (pc < 0) pc = -pc;
    return pa <= pb && pa <= pc ? a : pb <= pc ? b : c;
}

/* A row less what filter 0 to 4 guesses it to be: nothing, the byte of the
 * pixel to the left, the one above, their mean, or Paeth's choice. Returns
 * how large the rest is. */
static size_t cgd__png_filter(unsigned char *out, const unsigned char *row,
                              const unsigned char *above, size_t n,
                              size_t pixel, int filter)
{
    size_t sum = 0, i;
    for (i = 0; i < n; i++) {
        int a = i < pixel ? 0 : row[i - pixel], b = above[i];
        int c = i < pixel ? 0 : above[i - pixel];
        int guess = filter == 0 ? 0 : filter == 1 ? a : filter == 2 ? b
                  : filter == 3 ? (a + b) / 2 : cgd__paeth(a, b, c);
        out[i] = (unsigned char)((row[i] - guess) & 255);
        sum += out[i] < 128 ? out[i] : 256U - out[i];
    }
    return sum;
}

/* Sample i as the low bytes of a word: a byte, 16 bits, or a float's bits. */
static cgd_u32 cgd__sample_bits(const cgd_image *image, size_t i)
{
    float v = image->data ? (float)image->data[i] : image->values[i];
    cgd_u32 bits;
    if (image->data || image->white > 0)
        return (cgd_u32)(v >= image->white ? image->white
                         : v > 0 ? v + 0.5f : 0);
    memcpy(&bits, &v, sizeof bits);
    return bits;
}

/* All rows, filtered, each by what leaves least. two: room for two rows. */
static void cgd__png_rows(unsigned char *out, const cgd_image *image,
                          unsigned char *two)
{
    size_t deep = image->data ? 1 : 2, samples = image->w * image->c;
    size_t n = samples * deep, y, i;
    memset(two, 0, 2 * n);
    for (y = 0; y < image->h; y++, out += 1 + n) {
        unsigned char *row = two + (y & 1) * n, *above = two + (~y & 1) * n;
        size_t least = (size_t)-1, sum;
        int filter;
        for (i = 0; i < samples; i++) {
            cgd_u32 v = cgd__sample_bits(image, y * samples + i);
            if (deep == 2) row[2 * i] = (unsigned char)(v >> 8);
            row[deep * i + deep - 1] = (unsigned char)(v & 255);
        }
        for (filter = 0; filter < 5; filter++) {
            sum = cgd__png_filter(out + 1, row, above, n, image->c * deep,
                                  filter);
            if (sum >= least) continue;
            least = sum;
            out[0] = (unsigned char)filter;
        }
        cgd__png_filter(out + 1, row, above, n, image->c * deep, out[0]);
    }
}

CGDDEF cgd_status cgd_image_write_png(cgd_ctx *ctx, const cgd_image *image,
    void (*write)(void *user, const void *data, size_t bytes), void *user)
{
    static const unsigned char kinds[5] = { 0, 0, 4, 2, 6 };
    const size_t n = image->w * image->c * (image->data ? 1 : 2);
    const size_t raw = (n + 1) * image->h, tables = 2 * CGD__DEFLATE_WINDOW;
    const size_t room = raw + raw / 8 + 128;
    const size_t all = tables * sizeof(cgd_u32) + 2 * n + raw + room;
    unsigned char *block, *out, *to;
    cgd__deflate z;
    if (image->w == 0 || image->c > 4 || (!image->data && image->white <= 0))
        return cgd_fail(ctx, CGD_ERR_ARGUMENT, "a PNG has 1 to 4 channels "
                        "of 8 or 16 bits");
    block = (unsigned char *)cgd_alloc(ctx, 1, all, "writing a PNG");
    if (!block) return CGD_ERR_MEMORY;
    memset(&z, 0, sizeof z);
    z.head = (cgd_u32 *)(void *)block;
    z.before = z.head + CGD__DEFLATE_WINDOW;
    z.in = block + tables * sizeof(cgd_u32) + 2 * n;
    z.size = raw;
    out = block + all - room;
    cgd__png_rows(block + tables * sizeof(cgd_u32) + 2 * n, image,
                  block + tables * sizeof(cgd_u32));
    memcpy(out, "\x89PNG\r\n\x1a\n", 8);
    to = cgd__png_head(out + 8, "IHDR", 13);
    cgd__put_big(to, (cgd_u32)image->w);
    cgd__put_big(to + 4, (cgd_u32)image->h);
    to[8] = image->data ? 8 : 16;
    to[9] = kinds[image->c];
    z.out = to = cgd__png_seal(to, 13) + 8;
    to = cgd__zlib(&z);
    cgd__png_head(z.out - 8, "IDAT", (size_t)(to - z.out));
    to = cgd__png_seal(z.out, (size_t)(to - z.out));
    to = cgd__png_seal(cgd__png_head(to, "IEND", 0), 0);
    write(user, out, (size_t)(to - out));
    cgd_release(ctx, block, all);
    return CGD_OK;
}

/* ======================================================================== */
/* [impl:decoding] JPEG, PNG, BMP                                           */
/* ======================================================================== */

#define CGD__NPY "\x93NUMPY"           /* how NumPy's .npy files begin        */

/* Files are hostile, and stb_image trusts them: it shows memory that it never
 * wrote, follows palettes and tables that are not there, and takes any size.
 * So a file passes three steps. cgd__look walks its markers or chunks: what
 * is it, can it be decoded, how large will it get? cgd__prepare_* writes it
 * anew, with nothing in it but what the walk has checked. Then stb_image. */

static void cgd__reject(cgd_decoding *d, cgd_status status,
                        const char *reason)
{
    d->status = status;
    cgd_format(d->sentence, sizeof d->sentence, "%s: %s", d->label, reason);
}

/* What is known, but not read here. */
static void cgd__refuse_kind(cgd_decoding *d, const char *name)
{
    d->status = CGD_ERR_FORMAT;
    cgd_format(d->sentence, sizeof d->sentence, "%s: this is %s, which is "
               "not read here: convert it to an ordinary JPEG, PNG or BMP",
               d->label, name);
}

static size_t cgd__number(const unsigned char *p, int bytes, int big)
{
    size_t v = 0;
    int i;
    for (i = 0; i < bytes; i++) v = v << 8 | p[big ? i : bytes - 1 - i];
    return v;
}

/* What a file is by its first bytes; the first four kinds are read. */
enum { CGD__JPEG, CGD__PNG, CGD__BMP, CGD__ARRAY, CGD__UNKNOWN = -1 };

static const struct cgd__kind {
    const char *name;
    size_t at, length;             /* where its mark stands                  */
    const char *mark;
} cgd__kinds[] = {
    { "a JPEG picture", 0, 3, "\xff\xd8\xff" },
    { "a PNG picture", 0, 8, "\x89PNG\r\n\x1a\n" },
    { "a BMP picture", 0, 2, "BM" },
    { "a NumPy array", 0, 6, CGD__NPY },
    { "a GIF picture", 0, 4, "GIF8" },
    { "a WebP picture", 8, 4, "WEBP" },
    { "a TIFF picture", 0, 4, "II*\0" },
    { "a TIFF picture", 0, 4, "MM\0*" },
    { "a HEIC picture", 4, 6, "ftyphe" },
    { "a HEIC picture", 4, 8, "ftypmif1" },
    { "an AVIF picture", 4, 7, "ftypavi" },
    { "a film", 4, 4, "ftyp" },
    { "a JPEG XL picture", 0, 2, "\xff\x0a" },
    { "a JPEG XL picture", 4, 4, "JXL " },
    { "a JPEG 2000 picture", 4, 4, "jP  " },
    { "a JPEG 2000 picture", 0, 4, "\xff\x4f\xff\x51" },
    { "a Photoshop picture", 0, 4, "8BPS" },
    { "a Radiance picture", 0, 3, "#?R" },
    { "an OpenEXR picture", 0, 4, "\x76\x2f\x31\x01" },
    { "a DICOM picture", 128, 4, "DICM" },
    { "a PDF document", 0, 5, "%PDF-" },
    { "a zip archive", 0, 4, "PK\3\4" },
    { "a pointer of Git LFS", 0, 15, "version https:/" },
    { "text with markup (a web page, an SVG)", 0, 1, "<" }
};

static int cgd__picture_kind(const unsigned char *p, size_t size)
{
    size_t i, n = sizeof cgd__kinds / sizeof *cgd__kinds;
    for (i = 0; i < n; i++) {
        const struct cgd__kind *k = &cgd__kinds[i];
        if (size >= k->at + k->length
            && memcmp(p + k->at, k->mark, k->length) == 0) break;
    }
    /* "BM" may begin a text: the header's size is one of a few. */
    if (i == CGD__BMP && (size < 18 || cgd__number(p + 15, 3, 0) != 0
                          || !memchr("\14\50\64\70\100\154\174", p[14], 7)))
        i = n;
    if (i == CGD__ARRAY && size < 10) i = n;
    if (i == n && size >= 10 && p[8] == '{' && p[7] == 0)    /* safetensors  */
        i = CGD__ARRAY;
    return i < n ? (int)i : CGD__UNKNOWN;
}

#ifdef STBI_INCLUDE_STB_IMAGE_H

static size_t cgd__parts(size_t a, size_t b) { return (a + b - 1) / b; }

/* The answers of the walks. */
enum { CGD__WHOLE, CGD__TRUNCATED, CGD__DAMAGED, CGD__FOREIGN };

static void cgd__refuse_found(cgd_decoding *d, int found, const char *name)
{
    if (found == CGD__TRUNCATED)
        cgd__reject(d, CGD_ERR_FORMAT, "the picture is truncated");
    if (found == CGD__DAMAGED)
        cgd__reject(d, CGD_ERR_FORMAT, "the picture is damaged");
    if (found == CGD__FOREIGN)
        cgd__refuse_kind(d, name);
}

/* The orientation in EXIF, or 0: a TIFF header in either byte order, then the
 * first directory, twelve bytes an entry. */
static int cgd__exif_orientation(const unsigned char *p, size_t size)
{
    size_t at, entries;
    int big;
    if (size < 8) return 0;
    big = p[0] == 'M';
    if (p[0] != p[1] || (!big && p[0] != 'I')) return 0;
    at = cgd__number(p + 4, 4, big);
    if (at > size - 2) return 0;
    entries = cgd__number(p + at, 2, big);
    for (at += 2; entries > 0 && size - at >= 12; entries--, at += 12) {
        if (cgd__number(p + at, 2, big) == 0x112
            && cgd__number(p + at + 2, 2, big) == 3) {
            size_t v = cgd__number(p + at + 8, 2, big);
            return v >= 1 && v <= 8 ? (int)v : 0;
        }
    }
    return 0;
}

/* ---- decoding: JPEG ------------------------------------------------------*/

#define CGD__JPEG_SCANS 100            /* ten are usual; each costs a pass   */

/* What the markers have told, and the file as it is written anew. */
typedef struct cgd__jpeg {
    unsigned char *out;                /* NULL: only look                    */
    size_t size, complete;             /* written; up to the last whole scan */
    const char *name;                  /* of a kind that is not read         */
    size_t w, h;
    unsigned frame;                    /* 0xc0 to 0xc2; 0: not seen yet      */
    unsigned parts;                    /* components                         */
    struct { unsigned id, across, down, quantiser; } part[4];
    unsigned across, down;             /* the largest                        */
    unsigned quantisers, tables;       /* seen, a bit each: DC 0-3, AC 4-7   */
    unsigned covered;                  /* components whose pixels are there  */
    unsigned scans;
    size_t interval;                   /* of restart markers; 0: none        */
    int jfif, adobe;                   /* Adobe's transform, or -1           */
    int orientation;
} cgd__jpeg;

/* T.81's typical Huffman tables (Annex K.3.3), as a whole segment. Frames of
 * motion JPEG leave them out; decoders begin with them. */
static const unsigned char cgd__jpeg_huffman[420] = {
    255,196,1,162,0,0,1,5,1,1,1,1,1,1,0,0,0,0,0,0,0,0,1,2,3,4,5,6,7,8,9,10,11,
    1,0,3,1,1,1,1,1,1,1,1,1,0,0,0,0,0,0,1,2,3,4,5,6,7,8,9,10,11,16,0,2,1,3,3,
    2,4,3,5,5,4,4,0,0,1,125,1,2,3,0,4,17,5,18,33,49,65,6,19,81,97,7,34,113,20,
    50,129,145,161,8,35,66,177,193,21,82,209,240,36,51,98,114,130,9,10,22,23,
    24,25,26,37,38,39,40,41,42,52,53,54,55,56,57,58,67,68,69,70,71,72,73,74,
    83,84,85,86,87,88,89,90,99,100,101,102,103,104,105,106,115,116,117,118,
    119,120,121,122,131,132,133,134,135,136,137,138,146,147,148,149,150,151,
    152,153,154,162,163,164,165,166,167,168,169,170,178,179,180,181,182,183,
    184,185,186,194,195,196,197,198,199,200,201,202,210,211,212,213,214,215,
    216,217,218,225,226,227,228,229,230,231,232,233,234,241,242,243,244,245,
    246,247,248,249,250,17,0,2,1,2,4,4,3,4,7,5,4,4,0,1,2,119,0,1,2,3,17,4,5,
    33,49,6,18,65,81,7,97,113,19,34,50,129,8,20,66,145,161,177,193,9,35,51,82,
    240,21,98,114,209,10,22,36,52,225,37,241,23,24,25,26,38,39,40,41,42,53,54,
    55,56,57,58,67,68,69,70,71,72,73,74,83,84,85,86,87,88,89,90,99,100,101,
    102,103,104,105,106,115,116,117,118,119,120,121,122,130,131,132,133,134,
    135,136,137,138,146,147,148,149,150,151,152,153,154,162,163,164,165,166,
    167,168,169,170,178,179,180,181,182,183,184,185,186,194,195,196,197,198,
    199,200,201,202,210,211,212,213,214,215,216,217,218,226,227,228,229,230,
    231,232,233,234,242,243,244,245,246,247,248,249,250
};
#define CGD__JPEG_TYPICAL 0x33U        /* DC 0 and 1, AC 0 and 1             */

static void cgd__jpeg_write(cgd__jpeg *j, const unsigned char *p, size_t n)
{
    if (j->out) memcpy(j->out + j->size, p, n);
    j->size += n;
}

/* Adobe's marker says how the components are to be understood. The rules are
 * those of other readers: four are inverted CMYK, unless YCCK is said; three
 * are RGB if it is said and the file is no JFIF. */
static void cgd__jpeg_write_adobe(cgd__jpeg *j)
{
    unsigned char m[16] = "\xff\xee\0\16" "Adobe\0\144\0\0\0\0";
    int rgb = j->adobe == 0 && !j->jfif;
    if (j->parts == 4) m[15] = j->adobe > 0 ? 2 : 0;
    else m[15] = rgb ? 0 : 1;
    cgd__jpeg_write(j, m, 16);
}

/* Huffman tables: of more than 255 symbols stb_image fails an assertion or
 * writes past its arrays. */
static int cgd__jpeg_tables(cgd__jpeg *j, const unsigned char *p, size_t n)
{
    while (n > 0) {
        size_t symbols = 0, i;
        if (n < 17 || p[0] > 0x1f || (p[0] & 15) > 3) return CGD__DAMAGED;
        for (i = 1; i <= 16; i++) symbols += p[i];
        if (symbols > 255 || 17 + symbols > n) return CGD__DAMAGED;
        j->tables |= 1U << ((p[0] >> 4) * 4 + (p[0] & 3));
        p += 17 + symbols;
        n -= 17 + symbols;
    }
    return CGD__WHOLE;
}

static int cgd__jpeg_quantisers(cgd__jpeg *j, const unsigned char *p,
                                size_t n)
{
    while (n > 0) {
        size_t bytes = p[0] >> 4 ? 129 : 65;
        if (p[0] > 0x1f || (p[0] & 15) > 3 || n < bytes) return CGD__DAMAGED;
        j->quantisers |= 1U << (p[0] & 3);
        p += bytes;
        n -= bytes;
    }
    return CGD__WHOLE;
}

static int cgd__jpeg_foreign(cgd__jpeg *j, const char *name)
{
    j->name = name;
    return CGD__FOREIGN;
}

/* The frame: sizes, and how each component is sampled. */
static int cgd__jpeg_frame(cgd__jpeg *j, unsigned marker,
                           const unsigned char *p, size_t n)
{
    unsigned i;
    if (marker == 0xf7) return cgd__jpeg_foreign(j, "a JPEG-LS picture");
    if ((marker & 3) == 3) return cgd__jpeg_foreign(j, "a lossless JPEG");
    if (marker > 0xc8)
        return cgd__jpeg_foreign(j, "an arithmetic-coded JPEG");
    if (marker > 0xc2) return cgd__jpeg_foreign(j, "a hierarchical JPEG");
    if (j->frame != 0 || n < 6 || n != 6 + 3 * (size_t)p[5])
        return CGD__DAMAGED;
    if (p[0] == 12) return cgd__jpeg_foreign(j, "a JPEG of 12 bits a value");
    j->frame = marker;
    j->h = cgd__number(p + 1, 2, 1);
    j->w = cgd__number(p + 3, 2, 1);
    j->parts = p[5];
    if (j->h == 0) return cgd__jpeg_foreign(j, "a JPEG without its height");
    if (p[0] != 8 || j->w == 0 || j->parts == 2 || j->parts > 4)
        return CGD__DAMAGED;
    for (i = 0; i < j->parts; i++) {
        const unsigned char *c = p + 6 + 3 * i;
        j->part[i].id = c[0];
        j->part[i].across = c[1] >> 4;
        j->part[i].down = c[1] & 15;
        j->part[i].quantiser = c[2];
        if (c[1] >> 4 < 1 || c[1] >> 4 > 4 || (c[1] & 15) < 1
            || (c[1] & 15) > 4 || c[2] > 3) return CGD__DAMAGED;
        if (j->across < j->part[i].across) j->across = j->part[i].across;
        if (j->down < j->part[i].down) j->down = j->part[i].down;
    }
    return CGD__WHOLE;
}

/* May this component be coded by these tables, now? What stb_image decodes by
 * a table that never came, or adds detail to where nothing was, is memory. */
static int cgd__jpeg_codable(const cgd__jpeg *j, unsigned i, unsigned dc,
                             unsigned ac, unsigned first, unsigned refines)
{
    const unsigned seen = j->covered >> i & 1;
    unsigned tables = j->tables;
    if (!(j->quantisers >> j->part[i].quantiser & 1)) return 0;
    if (j->frame == 0xc2) {
        if (first > 0) return seen && (tables >> (4 + ac) & 1);
        return refines ? (int)seen : (int)(tables >> dc & 1);
    }
    tables |= CGD__JPEG_TYPICAL;
    return !seen && (tables >> dc & 1) && (tables >> (4 + ac) & 1);
}

/* A scan's header: which components it holds, as bits; or 0. *units: where
 * several components alternate, so many groups of *blocks; else blocks. */
static unsigned cgd__jpeg_scan(const cgd__jpeg *j, const unsigned char *p,
                               size_t segment, size_t *units, size_t *blocks)
{
    size_t n = segment > 0 ? p[0] : 0, k, w = 8 * j->across, h = 8 * j->down;
    unsigned i, held = 0, first, refines;
    if (n < 1 || n > j->parts || segment != 4 + 2 * n) return 0;
    first = p[1 + 2 * n];
    refines = p[3 + 2 * n] >> 4;
    if (first > 0 && n > 1) return 0;
    for (k = 0; k < n; k++) {
        const unsigned char *c = p + 1 + 2 * k;
        for (i = 0; i < j->parts && j->part[i].id != c[0]; i++) continue;
        if (i == j->parts || held >> i & 1 || c[1] > 0x3f || (c[1] & 15) > 3
            || !cgd__jpeg_codable(j, i, c[1] >> 4, c[1] & 15, first, refines))
            return 0;
        held |= 1U << i;
        *blocks += j->part[i].across * j->part[i].down;
        if (n == 1) {                            /* by itself: its own grid  */
            w = 8 * j->across / j->part[i].across;
            h = 8 * j->down / j->part[i].down;
            *blocks = 1;
        }
    }
    *units = cgd__parts(j->w, w) * cgd__parts(j->h, h);
    return held;
}

/* Where the coded data at `at` end: at the next marker, or at size. FF 00 is
 * a byte of them, and restart markers are counted. */
static size_t cgd__jpeg_coded(const unsigned char *p, size_t at, size_t size,
                              size_t *restarts)
{
    *restarts = 0;
    while (at < size) {
        const void *found = memchr(p + at, 0xff, size - at);
        size_t next;
        if (!found) return size;
        at = (size_t)((const unsigned char *)found - p);
        for (next = at; next < size && p[next] == 0xff; next++) continue;
        if (next == size) return size;
        if (p[next] >= 0xd0 && p[next] <= 0xd7) ++*restarts;
        else if (p[next] != 0) return at;
        at = next + 1;
    }
    return size;
}

/* A scan with its data; *at moves behind them. A block takes a bit at least,
 * where it does not refine what is there; and stb_image leaves blocks as they
 * are from where a restart marker is missing. */
static int cgd__jpeg_read_scan(cgd__jpeg *j, const unsigned char *p,
                               size_t *at, size_t n, size_t size)
{
    size_t units = 0, blocks = 0, restarts, end;
    unsigned held = cgd__jpeg_scan(j, p + *at, n, &units, &blocks);
    if (held == 0 || ++j->scans > CGD__JPEG_SCANS) return CGD__DAMAGED;
    end = cgd__jpeg_coded(p, *at + n, size, &restarts);
    if (end == size) return CGD__TRUNCATED;
    if ((held & ~j->covered && (end - *at - n) * 8 / blocks < units)
        || (j->interval && restarts < (units - 1) / j->interval))
        return CGD__DAMAGED;
    if (j->scans == 1) cgd__jpeg_write_adobe(j);
    cgd__jpeg_write(j, p + *at - 4, end - *at + 4);
    j->covered |= held;
    j->complete = j->size;
    *at = end;
    return CGD__WHOLE;
}

/* Any other segment of n bytes at p; what pixels depend on is written. */
static int cgd__jpeg_segment(cgd__jpeg *j, unsigned marker,
                             const unsigned char *p, size_t n)
{
    int found = CGD__WHOLE;
    if (marker == 0xe0 && n >= 5 && memcmp(p, "JFIF", 5) == 0) j->jfif = 1;
    if (marker == 0xee && n >= 12 && memcmp(p, "Adobe", 5) == 0)
        j->adobe = p[11];
    if (marker == 0xe1 && n >= 6 && memcmp(p, "Exif\0", 6) == 0
        && j->orientation == 0)
        j->orientation = cgd__exif_orientation(p + 6, n - 6);
    if (marker == 0xc4) found = cgd__jpeg_tables(j, p, n);
    else if (marker == 0xdb) found = cgd__jpeg_quantisers(j, p, n);
    else if (marker == 0xdd && n == 2) j->interval = cgd__number(p, 2, 1);
    else if ((marker >= 0xc0 && marker <= 0xcf && marker != 0xcc)
             || marker == 0xf7)
        found = cgd__jpeg_frame(j, marker, p, n);
    else return CGD__WHOLE;
    cgd__jpeg_write(j, p - 4, n + 4);
    return found;
}

/* Walk the markers up to EOI (what follows is nobody's business). Segments
 * are skipped whole, so that the EOI of a thumbnail does not count. */
static int cgd__jpeg_walk(cgd__jpeg *j, const unsigned char *p, size_t size)
{
    size_t at = 2;
    cgd__jpeg_write(j, p, 2);
    cgd__jpeg_write(j, cgd__jpeg_huffman, sizeof cgd__jpeg_huffman);
    while (size - at >= 2) {
        unsigned marker = p[at + 1];
        size_t n;
        int found;
        if (p[at] != 0xff || marker == 0xff) { at++; continue; }
        at += 2;
        if (marker == 0xd9)
            return j->frame != 0 && j->covered == (1U << j->parts) - 1
                ? CGD__WHOLE : CGD__DAMAGED;
        if (marker <= 1 || (marker >= 0xd0 && marker <= 0xd8)) continue;
        if (size - at < 2) return CGD__TRUNCATED;
        n = cgd__number(p + at, 2, 1);
        if (n < 2) return CGD__DAMAGED;
        if (n > size - at) return CGD__TRUNCATED;
        at += 2;
        if (marker == 0xda)
            found = cgd__jpeg_read_scan(j, p, &at, n - 2, size);
        else {
            found = cgd__jpeg_segment(j, marker, p + at, n - 2);
            at += n - 2;
        }
        if (found != CGD__WHOLE) return found;
    }
    return CGD__TRUNCATED;
}

/* A progressive file that ends early shows less detail, but all of it: other
 * readers show it, and so do we, up to the last whole scan. */
static void cgd__look_jpeg(cgd_decoding *d)
{
    cgd__jpeg j;
    int found;
    memset(&j, 0, sizeof j);
    j.adobe = -1;
    found = cgd__jpeg_walk(&j, d->bytes, d->size);
    if (found == CGD__TRUNCATED && j.frame == 0xc2
        && j.covered == (1U << j.parts) - 1) {
        d->note = "this progressive JPEG ends early and lacks detail";
        found = CGD__WHOLE;
    }
    cgd__refuse_found(d, found, j.name);
    d->w = j.w;
    d->h = j.h;
    d->orientation = j.orientation;
    d->room = j.size + 2;
}

static void cgd__prepare_jpeg(cgd_decoding *d)
{
    cgd__jpeg j;
    memset(&j, 0, sizeof j);
    j.adobe = -1;
    j.out = d->ready;
    cgd__jpeg_walk(&j, d->bytes, d->size);
    j.size = j.complete;
    cgd__jpeg_write(&j, (const unsigned char *)"\xff\xd9", 2);
    d->ready_size = j.size;
}

/* ---- decoding: PNG -------------------------------------------------------*/

#define CGD__PNG_SPARE ((size_t)65536)    /* more than the rows: known to be */
#define CGD__PNG_HEAD (33 + 780 + 268 + 10)   /* up to the first such block  */

typedef struct cgd__png {
    const unsigned char *header, *palette, *alpha;   /* chunks' data or NULL */
    size_t palette_size, alpha_size;
    const unsigned char *packed;     /* the first IDAT's data                */
    size_t packed_size, pieces;      /* of all                               */
    int orientation;
} cgd__png;

static int cgd__png_take(cgd__png *g, const unsigned char *p, size_t n,
                          unsigned char *joined)
{
    const char *type = (const char *)p - 4;
    if (!g->header) {
        if (memcmp(type, "CgBI", 4) == 0) return CGD__FOREIGN;
        if (memcmp(type, "IHDR", 4) != 0 || n != 13) return CGD__DAMAGED;
        g->header = p;
    } else if (memcmp(type, "PLTE", 4) == 0) {
        if (n == 0 || n > 768 || n % 3 != 0) return CGD__DAMAGED;
        g->palette = p;
        g->palette_size = n;
    } else if (memcmp(type, "tRNS", 4) == 0) {
        g->alpha = p;
        g->alpha_size = n;
    } else if (memcmp(type, "eXIf", 4) == 0) {
        g->orientation = cgd__exif_orientation(p, n);
    } else if (memcmp(type, "IDAT", 4) == 0) {
        if (g->pieces++ == 0) g->packed = p;
        if (joined) memcpy(joined + g->packed_size, p, n);
        g->packed_size += n;
    } else if (!(type[0] & 32)) {
        return CGD__DAMAGED;                         /* critical, not known  */
    }
    return CGD__WHOLE;
}

/* Walk the chunks. Check sums of the critical ones are compared, but the data
 * stream's only when it is joined, or where no room is needed for that:
 * thorough. */
static int cgd__png_walk(cgd__png *g, const unsigned char *p, size_t size,
                         unsigned char *joined, int thorough)
{
    size_t at = 8;
    memset(g, 0, sizeof *g);
    while (size - at >= 8) {
        size_t n = cgd__number(p + at, 4, 1);
        const unsigned char *type = p + at + 4;
        int found;
        if (memcmp(type, "IEND", 4) == 0)
            return g->pieces ? CGD__WHOLE : CGD__DAMAGED;
        if (size - at < 12 || n > size - at - 12) return CGD__TRUNCATED;
        if (!(type[0] & 32) && (thorough || memcmp(type, "IDAT", 4) != 0)
            && cgd__png_sum(type, n + 4) != cgd__number(type + 4 + n, 4, 1))
            return CGD__DAMAGED;
        found = cgd__png_take(g, type + 4, n, joined);
        if (found != CGD__WHOLE) return found;
        at += 12 + n;
    }
    return CGD__TRUNCATED;
}

/* Bytes that the rows take, a filter's number before each: of the picture, or
 * of the seven that an interlaced one is made of. */
static size_t cgd__png_raw(const unsigned char *header, size_t w, size_t h,
                           size_t bits)
{
    static const unsigned char pass[8][4] = {      /* from x, y; steps       */
        { 0, 0, 8, 8 }, { 4, 0, 8, 8 }, { 0, 4, 4, 8 }, { 2, 0, 4, 4 },
        { 0, 2, 2, 4 }, { 1, 0, 2, 2 }, { 0, 1, 1, 2 }, { 0, 0, 1, 1 }
    };
    size_t raw = 0, i = header[12] ? 0 : 7, last = header[12] ? 6 : 7;
    for (; i <= last; i++) {
        size_t x = pass[i][0], y = pass[i][1];
        size_t columns = w > x ? cgd__parts(w - x, pass[i][2]) : 0;
        size_t rows = h > y ? cgd__parts(h - y, pass[i][3]) : 0;
        if (columns > 0)
            raw += rows * (1 + cgd__parts(columns * bits, 8));
    }
    return raw;
}

/* Bits a pixel as the file has them, or 0 where colour type and depth do not
 * go together. */
static size_t cgd__png_bits(const cgd__png *g)
{
    static const unsigned char channels[7] = { 1, 0, 3, 1, 2, 0, 4 };
    unsigned depth = g->header[8], colour = g->header[9];
    if (colour > 6 || channels[colour] == 0 || g->header[10] != 0
        || g->header[11] != 0 || g->header[12] > 1) return 0;
    if (depth != 8 && !(depth == 16 && colour != 3)
        && !(colour % 3 == 0 && colour < 6
             && (depth == 1 || depth == 2 || depth == 4))) return 0;
    if (colour == 3 && !g->palette) return 0;
    if (g->alpha && (colour == 3 ? g->alpha_size * 3 > g->palette_size
                     : g->alpha_size != 2U * channels[colour] || colour > 2))
        return 0;
    return (size_t)depth * channels[colour];
}

static int cgd__pixels_fit(cgd_decoding *d)
{
    if (d->w <= CGD__MOST_SIDE && d->h <= CGD__MOST_SIDE
        && (d->h == 0 || d->w <= CGD__MOST_PIXELS / d->h)) return 1;
    cgd__reject(d, CGD_ERR_SHAPE, "the picture has too many pixels");
    return 0;
}

/* Deflate makes at most 1032 bytes of one. */
static void cgd__look_png(cgd_decoding *d)
{
    cgd__png g;
    size_t bits = 0, raw = 0;
    int found = cgd__png_walk(&g, d->bytes, d->size, NULL, 0);
    if (found == CGD__WHOLE && (bits = cgd__png_bits(&g)) == 0)
        found = CGD__DAMAGED;
    if (found == CGD__WHOLE) {
        d->w = cgd__number(g.header, 4, 1);
        d->h = cgd__number(g.header + 4, 4, 1);
        if (d->w == 0 || d->h == 0) found = CGD__DAMAGED;
    }
    cgd__refuse_found(d, found, "a PNG picture as iPhones alter it (CgBI)");
    if (d->status != CGD_OK || !cgd__pixels_fit(d)) return;
    raw = cgd__png_raw(g.header, d->w, d->h, bits);
    if (raw / 1032 > g.packed_size) cgd__refuse_found(d, CGD__TRUNCATED, "");
    d->orientation = g.orientation;
    d->alpha = g.header[9] >= 4 || g.alpha;
    if (g.header[8] == 16) d->white = 65535.0f;
    d->room = CGD__PNG_HEAD + 5 * (raw / CGD__PNG_STORED + 1) + raw
            + CGD__PNG_SPARE + (g.pieces > 1 ? g.packed_size : 0);
}

/* A chunk, made longer with zeros: a palette has all the colours that a pixel
 * can name. Nobody looks at the check sum any more. */
static unsigned char *cgd__png_put(unsigned char *to, const char *type,
                                   const unsigned char *data, size_t n,
                                   size_t padded)
{
    to = cgd__png_head(to, type, padded);
    memset(to, 0, padded + 4);
    if (n > 0) memcpy(to, data, n);
    return to + padded + 4;
}

/* The rows are unpacked here, into cleared memory of a known size; so no
 * stream can grow beyond it, nor copy from what was never written. */
static void cgd__prepare_png(cgd_decoding *d)
{
    cgd__png g;
    size_t raw, limit;
    int found, got = -1;
    unsigned char *rows, *to = d->ready, *end = d->ready + d->room;
    found = cgd__png_walk(&g, d->bytes, d->size, NULL, 0);
    if (g.pieces > 1) end -= g.packed_size;
    found = cgd__png_walk(&g, d->bytes, d->size, g.pieces > 1 ? end : NULL, 1);
    raw = cgd__png_raw(g.header, d->w, d->h, cgd__png_bits(&g));
    limit = raw + CGD__PNG_SPARE;
    rows = end - limit;
    memset(rows, 0, limit);
    if (found == CGD__WHOLE)
        got = stbi_zlib_decode_buffer((char *)rows, (int)limit,
            (const char *)(g.pieces > 1 ? end : g.packed),
            (int)g.packed_size);
    if (got < 0 || (size_t)got < raw) {
        cgd__refuse_found(d, CGD__DAMAGED, NULL);
        return;
    }
    memcpy(to, d->bytes, 8);
    to = cgd__png_put(to + 8, "IHDR", g.header, 13, 13);
    if (g.palette) to = cgd__png_put(to, "PLTE", g.palette, g.palette_size,
                                     768);
    if (g.alpha) to = cgd__png_put(to, "tRNS", g.alpha, g.alpha_size,
                                   g.alpha_size);
    cgd__png_head(to, "IDAT", 2 + raw + 5 * cgd__parts(raw,
                                                       CGD__PNG_STORED));
    to = cgd__png_store(to + 8, rows, raw);
    memset(to, 0, 4);
    to = cgd__png_put(to + 4, "IEND", NULL, 0, 0);
    d->ready_size = (size_t)(to - d->ready);
}

/* ---- decoding: BMP -------------------------------------------------------*/

typedef struct cgd__bmp {
    size_t w, h, bits, row, start;     /* bytes of a row, and before them    */
    int top_down;
    size_t palette, entry, colours;    /* where it is, bytes of one, how many*/
    size_t mask[4];                    /* red, green, blue, alpha            */
    const char *name;                  /* of a kind that is not read         */
} cgd__bmp;

/* How its pixels are coded, for 16 and 32 bits; as the file says or usual. */
static int cgd__bmp_masks(cgd__bmp *b, const unsigned char *p, size_t size,
                          size_t head, size_t packing)
{
    const int alpha = head >= 56 || packing == 6;
    int i;
    if (packing == 0 && b->bits == 24) return CGD__WHOLE;
    if (packing == 0) {
        b->mask[0] = b->bits == 16 ? 0x7c00 : 0xff0000;
        b->mask[1] = b->bits == 16 ? 0x3e0 : 0xff00;
        b->mask[2] = b->bits == 16 ? 0x1f : 0xff;
        return CGD__WHOLE;
    }
    if (b->bits != 16 && b->bits != 32) return CGD__DAMAGED;
    if (size < (alpha ? 70U : 66U)) return CGD__TRUNCATED;
    for (i = 0; i < 3 + alpha; i++)
        b->mask[i] = cgd__number(p + 54 + 4 * i, 4, 0);
    return CGD__WHOLE;
}

static int cgd__bmp_palette(cgd__bmp *b, size_t head)
{
    const size_t all = (size_t)1 << b->bits;
    b->palette = 14 + head;
    b->entry = head == 12 ? 3 : 4;
    if (b->colours == 0 || b->colours > all) b->colours = all;
    if (b->start == b->palette)                  /* some forget the palette  */
        b->start += b->entry * b->colours;
    if (b->start < b->palette + b->entry) return CGD__DAMAGED;
    b->colours = cgd__fewer(b->colours, (b->start - b->palette) / b->entry);
    return CGD__WHOLE;
}

/* The headers of all ages: OS/2's with 12 bytes, or those that begin with the
 * usual 40. A height below 0 stands for rows from the top. */
static int cgd__bmp_read(cgd__bmp *b, const unsigned char *p, size_t size)
{
    size_t head = p[14], packing = 0, planes;
    const int old = head == 12;
    memset(b, 0, sizeof *b);
    if (size < 14 + head) return CGD__TRUNCATED;
    b->start = cgd__number(p + 10, 4, 0);
    b->w = cgd__number(p + 18, old ? 2 : 4, 0);
    b->h = cgd__number(p + (old ? 20 : 22), old ? 2 : 4, 0);
    planes = cgd__number(p + (old ? 22 : 26), 2, 0);
    b->bits = cgd__number(p + (old ? 24 : 28), 2, 0);
    if (!old) packing = cgd__number(p + 30, 4, 0);
    if (!old) b->colours = cgd__number(p + 46, 4, 0);
    b->top_down = b->h >> 31 != 0;
    if (b->top_down) b->h = (~b->h & 0xffffffffU) + 1;
    b->name = packing == 1 || packing == 2 ? "a run-length coded BMP"
            : packing == 4 || packing == 5 ? "a BMP with a JPEG or PNG inside"
            : NULL;
    if (b->name) return CGD__FOREIGN;
    if (planes != 1 || b->w == 0 || b->h == 0 || b->bits == 0 || b->bits > 32
        || !strchr("\1\4\10\20\30\40", (int)b->bits)
        || (packing != 0 && packing != 3 && packing != 6))
        return CGD__DAMAGED;
    if (b->w <= CGD__MOST_SIDE)
        b->row = 4 * cgd__parts(b->w * b->bits, 32);
    return b->bits <= 8 ? cgd__bmp_palette(b, head)
                        : cgd__bmp_masks(b, p, size, head, packing);
}

static void cgd__look_bmp(cgd_decoding *d)
{
    cgd__bmp b;
    int found = cgd__bmp_read(&b, d->bytes, d->size);
    d->w = b.w;
    d->h = b.h;
    cgd__refuse_found(d, found, b.name);
    if (d->status != CGD_OK || !cgd__pixels_fit(d)) return;
    if (b.start > d->size || b.row > (d->size - b.start) / b.h)
        cgd__refuse_found(d, CGD__TRUNCATED, NULL);
    d->alpha = b.mask[3] != 0;
    d->room = 14 + 108 + 1024 + b.row * b.h;
}

static void cgd__put_number(unsigned char *p, size_t v)
{
    int i;
    for (i = 0; i < 4; i++) p[i] = (unsigned char)(v >> (8 * i) & 255);
}

/* One of three kinds: with a palette of 256, with masks, or with neither. */
static void cgd__prepare_bmp(cgd_decoding *d)
{
    unsigned char *to = d->ready;
    cgd__bmp b;
    size_t head, i;
    cgd__bmp_read(&b, d->bytes, d->size);
    head = b.mask[0] | b.mask[1] | b.mask[2] ? 108 : 40;
    memset(to, 0, 14 + 108 + 1024);
    memcpy(to, "BM", 2);
    cgd__put_number(to + 10, 14 + head + (b.bits <= 8 ? 1024U : 0U));
    cgd__put_number(to + 14, head);
    cgd__put_number(to + 18, b.w);
    cgd__put_number(to + 22, b.top_down ? ~b.h + 1 : b.h);
    to[26] = 1;
    to[28] = (unsigned char)b.bits;
    if (head == 108) to[30] = 3;
    for (i = 0; i < 4 && head == 108; i++)
        cgd__put_number(to + 54 + 4 * i, b.mask[i]);
    to += 14 + head;
    for (i = 0; i < b.colours && b.bits <= 8; i++)
        memcpy(to + 4 * i, d->bytes + b.palette + b.entry * i, 3);
    if (b.bits <= 8) to += 1024;
    memcpy(to, d->bytes + b.start, b.row * b.h);
    d->ready_size = (size_t)(to - d->ready) + b.row * b.h;
}

/* ---- decoding: the three steps -------------------------------------------*/

/* What can be known without decoding: kind, size, whether the end is there. */
static void cgd__look(cgd_decoding *d)
{
    d->status = CGD_OK;
    d->orientation = 0;
    d->white = 255;
    d->alpha = 0;
    d->note = NULL;
    d->kind = cgd__picture_kind(d->bytes, d->size);
    if (d->size == 0)
        cgd__reject(d, CGD_ERR_FORMAT, "the file is empty");
    else if (d->size > INT_MAX / 2)
        cgd__reject(d, CGD_ERR_FORMAT, "the file is too large for a picture");
    else if (d->kind == CGD__UNKNOWN)
        cgd__reject(d, CGD_ERR_FORMAT, "this is no JPEG, PNG or BMP picture");
    else if (d->kind == CGD__JPEG) cgd__look_jpeg(d);
    else if (d->kind == CGD__PNG) cgd__look_png(d);
    else if (d->kind == CGD__BMP) cgd__look_bmp(d);
    else if (d->kind != CGD__ARRAY)
        cgd__refuse_kind(d, cgd__kinds[d->kind].name);
    d->array = d->kind == CGD__ARRAY;
    if (d->status == CGD_OK) (void)cgd__pixels_fit(d);
}

/* The first step, and the memory of the second. */
static void cgd__decode_begin(cgd_ctx *ctx, cgd_decoding *d)
{
    cgd__look(d);
    if (d->status != CGD_OK || d->array) return;
    d->ready = (unsigned char *)cgd_alloc(ctx, d->room, 1, d->label);
    if (!d->ready)
        cgd__reject(d, CGD_ERR_MEMORY, "out of memory for its pixels");
}

/* stb_image keeps the reason of the last failure, which may be another's: so
 * one is left there that can be told. "bad png sig" is what every file that
 * is no PNG leaves. Without memory it does not recognise a JPEG, and gives no
 * reason for a PNG; but that each is one is known. */
#define CGD__NO_REASON "bad zlib header"

static void cgd__clear_reason(void)
{
    char nothing = 0;
    (void)stbi_zlib_decode_buffer(&nothing, 0, &nothing, 0);
}

static void cgd__refuse_stb(cgd_decoding *d)
{
    const char *why = stbi_failure_reason();
    if (!why) why = "no reason given";
    if (strcmp(why, "outofmem") == 0 || strcmp(why, "Out of memory") == 0
        || (d->kind == CGD__PNG && strcmp(why, CGD__NO_REASON) == 0)) {
        cgd__reject(d, CGD_ERR_MEMORY, "out of memory for its pixels");
    } else if (strcmp(why, "unknown image type") == 0
        || strcmp(why, "Image not of any known type, or corrupt") == 0) {
        cgd__reject(d, CGD_ERR_MEMORY, "out of memory for its pixels, or "
                    "stb_image was compiled without this kind of picture");
    } else if (strcmp(why, "too large") == 0
        || strcmp(why, "Very large image (corrupt?)") == 0) {
        cgd__reject(d, CGD_ERR_SHAPE, "the picture has too many pixels");
    } else {
        d->status = CGD_ERR_FORMAT;
        cgd_format(d->sentence, sizeof d->sentence,
                   "%s: the picture is damaged (%s)", d->label,
                   strcmp(why, "bad png sig") == 0
                   || strcmp(why, "Not a PNG") == 0 ? "no reason given" : why);
    }
}

/* The second and the third. */
static void cgd__decode_pixels(cgd_decoding *d)
{
    int w, h, channels, c = d->channels == 4 || d->alpha ? 4 : 3;
    if (d->status != CGD_OK || d->array) return;
    if (d->kind == CGD__JPEG) cgd__prepare_jpeg(d);
    else if (d->kind == CGD__PNG) cgd__prepare_png(d);
    else cgd__prepare_bmp(d);
    if (d->status != CGD_OK) return;
    cgd__clear_reason();
    if (d->white > 255)
        d->pixels = (unsigned char *)stbi_load_16_from_memory(d->ready,
                            (int)d->ready_size, &w, &h, &channels, c);
    else
        d->pixels = stbi_load_from_memory(d->ready, (int)d->ready_size, &w,
                                          &h, &channels, c);
    if (!d->pixels) cgd__refuse_stb(d);
    d->c = (size_t)c;
}

static void cgd__decode_release(cgd_ctx *ctx, cgd_decoding *d)
{
    if (d->pixels) stbi_image_free(d->pixels);
    if (d->values)
        cgd_release(ctx, d->values, d->w * d->h * d->c * sizeof *d->values);
    d->values = NULL;
    cgd_release(ctx, d->ready, d->room);
    d->pixels = d->ready = NULL;
}

#else

static void cgd__look(cgd_decoding *d)
{
    cgd__reject(d, CGD_ERR_UNSUPPORTED, "this build decodes no pictures: "
                "include stb_image.h before cycle_gan_distil.h");
}

static void cgd__decode_begin(cgd_ctx *ctx, cgd_decoding *d)
{
    (void)ctx;
    (void)cgd__refuse_kind;
    cgd__look(d);
}

static void cgd__decode_pixels(cgd_decoding *d) { (void)d; }

static void cgd__decode_release(cgd_ctx *ctx, cgd_decoding *d)
{
    cgd_release(ctx, d->values, d->w * d->h * d->c * sizeof *d->values);
    d->values = NULL;
}

#endif /* STBI_INCLUDE_STB_IMAGE_H */

/* ======================================================================== */
/* [impl:arrays] Arrays                                                     */
/* ======================================================================== */
/* Pictures of any number of channels and any type of number: NumPy's .npy
 * files, or safetensors files with one tensor, (h, w) or (h, w, c). Read by
 * the reader of tensors, which knows types and strides. */

/* What stands behind 'key': in a .npy file's header, the text of a Python
 * dict; "" if the key is missing. */
static const char *cgd__npy_value(const char *text, const char *key)
{
    const char *s = strstr(text, key);
    if (!s) return "";
    s = strchr(s, ':');
    for (s = s ? s + 1 : ""; *s == ' ';) s++;
    return s;
}

/* Its name ends in the bytes of a number. */
static int cgd__npy_type(const char *s, size_t *width)
{
    static const struct { const char *name; int dtype; } types[] = {
        { "u1", CGD_U8 }, { "u2", CGD_U16 }, { "i1", CGD_I8 },
        { "i2", CGD_I16 }, { "i4", CGD_I32 }, { "i8", CGD_I64 },
        { "f2", CGD_F16 }, { "f4", CGD_F32 }, { "f8", CGD_F64 },
        { "b1", CGD_BOOL }
    };
    size_t i;
    *width = 0;
    if (s[0] != '\'' || (s[1] != '<' && s[1] != '|')) return CGD_OTHER;
    for (i = 0; i < sizeof types / sizeof *types; i++)
        if (strncmp(s + 2, types[i].name, 2) == 0 && s[4] == '\'') {
            *width = (size_t)(s[3] - '0');
            return types[i].dtype;
        }
    return CGD_OTHER;
}

/* "(H, W)" or "(H, W, C)": the rank, or 0. */
static size_t cgd__npy_shape(const char *s, size_t shape[3])
{
    size_t rank = 0;
    if (*s++ != '(') return 0;
    while (rank < 3 && *s >= '0' && *s <= '9') {
        size_t v = 0;
        for (; *s >= '0' && *s <= '9'; s++)
            if ((v = 10 * v + (size_t)(*s - '0')) > CGD__MOST_SIDE) return 0;
        shape[rank++] = v;
        while (*s == ',' || *s == ' ') s++;
    }
    return *s == ')' ? rank : 0;
}

/* Find the array of a .npy file; NULL, or why it cannot be read. */
static const char *cgd__npy_find(cgd_file_tensor *t, const unsigned char *p,
                                 size_t size)
{
    char text[1024];
    size_t start, length, bytes, i;
    const char *order;
    if (size < 12) return "the file is truncated";
    if (p[6] < 1 || p[6] > 3) return "this version of .npy is not known";
    start = p[6] > 1 ? 12 : 10;
    length = cgd__number(p + 8, p[6] > 1 ? 4 : 2, 0);
    if (length >= sizeof text || length > size - start)
        return "its .npy header is damaged or is that of a record";
    memcpy(text, p + start, length);
    text[length] = 0;
    t->name = "array";
    t->dtype = cgd__npy_type(cgd__npy_value(text, "'descr'"), &bytes);
    t->rank = cgd__npy_shape(cgd__npy_value(text, "'shape'"), t->shape);
    order = cgd__npy_value(text, "'fortran_order'");
    if (t->dtype == CGD_OTHER)
        return "its numbers are of a type that is not read; save them as "
               "uint8, uint16 or float32, little-endian";
    if (t->rank < 2) return "the array has not 2 or 3 dimensions";
    for (i = 0; i < t->rank; i++) {
        if (order[0] == 'T')
            t->stride[i] = i ? t->stride[i - 1] * t->shape[i - 1] : 1;
        bytes = t->shape[i] && bytes > (size_t)-1 / t->shape[i]
              ? (size_t)-1 : bytes * t->shape[i];
    }
    t->begin = start + length;
    if (bytes > size - t->begin) return "the file is truncated";
    t->end = t->begin + bytes;
    return NULL;
}

static int cgd__array_bytes(void *user, size_t offset, void *dst,
                            size_t bytes)
{
    memcpy(dst, (const char *)user + offset, bytes);
    return 1;
}

static size_t cgd__array_size(const cgd_file_tensor *t)
{
    return t->shape[0] * t->shape[1] * t->shape[2];
}

/* The one tensor of an array's file. It points into *file and the bytes. */
static cgd_status cgd__array_open(cgd_ctx *ctx, cgd_file *file,
                                  cgd_file_tensor *t, const cgd_decoding *d)
{
    const char *why = NULL;
    memset(t, 0, sizeof *t);
    if (memcmp(d->bytes, CGD__NPY, 6) != 0) {
        cgd_status status = cgd_file_open_memory(ctx, file, d->bytes, d->size,
                                                 d->label);
        if (status != CGD_OK) return status;
        if (file->n_tensors == 1) *t = file->tensors[0];
    } else {
        memset(file, 0, sizeof *file);
        file->ctx = ctx;
        file->source.read = cgd__array_bytes;
        file->source.user = (void *)d->bytes;          /* only ever read     */
        file->source.size = d->size;
        cgd_format(file->path, sizeof file->path, "%s", d->label);
        why = cgd__npy_find(t, d->bytes, d->size);
    }
    if (!why && (t->rank < 2 || t->rank > 3 || t->dtype == CGD_OTHER))
        why = "a picture is one tensor of 2 or 3 dimensions, of numbers";
    if (t->rank == 2) t->shape[2] = 1;
    if (!why && cgd__array_size(t) == 0) why = "the array is empty";
    if (!why) return CGD_OK;
    cgd_file_close(file);
    return cgd_fail(ctx, CGD_ERR_FORMAT, "%s: %s", d->label, why);
}

static float cgd__array_white(int dtype)
{
    return dtype == CGD_U8 ? 255 : dtype == CGD_U16 ? 65535.0f : 0;
}

/* Read a tensor as a picture's values. */
static cgd_status cgd__tensor_read(cgd_ctx *ctx, cgd_decoding *d,
                                   const cgd_file *file,
                                   const cgd_file_tensor *t)
{
    size_t n = cgd__array_size(t);
    cgd_status status;
    d->h = t->shape[0];
    d->w = t->shape[1];
    d->c = t->shape[2];
    d->white = cgd__array_white(t->dtype);
    d->values = (float *)cgd_alloc(ctx, n, sizeof *d->values,
                                   "an array's values");
    if (!d->values) return CGD_ERR_MEMORY;
    status = cgd_file_read(file, t, 0, n, d->values);
    if (status == CGD_OK) return CGD_OK;
    cgd_release(ctx, d->values, n * sizeof *d->values);
    d->values = NULL;
    return status;
}

static cgd_status cgd__array_read(cgd_ctx *ctx, cgd_decoding *d)
{
    cgd_file file;
    cgd_file_tensor t;
    cgd_status status = cgd__array_open(ctx, &file, &t, d);
    if (status != CGD_OK) return status;
    status = cgd__tensor_read(ctx, d, &file, &t);
    cgd_file_close(&file);
    return status;
}

/* ======================================================================== */
/* [impl:codec] Upright pictures; files written                             */
/* ======================================================================== */

#define CGD__WHITE 0xffffffU
#define CGD__CHOSEN 0x2000000U           /* beside a colour                  */

CGDDEF void cgd_use_background(cgd_ctx *ctx, cgd_u32 rgb)
{
    ctx->background = rgb | CGD__CHOSEN;
}

/* A byte's part a of 255 over another, rounded, as Pillow's paste. */
static unsigned char cgd__over(unsigned v, unsigned under, unsigned a)
{
    unsigned sum = v * a + under * (255 - a) + 128;
    return (unsigned char)((sum + (sum >> 8)) >> 8);
}

/* A pixel of d's to one of c channels: on the background where it has an
 * alpha that is not asked for; luma as Pillow's convert("L") has it, ITU-R
 * 601-2 in 16 bits. */
static void cgd__put_bytes(unsigned char *out, const unsigned char *in,
                           size_t has, size_t c, cgd_u32 background)
{
    unsigned char on[3];
    unsigned k;
    if (has == 4 && c < 4 && background != CGD_NO_BACKGROUND) {
        for (k = 0; k < 3; k++)
            on[k] = cgd__over(in[k], background >> (16 - 8 * k) & 255, in[3]);
        in = on;
    }
    if (c == 1)
        out[0] = (unsigned char)((19595U * in[0] + 38470U * in[1]
                                  + 7471U * in[2] + 32768U) >> 16);
    else
        memcpy(out, in, c);
}

static float cgd__decoded(const cgd_decoding *d, size_t i)
{
    unsigned short v;
    if (d->values) return d->values[i];
    memcpy(&v, d->pixels + 2 * i, sizeof v);
    return (float)v;
}

/* Sample k of the pixel at sample `at`, for c channels: 16 bits, or values. */
static double cgd__colour(const cgd_decoding *d, size_t at, size_t k,
                          size_t c, cgd_u32 background)
{
    double v = (double)cgd__decoded(d, d->c == 1 ? at : at + k), a;
    if (d->values || d->c < 4 || c == 4 || background == CGD_NO_BACKGROUND)
        return v;
    a = (double)cgd__decoded(d, at + 3) / 65535;
    return v * a + (1 - a) * 257 * (background >> (16 - 8 * k) & 255);
}

/* The same as cgd__put_bytes for anything but stb_image's bytes. */
static void cgd__put_values(cgd_image *image, size_t to,
                            const cgd_decoding *d, size_t at,
                            cgd_u32 background)
{
    size_t k, c = image->c;
    for (k = 0; k < c; k++, to++) {
        double v = cgd__colour(d, at, k, c, background);
        if (c == 1 && d->c > 1)
            v = (19595 * v + 38470 * cgd__colour(d, at, 1, c, background)
                 + 7471 * cgd__colour(d, at, 2, c, background)) / 65536;
        if (d->white > 0) v = (int)(v + 0.5);
        if (image->data) image->data[to] = (unsigned char)v;
        else image->values[to] = (float)v;
    }
}

/* White was nobody's wish; so the first picture for which it matters is told
 * of. */
static void cgd__tell_background(cgd_ctx *ctx, const cgd_decoding *d)
{
    size_t i, n = d->w * d->h;
    if (ctx->background != 0) return;
    for (i = 0; i < n; i++)
        if (d->white > 255 ? cgd__decoded(d, 4 * i + 3) < d->white
                           : d->pixels[4 * i + 3] < 255) break;
    if (i == n) return;
    ctx->background = CGD__WHITE | CGD__CHOSEN;
    cgd_warn(ctx, "%s: transparent parts are laid on white, here and in "
             "further pictures (cgd_use_background, --background: on another "
             "colour)", d->label);
}

/* Three channels become one as luma, one is grey in all three; others are
 * what is asked for. */
static int cgd__channels_fit(size_t has, size_t c)
{
    return has == c || (has == 3 && c == 1) || (has == 1 && c == 3);
}

static cgd_status cgd__fail_channels(cgd_ctx *ctx, const cgd_decoding *d,
                                     size_t has, size_t c)
{
    return cgd_fail(ctx, CGD_ERR_SHAPE, "%s: it has %u channels where %u are "
                    "asked for", d->label, has, c);
}

/* Copy stored pixels upright. EXIF's eight cases are: swap the axes or not
 * (5 to 8), then read the stored x backwards or not (2, 3, 7, 8), and the
 * stored y backwards or not (3, 4, 6, 7). */
static cgd_status cgd__upright(cgd_ctx *ctx, cgd_image *image,
                               cgd_decoding *d)
{
    const size_t c = d->channels;
    const int o = d->orientation, swap = o >= 5;
    const int back_x = o == 2 || o == 3 || o == 7 || o == 8;
    const int back_y = o == 3 || o == 4 || o == 6 || o == 7;
    const cgd_u32 background = ctx->background == 0 ? CGD__WHITE
                             : ctx->background & ~CGD__CHOSEN;
    cgd_status status = d->array ? cgd__array_read(ctx, d) : CGD_OK;
    const int flat = d->pixels && d->c == 4 && (c == 1 || c == 3);
    size_t x, y;
    if (status == CGD_OK && !flat && !cgd__channels_fit(d->c, c))
        status = cgd__fail_channels(ctx, d, d->c, c);
    if (status == CGD_OK)
        status = cgd_image_init_white(ctx, image, swap ? d->h : d->w,
                                      swap ? d->w : d->h, c, d->white);
    if (status != CGD_OK) return status;
    if (flat) cgd__tell_background(ctx, d);
    for (y = 0; y < image->h; y++)
        for (x = 0; x < image->w; x++) {
            size_t from_x = swap ? y : x, from_y = swap ? x : y, from;
            size_t to = (y * image->w + x) * c;
            if (back_x) from_x = d->w - 1 - from_x;
            if (back_y) from_y = d->h - 1 - from_y;
            from = (from_y * d->w + from_x) * d->c;
            if (image->data && !d->values)
                cgd__put_bytes(image->data + to, d->pixels + from, d->c, c,
                               background);
            else
                cgd__put_values(image, to, d, from, background);
        }
    return CGD_OK;
}
/* Of an array its channels are known without decoding too. */
static void cgd__look_whole(cgd_ctx *ctx, cgd_decoding *d)
{
    cgd_file file;
    cgd_file_tensor t;
    cgd__look(d);
    if (d->status != CGD_OK || !d->array) return;
    d->status = cgd__array_open(ctx, &file, &t, d);
    if (d->status == CGD_OK) {
        cgd_file_close(&file);
        d->white = cgd__array_white(t.dtype);
        if (!cgd__channels_fit(t.shape[2], d->channels))
            d->status = cgd__fail_channels(ctx, d, t.shape[2], d->channels);
    }
    cgd_format(d->sentence, sizeof d->sentence, "%s",
               cgd_message(ctx, d->status));
}

static const char *cgd__picture_name(const unsigned char *first, size_t size)
{
    int kind = cgd__picture_kind(first, size);
    return kind == CGD__UNKNOWN ? NULL : cgd__kinds[kind].name;
}

#ifndef CGD_NO_STDIO

/* Does the name end in this extension (".png"), in either case? */
static int cgd__ends_in(const char *name, const char *extension)
{
    size_t n = strlen(name), m = strlen(extension), i;
    if (n < m) return 0;
    for (i = 0; i < m; i++) {
        char c = name[n - m + i];
        if (c >= 'A' && c <= 'Z') c = (char)(c + 32);
        if (c != extension[i]) return 0;
    }
    return 1;
}

static void cgd__put_output(void *user, const void *data, size_t bytes)
{
    cgd_output_write((cgd_output *)user, data, bytes);
}

/* NumPy's format 1.0: a Python dict, padded to 64 bytes, then the numbers. */
static void cgd__write_npy(cgd_output *sink, const cgd_image *image)
{
    size_t n = image->w * image->h * image->c, i;
    int width = image->data ? 1 : image->white > 0 ? 2 : 4, k;
    char head[129];
    cgd_format(head, sizeof head, CGD__NPY "....{'descr': '%s', "
        "'fortran_order': False, 'shape': (%u, %u, %u), }",
        width == 1 ? "|u1" : width == 2 ? "<u2" : "<f4", image->h, image->w,
        image->c);
    i = strlen(head);
    memset(head + i, ' ', 128 - i);
    head[6] = 1;                       /* version 1.0, what follows in bytes */
    head[7] = head[9] = 0;
    head[8] = 128 - 10;
    head[127] = '\n';
    cgd_output_write(sink, head, 128);
    for (i = 0; i < n; i++) {
        cgd_u32 bits = cgd__sample_bits(image, i);
        unsigned char out[4];
        for (k = 0; k < width; k++)
            out[k] = (unsigned char)(bits >> 8 * k & 255);
        cgd_output_write(sink, out, (size_t)width);
    }
}

#ifdef INCLUDE_STB_IMAGE_WRITE_H

static void cgd__stb_sink(void *user, void *data, int size)
{
    if (size > 0) cgd_output_write((cgd_output *)user, data, (size_t)size);
}

/* JPEG and BMP, for which stb_image_write takes no memory. */
static cgd_status cgd__write_stb(cgd_output *sink, const cgd_image *image,
                                 int bmp)
{
    int w = (int)image->w, h = (int)image->h, c = (int)image->c;
    int good = bmp ? stbi_write_bmp_to_func(cgd__stb_sink, sink, w, h, c,
                                            image->data)
                   : stbi_write_jpg_to_func(cgd__stb_sink, sink, w, h, c,
                                            image->data, 95);
    if (good) return CGD_OK;
    return cgd_fail(sink->ctx, CGD_ERR_IO, "%s: the picture cannot be "
                    "written", sink->path);
}

#else

static cgd_status cgd__write_stb(cgd_output *sink, const cgd_image *image,
                                 int bmp)
{
    (void)image;
    return cgd_fail(sink->ctx, CGD_ERR_UNSUPPORTED, "%s: this build writes "
        "%s only with stb_image_write.h included before cycle_gan_distil.h",
        sink->path, bmp ? "BMP" : "JPEG");
}

#endif /* INCLUDE_STB_IMAGE_WRITE_H */

static void cgd__image_write(cgd_output *sink, const cgd_image *image,
                             const char *path)
{
    cgd_status status = CGD_OK;
    if (cgd__ends_in(path, ".npy"))
        cgd__write_npy(sink, image);
    else if (cgd__ends_in(path, ".png"))
        status = cgd_image_write_png(sink->ctx, image, cgd__put_output, sink);
    else
        status = cgd__write_stb(sink, image, cgd__ends_in(path, ".bmp"));
    if (sink->status == CGD_OK) sink->status = status;
}

/* Write a picture of values in a format that has only bytes. */
static cgd_status cgd__save_bytes(cgd_ctx *ctx, const cgd_image *image,
                                  const char *path)
{
    cgd_image bytes;
    cgd_status status = cgd_image_resize(ctx, &bytes, image, image->w,
                                         image->h, CGD_BICUBIC);    /* a copy */
    if (status == CGD_OK) status = cgd_image_to_bytes(ctx, &bytes, NULL);
    if (status == CGD_OK) {
        cgd_warn(ctx, "%s: of 16 bits a sample 8 are written; .png and .npy "
                 "keep them", path);
        status = cgd_image_save(ctx, &bytes, path);
    } else if (status == CGD_ERR_ARGUMENT)
        cgd_fail(ctx, status, "%s: floating point is written as .npy", path);
    cgd_image_free(ctx, &bytes);
    return status;
}

static cgd_status cgd__picture_save(cgd_ctx *ctx, const cgd_image *image,
                                    const char *path)
{
    int png = cgd__ends_in(path, ".png");
    int npy = cgd__ends_in(path, ".npy");
    cgd_output out;
    if (!png && !npy && !cgd__ends_in(path, ".jpg")
        && !cgd__ends_in(path, ".jpeg")
        && !cgd__ends_in(path, ".jpe")
        && !cgd__ends_in(path, ".jfif")
        && !cgd__ends_in(path, ".bmp"))
        return cgd_fail(ctx, CGD_ERR_ARGUMENT, "%s: pictures are written as "
                        ".png, .jpg, .jpeg, .bmp or .npy", path);
    if (image->c > 4 && !npy)
        return cgd_fail(ctx, CGD_ERR_ARGUMENT, "%s: %u channels are written "
                        "as .npy", path, image->c);
    if (!image->data && !npy && (!png || image->white <= 0))
        return cgd__save_bytes(ctx, image, path);
    cgd_output_open(ctx, &out, path);
    if (out.status == CGD_OK) cgd__image_write(&out, image, path);
    return cgd_output_close(&out);
}
#endif /* CGD_NO_STDIO */

CGDDEF void cgd_use_pictures(cgd_ctx *ctx)
{
    static const cgd_codec careful = { cgd__look_whole, cgd__decode_begin,
        cgd__decode_pixels, cgd__upright, cgd__decode_release,
        cgd__picture_name,
#ifndef CGD_NO_STDIO
        cgd__picture_save
#else
        NULL
#endif
    };
    ctx->codec = &careful;
}

#ifdef __cplusplus
}
#endif
#endif /* CGD_PICTURES_IMPLEMENTATION */
