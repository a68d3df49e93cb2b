/* cmd_translate.h: `cgd translate`, pictures through a model; part of
 * tools/cgd.c */

#ifndef CMD_TRANSLATE_H
#define CMD_TRANSLATE_H

/* A translation of pictures, one after the other. */
typedef struct translation {
    settings *s;
    cgd_ctx ctx;
    live_line line;
    cgd_model model;
    int to_folder;
    int dropped, shallow;            /* said already                         */
    int follow;                      /* results have the type of the input   */
    size_t done, failed;
    double seconds;                  /* in the net alone                     */
} translation;

/* What a path is called inside a folder that it was found in. */
static const char *name_in_folder(const char *path, const char *folder)
{
    path += strlen(folder);
    while (*path == '/') path++;
    return path;
}

/* Where the translation of a picture of this name goes; 0 if the path is too
 * long. */
static int name_output(const translation *t, char out[CGD_PATH_ROOM],
                       const char *name)
{
    const char *ending = t->s->raw ? ".f32" : t->s->npy ? ".npy" : "";
    char *dot;
    if (!t->to_folder) {
        if (strlen(t->s->out) >= CGD_PATH_ROOM) return 0;
        strcpy(out, t->s->out);
        return 1;
    }
    if (!cgd_path_join(out, t->s->out, name)
        || strlen(out) + strlen(ending) >= CGD_PATH_ROOM) return 0;
    dot = (char *)strrchr(cgd_path_name(out), '.');
    if (!t->s->raw && dot && strcmp(dot, ".safetensors") == 0) ending = ".npy";
    if (strcmp(ending, ".npy") == 0 && dot) *dot = 0;
    strcat(out, ending);
    return 1;
}

/* What the numbers of a picture are in words, once. */
static void warn_once(translation *t, int *said, const char *format,
                      const char *path, const cgd_range *r)
{
    char text[CGD_PATH_ROOM + 200];
    if (*said) return;
    *said = 1;
    cgd_format(text, sizeof text, format, path, (double)r->lo, (double)r->hi);
    on_warning(&t->line, text);
}

/* Does the file hold what the picture holds? If not, make bytes of it. */
static cgd_status fit_file(translation *t, cgd_image *picture,
                           const char *out)
{
    cgd_range r = t->model.net.generator.range[1];
    if (picture->data || picture->c > 4 || cgd__has_extension(out, ".npy")
        || (cgd__has_extension(out, ".png") && picture->white > 0))
        return CGD_OK;
    if (r.lo == r.hi) r.hi = picture->white;
    warn_once(t, &t->dropped, "%s: values from %f to %f become 8 bits, 0 to "
              "255; .png keeps 16 bits, .npy all", out, &r);
    return cgd_image_to_bytes(&t->ctx, picture, &r);
}

/* The alpha of the picture at `in` becomes that of its translation, unless it
 * has none, or one that the net has seen as a channel. */
static cgd_status keep_alpha(translation *t, cgd_image *picture,
                             const char *in, const char *out)
{
    size_t i, k, n = picture->w * picture->h, c = picture->c;
    int clear = 0;
    cgd_image from, to;
    cgd_status status = cgd_image_load_deep(&t->ctx, &from, in, 4);
    if (status == CGD_ERR_SHAPE || c > 3) return CGD_OK;
    if (status != CGD_OK) return status;
    if (from.w != picture->w || from.h != picture->h)
        status = cgd_fail(&t->ctx, CGD_ERR_SHAPE, "%s: the translation has "
                          "another size than the alpha to keep", in);
    for (i = 0; i < n && !clear && status == CGD_OK; i++)
        clear = from.data ? from.data[4 * i + 3] < 255
                          : from.values[4 * i + 3] < from.white;
    if (clear && status == CGD_OK && !cgd__has_extension(out, ".png")
        && !cgd__has_extension(out, ".bmp")
        && !cgd__has_extension(out, ".npy"))
        status = cgd_fail(&t->ctx, CGD_ERR_ARGUMENT, "%s: a JPEG keeps no "
                          "transparency; write .png for --alpha keep", out);
    else if (clear && status == CGD_OK)
        status = cgd_image_init_white(&t->ctx, &to, picture->w, picture->h, 4,
                                      picture->white);
    for (i = 0; i < n && clear && status == CGD_OK; i++)
        for (k = 0; k < 4; k++) {
            size_t at = i * c + (k < c ? k : 0);
            float a = k < 3 ? 0 : from.data ? (float)from.data[4 * i + 3]
                                            : from.values[4 * i + 3];
            a = a * to.white / from.white + 0.5f;
            if (to.data) to.data[4 * i + k] = k < 3 ? picture->data[at]
                                                    : (unsigned char)a;
            else to.values[4 * i + k] = k < 3 ? picture->values[at] : a;
        }
    cgd_image_free(&t->ctx, &from);
    if (!clear || status != CGD_OK) return status;
    cgd_image_free(&t->ctx, picture);
    *picture = to;
    return CGD_OK;
}

