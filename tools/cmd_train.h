/* cmd_train.h: `cgd train`, `cgd distil`, `cgd prune`; part of tools/cgd.c
 *
 * Contents: [progress] [run] [train] [distil] [prune]                      */

#ifndef CMD_TRAIN_H
#define CMD_TRAIN_H

/* ======================================================================== */
/* [progress] While a run goes on                                           */
/* ======================================================================== */

static volatile sig_atomic_t interrupted = 0;

/* Asks for an orderly end after this step, however often it comes. */
static void on_signal(int number)
{
    interrupted = 1;
    signal(number, on_signal);       /* some systems forget it each time     */
}

/* A signal that was ignored when the program began (nohup) stays ignored. */
static void watch_signal(int number)
{
    if (signal(number, on_signal) == SIG_IGN) signal(number, SIG_IGN);
}

/* From where on there is something to save. */
static void watch_signals(void)
{
    watch_signal(SIGINT);
    watch_signal(SIGTERM);
#ifdef SIGHUP
    watch_signal(SIGHUP);
#endif
#ifdef SIGBREAK
    watch_signal(SIGBREAK);
#endif
}

/* A train or distil run, as the progress callback sees it. */
enum { JOB_TEACHER = 4, JOB_REVERSE, JOB_NETS };
typedef struct job {
    const command *cmd;
    settings *s;
    cgd_net nets[JOB_NETS];          /* of files, the first four to start    */
    cgd_ctx ctx;
    live_line line;
    unsigned long first, step;       /* steps done: at first report, now     */
    double first_time;
    int reports, noted;              /* noted: the interruption              */
} job;

static void put_time(char *out, size_t room, double seconds)
{
    unsigned long t = seconds < 1e9 ? (unsigned long)(seconds + 0.5)
                                    : 1000000000;
    if (t < 3600) put_text(out, room, "%lu:%02lu", t / 60, t % 60);
    else put_text(out, room, "%lu:%02lu:%02lu", t / 3600, t / 60 % 60,
                  t % 60);
}

static size_t put_loss(char *out, size_t room, const char *name, double value)
{
    if (value == 0) return 0;
    return put_text(out, room, value > -1e6 && value < 1e6 ? "  %s %.3f"
                                                    : "  %s %.3g", name, value);
}

/* "step 120/1000  g 5.321  d 0.412  cycle 2.104  31.2 it/s  0:28 left" */
static void show_progress(job *j, const cgd_progress *p, double now)
{
    char text[200], left[40];
    double seconds = now - j->first_time;
    double rate = seconds > 0 ? (double)(p->step - j->first) / seconds : 0;
    const cgd_losses *l = &p->losses;
    const size_t room = sizeof text;
    size_t n = put_text(text, room, "step %lu/%lu", p->step, p->total);
    if (l->generators != l->output)
        n += put_loss(text + n, room - n, "g", l->generators);
    n += put_loss(text + n, room - n, "d", l->d[0] + l->d[1]);
    n += put_loss(text + n, room - n, "cycle", l->cycle[0] + l->cycle[1]);
    n += put_loss(text + n, room - n, "output", l->output);
    n += put_loss(text + n, room - n, "feature", l->feature);
    if (rate > 0) {
        put_time(left, sizeof left, (double)(p->total - p->step) / rate);
        put_text(text + n, room - n, "  %.*f it/s  %s left",
                 rate < 10 ? 2 : 1, rate, left);
    }
    live_show(&j->line, text, now);
}

/* What the run takes, before it takes a step. */
static void on_start(void *user, size_t bytes, size_t more)
{
    phrase held, growth;
    (void)user;
    printf("memory: %s", in_bytes(&held, bytes));
    if (more > 0) printf(", and at most %s to keep what was computed once",
                         in_bytes(&growth, more));
    printf("\n");
    fflush(stdout);
    watch_signals();
}

/* The first report. */
static void first_report(job *j, const cgd_progress *p, double now)
{
    j->first = p->step;
    j->first_time = now;
    if (p->step > 1) printf("going on from step %lu\n", p->step - 1);
    fflush(stdout);
}

