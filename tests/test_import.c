/* PyTorch's files: small checkpoints of every kind, written by PyTorch 2.13
 * and 1.13 (tools/make_checkpoint_goldens.py), against its values and the
 * answers of its nets; damaged and hostile files; and, when CGD_DATA names
 * the folder that has them, checkpoints that strangers published. */
#define CGD_IMPORT_IMPLEMENTATION
#include "../tools/cgd_import.h"
#include "test.h"

#include <stdlib.h>
#include <string.h>

#define FOLDER "tests/golden/checkpoints/"

/* ---- contexts, files, bytes ----------------------------------------------*/

static char warning[600], warnings[2000];        /* the last one, all        */
static long allowed = -1;          /* allocations until one fails; -1: all   */

static void on_warning(void *user, const char *sentence)
{
    (void)user;
    sprintf(warning, "%.590s", sentence);
    if (strlen(warnings) < 1300) strcat(warnings, warning);
}

static void *test_alloc(void *user, size_t bytes)
{
    (void)user;
    if (allowed == 0) return NULL;
    if (allowed > 0) allowed--;
    return malloc(bytes);
}

static void test_release(void *user, void *block, size_t bytes)
{
    (void)user;
    (void)bytes;
    free(block);
}

static void begin(cgd_ctx *ctx)
{
    cgd_options o;
    memset(&o, 0, sizeof o);
    o.threads = 1;
    o.warn = on_warning;
    o.allocator.alloc = test_alloc;
    o.allocator.release = test_release;
    warning[0] = warnings[0] = 0;
    cgd_init(ctx, &o);
}

static void end(cgd_ctx *ctx)
{
    CHECK(cgd_memory_in_use(ctx) == 0);
    cgd_free(ctx);
}

typedef struct bytes { unsigned char *at; size_t size; } bytes;

static bytes bytes_of(const char *name)
{
    char path[160];
    bytes b;
    FILE *f;
    sprintf(path, FOLDER "%.100s", name);
    f = fopen(path, "rb");
    b.at = (unsigned char *)malloc(1 << 18);
    b.size = f && b.at ? fread(b.at, 1, 1 << 18, f) : 0;
    CHECK(b.size > 0);
    if (f) fclose(f);
    return b;
}

static void say(const cgd_ctx *ctx) { printf("    %s\n", ctx->message); }

static size_t elements(const cgd_file_tensor *t)
{
    size_t n = 1, i;
    for (i = 0; i < t->rank; i++) n *= t->shape[i];
    return n;
}

/* Read every tensor, in pieces of an odd length, to its last value. */
static size_t read_all(const cgd_file *file)
{
    float piece[37];
    size_t i, k, n, all = 0;
    for (i = 0; i < file->n_tensors; i++) {
        const cgd_file_tensor *t = &file->tensors[i];
        for (k = 0; k < elements(t); k += n) {
            n = elements(t) - k < 37 ? elements(t) - k : 37;
            if (cgd_file_read(file, t, k, n, piece) != CGD_OK) return 0;
        }
        all += elements(t);
    }
    return all;
}

/* The net under a key. */
static cgd_status import_key(cgd_ctx *ctx, cgd_net *net, const cgd_file *file,
                             const char *key)
{
    cgd_import_options o = cgd_import_defaults();
    o.key = key;
    return cgd_import_net(ctx, net, file, &o);
}

static cgd_status open_golden(cgd_ctx *ctx, cgd_file *file, const char *name)
{
    char path[160];
    sprintf(path, FOLDER "%.100s", name);
    return cgd_import_open(ctx, file, path);
}

/* What PyTorch computed, by name; *count values, to be freed. */
static float *answer(cgd_ctx *ctx, const char *name, size_t *count)
{
    cgd_file file;
    const cgd_file_tensor *t;
    float *values = NULL;
    *count = 0;
    if (cgd_file_open(ctx, &file, FOLDER "answers.safetensors") != CGD_OK) {
        test_failure(__FILE__, __LINE__, "the answers can be opened");
        return NULL;
    }
    t = cgd_file_find(&file, name);
    if (t) {
        *count = elements(t);
        values = (float *)malloc((*count + 1) * sizeof *values);
        CHECK(values && cgd_file_read(&file, t, 0, *count, values) == CGD_OK);
    } else {
        test_failure(__FILE__, __LINE__, name);
    }
    cgd_file_close(&file);
    return values;
}

/* ---- tensors -------------------------------------------------------------*/

static void check_tensors(const char *name)
{
    cgd_ctx ctx;
    cgd_file file;
    size_t i, k, n;
    begin(&ctx);
    CHECK(open_golden(&ctx, &file, name) == CGD_OK);
    CHECK(file.n_tensors == 19);
    for (i = 0; i < file.n_tensors; i++) {
        const cgd_file_tensor *t = &file.tensors[i];
        char key[100];
        float *want, got[16];
        sprintf(key, "odd.%.60s", t->name);
        want = answer(&ctx, key, &n);
        CHECK(n == elements(t) && n <= 16);
        CHECK(cgd_file_read(&file, t, 0, n, got) == CGD_OK);
        for (k = 0; want && k < n; k++) {
            CHECK(got[k] == want[k]);            /* all at once, and singly  */
            got[k] = 777;
            CHECK(cgd_file_read(&file, t, k, 1, &got[k]) == CGD_OK
                  && got[k] == want[k]);
        }
        free(want);
    }
    CHECK(cgd_file_find(&file, "nested.list.1.0") != NULL);
    CHECK(cgd_file_find(&file, "nested.5") != NULL);
    cgd_file_close(&file);
    end(&ctx);
}

static void every_kind_of_tensor_is_read(void)
{
    check_tensors("odd.pth");
    check_tensors("odd_legacy.pth");
    check_tensors("odd_legacy_113.pth");
    check_tensors("zip64.pth");
}