static cgd_status translate_picture(translation *t, const char *in,
                                    const char *out)
{
    const cgd_generator_config *g = &t->model.net.generator;
    cgd_image from, to;
    double start;
    cgd_status status = cgd_image_load_deep(&t->ctx, &from, in,
                                            (size_t)g->in_channels);
    if (status != CGD_OK) return status;
    if (from.data && g->range[0].hi > 255)
        warn_once(t, &t->shallow, "%s has 8 bits, 0 to 255, where the model "
                  "takes values from %f to %f", in, &g->range[0]);
    if (t->follow) t->model.net.generator.range[1].white = from.white;
    start = seconds_now();
    status = cgd_translate_image(&t->model, &to, &from);
    t->seconds += seconds_now() - start;
    if (status == CGD_OK) status = fit_file(t, &to, out);
    if (status == CGD_OK && t->s->alpha)
        status = keep_alpha(t, &to, in, out);
    if (status == CGD_OK) status = cgd_image_save(&t->ctx, &to, out);
    cgd_image_free(&t->ctx, &to);
    cgd_image_free(&t->ctx, &from);
    return status;
}

/* The side of a tensor that suits a net: a multiple of 4, and 8 at least, to
 * which cgd_translate too repeats the edge. */
static size_t suitable(size_t side)
{
    return side < 8 ? 8 : (side + 3) / 4 * 4;
}

/* Apply the net to a picture and write the values of its output. */
static cgd_status write_raw(translation *t, const cgd_image *picture,
                            cgd_output *out)
{
    size_t w = picture->w, h = picture->h;
    cgd_tensor x = cgd_tensor_view(1, suitable(h), suitable(w), picture->c,
                                   NULL);
    cgd_pass pass;
    cgd_status status = cgd_pass_init(&pass, &t->model.net, 1, x.h, x.w,
                                      CGD_INFER, NULL, 0, NULL);
    size_t i;
    if (status != CGD_OK) return status;
    x.data = (float *)malloc(cgd_tensor_size(&x) * sizeof(float));
    if (!x.data) status = CGD_ERR_MEMORY;
    if (status == CGD_OK) {
        cgd_tensor_from_image(&x, 0, picture,
                              &t->model.net.generator.range[0]);
        status = cgd_pass_forward(&pass, &x);
    }
    for (i = 0; i < h && status == CGD_OK; i++)
        cgd_output_write(out, pass.y.data + i * pass.y.w * pass.y.c,
                         w * pass.y.c * sizeof(float));
    free(x.data);
    cgd_pass_free(&pass);
    return status;
}

static cgd_status translate_raw(translation *t, const char *in,
                                const char *out)
{
    cgd_image picture;
    cgd_output to;
    cgd_status status = cgd_image_load_deep(&t->ctx, &picture, in,
        (size_t)t->model.net.generator.in_channels);
    if (status != CGD_OK) return status;
    status = cgd_output_open(&t->ctx, &to, out);
    if (status == CGD_OK) {
        status = write_raw(t, &picture, &to);
        if (to.status == CGD_OK) to.status = status;
        status = cgd_output_close(&to);
    }
    cgd_image_free(&t->ctx, &picture);
    return status;
}

/* The folder of a file, if it has one inside OUT. */
static int make_its_folder(cgd_ctx *ctx, const char *out, const char *name)
{
    char folder[CGD_PATH_ROOM];
    cgd_status status;
    if (!strchr(name, '/')) return 0;
    strcpy(folder, out);
    *strrchr(folder, '/') = 0;
    status = cgd_make_folder(ctx, folder);
    return status == CGD_OK ? 0 : fail_status(ctx, status);
}

