/* Frozen statistics and folding. */
#include <stdlib.h>
#include <string.h>
#define CGD_IMPLEMENTATION
#include "../cycle_gan_distil.h"
#include "test.h"

#define N(array) (sizeof (array) / sizeof *(array))

static cgd_ctx context;

/* ---- generators of every kind --------------------------------------------*/

typedef struct kind {
    const char *name;
    int norm, image_stats, up, block, in, out, stage[6];
} kind;

static const kind kinds[] = {
    { "instance", CGD_NORM_INSTANCE, 1, CGD_UP_DECONV, CGD_BLOCK_PLAIN,
      3, 3, { 0, 0, 0, 0, 0, 0 } },
    { "affine", CGD_NORM_INSTANCE_AFFINE, 1, CGD_UP_NEAREST, CGD_BLOCK_PLAIN,
      3, 3, { 0, 0, 0, 0, 0, 0 } },
    { "batch", CGD_NORM_BATCH, 1, CGD_UP_BILINEAR, CGD_BLOCK_PLAIN,
      3, 3, { 0, 0, 0, 0, 0, 0 } },
    { "running", CGD_NORM_BATCH, 0, CGD_UP_DECONV, CGD_BLOCK_SEPARABLE,
      3, 3, { 0, 0, 0, 0, 0, 0 } },
    { "stages", CGD_NORM_INSTANCE, 1, CGD_UP_DECONV, CGD_BLOCK_SEPARABLE,
      3, 3, { 5, 7, 9, 6, 8, 3 } },
    { "grey", CGD_NORM_INSTANCE_AFFINE, 1, CGD_UP_BILINEAR,
      CGD_BLOCK_SEPARABLE, 1, 1, { 0, 0, 0, 0, 0, 0 } },
    { "none", CGD_NORM_NONE, 1, CGD_UP_NEAREST, CGD_BLOCK_PLAIN,
      1, 3, { 4, 6, 7, 5, 6, 3 } }
};

/* A generator of that kind whose every parameter matters. */
static void build(cgd_net *net, const kind *k)
{
    cgd_generator_config g = cgd_generator_defaults();
    cgd_rng rng;
    size_t i, c;
    g.width = 4;
    g.blocks = 2;
    g.norm = k->norm;
    g.image_stats = k->image_stats;
    g.up = k->up;
    g.block = k->block;
    g.in_channels = k->in;
    g.out_channels = k->out;
    memcpy(g.stage, k->stage, sizeof g.stage);
    CHECK(cgd_generator_init(&context, net, &g) == CGD_OK);
    cgd_rng_seed(&rng, 5, 0);
    cgd_net_init_weights(net, CGD_INIT_KAIMING, 0, &rng);
    for (i = 0; i < net->n_layers; i++) {
        const cgd_layer *l = net->layers + i;
        for (c = l->b; c < l->mean && c < l->b + l->out_c; c++)
            if (l->norm == CGD_NORM_NONE)
                net->params[c] = (float)(0.1 * cgd_rng_normal(&rng));
        for (c = 0; l->beta > l->gamma && c < l->out_c; c++) {
            net->params[l->gamma + c] = (float)(0.5 + cgd_rng_uniform(&rng));
            net->params[l->beta + c] = (float)(0.3 * cgd_rng_normal(&rng));
        }
        for (c = 0; l->var > l->mean && c < l->out_c; c++) {
            net->params[l->mean + c] = (float)(0.3 * cgd_rng_normal(&rng));
            net->params[l->var + c] = (float)(1 + 2 * cgd_rng_uniform(&rng));
        }
    }
}

static void fill(cgd_tensor *x, cgd_u32 seed)
{
    cgd_rng rng;
    size_t i;
    cgd_rng_seed(&rng, seed, 1);
    for (i = 0; i < cgd_tensor_size(x); i++)
        x->data[i] = (float)(2 * cgd_rng_uniform(&rng) - 1);
}

