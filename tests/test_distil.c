/* Distillation: the losses against central differences and against numbers
 * worked out another way, the transfer from wider teachers, adaptors, stored
 * answers, and that none of it depends on threads or interruptions. */
#define CGD_IMPLEMENTATION
#include "../cycle_gan_distil.h"
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
    t.data = numbers(cgd_tensor_size(&t), 1);
    return t;
}

static double dot(const float *a, const float *b, size_t count)
{
    double sum = 0;
    size_t i;
    for (i = 0; i < count; i++) sum += (double)a[i] * (double)b[i];
    return sum;
}

/* ---- losses --------------------------------------------------------------*/

enum { HAAR, CONTRAST };

static double loss_of(int kind, const cgd_tensor *x, const cgd_tensor *target,
                      float weight, cgd_tensor *dx, int add)
{
    float *scratch = numbers(cgd_loss_contrast_scratch(x), 9);
    double loss = kind == HAAR
        ? cgd_loss_haar(&context, x, target, weight, dx, add)
        : cgd_loss_contrast(&context, x, target, weight, dx, add, scratch);
    free(scratch);
    return loss;
}

/* x differs from target by details that are all far from 0, the corner of L1:
 * each square's by its bands. */
static void leave_corners(cgd_tensor *x, const cgd_tensor *target)
{
    size_t row = x->w * x->c, n, i, j, k, b;
    for (n = 0; n < x->n; n++)
    for (i = 0; i + 1 < x->h; i += 2)
    for (j = 0; j + 1 < x->w; j += 2)
    for (k = 0; k < x->c; k++) {
        size_t at = ((n * x->h + i) * x->w + j) * x->c + k;
        float band[3], *v = x->data + at;
        const float *t = target->data + at;
        for (b = 0; b < 3; b++) {
            double u = 2 * cgd_rng_uniform(&dice) - 1;
            band[b] = (float)(u < 0 ? u - 0.3 : u + 0.3) / 2;
        }
        v[0] = t[0] + band[0] + band[1] + band[2];
        v[x->c] = t[x->c] - band[0] + band[1] - band[2];
        v[row] = t[row] + band[0] - band[1] - band[2];
        v[row + x->c] = t[row + x->c] - band[0] - band[1] + band[2];
    }
}

static double loss_moved(int kind, cgd_tensor *x, const cgd_tensor *target,
                         const float *from, const float *d, double h)
{
    size_t count = cgd_tensor_size(x), i;
    double loss;
    for (i = 0; i < count; i++)
        x->data[i] = (float)((double)from[i] + h * (double)d[i]);
    loss = loss_of(kind, x, target, 2.5f, NULL, 0);
    memcpy(x->data, from, count * sizeof(float));
    return loss;
}

/* <gradient, d> against (8 (f(h) - f(-h)) - (f(2h) - f(-2h))) / 12h. */
static void check_gradient(int kind, size_t n, size_t h, size_t w, size_t c)
{
    cgd_tensor x = map(n, h, w, c), target = map(n, h, w, c);
    cgd_tensor dx = map(n, h, w, c), more = map(n, h, w, c);
    size_t count = cgd_tensor_size(&x), i;
    float *from = numbers(count, 0), *kept = numbers(count, 0);
    int turn;
    if (kind == HAAR) leave_corners(&x, &target);
    for (i = 0; kind == CONTRAST && i < count; i++)
        target.data[i] *= i % c ? 0.5f : 2.0f;   /* far from equal contrasts */
    memcpy(from, x.data, count * sizeof(float));
    CHECK_NEAR(loss_of(kind, &x, &target, 2.5f, &dx, 0),
               loss_of(kind, &x, &target, 2.5f, NULL, 0), 0);
    memcpy(kept, more.data, count * sizeof(float));
    loss_of(kind, &x, &target, 2.5f, &more, 1);
    for (i = 0; i < count; i++)
        CHECK_NEAR(more.data[i], kept[i] + dx.data[i], 1e-6);
    for (turn = 0; turn < 4; turn++) {
        float *d = numbers(count, 1);
        double step = 2e-2, analytic = dot(dx.data, d, count), numeric, unit;
        numeric = 8 * (loss_moved(kind, &x, &target, from, d, step)
                       - loss_moved(kind, &x, &target, from, d, -step))
                - (loss_moved(kind, &x, &target, from, d, 2 * step)
                   - loss_moved(kind, &x, &target, from, d, -2 * step));
        numeric /= 12 * step;
        unit = sqrt(dot(dx.data, dx.data, count) * dot(d, d, count)
                    / (double)count);
        CHECK(unit > 0);
        CHECK_NEAR(analytic, numeric, 3e-3 * unit);
        free(d);
    }
    free(x.data); free(target.data); free(dx.data); free(more.data);
    free(from); free(kept);
}

static void gradients_of_losses_are_central_differences(void)
{
    check_gradient(HAAR, 2, 6, 8, 3);
    check_gradient(HAAR, 1, 7, 5, 2);
    check_gradient(CONTRAST, 2, 26, 33, 3);
    check_gradient(CONTRAST, 1, 24, 25, 1);
}

static void haar_is_the_mean_of_three_bands(void)
{
    static float x[4] = { 1, 0.5f, -0.25f, 2 }, t[4] = { 0, 0, 0, 0 };
    cgd_tensor a = cgd_tensor_view(1, 2, 2, 1, x);
    cgd_tensor b = cgd_tensor_view(1, 2, 2, 1, t);
    /* (1-.5-.25-2)/2 = -.875, (1+.5+.25-2)/2 = -.125, (1-.5+.25+2)/2 = 1.375 */
    CHECK_NEAR(cgd_loss_haar(&context, &a, &b, 3, NULL, 0),
               0.875 + 0.125 + 1.375, 1e-6);
}

/* Stripes a phase apart are as strong; half as strong, half a deviation off. A
 * checkerboard of the transposed convolutions is none. */
