/* Whole nets: against PyTorch's outputs and gradients, their parameter counts
 * and costs, and the planner that lays out the memory of a pass. */
#define CGD_IMPLEMENTATION
#include "../cycle_gan_distil.h"
#include "operators.h"
#include "test.h"
#include "golden.h"

/* Float32 runs of PyTorch itself differ from its float64 by up to 1e-5 of a
 * tensor's largest value in these cases (float32_gap in the file). */
#define NET_BOUND 5e-5

static cgd_ctx context;
static golden gold;

/* ---- nets against PyTorch ------------------------------------------------*/

/* One tensor of a layer: its name in a file, and its place. */
typedef struct part { char key[80]; size_t at, count; } part;

static void set_part(part *p, const char *stem, const char *leaf, size_t at,
                     size_t count)
{
    sprintf(p->key, "%.40s.%.20s", stem, leaf);
    p->at = at;
    p->count = count;
}

/* The trained tensors of a layer (at most 4), without the running ones. */
static size_t parts_of(const cgd_layer *l, part parts[4])
{
    size_t n = 0;
    int affine = l->norm == CGD_NORM_BATCH
              || l->norm == CGD_NORM_INSTANCE_AFFINE;
    set_part(&parts[n++], l->name, "weight", l->w, l->b - l->w);
    if (l->norm == CGD_NORM_NONE)
        set_part(&parts[n++], l->name, "bias", l->b, l->out_c);
    if (affine) {
        set_part(&parts[n++], l->norm_name, "weight", l->gamma, l->out_c);
        set_part(&parts[n++], l->norm_name, "bias", l->beta, l->out_c);
    }
    return n;
}

static size_t running_of(const cgd_layer *l, part parts[2])
{
    if (l->norm != CGD_NORM_BATCH) return 0;
    set_part(&parts[0], l->norm_name, "running_mean", l->mean, l->out_c);
    set_part(&parts[1], l->norm_name, "running_var", l->var, l->out_c);
    return 2;
}

static void load_part(cgd_net *net, const part *p)
{
    size_t count;
    float *values = golden_parameter(&gold, p->key, &count);
    /* The official class has no bias there when the norm is batch norm. */
    if (!values && strcmp(p->key, "net.5.bias") == 0) return;
    CHECK(values && count == p->count);
    if (values && count == p->count)
        memcpy(net->params + p->at, values, count * sizeof(float));
}

static void load(cgd_net *net)
{
    part parts[4];
    size_t i, k, n;
    for (i = 0; i < net->n_layers; i++) {
        n = parts_of(net->layers + i, parts);
        for (k = 0; k < n; k++) load_part(net, parts + k);
        n = running_of(net->layers + i, parts);
        for (k = 0; k < n; k++) load_part(net, parts + k);
    }
}

static double largest(const float *v, size_t count)
{
    double top = 0;
    size_t i;
    for (i = 0; i < count; i++)
        if (!(fabs((double)v[i]) <= top)) top = fabs((double)v[i]);
    return top;
}

/* A gradient that the file leaves out is one without effect, that is zero
 * but for rounding. */
static void near_gradients(const cgd_net *net)
{
    part parts[4];
    char key[100];
    size_t i, k, n, count;
    double top = largest(net->grads, net->count);
    for (i = 0; i < net->n_layers; i++) {
        n = parts_of(net->layers + i, parts);
        for (k = 0; k < n; k++) {
            const float *got = net->grads + parts[k].at, *want;
            sprintf(key, "grad.%.80s", parts[k].key);
            want = golden_parameter(&gold, key, &count);
            if (want) golden_near(&gold, key, got, want, count, NET_BOUND);
            else if (strcmp(parts[k].key, "net.5.bias") != 0)
                CHECK(largest(got, parts[k].count) <= NET_BOUND * top);
        }
    }
}

static void near_running(const cgd_net *net)
{
    part parts[2];
    char key[100];
    size_t i, k, n, count;
    for (i = 0; i < net->n_layers; i++) {
        n = running_of(net->layers + i, parts);
        for (k = 0; k < n; k++) {
            const float *want;
            sprintf(key, "after.%.80s", parts[k].key);
            want = golden_parameter(&gold, key, &count);
            CHECK(want && count == parts[k].count);
            golden_near(&gold, key, net->params + parts[k].at, want, count,
                        NET_BOUND);
        }
    }
}

static int word_index(const char *key, const char *const *words, int count)
{
    int i;
    for (i = 0; i < count; i++)
        if (golden_is(&gold, key, words[i])) return i;
    test_failure(__FILE__, __LINE__, "a word that is known");
    return 0;
}

static int norm_word(void)
{
    static const char *const words[] = { "none", "instance",
                                         "instance_affine", "batch" };
    return word_index("norm", words, 4);
}

/* The net that a case's words describe. */
static cgd_status build(cgd_net *net)
{
    static const char *const ups[] = { "none", "nearest", "bilinear",
                                       "deconv" };
    static const char *const blocks[] = { "plain", "separable" };
    static const char *const kinds[] = { "patch", "five", "pixel" };
    cgd_generator_config g = cgd_generator_defaults();
    cgd_discriminator_config d = cgd_discriminator_defaults();
    if (golden_is(&gold, "net", "generator")) {
        g.width = (int)golden_number(&gold, "ngf");
        g.blocks = (int)golden_number(&gold, "blocks");
        g.norm = norm_word();
        g.up = word_index("up", ups, 4);
        g.block = word_index("block", blocks, 2);
        return cgd_generator_init(&context, net, &g);
    }
    d.kind = word_index("net", kinds, 3);
    d.width = (int)golden_number(&gold, "ndf");
    if (d.kind == CGD_DISC_PATCH)
        d.layers = (int)golden_number(&gold, "layers");
    d.norm = norm_word();
    return cgd_discriminator_init(&context, net, &d);
}

static cgd_tensor empty_like(const cgd_tensor *t)
{
    cgd_tensor copy = *t;
    copy.data = golden_floats(&gold, cgd_tensor_size(t));
    return copy;
}

static int same(const cgd_tensor *a, const cgd_tensor *b)
{
    return a->n == b->n && a->h == b->h && a->w == b->w && a->c == b->c
        && memcmp(a->data, b->data, cgd_tensor_size(a) * sizeof(float)) == 0;
}

/* Without batch norm over several pictures, inference computes the very same
 * numbers as training. */
static void inference_equals(cgd_net *net, const cgd_tensor *x,
                             const cgd_tensor *y)
{
    cgd_pass pass;
    CHECK(cgd_pass_init(&pass, net, x->n, x->h, x->w, CGD_INFER, NULL, 0,
                        NULL) == CGD_OK);
    CHECK(cgd_pass_forward(&pass, x) == CGD_OK);
    CHECK(same(&pass.y, y));
    cgd_pass_free(&pass);
}

