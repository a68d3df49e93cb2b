/* The fast kernels against the reference ones, the memory they work in, and
 * that results do not depend on who runs the slices. Reaches private names. */
#define CGD_IMPLEMENTATION
#include "../cycle_gan_distil.h"
#include "operators.h"
#include "test.h"
#include <stdlib.h>

static cgd_ctx context;
static cgd_rng dice;

static float *room(size_t count)
{
    float *v = (float *)malloc((count + 1) * sizeof(float));
    if (!v) { printf("no memory\n"); exit(1); }
    return v;
}

static float *numbers(size_t count)
{
    float *v = room(count);
    size_t i;
    for (i = 0; i < count; i++) v[i] = (float)cgd_rng_normal(&dice);
    return v;
}

static float *copied(const float *from, size_t count)
{
    float *v = room(count);
    memcpy(v, from, count * sizeof(float));
    return v;
}

/* ---- one shape, all three sums, one fast table ---------------------------*/

#define GUARD 64

/* Room with a pattern behind it; the pattern is that of NaNs, so that neither
 * reading nor writing it goes unseen. */
static float *guarded(size_t count)
{
    float *v = (float *)malloc((count + GUARD) * sizeof(float));
    if (!v) { printf("no memory\n"); exit(1); }
    memset(v, 0xff, (count + GUARD) * sizeof(float));
    return v;
}

static void check_guard(const float *v, size_t count)
{
    const unsigned char *end = (const unsigned char *)(v + count);
    size_t i, bad = 0;
    for (i = 0; i < GUARD * sizeof(float); i++) bad += end[i] != 0xff;
    CHECK(bad == 0);
}

/* Sums of n terms in single precision, one after the other: the k-th partial
 * sum rounds by half an ulp of itself, and with random signs it has grown to
 * sqrt(k) terms only. So the deviation of the result is FLT_EPSILON / 2 times
 * n / sqrt(6) typical terms, while max|x| * sum|w| is n times about 3 typical
 * terms, of which it is a fifteenth of an epsilon. A sum of four terms has no
 * such averages: there 2 epsilons are four roundings. */
#define SUM_C 2.0

/* Winograd's F(4x4, 3x3): an output is a sum over points i of A[i] * B[i] x *
 * G[i] w on each axis, and every factor is rounded. With random signs that is
 * the root of sum A[i]^2 |B[i]|^2 |G[i]|^2 = 31 on each axis, so 31 typical
 * products on both, times some twenty roundings of a fifth of an epsilon each,
 * which together are one. It weighs most where one channel is summed: there
 * max|x| * sum|w| is 3 times 9 * 0.8 typical products, of which 31 are 1.4;
 * the largest of ten thousand results is four times the typical one, and a sum
 * of nine weights may be a third less: 8. */
#define WINOGRAD_C 8.0

/* bf16 rounds both factors of every product by up to 1/512 of themselves. */
#define BF16_C (1.01 / 256 / FLT_EPSILON)

typedef struct problem {
    cgd__shape s;
    size_t n_x, n_y, n_w;
    float *x, *y, *w, *b;               /* b: as many as the larger of c, o  */
    int accumulate, bias;
    const cgd__kernels *fast;
    float *scratch[3];                  /* of each sum                       */
    size_t n_scratch[3];
    double *worst;                      /* largest differences over bounds   */
} problem;

static double largest(const float *v, size_t count)
{
    double top = 0;
    size_t i;
    for (i = 0; i < count; i++)
        if (fabs((double)v[i]) > top) top = fabs((double)v[i]);
    return top;
}

/* scale[k]: the sum of magnitudes that goes into channel k of the result. */
static void compare(problem *p, const char *what, const float *got,
                    const float *want, const float *start, size_t count,
                    size_t channels, const double *scale)
{
    size_t i, bad = 0;
    char text[240];
    int winograd = p->s.kernel == 3 && p->s.stride == 1;   /* it may be */
    int bf16 = strncmp(p->fast->name, "bf16", 4) == 0;
    int kind = bf16 ? 2 : winograd;
    double c = bf16 ? BF16_C : winograd ? WINOGRAD_C : SUM_C;
    for (i = 0; i < count; i++) {
        double bound = scale[i % channels] + (start ? fabs((double)start[i])
                                                    : 0);
        double off = fabs((double)got[i] - (double)want[i]);
        bound *= c * FLT_EPSILON;
        if (!(off <= bound)) bad++;
        else if (bound > 0 && off / bound > p->worst[kind])
            p->worst[kind] = off / bound;
    }
    if (bad == 0) return;
    sprintf(text, "%s %s: %lu of %lu off; n %d, %d x %d x %d to %d x %d x %d, "
            "k %d s %d p %d mode %d, accumulate %d, bias %d",
            p->fast->name, what, (unsigned long)bad, (unsigned long)count,
            (int)p->s.n, (int)p->s.h, (int)p->s.w, (int)p->s.c, (int)p->s.oh,
            (int)p->s.ow, (int)p->s.o, (int)p->s.kernel, (int)p->s.stride,
            (int)p->s.pad, p->s.pad_mode, p->accumulate, p->bias);
    test_failure(__FILE__, __LINE__, text);
}

/* Of the weights, over all but the one axis: 0 the inputs, 1 the outputs. */
static void weight_sums(const problem *p, int axis, double times, double *sum)
{
    size_t channels = axis ? p->s.o : p->s.c, i;
    for (i = 0; i < channels; i++)
        sum[i] = p->bias ? fabs((double)p->b[i]) : 0;
    for (i = 0; i < p->n_w; i++)
        sum[axis ? i % p->s.o : i / p->s.o % p->s.c]
            += times * fabs((double)p->w[i]);
}

/* A job of one sum, done; the scratch is what was said to be needed. */
static void run_job(problem *p, const cgd__conv *q)
{
    cgd__arena scratch = cgd__arena_on(p->scratch[q->sum],
                                       p->n_scratch[q->sum] * sizeof(float));
    CHECK(cgd__convolve(&context, p->fast, q, &scratch));
}