static int on_progress(void *user, const cgd_progress *p)
{
    job *j = (job *)user;
    double now = seconds_now();
    j->step = p->step;
    if (j->reports++ == 0) first_report(j, p, now);
    if (live_due(&j->line, now) || p->step == p->total)
        show_progress(j, p, now);
    if (interrupted && !j->noted) {
        live_end(&j->line);
        fputs("interrupted: saving\n", stderr);
        j->noted = 1;
    }
    return interrupted != 0;
}

/* ======================================================================== */
/* [run] What train and distil have in common                               */
/* ======================================================================== */

/* The models that a new run leaves are none of those it begins with. */
static int keep_starts(const source *from, const settings *s)
{
    static const char *const left[] = { "g_ab.safetensors",
        "g_ba.safetensors", "student.safetensors" };
    int i, k, bad = 0, distils = from->cmd->bit == DISTIL;
    char path[CGD_PATH_ROOM];
    for (i = distils ? 2 : 0; i < (distils ? 3 : 2) && !bad; i++) {
        if (!cgd_path_join(path, s->run.out, left[i])) continue;
        bad = keep_input(s->teacher, path);
        if (!bad) bad = keep_input(s->reverse, path);
        if (!bad) bad = keep_input(s->student, path);
        for (k = 0; k < 4 && !bad; k++)
            bad = keep_input(s->start[k], path);
    }
    return bad;
}

/* Both take a folder for the results, and will not write over another run. */
static int check_out(const source *from, const settings *s)
{
    char state[CGD_PATH_ROOM];
    if (!s->run.out)
        return fail_usage(from, "--out RUN is missing: the folder for the "
                          "results");
    if (is_file(s->run.out))
        return fail("%s is a file; --out needs a folder", s->run.out);
    if (!cgd_path_join(state, s->run.out, state_names[1]))
        return fail("the path %s is too long", s->run.out);
    if (has_state(s->run.out) && !s->run.resume)
        return fail("%s holds a run already; go on with it (--resume) or name "
                    "another folder", s->run.out);
    if (!has_state(s->run.out) && s->run.resume)
        return fail("there is nothing to resume: %s holds no state",
                    s->run.out);
    return s->run.resume ? 0 : keep_starts(from, s);
}

static int check_data(const source *from, const settings *s)
{
    const cgd_data_config *d = &s->run.data;
    int d0 = d->dir[0] != NULL, d1 = d->dir[1] != NULL;
    if (!d->root && !d0 && !d1)
        return fail_usage(from, "--data DIR is missing: the pictures to learn "
                          "from");
    if (!d->root && d0 != d1)
        return fail_usage(from, "--data-%s is missing: the pictures of "
                          "domain %s", d0 ? "b" : "a", d0 ? "B" : "A");
    if (s->size % 4 != 0 || s->height % 4 != 0)
        return fail_usage(from, "--size %lu is no multiple of 4, as the nets "
                          "need it", (unsigned long)(s->size % 4 ? s->size
                                                                 : s->height));
    return 0;
}

/* Put what has one option but several places where it belongs. */
static void spread_settings(settings *s)
{
    cgd_generator_config *g = &s->config.generator;
    if (g->norm == FROZEN) {
        g->norm = CGD_NORM_BATCH;
        if (s->freeze_part <= 0) s->freeze_part = 0.5f;
    }
    if (s->height == 0) s->height = s->size;
    s->run.data.flat = !s->recurse;
    s->run.data.size = s->size;
    s->run.data.height = s->height;
    s->run.data.load_size = s->load_size;
    s->run.data.load_height = s->load_height;
    s->config.width = s->size;
    s->config.height = s->height;
    g->in_channels = (int)s->run.data.channels[0];
    g->out_channels = (int)s->run.data.channels[1];
    s->run.data.seed = s->config.seed = s->seed;
    s->config.answer_bytes = s->answers > (size_t)-1 >> 20 ? (size_t)-1
                           : s->answers << 20;
}

