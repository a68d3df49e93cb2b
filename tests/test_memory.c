/* What a step of training needs in memory is planned when the trainer is made
 * and is all it ever takes; and recomputing instead of storing changes the
 * memory, not one bit of what is learnt. */
#include "test.h"
#define CGD_ASSERT(x) CHECK(x)
#define CGD_IMPLEMENTATION
#define CGD_PICTURES_IMPLEMENTATION
#include "../tools/cgd_pictures.h"

static cgd_ctx context;

static void noise(cgd_tensor *t, cgd_rng *rng)
{
    size_t i, count = cgd_tensor_size(t);
    t->data = (float *)malloc(count * sizeof(float));
    if (!t->data) { printf("no memory\n"); exit(1); }
    for (i = 0; i < count; i++)
        t->data[i] = (float)(2 * cgd_rng_uniform(rng) - 1);
}

/* Three steps on pictures of a seed; the losses of the last. Beyond what the
 * trainer has they take nothing. */
static cgd_losses take_steps(cgd_trainer *t)
{
    const cgd_train_config *c = &t->config;
    size_t held = cgd_memory_in_use(&context);
    cgd_tensor a = cgd_tensor_view(c->batch, c->height, c->width, 3, NULL);
    cgd_tensor b = a;
    cgd_losses losses;
    cgd_rng rng;
    int step;
    cgd_rng_seed(&rng, 7, 0);
    memset(&losses, 0, sizeof losses);
    for (step = 0; step < 3; step++) {
        noise(&a, &rng);
        noise(&b, &rng);
        context.peak = 0;
        CHECK(cgd_train_step(t, &a, &b, &losses) == CGD_OK);
        CHECK(cgd_memory_in_use(&context) == held);
        CHECK(cgd_memory_peak(&context) <= held);
        free(a.data);
        free(b.data);
    }
    CHECK(losses.generators > 0);
    return losses;
}

static int same_learner(const cgd_learner *a, const cgd_learner *b)
{
    size_t n = a->net.state * sizeof(float), m = a->net.count * sizeof(float);
    if (!a->net.layers || !b->net.layers)
        return !a->net.layers && !b->net.layers;
    return memcmp(a->net.params, b->net.params, n) == 0
        && (!a->m || (memcmp(a->m, b->m, m) == 0
                      && memcmp(a->v, b->v, m) == 0));
}

/* Two trainers of one configuration, of which the second recomputes. */
static void check_same(cgd_trainer t[2])
{
    cgd_losses stored = take_steps(&t[0]), made = take_steps(&t[1]);
    size_t k;
    int s;
    CHECK(memcmp(&stored, &made, sizeof stored) == 0);
    for (s = 0; s < 2; s++) {
        CHECK(same_learner(&t[0].side[s].g, &t[1].side[s].g));
        CHECK(same_learner(&t[0].side[s].d, &t[1].side[s].d));
    }
    for (k = 0; k < t[0].n_adaptors; k++)
        CHECK(same_learner(&t[0].adaptors[k], &t[1].adaptors[k]));
    CHECK(t[1].block_size <= t[0].block_size);
    for (s = 0; s < 2; s++) cgd_trainer_free(&t[s]);
}

static cgd_train_config training(size_t size, size_t batch, int norm, int up)
{
    cgd_train_config c = cgd_train_defaults();
    c.generator.width = c.discriminator.width = 8;
    c.generator.blocks = 4;
    c.generator.norm = c.discriminator.norm = norm;
    c.generator.up = up;
    c.discriminator.layers = 2;
    c.height = c.width = size;
    c.batch = batch;
    c.pool = 2;
    return c;
}

static void recomputing_trains_bit_for_bit_the_same(void)
{
    static const struct { size_t size, batch; int norm, up; } cases[] = {
        { 32, 1, CGD_NORM_INSTANCE, CGD_UP_DECONV },     /* joined passes    */
        { 68, 1, CGD_NORM_INSTANCE_AFFINE, CGD_UP_BILINEAR },
        { 32, 2, CGD_NORM_BATCH, CGD_UP_NEAREST },
        { 48, 2, CGD_NORM_NONE, CGD_UP_DECONV }
    };
    size_t i;
    for (i = 0; i < sizeof cases / sizeof *cases; i++) {
        cgd_train_config c = training(cases[i].size, cases[i].batch,
                                      cases[i].norm, cases[i].up);
        cgd_trainer t[2];
        CHECK(cgd_trainer_init(&context, &t[0], &c, NULL, NULL) == CGD_OK);
        c.recompute = 1;
        CHECK(cgd_trainer_init(&context, &t[1], &c, NULL, NULL) == CGD_OK);
        CHECK(t[1].block_size < t[0].block_size);
        check_same(t);
    }
}