/* ---- nets ----------------------------------------------------------------*/

/* The picture of the answers, (size, size, 3). */
static void draw(float *x, size_t size)
{
    size_t i, j, c;
    for (i = 0; i < size; i++)
        for (j = 0; j < size; j++)
            for (c = 0; c < 3; c++)
                *x++ = (float)((7 * i + 13 * j + 29 * c + i * j) % 17) / 8 - 1;
}

/* The largest difference between a map and an answer (C, H, W). */
static double difference(const cgd_tensor *y, const float *want, size_t count)
{
    size_t p, c, pixels = y->h * y->w;
    double worst = 0;
    if (!want || count != pixels * y->c) return 1e9;
    for (p = 0; p < pixels; p++)
        for (c = 0; c < y->c; c++) {
            double d = fabs((double)y->data[p * y->c + c]
                            - (double)want[c * pixels + p]);
            if (!(d <= worst)) worst = d;
        }
    return worst;
}

/* How far a net, or its layer `layer`, is from PyTorch's answer. */
static double distance(cgd_net *net, const char *name, size_t size,
                       size_t layer)
{
    cgd_ctx *ctx = net->ctx;
    cgd_pass pass;
    size_t count;
    float *pixels = (float *)malloc(size * size * 3 * sizeof(float));
    float *want = answer(ctx, name, &count);
    cgd_tensor x = cgd_tensor_view(1, size, size, 3, pixels), y;
    double worst = 1e9;
    draw(pixels, size);
    CHECK(cgd_pass_init(&pass, net, 1, size, size, CGD_INFER, &layer, 1,
                        NULL) == CGD_OK);
    CHECK(cgd_pass_forward(&pass, &x) == CGD_OK);
    y = cgd_pass_output(&pass, layer);
    worst = difference(&y, want, count);
    cgd_pass_free(&pass);
    free(pixels);
    free(want);
    return worst;
}

static const struct net_case {
    const char *file, *key, *answer;
    size_t size;
} net_cases[] = {
    { "official.pth", NULL, "official", 16 },
    { "dropout.pth", NULL, "dropout", 16 },
    { "project.pth", "model_state_dict.generator_ab", "project.ab", 16 },
    { "project.pth", "model_state_dict.generator_ba.", "project.ba", 16 },
    { "project.pth", "model_state_dict.discriminator_a", "project.d_a", 16 },
    { "batch.pth", NULL, "batch", 16 },
    { "affine.pth", "G_A2B", "affine", 16 },
    { "resize.pth", NULL, "resize", 16 },
    { "mobile.pth", NULL, "mobile", 16 },
    { "mobile_5.pth", NULL, "mobile_5", 16 },
    { "patch.pth", NULL, "patch", 32 },
    { "collection.pth", NULL, "collection", 16 },
    { "normalised.pth", NULL, "normalised", 16 },
    { "protocol_4.pth", "net", "protocol", 16 },
    { "protocol_5.pth", NULL, "protocol", 16 },
    { "protocol_4_legacy.pth", NULL, "protocol", 16 },
    { "protocol_5_legacy.pth", "net", "protocol", 16 },
    { "python.safetensors", NULL, "python", 16 },
    { "python_d.safetensors", NULL, "python_d", 16 },
    { "cut.pth", NULL, "cut", 16 },
    { "cut_batch.pth", NULL, "cut_batch", 16 }
};

static void nets_answer_as_in_python(void)
{
    size_t i;
    for (i = 0; i < sizeof net_cases / sizeof *net_cases; i++) {
        const struct net_case *c = &net_cases[i];
        cgd_ctx ctx;
        cgd_file file;
        cgd_net net;
        cgd_status status;
        double worst = 1e9;
        begin(&ctx);
        status = open_golden(&ctx, &file, c->file);
        if (status == CGD_OK) {
            status = import_key(&ctx, &net, &file, c->key);
            cgd_file_close(&file);
        }
        if (status == CGD_OK)
            worst = distance(&net, c->answer, c->size, net.n_layers - 1);
        if (!(worst <= 1e-4)) {
            test_failure(__FILE__, __LINE__, c->answer);
            printf("    %g %s\n", worst, ctx.message);
        }
        if (status == CGD_OK) cgd_net_free(&net);
        end(&ctx);
    }
}

/* A bias before a batch norm matters when the running statistics count. */
static void running_statistics_swallow_a_bias(void)
{
    cgd_ctx ctx;
    cgd_file file;
    cgd_net net;
    begin(&ctx);
    CHECK(open_golden(&ctx, &file, "project.pth") == CGD_OK);
    CHECK(import_key(&ctx, &net, &file, "model_state_dict.generator_ab")
          == CGD_OK);
    CHECK(net.image_stats == 1);
    net.image_stats = 0;
    CHECK_NEAR(distance(&net, "project.frozen", 16, 0), 0, 1e-4);
    net.image_stats = 1;
    CHECK(distance(&net, "project.frozen", 16, 0) > 1e-2);
    cgd_net_free(&net);
    cgd_file_close(&file);
    end(&ctx);
}

