/* cmd_eval.h: cgd eval, which judges translations (part of tools/cgd.c)
 *
 * Every set of pictures that can be judged is an answer: the input as it is,
 * the mean picture, the teacher's translations, the student's, or a folder of
 * outputs. An answer is compared with the truth and with the teacher picture
 * by picture, and with real pictures as a set. The figures are those of
 * cgd_judge.h; this file collects pictures, and writes a table, a CSV file
 * and a page.
 *
 * Contents: [pictures] [answers] [figures] [table] [csv] [page] [eval]      */

/* ======================================================================== */
/* [pictures] Folders, and what they have in common                         */
/* ======================================================================== */

/* More are thinned out evenly: KID compares every picture with every other. */
enum { EVAL_MOST = 1000 };

/* Pictures as RGB. set has the same ones, and none where sizes differ. */
typedef struct eval_gallery {
    cgd_image *images;
    const unsigned char **pixels;
    size_t count;
    cgd_set set;
} eval_gallery;

static void eval_gallery_free(cgd_ctx *ctx, eval_gallery *g)
{
    size_t i;
    for (i = 0; g->images && i < g->count; i++)
        cgd_image_free(ctx, &g->images[i]);
    free(g->images);
    free((void *)g->pixels);
    memset(g, 0, sizeof *g);
}

/* Room for so many pictures, which are empty at first. */
static int eval_gallery_init(eval_gallery *g, size_t count)
{
    memset(g, 0, sizeof *g);
    g->images = (cgd_image *)calloc(count + 1, sizeof *g->images);
    g->pixels = (const unsigned char **)calloc(count + 1, sizeof *g->pixels);
    g->count = count;
    return g->images && g->pixels ? 0 : fail("out of memory");
}

/* All pictures are there: they are a set, if they have one size. */
static void eval_gallery_close(eval_gallery *g)
{
    size_t i;
    g->set.pictures = g->pixels;
    g->set.c = 3;
    g->set.count = g->count;
    if (g->count > 0) g->set.w = g->images[0].w;
    if (g->count > 0) g->set.h = g->images[0].h;
    for (i = 0; i < g->count; i++) {
        g->pixels[i] = g->images[i].data;
        if (g->images[i].w != g->set.w || g->images[i].h != g->set.h)
            g->set.count = 0;
    }
}

/* A folder's pictures by the names that pair them: without the ending. */
typedef struct eval_name { const char *path, *stem; size_t length; } eval_name;

typedef struct eval_folder {
    const char *path, *option;       /* option: for messages                 */
    cgd_listing listing;
    eval_name *names;                /* sorted; the first `count` are in use */
    size_t count;
    int is_set;                      /* its broken pictures are skipped      */
} eval_folder;

static int eval_compare_names(const void *a, const void *b)
{
    const eval_name *x = (const eval_name *)a, *y = (const eval_name *)b;
    size_t n = x->length < y->length ? x->length : y->length;
    int order = memcmp(x->stem, y->stem, n);
    return order ? order : x->length < y->length ? -1 : x->length > y->length;
}

static void eval_folder_close(cgd_ctx *ctx, eval_folder *f)
{
    cgd_listing_free(ctx, &f->listing);
    free(f->names);
}

/* List a folder, sorted by stem. */
static int eval_folder_open(cgd_ctx *ctx, eval_folder *f, int recurse)
{
    cgd_status status;
    size_t i;
    if (!f->path) return 0;
    status = cgd_list_pictures(ctx, &f->listing, f->path, recurse);
    if (status != CGD_OK) return fail_status(ctx, status);
    f->count = f->listing.count;
    f->names = (eval_name *)calloc(f->count + 1, sizeof *f->names);
    if (!f->names) return fail("out of memory");
    for (i = 0; i < f->count; i++) {
        eval_name *n = &f->names[i];
        const char *dot;
        n->path = f->listing.paths[i];
        n->stem = name_in_folder(n->path, f->path);
        dot = strrchr(n->stem, '.');
        n->length = dot ? (size_t)(dot - n->stem) : strlen(n->stem);
    }
    qsort(f->names, f->count, sizeof *f->names, eval_compare_names);
    if (f->count == 0) return fail("%s holds no picture", f->path);
    return 0;
}

/* Leave every k-th name, so that at most EVAL_MOST remain. */
static void eval_thin(eval_folder *f)
{
    size_t i;
    if (f->count <= EVAL_MOST) return;
    fprintf(stderr, "cgd: warning: of %lu pictures in %s %d, evenly spread, "
            "are taken\n", (unsigned long)f->count, f->path, EVAL_MOST);
    for (i = 0; i < EVAL_MOST; i++)
        f->names[i] = f->names[i * f->count / EVAL_MOST];
    f->count = EVAL_MOST;
}

/* Keep the pictures that b has too, under the same stem. */
static int eval_keep_common(eval_folder *a, const eval_folder *b)
{
    size_t i, j = 0, kept = 0;
    int order = 1;
    for (i = 0; i < a->count; i++) {
        while (j < b->count
               && (order = eval_compare_names(&a->names[i], &b->names[j])) > 0)
            j++;
        if (j < b->count && order == 0) a->names[kept++] = a->names[i];
    }
    if (kept == 0)
        return fail("no picture of %s has its counterpart in %s: pairs have "
                    "one name", a->path, b->path);
    if (kept < a->count)
        fprintf(stderr, "cgd: warning: %lu of %lu pictures of %s have no "
                "counterpart in %s and are left out\n",
                (unsigned long)(a->count - kept), (unsigned long)a->count,
                a->path, b->path);
    a->count = kept;
    return 0;
}

static int eval_check_single(const eval_folder *f)
{
    size_t i;
    for (i = 1; i < f->count; i++)
        if (eval_compare_names(&f->names[i - 1], &f->names[i]) == 0)
            return fail("%s and %s would be one picture of a pair; move one "
                        "away", f->names[i - 1].path, f->names[i].path);
    return 0;
}

/* A picture as it is to be judged or translated: of --size, if there is one,
 * with all its bits. */
static cgd_status eval_picture(cgd_ctx *ctx, cgd_image *out,
                               const settings *s, const char *path,
                               size_t channels)
{
    cgd_image whole;
    cgd_status status = cgd_image_load_deep(ctx, &whole, path, channels);
    if (status != CGD_OK || s->size == 0) {
        *out = whole;
        return status;
    }
    status = cgd_image_resize(ctx, out, &whole, s->size, s->height ? s->height
                                                     : s->size, CGD_BICUBIC);
    cgd_image_free(ctx, &whole);
    return status;
}

/* Judged are 8 bits: the range becomes 0 to 255. */
static cgd_status eval_bytes(cgd_ctx *ctx, cgd_image *picture,
                             const cgd_range *range, const char *path)
{
    static int said;
    cgd_range r = *range;
    if (picture->data) return CGD_OK;
    if (r.lo == r.hi) r.hi = picture->white;
    if (!said++)
        fprintf(stderr, "cgd: warning: %s and the others have more than 8 "
                "bits a sample; they are judged as 8, from %g to %g\n", path,
                (double)r.lo, (double)r.hi);
    return cgd_image_to_bytes(ctx, picture, &r);
}