/* The output of a net on x: malloc'd values. */
static float *apply(cgd_net *net, const cgd_tensor *x, size_t *count)
{
    cgd_pass pass;
    float *y = NULL;
    *count = 0;
    CHECK(cgd_pass_init(&pass, net, x->n, x->h, x->w, CGD_INFER, NULL, 0,
                        NULL) == CGD_OK);
    if (cgd_pass_forward(&pass, x) == CGD_OK) {
        *count = cgd_tensor_size(&pass.y);
        y = (float *)malloc(*count * sizeof *y);
        if (y) memcpy(y, pass.y.data, *count * sizeof *y);
    }
    CHECK(y != NULL);
    cgd_pass_free(&pass);
    return y;
}

/* The largest difference between two nets' outputs on x. */
static double apart(cgd_net *a, cgd_net *b, const cgd_tensor *x)
{
    size_t n = 0, m = 0, i;
    float *p = apply(a, x, &n), *q = apply(b, x, &m);
    double worst = n == m && n > 0 ? 0 : 1e9;
    for (i = 0; worst < 1e9 && i < n; i++)
        if (!(fabs((double)p[i] - (double)q[i]) <= worst))
            worst = fabs((double)p[i] - (double)q[i]);
    free(p);
    free(q);
    return worst;
}

static float room[3][3 * 24 * 24];
static cgd_tensor pictures[3];

/* Pictures of different sizes, one of them two in a batch. */
static void draw_pictures(size_t channels)
{
    pictures[0] = cgd_tensor_view(1, 20, 16, channels, room[0]);
    pictures[1] = cgd_tensor_view(2, 12, 16, channels, room[1]);
    pictures[2] = cgd_tensor_view(1, 24, 24, channels, room[2]);
    fill(pictures, 1);
    fill(pictures + 1, 2);
    fill(pictures + 2, 3);
}

/* ---- frozen statistics ---------------------------------------------------*/

static void a_net_frozen_on_one_picture_treats_it_as_before(void)
{
    size_t i;
    for (i = 0; i < N(kinds); i++) {
        cgd_net net, frozen;
        build(&net, kinds + i);
        draw_pictures(net.layers[0].in_c);
        CHECK(cgd_net_freeze(&context, &frozen, &net, pictures, 1) == CGD_OK);
        CHECK(frozen.image_stats == 0 && frozen.is_generator);
        CHECK(frozen.generator.norm == (kinds[i].norm ? CGD_NORM_BATCH : 0));
        if (net.image_stats)
            CHECK_NEAR(apart(&net, &frozen, pictures), 0, 1e-5);
        else           /* what was frozen otherwise is measured anew         */
            CHECK(apart(&net, &frozen, pictures) > 0.01);
        if (kinds[i].norm)
            CHECK(apart(&net, &frozen, pictures + 2) > 0.01);
        cgd_net_free(&frozen);
        cgd_net_free(&net);
    }
}

/* What a norm sees: the front of a frozen net, whose last layer is bare. */
static float *before_norm(cgd_net *frozen, size_t i, const cgd_tensor *x,
                          size_t *count)
{
    cgd_layer *layers = (cgd_layer *)malloc((i + 1) * sizeof *layers);
    cgd_net bare;
    float *y;
    size_t k;
    memcpy(layers, frozen->layers, (i + 1) * sizeof *layers);
    layers[i].norm = CGD_NORM_NONE;
    layers[i].act = CGD_ACT_NONE;
    layers[i].skip = 0;
    CHECK(cgd_net_init(&context, &bare, layers, i + 1) == CGD_OK);
    bare.image_stats = 0;
    for (k = 0; k <= i; k++) {
        const cgd_layer *to = bare.layers + k, *l = frozen->layers + k;
        memcpy(bare.params + to->w, frozen->params + l->w,
               (l->gamma - l->w) * sizeof(float));
        if (k == i) continue;
        memcpy(bare.params + to->gamma, frozen->params + l->gamma,
               2 * l->out_c * sizeof(float));
        memcpy(bare.params + to->mean, frozen->params + l->mean,
               2 * l->out_c * sizeof(float));
    }
    y = apply(&bare, x, count);
    cgd_net_free(&bare);
    free(layers);
    return y;
}