/* A distillation with terms on the output and on hidden states, of a narrow
 * student through adaptors; with those of the original, the reverse generator
 * frozen or learning. */
static void check_distillation(int width, int original, int learns, int block)
{
    cgd_train_config c = training(36, 1, CGD_NORM_INSTANCE, CGD_UP_DECONV);
    cgd_generator_config g = training(0, 1, CGD_NORM_INSTANCE,
                                      CGD_UP_DECONV).generator;
    cgd_net teacher, reverse;
    cgd_trainer s[2];
    cgd_rng rng;
    cgd_rng_seed(&rng, 5, 0);
    CHECK(cgd_generator_init(&context, &teacher, &g) == CGD_OK);
    CHECK(cgd_generator_init(&context, &reverse, &g) == CGD_OK);
    cgd_net_init_weights(&teacher, CGD_INIT_PYTORCH, &rng);
    cgd_net_init_weights(&reverse, CGD_INIT_PYTORCH, &rng);
    c.transfer = CGD_TRANSFER_UPDOWN;
    c.output_weight = 10;
    c.generator.blocks = 3;
    c.generator.width = width;
    c.generator.block = block;
    if (!original)
        c.gan_weight = c.cycle_weight = c.identity_weight = 0;
    c.feature_weight = c.contrast_weight = 1;
    c.train_reverse = learns;
    c.answer_bytes = 0;
    CHECK(cgd_trainer_init(&context, &s[0], &c, &teacher, &reverse)
          == CGD_OK);
    c.recompute = 1;
    CHECK(cgd_trainer_init(&context, &s[1], &c, &teacher, &reverse)
          == CGD_OK);
    CHECK(s[0].n_adaptors == (width < 8 ? 3U : 0U));
    cgd_net_free(&teacher);
    cgd_net_free(&reverse);
    check_same(s);
}

static void recomputing_distils_bit_for_bit_the_same(void)
{
    check_distillation(8, 1, 0, CGD_BLOCK_PLAIN);
    check_distillation(8, 1, 1, CGD_BLOCK_SEPARABLE);
    check_distillation(4, 1, 0, CGD_BLOCK_PLAIN);
    check_distillation(4, 0, 0, CGD_BLOCK_PLAIN);
    check_distillation(8, 0, 0, CGD_BLOCK_SEPARABLE);
}

/* Of a block that is mostly maps less than two fifths is left. */
static void recomputing_keeps_few_maps(void)
{
    size_t arena[2], k;
    for (k = 0; k < 2; k++) {
        cgd_train_config c = training(256, 1, CGD_NORM_INSTANCE,
                                      CGD_UP_DECONV);
        cgd_trainer t;
        c.generator.blocks = 9;
        c.recompute = (int)k;
        CHECK(cgd_trainer_init(&context, &t, &c, NULL, NULL) == CGD_OK);
        arena[k] = t.block_size;
        cgd_trainer_free(&t);
    }
    CHECK(arena[1] < arena[0] / 5 * 2);
}

/* Three things, of which the last two lie at the same place. */
static int lay_out(cgd__arena *a, float *things[3])
{
    size_t mark;
    things[0] = cgd__take_floats(a, 1);
    mark = cgd__mark(a);
    things[1] = cgd__take_floats(a, 100);
    cgd__release(a, mark);
    things[2] = cgd__take_floats(a, 17);
    return cgd__arena_holds(a);
}

static void what_an_arena_counts_is_what_it_needs(void)
{
    static unsigned char block[2 * 512];
    unsigned char *base = block + (64 - (size_t)block % 64) % 64;
    float *things[3];
    cgd__arena a = cgd__arena_on(NULL, 0);
    CHECK(!lay_out(&a, things) && a.peak == 64 + 448);
    CHECK(!things[0] && !things[1] && !things[2]);
    a = cgd__arena_on(base, a.peak);
    CHECK(lay_out(&a, things) && a.used == 64 + 128);
    CHECK((unsigned char *)things[0] == base && things[1] == things[2]
          && (unsigned char *)things[1] == base + 64);
    a = cgd__arena_on(base, a.peak - 1);     /* in every build, and for good */
    CHECK(!lay_out(&a, things) && things[0] && !things[1] && things[2]);
    a = cgd__arena_on(NULL, 0);
    CHECK(!cgd__take(&a, (size_t)-1 / 2, 8) && !cgd__take(&a, 1, 1));
    CHECK(a.peak == (size_t)-1);
}

