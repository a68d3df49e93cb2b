/* cgd: train, distil and use CycleGANs from the command line
 *
 *     cc -O2 tools/cgd.c -o build/cgd
 *     build/cgd --help
 *
 * A thin layer over cycle_gan_distil.h: this file parses options, reports
 * progress and names files; what is learnt, and how, is the library's. One
 * table of options drives the parsing, the --help texts, the presets and what
 * a state keeps of the options, from which a run is resumed.
 *
 * Contents: [includes] [main]; the rest stands beside it: cmd_line.h holds the
 * options, cmd_common.h what commands share, cmd_NAME.h the command NAME. */

/* ======================================================================== */
/* [includes]                                                               */
/* ======================================================================== */

#define STBI_ONLY_JPEG
#define STBI_ONLY_PNG
#define STBI_ONLY_BMP
#define STBI_NO_HDR
#define STBI_NO_LINEAR
#define STBI_MALLOC(size) calloc(1, size)
#define STBI_REALLOC(p, size) realloc(p, size)
#define STBI_FREE(p) free(p)
#define STB_IMAGE_IMPLEMENTATION
#include <stb/stb_image.h>
#define STB_IMAGE_WRITE_IMPLEMENTATION
#include <stb/stb_image_write.h>

#define CGD_IMPLEMENTATION
#define CGD_JUDGE_IMPLEMENTATION
#define CGD_EXPORT_IMPLEMENTATION
#define CGD_IMPORT_IMPLEMENTATION
#define CGD_PACK_IMPLEMENTATION
#define CGD_PICTURES_IMPLEMENTATION
#include "../cycle_gan_distil.h"
#include "cgd_export.h"
#include "cgd_import.h"
#include "cgd_judge.h"
#include "cgd_pack.h"
#include "cgd_pictures.h"
#include "scene.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#ifdef _WIN32
#include <io.h>
#include <shellapi.h>
#else
#include <strings.h>
#include <unistd.h>
#endif

/* Exit statuses besides 0. An interrupted run has saved its state, but what
 * stands after it in a script must not take it for finished. */
enum { STATUS_FAILED = 1, STATUS_USAGE = 2, STATUS_INTERRUPTED = 130 };

#include "cmd_line.h"
#include "cmd_common.h"
#include "cmd_train.h"
#include "cmd_translate.h"
#include "cmd_export.h"
#include "cmd_info.h"
#include "cmd_dataset.h"
#include "cmd_import.h"
#include "cmd_eval.h"
#include "cmd_plan.h"

/* ======================================================================== */
/* [main]                                                                   */
/* ======================================================================== */

