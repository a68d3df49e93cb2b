/* Operators, losses, Adam, schedules, the image pool, random numbers and the
 * drawing of weights: against PyTorch's numbers and numbers worked by hand. */
#define CGD_IMPLEMENTATION
#include "../cycle_gan_distil.h"
#include "operators.h"
#include "test.h"
#include "golden.h"

/* The goldens are float64 results, rounded. A float32 sum of n terms is off
 * by about sqrt(n) half-ulps of its terms; the longest here has 180. Norms
 * first take the mean off numbers up to a hundred times the deviation. */
#define SUM_BOUND 2e-6
#define NORM_BOUND 2e-5

static cgd_ctx context;
static golden gold;

/* ---- operators against PyTorch -------------------------------------------*/

typedef struct op_case {
    cgd_tensor x, y, dy, dx;          /* as in the file                      */
    float *w, *b, *dw, *db;
    size_t n_w, n_b;
    cgd_tensor got_y, got_dx;         /* to be written                       */
    float *got_dw, *got_db;           /* zeros, to be added to               */
    cgd_window window;
} op_case;

static cgd_tensor like(const cgd_tensor *t)
{
    cgd_tensor copy = *t;
    copy.data = golden_floats(&gold, cgd_tensor_size(t));
    return copy;
}

static float *zeros(size_t count)
{
    float *z = golden_floats(&gold, count);
    size_t i;
    for (i = 0; i < count; i++) z[i] = 0;
    return z;
}

static op_case op_case_read(void)
{
    op_case c;
    size_t n;
    c.x = golden_map(&gold, "x");
    c.y = golden_map(&gold, "y");
    c.dy = golden_map(&gold, "dy");
    c.dx = golden_map(&gold, "dx");
    c.w = golden_parameter(&gold, "w", &c.n_w);
    c.b = golden_parameter(&gold, "b", &c.n_b);
    c.dw = golden_parameter(&gold, "dw", &n);
    CHECK(n == c.n_w);
    c.db = golden_parameter(&gold, "db", &n);
    CHECK(n == c.n_b);
    CHECK(c.x.data && c.y.data && c.dx.data);
    c.got_y = like(&c.y);
    c.got_dx = like(&c.dx);
    c.got_dw = zeros(c.n_w);
    c.got_db = zeros(c.n_b);
    c.window.kernel = golden_number(&gold, "k");
    c.window.stride = golden_number(&gold, "s");
    c.window.pad = golden_number(&gold, "p");
    c.window.pad_mode = golden_is(&gold, "pad", "reflect") ? CGD_PAD_REFLECT
                                                           : CGD_PAD_ZERO;
    return c;
}

static void near_map(const char *what, const cgd_tensor *got,
                     const cgd_tensor *want, double bound)
{
    golden_near(&gold, what, got->data, want->data, cgd_tensor_size(want),
                bound);
}

/* Gradients of parameters: after one call, and after a second has added. */
static void near_parameters(op_case *c, int twice, double bound)
{
    size_t i;
    for (i = 0; twice && i < c->n_w; i++) c->dw[i] *= 2;
    for (i = 0; twice && i < c->n_b; i++) c->db[i] *= 2;
    if (c->n_w > 0)
        golden_near(&gold, "dw", c->got_dw, c->dw, c->n_w, bound);
    if (c->n_b > 0)
        golden_near(&gold, "db", c->got_db, c->db, c->n_b, bound);
}

typedef cgd_status forward_of(cgd_ctx *, cgd_tensor *, const cgd_tensor *,
                              const float *, const float *,
                              const cgd_window *);
typedef cgd_status data_of(cgd_ctx *, cgd_tensor *, const cgd_tensor *,
                           const float *, const cgd_window *);
typedef cgd_status weights_of(cgd_ctx *, float *, float *,
                              const cgd_tensor *, const cgd_tensor *,
                              const cgd_window *);

static void check_window(forward_of *forward, data_of *data,
                         weights_of *weights)
{
    op_case c = op_case_read();
    float *db = c.b ? c.got_db : NULL;
    int twice;
    CHECK(forward(&context, &c.got_y, &c.x, c.w, c.b, &c.window) == CGD_OK);
    near_map("y", &c.got_y, &c.y, SUM_BOUND);
    CHECK(data(&context, &c.got_dx, &c.dy, c.w, &c.window) == CGD_OK);
    near_map("dx", &c.got_dx, &c.dx, SUM_BOUND);
    for (twice = 0; twice < 2; twice++) {
        CHECK(weights(&context, c.got_dw, db, &c.x, &c.dy, &c.window)
              == CGD_OK);
        near_parameters(&c, twice, SUM_BOUND);
    }
}

static void check_pad(void)
{
    op_case c = op_case_read();
    CHECK(op_pad2d(&context, &c.got_y, &c.x, c.window.pad,
                    c.window.pad_mode) == CGD_OK);
    near_map("y", &c.got_y, &c.y, 0);
    CHECK(op_pad2d_backward(&context, &c.got_dx, &c.dy, c.window.pad,
                             c.window.pad_mode) == CGD_OK);
    near_map("dx", &c.got_dx, &c.dx, SUM_BOUND);
}

static void check_upsample(int up)
{
    op_case c = op_case_read();
    CHECK(golden_number(&gold, "scale") == 2);
    CHECK(op_upsample2(&context, &c.got_y, &c.x, up) == CGD_OK);
    near_map("y", &c.got_y, &c.y, SUM_BOUND);
    CHECK(op_upsample2_backward(&context, &c.got_dx, &c.dy, up) == CGD_OK);
    near_map("dx", &c.got_dx, &c.dx, SUM_BOUND);
}

