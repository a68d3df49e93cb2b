/* Gradients against central differences, signed: of every operator and loss,
 * and through whole generators, discriminators and nets of one's own design.
 *
 * A loss is sum(r * y) with random r, summed in double precision. Each tensor
 * v that it depends on is moved along a random direction d, and <gradient, d>
 * is compared with the five-point formula
 *
 *     (8 (f(h) - f(-h)) - (f(2h) - f(-2h))) / 12h       (error of order h^4)
 *
 * <gradient, d> is typically as large as the gradient's length times that of
 * one step of d, so that product is what errors are measured by: a gradient
 * that is small in this direction by chance is no reason for a finer bound. */
#define CGD_IMPLEMENTATION
#include "../cycle_gan_distil.h"
#include "operators.h"
#include "test.h"
#include <stdlib.h>
#include <string.h>

static cgd_ctx context;
static cgd_rng dice;

static float *numbers(size_t count, double scale)
{
    float *v = (float *)malloc((count + 1) * sizeof(float));
    size_t i;
    if (!v) { printf("no memory\n"); exit(1); }
    for (i = 0; i < count; i++)
        v[i] = (float)(scale * (2 * cgd_rng_uniform(&dice) - 1));
    return v;
}

static cgd_tensor map(size_t n, size_t h, size_t w, size_t c)
{
    cgd_tensor t = cgd_tensor_view(n, h, w, c, NULL);
    t.data = numbers(cgd_tensor_size(&t), 2);
    return t;
}

/* Move numbers that are closer than 0.15 to a corner away from it. */
static void leave_corner(float *v, size_t count, float corner)
{
    size_t i;
    for (i = 0; i < count; i++) {
        float off = v[i] - corner;
        if (fabs((double)off) < 0.15) v[i] += off < 0 ? -0.15f : 0.15f;
    }
}

static double dot(const float *a, const float *b, size_t count)
{
    double sum = 0;
    size_t i;
    for (i = 0; i < count; i++) sum += (double)a[i] * (double)b[i];
    return sum;
}

/* ---- the comparison ------------------------------------------------------*/

typedef double loss_of(void *self);

static double moved(loss_of *loss, void *self, float *v, const float *from,
                    const float *d, size_t count, double h)
{
    double f;
    size_t i;
    for (i = 0; i < count; i++) v[i] = (float)((double)from[i]
                                               + h * (double)d[i]);
    f = loss(self);
    memcpy(v, from, count * sizeof(float));
    return f;
}

typedef struct slope { double analytic, numeric, unit; } slope;

/* gradient belongs to v as it stands. scale: the length of d's steps. */
static slope slope_of(loss_of *loss, void *self, float *v,
                      const float *gradient, size_t count, double scale,
                      double h)
{
    float *d = numbers(count, scale), *from = numbers(count, 0);
    slope s;
    memcpy(from, v, count * sizeof(float));
    s.numeric = 8 * (moved(loss, self, v, from, d, count, h)
                     - moved(loss, self, v, from, d, count, -h))
              - (moved(loss, self, v, from, d, count, 2 * h)
                 - moved(loss, self, v, from, d, count, -2 * h));
    s.numeric /= 12 * h;
    s.analytic = dot(gradient, d, count);
    s.unit = scale * sqrt(dot(gradient, gradient, count));
    free(d);
    free(from);
    return s;
}

static void judge(const char *what, const slope *s, double tolerance)
{
    char text[200];
    if (fabs(s->numeric - s->analytic) <= tolerance) return;
    sprintf(text, "%.100s: %g, by differences %g, typically %g", what,
            s->analytic, s->numeric, s->unit);
    test_failure(__FILE__, __LINE__, text);
}

static void check_slope(const char *what, loss_of *loss, void *self, float *v,
                        const float *gradient, size_t count, double h,
                        double tolerance)
{
    slope s = slope_of(loss, self, v, gradient, count, 1, h);
    judge(what, &s, tolerance * s.unit);
}

