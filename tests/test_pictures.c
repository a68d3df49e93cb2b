/* Pictures and data sets: resampling and decoding against Pillow
 * (tools/make_picture_goldens.py), files as they are found in the world, and
 * the sequence of samples. Scratch files go to $TEST_TMP or build/. */
#include <stdlib.h>
#include <string.h>
#include "test.h"
#ifdef _WIN32
#include <direct.h>
#define make_folder(path) _mkdir(path)
#else
#include <sys/stat.h>
#define make_folder(path) mkdir(path, 0777)
#endif

/* Memory that counts, and refuses at the failing-th call (0: never); stb_image
 * uses it too. */
static long calls, failing, blocks;
static int fill;                       /* what new memory holds              */
static size_t largest;                 /* the largest block asked for        */

#if defined(__GNUC__)                              /* threads decode at once */
#define ADD(counter, n) __sync_add_and_fetch(counter, n)
#else
#define ADD(counter, n) (*(counter) += (n))
#endif

static void *count_alloc(size_t bytes)
{
    void *block = ADD(&calls, 1) == failing ? NULL : malloc(bytes);
    if (block) memset(block, fill, bytes);
    if (block) ADD(&blocks, 1);
    if (bytes > largest) largest = bytes;
    return block;
}

static void count_free(void *block)
{
    if (block) ADD(&blocks, -1);
    free(block);
}

static void *count_realloc(void *block, size_t bytes)
{
    if (!block) return count_alloc(bytes);
    return ADD(&calls, 1) == failing ? NULL : realloc(block, bytes);
}

static void *user_alloc(void *user, size_t bytes)
{
    (void)user;
    return count_alloc(bytes);
}

static void user_release(void *user, void *block, size_t bytes)
{
    (void)user;
    (void)bytes;
    count_free(block);
}

#define STBI_MALLOC(bytes) count_alloc(bytes)
#define STBI_REALLOC(block, bytes) count_realloc(block, bytes)
#define STBI_FREE(block) count_free(block)
#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STBI_ONLY_JPEG
#define STBI_ONLY_PNG
#define STBI_ONLY_BMP
#define STBI_NO_STDIO
#if defined(__GNUC__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
#endif
#include <stb/stb_image.h>
#define STBIW_MALLOC(bytes) count_alloc(bytes)
#define STBIW_REALLOC(block, bytes) count_realloc(block, bytes)
#define STBIW_FREE(block) count_free(block)
#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STB_IMAGE_WRITE_STATIC
#include <stb/stb_image_write.h>
#if defined(__GNUC__)
#pragma GCC diagnostic pop
#endif

#define CGD_IMPLEMENTATION
#define CGD_PACK_IMPLEMENTATION
#define CGD_PICTURES_IMPLEMENTATION
#include "../tools/cgd_pack.h"
#include "../tools/cgd_pictures.h"
#include "golden/pictures.h"

#define N(array) (sizeof (array) / sizeof *(array))

#if defined(__SANITIZE_ADDRESS__)
static const int sanitized = 1;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
static const int sanitized = 1;
#else
static const int sanitized = 0;
#endif
#else
static const int sanitized = 0;
#endif

static int warnings;
static char warning[512];

static void warn(void *user, const char *sentence)
{
    (void)user;
    warnings++;
    strcpy(warning, sentence);
}

/* A context with the counting memory; threads as in cgd_options. */
static void start(cgd_ctx *ctx, int threads)
{
    cgd_options options;
    memset(&options, 0, sizeof options);
    options.allocator.alloc = user_alloc;
    options.allocator.release = user_release;
    options.threads = threads;
    options.warn = warn;
    warnings = 0;
    warning[0] = 0;
    blocks = calls = failing = 0;
    largest = 0;
    cgd_init(ctx, &options);
    cgd_use_pictures(ctx);
}

static void end(cgd_ctx *ctx)
{
    cgd_free(ctx);
    CHECK(blocks == 0);
}

/* The last message of a failed call: does it hold this word? */
static int says(const cgd_ctx *ctx, const char *word)
{
    if (strstr(cgd_message(ctx, CGD_ERR_FORMAT), word)) return 1;
    printf("    it says: %s\n", cgd_message(ctx, CGD_ERR_FORMAT));
    return 0;
}

/* ---- pictures ------------------------------------------------------------*/

/* The bytes that noise() in tools/make_picture_goldens.py makes. */
static void noise(unsigned char *out, size_t bytes, unsigned long seed)
{
    unsigned long x = seed;
    size_t i;
    for (i = 0; i < bytes; i++) {
        x = (x * 1664525UL + 1013904223UL) & 0xffffffffUL;
        out[i] = (unsigned char)(x >> 24);
    }
}

static cgd_image noise_image(cgd_ctx *ctx, size_t w, size_t h, size_t c,
                             unsigned long seed)
{
    cgd_image image;
    CHECK(cgd_image_init(ctx, &image, w, h, c) == CGD_OK);
    if (image.data) noise(image.data, w * h * c, seed);
    return image;
}

static unsigned long fnv1a(const unsigned char *bytes, size_t n)
{
    unsigned long hash = 2166136261UL;
    size_t i;
    for (i = 0; i < n; i++)
        hash = ((hash ^ bytes[i]) * 16777619UL) & 0xffffffffUL;
    return hash;
}

static void resizing_gives_pillows_bytes(void)
{
    int threads;
    for (threads = 1; threads <= 3; threads++) {
        cgd_ctx ctx;
        size_t i;
        start(&ctx, threads);
        for (i = 0; i < N(golden_resize); i++) {
            size_t w = golden_resize[i].w, h = golden_resize[i].h;
            size_t c = golden_resize[i].c;
            size_t to_w = golden_resize[i].to_w, to_h = golden_resize[i].to_h;
            cgd_image out, in = noise_image(&ctx, w, h, c,
                                            (unsigned long)(w * 7 + h));
            CHECK(cgd_image_resize(&ctx, &out, &in, to_w, to_h,
                                   golden_resize[i].filter) == CGD_OK);
            CHECK(out.w == to_w && out.h == to_h && out.c == c);
            CHECK(fnv1a(out.data, to_w * to_h * c) == golden_resize[i].hash);
            cgd_image_free(&ctx, &out);
            cgd_image_free(&ctx, &in);
        }
        end(&ctx);
    }
}

static void resize_row(cgd_ctx *ctx, const unsigned char *row, size_t from,
                       const unsigned char *expected, size_t to, int filter)
{
    cgd_image in, out;
    CHECK(cgd_image_init(ctx, &in, from, 1, 1) == CGD_OK);
    memcpy(in.data, row, from);
    CHECK(cgd_image_resize(ctx, &out, &in, to, 1, filter) == CGD_OK);
    CHECK(memcmp(out.data, expected, to) == 0);
    cgd_image_free(ctx, &out);
    in.w = 1;                                        /* the same, as a column */
    in.h = from;
    CHECK(cgd_image_resize(ctx, &out, &in, 1, to, filter) == CGD_OK);
    CHECK(memcmp(out.data, expected, to) == 0);
    cgd_image_free(ctx, &out);
    cgd_image_free(ctx, &in);
}

static void resizing_rows_that_pillow_was_asked_by_hand(void)
{
    static const unsigned char four[] = { 0, 100, 200, 255 };
    static const unsigned char three[] = { 10, 200, 30 };
    static const unsigned char cubic2[] = { 60, 221 };
    static const unsigned char linear2[] = { 71, 209 };
    static const unsigned char cubic5[] = { 0, 84, 200, 98, 17 };
    cgd_ctx ctx;
    start(&ctx, 1);
    resize_row(&ctx, four, 4, cubic2, 2, CGD_BICUBIC);
    resize_row(&ctx, four, 4, linear2, 2, CGD_BILINEAR);
    resize_row(&ctx, three, 3, cubic5, 5, CGD_BICUBIC);
    end(&ctx);
}

/* Sixteen bits and floating point, as Pillow 13.0 resizes its modes I;16 and
 * F: one row, and the same as a column. */
static void resize_values(cgd_ctx *ctx, float white, float divisor,
                          const float *expected, size_t to, int filter)
{
    static const unsigned short row[] = { 3, 1110, 40000, 65535U, 0, 0, 70,
                                          900, 901, 12345 };
    cgd_image in, out;
    size_t i, down;
    CHECK(cgd_image_init_white(ctx, &in, N(row), 1, 1, white) == CGD_OK);
    for (i = 0; i < N(row); i++) in.values[i] = (float)row[i] / divisor;
    for (down = 0; down < 2; down++) {
        CHECK(cgd_image_resize(ctx, &out, &in, down ? 1 : to, down ? to : 1,
                               filter) == CGD_OK);
        for (i = 0; i < to && out.values; i++)
            CHECK_NEAR(out.values[i], expected[i], white > 0 ? 1 : 0.02);
        cgd_image_free(ctx, &out);
        in.w = 1;
        in.h = N(row);
    }
    cgd_image_free(ctx, &in);
}

static void resizing_values_as_pillow_does(void)
{
    static const float cubic4[] = { 12112, 34172, 0, 4943 };
    static const float linear4[] = { 12525, 31637, 241, 4504 };
    static const float cubic15[] = { 0, 0, 5560, 33854, 59294, 59124, 8184, 0,
                                     0, 14, 489, 816, 248, 6960, 13098 };
    static const float float4[] = { 1730.279F, 4881.781F, -306.436F,
                                    706.164F };
    cgd_ctx ctx;
    start(&ctx, 2);
    resize_values(&ctx, 65535, 1, cubic4, 4, CGD_BICUBIC);
    resize_values(&ctx, 65535, 1, linear4, 4, CGD_BILINEAR);
    resize_values(&ctx, 65535, 1, cubic15, 15, CGD_BICUBIC);
    resize_values(&ctx, 0, 7, float4, 4, CGD_BICUBIC);
    end(&ctx);
}

static void sizes_that_no_picture_has_are_refused(void)
{
    cgd_ctx ctx;
    cgd_image in, out;
    start(&ctx, 1);
    in = noise_image(&ctx, 3, 2, 3, 1UL);
    CHECK(cgd_image_resize(&ctx, &out, &in, 0, 4, CGD_BICUBIC)
          == CGD_ERR_ARGUMENT);
    CHECK(cgd_image_resize(&ctx, &out, &in, 4, 4, 9) == CGD_ERR_ARGUMENT);
    CHECK(cgd_image_resize(&ctx, &out, &in, (size_t)-1, 4, CGD_BICUBIC)
          == CGD_ERR_SHAPE);
    CHECK(cgd_image_resize(&ctx, &out, &in, 1000000, 100, CGD_BILINEAR)
          == CGD_ERR_SHAPE);
    CHECK(out.data == NULL && says(&ctx, "too large"));
    cgd_image_free(&ctx, &in);
    CHECK(cgd_image_resize(&ctx, &out, &in, 4, 4, 0) == CGD_ERR_ARGUMENT);
    CHECK(cgd_image_init(&ctx, &in, 0, 4, 3) == CGD_ERR_ARGUMENT);
    CHECK(cgd_image_init(&ctx, &in, 4, 4, 1025) == CGD_ERR_ARGUMENT);
    end(&ctx);
}

/* ---- decoding ------------------------------------------------------------*/

/* 0 red, 1 green, 2 blue, 3 yellow. */
static int colour(const cgd_image *p, size_t x, size_t y)
{
    const unsigned char *at = p->data + (y * p->w + x) * p->c;
    if (at[0] > 128) return at[1] > 128 ? 3 : 0;
    return at[1] > 128 ? 1 : 2;
}

static void check_upright(const unsigned char *jpeg, size_t size, size_t at,
                          int shown, int stored)
{
    unsigned char bytes[1000];
    cgd_ctx ctx;
    cgd_image p;
    start(&ctx, 1);
    memcpy(bytes, jpeg, size);
    bytes[at] = (unsigned char)stored;
    CHECK(cgd_image_decode(&ctx, &p, bytes, size, 3, "test") == CGD_OK);
    CHECK(p.w == golden_upright[shown].w && p.h == golden_upright[shown].h);
    CHECK(colour(&p, 0, 0) == golden_upright[shown].corner[0]);
    CHECK(colour(&p, p.w - 1, 0) == golden_upright[shown].corner[1]);
    CHECK(colour(&p, 0, p.h - 1) == golden_upright[shown].corner[2]);
    CHECK(colour(&p, p.w - 1, p.h - 1) == golden_upright[shown].corner[3]);
    cgd_image_free(&ctx, &p);
    end(&ctx);
}

static void all_eight_orientations_come_upright(void)
{
    int o;
    for (o = 1; o <= 8; o++) {
        check_upright(golden_jpeg_ii, sizeof golden_jpeg_ii,
                      golden_jpeg_ii_orientation, o - 1, o);
        check_upright(golden_jpeg_mm, sizeof golden_jpeg_mm,
                      golden_jpeg_mm_orientation, o - 1, o);
    }
    for (o = 1; o <= 8; o++)
        check_upright(golden_png_exif, sizeof golden_png_exif,
                      golden_png_exif_orientation, o - 1, o);
    check_upright(golden_jpeg_ii, sizeof golden_jpeg_ii,
                  golden_jpeg_ii_orientation, 0, 0);
    check_upright(golden_jpeg_mm, sizeof golden_jpeg_mm,
                  golden_jpeg_mm_orientation, 0, 9);
}

/* One file with memory full of zeros and full of something else: the same
 * refusal, or the same picture, where no pixel is what memory was before. */
static void decode_twice(const unsigned char *file, size_t size)
{
    unsigned char *copy = (unsigned char *)malloc(size ? size : 1);
    cgd_status status[2];
    cgd_image p[2];
    cgd_ctx ctx;
    int i;
    memcpy(copy, file, size);
    start(&ctx, 1);
    for (i = 0; i < 2; i++) {
        fill = i ? 0xa5 : 0;
        status[i] = cgd_image_decode(&ctx, &p[i], copy, size, 3, "test");
        if (status[i] == CGD_OK) CHECK(p[i].w > 0 && p[i].h > 0);
        else CHECK(p[i].data == NULL && says(&ctx, "test: "));
        CHECK(status[i] != CGD_ERR_MEMORY);
    }
    fill = 0;
    CHECK(status[0] == status[1] && p[0].w == p[1].w && p[0].h == p[1].h);
    if (p[0].data && p[1].data)
        CHECK(memcmp(p[0].data, p[1].data, p[0].w * p[0].h * 3) == 0);
    cgd_image_free(&ctx, &p[1]);
    cgd_image_free(&ctx, &p[0]);
    end(&ctx);
    free(copy);
}

/* Every byte of the file changed in turn: nothing but a refusal or a picture
 * may come of it (the sanitizers watch). Copies have the exact size. */
static void damage_every_byte(const unsigned char *file, size_t size)
{
    static const int change[3] = { 0xff, 0x80, 0x01 };
    unsigned char *copy = (unsigned char *)malloc(size);
    size_t i, k;
    memcpy(copy, file, size);
    for (i = 0; i < size; i++)
        for (k = 0; k < 3; k++) {
            copy[i] = (unsigned char)(file[i] ^ change[k]);
            decode_twice(copy, size);
            copy[i] = file[i];
        }
    free(copy);
}

#define DAMAGE(name) damage_every_byte(name, sizeof name)