static void contrast_is_blind_to_phase(void)
{
    enum { SIZE = 64 };
    double half = 0.35 / sqrt(2.0);   /* every other mean is that of an edge */
    cgd_tensor x = map(1, SIZE, SIZE, 1), t = map(1, SIZE, SIZE, 1);
    size_t i, j;
    for (i = 0; i < SIZE; i++)
        for (j = 0; j < SIZE; j++) {
            x.data[i * SIZE + j] = j / 4 % 2 ? 0.7f : -0.7f;
            t.data[i * SIZE + j] = -x.data[i * SIZE + j];
        }
    CHECK_NEAR(loss_of(CONTRAST, &x, &t, 1, NULL, 0), 0, 1e-5);
    CHECK(cgd_loss_l1(&context, &x, &t, 1, NULL, 0) > 1.3);
    for (i = 0; i < SIZE * SIZE; i++) x.data[i] = x.data[i] / 2 + 0.1f;
    CHECK_NEAR(loss_of(CONTRAST, &x, &t, 3, NULL, 0), 3 * half, 3e-3);
    for (i = 0; i < SIZE * SIZE; i++)
        x.data[i] += (i / SIZE / 2 + i / 2) % 2 ? 0.3f : -0.3f;
    CHECK_NEAR(loss_of(CONTRAST, &x, &t, 3, NULL, 0), 3 * half, 3e-3);
    x.h = t.h = 23;
    CHECK_NEAR(loss_of(CONTRAST, &x, &t, 1, NULL, 0), 0, 0);
    free(x.data); free(t.data);
}

/* ---- transfer ------------------------------------------------------------*/

static cgd_generator_config shape_of(int width, int blocks, int norm, int up,
                                     int block)
{
    cgd_generator_config g = cgd_generator_defaults();
    g.width = width;
    g.blocks = blocks;
    g.norm = norm;
    g.up = up;
    g.block = block;
    return g;
}

static void draw_values(cgd_net *net)
{
    float *v = numbers(net->state, 1);
    memcpy(net->params, v, net->state * sizeof(float));
    free(v);
}

static void build(cgd_net *net, const cgd_generator_config *g)
{
    CHECK(cgd_generator_init(&context, net, g) == CGD_OK);
    draw_values(net);
}

/* Which channels of a wide map a narrow one sits at, in order. */
static void scatter(size_t *at, size_t n, size_t of)
{
    size_t i, k = 0;
    for (i = 0; i < of && k < n; i++)
        if (cgd_rng_below(&dice, (cgd_u32)(of - i)) < n - k) at[k++] = i;
}

enum { MOST = 64 };

/* Hide layer l of a student in layer w of a wide net: its weights at the
 * channels given, noise on the way in from others, nothing for others. From
 * pruning, the other way round: others are made of much, but not heard. */
static void hide_layer(cgd_net *wide, const cgd_layer *w, const cgd_net *net,
                       const cgd_layer *l, int transfer, const size_t *in,
                       const size_t *out)
{
    int prune = transfer == CGD_TRANSFER_PRUNE;
    size_t taps = l->window.kernel * l->window.kernel, tap, i, o;
    float *p = wide->params;
    const float *v = net->params;
    for (tap = 0; tap < taps; tap++)
        for (o = 0; o < w->out_c; o++) {
            size_t k = 0;
            while (k < l->out_c && out[k] != o) k++;
            for (i = 0; i < (w->kind == CGD_DEPTHWISE ? 1 : w->in_c); i++) {
                size_t j = 0, its, own;
                while (j < l->in_c && in[j] != i) j++;
                if (w->kind == CGD_DEPTHWISE) {
                    its = tap * w->out_c + o;
                    own = tap * l->out_c + k;
                    j = 0;
                } else if (w->kind == CGD_CONV) {
                    its = (tap * w->in_c + i) * w->out_c + o;
                    own = (tap * l->in_c + j) * l->out_c + k;
                } else {
                    its = (tap * w->out_c + o) * w->in_c + i;
                    own = (tap * l->out_c + k) * l->in_c + j;
                }
                if (k == l->out_c) p[w->w + its] *= prune ? 10 : 1e-3f;
                else if (j < l->in_c) p[w->w + its] = v[l->w + own];
                if (j == l->in_c && prune) p[w->w + its] *= 1e-3f;
            }
        }
    for (o = 0; o < l->out_c; o++) {
        if (l->norm == CGD_NORM_NONE) p[w->b + out[o]] = v[l->b + o];
        if (l->gamma != l->beta) {
            p[w->gamma + out[o]] = v[l->gamma + o];
            p[w->beta + out[o]] = v[l->beta + o];
        }
        if (l->norm == CGD_NORM_BATCH) {
            p[w->mean + out[o]] = v[l->mean + o];
            p[w->var + out[o]] = v[l->var + o];
        }
    }
}

/* Hide a student of n blocks in a wide net whose blocks `at` are to match. */
static void hide(cgd_net *wide, const cgd_net *net, int transfer,
                 const size_t *at)
{
    size_t stream[MOST], in[MOST], out[MOST], i;
    size_t per = net->generator.block == CGD_BLOCK_SEPARABLE ? 4 : 2;
    size_t end = net->n_layers - 3;
    scatter(stream, net->layers[2].out_c, wide->layers[2].out_c);
    for (i = 0; i < 3; i++) in[i] = i;
    for (i = 0; i < net->n_layers; i++) {
        const cgd_layer *l = net->layers + i;
        const cgd_layer *w = i < 3 ? wide->layers + i
            : i >= end ? wide->layers + wide->n_layers - (net->n_layers - i)
            : wide->layers + 3 + at[(i - 3) / per] * per + (i - 3) % per;
        if (i == 2 || l->skip) memcpy(out, stream, sizeof out);
        else if (l->kind == CGD_DEPTHWISE) memcpy(out, in, sizeof out);
        else scatter(out, l->out_c, w->out_c);
        hide_layer(wide, w, net, l, transfer, in, out);
        memcpy(in, out, sizeof in);
    }
}

static void check_hidden(int transfer, int norm, int up, int block)
{
    static const size_t at[2] = { 1, 3 };        /* evenly spread over 4     */
    cgd_generator_config g = shape_of(4, 2, norm, up, block), v;
    cgd_net narrow, wide, found;
    g.stage[3] = 5;
    v = g;
    v.width = 7;
    v.blocks = 4;
    v.stage[3] = 11;
    build(&narrow, &g);
    build(&found, &g);
    build(&wide, &v);
    hide(&wide, &narrow, transfer, at);
    CHECK(cgd_transfer(&found, &wide, transfer, NULL) == CGD_OK);
    CHECK(memcmp(found.params, narrow.params, narrow.state * sizeof(float))
          == 0);
    cgd_net_free(&narrow);
    cgd_net_free(&found);
    cgd_net_free(&wide);
}