/* Every width is its own; a saved model says so and comes back the same. */
static void widths_of_stages_and_blocks_survive(void)
{
    static const int stage[6] = { 2, 3, 8, 4, 4, 3 };
    const char *path = "build/test_import_mobile.safetensors";
    cgd_ctx ctx;
    cgd_file file;
    cgd_net net;
    cgd_model back;
    begin(&ctx);
    CHECK(open_golden(&ctx, &file, "mobile.pth") == CGD_OK);
    CHECK(cgd_import_net(&ctx, &net, &file, NULL) == CGD_OK);
    cgd_file_close(&file);
    CHECK(net.generator.blocks == 3
          && net.generator.block == CGD_BLOCK_SEPARABLE);
    CHECK(memcmp(net.generator.stage, stage, sizeof stage) == 0);
    CHECK(net.generator.inside[0] == 0 && net.generator.inside[1] == 0
          && net.generator.inside[2] == 6);
    CHECK(cgd_net_save(&net, NULL, path) == CGD_OK);
    CHECK(cgd_model_load(&ctx, &back, path) == CGD_OK);
    CHECK(memcmp(&back.net.generator, &net.generator, sizeof net.generator)
          == 0);
    CHECK(back.net.state == net.state
          && memcmp(back.net.params, net.params, net.state * sizeof(float))
             == 0);
    cgd_model_free(&back);
    cgd_net_free(&net);
    remove(path);
    end(&ctx);
}

/* Python drops the metadata of safetensors: what net is in them has to be
 * inferred, which the library by itself does not do. */
static void python_safetensors_are_imported(void)
{
    cgd_ctx ctx;
    cgd_model model;
    cgd_file file;
    cgd_net net;
    begin(&ctx);
    CHECK(cgd_model_load(&ctx, &model, FOLDER "python.safetensors")
          == CGD_ERR_FORMAT);
    CHECK(strstr(ctx.message, "cgd import") != NULL);
    CHECK(open_golden(&ctx, &file, "python_d.safetensors") == CGD_OK);
    CHECK(cgd_import_net(&ctx, &net, &file, NULL) == CGD_OK);
    CHECK(!net.is_generator && net.discriminator.norm == CGD_NORM_BATCH
          && net.discriminator.layers == 2 && net.discriminator.width == 2);
    cgd_net_free(&net);
    cgd_file_close(&file);
    end(&ctx);
}

/* Import with options; the warning is left. */
static cgd_status import_with(cgd_ctx *ctx, cgd_net *net, const char *name,
                              int up, int norm, int stats)
{
    cgd_import_options o = cgd_import_defaults();
    cgd_file file;
    cgd_status status = open_golden(ctx, &file, name);
    o.up = up;
    o.norm = norm;
    o.stats = stats;
    warning[0] = 0;
    memset(net, 0, sizeof *net);
    if (status != CGD_OK) return status;
    status = cgd_import_net(ctx, net, &file, &o);
    cgd_file_close(&file);
    return status;
}

/* What a file leaves open is said, and what the caller says is obeyed. */
static void guesses_are_said_and_options_obeyed(void)
{
    cgd_ctx ctx;
    cgd_net net;
    begin(&ctx);
    CHECK(import_with(&ctx, &net, "resize.pth", -1, -1, -1) == CGD_OK);
    CHECK(strstr(warning, "bilinear upsampling (--up nearest)") != NULL);
    CHECK(strstr(warning, "padding that reflects") != NULL);
    CHECK(net.generator.up == CGD_UP_BILINEAR);
    cgd_net_free(&net);
    CHECK(import_with(&ctx, &net, "resize.pth", CGD_UP_NEAREST,
                      CGD_NORM_NONE, -1) == CGD_OK);
    CHECK(strstr(warning, "--up") == NULL && strstr(warning, "--norm") == NULL);
    CHECK(net.generator.up == CGD_UP_NEAREST
          && net.layers[2].norm == CGD_NORM_NONE);
    cgd_net_free(&net);
    CHECK(import_with(&ctx, &net, "mobile.pth", -1, -1, -1) == CGD_OK);
    CHECK(strstr(warning, "instance norm (--norm none") != NULL);
    cgd_net_free(&net);
    CHECK(import_with(&ctx, &net, "mobile.pth", -1, -1, CGD_STATS_RUNNING)
          == CGD_ERR_FORMAT && net.params == NULL);
    CHECK(strstr(ctx.message, "no running statistics") != NULL);
    CHECK(import_with(&ctx, &net, "batch.pth", -1, -1, -1) == CGD_OK);
    CHECK(strstr(warning, "(--stats running") != NULL && net.image_stats);
    cgd_net_free(&net);
    CHECK(import_with(&ctx, &net, "batch.pth", -1, -1, CGD_STATS_RUNNING)
          == CGD_OK);
    CHECK(strstr(warning, "--stats") == NULL && !net.image_stats);
    cgd_net_free(&net);
    end(&ctx);
}

/* Zeros behind a resizing, not a mirror: a saved model says so. */
static void zero_padding_survives(void)
{
    const char *path = "build/test_import_zero.safetensors";
    cgd_ctx ctx;
    cgd_net net;
    cgd_model back;
    begin(&ctx);
    CHECK(import_with(&ctx, &net, "collection.pth", -1, -1, -1) == CGD_OK);
    CHECK(strstr(warning, "to the nearest pixel (--up bilinear)") != NULL);
    CHECK(net.generator.zero_pad && net.generator.up == CGD_UP_NEAREST);
    CHECK(cgd_net_save(&net, NULL, path) == CGD_OK);
    CHECK(cgd_model_load(&ctx, &back, path) == CGD_OK);
    CHECK(memcmp(&back.net.generator, &net.generator, sizeof net.generator)
          == 0);
    cgd_model_free(&back);
    cgd_net_free(&net);
    remove(path);
    end(&ctx);
}

/* CUT's default, with blurs: saved, loaded, frozen and folded it is the same
 * net, its filters are what they were and stay so. */
