/* PSNR and SSIM against scikit-image (tools/make_picture_goldens.py), the
 * other metrics against numpy, scipy and torch (tools/make_metric_goldens.py),
 * and alarms that healthy pictures do not raise and sick ones do. */
#include <stdlib.h>
#include <string.h>
#include "test.h"
#define CGD_JUDGE_IMPLEMENTATION
#include "../tools/cgd_judge.h"
#include "golden/metrics.h"
#include "golden/sets.h"
#include "../tools/scene.h"

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
    CHECK(cgd_memory_in_use(&ctx) == 0 || ctx.team);
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

/* ---- sets ---------------------------------------------------------------- */

/* picture() in tools/make_metric_goldens.py. */
static unsigned char *make_picture(size_t w, size_t h, size_t c,
                                   unsigned long seed, int kind)
{
    unsigned char *out = noise(w * h * c, seed);
    size_t x, y, k, i = 0;
    for (y = 0; y < h; y++)
        for (x = 0; x < w; x++)
            for (k = 0; k < c; k++, i++)
                out[i] = (unsigned char)((out[i] % (16 + 16 * kind)
                    + (size_t)(2 + kind) * x + (seed % 7) * y + 40 * k
                    + 13 * (seed % 11)) % 256);
    return out;
}

enum { MOST = 64 };

/* Pictures that a test owns, and the set of them. */
typedef struct gallery {
    unsigned char *own[MOST];
    const unsigned char *seen[MOST];
    cgd_set set;
} gallery;

static void gallery_init(gallery *g, size_t count, size_t w, size_t h,
                         size_t c)
{
    size_t i;
    memset(g, 0, sizeof *g);
    g->set.pictures = g->seen;
    g->set.count = count;
    g->set.w = w;
    g->set.h = h;
    g->set.c = c;
    for (i = 0; i < count; i++)
        g->seen[i] = g->own[i] = (unsigned char *)calloc(w * h, c);
}

static void gallery_free(gallery *g)
{
    size_t i;
    for (i = 0; i < g->set.count; i++) free(g->own[i]);
}

static void gallery_patterns(gallery *g, size_t count, size_t w, size_t h,
                             size_t c, unsigned long first, int kind)
{
    size_t i;
    gallery_init(g, count, w, h, c);
    for (i = 0; i < count; i++) {
        free(g->own[i]);
        g->seen[i] = g->own[i] = make_picture(w, h, c,
                                              first + (unsigned long)i, kind);
    }
}

/* Landscapes by day (domain 0) or as dusk paintings. */
static void gallery_scenes(gallery *g, size_t count, size_t side,
                           unsigned long first, int domain)
{
    size_t i;
    gallery_init(g, count, side, side, 3);
    for (i = 0; i < count; i++)
        scene_draw(scene_seed(7UL, SCENE_TEST, first + (unsigned long)i),
                   (int)side, domain == 0 ? g->own[i] : NULL,
                   domain == 1 ? g->own[i] : NULL);
}

static void check_estimate(const cgd_estimate *e, const double *wanted,
                           double tolerance)
{
    CHECK(e->known);
    CHECK_NEAR(e->value, wanted[0], tolerance);
    CHECK_NEAR(e->low, wanted[1], tolerance);
    CHECK_NEAR(e->high, wanted[2], tolerance);
}

static cgd_bootstrap draws(size_t replicates, unsigned long seed)
{
    cgd_bootstrap b;
    b.replicates = replicates;
    b.seed = (cgd_u32)seed;
    return b;
}