static const command commands[] = {
{ "dataset", DATASET, run_dataset, 1, 1, "DIR [options]",
  "draw two domains of landscapes to learn from",
  "Draws landscapes by day (A) and as paintings of dusk (B) into the folders\n"
  "trainA, trainB, testA and testB of DIR. The training folders are unpaired:\n"
  "no scene is in both. The test folders are: pictures of one name show one\n"
  "scene. The same options draw the same pictures everywhere.\n" },
{ "train", TRAIN, run_train, 0, 0, "--data DIR --out RUN [options]",
  "train the generators of both directions",
  "Trains a CycleGAN on two folders of unpaired pictures: JPEG, PNG, BMP, or\n"
  "arrays (.npy, .safetensors), with 16 bits or floating point too: --range.\n"
  "RUN then holds g_ab.safetensors and g_ba.safetensors, the generators;\n"
  "state.safetensors, from which --resume goes on exactly where the run\n"
  "stopped, with the options it was begun with, and the state before that,\n"
  "in case that one is damaged; log.csv; and samples/. Ctrl-C (or SIGTERM,\n"
  "or SIGHUP) ends the run after the step it is in, and saves it.\n" },
{ "distil", DISTIL, run_distil, 0, 0,
  "--data DIR --teacher FILE --direction ab|ba --out RUN ...",
  "teach a small generator what a large one does",
  "Trains a student, a generator with fewer blocks or channels, to do what a\n"
  "trained one does. RUN then holds student.safetensors, and what `cgd train`\n"
  "leaves there too: state, log, samples.\n" },
{ "prune", PRUNE, run_prune, 1, 1, "MODEL -o FILE [options]",
  "cut a generator down to the channels that matter",
  "Writes a generator with fewer channels or blocks: those of MODEL that the\n"
  "layers behind them listen to most. Taught again by cgd distil with\n"
  "--init-student, cut again, and so on in small steps, it keeps more of a\n"
  "teacher than a student of its size that begins small.\n" },
{ "translate", TRANSLATE, run_translate, 2, 1 << 20,
  "MODEL IN... -o OUT [options]",
  "translate pictures of any size",
  "Translates pictures with a generator: files, or all pictures of folders.\n"
  "The result has the picture's own size, and the kind that its name says.\n"
  "If there are several, or OUT ends in /, OUT is a folder and the names stay\n"
  "the same.\n" },
{ "export", EXPORT, run_export, 1, 1, "MODEL --onnx FILE ... [options]",
  "write a model for PyTorch, ONNX runtimes or C",
  "Writes a generator in one or several formats of other programs. With\n"
  "--frozen or --calibrate the norms of each are folded into its convolutions\n"
  "first, which makes it faster and its translation a little different: see\n"
  "what `cgd translate` makes of it with --safetensors.\n" },
{ "eval", EVAL, run_eval, 0, 1, "[FOLDER | --model FILE --input FOLDER] ...",
  "judge translations, in numbers and on a page",
  "Judges a folder of outputs, or what a model makes of the input, against\n"
  "the truth (pairs have one name, whatever the ending), a teacher, and real\n"
  "pictures as a set; in any combination. The figures of the input as it is,\n"
  "of the mean training picture and of real pictures against each other give\n"
  "the scale.\n\n"
  "  cgd eval OUTPUTS --truth testB\n"
  "  cgd eval --model student.safetensors --teacher g_ab.safetensors \\\n"
  "      --input testA --truth testB --html report.html\n"
  "  cgd eval OUTPUTS --real testB\n" },
{ "info", INFO, run_info, 1, 1, "FILE [options]",
  "show what is in a model, a state or a packed file",
  "Shows the layers, shapes, parameters, multiply-accumulates and memory of a\n"
  "model, or of every net in a training state.\n" },
{ "pack", PACK, run_pack, 1, 1, "DIR -o FILE [options]",
  "decode a folder of pictures once, into one file",
  "Decodes the pictures in DIR's trainA, trainB, testA and testB and writes\n"
  "them into one file, which --data takes in place of DIR.\n" },
{ "import", IMPORT, run_import, 1, 1, "FILE -o MODEL [--key KEY] | FILE --list",
  "turn a PyTorch file into a model",
  "Reads a file of torch.save (.pth, .pt, .th, .ckpt) or a safetensors file\n"
  "from Python without running anything in it, finds the CycleGAN generator\n"
  "or discriminator, and writes it as a model: the official layout, that of\n"
  "GAN Compression's mobile nets, or the original distillation project's.\n" },
{ "plan", PLAN, run_plan, 0, 0, "--macs|--params|--ram|--ms N [options]",
  "list the students that fit a budget",
  "Lists generators that fit, the largest first, with what they cost and how\n"
  "long a picture takes here. Each line begins with the options that `cgd\n"
  "distil` needs to make that student.\n" }
};

enum { N_COMMANDS = sizeof commands / sizeof commands[0] };

static void print_usage(void)
{
    int i;
    printf("usage: cgd COMMAND ...\n\n"
           "Learn to translate pictures of one kind into another, from two "
           "folders of\nunpaired examples, and distil the result into a "
           "small, fast network.\n\n");
    for (i = 0; i < N_COMMANDS; i++)
        printf("  %-11s %s\n", commands[i].name, commands[i].summary);
    printf("\ncgd COMMAND --help shows its options, cgd --version the "
           "version.\n");
}