static void check_activation(int act)
{
    op_case c = op_case_read();
    CHECK(op_activate(&context, &c.got_y, &c.x, act) == CGD_OK);
    near_map("y", &c.got_y, &c.y, SUM_BOUND);
    CHECK(op_activate_backward(&context, &c.got_dx, &c.dy, &c.got_y, act)
          == CGD_OK);
    near_map("dx", &c.got_dx, &c.dx, SUM_BOUND);
    CHECK(op_activate(&context, &c.x, &c.x, act) == CGD_OK);
    near_map("y in place", &c.x, &c.y, SUM_BOUND);
    CHECK(op_activate_backward(&context, &c.dy, &c.dy, &c.x, act) == CGD_OK);
    near_map("dx in place", &c.dy, &c.dx, SUM_BOUND);
}

static double largest(const float *v, size_t count)
{
    double top = 0;
    size_t i;
    for (i = 0; i < count; i++)
        if (fabs((double)v[i]) > top) top = fabs((double)v[i]);
    return top;
}

/* A norm's dx is a difference of terms up to gamma / deviation * dy, of which
 * little is left when there are only two pixels: the rounding is theirs. */
static double norm_dx_bound(const op_case *c, const float *stats)
{
    size_t nc = c->x.n * c->x.c;
    double terms = largest(stats + nc, nc) * (c->w ? largest(c->w, c->n_w) : 1)
                 * largest(c->dy.data, cgd_tensor_size(&c->dy));
    double top = largest(c->dx.data, cgd_tensor_size(&c->dx));
    return NORM_BOUND * (terms > top ? terms / top : 1);
}

/* Backward of a norm whose forward has written stats. */
static void check_norm_backward(op_case *c, int norm, const float *stats,
                                int frozen)
{
    float *dw = c->w ? c->got_dw : NULL, *db = c->w ? c->got_db : NULL;
    int twice;
    for (twice = 0; twice < 2; twice++) {
        CHECK(op_norm_backward(&context, &c->got_dx, &c->dy, &c->x, norm,
                                c->w, stats, dw, db, frozen) == CGD_OK);
        near_map("dx", &c->got_dx, &c->dx, norm_dx_bound(c, stats));
        near_parameters(c, twice, NORM_BOUND);
    }
}

static void check_instance_norm(void)
{
    op_case c = op_case_read();
    float *stats = golden_floats(&gold, 2 * c.x.n * c.x.c);
    int norm = c.w ? CGD_NORM_INSTANCE_AFFINE : CGD_NORM_INSTANCE;
    CHECK(golden_number(&gold, "affine") == (size_t)(c.w != NULL));
    CHECK(op_norm(&context, &c.got_y, &c.x, norm, c.w, c.b, stats, NULL,
                   NULL) == CGD_OK);
    near_map("y", &c.got_y, &c.y, NORM_BOUND);
    check_norm_backward(&c, norm, stats, 0);
}

static void check_batch_norm(void)
{
    op_case c = op_case_read();
    float *stats = golden_floats(&gold, 2 * c.x.n * c.x.c), *mean, *var;
    size_t n;
    int train = golden_is(&gold, "mode", "train");
    CHECK(train || golden_is(&gold, "mode", "eval"));
    mean = golden_parameter(&gold, "running_mean0", &n);
    var = golden_parameter(&gold, "running_var0", &n);
    CHECK(n == c.x.c);
    if (train)
        CHECK(op_norm(&context, &c.got_y, &c.x, CGD_NORM_BATCH, c.w, c.b,
                       stats, mean, var) == CGD_OK);
    else
        CHECK(op_norm_frozen(&context, &c.got_y, &c.x, c.w, c.b, stats, mean,
                              var) == CGD_OK);
    near_map("y", &c.got_y, &c.y, NORM_BOUND);
    check_norm_backward(&c, CGD_NORM_BATCH, stats, !train);
    if (!train) return;
    golden_near(&gold, "running_mean1", mean,
                golden_parameter(&gold, "running_mean1", &n), n, SUM_BOUND);
    golden_near(&gold, "running_var1", var,
                golden_parameter(&gold, "running_var1", &n), n, SUM_BOUND);
}

/* ---- losses and Adam against PyTorch -------------------------------------*/

/* A loss of weight 3 written to dx, and, where it can, added to ones. */
static void near_loss(op_case *c, double once, double added, int adds)
{
    float want = 3 * c->y.data[0], got = (float)once;
    float *dx = golden_floats(&gold, cgd_tensor_size(&c->dx));
    size_t i, n = cgd_tensor_size(&c->dx);
    golden_near(&gold, "loss", &got, &want, 1, SUM_BOUND);
    for (i = 0; i < n; i++) dx[i] = 3 * c->dx.data[i];
    golden_near(&gold, "dx", c->got_dx.data, dx, n, SUM_BOUND);
    if (!adds) return;
    got = (float)added;
    golden_near(&gold, "loss again", &got, &want, 1, SUM_BOUND);
    for (i = 0; i < n; i++) dx[i] += 1;
    golden_near(&gold, "dx added", c->got_y.data, dx, n, SUM_BOUND);
}

typedef double distance_of(cgd_ctx *, const cgd_tensor *, const cgd_tensor *,
                           float, cgd_tensor *, int);