static void ms_ssim_and_l1_are_those_of_numpy(void)
{
    cgd_ctx ctx;
    size_t i, k;
    cgd_init(&ctx, NULL);
    for (i = 0; i < N(golden_pair); i++) {
        size_t w = golden_pair[i].w, h = golden_pair[i].h;
        size_t c = golden_pair[i].c;
        unsigned long seed = golden_pair[i].seed;
        unsigned char *a = make_picture(w, h, c, seed, golden_pair[i].kind_a);
        unsigned char *b = make_picture(w, h, c, seed + 77,
                                        golden_pair[i].kind_b);
        if (golden_pair[i].kind_a == golden_pair[i].kind_b)
            for (k = 0; k < w * h * c; k++)
                b[k] = (unsigned char)((a[k] * 3 + b[k]) / 4);
        CHECK_NEAR(cgd_ms_ssim(&ctx, a, b, w, h, c), golden_pair[i].ms_ssim,
                   1e-9);
        CHECK_NEAR(cgd_ms_ssim(&ctx, b, a, w, h, c), golden_pair[i].ms_ssim,
                   1e-9);
        CHECK_NEAR(cgd_ms_ssim(&ctx, a, a, w, h, c), 1, 1e-12);
        CHECK_NEAR(cgd_l1(a, b, w, h, c), golden_pair[i].l1, 1e-9);
        CHECK(cgd_l1(a, a, w, h, c) == 0);
        if (w > 10) CHECK(cgd_ms_ssim(&ctx, a, b, 10, h, c) == -2);
        free(a);
        free(b);
    }
    cgd_free(&ctx);
}

/* make_points: points() in tools/make_metric_goldens.py. */
static float *make_points(size_t count, unsigned long seed, long shift)
{
    unsigned char *bytes = noise(count, seed);
    float *out = (float *)malloc(count * sizeof *out);
    size_t i;
    for (i = 0; i < count; i++)
        out[i] = (float)((long)bytes[i] - 128 + shift) / 128.0f;
    free(bytes);
    return out;
}

static void the_bootstrap_of_a_mean_is_that_of_numpy(void)
{
    cgd_ctx ctx;
    cgd_estimate e;
    cgd_bootstrap b = draws(200, 5UL);
    float *points = make_points(31, 77UL, 0);
    double values[31];
    size_t i;
    for (i = 0; i < 31; i++) values[i] = (double)points[i];
    cgd_init(&ctx, NULL);
    CHECK(cgd_mean(&ctx, &e, values, 31, &b) == CGD_OK);
    check_estimate(&e, golden_mean, 1e-7);
    b.replicates = 0;
    CHECK(cgd_mean(&ctx, &e, values, 31, &b) == CGD_OK);
    CHECK(e.known && e.low == e.value && e.high == e.value);
    CHECK(cgd_mean(&ctx, &e, values, 0, &b) == CGD_OK);
    CHECK(!e.known);
    cgd_free(&ctx);
    free(points);
}

static void kid_density_and_coverage_are_those_of_numpy(void)
{
    cgd_ctx ctx;
    size_t i;
    cgd_init(&ctx, NULL);
    for (i = 0; i < N(golden_scores); i++) {
        size_t n = golden_scores[i].n, m = golden_scores[i].m;
        size_t d = golden_scores[i].d;
        unsigned long seed = golden_scores[i].seed;
        float *x = make_points(n * d, 11 + seed, 0);
        float *y = make_points(m * d, 500 + seed, golden_scores[i].shift);
        cgd_bootstrap b = draws(200, seed);
        cgd_estimate kid, density, coverage;
        CHECK(cgd_kid(&ctx, &kid, x, n, y, m, d, &b) == CGD_OK);
        check_estimate(&kid, golden_scores[i].kid, 1e-8);
        CHECK(cgd_density(&ctx, &density, &coverage, x, n, y, m, d,
                          golden_scores[i].k, &b) == CGD_OK);
        check_estimate(&density, golden_scores[i].density, 1e-8);
        check_estimate(&coverage, golden_scores[i].coverage, 1e-8);
        free(x);
        free(y);
    }
    cgd_free(&ctx);
}

static void features_are_those_of_torch(void)
{
    cgd_ctx ctx;
    float *features = (float *)malloc(2 * CGD_FEATURES * sizeof(float));
    gallery rgb, grey;
    size_t i;
    cgd_init(&ctx, NULL);
    gallery_patterns(&rgb, 2, 33, 20, 3, 4UL, 1);
    gallery_patterns(&grey, 1, 16, 24, 1, 6UL, 0);
    CHECK(cgd_features(&ctx, features, &rgb.set) == CGD_OK);
    for (i = 0; i < N(golden_features_rgb); i++)
        CHECK_NEAR(features[CGD_FEATURES + 7 * i], golden_features_rgb[i],
                   2e-5);
    CHECK(cgd_features(&ctx, features, &grey.set) == CGD_OK);
    for (i = 0; i < N(golden_features_grey); i++)
        CHECK_NEAR(features[7 * i], golden_features_grey[i], 2e-5);
    grey.set.w = 15;
    CHECK(cgd_features(&ctx, features, &grey.set) == CGD_ERR_SHAPE);
    gallery_free(&rgb);
    gallery_free(&grey);
    free(features);
    cgd_free(&ctx);
}