/* Mean and variance of channel c at a norm, averaged over all pictures. */
static void measure(cgd_net *frozen, size_t i, size_t c, double want[2])
{
    size_t channels = frozen->layers[i].out_c, p, n, k, total = 0;
    want[0] = want[1] = 0;
    for (p = 0; p < N(pictures); p++) {
        size_t count, each;
        float *y = before_norm(frozen, i, pictures + p, &count);
        each = count / pictures[p].n;
        for (n = 0; n < pictures[p].n; n++, total++) {
            double mean = 0, var = 0, pixels = (double)(each / channels);
            const float *at = y + n * each + c;
            for (k = 0; k < each; k += channels) mean += (double)at[k];
            mean /= pixels;
            for (k = 0; k < each; k += channels)
                var += ((double)at[k] - mean) * ((double)at[k] - mean);
            want[0] += mean;
            want[1] += var / pixels;
        }
        free(y);
    }
    want[0] /= (double)total;
    want[1] /= (double)total;
}

static void statistics_are_means_over_the_pictures(void)
{
    size_t k, i;
    for (k = 0; k < N(kinds); k++) {
        cgd_net net, frozen;
        build(&net, kinds + k);
        draw_pictures(net.layers[0].in_c);
        CHECK(cgd_net_freeze(&context, &frozen, &net, pictures, N(pictures))
              == CGD_OK);
        for (i = 0; i < frozen.n_layers; i++) {
            const cgd_layer *l = frozen.layers + i;
            double want[2];
            if (!l->norm) continue;
            measure(&frozen, i, l->out_c - 1, want);
            CHECK_NEAR(frozen.params[l->mean + l->out_c - 1], want[0], 1e-5);
            CHECK_NEAR(frozen.params[l->var + l->out_c - 1], want[1],
                       1e-5 * (1 + want[1]));
        }
        cgd_net_free(&frozen);
        cgd_net_free(&net);
    }
}

static void running_statistics_need_no_pictures(void)
{
    size_t i;
    for (i = 0; i < N(kinds); i++) {
        cgd_net net, frozen;
        int running = !kinds[i].norm || !kinds[i].image_stats;
        cgd_status status;
        build(&net, kinds + i);
        draw_pictures(net.layers[0].in_c);
        status = cgd_net_freeze(&context, &frozen, &net, NULL, 0);
        CHECK(status == (running ? CGD_OK : CGD_ERR_ARGUMENT));
        if (running) {
            CHECK(frozen.state == net.state);
            CHECK(memcmp(frozen.params, net.params,
                         net.state * sizeof(float)) == 0);
        } else {
            CHECK(strstr(context.message, "takes pictures") != NULL);
            CHECK(frozen.params == NULL);
        }
        cgd_net_free(&frozen);
        cgd_net_free(&net);
    }
}

static void pictures_that_do_not_fit_are_refused(void)
{
    cgd_net net, frozen;
    cgd_tensor x = cgd_tensor_view(1, 8, 8, 1, room[0]);
    build(&net, kinds);
    CHECK(cgd_net_freeze(&context, &frozen, &net, &x, 1) == CGD_ERR_SHAPE);
    CHECK(frozen.params == NULL);
    x = cgd_tensor_view(1, 2, 8, 3, room[0]);
    CHECK(cgd_net_freeze(&context, &frozen, &net, &x, 1) == CGD_ERR_SHAPE);
    CHECK(frozen.params == NULL);
    cgd_net_free(&net);
}

/* ---- folding -------------------------------------------------------------*/

static void a_folded_net_has_the_same_outputs(void)
{
    size_t i, k;
    for (i = 0; i < N(kinds); i++) {
        cgd_net net, frozen, folded;
        build(&net, kinds + i);
        draw_pictures(net.layers[0].in_c);
        CHECK(cgd_net_freeze(&context, &frozen, &net, pictures,
                             net.image_stats ? N(pictures) : 0) == CGD_OK);
        CHECK(cgd_net_fold(&context, &folded, &frozen) == CGD_OK);
        CHECK(folded.generator.norm == CGD_NORM_NONE);
        for (k = 0; k < folded.n_layers; k++)
            CHECK(folded.layers[k].norm == CGD_NORM_NONE);
        for (k = 0; k < N(pictures); k++)
            CHECK_NEAR(apart(&frozen, &folded, pictures + k), 0, 1e-5);
        cgd_net_free(&folded);
        cgd_net_free(&frozen);
        cgd_net_free(&net);
    }
}