static void check_distance(distance_of *loss)
{
    op_case c = op_case_read();
    cgd_tensor t = golden_map(&gold, "t"), ones = like(&c.x);
    size_t i;
    double once, added, silent;
    for (i = 0; i < cgd_tensor_size(&ones); i++) ones.data[i] = 1;
    once = loss(&context, &c.x, &t, 3, &c.got_dx, 0);
    added = loss(&context, &c.x, &t, 3, &ones, 1);
    silent = loss(&context, &c.x, &t, 3, NULL, 0);
    CHECK(silent == once);
    c.got_y = ones;
    near_loss(&c, once, added, 1);
}

static void check_gan(int gan, int role)
{
    op_case c = op_case_read();
    double once = cgd_loss_gan(&context, &c.x, gan, role, 3, &c.got_dx);
    CHECK(cgd_loss_gan(&context, &c.x, gan, role, 3, NULL) == once);
    near_loss(&c, once, 0, 0);
}

static void check_loss(void)
{
    static const struct { const char *op; int gan, role; } table[] = {
        { "loss_lsgan_real", CGD_GAN_LSGAN, CGD_AS_REAL },
        { "loss_lsgan_real", CGD_GAN_LSGAN, CGD_AS_GENERATOR },
        { "loss_lsgan_fake", CGD_GAN_LSGAN, CGD_AS_FAKE },
        { "loss_vanilla_real", CGD_GAN_VANILLA, CGD_AS_REAL },
        { "loss_vanilla_real", CGD_GAN_VANILLA, CGD_AS_GENERATOR },
        { "loss_vanilla_fake", CGD_GAN_VANILLA, CGD_AS_FAKE },
        { "loss_hinge_d_real", CGD_GAN_HINGE, CGD_AS_REAL },
        { "loss_hinge_d_fake", CGD_GAN_HINGE, CGD_AS_FAKE },
        { "loss_hinge_g", CGD_GAN_HINGE, CGD_AS_GENERATOR }
    };
    size_t i, known = 0;
    for (i = 0; i < sizeof table / sizeof *table; i++)
        if (golden_is(&gold, "op", table[i].op)) {
            check_gan(table[i].gan, table[i].role);
            known++;
        }
    if (golden_is(&gold, "op", "loss_l1")) check_distance(cgd_loss_l1);
    else if (golden_is(&gold, "op", "loss_mse")) check_distance(cgd_loss_mse);
    else CHECK(known > 0);
}

/* A step moves by about lr = 2e-4; float32 near 2 rounds at 2.4e-7, and five
 * steps add up. The moves themselves are compared too, where they are not
 * lost in that rounding. */
static void check_adam(void)
{
    cgd_adam adam;
    size_t n, step;
    float *p = golden_parameter(&gold, "p0", &n);
    float *m = zeros(n), *v = zeros(n);
    char key[16];
    adam.beta1 = 0.5f;
    adam.beta2 = 0.999f;
    adam.eps = 1e-8f;
    for (step = 0; step < golden_number(&gold, "steps"); step++) {
        float *g, *want;
        sprintf(key, "g%d", (int)step);
        g = golden_parameter(&gold, key, &n);
        cgd_adam_step(&context, &adam, 2e-4f, (unsigned long)step + 1, p, m,
                      v, g, n);
        sprintf(key, "p%d", (int)step + 1);
        want = golden_parameter(&gold, key, &n);
        golden_near(&gold, key, p, want, n, 4e-7);
    }
    CHECK(m[0] == 0 && v[0] == 0);    /* its gradient was always zero        */
}

/* ---- every case ----------------------------------------------------------*/

static void check_case(void)
{
    if (golden_is(&gold, "op", "conv"))
        check_window(op_conv2d, op_conv2d_backward_data,
                     op_conv2d_backward_weights);
    else if (golden_is(&gold, "op", "convt"))
        check_window(op_deconv2d, op_deconv2d_backward_data,
                     op_deconv2d_backward_weights);
    else if (golden_is(&gold, "op", "depthwise"))
        check_window(op_depthwise2d, op_depthwise2d_backward_data,
                     op_depthwise2d_backward_weights);
    else if (golden_is(&gold, "op", "pad")) check_pad();
    else if (golden_is(&gold, "op", "nearest")) check_upsample(CGD_UP_NEAREST);
    else if (golden_is(&gold, "op", "bilinear"))
        check_upsample(CGD_UP_BILINEAR);
    else if (golden_is(&gold, "op", "relu")) check_activation(CGD_ACT_RELU);
    else if (golden_is(&gold, "op", "leaky_relu"))
        check_activation(CGD_ACT_LEAKY);
    else if (golden_is(&gold, "op", "tanh")) check_activation(CGD_ACT_TANH);
    else if (golden_is(&gold, "op", "instance_norm")) check_instance_norm();
    else if (golden_is(&gold, "op", "batch_norm")) check_batch_norm();
    else if (golden_is(&gold, "op", "adam")) check_adam();
    else check_loss();
}

static void operators_match_pytorch_with_every_kernels_table(void)
{
    size_t kernels = 0, tables = 0, at;
    if (!golden_open(&gold, &context, "tests/golden/ops.safetensors")) return;
    for (; golden_kernels(&context, &kernels); tables++) {
        size_t cases = 0;
        memset(gold.asked, 0, gold.file.n_tensors);
        for (at = 0; golden_next(&gold, &at); cases++) check_case();
        CHECK(cases == 63);
        CHECK(golden_unasked(&gold, "") == 0);
    }
    CHECK(tables >= 2);
    golden_close(&gold);
    cgd_use_kernels(&context, NULL);
}

/* ---- small numbers by hand -----------------------------------------------*/

static void near_numbers(const float *got, const double *want, size_t count,
                         double bound)
{
    size_t i;
    for (i = 0; i < count; i++) CHECK_NEAR(got[i], want[i], bound);
}

