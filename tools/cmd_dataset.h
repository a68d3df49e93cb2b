/* cmd_dataset.h: `cgd dataset`, `cgd pack`; part of tools/cgd.c
 *
 * Contents: [dataset] [pack]                                               */

#ifndef CMD_DATASET_H
#define CMD_DATASET_H

/* ======================================================================== */
/* [dataset]                                                                */
/* ======================================================================== */

enum { TRAIN_A, TRAIN_B, TEST_A, TEST_B, FOLDERS };

static const char *const dataset_folders[FOLDERS] = { "trainA", "trainB",
                                                      "testA", "testB" };

/* Make the folders; refuse if one holds pictures, which would be mixed up
 * with the new ones. */
static int make_dataset_folders(cgd_ctx *ctx, const char *root)
{
    char path[CGD_PATH_ROOM];
    int i, bad = 0;
    for (i = 0; i < FOLDERS && !bad; i++) {
        cgd_listing listing;
        size_t n = 0;
        if (!cgd_path_join(path, root, dataset_folders[i]))
            return fail("the path %s is too long", root);
        if (cgd_make_folder(ctx, path) != CGD_OK)
            bad = fail_status(ctx, CGD_ERR_IO);
        if (!bad && cgd_list_pictures(ctx, &listing, path, 0) == CGD_OK) {
            n = listing.count;
            cgd_listing_free(ctx, &listing);
        }
        if (n > 0)
            bad = fail("%s holds pictures already; name another folder", path);
    }
    return bad;
}

static int save_scene(cgd_ctx *ctx, const cgd_image *image, const char *root,
                      int folder, size_t number)
{
    char name[40], path[CGD_PATH_ROOM];
    cgd_status status;
    put_text(name, sizeof name, "%s/%04lu.png", dataset_folders[folder],
            (unsigned long)number);
    if (!cgd_path_join(path, root, name))
        return fail("the path %s is too long", root);
    status = cgd_image_save(ctx, image, path);
    return status == CGD_OK ? 0 : fail_status(ctx, status);
}

/* Draw picture number i of a split. A training picture belongs to one domain
 * and is not kept in the other; the two of a test scene share a name. */
static int draw_scene(cgd_ctx *ctx, const settings *s, int split, size_t i,
                      cgd_image *day, cgd_image *dusk)
{
    const char *root = s->words[0];
    int bad = 0;
    scene_draw(scene_seed((unsigned long)s->seed, split, (unsigned long)i),
               (int)s->size, split == SCENE_TRAIN_B ? NULL : day->data,
               split == SCENE_TRAIN_A ? NULL : dusk->data);
    if (split == SCENE_TRAIN_A)
        bad = save_scene(ctx, day, root, TRAIN_A, i + 1);
    if (split == SCENE_TRAIN_B)
        bad = save_scene(ctx, dusk, root, TRAIN_B, i + 1);
    if (split == SCENE_TEST) {
        bad = save_scene(ctx, day, root, TEST_A, i + 1);
        if (!bad) bad = save_scene(ctx, dusk, root, TEST_B, i + 1);
    }
    return bad;
}

static int draw_dataset(cgd_ctx *ctx, const settings *s)
{
    cgd_image day, dusk;
    cgd_status status = cgd_image_init(ctx, &day, s->size, s->size, 3);
    size_t i;
    int bad;
    memset(&dusk, 0, sizeof dusk);
    if (status == CGD_OK)
        status = cgd_image_init(ctx, &dusk, s->size, s->size, 3);
    bad = status == CGD_OK ? 0 : fail_status(ctx, status);
    for (i = 0; i < s->count && !bad; i++)
        bad = draw_scene(ctx, s, SCENE_TRAIN_A, i, &day, &dusk);
    for (i = 0; i < s->count && !bad; i++)
        bad = draw_scene(ctx, s, SCENE_TRAIN_B, i, &day, &dusk);
    for (i = 0; i < s->tests && !bad; i++)
        bad = draw_scene(ctx, s, SCENE_TEST, i, &day, &dusk);
    cgd_image_free(ctx, &dusk);
    cgd_image_free(ctx, &day);
    return bad;
}

static int run_dataset(const command *cmd, settings *s)
{
    cgd_ctx ctx;
    cgd_options one;
    int bad;
    (void)cmd;
    memset(&one, 0, sizeof one);
    one.threads = 1;
    cgd_init(&ctx, &one);
    cgd_use_pictures(&ctx);
    bad = make_dataset_folders(&ctx, s->words[0]);
    if (!bad) bad = draw_dataset(&ctx, s);
    if (!bad)
        printf("%s: to train, 2 x %lu pictures, unpaired; to test, in pairs, "
               "2 x %lu; %lu x %lu pixels\n", s->words[0], (unsigned long)s->count,
               (unsigned long)s->tests, (unsigned long)s->size,
               (unsigned long)s->size);
    cgd_free(&ctx);
    return bad;
}

/* ======================================================================== */
/* [pack]                                                                   */
/* ======================================================================== */

/* The packed file is none of the pictures that go into it. */
static int keep_packed(const settings *s)
{
    char folder[CGD_PATH_ROOM];
    int i, bad = 0;
    for (i = 0; i < FOLDERS && !bad; i++)
        if (cgd_path_join(folder, s->words[0], dataset_folders[i]))
            bad = keep_pictures(folder, s->out);
    return bad;
}

static int run_pack(const command *cmd, settings *s)
{
    cgd_ctx ctx;
    live_line line;
    cgd_data_config config;
    cgd_status status;
    int bad;
    if (keep_packed(s)) return STATUS_FAILED;
    bad = open_writer(cmd, s, &ctx, &line);
    if (bad) return bad;
    config = s->run.data;
    config.root = s->words[0];
    config.flat = !s->recurse;
    config.size = s->size;
    config.height = s->height;
    config.filter = s->filter;
    status = cgd_dataset_pack(&ctx, &config, s->out);
    if (status == CGD_OK) {
        printf("packed into %s; train from it with: cgd train --data %s\n",
               s->out, s->out);
    } else {
        bad = fail_status(&ctx, status);
    }
    cgd_free(&ctx);
    return bad;
}

#endif
