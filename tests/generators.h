/* A generator of every kind that an exporter meets, small and untrained. */
#ifndef GENERATORS_H
#define GENERATORS_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define N(array) (sizeof (array) / sizeof *(array))

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
      1, 3, { 4, 6, 7, 5, 6, 3 } },
    { "with_blurs", CGD_NORM_INSTANCE, 1, CGD_UP_BILINEAR, CGD_BLOCK_PLAIN,
      3, 3, { 0, 0, 0, 0, 0, 0 } }
};

/* A generator of that kind whose every parameter matters. */
static void build(cgd_ctx *ctx, cgd_net *net, const kind *k)
{
    cgd_generator_config g = cgd_generator_defaults();
    cgd_rng rng;
    size_t i, c;
    g.width = 4;
    g.blocks = 2;
    g.norm = k->norm;
    g.image_stats = k->image_stats;
    g.up = k->up;
    g.antialias = g.zero_pad = strcmp(k->name, "with_blurs") == 0;
    g.block = k->block;
    g.in_channels = k->in;
    g.out_channels = k->out;
    memcpy(g.stage, k->stage, sizeof g.stage);
    if (cgd_generator_init(ctx, net, &g) != CGD_OK) {
        printf("%s\n", cgd_message(ctx, CGD_ERR_ARGUMENT));
        exit(1);
    }
    cgd_rng_seed(&rng, 5, 0);
    cgd_net_init_weights(net, CGD_INIT_KAIMING, &rng);
    for (i = 0; i < net->n_layers; i++) {
        const cgd_layer *l = net->layers + i;
        for (c = l->b; c < l->mean && c < l->b + l->out_c; c++)
            if (l->norm == CGD_NORM_NONE && l->kind != CGD_BLUR)
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

#endif
