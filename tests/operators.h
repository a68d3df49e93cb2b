/* The operators of the header one by one, for tests: shapes are checked,
 * scratch is taken from the context, and the private functions do the work.
 * Include after the header's implementation. */
#ifndef OPERATORS_H
#define OPERATORS_H

#include "test.h"

static cgd_status window_fails(cgd_ctx *ctx, const char *what,
                               const cgd_tensor *big, const cgd_tensor *small,
                               const cgd_window *window)
{
    return cgd__fail(ctx, CGD_ERR_SHAPE,
        "%s: maps of %u x %u x %u x %u and %u x %u x %u x %u do not fit a "
        "window of kernel %u, stride %u, padding %u", what, big->n, big->h,
        big->w, big->c, small->n, small->h, small->w, small->c,
        window->kernel, window->stride, window->pad);
}

/* One public call: a sum over a window of big (the map that a convolution
 * reads) and small, the scratch allocated for the while. */
static cgd_status window_run(cgd_ctx *ctx, const char *what, int sum,
                             const cgd_tensor *big, const cgd_tensor *small,
                             const cgd_window *window, float *out,
                             const float *in, const float *by,
                             const float *bias)
{
    cgd__shape s;
    cgd__conv q;
    cgd__arena scratch;
    size_t bytes;
    void *block;
    if (!cgd__shape_from(&s, big->n, big->h, big->w, big->c, small->c, window)
        || small->n != big->n || small->h != s.oh || small->w != s.ow)
        return window_fails(ctx, what, big, small, window);
    bytes = cgd__conv_bytes(ctx, ctx->kernels, &s, sum, 0);
    block = cgd__alloc(ctx, bytes);
    if (!block)
        return cgd__fail(ctx, CGD_ERR_MEMORY,
            "out of memory: %s needs %u bytes of scratch", what, bytes);
    scratch = cgd__arena_on(block, bytes);
    q = cgd__conv_of(&s, sum, out, in, by);
    q.bias = bias;
    cgd__convolve(ctx, ctx->kernels, &q, &scratch);
    cgd__free(ctx, block, bytes);
    return CGD_OK;
}

static cgd_status op_conv2d(cgd_ctx *ctx, cgd_tensor *y, const cgd_tensor *x,
                            const float *w, const float *b,
                            const cgd_window *window)
{
    return window_run(ctx, "conv2d", CGD__FORWARD, x, y, window, y->data,
                           x->data, w, b);
}

static cgd_status op_deconv2d(cgd_ctx *ctx, cgd_tensor *y, const cgd_tensor *x,
                              const float *w, const float *b,
                              const cgd_window *window)
{
    return window_run(ctx, "deconv2d", CGD__ADJOINT, y, x, window,
                           y->data, x->data, w, b);
}

static cgd_status op_depthwise2d(cgd_ctx *ctx, cgd_tensor *y,
                                 const cgd_tensor *x, const float *w,
                                 const float *b, const cgd_window *window)
{
    cgd__shape s;
    if (!cgd__shape_from(&s, x->n, x->h, x->w, x->c, x->c, window)
        || y->n != x->n || y->h != s.oh || y->w != s.ow || y->c != x->c)
        return window_fails(ctx, "depthwise2d", x, y, window);
    cgd__depth_forward(ctx, &s, y->data, x->data, w, b);
    return CGD_OK;
}

static cgd_status op_pad2d(cgd_ctx *ctx, cgd_tensor *y, const cgd_tensor *x,
                           size_t pad, int pad_mode)
{
    cgd__lines q;
    size_t row;
    memset(&q, 0, sizeof q);
    q.in = x->data;
    q.h = x->h; q.w = x->w; q.c = x->c;
    q.pad = pad; q.pad_mode = pad_mode;
    for (row = 0; row < y->n * y->h; row++)
        ctx->kernels->line(&q, y->data + row * y->w * y->c, row / y->h,
                           row % y->h, y->w);
    return CGD_OK;
}