static void antialiasing_survives(void)
{
    const char *path = "build/test_import_cut.safetensors";
    cgd_ctx ctx;
    cgd_net net, frozen, folded;
    cgd_model back;
    cgd_file file;
    cgd_rng rng;
    float pixels[16 * 16 * 3];
    cgd_tensor x = cgd_tensor_view(1, 16, 16, 3, pixels);
    draw(pixels, 16);
    begin(&ctx);
    CHECK(import_with(&ctx, &net, "cut.pth", -1, -1, -1) == CGD_OK);
    CHECK(strstr(warning, "--up") == NULL);
    CHECK(net.generator.antialias && net.generator.zero_pad);
    CHECK(cgd_net_save(&net, NULL, path) == CGD_OK);
    CHECK(cgd_file_open(&ctx, &file, path) == CGD_OK);
    CHECK(cgd_file_find(&file, "model.7.filt") != NULL
          && cgd_file_find(&file, "model.11.filt") != NULL
          && cgd_file_find(&file, "model.7.bias") == NULL);
    cgd_file_close(&file);
    CHECK(cgd_model_load(&ctx, &back, path) == CGD_OK);
    CHECK(memcmp(&back.net.generator, &net.generator, sizeof net.generator)
          == 0);
    CHECK_NEAR(distance(&back.net, "cut", 16, net.n_layers - 1), 0, 1e-4);
    CHECK(cgd_net_freeze(&ctx, &frozen, &net, &x, 1) == CGD_OK);
    CHECK(cgd_net_fold(&ctx, &folded, &frozen, NULL) == CGD_OK);
    CHECK_NEAR(distance(&folded, "cut", 16, net.n_layers - 1), 0, 1e-4);
    cgd_rng_seed(&rng, 1, 0);
    cgd_net_init_weights(&back.net, CGD_INIT_PYTORCH, &rng);
    CHECK(memcmp(back.net.params + net.layers[2].w,
                 net.params + net.layers[2].w,
                 10 * net.layers[2].out_c * sizeof(float)) == 0);
    cgd_net_free(&folded);
    cgd_net_free(&frozen);
    cgd_model_free(&back);
    cgd_net_free(&net);
    remove(path);
    end(&ctx);
}

/* ---- which net, and what is wrong with it --------------------------------*/

static void refuse_key(const char *name, const char *key, const char *word)
{
    cgd_ctx ctx;
    cgd_file file;
    cgd_net net;
    begin(&ctx);
    CHECK(open_golden(&ctx, &file, name) == CGD_OK);
    CHECK(import_key(&ctx, &net, &file, key) != CGD_OK
          && net.params == NULL);
    if (!strstr(ctx.message, word)) {
        test_failure(__FILE__, __LINE__, word);
        say(&ctx);
    }
    cgd_file_close(&file);
    end(&ctx);
}

static void several_nets_are_listed(void)
{
    cgd_ctx ctx;
    cgd_file file;
    cgd_found found;
    size_t at = 0, n = 0;
    refuse_key("project.pth", NULL, "4 nets");
    refuse_key("project.pth", NULL,
               "model_state_dict.generator_ab (generator)");
    refuse_key("project.pth", "model_state_dict",
               "model_state_dict.discriminator_b (discriminator)");
    refuse_key("project.pth", "model_state", "under the key model_state ");
    refuse_key("project.pth", "netG", "under the key netG");
    refuse_key("odd.pth", NULL, "19 tensors");
    begin(&ctx);
    CHECK(open_golden(&ctx, &file, "project.pth") == CGD_OK);
    for (; cgd_import_next(&file, &at, &found); n++) {
        CHECK(found.status == CGD_OK);
        CHECK(found.is_generator == (strstr(found.prefix, "gen") != NULL));
    }
    CHECK(n == 4);
    cgd_file_close(&file);
    end(&ctx);
}

/* Rename tensors in the file's own bytes: `from` becomes `to`. */
static void rename_in(bytes b, const char *from, const char *to)
{
    size_t i, n = strlen(from);
    for (i = 0; i + n <= b.size; i++)
        if (memcmp(b.at + i, from, n) == 0) memcpy(b.at + i, to, n);
}

static void refuse_net_bytes(bytes b, const char *word)
{
    cgd_ctx ctx;
    cgd_file file;
    cgd_net net;
    cgd_status status;
    begin(&ctx);
    status = cgd_import_open_memory(&ctx, &file, b.at, b.size, "x");
    CHECK(status == CGD_OK);
    if (status == CGD_OK) {
        CHECK(cgd_import_net(&ctx, &net, &file, NULL) != CGD_OK);
        cgd_file_close(&file);
    }
    if (!strstr(ctx.message, word)) {
        test_failure(__FILE__, __LINE__, word);
        say(&ctx);
    }
    free(b.at);
    end(&ctx);
}

/* Legacy files have no checksums, so their names can be changed in place. */
static void all_misfits_are_named_at_once(void)
{
    bytes b = bytes_of("dropout.pth");
    rename_in(b, "module.model.7.weight", "module.model.9.weight");
    refuse_net_bytes(b, "neither a generator");
    b = bytes_of("dropout.pth");
    rename_in(b, "model.11.conv_block.6.weight",
                 "model.11.conv_block.8.weight");
    rename_in(b, "model.19.bias", "model.18.bias");
    refuse_net_bytes(b, "3 places: no module.model.11.conv_block.6.weight "
                        "(8, 8, 3, 3); unexpected module.model.11.conv_block"
                        ".8.weight (8, 8, 3, 3); unexpected "
                        "module.model.18.bias (3)");
}

/* Nets that are none of ours are called by their names. */
static void strangers_are_named(void)
{
    bytes b = bytes_of("dropout.pth");
    rename_in(b, "module.model.4.weight", "module.model.1.model.");
    refuse_net_bytes(b, "x holds a U-Net, the generator of pix2pix");
    b = bytes_of("dropout.pth");
    rename_in(b, "module.model.4.weight", "down_blocks.0.weight1");
    refuse_net_bytes(b, "generator of a common tutorial");
    refuse_net_bytes(bytes_of("cut_box.pth"),
                     "model.12.filt is not the fixed filter of CUT's");
    b = bytes_of("patch.pth");
    rename_in(b, "model.2.weight", "model.2.WEIGHT");
    refuse_net_bytes(b, "no model.2.weight");
}

