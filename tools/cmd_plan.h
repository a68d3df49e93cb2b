/* cmd_plan.h: `cgd plan`, which students fit a budget; part of tools/cgd.c
 *
 * Builds generators of many shapes, keeps those within the budget, and times
 * each on this machine. Nothing here knows how well a student would learn;
 * but one that is as wide, has as many blocks, and has plain ones where the
 * other has separable ones, can do all that the other can. If it also takes
 * no longer, there is no reason to take the other: it dominates.           */

#ifndef CMD_PLAN_H
#define CMD_PLAN_H

typedef struct candidate {
    int width, blocks, block;
    double macs, params, ram, ms;
    const struct candidate *better;  /* what dominates it, or NULL           */
} candidate;

static const int plan_widths[] = { 2, 4, 6, 8, 12, 16, 24, 32, 48, 64 };
static const int plan_blocks[] = { 1, 2, 3, 4, 6, 9 };

enum {
    PLAN_WIDTHS = sizeof plan_widths / sizeof plan_widths[0],
    PLAN_BLOCKS = sizeof plan_blocks / sizeof plan_blocks[0],
    PLAN_MOST = 2 * PLAN_WIDTHS * PLAN_BLOCKS,
    PLAN_ROWS = 24                   /* that are shown                       */
};

static int within(double value, double budget)
{
    return budget <= 0 || value <= budget;
}

/* The least time that a picture took, in milliseconds, of several in about a
 * tenth of a second. */
static cgd_status time_net(cgd_net *net, size_t size, double *ms)
{
    size_t count = size * size * net->layers[0].in_c;
    float *pixels = (float *)calloc(count, sizeof *pixels);
    cgd_tensor x = cgd_tensor_view(1, size, size, net->layers[0].in_c,
                                   pixels);
    double begin = seconds_now();
    cgd_pass pass;
    cgd_status status;
    int i;
    if (!pixels) return CGD_ERR_MEMORY;
    status = cgd_pass_init(&pass, net, 1, size, size, CGD_INFER, NULL, 0,
                           NULL);
    *ms = 1e30;
    for (i = 0; status == CGD_OK
                && (i < 3 || (i < 50 && seconds_now() - begin < 0.1)); i++) {
        double start = seconds_now(), took;
        status = cgd_pass_forward(&pass, &x);
        took = (seconds_now() - start) * 1000;
        if (i > 0 && took < *ms) *ms = took;   /* the first warms the caches */
    }
    cgd_pass_free(&pass);
    free(pixels);
    return status;
}

/* Cost one shape, and time it if it fits otherwise. *fits: it does. */
static cgd_status cost_candidate(cgd_ctx *ctx, const settings *s,
                                 candidate *c, int *fits)
{
    cgd_generator_config g = s->config.generator;
    cgd_rng rng;
    cgd_net net;
    cgd_cost cost;
    cgd_status status;
    g.width = c->width;
    g.blocks = c->blocks;
    g.block = c->block;
    *fits = 0;
    status = cgd_generator_init(ctx, &net, &g);
    if (status != CGD_OK) return status;
    cgd_rng_seed(&rng, 1, 0);
    cgd_net_init_weights(&net, CGD_INIT_KAIMING, &rng);
    cost = cgd_net_cost(&net, s->size, s->size);
    c->macs = cost.macs;
    c->params = (double)cost.params;
    c->ram = (double)(net.state * sizeof(float))
           + (double)cgd_pass_bytes(&net, 1, s->size, s->size, CGD_INFER,
                                    NULL, 0);
    if (within(c->macs, s->plan_macs) && within(c->params, s->plan_params)
        && within(c->ram, s->plan_ram)) {
        status = time_net(&net, s->size, &c->ms);
        *fits = within(c->ms, s->plan_ms);
    }
    cgd_net_free(&net);
    return status;
}

/* Can a do all that b can? */
static int as_capable(const candidate *a, const candidate *b)
{
    return a->width >= b->width && a->blocks >= b->blocks
        && (a->block == b->block || a->block == CGD_BLOCK_PLAIN);
}