static int eval_load(cgd_ctx *ctx, eval_gallery *g, const settings *s,
                     const eval_folder *f, const cgd_range *range)
{
    size_t i, n = 0;
    int bad = eval_gallery_init(g, f->count);
    for (i = 0; i < f->count && !bad; i++) {
        cgd_status status = eval_picture(ctx, &g->images[n], s,
                                         f->names[i].path, 3);
        if (f->is_set && skip_picture(ctx, status)) continue;
        if (status == CGD_OK)
            status = eval_bytes(ctx, &g->images[n], range, f->names[i].path);
        if (status != CGD_OK) bad = fail_status(ctx, status);
        n++;
    }
    if (!bad && n == 0) bad = fail_all_skipped(ctx, f->path, i);
    if (!bad) g->count = n;
    if (!bad) eval_gallery_close(g);
    return bad;
}

/* ======================================================================== */
/* [answers] What is judged                                                 */
/* ======================================================================== */

enum { TO_TRUTH, TO_TEACHER, TO_REAL, TARGETS };
enum { ANSWER_INPUT, ANSWER_MEAN, ANSWER_TEACHER, ANSWER_MODEL,
       ANSWER_FOLDER, ANSWERS };
enum { METRICS = 4 };                /* of each target                       */

typedef struct eval_answer {
    const char *name;                /* in the CSV file                      */
    const char *title;
    eval_gallery own;
    const eval_gallery *pictures;    /* NULL: there is no such answer        */
    cgd_estimate figures[TARGETS][METRICS];
    double *psnr[2];                 /* of each picture; truth and teacher   */
    cgd_alarm alarms[CGD_ALARMS];
    double params, macs;             /* nets                                 */
} eval_answer;

enum { FOLDER_INPUT, FOLDER_TRUTH, FOLDER_OUTPUT, PAIRED };

typedef struct evaluation {
    const settings *s;
    cgd_ctx ctx;
    cgd_status encoded;            /* of the pictures in the page         */
    live_line line;
    cgd_bootstrap bootstrap;
    eval_folder folders[PAIRED], real_folder, train_folder;
    eval_gallery galleries[PAIRED], real;
    eval_answer answers[ANSWERS];
    cgd_distances floor;             /* real against real                    */
    cgd_range range[2];              /* of the inputs, of all the others     */
    int judged;                      /* the answer that it is all about      */
    size_t count;                    /* pictures of an answer                */
} evaluation;

static void eval_say(evaluation *e, const char *what)
{
    char text[100];
    double now = seconds_now();
    if (!e->line.terminal) return;
    put_text(text, sizeof text, "%s ...", what);
    live_show(&e->line, text, now);
}

/* Translate all inputs by a model file. */
static int eval_translate(evaluation *e, eval_answer *a, const char *path)
{
    const eval_folder *f = &e->folders[FOLDER_INPUT];
    cgd_model model;
    cgd_image in, out;
    cgd_cost cost;
    cgd_status status = CGD_OK;
    size_t i, p, in_c, out_c;
    int bad = load_model(&e->ctx, &model, path, NULL);
    if (bad) return bad;
    in_c = (size_t)model.net.generator.in_channels;
    out_c = (size_t)model.net.generator.out_channels;
    for (i = 0; i < 2; i++)
        if (e->range[i].lo < e->range[i].hi)
            model.net.generator.range[i] = e->range[i];
    if ((in_c != 1 && in_c != 3) || (out_c != 1 && out_c != 3))
        bad = fail("%s translates %d channels to %d, which are no pictures",
                   path, (int)in_c, (int)out_c);
    if (!bad) bad = eval_gallery_init(&a->own, f->count);
    if (f->count >= 4) cgd_net_pack(&model.net, PACKED_WEIGHTS);
    for (i = 0; i < f->count && !bad; i++) {
        memset(&out, 0, sizeof out);
        status = eval_picture(&e->ctx, &in, e->s, f->names[i].path, in_c);
        if (status == CGD_OK)
            status = cgd_translate_image(&model, &out, &in);
        if (status == CGD_OK)
            status = eval_bytes(&e->ctx, &out, &e->range[1],
                                f->names[i].path);
        if (status == CGD_OK)
            status = cgd_image_init(&e->ctx, &a->own.images[i], in.w, in.h,
                                    3);
        if (status == CGD_OK)
            for (p = 0; p < in.w * in.h * 3; p++)
                a->own.images[i].data[p] =
                    out.data[out_c == 3 ? p : p / 3];
        cgd_image_free(&e->ctx, &out);
        cgd_image_free(&e->ctx, &in);
        if (status != CGD_OK) bad = fail_status(&e->ctx, status);
    }
    if (!bad) {
        eval_gallery_close(&a->own);
        a->pictures = &a->own;
        cost = cgd_net_cost(&model.net, a->own.images[0].h,
                            a->own.images[0].w);
        a->params = (double)cost.params;
        a->macs = cost.macs;
    }
    cgd_model_free(&model);
    return bad;
}

/* Always the mean of the training pictures, which are read one by one. */
static int eval_mean_picture(evaluation *e, eval_answer *a)
{
    const eval_gallery *like = e->answers[e->judged].pictures;
    const eval_folder *f = &e->train_folder;
    size_t w = like->images[0].w, h = like->images[0].h, i, p, n = 0;
    double *sums = (double *)calloc(w * h * 3, sizeof *sums);
    cgd_status status = CGD_OK;
    int bad = sums ? eval_gallery_init(&a->own, e->count)
                   : fail("out of memory");
    for (i = 0; i < f->count && !bad; i++) {
        cgd_image image;
        status = eval_picture(&e->ctx, &image, e->s, f->names[i].path, 3);
        if (skip_picture(&e->ctx, status)) continue;
        n++;
        if (status == CGD_OK)
            status = eval_bytes(&e->ctx, &image, &e->range[1],
                                f->names[i].path);
        if (status != CGD_OK) {
            bad = fail_status(&e->ctx, status);
        } else if (image.w != w || image.h != h || like->set.count == 0) {
            bad = fail("%s has not the size of the pictures judged, %lu x "
                       "%lu: bring them to one with --size", f->names[i].path,
                       (unsigned long)w, (unsigned long)h);
        } else {
            for (p = 0; p < w * h * 3; p++) sums[p] += image.data[p];
        }
        cgd_image_free(&e->ctx, &image);
    }
    if (!bad && n == 0) bad = fail_all_skipped(&e->ctx, f->path, i);
    for (i = 0; i < e->count && !bad; i++) {
        status = cgd_image_init(&e->ctx, &a->own.images[i], w, h, 3);
        if (status != CGD_OK) bad = fail_status(&e->ctx, status);
        for (p = 0; p < w * h * 3 && !bad; p++)
            a->own.images[i].data[p] =
                (unsigned char)(sums[p] / (double)n + 0.5);
    }
    free(sums);
    if (bad) return bad;
    eval_gallery_close(&a->own);
    a->pictures = &a->own;
    return 0;
}

