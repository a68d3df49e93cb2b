/* cgd_judge.h - how good is a translation? For cycle_gan_distil.h
 *
 * Compares pictures pair by pair, sets of pictures with sets, and raises
 * alarms about what commonly goes wrong. Deterministic: everything random
 * comes from seeds, and nothing depends on the number of threads.
 *
 * Quick start: in one source file
 *
 *     #define CGD_IMPLEMENTATION
 *     #define CGD_JUDGE_IMPLEMENTATION
 *     #include "tools/cgd_judge.h"
 *
 *     double psnr = cgd_psnr(a, b, width, height, 3);
 *     double ssim = cgd_ssim(&ctx, a, b, width, height, 3);
 *
 * and everywhere else only the last line. It includes cycle_gan_distil.h,
 * whose public interface it uses and whose macros (CGD_STATIC, CGDDEF) hold
 * here too; it needs training in it (no CGD_NO_TRAIN).
 *
 * Contents
 *
 *   [api:judge]     pairs, sets, alarms
 *   [impl:pairs]    metrics of pairs
 *   [impl:sets]     distances between sets of pictures
 *   [impl:alarms]   diseases of translations
 */
#ifndef CGD_JUDGE_H
#define CGD_JUDGE_H

#include "../cycle_gan_distil.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ======================================================================== */
/* [api:judge] Judging                                                      */
/* ======================================================================== */

/* Pairs of pictures, bytes (h, w, c), data range 255. PSNR in dB (99 where
 * equal); L1, the mean absolute difference, in grey levels; SSIM with the
 * 11x11 Gaussian window of Wang et al. 2004, mean over pixels and channels,
 * windows inside the picture only (needs 11 pixels a side; smaller pictures
 * give -2, and so does a lack of memory). MS-SSIM (Wang et al. 2003) judges
 * five sizes, each half the one before; of a picture with a side of 160
 * pixels or less only those that SSIM can judge (three at 64), with the
 * paper's weights made to sum to 1 again. */
CGDDEF double cgd_psnr(const unsigned char *a, const unsigned char *b,
                       size_t w, size_t h, size_t c);
CGDDEF double cgd_l1(const unsigned char *a, const unsigned char *b, size_t w,
                     size_t h, size_t c);
CGDDEF double cgd_ssim(cgd_ctx *ctx, const unsigned char *a,
                       const unsigned char *b, size_t w, size_t h, size_t c);
CGDDEF double cgd_ms_ssim(cgd_ctx *ctx, const unsigned char *a,
                          const unsigned char *b, size_t w, size_t h,
                          size_t c);

/* Pictures of one size, bytes (h, w, c) each; they stay the caller's. Up to
 * 30,000 of up to 16 channels. Errors of all functions that take sets:
 * CGD_ERR_SHAPE where they do not go together, CGD_ERR_MEMORY. */
typedef struct cgd_set {
    const unsigned char *const *pictures;
    size_t count, w, h, c;
} cgd_set;

/* A figure and its 95 % interval by bootstrap (Efron 1979): the pictures are
 * drawn anew with replacement, `replicates` times, and the figure computed
 * from each draw. Drawing with replacement by itself moves sets apart, so the
 * interval is the middle 95 % of the replicates moved until their mean is the
 * value. known = 0: there are too few pictures for it, or they are too small;
 * the rest is then 0. Everything random here comes from the seed, and nothing
 * depends on the number of threads. */
typedef struct cgd_bootstrap { size_t replicates; cgd_u32 seed; }
    cgd_bootstrap;
typedef struct cgd_estimate { int known; double value, low, high; }
    cgd_estimate;

CGDDEF cgd_bootstrap cgd_bootstrap_defaults(void);    /* 200, seed 1         */
/* The mean of a figure that each picture has by itself. */
CGDDEF cgd_status cgd_mean(cgd_ctx *ctx, cgd_estimate *mean,
                           const double *values, size_t n,
                           const cgd_bootstrap *bootstrap);

/* Sliced Wasserstein distance (Karras et al. 2018, "Progressive Growing of
 * GANs"), times 1000, mean over the levels of a Laplacian pyramid down to 16
 * pixels. From each level of each picture 128 random patches of 7 x 7 are cut;
 * each set's are standardised per channel; along each of 512 random
 * directions the two sets of projections are sorted and matched, and the mean
 * distance moved is averaged. Sees textures and edges of all sizes; is blind
 * to a shift of colours and to where things are. Compare only values with the
 * same numbers of pictures: few pictures are far apart by chance. Pictures
 * need 16 pixels a side, sets two pictures.
 * The draws: patch p of picture i at level l lies at x = below(w - 6), y =
 * below(h - 6) of the level, in the order p = 0, 1, ... from stream l * 2^20 +
 * i; directions are normal numbers, patch by patch in the order (y, x,
 * channel), from stream 2^32 - 1, made unit vectors. */
CGDDEF cgd_status cgd_swd(cgd_ctx *ctx, cgd_estimate *swd, const cgd_set *a,
                          const cgd_set *b, const cgd_bootstrap *bootstrap);

/* Features of pictures for KID, density and coverage: mean and deviation of
 * every channel in the four layers of a convolution net (3x3, stride 2, ReLU,
 * 16 to 128 wide) whose weights are what CGD_INIT_KAIMING draws from seed 2017.
 * Nothing was learnt: it sees colours and textures, not horses. features has
 * (set->count, CGD_FEATURES) values. Pictures need 16 pixels a side. */
enum { CGD_FEATURES = 480, CGD_NEIGHBOURS = 5 };
CGDDEF cgd_status cgd_features(cgd_ctx *ctx, float *features,
                               const cgd_set *set);

/* On any features, x (n, d) and y (m, d).
 * KID (Binkowski et al. 2018): the unbiased squared maximum mean discrepancy
 * under the kernel k(u, v) = (u.v / d + 1)^3,
 *   mean over i != j of k(x_i, x_j), the same of y, - 2 mean k(x_i, y_j);
 * 0 on average for two sets of one kind, so it may be negative. Needs two
 * pictures in each set.
 * Density and coverage (Naeem et al. 2020): around each real feature a ball
 * that reaches to its k-th neighbour. Density: how many balls hold a fake, on
 * average, divided by k; about 1 for sets of one kind, low for fakes that
 * look like nothing real. Coverage: the share of balls that hold a fake, low
 * where kinds of pictures are missing. Needs k + 1 real pictures. */
CGDDEF cgd_status cgd_kid(cgd_ctx *ctx, cgd_estimate *kid, const float *x,
                          size_t n, const float *y, size_t m, size_t d,
                          const cgd_bootstrap *bootstrap);
CGDDEF cgd_status cgd_density(cgd_ctx *ctx, cgd_estimate *density,
                              cgd_estimate *coverage, const float *real,
                              size_t n, const float *fake, size_t m, size_t d,
                              size_t k, const cgd_bootstrap *bootstrap);

/* All of them: a set against real pictures of the same size. The features are
 * first standardised by the real ones, and cut at 3 deviations.
 * cgd_distance_floor compares `count` random real pictures, at most half of
 * them, with the others: what a perfect set of that many would get. */
typedef struct cgd_distances {
    cgd_estimate swd, kid, density, coverage;
} cgd_distances;
CGDDEF cgd_status cgd_distance(cgd_ctx *ctx, cgd_distances *d,
                               const cgd_set *set, const cgd_set *real,
                               const cgd_bootstrap *bootstrap);
CGDDEF cgd_status cgd_distance_floor(cgd_ctx *ctx, cgd_distances *d,
                                     const cgd_set *real, size_t count,
                                     const cgd_bootstrap *bootstrap);

/* What goes wrong in translations, each with a limit:
 *   inversion     correlation with the input, of brightness or of a channel,
 *                 the lowest, mean over the pictures; fires below the limit,
 *                 -0.3, or where the truth is known its own correlation less
 *                 0.3 if that is lower
 *   checkerboard  energy at the periods of strided layers, 2 and 4 pixels, as
 *                 a multiple of the reference's; fires above 3 (and above a
 *                 deviation of half a grey level, which nobody sees)
 *   saturation    share of values within 1 of black or white, less that of
 *                 the reference; fires above 0.05
 *   collapse      distance from a picture to the one most like it (thumbnails
 *                 of 16 x 16), mean, as a multiple of the reference's; fires
 *                 below 0.4
 *   colour        the largest shift of a channel's mean, or change of its
 *                 deviation, in deviations of the reference; fires above 0.5
 * reference: real pictures of the target kind; NULL: the truth stands in.
 * input and truth (NULL: not known) go with output picture by picture. An
 * alarm without what it needs is not known. sentence says it in words. */
enum { CGD_ALARM_INVERSION = 0, CGD_ALARM_CHECKERBOARD, CGD_ALARM_SATURATION,
       CGD_ALARM_COLLAPSE, CGD_ALARM_COLOUR, CGD_ALARMS };
typedef struct cgd_alarm {
    const char *name;
    int known, fired;
    double value, limit;
    char sentence[240];
} cgd_alarm;
CGDDEF cgd_status cgd_alarms(cgd_ctx *ctx, cgd_alarm alarms[CGD_ALARMS],
                             const cgd_set *output, const cgd_set *input,
                             const cgd_set *truth, const cgd_set *reference);

#ifdef __cplusplus
}
#endif
#endif /* CGD_JUDGE_H */

/* ======================================================================== */
/*                              IMPLEMENTATION                              */
/* ======================================================================== */
#if defined(CGD_JUDGE_IMPLEMENTATION) && !defined(CGD__JUDGE_IMPLEMENTED)
#define CGD__JUDGE_IMPLEMENTED

#include <float.h>
#include <stdlib.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/* With GCC the innermost loops carry their own optimisation, and say that
 * their rounds are independent. */
#if defined(__GNUC__) && !defined(__clang__)
#define CGD__JUDGE_FAST __attribute__((optimize("O3", "no-trapping-math")))
#define CGD__JUDGE_EACH _Pragma("GCC ivdep")
#else
#define CGD__JUDGE_FAST
#define CGD__JUDGE_EACH
#endif
#define CGD__JUDGE_ALIGN ((size_t)64)            /* a cache line             */