/* ---- operators -----------------------------------------------------------*/

/* What an operator is applied to, and how; loss(op) runs it forward. */
typedef struct op {
    int kind, norm, act, up, pad_mode, frozen;
    size_t pad;
    cgd_window window;
    cgd_tensor x, y, r, dx;
    float *w, *b, *dw, *db, *stats, *mean, *var;
    size_t n_w, n_b;
} op;

enum { OP_CONV, OP_DECONV, OP_DEPTHWISE, OP_PAD, OP_NORM, OP_ACT, OP_UP };

static cgd_status op_forward(op *p)
{
    switch (p->kind) {
    case OP_CONV:
        return op_conv2d(&context, &p->y, &p->x, p->w, p->b, &p->window);
    case OP_DECONV:
        return op_deconv2d(&context, &p->y, &p->x, p->w, p->b, &p->window);
    case OP_DEPTHWISE:
        return op_depthwise2d(&context, &p->y, &p->x, p->w, p->b,
                               &p->window);
    case OP_PAD:
        return op_pad2d(&context, &p->y, &p->x, p->pad, p->pad_mode);
    case OP_UP: return op_upsample2(&context, &p->y, &p->x, p->up);
    case OP_ACT: return op_activate(&context, &p->y, &p->x, p->act);
    default: break;
    }
    if (p->frozen)
        return op_norm_frozen(&context, &p->y, &p->x, p->w, p->b, p->stats,
                               p->mean, p->var);
    return op_norm(&context, &p->y, &p->x, p->norm, p->w, p->b, p->stats,
                    NULL, NULL);
}

static cgd_status op_backward(op *p)
{
    cgd_status status = CGD_OK;
    switch (p->kind) {
    case OP_CONV:
        status = op_conv2d_backward_weights(&context, p->dw, p->db, &p->x,
                                             &p->r, &p->window);
        return status ? status : op_conv2d_backward_data(&context, &p->dx,
                                             &p->r, p->w, &p->window);
    case OP_DECONV:
        status = op_deconv2d_backward_weights(&context, p->dw, p->db, &p->x,
                                               &p->r, &p->window);
        return status ? status : op_deconv2d_backward_data(&context, &p->dx,
                                               &p->r, p->w, &p->window);
    case OP_DEPTHWISE:
        status = op_depthwise2d_backward_weights(&context, p->dw, p->db,
                                                  &p->x, &p->r, &p->window);
        return status ? status : op_depthwise2d_backward_data(&context,
                                          &p->dx, &p->r, p->w, &p->window);
    case OP_PAD:
        return op_pad2d_backward(&context, &p->dx, &p->r, p->pad,
                                  p->pad_mode);
    case OP_UP:
        return op_upsample2_backward(&context, &p->dx, &p->r, p->up);
    case OP_ACT:
        return op_activate_backward(&context, &p->dx, &p->r, &p->y, p->act);
    default: break;
    }
    return op_norm_backward(&context, &p->dx, &p->r, &p->x, p->norm, p->w,
                             p->stats, p->dw, p->db, p->frozen);
}

static double op_loss(void *self)
{
    op *p = (op *)self;
    CHECK(op_forward(p) == CGD_OK);
    return dot(p->r.data, p->y.data, cgd_tensor_size(&p->y));
}

/* Linear operators have no error of the formula, so h is large and only the
 * rounding of y counts; the others get a step of 0.03. */