static void swd_is_that_of_scipy(void)
{
    cgd_ctx ctx;
    size_t i;
    cgd_init(&ctx, NULL);
    for (i = 0; i < N(golden_swd); i++) {
        size_t w = golden_swd[i].w, h = golden_swd[i].h, c = golden_swd[i].c;
        cgd_bootstrap b = draws(golden_swd[i].replicates, golden_swd[i].seed);
        double wanted[3];
        gallery x, y;
        cgd_estimate e;
        gallery_patterns(&x, golden_swd[i].n, w, h, c, 100UL, 0);
        gallery_patterns(&y, golden_swd[i].m, w, h, c, 200UL,
                         golden_swd[i].kind);
        wanted[0] = golden_swd[i].value;
        wanted[1] = golden_swd[i].low;
        wanted[2] = golden_swd[i].high;
        CHECK(cgd_swd(&ctx, &e, &x.set, &y.set, &b) == CGD_OK);
        check_estimate(&e, wanted, 1e-3);
        CHECK(cgd_swd(&ctx, &e, &x.set, &x.set, &b) == CGD_OK);
        CHECK(e.known && e.value == 0);
        gallery_free(&x);
        gallery_free(&y);
    }
    cgd_free(&ctx);
}

/* One kind of pictures is near itself, two kinds are not. */
static void distances_tell_kinds_apart(void)
{
    cgd_ctx ctx;
    cgd_bootstrap b = draws(100, 3UL);
    gallery real, same, other;
    cgd_distances near_by, far_off, floor_of;
    cgd_init(&ctx, NULL);
    gallery_scenes(&real, 40, 32, 0UL, 1);
    gallery_scenes(&same, 20, 32, 100UL, 1);
    gallery_scenes(&other, 20, 32, 100UL, 0);
    CHECK(cgd_distance(&ctx, &near_by, &same.set, &real.set, &b) == CGD_OK);
    CHECK(cgd_distance(&ctx, &far_off, &other.set, &real.set, &b) == CGD_OK);
    CHECK(cgd_distance_floor(&ctx, &floor_of, &real.set, 20, &b) == CGD_OK);
    CHECK(near_by.swd.high < far_off.swd.low);
    CHECK(near_by.kid.high < far_off.kid.low);
    CHECK(near_by.density.low > far_off.density.high);
    CHECK(near_by.coverage.low > far_off.coverage.high);
    CHECK(floor_of.swd.value < far_off.swd.low);
    CHECK(floor_of.kid.low < 0 && floor_of.kid.high > 0);
    CHECK(near_by.kid.low < 0.3 && near_by.kid.high > -0.3);
    gallery_free(&real);
    gallery_free(&same);
    gallery_free(&other);
    cgd_free(&ctx);
}

/* Two contexts that differ in threads (and kernels' order of work, if that
 * mattered) give the same bytes. */
static void distances_do_not_depend_on_threads(void)
{
    cgd_bootstrap b = draws(30, 3UL);
    cgd_distances d[3];
    gallery x, y;
    int i;
    gallery_scenes(&x, 9, 32, 0UL, 1);
    gallery_scenes(&y, 7, 32, 100UL, 0);
    memset(d, 0, sizeof d);
    for (i = 0; i < 3; i++) {
        cgd_ctx ctx;
        cgd_options options;
        memset(&options, 0, sizeof options);
        options.threads = 1 + 2 * i;
        cgd_init(&ctx, &options);
        CHECK(cgd_distance(&ctx, &d[i], &x.set, &y.set, &b) == CGD_OK);
        cgd_free(&ctx);
    }
    CHECK(d[0].swd.known && d[0].coverage.known);
    CHECK(memcmp(&d[0], &d[1], sizeof d[0]) == 0);
    CHECK(memcmp(&d[0], &d[2], sizeof d[0]) == 0);
    b.seed = 4;
    {
        cgd_ctx ctx;
        cgd_init(&ctx, NULL);
        CHECK(cgd_distance(&ctx, &d[1], &x.set, &y.set, &b) == CGD_OK);
        CHECK(d[1].swd.value != d[0].swd.value);
        cgd_free(&ctx);
    }
    gallery_free(&x);
    gallery_free(&y);
}