/* ---- nothing is planned or allocated twice --------------------------------*/

static void *counting_alloc(void *user, size_t bytes)
{
    ++*(int *)user;
    return malloc(bytes);
}

static void counting_release(void *user, void *ptr, size_t bytes)
{
    (void)user;
    (void)bytes;
    free(ptr);
}

/* Calls of the allocator in two steps, the second on pictures of the first. */
static int calls_in_steps(cgd_trainer *t, const int *calls)
{
    const cgd_train_config *c = &t->config;
    cgd_tensor a = cgd_tensor_view(c->batch, c->height, c->width, 3, NULL);
    cgd_tensor b = a;
    cgd_losses losses;
    cgd_rng rng;
    int before, step;
    cgd_rng_seed(&rng, 8, 0);
    noise(&a, &rng);
    noise(&b, &rng);
    before = *calls;
    for (step = 0; step < 2; step++)
        CHECK(cgd_train_step(t, &a, &b, &losses) == CGD_OK);
    before = *calls - before;
    free(a.data);
    free(b.data);
    return before;
}

/* A plan takes memory, so that this counts plans too. */
static void steps_plan_nothing_and_allocate_nothing(void)
{
    cgd_options options;
    cgd_ctx ctx;
    cgd_train_config c = training(48, 2, CGD_NORM_BATCH, CGD_UP_BILINEAR);
    cgd_train_config d;
    cgd_trainer t;
    int calls = 0, k;
    memset(&options, 0, sizeof options);
    options.allocator.alloc = counting_alloc;
    options.allocator.release = counting_release;
    options.allocator.user = &calls;
    cgd_init(&ctx, &options);
    for (k = 0; k < 4; k++) {
        c.recompute = k & 1;
        if (k > 1) c.height = c.width = 32;      /* joined passes            */
        if (k > 1) c.generator.norm = CGD_NORM_INSTANCE;
        CHECK(cgd_trainer_init(&ctx, &t, &c, NULL, NULL) == CGD_OK);
        CHECK(calls_in_steps(&t, &calls) == 0);
        cgd_trainer_free(&t);
    }
    d = c;
    d.output_weight = 10;
    d.feature_weight = 1;
    d.train_reverse = 1;
    d.generator.width = 4;
    d.generator.blocks = 2;
    d.contrast_weight = 1;
    for (k = 0; k < 2; k++) {                    /* answers: kept once each  */
        cgd_net teacher;
        CHECK(cgd_generator_init(&ctx, &teacher, &c.generator) == CGD_OK);
        if (k == 0) d.answer_bytes = 0;
        else d.answer_bytes = (size_t)1 << 20;
        CHECK(cgd_trainer_init(&ctx, &t, &d, &teacher, NULL) == CGD_OK);
        CHECK(calls_in_steps(&t, &calls) == (k ? (int)c.batch : 0));
        cgd_trainer_free(&t);
        cgd_net_free(&teacher);
    }
    cgd_free(&ctx);
}

static void a_picture_of_the_last_ones_size_is_not_planned_again(void)
{
    static unsigned char pixels[40 * 40 * 3], workspace[1 << 20];
    cgd_options options;
    cgd_ctx ctx;
    cgd_model m;
    cgd_generator_config g = training(0, 1, CGD_NORM_INSTANCE,
                                      CGD_UP_DECONV).generator;
    size_t held;
    int calls = 0, before;
    memset(&options, 0, sizeof options);
    memset(&m, 0, sizeof m);
    options.allocator.alloc = counting_alloc;
    options.allocator.release = counting_release;
    options.allocator.user = &calls;
    cgd_init(&ctx, &options);
    held = cgd_memory_in_use(&ctx);              /* the threads              */
    CHECK(cgd_generator_init(&ctx, &m.net, &g) == CGD_OK);
    CHECK(cgd_model_workspace(&m, 38, 40) <= sizeof workspace);
    before = calls;
    CHECK(cgd_translate(&m, pixels, pixels, 38, 40, workspace,
                        sizeof workspace) == CGD_OK);
    CHECK(cgd_translate(&m, pixels, pixels, 40, 39, workspace,
                        sizeof workspace) == CGD_OK);
    CHECK(calls == before);
    CHECK(cgd_translate(&m, pixels, pixels, 40, 40, NULL, 0) == CGD_OK);
    CHECK(calls == before + 1);                  /* the workspace            */
    CHECK(cgd_translate(&m, pixels, pixels, 20, 40, workspace,
                        sizeof workspace) == CGD_OK);
    CHECK(calls > before + 1);
    cgd_model_free(&m);
    CHECK(cgd_memory_in_use(&ctx) == held);
    cgd_free(&ctx);
}