/* What the numbers of the pictures mean: what --range says, or the model. */
static int eval_open_range(evaluation *e)
{
    const settings *s = e->s;
    const char *path = s->model ? s->model : s->teacher;
    cgd_model model;
    int i, bad = 0;
    if (path) {
        bad = load_model(&e->ctx, &model, path, NULL);
        if (bad) return bad;
        memcpy(e->range, model.net.generator.range, sizeof e->range);
        cgd_model_free(&model);
    }
    for (i = 0; i < 2; i++)
        if (s->run.data.range[i].lo < s->run.data.range[i].hi)
            e->range[i] = s->run.data.range[i];
    if (s->run.data.measure)
        return fail("--range auto would judge each folder by its own range; "
                    "give LO,HI");
    print_range(stdout, e->range, "in", "out");
    return 0;
}

/* The folders that have to do with each other picture by picture: list them,
 * keep what all have, load. */
static int eval_open_pairs(evaluation *e)
{
    int i, k, bad = 0;
    for (i = 0; i < PAIRED && !bad; i++) {
        bad = eval_folder_open(&e->ctx, &e->folders[i], e->s->recurse);
        if (!bad) bad = eval_check_single(&e->folders[i]);
    }
    for (i = 0; i < PAIRED; i++)
        for (k = 0; k < PAIRED && !bad; k++)
            if (i != k && e->folders[i].path && e->folders[k].path)
                bad = eval_keep_common(&e->folders[i], &e->folders[k]);
    for (i = 0; i < PAIRED && !bad; i++) {
        if (!e->folders[i].path) continue;
        eval_thin(&e->folders[i]);
        e->count = e->folders[i].count;
        bad = eval_load(&e->ctx, &e->galleries[i], e->s, &e->folders[i],
                        &e->range[i != FOLDER_INPUT]);
    }
    return bad;
}

/* Pictures of a pair have one size. */
static int eval_check_sizes(const evaluation *e)
{
    int first = -1, k;
    size_t i;
    for (k = 0; k < PAIRED; k++) {
        if (!e->folders[k].path) continue;
        if (first < 0) first = k;
        for (i = 0; i < e->count; i++) {
            const cgd_image *a = &e->galleries[first].images[i];
            const cgd_image *b = &e->galleries[k].images[i];
            if (a->w != b->w || a->h != b->h)
                return fail("%s has %lu x %lu pixels but %s has %lu x %lu: "
                    "bring both to one with --size",
                    e->folders[first].names[i].path, (unsigned long)a->w,
                    (unsigned long)a->h, e->folders[k].names[i].path,
                    (unsigned long)b->w, (unsigned long)b->h);
        }
    }
    return 0;
}

/* The real pictures: a set of the size of the answers. */
static int eval_open_real(evaluation *e)
{
    const cgd_set *like = &e->galleries[e->folders[FOLDER_INPUT].path
                                        ? FOLDER_INPUT : FOLDER_OUTPUT].set;
    int bad = eval_folder_open(&e->ctx, &e->real_folder, e->s->recurse);
    if (bad || !e->real_folder.path) return bad;
    eval_thin(&e->real_folder);
    bad = eval_load(&e->ctx, &e->real, e->s, &e->real_folder, &e->range[1]);
    if (bad) return bad;
    if (e->real.set.count == 0 || like->count == 0)
        return fail("the pictures of %s have several sizes: sets can be "
                    "compared when all have one: --size",
                    like->count == 0 ? "what is judged" : e->real_folder.path);
    if (e->real.set.w != like->w || e->real.set.h != like->h)
        return fail("the pictures of %s have %lu x %lu pixels, those judged "
            "%lu x %lu: bring them to one with --size", e->real_folder.path,
            (unsigned long)e->real.set.w, (unsigned long)e->real.set.h,
            (unsigned long)like->w, (unsigned long)like->h);
    return 0;
}

static int eval_make_answers(evaluation *e)
{
    static const char *const names[ANSWERS][2] = {
        { "input", "input, copied" }, { "mean", "mean of the training set" },
        { "teacher", "teacher" }, { "student", "student" },
        { "outputs", "outputs" } };
    const settings *s = e->s;
    int i, bad = 0;
    for (i = 0; i < ANSWERS; i++) {
        e->answers[i].name = names[i][0];
        e->answers[i].title = names[i][1];
    }
    if (!s->teacher)
        e->answers[ANSWER_MODEL].name = e->answers[ANSWER_MODEL].title =
            "model";
    if (e->folders[FOLDER_INPUT].path)
        e->answers[ANSWER_INPUT].pictures = &e->galleries[FOLDER_INPUT];
    if (e->folders[FOLDER_OUTPUT].path)
        e->answers[ANSWER_FOLDER].pictures = &e->galleries[FOLDER_OUTPUT];
    if (s->teacher) {
        eval_say(e, "the teacher translates");
        bad = eval_translate(e, &e->answers[ANSWER_TEACHER], s->teacher);
    }
    if (!bad && s->model) {
        eval_say(e, "the model translates");
        bad = eval_translate(e, &e->answers[ANSWER_MODEL], s->model);
    }
    for (i = 0; i < ANSWERS; i++)
        if (e->answers[i].pictures) e->judged = i;
    if (bad || !s->train) return bad;
    bad = eval_folder_open(&e->ctx, &e->train_folder, e->s->recurse);
    return bad ? bad : eval_mean_picture(e, &e->answers[ANSWER_MEAN]);
}

/* ======================================================================== */
/* [figures] Judging an answer                                              */
/* ======================================================================== */

typedef struct eval_metric {
    const char *key, *title, *better;
    int digits;
    const char *tells;
} eval_metric;

static const eval_metric pair_metrics[METRICS] = {
{ "psnr", "PSNR, dB", "higher", 2,
  "Mean squared error, on a logarithmic scale. Tells how near each pixel is; "
  "a blurred average scores well and a sharp picture one pixel off scores "
  "badly, so it ranks copies of a teacher rather than beauty." },
{ "ssim", "SSIM", "higher", 3,
  "Brightness, contrast and structure in windows of 11 pixels. Tells lost "
  "structure and blur better than PSNR; says little about wrong colours in "
  "large areas, nor whether the right thing was drawn." },
{ "ms_ssim", "MS-SSIM", "higher", 3,
  "SSIM over several sizes of the picture. Weighs coarse structure as the eye "
  "does; forgives fine texture that PSNR punishes." },
{ "l1", "L1, grey levels", "lower", 2,
  "Mean absolute difference, 0 to 255. The plainest of all; a blank picture "
  "of the commonest colour may look good by it, so compare with the trivial "
  "answers." }
};
static const eval_metric set_metrics[METRICS] = {
{ "swd", "SWD x 1000", "lower", 1,
  "Sliced Wasserstein distance of patches at several sizes. Tells whether "
  "textures and edges are those of the real pictures; blind to overall colour "
  "and to what is drawn where, and large by chance for few pictures: compare "
  "with the floor." },
{ "kid", "KID, random features", "lower", 3,
  "Distance of feature statistics, unbiased: about 0 for sets of one kind, "
  "and negative by chance. The features are those of a random net, not of a "
  "trained one: it sees colours and textures, and no horses; not comparable "
  "with published KID." },
{ "density", "density", "near 1", 3,
  "In how many real pictures' neighbourhoods an output lies, against what is "
  "normal. Low: outputs look like nothing real; well above 1: they crowd "
  "where real pictures are common." },
{ "coverage", "coverage", "higher", 3,
  "Share of the real pictures that have an output near them. Low: whole kinds "
  "of real pictures are never made; with fewer outputs than real pictures it "
  "cannot reach 1." }
};