/* A key may be any part of the path; what is there is listed. */
static void keys_are_found_and_listed(void)
{
    cgd_ctx ctx;
    cgd_file file;
    cgd_net net;
    begin(&ctx);
    CHECK(open_golden(&ctx, &file, "project.pth") == CGD_OK);
    CHECK(import_key(&ctx, &net, &file, "generator_ab") == CGD_OK);
    cgd_net_free(&net);
    CHECK(import_key(&ctx, &net, &file, "generator") == CGD_ERR_FORMAT);
    CHECK(strstr(ctx.message, "there is: model_state_dict.discriminator_a "
                              "(discriminator)") != NULL);
    cgd_file_close(&file);
    end(&ctx);
}

/* A convolution that was made without a bias has none, which is no fault; one
 * under another name is. */
static void a_missing_bias_is_zero_and_warned_of(void)
{
    cgd_ctx ctx;
    cgd_file file;
    cgd_net net;
    bytes b;
    begin(&ctx);
    CHECK(open_golden(&ctx, &file, "mobile_5.pth") == CGD_OK);
    CHECK(cgd_import_net(&ctx, &net, &file, NULL) == CGD_OK);
    CHECK(strstr(warnings, "has no model.20.bias: it is taken as zero"));
    CHECK(net.params[net.layers[net.n_layers - 1].b] == 0);
    cgd_net_free(&net);
    cgd_file_close(&file);
    end(&ctx);
    b = bytes_of("patch.pth");
    rename_in(b, "model.11.bias", "madel.11.bias");
    refuse_net_bytes(b, "1 place: unexpected madel.11.bias (1)");
}

static void weights_that_are_no_numbers_are_refused(void)
{
    refuse_key("nan.pth", NULL,
               "model.2.weight holds values that are not finite numbers");
}

/* ---- refusals ------------------------------------------------------------*/

static void refuse_golden(const char *name, const char *word)
{
    cgd_ctx ctx;
    cgd_file file;
    begin(&ctx);
    CHECK(open_golden(&ctx, &file, name) == CGD_ERR_FORMAT);
    if (!strstr(ctx.message, word)) {
        test_failure(__FILE__, __LINE__, word);
        say(&ctx);
    }
    end(&ctx);
}

static void refuse_text(const char *text, size_t size, const char *word)
{
    cgd_ctx ctx;
    cgd_file file;
    begin(&ctx);
    CHECK(cgd_import_open_memory(&ctx, &file, text, size, "x") != CGD_OK);
    if (!strstr(ctx.message, word)) {
        test_failure(__FILE__, __LINE__, word);
        say(&ctx);
    }
    end(&ctx);
}

/* What only the name tells. */
static void refuse_named(const char *name, const char *word)
{
    cgd_ctx ctx;
    cgd_file file;
    begin(&ctx);
    CHECK(cgd_import_open_memory(&ctx, &file, "\x08\x07\x12\x07pytorch", 11,
                                 name) == CGD_ERR_FORMAT);
    CHECK(strstr(ctx.message, word) != NULL);
    end(&ctx);
}

static void what_is_no_checkpoint_is_refused_in_a_sentence(void)
{
    refuse_golden("calls.pth", "would have Python call posix.system");
    refuse_golden("calls_legacy.pth", "would have Python call posix.system");
    refuse_golden("module.pth", "(torch.nn.modules.linear.Linear)");
    refuse_golden("module_legacy.pth", "model.state_dict()");
    refuse_golden("script.pt", "is a TorchScript program");
    refuse_golden("deflated.pth", "has compressed its entry data.pkl");
    refuse_golden("big_endian.pth", "big-endian");
    refuse_golden("plain.pkl", "is a pickle of Python's");
    refuse_golden("tar.pth", "is a tar archive");
    refuse_text("\n <!DOCTYPE html><html>", 23, "is a page of HTML");
    refuse_text("version https://git-lfs.github.com/spec/v1\n", 43,
                "Git LFS pointer");
    refuse_text("\x1f\x8b\x08", 3, "compressed by gzip");
    refuse_text("\x1c\0\0\0TFL3\x14\0", 10, "TensorFlow Lite model");
    refuse_named("g.onnx", "is an ONNX model");
    refuse_named("saved_model.pb", "a graph of TensorFlow");
    refuse_named("model.ckpt", "one of TensorFlow's");
    refuse_named("model.index", "half of a checkpoint");
    refuse_named("g.mlmodel", "a Core ML model");
    refuse_text("", 0, "no safetensors file");
    refuse_text("PK\3\4", 4, "was cut short");
}

/* The length that a safetensors file begins with may look like anything. */
static void the_first_byte_of_safetensors_may_be_any(void)
{
    static const char header[] =
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}";
    unsigned char bytes[8 + 768 + 4];
    cgd_ctx ctx;
    cgd_file file;
    size_t length;
    cgd_init(&ctx, NULL);
    for (length = 256; length < 768; length++) {
        memset(bytes, ' ', sizeof bytes);
        memset(bytes, 0, 8);
        bytes[0] = (unsigned char)(length & 255);
        bytes[1] = (unsigned char)(length >> 8);
        memcpy(bytes + 8, header, sizeof header - 1);
        CHECK(cgd_import_open_memory(&ctx, &file, bytes, 8 + length + 4, "x")
              == CGD_OK && file.n_tensors == 1);
        cgd_file_close(&file);
        CHECK(cgd_file_open_memory(&ctx, &file, bytes, 8 + length + 4, "x")
              == CGD_OK);
        cgd_file_close(&file);
    }
    cgd_free(&ctx);
}