static void too_few_pictures_leave_figures_out(void)
{
    cgd_ctx ctx;
    cgd_bootstrap b = draws(10, 3UL);
    cgd_distances d;
    gallery x, y;
    cgd_init(&ctx, NULL);
    gallery_patterns(&x, 5, 20, 20, 3, 1UL, 1);
    gallery_patterns(&y, 6, 20, 20, 3, 50UL, 1);
    CHECK(cgd_distance(&ctx, &d, &y.set, &x.set, &b) == CGD_OK);
    CHECK(d.swd.known && d.kid.known);
    CHECK(!d.density.known && !d.coverage.known);
    CHECK(cgd_distance(&ctx, &d, &x.set, &y.set, &b) == CGD_OK);
    CHECK(d.density.known && d.coverage.known);
    x.set.count = 1;
    CHECK(cgd_distance(&ctx, &d, &x.set, &y.set, &b) == CGD_OK);
    CHECK(!d.swd.known && !d.kid.known && d.density.known);
    x.set.count = 0;
    CHECK(cgd_distance(&ctx, &d, &x.set, &y.set, &b) == CGD_OK);
    CHECK(!d.swd.known && !d.kid.known && !d.density.known);
    CHECK(cgd_distance_floor(&ctx, &d, &x.set, 9, &b) == CGD_OK);
    CHECK(!d.swd.known && !d.kid.known && !d.density.known);
    x.set.count = 5;
    x.set.h = 15;
    y.set.h = 15;
    CHECK(cgd_distance(&ctx, &d, &x.set, &y.set, &b) == CGD_OK);
    CHECK(!d.swd.known && !d.kid.known && !d.density.known);
    y.set.h = 16;
    CHECK(cgd_distance(&ctx, &d, &x.set, &y.set, &b) == CGD_ERR_SHAPE);
    CHECK(strstr(cgd_message(&ctx, CGD_ERR_SHAPE), "20 x 15") != NULL);
    y.set.h = 15;
    y.set.count = 30001;
    CHECK(cgd_distance(&ctx, &d, &x.set, &y.set, &b) == CGD_ERR_SHAPE);
    y.set.count = 6;
    x.set.w = y.set.w = 0;
    CHECK(cgd_distance(&ctx, &d, &x.set, &y.set, &b) == CGD_ERR_SHAPE);
    x.set.h = 20;
    gallery_free(&x);
    gallery_free(&y);
    cgd_free(&ctx);
}

/* ---- alarms -------------------------------------------------------------- */

static int clamp(double v) { return v < 0 ? 0 : v > 255 ? 255 : (int)v; }

enum { HEALTHY = -1 };

/* The disease of each alarm. */
static void make_ill(gallery *g, int disease)
{
    size_t i, p, x, y, bytes = g->set.w * g->set.h * 3;
    for (i = 0; i < g->set.count; i++)
        for (p = 0; p < bytes; p++) {
            unsigned char *v = &g->own[i][p];
            x = p / 3 % g->set.w;
            y = p / 3 / g->set.w;
            switch (disease) {
            case CGD_ALARM_INVERSION: *v = (unsigned char)(255 - *v); break;
            case CGD_ALARM_CHECKERBOARD:
                *v = (unsigned char)clamp(*v + ((x + y) % 2 ? 12.0 : -12.0));
                break;
            case CGD_ALARM_SATURATION:
                *v = (unsigned char)clamp(128 + 1.6 * (*v - 128.0));
                break;
            case CGD_ALARM_COLLAPSE:
                *v = g->own[i % 2][p];
                break;
            case CGD_ALARM_COLOUR:
                if (p % 3 == 0) *v = (unsigned char)clamp(*v * 0.6);
                break;
            }
        }
}