static size_t cgd__least(size_t a, size_t b) { return a < b ? a : b; }
static size_t cgd__greatest(size_t a, size_t b) { return a > b ? a : b; }

/* Store a*b in *out and return 1, or return 0 if it does not fit. */
static int cgd__product(size_t *out, size_t a, size_t b)
{
    if (a != 0 && b > (size_t)-1 / a) return 0;
    *out = a * b;
    return 1;
}

/* ======================================================================== */
/* [impl:pairs] Metrics of pairs                                            */
/* ======================================================================== */
/* Compares pictures byte by byte, and window by window. */

/* Equal pictures have no error and an infinite ratio; 99 dB stands for it, so
 * that averages stay finite, and is the most anything gets. */
CGDDEF double cgd_psnr(const unsigned char *a, const unsigned char *b,
                       size_t w, size_t h, size_t c)
{
    size_t i, n = w * h * c;
    double sum = 0, ratio;
    for (i = 0; i < n; i++) {
        int d = (int)a[i] - (int)b[i];
        sum += (double)(d * d);
    }
    if (!(sum > 0)) return 99;
    ratio = 10 * cgd_log(255.0 * 255.0 * (double)n / sum) / cgd_log(10);
    return ratio < 99 ? ratio : 99;
}

CGDDEF double cgd_l1(const unsigned char *a, const unsigned char *b, size_t w,
                     size_t h, size_t c)
{
    size_t i, n = w * h * c;
    double sum = 0;
    for (i = 0; i < n; i++) sum += a[i] > b[i] ? a[i] - b[i] : b[i] - a[i];
    return n > 0 ? sum / (double)n : 0;
}

/* SSIM of Wang, Bovik, Sheikh & Simoncelli 2004, "Image Quality Assessment:
 * From Error Visibility to Structural Similarity": luminance times contrast,
 *
 *   (2 ma mb + C1) / (ma^2 + mb^2 + C1) * (2 cov + C2) / (va + vb + C2)
 *
 * with means, variances and covariance under a Gaussian window. Blurring the
 * four maps s = a + b, d = a - b, s^2 and d^2 is enough, since
 *   2 ma mb = (ms^2 - md^2)/2    ma^2 + mb^2 = (ms^2 + md^2)/2
 *   2 cov   = (vs - vd)/2        va + vb     = (vs + vd)/2
 * and the blur is separable: 11 rows blurred along x are kept in a ring.
 * Channels are judged one by one and averaged. */
#define CGD__SSIM_TAPS 11
#define CGD__SSIM_C1 ((0.01 * 255) * (0.01 * 255))
#define CGD__SSIM_C2 ((0.03 * 255) * (0.03 * 255))

typedef struct cgd__ssim {
    size_t w, h, n;                    /* of the planes; n windows in a row  */
    double window[CGD__SSIM_TAPS / 2 + 1];           /* from the middle out  */
    double *a, *b;                     /* (h, w): a channel of both pictures */
    double *row;                       /* (4, w): the maps of one row        */
    double *ring;                      /* (11, 4, n): rows blurred along x   */
    double *blurred;                   /* (4, n)                             */
    size_t count;                      /* of all these doubles               */
} cgd__ssim;

static void cgd__ssim_window(double *window)
{
    double sum = 0;
    int i;
    for (i = 0; i <= CGD__SSIM_TAPS / 2; i++) {
        window[i] = cgd_exp(-i * i / (2 * 1.5 * 1.5));
        sum += i ? 2 * window[i] : window[i];
    }
    for (i = 0; i <= CGD__SSIM_TAPS / 2; i++) window[i] /= sum;
}

/* Room to compare planes of up to w x h; 0 if there is none. */
static int cgd__ssim_open(cgd_ctx *ctx, cgd__ssim *s, size_t w, size_t h)
{
    size_t n;
    if (w < CGD__SSIM_TAPS || h < CGD__SSIM_TAPS) return 0;
    n = w - (CGD__SSIM_TAPS - 1);
    s->count = 2 * w * h + 4 * (w + (CGD__SSIM_TAPS + 1) * n);
    s->a = (double *)cgd_alloc(ctx, s->count, sizeof *s->a, "SSIM");
    if (!s->a) return 0;
    s->b = s->a + w * h;
    s->row = s->b + w * h;
    s->ring = s->row + 4 * w;
    s->blurred = s->ring + CGD__SSIM_TAPS * 4 * n;
    cgd__ssim_window(s->window);
    return 1;
}

static void cgd__ssim_close(cgd_ctx *ctx, cgd__ssim *s)
{
    cgd_release(ctx, s->a, s->count * sizeof *s->a);
}

/* Take channel k of both pictures. */
static void cgd__ssim_load(cgd__ssim *s, const unsigned char *a,
                           const unsigned char *b, size_t w, size_t h,
                           size_t c, size_t k)
{
    size_t i;
    s->w = w;
    s->h = h;
    for (i = 0; i < w * h; i++) {
        s->a[i] = a[i * c + k];
        s->b[i] = b[i * c + k];
    }
}

/* out[i] = sum_u window[|u - 5|] * in[u][i]; folded, the window being even. */
static void cgd__ssim_blur(double *out, size_t n, const double *window,
                           const double *const *in)
{
    const double *a = in[0], *b = in[1], *c = in[2], *d = in[3], *e = in[4];
    const double *m = in[5], *f = in[6], *g = in[7], *h = in[8], *j = in[9];
    const double *k = in[10];
    double w0 = window[0], w1 = window[1], w2 = window[2], w3 = window[3];
    double w4 = window[4], w5 = window[5];
    size_t i;
    for (i = 0; i < n; i++)
        out[i] = w0 * m[i] + w1 * (e[i] + f[i]) + w2 * (d[i] + g[i])
               + w3 * (c[i] + h[i]) + w4 * (b[i] + j[i]) + w5 * (a[i] + k[i]);
}

/* Row y of both planes enters the ring. */
static void cgd__ssim_enter(cgd__ssim *s, size_t y)
{
    const double *in[CGD__SSIM_TAPS];
    const double *a = s->a + y * s->w, *b = s->b + y * s->w;
    double *ring = s->ring + (y % CGD__SSIM_TAPS) * 4 * s->n;
    size_t i, map, u;
    for (i = 0; i < s->w; i++) {
        double sum = a[i] + b[i], difference = a[i] - b[i];
        s->row[i] = sum;
        s->row[s->w + i] = difference;
        s->row[2 * s->w + i] = sum * sum;
        s->row[3 * s->w + i] = difference * difference;
    }
    for (map = 0; map < 4; map++) {
        for (u = 0; u < CGD__SSIM_TAPS; u++)
            in[u] = s->row + map * s->w + u;
        cgd__ssim_blur(ring + map * s->n, s->n, s->window, in);
    }
}

/* Add SSIM, and contrast alone, of the row of windows whose last rows are y. */
static void cgd__ssim_row(cgd__ssim *s, size_t y, double *ssim,
                          double *contrast)
{
    const double *in[CGD__SSIM_TAPS];
    const double *ms = s->blurred, *md = ms + s->n, *ss = md + s->n;
    const double *dd = ss + s->n;
    size_t u, i;
    for (u = 0; u < CGD__SSIM_TAPS; u++)
        in[u] = s->ring + ((y + 1 + u) % CGD__SSIM_TAPS) * 4 * s->n;
    cgd__ssim_blur(s->blurred, 4 * s->n, s->window, in);
    for (i = 0; i < s->n; i++) {
        double s2 = ms[i] * ms[i], d2 = md[i] * md[i];
        double vs = ss[i] - s2, vd = dd[i] - d2;
        double cs = ((vs - vd) / 2 + CGD__SSIM_C2)
                  / ((vs + vd) / 2 + CGD__SSIM_C2);
        *contrast += cs;
        *ssim += cs * ((s2 - d2) / 2 + CGD__SSIM_C1)
                    / ((s2 + d2) / 2 + CGD__SSIM_C1);
    }
}

/* Means over the windows of the two planes. */
static void cgd__ssim_planes(cgd__ssim *s, double *ssim, double *contrast)
{
    double windows;
    size_t y;
    s->n = s->w - (CGD__SSIM_TAPS - 1);
    windows = (double)s->n * (double)(s->h - (CGD__SSIM_TAPS - 1));
    *ssim = *contrast = 0;
    for (y = 0; y < s->h; y++) {
        cgd__ssim_enter(s, y);
        if (y + 1 >= CGD__SSIM_TAPS) cgd__ssim_row(s, y, ssim, contrast);
    }
    *ssim /= windows;
    *contrast /= windows;
}

CGDDEF double cgd_ssim(cgd_ctx *ctx, const unsigned char *a,
                       const unsigned char *b, size_t w, size_t h, size_t c)
{
    cgd__ssim s;
    double sum = 0;
    size_t k;
    if (c == 0 || !cgd__ssim_open(ctx, &s, w, h)) return -2;
    for (k = 0; k < c; k++) {
        double ssim, contrast;
        cgd__ssim_load(&s, a, b, w, h, c, k);
        cgd__ssim_planes(&s, &ssim, &contrast);
        sum += ssim;
    }
    cgd__ssim_close(ctx, &s);
    return sum / (double)c;
}

/* Half the size, in place: means of 2 x 2, an odd edge being repeated. */
static void cgd__ssim_halve(double *plane, size_t w, size_t h)
{
    size_t x, y, i = 0;
    for (y = 0; y < h; y += 2)
        for (x = 0; x < w; x += 2) {
            const double *row = plane + y * w;
            const double *next = y + 1 < h ? row + w : row;
            size_t right = x + 1 < w ? x + 1 : x;
            plane[i++] = (row[x] + row[right] + next[x] + next[right]) / 4;
        }
}

/* Wang, Simoncelli & Bovik 2003, "Multiscale structural similarity for image
 * quality assessment": the product of the contrasts of the finer scales and
 * the SSIM of the coarsest, each to the power of its weight. */
#define CGD__MS_SCALES 5

