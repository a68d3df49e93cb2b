/* cmd_line.h: the command line of cgd; part of tools/cgd.c
 *
 * What the options set, the one table of all options, presets, parsing, and
 * the texts of --help.
 *
 * Contents: [settings] [options] [presets] [parse] [help]                  */

#ifndef CMD_LINE_H
#define CMD_LINE_H

/* ======================================================================== */
/* [settings] What the options set                                          */
/* ======================================================================== */

/* The library's own configurations, and what only the program knows. The
 * options write straight into them: see offsetof in the table below. */
typedef struct settings {
    cgd_train_config config;
    cgd_run_config run;
    const char *preset;
    const char *teacher, *reverse, *student, *inherit;
    const char *start[4];            /* files of g_ab, g_ba, d_a, d_b         */
    cgd_import_options from;         /* what files leave open                */
    const char *out;                 /* -o of translate and pack             */
    const char *model, *input, *truth, *real, *train, *csv, *html;  /* eval  */
    size_t replicates;
    const char *net;
    const char *kernels;
    size_t size, height;             /* of pictures, in pixels; height 0:    */
    size_t load_size, load_height;   /* as the width                         */
    unsigned long steps, epochs, decay;
    float decay_part, freeze_part;
    size_t answers;                  /* megabytes                            */
    size_t count, tests;
    int filter;
    int raw, npy, list;
    int alpha;                       /* translations keep it                 */
    cgd_u32 background;              /* colour + 1; 0: not chosen            */
    int recurse;
    const char *safetensors, *pth, *onnx, *c_header;      /* export to these */
    const char *calibrate;
    int dtype, frozen, incbin, describe;
    int threads, precision;
    cgd_u32 seed;
    float plan_macs, plan_params;    /* budgets of `plan`; 0: none           */
    float plan_ram, plan_ms;
    char **words;                    /* arguments that are no options        */
    int n_words;
} settings;