static void reflection_pad_mirrors_without_the_edge(void)
{
    static const double want[8] = { 3, 2, 1, 2, 3, 4, 3, 2 };
    float in[12], out[56];
    cgd_tensor x = cgd_tensor_view(1, 3, 4, 1, in);
    cgd_tensor y = cgd_tensor_view(1, 7, 8, 1, out);
    size_t i;
    for (i = 0; i < 12; i++) in[i] = (float)(i % 4 + 1);
    CHECK(op_pad2d(&context, &y, &x, 2, CGD_PAD_REFLECT) == CGD_OK);
    for (i = 0; i < 7; i++) near_numbers(out + 8 * i, want, 8, 0);
}

static void transposed_convolution_of_one_row_by_hand(void)
{
    static const double want[6] = { 100, 1020, 200, 2030, 300, 3000 };
    float in[3] = { 1, 2, 3 }, w[9] = { 0, 0, 0, 10, 100, 1000, 0, 0, 0 };
    float out[12];
    cgd_window window = { 3, 2, 1, CGD_PAD_ZERO };
    cgd_tensor x = cgd_tensor_view(1, 1, 3, 1, in);
    cgd_tensor y = cgd_tensor_view(1, 2, 6, 1, out);
    CHECK(op_deconv2d(&context, &y, &x, w, NULL, &window) == CGD_OK);
    near_numbers(out, want, 6, 0);
}

static void bilinear_of_one_row_by_hand(void)
{
    static const double want[6] = { 0, 0.25, 0.75, 1.75, 3.25, 4 };
    float in[3] = { 0, 1, 4 }, out[12];
    cgd_tensor x = cgd_tensor_view(1, 1, 3, 1, in);
    cgd_tensor y = cgd_tensor_view(1, 2, 6, 1, out);
    CHECK(op_upsample2(&context, &y, &x, CGD_UP_BILINEAR) == CGD_OK);
    near_numbers(out, want, 6, 0);
    near_numbers(out + 6, want, 6, 0);
}

static void norms_of_four_numbers_by_hand(void)
{
    static const double want[4] = { -1.3416354, -0.4472118, 0.4472118,
                                    1.3416354 };
    float in[4] = { 1, 2, 3, 4 }, out[4], stats[2], mean = 0, var = 1;
    cgd_tensor x = cgd_tensor_view(1, 2, 2, 1, in);
    cgd_tensor y = cgd_tensor_view(1, 2, 2, 1, out);
    CHECK(op_norm(&context, &y, &x, CGD_NORM_INSTANCE, NULL, NULL, stats,
                   NULL, NULL) == CGD_OK);
    near_numbers(out, want, 4, 3e-7);
    CHECK(op_norm(&context, &y, &x, CGD_NORM_BATCH, NULL, NULL, stats, &mean,
                   &var) == CGD_OK);
    near_numbers(out, want, 4, 3e-7);
    CHECK_NEAR(mean, 0.25, 1e-7);
    CHECK_NEAR(var, 0.9 + 0.1 * 5 / 3, 1e-6);
}

static void adam_of_three_gradients_by_hand(void)
{
    static const float g[3] = { 0.1f, -0.2f, 0.3f };
    static const double want[3] = { 0.99980000, 0.99992647, 0.99980747 };
    cgd_adam adam = { 0.5f, 0.999f, 1e-8f };
    float p = 1, m = 0, v = 0;
    unsigned long i;
    for (i = 0; i < 3; i++) {
        cgd_adam_step(&context, &adam, 2e-4f, i + 1, &p, &m, &v, g + i, 1);
        CHECK_NEAR(p, want[i], 1.5e-7);
    }
}

/* ---- refusals ------------------------------------------------------------*/

/* Tensors that fit each other, until a test spoils one. */
static float x_room[600], y_room[600], w_room[600];
static cgd_tensor x, y;
static cgd_window window;

static void reset(size_t n, size_t h, size_t w, size_t c, size_t oh,
                  size_t ow, size_t o)
{
    size_t i;
    for (i = 0; i < 600; i++) x_room[i] = y_room[i] = w_room[i] = 7;
    x = cgd_tensor_view(n, h, w, c, x_room);
    y = cgd_tensor_view(n, oh, ow, o, y_room);
    window.kernel = 3;
    window.stride = 2;
    window.pad = 1;
    window.pad_mode = CGD_PAD_REFLECT;
    context.message[0] = 0;
}

static size_t spoiled;                 /* bytes in use before a flaw         */

/* The call must have failed with a sentence and left all numbers alone. */
static void refused(cgd_status status)
{
    size_t i, changed = 0;
    CHECK(status == CGD_ERR_SHAPE);
    CHECK(strlen(cgd_message(&context, status)) > 15);
    CHECK(cgd_message(&context, status) == context.message);
    for (i = 0; i < 600; i++)
        changed += x_room[i] != 7 || y_room[i] != 7 || w_room[i] != 7;
    CHECK(changed == 0);
    CHECK(cgd_memory_in_use(&context) == spoiled);
}

/* Spoil one thing of a window operator between `big` and `small`. */
static int spoil(int flaw, cgd_tensor *big, cgd_tensor *small)
{
    switch (flaw) {
    case 0: small->n++; break;
    case 1: small->h++; break;
    case 2: small->w--; break;
    case 3: big->h += 2; break;
    case 4: big->w -= 2; break;
    case 5: window.kernel = 0; break;
    case 6: window.stride = 0; break;
    case 7: window.kernel = 17; break;
    case 8: window.kernel = 15; break;     /* larger than the padded map     */
    case 9: big->h = small->h = 1; break;  /* no room for a reflection       */
    case 10: big->n = small->n = 0; break;
    case 11: big->w = (size_t)-1; break;   /* plus padding: overflows        */
    default: return 0;
    }
    return 1;
}