/* From epochs to steps, and when the learning rate begins to fall. */
static void plan_steps(settings *s, unsigned long pictures)
{
    cgd_schedule *plan = &s->config.schedule;
    unsigned long batch = (unsigned long)s->config.batch;
    unsigned long epoch = (pictures + batch - 1) / batch;
    unsigned long fall = s->decay * epoch;
    int stairs = plan->kind == CGD_LR_STEP;
    if (s->steps > 0) s->run.steps = s->steps;
    else s->run.steps = (s->epochs + (stairs ? 0 : s->decay)) * epoch;
    if (fall == 0)
        fall = (unsigned long)(s->decay_part * (double)s->run.steps + 0.5);
    if (fall > s->run.steps) fall = s->run.steps;
    plan->total = s->run.steps;
    s->config.freeze = 0;                                /* never            */
    if (s->freeze_part > 0)
        s->config.freeze = 1 + (unsigned long)
            ((1 - (double)s->freeze_part) * (double)(s->run.steps - 1));
    plan->start = stairs ? fall + (fall == 0) * s->run.steps
                         : s->run.steps - fall;
}

/* What the numbers in the pictures mean, where it goes without saying not. */
static void print_range(FILE *to, const cgd_range range[2], const char *first,
                        const char *second)
{
    int i;
    if (range[0].lo == range[0].hi && range[1].lo == range[1].hi
        && range[0].white <= 255 && range[1].white <= 255) return;
    fprintf(to, "values:");
    for (i = 0; i < 2; i++) {
        const cgd_range *r = &range[i];
        int whole = r->lo == r->hi;
        fprintf(to, "%s %g to %g %s", i ? "," : "", whole ? 0.0 : (double)r->lo,
               whole ? (double)r->white : (double)r->hi, i ? second : first);
    }
    fprintf(to, ", taken as -1 to 1\n");
}

/* Look at the data, without the warnings: the run itself will give them. What
 * was measured is from now on what was asked for. */
static int survey_data(settings *s)
{
    cgd_ctx ctx;
    cgd_options quiet;
    cgd_dataset data;
    cgd_status status;
    memset(&quiet, 0, sizeof quiet);
    quiet.threads = 1;
    cgd_init(&ctx, &quiet);
    cgd_use_pictures(&ctx);
    s->run.data.channels[0] = (size_t)s->config.generator.in_channels;
    s->run.data.channels[1] = (size_t)s->config.generator.out_channels;
    status = cgd_dataset_open(&ctx, &data, &s->run.data);
    if (status == CGD_OK) {
        memcpy(s->run.data.range, data.config.range, sizeof data.config.range);
        s->run.data.measure = 0;
        printf("pictures: %lu of A, %lu of B, taken as %lu x %lu\n",
               (unsigned long)cgd_dataset_count(&data, 0),
               (unsigned long)cgd_dataset_count(&data, 1),
               (unsigned long)s->size, (unsigned long)s->height);
        print_range(stdout, data.config.range, "of A", "of B");
        plan_steps(s, data.epoch_length);
        cgd_dataset_close(&data);
    } else {
        fail_status(&ctx, status);
    }
    cgd_free(&ctx);
    return status == CGD_OK ? 0 : STATUS_FAILED;
}

/* "generator: 9 blocks, 16 wide, 714339 parameters, 208.01 MMACs a picture" */
static void print_generator(cgd_ctx *ctx, const char *name,
                            const cgd_generator_config *config, size_t w,
                            size_t h)
{
    phrase blocks, macs;
    cgd_net net;
    cgd_cost cost;
    if (cgd_generator_init(ctx, &net, config) != CGD_OK) return;
    cost = cgd_net_cost(&net, h, w);
    printf("%s: %s, %d wide, %lu parameters, %s a picture\n", name,
           in_number(&blocks, (unsigned long)config->blocks, "block"),
           config->width, (unsigned long)cost.params,
           in_macs(&macs, cost.macs));
    cgd_net_free(&net);
}

static void print_discriminator(cgd_ctx *ctx,
                                const cgd_discriminator_config *config,
                                size_t w, size_t h)
{
    phrase macs;
    cgd_net net;
    cgd_cost cost;
    if (cgd_discriminator_init(ctx, &net, config) != CGD_OK) return;
    cost = cgd_net_cost(&net, h, w);
    printf("discriminator: %lu parameters, %s a picture\n",
           (unsigned long)cost.params, in_macs(&macs, cost.macs));
    cgd_net_free(&net);
}