static void check_op(const char *what, op *p, double h, double tolerance)
{
    p->r = map(p->y.n, p->y.h, p->y.w, p->y.c);
    p->dx = map(p->x.n, p->x.h, p->x.w, p->x.c);
    p->dw = numbers(p->n_w, 0);
    p->db = p->b ? numbers(p->n_b, 0) : NULL;
    op_loss(p);
    CHECK(op_backward(p) == CGD_OK);
    check_slope(what, op_loss, p, p->x.data, p->dx.data,
                cgd_tensor_size(&p->x), h, tolerance);
    if (p->w)
        check_slope(what, op_loss, p, p->w, p->dw, p->n_w, h, tolerance);
    if (p->b)
        check_slope(what, op_loss, p, p->b, p->db, p->n_b, h, tolerance);
    free(p->x.data); free(p->y.data); free(p->r.data); free(p->dx.data);
    free(p->w); free(p->b); free(p->dw); free(p->db);
    free(p->stats); free(p->mean); free(p->var);
}

static void check_window(int kind, const char *what, size_t k, size_t stride,
                         size_t pad, int pad_mode, int bias)
{
    op p;
    size_t h = 7, w = 8, oh = (h + 2 * pad - k) / stride + 1;
    size_t ow = (w + 2 * pad - k) / stride + 1, c = 3, o = 4;
    memset(&p, 0, sizeof p);
    if (kind == OP_DEPTHWISE) o = c;
    p.kind = kind;
    p.window.kernel = k;
    p.window.stride = stride;
    p.window.pad = pad;
    p.window.pad_mode = pad_mode;
    p.x = kind == OP_DECONV ? map(2, oh, ow, o) : map(2, h, w, c);
    p.y = kind == OP_DECONV ? map(2, h, w, c) : map(2, oh, ow, o);
    p.n_w = kind == OP_DEPTHWISE ? k * k * c : k * k * c * o;
    p.w = numbers(p.n_w, 1);
    p.n_b = kind == OP_DECONV ? c : o;
    p.b = bias ? numbers(p.n_b, 1) : NULL;
    check_op(what, &p, 0.5, 1e-5);
}

static void convolutions_backward(void)
{
    size_t k, stride, pad;
    int mode, bias = 0;
    for (k = 1; k <= 7; k++)
        for (stride = 1; stride <= 3; stride++)
            for (pad = 0; pad < k && pad <= 3; pad++)
                for (mode = 0; mode < 2; mode++, bias = !bias) {
                    check_window(OP_CONV, "conv", k, stride, pad, mode, bias);
                    check_window(OP_DECONV, "deconv", k, stride, pad, mode,
                                 bias);
                    check_window(OP_DEPTHWISE, "depthwise", k, stride, pad,
                                 mode, bias);
                }
}

static void pads_and_upsampling_backward(void)
{
    size_t pad;
    int mode;
    for (pad = 0; pad <= 3; pad++)
        for (mode = 0; mode < 2; mode++) {
            op p;
            memset(&p, 0, sizeof p);
            p.kind = OP_PAD;
            p.pad = pad;
            p.pad_mode = mode;
            p.x = map(2, 4, 5, 3);
            p.y = map(2, 4 + 2 * pad, 5 + 2 * pad, 3);
            check_op("pad", &p, 0.5, 1e-5);
            memset(&p, 0, sizeof p);
            p.kind = OP_UP;
            p.up = mode ? CGD_UP_BILINEAR : CGD_UP_NEAREST;
            p.x = map(2, pad + 1, 5, 3);
            p.y = map(2, 2 * pad + 2, 10, 3);
            check_op("upsample", &p, 0.5, 1e-5);
        }
}

/* y rounds at 1e-7 and h is 0.03: 1e-5 of noise, and h^4 = 1e-6 times a
 * fifth derivative of a few hundred at worst. */
static void check_norm(int norm, int affine, int frozen)
{
    op p;
    size_t i;
    memset(&p, 0, sizeof p);
    p.kind = OP_NORM;
    p.norm = norm;
    p.frozen = frozen;
    p.x = map(2, 5, 6, 3);
    p.y = map(2, 5, 6, 3);
    p.stats = numbers(12, 0);
    p.mean = numbers(3, 1);
    p.var = numbers(3, 0.5);
    for (i = 0; i < 3; i++) p.var[i] += 1;
    p.n_w = p.n_b = 3;
    if (affine) {
        p.w = numbers(3, 2);
        p.b = numbers(3, 1);
    }
    check_op("norm", &p, 0.03, 1e-4);
}