/* Decimals worth showing: fewer of a large value. */
static int eval_digits(const eval_metric *m, double v)
{
    int digits = m->digits;
    for (v = v < 0 ? -v : v; v >= 100 && digits > 0; v /= 10) digits--;
    return digits;
}

static const eval_metric *eval_metrics_of(int target)
{
    return target == TO_REAL ? set_metrics : pair_metrics;
}

static const char *const target_names[TARGETS] = { "truth", "teacher",
                                                   "real" };

/* One answer against pictures that go with its own. */
static int eval_pairs(evaluation *e, eval_answer *a, int target,
                      const eval_gallery *with)
{
    size_t n = e->count, i, k, known[METRICS];
    double *values = (double *)calloc(METRICS * n, sizeof *values);
    cgd_status status = CGD_OK;
    if (!values) return fail("out of memory");
    for (k = 0; k < METRICS; k++) known[k] = n;
    for (i = 0; i < n; i++) {
        const cgd_image *x = &a->pictures->images[i], *y = &with->images[i];
        values[i] = cgd_psnr(x->data, y->data, x->w, x->h, 3);
        values[n + i] = cgd_ssim(&e->ctx, x->data, y->data, x->w, x->h, 3);
        values[2 * n + i] = cgd_ms_ssim(&e->ctx, x->data, y->data, x->w, x->h,
                                        3);
        values[3 * n + i] = cgd_l1(x->data, y->data, x->w, x->h, 3);
        if (values[n + i] < -1) known[1] = 0;       /* too small a picture   */
        if (values[2 * n + i] < -1) known[2] = 0;
    }
    for (k = 0; k < METRICS && status == CGD_OK; k++)
        status = cgd_mean(&e->ctx, &a->figures[target][k], values + k * n,
                          known[k], &e->bootstrap);
    a->psnr[target] = values;
    return status == CGD_OK ? 0 : fail_status(&e->ctx, status);
}

static void eval_spread(cgd_estimate figures[METRICS], const cgd_distances *d)
{
    figures[0] = d->swd;
    figures[1] = d->kid;
    figures[2] = d->density;
    figures[3] = d->coverage;
}

/* What stands in for real pictures, when alarms compare with the kind of
 * picture that should come out; NULL: nothing does. */
static const cgd_set *eval_reference(const evaluation *e, int answer)
{
    const eval_gallery *teacher = e->answers[ANSWER_TEACHER].pictures;
    if (e->real.set.count > 0) return &e->real.set;
    if (e->folders[FOLDER_TRUTH].path) return NULL;      /* the truth does   */
    return teacher && answer != ANSWER_TEACHER ? &teacher->set : NULL;
}

static int eval_judge(evaluation *e, int answer)
{
    eval_answer *a = &e->answers[answer];
    const eval_gallery *teacher = e->answers[ANSWER_TEACHER].pictures;
    const cgd_set *input = e->folders[FOLDER_INPUT].path
                         ? &e->galleries[FOLDER_INPUT].set : NULL;
    const cgd_set *truth = e->folders[FOLDER_TRUTH].path
                         ? &e->galleries[FOLDER_TRUTH].set : NULL;
    cgd_distances d;
    cgd_status status = CGD_OK;
    int bad = 0;
    if (truth)
        bad = eval_pairs(e, a, TO_TRUTH, &e->galleries[FOLDER_TRUTH]);
    if (!bad && teacher && answer != ANSWER_TEACHER)
        bad = eval_pairs(e, a, TO_TEACHER, teacher);
    if (!bad && e->real.set.count > 0) {
        status = cgd_distance(&e->ctx, &d, &a->pictures->set, &e->real.set,
                              &e->bootstrap);
        if (status == CGD_OK) eval_spread(a->figures[TO_REAL], &d);
    }
    if (!bad && status == CGD_OK && a->pictures->set.count > 0)
        status = cgd_alarms(&e->ctx, a->alarms, &a->pictures->set, input,
                            truth, eval_reference(e, answer));
    return bad ? bad : status == CGD_OK ? 0 : fail_status(&e->ctx, status);
}

static int eval_judge_all(evaluation *e)
{
    cgd_status status = CGD_OK;
    int i, bad = 0;
    for (i = 0; i < ANSWERS && !bad; i++) {
        if (!e->answers[i].pictures) continue;
        eval_say(e, e->answers[i].title);
        bad = eval_judge(e, i);
    }
    if (bad || e->real.set.count == 0) return bad;
    eval_say(e, "real pictures against real ones");
    status = cgd_distance_floor(&e->ctx, &e->floor, &e->real.set, e->count,
                                &e->bootstrap);
    return status == CGD_OK ? 0 : fail_status(&e->ctx, status);
}

/* Is anything known of a target? The truth, a teacher, real pictures. */
static int eval_has(const evaluation *e, int target)
{
    if (target == TO_TRUTH) return e->folders[FOLDER_TRUTH].path != NULL;
    if (target == TO_TEACHER)
        return e->answers[ANSWER_TEACHER].pictures != NULL;
    return e->real.set.count > 0;
}

/* A line of a table, the floor being the last: its figures, or NULL. */
static const cgd_estimate *eval_row(const evaluation *e, int target, int row,
                                    cgd_estimate room[METRICS],
                                    const char **name, const char **title)
{
    if (row < ANSWERS) {
        const eval_answer *a = &e->answers[row];
        if (!a->pictures || (target == TO_TEACHER && row == ANSWER_TEACHER))
            return NULL;
        *name = a->name;
        *title = a->title;
        return a->figures[target];
    }
    if (target != TO_REAL) return NULL;
    *name = "floor";
    *title = "real against real";
    eval_spread(room, &e->floor);
    return room;
}

/* An alarm that the teacher has raised, or NULL: a student follows it. */
static const cgd_alarm *eval_teacher_alarm(const evaluation *e, int alarm)
{
    const cgd_alarm *a = &e->answers[ANSWER_TEACHER].alarms[alarm];
    return a->fired && e->judged != ANSWER_TEACHER ? a : NULL;
}

/* Why a figure is not there. */
static const char *eval_reason(int target, int metric)
{
    if (target != TO_REAL) return "needs pictures of 11 pixels a side";
    if (metric < 2)
        return "needs two pictures in each set, of 16 pixels a side";
    return "needs six real pictures, of 16 pixels a side";
}

/* ======================================================================== */
/* [table] On the terminal                                                  */
/* ======================================================================== */

static const char *const target_titles[TARGETS] = {
    "Against the truth, picture by picture",
    "Against the teacher, picture by picture",
    "Against real pictures, as a set" };

