/* How fast is it?   make bench
 *
 * Prints one line per figure, "name value unit", medians of repeated runs:
 * the machine's peak, every convolution shape of teacher and student, whole
 * nets, whole steps and their memory, and how these grow with pixels and
 * residual blocks. Names end in the number of threads.
 * In the end comes a table of it all, its lines beginning with #.
 * Arguments pick figures by the beginning of their names: bench conv_ fma_
 * A first argument such as 2t takes that many threads only.
 */
#define CGD_IMPLEMENTATION
#include "../cycle_gan_distil.h"
#include <stdio.h>
#include <stdlib.h>
#if defined(__unix__) || defined(__APPLE__)
#include <sys/time.h>
#else
#include <time.h>
#endif

#define MAX_RUNS 101

static int threads;                    /* of the figures being taken         */
static double peak;                    /* GFLOP/s with so many threads       */
static char **wanted;

static double seconds(void)
{
#if defined(__unix__) || defined(__APPLE__)
    struct timeval t;
    gettimeofday(&t, NULL);
    return (double)t.tv_sec + 1e-6 * (double)t.tv_usec;
#else
    return (double)clock() / CLOCKS_PER_SEC;
#endif
}

/* Is a figure, or a group of figures, among those asked for? */
static int wants(const char *name)
{
    char **w;
    size_t n = strlen(name);
    if (!*wanted) return 1;
    for (w = wanted; *w; w++)
        if (strncmp(name, *w, strlen(*w) < n ? strlen(*w) : n) == 0) return 1;
    return 0;
}

/* ---- figures, a line each, and the table ---------------------------------*/

/* A figure's value with one number of threads and another; what belongs to
 * it, such as memory, with the last one. */
typedef struct {
    char name[48];
    double value[2];                   /* 0: not taken                       */
    const char *unit;
    char rest[120];
} row;

static row rows[200];
static size_t n_rows;
static int column, column_threads[2];

static row *row_of(const char *name)
{
    size_t i = 0;
    while (i < n_rows && strcmp(rows[i].name, name) != 0) i++;
    if (i == sizeof rows / sizeof *rows) exit(1);
    if (i == n_rows) strcpy(rows[n_rows++].name, name);
    return rows + i;
}

/* The figure itself has no suffix and comes before what belongs to it. */
static void report(const char *name, const char *suffix, double value,
                   const char *unit)
{
    row *r = row_of(name);
    printf("%s_%dt%s %.4g %s\n", name, threads, suffix, value, unit);
    fflush(stdout);
    if (*suffix) {
        sprintf(r->rest + strlen(r->rest), "%9.4g %s", value, unit);
        return;
    }
    r->value[column] = value;
    r->unit = unit;
    r->rest[0] = 0;
}