static void print_plan(const job *j)
{
    const settings *s = j->s;
    unsigned long batch = (unsigned long)s->config.batch;
    phrase threads, steps, pictures;
    printf("kernels: %s, %s\n", cgd_kernels_name(&j->ctx),
           in_number(&threads, (unsigned long)cgd_threads(&j->ctx),
                     "thread"));
    printf("run: %s of %s a domain, into %s\n",
           in_number(&steps, s->run.steps, "step"),
           in_number(&pictures, batch, "picture"), s->run.out);
    fflush(stdout);
}

/* The last words. status is what the run returned. */
static int finish_run(job *j, cgd_status status, const char *results)
{
    const char *out = j->s->run.out;
    live_end(&j->line);
    if (status == CGD_STOPPED) {
        printf("stopped after step %lu; go on with: cgd %s --resume --out "
               "%s\n", j->step, j->cmd->name, out);
        return STATUS_INTERRUPTED;
    }
    if (status != CGD_OK) return fail_status(&j->ctx, status);
    if (j->reports == 0)
        printf("nothing to do: this run has done all its steps; --steps or "
               "--epochs can give it more\n");
    else
        printf("done: %s in %s\n", results, out);
    return 0;
}

static int open_job(job *j, const command *cmd, settings *s)
{
    memset(j, 0, sizeof *j);
    j->cmd = cmd;
    j->s = s;
    s->run.started = on_start;
    s->run.progress = on_progress;
    s->run.user = j;
#ifdef SIGPIPE
    signal(SIGPIPE, SIG_IGN);        /* whoever reads the output may leave   */
#endif
    return open_context(&j->ctx, s, &j->line);
}

static void close_job(job *j)
{
    int i;
    for (i = 0; i < JOB_NETS; i++) cgd_net_free(&j->nets[i]);
    cgd_free(&j->ctx);
}

/* Train or distil with the options in the state. */
static int run_job(job *j, const char *results)
{
    settings *s = j->s;
    char *text = options_text(j->cmd, s);
    cgd_status status;
    if (!text) return fail("out of memory");
    s->run.options = text;
    status = cgd_train_run(&j->ctx, &s->config, &s->run);
    free(text);
    return finish_run(j, status, results);
}

/* ======================================================================== */
/* [train]                                                                  */
/* ======================================================================== */

/* Nets to start from decide the shape of those that are trained. What their
 * files leave open is as the options say. */
static int follow_start(job *j, int i)
{
    cgd_train_config *c = &j->s->config;
    cgd_import_options open = j->s->from;
    const char *path = j->s->start[i];
    cgd_net *net = &j->nets[i];
    int bad;
    if (c->generator.up != CGD_UP_DECONV) open.up = c->generator.up;
    open.norm = c->generator.norm;
    bad = read_net(&j->ctx, net, path, &open);
    if (bad) return bad;
    j->s->run.start[i] = net;
    if (net->is_generator != (i < 2))
        return fail("%s holds a %s, where a %s is needed", path,
                    i < 2 ? "discriminator" : "generator",
                    i < 2 ? "generator" : "discriminator");
    if (i < 2) {
        c->generator = net->generator;
        c->generator.in_channels = i ? net->generator.out_channels
                                     : net->generator.in_channels;
        c->generator.out_channels = i ? net->generator.in_channels
                                      : net->generator.out_channels;
    } else {
        c->discriminator = net->discriminator;
    }
    return 0;
}

/* Have both generators the same layers, but for the pictures' channels? */
static int same_shape(const cgd_net *ab, const cgd_net *ba)
{
    cgd_generator_config a = ab->generator, b = ba->generator;
    a.in_channels = b.in_channels;
    a.out_channels = b.out_channels;
    memcpy(a.range, b.range, sizeof a.range);
    return ab->generator.in_channels == b.out_channels
        && ab->generator.out_channels == b.in_channels
        && memcmp(&a, &b, sizeof a) == 0;
}

static int follow_starts(job *j)
{
    const settings *s = j->s;
    int i, bad = 0;
    for (i = 0; i < 4 && !bad; i++)
        if (s->start[i]) bad = follow_start(j, i);
    if (!bad && s->start[0] && s->start[1]
        && !same_shape(&j->nets[0], &j->nets[1]))
        return fail("%s is a net of other layers than %s", s->start[0],
                    s->start[1]);
    return bad;
}