/* Forward, backward, and once more backward, which must add. */
static void check_net(void)
{
    cgd_tensor x = golden_map(&gold, "x"), y = golden_map(&gold, "y");
    cgd_tensor dx = golden_map(&gold, "dx"), got_dx = empty_like(&dx);
    size_t before = cgd_memory_in_use(&context), i;
    cgd_pass pass;
    cgd_net net;
    CHECK(build(&net) == CGD_OK && cgd_net_with_grads(&net) == CGD_OK);
    load(&net);
    CHECK(cgd_pass_init(&pass, &net, x.n, x.h, x.w, CGD_TRAIN, NULL, 0, NULL)
          == CGD_OK);
    for (i = 0; i < 2; i++) {
        cgd_tensor dy = golden_map(&gold, "dy");
        CHECK(cgd_pass_forward(&pass, &x) == CGD_OK);
        golden_near(&gold, "y", pass.y.data, y.data, cgd_tensor_size(&y),
                    NET_BOUND);
        if (i == 0) near_running(&net);
        if (x.n == 1 || norm_word() != CGD_NORM_BATCH)
            inference_equals(&net, &x, &pass.y);
        CHECK(cgd_pass_backward(&pass, &dy, &got_dx) == CGD_OK);
        golden_near(&gold, "dx", got_dx.data, dx.data, cgd_tensor_size(&dx),
                    NET_BOUND);
        if (i == 0) near_gradients(&net);
    }
    for (i = 0; i < net.count; i++) net.grads[i] /= 2;
    near_gradients(&net);
    cgd_pass_free(&pass);
    cgd_net_free(&net);
    CHECK(cgd_memory_in_use(&context) == before);
}

static void nets_match_pytorch_with_every_kernels_table(void)
{
    size_t kernels = 0, at;
    if (!golden_open(&gold, &context, "tests/golden/nets.safetensors"))
        return;
    while (golden_kernels(&context, &kernels)) {
        size_t cases = 0;
        memset(gold.asked, 0, gold.file.n_tensors);
        for (at = 0; golden_next(&gold, &at); cases++) check_net();
        CHECK(cases == 32);
        CHECK(golden_unasked(&gold, ".grad.") == 0);
        CHECK(golden_unasked(&gold, ".after.") == 0);
        CHECK(golden_unasked(&gold, ".running_") == 0);
        CHECK(golden_unasked(&gold, ".weight") == 0);
        CHECK(golden_unasked(&gold, ".x") + golden_unasked(&gold, ".y") == 0);
    }
    cgd_use_kernels(&context, NULL);
    golden_close(&gold);
}

/* The library's reader and this test's own agree on names and layouts. */
static void reader_agrees(const char *path, int norm, int up)
{
    cgd_generator_config g = cgd_generator_defaults();
    cgd_net mine, its;
    g.width = 3;
    g.blocks = 2;
    g.norm = norm;
    g.up = up;
    if (!golden_open(&gold, &context, path)) return;
    gold.name = "g_ba";
    CHECK(cgd_generator_init(&context, &mine, &g) == CGD_OK);
    CHECK(cgd_generator_init(&context, &its, &g) == CGD_OK);
    load(&mine);
    CHECK(cgd_net_read(&its, &gold.file, "g_ba.") == CGD_OK);
    CHECK(memcmp(mine.params, its.params, its.state * sizeof(float)) == 0);
    cgd_net_free(&mine);
    cgd_net_free(&its);
    golden_close(&gold);
}

static void reading_a_net_turns_weights_like_the_test_does(void)
{
    reader_agrees("tests/golden/train_deconv_instance.safetensors",
                  CGD_NORM_INSTANCE, CGD_UP_DECONV);
    reader_agrees("tests/golden/train_bilinear_batch.safetensors",
                  CGD_NORM_BATCH, CGD_UP_BILINEAR);
}

/* ---- counts and costs ----------------------------------------------------*/

/* Layer by layer sums, from a second program; the parameters of the official
 * code, and multiplications for one picture of 256 x 256. */
static void costs_of_generators_are_known(void)
{
    static const struct {
        int width, blocks, block;
        double params, papers, needed;
    } t[] = {
        { 64, 9, CGD_BLOCK_PLAIN, 11378179, 56799264768., 49551507456. },
        { 64, 6, CGD_BLOCK_PLAIN, 7837699, 42303750144., 35055992832. },
        { 64, 3, CGD_BLOCK_PLAIN, 4297219, 27808235520., 20560478208. },
        { 32, 3, CGD_BLOCK_PLAIN, 1079555, 7260340224., 5448400896. },
        { 16, 3, CGD_BLOCK_PLAIN, 272515, 1969225728., 1516240896. },
        { 8, 3, CGD_BLOCK_PLAIN, 69443, 569376768., 456130560. },
        { 16, 9, CGD_BLOCK_SEPARABLE, 137347, 1407713280., 954728448. },
        { 16, 3, CGD_BLOCK_SEPARABLE, 79747, 1178075136., 725090304. },
        { 8, 3, CGD_BLOCK_SEPARABLE, 22211, 375128064., 261881856. }
    };
    size_t i;
    for (i = 0; i < sizeof t / sizeof *t; i++) {
        cgd_generator_config g = cgd_generator_defaults();
        cgd_net net;
        cgd_cost cost;
        g.width = t[i].width;
        g.blocks = t[i].blocks;
        g.block = t[i].block;
        CHECK(cgd_generator_init(&context, &net, &g) == CGD_OK);
        cost = cgd_net_cost(&net, 256, 256);
        CHECK((double)cost.params_official == t[i].params);
        CHECK(cost.macs_papers == t[i].papers && cost.macs == t[i].needed);
        CHECK(cost.params == net.count && net.state == net.count);
        cgd_net_free(&net);
    }
}

/* Batch norm: no bias in front of a norm, but gamma and beta. */
static void parameters_of_the_original_project_are_counted(void)
{
    cgd_generator_config g = cgd_generator_defaults();
    cgd_discriminator_config d = cgd_discriminator_defaults();
    cgd_net net;
    g.norm = CGD_NORM_BATCH;
    CHECK(cgd_generator_init(&context, &net, &g) == CGD_OK);
    CHECK(cgd_net_cost(&net, 256, 256).params_official == 11383427);
    cgd_net_free(&net);
    g.blocks = 3;
    CHECK(cgd_generator_init(&context, &net, &g) == CGD_OK);
    CHECK(cgd_net_cost(&net, 256, 256).params_official == 4299395);
    cgd_net_free(&net);
    CHECK(cgd_discriminator_init(&context, &net, &d) == CGD_OK);
    CHECK(cgd_net_cost(&net, 256, 256).params_official == 2764737);
    cgd_net_free(&net);
}

