/* Whole steps against PyTorch: from the same weights and pictures, three steps
 * of training and of distillation give its losses and its updated weights.
 * The numbers come from tools/make_goldens.py. */
#include "../cycle_gan_distil.h"
#include "test.h"

static cgd_ctx ctx;

static int number(const char *text, const char *key, int otherwise)
{
    const char *at = strstr(text, key);
    return at ? atoi(at + strlen(key)) : otherwise;
}

static cgd_train_config config_of(const char *text)
{
    cgd_train_config c = cgd_train_defaults();
    int batch = strstr(text, "norm=batch") != NULL;
    c.generator.width = number(text, "ngf=", 0);
    c.generator.blocks = number(text, " blocks=", number(text,
                                "student_blocks=", 0));
    c.generator.norm = batch ? CGD_NORM_BATCH : CGD_NORM_INSTANCE;
    c.generator.up = strstr(text, "up=bilinear") ? CGD_UP_BILINEAR
                                                 : CGD_UP_DECONV;
    c.discriminator.width = number(text, "ndf=", 0);
    c.discriminator.layers = number(text, " layers=", 0);
    c.discriminator.norm = c.generator.norm;
    c.height = (size_t)number(text, " h=", 0);
    c.width = (size_t)number(text, " w=", 0);
    return c;
}

static void read_net(const cgd_file *file, cgd_net *net, const char *prefix)
{
    cgd_status s = cgd_net_read(net, file, prefix);
    if (s != CGD_OK) printf("%s: %s\n", prefix, cgd_message(&ctx, s));
    CHECK(s == CGD_OK);
}

/* A picture (1, c, h, w) of the file as NHWC. */
static void read_picture(const cgd_file *file, const char *name, cgd_tensor *t)
{
    const cgd_file_tensor *entry = cgd_file_find(file, name);
    float planes[3 * 64 * 64];
    size_t i, k, pixels = t->h * t->w;
    CHECK(entry != NULL);
    if (!entry) return;
    CHECK(cgd_file_read(file, entry, 0, 3 * pixels, planes) == CGD_OK);
    for (i = 0; i < pixels; i++)
        for (k = 0; k < 3; k++) t->data[i * 3 + k] = planes[k * pixels + i];
}

static void check_loss(const cgd_file *file, int step, const char *name,
                       double ours)
{
    char key[64];
    float theirs = -1;
    const cgd_file_tensor *entry;
    sprintf(key, "step%d.loss.%s", step, name);
    entry = cgd_file_find(file, key);
    if (!entry) { CHECK(ours == 0); return; }
    CHECK(cgd_file_read(file, entry, 0, 1, &theirs) == CGD_OK);
    CHECK_NEAR(ours, theirs, 1e-4 * fabs(theirs) + 1e-7);
}

static void check_losses(const cgd_file *file, int step, const cgd_losses *l)
{
    check_loss(file, step, "gan_ab", l->gan[0]);
    check_loss(file, step, "gan_ba", l->gan[1]);
    check_loss(file, step, "cycle_a", l->cycle[0]);
    check_loss(file, step, "cycle_b", l->cycle[1]);
    check_loss(file, step, "idt_b", l->identity[0]);
    check_loss(file, step, "idt_a", l->identity[1]);
    check_loss(file, step, "d_b", l->d[0]);
    check_loss(file, step, "d_a", l->d[1]);
    check_loss(file, step, "feature", l->feature);
    check_loss(file, step, "output", l->output);
    check_loss(file, step, "g_total", l->generators);
}

/* Every tensor stored under group.prefix against the net, in file layout: the
 * net is compared with a second one that read what the file has. A tensor the
 * file left out (PyTorch's was rounding noise) is not compared. */
static size_t check_values(const cgd_file *file, const cgd_net *net,
                           const char *group, const char *prefix,
                           double bound)
{
    size_t i, compared = 0;
    for (i = 0; i < net->n_layers; i++) {
        const cgd_layer *l = net->layers + i;
        const char *const ends[6] = { "weight", "bias", "weight", "bias",
                                      "running_mean", "running_var" };
        size_t at[6], j, k;
        at[0] = l->w; at[1] = l->b; at[2] = l->gamma; at[3] = l->beta;
        at[4] = l->mean; at[5] = l->var;
        for (j = 0; j < 6; j++) {
            static float theirs[65536];
            char name[128];
            const cgd_file_tensor *entry;
            size_t count, kk = l->window.kernel * l->window.kernel, o, c;
            if (j == 1 ? l->norm != CGD_NORM_NONE
                       : j > 1 && l->norm != CGD_NORM_BATCH) continue;
            sprintf(name, "%s.%s%s.%s", group, prefix,
                    j < 2 ? l->name : l->norm_name, ends[j]);
            entry = cgd_file_find(file, name);
            if (!entry) continue;
            compared++;
            count = j ? l->out_c : kk * l->in_c * l->out_c;
            CHECK(cgd_file_read(file, entry, 0, count, theirs) == CGD_OK);
            o = l->kind == CGD_DECONV ? l->in_c : l->out_c;
            c = l->kind == CGD_DECONV ? l->out_c : l->in_c;
            for (k = 0; k < count; k++) {
                size_t from = j ? k : (k % o * c + k / o % c) * kk + k / o / c;
                CHECK_NEAR(net->params[at[j] + k], theirs[from], bound);
            }
        }
    }
    return compared;
}