/* One of the two sums, with what a kernel may do beside it. */
static void run_sum(problem *p, int adjoint, float *out, const float *in,
                    const cgd__conv *extra)
{
    cgd__conv q = cgd__conv_of(&p->s, adjoint ? CGD__ADJOINT : CGD__FORWARD,
                               out, in, p->w);
    q.bias = p->bias ? p->b : NULL;
    q.accumulate = p->accumulate;
    if (extra) {
        q.packed = extra->packed;
        q.scale = extra->scale;
        q.shift = extra->shift;
        q.slope = extra->slope;
        q.moments = extra->moments;
    }
    run_job(p, &q);
}

/* The same with the definition. */
static void run_reference(problem *p, int sum, float *out, const float *in,
                          const float *by)
{
    cgd__arena none = cgd__arena_on(out, 0);
    cgd__conv q = cgd__conv_of(&p->s, sum, out, in, by);
    if (sum != CGD__WEIGHTS) {
        q.bias = p->bias ? p->b : NULL;
        q.accumulate = p->accumulate;
    }
    CHECK(cgd__convolve(&context, &cgd__kernels_reference, &q, &none));
}

/* With packed weights the same results, bit for bit. */
static void check_packed(problem *p, int adjoint, const float *want,
                         const float *start)
{
    int sum = adjoint ? CGD__ADJOINT : CGD__FORWARD;
    size_t size = cgd__pack_size(p->fast, &p->s, sum);
    size_t count = adjoint ? p->n_x : p->n_y;
    float *packed = guarded(size), *got = copied(start, count);
    cgd__conv extra;
    memset(&extra, 0, sizeof extra);
    extra.packed = packed;
    cgd__pack(&context, p->fast, &p->s, sum, p->w, packed);
    check_guard(packed, size);
    run_sum(p, adjoint, got, adjoint ? p->y : p->x, &extra);
    CHECK(memcmp(got, want, count * sizeof(float)) == 0);
    free(packed);
    free(got);
}

/* The moments of a map are those of its values: sums of the differences from
 * any one of them lose few digits. */
static void check_moments(const float *map, size_t n, size_t pixels, size_t c,
                          const double *moments)
{
    size_t i, k, at;
    for (i = 0; i < n; i++)
        for (k = 0; k < c; k++) {
            double mean = 0, var = 0, top = 0;
            const float *v = map + i * pixels * c + k;
            for (at = 0; at < pixels; at++)
                mean += (double)v[at * c] / (double)pixels;
            for (at = 0; at < pixels; at++) {
                double d = (double)v[at * c] - mean;
                var += d * d / (double)pixels;
                if (fabs(d) > top) top = fabs(d);
            }
            CHECK_NEAR(moments[i * c + k], mean, 1e-5 * top + 1e-12);
            CHECK_NEAR(moments[(n + i) * c + k], var,
                       1e-4 * top * top + 1e-12);
        }
}

/* A raw map is read as if it had been normalised before, and the moments are
 * those of what is written. */
static void check_extra(problem *p, int adjoint, const float *start,
                        double *scale)
{
    int extras = cgd__conv_extras(p->fast, &p->s, adjoint ? CGD__ADJOINT
                                                        : CGD__FORWARD);
    size_t c = adjoint ? p->s.o : p->s.c, o = adjoint ? p->s.c : p->s.o, i;
    size_t n_in = adjoint ? p->n_y : p->n_x, n_out = adjoint ? p->n_x : p->n_y;
    size_t nc = p->s.n * c;
    const float *in = adjoint ? p->y : p->x;
    float *factors = numbers(2 * nc), *seen = copied(in, n_in);
    float *want = copied(start, n_out), *got = copied(start, n_out);
    double *moments = (double *)malloc(2 * p->s.n * o * sizeof *moments);
    cgd__conv extra;
    memset(&extra, 0, sizeof extra);
    if (extras & CGD__READS_RAW) {
        extra.scale = factors;
        extra.shift = factors + nc;
        extra.slope = p->bias ? 0.2f : 0;
        for (i = 0; i < n_in; i++) {
            size_t k = i / (n_in / p->s.n) * c + i % c;
            float v = in[i] * extra.scale[k] + extra.shift[k];
            seen[i] = v > 0 ? v : extra.slope * v;
        }
    }
    if (extras & CGD__TAKES_MOMENTS) extra.moments = moments;
    run_sum(p, adjoint, want, seen, NULL);
    run_sum(p, adjoint, got, in, &extra);
    weight_sums(p, !adjoint, 9 * largest(seen, n_in), scale);
    compare(p, "raw", got, want, p->accumulate ? start : NULL, n_out, o,
            scale);
    if (extra.moments)
        check_moments(got, p->s.n, n_out / p->s.n / o, o, moments);
    free(factors); free(seen); free(want); free(got); free(moments);
}

static void check_forward(problem *p, double *scale)
{
    float *start = numbers(p->n_y), *want = copied(start, p->n_y);
    float *got = guarded(p->n_y);
    if (p->accumulate) memcpy(got, start, p->n_y * sizeof(float));
    run_reference(p, CGD__FORWARD, want, p->x, p->w);
    run_sum(p, 0, got, p->x, NULL);
    weight_sums(p, 1, largest(p->x, p->n_x), scale);
    compare(p, "forward", got, want, p->accumulate ? start : NULL, p->n_y,
            p->s.o, scale);
    check_guard(got, p->n_y);
    check_packed(p, 0, got, start);
    check_extra(p, 0, start, scale);
    free(start);
    free(want);
    free(got);
}

/* A mirrored sample hears from up to three places on each axis. */
static void check_adjoint(problem *p, double *scale)
{
    float *start = numbers(p->n_x), *want = copied(start, p->n_x);
    float *got = guarded(p->n_x);
    double mirrors = p->s.pad_mode == CGD_PAD_REFLECT && p->s.pad ? 9 : 1;
    if (p->accumulate) memcpy(got, start, p->n_x * sizeof(float));
    run_reference(p, CGD__ADJOINT, want, p->y, p->w);
    run_sum(p, 1, got, p->y, NULL);
    weight_sums(p, 0, mirrors * largest(p->y, p->n_y), scale);
    compare(p, "adjoint", got, want, p->accumulate ? start : NULL, p->n_x,
            p->s.c, scale);
    check_guard(got, p->n_x);
    check_packed(p, 1, got, start);
    check_extra(p, 1, start, scale);
    free(start);
    free(want);
    free(got);
}

