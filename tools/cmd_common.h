/* cmd_common.h: what the commands share; part of tools/cgd.c
 *
 * Sizes and times in words, the live line on a terminal, warnings, contexts,
 * files and folders.                                                       */

#ifndef CMD_COMMON_H
#define CMD_COMMON_H

/* ======================================================================== */
/* [report] What a user wants to know                                       */
/* ======================================================================== */

static double seconds_now(void)
{
#ifdef _WIN32
    return (double)GetTickCount64() / 1000.0;
#else
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
#endif
}

static int is_terminal(FILE *f)
{
#ifdef _WIN32
    return _isatty(_fileno(f));
#else
    return isatty(fileno(f));
#endif
}

/* Quantities for texts, put into a phrase and returned as a string. */
typedef struct phrase { char text[40]; } phrase;

static const char *in_bytes(phrase *p, size_t bytes)
{
    const size_t room = sizeof p->text;
    if (bytes < 1048576)
        put_text(p->text, room, "%.0f KB", (double)bytes / 1024);
    else if (bytes < (size_t)1 << 30)
        put_text(p->text, room, "%.1f MB", (double)bytes / 1048576);
    else put_text(p->text, room, "%.2f GB", (double)bytes / 1073741824);
    return p->text;
}

static const char *in_macs(phrase *p, double macs)
{
    const size_t room = sizeof p->text;
    if (macs < 1e9) put_text(p->text, room, "%.2f MMACs", macs / 1e6);
    else put_text(p->text, room, "%.2f GMACs", macs / 1e9);
    return p->text;
}

/* "1 block", "9 blocks" */
static const char *in_number(phrase *p, unsigned long n, const char *what)
{
    put_text(p->text, sizeof p->text, "%lu %s%s", n, what,
             n == 1 ? "" : "s");
    return p->text;
}

/* A line that is written over, on a terminal. */
typedef struct live_line {
    int terminal;
    int length;                      /* of what stands there now             */
    double last;                     /* when something was written           */
} live_line;

static void live_init(live_line *l)
{
    l->terminal = is_terminal(stderr);
    l->length = 0;
    l->last = 0;
}

/* Often on a terminal, every ten seconds elsewhere. */
static int live_due(const live_line *l, double now)
{
    return now - l->last >= (l->terminal ? 0.1 : 10.0);
}

static void live_show(live_line *l, const char *text, double now)
{
    int n = (int)strlen(text);
    if (l->terminal) {
        fprintf(stderr, "\r%s%*s", text, l->length > n ? l->length - n : 0,
                "");
    } else {
        fprintf(stderr, "%s\n", text);
    }
    fflush(stderr);
    l->length = n;
    l->last = now;
}

/* Something else is about to be written. */
static void live_end(live_line *l)
{
    if (l->terminal && l->length > 0) fputc('\n', stderr);
    l->length = 0;
}

static void on_warning(void *user, const char *sentence)
{
    live_end((live_line *)user);
    fprintf(stderr, "cgd: warning: %s\n", sentence);
}

/* Fast kernels are compiled optimised under GCC whatever the flags; under
 * other compilers the flags decide, so say when they were forgotten. */
static void warn_unoptimised(void)
{
#if (defined(__clang__) && !defined(__OPTIMIZE__)) \
    || (defined(_MSC_VER) && defined(_DEBUG))
    fputs("cgd: this program was compiled without optimisation and will be "
          "slow; compile it with -O2\n", stderr);
#endif
}

/* A context with the threads and kernels asked for. */
static int open_context(cgd_ctx *ctx, const settings *s, live_line *line)
{
    const char *kernels = s->kernels ? s->kernels : getenv("CGD_ISA");
    cgd_options o;
    cgd_status status = CGD_OK;
    memset(&o, 0, sizeof o);
    o.threads = s->threads;
    o.warn = on_warning;
    o.warn_user = line;
    live_init(line);
    cgd_init(ctx, &o);
    cgd_use_pictures(ctx);
    if (s->background != 0) cgd_use_background(ctx, s->background - 1);
    if (s->precision == BF16) kernels = "bf16";
    if (kernels && *kernels) status = cgd_use_kernels(ctx, kernels);
    if (status == CGD_OK) return 0;
    fail_status(ctx, status);
    cgd_free(ctx);
    return STATUS_FAILED;
}

