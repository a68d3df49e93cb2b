/* cgd: train, distil and use CycleGANs from the command line
 *
 *     cc -O2 tools/cgd.c -o build/cgd
 *     build/cgd --help
 *
 * A thin layer over cycle_gan_distil.h: this file parses options, reports
 * progress and names files; what is learnt, and how, is the library's. One
 * table of options drives the parsing, the --help texts, the presets and the
 * options.txt from which a run is resumed.
 *
 * Contents: [includes] [settings] [options] [presets] [parse] [help] [report]
 *           [progress] [run] [train] [distil] [translate] [export] [info]
 *           [dataset] [pack] [plan] [more] [main]; cmd_NAME.h holds cgd NAME */

/* ======================================================================== */
/* [includes]                                                               */
/* ======================================================================== */

#define STBI_ONLY_JPEG
#define STBI_ONLY_PNG
#define STBI_ONLY_BMP
#define STBI_NO_HDR
#define STBI_NO_LINEAR
#define STBI_MAX_DIMENSIONS 32768
#define STB_IMAGE_IMPLEMENTATION
#include <stb/stb_image.h>
#define STB_IMAGE_WRITE_IMPLEMENTATION
#include <stb/stb_image_write.h>

#define CGD_IMPLEMENTATION
#include "../cycle_gan_distil.h"
#include "scene.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#ifdef _WIN32
#include <direct.h>
#include <io.h>
#else
#include <unistd.h>
#endif

enum { PATH_ROOM = 1024 };

/* Exit statuses besides 0. An interrupted run has saved its state, but what
 * stands after it in a script must not take it for finished. */
enum { STATUS_FAILED = 1, STATUS_USAGE = 2, STATUS_INTERRUPTED = 130 };

/* ======================================================================== */
/* [settings] What the options set                                          */
/* ======================================================================== */

/* The library's own configurations, and what only the program knows. The
 * options write straight into them: see offsetof in the table below. */
typedef struct settings {
    cgd_distil_config distil;        /* `train` uses the .train in it        */
    cgd_run_config run;
    const char *preset;
    const char *teacher, *reverse, *student;
    const char *out;                 /* -o of translate and pack             */
    const char *model, *input, *truth, *real, *train, *csv, *html;  /* eval  */
    size_t replicates;
    const char *net, *key;
    const char *kernels;
    size_t size;                     /* side of pictures, in pixels          */
    size_t load_size;
    unsigned long steps, epochs, decay;
    float decay_part, freeze_part;
    size_t answers;                  /* megabytes                            */
    size_t count, tests;
    int filter;
    int raw, list;
    const char *safetensors, *pth, *onnx, *c_header;      /* export to these */
    const char *calibrate;
    int dtype, frozen;
    int threads, precision;
    cgd_u32 seed;
    float plan_macs, plan_params;    /* budgets of `plan`; 0: none           */
    float plan_ram, plan_ms;
    char **words;                    /* arguments that are no options        */
    int n_words;
} settings;

/* Commands as bits, so that a row of the table can serve several of them.
 * KEEP marks what options.txt remembers. */
enum {
    DATASET = 1, TRAIN = 2, DISTIL = 4, TRANSLATE = 8, INFO = 16, PACK = 32,
    RUNS = TRAIN | DISTIL, KEEP = 64, IMPORT = 128, PLAN = 256, EVAL = 512,
    EXPORT = 1024, PRUNE = 2048, STUDENTS = DISTIL | PRUNE
};

typedef struct command {
    const char *name;
    unsigned bit;
    int (*run)(const struct command *cmd, settings *s);
    int least_words, most_words;
    const char *usage;               /* after "cgd NAME "                    */
    const char *summary;             /* for `cgd --help`                     */
    const char *story;               /* for `cgd NAME --help`                */
} command;

/* ======================================================================== */
/* [options] The table                                                      */
/* ======================================================================== */

typedef struct word { const char *name; int value; } word;

enum { AS_TEACHER = -1, UNSET = -1, FROZEN = -2 };

static const word plan_norm_words[] = {
    { "instance", CGD_NORM_INSTANCE }, { "affine", CGD_NORM_INSTANCE_AFFINE },
    { "batch", CGD_NORM_BATCH }, { "none", CGD_NORM_NONE }, { NULL, 0 }
};
static const word norm_words[] = {
    { "instance", CGD_NORM_INSTANCE }, { "affine", CGD_NORM_INSTANCE_AFFINE },
    { "batch", CGD_NORM_BATCH }, { "frozen", FROZEN },
    { "none", CGD_NORM_NONE }, { NULL, 0 }
};
static const word student_norm_words[] = {
    { "teacher", AS_TEACHER },
    { "instance", CGD_NORM_INSTANCE }, { "affine", CGD_NORM_INSTANCE_AFFINE },
    { "batch", CGD_NORM_BATCH }, { "frozen", FROZEN },
    { "none", CGD_NORM_NONE }, { NULL, 0 }
};
static const word up_words[] = {
    { "deconv", CGD_UP_DECONV }, { "nearest", CGD_UP_NEAREST },
    { "bilinear", CGD_UP_BILINEAR }, { NULL, 0 }
};
static const word student_up_words[] = {
    { "teacher", AS_TEACHER },
    { "deconv", CGD_UP_DECONV }, { "nearest", CGD_UP_NEAREST },
    { "bilinear", CGD_UP_BILINEAR }, { NULL, 0 }
};
static const word block_words[] = {
    { "plain", CGD_BLOCK_PLAIN }, { "separable", CGD_BLOCK_SEPARABLE },
    { NULL, 0 }
};
static const word disc_words[] = {
    { "patch", CGD_DISC_PATCH }, { "five", CGD_DISC_FIVE },
    { "pixel", CGD_DISC_PIXEL }, { NULL, 0 }
};
static const word gan_words[] = {
    { "lsgan", CGD_GAN_LSGAN }, { "vanilla", CGD_GAN_VANILLA },
    { "hinge", CGD_GAN_HINGE }, { NULL, 0 }
};
static const word schedule_words[] = {
    { "constant", CGD_LR_CONSTANT }, { "linear", CGD_LR_LINEAR },
    { "cosine", CGD_LR_COSINE }, { "step", CGD_LR_STEP }, { NULL, 0 }
};
static const word init_words[] = {
    { "normal", CGD_INIT_NORMAL }, { "pytorch", CGD_INIT_PYTORCH },
    { "xavier", CGD_INIT_XAVIER }, { "kaiming", CGD_INIT_KAIMING },
    { NULL, 0 }
};
static const word fit_words[] = {
    { "resize", CGD_FIT_RESIZE_CROP }, { "crop", CGD_FIT_CROP },
    { "width", CGD_FIT_WIDTH_CROP }, { NULL, 0 }
};
enum { F32 = 0, BF16 };
static const word precision_words[] = {
    { "f32", F32 }, { "bf16", BF16 }, { NULL, 0 }
};
static const word filter_words[] = {
    { "bicubic", CGD_BICUBIC }, { "bilinear", CGD_BILINEAR }, { NULL, 0 }
};
static const word dtype_words[] = {
    { "f32", CGD_F32 }, { "f16", CGD_F16 }, { "bf16", CGD_BF16 }, { NULL, 0 }
};
static const word direction_words[] = { { "ab", 0 }, { "ba", 1 }, { NULL, 0 } };
static const word transfer_words[] = {
    { "auto", UNSET }, { "none", CGD_TRANSFER_NONE },
    { "updown", CGD_TRANSFER_UPDOWN }, { "full", CGD_TRANSFER_FULL },
    { "prune", CGD_TRANSFER_PRUNE }, { NULL, 0 }
};

typedef enum option_kind {
    HEADING,                     /* a line of the help                       */
    FLAG,                        /* int; --name or --no-name                 */
    INTEGER, AMOUNT, COUNT, SEED, /* int, size_t, unsigned long, cgd_u32      */
    REAL,                        /* float                                    */
    TEXT,                        /* const char *                             */
    CHOICE,                      /* int, one of the words                    */
    BLOCKS,                      /* int[16], ended by -1                     */
    STAGES                       /* int[6]; 0: what the width implies        */
} option_kind;

typedef struct option {
    const char *name;            /* without the dashes                       */
    option_kind kind;
    unsigned commands;
    size_t offset;               /* in settings                              */
    double least, most;
    const word *words;           /* CHOICE                                   */
    const char *argument;        /* its name in the help; FLAG: NULL         */
    const char *help;
} option;

#define AT(member) offsetof(settings, member)
#define TRAIN_AT(member) offsetof(settings, distil.train.member)
#define NET_AT(member) offsetof(settings, distil.train.generator.member)
#define DISC_AT(member) offsetof(settings, distil.train.discriminator.member)

