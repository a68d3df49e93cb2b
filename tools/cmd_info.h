/* cmd_info.h: `cgd info`, what is in a file; part of tools/cgd.c */

#ifndef CMD_INFO_H
#define CMD_INFO_H

static const char *word_for(const word *w, int value)
{
    for (; w->name; w++)
        if (w->value == value) return w->name;
    return "?";
}

/* "inside the blocks 64 64 64 128", where they are not all alike. */
static void print_inside(const cgd_generator_config *g)
{
    int i, differ = 0;
    int same = g->stage[3] ? g->stage[3] : 4 * g->width;
    for (i = 0; i < g->blocks; i++)
        differ |= g->inside[i] && g->inside[i] != same;
    if (!differ) return;
    printf("  channels inside the blocks:");
    for (i = 0; i < g->blocks; i++)
        printf(" %d", g->inside[i] ? g->inside[i] : same);
    printf("\n");
}

static void print_net_kind(const cgd_net *net)
{
    const cgd_generator_config *g = &net->generator;
    const cgd_discriminator_config *d = &net->discriminator;
    phrase blocks;
    if (net->is_generator)
        printf("generator: %d channels to %d, %d wide, %s (%s), norm %s, "
               "up %s%s\n", g->in_channels, g->out_channels, g->width,
               in_number(&blocks, (unsigned long)g->blocks, "block"),
               word_for(block_words, g->block),
               word_for(norm_words, g->norm), word_for(up_words, g->up),
               g->antialias ? ", antialiased" : "");
    if (net->is_generator)
        print_inside(g);
    else
        printf("discriminator: %s, %d channels, %d wide, norm %s\n",
               word_for(disc_words, d->kind), d->in_channels, d->width,
               word_for(norm_words, d->norm));
}

/* What can be learnt in a layer: weights, and a bias or the norm's two. */
static size_t layer_parameters(const cgd_layer *l)
{
    size_t k2 = l->window.kernel * l->window.kernel;
    size_t n = k2 * (l->kind >= CGD_DEPTHWISE ? 1 : l->in_c) * l->out_c;
    if (l->kind == CGD_BLUR) return 0;
    if (l->norm == CGD_NORM_NONE) return n + l->out_c;
    if (l->norm == CGD_NORM_INSTANCE) return n;
    return n + 2 * l->out_c;
}

/* One line of the table; a layer is costed as a net of one. h and w become
 * its output's. */
static void print_layer(const cgd_net *net, size_t i, size_t *h, size_t *w)
{
    static const char *const kinds[] = { "conv", "deconv", "depthwise",
                                         "blur" };
    static const char *const acts[] = { "", " relu", " leaky", " tanh" };
    const cgd_layer *l = &net->layers[i];
    char what[80], size[80];
    cgd_net one = *net;
    cgd_cost cost;
    one.layers += i;
    one.n_layers = 1;
    cost = cgd_net_cost(&one, *h, *w);
    if (cgd_net_out_size(&one, *h, *w, h, w) != CGD_OK) *h = *w = 0;
    put_text(what, sizeof what, "%s%s %lux%lu/%lu",
             l->up == CGD_UP_NONE ? "" : "up+", kinds[l->kind],
             (unsigned long)l->window.kernel, (unsigned long)l->window.kernel,
             (unsigned long)l->window.stride);
    put_text(size, sizeof size, "%lux%lux%lu", (unsigned long)*h,
             (unsigned long)*w, (unsigned long)l->out_c);
    printf("  %-28s %-16s%-13s%9lu%10.2f%s%s%s\n", l->name, what, size,
           (unsigned long)layer_parameters(l), cost.macs / 1e6,
           l->norm == CGD_NORM_NONE ? "" : " norm", acts[l->act],
           l->skip ? " sum" : "");
}

static void print_layers(const cgd_net *net, size_t size)
{
    size_t h = size, w = size, i;
    printf("  %-28s %-16s%-13s%9s%10s\n", "layer", "window/stride", "output",
           "learnt", "MMACs");
    for (i = 0; i < net->n_layers; i++) print_layer(net, i, &h, &w);
}

static void print_cost(const cgd_net *net, size_t size)
{
    cgd_cost c = cgd_net_cost(net, size, size);
    size_t train = cgd_pass_bytes(net, 1, size, size, CGD_TRAIN, NULL, 0);
    cgd_model model;
    phrase p;
    memset(&model, 0, sizeof model);
    model.net = *net;
    printf("  parameters  %lu; %lu as PyTorch counts, with the biases that a\n"
           "              norm cancels\n", (unsigned long)c.params,
           (unsigned long)c.params_official);
    printf("  cost        %s at %lu x %lu; ", in_macs(&p, c.macs),
           (unsigned long)size, (unsigned long)size);
    printf("%s as papers count, with transposed\n"
           "              convolutions at their full output resolution\n",
           in_macs(&p, c.macs_papers));
    if (net->is_generator)
        printf("  memory      %s to translate a picture of that size\n",
               in_bytes(&p, cgd_model_workspace(&model, size, size)));
    memset(&model.net, 0, sizeof model.net);     /* it is not the model's    */
    model.net.ctx = net->ctx;
    cgd_model_free(&model);
    printf("  training    %s for a pass, forward and back\n",
           in_bytes(&p, train));
}