static void safetensors_readers_point_to_import(void)
{
    cgd_ctx ctx;
    cgd_model model;
    begin(&ctx);
    CHECK(cgd_model_load(&ctx, &model, FOLDER "official.pth")
          == CGD_ERR_FORMAT);
    CHECK(strstr(ctx.message, "cgd import") != NULL);
    CHECK(cgd_model_load(&ctx, &model, FOLDER "patch.pth")
          == CGD_ERR_FORMAT);
    CHECK(strstr(ctx.message, "cgd import") != NULL);
    end(&ctx);
}

/* ---- damage --------------------------------------------------------------*/

/* Open bytes, read all, try for nets. Whatever they are, nothing crashes,
 * leaks, or asks for much memory. */
static cgd_status survive(const unsigned char *at, size_t size)
{
    cgd_ctx ctx;
    cgd_file file;
    cgd_net net;
    cgd_status status;
    unsigned char *copy = (unsigned char *)malloc(size + 1);
    begin(&ctx);
    memcpy(copy, at, size);            /* its own block: no reading beyond   */
    status = cgd_import_open_memory(&ctx, &file, copy, size, "x");
    if (status == CGD_OK) {
        read_all(&file);
        if (cgd_import_net(&ctx, &net, &file, NULL) == CGD_OK)
            cgd_net_free(&net);
        cgd_file_close(&file);
    } else {
        CHECK(status == CGD_ERR_FORMAT && ctx.message[0]);
    }
    CHECK(cgd_memory_peak(&ctx) < 1000000 + 100 * size);
    free(copy);
    end(&ctx);
    return status;
}

static void truncated_files_are_refused(void)
{
    static const char *const names[] = { "odd.pth", "odd_legacy.pth",
                                         "zip64.pth" };
    size_t i, n;
    for (i = 0; i < 3; i++) {
        bytes b = bytes_of(names[i]);
        CHECK(survive(b.at, b.size) == CGD_OK);
        for (n = 0; n < b.size; n++)
            CHECK(survive(b.at, n) != CGD_OK);
        free(b.at);
    }
}

static void damaged_files_do_no_harm(void)
{
    static const char *const names[] = { "odd.pth", "odd_legacy.pth",
                                         "zip64.pth" };
    static const unsigned char marks[] = { 1, 0x80, 0xff, 0x5a };
    size_t i, n, k;
    for (i = 0; i < 3; i++) {
        bytes b = bytes_of(names[i]);
        for (n = 0; n < b.size; n++)
            for (k = 0; k < 4; k++) {
                b.at[n] ^= marks[k];
                survive(b.at, b.size);
                b.at[n] ^= marks[k];
            }
        free(b.at);
    }
}

static void a_wrong_checksum_is_seen(void)
{
    bytes b = bytes_of("official.pth");
    cgd_ctx ctx;
    cgd_file file;
    begin(&ctx);
    b.at[b.size / 2] ^= 4;
    CHECK(cgd_import_open_memory(&ctx, &file, b.at, b.size, "x")
          == CGD_ERR_FORMAT);
    CHECK(strstr(ctx.message, "checksum") != NULL);
    free(b.at);
    CHECK(open_golden(&ctx, &file, "unchecked.pth") == CGD_OK);
    CHECK(read_all(&file) == 3);
    cgd_file_close(&file);
    end(&ctx);
}

static void every_allocation_may_fail(void)
{
    static const char *const names[] = { "mobile.pth", "affine.pth",
                                         "odd.pth" };
    size_t i;
    long n;
    for (i = 0; i < 3; i++) {
        bytes b = bytes_of(names[i]);
        cgd_status status = CGD_ERR_MEMORY;
        for (n = 0; n < 500 && status == CGD_ERR_MEMORY; n++) {
            cgd_ctx ctx;
            cgd_file file;
            cgd_net net;
            begin(&ctx);
            allowed = n;
            status = cgd_import_open_memory(&ctx, &file, b.at, b.size, "x");
            if (status == CGD_OK) {
                status = import_key(&ctx, &net, &file, i == 1 ? "G_A2B"
                                                                  : NULL);
                if (status == CGD_OK) cgd_net_free(&net);
                cgd_file_close(&file);
            }
            allowed = -1;
            CHECK(status != CGD_ERR_MEMORY
                  || strstr(ctx.message, "out of memory") == ctx.message);
            end(&ctx);
        }
        CHECK(n > 10 && status == (i == 2 ? CGD_ERR_FORMAT : CGD_OK));
        free(b.at);
    }
}

/* ---- hostile pickles -----------------------------------------------------*/

/* A legacy file around the pickle of its object, with one storage "0" of two
 * floats. The pickle begins behind PROTO and ends before STOP. */
static size_t wrap(unsigned char *out, const char *pickle, size_t size)
{
    static const char head[] =
        "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."
        "\x80\x02M\xe9\x03." "\x80\x02}U\x0dlittle_endian\x88s." "\x80\x02";
    static const char tail[] = "." "\x80\x02]U\x01" "0a."
        "\2\0\0\0\0\0\0\0" "\0\0\x80\x3f" "\0\0\0\x40";
    memcpy(out, head, sizeof head - 1);
    out += sizeof head - 1;
    memcpy(out, pickle, size);
    memcpy(out + size, tail, sizeof tail - 1);
    return sizeof head - 1 + size + sizeof tail - 1;
}

/* A storage "0" of so many floats on the stack, as BININT. */
#define STORAGE(count) \
    "(U\x07storagectorch\nFloatStorage\nU\x01" "0U\x03" "cpuJ" count "tQ"