static const option options[] = {
{ "Which run", HEADING, RUNS, 0, 0, 0, NULL, NULL, NULL },
{ "preset", TEXT, RUNS | KEEP, AT(preset), 0, 0, NULL, "NAME",
  "start from the settings of a preset (below)" },
{ "out", TEXT, RUNS, AT(run.out), 0, 0, NULL, "RUN",
  "folder for the state, log, samples and results" },
{ "resume", FLAG, RUNS, AT(run.resume), 0, 0, NULL, NULL,
  "go on from RUN's state, with RUN's options" },
{ "teacher", TEXT, DISTIL | KEEP, AT(teacher), 0, 0, NULL, "FILE",
  "generator to learn from (g_ab.safetensors, ...)" },
{ "direction", CHOICE, DISTIL | KEEP, AT(distil.direction), 0, 0,
  direction_words, NULL, "what the teacher translates" },
{ "reverse", TEXT, DISTIL | KEEP, AT(reverse), 0, 0, NULL, "FILE",
  "generator of the other direction, for cycles" },
{ "train-reverse", FLAG, DISTIL | KEEP, AT(distil.train_reverse), 0, 0, NULL,
  NULL, "the reverse generator learns on; else frozen" },
{ "answers", AMOUNT, DISTIL | KEEP, AT(answers), 0, 1000000, NULL, "MB",
  "memory for what the teacher said of pictures that\n"
  "come again (whole, not as random crops)" },
{ "init-student", TEXT, DISTIL | KEEP, AT(student), 0, 0, NULL, "FILE",
  "generator to start from instead of the teacher's\n"
  "layers, of cgd or PyTorch; it decides the shape" },
{ "Nets to start from, of cgd or PyTorch; they decide the shape", HEADING,
  TRAIN, 0, 0, 0, NULL, NULL, NULL },
{ "init-gab", TEXT, TRAIN | KEEP, AT(run.start[0]), 0, 0, NULL, "FILE",
  "generator from A to B" },
{ "init-gba", TEXT, TRAIN | KEEP, AT(run.start[1]), 0, 0, NULL, "FILE",
  "generator from B to A" },
{ "init-da", TEXT, TRAIN | KEEP, AT(run.start[2]), 0, 0, NULL, "FILE",
  "discriminator of pictures of A" },
{ "init-db", TEXT, TRAIN | KEEP, AT(run.start[3]), 0, 0, NULL, "FILE",
  "discriminator of pictures of B" },
{ "Data", HEADING, RUNS, 0, 0, 0, NULL, NULL, NULL },
{ "data", TEXT, RUNS | KEEP, AT(run.data.root), 0, 0, NULL, "DIR",
  "folder with trainA and trainB, or a packed file" },
{ "data-a", TEXT, RUNS | KEEP, AT(run.data.dir[0]), 0, 0, NULL, "DIR",
  "pictures of domain A, ..." },
{ "data-b", TEXT, RUNS | KEEP, AT(run.data.dir[1]), 0, 0, NULL, "DIR",
  "... and of B, instead of --data" },
{ "size", AMOUNT, RUNS | KEEP, AT(size), 4, 4096, NULL, "N",
  "side of the squares trained on, a multiple of 4" },
{ "load-size", AMOUNT, RUNS | KEEP, AT(load_size), 0, 4096, NULL, "N",
  "side before the random crop; 0: no crop" },
{ "fit", CHOICE, RUNS | KEEP, AT(run.data.fit), 0, 0, fit_words, NULL,
  "resize to squares, crop only, or keep the aspect" },
{ "filter", CHOICE, RUNS | KEEP, AT(run.data.filter), 0, 0, filter_words,
  NULL, "how pictures are resized" },
{ "flip", FLAG, RUNS | KEEP, AT(run.data.flip), 0, 0, NULL, NULL,
  "mirror half of the pictures" },
{ "Generators", HEADING, TRAIN, 0, 0, 0, NULL, NULL, NULL },
{ "Student", HEADING, DISTIL, 0, 0, 0, NULL, NULL, NULL },
{ "ngf", INTEGER, TRAIN | KEEP, NET_AT(width), 1, 1024, NULL, "N",
  "width: channels after the first layer" },
{ "ngf", INTEGER, STUDENTS | KEEP, NET_AT(width), 0, 1024, NULL, "N",
  "width; 0: as the teacher" },
{ "stages", STAGES, RUNS | PRUNE | KEEP, NET_AT(stage), 0, 16384, NULL, "LIST",
  "six widths, after stem, down 1, down 2, inside\n"
  "blocks, after up 1, up 2; 0: from --ngf" },
{ "blocks", INTEGER, RUNS | KEEP, NET_AT(blocks), 0, 64, NULL, "N",
  "residual blocks" },
{ "blocks", INTEGER, PRUNE, NET_AT(blocks), 0, 64, NULL, "N",
  "residual blocks; 0: as the teacher" },
{ "norm", CHOICE, TRAIN | KEEP, NET_AT(norm), 0, 0, norm_words, NULL,
  "normalisation; frozen: folded away at the end" },
{ "norm", CHOICE, DISTIL | KEEP, NET_AT(norm), 0, 0, student_norm_words,
  NULL, "normalisation; frozen: folded away at the end" },
{ "freeze-part", REAL, RUNS | KEEP, AT(freeze_part), 0, 1, NULL, "X",
  "part of --steps, 0..1, in which batch norms learn\n"
  "with frozen statistics, to be folded away" },
{ "up", CHOICE, TRAIN | KEEP, NET_AT(up), 0, 0, up_words, NULL,
  "upsampling" },
{ "up", CHOICE, DISTIL | KEEP, NET_AT(up), 0, 0, student_up_words, NULL,
  "upsampling" },
{ "block", CHOICE, RUNS | KEEP, NET_AT(block), 0, 0, block_words, NULL,
  "convolutions inside the residual blocks" },
{ "transfer", CHOICE, DISTIL | KEEP, AT(distil.transfer), 0, 0,
  transfer_words, NULL,
  "layers copied from the teacher at the start" },
{ "cuts", INTEGER, DISTIL | KEEP, AT(distil.cuts), 1, 10000, NULL, "N",
  "start as wide as the teacher and prune to the\n"
  "student's widths in N cuts, not at once, ..." },
{ "cut-part", REAL, DISTIL | KEEP, AT(distil.cut_part), 0, 1, NULL, "X",
  "... evenly over this part of --steps, 0..1" },
{ "init", CHOICE, RUNS | KEEP, TRAIN_AT(init), 0, 0, init_words, NULL,
  "how fresh weights are drawn; --norm none takes\n"
  "kaiming" },
{ "Discriminators", HEADING, RUNS, 0, 0, 0, NULL, NULL, NULL },
{ "disc", CHOICE, RUNS | KEEP, DISC_AT(kind), 0, 0, disc_words, NULL,
  "PatchGAN, plain five convolutions, 1x1 pixels" },
{ "disc-layers", INTEGER, RUNS | KEEP, DISC_AT(layers), 1, 8, NULL, "N",
  "stride-2 layers of the PatchGAN" },
{ "ndf", INTEGER, RUNS | KEEP, DISC_AT(width), 1, 1024, NULL, "N",
  "width" },
{ "inherit", TEXT, DISTIL | KEEP, AT(run.inherit), 0, 0, NULL, "STATE",
  "start from those of the teacher's training: its\n"
  "state.safetensors; their shape is then theirs" },
{ "pool", AMOUNT, RUNS | KEEP, TRAIN_AT(pool), 0, 100000, NULL, "N",
  "earlier fakes they are shown again; 0: none" },
{ "Losses, by weight", HEADING, RUNS, 0, 0, 0, NULL, NULL, NULL },
{ "output", REAL, DISTIL | KEEP, AT(distil.output_weight), 0, 1e6, NULL, "W",
  "L1 to the teacher's output" },
{ "haar", REAL, DISTIL | KEEP, AT(distil.haar_weight), 0, 1e6, NULL, "W",
  "L1 to its high frequencies" },
{ "ssim", REAL, DISTIL | KEEP, AT(distil.ssim_weight), 0, 1e6, NULL, "W",
  "1 - SSIM to it" },
{ "contrast", REAL, DISTIL | KEEP, AT(distil.contrast_weight), 0, 1e6, NULL,
  "W", "L1 to its local contrast" },
{ "feature", REAL, DISTIL | KEEP, AT(distil.feature_weight), 0, 1e6, NULL,
  "W", "L2 to the teacher's hidden states" },
{ "channel", REAL, DISTIL | KEEP, AT(distil.channel_weight), 0, 1e6, NULL,
  "W", "L2 to the means of their channels" },
{ "alignment", REAL, DISTIL | KEEP, AT(distil.alignment_weight), 0, 1e6,
  NULL, "W", "1 - kernel alignment with them" },
{ "teacher-blocks", BLOCKS, STUDENTS | KEEP, AT(distil.teacher_blocks), 0, 255,
  NULL, "1,4,8",
  "blocks matched to the student's first, second,\n"
  "...; counted from 0; even: spread evenly" },
{ "gan", CHOICE, RUNS | KEEP, TRAIN_AT(gan), 0, 0, gan_words, NULL,
  "kind of adversarial loss" },
{ "gan-weight", REAL, RUNS | KEEP, TRAIN_AT(gan_weight), 0, 1e6, NULL, "W",
  "adversarial loss" },
{ "cycle", REAL, RUNS | KEEP, TRAIN_AT(cycle_weight), 0, 1e6, NULL, "W",
  "there and back again: L1 to the original" },
{ "identity", REAL, RUNS | KEEP, TRAIN_AT(identity_weight), 0, 1e6, NULL,
  "W", "pictures of the target domain stay as they are" },
{ "Learning", HEADING, RUNS, 0, 0, 0, NULL, NULL, NULL },
{ "steps", COUNT, RUNS | KEEP, AT(steps), 1, 1e9, NULL, "N",
  "steps in all, or instead:" },
{ "epochs", COUNT, RUNS | KEEP, AT(epochs), 0, 1e6, NULL, "N",
  "epochs at the full learning rate, plus" },
{ "decay", COUNT, RUNS | KEEP, AT(decay), 0, 1e6, NULL, "N",
  "epochs in which it falls to 0" },
{ "decay-part", REAL, RUNS | KEEP, AT(decay_part), 0, 1, NULL, "X",
  "part of --steps in which it falls, 0..1" },
{ "schedule", CHOICE, RUNS | KEEP, TRAIN_AT(schedule.kind), 0, 0,
  schedule_words, NULL,
  "how it falls; step: to a tenth, again and again\n"
  "after --decay epochs or --decay-part of --steps" },
{ "batch", AMOUNT, RUNS | KEEP, TRAIN_AT(batch), 1, 1024, NULL, "N",
  "pictures of each domain in a step" },
{ "lr", REAL, RUNS | KEEP, TRAIN_AT(lr_g), 0, 1, NULL, "X",
  "learning rate of the generators" },
{ "lr-d", REAL, RUNS | KEEP, TRAIN_AT(lr_d), 0, 1, NULL, "X",
  "learning rate of the discriminators" },
{ "beta1", REAL, RUNS | KEEP, TRAIN_AT(adam.beta1), 0, 0.9999, NULL, "X",
  "Adam's memory of gradients" },
{ "ema", REAL, RUNS | KEEP, TRAIN_AT(ema), 0, 0.999999, NULL, "X",
  "decay of the average of weights; 0: none" },
{ "seed", SEED, RUNS | KEEP, AT(seed), 0, 4294967295.0, NULL, "N",
  "another seed, another run; the same, the same" },
{ "recompute", FLAG, RUNS | KEEP, TRAIN_AT(recompute), 0, 0, NULL, NULL,
  "keep few maps and make the others again: much less\n"
  "memory, a fifth more time, the same numbers" },
{ "Reports, each every N steps; 0: never", HEADING, RUNS, 0, 0, 0, NULL,
  NULL, NULL },
{ "log-every", COUNT, RUNS | KEEP, AT(run.log_every), 0, 1e9, NULL, "N",
  "a line of RUN/log.csv" },
{ "sample-every", COUNT, RUNS | KEEP, AT(run.sample_every), 0, 1e9, NULL,
  "N", "a sheet of pictures in RUN/samples" },
{ "save-every", COUNT, RUNS | KEEP, AT(run.save_every), 0, 1e9, NULL, "N",
  "RUN/state.safetensors" },
{ "out", TEXT, PRUNE, AT(out), 0, 0, NULL, "FILE",
  "the safetensors file to write" },
{ "The picture", HEADING, TRANSLATE, 0, 0, 0, NULL, NULL, NULL },
{ "out", TEXT, TRANSLATE, AT(out), 0, 0, NULL, "OUT",
  "the picture to write, or a folder for several" },
{ "net", TEXT, TRANSLATE, AT(net), 0, 0, NULL, "NAME",
  "take this net (g_ab, ema.g_ab, ...) from a state" },
{ "raw", FLAG, TRANSLATE, AT(raw), 0, 0, NULL, NULL,
  "write the net's values, float32 of this machine,\n"
  "(height, width, channels), instead of a picture" },
{ "What to write", HEADING, EXPORT, 0, 0, 0, NULL, NULL, NULL },
{ "safetensors", TEXT, EXPORT, AT(safetensors), 0, 0, NULL, "FILE",
  "safetensors, with the official tensor names" },
{ "pth", TEXT, EXPORT, AT(pth), 0, 0, NULL, "FILE",
  "a state dict for torch.load(weights_only=True)" },
{ "onnx", TEXT, EXPORT, AT(onnx), 0, 0, NULL, "FILE",
  "ONNX, opset 11, for any N, H and W" },
{ "c", TEXT, EXPORT, AT(c_header), 0, 0, NULL, "NAME.h",
  "const arrays of C, for cgd_model_attach" },
{ "dtype", CHOICE, EXPORT, AT(dtype), 0, 0, dtype_words, NULL,
  "type of the weights" },
{ "What to make of the net", HEADING, EXPORT, 0, 0, 0, NULL, NULL, NULL },
{ "net", TEXT, EXPORT, AT(net), 0, 0, NULL, "NAME",
  "take this net (g_ab, ema.g_ab, ...) from a state" },
{ "frozen", FLAG, EXPORT, AT(frozen), 0, 0, NULL, NULL,
  "fold the norms into the convolutions, with the\n"
  "running statistics that the model holds, or" },
{ "calibrate", TEXT, EXPORT, AT(calibrate), 0, 0, NULL, "DIR",
  "with those measured on pictures of this folder" },
{ "count", AMOUNT, EXPORT, AT(count), 1, 100000, NULL, "N",
  "so many, spread over the folder" },
{ "size", AMOUNT, EXPORT, AT(size), 0, 4096, NULL, "N",
  "resized to N x N; 0: as they are" },
{ "out", TEXT, PACK, AT(out), 0, 0, NULL, "FILE",
  "the file to write" },
{ "size", AMOUNT, PACK, AT(size), 0, 8192, NULL, "N",
  "resize to squares; 0 keeps each picture's size" },
{ "filter", CHOICE, PACK, AT(filter), 0, 0, filter_words, NULL,
  "how pictures are resized" },
{ "out", TEXT, IMPORT, AT(out), 0, 0, NULL, "MODEL",
  "the safetensors file to write" },
{ "key", TEXT, IMPORT, AT(key), 0, 0, NULL, "KEY",
  "the dict the net is in (netG, state_dict, ...),\n"
  "where there are several" },
{ "list", FLAG, IMPORT, AT(list), 0, 0, NULL, NULL,
  "show all tensors, and the nets they make" },
{ "size", AMOUNT, DATASET, AT(size), 1, 2048, NULL, "N",
  "side of the pictures" },
{ "count", AMOUNT, DATASET, AT(count), 1, 1000000, NULL, "N",
  "pictures in trainA, and in trainB" },
{ "tests", AMOUNT, DATASET, AT(tests), 0, 1000000, NULL, "N",
  "pictures in testA, and in testB" },
{ "seed", SEED, DATASET, AT(seed), 0, 4294967295.0, NULL, "N",
  "another seed draws other pictures" },
{ "size", AMOUNT, INFO, AT(size), 4, 8192, NULL, "N",
  "costs are those of an N x N picture" },
{ "Budget: one or more", HEADING, PLAN, 0, 0, 0, NULL, NULL, NULL },
{ "macs", REAL, PLAN, AT(plan_macs), 0, 1e15, NULL, "N",
  "multiply-accumulates a picture, such as 30e6" },
{ "params", REAL, PLAN, AT(plan_params), 0, 1e12, NULL, "N",
  "parameters" },
{ "ram", REAL, PLAN, AT(plan_ram), 0, 1e15, NULL, "N",
  "bytes of weights and activations" },
{ "ms", REAL, PLAN, AT(plan_ms), 0, 1e9, NULL, "X",
  "milliseconds a picture, on this machine" },
{ "The picture and the net", HEADING, PLAN, 0, 0, 0, NULL, NULL, NULL },
{ "size", AMOUNT, PLAN, AT(size), 8, 4096, NULL, "N",
  "side of the pictures" },
{ "norm", CHOICE, PLAN, NET_AT(norm), 0, 0, plan_norm_words, NULL,
  "normalisation" },
{ "up", CHOICE, PLAN, NET_AT(up), 0, 0, up_words, NULL,
  "upsampling" },
{ "What is judged", HEADING, EVAL, 0, 0, 0, NULL, NULL, NULL },
{ "model", TEXT, EVAL, AT(model), 0, 0, NULL, "FILE",
  "a generator, which translates the input" },
{ "teacher", TEXT, EVAL, AT(teacher), 0, 0, NULL, "FILE",
  "another, from which the model was distilled" },
{ "input", TEXT, EVAL, AT(input), 0, 0, NULL, "FOLDER",
  "pictures to translate, or those FOLDER came from" },
{ "size", AMOUNT, EVAL, AT(size), 0, 4096, NULL, "N",
  "resized to N x N first, as the model was trained;\n"
  "0: as they are" },
{ "What it is compared with", HEADING, EVAL, 0, 0, 0, NULL, NULL, NULL },
{ "truth", TEXT, EVAL, AT(truth), 0, 0, NULL, "FOLDER",
  "what should come out, paired by name" },
{ "real", TEXT, EVAL, AT(real), 0, 0, NULL, "FOLDER",
  "real pictures of the target kind, unpaired" },
{ "train", TEXT, EVAL, AT(train), 0, 0, NULL, "FOLDER",
  "training pictures of the target kind: their mean\n"
  "is a trivial answer to compare with" },
{ "Reports", HEADING, EVAL, 0, 0, 0, NULL, NULL, NULL },
{ "csv", TEXT, EVAL, AT(csv), 0, 0, NULL, "FILE",
  "write every figure with its interval" },
{ "html", TEXT, EVAL, AT(html), 0, 0, NULL, "FILE",
  "write a page with the worst, median and best\n"
  "pictures, in one file" },
{ "replicates", AMOUNT, EVAL, AT(replicates), 0, 100000, NULL, "N",
  "resamplings for the 95 % intervals" },
{ "seed", SEED, EVAL, AT(seed), 0, 4294967295.0, NULL, "N",
  "of everything drawn at random" },
{ "Machine", HEADING, RUNS | TRANSLATE | PLAN | EXPORT | EVAL, 0, 0, 0, NULL,
  NULL, NULL },
{ "threads", INTEGER, RUNS | TRANSLATE | PACK | PLAN | EXPORT | EVAL,
  AT(threads), 0, 1024, NULL, "N", "0: one for every core" },
{ "precision", CHOICE, RUNS | TRANSLATE | KEEP, AT(precision), 0, 0,
  precision_words, NULL,
  "of what convolutions multiply; bf16 is faster where\n"
  "the processor has instructions for it" },
{ "kernels", TEXT, RUNS | TRANSLATE | PLAN | EXPORT | EVAL, AT(kernels), 0, 0,
  NULL, "NAME",
  "reference, portable, avx2, ...; the best by\n"
  "default; the variable CGD_ISA does the same" }
};