/* Every disease raises its own alarm, and health none. */
static void alarms_ring_for_their_disease(void)
{
    cgd_ctx ctx;
    int disease, k;
    cgd_init(&ctx, NULL);
    for (disease = HEALTHY; disease < CGD_ALARMS; disease++) {
        gallery input, output, truth, real;
        cgd_alarm alarms[CGD_ALARMS];
        gallery_scenes(&input, 24, 32, 0UL, 0);
        gallery_scenes(&output, 24, 32, 0UL, 0);
        gallery_scenes(&truth, 24, 32, 0UL, 0);
        gallery_scenes(&real, 40, 32, 200UL, 0);
        make_ill(&output, disease);
        for (k = 0; k < 2; k++) {
            CHECK(cgd_alarms(&ctx, alarms, &output.set, &input.set,
                             k ? &truth.set : NULL, k ? NULL : &real.set)
                  == CGD_OK);
            if (disease != HEALTHY) CHECK(alarms[disease].fired);
            if (disease == HEALTHY || disease == CGD_ALARM_CHECKERBOARD) {
                int i, fired = 0;
                for (i = 0; i < CGD_ALARMS; i++) {
                    CHECK(alarms[i].known && strlen(alarms[i].sentence) > 40);
                    fired += alarms[i].fired;
                }
                CHECK(fired == (disease != HEALTHY));
            }
        }
        gallery_free(&input);
        gallery_free(&output);
        gallery_free(&truth);
        gallery_free(&real);
    }
    cgd_free(&ctx);
}

/* Day to dusk is a translation as it should be: no alarm, although the dusk
 * paintings are full of strokes of period 4. */
static void alarms_know_a_good_translation(void)
{
    cgd_ctx ctx;
    gallery input, output, real;
    cgd_alarm alarms[CGD_ALARMS];
    int k;
    cgd_init(&ctx, NULL);
    gallery_scenes(&input, 24, 64, 0UL, 0);
    gallery_scenes(&output, 24, 64, 0UL, 1);
    gallery_scenes(&real, 30, 64, 200UL, 1);
    CHECK(cgd_alarms(&ctx, alarms, &output.set, &input.set, &output.set,
                     &real.set) == CGD_OK);
    for (k = 0; k < CGD_ALARMS; k++)
        CHECK(alarms[k].known && !alarms[k].fired);
    gallery_free(&input);
    gallery_free(&output);
    gallery_free(&real);
    cgd_free(&ctx);
}

/* Columns of period 4 are found, columns of period 5 are not a net's. */
static void checkerboards_are_those_of_the_strides(void)
{
    cgd_ctx ctx;
    size_t i, p, period;
    cgd_init(&ctx, NULL);
    for (period = 2; period < 6; period++) {
        gallery output, real;
        cgd_alarm alarms[CGD_ALARMS];
        gallery_scenes(&output, 12, 64, 0UL, 0);
        gallery_scenes(&real, 20, 64, 200UL, 0);
        for (i = 0; i < output.set.count; i++)
            for (p = 0; p < 64 * 64 * 3; p++)
                output.own[i][p] = (unsigned char)clamp(output.own[i][p]
                    + (p / 3 % 64 % period == 1 ? 16.0 : 0.0));
        CHECK(cgd_alarms(&ctx, alarms, &output.set, NULL, NULL, &real.set)
              == CGD_OK);
        CHECK(alarms[CGD_ALARM_CHECKERBOARD].fired ==
              (period == 2 || period == 4));
        gallery_free(&output);
        gallery_free(&real);
    }
    cgd_free(&ctx);
}