static void translate_one(translation *t, const char *in, const char *name,
                          size_t of)
{
    char out[CGD_PATH_ROOM], text[60];
    cgd_status status;
    double now = seconds_now();
    if (of > 1 && t->line.terminal && live_due(&t->line, now)) {
        put_text(text, sizeof text, "picture %lu/%lu",
                (unsigned long)(t->done + t->failed + 1), (unsigned long)of);
        live_show(&t->line, text, now);
    }
    t->failed++;                                     /* until it is not      */
    if (!name_output(t, out, name)) {
        fail("%s: the path of its translation is too long", in);
        return;
    }
    if (keep_input(in, out) || keep_input(t->s->words[0], out)) return;
    if (t->to_folder && make_its_folder(&t->ctx, out, name)) return;
    status = t->s->raw ? translate_raw(t, in, out)
                       : translate_picture(t, in, out);
    if (status == CGD_OK) {
        t->failed--;
        t->done++;
    } else {
        live_end(&t->line);
        fail_status(&t->ctx, status);
    }
}

/* The pictures that the arguments name: files, and what is in folders. */
typedef struct inputs {
    const char **paths, **names;     /* names: in the folder OUT             */
    size_t count, room;
    cgd_listing *listings;           /* one for each argument                */
    int n_listings;
} inputs;

static int grow_list(const char ***list, size_t room)
{
    const char **more = (const char **)realloc((void *)*list,
                                               room * sizeof *more);
    if (more) *list = more;
    return more != NULL;
}

static cgd_status add_input(inputs *in, const char *path, const char *name)
{
    if (in->count == in->room) {
        size_t room = 2 * in->room + 64;
        if (!grow_list(&in->paths, room) || !grow_list(&in->names, room))
            return CGD_ERR_MEMORY;
        in->room = room;
    }
    in->paths[in->count] = path;
    in->names[in->count++] = name;
    return CGD_OK;
}

static cgd_status collect_inputs(cgd_ctx *ctx, inputs *in, char **words,
                                 int n, int recurse)
{
    cgd_status status = CGD_OK;
    size_t k;
    int i;
    memset(in, 0, sizeof *in);
    in->listings = (cgd_listing *)calloc((size_t)n, sizeof *in->listings);
    if (!in->listings) return CGD_ERR_MEMORY;
    in->n_listings = n;
    for (i = 0; i < n && status == CGD_OK; i++) {
        cgd_listing *l = &in->listings[i];
        if (!is_folder(words[i])) {
            status = add_input(in, words[i], cgd_path_name(words[i]));
            continue;
        }
        status = cgd_list_pictures(ctx, l, words[i], recurse);
        for (k = 0; status == CGD_OK && k < l->count; k++)
            status = add_input(in, l->paths[k],
                               name_in_folder(l->paths[k], words[i]));
    }
    return status;
}

static void free_inputs(cgd_ctx *ctx, inputs *in)
{
    int i;
    for (i = 0; i < in->n_listings; i++)
        cgd_listing_free(ctx, &in->listings[i]);
    free(in->listings);
    free((void *)in->paths);
    free((void *)in->names);
}

/* A picture and the name of its translation. */
typedef struct named { const char *in; char *out; } named;

/* By the name of the output, as folders have it: Windows and macOS know no
 * case. */
static int order_outputs(const void *a, const void *b)
{
    const named *x = (const named *)a, *y = (const named *)b;
#ifdef _WIN32
    int order = _stricmp(x->out, y->out);
#elif defined(__APPLE__)
    int order = strcasecmp(x->out, y->out);
#else
    int order = strcmp(x->out, y->out);
#endif
    return order ? order : strcmp(x->in, y->in);
}

static int same_output(const named *x, const named *y)
{
    named one = *x;
    one.in = y->in;
    return order_outputs(&one, y) == 0;
}

static int name_outputs(const translation *t, const inputs *in, named *all)
{
    char out[CGD_PATH_ROOM];
    size_t i;
    for (i = 0; i < in->count; i++) {
        if (!name_output(t, out, in->names[i]))
            return fail("%s: the path of its translation is too long",
                        in->paths[i]);
        all[i].in = in->paths[i];
        all[i].out = (char *)malloc(strlen(out) + 1);
        if (!all[i].out) return fail("out of memory");
        strcpy(all[i].out, out);
    }
    return 0;
}

/* In one folder, every translation needs a name of its own. */
static int check_names(const translation *t, const inputs *in)
{
    named *all = (named *)calloc(in->count + 1, sizeof *all);
    size_t i;
    int bad = all ? name_outputs(t, in, all) : fail("out of memory");
    if (!bad) qsort(all, in->count, sizeof *all, order_outputs);
    for (i = 1; i < in->count && !bad; i++)
        if (same_output(&all[i - 1], &all[i]))
            bad = fail("%s and %s would both become %s; translate them one "
                       "by one", all[i - 1].in, all[i].in, all[i].out);
    for (i = 0; all && i < in->count; i++) free(all[i].out);
    free(all);
    return bad;
}