enum { N_OPTIONS = sizeof options / sizeof options[0] };

/* ======================================================================== */
/* [presets]                                                                */
/* ======================================================================== */

/* A preset is the library's defaults and options written over them. */
typedef struct preset {
    const char *name;
    unsigned command;
    cgd_distil_config (*base)(void);
    const char *text;                /* option=value, separated by blanks    */
    const char *summary;
} preset;

static cgd_distil_config train_base(void)
{
    cgd_distil_config config = cgd_distil_defaults();
    config.train = cgd_train_defaults();
    return config;
}

/* The first preset of a command is its default. */
static const preset presets[] = {
{ "small", TRAIN, train_base,
  "size=128 load-size=144 ngf=32 blocks=6 ndf=32 lr=0.0004 ema=0.999 "
  "schedule=linear steps=20000 decay-part=0.5 sample-every=500 "
  "save-every=500",
  "photographs, in hours" },
{ "demo", TRAIN, train_base,
  "size=64 load-size=64 flip=no ngf=16 disc-layers=2 ndf=32 lr=0.001 "
  "ema=0.995 schedule=constant steps=1000",
  "the pictures that `cgd dataset` draws, in minutes" },
{ "paper", TRAIN, train_base,
  "size=256 load-size=286 schedule=linear epochs=100 decay=100",
  "Zhu et al. 2017: weeks on two cores" },
{ "original", TRAIN, train_base,
  "size=256 load-size=300 filter=bilinear norm=batch up=bilinear disc=five "
  "init=pytorch beta1=0.9 schedule=constant epochs=100",
  "as the original distillation project meant it" },
{ "best", DISTIL, cgd_distil_defaults,
  "size=128 load-size=144 ngf=0 blocks=3 norm=teacher up=teacher "
  "transfer=auto steps=5000 decay-part=1",
  "the recipe that keeps most of the teacher" },
{ "fast", DISTIL, cgd_distil_fast,
  "size=128 load-size=144 ngf=0 blocks=3 norm=teacher up=teacher "
  "transfer=auto schedule=linear steps=5000 decay-part=0.7",
  "L1 to the teacher's output, nothing else" },
{ "demo", DISTIL, cgd_distil_defaults,
  "size=64 load-size=64 flip=no ngf=0 blocks=3 norm=teacher up=teacher "
  "transfer=auto disc-layers=2 ndf=32 steps=1000 decay-part=1",
  "best, for a teacher trained with demo" },
{ "small", DISTIL, cgd_distil_defaults,
  "size=128 load-size=144 ngf=0 blocks=3 norm=teacher up=teacher "
  "transfer=auto ndf=32 steps=20000 decay-part=1",
  "best with more steps, for a teacher trained with small" },
{ "paper", DISTIL, cgd_distil_paper,
  "size=256 load-size=286 ngf=0 blocks=3 norm=teacher up=teacher "
  "transfer=auto schedule=linear epochs=10 decay=20",
  "as GAN Compression does it, for a teacher trained with paper" },
{ "original", DISTIL, cgd_distil_original,
  "size=256 load-size=300 filter=bilinear ngf=0 blocks=3 norm=teacher "
  "up=teacher disc=five init=pytorch beta1=0.9 schedule=constant epochs=100",
  "all losses of the original distillation project" }
};

enum { N_PRESETS = sizeof presets / sizeof presets[0] };

