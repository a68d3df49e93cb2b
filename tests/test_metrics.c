/* PSNR and SSIM against scikit-image: tools/make_picture_goldens.py. */
#include <stdlib.h>
#include <string.h>
#include "test.h"
#define CGD_IMPLEMENTATION
#include "../cycle_gan_distil.h"
#include "golden/metrics.h"

#define N(array) (sizeof (array) / sizeof *(array))

/* The bytes that noise() in tools/make_picture_goldens.py makes. */
static unsigned char *noise(size_t bytes, unsigned long seed)
{
    unsigned char *out = (unsigned char *)malloc(bytes);
    unsigned long x = seed;
    size_t i;
    for (i = 0; out && i < bytes; i++) {
        x = (x * 1664525UL + 1013904223UL) & 0xffffffffUL;
        out[i] = (unsigned char)(x >> 24);
    }
    return out;
}

/* The two pictures of metric_cases() there. */
static void make_pair(unsigned char *a, unsigned char *b, size_t w, size_t h,
                      size_t c, int change)
{
    size_t x, y, k, i = 0;
    for (y = 0; y < h; y++)
        for (x = 0; x < w; x++)
            for (k = 0; k < c; k++, i++) {
                int v = (int)((a[i] % 64 + 2 * x + y) % 256);
                int u = v + b[i] % (change + 1) - change / 2;
                a[i] = (unsigned char)v;
                b[i] = (unsigned char)(u < 0 ? 0 : u > 255 ? 255 : u);
            }
}

static void psnr_and_ssim_are_those_of_scikit_image(void)
{
    cgd_ctx ctx;
    size_t i;
    cgd_init(&ctx, NULL);
    for (i = 0; i < N(golden_metric); i++) {
        size_t w = golden_metric[i].w, h = golden_metric[i].h;
        size_t c = golden_metric[i].c;
        unsigned long seed = (unsigned long)(w * 7 + h);
        unsigned char *a = noise(w * h * c, seed);
        unsigned char *b = noise(w * h * c, seed + 1);
        make_pair(a, b, w, h, c, golden_metric[i].change);
        CHECK_NEAR(cgd_psnr(a, b, w, h, c), golden_metric[i].psnr, 1e-8);
        CHECK_NEAR(cgd_ssim(&ctx, a, b, w, h, c), golden_metric[i].ssim, 1e-9);
        CHECK_NEAR(cgd_ssim(&ctx, b, a, w, h, c), golden_metric[i].ssim, 1e-9);
        free(a);
        free(b);
    }
    CHECK(cgd_memory_in_use(&ctx) == 0 || ctx.pool);
    cgd_free(&ctx);
}

static void equal_pictures_have_99_db_and_ssim_1(void)
{
    cgd_ctx ctx;
    unsigned char *a = noise(40 * 30 * 3, 3UL), b = (unsigned char)(a[5] ^ 1);
    unsigned char *same = noise(40 * 30 * 3, 3UL);
    cgd_init(&ctx, NULL);
    CHECK(cgd_psnr(a, same, 40, 30, 3) == 99);
    CHECK_NEAR(cgd_ssim(&ctx, a, same, 40, 30, 3), 1, 1e-12);
    same[5] = b;
    CHECK_NEAR(cgd_psnr(a, same, 40, 30, 3), 10 * log10(65025.0 * 3600), 1e-9);
    CHECK(cgd_ssim(&ctx, a, same, 40, 30, 3) < 1);
    memset(same, 0, 3600);
    memset(a, 255, 3600);
    CHECK_NEAR(cgd_psnr(a, same, 40, 30, 3), 0, 1e-12);
    cgd_free(&ctx);
    free(a);
    free(same);
}

static void *no_memory(void *user, size_t bytes)
{
    (void)user;
    (void)bytes;
    return NULL;
}

static void too_small_a_picture_or_memory_gives_minus_2(void)
{
    cgd_ctx ctx;
    cgd_options options;
    unsigned char *a = noise(11 * 11, 3UL);
    memset(&options, 0, sizeof options);
    options.threads = 1;
    cgd_init(&ctx, &options);
    CHECK(cgd_ssim(&ctx, a, a, 10, 11, 1) == -2);
    CHECK(cgd_ssim(&ctx, a, a, 11, 10, 1) == -2);
    CHECK_NEAR(cgd_ssim(&ctx, a, a, 11, 11, 1), 1, 1e-12);
    CHECK(cgd_memory_in_use(&ctx) == 0);
    cgd_free(&ctx);
    options.allocator.alloc = no_memory;
    cgd_init(&ctx, &options);
    CHECK(cgd_ssim(&ctx, a, a, 11, 11, 1) == -2);
    cgd_free(&ctx);
    free(a);
}

int main(void)
{
    RUN(psnr_and_ssim_are_those_of_scikit_image);
    RUN(equal_pictures_have_99_db_and_ssim_1);
    RUN(too_small_a_picture_or_memory_gives_minus_2);
    return test_end();
}
