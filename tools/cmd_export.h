/* cgd export: a generator in the formats of other programs. Part of
 * tools/cgd.c, which includes it after [translate]. */

/* The pictures of --calibrate as tensors, for cgd_net_freeze. */
typedef struct samples {
    cgd_tensor *x;
    size_t count;
} samples;

static void free_samples(samples *s)
{
    size_t i;
    for (i = 0; i < s->count; i++) free(s->x[i].data);
    free(s->x);
}

/* Add a picture, made square if there is a --size, else as `translate` would
 * show it to the net. */
static cgd_status add_sample(cgd_ctx *ctx, samples *to, const settings *s,
                             const char *path, const cgd_net *net)
{
    cgd_image picture, fit;
    cgd_tensor *x = to->x + to->count;
    cgd_status status = cgd_image_load_deep(ctx, &picture, path,
                                            net->layers[0].in_c);
    if (status != CGD_OK) return status;
    status = cgd_image_resize(ctx, &fit, &picture,
                 s->size ? s->size : picture.w,
                 s->height ? s->height : s->size ? s->size : picture.h,
                 CGD_BICUBIC);
    cgd_image_free(ctx, &picture);
    if (status != CGD_OK) return status;
    *x = cgd_tensor_view(1, suitable(fit.h), suitable(fit.w), fit.c, NULL);
    x->data = (float *)malloc(cgd_tensor_size(x) * sizeof(float));
    if (x->data) {
        cgd_tensor_from_image(x, 0, &fit, &net->generator.range[0]);
        to->count++;
    } else {
        status = CGD_ERR_MEMORY;
    }
    cgd_image_free(ctx, &fit);
    return status;
}

/* --count pictures, spread evenly over the folder; in place of a broken one
 * comes the next. */
static int read_samples(cgd_ctx *ctx, samples *to, const settings *s,
                        const cgd_net *net)
{
    cgd_listing list;
    cgd_status status = cgd_list_pictures(ctx, &list, s->calibrate,
                                          s->recurse);
    size_t n, i;
    int bad = 0;
    if (status != CGD_OK) return fail_status(ctx, status);
    n = list.count < s->count ? list.count : s->count;
    to->x = (cgd_tensor *)calloc(n, sizeof *to->x);
    if (!to->x) status = CGD_ERR_MEMORY;
    for (i = 0; i < list.count && to->count < n && status == CGD_OK; i++) {
        if (i < to->count * list.count / n) continue;
        status = add_sample(ctx, to, s, list.paths[i], net);
        if (skip_picture(ctx, status)) status = CGD_OK;
    }
    if (status != CGD_OK) bad = fail_status(ctx, status);
    else if (to->count == 0) bad = fail_all_skipped(ctx, s->calibrate, i);
    cgd_listing_free(ctx, &list);
    return bad;
}

/* Replace the net by one without norms. */
static int fold_net(cgd_ctx *ctx, cgd_net *net, const settings *s)
{
    cgd_net frozen, folded;
    cgd_status status;
    samples from;
    int bad = 0;
    memset(&from, 0, sizeof from);
    memset(&frozen, 0, sizeof frozen);
    if (s->calibrate) bad = read_samples(ctx, &from, s, net);
    else net->image_stats = 0;       /* a batch norm's own statistics, then  */
    if (!bad) {
        status = cgd_net_freeze(ctx, &frozen, net, from.x, from.count);
        if (status == CGD_ERR_ARGUMENT && !s->calibrate)
            bad = fail("%s; name some with --calibrate DIR",
                       cgd_message(ctx, status));
        else if (status == CGD_OK)
            status = cgd_net_fold(ctx, &folded, &frozen, NULL);
        if (!bad && status != CGD_OK) bad = fail_status(ctx, status);
    }
    if (!bad) {
        cgd_net_free(net);
        *net = folded;
    }
    cgd_net_free(&frozen);
    free_samples(&from);
    return bad;
}

/* Say what was written; the size of what is no file is not known. */
static int exported(cgd_ctx *ctx, cgd_status status, const char *path,
                    const char *what)
{
    phrase p;
    FILE *f;
    if (status != CGD_OK) return fail_status(ctx, status);
    f = is_file(path) ? cgd_fopen(path, "rb") : NULL;
    printf("%s: %s", path, what);
    if (f && fseek(f, 0, SEEK_END) == 0)
        printf(", %s", in_bytes(&p, (size_t)ftell(f)));
    printf("\n");
    if (f) fclose(f);
    return 0;
}