static void a_student_hidden_in_a_wide_teacher_is_found(void)
{
    int norm, up, block;
    for (norm = CGD_NORM_NONE; norm <= CGD_NORM_BATCH; norm++)
        for (up = CGD_UP_NEAREST; up <= CGD_UP_DECONV; up++)
            for (block = CGD_BLOCK_PLAIN; block <= CGD_BLOCK_SEPARABLE;
                 block++) {
                check_hidden(CGD_TRANSFER_FULL, norm, up, block);
                check_hidden(CGD_TRANSFER_PRUNE, norm, up, block);
            }
}

static void equal_widths_make_plain_copies(void)
{
    cgd_generator_config g = shape_of(3, 4, CGD_NORM_BATCH, CGD_UP_DECONV,
                                      CGD_BLOCK_PLAIN);
    static const int second[2] = { 2, -1 };
    cgd_net teacher, student;
    build(&teacher, &g);
    build(&student, &g);
    CHECK(cgd_transfer(&student, &teacher, CGD_TRANSFER_FULL, NULL)
          == CGD_OK);
    CHECK(memcmp(student.params, teacher.params,
                 teacher.state * sizeof(float)) == 0);
    draw_values(&student);
    CHECK(cgd_transfer(&student, &teacher, CGD_TRANSFER_PRUNE, NULL)
          == CGD_OK);
    CHECK(memcmp(student.params, teacher.params,
                 teacher.state * sizeof(float)) == 0);
    cgd_net_free(&student);
    cgd_net_free(&teacher);
    g.blocks = 20;                               /* more than can be matched */
    build(&teacher, &g);
    build(&student, &g);
    CHECK(cgd_transfer(&student, &teacher, CGD_TRANSFER_PRUNE, NULL)
          == CGD_OK);
    CHECK(memcmp(student.params, teacher.params,
                 teacher.state * sizeof(float)) == 0);
    cgd_net_free(&student);
    g.blocks = 1;
    build(&student, &g);
    CHECK(cgd_transfer(&student, &teacher, CGD_TRANSFER_FULL, second)
          == CGD_OK);
    CHECK(memcmp(student.params + student.layers[3].w,
                 teacher.params + teacher.layers[7].w,
                 (student.layers[5].w - student.layers[3].w) * sizeof(float))
          == 0);
    cgd_net_free(&student);
    cgd_net_free(&teacher);
}

/* The blurs of an antialiased teacher are passed over: its student, who has
 * none, gets its other layers, and matches the same blocks. */
static void an_antialiased_teacher_hands_its_layers_on(void)
{
    cgd_generator_config g = shape_of(3, 2, CGD_NORM_BATCH, CGD_UP_BILINEAR,
                                      CGD_BLOCK_PLAIN);
    cgd_net teacher, student, same;
    size_t i, k;
    build(&student, &g);
    g.antialias = 1;
    build(&teacher, &g);
    build(&same, &g);
    CHECK(teacher.n_layers == student.n_layers + 2);
    CHECK(cgd__block_end(&teacher, 1) == cgd__block_end(&student, 1) + 2);
    CHECK(cgd__stream_width(&teacher) == 12);
    CHECK(cgd_transfer(&student, &teacher, CGD_TRANSFER_FULL, NULL)
          == CGD_OK);
    for (i = k = 0; i < student.n_layers; i++, k++) {
        const cgd_layer *l = student.layers + i;
        if (teacher.layers[k].kind == CGD_BLUR) k++;
        CHECK(memcmp(student.params + l->w,
                     teacher.params + teacher.layers[k].w,
                     (l->beta + (l->beta - l->gamma) - l->w)
                     * sizeof(float)) == 0);
    }
    CHECK(cgd_transfer(&same, &teacher, CGD_TRANSFER_FULL, NULL)
          == CGD_ERR_UNSUPPORTED);
    CHECK(strstr(context.message, "antialiased") != NULL);
    cgd_net_free(&same);
    cgd_net_free(&student);
    cgd_net_free(&teacher);
}

/* Layers of another kind keep what they have, and so does everything but the
 * resampling layers in the original's transfer. */
static void layers_of_another_kind_are_left_alone(void)
{
    cgd_generator_config g = shape_of(4, 3, CGD_NORM_INSTANCE, CGD_UP_DECONV,
                                      CGD_BLOCK_PLAIN);
    cgd_net teacher, student, before;
    size_t i;
    int transfer;
    build(&teacher, &g);
    g.block = CGD_BLOCK_SEPARABLE;
    for (transfer = CGD_TRANSFER_UPDOWN; transfer <= CGD_TRANSFER_PRUNE;
         transfer++) {
        build(&student, &g);
        CHECK(cgd_generator_init(&context, &before, &g) == CGD_OK);
        CHECK(cgd_net_copy(&before, &student) == CGD_OK);
        CHECK(cgd_transfer(&student, &teacher, transfer, NULL) == CGD_OK);
        for (i = 0; i < student.n_layers; i++) {
            size_t end = student.n_layers - 3;
            int edge = i == 0 || i + 1 == student.n_layers;
            int copied = edge ? transfer >= CGD_TRANSFER_FULL
                              : i < 3 || i >= end;
            const float *own = student.params + student.layers[i].w;
            CHECK(copied == (memcmp(own, before.params + before.layers[i].w,
                                    sizeof *own) != 0));
            if (copied)
                CHECK_NEAR(own[0], teacher.params[teacher.layers[i < 3 ? i
                    : teacher.n_layers - (student.n_layers - i)].w], 0);
        }
        cgd_net_free(&student);
        cgd_net_free(&before);
    }
    cgd_net_free(&teacher);
}