static void check_net(const cgd_file *file, const cgd_net *net,
                      const char *prefix, size_t least)
{
    CHECK(check_values(file, net, "after", prefix, 1e-5) >= least);
    check_values(file, net, "loose", prefix, 3e-3);
}

static void three_steps(const cgd_file *file, cgd_trainer *t)
{
    static float a_data[3 * 64 * 64], b_data[3 * 64 * 64];
    cgd_tensor a = cgd_tensor_view(1, t->config.height, t->config.width, 3,
                                   a_data), b = a;
    int step;
    b.data = b_data;
    for (step = 0; step < 3; step++) {
        cgd_losses losses;
        char name[32];
        cgd_status s;
        sprintf(name, "step%d.a", step);
        read_picture(file, name, &a);
        sprintf(name, "step%d.b", step);
        read_picture(file, name, &b);
        s = cgd_train_step(t, &a, &b, &losses);
        if (s != CGD_OK) printf("%s\n", cgd_message(&ctx, s));
        CHECK(s == CGD_OK);
        check_losses(file, step, &losses);
    }
}

static void training_matches(const char *path)
{
    cgd_file file;
    cgd_trainer t;
    cgd_train_config c;
    CHECK(cgd_file_open(&ctx, &file, path) == CGD_OK);
    c = config_of(cgd_file_meta(&file, "params"));
    CHECK(cgd_trainer_init(&ctx, &t, &c, NULL, NULL) == CGD_OK);
    read_net(&file, &t.side[0].g.net, "g_ab.");
    read_net(&file, &t.side[1].g.net, "g_ba.");
    read_net(&file, &t.side[0].d.net, "d_b.");
    read_net(&file, &t.side[1].d.net, "d_a.");
    three_steps(&file, &t);
    check_net(&file, &t.side[0].g.net, "g_ab.", 11);
    check_net(&file, &t.side[1].g.net, "g_ba.", 11);
    check_net(&file, &t.side[0].d.net, "d_b.", 4);
    check_net(&file, &t.side[1].d.net, "d_a.", 4);
    cgd_trainer_free(&t);
    cgd_file_close(&file);
}

static void distillation_matches(const char *path)
{
    cgd_file file;
    cgd_trainer t;
    cgd_train_config d;
    cgd_generator_config g;
    cgd_net teacher, reverse;
    const char *text;
    CHECK(cgd_file_open(&ctx, &file, path) == CGD_OK);
    text = cgd_file_meta(&file, "params");
    d = config_of(text);
    d.output_weight = 10;
    d.feature_weight = 1;
    d.transfer = CGD_TRANSFER_NONE;
    d.train_reverse = number(text, "reverse_trains=", -1);
    g = d.generator;
    CHECK(cgd_generator_init(&ctx, &reverse, &g) == CGD_OK);
    g.blocks = number(text, "teacher_blocks=", 0);
    CHECK(cgd_generator_init(&ctx, &teacher, &g) == CGD_OK);
    read_net(&file, &teacher, "teacher.");
    read_net(&file, &reverse, "reverse.");
    CHECK(cgd_trainer_init(&ctx, &t, &d, &teacher, &reverse) == CGD_OK);
    read_net(&file, &t.side[0].g.net, "student.");
    read_net(&file, &t.side[0].d.net, "d_b.");
    if (d.train_reverse) read_net(&file, &t.side[1].d.net, "d_a.");
    three_steps(&file, &t);
    check_net(&file, &t.side[0].g.net, "student.", 12);
    check_net(&file, &t.side[0].d.net, "d_b.", 4);
    if (d.train_reverse) {
        check_net(&file, &t.side[1].g.net, "reverse.", 12);
        check_net(&file, &t.side[1].d.net, "d_a.", 4);
    } else {
        CHECK(memcmp(t.side[1].g.net.params, reverse.params,
                     reverse.state * sizeof(float)) == 0);
    }
    cgd_trainer_free(&t);
    cgd_net_free(&teacher);
    cgd_net_free(&reverse);
    cgd_file_close(&file);
}

static void three_training_steps_deconv_instance_match_pytorch(void)
{
    training_matches("tests/golden/train_deconv_instance.safetensors");
}

static void three_training_steps_bilinear_batch_match_pytorch(void)
{
    training_matches("tests/golden/train_bilinear_batch.safetensors");
}

static void three_distillation_steps_deconv_instance_match_pytorch(void)
{
    distillation_matches("tests/golden/distil_deconv_instance.safetensors");
}

static void three_distillation_steps_bilinear_batch_match_pytorch(void)
{
    distillation_matches("tests/golden/distil_bilinear_batch.safetensors");
}

int main(void)
{
    cgd_init(&ctx, NULL);
    RUN(three_training_steps_deconv_instance_match_pytorch);
    RUN(three_training_steps_bilinear_batch_match_pytorch);
    RUN(three_distillation_steps_deconv_instance_match_pytorch);
    RUN(three_distillation_steps_bilinear_batch_match_pytorch);
    cgd_free(&ctx);
    return test_end();
}