static void a_folded_net_is_saved_and_loaded_as_any_other(void)
{
    const char *path = "build/tests/folded.safetensors";
    cgd_net net, folded;
    cgd_model model;
    build(&net, kinds + 3);
    draw_pictures(3);
    CHECK(cgd_net_fold(&context, &folded, &net) == CGD_OK);
    CHECK(cgd_net_save(&folded, NULL, path) == CGD_OK);
    CHECK(cgd_model_load(&context, &model, path) == CGD_OK);
    CHECK(model.net.generator.norm == CGD_NORM_NONE);
    CHECK(apart(&model.net, &folded, pictures) <= 0);
    cgd_model_free(&model);
    cgd_net_free(&folded);
    cgd_net_free(&net);
    remove(path);
}

static void live_statistics_cannot_be_folded(void)
{
    cgd_net net, folded;
    build(&net, kinds + 2);
    CHECK(cgd_net_fold(&context, &folded, &net) == CGD_ERR_ARGUMENT);
    CHECK(strstr(context.message, "freeze them first") != NULL);
    CHECK(folded.params == NULL);
    cgd_net_free(&net);
}

/* ---- memory --------------------------------------------------------------*/

static long purse, held;                   /* calls left, blocks held        */

static void *purse_alloc(void *user, size_t bytes)
{
    (void)user;
    if (purse == 0) return NULL;
    purse--;
    held++;
    return malloc(bytes);
}

static void purse_release(void *user, void *ptr, size_t bytes)
{
    (void)user;
    (void)bytes;
    held--;
    free(ptr);
}

/* Run work with 0, 1, 2 ... allocations until it succeeds. */
static void starve(cgd_status (*work)(cgd_ctx *ctx, const cgd_net *net),
                   const cgd_net *net)
{
    cgd_options options;
    cgd_status status = CGD_ERR_MEMORY;
    long calls;
    memset(&options, 0, sizeof options);
    options.allocator.alloc = purse_alloc;
    options.allocator.release = purse_release;
    options.threads = 1;
    for (calls = 0; status != CGD_OK && calls < 1000; calls++) {
        cgd_ctx ctx;
        purse = calls;
        held = 0;
        cgd_init(&ctx, &options);
        status = work(&ctx, net);
        CHECK(status == CGD_OK || status == CGD_ERR_MEMORY);
        CHECK(status == CGD_OK || strstr(ctx.message, "memory") != NULL);
        CHECK(held == 0 && cgd_memory_in_use(&ctx) == 0);
        cgd_free(&ctx);
    }
    CHECK(calls > 2 && status == CGD_OK);
}

static cgd_status freeze_and_fold(cgd_ctx *ctx, const cgd_net *net)
{
    cgd_net frozen, folded;
    cgd_status status = cgd_net_freeze(ctx, &frozen, net, pictures, 1);
    if (status == CGD_OK) status = cgd_net_fold(ctx, &folded, &frozen);
    if (status == CGD_OK) cgd_net_free(&folded);
    cgd_net_free(&frozen);
    return status;
}

static void every_failing_allocation_is_reported_and_nothing_leaks(void)
{
    cgd_net net;
    build(&net, kinds);
    draw_pictures(3);
    starve(freeze_and_fold, &net);
    cgd_net_free(&net);
}

int main(void)
{
    cgd_init(&context, NULL);
    RUN(a_net_frozen_on_one_picture_treats_it_as_before);
    RUN(statistics_are_means_over_the_pictures);
    RUN(running_statistics_need_no_pictures);
    RUN(pictures_that_do_not_fit_are_refused);
    RUN(a_folded_net_has_the_same_outputs);
    RUN(a_folded_net_is_saved_and_loaded_as_any_other);
    RUN(live_statistics_cannot_be_folded);
    RUN(every_failing_allocation_is_reported_and_nothing_leaks);
    cgd_free(&context);
    return test_end();
}