static int is_help(const char *argument)
{
    return strcmp(argument, "--help") == 0 || strcmp(argument, "-h") == 0;
}

/* The preset named on the command line, or NULL. */
static const char *preset_given(int argc, char **argv)
{
    int i;
    for (i = 0; i < argc; i++) {
        if (strncmp(argv[i], "--preset=", 9) == 0) return argv[i] + 9;
        if (strcmp(argv[i], "--preset") == 0 && i + 1 < argc
            && !is_help(argv[i + 1])) return argv[i + 1];
    }
    return NULL;
}

static int show_help(const command *cmd, settings *s, int argc, char **argv)
{
    source line;
    int bad = 0;
    line.cmd = cmd;
    line.file = NULL;
    if (cmd->bit & RUNS)
        bad = apply_preset(&line, s, preset_given(argc, argv));
    if (!bad) print_help(cmd, s);
    return bad;
}

static int run_command(const command *cmd, int argc, char **argv)
{
    settings s;
    source line;
    char *text = NULL;
    int i, bad;
    line.cmd = cmd;
    line.file = NULL;
    default_settings(&s, cmd->bit);
    for (i = 0; i < argc; i++)
        if (is_help(argv[i])) return show_help(cmd, &s, argc, argv);
    s.words = (char **)calloc((size_t)argc + 1, sizeof *s.words);
    if (!s.words) return fail("out of memory");
    bad = cmd->bit & RUNS ? parse_run(cmd, &s, argc, argv, &text)
                          : parse_line(&line, &s, argc, argv);
    if (!bad) bad = cmd->run(cmd, &s);
    free((void *)s.words);
    free(text);
    return bad;
}

static int run_line(int argc, char **argv)
{
    int i;
    if (argc < 2 || is_help(argv[1]) || strcmp(argv[1], "help") == 0) {
        print_usage();
        return argc < 2 ? STATUS_USAGE : 0;
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("cgd %s\n", CGD_VERSION);
        return 0;
    }
    for (i = 0; i < N_COMMANDS; i++)
        if (strcmp(argv[1], commands[i].name) == 0) {
            warn_unoptimised();
            return run_command(&commands[i], argc - 2, argv + 2);
        }
    fail("there is no command \"%s\" (see cgd --help)", argv[1]);
    return STATUS_USAGE;
}

/* Windows has the arguments, and a terminal the texts, in a code page that
 * holds few of the world's letters; here both are UTF-8. What this takes from
 * the system it keeps to the end. */
static char **utf8_line(int *argc, char **argv)
{
#ifdef _WIN32
    wchar_t **wide = CommandLineToArgvW(GetCommandLineW(), argc);
    char **words = wide ? (char **)calloc((size_t)*argc + 1, sizeof *words)
                        : NULL;
    int i;
    if (!words) return argv;
    for (i = 0; i < *argc; i++) {
        int n = WideCharToMultiByte(CP_UTF8, 0, wide[i], -1, NULL, 0, NULL,
                                    NULL);
        words[i] = (char *)calloc((size_t)n + 1, 1);
        if (words[i]) WideCharToMultiByte(CP_UTF8, 0, wide[i], -1, words[i],
                                          n, NULL, NULL);
        else words[i] = argv[0];
    }
    return words;
#else
    (void)argc;
    return argv;
#endif
}

int main(int argc, char **argv)
{
    char **words = utf8_line(&argc, argv);
    int bad;
#ifdef _WIN32
    UINT before = GetConsoleOutputCP();
    SetConsoleOutputCP(CP_UTF8);
#endif
    bad = run_line(argc, words);
#ifdef _WIN32
    fflush(stdout);
    SetConsoleOutputCP(before);
#endif
    if (fflush(stdout) != 0 || ferror(stdout))
        return fail("standard output cannot be written: is the disk full?");
    return bad;
}