static void find_better(candidate *all, size_t n)
{
    size_t i, k;
    for (i = 0; i < n; i++)
        for (k = 0; k < n; k++)
            if (k != i && as_capable(all + k, all + i)
                && all[k].ms <= all[i].ms
                && (!all[i].better || all[k].ms < all[i].better->ms))
                all[i].better = all + k;
}

/* The most multiplications first. */
static int compare_candidates(const void *a, const void *b)
{
    double x = ((const candidate *)a)->macs, y = ((const candidate *)b)->macs;
    return x < y ? 1 : x > y ? -1 : 0;
}

enum { SHAPE_ROOM = 60 };

static void put_shape(char out[SHAPE_ROOM], const candidate *c)
{
    put_text(out, SHAPE_ROOM, "--ngf %d --blocks %d%s", c->width, c->blocks,
            c->block == CGD_BLOCK_PLAIN ? "" : " --block separable");
}

static void print_candidates(const candidate *all, size_t n, size_t size)
{
    size_t i;
    char shape[SHAPE_ROOM];
    phrase macs, ram;
    printf("%-38s%12s%12s%10s%9s\n", "student", "parameters", "MACs", "memory",
           "ms");
    for (i = 0; i < n && i < PLAN_ROWS; i++) {
        const candidate *c = all + i;
        put_shape(shape, c);
        printf("%-38s%12.0f%12s%10s%9.2f", shape, c->params,
               in_macs(&macs, c->macs), in_bytes(&ram, (size_t)c->ram),
               c->ms);
        if (c->better) {
            put_shape(shape, c->better);
            printf("  (%s takes no longer)", shape);
        }
        printf("\n");
    }
    if (n > PLAN_ROWS)
        printf("... and %lu smaller ones\n", (unsigned long)(n - PLAN_ROWS));
    printf("\nFor a picture of %lu x %lu; time is the least of several on this "
           "machine, memory\nthat of weights and activations. A student in "
           "brackets dominates its line: it\ncan do all that the other can.\n",
           (unsigned long)size, (unsigned long)size);
}

/* Try all shapes; those that are over the budget leave no trace. */
static cgd_status survey_shapes(cgd_ctx *ctx, const settings *s,
                                candidate *all, size_t *n)
{
    int w, b, kind, fits;
    cgd_status status = CGD_OK;
    *n = 0;
    for (kind = CGD_BLOCK_PLAIN; kind <= CGD_BLOCK_SEPARABLE; kind++)
        for (w = 0; w < PLAN_WIDTHS; w++)
            for (b = 0; b < PLAN_BLOCKS && status == CGD_OK; b++) {
                candidate *c = all + *n;
                memset(c, 0, sizeof *c);
                c->width = plan_widths[w];
                c->blocks = plan_blocks[b];
                c->block = kind;
                status = cost_candidate(ctx, s, c, &fits);
                if (!fits) break;      /* more blocks only cost more         */
                ++*n;
            }
    return status;
}

static int run_plan(const command *cmd, settings *s)
{
    static candidate all[PLAN_MOST + 1];
    source from;
    cgd_ctx ctx;
    live_line line;
    size_t n;
    cgd_status status;
    int bad;
    from.cmd = cmd;
    from.file = NULL;
    if (s->plan_macs <= 0 && s->plan_params <= 0 && s->plan_ram <= 0
        && s->plan_ms <= 0)
        return fail_usage(&from, "a budget is missing: --macs, --params, "
                          "--ram or --ms");
    if (s->size % 4 != 0)
        return fail_usage(&from, "--size %lu is no multiple of 4, as the nets "
                          "need it", (unsigned long)s->size);
    bad = open_context(&ctx, s, &line);
    if (bad) return bad;
    status = survey_shapes(&ctx, s, all, &n);
    if (status != CGD_OK) {
        bad = fail_status(&ctx, status);
    } else if (n == 0) {
        bad = fail("no student fits: the smallest, %d wide with %d block, is "
                   "over the budget", plan_widths[0], plan_blocks[0]);
    } else {
        qsort(all, n, sizeof all[0], compare_candidates);
        find_better(all, n);
        print_candidates(all, n, s->size);
    }
    cgd_free(&ctx);
    return bad;
}

#endif