static double cgd__ms_ssim_channel(cgd__ssim *s, size_t scales)
{
    static const double weights[CGD__MS_SCALES] =
        { 0.0448, 0.2856, 0.3001, 0.2363, 0.1333 };
    double total = 0, logs = 0;
    size_t i;
    for (i = 0; i < scales; i++) total += weights[i];
    for (i = 0; i < scales; i++) {
        double ssim, contrast, factor;
        cgd__ssim_planes(s, &ssim, &contrast);
        factor = i + 1 == scales ? ssim : contrast;
        if (!(factor > 0)) return 0;            /* nothing alike: no power   */
        logs += weights[i] / total * cgd_log(factor);
        cgd__ssim_halve(s->a, s->w, s->h);
        cgd__ssim_halve(s->b, s->w, s->h);
        s->w = (s->w + 1) / 2;
        s->h = (s->h + 1) / 2;
    }
    return cgd_exp(logs);
}

CGDDEF double cgd_ms_ssim(cgd_ctx *ctx, const unsigned char *a,
                          const unsigned char *b, size_t w, size_t h,
                          size_t c)
{
    cgd__ssim s;
    double sum = 0;
    size_t scales = 0, side = cgd__least(w, h), k;
    for (; scales < CGD__MS_SCALES && side >= CGD__SSIM_TAPS; scales++)
        side = (side + 1) / 2;
    if (c == 0 || !cgd__ssim_open(ctx, &s, w, h)) return -2;
    for (k = 0; k < c; k++) {
        cgd__ssim_load(&s, a, b, w, h, c, k);
        sum += cgd__ms_ssim_channel(&s, scales);
    }
    cgd__ssim_close(ctx, &s);
    return sum / (double)c;
}

/* ======================================================================== */
/* [impl:sets] Distances between sets of pictures                           */
/* ======================================================================== */
/* Owns the bootstrap, the sliced Wasserstein distance, the features and what
 * is computed from them. A figure is a function of how often each picture
 * counts: once each for its value, as drawn for a replicate. Sums are in
 * double, and in an order that does not depend on threads. */

#define CGD__SET_MOST     30000        /* pictures: all pairs must fit       */
#define CGD__SET_CHANNELS 16

/* ---- bootstrap -----------------------------------------------------------*/

/* The replicates of a figure of two sets, or of one (m = 0). */
typedef struct cgd__draws {
    size_t replicates, n, m;
    cgd_u32 *counts;               /* (replicates, n + m): how often drawn   */
    double *values;                /* (replicates)                           */
} cgd__draws;

CGDDEF cgd_bootstrap cgd_bootstrap_defaults(void)
{
    cgd_bootstrap b;
    b.replicates = 200;
    b.seed = 1;
    return b;
}

static void cgd__draws_free(cgd_ctx *ctx, cgd__draws *d)
{
    cgd_release(ctx, d->values, d->replicates * sizeof *d->values);
    cgd_release(ctx, d->counts,
                d->replicates * (d->n + d->m) * sizeof *d->counts);
    memset(d, 0, sizeof *d);
}

static cgd_status cgd__draws_init(cgd_ctx *ctx, cgd__draws *d, size_t n,
                                  size_t m, const cgd_bootstrap *bootstrap)
{
    size_t r, i, total;
    memset(d, 0, sizeof *d);
    d->n = n;
    d->m = m;
    d->replicates = bootstrap->replicates;
    if (n > CGD__SET_MOST || m > CGD__SET_MOST
        || !cgd__product(&total, d->replicates, n + m))
        return cgd_fail(ctx, CGD_ERR_SHAPE, "%u pictures, %u times, are too "
                        "many to compare", cgd__greatest(n, m), d->replicates);
    if (total == 0) return CGD_OK;
    d->values = (double *)cgd_alloc(ctx, d->replicates,
                                            sizeof *d->values, "a bootstrap");
    d->counts = (cgd_u32 *)cgd_alloc(ctx, total, sizeof *d->counts,
                                             "a bootstrap");
    if (!d->values || !d->counts) {
        cgd__draws_free(ctx, d);
        return CGD_ERR_MEMORY;
    }
    for (r = 0; r < d->replicates; r++) {
        cgd_u32 *counts = d->counts + r * (n + m);
        cgd_rng rng;
        cgd_rng_seed(&rng, bootstrap->seed, (cgd_u32)r);
        for (i = 0; i < n; i++) counts[cgd_rng_below(&rng, (cgd_u32)n)]++;
        for (i = 0; i < m; i++) counts[n + cgd_rng_below(&rng, (cgd_u32)m)]++;
    }
    return CGD_OK;
}