static const preset *find_preset(unsigned command, const char *name)
{
    int i;
    for (i = 0; i < N_PRESETS; i++)
        if (presets[i].command == command
            && (!name || strcmp(presets[i].name, name) == 0))
            return &presets[i];
    return NULL;
}

/* ======================================================================== */
/* [parse] Options to settings                                              */
/* ======================================================================== */

/* "cgd: SENTENCE" on stderr. Returns the status that means failure. */
static int fail(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("cgd: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    return STATUS_FAILED;
}

/* The library's sentence about what went wrong. */
static int fail_status(const cgd_ctx *ctx, cgd_status status)
{
    return fail("%s", cgd_message(ctx, status));
}

/* Where options come from, for messages, and the command they are for. */
typedef struct source {
    const command *cmd;
    const char *file;                /* NULL: the command line               */
} source;

static int fail_usage(const source *from, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("cgd: ", stderr);
    vfprintf(stderr, format, args);
    if (from->file) fprintf(stderr, " (in %s)\n", from->file);
    else fprintf(stderr, " (see cgd %s --help)\n", from->cmd->name);
    va_end(args);
    return STATUS_USAGE;
}

static const option *find_option(unsigned command, const char *name)
{
    int i;
    for (i = 0; i < N_OPTIONS; i++)
        if ((options[i].commands & command) && options[i].kind != HEADING
            && strcmp(options[i].name, name) == 0)
            return &options[i];
    return NULL;
}

/* A whole or broken number within the option's range. */
static int parse_number(const source *from, const option *o,
                        const char *text, double *number)
{
    char *end;
    double v = strtod(text, &end);
    int whole = o->kind != REAL;
    if (end == text || *end)
        return fail_usage(from, "--%s needs a number, not \"%s\"", o->name,
                          text);
    if (!(v >= o->least && v <= o->most))
        return fail_usage(from, "--%s %s is out of range: it may be %.10g to "
                          "%.10g", o->name, text, o->least, o->most);
    if (whole && v != (double)(unsigned long)v)
        return fail_usage(from, "--%s needs a whole number, not %s", o->name,
                          text);
    *number = v;
    return 0;
}

static int parse_choice(const source *from, const option *o,
                        const char *text, int *value)
{
    char list[200] = "";
    const word *w;
    for (w = o->words; w->name; w++) {
        if (strcmp(w->name, text) == 0) {
            *value = w->value;
            return 0;
        }
        strcat(strcat(list, w == o->words ? "" : ", "), w->name);
    }
    return fail_usage(from, "--%s cannot be \"%s\"; it is one of %s", o->name,
                      text, list);
}

/* "1,4,8", or "even". */
static int parse_blocks(const source *from, const option *o,
                        const char *text, int *blocks)
{
    const char *at = text;
    int n = 0, i;
    for (i = 0; i < 16; i++) blocks[i] = -1;
    if (strcmp(text, "even") == 0) return 0;
    for (;;) {
        char *end;
        long v = strtol(at, &end, 10);
        if (end == at || v < 0 || (double)v > o->most || n == 15
            || (*end && *end != ','))
            return fail_usage(from, "--%s needs numbers such as 1,4,8, not "
                              "\"%s\"", o->name, text);
        blocks[n++] = (int)v;
        if (!*end) return 0;
        at = end + 1;
    }
}

/* "16,32,64,64,32,16", with zeros for what the width implies; 0: all. */
static int parse_stages(const source *from, const option *o,
                        const char *text, int *stage)
{
    const char *at = text;
    int i;
    for (i = 0; i < 6; i++) stage[i] = 0;
    if (strcmp(text, "0") == 0) return 0;
    for (i = 0; i < 6; i++) {
        char *end;
        long v = strtol(at, &end, 10);
        if (end == at || v < 0 || (double)v > o->most
            || *end != (i < 5 ? ',' : 0))
            return fail_usage(from, "--%s needs six numbers such as "
                              "16,32,64,64,32,16, not \"%s\"", o->name,
                              text);
        stage[i] = (int)v;
        at = end + 1;
    }
    return 0;
}

/* Give an option its value. text stays referred to if it is a TEXT. */
static int assign(const source *from, settings *s, const option *o,
                  const char *text)
{
    char *to = (char *)s + o->offset;
    double v = 0;
    int bad = 0;
    switch (o->kind) {
    case TEXT:
        *(const char **)to = text;
        return *text ? 0 : fail_usage(from, "--%s is empty", o->name);
    case FLAG:
        *(int *)to = strcmp(text, "yes") == 0;
        return 0;
    case CHOICE: return parse_choice(from, o, text, (int *)to);
    case BLOCKS: return parse_blocks(from, o, text, (int *)to);
    case STAGES: return parse_stages(from, o, text, (int *)to);
    default: bad = parse_number(from, o, text, &v);
    }
    if (bad) return bad;
    if (o->kind == INTEGER) *(int *)to = (int)v;
    else if (o->kind == AMOUNT) *(size_t *)to = (size_t)v;
    else if (o->kind == COUNT) *(unsigned long *)to = (unsigned long)v;
    else if (o->kind == SEED) *(cgd_u32 *)to = (cgd_u32)v;
    else *(float *)to = (float)v;
    return 0;
}

/* Options as text: name=value words between separators, in a buffer that is
 * cut up. Comment lines begin with #. */
static int assign_text(const source *from, settings *s, char *text,
                       const char *separators)
{
    char *at = strtok(text, separators);
    for (; at; at = strtok(NULL, separators)) {
        char *value = strchr(at, '=');
        const option *o;
        int bad;
        if (*at == '#') continue;
        if (value) *value++ = 0;
        o = find_option(from->cmd->bit, at);
        if (!o || !value)
            return fail_usage(from, "\"%s\" is no option of %s", at,
                              from->cmd->name);
        bad = assign(from, s, o, value);
        if (bad) return bad;
    }
    return 0;
}

/* The option that "name", "name=value" or "no-name" means, or NULL. *value is
 * what follows the "=", or "no"; or NULL. */
static const option *match_option(unsigned command, const char *text,
                                  const char **value)
{
    char name[32];
    size_t n = strcspn(text, "=");
    const option *o;
    *value = text[n] ? text + n + 1 : NULL;
    if (n >= sizeof name) return NULL;
    memcpy(name, text, n);
    name[n] = 0;
    o = find_option(command, name);
    if (o || strncmp(name, "no-", 3) != 0 || *value) return o;
    o = find_option(command, name + 3);
    *value = "no";
    return o && o->kind == FLAG ? o : NULL;
}

/* One argument of the command line, and its value if it has one. *used: how
 * many arguments these were; 0 if it is no option. */
static int parse_argument(const source *from, settings *s, char **args,
                          int *used)
{
    const char *value = NULL, *text = args[0];
    const option *o = NULL;
    *used = 0;
    if (strcmp(text, "-o") == 0) text = "--out";
    if (text[0] != '-' || text[1] == 0) return 0;
    *used = 1;
    if (text[1] == '-') o = match_option(from->cmd->bit, text + 2, &value);
    if (!o) return fail_usage(from, "%s is no option of %s", text,
                              from->cmd->name);
    if (o->kind == FLAG) {
        if (value && strcmp(value, "no") != 0)
            return fail_usage(from, "--%s takes no value", o->name);
        return assign(from, s, o, value ? value : "yes");
    }
    if (!value && args[1] && strncmp(args[1], "--", 2) != 0) {
        *used = 2;
        value = args[1];
    }
    if (!value) return fail_usage(from, "--%s needs a value", o->name);
    return assign(from, s, o, value);
}

/* All arguments; those that are no options are kept in s->words. */
static int parse_line(const source *from, settings *s, int argc, char **argv)
{
    int i, bad, used;
    s->n_words = 0;
    for (i = 0; i < argc; i += used) {
        bad = parse_argument(from, s, argv + i, &used);
        if (bad) return bad;
        if (used > 0) continue;
        s->words[s->n_words++] = argv[i];
        used = 1;
    }
    if (s->n_words > from->cmd->most_words)
        return fail_usage(from, "\"%s\" is one argument too many",
                          s->words[from->cmd->most_words]);
    if (s->n_words < from->cmd->least_words)
        return fail_usage(from, "something is missing: cgd %s %s",
                          from->cmd->name, from->cmd->usage);
    return 0;
}

/* Is the option on the command line itself? */
static int is_given(int argc, char **argv, const char *name)
{
    size_t n = strlen(name);
    int i;
    for (i = 0; i < argc; i++)
        if (strncmp(argv[i], "--", 2) == 0
            && strncmp(argv[i] + 2, name, n) == 0
            && (argv[i][2 + n] == 0 || argv[i][2 + n] == '=')) return 1;
    return 0;
}

/* folder/name; 0 if that is too long for a path. */
static int join(char out[PATH_ROOM], const char *folder, const char *name)
{
    size_t n = strlen(folder);
    if (n + strlen(name) + 2 > PATH_ROOM) return 0;
    while (n > 1 && folder[n - 1] == '/') n--;
    memcpy(out, folder, n);
    out[n] = '/';
    strcpy(out + n + 1, name);
    return 1;
}

/* What a run's options.txt holds, to be freed; NULL if there is none. */
static char *read_options_file(const char *path)
{
    enum { MOST = 1 << 16 };
    FILE *f = fopen(path, "rb");
    char *text = f ? (char *)malloc(MOST + 1) : NULL;
    if (text) text[fread(text, 1, MOST, f)] = 0;
    if (f) fclose(f);
    return text;
}

/* Refuse to go on with a run of the other command: its first line tells. */
static int check_options_file(const source *file, const char *text)
{
    const char *other = file->cmd->bit == TRAIN ? "distil" : "train";
    char mark[40];
    sprintf(mark, "cgd %s --resume", other);
    if (!strstr(text, mark)) return 0;
    return fail_usage(file, "this is a run of cgd %s, not of cgd %s", other,
                      file->cmd->name);
}

static int apply_preset(const source *from, settings *s, const char *name)
{
    const preset *p = find_preset(from->cmd->bit, name);
    char text[400];
    if (!p)
        return fail_usage(from, "there is no preset \"%s\"", name);
    s->preset = p->name;
    s->distil = p->base();
    s->distil.direction = UNSET;
    strcpy(text, p->text);
    return assign_text(from, s, text, " ");
}

/* What the command line says implies something about what a preset or an
 * earlier run said of the same matter: number of steps, size, folders. */
static int settle(const source *from, settings *s, int argc, char **argv,
                  size_t old_size, size_t old_load_size)
{
    int steps = is_given(argc, argv, "steps");
    int epochs = is_given(argc, argv, "epochs");
    if (steps && epochs)
        return fail_usage(from, "--steps and --epochs say the same thing; "
                          "give one of them");
    if (steps) s->epochs = 0;
    if (steps && !is_given(argc, argv, "decay")) s->decay = 0;
    if (epochs) s->steps = 0;
    if (is_given(argc, argv, "data") && !is_given(argc, argv, "data-a")
        && !is_given(argc, argv, "data-b"))
        s->run.data.dir[0] = s->run.data.dir[1] = NULL;
    if (s->size != old_size && old_size > 0
        && !is_given(argc, argv, "load-size"))
        s->load_size = (old_load_size * s->size + old_size / 2) / old_size;
    return 0;
}

/* The options that a run was begun with. They are read twice: which preset it
 * was has to be known, and applied, before the others. */
static int resume_options(const source *file, settings *s,
                          const settings *defaults, char *text)
{
    settings first = *defaults;
    char *copy = (char *)malloc(strlen(text) + 1);
    int bad = check_options_file(file, text);
    if (!copy) return fail("out of memory");
    strcpy(copy, text);
    first.preset = NULL;
    if (!bad) bad = assign_text(file, &first, copy, "\r\n");
    if (!bad) bad = apply_preset(file, s, first.preset);
    if (!bad) bad = assign_text(file, s, text, "\r\n");
    free(copy);
    return bad;
}

/* The settings of a run, from the weakest to the strongest: the library's
 * defaults and the preset, where a run is resumed its own options, and the
 * command line. *text is to be freed when the settings are done with. */
static int parse_run(const command *cmd, settings *s, int argc, char **argv,
                     char **text)
{
    source line, file;
    char path[PATH_ROOM];
    settings first = *s;
    size_t size, load_size;
    int bad;
    line.cmd = file.cmd = cmd;
    line.file = NULL;
    file.file = path;
    bad = parse_line(&line, &first, argc, argv);
    if (!bad && first.run.resume && first.run.out
        && join(path, first.run.out, "options.txt"))
        *text = read_options_file(path);
    if (!bad && *text) bad = resume_options(&file, s, &first, *text);
    else if (!bad) bad = apply_preset(&line, s, first.preset);
    if (!bad && *text && is_given(argc, argv, "preset"))
        bad = fail_usage(&line, "--preset cannot change a run that is "
                         "resumed; single options can");
    size = s->size;
    load_size = s->load_size;
    if (!bad) bad = parse_line(&line, s, argc, argv);
    return bad ? bad : settle(&line, s, argc, argv, size, load_size);
}

static void default_settings(settings *s, unsigned command)
{
    memset(s, 0, sizeof *s);
    s->distil = train_base();
    s->run = cgd_run_defaults();
    s->run.out = NULL;
    s->run.data = cgd_data_defaults();
    if (command == PRUNE) {            /* as the teacher is                  */
        s->distil.train.generator.width = 0;
        s->distil.train.generator.blocks = 0;
    }
    s->size = command == DATASET ? 64
            : command == INFO || command == PLAN || command == PRUNE ? 256
            : 0;
    s->count = command == EXPORT ? 32 : 200;
    s->tests = 32;
    s->replicates = cgd_bootstrap_defaults().replicates;
    s->answers = s->distil.answer_bytes >> 20;
    s->seed = 1;
}

/* The shortest decimal that reads back as the same float. */
static void put_real(char *out, float v)
{
    int digits;
    for (digits = 6; digits < 10; digits++) {
        sprintf(out, "%.*g", digits, (double)v);
        if ((float)strtod(out, NULL) == v) break;
    }
}

enum { VALUE_ROOM = 100 };

/* The value of an option that is no TEXT, as it would be given. */
static void put_value(char out[VALUE_ROOM], const settings *s,
                      const option *o)
{
    const char *at = (const char *)s + o->offset;
    const word *w;
    int i;
    out[0] = 0;
    switch (o->kind) {
    case FLAG: strcpy(out, *(const int *)at ? "yes" : "no"); break;
    case INTEGER: sprintf(out, "%d", *(const int *)at); break;
    case AMOUNT:
        sprintf(out, "%lu", (unsigned long)*(const size_t *)at);
        break;
    case COUNT: sprintf(out, "%lu", *(const unsigned long *)at); break;
    case SEED:
        sprintf(out, "%lu", (unsigned long)*(const cgd_u32 *)at);
        break;
    case REAL: put_real(out, *(const float *)at); break;
    case CHOICE:
        for (w = o->words; w->name; w++)
            if (w->value == *(const int *)at) strcpy(out, w->name);
        break;
    case BLOCKS:
        if (*(const int *)at < 0) strcpy(out, "even");
        for (i = 0; i < 16 && ((const int *)at)[i] >= 0; i++)
            sprintf(out + strlen(out), i ? ",%d" : "%d",
                    ((const int *)at)[i]);
        break;
    case STAGES:
        for (i = 0; i < 6; i++)
            sprintf(out + strlen(out), i ? ",%d" : "%d",
                    ((const int *)at)[i]);
        break;
    default: break;
    }
}

/* Write every option of a run to RUN/options.txt. */
static int save_options(const command *cmd, const settings *s)
{
    char path[PATH_ROOM], value[VALUE_ROOM];
    FILE *f = join(path, s->run.out, "options.txt") ? fopen(path, "wb") : NULL;
    int i;
    if (!f) return 0;
    fprintf(f, "# the options of this run, which cgd %s --resume reads\n",
            cmd->name);
    for (i = 0; i < N_OPTIONS; i++) {
        const option *o = &options[i];
        const char *text = value;
        if (!(o->commands & cmd->bit) || !(o->commands & KEEP)) continue;
        if (o->offset == AT(steps) && s->steps == 0) continue;
        put_value(value, s, o);
        if (o->kind == TEXT)
            text = *(const char *const *)((const char *)s + o->offset);
        if (text) fprintf(f, "%s=%s\n", o->name, text);
    }
    return fclose(f) == 0;
}

/* ======================================================================== */
/* [help] Texts                                                             */
/* ======================================================================== */

enum { HELP_COLUMN = 24, HELP_WIDTH = 79 };

/* "  --ngf N", or with what it may be: "  --fit resize|crop|width". */
static void put_synopsis(char *out, const option *o)
{
    int is_switch = o->kind == FLAG && (o->commands & KEEP);
    const word *w;
    int is_out = o->offset == AT(out);
    sprintf(out, is_switch ? "  --[no-]%s" : is_out ? "  -o, --%s" : "  --%s",
            o->name);
    if (o->argument) strcat(strcat(out, " "), o->argument);
    for (w = o->words; w && w->name; w++)
        strcat(strcat(out, w == o->words ? " " : "|"), w->name);
}

/* An option, what it does, and the value it has in s. */
static void print_option(const settings *s, const option *o)
{
    char left[120], value[VALUE_ROOM];
    const char *at = o->help, *end;
    int shown = o->kind != TEXT && o->kind != FLAG;
    put_synopsis(left, o);
    put_value(value, s, o);
    if (o->kind == FLAG && (o->commands & KEEP)) shown = 1;
    if (o->kind == CHOICE && !value[0]) shown = 0;
    printf("%-*s", HELP_COLUMN, left);
    if (strlen(left) >= HELP_COLUMN) printf("\n%*s", HELP_COLUMN, "");
    for (; (end = strchr(at, '\n')) != NULL; at = end + 1)
        printf("%.*s\n%*s", (int)(end - at), at, HELP_COLUMN, "");
    printf("%s", at);
    if (shown && HELP_COLUMN + strlen(at) + strlen(value) + 3 > HELP_WIDTH)
        printf("\n%*s", HELP_COLUMN - 1, "");
    printf(shown ? " [%s]\n" : "\n", value);
}

/* Words, broken at blanks, each line moved in. */
static void print_wrapped(const char *text)
{
    int column = 0;
    while (*text) {
        int n = (int)strcspn(text, " ");
        if (column == 0 || column + 1 + n > HELP_WIDTH) {
            column = printf(column ? "\n    " : "    ") - (column != 0);
        } else {
            column += printf(" ");
        }
        column += printf("%.*s", n, text);
        text += n;
        text += strspn(text, " ");
    }
    printf("\n");
}

static void print_presets(unsigned command)
{
    int i, first = 1;
    for (i = 0; i < N_PRESETS; i++) {
        const preset *p = &presets[i];
        if (p->command != command) continue;
        if (first) printf("\nPresets\n");
        first = 0;
        printf("  %-10s%s:\n", p->name, p->summary);
        print_wrapped(p->text);
    }
}

static void print_help(const command *cmd, const settings *s)
{
    int i, lines = 0;
    printf("usage: cgd %s %s\n\n%s", cmd->name, cmd->usage, cmd->story);
    for (i = 0; i < N_OPTIONS; i++) {
        const option *o = &options[i];
        if (!(o->commands & cmd->bit)) continue;
        if (o->kind == HEADING || lines == 0) printf("\n");
        if (o->kind == HEADING) printf("%s\n", o->name);
        else print_option(s, o);
        lines++;
    }
    if (cmd->bit & RUNS)
        printf("\nIn brackets are the values of preset %s; "
               "--preset NAME --help shows\nanother's.\n", s->preset);
    print_presets(cmd->bit);
}

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
    if (bytes < 1048576) sprintf(p->text, "%.0f KB", (double)bytes / 1024);
    else if (bytes < (size_t)1 << 30)
        sprintf(p->text, "%.1f MB", (double)bytes / 1048576);
    else sprintf(p->text, "%.2f GB", (double)bytes / 1073741824);
    return p->text;
}