static void windows_that_do_not_fit_are_refused(void)
{
    int flaw;
    spoiled = cgd_memory_in_use(&context);
    for (flaw = 0; reset(2, 6, 7, 3, 3, 4, 4), spoil(flaw, &x, &y); flaw++) {
        refused(op_conv2d(&context, &y, &x, w_room, NULL, &window));
        refused(op_conv2d_backward_data(&context, &x, &y, w_room, &window));
        refused(op_conv2d_backward_weights(&context, w_room, w_room, &x, &y,
                                            &window));
        refused(op_deconv2d(&context, &x, &y, w_room, NULL, &window));
        refused(op_deconv2d_backward_data(&context, &y, &x, w_room,
                                           &window));
        refused(op_deconv2d_backward_weights(&context, w_room, w_room, &y,
                                              &x, &window));
    }
    for (flaw = 0; reset(2, 6, 7, 3, 3, 4, 3), spoil(flaw, &x, &y); flaw++) {
        refused(op_depthwise2d(&context, &y, &x, w_room, NULL, &window));
        refused(op_depthwise2d_backward_data(&context, &x, &y, w_room,
                                              &window));
        refused(op_depthwise2d_backward_weights(&context, w_room, w_room,
                                                 &x, &y, &window));
    }
    reset(2, 6, 7, 3, 3, 4, 4);            /* depthwise: as many out as in   */
    refused(op_depthwise2d(&context, &y, &x, w_room, NULL, &window));
    refused(op_depthwise2d_backward_data(&context, &x, &y, w_room, &window));
}

/* ---- random numbers ------------------------------------------------------*/

/* The first from xoshiro128**'s authors' program with the state 1, 2, 3, 4;
 * the others from a second implementation of the seeding, in Python. */
static void random_numbers_are_known(void)
{
    static const cgd_u32 plain[10] = { 11520U, 0U, 5927040U, 70819200U,
        2031721883U, 1637235492U, 1287239034U, 3734860849U, 3729100597U,
        4258142804U };
    static const cgd_u32 seed_1[6] = { 2898659287U, 2297781322U, 1456976308U,
        3874099779U, 3394632853U, 2308453668U };
    static const cgd_u32 seed_7_3[6] = { 164171057U, 684916978U, 4164205697U,
        692651111U, 2835248925U, 2659894479U };
    cgd_rng rng;
    size_t i;
    for (i = 0; i < 4; i++) rng.s[i] = (cgd_u32)i + 1;
    for (i = 0; i < 10; i++) CHECK(cgd_rng_next(&rng) == plain[i]);
    cgd_rng_seed(&rng, 1, 0);
    for (i = 0; i < 6; i++) CHECK(cgd_rng_next(&rng) == seed_1[i]);
    cgd_rng_seed(&rng, 7, 3);
    for (i = 0; i < 6; i++) CHECK(cgd_rng_next(&rng) == seed_7_3[i]);
    cgd_rng_seed(&rng, 1, 0);
    CHECK(cgd_rng_uniform(&rng) == seed_1[0] / 4294967296.0);
}

#define DRAWS 200000

/* Bounds are five standard errors of a mean over the draws. */
static void uniform_numbers_have_their_moments(void)
{
    double sum = 0, square = 0, lag = 0, last = 0.5, least = 1, most = 0;
    cgd_rng rng;
    long i;
    cgd_rng_seed(&rng, 3, 0);
    for (i = 0; i < DRAWS; i++) {
        double u = cgd_rng_uniform(&rng);
        sum += u;
        square += (u - 0.5) * (u - 0.5);
        lag += (u - 0.5) * (last - 0.5);
        last = u;
        if (u < least) least = u;
        if (u > most) most = u;
    }
    CHECK(least >= 0 && least < 1e-4 && most < 1 && most > 1 - 1e-4);
    CHECK_NEAR(sum / DRAWS, 0.5, 5 * sqrt(1.0 / 12 / DRAWS));
    CHECK_NEAR(square / DRAWS, 1.0 / 12, 5 * sqrt(1.0 / 180 / DRAWS));
    CHECK_NEAR(lag / DRAWS, 0, 5 / 12.0 / sqrt((double)DRAWS));
}

static void normal_numbers_have_their_moments(void)
{
    double m[5] = { 0, 0, 0, 0, 0 };
    long i, k, beyond = 0;
    cgd_rng rng;
    cgd_rng_seed(&rng, 4, 0);
    for (i = 0; i < DRAWS; i++) {
        double z = cgd_rng_normal(&rng), power = 1;
        for (k = 1; k < 5; k++) m[k] += power *= z;
        if (fabs(z) > 2) beyond++;
    }
    CHECK_NEAR(m[1] / DRAWS, 0, 5 * sqrt(1.0 / DRAWS));
    CHECK_NEAR(m[2] / DRAWS, 1, 5 * sqrt(2.0 / DRAWS));
    CHECK_NEAR(m[3] / DRAWS, 0, 5 * sqrt(15.0 / DRAWS));
    CHECK_NEAR(m[4] / DRAWS, 3, 5 * sqrt(96.0 / DRAWS));
    CHECK_NEAR((double)beyond / DRAWS, 0.0455, 5 * sqrt(0.0455 / DRAWS));
}