static void check_weights(problem *p, double *scale)
{
    float *start = numbers(p->n_w), *want = copied(start, p->n_w);
    float *got = guarded(p->n_w);
    double top = largest(p->x, p->n_x);
    cgd__conv q = cgd__conv_of(&p->s, CGD__WEIGHTS, got, p->x, p->y);
    size_t i;
    memcpy(got, start, p->n_w * sizeof(float));
    run_reference(p, CGD__WEIGHTS, want, p->x, p->y);
    run_job(p, &q);
    for (i = 0; i < p->s.o; i++) scale[i] = 0;
    for (i = 0; i < p->n_y; i++)
        scale[i % p->s.o] += top * fabs((double)p->y[i]);
    compare(p, "weights", got, want, start, p->n_w, p->s.o, scale);
    check_guard(got, p->n_w);
    free(start);
    free(want);
    free(got);
}

static void check_problem(problem *p)
{
    double scale[256];
    int sum;
    for (sum = 0; sum < 3; sum++) {
        p->n_scratch[sum] = cgd__conv_bytes(&context, p->fast, &p->s, sum,
                                            sum != CGD__WEIGHTS)
                          / sizeof(float);
        p->scratch[sum] = guarded(p->n_scratch[sum]);
    }
    check_forward(p, scale);
    check_adjoint(p, scale);
    check_weights(p, scale);
    for (sum = 0; sum < 3; sum++) {
        check_guard(p->scratch[sum], p->n_scratch[sum]);
        free(p->scratch[sum]);
    }
}

/* The next fast table of this build and processor, or NULL. */
static const cgd__kernels *next_fast(size_t *at)
{
    while (*at < CGD__ALL_KERNELS) {
        const cgd__kernels *k = cgd__all_kernels[(*at)++];
        if (k != &cgd__kernels_reference && cgd__kernels_supported(k))
            return k;
    }
    return NULL;
}

/* The largest differences in units of their bounds: sums, Winograd's, bf16. */
static double worst[3];

/* Draw a problem's numbers and check it with every fast table. */
static void check_shape(size_t n, size_t h, size_t w, size_t c, size_t o,
                          const cgd_window *window, int flags)
{
    problem p;
    size_t at = 0;
    memset(&p, 0, sizeof p);
    if (!cgd__shape_from(&p.s, n, h, w, c, o, window)) {
        test_failure(__FILE__, __LINE__, "a shape that fits");
        return;
    }
    p.worst = worst;
    p.n_x = n * h * w * c;
    p.n_y = n * p.s.oh * p.s.ow * o;
    p.n_w = window->kernel * window->kernel * c * o;
    p.x = numbers(p.n_x);
    p.y = numbers(p.n_y);
    p.w = numbers(p.n_w);
    p.b = numbers(c > o ? c : o);
    p.accumulate = flags & 1;
    p.bias = flags >> 1 & 1;
    while ((p.fast = next_fast(&at)) != NULL) check_problem(&p);
    free(p.x);
    free(p.y);
    free(p.w);
    free(p.b);
}

static void try_shape(size_t n, size_t h, size_t w, size_t c, size_t o,
                      size_t k, size_t stride, size_t pad, int mode, int flags)
{
    cgd_window window;
    window.kernel = k;
    window.stride = stride;
    window.pad = pad;
    window.pad_mode = mode;
    check_shape(n, h, w, c, o, &window, flags);
}

/* Scratch that was counted for something else is noticed before a byte is
 * written, in every build: each sum of shapes that take every method, on a
 * block one byte too short. */
static void a_sum_on_too_little_scratch_writes_nothing(void)
{
    static const cgd_window windows[4] = { { 3, 1, 1, CGD_PAD_REFLECT },
        { 3, 2, 1, CGD_PAD_ZERO }, { 7, 1, 3, CGD_PAD_REFLECT },
        { 4, 1, 1, CGD_PAD_ZERO } };
    static const size_t outputs[4] = { 64, 32, 3, 1 };
    const cgd__kernels *k;
    size_t at = 0, i, n_x = 20 * 20 * 64, n_w = 49 * 64 * 64;
    float *x = numbers(n_x), *y = numbers(n_x), *w = numbers(n_w);
    while ((k = next_fast(&at)) != NULL)
        for (i = 0; i < 4; i++) {
            int sum;
            cgd__shape s;
            CHECK(cgd__shape_from(&s, 1, 20, 20, 64, outputs[i], windows + i));
            for (sum = 0; sum < 3; sum++) {
                size_t bytes = cgd__conv_bytes(&context, k, &s, sum,
                                               sum != CGD__WEIGHTS);
                float *scratch = guarded(bytes / sizeof(float));
                float *out = guarded(sum == CGD__WEIGHTS ? n_w : n_x);
                cgd__conv q = cgd__conv_of(&s, sum, out,
                    sum == CGD__ADJOINT ? y : x, sum == CGD__WEIGHTS ? y : w);
                double moments[2 * 64];
                cgd__arena room = cgd__arena_on(scratch, bytes - 1);
                if (sum != CGD__WEIGHTS) q.moments = moments;
                CHECK(bytes > 0);
                memset(scratch, 1, bytes);
                memset(out, 1, sizeof *out);
                CHECK(!cgd__convolve(&context, k, &q, &room));
                CHECK(((unsigned char *)out)[0] == 1);
                CHECK(((unsigned char *)scratch)[0] == 1);
                CHECK(((unsigned char *)scratch)[bytes - 1] == 1);
                room = cgd__arena_on(scratch, bytes);
                CHECK(cgd__convolve(&context, k, &q, &room));
                check_guard(scratch, bytes / sizeof(float));
                free(scratch);
                free(out);
            }
        }
    free(x); free(y); free(w);
}

static const size_t counts[10] = { 1, 3, 5, 7, 13, 16, 17, 33, 64, 65 };