/* A trainer goes on with the kernels that its context has been given since. */
static void kernels_may_change_under_a_trainer(void)
{
    cgd_train_config c = training(16, 1, CGD_NORM_INSTANCE, CGD_UP_DECONV);
    cgd_trainer t[2];
    cgd_tensor a = cgd_tensor_view(1, 16, 16, 3, NULL), b = a;
    cgd_losses losses[2];
    cgd_rng rng;
    int i;
    c.generator.blocks = c.discriminator.layers = 1;
    cgd_rng_seed(&rng, 9, 0);
    noise(&a, &rng);
    noise(&b, &rng);
    for (i = 0; i < 2; i++) {
        if (i) CHECK(cgd_use_kernels(&context, "reference") == CGD_OK);
        CHECK(cgd_trainer_init(&context, &t[i], &c, NULL, NULL) == CGD_OK);
    }
    for (i = 0; i < 2; i++)
        CHECK(cgd_train_step(&t[i], &a, &b, &losses[i]) == CGD_OK);
    CHECK(memcmp(&losses[0], &losses[1], sizeof *losses) == 0);
    for (i = 0; i < 2; i++) {
        CHECK(same_learner(&t[0].side[i].g, &t[1].side[i].g));
        CHECK(same_learner(&t[0].side[i].d, &t[1].side[i].d));
    }
    for (i = 0; i < 2; i++) cgd_trainer_free(&t[i]);
    CHECK(cgd_use_kernels(&context, NULL) == CGD_OK);
    free(a.data);
    free(b.data);
}

/* ---- whole runs ----------------------------------------------------------*/

#define RUN_AT "build/test_memory"
enum { PICTURES = 5, SIDE = 24 };

/* A packed file of noise, the last picture of B missing. */
static void write_pictures(const char *path)
{
    static const size_t shape[3] = { SIDE, SIDE, 3 };
    unsigned char bytes[SIDE * SIDE * 3];
    cgd_writer wr;
    cgd_rng rng;
    char name[32];
    int i, k;
    cgd_rng_seed(&rng, 11, 0);
    cgd_writer_init(&context, &wr, path);
    for (i = 0; i < 2 * PICTURES - 1; i++) {
        sprintf(name, "train%c/%d", i < PICTURES ? 'A' : 'B', i);
        cgd_writer_tensor(&wr, name, CGD_U8, shape, 3);
    }
    cgd_writer_begin(&wr);
    for (i = 0; i < 2 * PICTURES - 1; i++) {
        for (k = 0; k < SIDE * SIDE * 3; k++)
            bytes[k] = (unsigned char)(cgd_rng_next(&rng) >> 24);
        cgd_writer_append(&wr, bytes, sizeof bytes);
    }
    CHECK(cgd_writer_end(&wr) == CGD_OK);
}

typedef struct { size_t bytes, more, least, most; int started; } watch;

static void on_start(void *user, size_t bytes, size_t more)
{
    watch *w = (watch *)user;
    w->bytes = bytes;
    w->more = more;
    CHECK(w->started++ == 0);
    CHECK(bytes == cgd_memory_in_use(&context));
}

static int on_progress(void *user, const cgd_progress *p)
{
    watch *w = (watch *)user;
    size_t now = cgd_memory_in_use(&context);
    CHECK(w->started == 1);
    if (p->step == 1) w->least = now;
    w->most = now;
    CHECK(now <= w->bytes + w->more);
    return 0;
}