static void norms_backward(void)
{
    check_norm(CGD_NORM_INSTANCE, 0, 0);
    check_norm(CGD_NORM_INSTANCE_AFFINE, 1, 0);
    check_norm(CGD_NORM_BATCH, 1, 0);
    check_norm(CGD_NORM_BATCH, 0, 0);
    check_norm(CGD_NORM_BATCH, 1, 1);
    check_norm(CGD_NORM_INSTANCE, 0, 1);
}

static void activations_backward(void)
{
    int act;
    for (act = CGD_ACT_NONE; act <= CGD_ACT_TANH; act++) {
        op p;
        memset(&p, 0, sizeof p);
        p.kind = OP_ACT;
        p.act = act;
        p.x = map(2, 5, 6, 3);
        p.y = map(2, 5, 6, 3);
        leave_corner(p.x.data, cgd_tensor_size(&p.x), 0);
        check_op("activation", &p, 0.03, 1e-5);
    }
}

/* ---- losses --------------------------------------------------------------*/

typedef struct loss_case {
    int kind, role;                    /* kind -1: L1, -2: MSE, else GAN     */
    cgd_tensor x, target, dx;
} loss_case;

static double loss_run(loss_case *c, cgd_tensor *dx)
{
    if (c->kind == -1)
        return cgd_loss_l1(&context, &c->x, &c->target, 2.5f, dx, 0);
    if (c->kind == -2)
        return cgd_loss_mse(&context, &c->x, &c->target, 2.5f, dx, 0);
    return cgd_loss_gan(&context, &c->x, c->kind, c->role, 2.5f, dx);
}

static double loss_value(void *self)
{
    return loss_run((loss_case *)self, NULL);
}

static void check_loss(const char *what, int kind, int role)
{
    loss_case c;
    size_t count, i;
    c.kind = kind;
    c.role = role;
    c.x = map(2, 4, 5, 3);
    c.target = map(2, 4, 5, 3);
    c.dx = map(2, 4, 5, 3);
    count = cgd_tensor_size(&c.x);
    if (kind < 0) {
        for (i = 0; i < count; i++) c.x.data[i] -= c.target.data[i];
        leave_corner(c.x.data, count, 0);
        for (i = 0; i < count; i++) c.x.data[i] += c.target.data[i];
    }
    if (kind == CGD_GAN_HINGE) {
        leave_corner(c.x.data, count, 1);
        leave_corner(c.x.data, count, -1);
    }
    CHECK_NEAR(loss_run(&c, &c.dx), loss_value(&c), 0);
    check_slope(what, loss_value, &c, c.x.data, c.dx.data, count, 0.03,
                1e-5);
    free(c.x.data);
    free(c.target.data);
    free(c.dx.data);
}

static void losses_backward(void)
{
    int gan, role;
    check_loss("L1", -1, 0);
    check_loss("MSE", -2, 0);
    for (gan = CGD_GAN_LSGAN; gan <= CGD_GAN_HINGE; gan++)
        for (role = CGD_AS_GENERATOR; role <= CGD_AS_FAKE; role++)
            check_loss("gan", gan, role);
}


/* ---- whole nets ----------------------------------------------------------*/

/* A net's inner activations cannot be kept off their corners by choosing its
 * input. Instead a step during which one of them changes its sign is taken
 * back, and another direction tried with half the step; of those that need
 * too short a step only a few may be given up.
 *
 * The outputs of a dozen layers are good to about 1e-6 of their size: that
 * over h is the error allowed, twice for short nets of many norms, beside
 * 4e-3 for the formula's own where a norm sees a dozen pixels. A wrong term
 * shows as 0.1 or more. */