static const char *in_macs(phrase *p, double macs)
{
    if (macs < 1e9) sprintf(p->text, "%.2f MMACs", macs / 1e6);
    else sprintf(p->text, "%.2f GMACs", macs / 1e9);
    return p->text;
}

/* "1 block", "9 blocks" */
static const char *in_number(phrase *p, unsigned long n, const char *what)
{
    sprintf(p->text, "%lu %.20s%s", n, what, n == 1 ? "" : "s");
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
    if (s->precision == BF16) kernels = "bf16";
    if (kernels && *kernels) status = cgd_use_kernels(ctx, kernels);
    if (status == CGD_OK) return 0;
    fail_status(ctx, status);
    cgd_free(ctx);
    return STATUS_FAILED;
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
    return open_context(ctx, s, line);
}

static int is_folder(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && (st.st_mode & S_IFMT) == S_IFDIR;
}

static int is_file(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && (st.st_mode & S_IFMT) != S_IFDIR;
}

/* Make a folder, and those above it, unless they are there. */
static int make_folder(const char *path)
{
    char part[PATH_ROOM];
    size_t i, n = strlen(path);
    if (n >= PATH_ROOM) return fail("the path %s is too long", path);
    for (i = 1; i <= n; i++) {
        if (path[i] != '/' && path[i] != 0) continue;
        memcpy(part, path, i);
        part[i] = 0;
        if (is_folder(part)) continue;
#ifdef _WIN32
        if (_mkdir(part) != 0)
#else
        if (mkdir(part, 0777) != 0)
#endif
            return fail("the folder %s cannot be made", part);
    }
    return 0;
}