/* Shapes and scratch of the public norms. */
static cgd_status norm_open(cgd_ctx *ctx, cgd__norm_job *q,
                            const cgd_tensor *y, const cgd_tensor *x,
                            float **scratch, size_t *bytes)
{
    memset(q, 0, sizeof *q);
    CHECK(cgd__same_shape(x, y));
    cgd__norm_slices(q, x->n, x->h * x->w, x->c);
    *bytes = cgd__norm_scratch(x->n, x->h * x->w, x->c) * sizeof(float);
    *scratch = (float *)cgd__alloc(ctx, *bytes);
    if (!*scratch)
        return cgd__fail(ctx, CGD_ERR_MEMORY,
                         "out of memory: norm needs %u bytes", *bytes);
    q->partial = cgd__norm_partial(*scratch, x->n * x->c);
    q->x = x->data;
    return CGD_OK;
}

/* y = gamma * (x - mean) * rstd + beta, mean and rstd from stats. */
static void norm_forward(cgd_ctx *ctx, cgd__norm_job *q, float *y,
                         const float *gamma, const float *beta,
                         const float *stats, float *scratch)
{
    float *shift = scratch + q->n * q->c;
    cgd__norm_factors(q, gamma, beta, stats, scratch, shift);
    cgd__norm_apply(ctx, q, y, scratch, shift);
}

static cgd_status op_norm(cgd_ctx *ctx, cgd_tensor *y, const cgd_tensor *x,
                          int norm, const float *gamma, const float *beta,
                          float *stats, float *running_mean,
                          float *running_var)
{
    cgd__norm_job q;
    float *scratch;
    size_t bytes;
    cgd_status status = norm_open(ctx, &q, y, x, &scratch, &bytes);
    if (status != CGD_OK) return status;
    cgd__norm_stats(&q, norm, cgd__norm_moments(ctx, &q), stats, running_mean,
                    running_var);
    norm_forward(ctx, &q, y->data, gamma, beta, stats, scratch);
    cgd__free(ctx, scratch, bytes);
    return CGD_OK;
}

static cgd_status op_norm_frozen(cgd_ctx *ctx, cgd_tensor *y,
                                 const cgd_tensor *x, const float *gamma,
                                 const float *beta, float *stats,
                                 const float *running_mean,
                                 const float *running_var)
{
    cgd__norm_job q;
    float *scratch;
    size_t bytes;
    cgd_status status = norm_open(ctx, &q, y, x, &scratch, &bytes);
    if (status != CGD_OK) return status;
    cgd__norm_running(stats, x->n, x->c, running_mean, running_var);
    norm_forward(ctx, &q, y->data, gamma, beta, stats, scratch);
    cgd__free(ctx, scratch, bytes);
    return CGD_OK;
}

static cgd_status op_activate(cgd_ctx *ctx, cgd_tensor *y, const cgd_tensor *x,
                              int act)
{
    CHECK(cgd__same_shape(x, y));
    cgd__activate(ctx, y->data, x->data, cgd_tensor_size(x), act);
    return CGD_OK;
}

static cgd_status op_upsample2(cgd_ctx *ctx, cgd_tensor *y,
                               const cgd_tensor *x, int up)
{
    CHECK(y->n == x->n && y->c == x->c && y->h == 2 * x->h);
    cgd__upsample(ctx, y->data, x->data, x->n, x->h, x->w, x->c, up);
    return CGD_OK;
}

static cgd_status op_conv2d_backward_data(cgd_ctx *ctx, cgd_tensor *dx,
                                          const cgd_tensor *dy, const float *w,
                                          const cgd_window *window)
{
    return window_run(ctx, "conv2d backward", CGD__ADJOINT, dx, dy,
                           window, dx->data, dy->data, w, NULL);
}

static cgd_status op_conv2d_backward_weights(cgd_ctx *ctx, float *dw,
                                             float *db, const cgd_tensor *x,
                                             const cgd_tensor *dy,
                                             const cgd_window *window)
{
    cgd_status status = window_run(ctx, "conv2d backward", CGD__WEIGHTS,
                                        x, dy, window, dw, x->data, dy->data,
                                        NULL);
    if (status == CGD_OK && db)
        cgd__bias_backward(ctx, db, dy->data, dy->n * dy->h * dy->w, dy->c);
    return status;
}

static cgd_status op_deconv2d_backward_data(cgd_ctx *ctx, cgd_tensor *dx,
                                            const cgd_tensor *dy,
                                            const float *w,
                                            const cgd_window *window)
{
    return op_conv2d(ctx, dx, dy, w, NULL, window);
}