/* A picture of a set that is no good: the others do, and it is said. 0 where
 * it is not the picture's fault; the last one's is in the message. */
static int skip_picture(cgd_ctx *ctx, cgd_status status)
{
    if (!cgd__skippable(status)) return 0;
    cgd_warn(ctx, "%s; skipped", ctx->message);
    return 1;
}

static int fail_all_skipped(const cgd_ctx *ctx, const char *folder, size_t n)
{
    return fail("%s: none of the %lu pictures taken from it can be read; the "
                "last: %s", folder, (unsigned long)n, ctx->message);
}

static int is_folder(const char *path)
{
    return cgd_path_kind(path) == CGD_PATH_FOLDER;
}

static int is_file(const char *path)
{
    return cgd_path_kind(path) == CGD_PATH_FILE;
}

/* No output takes the place of an input, which would be gone. Either may be
 * NULL. */
static int keep_input(const char *in, const char *out)
{
    if (!in || !out || !cgd_path_same(in, out)) return 0;
    return fail("%s is an input, which the output would overwrite; give the "
                "output another name", in);
}

/* The same of all pictures in a folder. */
static int keep_pictures(const char *folder, const char *out)
{
    cgd_listing list;
    cgd_options quiet;
    cgd_ctx ctx;
    size_t i;
    int bad = 0;
    if (!folder || !out || !is_file(out)) return 0;
    memset(&quiet, 0, sizeof quiet);             /* who reads them will warn */
    quiet.threads = 1;
    cgd_init(&ctx, &quiet);
    cgd_use_pictures(&ctx);
    if (cgd_list_pictures(&ctx, &list, folder, 1) == CGD_OK) {
        for (i = 0; i < list.count && !bad; i++)
            bad = keep_input(list.paths[i], out);
        cgd_listing_free(&ctx, &list);
    }
    cgd_free(&ctx);
    return bad;
}

/* The same for a command that writes a file. */
static int open_writer(const command *cmd, settings *s, cgd_ctx *ctx,
                       live_line *line)
{
    source from;
    from.cmd = cmd;
    from.file = NULL;
    if (!s->out)
        return fail_usage(&from, "-o FILE is missing: the file to write");
    if (keep_input(s->words[0], s->out)) return STATUS_FAILED;
    return open_context(ctx, s, line);
}

/* ======================================================================== */
/* [nets] Out of files                                                      */
/* ======================================================================== */

/* The net of a file, ours or PyTorch's; of several, the one under a key. */
static int read_net(cgd_ctx *ctx, cgd_net *net, const char *path,
                    const cgd_import_options *options)
{
    cgd_file file;
    cgd_status status = cgd_import_open(ctx, &file, path);
    memset(net, 0, sizeof *net);
    if (status == CGD_OK) {
        status = cgd_import_net(ctx, net, &file, options);
        cgd_file_close(&file);
    }
    return status == CGD_OK ? 0 : fail_status(ctx, status);
}

/* The same where it has to be a generator. */
static int read_generator(cgd_ctx *ctx, cgd_net *net, const char *path,
                          const cgd_import_options *options)
{
    int bad = read_net(ctx, net, path, options);
    if (bad || net->is_generator) return bad;
    cgd_net_free(net);
    return fail("%s%s%s is a discriminator, not a generator",
                options->key ? options->key : "", options->key ? " of " : "",
                path);
}

/* A single generator's file, or with --net one net of a training state. */
static int load_model(cgd_ctx *ctx, cgd_model *model, const char *path,
                      const char *net)
{
    cgd_import_options options = cgd_import_defaults();
    memset(model, 0, sizeof *model);
    options.key = net;
    return read_generator(ctx, &model->net, path, &options);
}

#endif