static void wider_students_and_missing_blocks_are_refused(void)
{
    cgd_generator_config g = shape_of(4, 3, CGD_NORM_INSTANCE, CGD_UP_DECONV,
                                      CGD_BLOCK_PLAIN);
    static const int beyond[2] = { 3, -1 };
    cgd_net teacher, student;
    build(&teacher, &g);
    g.stage[4] = 9;
    build(&student, &g);
    CHECK(cgd_transfer(&student, &teacher, CGD_TRANSFER_FULL, NULL)
          == CGD_ERR_SHAPE);
    CHECK(strstr(context.message, "narrower") != NULL);
    cgd_net_free(&student);
    g.stage[4] = 0;
    build(&student, &g);
    CHECK(cgd_transfer(&student, &teacher, CGD_TRANSFER_FULL, beyond)
          == CGD_ERR_SHAPE);
    cgd_net_free(&student);
    cgd_net_free(&teacher);
}

/* A teacher that has diverged, or whose file was made to harm. */
static void weights_that_are_no_numbers_do_no_harm(void)
{
    cgd_generator_config g = shape_of(4, 3, CGD_NORM_INSTANCE, CGD_UP_DECONV,
                                      CGD_BLOCK_PLAIN);
    cgd_net teacher, student;
    size_t i;
    build(&teacher, &g);
    g.width = 2;
    build(&student, &g);
    for (i = 0; i < teacher.count; i++)
        teacher.params[i] = (float)(i % 3 ? HUGE_VAL : HUGE_VAL - HUGE_VAL);
    CHECK(cgd_transfer(&student, &teacher, CGD_TRANSFER_FULL, NULL)
          == CGD_OK);
    CHECK(!(student.params[0] - student.params[0] == 0));
    CHECK(cgd_transfer(&student, &teacher, CGD_TRANSFER_PRUNE, NULL)
          == CGD_OK);
    cgd_net_free(&student);
    cgd_net_free(&teacher);
}

/* ---- trainers with a teacher ----------------------------------------------*/

enum { SIDE = 12, PICTURES = 3 };

/* A narrow student with every term of the teacher's. */
static cgd_train_config every_term(void)
{
    cgd_train_config c = cgd_distil_defaults();
    c.generator = shape_of(3, 2, CGD_NORM_INSTANCE, CGD_UP_DECONV,
                                 CGD_BLOCK_PLAIN);
    c.height = c.width = SIDE;
    c.batch = 2;
    c.schedule.total = 20;
    c.haar_weight = 3;
    c.feature_weight = 1;
    return c;
}

static void make_teacher(cgd_net *teacher)
{
    cgd_generator_config g = shape_of(5, 4, CGD_NORM_INSTANCE, CGD_UP_DECONV,
                                      CGD_BLOCK_PLAIN);
    cgd_rng_seed(&dice, 5, 0);
    CHECK(cgd_generator_init(&context, teacher, &g) == CGD_OK);
    cgd_net_init_weights(teacher, CGD_INIT_PYTORCH, &dice);
}

/* Steps [from, to), on a few pictures that come again and again. */
static cgd_losses take_steps(cgd_trainer *s, unsigned long from,
                             unsigned long to)
{
    static float a[PICTURES][SIDE * SIDE * 3], b[2 * SIDE * SIDE * 3];
    static float batch[2 * SIDE * SIDE * 3];
    cgd_tensor x = cgd_tensor_view(2, SIDE, SIDE, 3, batch), y = x;
    cgd_losses losses;
    cgd_rng rng;
    size_t i, k;
    cgd_rng_seed(&rng, 9, 0);
    for (i = 0; i < PICTURES; i++)
        for (k = 0; k < SIDE * SIDE * 3; k++)
            a[i][k] = (float)(2 * cgd_rng_uniform(&rng) - 1);
    y.data = b;
    memset(&losses, 0, sizeof losses);
    for (; from < to; from++) {
        for (i = 0; i < 2; i++)
            memcpy(batch + i * SIDE * SIDE * 3,
                   a[(2 * from + i) % PICTURES], sizeof a[0]);
        CHECK(cgd_train_step(s, &x, &y, &losses) == CGD_OK);
    }
    return losses;
}

static int same_learner(const cgd_learner *a, const cgd_learner *b)
{
    size_t n = a->net.state * sizeof(float), m = a->net.count * sizeof(float);
    return memcmp(a->net.params, b->net.params, n) == 0
        && memcmp(a->m, b->m, m) == 0 && memcmp(a->v, b->v, m) == 0
        && (!a->ema || memcmp(a->ema, b->ema, n) == 0);
}

static int same_state(const cgd_trainer *a, const cgd_trainer *b)
{
    size_t k;
    int same = a->n_adaptors == b->n_adaptors
            && same_learner(&a->side[0].g, &b->side[0].g);
    for (k = 0; k < a->n_adaptors && same; k++)
        same = same_learner(&a->adaptors[k], &b->adaptors[k]);
    return same;
}

/* The gradient of all terms together, through student and adaptors. The L1
 * terms are left out: their corners are everywhere. freeze: what is not 0 has
 * statistics frozen after the first step. */
static void check_whole(int k, unsigned long freeze)
{
    cgd_train_config c = every_term();
    cgd_net teacher, *net;
    cgd_trainer s;
    float *d, *from;
    double step = 1e-4, analytic, numeric = 0, unit, value[2];
    size_t i;
    int way;
    c.output_weight = c.haar_weight = c.contrast_weight = 0;
    c.lr_g = 0;
    c.generator.norm = freeze ? CGD_NORM_BATCH
                                    : CGD_NORM_INSTANCE_AFFINE;
    c.freeze = freeze;
    c.init = CGD_INIT_PYTORCH;
    make_teacher(&teacher);
    c.transfer = CGD_TRANSFER_NONE;
    CHECK(cgd_trainer_init(&context, &s, &c, &teacher, NULL) == CGD_OK);
    CHECK(s.n_adaptors == 2);
    net = k < 0 ? &s.side[0].g.net : &s.adaptors[k].net;
    take_steps(&s, 0, freeze);
    take_steps(&s, 0, 1);
    d = numbers(net->count, 1);
    from = numbers(net->count, 0);
    memcpy(from, net->params, net->count * sizeof(float));
    analytic = dot(net->grads, d, net->count);
    unit = sqrt(dot(net->grads, net->grads, net->count)
                * dot(d, d, net->count) / (double)net->count);
    for (way = 0; way < 2; way++) {
        for (i = 0; i < net->count; i++)
            net->params[i] = (float)((double)from[i] + (way ? -step : step)
                                     * (double)d[i]);
        value[way] = take_steps(&s, 0, 1).generators;
    }
    numeric = (value[0] - value[1]) / (2 * step);
    CHECK(unit > 0);
    CHECK_NEAR(analytic, numeric, 2e-2 * unit);
    free(d); free(from);
    cgd_trainer_free(&s);
    cgd_net_free(&teacher);
}