/* A run in build/test_memory, with whatever lay there before removed. */
static cgd_run_config fresh_run(watch *w)
{
    cgd_run_config run = cgd_run_defaults();
    remove(RUN_AT "/state.safetensors");
    remove(RUN_AT "/state.previous.safetensors");
    memset(w, 0, sizeof *w);
    run.data.root = "build/test_memory.data";
    run.data.load_size = SIDE;
    run.out = RUN_AT;
    run.steps = 40;
    run.started = on_start;
    run.progress = on_progress;
    run.user = w;
    return run;
}

/* A run says before its first step what it takes and what it may grow to:
 * on few pictures that is what it grows to. */
static void runs_say_what_they_will_take(void)
{
    cgd_train_config c = training(SIDE, 1, CGD_NORM_INSTANCE, CGD_UP_DECONV);
    cgd_train_config d;
    cgd_run_config run;
    cgd_model teacher;
    watch w;
    write_pictures("build/test_memory.data");
    run = fresh_run(&w);
    c.recompute = 1;
    CHECK(cgd_train_run(&context, &c, &run) == CGD_OK);
    CHECK(w.started == 1 && w.most == w.bytes + w.more);
    CHECK(w.more > (2 * PICTURES - 3) * SIDE * SIDE * 3);
    run = fresh_run(&w);
    d = c;
    d.output_weight = d.haar_weight = 10;
    d.generator.blocks = 1;
    d.gan_weight = d.cycle_weight = d.identity_weight = 0;
    d.feature_weight = 1;
    CHECK(cgd_model_load(&context, &teacher, RUN_AT "/g_ab.safetensors")
          == CGD_OK);
    run.teacher = &teacher.net;
    CHECK(cgd_train_run(&context, &d, &run) == CGD_OK);
    CHECK(w.started == 1 && w.most == w.bytes + w.more);
    CHECK(w.more > (2 * PICTURES - 3) * SIDE * SIDE * 3
                   + 2 * PICTURES * SIDE * SIDE * 3 * sizeof(float));
    CHECK(w.least > w.bytes && w.least < w.most);
    run = fresh_run(&w);
    run.data.cache_bytes = SIDE * SIDE * 3;      /* room for one             */
    run.steps = 1;
    CHECK(cgd_train_run(&context, &c, &run) == CGD_OK);
    CHECK(w.most >= w.bytes && w.most <= w.bytes + w.more);
    remove("build/test_memory.data");
    cgd_model_free(&teacher);
}

static int note_rate(void *user, const cgd_progress *p)
{
    ((float *)user)[p->step - 1] = p->lr_g;
    return 0;
}

/* A default schedule holds for the first half of the steps and then falls;
 * what the data's configuration says against the training's is refused. */
static void runs_give_a_schedule_its_steps(void)
{
    cgd_train_config c = training(SIDE, 1, CGD_NORM_INSTANCE, CGD_UP_DECONV);
    float rate[4] = { 0, 0, 0, 0 };
    cgd_run_config run;
    watch w;
    write_pictures("build/test_memory.data");
    run = fresh_run(&w);
    run.started = NULL;
    run.progress = note_rate;
    run.user = rate;
    run.steps = 4;
    CHECK(cgd_train_run(&context, &c, &run) == CGD_OK);
    CHECK(rate[0] == c.lr_g && rate[1] == c.lr_g && rate[2] == c.lr_g);
    CHECK_NEAR(rate[3], c.lr_g / 2, 1e-9);
    run = fresh_run(&w);
    run.data.size = SIDE + 4;
    CHECK(cgd_train_run(&context, &c, &run) == CGD_ERR_ARGUMENT);
    run.data.size = 0;
    run.data.channels[1] = 1;
    CHECK(cgd_train_run(&context, &c, &run) == CGD_ERR_ARGUMENT);
    remove("build/test_memory.data");
}

int main(void)
{
    cgd_init(&context, NULL);
    cgd_use_pictures(&context);
    RUN(what_an_arena_counts_is_what_it_needs);
    RUN(recomputing_trains_bit_for_bit_the_same);
    RUN(recomputing_distils_bit_for_bit_the_same);
    RUN(recomputing_keeps_few_maps);
    RUN(steps_plan_nothing_and_allocate_nothing);
    RUN(kernels_may_change_under_a_trainer);
    RUN(a_picture_of_the_last_ones_size_is_not_planned_again);
    RUN(runs_say_what_they_will_take);
    RUN(runs_give_a_schedule_its_steps);
    cgd_free(&context);
    return test_end();
}
