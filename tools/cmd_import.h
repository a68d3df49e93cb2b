/* cgd import: a net out of a PyTorch or safetensors file, or what is in it.
 * Included by cgd.c, whose options and messages it shares. */
#ifndef CMD_IMPORT_H
#define CMD_IMPORT_H

/* "  model.1.weight  F32  64 x 3 x 7 x 7" */
static void print_tensor(const cgd_file_tensor *t)
{
    char name[256];
    size_t i;
    printf("  %-48s %-5s", cgd_plain(name, sizeof name, t->name),
           t->dtype_name);
    for (i = 0; i < t->rank; i++)
        printf("%s%lu", i ? " x " : " ", (unsigned long)t->shape[i]);
    printf("%s\n", t->rank ? "" : " 1 value");
}

/* "key netG: generator, 9 blocks, 64 wide", or why it is none. */
static void print_found(const cgd_ctx *ctx, const cgd_found *found)
{
    char key[CGD_PREFIX_ROOM];
    phrase blocks;
    int n = (int)strlen(cgd_plain(key, sizeof key, found->prefix));
    if (n > 0) printf("key %.*s: ", n - 1, key);
    else printf("the file itself: ");
    if (found->status != CGD_OK)
        printf("no net: %s\n", cgd_message(ctx, found->status));
    else if (found->is_generator)
        printf("generator, %s, %d wide\n",
               in_number(&blocks, (unsigned long)found->generator.blocks,
                         "block"), found->generator.width);
    else
        printf("discriminator (%s), %d wide\n",
               word_for(disc_words, found->discriminator.kind),
               found->discriminator.width);
}

/* All tensors, by name, then the nets that they make. */
static void print_contents(const cgd_ctx *ctx, const cgd_file *file)
{
    cgd_found found;
    size_t at = 0, i;
    phrase tensors;
    printf("%s: %s\n", file->path,
           in_number(&tensors, (unsigned long)file->n_tensors, "tensor"));
    for (i = 0; i < file->n_tensors; i++) print_tensor(file->by_name[i]);
    while (cgd_import_next(file, &at, &found)) print_found(ctx, &found);
}

static cgd_status import_model(cgd_ctx *ctx, const cgd_file *file,
                               const settings *s)
{
    cgd_net net;
    cgd_status status = cgd_import_net(ctx, &net, file, &s->from);
    if (status != CGD_OK) return status;
    status = cgd_net_save(&net, NULL, s->out);
    if (status == CGD_OK) {
        print_net_kind(&net);
        printf("%s\n", s->out);
    }
    cgd_net_free(&net);
    return status;
}

static int run_import(const command *cmd, settings *s)
{
    source from;
    cgd_ctx ctx;
    cgd_file file;
    live_line line;
    cgd_status status;
    int bad;
    from.cmd = cmd;
    from.file = NULL;
    if (!s->out && !s->list)
        return fail_usage(&from, "-o MODEL is missing: the file to write "
                          "(or --list, to see what there is)");
    if (keep_input(s->words[0], s->out)) return STATUS_FAILED;
    s->threads = 1;
    bad = open_context(&ctx, s, &line);
    if (bad) return bad;
    status = cgd_import_open(&ctx, &file, s->words[0]);
    if (status == CGD_OK) {
        if (s->list) print_contents(&ctx, &file);
        if (s->out) status = import_model(&ctx, &file, s);
        cgd_file_close(&file);
    }
    if (status != CGD_OK) bad = fail_status(&ctx, status);
    cgd_free(&ctx);
    return bad;
}

#endif