/* All pairs of channel counts; the rest goes around with them. */
static void fast_kernels_equal_the_reference_for_odd_channels(void)
{
    size_t i, j, turn = 0;
    for (i = 0; i < 10; i++)
        for (j = 0; j < 10; j++) {
            size_t rounds = counts[i] * counts[j] < 600 ? 2 : 1, round;
            for (round = 0; round < rounds; round++, turn++) {
                size_t k = 1 + turn % 7, stride = 1 + turn / 3 % 2;
                size_t pad = turn / 5 % k, n = 1 + turn % 3;
                try_shape(n, 7 + turn % 4, 8 + turn % 5, counts[i], counts[j],
                          k, stride, pad < 4 ? pad : 3, (int)(turn / 2 % 2),
                          (int)(turn / 4 % 4));
            }
        }
}

static void fast_kernels_equal_the_reference_for_all_windows(void)
{
    size_t k, stride, pad, turn = 0;
    int mode;
    for (k = 1; k <= 7; k++)
        for (stride = 1; stride <= 4; stride++)
            for (pad = 0; pad < k; pad++)
                for (mode = 0; mode < 2; mode++, turn++) {
                    try_shape(1 + turn % 3, 7, 9, 3, 5, k, stride, pad, mode,
                              (int)(turn % 4));
                    try_shape(1, 8, 7, 17, 1, k, stride, pad, mode,
                              (int)(turn / 2 % 4));
                }
    try_shape(1, 20, 17, 2, 3, 16, 3, 9, CGD_PAD_ZERO, 3);
}

/* Whole and broken tiles, all paddings, vectors of every width. */
static void fast_kernels_equal_the_reference_for_winograd(void)
{
    static const size_t widths[6] = { 4, 8, 16, 20, 48, 64 };
    size_t i, side, turn = 0;
    for (i = 0; i < 6; i++)
        for (side = 6; side <= 14; side += 2 - i % 2, turn++) {
            size_t o = widths[(i + turn) % 6], pad = turn % 3;
            try_shape(1 + turn % 3, side, 22 - side, widths[i], o, 3, 1, pad,
                      (int)(turn / 2 % 2), (int)(turn % 4));
        }
    try_shape(1, 40, 70, 16, 32, 3, 1, 1, CGD_PAD_REFLECT, 1);
    try_shape(3, 33, 31, 48, 16, 3, 1, 1, CGD_PAD_ZERO, 2);
}

/* Whole and broken tiles of 16 pixels and 32 channels, both strides. */
static void fast_kernels_equal_the_reference_for_tiles(void)
{
    static const size_t widths[5] = { 32, 33, 48, 64, 77 };
    size_t i, k, turn = 0;
    for (i = 0; i < 5; i++)
        for (k = 1; k <= 4; k++, turn++)
            try_shape(1 + turn % 2, 7 + 3 * (turn % 5), 37 - 4 * (turn % 6),
                      widths[i], widths[(i + k) % 5], k, 1 + turn % 2,
                      turn % k, (int)(turn / 2 % 2), (int)(turn % 4));
    try_shape(1, 70, 66, 32, 40, 3, 2, 1, CGD_PAD_ZERO, 0);
    try_shape(1, 36, 64, 64, 32, 3, 1, 1, CGD_PAD_REFLECT, 1);
}

/* The smallest maps a window takes, and ones that fill several slices and
 * more than one block of pixels or taps. */
static void fast_kernels_equal_the_reference_for_extreme_sizes(void)
{
    size_t k, c = 0;
    for (k = 1; k <= 7; k++)
        for (c = 1; c < 20; c += 9) {
            try_shape(1, 1, 1, c, 3, k, 1, k - 1, CGD_PAD_ZERO, 2);
            try_shape(3, k, k, 3, c, k, 1, 0, CGD_PAD_ZERO, 1);
            try_shape(2, 1, k + 3, c, c, k, 1, k / 2, CGD_PAD_ZERO, 3);
            if (k / 2 < 4)
                try_shape(1, k / 2 + 1, 40, c, 5, k, 2, k / 2,
                          CGD_PAD_REFLECT, 0);
        }
    try_shape(1, 40, 41, 33, 16, 3, 1, 1, CGD_PAD_REFLECT, 3);
    try_shape(2, 33, 34, 3, 17, 7, 1, 3, CGD_PAD_REFLECT, 2);
    try_shape(2, 35, 30, 16, 33, 4, 2, 1, CGD_PAD_ZERO, 1);
    try_shape(1, 9, 8, 130, 129, 3, 2, 1, CGD_PAD_ZERO, 0);
    CHECK(worst[0] > 0.01 && worst[0] <= 1);   /* the bounds are near enough */
    CHECK(worst[1] > 0.01 && worst[1] <= 1);
    CHECK(worst[2] <= 1);
}

/* ---- depthwise -----------------------------------------------------------*/

static void near_all(const float *a, const float *b, size_t n, double least)
{
    size_t i;
    for (i = 0; i < n; i++)
        CHECK_NEAR(a[i], b[i], least * (1 + fabs((double)b[i])));
}

/* A depthwise convolution is one whose weights between channels are zero, which
 * the reference can do. */