static void damaged_files_do_no_harm_and_show_no_memory(void)
{
    DAMAGE(golden_jpeg_ii);
    DAMAGE(golden_jpeg_mm);
    DAMAGE(golden_progressive);
    DAMAGE(golden_restarts);
    DAMAGE(golden_cmyk);
    DAMAGE(golden_png_palette_alpha);
    DAMAGE(golden_png_interlaced);
    DAMAGE(golden_png_rgb16);
    DAMAGE(golden_bmp_os2);
    DAMAGE(golden_bmp_alpha);
}

/* Cut at every length up to size, which is where the picture is whole. */
static void cut_everywhere(const unsigned char *file, size_t size)
{
    cgd_ctx ctx;
    cgd_image p;
    size_t n;
    start(&ctx, 1);
    for (n = 0; n < size; n++) {
        unsigned char *copy = (unsigned char *)malloc(n ? n : 1);
        memcpy(copy, file, n);
        CHECK(cgd_image_decode(&ctx, &p, copy, n, 3, "test")
              == CGD_ERR_FORMAT);
        CHECK(p.data == NULL && says(&ctx, "test: "));
        free(copy);
    }
    CHECK(cgd_image_decode(&ctx, &p, file, size, 3, "test") == CGD_OK);
    cgd_image_free(&ctx, &p);
    end(&ctx);
}

/* stb_image takes zeros for what is missing of a JPEG or BMP. */
static const unsigned char bmp[54 + 16] = {
    'B', 'M', 70, 0, 0, 0, 0, 0, 0, 0, 54, 0, 0, 0, 40, 0, 0, 0, 2, 0, 0, 0,
    2, 0, 0, 0, 1, 0, 24, 0, 0, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 0, 0, 7, 8, 9, 10, 11, 12, 0, 0
};

static void truncated_pictures_are_refused(void)
{
    cut_everywhere(golden_jpeg_ii, sizeof golden_jpeg_ii);
    cut_everywhere(golden_png_grey_alpha,         /* but a last check sum    */
                   sizeof golden_png_grey_alpha - 4);
    cut_everywhere(bmp, sizeof bmp);
}

/* The file decodes to these pixels, up to what decoders round differently. */
static void decodes_near(const unsigned char *file, size_t size,
                         const unsigned char *pixels, size_t bytes, int off)
{
    cgd_ctx ctx;
    cgd_image p;
    size_t i;
    start(&ctx, 1);
    CHECK(cgd_image_decode(&ctx, &p, file, size, 3, "test") == CGD_OK);
    CHECK(p.w * p.h * p.c == bytes);
    for (i = 0; i < bytes && p.data; i++)
        CHECK(abs(p.data[i] - pixels[i]) <= off);
    cgd_image_free(&ctx, &p);
    end(&ctx);
}

/* The file is refused for itself, and with these words. */
static void refused(const unsigned char *file, size_t size, const char *words)
{
    cgd_ctx ctx;
    cgd_image p;
    start(&ctx, 1);
    CHECK(cgd_image_decode(&ctx, &p, file, size, 3, "test")
          == CGD_ERR_FORMAT);
    CHECK(says(&ctx, words));
    end(&ctx);
}

/* Where a JPEG's first segment of this kind begins (its FF). */
static size_t segment(const unsigned char *file, size_t size, int marker)
{
    size_t at = 2;
    while (at + 4 < size && file[at + 1] != marker)
        at += 2 + ((size_t)file[at + 2] << 8 | file[at + 3]);
    CHECK(at + 4 < size);
    return at;
}

/* Without segments of this kind. */
static size_t leave_out(unsigned char *out, const unsigned char *file,
                        size_t size, int marker)
{
    size_t at = 2, n;
    memcpy(out, file, size);
    while (at + 4 < size && out[at + 1] != 0xda) {
        n = 2 + ((size_t)out[at + 2] << 8 | out[at + 3]);
        if (out[at + 1] != marker) { at += n; continue; }
        memmove(out + at, out + at + n, size - at - n);
        size -= n;
    }
    return size;
}

/* Webcams leave the Huffman tables out: the typical ones, which Pillow has
 * used here, are meant. A progressive file has none that are typical. */
static void motion_jpeg_without_huffman_tables_is_read(void)
{
    unsigned char bytes[1000];
    size_t size = leave_out(bytes, golden_jpeg_ii, sizeof golden_jpeg_ii,
                            0xc4);
    cgd_ctx ctx;
    cgd_image p, whole;
    start(&ctx, 1);
    CHECK(size < sizeof golden_jpeg_ii - 300);
    CHECK(cgd_image_decode(&ctx, &p, bytes, size, 3, "test") == CGD_OK);
    CHECK(cgd_image_decode(&ctx, &whole, golden_jpeg_ii, sizeof golden_jpeg_ii,
                           3, "test") == CGD_OK);
    CHECK(p.w == whole.w && p.h == whole.h && p.data
          && memcmp(p.data, whole.data, p.w * p.h * 3) == 0);
    cgd_image_free(&ctx, &whole);
    cgd_image_free(&ctx, &p);
    end(&ctx);
    size = leave_out(bytes, golden_progressive, sizeof golden_progressive,
                     0xc4);
    refused(bytes, size, "damaged");
}

/* What would make stb_image overrun its arrays or fail an assertion. */
static void jpeg_tables_are_checked_before_stb_image_sees_them(void)
{
    static unsigned char bytes[2000];
    size_t size = sizeof golden_jpeg_ii, symbols;
    for (symbols = 300; symbols > 255; symbols -= 44) {
        size_t n = 17 + symbols;
        memset(bytes, 0, sizeof bytes);
        memcpy(bytes, "\xff\xd8\xff\xc4", 4);
        bytes[4] = (unsigned char)((n + 2) >> 8);
        bytes[5] = (unsigned char)((n + 2) & 255);
        bytes[7 + 8] = (unsigned char)(symbols - 200);      /* of nine bits  */
        bytes[7 + 9] = 200;
        memcpy(bytes + 4 + 2 + n, golden_jpeg_ii + 2, size - 2);
        refused(bytes, 6 + n + size - 2, "test: the picture is damaged");
    }
    memcpy(bytes, golden_jpeg_ii, size);
    bytes[segment(bytes, size, 0xdb) + 4] = 3;            /* another table   */
    refused(bytes, size, "damaged");
}

/* Kinds of JPEG that stb_image does not know are named; and never is it said
 * that memory is short. */
static void jpegs_of_other_kinds_are_named(void)
{
    static const struct { int at, value; const char *words; } kinds[] = {
        { 1, 0xc9, "an arithmetic-coded JPEG" },
        { 1, 0xca, "an arithmetic-coded JPEG" },
        { 1, 0xc3, "a lossless JPEG" }, { 1, 0xc5, "a hierarchical JPEG" },
        { 1, 0xf7, "a JPEG-LS picture" }, { 4, 12, "12 bits" },
        { 4, 9, "damaged" }, { 9, 2, "damaged" }, { 11, 0x51, "damaged" }
    };
    unsigned char bytes[1000];
    size_t size = sizeof golden_jpeg_ii, i;
    size_t frame = segment(golden_jpeg_ii, size, 0xc0);
    for (i = 0; i < N(kinds); i++) {
        memcpy(bytes, golden_jpeg_ii, size);
        bytes[frame + (size_t)kinds[i].at] = (unsigned char)kinds[i].value;
        refused(bytes, size, kinds[i].words);
    }
    memcpy(bytes, golden_jpeg_ii, size);
    bytes[frame + 5] = bytes[frame + 6] = 0;
    refused(bytes, size, "without its height");
}

static void cmyk_without_adobes_marker_is_read_as_others_do(void)
{
    decodes_near(golden_cmyk, sizeof golden_cmyk, golden_cmyk_pixels,
                 sizeof golden_cmyk_pixels, 4);
}

/* A progressive file that ends early has all of the picture from its first
 * scan on, which is whole when the next marker has come. */
static void a_progressive_jpeg_that_ends_early_lacks_detail(void)
{
    size_t n, first = golden_scans_first + 2;
    unsigned char bytes[golden_scans_third + 2];
    cgd_ctx ctx;
    cgd_image p;
    start(&ctx, 1);
    for (n = 0; n <= sizeof golden_scans; n++) {
        unsigned char *copy = (unsigned char *)malloc(n ? n : 1);
        memcpy(copy, golden_scans, n);
        warnings = 0;
        CHECK(cgd_image_decode(&ctx, &p, copy, n, 3, "test")
              == (n < first ? CGD_ERR_FORMAT : CGD_OK));
        CHECK(warnings == (n >= first && n < sizeof golden_scans));
        cgd_image_free(&ctx, &p);
        free(copy);
    }
    CHECK(strstr(warning, "test: this progressive JPEG ends early") != NULL);
    end(&ctx);
    memcpy(bytes, golden_scans, golden_scans_third);
    memcpy(bytes + golden_scans_third, "\xff\xd9", 2);
    start(&ctx, 1);
    CHECK(cgd_image_decode(&ctx, &p, bytes, golden_scans_third + 2, 3, "test")
          == CGD_OK && warnings == 0);
    if (p.data)
        decodes_near(golden_scans, golden_scans_third + 9, p.data,
                     p.w * p.h * 3, 0);
    blocks = 1;
    cgd_image_free(&ctx, &p);
    end(&ctx);
}

/* A scan that never comes, or ends at a restart marker that is not there,
 * would leave pixels to what memory held. */
static void scans_that_never_came_are_refused(void)
{
    unsigned char bytes[1000];
    size_t size = sizeof golden_restarts, at, scan;
    scan = segment(golden_restarts, size, 0xda);
    memcpy(bytes, golden_restarts, scan);
    memcpy(bytes + scan, "\xff\xd9", 2);
    refused(bytes, scan + 2, "damaged");
    memcpy(bytes, golden_restarts, size);
    for (at = scan; bytes[at] != 0xff || bytes[at + 1] != 0xd1; at++)
        CHECK(at + 2 < size);
    memmove(bytes + at, bytes + at + 2, size - at - 2);
    refused(bytes, size - 2, "damaged");
    memcpy(bytes, golden_restarts, size);              /* a component twice  */
    bytes[scan + 7] = bytes[scan + 5];
    refused(bytes, size, "damaged");
    scan = segment(golden_scans, sizeof golden_scans, 0xda);
    memcpy(bytes, golden_scans, sizeof golden_scans);
    bytes[scan + 11] = 1;                              /* no scan of DC      */
    refused(bytes, sizeof golden_scans, "damaged");
}

/* Some cameras append a film; some put a whole little JPEG into a segment. */
static void what_follows_a_jpeg_or_hides_in_it_does_not_matter(void)
{
    static const unsigned char thumbnail[] = {
        0xff, 0xec, 0, 10, 0xff, 0xd8, 0xff, 0xd9, 0xff, 0xd9, 0xff, 0xd9
    };
    unsigned char bytes[1000];
    size_t size = sizeof golden_jpeg_ii;
    cgd_ctx ctx;
    cgd_image p;
    start(&ctx, 1);
    memcpy(bytes, golden_jpeg_ii, size);
    noise(bytes + size, 100, 5UL);
    CHECK(cgd_image_decode(&ctx, &p, bytes, size + 100, 3, "test") == CGD_OK);
    cgd_image_free(&ctx, &p);
    memcpy(bytes + 2, thumbnail, sizeof thumbnail);
    memcpy(bytes + 2 + sizeof thumbnail, golden_jpeg_ii + 2, size - 2);
    size += sizeof thumbnail;
    CHECK(cgd_image_decode(&ctx, &p, bytes, size, 3, "test") == CGD_OK);
    cgd_image_free(&ctx, &p);
    CHECK(cgd_image_decode(&ctx, &p, bytes, size - 2, 3, "test")
          == CGD_ERR_FORMAT);
    CHECK(says(&ctx, "truncated"));
    end(&ctx);
}

static void decodes_to(const unsigned char *file, size_t size,
                       const unsigned char *pixels, size_t bytes)
{
    cgd_ctx ctx;
    cgd_image p;
    start(&ctx, 1);
    cgd_use_background(&ctx, CGD_NO_BACKGROUND);
    CHECK(cgd_image_decode(&ctx, &p, file, size, 3, "test") == CGD_OK);
    CHECK(p.w * p.h * p.c == bytes && memcmp(p.data, pixels, bytes) == 0);
    cgd_image_free(&ctx, &p);
    end(&ctx);
}