/* NAME.bin of NAME.h; the caller frees it. NULL without memory. */
static char *bin_beside(const char *header)
{
    size_t n = strlen(header);
    char *path = (char *)malloc(n + 5);
    if (!path) return NULL;
    if (n > 2 && strcmp(header + n - 2, ".h") == 0) n -= 2;
    memcpy(path, header, n);
    strcpy(path + n, ".bin");
    return path;
}

/* No output is the model itself, and no two are one file. */
static int check_exports(const settings *s, const char *bin)
{
    const char *out[5];
    int i, k;
    out[0] = s->safetensors;
    out[1] = s->pth;
    out[2] = s->onnx;
    out[3] = s->c_header;
    out[4] = bin;
    for (i = 0; i < 5; i++) {
        if (keep_input(s->words[0], out[i])
            || keep_pictures(s->calibrate, out[i])) return STATUS_FAILED;
        for (k = 0; k < i && out[i]; k++)
            if (out[k] && strcmp(out[i], out[k]) == 0)
                return fail("two outputs are to be written to %s", out[i]);
    }
    return 0;
}

static int write_exports(cgd_ctx *ctx, const cgd_net *net, const settings *s,
                         const char *bin)
{
    int bad = 0;
    if (s->safetensors)
        bad = exported(ctx, s->describe
                       ? cgd_export_described(net, s->dtype, s->safetensors)
                       : cgd_export_safetensors(net, s->dtype, s->safetensors),
                       s->safetensors, "safetensors");
    if (s->pth && !bad)
        bad = exported(ctx, cgd_export_pth(net, s->dtype, s->pth), s->pth,
                       "a PyTorch state dict");
    if (s->onnx && !bad)
        bad = exported(ctx, cgd_export_onnx(net, s->dtype, s->onnx), s->onnx,
                       "ONNX, opset 11");
    if (s->onnx && !bad && net->generator.norm == CGD_NORM_BATCH
        && net->image_stats)
        printf("its batch norms measure each picture, as the net does here "
               "(InstanceNormalization): running statistics want --frozen, "
               "or a model of cgd import --stats running\n");
    if (s->c_header && !bad && !bin && net->state > 1000000)
        fprintf(stderr, "cgd: warning: %s will hold %lu numbers as text, for "
                "which a compiler takes minutes and GBs of memory; --incbin "
                "puts them into a file beside it, and a student is made "
                "smaller by cgd distil or cgd prune\n", s->c_header,
                (unsigned long)net->state);
    if (s->c_header && !bad)
        bad = exported(ctx, bin
                       ? cgd_export_c_incbin(net, s->c_header, bin)
                       : cgd_export_c(net, s->c_header), s->c_header,
                       "a C header");
    if (bin && !bad)
        bad = exported(ctx, CGD_OK, bin, "its numbers, float32");
    return bad;
}

static int run_export(const command *cmd, settings *s)
{
    source from;
    cgd_ctx ctx;
    cgd_model model;
    live_line line;
    char *bin = NULL;
    int bad;
    from.cmd = cmd;
    from.file = NULL;
    if (!s->safetensors && !s->pth && !s->onnx && !s->c_header)
        return fail_usage(&from, "nothing to write: name a file with "
                          "--safetensors, --pth, --onnx or --c");
    if (s->c_header && s->dtype != CGD_F32)
        return fail_usage(&from, "--c writes floats: --dtype is not for it");
    if (s->onnx && s->dtype == CGD_BF16)
        return fail_usage(&from, "--onnx has no bf16 (it came after opset "
                          "11): --dtype may be f32 or f16");
    if (s->describe && !s->safetensors)
        return fail_usage(&from, "--describe is for --safetensors");
    if (s->incbin && !s->c_header)
        return fail_usage(&from, "--incbin is for --c");
    if (s->incbin) bin = bin_beside(s->c_header);
    if (s->incbin && !bin) return fail("out of memory");
    bad = check_exports(s, bin);
    if (!bad) bad = open_context(&ctx, s, &line);
    if (bad) {
        free(bin);
        return bad;
    }
    bad = load_model(&ctx, &model, s->words[0], s->net);
    if (!bad) {
        print_range(stdout, model.net.generator.range, "in", "out");
        if (s->frozen || s->calibrate) bad = fold_net(&ctx, &model.net, s);
        if (!bad) bad = write_exports(&ctx, &model.net, s, bin);
        cgd_model_free(&model);
    }
    cgd_free(&ctx);
    free(bin);
    return bad;
}