#define TWO "\2\0\0\0"
#define V2 "ctorch._utils\n_rebuild_tensor_v2\n"
/* The tensor of a storage, with offset, sizes and strides as pickled. */
#define TENSOR(storage, offset, sizes, strides) \
    "(" storage offset "(" sizes "t(" strides "t\x89" "ccollections\n" \
    "OrderedDict\n)RtR"
#define GOOD V2 TENSOR(STORAGE(TWO), "K\0", "K\2", "K\1")

static void check_pickle(const char *pickle, size_t size, const char *word)
{
    static unsigned char file[200000];
    cgd_ctx ctx;
    cgd_file f;
    size_t n = wrap(file, pickle, size);
    cgd_status status;
    begin(&ctx);
    status = cgd_import_open_memory(&ctx, &f, file, n, "x");
    if (word) {
        CHECK(status == CGD_ERR_FORMAT);
        if (!strstr(ctx.message, word)) {
            test_failure(__FILE__, __LINE__, word);
            say(&ctx);
        }
    } else {
        CHECK(status == CGD_OK && read_all(&f) > 0);
        if (status != CGD_OK) say(&ctx);
    }
    if (status == CGD_OK) cgd_file_close(&f);
    CHECK(cgd_memory_peak(&ctx) < 1000000 + 100 * n);
    end(&ctx);
}

#define PICKLE(text, word) check_pickle(text, sizeof(text) - 1, word)

/* An OrderedDict made of pairs and a memo that counts from 1 (Python 2), a
 * storage that is a part of another, a tensor rebuilt with four arguments. */
static void what_old_releases_wrote_is_read(void)
{
    static unsigned char raw[2000];
    static const char view[] = "}U\1wctorch._utils\n_rebuild_tensor\n"
        "((U\x07storagectorch.cuda\nFloatStorage\nU\x01" "0U\x06" "cuda:1"
        "J" TWO "(U\1vK\1K\1ttQK\0(K\1t(K\1ttRs";
    cgd_ctx ctx;
    cgd_file file;
    float v = 0;
    PICKLE("ccollections\nOrderedDict\nq\1](](U\1w" GOOD "ee\x85Rq\2", NULL);
    begin(&ctx);
    CHECK(cgd_import_open_memory(&ctx, &file, raw,
              wrap(raw, view, sizeof view - 1), "x") == CGD_OK);
    CHECK(cgd_file_read(&file, file.tensors, 0, 1, &v) == CGD_OK && v == 2);
    CHECK(file.n_tensors == 1 && strcmp(file.tensors[0].name, "w") == 0);
    cgd_file_close(&file);
    end(&ctx);
}

static void pickles_that_ask_for_too_much_are_refused(void)
{
    PICKLE("}U\1w" GOOD "s", NULL);              /* what the others vary     */
    PICKLE("}U\1w" V2 TENSOR(STORAGE("\0\0\0\x40"), "K\0", "J\0\0\0\x40",
                             "K\1") "s", "two different sizes");
    PICKLE("}U\1w" V2 TENSOR(STORAGE(TWO), "K\0", "J\0\0\0\x40", "K\1") "s",
           "does not fit into its storage");
    PICKLE("}U\1w" V2 TENSOR(STORAGE(TWO), "K\1", "K\2", "K\1") "s",
           "does not fit into its storage");
    PICKLE("}U\1w" V2 TENSOR(STORAGE(TWO), "K\0", "K\2", "K\2") "s",
           "does not fit into its storage");
    PICKLE("}U\1w" V2 TENSOR(STORAGE(TWO), "K\0", "K\2", "K\0") "s",
           "does not fit into its storage");
    PICKLE("}U\1w" V2 TENSOR(STORAGE(TWO), "K\0",
           "\x8a\x08\0\0\0\0\1\0\0\x40\x8a\x08\0\0\0\0\1\0\0\x40", "K\1K\1")
           "s", "does not fit into its storage");
    PICKLE("}U\1w" V2 TENSOR(STORAGE(TWO), "J\xff\xff\xff\xff", "K\1", "K\1")
           "s", "makes no sense");
    PICKLE("}U\1w" V2 TENSOR(STORAGE(TWO), "K\0",
           "K\1K\1K\1K\1K\1K\1K\1K\1K\1", "K\1K\1K\1K\1K\1K\1K\1K\1K\1") "s",
           "makes no sense");
    PICKLE("}X\xff\xff\xff\xffw" GOOD "s", "does not fit");
    PICKLE("}r\xf0\xff\xff\xffU\1w" GOOD "s", "keeps what it cannot");
    PICKLE("}j\xf0\xff\xff\xff", "never kept");
    PICKLE("}h\0s", "never kept");
}

static void pickles_that_are_no_pickles_are_refused(void)
{
    PICKLE("", "takes what it never put");
    PICKLE("(", "takes what it never put");
    PICKLE("t", "lacks a mark");
    PICKLE("K\1K\2a", "fills what is no list");
    PICKLE("}(K\1u", "lacks its value");
    PICKLE("]\x87", "a tuple is short");
    PICKLE("K\1)R", "calls what is no function");
    PICKLE("ctorch\nFloatStorage\n)R", "makes a storage");
    PICKLE(")Q", "a storage that makes no sense");
    PICKLE("U\1aU\1b\x86Q", "a storage that makes no sense");
    PICKLE("U\6moduleN\x86Q", "holds a whole model");
    PICKLE("cos\nsystem\nU\2ls\x85R", "call os.system");
    PICKLE("c__builtin__\neval\n", "call __builtin__.eval");
    PICKLE("ctorch\nQInt8Storage\n", "(torch.QInt8Storage)");
    PICKLE("i", "operation 105");
    PICKLE("}", "holds no tensors");
    PICKLE("}U\1wK\1s", "holds no tensors");
}