/* The least and largest number in all pictures; what cannot be read will be
 * said when it is its turn. */
static int measure_range(translation *t, const inputs *in, cgd_range *range)
{
    cgd_image picture;
    size_t i;
    range->lo = FLT_MAX;
    range->hi = -FLT_MAX;
    for (i = 0; i < in->count; i++) {
        if (cgd_image_load_deep(&t->ctx, &picture, in->paths[i],
                (size_t)t->model.net.generator.in_channels) != CGD_OK) continue;
        cgd_range_widen(range, &picture);
        cgd_image_free(&t->ctx, &picture);
    }
    return range->lo < range->hi ? 0
         : fail("there is no range to measure: all values are the same");
}

/* Where reports go: not among the pixels, where OUT is a device or a pipe. */
static FILE *report_of(const translation *t)
{
    return cgd_path_kind(t->s->out) == CGD_PATH_DEVICE ? stderr : stdout;
}

/* The range of --range in place of the model's own; say what holds. */
static int settle_range(translation *t, const inputs *in)
{
    cgd_data_config *d = &t->s->run.data;
    cgd_generator_config *g = &t->model.net.generator;
    int i;
    if (d->measure && measure_range(t, in, &d->range[0])) return STATUS_FAILED;
    if (d->measure && g->range[1].lo == g->range[1].hi)
        d->range[1] = d->range[0];
    for (i = 0; i < 2; i++) {
        if (d->range[i].lo == d->range[i].hi) continue;
        if (i == 1 && g->range[1].lo == g->range[1].hi)
            t->follow = g->range[1].white <= 0;
        g->range[i].lo = d->range[i].lo;
        g->range[i].hi = d->range[i].hi;
    }
    print_range(report_of(t), g->range, "in", "out");
    return 0;
}

#define PACKED_WEIGHTS ((size_t)96 << 20)  /* bytes, at most */

static int translate_all(translation *t, const inputs *in)
{
    size_t i;
    phrase p;
    int bad = 0;
    const char *out = t->s->out;
    t->to_folder = in->n_listings > 1 || is_folder(t->s->words[1])
        || is_folder(out) || !*cgd_path_name(out);
    if (t->s->npy && !t->to_folder)
        return fail("--npy needs a folder for --out; of one picture --out "
                    "may be named .npy itself");
    bad = settle_range(t, in);
    if (t->to_folder && !bad) bad = check_names(t, in);
    if (t->to_folder && !bad && cgd_make_folder(&t->ctx, out) != CGD_OK)
        bad = fail_status(&t->ctx, CGD_ERR_IO);
    if (bad) return bad;
    /* Only many pictures repay it; without the memory it is as right. */
    if (in->count >= 4) cgd_net_pack(&t->model.net, PACKED_WEIGHTS);
    for (i = 0; i < in->count; i++)
        translate_one(t, in->paths[i], in->names[i], in->count);
    live_end(&t->line);
    if (t->done > 0 && !t->s->raw)
        fprintf(report_of(t), "%s translated to %s, %.1f ms each\n",
                in_number(&p, (unsigned long)t->done, "picture"), out,
                1000 * t->seconds / (double)t->done);
    if (t->failed == 0) return 0;
    if (in->count > 1)
        fail("not translated: %lu of %lu pictures",
             (unsigned long)t->failed, (unsigned long)in->count);
    return STATUS_FAILED;
}

static int run_translate(const command *cmd, settings *s)
{
    translation t;
    inputs in;
    source from;
    cgd_status status;
    int bad;
    from.cmd = cmd;
    from.file = NULL;
    if (!s->out)
        return fail_usage(&from, "-o OUT is missing: where the translation "
                          "goes");
    memset(&t, 0, sizeof t);
    t.s = s;
    bad = open_context(&t.ctx, s, &t.line);
    if (bad) return bad;
    memset(&in, 0, sizeof in);
    bad = load_model(&t.ctx, &t.model, s->words[0], s->net);
    if (!bad) {
        status = collect_inputs(&t.ctx, &in, s->words + 1, s->n_words - 1,
                                s->recurse);
        bad = status == CGD_OK ? translate_all(&t, &in)
                               : fail_status(&t.ctx, status);
        free_inputs(&t.ctx, &in);
        cgd_model_free(&t.model);
    }
    cgd_free(&t.ctx);
    return bad;
}

#endif