static void check_depthwise(cgd_ctx *ctx, cgd_ctx *plain, size_t c,
                            const cgd_window *q)
{
    size_t h = 9, w = 14, taps = q->kernel * q->kernel, i;
    size_t oh = (h + 2 * q->pad - q->kernel) / q->stride + 1;
    size_t ow = (w + 2 * q->pad - q->kernel) / q->stride + 1;
    size_t n_x = 2 * h * w * c, n_y = 2 * oh * ow * c;
    float *x = numbers(n_x), *dy = numbers(n_y), *own = numbers(taps * c);
    float *b = numbers(c), *all = (float *)calloc(taps * c * c, sizeof *all);
    float *y[2], *dx[2], *dw = copied(own, taps * c), *d_all;
    cgd_tensor in = cgd_tensor_view(2, h, w, c, x), out, grad;
    for (i = 0; i < taps * c; i++) all[i * c + i % c] = own[i];
    d_all = copied(all, taps * c * c);
    for (i = 0; i < 2; i++) { y[i] = guarded(n_y); dx[i] = guarded(n_x); }
    out = cgd_tensor_view(2, oh, ow, c, y[0]);
    CHECK(op_depthwise2d(ctx, &out, &in, own, b, q) == CGD_OK);
    out.data = y[1];
    CHECK(op_conv2d(plain, &out, &in, all, b, q) == CGD_OK);
    near_all(y[0], y[1], n_y, 1e-5);
    out.data = dy;
    grad = cgd_tensor_view(2, h, w, c, dx[0]);
    CHECK(op_depthwise2d_backward_data(ctx, &grad, &out, own, q) == CGD_OK);
    grad.data = dx[1];
    CHECK(op_conv2d_backward_data(plain, &grad, &out, all, q) == CGD_OK);
    near_all(dx[0], dx[1], n_x, 1e-5);
    CHECK(op_depthwise2d_backward_weights(ctx, dw, NULL, &in, &out, q)
          == CGD_OK);
    CHECK(op_conv2d_backward_weights(plain, d_all, NULL, &in, &out, q)
          == CGD_OK);
    for (i = 0; i < taps * c; i++)
        near_all(dw + i, d_all + i * c + i % c, 1, 1e-4);
    check_guard(y[0], n_y);
    check_guard(dx[0], n_x);
    for (i = 0; i < 2; i++) { free(y[i]); free(dx[i]); }
    free(x); free(dy); free(own); free(b); free(all); free(dw); free(d_all);
}

static void depthwise_kernels_equal_the_reference(void)
{
    static const cgd_window windows[5] = { { 3, 1, 1, CGD_PAD_REFLECT },
        { 3, 2, 1, CGD_PAD_ZERO }, { 1, 1, 0, CGD_PAD_ZERO },
        { 7, 1, 3, CGD_PAD_REFLECT }, { 4, 3, 3, CGD_PAD_ZERO } };
    cgd_ctx ctx, plain;
    size_t i, k, j;
    cgd_init(&ctx, NULL);
    cgd_init(&plain, NULL);
    CHECK(cgd_use_kernels(&plain, "reference") == CGD_OK);
    for (i = 0; i < CGD__ALL_KERNELS; i++) {
        if (cgd_use_kernels(&ctx, cgd__all_kernels[i]->name) != CGD_OK)
            continue;
        for (k = 0; k < 10; k++)
            for (j = 0; j < 5; j++)
                check_depthwise(&ctx, &plain, counts[k], windows + j);
    }
    cgd_free(&ctx);
    cgd_free(&plain);
}

/* ---- Adam ----------------------------------------------------------------*/

/* A handful of roundings, each of half an epsilon of what it rounds. */
static void fast_adam_equals_the_reference(void)
{
    static const size_t sizes[8] = { 1, 7, 8, 15, 16, 17, 33, 1000 };
    const cgd__kernels *fast;
    size_t at = 0, t, i;
    while ((fast = next_fast(&at)) != NULL)
        for (t = 0; t < 8; t++) {
            size_t n = sizes[t];
            float *g = numbers(n), *start = numbers(n), *old_v = numbers(n);
            float *p[2], *m[2], *v[2];
            for (i = 0; i < n; i++) old_v[i] *= old_v[i];
            for (i = 0; i < 2; i++) {
                p[i] = copied(start, n);
                m[i] = copied(g, n);
                v[i] = copied(old_v, n);
            }
            cgd__adam_ref(p[0], m[0], v[0], g, n, 0.9f, 0.99f, 0.01f, 1.5f,
                          1e-8f);
            fast->adam(p[1], m[1], v[1], g, n, 0.9f, 0.99f, 0.01f, 1.5f,
                       1e-8f);
            for (i = 0; i < n; i++) {
                double step = fabs((double)start[i] - (double)p[0][i]);
                CHECK_NEAR(m[0][i], m[1][i], 2 * FLT_EPSILON
                           * (fabs((double)g[i]) + 1e-30));
                CHECK_NEAR(v[0][i], v[1][i],
                           2 * FLT_EPSILON * (double)v[0][i]);
                CHECK_NEAR(p[0][i], p[1][i], FLT_EPSILON
                           * (fabs((double)start[i]) + 5 * step));
            }
            for (i = 0; i < 2; i++) { free(p[i]); free(m[i]); free(v[i]); }
            free(g);
            free(start);
            free(old_v);
        }
}

/* ---- names ---------------------------------------------------------------*/

static void kernels_are_chosen_by_name(void)
{
    cgd_ctx ctx;
    size_t i;
    cgd_init(&ctx, NULL);
    for (i = 0; i < CGD__ALL_KERNELS; i++) {
        const cgd__kernels *k = cgd__all_kernels[i];
        int has = cgd__kernels_supported(k);
        CHECK(cgd_use_kernels(&ctx, NULL) == CGD_OK);
        CHECK(ctx.kernels == cgd__best_kernels());
        CHECK(cgd_use_kernels(&ctx, k->name)
              == (has ? CGD_OK : CGD_ERR_UNSUPPORTED));
        CHECK(ctx.kernels == (has ? k : cgd__best_kernels()));
        CHECK(cgd_use_kernels(&ctx, "fancy") == CGD_ERR_UNSUPPORTED);
        CHECK(ctx.kernels == (has ? k : cgd__best_kernels()));
        CHECK(!has || strstr(cgd_message(&ctx, CGD_ERR_UNSUPPORTED), k->name));
    }
    CHECK(cgd_use_kernels(&ctx, "") == CGD_OK);
    CHECK(ctx.kernels == cgd__best_kernels());
    cgd_free(&ctx);
}

/* ---- threads -------------------------------------------------------------*/

static size_t most_slices;             /* of a job, since it was set to 0    */

/* A parallel_for of a caller's own: all slices, the last one first. */
static void backwards(void *user, size_t slices,
                      void (*fn)(void *job, size_t slice), void *job)
{
    size_t i;
    CHECK(user == &most_slices);
    if (slices > most_slices) most_slices = slices;
    for (i = slices; i-- > 0; ) fn(job, i);
}

enum { WAYS = 5 };