static cgd_status op_deconv2d_backward_weights(cgd_ctx *ctx, float *dw,
                                               float *db, const cgd_tensor *x,
                                               const cgd_tensor *dy,
                                               const cgd_window *window)
{
    cgd_status status = op_conv2d_backward_weights(ctx, dw, NULL, dy, x,
                                                    window);
    if (status == CGD_OK && db)
        cgd__bias_backward(ctx, db, dy->data, dy->n * dy->h * dy->w, dy->c);
    return status;
}

static cgd_status op_depthwise2d_backward_data(cgd_ctx *ctx, cgd_tensor *dx,
                                               const cgd_tensor *dy,
                                               const float *w,
                                               const cgd_window *window)
{
    cgd__shape s;
    if (!cgd__shape_from(&s, dx->n, dx->h, dx->w, dx->c, dx->c, window)
        || dy->n != dx->n || dy->h != s.oh || dy->w != s.ow || dy->c != dx->c)
        return window_fails(ctx, "depthwise2d backward", dx, dy, window);
    cgd__depth_data(ctx, &s, dx->data, dy->data, w, 0);
    return CGD_OK;
}

static cgd_status op_depthwise2d_backward_weights(cgd_ctx *ctx, float *dw,
                                                  float *db,
                                                  const cgd_tensor *x,
                                                  const cgd_tensor *dy,
                                                  const cgd_window *window)
{
    cgd__shape s;
    if (!cgd__shape_from(&s, x->n, x->h, x->w, x->c, x->c, window)
        || dy->n != x->n || dy->h != s.oh || dy->w != s.ow || dy->c != x->c)
        return window_fails(ctx, "depthwise2d backward", x, dy, window);
    cgd__depth_weights(ctx, &s, dw, x->data, dy->data);
    if (db) cgd__bias_backward(ctx, db, dy->data, dy->n * dy->h * dy->w,
                               dy->c);
    return CGD_OK;
}

static cgd_status op_pad2d_backward(cgd_ctx *ctx, cgd_tensor *dx,
                                    const cgd_tensor *dy, size_t pad,
                                    int pad_mode)
{
    cgd__fold_job q;
    q.in = dy->data; q.out = dx->data; q.bias = NULL;
    q.h = dx->h; q.w = dx->w; q.c = dx->c;
    q.pad = pad; q.pad_mode = pad_mode; q.accumulate = 0;
    cgd__for(ctx, dx->n * dx->h, ctx->kernels->fold, &q);
    return CGD_OK;
}

static cgd_status op_norm_backward(cgd_ctx *ctx, cgd_tensor *dx,
                                   const cgd_tensor *dy, const cgd_tensor *x,
                                   int norm, const float *gamma,
                                   const float *stats, float *dgamma,
                                   float *dbeta, int frozen)
{
    cgd__norm_job q;
    float *scratch;
    size_t bytes;
    cgd_status status;
    CHECK(cgd__same_shape(dx, dy));
    status = norm_open(ctx, &q, dx, x, &scratch, &bytes);
    if (status != CGD_OK) return status;
    q.dy = dy->data;
    cgd__norm_backward(ctx, &q, dx->data, norm, gamma, NULL, stats, dgamma,
                       dbeta, frozen, scratch);
    cgd__free(ctx, scratch, bytes);
    return CGD_OK;
}

static cgd_status op_activate_backward(cgd_ctx *ctx, cgd_tensor *dx,
                                       const cgd_tensor *dy,
                                       const cgd_tensor *y, int act)
{
    CHECK(cgd__same_shape(dx, dy) && cgd__same_shape(dx, y));
    cgd__activate_back(ctx, dx->data, dy->data, y->data, cgd_tensor_size(y),
                       act);
    return CGD_OK;
}

static cgd_status op_upsample2_backward(cgd_ctx *ctx, cgd_tensor *dx,
                                        const cgd_tensor *dy, int up)
{
    CHECK(dy->n == dx->n && dy->c == dx->c && dy->h == 2 * dx->h);
    cgd__upsample_back(ctx, dx->data, dy->data, dx->n, dx->h, dx->w, dx->c,
                       up, 0);
    return CGD_OK;
}

#endif