/* By hand. Affine instance norms: 2 x 5248 more than 11378179. A PatchGAN of
 * five layers: 64, 128, 256 and then always 512 channels. */
static void parameters_of_rarer_nets_are_counted(void)
{
    cgd_generator_config g = cgd_generator_defaults();
    cgd_discriminator_config d = cgd_discriminator_defaults();
    cgd_net net;
    g.norm = CGD_NORM_INSTANCE_AFFINE;
    CHECK(cgd_generator_init(&context, &net, &g) == CGD_OK);
    CHECK(cgd_net_cost(&net, 256, 256).params_official == 11388675);
    cgd_net_free(&net);
    d.layers = 5;
    CHECK(cgd_discriminator_init(&context, &net, &d) == CGD_OK);
    CHECK(cgd_net_cost(&net, 256, 256).params_official == 11154369);
    cgd_net_free(&net);
}

/* ---- sizes ---------------------------------------------------------------*/

static cgd_net generator(int width, int blocks, int norm, int up, int block)
{
    cgd_generator_config g = cgd_generator_defaults();
    cgd_net net;
    cgd_rng rng;
    g.width = width;
    g.blocks = blocks;
    g.norm = norm;
    g.up = up;
    g.block = block;
    CHECK(cgd_generator_init(&context, &net, &g) == CGD_OK);
    cgd_rng_seed(&rng, 9, 0);
    cgd_net_init_weights(&net, CGD_INIT_PYTORCH, &rng);
    return net;
}

/* 4 * ceil(ceil(side / 2) / 2), as PyTorch's shapes have it. */
static void odd_sizes_grow_to_multiples_of_four(void)
{
    static const size_t sides[][2] = { { 256, 256 }, { 255, 256 },
        { 257, 260 }, { 258, 260 }, { 260, 260 }, { 5, 8 }, { 6, 8 } };
    size_t i, h, w;
    cgd_net net = generator(2, 1, CGD_NORM_INSTANCE, CGD_UP_DECONV,
                            CGD_BLOCK_PLAIN);
    for (i = 0; i < sizeof sides / sizeof *sides; i++) {
        CHECK(cgd_net_out_size(&net, sides[i][0], 64, &h, &w) == CGD_OK);
        CHECK(h == sides[i][1] && w == 64);
        CHECK(cgd_net_out_size(&net, 32, sides[i][0], &h, &w) == CGD_OK);
        CHECK(h == 32 && w == sides[i][1]);
    }
    cgd_net_free(&net);
}

static void patch_discriminator_maps_256_to_30(void)
{
    cgd_discriminator_config d = cgd_discriminator_defaults();
    cgd_net net;
    size_t h, w;
    CHECK(cgd_discriminator_init(&context, &net, &d) == CGD_OK);
    CHECK(cgd_net_out_size(&net, 256, 256, &h, &w) == CGD_OK);
    CHECK(h == 30 && w == 30);
    CHECK(cgd_net_out_size(&net, 22, 70, &h, &w) == CGD_ERR_SHAPE);
    cgd_net_free(&net);
    d.kind = CGD_DISC_FIVE;
    CHECK(cgd_discriminator_init(&context, &net, &d) == CGD_OK);
    CHECK(cgd_net_out_size(&net, 256, 94, &h, &w) == CGD_OK);
    CHECK(h == 6 && w == 1);
    CHECK(cgd_net_out_size(&net, 256, 93, &h, &w) == CGD_ERR_SHAPE);
    cgd_net_free(&net);
}

/* ---- the planner ---------------------------------------------------------*/

static float *numbers(size_t count, cgd_u32 seed)
{
    float *v = (float *)malloc(count * sizeof(float));
    size_t i;
    cgd_rng rng;
    cgd_rng_seed(&rng, seed, 0);
    for (i = 0; v && i < count; i++) v[i] = (float)cgd_rng_normal(&rng);
    return v;
}

/* A layer by the public operators, each tensor in memory of its own. */
static cgd_tensor apply_layer(const cgd_net *net, size_t i,
                              const cgd_tensor *in, const cgd_tensor *before)
{
    const cgd_layer *l = net->layers + i;
    const float *p = net->params, *b = l->norm ? NULL : p + l->b;
    int affine = l->norm == CGD_NORM_BATCH
              || l->norm == CGD_NORM_INSTANCE_AFFINE;
    size_t s = l->window.stride, k = l->window.kernel, q = 2 * l->window.pad;
    cgd_tensor x = *in, y;
    cgd_status status = CGD_OK;
    if (l->up) {
        x = cgd_tensor_view(in->n, 2 * in->h, 2 * in->w, in->c, NULL);
        x.data = golden_floats(&gold, cgd_tensor_size(&x));
        status = op_upsample2(&context, &x, in, l->up);
    }
    y = cgd_tensor_view(x.n, (x.h + q - k) / s + 1, (x.w + q - k) / s + 1,
                        l->out_c, NULL);
    if (l->kind == CGD_DECONV) { y.h = x.h * s; y.w = x.w * s; }
    y.data = golden_floats(&gold, cgd_tensor_size(&y));
    CHECK(status == CGD_OK);
    status = l->kind == CGD_CONV
        ? op_conv2d(&context, &y, &x, p + l->w, b, &l->window)
        : l->kind == CGD_DECONV
        ? op_deconv2d(&context, &y, &x, p + l->w, b, &l->window)
        : op_depthwise2d(&context, &y, &x, p + l->w, b, &l->window);
    CHECK(status == CGD_OK);
    if (l->norm) {
        float *stats = golden_floats(&gold, 2 * y.n * y.c);
        CHECK(op_norm(&context, &y, &y, l->norm, affine ? p + l->gamma : NULL,
                       affine ? p + l->beta : NULL, stats, NULL, NULL)
              == CGD_OK);
    }
    CHECK(op_activate(&context, &y, &y, l->act) == CGD_OK);
    if (before) {
        for (i = 0; i < cgd_tensor_size(&y); i++) y.data[i] += before->data[i];
    }
    return y;
}

#define MOST_LAYERS 40

static void apply_net(const cgd_net *net, const cgd_tensor *x,
                      cgd_tensor outs[MOST_LAYERS])
{
    size_t i;
    for (i = 0; i < net->n_layers; i++) {
        size_t skip = net->layers[i].skip;
        outs[i] = apply_layer(net, i, i ? outs + i - 1 : x,
                              skip ? outs + i - skip : NULL);
    }
}

/* Give every tensor of a planned pass memory of its own, in a block that is
 * returned: what the plan might have laid over each other, now is not. */