/* Way 0 is one thread; 1, 2, 3 are 2, 3, 5 threads; 4 goes backwards. */
static void begin_way(cgd_ctx *ctx, int way)
{
    static const int threads[WAYS] = { 1, 2, 3, 5, 1 };
    cgd_options options;
    memset(&options, 0, sizeof options);
    options.threads = threads[way];
    if (way == 4) {
        options.parallel.parallel_for = backwards;
        options.parallel.user = &most_slices;
    }
    cgd_init(ctx, &options);
#ifdef CGD__THREADS
    CHECK((ctx->parallel.parallel_for != NULL) == (way > 0));
#endif
}

static size_t pool_bytes(const cgd_ctx *ctx)
{
#ifdef CGD__THREADS
    if (ctx->team) return sizeof *ctx->team + CGD__ALIGN + sizeof(void *);
#endif
    return ctx->team ? (size_t)-1 : 0;
}

/* Add to a slice's place, which no other slice may touch, after a while: so
 * that the other threads have the time to come and take some. */
static void count_slice(void *job, size_t slice)
{
    volatile int idle = 0;
    while (idle < (int)(slice % 5) / 4 * 100) idle++;
    ((unsigned char *)job)[slice]++;
}

#if defined(__linux__) && !defined(CGD_NO_STDIO) && defined(CGD__THREADS)
static void put(const char *folder, const char *name, const char *text)
{
    char path[400], *slash;
    FILE *f;
    sprintf(path, "%s/%s", folder, name);
    for (slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        cgd__mkdir(path);
        *slash = '/';
    }
    f = fopen(path, "wb");
    CHECK(f && fputs(text, f) >= 0);
    if (f) fclose(f);
}

static void default_threads_are_those_the_process_may_use(void)
{
    const char *base = getenv("TEST_TMP");
    char top[300], proc[330], sys[330];
    sprintf(top, "%.200s/test_kernels", base ? base : "build");
    sprintf(proc, "%s/proc", top);
    sprintf(sys, "%s/sys", top);
    CHECK(cgd__cores_allowed("/nowhere", "/nowhere", 7) == 7);
    put(proc, "status", "Name:\tx\nCpus_allowed:\tff\n"
        "Cpus_allowed_list:\t0-3,8,10-11\nMems:\t0\n");
    put(proc, "cgroup", "0::/\n");
    put(sys, "none", "");
    CHECK(cgd__cores_allowed(proc, sys, 64) == 7);
    CHECK(cgd__cores_allowed(proc, sys, 2) == 2);
    put(sys, "cpu.max", "max 100000\n");                    /* no quota     */
    CHECK(cgd__cores_allowed(proc, sys, 64) == 7);
    put(sys, "cpu.max", "250000 100000\n");                 /* two and half */
    CHECK(cgd__cores_allowed(proc, sys, 64) == 3);
    put(sys, "cpu.max", "1000 100000\n");
    CHECK(cgd__cores_allowed(proc, sys, 64) == 1);
    put(sys, "cpu.max", "max 100000\n");
    put(proc, "cgroup", "0::/a/b\n");
    put(sys, "a/cpu.max", "400000 100000\n");               /* one above it */
    put(sys, "a/b/cpu.max", "500000 100000\n");
    CHECK(cgd__cores_allowed(proc, sys, 64) == 4);
    put(proc, "cgroup", "5:memory:/a/b\n3:cpu,cpuacct:/x\n1:cpuset:/a\n");
    put(sys, "cpu,cpuacct/x/cpu.cfs_quota_us", "-1\n");     /* no quota     */
    put(sys, "cpu,cpuacct/x/cpu.cfs_period_us", "50000\n");
    CHECK(cgd__cores_allowed(proc, sys, 64) == 7);
    put(sys, "cpu,cpuacct/x/cpu.cfs_quota_us", "100000\n");
    CHECK(cgd__cores_allowed(proc, sys, 64) == 2);
    put(proc, "cgroup", "1:cpu:/not/seen/from/inside\n");   /* a container  */
    put(sys, "cpu/cpu.cfs_quota_us", "25000\n");
    put(sys, "cpu/cpu.cfs_period_us", "50000\n");
    CHECK(cgd__cores_allowed(proc, sys, 64) == 1);
}
#endif

/* Thousands of small jobs in a row: late workers must not take anything. */
static void every_slice_runs_exactly_once(void)
{
    static unsigned char seen[64];
    size_t job, i, wrong = 0;
    int way;
    for (way = 1; way < WAYS; way++) {
        cgd_ctx ctx;
        begin_way(&ctx, way);
        for (job = 0; job < 100000; job++) {
            size_t slices = job % 61;
            memset(seen, 0, sizeof seen);
            cgd__for(&ctx, slices, count_slice, seen);
            for (i = 0; i < 64; i++) wrong += seen[i] != (i < slices);
        }
        cgd_free(&ctx);
    }
    CHECK(wrong == 0);
}

/* The operators' results, one after the other. */
typedef struct results { float *at; size_t count, limit; } results;

static cgd_tensor result(results *r, size_t n, size_t h, size_t w, size_t c)
{
    cgd_tensor t = cgd_tensor_view(n, h, w, c, r->at + r->count);
    size_t i;
    r->count += cgd_tensor_size(&t);
    if (r->count > r->limit) { printf("no room for results\n"); exit(1); }
    for (i = 0; i < cgd_tensor_size(&t); i++) t.data[i] = 0.25f;
    return t;
}

static const float *source;            /* many random numbers                */

static cgd_tensor given(size_t n, size_t h, size_t w, size_t c)
{
    return cgd_tensor_view(n, h, w, c, (float *)source);
}

/* The last call had a job of several slices, or this would show nothing. */
static void was_sliced(const char *what, int way)
{
    if (way == 4 && most_slices < 2) test_failure(__FILE__, __LINE__, what);
    most_slices = 0;
}