static void eval_print_target(const evaluation *e, int target)
{
    const eval_metric *metrics = eval_metrics_of(target);
    const char *name = "", *title = "";
    cgd_estimate room[METRICS];
    char cell[60];
    int row, k, missing[METRICS] = { 0, 0, 0, 0 };
    printf("\n%s\n%-25s", target_titles[target], "");
    for (k = 0; k < METRICS; k++)
        printf("%13.*s", (int)strcspn(metrics[k].title, ","),
               metrics[k].title);
    printf("\n");
    for (row = 0; row <= ANSWERS; row++) {
        const cgd_estimate *f = eval_row(e, target, row, room, &name, &title);
        if (!f) continue;
        printf("%-25s", title);
        for (k = 0; k < METRICS; k++) {
            int digits = eval_digits(&metrics[k], f[k].value);
            strcpy(cell, "-");
            if (f[k].known)
                put_text(cell, sizeof cell, "%.*f+-%.*f", digits,
                         f[k].value, digits, (f[k].high - f[k].low) / 2);
            printf(strlen(cell) < 13 ? "%13s" : " %s", cell);
            if (!f[k].known) missing[k] = 1;
        }
        printf("\n");
    }
    for (k = 0; k < METRICS; k++)
        if (missing[k])
            printf("  left out where it says -: %s %s\n", metrics[k].key,
                   eval_reason(target, k));
}

static void eval_print(const evaluation *e)
{
    const eval_answer *judged = &e->answers[e->judged];
    phrase p;
    int target, i;
    printf("%s judged, +- half the 95 %% interval of %lu resamplings\n",
           in_number(&p, (unsigned long)e->count, "picture"),
           (unsigned long)e->bootstrap.replicates);
    for (target = 0; target < TARGETS; target++)
        if (eval_has(e, target)) eval_print_target(e, target);
    printf("\n");
    for (i = 0; i < ANSWERS; i++)
        if (e->answers[i].params > 0)
            printf("%s: %.0f parameters, %s a picture\n", e->answers[i].title,
                   e->answers[i].params, in_macs(&p, e->answers[i].macs));
    printf("Alarms for: %s\n", judged->title);
    for (i = 0; i < CGD_ALARMS; i++)
        if (judged->alarms[i].name)
            printf("  %-7s%-13s%s\n",
                   judged->alarms[i].fired ? "ALARM"
                   : judged->alarms[i].known ? "ok" : "-",
                   judged->alarms[i].name, judged->alarms[i].sentence);
    for (i = 0; i < CGD_ALARMS; i++)
        if (eval_teacher_alarm(e, i))
            printf("  %-7s%-13sThe teacher: %s\n", "ALARM",
                   eval_teacher_alarm(e, i)->name,
                   eval_teacher_alarm(e, i)->sentence);
    if (judged->pictures->set.count == 0)
        printf("  not judged: the pictures have several sizes\n");
}

/* ======================================================================== */
/* [csv] For programs                                                       */
/* ======================================================================== */

/* answer,against,metric,value,low,high,note: a line for every figure. Of an
 * alarm, low and high are its limit and whether it fired. */
static int eval_write_csv(evaluation *e, const char *path)
{
    cgd_output out;
    FILE *f;
    const char *name = "", *title = "";
    cgd_estimate room[METRICS];
    int target, row, k;
    if (cgd_output_open(&e->ctx, &out, path) != CGD_OK)
        return fail_status(&e->ctx, out.status);
    f = out.stream;
    fprintf(f, "answer,against,metric,value,low,high,note\n");
    for (target = 0; target < TARGETS; target++)
        for (row = 0; row <= ANSWERS && eval_has(e, target); row++) {
            const cgd_estimate *v = eval_row(e, target, row, room, &name,
                                             &title);
            for (k = 0; v && k < METRICS; k++) {
                fprintf(f, "%s,%s,%s,", name, target_names[target],
                        eval_metrics_of(target)[k].key);
                if (v[k].known)
                    fprintf(f, "%.6f,%.6f,%.6f,\n", v[k].value, v[k].low,
                            v[k].high);
                else
                    fprintf(f, ",,,\"left out: %s\"\n",
                            eval_reason(target, k));
            }
        }
    for (row = 0; row < ANSWERS; row++) {
        const eval_answer *a = &e->answers[row];
        if (a->params > 0)
            fprintf(f, "%s,,parameters,%.0f,,,\n%s,,macs,%.0f,,,\n", a->name,
                    a->params, a->name, a->macs);
        for (k = 0; k < CGD_ALARMS && a->pictures; k++)
            if (a->alarms[k].known)
                fprintf(f, "%s,,alarm_%s,%.6f,%.6f,%d,\"%s\"\n", a->name,
                        a->alarms[k].name, a->alarms[k].value,
                        a->alarms[k].limit, a->alarms[k].fired,
                        a->alarms[k].sentence);
    }
    return cgd_output_close(&out) == CGD_OK ? 0
         : fail_status(&e->ctx, out.status);
}

/* ======================================================================== */
/* [page] For people: one file, pictures and all                            */
/* ======================================================================== */
/* Well-formed as XML too, which is how its test reads it. */

static const char *const page_style[] = {
":root{--bg:#f7f7f5;--card:#fff;--ink:#1d2025;--soft:#646b75;--line:#e2e3e0;",
"--mark:#2f6fb0;--span:#b9d2ea;--good:#2c7a4b;--bad:#b3362b;",
"--badbg:#fbe9e7}\n",
"@media(prefers-color-scheme:dark){:root{--bg:#15171a;--card:#1e2126;",
"--ink:#e7e8ea;--soft:#9aa1ab;--line:#31353c;--mark:#7fb2e5;--span:#33506e;",
"--good:#6fc08d;--bad:#f08a7e;--badbg:#3a2422}}\n",
"*{box-sizing:border-box}body{margin:0;background:var(--bg);",
"color:var(--ink);font:15px/1.5 system-ui,-apple-system,'Segoe UI',Roboto,",
"'DejaVu Sans',sans-serif}\n",
"main{max-width:1080px;margin:0 auto;padding:32px 20px 60px}\n",
"h1{font-size:26px;margin:0 0 4px}h2{font-size:18px;margin:34px 0 10px}",
"h3{font-size:15px;margin:20px 0 6px;color:var(--soft);font-weight:600}\n",
"p{margin:4px 0}.soft{color:var(--soft)}\n",
".card{background:var(--card);border:1px solid var(--line);",
"border-radius:10px;padding:6px 14px;overflow-x:auto}\n",
".tiles{display:grid;grid-template-columns:repeat(auto-fit,",
"minmax(132px,1fr));gap:12px;margin-top:18px}.tiles .card{padding:12px 14px}",
".tile{font-size:26px;font-weight:650;line-height:1.2;",
"font-variant-numeric:tabular-nums}\n",
"table{border-collapse:collapse;width:100%;",
"font-variant-numeric:tabular-nums}",
"th,td{text-align:left;padding:8px 10px;border-bottom:1px solid var(--line);",
"vertical-align:top}tr:last-child th,tr:last-child td{border-bottom:0}",
"thead th{color:var(--soft);font-weight:600;font-size:13px}",
"tbody th{font-weight:500;white-space:nowrap}tr.judged{font-weight:650}",
"tr.judged th{font-weight:650}\n",
"small{display:block;color:var(--soft);font-weight:400;font-size:12px;",
"white-space:nowrap}\n",
".bar{display:block;position:relative;height:6px;width:130px;margin:4px 0;",
"border-radius:3px;background:var(--line)}.bar i{position:absolute;top:0;",
"height:6px;border-radius:3px;background:var(--span)}.bar b{",
"position:absolute;top:-2px;width:4px;height:10px;margin-left:-2px;",
"border-radius:2px;background:var(--mark)}\n",
".tiles small{white-space:normal}.chip{display:inline-block;",
"white-space:nowrap;border-radius:9px;padding:0 9px;font-size:13px;",
"font-weight:600;color:var(--good);border:1px solid var(--good)}",
".chip.fired{color:var(--bad);border-color:var(--bad);",
"background:var(--badbg)}.chip.none{color:var(--soft);",
"border-color:var(--line)}\n",
".row{display:flex;flex-wrap:wrap;gap:12px;padding:12px 0;",
"border-bottom:1px solid var(--line)}.row:last-child{border-bottom:0}",
"figure{margin:0}figcaption{font-size:12px;color:var(--soft)}",
"img{display:block;border-radius:6px;background:var(--line)}",
".score{width:118px;flex:none}\n",
"dl{margin:0}dt{font-weight:600;margin-top:10px}dd{margin:0}\n",
NULL };