static float *spread_out(cgd_pass *pass)
{
    size_t i, k, at = 0, step = pass->bytes / sizeof(float);
    size_t bytes = pass->net->n_layers * CGD__TENSORS * pass->bytes;
    float *block = (float *)malloc(bytes);
    if (!block) { printf("no memory\n"); exit(1); }
    for (i = 0; i < pass->net->n_layers; i++)
        for (k = 0; k < CGD__TENSORS; k++)
            if (pass->slots[i].at[k] != CGD__NOWHERE) {
                pass->slots[i].at[k] = at;
                at += step / 16 * 16;
            }
    pass->memory = block;
    return block;
}

/* Forward and backward; the gradients end up in net->grads and dx. lent: what
 * the pass does not hold is used by others in between. */
static void learn(cgd_pass *pass, const cgd_tensor *x, cgd_tensor *dx,
                  int lent)
{
    cgd_net *net = pass->net;
    float *dy = numbers(cgd_tensor_size(&pass->y), 22);
    cgd_tensor d = pass->y;
    d.data = dy;
    if (net->grads) memset(net->grads, 0, net->count * sizeof(float));
    CHECK(cgd_pass_forward(pass, x) == CGD_OK);
    CHECK(pass->held <= pass->bytes);
    if (lent)
        memset((unsigned char *)pass->own + pass->held, 0xff,
               pass->bytes - pass->held);
    CHECK(cgd_pass_backward(pass, &d, dx) == CGD_OK);
    free(dy);
}

/* Layers that are run again for backward give the same gradients, and move
 * running statistics once. */
static void check_recomputing(cgd_net *net, const cgd_tensor *x,
                              const float *want, const cgd_tensor *want_dx,
                              const float *was, const size_t *keep,
                              size_t n_keep)
{
    size_t moved = (net->state - net->count) * sizeof(float);
    float *running = net->params + net->count;
    float *now = golden_floats(&gold, net->state - net->count + 1);
    cgd_tensor dx = empty_like(x);
    cgd_pass pass;
    memcpy(now, running, moved);
    memcpy(running, was, moved);
    CHECK(cgd_pass_init(&pass, net, x->n, x->h, x->w, CGD_RECOMPUTE, keep,
                        n_keep, NULL) == CGD_OK);
    learn(&pass, x, &dx, 1);
    CHECK(same(&dx, want_dx));
    CHECK(memcmp(want, net->grads, net->count * sizeof(float)) == 0);
    CHECK(memcmp(running, now, moved) == 0);
    cgd_pass_free(&pass);
}

/* Backward, too, gives what it gives when nothing shares memory. */
static void check_backward_plan(cgd_net *net, const cgd_tensor *x,
                                const size_t *all)
{
    cgd_tensor dx = empty_like(x), want_dx = empty_like(x);
    float *want = golden_floats(&gold, net->count), *block;
    float *was = golden_floats(&gold, net->state - net->count + 1);
    cgd_pass pass;
    memcpy(was, net->params + net->count,
           (net->state - net->count) * sizeof(float));
    CHECK(cgd_pass_init(&pass, net, x->n, x->h, x->w, CGD_TRAIN, NULL, 0,
                        NULL) == CGD_OK);
    learn(&pass, x, &dx, 1);
    memcpy(want, net->grads, net->count * sizeof(float));
    check_recomputing(net, x, want, &dx, was, NULL, 0);
    check_recomputing(net, x, want, &dx, was, all + net->n_layers / 3, 1);
    block = spread_out(&pass);
    learn(&pass, x, &want_dx, 0);
    CHECK(same(&dx, &want_dx));
    CHECK(memcmp(want, net->grads, net->count * sizeof(float)) == 0);
    CHECK(largest(want, net->count) < 1e30 && largest(want, net->count) > 0);
    cgd_pass_free(&pass);
    free(block);
}

#define GUARD 4096

/* The same values but for rounding: a pass leaves norms to the convolutions
 * around them, which multiply and add in another order than the operators. */
static int nearly_same(const cgd_tensor *a, const cgd_tensor *b)
{
    size_t i, count = cgd_tensor_size(b);
    double bound = 1e-4 * (largest(b->data, count) + 1e-6);
    if (a->n != b->n || a->h != b->h || a->w != b->w || a->c != b->c) return 0;
    for (i = 0; i < count; i++)
        if (!(fabs((double)a->data[i] - (double)b->data[i]) <= bound))
            return 0;
    return 1;
}

/* A pass in a lent block that starts askew, is full of NaNs, and is followed
 * by a pattern: the outputs asked for must be those of the operators. */
static void check_plan(cgd_net *net, const cgd_tensor *x, int mode,
                       const size_t *keep, size_t n_keep,
                       const cgd_tensor *outs)
{
    size_t bytes = cgd_pass_bytes(net, x->n, x->h, x->w, mode, keep, n_keep);
    size_t i, held = cgd_memory_in_use(&context), bad = 0;
    unsigned char *block = (unsigned char *)malloc(bytes + 8 + GUARD);
    cgd_pass pass;
    CHECK(bytes > 0 && block);
    if (bytes == 0 || !block) return;
    memset(block, 0xff, bytes + 8 + GUARD);
    CHECK(cgd_pass_init(&pass, net, x->n, x->h, x->w, mode, keep, n_keep,
                        block + 8) == CGD_OK);
    CHECK(pass.bytes == bytes);
    CHECK(cgd_pass_forward(&pass, x) == CGD_OK);
    CHECK(nearly_same(&pass.y, outs + net->n_layers - 1));
    for (i = 0; i < n_keep; i++) {
        cgd_tensor kept = cgd_pass_output(&pass, keep[i]);
        CHECK(nearly_same(&kept, outs + keep[i]));
    }
    if (mode != CGD_INFER) {
        cgd_tensor dy = empty_like(&pass.y), dx = empty_like(x);
        CHECK(cgd_pass_backward(&pass, &dy, &dx) == CGD_OK);
        CHECK(largest(dx.data, cgd_tensor_size(&dx)) < 1e30);
    }
    for (i = 0; i < 8; i++) bad += block[i] != 0xff;
    for (i = 0; i < GUARD; i++) bad += block[8 + bytes + i] != 0xff;
    CHECK(bad == 0);
    cgd_pass_free(&pass);
    CHECK(cgd_memory_in_use(&context) == held);
    free(block);
}