#define LONGEST_STEP (1.0 / 128)
#define SHORTEST_STEP (1.0 / 16384)
#define NET_BOUND 4e-3
#define NET_ROUNDING 2e-6

static long slopes_taken, slopes_given_up;

#define MATCHES 3

typedef struct subject {
    cgd_net net;
    cgd_pass pass, open;               /* open: every layer's output is kept */
    cgd_tensor x, r, dx, target[MATCHES], pull[MATCHES];
    size_t layer[MATCHES], n_matches;
    double noise;
    unsigned char *signs;              /* of all activations; NULL: not yet  */
    size_t crossed;                    /* how many have changed              */
} subject;

static float match_weight(const subject *s, size_t i)
{
    return (float)(0.3 * (double)(i + 1)) * (float)cgd_tensor_size(&s->r);
}

/* Note the signs of what comes out of ReLUs, or count the changed ones. */
static void watch_corners(subject *s)
{
    size_t i, k, at = 0, note = s->signs == NULL;
    if (note) s->signs = (unsigned char *)numbers(50000, 0);
    for (i = 0; i < s->net.n_layers; i++) {
        cgd_tensor out = cgd_pass_output(&s->open, i);
        int act = s->net.layers[i].act;
        if (act != CGD_ACT_RELU && act != CGD_ACT_LEAKY) continue;
        for (k = 0; k < cgd_tensor_size(&out); k++, at++) {
            int up = out.data[k] > 0;
            if (note) s->signs[at] = (unsigned char)up;
            else s->crossed += s->signs[at] != up;
        }
    }
    CHECK(at <= 200000);
}

/* weight * mean((output - target)^2) at a layer, with its pull. */
static double matched(subject *s, size_t i, float weight)
{
    cgd_tensor out = cgd_pass_output(&s->pass, s->layer[i]);
    double loss = cgd_loss_mse(&context, &out, &s->target[i], weight,
                               &s->pull[i], 0);
    cgd_pass_pull(&s->pass, s->layer[i], &s->pull[i]);
    return loss;
}

static double net_loss(void *self)
{
    subject *s = (subject *)self;
    double sum;
    size_t i;
    CHECK(cgd_pass_forward(&s->pass, &s->x) == CGD_OK);
    CHECK(cgd_pass_forward(&s->open, &s->x) == CGD_OK);
    watch_corners(s);
    sum = dot(s->r.data, s->pass.y.data, cgd_tensor_size(&s->r));
    for (i = 0; i < s->n_matches; i++)
        sum += matched(s, i, match_weight(s, i));
    return sum;
}

/* How far rounding moves the loss: its terms', with random signs. */
static double net_noise(const subject *s)
{
    double square = 0;
    size_t i, n = cgd_tensor_size(&s->r);
    for (i = 0; i < n; i++) {
        double term = (double)s->r.data[i] * (double)s->pass.y.data[i];
        square += term * term;
    }
    for (i = 0; i < s->n_matches; i++)
        square += (double)match_weight(s, i);
    return NET_ROUNDING * sqrt(square);
}

/* Move a tensor, by steps of its own size. */
static void check_moves(subject *s, const char *name, const char *what,
                        float *v, const float *gradient, size_t count)
{
    char text[80];
    double rms, h;
    if (count == 0) return;
    rms = sqrt(dot(v, v, count) / (double)count);
    if (rms < 0.1) rms = 0.1;
    sprintf(text, "%.50s %.20s", name, what);
    for (h = LONGEST_STEP; h >= SHORTEST_STEP; h /= 2) {
        slope found;
        s->crossed = 0;
        found = slope_of(net_loss, s, v, gradient, count, rms, h);
        if (s->crossed > 0) continue;
        judge(text, &found, NET_BOUND * found.unit + s->noise / h);
        slopes_taken++;
        return;
    }
    slopes_given_up++;
}