/* The discriminators of the state that --inherit names, with their shape. */
static int follow_judges(job *j)
{
    static const char *const prefix[4] = { "", "", "d_a.", "d_b." };
    settings *s = j->s;
    cgd_file file;
    int i;
    cgd_status status = cgd_file_open(&j->ctx, &file, s->inherit);
    for (i = 3; i >= 2 && status == CGD_OK; i--) {
        status = cgd_net_load(&j->ctx, &j->nets[i], &file, prefix[i]);
        s->run.start[i] = &j->nets[i];
    }
    cgd_file_close(&file);
    if (status != CGD_OK) return fail_status(&j->ctx, status);
    s->config.discriminator = j->nets[3].discriminator;
    return 0;
}

static int run_train(const command *cmd, settings *s)
{
    const cgd_train_config *c = &s->config;
    source from;
    job j;
    int bad;
    from.cmd = cmd;
    from.file = NULL;
    bad = check_out(&from, s);
    if (!bad) bad = check_data(&from, s);
    if (bad) return bad;
    spread_settings(s);
    bad = open_job(&j, cmd, s);
    if (bad) return bad;
    bad = follow_starts(&j);
    if (!bad) bad = survey_data(s);
    if (!bad) {
        print_generator(&j.ctx, "generator", &c->generator, s->size,
                        s->height);
        print_discriminator(&j.ctx, &c->discriminator, s->size, s->height);
        print_plan(&j);
        bad = run_job(&j, "g_ab.safetensors and g_ba.safetensors");
    }
    close_job(&j);
    return bad;
}

/* ======================================================================== */
/* [distil]                                                                 */
/* ======================================================================== */

/* Is no stage of a wider than b's? */
static int fits_in(const cgd_generator_config *a,
                   const cgd_generator_config *b)
{
    size_t own[6], its[6], i;
    cgd__stages(a, own);
    cgd__stages(b, its);
    for (i = 0; i < 6; i++) if (own[i] > its[i]) return 0;
    return 1;
}

/* Fill in what the student's options leave to the teacher. */
static void follow_teacher(settings *s, const cgd_generator_config *teacher)
{
    cgd_generator_config *g = &s->config.generator;
    int ba = s->config.direction == 1;           /* the configuration is ab  */
    g->in_channels = ba ? teacher->out_channels : teacher->in_channels;
    g->out_channels = ba ? teacher->in_channels : teacher->out_channels;
    if (g->norm == AS_TEACHER) g->norm = teacher->norm;
    if (g->up == AS_TEACHER) g->up = teacher->up;
    if (g->up == teacher->up) g->zero_pad = teacher->zero_pad;
    if (g->width == 0 || g->width == teacher->width) {
        int i;
        g->width = teacher->width;
        if (g->blocks == teacher->blocks && g->stage[3] == 0)
            memcpy(g->inside, teacher->inside, sizeof g->inside);
        else if (g->stage[3] == 0)     /* fits into whichever block is met   */
            for (i = 0; i < teacher->blocks; i++)
                if (teacher->inside[i] && (g->stage[3] == 0
                                           || teacher->inside[i] < g->stage[3]))
                    g->stage[3] = teacher->inside[i];
        for (i = 0; i < 6; i++)
            if (g->stage[i] == 0) g->stage[i] = teacher->stage[i];
    }
    g->image_stats = teacher->image_stats;
    memcpy(g->range, teacher->range, sizeof g->range);
    s->run.data.channels[0] = (size_t)g->in_channels;
    s->run.data.channels[1] = (size_t)g->out_channels;
    if (s->config.transfer == UNSET)
        s->config.transfer = !fits_in(g, teacher) ? CGD_TRANSFER_NONE
                           : g->blocks == teacher->blocks || s->config.cuts > 1
                           ? CGD_TRANSFER_PRUNE : CGD_TRANSFER_FULL;
}