static void page_text(FILE *f, const char *text)
{
    for (; *text; text++) {
        if (*text == '&') fputs("&amp;", f);
        else if (*text == '<') fputs("&lt;", f);
        else if (*text == '>') fputs("&gt;", f);
        else if (*text == '"') fputs("&quot;", f);
        else if ((unsigned char)*text >= ' ') fputc(*text, f);
    }
}

/* Bytes as base64, three at a time. */
typedef struct base64 { FILE *f; unsigned long bits; int bytes; } base64;

static void base64_put(base64 *b, int digits)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
        "abcdefghijklmnopqrstuvwxyz0123456789+/";
    int i;
    for (i = 0; i < 4; i++)
        fputc(i < digits ? alphabet[b->bits >> (18 - 6 * i) & 63] : '=',
              b->f);
    b->bits = 0;
    b->bytes = 0;
}

static void base64_write(void *to, const void *data, size_t size)
{
    base64 *b = (base64 *)to;
    const unsigned char *bytes = (const unsigned char *)data;
    size_t i;
    for (i = 0; i < size; i++) {
        b->bits |= (unsigned long)bytes[i] << (16 - 8 * b->bytes);
        if (++b->bytes == 3) base64_put(b, 4);
    }
}

static void page_picture(FILE *f, evaluation *e, const cgd_image *image,
                         const char *caption)
{
    base64 b;
    size_t w = image->w, h = image->h, shown = 190;
    b.f = f;
    b.bits = 0;
    b.bytes = 0;
    fprintf(f, "<figure><img alt=\"%s\" width=\"%lu\" height=\"%lu\" "
            "style=\"image-rendering:%s\" src=\"data:image/png;base64,",
            caption, (unsigned long)shown,
            (unsigned long)(h * shown / w > 0 ? h * shown / w : 1),
            w < shown ? "pixelated" : "auto");
    if (e->encoded == CGD_OK)
        e->encoded = cgd_image_write_png(&e->ctx, image, base64_write, &b);
    if (b.bytes > 0) base64_put(&b, b.bytes + 1);
    fprintf(f, "\"/><figcaption>%s</figcaption></figure>\n", caption);
}

/* ---- figures -------------------------------------------------------------*/

/* A value with its interval, drawn on the scale of its column. */
static void page_figure(FILE *f, const cgd_estimate *v, const eval_metric *m,
                        double least, double most)
{
    double scale = most > least ? 100 / (most - least) : 0;
    int digits = eval_digits(m, v->value);
    if (!v->known) {
        fprintf(f, "<td>&#8211;</td>");
        return;
    }
    fprintf(f, "<td>%.*f<span class=\"bar\"><i style=\"left:%.2f%%;"
            "width:%.2f%%\"></i><b style=\"left:%.2f%%\"></b></span>"
            "<small>%.*f to %.*f</small></td>", digits, v->value,
            (v->low - least) * scale, (v->high - v->low) * scale,
            (v->value - least) * scale, digits, v->low, digits, v->high);
}

static void page_table(FILE *f, const evaluation *e, int target)
{
    const eval_metric *m = eval_metrics_of(target);
    const char *name = "", *title = "";
    cgd_estimate room[METRICS];
    double least[METRICS], most[METRICS];
    int row, k, seen[METRICS] = { 0, 0, 0, 0 };
    fprintf(f, "<h3>%s</h3>\n<div class=\"card\"><table><thead><tr>"
            "<th></th>", target_titles[target]);
    for (k = 0; k < METRICS; k++)
        fprintf(f, "<th>%s<small>%s%s</small></th>", m[k].title, m[k].better,
                strcmp(m[k].better, "near 1") ? " is better" : " is right");
    fprintf(f, "</tr></thead><tbody>\n");
    for (row = 0; row <= ANSWERS; row++) {
        const cgd_estimate *v = eval_row(e, target, row, room, &name, &title);
        for (k = 0; v && k < METRICS; k++) {
            if (!v[k].known) continue;
            if (!seen[k] || v[k].low < least[k]) least[k] = v[k].low;
            if (!seen[k] || v[k].high > most[k]) most[k] = v[k].high;
            seen[k] = 1;
        }
    }
    for (row = 0; row <= ANSWERS; row++) {
        const cgd_estimate *v = eval_row(e, target, row, room, &name, &title);
        if (!v) continue;
        fprintf(f, "<tr%s><th>%s</th>",
                row == e->judged ? " class=\"judged\"" : "", title);
        for (k = 0; k < METRICS; k++)
            page_figure(f, &v[k], &m[k], seen[k] ? least[k] : 0,
                        seen[k] ? most[k] : 0);
        fprintf(f, "</tr>\n");
    }
    fprintf(f, "</tbody></table></div>\n");
    for (k = 0; k < METRICS; k++)
        if (!seen[k])
            fprintf(f, "<p class=\"soft\">%s is left out: it %s.</p>\n",
                    m[k].title, eval_reason(target, k));
}

static void page_tiles(FILE *f, const evaluation *e)
{
    static const char *const words[TARGETS] = { "to the truth",
        "to the teacher", "to real ones" };
    const eval_answer *a = &e->answers[e->judged];
    int target, k;
    fprintf(f, "<div class=\"tiles\">\n");
    for (target = 0; target < TARGETS; target++)
        for (k = 0; k < 2; k++) {
            const cgd_estimate *v = &a->figures[target][k];
            const eval_metric *m = &eval_metrics_of(target)[k];
            int digits = eval_digits(m, v->value);
            if (!v->known) continue;
            fprintf(f, "<div class=\"card\"><div>%.*s</div><div class=\"soft\">"
                    "%s</div><div class=\"tile\">%.*f</div><small>%.*f to "
                    "%.*f</small></div>\n", (int)strcspn(m->title, ","),
                    m->title, words[target], digits, v->value, digits,
                    v->low, digits, v->high);
        }
    if (a->params > 0) {
        phrase p;
        fprintf(f, "<div class=\"card\"><div>parameters</div><div class=\""
                "soft\">of the net</div><div class=\"tile\">%.0f</div><small>"
                "%s a picture</small>"
                "</div>\n", a->params, in_macs(&p, a->macs));
    }
    fprintf(f, "</div>\n");
}