static void check_parameters(subject *s, const char *name, const char *what,
                             size_t from, size_t to)
{
    check_moves(s, name, what, s->net.params + from, s->net.grads + from,
                to - from);
}

static void check_layers(subject *s)
{
    size_t i;
    for (i = 0; i < s->net.n_layers; i++) {
        const cgd_layer *l = s->net.layers + i;
        size_t end = l->beta + (l->beta - l->gamma);
        if (l->kind == CGD_BLUR) {               /* learns nothing           */
            for (end = l->w; end < l->gamma; end++)
                CHECK(s->net.grads[end] == 0);
            continue;
        }
        check_parameters(s, l->name, "weight", l->w, l->b);
        check_parameters(s, l->name, "bias", l->b, l->gamma);
        check_parameters(s, l->name, "gamma", l->gamma, l->beta);
        check_parameters(s, l->name, "beta", l->beta, end);
    }
}

static void plan_subject(subject *s, size_t n, size_t h, size_t w)
{
    size_t i, all[64];
    s->signs = NULL;
    for (i = 0; i < s->net.n_layers; i++) all[i] = i;
    CHECK(cgd_net_with_grads(&s->net) == CGD_OK);
    CHECK(cgd_pass_init(&s->pass, &s->net, n, h, w, CGD_TRAIN, s->layer,
                        s->n_matches, NULL) == CGD_OK);
    CHECK(cgd_pass_init(&s->open, &s->net, n, h, w, CGD_TRAIN, all,
                        s->net.n_layers, NULL) == CGD_OK);
    s->x = map(n, h, w, s->net.layers[0].in_c);
    s->dx = map(n, h, w, s->net.layers[0].in_c);
    s->r = map(n, s->pass.y.h, s->pass.y.w, s->pass.y.c);
    for (i = 0; i < s->n_matches; i++) {
        cgd_tensor out = cgd_pass_output(&s->pass, s->layer[i]);
        s->target[i] = map(out.n, out.h, out.w, out.c);
        s->pull[i] = map(out.n, out.h, out.w, out.c);
    }
}

static void free_subject(subject *s)
{
    size_t i;
    cgd_pass_free(&s->pass);
    cgd_pass_free(&s->open);
    cgd_net_free(&s->net);
    free(s->x.data); free(s->dx.data); free(s->r.data); free(s->signs);
    for (i = 0; i < s->n_matches; i++) {
        free(s->target[i].data);
        free(s->pull[i].data);
    }
}

/* The net is built and has weights; the match terms are chosen. */
static void check_subject(subject *s, size_t n, size_t h, size_t w)
{
    cgd_tensor dy;
    size_t count;
    plan_subject(s, n, h, w);
    net_loss(s);
    s->noise = net_noise(s);
    dy = s->r;
    count = cgd_tensor_size(&dy);
    dy.data = numbers(count, 0);
    memcpy(dy.data, s->r.data, count * sizeof(float));
    CHECK(cgd_pass_backward(&s->pass, &dy, &s->dx) == CGD_OK);
    check_moves(s, "the", "input", s->x.data, s->dx.data,
                cgd_tensor_size(&s->x));
    check_layers(s);
    free(dy.data);
    free_subject(s);
}

/* Weights that keep signals alive, gammas and betas away from 1 and 0. */
static void draw(cgd_net *net)
{
    size_t i, k;
    cgd_net_init_weights(net, CGD_INIT_KAIMING, &dice);
    for (i = 0; i < net->n_layers; i++) {
        const cgd_layer *l = net->layers + i;
        for (k = l->b; k < l->gamma; k++)
            net->params[k] = (float)(0.2 * cgd_rng_normal(&dice));
        for (k = l->gamma; k < l->beta; k++)
            net->params[k] = (float)(1 + 0.2 * cgd_rng_normal(&dice));
        for (k = 0; k < l->beta - l->gamma; k++)
            net->params[l->beta + k] = (float)(0.2 * cgd_rng_normal(&dice));
    }
}