static void run_windows(cgd_ctx *ctx, results *r, int way)
{
    static const cgd_window windows[3] = { { 3, 1, 1, CGD_PAD_REFLECT },
        { 4, 2, 1, CGD_PAD_ZERO }, { 7, 1, 3, CGD_PAD_REFLECT } };
    size_t i;
    for (i = 0; i < 3; i++) {
        const cgd_window *q = windows + i;
        size_t h = (24 + 2 * q->pad - q->kernel) / q->stride + 1;
        cgd_tensor x = given(2, 24, 24, 13), y = given(2, h, h, 18);
        cgd_tensor big = result(r, 2, 24, 24, 13);
        cgd_tensor small = result(r, 2, h, h, 18);
        cgd_tensor dw = result(r, q->kernel, q->kernel, 13, 18);
        cgd_tensor db = result(r, 1, 1, 1, 18);
        CHECK(op_conv2d(ctx, &small, &x, source, source, q) == CGD_OK);
        was_sliced("conv2d", way);
        CHECK(op_deconv2d(ctx, &big, &y, source, source, q) == CGD_OK);
        was_sliced("deconv2d", way);
        CHECK(op_conv2d_backward_weights(ctx, dw.data, db.data, &x, &y, q)
              == CGD_OK);
        was_sliced("weights", way);
        x = given(2, 24, 24, 18);
        small = result(r, 2, h, h, 18);
        dw = result(r, q->kernel, q->kernel, 18, 1);
        CHECK(op_depthwise2d(ctx, &small, &x, source, NULL, q) == CGD_OK);
        was_sliced("depthwise2d", way);
        big = result(r, 2, 24, 24, 18);
        CHECK(op_depthwise2d_backward_data(ctx, &big, &y, source, q)
              == CGD_OK);
        was_sliced("depthwise data", way);
        CHECK(op_depthwise2d_backward_weights(ctx, dw.data, NULL, &x, &y, q)
              == CGD_OK);
        was_sliced("depthwise weights", way);
    }
}

static void run_norms(cgd_ctx *ctx, results *r, int way)
{
    int norm;
    for (norm = CGD_NORM_INSTANCE; norm <= CGD_NORM_BATCH; norm++) {
        cgd_tensor x = given(2, 40, 40, 13), dy = x;
        cgd_tensor y = result(r, 2, 40, 40, 13);
        cgd_tensor dx = result(r, 2, 40, 40, 13);
        cgd_tensor stats = result(r, 2, 1, 2, 13);
        cgd_tensor more = result(r, 4, 1, 1, 13);
        float *p = more.data;
        dy.data += 100;
        CHECK(op_norm(ctx, &y, &x, norm, source, source, stats.data, p,
                       p + 13) == CGD_OK);
        CHECK(op_norm_backward(ctx, &dx, &dy, &x, norm, source, stats.data,
                                p + 26, p + 39, 0) == CGD_OK);
        was_sliced("norm", way);
    }
}

static void run_others(cgd_ctx *ctx, results *r, int way)
{
    cgd_tensor x = given(2, 30, 31, 13), y = result(r, 2, 60, 62, 13);
    cgd_tensor dx = result(r, 2, 30, 31, 13), loss;
    int i;
    for (i = CGD_UP_NEAREST; i <= CGD_UP_BILINEAR; i++) {
        CHECK(op_upsample2(ctx, &y, &x, i) == CGD_OK);
        y.data[0] += 1;
        CHECK(op_upsample2_backward(ctx, &dx, &y, i) == CGD_OK);
    }
    y = result(r, 2, 34, 35, 13);
    CHECK(op_pad2d(ctx, &y, &x, 2, CGD_PAD_REFLECT) == CGD_OK);
    dx = result(r, 2, 30, 31, 13);
    CHECK(op_pad2d_backward(ctx, &dx, &y, 2, CGD_PAD_REFLECT) == CGD_OK);
    dx = result(r, 2, 30, 31, 13);
    CHECK(op_activate(ctx, &dx, &x, CGD_ACT_TANH) == CGD_OK);
    CHECK(op_activate_backward(ctx, &dx, &x, &dx, CGD_ACT_TANH) == CGD_OK);
    was_sliced("the others", way);
    loss = result(r, 1, 1, 1, 4);
    y = result(r, 2, 30, 31, 13);
    loss.data[0] = (float)cgd_loss_mse(ctx, &x, &dx, 3, &y, 1);
    loss.data[1] = (float)cgd_loss_l1(ctx, &x, &dx, 3, &y, 1);
    loss.data[2] = (float)cgd_loss_gan(ctx, &x, CGD_GAN_VANILLA, CGD_AS_FAKE,
                                       3, &dx);
    was_sliced("the losses", way);
}

static void run_adam(cgd_ctx *ctx, results *r, int way)
{
    cgd_adam adam = { 0.5f, 0.999f, 1e-8f };
    cgd_tensor p = result(r, 1, 1, 1, 50000), m = result(r, 1, 1, 1, 50000);
    cgd_tensor v = result(r, 1, 1, 1, 50000);
    cgd_adam_step(ctx, &adam, 2e-4f, 3, p.data, m.data, v.data, source, 50000);
    was_sliced("Adam", way);
}

#define RESULTS 1500000

static void operators_do_not_depend_on_threads(void)
{
    float *numbers_now = numbers(100000);
    size_t kernels;
    results r[2];
    int way;
    source = numbers_now;
    for (way = 0; way < 2; way++) {
        r[way].at = room(RESULTS);
        r[way].limit = RESULTS;
    }
    for (kernels = 0; kernels < CGD__ALL_KERNELS; kernels++) {
        if (!cgd__kernels_supported(cgd__all_kernels[kernels])) continue;
        for (way = 0; way < WAYS; way++) {
            results *now = r + (way > 0);
            cgd_ctx ctx;
            begin_way(&ctx, way);
            ctx.kernels = cgd__all_kernels[kernels];
            now->count = most_slices = 0;
            run_windows(&ctx, now, way);
            run_norms(&ctx, now, way);
            run_others(&ctx, now, way);
            run_adam(&ctx, now, way);
            CHECK(r[0].count == now->count);
            CHECK(memcmp(r[0].at, now->at, now->count * sizeof(float)) == 0);
            CHECK(cgd_memory_in_use(&ctx) == pool_bytes(&ctx));
            cgd_free(&ctx);
        }
    }
    free(r[0].at);
    free(r[1].at);
    free(numbers_now);
}