static void page_alarm(FILE *f, const cgd_alarm *a, const char *whose)
{
    fprintf(f, "<tr><td><span class=\"chip%s\">%s</span></td><th>%s</th>"
            "<td>%s", a->fired ? " fired" : a->known ? "" : " none",
            a->fired ? "alarm" : a->known ? "ok" : "not judged", a->name,
            whose);
    page_text(f, a->sentence);
    fprintf(f, "</td></tr>\n");
}

static void page_alarms(FILE *f, const evaluation *e)
{
    const eval_answer *a = &e->answers[e->judged];
    int i;
    fprintf(f, "<h2>Alarms</h2>\n<div class=\"card\"><table><tbody>\n");
    for (i = 0; i < CGD_ALARMS && a->alarms[i].name; i++)
        page_alarm(f, &a->alarms[i], "");
    for (i = 0; i < CGD_ALARMS; i++)
        if (eval_teacher_alarm(e, i))
            page_alarm(f, eval_teacher_alarm(e, i), "The teacher: ");
    if (!a->alarms[0].name)
        fprintf(f, "<tr><td>Not judged: the pictures have several sizes."
                "</td></tr>\n");
    fprintf(f, "</tbody></table></div>\n");
}

/* ---- pictures ------------------------------------------------------------*/

/* Pictures by rank. Where nothing pairs with them, by the distance of their
 * features to those of the nearest real picture. */
typedef struct ranked { double score; size_t picture, nearest; } ranked;

static int worse_first(const void *a, const void *b)
{
    const ranked *x = (const ranked *)a, *y = (const ranked *)b;
    if (x->score < y->score) return -1;
    if (x->score > y->score) return 1;
    return x->picture < y->picture ? -1 : x->picture > y->picture;
}

static int rank_by_features(evaluation *e, ranked *ranks)
{
    const cgd_set *set = &e->answers[e->judged].pictures->set;
    const cgd_set *real = &e->real.set;
    size_t n = set->count, m = real->count, i, j, k;
    float *own = (float *)malloc((n + m) * CGD_FEATURES * sizeof *own);
    float *theirs = own ? own + n * CGD_FEATURES : NULL;
    cgd_status status;
    if (!own) return fail("out of memory");
    status = cgd_features(&e->ctx, own, set);
    if (status == CGD_OK) status = cgd_features(&e->ctx, theirs, real);
    for (i = 0; i < n && status == CGD_OK; i++) {
        double best = 0;
        for (j = 0; j < m; j++) {
            double sum = 0;
            for (k = 0; k < CGD_FEATURES; k++) {
                double d = (double)own[i * CGD_FEATURES + k]
                         - (double)theirs[j * CGD_FEATURES + k];
                sum += d * d;
            }
            if (j > 0 && sum >= best) continue;
            best = sum;
            ranks[i].nearest = j;
        }
        ranks[i].score = -best;
    }
    free(own);
    return status == CGD_OK ? 0 : fail_status(&e->ctx, status);
}

static int page_rank(evaluation *e, ranked *ranks, int *target)
{
    const eval_answer *a = &e->answers[e->judged];
    int bad = 0;
    size_t i;
    *target = a->psnr[TO_TRUTH] ? TO_TRUTH
            : a->psnr[TO_TEACHER] ? TO_TEACHER : TO_REAL;
    for (i = 0; i < e->count; i++) {
        ranks[i].picture = i;
        if (*target != TO_REAL) ranks[i].score = a->psnr[*target][i];
    }
    if (*target == TO_REAL && a->pictures->set.w >= 16
        && a->pictures->set.h >= 16)
        bad = rank_by_features(e, ranks);
    qsort(ranks, e->count, sizeof *ranks, worse_first);
    return bad;
}

/* One picture's row: what it was, and what everybody made of it. */
static void page_row(FILE *f, evaluation *e, const ranked *r,
                     const char *label, int target)
{
    const eval_answer *a = e->answers;
    const eval_folder *named = &e->folders[e->folders[FOLDER_INPUT].path
                                           ? FOLDER_INPUT : FOLDER_OUTPUT];
    size_t i = r->picture;
    fprintf(f, "<div class=\"row\"><div class=\"score\"><b>%s</b><small>",
            label);
    page_text(f, cgd_path_name(named->names[i].path));
    if (target != TO_REAL) fprintf(f, "<br/>PSNR %.2f dB", r->score);
    fprintf(f, "</small></div>\n");
    if (a[ANSWER_INPUT].pictures)
        page_picture(f, e, &a[ANSWER_INPUT].pictures->images[i], "input");
    if (a[ANSWER_TEACHER].pictures)
        page_picture(f, e, &a[ANSWER_TEACHER].pictures->images[i], "teacher");
    if (a[ANSWER_MODEL].pictures)
        page_picture(f, e, &a[ANSWER_MODEL].pictures->images[i],
                     a[ANSWER_MODEL].title);
    if (a[ANSWER_FOLDER].pictures)
        page_picture(f, e, &a[ANSWER_FOLDER].pictures->images[i], "output");
    if (e->folders[FOLDER_TRUTH].path)
        page_picture(f, e, &e->galleries[FOLDER_TRUTH].images[i], "truth");
    if (target == TO_REAL)
        page_picture(f, e, &e->real.images[r->nearest], "nearest real");
    fprintf(f, "</div>\n");
}

static int page_pictures(FILE *f, evaluation *e)
{
    static const char *const labels[3] = { "worst", "median", "best" };
    static const char *const orders[TARGETS] = { "PSNR to the truth",
        "PSNR to the teacher",
        "distance, in features, to the nearest real picture" };
    ranked *ranks = (ranked *)calloc(e->count, sizeof *ranks);
    size_t each = e->count >= 9 ? 3 : 1, i;
    int target = 0, k, bad;
    if (!ranks) return fail("out of memory");
    bad = page_rank(e, ranks, &target);
    if (!bad)
        fprintf(f, "<h2>Worst, median and best pictures</h2>\n<p class=\""
                "soft\">Of %lu, by %s.</p>\n<div class=\"card\">\n",
                (unsigned long)e->count, orders[target]);
    for (k = 0; k < 3 && !bad; k++) {
        size_t first = k == 0 ? 0 : k == 1 ? (e->count - each) / 2
                                           : e->count - each;
        if (e->count < 3 && (size_t)k >= e->count) break;
        if (e->count < 3) first = (size_t)k;
        for (i = first; i < first + each; i++)
            page_row(f, e, &ranks[i], labels[k], target);
    }
    if (!bad) fprintf(f, "</div>\n");
    free(ranks);
    return bad || e->encoded == CGD_OK ? bad
                                       : fail_status(&e->ctx, e->encoded);
}

/* ---- the whole -----------------------------------------------------------*/