static void print_table(void)
{
    size_t i;
    int c;
    printf("#\n# %-28s", "");
    for (c = 0; c < 2; c++)
        if (column_threads[c])
            printf("%8d %-8s", column_threads[c],
                   column_threads[c] == 1 ? "thread" : "threads");
    printf("\n");
    for (i = 0; i < n_rows; i++) {
        printf("# %-28s", rows[i].name);
        for (c = 0; c < 2; c++)
            if (column_threads[c])
                printf("%8.4g %-8s", rows[i].value[c], rows[i].unit);
        printf("%s\n", rows[i].rest);
    }
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Median seconds of a call, repeated for at least a second or 101 times. */
static double median(void (*call)(void *), void *data)
{
    double took[MAX_RUNS], start = seconds();
    int n = 0;
    call(data);                        /* warm                               */
    while (n < 3 || (n < MAX_RUNS && seconds() - start < 1.5)) {
        double t = seconds();
        call(data);
        took[n++] = seconds() - t;
    }
    qsort(took, (size_t)n, sizeof *took, by_size);
    return took[n / 2];
}

/* ---- the machine ---------------------------------------------------------*/

#define FMA_ROUNDS 2000000L
#if defined(CGD__X86)
#if defined(__clang__)
#define OPTIMIZED
#else
#define OPTIMIZED __attribute__((optimize("O2")))
#endif
#define FMA_LOOP(name, set, V, W, SET1, FMA, STORE)                           \
__attribute__((target(set))) OPTIMIZED static double name(void)               \
{                                                                             \
    V a[12], x = SET1(0.999f), y = SET1(0.001f);                              \
    float out[16];                                                            \
    long i;                                                                   \
    int k;                                                                    \
    for (k = 0; k < 12; k++) a[k] = SET1((float)k);                           \
    for (i = 0; i < FMA_ROUNDS; i++)                                          \
        CGD__UNROLL for (k = 0; k < 12; k++) a[k] = FMA(a[k], x, y);          \
    for (k = 1; k < 12; k++) a[0] = FMA(a[0], x, a[k]);                       \
    STORE(out, a[0]);                                                         \
    if (out[0] == 12345) puts("");     /* the sum is used                    */\
    return 2.0 * 12 * W * FMA_ROUNDS;                                         \
}
FMA_LOOP(fma_avx512, "avx512f", __m512, 16, _mm512_set1_ps, _mm512_fmadd_ps,
         _mm512_storeu_ps)
FMA_LOOP(fma_avx2, "avx2,fma", __m256, 8, _mm256_set1_ps, _mm256_fmadd_ps,
         _mm256_storeu_ps)
#endif

static double fma_plain(void)
{
    float a[16];
    long i;
    int k;
    for (k = 0; k < 16; k++) a[k] = (float)k;
    for (i = 0; i < FMA_ROUNDS; i++)
        for (k = 0; k < 16; k++) a[k] = a[k] * 0.999f + 0.001f;
    for (k = 1; k < 16; k++) a[0] += a[k];
    if (a[0] == 12345) puts("");
    return 2.0 * 16 * FMA_ROUNDS;
}

static double (*fma_loop)(void) = fma_plain;

static void fma_slice(void *job, size_t slice)
{
    ((double *)job)[slice] = fma_loop();
}

static void bench_peak(cgd_ctx *ctx)
{
    double work[64], start, best = 0, total = 0;
    int run, i;
#if defined(CGD__X86)
    if (strcmp(cgd_kernels_name(ctx), "avx512") == 0
        || strncmp(cgd_kernels_name(ctx), "bf16", 4) == 0)
        fma_loop = fma_avx512;
    if (strcmp(cgd_kernels_name(ctx), "avx2") == 0) fma_loop = fma_avx2;
#endif
    for (run = 0; run < 7; run++) {
        start = seconds();
        cgd__for(ctx, (size_t)threads, fma_slice, work);
        start = seconds() - start;
        for (total = 0, i = 0; i < threads; i++) total += work[i];
        if (total / start > best) best = total / start;
    }
    peak = best * 1e-9;
    if (wants("fma_peak")) report("fma_peak", "", best * 1e-9, "GFLOP/s");
}

typedef struct { const float *data; size_t part; double sums[64]; } reading;

static void read_slice(void *job, size_t slice)
{
    reading *r = (reading *)job;
    const float *p = r->data + slice * r->part;
    float sum[16] = { 0 };
    size_t i, k;
    for (i = 0; i < r->part; i += 16)
        for (k = 0; k < 16; k++) sum[k] += p[i + k];
    r->sums[slice] = (double)sum[0] + (double)sum[7];
}

static void bench_memory(cgd_ctx *ctx)
{
    size_t count = 64 << 20, i;
    float *data = (float *)malloc(count * sizeof *data);
    double best = 1e9, start;
    reading r;
    if (!data) return;
    for (i = 0; i < count; i++) data[i] = 1;
    r.data = data;
    r.part = count / (size_t)threads / 16 * 16;
    for (i = 0; i < 5; i++) {
        start = seconds();
        cgd__for(ctx, (size_t)threads, read_slice, &r);
        if (seconds() - start < best) best = seconds() - start;
    }
    report("memory_read", "", (double)count * 4e-9 / best, "GB/s");
    free(data);
}

/* ---- convolutions --------------------------------------------------------*/

typedef struct {
    const char *name;
    size_t h, c, o, kernel, stride, pad;
    int pad_mode, deconv;              /* h: of the side a layer reads       */
} conv_case;

static const conv_case convs[] = {
    { "conv_stem", 256, 3, 64, 7, 1, 3, CGD_PAD_REFLECT, 0 },
    { "conv_down1", 256, 64, 128, 3, 2, 1, CGD_PAD_ZERO, 0 },
    { "conv_down2", 128, 128, 256, 3, 2, 1, CGD_PAD_ZERO, 0 },
    { "conv_res", 64, 256, 256, 3, 1, 1, CGD_PAD_REFLECT, 0 },
    { "conv_up1", 64, 256, 128, 3, 2, 1, CGD_PAD_ZERO, 1 },
    { "conv_up2", 128, 128, 64, 3, 2, 1, CGD_PAD_ZERO, 1 },
    { "conv_head", 256, 64, 3, 7, 1, 3, CGD_PAD_REFLECT, 0 },
    { "conv_disc2", 128, 64, 128, 4, 2, 1, CGD_PAD_ZERO, 0 },
    { "conv_disc4", 32, 256, 512, 4, 1, 1, CGD_PAD_ZERO, 0 },
    { "conv_res_64_16", 16, 64, 64, 3, 1, 1, CGD_PAD_REFLECT, 0 },
    { "conv_stem_64_16", 64, 3, 16, 7, 1, 3, CGD_PAD_REFLECT, 0 },
    { "conv_head_64_16", 64, 16, 3, 7, 1, 3, CGD_PAD_REFLECT, 0 }
};

typedef struct {
    cgd_ctx *ctx;
    cgd__shape s;
    float *x, *y, *w, *scratch;
    size_t bytes;                      /* of scratch                         */
    int pass;                          /* 0 forward, 1 data, 2 weights       */
} conv_job;

static void run_conv(void *data)
{
    conv_job *q = (conv_job *)data;
    cgd__conv job = cgd__conv_of(&q->s, q->pass,
        q->pass == 0 ? q->y : q->pass == 1 ? q->x : q->w,
        q->pass == 1 ? q->y : q->x, q->pass == 2 ? q->y : q->w);
    cgd__arena scratch = cgd__arena_on(q->scratch, q->bytes);
    if (!cgd__convolve(q->ctx, q->ctx->kernels, &job, &scratch)) exit(1);
}

static float *values(size_t count)
{
    float *p = (float *)malloc(count * sizeof *p + 64);
    size_t i;
    if (!p) { fprintf(stderr, "bench: out of memory\n"); exit(1); }
    for (i = 0; i < count; i++) p[i] = (float)(i * 7919 % 1009) / 1009 - 0.5f;
    return p;
}

static void bench_conv(cgd_ctx *ctx, const conv_case *c)
{
    static const char *const pass_name[3] = { "_fwd", "_bwd_data",
                                              "_bwd_weights" };
    cgd_window window;
    conv_job q;
    double flop;
    int pass;
    if (!wants(c->name)) return;
    window.kernel = c->kernel;
    window.stride = c->stride;
    window.pad = c->pad;
    window.pad_mode = c->pad_mode;
    q.ctx = ctx;
    if (c->deconv)
        cgd__shape_from(&q.s, 1, 2 * c->h, 2 * c->h, c->o, c->c, &window);
    else
        cgd__shape_from(&q.s, 1, c->h, c->h, c->c, c->o, &window);
    q.x = values(q.s.h * q.s.w * q.s.c);
    q.y = values(q.s.oh * q.s.ow * q.s.o);
    q.w = values(c->kernel * c->kernel * c->c * c->o);
    flop = 2.0 * (double)(q.s.oh * q.s.ow) * (double)(c->kernel * c->kernel)
         * (double)c->c * (double)c->o;
    for (pass = 0; pass < 3; pass++) {
        char name[64];
        double t;
        /* the forward pass of a transposed convolution is an adjoint */
        q.pass = c->deconv && pass < 2 ? 1 - pass : pass;
        sprintf(name, "%s%s", c->name, pass_name[pass]);
        if (!wants(name)) continue;
        q.bytes = cgd__conv_bytes(ctx, ctx->kernels, &q.s, q.pass, 0);
        q.scratch = values(q.bytes / sizeof(float));
        t = median(run_conv, &q);
        free(q.scratch);
        report(name, "", t * 1e3, "ms");
        report(name, "_rate", flop / t * 1e-9, "GFLOP/s");
        report(name, "_share", flop / t * 1e-7 / peak, "%");
    }
    free(q.x); free(q.y); free(q.w);
}

/* ---- nets and steps ------------------------------------------------------*/

/* What the net or step measured last takes. */
static struct { double ms, mb; } taken;

static void report_taken(const char *name, double ms, size_t bytes)
{
    taken.ms = ms;
    taken.mb = (double)bytes * 1e-6;
    report(name, "", taken.ms, "ms");
    report(name, "_peak", taken.mb, "MB");
}

typedef struct { cgd_pass pass; cgd_tensor x; } net_job;

static void run_net(void *data)
{
    net_job *q = (net_job *)data;
    cgd_pass_forward(&q->pass, &q->x);
}

/* What inference may spend on packed weights. */
#define PACKS ((size_t)96 << 20)

/* Inference of a generator; memory is what the context and its objects hold. */
static void bench_net(cgd_ctx *ctx, const char *name, size_t size, int width,
                      int blocks)
{
    cgd_generator_config g = cgd_generator_defaults();
    cgd_rng rng;
    cgd_net net;
    net_job q;
    size_t before = cgd_memory_in_use(ctx);
    if (!wants(name)) return;
    g.width = width;
    g.blocks = blocks;
    cgd_rng_seed(&rng, 1, 0);
    q.x = cgd_tensor_view(1, size, size, 3, values(size * size * 3));
    if (cgd_generator_init(ctx, &net, &g) != CGD_OK) exit(1);
    cgd_net_init_weights(&net, CGD_INIT_NORMAL, &rng);
    if (cgd_net_pack(&net, PACKS) != CGD_OK) exit(1);
    if (cgd_pass_init(&q.pass, &net, 1, size, size, CGD_INFER, NULL, 0, NULL)
        != CGD_OK) exit(1);
    report_taken(name, median(run_net, &q) * 1e3,
                 cgd_memory_in_use(ctx) - before);
    report(name, "_pixel", taken.ms * 1e6 / (double)(size * size), "ns/pixel");
    cgd_pass_free(&q.pass);
    cgd_net_free(&net);
    free(q.x.data);
}

typedef struct { cgd_trainer t; cgd_tensor a, b; } step_job;

static void run_step(void *data)
{
    step_job *q = (step_job *)data;
    cgd_losses losses;
    if (cgd_train_step(&q->t, &q->a, &q->b, &losses) != CGD_OK) exit(1);
}

static void time_step(cgd_ctx *ctx, const char *name, step_job *q,
                      size_t size, size_t before)
{
    double ms;
    q->a = cgd_tensor_view(1, size, size, 3, values(size * size * 3));
    q->b = cgd_tensor_view(1, size, size, 3, values(size * size * 3));
    ms = median(run_step, q) * 1e3;
    report_taken(name, ms, cgd_memory_in_use(ctx) - before);
    free(q->a.data);
    free(q->b.data);
    cgd_trainer_free(&q->t);
}

static void set_shape(cgd_train_config *c, size_t size, int width)
{
    c->generator.width = width;
    c->discriminator.width = width;
    c->height = c->width = size;
    c->pool = 0;
}

static void bench_train(cgd_ctx *ctx, const char *name, size_t size,
                        int width, int blocks, int recompute)
{
    cgd_train_config c = cgd_train_defaults();
    size_t before = cgd_memory_in_use(ctx);
    step_job q;
    if (!wants(name)) return;
    set_shape(&c, size, width);
    c.generator.blocks = blocks;
    c.recompute = recompute;
    if (cgd_trainer_init(ctx, &q.t, &c, NULL, NULL) != CGD_OK) exit(1);
    time_step(ctx, name, &q, size, before);
}

/* A recipe, with the reverse generator frozen where it needs one, on pictures
 * that the teacher has seen. */
static void bench_distil(cgd_ctx *ctx, const char *name,
                         cgd_train_config d, size_t size, int width)
{
    cgd_generator_config g = cgd_generator_defaults();
    size_t before = cgd_memory_in_use(ctx);
    cgd_net teacher, reverse;
    cgd_rng rng;
    step_job q;
    if (!wants(name)) return;
    set_shape(&d, size, width);
    d.train_reverse = 0;
    g.width = width;
    cgd_rng_seed(&rng, 1, 0);
    if (cgd_generator_init(ctx, &teacher, &g) != CGD_OK
        || cgd_generator_init(ctx, &reverse, &g) != CGD_OK) exit(1);
    cgd_net_init_weights(&teacher, CGD_INIT_NORMAL, &rng);
    cgd_net_init_weights(&reverse, CGD_INIT_NORMAL, &rng);
    if (cgd_trainer_init(ctx, &q.t, &d, &teacher, &reverse) != CGD_OK)
        exit(1);
    cgd_net_free(&teacher);
    cgd_net_free(&reverse);
    time_step(ctx, name, &q, size, before);
}

/* ---- growth --------------------------------------------------------------*/

/* What each unit that a series has grown by costs, from its first member on:
 * the same again and again, where cost and memory grow linearly. */
static void report_growth(const char *name, double units, const char *what)
{
    static double first_ms, first_mb;
    char unit[24];
    if (!wants(name)) return;
    if (units == 0) {
        first_ms = taken.ms;
        first_mb = taken.mb;
        return;
    }
    sprintf(unit, "us/%s", what);
    report(name, "_time", (taken.ms - first_ms) * 1e3 / units, unit);
    sprintf(unit, "KB/%s", what);
    report(name, "_memory", (taken.mb - first_mb) * 1e3 / units, unit);
}

static void bench_growth(cgd_ctx *ctx, int train)
{
    const char *what = train ? "_train" : "";
    size_t size, most = train ? 512 : 1024;
    char name[64];
    int blocks;
    for (size = 64; size <= most; size *= 2) {
        sprintf(name, "scale%s_%lu_16", what, (unsigned long)size);
        if (train) bench_train(ctx, name, size, 16, 9, 0);
        else bench_net(ctx, name, size, 16, 9);
        report_growth(name, (double)(size * size - 64 * 64) / 1000, "kpixel");
    }
    for (blocks = 1; blocks <= 9; blocks += 2) {
        sprintf(name, "blocks%s_%d_128_32", what, blocks);
        if (train) bench_train(ctx, name, 128, 32, blocks, 0);
        else bench_net(ctx, name, 128, 32, blocks);
        report_growth(name, blocks - 1, "block");
    }
}

/* Memory that keeps the block freed last for the next call that fits it, so
 * that a convolution by itself does not pay for fresh pages; in a pass it
 * finds its scratch planned and warm. */
static struct { void *block; size_t size; } kept;

static void *keeping_alloc(void *user, size_t bytes)
{
    void *block = kept.block;
    (void)user;
    if (!block || bytes > kept.size || bytes < kept.size / 2)
        return malloc(bytes);
    kept.block = NULL;
    return block;
}

static void keeping_release(void *user, void *block, size_t bytes)
{
    void *other = kept.block;
    (void)user;
    kept.block = block;
    kept.size = bytes;
    free(other);
}

static void bench_all(void)
{
    static const struct { const char *name; size_t size; int width; }
        sizes[4] = { { "256_64", 256, 64 }, { "128_32", 128, 32 },
                     { "64_16", 64, 16 }, { "512_32", 512, 32 } };
    cgd_options options;
    cgd_ctx ctx;
    cgd_train_config lean = cgd_distil_original();
    char name[64];
    size_t i;
    lean.recompute = 1;
    memset(&options, 0, sizeof options);
    options.threads = threads;
    options.allocator.alloc = keeping_alloc;
    options.allocator.release = keeping_release;
    cgd_init(&ctx, &options);
    if (cgd_use_kernels(&ctx, getenv("CGD_ISA")) != CGD_OK) {
        fprintf(stderr, "bench: %s\n",
                cgd_message(&ctx, CGD_ERR_UNSUPPORTED));
        exit(1);
    }
    column_threads[column] = threads;
    printf("# %s kernels, %d threads\n", cgd_kernels_name(&ctx), threads);
    bench_peak(&ctx);
    if (wants("memory_read")) bench_memory(&ctx);
    for (i = 0; i < sizeof convs / sizeof *convs; i++)
        bench_conv(&ctx, convs + i);
    for (i = 0; i < 3; i++) {
        sprintf(name, "teacher_%s", sizes[i].name);
        bench_net(&ctx, name, sizes[i].size, sizes[i].width, 9);
        sprintf(name, "student_%s", sizes[i].name);
        bench_net(&ctx, name, sizes[i].size, sizes[i].width, 3);
    }
    for (i = 0; i < 4; i++) {
        sprintf(name, "train_%s", sizes[i].name);
        bench_train(&ctx, name, sizes[i].size, sizes[i].width, 9, 0);
        sprintf(name, "recompute_train_%s", sizes[i].name);
        bench_train(&ctx, name, sizes[i].size, sizes[i].width, 9, 1);
        sprintf(name, "distil_%s", sizes[i].name);
        bench_distil(&ctx, name, cgd_distil_original(), sizes[i].size,
                     sizes[i].width);
        sprintf(name, "recompute_distil_%s", sizes[i].name);
        bench_distil(&ctx, name, lean, sizes[i].size, sizes[i].width);
        sprintf(name, "best_%s", sizes[i].name);
        bench_distil(&ctx, name, cgd_distil_defaults(), sizes[i].size,
                     sizes[i].width);
    }
    bench_growth(&ctx, 0);
    bench_growth(&ctx, 1);
    cgd_free(&ctx);
}

int main(int argc, char **argv)
{
    wanted = argv + 1;
    threads = argc > 1 ? atoi(argv[1]) : 0;
    if (threads > 0 && threads <= 64) {
        wanted++;
        bench_all();
    } else
        for (threads = 1; threads <= 2; threads++, column++) bench_all();
    print_table();
    return fflush(stdout) != 0 || ferror(stdout);
}