/* Depth, circles, and a dict in the next one twice, thirty times over. */
static void pickles_that_go_in_circles_are_refused(void)
{
    static char text[110000];
    size_t i, n = 0;
    PICKLE("}q\0U\1a" GOOD "sh\0U\1bh\0s", "inside itself");
    memset(text, '}', sizeof text);
    for (i = 0; i < 20000; i++) {
        memcpy(text + n, "}U\1a", 4);
        n += 4;
    }
    memcpy(text + n, GOOD, sizeof GOOD - 1);
    n += sizeof GOOD - 1;
    memset(text + n, 's', 20000);
    check_pickle(text, n + 20000, "too deeply");
    n = 0;
    memcpy(text, "}q\0U\1w", 6);
    n = 6;
    memcpy(text + n, GOOD "s", sizeof GOOD);
    n += sizeof GOOD;
    for (i = 1; i < 30; i++) {
        char level[] = "}q1(U\1ah2U\1bh2u";        /* the digits are indices */
        level[2] = (char)i;
        level[8] = level[13] = (char)(i - 1);
        memcpy(text + n, level, sizeof level - 1);
        n += sizeof level - 1;
    }
    check_pickle(text, n, "inside itself");
}

/* ---- what strangers published --------------------------------------------*/

static const struct found_file {
    const char *name;
    size_t tensors, values;            /* 0: refused                         */
    const char *word;
} found_files[] = {
    { "01_gancompression_h2z_student_legacy_strided.pth", 84, 356867, NULL },
    { "05_resnet20_nested_module_prefix_legacy.th", 97, 0, "97 tensors" },
    { "06_mtcnn_pnet_permuted_strides_legacy.pt", 13, 0, "13 tensors" },
    { "09_rfb320_zip_archive_prefix.pth", 244, 0, "244 tensors" },
    { "10_mnist_zip_byteorder.pt", 10, 0, "10 tensors" },
    { "13_html_page_named.pkl", 0, 0, "is a page of HTML" }
};

static const char *published(char path[600], const char *name)
{
    sprintf(path, "%.400s/checkpoints/%.100s", getenv("CGD_DATA"), name);
    return path;
}

static void published_files_are_read_to_the_last_tensor(void)
{
    char path[600];
    size_t i;
    for (i = 0; i < sizeof found_files / sizeof *found_files; i++) {
        const struct found_file *f = &found_files[i];
        cgd_ctx ctx;
        cgd_file file;
        cgd_net net;
        size_t values;
        cgd_status status;
        begin(&ctx);
        status = cgd_import_open(&ctx, &file, published(path, f->name));
        CHECK((status == CGD_OK) == (f->tensors > 0));
        if (status == CGD_OK) {
            CHECK(file.n_tensors == f->tensors);
            values = read_all(&file);
            CHECK(values > 0 && (f->values == 0 || values == f->values));
            status = cgd_import_net(&ctx, &net, &file, NULL);
            if (status == CGD_OK) cgd_net_free(&net);
            cgd_file_close(&file);
        }
        CHECK((status == CGD_OK) == (f->word == NULL));
        if (f->word && !strstr(ctx.message, f->word)) {
            test_failure(__FILE__, __LINE__, f->word);
            say(&ctx);
        }
        end(&ctx);
    }
}

static void the_published_student_answers_as_in_python(void)
{
    char path[600];
    cgd_ctx ctx;
    cgd_file file;
    cgd_net net;
    begin(&ctx);
    CHECK(cgd_import_open(&ctx, &file, published(path, found_files[0].name))
          == CGD_OK);
    CHECK(cgd_import_net(&ctx, &net, &file, NULL) == CGD_OK);
    cgd_file_close(&file);
    CHECK(net.generator.blocks == 9 && net.generator.stage[3] == 64
          && net.generator.inside[2] == 0 && net.generator.inside[3] == 128);
    CHECK_NEAR(distance(&net, "h2z", 32, net.n_layers - 1), 0, 1e-4);
    cgd_net_free(&net);
    end(&ctx);
}

int main(void)
{
    RUN(every_kind_of_tensor_is_read);
    RUN(nets_answer_as_in_python);
    RUN(running_statistics_swallow_a_bias);
    RUN(widths_of_stages_and_blocks_survive);
    RUN(python_safetensors_are_imported);
    RUN(guesses_are_said_and_options_obeyed);
    RUN(zero_padding_survives);
    RUN(antialiasing_survives);
    RUN(several_nets_are_listed);
    RUN(all_misfits_are_named_at_once);
    RUN(strangers_are_named);
    RUN(keys_are_found_and_listed);
    RUN(a_missing_bias_is_zero_and_warned_of);
    RUN(weights_that_are_no_numbers_are_refused);
    RUN(what_is_no_checkpoint_is_refused_in_a_sentence);
    RUN(the_first_byte_of_safetensors_may_be_any);
    RUN(safetensors_readers_point_to_import);
    RUN(truncated_files_are_refused);
    RUN(damaged_files_do_no_harm);
    RUN(a_wrong_checksum_is_seen);
    RUN(every_allocation_may_fail);
    RUN(what_old_releases_wrote_is_read);
    RUN(pickles_that_ask_for_too_much_are_refused);
    RUN(pickles_that_are_no_pickles_are_refused);
    RUN(pickles_that_go_in_circles_are_refused);
    if (getenv("CGD_DATA")) {
        RUN(published_files_are_read_to_the_last_tensor);
        RUN(the_published_student_answers_as_in_python);
        return test_end();
    }
    printf("%d passed, %d failed, 2 skipped (CGD_DATA names no folder)\n",
           test_passed, test_failed);
    return test_failed != 0;
}