static void numbers_below_n_are_even(void)
{
    long count[7] = { 0, 0, 0, 0, 0, 0, 0 }, i, high = 0;
    double chi = 0;
    cgd_rng rng;
    cgd_rng_seed(&rng, 5, 0);
    for (i = 0; i < 70000; i++) count[cgd_rng_below(&rng, 7)]++;
    for (i = 0; i < 7; i++)
        chi += ((double)count[i] - 1e4) * ((double)count[i] - 1e4) / 1e4;
    CHECK(chi < 22.5);                     /* 6 degrees: p = 0.001           */
    CHECK(cgd_rng_below(&rng, 1) == 0);
    /* 3/4 of 2^32: taking the remainder alone would favour the low third. */
    for (i = 0; i < 30000; i++)
        high += cgd_rng_below(&rng, 0xC0000000U) >= 0x40000000U;
    CHECK_NEAR((double)high / 30000, 2.0 / 3, 5 * sqrt(2.0 / 9 / 30000));
}

/* ---- drawing weights -----------------------------------------------------*/

static void one_layer(cgd_net *net, int kind, size_t in, size_t out, size_t k,
                      int norm)
{
    cgd_layer l;
    memset(&l, 0, sizeof l);
    l.kind = kind;
    l.in_c = in;
    l.out_c = out;
    l.window.kernel = k;
    l.window.stride = kind == CGD_DECONV ? 2 : 1;
    l.window.pad = k / 2;
    l.norm = norm;
    strcpy(l.name, "model.0");
    CHECK(cgd_net_init(&context, net, &l, 1) == CGD_OK);
}

typedef struct spread { double mean, deviation, least, most; } spread;

static spread spread_of(const float *v, size_t count)
{
    spread s = { 0, 0, 1e9, -1e9 };
    size_t i;
    for (i = 0; i < count; i++) {
        s.mean += (double)v[i];
        if ((double)v[i] < s.least) s.least = (double)v[i];
        if ((double)v[i] > s.most) s.most = (double)v[i];
    }
    s.mean /= (double)count;
    for (i = 0; i < count; i++)
        s.deviation += ((double)v[i] - s.mean) * ((double)v[i] - s.mean);
    s.deviation = sqrt(s.deviation / (double)count);
    return s;
}

/* Draw one layer's weights: their spread, and that of the biases. */
static spread drawn(int kind, size_t in, size_t out, size_t k, int init,
                    spread *bias)
{
    cgd_net net;
    cgd_rng rng;
    spread s;
    one_layer(&net, kind, in, out, k, CGD_NORM_NONE);
    cgd_rng_seed(&rng, 11, 0);
    cgd_net_init_weights(&net, init, &rng);
    s = spread_of(net.params, net.layers[0].b);
    *bias = spread_of(net.params + net.layers[0].b, out);
    cgd_net_free(&net);
    return s;
}

static void pytorch_initialisation_fills_its_bounds(void)
{
    static const struct { int kind; size_t in, out, k; double bound; } t[] = {
        { CGD_CONV, 3, 64, 7, 0.0824786 },
        { CGD_DECONV, 256, 128, 3, 0.0294628 },
        { CGD_DEPTHWISE, 64, 64, 3, 1.0 / 3 }
    };
    size_t i;
    for (i = 0; i < 3; i++) {
        spread bias, s = drawn(t[i].kind, t[i].in, t[i].out, t[i].k,
                               CGD_INIT_PYTORCH, &bias);
        CHECK(s.most <= t[i].bound * 1.00001 && s.most > t[i].bound * 0.99);
        CHECK(s.least >= -t[i].bound * 1.00001 && s.least < -t[i].bound * .99);
        CHECK_NEAR(s.deviation, t[i].bound / sqrt(3.0), 0.03 * t[i].bound);
        CHECK(bias.most <= t[i].bound * 1.00001);
        CHECK_NEAR(bias.deviation, t[i].bound / sqrt(3.0), 0.2 * t[i].bound);
    }
}

/* Deviations of 147456 draws are good to 1 / sqrt(2 * 147456) = 0.2%. */
static void normal_initialisations_have_their_deviations(void)
{
    static const struct { int kind, init; double want; } t[] = {
        { CGD_CONV, CGD_INIT_NORMAL, 0.02 },
        { CGD_DECONV, CGD_INIT_NORMAL, 0.02 },
        /* fans: conv 128 * 9 in, 128 * 9 out */
        { CGD_CONV, CGD_INIT_XAVIER, 0.02 * 0.0294628 },
        { CGD_CONV, CGD_INIT_KAIMING, 0.0416667 },
        { CGD_DECONV, CGD_INIT_KAIMING, 0.0416667 }
    };
    size_t i;
    for (i = 0; i < sizeof t / sizeof *t; i++) {
        spread bias, s = drawn(t[i].kind, 128, 128, 3, t[i].init, &bias);
        CHECK_NEAR(s.mean, 0, t[i].want * 5 / 384);
        CHECK_NEAR(s.deviation, t[i].want, 0.01 * t[i].want);
        CHECK(s.most > 4 * t[i].want && s.least < -4 * t[i].want);
        CHECK(bias.least == 0 && bias.most == 0);
    }
}

static void norms_start_near_one(int norm, int init, double deviation)
{
    cgd_net net;
    cgd_rng rng;
    spread s;
    size_t i;
    one_layer(&net, CGD_CONV, 1, 4096, 1, norm);
    for (i = 0; i < net.state; i++) net.params[i] = 5;   /* an earlier life  */
    cgd_rng_seed(&rng, 12, 0);
    cgd_net_init_weights(&net, init, &rng);
    s = spread_of(net.params + net.layers[0].gamma, 4096);
    CHECK_NEAR(s.mean, 1, 5 * deviation / 64 + 1e-9);
    CHECK_NEAR(s.deviation, deviation, 0.05 * deviation);
    s = spread_of(net.params + net.layers[0].beta, 4096);
    CHECK(s.least == 0 && s.most == 0);
    if (norm == CGD_NORM_BATCH) {
        s = spread_of(net.params + net.layers[0].mean, 4096);
        CHECK(s.least == 0 && s.most == 0);
        s = spread_of(net.params + net.layers[0].var, 4096);
        CHECK(s.least == 1 && s.most == 1);
    }
    cgd_net_free(&net);
}