/* Commands as bits, so that a row of the table can serve several of them.
 * KEEP marks what a run's state remembers. */
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
static const word file_up_words[] = {
    { "file", -1 }, { "bilinear", CGD_UP_BILINEAR },
    { "nearest", CGD_UP_NEAREST }, { NULL, 0 }
};
static const word file_norm_words[] = {
    { "file", -1 }, { "instance", CGD_NORM_INSTANCE },
    { "none", CGD_NORM_NONE }, { NULL, 0 }
};
static const word stats_words[] = {
    { "file", -1 }, { "image", CGD_STATS_IMAGE },
    { "running", CGD_STATS_RUNNING }, { NULL, 0 }
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
static const word joined_words[] = {
    { "no", CGD_JOINED_NO }, { "left", CGD_JOINED_LEFT },
    { "right", CGD_JOINED_RIGHT }, { NULL, 0 }
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
static const word alpha_words[] = {
    { "drop", 0 }, { "keep", 1 }, { NULL, 0 }
};
static const word colour_words[] = {
    { "white", 0xffffff }, { "black", 0 }, { "grey", 0x808080 },
    { "none", CGD_NO_BACKGROUND }, { NULL, 0 }
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
    STAGES,                      /* int[6]; 0: what the width implies        */
    SIDES,                       /* size_t[2], width and height (0: as wide) */
    CHANNELS,                    /* size_t[2], of A and B                    */
    RANGE,                       /* cgd_range[2], then int: to be measured   */
    COLOUR                       /* cgd_u32, plus 1                          */
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
#define TRAIN_AT(member) offsetof(settings, config.member)
#define NET_AT(member) offsetof(settings, config.generator.member)
#define DISC_AT(member) offsetof(settings, config.discriminator.member)

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
{ "direction", CHOICE, DISTIL | KEEP, AT(config.direction), 0, 0,
  direction_words, NULL, "what the teacher translates" },
{ "reverse", TEXT, DISTIL | KEEP, AT(reverse), 0, 0, NULL, "FILE",
  "generator of the other direction, for cycles" },
{ "train-reverse", FLAG, DISTIL | KEEP, AT(config.train_reverse), 0, 0, NULL,
  NULL, "the reverse generator learns on; else frozen" },
{ "answers", AMOUNT, DISTIL | KEEP, AT(answers), 0, 1000000, NULL, "MB",
  "memory for what the teacher said of pictures that\n"
  "come again (whole, not as random crops)" },
{ "init-student", TEXT, DISTIL | KEEP, AT(student), 0, 0, NULL, "FILE",
  "generator to start from instead of the teacher's\n"
  "layers, of cgd or PyTorch; it decides the shape" },
{ "Nets to start from, of cgd or PyTorch; they decide the shape", HEADING,
  TRAIN, 0, 0, 0, NULL, NULL, NULL },
{ "init-gab", TEXT, TRAIN | KEEP, AT(start[0]), 0, 0, NULL, "FILE",
  "generator from A to B" },
{ "init-gba", TEXT, TRAIN | KEEP, AT(start[1]), 0, 0, NULL, "FILE",
  "generator from B to A" },
{ "init-da", TEXT, TRAIN | KEEP, AT(start[2]), 0, 0, NULL, "FILE",
  "discriminator of pictures of A" },
{ "init-db", TEXT, TRAIN | KEEP, AT(start[3]), 0, 0, NULL, "FILE",
  "discriminator of pictures of B" },
{ "stats", CHOICE, RUNS | KEEP, AT(from.stats), 0, 0, stats_words, NULL,
  "what norms that track statistics use in files of\n"
  "PyTorch: each picture's own, or those of the file" },
{ "Data", HEADING, RUNS, 0, 0, 0, NULL, NULL, NULL },
{ "data", TEXT, RUNS | KEEP, AT(run.data.root), 0, 0, NULL, "DIR",
  "folder with trainA and trainB, or a packed file" },
{ "data-a", TEXT, RUNS | KEEP, AT(run.data.dir[0]), 0, 0, NULL, "DIR",
  "pictures of domain A, ..." },
{ "data-b", TEXT, RUNS | KEEP, AT(run.data.dir[1]), 0, 0, NULL, "DIR",
  "... and of B, instead of --data" },
{ "size", SIDES, RUNS | KEEP, AT(size), 4, 4096, NULL, "N",
  "side of the squares trained on, or WxH, such as\n"
  "356x32; multiples of 4" },
{ "load-size", SIDES, RUNS | KEEP, AT(load_size), 0, 4096, NULL, "N",
  "size before the random crop; 0: no crop" },
{ "channels", CHANNELS, TRAIN | KEEP, AT(run.data.channels), 1, 1024, NULL,
  "A[,B]",
  "channels of pictures: 1 grey, 3 RGB, 4 RGBA; any\n"
  "number in arrays (.npy, .safetensors)" },
{ "range", RANGE, RUNS | KEEP, AT(run.data.range), 0, 0, NULL, "LO,HI",
  "numbers in the pictures that are -1 and 1 to the\n"
  "nets, of both domains or LO,HI,LO,HI of each; auto:\n"
  "the least and largest there; full: 0 to 255 or,\n"
  "with 16 bits, 65535. The models remember it" },
{ "recurse", FLAG, RUNS | KEEP, AT(recurse), 0, 0, NULL, NULL,
  "also take the folders inside folders" },
{ "background", COLOUR, RUNS | KEEP, AT(background), 0, 0, NULL,
  "COLOUR", "transparent parts are laid on it: #RRGGBB, white,\n"
  "black, grey; none: the colours hidden there show" },
{ "joined", CHOICE, RUNS | PACK | KEEP, AT(run.data.joined), 0, 0,
  joined_words, NULL,
  "--data holds train (or is a folder) of pictures that\n"
  "show A and B side by side; here is A" },
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
{ "transfer", CHOICE, DISTIL | KEEP, AT(config.transfer), 0, 0,
  transfer_words, NULL,
  "layers copied from the teacher at the start" },
{ "cuts", INTEGER, DISTIL | KEEP, AT(config.cuts), 1, 10000, NULL, "N",
  "start as wide as the teacher and prune to the\n"
  "student's widths in N cuts, not at once, ..." },
{ "cut-part", REAL, DISTIL | KEEP, AT(config.cut_part), 0, 1, NULL, "X",
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
{ "inherit", TEXT, DISTIL | KEEP, AT(inherit), 0, 0, NULL, "STATE",
  "start from those of the teacher's training: its\n"
  "state.safetensors; their shape is then theirs" },
{ "pool", AMOUNT, RUNS | KEEP, TRAIN_AT(pool), 0, 100000, NULL, "N",
  "earlier fakes they are shown again; 0: none" },
{ "Losses, by weight", HEADING, RUNS, 0, 0, 0, NULL, NULL, NULL },
{ "output", REAL, DISTIL | KEEP, AT(config.output_weight), 0, 1e6, NULL, "W",
  "L1 to the teacher's output" },
{ "haar", REAL, DISTIL | KEEP, AT(config.haar_weight), 0, 1e6, NULL, "W",
  "L1 to its high frequencies" },
{ "contrast", REAL, DISTIL | KEEP, AT(config.contrast_weight), 0, 1e6, NULL,
  "W", "L1 to its local contrast" },
{ "feature", REAL, DISTIL | KEEP, AT(config.feature_weight), 0, 1e6, NULL,
  "W", "L2 to the teacher's hidden states" },
{ "teacher-blocks", BLOCKS, STUDENTS | KEEP, AT(config.teacher_blocks), 0, 255,
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
{ "keep-every", COUNT, RUNS | KEEP, AT(run.keep_every), 0, 1e9, NULL, "N",
  "the generators as they are then, beside the sheets" },
{ "save-every", COUNT, RUNS | KEEP, AT(run.save_every), 0, 1e9, NULL, "N",
  "RUN/state.safetensors" },
{ "out", TEXT, PRUNE, AT(out), 0, 0, NULL, "FILE",
  "the safetensors file to write" },
{ "The picture", HEADING, TRANSLATE, 0, 0, 0, NULL, NULL, NULL },
{ "out", TEXT, TRANSLATE, AT(out), 0, 0, NULL, "OUT",
  "the picture to write, or a folder for several" },
{ "net", TEXT, TRANSLATE, AT(net), 0, 0, NULL, "NAME",
  "take this net (g_ab, ema.g_ab, ...) from a state" },
{ "range", RANGE, TRANSLATE, AT(run.data.range), 0, 0, NULL, "LO,HI",
  "numbers that are -1 and 1 to the net, instead of\n"
  "those it was trained on: of input and output, or\n"
  "LO,HI,LO,HI of each; auto: least and largest input" },
{ "recurse", FLAG, TRANSLATE | PACK | EVAL | EXPORT | KEEP, AT(recurse), 0, 0,
  NULL, NULL, "also take the folders inside folders" },
{ "background", COLOUR, TRANSLATE | PACK | EVAL | EXPORT, AT(background), 0, 0,
  NULL, "COLOUR",
  "transparent parts are laid on it: #RRGGBB, white,\n"
  "black, grey; none: the colours hidden there show" },
{ "alpha", CHOICE, TRANSLATE, AT(alpha), 0, 0, alpha_words, NULL,
  "keep: what is transparent in the input is so in the\n"
  "translation too (.png, .bmp, .npy)" },
{ "npy", FLAG, TRANSLATE, AT(npy), 0, 0, NULL, NULL,
  "write arrays, NAME.npy, into the folder OUT" },
{ "raw", FLAG, TRANSLATE, AT(raw), 0, 0, NULL, NULL,
  "write the net's values, float32 of this machine,\n"
  "(height, width, channels), instead of a picture" },
{ "What to write", HEADING, EXPORT, 0, 0, 0, NULL, NULL, NULL },
{ "safetensors", TEXT, EXPORT, AT(safetensors), 0, 0, NULL, "FILE",
  "safetensors, with the official tensor names" },
{ "describe", FLAG, EXPORT, AT(describe), 0, 0, NULL, NULL,
  "with a tensor cgd.description, by which import\n"
  "knows the net when Python has lost the metadata;\n"
  "state.pop() it before load_state_dict" },
{ "pth", TEXT, EXPORT, AT(pth), 0, 0, NULL, "FILE",
  "a state dict for torch.load(weights_only=True)" },
{ "onnx", TEXT, EXPORT, AT(onnx), 0, 0, NULL, "FILE",
  "ONNX, opset 11, for any N, H and W; norms measure\n"
  "each picture where the net does" },
{ "c", TEXT, EXPORT, AT(c_header), 0, 0, NULL, "NAME.h",
  "const arrays of C, for cgd_model_attach" },
{ "incbin", FLAG, EXPORT, AT(incbin), 0, 0, NULL, NULL,
  "the numbers go into NAME.bin, beside the header,\n"
  "whose assembler (gcc, clang) reads it: compiles at\n"
  "once; -I says where it is, or -DCGD_BIN_NAME=" },
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
{ "size", SIDES, EXPORT, AT(size), 0, 4096, NULL, "N",
  "resized to N x N, or WxH; 0: as they are" },
{ "out", TEXT, PACK, AT(out), 0, 0, NULL, "FILE",
  "the file to write" },
{ "size", SIDES, PACK, AT(size), 0, 8192, NULL, "N",
  "resize to squares, or WxH; 0 keeps each picture's" },
{ "channels", CHANNELS, PACK, AT(run.data.channels), 1, 1024, NULL, "A[,B]",
  "channels of pictures: 1 grey, 3 RGB, 4 RGBA; any\n"
  "number in arrays (.npy, .safetensors)" },
{ "range", RANGE, PACK, AT(run.data.range), 0, 0, NULL, "LO,HI",
  "numbers that training takes as -1 and 1, of both\n"
  "domains or LO,HI,LO,HI; auto: least and largest" },
{ "filter", CHOICE, PACK, AT(filter), 0, 0, filter_words, NULL,
  "how pictures are resized" },
{ "out", TEXT, IMPORT, AT(out), 0, 0, NULL, "MODEL",
  "the safetensors file to write" },
{ "key", TEXT, IMPORT, AT(from.key), 0, 0, NULL, "KEY",
  "the dict the net is in (netG, state_dict, ...),\n"
  "where there are several" },
{ "up", CHOICE, IMPORT, AT(from.up), 0, 0, file_up_words, NULL,
  "how convolutions that resize do it; no file of\n"
  "PyTorch says: bilinear is assumed" },
{ "norm", CHOICE, IMPORT, AT(from.norm), 0, 0, file_norm_words, NULL,
  "of a net that has no tensors of norms" },
{ "stats", CHOICE, IMPORT, AT(from.stats), 0, 0, stats_words, NULL,
  "what norms that track statistics use: each\n"
  "picture's own, or those of the file, as eval()" },
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
{ "size", SIDES, EVAL, AT(size), 0, 4096, NULL, "N",
  "resized to N x N (or WxH) first, as the model was\n"
  "trained; 0: as they are" },
{ "range", RANGE, EVAL, AT(run.data.range), 0, 0, NULL, "LO,HI",
  "numbers that are judged as 0 and 255, of input and\n"
  "output, or LO,HI,LO,HI of each" },
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
  AT(threads), 0, 1024, NULL, "N", "0: one for every core it may use" },
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
    cgd_train_config (*base)(void);
    const char *text;                /* option=value, separated by blanks    */
    const char *summary;
} preset;

/* The first preset of a command is its default. */
static const preset presets[] = {
{ "small", TRAIN, cgd_train_defaults,
  "size=128 load-size=144 ngf=32 blocks=6 ndf=32 lr=0.0004 ema=0.999 "
  "schedule=linear steps=20000 decay-part=0.5 sample-every=500 "
  "save-every=500",
  "photographs, in hours" },
{ "demo", TRAIN, cgd_train_defaults,
  "size=64 load-size=64 flip=no ngf=16 disc-layers=2 ndf=32 lr=0.001 "
  "ema=0.995 schedule=constant steps=1000",
  "the pictures that `cgd dataset` draws, in minutes" },
{ "paper", TRAIN, cgd_train_defaults,
  "size=256 load-size=286 schedule=linear epochs=100 decay=100",
  "Zhu et al. 2017: weeks on two cores" },
{ "original", TRAIN, cgd_train_defaults,
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

/* Text into a room, cut off where that ends. Returns its length there. */
static size_t put_text(char *out, size_t room, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(out, room, format, args);
    va_end(args);
    return strlen(out);
}

/* On stderr; what came from files and folders may hold control characters. */
static void say(const char *format, va_list args)
{
    char text[4096];
    vsnprintf(text, sizeof text, format, args);
    fprintf(stderr, "cgd: %s", cgd_plain(text, sizeof text, text));
}

/* "cgd: SENTENCE" on stderr. Returns the status that means failure. */
static int fail(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    say(format, args);
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
    say(format, args);
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
    if (end == text || *end || strspn(text, "+-.0123456789eE") < strlen(text))
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

/* "#rrggbb", or a name. */
static int parse_colour(const source *from, const option *o, const char *text,
                        cgd_u32 *colour)
{
    const word *w;
    const char *digits = text + (*text == '#');
    for (w = colour_words; w->name; w++)
        if (strcmp(w->name, text) == 0) {
            *colour = (cgd_u32)w->value + 1;
            return 0;
        }
    if (strlen(digits) != 6 || strspn(digits, "0123456789abcdefABCDEF") != 6)
        return fail_usage(from, "--%s needs a colour: #RRGGBB, white, black, "
                          "grey or none, not \"%s\"", o->name, text);
    *colour = (cgd_u32)strtoul(digits, NULL, 16) + 1;
    return 0;
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

/* Two whole numbers within the option's range, or one; *second is then 0. */
static int parse_pair(const source *from, const option *o, const char *text,
                      char between, size_t pair[2])
{
    char *end;
    int i;
    pair[1] = 0;
    for (i = 0; i < 2; i++) {
        double v = strtod(text, &end);
        if (end == text || (*end && (i == 1 || *end != between)))
            return fail_usage(from, "--%s needs a number, or two such as "
                              "%s, not \"%s\"", o->name,
                              between == 'x' ? "356x32" : "1,3", text);
        if (!(v >= o->least && v <= o->most) || v != (double)(size_t)v)
            return fail_usage(from, "--%s %s is out of range: it may be whole "
                              "numbers, %.10g to %.10g", o->name, text,
                              o->least, o->most);
        pair[i] = (size_t)v;
        if (!*end) return 0;
        text = end + 1;
    }
    return 0;
}

/* "LO,HI", for A and B or input and output, "LO,HI,LO,HI", "auto", "full". */
static int parse_range(const source *from, const option *o, const char *text,
                       cgd_range *range, int *measure)
{
    float v[4];
    char *end;
    const char *at = text;
    int n = 0;
    memset(range, 0, 2 * sizeof *range);
    *measure = strcmp(text, "auto") == 0;
    if (*measure || strcmp(text, "full") == 0) return 0;
    do {
        v[n++] = (float)strtod(at, &end);
        if (end == at || (*end && (*end != ',' || n == 4))) n = 5;
        at = end + 1;
    } while (n < 4 && *end);
    if ((n != 2 && n != 4) || !(v[0] < v[1]) || (n == 4 && !(v[2] < v[3])))
        return fail_usage(from, "--%s needs LO,HI such as 0,4095, or "
                          "LO,HI,LO,HI, or auto, not \"%s\"", o->name, text);
    range[0].lo = v[0];
    range[0].hi = v[1];
    range[1].lo = v[n - 2];
    range[1].hi = v[n - 1];
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
    case SIDES: return parse_pair(from, o, text, 'x', (size_t *)to);
    case CHANNELS:
        bad = parse_pair(from, o, text, ',', (size_t *)to);
        if (((size_t *)to)[1] == 0) ((size_t *)to)[1] = ((size_t *)to)[0];
        return bad;
    case COLOUR: return parse_colour(from, o, text, (cgd_u32 *)to);
    case RANGE:
        return parse_range(from, o, text, (cgd_range *)to,
                           (int *)(to + 2 * sizeof(cgd_range)));
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

/* Bytes that a line of options cannot hold stand there as %XX. */
static int is_escaped(unsigned char c)
{
    return c < 32 || c == '%' || c > 126;
}

static void unescape(char *text)
{
    char digits[3] = "";
    char *to = text;
    for (; *text; text++) {
        if (*text == '%' && text[1] && text[2]) {
            memcpy(digits, text + 1, 2);
            *to++ = (char)strtol(digits, NULL, 16);
            text += 2;
        } else {
            *to++ = *text;
        }
    }
    *to = 0;
}

/* Options as text: name=value words between separators, in a buffer that is
 * cut up. Comment lines begin with #. Where "\n" alone separates them, values
 * are escaped. */
static int assign_text(const source *from, settings *s, char *text,
                       const char *separators)
{
    int escaped = strcmp(separators, "\n") == 0;
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
        if (escaped) unescape(value);
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
        if (!*argv[i])
            return fail_usage(from, "an argument is empty; it should name a "
                              "file or a folder");
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

static const char *const state_names[] = { "state.safetensors",
                                           "state.previous.safetensors" };

/* Is there a state in the folder, or the one before it? */
static int has_state(const char *out)
{
    char path[CGD_PATH_ROOM];
    return (cgd_path_join(path, out, state_names[0])
            && cgd_path_kind(path) != CGD_PATH_MISSING)
        || (cgd_path_join(path, out, state_names[1])
            && cgd_path_kind(path) != CGD_PATH_MISSING);
}

/* A text of its own, to be freed; NULL of NULL. */
static char *copy_text(const char *text)
{
    char *copy = text ? (char *)malloc(strlen(text) + 1) : NULL;
    if (copy) strcpy(copy, text);
    return copy;
}

/* What a run of an earlier version kept beside its state, NULL if nothing. */
static char *read_options_file(const char *path)
{
    enum { MOST = 1 << 16 };
    FILE *f = cgd_fopen(path, "rb");
    char *text = f ? (char *)malloc(MOST + 1) : NULL;
    if (text) text[fread(text, 1, MOST, f)] = 0;
    if (f) fclose(f);
    return text;
}

/* Open a run's state, or the one before it if that is all there is, or is
 * whole. 0 if there is none; -1 if none is whole, and ctx has a sentence. */
static int open_state(cgd_ctx *ctx, cgd_file *file, const char *out,
                      char path[CGD_PATH_ROOM])
{
    int i, found = 0;
    for (i = 0; i < 2; i++) {
        if (!cgd_path_join(path, out, state_names[i])
            || cgd_path_kind(path) == CGD_PATH_MISSING) continue;
        if (cgd_file_open(ctx, file, path) == CGD_OK) return 1;
        found = -1;
    }
    return found;
}

/* The options that a run was begun with: *text, to be freed, or NULL. They
 * stand in its state, written in the same instant. from->file: where. */
static int read_options(source *from, const char *out, char path[CGD_PATH_ROOM],
                        char **text, const char **separators)
{
    const char *name;
    cgd_options quiet;
    cgd_ctx ctx;
    cgd_file file;
    int found, bad = 0;
    memset(&quiet, 0, sizeof quiet);
    quiet.threads = 1;
    cgd_init(&ctx, &quiet);
    cgd_use_pictures(&ctx);
    found = open_state(&ctx, &file, out, path);
    from->file = path;
    if (found < 0) bad = fail("%s", cgd_message(&ctx, CGD_ERR_IO));
    if (found > 0) {
        name = cgd_file_meta(&file, "cgd.direction") ? "distil" : "train";
        if (strcmp(name, from->cmd->name) != 0)
            bad = fail_usage(from, "this is a run of cgd %s, not of cgd %s",
                             name, from->cmd->name);
        *text = copy_text(cgd_file_meta(&file, "cgd.options"));
        *separators = "\n";
        cgd_file_close(&file);
        if (!*text && cgd_path_join(path, out, "options.txt")) {
            *text = read_options_file(path);
            *separators = "\r\n";
        }
    }
    cgd_free(&ctx);
    return bad;
}

static int apply_preset(const source *from, settings *s, const char *name)
{
    const preset *p = find_preset(from->cmd->bit, name);
    char text[400];
    if (!p)
        return fail_usage(from, "there is no preset \"%s\"", name);
    s->preset = p->name;
    s->config = p->base();
    s->config.direction = UNSET;
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
    if (is_given(argc, argv, "size") && !is_given(argc, argv, "load-size"))
        s->load_height = 0;
    if (s->size != old_size && old_size > 0
        && !is_given(argc, argv, "load-size"))
        s->load_size = (old_load_size * s->size + old_size / 2) / old_size;
    return 0;
}

/* The options that a run was begun with. They are read twice: which preset it
 * was has to be known, and applied, before the others. */
static int resume_options(const source *file, settings *s,
                          const settings *defaults, char *text,
                          const char *separators)
{
    settings first = *defaults;
    char *copy = copy_text(text);
    int bad;
    if (!copy) return fail("out of memory");
    first.preset = NULL;
    bad = assign_text(file, &first, copy, separators);
    if (!bad) bad = apply_preset(file, s, first.preset);
    if (!bad) bad = assign_text(file, s, text, separators);
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
    char path[CGD_PATH_ROOM];
    const char *separators = NULL;
    settings first = *s;
    size_t size, load_size;
    int bad;
    line.cmd = file.cmd = cmd;
    line.file = NULL;
    file.file = NULL;
    bad = parse_line(&line, &first, argc, argv);
    if (!bad && first.run.resume && first.run.out)
        bad = read_options(&file, first.run.out, path, text, &separators);
    if (!bad && *text)
        bad = resume_options(&file, s, &first, *text, separators);
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
    s->config = cgd_train_defaults();
    s->run = cgd_run_defaults();
    s->run.out = NULL;
    s->run.data = cgd_data_defaults();
    s->from = cgd_import_defaults();
    if (command == PRUNE) {            /* as the teacher is                  */
        s->config.generator.width = 0;
        s->config.generator.blocks = 0;
    }
    s->size = command == DATASET ? 64
            : command == INFO || command == PLAN || command == PRUNE ? 256
            : 0;
    s->count = command == EXPORT ? 32 : 200;
    s->tests = 32;
    s->replicates = cgd_bootstrap_defaults().replicates;
    s->answers = s->config.answer_bytes >> 20;
    s->recurse = 1;
    s->seed = 1;
}

enum { VALUE_ROOM = 100 };

/* The shortest decimal that reads back as the same float. */
static size_t put_real(char *out, size_t room, float v)
{
    int digits;
    size_t n = 0;
    for (digits = 6; digits < 10; digits++) {
        n = put_text(out, room, "%.*g", digits, (double)v);
        if ((float)strtod(out, NULL) == v) break;
    }
    return n;
}

/* The value of an option that is no TEXT, as it would be given. */
static void put_value(char out[VALUE_ROOM], const settings *s,
                      const option *o)
{
    const char *at = (const char *)s + o->offset;
    const word *w;
    size_t n = 0;
    int i;
    out[0] = 0;
    switch (o->kind) {
    case FLAG: strcpy(out, *(const int *)at ? "yes" : "no"); break;
    case INTEGER: put_text(out, VALUE_ROOM, "%d", *(const int *)at); break;
    case AMOUNT:
        put_text(out, VALUE_ROOM, "%lu",
                 (unsigned long)*(const size_t *)at);
        break;
    case COUNT:
        put_text(out, VALUE_ROOM, "%lu", *(const unsigned long *)at);
        break;
    case SEED:
        put_text(out, VALUE_ROOM, "%lu",
                 (unsigned long)*(const cgd_u32 *)at);
        break;
    case REAL: put_real(out, VALUE_ROOM, *(const float *)at); break;
    case CHOICE:
        for (w = o->words; w->name; w++)
            if (w->value == *(const int *)at) strcpy(out, w->name);
        break;
    case COLOUR:
        n = *(const cgd_u32 *)at ? *(const cgd_u32 *)at - 1 : 0xffffff;
        put_text(out, VALUE_ROOM, "#%06x", (unsigned)n);
        for (w = colour_words; w->name; w++)
            if ((size_t)w->value == n) strcpy(out, w->name);
        break;
    case BLOCKS:
        if (*(const int *)at < 0) strcpy(out, "even");
        for (i = 0; i < 16 && ((const int *)at)[i] >= 0; i++)
            n += put_text(out + n, VALUE_ROOM - n, i ? ",%d" : "%d",
                          ((const int *)at)[i]);
        break;
    case SIDES:
    case CHANNELS:
        n = put_text(out, VALUE_ROOM, "%lu",
                     (unsigned long)*(const size_t *)at);
        if (((const size_t *)at)[1] > 0)
            put_text(out + n, VALUE_ROOM - n,
                     o->kind == SIDES ? "x%lu" : ",%lu",
                     (unsigned long)((const size_t *)at)[1]);
        break;
    case RANGE:
        for (i = 0; i < 2; i++) {
            const cgd_range *r = (const cgd_range *)at + i;
            if (r->lo == r->hi) continue;
            if (n > 0) n += put_text(out + n, VALUE_ROOM - n, ",");
            n += put_real(out + n, VALUE_ROOM - n, r->lo);
            n += put_text(out + n, VALUE_ROOM - n, ",");
            n += put_real(out + n, VALUE_ROOM - n, r->hi);
        }
        if (n == 0) strcpy(out, *(const int *)(at + 2 * sizeof(cgd_range))
                                ? "auto" : "full");
        break;
    case STAGES:
        for (i = 0; i < 6; i++)
            n += put_text(out + n, VALUE_ROOM - n, i ? ",%d" : "%d",
                          ((const int *)at)[i]);
        break;
    default: break;
    }
}

static char *put_escaped(char *out, const char *text)
{
    for (; *text; text++)
        if (is_escaped((unsigned char)*text))
            out += put_text(out, 4, "%%%02X", (unsigned)(unsigned char)*text);
        else
            *out++ = *text;
    return out;
}

static const char *text_of(const settings *s, const option *o)
{
    return *(const char *const *)((const char *)s + o->offset);
}

/* Is this an option of the run that its state remembers, and set? */
static int is_kept(const command *cmd, const settings *s, const option *o)
{
    return (o->commands & cmd->bit) && (o->commands & KEEP)
        && (o->kind != TEXT || text_of(s, o))
        && (o->offset != AT(steps) || s->steps > 0);
}

/* Every option of a run as lines name=value, to be freed; NULL without
 * memory. */
static char *options_text(const command *cmd, const settings *s)
{
    char value[VALUE_ROOM], *text, *at;
    size_t room = 1;
    int i;
    for (i = 0; i < N_OPTIONS; i++) {
        const option *o = &options[i];
        if (!is_kept(cmd, s, o)) continue;
        room += strlen(o->name) + 2 + VALUE_ROOM;
        if (o->kind == TEXT) room += 3 * strlen(text_of(s, o));
    }
    text = at = (char *)malloc(room);
    for (i = 0; text && i < N_OPTIONS; i++) {
        const option *o = &options[i];
        if (!is_kept(cmd, s, o)) continue;
        put_value(value, s, o);
        at += put_text(at, (size_t)(text + room - at), "%s=", o->name);
        at = put_escaped(at, o->kind == TEXT ? text_of(s, o) : value);
        *at++ = '\n';
    }
    if (text) *at = 0;
    return text;
}

/* ======================================================================== */
/* [help] Texts                                                             */
/* ======================================================================== */

enum { HELP_COLUMN = 24, HELP_WIDTH = 79, SYNOPSIS_ROOM = 120 };

/* "  --ngf N", or with what it may be: "  --fit resize|crop|width". */
static void put_synopsis(char *out, const option *o)
{
    int is_switch = o->kind == FLAG && (o->commands & KEEP);
    const word *w;
    int is_out = o->offset == AT(out);
    put_text(out, SYNOPSIS_ROOM, is_switch ? "  --[no-]%s"
             : is_out ? "  -o, --%s" : "  --%s", o->name);
    if (o->argument) strcat(strcat(out, " "), o->argument);
    for (w = o->words; w && w->name; w++)
        strcat(strcat(out, w == o->words ? " " : "|"), w->name);
}

/* An option, what it does, and the value it has in s. */
static void print_option(const settings *s, const option *o)
{
    char left[SYNOPSIS_ROOM], value[VALUE_ROOM];
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

#endif