static void alarms_say_what_they_lack(void)
{
    cgd_ctx ctx;
    gallery a, b;
    cgd_alarm alarms[CGD_ALARMS];
    int k;
    cgd_init(&ctx, NULL);
    gallery_patterns(&a, 3, 16, 16, 3, 1UL, 0);
    gallery_patterns(&b, 2, 17, 16, 3, 9UL, 0);
    CHECK(cgd_alarms(&ctx, alarms, &a.set, NULL, NULL, NULL) == CGD_OK);
    for (k = 0; k < CGD_ALARMS; k++) {
        CHECK(!alarms[k].known && !alarms[k].fired);
        CHECK(strncmp(alarms[k].sentence, "Not judged", 10) == 0);
    }
    CHECK(cgd_alarms(&ctx, alarms, &a.set, &b.set, NULL, NULL)
          == CGD_ERR_SHAPE);
    b.set.w = 16;
    CHECK(cgd_alarms(&ctx, alarms, &a.set, &b.set, NULL, NULL)
          == CGD_ERR_SHAPE);
    CHECK(cgd_alarms(&ctx, alarms, &a.set, NULL, NULL, &b.set) == CGD_OK);
    CHECK(!alarms[CGD_ALARM_INVERSION].known);
    CHECK(alarms[CGD_ALARM_COLLAPSE].known);
    gallery_free(&a);
    gallery_free(&b);
    cgd_free(&ctx);
}

/* ---- failing allocations ------------------------------------------------- */

typedef struct meter { long left, held; } meter;

static void *metered(void *user, size_t bytes)
{
    meter *m = (meter *)user;
    if (m->left-- <= 0) return NULL;
    m->held++;
    return malloc(bytes);
}

static void unmetered(void *user, void *ptr, size_t bytes)
{
    (void)bytes;
    ((meter *)user)->held--;
    free(ptr);
}

/* Allocation 1, 2, 3 ... fails: an error each time, and nothing is kept. */
static void failing_memory_is_an_error_and_no_leak(void)
{
    gallery a, b;
    cgd_bootstrap few = draws(5, 1UL);
    long allowed;
    int which, done;
    gallery_scenes(&a, 7, 16, 0UL, 1);
    gallery_scenes(&b, 8, 16, 50UL, 1);
    for (which = 0; which < 3; which++)
        for (allowed = 0, done = 0; !done && allowed < 200; allowed++) {
            cgd_ctx ctx;
            cgd_options options;
            cgd_distances d;
            cgd_alarm alarms[CGD_ALARMS];
            cgd_status status;
            meter m;
            memset(&options, 0, sizeof options);
            options.threads = 1;
            options.allocator.alloc = metered;
            options.allocator.release = unmetered;
            options.allocator.user = &m;
            m.left = allowed;
            m.held = 0;
            cgd_init(&ctx, &options);
            status = which == 0
                ? cgd_distance(&ctx, &d, &a.set, &b.set, &few)
                : which == 1 ? cgd_distance_floor(&ctx, &d, &b.set, 7, &few)
                : cgd_alarms(&ctx, alarms, &a.set, NULL, NULL, &b.set);
            CHECK(status == CGD_OK || status == CGD_ERR_MEMORY);
            CHECK(m.held == 0);
            if (status == CGD_OK) done = 1;
            if (allowed == 0) CHECK(status == CGD_ERR_MEMORY);
            cgd_free(&ctx);
        }
    CHECK(done);
    gallery_free(&a);
    gallery_free(&b);
}

int main(void)
{
    RUN(psnr_and_ssim_are_those_of_scikit_image);
    RUN(equal_pictures_have_99_db_and_ssim_1);
    RUN(too_small_a_picture_or_memory_gives_minus_2);
    RUN(ms_ssim_and_l1_are_those_of_numpy);
    RUN(the_bootstrap_of_a_mean_is_that_of_numpy);
    RUN(kid_density_and_coverage_are_those_of_numpy);
    RUN(features_are_those_of_torch);
    RUN(swd_is_that_of_scipy);
    RUN(distances_tell_kinds_apart);
    RUN(distances_do_not_depend_on_threads);
    RUN(too_few_pictures_leave_figures_out);
    RUN(alarms_ring_for_their_disease);
    RUN(alarms_know_a_good_translation);
    RUN(checkerboards_are_those_of_the_strides);
    RUN(alarms_say_what_they_lack);
    RUN(failing_memory_is_an_error_and_no_leak);
    return test_end();
}