/* Print the net of a prefix, if the file has one. */
static cgd_status print_net(cgd_ctx *ctx, const cgd_file *file,
                            const char *prefix, size_t size)
{
    cgd_net net;
    cgd_status status;
    memset(&net, 0, sizeof net);
    status = *prefix ? cgd_net_load(ctx, &net, file, prefix)
                     : cgd_import_net(ctx, &net, file, NULL);
    if (status != CGD_OK) return status;
    if (*prefix) printf("\n%.*s, ", (int)strlen(prefix) - 1, prefix);
    print_net_kind(&net);
    print_range(stdout, net.generator.range, "in", "out");
    print_layers(&net, size);
    print_cost(&net, size);
    cgd_net_free(&net);
    return CGD_OK;
}

/* A file of packed pictures: how many are in each folder. */
static int print_packed(const cgd_file *file)
{
    static const char *const folders[] = { "trainA/", "trainB/", "testA/",
                                           "testB/" };
    const char *range = cgd_file_meta(file, "cgd.range");
    size_t i, k, all = 0;
    for (k = 0; k < 4; k++) {
        size_t n = 0;
        for (i = 0; i < file->n_tensors; i++)
            if (strncmp(file->tensors[i].name, folders[k],
                        strlen(folders[k])) == 0) n++;
        if (n > 0) printf("%s %lu packed pictures\n", folders[k],
                          (unsigned long)n);
        all += n;
    }
    if (all > 0 && range)
        printf("range of A, then of B (least, greatest, greatest of its "
               "type): %s\n", range);
    return all > 0;
}

/* The options of cgd that a run goes on with. */
static void print_options(const char *text)
{
    int begins = 1;
    printf("options a run goes on with, as they are written:\n");
    for (; *text; text++) {
        if (begins) printf("  ");
        begins = *text == '\n';
        putchar(begins || *text == '%' ? *text
                : is_escaped((unsigned char)*text) ? '?' : *text);
    }
}

static cgd_status print_state(cgd_ctx *ctx, const cgd_file *file, size_t size)
{
    static const char *const nets[] = { "g_ab", "g_ba", "d_a", "d_b" };
    const char *step = cgd_file_meta(file, "cgd.step");
    const char *direction = cgd_file_meta(file, "cgd.direction");
    char key[40], where[40], when[40];
    cgd_status status = CGD_OK;
    size_t i;
    printf("state of a %s%s after %s steps\n",
           direction ? "distillation " : "training",
           cgd_plain(where, sizeof where, direction ? direction : ""),
           cgd_plain(when, sizeof when, step ? step : "?"));
    for (i = 0; i < 4 && status == CGD_OK; i++) {
        put_text(key, sizeof key, "%s.cgd.net", nets[i]);
        if (!cgd_file_meta(file, key)) continue;
        put_text(key, sizeof key, "%s.", nets[i]);
        status = print_net(ctx, file, key, size);
        put_text(key, sizeof key, "ema.%s.cgd.net", nets[i]);
        if (cgd_file_meta(file, key))
            printf("  average     of its weights over the steps: ema.%s\n",
                   nets[i]);
    }
    if (cgd_file_meta(file, "cgd.options"))
        print_options(cgd_file_meta(file, "cgd.options"));
    return status;
}

static int run_info(const command *cmd, settings *s)
{
    cgd_ctx ctx;
    cgd_options one;
    cgd_file file;
    cgd_status status;
    const char *kind;
    (void)cmd;
    memset(&one, 0, sizeof one);
    one.threads = 1;
    cgd_init(&ctx, &one);
    cgd_use_pictures(&ctx);
    status = cgd_import_open(&ctx, &file, s->words[0]);
    if (status == CGD_OK) {
        kind = cgd_file_meta(&file, "cgd.kind");
        if (kind && strcmp(kind, "state") == 0)
            status = print_state(&ctx, &file, s->size);
        else if (!print_packed(&file))
            status = print_net(&ctx, &file, "", s->size);
        cgd_file_close(&file);
    }
    if (status != CGD_OK) fail_status(&ctx, status);
    cgd_free(&ctx);
    return status == CGD_OK ? 0 : STATUS_FAILED;
}

#endif
