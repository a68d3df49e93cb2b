/* Numbers from PyTorch: the files tests/golden/NAME.safetensors, written by
 * tools/make_goldens.py, read through the library and turned into its
 * layouts. Tests run in the repository's root. */
#ifndef GOLDEN_H
#define GOLDEN_H

#include <stdlib.h>
#include <string.h>

#define GOLDEN_BLOCKS 512

typedef struct golden {
    cgd_ctx *ctx;
    cgd_file file;
    const char *name;             /* of the case: the front of its tensors'  */
    const char *params;           /* its words, such as "op=conv k=3 s=1"    */
    unsigned char *asked;         /* for which tensors somebody has asked    */
    void *blocks[GOLDEN_BLOCKS];  /* what this case has been lent            */
    size_t n_blocks;
} golden;

/* Memory until the next case, filled with a number nobody expects. */
static float *golden_floats(golden *g, size_t count)
{
    float *block = (float *)malloc((count + 1) * sizeof(float));
    size_t i;
    if (!block || g->n_blocks == GOLDEN_BLOCKS) {
        printf("no memory for a golden case\n");
        exit(1);
    }
    for (i = 0; i <= count; i++) block[i] = 777.0f;
    g->blocks[g->n_blocks++] = block;
    return block;
}

static void golden_forget(golden *g)
{
    while (g->n_blocks > 0) free(g->blocks[--g->n_blocks]);
}

static int golden_open(golden *g, cgd_ctx *ctx, const char *path)
{
    cgd_status status;
    memset(g, 0, sizeof *g);
    g->ctx = ctx;
    status = cgd_file_open(ctx, &g->file, path);
    CHECK(status == CGD_OK);
    if (status != CGD_OK) {
        printf("    %s\n", cgd_message(ctx, status));
        return 0;
    }
    g->asked = (unsigned char *)calloc(g->file.n_tensors + 1, 1);
    return g->asked != NULL;
}

static void golden_close(golden *g)
{
    golden_forget(g);
    free(g->asked);
    cgd_file_close(&g->file);
}

/* Go to the next case and return 1, or 0 at the end; *at starts at 0. */
static int golden_next(golden *g, size_t *at)
{
    golden_forget(g);
    while (*at < g->file.n_meta) {
        const char *key = g->file.meta[2 * *at];
        const char *value = g->file.meta[2 * *at + 1];
        ++*at;
        if (strncmp(value, "op=", 3) != 0 && strncmp(value, "net=", 4) != 0)
            continue;
        g->name = key;
        g->params = value;
        return 1;
    }
    return 0;
}

/* Where a case's word "key=..." goes on behind the sign, or NULL. */
static const char *golden_word(const golden *g, const char *key)
{
    const char *s = g->params;
    size_t n = strlen(key);
    while (s) {
        if (strncmp(s, key, n) == 0 && s[n] == '=') return s + n + 1;
        s = strchr(s, ' ');
        if (s) s++;
    }
    return NULL;
}

static int golden_is(const golden *g, const char *key, const char *value)
{
    const char *s = golden_word(g, key);
    size_t n = strlen(value);
    return s && strncmp(s, value, n) == 0 && (s[n] == ' ' || s[n] == 0);
}

static size_t golden_number(const golden *g, const char *key)
{
    const char *s = golden_word(g, key);
    return s ? (size_t)strtoul(s, NULL, 10) : 0;
}

/* The values of "case.key" in the file's own order; NULL if there are none. */
static float *golden_raw(golden *g, const char *key, size_t shape[4])
{
    char name[160];
    const cgd_file_tensor *t;
    size_t count = 1, i;
    float *values;
    sprintf(name, "%.60s.%.90s", g->name, key);
    t = cgd_file_find(&g->file, name);
    if (!t) return NULL;
    g->asked[t - g->file.tensors] = 1;
    for (i = 0; i < 4; i++) {
        shape[i] = i < t->rank ? t->shape[i] : 1;
        count *= shape[i];
    }
    values = golden_floats(g, count);
    CHECK(cgd_file_read(&g->file, t, 0, count, values) == CGD_OK);
    return values;
}

/* A batch of maps: (N, C, H, W) in the file. data is NULL if there is none. */
static cgd_tensor golden_map(golden *g, const char *key)
{
    size_t shape[4], n, c, p, pixels;
    float *raw = golden_raw(g, key, shape);
    cgd_tensor t = cgd_tensor_view(0, 0, 0, 0, NULL);
    if (!raw) return t;
    t = cgd_tensor_view(shape[0], shape[2], shape[3], shape[1], NULL);
    t.data = golden_floats(g, cgd_tensor_size(&t));
    pixels = t.h * t.w;
    for (n = 0; n < t.n; n++)
        for (c = 0; c < t.c; c++)
            for (p = 0; p < pixels; p++)
                t.data[(n * pixels + p) * t.c + c] =
                    raw[(n * t.c + c) * pixels + p];
    return t;
}

/* A tensor of parameters; NULL if there is none. One rule turns them all:
 * [a][b][tap] becomes [tap][b][a], which takes a convolution's (O, C, K, K)
 * to (K, K, C, O), a transposed one's (C, O, K, K) to (K, K, O, C), a
 * depthwise one's (C, 1, K, K) to (K, K, C), and leaves (C) alone. */
static float *golden_parameter(golden *g, const char *key, size_t *count)
{
    size_t shape[4], a, b, tap, taps;
    float *raw = golden_raw(g, key, shape), *p;
    *count = 0;
    if (!raw) return NULL;
    taps = shape[2] * shape[3];
    *count = shape[0] * shape[1] * taps;
    p = golden_floats(g, *count);
    for (a = 0; a < shape[0]; a++)
        for (b = 0; b < shape[1]; b++)
            for (tap = 0; tap < taps; tap++)
                p[(tap * shape[1] + b) * shape[0] + a] =
                    raw[(a * shape[1] + b) * taps + tap];
    return p;
}

/* Each difference is at most bound times the largest wanted magnitude. */
static void golden_near(const golden *g, const char *what, const float *got,
                        const float *want, size_t count, double bound)
{
    char text[240];
    double top = 0, worst = 0;
    size_t bad = 0, i;
    for (i = 0; i < count; i++)
        if (fabs((double)want[i]) > top) top = fabs((double)want[i]);
    for (i = 0; i < count; i++) {
        double off = fabs((double)got[i] - (double)want[i]);
        if (!(off <= bound * top)) bad++;
        if (off > worst) worst = off;
    }
    if (bad == 0 && count > 0) return;
    sprintf(text, "%.60s.%.60s (%.10s): %lu of %lu values are off, by up to "
            "%.2g of the largest", g->name, what, cgd_kernels_name(g->ctx),
            (unsigned long)bad, (unsigned long)count,
            top > 0 ? worst / top : worst);
    test_failure(__FILE__, __LINE__, text);
}

/* How many tensors with `part` in their names nobody has asked for. */
static size_t golden_unasked(const golden *g, const char *part)
{
    size_t i, count = 0;
    for (i = 0; i < g->file.n_tensors; i++)
        if (!g->asked[i] && strstr(g->file.tensors[i].name, part)) count++;
    return count;
}

/* The kernels to be tested, one after the other, as far as this build and
 * this processor have them; *at starts at 0. */
static int golden_kernels(cgd_ctx *ctx, size_t *at)
{
    static const char *const names[] = { "reference", "portable", "neon",
                                         "wasm", "avx2", "avx512" };
    while (*at < sizeof names / sizeof *names)
        if (cgd_use_kernels(ctx, names[(*at)++]) == CGD_OK) return 1;
    return 0;
}

#endif