static void check_generator(int norm, int up, int block, size_t n_matches)
{
    cgd_generator_config g = cgd_generator_defaults();
    subject s;
    g.width = 2;
    g.blocks = 2;
    g.norm = norm;
    g.up = up;
    g.block = block;
    g.antialias = up == CGD_UP_BILINEAR;
    if (n_matches) g.stage[3] = 7;     /* and a block narrower inside        */
    CHECK(cgd_generator_init(&context, &s.net, &g) == CGD_OK);
    draw(&s.net);
    s.n_matches = n_matches;
    s.layer[0] = block == CGD_BLOCK_PLAIN ? 4 : 6;       /* the first block  */
    s.layer[1] = 2;                                      /* and its input    */
    s.layer[2] = s.net.n_layers - 1;
    check_subject(&s, norm == CGD_NORM_BATCH ? 2 : 1, 8, 9);
}

static void generators_backward(void)
{
    int norm, up, block;
    for (norm = CGD_NORM_NONE; norm <= CGD_NORM_BATCH; norm++)
        for (up = CGD_UP_NEAREST; up <= CGD_UP_DECONV; up++)
            for (block = CGD_BLOCK_PLAIN; block <= CGD_BLOCK_SEPARABLE;
                 block++)
                check_generator(norm, up, block, 0);
}

static void hidden_state_matching_backward(void)
{
    int norm, block;
    for (norm = CGD_NORM_NONE; norm <= CGD_NORM_BATCH; norm++)
        for (block = CGD_BLOCK_PLAIN; block <= CGD_BLOCK_SEPARABLE; block++)
            check_generator(norm, CGD_UP_DECONV, block, MATCHES);
}

/* The term itself: weight * mean((output - target)^2). */
static void hidden_state_matching_is_a_mean_of_squares(void)
{
    cgd_generator_config g = cgd_generator_defaults();
    subject s;
    double sum = 0, got;
    size_t i, count;
    cgd_tensor out;
    g.width = 2;
    g.blocks = 1;
    CHECK(cgd_generator_init(&context, &s.net, &g) == CGD_OK);
    draw(&s.net);
    s.n_matches = 1;
    s.layer[0] = 4;
    plan_subject(&s, 1, 12, 12);
    CHECK(cgd_pass_forward(&s.pass, &s.x) == CGD_OK);
    got = matched(&s, 0, 3);
    out = cgd_pass_output(&s.pass, 4);
    count = cgd_tensor_size(&out);
    for (i = 0; i < count; i++) {
        double d = (double)out.data[i] - (double)s.target[0].data[i];
        sum += d * d;
    }
    CHECK_NEAR(got, 3 * sum / (double)count, 1e-6 * got);
    /* What is not kept cannot be read. */
    CHECK(cgd_pass_output(&s.pass, 3).data == NULL);
    free_subject(&s);
}

static void check_discriminator(int kind, int layers, int norm, size_t n,
                                size_t h, size_t w)
{
    cgd_discriminator_config d = cgd_discriminator_defaults();
    subject s;
    d.kind = kind;
    d.width = 3;
    d.layers = layers;
    d.norm = norm;
    CHECK(cgd_discriminator_init(&context, &s.net, &d) == CGD_OK);
    draw(&s.net);
    s.n_matches = 0;
    check_subject(&s, n, h, w);
}

static void discriminators_backward(void)
{
    int norm;
    for (norm = CGD_NORM_NONE; norm <= CGD_NORM_BATCH; norm++) {
        check_discriminator(CGD_DISC_PATCH, 1, norm, 2, 11, 12);
        check_discriminator(CGD_DISC_PATCH, 2, norm, 1, 22, 25);
        check_discriminator(CGD_DISC_PATCH, 3, norm, 2, 33, 32);
        check_discriminator(CGD_DISC_PIXEL, 0, norm, 2, 5, 6);
    }
    check_discriminator(CGD_DISC_FIVE, 0, CGD_NORM_NONE, 1, 95, 94);
}

