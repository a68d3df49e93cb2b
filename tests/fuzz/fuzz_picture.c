/* libFuzzer target: any bytes as a picture (make fuzz), under MemorySanitizer:
 * stb_image gets memory that is not cleared, as a program has it that defines
 * nothing, and still no pixel may be what that memory held. */
#include <stdlib.h>

static size_t given;                   /* bytes asked for in one decoding    */

static void *fuzz_alloc(size_t bytes)
{
    given += bytes;
    return malloc(bytes);
}

#define STBI_MALLOC(size) fuzz_alloc(size)
#define STBI_REALLOC(block, size) (given += (size), realloc(block, size))
#define STBI_FREE(block) free(block)
#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STBI_ONLY_JPEG
#define STBI_ONLY_PNG
#define STBI_ONLY_BMP
#define STBI_NO_STDIO
#include <stb/stb_image.h>
#define CGD_NO_THREADS
#define CGD_NO_STDIO
#define CGD_IMPLEMENTATION
#define CGD_PICTURES_IMPLEMENTATION
#include "../../tools/cgd_pictures.h"

int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t size);

/* A PNG whose check sums are right, so that more than sums is tried. */
static void fuzz_sums(unsigned char *p, size_t size)
{
    size_t at = 8;
    while (size - at >= 12) {
        size_t n = cgd__number(p + at, 4, 1);
        cgd_u32 sum;
        int i;
        if (n > size - at - 12) return;
        sum = cgd__png_sum(p + at + 4, n + 4);
        for (i = 0; i < 4; i++)
            p[at + 8 + n + (size_t)i] =
                (unsigned char)(sum >> (24 - 8 * i) & 255);
        at += 12 + n;
    }
}

/* Every sample decides something, so that one that was never written shows;
 * and what was asked for is fixed, or so many bytes for each of the file's. */
static void fuzz_decode(const unsigned char *bytes, size_t size, size_t c)
{
    cgd_ctx ctx;
    cgd_image p;
    size_t i;
    volatile size_t odd = 0;
    cgd_init(&ctx, NULL);
    cgd_use_pictures(&ctx);
    given = 0;
    if (cgd_image_decode_deep(&ctx, &p, bytes, size, c, "x") == CGD_OK) {
        for (i = 0; i < p.w * p.h * p.c; i++)
            if (p.data ? p.data[i] & 1 : p.values[i] > 1000) odd++;
        cgd_image_free(&ctx, &p);
    }
    if (ctx.in_use != 0 || given > (size_t)1 << 20
        && given > 40000 * size) abort();
    cgd_free(&ctx);
}

int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t size)
{
    size_t c = size % 3 == 2 ? 4 : 1 + 2 * (size % 3);
    fuzz_decode(bytes, size, c);
    if (size > 8 && memcmp(bytes, "\x89PNG", 4) == 0) {
        unsigned char *copy = (unsigned char *)malloc(size);
        memcpy(copy, bytes, size);
        fuzz_sums(copy, size);
        fuzz_decode(copy, size, c);
        free(copy);
    }
    return 0;
}