static void gradients_run_through_adaptors_into_the_student(void)
{
    check_whole(-1, 0);
    check_whole(0, 0);
    check_whole(1, 0);
}

static void gradients_leave_frozen_statistics_alone(void)
{
    check_whole(-1, 1);
}

static void adaptors_and_all_terms_resume_bit_for_bit(void)
{
    const char *path = "build/test_distil.safetensors";
    cgd_train_config c = every_term();
    cgd_trainer s, u;
    cgd_net teacher;
    float before[2];
    size_t k;
    make_teacher(&teacher);
    CHECK(cgd_trainer_init(&context, &s, &c, &teacher, NULL) == CGD_OK);
    CHECK(s.n_adaptors == 2);
    for (k = 0; k < 2; k++) before[k] = s.adaptors[k].net.params[0];
    c.seed = 77;
    CHECK(cgd_trainer_init(&context, &u, &c, &teacher, NULL) == CGD_OK);
    take_steps(&s, 0, 4);
    for (k = 0; k < 2; k++)
        CHECK_NEAR(fabs((double)s.adaptors[k].net.params[0]
                        - (double)before[k]), 4e-3, 3.9e-3);
    CHECK(!same_state(&s, &u));
    CHECK(cgd_trainer_save(&s, path) == CGD_OK);
    CHECK(cgd_trainer_load(&u, path) == CGD_OK);
    CHECK(same_state(&s, &u));
    take_steps(&s, 4, 8);
    take_steps(&u, 4, 8);
    CHECK(same_state(&s, &u));
    cgd_trainer_free(&s);
    cgd_trainer_free(&u);
    c.feature_weight = 0;                                  /* no adaptors    */
    CHECK(cgd_trainer_init(&context, &s, &c, &teacher, NULL) == CGD_OK);
    CHECK(s.n_adaptors == 0);
    CHECK(cgd_trainer_save(&s, path) == CGD_OK);
    c = every_term();
    CHECK(cgd_trainer_init(&context, &u, &c, &teacher, NULL) == CGD_OK);
    CHECK(cgd_trainer_load(&u, path) == CGD_ERR_SHAPE);
    CHECK(strstr(context.message, "adaptor.0.") != NULL);
    cgd_trainer_free(&s);
    cgd_trainer_free(&u);
    cgd_net_free(&teacher);
    remove(path);
}

static cgd_train_config frozen_from(unsigned long freeze)
{
    cgd_train_config c = every_term();
    c.generator.norm = CGD_NORM_BATCH;
    c.freeze = freeze;
    return c;
}

/* What the student makes of noise, in cgd_tensor_size(y) values. */
static float *translated(cgd_net *net)
{
    cgd_tensor x = map(1, SIDE, SIDE, 3);
    float *y = numbers(cgd_tensor_size(&x), 0);
    cgd_pass pass;
    CHECK(cgd_pass_init(&pass, net, 1, SIDE, SIDE, CGD_INFER, NULL, 0, NULL)
          == CGD_OK);
    CHECK(cgd_pass_forward(&pass, &x) == CGD_OK);
    memcpy(y, pass.y.data, cgd_tensor_size(&x) * sizeof(float));
    cgd_pass_free(&pass);
    free(x.data);
    return y;
}

static void frozen_statistics_stay_and_the_rest_learns(void)
{
    cgd_train_config c = frozen_from(3);
    cgd_trainer s;
    cgd_net teacher, folded, *net = &s.side[0].g.net;
    float *before, *y[2];
    size_t i, n;
    make_teacher(&teacher);
    CHECK(cgd_trainer_init(&context, &s, &c, &teacher, NULL) == CGD_OK);
    n = (net->state - net->count) * sizeof(float);
    before = numbers(net->state, 0);
    for (i = 0; i < 6; i++) {
        memcpy(before, net->params, net->state * sizeof(float));
        take_steps(&s, i, i + 1);
        CHECK((memcmp(before + net->count, net->params + net->count, n) == 0)
              == (i >= 3));
        CHECK(memcmp(before, net->params, net->count * sizeof(float)) != 0);
    }
    CHECK(cgd_net_fold(&context, &folded, net, NULL) == CGD_OK);
    for (i = 0; i < 2; i++) {
        cgd_rng_seed(&dice, 8, 0);
        y[i] = translated(i ? &folded : net);
    }
    for (i = 0; i < SIDE * SIDE * 3; i++) CHECK_NEAR(y[0][i], y[1][i], 1e-4);
    free(y[0]); free(y[1]); free(before);
    cgd_net_free(&folded);
    cgd_trainer_free(&s);
    c.generator.norm = CGD_NORM_INSTANCE;
    CHECK(cgd_trainer_init(&context, &s, &c, &teacher, NULL)
          == CGD_ERR_ARGUMENT);
    CHECK(strstr(context.message, "batch norm") != NULL);
    cgd_net_free(&teacher);
}

/* Interrupted before statistics are frozen, and after. */
static void frozen_students_resume_bit_for_bit(void)
{
    const char *path = "build/test_frozen.safetensors";
    cgd_train_config c = frozen_from(3);
    cgd_trainer s, u;
    cgd_net teacher;
    unsigned long at;
    make_teacher(&teacher);
    for (at = 2; at <= 4; at++) {
        c.seed = 1;
        CHECK(cgd_trainer_init(&context, &s, &c, &teacher, NULL) == CGD_OK);
        c.seed = 77;
        CHECK(cgd_trainer_init(&context, &u, &c, &teacher, NULL) == CGD_OK);
        take_steps(&s, 0, at);
        CHECK(cgd_trainer_save(&s, path) == CGD_OK);
        CHECK(cgd_trainer_load(&u, path) == CGD_OK);
        take_steps(&s, at, 6);
        take_steps(&u, at, 6);
        CHECK(same_state(&s, &u));
        cgd_trainer_free(&s);
        cgd_trainer_free(&u);
    }
    cgd_net_free(&teacher);
    remove(path);
}