/* Random layers with sums over any distance, of a layer's own input too, and
 * several of one map; with upsampling, strides, and matched layers. */
static void own_layer(cgd_layer *l, size_t i, size_t channels)
{
    static const int kinds[4] = { CGD_CONV, CGD_CONV, CGD_DEPTHWISE,
                                  CGD_DECONV };
    memset(l, 0, sizeof *l);
    l->kind = i ? kinds[cgd_rng_below(&dice, 4)] : CGD_CONV;
    l->in_c = i ? channels : 2;
    l->out_c = channels;
    l->window.kernel = 3;
    l->window.stride = 1;
    l->window.pad = 1;
    l->window.pad_mode = (int)cgd_rng_below(&dice, 2);
    if (l->kind == CGD_DECONV) l->window.pad_mode = CGD_PAD_ZERO;
    l->norm = (int)cgd_rng_below(&dice, 4);
    l->act = (int)cgd_rng_below(&dice, 4);
    if (i > 0 && cgd_rng_below(&dice, 2)) {
        l->skip = 1 + cgd_rng_below(&dice, (cgd_u32)i);
        l->act = CGD_ACT_NONE;
    }
    sprintf(l->name, "own.%d", (int)i);
}

static void nets_of_ones_own_design_backward(void)
{
    cgd_layer layers[8];
    int round;
    for (round = 0; round < 60; round++) {
        subject s;
        size_t count = 2 + cgd_rng_below(&dice, 6), i;
        for (i = 0; i < count; i++) own_layer(layers + i, i, 3);
        if (round % 3 == 1) {              /* a stride at the front ...      */
            layers[0].window.stride = 2;
            layers[count - 1].skip = 0;
            layers[count - 1].up = 1 + round % 2;    /* and back at the end  */
        }
        CHECK(cgd_net_init(&context, &s.net, layers, count) == CGD_OK);
        draw(&s.net);
        s.n_matches = (size_t)round % 2 * MATCHES;
        for (i = 0; i < MATCHES; i++) s.layer[i] = i * (count - 1) / 2;
        if (count == 2) s.n_matches = 0;   /* one term a layer               */
        check_subject(&s, 2, 6, 5);
    }
}

/* The formula's own smallest case: a layer that adds its own input. */
static void a_layer_may_add_its_own_input(void)
{
    cgd_layer layers[2];
    subject s;
    own_layer(layers, 0, 3);
    own_layer(layers + 1, 1, 3);
    layers[1].skip = 1;
    layers[1].act = CGD_ACT_NONE;
    CHECK(cgd_net_init(&context, &s.net, layers, 2) == CGD_OK);
    draw(&s.net);
    s.n_matches = 0;
    check_subject(&s, 1, 5, 5);
}

static void few_directions_were_given_up(void)
{
    CHECK(slopes_taken > 1000);
    CHECK(slopes_given_up < slopes_taken / 20);
}

int main(void)
{
    cgd_init(&context, NULL);
    /* Sums in double precision; test_kernels compares the others with it. */
    CHECK(cgd_use_kernels(&context, "reference") == CGD_OK);
    cgd_rng_seed(&dice, 17, 0);
    RUN(convolutions_backward);
    RUN(pads_and_upsampling_backward);
    RUN(norms_backward);
    RUN(activations_backward);
    RUN(losses_backward);
    RUN(generators_backward);
    RUN(hidden_state_matching_backward);
    RUN(hidden_state_matching_is_a_mean_of_squares);
    RUN(discriminators_backward);
    RUN(nets_of_ones_own_design_backward);
    RUN(a_layer_may_add_its_own_input);
    RUN(few_directions_were_given_up);
    cgd_free(&context);
    return test_end();
}