/* All modes, with some layers kept and with none. */
static void check_plans(cgd_net *net, size_t n, size_t h, size_t w)
{
    static cgd_tensor outs[MOST_LAYERS];
    size_t keep[3], all[MOST_LAYERS], i;
    cgd_tensor x = cgd_tensor_view(n, h, w, net->layers[0].in_c, NULL);
    x.data = numbers(cgd_tensor_size(&x), 21);
    CHECK(cgd_net_with_grads(net) == CGD_OK);
    apply_net(net, &x, outs);
    keep[0] = 0;
    keep[1] = net->n_layers / 2;
    keep[2] = net->n_layers - 1;
    for (i = 0; i < net->n_layers; i++) all[i] = i;
    check_plan(net, &x, CGD_INFER, NULL, 0, outs);
    check_plan(net, &x, CGD_INFER, keep, 3, outs);
    check_plan(net, &x, CGD_TRAIN, all, net->n_layers, outs);
    check_plan(net, &x, CGD_RECOMPUTE, keep, 3, outs);
    check_backward_plan(net, &x, all);
    free(x.data);
    golden_forget(&gold);
}

static void passes_equal_the_operators_one_by_one(void)
{
    int norm, up, block;
    memset(&gold, 0, sizeof gold);
    for (norm = CGD_NORM_NONE; norm <= CGD_NORM_BATCH; norm++)
        for (up = CGD_UP_NEAREST; up <= CGD_UP_DECONV; up++)
            for (block = 0; block < 2; block++) {
                cgd_net net = generator(3, 2, norm, up, block);
                size_t n = norm == CGD_NORM_BATCH ? 1 : 2;
                check_plans(&net, n, 13, 18);
                cgd_net_free(&net);
            }
}

/* A layer of one's own: kernel k, "same" padding. */
static cgd_layer own_layer(int kind, size_t in, size_t out, size_t k,
                           size_t stride, int norm, int act)
{
    cgd_layer l;
    memset(&l, 0, sizeof l);
    l.kind = kind;
    l.in_c = in;
    l.out_c = out;
    l.window.kernel = k;
    l.window.stride = stride;
    l.window.pad = (k - 1) / 2;
    l.window.pad_mode = CGD_PAD_REFLECT;
    l.norm = norm;
    l.act = act;
    return l;
}

/* Random chains of layers that keep the map's size, with sums of all lengths
 * (even of a layer's own input): what the planner may not confuse. */
static void nets_of_ones_own_design_equal_the_operators(void)
{
    static cgd_layer layers[MOST_LAYERS];
    cgd_rng rng;
    size_t round, i, count;
    cgd_rng_seed(&rng, 33, 0);
    memset(&gold, 0, sizeof gold);
    for (round = 0; round < 60; round++) {
        cgd_net net;
        count = 2 + cgd_rng_below(&rng, 11);
        for (i = 0; i < count; i++) {
            cgd_layer *l = layers + i;
            *l = own_layer(cgd_rng_below(&rng, 5) == 0 ? CGD_DEPTHWISE
                           : CGD_CONV, i ? 5 : 3, 5,
                           1 + 2 * cgd_rng_below(&rng, 3), 1,
                           (int)cgd_rng_below(&rng, 3), CGD_ACT_NONE);
            if (i == 0) l->kind = CGD_CONV;
            if (i > 0 && cgd_rng_below(&rng, 2))
                l->skip = 1 + cgd_rng_below(&rng, (cgd_u32)i);
            else
                l->act = (int)cgd_rng_below(&rng, 4);
            sprintf(l->name, "own.%d", (int)i);
        }
        CHECK(cgd_net_init(&context, &net, layers, count) == CGD_OK);
        cgd_net_init_weights(&net, CGD_INIT_PYTORCH, &rng);
        check_plans(&net, 1 + round % 2, 6, 7);
        cgd_net_free(&net);
    }
}

static void inference_needs_far_less_memory_than_training(void)
{
    cgd_net net = generator(64, 9, CGD_NORM_INSTANCE, CGD_UP_DECONV,
                            CGD_BLOCK_PLAIN);
    size_t keep[3] = { 4, 10, 18 }, map = (size_t)256 * 256 * 64 * 4;
    size_t infer = cgd_pass_bytes(&net, 1, 256, 256, CGD_INFER, NULL, 0);
    size_t kept = cgd_pass_bytes(&net, 1, 256, 256, CGD_INFER, keep, 3);
    size_t frozen = cgd_pass_bytes(&net, 1, 256, 256, CGD_TRAIN, NULL, 0);
    size_t train;
    CHECK(cgd_net_with_grads(&net) == CGD_OK);
    train = cgd_pass_bytes(&net, 1, 256, 256, CGD_TRAIN, NULL, 0);
    CHECK(frozen < train - 2 * map);   /* 9 sums of a quarter of a map       */
    CHECK(infer < 3 * map);            /* two of the largest maps, and work  */
    CHECK(infer < train / 4);
    CHECK(kept >= infer && kept <= infer + 3 * map / 4 && kept < train);
    CHECK(train < 24 * map);
    cgd_net_free(&net);
}

/* All layers packed, some, and none; and then after other weights came. */
static void packed_weights_change_no_result(void)
{
    static const size_t budgets[] = { (size_t)-1, 700000, 1000, 0 };
    cgd_generator_config g = cgd_generator_defaults();
    cgd_rng rng;
    cgd_net net;
    cgd_pass plain, packed;
    size_t i, count, empty = cgd_memory_in_use(&context), used[4];
    static float picture[32 * 32 * 3];
    cgd_tensor x = cgd_tensor_view(1, 32, 32, 3, picture);
    g.width = 16;
    g.blocks = 2;
    cgd_rng_seed(&rng, 3, 0);
    for (i = 0; i < cgd_tensor_size(&x); i++)
        picture[i] = (float)cgd_rng_normal(&rng);
    CHECK(cgd_generator_init(&context, &net, &g) == CGD_OK);
    cgd_net_init_weights(&net, CGD_INIT_KAIMING, &rng);
    CHECK(cgd_pass_init(&plain, &net, 1, 32, 32, CGD_INFER, NULL, 0, NULL)
          == CGD_OK);
    CHECK(cgd_pass_init(&packed, &net, 1, 32, 32, CGD_INFER, NULL, 0, NULL)
          == CGD_OK);
    count = cgd_tensor_size(&plain.y);
    for (i = 0; i < 4; i++) {
        CHECK(cgd_net_pack(&net, 0) == CGD_OK);
        CHECK(cgd_pass_forward(&plain, &x) == CGD_OK);
        CHECK(cgd_net_pack(&net, budgets[i]) == CGD_OK);
        used[i] = cgd_memory_in_use(&context);
        CHECK(cgd_pass_forward(&packed, &x) == CGD_OK);
        CHECK(memcmp(plain.y.data, packed.y.data, count * sizeof(float))
              == 0);
        cgd_net_init_weights(&net, CGD_INIT_KAIMING, &rng);
        CHECK(cgd_pass_forward(&packed, &x) == CGD_OK);
        CHECK(cgd_net_pack(&net, 0) == CGD_OK);
        CHECK(cgd_pass_forward(&plain, &x) == CGD_OK);
        CHECK(memcmp(plain.y.data, packed.y.data, count * sizeof(float))
              == 0);
    }
    CHECK(used[2] == used[3] && used[1] >= used[2] && used[0] >= used[1]);
    if (strcmp(cgd_kernels_name(&context), "reference") != 0)
        CHECK(used[0] > used[1] && used[1] > used[2]
              && used[1] <= used[2] + 700200);
    cgd_pass_free(&plain);
    cgd_pass_free(&packed);
    cgd_net_free(&net);
    CHECK(cgd_memory_in_use(&context) == empty);
}