/* A student that keeps two of the teacher's four blocks and gets from 5 wide
 * to 3 in four cuts, before steps 0, 3, 5 and 8. */
static cgd_train_config in_four_cuts(void)
{
    cgd_train_config c = every_term();
    c.feature_weight = 0;
    c.generator.norm = CGD_NORM_BATCH;
    c.cuts = 4;
    return c;
}

static void cuts_prune_weights_average_and_moments(void)
{
    static const size_t widths[12] = { 18, 18, 18, 15, 15, 14, 14, 14, 12, 12,
                                       12, 12 };
    cgd_train_config c = in_four_cuts();
    cgd_trainer s;
    cgd_learner *l;
    cgd_net teacher, now, pruned;
    unsigned long step;
    make_teacher(&teacher);
    CHECK(cgd_trainer_init(&context, &s, &c, &teacher, NULL) == CGD_OK);
    l = &s.side[0].g;
    for (step = 0; step < 12; step++) {
        if (step == 3) {
            CHECK(cgd_generator_init(&context, &now, &l->net.generator)
                  == CGD_OK);
            CHECK(cgd_net_copy(&now, &l->net) == CGD_OK);
            memcpy(l->ema, l->net.params, l->net.state * sizeof(float));
            memcpy(l->m, l->net.params, l->net.count * sizeof(float));
            memcpy(l->v, l->net.params, l->net.count * sizeof(float));
            CHECK(cgd__student_cut(&s) == CGD_OK);
            CHECK(cgd_generator_init(&context, &pruned, &l->net.generator)
                  == CGD_OK);
            CHECK(cgd_transfer(&pruned, &now, CGD_TRANSFER_PRUNE, NULL)
                  == CGD_OK);
            CHECK(memcmp(l->net.params, pruned.params,
                         pruned.state * sizeof(float)) == 0);
            CHECK(memcmp(l->ema, pruned.params,
                         pruned.state * sizeof(float)) == 0);
            CHECK(memcmp(l->m, pruned.params,
                         pruned.count * sizeof(float)) == 0);
            CHECK(memcmp(l->v, pruned.params,
                         pruned.count * sizeof(float)) == 0);
            memset(l->m, 0, pruned.count * sizeof(float));
            memset(l->v, 0, pruned.count * sizeof(float));
            cgd_net_free(&now);
            cgd_net_free(&pruned);
        }
        take_steps(&s, step, step + 1);
        CHECK(l->net.layers[2].out_c == widths[step]);
    }
    CHECK(l->net.generator.blocks == 2 && l->net.layers[0].out_c == 3
          && l->net.layers[1].out_c == 6 && l->net.layers[3].out_c == 12);
    cgd_trainer_free(&s);
    cgd_net_free(&teacher);
}

static void cut_students_resume_bit_for_bit(void)
{
    const char *path = "build/test_cuts.safetensors";
    cgd_train_config c = in_four_cuts();
    cgd_trainer s, u;
    cgd_net teacher;
    unsigned long at;
    make_teacher(&teacher);
    for (at = 2; at <= 10; at++) {               /* u was ahead of s         */
        c.seed = 1;
        CHECK(cgd_trainer_init(&context, &s, &c, &teacher, NULL) == CGD_OK);
        c.seed = 77;
        CHECK(cgd_trainer_init(&context, &u, &c, &teacher, NULL) == CGD_OK);
        take_steps(&s, 0, at);
        take_steps(&u, 0, 6);
        CHECK(cgd_trainer_save(&s, path) == CGD_OK);
        CHECK(cgd_trainer_load(&u, path) == CGD_OK);
        take_steps(&s, at, 10);
        take_steps(&u, at, 10);
        CHECK(same_state(&s, &u));
        cgd_trainer_free(&s);
        if (at < 10) cgd_trainer_free(&u);
    }
    c.cuts = 1;                                  /* u, of 12, is left alone  */
    CHECK(cgd_trainer_init(&context, &s, &c, &teacher, NULL) == CGD_OK);
    s.config.generator.width = 4;
    take_steps(&s, 0, 1);
    CHECK(cgd_trainer_save(&s, path) == CGD_OK);
    CHECK(cgd_trainer_load(&u, path) == CGD_ERR_SHAPE);
    CHECK(u.side[0].g.net.layers[2].out_c == 12);
    take_steps(&u, 10, 11);
    cgd_trainer_free(&s);
    cgd_trainer_free(&u);
    cgd_net_free(&teacher);
    remove(path);
}

static void cuts_that_cannot_be_are_refused(void)
{
    cgd_train_config c = in_four_cuts();
    cgd_trainer s;
    cgd_net teacher;
    make_teacher(&teacher);
    c.transfer = CGD_TRANSFER_UPDOWN;
    CHECK(cgd_trainer_init(&context, &s, &c, &teacher, NULL)
          == CGD_ERR_ARGUMENT);
    CHECK(strstr(context.message, "takes over") != NULL);
    c = in_four_cuts();
    c.feature_weight = 1;
    CHECK(cgd_trainer_init(&context, &s, &c, &teacher, NULL)
          == CGD_ERR_ARGUMENT);
    CHECK(strstr(context.message, "hidden states") != NULL);
    c = in_four_cuts();
    c.cut_part = 1.5f;
    CHECK(cgd_trainer_init(&context, &s, &c, &teacher, NULL)
          == CGD_ERR_ARGUMENT);
    c = in_four_cuts();
    c.generator.stage[4] = 11;             /* the teacher has 10       */
    CHECK(cgd_trainer_init(&context, &s, &c, &teacher, NULL)
          == CGD_ERR_SHAPE);
    cgd_net_free(&teacher);
}

static void choices_that_there_are_not_are_refused(void)
{
    cgd_trainer s;
    cgd_net teacher;
    int i;
    make_teacher(&teacher);
    for (i = 0; i < 8; i++) {
        cgd_train_config c = in_four_cuts();
        int *choice = i / 2 == 0 ? &c.gan : i / 2 == 1 ? &c.init
                    : i / 2 == 2 ? &c.schedule.kind : &c.transfer;
        *choice = i % 2 ? 1000 : -1;
        c.cuts = 1;
        CHECK(cgd_trainer_init(&context, &s, &c, &teacher, NULL)
              == CGD_ERR_ARGUMENT);
        CHECK(strstr(context.message, "there is no ") != NULL);
    }
    cgd_net_free(&teacher);
}