static int cgd__double_order(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* Value and interval; the replicates are sorted by it. */
static void cgd__draws_end(cgd_estimate *e, double value, cgd__draws *d)
{
    size_t cut = d->replicates / 40, i;
    double mean = 0;
    e->known = 1;
    e->value = e->low = e->high = value;
    if (d->replicates == 0) return;
    for (i = 0; i < d->replicates; i++) mean += d->values[i];
    mean /= (double)d->replicates;
    qsort(d->values, d->replicates, sizeof *d->values, cgd__double_order);
    e->low += d->values[cut] - mean;
    e->high += d->values[d->replicates - 1 - cut] - mean;
}

CGDDEF cgd_status cgd_mean(cgd_ctx *ctx, cgd_estimate *mean,
                           const double *values, size_t n,
                           const cgd_bootstrap *bootstrap)
{
    cgd__draws draws;
    cgd_status status;
    double sum = 0;
    size_t r, i;
    memset(mean, 0, sizeof *mean);
    if (n == 0) return CGD_OK;
    status = cgd__draws_init(ctx, &draws, n, 0, bootstrap);
    if (status != CGD_OK) return status;
    for (i = 0; i < n; i++) sum += values[i];
    for (r = 0; r < draws.replicates; r++) {
        for (i = 0; i < n; i++)
            draws.values[r] += draws.counts[r * n + i] * values[i];
        draws.values[r] /= (double)n;
    }
    cgd__draws_end(mean, sum / (double)n, &draws);
    cgd__draws_free(ctx, &draws);
    return CGD_OK;
}

/* ---- pyramids ------------------------------------------------------------*/

/* Index i of a row of n values, mirrored at the ends, which stay single. */
static size_t cgd__mirror(size_t i, int step, size_t n)
{
    size_t at = step < 0 ? i < (size_t)-step ? (size_t)-step - i
                                             : i - (size_t)-step
                         : i + (size_t)step;
    return at < n ? at : 2 * (n - 1) - at;
}

/* One axis of a separable filter with five symmetric taps (the middle one,
 * its neighbours, the ends): every `stride`-th of n vectors of `inner` values,
 * `outer` times. Needs n > 2. */
static void cgd__filter5(float *out, const float *in, size_t outer, size_t n,
                         size_t inner, size_t stride, const float *taps)
{
    size_t o, i, k;
    for (o = 0; o < outer; o++, in += n * inner)
        for (i = 0; i < n; i += stride, out += inner) {
            const float *m = in + i * inner;
            const float *l1 = in + cgd__mirror(i, -1, n) * inner;
            const float *r1 = in + cgd__mirror(i, 1, n) * inner;
            const float *l2 = in + cgd__mirror(i, -2, n) * inner;
            const float *r2 = in + cgd__mirror(i, 2, n) * inner;
            for (k = 0; k < inner; k++)
                out[k] = taps[0] * m[k] + taps[1] * (l1[k] + r1[k])
                       + taps[2] * (l2[k] + r2[k]);
        }
}

/* Both axes; scratch has room for the picture. */
static void cgd__blur5(float *out, float *scratch, const float *in, size_t w,
                       size_t h, size_t c, size_t stride, const float *taps)
{
    size_t small = (w + stride - 1) / stride;
    cgd__filter5(scratch, in, h, w, c, stride, taps);
    cgd__filter5(out, scratch, 1, h, small * c, stride, taps);
}

static const float cgd__binomial[3] = { 0.375f, 0.25f, 0.0625f };

/* picture -= the smaller level, zeros put between its pixels and blurred to
 * four times their sum: what a Laplacian pyramid keeps of a level. */
static void cgd__take_detail(float *picture, const float *small,
                             float *scratch, size_t w, size_t h, size_t c)
{
    size_t x, y, k, n = w * h * c, small_w = (w + 1) / 2;
    float *spread = scratch, *rows = scratch + n, *blurred = scratch + 2 * n;
    memset(spread, 0, n * sizeof *spread);
    for (y = 0; y < h; y += 2)
        for (x = 0; x < w; x += 2)
            for (k = 0; k < c; k++)
                spread[(y * w + x) * c + k] =
                    4 * small[(y / 2 * small_w + x / 2) * c + k];
    cgd__blur5(blurred, rows, spread, w, h, c, 1, cgd__binomial);
    for (k = 0; k < n; k++) picture[k] -= blurred[k];
}

/* ---- sliced Wasserstein distance -----------------------------------------*/

#define CGD__SWD_SIDE 16               /* of the coarsest level, at least    */
#define CGD__SWD_PATCH 7
#define CGD__SWD_PER_PICTURE 128
#define CGD__SWD_DIRECTIONS 512
#define CGD__SWD_AT_ONCE 16            /* directions                         */
#define CGD__SWD_RESAMPLED 64          /* directions that replicates use     */
#define CGD__SWD_LANES 16

/* A projection and the picture it comes from. The key sorts as the float. */
typedef struct cgd__ranked { cgd_u32 key, picture; } cgd__ranked;

typedef struct cgd__swd {
    const cgd_set *sets[2];
    size_t level, last;                /* levels 0 .. last; this one         */
    size_t length;                     /* of a patch: 49 c                   */
    cgd_u32 seed;
    float *scratch;                    /* (lanes, 5 w h c)                   */
    size_t lanes;
    float *patches[2];                 /* (count * 128, length)              */
    double *sums[2];                   /* (count, 2 c): sums and squares     */
    double *norms[2];                  /* (2 c): means and 1/deviations      */
    float *directions;                 /* (512, length)                      */
    cgd_net net;                       /* that projects on those in turn     */
    float *projected[2];               /* (count * 128, 16)                  */
    size_t first;                      /* direction of the chunk             */
    size_t total;                      /* patches of both sets               */
    cgd__ranked *ranked;               /* (16, 2 total): half of it spare    */
    cgd__draws *draws;
    size_t width;                      /* 1 + replicates                     */
    double *shares;                    /* (pictures of both sets, width)     */
    double *moved;                     /* (16, 2 width): half of it scratch  */
    int which;                         /* set that patches are cut from      */
} cgd__swd;

/* Put one level of a picture's pyramid at the beginning of the lane's
 * scratch. */
static void cgd__swd_level(const cgd__swd *q, const unsigned char *bytes,
                           float *lane, size_t *level_w, size_t *level_h)
{
    const cgd_set *set = q->sets[0];
    size_t w = set->w, h = set->h, c = set->c, n = w * h * c, i;
    float *small = lane + n, *scratch = lane + 2 * n;
    for (i = 0; i < n; i++) lane[i] = bytes[i];
    for (i = 0; ; i++) {
        if (i < q->last)
            cgd__blur5(small, scratch, lane, w, h, c, 2, cgd__binomial);
        if (i == q->level) break;
        w = (w + 1) / 2;
        h = (h + 1) / 2;
        memcpy(lane, small, w * h * c * sizeof *lane);
    }
    if (q->level < q->last) cgd__take_detail(lane, small, scratch, w, h, c);
    *level_w = w;
    *level_h = h;
}

/* Cut the patches of a lane's pictures, and add up their channels. */
static void cgd__swd_cut(void *job, size_t lane_index)
{
    cgd__swd *q = (cgd__swd *)job;
    const cgd_set *set = q->sets[q->which];
    size_t c = set->c, row = CGD__SWD_PATCH * c, i, p, y, k, w, h;
    float *lane = q->scratch + lane_index * 5 * set->w * set->h * c;
    for (i = lane_index; i < set->count; i += q->lanes) {
        float *patch = q->patches[q->which]
                     + i * CGD__SWD_PER_PICTURE * q->length;
        double *sums = q->sums[q->which] + i * 2 * c;
        cgd_rng rng;
        cgd__swd_level(q, set->pictures[i], lane, &w, &h);
        cgd_rng_seed(&rng, q->seed, (cgd_u32)((q->level << 20) + i));
        for (k = 0; k < 2 * c; k++) sums[k] = 0;
        for (p = 0; p < CGD__SWD_PER_PICTURE; p++) {
            size_t x0 = cgd_rng_below(&rng, (cgd_u32)(w - CGD__SWD_PATCH + 1));
            size_t y0 = cgd_rng_below(&rng, (cgd_u32)(h - CGD__SWD_PATCH + 1));
            for (y = 0; y < CGD__SWD_PATCH; y++, patch += row)
                for (k = 0; k < row; k++) {
                    float v = lane[((y0 + y) * w + x0) * c + k];
                    patch[k] = v;
                    sums[k % c] += (double)v;
                    sums[c + k % c] += (double)v * (double)v;
                }
        }
    }
}

/* Mean and 1/deviation of each channel of a set's patches. A set without any
 * deviation becomes zeros. */
static void cgd__swd_norms(cgd__swd *q, int which)
{
    const cgd_set *set = q->sets[which];
    double n = (double)(set->count * CGD__SWD_PER_PICTURE
                        * CGD__SWD_PATCH * CGD__SWD_PATCH);
    double *norms = q->norms[which];
    size_t c = set->c, i, k;
    for (k = 0; k < 2 * c; k++) norms[k] = 0;
    for (i = 0; i < set->count; i++)
        for (k = 0; k < 2 * c; k++) norms[k] += q->sums[which][i * 2 * c + k];
    for (k = 0; k < c; k++) {
        double mean = norms[k] / n, var = norms[c + k] / n - mean * mean;
        norms[k] = mean;
        norms[c + k] = var > 1e-12 * mean * mean && var > 1e-12
                     ? 1 / cgd_sqrt(var) : 0;
    }
}

static void cgd__swd_standardise(void *job, size_t picture)
{
    cgd__swd *q = (cgd__swd *)job;
    size_t n = CGD__SWD_PER_PICTURE * q->length, c = q->sets[0]->c, i;
    float *patches = q->patches[q->which] + picture * n;
    const double *norms = q->norms[q->which];
    for (i = 0; i < n; i++)
        patches[i] = (float)(((double)patches[i] - norms[i % c])
                             * norms[c + i % c]);
}

/* Unit vectors, and 16 of them side by side for the convolution. */
static void cgd__swd_directions(cgd__swd *q)
{
    cgd_rng rng;
    size_t i, k;
    cgd_rng_seed(&rng, q->seed, 0xffffffffU);
    for (i = 0; i < CGD__SWD_DIRECTIONS; i++) {
        float *v = q->directions + i * q->length;
        double square = 0, scale;
        for (k = 0; k < q->length; k++) {
            double x = cgd_rng_normal(&rng);
            v[k] = (float)x;
            square += x * x;
        }
        scale = 1 / cgd_sqrt(square);
        for (k = 0; k < q->length; k++) v[k] = (float)((double)v[k] * scale);
    }
}

/* A net of one 1 x 1 convolution, which projects on 16 directions at once. */
static cgd_status cgd__swd_net(cgd_ctx *ctx, cgd_net *net, size_t length)
{
    cgd_layer layer;
    memset(&layer, 0, sizeof layer);
    layer.kind = CGD_CONV;
    layer.window.kernel = layer.window.stride = 1;
    layer.in_c = length;
    layer.out_c = CGD__SWD_AT_ONCE;
    return cgd_net_init(ctx, net, &layer, 1);
}

/* Project a set's patches on the 16 directions from q->first. */
static cgd_status cgd__swd_project(cgd__swd *q, int which)
{
    cgd_tensor x = cgd_tensor_view(q->sets[which]->count, 8,
                                   CGD__SWD_PER_PICTURE / 8, q->length,
                                   q->patches[which]);
    float *weights = q->net.params + q->net.layers[0].w;
    cgd_pass pass;
    cgd_status status;
    size_t i, k;
    for (i = 0; i < CGD__SWD_AT_ONCE; i++)
        for (k = 0; k < q->length; k++)
            weights[k * CGD__SWD_AT_ONCE + i] =
                q->directions[(q->first + i) * q->length + k];
    status = cgd_pass_init(&pass, &q->net, x.n, x.h, x.w, CGD_INFER, NULL, 0,
                           NULL);
    if (status != CGD_OK) return status;
    status = cgd_pass_forward(&pass, &x);
    if (status == CGD_OK)
        memcpy(q->projected[which], pass.y.data,
               cgd_tensor_size(&pass.y) * sizeof(float));
    cgd_pass_free(&pass);
    return status;
}

/* Floats as integers of the same order: negative ones bit by bit reversed. */
static cgd_u32 cgd__key_of(float v)
{
    cgd_u32 bits;
    memcpy(&bits, &v, sizeof bits);
    return bits & 0x80000000U ? ~bits : bits | 0x80000000U;
}

static double cgd__key_value(cgd_u32 key)
{
    cgd_u32 bits = key & 0x80000000U ? key & 0x7fffffffU : ~key;
    float v;
    memcpy(&v, &bits, sizeof v);
    return (double)v;
}

/* Radix sort by key, eight bits at a time; four rounds end where they began. */
static void cgd__rank(cgd__ranked *v, cgd__ranked *spare, size_t n)
{
    int shift;
    for (shift = 0; shift < 32; shift += 8) {
        size_t at[256], i, sum = 0;
        cgd__ranked *other = spare;
        memset(at, 0, sizeof at);
        for (i = 0; i < n; i++) at[v[i].key >> shift & 255]++;
        for (i = 0; i < 256; i++) {
            size_t here = at[i];
            at[i] = sum;
            sum += here;
        }
        for (i = 0; i < n; i++) spare[at[v[i].key >> shift & 255]++] = v[i];
        spare = v;
        v = other;
    }
}

/* The Wasserstein distance on a line is the area between the two cumulative
 * distributions: go through the values of both sets in order, and add the gap
 * to the next one times what of a's weight is ahead of b's. Each picture has
 * `width` weights, negative ones in b; all of the first `count` are worked on
 * at once. */
static CGD__JUDGE_FAST void cgd__transport(double *sums, double *ahead,
                                          const cgd__ranked *v, size_t n,
                                          const double *weights, size_t width,
                                          size_t count)
{
    size_t i, r;
    for (r = 0; r < count; r++) sums[r] = ahead[r] = 0;
    for (i = 0; i + 1 < n; i++) {
        const double *w = weights + v[i].picture * width;
        double gap = cgd__key_value(v[i + 1].key) - cgd__key_value(v[i].key);
        CGD__JUDGE_EACH
        for (r = 0; r < count; r++) {
            double d = ahead[r] + w[r];
            ahead[r] = d;
            sums[r] += (d < 0 ? -d : d) * gap;
        }
    }
}

/* One direction: sort both sets' projections together, and measure. */
static void cgd__swd_match(void *job, size_t d)
{
    cgd__swd *q = (cgd__swd *)job;
    cgd__ranked *v = q->ranked + d * 2 * q->total;
    double *moved = q->moved + d * 2 * q->width;
    size_t n, i, at = 0, picture = 0;
    int which;
    for (which = 0; which < 2; which++) {
        n = q->sets[which]->count * CGD__SWD_PER_PICTURE;
        for (i = 0; i < n; i++, at++) {
            v[at].key =
                cgd__key_of(q->projected[which][i * CGD__SWD_AT_ONCE + d]);
            v[at].picture = (cgd_u32)(picture + i / CGD__SWD_PER_PICTURE);
        }
        picture += q->sets[which]->count;
    }
    cgd__rank(v, v + q->total, q->total);
    cgd__transport(moved, moved + q->width, v, q->total, q->shares, q->width,
                   q->first + d < CGD__SWD_RESAMPLED ? q->width : 1);
}

/* How much of its set each picture's patches are, for the value and for each
 * replicate: whole numbers, so that equal sets are exactly 0 apart. The sum
 * of a set is n m; run_level divides by that. */
static void cgd__swd_shares(cgd__swd *q)
{
    const cgd__draws *draws = q->draws;
    size_t pictures = draws->n + draws->m, i, r;
    for (i = 0; i < pictures; i++) {
        double share = i < draws->n ? (double)draws->m : -(double)draws->n;
        q->shares[i * q->width] = share;
        for (r = 0; r < draws->replicates; r++)
            q->shares[i * q->width + 1 + r] =
                share * draws->counts[r * pictures + i];
    }
}

/* Add a level's distance to *sum, and its replicates' to theirs. */
static cgd_status cgd__swd_run_level(cgd_ctx *ctx, cgd__swd *q, double *sum)
{
    cgd__draws *draws = q->draws;
    double scale = 1000 / ((double)(q->last + 1) * (double)draws->n
                           * (double)draws->m * CGD__SWD_PER_PICTURE);
    cgd_status status = CGD_OK;
    size_t d, r;
    for (q->which = 0; q->which < 2; q->which++) {
        cgd_parallel_for(ctx, q->lanes, cgd__swd_cut, q);
        cgd__swd_norms(q, q->which);
        cgd_parallel_for(ctx, q->sets[q->which]->count, cgd__swd_standardise,
                         q);
    }
    for (q->first = 0; q->first < CGD__SWD_DIRECTIONS && status == CGD_OK;
         q->first += CGD__SWD_AT_ONCE) {
        status = cgd__swd_project(q, 0);
        if (status == CGD_OK) status = cgd__swd_project(q, 1);
        if (status != CGD_OK) break;
        cgd_parallel_for(ctx, CGD__SWD_AT_ONCE, cgd__swd_match, q);
        for (d = 0; d < CGD__SWD_AT_ONCE; d++) {
            const double *moved = q->moved + d * 2 * q->width;
            *sum += scale / CGD__SWD_DIRECTIONS * moved[0];
            if (q->first >= CGD__SWD_RESAMPLED) continue;
            for (r = 0; r < draws->replicates; r++)
                draws->values[r] += scale / CGD__SWD_RESAMPLED * moved[1 + r];
        }
    }
    return status;
}

/* All the room that a comparison needs, in one block: called with base NULL
 * it only counts. */
static int cgd__swd_layout(cgd__swd *q, unsigned char *base, size_t *bytes)
{
    size_t at = 0, n, i, c = q->sets[0]->c, part[13];
    size_t pixels = q->sets[0]->w * q->sets[0]->h * c;
    int which, parts = 0, good;
    good = cgd__product(&part[parts++], q->sets[0]->count + q->sets[1]->count,
                        q->width * sizeof(double));
    good = good && cgd__product(&part[parts++], pixels,
                                q->lanes * 5 * sizeof(float));
    part[parts++] = CGD__SWD_DIRECTIONS * q->length * sizeof(float);
    part[parts++] = CGD__SWD_AT_ONCE * 2 * q->width * sizeof(double);
    q->total = 0;
    for (which = 0; which < 2; which++) {
        n = q->sets[which]->count * CGD__SWD_PER_PICTURE;
        q->total += n;
        good = good && cgd__product(&part[parts++], n,
                                    q->length * sizeof(float));
        part[parts++] = n * CGD__SWD_AT_ONCE * sizeof(float);
        part[parts++] = q->sets[which]->count * 2 * c * sizeof(double);
        part[parts++] = 2 * c * sizeof(double);
    }
    good = good && cgd__product(&part[parts++], q->total,
                                CGD__SWD_AT_ONCE * 2 * sizeof(cgd__ranked));
    for (i = 0; good && i < (size_t)parts; i++) {
        size_t size = part[i];
        part[i] = at;
        good = size < (size_t)-1 - at - CGD__JUDGE_ALIGN;
        at += size + CGD__JUDGE_ALIGN;
        at -= at % CGD__JUDGE_ALIGN;
    }
    *bytes = at;
    if (!good || !base) return good;
    q->shares = (double *)(void *)(base + part[0]);
    q->scratch = (float *)(void *)(base + part[1]);
    q->directions = (float *)(void *)(base + part[2]);
    q->moved = (double *)(void *)(base + part[3]);
    for (which = 0; which < 2; which++) {
        const size_t *own = part + 4 + 4 * which;
        q->patches[which] = (float *)(void *)(base + own[0]);
        q->projected[which] = (float *)(void *)(base + own[1]);
        q->sums[which] = (double *)(void *)(base + own[2]);
        q->norms[which] = (double *)(void *)(base + own[3]);
    }
    q->ranked = (cgd__ranked *)(void *)(base + part[12]);
    return 1;
}

static cgd_status cgd__check_set(cgd_ctx *ctx, const cgd_set *set)
{
    if (set->w < 1 || set->h < 1 || set->w > 65536 || set->h > 65536
        || set->c < 1 || set->c > CGD__SET_CHANNELS
        || set->count > CGD__SET_MOST)
        return cgd_fail(ctx, CGD_ERR_SHAPE, "%u pictures of %u x %u pixels "
            "and %u channels cannot be compared: at most %u of up to 65536 x "
            "65536 and %u", set->count, set->w, set->h, set->c,
            (size_t)CGD__SET_MOST, (size_t)CGD__SET_CHANNELS);
    return CGD_OK;
}

/* Two sets that can be compared: of one size. */
static cgd_status cgd__check_sets(cgd_ctx *ctx, const cgd_set *a,
                                  const cgd_set *b)
{
    cgd_status status = cgd__check_set(ctx, a);
    if (status == CGD_OK) status = cgd__check_set(ctx, b);
    if (status == CGD_OK && (a->w != b->w || a->h != b->h || a->c != b->c))
        return cgd_fail(ctx, CGD_ERR_SHAPE, "sets of different pictures "
            "cannot be compared: one has %u x %u pixels and %u channels, the "
            "other %u x %u and %u", a->w, a->h, a->c, b->w, b->h, b->c);
    return status;
}

/* Large enough for a pyramid, and for the features' four layers? */
static int cgd__large_enough(const cgd_set *set)
{
    return cgd__least(set->w, set->h) >= CGD__SWD_SIDE;
}

CGDDEF cgd_status cgd_swd(cgd_ctx *ctx, cgd_estimate *swd, const cgd_set *a,
                          const cgd_set *b, const cgd_bootstrap *bootstrap)
{
    cgd__swd q;
    cgd__draws draws;
    unsigned char *block = NULL;
    size_t bytes = 0, side;
    double sum = 0;
    cgd_status status = cgd__check_sets(ctx, a, b);
    memset(swd, 0, sizeof *swd);
    if (status != CGD_OK) return status;
    if (!cgd__large_enough(a) || a->count < 2 || b->count < 2) return CGD_OK;
    memset(&q, 0, sizeof q);
    q.sets[0] = a;
    q.sets[1] = b;
    q.seed = bootstrap->seed;
    q.length = CGD__SWD_PATCH * CGD__SWD_PATCH * a->c;
    q.lanes = cgd__least(CGD__SWD_LANES, cgd__greatest(a->count, b->count));
    side = cgd__least(a->w, a->h);
    for (; (side + 1) / 2 >= CGD__SWD_SIDE; q.last++) side = (side + 1) / 2;
    status = cgd__draws_init(ctx, &draws, a->count, b->count, bootstrap);
    if (status != CGD_OK) return status;
    status = cgd__swd_net(ctx, &q.net, q.length);
    q.draws = &draws;
    q.width = 1 + draws.replicates;
    if (status == CGD_OK && cgd__swd_layout(&q, NULL, &bytes))
        block = (unsigned char *)cgd_alloc(ctx, bytes, 1, "comparing");
    if (block) {
        cgd__swd_layout(&q, block, &bytes);
        cgd__swd_directions(&q);
        cgd__swd_shares(&q);
        for (; q.level <= q.last && status == CGD_OK; q.level++)
            status = cgd__swd_run_level(ctx, &q, &sum);
        if (status == CGD_OK) cgd__draws_end(swd, sum, &draws);
    } else if (status == CGD_OK) {
        status = cgd_fail(ctx, CGD_ERR_MEMORY, "out of memory: comparing %u "
                          "with %u pictures needs %u bytes", a->count,
                          b->count, bytes);
    }
    cgd_release(ctx, block, bytes);
    cgd_net_free(&q.net);
    cgd__draws_free(ctx, &draws);
    return status;
}

/* ---- features ------------------------------------------------------------*/

#define CGD__FEATURE_LAYERS 4

static cgd_status cgd__feature_net(cgd_ctx *ctx, cgd_net *net, size_t c)
{
    cgd_layer layers[CGD__FEATURE_LAYERS];
    cgd_rng rng;
    cgd_status status;
    size_t i;
    memset(layers, 0, sizeof layers);
    for (i = 0; i < CGD__FEATURE_LAYERS; i++) {
        cgd_layer *l = layers + i;
        l->kind = CGD_CONV;
        l->in_c = i ? layers[i - 1].out_c : c;
        l->out_c = (size_t)16 << i;
        l->window.kernel = 3;
        l->window.stride = 2;
        l->window.pad = 1;
        l->window.pad_mode = CGD_PAD_REFLECT;
        l->norm = CGD_NORM_NONE;
        l->act = CGD_ACT_RELU;
        cgd_format(l->name, sizeof l->name, "features.%u", i);
    }
    status = cgd_net_init(ctx, net, layers, CGD__FEATURE_LAYERS);
    if (status != CGD_OK) return status;
    cgd_rng_seed(&rng, 2017U, 0);
    cgd_net_init_weights(net, CGD_INIT_KAIMING, &rng);
    return CGD_OK;
}

/* Mean and deviation of each channel of one picture's map. */
static float *cgd__feature_stats(float *out, const cgd_tensor *map)
{
    size_t pixels = map->h * map->w, p, k;
    for (k = 0; k < map->c; k++) {
        double sum = 0, square = 0, mean, var;
        for (p = 0; p < pixels; p++) {
            double v = (double)map->data[p * map->c + k];
            sum += v;
            square += v * v;
        }
        mean = sum / (double)pixels;
        var = square / (double)pixels - mean * mean;
        *out++ = (float)mean;
        *out++ = (float)cgd_sqrt(var > 0 ? var : 0);
    }
    return out;
}

CGDDEF cgd_status cgd_features(cgd_ctx *ctx, float *features,
                               const cgd_set *set)
{
    static const size_t keep[CGD__FEATURE_LAYERS] = { 0, 1, 2, 3 };
    cgd_net net;
    cgd_pass pass;
    cgd_tensor x = cgd_tensor_view(1, set->h, set->w, set->c, NULL);
    size_t i, k, bytes = cgd_tensor_size(&x) * sizeof(float);
    cgd_status status = cgd__check_set(ctx, set);
    if (status == CGD_OK && !cgd__large_enough(set))
        status = cgd_fail(ctx, CGD_ERR_SHAPE, "features need pictures of %u "
                          "pixels a side", (size_t)CGD__SWD_SIDE);
    if (status == CGD_OK) status = cgd__feature_net(ctx, &net, set->c);
    if (status != CGD_OK) return status;
    memset(&pass, 0, sizeof pass);
    status = cgd_pass_init(&pass, &net, 1, set->h, set->w, CGD_INFER, keep,
                           CGD__FEATURE_LAYERS, NULL);
    if (status == CGD_OK) {
        x.data = (float *)cgd_alloc(ctx, bytes, 1, "a picture");
        if (!x.data) status = CGD_ERR_MEMORY;
    }
    for (i = 0; i < set->count && status == CGD_OK; i++) {
        cgd_tensor_from_bytes(&x, 0, set->pictures[i]);
        status = cgd_pass_forward(&pass, &x);
        for (k = 0; k < CGD__FEATURE_LAYERS && status == CGD_OK; k++) {
            cgd_tensor map = cgd_pass_output(&pass, k);
            features = cgd__feature_stats(features, &map);
        }
    }
    cgd_release(ctx, x.data, bytes);
    if (pass.own) cgd_pass_free(&pass);
    cgd_net_free(&net);
    return status;
}

/* ---- KID, density, coverage ----------------------------------------------*/

enum { CGD__KERNEL, CGD__DISTANCE };

/* out (n, m): the kernel, or the squared distance, of x's rows and y's. */
typedef struct cgd__pairs {
    double *out;
    const float *x, *y;
    size_t n, m, d;
    int kind;
} cgd__pairs;

static void cgd__pairs_row(void *job, size_t i)
{
    cgd__pairs *q = (cgd__pairs *)job;
    const float *x = q->x + i * q->d;
    size_t j, k;
    for (j = 0; j < q->m; j++) {
        const float *y = q->y + j * q->d;
        double sum = 0;
        if (q->kind == CGD__KERNEL) {
            for (k = 0; k < q->d; k++) sum += (double)x[k] * (double)y[k];
            sum = sum / (double)q->d + 1;
            sum = sum * sum * sum;
        } else {
            for (k = 0; k < q->d; k++) {
                double gap = (double)x[k] - (double)y[k];
                sum += gap * gap;
            }
        }
        q->out[i * q->m + j] = sum;
    }
}

static void cgd__pairs_fill(cgd_ctx *ctx, double *out, const float *x,
                            size_t n, const float *y, size_t m, size_t d,
                            int kind)
{
    cgd__pairs q;
    q.out = out; q.x = x; q.y = y; q.n = n; q.m = m; q.d = d; q.kind = kind;
    cgd_parallel_for(ctx, n, cgd__pairs_row, &q);
}

/* Three matrices of pairs, x with x, y with y and x with y, and what is made
 * of them for the value (slice 0) and the replicates (the other slices). */
typedef struct cgd__scores {
    size_t n, m, k;
    double *xx, *yy, *xy, *radii;
    cgd__draws *draws, *second;        /* density, coverage                  */
    double value, second_value;
} cgd__scores;

static const cgd_u32 *cgd__scores_counts(const cgd__scores *q, size_t slice)
{
    return slice == 0 ? NULL
        : q->draws->counts + (slice - 1) * (q->draws->n + q->draws->m);
}

/* Mean of a square matrix over pairs of different pictures. Two of one
 * picture are no pair, however often it was drawn. */
static double cgd__mean_apart(const double *v, size_t n,
                              const cgd_u32 *counts)
{
    double sum = 0, pairs = 0, same = 0;
    size_t i, j;
    for (i = 0; i < n; i++) {
        double a = counts ? counts[i] : 1U;
        if (!(a > 0)) continue;
        same = v[i * n + i];
        for (j = 0; j < n; j++) {
            double b = i == j ? 0 : counts ? counts[j] : 1U;
            sum += a * b * v[i * n + j];
            pairs += a * b;
        }
    }
    return pairs > 0 ? sum / pairs : same;  /* one picture, drawn n times    */
}

static void cgd__kid_slice(void *job, size_t slice)
{
    cgd__scores *q = (cgd__scores *)job;
    const cgd_u32 *cx = cgd__scores_counts(q, slice);
    const cgd_u32 *cy = cx ? cx + q->n : NULL;
    double across = 0, kid;
    size_t i, j;
    for (i = 0; i < q->n; i++)
        for (j = 0; j < q->m; j++)
            across += (cx ? (double)cx[i] * (double)cy[j] : 1)
                    * q->xy[i * q->m + j];
    kid = cgd__mean_apart(q->xx, q->n, cx) + cgd__mean_apart(q->yy, q->m, cy)
        - 2 * across / ((double)q->n * (double)q->m);
    if (slice == 0) q->value = kid;
    else q->draws->values[slice - 1] = kid;
}

/* The balls stay those of all real pictures; they and the fakes are drawn. */
static void cgd__density_slice(void *job, size_t slice)
{
    cgd__scores *q = (cgd__scores *)job;
    const cgd_u32 *cx = cgd__scores_counts(q, slice);
    const cgd_u32 *cy = cx ? cx + q->n : NULL;
    double held = 0, covered = 0;
    size_t i, j;
    for (i = 0; i < q->n; i++) {
        double fakes = 0, balls = cx ? cx[i] : 1U;
        for (j = 0; j < q->m; j++)
            if (q->xy[i * q->m + j] < q->radii[i]) fakes += cy ? cy[j] : 1U;
        held += balls * fakes;
        covered += fakes > 0 ? balls : 0;
    }
    held /= (double)q->k * (double)q->m;
    covered /= (double)q->n;
    if (slice == 0) {
        q->value = held;
        q->second_value = covered;
    } else {
        q->draws->values[slice - 1] = held;
        q->second->values[slice - 1] = covered;
    }
}

/* Squared distance to the k-th nearest of the others; sorts the row. */
static double cgd__radius(double *row, size_t n, size_t self, size_t k)
{
    row[self] = -1;                                /* before all the others  */
    qsort(row, n, sizeof *row, cgd__double_order);
    return row[k];
}

CGDDEF cgd_status cgd_kid(cgd_ctx *ctx, cgd_estimate *kid, const float *x,
                          size_t n, const float *y, size_t m, size_t d,
                          const cgd_bootstrap *bootstrap)
{
    cgd__scores q;
    cgd__draws draws;
    cgd_status status;
    size_t count;
    memset(kid, 0, sizeof *kid);
    if (n < 2 || m < 2 || d == 0) return CGD_OK;
    status = cgd__draws_init(ctx, &draws, n, m, bootstrap);
    if (status != CGD_OK) return status;
    memset(&q, 0, sizeof q);
    q.n = n;
    q.m = m;
    q.draws = &draws;
    count = n * n + m * m + n * m;
    q.xx = (double *)cgd_alloc(ctx, count, sizeof *q.xx, "KID");
    if (q.xx) {
        q.yy = q.xx + n * n;
        q.xy = q.yy + m * m;
        cgd__pairs_fill(ctx, q.xx, x, n, x, n, d, CGD__KERNEL);
        cgd__pairs_fill(ctx, q.yy, y, m, y, m, d, CGD__KERNEL);
        cgd__pairs_fill(ctx, q.xy, x, n, y, m, d, CGD__KERNEL);
        cgd_parallel_for(ctx, 1 + draws.replicates, cgd__kid_slice, &q);
        cgd__draws_end(kid, q.value, &draws);
        cgd_release(ctx, q.xx, count * sizeof *q.xx);
    } else {
        status = CGD_ERR_MEMORY;
    }
    cgd__draws_free(ctx, &draws);
    return status;
}

CGDDEF cgd_status cgd_density(cgd_ctx *ctx, cgd_estimate *density,
                              cgd_estimate *coverage, const float *real,
                              size_t n, const float *fake, size_t m, size_t d,
                              size_t k, const cgd_bootstrap *bootstrap)
{
    cgd__scores q;
    cgd__draws draws, second;
    cgd_status status;
    size_t count, i;
    memset(density, 0, sizeof *density);
    memset(coverage, 0, sizeof *coverage);
    if (k == 0 || n <= k || m == 0 || d == 0) return CGD_OK;
    memset(&q, 0, sizeof q);
    q.n = n;
    q.m = m;
    q.k = k;
    q.draws = &draws;
    q.second = &second;
    count = n * n + n * m + n;
    memset(&second, 0, sizeof second);
    status = cgd__draws_init(ctx, &draws, n, m, bootstrap);
    if (status == CGD_OK)
        status = cgd__draws_init(ctx, &second, n, m, bootstrap);
    if (status == CGD_OK) {
        q.xx = (double *)cgd_alloc(ctx, count, sizeof *q.xx,
                                           "density");
        if (!q.xx) status = CGD_ERR_MEMORY;
    }
    if (status == CGD_OK) {
        q.xy = q.xx + n * n;
        q.radii = q.xy + n * m;
        cgd__pairs_fill(ctx, q.xx, real, n, real, n, d, CGD__DISTANCE);
        cgd__pairs_fill(ctx, q.xy, real, n, fake, m, d, CGD__DISTANCE);
        for (i = 0; i < n; i++)
            q.radii[i] = cgd__radius(q.xx + i * n, n, i, k);
        cgd_parallel_for(ctx, 1 + draws.replicates, cgd__density_slice, &q);
        cgd__draws_end(density, q.value, &draws);
        cgd__draws_end(coverage, q.second_value, &second);
        if (density->low < 0) density->low = 0;     /* moved out of range    */
        if (coverage->low < 0) coverage->low = 0;
        if (coverage->high > 1) coverage->high = 1;
        cgd_release(ctx, q.xx, count * sizeof *q.xx);
    }
    cgd__draws_free(ctx, &second);
    cgd__draws_free(ctx, &draws);
    return status;
}

/* ---- all of them ---------------------------------------------------------*/

/* Each feature of both sets in deviations of the real ones, cut at three. The
 * hundredth and the cut keep features that hardly vary from deciding all. */
static float cgd__in_deviations(float v, double mean, double scale)
{
    double z = ((double)v - mean) * scale;
    return (float)(z > 3 ? 3 : z < -3 ? -3 : z);
}

static void cgd__standardise(float *real, size_t n, float *fake, size_t m,
                             size_t d)
{
    size_t i, k;
    for (k = 0; k < d; k++) {
        double sum = 0, square = 0, mean, var, scale;
        for (i = 0; i < n; i++) sum += (double)real[i * d + k];
        mean = sum / (double)n;
        for (i = 0; i < n; i++) {
            double gap = (double)real[i * d + k] - mean;
            square += gap * gap;
        }
        var = square / (double)n;
        scale = 1 / (cgd_sqrt(var) + 0.01);
        for (i = 0; i < n; i++)
            real[i * d + k] = cgd__in_deviations(real[i * d + k], mean, scale);
        for (i = 0; i < m; i++)
            fake[i * d + k] = cgd__in_deviations(fake[i * d + k], mean, scale);
    }
}

CGDDEF cgd_status cgd_distance(cgd_ctx *ctx, cgd_distances *d,
                               const cgd_set *set, const cgd_set *real,
                               const cgd_bootstrap *bootstrap)
{
    size_t n = real->count, m = set->count, count = (n + m) * CGD_FEATURES;
    float *features, *fake;
    cgd_status status = cgd_swd(ctx, &d->swd, set, real, bootstrap);
    memset(&d->kid, 0, sizeof d->kid);
    memset(&d->density, 0, sizeof d->density);
    memset(&d->coverage, 0, sizeof d->coverage);
    if (status != CGD_OK || n == 0 || m == 0 || !cgd__large_enough(set))
        return status;
    features = (float *)cgd_alloc(ctx, count, sizeof *features,
                                          "features");
    if (!features) return CGD_ERR_MEMORY;
    fake = features + n * CGD_FEATURES;
    status = cgd_features(ctx, features, real);
    if (status == CGD_OK) status = cgd_features(ctx, fake, set);
    if (status == CGD_OK) {
        cgd__standardise(features, n, fake, m, CGD_FEATURES);
        status = cgd_kid(ctx, &d->kid, features, n, fake, m, CGD_FEATURES,
                         bootstrap);
    }
    if (status == CGD_OK)
        status = cgd_density(ctx, &d->density, &d->coverage, features, n,
                             fake, m, CGD_FEATURES, CGD_NEIGHBOURS, bootstrap);
    cgd_release(ctx, features, count * sizeof *features);
    return status;
}

CGDDEF cgd_status cgd_distance_floor(cgd_ctx *ctx, cgd_distances *d,
                                     const cgd_set *real, size_t count,
                                     const cgd_bootstrap *bootstrap)
{
    size_t n = real->count, i;
    const unsigned char **order;
    cgd_set some, others;
    cgd_rng rng;
    cgd_status status;
    memset(d, 0, sizeof *d);
    count = cgd__least(count, n / 2);
    if (count == 0) return CGD_OK;
    order = (const unsigned char **)cgd_alloc(ctx, n, sizeof *order,
                                                      "a set of pictures");
    if (!order) return CGD_ERR_MEMORY;
    cgd_rng_seed(&rng, bootstrap->seed, 0xfffffffeU);
    for (i = 0; i < n; i++) {                     /* Fisher and Yates        */
        size_t k = cgd_rng_below(&rng, (cgd_u32)(i + 1));
        order[i] = order[k];
        order[k] = real->pictures[i];
    }
    some = others = *real;
    some.pictures = order;
    some.count = count;
    others.pictures = order + count;
    others.count = n - count;
    status = cgd_distance(ctx, d, &some, &others, bootstrap);
    cgd_release(ctx, (void *)order, n * sizeof *order);
    return status;
}


/* ======================================================================== */
/* [impl:alarms] Alarms                                                     */
/* ======================================================================== */
/* Diseases of translations, told from plain statistics of the pixels. Calls
 * [impl:sets] for its filter. */

#define CGD__INVERSION_LIMIT    -0.3
#define CGD__CHECKERBOARD_LIMIT 3.0
#define CGD__CHECKERBOARD_LEAST 0.25   /* squared grey levels                */
#define CGD__SATURATION_LIMIT   0.05
#define CGD__COLLAPSE_LIMIT     0.4
#define CGD__COLOUR_LIMIT       0.5
#define CGD__THUMB              16     /* side of a thumbnail                */
#define CGD__CELLS              16     /* side of a window for checkerboards */

/* ---- inversion -----------------------------------------------------------*/

/* Channel k of a pixel; k = c: their mean. */
static double cgd__channel(const unsigned char *pixel, size_t k, size_t c)
{
    double sum = 0;
    size_t i;
    if (k < c) return pixel[k];
    for (i = 0; i < c; i++) sum += pixel[i];
    return sum / (double)c;
}

/* Pearson's correlation of a channel in two pictures; 0 for a flat one. */
static double cgd__correlation(const unsigned char *a, const unsigned char *b,
                               size_t pixels, size_t c, size_t k)
{
    double sa = 0, sb = 0, saa = 0, sbb = 0, sab = 0, n = (double)pixels;
    size_t i;
    for (i = 0; i < pixels; i++) {
        double x = cgd__channel(a + i * c, k, c);
        double y = cgd__channel(b + i * c, k, c);
        sa += x; sb += y;
        saa += x * x; sbb += y * y; sab += x * y;
    }
    saa -= sa * sa / n;
    sbb -= sb * sb / n;
    sab -= sa * sb / n;
    return saa > 1e-6 && sbb > 1e-6 ? sab / cgd_sqrt(saa * sbb) : 0;
}

/* The lowest of the correlations of brightness and of each channel. */
static double cgd__inversion(const cgd_set *a, const cgd_set *b)
{
    size_t pixels = a->w * a->h, i, k;
    double lowest = 1;
    for (k = 0; k <= a->c; k++) {
        double sum = 0;
        for (i = 0; i < a->count; i++)
            sum += cgd__correlation(a->pictures[i], b->pictures[i], pixels,
                                    a->c, k);
        sum /= (double)a->count;
        if (sum < lowest) lowest = sum;
    }
    return lowest;
}

/* ---- checkerboard --------------------------------------------------------*/

/* A row of n values has components of period 4 and 2 exactly in the means of
 * its four phases; so a window's 4 x 4 phase means hold all of them, and their
 * variance is the energy. First everything slower is taken off: the filter
 * (1 2 2 2 1)/8 lets nothing of these periods through, and all of a slope. */
static double cgd__window_energy(const float *high, size_t w, size_t c)
{
    double phases[16], sum = 0, square = 0;
    size_t x, y, i;
    memset(phases, 0, sizeof phases);
    for (y = 0; y < CGD__CELLS; y++)
        for (x = 0; x < CGD__CELLS; x++)
            phases[y % 4 * 4 + x % 4] += (double)high[(y * w + x) * c];
    for (i = 0; i < 16; i++) {
        double mean = phases[i] / (CGD__CELLS * CGD__CELLS / 16);
        sum += mean;
        square += mean * mean;
    }
    return square / 16 - sum * sum / 256;
}

typedef struct cgd__checker {
    const cgd_set *set;
    size_t lanes;
    float *scratch;                    /* (lanes, 3 w h c)                   */
    double *energies;                  /* (count)                            */
} cgd__checker;

static void cgd__checker_lane(void *job, size_t lane)
{
    static const float taps[3] = { 0.25f, 0.25f, 0.125f };
    cgd__checker *q = (cgd__checker *)job;
    const cgd_set *set = q->set;
    size_t w = set->w, h = set->h, c = set->c, n = w * h * c, i, k, x, y;
    float *picture = q->scratch + lane * 3 * n, *low = picture + n;
    for (i = lane; i < set->count; i += q->lanes) {
        double sum = 0, windows = 0;
        for (k = 0; k < n; k++) picture[k] = set->pictures[i][k];
        cgd__blur5(low, low + n, picture, w, h, c, 1, taps);
        for (k = 0; k < n; k++) picture[k] -= low[k];
        for (y = 0; y + CGD__CELLS <= h; y += CGD__CELLS)
            for (x = 0; x + CGD__CELLS <= w; x += CGD__CELLS)
                for (k = 0; k < c; k++, windows++)
                    sum += cgd__window_energy(picture + (y * w + x) * c + k,
                                              w, c);
        q->energies[i] = sum / windows;
    }
}

static cgd_status cgd__checkerboard(cgd_ctx *ctx, double *energy,
                                    const cgd_set *set)
{
    cgd__checker q;
    size_t pixels = set->w * set->h * set->c, i, lane = 3 * sizeof(float);
    *energy = 0;
    q.set = set;
    q.lanes = cgd__least(CGD__SWD_LANES, set->count);
    q.energies = (double *)cgd_alloc(ctx, set->count,
                                             sizeof *q.energies, "an alarm");
    q.scratch = (float *)cgd_alloc(ctx, pixels, q.lanes * lane,
                                           "an alarm");
    if (q.energies && q.scratch) {
        cgd_parallel_for(ctx, q.lanes, cgd__checker_lane, &q);
        for (i = 0; i < set->count; i++)
            *energy += q.energies[i] / (double)set->count;
    }
    cgd_release(ctx, q.scratch, pixels * q.lanes * lane);
    cgd_release(ctx, q.energies, set->count * sizeof *q.energies);
    return q.energies && q.scratch ? CGD_OK : CGD_ERR_MEMORY;
}

/* ---- saturation, colour --------------------------------------------------*/

typedef struct cgd__tones {
    double clipped;                    /* share of all values                */
    double mean[CGD__SET_CHANNELS], deviation[CGD__SET_CHANNELS];
} cgd__tones;

static void cgd__tones_of(cgd__tones *t, const cgd_set *set)
{
    double n = (double)(set->count * set->w * set->h), clipped = 0;
    size_t i, p, k, bytes = set->w * set->h * set->c;
    memset(t, 0, sizeof *t);
    for (k = 0; k < set->c; k++) {
        double sum = 0, square = 0;
        for (i = 0; i < set->count; i++)
            for (p = k; p < bytes; p += set->c) {
                double v = set->pictures[i][p];
                sum += v;
                square += v * v;
                clipped += v < 2 || v > 253;
            }
        t->mean[k] = sum / n;
        square = square / n - t->mean[k] * t->mean[k];
        t->deviation[k] = cgd_sqrt(square > 0 ? square : 0);
    }
    t->clipped = clipped / (n * (double)set->c);
}

/* In deviations of the reference; a grey level keeps flat ones finite. */
static double cgd__colour_shift(const cgd__tones *out, const cgd__tones *ref,
                                size_t c)
{
    double most = 0;
    size_t k;
    for (k = 0; k < c; k++) {
        double scale = ref->deviation[k] + 1;
        double mean = (out->mean[k] - ref->mean[k]) / scale;
        double spread = (out->deviation[k] - ref->deviation[k]) / scale;
        mean = mean < 0 ? -mean : mean;
        spread = spread < 0 ? -spread : spread;
        if (mean > most) most = mean;
        if (spread > most) most = spread;
    }
    return most;
}

/* ---- collapse ------------------------------------------------------------*/

/* Cell means; a picture smaller than 16 pixels repeats some. */
static void cgd__thumbnail(float *out, const unsigned char *in, size_t w,
                           size_t h, size_t c)
{
    size_t i, j, k, x, y;
    for (i = 0; i < CGD__THUMB; i++)
        for (j = 0; j < CGD__THUMB; j++, out += c) {
            size_t y0 = i * h / CGD__THUMB, x0 = j * w / CGD__THUMB;
            size_t y1 = cgd__greatest(y0 + 1, (i + 1) * h / CGD__THUMB);
            size_t x1 = cgd__greatest(x0 + 1, (j + 1) * w / CGD__THUMB);
            for (k = 0; k < c; k++) {
                double sum = 0;
                for (y = y0; y < y1; y++)
                    for (x = x0; x < x1; x++) sum += in[(y * w + x) * c + k];
                out[k] = (float)(sum / (double)((y1 - y0) * (x1 - x0)));
            }
        }
}

/* Mean distance (root mean square, in grey levels) from a picture to the one
 * of its set that is most like it. */
static cgd_status cgd__diversity(cgd_ctx *ctx, double *mean,
                                 const cgd_set *set)
{
    size_t n = set->count, d = CGD__THUMB * CGD__THUMB * set->c, i, j;
    float *thumbs = (float *)cgd_alloc(ctx, n, d * sizeof *thumbs,
                                               "an alarm");
    double *gaps = (double *)cgd_alloc(ctx, n * n, sizeof *gaps,
                                               "an alarm");
    *mean = 0;
    if (thumbs && gaps) {
        for (i = 0; i < n; i++)
            cgd__thumbnail(thumbs + i * d, set->pictures[i], set->w, set->h,
                           set->c);
        cgd__pairs_fill(ctx, gaps, thumbs, n, thumbs, n, d, CGD__DISTANCE);
        for (i = 0; i < n; i++) {
            double nearest = DBL_MAX;
            for (j = 0; j < n; j++)
                if (j != i && gaps[i * n + j] < nearest)
                    nearest = gaps[i * n + j];
            *mean += cgd_sqrt(nearest / (double)d) / (double)n;
        }
    }
    cgd_release(ctx, gaps, n * n * sizeof *gaps);
    cgd_release(ctx, thumbs, n * d * sizeof *thumbs);
    return thumbs && gaps ? CGD_OK : CGD_ERR_MEMORY;
}

/* ---- all of them ---------------------------------------------------------*/

static double cgd__hundredths(double v)
{
    double up = v < 0 ? -v : v;
    if (up > 1e9) return v;
    up = (double)(unsigned long)(100 * up + 0.5) / 100;
    return v < 0 ? -up : up;
}

/* The finding in words, of the form "ok" or "fired". */
static void cgd__alarm_set(cgd_alarm *a, double value, double limit,
                           int fired, const char *ok, const char *bad)
{
    a->known = 1;
    a->fired = fired;
    a->value = value;
    a->limit = limit;
    cgd_format(a->sentence, sizeof a->sentence, fired ? bad : ok,
               cgd__hundredths(value), cgd__hundredths(limit));
}

static void cgd__alarm_inversion(cgd_alarm *a, const cgd_set *output,
                                 const cgd_set *input, const cgd_set *truth)
{
    double value = cgd__inversion(output, input);
    double limit = CGD__INVERSION_LIMIT;
    if (truth) {
        double own = cgd__inversion(truth, input) + CGD__INVERSION_LIMIT;
        if (own < limit) limit = own;
    }
    cgd__alarm_set(a, value, limit, value < limit,
        "Light stays light: the lowest correlation with the input is %f "
        "(limit %f).",
        "Colours are inverted: what is light in the input is dark here; the "
        "lowest correlation is %f (limit %f).");
}

static cgd_status cgd__alarms_reference(cgd_ctx *ctx, cgd_alarm *alarms,
                                        const cgd_set *output,
                                        const cgd_set *reference)
{
    cgd__tones out, ref;
    double a, b, v;
    cgd_status status = CGD_OK;
    if (cgd__least(cgd__least(output->w, output->h),
                   cgd__least(reference->w, reference->h)) >= CGD__CELLS) {
        status = cgd__checkerboard(ctx, &a, output);
        if (status == CGD_OK) status = cgd__checkerboard(ctx, &b, reference);
        if (status != CGD_OK) return status;
        v = a / (b + CGD__CHECKERBOARD_LEAST);
        cgd__alarm_set(&alarms[CGD_ALARM_CHECKERBOARD], v,
            CGD__CHECKERBOARD_LIMIT, v > CGD__CHECKERBOARD_LIMIT,
            "No checkerboard: patterns of 2 and 4 pixels have %f times the "
            "reference's energy (limit %f).",
            "Checkerboard: patterns of 2 and 4 pixels, the strides of the "
            "net, have %f times the reference's energy (limit %f).");
    }
    cgd__tones_of(&out, output);
    cgd__tones_of(&ref, reference);
    v = 100 * (out.clipped - ref.clipped);
    cgd__alarm_set(&alarms[CGD_ALARM_SATURATION], v,
        100 * CGD__SATURATION_LIMIT, v > 100 * CGD__SATURATION_LIMIT,
        "Not saturated: the share of black and white values less the "
        "reference's is %f %% (limit %f %%).",
        "Saturated: the share of black and white values less the reference's "
        "is %f %% (limit %f %%).");
    alarms[CGD_ALARM_SATURATION].value /= 100;
    alarms[CGD_ALARM_SATURATION].limit /= 100;
    v = cgd__colour_shift(&out, &ref, output->c);
    cgd__alarm_set(&alarms[CGD_ALARM_COLOUR], v, CGD__COLOUR_LIMIT,
        v > CGD__COLOUR_LIMIT,
        "Colours as in the reference: the largest shift of a channel's mean "
        "or spread is %f deviations (limit %f).",
        "Colours have shifted: a channel's mean or spread is off by %f "
        "deviations of the reference (limit %f).");
    if (output->count < 2 || reference->count < 2) return CGD_OK;
    status = cgd__diversity(ctx, &a, output);
    if (status == CGD_OK) status = cgd__diversity(ctx, &b, reference);
    if (status != CGD_OK) return status;
    v = a / (b > 1 ? b : 1);
    cgd__alarm_set(&alarms[CGD_ALARM_COLLAPSE], v, CGD__COLLAPSE_LIMIT,
        v < CGD__COLLAPSE_LIMIT && b > 1,
        "The outputs differ: from one to the next most like it is %f times "
        "the way in the reference (limit %f).",
        "Collapse: outputs are alike; from one to the next most like it is "
        "%f times the way in the reference (limit %f).");
    return CGD_OK;
}

CGDDEF cgd_status cgd_alarms(cgd_ctx *ctx, cgd_alarm alarms[CGD_ALARMS],
                             const cgd_set *output, const cgd_set *input,
                             const cgd_set *truth, const cgd_set *reference)
{
    static const char *const names[CGD_ALARMS] = { "inversion",
        "checkerboard", "saturation", "collapse", "colour" };
    const cgd_set *paired[2];
    cgd_status status;
    int i;
    memset(alarms, 0, CGD_ALARMS * sizeof *alarms);
    for (i = 0; i < CGD_ALARMS; i++) {
        alarms[i].name = names[i];
        cgd_format(alarms[i].sentence, sizeof alarms[i].sentence,
                   i == CGD_ALARM_INVERSION
                   ? "Not judged: the input is not known."
                   : "Not judged: there is no reference, or too few or too "
                     "small pictures.");
    }
    if (!reference) reference = truth;
    paired[0] = input;
    paired[1] = truth;
    status = cgd__check_set(ctx, output);
    if (status == CGD_OK && reference)
        status = cgd__check_set(ctx, reference);
    if (status != CGD_OK) return status;
    for (i = 0; i < 2; i++) {
        if (!paired[i]) continue;
        status = cgd__check_sets(ctx, output, paired[i]);
        if (status != CGD_OK) return status;
        if (paired[i]->count != output->count)
            return cgd_fail(ctx, CGD_ERR_SHAPE, "%u outputs do not go with "
                            "%u pictures", output->count, paired[i]->count);
    }
    if (output->count == 0) return CGD_OK;
    if (input)
        cgd__alarm_inversion(&alarms[CGD_ALARM_INVERSION], output, input,
                             truth);
    if (!reference || reference->count == 0) return CGD_OK;
    if (reference->c != output->c)
        return cgd_fail(ctx, CGD_ERR_SHAPE, "the reference has %u channels, "
                        "the outputs %u", reference->c, output->c);
    return cgd__alarms_reference(ctx, alarms, output, reference);
}

#ifdef __cplusplus
}
#endif
#endif /* CGD_JUDGE_IMPLEMENTATION */