/* Frozen statistics: what a batch norm does at inference when it is told not
 * to look at the picture. */
static void batch_norm_can_use_its_running_statistics(void)
{
    cgd_layer l = own_layer(CGD_CONV, 2, 3, 3, 1, CGD_NORM_BATCH,
                            CGD_ACT_RELU);
    float *data = numbers(2 * 5 * 6 * 2, 5), raw[180], stats[12];
    cgd_tensor x = cgd_tensor_view(2, 5, 6, 2, data);
    cgd_tensor y = cgd_tensor_view(2, 5, 6, 3, raw);
    const float *p;
    cgd_net net;
    cgd_pass pass;
    cgd_rng rng;
    size_t i;
    cgd_rng_seed(&rng, 6, 0);
    CHECK(cgd_net_init(&context, &net, &l, 1) == CGD_OK);
    cgd_net_init_weights(&net, CGD_INIT_PYTORCH, &rng);
    l = net.layers[0];
    for (i = l.gamma; i < net.state; i++)
        net.params[i] = (float)(0.5 + cgd_rng_uniform(&rng));
    p = net.params;
    CHECK(op_conv2d(&context, &y, &x, p + l.w, NULL, &l.window) == CGD_OK);
    CHECK(op_norm_frozen(&context, &y, &y, p + l.gamma, p + l.beta, stats,
                          p + l.mean, p + l.var) == CGD_OK);
    CHECK(op_activate(&context, &y, &y, CGD_ACT_RELU) == CGD_OK);
    net.image_stats = 0;
    CHECK(cgd_pass_init(&pass, &net, 2, 5, 6, CGD_INFER, NULL, 0, NULL)
          == CGD_OK);
    CHECK(cgd_pass_forward(&pass, &x) == CGD_OK && same(&pass.y, &y));
    net.image_stats = 1;
    CHECK(cgd_pass_forward(&pass, &x) == CGD_OK && !same(&pass.y, &y));
    cgd_pass_free(&pass);
    cgd_net_free(&net);
    free(data);
}

/* At inference a picture's result does not depend on its neighbours. */
static void pictures_of_a_batch_are_strangers_at_inference(void)
{
    cgd_net net = generator(3, 1, CGD_NORM_BATCH, CGD_UP_DECONV,
                            CGD_BLOCK_PLAIN);
    float *data = numbers(2 * 8 * 12 * 3, 8);
    cgd_tensor both = cgd_tensor_view(2, 8, 12, 3, data);
    cgd_tensor one = cgd_tensor_view(1, 8, 12, 3, data + 8 * 12 * 3), y;
    cgd_pass pass, alone;
    CHECK(cgd_pass_init(&pass, &net, 2, 8, 12, CGD_INFER, NULL, 0, NULL)
          == CGD_OK);
    CHECK(cgd_pass_init(&alone, &net, 1, 8, 12, CGD_INFER, NULL, 0, NULL)
          == CGD_OK);
    CHECK(cgd_pass_forward(&pass, &both) == CGD_OK);
    CHECK(cgd_pass_forward(&alone, &one) == CGD_OK);
    y = alone.y;
    y.data = pass.y.data + cgd_tensor_size(&y);
    CHECK(same(&y, &alone.y));
    cgd_pass_free(&pass);
    cgd_pass_free(&alone);
    cgd_net_free(&net);
    free(data);
}

/* ---- refusals ------------------------------------------------------------*/

static void refused(cgd_status got, cgd_status want)
{
    CHECK(got == want);
    CHECK(context.message[0] && cgd_message(&context, got) == context.message);
    context.message[0] = 0;
}

/* What goes through a net is what it learns by, and leaves it as it is. */
static void check_through(cgd_net *net, const cgd_tensor *x,
                          const cgd_tensor *want, size_t held)
{
    cgd_tensor dx = empty_like(x);
    cgd_pass through;
    size_t i, bad = 0;
    CHECK(cgd_pass_init(&through, net, 1, x->h, x->w, CGD_THROUGH, NULL, 0,
                        NULL) == CGD_OK);
    learn(&through, x, &dx, 1);        /* clears the net's gradient first    */
    for (i = 0; i < net->count; i++)
        bad += net->grads[i] < 0 || net->grads[i] > 0;
    CHECK(bad == 0);
    CHECK(same(&dx, want) && through.held < held);
    cgd_pass_free(&through);
}

/* A net without gradients keeps less, and passes on the same gradient. */
static void frozen_nets_pass_gradients_on(void)
{
    int norm, up;
    memset(&gold, 0, sizeof gold);
    for (norm = CGD_NORM_NONE; norm <= CGD_NORM_BATCH; norm++)
        for (up = CGD_UP_NEAREST; up <= CGD_UP_DECONV; up++) {
            cgd_net net = generator(3, 2, norm, up, CGD_BLOCK_PLAIN);
            cgd_tensor x = cgd_tensor_view(1, 13, 18, 3, NULL), dx, want;
            cgd_pass frozen, learning;
            x.data = numbers(cgd_tensor_size(&x), 21);
            dx = empty_like(&x);
            want = empty_like(&x);
            CHECK(cgd_pass_init(&frozen, &net, 1, 13, 18, CGD_TRAIN, NULL, 0,
                                NULL) == CGD_OK);
            learn(&frozen, &x, &dx, 1);
            CHECK(cgd_net_with_grads(&net) == CGD_OK);
            CHECK(cgd_pass_init(&learning, &net, 1, 13, 18, CGD_TRAIN, NULL,
                                0, NULL) == CGD_OK);
            learn(&learning, &x, &want, 1);
            CHECK(same(&dx, &want) && largest(dx.data, 3) > 0);
            CHECK(frozen.held < learning.held);
            check_through(&net, &x, &want, learning.held);
            refused(cgd_pass_backward(&frozen, &frozen.y, NULL),
                    CGD_ERR_ARGUMENT);
            cgd_pass_free(&frozen);
            cgd_pass_free(&learning);
            cgd_net_free(&net);
            free(x.data);
            golden_forget(&gold);
        }
}