/* Weights of losses to a teacher's answers, and nobody who answers. */
static void losses_to_a_teacher_need_one(void)
{
    size_t i;
    for (i = 0; i < 5; i++) {
        cgd_train_config c = every_term();
        cgd_trainer t;
        c.output_weight = i == 0;
        c.haar_weight = i == 1;
        c.contrast_weight = i == 2;
        c.feature_weight = i == 3;
        c.cuts = 1;
        c.gan_weight = 0;
        CHECK(cgd_trainer_init(&context, &t, &c, NULL, NULL)
              == (i < 4 ? CGD_ERR_ARGUMENT : CGD_OK));
        if (i == 4) cgd_trainer_free(&t);
    }
}

/* No answers kept, all, only one: the same student. */
static void remembered_answers_change_nothing(void)
{
    cgd_train_config c = every_term();
    cgd_trainer s[3];
    cgd_net teacher;
    size_t i, values;
    make_teacher(&teacher);
    for (i = 0; i < 3; i++) {
        c.answer_bytes = i == 0 ? 0 : (size_t)1 << 20;
        if (i == 2) c.answer_bytes = s[1].answers->values * 5;
        CHECK(cgd_trainer_init(&context, &s[i], &c, &teacher, NULL)
              == CGD_OK);
        take_steps(&s[i], 0, 6);
    }
    CHECK(s[0].answers == NULL);
    CHECK(s[1].answers->kept == PICTURES);
    CHECK(s[2].answers->kept == 1 && s[2].answers->most == 1);
    values = SIDE * SIDE * 3 + 2 * (SIDE / 4) * (SIDE / 4) * 20;
    CHECK(s[1].answers->values == values);
    CHECK(same_state(&s[0], &s[1]));
    CHECK(same_state(&s[0], &s[2]));
    for (i = 0; i < 3; i++) cgd_trainer_free(&s[i]);
    cgd_net_free(&teacher);
}

static void threads_change_nothing(void)
{
    cgd_train_config c = every_term();
    cgd_options two;
    cgd_ctx other;
    cgd_trainer s, u;
    cgd_net teacher;
    memset(&two, 0, sizeof two);
    two.threads = 2;
    cgd_init(&other, &two);
    make_teacher(&teacher);
    CHECK(cgd_trainer_init(&context, &s, &c, &teacher, NULL) == CGD_OK);
    CHECK(cgd_trainer_init(&other, &u, &c, &teacher, NULL) == CGD_OK);
    take_steps(&s, 0, 3);
    take_steps(&u, 0, 3);
    CHECK(same_state(&s, &u));
    cgd_trainer_free(&s);
    cgd_trainer_free(&u);
    cgd_net_free(&teacher);
    cgd_free(&other);
}

/* A teacher of ours whose channels matter less and less: those that matter
 * are worth more than drawn ones, before anything is learnt. */
static void a_transferred_student_starts_closer(void)
{
    cgd_train_config c = every_term();
    cgd_net teacher;
    cgd_trainer s;
    double start[2];
    size_t i, o, k, step, at;
    int way;
    c.haar_weight = c.contrast_weight = c.feature_weight = 0;
    c.lr_g = 0;
    c.generator.blocks = 4;
    make_teacher(&teacher);
    for (i = 0; i < teacher.n_layers; i++) {
        const cgd_layer *l = teacher.layers + i;
        for (o = 0; o < l->out_c; o++)
            for (k = 0; k < l->in_c; k++) {
                float fade = i + 1 < teacher.n_layers
                           ? (float)pow(0.6, (double)o) : 1;
                size_t taps = l->window.kernel * l->window.kernel;
                if (i > 0) fade *= (float)pow(0.6, (double)k);
                at = cgd__weight_at(l, k, o, &step);
                for (; taps-- > 0; at += step) teacher.params[at] *= fade;
            }
    }
    for (way = 0; way < 2; way++) {
        c.transfer = way ? CGD_TRANSFER_FULL : CGD_TRANSFER_NONE;
        CHECK(cgd_trainer_init(&context, &s, &c, &teacher, NULL) == CGD_OK);
        start[way] = take_steps(&s, 0, 1).output;
        cgd_trainer_free(&s);
    }
    CHECK(start[1] < 0.7 * start[0]);
    cgd_net_free(&teacher);
}

/* Students of every kind learn from a plain teacher by every recipe. */
static void every_recipe_teaches_every_student(void)
{
    cgd_train_config (*recipe[4])(void) = { cgd_distil_defaults,
        cgd_distil_fast, cgd_distil_paper, cgd_distil_original };
    cgd_net teacher;
    int r, norm, block;
    make_teacher(&teacher);
    for (r = 0; r < 4; r++)
        for (norm = CGD_NORM_NONE; norm <= CGD_NORM_BATCH; norm++)
            for (block = 0; block < 2; block++) {
                cgd_train_config c = recipe[r]();
                cgd_losses first, last;
                cgd_trainer s;
                c.generator = shape_of(3, 2, norm,
                    norm % 2 ? CGD_UP_BILINEAR : CGD_UP_DECONV, block);
                c.discriminator.width = 4;
                c.discriminator.layers = 1;
                c.height = c.width = SIDE;
                c.batch = 2;
                c.schedule.total = 40;
                c.lr_g = 2e-3f;
                CHECK(cgd_trainer_init(&context, &s, &c, &teacher, NULL)
                      == CGD_OK);
                first = take_steps(&s, 0, 1);
                last = take_steps(&s, 1, 16);
                CHECK(last.output > 0 && last.output < first.output);
                CHECK((last.feature > 0) == (c.feature_weight > 0));
                cgd_trainer_free(&s);
            }
    cgd_net_free(&teacher);
}