/* ======================================================================== */
/* [progress] While a run goes on                                           */
/* ======================================================================== */

static volatile sig_atomic_t interrupted = 0;

/* The first signal asks for an orderly end; the second is not caught. */
static void on_signal(int number)
{
    interrupted = 1;
    signal(number, SIG_DFL);
}

/* A train or distil run, as the progress callback sees it. */
typedef struct job {
    const command *cmd;
    settings *s;
    cgd_ctx ctx;
    live_line line;
    unsigned long first, step;       /* steps done: at first report, now     */
    double first_time;
    int reports, noted;              /* noted: the interruption              */
} job;

static void put_time(char *out, double seconds)
{
    unsigned long t = (unsigned long)(seconds + 0.5);
    if (t < 3600) sprintf(out, "%lu:%02lu", t / 60, t % 60);
    else sprintf(out, "%lu:%02lu:%02lu", t / 3600, t / 60 % 60, t % 60);
}

static char *put_loss(char *out, const char *name, double value)
{
    return value == 0 ? out : out + sprintf(out, "  %s %.3f", name, value);
}

/* "step 120/1000  g 5.321  d 0.412  cycle 2.104  31.2 it/s  0:28 left" */
static void show_progress(job *j, const cgd_progress *p, double now)
{
    char text[200], left[40];
    double seconds = now - j->first_time;
    double rate = seconds > 0 ? (double)(p->step - j->first) / seconds : 0;
    const cgd_losses *l = &p->losses;
    char *at = text + sprintf(text, "step %lu/%lu", p->step, p->total);
    if (l->generators != l->output) at = put_loss(at, "g", l->generators);
    at = put_loss(at, "d", l->d[0] + l->d[1]);
    at = put_loss(at, "cycle", l->cycle[0] + l->cycle[1]);
    at = put_loss(at, "output", l->output);
    at = put_loss(at, "feature", l->feature);
    if (rate > 0) {
        put_time(left, (double)(p->total - p->step) / rate);
        sprintf(at, "  %.*f it/s  %s left", rate < 10 ? 2 : 1, rate, left);
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
}

/* The first report: the run works, so its options are worth keeping. */
static void first_report(job *j, const cgd_progress *p, double now)
{
    j->first = p->step;
    j->first_time = now;
    if (p->step > 1) printf("going on from step %lu\n", p->step - 1);
    fflush(stdout);
    if (!save_options(j->cmd, j->s))
        on_warning(&j->line, "options.txt cannot be written; --resume will "
                   "need all options again");
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

/* Both take a folder for the results, and will not write over another run. */
static int check_out(const source *from, const settings *s)
{
    char state[PATH_ROOM];
    if (!s->run.out)
        return fail_usage(from, "--out RUN is missing: the folder for the "
                          "results");
    if (is_file(s->run.out))
        return fail("%s is a file; --out needs a folder", s->run.out);
    if (!join(state, s->run.out, "state.safetensors"))
        return fail("the path %s is too long", s->run.out);
    if (is_file(state) && !s->run.resume)
        return fail("%s holds a run already; go on with it (--resume) or name "
                    "another folder", s->run.out);
    if (!is_file(state) && s->run.resume)
        return fail("there is nothing to resume: %s does not exist", state);
    return 0;
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
    if (s->size % 4 != 0)
        return fail_usage(from, "--size %lu is no multiple of 4, as the nets "
                          "need it", (unsigned long)s->size);
    return 0;
}

/* Put what has one option but several places where it belongs. */
static void spread_settings(settings *s)
{
    cgd_generator_config *g = &s->distil.train.generator;
    if (g->norm == FROZEN) {
        g->norm = CGD_NORM_BATCH;
        if (s->freeze_part <= 0) s->freeze_part = 0.5f;
    }
    s->run.data.size = s->size;
    s->run.data.load_size = s->load_size ? s->load_size : s->size;
    s->distil.train.height = s->distil.train.width = s->size;
    s->run.data.seed = s->distil.train.seed = s->seed;
    s->distil.answer_bytes = s->answers > (size_t)-1 >> 20 ? (size_t)-1
                           : s->answers << 20;
}

/* From epochs to steps, and when the learning rate begins to fall. */
static void plan_steps(settings *s, unsigned long pictures)
{
    cgd_schedule *plan = &s->distil.train.schedule;
    unsigned long batch = (unsigned long)s->distil.train.batch;
    unsigned long epoch = (pictures + batch - 1) / batch;
    unsigned long fall = s->decay * epoch;
    int stairs = plan->kind == CGD_LR_STEP;
    if (s->steps > 0) s->run.steps = s->steps;
    else s->run.steps = (s->epochs + (stairs ? 0 : s->decay)) * epoch;
    if (fall == 0)
        fall = (unsigned long)(s->decay_part * (double)s->run.steps + 0.5);
    if (fall > s->run.steps) fall = s->run.steps;
    plan->total = s->run.steps;
    s->distil.train.freeze = 0;                          /* never            */
    if (s->freeze_part > 0)
        s->distil.train.freeze = 1 + (unsigned long)
            ((1 - (double)s->freeze_part) * (double)(s->run.steps - 1));
    plan->start = stairs ? fall + (fall == 0) * s->run.steps
                         : s->run.steps - fall;
}

/* Look at the data, without the warnings: the run itself will give them. */
static int survey_data(settings *s)
{
    cgd_ctx ctx;
    cgd_options quiet;
    cgd_dataset data;
    cgd_status status;
    memset(&quiet, 0, sizeof quiet);
    quiet.threads = 1;
    cgd_init(&ctx, &quiet);
    status = cgd_dataset_open(&ctx, &data, &s->run.data);
    if (status == CGD_OK) {
        printf("pictures: %lu of A, %lu of B, taken as %lu x %lu\n",
               (unsigned long)cgd_dataset_count(&data, 0),
               (unsigned long)cgd_dataset_count(&data, 1),
               (unsigned long)s->size, (unsigned long)s->size);
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
                            const cgd_generator_config *config, size_t size)
{
    phrase blocks, macs;
    cgd_net net;
    cgd_cost cost;
    if (cgd_generator_init(ctx, &net, config) != CGD_OK) return;
    cost = cgd_net_cost(&net, size, size);
    printf("%s: %s, %d wide, %lu parameters, %s a picture\n", name,
           in_number(&blocks, (unsigned long)config->blocks, "block"),
           config->width, (unsigned long)cost.params,
           in_macs(&macs, cost.macs));
    cgd_net_free(&net);
}

static void print_discriminator(cgd_ctx *ctx,
                                const cgd_discriminator_config *config,
                                size_t size)
{
    phrase macs;
    cgd_net net;
    cgd_cost cost;
    if (cgd_discriminator_init(ctx, &net, config) != CGD_OK) return;
    cost = cgd_net_cost(&net, size, size);
    printf("discriminator: %lu parameters, %s a picture\n",
           (unsigned long)cost.params, in_macs(&macs, cost.macs));
    cgd_net_free(&net);
}

static void print_plan(const job *j)
{
    const settings *s = j->s;
    unsigned long batch = (unsigned long)s->distil.train.batch;
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
    return open_context(&j->ctx, s, &j->line);
}

/* Begin to watch for Ctrl-C, as late as there is something to save. */
static void watch_signals(void)
{
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
}

/* ======================================================================== */
/* [train]                                                                  */
/* ======================================================================== */

/* Nets to start from decide the shape of those that are trained. */
static int follow_start(job *j, int i)
{
    cgd_train_config *c = &j->s->distil.train;
    const char *path = j->s->run.start[i];
    cgd_file file;
    cgd_net net;
    cgd_status status = cgd_import_open(&j->ctx, &file, path);
    if (status == CGD_OK) {
        status = cgd_import_net(&j->ctx, &net, &file, NULL);
        cgd_file_close(&file);
    }
    if (status != CGD_OK) return fail_status(&j->ctx, status);
    if (net.is_generator != (i < 2)) {
        cgd_net_free(&net);
        return fail("%s holds a %s, where a %s is needed", path,
                    i < 2 ? "discriminator" : "generator",
                    i < 2 ? "generator" : "discriminator");
    }
    if (i < 2) {
        c->generator = net.generator;
        c->generator.in_channels = i ? net.generator.out_channels
                                     : net.generator.in_channels;
        c->generator.out_channels = i ? net.generator.in_channels
                                      : net.generator.out_channels;
    } else {
        c->discriminator = net.discriminator;
    }
    cgd_net_free(&net);
    return 0;
}

static int follow_starts(job *j)
{
    int i, bad = 0;
    for (i = 0; i < 4 && !bad; i++)
        if (j->s->run.start[i]) bad = follow_start(j, i);
    return bad;
}

static int run_train(const command *cmd, settings *s)
{
    const cgd_train_config *c = &s->distil.train;
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
        print_generator(&j.ctx, "generator", &c->generator, s->size);
        print_discriminator(&j.ctx, &c->discriminator, s->size);
        print_plan(&j);
        watch_signals();
        bad = finish_run(&j, cgd_train_run(&j.ctx, c, &s->run),
                         "g_ab.safetensors and g_ba.safetensors");
    }
    cgd_free(&j.ctx);
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
    cgd_generator_config *g = &s->distil.train.generator;
    int ba = s->distil.direction == 1;           /* the configuration is ab  */
    g->in_channels = ba ? teacher->out_channels : teacher->in_channels;
    g->out_channels = ba ? teacher->in_channels : teacher->out_channels;
    if (g->norm == AS_TEACHER) g->norm = teacher->norm;
    if (g->up == AS_TEACHER) g->up = teacher->up;
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
    s->run.data.channels[0] = (size_t)g->in_channels;
    s->run.data.channels[1] = (size_t)g->out_channels;
    if (s->distil.transfer == UNSET)
        s->distil.transfer = !fits_in(g, teacher) ? CGD_TRANSFER_NONE
                           : g->blocks == teacher->blocks || s->distil.cuts > 1
                           ? CGD_TRANSFER_PRUNE : CGD_TRANSFER_FULL;
}

/* Read the teacher once, to know its shape and say what it is. */
static int meet_teacher(job *j)
{
    settings *s = j->s;
    cgd_model teacher;
    cgd_status status = cgd_model_load(&j->ctx, &teacher, s->teacher);
    if (status != CGD_OK) return fail_status(&j->ctx, status);
    print_generator(&j->ctx, "teacher", &teacher.net.generator, s->size);
    follow_teacher(s, &teacher.net.generator);
    cgd_model_free(&teacher);
    return 0;
}

static int check_distil(const source *from, const settings *s)
{
    if (!s->teacher)
        return fail_usage(from, "--teacher FILE is missing: the generator to "
                          "learn from");
    if (s->distil.direction == UNSET)
        return fail_usage(from, "--direction is missing: ab if the teacher "
                          "translates A to B, or ba");
    if (s->student && s->distil.cuts > 1)
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
    s->run.start[s->distil.direction] = s->student;
    if (!bad) bad = follow_starts(&j);
    if (!bad) bad = survey_data(s);
    if (!bad) {
        print_generator(&j.ctx, "student", &s->distil.train.generator,
                        s->size);
        print_plan(&j);
        watch_signals();
        bad = finish_run(&j, cgd_distil_run(&j.ctx, &s->distil, &s->run,
                                            s->teacher, s->reverse),
                         "student.safetensors");
    }
    cgd_free(&j.ctx);
    return bad;
}

/* ======================================================================== */
/* [prune]                                                                  */
/* ======================================================================== */

/* Make the narrower net that the options ask for and save it. */
static cgd_status prune(cgd_ctx *ctx, settings *s, const cgd_net *from)
{
    cgd_generator_config *g = &s->distil.train.generator;
    cgd_net net;
    cgd_status status;
    g->norm = g->up = AS_TEACHER;
    g->block = from->generator.block;
    if (g->blocks == 0) g->blocks = from->generator.blocks;
    follow_teacher(s, &from->generator);
    status = cgd_generator_init(ctx, &net, g);
    if (status != CGD_OK) return status;
    status = cgd_transfer(&net, from, CGD_TRANSFER_PRUNE,
                          s->distil.teacher_blocks);
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
    status = cgd_model_load(&ctx, &model, s->words[0]);
    if (status == CGD_OK) {
        status = prune(&ctx, s, &model.net);
        if (status == CGD_OK) {
            print_generator(&ctx, "before", &model.net.generator, s->size);
            print_generator(&ctx, "after", &s->distil.train.generator,
                            s->size);
        }
        cgd_model_free(&model);
    }
    if (status != CGD_OK) bad = fail_status(&ctx, status);
    cgd_free(&ctx);
    return bad;
}

/* ======================================================================== */
/* [translate]                                                              */
/* ======================================================================== */

/* A translation of pictures, one after the other. */
typedef struct translation {
    settings *s;
    cgd_ctx ctx;
    live_line line;
    cgd_model model;
    int to_folder;
    size_t done, failed;
    double seconds;                  /* in the net alone                     */
} translation;

/* A single generator's file, or with --net one net of a training state. */
static int load_model(cgd_ctx *ctx, cgd_model *model, const char *path,
                      const char *net)
{
    char prefix[64];
    cgd_file file;
    cgd_status status;
    memset(model, 0, sizeof *model);
    if (!net) {
        status = cgd_model_load(ctx, model, path);
    } else {
        sprintf(prefix, "%.60s.", net);
        status = cgd_file_open(ctx, &file, path);
        if (status == CGD_OK) {
            status = cgd_net_load(ctx, &model->net, &file, prefix);
            cgd_file_close(&file);
        }
    }
    if (status != CGD_OK) return fail_status(ctx, status);
    if (model->net.is_generator) return 0;
    cgd_model_free(model);
    return fail("%s of %s is a discriminator, not a generator", net, path);
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* Two names of one file? */
static int same_file(const char *a, const char *b)
{
    struct stat x, y;
    if (strcmp(a, b) == 0) return 1;
    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_ino != 0
        && x.st_ino == y.st_ino && x.st_dev == y.st_dev;
}

/* Where the translation of a picture goes; 0 if the path is too long. */
static int name_output(const translation *t, char out[PATH_ROOM],
                       const char *in)
{
    const char *ending = t->s->raw ? ".f32" : "";
    if (!t->to_folder) {
        if (strlen(t->s->out) >= PATH_ROOM) return 0;
        strcpy(out, t->s->out);
        return 1;
    }
    if (!join(out, t->s->out, base_name(in))
        || strlen(out) + strlen(ending) >= PATH_ROOM) return 0;
    strcat(out, ending);
    return 1;
}

static cgd_status translate_picture(translation *t, const char *in,
                                    const char *out)
{
    const cgd_generator_config *g = &t->model.net.generator;
    cgd_image from, to;
    double start;
    cgd_status status = cgd_image_load(&t->ctx, &from, in,
                                       (size_t)g->in_channels);
    if (status != CGD_OK) return status;
    status = cgd_image_init(&t->ctx, &to, from.w, from.h,
                            (size_t)g->out_channels);
    start = seconds_now();
    if (status == CGD_OK)
        status = cgd_translate(&t->model, to.data, from.data, from.w, from.h,
                               NULL, 0);
    t->seconds += seconds_now() - start;
    if (status == CGD_OK) status = cgd_image_save(&t->ctx, &to, out);
    cgd_image_free(&t->ctx, &to);
    cgd_image_free(&t->ctx, &from);
    return status;
}

/* Repeat the right and lower edge until the sides suit a net: a multiple of
 * 4, and 8 at least, as cgd_translate does it. */
static cgd_status extend(cgd_ctx *ctx, cgd_image *out, const cgd_image *in)
{
    size_t w = in->w < 8 ? 8 : (in->w + 3) / 4 * 4;
    size_t h = in->h < 8 ? 8 : (in->h + 3) / 4 * 4;
    cgd_status status = cgd_image_init(ctx, out, w, h, in->c);
    size_t x, y;
    for (y = 0; y < h && status == CGD_OK; y++)
        for (x = 0; x < w; x++) {
            size_t from_x = x < in->w ? x : in->w - 1;
            size_t from_y = y < in->h ? y : in->h - 1;
            memcpy(out->data + (y * w + x) * in->c,
                   in->data + (from_y * in->w + from_x) * in->c, in->c);
        }
    return status;
}

/* Apply the net to a picture and write w x h values of its output. */
static cgd_status write_raw(translation *t, const cgd_image *picture,
                            size_t w, size_t h, FILE *f)
{
    cgd_tensor x = cgd_tensor_view(1, picture->h, picture->w, picture->c,
                                   NULL);
    cgd_pass pass;
    cgd_status status = cgd_pass_init(&pass, &t->model.net, 1, picture->h,
                                      picture->w, CGD_INFER, NULL, 0, NULL);
    size_t i;
    if (status != CGD_OK) return status;
    x.data = (float *)malloc(cgd_tensor_size(&x) * sizeof(float));
    if (!x.data) status = CGD_ERR_MEMORY;
    if (status == CGD_OK) {
        cgd_tensor_from_bytes(&x, 0, picture->data);
        status = cgd_pass_forward(&pass, &x);
    }
    for (i = 0; i < h && status == CGD_OK; i++)
        if (fwrite(pass.y.data + i * pass.y.w * pass.y.c, sizeof(float),
                   w * pass.y.c, f) != w * pass.y.c) status = CGD_ERR_IO;
    free(x.data);
    cgd_pass_free(&pass);
    return status;
}

static cgd_status translate_raw(translation *t, const char *in,
                                const char *out)
{
    cgd_image picture, extended;
    FILE *f = NULL;
    cgd_status status = cgd_image_load(&t->ctx, &picture, in,
        (size_t)t->model.net.generator.in_channels);
    if (status != CGD_OK) return status;
    status = extend(&t->ctx, &extended, &picture);
    if (status == CGD_OK && !(f = fopen(out, "wb"))) status = CGD_ERR_IO;
    if (status == CGD_OK)
        status = write_raw(t, &extended, picture.w, picture.h, f);
    if (f && fclose(f) != 0 && status == CGD_OK) status = CGD_ERR_IO;
    if (status != CGD_OK && f) remove(out);
    cgd_image_free(&t->ctx, &extended);
    cgd_image_free(&t->ctx, &picture);
    return status;
}

static void translate_one(translation *t, const char *in, size_t of)
{
    char out[PATH_ROOM], text[60];
    cgd_status status;
    double now = seconds_now();
    if (of > 1 && t->line.terminal && live_due(&t->line, now)) {
        sprintf(text, "picture %lu/%lu",
                (unsigned long)(t->done + t->failed + 1), (unsigned long)of);
        live_show(&t->line, text, now);
    }
    t->failed++;                                     /* until it is not      */
    if (!name_output(t, out, in)) {
        fail("%s: the path of its translation is too long", in);
        return;
    }
    if (same_file(in, out)) {
        fail("%s: the translation would overwrite it; name another --out",
             in);
        return;
    }
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
    const char **paths;
    size_t count, room;
    cgd_listing *listings;           /* one for each argument                */
    int n_listings;
} inputs;

static cgd_status add_input(inputs *in, const char *path)
{
    if (in->count == in->room) {
        size_t room = 2 * in->room + 64;
        const char **more = (const char **)realloc((void *)in->paths,
                                                   room * sizeof *more);
        if (!more) return CGD_ERR_MEMORY;
        in->paths = more;
        in->room = room;
    }
    in->paths[in->count++] = path;
    return CGD_OK;
}

static cgd_status collect_inputs(cgd_ctx *ctx, inputs *in, char **words,
                                 int n)
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
            status = add_input(in, words[i]);
            continue;
        }
        status = cgd_list_pictures(ctx, l, words[i]);
        for (k = 0; status == CGD_OK && k < l->count; k++)
            status = add_input(in, l->paths[k]);
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
}

/* In one folder, every translation needs a name of its own. */
static int check_names(const inputs *in)
{
    size_t i, k;
    if (in->n_listings == 1) return 0;
    for (i = 0; i < in->count; i++)
        for (k = 0; k < i; k++)
            if (strcmp(base_name(in->paths[i]), base_name(in->paths[k])) == 0)
                return fail("%s and %s would both become %s; translate them "
                            "one by one", in->paths[k], in->paths[i],
                            base_name(in->paths[i]));
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
        || is_folder(out) || out[strlen(out) - 1] == '/';
    if (t->to_folder) bad = check_names(in);
    if (t->to_folder && !bad) bad = make_folder(out);
    if (bad) return bad;
    /* Only many pictures repay it; without the memory it is as right. */
    if (in->count >= 4) cgd_net_pack(&t->model.net, PACKED_WEIGHTS);
    for (i = 0; i < in->count; i++) translate_one(t, in->paths[i], in->count);
    live_end(&t->line);
    if (t->done > 0 && !t->s->raw)
        printf("%s translated to %s, %.1f ms each\n",
               in_number(&p, (unsigned long)t->done, "picture"), out,
               1000 * t->seconds / (double)t->done);
    if (t->failed == 0) return 0;
    if (in->count > 1)
        fail("%lu of %lu pictures were not translated",
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
        status = collect_inputs(&t.ctx, &in, s->words + 1, s->n_words - 1);
        bad = status == CGD_OK ? translate_all(&t, &in)
                               : fail_status(&t.ctx, status);
        free_inputs(&t.ctx, &in);
        cgd_model_free(&t.model);
    }
    cgd_free(&t.ctx);
    return bad;
}

/* ======================================================================== */
/* [export]                                                                 */
/* ======================================================================== */

#include "cmd_export.h"

/* ======================================================================== */
/* [info]                                                                   */
/* ======================================================================== */

static const char *word_for(const word *w, int value)
{
    for (; w->name; w++)
        if (w->value == value) return w->name;
    return "?";
}

/* "inside the blocks 64 64 64 128", where they are not all alike. */
static void print_inside(const cgd_generator_config *g)
{
    int i, differ = 0;
    int same = g->stage[3] ? g->stage[3] : 4 * g->width;
    for (i = 0; i < g->blocks; i++)
        differ |= g->inside[i] && g->inside[i] != same;
    if (!differ) return;
    printf("  channels inside the blocks:");
    for (i = 0; i < g->blocks; i++)
        printf(" %d", g->inside[i] ? g->inside[i] : same);
    printf("\n");
}

static void print_net_kind(const cgd_net *net)
{
    const cgd_generator_config *g = &net->generator;
    const cgd_discriminator_config *d = &net->discriminator;
    phrase blocks;
    if (net->is_generator)
        printf("generator: %d channels to %d, %d wide, %s (%s), norm %s, "
               "up %s\n", g->in_channels, g->out_channels, g->width,
               in_number(&blocks, (unsigned long)g->blocks, "block"),
               word_for(block_words, g->block),
               word_for(norm_words, g->norm), word_for(up_words, g->up));
    if (net->is_generator)
        print_inside(g);
    else
        printf("discriminator: %s, %d channels, %d wide, norm %s\n",
               word_for(disc_words, d->kind), d->in_channels, d->width,
               word_for(norm_words, d->norm));
}

/* What can be learnt in a layer: weights, and a bias or the norm's two. */
static size_t layer_parameters(const cgd_layer *l)
{
    size_t k2 = l->window.kernel * l->window.kernel;
    size_t n = k2 * (l->kind == CGD_DEPTHWISE ? 1 : l->in_c) * l->out_c;
    if (l->norm == CGD_NORM_NONE) return n + l->out_c;
    if (l->norm == CGD_NORM_INSTANCE) return n;
    return n + 2 * l->out_c;
}

/* One line of the table; a layer is costed as a net of one. h and w become
 * its output's. */
static void print_layer(const cgd_net *net, size_t i, size_t *h, size_t *w)
{
    static const char *const kinds[] = { "conv", "deconv", "depthwise" };
    static const char *const acts[] = { "", " relu", " leaky", " tanh" };
    const cgd_layer *l = &net->layers[i];
    char what[40], size[40];
    cgd_net one = *net;
    cgd_cost cost;
    one.layers += i;
    one.n_layers = 1;
    cost = cgd_net_cost(&one, *h, *w);
    if (cgd_net_out_size(&one, *h, *w, h, w) != CGD_OK) *h = *w = 0;
    sprintf(what, "%s%s %lux%lu/%lu", l->up == CGD_UP_NONE ? "" : "up+",
            kinds[l->kind], (unsigned long)l->window.kernel,
            (unsigned long)l->window.kernel,
            (unsigned long)l->window.stride);
    sprintf(size, "%lux%lux%lu", (unsigned long)*h, (unsigned long)*w,
            (unsigned long)l->out_c);
    printf("  %-28s %-16s%-13s%9lu%10.2f%s%s%s\n", l->name, what, size,
           (unsigned long)layer_parameters(l), cost.macs / 1e6,
           l->norm == CGD_NORM_NONE ? "" : " norm", acts[l->act],
           l->skip ? " sum" : "");
}

static void print_layers(const cgd_net *net, size_t size)
{
    size_t h = size, w = size, i;
    printf("  %-28s %-16s%-13s%9s%10s\n", "layer", "window/stride", "output",
           "learnt", "MMACs");
    for (i = 0; i < net->n_layers; i++) print_layer(net, i, &h, &w);
}

static void print_cost(const cgd_net *net, size_t size)
{
    cgd_cost c = cgd_net_cost(net, size, size);
    size_t train = cgd_pass_bytes(net, 1, size, size, CGD_TRAIN, NULL, 0);
    cgd_model model;
    phrase p;
    model.net = *net;
    printf("  parameters  %lu; %lu as PyTorch counts, with the biases that a\n"
           "              norm cancels\n", (unsigned long)c.params,
           (unsigned long)c.params_official);
    printf("  cost        %s at %lu x %lu; ", in_macs(&p, c.macs),
           (unsigned long)size, (unsigned long)size);
    printf("%s as papers count, with transposed\n"
           "              convolutions at their full output resolution\n",
           in_macs(&p, c.macs_papers));
    if (net->is_generator)
        printf("  memory      %s to translate a picture of that size\n",
               in_bytes(&p, cgd_model_workspace(&model, size, size)));
    printf("  training    %s for a pass, forward and back\n",
           in_bytes(&p, train));
}

/* Print the net of a prefix, if the file has one. */
static cgd_status print_net(cgd_ctx *ctx, const cgd_file *file,
                            const char *prefix, size_t size)
{
    cgd_net net;
    cgd_status status;
    memset(&net, 0, sizeof net);
    status = cgd_net_load(ctx, &net, file, prefix);
    if (status != CGD_OK) return status;
    if (*prefix) printf("\n%.*s, ", (int)strlen(prefix) - 1, prefix);
    print_net_kind(&net);
    print_layers(&net, size);
    print_cost(&net, size);
    cgd_net_free(&net);
    return CGD_OK;
}

/* A file of packed pictures: how many are in each folder. */
static int print_packed(const cgd_file *file)
{
    static const char *const folders[] = { "trainA/", "trainB/", "testA/",
                                           "testB/" };
    size_t i, k, all = 0;
    for (k = 0; k < 4; k++) {
        size_t n = 0;
        for (i = 0; i < file->n_tensors; i++)
            if (strncmp(file->tensors[i].name, folders[k],
                        strlen(folders[k])) == 0) n++;
        if (n > 0) printf("%s %lu packed pictures\n", folders[k],
                          (unsigned long)n);
        all += n;
    }
    return all > 0;
}

static cgd_status print_state(cgd_ctx *ctx, const cgd_file *file, size_t size)
{
    static const char *const nets[] = { "g_ab", "g_ba", "d_a", "d_b" };
    const char *step = cgd_file_meta(file, "cgd.step");
    const char *direction = cgd_file_meta(file, "cgd.direction");
    char key[40];
    cgd_status status = CGD_OK;
    size_t i;
    printf("state of a %s%s after %s steps\n",
           direction ? "distillation " : "training",
           direction ? direction : "", step ? step : "?");
    for (i = 0; i < 4 && status == CGD_OK; i++) {
        sprintf(key, "%s.cgd.net", nets[i]);
        if (!cgd_file_meta(file, key)) continue;
        sprintf(key, "%s.", nets[i]);
        status = print_net(ctx, file, key, size);
        sprintf(key, "ema.%s.cgd.net", nets[i]);
        if (cgd_file_meta(file, key))
            printf("  average     of its weights over the steps: ema.%s\n",
                   nets[i]);
    }
    return status;
}

static int run_info(const command *cmd, settings *s)
{
    cgd_ctx ctx;
    cgd_options one;
    cgd_file file;
    cgd_status status;
    const char *kind;
    (void)cmd;
    memset(&one, 0, sizeof one);
    one.threads = 1;
    cgd_init(&ctx, &one);
    status = cgd_import_open(&ctx, &file, s->words[0]);
    if (status == CGD_OK) {
        kind = cgd_file_meta(&file, "cgd.kind");
        if (kind && strcmp(kind, "state") == 0)
            status = print_state(&ctx, &file, s->size);
        else if (!print_packed(&file))
            status = print_net(&ctx, &file, "", s->size);
        cgd_file_close(&file);
    }
    if (status != CGD_OK) fail_status(&ctx, status);
    cgd_free(&ctx);
    return status == CGD_OK ? 0 : STATUS_FAILED;
}

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
    char path[PATH_ROOM];
    int i, bad = 0;
    for (i = 0; i < FOLDERS && !bad; i++) {
        cgd_listing listing;
        size_t n = 0;
        if (!join(path, root, dataset_folders[i]))
            return fail("the path %s is too long", root);
        bad = make_folder(path);
        if (!bad && cgd_list_pictures(ctx, &listing, path) == CGD_OK) {
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
    char name[40], path[PATH_ROOM];
    cgd_status status;
    sprintf(name, "%s/%04lu.png", dataset_folders[folder],
            (unsigned long)number);
    if (!join(path, root, name))
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
    bad = make_dataset_folders(&ctx, s->words[0]);
    if (!bad) bad = draw_dataset(&ctx, s);
    if (!bad)
        printf("%s: 2 x %lu pictures to train, unpaired, and %lu pairs to "
               "test, %lu x %lu\n", s->words[0], (unsigned long)s->count,
               (unsigned long)s->tests, (unsigned long)s->size,
               (unsigned long)s->size);
    cgd_free(&ctx);
    return bad;
}

/* ======================================================================== */
/* [pack]                                                                   */
/* ======================================================================== */

static int run_pack(const command *cmd, settings *s)
{
    cgd_ctx ctx;
    live_line line;
    cgd_status status;
    int bad;
    bad = open_writer(cmd, s, &ctx, &line);
    if (bad) return bad;
    status = cgd_dataset_pack(&ctx, s->words[0], s->size, s->filter, s->out);
    if (status == CGD_OK) {
        printf("packed into %s; train from it with: cgd train --data %s\n",
               s->out, s->out);
    } else {
        bad = fail_status(&ctx, status);
    }
    cgd_free(&ctx);
    return bad;
}

#include "cmd_import.h"

/* ======================================================================== */
/* [more] Commands that have files of their own                             */
/* ======================================================================== */

#include "cmd_eval.h"

/* ======================================================================== */
/* [plan]                                                                   */
/* ======================================================================== */

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
  "Trains a CycleGAN on two folders of unpaired pictures (JPEG, PNG, BMP).\n"
  "RUN then holds g_ab.safetensors and g_ba.safetensors, the generators;\n"
  "state.safetensors, from which --resume goes on exactly where the run\n"
  "stopped; log.csv; and samples/. Ctrl-C ends the run after the step it is\n"
  "in, and saves it.\n" },
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
        if (strcmp(argv[i], "--preset") == 0 && !is_help(argv[i + 1]))
            return argv[i + 1];
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

int main(int argc, char **argv)
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