static void pictures_too_small_or_too_large_and_unknown_modes_are_refused(void)
{
    static const size_t sizes[][2] = { { 1, 1 }, { 3, 64 }, { 64, 3 },
        { 4, 64 }, { 64, 4 }, { 0, 64 }, { 64, 0 },
        { (size_t)-1, 64 }, { (size_t)-1 / 2, (size_t)-1 / 2 },
        { (size_t)1 << 31, (size_t)1 << 31 }, { 64, (size_t)-1 / 64 } };
    cgd_net net = generator(2, 1, CGD_NORM_INSTANCE, CGD_UP_DECONV,
                            CGD_BLOCK_PLAIN);
    size_t i, held = cgd_memory_in_use(&context);
    cgd_pass pass;
    for (i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        int mode = (int)(i % 2);
        size_t h = sizes[i][0], w = sizes[i][1];
        CHECK(cgd_pass_bytes(&net, 1, h, w, mode, NULL, 0) == 0);
        refused(cgd_pass_init(&pass, &net, 1, h, w, mode, NULL, 0, NULL),
                CGD_ERR_SHAPE);
        cgd_pass_free(&pass);              /* harmless                       */
        CHECK(cgd_memory_in_use(&context) == held);
    }
    for (i = 0; i < 3; i++) {
        static const int modes[3] = { -1, CGD_THROUGH + 1, 1000 };
        CHECK(cgd_pass_bytes(&net, 1, 64, 64, modes[i], NULL, 0) == 0);
        refused(cgd_pass_init(&pass, &net, 1, 64, 64, modes[i], NULL, 0, NULL),
                CGD_ERR_ARGUMENT);
        CHECK(cgd_memory_in_use(&context) == held);
    }
    CHECK(cgd_pass_bytes(&net, 0, 64, 64, CGD_INFER, NULL, 0) == 0);
    CHECK(cgd_pass_bytes(&net, (size_t)-1 / 64, 64, 64, CGD_INFER, NULL, 0)
          == 0);
    CHECK(cgd_pass_bytes(&net, 1, 5, 5, CGD_INFER, NULL, 0) > 0);
    cgd_net_free(&net);
}

/* PyTorch refuses this, too: the variance of one number is nothing. */
static void a_single_pixel_is_not_normalised_in_training(void)
{
    cgd_layer l = own_layer(CGD_CONV, 3, 4, 1, 1, CGD_NORM_INSTANCE,
                            CGD_ACT_NONE);
    cgd_net net;
    cgd_pass pass;
    CHECK(cgd_net_init(&context, &net, &l, 1) == CGD_OK);
    refused(cgd_pass_init(&pass, &net, 2, 1, 1, CGD_TRAIN, NULL, 0, NULL),
            CGD_ERR_SHAPE);
    CHECK(cgd_pass_bytes(&net, 1, 1, 1, CGD_INFER, NULL, 0) > 0);
    cgd_net_free(&net);
    l.norm = CGD_NORM_BATCH;
    CHECK(cgd_net_init(&context, &net, &l, 1) == CGD_OK);
    CHECK(cgd_pass_bytes(&net, 1, 1, 1, CGD_TRAIN, NULL, 0) == 0);
    CHECK(cgd_pass_bytes(&net, 2, 1, 1, CGD_TRAIN, NULL, 0) > 0);
    cgd_net_free(&net);
}

static void wrong_inputs_and_gradients_are_refused(void)
{
    cgd_net net = generator(2, 1, CGD_NORM_INSTANCE, CGD_UP_DECONV,
                            CGD_BLOCK_PLAIN);
    float *data = numbers(2 * 16 * 16 * 4, 3), *room = numbers(4096, 4);
    cgd_tensor x = cgd_tensor_view(1, 8, 8, 3, data);
    cgd_tensor d = cgd_tensor_view(1, 8, 8, 3, room), wrong;
    cgd_pass pass;
    CHECK(cgd_pass_init(&pass, &net, 1, 8, 8, CGD_TRAIN, NULL, 0, NULL)
          == CGD_OK);
    refused(cgd_pass_backward(&pass, &d, NULL), CGD_ERR_ARGUMENT);
    wrong = cgd_tensor_view(1, 8, 8, 4, data);
    refused(cgd_pass_forward(&pass, &wrong), CGD_ERR_SHAPE);
    wrong = cgd_tensor_view(2, 8, 8, 3, data);
    refused(cgd_pass_forward(&pass, &wrong), CGD_ERR_SHAPE);
    wrong = cgd_tensor_view(1, 16, 4, 3, data);
    refused(cgd_pass_forward(&pass, &wrong), CGD_ERR_SHAPE);
    CHECK(cgd_pass_forward(&pass, &x) == CGD_OK);
    wrong = cgd_tensor_view(1, 8, 8, 1, room);
    refused(cgd_pass_backward(&pass, &wrong, NULL), CGD_ERR_SHAPE);
    refused(cgd_pass_backward(&pass, &d, &wrong), CGD_ERR_SHAPE);
    CHECK(cgd_pass_backward(&pass, &d, NULL) == CGD_OK);
    cgd_pass_free(&pass);
    CHECK(cgd_pass_init(&pass, &net, 1, 8, 8, CGD_INFER, NULL, 0, NULL)
          == CGD_OK);
    CHECK(cgd_pass_forward(&pass, &x) == CGD_OK);
    refused(cgd_pass_backward(&pass, &d, NULL), CGD_ERR_ARGUMENT);
    cgd_pass_free(&pass);
    cgd_net_free(&net);
    free(data);
    free(room);
}

/* Spoil one thing of a configuration; 0 when there is nothing left. */
static int spoil_generator(int flaw, cgd_generator_config *g)
{
    switch (flaw) {
    case 0: g->in_channels = 0; break;
    case 1: g->out_channels = -3; break;
    case 2: g->width = 0; break;
    case 3: g->blocks = -1; break;
    case 4: g->blocks = 1 << 30; break;
    case 5: g->norm = 4; break;
    case 6: g->norm = -1; break;
    case 7: g->up = CGD_UP_NONE; break;
    case 8: g->up = 4; break;
    case 9: g->block = 2; break;
    case 10: g->stage[3] = -1; break;
    case 11: g->width = 1 << 30; break;
    case 12: g->antialias = 2; break;
    default: return 0;
    }
    return 1;
}

static int spoil_discriminator(int flaw, cgd_discriminator_config *d)
{
    switch (flaw) {
    case 0: d->kind = 3; break;
    case 1: d->kind = -1; break;
    case 2: d->in_channels = 0; break;
    case 3: d->width = 0; break;
    case 4: d->layers = 0; break;
    case 5: d->layers = 1000; break;
    case 6: d->norm = 17; break;
    default: return 0;
    }
    return 1;
}