static void norms_are_initialised_whatever_was_there(void)
{
    norms_start_near_one(CGD_NORM_BATCH, CGD_INIT_NORMAL, 0.02);
    norms_start_near_one(CGD_NORM_INSTANCE_AFFINE, CGD_INIT_NORMAL, 0.02);
    norms_start_near_one(CGD_NORM_BATCH, CGD_INIT_PYTORCH, 0);
    norms_start_near_one(CGD_NORM_INSTANCE_AFFINE, CGD_INIT_PYTORCH, 0);
}

/* ---- schedules -----------------------------------------------------------*/

static double rate(int kind, unsigned long start, unsigned long total,
                   unsigned long step)
{
    cgd_schedule s;
    s.kind = kind;
    s.start = start;
    s.total = total;
    return (double)cgd_schedule_at(&s, step);
}

static void schedules_by_hand(void)
{
    CHECK(rate(CGD_LR_CONSTANT, 0, 0, 0) == 1);
    CHECK(rate(CGD_LR_CONSTANT, 10, 20, 1000) == 1);
    CHECK(rate(CGD_LR_LINEAR, 100, 200, 0) == 1);
    CHECK(rate(CGD_LR_LINEAR, 100, 200, 100) == 1);
    CHECK_NEAR(rate(CGD_LR_LINEAR, 100, 200, 101), 0.99, 1e-7);
    CHECK_NEAR(rate(CGD_LR_LINEAR, 100, 200, 150), 0.5, 1e-7);
    CHECK_NEAR(rate(CGD_LR_LINEAR, 100, 200, 199), 0.01, 1e-7);
    CHECK(rate(CGD_LR_LINEAR, 100, 200, 200) == 0);
    CHECK(rate(CGD_LR_LINEAR, 100, 200, 900) == 0);
    CHECK_NEAR(rate(CGD_LR_LINEAR, 0, 4, 1), 0.75, 1e-7);
    CHECK(rate(CGD_LR_STEP, 50, 0, 49) == 1);
    CHECK_NEAR(rate(CGD_LR_STEP, 50, 0, 50), 0.1, 1e-8);
    CHECK_NEAR(rate(CGD_LR_STEP, 50, 0, 99), 0.1, 1e-8);
    CHECK_NEAR(rate(CGD_LR_STEP, 50, 0, 149), 0.01, 1e-9);
    CHECK(rate(CGD_LR_STEP, 0, 0, 10) == 1);
    CHECK(rate(CGD_LR_COSINE, 10, 110, 10) == 1);
    CHECK_NEAR(rate(CGD_LR_COSINE, 10, 110, 60), 0.5, 1e-7);
    CHECK_NEAR(rate(CGD_LR_COSINE, 10, 110, 35), 0.85355339, 1e-7);
    CHECK_NEAR(rate(CGD_LR_COSINE, 10, 110, 85), 0.14644661, 1e-7);
    CHECK(rate(CGD_LR_COSINE, 10, 110, 110) == 0);
}

/* ---- image pool ----------------------------------------------------------*/

#define PICTURE 6

/* A picture all of one number, and that number (-1 when it is torn). */
static void paint(float *picture, float value)
{
    size_t i;
    for (i = 0; i < PICTURE; i++) picture[i] = value;
}

static float painted(const float *picture)
{
    size_t i;
    for (i = 1; i < PICTURE; i++)
        if (!(picture[i] >= picture[0] && picture[i] <= picture[0])) return -1;
    return picture[0];
}

static float query(cgd_pool *pool, cgd_rng *rng, float value)
{
    float room[PICTURE];
    cgd_tensor t = cgd_tensor_view(1, 1, 2, 3, room);
    paint(room, value);
    cgd_pool_query(pool, rng, &t);
    return painted(room);
}

static void pool_without_capacity_passes_through(void)
{
    cgd_pool pool;
    cgd_rng rng, untouched;
    cgd_rng_seed(&rng, 1, 1);
    untouched = rng;
    CHECK(cgd_pool_init(&context, &pool, 0, PICTURE) == CGD_OK);
    CHECK(query(&pool, &rng, 3) == 3 && query(&pool, &rng, 4) == 4);
    CHECK(memcmp(&rng, &untouched, sizeof rng) == 0);
    cgd_pool_free(&context, &pool);
}

static void pool_returns_what_it_stores_until_it_is_full(void)
{
    float room[3 * PICTURE];
    cgd_tensor batch = cgd_tensor_view(3, 1, 2, 3, room);
    size_t before = cgd_memory_in_use(&context);
    cgd_pool pool;
    cgd_rng rng;
    int i, k;
    cgd_rng_seed(&rng, 1, 1);
    CHECK(cgd_pool_init(&context, &pool, 9, PICTURE) == CGD_OK);
    for (i = 0; i < 3; i++) {              /* three batches of three         */
        for (k = 0; k < 3; k++) paint(room + k * PICTURE, (float)(3 * i + k));
        cgd_pool_query(&pool, &rng, &batch);
        for (k = 0; k < 3; k++)
            CHECK(painted(room + k * PICTURE) == (float)(3 * i + k));
        CHECK(pool.filled == (size_t)(3 * i + 3));
    }
    for (i = 0; i < 9; i++)
        CHECK(painted(pool.data + i * PICTURE) == (float)i);
    cgd_pool_free(&context, &pool);
    CHECK(cgd_memory_in_use(&context) == before);
}