#define DECODES(name) \
    decodes_to(name, sizeof name, name##_pixels, sizeof name##_pixels)

static void grey_alpha_palette_and_16_bits_decode_as_in_pillow(void)
{
    DECODES(golden_png_rgb16);
    DECODES(golden_png_grey_alpha);
    DECODES(golden_png_palette_alpha);
    DECODES(golden_png_1bit);
    DECODES(golden_png_rgba);
}

/* White is told of, once; a colour that was asked for is not. */
static void transparent_parts_are_laid_on_the_background(void)
{
    unsigned char hidden[sizeof golden_rgba_white];
    cgd_ctx ctx;
    cgd_image p;
    size_t i, k;
    for (i = 0; i < sizeof hidden; i++)
        hidden[i] = golden_rgba_stored[i / 3 * 4 + i % 3];
    start(&ctx, 1);
    for (i = 0; i < 4; i++) {
        const unsigned char *expected = i < 2 ? golden_rgba_white
                               : i == 2 ? golden_rgba_teal : hidden;
        if (i == 2) cgd_use_background(&ctx, 0x008064U);
        if (i == 3) cgd_use_background(&ctx, CGD_NO_BACKGROUND);
        CHECK(cgd_image_decode(&ctx, &p, golden_rgba, sizeof golden_rgba, 3,
                               "test") == CGD_OK);
        CHECK(p.data && memcmp(p.data, expected, sizeof hidden) == 0);
        CHECK(warnings == 1);
        cgd_image_free(&ctx, &p);
    }
    CHECK(strstr(warning, "test: transparent parts are laid on white"));
    CHECK(cgd_image_decode(&ctx, &p, golden_rgba, sizeof golden_rgba, 4,
                           "test") == CGD_OK);
    CHECK(p.c == 4 && memcmp(p.data, golden_rgba_stored, 16 * 8 * 4) == 0);
    cgd_image_free(&ctx, &p);
    cgd_use_background(&ctx, 0x008064U);
    CHECK(cgd_image_decode(&ctx, &p, golden_rgba, sizeof golden_rgba, 1,
                           "test") == CGD_OK);
    for (i = 0; i < 16 * 8; i++) {
        const unsigned char *at = golden_rgba_teal + 3 * i;
        k = (19595U * at[0] + 38470U * at[1] + 7471U * at[2] + 32768U) >> 16;
        CHECK(p.data[i] == k);
    }
    cgd_image_free(&ctx, &p);
    CHECK(cgd_image_decode(&ctx, &p, golden_bmp_alpha, sizeof golden_bmp_alpha,
                           4, "test") == CGD_OK);
    CHECK(p.w == 2 && p.data[3] == 255 && p.data[7] == 128);
    cgd_image_free(&ctx, &p);
    end(&ctx);
}

static void bmps_of_all_ages_decode_as_in_pillow(void)
{
    unsigned char bytes[sizeof golden_bmp_topdown];
    unsigned char os2[sizeof golden_bmp_os2];
    memcpy(os2, golden_bmp_os2, sizeof os2);
    os2[10] = 26;                        /* the place of the palette instead */
    decodes_to(os2, sizeof os2, golden_bmp_os2_pixels,
               sizeof golden_bmp_os2_pixels);
    DECODES(golden_bmp_os2);
    DECODES(golden_bmp_565);
    DECODES(golden_bmp_topdown);
    memcpy(bytes, golden_bmp_topdown, sizeof bytes);
    bytes[30] = 1;
    refused(bytes, sizeof bytes, "a run-length coded BMP");
    bytes[30] = 5;
    refused(bytes, sizeof bytes, "a JPEG or PNG inside");
}

static size_t put_chunk(unsigned char *to, const char *type, const void *data,
                        size_t n)
{
    cgd_u32 sum;
    int i;
    for (i = 0; i < 4; i++) to[i] = (unsigned char)(n >> (24 - 8 * i) & 255);
    memcpy(to + 4, type, 4);
    if (n) memcpy(to + 8, data, n);
    sum = cgd__png_sum(to + 4, n + 4);
    for (i = 0; i < 4; i++)
        to[8 + n + (size_t)i] = (unsigned char)(sum >> (24 - 8 * i) & 255);
    return 12 + n;
}

/* A PNG of n bytes of zlib stream; colour 0 grey, 2 RGB, 3 with a palette of
 * one colour (1, 2, 3). w, h below 65536. */
static size_t make_png(unsigned char *out, size_t w, size_t h, int colour,
                       const void *zlib, size_t n)
{
    unsigned char header[13] = { 0 };
    size_t at = 8;
    memcpy(out, "\x89PNG\r\n\x1a\n", 8);
    header[2] = (unsigned char)(w >> 8);
    header[3] = (unsigned char)(w & 255);
    header[6] = (unsigned char)(h >> 8);
    header[7] = (unsigned char)(h & 255);
    header[8] = 8;
    header[9] = (unsigned char)colour;
    at += put_chunk(out + at, "IHDR", header, 13);
    if (colour == 3) at += put_chunk(out + at, "PLTE", "\1\2\3", 3);
    at += put_chunk(out + at, "IDAT", zlib, n);
    return at + put_chunk(out + at, "IEND", NULL, 0);
}

/* In the fixed code: a zero, then 258 bytes at a distance that is forbidden
 * (code 30), then the end. stb_image copies each byte onto itself. */
static void a_forbidden_distance_shows_no_memory(void)
{
    static const char *const codes[] = {
        "1", "10", "00110000", "11000101", "11110", "0000000"
    };
    unsigned char zlib[12] = { 0x78, 0x01 }, png[200];
    size_t bit = 16, i, k, size;
    cgd_ctx ctx;
    cgd_image p;
    for (i = 0; i < N(codes); i++)
        for (k = 0; codes[i][k]; k++, bit++)
            if (codes[i][k] == '1')
                zlib[bit / 8] = (unsigned char)(zlib[bit / 8]
                                                | 1U << bit % 8);
    size = make_png(png, 15, 16, 0, zlib, sizeof zlib);
    decode_twice(png, size);
    start(&ctx, 1);
    fill = 0xa5;
    CHECK(cgd_image_decode(&ctx, &p, png, size, 3, "test") == CGD_OK);
    for (i = 0; i < 15 * 16 * 3 && p.data; i++) CHECK(p.data[i] == 0);
    fill = 0;
    cgd_image_free(&ctx, &p);
    end(&ctx);
}

static void pixels_beyond_the_palette_are_black(void)
{
    static const unsigned char pixels[12] = { 1, 2, 3 };
    unsigned char zlib[100], file[200], indices[5] = { 0, 0, 1, 100, 255 };
    int n;
    unsigned char *stream = stbi_zlib_compress(indices, 5, &n, 8);
    size_t size;
    memcpy(zlib, stream, (size_t)n);
    count_free(stream);
    size = make_png(file, 4, 1, 3, zlib, (size_t)n);
    decodes_near(file, size, pixels, sizeof pixels, 0);
    memset(file, 0, sizeof file);
    memcpy(file, bmp, 54);
    file[10] = 58;
    file[18] = 4;
    file[22] = 1;
    file[28] = 8;
    file[46] = 1;
    memcpy(file + 54, "\3\2\1", 3);
    memcpy(file + 58, indices + 1, 4);
    decodes_near(file, 62, pixels, sizeof pixels, 0);
}

/* What would need much memory or time is refused before it is decoded. */
static void bombs_are_refused_before_they_go_off(void)
{
    enum { MEGABYTE = 1 << 20 };
    static unsigned char zeros[4 * MEGABYTE], png[65536], jpeg[65536];
    unsigned char *stream;
    size_t size, last, i;
    int n;
    stream = stbi_zlib_compress(zeros, sizeof zeros, &n, 8);
    CHECK(n < 60000);
    size = make_png(png, 1, 1, 2, stream, (size_t)n);
    refused(png, size, "damaged");
    CHECK(largest < MEGABYTE);
    size = make_png(png, 8000, 8000, 2, stream, 5000);
    refused(png, size, "truncated");
    CHECK(largest < MEGABYTE);
    count_free(stream);
    memcpy(jpeg, golden_jpeg_ii, sizeof golden_jpeg_ii);
    i = segment(jpeg, sizeof golden_jpeg_ii, 0xc0);
    jpeg[i + 5] = jpeg[i + 7] = 31;                        /* 8000 x 8000    */
    refused(jpeg, sizeof golden_jpeg_ii, "damaged");
    CHECK(largest < MEGABYTE);
    size = sizeof golden_scans - 2;
    memcpy(jpeg, golden_scans, size);
    for (last = size - 1; jpeg[last] != 0xff || jpeg[last + 1] != 0xda; last--)
        CHECK(last > golden_scans_third);
    for (i = 0; i < 1000; i++)
        memcpy(jpeg + size + i * (size - last), jpeg + last, size - last);
    size += 1000 * (size - last);
    CHECK(size + 2 < sizeof jpeg);
    memcpy(jpeg + size, "\xff\xd9", 2);
    refused(jpeg, size + 2, "damaged");
}

static void a_png_with_a_wrong_check_sum_is_refused(void)
{
    unsigned char bytes[sizeof golden_png_rgba];
    static const size_t at[] = { 8 + 8 + 13, sizeof bytes - 12 - 1 };
    size_t i;
    for (i = 0; i < N(at); i++) {             /* of the header, of the data  */
        memcpy(bytes, golden_png_rgba, sizeof bytes);
        bytes[at[i]] ^= 1;
        refused(bytes, sizeof bytes, "damaged");
    }
}

/* The decoder's memory may fail too, and that is all that is then said. */
static void memory_that_fails_while_decoding_is_no_damage(void)
{
    static const struct { const unsigned char *file; size_t size; } files[] = {
        { golden_jpeg_ii, sizeof golden_jpeg_ii },
        { golden_cmyk, sizeof golden_cmyk },
        { golden_scans, sizeof golden_scans },
        { golden_png_interlaced, sizeof golden_png_interlaced },
        { golden_png_palette_alpha, sizeof golden_png_palette_alpha },
        { golden_png_rgb16, sizeof golden_png_rgb16 },
        { golden_bmp_os2, sizeof golden_bmp_os2 }
    };
    size_t i;
    for (i = 0; i < N(files); i++) {
        cgd_status status = CGD_ERR_MEMORY;
        long k;
        for (k = 1; k < 100 && status != CGD_OK; k++) {
            cgd_ctx ctx;
            cgd_image p;
            start(&ctx, 1);
            failing = k;
            status = cgd_image_decode(&ctx, &p, files[i].file, files[i].size,
                                      3, "test");
            CHECK(status == CGD_OK || status == CGD_ERR_MEMORY);
            CHECK(status == CGD_OK || says(&ctx, "out of memory"));
            cgd_image_free(&ctx, &p);
            end(&ctx);
        }
        CHECK(status == CGD_OK && k > 3);
    }
}

static void other_files_are_said_to_be_what_they_are(void)
{
    static const struct { const char *begin; size_t size; const char *is; }
    files[] = {
        { "RIFF\1\2\3\4WEBPVP8 ", 16, "a WebP picture" },
        { "GIF89a\1\2", 8, "a GIF picture" },
        { "II*\0\1\2\3\4", 8, "a TIFF picture" },
        { "\0\0\0\30ftypheic", 12, "a HEIC picture" },
        { "\0\0\0\30ftypavif", 12, "an AVIF picture" },
        { "<!DOCTYPE html>", 15, "markup" },
        { "version https://git-lfs.github.com/spec/v1", 42, "Git LFS" },
        { "BMost of this is a letter.", 26, "no JPEG, PNG or BMP" }
    };
    size_t i;
    for (i = 0; i < N(files); i++)
        refused((const unsigned char *)files[i].begin, files[i].size,
                files[i].is);
}

static char folder_path[400];

/* A fresh folder of pictures below the scratch folder; the name may hold one
 * further level ("set/trainA"). */
static const char *scratch(const char *name)
{
    const char *base = getenv("TEST_TMP");
    char path[300];
    cgd_ctx ctx;
    cgd_options one;
    cgd_listing old;
    size_t i;
    if (!base || strlen(base) > 200) base = "build";
    make_folder(base);
    sprintf(path, "%s/test_pictures", base);
    make_folder(path);
    sprintf(folder_path, "%s/%s", path, name);
    for (i = strlen(path) + 1; folder_path[i]; i++)
        if (folder_path[i] == '/') {
            folder_path[i] = 0;
            make_folder(folder_path);
            folder_path[i] = '/';
        }
    make_folder(folder_path);
    memset(&one, 0, sizeof one);
    one.threads = 1;
    cgd_init(&ctx, &one);
    cgd_use_pictures(&ctx);
    if (cgd_list_pictures(&ctx, &old, folder_path, 0) == CGD_OK) {
        for (i = 0; i < old.count; i++) remove(old.paths[i]);
        cgd_listing_free(&ctx, &old);
    }
    cgd_free(&ctx);
    return folder_path;
}

static char *in_folder(char *out, const char *folder, const char *name)
{
    sprintf(out, "%s/%s", folder, name);
    return out;
}

static void write_file(const char *folder, const char *name, const void *bytes,
                       size_t size)
{
    char path[400];
    FILE *f = fopen(in_folder(path, folder, name), "wb");
    CHECK(f != NULL);
    if (!f) return;
    CHECK(fwrite(bytes, 1, size, f) == size);
    fclose(f);
}

static int exists(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (f) fclose(f);
    return f != NULL;
}

static void write_noise(cgd_ctx *ctx, const char *folder, const char *name,
                        size_t w, size_t h, size_t c, unsigned long seed)
{
    char path[400];
    cgd_image image = noise_image(ctx, w, h, c, seed);
    CHECK(cgd_image_save(ctx, &image, in_folder(path, folder, name))
          == CGD_OK);
    cgd_image_free(ctx, &image);
}

static void what_is_saved_is_loaded_again(void)
{
    static const char *const names[] = { "a.png", "a.BMP", "a.jpg", "a.JPEG" };
    /* stb_image_write 1.16 shifts into the sign, which a sanitizer minds. */
    size_t kinds = sanitized ? 2 : N(names);
    const char *folder = scratch("save");
    char path[400], part[420];
    cgd_ctx ctx;
    size_t i, k, c;
    start(&ctx, 0);
    for (i = 0; i < kinds; i++)
        for (c = 1; c <= 3; c += 2) {
            cgd_image out, in;
            CHECK(cgd_image_init(&ctx, &out, 20, 12, c) == CGD_OK);
            for (k = 0; k < 20 * 12 * c; k++)                    /* smooth   */
                out.data[k] = (unsigned char)(k / (20 * c) * 9 + k / c % 20);
            in_folder(path, folder, names[i]);
            CHECK(cgd_image_save(&ctx, &out, path) == CGD_OK);
            CHECK(cgd_image_load(&ctx, &in, path, c) == CGD_OK);
            CHECK(in.w == 20 && in.h == 12 && in.c == c);
            for (k = 0; k < 20 * 12 * c; k++)
                CHECK(abs(in.data[k] - out.data[k]) <= (i < 2 ? 0 : 4));
            cgd_image_free(&ctx, &in);
            cgd_image_free(&ctx, &out);
            sprintf(part, "%s.cgd-part", path);
            CHECK(!exists(part));
        }
    end(&ctx);
}

/* A picture of values: a ramp over everything the type can hold. */
static cgd_image ramp_image(cgd_ctx *ctx, size_t w, size_t h, size_t c,
                            float white)
{
    cgd_image p;
    size_t n = w * h * c, i;
    CHECK(cgd_image_init_white(ctx, &p, w, h, c, white) == CGD_OK);
    for (i = 0; i < n; i++)
        p.values[i] = white > 0 ? (float)((unsigned)(i * 65535 / (n - 1)))
                                : (float)i / 3 - 5;
    return p;
}

static void sixteen_bits_and_floats_are_saved_and_loaded_whole(void)
{
    static const char *const names[] = { "a.png", "a.npy", "b.npy" };
    const char *folder = scratch("deep");
    char path[400];
    cgd_ctx ctx;
    cgd_image in, out;
    size_t i, c, k;
    start(&ctx, 1);
    for (i = 0; i < N(names); i++)
        for (c = 1; c <= 4; c++) {
            in_folder(path, folder, names[i]);
            if (c == 2 && i == 0) continue;         /* not read as 2         */
            out = ramp_image(&ctx, 19, 23, c, i < 2 ? 65535 : 0);
            CHECK(cgd_image_save(&ctx, &out, path) == CGD_OK);
            CHECK(cgd_image_load_deep(&ctx, &in, path, c) == CGD_OK);
            CHECK(in.w == 19 && in.h == 23 && in.c == c && !in.data);
            CHECK(in.white == out.white);
            for (k = 0; k < 19 * 23 * c && in.values; k++)
                CHECK(in.values[k] == out.values[k]);
            cgd_image_free(&ctx, &in);
            cgd_image_free(&ctx, &out);
        }
    CHECK(warnings == 0);
    end(&ctx);
}

/* The first four samples of a folder that is both domains. */
static void plain_batch(cgd_ctx *ctx, const char *folder, float *values)
{
    cgd_data_config config = cgd_data_defaults();
    cgd_dataset data;
    cgd_tensor a = cgd_tensor_view(4, 4, 4, 3, values);
    cgd_tensor b = cgd_tensor_view(4, 4, 4, 3, values + 4 * 4 * 4 * 3);
    config.dir[0] = config.dir[1] = folder;
    config.size = config.load_size = 4;
    CHECK(cgd_dataset_open(ctx, &data, &config) == CGD_OK);
    CHECK(cgd_dataset_count(&data, 0) == 4);
    CHECK(cgd_dataset_next(&data, &a, &b) == CGD_OK);
    cgd_dataset_close(&data);
}

/* Without the companion stb_image does all: the same samples of sound files,
 * upright ones on white; arrays are not known. */
static void sound_pictures_are_the_same_without_the_companion(void)
{
    static const char *const names[] = { "a.png", "a.bmp", "a.jpg", "d.png" };
    static float batch[2][2 * 4 * 4 * 4 * 3];
    const char *folder = scratch("plain");
    char path[400];
    cgd_ctx ctx, plain;
    cgd_image p, q, r;
    size_t i, c, k, n;
    start(&ctx, 1);
    start(&plain, 2);
    plain.codec = NULL;
    for (i = 0; i < 4; i++)
        for (c = 1; c <= 4; c += c == 1 ? 2 : 1) {
            p = i == 3 ? ramp_image(&ctx, 9, 7, 4, 65535)
                       : noise_image(&ctx, 9, 7, i == 0 ? 4 : 3, 5UL);
            in_folder(path, folder, names[i]);
            CHECK(cgd_image_save(i == 3 || c == 3 ? &ctx : &plain, &p, path)
                  == CGD_OK);
            CHECK(cgd_image_load_deep(&ctx, &q, path, c) == CGD_OK);
            CHECK(cgd_image_load_deep(&plain, &r, path, c) == CGD_OK);
            CHECK(q.w == r.w && q.h == r.h && q.white == r.white);
            n = q.w == r.w && q.h == r.h ? q.w * q.h * c : 0;
            for (k = 0; k < n; k++)
                CHECK(q.data ? abs(q.data[k] - r.data[k]) <= 1
                      : q.values[k] - r.values[k] <= 1
                        && r.values[k] - q.values[k] <= 1);
            cgd_image_free(&ctx, &r);
            cgd_image_free(&ctx, &q);
            cgd_image_free(&ctx, &p);
        }
    CHECK(cgd_image_load(&plain, &r, path, 2) == CGD_ERR_SHAPE);
    plain_batch(&plain, folder, batch[0]);
    plain_batch(&ctx, folder, batch[1]);
    for (k = 0; k < N(batch[0]); k++)
        CHECK(batch[0][k] - batch[1][k] < 0.01f
              && batch[1][k] - batch[0][k] < 0.01f);
    p = ramp_image(&ctx, 9, 7, 3, 0);
    CHECK(cgd_image_save(&plain, &p, path) == CGD_ERR_ARGUMENT);
    CHECK(cgd_image_save(&ctx, &p, in_folder(path, folder, "a.npy"))
          == CGD_OK);
    CHECK(cgd_image_load_deep(&plain, &r, path, 3) == CGD_ERR_FORMAT
          && says(&plain, "this is no JPEG, PNG or BMP picture"));
    cgd_image_free(&ctx, &p);
    end(&plain);
    end(&ctx);
}

/* Where all is opaque there is nothing to tell. */
static void an_opaque_alpha_changes_nothing(void)
{
    const char *folder = scratch("opaque");
    char path[400];
    cgd_ctx ctx;
    cgd_image p, q;
    size_t i;
    start(&ctx, 1);
    p = noise_image(&ctx, 5, 4, 4, 3UL);
    for (i = 0; i < 20; i++) p.data[4 * i + 3] = 255;
    CHECK(cgd_image_save(&ctx, &p, in_folder(path, folder, "a.png"))
          == CGD_OK);
    CHECK(cgd_image_load(&ctx, &q, path, 3) == CGD_OK && warnings == 0);
    for (i = 0; i < 60; i++)
        CHECK(q.data[i] == p.data[i / 3 * 4 + i % 3]);
    cgd_image_free(&ctx, &q);
    cgd_image_free(&ctx, &p);
    p = ramp_image(&ctx, 4, 4, 4, 65535);                /* of 16 bits       */
    for (i = 0; i < 16; i++) p.values[4 * i + 3] = i < 8 ? 65535 : 0;
    CHECK(cgd_image_save(&ctx, &p, path) == CGD_OK);
    cgd_use_background(&ctx, 0x0000ffU);
    CHECK(cgd_image_load_deep(&ctx, &q, path, 3) == CGD_OK && q.values);
    for (i = 0; i < 48 && q.values; i++)
        CHECK(q.values[i] == (i < 24 ? p.values[i / 3 * 4 + i % 3]
                              : i % 3 == 2 ? 65535 : 0));
    cgd_image_free(&ctx, &q);
    cgd_image_free(&ctx, &p);
    end(&ctx);
}

static void dropped_bits_are_warned_of(void)
{
    const char *folder = scratch("deep");
    char path[400];
    cgd_ctx ctx;
    cgd_image in, out;
    cgd_range range;
    start(&ctx, 1);
    out = ramp_image(&ctx, 16, 16, 1, 65535);
    CHECK(cgd_image_save(&ctx, &out, in_folder(path, folder, "a.png"))
          == CGD_OK);
    CHECK(warnings == 0);
    CHECK(cgd_image_load(&ctx, &in, path, 1) == CGD_OK);
    CHECK(warnings == 1 && strstr(warning, "8 are kept"));
    CHECK(in.data && in.data[0] == 0 && in.data[128] == 128
          && in.data[255] == 255);
    cgd_image_free(&ctx, &in);
    CHECK(cgd_image_save(&ctx, &out, in_folder(path, folder, "a.bmp"))
          == CGD_OK);
    CHECK(warnings == 2 && strstr(warning, "8 are written"));
    range.lo = 257;
    range.hi = 257 * 3;
    CHECK(cgd_image_to_bytes(&ctx, &out, &range) == CGD_OK);
    CHECK(out.data[0] == 0 && out.data[2] == 128 && out.data[9] == 255);
    cgd_image_free(&ctx, &out);
    out = ramp_image(&ctx, 4, 4, 1, 0);
    CHECK(cgd_image_save(&ctx, &out, in_folder(path, folder, "b.png"))
          == CGD_ERR_ARGUMENT);
    CHECK(says(&ctx, "floating point is written as .npy") && !exists(path));
    CHECK(cgd_image_save(&ctx, &out, in_folder(path, folder, "b.npy"))
          == CGD_OK);
    CHECK(cgd_image_load(&ctx, &in, path, 1) == CGD_ERR_FORMAT);
    CHECK(says(&ctx, "no 8 bits"));
    cgd_image_free(&ctx, &out);
    end(&ctx);
}

/* ---- arrays --------------------------------------------------------------*/

/* A .npy file as NumPy writes it, but for its padding; its size. */
static size_t npy(unsigned char *out, int version, const char *header,
                  const void *data, size_t bytes)
{
    size_t n = strlen(header), at = version > 1 ? 12 : 10;
    memcpy(out, "\x93NUMPY", 6);
    out[6] = (unsigned char)version;
    out[7] = out[9] = out[10] = out[11] = 0;
    out[8] = (unsigned char)n;
    memcpy(out + at, header, n);
    memcpy(out + at + n, data, bytes);
    return at + n + bytes;
}

/* Two rows of three pixels of c channels, in any type and order: the numbers
 * must be 0, 1, 2 ... as they stand in rows. */
static void reads_array(int version, const char *header, const void *data,
                        size_t bytes, size_t c, float white)
{
    unsigned char file[400];
    size_t size = npy(file, version, header, data, bytes), i;
    cgd_ctx ctx;
    cgd_image p;
    start(&ctx, 1);
    CHECK(cgd_image_decode_deep(&ctx, &p, file, size, c, "test") == CGD_OK);
    CHECK(p.w == 3 && p.h == 2 && p.c == c && p.white == white);
    for (i = 0; i < 6 * c && p.w == 3; i++)
        CHECK((p.data ? p.data[i] : p.values[i]) == (float)i);
    cgd_image_free(&ctx, &p);
    CHECK(cgd_image_decode_deep(&ctx, &p, file, size, c + 1, "test")
          == CGD_ERR_SHAPE);
    if (c == 1) {
        CHECK(cgd_image_decode_deep(&ctx, &p, file, size, 3, "test")
              == CGD_OK);
        for (i = 0; i < 18 && p.c == 3; i++)
            CHECK((p.data ? p.data[i] : p.values[i]) == (float)(i / 3));
        cgd_image_free(&ctx, &p);
    }
    for (i = 0; i < size; i++) {                            /* cut short     */
        unsigned char *cut = (unsigned char *)malloc(i + (i == 0));
        memcpy(cut, file, i);
        CHECK(cgd_image_decode_deep(&ctx, &p, cut, i, c, "test")
              == CGD_ERR_FORMAT);
        free(cut);
    }
    end(&ctx);
}

static void arrays_of_numpy_are_read_in_every_type_and_order(void)
{
    unsigned char b[12];
    unsigned short u[6];
    short s[6];
    float f[30], fortran[30];
    double d[6];
    size_t y, x, k, i;
    for (i = 0; i < 12; i++) b[i] = (unsigned char)i;
    for (i = 0; i < 6; i++) {
        u[i] = (unsigned short)i;
        s[i] = (short)i;
        d[i] = (double)i;
    }
    for (y = i = 0; y < 2; y++)
        for (x = 0; x < 3; x++)
            for (k = 0; k < 5; k++, i++) {
                f[i] = (float)i;
                fortran[(k * 3 + x) * 2 + y] = (float)i;
            }
    reads_array(1, "{'descr': '|u1', 'fortran_order': False, 'shape': "
                "(2, 3, 2), }\n", b, 12, 2, 255);
    reads_array(2, "{'descr': '<u2', 'fortran_order': False, 'shape': "
                "(2, 3), }    \n", u, sizeof u, 1, 65535);
    reads_array(3, "{'shape': (2, 3, 1), 'descr': '<i2', 'fortran_order': "
                "False}\n", s, sizeof s, 1, 0);
    reads_array(1, "{'descr': '<f8', 'fortran_order': False, 'shape': (2, 3)"
                "}\n", d, sizeof d, 1, 0);
    reads_array(1, "{'descr': '<f4', 'fortran_order': False, 'shape': "
                "(2, 3, 5)}\n", f, sizeof f, 5, 0);
    reads_array(1, "{'descr': '<f4', 'fortran_order': True, 'shape': "
                "(2, 3, 5)}\n", fortran, sizeof fortran, 5, 0);
}

static void arrays_that_are_no_pictures_are_refused(void)
{
    static const char *const headers[] = {
        "{'descr': '>f4', 'fortran_order': False, 'shape': (2, 3), }",
        "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,3)}",
        "{'descr': '<c8', 'fortran_order': False, 'shape': (2, 3), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (6,), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1,2,3,1), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (0, 3), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999"
        "999999999, 3), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3",
        "{'descr'", "{}", ""
    };
    unsigned char file[400];
    float zeros[6] = { 0, 0, 0, 0, 0, 0 };
    cgd_ctx ctx;
    cgd_image p;
    size_t i, size;
    start(&ctx, 1);
    for (i = 0; i < N(headers); i++) {
        size = npy(file, 1, headers[i], zeros, sizeof zeros);
        CHECK(cgd_image_decode_deep(&ctx, &p, file, size, 1, "test")
              == CGD_ERR_FORMAT);
        CHECK(says(&ctx, "test: "));
    }
    size = npy(file, 9, headers[0], zeros, sizeof zeros);
    CHECK(cgd_image_decode_deep(&ctx, &p, file, size, 1, "test")
          == CGD_ERR_FORMAT);
    end(&ctx);
}

static void a_safetensors_file_of_one_tensor_is_a_picture(void)
{
    const char *folder = scratch("tensor");
    static const size_t shape[3] = { 2, 3, 6 };
    float values[36];
    char path[400];
    cgd_ctx ctx;
    cgd_image p;
    cgd_writer wr;
    size_t i;
    start(&ctx, 1);
    for (i = 0; i < 36; i++) values[i] = (float)i / 7;
    cgd_writer_init(&ctx, &wr, in_folder(path, folder, "a.safetensors"));
    cgd_writer_tensor(&wr, "x", CGD_F32, shape, 3);
    cgd_writer_begin(&wr);
    cgd_writer_append_f32(&wr, values, 36);
    CHECK(cgd_writer_end(&wr) == CGD_OK);
    CHECK(cgd_image_load_deep(&ctx, &p, path, 6) == CGD_OK);
    CHECK(p.w == 3 && p.h == 2 && p.c == 6 && p.white == 0);
    CHECK(p.values && memcmp(p.values, values, sizeof values) == 0);
    cgd_image_free(&ctx, &p);
    end(&ctx);
}

static void grey_is_pillows_luma(void)
{
    const char *folder = scratch("grey");
    char path[400];
    cgd_ctx ctx;
    cgd_image p;
    start(&ctx, 1);
    write_noise(&ctx, folder, "a.png", 16, 16, 3, 5UL);
    CHECK(cgd_image_load(&ctx, &p, in_folder(path, folder, "a.png"), 1)
          == CGD_OK);
    CHECK(p.c == 1 && memcmp(p.data, golden_grey, 256) == 0);
    cgd_image_free(&ctx, &p);
    CHECK(cgd_image_load(&ctx, &p, path, 2) == CGD_ERR_SHAPE);
    CHECK(says(&ctx, "a.png: it has 3 channels where 2 are asked for"));
    CHECK(p.data == NULL);
    end(&ctx);
}

static void files_that_are_no_pictures_are_refused_in_a_sentence(void)
{
    const char *folder = scratch("refused");
    char path[400];
    cgd_ctx ctx;
    cgd_image p;
    start(&ctx, 1);
    write_file(folder, "text.jpg", "BMost of this is a letter.\n", 27);
    write_file(folder, "poem.jpg", "Shall I compare thee\n", 21);
    write_file(folder, "empty.png", "", 0);
    write_file(folder, "cut.jpg", golden_jpeg_ii, 600);
    CHECK(cgd_image_load(&ctx, &p, in_folder(path, folder, "text.jpg"), 3)
          == CGD_ERR_FORMAT);
    CHECK(says(&ctx, "text.jpg: ") && p.data == NULL);
    CHECK(cgd_image_load(&ctx, &p, in_folder(path, folder, "poem.jpg"), 3)
          == CGD_ERR_FORMAT);
    CHECK(says(&ctx, "no JPEG, PNG or BMP"));
    CHECK(cgd_image_load(&ctx, &p, in_folder(path, folder, "empty.png"), 3)
          == CGD_ERR_FORMAT);
    CHECK(says(&ctx, "empty.png: the file is empty"));
    CHECK(cgd_image_load(&ctx, &p, in_folder(path, folder, "cut.jpg"), 3)
          == CGD_ERR_FORMAT);
    CHECK(says(&ctx, "cut.jpg: the picture is truncated"));
    CHECK(cgd_image_load(&ctx, &p, in_folder(path, folder, "none.jpg"), 3)
          == CGD_ERR_IO);
    CHECK(says(&ctx, "none.jpg: "));
    CHECK(cgd_image_load(&ctx, &p, folder, 3) == CGD_ERR_IO);
    end(&ctx);
}

static void a_picture_of_a_billion_pixels_is_refused_unseen(void)
{
    unsigned char huge[sizeof bmp];
    cgd_ctx ctx;
    cgd_image p;
    start(&ctx, 1);
    memcpy(huge, bmp, sizeof bmp);
    huge[18] = huge[22] = 0;
    huge[19] = huge[23] = 0x80;                             /* 32768 x 32768 */
    CHECK(cgd_image_decode(&ctx, &p, huge, sizeof huge, 3, "test")
          == CGD_ERR_SHAPE);
    CHECK(says(&ctx, "too many pixels"));
    end(&ctx);
}

/* stb_image_write ends the process where its memory fails. */
static void saving_without_memory_leaves_nothing(void)
{
    static const char *const names[] = { "a.png", "a.jpg", "a.bmp" };
    const char *folder = scratch("unsaved");
    char path[400], part[420];
    size_t i;
    for (i = 0; i < (sanitized ? 1 : N(names)); i++) {
        cgd_status status = CGD_ERR_MEMORY;
        long k;
        in_folder(path, folder, names[i]);
        sprintf(part, "%s.cgd-part", path);
        for (k = 1; k < 100 && status != CGD_OK; k++) {
            cgd_ctx ctx;
            cgd_image p;
            start(&ctx, 1);
            p = noise_image(&ctx, 70, 50, 3, 1UL);
            calls = 0;
            failing = k;
            status = cgd_image_save(&ctx, &p, path);
            CHECK(status == CGD_OK || status == CGD_ERR_MEMORY);
            CHECK(status == CGD_OK || (says(&ctx, "memory")
                                       && !exists(path)));
            CHECK(!exists(part));
            cgd_image_free(&ctx, &p);
            end(&ctx);
        }
        CHECK(status == CGD_OK && (i > 0 || k > 2));
        remove(path);
    }
}

typedef struct bytes_in_memory {
    unsigned char *data;
    size_t size;
} bytes_in_memory;

static void keep_bytes(void *user, const void *data, size_t bytes)
{
    bytes_in_memory *m = (bytes_in_memory *)user;
    CHECK(m->data == NULL);                          /* in one piece         */
    m->data = (unsigned char *)malloc(bytes);
    m->size = bytes;
    if (m->data) memcpy(m->data, data, bytes);
}

/* What is written as PNG comes back, and its two kinds of check sum are
 * right: the stream's (Adler-32), which stb_image does not look at, is made
 * here by its definition. step 0: noise; else bytes that repeat. */
static void png_comes_back(size_t w, size_t h, size_t c, size_t step)
{
    bytes_in_memory m = { NULL, 0 };
    unsigned char *raw;
    unsigned long a = 1, b = 0;
    size_t i, n = (w * c + 1) * h, bytes = w * h * c;
    cgd_ctx ctx;
    cgd_image p, q;
    start(&ctx, 1);
    p = noise_image(&ctx, w, h, c, 9UL);
    for (i = 0; step && i < bytes; i++) p.data[i] = (unsigned char)(i / step);
    CHECK(cgd_image_write_png(&ctx, &p, keep_bytes, &m) == CGD_OK);
    CHECK(m.size < bytes + bytes / 100 + 200);
    CHECK(!step || m.size < bytes / 8 + 200);
    if (c != 2) {
        CHECK(cgd_image_decode(&ctx, &q, m.data, m.size, c, "test")
              == CGD_OK);
        CHECK(q.data && memcmp(q.data, p.data, bytes) == 0);
        cgd_image_free(&ctx, &q);
    }
    raw = (unsigned char *)malloc(n);
    CHECK(stbi_zlib_decode_buffer((char *)raw, (int)n,
              (const char *)m.data + 41, (int)(m.size - 41 - 16)) == (int)n);
    for (i = 0; i < n; i++) {
        a = (a + raw[i]) % 65521;
        b = (b + a) % 65521;
    }
    for (i = 0; i < 4; i++)
        CHECK(m.data[m.size - 20 + i]
              == (((b << 16 | a) >> (24 - 8 * i)) & 255));
    memset(&q, 0, sizeof q);
    CHECK(cgd_image_write_png(&ctx, &q, keep_bytes, &m) == CGD_ERR_ARGUMENT);
    free(raw);
    free(m.data);
    cgd_image_free(&ctx, &p);
    end(&ctx);
}

static void a_png_of_any_kind_comes_back(void)
{
    size_t c;
    for (c = 1; c <= 4; c++) {
        png_comes_back(1, 1, c, 0);
        png_comes_back(37, 5, c, 0);
        png_comes_back(301, 150, c, 1);
        png_comes_back(200, 300, c, 7);
    }
    png_comes_back(200, 200, 3, 0);                  /* stored, two blocks   */
    png_comes_back(9, 7000, 1, 40000);
}

static void saving_fails_in_a_sentence_and_harms_nothing(void)
{
    const char *folder = scratch("unsaved");
    char path[400], part[420];
    cgd_ctx ctx;
    cgd_image p, none;
    start(&ctx, 1);
    p = noise_image(&ctx, 3, 2, 3, 1UL);
    memset(&none, 0, sizeof none);
    CHECK(cgd_image_save(&ctx, &p, in_folder(path, folder, "a.gif"))
          == CGD_ERR_ARGUMENT);
    CHECK(says(&ctx, ".png, .jpg, .jpeg, .bmp or .npy") && !exists(path));
    CHECK(cgd_image_save(&ctx, &p, in_folder(path, folder, "no/a.png"))
          == CGD_ERR_IO);
    CHECK(cgd_image_save(&ctx, &none, in_folder(path, folder, "a.png"))
          == CGD_ERR_ARGUMENT);
    in_folder(path, folder, "folder.png");
    make_folder(path);                              /* cannot be replaced    */
    CHECK(cgd_image_save(&ctx, &p, path) == CGD_ERR_IO);
    sprintf(part, "%s.cgd-part", path);
    CHECK(says(&ctx, "folder.png") && !exists(part));
    cgd_image_free(&ctx, &p);
    end(&ctx);
    remove(path);
}

/* ---- listing -------------------------------------------------------------*/

static void listing_is_sorted_and_holds_pictures_only(void)
{
    static const char *const written[] = {
        "b.png", "a10.JPG", "Z.bmp", "a2.jpeg", ".hidden.png", "._a2.jpeg",
        "notes.txt", "png", "c.png.txt", "x.Png"
    };
    static const char *const expected[] = {
        "Z.bmp", "a10.JPG", "a2.jpeg", "b.png", "x.Png"
    };
    const char *folder = scratch("list");
    char path[400];
    cgd_ctx ctx;
    cgd_listing list;
    size_t i;
    start(&ctx, 1);
    for (i = 0; i < N(written); i++) write_file(folder, written[i], "x", 1);
    CHECK(cgd_list_pictures(&ctx, &list, folder, 0) == CGD_OK);
    CHECK(list.count == N(expected));
    for (i = 0; i < N(expected) && i < list.count; i++)
        CHECK(strcmp(list.paths[i], in_folder(path, folder, expected[i]))
              == 0);
    cgd_listing_free(&ctx, &list);
    end(&ctx);
    for (i = 0; i < N(written); i++) remove(in_folder(path, folder,
                                                      written[i]));
}

static void missing_and_empty_folders_are_named(void)
{
    const char *folder = scratch("nothing");
    char path[400];
    cgd_ctx ctx;
    cgd_listing list;
    start(&ctx, 1);
    CHECK(cgd_list_pictures(&ctx, &list, folder, 0) == CGD_ERR_FORMAT);
    CHECK(says(&ctx, "nothing: the folder holds no picture"));
    CHECK(cgd_list_pictures(&ctx, &list, in_folder(path, folder, "gone"), 0)
          == CGD_ERR_IO);
    CHECK(says(&ctx, "gone: there is no such folder"));
    CHECK(list.paths == NULL && list.count == 0);
    end(&ctx);
}

#ifndef _WIN32
static void folders_are_walked_but_not_round_in_circles(void)
{
    static const char *const expected[] = {
        "a.png", "sub/b.jpe", "sub/deep/c.npy", "sub/deep/d.jfif", "z.png"
    };
    const char *folder;
    char path[400], link[420];
    cgd_ctx ctx;
    cgd_listing list;
    size_t i;
    scratch("walk/sub");
    scratch("walk/.hidden");
    write_file(folder_path, "e.png", "x", 1);
    scratch("walk/sub/deep");
    folder = scratch("walk");
    for (i = 0; i < N(expected); i++) write_file(folder, expected[i], "x", 1);
    in_folder(path, folder, "sub/deep");
    sprintf(link, "%s/up", path);
    unlink(link);
    CHECK(symlink("..", link) == 0);
    start(&ctx, 1);
    CHECK(cgd_list_pictures(&ctx, &list, folder, 1) == CGD_OK);
    CHECK(list.count == N(expected) && warnings == 0);
    for (i = 0; i < N(expected) && i < list.count; i++)
        CHECK(strcmp(list.paths[i], in_folder(path, folder, expected[i]))
              == 0);
    cgd_listing_free(&ctx, &list);
    CHECK(cgd_list_pictures(&ctx, &list, folder, 0) == CGD_OK);
    CHECK(list.count == 2);
    cgd_listing_free(&ctx, &list);
    end(&ctx);
}
#endif

static void pictures_that_are_left_out_are_counted_by_kind(void)
{
    const char *folder = scratch("left");
    cgd_ctx ctx;
    cgd_listing list;
    start(&ctx, 1);
    write_file(folder, "a.webp", "RIFF\1\1\1\1WEBPVP8 ", 16);
    write_file(folder, "b.webp", "RIFF\1\1\1\1WEBPVP8L", 16);
    write_file(folder, "c.tif", "II*\0\1\1\1\1\1\1\1\1\1\1\1\1", 16);
    write_file(folder, "readme.txt", "Pictures of somebody's.", 23);
    CHECK(cgd_list_pictures(&ctx, &list, folder, 0) == CGD_ERR_FORMAT);
    CHECK(says(&ctx, "but 2 x a WebP picture, 1 x a TIFF picture"));
    CHECK(warnings == 0);
    write_file(folder, "d.png", "x", 1);
    CHECK(cgd_list_pictures(&ctx, &list, folder, 0) == CGD_OK);
    CHECK(list.count == 1 && warnings == 1);
    CHECK(strstr(warning, "left: left out: 2 x a WebP picture, 1 x a TIFF")
          != NULL);
    cgd_listing_free(&ctx, &list);
    end(&ctx);
}

/* ---- data sets -----------------------------------------------------------*/

#define SIDE 16
#define PIXELS (SIDE * SIDE * 3)

typedef struct sample { float a[PIXELS], b[PIXELS]; } sample;

static cgd_status next(cgd_dataset *data, sample *s)
{
    cgd_tensor a = cgd_tensor_view(1, SIDE, SIDE, data->config.channels[0],
                                   s->a);
    cgd_tensor b = cgd_tensor_view(1, SIDE, SIDE, data->config.channels[1],
                                   s->b);
    return cgd_dataset_next(data, &a, &b);
}

/* Pictures of one even colour, so that a sample tells which it is: picture i
 * of A is 10 * i, picture i of B 10 * i + 5. */
static void write_flat(cgd_ctx *ctx, const char *folder, int n, int base)
{
    char name[40], path[400];
    int i;
    for (i = 0; i < n; i++) {
        cgd_image p;
        CHECK(cgd_image_init(ctx, &p, (size_t)(20 + i), (size_t)(30 - i), 3)
              == CGD_OK);
        memset(p.data, 10 * i + base, p.w * p.h * 3);
        sprintf(name, "%02d.png", i);
        CHECK(cgd_image_save(ctx, &p, in_folder(path, folder, name))
              == CGD_OK);
        cgd_image_free(ctx, &p);
    }
}

static int which(const float *pixels)
{
    return (int)((pixels[0] + 1) * 127.5F + 0.5F) / 10;
}

static void make_root(char *root, const char *name)
{
    const char *base = getenv("TEST_TMP");
    if (!base || strlen(base) > 200) base = "build";
    sprintf(root, "%s/test_pictures/%s", base, name);
}

static cgd_data_config small_config(const char *root)
{
    cgd_data_config config = cgd_data_defaults();
    config.root = root;
    config.load_size = 20;
    config.size = SIDE;
    config.seed = 7;
    return config;
}

/* n pictures of noise in each folder, of many sizes. */
static void noise_set(cgd_ctx *ctx, const char *name, char *root, int na,
                      int nb)
{
    char sub[60], file[40];
    int d, i;
    make_root(root, name);
    for (d = 0; d < 2; d++) {
        const char *folder;
        sprintf(sub, "%s/train%s", name, d ? "B" : "A");
        folder = scratch(sub);
        for (i = 0; i < (d ? nb : na); i++) {
            sprintf(file, "%d.png", i);
            write_noise(ctx, folder, file, (size_t)(17 + 5 * i),
                        (size_t)(40 - 3 * i), 3, (unsigned long)(d * 50 + i));
        }
    }
}

static void an_epoch_visits_a_in_shuffled_order_and_draws_b(void)
{
    char root[300];
    cgd_ctx ctx;
    cgd_dataset data;
    cgd_data_config config;
    sample s;
    int epoch, i, seen[10], b_seen = 0, orders = 0, first[2][10];
    start(&ctx, 0);
    write_flat(&ctx, scratch("flat/trainA"), 10, 0);
    write_flat(&ctx, scratch("flat/trainB"), 4, 5);
    make_root(root, "flat");
    config = small_config(root);
    CHECK(cgd_dataset_open(&ctx, &data, &config) == CGD_OK);
    CHECK(cgd_dataset_count(&data, 0) == 10);
    CHECK(cgd_dataset_count(&data, 1) == 4 && data.epoch_length == 10);
    CHECK(cgd_dataset_count(&data, 2) == 0);
    for (epoch = 0; epoch < 2; epoch++) {
        memset(seen, 0, sizeof seen);
        for (i = 0; i < 10; i++) {
            CHECK(next(&data, &s) == CGD_OK);
            first[epoch][i] = which(s.a);
            seen[which(s.a)]++;
            b_seen |= 1 << which(s.b);
        }
        for (i = 0; i < 10; i++) CHECK(seen[i] == 1);
    }
    for (i = 0; i < 10; i++)
        orders += first[0][i] != first[1][i] || first[0][i] != i;
    CHECK(orders > 0 && b_seen == 15);
    CHECK(data.position == 20 && warnings == 0);
    cgd_dataset_close(&data);
    end(&ctx);
}

static void the_smaller_a_comes_round_again_within_an_epoch(void)
{
    char root[300], path_a[400], path_b[400];
    cgd_ctx ctx;
    cgd_dataset data;
    cgd_data_config config;
    sample s;
    int i, seen[4];
    start(&ctx, 1);
    make_root(root, "flat");
    config = small_config(NULL);
    config.dir[0] = in_folder(path_a, root, "trainB");    /* 4 of them       */
    config.dir[1] = in_folder(path_b, root, "trainA");
    CHECK(cgd_dataset_open(&ctx, &data, &config) == CGD_OK);
    CHECK(data.epoch_length == 10);
    memset(seen, 0, sizeof seen);
    for (i = 0; i < 10; i++) {
        CHECK(next(&data, &s) == CGD_OK);
        seen[which(s.a)]++;
    }
    CHECK(seen[0] == 3 && seen[1] == 3 && seen[2] == 2 && seen[3] == 2);
    cgd_dataset_close(&data);
    end(&ctx);
}

#define STEPS 23

/* The first STEPS samples with these settings. */
static void collect(sample *out, const cgd_data_config *config, int threads)
{
    cgd_ctx ctx;
    cgd_dataset data;
    int i;
    start(&ctx, threads);
    CHECK(cgd_dataset_open(&ctx, &data, config) == CGD_OK);
    for (i = 0; i < STEPS && data.ctx; i++)
        CHECK(next(&data, &out[i]) == CGD_OK);
    CHECK(data.cached <= config->cache_bytes);
    CHECK(data.cached > 0 || config->cache_bytes < 2000);
    cgd_dataset_close(&data);
    end(&ctx);
}

static sample run_one[STEPS], run_two[STEPS];

static void samples_depend_on_the_seed_and_nothing_else(void)
{
    char root[300];
    cgd_ctx ctx;
    cgd_data_config config;
    int fit;
    start(&ctx, 1);
    noise_set(&ctx, "noise", root, 5, 3);
    end(&ctx);
    config = small_config(root);
    for (fit = 0; fit < 3; fit++) {
        config.fit = fit;
        config.seed = 7;
        config.cache_bytes = (size_t)1 << 20;
        collect(run_one, &config, 1);
        collect(run_two, &config, 3);
        CHECK(memcmp(run_one, run_two, sizeof run_one) == 0);
        config.cache_bytes = 0;
        collect(run_two, &config, 2);
        CHECK(memcmp(run_one, run_two, sizeof run_one) == 0);
        config.cache_bytes = 3000;                        /* a few of them   */
        collect(run_two, &config, 1);
        CHECK(memcmp(run_one, run_two, sizeof run_one) == 0);
        config.seed = 8;
        collect(run_two, &config, 1);
        CHECK(memcmp(run_one, run_two, sizeof run_one) != 0);
    }
}

static void setting_the_position_resumes(void)
{
    char root[300];
    cgd_ctx ctx;
    cgd_dataset data;
    cgd_data_config config;
    sample s;
    unsigned long t;
    make_root(root, "noise");
    config = small_config(root);
    collect(run_one, &config, 1);
    start(&ctx, 1);
    CHECK(cgd_dataset_open(&ctx, &data, &config) == CGD_OK);
    for (t = STEPS; t-- > 0;) {                           /* even backwards  */
        data.position = t;
        CHECK(next(&data, &s) == CGD_OK);
        CHECK(memcmp(&s, &run_one[t], sizeof s) == 0);
        CHECK(data.position == t + 1);
    }
    cgd_dataset_close(&data);
    end(&ctx);
}

static void a_batch_of_two_is_two_samples(void)
{
    char root[300];
    cgd_ctx ctx;
    cgd_dataset data;
    cgd_data_config config;
    static float pixels_a[2 * PIXELS], pixels_b[2 * PIXELS];
    cgd_tensor a = cgd_tensor_view(2, SIDE, SIDE, 3, pixels_a);
    cgd_tensor b = cgd_tensor_view(2, SIDE, SIDE, 3, pixels_b);
    int i, k;
    make_root(root, "noise");
    config = small_config(root);
    config.cache_bytes = 0;
    collect(run_one, &config, 1);
    start(&ctx, 2);
    CHECK(cgd_dataset_open(&ctx, &data, &config) == CGD_OK);
    for (i = 0; i + 1 < STEPS; i += 2) {
        CHECK(cgd_dataset_next(&data, &a, &b) == CGD_OK);
        for (k = 0; k < 2; k++) {
            CHECK(memcmp(run_one[i + k].a, pixels_a + k * PIXELS,
                         sizeof run_one->a) == 0);
            CHECK(memcmp(run_one[i + k].b, pixels_b + k * PIXELS,
                         sizeof run_one->b) == 0);
        }
    }
    CHECK(data.position == 22);
    a.c = 1;
    CHECK(cgd_dataset_next(&data, &a, &b) == CGD_ERR_SHAPE);
    a.c = 3;
    b.n = 1;
    CHECK(cgd_dataset_next(&data, &a, &b) == CGD_ERR_SHAPE);
    CHECK(data.position == 22);
    cgd_dataset_close(&data);
    end(&ctx);
}

/* Red is x, green is y: a sample tells where it was cut and if it is
 * mirrored. */
static void write_map(cgd_ctx *ctx, const char *folder)
{
    char path[400];
    cgd_image p;
    size_t x, y;
    CHECK(cgd_image_init(ctx, &p, 40, 20, 3) == CGD_OK);
    for (y = 0; y < 20; y++)
        for (x = 0; x < 40; x++) {
            unsigned char *at = p.data + (y * 40 + x) * 3;
            at[0] = (unsigned char)x;
            at[1] = (unsigned char)y;
            at[2] = 77;
        }
    CHECK(cgd_image_save(ctx, &p, in_folder(path, folder, "map.png"))
          == CGD_OK);
    cgd_image_free(ctx, &p);
}

static int byte_at(const float *pixels, int x, int y, int k)
{
    return (int)((pixels[(y * SIDE + x) * 3 + k] + 1) * 127.5F + 0.5F);
}

static void crops_fall_everywhere_and_half_are_mirrored(void)
{
    char path[400];
    cgd_ctx ctx;
    cgd_dataset data;
    cgd_data_config config;
    sample s;
    int i, x, mirrored = 0, lefts[25], tops[5], differ = 0;
    start(&ctx, 1);
    write_map(&ctx, scratch("map"));
    make_root(path, "map");
    config = small_config(NULL);
    config.dir[0] = config.dir[1] = path;                 /* one picture     */
    config.fit = CGD_FIT_CROP;
    memset(lefts, 0, sizeof lefts);
    memset(tops, 0, sizeof tops);
    CHECK(cgd_dataset_open(&ctx, &data, &config) == CGD_OK);
    CHECK(data.epoch_length == 1);
    for (i = 0; i < 1000; i++) {
        int mirror, left;
        CHECK(next(&data, &s) == CGD_OK);
        mirror = byte_at(s.a, 0, 0, 0) > byte_at(s.a, 1, 0, 0);
        left = byte_at(s.a, mirror ? SIDE - 1 : 0, 0, 0);
        for (x = 0; x < SIDE; x++)
            CHECK(byte_at(s.a, x, 3, 0) == left + (mirror ? SIDE - 1 - x : x));
        CHECK(byte_at(s.a, 5, 9, 1) == byte_at(s.a, 5, 0, 1) + 9);
        CHECK(byte_at(s.a, 7, 7, 2) == 77);
        mirrored += mirror;
        lefts[left]++;
        tops[byte_at(s.a, 0, 0, 1)]++;
        differ += memcmp(s.a, s.b, sizeof s.a) != 0;
    }
    CHECK(mirrored > 420 && mirrored < 580 && differ > 900);
    for (i = 0; i < 25; i++) CHECK(lefts[i] > 10);        /* 40 expected     */
    for (i = 0; i < 5; i++) CHECK(tops[i] > 130);         /* 200             */
    data.config.flip = 0;
    for (i = 0; i < 50; i++) {
        CHECK(next(&data, &s) == CGD_OK);
        CHECK(byte_at(s.a, 0, 0, 0) < byte_at(s.a, 1, 0, 0));
    }
    cgd_dataset_close(&data);
    end(&ctx);
}

/* 1 x 1 and 3000 x 17 in every way of fitting, colour and grey. */
static void pictures_of_any_shape_fit(void)
{
    const char *folder = scratch("shapes");
    char path[400];
    cgd_ctx ctx;
    cgd_data_config config = small_config(NULL);
    int fit, i;
    start(&ctx, 0);
    write_noise(&ctx, folder, "dot.png", 1, 1, 3, 4UL);
    write_noise(&ctx, folder, "long.png", 3000, 17, 1, 5UL);
    write_noise(&ctx, folder, "tall.bmp", 5, 900, 3, 6UL);
    write_noise(&ctx, folder, "alpha.png", 30, 20, 4, 7UL);
    make_root(path, "shapes");
    config.dir[0] = config.dir[1] = path;
    config.channels[1] = 1;
    for (fit = 0; fit < 3; fit++) {
        cgd_dataset data;
        sample s;
        config.fit = fit;
        config.load_size = fit ? 20 : 0;                  /* 0: as size      */
        CHECK(cgd_dataset_open(&ctx, &data, &config) == CGD_OK);
        for (i = 0; i < 12; i++) {
            size_t k;
            CHECK(next(&data, &s) == CGD_OK);
            for (k = 0; k < PIXELS; k++) CHECK(fabs(s.a[k]) <= 1);
        }
        CHECK(warnings == 1 && strstr(warning, "alpha.png: transparent"));
        cgd_dataset_close(&data);
    }
    end(&ctx);
}

static void widths_and_enlargements_keep_the_aspect(void)
{
    cgd_data_config c = small_config("x");
    size_t w = 30, h = 45;
    c.fit = CGD_FIT_WIDTH_CROP;
    cgd__data_sizes(&c);
    cgd__data_fit(&c, &w, &h);
    CHECK(w == 20 && h == 30);
    w = 100, h = 30;
    cgd__data_fit(&c, &w, &h);
    CHECK(w == 20 && h == 16);                            /* no less         */
    c.fit = CGD_FIT_CROP;
    w = 100, h = 30;
    cgd__data_fit(&c, &w, &h);
    CHECK(w == 100 && h == 30);
    w = 100, h = 8;
    cgd__data_fit(&c, &w, &h);
    CHECK(w == 200 && h == 16);
    w = 1, h = 1000000;
    cgd__data_fit(&c, &w, &h);
    CHECK(w == 16 && h > 1000000);               /* and refused by cgd_image */
}

/* Is s the crop of p at some place? That place, or -1. */
static int place_of(const float *s, const cgd_image *p, size_t w, size_t h)
{
    size_t left, top, y, x;
    for (top = 0; top + h <= p->h; top++)
        for (left = 0; left + w <= p->w; left++) {
            int same = 1;
            for (y = 0; y < h; y++)
                for (x = 0; x < 3 * w; x++)
                    same &= s[y * 3 * w + x] == (float)p->data[
                        ((top + y) * p->w + left) * 3 + x] / 127.5F - 1;
            if (same) return (int)(top * p->w + left);
        }
    return -1;
}

static void rectangles_are_cut_from_rectangles(void)
{
    char root[300];
    const char *folder = scratch("wide");
    cgd_ctx ctx;
    cgd_dataset data;
    cgd_data_config c = small_config(NULL);
    cgd_image whole, sized;
    size_t w = 30, h = 45;
    int i, place, first = -1, moved = 0;
    static float a[16 * 8 * 3], b[16 * 8 * 3];
    cgd_tensor ta = cgd_tensor_view(1, 8, 16, 3, a);
    cgd_tensor tb = cgd_tensor_view(1, 8, 16, 3, b);
    start(&ctx, 1);
    write_noise(&ctx, folder, "a.png", 40, 30, 3, 9UL);
    make_root(root, "wide");
    whole = noise_image(&ctx, 40, 30, 3, 9UL);
    CHECK(cgd_image_resize(&ctx, &sized, &whole, 20, 10, CGD_BICUBIC)
          == CGD_OK);
    c.dir[0] = c.dir[1] = root;
    c.height = 8;                            /* of 20, so 10 is the height   */
    c.flip = 0;
    CHECK(cgd_dataset_open(&ctx, &data, &c) == CGD_OK);
    for (i = 0; i < 10 && data.ctx; i++) {
        CHECK(cgd_dataset_next(&data, &ta, &tb) == CGD_OK);
        place = place_of(a, &sized, 16, 8);
        CHECK(place >= 0 && place_of(b, &sized, 16, 8) >= 0);
        if (i == 0) first = place;
        moved |= place != first;
    }
    CHECK(moved);
    ta.h = 16;
    CHECK(cgd_dataset_next(&data, &ta, &tb) == CGD_ERR_SHAPE);
    CHECK(says(&ctx, "batches of 8 x 16 pixels"));
    cgd_dataset_close(&data);
    cgd_image_free(&ctx, &sized);
    cgd_image_free(&ctx, &whole);
    end(&ctx);
    cgd__data_sizes(&c);
    c.fit = CGD_FIT_WIDTH_CROP;
    cgd__data_fit(&c, &w, &h);
    CHECK(w == 20 && h == 30);
    c.fit = CGD_FIT_CROP;
    w = 10, h = 4;
    cgd__data_fit(&c, &w, &h);
    CHECK(w == 20 && h == 8);
    w = 4, h = 10;
    cgd__data_fit(&c, &w, &h);
    CHECK(w == 16 && h == 40);
}

static void broken_files_are_left_out_with_a_warning(void)
{
    const char *folder = scratch("broken");
    char path[400];
    cgd_ctx ctx;
    cgd_dataset data;
    cgd_data_config config = small_config(NULL);
    start(&ctx, 1);
    write_file(folder, "a.jpg", "this is text", 12);
    make_root(path, "broken");
    config.dir[0] = config.dir[1] = path;
    CHECK(cgd_dataset_open(&ctx, &data, &config) == CGD_ERR_FORMAT);
    CHECK(says(&ctx, "none of the folder's 1 pictures"));
    CHECK(says(&ctx, "the last: ") && says(&ctx, "no JPEG, PNG or BMP"));
    CHECK(warnings == 1 && strstr(warning, "a.jpg") != NULL);
    write_noise(&ctx, folder, "b.png", 20, 20, 3, 4UL);
    CHECK(cgd_dataset_open(&ctx, &data, &config) == CGD_OK);
    CHECK(cgd_dataset_count(&data, 0) == 1 && warnings == 3);
    cgd_dataset_close(&data);
    end(&ctx);
}

/* A PNG whose compressed pixels are spoilt: only decoding finds out. */
static void spoil(const char *folder, const char *name)
{
    char path[400];
    unsigned char bytes[4000];
    size_t size, i;
    FILE *f = fopen(in_folder(path, folder, name), "rb");
    CHECK(f != NULL);
    if (!f) return;
    size = fread(bytes, 1, sizeof bytes, f);
    fclose(f);
    for (i = 41; i < size - 30; i++) bytes[i] = 0xff;
    write_file(folder, name, bytes, size);
}

static void a_picture_found_broken_later_is_replaced_by_the_next(void)
{
    char root[300], folder[400];
    cgd_ctx ctx;
    cgd_dataset data;
    cgd_data_config config;
    sample s;
    int i;
    start(&ctx, 1);
    noise_set(&ctx, "spoilt", root, 4, 2);
    in_folder(folder, root, "trainA");
    spoil(folder, "1.png");
    spoil(folder, "2.png");
    config = small_config(root);
    collect(run_one, &config, 2);
    CHECK(warnings == 2 && strstr(warning, "takes its place") != NULL);
    CHECK(cgd_dataset_open(&ctx, &data, &config) == CGD_OK);
    CHECK(cgd_dataset_count(&data, 0) == 4);
    for (i = STEPS; i-- > 0;) {           /* whatever is known by then       */
        data.position = (unsigned long)i;
        CHECK(next(&data, &s) == CGD_OK);
        CHECK(memcmp(&s, &run_one[i], sizeof s) == 0);
    }
    cgd_dataset_close(&data);
    spoil(folder, "0.png");
    spoil(folder, "3.png");
    CHECK(cgd_dataset_open(&ctx, &data, &config) == CGD_OK);
    CHECK(next(&data, &s) == CGD_ERR_FORMAT && data.position == 0);
    CHECK(says(&ctx, "none of domain A's 4 pictures"));
    cgd_dataset_close(&data);
    end(&ctx);
}

static cgd_status pack(cgd_ctx *ctx, const char *root, size_t size,
                       int filter, const char *file)
{
    cgd_data_config config = cgd_data_defaults();
    config.root = root;
    config.size = size;
    config.filter = filter;
    return cgd_dataset_pack(ctx, &config, file);
}

/* A picture that is away for a moment, or for which memory is short, is no
 * broken one: the sequence must not change for it. */
static void a_picture_that_cannot_be_opened_is_no_broken_one(void)
{
    char root[300], path[400], away[420], name[40];
    cgd_ctx ctx;
    cgd_dataset data;
    cgd_data_config config;
    sample s;
    int i, failed = 0;
    make_root(root, "noise");
    config = small_config(root);
    config.cache_bytes = 0;
    collect(run_one, &config, 1);
    start(&ctx, 1);
    CHECK(cgd_dataset_open(&ctx, &data, &config) == CGD_OK);
    for (i = 0; i < STEPS; i++) {
        sprintf(name, "trainB/%d.png", i % 3);
        sprintf(away, "%s.away", in_folder(path, root, name));
        CHECK(rename(path, away) == 0);
        if (next(&data, &s) != CGD_OK) {
            CHECK(says(&ctx, "cannot open"));
            failed++;
        } else {
            CHECK(memcmp(&s, &run_one[i], sizeof s) == 0);
            data.position--;
        }
        CHECK(rename(away, path) == 0);
        CHECK(next(&data, &s) == CGD_OK);
        CHECK(memcmp(&s, &run_one[i], sizeof s) == 0);
    }
    CHECK(failed > 0 && warnings == 0);
    cgd_dataset_close(&data);
    end(&ctx);
}

static void a_packed_file_gives_the_same_samples(void)
{
    char root[300], file[400];
    cgd_ctx ctx;
    cgd_data_config config;
    make_root(root, "noise");
    make_root(file, "packed.safetensors");
    config = small_config(root);
    collect(run_one, &config, 1);
    start(&ctx, 2);
    CHECK(pack(&ctx, root, 20, CGD_BICUBIC, file) == CGD_OK);
    end(&ctx);
    config.root = file;
    collect(run_two, &config, 2);
    CHECK(memcmp(run_one, run_two, sizeof run_one) == 0);
    start(&ctx, 2);                            /* in their own sizes         */
    CHECK(pack(&ctx, root, 0, CGD_BICUBIC, file) == CGD_OK);
    end(&ctx);
    collect(run_two, &config, 1);
    CHECK(memcmp(run_one, run_two, sizeof run_one) == 0);
    config.channels[0] = config.channels[1] = 1;
    config.cache_bytes = 0;
    collect(run_two, &config, 1);
    config.root = root;
    collect(run_one, &config, 1);
    CHECK(memcmp(run_one, run_two, sizeof run_one) == 0);
}

static void packing_takes_what_is_there_and_says_what_is_not(void)
{
    char root[300], file[400];
    const char *folder;
    cgd_ctx ctx;
    cgd_dataset data;
    cgd_data_config config;
    cgd_file packed;
    start(&ctx, 1);
    make_root(file, "some.safetensors");
    remove(file);
    scratch("some/trainB");
    scratch("some/trainA");
    folder = scratch("some/testA");
    make_root(root, "some");
    CHECK(pack(&ctx, root, 8, CGD_BICUBIC, file)
          == CGD_ERR_FORMAT);
    CHECK(says(&ctx, "some: there is no readable picture") && !exists(file));
    write_file(folder, "c.jpg", "GIF89a, really", 14);
    CHECK(pack(&ctx, root, 8, CGD_BICUBIC, file) == CGD_ERR_FORMAT);
    CHECK(says(&ctx, "no readable picture in trainA, trainB, testA or testB; "
               "the last: ") && says(&ctx, "c.jpg: this is a GIF picture"));
    warnings = 0;
    write_noise(&ctx, folder, "a.png", 20, 20, 3, 4UL);
    write_noise(&ctx, folder, "b.png", 20, 20, 3, 4UL);
    write_noise(&ctx, folder, "d.png", 20, 20, 3, 5UL);
    write_file(folder, "c.jpg", "this is text", 12);
    spoil(folder, "a.png");
    CHECK(pack(&ctx, root, 8, 7, file) == CGD_ERR_ARGUMENT);
    CHECK(pack(&ctx, root, 8, CGD_BILINEAR, file) == CGD_OK);
    CHECK(warnings == 2);
    CHECK(cgd_file_open(&ctx, &packed, file) == CGD_OK);
    CHECK(packed.n_tensors == 2);
    CHECK(cgd_file_find(&packed, "testA/b.png") == &packed.tensors[0]);
    CHECK(cgd_file_find(&packed, "testA/d.png") == &packed.tensors[1]);
    cgd_file_close(&packed);
    config = small_config(file);
    CHECK(cgd_dataset_open(&ctx, &data, &config) == CGD_ERR_FORMAT);
    CHECK(says(&ctx, "no picture trainA/..."));
    CHECK(pack(&ctx, "nowhere", 8, CGD_BILINEAR, file)
          == CGD_ERR_FORMAT);
    end(&ctx);
}

static void what_stands_in_place_of_train_a_is_said(void)
{
    char root[300];
    cgd_ctx ctx;
    cgd_dataset data;
    cgd_data_config config;
    start(&ctx, 1);
    scratch("other/A");
    scratch("other/B");
    scratch("other");
    write_noise(&ctx, folder_path, "x.png", 4, 4, 3, 1UL);
    make_root(root, "other");
    config = small_config(root);
    CHECK(cgd_dataset_open(&ctx, &data, &config) == CGD_ERR_IO);
    CHECK(says(&ctx, "other holds no folder trainA, but "));
    CHECK(says(&ctx, " and 1 pictures: name the folder of each domain"));
    end(&ctx);
}

/* Pictures of two halves: the left one grey 40 i, the right one 40 i + 20. */
static void joined_pictures_are_taken_apart(void)
{
    char root[300], file[400], name[20];
    cgd_ctx ctx;
    cgd_dataset data;
    cgd_data_config config;
    sample s;
    int i, way;
    start(&ctx, 1);
    make_root(root, "joined");
    make_root(file, "joined.safetensors");
    scratch("joined/train");
    for (i = 0; i < 5; i++) {
        size_t k;
        cgd_image p;
        CHECK(cgd_image_init(&ctx, &p, 41, 20, 3) == CGD_OK);
        for (k = 0; k < 41 * 20 * 3; k++)
            p.data[k] = (unsigned char)(40 * i + (k / 3 % 41 > 20 ? 20 : 0));
        sprintf(name, "%d.png", i);
        CHECK(cgd_image_save(&ctx, &p, in_folder(file, folder_path, name))
              == CGD_OK);
        cgd_image_free(&ctx, &p);
    }
    make_root(file, "joined.safetensors");
    for (way = 0; way < 4; way++) {               /* left, right, packed     */
        config = small_config(root);
        config.joined = way == 1 ? CGD_JOINED_RIGHT : CGD_JOINED_LEFT;
        if (way == 3) strcat(root, "/train");     /* the folder itself       */
        if (way == 2) {
            config.size = 0;
            CHECK(cgd_dataset_pack(&ctx, &config, file) == CGD_OK);
            config.root = file;
            config.size = SIDE;
        }
        CHECK(cgd_dataset_open(&ctx, &data, &config) == CGD_OK);
        CHECK(cgd_dataset_count(&data, 0) == 5);
        CHECK(cgd_dataset_count(&data, 1) == 5);
        for (i = 0; i < 10 && data.ctx; i++) {
            int a, b;
            CHECK(next(&data, &s) == CGD_OK);
            a = (int)((s.a[PIXELS / 2] + 1) * 127.5F + 0.5F);
            b = (int)((s.b[PIXELS / 2] + 1) * 127.5F + 0.5F);
            CHECK(a % 40 == (way == 1 ? 20 : 0));
            CHECK(b % 40 == (way == 1 ? 0 : 20));
        }
        cgd_dataset_close(&data);
    }
    CHECK(warnings == 0);
    end(&ctx);
}

static void wrong_data_settings_are_refused_in_a_sentence(void)
{
    cgd_ctx ctx;
    cgd_dataset data;
    cgd_data_config good = small_config("nowhere"), c;
    start(&ctx, 1);
    CHECK(cgd_dataset_open(&ctx, &data, &good) == CGD_ERR_IO);
    CHECK(says(&ctx, "nowhere: there is no such folder"));
    c = good, c.root = NULL;
    CHECK(cgd_dataset_open(&ctx, &data, &c) == CGD_ERR_ARGUMENT);
    c = good, c.size = 21;
    CHECK(cgd_dataset_open(&ctx, &data, &c) == CGD_ERR_ARGUMENT);
    CHECK(says(&ctx, "a crop of 21 x 21 pixels"));
    c = good, c.size = 0;
    CHECK(cgd_dataset_open(&ctx, &data, &c) == CGD_ERR_ARGUMENT);
    c = good, c.load_size = (size_t)-1;
    CHECK(cgd_dataset_open(&ctx, &data, &c) == CGD_ERR_ARGUMENT);
    c = good, c.channels[1] = 0;
    CHECK(cgd_dataset_open(&ctx, &data, &c) == CGD_ERR_ARGUMENT);
    c = good, c.range[1].lo = 7;                          /* above hi        */
    CHECK(cgd_dataset_open(&ctx, &data, &c) == CGD_ERR_ARGUMENT);
    CHECK(says(&ctx, "values from 7 to 0 are no range"));
    c = good, c.fit = 3;
    CHECK(cgd_dataset_open(&ctx, &data, &c) == CGD_ERR_ARGUMENT);
    c = good, c.filter = -1;
    CHECK(cgd_dataset_open(&ctx, &data, &c) == CGD_ERR_ARGUMENT);
    CHECK(data.ctx == NULL);
    end(&ctx);
}

/* ---- ranges --------------------------------------------------------------*/

/* Two folders of even pictures of 16 bits: A's are 100 and 1110, B's 3000. */
static void write_deep(cgd_ctx *ctx, char *root)
{
    static const float values[3] = { 100, 1110, 3000 };
    char path[400];
    int i;
    make_root(root, "deep");
    scratch("deep/trainA");
    scratch("deep/trainB");
    for (i = 0; i < 3; i++) {
        cgd_image p;
        size_t k;
        CHECK(cgd_image_init_white(ctx, &p, 30, 25, 1, 65535) == CGD_OK);
        for (k = 0; k < 30 * 25; k++) p.values[k] = values[i];
        if (i == 2) p.values[0] = 1000;            /* a range of B's own     */
        sprintf(path, "%s/train%s/%d.png", root, i < 2 ? "A" : "B", i);
        CHECK(cgd_image_save(ctx, &p, path) == CGD_OK);
        cgd_image_free(ctx, &p);
    }
}

/* What the samples of A's two pictures are, the darker first, and B's. */
static void collect_deep(const cgd_data_config *config, float values[3],
                         cgd_range range[2])
{
    cgd_ctx ctx;
    cgd_dataset data;
    sample s;
    int i;
    start(&ctx, 2);
    CHECK(cgd_dataset_open(&ctx, &data, config) == CGD_OK);
    values[0] = 2;
    values[1] = -2;
    for (i = 0; i < 2 && data.ctx; i++) {
        CHECK(next(&data, &s) == CGD_OK);
        if (s.a[0] < values[0]) values[0] = s.a[0];
        if (s.a[0] > values[1]) values[1] = s.a[0];
        values[2] = s.b[SIDE * SIDE - 1];
    }
    memcpy(range, data.config.range, sizeof data.config.range);
    CHECK(warnings == 0);
    cgd_dataset_close(&data);
    end(&ctx);
}

static void pictures_of_16_bits_are_learnt_by_their_range(void)
{
    char root[300], file[400];
    cgd_ctx ctx;
    cgd_data_config config;
    cgd_range range[2];
    float v[3];
    int packed;
    start(&ctx, 1);
    write_deep(&ctx, root);
    end(&ctx);
    make_root(file, "deep.safetensors");
    for (packed = 0; packed < 2; packed++) {
        config = small_config(packed ? file : root);
        config.channels[0] = config.channels[1] = 1;
        config.cache_bytes = packed ? 0 : 5000;
        start(&ctx, 1);
        config.size = 0;
        if (packed) config.root = root;
        if (packed) CHECK(cgd_dataset_pack(&ctx, &config, file) == CGD_OK);
        end(&ctx);
        config.root = packed ? file : root;
        config.size = SIDE;
        collect_deep(&config, v, range);                /* all of 16 bits    */
        CHECK(v[0] == 100 / 32767.5F - 1 && v[1] == 1110 / 32767.5F - 1);
        CHECK(range[0].white == 65535 && range[0].hi == 0);
        config.range[0].lo = 100;
        config.range[0].hi = 1110;
        config.range[1].lo = 0;
        config.range[1].hi = 2000;
        collect_deep(&config, v, range);
        CHECK(v[0] == -1 && v[1] == 1 && v[2] == 1);    /* clamped           */
        memset(config.range, 0, sizeof config.range);
        config.measure = 1;
        collect_deep(&config, v, range);
        CHECK(v[0] == -1 && v[1] == 1);
        CHECK(range[0].lo == 100 && range[0].hi == 1110);
        CHECK(range[1].lo == 1000 && range[1].hi == 3000);
    }
}

/* An even grey picture. */
static void write_even(cgd_ctx *ctx, const char *root, const char *name,
                       float white, int value)
{
    char path[400];
    cgd_image p;
    size_t k;
    CHECK(cgd_image_init_white(ctx, &p, 30, 25, 1, white) == CGD_OK);
    for (k = 0; k < 30 * 25; k++) {
        if (p.data) p.data[k] = (unsigned char)value;
        else p.values[k] = (float)value;
    }
    sprintf(path, "%s/%s", root, name);
    CHECK(cgd_image_save(ctx, &p, path) == CGD_OK);
    cgd_image_free(ctx, &p);
}

/* What is warned of when such a set is opened, and that 8 bits and the same
 * times 257 are one value to the nets: A holds 100 in both. */
static void opens_mixed(cgd_ctx *ctx, const cgd_data_config *config,
                        const char *sentence, float value)
{
    cgd_dataset data;
    sample s;
    int i;
    warnings = 0;
    CHECK(cgd_dataset_open(ctx, &data, config) == CGD_OK);
    CHECK(warnings == 1 && strstr(warning, sentence));
    if (warnings != 1 || !strstr(warning, sentence))
        printf("    %d: %s\n", warnings, warning);
    for (i = 0; i < 3 && value > -2; i++) {
        CHECK(next(&data, &s) == CGD_OK);
        CHECK_NEAR(s.a[0], value, 1e-6);
    }
    CHECK(data.config.range[0].white == 65535.0F);
    cgd_dataset_close(&data);
}

static void one_picture_of_other_bits_is_named(void)
{
    static const char *const says[2] = {
        "trainA/g16.png has 16 bits a sample and others 8 bits: all are taken "
        "as 0 to 65535, 8 bits times 257 (a range of your own: --range)",
        "trainA/b.png has 8 bits a sample and others 16 bits: all are taken "
        "as 0 to 65535" };
    char root[300], file[400];
    cgd_ctx ctx;
    cgd_data_config config;
    make_root(root, "depths");
    scratch("depths/trainA");
    scratch("depths/trainB");
    make_root(file, "depths.safetensors");
    start(&ctx, 1);
    write_even(&ctx, root, "trainA/b.png", 255, 100);
    write_even(&ctx, root, "trainA/g16.png", 65535.0F, 25700);
    write_even(&ctx, root, "trainA/h.png", 65535.0F, 25700);
    write_even(&ctx, root, "trainB/b.png", 255, 7);
    config = small_config(root);
    config.channels[0] = config.channels[1] = 1;
    opens_mixed(&ctx, &config, says[0], 100 / 127.5F - 1);
    config.size = 0;
    CHECK(cgd_dataset_pack(&ctx, &config, file) == CGD_OK);
    config.size = SIDE;
    config.root = file;
    opens_mixed(&ctx, &config, "trainA/g16.png has 16 bits",
                100 / 127.5F - 1);
    config.root = root;
    write_even(&ctx, root, "trainA/a.png", 65535.0F, 25700);
    opens_mixed(&ctx, &config, says[1], 100 / 127.5F - 1);
    config.range[0].hi = 65535.0F;
    opens_mixed(&ctx, &config, "trainA/b.png has 8 bits a sample and others "
                "16 bits: one range holds for all their numbers", -2);
    config.range[0].hi = 0;
    config.joined = CGD_JOINED_LEFT;                    /* one folder for two*/
    make_root(file, "depths/trainA");
    config.root = file;
    opens_mixed(&ctx, &config, says[1], -2);
    end(&ctx);
}

static void a_packed_file_carries_its_range(void)
{
    char root[300], file[400];
    cgd_ctx ctx;
    cgd_data_config config = cgd_data_defaults();
    cgd_range range[2];
    float v[3];
    make_root(root, "deep");
    make_root(file, "deep.safetensors");
    config.root = root;
    config.size = 20;
    config.measure = 1;
    config.channels[0] = config.channels[1] = 1;
    start(&ctx, 1);
    CHECK(cgd_dataset_pack(&ctx, &config, file) == CGD_OK);
    end(&ctx);
    config = small_config(file);
    config.channels[0] = config.channels[1] = 1;
    collect_deep(&config, v, range);
    CHECK(v[0] == -1 && v[1] == 1 && range[1].lo == 1000);
    config.range[0].hi = 2220;                          /* the caller's word */
    collect_deep(&config, v, range);
    CHECK(v[1] == 0 && range[0].hi == 2220 && range[1].lo == 1000);
}

static void floating_point_needs_a_range(void)
{
    char root[300], path[400];
    cgd_ctx ctx;
    cgd_dataset data;
    cgd_data_config config;
    cgd_range range[2];
    cgd_image p;
    int d;
    start(&ctx, 1);
    make_root(root, "floats");
    for (d = 0; d < 2; d++) {
        size_t k;
        scratch(d ? "floats/trainB" : "floats/trainA");
        CHECK(cgd_image_init_white(&ctx, &p, 20, 20, 5, 0) == CGD_OK);
        for (k = 0; k < 2000; k++) p.values[k] = k % 5 == 4 ? 3.5F : -1.5F;
        p.values[7] /= p.values[7] - p.values[7];        /* not a number     */
        sprintf(path, "%s/train%s/a.npy", root, d ? "B" : "A");
        CHECK(cgd_image_save(&ctx, &p, path) == CGD_OK);
        cgd_image_free(&ctx, &p);
    }
    config = small_config(root);
    config.channels[0] = config.channels[1] = 5;
    CHECK(cgd_dataset_open(&ctx, &data, &config) == CGD_ERR_ARGUMENT);
    CHECK(says(&ctx, "domain A have floating point values"));
    end(&ctx);
    config.measure = 1;
    config.size = 8;
    start(&ctx, 1);
    CHECK(cgd_dataset_open(&ctx, &data, &config) == CGD_OK);
    memcpy(range, data.config.range, sizeof range);
    CHECK(range[0].lo == -1.5F && range[0].hi == 3.5F && range[0].white == 0);
    cgd_dataset_close(&data);
    end(&ctx);
}

/* A generator of random weights that learnt 16 bits from 0 to 1000. */
static void make_model(cgd_ctx *ctx, cgd_model *model, int c)
{
    cgd_generator_config g = cgd_generator_defaults();
    cgd_rng rng;
    size_t i;
    g.width = 4;
    g.blocks = 1;
    g.in_channels = g.out_channels = c;
    memset(model, 0, sizeof *model);
    CHECK(cgd_generator_init(ctx, &model->net, &g) == CGD_OK);
    cgd_rng_seed(&rng, 5, 0);
    for (i = 0; i < model->net.count; i++)
        model->net.params[i] = (float)cgd_rng_normal(&rng) / 5;
}

/* A model that learnt 16 bits gives 8 of 8, if its range has room in them. */
static void a_translation_has_no_more_bits_than_the_picture(void)
{
    static const float his[4] = { 0, 200, 2881, 0 };
    cgd_ctx ctx;
    cgd_model model;
    cgd_image bytes, deep, out, expected;
    cgd_range *range;
    size_t i;
    start(&ctx, 1);
    make_model(&ctx, &model, 1);
    range = &model.net.generator.range[1];
    bytes = noise_image(&ctx, 13, 10, 1, 3UL);
    CHECK(cgd_image_init_white(&ctx, &deep, 13, 10, 1, 65535) == CGD_OK);
    for (i = 0; i < 130; i++) deep.values[i] = (float)bytes.data[i] * 257;
    CHECK(cgd_translate_image(&model, &expected, &bytes) == CGD_OK);
    range->white = 65535;
    CHECK(cgd_translate_image(&model, &out, &bytes) == CGD_OK);
    CHECK(out.data && memcmp(out.data, expected.data, 130) == 0);
    cgd_image_free(&ctx, &out);
    for (i = 0; i < 4; i++) {
        range->hi = his[i];
        if (i == 3) range->white = 0;               /* learnt as values      */
        if (i == 3) range->hi = 1;
        CHECK(cgd_translate_image(&model, &out, &bytes) == CGD_OK);
        CHECK(out.white == (i < 2 ? 255 : i == 2 ? 65535.0F : 0));
        cgd_image_free(&ctx, &out);
        CHECK(cgd_translate_image(&model, &out, &deep) == CGD_OK);
        CHECK(out.white == (i < 3 ? 65535.0F : 0));
        cgd_image_free(&ctx, &out);
    }
    cgd_image_free(&ctx, &deep);
    cgd_image_free(&ctx, &expected);
    cgd_image_free(&ctx, &bytes);
    cgd_model_free(&model);
    end(&ctx);
}

static void a_translation_keeps_the_pictures_bits_and_range(void)
{
    cgd_ctx ctx;
    cgd_model model;
    cgd_image bytes, deep, out, expected;
    size_t i;
    start(&ctx, 1);
    make_model(&ctx, &model, 1);
    bytes = noise_image(&ctx, 13, 10, 1, 3UL);
    CHECK(cgd_image_init_white(&ctx, &deep, 13, 10, 1, 65535) == CGD_OK);
    for (i = 0; i < 130; i++) deep.values[i] = (float)bytes.data[i] * 257;
    CHECK(cgd_translate_image(&model, &expected, &bytes) == CGD_OK);
    CHECK(expected.data && expected.white == 255);
    CHECK(cgd_translate_image(&model, &out, &deep) == CGD_OK);
    CHECK(out.values && out.white == 65535);
    for (i = 0; i < 130 && out.values; i++)
        CHECK_NEAR(out.values[i] / 257, expected.data[i], 0.51);
    cgd_image_free(&ctx, &out);
    for (i = 0; i < 130; i++) deep.values[i] = (float)bytes.data[i] * 2 - 9;
    deep.white = 0;
    CHECK(cgd_translate_image(&model, &out, &deep) == CGD_ERR_ARGUMENT);
    CHECK(says(&ctx, "floating point") && !out.values);
    model.net.generator.range[0].lo = -9;
    model.net.generator.range[0].hi = 501;
    model.net.generator.range[1].hi = 510;
    CHECK(cgd_translate_image(&model, &out, &deep) == CGD_OK);
    for (i = 0; i < 130 && out.values; i++)
        CHECK_NEAR(out.values[i] / 2, expected.data[i], 0.51);
    cgd_image_free(&ctx, &out);
    CHECK(cgd_image_init(&ctx, &out, 4, 4, 3) == CGD_OK);
    cgd_image_free(&ctx, &deep);
    CHECK(cgd_translate_image(&model, &deep, &out) == CGD_ERR_SHAPE);
    cgd_image_free(&ctx, &out);
    cgd_image_free(&ctx, &expected);
    cgd_image_free(&ctx, &bytes);
    cgd_model_free(&model);
    end(&ctx);
}

static void a_model_remembers_its_range(void)
{
    char path[400];
    cgd_ctx ctx;
    cgd_model model;
    cgd_file file;
    cgd_range range[2];
    make_root(path, "model.safetensors");
    start(&ctx, 1);
    make_model(&ctx, &model, 1);
    CHECK(cgd_net_save(&model.net, NULL, path) == CGD_OK);
    CHECK(cgd_file_open(&ctx, &file, path) == CGD_OK);
    CHECK(cgd_file_meta(&file, "cgd.range") == NULL);
    cgd_file_close(&file);
    range[0].lo = -1024.5F;
    range[0].hi = 3071;
    range[0].white = 0;
    range[1].lo = range[1].hi = 0;
    range[1].white = 65535;
    memcpy(model.net.generator.range, range, sizeof range);
    CHECK(cgd_net_save(&model.net, NULL, path) == CGD_OK);
    cgd_model_free(&model);
    CHECK(cgd_model_load(&ctx, &model, path) == CGD_OK);
    CHECK(memcmp(model.net.generator.range, range, sizeof range) == 0);
    cgd_model_free(&model);
    end(&ctx);
}

/* ---- memory --------------------------------------------------------------*/

/* Open, draw two samples, close: the first failure. */
static cgd_status use_data(cgd_ctx *ctx, const cgd_data_config *config)
{
    cgd_dataset data;
    sample s;
    cgd_status status = cgd_dataset_open(ctx, &data, config);
    if (status != CGD_OK) return status;
    status = next(&data, &s);
    if (status == CGD_OK) status = next(&data, &s);
    cgd_dataset_close(&data);
    return status;
}

/* What to try with the n-th allocation failing. */
static cgd_status use(cgd_ctx *ctx, int what, const char *root,
                      const char *file)
{
    cgd_data_config config = small_config(what == 1 ? file : root);
    cgd_image in, out;
    cgd_status status;
    config.cache_bytes = 2000;
    if (what == 0 || what == 1) return use_data(ctx, &config);
    if (what == 2) return pack(ctx, root, 9, CGD_BICUBIC, file);
    status = cgd_image_decode(ctx, &in, golden_progressive,
                              sizeof golden_progressive, 1, "test");
    if (status != CGD_OK) return status;
    status = cgd_image_resize(ctx, &out, &in, 50, 60, CGD_BILINEAR);
    cgd_image_free(ctx, &out);
    cgd_image_free(ctx, &in);
    return status;
}

static void every_allocation_may_fail(void)
{
    char root[300], file[400];
    int what;
    make_root(root, "noise");
    make_root(file, "packed.safetensors");
    for (what = 0; what < 4; what++) {
        cgd_status status = CGD_ERR_MEMORY;
        long k;
        for (k = 1; k < 2000 && status != CGD_OK; k++) {
            cgd_ctx ctx;
            start(&ctx, 1);
            failing = k;
            status = use(&ctx, what, root, file);
            CHECK(status == CGD_OK || status == CGD_ERR_MEMORY);
            CHECK(status == CGD_OK || says(&ctx, "memory"));
            CHECK(warnings == 0);
            end(&ctx);
        }
        CHECK(status == CGD_OK && k > 5 && k < 2000);
    }
}

static void a_picture_is_not_translated_onto_itself(void)
{
    char path[400];
    cgd_image image;
    cgd_ctx ctx;
    in_folder(path, scratch("same"), "same.bmp");
    start(&ctx, 1);
    CHECK(cgd_image_init(&ctx, &image, 8, 8, 3) == CGD_OK);
    memset(image.data, 9, 8 * 8 * 3);
    CHECK(cgd_image_save(&ctx, &image, path) == CGD_OK);
    CHECK(cgd_translate_file(&ctx, "no.safetensors", path, path)
          == CGD_ERR_ARGUMENT);
    CHECK(strstr(ctx.message, "would overwrite") != NULL);
    CHECK(cgd_translate_file(&ctx, path, "no.png", path) == CGD_ERR_ARGUMENT);
    cgd_image_free(&ctx, &image);
    cgd_free(&ctx);
}

int main(void)
{
    RUN(resizing_gives_pillows_bytes);
    RUN(resizing_rows_that_pillow_was_asked_by_hand);
    RUN(resizing_values_as_pillow_does);
    RUN(sizes_that_no_picture_has_are_refused);
    RUN(all_eight_orientations_come_upright);
    RUN(damaged_files_do_no_harm_and_show_no_memory);
    RUN(truncated_pictures_are_refused);
    RUN(motion_jpeg_without_huffman_tables_is_read);
    RUN(jpeg_tables_are_checked_before_stb_image_sees_them);
    RUN(jpegs_of_other_kinds_are_named);
    RUN(cmyk_without_adobes_marker_is_read_as_others_do);
    RUN(a_progressive_jpeg_that_ends_early_lacks_detail);
    RUN(scans_that_never_came_are_refused);
    RUN(what_follows_a_jpeg_or_hides_in_it_does_not_matter);
    RUN(grey_alpha_palette_and_16_bits_decode_as_in_pillow);
    RUN(transparent_parts_are_laid_on_the_background);
    RUN(sound_pictures_are_the_same_without_the_companion);
    RUN(an_opaque_alpha_changes_nothing);
    RUN(bmps_of_all_ages_decode_as_in_pillow);
    RUN(a_forbidden_distance_shows_no_memory);
    RUN(pixels_beyond_the_palette_are_black);
    RUN(bombs_are_refused_before_they_go_off);
    RUN(a_png_with_a_wrong_check_sum_is_refused);
    RUN(memory_that_fails_while_decoding_is_no_damage);
    RUN(other_files_are_said_to_be_what_they_are);
    RUN(what_is_saved_is_loaded_again);
    RUN(sixteen_bits_and_floats_are_saved_and_loaded_whole);
    RUN(dropped_bits_are_warned_of);
    RUN(arrays_of_numpy_are_read_in_every_type_and_order);
    RUN(arrays_that_are_no_pictures_are_refused);
    RUN(a_safetensors_file_of_one_tensor_is_a_picture);
    RUN(grey_is_pillows_luma);
    RUN(files_that_are_no_pictures_are_refused_in_a_sentence);
    RUN(a_picture_of_a_billion_pixels_is_refused_unseen);
    RUN(saving_without_memory_leaves_nothing);
    RUN(a_png_of_any_kind_comes_back);
    RUN(saving_fails_in_a_sentence_and_harms_nothing);
    RUN(listing_is_sorted_and_holds_pictures_only);
    RUN(missing_and_empty_folders_are_named);
#ifndef _WIN32
    RUN(folders_are_walked_but_not_round_in_circles);
#endif
    RUN(pictures_that_are_left_out_are_counted_by_kind);
    RUN(an_epoch_visits_a_in_shuffled_order_and_draws_b);
    RUN(the_smaller_a_comes_round_again_within_an_epoch);
    RUN(samples_depend_on_the_seed_and_nothing_else);
    RUN(setting_the_position_resumes);
    RUN(a_batch_of_two_is_two_samples);
    RUN(crops_fall_everywhere_and_half_are_mirrored);
    RUN(pictures_of_any_shape_fit);
    RUN(widths_and_enlargements_keep_the_aspect);
    RUN(rectangles_are_cut_from_rectangles);
    RUN(broken_files_are_left_out_with_a_warning);
    RUN(a_picture_found_broken_later_is_replaced_by_the_next);
    RUN(a_picture_that_cannot_be_opened_is_no_broken_one);
    RUN(a_packed_file_gives_the_same_samples);
    RUN(packing_takes_what_is_there_and_says_what_is_not);
    RUN(what_stands_in_place_of_train_a_is_said);
    RUN(joined_pictures_are_taken_apart);
    RUN(wrong_data_settings_are_refused_in_a_sentence);
    RUN(pictures_of_16_bits_are_learnt_by_their_range);
    RUN(one_picture_of_other_bits_is_named);
    RUN(a_packed_file_carries_its_range);
    RUN(floating_point_needs_a_range);
    RUN(a_translation_keeps_the_pictures_bits_and_range);
    RUN(a_translation_has_no_more_bits_than_the_picture);
    RUN(a_model_remembers_its_range);
    RUN(every_allocation_may_fail);
    RUN(a_picture_is_not_translated_onto_itself);
    return test_end();
}