static void impossible_configurations_are_refused(void)
{
    size_t held = cgd_memory_in_use(&context);
    int flaw;
    for (flaw = 0; ; flaw++) {
        cgd_generator_config g = cgd_generator_defaults();
        cgd_net net;
        if (!spoil_generator(flaw, &g)) break;
        refused(cgd_generator_init(&context, &net, &g), CGD_ERR_ARGUMENT);
        cgd_net_free(&net);
    }
    for (flaw = 0; ; flaw++) {
        cgd_discriminator_config d = cgd_discriminator_defaults();
        cgd_net net;
        if (!spoil_discriminator(flaw, &d)) break;
        refused(cgd_discriminator_init(&context, &net, &d), CGD_ERR_ARGUMENT);
        cgd_net_free(&net);
    }
    CHECK(cgd_memory_in_use(&context) == held);
}

static int spoil_layer(int flaw, cgd_layer *l)
{
    switch (flaw) {
    case 0: l->kind = 4; break;
    case 1: l->up = CGD_UP_DECONV; break;
    case 2: l->norm = -1; break;
    case 3: l->act = 4; break;
    case 4: l->in_c = 5; break;            /* 4 come out of the layer before */
    case 5: l->out_c = 0; break;
    case 6: l->out_c = (size_t)-1; break;
    case 7: l->kind = CGD_DEPTHWISE; l->out_c = 6; break;
    case 8: l->window.kernel = 0; break;
    case 9: l->window.kernel = 17; break;
    case 10: l->window.stride = 0; break;
    case 11: l->window.pad = 3; break;
    case 12: l->skip = 2; break;           /* before the first layer         */
    case 13: l->skip = 1; l->out_c = 3; break;
    case 14: l->skip = 1; l->act = CGD_ACT_RELU; break;
    default: return 0;
    }
    return 1;
}

static void impossible_layers_are_refused(void)
{
    cgd_layer layers[2];
    size_t held = cgd_memory_in_use(&context);
    cgd_net net;
    int flaw;
    for (flaw = 0; ; flaw++) {
        layers[0] = own_layer(CGD_CONV, 3, 4, 3, 1, 0, 0);
        layers[1] = own_layer(CGD_CONV, 4, 4, 3, 1, 0, 0);
        if (!spoil_layer(flaw, layers + 1)) break;
        refused(cgd_net_init(&context, &net, layers, 2), CGD_ERR_ARGUMENT);
        cgd_net_free(&net);
    }
    CHECK(cgd_net_init(&context, &net, layers, 2) == CGD_OK);
    cgd_net_free(&net);
    refused(cgd_net_init(&context, &net, layers, 0), CGD_ERR_ARGUMENT);
    CHECK(cgd_memory_in_use(&context) == held);
}

static void nets_are_copied_only_to_their_like(void)
{
    cgd_net a = generator(2, 1, CGD_NORM_BATCH, CGD_UP_DECONV, 0);
    cgd_net b = generator(2, 1, CGD_NORM_BATCH, CGD_UP_DECONV, 0);
    cgd_net c = generator(2, 1, CGD_NORM_BATCH, CGD_UP_NEAREST, 0);
    size_t i;
    for (i = 0; i < a.state; i++) a.params[i] = (float)i;
    CHECK(cgd_net_copy(&b, &a) == CGD_OK);
    CHECK(memcmp(a.params, b.params, a.state * sizeof(float)) == 0);
    refused(cgd_net_copy(&a, &c), CGD_ERR_SHAPE);
    CHECK(memcmp(a.params, b.params, a.state * sizeof(float)) == 0);
    cgd_net_free(&a);
    cgd_net_free(&b);
    cgd_net_free(&c);
}

/* ---- memory that runs out ------------------------------------------------*/

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

/* Build, give gradients, plan: 1 if all went well. */
static cgd_status build_all(cgd_ctx *ctx, cgd_net *net, cgd_pass *pass)
{
    cgd_generator_config g = cgd_generator_defaults();
    cgd_status status;
    g.width = 2;
    g.blocks = 1;
    memset(pass, 0, sizeof *pass);
    status = cgd_generator_init(ctx, net, &g);
    if (status == CGD_OK) status = cgd_net_with_grads(net);
    if (status == CGD_OK)
        status = cgd_pass_init(pass, net, 1, 8, 8, CGD_TRAIN, NULL, 0, NULL);
    return status;
}

static void every_failing_allocation_is_reported_and_nothing_leaks(void)
{
    cgd_options options;
    cgd_status status = CGD_ERR_MEMORY;
    long calls;
    memset(&options, 0, sizeof options);
    options.allocator.alloc = purse_alloc;
    options.allocator.release = purse_release;
    options.threads = 1;
    for (calls = 0; status != CGD_OK && calls < 100; calls++) {
        cgd_ctx ctx;
        cgd_net net;
        cgd_pass pass;
        purse = calls;
        held = 0;
        cgd_init(&ctx, &options);
        status = build_all(&ctx, &net, &pass);
        CHECK(status == CGD_OK || status == CGD_ERR_MEMORY);
        CHECK(status == CGD_OK || strstr(ctx.message, "memory") != NULL);
        cgd_pass_free(&pass);
        cgd_net_free(&net);
        CHECK(held == 0 && cgd_memory_in_use(&ctx) == 0);
        cgd_free(&ctx);
    }
    CHECK(calls > 6 && status == CGD_OK);
}

int main(void)
{
    cgd_init(&context, NULL);
    RUN(nets_match_pytorch_with_every_kernels_table);
    RUN(reading_a_net_turns_weights_like_the_test_does);
    RUN(costs_of_generators_are_known);
    RUN(parameters_of_the_original_project_are_counted);
    RUN(parameters_of_rarer_nets_are_counted);
    RUN(odd_sizes_grow_to_multiples_of_four);
    RUN(patch_discriminator_maps_256_to_30);
    RUN(passes_equal_the_operators_one_by_one);
    RUN(nets_of_ones_own_design_equal_the_operators);
    RUN(inference_needs_far_less_memory_than_training);
    RUN(packed_weights_change_no_result);
    RUN(batch_norm_can_use_its_running_statistics);
    RUN(pictures_of_a_batch_are_strangers_at_inference);
    RUN(frozen_nets_pass_gradients_on);
    RUN(pictures_too_small_or_too_large_and_unknown_modes_are_refused);
    RUN(a_single_pixel_is_not_normalised_in_training);
    RUN(wrong_inputs_and_gradients_are_refused);
    RUN(impossible_configurations_are_refused);
    RUN(impossible_layers_are_refused);
    RUN(nets_are_copied_only_to_their_like);
    RUN(every_failing_allocation_is_reported_and_nothing_leaks);
    cgd_free(&context);
    return test_end();
}