/* Half of the new pictures come back at once; the others are swapped for one
 * that any place may hold, and nothing is lost or doubled. */
static void full_pool_swaps_half_of_the_pictures(void)
{
    enum { N = 20000, ROOM = 10 };
    static unsigned char returned[N];
    long swapped = 0, place[ROOM], i, k;
    cgd_pool pool;
    cgd_rng rng;
    cgd_rng_seed(&rng, 2, 1);
    memset(returned, 0, sizeof returned);
    memset(place, 0, sizeof place);
    CHECK(cgd_pool_init(&context, &pool, ROOM, PICTURE) == CGD_OK);
    for (i = 0; i < ROOM; i++) query(&pool, &rng, (float)i);
    for (i = ROOM; i < N; i++) {
        float back = query(&pool, &rng, (float)i);
        CHECK(back >= 0 && back <= (float)i);
        returned[(long)back]++;
        if (back >= (float)i) continue;
        swapped++;
        for (k = 0; k < ROOM; k++)
            if (painted(pool.data + k * PICTURE) >= (float)i) place[k]++;
    }
    for (i = 0; i < ROOM; i++)
        returned[(long)painted(pool.data + i * PICTURE)]++;
    for (i = 0; i < N; i++) CHECK(returned[i] == 1);
    CHECK_NEAR((double)swapped / N, 0.5, 5 * sqrt(0.25 / N));
    for (k = 0; k < ROOM; k++)
        CHECK_NEAR((double)place[k] / (double)swapped, 1.0 / ROOM,
                   5 * sqrt(0.09 / (double)swapped));
    cgd_pool_free(&context, &pool);
}

/* ---- pixels --------------------------------------------------------------*/

static void bytes_become_pixels_and_come_back(void)
{
    unsigned char in[512], out[512];
    float room[512];
    cgd_tensor t = cgd_tensor_view(2, 16, 16, 1, room);
    int i;
    for (i = 0; i < 512; i++) in[i] = (unsigned char)(i < 256 ? i : 511 - i);
    cgd_tensor_from_bytes(&t, 0, in);
    cgd_tensor_from_bytes(&t, 1, in + 256);
    for (i = 0; i < 512; i++)
        CHECK_NEAR(room[i], in[i] / 255.0 * 2 - 1, 1.2e-7);
    CHECK(room[0] == -1 && room[255] == 1);
    cgd_tensor_to_bytes(out, &t, 0);
    cgd_tensor_to_bytes(out + 256, &t, 1);
    CHECK(memcmp(in, out, 512) == 0);
}

/* Halfway between two bytes, and a little less or more. */
static void pixels_are_rounded_to_the_nearest_byte(void)
{
    unsigned char out[2];
    float room[2];
    cgd_tensor t = cgd_tensor_view(1, 1, 2, 1, room);
    int i;
    for (i = 0; i < 255; i++) {
        room[0] = (float)((i + 0.499) / 127.5 - 1);
        room[1] = (float)((i + 0.501) / 127.5 - 1);
        cgd_tensor_to_bytes(out, &t, 0);
        CHECK(out[0] == i && out[1] == i + 1);
    }
}

static void pixels_out_of_range_are_clamped(void)
{
    static const double values[6] = { -1.5, 1.5, -1e30, 1e30, 1.002, -1.002 };
    unsigned char out[9];
    float room[9], zero = 0;
    cgd_tensor t = cgd_tensor_view(1, 3, 3, 1, room);
    int i;
    for (i = 0; i < 6; i++) room[i] = (float)values[i];
    room[6] = 1e30f * 1e30f;               /* infinite                       */
    room[7] = -room[6];
    room[8] = zero * room[6];              /* not a number                   */
    cgd_tensor_to_bytes(out, &t, 0);
    CHECK(out[0] == 0 && out[1] == 255 && out[2] == 0 && out[3] == 255);
    CHECK(out[4] == 255 && out[5] == 0 && out[6] == 255 && out[7] == 0);
    CHECK(out[8] == 0);
}

int main(void)
{
    cgd_init(&context, NULL);
    RUN(operators_match_pytorch_with_every_kernels_table);
    RUN(reflection_pad_mirrors_without_the_edge);
    RUN(transposed_convolution_of_one_row_by_hand);
    RUN(bilinear_of_one_row_by_hand);
    RUN(norms_of_four_numbers_by_hand);
    RUN(adam_of_three_gradients_by_hand);
    RUN(windows_that_do_not_fit_are_refused);
    RUN(random_numbers_are_known);
    RUN(uniform_numbers_have_their_moments);
    RUN(normal_numbers_have_their_moments);
    RUN(numbers_below_n_are_even);
    RUN(pytorch_initialisation_fills_its_bounds);
    RUN(normal_initialisations_have_their_deviations);
    RUN(norms_are_initialised_whatever_was_there);
    RUN(schedules_by_hand);
    RUN(pool_without_capacity_passes_through);
    RUN(pool_returns_what_it_stores_until_it_is_full);
    RUN(full_pool_swaps_half_of_the_pictures);
    RUN(bytes_become_pixels_and_come_back);
    RUN(pixels_are_rounded_to_the_nearest_byte);
    RUN(pixels_out_of_range_are_clamped);
    cgd_free(&context);
    return test_end();
}