/* ---- whole steps ---------------------------------------------------------*/

/* A checksum of every bit; the values are compared through it. */
static void add_bits(cgd_u32 *sum, const void *data, size_t bytes)
{
    const unsigned char *at = (const unsigned char *)data;
    size_t i;
    if (!data) return;
    for (i = 0; i < bytes; i++) *sum = (*sum ^ at[i]) * 16777619U;
}

static void add_learner(cgd_u32 *sum, const cgd_learner *l)
{
    if (!l->net.params) return;
    add_bits(sum, l->net.params, l->net.state * sizeof(float));
    add_bits(sum, l->m, l->net.count * sizeof(float));
    add_bits(sum, l->v, l->net.count * sizeof(float));
    add_bits(sum, l->ema, l->net.state * sizeof(float));
}

/* Three steps; the sum of the losses' bits, then of everything that moved. */
static void run_steps(cgd_trainer *t, cgd_u32 sums[2])
{
    float *data = numbers(2 * 2 * 32 * 36 * 3);
    size_t i, half = 2 * 32 * 36 * 3;
    int step, s;
    for (i = 0; i < 2 * half; i++) data[i] = (float)tanh((double)data[i]);
    sums[0] = sums[1] = 2166136261U;
    for (step = 0; step < 3; step++) {
        cgd_losses losses;
        cgd_tensor a = cgd_tensor_view(2, 32, 36, 3, data);
        cgd_tensor b = cgd_tensor_view(2, 32, 36, 3, data + half);
        CHECK(cgd_train_step(t, step % 2 ? &b : &a, step % 2 ? &a : &b,
                             &losses) == CGD_OK);
        CHECK(losses.generators > 0);
        add_bits(sums, &losses, sizeof losses);
    }
    for (s = 0; s < 2; s++) {
        const cgd_pool *pool = &t->side[s].pool;
        add_learner(sums + 1, &t->side[s].g);
        add_learner(sums + 1, &t->side[s].d);
        add_bits(sums + 1, pool->data,
                 pool->filled * pool->picture * sizeof(float));
    }
    free(data);
}

static cgd_train_config small_training(void)
{
    cgd_train_config c = cgd_train_defaults();
    c.generator.width = c.discriminator.width = 5;
    c.generator.blocks = 2;
    c.discriminator.layers = 2;
    c.batch = 2;
    c.height = 32;
    c.width = 36;
    c.pool = 3;
    c.ema = 0.99f;
    c.init = CGD_INIT_PYTORCH;
    return c;
}

static void train_once(cgd_ctx *ctx, cgd_u32 sums[2])
{
    cgd_train_config c = small_training();
    cgd_trainer t;
    cgd_rng_seed(&dice, 77, 0);
    CHECK(cgd_trainer_init(ctx, &t, &c, NULL, NULL) == CGD_OK);
    run_steps(&t, sums);
    cgd_trainer_free(&t);
}

static void distil_once(cgd_ctx *ctx, cgd_u32 sums[2])
{
    cgd_train_config c = small_training();
    cgd_generator_config g;
    cgd_net teacher;
    cgd_trainer t;
    c.transfer = CGD_TRANSFER_UPDOWN;
    c.output_weight = 10;
    c.feature_weight = 1;
    c.train_reverse = 1;
    c.generator.up = CGD_UP_BILINEAR;
    c.generator.norm = c.discriminator.norm = CGD_NORM_BATCH;
    g = c.generator;
    g.blocks = 4;
    cgd_rng_seed(&dice, 78, 0);
    CHECK(cgd_generator_init(ctx, &teacher, &g) == CGD_OK);
    cgd_net_init_weights(&teacher, CGD_INIT_PYTORCH, &dice);
    CHECK(cgd_trainer_init(ctx, &t, &c, &teacher, NULL) == CGD_OK);
    run_steps(&t, sums);
    cgd_trainer_free(&t);
    cgd_net_free(&teacher);
}

static void check_steps(void (*run)(cgd_ctx *ctx, cgd_u32 sums[2]))
{
    size_t kernels;
    for (kernels = 0; kernels < CGD__ALL_KERNELS; kernels++) {
        const cgd__kernels *k = cgd__all_kernels[kernels];
        cgd_u32 first[2] = { 0, 0 }, sums[2];
        int way;
        if (k == &cgd__kernels_reference || !cgd__kernels_supported(k))
            continue;                  /* the reference only takes longer    */
        for (way = 0; way < WAYS; way++) {
            cgd_ctx ctx;
            begin_way(&ctx, way);
            ctx.kernels = k;
            run(&ctx, way ? sums : first);
            if (way)
                CHECK(sums[0] == first[0] && sums[1] == first[1]);
            cgd_free(&ctx);
        }
    }
}

static void training_steps_do_not_depend_on_threads(void)
{
    check_steps(train_once);
}

static void distillation_steps_do_not_depend_on_threads(void)
{
    check_steps(distil_once);
}

int main(void)
{
    cgd_init(&context, NULL);
    cgd_rng_seed(&dice, 41, 0);
    RUN(fast_kernels_equal_the_reference_for_odd_channels);
    RUN(fast_kernels_equal_the_reference_for_all_windows);
    RUN(fast_kernels_equal_the_reference_for_winograd);
    RUN(fast_kernels_equal_the_reference_for_tiles);
    RUN(fast_kernels_equal_the_reference_for_extreme_sizes);
    RUN(a_sum_on_too_little_scratch_writes_nothing);
    RUN(depthwise_kernels_equal_the_reference);
    RUN(fast_adam_equals_the_reference);
    RUN(kernels_are_chosen_by_name);
#if defined(__linux__) && !defined(CGD_NO_STDIO) && defined(CGD__THREADS)
    RUN(default_threads_are_those_the_process_may_use);
#endif
    RUN(every_slice_runs_exactly_once);
    RUN(operators_do_not_depend_on_threads);
    RUN(training_steps_do_not_depend_on_threads);
    RUN(distillation_steps_do_not_depend_on_threads);
    cgd_free(&context);
    return test_end();
}