/* What can be distilled can be trained from scratch, for comparison. */
static void every_student_can_be_trained_from_scratch(void)
{
    static const int stage[6] = { 2, 3, 5, 4, 3, 2 };
    float *x = numbers(SIDE * SIDE * 3, 1), *y = numbers(SIDE * SIDE * 3, 1);
    cgd_tensor a = cgd_tensor_view(1, SIDE, SIDE, 3, x);
    cgd_tensor b = cgd_tensor_view(1, SIDE, SIDE, 3, y);
    int norm, up, block, i;
    for (norm = CGD_NORM_NONE; norm <= CGD_NORM_BATCH + 1; norm++)
        for (up = CGD_UP_NEAREST; up <= CGD_UP_DECONV; up++)
            for (block = 0; block < 2; block++) {
                cgd_train_config c = cgd_train_defaults();
                cgd_losses first, last;
                cgd_trainer t;
                c.generator = shape_of(2, 1, norm > CGD_NORM_BATCH
                                             ? CGD_NORM_BATCH : norm, up,
                                       block);
                memcpy(c.generator.stage, stage, sizeof stage);
                c.freeze = norm > CGD_NORM_BATCH ? 5 : 0;
                c.discriminator.width = 4;
                c.discriminator.layers = 1;
                c.height = c.width = SIDE;
                c.lr_g = 2e-3f;
                CHECK(cgd_trainer_init(&context, &t, &c, NULL, NULL) == CGD_OK);
                CHECK(cgd_train_step(&t, &a, &b, &first) == CGD_OK);
                for (i = 0; i < 20; i++)
                    CHECK(cgd_train_step(&t, &a, &b, &last) == CGD_OK);
                CHECK(last.cycle[0] + last.identity[0]
                      < first.cycle[0] + first.identity[0]);
                CHECK(t.side[0].g.net.frozen == (c.freeze > 0));
                cgd_trainer_free(&t);
            }
    free(x); free(y);
}

/* ---- allocations ---------------------------------------------------------*/

typedef struct purse { long left; long blocks; } purse;

static void *purse_alloc(void *user, size_t bytes)
{
    purse *p = (purse *)user;
    if (p->left-- <= 0) return NULL;
    p->blocks++;
    return malloc(bytes);
}

static void purse_release(void *user, void *ptr, size_t bytes)
{
    (void)bytes;
    ((purse *)user)->blocks--;
    free(ptr);
}

static void failed_allocations_are_reported_and_nothing_leaks(void)
{
    cgd_train_config c = every_term();
    cgd_net teacher;
    long most = 0;
    cgd_status status = CGD_ERR_MEMORY;
    make_teacher(&teacher);
    while (status != CGD_OK && most < 1000) {
        cgd_options options;
        cgd_trainer s;
        cgd_ctx ctx;
        purse p;
        memset(&options, 0, sizeof options);
        p.left = most++;
        p.blocks = 0;
        options.threads = 1;
        options.allocator.alloc = purse_alloc;
        options.allocator.release = purse_release;
        options.allocator.user = &p;
        cgd_init(&ctx, &options);
        status = cgd_trainer_init(&ctx, &s, &c, &teacher, NULL);
        CHECK(status == CGD_OK || status == CGD_ERR_MEMORY);
        if (status == CGD_OK) cgd_trainer_free(&s);
        cgd_free(&ctx);
        CHECK(p.blocks == 0);
    }
    CHECK(status == CGD_OK && most > 20);
    cgd_net_free(&teacher);
}

static void failed_allocations_leave_the_student_uncut(void)
{
    cgd_train_config c = in_four_cuts();
    cgd_net teacher;
    cgd_options options;
    cgd_trainer s;
    cgd_ctx ctx;
    purse p;
    long most = 0, blocks;
    cgd_status status = CGD_ERR_MEMORY;
    memset(&options, 0, sizeof options);
    p.left = 1000;
    p.blocks = 0;
    options.threads = 1;
    options.allocator.alloc = purse_alloc;
    options.allocator.release = purse_release;
    options.allocator.user = &p;
    make_teacher(&teacher);
    cgd_init(&ctx, &options);
    CHECK(cgd_trainer_init(&ctx, &s, &c, &teacher, NULL) == CGD_OK);
    s.step = 3;
    blocks = p.blocks;
    while (status != CGD_OK && most < 100) {
        p.left = 1000;
        CHECK(cgd__step_ready(&s) == CGD_OK);    /* plans what was dropped   */
        CHECK(s.side[0].g.net.layers[2].out_c == 18 && p.blocks == blocks);
        p.left = most++;
        status = cgd__student_cut(&s);
        CHECK(status == CGD_OK || status == CGD_ERR_MEMORY);
    }
    CHECK(s.side[0].g.net.layers[2].out_c == 15 && p.blocks == blocks);
    CHECK(most > 5);
    cgd_trainer_free(&s);
    cgd_free(&ctx);
    CHECK(p.blocks == 0);
    cgd_net_free(&teacher);
}

int main(void)
{
    cgd_options one;
    memset(&one, 0, sizeof one);
    one.threads = 1;
    cgd_init(&context, &one);
    cgd_rng_seed(&dice, 3, 0);
    RUN(gradients_of_losses_are_central_differences);
    RUN(haar_is_the_mean_of_three_bands);
    RUN(contrast_is_blind_to_phase);
    RUN(a_student_hidden_in_a_wide_teacher_is_found);
    RUN(equal_widths_make_plain_copies);
    RUN(an_antialiased_teacher_hands_its_layers_on);
    RUN(layers_of_another_kind_are_left_alone);
    RUN(wider_students_and_missing_blocks_are_refused);
    RUN(weights_that_are_no_numbers_do_no_harm);
    RUN(gradients_run_through_adaptors_into_the_student);
    RUN(gradients_leave_frozen_statistics_alone);
    RUN(adaptors_and_all_terms_resume_bit_for_bit);
    RUN(frozen_statistics_stay_and_the_rest_learns);
    RUN(frozen_students_resume_bit_for_bit);
    RUN(cuts_prune_weights_average_and_moments);
    RUN(cut_students_resume_bit_for_bit);
    RUN(cuts_that_cannot_be_are_refused);
    RUN(choices_that_there_are_not_are_refused);
    RUN(losses_to_a_teacher_need_one);
    RUN(remembered_answers_change_nothing);
    RUN(threads_change_nothing);
    RUN(a_transferred_student_starts_closer);
    RUN(every_recipe_teaches_every_student);
    RUN(every_student_can_be_trained_from_scratch);
    RUN(failed_allocations_are_reported_and_nothing_leaks);
    RUN(failed_allocations_leave_the_student_uncut);
    cgd_free(&context);
    return test_end();
}