/* A student learns on the numbers that its teacher learnt on. */
static void follow_range(settings *s, const cgd_generator_config *teacher)
{
    cgd_range *own = s->run.data.range;
    int d;
    for (d = 0; d < 2 && !s->run.data.measure; d++)
        if (own[d].lo == own[d].hi)
            own[d] = teacher->range[d ^ (s->config.direction == 1)];
}

/* Read the teacher, and the generator of the way back. */
static int meet_teacher(job *j)
{
    settings *s = j->s;
    cgd_import_options open = cgd_import_defaults();
    cgd_net *teacher = &j->nets[JOB_TEACHER], *back = &j->nets[JOB_REVERSE];
    int bad;
    open.stats = s->from.stats;
    bad = read_generator(&j->ctx, teacher, s->teacher, &open);
    if (!bad && s->reverse)
        bad = read_generator(&j->ctx, back, s->reverse, &open);
    if (bad) return bad;
    s->run.teacher = teacher;
    if (s->reverse) s->run.reverse = back;
    print_generator(&j->ctx, "teacher", &teacher->generator, s->size,
                    s->height);
    follow_range(s, &teacher->generator);
    follow_teacher(s, &teacher->generator);
    return 0;
}

static int check_distil(const source *from, const settings *s)
{
    if (!s->teacher)
        return fail_usage(from, "--teacher FILE is missing: the generator to "
                          "learn from");
    if (s->config.direction == UNSET)
        return fail_usage(from, "--direction is missing: ab if the teacher "
                          "translates A to B, or ba");
    if (s->student && s->config.cuts > 1)
        return fail_usage(from, "--cuts begins with the teacher's channels: "
                          "it goes without --init-student");
    return 0;
}

static int run_distil(const command *cmd, settings *s)
{
    source from;
    job j;
    int bad;
    from.cmd = cmd;
    from.file = NULL;
    bad = check_out(&from, s);
    if (!bad) bad = check_data(&from, s);
    if (!bad) bad = check_distil(&from, s);
    if (bad) return bad;
    spread_settings(s);
    bad = open_job(&j, cmd, s);
    if (bad) return bad;
    bad = meet_teacher(&j);
    s->start[s->config.direction] = s->student;
    if (!bad) bad = follow_starts(&j);
    if (!bad && s->inherit) bad = follow_judges(&j);
    if (!bad) bad = survey_data(s);
    if (!bad) {
        print_generator(&j.ctx, "student", &s->config.generator,
                        s->size, s->height);
        print_plan(&j);
        bad = run_job(&j, "student.safetensors");
    }
    close_job(&j);
    return bad;
}

/* ======================================================================== */
/* [prune]                                                                  */
/* ======================================================================== */

/* Make the narrower net that the options ask for and save it. */
static cgd_status prune(cgd_ctx *ctx, settings *s, const cgd_net *from)
{
    cgd_generator_config *g = &s->config.generator;
    cgd_net net;
    cgd_status status;
    g->norm = g->up = AS_TEACHER;
    g->block = from->generator.block;
    g->antialias = from->generator.antialias;
    if (g->blocks == 0) g->blocks = from->generator.blocks;
    follow_teacher(s, &from->generator);
    status = cgd_generator_init(ctx, &net, g);
    if (status != CGD_OK) return status;
    status = cgd_transfer(&net, from, CGD_TRANSFER_PRUNE,
                          s->config.teacher_blocks);
    if (status == CGD_OK) status = cgd_net_save(&net, NULL, s->out);
    cgd_net_free(&net);
    return status;
}

static int run_prune(const command *cmd, settings *s)
{
    cgd_ctx ctx;
    live_line line;
    cgd_model model;
    cgd_status status;
    int bad;
    s->threads = 1;
    bad = open_writer(cmd, s, &ctx, &line);
    if (bad) return bad;
    bad = load_model(&ctx, &model, s->words[0], NULL);
    if (!bad) {
        status = prune(&ctx, s, &model.net);
        if (status == CGD_OK) {
            print_generator(&ctx, "before", &model.net.generator, s->size,
                            s->size);
            print_generator(&ctx, "after", &s->config.generator,
                            s->size, s->size);
        }
        if (status != CGD_OK) bad = fail_status(&ctx, status);
        cgd_model_free(&model);
    }
    cgd_free(&ctx);
    return bad;
}

#endif