static void page_head(FILE *f, const evaluation *e)
{
    enum { GIVEN = 7 };
    static const char *const what[GIVEN] = { "model", "teacher", "outputs",
        "input", "truth", "real pictures", "training set" };
    const settings *s = e->s;
    const char *given[GIVEN];
    size_t i;
    given[0] = s->model;
    given[1] = s->teacher;
    given[2] = e->folders[FOLDER_OUTPUT].path;
    given[3] = s->input;
    given[4] = s->truth;
    given[5] = s->real;
    given[6] = s->train;
    fprintf(f, "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset="
            "\"utf-8\"/><meta name=\"viewport\" content=\"width=device-width,"
            "initial-scale=1\"/><title>cgd eval</title>\n<style>");
    for (i = 0; page_style[i]; i++) fputs(page_style[i], f);
    fprintf(f, "</style></head>\n<body><main>\n<h1>Judged: %s</h1>\n<p class="
            "\"soft\">%lu pictures", e->answers[e->judged].title,
            (unsigned long)e->count);
    if (e->answers[e->judged].pictures->set.count > 0)
        fprintf(f, " of %lu x %lu",
                (unsigned long)e->answers[e->judged].pictures->set.w,
                (unsigned long)e->answers[e->judged].pictures->set.h);
    for (i = 0; i < GIVEN; i++) {
        if (!given[i]) continue;
        fprintf(f, " &#183; %s ", what[i]);
        page_text(f, given[i]);
    }
    fprintf(f, "</p>\n");
}

static void page_tells(FILE *f, const evaluation *e)
{
    int target, k;
    fprintf(f, "<h2>What the numbers can and cannot tell</h2>\n"
            "<div class=\"card\"><dl>\n");
    for (target = 0; target < TARGETS; target++) {
        if (!eval_has(e, target)) continue;
        if (target == TO_TEACHER && eval_has(e, TO_TRUTH)) continue;
        for (k = 0; k < METRICS; k++)
            fprintf(f, "<dt>%s</dt><dd>%s</dd>\n",
                    eval_metrics_of(target)[k].title,
                    eval_metrics_of(target)[k].tells);
    }
    if (eval_has(e, TO_TEACHER))
        fprintf(f, "<dt>To the teacher</dt><dd>Fidelity: how well the "
                "student does what the teacher does, mistakes included. It "
                "ranks students; it does not say whether the teacher is any "
                "good.</dd>\n");
    fprintf(f, "<dt>The trivial answers</dt><dd>The input as it is, or always "
            "the mean picture, cost nothing. What a net adds is what it gains "
            "over them.</dd>\n<dt>Intervals</dt><dd>95 %% by bootstrap over "
            "the pictures: what other pictures of this kind would change. "
            "Another training run with another seed may differ by more."
            "</dd>\n</dl></div>\n");
}

static int eval_write_page(evaluation *e, const char *path)
{
    cgd_output out;
    FILE *f;
    int target, bad;
    if (cgd_output_open(&e->ctx, &out, path) != CGD_OK)
        return fail_status(&e->ctx, out.status);
    f = out.stream;
    page_head(f, e);
    page_tiles(f, e);
    fprintf(f, "<h2>Figures</h2>\n");
    for (target = 0; target < TARGETS; target++)
        if (eval_has(e, target)) page_table(f, e, target);
    page_alarms(f, e);
    bad = page_pictures(f, e);
    page_tells(f, e);
    fprintf(f, "<p class=\"soft\" style=\"margin-top:24px\">cgd %s, seed %lu, "
            "%lu resamplings. The same command gives the same figures."
            "</p>\n</main></body></html>\n", CGD_VERSION,
            (unsigned long)e->bootstrap.seed,
            (unsigned long)e->bootstrap.replicates);
    if (bad) out.status = CGD_STOPPED;
    if (cgd_output_close(&out) != CGD_OK && !bad)
        bad = fail_status(&e->ctx, out.status);
    return bad;
}

/* ======================================================================== */
/* [eval]                                                                   */
/* ======================================================================== */

static int eval_check(const source *from, const settings *s)
{
    int folder = s->n_words > 0;
    if (!folder && !s->model)
        return fail_usage(from, "nothing to judge: name a folder of outputs, "
                          "or a --model with its --input");
    if (s->model && !s->input)
        return fail_usage(from, "--model needs --input, pictures to "
                          "translate");
    if (s->teacher && !s->model)
        return fail_usage(from, "--teacher needs --model, the student");
    if (!s->truth && !s->real && !s->teacher)
        return fail_usage(from, "nothing to compare with: give --truth, "
                          "--teacher or --real");
    return 0;
}

static void eval_free(evaluation *e)
{
    int i;
    for (i = 0; i < ANSWERS; i++) {
        free(e->answers[i].psnr[TO_TRUTH]);
        free(e->answers[i].psnr[TO_TEACHER]);
        eval_gallery_free(&e->ctx, &e->answers[i].own);
    }
    for (i = 0; i < PAIRED; i++) {
        eval_gallery_free(&e->ctx, &e->galleries[i]);
        eval_folder_close(&e->ctx, &e->folders[i]);
    }
    eval_gallery_free(&e->ctx, &e->real);
    eval_folder_close(&e->ctx, &e->real_folder);
    eval_folder_close(&e->ctx, &e->train_folder);
    cgd_free(&e->ctx);
    free(e);
}

static int eval_keep_inputs(evaluation *e, const char *out)
{
    int i, bad = keep_input(e->s->model, out);
    if (!bad) bad = keep_input(e->s->teacher, out);
    for (i = 0; i < PAIRED && !bad; i++)
        bad = keep_pictures(e->folders[i].path, out);
    if (!bad) bad = keep_pictures(e->real_folder.path, out);
    return bad ? bad : keep_pictures(e->train_folder.path, out);
}

static int run_eval(const command *cmd, settings *s)
{
    source from;
    evaluation *e;
    int bad;
    from.cmd = cmd;
    from.file = NULL;
    bad = eval_check(&from, s);
    if (bad) return bad;
    e = (evaluation *)calloc(1, sizeof *e);
    if (!e) return fail("out of memory");
    e->s = s;
    e->bootstrap.replicates = s->replicates;
    e->bootstrap.seed = s->seed;
    e->folders[FOLDER_INPUT].path = s->input;
    e->folders[FOLDER_TRUTH].path = s->truth;
    e->folders[FOLDER_OUTPUT].path = s->n_words > 0 ? s->words[0] : NULL;
    e->real_folder.path = s->real;
    e->real_folder.is_set = 1;
    e->train_folder.path = s->train;
    bad = open_context(&e->ctx, s, &e->line);
    if (bad) {
        free(e);
        return bad;
    }
    bad = eval_keep_inputs(e, s->csv);
    if (!bad) bad = eval_keep_inputs(e, s->html);
    if (!bad && s->csv && s->html && strcmp(s->csv, s->html) == 0)
        bad = fail("--csv and --html name the same file");
    if (!bad) bad = eval_open_range(e);
    if (!bad) bad = eval_open_pairs(e);
    if (!bad) bad = eval_check_sizes(e);
    if (!bad) bad = eval_open_real(e);
    if (!bad) bad = eval_make_answers(e);
    if (!bad) bad = eval_judge_all(e);
    live_end(&e->line);
    if (!bad) eval_print(e);
    if (!bad && s->csv) bad = eval_write_csv(e, s->csv);
    if (!bad && s->html) bad = eval_write_page(e, s->html);
    eval_free(e);
    return bad;
}
