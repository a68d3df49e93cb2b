/* cycle_gan_distil.h - train CycleGANs, distil them, run them anywhere; v0.1.0
 *
 * Turns pictures of one kind into another (photographs into paintings, horses
 * into zebras) after training on two folders of unpaired examples: a large
 * teacher is trained in both directions, a small student is distilled from
 * one of them, and either translates pictures. One file of strict C89, with
 * no dependency but the C library; also valid C++.
 *
 * Quick start: define CGD_IMPLEMENTATION in one source file, then include.
 *
 *     #define CGD_IMPLEMENTATION
 *     #include "cycle_gan_distil.h"
 *
 *     int main(void)
 *     {
 *         static unsigned char pixels[64 * 64 * 3];
 *         cgd_ctx ctx;
 *         cgd_model model;
 *         cgd_status s;
 *         cgd_init(&ctx, NULL);
 *         s = cgd_model_load(&ctx, &model, "student.safetensors");
 *         if (s == CGD_OK)
 *             s = cgd_translate(&model, pixels, pixels, 64, 64, NULL, 0);
 *         if (s != CGD_OK) fprintf(stderr, "%s\n", cgd_message(&ctx, s));
 *         cgd_model_free(&model);
 *         cgd_free(&ctx);
 *         return s != CGD_OK;
 *     }
 *
 * Training and distilling take a page each: see examples/train.c and
 * examples/distil.c. To read and write pictures, include stb_image.h and
 * stb_image_write.h before this file; where the pictures may be damaged or
 * anyone's, tools/cgd_pictures.h too, and call cgd_use_pictures.
 *
 * How to read it: the public interface comes first, in the order a user meets
 * it. The implementation follows in dependency order, so that nothing is used
 * above its definition. Whoever wants the method and not the machine reads
 * from [impl:tensor] to [impl:train], which ends in one step of it all.
 *
 * Words that have one meaning here:
 *   layer     upsample, convolve, normalise, activate, add to another output
 *   pass      one application of a net to a batch, forward and perhaps back
 *   plan      which tensors a pass needs, when, and where they lie
 *   turn      when a layer works, forward or back: the time of a plan
 *   trip      a pass in a step, with the gradient that goes back through it
 *   side      a direction of translation: generator, its judge, image pool
 *   lesson    what a teacher says of a batch, and what is learnt from it
 *   cut       a narrowing of a student while it learns
 *   moments   mean and mean square deviation of a channel, for its norm
 *   averages  Adam's m and v, or (the average) that of the weights
 *   arena     memory used as a stack, which counts while it has none
 *   job       what a kernel, or the threads, are asked to do
 *   slice     a part of a job that one thread does by itself
 *   panel     weights in the order in which a kernel reads them
 *   band      a slice's output lines in a convolution
 *   tile      the square of outputs, or block of bf16, made at once
 *
 * Contents
 *
 * [part:interface]       Part 1: the interface
 *   [api:config]          configuration macros
 *   [api:context]         status, context, memory, threads, random numbers
 *   [api:tensor]          tensors
 *   [api:ops]             what layers are made of
 *   [api:nets]            nets, generators, discriminators, passes
 *   [api:losses]          losses, Adam, schedules, image pool
 *   [api:train]           training, a step at a time
 *   [api:distil]          distillation, a step at a time
 *   [api:files]           safetensors; saving and loading nets and states
 *   [api:freeze]          frozen statistics, folded norms
 *   [api:model]           inference
 *   [api:pictures]        pictures and data sets
 *   [api:run]             the full loops: folders in, models out
 *
 * [part:ground]          Part 2: the ground
 *   [impl:base]           memory, messages, random numbers, mathematics
 *   [impl:threads]        the team of threads
 *   [impl:asks]           what the method asks of the engine
 * [part:method]          Part 3: the method
 *   [impl:tensor]         tensors
 *   [impl:ops]            operators, forward and backward
 *   [impl:nets]           nets
 *   [impl:passes]         passes and the planner of their memory
 *   [impl:architectures]  generators and discriminators
 *   [impl:losses]         losses, Adam, schedules, image pool
 *   [impl:learners]       nets that learn
 *   [impl:distil]         the teacher
 *   [impl:train]          the trainer
 * [part:engine]          Part 4: the engine
 *   [impl:direct]         convolution as a blocked matrix product
 *   [impl:gradient]       the weight gradient of convolutions
 *   [impl:winograd]       Winograd convolution
 *   [impl:choice]         which method takes which shape
 *   [impl:bf16]           tiles of bf16
 *   [impl:vector]         vector vocabulary and micro kernels
 *   [impl:dispatch]       instruction sets
 * [part:around]          Part 5: around it
 *   [impl:model]          inference
 *   [impl:files]          weights files
 *   [impl:freeze]         frozen statistics, folded norms
 *   [impl:pictures]       pictures and data sets
 *   [impl:run]            the full loops
 *   [end:changes]         change log
 *   [end:licence]         licence
 *
 * Configuration: macros, defined before the file is included
 *
 *   CGD_IMPLEMENTATION    emit the function bodies; in one source file
 *   CGD_STATIC            make every function static
 *   CGDDEF                or: what stands before every public function
 *   CGD_NO_STDIO          no FILE: models from memory, no files or folders
 *   CGD_NO_TRAIN          inference only
 *   CGD_NO_SIMD           plain C kernels only
 *   CGD_NO_THREADS        no threads; the hook in cgd_options stays, and
 *                         so does OpenMP where the compiler has it on
 *   CGD_NO_MALLOC         no default allocator: lend memory in cgd_options
 *   CGD_MALLOC, CGD_FREE  another default allocator; define both
 *   CGD_ASSERT(x)         default assert(x): bugs in this file, nothing else
 *   CGD_SQRTF, CGD_TANHF  other implementations of these two functions
 *   CGD_HEADER            this file's name, if you rename it: it includes
 *                         itself once per instruction set
 *
 * Errors: functions that can fail return a cgd_status, and cgd_message says
 * in one sentence what was wrong. Nothing here prints, exits or aborts.
 *
 * Memory: every allocation goes through the context's allocator and belongs
 * to the object it was made for; each init has its free. A training step
 * plans nothing and allocates nothing: its passes lie in one block, planned
 * when the trainer is made. (What a teacher said is kept as it comes.)
 *
 * Threads: heavy loops are handed in slices to a small team of the context
 * (or to a hook of yours). The slices are the same for any number of threads,
 * and so, bit for bit, are the results. A context and its objects belong to
 * one thread at a time; different contexts need no lock.
 *
 * Pictures: with tools/cgd_pictures.h what stb_image gets is checked before,
 * so that no damaged file shows what memory held; without, stb_image and
 * stb_image_write are trusted as they are.
 *
 * Limits: kernels up to 16 x 16, pictures up to 65,536 pixels a side,
 * generators of up to 256 blocks. Files over 2 GB need a C library whose long
 * has 64 bits. Weights are float32 in memory. Results are reproducible on one
 * build and instruction set, not across them.
 */

#ifndef CYCLE_GAN_DISTIL_H
#define CYCLE_GAN_DISTIL_H

/* ######################################################################## */
/* [part:interface] Part 1: the interface                                   */
/* ######################################################################## */

/* ======================================================================== */
/* [api:config] Configuration                                               */
/* ======================================================================== */

#include <stdarg.h>
#include <stddef.h>
#ifndef CGD_NO_STDIO
#include <stdio.h>
#endif

#define CGD_VERSION "0.1.0"
#define CGD_VERSION_NUMBER 100   /* for #if: major*10000 + minor*100 + patch */

#ifndef CGDDEF
#if defined(CGD_STATIC) && defined(__GNUC__)
#define CGDDEF static __attribute__((unused))
#elif defined(CGD_STATIC)
#define CGDDEF static
#else
#define CGDDEF extern
#endif
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ======================================================================== */
/* [api:context] Status, context, memory, threads                           */
/* ======================================================================== */

typedef unsigned int cgd_u32;              /* exactly 32 bits: checked below */

typedef enum cgd_status {
    CGD_OK = 0,
    CGD_ERR_ARGUMENT,      /* a value that no call of this kind can take     */
    CGD_ERR_SHAPE,         /* tensors, pictures or nets that do not fit      */
    CGD_ERR_MEMORY,        /* the allocator said no, or a buffer is short    */
    CGD_ERR_IO,            /* a file that cannot be opened, read or written  */
    CGD_ERR_FORMAT,        /* a file that is not what it should be           */
    CGD_ERR_UNSUPPORTED,   /* left out of this build, or not known           */
    CGD_STOPPED            /* a callback asked for the end; no failure       */
} cgd_status;

/* Where memory comes from. Blocks need not be aligned or cleared. Zeroed
 * members mean CGD_MALLOC and CGD_FREE. The freeing side is told the size. */
typedef struct cgd_allocator {
    void *(*alloc)(void *user, size_t bytes);
    void  (*release)(void *user, void *ptr, size_t bytes);
    void   *user;
} cgd_allocator;

/* Who runs work: call fn(job, i) once for every i in [0, slices), in any
 * order, on any threads, and return when all are done. The slices do not
 * depend on the number of threads, and so neither do the results. */
typedef struct cgd_parallel {
    void (*parallel_for)(void *user, size_t slices,
                         void (*fn)(void *job, size_t slice), void *job);
    void *user;
} cgd_parallel;

/* What cgd_init is told; zero means the default everywhere. */
typedef struct cgd_options {
    cgd_allocator allocator;
    cgd_parallel  parallel;    /* a caller's own threads; else the built-in  */
    int           threads;     /* built-in team: 1 none; 0 one per core that
                                  this process may use, by its affinity and
                                  its cgroup's quota                         */
    void         *memory;      /* lend this block instead of an allocator:   */
    size_t        memory_size; /* bytes; needed under CGD_NO_MALLOC          */
    void (*warn)(void *user, const char *sentence);  /* e.g. skipped files   */
    void         *warn_user;
} cgd_options;

struct cgd__kernels;
struct cgd__team;
struct cgd_codec;

/* All state that is not in an object. One context per thread of yours needs
 * no lock; the members are private, but the struct may live on your stack. */
typedef struct cgd_ctx {
    cgd_allocator allocator;
    cgd_parallel parallel;
    const struct cgd__kernels *kernels;
    struct cgd__team *team;
    void (*warn)(void *user, const char *sentence);
    void *warn_user;
    unsigned char *lent;       /* the lent block, its size and fill          */
    size_t lent_size, lent_used;
    size_t in_use, peak;       /* bytes now and at most                      */
    const struct cgd_codec *codec;   /* of pictures; NULL: the plain one     */
    cgd_u32 background;        /* under what is transparent; 0: not chosen   */
    char message[1024];
} cgd_ctx;

/* Prepare a context; options may be NULL. Never fails: without memory for
 * threads it works with one. cgd_free ends the threads; objects made with
 * the context are freed before it. */
CGDDEF void cgd_init(cgd_ctx *ctx, const cgd_options *options);
CGDDEF void cgd_free(cgd_ctx *ctx);

/* Threads that share the work, the caller's included; 0 if a hook of yours
 * decides. */
CGDDEF int cgd_threads(const cgd_ctx *ctx);

/* One sentence about the last failure, or the status in plain words. */
CGDDEF const char *cgd_message(const cgd_ctx *ctx, cgd_status status);

/* Copy a text, cut to the room, with '?' for control characters: names that
 * files give may hold some, which a terminal would obey. out may be text;
 * returned. Messages are made so already. */
CGDDEF char *cgd_plain(char *out, size_t room, const char *text);

/* Choose the kernels by name: "reference" (plain loops), "portable", or in
 * its place "neon" (64-bit ARM) or "wasm" (built with -msimd128), and where
 * the processor supports them "avx2", "avx512". NULL or "" picks the best.
 * "bf16" is the best of "bf16-amx" and "bf16-dot", where the processor has
 * such instructions: convolutions of 32 channels and more round what they
 * multiply to bf16 and sum in float32; all else stays float32.
 * Errors: CGD_ERR_UNSUPPORTED, the choice is then unchanged. */
CGDDEF cgd_status cgd_use_kernels(cgd_ctx *ctx, const char *name);
CGDDEF const char *cgd_kernels_name(const cgd_ctx *ctx);

/* Bytes the context's objects hold now, and the most they ever held. */
CGDDEF size_t cgd_memory_in_use(const cgd_ctx *ctx);
CGDDEF size_t cgd_memory_peak(const cgd_ctx *ctx);

/* The generator of random numbers: xoshiro128** (Blackman & Vigna 2018),
 * the same sequence for a seed on every machine and libc. */
typedef struct cgd_rng { cgd_u32 s[4]; } cgd_rng;

CGDDEF void    cgd_rng_seed(cgd_rng *rng, cgd_u32 seed, cgd_u32 stream);
CGDDEF cgd_u32 cgd_rng_next(cgd_rng *rng);
CGDDEF cgd_u32 cgd_rng_below(cgd_rng *rng, cgd_u32 n);  /* in [0, n), n > 0  */
CGDDEF double  cgd_rng_uniform(cgd_rng *rng);           /* in [0, 1)         */
CGDDEF double  cgd_rng_normal(cgd_rng *rng);            /* mean 0, deviation 1*/

/* What code beside the library needs to work as it does: memory, sentences and
 * threads of the context, and mathematics without libm (good to about 1e-15,
 * the same on every machine). The headers in tools/ are written with these.
 * cgd_alloc clears; without memory it returns NULL, and the sentence says what
 * it was for. cgd_release takes the count times size of the allocation.
 * Formats know %s, %d, %u (a size_t), %f (a double, nine digits), %%. */
CGDDEF void *cgd_alloc(cgd_ctx *ctx, size_t count, size_t size,
                       const char *what);
CGDDEF void cgd_release(cgd_ctx *ctx, void *block, size_t bytes);
/* Keep the sentence, and hand the status back; cgd_warn tells one to whom the
 * context's options name. */
CGDDEF cgd_status cgd_fail(cgd_ctx *ctx, cgd_status status,
                           const char *format, ...);
CGDDEF void cgd_warn(cgd_ctx *ctx, const char *format, ...);
CGDDEF void cgd_format(char *out, size_t room, const char *format, ...);
CGDDEF void cgd_format_list(char *out, size_t room, const char *format,
                            va_list args);
CGDDEF void cgd_parallel_for(cgd_ctx *ctx, size_t slices,
                             void (*fn)(void *job, size_t slice), void *job);
CGDDEF double cgd_sqrt(double x);
CGDDEF double cgd_exp(double x);
CGDDEF double cgd_log(double x);

/* ======================================================================== */
/* [api:tensor] Tensors                                                     */
/* ======================================================================== */

/* A batch of feature maps: element (i, y, x, k) at
 * data[((i*h + y)*w + x)*c + k]. A tensor never owns its data. */
typedef struct cgd_tensor {
    size_t n, h, w, c;
    float *data;
} cgd_tensor;

CGDDEF cgd_tensor cgd_tensor_view(size_t n, size_t h, size_t w, size_t c,
                                  float *data);
CGDDEF size_t cgd_tensor_size(const cgd_tensor *t);     /* in elements       */

/* Pixels: bytes 0..255 to floats in [-1, 1] and back (clamped, rounded to
 * nearest). bytes are (h, w, c); picture is the index in the batch. */
CGDDEF void cgd_tensor_from_bytes(cgd_tensor *t, size_t picture,
                                  const unsigned char *bytes);
CGDDEF void cgd_tensor_to_bytes(unsigned char *bytes, const cgd_tensor *t,
                                size_t picture);

/* What the numbers of pictures mean: lo is -1 to a net and hi is 1; beyond
 * them values are clamped. lo = hi = 0 stands for 0 and white. white is the
 * largest value of the samples' type: 255, 65535, or 0 for floating point
 * (and signed integers), which has none and needs lo and hi. */
typedef struct cgd_range { float lo, hi, white; } cgd_range;

/* ======================================================================== */
/* [api:ops] What layers are made of                                        */
/* ======================================================================== */
/* The operators themselves, with formulas, shapes and gradients, are
 * [impl:ops]. */

enum { CGD_PAD_ZERO = 0, CGD_PAD_REFLECT };
enum { CGD_UP_NONE = 0, CGD_UP_NEAREST, CGD_UP_BILINEAR, CGD_UP_DECONV };
enum { CGD_NORM_NONE = 0, CGD_NORM_INSTANCE, CGD_NORM_INSTANCE_AFFINE,
       CGD_NORM_BATCH };
enum { CGD_ACT_NONE = 0, CGD_ACT_RELU, CGD_ACT_LEAKY, CGD_ACT_TANH };

/* The window of a convolution: kernel and stride 1 to 16, pad < kernel.
 * pad_mode CGD_PAD_REFLECT mirrors without repeating the edge and needs
 * pad < height and width. */
typedef struct cgd_window { size_t kernel, stride, pad; int pad_mode; }
    cgd_window;

/* ======================================================================== */
/* [api:nets] Nets and passes                                               */
/* ======================================================================== */

/* CGD_BLUR is depthwise too, of fixed weights: the binomial ones of the
 * window, ([1 2 1] x [1 2 1]) / 16 of 3, and no bias. It never learns. */
enum { CGD_CONV = 0, CGD_DECONV, CGD_DEPTHWISE, CGD_BLUR };

/* One layer: [upsample x2] -> convolution -> [norm] -> [activation]
 * -> [+ the output of the layer `skip` places before this one].
 * A bias exists only where no norm follows: a norm would cancel it. */
typedef struct cgd_layer {
    int kind, up, norm, act;
    cgd_window window;
    size_t in_c, out_c;
    size_t skip;              /* 0: none; 2: a plain residual block's end    */
    char name[32];            /* of weight and bias in a file: "model.1"     */
    char norm_name[32];       /* of the norm's tensors: "model.2"            */
    size_t w, b, gamma, beta; /* where they start in params; set by the net  */
    size_t mean, var;         /* running statistics, after all parameters    */
    size_t pack;              /* where it starts in packs, or (size_t)-1     */
} cgd_layer;

enum { CGD_BLOCK_PLAIN = 0, CGD_BLOCK_SEPARABLE };
enum { CGD_MAX_BLOCKS = 256 };

/* The residual generator (Johnson et al. 2016; Zhu et al. 2017): 7x7 stem,
 * two stride-2 convolutions, blocks, two upsampling layers, 7x7 head, tanh. */
typedef struct cgd_generator_config {
    int in_channels, out_channels;
    int width;                /* ngf: channels after the stem                */
    int blocks;               /* residual blocks                             */
    int norm, up, block;      /* CGD_NORM_*, CGD_UP_*, CGD_BLOCK_*           */
    int image_stats;          /* batch norm at inference: the picture's own
                                 statistics instead of the running ones      */
    int stage[6];             /* channels after stem, down 1, down 2, inside
                                 the blocks, after up 1, up 2; 0: from width */
    unsigned short inside[CGD_MAX_BLOCKS];   /* of each block; 0: stage[3]   */
    cgd_range range[2];       /* of the pictures it takes and gives; zeros:
                                 0 to each picture's white                   */
    int zero_pad;             /* behind a resizing: zeros, not a mirror      */
    int antialias;            /* down: stride 1, then a blur of stride 2     */
} cgd_generator_config;

enum { CGD_DISC_PATCH = 0, CGD_DISC_FIVE, CGD_DISC_PIXEL };

/* PatchGAN with n stride-2 layers (Isola et al. 2017), the plain five-layer
 * convolution net of the original distillation project, or 1x1 pixels. */
typedef struct cgd_discriminator_config {
    int kind, in_channels;
    int width;                /* ndf: channels after the first layer         */
    int layers;               /* CGD_DISC_PATCH: stride-2 layers, 3 usually  */
    int norm;
} cgd_discriminator_config;

/* A net is data: layers, one flat parameter vector and one flat gradient
 * vector. params holds count trainable values, then the running statistics,
 * state values in all. Weights are in the layouts of [api:ops]. */
typedef struct cgd_net {
    cgd_ctx *ctx;
    cgd_layer *layers;
    size_t n_layers, count, state;
    float *params;
    float *grads;             /* count values, or NULL: cgd_net_with_grads   */
    float *packs;             /* weights as kernels want them: cgd_net_pack  */
    size_t pack_floats;
    const struct cgd__kernels *pack_kernels;  /* who wants them so           */
    int constant;             /* layers, params: not ours (cgd_model_attach) */
    int image_stats;
    int frozen;               /* batch norm: running statistics in training  */
    int is_generator;
    cgd_generator_config generator;
    cgd_discriminator_config discriminator;
} cgd_net;

CGDDEF cgd_generator_config cgd_generator_defaults(void);      /* 9 x 64     */
CGDDEF cgd_discriminator_config cgd_discriminator_defaults(void);

/* Build a net with all parameters zero, but for blurs. cgd_net_init takes
 * layers of your own design (copied; only the part up to norm_name is read).
 * cgd_net_free accepts a zeroed struct. Errors: CGD_ERR_ARGUMENT,
 * CGD_ERR_MEMORY. */
CGDDEF cgd_status cgd_generator_init(cgd_ctx *ctx, cgd_net *net,
                                     const cgd_generator_config *config);
CGDDEF cgd_status cgd_discriminator_init(cgd_ctx *ctx, cgd_net *net,
                                     const cgd_discriminator_config *config);
CGDDEF cgd_status cgd_net_init(cgd_ctx *ctx, cgd_net *net,
                               const cgd_layer *layers, size_t n_layers);
CGDDEF cgd_status cgd_net_with_grads(cgd_net *net);
CGDDEF void cgd_net_free(cgd_net *net);

/* For a net that will be applied many times without learning: keep as many
 * layers' weights as fit into max_bytes in the form that the kernels multiply
 * (0: none), which a pass otherwise makes anew. Results are the same bit for
 * bit. Call it again after changing params by hand; the functions of this
 * library that change a net's params drop what was kept. Error:
 * CGD_ERR_MEMORY, nothing is kept then. */
CGDDEF cgd_status cgd_net_pack(cgd_net *net, size_t max_bytes);

/* Copy all parameters between nets of the same layers; CGD_ERR_SHAPE else. */
CGDDEF cgd_status cgd_net_copy(cgd_net *to, const cgd_net *from);

enum { CGD_INIT_NORMAL = 0, CGD_INIT_PYTORCH, CGD_INIT_XAVIER,
       CGD_INIT_KAIMING };

/* Draw weights: N(0, 0.02), as CycleGAN; PyTorch's default, uniform within
 * 1/sqrt(fan_in), biases too; Xavier normal times 0.02; Kaiming normal.
 * Biases are 0, gamma ~ N(1, 0.02) (PyTorch: 1), beta 0. */
CGDDEF void cgd_net_init_weights(cgd_net *net, int init, cgd_rng *rng);

/* Cost of one picture. macs: multiplications needed; macs_papers: as papers
 * count them, a transposed convolution at full output resolution.
 * params_official: with the biases that a norm cancels, as PyTorch counts. */
typedef struct cgd_cost {
    double macs, macs_papers;
    size_t params, params_official;
} cgd_cost;
CGDDEF cgd_cost cgd_net_cost(const cgd_net *net, size_t h, size_t w);

/* Size of the output for an input of h by w; CGD_ERR_SHAPE if too small. */
CGDDEF cgd_status cgd_net_out_size(const cgd_net *net, size_t h, size_t w,
                                   size_t *out_h, size_t *out_w);

enum { CGD_INFER = 0, CGD_TRAIN, CGD_RECOMPUTE, CGD_THROUGH };

/* A pass is one application of a net to one batch, laid out once by a plan
 * and then run as often as one likes. Its activations are in one block of
 * memory:
 *   CGD_INFER      a buffer is used again as soon as nobody reads it any more
 *   CGD_TRAIN      all that backward needs is kept, and the gradients' buffers
 *                  are planned too
 *   CGD_RECOMPUTE  CGD_TRAIN in less memory and more time, and bit for bit the
 *                  same: only the maps between segments of layers are kept, and
 *                  backward runs each segment forward again first (Chen et al.
 *                  2016, "Training Deep Nets with Sublinear Memory Cost")
 *   CGD_THROUGH    CGD_TRAIN for the gradient of the input alone: that of the
 *                  net's own weights is left as it is, even if it has one */
typedef struct cgd_pass {
    cgd_net *net;
    const struct cgd__kernels *kernels;   /* those the plan was made for     */
    const float *params;      /* run with these values in place of the net's
                                 own, such as their average; or NULL         */
    int mode;
    int learns;               /* backward adds to the net's gradient         */
    size_t n, h, w;
    struct cgd__slot *slots;  /* the plan: where each layer's tensors lie    */
    float *memory;            /* the block, aligned                          */
    size_t bytes;             /* of the block                                */
    size_t held;              /* its first bytes, which backward relies on;
                                 others may use the rest until then          */
    void *own;                /* the block, where the pass allocated it      */
    cgd_tensor x, y;          /* input (the caller's) and output             */
} cgd_pass;

/* Plan a pass: pass->bytes says what memory it will need. keep (n_keep layer
 * indices, or NULL) names layers whose outputs stay readable after forward,
 * and can be matched. The net is neither moved nor given gradients while
 * passes over it live. Then place it: memory is a block of so many bytes, lent
 * until the pass is placed elsewhere or freed, or NULL to take it from the
 * context. cgd_pass_init does both. */
CGDDEF cgd_status cgd_pass_plan(cgd_pass *pass, cgd_net *net, size_t n,
                                size_t h, size_t w, int mode,
                                const size_t *keep, size_t n_keep);
CGDDEF cgd_status cgd_pass_place(cgd_pass *pass, void *memory);
CGDDEF cgd_status cgd_pass_init(cgd_pass *pass, cgd_net *net, size_t n,
                                size_t h, size_t w, int mode,
                                const size_t *keep, size_t n_keep,
                                void *memory);
CGDDEF void cgd_pass_free(cgd_pass *pass);
/* The bytes of such a pass, or 0 when the size does not fit. */
CGDDEF size_t cgd_pass_bytes(const cgd_net *net, size_t n, size_t h, size_t w,
                             int mode, const size_t *keep, size_t n_keep);

/* Apply the net to x, whose data must stay until backward. The result is
 * pass->y. In both training modes batch norms use the batch's statistics and,
 * where the net has gradients, move the running ones; unless net->frozen. */
CGDDEF cgd_status cgd_pass_forward(cgd_pass *pass, const cgd_tensor *x);
/* The output of a layer that is kept; data is NULL for one that nobody reads
 * any more, or that backward makes again. */
CGDDEF cgd_tensor cgd_pass_output(const cgd_pass *pass, size_t layer);

#ifndef CGD_NO_TRAIN
/* Let backward add d, the gradient of a loss that reads the output of a layer
 * directly (hidden-state distillation). d has that output's shape, and its
 * data must stay until backward; each layer takes one d per forward. */
CGDDEF void cgd_pass_pull(cgd_pass *pass, size_t layer, const cgd_tensor *d);

/* From dy, the gradient of the output, add into the net's gradient vector
 * (unless it has none) and write the input's gradient to dx (or NULL).
 * dy's data are overwritten. Once per forward. */
CGDDEF cgd_status cgd_pass_backward(cgd_pass *pass, cgd_tensor *dy,
                                    cgd_tensor *dx);
#endif

/* ======================================================================== */
/* [api:losses] Losses, Adam, schedules, image pool                         */
/* ======================================================================== */
#ifndef CGD_NO_TRAIN

/* Each returns weight * mean(...) over all elements and writes (or, with
 * add != 0, adds) weight times its gradient to dx; dx may be NULL. */
CGDDEF double cgd_loss_l1(cgd_ctx *ctx, const cgd_tensor *x,
                          const cgd_tensor *target, float weight,
                          cgd_tensor *dx, int add);
CGDDEF double cgd_loss_mse(cgd_ctx *ctx, const cgd_tensor *x,
                           const cgd_tensor *target, float weight,
                           cgd_tensor *dx, int add);

/* High frequencies (Zhang et al. 2022, "Wavelet Knowledge Distillation"): L1
 * of the three detail bands of a one-level Haar transform,
 *   (a-b+c-d)/2, (a+b-c-d)/2, (a-b-c+d)/2   of each 2 x 2 square a b / c d;
 * an odd last row or column takes no part. */
CGDDEF double cgd_loss_haar(cgd_ctx *ctx, const cgd_tensor *x,
                            const cgd_tensor *target, float weight,
                            cgd_tensor *dx, int add);

/* Local contrast: L1 between deviations, sqrt(variance + 0.0001) within an
 * 11 x 11 Gaussian window, at every place that has one, of a map of means: of
 * 4 x 4 squares (in which the checkerboard of two transposed convolutions
 * cancels out: it would pass for texture) around every second pixel. Knows how
 * strong a texture is and not where its light and dark are, so that what
 * cannot tell these paints it all the same instead of a grey mean. Values in
 * [-1, 1]; pictures under 24 pixels a side have no loss.
 * scratch: room for cgd_loss_contrast_scratch(x) floats. */
CGDDEF size_t cgd_loss_contrast_scratch(const cgd_tensor *x);
CGDDEF double cgd_loss_contrast(cgd_ctx *ctx, const cgd_tensor *x,
                                const cgd_tensor *target, float weight,
                                cgd_tensor *dx, int add, float *scratch);

enum { CGD_GAN_LSGAN = 0, CGD_GAN_VANILLA, CGD_GAN_HINGE };
enum { CGD_AS_GENERATOR = 0, CGD_AS_REAL, CGD_AS_FAKE };

/* Adversarial loss on a discriminator's raw output x.
 *             generator              real                  fake
 *   LSGAN     (x-1)^2                (x-1)^2               x^2
 *   vanilla   log(1+exp(-x))         log(1+exp(-x))        log(1+exp(x))
 *   hinge     -x                     max(0, 1-x)           max(0, 1+x)     */
CGDDEF double cgd_loss_gan(cgd_ctx *ctx, const cgd_tensor *x, int gan,
                           int role, float weight, cgd_tensor *dx);

/* Adam (Kingma & Ba 2015): step counts from 1.
 *   m = b1 m + (1-b1) g,  v = b2 v + (1-b2) g^2
 *   p -= lr / (1-b1^t) * m / (sqrt(v) / sqrt(1-b2^t) + eps)               */
typedef struct cgd_adam { float beta1, beta2, eps; } cgd_adam;
CGDDEF void cgd_adam_step(cgd_ctx *ctx, const cgd_adam *adam, float lr,
                          unsigned long step, float *p, float *m, float *v,
                          const float *g, size_t count);

enum { CGD_LR_CONSTANT = 0, CGD_LR_LINEAR, CGD_LR_STEP, CGD_LR_COSINE };

/* Factor on the learning rate at a step (from 0): constant before `start`,
 * then linear to 0 at `total`, half a cosine to 0, or times 0.1 every
 * `start` steps. */
typedef struct cgd_schedule { int kind; unsigned long start, total; }
    cgd_schedule;
CGDDEF float cgd_schedule_at(const cgd_schedule *schedule, unsigned long step);

/* The history of fakes shown to a discriminator (Shrivastava et al. 2017):
 * until it is full a picture is stored and returned; then with probability
 * one half it is swapped for a stored one. Capacity 0 passes through. */
typedef struct cgd_pool {
    size_t capacity, filled, picture;   /* pictures, and values in one       */
    float *data;
} cgd_pool;
CGDDEF cgd_status cgd_pool_init(cgd_ctx *ctx, cgd_pool *pool, size_t capacity,
                                size_t picture);
CGDDEF void cgd_pool_free(cgd_ctx *ctx, cgd_pool *pool);
CGDDEF void cgd_pool_query(cgd_pool *pool, cgd_rng *rng, cgd_tensor *fakes);
#endif

/* ======================================================================== */
/* [api:train] Training                                                     */
/* ======================================================================== */
#ifndef CGD_NO_TRAIN

/* One configuration for both: with a teacher a trainer distils. The values of
 * the CycleGAN paper come from cgd_train_defaults(), recipes of distillation
 * from [api:distil]. */
typedef struct cgd_train_config {
    cgd_generator_config generator;  /* A to B; B to A swaps the channels; the
                                        student's, where there is a teacher  */
    cgd_discriminator_config discriminator;
    size_t batch, height, width;     /* of the pictures a step sees          */
    int   gan;                       /* CGD_GAN_*                            */
    float gan_weight;                /* 1                                    */
    float cycle_weight;              /* 10                                   */
    float identity_weight;           /* 5; needs equal channels              */
    float lr_g, lr_d;                /* 2e-4 a step                          */
    cgd_adam adam;                   /* 0.5, 0.999, 1e-8                     */
    cgd_schedule schedule;           /* total 0: constant; the loops put their
                                        steps there, and start at the half   */
    size_t pool;                     /* pictures kept per domain, 50         */
    float ema;                       /* decay of the weight average, 0: none */
    unsigned long freeze;            /* batch norm in the generators: they
                                        learn with frozen statistics from
                                        this step on, 0: never               */
    int   init;                      /* CGD_INIT_*                           */
    cgd_u32 seed;
    int   recompute;                 /* generators keep few maps and make the
                                        others again: less memory, more time,
                                        the same numbers (CGD_RECOMPUTE)     */
    /* With a teacher; weights of its terms need one. */
    int   direction;                 /* 0: teacher maps A to B; 1: B to A    */
    int   transfer;                  /* CGD_TRANSFER_*                       */
    int   cuts;                      /* the student starts nearly as wide as
                                        the teacher and is pruned to its own
                                        widths in so many cuts, ...          */
    float cut_part;                  /* evenly over this part of the steps of
                                        the schedule, 0..1                   */
    float output_weight;             /* L1 to the teacher's output           */
    float haar_weight;               /* L1 to its high frequencies           */
    float contrast_weight;           /* L1 to local contrast; sides of 24    */
    float feature_weight;            /* L2 to hidden states, the mean over the
                                        pairs of blocks; of another width
                                        through learned adaptors             */
    int   teacher_blocks[16];        /* matched to student blocks 0, 1, ...;
                                        -1 ends; all -1: spread evenly       */
    int   train_reverse;             /* the reverse generator learns on      */
    size_t answer_bytes;             /* memory for what the teacher said, so
                                        that a picture that comes again is
                                        not shown to it again; 0: none       */
} cgd_train_config;

/* What one step reports; every term includes its weight. Index 0 is the
 * direction A to B, 1 is B to A: gan[0] judges G_ab's output, cycle[0] starts
 * from a picture of A, identity[0] shows a picture of B to G_ab, and d[0] is
 * the discriminator of domain B. A term that was not computed is 0. */
typedef struct cgd_losses {
    double gan[2], cycle[2], identity[2], d[2];
    double feature, output;          /* distillation only: all terms of
                                        hidden states, all of the output     */
    double generators;               /* the sum that the generators descend  */
} cgd_losses;

/* A net with all that learning needs: Adam's averages m and v of its gradient
 * and of the gradient's square, and the average of its weights. */
typedef struct cgd_learner {
    cgd_net net;
    float *m, *v;                    /* NULL: frozen                         */
    float *ema;                      /* net.state values, or NULL            */
} cgd_learner;

/* One direction of translation: a generator, the discriminator that judges
 * what it makes, and the history of what it made. */
typedef struct cgd_side {
    cgd_learner g, d;
    cgd_pool pool;
} cgd_side;

/* side[0]: g_ab and d_b; side[1]: g_ba and d_a. With a teacher beside one of
 * the generators, the student, it is the same game; terms of weight 0 then
 * leave out what only they need: discriminators, the reverse generator. A
 * trainer is not moved. */
typedef struct cgd_trainer {
    cgd_ctx *ctx;
    cgd_train_config config;
    cgd_side side[2];
    cgd_rng rng;
    unsigned long step;              /* steps done                           */
    cgd_net teacher;                 /* layers NULL: there is none           */
    struct cgd__answers *answers;    /* what the teacher said before         */
    cgd_learner *adaptors;           /* to the teacher's width, per block    */
    size_t n_adaptors;               /* 0 where the widths are the same      */
    struct cgd__step_plan *plan;     /* the passes of a step, and ...        */
    void *block;                     /* where they live                      */
    size_t block_size;
} cgd_trainer;

CGDDEF cgd_train_config cgd_train_defaults(void);
/* teacher: NULL, or a generator to distil; reverse: NULL, or one of the other
 * direction, where a cycle needs one that no step makes. Both are copied.
 * Discriminators start fresh; cgd_net_copy puts another's parameters there.
 * Errors: CGD_ERR_ARGUMENT, CGD_ERR_SHAPE, CGD_ERR_MEMORY. */
CGDDEF cgd_status cgd_trainer_init(cgd_ctx *ctx, cgd_trainer *t,
                                   const cgd_train_config *config,
                                   const cgd_net *teacher,
                                   const cgd_net *reverse);
CGDDEF void cgd_trainer_free(cgd_trainer *t);

/* One full iteration on a (batch, height, width, channels of A) and b.
 * Errors: CGD_ERR_SHAPE; CGD_ERR_FORMAT when a loss or its gradient stops
 * being a number, however the file was compiled (the weights are then as the
 * step left them: go back to a saved state). */
CGDDEF cgd_status cgd_train_step(cgd_trainer *t, const cgd_tensor *a,
                                 const cgd_tensor *b, cgd_losses *losses);

/* ======================================================================== */
/* [api:distil] Distillation                                                */
/* ======================================================================== */

enum { CGD_TRANSFER_NONE = 0, CGD_TRANSFER_UPDOWN, CGD_TRANSFER_FULL,
       CGD_TRANSFER_PRUNE };

/* Recipes; each is a configuration, whose student has 3 blocks:
 *   cgd_distil_defaults()  the best found: full transfer, output L1 10 and
 *                          that of high frequencies 10, a cosine to 0, an
 *                          average of the student's weights
 *   cgd_distil_fast()      full transfer and output L1 10, nothing else
 *   cgd_distil_paper()     GAN Compression (Li et al. 2020): full transfer,
 *                          output L1 10, hidden states 0.01, LSGAN 1
 *   cgd_distil_original()  the original project's method: LSGAN 1, cycle 10,
 *                          identity 5, hidden states 1 at teacher blocks 1, 4
 *                          and 8, output L1 10, transfer of the down- and
 *                          upsampling layers
 * Where you take the steps yourself, schedule.total is theirs to be set. */
CGDDEF cgd_train_config cgd_distil_defaults(void);
CGDDEF cgd_train_config cgd_distil_fast(void);
CGDDEF cgd_train_config cgd_distil_paper(void);
CGDDEF cgd_train_config cgd_distil_original(void);

/* Copy layers of a teacher into a student: the resampling layers (updown), or
 * stem, head and the matched blocks too (full, prune). A narrower student
 * takes over the channels with the largest weights, or pruning, those that the
 * layers behind them listen to most: a student that keeps all blocks then
 * still does much of what its teacher does. Layers of another kind (separable
 * blocks, a resizing convolution) keep what they have.
 * Errors: CGD_ERR_SHAPE, where a student is wider than its teacher or blocks
 * are matched that do not exist; CGD_ERR_MEMORY. The student is then
 * unchanged. */
CGDDEF cgd_status cgd_transfer(cgd_net *student, const cgd_net *teacher,
                               int transfer, const int *teacher_blocks);
#endif

/* ======================================================================== */
/* [api:files] Weights files                                                */
/* ======================================================================== */
/* safetensors: u64 little-endian length, JSON header, packed tensors. The
 * reader takes nothing on trust: what it accepts is whole and consistent, and
 * what it refuses it refuses with one sentence. Errors: CGD_ERR_FORMAT,
 * CGD_ERR_IO, CGD_ERR_MEMORY; CGD_ERR_UNSUPPORTED for a type it cannot read. */

enum { CGD_F32 = 0, CGD_F16, CGD_BF16, CGD_F64, CGD_I64, CGD_I32, CGD_U8,
       CGD_I16, CGD_I8, CGD_BOOL, CGD_U16,
       CGD_OTHER };           /* named and measured, but not readable        */

/* Random access to bytes: copy `bytes` bytes from `offset`, return 1, or 0. */
typedef struct cgd_source {
    int (*read)(void *user, size_t offset, void *dst, size_t bytes);
    void *user;
    size_t size;
} cgd_source;

typedef struct cgd_file_tensor {
    const char *name;
    int dtype;
    const char *dtype_name;                /* "F32"                          */
    size_t rank, shape[8], begin, end;     /* bytes from the file's start    */
    size_t stride[8];                      /* elements; all 0: row-major     */
} cgd_file_tensor;

typedef struct cgd_file {
    cgd_ctx *ctx;
    cgd_source source;
    cgd_file_tensor *tensors;              /* in the order of their data     */
    const cgd_file_tensor **by_name;       /* the same, sorted by name       */
    size_t n_tensors, tensor_room;
    const char **meta;                     /* key, value ..., sorted by key  */
    size_t n_meta, meta_room;              /* pairs                          */
    char  *text;                           /* what the strings point into    */
    size_t text_size;
    char   path[256];                      /* for messages                   */
} cgd_file;

/* Read and check the header; the data stay where they are, so the source (or
 * the bytes) must live until cgd_file_close. label names it in messages. On
 * failure there is nothing to close, but closing is harmless. */
CGDDEF cgd_status cgd_file_open_source(cgd_ctx *ctx, cgd_file *file,
                                const cgd_source *source, const char *label);
CGDDEF cgd_status cgd_file_open_memory(cgd_ctx *ctx, cgd_file *file,
                                const void *bytes, size_t size,
                                const char *label);
CGDDEF void cgd_file_close(cgd_file *file);

/* The value of a metadata key, the tensor of a name; NULL if there is none. */
CGDDEF const char *cgd_file_meta(const cgd_file *file, const char *key);
CGDDEF const cgd_file_tensor *cgd_file_find(const cgd_file *file,
                                const char *name);

/* Elements [first, first + count), in row-major order, as float32; other types
 * are rounded to the nearest. cgd_file_read_bytes copies bytes [first, first
 * + bytes) of the tensor as they stand, whatever the type and the strides. */
CGDDEF cgd_status cgd_file_read(const cgd_file *file,
                                const cgd_file_tensor *t, size_t first,
                                size_t count, float *dst);
CGDDEF cgd_status cgd_file_read_bytes(const cgd_file *file,
                                const cgd_file_tensor *t, size_t first,
                                size_t bytes, void *dst);

#ifndef CGD_NO_STDIO
/* Every file here is opened, written and named by the following. A path is
 * UTF-8 on Windows, its folders parted by / or \ (bytes that are no UTF-8 are
 * taken as the system's code page); elsewhere it is the system's bytes. */
enum { CGD_PATH_ROOM = 1024 };     /* of the longest path, with the 0        */
enum { CGD_PATH_MISSING = 0, CGD_PATH_FILE, CGD_PATH_FOLDER,
       CGD_PATH_DEVICE };          /* or a pipe: cannot be replaced          */

/* What is there, links followed. What cannot be looked at, but may be there,
 * counts as a file. */
CGDDEF int cgd_path_kind(const char *path);
/* 1 if both are there and one thing, whatever their names. */
CGDDEF int cgd_path_same(const char *a, const char *b);
/* The part behind the last folder, as a pointer into path. */
CGDDEF const char *cgd_path_name(const char *path);
/* folder/name, or name where folder is ""; returns 0 if that is too long. */
CGDDEF int cgd_path_join(char out[CGD_PATH_ROOM], const char *folder,
                         const char *name);
/* Make a folder, and those above it, where they are missing. CGD_ERR_IO. */
CGDDEF cgd_status cgd_make_folder(cgd_ctx *ctx, const char *path);

/* fopen for such a path. cgd_open_input opens to read and, for want of a
 * plain file (a pipe would hang, a folder open), returns NULL and leaves a
 * sentence in ctx. */
CGDDEF FILE *cgd_fopen(const char *path, const char *mode);
CGDDEF FILE *cgd_open_input(cgd_ctx *ctx, const char *path);
/* All bytes of a picture's file, released with cgd_release; NULL on error. */
CGDDEF cgd_status cgd_read_file(cgd_ctx *ctx, const char *path,
                                unsigned char **bytes, size_t *size);

/* A file that appears under its name whole or not at all. Open, write with
 * cgd_output_write or to `stream`, close. Until then the bytes go to a new
 * file beside it; closing flushes them to the disk and lets that take the
 * place of what stood there, whose access rights it keeps. Where path is a
 * symbolic link the file at its end is replaced; a device or a pipe is
 * written to as it is.
 *
 * Nothing happens once something has failed, so only the closing needs
 * checking: it returns the first failure, and then the old file is as it was
 * and nothing else is left. To abandon a file put a status into `status`
 * before. Closing twice, or what was never opened, is harmless.
 * Errors: CGD_ERR_IO, CGD_ERR_MEMORY, CGD_ERR_ARGUMENT (a path too long, or
 * ""). */
typedef struct cgd_output {
    cgd_ctx *ctx;
    cgd_status status;
    FILE  *stream;                         /* NULL: not open                 */
    int    direct;                         /* a device or a pipe             */
    const char *keep;                      /* NULL, or a name beside it that
                                              the old file gets, to be set
                                              before the closing             */
    char  *path, *temporary;               /* the context's memory, till the
                                              file is closed                 */
} cgd_output;
CGDDEF cgd_status cgd_output_open(cgd_ctx *ctx, cgd_output *out,
                                  const char *path);
CGDDEF void cgd_output_write(cgd_output *out, const void *data, size_t bytes);
CGDDEF cgd_status cgd_output_close(cgd_output *out);

/* Files of 2 GB and more need a 64-bit long. cgd_source_open is for readers of
 * other formats that fill in a cgd_file: cgd_file_close closes it. */
CGDDEF cgd_status cgd_source_open(cgd_ctx *ctx, cgd_source *source,
                                  const char *path);
CGDDEF cgd_status cgd_file_open(cgd_ctx *ctx, cgd_file *file,
                                const char *path);

/* Writing: declare the metadata, then the tensors, cgd_writer_begin, append
 * the tensors' data in the order declared, cgd_writer_end. Names must differ.
 * The calls between init and end do nothing once one of them has failed, so
 * only the end needs checking; a caller whose own part failed puts a status
 * into wr->status to abandon the file. cgd_writer_end closes the output,
 * cleans up also after a failure, and returns the first one. The same calls
 * write the same bytes. */
typedef struct cgd_writer {
    cgd_ctx *ctx;
    cgd_status status;
    cgd_output out;
    char  *header;                         /* length and JSON so far         */
    size_t header_size, header_room;
    size_t data_size, data_written;
    int    stage;                          /* metadata, tensors, data        */
} cgd_writer;
CGDDEF void cgd_writer_init(cgd_ctx *ctx, cgd_writer *wr, const char *path);
CGDDEF void cgd_writer_meta(cgd_writer *wr, const char *key,
                            const char *value);
CGDDEF void cgd_writer_tensor(cgd_writer *wr, const char *name, int dtype,
                              const size_t *shape, size_t rank);
CGDDEF void cgd_writer_begin(cgd_writer *wr);
/* data: little-endian bytes. append_f32: floats of this machine. */
CGDDEF void cgd_writer_append(cgd_writer *wr, const void *data, size_t bytes);
CGDDEF void cgd_writer_append_f32(cgd_writer *wr, const float *data,
                                  size_t count);
CGDDEF cgd_status cgd_writer_end(cgd_writer *wr);
#endif

/* Nets: tensors carry the official CycleGAN names and layouts, so that Python
 * loads the file into the official class; the architecture is in the
 * metadata, or in a tensor "cgd.description" (tools/cgd_export.h). prefix ("",
 * "g_ab.", ...) chooses a net inside a state file. cgd_net_load builds the
 * net; cgd_net_read fills one that exists. */
CGDDEF cgd_status cgd_net_load(cgd_ctx *ctx, cgd_net *net,
                               const cgd_file *file, const char *prefix);
CGDDEF cgd_status cgd_net_read(cgd_net *net, const cgd_file *file,
                               const char *prefix);

/* The architecture in words, as the metadata have it, and 1; or 0 and "" for
 * a net of your own design. */
enum { CGD_DESCRIPTION_ROOM = 256 + 6 * CGD_MAX_BLOCKS };
CGDDEF int cgd_net_describe(const cgd_net *net,
                            char text[CGD_DESCRIPTION_ROOM]);

/* A net tensor by tensor, as files have it, to read and write formats of your
 * own: with *at = 0 first, cgd_net_part fills in the next one and returns 1,
 * or 0 at the end. cgd_part_get and cgd_part_set copy its count values, in the
 * file's order, out of the net and into it. */
enum { CGD_PART_WEIGHT = 0, CGD_PART_BIAS, CGD_PART_GAMMA, CGD_PART_BETA,
       CGD_PART_MEAN, CGD_PART_VAR, CGD__PARTS };
typedef struct cgd_part {
    char name[64];                         /* "model.1.weight"               */
    int kind;                              /* CGD_PART_*                     */
    int absent;                            /* a bias that a norm cancels: in
                                              PyTorch's class, not in the net;
                                              it reads as zeros              */
    size_t layer;
    size_t rank, shape[4], count;          /* PyTorch's order: (O, C, K, K)  */
    size_t at, taps, a, b;                 /* in params: (taps, a, b); in
                                              the file: (b, a, taps)         */
} cgd_part;
CGDDEF int  cgd_net_part(const cgd_net *net, size_t *at, cgd_part *part);
CGDDEF void cgd_part_get(const cgd_net *net, const cgd_part *part,
                         float *values);
CGDDEF void cgd_part_set(cgd_net *net, const cgd_part *part,
                         const float *values);

#ifndef CGD_NO_STDIO
/* The metadata by which cgd_net_load knows a net, in a file of your own. */
CGDDEF void cgd_writer_describe(cgd_writer *wr, const cgd_net *net,
                                const char *prefix);
/* The ranges of A's and B's samples, as cgd_dataset_open knows them. */
CGDDEF void cgd_writer_range(cgd_writer *wr, const cgd_range range[2],
                             const char *prefix);
/* values: net->params, or another vector of net->state values (an average).
 * What is not a finite number is not saved: CGD_ERR_FORMAT, and what stood at
 * path before stays. */
CGDDEF cgd_status cgd_net_save(const cgd_net *net, const float *values,
                               const char *path);
#ifndef CGD_NO_TRAIN
/* The whole state; after cgd_trainer_load training goes on bit for bit as if
 * it had never stopped. The object must have been initialised with the same
 * architecture; learning rates, weights of losses and the schedule are the
 * caller's (the configuration's), everything that moved is the file's. What
 * does not fit is refused before anything is changed; where the file's values
 * turn out to be none (CGD_ERR_FORMAT) or cannot be read, the trainer holds
 * some of them: load another state, or free it. */
CGDDEF cgd_status cgd_trainer_save(const cgd_trainer *t, const char *path);
CGDDEF cgd_status cgd_trainer_load(cgd_trainer *t, const char *path);
#endif
#endif

/* ======================================================================== */
/* [api:freeze] Frozen statistics, folded norms                             */
/* ======================================================================== */

/* Replace what norms measure in each picture by what they measure on average,
 * so that a picture's parts can be translated one by one, and folding works.
 * out becomes a net of its own (cgd_net_free): net's weights, batch norm with
 * running statistics wherever net has a norm, image_stats 0.
 *
 *   pictures  n_pictures batches (N, H, W, in_c) of any sizes, read; what the
 *             net will be used on, at the size it will be used at. With 0 of
 *             them the net must have running statistics already, and out is
 *             a copy.
 *
 * The layers are measured one after the other, each on what the layers before
 * it make of the pictures when they are frozen already: mean is the mean over
 * all pictures of the channel's mean, var the mean of its biased variance.
 * Errors: CGD_ERR_ARGUMENT, CGD_ERR_SHAPE, CGD_ERR_MEMORY; out is then empty.
 */
CGDDEF cgd_status cgd_net_freeze(cgd_ctx *ctx, cgd_net *out,
                                 const cgd_net *net,
                                 const cgd_tensor *pictures,
                                 size_t n_pictures);

/* Fold norms with running statistics (image_stats 0) into the convolutions
 * before them, per output channel:
 *
 *   w' = w * gamma / sqrt(var + 1e-5)
 *   b' = beta - mean * gamma / sqrt(var + 1e-5)
 *
 * out becomes a net of its own without norms, with the same outputs within
 * rounding; it is trained, saved and loaded as any other. values: as for
 * cgd_net_save. Errors: CGD_ERR_ARGUMENT, CGD_ERR_MEMORY; out is then empty. */
CGDDEF cgd_status cgd_net_fold(cgd_ctx *ctx, cgd_net *out,
                               const cgd_net *net, const float *values);

/* ======================================================================== */
/* [api:model] Inference                                                    */
/* ======================================================================== */

/* A generator that translates, and the plan for the size it last met: the
 * next picture of that size is translated without planning anything. */
typedef struct cgd_model {
    cgd_net net;
    cgd_pass *pass;           /* NULL before the first picture               */
} cgd_model;

/* Load a generator: a single-generator file, or with prefix one out of a
 * training state ("g_ab.", "ema.g_ab.", ...). */
CGDDEF cgd_status cgd_model_from_memory(cgd_ctx *ctx, cgd_model *model,
                                        const void *bytes, size_t size);
#ifndef CGD_NO_STDIO
CGDDEF cgd_status cgd_model_load(cgd_ctx *ctx, cgd_model *model,
                                 const char *path);
#endif
CGDDEF void cgd_model_free(cgd_model *model);

/* A generator in constants, as cgd_export.h writes it into a C header. It is
 * used where it lies: the model that cgd_model_attach makes of it points
 * there, and takes no memory, no file and no parsing. Such a model translates
 * and is exported like any other, but cannot be changed, packed or given
 * gradients (CGD_ERR_ARGUMENT). With CGD_NO_STDIO, CGD_NO_MALLOC and
 * CGD_NO_TRAIN this is the whole program:
 *
 *     #include "student.h"                      made by cgd export --c
 *     options.memory = block;                   some KB for plans
 *     options.memory_size = sizeof block;
 *     cgd_init(&ctx, &options);
 *     cgd_model_attach(&ctx, &model, &student_model);
 *     cgd_translate(&model, out, in, width, height, workspace, size);
 */
#define CGD_CONST_MODEL 1          /* the version of this struct's layout    */
typedef struct cgd_const_model {
    const cgd_layer *layers;
    size_t n_layers;
    const float *params;
    size_t count, state;           /* as in cgd_net                          */
    cgd_generator_config generator;
} cgd_const_model;
CGDDEF void cgd_model_attach(cgd_ctx *ctx, cgd_model *model,
                             const cgd_const_model *constants);

/* Bytes of workspace for a picture of that size; 0 if it is too large. */
CGDDEF size_t cgd_model_workspace(cgd_model *model, size_t width,
                                  size_t height);

/* Translate a picture of any size from 1 x 1: out gets the same size. Sides
 * are extended to a multiple of 4 (and 8 at least) by repeating the edge, and
 * cut back. workspace of cgd_model_workspace bytes, or NULL to allocate.
 * in and out are bytes (height, width, channels), 0 to 255 for all of
 * the range that the net learnt; they may be the same. */
CGDDEF cgd_status cgd_translate(cgd_model *model, unsigned char *out,
                                const unsigned char *in, size_t width,
                                size_t height, void *workspace,
                                size_t workspace_size);

struct cgd_image;
/* The same for a picture of any type (declared below, as cgd_image), whose
 * numbers mean what the model's range says: out is initialised by the call,
 * with the type and range that the model learnt to give, or else in's type;
 * of a picture of bytes, bytes instead of 16 bits, if the range's lo and hi
 * are such, or 0 both. Empty when it fails. Floating point needs a range:
 * CGD_ERR_ARGUMENT. */
CGDDEF cgd_status cgd_translate_image(cgd_model *model, struct cgd_image *out,
                                      const struct cgd_image *in);

/* ======================================================================== */
/* [api:pictures] Pictures and data sets                                    */
/* ======================================================================== */

/* Interleaved samples (h, w, c); freed with cgd_image_free. A picture has at
 * most 2^26 pixels, 2^20 a side and 1024 channels; a larger one is
 * CGD_ERR_SHAPE. Samples are bytes in data, or else data is NULL and they are
 * values: numbers as a file with more than 8 bits has them. */
typedef struct cgd_image {
    size_t w, h, c;
    unsigned char *data;
    float *values;
    float white;            /* as in cgd_range: 255 for bytes                */
} cgd_image;

enum { CGD_BICUBIC = 0, CGD_BILINEAR };

/* Make room for a picture: of bytes where white is 255, else of values. */
CGDDEF cgd_status cgd_image_init(cgd_ctx *ctx, cgd_image *image, size_t w,
                                 size_t h, size_t c);
CGDDEF cgd_status cgd_image_init_white(cgd_ctx *ctx, cgd_image *image,
                                 size_t w, size_t h, size_t c, float white);
CGDDEF void cgd_image_free(cgd_ctx *ctx, cgd_image *image);

/* Make bytes of values: lo and hi of the range become 0 and 255. With range
 * NULL (or lo = hi) the upper byte of 16 bits is kept; floating point is
 * CGD_ERR_ARGUMENT then. A picture of bytes stays as it is. */
CGDDEF cgd_status cgd_image_to_bytes(cgd_ctx *ctx, cgd_image *image,
                                     const cgd_range *range);

/* Let lo and hi take in all finite values of a picture. Begin with FLT_MAX and
 * -FLT_MAX. */
CGDDEF void cgd_range_widen(cgd_range *range, const cgd_image *image);

/* A picture of t's channels, as a net takes it, into number `picture` of t,
 * which is no smaller: the last column and row are repeated. range NULL, or
 * lo = hi: 0 to the picture's white. */
CGDDEF void cgd_tensor_from_image(cgd_tensor *t, size_t picture,
                                  const cgd_image *image,
                                  const cgd_range *range);

/* Antialiased resampling, the same bytes as Pillow's resize for 8-bit
 * pictures (before its release 12.2, which takes some tall ones the other
 * way round). Values of 16 bits are rounded and kept in their range. out is
 * initialised to the new size by the call, and empty when it fails; it may
 * not be in. */
CGDDEF cgd_status cgd_image_resize(cgd_ctx *ctx, cgd_image *out,
                                   const cgd_image *in, size_t w, size_t h,
                                   int filter);

/* How files become samples and samples files: what cgd_image_decode and all
 * below it, the data sets too, and cgd_image_save go through. ctx->codec is
 * the one in use; NULL, the plain one: stb_image and stb_image_write where
 * they were included before this header, 8 or 16 bits, alpha kept where 4
 * channels are asked for, else on white. It trusts files as stb_image does,
 * and stb_image_write ends the process where memory for a PNG is short. For
 * files of others include tools/cgd_pictures.h and call cgd_use_pictures: it
 * checks them before, turns them upright by EXIF, lays alpha on a background,
 * and knows arrays.
 *
 * A decoding is one file on its way. Whoever reads fills in the first four
 * (all else is 0); look finds out what can be known without decoding; begin
 * looks and takes the context's memory; decode does the work, on any thread,
 * several at once; end makes the picture of so many channels, upright;
 * release frees what the codec made, whatever came of it. A status that is
 * not CGD_OK goes with a sentence, and is passed through to end. */
typedef struct cgd_decoding {
    const char *label;             /* names it in sentences                  */
    const unsigned char *bytes;    /* the file                               */
    size_t size;
    size_t channels;               /* asked for                              */
    float white;                   /* found: of its samples, as in cgd_range */
    const char *note;              /* found: what a reader should know       */
    cgd_status status;
    char sentence[400];
    unsigned char *owned;          /* the reader's: bytes to be freed        */
    /* The rest is the codec's. */
    unsigned char *pixels;         /* (h, w, c) as stored, of 8 or 16 bits   */
    float *values;                 /* or an array's                          */
    size_t w, h, c;
    int kind, array, alpha, orientation;
    unsigned char *ready;          /* a file made anew, and its block        */
    size_t ready_size, room;
} cgd_decoding;

typedef struct cgd_codec {
    void (*look)(cgd_ctx *ctx, cgd_decoding *d);
    void (*begin)(cgd_ctx *ctx, cgd_decoding *d);
    void (*decode)(cgd_decoding *d);
    cgd_status (*end)(cgd_ctx *ctx, cgd_image *image, cgd_decoding *d);
    void (*release)(cgd_ctx *ctx, cgd_decoding *d);
    /* What a file is by its first bytes, "a WebP picture"; NULL: not known. */
    const char *(*kind)(const unsigned char *first, size_t size);
    cgd_status (*save)(cgd_ctx *ctx, const cgd_image *image,
                       const char *path);
} cgd_codec;
CGDDEF const cgd_codec *cgd_codec_of(const cgd_ctx *ctx);

/* Decode JPEG, PNG or BMP bytes to c = 1, 3 or 4 channels; what else the codec
 * knows to any c. Three channels become one as luma, ITU-R 601-2.
 * cgd_image_decode_deep keeps all bits, as values where there are more than 8;
 * cgd_image_decode gives bytes, with a warning where bits of a 16-bit picture
 * are dropped, and refuses floating point. label names it in messages.
 * Errors: CGD_ERR_FORMAT, CGD_ERR_SHAPE, CGD_ERR_MEMORY, CGD_ERR_UNSUPPORTED
 * (a build without stb_image). */
CGDDEF cgd_status cgd_image_decode(cgd_ctx *ctx, cgd_image *image,
                                   const unsigned char *bytes, size_t size,
                                   size_t c, const char *label);
CGDDEF cgd_status cgd_image_decode_deep(cgd_ctx *ctx, cgd_image *image,
                                   const unsigned char *bytes, size_t size,
                                   size_t c, const char *label);

#ifndef CGD_NO_STDIO
CGDDEF cgd_status cgd_image_load(cgd_ctx *ctx, cgd_image *image,
                                 const char *path, size_t c);
CGDDEF cgd_status cgd_image_load_deep(cgd_ctx *ctx, cgd_image *image,
                                 const char *path, size_t c);
/* By extension: .png, .jpg/.jpeg (quality 95), .bmp, and what else the codec
 * writes. Written whole or not at all. */
CGDDEF cgd_status cgd_image_save(cgd_ctx *ctx, const cgd_image *image,
                                 const char *path);
CGDDEF cgd_status cgd_translate_file(cgd_ctx *ctx, const char *model,
                                     const char *in, const char *out);

enum { CGD_FIT_RESIZE_CROP = 0, CGD_FIT_CROP, CGD_FIT_WIDTH_CROP };
enum { CGD_JOINED_NO = 0, CGD_JOINED_LEFT, CGD_JOINED_RIGHT };  /* A's half  */

typedef struct cgd_data_config {
    const char *root;       /* folder with trainA, trainB, or a packed file  */
    const char *dir[2];     /* or each folder by itself                      */
    size_t channels[2];     /* 1 grey, 3 RGB, 4 RGBA, or an array's          */
    size_t load_size;       /* pictures are resized to this width (0: size)  */
    size_t load_height;     /* and height (0: in proportion) ...             */
    size_t size, height;    /* ... and cropped to this, at a random place;
                               height 0: squares                             */
    int fit;                /* CGD_FIT_*: as described, crop only (smaller
                               pictures are enlarged until the crop fits), or
                               width to load_size keeping the aspect (height
                               at least size), then crop                     */
    int flip;               /* mirror half of them, left and right           */
    int flat;               /* leave folders inside folders alone            */
    int joined;             /* CGD_JOINED_*: root/train (or root) holds
                               pictures of both domains, side by side        */
    int filter;             /* CGD_BICUBIC, CGD_BILINEAR                     */
    cgd_u32 seed;
    size_t cache_bytes;     /* keep resized pictures in memory up to this    */
    cgd_range range[2];     /* of A's numbers and B's; white is found out    */
    int measure;            /* find lo and hi in the pictures themselves,
                               all of which are read once for it             */
} cgd_data_config;

/* Two folders of pictures as an endless, seeded sequence. Sample number t is
 * a function of the seed and t alone, so resuming needs nothing but the
 * position: set it, and the next sample is that one. As in the official
 * loader an epoch has max(|A|, |B|) samples; A's pictures come in an order
 * shuffled anew every epoch (again from the start where A is the smaller),
 * B's are drawn at random, and each is cropped and mirrored by itself.
 * Broken pictures are left out with a warning; one that turns out to be
 * broken later is replaced by the next good one of its folder. A picture that
 * cannot be opened, or for which memory is short, is an error. */
typedef struct cgd_dataset {
    cgd_ctx *ctx;
    cgd_data_config config;        /* its strings are not used after opening;
                                      its range is the one that holds        */
    struct cgd__folder *folder[2];
    cgd_file *packed;              /* where root is a packed file            */
    cgd_u32 *order;                /* the shuffle of epoch order_epoch       */
    unsigned long order_epoch;
    size_t cached;                 /* bytes of pictures kept in memory       */
    unsigned long position;        /* samples drawn                          */
    unsigned long epoch_length;    /* max(|A|, |B|)                          */
} cgd_dataset;

/* 286 squares cropped to 256, mirrored, bicubic, 3 channels, 512 MB cache. */
CGDDEF cgd_data_config cgd_data_defaults(void);
CGDDEF cgd_status cgd_dataset_open(cgd_ctx *ctx, cgd_dataset *data,
                                   const cgd_data_config *config);
CGDDEF void cgd_dataset_close(cgd_dataset *data);
CGDDEF size_t cgd_dataset_count(const cgd_dataset *data, int domain);
/* Fill a and b (batch, height, size, channels) with the next samples. On error
 * the position has not moved. */
CGDDEF cgd_status cgd_dataset_next(cgd_dataset *data, cgd_tensor *a,
                                   cgd_tensor *b);
/* The samples at a position, which is not moved by it. */
CGDDEF cgd_status cgd_dataset_at(cgd_dataset *data, unsigned long position,
                                 cgd_tensor *a, cgd_tensor *b);
/* What the data sets are made of, for other uses. cgd_data_check fills in what
 * zeros stand for and refuses what cannot be (CGD_ERR_ARGUMENT); cgd_take_half
 * keeps a domain's half of a joined picture, which it frees on error. A packed
 * file, which tools/cgd_pack.h makes, is a safetensors file of pictures
 * "trainA/NAME", U8, U16 or F32. */
CGDDEF cgd_status cgd_data_check(cgd_ctx *ctx, cgd_data_config *config);
CGDDEF cgd_status cgd_take_half(cgd_ctx *ctx, int joined, int domain,
                                cgd_image *image);

/* The picture files in a folder (.jpg .jpeg .jpe .jfif .png .bmp, and arrays,
 * .npy .safetensors, in either case; not the hidden ones), sorted by path;
 * with recurse, in the folders inside it too. Pictures of other kinds or
 * names that the codec knows are counted in a warning. Freed with one call. */
typedef struct cgd_listing {
    char **paths;                  /* folder/name; the text stands behind    */
    size_t count, bytes;           /* bytes: the whole block                 */
} cgd_listing;
CGDDEF cgd_status cgd_list_pictures(cgd_ctx *ctx, cgd_listing *listing,
                                    const char *folder, int recurse);
CGDDEF void cgd_listing_free(cgd_ctx *ctx, cgd_listing *listing);
#endif

/* ======================================================================== */
/* [api:run] The full loops                                                 */
/* ======================================================================== */
#if !defined(CGD_NO_TRAIN) && !defined(CGD_NO_STDIO)

typedef struct cgd_progress {
    unsigned long step, total;     /* steps done, and to do in all           */
    cgd_losses losses;             /* means since the last line of the log   */
    int logged;                    /* this step wrote a line of the log      */
    float lr_g, lr_d;
} cgd_progress;

/* NO: refuse a folder that holds a run. YES: refuse one that holds none.
 * AUTO: go on if there is a state, else start. A state that is there but
 * cannot be opened is an error. One that was damaged gives way, with a
 * warning, to the one before it. */
enum { CGD_RESUME_NO = 0, CGD_RESUME_YES, CGD_RESUME_AUTO };

/* Intervals are in steps; 0 turns the thing off. */
typedef struct cgd_run_config {
    cgd_data_config data;          /* size, height, channels and seed are 0:
                                      as the training needs them; others that
                                      do not fit are refused                 */
    const char *out;               /* folder, made if missing                */
    unsigned long steps;           /* in all, counted from the beginning     */
    unsigned long log_every;       /* line in out/log.csv                    */
    unsigned long sample_every;    /* out/samples/000100.png, when pictures
                                      can be written                         */
    unsigned long keep_every;      /* the generators as they are now, as
                                      out/samples/000100.g_ab.safetensors    */
    unsigned long save_every;      /* out/state.safetensors                  */
    int resume;                    /* CGD_RESUME_*, from state.safetensors   */
    const char *options;           /* NULL, or a text of the caller's that the
                                      state keeps as metadata "cgd.options":
                                      what it needs to know to go on         */
    const cgd_net *start[4];       /* g_ab, g_ba, d_a, d_b that a new run
                                      begins with; NULL: drawn at random, or
                                      distilling: what is transferred. Judges
                                      that it has no use for are passed over */
    const cgd_net *teacher;        /* a generator to distil, or NULL: train  */
    const cgd_net *reverse;        /* one of the other direction, or NULL    */
    /* Once, before the first step: the bytes held, which are all that steps
     * need, and what pictures and teacher's answers that are kept may add. */
    void (*started)(void *user, size_t bytes, size_t more);
    /* After every step; return other than 0 to save and stop (CGD_STOPPED). */
    int (*progress)(void *user, const cgd_progress *p);
    void *user;
} cgd_run_config;

CGDDEF cgd_run_config cgd_run_defaults(void);
/* Train, or with a teacher distil, from out's state or from scratch up to
 * `steps`, leaving out/state.safetensors, the state saved before that as
 * state.previous.safetensors, and the generators, averaged where
 * config.ema is set: out/g_ab.safetensors and out/g_ba.safetensors, or
 * out/student.safetensors. The first state is saved before the first step; a
 * run that is killed after that goes on from the last one, and state, models,
 * samples and log.csv end as if it never had been, byte for byte.
 *
 * While it runs, out/run.lock names the process, which the system locks: a
 * second process is refused (CGD_ERR_ARGUMENT), and a lock whose process is
 * gone holds nobody up. Warns where a resumed run is given other pictures, or
 * a schedule by which the learning rate is another than it was. */
CGDDEF cgd_status cgd_train_run(cgd_ctx *ctx, const cgd_train_config *config,
                                const cgd_run_config *run);
#endif

#ifdef __cplusplus
}
#endif
#endif /* CYCLE_GAN_DISTIL_H */

#ifdef CGD_IMPLEMENTATION
#ifndef CGD__IMPLEMENTED
#define CGD__IMPLEMENTED

/* ######################################################################## */
/* [part:ground] Part 2: the ground                                         */
/* ######################################################################## */
/* What everything stands on, and at its end what the method asks of the
 * engine: the one interface between parts 3 and 4. */

/* ======================================================================== */
/* [impl:base] Base: memory, messages, random numbers, mathematics          */
/* ======================================================================== */
/* Everything below calls this section; it calls only the C library, and not
 * even that with CGD_NO_STDIO and CGD_NO_MALLOC (but memcpy and its like). */

#include <string.h>
#include <limits.h>
#include <float.h>
#if defined(_WIN32) && !defined(WIN32_LEAN_AND_MEAN)
#define WIN32_LEAN_AND_MEAN       /* windows.h, below: fewer foreign names   */
#endif
#ifndef CGD_ASSERT
#include <assert.h>
#define CGD_ASSERT(x) assert(x)
#endif
#ifndef CGD_NO_MALLOC
#ifndef CGD_MALLOC
#include <stdlib.h>
#define CGD_MALLOC(bytes) malloc(bytes)
#define CGD_FREE(ptr)     free(ptr)
#endif
#endif

/* With GCC inner loops carry their own optimisation, so that even `cc`
 * without -O runs them at full speed; but whoever asks for a small program
 * (-Os) gets one. What -O3 adds to these passes made it a seventh larger and
 * nothing faster. No exception is raised on purpose here: GCC, told so, makes
 * `gate > 0 ? d : slope * d` a selection and no branch, which it could not
 * turn into vectors. */
#if defined(__GNUC__) && !defined(__clang__) && defined(__OPTIMIZE_SIZE__)
#define CGD__OPTIMIZED
#define CGD__EACH _Pragma("GCC ivdep")
#elif defined(__GNUC__) && !defined(__clang__)
#define CGD__OPTIMIZED __attribute__((optimize("O2", "tree-vectorize",        \
    "vect-cost-model=dynamic", "unswitch-loops", "no-trapping-math")))
#define CGD__EACH _Pragma("GCC ivdep")
#else
#define CGD__OPTIMIZED
#define CGD__EACH
#endif
/* CGD__EACH before a loop over channels or values says that its rounds are
 * independent, although an output may be one of the inputs. */

/* What callers can use too goes by shorter names in here. */
#define cgd__format cgd_format
#define cgd__fail cgd_fail
#define cgd__alloc_zeroed cgd_alloc
#define cgd__free cgd_release
#define cgd__for cgd_parallel_for
#define cgd__sqrt cgd_sqrt
#define cgd__exp cgd_exp
#define cgd__log cgd_log

#define CGD__ALIGN ((size_t)64)       /* a cache line, the widest vector     */
#define CGD__STATIC_ASSERT(name, x) typedef char cgd__assert_##name[(x)?1:-1]
CGD__STATIC_ASSERT(u32_has_32_bits, UINT_MAX == 0xffffffffU);
CGD__STATIC_ASSERT(float_has_32_bits, sizeof(float) == 4);

/* Store a*b (a+b) in *out and return 1, or return 0 if it does not fit. */
static int cgd__mul(size_t *out, size_t a, size_t b)
{
    if (a != 0 && b > (size_t)-1 / a) return 0;
    *out = a * b;
    return 1;
}

static int cgd__add(size_t *out, size_t a, size_t b)
{
    if (b > (size_t)-1 - a) return 0;
    *out = a + b;
    return 1;
}

static size_t cgd__min(size_t a, size_t b) { return a < b ? a : b; }
static size_t cgd__max(size_t a, size_t b) { return a > b ? a : b; }
static size_t cgd__ceil_div(size_t a, size_t b) { return (a + b - 1) / b; }
static size_t cgd__round_up(size_t a, size_t b)
{
    return cgd__ceil_div(a, b) * b;
}

/* ---- numbers that are none -----------------------------------------------*/
/* A compiler may be told that there are no infinities and NaNs (-ffast-math)
 * and then takes every comparison that would find one for granted: the bits
 * decide. An exponent of all ones carries into bit 31. */
CGD__OPTIMIZED static int cgd__finite(const float *v, size_t n)
{
    cgd_u32 bits, carry = 0;
    size_t i;
    for (i = 0; i < n; i++) {
        memcpy(&bits, &v[i], sizeof bits);
        carry |= (bits & 0x7f800000U) + 0x00800000U;
    }
    return (carry & 0x80000000U) == 0;
}

/* The same of a double, which is scaled until a float can hold it; volatile
 * keeps the compiler from knowing where the float comes from. */
static int cgd__is_finite(double v)
{
    volatile float scaled = (float)(v * 1e-270);
    float kept = scaled;
    return cgd__finite(&kept, 1);
}

/* ---- text: a small, locale-free formatter --------------------------------*/

typedef struct cgd__text { char *at; size_t room; } cgd__text;

static void cgd__put(cgd__text *t, char c)
{
    if (t->room > 1) { *t->at++ = c; t->room--; }
}

static void cgd__put_string(cgd__text *t, const char *s)
{
    while (*s) cgd__put(t, *s++);
}

static void cgd__put_unsigned(cgd__text *t, size_t v)
{
    char digits[24];
    int n = 0;
    do digits[n++] = (char)('0' + (int)(v % 10)); while ((v /= 10) != 0);
    while (n > 0) cgd__put(t, digits[--n]);
}

/* Nine significant digits and an exponent: enough for any float to come back
 * as the same float. */
static void cgd__put_float(cgd__text *t, double v)
{
    int exponent = 0, last = 8, plain, i, digits[9];
    double scale = 1e-8;
    if (!cgd__is_finite(v)) {
        cgd__put_string(t, v != v ? "nan" : v < 0 ? "-inf" : "inf");
        return;
    }
    if (v < 0) { cgd__put(t, '-'); v = -v; }
    if (v == 0) { cgd__put(t, '0'); return; }
    while (v >= 10) { v /= 10; exponent++; }
    while (v < 1) { v *= 10; exponent--; }
    v += scale / 2;
    if (v >= 10) { v /= 10; exponent++; }
    for (i = 0; i < 9; i++) {
        digits[i] = (int)v;
        v = (v - digits[i]) * 10;
    }
    plain = exponent >= -4 && exponent < 9;       /* else with an exponent   */
    while (plain && last > 0 && last > exponent && digits[last] == 0) last--;
    for (i = plain && exponent < 0 ? exponent : 0; i <= last; i++) {
        if (i == (plain ? exponent : 0) + 1) cgd__put(t, '.');
        cgd__put(t, (char)('0' + (i < 0 ? 0 : digits[i])));
    }
    if (plain) return;
    cgd__put(t, 'e');
    if (exponent < 0) cgd__put(t, '-');
    cgd__put_unsigned(t, (size_t)(exponent < 0 ? -exponent : exponent));
}

/* A decimal number such as cgd__put_float writes; 0 if there is none. *end is
 * where it ends, unless end is NULL. */
static double cgd__parse_float(const char *s, const char **end)
{
    double v = 0, scale = 1;
    int negative = 0, exponent = 0, exponent_negative = 0;
    while (*s == ' ') s++;
    if (*s == '-') { negative = 1; s++; }
    for (; *s >= '0' && *s <= '9'; s++) v = v * 10 + (*s - '0');
    if (*s == '.')
        for (s++; *s >= '0' && *s <= '9'; s++) {
            v = v * 10 + (*s - '0');
            scale *= 10;
        }
    v /= scale;
    if (*s == 'e' || *s == 'E') {
        s++;
        if (*s == '-') { exponent_negative = 1; s++; }
        else if (*s == '+') s++;
        for (; *s >= '0' && *s <= '9' && exponent < 400; s++)
            exponent = exponent * 10 + (*s - '0');
    }
    for (scale = 1; exponent > 0; exponent--) scale *= 10;
    v = exponent_negative ? v / scale : v * scale;
    if (end) *end = s;
    return negative ? -v : v;
}

/* %s string, %d int, %u size_t, %f double, %% percent. Always terminated. */
CGDDEF void cgd_format_list(char *out, size_t room, const char *format,
                            va_list args)
{
    cgd__text t;
    t.at = out;
    t.room = room;
    for (; *format; format++) {
        if (*format != '%') { cgd__put(&t, *format); continue; }
        switch (*++format) {
        case 's': cgd__put_string(&t, va_arg(args, const char *)); break;
        case 'u': cgd__put_unsigned(&t, va_arg(args, size_t)); break;
        case 'f': cgd__put_float(&t, va_arg(args, double)); break;
        case 'd': {
            int v = va_arg(args, int);
            if (v < 0) cgd__put(&t, '-');
            cgd__put_unsigned(&t, v < 0 ? (size_t)0 - (size_t)v : (size_t)v);
            break;
        }
        default: cgd__put(&t, *format); break;
        }
    }
    *t.at = 0;
}

/* Those of ASCII, and U+0080 to U+009F in UTF-8. */
CGDDEF char *cgd_plain(char *out, size_t room, const char *text)
{
    size_t i;
    for (i = 0; i + 1 < room && text[i]; i++) {
        unsigned char c = (unsigned char)text[i];
        unsigned char next = (unsigned char)text[i + 1];
        int pair = c == 0xc2 && next >= 0x80 && next < 0xa0;
        out[i] = (char)(c < 32 || c == 127 || pair ? '?' : c);
        if (pair && i + 2 < room) out[++i] = '?';
    }
    out[i] = 0;
    return out;
}

static void cgd__sentence(char *out, size_t room, const char *format,
                          va_list args)
{
    cgd_format_list(out, room, format, args);
    cgd_plain(out, room, out);
}

CGDDEF void cgd_format(char *out, size_t room, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    cgd_format_list(out, room, format, args);
    va_end(args);
}

/* Keep the sentence and hand the status back: return cgd__fail(...). */
CGDDEF cgd_status cgd_fail(cgd_ctx *ctx, cgd_status status,
                           const char *format, ...)
{
    va_list args;
    va_start(args, format);
    cgd__sentence(ctx->message, sizeof ctx->message, format, args);
    va_end(args);
    return status;
}

CGDDEF void cgd_warn(cgd_ctx *ctx, const char *format, ...)
{
    char sentence[512];
    va_list args;
    if (!ctx->warn) return;
    va_start(args, format);
    cgd__sentence(sentence, sizeof sentence, format, args);
    va_end(args);
    ctx->warn(ctx->warn_user, sentence);
}

CGDDEF const char *cgd_message(const cgd_ctx *ctx, cgd_status status)
{
    static const char *const words[] = {
        "no error", "invalid argument", "shapes do not fit", "out of memory",
        "input or output failed", "invalid file", "not supported", "stopped"
    };
    if (status != CGD_OK && ctx && ctx->message[0]) return ctx->message;
    if ((int)status < 0 || status > CGD_STOPPED) return "unknown status";
    return words[status];
}

/* ---- memory --------------------------------------------------------------*/

#ifndef CGD_NO_MALLOC
static void *cgd__default_alloc(void *user, size_t bytes)
{
    (void)user;
    return CGD_MALLOC(bytes);
}

static void cgd__default_release(void *user, void *ptr, size_t bytes)
{
    (void)user;
    (void)bytes;
    CGD_FREE(ptr);
}
#endif

/* A lent block is a stack: what is freed from its top can be used again at
 * once, the rest when everything has been freed. */
static void *cgd__lent_alloc(void *user, size_t bytes)
{
    cgd_ctx *ctx = (cgd_ctx *)user;
    void *block;
    if (bytes > ctx->lent_size - ctx->lent_used) return NULL;
    block = ctx->lent + ctx->lent_used;
    ctx->lent_used += bytes;
    return block;
}

static void cgd__lent_release(void *user, void *ptr, size_t bytes)
{
    cgd_ctx *ctx = (cgd_ctx *)user;
    size_t start = (size_t)((unsigned char *)ptr - ctx->lent);
    if (start + bytes == ctx->lent_used) ctx->lent_used = start;
    if (ctx->in_use == 0) ctx->lent_used = 0;
}

/* Aligned to CGD__ALIGN, not cleared; NULL when there is none. The pointer
 * that the allocator gave stands just before the block. */
#define CGD__ALLOC_MORE (CGD__ALIGN + sizeof(void *))  /* beyond a block     */

static void *cgd__alloc(cgd_ctx *ctx, size_t bytes)
{
    size_t total;
    unsigned char *raw, *block;
    if (!ctx->allocator.alloc) return NULL;
    if (!cgd__add(&total, bytes, CGD__ALLOC_MORE)) return NULL;
    raw = (unsigned char *)ctx->allocator.alloc(ctx->allocator.user, total);
    if (!raw) return NULL;
    block = raw + sizeof raw;
    block += (CGD__ALIGN - (size_t)block % CGD__ALIGN) % CGD__ALIGN;
    memcpy(block - sizeof raw, &raw, sizeof raw);
    ctx->in_use += total;
    ctx->peak = cgd__max(ctx->peak, ctx->in_use);
    return block;
}

CGDDEF void cgd_release(cgd_ctx *ctx, void *block, size_t bytes)
{
    unsigned char *raw;
    size_t total = bytes + CGD__ALLOC_MORE;
    if (!block) return;
    memcpy(&raw, (unsigned char *)block - sizeof raw, sizeof raw);
    ctx->in_use -= total;
    ctx->allocator.release(ctx->allocator.user, raw, total);
}

CGDDEF void *cgd_alloc(cgd_ctx *ctx, size_t count, size_t size,
                       const char *what)
{
    size_t bytes = 0;
    void *block = NULL;
    if (cgd__mul(&bytes, count, size)) block = cgd__alloc(ctx, bytes);
    if (block) memset(block, 0, bytes);
    else cgd__fail(ctx, CGD_ERR_MEMORY, "out of memory: %s needs %u x %u "
                   "bytes", what, count, size);
    return block;
}

CGDDEF size_t cgd_memory_in_use(const cgd_ctx *ctx) { return ctx->in_use; }
CGDDEF size_t cgd_memory_peak(const cgd_ctx *ctx) { return ctx->peak; }

/* ---- the arena -----------------------------------------------------------*/
/* A block used as a stack: take bytes, remember a mark, release down to it.
 * Without a block it only counts: the code that lays out an object, run first
 * on nothing, says in `peak` what it will need, and run again on a block of
 * that size puts the object there. No size is computed in a second place.
 *
 * What is taken is aligned to CGD__ALIGN and not cleared; it is NULL while
 * counting and when the block is too short, which nobody needs to check take
 * by take: do all takes, then ask cgd__arena_holds once before writing. */

typedef struct cgd__arena {
    unsigned char *base;               /* aligned; NULL: only count          */
    size_t size, used, peak;           /* bytes; (size_t)-1: beyond counting */
} cgd__arena;

static cgd__arena cgd__arena_on(void *base, size_t size)
{
    cgd__arena a;
    a.base = (unsigned char *)base;
    a.size = base ? size : 0;
    a.used = a.peak = 0;
    return a;
}

/* count elements of that many bytes. */
static void *cgd__take(cgd__arena *a, size_t count, size_t bytes)
{
    size_t at = a->used, end;
    if (!cgd__mul(&end, count, bytes) || !cgd__add(&end, end, at)
        || !cgd__add(&end, end, CGD__ALIGN - 1))
        end = (size_t)-1;
    else
        end -= end % CGD__ALIGN;
    a->used = end;
    a->peak = cgd__max(a->peak, end);
    return a->base && end <= a->size ? a->base + at : NULL;
}

static float *cgd__take_floats(cgd__arena *a, size_t count)
{
    return (float *)cgd__take(a, count, sizeof(float));
}

static size_t cgd__mark(const cgd__arena *a) { return a->used; }
static void cgd__release(cgd__arena *a, size_t mark) { a->used = mark; }

/* Has there been memory for all that was ever taken? */
static int cgd__arena_holds(const cgd__arena *a)
{
    return a->base && a->peak <= a->size;
}

/* ---- random numbers ------------------------------------------------------*/

/* SplitMix32-like scrambling spreads a small seed over the state. */
static cgd_u32 cgd__scramble(cgd_u32 z)
{
    z ^= z >> 16; z *= 0x7feb352dU;
    z ^= z >> 15; z *= 0x846ca68bU;
    return z ^ (z >> 16);
}

CGDDEF void cgd_rng_seed(cgd_rng *rng, cgd_u32 seed, cgd_u32 stream)
{
    cgd_u32 z = cgd__scramble(seed) ^ cgd__scramble(stream + 0x9e3779b9U) * 3U;
    int i;
    for (i = 0; i < 4; i++)
        rng->s[i] = cgd__scramble(z += 0x9e3779b9U);
    rng->s[0] |= 1U;                             /* never the all-zero state */
}

CGDDEF cgd_u32 cgd_rng_next(cgd_rng *rng)
{
    cgd_u32 *s = rng->s, x = s[1] * 5U, t = s[1] << 9;
    x = ((x << 7) | (x >> 25)) * 9U;
    s[2] ^= s[0]; s[3] ^= s[1]; s[1] ^= s[2]; s[0] ^= s[3];
    s[2] ^= t;
    s[3] = (s[3] << 11) | (s[3] >> 21);
    return x;
}

CGDDEF cgd_u32 cgd_rng_below(cgd_rng *rng, cgd_u32 n)
{
    cgd_u32 x, reject = (0U - n) % n;      /* 2^32 mod n: removes the bias   */
    do x = cgd_rng_next(rng); while (x < reject);
    return x % n;
}

CGDDEF double cgd_rng_uniform(cgd_rng *rng)
{
    return cgd_rng_next(rng) * (1.0 / 4294967296.0);
}

/* ---- mathematics without libm --------------------------------------------*/
/* Double precision, good to about 1e-15, but tanh; results do not depend on
 * the libc, so that a seed gives the same weights everywhere, and no -lm is
 * needed. */

CGDDEF double cgd_sqrt(double x)
{
    double scale = 1, y;
    int i;
    if (!(x > 0)) return x == 0 ? 0 : x - x;
    if (x > DBL_MAX) return x;
    while (x >= 4294967296.0) { x /= 4294967296.0; scale *= 65536; }
    while (x < 1 / 4294967296.0) { x *= 4294967296.0; scale /= 65536; }
    while (x >= 4) { x /= 4; scale *= 2; }
    while (x < 1) { x *= 4; scale /= 2; }
    for (y = 0.5 + x / 3, i = 0; i < 5; i++) y = 0.5 * (y + x / y);
    return y * scale;
}

#define CGD__LN2 0.69314718055994530942

CGDDEF double cgd_exp(double x)
{
    double r, sum = 1, scale = 1, base;
    int k, i;
    if (x != x) return x;
    if (x > 700) return DBL_MAX;
    if (x < -700) return 0;
    k = (int)(x / CGD__LN2 + (x < 0 ? -0.5 : 0.5));
    r = x - k * CGD__LN2;
    for (i = 14; i > 0; i--) sum = 1 + sum * r / i;
    base = k < 0 ? 0.5 : 2.0;
    for (k = k < 0 ? -k : k; k; k >>= 1, base *= base)
        if (k & 1) scale *= base;
    return sum * scale;
}

CGDDEF double cgd_log(double x)
{
    double z, z2, sum = 0;
    int k = 0, i;
    if (!(x > 0)) return -DBL_MAX;
    while (x > 1.5) { x /= 2; k++; }
    while (x < 0.75) { x *= 2; k--; }
    z = (x - 1) / (x + 1);
    z2 = z * z;
    for (i = 25; i > 0; i -= 2) sum = sum * z2 + 1.0 / i;
    return 2 * z * sum + k * CGD__LN2;
}


/* Lambert's continued fraction y/(1 + y^2/(3 + y^2/(5 + ...))) for the half
 * of x, down to the 13, and tanh(2y) = 2 tanh(y) / (1 + tanh(y)^2): good to
 * 3e-7 of the value. Plain enough that compilers vectorise loops over it. */
CGD__OPTIMIZED static float cgd__tanh(float x)
{
    float y = 0.5f * (x > 10 ? 10.0f : x < -10 ? -10.0f : x), s = y * y;
    float p = y * (135135 + s * (17325 + s * (378 + s)));
    float q = 135135 + s * (62370 + s * (3150 + s * 28));
    float t = 2 * p * q / (p * p + q * q);
    return t > 1 ? 1.0f : t < -1 ? -1.0f : t;
}

#ifndef CGD_SQRTF
#define CGD_SQRTF(x) ((float)cgd__sqrt((double)(x)))
#endif
#ifndef CGD_TANHF
#define CGD_TANHF(x) cgd__tanh(x)
#endif

/* Marsaglia's polar method, one of the two numbers it yields. */
CGDDEF double cgd_rng_normal(cgd_rng *rng)
{
    double a, b, r;
    do {
        a = 2 * cgd_rng_uniform(rng) - 1;
        b = 2 * cgd_rng_uniform(rng) - 1;
        r = a * a + b * b;
    } while (r >= 1 || r == 0);
    return a * cgd__sqrt(-2 * cgd__log(r) / r);
}

/* ======================================================================== */
/* [impl:threads] Threads                                                   */
/* ======================================================================== */
/* Owns the built-in team. Workers spin for a moment after each job, since
 * the next one usually comes within microseconds, then sleep. Each thread has
 * a share of the slices, so that neighbours stay on one core from job to job,
 * and helps the others when its own is done. Slices are claimed one by one
 * from a share's counter, which carries the job's number in its upper bits,
 * so a worker that wakes late cannot take a slice of a job it has not read. */

#if !defined(CGD_NO_THREADS) && !defined(CGD__THREADS)
#if defined(_WIN32)
#define CGD__THREADS 1
#include <windows.h>
#elif defined(__GNUC__) && (defined(__unix__) || defined(__APPLE__))
#define CGD__THREADS 1
#include <pthread.h>
#include <sched.h>
#include <unistd.h>
#endif
#endif

#ifdef CGD__THREADS

#ifdef _WIN32
typedef volatile LONG_PTR cgd__word;
#ifdef _WIN64
#define CGD__INTERLOCKED(name) Interlocked##name##64
#else
#define CGD__INTERLOCKED(name) Interlocked##name
#endif
#define CGD__CAS(p, old, now) (CGD__INTERLOCKED(CompareExchange)( \
    p, (LONG_PTR)(now), (LONG_PTR)(old)) == (LONG_PTR)(old))
#define CGD__ADD(p, v) \
    ((size_t)CGD__INTERLOCKED(ExchangeAdd)(p, (LONG_PTR)(v)) + (v))
#define CGD__STORE(p, v) CGD__INTERLOCKED(Exchange)(p, (LONG_PTR)(v))
#define CGD__LOAD(p) ((size_t)*(p))
#define CGD__PAUSE() YieldProcessor()
#define CGD__YIELD() SwitchToThread()
typedef HANDLE cgd__thread;
typedef CRITICAL_SECTION cgd__mutex;
typedef CONDITION_VARIABLE cgd__condition;
#define CGD__LOCK(m) EnterCriticalSection(m)
#define CGD__UNLOCK(m) LeaveCriticalSection(m)
#define CGD__WAIT(c, m) SleepConditionVariableCS(c, m, INFINITE)
#define CGD__WAKE_ALL(c) WakeAllConditionVariable(c)
#define CGD__LOCK_INIT(c, m) \
    (InitializeCriticalSection(m), InitializeConditionVariable(c))
#define CGD__LOCK_FREE(c, m) DeleteCriticalSection(m)
#define CGD__MAIN DWORD WINAPI         /* what a thread's function returns   */
#define CGD__START(t, main, arg) \
    ((*(t) = CreateThread(NULL, 0, main, arg, 0, NULL)) != NULL)
#define CGD__FINISH(t) (WaitForSingleObject(t, INFINITE), CloseHandle(t))
#else
typedef size_t cgd__word;
#define CGD__CAS(p, old, now) __sync_bool_compare_and_swap(p, old, now)
#define CGD__ADD(p, v) __atomic_add_fetch(p, v, __ATOMIC_SEQ_CST)
#define CGD__STORE(p, v) __atomic_store_n(p, v, __ATOMIC_SEQ_CST)
#define CGD__LOAD(p) __atomic_load_n(p, __ATOMIC_SEQ_CST)
#if defined(__x86_64__) || defined(__i386__)
#define CGD__PAUSE() __builtin_ia32_pause()
#else
#define CGD__PAUSE() ((void)0)
#endif
#define CGD__YIELD() sched_yield()
typedef pthread_t cgd__thread;
typedef pthread_mutex_t cgd__mutex;
typedef pthread_cond_t cgd__condition;
#define CGD__LOCK(m) pthread_mutex_lock(m)
#define CGD__UNLOCK(m) pthread_mutex_unlock(m)
#define CGD__WAIT(c, m) pthread_cond_wait(c, m)
#define CGD__WAKE_ALL(c) pthread_cond_broadcast(c)
#define CGD__LOCK_INIT(c, m) \
    (pthread_mutex_init(m, NULL), pthread_cond_init(c, NULL))
#define CGD__LOCK_FREE(c, m) (pthread_cond_destroy(c), pthread_mutex_destroy(m))
#define CGD__MAIN void *
#define CGD__START(t, main, arg) (pthread_create(t, NULL, main, arg) == 0)
#define CGD__FINISH(t) pthread_join(t, NULL)
#endif

#define CGD__MAX_THREADS 64
#define CGD__SLICE_BITS 20
#define CGD__SLICE_MASK (((size_t)1 << CGD__SLICE_BITS) - 1)
#define CGD__SPINS 4000

/* A thread's share of the slices, on a cache line of its own. */
typedef struct cgd__share {
    cgd__word ticket;            /* job number and next slice                */
    char apart[128 - sizeof(cgd__word)];
} cgd__share;

struct cgd__team {
    cgd__share shares[CGD__MAX_THREADS];
    cgd__word done;              /* slices finished                          */
    cgd__word sleepers, quit;
    cgd__word slices;
    void (*fn)(void *job, size_t slice);
    void *job;
    int workers;
    cgd__thread threads[CGD__MAX_THREADS];
    cgd__mutex mutex;
    cgd__condition wake;
    cgd__word number;            /* threads that know who they are           */
};

static size_t cgd__team_share(const struct cgd__team *team, size_t slices,
                              size_t thread)
{
    return slices * thread / ((size_t)team->workers + 1);
}

/* Run the slices of the current job: first a thread's own share, then what
 * the others have not begun. */
static void cgd__team_help(struct cgd__team *team, size_t thread)
{
    size_t threads = (size_t)team->workers + 1, i, ran = 0;
    for (i = 0; i < threads; i++) {
        size_t owner = (thread + i) % threads;
        cgd__word *word = &team->shares[owner].ticket;
        for (;;) {
            size_t ticket = CGD__LOAD(word), slice = ticket & CGD__SLICE_MASK;
            if (slice >= cgd__team_share(team, CGD__LOAD(&team->slices),
                                         owner + 1)) break;
            if (!CGD__CAS(word, ticket, ticket + 1)) continue;
            team->fn(team->job, slice);
            ran++;
        }
    }
    if (ran > 0) (void)CGD__ADD(&team->done, ran);
}

static void cgd__team_work(struct cgd__team *team)
{
    size_t seen = 0, thread = CGD__ADD(&team->number, 1);
    cgd__word *ticket = &team->shares[thread].ticket;
    while (!CGD__LOAD(&team->quit)) {
        int spins = 0;
        while (CGD__LOAD(ticket) >> CGD__SLICE_BITS == seen
               && !CGD__LOAD(&team->quit)) {
            CGD__PAUSE();
            if (++spins < CGD__SPINS) continue;
            CGD__LOCK(&team->mutex);
            (void)CGD__ADD(&team->sleepers, 1);
            while (CGD__LOAD(ticket) >> CGD__SLICE_BITS == seen
                   && !CGD__LOAD(&team->quit))
                CGD__WAIT(&team->wake, &team->mutex);
            (void)CGD__ADD(&team->sleepers, (size_t)-1);
            CGD__UNLOCK(&team->mutex);
        }
        seen = CGD__LOAD(ticket) >> CGD__SLICE_BITS;
        cgd__team_help(team, thread);
    }
}

static void cgd__team_for(void *user, size_t slices,
                          void (*fn)(void *job, size_t slice), void *job)
{
    struct cgd__team *team = (struct cgd__team *)user;
    size_t threads = (size_t)team->workers + 1, number, i;
    int spins = 0;
    if (slices < 2 || team->workers == 0 || slices >= CGD__SLICE_MASK) {
        for (i = 0; i < slices; i++) fn(job, i);
        return;
    }
    /* The number moves twice: while it is odd the tickets stand past the
     * end and nobody can claim anything, so the job can change hands. */
    number = (CGD__LOAD(&team->shares[0].ticket) >> CGD__SLICE_BITS) + 1;
    for (i = 0; i < threads; i++)
        CGD__STORE(&team->shares[i].ticket,
                   number << CGD__SLICE_BITS | CGD__SLICE_MASK);
    team->fn = fn;
    team->job = job;
    CGD__STORE(&team->done, 0);
    CGD__STORE(&team->slices, slices);
    for (i = threads; i-- > 0; )
        CGD__STORE(&team->shares[i].ticket, (number + 1) << CGD__SLICE_BITS
                   | cgd__team_share(team, slices, i));
    if (CGD__LOAD(&team->sleepers) > 0) {
        CGD__LOCK(&team->mutex);
        CGD__WAKE_ALL(&team->wake);
        CGD__UNLOCK(&team->mutex);
    }
    cgd__team_help(team, 0);
    while (CGD__LOAD(&team->done) < slices) {
        CGD__PAUSE();
        if (++spins > CGD__SPINS) CGD__YIELD();
    }
}

static CGD__MAIN cgd__team_main(void *team)
{
    cgd__team_work((struct cgd__team *)team);
    return 0;
}

#ifdef _WIN32
static int cgd__cores(void)
{
    SYSTEM_INFO info;
    DWORD_PTR mine = 0, all = 0;
    int n = 0;
    GetSystemInfo(&info);
    GetProcessAffinityMask(GetCurrentProcess(), &mine, &all);
    for (; mine; mine &= mine - 1) n++;
    return n > 0 ? n : (int)info.dwNumberOfProcessors;
}
#else
#if defined(__linux__) && !defined(CGD_NO_STDIO)
/* Linux gives a process less than the machine in two ways: a list of cores
 * (affinity and cpusets, of which the kernel shows what is left), and a quota
 * of time for its cgroup or one above it. Both are read from files, which
 * every C library can. proc and sys are /proc/self and /sys/fs/cgroup. */

/* The line of a file that begins so; "" if there is none. */
static void cgd__line(char line[512], const char *folder, const char *name,
                      const char *begin)
{
    char path[512];
    FILE *f;
    cgd__format(path, sizeof path, "%s/%s", folder, name);
    f = fopen(path, "rb");
    while (f && fgets(line, 512, f))
        if (strncmp(line, begin, strlen(begin)) == 0) {
            fclose(f);
            return;
        }
    if (f) fclose(f);
    line[0] = 0;
}

/* Cores that a group's quota is worth; 0: it has none. */
static double cgd__quota(const char *group)
{
    char quota[512], period[512];
    const char *at;
    double v;
    cgd__line(quota, group, "cpu.max", "");                  /* version 2    */
    v = cgd__parse_float(quota, &at);
    if (v > 0 && *at == ' ') return v / cgd__parse_float(at, NULL);
    cgd__line(quota, group, "cpu.cfs_quota_us", "");         /* version 1    */
    cgd__line(period, group, "cpu.cfs_period_us", "");
    v = cgd__parse_float(quota, NULL) / cgd__parse_float(period, NULL);
    return v > 0 && period[0] ? v : 0;
}

/* The least quota from a group up to where its tree is mounted. */
static double cgd__least_quota(const char *sys, const char *mount,
                               const char *group, double least)
{
    char path[512];
    size_t n;
    cgd__format(path, sizeof path, "%s/%s", sys, mount);
    n = strlen(path);
    cgd__format(path + n, sizeof path - n, "%s", group);
    for (path[strcspn(path, "\n")] = 0;; *strrchr(path, '/') = 0) {
        double v = cgd__quota(path);
        if (v > 0 && (least == 0 || v < least)) least = v;
        if (strlen(path) <= n) return least;
    }
}

static int cgd__cores_allowed(const char *proc, const char *sys, int cores)
{
    char line[512];
    const char *at;
    double listed = 0, quota = 0;
    int i;
    cgd__line(line, proc, "status", "Cpus_allowed_list:");
    at = line + strcspn(line, "0123456789");
    while (*at >= '0' && *at <= '9') {                       /* "0-3,8"      */
        double first = cgd__parse_float(at, &at), last = first;
        if (*at == '-') last = cgd__parse_float(at + 1, &at);
        listed += last - first + 1;
        if (*at == ',') at++;
    }
    if (listed > 0 && listed < cores) cores = (int)listed;
    for (i = 0; i < 16; i++) {                 /* "4:cpu,cpuacct:/group"     */
        char number[24];
        cgd__format(number, sizeof number, "%d:", i);
        cgd__line(line, proc, "cgroup", number);
        at = strchr(line, '/');
        if (!at) continue;
        if (strstr(line, "::/"))
            quota = cgd__least_quota(sys, "", at,
                        cgd__least_quota(sys, "unified", at, quota));
        else if (strstr(line, ":cpu:") || strstr(line, ":cpu,")
                 || strstr(line, ",cpu:"))
            quota = cgd__least_quota(sys, "cpu", at,
                        cgd__least_quota(sys, "cpu,cpuacct", at, quota));
    }
    while (quota > 0 && cores > 1 && cores - 1 >= quota) cores--;
    return cores;
}
#else
#define cgd__cores_allowed(proc, sys, cores) (cores)
#endif

static int cgd__cores(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return cgd__cores_allowed("/proc/self", "/sys/fs/cgroup", n < 1 ? 1
                              : n > CGD__MAX_THREADS ? CGD__MAX_THREADS
                                                     : (int)n);
}
#endif

static void cgd__team_start(cgd_ctx *ctx, int threads)
{
    struct cgd__team *team;
    if (threads <= 0) threads = cgd__cores();
    if (threads > CGD__MAX_THREADS) threads = CGD__MAX_THREADS;
    if (threads < 2) return;
    team = (struct cgd__team *)cgd__alloc_zeroed(ctx, 1, sizeof *team,
                                                 "a team of threads");
    if (!team) return;
    CGD__LOCK_INIT(&team->wake, &team->mutex);
    while (team->workers < threads - 1
           && CGD__START(&team->threads[team->workers], cgd__team_main, team))
        team->workers++;
    ctx->team = team;
    ctx->parallel.parallel_for = cgd__team_for;
    ctx->parallel.user = team;
}

static void cgd__team_stop(cgd_ctx *ctx)
{
    struct cgd__team *team = ctx->team;
    int i;
    if (!team) return;
    CGD__LOCK(&team->mutex);
    CGD__STORE(&team->quit, 1);
    CGD__WAKE_ALL(&team->wake);
    CGD__UNLOCK(&team->mutex);
    for (i = 0; i < team->workers; i++) CGD__FINISH(team->threads[i]);
    CGD__LOCK_FREE(&team->wake, &team->mutex);
    cgd__free(ctx, team, sizeof *team);
    ctx->team = NULL;
}
#endif /* CGD__THREADS */

CGDDEF void cgd_parallel_for(cgd_ctx *ctx, size_t slices,
                             void (*fn)(void *job, size_t slice), void *job)
{
    size_t i;
    if (ctx->parallel.parallel_for && slices > 1)
        ctx->parallel.parallel_for(ctx->parallel.user, slices, fn, job);
    else
        for (i = 0; i < slices; i++) fn(job, i);
}

#if defined(_OPENMP) && !defined(CGD__THREADS)
static void cgd__omp_for(void *user, size_t slices,
                         void (*fn)(void *job, size_t slice), void *job)
{
    long i;
    (void)user;
#pragma omp parallel for schedule(dynamic, 1)
    for (i = 0; i < (long)slices; i++) fn(job, (size_t)i);
}
#endif

static const struct cgd__kernels *cgd__best_kernels(void);

CGDDEF void cgd_init(cgd_ctx *ctx, const cgd_options *options)
{
    cgd_options none;
    memset(&none, 0, sizeof none);
    if (!options) options = &none;
    memset(ctx, 0, sizeof *ctx);
    ctx->allocator = options->allocator;
    ctx->parallel = options->parallel;
    ctx->warn = options->warn;
    ctx->warn_user = options->warn_user;
    if (options->memory) {
        ctx->lent = (unsigned char *)options->memory;
        ctx->lent_size = options->memory_size;
        ctx->allocator.alloc = cgd__lent_alloc;
        ctx->allocator.release = cgd__lent_release;
        ctx->allocator.user = ctx;
    }
#ifndef CGD_NO_MALLOC
    if (!ctx->allocator.alloc) {
        ctx->allocator.alloc = cgd__default_alloc;
        ctx->allocator.release = cgd__default_release;
    }
#endif
    ctx->kernels = cgd__best_kernels();
#if defined(CGD__THREADS)
    if (!ctx->parallel.parallel_for) cgd__team_start(ctx, options->threads);
#elif defined(_OPENMP)
    if (!ctx->parallel.parallel_for && options->threads != 1)
        ctx->parallel.parallel_for = cgd__omp_for;
#endif
    ctx->message[0] = 0;
}

CGDDEF int cgd_threads(const cgd_ctx *ctx)
{
#ifdef CGD__THREADS
    if (ctx->team) return ctx->team->workers + 1;
#endif
    return ctx->parallel.parallel_for ? 0 : 1;
}

CGDDEF void cgd_free(cgd_ctx *ctx)
{
#ifdef CGD__THREADS
    cgd__team_stop(ctx);
#endif
    memset(ctx, 0, sizeof *ctx);
}

/* ======================================================================== */
/* [impl:asks] What the method asks of the engine                           */
/* ======================================================================== */
/* The one interface between the two: shapes and jobs, and a table of the
 * functions that do them. [impl:ops] defines what each is to compute, in
 * plain loops; [impl:dispatch] fills in a table for each instruction set. */

typedef struct cgd__shape {
    size_t n, h, w, c, oh, ow, o;
    size_t kernel, stride, pad;
    int pad_mode;
} cgd__shape;

enum { CGD__FORWARD, CGD__ADJOINT, CGD__WEIGHTS };   /* which of the sums  */

/* What a kernel is asked: one of the sums, and what it may take over from its
 * surroundings. It reads two of x, y and w and writes the third:
 *
 *   forward   in = x, by = w, out = y
 *   adjoint   in = y, by = w, out = x
 *   weights   in = x, by = y, out = dw, which is always added to
 *
 * The map it reads may be raw, when act(scale * x + shift) is meant, act(v)
 * being the greater of v and slope * v; and while it writes, it may take the
 * mean and the mean square deviation of each picture and channel. All that is
 * not needed is NULL. */
typedef struct cgd__conv {
    cgd__shape s;
    int sum;
    const float *in, *by, *bias;       /* bias: of what is written           */
    float *out;
    int accumulate;                    /* add to what is there               */
    const float *packed;               /* what cgd__pack made of by          */
    const float *scale, *shift;        /* (n, channels read)                 */
    float slope;
    double *moments;                   /* (2, n, channels written)           */
} cgd__conv;

enum { CGD__READS_RAW = 1, CGD__TAKES_MOMENTS = 2 };

#define CGD__PANEL 64                  /* most outputs in a panel of weights */

typedef unsigned short cgd__bf16;      /* a float's upper half               */

/* A product that a kernel forms, in steps of floats (or bf16 values). Of a
 * window: dst[p] = init[p] + sum over `rows` runs of `run` values, of src[p]
 * times panel, for a fixed number of pixels p. Of a weight gradient: dst[r] +=
 * sum over `rows` lines of `run` pixels, of src[r] times panel, for a fixed
 * number of values r, which lie side by side. */
typedef struct cgd__block {
    size_t dst_step, init_step, src_step;  /* from one pixel to the next     */
    size_t row_step, rows, run;            /* of src, from row to row        */
    size_t panel_step, panel_row;          /* of panel: gradients only       */
} cgd__block;

/* A map seen with its margins, normalised if it is raw: see cgd__conv. */
typedef struct cgd__lines {
    const float *in, *scale, *shift;
    float slope;
    size_t h, w, c, pad;
    int pad_mode;
} cgd__lines;

/* All that is compiled once per instruction set. What takes a job and a slice
 * stands in [impl:ops] too, the rest in the engine. */
typedef struct cgd__kernels {
    const char *name;
    size_t vector;                 /* floats in a vector; 0: the definition  */
    /* Panels of decreasing width cover the outputs: vectors[kind] wide, each
     * for three numbers of pixels at once, groups[kind][0] the greatest.    */
    size_t kinds, vectors[3], groups[3][3];
    void (*panel[3][3])(const cgd__block *b, float *dst, const float *init,
                        const float *src, const float *panel,
                        const float *ahead);
    /* Line i of picture n, counted from -pad, its first `pixels` pixels. */
    void (*line)(const cgd__lines *q, float *out, size_t n, size_t i,
                 size_t pixels);
    /* Add `count` pixels to a row of moments, or begin it; merge rows. */
    void (*moments)(float *sums, size_t plane, const float *px, size_t step,
                    size_t count, size_t width, int first);
    void (*merge)(const float *sums, size_t rows, size_t plane, size_t c,
                  double *mean, double *square);
    void (*fold)(void *job, size_t slice);
    void (*activate)(void *job, size_t slice);
    void (*add)(void *job, size_t slice);
    void (*norm_sums)(void *job, size_t slice);
    void (*norm_apply)(void *job, size_t slice);
    void (*depth)(void *job, size_t row);
    /* [impl:winograd]: patches of pixels to points, points to tiles, weights
     * to points. */
    void (*patch_in)(float *v, size_t plane, const float *const px[36],
                     const float *scale, const float *shift, float slope,
                     size_t count);
    void (*tile_out)(float *const px[16], float *m, size_t plane,
                     size_t count, const float *bias, int accumulate);
    void (*weights_in)(float *u, size_t plane, const float *w, size_t tap,
                       size_t lane);
    /* bf16, or NULL: two tiles of 16 pixels by 32 outputs; begin and end stand
     * around a thread's blocks. round: any count; pair: 16 of two channels,
     * turn: to lines, out[k * step] and behind it, k < 16. */
    int tiles_beat_winograd;
    void (*begin)(void);
    void (*end)(void);
    void (*tile)(const cgd__block *b, float *const dst[2],
                 const float *const init[2], const cgd__bf16 *const src[2],
                 const cgd__bf16 *panel);
    void (*round)(cgd__bf16 *out, const float *in, size_t count);
    void (*pair)(cgd__bf16 *out, const float *even, const float *odd);
    /* For gradients: NULL under CGD_NO_TRAIN. */
    void (*turn)(cgd__bf16 *out, size_t step, const float *even,
                 const float *odd);
    void (*outer[3])(const cgd__block *b, float *dst, const float *src,
                     const float *panel);
    void (*outer_few[2][2])(const cgd__block *b, float *dst, const float *src,
                            const float *panel);
    void (*patch_out)(float *x, size_t line, size_t pixel, float *m,
                      size_t plane, size_t count);
    void (*tile_in)(float *v, size_t plane, const float *const px[16],
                    size_t first, size_t count);
    void (*weights_out)(float *dw, size_t tap, float *u, size_t plane,
                        size_t count);
    void (*activate_back)(void *job, size_t slice);
    void (*norm_back_sums)(void *job, size_t slice);
    void (*norm_back_apply)(void *job, size_t slice);
    void (*depth_data)(void *job, size_t slice);
    void (*depth_weights)(void *job, size_t slice);
    void (*adam)(float *p, float *m, float *v, const float *g, size_t count,
                 float beta1, float beta2, float rate, float scale, float eps);
} cgd__kernels;

/* The engine's interface, defined in [impl:choice].
 *
 * Do a job; scratch is given back. Returns 0, nothing written, where scratch
 * does not hold: on an arena that only counts, and where it was counted for
 * something else. */
static int cgd__convolve(cgd_ctx *ctx, const cgd__kernels *k,
                         const cgd__conv *q, cgd__arena *scratch);
/* What the kernels can do beside a sum. */
static int cgd__conv_extras(const cgd__kernels *k, const cgd__shape *s,
                            int sum);
/* Weights in the form that a sum multiplies from: floats, 0 where nothing is
 * gained. Jobs without packed weights make it every time. */
static size_t cgd__pack_size(const cgd__kernels *k, const cgd__shape *s,
                             int sum);
static void cgd__pack(cgd_ctx *ctx, const cgd__kernels *k,
                      const cgd__shape *s, int sum, const float *w,
                      float *packed);

static cgd__conv cgd__conv_of(const cgd__shape *s, int sum, float *out,
                              const float *in, const float *by)
{
    cgd__conv q;
    memset(&q, 0, sizeof q);
    q.s = *s; q.sum = sum; q.out = out; q.in = in; q.by = by;
    return q;
}

#ifdef CGD_NO_TRAIN                    /* such a build has no gradients      */
#define CGD__LEARNS(function) NULL
#else
#define CGD__LEARNS(function) function
#endif

#define CGD__BLOCK 8192                /* values in a slice of a map's job   */

typedef struct cgd__map_job {
    const float *x, *y;
    float *out;
    size_t count;
    int act;
    float factor;
} cgd__map_job;

/* ReLU, its leaky form and no activation at all are max(v, slope * v); behind
 * a norm they let a gradient pass where on * x + off, the normalised value, is
 * positive, and `slope` of it elsewhere. */
#define CGD__SLOPE(act) ((act) == CGD_ACT_NONE ? 1                            \
                         : (act) == CGD_ACT_LEAKY ? 0.2f : 0.0f)

/* Sums over pixels are taken in slices, each into a row of its own in double
 * precision, and added up in order. */
typedef struct cgd__norm_job {
    const float *x, *dy, *skip, *scale, *shift, *third, *on, *off;
    float *out;
    double *partial;           /* (slices, 2, c)                             */
    const float *stats;
    size_t n, pixels, c, chunk, per_picture;
    int act;
} cgd__norm_job;

/* A depthwise convolution: slices are rows of y, or for its gradients groups of
 * channels, so that each writes what no other does. */
typedef struct cgd__depth_job {
    const cgd__shape *s;         /* o == c                                   */
    const float *x, *y, *w, *b;
    float *out;
    int accumulate;
} cgd__depth_job;

enum { CGD__DEPTH_CHANNELS = 16 };

/* Add the mirrored margins of a padded map to its inside (or write it). */
typedef struct cgd__fold_job {
    const float *in; float *out; const float *bias;
    size_t h, w, c, pad;
    int pad_mode, accumulate;
} cgd__fold_job;

/* Moments are taken as sums over pieces of a map, a row for each: shift, sum
 * of x - shift, sum of its squares, each `plane` channels, and the number of
 * pixels. The shift is a value of the piece, so that a mean far from zero
 * costs no digits. */
static size_t cgd__moments_row(size_t plane) { return 3 * plane + 16; }

/* ######################################################################## */
/* [part:method] Part 3: the method                                         */
/* ######################################################################## */
/* The textbook: whoever has read this part knows how a CycleGAN is trained
 * and distilled. Plain loops; each operator's gradient beside its value. */

/* ======================================================================== */
/* [impl:tensor] Tensors                                                    */
/* ======================================================================== */

CGDDEF cgd_tensor cgd_tensor_view(size_t n, size_t h, size_t w, size_t c,
                                  float *data)
{
    cgd_tensor t;
    t.n = n; t.h = h; t.w = w; t.c = c; t.data = data;
    return t;
}

CGDDEF size_t cgd_tensor_size(const cgd_tensor *t)
{
    return t->n * t->h * t->w * t->c;
}

/* Clamped; written so that a NaN becomes the lower end. */
static float cgd__clamp(float v, float least, float most)
{
    return v >= most ? most : v > least ? v : least;
}

/* Samples, either bytes or values, to what a net takes, and back. */
static void cgd__samples_in(float *x, const unsigned char *bytes,
                            const float *values, size_t n,
                            const cgd_range *r)
{
    float lo = r->lo, half = (r->lo == r->hi ? r->white : r->hi - lo) / 2;
    size_t i;
    if (r->lo == r->hi) lo = 0;
    if (bytes)
        for (i = 0; i < n; i++)
            x[i] = cgd__clamp(((float)bytes[i] - lo) / half - 1, -1, 1);
    else
        for (i = 0; i < n; i++)
            x[i] = cgd__clamp((values[i] - lo) / half - 1, -1, 1);
}

static void cgd__samples_out(unsigned char *bytes, float *values,
                             const float *y, size_t n, const cgd_range *r)
{
    float lo = r->lo, half = (r->lo == r->hi ? r->white : r->hi - lo) / 2, v;
    size_t i;
    if (r->lo == r->hi) lo = 0;
    for (i = 0; i < n; i++) {
        v = (y[i] + 1) * half + lo;
        if (bytes)
            bytes[i] = (unsigned char)cgd__clamp(v + 0.5f, 0, 255);
        else if (r->white > 0)
            values[i] = (float)(int)cgd__clamp(v + 0.5f, 0, r->white);
        else
            values[i] = v;
    }
}

static const cgd_range cgd__byte_range = { 0, 0, 255 };

CGDDEF void cgd_tensor_from_bytes(cgd_tensor *t, size_t picture,
                                  const unsigned char *bytes)
{
    size_t count = t->h * t->w * t->c;
    cgd__samples_in(t->data + picture * count, bytes, NULL, count,
                    &cgd__byte_range);
}

CGDDEF void cgd_tensor_to_bytes(unsigned char *bytes, const cgd_tensor *t,
                                size_t picture)
{
    size_t count = t->h * t->w * t->c;
    cgd__samples_out(bytes, NULL, t->data + picture * count, count,
                     &cgd__byte_range);
}

#ifndef CGD_NO_TRAIN
static int cgd__same_shape(const cgd_tensor *a, const cgd_tensor *b)
{
    return a->n == b->n && a->h == b->h && a->w == b->w && a->c == b->c;
}
#endif

/* ======================================================================== */
/* [impl:ops] Operators                                                     */
/* ======================================================================== */
/* Every operator of the nets, its definition, its forward loop and the loop
 * of its gradient side by side. L is the loss; dy stands for dL/dy, which
 * backward is given, and dx for dL/dx, which it makes. Shapes are trusted
 * here: nets are checked when they are built.
 *
 * One rule derives nearly all of backward. An operator that is linear in x
 * is a matrix, y = M x, and then dx = M' dy: where forward *reads* x[a] with
 * weight m into y[i], backward *adds* m dy[i] to dx[a]. M' is the adjoint.
 *
 * Work is handed out in slices that each write what no other does, so that
 * threads change nothing. A loop marked CGD__LOOP is a slice's; the engine
 * compiles it once more for each instruction set, and the table of the
 * reference kernels ([impl:dispatch]) takes it as it stands here. */

#if defined(__GNUC__)
#define CGD__LOOP CGD__OPTIMIZED __inline__ __attribute__((always_inline))
#else
#define CGD__LOOP
#endif

/* ---- windows and padding -------------------------------------------------*/
/* A window of `kernel` samples steps over a line of `size` samples, `stride`
 * at a time, after `pad` more have been put before and behind it. Padding is
 * never stored: it is a rule by which an index that falls outside finds the
 * sample it stands for. Zero padding finds none; reflection mirrors at the
 * outermost sample without repeating it, ... 2 1 | 0 1 2 3 | 2 1 ..., which
 * leaves no edge for a net to paint a border along. */

/* Bytes of scratch for a sum, with the moments of what it writes or without:
 * its job, run dry. */
static size_t cgd__conv_bytes(cgd_ctx *ctx, const cgd__kernels *k,
                              const cgd__shape *s, int sum, int moments)
{
    cgd__arena count = cgd__arena_on(NULL, 0);
    cgd__conv q = cgd__conv_of(s, sum, NULL, NULL, NULL);
    double any;
    if (moments) q.moments = &any;
    cgd__convolve(ctx, k, &q, &count);
    return count.peak;
}

#define CGD__OUTSIDE ((size_t)-1)

/* Where a window's tap lands in a line of `size` samples: the sample's index,
 * mirrored if the padding reflects, or CGD__OUTSIDE. at counts from -pad. */
static size_t cgd__tap_index(size_t at, size_t pad, size_t size, int pad_mode)
{
    if (at >= pad && at - pad < size) return at - pad;
    if (pad_mode != CGD_PAD_REFLECT) return CGD__OUTSIDE;
    if (at < pad) return pad - at;
    return at - pad < 2 * size - 1 ? 2 * (size - 1) - (at - pad)
                                   : CGD__OUTSIDE;
}

/* Fill in the shape of a window from its big map; 0 if it does not fit. */
static int cgd__shape_from(cgd__shape *s, size_t n, size_t h, size_t w,
                           size_t c, size_t o, const cgd_window *window)
{
    size_t k = window->kernel, p = window->pad;
    s->n = n; s->h = h; s->w = w; s->c = c; s->o = o;
    s->kernel = k; s->stride = window->stride; s->pad = p;
    s->pad_mode = window->pad_mode;
    if (k < 1 || k > 16 || s->stride < 1 || s->stride > 16 || p >= k) return 0;
    if (n < 1 || h < 1 || w < 1 || c < 1 || o < 1) return 0;
    if (h + 2 * p < k || w + 2 * p < k) return 0;
    if (s->pad_mode == CGD_PAD_REFLECT && (p >= h || p >= w)) return 0;
    s->oh = (h + 2 * p - k) / s->stride + 1;
    s->ow = (w + 2 * p - k) / s->stride + 1;
    return 1;
}

/* ---- convolution ---------------------------------------------------------*/
/* A window relates a big map x (n, h, w, c) to a small one y (n, oh, ow, o):
 *
 *   forward   y[i,j,o]   = b[o] + sum_{u,v,c} x[i*s+u-p, j*s+v-p, c] w[u,v,c,o]
 *   adjoint   x[i*s+u-p, j*s+v-p, c] = b[c] + sum y[i,j,o] w[u,v,c,o]
 *   weights   dw[u,v,c,o] += sum_{i,j} x[i*s+u-p, j*s+v-p, c] y[i,j,o]
 *
 * Every convolution of this library is made of these three sums. Of
 * y = conv(x, w), which is linear in x and in w, they are the value, dx (the
 * adjoint, with dy in y's place) and dw. The transposed convolution
 * (Zeiler et al. 2010; PyTorch's ConvTranspose2d) is the adjoint used as an
 * operator of its own, to go from a small map to a big one: its value is the
 * adjoint, its dx the forward sum, its dw the weights sum with both maps'
 * parts exchanged. So three loops serve six passes. w lies as (u, v, c, o):
 * the innermost sums run over neighbours in memory.
 *
 * Slices are rows of y, channels of x and channels of y. Sums are taken in
 * double: this is what the engine is measured against. */

static void cgd__ref_forward_row(void *job, size_t row)
{
    const cgd__conv *q = (const cgd__conv *)job;
    const cgd__shape *s = &q->s;
    size_t n = row / s->oh, i = row % s->oh, j, o, u, v, c;
    for (j = 0; j < s->ow; j++)
    for (o = 0; o < s->o; o++) {
        float *y = q->out + (row * s->ow + j) * s->o + o;
        double sum = (q->accumulate ? *y : 0) + (q->bias ? q->bias[o] : 0);
        for (u = 0; u < s->kernel; u++)
        for (v = 0; v < s->kernel; v++) {
            size_t a = cgd__tap_index(i * s->stride + u, s->pad, s->h,
                                      s->pad_mode);
            size_t b = cgd__tap_index(j * s->stride + v, s->pad, s->w,
                                      s->pad_mode);
            if (a == CGD__OUTSIDE || b == CGD__OUTSIDE) continue;
            for (c = 0; c < s->c; c++)
                sum += (double)q->in[((n * s->h + a) * s->w + b) * s->c + c]
                     * q->by[((u * s->kernel + v) * s->c + c) * s->o + o];
        }
        *y = (float)sum;
    }
}

static void cgd__ref_adjoint_channel(void *job, size_t c)
{
    const cgd__conv *q = (const cgd__conv *)job;
    const cgd__shape *s = &q->s;
    size_t pixels = s->n * s->h * s->w, at, n, i, j, o, u, v;
    for (at = 0; at < pixels; at++) {
        float *x = q->out + at * s->c + c;
        *x = (q->accumulate ? *x : 0) + (q->bias ? q->bias[c] : 0);
    }
    for (n = 0; n < s->n; n++)
    for (i = 0; i < s->oh; i++)
    for (j = 0; j < s->ow; j++)
    for (u = 0; u < s->kernel; u++)
    for (v = 0; v < s->kernel; v++) {
        size_t a = cgd__tap_index(i * s->stride + u, s->pad, s->h,
                                  s->pad_mode);
        size_t b = cgd__tap_index(j * s->stride + v, s->pad, s->w,
                                  s->pad_mode);
        const float *y = q->in + ((n * s->oh + i) * s->ow + j) * s->o;
        const float *w = q->by + ((u * s->kernel + v) * s->c + c) * s->o;
        double sum = 0;
        if (a == CGD__OUTSIDE || b == CGD__OUTSIDE) continue;
        for (o = 0; o < s->o; o++) sum += (double)y[o] * w[o];
        q->out[((n * s->h + a) * s->w + b) * s->c + c] += (float)sum;
    }
}

static void cgd__ref_weights_channel(void *job, size_t o)
{
    const cgd__conv *q = (const cgd__conv *)job;
    const cgd__shape *s = &q->s;
    size_t n, i, j, u, v, c;
    for (u = 0; u < s->kernel; u++)
    for (v = 0; v < s->kernel; v++)
    for (c = 0; c < s->c; c++) {
        double sum = 0;
        for (n = 0; n < s->n; n++)
        for (i = 0; i < s->oh; i++)
        for (j = 0; j < s->ow; j++) {
            size_t a = cgd__tap_index(i * s->stride + u, s->pad, s->h,
                                      s->pad_mode);
            size_t b = cgd__tap_index(j * s->stride + v, s->pad, s->w,
                                      s->pad_mode);
            if (a == CGD__OUTSIDE || b == CGD__OUTSIDE) continue;
            sum += (double)q->in[((n * s->h + a) * s->w + b) * s->c + c]
                 * q->by[((n * s->oh + i) * s->ow + j) * s->o + o];
        }
        q->out[((u * s->kernel + v) * s->c + c) * s->o + o] += (float)sum;
    }
}

static int cgd__plain_run(cgd_ctx *ctx, const cgd__kernels *k,
                          const cgd__conv *job, int packing,
                          cgd__arena *scratch)
{
    const cgd__shape *s = &job->s;
    cgd__conv q = *job;
    (void)k;
    (void)packing;
    if (!cgd__arena_holds(scratch)) return 0;
    if (job->sum == CGD__FORWARD)
        cgd__for(ctx, s->n * s->oh, cgd__ref_forward_row, &q);
    else if (job->sum == CGD__ADJOINT)
        cgd__for(ctx, s->c, cgd__ref_adjoint_channel, &q);
    else
        cgd__for(ctx, s->o, cgd__ref_weights_channel, &q);
    return 1;
}

#ifndef CGD_NO_TRAIN
/* The bias is added to every pixel, so its gradient is the sum of dy over all
 * of them. A slice takes 16 channels. */
typedef struct cgd__bias_job {
    const float *dy;
    float *db;
    size_t pixels, c;
} cgd__bias_job;

CGD__OPTIMIZED static void cgd__bias_slice(void *job, size_t slice)
{
    const cgd__bias_job *q = (const cgd__bias_job *)job;
    size_t first = slice * 16, count = cgd__min(16, q->c - first), p, k;
    double sum[16];
    for (k = 0; k < 16; k++) sum[k] = 0;
    for (p = 0; p < q->pixels; p++)
        for (k = 0; k < count; k++)
            sum[k] += (double)q->dy[p * q->c + first + k];
    for (k = 0; k < count; k++) q->db[first + k] += (float)sum[k];
}

static void cgd__bias_backward(cgd_ctx *ctx, float *db, const float *dy,
                               size_t pixels, size_t c)
{
    cgd__bias_job q;
    q.dy = dy; q.db = db; q.pixels = pixels; q.c = c;
    cgd__for(ctx, cgd__ceil_div(c, 16), cgd__bias_slice, &q);
}
#endif

/* ---- depthwise convolution -----------------------------------------------*/
/* The same three sums with one filter for each channel and no sum over c,
 *
 *   y[i,j,c] = b[c] + sum_{u,v} x[i*s+u-p, j*s+v-p, c] w[u,v,c]
 *
 * at 1/o of the work. With a 1x1 convolution behind it, which mixes channels
 * and looks at no neighbours, it stands in for a full one (Howard et al. 2017,
 * "MobileNets"): a separable block.
 *
 * taps lists where a window at one place of y lands in x, and which weights it
 * meets there: forward, dx and dw all walk that list. */

/* The taps of a window that land inside a picture: which of its lines and
 * columns, where in the big map, and where their weights are, both at the
 * first channel. The same taps, moved on by a stride, serve the next pixels of
 * a run. */
typedef struct cgd__taps {
    size_t rows, cols, run;
    size_t row_at[16], row_w[16], col_at[16], col_w[16];
} cgd__taps;

/* A run is so short that what it reads and writes of each row stays in the
 * cache: pixels are often a power of two apart and share few places there. */
enum { CGD__DEPTH_RUN = 8 };

/* Those at pixel j of row i of the small map. */
static void cgd__taps_at(cgd__taps *taps, const cgd__shape *s, size_t i,
                         size_t j)
{
    size_t step = s->stride, u, last;
    taps->rows = taps->cols = 0;
    for (u = 0; u < s->kernel; u++) {
        size_t a = cgd__tap_index(i * step + u, s->pad, s->h, s->pad_mode);
        size_t b = cgd__tap_index(j * step + u, s->pad, s->w, s->pad_mode);
        if (a != CGD__OUTSIDE) {
            taps->row_at[taps->rows] = a * s->w * s->c;
            taps->row_w[taps->rows++] = u * s->kernel * s->c;
        }
        if (b != CGD__OUTSIDE) {
            taps->col_at[taps->cols] = b * s->c;
            taps->col_w[taps->cols++] = u * s->c;
        }
    }
    taps->run = 1;
    if (j * step < s->pad || s->w + s->pad < j * step + s->kernel) return;
    last = cgd__min((s->w + s->pad - s->kernel) / step, s->ow - 1);
    taps->run = cgd__min(last - j + 1, CGD__DEPTH_RUN);
}

/* The t-th of them: where in the big map, and where its weights. */
static size_t cgd__tap_at(const cgd__taps *taps, size_t t)
{
    return taps->row_at[t / taps->cols] + taps->col_at[t % taps->cols];
}

static size_t cgd__tap_weight(const cgd__taps *taps, size_t t)
{
    return taps->row_w[t / taps->cols] + taps->col_w[t % taps->cols];
}

CGD__LOOP static void cgd__depth_row(void *job, size_t row)
{
    const cgd__depth_job *q = (const cgd__depth_job *)job;
    const cgd__shape *s = q->s;
    size_t c = s->c, j, k, t;
    const float *x = q->x + row / s->oh * s->h * s->w * c;
    float *y = q->out + row * s->ow * c;
    cgd__taps taps;
    for (j = 0; j < s->ow; j++, y += c) {
        cgd__taps_at(&taps, s, row % s->oh, j);
        for (k = 0; k < c; k++) {
            float sum = q->b ? q->b[k] : 0;
            for (t = 0; t < taps.rows * taps.cols; t++)
                sum += q->w[cgd__tap_weight(&taps, t) + k]
                     * x[cgd__tap_at(&taps, t) + k];
            y[k] = sum;
        }
    }
}

static void cgd__depth_forward(cgd_ctx *ctx, const cgd__shape *s, float *y,
                               const float *x, const float *w, const float *b)
{
    cgd__depth_job q;
    q.s = s; q.x = x; q.y = NULL; q.w = w; q.b = b; q.out = y;
    q.accumulate = 0;
    cgd__for(ctx, s->n * s->oh, ctx->kernels->depth, &q);
}

#ifndef CGD_NO_TRAIN
/* dx[at] += w dy and dw += x[at] dy. Slices are groups of channels, of one
 * picture for dx and of all for dw: nothing crosses from one to another. */
CGD__LOOP static void cgd__depth_data_slice(void *job, size_t slice)
{
    const cgd__depth_job *q = (const cgd__depth_job *)job;
    const cgd__shape *s = q->s;
    size_t c = s->c, groups = cgd__ceil_div(c, CGD__DEPTH_CHANNELS);
    size_t first = slice % groups * CGD__DEPTH_CHANNELS, i, k, t;
    size_t end = cgd__min(first + CGD__DEPTH_CHANNELS, c);
    const float *dy = q->y + slice / groups * s->oh * s->ow * c;
    float *dx = q->out + slice / groups * s->h * s->w * c;
    cgd__taps taps;
    for (i = 0; !q->accumulate && i < s->h * s->w; i++)
        for (k = first; k < end; k++) dx[i * c + k] = 0;
    for (i = 0; i < s->oh * s->ow; i++, dy += c) {
        cgd__taps_at(&taps, s, i / s->ow, i % s->ow);
        for (t = 0; t < taps.rows * taps.cols; t++)
            for (k = first; k < end; k++)
                dx[cgd__tap_at(&taps, t) + k]
                    += q->w[cgd__tap_weight(&taps, t) + k] * dy[k];
    }
}

CGD__LOOP static void cgd__depth_weights_slice(void *job, size_t slice)
{
    const cgd__depth_job *q = (const cgd__depth_job *)job;
    const cgd__shape *s = q->s;
    size_t c = s->c, first = slice * CGD__DEPTH_CHANNELS, i, k, t;
    size_t end = cgd__min(first + CGD__DEPTH_CHANNELS, c);
    size_t places = s->oh * s->ow;
    cgd__taps taps;
    for (i = 0; i < s->n * places; i++) {
        const float *x = q->x + i / places * s->h * s->w * c;
        const float *dy = q->y + i * c;
        cgd__taps_at(&taps, s, i % places / s->ow, i % s->ow);
        for (t = 0; t < taps.rows * taps.cols; t++)
            for (k = first; k < end; k++)
                q->out[cgd__tap_weight(&taps, t) + k]
                    += x[cgd__tap_at(&taps, t) + k] * dy[k];
    }
}

static void cgd__depth_data(cgd_ctx *ctx, const cgd__shape *s, float *dx,
                            const float *dy, const float *w, int accumulate)
{
    cgd__depth_job q;
    q.s = s; q.x = NULL; q.y = dy; q.w = w; q.b = NULL; q.out = dx;
    q.accumulate = accumulate;
    cgd__for(ctx, s->n * cgd__ceil_div(s->c, CGD__DEPTH_CHANNELS),
             ctx->kernels->depth_data, &q);
}

static void cgd__depth_weights(cgd_ctx *ctx, const cgd__shape *s, float *dw,
                               const float *x, const float *dy)
{
    cgd__depth_job q;
    q.s = s; q.x = x; q.y = dy; q.w = NULL; q.b = NULL; q.out = dw;
    q.accumulate = 1;
    cgd__for(ctx, cgd__ceil_div(s->c, CGD__DEPTH_CHANNELS),
             ctx->kernels->depth_weights, &q);
}
#endif

/* ---- padding as an operator ----------------------------------------------*/
/* Some kernels want the margin in memory, and take a padded copy of x; of a
 * raw map, normalised on the way (see cgd__conv). A copy is linear, and its
 * adjoint folds the margin back: each sample's gradient is the sum over the
 * places of the padded map that show it, of which a line holds up to three
 * (its own, one mirrored before the start, one behind the end). */

/* Line i of picture n, counted from -pad, its first `pixels` pixels. */
CGD__LOOP static void cgd__pad_line(const cgd__lines *q, float *out, size_t n,
                                    size_t i, size_t pixels)
{
    size_t c = q->c, j, k, run;
    size_t a = cgd__tap_index(i, q->pad, q->h, q->pad_mode);
    const float *row = q->in + (n * q->h + a) * q->w * c;
    if (a == CGD__OUTSIDE) {
        memset(out, 0, pixels * c * sizeof(float));
        return;
    }
    for (j = 0; j < pixels; j += run, out += run * c) {
        size_t b = cgd__tap_index(j, q->pad, q->w, q->pad_mode), p;
        const float *in = row + b * c, *scale, *shift;
        float *to = out;
        run = j == q->pad ? cgd__min(q->w, pixels - j) : 1;
        if (b == CGD__OUTSIDE) {
            memset(out, 0, c * sizeof(float));
            continue;
        }
        if (!q->scale) {
            memcpy(out, in, run * c * sizeof(float));
            continue;
        }
        scale = q->scale + n * c;
        shift = q->shift + n * c;
        for (p = 0; p < run; p++, in += c, to += c)
            CGD__EACH for (k = 0; k < c; k++) {
                float v = in[k] * scale[k] + shift[k], less = q->slope * v;
                to[k] = v > less ? v : less;
            }
    }
}

/* The positions of a padded line that show sample i: at most three. */
static size_t cgd__mirrors(size_t at[3], size_t i, size_t size, size_t pad,
                           int pad_mode)
{
    size_t count = 0;
    at[count++] = i + pad;
    if (pad_mode != CGD_PAD_REFLECT) return count;
    if (i > 0 && i <= pad) at[count++] = pad - i;
    if (i + 1 < size && size - 1 - i <= pad)
        at[count++] = pad + 2 * (size - 1) - i;
    return count;
}

CGD__LOOP static void cgd__fold_row(void *job, size_t row)
{
    const cgd__fold_job *q = (const cgd__fold_job *)job;
    size_t n = row / q->h, i = row % q->h, j, k, a, b;
    size_t rows[3], cols[3], n_rows, n_cols, pw = q->w + 2 * q->pad;
    const float *map = q->in + n * (q->h + 2 * q->pad) * pw * q->c;
    n_rows = cgd__mirrors(rows, i, q->h, q->pad, q->pad_mode);
    for (j = 0; j < q->w; j++) {
        float *out = q->out + (row * q->w + j) * q->c;
        n_cols = cgd__mirrors(cols, j, q->w, q->pad, q->pad_mode);
        for (k = 0; k < q->c; k++)
            out[k] = (q->accumulate ? out[k] : 0) + (q->bias ? q->bias[k] : 0);
        for (a = 0; a < n_rows; a++)
            for (b = 0; b < n_cols; b++) {
                const float *in = map + (rows[a] * pw + cols[b]) * q->c;
                for (k = 0; k < q->c; k++) out[k] += in[k];
            }
    }
}

/* The margins of a padded map, which an adjoint that reflects made, to where
 * its job wants them. */
static void cgd__fold(cgd_ctx *ctx, const cgd__kernels *k,
                      const cgd__conv *job, const float *map)
{
    const cgd__shape *s = &job->s;
    cgd__fold_job q;
    q.in = map; q.out = job->out; q.bias = job->bias;
    q.h = s->h; q.w = s->w; q.c = s->c;
    q.pad = s->pad; q.pad_mode = s->pad_mode;
    q.accumulate = job->accumulate;
    cgd__for(ctx, s->n * s->h, k->fold, &q);
}

/* ---- normalisation -------------------------------------------------------*/
/* Instance norm (Ulyanov et al. 2016) makes every channel of every picture
 * mean 0 and variance 1 over its own pixels; batch norm (Ioffe & Szegedy
 * 2015) over the pixels of the whole batch:
 *
 *   y = gamma * xhat + beta,   xhat = (x - mean) * rstd,
 *   rstd = 1 / sqrt(var + 1e-5),   var = mean of (x - mean)^2, biased
 *
 * For translation the first is the better one: the contrast of one picture
 * says nothing about another's. Once the statistics are known a norm is a
 * scale and a shift per picture and channel, y = scale * x + shift, which is
 * how it is applied, together with the activation and the residual sum behind
 * it: a norm costs no pass over memory of its own.
 *
 * Backward. Let N pixels share a mean and a variance. x moves y in three ways,
 * by itself, through mean and through var. With g = gamma * dy,
 *
 *   dmean = -rstd sum(g)          (through var: sum(x - mean) = 0)
 *   dvar  = -rstd^3/2 sum(g (x - mean)) = -rstd^2/2 sum(g xhat)
 *   dx    = rstd g + dmean/N + dvar 2 (x - mean)/N
 *         = rstd (g - mean(g) - xhat mean(g xhat))
 *
 * so gradients lose their mean and what points along xhat: no step can move
 * what the norm takes out. Per channel that is a * dy + b * x + d, one pass,
 * after one for the two sums, which are dbeta = sum(dy) and
 * dgamma = sum(dy xhat) as well. Of frozen statistics, which are constants,
 * only rstd g is left. */

#define CGD__NORM_EPS 1e-5

static void cgd__norm_range(const cgd__norm_job *q, size_t slice,
                            size_t *picture, size_t *first, size_t *count)
{
    size_t begin = slice % q->per_picture * q->chunk;
    *picture = slice / q->per_picture;
    *first = *picture * q->pixels + begin;
    *count = cgd__min(q->chunk, q->pixels - begin);
}

/* Pixels in a slice, and slices in a picture. */
static void cgd__norm_slices(cgd__norm_job *q, size_t n, size_t pixels,
                             size_t c)
{
    q->n = n; q->pixels = pixels; q->c = c;
    q->chunk = cgd__max(CGD__BLOCK / c, 1);
    q->per_picture = cgd__ceil_div(pixels, q->chunk);
}

/* Floats of scratch for the partial sums and moments, and for the factors that
 * a norm takes per picture and channel. */
static size_t cgd__norm_scratch(size_t n, size_t pixels, size_t c)
{
    cgd__norm_job q;
    cgd__norm_slices(&q, n, pixels, c);
    return 4 * n * q.per_picture * c + 9 * n * c + 4;
}

static double *cgd__norm_partial(float *scratch, size_t nc)
{
    return (double *)(void *)(scratch + cgd__round_up(5 * nc, 2));
}

/* Add up the partial sums of picture n (or of all) for channel k. */
static void cgd__norm_total(const cgd__norm_job *q, int all, size_t n,
                            size_t k, double total[2])
{
    size_t slice = all ? 0 : n * q->per_picture;
    size_t end = all ? q->n * q->per_picture : slice + q->per_picture;
    total[0] = total[1] = 0;
    for (; slice < end; slice++) {
        total[0] += q->partial[slice * 2 * q->c + k];
        total[1] += q->partial[(slice * 2 + 1) * q->c + k];
    }
}

CGD__LOOP static void cgd__norm_sums_slice(void *job, size_t slice)
{
    const cgd__norm_job *q = (const cgd__norm_job *)job;
    size_t c = q->c, picture, first, count, k;
    double *sum = q->partial + slice * 2 * c, *square = sum + c;
    const float *x;
    cgd__norm_range(q, slice, &picture, &first, &count);
    for (k = 0; k < 2 * c; k++) sum[k] = 0;
    for (x = q->x + first * c; count > 0; count--, x += c)
        for (k = 0; k < c; k++) {
            double v = (double)x[k];
            sum[k] += v;
            square[k] += v * v;
        }
}

/* Mean and mean square deviation of every picture and channel; returns them,
 * (2, n, c), behind the partial sums. */
static const double *cgd__norm_moments(cgd_ctx *ctx, cgd__norm_job *q)
{
    double *moments = q->partial + 2 * q->n * q->per_picture * q->c;
    double count = (double)q->pixels;
    size_t n, k;
    cgd__for(ctx, q->n * q->per_picture, ctx->kernels->norm_sums, q);
    for (n = 0; n < q->n; n++)
        for (k = 0; k < q->c; k++) {
            double total[2], mean, var;
            cgd__norm_total(q, 0, n, k, total);
            mean = total[0] / count;
            var = total[1] / count - mean * mean;
            moments[n * q->c + k] = mean;
            moments[(q->n + n) * q->c + k] = var > 0 ? var : 0;
        }
    return moments;
}

/* Mean and 1/sqrt(var + eps) into stats, of each picture or, for a batch norm,
 * of all; move the running statistics. */
static void cgd__norm_stats(const cgd__norm_job *q, int norm,
                            const double *moments, float *stats,
                            float *running_mean, float *running_var)
{
    size_t pictures = norm == CGD_NORM_BATCH ? q->n : 1, n, i, k;
    double count = (double)q->pixels * (double)pictures;
    for (n = 0; n < q->n; n += pictures)
        for (k = 0; k < q->c; k++) {
            const double *mean_of = moments + n * q->c + k;
            const double *var_of = mean_of + q->n * q->c;
            double mean = 0, var = 0, d, rstd;
            for (i = 0; i < pictures; i++)
                mean += mean_of[i * q->c] / (double)pictures;
            for (i = 0; i < pictures; i++) {
                d = mean_of[i * q->c] - mean;
                var += (var_of[i * q->c] + d * d) / (double)pictures;
            }
            rstd = 1 / cgd__sqrt(var + CGD__NORM_EPS);
            for (i = n; i < n + pictures; i++) {
                stats[i * q->c + k] = (float)mean;
                stats[(q->n + i) * q->c + k] = (float)rstd;
            }
            if (!running_mean || n > 0) continue;
            if (count > 1) var *= count / (count - 1);
            running_mean[k] += 0.1f * ((float)mean - running_mean[k]);
            running_var[k] += 0.1f * ((float)var - running_var[k]);
        }
}

/* Statistics as frozen at training time, in the form of stats. */
static void cgd__norm_running(float *stats, size_t n, size_t c,
                              const float *running_mean,
                              const float *running_var)
{
    size_t i;
    for (i = 0; i < n * c; i++) {
        stats[i] = running_mean[i % c];
        stats[n * c + i] = (float)(1 / cgd__sqrt((double)running_var[i % c]
                                                 + CGD__NORM_EPS));
    }
}

/* The norm as scale and shift per picture and channel. */
static void cgd__norm_factors(const cgd__norm_job *q, const float *gamma,
                              const float *beta, const float *stats,
                              float *scale, float *shift)
{
    size_t n, k, nc = q->n * q->c;
    for (n = 0; n < q->n; n++)
        for (k = 0; k < q->c; k++) {
            size_t i = n * q->c + k;
            scale[i] = stats[nc + i] * (gamma ? gamma[k] : 1);
            shift[i] = (beta ? beta[k] : 0) - stats[i] * scale[i];
        }
}

CGD__LOOP static void cgd__norm_apply_slice(void *job, size_t slice)
{
    const cgd__norm_job *q = (const cgd__norm_job *)job;
    size_t c = q->c, picture, first, count, k;
    const float *x, *skip, *scale, *shift;
    float *out;
    cgd__norm_range(q, slice, &picture, &first, &count);
    scale = q->scale + picture * c;
    shift = q->shift + picture * c;
    x = q->x + first * c;
    out = q->out + first * c;
    skip = q->skip ? q->skip + first * c : NULL;
    for (; count > 0; count--, x += c, out += c) {
        if (q->act == CGD_ACT_RELU)
            CGD__EACH for (k = 0; k < c; k++) {
                float v = x[k] * scale[k] + shift[k];
                out[k] = v > 0 ? v : 0;
            }
        else if (q->act == CGD_ACT_LEAKY)
            CGD__EACH for (k = 0; k < c; k++) {
                float v = x[k] * scale[k] + shift[k];
                out[k] = v > 0 ? v : 0.2f * v;
            }
        else if (skip)
            CGD__EACH for (k = 0; k < c; k++)
                out[k] = x[k] * scale[k] + shift[k] + skip[k];
        else
            CGD__EACH for (k = 0; k < c; k++)
                out[k] = x[k] * scale[k] + shift[k];
        if (q->act == CGD_ACT_TANH)
            CGD__EACH for (k = 0; k < c; k++) out[k] = CGD_TANHF(out[k]);
        if (skip) skip += c;
    }
}

/* y = act(scale * x + shift) [+ skip]; y may be x. */
static void cgd__norm_apply(cgd_ctx *ctx, cgd__norm_job *q, float *y,
                            const float *scale, const float *shift)
{
    q->scale = scale;
    q->shift = shift;
    q->out = y;
    cgd__for(ctx, q->n * q->per_picture, ctx->kernels->norm_apply, q);
}

#ifndef CGD_NO_TRAIN
/* Sums of dy and dy * xhat. Where a ReLU stands behind the norm its mask is
 * made anew from on * x + off, the normalised value: it need not be kept. */
CGD__LOOP static void cgd__norm_back_sums_slice(void *job, size_t slice)
{
    const cgd__norm_job *q = (const cgd__norm_job *)job;
    size_t c = q->c, picture, first, count, k;
    double *sum = q->partial + slice * 2 * c, *dot = sum + c;
    const float *x, *dy, *mean, *rstd, *on, *off;
    float slope = CGD__SLOPE(q->act);
    cgd__norm_range(q, slice, &picture, &first, &count);
    mean = q->stats + picture * c;
    rstd = mean + q->n * c;
    on = q->on + picture * c;
    off = q->off + picture * c;
    x = q->x + first * c;
    dy = q->dy + first * c;
    for (k = 0; k < 2 * c; k++) sum[k] = 0;
    for (; count > 0; count--, x += c, dy += c)
        CGD__EACH for (k = 0; k < c; k++) {
            float d = dy[k] * (x[k] * on[k] + off[k] > 0 ? 1 : slope);
            sum[k] += (double)d;
            dot[k] += (double)(d * ((x[k] - mean[k]) * rstd[k]));
        }
}

CGD__LOOP static void cgd__norm_back_apply_slice(void *job, size_t slice)
{
    const cgd__norm_job *q = (const cgd__norm_job *)job;
    size_t c = q->c, picture, first, count, k;
    const float *x, *dy, *a, *b, *d, *on, *off;
    float *dx;
    float slope = CGD__SLOPE(q->act);
    cgd__norm_range(q, slice, &picture, &first, &count);
    a = q->scale + picture * c;
    b = q->third + picture * c;
    d = q->shift + picture * c;
    on = q->on + picture * c;
    off = q->off + picture * c;
    x = q->x + first * c;
    dy = q->dy + first * c;
    dx = q->out + first * c;
    for (; count > 0; count--, x += c, dy += c, dx += c)
        CGD__EACH for (k = 0; k < c; k++) {
            float past = dy[k] * (x[k] * on[k] + off[k] > 0 ? 1 : slope);
            dx[k] = a[k] * past + b[k] * x[k] + d[k];
        }
}

/* dx = gamma rstd (dy - mean(dy) - xhat mean(dy xhat)), written as
 * a dy + b x + d per channel; the means vanish when statistics are frozen.
 * dgamma += sum(dy xhat), dbeta += sum(dy). dx may be dy. q->act: none, or a
 * (leaky) ReLU behind the norm, dy then being the gradient behind that. */
static void cgd__norm_backward(cgd_ctx *ctx, cgd__norm_job *q, float *dx,
                               int norm, const float *gamma,
                               const float *beta, const float *stats,
                               float *dgamma,
                               float *dbeta, int frozen, float *scratch)
{
    int all = norm == CGD_NORM_BATCH;
    size_t nc = q->n * q->c, n, k;
    double count = (double)q->pixels * (double)(all ? q->n : 1);
    float *a = scratch, *b = scratch + nc, *d = scratch + 2 * nc;
    float *on = scratch + 3 * nc, *off = scratch + 4 * nc;
    cgd__norm_factors(q, gamma, beta, stats, on, off);
    q->on = on; q->off = off;
    q->stats = stats;
    cgd__for(ctx, q->n * q->per_picture, ctx->kernels->norm_back_sums, q);
    for (k = 0; k < q->c; k++)
        for (n = 0; n < q->n; n++) {
            size_t i = n * q->c + k;
            double total[2], mean = (double)stats[i];
            double rstd = (double)stats[nc + i], scale, slope;
            cgd__norm_total(q, all, n, k, total);
            if (!all || n == 0) {
                if (dgamma) dgamma[k] += (float)total[1];
                if (dbeta) dbeta[k] += (float)total[0];
            }
            scale = rstd * (gamma ? (double)gamma[k] : 1);
            slope = frozen ? 0 : -scale * rstd * total[1] / count;
            a[i] = (float)scale;
            b[i] = (float)slope;
            d[i] = (float)(-slope * mean
                           - (frozen ? 0 : scale * total[0] / count));
        }
    q->scale = a; q->third = b; q->shift = d;
    q->out = dx;
    cgd__for(ctx, q->n * q->per_picture, ctx->kernels->norm_back_apply,
             q);
}
#endif

/* ---- activations and sums ------------------------------------------------*/
/* ReLU, y = max(x, 0); leaky ReLU, y = x where x > 0, else x/5; tanh. The
 * slope below zero keeps a discriminator's units alive: with a plain ReLU one
 * that every picture pushes below zero gets no gradient any more and never
 * comes back. tanh ends a generator, whose pixels then lie in [-1, 1].
 *
 * Backward. dx = dy * dy/dx, and that factor follows from y alone: 1 where
 * y > 0, else 0 or 1/5, since y has the sign of x; 1 - y^2 for tanh. So x need
 * not be kept, and y may stand in its place. At 0, where a ReLU has no
 * derivative, we take the lower side's, as PyTorch does. */

CGD__LOOP static void cgd__activate_slice(void *job, size_t block)
{
    const cgd__map_job *q = (const cgd__map_job *)job;
    size_t i = block * CGD__BLOCK, end = cgd__min(i + CGD__BLOCK, q->count);
    const float *x = q->x;
    float *out = q->out;
    switch (q->act) {
    case CGD_ACT_RELU:
        CGD__EACH for (; i < end; i++) out[i] = x[i] > 0 ? x[i] : 0;
        break;
    case CGD_ACT_LEAKY:
        CGD__EACH for (; i < end; i++) out[i] = x[i] > 0 ? x[i] : 0.2f * x[i];
        break;
    case CGD_ACT_TANH:
        CGD__EACH for (; i < end; i++) out[i] = CGD_TANHF(x[i]);
        break;
    default:
        CGD__EACH for (; i < end; i++) out[i] = x[i];
    }
}

static void cgd__activate(cgd_ctx *ctx, float *y, const float *x,
                          size_t count, int act)
{
    cgd__map_job q;
    if (act == CGD_ACT_NONE && x == y) return;
    q.x = x; q.y = NULL; q.out = y; q.count = count; q.act = act;
    q.factor = 1;
    cgd__for(ctx, cgd__ceil_div(count, CGD__BLOCK),
             ctx->kernels->activate, &q);
}

CGD__LOOP static void cgd__add_slice(void *job, size_t block)
{
    const cgd__map_job *q = (const cgd__map_job *)job;
    size_t i = block * CGD__BLOCK, end = cgd__min(i + CGD__BLOCK, q->count);
    CGD__EACH for (; i < end; i++) q->out[i] += q->factor * q->x[i];
}

/* y += factor * x */
static void cgd__add_scaled(cgd_ctx *ctx, float *y, const float *x,
                            size_t count, float factor)
{
    cgd__map_job q;
    q.x = x; q.y = NULL; q.out = y; q.count = count; q.act = 0;
    q.factor = factor;
    cgd__for(ctx, cgd__ceil_div(count, CGD__BLOCK), ctx->kernels->add,
             &q);
}

#ifndef CGD_NO_TRAIN
CGD__LOOP static void cgd__activate_back_slice(void *job, size_t block)
{
    const cgd__map_job *q = (const cgd__map_job *)job;
    size_t i = block * CGD__BLOCK, end = cgd__min(i + CGD__BLOCK, q->count);
    const float *dy = q->x, *y = q->y;
    float *dx = q->out;
    switch (q->act) {
    case CGD_ACT_RELU:
        CGD__EACH for (; i < end; i++) {
            float d = dy[i];
            dx[i] = y[i] > 0 ? d : 0;
        }
        break;
    case CGD_ACT_LEAKY:
        CGD__EACH for (; i < end; i++) {
            float d = dy[i], less = 0.2f * d;
            dx[i] = y[i] > 0 ? d : less;
        }
        break;
    case CGD_ACT_TANH:
        CGD__EACH for (; i < end; i++) dx[i] = dy[i] * (1 - y[i] * y[i]);
        break;
    default:
        CGD__EACH for (; i < end; i++) dx[i] = dy[i];
    }
}

static void cgd__activate_back(cgd_ctx *ctx, float *dx, const float *dy,
                               const float *y, size_t count, int act)
{
    cgd__map_job q;
    if (act == CGD_ACT_NONE && dx == dy) return;
    q.x = dy; q.y = y; q.out = dx; q.count = count; q.act = act;
    q.factor = 1;
    cgd__for(ctx, cgd__ceil_div(count, CGD__BLOCK),
             ctx->kernels->activate_back, &q);
}
#endif

/* ---- upsampling ----------------------------------------------------------*/
/* Twice the height and width, one axis after the other. Nearest repeats every
 * sample. Bilinear takes sample d of the doubled line at (d + 1/2)/2 - 1/2 of
 * the line, so that both cover the same ground (PyTorch's align_corners =
 * False): 3/4 of the nearer and 1/4 of the farther neighbour, the outermost
 * alone at the ends. A convolution behind it makes no checkerboards, which a
 * transposed one has to unlearn (Odena et al. 2016); that can paint strokes of
 * one pixel instead.
 *
 * Both are linear; cgd__up_sources says what a new sample reads, and
 * cgd__up_targets the adjoint, whom a sample feeds: itself at 2i and 2i + 1,
 * and a quarter of itself in their outer neighbours. */

/* The samples of a line of `size` that make sample d of the doubled line. */
static size_t cgd__up_sources(int up, size_t d, size_t size, size_t at[2],
                              float weight[2])
{
    size_t m = d / 2;
    at[0] = m;
    weight[0] = 1;
    if (up == CGD_UP_NEAREST) return 1;
    if (d % 2 ? m + 1 >= size : m == 0) return 1;
    weight[0] = 0.75f;
    at[1] = d % 2 ? m + 1 : m - 1;
    weight[1] = 0.25f;
    return 2;
}

typedef struct cgd__up_job {
    const float *in;
    float *out;
    size_t h, w, c;              /* of the small map                         */
    int up, accumulate;
} cgd__up_job;

CGD__OPTIMIZED static void cgd__up_row(void *job, size_t row)
{
    const cgd__up_job *q = (const cgd__up_job *)job;
    size_t c = q->c, n = row / (2 * q->h), i = row % (2 * q->h), j, k, a, b;
    size_t rows[2], cols[2], n_rows, n_cols;
    float row_weight[2], col_weight[2];
    float *out = q->out + row * 2 * q->w * c;
    n_rows = cgd__up_sources(q->up, i, q->h, rows, row_weight);
    for (j = 0; j < 2 * q->w; j++, out += c) {
        n_cols = cgd__up_sources(q->up, j, q->w, cols, col_weight);
        for (k = 0; k < c; k++) out[k] = 0;
        for (a = 0; a < n_rows; a++)
            for (b = 0; b < n_cols; b++) {
                const float *in = q->in + ((n * q->h + rows[a]) * q->w
                                           + cols[b]) * c;
                float weight = row_weight[a] * col_weight[b];
                for (k = 0; k < c; k++) out[k] += weight * in[k];
            }
    }
}

static void cgd__upsample(cgd_ctx *ctx, float *y, const float *x, size_t n,
                          size_t h, size_t w, size_t c, int up)
{
    cgd__up_job q;
    q.in = x; q.out = y; q.h = h; q.w = w; q.c = c; q.up = up;
    q.accumulate = 0;
    cgd__for(ctx, n * 2 * h, cgd__up_row, &q);
}

#ifndef CGD_NO_TRAIN
/* The samples of the doubled line that sample i of the small one feeds. */
static size_t cgd__up_targets(int up, size_t i, size_t size, size_t at[4],
                              float weight[4])
{
    int soft = up == CGD_UP_BILINEAR;
    size_t count = 2;
    at[0] = 2 * i;
    weight[0] = soft && i > 0 ? 0.75f : 1;
    at[1] = 2 * i + 1;
    weight[1] = soft && i + 1 < size ? 0.75f : 1;
    if (soft && i > 0) { at[count] = 2 * i - 1; weight[count++] = 0.25f; }
    if (soft && i + 1 < size) {
        at[count] = 2 * i + 2;
        weight[count++] = 0.25f;
    }
    return count;
}

CGD__OPTIMIZED static void cgd__up_back_row(void *job, size_t row)
{
    const cgd__up_job *q = (const cgd__up_job *)job;
    size_t c = q->c, n = row / q->h, i = row % q->h, j, k, a, b;
    size_t rows[4], cols[4], n_rows, n_cols;
    float row_weight[4], col_weight[4];
    float *out = q->out + row * q->w * c;
    n_rows = cgd__up_targets(q->up, i, q->h, rows, row_weight);
    for (j = 0; j < q->w; j++, out += c) {
        n_cols = cgd__up_targets(q->up, j, q->w, cols, col_weight);
        if (!q->accumulate) for (k = 0; k < c; k++) out[k] = 0;
        for (a = 0; a < n_rows; a++)
            for (b = 0; b < n_cols; b++) {
                const float *in = q->in + ((n * 2 * q->h + rows[a]) * 2 * q->w
                                           + cols[b]) * c;
                float weight = row_weight[a] * col_weight[b];
                for (k = 0; k < c; k++) out[k] += weight * in[k];
            }
    }
}

static void cgd__upsample_back(cgd_ctx *ctx, float *dx, const float *dy,
                               size_t n, size_t h, size_t w, size_t c, int up,
                               int accumulate)
{
    cgd__up_job q;
    q.in = dy; q.out = dx; q.h = h; q.w = w; q.c = c; q.up = up;
    q.accumulate = accumulate;
    cgd__for(ctx, n * h, cgd__up_back_row, &q);
}
#endif /* CGD_NO_TRAIN */

/* ======================================================================== */
/* [impl:nets] Nets                                                         */
/* ======================================================================== */
/* A net is a list of layers over one flat vector of values:
 *
 *   params  | w b | w gamma beta | w b | ...      | mean var | ...
 *           layer 0   layer 1     layer 2           running statistics
 *   grads   | . . | .   .    .   | . . | ...      |
 *
 * What treats all parameters alike, Adam, the average of weights, copying, is
 * then a loop over an array that knows nothing of layers; and since layers are
 * data, another architecture is another list, and no code. The running
 * statistics of batch norms are measured, not learnt by descent: they stand
 * behind the rest, where Adam does not reach.
 *
 * A layer is upsample, convolve, normalise, activate, add, in this order and
 * each but the convolution optional, because that is how they come in every
 * net of this library, and because a kernel can do the four small ones on the
 * way. Calls [impl:base], [impl:tensor]; the engine to pack weights. */

/* Number of weights of a layer, in either order of its channels. */
static size_t cgd__layer_weights(const cgd_layer *l)
{
    size_t k2 = l->window.kernel * l->window.kernel;
    return l->kind >= CGD_DEPTHWISE ? k2 * l->in_c : k2 * l->in_c * l->out_c;
}

/* Does a norm have parameters, gamma and beta? */
static int cgd__norm_affine(int norm)
{
    return norm == CGD_NORM_INSTANCE_AFFINE || norm == CGD_NORM_BATCH;
}

/* Do two layers hold the same parameters? */
static int cgd__same_layer(const cgd_layer *a, const cgd_layer *b)
{
    return a->kind == b->kind && a->in_c == b->in_c && a->out_c == b->out_c
        && a->norm == b->norm && a->window.kernel == b->window.kernel;
}

/* What cgd_net_init checks of one layer; NULL, or what is wrong. */
static const char *cgd__layer_flaw(const cgd_layer *layers, size_t i)
{
    const cgd_layer *l = layers + i;
    size_t count;
    if (l->kind < CGD_CONV || l->kind > CGD_BLUR) return "kind";
    if (l->up < CGD_UP_NONE || l->up > CGD_UP_BILINEAR) return "upsampling";
    if (l->norm < CGD_NORM_NONE || l->norm > CGD_NORM_BATCH) return "norm";
    if (l->act < CGD_ACT_NONE || l->act > CGD_ACT_TANH) return "activation";
    if (l->in_c < 1 || l->out_c < 1 || l->in_c > 65536 || l->out_c > 65536)
        return "number of channels";
    if (i > 0 && l->in_c != layers[i - 1].out_c)
        return "number of input channels";
    if (l->kind >= CGD_DEPTHWISE && l->in_c != l->out_c)
        return "number of channels (depthwise: as many out as in)";
    if (l->window.kernel < 1 || l->window.kernel > 16
        || l->window.stride < 1 || l->window.stride > 16
        || l->window.pad >= l->window.kernel)
        return "window";
    if (!cgd__mul(&count, l->in_c * 256, l->out_c)) return "size";
    if (l->skip > 0 && (l->skip > i || l->act != CGD_ACT_NONE
                        || layers[i - l->skip].out_c != l->out_c))
        return "residual sum";
    return NULL;
}

/* Lay the parameters out: per layer weights, then gamma and beta or, where no
 * norm follows that would take it out again, a bias; the running statistics
 * after all of them. */
static void cgd__net_layout(cgd_net *net)
{
    size_t i, at = 0;
    for (i = 0; i < net->n_layers; i++) {
        cgd_layer *l = net->layers + i;
        l->w = at;
        at += cgd__layer_weights(l);
        l->b = at;
        if (l->norm == CGD_NORM_NONE) at += l->out_c;
        l->gamma = at;
        if (cgd__norm_affine(l->norm)) at += l->out_c;
        l->beta = at;
        if (cgd__norm_affine(l->norm)) at += l->out_c;
    }
    net->count = at;
    for (i = 0; i < net->n_layers; i++) {
        cgd_layer *l = net->layers + i;
        l->mean = at;
        if (l->norm == CGD_NORM_BATCH) at += l->out_c;
        l->var = at;
        if (l->norm == CGD_NORM_BATCH) at += l->out_c;
    }
    net->state = at;
}

/* Give every blur its filter: a row of Pascal's triangle, down and across. */
static void cgd__fill_blurs(cgd_net *net)
{
    size_t i, k, c, a, b;
    for (i = 0; i < net->n_layers; i++) {
        const cgd_layer *l = net->layers + i;
        float row[16];
        k = l->window.kernel;
        row[0] = 1 / (float)(1UL << (k - 1));
        for (a = 1; a < k; a++) row[a] = row[a - 1] * (float)(k - a) / (float)a;
        for (a = 0; l->kind == CGD_BLUR && a < k; a++)
            for (b = 0; b < k; b++)
                for (c = 0; c < l->out_c; c++)
                    net->params[l->w + (a * k + b) * l->out_c + c]
                        = row[a] * row[b];
    }
}

CGDDEF cgd_status cgd_net_init(cgd_ctx *ctx, cgd_net *net,
                               const cgd_layer *layers, size_t n_layers)
{
    size_t i;
    memset(net, 0, sizeof *net);
    if (n_layers < 1)
        return cgd__fail(ctx, CGD_ERR_ARGUMENT, "a net needs a layer");
    for (i = 0; i < n_layers; i++) {
        const char *flaw = cgd__layer_flaw(layers, i);
        if (flaw)
            return cgd__fail(ctx, CGD_ERR_ARGUMENT,
                             "layer %u (%s) has an impossible %s", i,
                             layers[i].name, flaw);
    }
    net->ctx = ctx;
    net->n_layers = n_layers;
    net->image_stats = 1;
    net->layers = (cgd_layer *)cgd__alloc_zeroed(ctx, n_layers,
                                                 sizeof *layers, "a net");
    if (!net->layers) return CGD_ERR_MEMORY;
    memcpy(net->layers, layers, n_layers * sizeof *layers);
    cgd__net_layout(net);
    net->params = (float *)cgd__alloc_zeroed(ctx, net->state, sizeof(float),
                                             "the parameters of a net");
    if (!net->params) {
        cgd_net_free(net);
        return CGD_ERR_MEMORY;
    }
    cgd__fill_blurs(net);
    return CGD_OK;
}

/* Nothing is written where the net's parameters are constants. */
static cgd_status cgd__net_writable(const cgd_net *net)
{
    if (!net->constant) return CGD_OK;
    return cgd__fail(net->ctx, CGD_ERR_ARGUMENT,
                     "a model in constants cannot be changed");
}

CGDDEF cgd_status cgd_net_with_grads(cgd_net *net)
{
    cgd_status status = cgd__net_writable(net);
    if (status != CGD_OK || net->grads) return status;
    net->grads = (float *)cgd__alloc_zeroed(net->ctx, net->count,
                                            sizeof(float), "a gradient");
    return net->grads ? CGD_OK : CGD_ERR_MEMORY;
}

static void cgd__net_unpack(cgd_net *net)
{
    if (net->packs)
        cgd__free(net->ctx, net->packs, net->pack_floats * sizeof(float));
    net->packs = NULL;
}

CGDDEF cgd_status cgd_net_copy(cgd_net *to, const cgd_net *from)
{
    size_t i;
    int same = to->n_layers == from->n_layers && to->state == from->state;
    cgd_status status = cgd__net_writable(to);
    if (status != CGD_OK) return status;
    for (i = 0; same && i < to->n_layers; i++)
        same = cgd__same_layer(to->layers + i, from->layers + i);
    if (!same)
        return cgd__fail(to->ctx, CGD_ERR_SHAPE,
                         "nets of different layers cannot be copied");
    cgd__net_unpack(to);
    memcpy(to->params, from->params, to->state * sizeof(float));
    return CGD_OK;
}

CGDDEF void cgd_net_free(cgd_net *net)
{
    cgd__net_unpack(net);
    if (net->grads)
        cgd__free(net->ctx, net->grads, net->count * sizeof(float));
    if (net->params && !net->constant)
        cgd__free(net->ctx, net->params, net->state * sizeof(float));
    if (net->layers && !net->constant)
        cgd__free(net->ctx, net->layers, net->n_layers * sizeof(cgd_layer));
    memset(net, 0, sizeof *net);
}

/* ---- shapes --------------------------------------------------------------*/
/* A window of K pixels that moves in strides of s over H pixels with p more at
 * either end finds (H + 2p - K)/s + 1 places, rounded down. A transposed
 * convolution goes the other way, from places to pixels, and several H have
 * the same number of places: here it is always s times its input, which is
 * PyTorch's output_padding = 1 for the 3x3 windows of stride 2. */

/* The shape of layer l on an input of h by w (before its upsampling): the big
 * map is the input of a convolution and the output of a transposed one. */
static int cgd__layer_shape(const cgd_layer *l, size_t n, size_t h, size_t w,
                            cgd__shape *s)
{
    size_t scale = l->up ? 2 : 1;
    if (l->kind == CGD_DECONV) {
        if (!cgd__mul(&h, h, l->window.stride * scale)
            || !cgd__mul(&w, w, l->window.stride * scale)) return 0;
        return cgd__shape_from(s, n, h, w, l->out_c, l->in_c, &l->window)
            && s->oh * l->window.stride == h && s->ow * l->window.stride == w;
    }
    if (!cgd__mul(&h, h, scale) || !cgd__mul(&w, w, scale)) return 0;
    return cgd__shape_from(s, n, h, w, l->in_c,
                           l->kind >= CGD_DEPTHWISE ? l->in_c : l->out_c,
                           &l->window);
}

static void cgd__layer_out(const cgd_layer *l, const cgd__shape *s, size_t *h,
                           size_t *w)
{
    *h = l->kind == CGD_DECONV ? s->h : s->oh;
    *w = l->kind == CGD_DECONV ? s->w : s->ow;
}

/* ---- packed weights ------------------------------------------------------*/
/* Kernels read weights in another order than files and formulas have them, and
 * Winograd's are not even the same numbers. Putting them in order costs a walk
 * over the weights: nothing beside a large map, most of the time beside a
 * small one. A net that does not learn can keep them so. */

#define CGD__NOWHERE ((size_t)-1)      /* where what is not stored lies      */

/* What layer l's weights take when packed for these kernels: 0 if they gain
 * nothing by it. The map's size does not matter unless it is tiny. */
static size_t cgd__layer_pack_size(const cgd__kernels *k, const cgd_layer *l,
                                   cgd__shape *s)
{
    if (l->kind >= CGD_DEPTHWISE || !cgd__layer_shape(l, 1, 64, 64, s))
        return 0;
    return cgd__round_up(cgd__pack_size(k, s, l->kind == CGD_DECONV
                                       ? CGD__ADJOINT : CGD__FORWARD), 16);
}

CGDDEF cgd_status cgd_net_pack(cgd_net *net, size_t max_bytes)
{
    const cgd__kernels *k = net->ctx->kernels;
    size_t i, size, floats = 0;
    cgd__shape s;
    cgd_status status = cgd__net_writable(net);
    if (status != CGD_OK) return status;
    cgd__net_unpack(net);
    for (i = 0; i < net->n_layers; i++) {
        cgd_layer *l = net->layers + i;
        size = cgd__layer_pack_size(k, l, &s);
        l->pack = CGD__NOWHERE;
        if (size == 0 || size > max_bytes / sizeof(float) - floats) continue;
        l->pack = floats;
        floats += size;
    }
    if (floats == 0) return CGD_OK;
    net->packs = (float *)cgd__alloc(net->ctx, floats * sizeof(float));
    if (!net->packs)
        return cgd__fail(net->ctx, CGD_ERR_MEMORY,
            "out of memory: packed weights need %u bytes",
            floats * sizeof(float));
    net->pack_floats = floats;
    net->pack_kernels = k;
    for (i = 0; i < net->n_layers; i++) {
        const cgd_layer *l = net->layers + i;
        if (l->pack == CGD__NOWHERE) continue;
        cgd__layer_pack_size(k, l, &s);
        cgd__pack(net->ctx, k, &s, l->kind == CGD_DECONV ? CGD__ADJOINT
                                                         : CGD__FORWARD,
                  net->params + l->w, net->packs + l->pack);
    }
    return CGD_OK;
}

static cgd_status cgd__too_small(cgd_ctx *ctx, size_t i, const cgd_layer *l,
                                 size_t h, size_t w)
{
    return cgd__fail(ctx, CGD_ERR_SHAPE,
        "the picture is too small: layer %u (%s) cannot work on %u x %u "
        "pixels", i, l->name, h, w);
}

static cgd_status cgd__too_large(cgd_ctx *ctx, size_t n, size_t h, size_t w)
{
    return cgd__fail(ctx, CGD_ERR_SHAPE,
        "the picture is too large: maps of %u x %u x %u pixels do not fit "
        "this machine's memory", n, h, w);
}

CGDDEF cgd_status cgd_net_out_size(const cgd_net *net, size_t h, size_t w,
                                   size_t *out_h, size_t *out_w)
{
    size_t i;
    for (i = 0; i < net->n_layers; i++) {
        cgd__shape s;
        if (!cgd__layer_shape(net->layers + i, 1, h, w, &s))
            return cgd__too_small(net->ctx, i, net->layers + i, h, w);
        cgd__layer_out(net->layers + i, &s, &h, &w);
    }
    *out_h = h;
    *out_w = w;
    return CGD_OK;
}

/* Every weight is multiplied once at every place of its window's. */
CGDDEF cgd_cost cgd_net_cost(const cgd_net *net, size_t h, size_t w)
{
    cgd_cost cost;
    size_t i;
    memset(&cost, 0, sizeof cost);
    cost.params = cost.params_official = net->count;
    for (i = 0; i < net->n_layers; i++) {
        const cgd_layer *l = net->layers + i;
        cgd__shape s;
        double macs;
        if (l->norm == CGD_NORM_INSTANCE || l->norm == CGD_NORM_INSTANCE_AFFINE)
            cost.params_official += l->out_c;
        if (l->kind == CGD_BLUR) {
            cost.params -= l->gamma - l->w;
            cost.params_official -= l->gamma - l->w;
        }
        if (!cgd__layer_shape(l, 1, h, w, &s)) continue;
        macs = (double)s.oh * (double)s.ow * (double)cgd__layer_weights(l);
        cost.macs += macs;
        cost.macs_papers += l->kind == CGD_DECONV
            ? macs * (double)(s.stride * s.stride) : macs;
        cgd__layer_out(l, &s, &h, &w);
    }
    return cost;
}

/* ---- initialisation ------------------------------------------------------*/
/* An output is a sum of fan_in products. With weights of variance v and
 * independent inputs of mean square q its variance is fan_in v q, so that
 * signals neither vanish nor explode over many layers if v = 1 / fan_in, and
 * gradients, which go the other way, if v = 1 / fan_out:
 *
 *   Kaiming  v = 2 / fan_in: a ReLU before takes half of q (He et al. 2015)
 *   Xavier   v = 2 / (fan_in + fan_out), a compromise (Glorot & Bengio 2010),
 *            as CycleGAN's code has it times 0.02^2
 *   PyTorch  uniform within 1 / sqrt(fan_in): v = 1 / (3 fan_in)
 *   normal   v = 0.02^2 for all, as CycleGAN (after DCGAN, Radford et al.
 *            2016): the norms behind take out what is wrong with it */

/* PyTorch's fans of a weight: values that feed one output, and the reverse.
 * It reads a transposed convolution's fan_in from the output side. */
static void cgd__layer_fans(const cgd_layer *l, double *fan_in,
                            double *fan_out)
{
    double k2 = (double)(l->window.kernel * l->window.kernel);
    double in = k2 * (double)l->in_c, out = k2 * (double)l->out_c;
    *fan_in = l->kind == CGD_CONV ? in : l->kind == CGD_DECONV ? out : k2;
    *fan_out = l->kind == CGD_DECONV ? in : out;
}

CGDDEF void cgd_net_init_weights(cgd_net *net, int init, cgd_rng *rng)
{
    size_t i, k;
    if (cgd__net_writable(net) != CGD_OK) return;
    cgd__net_unpack(net);
    memset(net->params, 0, net->state * sizeof(float));
    for (i = 0; i < net->n_layers; i++) {
        const cgd_layer *l = net->layers + i;
        double in, out, deviation, bound;
        if (l->kind == CGD_BLUR) continue;
        cgd__layer_fans(l, &in, &out);
        deviation = init == CGD_INIT_XAVIER
            ? 0.02 * cgd__sqrt(2 / (in + out))
            : init == CGD_INIT_KAIMING ? cgd__sqrt(2 / in) : 0.02;
        bound = init == CGD_INIT_PYTORCH ? 1 / cgd__sqrt(in) : 0;
        for (k = l->w; k < l->b; k++)
            net->params[k] = (float)(bound > 0
                ? bound * (2 * cgd_rng_uniform(rng) - 1)
                : deviation * cgd_rng_normal(rng));
        for (k = l->b; k < l->gamma; k++)
            net->params[k] = (float)(bound * (2 * cgd_rng_uniform(rng) - 1));
        for (k = l->gamma; k < l->beta; k++)
            net->params[k] = init == CGD_INIT_PYTORCH ? 1
                : (float)(1 + 0.02 * cgd_rng_normal(rng));
        if (l->norm == CGD_NORM_BATCH)
            for (k = 0; k < l->out_c; k++) net->params[l->var + k] = 1;
    }
    cgd__fill_blurs(net);
}

/* ======================================================================== */
/* [impl:passes] Passes and their plans                                     */
/* ======================================================================== */
/* Applies a net to a batch, forward and backward, and plans where its maps
 * lie. Calls [impl:ops], [impl:backward] and the kernels.
 *
 * Backward is the chain rule, read from its end. With x_0 the picture and
 * x_{i+1} = f_i(x_i, w_i), a loss depends on layer i through x_{i+1} alone:
 *
 *   dL/dx_i = (df_i/dx_i)' dL/dx_{i+1},     dL/dw_i = (df_i/dw_i)' dL/dx_{i+1}
 *
 * One walk from the last layer to the first that carries dL/dx finds the
 * gradients of all weights, for about the price of two walks forward. What it
 * costs is memory: df_i/dw_i of a convolution is made of x_i, and that of a
 * norm of the map that it normalised, which forward has seen long before.
 *
 * Time. A plan counts in turns: layer i takes turn i forward and 2L-1-i
 * backward, of L layers. Every tensor has a first and a last turn, and two may
 * share memory when these do not meet. Inference and training have one list of
 * tensors and differ only in how long each is wanted. With three layers of
 * which the middle one has a norm, a training pass wants among others
 *
 *   turn         0   1   2   3   4   5
 *   layer        0   1   2   2   1   0
 *   out of 0     |---------------|       read by 1, and for dw of 1
 *   raw of 1         |-----------|       read by the norm, and for its gradient
 *   out of 1         |---|   |           read by 2; made again for dw of 2
 *   d of out 1               |---|       written by 2, used up by 1
 *   d of out 0                   |---|
 *
 * What backward keeps. A norm and its activation cost a hundredth of the
 * convolution before them. So raw maps (what a convolution wrote) and residual
 * sums are kept; an output that a norm made of a raw map, and a map that was
 * upsampled, are made again when backward comes to the layer that read them:
 * half of the memory. Inputs serve the gradients of weights only: a pass that
 * wants none does not keep them.
 *
 * What a norm costs. Its statistics are taken by the convolution before, while
 * it writes; its scale and shift are applied by the one behind, while it
 * reads, where the kernels can do both: no pass over memory of its own.
 *
 * Recomputing. CGD_RECOMPUTE cuts the net into segments and keeps the maps
 * between these alone; backward runs a segment forward again before it goes
 * back through it (Chen et al. 2016). The plan then has two slots a layer, of
 * the first run and of the second, and time ends at turn 3L-1. Statistics are
 * kept, not taken twice: a running mean may not move twice. */

enum { CGD__UPPED,               /* the input, upsampled                     */
       CGD__RAW,                 /* what the convolution wrote               */
       CGD__OUT,                 /* what the next layer reads                */
       CGD__STATS,               /* mean, 1/deviation, scale, shift          */
       CGD__MOMENTS,             /* sums that a kernel takes while it writes */
       CGD__WORK,                /* scratch forward                          */
       CGD__D_OUT,               /* the loss's gradient of OUT               */
       CGD__OUT_AGAIN, CGD__UPPED_AGAIN,         /* made again for backward  */
       CGD__D_UPPED,             /* the gradient of UPPED                    */
       CGD__WORK_BACK,           /* scratch backward                         */
       CGD__TENSORS };

/* What a plan knows of one layer. */
typedef struct cgd__slot {
    size_t layer;                      /* its index in the net               */
    cgd__shape shape;
    size_t in_h, in_w, h, w;           /* before upsampling; of the output   */
    size_t at[CGD__TENSORS];           /* offsets in the memory, or NOWHERE  */
    size_t work, work_back;            /* floats of WORK and WORK_BACK       */
    size_t last_reader;                /* greatest layer that reads OUT      */
    size_t from;                       /* the first layer of its segment     */
    size_t run, back;                  /* its turns                          */
    int again;                         /* this is the second run             */
    int kept;                          /* OUT outlives forward               */
    int stays_raw;                     /* its reader normalises what it reads */
    const float *pull;                 /* a loss's own gradient of OUT       */
} cgd__slot;

/* When a tensor is wanted, and where it is put. */
typedef struct cgd__span { size_t size, first, last, at; } cgd__span;

/* A tensor of that many floats, from one turn to another, both included. */
static void cgd__want(cgd__span *t, size_t size, size_t first, size_t last)
{
    t->size = cgd__round_up(size, CGD__ALIGN / sizeof(float));
    t->first = first;
    t->last = last;
}

/* ---- placing -------------------------------------------------------------*/
/* Which tensors share memory is a packing of rectangles, size by time, whose
 * best answer is out of reach; greedy by size comes within a few per cent.
 * First those that outlive forward, so that they lie together at the bottom
 * (the rest is lent to other passes until backward), and the largest of either
 * kind first, each as low as the others allow. */

/* Does a tensor outlive forward, which ends before the turn `middle`? */
static int cgd__outlives(const cgd__span *t, size_t middle)
{
    return t->first < middle && t->last >= middle;
}

/* Is a placed before b? */
static int cgd__before(const cgd__span *a, const cgd__span *b, size_t middle)
{
    int a_held = cgd__outlives(a, middle), b_held = cgd__outlives(b, middle);
    return a_held != b_held ? a_held : a->size > b->size;
}

/* Offsets for all tensors; returns the floats they need in all, or 0 if that
 * is more than there can be. *held: those of tensors that outlive forward.
 * placed is room for `count` pointers. */
static size_t cgd__place(cgd__span *t, size_t count, size_t middle,
                         cgd__span **placed, size_t *held)
{
    size_t n, i, k, total = 0;
    *held = 0;
    for (n = 0; n < count; n++) {
        /* The one to be placed next, and the lowest gap that is free in all
         * of its turns: those who live at the same time are walked through
         * from the bottom up. */
        cgd__span *best = NULL;
        size_t at = 0;
        for (i = 0; i < count; i++)
            if (t[i].at == CGD__NOWHERE && t[i].size > 0
                && (!best || cgd__before(t + i, best, middle))) best = t + i;
        if (!best) break;
        for (i = 0; i < n; i++)        /* placed[] is sorted by offset       */
            if (placed[i]->first <= best->last
                && best->first <= placed[i]->last) {
                if (at + best->size <= placed[i]->at) break;
                at = cgd__max(at, placed[i]->at + placed[i]->size);
            }
        if (at + best->size > (size_t)-1 / 8) return 0;
        best->at = at;
        total = cgd__max(total, at + best->size);
        if (cgd__outlives(best, middle))
            *held = cgd__max(*held, at + best->size);
        for (k = n; k > 0 && placed[k - 1]->at > at; k--)
            placed[k] = placed[k - 1];
        placed[k] = best;
    }
    return total;
}

/* ---- segments ------------------------------------------------------------*/
#ifndef CGD_NO_TRAIN

/* Cut the net into segments that keep about `most` floats each; a cut keeps
 * one map, and falls where nothing later reads what is before it. Returns
 * what two passes at once then need, of which one is at work. */
static size_t cgd__cut(const cgd_pass *p, size_t most)
{
    size_t i, from = 0, read = 0, maps = 0, cuts = 0, largest = 0;
    for (i = 0; i < p->net->n_layers; i++) {
        const cgd_layer *l = p->net->layers + i;
        cgd__slot *s = p->slots + i;
        size_t out = p->n * s->h * s->w * l->out_c;
        s->from = from;
        maps += l->norm && l->skip ? 2 * out : out;
        largest = cgd__max(largest, maps);
        if (read <= i && (maps >= most || s->kept)) {
            from = i + 1;
            cuts += out;
            maps = 0;
        }
        read = cgd__max(read, s->last_reader);
    }
    return 2 * cuts + largest;
}

/* Cut it so that least memory is needed; keep the maps between, and give the
 * layers their second slots and the turns of both. */
static void cgd__plan_segments(const cgd_pass *p)
{
    size_t end = p->net->n_layers, now = end, k, i, from;
    size_t least = cgd__cut(p, (size_t)-1), whole = least, most = whole;
    cgd__slot *slots = p->slots, *again = slots + end;
    for (k = 2; k <= end; k++) {
        size_t need = cgd__cut(p, whole / k);
        if (need >= least) continue;
        least = need;
        most = whole / k;
    }
    cgd__cut(p, most);
    for (i = 1; i < end; i++)
        if (slots[i].from == i) slots[i - 1].kept = 1;
    memcpy(again, slots, end * sizeof *slots);
    for (; end > 0; end = from) {
        from = slots[end - 1].from;
        for (i = from; i < end; i++) again[i].run = now++;
        for (i = end; i-- > from; ) slots[i].back = again[i].back = now++;
    }
    for (i = 0; i < p->net->n_layers; i++) again[i].again = 1;
}
#endif

/* ---- the plan ------------------------------------------------------------*/

/* Can no size that the plan computes for this layer overflow? The largest are
 * its padded maps, packed into panels, and its sums and weights. */
static int cgd__layer_fits(const cgd__shape *s)
{
    double maps = (double)s->n * (double)(s->h + 2 * s->pad)
                * (double)(s->w + 2 * s->pad)
                * (double)(cgd__max(s->c, s->o) + CGD__PANEL);
    double weights = (double)(s->kernel * s->kernel)
                   * (double)(s->c + CGD__PANEL) * (double)(s->o + CGD__PANEL);
    return (maps + weights) * 4 * sizeof(float) < (double)((size_t)-1 / 2);
}

/* Shapes of all layers; a sentence if the picture is too small. */
static cgd_status cgd__plan_shapes(const cgd_pass *p)
{
    cgd_ctx *ctx = p->net->ctx;
    size_t i, h = p->h, w = p->w;
    for (i = 0; i < p->net->n_layers; i++) {
        const cgd_layer *l = p->net->layers + i;
        cgd__slot *s = p->slots + i;
        s->layer = i;
        s->in_h = h;
        s->in_w = w;
        if (!cgd__layer_shape(l, p->n, h, w, &s->shape))
            return cgd__too_small(ctx, i, l, h, w);
        if (!cgd__layer_fits(&s->shape))
            return cgd__too_large(ctx, p->n, h, w);
        cgd__layer_out(l, &s->shape, &h, &w);
        s->h = h;
        s->w = w;
        s->last_reader = i + 1;
        s->run = i;
        s->back = 2 * p->net->n_layers - 1 - i;
        if (l->skip) {
            cgd__slot *source = s - l->skip;
            source->last_reader = i;
            if (source->h != h || source->w != w)
                return cgd__fail(ctx, CGD_ERR_SHAPE,
                    "layer %u (%s) cannot add maps of different sizes", i,
                    l->name);
        }
        if (p->mode != CGD_INFER && h * w == 1 && l->norm
            && (p->n == 1 || l->norm != CGD_NORM_BATCH))
            return cgd__fail(ctx, CGD_ERR_SHAPE,
                "the picture is too small: layer %u (%s) would normalise a "
                "single pixel", i, l->name);
    }
    return CGD_OK;
}

/* Is the layer the only reader's only source? Sums take part in neither of
 * the two economies below, since a later layer reads them once more. */
static int cgd__one_reader(const cgd_pass *p, const cgd__slot *s)
{
    const cgd_layer *l = p->net->layers + s->layer;
    return l->norm && !l->skip && s->layer + 1 < p->net->n_layers
        && s->last_reader == s->layer + 1;
}

/* Can the next layer's kernel read this layer's raw map? */
static int cgd__stays_raw(const cgd_pass *p, const cgd__slot *s)
{
    const cgd_layer *l = p->net->layers + s->layer;
    return !s->kept && cgd__one_reader(p, s) && l->act != CGD_ACT_TANH
        && l[1].kind < CGD_DEPTHWISE && !l[1].up && l[1].skip != 1
        && (cgd__conv_extras(p->kernels, &s[1].shape,
                             l[1].kind == CGD_DECONV ? CGD__ADJOINT
                                                     : CGD__FORWARD)
            & CGD__READS_RAW);
}

/* Floats of scratch for a layer, forward or backward. */
static size_t cgd__layer_work(const cgd_pass *p, const cgd__slot *s, int back)
{
    cgd_ctx *ctx = p->net->ctx;
    const cgd_layer *l = p->net->layers + s->layer;
    int adjoint = (l->kind == CGD_DECONV) != back;
    size_t work = l->norm ? cgd__norm_scratch(p->n, s->h * s->w, l->out_c) : 0;
    size_t bytes;
    if (l->kind >= CGD_DEPTHWISE) return work;
    bytes = cgd__conv_bytes(ctx, p->kernels, &s->shape,
                            adjoint ? CGD__ADJOINT : CGD__FORWARD,
                            l->norm && !back);
    if (back && p->learns)
        bytes = cgd__max(bytes, cgd__conv_bytes(ctx, p->kernels, &s->shape,
                                                CGD__WEIGHTS, 0));
    return cgd__max(work, cgd__ceil_div(bytes, sizeof(float)));
}

/* Which tensors a layer wants, and from which turn to which. */
static void cgd__plan_layer(const cgd_pass *p, const cgd__slot *s,
                            cgd__span *t)
{
    const cgd_layer *l = p->net->layers + s->layer;
    const cgd__slot *first = s - s->layer, *reader = first + s->last_reader;
    size_t run = s->run, back = s->back, last = first->back;
    size_t pixels = s->h * s->w, out = p->n * pixels * l->out_c;
    size_t upped = p->n * 4 * s->in_h * s->in_w * l->in_c;
    int train = s->again || (p->mode != CGD_INFER && p->mode != CGD_RECOMPUTE);
    /* Does its own backward look at OUT, for an activation's slope? */
    int own = l->act == CGD_ACT_TANH || (!l->norm && l->act);
    int remade = train && !s->kept && cgd__one_reader(p, s);
    int there = s->again && s->kept;   /* since the first run                */
    /* Who needs OUT last? Forward, its last reader. Backward, the layer behind,
     * for the gradient of its weights, or this one, for its activation's
     * slope; a kept output, whoever asked for it. */
    if (s->layer + 1 < p->net->n_layers) {
        size_t need = own ? back : s[1].back;
        last = s->kept || (train && !remade && (own || p->learns)) ? need
             : reader->run;
        if (remade && (own || p->learns))
            cgd__want(t + CGD__OUT_AGAIN, out, s[1].back, need);
        if (train) cgd__want(t + CGD__D_OUT, out, reader->back, back);
    }
    /* What stays raw is never written as an output; at inference the raw map
     * itself is OUT, since nothing else is kept of it. */
    if (!there && !(train && s->stays_raw))
        cgd__want(t + CGD__OUT, out, run, last);
    if (l->norm && train) cgd__want(t + CGD__RAW, out, run, back);
    /* Statistics live on to the reader's turn, which applies them, or to the
     * norm's own gradient. */
    if (l->norm && !s->again) {
        cgd__want(t + CGD__STATS, 4 * p->n * l->out_c, run,
                  p->mode == CGD_INFER ? run + 1 : back);
        cgd__want(t + CGD__MOMENTS, 4 * p->n * l->out_c, run, run);
    }
    if (!there || l->norm) {           /* the convolution is run             */
        if (l->up) cgd__want(t + CGD__UPPED, upped, run, run);
        cgd__want(t + CGD__WORK, cgd__layer_work(p, s, 0), run, run);
    }
    if (!train) return;
    if (l->up) {
        cgd__want(t + CGD__UPPED_AGAIN, upped, back, back);
        cgd__want(t + CGD__D_UPPED, upped, back, back);
    }
    cgd__want(t + CGD__WORK_BACK, cgd__layer_work(p, s, 1), back, back);
}

/* One slot a layer, or two where segments are run again. */
static size_t cgd__slot_count(const cgd_pass *p)
{
    return p->net->n_layers * (p->mode == CGD_RECOMPUTE ? 2 : 1);
}

/* Bytes of a block that holds so many floats, wherever it begins. */
static size_t cgd__block_bytes(size_t floats)
{
    return floats * sizeof(float) + CGD__ALIGN;
}

/* Plan and place all tensors of a pass whose shapes are known; spans are
 * cleared, with room for as many pointers behind them. */
static cgd_status cgd__plan_tensors(cgd_pass *p, cgd__span *spans)
{
    size_t layers = p->net->n_layers, count = cgd__slot_count(p), i, k;
    size_t all = count * CGD__TENSORS, floats, held;
#ifndef CGD_NO_TRAIN
    if (p->mode == CGD_RECOMPUTE) cgd__plan_segments(p);
#endif
    for (i = 0; i < count; i++)
        p->slots[i].stays_raw = cgd__stays_raw(p, p->slots + i);
    for (i = 0; i < all; i++) spans[i].at = CGD__NOWHERE;
    for (i = 0; i < count; i++)
        cgd__plan_layer(p, p->slots + i, spans + i * CGD__TENSORS);
    floats = cgd__place(spans, all, layers,
                        (cgd__span **)(void *)(spans + all), &held);
    if (floats == 0) return cgd__too_large(p->net->ctx, p->n, p->h, p->w);
    p->bytes = cgd__block_bytes(floats);
    p->held = cgd__block_bytes(held);
    for (i = 0; i < count; i++) {
        cgd__slot *s = p->slots + i;
        for (k = 0; k < CGD__TENSORS; k++)
            s->at[k] = spans[i * CGD__TENSORS + k].at;
        s->work = spans[i * CGD__TENSORS + CGD__WORK].size;
        s->work_back = spans[i * CGD__TENSORS + CGD__WORK_BACK].size;
        if (!s->again) continue;       /* found where the first run left it  */
        s->at[CGD__STATS] = (s - layers)->at[CGD__STATS];
        if (s->kept) s->at[CGD__OUT] = (s - layers)->at[CGD__OUT];
    }
    return CGD_OK;
}

CGDDEF cgd_status cgd_pass_plan(cgd_pass *pass, cgd_net *net, size_t n,
                                size_t h, size_t w, int mode,
                                const size_t *keep, size_t n_keep)
{
    cgd_ctx *ctx = net->ctx;
    cgd_status status = CGD_ERR_MEMORY;
    const cgd__slot *last;
    cgd__span *spans;
    size_t bytes, i;
    memset(pass, 0, sizeof *pass);
#ifdef CGD_NO_TRAIN
    if (mode != CGD_INFER)
        return cgd__fail(ctx, CGD_ERR_UNSUPPORTED,
                         "training was left out of this build");
#endif
    if (mode < CGD_INFER || mode > CGD_THROUGH)
        return cgd__fail(ctx, CGD_ERR_ARGUMENT, "a pass has no mode %d", mode);
    pass->net = net;
    pass->kernels = ctx->kernels;
    pass->mode = mode;
    pass->learns = net->grads != NULL && mode != CGD_THROUGH;
    pass->n = n; pass->h = h; pass->w = w;
    bytes = cgd__slot_count(pass) * CGD__TENSORS
          * (sizeof(cgd__span) + sizeof(cgd__span *));
    pass->slots = (cgd__slot *)cgd__alloc_zeroed(ctx, cgd__slot_count(pass),
                                                 sizeof(cgd__slot), "a plan");
    if (!pass->slots) return status;
    spans = (cgd__span *)cgd__alloc_zeroed(ctx, bytes, 1, "a plan");
    if (spans) status = cgd__plan_shapes(pass);
    if (status == CGD_OK) {
        for (i = 0; i < n_keep; i++)
            if (keep[i] < net->n_layers) pass->slots[keep[i]].kept = 1;
        pass->slots[net->n_layers - 1].kept = 1;
        status = cgd__plan_tensors(pass, spans);
    }
    cgd__free(ctx, spans, bytes);
    if (status != CGD_OK) {
        cgd_pass_free(pass);
        return status;
    }
    last = pass->slots + net->n_layers - 1;
    pass->y = cgd_tensor_view(n, last->h, last->w,
                              net->layers[last->layer].out_c, NULL);
    return CGD_OK;
}

CGDDEF cgd_status cgd_pass_place(cgd_pass *pass, void *memory)
{
    const cgd_net *net = pass->net;
    const cgd__slot *last = pass->slots + net->n_layers - 1;
    unsigned char *block = (unsigned char *)memory;
    if (!block && !pass->own)
        pass->own = cgd__alloc(net->ctx, pass->bytes);
    if (!block) block = (unsigned char *)pass->own;
    if (!block)
        return cgd__fail(net->ctx, CGD_ERR_MEMORY,
            "out of memory: a pass over %u x %u pixels needs %u bytes",
            pass->w, pass->h, pass->bytes);
    block += (CGD__ALIGN - (size_t)block % CGD__ALIGN) % CGD__ALIGN;
    pass->memory = (float *)(void *)block;
    pass->y.data = pass->memory + last->at[CGD__OUT];
    return CGD_OK;
}

CGDDEF cgd_status cgd_pass_init(cgd_pass *pass, cgd_net *net, size_t n,
                                size_t h, size_t w, int mode,
                                const size_t *keep, size_t n_keep,
                                void *memory)
{
    cgd_status status = cgd_pass_plan(pass, net, n, h, w, mode, keep, n_keep);
    if (status == CGD_OK) status = cgd_pass_place(pass, memory);
    if (status != CGD_OK) cgd_pass_free(pass);
    return status;
}

CGDDEF void cgd_pass_free(cgd_pass *pass)
{
    if (pass->own) cgd__free(pass->net->ctx, pass->own, pass->bytes);
    if (pass->slots)
        cgd__free(pass->net->ctx, pass->slots,
                  cgd__slot_count(pass) * sizeof(cgd__slot));
    memset(pass, 0, sizeof *pass);
}

/* The net is looked at only. */
CGDDEF size_t cgd_pass_bytes(const cgd_net *net, size_t n, size_t h, size_t w,
                             int mode, const size_t *keep, size_t n_keep)
{
    cgd_pass pass;
    size_t bytes;
    if (cgd_pass_plan(&pass, (cgd_net *)net, n, h, w, mode, keep, n_keep)
        != CGD_OK) return 0;
    bytes = pass.bytes;
    cgd_pass_free(&pass);
    return bytes;
}

CGDDEF cgd_tensor cgd_pass_output(const cgd_pass *pass, size_t layer)
{
    const cgd__slot *s = pass->slots + layer;
    return cgd_tensor_view(pass->n, s->h, s->w, pass->net->layers[layer].out_c,
                           s->kept ? pass->memory + s->at[CGD__OUT] : NULL);
}

/* ---- forward -------------------------------------------------------------*/
/* Each function below does its part for the layer of one slot, whose
 * neighbours in the array are its neighbours in the net. */

/* Where a tensor of a layer's lies; NULL where the plan has none. */
static float *cgd__at(const cgd_pass *p, const cgd__slot *s, int which)
{
    size_t at = s->at[which];
    return at == CGD__NOWHERE ? NULL : p->memory + at;
}

/* Where a layer's convolution is written: to its output, if nothing else is
 * kept of it. A norm and an activation can then work in place. */
static float *cgd__raw(const cgd_pass *p, const cgd__slot *s)
{
    float *raw = cgd__at(p, s, CGD__RAW);
    return raw ? raw : cgd__at(p, s, CGD__OUT);
}

/* What a layer reads: the picture, or what the layer before left. */
static const float *cgd__pass_input(const cgd_pass *p, const cgd__slot *s)
{
    return s->layer == 0 ? p->x.data
         : s[-1].stays_raw ? cgd__raw(p, s - 1) : cgd__at(p, s - 1, CGD__OUT);
}

/* The output that a residual sum adds. */
static const float *cgd__pass_skip(const cgd_pass *p, const cgd__slot *s)
{
    size_t skip = p->net->layers[s->layer].skip;
    return skip ? cgd__at(p, s - skip, CGD__OUT) : NULL;
}

/* The weights that a pass runs with. */
static const float *cgd__pass_params(const cgd_pass *p)
{
    return p->params ? p->params : p->net->params;
}

/* Values in a layer's output. */
static size_t cgd__pass_count(const cgd_pass *p, const cgd__slot *s)
{
    return p->n * s->h * s->w * p->net->layers[s->layer].out_c;
}

/* Does a batch norm of this pass use the running statistics? */
static int cgd__pass_frozen(const cgd_pass *p, const cgd_layer *l)
{
    return l->norm == CGD_NORM_BATCH
        && (p->mode == CGD_INFER ? !p->net->image_stats : p->net->frozen);
}

/* A norm's job over a layer's raw map. */
static void cgd__pass_norm_job(const cgd_pass *p, const cgd__slot *s,
                               cgd__norm_job *q)
{
    memset(q, 0, sizeof *q);
    cgd__norm_slices(q, p->n, s->h * s->w, p->net->layers[s->layer].out_c);
    q->x = cgd__raw(p, s);
    q->act = p->net->layers[s->layer].act;
}

/* The raw map of a layer to its output, in the place asked. */
static void cgd__pass_normalise(const cgd_pass *p, const cgd__slot *s, int to)
{
    size_t nc = p->n * p->net->layers[s->layer].out_c;
    float *stats = cgd__at(p, s, CGD__STATS);
    cgd__norm_job q;
    cgd__pass_norm_job(p, s, &q);
    q.skip = cgd__pass_skip(p, s);
    cgd__norm_apply(p->net->ctx, &q, cgd__at(p, s, to), stats + 2 * nc,
                    stats + 3 * nc);
}

/* A layer's statistics, from the moments that its convolution took (or else
 * takes them now), and its norm as scale and shift: gamma (x - mean) / dev +
 * beta = x (gamma / dev) + (beta - mean gamma / dev), one multiplication and
 * one addition a value, which the reader's kernel can do. Where the reader does
 * so the map is left raw; else it is normalised here. */
static void cgd__pass_norm(const cgd_pass *p, const cgd__slot *s,
                           const double *moments)
{
    cgd_net *net = p->net;
    const cgd_layer *l = net->layers + s->layer;
    const float *values = cgd__pass_params(p);
    float *own = net->params, *stats = cgd__at(p, s, CGD__STATS);
    size_t nc = p->n * l->out_c;
    int affine = cgd__norm_affine(l->norm);
    int moves = l->norm == CGD_NORM_BATCH && p->mode != CGD_INFER
             && net->grads != NULL;
    cgd__norm_job q;
    cgd__pass_norm_job(p, s, &q);
    q.partial = cgd__norm_partial(cgd__at(p, s, CGD__WORK), nc);
    if (cgd__pass_frozen(p, l))
        cgd__norm_running(stats, p->n, l->out_c, values + l->mean,
                          values + l->var);
    else
        cgd__norm_stats(&q,
            /* at inference a batch is only many pictures at once */
            p->mode == CGD_INFER ? CGD_NORM_INSTANCE : l->norm,
            moments ? moments : cgd__norm_moments(net->ctx, &q), stats,
            moves ? own + l->mean : NULL, moves ? own + l->var : NULL);
    cgd__norm_factors(&q, affine ? values + l->gamma : NULL,
                      affine ? values + l->beta : NULL, stats, stats + 2 * nc,
                      stats + 3 * nc);
    if (!s->stays_raw) cgd__pass_normalise(p, s, CGD__OUT);
}

/* The layer's packed weights, if the net keeps them for this pass's kernels. */
static const float *cgd__pass_packed(const cgd_pass *p, const cgd_layer *l)
{
    const cgd_net *net = p->net;
    return net->packs && net->pack_kernels == p->kernels && !p->params
        && l->pack != CGD__NOWHERE ? net->packs + l->pack : NULL;
}

/* One of the sums of a layer, in its scratch forward or backward. */
static cgd_status cgd__pass_sum(const cgd_pass *p, const cgd__slot *s,
                                const cgd__conv *q, int back)
{
    float *work = cgd__at(p, s, back ? CGD__WORK_BACK : CGD__WORK);
    cgd__arena scratch = cgd__arena_on(work ? work : p->memory,
        (back ? s->work_back : s->work) * sizeof(float));
    if (cgd__convolve(p->net->ctx, p->kernels, q, &scratch)) return CGD_OK;
    return cgd__fail(p->net->ctx, CGD_ERR_MEMORY,
        "layer %u (%s) outgrew the scratch it had asked for", s->layer,
        p->net->layers[s->layer].name);
}

/* What the kernel does beside convolving: see cgd__conv. */
static void cgd__pass_extra(const cgd_pass *p, const cgd__slot *s,
                            cgd__conv *q)
{
    const cgd_layer *l = p->net->layers + s->layer;
    int extras = cgd__conv_extras(p->kernels, &q->s, q->sum);
    q->packed = cgd__pass_packed(p, l);
    if (s->layer > 0 && s[-1].stays_raw) {
        const float *stats = cgd__at(p, s - 1, CGD__STATS);
        q->scale = stats + 2 * p->n * l->in_c;
        q->shift = stats + 3 * p->n * l->in_c;
        q->slope = CGD__SLOPE(l[-1].act);
    }
    if (l->norm && !cgd__pass_frozen(p, l) && (extras & CGD__TAKES_MOMENTS))
        q->moments = (double *)(void *)cgd__at(p, s, CGD__MOMENTS);
}

/* The convolution of a layer, upsampling first, and (not NULL) the moments of
 * its raw map, where the kernel took them. A transposed convolution is the
 * adjoint of the one that would undo its shape. */
static cgd_status cgd__pass_convolve(const cgd_pass *p, const cgd__slot *s,
                                     const double **moments)
{
    cgd_ctx *ctx = p->net->ctx;
    const cgd_layer *l = p->net->layers + s->layer;
    const float *in = cgd__pass_input(p, s), *w = cgd__pass_params(p) + l->w;
    const float *b = l->norm ? NULL : cgd__pass_params(p) + l->b;
    float *raw = cgd__raw(p, s), *upped = cgd__at(p, s, CGD__UPPED);
    cgd__conv q;
    *moments = NULL;
    if (l->up) {
        cgd__upsample(ctx, upped, in, p->n, s->in_h, s->in_w, l->in_c, l->up);
        in = upped;
    }
    if (l->kind >= CGD_DEPTHWISE) {
        cgd__depth_forward(ctx, &s->shape, raw, in, w, b);
        return CGD_OK;
    }
    q = cgd__conv_of(&s->shape, l->kind == CGD_DECONV ? CGD__ADJOINT
                                                      : CGD__FORWARD,
                     raw, in, w);
    q.bias = b;
    cgd__pass_extra(p, s, &q);
    *moments = q.moments;
    return cgd__pass_sum(p, s, &q, 0);
}

/* From the raw map to the output of a layer without norm. */
static void cgd__pass_activate(const cgd_pass *p, const cgd__slot *s)
{
    cgd_ctx *ctx = p->net->ctx;
    const float *skip = cgd__pass_skip(p, s);
    size_t count = cgd__pass_count(p, s);
    float *out = cgd__at(p, s, CGD__OUT);
    cgd__activate(ctx, out, cgd__raw(p, s), count,
                  p->net->layers[s->layer].act);
    if (skip) cgd__add_scaled(ctx, out, skip, count, 1);
}

/* The slots that backward looks at: the second run's, where there is one. */
static cgd__slot *cgd__back_slots(const cgd_pass *p)
{
    return p->slots + (cgd__slot_count(p) - p->net->n_layers);
}

/* Layer by layer: convolve, and from the raw map to what the next one reads. */
CGDDEF cgd_status cgd_pass_forward(cgd_pass *pass, const cgd_tensor *x)
{
    size_t i;
    if (x->n != pass->n || x->h != pass->h || x->w != pass->w
        || x->c != pass->net->layers[0].in_c)
        return cgd__fail(pass->net->ctx, CGD_ERR_SHAPE,
            "the pass was planned for %u x %u x %u x %u, the input is "
            "%u x %u x %u x %u", pass->n, pass->h, pass->w,
            pass->net->layers[0].in_c, x->n, x->h, x->w, x->c);
    pass->x = *x;
    for (i = 0; i < pass->net->n_layers; i++) {
        const cgd__slot *s = pass->slots + i;
        const double *moments;
        cgd_status status = cgd__pass_convolve(pass, s, &moments);
        if (status != CGD_OK) return status;
        if (pass->net->layers[i].norm) cgd__pass_norm(pass, s, moments);
        else cgd__pass_activate(pass, s);
        cgd__back_slots(pass)[i].pull = NULL;
    }
    return CGD_OK;
}

/* ---- backward ------------------------------------------------------------*/
/* A layer's turn: d, the gradient of its output, comes in; what hangs on the
 * output besides (a loss's pull, the sum that it is part of) is settled; the
 * activation and the norm are undone in place; then d is the gradient of the
 * raw convolution, and makes two more: that of the weights, added to the
 * net's, and that of the input, which is the next layer's d. */
#ifndef CGD_NO_TRAIN

CGDDEF void cgd_pass_pull(cgd_pass *pass, size_t layer, const cgd_tensor *d)
{
    cgd__back_slots(pass)[layer].pull = d->data;
}

/* The output of a layer in backward, where the one that read it is at work or
 * the layer itself: kept, or made again by the former. */
static const float *cgd__pass_seen(const cgd_pass *p, const cgd__slot *s)
{
    const float *again = cgd__at(p, s, CGD__OUT_AGAIN);
    return again ? again : cgd__at(p, s, CGD__OUT);
}

/* What a layer convolved, in backward. */
static const float *cgd__pass_read(const cgd_pass *p, const cgd__slot *s)
{
    const float *upped = cgd__at(p, s, CGD__UPPED_AGAIN);
    return upped ? upped : s->layer > 0 ? cgd__pass_seen(p, s - 1) : p->x.data;
}

/* Make what a layer read again, where it was not kept. */
static void cgd__pass_read_again(const cgd_pass *p, const cgd__slot *s)
{
    const cgd_layer *l = p->net->layers + s->layer;
    if (s->layer > 0 && cgd__at(p, s - 1, CGD__OUT_AGAIN)
        && (p->learns || l[-1].act == CGD_ACT_TANH))
        cgd__pass_normalise(p, s - 1, CGD__OUT_AGAIN);
    if (l->up && p->learns)
        cgd__upsample(p->net->ctx, cgd__at(p, s, CGD__UPPED_AGAIN),
                      s->layer > 0 ? cgd__pass_seen(p, s - 1) : p->x.data,
                      p->n, s->in_h, s->in_w, l->in_c, l->up);
}

/* From the gradient of the layer's output to that of its raw convolution, in
 * place; the norm's own gradients on the way. The activation's slope is found
 * from the normalised value; tanh's is 1 - y^2, and needs the output. */
static void cgd__pass_norm_back(const cgd_pass *p, const cgd__slot *s,
                                float *d)
{
    cgd_net *net = p->net;
    const cgd_layer *l = net->layers + s->layer;
    float *work = cgd__at(p, s, CGD__WORK_BACK);
    int affine = cgd__norm_affine(l->norm);
    int learns = affine && p->learns;
    cgd__norm_job q;
    cgd__pass_norm_job(p, s, &q);
    q.dy = d;
    q.partial = cgd__norm_partial(work, p->n * l->out_c);
    if (l->act == CGD_ACT_TANH) {
        cgd__activate_back(net->ctx, d, d, cgd__pass_seen(p, s),
                           cgd__pass_count(p, s), l->act);
        q.act = CGD_ACT_NONE;
    }
    cgd__norm_backward(net->ctx, &q, d, l->norm,
                       affine ? cgd__pass_params(p) + l->gamma : NULL,
                       affine ? cgd__pass_params(p) + l->beta : NULL,
                       cgd__at(p, s, CGD__STATS),
                       learns ? net->grads + l->gamma : NULL,
                       learns ? net->grads + l->beta : NULL,
                       cgd__pass_frozen(p, l), work);
}

/* The layer's weights: gradients from d, that of its raw output. A bias is
 * added everywhere, so that its gradient is the sum of d over all places. */
static cgd_status cgd__pass_weights_back(const cgd_pass *p,
                                         const cgd__slot *s, const float *d)
{
    cgd_net *net = p->net;
    const cgd_layer *l = net->layers + s->layer;
    const float *in = cgd__pass_read(p, s);
    float *dw = net->grads + l->w;
    int deconv = l->kind == CGD_DECONV;
    cgd__conv q = cgd__conv_of(&s->shape, CGD__WEIGHTS, dw, deconv ? d : in,
                               deconv ? in : d);
    if (l->kind == CGD_BLUR) return CGD_OK;            /* does not learn      */
    if (!l->norm)
        cgd__bias_backward(net->ctx, net->grads + l->b, d,
                           p->n * s->h * s->w, l->out_c);
    if (l->kind < CGD_DEPTHWISE) return cgd__pass_sum(p, s, &q, 1);
    cgd__depth_weights(net->ctx, &s->shape, dw, in, d);
    return CGD_OK;
}

/* The gradient of the layer's input into dx, added where a residual sum has
 * left something there already. */
static cgd_status cgd__pass_data_back(const cgd_pass *p, const cgd__slot *s,
                                      const float *d, float *dx, int add)
{
    cgd_ctx *ctx = p->net->ctx;
    const cgd_layer *l = p->net->layers + s->layer;
    const float *w = cgd__pass_params(p) + l->w;
    float *to = l->up ? cgd__at(p, s, CGD__D_UPPED) : dx;
    cgd__conv q = cgd__conv_of(&s->shape, l->kind == CGD_DECONV
                               ? CGD__FORWARD : CGD__ADJOINT, to, d, w);
    cgd_status status = CGD_OK;
    q.accumulate = l->up ? 0 : add;
    if (l->kind >= CGD_DEPTHWISE)
        cgd__depth_data(ctx, &s->shape, to, d, w, q.accumulate);
    else
        status = cgd__pass_sum(p, s, &q, 1);
    if (l->up)
        cgd__upsample_back(ctx, dx, to, p->n, s->in_h, s->in_w, l->in_c,
                           l->up, add);
    return status;
}

/* One layer back: from d, the gradient of its output, to dx, that of its
 * input (or NULL). What a residual sum adds gets d as it is, since y = f + x
 * has dy/dx = 1; whether it is the first there decides the order of readers. */
static cgd_status cgd__pass_layer_back(const cgd_pass *p, const cgd__slot *s,
                                       float *d, float *dx)
{
    cgd_ctx *ctx = p->net->ctx;
    cgd_status status = CGD_OK;
    const cgd_layer *l = p->net->layers + s->layer;
    size_t count = cgd__pass_count(p, s);
    cgd__pass_read_again(p, s);
    if (s->pull) cgd__add_scaled(ctx, d, s->pull, count, 1);
    if (l->skip) {
        const cgd__slot *source = s - l->skip;
        float *to = cgd__at(p, source, CGD__D_OUT);
        if (source->last_reader == s->layer)
            memcpy(to, d, count * sizeof(float));
        else
            cgd__add_scaled(ctx, to, d, count, 1);
    }
    if (l->norm) cgd__pass_norm_back(p, s, d);
    else cgd__activate_back(ctx, d, d, cgd__pass_seen(p, s), count, l->act);
    if (p->learns) status = cgd__pass_weights_back(p, s, d);
    if (status == CGD_OK && dx)  /* a later reader or the sum was there first */
        status = cgd__pass_data_back(p, s, d, dx, s->layer > 0
            && (s[-1].last_reader > s->layer || l->skip == 1));
    return status;
}

/* Run a layer forward once more for backward, with the statistics of the
 * first time; an output that was kept needs no more than its raw map. */
static cgd_status cgd__pass_layer_again(const cgd_pass *p, const cgd__slot *s)
{
    int norm = p->net->layers[s->layer].norm;
    const double *moments;
    cgd_status status;
    if (s->kept && !norm) return CGD_OK;
    status = cgd__pass_convolve(p, s, &moments);
    if (status != CGD_OK || s->kept || s->stays_raw) return status;
    if (norm) cgd__pass_normalise(p, s, CGD__OUT);
    else cgd__pass_activate(p, s);
    return CGD_OK;
}

/* Layer by layer from the end. The last one's d is the caller's dy, the first
 * one writes the caller's dx; in between each finds its d where the layer
 * behind has left it. */
CGDDEF cgd_status cgd_pass_backward(cgd_pass *pass, cgd_tensor *dy,
                                    cgd_tensor *dx)
{
    const cgd__slot *slots = cgd__back_slots(pass);
    cgd_status status = CGD_OK;
    size_t end, from, i;
    if (pass->mode == CGD_INFER || !pass->x.data)
        return cgd__fail(pass->net->ctx, CGD_ERR_ARGUMENT,
                         "backward needs a forward pass in training mode");
    if (pass->net->grads && !pass->learns && pass->mode != CGD_THROUGH)
        return cgd__fail(pass->net->ctx, CGD_ERR_ARGUMENT,
            "the net was given gradients after this pass over it was planned");
    if (!cgd__same_shape(dy, &pass->y)
        || (dx && !cgd__same_shape(dx, &pass->x)))
        return cgd__fail(pass->net->ctx, CGD_ERR_SHAPE,
                         "gradients do not have the shapes of the pass");
    for (end = pass->net->n_layers; end > 0 && status == CGD_OK; end = from) {
        from = slots[end - 1].from;        /* 0, where nothing is run again  */
        for (i = from; i < end && pass->mode == CGD_RECOMPUTE
                       && status == CGD_OK; i++)
            status = cgd__pass_layer_again(pass, slots + i);
        for (i = end; i-- > from && status == CGD_OK; ) {
            float *d = i + 1 == pass->net->n_layers ? dy->data
                     : cgd__at(pass, slots + i, CGD__D_OUT);
            float *to = i > 0 ? cgd__at(pass, slots + i - 1, CGD__D_OUT)
                      : dx ? dx->data : NULL;
            status = cgd__pass_layer_back(pass, slots + i, d, to);
        }
    }
    return status;
}
#endif

/* ======================================================================== */
/* [impl:architectures] Generators and discriminators                       */
/* ======================================================================== */
/* The nets of the game, as lists of layers. Names are those of the official
 * PyTorch code: "model.<index in its Sequential>", counting pads and
 * activations.
 *
 * The generator (Johnson et al. 2016, "Perceptual Losses for Real-Time Style
 * Transfer"), with f the width:
 *
 *   stem    7x7             H   x W   x f
 *   down    3x3, stride 2   H/2 x W/2 x 2f
 *   down    3x3, stride 2   H/4 x W/4 x 4f
 *   blocks  x + 3x3 3x3 x   H/4 x W/4 x 4f     nine, or six for small pictures
 *   up      3x3, transposed H/2 x W/2 x 2f
 *   up      3x3, transposed H   x W   x f
 *   head    7x7, tanh       H   x W   x 3
 *
 * Most of the work is done at a quarter of the size, where a convolution costs
 * a sixteenth and sees four times as far. A block adds what it makes to what
 * it read (He et al. 2016): while its weights are small it is the identity, so
 * that a picture's layout runs through a fresh net of any depth, and each block
 * learns a correction. Instance norm behind the convolutions takes out each
 * picture's own contrast, which is style, not content (Ulyanov et al. 2016);
 * tanh bounds the head to the range of pixels. Reflection instead of zeros
 * around maps keeps the borders from growing frames.
 *
 * The discriminator is a PatchGAN (Isola et al. 2017): its output is a map,
 * each value of which judges one patch of the picture, and the loss is the
 * mean over all. It sees texture and style, which is what it is for, has few
 * parameters, and takes pictures of any size. The patch is found backwards, by
 * r = (r - 1) stride + kernel from r = 1: with 4x4 windows, of which the last
 * two have stride 1 and three before them 2, it is 4, 7, 16, 34, 70 pixels. */

#define CGD__MAX_LAYERS 10       /* beside those of the blocks, of any net   */

/* Appends to a net under construction. */
typedef struct cgd__builder {
    cgd_layer *layers;
    size_t count, room;
} cgd__builder;

/* A layer behind the others. stem.index is its place in the Sequential of the
 * PyTorch code, as in files; its norm, if any, stands one behind. */
static cgd_layer *cgd__append(cgd__builder *b, const char *stem, size_t index,
                              int kind, size_t in_c, size_t out_c,
                              size_t kernel, size_t stride, size_t pad,
                              int pad_mode, int norm, int act)
{
    cgd_layer *l = b->layers + b->count++;
    memset(l, 0, sizeof *l);
    l->kind = kind;
    l->in_c = in_c;
    l->out_c = out_c;
    l->window.kernel = kernel;
    l->window.stride = stride;
    l->window.pad = pad;
    l->window.pad_mode = pad_mode;
    l->norm = norm;
    l->act = act;
    cgd__format(l->name, sizeof l->name, "%s.%u", stem, index);
    if (norm)
        cgd__format(l->norm_name, sizeof l->norm_name, "%s.%u", stem,
                    index + 1);
    return l;
}

CGDDEF cgd_generator_config cgd_generator_defaults(void)
{
    cgd_generator_config c;
    memset(&c, 0, sizeof c);
    c.in_channels = c.out_channels = 3;
    c.width = 64;
    c.blocks = 9;
    c.norm = CGD_NORM_INSTANCE;
    c.up = CGD_UP_DECONV;
    c.block = CGD_BLOCK_PLAIN;
    c.image_stats = 1;
    return c;
}

/* The widths of all stages: those given, or what `width` implies. */
static void cgd__stages(const cgd_generator_config *c, size_t stage[6])
{
    static const int times[6] = { 1, 2, 4, 4, 2, 1 };
    int i;
    for (i = 0; i < 6; i++)
        stage[i] = (size_t)(c->stage[i] > 0 ? c->stage[i]
                                            : times[i] * c->width);
}

/* What a generator would need that this one lacks; NULL: nothing. */
static const char *cgd__generator_flaw(const cgd_generator_config *c)
{
    int i;
    if (c->in_channels < 1 || c->in_channels > 1024 || c->out_channels < 1
        || c->out_channels > 1024) return "1 to 1024 channels";
    if (c->width < 1 || c->width > 4096) return "a width of 1 to 4096";
    if (c->blocks < 0 || c->blocks > CGD_MAX_BLOCKS)
        return "0 to 256 blocks";
    if (c->norm < CGD_NORM_NONE || c->norm > CGD_NORM_BATCH)
        return "a known norm";
    if (c->up < CGD_UP_NEAREST || c->up > CGD_UP_DECONV)
        return "a known upsampling";
    if (c->block < CGD_BLOCK_PLAIN || c->block > CGD_BLOCK_SEPARABLE)
        return "a known kind of block";
    for (i = 0; i < 6; i++)
        if (c->stage[i] < 0 || c->stage[i] > 16384)
            return "stages of 1 to 16384 channels";
    if (c->antialias < 0 || c->antialias > 1) return "antialias 0 or 1";
    for (i = 0; i < c->blocks; i++)
        if (c->inside[i] > 16384) return "blocks of 1 to 16384 channels";
    return NULL;
}

/* One residual block at model.<index>, from and to `width` channels. The
 * second half has no activation: the sum would only ever grow. A separable one
 * (Howard et al. 2017) filters each channel by itself and then mixes them, for
 * 9 c + c^2 multiplications a pixel instead of 9 c^2: an eighth. */
static void cgd__append_block(cgd__builder *b, const cgd_generator_config *c,
                              size_t index, size_t width, size_t inside)
{
    char stem[24], inner[32];
    size_t half;
    cgd__format(stem, sizeof stem, "model.%u.conv_block", index);
    for (half = 0; half < 2; half++) {
        size_t in = half ? inside : width, out = half ? width : inside;
        int act = half ? CGD_ACT_NONE : CGD_ACT_RELU;
        cgd_layer *l;
        if (c->block == CGD_BLOCK_SEPARABLE) {
            /* Depthwise, norm, pointwise: the layout of GAN Compression,
             * whose second half stands one place later (a dropout slot). */
            cgd__format(inner, sizeof inner, "%s.%u.conv", stem,
                        half ? (size_t)6 : (size_t)1);
            cgd__append(b, inner, 0, CGD_DEPTHWISE, in, in, 3, 1, 1,
                        CGD_PAD_REFLECT, c->norm, CGD_ACT_NONE);
            l = cgd__append(b, inner, 2, CGD_CONV, in, out, 1, 1, 0,
                            CGD_PAD_ZERO, c->norm, act);
            if (c->norm)
                cgd__format(l->norm_name, sizeof l->norm_name, "%s.%u", stem,
                            half ? (size_t)7 : (size_t)2);
        } else {
            l = cgd__append(b, stem, half ? 5 : 1, CGD_CONV, in, out, 3, 1, 1,
                            CGD_PAD_REFLECT, c->norm, act);
        }
        if (half) l->skip = c->block == CGD_BLOCK_SEPARABLE ? 4 : 2;
    }
}

/* An upsampling stage at model.<*index>; moves the index behind it. Windows of
 * 3 pixels at steps of 2 reach every second pixel twice, which a transposed
 * convolution has to learn to hide: else it shows as a checkerboard (Odena et
 * al. 2016). To resize and convolve has no such fault, and costs four times as
 * much. */
static void cgd__append_up(cgd__builder *b, const cgd_generator_config *c,
                           size_t *index, size_t in, size_t out)
{
    if (c->up == CGD_UP_DECONV) {
        cgd__append(b, "model", *index, CGD_DECONV, in, out, 3, 2, 1,
                    CGD_PAD_ZERO, c->norm, CGD_ACT_RELU);
        *index += 3;
    } else {                 /* upsample, reflection pad or none, convolution */
        size_t pad = !c->zero_pad;
        cgd__append(b, "model", *index + 1 + pad, CGD_CONV, in, out, 3, 1, 1,
                    pad ? CGD_PAD_REFLECT : CGD_PAD_ZERO, c->norm,
                    CGD_ACT_RELU)->up = c->up;
        *index += 4 + pad;
    }
}

/* The whole generator, as drawn above. Blocks stand from model.10 on, or .12:
 * steps of 2 pass over every second pixel, and fine patterns come back as
 * coarse ones, unless they are blurred away before (Zhang 2019; CUT, Park et
 * al. 2020). */
static void cgd__build_generator(cgd__builder *b,
                                 const cgd_generator_config *c)
{
    size_t stage[6], i, index = 4, in = (size_t)c->in_channels;
    cgd__stages(c, stage);
    cgd__append(b, "model", 1, CGD_CONV, in, stage[0], 7, 1, 3,
                CGD_PAD_REFLECT, c->norm, CGD_ACT_RELU);
    for (i = 0; i < 2; i++, index += 3) {
        cgd__append(b, "model", index, CGD_CONV, stage[i], stage[i + 1], 3,
                    c->antialias ? 1 : 2, 1, CGD_PAD_ZERO, c->norm,
                    CGD_ACT_RELU);
        if (c->antialias)
            cgd__append(b, "model", index++ + 3, CGD_BLUR, stage[i + 1],
                        stage[i + 1], 3, 2, 1, CGD_PAD_REFLECT, CGD_NORM_NONE,
                        CGD_ACT_NONE);
    }
    for (i = 0; i < (size_t)c->blocks; i++)
        cgd__append_block(b, c, index++, stage[2],
                          c->inside[i] ? c->inside[i] : stage[3]);
    cgd__append_up(b, c, &index, stage[2], stage[4]);
    cgd__append_up(b, c, &index, stage[4], stage[5]);
    cgd__append(b, "model", index + 1, CGD_CONV, stage[5],
                (size_t)c->out_channels, 7, 1, 3, CGD_PAD_REFLECT,
                CGD_NORM_NONE, CGD_ACT_TANH);
}

CGDDEF cgd_discriminator_config cgd_discriminator_defaults(void)
{
    cgd_discriminator_config c;
    memset(&c, 0, sizeof c);
    c.kind = CGD_DISC_PATCH;
    c.in_channels = 3;
    c.width = 64;
    c.layers = 3;
    c.norm = CGD_NORM_INSTANCE;
    return c;
}

static const char *cgd__discriminator_flaw(const cgd_discriminator_config *c)
{
    if (c->kind < CGD_DISC_PATCH || c->kind > CGD_DISC_PIXEL)
        return "a known kind";
    if (c->in_channels < 1 || c->in_channels > 1024)
        return "1 to 1024 channels";
    if (c->width < 1 || c->width > 1024) return "a width of 1 to 1024";
    if (c->kind == CGD_DISC_PATCH && (c->layers < 1 || c->layers > 8))
        return "1 to 8 layers";
    if (c->norm < CGD_NORM_NONE || c->norm > CGD_NORM_BATCH)
        return "a known norm";
    return NULL;
}

/* Channels double with each halving, up to 8f; the first layer has no norm,
 * since what colours a picture has is to be judged. */
static void cgd__build_patch(cgd__builder *b,
                             const cgd_discriminator_config *c)
{
    size_t f = (size_t)c->width, in = (size_t)c->in_channels, i, out = f;
    size_t n = (size_t)c->layers, index = 0;
    for (i = 0; i <= n + 1; i++) {
        int last = i == n + 1, norm = i == 0 || last ? CGD_NORM_NONE : c->norm;
        if (last) out = 1;
        cgd__append(b, "model", index, CGD_CONV, in, out, 4, i < n ? 2 : 1, 1,
                    CGD_PAD_ZERO, norm, last ? CGD_ACT_NONE : CGD_ACT_LEAKY);
        index += i == 0 ? 2 : 3;
        in = out;
        if (i < 3) out *= 2;           /* f, 2f, 4f, 8f, 8f ...              */
    }
}

/* The original distillation project's judge: five strided layers, no norms. */
static void cgd__build_five(cgd__builder *b,
                            const cgd_discriminator_config *c)
{
    size_t in = (size_t)c->in_channels, out = (size_t)c->width, i;
    for (i = 0; i < 5; i++, in = out, out *= 2) {
        if (i == 4) out = 1;
        cgd__append(b, "model", 2 * i, CGD_CONV, in, out, 4, 2, 0,
                    CGD_PAD_ZERO, CGD_NORM_NONE,
                    i < 4 ? CGD_ACT_LEAKY : CGD_ACT_NONE);
    }
}

/* Windows of one pixel: a judge of colours alone. */
static void cgd__build_pixel(cgd__builder *b,
                             const cgd_discriminator_config *c)
{
    size_t f = (size_t)c->width;
    cgd__append(b, "net", 0, CGD_CONV, (size_t)c->in_channels, f, 1, 1, 0,
                CGD_PAD_ZERO, CGD_NORM_NONE, CGD_ACT_LEAKY);
    cgd__append(b, "net", 2, CGD_CONV, f, 2 * f, 1, 1, 0, CGD_PAD_ZERO,
                c->norm, CGD_ACT_LEAKY);
    cgd__append(b, "net", 5, CGD_CONV, 2 * f, 1, 1, 1, 0, CGD_PAD_ZERO,
                CGD_NORM_NONE, CGD_ACT_NONE);
}

/* List the layers of the net that one of the two configurations describes.
 * file: the path of what that is from, or "". On success the list is to be
 * freed. */
static cgd_status cgd__build(cgd_ctx *ctx, cgd__builder *b,
                             const cgd_generator_config *g,
                             const cgd_discriminator_config *d,
                             const char *file)
{
    const char *flaw = g ? cgd__generator_flaw(g) : cgd__discriminator_flaw(d);
    if (flaw)
        return cgd__fail(ctx, *file ? CGD_ERR_FORMAT : CGD_ERR_ARGUMENT,
                         "%s%sa %s needs %s", file, *file ? ": " : "",
                         g ? "generator" : "discriminator", flaw);
    b->count = 0;
    b->room = CGD__MAX_LAYERS + (g ? 4 * (size_t)g->blocks : 0);
    b->layers = (cgd_layer *)cgd__alloc_zeroed(ctx, b->room,
                                               sizeof *b->layers, "a net");
    if (!b->layers) return CGD_ERR_MEMORY;
    if (g) cgd__build_generator(b, g);
    else if (d->kind == CGD_DISC_PATCH) cgd__build_patch(b, d);
    else if (d->kind == CGD_DISC_FIVE) cgd__build_five(b, d);
    else cgd__build_pixel(b, d);
    return CGD_OK;
}

static void cgd__builder_free(cgd_ctx *ctx, cgd__builder *b)
{
    cgd__free(ctx, b->layers, b->room * sizeof *b->layers);
}

static cgd_status cgd__net_build(cgd_ctx *ctx, cgd_net *net,
                                 const cgd_generator_config *g,
                                 const cgd_discriminator_config *d)
{
    cgd__builder b;
    cgd_status status = cgd__build(ctx, &b, g, d, "");
    memset(net, 0, sizeof *net);
    if (status != CGD_OK) return status;
    status = cgd_net_init(ctx, net, b.layers, b.count);
    cgd__builder_free(ctx, &b);
    return status;
}

CGDDEF cgd_status cgd_generator_init(cgd_ctx *ctx, cgd_net *net,
                                     const cgd_generator_config *config)
{
    cgd_status status = cgd__net_build(ctx, net, config, NULL);
    if (status != CGD_OK) return status;
    net->image_stats = config->image_stats;
    net->is_generator = 1;
    net->generator = *config;
    return CGD_OK;
}

CGDDEF cgd_status cgd_discriminator_init(cgd_ctx *ctx, cgd_net *net,
                                     const cgd_discriminator_config *config)
{
    cgd_status status = cgd__net_build(ctx, net, NULL, config);
    if (status == CGD_OK) net->discriminator = *config;
    return status;
}

/* ======================================================================== */
/* [impl:losses] Losses, Adam, schedules, image pool                        */
/* ======================================================================== */
#ifndef CGD_NO_TRAIN

/* A loss is one number that training makes smaller, and the gradient of that
 * number by every value it was made from, with which backward begins. Most
 * here are means over elements,
 *
 *   L = weight * mean_i f(x_i, t_i),   dL/dx_i = weight / count * f'(x_i)
 *
 * and differ in f alone:
 *
 *   L1        |x - t|: its minimum over several answers is their median; it
 *             blurs less than a square, and is what cycles, identities and
 *             the teacher's outputs are compared with
 *   MSE       (x - t)^2: their mean; for hidden states
 *   LSGAN     (x - 1)^2 and x^2 of a discriminator's answers (Mao et al. 2017)
 *   vanilla   log(1 + exp(-x)) and log(1 + exp(x)), the logistic loss of the
 *             first GAN with its answer as a logit (Goodfellow et al. 2014);
 *             the generator descends log(1 + exp(-x)), not its reward's
 *             negative, whose slope vanishes while it still loses
 *   hinge     max(0, 1 - x), max(0, 1 + x): nobody is pushed who is right by
 *             a margin (Lim & Ye 2017); the generator descends -x
 *
 * A discriminator is shown real pictures and fakes and learns to tell them
 * apart; the generator is shown the discriminator's opinion of its fakes and
 * descends through it. LSGAN is the default: its slope grows with the
 * distance from the label instead of fading out, so that a fake that is found
 * out still learns how to do better.
 *
 * Sums go through at most CGD__SUMS slices, added in order: the same for any
 * number of threads. */
#define CGD__SUMS 64

enum { CGD__L1, CGD__MSE, CGD__TO_ONE, CGD__TO_ZERO, CGD__SOFT_REAL,
       CGD__SOFT_FAKE, CGD__NEGATIVE, CGD__HINGE_REAL, CGD__HINGE_FAKE };

typedef struct cgd__loss_job {
    int kind, add;
    const float *x, *target;
    float *dx;
    size_t count, chunk;
    float scale;                     /* of the gradient: weight / count      */
    double sums[CGD__SUMS];
} cgd__loss_job;

/* log(1 + exp(x)) and its derivative 1 / (1 + exp(-x)). For x > 0 both are
 * written with exp(-x), which cannot overflow: x + log(1 + exp(-x)). */
static double cgd__softplus(double x, double *slope)
{
    double e = cgd__exp(x > 0 ? -x : x);
    *slope = x > 0 ? 1 / (1 + e) : e / (1 + e);
    return (x > 0 ? x : 0) + cgd__log(1 + e);
}

/* f and f' of one element. At the corners of L1 and of the hinges, where there
 * is no derivative, it is 0, as in PyTorch. */
static double cgd__loss_of(int kind, float x, float target, float *slope)
{
    float d = x - target;
    double s, v;
    switch (kind) {
    case CGD__L1:
        *slope = d > 0 ? 1.0f : d < 0 ? -1.0f : 0.0f;
        return d < 0 ? -(double)d : (double)d;
    case CGD__TO_ONE: d = x - 1; break;
    case CGD__TO_ZERO: d = x; break;
    case CGD__SOFT_REAL:
        v = cgd__softplus(-(double)x, &s);
        *slope = (float)-s;
        return v;
    case CGD__SOFT_FAKE:
        v = cgd__softplus((double)x, &s);
        *slope = (float)s;
        return v;
    case CGD__NEGATIVE:
        *slope = -1;
        return -(double)x;
    case CGD__HINGE_REAL:
        *slope = x < 1 ? -1.0f : 0.0f;
        return x < 1 ? 1 - (double)x : 0;
    case CGD__HINGE_FAKE:
        *slope = x > -1 ? 1.0f : 0.0f;
        return x > -1 ? 1 + (double)x : 0;
    }
    *slope = 2 * d;
    return (double)d * (double)d;
}

static void cgd__loss_slice(void *job, size_t slice)
{
    cgd__loss_job *q = (cgd__loss_job *)job;
    size_t i = slice * q->chunk, end = cgd__min(i + q->chunk, q->count);
    double sum = 0;
    for (; i < end; i++) {
        float slope;
        sum += cgd__loss_of(q->kind, q->x[i], q->target ? q->target[i] : 0,
                            &slope);
        if (q->dx)
            q->dx[i] = (q->add ? q->dx[i] : 0) + q->scale * slope;
    }
    q->sums[slice] = sum;
}

static double cgd__loss(cgd_ctx *ctx, int kind, const float *x,
                        const float *target, size_t count, float weight,
                        float *dx, int add)
{
    cgd__loss_job q;
    size_t slices, i;
    double sum = 0;
    if (count == 0) return 0;
    q.kind = kind; q.add = add; q.x = x; q.target = target; q.dx = dx;
    q.count = count;
    q.chunk = cgd__max(cgd__ceil_div(count, CGD__SUMS), CGD__BLOCK / 4);
    q.scale = weight / (float)count;
    slices = cgd__ceil_div(count, q.chunk);
    cgd__for(ctx, slices, cgd__loss_slice, &q);
    for (i = 0; i < slices; i++) sum += q.sums[i];
    return (double)weight * sum / (double)count;
}

CGDDEF double cgd_loss_l1(cgd_ctx *ctx, const cgd_tensor *x,
                          const cgd_tensor *target, float weight,
                          cgd_tensor *dx, int add)
{
    return cgd__loss(ctx, CGD__L1, x->data, target->data, cgd_tensor_size(x),
                     weight, dx ? dx->data : NULL, add);
}

CGDDEF double cgd_loss_mse(cgd_ctx *ctx, const cgd_tensor *x,
                           const cgd_tensor *target, float weight,
                           cgd_tensor *dx, int add)
{
    return cgd__loss(ctx, CGD__MSE, x->data, target->data,
                     cgd_tensor_size(x), weight, dx ? dx->data : NULL, add);
}

CGDDEF double cgd_loss_gan(cgd_ctx *ctx, const cgd_tensor *x, int gan,
                           int role, float weight, cgd_tensor *dx)
{
    static const int kinds[3][3] = {
        { CGD__TO_ONE, CGD__TO_ONE, CGD__TO_ZERO },
        { CGD__SOFT_REAL, CGD__SOFT_REAL, CGD__SOFT_FAKE },
        { CGD__NEGATIVE, CGD__HINGE_REAL, CGD__HINGE_FAKE }
    };
    return cgd__loss(ctx, kinds[gan][role], x->data, NULL, cgd_tensor_size(x),
                     weight, dx ? dx->data : NULL, 0);
}

/* ---- losses over neighbourhoods ------------------------------------------*/
/* These add to dx, which is cleared first where it is not to be added to. */

static void cgd__loss_clear(cgd_tensor *dx, int add)
{
    if (dx && !add) memset(dx->data, 0, cgd_tensor_size(dx) * sizeof(float));
}

static float cgd__sign(float v)           /* the derivative of |v|           */
{
    return v > 0 ? 1.0f : v < 0 ? -1.0f : 0.0f;
}

/* One level of a Haar transform takes each square of pixels, a b over d e, to
 * its mean and three details: left against right, above against below, and
 * the diagonals. Of the differences x - t the details' L1 is the loss: a mean
 * that is right says nothing here, an edge in the wrong place everything.
 *
 * The transform is linear with factors of +-1/2, so by the rule of [impl:ops]
 * a pixel's gradient is the sum of the three details' signs, each with the
 * sign that the pixel had in it, times weight / count / 2. */
typedef struct cgd__haar_job {
    const cgd_tensor *x, *target;
    cgd_tensor *dx;
    size_t pairs, chunk;               /* pairs of rows; of those in a slice */
    float scale;
    double sums[CGD__SUMS];
} cgd__haar_job;

/* The squares of the pair of rows that starts at `at`. */
static double cgd__haar_rows(const cgd__haar_job *q, size_t at)
{
    size_t c = q->x->c, row = q->x->w * c, i, k;
    double sum = 0;
    for (i = 0; i + 2 * c <= row; i += 2 * c)
        for (k = 0; k < c; k++) {
            size_t o = at + i + k;
            const float *x = q->x->data + o, *t = q->target->data + o;
            float a = x[0] - t[0], b = x[c] - t[c];
            float d = x[row] - t[row], e = x[row + c] - t[row + c];
            float across = cgd__sign(a - b + d - e), *g;
            float down = cgd__sign(a + b - d - e);
            float both = cgd__sign(a - b - d + e);
            sum += (double)(across * (a - b + d - e) + down * (a + b - d - e)
                            + both * (a - b - d + e)) / 2;
            if (!q->dx) continue;
            g = q->dx->data + o;
            across *= q->scale;
            down *= q->scale;
            both *= q->scale;
            g[0] += across + down + both;
            g[c] += down - across - both;
            g[row] += across - down - both;
            g[row + c] += both - across - down;
        }
    return sum;
}

static void cgd__haar_slice(void *job, size_t slice)
{
    cgd__haar_job *q = (cgd__haar_job *)job;
    size_t i = slice * q->chunk, end = cgd__min(i + q->chunk, q->pairs);
    size_t half = q->x->h / 2, row = q->x->w * q->x->c;
    double sum = 0;
    for (; i < end; i++)
        sum += cgd__haar_rows(q, (i / half * q->x->h + i % half * 2) * row);
    q->sums[slice] = sum;
}

CGDDEF double cgd_loss_haar(cgd_ctx *ctx, const cgd_tensor *x,
                            const cgd_tensor *target, float weight,
                            cgd_tensor *dx, int add)
{
    cgd__haar_job q;
    double sum = 0, count;
    size_t slices, i;
    cgd__loss_clear(dx, add);
    q.x = x; q.target = target; q.dx = dx;
    q.pairs = x->n * (x->h / 2);
    count = 3 * (double)q.pairs * (double)(x->w / 2 * x->c);
    if (!(count > 0)) return 0;
    q.chunk = cgd__ceil_div(q.pairs, CGD__SUMS);
    q.scale = weight / (float)(2 * count);
    slices = cgd__ceil_div(q.pairs, q.chunk);
    cgd__for(ctx, slices, cgd__haar_slice, &q);
    for (i = 0; i < slices; i++) sum += q.sums[i];
    return (double)weight * sum / count;
}

/* ---- local contrast ------------------------------------------------------*/
/* How strong the texture is around a place is its deviation there. With G the
 * mean under a Gaussian window, the loss of a place is
 *
 *   |sx - st|,   sx = sqrt(vx + C),   vx = G(xx) - G(x)^2,   st likewise
 *
 * where C keeps the root's slope finite over flat ground. A student that
 * cannot tell where a stripe's light and dark belong is taught their mean,
 * grey, by L1; here grey costs as much as the stripe is strong.
 *
 * Backward. With e the sign of sx - st, the chain rule gives
 *
 *   dL/dG(xx) = e / (2 sx),   dL/dG(x) = -2 G(x) * e / (2 sx)
 *
 * and since G is linear, dL/dx = G'(dL/dG(x)) + 2x G'(dL/dG(xx)). G' is G's
 * adjoint: the same blur, for a window is as good backwards as forwards, of a
 * map with zeros around it. A Gaussian is one blur along rows and one along
 * columns; G answers only where the window lies inside the picture. */

#define CGD__WINDOW 11
#define CGD__CONTRAST_C 1e-4f
enum { CGD__MX, CGD__MT, CGD__XX, CGD__TT, CGD__WINDOW_MAPS };

typedef struct cgd__windowed {
    const cgd_tensor *x, *target;
    cgd_tensor *dx;
    float *scratch;
    size_t wide, n, rows;              /* w*c; blurred rows' n, and how many */
    float window[CGD__WINDOW], scale;
    double *sums;
} cgd__windowed;

/* out[i] = sum_u window[u] in[i + u * stride] */
CGD__OPTIMIZED static void cgd__blur(float *out, const float *in, size_t n,
                                     size_t stride, const float *w)
{
    const float *a = in, *b = a + stride, *c = b + stride, *d = c + stride;
    const float *e = d + stride, *m = e + stride, *f = m + stride;
    const float *g = f + stride, *h = g + stride, *j = h + stride;
    const float *k = j + stride;
    size_t i;
    CGD__EACH
    for (i = 0; i < n; i++)
        out[i] = w[5] * m[i] + w[4] * (e[i] + f[i]) + w[3] * (d[i] + g[i])
               + w[2] * (c[i] + h[i]) + w[1] * (b[i] + j[i])
               + w[0] * (a[i] + k[i]);
}

/* A row of one of the four maps, before the blur. */
CGD__OPTIMIZED static void cgd__window_row(float *out, int map,
                                           const float *x, const float *t,
                                           size_t n)
{
    const float *a = map == CGD__MT || map == CGD__TT ? t : x;
    size_t i;
    if (map == CGD__MX || map == CGD__MT)
        for (i = 0; i < n; i++) out[i] = a[i];
    else
        for (i = 0; i < n; i++) out[i] = a[i] * a[i];
}

/* From the blurred maps: the sum of the differences, and in the first two
 * places their derivatives by G(x) and G(xx), times scale. */
CGD__OPTIMIZED static double cgd__contrast_places(float *maps, size_t count,
                                                  float scale)
{
    float *mx = maps, *mt = mx + count, *xx = mt + count, *tt = xx + count;
    double sum = 0;
    size_t i;
    for (i = 0; i < count; i++) {
        float vx = xx[i] - mx[i] * mx[i], vt = tt[i] - mt[i] * mt[i], d, g;
        float sx = CGD_SQRTF((vx > 0 ? vx : 0) + CGD__CONTRAST_C);
        d = sx - CGD_SQRTF((vt > 0 ? vt : 0) + CGD__CONTRAST_C);
        sum += (double)(d < 0 ? -d : d);
        g = (d > 0 ? scale : d < 0 ? -scale : 0) / (2 * sx);
        mx[i] *= -2 * g;
        mt[i] = g;
    }
    return sum;
}

static size_t cgd__window_scratch(const cgd_tensor *x)
{
    size_t border = CGD__WINDOW - 1;
    return x->n * (x->w + border) * x->c
         * (CGD__WINDOW_MAPS * x->h + x->h + border + 4);
}

/* One picture; its scratch holds the maps, then rows blurred along x with a
 * border of ten above and below, then three rows. */
static void cgd__window_picture(void *job, size_t picture)
{
    const cgd__windowed *q = (const cgd__windowed *)job;
    size_t border = CGD__WINDOW - 1, n = q->n, wide = q->wide, map, y, i;
    size_t c = q->x->c, h = q->x->h, count = q->rows * n;
    size_t first = picture * h * wide;
    const float *x = q->x->data + first, *t = q->target->data + first;
    float *maps = q->scratch
                + picture * (cgd__window_scratch(q->x) / q->x->n);
    float *bordered = maps + CGD__WINDOW_MAPS * count;
    float *row = bordered + (q->rows + 2 * border) * n, *blurred;
    for (map = 0; map < CGD__WINDOW_MAPS; map++) {
        for (y = 0; y < h; y++) {
            cgd__window_row(row, (int)map, x + y * wide, t + y * wide, wide);
            cgd__blur(bordered + y * n, row, n, c, q->window);
        }
        cgd__blur(maps + map * count, bordered, count, n, q->window);
    }
    q->sums[picture] = cgd__contrast_places(maps, count, q->scale);
    if (!q->dx) return;
    memset(bordered, 0, (q->rows + 2 * border) * n * sizeof(float));
    memset(row, 0, (wide + border * c) * sizeof(float));
    blurred = row + wide + border * c;
    for (map = 0; map <= CGD__MT; map++) {
        memcpy(bordered + border * n, maps + map * count,
               count * sizeof(float));
        for (y = 0; y < h; y++) {
            float *d = q->dx->data + first + y * wide;
            cgd__blur(row + border * c, bordered + y * n, n, n, q->window);
            cgd__blur(blurred, row, wide, c, q->window);
            for (i = 0; i < wide; i++)
                d[i] += blurred[i] * (map == 0 ? 1 : 2 * x[y * wide + i]);
        }
    }
}

/* The mean over all places of the difference in contrast. */
static double cgd__window_mean(cgd_ctx *ctx, const cgd_tensor *x,
                               const cgd_tensor *target, float weight,
                               cgd_tensor *dx, float *scratch)
{
    cgd__windowed q;
    double sums[CGD__SUMS], sum = 0, count, window = 0;
    size_t i, k;
    q.wide = x->w * x->c;
    q.n = q.wide - (CGD__WINDOW - 1) * x->c;
    q.rows = x->h - (CGD__WINDOW - 1);
    count = (double)x->n * (double)q.rows * (double)q.n;
    q.scale = weight / (float)count;
    for (i = 0; i < CGD__WINDOW; i++) {
        double u = (double)i - CGD__WINDOW / 2;
        q.window[i] = (float)cgd__exp(-u * u / (2 * 1.5 * 1.5));
        window += (double)q.window[i];
    }
    for (i = 0; i < CGD__WINDOW; i++) q.window[i] /= (float)window;
    for (i = 0; i < x->n; i += CGD__SUMS) {      /* so many pictures at once */
        size_t n = cgd__min(CGD__SUMS, x->n - i), skip = i * x->h * q.wide;
        cgd_tensor some = *x, goal = *target, d = *x;
        some.n = goal.n = d.n = n;
        some.data += skip;
        goal.data += skip;
        if (dx) d.data = dx->data + skip;
        q.x = &some; q.target = &goal; q.dx = dx ? &d : NULL;
        q.scratch = scratch;
        q.sums = sums;
        cgd__for(ctx, n, cgd__window_picture, &q);
        for (k = 0; k < n; k++) sum += sums[k];
    }
    return sum / count;
}

/* The map of the means of 4 x 4 squares that begin at every second pixel. */
static cgd_tensor cgd__squares(const cgd_tensor *x, float *data)
{
    size_t h = x->h < 4 ? 0 : x->h / 2 - 1, w = x->w < 4 ? 0 : x->w / 2 - 1;
    return cgd_tensor_view(x->n, h, w, x->c, data);
}

/* Add x to the means, or back, the means' gradient to that of x. */
static void cgd__squares_add(const cgd_tensor *x, const cgd_tensor *means,
                             int back)
{
    size_t c = x->c, i, k, p, o;
    for (i = 0; i < x->n * means->h; i++)
        for (k = 0; k < 16; k++) {
            size_t row = i / means->h * x->h + i % means->h * 2 + k / 4;
            float *own = x->data + (row * x->w + k % 4) * c;
            float *mean = means->data + i * means->w * c;
            for (p = 0; p < means->w; p++, own += 2 * c, mean += c)
                for (o = 0; o < c; o++)
                    if (back) own[o] += mean[o] / 16;
                    else mean[o] += own[o] / 16;
        }
}

CGDDEF size_t cgd_loss_contrast_scratch(const cgd_tensor *x)
{
    cgd_tensor means = cgd__squares(x, NULL);
    return 3 * cgd_tensor_size(&means) + cgd__window_scratch(&means);
}

CGDDEF double cgd_loss_contrast(cgd_ctx *ctx, const cgd_tensor *x,
                                const cgd_tensor *target, float weight,
                                cgd_tensor *dx, int add, float *scratch)
{
    cgd_tensor own = cgd__squares(x, scratch), its, d;
    size_t count = cgd_tensor_size(&own);
    double loss;
    cgd__loss_clear(dx, add);
    if (own.n == 0 || own.h < CGD__WINDOW || own.w < CGD__WINDOW) return 0;
    its = cgd__squares(target, scratch + count);
    d = cgd__squares(x, scratch + 2 * count);
    memset(scratch, 0, 3 * count * sizeof(float));
    cgd__squares_add(x, &own, 0);
    cgd__squares_add(target, &its, 0);
    loss = (double)weight * cgd__window_mean(ctx, &own, &its, weight,
                                             dx ? &d : NULL,
                                             scratch + 3 * count);
    if (dx) cgd__squares_add(dx, &d, 1);
    return loss;
}

/* ---- Adam and schedules --------------------------------------------------*/
/* Plain descent takes p - lr * g, which is too far where gradients are large
 * and nowhere where they are small. Adam divides by their size: m follows the
 * gradient's mean and v the mean of its square, each moving by 1 - beta of the
 * way at every step, and the step is m / sqrt(v), about as long as lr for a
 * weight whose gradients agree and short for one whose gradients cancel.
 *
 * Both means start at 0 and are too small at first: after t steps of a
 * constant g, m = (1 - beta^t) g. Dividing by 1 - beta1^t and 1 - beta2^t
 * takes that out, here once for a step as a factor on lr and one on the root.
 * GANs take beta1 = 0.5: the goal moves with the other player, and a long
 * memory of where it was overshoots. */

static double cgd__power(double base, unsigned long n)
{
    double result = 1;
    for (; n; n >>= 1, base *= base) if (n & 1) result *= base;
    return result;
}

static void cgd__adam_ref(float *p, float *m, float *v, const float *g,
                          size_t count, float beta1, float beta2, float rate,
                          float scale, float eps)
{
    size_t i;
    for (i = 0; i < count; i++) {
        m[i] = beta1 * m[i] + (1 - beta1) * g[i];
        v[i] = beta2 * v[i] + (1 - beta2) * g[i] * g[i];
        p[i] -= rate * m[i] / (CGD_SQRTF(v[i]) * scale + eps);
    }
}

#define CGD__ADAM_BLOCK 16384

typedef struct cgd__adam_job {
    const cgd__kernels *kernels;
    const cgd_adam *adam;
    float *p, *m, *v;
    const float *g;
    float rate, scale;
    size_t count;
} cgd__adam_job;

static void cgd__adam_slice(void *job, size_t slice)
{
    const cgd__adam_job *q = (const cgd__adam_job *)job;
    size_t i = slice * CGD__ADAM_BLOCK;
    q->kernels->adam(q->p + i, q->m + i, q->v + i, q->g + i,
                     cgd__min(CGD__ADAM_BLOCK, q->count - i), q->adam->beta1,
                     q->adam->beta2, q->rate, q->scale, q->adam->eps);
}

CGDDEF void cgd_adam_step(cgd_ctx *ctx, const cgd_adam *adam, float lr,
                          unsigned long step, float *p, float *m, float *v,
                          const float *g, size_t count)
{
    cgd__adam_job q;
    q.kernels = ctx->kernels;
    q.adam = adam; q.p = p; q.m = m; q.v = v; q.g = g; q.count = count;
    q.rate = (float)((double)lr
                     / (1 - cgd__power((double)adam->beta1, step)));
    q.scale = (float)(1 / cgd__sqrt(1 - cgd__power((double)adam->beta2,
                                                   step)));
    cgd__for(ctx, cgd__ceil_div(count, CGD__ADAM_BLOCK), cgd__adam_slice, &q);
}

static double cgd__cos(double x)               /* |x| up to a few pi         */
{
    double sum = 1;
    int i;
    x *= x / 64;                               /* cos(x/8), then doubled     */
    for (i = 16; i > 0; i -= 2) sum = 1 - sum * x / (i * (i - 1));
    for (i = 0; i < 3; i++) sum = 2 * sum * sum - 1;
    return sum;
}

CGDDEF float cgd_schedule_at(const cgd_schedule *schedule, unsigned long step)
{
    double start = (double)schedule->start, total = (double)schedule->total;
    double at = (double)step, part;
    if (schedule->kind == CGD_LR_STEP) {
        double factor = 1;
        for (; start > 0 && at >= start; at -= start) factor *= 0.1;
        return (float)factor;
    }
    if (schedule->kind == CGD_LR_CONSTANT || at < start || total <= start)
        return 1;
    if (at >= total) return 0;
    part = (at - start) / (total - start);
    return (float)(schedule->kind == CGD_LR_LINEAR ? 1 - part
        : 0.5 * (1 + cgd__cos(3.14159265358979324 * part)));
}

/* ---- image pool ----------------------------------------------------------*/
/* A discriminator that sees only the newest fakes forgets the older ones, and
 * the two nets can chase each other in circles. Half of what it is shown is
 * therefore taken from the past. */

CGDDEF cgd_status cgd_pool_init(cgd_ctx *ctx, cgd_pool *pool, size_t capacity,
                                size_t picture)
{
    memset(pool, 0, sizeof *pool);
    if (capacity == 0) return CGD_OK;
    pool->data = (float *)cgd__alloc_zeroed(ctx, capacity,
        picture * sizeof(float), "the image pool");
    if (!pool->data) return CGD_ERR_MEMORY;
    pool->capacity = capacity;
    pool->picture = picture;
    return CGD_OK;
}

CGDDEF void cgd_pool_free(cgd_ctx *ctx, cgd_pool *pool)
{
    cgd__free(ctx, pool->data, pool->capacity * pool->picture * sizeof(float));
    memset(pool, 0, sizeof *pool);
}

CGDDEF void cgd_pool_query(cgd_pool *pool, cgd_rng *rng, cgd_tensor *fakes)
{
    size_t n, i;
    for (n = 0; n < fakes->n && pool->capacity > 0; n++) {
        float *fake = fakes->data + n * pool->picture, *kept;
        if (pool->filled < pool->capacity) {
            memcpy(pool->data + pool->filled++ * pool->picture, fake,
                   pool->picture * sizeof(float));
            continue;
        }
        if (cgd_rng_uniform(rng) < 0.5) continue;
        kept = pool->data + pool->picture
             * cgd_rng_below(rng, (cgd_u32)pool->capacity);
        for (i = 0; i < pool->picture; i++) {
            float swap = fake[i];
            fake[i] = kept[i];
            kept[i] = swap;
        }
    }
}

/* ======================================================================== */
/* [impl:learners] Nets that learn                                          */
/* ======================================================================== */
/* A learner is a net, its gradient, Adam's two averages of it and, where asked
 * for, an average of the net's own weights over the steps. Calls [impl:nets],
 * [impl:losses]. */

/* Give a net what learning needs; ema: also an average of the weights. That is
 * the gradient, m and v: three times the weights, for pictures of any size. */
static cgd_status cgd__learner_start(cgd_learner *l, int ema)
{
    cgd_ctx *ctx = l->net.ctx;
    cgd_status status = cgd_net_with_grads(&l->net);
    if (status != CGD_OK) return status;
    cgd__net_unpack(&l->net);
    l->m = (float *)cgd__alloc_zeroed(ctx, l->net.count, sizeof(float),
                                      "Adam's averages");
    l->v = (float *)cgd__alloc_zeroed(ctx, l->net.count, sizeof(float),
                                      "Adam's averages");
    if (ema)
        l->ema = (float *)cgd__alloc_zeroed(ctx, l->net.state, sizeof(float),
                                            "the average of the weights");
    if (!l->m || !l->v || (ema && !l->ema)) return CGD_ERR_MEMORY;
    return CGD_OK;
}

static void cgd__learner_free(cgd_learner *l)
{
    cgd_ctx *ctx = l->net.ctx;
    if (!ctx) return;
    cgd__free(ctx, l->m, l->net.count * sizeof(float));
    cgd__free(ctx, l->v, l->net.count * sizeof(float));
    cgd__free(ctx, l->ema, l->net.state * sizeof(float));
    cgd_net_free(&l->net);
    memset(l, 0, sizeof *l);
}

/* Is there such a net in this training, and does it learn or stand still? */
static int cgd__exists(const cgd_learner *l) { return l->net.layers != NULL; }
static int cgd__learns(const cgd_learner *l) { return l->m != NULL; }

static void cgd__zero(cgd_tensor *t)
{
    memset(t->data, 0, cgd_tensor_size(t) * sizeof(float));
}

/* Gradients are added to what is there, so that several passes of a step may
 * share one; somebody has to begin with none. */
static void cgd__zero_grads(cgd_learner *l)
{
    memset(l->net.grads, 0, l->net.count * sizeof(float));
}

typedef struct cgd__ema_job {
    float *ema;
    const float *p;
    size_t count;
    float rate;
} cgd__ema_job;

CGD__OPTIMIZED static void cgd__ema_slice(void *job, size_t slice)
{
    const cgd__ema_job *q = (const cgd__ema_job *)job;
    size_t i = slice * CGD__BLOCK, end = cgd__min(i + CGD__BLOCK, q->count);
    for (; i < end; i++) q->ema[i] += q->rate * (q->p[i] - q->ema[i]);
}

/* Adam, then the average e += (1 - decay) (p - e). At a small batch weights
 * never come to rest but circle around where they belong; their average is
 * near the middle (Polyak & Juditsky 1992). The first weights are noise, which
 * a slow decay would remember for long: it warms up, to min(ema,
 * (1 + step) / (20 + step)). */
static void cgd__learner_step(cgd_trainer *t, cgd_learner *l, float lr)
{
    cgd_ctx *ctx = t->ctx;
    float warm = (float)(1 + t->step) / (float)(20 + t->step);
    cgd__ema_job q;
    lr *= cgd_schedule_at(&t->config.schedule, t->step);
    cgd_adam_step(ctx, &t->config.adam, lr, t->step + 1, l->net.params, l->m,
                  l->v, l->net.grads, l->net.count);
    if (!l->ema) return;
    q.ema = l->ema; q.p = l->net.params; q.count = l->net.state;
    q.rate = 1 - (warm < t->config.ema ? warm : t->config.ema);
    cgd__for(ctx, cgd__ceil_div(q.count, CGD__BLOCK), cgd__ema_slice, &q);
}

/* ---- a net's turn in a step ----------------------------------------------*/

/* A trip through a net and back: the pass, and where the gradient of its
 * output is written before it goes back. One that a step does not make has no
 * slots. */
typedef struct cgd__trip {
    cgd_pass pass;
    cgd_tensor d;
} cgd__trip;

static int cgd__made(const cgd__trip *trip)
{
    return trip->pass.slots != NULL;
}

/* A tensor shaped like another, from an arena. */
static cgd_tensor cgd__take_like(cgd__arena *a, const cgd_tensor *like)
{
    cgd_tensor t = *like;
    t.data = cgd__take_floats(a, cgd_tensor_size(like));
    return t;
}

/* A pass's block, from an arena. */
static void cgd__place_pass(cgd__arena *a, cgd_pass *pass)
{
    void *memory = cgd__take(a, pass->bytes, 1);
    if (memory) cgd_pass_place(pass, memory);
}

static void cgd__place_trip(cgd__arena *a, cgd__trip *trip)
{
    if (!cgd__made(trip)) return;
    cgd__place_pass(a, &trip->pass);
    trip->d = cgd__take_like(a, &trip->pass.y);
}

/* ======================================================================== */
/* [impl:distil] The teacher                                                */
/* ======================================================================== */
/* A student is a small generator that learns from a large one instead of from
 * the world. The teacher's answer to a picture is a target as plain as any
 * label: where the trainer's own losses only say that a fake should look like
 * the other domain, this one says which fake, pixel by pixel, and needs no
 * adversary to say so. Beside the trainer's losses stand
 *
 *   + output * |G_s(x) - teacher(x)|_1
 *   + haar * L1 of their high frequencies
 *   + contrast * L1 of their local contrasts
 *   + feature * mean over matched blocks (k, t_k) of MSE(h_k, teacher h_t_k)
 *
 * where h_k is the output of residual block k, taken through a learned 1x1
 * convolution, the adaptor, if the student is narrower than its teacher. Terms
 * of weight 0 cost nothing: without adversarial, cycle and identity terms
 * neither discriminators nor the reverse generator exist.
 *
 * This section owns what a student takes over from its teacher before the
 * first step, and the lesson of each step: what the teacher says of a batch,
 * and how far the student is from it. [impl:train] calls it. */

#define CGD__MATCHES 16                /* blocks that can be matched         */

/* Is there a teacher? */
static int cgd__distils(const cgd_trainer *t)
{
    return t->teacher.layers != NULL;
}

/* ---- matched blocks ------------------------------------------------------*/
/* Student block k of n learns to stand where teacher block t_k of m stands: at
 * the same part of the way, the last at the last. Before them are the stem and
 * the way down; a plain block has two layers, a separable one four. */

/* Layer at which the blocks begin; the one before it makes what runs through
 * them. */
static size_t cgd__first_block(const cgd_generator_config *c)
{
    return c->antialias ? 5 : 3;
}

/* Channels that run through the blocks. */
static size_t cgd__stream_width(const cgd_net *generator)
{
    return generator->layers[cgd__first_block(&generator->generator)
                             - 1].out_c;
}

/* Layers in a residual block. */
static size_t cgd__block_layers(const cgd_net *generator)
{
    return generator->generator.block == CGD_BLOCK_SEPARABLE ? 4 : 2;
}

/* The layer whose output is that of residual block k. */
static size_t cgd__block_end(const cgd_net *generator, size_t k)
{
    return cgd__first_block(&generator->generator) - 1
         + (k + 1) * cgd__block_layers(generator);
}

/* The teacher's block that student block k of n is matched with: the given
 * one, or spread evenly with the last on the last (1, 4, 8 for 3 of 9). */
static size_t cgd__matched_block(const int *blocks, size_t k, size_t n,
                                 size_t teacher)
{
    if (blocks && k < CGD__MATCHES && blocks[0] >= 0) return (size_t)blocks[k];
    return k + 1 == n ? teacher - 1 : (2 * k + 1) * teacher / (2 * n);
}

/* How many of the student's blocks are matched: those listed, or all. */
static size_t cgd__matched_count(const int *blocks, size_t n)
{
    size_t k = 0;
    if (!blocks || blocks[0] < 0) return n;
    while (k < CGD__MATCHES && k < n && blocks[k] >= 0) k++;
    return k;
}

/* Are all blocks that are matched there? */
static cgd_status cgd__check_blocks(cgd_ctx *ctx, const cgd_net *student,
                                    const cgd_net *teacher, const int *blocks)
{
    size_t n = (size_t)student->generator.blocks, k, at;
    size_t m = (size_t)teacher->generator.blocks;
    for (k = 0; k < cgd__matched_count(blocks, n); k++) {
        at = m ? cgd__matched_block(blocks, k, n, m) : 0;
        if (at >= m)
            return cgd__fail(ctx, CGD_ERR_SHAPE,
                "student block %u is matched with teacher block %u, but the "
                "teacher has %u", k, at, m);
    }
    return CGD_OK;
}

/* ---- transfer ------------------------------------------------------------*/
/* A narrow student takes over the channels that matter: of each layer's
 * outputs those with the largest L1 norm of weights over the inputs that are
 * kept; these are the inputs of the next layer (Li et al. 2020, "GAN
 * Compression"). But a norm makes all outputs equally strong, however large
 * the weights: pruning therefore asks the layers that read a channel for the
 * share that it has in what they add up, the squares of weights, summed over
 * their outputs. A residual sum adds channels of one number, so what enters,
 * runs through and leaves the blocks is one choice, made by all the layers
 * that write or read there. Kept channels stay in order: equal widths make
 * plain copies. */

typedef struct cgd__choices {
    const cgd_net *student, *teacher;
    int transfer;
    const int *blocks;
    size_t *channels;      /* of the teacher: the picture's, then each layer's
                              of the student, one after the other            */
    size_t *stream;        /* those that run through the blocks              */
    size_t count;          /* numbers in all of these                        */
    double *worth;         /* room for the teacher's widest layer            */
    size_t widest;
} cgd__choices;

/* Are layers beside the resampling ones copied? */
static int cgd__transfers_all(const cgd__choices *q)
{
    return q->transfer >= CGD_TRANSFER_FULL;
}

/* The teacher's layer at the place of the student's layer i, or NULL: blocks
 * have one in a full transfer. A teacher's blurs are nobody's: the student,
 * who has none, takes steps of 2 with the same windows. */
static const cgd_layer *cgd__counterpart(const cgd__choices *q, size_t i)
{
    const cgd_net *s = q->student, *t = q->teacher;
    size_t per = cgd__block_layers(s), n = (size_t)s->generator.blocks, k;
    if (i < 2) return t->layers + i;
    if (i == 2) return t->layers + (t->generator.antialias ? 3 : 2);
    if (i + 3 >= s->n_layers) return t->layers + t->n_layers
                                   - (s->n_layers - i);
    k = (i - 3) / per;
    if (!cgd__transfers_all(q)
        || s->generator.block != t->generator.block
        || k >= cgd__matched_count(q->blocks, n)) return NULL;
    k = cgd__matched_block(q->blocks, k, n, (size_t)t->generator.blocks);
    return t->layers + cgd__block_end(t, k) + 1 - per + (i - 3) % per;
}

/* Where a layer's weight from input i to output o begins, and how far its
 * next tap is. */
static size_t cgd__weight_at(const cgd_layer *l, size_t i, size_t o,
                             size_t *step)
{
    *step = l->kind >= CGD_DEPTHWISE ? l->in_c : l->in_c * l->out_c;
    return l->w + (l->kind >= CGD_DEPTHWISE ? i
                 : l->kind == CGD_CONV ? i * l->out_c + o : o * l->in_c + i);
}

/* Add the norms of a teacher's layer; in NULL: over all of its inputs. */
static void cgd__add_norms(const cgd__choices *q, const cgd_layer *l,
                           const size_t *in, size_t n_in)
{
    size_t o, i, tap, step, at, taps = l->window.kernel * l->window.kernel;
    for (o = 0; o < l->out_c; o++)
        for (i = 0; i < n_in; i++) {
            at = cgd__weight_at(l, in ? in[i] : i, o, &step);
            for (tap = 0; tap < taps; tap++, at += step) {
                double w = (double)q->teacher->params[at];
                q->worth[o] += w < 0 ? -w : w;
            }
        }
}

/* The sum of squares of the window's weights from input i to output o: with
 * inputs of variance 1, as a norm leaves them, what i adds to o's variance. */
static double cgd__energy(const cgd__choices *q, const cgd_layer *l, size_t i,
                          size_t o)
{
    size_t tap, step, taps = l->window.kernel * l->window.kernel;
    size_t at = cgd__weight_at(l, i, o, &step);
    double sum = 0;
    for (tap = 0; tap < taps; tap++, at += step)
        sum += (double)q->teacher->params[at] * (double)q->teacher->params[at];
    return sum;
}

/* Add what the layer that reads as the student's layer i is to read makes of
 * each of its inputs. A depthwise layer only hands them on, to the next. */
static void cgd__add_shares(const cgd__choices *q, size_t i)
{
    const cgd_layer *l = cgd__counterpart(q, i);
    size_t in, o;
    if (l && l->kind >= CGD_DEPTHWISE) l = cgd__counterpart(q, i + 1);
    if (!l) return;
    for (o = 0; o < l->out_c; o++) {
        double all = 0;
        for (in = 0; in < l->in_c; in++) all += cgd__energy(q, l, in, o);
        for (in = 0; in < l->in_c && all > 0; in++)
            q->worth[in] += cgd__energy(q, l, in, o) / all;
    }
}

/* The n of `of` channels that are worth most, in order; what is not a number
 * counts as nothing. Whoever is taken is marked by a worth below 0. */
static void cgd__choose(const cgd__choices *q, size_t *chosen, size_t n,
                        size_t of)
{
    size_t i, k, best;
    for (i = 0; i < of; i++) if (!(q->worth[i] >= 0)) q->worth[i] = 0;
    for (k = 0; k < n; k++) {
        for (i = best = 0; i < of; i++)
            if (q->worth[i] > q->worth[best]) best = i;
        q->worth[best] = -1;
    }
    for (i = k = 0; i < of && k < n; i++)
        if (q->worth[i] < 0) chosen[k++] = i;
}

/* The channels that run through the blocks: all layers that write or read
 * there have a say, since a channel that is cut is cut from all of them. */
static void cgd__choose_stream(const cgd__choices *q)
{
    const cgd_net *s = q->student;
    size_t i;
    memset(q->worth, 0, q->widest * sizeof *q->worth);
    for (i = 2; i + 3 < s->n_layers; i++) {
        const cgd_layer *l = cgd__counterpart(q, i);
        if (!l || (i > 2 && !l->skip)) continue;
        if (q->transfer == CGD_TRANSFER_PRUNE) cgd__add_shares(q, i + 1);
        else cgd__add_norms(q, l, NULL, l->in_c);
    }
    cgd__choose(q, q->stream, s->layers[2].out_c,
                cgd__stream_width(q->teacher));
}

/* The channels that layer i keeps of its counterpart's, given its inputs. */
static void cgd__choose_outputs(const cgd__choices *q, size_t i,
                                const size_t *in, size_t *out)
{
    const cgd_layer *l = q->student->layers + i, *from = cgd__counterpart(q, i);
    size_t k;
    if (i == 2 || l->skip) {
        memcpy(out, q->stream, l->out_c * sizeof *out);
    } else if (l->kind >= CGD_DEPTHWISE) {
        memcpy(out, in, l->out_c * sizeof *out);
    } else if (from) {
        memset(q->worth, 0, q->widest * sizeof *q->worth);
        if (q->transfer == CGD_TRANSFER_PRUNE
            && i + 1 < q->student->n_layers) cgd__add_shares(q, i + 1);
        else cgd__add_norms(q, from, in, l->in_c);
        cgd__choose(q, out, l->out_c, from->out_c);
    } else {
        for (k = 0; k < l->out_c; k++) out[k] = k;   /* nobody's counterpart */
    }
}

static void cgd__copy_values(float *to, const float *from,
                             const size_t *channels, size_t n)
{
    size_t k;
    for (k = 0; k < n; k++) to[k] = from[channels[k]];
}

/* Copy what both layers have of the trained values (or of what stands for
 * them, such as Adam's averages): the weights, a bias, a norm's own
 * parameters. */
static void cgd__copy_layer(const cgd_layer *l, const cgd_layer *from,
                            const size_t *in, const size_t *out,
                            float *to, const float *its)
{
    size_t taps = l->window.kernel * l->window.kernel, tap, i, o, n = l->out_c;
    size_t outputs = l->kind >= CGD_DEPTHWISE ? 1 : n;
    for (o = 0; o < outputs; o++)
        for (i = 0; i < l->in_c; i++) {
            size_t step, its_step, at = cgd__weight_at(l, i, o, &step);
            size_t place = cgd__weight_at(from, in[i], out[o], &its_step);
            for (tap = 0; tap < taps; tap++, at += step, place += its_step)
                to[at] = its[place];
        }
    if (l->norm == CGD_NORM_NONE && from->norm == CGD_NORM_NONE)
        cgd__copy_values(to + l->b, its + from->b, out, n);
    if (cgd__norm_affine(l->norm) && cgd__norm_affine(from->norm)) {
        cgd__copy_values(to + l->gamma, its + from->gamma, out, n);
        cgd__copy_values(to + l->beta, its + from->beta, out, n);
    }
}

/* Walk through the student and choose. A layer's outputs are the next one's
 * inputs, so that each choice is made once and used twice: the lists lie one
 * behind the other, and `in` of a layer is `out` of the one before. */
static void cgd__choose_channels(const cgd__choices *q)
{
    const cgd_net *s = q->student;
    size_t *in = q->channels, i;
    for (i = 0; i < s->layers[0].in_c; i++) in[i] = i;
    cgd__choose_stream(q);
    for (i = 0; i < s->n_layers; in += s->layers[i++].in_c)
        cgd__choose_outputs(q, i, in, in + s->layers[i].in_c);
}

/* Copy what the chosen channels have in a vector of the teacher's; running:
 * its running statistics too. Layers without a counterpart of their own kind
 * keep what they have. The vector may as well be Adam's: an average of the
 * gradient belongs to its weight, and goes where that goes. */
static void cgd__copy_channels(const cgd__choices *q, float *to,
                               const float *its, int running)
{
    const cgd_net *s = q->student;
    size_t *in = q->channels, *out, i;
    for (i = 0; i < s->n_layers; i++, in = out) {
        const cgd_layer *l = s->layers + i, *from = cgd__counterpart(q, i);
        int resamples = i == 1 || i == 2 || (i + 3 >= s->n_layers
                                             && i + 1 < s->n_layers);
        out = in + l->in_c;
        if (!from || from->kind != l->kind
            || from->window.kernel != l->window.kernel
            || !(resamples || cgd__transfers_all(q))) continue;
        cgd__copy_layer(l, from, in, out, to, its);
        if (!running || l->norm != CGD_NORM_BATCH
            || from->norm != CGD_NORM_BATCH) continue;
        cgd__copy_values(to + l->mean, its + from->mean, out, l->out_c);
        cgd__copy_values(to + l->var, its + from->var, out, l->out_c);
    }
}

/* Has the teacher all the channels that the student wants, layer by layer? */
static cgd_status cgd__check_widths(const cgd__choices *q)
{
    const cgd_net *s = q->student;
    size_t i;
    for (i = 0; i < s->n_layers; i++) {
        const cgd_layer *l = s->layers + i, *from = cgd__counterpart(q, i);
        int picture = i + 1 == s->n_layers;
        if (!from || (picture ? l->out_c == from->out_c
                              : l->out_c <= from->out_c)) continue;
        return cgd__fail(s->ctx, CGD_ERR_SHAPE,
            "the student's layer %s has %u channels and the teacher's %s has "
            "%u: only a narrower student can take over weights", l->name,
            l->out_c, from->name, from->out_c);
    }
    if (s->layers[0].in_c == q->teacher->layers[0].in_c) return CGD_OK;
    return cgd__fail(s->ctx, CGD_ERR_SHAPE,
                     "teacher and student differ in the pictures' channels");
}

static void cgd__choices_free(cgd__choices *q)
{
    cgd_ctx *ctx = q->student->ctx;
    cgd__free(ctx, q->worth, q->widest * sizeof(double));
    cgd__free(ctx, q->channels, q->count * sizeof(size_t));
    memset(q, 0, sizeof *q);
}

/* Choose for a student: room for all choices, and the walk that makes them. */
static cgd_status cgd__choices_init(cgd__choices *q, const cgd_net *student,
                                    const cgd_net *teacher, int transfer,
                                    const int *teacher_blocks)
{
    cgd_ctx *ctx = student->ctx;
    size_t i;
    cgd_status status;
    memset(q, 0, sizeof *q);
    q->student = student;
    q->teacher = teacher;
    q->transfer = transfer;
    q->blocks = teacher_blocks;
    status = cgd__check_widths(q);
    if (status != CGD_OK) return status;
    q->count = student->layers[0].in_c + student->layers[2].out_c;
    for (i = 0; i < student->n_layers; i++)
        q->count += student->layers[i].out_c;
    for (i = 0; i < teacher->n_layers; i++)
        q->widest = cgd__max(q->widest, teacher->layers[i].out_c);
    q->channels = (size_t *)cgd__alloc_zeroed(ctx, q->count, sizeof(size_t),
                                              "a transfer");
    q->worth = (double *)cgd__alloc_zeroed(ctx, q->widest, sizeof(double),
                                           "a transfer");
    if (!q->channels || !q->worth) {
        cgd__choices_free(q);
        return CGD_ERR_MEMORY;
    }
    q->stream = q->channels + q->count - student->layers[2].out_c;
    cgd__choose_channels(q);
    return CGD_OK;
}

CGDDEF cgd_status cgd_transfer(cgd_net *student, const cgd_net *teacher,
                               int transfer, const int *teacher_blocks)
{
    cgd_ctx *ctx = student->ctx;
    cgd__choices q;
    cgd_status status;
    if (!student->is_generator || !teacher->is_generator)
        return cgd__fail(ctx, CGD_ERR_ARGUMENT,
                         "layers are transferred between generators only");
    if (transfer < CGD_TRANSFER_NONE || transfer > CGD_TRANSFER_PRUNE)
        return cgd__fail(ctx, CGD_ERR_ARGUMENT, "there is no transfer %d",
                         transfer);
    if (transfer == CGD_TRANSFER_NONE) return CGD_OK;
    if (student->generator.antialias)
        return cgd__fail(ctx, CGD_ERR_UNSUPPORTED,
            "an antialiased generator cannot be a student that takes over "
            "layers, only a teacher");
    status = transfer >= CGD_TRANSFER_FULL
           ? cgd__check_blocks(ctx, student, teacher, teacher_blocks) : CGD_OK;
    if (status == CGD_OK) status = cgd__net_writable(student);
    if (status == CGD_OK)
        status = cgd__choices_init(&q, student, teacher, transfer,
                                   teacher_blocks);
    if (status != CGD_OK) return status;
    cgd__net_unpack(student);
    cgd__copy_channels(&q, student->params, teacher->params, 1);
    cgd__choices_free(&q);
    return CGD_OK;
}

/* ---- cuts ----------------------------------------------------------------*/
/* A net that is cut to a quarter at once forgets what it did and has to learn
 * it again; cut a little, it goes on doing it, and soon as well as before (Han
 * et al. 2015, "Learning both Weights and Connections"). A cut takes the
 * average and Adam's of the channels that stay along. */

/* How many cuts are behind the student that takes a step: at step 0, one. They
 * are evenly spread, so that each finds the student recovered from the last. */
static int cgd__cuts_at(const cgd_train_config *d, unsigned long step)
{
    double span = (double)d->cut_part * (double)d->schedule.total;
    double cut = span > 0 ? 1 + (double)d->cuts * (double)step / span : d->cuts;
    return d->cuts <= 1 || cut >= d->cuts ? d->cuts : (int)cut;
}

/* A width on its way down to another, by equal ratios: from 64 to 16 in two
 * cuts by way of 32, since what hurts is the share that is lost, not the
 * number. What is wider already than it can become is left to transfer to
 * refuse. */
static size_t cgd__cut_width(size_t from, size_t to, double part)
{
    double ratio = (double)to / (double)from;
    if (to >= from) return to;
    return (size_t)((double)from * cgd__exp(part * cgd__log(ratio)) + 0.5);
}

/* From the student's shape in the end to that at a step. */
static void cgd__cut_shape(const cgd_trainer *t, unsigned long step,
                           cgd_generator_config *g)
{
    const cgd_train_config *d = &t->config;
    const cgd_generator_config *teacher = &t->teacher.generator;
    size_t n = (size_t)g->blocks, from[6], to[6], i;
    int cut = cgd__cuts_at(d, step);
    double part = (double)cut / (double)d->cuts;
    if (cut >= d->cuts) return;
    cgd__stages(teacher, from);
    cgd__stages(g, to);
    for (i = 0; i < 6; i++)
        g->stage[i] = (int)cgd__cut_width(from[i], to[i], part);
    for (i = 0; i < cgd__matched_count(d->teacher_blocks, n); i++) {
        size_t k = cgd__matched_block(d->teacher_blocks, i, n,
                                      (size_t)teacher->blocks);
        g->inside[i] = (unsigned short)cgd__cut_width(
            teacher->inside[k] ? teacher->inside[k] : from[3],
            g->inside[i] ? g->inside[i] : to[3], part);
    }
}

/* ---- a lesson ------------------------------------------------------------*/

/* What a step's lesson needs of one matched block. */
typedef struct cgd__matched {
    cgd_tensor target;                 /* what the teacher has there         */
    cgd_tensor pull;                   /* gradient of what the student has   */
    cgd__trip adapt;                   /* to the teacher's width             */
    cgd_tensor d_own;                  /* the gradient that comes back of it */
} cgd__matched;

/* What the teacher says of a batch, and what it takes to learn from it. */
typedef struct cgd__lesson {
    cgd_pass ask;                      /* of one picture                     */
    cgd_tensor output;
    cgd__matched hidden[CGD__MATCHES];
    size_t n_hidden;
    float *contrast;                   /* scratch                            */
} cgd__lesson;

/* Does side s have a teacher? */
static int cgd__taught(const cgd_trainer *t, int s)
{
    return cgd__distils(t) && t->config.direction == s;
}

/* Pictures [first, first + n) of a batch. */
static cgd_tensor cgd__part_of_batch(const cgd_tensor *x, size_t first,
                                     size_t n)
{
    return cgd_tensor_view(n, x->h, x->w, x->c,
                           x->data + first * x->h * x->w * x->c);
}

/* ---- what the teacher says -----------------------------------------------*/
/* One answer is the teacher's output for one picture, then the hidden states
 * that a term reads. Answers are kept in a table under a hash of the picture:
 * of 64 bits, so that two of a million pictures are taken for each other with
 * a probability of 3e-8. Each picture is shown to the teacher by itself; what
 * it says then depends on nothing else, whether it is remembered or not. */

typedef struct cgd__answer {
    cgd_u32 key[2];
    float *values;                     /* NULL: an empty place               */
} cgd__answer;

struct cgd__answers {
    cgd__answer *places;
    size_t room, kept, most;           /* room: a power of two over 2 * most */
    size_t values;                     /* in an answer                       */
};

/* One step of MurmurHash3 (Appleby 2011), and a picture's two hashes by it. */
static cgd_u32 cgd__mix(cgd_u32 h, cgd_u32 v, cgd_u32 factor)
{
    v *= factor;
    h ^= v << 15 | v >> 17;
    return (h << 13 | h >> 19) * 5U + 0xe6546b64U;
}

/* Both hashes of a picture's values, finished so that every bit counts. */
static void cgd__picture_key(cgd_u32 key[2], const float *x, size_t count)
{
    cgd_u32 v;
    size_t i;
    key[0] = 0x243f6a88U;
    key[1] = 0x85a308d3U;
    for (i = 0; i < count; i++) {
        memcpy(&v, x + i, sizeof v);
        key[0] = cgd__mix(key[0], v, 0xcc9e2d51U);
        key[1] = cgd__mix(key[1], v, 0x1b873593U);
    }
    for (i = 0; i < 2; i++) {
        key[i] = (key[i] ^ key[i] >> 16) * 0x85ebca6bU;
        key[i] ^= key[i] >> 13;
    }
}

/* Where the answer is, or the empty place where it belongs. */
static cgd__answer *cgd__answer_find(const struct cgd__answers *a,
                                     const cgd_u32 key[2])
{
    size_t i = key[0] & (a->room - 1);
    while (a->places[i].values && (a->places[i].key[0] != key[0]
                                   || a->places[i].key[1] != key[1]))
        i = (i + 1) & (a->room - 1);
    return a->places + i;
}

static void cgd__answers_free(cgd_trainer *t)
{
    struct cgd__answers *a = t->answers;
    size_t i;
    if (!a) return;
    for (i = 0; i < a->room && a->places; i++)
        cgd__free(t->ctx, a->places[i].values, a->values * sizeof(float));
    cgd__free(t->ctx, a->places, a->room * sizeof *a->places);
    cgd__free(t->ctx, a, sizeof *a);
    t->answers = NULL;
}

/* The student's hidden states that are matched: what takes part, or none. */
static size_t cgd__matches(const cgd_trainer *t)
{
    const cgd_train_config *d = &t->config;
    if (!(d->feature_weight > 0)) return 0;
    return cgd__min(CGD__MATCHES, cgd__matched_count(d->teacher_blocks,
                                  (size_t)t->config.generator.blocks));
}

/* The layers of G_s that are compared with a teacher's. */
static size_t cgd__matched_layers(const cgd_trainer *t, int s, size_t *keep)
{
    size_t count = cgd__taught(t, s) ? cgd__matches(t) : 0, k;
    for (k = 0; k < count; k++)
        keep[k] = cgd__block_end(&t->side[s].g.net, k);
    return count;
}

/* The teacher's layers whose outputs are read. */
static size_t cgd__lesson_keep(const cgd_trainer *t, size_t *keep)
{
    const cgd_train_config *d = &t->config;
    size_t n = (size_t)t->config.generator.blocks, count = cgd__matches(t), k;
    for (k = 0; k < count; k++)
        keep[k] = cgd__block_end(&t->teacher,
            cgd__matched_block(d->teacher_blocks, k, n,
                               (size_t)t->teacher.generator.blocks));
    return count;
}

/* A hidden state of the teacher's: its trunk runs at a quarter of the size. */
static cgd_tensor cgd__hidden_shape(const cgd_trainer *t, size_t n)
{
    return cgd_tensor_view(n, t->config.height / 4, t->config.width / 4,
                           cgd__stream_width(&t->teacher), NULL);
}

static cgd_tensor cgd__output_shape(const cgd_trainer *t, size_t n)
{
    return cgd_tensor_view(n, t->config.height, t->config.width,
        t->teacher.layers[t->teacher.n_layers - 1].out_c, NULL);
}

/* Values in an answer: the output, and the hidden states that are matched. */
static size_t cgd__answer_values(const cgd_trainer *t)
{
    cgd_tensor output = cgd__output_shape(t, 1);
    cgd_tensor hidden = cgd__hidden_shape(t, 1);
    return cgd_tensor_size(&output)
         + cgd__matches(t) * cgd_tensor_size(&hidden);
}

/* A table of as many answers as the configuration has memory for. It is empty:
 * answers are allocated as they come. A teacher is most of a step's work, and
 * says the same of the same picture every time: where pictures come again
 * whole, and not as random crops, it needs to be asked only once. */
static cgd_status cgd__answers_start(cgd_trainer *t)
{
    struct cgd__answers *a;
    size_t values = cgd__answer_values(t), most;
    most = cgd__min(t->config.answer_bytes / (values * sizeof(float)),
                    (size_t)1 << 20);
    if (most == 0) return CGD_OK;
    a = (struct cgd__answers *)cgd__alloc_zeroed(t->ctx, 1, sizeof *a,
                                                 "the teacher's answers");
    if (!a) return CGD_ERR_MEMORY;
    t->answers = a;
    a->values = values;
    a->most = most;
    for (a->room = 2; a->room < 2 * most; ) a->room *= 2;
    a->places = (cgd__answer *)cgd__alloc_zeroed(t->ctx, a->room,
        sizeof *a->places, "the teacher's answers");
    return a->places ? CGD_OK : CGD_ERR_MEMORY;
}

/* Where a lesson holds the answer for picture i: part k, of *count values. */
static float *cgd__lesson_part(const cgd__lesson *lesson, size_t k, size_t i,
                               size_t *count)
{
    const cgd_tensor *all = k ? &lesson->hidden[k - 1].target
                              : &lesson->output;
    *count = cgd_tensor_size(all) / all->n;
    return all->data + i * *count;
}

/* Show the teacher picture i, and write down what it says. A batch norm in
 * it uses the picture's own statistics, or those it was deployed with. The
 * teacher does not learn: its pass keeps nothing for a backward. */
static cgd_status cgd__ask(const cgd_trainer *t, cgd__lesson *lesson,
                           const cgd_tensor *x, size_t i)
{
    size_t keep[CGD__MATCHES], n = cgd__lesson_keep(t, keep), k, count;
    cgd_tensor one = cgd__part_of_batch(x, i, 1);
    cgd_status status = cgd_pass_forward(&lesson->ask, &one);
    for (k = 0; k <= n && status == CGD_OK; k++) {
        float *to = cgd__lesson_part(lesson, k, i, &count);
        cgd_tensor said = k ? cgd_pass_output(&lesson->ask, keep[k - 1])
                            : lesson->ask.y;
        memcpy(to, said.data, count * sizeof(float));
    }
    return status;
}

/* Remember the answer for picture i in an empty place. */
static void cgd__answer_keep(cgd_trainer *t, cgd__answer *place,
                             const cgd_u32 key[2], size_t i,
                             const cgd__lesson *lesson)
{
    struct cgd__answers *a = t->answers;
    size_t k, count;
    float *to;
    if (a->kept == a->most) return;
    to = (float *)cgd__alloc(t->ctx, a->values * sizeof(float));
    if (!to) {                         /* no memory: no more answers are kept */
        a->most = a->kept;
        return;
    }
    place->values = to;
    place->key[0] = key[0];
    place->key[1] = key[1];
    a->kept++;
    for (k = 0; k <= lesson->n_hidden; k++, to += count) {
        const float *from = cgd__lesson_part(lesson, k, i, &count);
        memcpy(to, from, count * sizeof(float));
    }
}

/* The answer for picture i, remembered or new. */
static cgd_status cgd__answer_to(cgd_trainer *t, cgd__lesson *lesson,
                                 const cgd_tensor *x, size_t i)
{
    size_t values = cgd_tensor_size(x) / x->n, k, count;
    cgd__answer *place;
    const float *from;
    cgd_u32 key[2];
    cgd_status status;
    if (!t->answers) return cgd__ask(t, lesson, x, i);
    cgd__picture_key(key, x->data + i * values, values);
    place = cgd__answer_find(t->answers, key);
    from = place->values;
    if (!from) {
        status = cgd__ask(t, lesson, x, i);
        if (status == CGD_OK) cgd__answer_keep(t, place, key, i, lesson);
        return status;
    }
    for (k = 0; k <= lesson->n_hidden; k++, from += count) {
        float *to = cgd__lesson_part(lesson, k, i, &count);
        memcpy(to, from, count * sizeof(float));
    }
    return CGD_OK;
}

/* Plan a lesson's passes: the teacher over one picture, the adaptors over the
 * student's hidden states of a batch. */
static cgd_status cgd__lesson_plan(const cgd_trainer *t, cgd__lesson *lesson,
                                   cgd_net *teacher)
{
    size_t keep[CGD__MATCHES], n = t->config.batch, k;
    size_t n_keep = cgd__lesson_keep(t, keep);
    cgd_status status = cgd_pass_plan(&lesson->ask, teacher, 1,
                                      t->config.height, t->config.width,
                                      CGD_INFER, keep, n_keep);
    lesson->n_hidden = n_keep;
    lesson->output = cgd__output_shape(t, n);
    for (k = 0; k < n_keep && status == CGD_OK; k++) {
        cgd__matched *m = &lesson->hidden[k];
        m->target = m->pull = cgd__hidden_shape(t, n);
        if (t->n_adaptors == 0) continue;
        status = cgd_pass_plan(&m->adapt.pass, &t->adaptors[k].net, n,
                               m->target.h, m->target.w, CGD_TRAIN, NULL, 0);
        m->pull.c = t->adaptors[k].net.layers[0].in_c;
    }
    return status;
}

static void cgd__lesson_free(cgd__lesson *lesson)
{
    size_t k;
    cgd_pass_free(&lesson->ask);
    for (k = 0; k < lesson->n_hidden; k++)
        cgd_pass_free(&lesson->hidden[k].adapt.pass);
}

/* Place what the teacher says, which is wanted until the end of the step's
 * half, and on top the teacher itself, who leaves when it has spoken. */
static void cgd__lesson_place(cgd__lesson *lesson, cgd__arena *a)
{
    size_t mark, k;
    lesson->output = cgd__take_like(a, &lesson->output);
    for (k = 0; k < lesson->n_hidden; k++)
        lesson->hidden[k].target = cgd__take_like(a,
                                                  &lesson->hidden[k].target);
    mark = cgd__mark(a);
    cgd__place_pass(a, &lesson->ask);
    cgd__release(a, mark);
}

/* Place what the terms need: all gradients that pull at the student, and on
 * top one after the other the scratch of contrasts and the adaptors. */
static void cgd__lesson_place_terms(const cgd_trainer *t, cgd__lesson *lesson,
                                    cgd__arena *a)
{
    size_t mark, k;
    for (k = 0; k < lesson->n_hidden; k++)
        lesson->hidden[k].pull = cgd__take_like(a, &lesson->hidden[k].pull);
    mark = cgd__mark(a);
    if (t->config.contrast_weight > 0)
        lesson->contrast = cgd__take_floats(a,
                               cgd_loss_contrast_scratch(&lesson->output));
    cgd__release(a, mark);
    for (k = 0; k < t->n_adaptors; k++) {
        cgd__matched *m = &lesson->hidden[k];
        cgd__place_trip(a, &m->adapt);
        m->d_own = cgd__take_like(a, &m->pull);
        cgd__release(a, mark);
    }
}

/* ---- teaching ------------------------------------------------------------*/

/* Collect the answers for a batch. */
static cgd_status cgd__listen(cgd_trainer *t, cgd__lesson *lesson,
                              const cgd_tensor *x)
{
    size_t i;
    cgd_status status = CGD_OK;
    for (i = 0; i < x->n && status == CGD_OK; i++)
        status = cgd__answer_to(t, lesson, x, i);
    return status;
}

/* The terms on the output; their gradients are added to d_fake. L1 gets the
 * colours right and leaves edges soft, since a pixel that may be light or dark
 * is best guessed in between. High frequencies count edges on their own; local
 * contrast asks that texture be as strong as the teacher's, wherever it is. */
static double cgd__output_terms(const cgd_trainer *t,
                                const cgd__lesson *lesson,
                                const cgd_tensor *fake, cgd_tensor *d_fake)
{
    const cgd_train_config *d = &t->config;
    const cgd_tensor *target = &lesson->output;
    double sum = 0;
    if (d->output_weight > 0)
        sum += cgd_loss_l1(t->ctx, fake, target, d->output_weight, d_fake, 1);
    if (d->haar_weight > 0)
        sum += cgd_loss_haar(t->ctx, fake, target, d->haar_weight, d_fake, 1);
    if (d->contrast_weight > 0)
        sum += cgd_loss_contrast(t->ctx, fake, target, d->contrast_weight,
                                 d_fake, 1, lesson->contrast);
    return sum;
}

/* The term of one block's hidden states h: MSE to the teacher's, a target for
 * every block on the way and not for the last layer alone. A narrower student
 * has other channels: an adaptor A, a 1x1 convolution that learns too, says
 * which mixture of its own is meant, MSE(A h, target), and is thrown away in
 * the end. The gradient of h is left in m->pull. */
static cgd_status cgd__hidden_term(const cgd_trainer *t, cgd__matched *m,
                                   const cgd_tensor *h, float weight,
                                   double *sum)
{
    cgd__trip *adapt = &m->adapt;
    cgd_status status;
    cgd__zero(&m->pull);
    if (!cgd__made(adapt)) {
        *sum += cgd_loss_mse(t->ctx, h, &m->target, weight, &m->pull, 1);
        return CGD_OK;
    }
    status = cgd_pass_forward(&adapt->pass, h);
    if (status != CGD_OK) return status;
    *sum += cgd_loss_mse(t->ctx, &adapt->pass.y, &m->target, weight,
                         &adapt->d, 0);
    status = cgd_pass_backward(&adapt->pass, &adapt->d, &m->d_own);
    cgd__add_scaled(t->ctx, m->pull.data, m->d_own.data,
                    cgd_tensor_size(&m->pull), 1);
    return status;
}

/* All that the teacher has to say to the pass that made fake: gradients of
 * the output into d_fake, those of hidden states as pulls at the pass. A loss
 * on a hidden state enters backward in the middle: when d, coming from the
 * output, reaches the end of block k, the pull is added to it, and from there
 * on both go on as one. */
static cgd_status cgd__teach(const cgd_trainer *t, cgd__lesson *lesson,
                             cgd_pass *student, const cgd_tensor *fake,
                             cgd_tensor *d_fake, cgd_losses *losses)
{
    float weight = t->config.feature_weight
                 / (float)cgd__max(lesson->n_hidden, 1);
    size_t k;
    cgd_status status = CGD_OK;
    losses->output = cgd__output_terms(t, lesson, fake, d_fake);
    for (k = 0; k < lesson->n_hidden && status == CGD_OK; k++) {
        size_t layer = cgd__block_end(student->net, k);
        cgd_tensor h = cgd_pass_output(student, layer);
        status = cgd__hidden_term(t, &lesson->hidden[k], &h, weight,
                                  &losses->feature);
        cgd_pass_pull(student, layer, &lesson->hidden[k].pull);
    }
    return status;
}

/* ======================================================================== */
/* [impl:train] The trainer                                                 */
/* ======================================================================== */
/* One step of CycleGAN (Zhu et al. 2017). There are no pairs to learn from:
 * a folder of A and a folder of B, and nobody knows how this photograph would
 * look as a painting. What can be asked instead, for both directions s, with
 * x from one domain and y from the other:
 *
 *   adversarial  D_s, who sees real y and fake G_s(x), must not tell them
 *                apart: gan * GAN(D_s(G_s(x)))
 *   cycle        the other generator must find its way back, so that a fake
 *                still says what was in the picture (an adversary alone would
 *                be content with any painting): cycle * |G_!s(G_s(x)) - x|_1
 *   identity     a painting needs no painting, which keeps colours where they
 *                are: identity * |G_s(y) - y|_1
 *   teacher      where there is one: the terms of [impl:distil]
 *
 *   x ----- G_s -----> fake ----- G_!s -----> x'         cycle: x' is x
 *                        |------- D_s  -----> real?      adversarial: yes
 *                        |------- beside teacher(x)      teacher: the same
 *   y ----- G_s -----> y'                                identity: y' is y
 *
 * The generators descend the sum of these; then each discriminator descends
 *
 *   1/2 (GAN(D_s(y), real) + GAN(D_s(pooled G_s(x)), fake))
 *
 * on fakes old and new, since one that is shown only the newest forgets what
 * it knew against the others, and the two then run in circles.
 *
 * The passes of a step are planned, and placed in one block, when the trainer
 * is made. A step plans nothing and allocates nothing, but for an answer of
 * the teacher's that is kept, and where a student is cut. */

/* The values of the paper, but Adam's eps, which is PyTorch's. Its 200 epochs,
 * of which the second half falls to 0, are a schedule that waits for the loop
 * to say how many steps there are. */
CGDDEF cgd_train_config cgd_train_defaults(void)
{
    cgd_train_config c;
    size_t i;
    memset(&c, 0, sizeof c);
    c.generator = cgd_generator_defaults();
    c.discriminator = cgd_discriminator_defaults();
    c.batch = 1;
    c.height = c.width = 256;
    c.gan = CGD_GAN_LSGAN;
    c.gan_weight = 1;
    c.cycle_weight = 10;
    c.identity_weight = 5;
    c.lr_g = c.lr_d = 2e-4f;
    c.adam.beta1 = 0.5f;
    c.adam.beta2 = 0.999f;
    c.adam.eps = 1e-8f;
    c.schedule.kind = CGD_LR_LINEAR;
    c.pool = 50;
    c.init = CGD_INIT_NORMAL;
    c.seed = 1;
    c.transfer = CGD_TRANSFER_FULL;
    c.cuts = 1;
    c.cut_part = 0.5f;
    c.answer_bytes = (size_t)256 << 20;
    for (i = 0; i < CGD__MATCHES; i++) c.teacher_blocks[i] = -1;
    return c;
}

/* The recipes of distillation. By the teacher's answers alone the target stands
 * still, as it does not against an adversary: learning rates can be five times
 * as high, and Adam may remember gradients longer (beta1 0.9, ten steps; 0.5 is
 * two). High frequencies are weighed in, since L1 alone leaves edges soft; a
 * cosine and the average of weights calm the end down. */
CGDDEF cgd_train_config cgd_distil_defaults(void)
{
    cgd_train_config c = cgd_distil_fast();
    c.haar_weight = 10;
    c.ema = 0.99f;
    c.schedule.kind = CGD_LR_COSINE;
    return c;
}

CGDDEF cgd_train_config cgd_distil_fast(void)
{
    cgd_train_config c = cgd_train_defaults();
    c.generator.blocks = 3;
    c.gan_weight = c.cycle_weight = c.identity_weight = 0;
    c.lr_g = 1e-3f;
    c.adam.beta1 = 0.9f;
    c.schedule.kind = CGD_LR_CONSTANT;
    c.output_weight = 10;
    return c;
}

/* GAN Compression: the student plays against a judge as its teacher did. */
CGDDEF cgd_train_config cgd_distil_paper(void)
{
    cgd_train_config c = cgd_train_defaults();
    c.generator.blocks = 3;
    c.cycle_weight = c.identity_weight = 0;
    c.schedule.kind = CGD_LR_CONSTANT;
    c.output_weight = 10;
    c.feature_weight = 0.01f;
    return c;
}

/* The whole game again, with a teacher beside. */
CGDDEF cgd_train_config cgd_distil_original(void)
{
    cgd_train_config c = cgd_train_defaults();
    c.generator.blocks = 3;
    c.transfer = CGD_TRANSFER_UPDOWN;
    c.schedule.kind = CGD_LR_CONSTANT;
    c.output_weight = 10;
    c.feature_weight = 1;
    c.train_reverse = 1;
    return c;
}

/* ---- which terms there are -----------------------------------------------*/

/* Is G_s judged? */
static int cgd__has_adversary(const cgd_trainer *t, int s)
{
    return t->config.gan_weight > 0 && cgd__learns(&t->side[s].g)
        && cgd__exists(&t->side[s].d);
}

/* Does the cycle that starts with G_s teach anybody anything? */
static int cgd__has_cycle(const cgd_trainer *t, int s)
{
    return t->config.cycle_weight > 0 && cgd__exists(&t->side[!s].g)
        && (cgd__learns(&t->side[s].g) || cgd__learns(&t->side[!s].g));
}

/* Is G_s shown pictures of its own domain? */
static int cgd__has_identity(const cgd_trainer *t, int s)
{
    return t->config.identity_weight > 0 && cgd__learns(&t->side[s].g);
}

#define CGD__JOINED ((size_t)64 * 64)  /* pixels of a step's batch, at most  */

/* Does one pass of G_s over x and y serve both the translation and the
 * identity term? Small pictures make small matrices, which are slow; a batch
 * of both makes them larger. Not under batch norm, which would mix the
 * domains' statistics. */
static int cgd__joined(const cgd_trainer *t, int s)
{
    const cgd_train_config *c = &t->config;
    return cgd__has_identity(t, s) && !cgd__taught(t, s)
        && c->generator.norm != CGD_NORM_BATCH
        && c->batch * c->height * c->width <= CGD__JOINED;
}

/* Channels of the pictures of domain 0 (A) and 1 (B). */
static size_t cgd__channels(const cgd_trainer *t, int domain)
{
    return (size_t)(domain ? t->config.generator.out_channels
                           : t->config.generator.in_channels);
}

/* A batch of so many pictures of a domain, nowhere yet. */
static cgd_tensor cgd__batch(const cgd_trainer *t, int domain, size_t n)
{
    return cgd_tensor_view(n, t->config.height, t->config.width,
                           cgd__channels(t, domain), NULL);
}

/* ---- the plan of a step --------------------------------------------------*/
/* A step is a fixed dance: which pass follows which, and whose maps are still
 * wanted meanwhile, is the same every time. So all passes are planned once and
 * get their places in one block once; the step then only computes. */

/* What one direction of a step works on: five trips, of which a training makes
 * those that its weights and its size ask for. */
typedef struct cgd__half {
    cgd__trip translate;               /* G_s: x to fake; where joined, y too */
    cgd__trip judge;                   /* D_s on fake, for what G_s learns   */
    cgd__trip cycle;                   /* G_!s: fake back to x               */
    cgd__trip identity;                /* G_s: y to y                        */
    cgd__trip learn;                   /* D_s on y and on fakes, for itself  */
    cgd_tensor fake;                   /* G_s(x), kept for D_s               */
    cgd_tensor both;                   /* x, then y: where joined            */
    cgd_tensor d_fake, d_cycle;        /* gradients of fake: all; cycle's    */
} cgd__half;

struct cgd__step_plan {
    cgd__half half[2];
    cgd__lesson lesson;
    const cgd__kernels *kernels;       /* that it was made for               */
};

/* Plan one trip over n pictures of a step's size. */
static cgd_status cgd__trip_plan(const cgd_trainer *t, cgd__trip *trip,
                                 cgd_net *net, size_t n, int mode)
{
    return cgd_pass_plan(&trip->pass, net, n, t->config.height,
                         t->config.width, mode, NULL, 0);
}

/* Plan the passes over D_s: for G_s, whose gradient goes through it and leaves
 * it as it is, and for itself. */
static cgd_status cgd__judge_plan(cgd_trainer *t, int s, cgd__half *half)
{
    cgd_net *d = &t->side[s].d.net;
    cgd_status status = cgd__trip_plan(t, &half->judge, d, t->config.batch,
                                       CGD_THROUGH);
    if (status == CGD_OK)
        status = cgd__trip_plan(t, &half->learn, d, t->config.batch,
                                CGD_TRAIN);
    if (status != CGD_ERR_SHAPE) return status;
    return cgd__fail(t->ctx, status,
        "pictures of %u x %u are too small for the discriminator: take "
        "larger ones, fewer of its layers, or another kind",
        t->config.width, t->config.height);
}

/* Plan the passes of direction s, those that its terms need. A generator that
 * stands still (a student's reverse) is passed forward only where it begins a
 * cycle, and in a cycle's second half passes the gradient on. */
static cgd_status cgd__half_plan(cgd_trainer *t, int s, cgd__half *half)
{
    cgd_net *g = &t->side[s].g.net, *other = &t->side[!s].g.net;
    size_t n = t->config.batch, keep[CGD__MATCHES];
    size_t n_keep = cgd__matched_layers(t, s, keep);
    int learns = cgd__learns(&t->side[s].g), joined = cgd__joined(t, s);
    int mode = t->config.recompute ? CGD_RECOMPUTE : CGD_TRAIN;
    cgd_status status;
    if (!learns && !(cgd__exists(&t->side[s].g) && cgd__has_cycle(t, s)))
        return CGD_OK;
    half->fake = half->d_cycle = cgd__batch(t, !s, n);
    status = cgd_pass_plan(&half->translate.pass, g, joined ? 2 * n : n,
                           t->config.height, t->config.width,
                           learns ? mode : CGD_INFER, keep, n_keep);
    if (joined) half->both = cgd__batch(t, s, 2 * n);
    if (status == CGD_OK && cgd__has_cycle(t, s))
        status = cgd__trip_plan(t, &half->cycle, other, n, mode);
    if (status == CGD_OK && cgd__has_identity(t, s) && !joined)
        status = cgd__trip_plan(t, &half->identity, g, n, mode);
    if (status == CGD_OK && cgd__has_adversary(t, s))
        status = cgd__judge_plan(t, s, half);
    return status;
}

/* Place direction s, pass by pass in the order of the step; what stands below
 * another is still wanted when that one works:
 *
 *   the gradients of the output
 *     a lesson: the teacher, who leaves when asked
 *       translate, forward and then what it holds for its backward
 *         judge, forward and back
 *         cycle, forward and back
 *       translate, backward
 *         the lesson's terms
 *   identity, forward and back
 *   learn, forward and back: on real pictures, then on fakes         */
static void cgd__half_place(const cgd_trainer *t, int s, cgd__arena *a,
                            struct cgd__step_plan *plan)
{
    cgd__half *half = &plan->half[s];
    cgd__trip *go = &half->translate;
    size_t mark = cgd__mark(a), above;
    if (!cgd__made(go)) return;
    go->d = cgd__take_like(a, &go->pass.y);
    half->d_fake = go->d;
    half->d_fake.n = t->config.batch;
    if (cgd__made(&half->cycle))
        half->d_cycle = cgd__take_like(a, &half->fake);
    if (cgd__joined(t, s)) half->both = cgd__take_like(a, &half->both);
    if (cgd__taught(t, s)) cgd__lesson_place(&plan->lesson, a);
    above = cgd__mark(a);
    cgd__take(a, go->pass.held, 1);
    cgd__place_trip(a, &half->judge);
    cgd__release(a, above);
    cgd__take(a, go->pass.held, 1);
    cgd__place_trip(a, &half->cycle);
    cgd__release(a, above);
    cgd__place_pass(a, &go->pass);
    if (cgd__taught(t, s)) cgd__lesson_place_terms(t, &plan->lesson, a);
    cgd__release(a, mark);
    cgd__place_trip(a, &half->identity);
    cgd__release(a, mark);
    cgd__place_trip(a, &half->learn);
    cgd__release(a, mark);
}

/* Place a whole step; the fakes stay until its end. */
static void cgd__step_place(const cgd_trainer *t, cgd__arena *a,
                            struct cgd__step_plan *plan)
{
    int s;
    for (s = 0; s < 2; s++)
        plan->half[s].fake = cgd__take_like(a, &plan->half[s].fake);
    for (s = 0; s < 2; s++) cgd__half_place(t, s, a, plan);
}

/* All passes of a step and their plan; the block stays, for the next one. */
static void cgd__step_plan_free(cgd_ctx *ctx, struct cgd__step_plan *plan)
{
    int s;
    if (!plan) return;
    for (s = 0; s < 2; s++) {
        cgd__half *half = &plan->half[s];
        cgd_pass_free(&half->translate.pass);
        cgd_pass_free(&half->judge.pass);
        cgd_pass_free(&half->cycle.pass);
        cgd_pass_free(&half->identity.pass);
        cgd_pass_free(&half->learn.pass);
    }
    cgd__lesson_free(&plan->lesson);
    cgd__free(ctx, plan, sizeof *plan);
}

/* Plan all passes of a step. */
static cgd_status cgd__plan_step(cgd_trainer *t, struct cgd__step_plan *plan)
{
    cgd_status status = CGD_OK;
    int s;
    plan->kernels = t->ctx->kernels;
    for (s = 0; s < 2 && status == CGD_OK; s++) {
        status = cgd__half_plan(t, s, &plan->half[s]);
        if (status == CGD_OK && cgd__taught(t, s))
            status = cgd__lesson_plan(t, &plan->lesson, &t->teacher);
    }
    return status;
}

/* A block for a step: that of before, if it is large enough. A student that
 * has been cut needs less, other kernels may need more. */
static cgd_status cgd__step_block(cgd_trainer *t, size_t size)
{
    void *block;
    if (size <= t->block_size) return CGD_OK;
    block = size == (size_t)-1 ? NULL : cgd__alloc(t->ctx, size);
    if (!block)
        return cgd__fail(t->ctx, CGD_ERR_MEMORY, "out of memory: the passes "
                         "of a step need %u bytes", size);
    cgd__free(t->ctx, t->block, t->block_size);
    t->block = block;
    t->block_size = size;
    return CGD_OK;
}

/* See that there is a plan, and for the kernels of now. Placed on nothing
 * first, it says what block it needs. */
static cgd_status cgd__step_ready(cgd_trainer *t)
{
    struct cgd__step_plan *plan = t->plan;
    cgd__arena a = cgd__arena_on(NULL, 0);
    cgd_status status;
    if (plan && plan->kernels == t->ctx->kernels) return CGD_OK;
    plan = (struct cgd__step_plan *)cgd__alloc_zeroed(t->ctx, 1, sizeof *plan,
                                                      "the plan of a step");
    if (!plan) return CGD_ERR_MEMORY;
    status = cgd__plan_step(t, plan);
    if (status == CGD_OK) {
        cgd__step_place(t, &a, plan);
        status = cgd__step_block(t, a.peak);
    }
    if (status == CGD_OK) {
        cgd__step_plan_free(t->ctx, t->plan);    /* its block may be gone    */
        t->plan = NULL;
        a = cgd__arena_on(t->block, t->block_size);
        cgd__step_place(t, &a, plan);
        if (!cgd__arena_holds(&a))
            status = cgd__fail(t->ctx, CGD_ERR_MEMORY,
                               "a step outgrew the block it had asked for");
    }
    if (status == CGD_OK) t->plan = plan;
    else cgd__step_plan_free(t->ctx, plan);
    return status;
}

/* ---- the generators' terms -----------------------------------------------*/
/* Each makes a trip through a net: forward, the loss and the gradient d of the
 * net's output, and back. Backward adds to the gradient of the net's weights
 * and hands on what is left at its input, so that a loss reaches every net on
 * its way: the cycle's both generators, the adversary's the generator through
 * the judge. */

/* x to fake; where passes are joined y to itself, too, whose loss needs no
 * other pass. fake is copied: the pass lends all that its backward does not
 * need to the passes that follow, and the discriminator wants fake when this
 * pass is long over. */
static cgd_status cgd__make_fake(cgd_trainer *t, int s, const cgd_tensor *x,
                                 const cgd_tensor *y, double *identity)
{
    cgd__half *half = &t->plan->half[s];
    cgd__trip *go = &half->translate;
    size_t count = cgd_tensor_size(x);
    const cgd_tensor *in = x;
    cgd_tensor same, d_same;
    cgd_status status;
    if (cgd__joined(t, s)) {
        memcpy(half->both.data, x->data, count * sizeof(float));
        memcpy(half->both.data + count, y->data, count * sizeof(float));
        in = &half->both;
    }
    status = cgd_pass_forward(&go->pass, in);
    if (status != CGD_OK) return status;
    memcpy(half->fake.data, go->pass.y.data,
           cgd_tensor_size(&half->fake) * sizeof(float));
    cgd__zero(&half->d_fake);
    if (in == x) return CGD_OK;
    same = cgd__part_of_batch(&go->pass.y, x->n, x->n);
    d_same = cgd__part_of_batch(&go->d, x->n, x->n);
    *identity = cgd_loss_l1(t->ctx, &same, y, t->config.identity_weight,
                            &d_same, 0);
    return CGD_OK;
}

/* What D_s thinks of fake: the gradient goes through the discriminator, which
 * is left as it is, into d_fake. With least squares (Mao et al. 2017) the loss
 * is (D(fake) - 1)^2, which pulls a fake to where the real ones are, from
 * either side; a logarithm's gradient vanishes as soon as a fake passes for
 * real, however unlike the real ones it is. */
static cgd_status cgd__adversarial(cgd_trainer *t, int s, double *loss)
{
    cgd__half *half = &t->plan->half[s];
    cgd__trip *judge = &half->judge;
    cgd_status status = cgd_pass_forward(&judge->pass, &half->fake);
    if (status != CGD_OK) return status;
    *loss = cgd_loss_gan(t->ctx, &judge->pass.y, t->config.gan,
                         CGD_AS_GENERATOR, t->config.gan_weight, &judge->d);
    return cgd_pass_backward(&judge->pass, &judge->d, &half->d_fake);
}

/* Back through the other generator, G_!s(fake) = x? Two nets made the error
 * and both learn from it: G_!s, whose weights' gradient this pass adds, should
 * have read fake better, and G_s, which gets what is left at the pass's input,
 * should have written more legibly. L1, whose gradient does not shrink with
 * the error: squares settle for the mean of what could have been, a blur. */
static cgd_status cgd__cycle(cgd_trainer *t, int s, const cgd_tensor *x,
                             double *loss)
{
    cgd__half *half = &t->plan->half[s];
    cgd__trip *back = &half->cycle;
    int learns = cgd__learns(&t->side[s].g);
    cgd_status status = cgd_pass_forward(&back->pass, &half->fake);
    if (status != CGD_OK) return status;
    *loss = cgd_loss_l1(t->ctx, &back->pass.y, x, t->config.cycle_weight,
                        &back->d, 0);
    status = cgd_pass_backward(&back->pass, &back->d,
                               learns ? &half->d_cycle : NULL);
    if (learns)
        cgd__add_scaled(t->ctx, half->d_fake.data, half->d_cycle.data,
                        cgd_tensor_size(&half->fake), 1);
    return status;
}

/* G_s(y) = y? A pass of its own: y is not what the step translates. */
static cgd_status cgd__identity(cgd_trainer *t, int s, const cgd_tensor *y,
                                double *loss)
{
    cgd__trip *trip = &t->plan->half[s].identity;
    cgd_status status = cgd_pass_forward(&trip->pass, y);
    if (status != CGD_OK) return status;
    *loss = cgd_loss_l1(t->ctx, &trip->pass.y, y, t->config.identity_weight,
                        &trip->d, 0);
    return cgd_pass_backward(&trip->pass, &trip->d, NULL);
}

/* ---- the step ------------------------------------------------------------*/

/* All that hangs on fake = G_s(x), then back through G_s once for all: the
 * gradient of a sum of losses is the sum of their gradients, so that d_fake is
 * collected before it goes back. Each cycle is taken forward and back before
 * the other direction begins: no more than two generators' maps are alive at
 * once, and of the first only what its backward needs. */
static cgd_status cgd__direction(cgd_trainer *t, int s, const cgd_tensor *x,
                                 const cgd_tensor *y, cgd_losses *l)
{
    cgd__half *half = &t->plan->half[s];
    cgd__trip *go = &half->translate;
    cgd__lesson *lesson = cgd__taught(t, s) ? &t->plan->lesson : NULL;
    cgd_status status = CGD_OK;
    if (lesson) status = cgd__listen(t, lesson, x);
    if (status == CGD_OK)
        status = cgd__make_fake(t, s, x, y, &l->identity[s]);
    if (status == CGD_OK && cgd__made(&half->judge))
        status = cgd__adversarial(t, s, &l->gan[s]);
    if (status == CGD_OK && cgd__made(&half->cycle))
        status = cgd__cycle(t, s, x, &l->cycle[s]);
    if (status == CGD_OK && lesson)
        status = cgd__teach(t, lesson, &go->pass, &half->fake, &half->d_fake,
                            l);
    if (status == CGD_OK && cgd__learns(&t->side[s].g))
        status = cgd_pass_backward(&go->pass, &go->d, NULL);
    return status;
}

/* Before Adam takes it: is what a net learns from made of numbers? One that is
 * not would stay in m and v, and in every weight, for good. */
static cgd_status cgd__check_learning(cgd_trainer *t, const cgd_learner *l,
                                      double loss, const char *whose)
{
    if (cgd__is_finite(loss) && cgd__finite(l->net.grads, l->net.count))
        return CGD_OK;
    return cgd__fail(t->ctx, CGD_ERR_FORMAT,
        "step %u: the %s' loss or its gradient is no longer a number; go back "
        "to a saved state and lower the learning rate", (size_t)t->step + 1,
        whose);
}

/* Both generators' gradients are complete: descend. The two are one player
 * with one loss, and so are the adaptors, who belong to the student. */
static cgd_status cgd__generators_learn(cgd_trainer *t, double loss)
{
    cgd_status status = CGD_OK;
    size_t k;
    int s;
    for (s = 0; s < 2 && status == CGD_OK; s++)
        if (cgd__learns(&t->side[s].g))
            status = cgd__check_learning(t, &t->side[s].g, loss,
                                         "generators");
    if (status != CGD_OK) return status;
    for (s = 0; s < 2; s++)
        if (cgd__learns(&t->side[s].g))
            cgd__learner_step(t, &t->side[s].g, t->config.lr_g);
    for (k = 0; k < t->n_adaptors; k++)
        cgd__learner_step(t, t->adaptors + k, t->config.lr_g);
    return CGD_OK;
}

/* Both generators, whose gradients come from up to three passes each: it
 * translates, finds the way back from the other's fake, and is shown what needs
 * no translation. */
static cgd_status cgd__generators_step(cgd_trainer *t,
                                       const cgd_tensor *real[2],
                                       cgd_losses *l)
{
    const cgd__half *half = t->plan->half;
    cgd_status status = CGD_OK;
    size_t k;
    int s;
    for (s = 0; s < 2; s++)
        if (cgd__learns(&t->side[s].g)) cgd__zero_grads(&t->side[s].g);
    for (k = 0; k < t->n_adaptors; k++) cgd__zero_grads(t->adaptors + k);
    for (s = 0; s < 2 && status == CGD_OK; s++)
        if (cgd__made(&half[s].translate))
            status = cgd__direction(t, s, real[s], real[!s], l);
    for (s = 0; s < 2 && status == CGD_OK; s++)
        if (cgd__made(&half[s].identity))
            status = cgd__identity(t, s, real[!s], &l->identity[s]);
    if (status != CGD_OK) return status;
    l->generators = l->feature + l->output;
    for (s = 0; s < 2; s++)
        l->generators += l->gan[s] + l->cycle[s] + l->identity[s];
    return cgd__generators_learn(t, l->generators);
}

/* One half of a discriminator's loss: x is real or fake, and D_s learns. Real
 * and fake are two passes and not one batch, as a batch norm must not see
 * them together: it would tell them apart by their mean alone. */
static cgd_status cgd__judge(cgd_trainer *t, int s, const cgd_tensor *x,
                             int role, double *loss)
{
    cgd__trip *learn = &t->plan->half[s].learn;
    cgd_status status = cgd_pass_forward(&learn->pass, x);
    if (status != CGD_OK) return status;
    *loss += cgd_loss_gan(t->ctx, &learn->pass.y, t->config.gan, role, 0.5f,
                          &learn->d);
    return cgd_pass_backward(&learn->pass, &learn->d, NULL);
}

/* Then the discriminators, on the same fakes or, out of the pool, older ones;
 * these are only pictures now, and nothing goes back into a generator. The
 * paper's 1/2 is meant to slow discriminators down; under Adam, which divides
 * a gradient by its own size, it does next to nothing. */
static cgd_status cgd__discriminators_step(cgd_trainer *t,
                                           const cgd_tensor *real[2],
                                           cgd_losses *l)
{
    cgd_status status = CGD_OK;
    int s;
    for (s = 0; s < 2 && status == CGD_OK; s++) {
        cgd_side *side = &t->side[s];
        cgd__half *half = &t->plan->half[s];
        if (!cgd__made(&half->learn)) continue;
        cgd__zero_grads(&side->d);
        cgd_pool_query(&side->pool, &t->rng, &half->fake);
        status = cgd__judge(t, s, real[!s], CGD_AS_REAL, &l->d[s]);
        if (status == CGD_OK)
            status = cgd__judge(t, s, &half->fake, CGD_AS_FAKE, &l->d[s]);
        if (status == CGD_OK)
            status = cgd__check_learning(t, &side->d, l->d[s],
                                         "discriminators");
        if (status == CGD_OK)
            cgd__learner_step(t, &side->d, t->config.lr_d);
    }
    return status;
}

/* ---- cutting the student -------------------------------------------------*/

/* A learner of the student's shape at a step; its weights are not set. */
static cgd_status cgd__student_init(const cgd_trainer *t, unsigned long step,
                                    cgd_learner *l)
{
    const cgd_learner *now = &t->side[t->config.direction].g;
    cgd_generator_config shape = t->config.generator;
    cgd_status status;
    memset(l, 0, sizeof *l);
    cgd__cut_shape(t, step, &shape);
    shape.in_channels = now->net.generator.in_channels;
    shape.out_channels = now->net.generator.out_channels;
    shape.image_stats = now->net.generator.image_stats;
    status = cgd_generator_init(t->ctx, &l->net, &shape);
    if (status == CGD_OK) status = cgd__learner_start(l, now->ema != NULL);
    if (status != CGD_OK) cgd__learner_free(l);
    return status;
}

/* Let the student and another learner change places; passes over the one are
 * no passes over the other. */
static void cgd__student_swap(cgd_trainer *t, cgd_learner *other)
{
    cgd_learner *student = &t->side[t->config.direction].g, own = *student;
    *student = *other;
    *other = own;
    cgd__step_plan_free(t->ctx, t->plan);
    t->plan = NULL;
}

/* Cut the student if a cut is due before the step to come. */
static cgd_status cgd__student_cut(cgd_trainer *t)
{
    cgd_learner *l = &t->side[t->config.direction].g, narrow;
    cgd__choices q;
    cgd_status status;
    if (t->step == 0 || cgd__cuts_at(&t->config, t->step)
                     == cgd__cuts_at(&t->config, t->step - 1)) return CGD_OK;
    status = cgd__student_init(t, t->step, &narrow);
    if (status != CGD_OK) return status;
    status = cgd__choices_init(&q, &narrow.net, &l->net, CGD_TRANSFER_PRUNE,
                               NULL);
    if (status != CGD_OK) {
        cgd__learner_free(&narrow);
        return status;
    }
    cgd__copy_channels(&q, narrow.net.params, l->net.params, 1);
    cgd__copy_channels(&q, narrow.m, l->m, 0);
    cgd__copy_channels(&q, narrow.v, l->v, 0);
    if (l->ema) cgd__copy_channels(&q, narrow.ema, l->ema, 1);
    cgd__choices_free(&q);
    cgd__student_swap(t, &narrow);
    status = cgd__step_ready(t);
    if (status != CGD_OK) cgd__student_swap(t, &narrow);
    cgd__learner_free(&narrow);
    return status;
}

/* Does x have the shape that the step was planned for? */
static cgd_status cgd__check_picture(const cgd_trainer *t, int domain,
                                     const cgd_tensor *x)
{
    const cgd_train_config *c = &t->config;
    if (x->n == c->batch && x->h == c->height && x->w == c->width
        && x->c == cgd__channels(t, domain)) return CGD_OK;
    return cgd__fail(t->ctx, CGD_ERR_SHAPE,
        "a step was given %u x %u x %u x %u for domain %s, but the trainer "
        "was made for %u x %u x %u x %u", x->n, x->h, x->w, x->c,
        domain ? "B" : "A", c->batch, c->height, c->width,
        cgd__channels(t, domain));
}

/* Are the statistics of generator s constants by now? A net that has learnt to
 * do with constants can have its norms folded into its weights, and costs less
 * where it is deployed; it begins with measured ones, since untrained it has no
 * statistics worth keeping. */
static int cgd__frozen(const cgd_trainer *t, int s)
{
    return cgd__learns(&t->side[s].g) && t->config.freeze > 0
        && t->step >= t->config.freeze;
}

/* A student that is due to be cut is cut before its step; then generators
 * learn, and discriminators by what they made. */
CGDDEF cgd_status cgd_train_step(cgd_trainer *t, const cgd_tensor *a,
                                 const cgd_tensor *b, cgd_losses *losses)
{
    const cgd_tensor *real[2];
    cgd_status status = CGD_OK;
    int s;
    real[0] = a;
    real[1] = b;
    memset(losses, 0, sizeof *losses);
    for (s = 0; s < 2 && status == CGD_OK; s++)
        status = cgd__check_picture(t, s, real[s]);
    if (status == CGD_OK && cgd__distils(t)) status = cgd__student_cut(t);
    if (status == CGD_OK) status = cgd__step_ready(t);
    if (status != CGD_OK) return status;
    for (s = 0; s < 2; s++) t->side[s].g.net.frozen = cgd__frozen(t, s);
    status = cgd__generators_step(t, real, losses);
    if (status == CGD_OK)
        status = cgd__discriminators_step(t, real, losses);
    if (status == CGD_OK) t->step++;
    return status;
}

/* ---- building a trainer --------------------------------------------------*/

/* What a trainer needs whose nets are there. */
static cgd_status cgd__trainer_memory(cgd_trainer *t)
{
    const cgd_train_config *c = &t->config;
    cgd_status status = CGD_OK;
    int s;
    for (s = 0; s < 2 && status == CGD_OK; s++)
        if (cgd__exists(&t->side[s].d))
            status = cgd_pool_init(t->ctx, &t->side[s].pool, c->pool,
                c->height * c->width * cgd__channels(t, !s));
    return status == CGD_OK ? cgd__step_ready(t) : status;
}

/* Is the plan of a training sound? Sides are halved twice and doubled twice. */
static cgd_status cgd__check_config(cgd_ctx *ctx, const cgd_train_config *c)
{
    int same = c->generator.in_channels == c->generator.out_channels;
    if (c->batch < 1 || c->batch > 4096)
        return cgd__fail(ctx, CGD_ERR_ARGUMENT, "batch must be 1 to 4096");
    if (c->height % 4 || c->width % 4 || c->height < 4 || c->width < 4
        || c->height > 16384 || c->width > 16384)
        return cgd__fail(ctx, CGD_ERR_SHAPE,
            "training pictures of %u x %u will not do: both sides must be "
            "multiples of 4, up to 16384", c->width, c->height);
    if (c->identity_weight > 0 && !same)
        return cgd__fail(ctx, CGD_ERR_ARGUMENT,
            "the identity loss needs as many channels in A as in B; set its "
            "weight to 0");
    if (c->gan < CGD_GAN_LSGAN || c->gan > CGD_GAN_HINGE
        || c->init < CGD_INIT_NORMAL || c->init > CGD_INIT_KAIMING
        || c->schedule.kind < CGD_LR_CONSTANT
        || c->schedule.kind > CGD_LR_COSINE)
        return cgd__fail(ctx, CGD_ERR_ARGUMENT, "there is no adversarial loss "
                         "%d, no initialisation %d or no schedule %d", c->gan,
                         c->init, c->schedule.kind);
    if (!cgd__is_finite(c->lr_g) || !cgd__is_finite(c->lr_d)
        || !cgd__is_finite(c->ema)
        || c->lr_g < 0 || c->lr_d < 0 || c->ema < 0 || c->ema >= 1)
        return cgd__fail(ctx, CGD_ERR_ARGUMENT,
            "learning rates must be numbers and not negative, and the "
            "average's decay must be in [0, 1)");
    if (c->freeze > 0 && c->generator.norm != CGD_NORM_BATCH)
        return cgd__fail(ctx, CGD_ERR_ARGUMENT,
            "statistics that are frozen need a norm that keeps some: batch "
            "norm");
    return CGD_OK;
}

/* A fresh generator or discriminator for side s, with drawn weights. */
static cgd_status cgd__fresh_generator(cgd_trainer *t, int s)
{
    cgd_generator_config g = t->config.generator;
    cgd_learner *l = &t->side[s].g;
    cgd_status status;
    if (cgd__taught(t, s)) cgd__cut_shape(t, 0, &g);
    g.in_channels = (int)cgd__channels(t, s);
    g.out_channels = (int)cgd__channels(t, !s);
    if (t->config.freeze > 0) g.image_stats = 0;
    status = cgd_generator_init(t->ctx, &l->net, &g);
    if (status == CGD_OK)
        cgd_net_init_weights(&l->net, t->config.init, &t->rng);
    return status;
}

/* D_s judges the domain that G_s paints. */
static cgd_status cgd__fresh_discriminator(cgd_trainer *t, int s)
{
    cgd_discriminator_config d = t->config.discriminator;
    cgd_learner *l = &t->side[s].d;
    cgd_status status;
    d.in_channels = (int)cgd__channels(t, !s);
    status = cgd_discriminator_init(t->ctx, &l->net, &d);
    if (status != CGD_OK) return status;
    cgd_net_init_weights(&l->net, t->config.init, &t->rng);
    return cgd__learner_start(l, 0);
}

/* Let a generator learn. Its average starts as what it is an average of. */
static cgd_status cgd__start_generator(cgd_trainer *t, int s)
{
    cgd_learner *l = &t->side[s].g;
    cgd_status status = cgd__learner_start(l, t->config.ema > 0);
    if (status == CGD_OK && l->ema)
        memcpy(l->ema, l->net.params, l->net.state * sizeof(float));
    return status;
}

/* Is the plan of a distillation sound? */
static cgd_status cgd__check_teacher(cgd_ctx *ctx, const cgd_train_config *c,
                                     const cgd_net *teacher,
                                     const cgd_net *reverse)
{
    const cgd_generator_config *g = &c->generator;
    if (!teacher) {
        if (c->output_weight <= 0 && c->haar_weight <= 0
            && c->contrast_weight <= 0 && c->feature_weight <= 0)
            return CGD_OK;
        return cgd__fail(ctx, CGD_ERR_ARGUMENT, "the losses to a teacher's "
                         "answers need a teacher, or weights of 0");
    }
    if (!teacher->is_generator || (reverse && !reverse->is_generator))
        return cgd__fail(ctx, CGD_ERR_ARGUMENT,
                         "teacher and reverse must be generators");
    if (c->direction != 0 && c->direction != 1)
        return cgd__fail(ctx, CGD_ERR_ARGUMENT,
                         "the direction is 0 (A to B) or 1 (B to A)");
    if (teacher->generator.in_channels
            != (c->direction ? g->out_channels : g->in_channels)
        || teacher->generator.out_channels
            != (c->direction ? g->in_channels : g->out_channels))
        return cgd__fail(ctx, CGD_ERR_SHAPE,
            "teacher and student differ in the pictures' channels");
    if (c->contrast_weight > 0 && (c->height < 2 * CGD__WINDOW + 2
                                   || c->width < 2 * CGD__WINDOW + 2))
        return cgd__fail(ctx, CGD_ERR_SHAPE,
            "the contrast term needs pictures of 24 x 24 pixels and more");
    if (c->cuts < 0 || !(c->cut_part >= 0) || c->cut_part > 1)
        return cgd__fail(ctx, CGD_ERR_ARGUMENT,
            "cuts must not be negative, nor their part of the steps outside "
            "[0, 1]");
    if (c->cuts > 1 && (c->transfer < CGD_TRANSFER_FULL
                        || c->feature_weight > 0))
        return cgd__fail(ctx, CGD_ERR_ARGUMENT, c->transfer < CGD_TRANSFER_FULL
            ? "cuts need a student that takes over its teacher's layers: "
              "full transfer, or pruning"
            : "hidden states are not matched while the student is cut: set "
              "the weight of features to 0");
    if (c->cycle_weight > 0 && !reverse && !c->train_reverse)
        return cgd__fail(ctx, CGD_ERR_ARGUMENT,
            "the cycle loss needs a reverse generator: give one, or train "
            "one along, or set its weight to 0");
    return CGD_OK;
}

/* Matched blocks of one width are compared as they are (the student has taken
 * its channels over from the teacher, so that they mean the same); else each
 * gets an adaptor, a 1x1 convolution to the teacher's width. */
static cgd_status cgd__start_adaptors(cgd_trainer *t)
{
    const cgd_train_config *d = &t->config;
    const cgd_net *student = &t->side[d->direction].g.net;
    size_t keep[CGD__MATCHES], count = cgd__lesson_keep(t, keep), k;
    cgd_layer l;
    cgd_status status = CGD_OK;
    memset(&l, 0, sizeof l);
    l.window.kernel = l.window.stride = 1;
    l.in_c = cgd__stream_width(student);
    l.out_c = cgd__stream_width(&t->teacher);
    memcpy(l.name, "conv", sizeof "conv");
    if (count == 0 || l.in_c == l.out_c) return CGD_OK;
    t->adaptors = (cgd_learner *)cgd__alloc_zeroed(t->ctx, count,
                                     sizeof *t->adaptors, "the adaptors");
    if (!t->adaptors) return CGD_ERR_MEMORY;
    t->n_adaptors = count;
    for (k = 0; k < count && status == CGD_OK; k++) {
        cgd_learner *a = t->adaptors + k;
        status = cgd_net_init(t->ctx, &a->net, &l, 1);
        if (status != CGD_OK) break;
        cgd_net_init_weights(&a->net, CGD_INIT_PYTORCH, &t->rng);
        status = cgd__learner_start(a, 0);
    }
    return status;
}

/* An independent copy of a generator. */
static cgd_status cgd__copy_generator(cgd_ctx *ctx, cgd_net *to,
                                      const cgd_net *from)
{
    cgd_status status = cgd_generator_init(ctx, to, &from->generator);
    return status == CGD_OK ? cgd_net_copy(to, from) : status;
}

/* The other generator of a student's game: given, or fresh. It stands still
 * unless it is to learn along. */
static cgd_status cgd__start_reverse(cgd_trainer *t, const cgd_net *reverse)
{
    const cgd_train_config *c = &t->config;
    int back = !c->direction;
    cgd_status status = reverse
        ? cgd__copy_generator(t->ctx, &t->side[back].g.net, reverse)
        : cgd__fresh_generator(t, back);
    if (status == CGD_OK && c->train_reverse) {
        status = cgd__start_generator(t, back);
        if (status == CGD_OK && c->gan_weight > 0)
            status = cgd__fresh_discriminator(t, back);
    }
    return status;
}

/* The student, who takes over what it can from its teacher, and whatever else
 * its terms need. */
static cgd_status cgd__start_student(cgd_trainer *t, const cgd_net *teacher,
                                     const cgd_net *reverse)
{
    const cgd_train_config *c = &t->config;
    int go = c->direction;
    cgd_net *student = &t->side[go].g.net;
    cgd_status status = cgd__copy_generator(t->ctx, &t->teacher, teacher);
    if (status == CGD_OK)
        status = cgd__fresh_generator(t, go);
    if (status == CGD_OK)
        status = cgd_transfer(student, teacher, c->transfer,
                              c->teacher_blocks);
    if (status == CGD_OK) status = cgd__start_generator(t, go);
    if (status == CGD_OK && cgd__matches(t) > 0)
        status = cgd__check_blocks(t->ctx, student, &t->teacher,
                                   c->teacher_blocks);
    if (status == CGD_OK) status = cgd__start_adaptors(t);
    if (status == CGD_OK) status = cgd__answers_start(t);
    if (status == CGD_OK && c->gan_weight > 0)
        status = cgd__fresh_discriminator(t, go);
    if (status == CGD_OK && (c->cycle_weight > 0 || c->train_reverse))
        status = cgd__start_reverse(t, reverse);
    return status;
}

/* No teacher: both generators and, where they are judged, discriminators. */
static cgd_status cgd__start_both(cgd_trainer *t)
{
    cgd_status status = CGD_OK;
    int s;
    for (s = 0; s < 2 && status == CGD_OK; s++) {
        status = cgd__fresh_generator(t, s);
        if (status == CGD_OK) status = cgd__start_generator(t, s);
        if (status == CGD_OK && t->config.gan_weight > 0)
            status = cgd__fresh_discriminator(t, s);
    }
    return status;
}

CGDDEF cgd_status cgd_trainer_init(cgd_ctx *ctx, cgd_trainer *t,
                                   const cgd_train_config *config,
                                   const cgd_net *teacher,
                                   const cgd_net *reverse)
{
    cgd_status status = cgd__check_config(ctx, config);
    memset(t, 0, sizeof *t);
    if (status == CGD_OK)
        status = cgd__check_teacher(ctx, config, teacher, reverse);
    if (status != CGD_OK) return status;
    t->ctx = ctx;
    t->config = *config;
    cgd_rng_seed(&t->rng, config->seed, 0);
    status = teacher ? cgd__start_student(t, teacher, reverse)
                     : cgd__start_both(t);
    if (status == CGD_OK) status = cgd__trainer_memory(t);
    if (status != CGD_OK) cgd_trainer_free(t);
    return status;
}

CGDDEF void cgd_trainer_free(cgd_trainer *t)
{
    size_t k;
    int s;
    if (!t->ctx) return;
    cgd__step_plan_free(t->ctx, t->plan);
    cgd__free(t->ctx, t->block, t->block_size);
    for (s = 0; s < 2; s++) {
        cgd__learner_free(&t->side[s].g);
        cgd__learner_free(&t->side[s].d);
        cgd_pool_free(t->ctx, &t->side[s].pool);
    }
    cgd__answers_free(t);
    for (k = 0; k < t->n_adaptors; k++) cgd__learner_free(t->adaptors + k);
    cgd__free(t->ctx, t->adaptors, t->n_adaptors * sizeof *t->adaptors);
    cgd_net_free(&t->teacher);
    memset(t, 0, sizeof *t);
}
#endif /* CGD_NO_TRAIN */

/* ######################################################################## */
/* [part:engine] Part 4: the engine                                         */
/* ######################################################################## */
/* Why it is fast. Nothing here computes anything that part 3 has not
 * defined: [impl:choice] says which method takes which shape. */

/* ======================================================================== */
/* [impl:direct] Convolution as a blocked matrix product                    */
/* ======================================================================== */
/* Owns the path that takes any window, forward and adjoint.
 *
 * A slice of work is a band of output lines. What they read is copied into a
 * buffer of the slice, with its margins (and normalised, if the map is raw):
 * then no tap falls outside, the taps of a window's row are one run of memory,
 * its rows and neighbouring pixels lie a fixed step apart, and the inner loop
 * needs no table. No column matrix is ever built. Copying takes a few per cent
 * of the time, since each value copied meets hundreds of weights.
 *
 * An adjoint of stride s falls into s*s phases, in each of which the same few
 * taps apply to every pixel: a small window of its own, of stride 1, so that
 * nothing is multiplied by the zeros of a stretched map. One that reflects
 * makes the whole padded map and folds its margins.
 *
 * The inner loop holds a group of pixels by a panel of outputs in registers
 * and reads one row of packed weights per value. What bounds it is arithmetic,
 * as long as weights come from a near cache: window rows are taken a few at a
 * time (CGD__NEAR), and a band is so many pixels that its weights are worth
 * fetching (CGD__CHUNK). Neither is critical: half or twice the pixels, a
 * quarter or four times the weights, change no layer of a teacher by more than
 * 3 %. All figures of the engine were taken so: on one thread of an EPYC with
 * AVX-512, minima of interleaved runs, gcc 12 -O2, by tools/bench.c's shapes.
 *
 * Three packings of the weights serve three kinds of shape:
 *   panels    as they are; a stem's 3 channels are runs of 21 values
 *   columns   few outputs, as a head's 3: see below
 *   halves    bf16, from 32 channels on: see [impl:bf16]
 *
 * Bands are counted from the shape alone, so the moments, which are summed
 * band by band, do not depend on the number of threads.
 *
 * Words of the engine, beside those of the manual:
 *   kind      one of the widths of a panel, the widest first
 *   group     the pixels (or rows of a gradient) that a kernel takes at once
 *   lane      the work and the buffers of every lanes-th slice: one thread's
 *   phase     the outputs of an adjoint to which the same taps lead
 *   spill     where a kernel writes a group or panel that is not all wanted,
 *             since it knows whole ones only
 *   plane     the distance from one point, or kind of sum, to the next */

#define CGD__GROUP 12            /* most pixels a kernel takes at once       */
#define CGD__CHUNK 192           /* pixels in a band, or more                */
#define CGD__SLICES 16           /* at least, where there is work for them   */
#define CGD__NEAR 131072         /* weights at once, floats: half a megabyte */
#define CGD__NARROW 64           /* columns: pixels of a line at once        */
#define CGD__TILE 16             /* halves: pixels of a tile                 */
#define CGD__PAIR 32             /* two tiles, outputs and channels of one   */

enum { CGD__PANELS, CGD__COLUMNS, CGD__HALVES };

/* Lanes for so many slices: four to a thread, so that threads end together
 * though slices differ, and one where there is one thread, whose buffers are
 * then all there are. Results do not depend on it. */
static size_t cgd__lanes(const cgd_ctx *ctx, size_t slices)
{
    int threads = cgd_threads(ctx);        /* 0: unknown                     */
    return cgd__min(slices, threads == 1 ? 1
                          : threads == 0 ? CGD__SLICES : 4 * (size_t)threads);
}

/* The widest panel of which less than a vector would idle, or the narrowest:
 * 48 outputs are 32 and 16 on vectors of 16, not 64. */
static size_t cgd__panel_kind(const cgd__kernels *k, size_t left)
{
    size_t kind = 0;
    while (kind + 1 < k->kinds
           && k->vectors[kind] * k->vector >= left + k->vector) kind++;
    return kind;
}

static size_t cgd__panel_width(const cgd__kernels *k, size_t left)
{
    return k->vectors[cgd__panel_kind(k, left)] * k->vector;
}

/* The variant that takes an even share of the pixels left: 6 + 5 + 5 of 16,
 * not 6 + 6 + 4. */
static size_t cgd__panel_group(const cgd__kernels *k, size_t kind, size_t left)
{
    const size_t *groups = k->groups[kind];
    size_t share = cgd__ceil_div(left, cgd__ceil_div(left, groups[0])), g = 2;
    while (groups[g] < share) g--;
    return g;
}

/* Floats of one packed row of `outputs`, all panels together. */
static size_t cgd__panels_width(const cgd__kernels *k, size_t outputs)
{
    size_t o = 0;
    while (o < outputs) o += cgd__panel_width(k, outputs - o);
    return o;
}

/* Does an adjoint make the whole padded map, and fold its margins? */
static int cgd__folds(const cgd__shape *s, int sum)
{
    return sum == CGD__ADJOINT && s->pad_mode == CGD_PAD_REFLECT && s->pad > 0;
}

/* The two sums as one: a map `in` is read by windows and a map `out` written.
 * Forward reads x a stride apart and writes y side by side; an adjoint reads y
 * side by side and writes x a stride apart, phase by phase. */
typedef struct cgd__direct {
    const cgd__kernels *k;
    int packing, adjoint;
    cgd__lines in;                     /* the map read                       */
    size_t n, in_step, deep;           /* deep: values of a pixel in a band  */
    size_t kernel, stride, pad;        /* of the window; pad: its outputs'   */
    float *out;
    size_t oh, ow, oc, out_step;
    const float *bias, *start, *zeros; /* start: bias or zeros, a panel row  */
    const float *panels;
    int accumulate;
    size_t made, width;                /* values of a pixel; in its panels   */
    size_t lines, taps;                /* columns: of outputs at once, read  */
    size_t phases, across;             /* across: phases in a row            */
    float *sums;                       /* rows of moments, or NULL           */
    size_t plane;
    size_t reach, line;                /* lines of a window; values in one   */
    size_t band, bands, part, parts;   /* output lines, outputs in a slice   */
    float *buffers, *spills;           /* lanes of them                      */
    size_t lanes, buffer, spill;
} cgd__direct;

/* The taps of a phase down or across: how many, where the first one reads,
 * counted from the margin, and which tap of the window that is; in reading
 * order, from the last one if this is an adjoint. There, output i' * s + f
 * hears from tap u of the window at (i' * s + f + pad - u) / s, whenever s
 * divides that: from one tap in s, and each time from one sample further on,
 * which is a window of stride 1 over y. The margin, ceil((k - 1 - pad) / s)
 * wide, holds what the first output reads. */
typedef struct cgd__taps_of { size_t count, at, tap, before; } cgd__taps_of;

static cgd__taps_of cgd__phase_taps(const cgd__direct *q, size_t f)
{
    size_t s = q->stride, k = q->kernel, low, e;
    cgd__taps_of t;
    t.count = k;
    t.at = t.tap = t.before = 0;
    if (!q->adjoint) return t;             /* all taps, from the first on    */
    for (e = 0; e <= f; e++) {             /* tap u, if s divides e+pad-u    */
        if (e > 0) t.before += t.count;
        low = (e + q->pad) % s;
        t.count = low < k ? (k - 1 - low) / s + 1 : 0;
    }
    if (t.count == 0) return t;
    t.tap = low + (t.count - 1) * s;
    t.at = (f + q->pad + q->in.pad * s - t.tap) / s;
    return t;
}

/* Outputs to which the same taps lead. */
typedef struct cgd__phase {
    cgd__taps_of down, across;
    size_t first;                          /* taps of the phases before      */
    size_t rows, cols, out_i, out_j;
} cgd__phase;

static cgd__phase cgd__phase_at(const cgd__direct *q, size_t at)
{
    cgd__phase f;
    f.out_i = at / q->across;
    f.out_j = at % q->across;
    f.down = cgd__phase_taps(q, f.out_i);
    f.across = cgd__phase_taps(q, f.out_j);
    f.first = f.down.before * q->kernel + f.down.count * f.across.before;
    f.rows = cgd__ceil_div(q->oh - f.out_i, q->out_step);
    f.cols = cgd__ceil_div(q->ow - f.out_j, q->out_step);
    return f;
}

/* ---- columns: few outputs ------------------------------------------------*/
/* Three outputs would leave most of a vector's lanes empty. So the window is
 * taken apart: what a column of it makes of a pixel, for each of its columns v
 * and for R lines of outputs at once, are many outputs,
 *
 *   t[x, r, v, o] = sum_{a,c} w[a - r, v, c, o] * x[i + a, x, c]
 *
 * and each output the sum of a few: y[i + r, j, o] = sum_v t[j + v, r, v, o].
 * On heads of 64 and of 16 channels it takes a third of the panels' time. */

/* What a pixel costs by so many lines at once, times 12: vectors of products,
 * those with the zeros around the window too. */
static size_t cgd__columns_cost(const cgd__kernels *k, size_t outputs,
                                size_t kernel, size_t lines)
{
    size_t width = cgd__panels_width(k, lines * kernel * outputs);
    return width > CGD__PANEL ? (size_t)-1
         : 12 * (kernel + lines - 1) * width / lines;
}

static size_t cgd__columns_lines(const cgd__kernels *k, size_t outputs,
                                 size_t kernel)
{
    size_t lines, best = 1;
    for (lines = 2; lines <= 4; lines++)
        if (cgd__columns_cost(k, outputs, kernel, lines)
            <= cgd__columns_cost(k, outputs, kernel, best)) best = lines;
    return best;
}

/* Where it halves the work, since adding up takes time too. */
static int cgd__columns_pay(const cgd__kernels *k, size_t outputs,
                            size_t kernel)
{
    size_t lines = cgd__columns_lines(k, outputs, kernel);
    return kernel > 1 && outputs <= CGD__PANEL / kernel
        && cgd__columns_cost(k, outputs, kernel, lines)
           <= 6 * kernel * kernel * cgd__panels_width(k, outputs);
}

/* ---- packed weights ------------------------------------------------------*/

typedef struct cgd__pack_job {
    const cgd__direct *q;
    const float *w;
    float *panels;
    size_t along, across;          /* steps of w: values read, outputs       */
} cgd__pack_job;

/* Where tap u of the window stands in its phase f, down or across: what
 * cgd__phase_taps says, read the other way round. */
static cgd__taps_of cgd__pack_place(const cgd__direct *q, size_t u, size_t *f,
                                    size_t *at)
{
    size_t s = q->stride;
    cgd__taps_of t;
    *f = q->adjoint ? (u % s + s - q->pad % s) % s : 0;
    t = cgd__phase_taps(q, *f);
    *at = q->adjoint ? (t.tap - u) / s : u;
    return t;
}

/* Row k of a panel holds the weights from the k-th value of a window to the
 * panel's outputs. */
CGD__OPTIMIZED static void cgd__pack_panels(void *job, size_t tap)
{
    const cgd__pack_job *q = (const cgd__pack_job *)job;
    const cgd__direct *d = q->q;
    size_t f, a, b, o, c, i, width;
    cgd__taps_of down = cgd__pack_place(d, tap / d->kernel, &f, &a);
    cgd__taps_of across = cgd__pack_place(d, tap % d->kernel, &f, &b);
    const float *w = q->w + tap * d->in.c * d->oc;
    float *phase = q->panels + (down.before * d->kernel + down.count
                                * across.before) * d->in.c * d->width;
    for (o = 0; o < d->oc; o += width) {
        float *row;
        width = cgd__panel_width(d->k, d->oc - o);
        row = phase + d->in.c * (o * down.count * across.count
                                 + (a * across.count + b) * width);
        for (c = 0; c < d->in.c; c++, row += width)
            for (i = 0; i < width; i++)
                row[i] = o + i < d->oc
                    ? w[(o + i) * q->across + c * q->along] : 0;
    }
}

/* Weights of one line of the map to all that is made of it. */
CGD__OPTIMIZED static void cgd__pack_columns(void *job, size_t tap)
{
    const cgd__pack_job *q = (const cgd__pack_job *)job;
    const cgd__direct *d = q->q;
    size_t o, i, c, width, last = d->kernel - 1;
    for (o = 0; o < d->made; o += width) {
        float *to = q->panels + d->in.c * o * d->taps;
        width = cgd__panel_width(d->k, d->made - o);
        to += tap * d->in.c * width;
        for (i = o; i < o + width; i++, to++) {
            size_t v = i / d->oc % d->kernel;
            size_t u = tap - i / d->oc / d->kernel;    /* wraps if negative  */
            int none = i >= d->made || u >= d->kernel;
            size_t at = none ? 0 : d->adjoint
                ? (last - u) * d->kernel + last - v : u * d->kernel + v;
            const float *w = q->w + at * d->in.c * d->oc
                           + i % d->oc * q->across;
            for (c = 0; c < d->in.c; c++)
                to[c * width] = none ? 0 : w[c * q->along];
        }
    }
}

/* Sixteen outputs' weights from one channel, zeros beyond the last. */
static void cgd__pack_channel(const cgd__pack_job *q, const float *w,
                              size_t channel, size_t o, float *to)
{
    size_t valid = o < q->q->oc ? cgd__min(CGD__TILE, q->q->oc - o) : 0, i;
    if (channel >= q->q->in.c) valid = 0;
    for (i = 0; i < CGD__TILE; i++)
        to[i] = i < valid ? w[channel * q->along + (o + i) * q->across] : 0;
}

/* Where those of a phase for 32 outputs lie: (phase, panel, tap, channel),
 * each 32 channels as 16 pairs for the first 16 outputs, then for the rest. */
static cgd__bf16 *cgd__halves_at(const cgd__direct *q, const float *panels,
                                 size_t first, size_t taps, size_t o)
{
    return (cgd__bf16 *)(void *)(float *)panels
         + (first * q->width + taps * o) * q->deep;
}

CGD__OPTIMIZED static void cgd__pack_halves(void *job, size_t tap)
{
    const cgd__pack_job *q = (const cgd__pack_job *)job;
    const cgd__direct *d = q->q;
    size_t f, a, b, c, o, half, r;
    cgd__taps_of down = cgd__pack_place(d, tap / d->kernel, &f, &a);
    cgd__taps_of across = cgd__pack_place(d, tap % d->kernel, &f, &b);
    const float *w = q->w + tap * d->in.c * d->oc;
    float even[CGD__TILE], odd[CGD__TILE];
    for (o = 0; o < d->width; o += CGD__PAIR) {
        cgd__bf16 *to = cgd__halves_at(d, q->panels, down.before * d->kernel
            + down.count * across.before, down.count * across.count, o)
            + (a * across.count + b) * d->deep * CGD__PAIR;
        for (c = 0; c < d->in.c; c += CGD__PAIR)
            for (half = 0; half < CGD__PAIR; half += CGD__TILE)
                for (r = 0; r < CGD__PAIR; r += 2, to += CGD__PAIR) {
                    cgd__pack_channel(q, w, c + r, o + half, even);
                    cgd__pack_channel(q, w, c + r + 1, o + half, odd);
                    d->k->pair(to, even, odd);
                }
    }
}

static size_t cgd__direct_pack_size(const cgd__direct *q)
{
    size_t taps = q->packing == CGD__COLUMNS ? q->taps : q->kernel * q->kernel;
    size_t size = taps * q->deep * q->width;
    return cgd__round_up(q->packing == CGD__HALVES ? size / 2 : size, 16);
}

static void cgd__direct_pack(cgd_ctx *ctx, const cgd__direct *q,
                             const float *w, float *panels)
{
    size_t taps = q->kernel * q->kernel;
    cgd__pack_job job;
    job.q = q; job.w = w; job.panels = panels;
    job.along = q->adjoint ? 1 : q->oc;
    job.across = q->adjoint ? q->in.c : 1;
    if (q->packing == CGD__COLUMNS)
        cgd__for(ctx, q->taps, cgd__pack_columns, &job);
    else
        cgd__for(ctx, taps, q->packing == CGD__HALVES ? cgd__pack_halves
                                                      : cgd__pack_panels, &job);
}

/* ---- the work cut into bands ---------------------------------------------*/

/* Lines in a band so that it has enough pixels, but that there are slices for
 * the threads; outputs are shared out where a map has few lines, if there is
 * more than one lane to take them (the band is then copied for each part).
 * What must agree: a band is whole lines of cgd__direct.lines outputs; `part`
 * is whole panels, and in bf16 whole tiles, so that packed weights need not be
 * cut; a line is so long that the last output of any phase reads within it. */
static void cgd__direct_cut(cgd__direct *q, const cgd_ctx *ctx)
{
    cgd__phase f = cgd__phase_at(q, 0);    /* the largest                    */
    size_t least = q->packing == CGD__COLUMNS ? 4 * CGD__CHUNK : CGD__CHUNK;
    size_t unit = q->packing == CGD__HALVES ? CGD__PAIR
                : q->k->vectors[0] * q->k->vector;
    size_t bands = cgd__ceil_div(f.rows, cgd__ceil_div(least, f.cols)), i;
    bands = cgd__max(bands, cgd__min(f.rows,
                     CGD__SLICES / (q->n * cgd__ceil_div(q->oc, unit))));
    q->band = cgd__round_up(cgd__ceil_div(f.rows, bands), q->lines);
    q->bands = cgd__ceil_div(f.rows, q->band);
    q->parts = q->packing == CGD__COLUMNS || cgd__lanes(ctx, 2) == 1 ? 1
             : cgd__min(cgd__ceil_div(q->oc, unit),
                        cgd__ceil_div(CGD__SLICES, q->n * q->bands));
    q->part = cgd__round_up(cgd__ceil_div(q->oc, q->parts), unit);
    q->parts = cgd__ceil_div(q->oc, q->part);
    q->lanes = cgd__lanes(ctx, q->n * q->bands * q->parts);
    q->reach = q->lines + q->kernel - 1;
    for (i = 0; i < q->across; i++) {
        cgd__taps_of t = cgd__phase_taps(q, i);
        q->reach = i == 0 ? t.at + t.count + q->lines - 1
                          : cgd__max(q->reach, t.at + t.count);
    }
    q->line = ((f.cols - 1) * q->in_step + q->reach) * q->deep;
    /* Lines of the band, and what a last group reads beyond them. */
    q->buffer = ((q->band - q->lines) * q->in_step + q->reach) * q->line
              + CGD__PAIR * q->in_step * q->deep;
    q->spill = q->packing == CGD__HALVES ? CGD__PAIR * CGD__PAIR
             : q->packing == CGD__PANELS ? CGD__GROUP * CGD__PANEL
             : (CGD__NARROW + q->kernel + CGD__GROUP) * q->width;
    if (q->packing == CGD__HALVES) q->buffer = cgd__ceil_div(q->buffer, 2);
    q->buffer = cgd__round_up(q->buffer, 16);
}

/* All of a shape and a packing that does not depend on where its maps lie, nor
 * on the threads: packed weights are laid out by this alone. */
static void cgd__direct_init(cgd__direct *q, const cgd__kernels *k,
                             const cgd__shape *s, int sum, int packing)
{
    int adjoint = sum == CGD__ADJOINT, folds = cgd__folds(s, sum);
    memset(q, 0, sizeof *q);
    q->k = k;
    q->packing = packing;
    q->adjoint = adjoint;
    q->n = s->n;
    q->kernel = s->kernel;
    q->stride = s->stride;
    q->pad = folds ? 0 : s->pad;
    q->in.h = adjoint ? s->oh : s->h;
    q->in.w = adjoint ? s->ow : s->w;
    q->in.c = adjoint ? s->o : s->c;
    q->in.pad = adjoint ? cgd__ceil_div(s->kernel - 1 - q->pad, s->stride)
                        : s->pad;
    q->in.pad_mode = adjoint ? CGD_PAD_ZERO : s->pad_mode;
    q->in.slope = 1;
    q->in_step = adjoint ? 1 : s->stride;
    q->out_step = adjoint ? s->stride : 1;
    q->oh = adjoint ? s->h + 2 * (s->pad - q->pad) : s->oh;
    q->ow = adjoint ? s->w + 2 * (s->pad - q->pad) : s->ow;
    q->oc = adjoint ? s->c : s->o;
    q->across = cgd__min(q->out_step, q->ow);
    q->phases = cgd__min(q->out_step, q->oh) * q->across;
    q->lines = packing == CGD__COLUMNS
             ? cgd__columns_lines(k, q->oc, s->kernel) : 1;
    q->taps = q->lines + s->kernel - 1;
    q->made = packing == CGD__COLUMNS ? q->lines * s->kernel * q->oc : q->oc;
    q->width = packing == CGD__HALVES ? cgd__round_up(q->oc, CGD__PAIR)
             : cgd__panels_width(k, q->made);
    q->deep = packing == CGD__HALVES ? cgd__round_up(q->in.c, CGD__PAIR)
            : q->in.c;
    q->plane = cgd__round_up(q->oc, k->vector);
}

/* A slice of a lane: lines [first, first + rows) of picture n, outputs
 * [begin, end), phase by phase. */
typedef struct cgd__piece {
    size_t slice, n, first, begin, end;
    size_t phase, rows;                    /* rows: of this phase            */
    cgd__phase f;
    float *band, *spill;
} cgd__piece;

static cgd__piece cgd__piece_of(const cgd__direct *q, size_t lane)
{
    cgd__piece w;
    memset(&w, 0, sizeof w);
    w.slice = lane - q->lanes;             /* next adds the lanes: wraps     */
    w.phase = q->phases;
    w.band = q->buffers + lane * q->buffer;
    w.spill = q->spills + lane * q->spill;
    return w;
}

/* Round a pixel's channels, normalised where the map is raw. */
CGD__OPTIMIZED static void cgd__round_pixel(const cgd__direct *q,
                                            cgd__bf16 *out, const float *in,
                                            size_t n)
{
    size_t c, k;
    float v[CGD__PANEL];
    if (!q->in.scale) {
        q->k->round(out, in, q->in.c);
        return;
    }
    for (c = 0; c < q->in.c; c += CGD__PANEL) {
        const float *scale = q->in.scale + n * q->in.c + c;
        const float *shift = q->in.shift + n * q->in.c + c;
        size_t count = cgd__min(CGD__PANEL, q->in.c - c);
        for (k = 0; k < count; k++) {
            float y = in[c + k] * scale[k] + shift[k], less = q->in.slope * y;
            v[k] = y > less ? y : less;
        }
        q->k->round(out + c, v, count);
    }
}

static void cgd__round_line(const cgd__direct *q, cgd__bf16 *out, size_t n,
                            size_t i, size_t pixels)
{
    size_t a = cgd__tap_index(i, q->in.pad, q->in.h, q->in.pad_mode), j;
    for (j = 0; j < pixels; j++, out += q->deep) {
        size_t b = cgd__tap_index(j, q->in.pad, q->in.w, q->in.pad_mode);
        size_t count = a == CGD__OUTSIDE || b == CGD__OUTSIDE ? 0 : q->in.c;
        if (count > 0)
            cgd__round_pixel(q, out, q->in.in + ((n * q->in.h + a) * q->in.w
                                                 + b) * q->in.c, n);
        memset(out + count, 0, (q->deep - count) * sizeof *out);
    }
}

/* Copy the lines that a band reads, and clear what lies behind them. */
static void cgd__piece_read(const cgd__direct *q, const cgd__piece *w)
{
    size_t size = q->packing == CGD__HALVES ? sizeof(cgd__bf16)
                                            : sizeof(float);
    unsigned char *band = (unsigned char *)w->band;
    size_t lines = (q->band - q->lines) * q->in_step + q->reach, i;
    for (i = 0; i < lines; i++, band += q->line * size) {
        size_t at = w->first * q->in_step + i, pixels = q->line / q->deep;
        if (q->packing == CGD__HALVES)
            cgd__round_line(q, (cgd__bf16 *)(void *)band, w->n, at, pixels);
        else
            q->k->line(&q->in, (float *)(void *)band, w->n, at, pixels);
    }
    memset(band, 0, CGD__PAIR * q->in_step * q->deep * size);
}

/* On to the next phase, or to the next slice of the lane; 0: none is left. */
static int cgd__piece_next(const cgd__direct *q, cgd__piece *w)
{
    if (w->phase + 1 < q->phases) w->phase++;
    else {
        size_t others = q->n * q->bands;
        w->slice += q->lanes;
        if (w->slice >= others * q->parts) return 0;
        w->phase = 0;
        w->n = w->slice % others / q->bands;
        w->first = w->slice % q->bands * q->band;
        w->begin = w->slice / others * q->part;
        w->end = cgd__min(w->begin + q->part, q->oc);
        cgd__piece_read(q, w);
    }
    w->f = cgd__phase_at(q, w->phase);
    w->rows = w->first < w->f.rows
            ? cgd__min(q->band, w->f.rows - w->first) : 0;
    return 1;
}

/* Where the output of line i of a piece, pixel j of its phase, goes. */
static float *cgd__piece_to(const cgd__direct *q, const cgd__piece *w,
                            size_t i, size_t j)
{
    size_t a = (w->first + i) * q->out_step + w->f.out_i;
    return q->out + ((w->n * q->oh + a) * q->ow + j * q->out_step + w->f.out_j)
                  * q->oc;
}

/* The moments of a piece's outputs, while they are in a near cache. */
static void cgd__piece_sum(const cgd__direct *q, const cgd__piece *w)
{
    size_t row = (w->slice % (q->n * q->bands)) * q->phases + w->phase, i;
    float *sums;
    if (!q->sums) return;
    sums = q->sums + row * cgd__moments_row(q->plane);
    for (i = 0; i < w->rows; i++)
        q->k->moments(sums + w->begin, q->plane,
                      cgd__piece_to(q, w, i, 0) + w->begin,
                      q->out_step * q->oc, w->f.cols, w->end - w->begin,
                      i == 0);
    if (w->begin == 0) sums[3 * q->plane] = (float)(w->rows * w->f.cols);
}

/* Pixels by outputs from a spill to their places: those of a target that is
 * narrower or shorter than the kernel. */
CGD__OPTIMIZED static void cgd__emit(float *to, size_t step,
                                     const float *spill, size_t width,
                                     size_t pixels, size_t outputs, int add)
{
    size_t p, k;
    for (p = 0; p < pixels; p++, to += step, spill += width)
        for (k = 0; k < outputs; k++)
            to[k] = (add ? to[k] : 0) + spill[k];
}

/* Rows of a window whose weights, `run` each by a panel, stay near while all
 * of a band's pixels pass by; in even shares. The sums of the rows before wait
 * in the outputs meanwhile, which costs a load and a store of each. */
static size_t cgd__near_rows(size_t tall, size_t run)
{
    size_t most = cgd__max(1, CGD__NEAR / (run * CGD__PANEL));
    return cgd__ceil_div(tall, cgd__ceil_div(tall, most));
}

/* ---- the three inner loops -----------------------------------------------*/

/* Bands by panels. Sums begin with the bias, or with what the target holds.
 *
 * The order of the loops is the blocking: a few window rows by one panel are
 * fetched once and meet all groups of the band, whose lines stay in the second
 * cache; a group's own values, a dozen kilobytes, come from the first. */
static void cgd__panels_lane(void *job, size_t lane)
{
    const cgd__direct *q = (const cgd__direct *)job;
    const cgd__kernels *k = q->k;
    cgd__piece w = cgd__piece_of(q, lane);
    size_t step = q->out_step * q->oc, a, o, i, p, width, group;
    cgd__block b;
    b.src_step = q->in_step * q->deep;
    b.row_step = q->line;
    for (; cgd__piece_next(q, &w); cgd__piece_sum(q, &w)) {
        size_t tall = w.f.across.count ? w.f.down.count : 0;
        const float *panels = q->panels + w.f.first * q->deep * q->width;
        const float *band = w.band + w.f.down.at * q->line
                          + w.f.across.at * q->deep;
        b.run = w.f.across.count * q->deep;
        a = 0;
        do {                           /* a stride may pass over outputs     */
            b.rows = tall ? cgd__min(cgd__near_rows(tall, b.run), tall - a)
                          : 0;
            for (o = w.begin; o < w.end; o += width) {
                size_t kind = cgd__panel_kind(k, q->oc - o), valid;
                const float *panel;
                width = k->vectors[kind] * k->vector;
                valid = cgd__min(width, q->oc - o);
                panel = panels + b.run * (o * tall + a * width);
                for (i = 0; i < w.rows; i++)
                for (p = 0; p < w.f.cols; p += group) {
                    size_t g = cgd__panel_group(k, kind, w.f.cols - p);
                    size_t count = cgd__min(w.f.cols - p, k->groups[kind][g]);
                    int add = a > 0 || q->accumulate, whole;
                    float *to = cgd__piece_to(q, &w, i, p) + o;
                    group = k->groups[kind][g];
                    whole = count == group && valid == width
                         && !(add && a == 0 && q->bias);
                    b.dst_step = whole ? step : width;
                    b.init_step = whole && add ? step : 0;
                    k->panel[kind][g](&b, whole ? to : w.spill,
                        whole && add ? to : a > 0 ? q->zeros : q->start + o,
                        band + (i * q->in_step + a) * q->line
                        + p * b.src_step, panel, panel);
                    if (!whole)
                        cgd__emit(to, step, w.spill, width, count, valid, add);
                }
            }
            a += b.rows;
        } while (a < tall);
    }
}

/* Add up the columns of `count` pixels of one line of outputs. */
CGD__OPTIMIZED static void cgd__columns_emit(const cgd__direct *q, float *out,
                                             const float *t, size_t count)
{
    size_t j, v, o, k;
    for (j = 0; j < count; j++, out += q->oc)
        for (o = 0; o < q->oc; o += 4) {           /* four lanes, some idle  */
            const float *at = t + j * q->width + o;
            float sum[4] = { 0, 0, 0, 0 };
            for (v = 0; v < q->kernel; v++, at += q->width + q->oc)
                for (k = 0; k < 4; k++) sum[k] += at[k];
            for (k = 0; k < 4 && o + k < q->oc; k++)
                out[o + k] = (q->accumulate ? out[o + k] : 0)
                           + q->start[o + k] + sum[k];
        }
}

/* Bands by columns: the values t of some pixels, then their sums. */
static void cgd__columns_lane(void *job, size_t lane)
{
    const cgd__direct *q = (const cgd__direct *)job;
    const cgd__kernels *k = q->k;
    cgd__piece w = cgd__piece_of(q, lane);
    size_t i, j, o, p, r, width, group, count;
    cgd__block b;
    b.src_step = b.run = q->deep;
    b.row_step = q->line;
    b.rows = q->taps;
    b.dst_step = q->width;
    b.init_step = 0;
    for (; cgd__piece_next(q, &w); cgd__piece_sum(q, &w))
        for (i = 0; i < w.rows; i += q->lines)
        for (j = 0; j < w.f.cols; j += count) {
            size_t pixels;
            count = cgd__min(CGD__NARROW, w.f.cols - j);
            pixels = count + q->kernel - 1;
            for (o = 0; o < q->made; o += width) {
                size_t kind = cgd__panel_kind(k, q->made - o);
                const float *panel = q->panels + o * q->taps * q->deep;
                width = k->vectors[kind] * k->vector;
                for (p = 0; p < pixels; p += group) {
                    size_t g = cgd__panel_group(k, kind, pixels - p);
                    group = k->groups[kind][g];
                    k->panel[kind][g](&b, w.spill + p * q->width + o, q->zeros,
                        w.band + i * q->line + (j + p) * q->deep, panel,
                        panel);
                }
            }
            for (r = 0; r < q->lines && i + r < w.rows; r++)
                cgd__columns_emit(q, cgd__piece_to(q, &w, i + r, j),
                    w.spill + r * q->kernel * q->oc, count);
        }
}

/* Bands by tiles, two at a time, anywhere in the band: so a map 16 wide fills
 * both, and the weights that were fetched serve 32 pixels. */
static void cgd__halves_lane(void *job, size_t lane)
{
    const cgd__direct *q = (const cgd__direct *)job;
    cgd__piece w = cgd__piece_of(q, lane);
    size_t step = q->out_step * q->oc, o, t, h;
    cgd__block b;
    b.src_step = q->in_step * q->deep;
    b.row_step = q->line;
    q->k->begin();
    for (; cgd__piece_next(q, &w); cgd__piece_sum(q, &w)) {
        size_t across = cgd__ceil_div(w.f.cols, CGD__TILE);
        size_t tiles = w.rows * across, taps = w.f.down.count
                                             * w.f.across.count;
        b.rows = w.f.across.count ? w.f.down.count : 0;
        b.run = w.f.across.count * q->deep;
        for (o = w.begin; o < w.end; o += CGD__PAIR)
        for (t = 0; t < tiles; t += 2) {
            size_t valid = cgd__min(CGD__PAIR, q->oc - o), pixels[2];
            float *to[2], *dst[2];
            const float *init[2];
            const cgd__bf16 *src[2];
            int whole = valid == CGD__PAIR && !(q->accumulate && q->bias);
            for (h = 0; h < 2; h++) {
                size_t at = cgd__min(t + h, tiles - 1), i = at / across;
                size_t j = at % across * CGD__TILE;
                pixels[h] = t + h > at ? 0 : cgd__min(CGD__TILE, w.f.cols - j);
                whole = whole && pixels[h] == CGD__TILE;
                to[h] = cgd__piece_to(q, &w, i, j) + o;
                src[h] = (const cgd__bf16 *)(const void *)w.band
                       + (i * q->in_step + w.f.down.at) * q->line
                       + (j * q->in_step + w.f.across.at) * q->deep;
            }
            b.dst_step = whole ? step : CGD__PAIR;
            b.init_step = whole && q->accumulate ? step : 0;
            for (h = 0; h < 2; h++) {
                dst[h] = whole ? to[h] : w.spill + h * CGD__TILE * CGD__PAIR;
                init[h] = whole && q->accumulate ? to[h] : q->start + o;
            }
            q->k->tile(&b, dst, init, src, cgd__halves_at(q, q->panels,
                                               w.f.first, taps, o));
            for (h = 0; h < 2 && !whole; h++)
                cgd__emit(to[h], step, dst[h], CGD__PAIR, pixels[h], valid,
                          q->accumulate);
        }
    }
    q->k->end();
}

/* ---- all of it -----------------------------------------------------------*/

/* Add up each picture's rows of moments. */
static void cgd__merge_moments(const cgd__kernels *k, double *moments,
                               const float *sums, size_t n, size_t rows,
                               size_t plane, size_t c)
{
    size_t i;
    for (i = 0; i < n; i++)
        k->merge(sums + i * rows * cgd__moments_row(plane), rows, plane, c,
                 moments + i * c, moments + (n + i) * c);
}

/* Forward or adjoint by one of the packings. All scratch is taken here, in the
 * order of its use, before anything is written: run dry, this is the plan. */
static int cgd__direct_run(cgd_ctx *ctx, const cgd__kernels *k,
                           const cgd__conv *job, int packing,
                           cgd__arena *scratch)
{
    static void (*const lane_of[3])(void *job, size_t lane) = {
        cgd__panels_lane, cgd__columns_lane, cgd__halves_lane
    };
    const cgd__shape *s = &job->s;
    size_t rows, wide;
    int folds = cgd__folds(s, job->sum);
    float *start, *panels = NULL;
    cgd__direct q;
    cgd__direct_init(&q, k, s, job->sum, packing);
    cgd__direct_cut(&q, ctx);
    rows = q.n * q.bands * q.phases;
    wide = cgd__round_up(cgd__max(q.oc, q.width), CGD__PANEL);
    start = cgd__take_floats(scratch, wide + CGD__PANEL);
    if (!job->packed)
        panels = cgd__take_floats(scratch, cgd__direct_pack_size(&q));
    if (job->moments)
        q.sums = cgd__take_floats(scratch, rows * cgd__moments_row(q.plane));
    q.out = folds ? cgd__take_floats(scratch, q.n * q.oh * q.ow * q.oc)
                  : job->out;
    q.buffers = cgd__take_floats(scratch, q.lanes * q.buffer);
    q.spills = cgd__take_floats(scratch, q.lanes * q.spill);
    if (!cgd__arena_holds(scratch)) return 0;
    if (panels) cgd__direct_pack(ctx, &q, job->by, panels);
    q.panels = panels ? panels : job->packed;
    memset(start, 0, (wide + CGD__PANEL) * sizeof(float));
    if (job->bias && !folds) memcpy(start, job->bias, q.oc * sizeof(float));
    q.start = start;
    q.zeros = start + wide;
    q.bias = folds ? NULL : job->bias;
    q.accumulate = !folds && job->accumulate;
    q.in.in = job->in;
    q.in.scale = job->scale; q.in.shift = job->shift;
    q.in.slope = job->slope;
    cgd__for(ctx, q.lanes, lane_of[packing], &q);
    if (folds) cgd__fold(ctx, k, job, q.out);
    if (q.sums)
        cgd__merge_moments(k, job->moments, q.sums, q.n, q.bands * q.phases,
                           q.plane, q.oc);
    return 1;
}

/* ======================================================================== */
/* [impl:gradient] The weight gradient of convolutions                      */
/* ======================================================================== */
/* Owns the weight gradient of any window. A row of the gradient (tap, channel)
 * is a sum over pixels, and the rows of one window row are a run in each line
 * of the padded map, so the inner loop holds some rows by a panel of outputs
 * and walks over pixels, y packed in panels.
 *
 * A slice takes a band of output lines and some rows. Where pixels are many,
 * each band sums into a gradient of its own, and these are added in order, so
 * that both maps are read once; where weights are many, there is one band and
 * the slices share out the rows. Either is counted from the shape alone.
 *
 * With one or three outputs (a discriminator's last layer, a head) the sides
 * change places: lanes run over what is read, which lies ready as a panel, and
 * a row is an output: 4 times as fast as lanes that idle. */
#ifndef CGD_NO_TRAIN

#define CGD__PIXELS 128          /* pixels at once: their panels stay near   */

typedef struct cgd__outer {
    const cgd__kernels *k;
    const cgd__shape *s;
    cgd__lines x;
    const float *y;
    float *dw, *sums;
    int few;                       /* outputs as rows                        */
    size_t run, plane;             /* values in a window's row; filled up    */
    size_t size;                   /* floats of a band's gradient            */
    size_t width;                  /* floats of a packed pixel               */
    size_t lines, pixels;          /* at once: lines of y, pixels of a line  */
    size_t bands, band;            /* lines of y in a band                   */
    size_t steps, chunk;           /* a step: some rows; of a window, of a
                                      slice                                  */
    size_t rows, line, ring;       /* rows of a step; values of a line of x  */
    float *buffers, *dots;         /* lanes of them: lines of x, ...         */
    size_t lanes, buffer, pack, spill;
} cgd__outer;

/* Bands, as long as their gradients weigh no more than the map and each has
 * pixels for two turns of the inner loop; steps for the rest of the slices. A
 * step is a dozen rows, two groups of the widest panel or one of the others. */
static void cgd__outer_cut(cgd__outer *q, const cgd_ctx *ctx,
                           const cgd__kernels *k, const cgd__shape *s, int few)
{
    size_t per_row, weights = s->kernel * s->kernel * s->c;
    size_t pixels = s->n * s->oh * s->ow, lines = s->n * s->oh;
    memset(q, 0, sizeof *q);
    q->k = k; q->s = s; q->few = few;
    q->x.h = s->h; q->x.w = s->w; q->x.c = s->c;
    q->x.pad = s->pad; q->x.pad_mode = s->pad_mode;
    q->run = s->kernel * s->c;
    q->rows = few ? k->vectors[0] * k->vector : CGD__GROUP;
    q->plane = cgd__round_up(q->run, k->vector);
    q->size = few ? s->o * s->kernel * q->plane : weights * s->o;
    q->width = cgd__panels_width(k, s->o);
    q->lines = few ? 1 : cgd__min(cgd__max(CGD__PIXELS / s->ow, 1), s->oh);
    q->pixels = cgd__ceil_div(s->ow, cgd__ceil_div(s->ow, CGD__PIXELS));
    q->bands = cgd__min(pixels / weights, pixels / (2 * CGD__PIXELS));
    if (few) q->bands = cgd__max(4, lines / (2 * s->kernel));
    q->bands = cgd__min(cgd__max(q->bands, 1), cgd__min(CGD__SLICES, lines));
    q->band = cgd__ceil_div(lines, q->bands);
    q->bands = cgd__ceil_div(lines, q->band);
    per_row = cgd__ceil_div(q->run, q->rows);
    q->steps = s->kernel * per_row;
    q->chunk = cgd__ceil_div(q->steps * q->bands, CGD__SLICES);
    if (few) q->chunk = q->steps;
    q->line = ((s->ow - 1) * s->stride + s->kernel) * s->c;
    q->ring = (q->lines - 1) * s->stride + s->kernel;
    q->lanes = cgd__lanes(ctx, q->bands * cgd__ceil_div(q->steps, q->chunk));
    q->buffer = cgd__round_up(q->ring * q->line + q->rows, 16);
    q->pack = few ? 0 : q->lines * q->pixels * q->width;
    q->spill = few ? 0 : CGD__GROUP * CGD__PANEL;
}

/* What a lane is at: a slice's band and steps, and a block of its lines of y,
 * which one picture has. */
typedef struct cgd__patch_of {
    size_t band, begin, end;               /* steps                          */
    size_t n, first, lines, filled;        /* lines of y; x is copied to     */
    float *x, *y, *spill, *dw;
} cgd__patch_of;

/* Where line i of x lies: one after another, or where y's lines come singly
 * in a ring, so that none is copied twice. */
static float *cgd__outer_line(const cgd__outer *q, const cgd__patch_of *w,
                              size_t i)
{
    size_t at = q->lines > 1 ? i - w->first * q->s->stride : i % q->ring;
    return w->x + at * q->line;
}

/* Copy the lines of x that a block needs: for the window rows of its steps
 * only. Short lines of y are taken several at a time, so that a kernel has
 * enough pixels to sum before it writes; then their lines of x lie one after
 * another and the next block copies anew those they share. */
static void cgd__outer_read(const cgd__outer *q, cgd__patch_of *w)
{
    const cgd__shape *s = q->s;
    size_t per_row = q->steps / s->kernel;
    size_t i = w->first * s->stride + w->begin / per_row;
    size_t end = (w->first + w->lines - 1) * s->stride
               + (w->end - 1) / per_row + 1;
    if (q->lines == 1 && w->first > 0) i = cgd__max(i, w->filled);
    for (; i < end; i++)
        q->k->line(&q->x, cgd__outer_line(q, w, i), w->n, i,
                   q->line / s->c);
    w->filled = end;
}

/* Copy pixels [j, j + count) of a block's lines of y into panels. */
CGD__OPTIMIZED static void cgd__outer_pack(const cgd__outer *q,
                                           const cgd__patch_of *w, size_t j,
                                           size_t count)
{
    size_t oc = q->s->o, o, i, p, width, ow = q->s->ow;
    float *panel = w->y;
    for (o = 0; o < oc; o += width) {
        size_t valid;
        width = cgd__panel_width(q->k, oc - o);
        valid = cgd__min(width, oc - o);
        for (i = 0; i < w->lines; i++) {
            const float *y = q->y + ((w->n * q->s->oh + w->first + i) * ow + j)
                           * oc + o;
            for (p = 0; p < count; p++, panel += width, y += oc) {
                memcpy(panel, y, valid * sizeof(float));
                if (valid < width)
                    memset(panel + valid, 0, (width - valid) * sizeof(float));
            }
        }
    }
}

/* Some pixels of a block into the rows of a slice, a step at a time. The panel
 * of y (32 KB of 128 pixels by 64 outputs) stays in the first cache, while the
 * steps pass by with 128 times a dozen values each. */
static void cgd__outer_steps(const cgd__outer *q, const cgd__patch_of *w,
                             size_t j, size_t count)
{
    const cgd__kernels *k = q->k;
    const cgd__shape *s = q->s;
    size_t oc = s->o, o, at, width, r, per_row = q->steps / s->kernel;
    const float *panel = w->y;
    cgd__block b;
    b.src_step = s->stride * s->c;
    b.row_step = s->stride * q->line;
    b.rows = w->lines;
    b.run = count;
    for (o = 0; o < oc; o += width, panel += w->lines * count * width) {
        size_t kind = cgd__panel_kind(k, oc - o), group = k->groups[kind][0];
        size_t valid;
        width = k->vectors[kind] * k->vector;
        valid = cgd__min(width, oc - o);
        b.panel_step = width;
        b.panel_row = count * width;
        for (at = w->begin; at < w->end; at++)
        for (r = at % per_row * CGD__GROUP;
             r < cgd__min((at % per_row + 1) * CGD__GROUP, q->run);
             r += group) {
            size_t u = at / per_row, rows = cgd__min(group, q->run - r);
            float *to = w->dw + (u * q->run + r) * oc + o;
            int whole = rows == group && valid == width;
            b.dst_step = whole ? oc : width;
            if (!whole) memset(w->spill, 0, group * width * sizeof(float));
            k->outer[kind](&b, whole ? to : w->spill,
                cgd__outer_line(q, w, w->first * s->stride + u)
                + j * b.src_step + r, panel);
            if (!whole) cgd__emit(to, oc, w->spill, width, rows, valid, 1);
        }
    }
}

/* The same where the sides change places, into (output, tap row, value): the
 * line of x is the panel, ready in memory, and y's values are broadcast. */
static void cgd__outer_few(const cgd__outer *q, const cgd__patch_of *w)
{
    const cgd__kernels *k = q->k;
    const cgd__shape *s = q->s;
    size_t u, r, width;
    cgd__block b;
    b.dst_step = q->size / s->o;
    b.src_step = s->o;
    b.row_step = s->ow * s->o;
    b.rows = w->lines;
    b.run = s->ow;
    b.panel_step = s->stride * s->c;
    b.panel_row = s->stride * q->line;
    for (u = 0; u < s->kernel; u++)
        for (r = 0; r < q->run; r += width) {
            int full = q->run - r >= q->rows;
            width = full ? q->rows : k->vector;
            k->outer_few[s->o == 3][full](&b, w->dw + u * q->plane + r,
                q->y + (w->n * s->oh + w->first) * s->ow * s->o,
                cgd__outer_line(q, w, w->first * s->stride + u) + r);
        }
}

/* A slice, block by block. Sums of a band begin at zero; the only band adds to
 * the gradient at once. */
static void cgd__outer_slice(const cgd__outer *q, cgd__patch_of *w)
{
    const cgd__shape *s = q->s;
    size_t first = w->band * q->band, last = s->n * s->oh, j, count;
    size_t per_row = q->steps / s->kernel;
    last = cgd__min(first + q->band, last);
    w->dw = q->sums ? q->sums + w->band * q->size : q->dw;
    if (q->few) memset(w->dw, 0, q->size * sizeof(float));
    else if (q->sums) {
        size_t from = w->begin / per_row * q->run
                    + w->begin % per_row * CGD__GROUP;
        size_t to = w->end / per_row * q->run
                  + cgd__min(w->end % per_row * CGD__GROUP, q->run);
        memset(w->dw + from * s->o, 0, (to - from) * s->o * sizeof(float));
    }
    for (w->filled = 0; first < last; first += w->lines) {
        w->n = first / s->oh;
        w->first = first % s->oh;
        w->lines = cgd__min(q->lines, cgd__min(last - first,
                                               s->oh - w->first));
        if (w->first == 0) w->filled = 0;
        cgd__outer_read(q, w);
        if (q->few) cgd__outer_few(q, w);
        for (j = 0; !q->few && j < s->ow; j += count) {
            count = cgd__min(q->pixels, s->ow - j);
            cgd__outer_pack(q, w, j, count);
            cgd__outer_steps(q, w, j, count);
        }
    }
}

static void cgd__outer_lane(void *job, size_t lane)
{
    const cgd__outer *q = (const cgd__outer *)job;
    size_t chunks = cgd__ceil_div(q->steps, q->chunk), at;
    cgd__patch_of w;
    w.x = q->buffers + lane * (q->buffer + q->pack + q->spill);
    w.y = w.x + q->buffer;
    w.spill = w.y + q->pack;
    for (at = lane; at < q->bands * chunks; at += q->lanes) {
        w.band = at % q->bands;
        w.begin = at / q->bands * q->chunk;
        w.end = cgd__min(w.begin + q->chunk, q->steps);
        cgd__outer_slice(q, &w);
    }
}

/* Add the bands' gradients, in order: those of one row. */
CGD__OPTIMIZED static void cgd__outer_add(void *job, size_t row)
{
    const cgd__outer *q = (const cgd__outer *)job;
    size_t oc = q->s->o, band, k, along = 1;
    float *dw = q->dw + row * oc;
    const float *sums = q->sums + row * oc;
    if (q->few) {
        along = q->size / oc;
        sums = q->sums + row / q->run * q->plane + row % q->run;
    }
    for (band = 0; band < q->bands; band++, sums += q->size)
        for (k = 0; k < oc; k++) dw[k] += sums[k * along];
}

/* The weight gradient, with the sides changed if outputs are few. */
static int cgd__outer_run(cgd_ctx *ctx, const cgd__kernels *k,
                          const cgd__conv *job, int few, cgd__arena *scratch)
{
    cgd__outer q;
    cgd__outer_cut(&q, ctx, k, &job->s, few);
    q.x.in = job->in;
    q.y = job->by;
    q.dw = job->out;
    if (few || q.bands > 1)
        q.sums = cgd__take_floats(scratch, q.bands * q.size);
    q.buffers = cgd__take_floats(scratch, q.lanes * (q.buffer + q.pack
                                                     + q.spill));
    if (!cgd__arena_holds(scratch)) return 0;
    cgd__for(ctx, q.lanes, cgd__outer_lane, &q);
    if (q.sums)
        cgd__for(ctx, q.s->kernel * q.run, cgd__outer_add, &q);
    return 1;
}

/* ---- in bf16 -------------------------------------------------------------*/
/* A gradient sums over pixels, so pixels are the depth K of the tiles, and
 * must lie side by side in memory: both maps are turned first, once, and each
 * value then meets 32 others at a time. Pixels run through the padded map, so
 * that a tap is a shift: x is turned into a line per channel (with stride 2
 * four of them, one for each parity of row and column, in which the pixels
 * that one tap meets lie side by side), y into pairs of pixels at the same
 * places, with zeros where it has none: what lies in x between the end of one
 * line of outputs and the next then counts for nothing.
 *
 * Sizes that must agree: a line is as long as all pixels and the farthest
 * shift behind them; a step is 32 pixels; bands are whole steps. */

#define CGD__TILE_STEP (CGD__PAIR * CGD__PAIR)  /* values of B in a step     */
#define CGD__TILE_BAND 1024      /* pixels per band of a weight gradient,    */
#define CGD__TILE_DEPTH 512      /* and at once: 32 lines fit a near cache   */

typedef struct cgd__turned {
    const cgd__kernels *k;
    const cgd__shape *s;
    const float *x, *y;
    float *dw, *sums, *spills;
    cgd__bf16 *lines, *pairs;
    size_t h, w, c;                /* of a parity's map; channels, filled up */
    size_t depth, line;            /* pixels in all; and behind them         */
    size_t panels, blocks;         /* of 32 outputs; of 32 channels and a tap */
    size_t bands, chunk, lanes;
} cgd__turned;

/* Bands of pixels as in cgd__outer_cut, but four times as many, since bf16
 * gets through them faster; chunks of blocks for the rest of the slices. */
static void cgd__turned_cut(cgd__turned *q, const cgd_ctx *ctx,
                            const cgd__kernels *k, const cgd__shape *s)
{
    size_t taps = s->kernel * s->kernel, reach = (s->kernel - 1) / s->stride;
    memset(q, 0, sizeof *q);
    q->k = k; q->s = s;
    q->h = cgd__ceil_div(s->h + 2 * s->pad, s->stride);
    q->w = cgd__ceil_div(s->w + 2 * s->pad, s->stride);
    q->c = cgd__round_up(s->c, CGD__PAIR);
    q->depth = cgd__round_up(s->n * q->h * q->w, CGD__PAIR);
    q->line = cgd__round_up(q->depth + reach * (q->w + 1), CGD__PAIR)
            + CGD__PAIR;
    q->panels = cgd__ceil_div(s->o, CGD__PAIR);
    q->blocks = taps * q->c / CGD__PAIR;
    q->bands = cgd__min(cgd__ceil_div(q->depth, CGD__TILE_BAND),
                        cgd__max(q->depth / (taps * s->c) * 4, 1));
    q->chunk = cgd__max(q->blocks * q->bands / (2 * CGD__SLICES), 1);
    q->lanes = cgd__lanes(ctx, q->bands * cgd__ceil_div(q->blocks, q->chunk));
}

/* Up to sixteen channels of a pixel, the rest zeros. */
static const float *cgd__turned_values(const float *pixel, size_t valid,
                                       float *spill)
{
    size_t k;
    if (valid == CGD__TILE) return pixel;
    for (k = 0; k < CGD__TILE; k++) spill[k] = k < valid ? pixel[k] : 0;
    return spill;
}

/* Sixteen channels of x at place (i, j) of a parity's map, or zeros. */
static const float *cgd__turned_input(const cgd__turned *q, size_t parity,
                                      size_t i, size_t j, size_t c,
                                      float *spill)
{
    const cgd__shape *s = q->s;
    size_t a = i % q->h * s->stride + parity / s->stride;
    size_t b = j * s->stride + parity % s->stride, valid = 0;
    const float *x = q->x;
    if (a < s->h + 2 * s->pad && b < s->w + 2 * s->pad && c < s->c) {
        a = cgd__tap_index(a, s->pad, s->h, s->pad_mode);
        b = cgd__tap_index(b, s->pad, s->w, s->pad_mode);
        if (a != CGD__OUTSIDE && b != CGD__OUTSIDE) {
            valid = cgd__min(CGD__TILE, s->c - c);
            x += ((i / q->h * s->h + a) * s->w + b) * s->c + c;
        }
    }
    return cgd__turned_values(x, valid, spill);
}

/* Sixteen channels' lines of one parity. A row of odd length writes a zero
 * where the next one begins, before that does. */
CGD__OPTIMIZED static void cgd__turn_lines(void *job, size_t slice)
{
    const cgd__turned *q = (const cgd__turned *)job;
    size_t parity = slice / (q->c / CGD__TILE), i, j, end;
    size_t c = slice % (q->c / CGD__TILE) * CGD__TILE;
    cgd__bf16 *line = q->lines + (parity * q->c + c) * q->line;
    float even[CGD__TILE], odd[CGD__TILE];
    for (i = 0; i < q->s->n * q->h; i++)
        for (j = 0; j < q->w; j += 2)
            q->k->turn(line + i * q->w + j, q->line,
                       cgd__turned_input(q, parity, i, j, c, even),
                       cgd__turned_input(q, parity, i, j + 1, c, odd));
    end = q->s->n * q->h * q->w;
    for (i = 0; i < CGD__TILE; i++)
        memset(line + i * q->line + end, 0, (q->line - end) * sizeof *line);
}

/* Sixteen outputs of y at place k of the padded map, or zeros. */
static const float *cgd__turned_output(const cgd__turned *q, size_t k,
                                       size_t o, float *spill)
{
    const cgd__shape *s = q->s;
    size_t j = k % q->w, i = k / q->w % q->h, n = k / q->w / q->h;
    size_t valid = n < s->n && i < s->oh && j < s->ow && o < s->o
                 ? cgd__min(CGD__TILE, s->o - o) : 0;
    const float *y = q->y;
    if (valid > 0) y += ((n * s->oh + i) * s->ow + j) * s->o + o;
    return cgd__turned_values(y, valid, spill);
}

CGD__OPTIMIZED static void cgd__turn_pairs(void *job, size_t step)
{
    const cgd__turned *q = (const cgd__turned *)job;
    size_t steps = q->depth / CGD__PAIR, panel, half, r;
    float even[CGD__TILE], odd[CGD__TILE];
    for (panel = 0; panel < q->panels; panel++) {
        cgd__bf16 *to = q->pairs + (panel * steps + step) * CGD__TILE_STEP;
        for (half = 0; half < 2; half++)
            for (r = 0; r < CGD__TILE; r++, to += CGD__PAIR) {
                size_t o = panel * CGD__PAIR + half * CGD__TILE;
                size_t k = step * CGD__PAIR + 2 * r;
                q->k->pair(to, cgd__turned_output(q, k, o, even),
                           cgd__turned_output(q, k + 1, o, odd));
            }
    }
}

/* A block of 32 channels of a tap by all panels, over a band of pixels: into
 * the gradient, by way of a spill where not all of its channels exist. */
static void cgd__turned_block(const cgd__turned *q, float *dw, float *spill,
                              size_t block, size_t first, size_t last)
{
    const cgd__shape *s = q->s;
    size_t per_tap = q->c / CGD__PAIR, tap = block / per_tap, o, at, h;
    size_t c = block % per_tap * CGD__PAIR;
    size_t rows = cgd__min(CGD__PAIR, s->c - c);
    size_t u = tap / s->kernel, v = tap % s->kernel;
    size_t parity = u % s->stride * s->stride + v % s->stride;
    const cgd__bf16 *line = q->lines + (parity * q->c + c) * q->line
                          + u / s->stride * q->w + v / s->stride;
    static const float zeros[CGD__PAIR] = { 0 };
    cgd__block b;
    b.src_step = q->line;
    b.row_step = 0;
    b.rows = 1;
    for (at = first; at < last; at += b.run)
        for (b.run = cgd__min(CGD__TILE_DEPTH, last - at), o = 0; o < s->o;
             o += CGD__PAIR) {
            size_t valid = cgd__min(CGD__PAIR, s->o - o);
            int whole = rows == CGD__PAIR && valid == CGD__PAIR;
            int add = q->bands == 1 || at > first;
            float *to = dw + (tap * s->c + c) * s->o + o, *dst[2];
            const float *init[2];
            const cgd__bf16 *src[2];
            b.dst_step = whole ? s->o : CGD__PAIR;
            b.init_step = whole && add ? s->o : 0;
            for (h = 0; h < 2; h++) {
                src[h] = line + at + h * CGD__TILE * q->line;
                dst[h] = (whole ? to : spill) + h * CGD__TILE * b.dst_step;
                init[h] = whole && add ? dst[h] : zeros;
            }
            q->k->tile(&b, dst, init, src,
                       q->pairs + (o * q->depth + at * CGD__PAIR));
            if (!whole) cgd__emit(to, s->o, spill, CGD__PAIR, rows, valid, add);
        }
}

static void cgd__turned_lane(void *job, size_t lane)
{
    const cgd__turned *q = (const cgd__turned *)job;
    size_t chunks = cgd__ceil_div(q->blocks, q->chunk), at, block;
    size_t steps = q->depth / CGD__PAIR;
    q->k->begin();
    for (at = lane; at < q->bands * chunks; at += q->lanes) {
        size_t band = at / chunks, end;
        size_t first = steps * band / q->bands * CGD__PAIR;
        size_t last = steps * (band + 1) / q->bands * CGD__PAIR;
        float *dw = q->bands > 1 ? q->sums + band * q->s->kernel * q->s->kernel
                                   * q->s->c * q->s->o : q->dw;
        block = at % chunks * q->chunk;
        end = cgd__min(block + q->chunk, q->blocks);
        for (; block < end; block++)
            cgd__turned_block(q, dw, q->spills + lane * CGD__TILE_STEP, block,
                              first, last);
    }
    q->k->end();
}

/* The weight gradient in bf16. */
static int cgd__turned_run(cgd_ctx *ctx, const cgd__kernels *k,
                           const cgd__conv *job, int packing,
                           cgd__arena *scratch)
{
    const cgd__shape *s = &job->s;
    cgd__turned q;
    cgd__outer add;
    (void)packing;
    cgd__turned_cut(&q, ctx, k, s);
    memset(&add, 0, sizeof add);
    add.s = s;
    add.dw = job->out;
    add.bands = q.bands;
    add.size = s->kernel * s->kernel * s->c * s->o;
    q.x = job->in; q.y = job->by; q.dw = job->out;
    q.lines = (cgd__bf16 *)cgd__take(scratch, s->stride * s->stride * q.c
                                     * q.line, sizeof(cgd__bf16));
    q.pairs = (cgd__bf16 *)cgd__take(scratch, q.panels * CGD__PAIR * q.depth,
                                     sizeof(cgd__bf16));
    if (q.bands > 1)
        add.sums = q.sums = cgd__take_floats(scratch, q.bands * add.size);
    q.spills = cgd__take_floats(scratch, q.lanes * CGD__TILE_STEP);
    if (!cgd__arena_holds(scratch)) return 0;
    cgd__for(ctx, s->stride * s->stride * q.c / CGD__TILE, cgd__turn_lines,
             &q);
    cgd__for(ctx, q.depth / CGD__PAIR, cgd__turn_pairs, &q);
    cgd__for(ctx, q.lanes, cgd__turned_lane, &q);
    if (q.bands > 1) cgd__for(ctx, add.size / s->o, cgd__outer_add, &add);
    return 1;
}
#endif /* CGD_NO_TRAIN */

/* ======================================================================== */
/* [impl:winograd] Winograd convolution                                     */
/* ======================================================================== */
/* Owns the fast path of 3x3 convolutions of stride 1, the residual blocks'
 * kind: Winograd's F(4x4, 3x3) makes 4x4 outputs from a 6x6 patch with 36
 * multiplications per pair of channels instead of 144 (Lavin & Gray 2015,
 * arXiv:1509.09308). With * for products in each of the 36 points:
 *
 *   forward   Y  = A' [ sum_c (G g G') * (B' x B) ] A       per 4x4 tile
 *   adjoint   x += B  [ sum_o (G g G') * (A y A') ] B'      per 6x6 patch
 *   weights   g += G' [ sum_tiles (B' x B) * (A y A') ] G
 *
 * so all three are matrix products over channels or tiles, point by point,
 * between transforms that are exact adjoints of each other.
 *
 * Where the matrices come from (Toom & Cook; in one dimension, the second is
 * the same on the columns). Read 3 weights and 4 gradients as polynomials
 * g(t) and y(t); their product s has degree 5, so that its values at 5 points
 * and its leading coefficient, "the value at infinity", determine it. At a
 * point, s is the product of the values of g and y: 6 multiplications. So
 * with p = 0, 1, -1, 1/2, -2 and infinity,
 *
 *   row p of A:  1 p p^2 p^3    of G:  (1 p p^2) / N_p,   N_p = prod (p - r)
 *
 * over the other finite points r; at infinity (0 0 0 1) and (0 0 1). Column p
 * of B are the coefficients of N_p's polynomial prod (t - r), Lagrange's
 * without its denominator, which G has; the column of infinity those of
 * prod (t - r) over all five. So B [(G g) * (A y)] are the coefficients of s,
 * which is the adjoint, and its transposes in y and g the two other sums. The
 * usual points 0, +-1, +-2 lose more digits: these have smaller powers.
 *
 *   B' = 1 -3/2   -2  3/2    1  0    G = 1      0      0     A = 1  0   0   0
 *        0   -1  1/2  5/2    1  0        1/3    1/3    1/3       1  1   1   1
 *        0    1 -5/2  1/2    1  0       -1/3    1/3   -1/3       1 -1   1  -1
 *        0   -2   -1    2    1  0      -16/15  -8/15  -4/15      1 1/2 1/4 1/8
 *        0  1/2   -1 -1/2    1  0        1/15  -2/15   4/15      1 -2   4  -8
 *        0    1 -3/2   -2  3/2  1        0      0      1         0  0   0   1
 *
 * Tiles are handled in blocks of whole rows, small enough that a block's
 * transforms stay in a core's cache: 32 tiles of 256 channels are a megabyte,
 * 64 cost 5 %, and 16 are as fast where the weights come from near. A lane,
 * the work and the buffer of every lanes-th block, serves one thread at a
 * time. */

#define CGD__POINTS 36
#define CGD__TILES 32            /* most tiles in a block; without vectors 8 */
#define CGD__TILE_BLOCK 256      /* tiles per pass of the weight gradient    */

typedef struct cgd__wino {
    const cgd__kernels *k;
    const cgd__shape *s;
    size_t depth, outputs;             /* channels read and written          */
    size_t th, tw;                     /* tiles down and across              */
    size_t rows, cols;                 /* of tiles in a block                */
    size_t m_tiles;                    /* of M: one more than a block's most */
    size_t blocks;                     /* in a picture                       */
    size_t lanes, v_size, lane;        /* floats of V and of a lane          */
    size_t plane;                      /* floats between points of V         */
    size_t line;                       /* values in a line of a strip        */
    const float *in, *zeros, *bias, *panels;
    const float *scale, *shift;        /* see cgd__conv                      */
    float slope;
    float *out, *buffers, *strips;
    float *sums;                       /* moments, a row per block, or NULL  */
    size_t sum_plane;
    int accumulate;
} cgd__wino;

/* Channels must fill vectors, since the transforms know nothing else; of a
 * map of less than 64 outputs most tiles would be edges, and 36 points of all
 * its weights cost more than they save. */
static int cgd__wino_fits(const cgd__kernels *k, const cgd__shape *s, int sum)
{
#ifdef CGD_NO_TRAIN
    if (sum != CGD__FORWARD) return 0;
#endif
    (void)sum;
    return s->kernel == 3 && s->stride == 1 && s->pad <= 2
        && s->c % k->vector == 0 && s->o % k->vector == 0
        && s->oh * s->ow >= 64;
}

static void cgd__wino_cut(cgd__wino *q, const cgd_ctx *ctx,
                          const cgd__kernels *k, const cgd__shape *s, int sum)
{
    size_t width, most = k->vector > 1 ? CGD__TILES : CGD__TILES / 4;
    memset(q, 0, sizeof *q);
    q->k = k;
    q->s = s;
    q->m_tiles = most + 1;             /* lest points share cache sets       */
    q->depth = sum == CGD__ADJOINT ? s->o : s->c;
    q->outputs = sum == CGD__ADJOINT ? s->c : s->o;
    width = cgd__panel_width(k, q->outputs);
    q->th = cgd__ceil_div(s->oh, 4);
    q->tw = cgd__ceil_div(s->ow, 4);
    q->rows = cgd__min(cgd__max(1, most / q->tw),
                       cgd__ceil_div(s->n * q->th, 2));
    q->rows = cgd__min(q->rows, q->th);
    q->blocks = cgd__ceil_div(q->th, q->rows);
    q->rows = cgd__ceil_div(q->th, q->blocks);
    q->cols = cgd__min(q->tw, most / q->rows);
    q->line = (4 * q->tw + 2) * s->c;
    q->lanes = cgd__lanes(ctx, s->n * q->blocks);
    q->sum_plane = cgd__round_up(s->o, k->vector);
    /* Planes a power of two apart would share cache sets; a last group of
     * tiles reads and writes beyond what there is. */
    q->plane = q->rows * q->cols * q->depth + 16;
    q->v_size = CGD__POINTS * q->plane + CGD__GROUP * q->depth;
    q->lane = cgd__round_up(q->v_size + CGD__POINTS * q->m_tiles * width, 16);
}

/* Floats of the transformed weights: all panels, all points. Each has a row
 * more than it fills, lest all points share cache sets. */
static size_t cgd__wino_pack_size(const cgd__kernels *k, size_t depth,
                                  size_t outputs)
{
    return CGD__POINTS * (depth + 1) * cgd__panels_width(k, outputs);
}

/* Where the patch of tile (n, i, j) reads: 36 pointers to pixels of x. */
static void cgd__wino_patch(const cgd__wino *q, size_t n, size_t i, size_t j,
                            const float *px[CGD__POINTS])
{
    const cgd__shape *s = q->s;
    size_t u, v;
    for (u = 0; u < 6; u++) {
        size_t a = 4 * i + u, row = CGD__OUTSIDE;
        if (a < s->h + 2 * s->pad)
            row = cgd__tap_index(a, s->pad, s->h, s->pad_mode);
        for (v = 0; v < 6; v++) {
            size_t b = 4 * j + v, col = CGD__OUTSIDE;
            if (b < s->w + 2 * s->pad)
                col = cgd__tap_index(b, s->pad, s->w, s->pad_mode);
            px[u * 6 + v] = row == CGD__OUTSIDE || col == CGD__OUTSIDE
                ? q->zeros : q->in + ((n * s->h + row) * s->w + col) * s->c;
        }
    }
}

/* The 16 pixels of y that a tile covers; those beyond the edge are `none`. */
static void cgd__wino_tile(const cgd__shape *s, const float *y,
                           const float *none, size_t n, size_t i, size_t j,
                           const float *px[16])
{
    size_t u, v;
    for (u = 0; u < 4; u++)
        for (v = 0; v < 4; v++)
            px[u * 4 + v] = 4 * i + u < s->oh && 4 * j + v < s->ow
                ? y + ((n * s->oh + 4 * i + u) * s->ow + 4 * j + v) * s->o
                : none;
}

/* Tile rows [first, first + rows) of picture n, columns [j0, j0 + cols), that
 * a lane does at once: V (point, tile, depth), M (point, tile, width). */
typedef struct cgd__wino_block {
    size_t at, n, first, rows, j0, cols;
    float *v, *m;
} cgd__wino_block;

static cgd__wino_block cgd__wino_block_of(const cgd__wino *q, size_t lane)
{
    cgd__wino_block b;
    memset(&b, 0, sizeof b);
    b.at = lane - q->lanes;                /* next adds the lanes: wraps     */
    b.j0 = q->tw;
    b.v = q->buffers + lane * q->lane;
    b.m = b.v + q->v_size;
    return b;
}

static int cgd__wino_next(const cgd__wino *q, cgd__wino_block *b)
{
    const cgd__shape *s = q->s;
    b->j0 += b->cols;
    if (b->j0 >= q->tw) {
        b->at += q->lanes;
        if (b->at >= s->n * q->blocks) return 0;
        b->j0 = 0;
        b->n = b->at / q->blocks;
        b->first = b->at % q->blocks * q->rows;
        b->rows = cgd__min(q->rows, q->th - b->first);
        if (q->strips)
            memset(q->strips + (b->n * q->th + b->first) * 6 * q->line, 0,
                   b->rows * 6 * q->line * sizeof(float));
        if (q->sums)                       /* a block's number of pixels     */
            q->sums[b->at * cgd__moments_row(q->sum_plane) + 3 * q->sum_plane]
                = (float)((cgd__min(4 * (b->first + b->rows), s->oh)
                           - 4 * b->first) * s->ow);
    }
    b->cols = cgd__min(q->cols, q->tw - b->j0);
    return 1;
}

/* To points: patches of x forward, tiles of y for the adjoint. 36 values go
 * out for 36 (or 16) that come in, and each meets all outputs then. */
static void cgd__wino_in(const cgd__wino *q, const cgd__wino_block *b)
{
    const cgd__shape *s = q->s;
    size_t t, nc = b->n * s->c;
    for (t = 0; t < b->rows * b->cols; t++) {
        const float *px[CGD__POINTS];
        size_t i = b->first + t / b->cols, j = b->j0 + t % b->cols;
#ifndef CGD_NO_TRAIN
        if (q->strips) {
            cgd__wino_tile(s, q->in, q->zeros, b->n, i, j, px);
            q->k->tile_in(b->v + t * s->o, q->plane, px, 0, s->o);
            continue;
        }
#endif
        cgd__wino_patch(q, b->n, i, j, px);
        q->k->patch_in(b->v + t * s->c, q->plane, px,
                       q->scale ? q->scale + nc : NULL,
                       q->scale ? q->shift + nc : NULL, q->slope, s->c);
    }
}

/* The moments of a block's outputs [o, o + width), line by line. */
static void cgd__wino_sum(const cgd__wino *q, const cgd__wino_block *b,
                          size_t o, size_t width)
{
    const cgd__shape *s = q->s;
    size_t i = 4 * b->first, end = cgd__min(4 * (b->first + b->rows), s->oh);
    size_t count = cgd__min(4 * (b->j0 + b->cols), s->ow) - 4 * b->j0;
    float *sums = q->sums + b->at * cgd__moments_row(q->sum_plane) + o;
    for (; i < end; i++)
        q->k->moments(sums, q->sum_plane, q->out + ((b->n * s->oh + i) * s->ow
                                                    + 4 * b->j0) * s->o + o,
                      s->o, count, width, i == 4 * b->first && b->j0 == 0);
}

/* Back from points to outputs [o, o + width): tiles of y, or patches added
 * into the strips of their tile rows, six lines each. */
static void cgd__wino_out(const cgd__wino *q, const cgd__wino_block *b,
                          size_t o, size_t width)
{
    const cgd__shape *s = q->s;
    size_t t, u;
    float none[CGD__PANEL];
    for (t = 0; t < b->rows * b->cols; t++) {
        size_t i = b->first + t / b->cols, j = b->j0 + t % b->cols;
        const float *px[16];
        float *to[16], *m = b->m + t * width;
#ifndef CGD_NO_TRAIN
        if (q->strips) {
            q->k->patch_out(q->strips + (b->n * q->th + i) * 6 * q->line
                            + 4 * j * s->c + o, q->line, s->c, m,
                            q->m_tiles * width, width);
            continue;
        }
#endif
        cgd__wino_tile(s, q->out + o, none, b->n, i, j, px);
        for (u = 0; u < 16; u++) to[u] = (float *)px[u];
        q->k->tile_out(to, m, q->m_tiles * width, width,
                       q->bias ? q->bias + o : NULL, q->accumulate);
    }
    if (q->sums) cgd__wino_sum(q, b, o, width);
}

/* Forward or adjoint, as 36 products of (tiles x depth) by (depth x panel).
 * The weights of all points seldom fit a core's cache (9 MB of 256 by 256), so
 * the next point's are asked for while this one's are at work: what bounds
 * this is the way from there as much as arithmetic, and 32 tiles are what
 * makes them worth the way. */
static void cgd__wino_lane(void *job, size_t lane)
{
    const cgd__wino *q = (const cgd__wino *)job;
    const cgd__kernels *k = q->k;
    cgd__wino_block b = cgd__wino_block_of(q, lane);
    size_t o, width, point, t, g;
    cgd__block p;
    p.init_step = 0;
    p.src_step = p.run = q->depth;
    p.row_step = 0;
    p.rows = 1;
    while (cgd__wino_next(q, &b)) {
        size_t tiles = b.rows * b.cols;
        cgd__wino_in(q, &b);
        for (o = 0; o < q->outputs; o += width) {
            size_t kind = cgd__panel_kind(k, q->outputs - o);
            width = p.dst_step = k->vectors[kind] * k->vector;
            for (point = 0; point < CGD__POINTS; point++) {
                const float *panel = q->panels + (q->depth + 1)
                                   * (o * CGD__POINTS + point * width);
                const float *ahead = panel + (q->depth + 1) * width;
                for (t = 0; t < tiles; t += k->groups[kind][g]) {
                    g = cgd__panel_group(k, kind, tiles - t);
                    k->panel[kind][g](&p,
                        b.m + (point * q->m_tiles + t) * width, q->zeros,
                        b.v + point * q->plane + t * q->depth, panel, ahead);
                    ahead += 16 * q->depth;
                }
            }
            cgd__wino_out(q, &b, o, width);
        }
    }
}

#ifndef CGD_NO_TRAIN
/* Lines of the strips that hold row i of the map: each of its mirror images
 * in the padded map lies in one tile row's strip, or in two. */
static size_t cgd__wino_lines(const cgd__wino *q, size_t n, size_t i,
                              const float *lines[6])
{
    const cgd__shape *s = q->s;
    size_t at[3], mirrors, k, t, count = 0;
    mirrors = cgd__mirrors(at, i, s->h, s->pad, s->pad_mode);
    for (k = 0; k < mirrors; k++)
        for (t = at[k] < 6 ? 0 : (at[k] - 2) / 4; t * 4 <= at[k]; t++)
            if (t < q->th && at[k] - 4 * t < 6)
                lines[count++] = q->strips
                    + ((n * q->th + t) * 6 + at[k] - 4 * t) * q->line;
    return count;
}

CGD__OPTIMIZED static void cgd__wino_fold_row(void *job, size_t row)
{
    const cgd__wino *q = (const cgd__wino *)job;
    const cgd__shape *s = q->s;
    const float *lines[6];
    size_t count = cgd__wino_lines(q, row / s->h, row % s->h, lines);
    size_t j, k, a, b, at[3], mirrors;
    for (j = 0; j < s->w; j++) {
        float *out = q->out + (row * s->w + j) * s->c;
        mirrors = cgd__mirrors(at, j, s->w, s->pad, s->pad_mode);
        for (k = 0; k < s->c; k++)
            out[k] = (q->accumulate ? out[k] : 0) + (q->bias ? q->bias[k] : 0);
        for (a = 0; a < count; a++)
            for (b = 0; b < mirrors; b++) {
                const float *in = lines[a] + at[b] * s->c;
                for (k = 0; k < s->c; k++) out[k] += in[k];
            }
    }
}
#endif

/* ---- weights there and back ----------------------------------------------*/

typedef struct cgd__wino_weights {
    const cgd__kernels *k;
    const float *w;
    float *panels;
    size_t depth, outputs, along, across;  /* strides of w                   */
} cgd__wino_weights;

/* Transform the weights from the c-th value of depth to all outputs. */
static void cgd__wino_pack_row(void *job, size_t c)
{
    const cgd__wino_weights *q = (const cgd__wino_weights *)job;
    size_t o, i, width, vector = q->k->vector;
    for (o = 0; o < q->outputs; o += width) {
        float *panel = q->panels + o * CGD__POINTS * (q->depth + 1);
        width = cgd__panel_width(q->k, q->outputs - o);
        for (i = 0; i < width; i += vector)
            q->k->weights_in(panel + c * width + i, (q->depth + 1) * width,
                             q->w + c * q->along + (o + i) * q->across,
                             q->depth * q->outputs, q->across);
    }
}

static void cgd__wino_pack(cgd_ctx *ctx, const cgd__kernels *k,
                           const cgd__shape *s, int sum, const float *w,
                           float *panels)
{
    int adjoint = sum == CGD__ADJOINT;
    cgd__wino_weights q;
    q.k = k; q.w = w;
    q.panels = panels;
    q.depth = adjoint ? s->o : s->c;
    q.outputs = adjoint ? s->c : s->o;
    q.along = adjoint ? 1 : s->o;
    q.across = adjoint ? s->o : 1;
    cgd__for(ctx, q.depth, cgd__wino_pack_row, &q);
}

/* Forward or adjoint. */
static int cgd__wino_run(cgd_ctx *ctx, const cgd__kernels *k,
                         const cgd__conv *job, int packing,
                         cgd__arena *scratch)
{
    const cgd__shape *s = &job->s;
    size_t wide = cgd__max(cgd__max(s->c, s->o), CGD__PANEL);
    float *zeros, *panels = NULL;
    cgd__wino q;
    (void)packing;
    cgd__wino_cut(&q, ctx, k, s, job->sum);
    q.in = job->in; q.out = job->out; q.bias = job->bias;
    q.accumulate = job->accumulate;
    q.scale = job->scale; q.shift = job->shift;
    q.slope = job->slope;
    q.zeros = zeros = cgd__take_floats(scratch, wide);
    if (!job->packed)
        panels = cgd__take_floats(scratch, cgd__wino_pack_size(k, q.depth,
                                                               q.outputs));
    if (job->sum == CGD__ADJOINT)
        q.strips = cgd__take_floats(scratch, s->n * q.th * 6 * q.line);
    else if (job->moments)
        q.sums = cgd__take_floats(scratch, s->n * q.blocks
                                           * cgd__moments_row(q.sum_plane));
    q.buffers = cgd__take_floats(scratch, q.lanes * q.lane);
    if (!cgd__arena_holds(scratch)) return 0;
    memset(zeros, 0, wide * sizeof(float));
    if (panels) cgd__wino_pack(ctx, k, s, job->sum, job->by, panels);
    q.panels = panels ? panels : job->packed;
    cgd__for(ctx, q.lanes, cgd__wino_lane, &q);
    if (q.sums)
        cgd__merge_moments(k, job->moments, q.sums, s->n, q.blocks,
                           q.sum_plane, s->o);
#ifndef CGD_NO_TRAIN
    if (q.strips) cgd__for(ctx, s->n * s->h, cgd__wino_fold_row, &q);
#endif
    return 1;
}

/* ---- the weight gradient -------------------------------------------------*/
#ifndef CGD_NO_TRAIN

typedef struct cgd__wino_outer {
    cgd__wino x;                   /* the patches' side                      */
    const float *y;
    float *v, *m, *buffers, *dw;
    size_t tiles, v_plane, chunk, plane;
} cgd__wino_outer;

/* Transform one tile row of both maps: V (point, tile, c) and M (panel,
 * point, tile, width); a tile more than there is keeps points apart. */
static void cgd__wino_outer_row(void *job, size_t row)
{
    const cgd__wino_outer *q = (const cgd__wino_outer *)job;
    const cgd__kernels *k = q->x.k;
    const cgd__shape *s = q->x.s;
    size_t n = row / q->x.th, i = row % q->x.th, j, o, width;
    for (j = 0; j < q->x.tw; j++) {
        size_t tile = row * q->x.tw + j;
        const float *patch[CGD__POINTS], *px[16];
        cgd__wino_patch(&q->x, n, i, j, patch);
        k->patch_in(q->v + tile * s->c, q->v_plane, patch, NULL, NULL, 1,
                    s->c);
        cgd__wino_tile(s, q->y, q->x.zeros, n, i, j, px);
        for (o = 0; o < s->o; o += width) {
            width = cgd__panel_width(k, s->o - o);
            k->tile_in(q->m + o * CGD__POINTS * (q->tiles + 1) + tile * width,
                       (q->tiles + 1) * width, px, o, width);
        }
    }
}

/* Some input channels of the weight gradient: products at all points, then
 * back from points to taps. A sixth of the channels is a slice, in whole
 * groups: a slice reads all of M, so that more of them cost more than threads
 * would gain. */
static void cgd__wino_outer_chunk(void *job, size_t slice)
{
    const cgd__wino_outer *q = (const cgd__wino_outer *)job;
    const cgd__kernels *k = q->x.k;
    const cgd__shape *s = q->x.s;
    size_t c = slice * q->chunk, rows = cgd__min(q->chunk, s->c - c);
    size_t point, first, o, r, width;
    float *u = q->buffers + slice * CGD__POINTS * q->plane;
    cgd__block b;
    b.dst_step = s->o;
    b.src_step = s->c;
    b.row_step = b.panel_row = 0;
    b.rows = 1;
    memset(u, 0, CGD__POINTS * q->plane * sizeof(float));
    for (point = 0; point < CGD__POINTS; point++)
    for (first = 0; first < q->tiles; first += CGD__TILE_BLOCK) {
        b.run = cgd__min(CGD__TILE_BLOCK, q->tiles - first);
        for (o = 0; o < s->o; o += width) {
            size_t kind = cgd__panel_kind(k, s->o - o);
            const float *panel;
            width = b.panel_step = k->vectors[kind] * k->vector;
            panel = q->m + (o * CGD__POINTS + point * width) * (q->tiles + 1)
                  + first * width;
            for (r = 0; r < rows; r += k->groups[kind][0])
                k->outer[kind](&b, u + point * q->plane + r * s->o + o,
                               q->v + point * q->v_plane + first * s->c + c
                               + r, panel);
        }
    }
    for (r = 0; r < rows; r++)
        k->weights_out(q->dw + (c + r) * s->o, s->c * s->o, u + r * s->o,
                       q->plane, s->o);
}

static int cgd__wino_outer_run(cgd_ctx *ctx, const cgd__kernels *k,
                               const cgd__conv *job, int packing,
                               cgd__arena *scratch)
{
    const cgd__shape *s = &job->s;
    size_t wide = cgd__max(s->c, s->o), chunks;
    float *zeros;
    cgd__wino_outer q;
    (void)packing;
    cgd__wino_cut(&q.x, ctx, k, s, CGD__FORWARD);
    q.x.in = job->in;
    q.y = job->by;
    q.dw = job->out;
    q.tiles = s->n * q.x.th * q.x.tw;
    q.v_plane = q.tiles * s->c + 16;       /* 16: what a last group reads on */
    q.chunk = cgd__round_up(cgd__ceil_div(s->c, 6), 6);
    q.plane = cgd__round_up(q.chunk, CGD__GROUP) * s->o + 16;
    chunks = cgd__ceil_div(s->c, q.chunk);
    q.x.zeros = zeros = cgd__take_floats(scratch, wide);
    q.v = cgd__take_floats(scratch, CGD__POINTS * q.v_plane);
    q.m = cgd__take_floats(scratch, CGD__POINTS * (q.tiles + 1) * s->o);
    q.buffers = cgd__take_floats(scratch, chunks * CGD__POINTS * q.plane);
    if (!cgd__arena_holds(scratch)) return 0;
    memset(zeros, 0, wide * sizeof(float));
    cgd__for(ctx, s->n * q.x.th, cgd__wino_outer_row, &q);
    cgd__for(ctx, chunks, cgd__wino_outer_chunk, &q);
    return 1;
}
#endif /* CGD_NO_TRAIN */

/* ======================================================================== */
/* [impl:choice] Which method takes which shape                             */
/* ======================================================================== */
/* Owns the one table of methods, and by it the engine's interface. The first
 * row whose sums and shape fit takes the job. */

enum { CGD__FOR_FORWARD = 1 << CGD__FORWARD, CGD__FOR_ADJOINT = 1 <<
       CGD__ADJOINT, CGD__FOR_WEIGHTS = 1 << CGD__WEIGHTS };
#define CGD__FOR_MAPS (CGD__FOR_FORWARD | CGD__FOR_ADJOINT)

/* Only the table that is asked for by the name "reference" has no vectors. */
static int cgd__fits_plain(const cgd__kernels *k, const cgd__shape *s, int sum)
{
    (void)s;
    (void)sum;
    return k->vector == 0;
}

/* For a gradient one and three outputs have kernels of their own: what a
 * discriminator ends in, and a head. */
static int cgd__fits_few(const cgd__kernels *k, const cgd__shape *s, int sum)
{
    if (sum == CGD__WEIGHTS) return (s->o == 1 || s->o == 3) && s->kernel > 1;
    return s->stride == 1
        && cgd__columns_pay(k, sum == CGD__ADJOINT ? s->c : s->o, s->kernel);
}

/* Three channels in or out have no use for tiles of 32; strides above 2 would
 * need more than four parities of lines, and no net here has them. */
static int cgd__fits_halves(const cgd__kernels *k, const cgd__shape *s,
                            int sum)
{
    return k->tile && s->c >= CGD__PAIR && s->o >= CGD__PAIR && s->stride <= 2
        && (k->tiles_beat_winograd || !cgd__wino_fits(k, s, sum));
}

static int cgd__fits_any(const cgd__kernels *k, const cgd__shape *s, int sum)
{
    (void)k;
    (void)s;
    (void)sum;
    return 1;
}

typedef struct cgd__method {
    int sums;
    int (*fits)(const cgd__kernels *k, const cgd__shape *s, int sum);
    int (*run)(cgd_ctx *ctx, const cgd__kernels *k, const cgd__conv *job,
               int packing, cgd__arena *scratch);
    int packing;
} cgd__method;

#ifdef CGD_NO_TRAIN                    /* nobody asks, but the table is whole */
#define CGD__GRADIENT cgd__plain_run
#else
#define CGD__GRADIENT cgd__outer_run
#endif

static const cgd__method cgd__methods[] = {
    /* The definition, if asked for by name: it is what the rest must equal. */
    { CGD__FOR_MAPS | CGD__FOR_WEIGHTS, cgd__fits_plain, cgd__plain_run, 0 },
    /* One or three outputs: lanes over inputs, or else they idle: 4 times as
     * fast on a head's gradient. */
#ifndef CGD_NO_TRAIN
    { CGD__FOR_WEIGHTS, cgd__fits_few, cgd__outer_run, 1 },
    /* bf16, if asked for, from 32 channels on: twice the products in an
     * instruction. On 3x3 Winograd's, four times fewer, are faster still,
     * except where an instruction takes whole tiles (AMX). */
    { CGD__FOR_WEIGHTS, cgd__fits_halves, cgd__turned_run, 0 },
#endif
    { CGD__FOR_MAPS, cgd__fits_halves, cgd__direct_run, CGD__HALVES },
    /* 3x3 of stride 1: 2.6 to 3 times as fast as panels, in all three sums, on
     * 64 channels as on 256. */
    { CGD__FOR_MAPS, cgd__wino_fits, cgd__wino_run, 0 },
#ifndef CGD_NO_TRAIN
    { CGD__FOR_WEIGHTS, cgd__wino_fits, cgd__wino_outer_run, 0 },
#endif
    /* Few outputs, such as a head's: the window's columns as outputs, 3 times
     * as fast as panels. */
    { CGD__FOR_MAPS, cgd__fits_few, cgd__direct_run, CGD__COLUMNS },
    { CGD__FOR_MAPS, cgd__fits_any, cgd__direct_run, CGD__PANELS },
    { CGD__FOR_WEIGHTS, cgd__fits_any, CGD__GRADIENT, 0 }
};

static const cgd__method *cgd__method_for(const cgd__kernels *k,
                                      const cgd__shape *s, int sum)
{
    const cgd__method *m = cgd__methods;
    while (!(m->sums >> sum & 1) || !m->fits(k, s, sum)) m++;
    return m;
}

/* A shape of a size that does not change the method. */
static cgd__shape cgd__any_size(const cgd__shape *s)
{
    cgd__shape any = *s;
    any.n = 1;
    any.h = any.w = s->stride * 64 + s->kernel;
    any.oh = any.ow = (any.h + 2 * s->pad - s->kernel) / s->stride + 1;
    return any;
}

/* Weights are packed without regard to a map's size, which decides about the
 * method where it is tiny: such maps do not use them. */
static int cgd__convolve(cgd_ctx *ctx, const cgd__kernels *k,
                         const cgd__conv *q, cgd__arena *scratch)
{
    const cgd__method *m = cgd__method_for(k, &q->s, q->sum);
    cgd__shape any = cgd__any_size(&q->s);
    cgd__conv job = *q;
    size_t mark = cgd__mark(scratch);
    int done;
    if (q->packed && cgd__method_for(k, &any, q->sum) != m) job.packed = NULL;
    done = m->run(ctx, k, &job, m->packing, scratch);
    cgd__release(scratch, mark);
    return done;
}

/* Winograd's patches cannot tell zeros around a map from its values; an
 * adjoint that folds margins writes the map too late for its moments. */
static int cgd__conv_extras(const cgd__kernels *k, const cgd__shape *s,
                            int sum)
{
    const cgd__method *m = cgd__method_for(k, s, sum);
    if (m->run == cgd__plain_run) return 0;
    if (m->run == cgd__wino_run)
        return sum == CGD__ADJOINT ? 0
             : s->pad > 0 && s->pad_mode != CGD_PAD_REFLECT
             ? CGD__TAKES_MOMENTS : CGD__TAKES_MOMENTS | CGD__READS_RAW;
    return CGD__READS_RAW | (cgd__folds(s, sum) ? 0 : CGD__TAKES_MOMENTS);
}

/* Packed weights belong to the method that a map of any usual size takes. */
static size_t cgd__pack_size(const cgd__kernels *k, const cgd__shape *s,
                             int sum)
{
    cgd__shape any = cgd__any_size(s);
    const cgd__method *m = cgd__method_for(k, &any, sum);
    int adjoint = sum == CGD__ADJOINT;
    cgd__direct q;
    if (m->run == cgd__plain_run) return 0;
    if (m->run == cgd__wino_run)
        return cgd__wino_pack_size(k, adjoint ? s->o : s->c,
                                   adjoint ? s->c : s->o);
    cgd__direct_init(&q, k, &any, sum, m->packing);
    return cgd__direct_pack_size(&q);
}

static void cgd__pack(cgd_ctx *ctx, const cgd__kernels *k,
                      const cgd__shape *s, int sum, const float *w,
                      float *packed)
{
    cgd__shape any = cgd__any_size(s);
    const cgd__method *m = cgd__method_for(k, &any, sum);
    cgd__direct q;
    if (m->run == cgd__plain_run) return;
    if (m->run == cgd__wino_run) {
        cgd__wino_pack(ctx, k, s, sum, w, packed);
        return;
    }
    cgd__direct_init(&q, k, &any, sum, m->packing);
    cgd__direct_pack(ctx, &q, w, packed);
}

/* ======================================================================== */
/* [impl:bf16] Tiles of bf16                                                */
/* ======================================================================== */
/* Owns the kernels of mixed precision on x86: maps and weights are rounded to
 * bf16 (a float's upper half) while they are packed, their products are summed
 * in float32, and all else stays float32: the weights that learn, Adam, norms
 * and losses. A tile kernel forms
 *
 *   C (32 x 32) = A (32 x K) B (K x 32)
 *
 * where a row of A is a run of memory, rows lie a fixed step apart, and B is
 * packed in pairs along K. An instruction for matrix tiles (Intel's AMX) takes
 * that as it is, one for dot products of pairs row by row. Forward and
 * adjoint: rows are pixels side by side, K runs over taps and channels.
 * Weights: rows are channels, K runs over pixels. */

#if defined(__GNUC__)
#define CGD__PREFETCH(p) __builtin_prefetch(p, 0, 2)
#else
#define CGD__PREFETCH(p) ((void)(p))
#endif
#if defined(__clang__)
#define CGD__UNROLL _Pragma("unroll")
#elif defined(__GNUC__)
#define CGD__UNROLL _Pragma("GCC unroll 36")
#else
#define CGD__UNROLL
#endif

#if !defined(CGD_NO_SIMD) && defined(__GNUC__) && defined(__x86_64__)
#define CGD__X86 1
#include <immintrin.h>

/* bf16 needs a compiler that knows the instructions; GCC's for tiles do not
 * assemble where a long is shorter than a pointer, as on Windows. */
#if !defined(_WIN32) && ((defined(__clang__) && __clang_major__ >= 12)        \
    || (!defined(__clang__) && __GNUC__ >= 11))
#define CGD__BF16 1
#include <cpuid.h>
#define CGD__TILE_HOT(set) CGD__OPTIMIZED __attribute__((target(              \
    "avx512f,avx512bw,avx512vl,avx512bf16" set)))

static void cgd__tile_idle(void) { }

CGD__TILE_HOT("") static void cgd__round_bf16(cgd__bf16 *out, const float *in,
                                              size_t count)
{
    size_t i;
    for (i = 0; i < count; i += 16) {
        __mmask16 mask = (__mmask16)(count - i < 16 ? (1U << (count - i)) - 1
                                                    : 0xffffU);
        _mm256_mask_storeu_epi16(out + i, mask, (__m256i)_mm512_cvtneps_pbh(
            _mm512_maskz_loadu_ps(mask, in + i)));
    }
}

/* The masked forms, since GCC warns of its own headers' others in C++. */
CGD__TILE_HOT("") static void cgd__pair_bf16(cgd__bf16 *out, const float *even,
                                             const float *odd)
{
    __mmask16 all = (__mmask16)-1;
    __m512i low = _mm512_maskz_cvtepu16_epi32(all,
        (__m256i)_mm512_cvtneps_pbh(_mm512_loadu_ps(even)));
    __m512i high = _mm512_maskz_cvtepu16_epi32(all,
        (__m256i)_mm512_cvtneps_pbh(_mm512_loadu_ps(odd)));
    high = _mm512_maskz_slli_epi32(all, high, 16);
    _mm512_storeu_si512(out, _mm512_or_si512(low, high));
}

#ifndef CGD_NO_TRAIN
CGD__TILE_HOT("") static void cgd__turn_bf16(cgd__bf16 *out, size_t step,
                                             const float *even,
                                             const float *odd)
{
    cgd__bf16 row[32];
    size_t k;
    cgd__pair_bf16(row, even, odd);
    CGD__UNROLL for (k = 0; k < 16; k++)
        memcpy(out + k * step, row + 2 * k, 2 * sizeof *out);
}
#endif

/* Eight rows by 32 columns at a time: pairs of A broadcast, against rows of B.
 * 16 sums, two rows of B and a pair take 19 of 32 registers. */
CGD__TILE_HOT("") static void cgd__tile_dot(const cgd__block *b,
    float *const dst[2], const float *const init[2],
    const cgd__bf16 *const src[2], const cgd__bf16 *panel)
{
    size_t group, t, k, r;
    for (group = 0; group < 4; group++) {
        size_t half = group / 2, from = group % 2 * 8;
        const cgd__bf16 *row = src[half] + from * b->src_step, *w = panel;
        const float *start = init[half] + from * b->init_step;
        float *to = dst[half] + from * b->dst_step;
        __m512 sum[8][2];
        CGD__UNROLL for (r = 0; r < 8; r++) {
            sum[r][0] = _mm512_loadu_ps(start + r * b->init_step);
            sum[r][1] = _mm512_loadu_ps(start + r * b->init_step + 16);
        }
        for (t = 0; t < b->rows; t++, row += b->row_step)
            for (k = 0; k < b->run; k += 2, w += k % 32 ? 32 : 544) {
                __m512bh w0 = (__m512bh)_mm512_loadu_si512(w);
                __m512bh w1 = (__m512bh)_mm512_loadu_si512(w + 512);
                CGD__UNROLL for (r = 0; r < 8; r++) {
                    int pair;
                    __m512bh v;
                    memcpy(&pair, row + r * b->src_step + k, sizeof pair);
                    v = (__m512bh)_mm512_set1_epi32(pair);
                    sum[r][0] = _mm512_dpbf16_ps(sum[r][0], v, w0);
                    sum[r][1] = _mm512_dpbf16_ps(sum[r][1], v, w1);
                }
            }
        CGD__UNROLL for (r = 0; r < 8; r++) {
            _mm512_storeu_ps(to + r * b->dst_step, sum[r][0]);
            _mm512_storeu_ps(to + r * b->dst_step + 16, sum[r][1]);
        }
    }
}

/* Palette 1: eight tiles of 16 rows of 64 bytes; four hold sums, two A, two B,
 * so that each tile that is loaded takes part in two products. */
static const unsigned char cgd__amx_config[64] = {
    1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    64, 0, 64, 0, 64, 0, 64, 0, 64, 0, 64, 0, 64, 0, 64, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    16, 16, 16, 16, 16, 16, 16, 16
};

CGD__TILE_HOT(",amx-tile") static void cgd__amx_begin(void)
{
    _tile_loadconfig(cgd__amx_config);
}

CGD__TILE_HOT(",amx-tile") static void cgd__amx_end(void)
{
    _tile_release();
}

CGD__TILE_HOT(",amx-tile,amx-bf16") static void cgd__tile_amx(
    const cgd__block *b, float *const dst[2], const float *const init[2],
    const cgd__bf16 *const src[2], const cgd__bf16 *panel)
{
    size_t t, k, a_bytes = b->src_step * sizeof *panel;
    size_t c_bytes = b->dst_step * sizeof(float);
    size_t i_bytes = b->init_step * sizeof(float);
    _tile_loadd(0, init[0], i_bytes);
    _tile_loadd(1, init[0] + 16, i_bytes);
    _tile_loadd(2, init[1], i_bytes);
    _tile_loadd(3, init[1] + 16, i_bytes);
    for (t = 0; t < b->rows; t++)
        for (k = 0; k < b->run; k += 32, panel += 1024) {
            _tile_loadd(4, src[0] + t * b->row_step + k, a_bytes);
            _tile_loadd(6, panel, 64);
            _tile_loadd(5, src[1] + t * b->row_step + k, a_bytes);
            _tile_loadd(7, panel + 512, 64);
            _tile_dpbf16ps(0, 4, 6);
            _tile_dpbf16ps(2, 5, 6);
            _tile_dpbf16ps(1, 4, 7);
            _tile_dpbf16ps(3, 5, 7);
        }
    _tile_stored(0, dst[0], c_bytes);
    _tile_stored(1, dst[0] + 16, c_bytes);
    _tile_stored(2, dst[1], c_bytes);
    _tile_stored(3, dst[1] + 16, c_bytes);
}
#endif
#endif

#endif /* CGD__IMPLEMENTED, first half */

/* ======================================================================== */
/* [impl:vector] Vector vocabulary and micro kernels                        */
/* ======================================================================== */
/* This section is compiled once per instruction set: the file includes itself
 * with CGD__ISA set (see [impl:dispatch]) and everything else skipped. It
 * needs of an instruction set: a vector V of W floats, load, store, broadcast,
 * a load of values some distance apart, fused multiply-add, add, subtract,
 * multiply, the greater of two, and for Adam divide and square root. And how
 * wide its panels are, in vectors: Q0, Q1 and, where KINDS is 3, one. That
 * follows from the registers, of which a group by a panel needs one for each
 * sum, one for each vector of weights and one for the value broadcast:
 *
 *             W  registers   6 x Q0         12 x Q1        12 x 1
 *   avx512   16     32       6 x 4, 29      12 x 2, 27     12 x 1, 14
 *   avx2      8     16       6 x 2, 15      12 x 1, 14
 *   neon      4     32       6 x 4, 29      12 x 2, 27     12 x 1, 14
 *   sse       4     16       6 x 2, 15      12 x 1, 14
 *   wasm      4     16       6 x 2, 15      12 x 1, 14     (of most engines)
 *   none      1     any      6 x 4          12 x 1
 *
 * A turn of the inner loop loads Q vectors of weights and R values for R x Q
 * multiplications: 24 for 10 on AVX-512, where two of either start in a cycle.
 * So arithmetic is the bound, and a wider group would not be faster, while a
 * narrower one is bound by its loads. */
#ifdef CGD__ISA

#define CGD__JOIN2(a, b) a##b
#define CGD__JOIN(a, b) CGD__JOIN2(a, b)
#define CGD__NAME(name) CGD__JOIN(name, CGD__ISA)

/* R pixels by Q vectors of outputs in registers, where the unrolling keeps
 * them: R * Q sums, Q weights and one value broadcast. All that differs from
 * call to call is in the arguments, the rest in b, which makes calls cheap. */
#define CGD__PANEL_KERNEL(name, R, Q)                                        \
CGD__HOT static void CGD__NAME(name)(const cgd__block *b, float *dst,        \
    const float *init, const float *src, const float *panel,                 \
    const float *ahead)                                                      \
{                                                                            \
    CGD__V sum[R][Q];                                                        \
    const float *x[R];                                                       \
    size_t t, k, r, q, run = b->run;                                         \
    CGD__UNROLL for (r = 0; r < R; r++) {                                    \
        x[r] = src + r * b->src_step;                                        \
        CGD__UNROLL for (q = 0; q < Q; q++)                                  \
            sum[r][q] = CGD__VLOAD(init + r * b->init_step + q * CGD__W);    \
    }                                                                        \
    for (t = b->rows; t > 0; t--) {                                          \
        for (k = 0; k < run; k++, panel += Q * CGD__W, ahead += 16) {        \
            CGD__V w[Q];                                                     \
            CGD__PREFETCH(ahead);                                            \
            CGD__UNROLL for (q = 0; q < Q; q++)                              \
                w[q] = CGD__VLOAD(panel + q * CGD__W);                       \
            CGD__UNROLL for (r = 0; r < R; r++) {                            \
                CGD__V v = CGD__VSET1(x[r][k]);                              \
                CGD__UNROLL for (q = 0; q < Q; q++)                          \
                    sum[r][q] = CGD__VFMA(v, w[q], sum[r][q]);               \
            }                                                                \
        }                                                                    \
        CGD__UNROLL for (r = 0; r < R; r++) x[r] += b->row_step;             \
    }                                                                        \
    CGD__UNROLL for (r = 0; r < R; r++)                                      \
        CGD__UNROLL for (q = 0; q < Q; q++)                                  \
            CGD__VSTORE(dst + r * b->dst_step + q * CGD__W, sum[r][q]);      \
}

/* Three numbers of pixels for each width; the first leaves just enough
 * registers for the weights and one broadcast value. */
CGD__PANEL_KERNEL(cgd__panel_wide6_, 6, CGD__Q0)
CGD__PANEL_KERNEL(cgd__panel_wide5_, 5, CGD__Q0)
CGD__PANEL_KERNEL(cgd__panel_wide4_, 4, CGD__Q0)
CGD__PANEL_KERNEL(cgd__panel_half12_, 12, CGD__Q1)
CGD__PANEL_KERNEL(cgd__panel_half8_, 8, CGD__Q1)
CGD__PANEL_KERNEL(cgd__panel_half4_, 4, CGD__Q1)
#if CGD__KINDS == 3
CGD__PANEL_KERNEL(cgd__panel_one12_, 12, 1)
CGD__PANEL_KERNEL(cgd__panel_one8_, 8, 1)
CGD__PANEL_KERNEL(cgd__panel_one4_, 4, 1)
#endif

#ifndef CGD_NO_TRAIN
/* R rows of a gradient by Q vectors, summed over lines of pixels: the same
 * with steps instead of runs, and panels that need not be packed. */
#define CGD__OUTER_KERNEL(name, R, Q)                                        \
CGD__HOT static void CGD__NAME(name)(const cgd__block *b, float *dst,        \
    const float *src, const float *panel)                                    \
{                                                                            \
    CGD__V sum[R][Q];                                                        \
    size_t t, p, r, q;                                                       \
    CGD__UNROLL for (r = 0; r < R; r++)                                      \
        CGD__UNROLL for (q = 0; q < Q; q++)                                  \
            sum[r][q] = CGD__VLOAD(dst + r * b->dst_step + q * CGD__W);      \
    for (t = b->rows; t > 0; t--, src += b->row_step, panel += b->panel_row) {\
        const float *x = src, *y = panel;                                    \
        for (p = b->run; p > 0; p--, x += b->src_step, y += b->panel_step) { \
            CGD__V w[Q];                                                     \
            CGD__UNROLL for (q = 0; q < Q; q++)                              \
                w[q] = CGD__VLOAD(y + q * CGD__W);                           \
            CGD__UNROLL for (r = 0; r < R; r++) {                            \
                CGD__V v = CGD__VSET1(x[r]);                                 \
                CGD__UNROLL for (q = 0; q < Q; q++)                          \
                    sum[r][q] = CGD__VFMA(v, w[q], sum[r][q]);               \
            }                                                                \
        }                                                                    \
    }                                                                        \
    CGD__UNROLL for (r = 0; r < R; r++)                                      \
        CGD__UNROLL for (q = 0; q < Q; q++)                                  \
            CGD__VSTORE(dst + r * b->dst_step + q * CGD__W, sum[r][q]);      \
}

CGD__OUTER_KERNEL(cgd__outer_wide6_, 6, CGD__Q0)
CGD__OUTER_KERNEL(cgd__outer_half12_, 12, CGD__Q1)
#if CGD__KINDS == 3
CGD__OUTER_KERNEL(cgd__outer_one12_, 12, 1)
#endif
CGD__OUTER_KERNEL(cgd__outer_few1_, 1, 1)
CGD__OUTER_KERNEL(cgd__outer_few1_wide_, 1, CGD__Q0)
CGD__OUTER_KERNEL(cgd__outer_few3_, 3, 1)
CGD__OUTER_KERNEL(cgd__outer_few3_wide_, 3, CGD__Q0)
#endif

/* Pixels in a row of moments: see cgd__moments_row. */
CGD__HOT static void CGD__NAME(cgd__moments_)(float *sums, size_t plane,
    const float *px, size_t step, size_t count, size_t width, int first)
{
    float *square = sums + 2 * plane, *sum = sums + plane, *shift = sums;
    const float *x;
    size_t k, p;
    for (k = 0; k + CGD__W <= width; k += CGD__W) {
        CGD__V s = CGD__VLOAD(first ? px + k : shift + k);
        CGD__V a = first ? CGD__VSET1(0.0f) : CGD__VLOAD(sum + k);
        CGD__V b = first ? CGD__VSET1(0.0f) : CGD__VLOAD(square + k);
        for (p = 0, x = px + k; p < count; p++, x += step) {
            CGD__V d = CGD__VSUB(CGD__VLOAD(x), s);
            a = CGD__VADD(a, d);
            b = CGD__VFMA(d, d, b);
        }
        CGD__VSTORE(shift + k, s);
        CGD__VSTORE(sum + k, a);
        CGD__VSTORE(square + k, b);
    }
    for (; k < width; k++) {
        if (first) {
            shift[k] = px[k];
            sum[k] = square[k] = 0;
        }
        for (p = 0, x = px + k; p < count; p++, x += step) {
            float d = *x - shift[k];
            sum[k] += d;
            square[k] += d * d;
        }
    }
}

/* Rows of moments to the mean and mean square deviation of them all, one row
 * after another (Chan, Golub & LeVeque 1979):
 *   m' = m + d b/(a+b),  M' = M + M_b + d^2 ab/(a+b),  d = m_b - m
 * for a pixels so far and b in the row. */
CGD__HOT static void CGD__NAME(cgd__merge_)(const float *sums, size_t rows,
    size_t plane, size_t c, double *mean, double *square)
{
    double count = 0;
    size_t k;
    for (k = 0; k < c; k++) mean[k] = square[k] = 0;
    for (; rows > 0; rows--, sums += cgd__moments_row(plane)) {
        const float *sum = sums + plane, *squares = sum + plane;
        double here = (double)squares[plane], part, rate, both;
        if (!(here > 0)) continue;
        part = 1 / here;
        rate = here / (count + here);
        both = count * rate;
        CGD__EACH for (k = 0; k < c; k++) {
            double s = (double)sum[k], d;
            d = (double)sums[k] + s * part - mean[k];
            mean[k] += d * rate;
            square[k] += (double)squares[k] - s * s * part + d * d * both;
        }
        count += here;
    }
    for (k = 0; k < c; k++)
        square[k] = square[k] > 0 ? square[k] / count : 0;
}

/* ---- between convolutions ------------------------------------------------*/
/* The loops of [impl:ops] once more: with wide registers enabled compilers
 * vectorise them well. */

#ifdef CGD__WIDE
#define CGD__LOOP_OF(name, loop) CGD__NAME(name)
#define CGD__AGAIN(name, loop)                                                \
CGD__HOT static void CGD__NAME(name)(void *job, size_t slice)                 \
{                                                                             \
    loop(job, slice);                                                         \
}

CGD__AGAIN(cgd__activate_, cgd__activate_slice)
CGD__AGAIN(cgd__add_, cgd__add_slice)
CGD__AGAIN(cgd__norm_sums_, cgd__norm_sums_slice)
CGD__AGAIN(cgd__norm_apply_, cgd__norm_apply_slice)
CGD__AGAIN(cgd__fold_, cgd__fold_row)
#ifndef CGD_NO_TRAIN
CGD__AGAIN(cgd__activate_back_, cgd__activate_back_slice)
CGD__AGAIN(cgd__norm_back_sums_, cgd__norm_back_sums_slice)
CGD__AGAIN(cgd__norm_back_apply_, cgd__norm_back_apply_slice)
#endif

/* Line i of picture n: see cgd__lines. */
CGD__HOT static void CGD__NAME(cgd__line_)(const cgd__lines *q, float *out,
    size_t n, size_t i, size_t pixels)
{
    cgd__pad_line(q, out, n, i, pixels);
}
#else                                  /* as they stand there                */
#define CGD__LOOP_OF(name, loop) loop
#endif

/* Depthwise convolutions by vectors: compilers did not make them of the loops
 * over taps, and the pixels of a run share a tap's weights. One multiplication
 * to two loads: the caches are the bound, and a run so short that its lines
 * stay in the nearest. Gradients go down the columns of a run for the same
 * reason, adding into few lines of dx, or into the one filter of dw. */

CGD__HOT static void CGD__NAME(cgd__depth_)(void *job, size_t row)
{
    const cgd__depth_job *q = (const cgd__depth_job *)job;
    const cgd__shape *s = q->s;
    size_t c = s->c, step = s->stride * c, j, k, u, v, p;
    const float *x = q->x + row / s->oh * s->h * s->w * c;
    float *y = q->out + row * s->ow * c;
    cgd__taps taps;
    for (j = 0; j < s->ow; j += taps.run) {
        cgd__taps_at(&taps, s, row % s->oh, j);
        for (p = 0; p < taps.run; p++, y += c) {
            const float *from = x + p * step;
            for (k = 0; k + CGD__W <= c; k += CGD__W) {
                CGD__V sum = q->b ? CGD__VLOAD(q->b + k) : CGD__VSET1(0.0f);
                for (u = 0; u < taps.rows; u++) {
                    const float *w = q->w + taps.row_w[u] + k;
                    const float *line = from + taps.row_at[u] + k;
                    for (v = 0; v < taps.cols; v++)
                        sum = CGD__VFMA(CGD__VLOAD(w + taps.col_w[v]),
                                        CGD__VLOAD(line + taps.col_at[v]),
                                        sum);
                }
                CGD__VSTORE(y + k, sum);
            }
            for (; k < c; k++) {
                float sum = q->b ? q->b[k] : 0;
                for (u = 0; u < taps.rows; u++)
                    for (v = 0; v < taps.cols; v++)
                        sum += q->w[taps.row_w[u] + taps.col_w[v] + k]
                             * from[taps.row_at[u] + taps.col_at[v] + k];
                y[k] = sum;
            }
        }
    }
}

#ifndef CGD_NO_TRAIN
/* The data gradient of some channels of one picture. */
CGD__HOT static void CGD__NAME(cgd__depth_data_)(void *job, size_t slice)
{
    const cgd__depth_job *q = (const cgd__depth_job *)job;
    const cgd__shape *s = q->s;
    size_t c = s->c, groups = cgd__ceil_div(c, CGD__DEPTH_CHANNELS);
    size_t first = slice % groups * CGD__DEPTH_CHANNELS, i, j, k, t, p;
    size_t end = cgd__min(first + CGD__DEPTH_CHANNELS, c), step = s->stride * c;
    const float *dy = q->y + slice / groups * s->oh * s->ow * c;
    float *dx = q->out + slice / groups * s->h * s->w * c;
    cgd__taps taps;
    for (i = 0; !q->accumulate && i < s->h * s->w; i++)
        for (k = first; k < end; k++) dx[i * c + k] = 0;
    for (j = 0; j < s->ow; j += taps.run)
    for (i = 0; i < s->oh; i++) {
        const float *from = dy + (i * s->ow + j) * c;
        cgd__taps_at(&taps, s, i, j);
        for (t = 0; t < taps.rows * taps.cols; t++) {
            size_t u = t / taps.cols, v = t % taps.cols;
            const float *w = q->w + taps.row_w[u] + taps.col_w[v];
            float *to = dx + taps.row_at[u] + taps.col_at[v];
            for (k = first; k + CGD__W <= end; k += CGD__W) {
                CGD__V weight = CGD__VLOAD(w + k);
                for (p = 0; p < taps.run; p++)
                    CGD__VSTORE(to + p * step + k,
                        CGD__VFMA(weight, CGD__VLOAD(from + p * c + k),
                                  CGD__VLOAD(to + p * step + k)));
            }
            for (; k < end; k++)
                for (p = 0; p < taps.run; p++)
                    to[p * step + k] += w[k] * from[p * c + k];
        }
    }
}

/* The weights' gradient of some channels, over all pictures. */
CGD__HOT static void CGD__NAME(cgd__depth_weights_)(void *job, size_t slice)
{
    const cgd__depth_job *q = (const cgd__depth_job *)job;
    const cgd__shape *s = q->s;
    size_t c = s->c, first = slice * CGD__DEPTH_CHANNELS, i, j, k, t, p;
    size_t end = cgd__min(first + CGD__DEPTH_CHANNELS, c), step = s->stride * c;
    cgd__taps taps;
    for (j = 0; j < s->ow; j += taps.run)
    for (i = 0; i < s->n * s->oh; i++) {
        const float *x = q->x + i / s->oh * s->h * s->w * c;
        const float *dy = q->y + (i * s->ow + j) * c;
        cgd__taps_at(&taps, s, i % s->oh, j);
        for (t = 0; t < taps.rows * taps.cols; t++) {
            size_t u = t / taps.cols, v = t % taps.cols;
            const float *from = x + taps.row_at[u] + taps.col_at[v];
            float *dw = q->out + taps.row_w[u] + taps.col_w[v];
            for (k = first; k + CGD__W <= end; k += CGD__W) {
                CGD__V sum = CGD__VLOAD(dw + k);
                for (p = 0; p < taps.run; p++)
                    sum = CGD__VFMA(CGD__VLOAD(from + p * step + k),
                                    CGD__VLOAD(dy + p * c + k), sum);
                CGD__VSTORE(dw + k, sum);
            }
            for (; k < end; k++)
                for (p = 0; p < taps.run; p++)
                    dw[k] += from[p * step + k] * dy[p * c + k];
        }
    }
}
#endif

/* ---- Winograd transforms -------------------------------------------------*/
/* One dimension of each matrix of [impl:winograd], on vectors of channels.
 * Both dimensions go by way of where the result will be, column by column and
 * then row by row: it lies in the nearest cache, and 36 vectors would not fit
 * into the registers of any instruction set. */

#define CGD__SET(v) CGD__VSET1(v)

/* 6 from 6: B' */
#define CGD__WINO_BT(y, x)                                                    \
do {                                                                          \
    CGD__V p = CGD__VSUB((x)[3], (x)[1]), q = CGD__VSUB((x)[4], (x)[2]);      \
    (y)[0] = CGD__VFMA(CGD__SET(1.5f), p, CGD__VFMA(CGD__SET(-2.0f),          \
        (x)[2], CGD__VADD((x)[0], (x)[4])));                                  \
    (y)[1] = CGD__VFMA(CGD__SET(2.5f), (x)[3], CGD__VFMA(CGD__SET(0.5f),      \
        (x)[2], CGD__VSUB((x)[4], (x)[1])));                                  \
    (y)[2] = CGD__VFMA(CGD__SET(0.5f), (x)[3], CGD__VFMA(CGD__SET(-2.5f),     \
        (x)[2], CGD__VADD((x)[4], (x)[1])));                                  \
    (y)[3] = CGD__VFMA(CGD__SET(2.0f), p, q);                                 \
    (y)[4] = CGD__VFMA(CGD__SET(-0.5f), p, q);                                \
    (y)[5] = CGD__VFMA(CGD__SET(1.5f), q, CGD__VFMA(CGD__SET(-2.0f),          \
        (x)[3], CGD__VADD((x)[5], (x)[1])));                                  \
} while (0)

/* 6 from 6: B */
#define CGD__WINO_B(y, x)                                                     \
do {                                                                          \
    CGD__V p = CGD__VFMA(CGD__SET(2.0f), (x)[3],                              \
                         CGD__VMUL(CGD__SET(-0.5f), (x)[4]));                 \
    CGD__V q = CGD__VADD((x)[3], (x)[4]);                                     \
    (y)[0] = (x)[0];                                                          \
    (y)[1] = CGD__VADD(CGD__VFMA(CGD__SET(-1.5f), (x)[0],                     \
        CGD__VSUB((x)[2], (x)[1])), CGD__VSUB((x)[5], p));                    \
    (y)[2] = CGD__VFMA(CGD__SET(-2.0f), (x)[0], CGD__VFMA(CGD__SET(0.5f),     \
        (x)[1], CGD__VFMA(CGD__SET(-2.5f), (x)[2], CGD__VFMA(                 \
        CGD__SET(-1.5f), (x)[5], CGD__VSUB(CGD__SET(0.0f), q)))));            \
    (y)[3] = CGD__VFMA(CGD__SET(1.5f), (x)[0], CGD__VFMA(CGD__SET(2.5f),      \
        (x)[1], CGD__VFMA(CGD__SET(0.5f), (x)[2], CGD__VFMA(CGD__SET(-2.0f),  \
        (x)[5], p))));                                                        \
    (y)[4] = CGD__VADD(CGD__VADD((x)[0], CGD__VADD((x)[1], (x)[2])),          \
        CGD__VFMA(CGD__SET(1.5f), (x)[5], q));                                \
    (y)[5] = (x)[5];                                                          \
} while (0)

/* 4 from 6: A' */
#define CGD__WINO_AT(y, x)                                                    \
do {                                                                          \
    CGD__V p = CGD__VADD((x)[1], (x)[2]), q = CGD__VSUB((x)[1], (x)[2]);      \
    (y)[0] = CGD__VADD(CGD__VADD((x)[0], p), CGD__VADD((x)[3], (x)[4]));      \
    (y)[1] = CGD__VFMA(CGD__SET(0.5f), (x)[3], CGD__VFMA(CGD__SET(-2.0f),     \
        (x)[4], q));                                                          \
    (y)[2] = CGD__VFMA(CGD__SET(0.25f), (x)[3], CGD__VFMA(CGD__SET(4.0f),     \
        (x)[4], p));                                                          \
    (y)[3] = CGD__VFMA(CGD__SET(0.125f), (x)[3], CGD__VFMA(CGD__SET(-8.0f),   \
        (x)[4], CGD__VADD(q, (x)[5])));                                       \
} while (0)

/* 6 from 4: A */
#define CGD__WINO_A(y, x)                                                     \
do {                                                                          \
    CGD__V p = CGD__VADD((x)[0], (x)[2]), q = CGD__VADD((x)[1], (x)[3]);      \
    (y)[0] = (x)[0];                                                          \
    (y)[1] = CGD__VADD(p, q);                                                 \
    (y)[2] = CGD__VSUB(p, q);                                                 \
    (y)[3] = CGD__VFMA(CGD__SET(0.5f), (x)[1], CGD__VFMA(CGD__SET(0.25f),     \
        (x)[2], CGD__VFMA(CGD__SET(0.125f), (x)[3], (x)[0])));                \
    (y)[4] = CGD__VFMA(CGD__SET(-2.0f), (x)[1], CGD__VFMA(CGD__SET(4.0f),     \
        (x)[2], CGD__VFMA(CGD__SET(-8.0f), (x)[3], (x)[0])));                 \
    (y)[5] = (x)[3];                                                          \
} while (0)

/* 6 from 3: G */
#define CGD__WINO_G(y, x)                                                     \
do {                                                                          \
    CGD__V p = CGD__VMUL(CGD__SET(1.0f / 3), CGD__VADD((x)[0], (x)[2]));      \
    CGD__V q = CGD__VMUL(CGD__SET(1.0f / 3), (x)[1]);                         \
    (y)[0] = (x)[0];                                                          \
    (y)[1] = CGD__VADD(p, q);                                                 \
    (y)[2] = CGD__VSUB(q, p);                                                 \
    (y)[3] = CGD__VFMA(CGD__SET(-16.0f / 15), (x)[0], CGD__VFMA(              \
        CGD__SET(-8.0f / 15), (x)[1], CGD__VMUL(CGD__SET(-4.0f / 15),         \
        (x)[2])));                                                            \
    (y)[4] = CGD__VFMA(CGD__SET(1.0f / 15), (x)[0], CGD__VFMA(                \
        CGD__SET(-2.0f / 15), (x)[1], CGD__VMUL(CGD__SET(4.0f / 15),          \
        (x)[2])));                                                            \
    (y)[5] = (x)[2];                                                          \
} while (0)

/* 3 from 6: G' */
#define CGD__WINO_GT(y, x)                                                    \
do {                                                                          \
    CGD__V p = CGD__VMUL(CGD__SET(1.0f / 3), CGD__VSUB((x)[1], (x)[2]));      \
    CGD__V q = CGD__VMUL(CGD__SET(1.0f / 3), CGD__VADD((x)[1], (x)[2]));      \
    (y)[0] = CGD__VFMA(CGD__SET(-16.0f / 15), (x)[3], CGD__VFMA(              \
        CGD__SET(1.0f / 15), (x)[4], CGD__VADD((x)[0], p)));                  \
    (y)[1] = CGD__VFMA(CGD__SET(-8.0f / 15), (x)[3], CGD__VFMA(               \
        CGD__SET(-2.0f / 15), (x)[4], q));                                    \
    (y)[2] = CGD__VFMA(CGD__SET(-4.0f / 15), (x)[3], CGD__VFMA(               \
        CGD__SET(4.0f / 15), (x)[4], CGD__VADD((x)[5], p)));                  \
} while (0)

/* n vectors, `step` floats apart. */
#define CGD__GET(x, n, p, step)                                               \
    CGD__UNROLL for (k = 0; k < (n); k++) (x)[k] = CGD__VLOAD((p) + k * (step))
#define CGD__PUT(p, step, y, n)                                               \
    CGD__UNROLL for (k = 0; k < (n); k++) CGD__VSTORE((p) + k * (step), (y)[k])

/* A patch of 6x6 pixels to 36 points; of a raw map, normalised. */
CGD__HOT static void CGD__NAME(cgd__patch_in_)(float *v, size_t plane,
    const float *const px[36], const float *scale, const float *shift,
    float slope, size_t count)
{
    size_t c, i, k;
    CGD__V x[6], y[6];
    for (c = 0; c < count; c += CGD__W, v += CGD__W) {
        for (i = 0; i < 6; i++) {
            CGD__UNROLL for (k = 0; k < 6; k++)
                x[k] = CGD__VLOAD(px[6 * k + i] + c);
            if (scale) {
                CGD__V a = CGD__VLOAD(scale + c), b = CGD__VLOAD(shift + c);
                CGD__V less = CGD__VSET1(slope);
                CGD__UNROLL for (k = 0; k < 6; k++) {
                    CGD__V d = CGD__VFMA(x[k], a, b);
                    x[k] = CGD__VMAX(d, CGD__VMUL(less, d));
                }
            }
            CGD__WINO_BT(y, x);
            CGD__PUT(v + i * plane, 6 * plane, y, 6);
        }
        for (i = 0; i < 6; i++) {
            CGD__GET(x, 6, v + 6 * i * plane, plane);
            CGD__WINO_BT(y, x);
            CGD__PUT(v + 6 * i * plane, plane, y, 6);
        }
    }
}

/* Points to a tile of 4x4 outputs, with bias; m is used up. */
CGD__HOT static void CGD__NAME(cgd__tile_out_)(float *const px[16], float *m,
    size_t plane, size_t count, const float *bias, int accumulate)
{
    size_t c, i, k;
    CGD__V x[6], y[4];
    for (c = 0; c < count; c += CGD__W, m += CGD__W) {
        CGD__V b = bias ? CGD__VLOAD(bias + c) : CGD__VSET1(0.0f);
        for (i = 0; i < 6; i++) {
            CGD__GET(x, 6, m + i * plane, 6 * plane);
            CGD__WINO_AT(y, x);
            CGD__PUT(m + i * plane, 6 * plane, y, 4);
        }
        for (i = 0; i < 4; i++) {
            CGD__GET(x, 6, m + 6 * i * plane, plane);
            CGD__WINO_AT(y, x);
            CGD__UNROLL for (k = 0; k < 4; k++) {
                float *to = px[4 * i + k] + c;
                CGD__V d = CGD__VADD(y[k], b);
                if (accumulate) d = CGD__VADD(d, CGD__VLOAD(to));
                CGD__VSTORE(to, d);
            }
        }
    }
}

/* Nine taps (tap values apart, lane between neighbours) to 36 points. */
CGD__HOT static void CGD__NAME(cgd__weights_in_)(float *u, size_t plane,
    const float *w, size_t tap, size_t lane)
{
    size_t i, k;
    CGD__V x[3], y[6];
    for (i = 0; i < 3; i++) {
        CGD__UNROLL for (k = 0; k < 3; k++)
            x[k] = lane == 1 ? CGD__VLOAD(w + (3 * k + i) * tap)
                             : CGD__VSTRIDED(w + (3 * k + i) * tap, lane);
        CGD__WINO_G(y, x);
        CGD__PUT(u + i * plane, 6 * plane, y, 6);
    }
    for (i = 0; i < 6; i++) {
        CGD__GET(x, 3, u + 6 * i * plane, plane);
        CGD__WINO_G(y, x);
        CGD__PUT(u + 6 * i * plane, plane, y, 6);
    }
}

#ifndef CGD_NO_TRAIN
/* Points back to a patch, added to what lies there; m is used up. */
CGD__HOT static void CGD__NAME(cgd__patch_out_)(float *out, size_t line,
    size_t pixel, float *m, size_t plane, size_t count)
{
    size_t c, i, k;
    CGD__V x[6], y[6];
    for (c = 0; c < count; c += CGD__W, m += CGD__W) {
        for (i = 0; i < 6; i++) {
            CGD__GET(x, 6, m + i * plane, 6 * plane);
            CGD__WINO_B(y, x);
            CGD__PUT(m + i * plane, 6 * plane, y, 6);
        }
        for (i = 0; i < 6; i++) {
            CGD__GET(x, 6, m + 6 * i * plane, plane);
            CGD__WINO_B(y, x);
            CGD__UNROLL for (k = 0; k < 6; k++) {
                float *to = out + i * line + k * pixel + c;
                CGD__VSTORE(to, CGD__VADD(CGD__VLOAD(to), y[k]));
            }
        }
    }
}

/* A tile of 4x4 gradients to 36 points. */
CGD__HOT static void CGD__NAME(cgd__tile_in_)(float *v, size_t plane,
    const float *const px[16], size_t first, size_t count)
{
    size_t c, i, k;
    CGD__V x[4], y[6];
    for (c = first; c < first + count; c += CGD__W, v += CGD__W) {
        for (i = 0; i < 4; i++) {
            CGD__UNROLL for (k = 0; k < 4; k++)
                x[k] = CGD__VLOAD(px[4 * k + i] + c);
            CGD__WINO_A(y, x);
            CGD__PUT(v + i * plane, 6 * plane, y, 6);
        }
        for (i = 0; i < 6; i++) {
            CGD__GET(x, 4, v + 6 * i * plane, plane);
            CGD__WINO_A(y, x);
            CGD__PUT(v + 6 * i * plane, plane, y, 6);
        }
    }
}

/* Gradients at 36 points to nine taps, added; u is used up. */
CGD__HOT static void CGD__NAME(cgd__weights_out_)(float *dw, size_t tap,
    float *u, size_t plane, size_t count)
{
    size_t c, i, k;
    CGD__V x[6], y[3];
    for (c = 0; c < count; c += CGD__W, u += CGD__W) {
        for (i = 0; i < 6; i++) {
            CGD__GET(x, 6, u + i * plane, 6 * plane);
            CGD__WINO_GT(y, x);
            CGD__PUT(u + i * plane, 6 * plane, y, 3);
        }
        for (i = 0; i < 3; i++) {
            CGD__GET(x, 6, u + 6 * i * plane, plane);
            CGD__WINO_GT(y, x);
            CGD__UNROLL for (k = 0; k < 3; k++) {
                float *to = dw + (3 * i + k) * tap + c;
                CGD__VSTORE(to, CGD__VADD(CGD__VLOAD(to), y[k]));
            }
        }
    }
}

/* Adam as [impl:losses] defines it, a vector of parameters at a time. Four
 * arrays stream through: memory is the bound, and one pass over it all there
 * is to do. */
CGD__HOT static void CGD__NAME(cgd__adam_)(float *p, float *m, float *v,
    const float *g, size_t count, float beta1, float beta2, float rate,
    float scale, float eps)
{
    CGD__V b1 = CGD__VSET1(beta1), a1 = CGD__VSET1(1 - beta1);
    CGD__V b2 = CGD__VSET1(beta2), a2 = CGD__VSET1(1 - beta2);
    CGD__V vrate = CGD__VSET1(-rate), vscale = CGD__VSET1(scale);
    CGD__V veps = CGD__VSET1(eps);
    size_t i;
    for (i = 0; i + CGD__W <= count; i += CGD__W) {
        CGD__V gi = CGD__VLOAD(g + i);
        CGD__V mi = CGD__VFMA(b1, CGD__VLOAD(m + i), CGD__VMUL(a1, gi));
        CGD__V vi = CGD__VFMA(b2, CGD__VLOAD(v + i),
                              CGD__VMUL(CGD__VMUL(a2, gi), gi));
        CGD__V root = CGD__VFMA(CGD__VSQRT(vi), vscale, veps);
        CGD__VSTORE(m + i, mi);
        CGD__VSTORE(v + i, vi);
        CGD__VSTORE(p + i, CGD__VFMA(vrate, CGD__VDIV(mi, root),
                                     CGD__VLOAD(p + i)));
    }
    cgd__adam_ref(p + i, m + i, v + i, g + i, count - i, beta1, beta2, rate,
                  scale, eps);
}
#endif /* CGD_NO_TRAIN */

/* The table, without and with bf16: one row of initialisers, in the order of
 * cgd__kernels. Gradients are NULL in a build that does not train. */
#if CGD__KINDS == 3
#define CGD__KIND_TABLE { CGD__Q0, CGD__Q1, 1 },                              \
    { { 6, 5, 4 }, { 12, 8, 4 }, { 12, 8, 4 } },                              \
    { { CGD__NAME(cgd__panel_wide6_), CGD__NAME(cgd__panel_wide5_),           \
        CGD__NAME(cgd__panel_wide4_) },                                       \
      { CGD__NAME(cgd__panel_half12_), CGD__NAME(cgd__panel_half8_),          \
        CGD__NAME(cgd__panel_half4_) },                                       \
      { CGD__NAME(cgd__panel_one12_), CGD__NAME(cgd__panel_one8_),            \
        CGD__NAME(cgd__panel_one4_) } }
#define CGD__OUTER_THIRD CGD__NAME(cgd__outer_one12_)
#else
#define CGD__KIND_TABLE { CGD__Q0, CGD__Q1, 0 },                              \
    { { 6, 5, 4 }, { 12, 8, 4 }, { 0, 0, 0 } },                               \
    { { CGD__NAME(cgd__panel_wide6_), CGD__NAME(cgd__panel_wide5_),           \
        CGD__NAME(cgd__panel_wide4_) },                                       \
      { CGD__NAME(cgd__panel_half12_), CGD__NAME(cgd__panel_half8_),          \
        CGD__NAME(cgd__panel_half4_) },                                       \
      { NULL, NULL, NULL } }
#define CGD__OUTER_THIRD NULL
#endif
#define CGD__TABLE(text, beat, begin, end, tile, round, pair, turn) {         \
    text, CGD__W, CGD__KINDS, CGD__KIND_TABLE,                                \
    CGD__LOOP_OF(cgd__line_, cgd__pad_line), CGD__NAME(cgd__moments_),        \
    CGD__NAME(cgd__merge_), CGD__LOOP_OF(cgd__fold_, cgd__fold_row),          \
    CGD__LOOP_OF(cgd__activate_, cgd__activate_slice),                        \
    CGD__LOOP_OF(cgd__add_, cgd__add_slice),                                  \
    CGD__LOOP_OF(cgd__norm_sums_, cgd__norm_sums_slice),                      \
    CGD__LOOP_OF(cgd__norm_apply_, cgd__norm_apply_slice),                    \
    CGD__NAME(cgd__depth_), CGD__NAME(cgd__patch_in_),                        \
    CGD__NAME(cgd__tile_out_), CGD__NAME(cgd__weights_in_),                   \
    beat, begin, end, tile, round, pair, CGD__LEARNS(turn),                   \
    { CGD__LEARNS(CGD__NAME(cgd__outer_wide6_)),                              \
      CGD__LEARNS(CGD__NAME(cgd__outer_half12_)),                             \
      CGD__LEARNS(CGD__OUTER_THIRD) },                                        \
    { { CGD__LEARNS(CGD__NAME(cgd__outer_few1_)),                             \
        CGD__LEARNS(CGD__NAME(cgd__outer_few1_wide_)) },                      \
      { CGD__LEARNS(CGD__NAME(cgd__outer_few3_)),                             \
        CGD__LEARNS(CGD__NAME(cgd__outer_few3_wide_)) } },                    \
    CGD__LEARNS(CGD__NAME(cgd__patch_out_)),                                  \
    CGD__LEARNS(CGD__NAME(cgd__tile_in_)),                                    \
    CGD__LEARNS(CGD__NAME(cgd__weights_out_)),                                \
    CGD__LEARNS(CGD__LOOP_OF(cgd__activate_back_, cgd__activate_back_slice)), \
    CGD__LEARNS(CGD__LOOP_OF(cgd__norm_back_sums_, cgd__norm_back_sums_slice)),\
    CGD__LEARNS(CGD__LOOP_OF(cgd__norm_back_apply_,                           \
                             cgd__norm_back_apply_slice)),                    \
    CGD__LEARNS(CGD__NAME(cgd__depth_data_)),                                 \
    CGD__LEARNS(CGD__NAME(cgd__depth_weights_)),                              \
    CGD__LEARNS(CGD__NAME(cgd__adam_))                                        \
}

static const cgd__kernels CGD__NAME(cgd__kernels_) =
    CGD__TABLE(CGD__ISA_NAME, 0, NULL, NULL, NULL, NULL, NULL, NULL);
#if defined(CGD__BF16) && CGD__W == 16
static const cgd__kernels cgd__kernels_bf16_dot =
    CGD__TABLE("bf16-dot", 0, cgd__tile_idle, cgd__tile_idle,
               cgd__tile_dot, cgd__round_bf16, cgd__pair_bf16,
               cgd__turn_bf16);
static const cgd__kernels cgd__kernels_bf16_amx =
    CGD__TABLE("bf16-amx", 1, cgd__amx_begin, cgd__amx_end,
               cgd__tile_amx, cgd__round_bf16, cgd__pair_bf16, cgd__turn_bf16);
#endif

#undef CGD__AGAIN
#undef CGD__LOOP_OF
#undef CGD__PANEL_KERNEL
#undef CGD__OUTER_KERNEL
#undef CGD__KIND_TABLE
#undef CGD__OUTER_THIRD
#undef CGD__TABLE
#undef CGD__GET
#undef CGD__PUT
#undef CGD__SET
#undef CGD__WINO_BT
#undef CGD__WINO_B
#undef CGD__WINO_AT
#undef CGD__WINO_A
#undef CGD__WINO_G
#undef CGD__WINO_GT
#undef CGD__VADD
#undef CGD__VSUB
#undef CGD__NAME
#undef CGD__JOIN
#undef CGD__JOIN2
#undef CGD__ISA
#undef CGD__ISA_NAME
#undef CGD__HOT
#undef CGD__V
#undef CGD__W
#undef CGD__VLOAD
#undef CGD__VSTORE
#undef CGD__VSET1
#undef CGD__VSTRIDED
#undef CGD__VFMA
#undef CGD__VMUL
#undef CGD__VMAX
#undef CGD__VDIV
#undef CGD__VSQRT
#undef CGD__KINDS
#undef CGD__Q0
#undef CGD__Q1
#endif /* CGD__ISA */

#ifndef CGD__IMPLEMENTED_KERNELS
#define CGD__IMPLEMENTED_KERNELS

/* ======================================================================== */
/* [impl:dispatch] Instruction sets                                         */
/* ======================================================================== */
/* Compiles [impl:vector] for each instruction set that the compiler can
 * enable function by function, and picks the best that the processor and its
 * operating system support. On x86 a program made for any processor so runs
 * with AVX-512; elsewhere there is one vector instruction set, the build's.
 *
 * Without any, on small machines, the portable kernels work with vectors of
 * one float. They sum in float and take little scratch beside the maps (53 KB
 * for a student 8 wide at 64 x 64 on one thread), where the reference takes
 * none but sums in double, which a processor without a double unit does tens
 * of times slower. */

#ifndef CGD_HEADER                     /* this file's own name, for itself   */
#define CGD_HEADER "cycle_gan_distil.h"
#endif

#ifdef CGD__X86
#define CGD__WIDE 1              /* needs more than the build's baseline     */
#define CGD__ISA avx512
#define CGD__ISA_NAME "avx512"
#define CGD__HOT CGD__OPTIMIZED __attribute__((target("avx512f")))
#define CGD__V __m512
#define CGD__W 16
#define CGD__VLOAD(p) _mm512_loadu_ps(p)
#define CGD__VSTORE(p, v) _mm512_storeu_ps(p, v)
#define CGD__VSET1(x) _mm512_set1_ps(x)
/* Not the gather instruction: without -O GCC makes a macro of it that warns. */
#define CGD__VSTRIDED(p, s) _mm512_set_ps((p)[15 * (s)], (p)[14 * (s)],      \
    (p)[13 * (s)], (p)[12 * (s)], (p)[11 * (s)], (p)[10 * (s)],              \
    (p)[9 * (s)], (p)[8 * (s)], (p)[7 * (s)], (p)[6 * (s)], (p)[5 * (s)],    \
    (p)[4 * (s)], (p)[3 * (s)], (p)[2 * (s)], (p)[s], *(p))
#define CGD__VFMA(a, b, c) _mm512_fmadd_ps(a, b, c)
#define CGD__VADD(a, b) _mm512_add_ps(a, b)
#define CGD__VSUB(a, b) _mm512_sub_ps(a, b)
#define CGD__VMUL(a, b) _mm512_mul_ps(a, b)
#define CGD__VMAX(a, b) _mm512_maskz_max_ps((__mmask16)-1, a, b)
#define CGD__VDIV(a, b) _mm512_div_ps(a, b)
#define CGD__VSQRT(a) _mm512_maskz_sqrt_ps((__mmask16)-1, a)
#define CGD__KINDS 3
#define CGD__Q0 4
#define CGD__Q1 2
#include CGD_HEADER

#define CGD__ISA avx2
#define CGD__ISA_NAME "avx2"
#define CGD__HOT CGD__OPTIMIZED __attribute__((target("avx2,fma")))
#define CGD__V __m256
#define CGD__W 8
#define CGD__VLOAD(p) _mm256_loadu_ps(p)
#define CGD__VSTORE(p, v) _mm256_storeu_ps(p, v)
#define CGD__VSET1(x) _mm256_set1_ps(x)
#define CGD__VSTRIDED(p, s) _mm256_set_ps((p)[7 * (s)], (p)[6 * (s)],        \
    (p)[5 * (s)], (p)[4 * (s)], (p)[3 * (s)], (p)[2 * (s)], (p)[s], *(p))
#define CGD__VFMA(a, b, c) _mm256_fmadd_ps(a, b, c)
#define CGD__VADD(a, b) _mm256_add_ps(a, b)
#define CGD__VSUB(a, b) _mm256_sub_ps(a, b)
#define CGD__VMUL(a, b) _mm256_mul_ps(a, b)
#define CGD__VMAX(a, b) _mm256_max_ps(a, b)
#define CGD__VDIV(a, b) _mm256_div_ps(a, b)
#define CGD__VSQRT(a) _mm256_sqrt_ps(a)
#define CGD__KINDS 2
#define CGD__Q0 2
#define CGD__Q1 1
#include CGD_HEADER
#undef CGD__WIDE
#endif

#if !defined(CGD_NO_SIMD) && defined(__GNUC__) && defined(__aarch64__)
#include <arm_neon.h>
#define CGD__ISA portable
#define CGD__ISA_NAME "neon"
#define CGD__HOT CGD__OPTIMIZED
#define CGD__V float32x4_t
#define CGD__W 4
#define CGD__VLOAD(p) vld1q_f32(p)
#define CGD__VSTORE(p, v) vst1q_f32(p, v)
#define CGD__VSET1(x) vdupq_n_f32(x)
#define CGD__VSTRIDED(p, s) vsetq_lane_f32((p)[3 * (s)], vsetq_lane_f32(     \
    (p)[2 * (s)], vsetq_lane_f32((p)[s], vdupq_n_f32(*(p)), 1), 2), 3)
#define CGD__VFMA(a, b, c) vfmaq_f32(c, a, b)
#define CGD__VADD(a, b) vaddq_f32(a, b)
#define CGD__VSUB(a, b) vsubq_f32(a, b)
#define CGD__VMUL(a, b) vmulq_f32(a, b)
#define CGD__VMAX(a, b) vmaxq_f32(a, b)
#define CGD__VDIV(a, b) vdivq_f32(a, b)
#define CGD__VSQRT(a) vsqrtq_f32(a)
#define CGD__KINDS 3
#define CGD__Q0 4
#define CGD__Q1 2
#elif !defined(CGD_NO_SIMD) && defined(__wasm_simd128__)
#include <wasm_simd128.h>
#define CGD__ISA portable
#define CGD__ISA_NAME "wasm"
#define CGD__HOT CGD__OPTIMIZED
#define CGD__V v128_t
#define CGD__W 4
#define CGD__VLOAD(p) wasm_v128_load(p)
#define CGD__VSTORE(p, v) wasm_v128_store(p, v)
#define CGD__VSET1(x) wasm_f32x4_splat(x)
#define CGD__VSTRIDED(p, s) wasm_f32x4_make(*(p), (p)[s], (p)[2 * (s)],      \
    (p)[3 * (s)])
#define CGD__VFMA(a, b, c) wasm_f32x4_add(wasm_f32x4_mul(a, b), c)
#define CGD__VADD(a, b) wasm_f32x4_add(a, b)
#define CGD__VSUB(a, b) wasm_f32x4_sub(a, b)
#define CGD__VMUL(a, b) wasm_f32x4_mul(a, b)
#define CGD__VMAX(a, b) wasm_f32x4_pmax(b, a)
#define CGD__VDIV(a, b) wasm_f32x4_div(a, b)
#define CGD__VSQRT(a) wasm_f32x4_sqrt(a)
#define CGD__KINDS 2
#define CGD__Q0 2
#define CGD__Q1 1
#elif !defined(CGD_NO_SIMD) && defined(CGD__X86)
#define CGD__ISA portable
#define CGD__ISA_NAME "portable"
#define CGD__HOT CGD__OPTIMIZED
#define CGD__V __m128
#define CGD__W 4
#define CGD__VLOAD(p) _mm_loadu_ps(p)
#define CGD__VSTORE(p, v) _mm_storeu_ps(p, v)
#define CGD__VSET1(x) _mm_set1_ps(x)
#define CGD__VSTRIDED(p, s) _mm_set_ps((p)[3 * (s)], (p)[2 * (s)], (p)[s], *(p))
#define CGD__VFMA(a, b, c) _mm_add_ps(_mm_mul_ps(a, b), c)
#define CGD__VADD(a, b) _mm_add_ps(a, b)
#define CGD__VSUB(a, b) _mm_sub_ps(a, b)
#define CGD__VMUL(a, b) _mm_mul_ps(a, b)
#define CGD__VMAX(a, b) _mm_max_ps(a, b)
#define CGD__VDIV(a, b) _mm_div_ps(a, b)
#define CGD__VSQRT(a) _mm_sqrt_ps(a)
#define CGD__KINDS 2
#define CGD__Q0 2
#define CGD__Q1 1
#else
#define CGD__ISA portable
#define CGD__ISA_NAME "portable"
#define CGD__HOT CGD__OPTIMIZED
#define CGD__V float
#define CGD__W 1
#define CGD__VLOAD(p) (*(p))
#define CGD__VSTORE(p, v) (*(p) = (v))
#define CGD__VSET1(x) (x)
#define CGD__VSTRIDED(p, s) (*(p))
#define CGD__VFMA(a, b, c) ((a) * (b) + (c))
#define CGD__VADD(a, b) ((a) + (b))
#define CGD__VSUB(a, b) ((a) - (b))
#define CGD__VMUL(a, b) ((a) * (b))
#define CGD__VMAX(a, b) ((a) > (b) ? (a) : (b))
#define CGD__VDIV(a, b) ((a) / (b))
#define CGD__VSQRT(a) CGD_SQRTF(a)
#define CGD__KINDS 2
#define CGD__Q0 4
#define CGD__Q1 1
#endif
#include CGD_HEADER

/* The loops of [impl:ops] as they stand there. */
static const cgd__kernels cgd__kernels_reference = {
    "reference", 0, 0, { 0, 0, 0 },
    { { 0, 0, 0 }, { 0, 0, 0 }, { 0, 0, 0 } },
    { { NULL, NULL, NULL }, { NULL, NULL, NULL }, { NULL, NULL, NULL } },
    cgd__pad_line, NULL, NULL, cgd__fold_row, cgd__activate_slice,
    cgd__add_slice, cgd__norm_sums_slice, cgd__norm_apply_slice,
    cgd__depth_row, NULL, NULL, NULL, 0, NULL, NULL, NULL, NULL, NULL, NULL,
    { NULL, NULL, NULL }, { { NULL, NULL }, { NULL, NULL } }, NULL, NULL, NULL,
    CGD__LEARNS(cgd__activate_back_slice),
    CGD__LEARNS(cgd__norm_back_sums_slice),
    CGD__LEARNS(cgd__norm_back_apply_slice),
    CGD__LEARNS(cgd__depth_data_slice), CGD__LEARNS(cgd__depth_weights_slice),
    CGD__LEARNS(cgd__adam_ref)
};

static const cgd__kernels *const cgd__all_kernels[] = {
#ifdef CGD__X86
    &cgd__kernels_avx512, &cgd__kernels_avx2,
#endif
    &cgd__kernels_portable, &cgd__kernels_reference
#ifdef CGD__BF16
    , &cgd__kernels_bf16_amx, &cgd__kernels_bf16_dot
#endif
};
#define CGD__ALL_KERNELS (sizeof cgd__all_kernels / sizeof *cgd__all_kernels)

#ifdef CGD__BF16
/* Does the processor have the instructions; for tiles, does the operating
 * system save their state? (Bits 17 and 18 of what xgetbv says.) */
static int cgd__bf16_supported(int amx)
{
    unsigned a, b, c, d;
    if (!__builtin_cpu_supports("avx512bw")
        || !__builtin_cpu_supports("avx512vl")
        || !__get_cpuid_count(7, 1, &a, &b, &c, &d) || !(a >> 5 & 1)) return 0;
    if (!amx) return 1;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(d >> 22 & 1)
        || !(d >> 24 & 1)) return 0;
    __asm__ __volatile__("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
    return (a >> 17 & 3) == 3;
}
#endif

/* __builtin_cpu_supports also asks whether the operating system saves the
 * wide registers. */
static int cgd__kernels_supported(const cgd__kernels *k)
{
#ifdef CGD__X86
    __builtin_cpu_init();
    if (k == &cgd__kernels_avx512) return __builtin_cpu_supports("avx512f");
    if (k == &cgd__kernels_avx2)
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#endif
#ifdef CGD__BF16
    if (k == &cgd__kernels_bf16_amx) return cgd__bf16_supported(1);
    if (k == &cgd__kernels_bf16_dot) return cgd__bf16_supported(0);
#endif
    return k != NULL;
}

/* Supported, and may be used from now on: Linux gives the state of tiles to a
 * process that asks for it (arch_prctl, ARCH_REQ_XCOMP_PERM, XTILEDATA), which
 * costs each of its threads 8 KB. So nobody asks who does not want them. */
static int cgd__kernels_claimed(const cgd__kernels *k)
{
    if (!cgd__kernels_supported(k)) return 0;
#if defined(CGD__BF16) && defined(__linux__)
    if (k == &cgd__kernels_bf16_amx) {
        long answer;
        __asm__ __volatile__("syscall" : "=a"(answer)
            : "a"(158L), "D"(0x1023L), "S"(18L) : "rcx", "r11", "memory");
        return answer == 0;
    }
#endif
    return 1;
}

static const cgd__kernels *cgd__best_kernels(void)
{
    size_t i = 0;
    while (!cgd__kernels_supported(cgd__all_kernels[i])) i++;
    return cgd__all_kernels[i];
}

CGDDEF cgd_status cgd_use_kernels(cgd_ctx *ctx, const char *name)
{
    char known[64];
    cgd__text t;
    size_t i;
    if (!name || !*name) { ctx->kernels = cgd__best_kernels(); return CGD_OK; }
    t.at = known;
    t.room = sizeof known;
    for (i = 0; i < CGD__ALL_KERNELS; i++) {
        const cgd__kernels *k = cgd__all_kernels[i];
        int asked = strcmp(name, k->name) == 0 || (strcmp(name, "bf16") == 0
            && strncmp(k->name, "bf16-", 5) == 0);
        if (asked && cgd__kernels_claimed(k)) {
            ctx->kernels = k;
            return CGD_OK;
        }
        if (asked || !cgd__kernels_supported(k)) continue;
        cgd__put_string(&t, t.at == known ? "" : ", ");
        cgd__put_string(&t, k->name);
    }
    *t.at = 0;
    return cgd__fail(ctx, CGD_ERR_UNSUPPORTED,
        "this build and processor have no kernels \"%s\", but %s", name,
        known);
}

CGDDEF const char *cgd_kernels_name(const cgd_ctx *ctx)
{
    return ctx->kernels->name;
}

/* ######################################################################## */
/* [part:around] Part 5: around it                                          */
/* ######################################################################## */
/* Running what was learnt, files, pictures, and the loops that need nothing
 * but folders. */

/* ======================================================================== */
/* [impl:model] Inference                                                   */
/* ======================================================================== */

/* The model that an application holds, and a picture's way through it: numbers
 * to [-1, 1], sides extended to what two halvings can undo, one pass forward,
 * and back to numbers. Calls [impl:passes], [impl:files]. */

CGDDEF void cgd_model_free(cgd_model *model)
{
    if (model->pass) {
        model->pass->net = &model->net;
        cgd_pass_free(model->pass);
        cgd__free(model->net.ctx, model->pass, sizeof *model->pass);
        model->pass = NULL;
    }
    cgd_net_free(&model->net);
}

/* The casts are safe: what would write to a constant net refuses it. */
CGDDEF void cgd_model_attach(cgd_ctx *ctx, cgd_model *model,
                             const cgd_const_model *constants)
{
    cgd_net *net = &model->net;
    memset(model, 0, sizeof *model);
    net->ctx = ctx;
    net->constant = 1;
    net->layers = (cgd_layer *)constants->layers;
    net->n_layers = constants->n_layers;
    net->params = (float *)constants->params;
    net->count = constants->count;
    net->state = constants->state;
    net->image_stats = constants->generator.image_stats;
    net->is_generator = 1;
    net->generator = constants->generator;
}

static cgd_status cgd__model_from_file(cgd_ctx *ctx, cgd_model *model,
                                       const cgd_file *file)
{
    cgd_status status;
    const char *kind = cgd_file_meta(file, "cgd.kind");
    memset(model, 0, sizeof *model);
    if (kind && strcmp(kind, "state") == 0)
        return cgd__fail(ctx, CGD_ERR_FORMAT,
            "%s is a training state, not a model: use the generator saved "
            "beside it, such as g_ab.safetensors", file->path);
    status = cgd_net_load(ctx, &model->net, file, "");
    if (status == CGD_OK && !model->net.is_generator) {
        cgd_net_free(&model->net);
        return cgd__fail(ctx, CGD_ERR_FORMAT,
                         "%s holds a discriminator, not a generator",
                         file->path);
    }
    return status;
}

CGDDEF cgd_status cgd_model_from_memory(cgd_ctx *ctx, cgd_model *model,
                                        const void *bytes, size_t size)
{
    cgd_file file;
    cgd_status status = cgd_file_open_memory(ctx, &file, bytes, size,
                                             "the model in memory");
    memset(model, 0, sizeof *model);
    if (status != CGD_OK) return status;
    status = cgd__model_from_file(ctx, model, &file);
    cgd_file_close(&file);
    return status;
}

#ifndef CGD_NO_STDIO
CGDDEF cgd_status cgd_model_load(cgd_ctx *ctx, cgd_model *model,
                                 const char *path)
{
    cgd_file file;
    cgd_status status = cgd_file_open(ctx, &file, path);
    memset(model, 0, sizeof *model);
    if (status != CGD_OK) return status;
    status = cgd__model_from_file(ctx, model, &file);
    cgd_file_close(&file);
    return status;
}
#endif

/* The side a picture is extended to: a multiple of 4, since it is halved twice
 * and doubled twice and must come back the same, and at least 8, since the stem
 * reflects 3 pixels and the blocks, at a quarter, 1. Repeating the edge and
 * cutting the result back shows least of it. */
static size_t cgd__model_side(size_t side)
{
    return cgd__max(8, cgd__round_up(side, 4));
}

/* Plan the model's pass for a picture, unless the last one was of its size
 * already: of a folder, or a film, only the first is. */
static cgd_status cgd__model_plan(cgd_model *model, size_t width,
                                  size_t height)
{
    cgd_net *net = &model->net;
    cgd_pass *pass = model->pass;
    size_t w = cgd__model_side(width), h = cgd__model_side(height);
    if (width < 1 || height < 1 || width > 65536 || height > 65536)
        return cgd__fail(net->ctx, CGD_ERR_SHAPE,
            "a picture of %u x %u cannot be translated", width, height);
    if (!pass)
        pass = model->pass = (cgd_pass *)cgd__alloc_zeroed(net->ctx, 1,
                                                  sizeof *pass, "a plan");
    if (!pass) return CGD_ERR_MEMORY;
    pass->net = net;                   /* the model may have been moved      */
    if (pass->slots && pass->w == w && pass->h == h
        && pass->kernels == net->ctx->kernels) return CGD_OK;
    cgd_pass_free(pass);
    return cgd_pass_plan(pass, net, 1, h, w, CGD_INFER, NULL, 0);
}

/* The input and the pass in a workspace; or, on an arena that only counts, what
 * they need: the bytes that a caller is told are those that are then taken. */
static cgd_status cgd__model_place(cgd_model *model, cgd__arena *a,
                                   cgd_tensor *x)
{
    cgd_pass *pass = model->pass;
    void *memory;
    *x = cgd_tensor_view(1, pass->h, pass->w, model->net.layers[0].in_c, NULL);
    x->data = cgd__take_floats(a, cgd_tensor_size(x));
    memory = cgd__take(a, pass->bytes, 1);
    return cgd__arena_holds(a) ? cgd_pass_place(pass, memory) : CGD_ERR_MEMORY;
}

static cgd_status cgd__model_need(cgd_model *model, size_t width,
                                  size_t height, size_t *need)
{
    cgd__arena counts = cgd__arena_on(NULL, 0);
    cgd_tensor x;
    cgd_status status = cgd__model_plan(model, width, height);
    *need = 0;
    if (status != CGD_OK) return status;
    cgd__model_place(model, &counts, &x);
    *need = counts.peak + CGD__ALIGN;  /* wherever the workspace begins      */
    return CGD_OK;
}

CGDDEF size_t cgd_model_workspace(cgd_model *model, size_t width,
                                  size_t height)
{
    size_t need;
    cgd__model_need(model, width, height, &need);
    return need;
}

CGDDEF void cgd_tensor_from_image(cgd_tensor *t, size_t picture,
                                  const cgd_image *image,
                                  const cgd_range *range)
{
    size_t n = image->w * t->c, i, j;
    cgd_range own = { 0, 0, 255 };
    if (!image->data) own.white = image->white;
    if (!range || range->lo == range->hi) range = &own;
    for (i = 0; i < t->h; i++) {
        float *to = t->data + (picture * t->h + i) * t->w * t->c;
        size_t from = cgd__min(i, image->h - 1) * n;
        cgd__samples_in(to, image->data ? image->data + from : NULL,
                        image->data ? NULL : image->values + from, n, range);
        for (j = n; j < t->w * t->c; j++) to[j] = to[j - t->c];
    }
}

/* The picture's own part of the output, as numbers of its range. */
static void cgd__model_cut(cgd_image *out, const cgd_tensor *y,
                           const cgd_range *range)
{
    size_t n = out->w * y->c, i;
    for (i = 0; i < out->h; i++)
        cgd__samples_out(out->data ? out->data + i * n : NULL,
                         out->data ? NULL : out->values + i * n,
                         y->data + i * y->w * y->c, n, range);
}

/* range: what the numbers of in, and of out, mean. */
static cgd_status cgd__translate(cgd_model *model, cgd_image *out,
                                 const cgd_image *in, const cgd_range range[2],
                                 void *workspace, size_t workspace_size)
{
    cgd_ctx *ctx = model->net.ctx;
    size_t width = in->w, height = in->h;
    unsigned char *block = (unsigned char *)workspace;
    size_t need, skip;
    cgd__arena arena;
    cgd_tensor x;
    cgd_status status = cgd__model_need(model, width, height, &need);
    if (status != CGD_OK) return status;
    if (block && workspace_size < need)
        return cgd__fail(ctx, CGD_ERR_MEMORY,
            "translating %u x %u pixels needs a workspace of %u bytes, but "
            "%u were lent", width, height, need, workspace_size);
    if (!block) block = (unsigned char *)cgd__alloc(ctx, need);
    if (!block)
        return cgd__fail(ctx, CGD_ERR_MEMORY,
            "out of memory: translating %u x %u pixels needs %u bytes",
            width, height, need);
    skip = (CGD__ALIGN - (size_t)block % CGD__ALIGN) % CGD__ALIGN;
    arena = cgd__arena_on(block + skip, need - skip);
    status = cgd__model_place(model, &arena, &x);
    if (status == CGD_OK) {
        cgd_tensor_from_image(&x, 0, in, &range[0]);
        status = cgd_pass_forward(model->pass, &x);
    }
    if (status == CGD_OK) cgd__model_cut(out, &model->pass->y, &range[1]);
    if (!workspace) cgd__free(ctx, block, need);
    return status;
}

CGDDEF cgd_status cgd_translate(cgd_model *model, unsigned char *out,
                                const unsigned char *in, size_t width,
                                size_t height, void *workspace,
                                size_t workspace_size)
{
    cgd_image from, to;
    cgd_range range[2];
    memset(&from, 0, sizeof from);
    from.w = width;
    from.h = height;
    to = from;
    from.data = (unsigned char *)in;                       /* only ever read */
    to.data = out;
    range[0] = range[1] = cgd__byte_range;
    return cgd__translate(model, &to, &from, range, workspace,
                          workspace_size);
}

CGDDEF cgd_status cgd_translate_image(cgd_model *model, cgd_image *out,
                                      const cgd_image *in)
{
    const cgd_generator_config *g = &model->net.generator;
    cgd_ctx *ctx = model->net.ctx;
    cgd_range range[2];
    cgd_status status;
    int i;
    memset(out, 0, sizeof *out);
    for (i = 0; i < 2; i++) {
        range[i] = g->range[i];
        if (range[i].lo == range[i].hi && (i == 0 || range[i].white <= 0))
            range[i].white = in->data ? 255 : in->white;
    }
    if (in->data && range[1].white > 255 && range[1].lo >= 0
        && range[1].hi <= 255) range[1].white = 255;
    if (in->c != model->net.layers[0].in_c)
        return cgd__fail(ctx, CGD_ERR_SHAPE, "the picture has %u channels, "
                         "the model translates %u", in->c,
                         model->net.layers[0].in_c);
    if (range[0].lo == range[0].hi && range[0].white <= 0)
        return cgd__fail(ctx, CGD_ERR_ARGUMENT, "the picture has floating "
            "point values, and neither the model nor a range says which of "
            "them are -1 and 1 to the net");
    status = cgd_image_init_white(ctx, out, in->w, in->h,
        model->net.layers[model->net.n_layers - 1].out_c, range[1].white);
    if (status == CGD_OK)
        status = cgd__translate(model, out, in, range, NULL, 0);
    if (status != CGD_OK) cgd_image_free(ctx, out);
    return status;
}
/* ======================================================================== */
/* [impl:files] Weights files                                               */
/* ======================================================================== */
/* Owns safetensors, reading and writing, and what a net and a training state
 * look like in one. Files are hostile: every count and product is checked
 * before it is used, and no number from a file asks for more memory than the
 * file's own size allows.
 * Calls [impl:base], [impl:nets]. Gives back all it allocates but the header
 * of an open file. */

/* ---- files by name -------------------------------------------------------*/
#ifndef CGD_NO_STDIO

#include <errno.h>
#if defined(_WIN32)
#include <windows.h>
#include <wchar.h>
#include <io.h>
#include <fcntl.h>
#include <sys/stat.h>
#elif defined(__unix__) || defined(__APPLE__)
#define CGD__POSIX 1
#include <sys/types.h>
#include <sys/stat.h>
#include <fcntl.h>
#include <unistd.h>
#if defined(__STRICT_ANSI__) && !defined(__cplusplus)
extern FILE *fdopen(int file, const char *mode);     /* POSIX, which strict  */
extern int fsync(int file);                          /* C89 headers hide     */
extern int fileno(FILE *stream);
extern ssize_t readlink(const char *path, char *target, size_t room);
#endif
#endif

#if defined(_WIN32)

/* What a path is in: UTF-8, or what main() is given. */
static UINT cgd__code_page(const char *path)
{
    return MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, path, -1, NULL,
                               0) ? CP_UTF8 : CP_ACP;
}

/* The system's own form of a path; "" if it is too long. */
static const wchar_t *cgd__wide_path(wchar_t out[CGD_PATH_ROOM],
                                     const char *path)
{
    if (!MultiByteToWideChar(cgd__code_page(path), 0, path, -1, out,
                             CGD_PATH_ROOM)) out[0] = 0;
    return out;
}

static HANDLE cgd__handle(const char *path)
{
    wchar_t wide[CGD_PATH_ROOM];
    return CreateFileW(cgd__wide_path(wide, path), 0, FILE_SHARE_READ
                       | FILE_SHARE_WRITE | FILE_SHARE_DELETE, NULL,
                       OPEN_EXISTING, FILE_FLAG_BACKUP_SEMANTICS, NULL);
}

CGDDEF int cgd_path_kind(const char *path)
{
    wchar_t wide[CGD_PATH_ROOM];
    DWORD is = GetFileAttributesW(cgd__wide_path(wide, path));
    DWORD why = is == INVALID_FILE_ATTRIBUTES ? GetLastError() : 0;
    HANDLE file;
    int kind = CGD_PATH_FILE;
    if (why == ERROR_FILE_NOT_FOUND || why == ERROR_PATH_NOT_FOUND
        || why == ERROR_INVALID_NAME) return CGD_PATH_MISSING;
    if (!why && is & FILE_ATTRIBUTE_DIRECTORY) return CGD_PATH_FOLDER;
    file = cgd__handle(path);
    if (file == INVALID_HANDLE_VALUE) return kind;
    if (GetFileType(file) != FILE_TYPE_DISK) kind = CGD_PATH_DEVICE;
    CloseHandle(file);
    return kind;
}

CGDDEF int cgd_path_same(const char *a, const char *b)
{
    BY_HANDLE_FILE_INFORMATION x, y;
    HANDLE one = cgd__handle(a), two = cgd__handle(b);
    int same = one != INVALID_HANDLE_VALUE && two != INVALID_HANDLE_VALUE
        && GetFileInformationByHandle(one, &x)
        && GetFileInformationByHandle(two, &y)
        && x.dwVolumeSerialNumber == y.dwVolumeSerialNumber
        && x.nFileIndexLow == y.nFileIndexLow
        && x.nFileIndexHigh == y.nFileIndexHigh;
    if (one != INVALID_HANDLE_VALUE) CloseHandle(one);
    if (two != INVALID_HANDLE_VALUE) CloseHandle(two);
    return same;
}

CGDDEF FILE *cgd_fopen(const char *path, const char *mode)
{
    wchar_t wide[CGD_PATH_ROOM], wide_mode[CGD_PATH_ROOM];
    return _wfopen(cgd__wide_path(wide, path), cgd__wide_path(wide_mode, mode));
}

static void cgd__remove(const char *path)
{
    wchar_t wide[CGD_PATH_ROOM];
    DeleteFileW(cgd__wide_path(wide, path));
}

static void cgd__mkdir(const char *path)
{
    wchar_t wide[CGD_PATH_ROOM];
    CreateDirectoryW(cgd__wide_path(wide, path), NULL);
}

/* Make a file that is not there, to write to. */
static FILE *cgd__create(const char *path)
{
    wchar_t wide[CGD_PATH_ROOM];
    int file = _wopen(cgd__wide_path(wide, path), _O_WRONLY | _O_CREAT | _O_EXCL
                      | _O_BINARY, _S_IREAD | _S_IWRITE);
    return file < 0 ? NULL : _fdopen(file, "wb");
}

static int cgd__to_disk(FILE *out)
{
    return _commit(_fileno(out)) == 0;
}

static int cgd__replace(const char *temporary, const char *path)
{
    wchar_t from[CGD_PATH_ROOM], to[CGD_PATH_ROOM];
    return MoveFileExW(cgd__wide_path(from, temporary),
                       cgd__wide_path(to, path), MOVEFILE_REPLACE_EXISTING
                       | MOVEFILE_WRITE_THROUGH) != 0;
}

#elif defined(CGD__POSIX)

CGDDEF int cgd_path_kind(const char *path)
{
    struct stat is;
    if (stat(path, &is) != 0)
        return errno == ENOENT || errno == ENOTDIR ? CGD_PATH_MISSING
                                                   : CGD_PATH_FILE;
    return S_ISDIR(is.st_mode) ? CGD_PATH_FOLDER
         : S_ISREG(is.st_mode) ? CGD_PATH_FILE : CGD_PATH_DEVICE;
}

CGDDEF int cgd_path_same(const char *a, const char *b)
{
    struct stat x, y;
    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_ino == y.st_ino
        && x.st_dev == y.st_dev;
}

static void cgd__remove(const char *path) { (void)unlink(path); }
static void cgd__mkdir(const char *path) { (void)mkdir(path, 0777); }

/* Make a file that is not there, to write to; no link is followed. */
static FILE *cgd__create(const char *path)
{
    int file = open(path, O_WRONLY | O_CREAT | O_EXCL, 0666);
    return file < 0 ? NULL : fdopen(file, "wb");
}

static int cgd__to_disk(FILE *out) { return fsync(fileno(out)) == 0; }

/* Is what this program wrote still what bears the temporary name? */
static int cgd__still_there(const cgd_output *out)
{
    struct stat x, y;
    return fstat(fileno(out->stream), &x) == 0
        && stat(out->temporary, &y) == 0 && x.st_ino == y.st_ino
        && x.st_dev == y.st_dev;
}

/* Go to the end of a chain of symbolic links; 0 if there is none. target is
 * room for what a link holds. */
static int cgd__follow(char *path, char *target)
{
    int turn;
    for (turn = 0; turn < 40; turn++) {
        ssize_t n = readlink(path, target, CGD_PATH_ROOM);
        size_t kept = (size_t)(cgd_path_name(path) - path);
        if (n < 0) return 1;
        if (n > 0 && target[0] == '/') kept = 0;
        if ((size_t)n >= CGD_PATH_ROOM - kept) return 0;
        memcpy(path + kept, target, (size_t)n);
        path[kept + (size_t)n] = 0;
    }
    return 0;
}

static int cgd__replace(const char *temporary, const char *path)
{
    struct stat old;
    if (stat(path, &old) == 0 && chmod(temporary, old.st_mode & 0777) != 0)
        return 0;
    return rename(temporary, path) == 0;
}

/* The new name stands in the folder, which path is cut to. Not all file
 * systems can flush one: then nothing can be done. */
static void cgd__flush_folder(char *path)
{
    int file;
    memcpy(path + (cgd_path_name(path) - path), ".", 2);
    file = open(path, O_RDONLY);
    if (file < 0) return;
    (void)fsync(file);
    close(file);
}

#else                                         /* C89 alone                   */

CGDDEF int cgd_path_kind(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (f) fclose(f);
    return f ? CGD_PATH_FILE : CGD_PATH_MISSING;
}

CGDDEF int cgd_path_same(const char *a, const char *b)
{
    return strcmp(a, b) == 0;
}

static void cgd__remove(const char *path) { remove(path); }
static void cgd__mkdir(const char *path) { (void)path; }
static FILE *cgd__create(const char *path) { return fopen(path, "wb"); }
static int cgd__to_disk(FILE *out) { return out != NULL; }
static int cgd__replace(const char *temporary, const char *path)
{
    return rename(temporary, path) == 0;
}

#endif

#ifndef _WIN32
CGDDEF FILE *cgd_fopen(const char *path, const char *mode)
{
    return fopen(path, mode);
}
#endif

static int cgd__parts_folders(char c)
{
#ifdef _WIN32
    return c == '/' || c == '\\' || c == ':';
#else
    return c == '/';
#endif
}

CGDDEF const char *cgd_path_name(const char *path)
{
    const char *name = path;
    for (; *path; path++)
        if (cgd__parts_folders(*path)) name = path + 1;
    return name;
}

CGDDEF int cgd_path_join(char out[CGD_PATH_ROOM], const char *folder,
                         const char *name)
{
    size_t n = strlen(folder);
    int parted = n == 0 || cgd__parts_folders(folder[n - 1]);
    if (n + strlen(name) + 2 > CGD_PATH_ROOM) return 0;
    cgd__format(out, CGD_PATH_ROOM, parted ? "%s%s" : "%s/%s", folder, name);
    return 1;
}

/* Only the end counts: a part may be there, or not be ours to make. */
CGDDEF cgd_status cgd_make_folder(cgd_ctx *ctx, const char *path)
{
    size_t i, n = strlen(path);
    char *part;
    if (n == 0 || n >= CGD_PATH_ROOM)
        return cgd__fail(ctx, CGD_ERR_ARGUMENT, "the name of a folder has 1 "
                         "to %d bytes, not %u", CGD_PATH_ROOM - 1, n);
    part = (char *)cgd__alloc_zeroed(ctx, n + 1, 1, path);
    for (i = 1; part && i <= n; i++) {
        if (path[i] && !cgd__parts_folders(path[i])) continue;
        memcpy(part, path, i);
        part[i] = 0;
        if (cgd_path_kind(part) == CGD_PATH_MISSING) cgd__mkdir(part);
    }
    if (!part) return CGD_ERR_MEMORY;
    cgd__free(ctx, part, n + 1);
#if defined(_WIN32) || defined(CGD__POSIX)
    if (cgd_path_kind(path) != CGD_PATH_FOLDER)
        return cgd__fail(ctx, CGD_ERR_IO, "the folder %s cannot be made: is "
                         "there a file of that name, or no permission?", path);
#endif
    return CGD_OK;
}

CGDDEF FILE *cgd_open_input(cgd_ctx *ctx, const char *path)
{
    int kind = cgd_path_kind(path);
    FILE *in = kind == CGD_PATH_FILE ? cgd_fopen(path, "rb") : NULL;
    if (!in)
        cgd__fail(ctx, CGD_ERR_IO, "cannot open %s: %s", path,
                  kind == CGD_PATH_MISSING ? "it is not there"
                  : kind == CGD_PATH_FOLDER ? "it is a folder"
                  : kind == CGD_PATH_DEVICE
                  ? "it is a device or a pipe, not a plain file"
                  : "may it be read?");
    return in;
}

/* The temporary name is the file's with an ending that no one else uses. It
 * is always the same, so that a program that was killed leaves one file at
 * most, and it is never longer than a long name, which may be the longest. */
static void cgd__name_temporary(cgd_output *out)
{
    static const char ending[] = ".cgd-part";
    size_t n = strlen(out->path);
    const char *name = cgd_path_name(out->path);
    if (strlen(name) > 64) n -= sizeof ending - 1;
    while (n > 0 && (out->path[n] & 0xc0) == 0x80) n--;  /* not inside a     */
    memcpy(out->temporary, out->path, n);                /* character        */
    memcpy(out->temporary + n, ending, sizeof ending);
}

static void cgd__output_free(cgd_output *out)
{
    cgd__free(out->ctx, out->path, 2 * CGD_PATH_ROOM);
    out->path = out->temporary = NULL;
}

CGDDEF cgd_status cgd_output_open(cgd_ctx *ctx, cgd_output *out,
                                  const char *path)
{
    const size_t most = CGD_PATH_ROOM - 16;      /* with room for an ending  */
    int kind = cgd_path_kind(path);
    memset(out, 0, sizeof *out);
    out->ctx = ctx;
    out->direct = kind == CGD_PATH_DEVICE;
    if (!path[0] || strlen(path) >= most)
        return out->status = cgd__fail(ctx, CGD_ERR_ARGUMENT,
            "cannot write a file whose path has %u bytes: 1 to %u can be",
            strlen(path), most - 1);
    if (kind == CGD_PATH_FOLDER)
        return out->status = cgd__fail(ctx, CGD_ERR_IO,
            "cannot write %s: it is a folder", path);
    out->path = (char *)cgd__alloc_zeroed(ctx, 2, CGD_PATH_ROOM, path);
    if (!out->path) return out->status = CGD_ERR_MEMORY;
    out->temporary = out->path + CGD_PATH_ROOM;
    memcpy(out->path, path, strlen(path) + 1);
#ifdef CGD__POSIX
    if (!out->direct && !cgd__follow(out->path, out->temporary))
        out->path[0] = 0;
#endif
    if (out->direct) {
        out->stream = cgd_fopen(path, "wb");
    } else if (out->path[0] && strlen(out->path) < most) {
        cgd__name_temporary(out);
        cgd__remove(out->temporary);
        out->stream = cgd__create(out->temporary);
    }
    if (out->stream) return CGD_OK;
    cgd__output_free(out);
    return out->status = cgd__fail(ctx, CGD_ERR_IO, "cannot write %s: is its "
                                   "folder missing or read-only?", path);
}

static cgd_status cgd__disk_full(cgd_ctx *ctx, const char *path)
{
    return cgd__fail(ctx, CGD_ERR_IO, "cannot write %s: is the disk full?",
                     path);
}

CGDDEF void cgd_output_write(cgd_output *out, const void *data, size_t bytes)
{
    if (out->status != CGD_OK || bytes == 0) return;
    if (!out->stream || fwrite(data, 1, bytes, out->stream) != bytes)
        out->status = cgd__disk_full(out->ctx, out->path);
}

/* Give the whole file its name: what stood there gives way in the same
 * instant, so that at any moment one of the two is there, whole. */
static cgd_status cgd__output_place(cgd_output *out)
{
    int moved = !out->keep || cgd_path_kind(out->path) == CGD_PATH_MISSING
             || cgd__replace(out->path, out->keep);
    if (!moved || !cgd__replace(out->temporary, out->path))
        return cgd__fail(out->ctx, CGD_ERR_IO, "cannot replace %s: may it be "
                         "written, or is it in use?", out->path);
#ifdef CGD__POSIX
    cgd__flush_folder(out->path);
#endif
    return CGD_OK;
}

CGDDEF cgd_status cgd_output_close(cgd_output *out)
{
    if (!out->stream) return out->status;
    /* To the disk: a rename may otherwise reach it before the data do. */
    if (out->status == CGD_OK
        && (fflush(out->stream) != 0 || ferror(out->stream)
            || (!out->direct && !cgd__to_disk(out->stream))))
        out->status = cgd__disk_full(out->ctx, out->path);
#ifdef CGD__POSIX
    if (out->status == CGD_OK && !out->direct && !cgd__still_there(out)) {
        out->direct = 1;                      /* the temporary is another's  */
        out->status = cgd__fail(out->ctx, CGD_ERR_IO, "cannot write %s: "
                                "another program is writing it too",
                                out->path);
    }
#endif
    if (fclose(out->stream) != 0 && out->status == CGD_OK)
        out->status = cgd__disk_full(out->ctx, out->path);
    out->stream = NULL;
    if (out->status == CGD_OK && !out->direct)
        out->status = cgd__output_place(out);
    if (out->status != CGD_OK && !out->direct) cgd__remove(out->temporary);
    cgd__output_free(out);
    return out->status;
}
#endif /* CGD_NO_STDIO */

#define CGD__HEADER_LIMIT ((size_t)100000000)  /* of the format's definition */

/* ---- types ---------------------------------------------------------------*/

static const struct cgd__dtype {
    const char *name;
    int dtype;
    size_t width;                                 /* bytes of one element    */
} cgd__dtypes[] = {
    { "F32", CGD_F32, 4 },   { "F16", CGD_F16, 2 }, { "BF16", CGD_BF16, 2 },
    { "F64", CGD_F64, 8 },   { "I64", CGD_I64, 8 }, { "I32", CGD_I32, 4 },
    { "U8", CGD_U8, 1 },     { "I16", CGD_I16, 2 }, { "U16", CGD_U16, 2 },
    { "I8", CGD_I8, 1 },     { "BOOL", CGD_BOOL, 1 },
    { "U64", CGD_OTHER, 8 }, { "U32", CGD_OTHER, 4 },
    { "F8_E4M3", CGD_OTHER, 1 }, { "F8_E5M2", CGD_OTHER, 1 }
};

static const struct cgd__dtype *cgd__dtype_named(const char *name)
{
    size_t i;
    for (i = 0; i < sizeof cgd__dtypes / sizeof *cgd__dtypes; i++)
        if (strcmp(cgd__dtypes[i].name, name) == 0) return &cgd__dtypes[i];
    return NULL;
}

static const struct cgd__dtype *cgd__dtype_of(int dtype)
{
    const struct cgd__dtype *type = cgd__dtypes;
    while (type->dtype != dtype) type++;
    return type;
}

static int cgd__little_endian(void)
{
    cgd_u32 one = 1;
    unsigned char first;
    memcpy(&first, &one, 1);
    return first == 1;
}

static cgd_u32 cgd__u16_at(const unsigned char *p)
{
    return (cgd_u32)p[0] | (cgd_u32)p[1] << 8;
}

static cgd_u32 cgd__u32_at(const unsigned char *p)
{
    return cgd__u16_at(p) | cgd__u16_at(p + 2) << 16;
}

static float cgd__bits_float(cgd_u32 bits)
{
    float v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

static float cgd__half_float(cgd_u32 h)             /* every half is a float */
{
    cgd_u32 sign = (h & 0x8000U) << 16, exponent = h >> 10 & 31U;
    cgd_u32 fraction = h & 1023U;
    if (exponent == 0) {
        float v = (float)fraction * (1.0f / 16777216.0f);
        return sign ? -v : v;
    }
    exponent = exponent == 31 ? 255 : exponent + 112;      /* bias 15 -> 127 */
    return cgd__bits_float(sign | exponent << 23 | fraction << 13);
}

/* A double's two halves to the nearest float, ties to even. In integers: C
 * leaves the conversion of what is too large for a float undefined. */
static float cgd__double_float(cgd_u32 hi, cgd_u32 lo)
{
    cgd_u32 sign = hi & 0x80000000U, bits, rest;
    int exponent = (int)(hi >> 20 & 2047U) - 896;         /* bias 1023 -> 127 */
    int special = exponent == 2047 - 896;
    if (special && ((hi & 0xfffffU) | lo)) return cgd__bits_float(0x7fc00000U);
    if (exponent >= 255) return cgd__bits_float(sign | 0x7f800000U);
    if (exponent < -24) return cgd__bits_float(sign);
    bits = (hi & 0xfffffU) << 3 | lo >> 29;
    rest = lo << 3;                      /* what is cut off, 1/2 at its top  */
    if (exponent > 0) {
        bits |= (cgd_u32)exponent << 23;
    } else {                             /* a float without the hidden one   */
        int shift = 1 - exponent;
        bits |= 0x800000U;
        rest = bits << (32 - shift) | (rest != 0);
        bits >>= shift;
    }
    if (rest > 0x80000000U || (rest == 0x80000000U && (bits & 1U))) bits++;
    return cgd__bits_float(sign | bits);
}

/* A signed 64-bit integer to the nearest float: shifted down to 32 bits, what
 * falls off is remembered in the lowest, so that it rounds once. */
static float cgd__integer_float(cgd_u32 hi, cgd_u32 lo)
{
    int negative = (hi & 0x80000000U) != 0, shift = 0;
    float v;
    if (negative) {
        lo = ~lo + 1U;
        hi = ~hi + (lo == 0);
    }
    for (; hi != 0; hi >>= 1, shift++)
        lo = (hi & 1U) << 31 | lo >> 1 | (lo & 1U);
    for (v = (float)lo; shift > 0; shift--) v *= 2;
    return negative ? -v : v;
}

static float cgd__element(int dtype, const unsigned char *p)
{
    switch (dtype) {
    case CGD_F16:  return cgd__half_float(cgd__u16_at(p));
    case CGD_BF16: return cgd__bits_float(cgd__u16_at(p) << 16);
    case CGD_F64:  return cgd__double_float(cgd__u32_at(p + 4),
                                            cgd__u32_at(p));
    case CGD_I64:  return cgd__integer_float(cgd__u32_at(p + 4),
                                             cgd__u32_at(p));
    case CGD_I32:  return cgd__integer_float(p[3] & 128 ? 0xffffffffU : 0,
                                             cgd__u32_at(p));
    case CGD_U16:  return (float)cgd__u16_at(p);
    case CGD_I16:  return (float)((int)(cgd__u16_at(p) ^ 0x8000U) - 0x8000);
    case CGD_I8:   return (float)((p[0] ^ 0x80) - 0x80);
    case CGD_BOOL: return p[0] != 0;
    case CGD_U8:   return (float)p[0];
    default:       return cgd__bits_float(cgd__u32_at(p));
    }
}

/* ---- small tools ---------------------------------------------------------*/

/* Heap sort: in place, never quadratic, no library needed. */
static void cgd__swap(char *a, char *b, size_t size)
{
    for (; size > 0; size--, a++, b++) {
        char c = *a;
        *a = *b;
        *b = c;
    }
}

static void cgd__sort(void *base, size_t n, size_t size,
                      int (*before)(const void *a, const void *b))
{
    char *v = (char *)base;
    size_t start = n / 2, end = n, root, child;
    while (end > 1) {
        if (start > 0) start--;                     /* first build the heap, */
        else cgd__swap(v, v + --end * size, size);  /* then take its top off */
        for (root = start; (child = 2 * root + 1) < end; root = child) {
            if (child + 1 < end
                && before(v + child * size, v + (child + 1) * size)) child++;
            if (!before(v + root * size, v + child * size)) break;
            cgd__swap(v + root * size, v + child * size, size);
        }
    }
}

/* The block with room for need elements, moved and doubled where it must be;
 * NULL without memory, the block is then as it was. */
static void *cgd__grow(cgd_ctx *ctx, void *block, size_t *room, size_t need,
                       size_t size, const char *what)
{
    size_t wanted = cgd__max(need, 16);
    void *grown;
    if (need <= *room) return block;
    if (*room <= (size_t)-1 / 2) wanted = cgd__max(wanted, *room * 2);
    grown = cgd__alloc_zeroed(ctx, wanted, size, what);
    if (!grown) return NULL;
    if (block) memcpy(grown, block, *room * size);
    cgd__free(ctx, block, *room * size);
    *room = wanted;
    return grown;
}

/* A name from a file as it may stand in a message: short and printable. */
typedef struct cgd__shown { char text[64]; } cgd__shown;

static const char *cgd__show(cgd__shown *shown, const char *name)
{
    size_t i;
    for (i = 0; i < sizeof shown->text - 4 && name[i]; i++)
        shown->text[i] = (char)(name[i] < 32 || name[i] > 126 ? '?' : name[i]);
    shown->text[i] = 0;
    if (name[i]) memcpy(shown->text + i, "...", 4);
    return shown->text;
}

/* The length of the UTF-8 sequence that starts at s, in a text that ends in 0,
 * or 0 if there is none: overlong forms, surrogates and what lies beyond
 * Unicode are none. */
static size_t cgd__utf8_length(const char *s)
{
    const unsigned char *p = (const unsigned char *)s;
    size_t n = p[0] < 0x80 ? 1U : p[0] < 0xc2 ? 0U : p[0] < 0xe0 ? 2U
             : p[0] < 0xf0 ? 3U : p[0] < 0xf5 ? 4U : 0U, i;
    for (i = 1; i < n; i++)
        if ((p[i] & 0xc0) != 0x80) return 0;
    if (n == 3 && p[0] == 0xe0 && p[1] < 0xa0) return 0;
    if (n == 3 && p[0] == 0xed && p[1] > 0x9f) return 0;
    if (n == 4 && p[0] == 0xf0 && p[1] < 0x90) return 0;
    if (n == 4 && p[0] == 0xf4 && p[1] > 0x8f) return 0;
    return n;
}

/* The start of a decimal number up to `most`; NULL if there is none. */
static const char *cgd__decimal(const char *s, size_t most, size_t *number)
{
    size_t v = 0;
    const char *start = s;
    for (; *s >= '0' && *s <= '9'; s++) {
        size_t digit = (size_t)(*s - '0');
        if (v > most / 10 || v * 10 > most - digit) return NULL;
        v = v * 10 + digit;
    }
    *number = v;
    return s == start ? NULL : s;
}

/* The next number of a list and, where more follow, what stands between; NULL
 * if s is or there is none. */
static const char *cgd__list_number(const char *s, size_t most,
                                    size_t *number, int more, char between)
{
    if (s) s = cgd__decimal(s, most, number);
    return !s || !more ? s : *s == between ? s + 1 : NULL;
}

/* ---- the header's JSON ---------------------------------------------------*/
/* The grammar of a header is fixed and two levels deep, so the parser is a
 * function per level and no recursion: anything else is refused where it is
 * met. Strings are decoded where they stand, which never makes them longer. A
 * 0 behind the text, which no rule takes, ends it everywhere. */

typedef struct cgd__json {
    cgd_file *file;
    char *at;
    size_t data;                   /* where the tensors' bytes begin         */
    cgd_status status;             /* the first failure                      */
} cgd__json;

/* Keep the first failure, return 0. */
static int cgd__json_fail(cgd__json *p, const char *what)
{
    if (p->status == CGD_OK)
        p->status = cgd__fail(p->file->ctx, CGD_ERR_FORMAT,
            "%s: the header %s near byte %u", p->file->path, what,
            (size_t)(p->at - p->file->text) + 8);
    return 0;
}

/* The allocator has said what it was for. */
static int cgd__json_memory(cgd__json *p)
{
    p->status = CGD_ERR_MEMORY;
    return 0;
}

/* Refuse a tensor; what completes the sentence "tensor x ...". */
static int cgd__json_refuse(cgd__json *p, const char *name, const char *what)
{
    cgd__shown shown;
    if (p->status == CGD_OK)
        p->status = cgd__fail(p->file->ctx, CGD_ERR_FORMAT,
            "%s: tensor \"%s\" %s", p->file->path, cgd__show(&shown, name),
            what);
    return 0;
}

static void cgd__json_space(cgd__json *p)
{
    while (*p->at == ' ' || *p->at == '\n' || *p->at == '\r'
           || *p->at == '\t') p->at++;
}

/* Pass over c, if it is what comes next. */
static int cgd__json_next(cgd__json *p, char c)
{
    cgd__json_space(p);
    if (*p->at != c) return 0;
    p->at++;
    return 1;
}

static int cgd__json_expect(cgd__json *p, char c)
{
    return cgd__json_next(p, c)
        || cgd__json_fail(p, "is not what safetensors prescribes");
}

/* Four hexadecimal digits after \u; 0 for anything else, and for \u0000,
 * which would cut a name short. */
static cgd_u32 cgd__json_hex(cgd__json *p)
{
    static const char digits[] = "0123456789abcdef0123456789ABCDEF";
    cgd_u32 code = 0;
    int i;
    if (p->at[0] != '\\' || p->at[1] != 'u') return 0;
    for (i = 2; i < 6; i++) {
        const char *d = p->at[i] ? strchr(digits, p->at[i]) : NULL;
        if (!d) return 0;
        code = code << 4 | ((cgd_u32)(d - digits) & 15U);
    }
    p->at += 6;
    return code;
}

/* Six bits in each byte behind the first, which says how many there are. */
static char *cgd__put_utf8(char *to, cgd_u32 code)
{
    static const cgd_u32 first[] = { 0, 0xc0, 0xe0, 0xf0 };
    int more = code < 0x80 ? 0 : code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    *to++ = (char)(first[more] | code >> 6 * more);
    while (more-- > 0) *to++ = (char)(0x80U | (code >> 6 * more & 63U));
    return to;
}

/* Decode the escape at p->at to *to; 0 if it is none. */
static int cgd__json_escape(cgd__json *p, char **to)
{
    static const char from[] = "\"\\/bfnrt", into[] = "\"\\/\b\f\n\r\t";
    const char *found;
    cgd_u32 code, low;
    if (p->at[1] == 0) return 0;
    found = strchr(from, p->at[1]);
    if (found) {
        *(*to)++ = into[found - from];
        p->at += 2;
        return 1;
    }
    code = cgd__json_hex(p);
    if (code >= 0xd800U && code < 0xdc00U) {       /* half of a pair         */
        low = cgd__json_hex(p);
        if (low < 0xdc00U || low > 0xdfffU) return 0;
        code = 0x10000U + ((code - 0xd800U) << 10) + (low - 0xdc00U);
    } else if (code >= 0xdc00U && code <= 0xdfffU) {
        return 0;
    }
    if (code == 0) return 0;
    *to = cgd__put_utf8(*to, code);
    return 1;
}

static int cgd__json_string(cgd__json *p, const char **string)
{
    char *to;
    size_t n;
    if (!cgd__json_expect(p, '"')) return 0;
    *string = to = p->at;
    while ((unsigned char)*p->at >= 32) {
        if (*p->at == '"') {
            p->at++;
            *to = 0;
            return 1;
        }
        if (*p->at == '\\') {
            if (!cgd__json_escape(p, &to)) break;
            continue;
        }
        n = cgd__utf8_length(p->at);
        if (n == 0) break;
        for (; n > 0; n--) *to++ = *p->at++;
    }
    return cgd__json_fail(p, "holds a broken string");
}

/* The next key of an object and its colon: 1. At the end of the object, and
 * when anything has failed, 0. */
static int cgd__json_key(cgd__json *p, int first, const char **key)
{
    if (p->status != CGD_OK) return 0;
    if (first ? !cgd__json_expect(p, '{') || cgd__json_next(p, '}')
              : !cgd__json_next(p, ',') && cgd__json_expect(p, '}')) return 0;
    return p->status == CGD_OK && cgd__json_string(p, key)
        && cgd__json_expect(p, ':');
}

static int cgd__json_number(cgd__json *p, size_t *number)
{
    const char *end;
    cgd__json_space(p);
    end = cgd__decimal(p->at, (size_t)-1, number);
    if (!end && *p->at >= '0' && *p->at <= '9')
        return cgd__json_fail(p, "holds a number that is too large");
    if (!end || (*p->at == '0' && end - p->at > 1))
        return cgd__json_fail(p, "lacks a whole number");
    p->at += end - p->at;
    return 1;
}

/* A list of at most room numbers. */
static int cgd__json_list(cgd__json *p, size_t *numbers, size_t room,
                          size_t *count)
{
    *count = 0;
    if (!cgd__json_expect(p, '[')) return 0;
    if (cgd__json_next(p, ']')) return 1;
    do {
        if (*count == room) return cgd__json_fail(p, "has too long a list");
        if (!cgd__json_number(p, &numbers[(*count)++])) return 0;
    } while (cgd__json_next(p, ','));
    return cgd__json_expect(p, ']');
}

/* Shape, type and place must agree; begin and end count from here on from the
 * file's start. */
static int cgd__json_measure(cgd__json *p, cgd_file_tensor *t, size_t bytes)
{
    size_t i;
    for (i = 0; i < t->rank; i++)
        if (!cgd__mul(&bytes, bytes, t->shape[i]))
            return cgd__json_refuse(p, t->name, "is too large to be true");
    if (t->begin > t->end || t->end > p->file->source.size - p->data)
        return cgd__json_refuse(p, t->name, "lies outside the file's data");
    if (t->end - t->begin != bytes)
        return cgd__json_refuse(p, t->name,
                                "has a size that contradicts its shape");
    t->begin += p->data;
    t->end += p->data;
    return 1;
}

/* One entry: { "dtype": ..., "shape": [...], "data_offsets": [...] }. */
static int cgd__json_tensor(cgd__json *p, cgd_file_tensor *t)
{
    const struct cgd__dtype *dtype = NULL;
    const char *key, *word;
    int first, has_shape = 0, has_offsets = 0;
    size_t offsets[2], n = 0;
    for (first = 1; cgd__json_key(p, first, &key); first = 0) {
        if (!dtype && strcmp(key, "dtype") == 0) {
            if (!cgd__json_string(p, &word)) return 0;
            dtype = cgd__dtype_named(word);
            if (!dtype) return cgd__json_refuse(p, t->name,
                                                "has an unknown dtype");
        } else if (!has_shape && strcmp(key, "shape") == 0) {
            has_shape = cgd__json_list(p, t->shape, 8, &t->rank);
        } else if (!has_offsets && strcmp(key, "data_offsets") == 0) {
            has_offsets = cgd__json_list(p, offsets, 2, &n);
        } else {
            return cgd__json_refuse(p, t->name, "has a key it should not");
        }
    }
    if (p->status != CGD_OK) return 0;
    if (!dtype || !has_shape || n != 2)
        return cgd__json_refuse(p, t->name,
                                "lacks its dtype, shape or data_offsets");
    t->dtype = dtype->dtype;
    t->dtype_name = dtype->name;
    t->begin = offsets[0];
    t->end = offsets[1];
    return cgd__json_measure(p, t, dtype->width);
}

static int cgd__json_add_tensor(cgd__json *p, const char *name)
{
    cgd_file *file = p->file;
    cgd_file_tensor *t;
    void *grown = cgd__grow(file->ctx, file->tensors, &file->tensor_room,
                            file->n_tensors + 1, sizeof *file->tensors,
                            file->path);
    if (!grown) return cgd__json_memory(p);
    file->tensors = (cgd_file_tensor *)grown;
    t = &file->tensors[file->n_tensors];
    memset(t, 0, sizeof *t);
    t->name = name;
    if (!cgd__json_tensor(p, t)) return 0;
    file->n_tensors++;
    return 1;
}

/* { "key": "value", ... } */
static int cgd__json_metadata(cgd__json *p)
{
    cgd_file *file = p->file;
    const char **pair;
    if (file->meta) return cgd__json_fail(p, "has two sets of metadata");
    do {
        void *grown = cgd__grow(file->ctx, file->meta, &file->meta_room,
                                file->n_meta + 1, 2 * sizeof *file->meta,
                                file->path);
        if (!grown) return cgd__json_memory(p);
        file->meta = (const char **)grown;
        pair = file->meta + 2 * file->n_meta;
        if (!cgd__json_key(p, file->n_meta == 0, &pair[0]))
            return p->status == CGD_OK;
        file->n_meta++;
    } while (cgd__json_string(p, &pair[1]));
    return 0;
}

static int cgd__json_header(cgd__json *p)
{
    const char *name;
    int first;
    if (*p->at != '{') return cgd__json_fail(p, "does not begin with a brace");
    for (first = 1; cgd__json_key(p, first, &name); first = 0)
        if (strcmp(name, "__metadata__") == 0) cgd__json_metadata(p);
        else cgd__json_add_tensor(p, name);
    if (p->status != CGD_OK) return 0;
    cgd__json_space(p);
    return p->at == p->file->text + p->file->text_size - 1
        || cgd__json_fail(p, "goes on after its end");
}

/* ---- opening -------------------------------------------------------------*/

static int cgd__before_data(const void *a, const void *b)
{
    const cgd_file_tensor *s = (const cgd_file_tensor *)a;
    const cgd_file_tensor *t = (const cgd_file_tensor *)b;
    if (s->begin != t->begin) return s->begin < t->begin;
    if (s->end != t->end) return s->end < t->end;
    return strcmp(s->name, t->name) < 0;      /* empty tensors share a place */
}

static int cgd__before_name(const void *a, const void *b)
{
    return strcmp((*(const cgd_file_tensor *const *)a)->name,
                  (*(const cgd_file_tensor *const *)b)->name) < 0;
}

static int cgd__before_key(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b) < 0;
}

/* In the order of their data tensors must meet end to end: a hole could hide
 * something, an overlap would let a small file pose as a large one. */
static int cgd__json_places(cgd__json *p)
{
    cgd_file *file = p->file;
    size_t i, end = p->data;
    cgd__sort(file->tensors, file->n_tensors, sizeof *file->tensors,
              cgd__before_data);
    for (i = 0; i < file->n_tensors; i++) {
        const cgd_file_tensor *t = &file->tensors[i];
        if (t->begin < end)
            return cgd__json_refuse(p, t->name, "overlaps another one");
        if (t->begin > end)
            return cgd__json_refuse(p, t->name, "follows a gap in the data");
        end = t->end;
    }
    if (end == file->source.size) return 1;
    p->status = cgd__fail(file->ctx, CGD_ERR_FORMAT,
        "%s: %u bytes after the last tensor belong to none", file->path,
        file->source.size - end);
    return 0;
}

static int cgd__json_names(cgd__json *p)
{
    cgd_file *file = p->file;
    size_t i, n = file->n_tensors;
    if (n > 0) {
        file->by_name = (const cgd_file_tensor **)cgd__alloc_zeroed(
            file->ctx, n, sizeof *file->by_name, file->path);
        if (!file->by_name) return cgd__json_memory(p);
    }
    for (i = 0; i < n; i++) file->by_name[i] = &file->tensors[i];
    cgd__sort(file->by_name, n, sizeof *file->by_name, cgd__before_name);
    for (i = 1; i < n; i++)
        if (strcmp(file->by_name[i - 1]->name, file->by_name[i]->name) == 0)
            return cgd__json_refuse(p, file->by_name[i]->name,
                                    "occurs twice");
    cgd__sort(file->meta, file->n_meta, 2 * sizeof *file->meta,
              cgd__before_key);
    for (i = 1; i < file->n_meta; i++)
        if (strcmp(file->meta[2 * i - 2], file->meta[2 * i]) == 0)
            return cgd__json_fail(p, "repeats a key of the metadata");
    return 1;
}

static cgd_status cgd__file_bytes(const cgd_file *file, size_t offset,
                                  void *dst, size_t bytes)
{
    if (bytes == 0 || file->source.read(file->source.user, offset, dst, bytes))
        return CGD_OK;
    return cgd__fail(file->ctx, CGD_ERR_IO,
                     "%s: cannot read %u bytes at byte %u", file->path, bytes,
                     offset);
}

/* Bring the header's text into memory, and a 0 behind it. */
static cgd_status cgd__file_text(cgd_file *file)
{
    unsigned char head[8];
    cgd_status status;
    size_t n, room = file->source.size;
    if (room < 8)
        return cgd__fail(file->ctx, CGD_ERR_FORMAT,
            "%s is no safetensors file: it has %u bytes", file->path, room);
    status = cgd__file_bytes(file, 0, head, 8);
    if (status != CGD_OK) return status;
    n = cgd__u32_at(head);
    if (cgd__u32_at(head + 4) != 0            /* else a length of that byte  */
        && (memcmp(head, "PK\3\4", 4) == 0 || head[0] == 0x80))
        return cgd__fail(file->ctx, CGD_ERR_FORMAT,
            "%s is a file of PyTorch's: cgd import turns it into a model",
            file->path);
    if (cgd__u32_at(head + 4) != 0 || n > CGD__HEADER_LIMIT || n > room - 8
        || n == 0)
        return cgd__fail(file->ctx, CGD_ERR_FORMAT,
            "%s is no safetensors file, or was cut short: its header would "
            "not fit into its %u bytes", file->path, room);
    file->text = (char *)cgd__alloc_zeroed(file->ctx, n + 1, 1, file->path);
    if (!file->text) return CGD_ERR_MEMORY;
    file->text_size = n + 1;
    return cgd__file_bytes(file, 8, file->text, n);
}

CGDDEF cgd_status cgd_file_open_source(cgd_ctx *ctx, cgd_file *file,
                                const cgd_source *source, const char *label)
{
    cgd__json p;
    memset(file, 0, sizeof *file);
    file->ctx = ctx;
    file->source = *source;
    cgd__format(file->path, sizeof file->path, "%s", label);
    p.file = file;
    p.status = cgd__file_text(file);
    if (p.status == CGD_OK) {
        p.at = file->text;
        p.data = file->text_size + 7;          /* the length, less the 0     */
        if (cgd__json_header(&p) && cgd__json_places(&p)) cgd__json_names(&p);
    }
    if (p.status != CGD_OK) cgd_file_close(file);
    return p.status;
}

static int cgd__memory_read(void *user, size_t offset, void *dst,
                            size_t bytes)
{
    memcpy(dst, (const char *)user + offset, bytes);
    return 1;
}

CGDDEF cgd_status cgd_file_open_memory(cgd_ctx *ctx, cgd_file *file,
                                const void *bytes, size_t size,
                                const char *label)
{
    cgd_source source;
    source.read = cgd__memory_read;
    source.user = (void *)bytes;                       /* only ever read     */
    source.size = size;
    return cgd_file_open_source(ctx, file, &source, label);
}

#ifndef CGD_NO_STDIO
static int cgd__stdio_read(void *user, size_t offset, void *dst, size_t bytes)
{
    FILE *in = (FILE *)user;
    if (offset > (size_t)LONG_MAX) return 0;
    if (ftell(in) != (long)offset && fseek(in, (long)offset, SEEK_SET) != 0)
        return 0;
    return fread(dst, 1, bytes, in) == bytes;
}

CGDDEF cgd_status cgd_source_open(cgd_ctx *ctx, cgd_source *source,
                                  const char *path)
{
    long size;
    FILE *in = cgd_open_input(ctx, path);
    if (!in) return CGD_ERR_IO;
    size = fseek(in, 0, SEEK_END) == 0 ? ftell(in) : -1L;
    if (size < 0 || size == LONG_MAX) {        /* 2 GB, where long has 32 bit*/
        fclose(in);
        return cgd__fail(ctx, CGD_ERR_IO, "cannot read %s: it is too large",
                         path);
    }
    source->read = cgd__stdio_read;
    source->user = in;
    source->size = (size_t)size;
    return CGD_OK;
}

CGDDEF cgd_status cgd_file_open(cgd_ctx *ctx, cgd_file *file,
                                const char *path)
{
    cgd_source source;
    cgd_status status = cgd_source_open(ctx, &source, path);
    memset(file, 0, sizeof *file);
    if (status != CGD_OK) return status;
    return cgd_file_open_source(ctx, file, &source, path);
}
#endif

CGDDEF void cgd_file_close(cgd_file *file)
{
    cgd_ctx *ctx = file->ctx;
    if (!ctx) return;
    cgd__free(ctx, (void *)file->by_name,
              file->n_tensors * sizeof *file->by_name);
    cgd__free(ctx, (void *)file->meta,
              file->meta_room * 2 * sizeof *file->meta);
    cgd__free(ctx, file->tensors, file->tensor_room * sizeof *file->tensors);
    cgd__free(ctx, file->text, file->text_size);
#ifndef CGD_NO_STDIO
    if (file->source.read == cgd__stdio_read)
        fclose((FILE *)file->source.user);
#endif
    memset(file, 0, sizeof *file);
}

/* ---- looking up, reading -------------------------------------------------*/

static const char *cgd__nth_key(const cgd_file *file, size_t i)
{
    return file->meta[2 * i];
}

static const char *cgd__nth_name(const cgd_file *file, size_t i)
{
    return file->by_name[i]->name;
}

/* The index of a name in a sorted list of n; n: it is not there. */
static size_t cgd__search(const cgd_file *file, size_t n, const char *name,
                          const char *(*nth)(const cgd_file *, size_t))
{
    size_t low = 0, high = n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(name, nth(file, middle));
        if (order == 0) return middle;
        if (order < 0) high = middle;
        else low = middle + 1;
    }
    return n;
}

CGDDEF const char *cgd_file_meta(const cgd_file *file, const char *key)
{
    size_t i = cgd__search(file, file->n_meta, key, cgd__nth_key);
    return i < file->n_meta ? file->meta[2 * i + 1] : NULL;
}

CGDDEF const cgd_file_tensor *cgd_file_find(const cgd_file *file,
                                const char *name)
{
    size_t i = cgd__search(file, file->n_tensors, name, cgd__nth_name);
    return i < file->n_tensors ? file->by_name[i] : NULL;
}

static size_t cgd__elements(const cgd_file_tensor *t)
{
    size_t n = 1, i;
    for (i = 0; i < t->rank; i++) n *= t->shape[i];
    return n;
}

static int cgd__strided(const cgd_file_tensor *t)
{
    size_t i, any = 0;
    for (i = 0; i < t->rank; i++) any |= t->stride[i];
    return any != 0;
}

/* Where element number `index` in row-major order lies in the storage. */
static size_t cgd__stride_place(const cgd_file_tensor *t, size_t index)
{
    size_t at = 0, i;
    for (i = t->rank; i-- > 0; index /= t->shape[i])
        at += index % t->shape[i] * t->stride[i];
    return at;
}

/* cgd_file_read for a tensor that is no row-major block (PyTorch's files have
 * those): bring the rows of the first axis that matter into memory, whatever
 * lies between their elements, and gather. */
static cgd_status cgd__read_strided(const cgd_file *file,
                                    const cgd_file_tensor *t, size_t width,
                                    size_t first, size_t count, float *dst)
{
    size_t row = cgd__elements(t) / t->shape[0], from, span = 1, i;
    unsigned char *raw;
    cgd_status status;
    from = first / row * t->stride[0];
    for (i = 1; i < t->rank; i++) span += (t->shape[i] - 1) * t->stride[i];
    span += (first + count - 1) / row * t->stride[0] - from;
    raw = (unsigned char *)cgd__alloc_zeroed(file->ctx, span, width,
                                             "a strided tensor");
    if (!raw) return CGD_ERR_MEMORY;
    status = cgd__file_bytes(file, t->begin + from * width, raw,
                             span * width);
    for (i = 0; i < count && status == CGD_OK; i++)
        dst[i] = cgd__element(t->dtype, raw + width
            * (cgd__stride_place(t, first + i) - from));
    cgd__free(file->ctx, raw, span * width);
    return status;
}

CGDDEF cgd_status cgd_file_read_bytes(const cgd_file *file,
                                const cgd_file_tensor *t, size_t first,
                                size_t bytes, void *dst)
{
    cgd__shown shown;
    size_t room = t->end - t->begin;
    if (first > room || bytes > room - first)
        return cgd__fail(file->ctx, CGD_ERR_ARGUMENT,
            "%s: tensor \"%s\" has %u bytes; %u from byte %u were asked for",
            file->path, cgd__show(&shown, t->name), room, bytes, first);
    return cgd__file_bytes(file, t->begin + first, dst, bytes);
}

CGDDEF cgd_status cgd_file_read(const cgd_file *file,
                                const cgd_file_tensor *t, size_t first,
                                size_t count, float *dst)
{
    unsigned char raw[4096];
    cgd__shown shown;
    cgd_status status = CGD_OK;
    size_t elements = cgd__elements(t), width, n, i;
    if (t->dtype == CGD_OTHER)
        return cgd__fail(file->ctx, CGD_ERR_UNSUPPORTED,
            "%s: tensor \"%s\" has type %s, which is not read as numbers",
            file->path, cgd__show(&shown, t->name), t->dtype_name);
    if (first > elements || count > elements - first)
        return cgd__fail(file->ctx, CGD_ERR_ARGUMENT,
            "%s: tensor \"%s\" has %u values; %u from number %u were asked "
            "for", file->path, cgd__show(&shown, t->name), elements, count,
            first);
    if (count == 0) return CGD_OK;
    width = cgd__dtype_of(t->dtype)->width;
    if (cgd__strided(t))
        return cgd__read_strided(file, t, width, first, count, dst);
    if (t->dtype == CGD_F32 && cgd__little_endian())
        return cgd__file_bytes(file, t->begin + first * width, dst,
                               count * width);
    for (; count > 0 && status == CGD_OK; count -= n, first += n, dst += n) {
        n = cgd__min(count, sizeof raw / width);
        status = cgd__file_bytes(file, t->begin + first * width, raw,
                                 n * width);
        for (i = 0; i < n && status == CGD_OK; i++)
            dst[i] = cgd__element(t->dtype, raw + i * width);
    }
    return status;
}

/* ---- writing -------------------------------------------------------------*/
#ifndef CGD_NO_STDIO

enum { CGD__IN_META = 0, CGD__IN_TENSORS, CGD__IN_DATA };

CGDDEF void cgd_writer_init(cgd_ctx *ctx, cgd_writer *wr, const char *path)
{
    memset(wr, 0, sizeof *wr);
    wr->ctx = ctx;
    wr->status = cgd_output_open(ctx, &wr->out, path);
}

static void cgd__header_bytes(cgd_writer *wr, const char *text, size_t n)
{
    size_t start = wr->header_size ? wr->header_size : 8;  /* 8: the length  */
    void *grown;
    if (wr->status != CGD_OK) return;
    grown = cgd__grow(wr->ctx, wr->header, &wr->header_room, start + n, 1,
                      wr->out.path);
    if (!grown) {
        wr->status = CGD_ERR_MEMORY;
        return;
    }
    wr->header = (char *)grown;
    memcpy(wr->header + start, text, n);
    wr->header_size = start + n;
}

/* A short text in the words of cgd_format. */
static void cgd__header_text(cgd_writer *wr, const char *format, ...)
{
    char text[96];
    va_list args;
    va_start(args, format);
    cgd_format_list(text, sizeof text, format, args);
    va_end(args);
    cgd__header_bytes(wr, text, strlen(text));
}

/* A string in quotes. What is not UTF-8 (a file name may be anything) is
 * taken as Latin-1, so that the header is valid whatever it is given. */
static void cgd__header_string(cgd_writer *wr, const char *s)
{
    static const char digits[] = "0123456789abcdef";
    char code[] = "\\u0000";
    size_t n;
    cgd__header_text(wr, "\"");
    for (; *s; s += n ? n : 1) {
        unsigned char c = (unsigned char)*s;
        n = cgd__utf8_length(s);
        if (c < 32 || n == 0) {
            code[4] = digits[c >> 4];
            code[5] = digits[c & 15];
            cgd__header_text(wr, code);
            continue;
        }
        if (c == '"' || c == '\\') cgd__header_text(wr, "\\");
        cgd__header_bytes(wr, s, n);
    }
    cgd__header_text(wr, "\"");
}

/* Say that the calls came in a wrong order or with values that cannot be. */
static void cgd__writer_refuse(cgd_writer *wr, const char *what)
{
    if (wr->status == CGD_OK)
        wr->status = cgd__fail(wr->ctx, CGD_ERR_ARGUMENT,
                               "cannot write %s: %s", wr->out.path, what);
}

CGDDEF void cgd_writer_meta(cgd_writer *wr, const char *key,
                            const char *value)
{
    if (wr->stage != CGD__IN_META)
        cgd__writer_refuse(wr, "metadata come before tensors");
    cgd__header_text(wr, wr->header_size ? "," : "{\"__metadata__\":{");
    cgd__header_string(wr, key);
    cgd__header_text(wr, ":");
    cgd__header_string(wr, value);
}

CGDDEF void cgd_writer_tensor(cgd_writer *wr, const char *name, int dtype,
                              const size_t *shape, size_t rank)
{
    const struct cgd__dtype *type;
    size_t bytes, i, begin = wr->data_size;
    if (rank > 8 || dtype < 0 || dtype >= CGD_OTHER) {
        cgd__writer_refuse(wr, "a tensor has too many axes or no type");
        return;
    }
    type = cgd__dtype_of(dtype);
    if (wr->stage == CGD__IN_DATA)
        cgd__writer_refuse(wr, "tensors are declared before their data");
    cgd__header_text(wr, wr->stage == CGD__IN_TENSORS ? ","
                       : wr->header_size ? "}," : "{");
    wr->stage = CGD__IN_TENSORS;
    cgd__header_string(wr, name);
    cgd__header_text(wr, ":{\"dtype\":\"%s\",\"shape\":[", type->name);
    for (bytes = type->width, i = 0; i < rank; i++) {
        cgd__header_text(wr, i > 0 ? ",%u" : "%u", shape[i]);
        if (!cgd__mul(&bytes, bytes, shape[i]))
            cgd__writer_refuse(wr, "a tensor is too large");
    }
    if (!cgd__add(&wr->data_size, begin, bytes))
        cgd__writer_refuse(wr, "the tensors are too large");
    cgd__header_text(wr, "],\"data_offsets\":[%u,%u]}", begin,
                     wr->data_size);
}

static void cgd__writer_bytes(cgd_writer *wr, const void *data, size_t bytes)
{
    if (wr->status != CGD_OK) return;
    cgd_output_write(&wr->out, data, bytes);
    wr->status = wr->out.status;
}

CGDDEF void cgd_writer_begin(cgd_writer *wr)
{
    size_t n, i;
    if (wr->stage == CGD__IN_META) {                      /* no tensors     */
        cgd__header_text(wr, wr->header_size ? "}" : "{");
    } else if (wr->stage == CGD__IN_DATA) {
        cgd__writer_refuse(wr, "the data were begun twice");
    }
    cgd__header_text(wr, "}");
    while (wr->status == CGD_OK && wr->header_size % 64 != 0)
        cgd__header_text(wr, " ");                /* data start on a line    */
    wr->stage = CGD__IN_DATA;
    if (wr->status != CGD_OK) return;
    n = wr->header_size - 8;
    if (n > CGD__HEADER_LIMIT) cgd__writer_refuse(wr, "too many tensors");
    for (i = 0; i < 8; i++)
        wr->header[i] = (char)(unsigned char)(i < 4 ? n >> 8 * i & 255 : 0);
    cgd__writer_bytes(wr, wr->header, wr->header_size);
}

CGDDEF void cgd_writer_append(cgd_writer *wr, const void *data, size_t bytes)
{
    if (wr->stage != CGD__IN_DATA || bytes > wr->data_size - wr->data_written)
        cgd__writer_refuse(wr, "more data than were declared");
    cgd__writer_bytes(wr, data, bytes);
    if (wr->status == CGD_OK) wr->data_written += bytes;
}

CGDDEF void cgd_writer_append_f32(cgd_writer *wr, const float *data,
                                  size_t count)
{
    unsigned char raw[4096];
    size_t i, n;
    if (cgd__little_endian() && count <= (size_t)-1 / 4) {
        cgd_writer_append(wr, data, count * 4);
        return;
    }
    for (; count > 0 && wr->status == CGD_OK; count -= n, data += n) {
        n = cgd__min(count, sizeof raw / 4);
        for (i = 0; i < 4 * n; i++) {
            cgd_u32 bits;
            memcpy(&bits, &data[i / 4], 4);
            raw[i] = (unsigned char)(bits >> 8 * (i % 4) & 255U);
        }
        cgd_writer_append(wr, raw, 4 * n);
    }
}

CGDDEF cgd_status cgd_writer_end(cgd_writer *wr)
{
    if (wr->stage != CGD__IN_DATA || wr->data_written != wr->data_size)
        cgd__writer_refuse(wr, "less data than were declared");
    cgd__free(wr->ctx, wr->header, wr->header_room);
    wr->header = NULL;
    wr->out.status = wr->status;
    return wr->status = cgd_output_close(&wr->out);
}
#endif /* CGD_NO_STDIO */

/* ---- a net's tensors -----------------------------------------------------*/
/* Memory has (taps, a, b) where a file has (b, a, taps), for every kind:
 *   conv       (K, K, C, O)  <->  (O, C, K, K)    a = C, b = O
 *   deconv     (K, K, O, C)  <->  (C, O, K, K)    a = O, b = C
 *   depthwise  (K, K, C)     <->  (C, 1, K, K)    a = 1, b = C
 *   vectors    (C)           <->  (C)             a = 1, b = C, one tap */

typedef struct cgd__file_name { char text[288]; } cgd__file_name;

static const char *cgd__name_in(cgd__file_name *out, const char *prefix,
                                const char *name)
{
    cgd__format(out->text, sizeof out->text, "%s%s", prefix, name);
    return out->text;
}

/* Describe a part of a layer; 0 if the layer has no such part. The official
 * classes give a convolution before an instance norm a bias, which the norm
 * cancels: here it does not exist, in files it is zero and ignored. */
static int cgd__part_of(cgd_part *e, const cgd_layer *l, int kind)
{
    static const char *const leaf[] = { "weight", "bias", "weight", "bias",
                                        "running_mean", "running_var" };
    size_t k = l->window.kernel;
    int batch = l->norm == CGD_NORM_BATCH, weight = kind == CGD_PART_WEIGHT;
    int blur = l->kind == CGD_BLUR;
    if (kind == CGD_PART_BIAS ? batch || blur : kind > CGD_PART_BETA ? !batch
        : kind > CGD_PART_BIAS ? !cgd__norm_affine(l->norm) : 0) return 0;
    cgd__format(e->name, sizeof e->name, "%s.%s",
                kind < CGD_PART_GAMMA ? l->name : l->norm_name,
                blur ? "filt" : leaf[kind]);
    e->kind = kind;
    e->absent = kind == CGD_PART_BIAS && l->norm != CGD_NORM_NONE;
    e->at = weight ? l->w : kind == CGD_PART_BIAS ? l->b
          : kind == CGD_PART_GAMMA ? l->gamma : kind == CGD_PART_BETA
          ? l->beta : kind == CGD_PART_MEAN ? l->mean : l->var;
    e->taps = weight ? k * k : 1;
    e->a = !weight || l->kind >= CGD_DEPTHWISE ? 1
         : l->kind == CGD_CONV ? l->in_c : l->out_c;
    e->b = weight && l->kind == CGD_DECONV ? l->in_c : l->out_c;
    e->count = e->taps * e->a * e->b;
    e->rank = weight ? 4 : 1;
    e->shape[0] = e->b;
    e->shape[1] = e->a;
    e->shape[2] = e->shape[3] = k;
    return 1;
}

CGDDEF int cgd_net_part(const cgd_net *net, size_t *at, cgd_part *part)
{
    for (; *at < net->n_layers * CGD__PARTS; ++*at) {
        part->layer = *at / CGD__PARTS;
        if (!cgd__part_of(part, net->layers + part->layer,
                          (int)(*at % CGD__PARTS))) continue;
        ++*at;
        return 1;
    }
    return 0;
}

/* Put rows [first, first + n) of the file's b axis, n*a*taps values, where
 * they belong in memory. */
static void cgd__rows_scatter(float *values, const float *rows,
                              const cgd_part *e, size_t first, size_t n)
{
    size_t i, j, k;
    for (i = 0; i < n; i++)
        for (j = 0; j < e->a; j++)
            for (k = 0; k < e->taps; k++)
                values[e->at + (k * e->a + j) * e->b + first + i] = *rows++;
}

/* The reverse. What a file has and the net has not is zeros. */
static void cgd__rows_gather(float *rows, const float *values,
                             const cgd_part *e, size_t first, size_t n)
{
    size_t i, j, k;
    for (i = 0; i < n; i++)
        for (j = 0; j < e->a; j++)
            for (k = 0; k < e->taps; k++)
                *rows++ = e->absent ? 0
                    : values[e->at + (k * e->a + j) * e->b + first + i];
}

CGDDEF void cgd_part_get(const cgd_net *net, const cgd_part *part,
                         float *values)
{
    cgd__rows_gather(values, net->params, part, 0, part->b);
}

CGDDEF void cgd_part_set(cgd_net *net, const cgd_part *part,
                         const float *values)
{
    if (part->absent || cgd__net_writable(net) != CGD_OK) return;
    cgd__net_unpack(net);
    cgd__rows_scatter(net->params, values, part, 0, part->b);
}

/* A buffer for a row of every tensor, several of most; *room floats. */
static float *cgd__rows_alloc(const cgd_net *net, size_t *room)
{
    size_t i;
    for (*room = 16384, i = 0; i < net->n_layers; i++) {
        const cgd_layer *l = &net->layers[i];
        *room = cgd__max(*room, l->window.kernel * l->window.kernel
                                * cgd__max(l->in_c, l->out_c));
    }
    return (float *)cgd__alloc_zeroed(net->ctx, *room, sizeof(float),
                                      "a weights file");
}

/* ---- fitting a file to a net ---------------------------------------------*/

#define CGD__MISFITS 4096              /* enough to stop counting            */

/* What does not fit, as far as a message has room, and how much of it. */
typedef struct cgd__misfits {
    size_t count;
    cgd__text text;
    char room[800];
} cgd__misfits;

static void cgd__put_shape(cgd__text *t, const size_t *shape, size_t rank)
{
    size_t i;
    cgd__put(t, '(');
    for (i = 0; i < rank; i++) {
        if (i > 0) cgd__put_string(t, ", ");
        cgd__put_unsigned(t, shape[i]);
    }
    cgd__put(t, ')');
}

/* Begin to say what does not fit: words before and behind the name. */
static cgd__text *cgd__misfit(cgd__misfits *m, const char *before,
                              const char *name, const char *behind)
{
    cgd__shown shown;
    if (m->count++ == 0) {
        m->text.at = m->room;
        m->text.room = sizeof m->room;
    } else {
        cgd__put_string(&m->text, "; ");
    }
    cgd__put_string(&m->text, before);
    cgd__put_string(&m->text, cgd__show(&shown, name));
    cgd__put_string(&m->text, behind);
    return &m->text;
}

static int cgd__starts(const char *s, const char *prefix)
{
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

static void cgd__part_check(cgd__misfits *m, const cgd_part *e,
                            const cgd_file *file, const char *prefix)
{
    cgd__file_name name;
    const cgd_file_tensor *t = cgd_file_find(file,
                                   cgd__name_in(&name, prefix, e->name));
    cgd__text *text;
    size_t i;
    if (!t) {
        cgd__put_shape(cgd__misfit(m, "no ", name.text, " "), e->shape,
                       e->rank);
        return;
    }
    if (t->dtype == CGD_OTHER) {
        cgd__put_string(cgd__misfit(m, "", name.text, " has type "),
                        t->dtype_name);
        return;
    }
    for (i = 0; i < e->rank && i < t->rank; i++)
        if (t->shape[i] != e->shape[i]) break;
    if (i == e->rank && i == t->rank) return;
    text = cgd__misfit(m, "", name.text, " is ");
    cgd__put_shape(text, t->shape, t->rank);
    cgd__put_string(text, ", not ");
    cgd__put_shape(text, e->shape, e->rank);
}

/* Is there a place in the net for a tensor of this name, or a reason to pass
 * over it? Old files hold running statistics under instance norms too, and
 * PyTorch counts batches where nobody reads the count. */
static int cgd__net_knows(const cgd_net *net, const char *name)
{
    static const char *const stale[] = { "running_mean", "running_var",
                                         "num_batches_tracked" };
    size_t i;
    if (strcmp(name, "cgd.description") == 0) return 1;
    for (i = 0; i < net->n_layers; i++) {
        const cgd_layer *l = &net->layers[i];
        cgd_part e;
        int kind;
        for (kind = 0; kind < CGD__PARTS; kind++)
            if (cgd__part_of(&e, l, kind) && strcmp(e.name, name) == 0)
                return 1;
        for (kind = 0; l->norm && kind < 3; kind++) {
            cgd__format(e.name, sizeof e.name, "%s.%s", l->norm_name,
                        stale[kind]);
            if (strcmp(e.name, name) == 0) return 1;
        }
    }
    return 0;
}

/* Does the file hold the net, all of it and nothing else under the prefix?
 * Names everything that is missing, in the way or of another shape. */
static cgd_status cgd__net_fits(const cgd_net *net, const cgd_file *file,
                                const char *prefix)
{
    cgd__misfits m;
    cgd_part e;
    size_t i;
    m.count = 0;
    for (i = 0; cgd_net_part(net, &i, &e);)
        if (!e.absent) cgd__part_check(&m, &e, file, prefix);
    for (i = 0; i < file->n_tensors; i++) {
        const cgd_file_tensor *t = file->by_name[i];
        if (m.count == CGD__MISFITS) break;
        if (!cgd__starts(t->name, prefix)
            || cgd__net_knows(net, t->name + strlen(prefix))) continue;
        cgd__put_shape(cgd__misfit(&m, "unexpected ", t->name, " "), t->shape,
                       t->rank);
    }
    if (m.count == 0) return CGD_OK;
    *m.text.at = 0;
    return cgd__fail(net->ctx, CGD_ERR_SHAPE,
        "%s does not fit the net in %u place%s: %s%s", file->path, m.count,
        m.count == 1 ? "" : "s", m.room,
        m.text.room > 1 ? "" : " ... and so on");
}

/* Read a net's values, which cgd__net_fits has found to fit. */
static cgd_status cgd__net_fill(const cgd_net *net, const cgd_file *file,
                                const char *prefix, float *values)
{
    cgd_part e;
    cgd_status status = CGD_OK;
    size_t at, room;
    float *rows = cgd__rows_alloc(net, &room);
    if (!rows) return CGD_ERR_MEMORY;
    for (at = 0; status == CGD_OK && cgd_net_part(net, &at, &e);) {
        cgd__file_name name;
        const cgd_file_tensor *t = cgd_file_find(file,
                                       cgd__name_in(&name, prefix, e.name));
        size_t row = e.a * e.taps, i, n;
        for (i = 0; i < e.b && status == CGD_OK && !e.absent; i += n) {
            n = cgd__min(room / row, e.b - i);
            status = cgd_file_read(file, t, i * row, n * row, rows);
            if (status == CGD_OK && !cgd__finite(rows, n * row))
                status = cgd__fail(net->ctx, CGD_ERR_FORMAT,
                    "%s: %s holds values that are not finite numbers",
                    file->path, name.text);
            if (status == CGD_OK) cgd__rows_scatter(values, rows, &e, i, n);
        }
    }
    cgd__free(net->ctx, rows, room * sizeof *rows);
    return status;
}

CGDDEF cgd_status cgd_net_read(cgd_net *net, const cgd_file *file,
                               const char *prefix)
{
    cgd_status status = cgd__net_writable(net);
    if (status == CGD_OK) status = cgd__net_fits(net, file, prefix);
    if (status != CGD_OK) return status;
    cgd__net_unpack(net);
    return cgd__net_fill(net, file, prefix, net->params);
}

/* ---- architectures in words ----------------------------------------------*/

static const char *const cgd__norm_words[] = { "none", "instance",
                                               "instance_affine", "batch" };
static const char *const cgd__up_words[] = { "none", "nearest", "bilinear",
                                             "deconv" };
static const char *const cgd__block_words[] = { "plain", "separable" };
static const char *const cgd__disc_words[] = { "patch", "five", "pixel" };

/* A description being read: key=value words with blanks between them. bad is
 * the first key that was missing or made no sense. */
typedef struct cgd__words { const char *text, *bad; } cgd__words;

static const char *cgd__words_find(cgd__words *w, const char *key)
{
    const char *s = w->text;
    size_t n = strlen(key);
    while ((s = strchr(s, ' ')) != NULL)
        if (strncmp(++s, key, n) == 0 && s[n] == '=') return s + n + 1;
    if (!w->bad) w->bad = key;
    return NULL;
}

static int cgd__words_number(cgd__words *w, const char *key, size_t least,
                             size_t most)
{
    const char *s = cgd__words_find(w, key);
    size_t v = 0;
    if (s) s = cgd__decimal(s, most, &v);
    if ((!s || (*s && *s != ' ') || v < least) && !w->bad) w->bad = key;
    return (int)v;
}

static int cgd__words_choice(cgd__words *w, const char *key,
                             const char *const *words, int n)
{
    const char *s = cgd__words_find(w, key);
    int i;
    for (i = 0; s && i < n; i++) {
        size_t length = strlen(words[i]);
        if (strncmp(s, words[i], length) == 0
            && (s[length] == 0 || s[length] == ' ')) return i;
    }
    if (!w->bad) w->bad = key;
    return 0;
}

/* Beyond any use; what a net can be, [impl:architectures] knows better. */
#define CGD__MOST ((size_t)65536)

static void cgd__words_generator(cgd__words *w, cgd_generator_config *g)
{
    const char *s;
    size_t v, i;
    *g = cgd_generator_defaults();
    g->in_channels = cgd__words_number(w, "in", 1, CGD__MOST);
    g->out_channels = cgd__words_number(w, "out", 1, CGD__MOST);
    g->width = cgd__words_number(w, "width", 1, CGD__MOST);
    g->blocks = cgd__words_number(w, "blocks", 0, CGD__MOST);
    g->norm = cgd__words_choice(w, "norm", cgd__norm_words, 4);
    g->up = cgd__words_choice(w, "up", cgd__up_words, 4);
    g->block = cgd__words_choice(w, "block", cgd__block_words, 2);
    g->image_stats = cgd__words_number(w, "image_stats", 0, 1);
    s = cgd__words_find(w, "stage");
    for (i = 0; s && i < 6; i++) {
        s = cgd__list_number(s, CGD__MOST, &v, i < 5, ',');
        if (s) g->stage[i] = (int)v;
    }
    if (!s && !w->bad) w->bad = "stage";
    if (strstr(w->text, " zero_pad="))
        g->zero_pad = cgd__words_number(w, "zero_pad", 0, 1);
    if (strstr(w->text, " antialias="))
        g->antialias = cgd__words_number(w, "antialias", 0, 1);
    if (!strstr(w->text, " inside=")) return;
    s = cgd__words_find(w, "inside");
    for (i = 0; s && i < (size_t)g->blocks && i < CGD_MAX_BLOCKS; i++) {
        s = cgd__list_number(s, 16384, &v, i + 1 < (size_t)g->blocks, ',');
        if (s && (int)v != g->stage[3]) g->inside[i] = (unsigned short)v;
    }
    if (!s && !w->bad) w->bad = "inside";
}

static void cgd__words_discriminator(cgd__words *w,
                                     cgd_discriminator_config *d)
{
    *d = cgd_discriminator_defaults();
    d->kind = cgd__words_choice(w, "kind", cgd__disc_words, 3);
    d->in_channels = cgd__words_number(w, "in", 1, CGD__MOST);
    d->width = cgd__words_number(w, "width", 1, CGD__MOST);
    d->layers = cgd__words_number(w, "layers", 0, CGD__MOST);
    d->norm = cgd__words_choice(w, "norm", cgd__norm_words, 4);
}

/* The channels inside each block, where the blocks differ. */
static void cgd__describe_inside(char *text, const cgd_generator_config *g,
                                 size_t same)
{
    size_t n = strlen(text), inside;
    cgd__text t;
    int i, differ = 0;
    for (i = 0; i < g->blocks; i++)
        differ |= g->inside[i] && g->inside[i] != same;
    if (!differ) return;
    t.at = text + n;
    t.room = CGD_DESCRIPTION_ROOM - n;
    for (i = 0; i < g->blocks; i++) {
        inside = g->inside[i] ? g->inside[i] : same;
        cgd__put_string(&t, i ? "," : " inside=");
        cgd__put_unsigned(&t, inside);
    }
    *t.at = 0;
}

CGDDEF int cgd_net_describe(const cgd_net *net,
                            char text[CGD_DESCRIPTION_ROOM])
{
    const cgd_generator_config *g = &net->generator;
    const cgd_discriminator_config *c = &net->discriminator;
    size_t s[6];
    text[0] = 0;
    if (net->is_generator) {
        cgd__stages(g, s);
        cgd__format(text, CGD_DESCRIPTION_ROOM,
            "generator in=%d out=%d width=%d "
            "blocks=%d norm=%s up=%s block=%s image_stats=%d "
            "stage=%u,%u,%u,%u,%u,%u", g->in_channels, g->out_channels,
            g->width, g->blocks, cgd__norm_words[g->norm],
            cgd__up_words[g->up], cgd__block_words[g->block],
            net->image_stats != 0, s[0], s[1], s[2], s[3], s[4], s[5]);
        cgd__format(text + strlen(text), CGD_DESCRIPTION_ROOM - strlen(text),
                    "%s%s", g->zero_pad ? " zero_pad=1" : "",
                    g->antialias ? " antialias=1" : "");
        cgd__describe_inside(text, g, s[3]);
        return 1;
    }
    if (c->in_channels == 0) return 0;
    cgd__format(text, CGD_DESCRIPTION_ROOM,
        "discriminator kind=%s in=%d width=%d "
        "layers=%d norm=%s", cgd__disc_words[c->kind], c->in_channels,
        c->width, c->layers, cgd__norm_words[c->norm]);
    return 1;
}

/* ---- loading a net -------------------------------------------------------*/

/* Widths that follow from the first are left to it. */
static void cgd__stages_tidy(cgd_generator_config *g)
{
    cgd_generator_config plain = *g;
    size_t from_width[6], as_given[6];
    memset(plain.stage, 0, sizeof plain.stage);
    cgd__stages(&plain, from_width);
    cgd__stages(g, as_given);
    if (memcmp(from_width, as_given, sizeof as_given) == 0) *g = plain;
}

/* Build the net that a description names, once the file has been held against
 * its plan: what fits cannot ask for more than the file contains. */
static cgd_status cgd__load_described(cgd_ctx *ctx, cgd_net *net,
                                      const char *text, const cgd_file *file,
                                      const char *prefix)
{
    cgd_generator_config g;
    cgd_discriminator_config d;
    cgd__words words;
    cgd__shown shown;
    cgd__builder b;
    cgd_net plan;
    cgd_status status;
    int generator = cgd__starts(text, "generator ");
    words.text = text;
    words.bad = NULL;
    if (generator) cgd__words_generator(&words, &g);
    else if (cgd__starts(text, "discriminator "))
        cgd__words_discriminator(&words, &d);
    else words.bad = "kind of net";
    if (words.bad)
        return cgd__fail(ctx, CGD_ERR_FORMAT,
            "%s describes a net without a sensible %s: \"%s\"", file->path,
            words.bad, cgd__show(&shown, text));
    status = cgd__build(ctx, &b, generator ? &g : NULL, &d, file->path);
    if (status != CGD_OK) return status;
    memset(&plan, 0, sizeof plan);
    plan.ctx = ctx;
    plan.layers = b.layers;
    plan.n_layers = b.count;
    status = cgd__net_fits(&plan, file, prefix);
    cgd__builder_free(ctx, &b);
    if (status != CGD_OK) return status;
    if (!generator) return cgd_discriminator_init(ctx, net, &d);
    cgd__stages_tidy(&g);
    return cgd_generator_init(ctx, net, &g);
}

enum { CGD__SAID_ROOM = CGD_DESCRIPTION_ROOM + 128 };

/* What a file says of a net: metadata, or else the characters of a tensor
 * "cgd.description", "cgd.net" and "cgd.range" in two lines, of any type. The
 * text may be in room; NULL: metadata alone. */
static const char *cgd__file_says(const cgd_file *file, const char *prefix,
                                  const char *key, char room[CGD__SAID_ROOM])
{
    cgd__file_name name;
    const char *text = cgd_file_meta(file, cgd__name_in(&name, prefix, key));
    const cgd_file_tensor *t = cgd_file_find(file, cgd__name_in(&name, prefix,
                                                        "cgd.description"));
    size_t i;
    char *line;
    float v;
    if (text || !room || !t || t->rank != 1 || t->shape[0] >= CGD__SAID_ROOM)
        return text;
    for (i = 0; i < t->shape[0]; i++) {
        if (cgd_file_read(file, t, i, 1, &v) != CGD_OK || !(v > 0 && v < 127))
            return NULL;
        room[i] = (char)v;
    }
    room[i] = 0;
    line = strchr(room, '\n');
    if (line) *line++ = 0;
    return strcmp(key, "cgd.net") == 0 ? room : line;
}

/* The "cgd.range" of a net or of packed pictures: lo, hi and white of both
 * ranges. 0 if there are none, or none that make sense. */
static int cgd__range_read(const cgd_file *file, const char *prefix,
                           cgd_range range[2], char *room)
{
    const char *text = cgd__file_says(file, prefix, "cgd.range", room);
    int i, good = 1;
    for (i = 0; text && i < 2; i++) {
        range[i].lo = (float)cgd__parse_float(text, &text);
        range[i].hi = (float)cgd__parse_float(text, &text);
        range[i].white = (float)cgd__parse_float(text, &text);
        good &= range[i].lo <= range[i].hi && range[i].lo >= -FLT_MAX
             && range[i].hi <= FLT_MAX && (range[i].white == 0
             || range[i].white == 255 || range[i].white == 65535.0f);
    }
    return text && good;
}

CGDDEF cgd_status cgd_net_load(cgd_ctx *ctx, cgd_net *net,
                               const cgd_file *file, const char *prefix)
{
    cgd_range range[2];
    cgd_status status;
    const char *text, *kind = cgd_file_meta(file, "cgd.kind");
    char room[CGD__SAID_ROOM];
    cgd__file_name key;
    memset(net, 0, sizeof *net);
    text = cgd__file_says(file, prefix, "cgd.net", room);
    if (!text && kind && !*prefix && strcmp(kind, "state") == 0)
        return cgd__fail(ctx, CGD_ERR_FORMAT,
            "%s is a training state, not a model: use the generator saved "
            "beside it, such as g_ab.safetensors", file->path);
    if (!text)
        return cgd__fail(ctx, CGD_ERR_FORMAT,
            "%s does not say what net it holds (%s is not in its metadata, "
            "which Python keeps only when told to): cgd import finds it out",
            file->path, cgd__name_in(&key, prefix, "cgd.net"));
    status = cgd__load_described(ctx, net, text, file, prefix);
    if (status == CGD_OK)
        status = cgd__net_fill(net, file, prefix, net->params);
    if (status == CGD_OK && cgd__range_read(file, prefix, range, room))
        memcpy(net->generator.range, range, sizeof range);
    if (status != CGD_OK) cgd_net_free(net);
    return status;
}

/* ---- saving a net --------------------------------------------------------*/
#ifndef CGD_NO_STDIO

/* Written where it says more than that samples are bytes. */
CGDDEF void cgd_writer_range(cgd_writer *wr, const cgd_range range[2],
                             const char *prefix)
{
    cgd__file_name key;
    char text[120];
    int i, plain = 1;
    for (i = 0; i < 2; i++)
        plain &= range[i].lo == range[i].hi
              && (range[i].white == 0 || range[i].white == 255);
    if (plain) return;
    cgd__format(text, sizeof text, "%f %f %f %f %f %f", (double)range[0].lo,
                (double)range[0].hi, (double)range[0].white,
                (double)range[1].lo, (double)range[1].hi,
                (double)range[1].white);
    cgd_writer_meta(wr, cgd__name_in(&key, prefix, "cgd.range"), text);
}

CGDDEF void cgd_writer_describe(cgd_writer *wr, const cgd_net *net,
                                const char *prefix)
{
    cgd__file_name key;
    char text[CGD_DESCRIPTION_ROOM];
    if (cgd_net_describe(net, text))
        cgd_writer_meta(wr, cgd__name_in(&key, prefix, "cgd.net"), text);
    if (net->is_generator) cgd_writer_range(wr, net->generator.range, prefix);
}

static void cgd__net_declare(cgd_writer *wr, const cgd_net *net,
                             const char *prefix)
{
    cgd_part e;
    size_t at = 0;
    cgd__file_name name;
    while (cgd_net_part(net, &at, &e))
        cgd_writer_tensor(wr, cgd__name_in(&name, prefix, e.name), CGD_F32,
                          e.shape, e.rank);
}

/* Append weights, unless some are none: no file of ours holds such values. */
static void cgd__append_finite(cgd_writer *wr, const float *v, size_t n)
{
    if (wr->status == CGD_OK && !cgd__finite(v, n))
        wr->status = cgd__fail(wr->ctx, CGD_ERR_FORMAT,
            "%s is not written: it would hold values that are not finite "
            "numbers", wr->out.path);
    cgd_writer_append_f32(wr, v, n);
}

static void cgd__net_append(cgd_writer *wr, const cgd_net *net,
                            const float *values)
{
    cgd_part e;
    size_t at = 0, j, n, row, room;
    float *rows = cgd__rows_alloc(net, &room);
    if (!rows && wr->status == CGD_OK) wr->status = CGD_ERR_MEMORY;
    while (rows && cgd_net_part(net, &at, &e)) {
        row = e.a * e.taps;
        for (j = 0; j < e.b; j += n) {
            n = cgd__min(room / row, e.b - j);
            cgd__rows_gather(rows, values, &e, j, n);
            cgd__append_finite(wr, rows, n * row);
        }
    }
    cgd__free(net->ctx, rows, room * sizeof *rows);
}

CGDDEF cgd_status cgd_net_save(const cgd_net *net, const float *values,
                               const char *path)
{
    cgd_writer wr;
    cgd_writer_init(net->ctx, &wr, path);
    cgd_writer_describe(&wr, net, "");
    cgd__net_declare(&wr, net, "");
    cgd_writer_begin(&wr);
    cgd__net_append(&wr, net, values ? values : net->params);
    return cgd_writer_end(&wr);
}

/* ---- training states -----------------------------------------------------*/
#ifndef CGD_NO_TRAIN

/* What a state holds, in the order of the file: of each learner (four nets,
 * some of which may be absent, then the adaptors of a distillation) the net,
 * the average of its weights and Adam's two moments; then the image pools.
 * Saving, checking and loading are walks over this list. */
enum { CGD__KEPT_NET = 0, CGD__KEPT_EMA, CGD__KEPT_M, CGD__KEPT_V,
       CGD__KEPT_POOL };

typedef struct cgd__kept {
    int kind;
    const cgd_learner *l;          /* whose it is; NULL: a pool's            */
    const cgd_pool *pool;
    float *values;                 /* NULL: a net that is absent             */
    size_t rank, shape[2];         /* of a vector or a pool; a net's rank: 0 */
    char name[64];                 /* of the tensor; a net's is a prefix     */
} cgd__kept;

/* Step through the list as cgd_net_part does through a net. */
static int cgd__state_next(const cgd_trainer *t, int *at, cgd__kept *e)
{
    static const char *const nets[4] = { "g_ab.", "g_ba.", "d_b.", "d_a." };
    static const char *const names[4] = { "%s", "ema.%s", "adam.%sm",
                                          "adam.%sv" };
    int learners = 4 + (int)t->n_adaptors;
    while (*at < 4 * learners + 2) {
        int i = *at / 4;
        char adaptor[32];
        e->kind = (*at)++ % 4;
        if (i == learners) {
            e->l = NULL;
            e->pool = &t->side[e->kind].pool;
            e->values = e->pool->data;
            e->rank = 2;
            e->shape[0] = e->pool->filled;
            e->shape[1] = e->pool->picture;
            cgd__format(e->name, sizeof e->name, "pool.%d", e->kind);
            e->kind = CGD__KEPT_POOL;
            return 1;
        }
        e->l = i < 2 ? &t->side[i].g : i < 4 ? &t->side[i - 2].d
                                             : t->adaptors + (i - 4);
        e->values = e->kind == CGD__KEPT_NET ? e->l->net.params
                  : e->kind == CGD__KEPT_EMA ? e->l->ema
                  : e->kind == CGD__KEPT_M ? e->l->m : e->l->v;
        if (!e->values && e->kind != CGD__KEPT_NET) continue;
        e->rank = e->kind >= CGD__KEPT_M;
        e->shape[0] = e->l->net.count;
        e->shape[1] = 1;
        cgd__format(adaptor, sizeof adaptor, "adaptor.%d.", i - 4);
        cgd__format(e->name, sizeof e->name, names[e->kind],
                    i < 4 ? nets[i] : adaptor);
        return 1;
    }
    return 0;
}

/* Numbers with blanks between them. */
static void cgd__put_numbers(char *out, size_t room, const cgd_u32 *v, int n)
{
    cgd__text t;
    int i;
    t.at = out;
    t.room = room;
    for (i = 0; i < n; i++) {
        if (i > 0) cgd__put(&t, ' ');
        cgd__put_unsigned(&t, (size_t)v[i]);
    }
    *t.at = 0;
}

/* The same read: 1 if text (or NULL) is n such numbers and nothing else. */
static int cgd__numbers(const char *text, cgd_u32 *v, int n)
{
    size_t number = 0;
    int i;
    for (i = 0; i < n && text; i++) {
        text = cgd__list_number(text, 0xffffffffU, &number, i < n - 1, ' ');
        v[i] = (cgd_u32)number;
    }
    return text && *text == 0;
}

/* more: further keys and values, NULL behind them. */
static void cgd__state_meta(cgd_writer *wr, const cgd_trainer *t,
                            const char *const *more)
{
    char text[64];
    cgd__kept e;
    int at = 0;
    cgd_writer_meta(wr, "cgd.kind", "state");
    cgd_writer_meta(wr, "cgd.version", CGD_VERSION);
    cgd__format(text, sizeof text, "%u", (size_t)t->step);
    cgd_writer_meta(wr, "cgd.step", text);
    cgd__put_numbers(text, sizeof text, t->rng.s, 4);
    cgd_writer_meta(wr, "cgd.rng", text);
    if (cgd__distils(t))
        cgd_writer_meta(wr, "cgd.direction",
                        t->config.direction ? "ba" : "ab");
    for (; *more; more += 2) cgd_writer_meta(wr, more[0], more[1]);
    while (cgd__state_next(t, &at, &e))
        if (e.values && e.rank == 0)
            cgd_writer_describe(wr, &e.l->net, e.name);
}

/* keep: NULL, or the name that the state before gets. */
static cgd_status cgd__state_save(const cgd_trainer *t, const char *path,
                                  const char *keep, const char *const *more)
{
    cgd_writer wr;
    cgd__kept e;
    int at;
    cgd_writer_init(t->ctx, &wr, path);
    wr.out.keep = keep;
    cgd__state_meta(&wr, t, more);
    for (at = 0; cgd__state_next(t, &at, &e);) {
        if (!e.values) continue;
        if (e.rank == 0) cgd__net_declare(&wr, &e.l->net, e.name);
        else if (e.shape[0] > 0)
            cgd_writer_tensor(&wr, e.name, CGD_F32, e.shape, e.rank);
    }
    cgd_writer_begin(&wr);
    for (at = 0; cgd__state_next(t, &at, &e);) {
        if (!e.values) continue;
        if (e.rank == 0) cgd__net_append(&wr, &e.l->net, e.values);
        else cgd__append_finite(&wr, e.values, e.shape[0] * e.shape[1]);
    }
    return cgd_writer_end(&wr);
}

CGDDEF cgd_status cgd_trainer_save(const cgd_trainer *t, const char *path)
{
    const char *nothing = NULL;
    return cgd__state_save(t, path, NULL, &nothing);
}

/* Find where two descriptions differ first, and cut both to that word.
 * image_stats changes how a net is used, not what it is. */
static int cgd__words_differ(cgd__shown *a, cgd__shown *b, const char *s,
                             const char *t)
{
    for (;;) {
        size_t n = strcspn(s, " "), m = strcspn(t, " ");
        if ((n != m || memcmp(s, t, n) != 0)
            && !cgd__starts(s, "image_stats=")) {
            cgd__show(a, s);
            cgd__show(b, t);
            a->text[strcspn(a->text, " ")] = 0;
            b->text[strcspn(b->text, " ")] = 0;
            return 1;
        }
        if (s[n] == 0 && t[m] == 0) return 0;
        s += n + (s[n] != 0);
        t += m + (t[m] != 0);
    }
}

static int cgd__has_net(const cgd_file *file, const char *prefix)
{
    size_t i;
    for (i = 0; i < file->n_tensors; i++)
        if (cgd__starts(file->tensors[i].name, prefix)) return 1;
    return 0;
}

static cgd_status cgd__learner_check(const cgd_net *net, const char *prefix,
                                     const cgd_file *file)
{
    char words[CGD_DESCRIPTION_ROOM];
    cgd__file_name key;
    const char *text;
    cgd__shown theirs, ours;
    int here = net->layers != NULL, there = cgd__has_net(file, prefix);
    if (!here && !there) return CGD_OK;
    if (!here || !there)
        return cgd__fail(file->ctx, CGD_ERR_SHAPE,
            "%s %s a net %s, this training %s", file->path,
            there ? "holds" : "lacks", prefix, here ? "needs it" : "does not");
    text = cgd_file_meta(file, cgd__name_in(&key, prefix, "cgd.net"));
    if (text && cgd_net_describe(net, words)
        && cgd__words_differ(&theirs, &ours, text, words))
        return cgd__fail(file->ctx, CGD_ERR_SHAPE,
            "%s: its net %s has %s where this training's has %s", file->path,
            prefix, theirs.text, ours.text);
    return cgd__net_fits(net, file, prefix);
}

/* A pool may be shorter in the file, or not there; a net's average, too. */
static cgd_status cgd__kept_check(const cgd__kept *e, const cgd_file *file)
{
    const cgd_file_tensor *v = cgd_file_find(file, e->name);
    int pool = e->kind == CGD__KEPT_POOL;
    if (e->kind == CGD__KEPT_NET)
        return cgd__learner_check(&e->l->net, e->name, file);
    if (e->kind == CGD__KEPT_EMA)
        return cgd__has_net(file, e->name)
             ? cgd__net_fits(&e->l->net, file, e->name) : CGD_OK;
    if (pool && (!v || e->pool->capacity == 0)) return CGD_OK;
    if (pool && (v->rank != 2 || v->dtype == CGD_OTHER))
        return cgd__fail(file->ctx, CGD_ERR_FORMAT,
            "%s: %s is not a list of pictures", file->path, v->name);
    if (pool && v->shape[1] != e->pool->picture)
        return cgd__fail(file->ctx, CGD_ERR_SHAPE,
            "%s holds pictures of %u values, this training's have %u: it goes "
            "on only at the size it was begun with", file->path, v->shape[1],
            e->pool->picture);
    if (pool || (v && v->rank == 1 && v->shape[0] == e->shape[0]
                 && v->dtype != CGD_OTHER)) return CGD_OK;
    return cgd__fail(file->ctx, CGD_ERR_SHAPE,
        "%s does not hold %s as %u numbers, as this training needs it",
        file->path, e->name, e->shape[0]);
}

/* What is not a tensor. */
typedef struct cgd__reached { size_t step; cgd_rng rng; } cgd__reached;

static cgd_status cgd__reached_parse(cgd__reached *p, const cgd_file *file)
{
    const char *step = cgd_file_meta(file, "cgd.step");
    const char *rng = cgd_file_meta(file, "cgd.rng");
    const cgd_u32 *s = p->rng.s;
    if (step) step = cgd__decimal(step, (size_t)(ULONG_MAX < (size_t)-1
                                         ? ULONG_MAX : (size_t)-1), &p->step);
    if (!step || *step || !cgd__numbers(rng, p->rng.s, 4)
        || !(s[0] | s[1] | s[2] | s[3]))
        return cgd__fail(file->ctx, CGD_ERR_FORMAT,
            "%s: the state lacks a sensible %s", file->path,
            !step || *step ? "cgd.step" : "cgd.rng");
    return CGD_OK;
}

/* Everything that can be found out before anything is changed, but for one: a
 * student that is cut as it learns gets the shape that it had, and what it was
 * so far goes to spare. */
static cgd_status cgd__state_check(cgd_trainer *t, const cgd_file *file,
                                   cgd__reached *progress, cgd_learner *spare)
{
    const char *kind = cgd_file_meta(file, "cgd.kind");
    const char *theirs = cgd_file_meta(file, "cgd.direction");
    const char *ours = !cgd__distils(t) ? NULL
                     : t->config.direction ? "ba" : "ab";
    cgd__shown shown;
    cgd__kept e;
    cgd_status status;
    int at = 0;
    if (!kind || strcmp(kind, "state") != 0)
        return cgd__fail(t->ctx, CGD_ERR_FORMAT,
                         "%s is not a training state", file->path);
    if (!theirs != !ours || (ours && strcmp(ours, theirs) != 0))
        return cgd__fail(t->ctx, CGD_ERR_SHAPE,
            "%s is the state of a %s %s, this one is a %s %s", file->path,
            theirs ? "distillation" : "training",
            theirs ? cgd__show(&shown, theirs) : "from scratch",
            ours ? "distillation" : "training", ours ? ours : "from scratch");
    status = cgd__reached_parse(progress, file);
    if (status == CGD_OK && cgd__distils(t) && t->config.cuts > 1) {
        unsigned long step = (unsigned long)progress->step;
        status = cgd__student_init(t, step - (step > 0), spare);
        if (status == CGD_OK) {
            cgd__student_swap(t, spare);
            status = cgd__step_ready(t);
        }
    }
    while (status == CGD_OK && cgd__state_next(t, &at, &e))
        status = cgd__kept_check(&e, file);
    return status;
}

/* Read what cgd__kept_check has passed, which may still be no numbers. */
static cgd_status cgd__kept_read(const cgd__kept *e, const cgd_file *file)
{
    size_t n = e->shape[0] * e->shape[1], i;
    cgd_status status;
    if (!e->values || n == 0) return CGD_OK;
    if (e->kind == CGD__KEPT_EMA && !cgd__has_net(file, e->name)) {
        /* The average is new: it starts from the weights as they are now. */
        memcpy(e->values, e->l->net.params,
               e->l->net.state * sizeof *e->values);
        return CGD_OK;
    }
    if (e->rank == 0)
        return cgd__net_fill(&e->l->net, file, e->name, e->values);
    status = cgd_file_read(file, cgd_file_find(file, e->name), 0, n,
                           e->values);
    if (status == CGD_OK && !cgd__finite(e->values, n))
        return cgd__fail(file->ctx, CGD_ERR_FORMAT,
            "%s: %s holds values that are not finite numbers", file->path,
            e->name);
    for (i = 0; i < n && status == CGD_OK && e->kind == CGD__KEPT_V; i++)
        if (e->values[i] < 0)
            status = cgd__fail(file->ctx, CGD_ERR_FORMAT,
                "%s: %s, a mean of squares, holds a negative number",
                file->path, e->name);
    return status;
}

static cgd_status cgd__state_load(cgd_trainer *t, const cgd_file *file)
{
    cgd__reached progress;
    cgd_learner spare;
    cgd__kept e;
    cgd_status status;
    int at;
    memset(&progress, 0, sizeof progress);
    memset(&spare, 0, sizeof spare);
    status = cgd__state_check(t, file, &progress, &spare);
    if (status != CGD_OK && cgd__exists(&spare)) cgd__student_swap(t, &spare);
    cgd__learner_free(&spare);
    for (at = 0; at < 2 && status == CGD_OK; at++) {
        cgd_pool *pool = &t->side[at].pool;
        const cgd_file_tensor *v = cgd_file_find(file, at ? "pool.1"
                                                          : "pool.0");
        pool->filled = v ? cgd__min(v->shape[0], pool->capacity) : 0;
    }
    for (at = 0; status == CGD_OK && cgd__state_next(t, &at, &e);)
        status = cgd__kept_read(&e, file);
    if (status == CGD_OK) {
        t->step = (unsigned long)progress.step;
        t->rng = progress.rng;
    }
    return status;
}

CGDDEF cgd_status cgd_trainer_load(cgd_trainer *t, const char *path)
{
    cgd_file file;
    cgd_status status = cgd_file_open(t->ctx, &file, path);
    if (status == CGD_OK) status = cgd__state_load(t, &file);
    cgd_file_close(&file);
    return status;
}
#endif /* CGD_NO_TRAIN */
#endif /* CGD_NO_STDIO */

/* ======================================================================== */
/* [impl:freeze] Frozen statistics, folded norms                            */
/* ======================================================================== */
/* Turns a net into one without norms. Calls [impl:base], [impl:nets] and
 * [impl:passes]. */

/* A net of the same layers but for their norms, all of which become `norm`;
 * its parameters are zero. */
static cgd_status cgd__net_renorm(cgd_ctx *ctx, cgd_net *out,
                                  const cgd_net *net, int norm)
{
    size_t bytes = net->n_layers * sizeof(cgd_layer), i;
    cgd_layer *layers = (cgd_layer *)cgd__alloc(ctx, bytes);
    cgd_status status;
    memset(out, 0, sizeof *out);
    if (!layers)
        return cgd__fail(ctx, CGD_ERR_MEMORY, "out of memory: a net");
    memcpy(layers, net->layers, bytes);
    for (i = 0; i < net->n_layers; i++)
        if (layers[i].norm) layers[i].norm = norm;
    status = cgd_net_init(ctx, out, layers, net->n_layers);
    cgd__free(ctx, layers, bytes);
    if (status != CGD_OK) return status;
    out->image_stats = 0;
    out->is_generator = net->is_generator;
    out->generator = net->generator;
    out->generator.image_stats = 0;
    if (out->generator.norm) out->generator.norm = norm;
    out->discriminator = net->discriminator;
    if (out->discriminator.norm) out->discriminator.norm = norm;
    return CGD_OK;
}

/* The first layer whose norm measures each picture, or n_layers. */
static size_t cgd__live_norm(const cgd_net *net)
{
    size_t i;
    for (i = 0; i < net->n_layers; i++) {
        int norm = net->layers[i].norm;
        if (norm && (norm != CGD_NORM_BATCH || net->image_stats)) break;
    }
    return i;
}

/* A layer's parameters, for the same layer under a batch norm. */
static void cgd__freeze_copy(float *to, const cgd_layer *t, const float *from,
                             const cgd_layer *l)
{
    size_t c = l->out_c, k;
    memcpy(to + t->w, from + l->w, (l->gamma - l->w) * sizeof *to);
    if (l->norm == CGD_NORM_NONE) return;
    for (k = 0; k < c; k++) {
        int affine = cgd__norm_affine(l->norm), kept = l->var > l->mean;
        to[t->gamma + k] = affine ? from[l->gamma + k] : 1;
        to[t->beta + k] = affine ? from[l->beta + k] : 0;
        to[t->mean + k] = kept ? from[l->mean + k] : 0;
        to[t->var + k] = kept ? from[l->var + k] : 1;
    }
}

/* Add to sum (2, c) the means and variances that layer i, the last of net and
 * under instance norm, measures in a batch. */
static cgd_status cgd__freeze_measure(cgd_net *net, const cgd_tensor *x,
                                      double *sum)
{
    size_t i = net->n_layers - 1, c = net->layers[i].out_c, k;
    cgd_pass pass;
    cgd_status status = cgd_pass_init(&pass, net, x->n, x->h, x->w, CGD_INFER,
                                      NULL, 0, NULL);
    if (status == CGD_OK) status = cgd_pass_forward(&pass, x);
    if (status == CGD_OK) {
        const float *stats = cgd__at(&pass, pass.slots + i, CGD__STATS);
        for (k = 0; k < x->n * c; k++) {
            double r = (double)stats[x->n * c + k];
            double var = 1 / (r * r) - CGD__NORM_EPS;
            sum[k % c] += (double)stats[k];
            sum[c + k % c] += var > 0 ? var : 0;
        }
    }
    cgd_pass_free(&pass);
    return status;
}

/* Measure layer i of a net whose earlier layers are frozen already. */
static cgd_status cgd__freeze_layer(cgd_net *net, size_t i,
                                    const cgd_tensor *pictures,
                                    size_t n_pictures)
{
    const cgd_layer *l = net->layers + i;
    size_t c = l->out_c, count = 0, k;
    double *sum = (double *)cgd__alloc_zeroed(net->ctx, 2 * c, sizeof *sum,
                                              "measuring a norm");
    size_t bytes = sizeof(cgd_net) + (i + 1) * sizeof *l;
    cgd_net *front = (cgd_net *)cgd__alloc_zeroed(net->ctx, 1, bytes,
                                                  "measuring a norm");
    cgd_status status = sum && front ? CGD_OK : CGD_ERR_MEMORY;
    if (front) {                       /* up to the layer, which measures    */
        *front = *net;
        front->n_layers = i + 1;
        front->layers = (cgd_layer *)(void *)(front + 1);
        memcpy(front->layers, net->layers, (i + 1) * sizeof *l);
        front->layers[i].norm = CGD_NORM_INSTANCE;
    }
    for (k = 0; k < n_pictures && status == CGD_OK; k++) {
        status = cgd__freeze_measure(front, pictures + k, sum);
        count += pictures[k].n;
    }
    cgd__free(net->ctx, front, bytes);
    for (k = 0; k < c && status == CGD_OK; k++) {
        net->params[l->mean + k] = (float)(sum[k] / (double)count);
        net->params[l->var + k] = (float)(sum[c + k] / (double)count);
    }
    cgd__free(net->ctx, sum, 2 * c * sizeof *sum);
    return status;
}

CGDDEF cgd_status cgd_net_freeze(cgd_ctx *ctx, cgd_net *out,
                                 const cgd_net *net,
                                 const cgd_tensor *pictures,
                                 size_t n_pictures)
{
    size_t live = cgd__live_norm(net), i;
    cgd_status status;
    memset(out, 0, sizeof *out);
    if (n_pictures == 0 && live < net->n_layers)
        return cgd__fail(ctx, CGD_ERR_ARGUMENT,
            "layer %u (%s) normalises by each picture's own statistics: to "
            "freeze them takes pictures to measure", live,
            net->layers[live].name);
    status = cgd__net_renorm(ctx, out, net, CGD_NORM_BATCH);
    for (i = 0; i < net->n_layers && status == CGD_OK; i++) {
        cgd__freeze_copy(out->params, out->layers + i, net->params,
                         net->layers + i);
        if (n_pictures > 0 && out->layers[i].norm)
            status = cgd__freeze_layer(out, i, pictures, n_pictures);
    }
    if (status != CGD_OK) cgd_net_free(out);
    return status;
}

/* Weights are (outer, out_c, inner) in memory: inner is 1, but for a
 * transposed convolution, which has its input channels last. */
static void cgd__fold_layer(float *to, const cgd_layer *t, const float *from,
                            const cgd_layer *l)
{
    size_t inner = l->kind == CGD_DECONV ? l->in_c : 1, o, k, i;
    size_t row = l->out_c * inner, count = cgd__layer_weights(l);
    for (o = 0; o < l->out_c; o++) {
        double scale = (double)from[l->gamma + o]
            / cgd__sqrt((double)from[l->var + o] + CGD__NORM_EPS);
        for (k = o * inner; k < count; k += row)
            for (i = k; i < k + inner; i++)
                to[t->w + i] = (float)((double)from[l->w + i] * scale);
        to[t->b + o] = (float)((double)from[l->beta + o]
                               - (double)from[l->mean + o] * scale);
    }
}

CGDDEF cgd_status cgd_net_fold(cgd_ctx *ctx, cgd_net *out,
                               const cgd_net *net, const float *values)
{
    size_t live = cgd__live_norm(net), i;
    cgd_status status;
    memset(out, 0, sizeof *out);
    if (!values) values = net->params;
    if (live < net->n_layers)
        return cgd__fail(ctx, CGD_ERR_ARGUMENT,
            "layer %u (%s) normalises by each picture's own statistics, which "
            "weights cannot hold: freeze them first", live,
            net->layers[live].name);
    status = cgd__net_renorm(ctx, out, net, CGD_NORM_NONE);
    for (i = 0; i < net->n_layers && status == CGD_OK; i++) {
        const cgd_layer *l = net->layers + i, *t = out->layers + i;
        if (l->norm)
            cgd__fold_layer(out->params, t, values, l);
        else
            memcpy(out->params + t->w, values + l->w,
                   (l->gamma - l->w) * sizeof *out->params);
    }
    return status;
}

/* ======================================================================== */
/* [impl:pictures] Pictures and data sets                                   */
/* ======================================================================== */
/* Owns resampling, listing folders, and the seeded sequence of samples.
 * Decoding and encoding are a codec's: tools/cgd_pictures.h, or in its absence
 * stb_image and stb_image_write, when they were included before this file.
 * Calls [impl:base], [impl:threads], [impl:files], cgd_tensor_from_bytes. */

#define CGD__MAX_PIXELS ((size_t)1 << 26)
#define CGD__MAX_SIDE ((size_t)1 << 20)
#define CGD__MAX_CHANNELS ((size_t)1024)

CGDDEF cgd_status cgd_image_init_white(cgd_ctx *ctx, cgd_image *image,
                                 size_t w, size_t h, size_t c, float white)
{
    int bytes = white == 255;
    size_t size = bytes ? 1 : sizeof *image->values;
    void *block;
    memset(image, 0, sizeof *image);
    if (w == 0 || h == 0 || c == 0 || c > CGD__MAX_CHANNELS)
        return cgd__fail(ctx, CGD_ERR_ARGUMENT, "a picture cannot have %u x "
                         "%u pixels of %u channels", w, h, c);
    if (w > CGD__MAX_SIDE || h > CGD__MAX_SIDE || w > CGD__MAX_PIXELS / h)
        return cgd__fail(ctx, CGD_ERR_SHAPE,
                         "a picture of %u x %u pixels is too large", w, h);
    block = cgd__mul(&size, size, w * h) && cgd__mul(&size, size, c)
          ? cgd__alloc(ctx, size) : NULL;
    if (!block)
        return cgd__fail(ctx, CGD_ERR_MEMORY, "out of memory: a picture of "
                         "%u x %u pixels", w, h);
    image->data = bytes ? (unsigned char *)block : NULL;
    image->values = bytes ? NULL : (float *)block;
    image->w = w;
    image->h = h;
    image->c = c;
    image->white = white;
    return CGD_OK;
}

CGDDEF cgd_status cgd_image_init(cgd_ctx *ctx, cgd_image *image, size_t w,
                                 size_t h, size_t c)
{
    return cgd_image_init_white(ctx, image, w, h, c, 255);
}

CGDDEF void cgd_image_free(cgd_ctx *ctx, cgd_image *image)
{
    size_t n = image->w * image->h * image->c;
    cgd__free(ctx, image->data, n);
    cgd__free(ctx, image->values, n * sizeof *image->values);
    memset(image, 0, sizeof *image);
}

CGDDEF cgd_status cgd_image_to_bytes(cgd_ctx *ctx, cgd_image *image,
                                     const cgd_range *range)
{
    size_t n = image->w * image->h * image->c, i;
    int whole = !range || range->lo == range->hi;
    float lo = whole ? 0 : range->lo, scale;
    cgd_image out;
    cgd_status status;
    if (image->data) return CGD_OK;
    if (whole && image->white <= 0)
        return cgd__fail(ctx, CGD_ERR_ARGUMENT, "floating point values "
            "become 8 bits only by a range that says what 0 and 255 are");
    scale = whole ? 1 / 256.0f : 255 / (range->hi - lo);
    status = cgd_image_init(ctx, &out, image->w, image->h, image->c);
    if (status != CGD_OK) return status;
    for (i = 0; i < n; i++)
        out.data[i] = (unsigned char)cgd__clamp((image->values[i] - lo)
                          * scale + (whole ? 0 : 0.5f), 0, 255);
    cgd_image_free(ctx, image);
    *image = out;
    return CGD_OK;
}

CGDDEF void cgd_range_widen(cgd_range *range, const cgd_image *image)
{
    size_t n = image->w * image->h * image->c, i;
    for (i = 0; i < n; i++) {
        float v = image->data ? (float)image->data[i] : image->values[i];
        if (v >= -FLT_MAX && v < range->lo) range->lo = v;
        if (v <= FLT_MAX && v > range->hi) range->hi = v;
    }
}

/* ---- resampling ----------------------------------------------------------*/
/* Pillow's method and therefore its bytes: one pass along x, then one along
 * y, a byte picture between them, the filter stretched by the scale when a
 * picture shrinks (which is the antialiasing), weights rounded to 22 bits.
 * (Since 12.2 Pillow takes y first for some tall pictures, and so rounds them
 * differently; this is the order of all releases before, at any shape.)
 * The sums stay below 2^31: the weights sum to 2^22, bicubic's negative lobes
 * add at most a third, and rounding at most 2^19 over CGD__MAX_SIDE taps. */

#define CGD__RESAMPLE_BITS 22
#define CGD__RESAMPLE_ROWS 16             /* rows in a slice                 */
#define CGD__RESAMPLE_BLOCK 64            /* bytes summed together           */

typedef struct cgd__resampling {
    const cgd_image *in;
    cgd_image *out;
    int across;            /* along x, or else along y                       */
    int filter;
    int *taps;             /* for each output: first input, count, weights   */
    size_t stride, bytes;  /* ints for an output, bytes for all              */
} cgd__resampling;

/* The filter at x: a triangle, or the cubic of Keys 1981, "Cubic Convolution
 * Interpolation for Digital Image Processing", with a = -1/2. (PyTorch's
 * bicubic has a = -3/4, and does not antialias.) */
static double cgd__filter(int filter, double x)
{
    if (x < 0) x = -x;
    if (filter == CGD_BILINEAR) return x < 1 ? 1 - x : 0;
    if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
    if (x < 2) return (((x - 5) * x + 8) * x - 4) * -0.5;
    return 0;
}

static double cgd__filter_reach(int filter, double stretch)
{
    return (filter == CGD_BILINEAR ? 1 : 2) * stretch;
}

/* Which of `in` pixels make output x, and with what weights. */
static void cgd__resample_taps(int *taps, size_t x, size_t in, double scale,
                               int filter)
{
    double stretch = scale < 1 ? 1 : scale, narrow = 1 / stretch;
    double reach = cgd__filter_reach(filter, stretch);
    double centre = ((double)x + 0.5) * scale, sum = 0;
    double from = centre - reach + 0.5, to = centre + reach + 0.5;
    int first = from < 0 ? 0 : (int)from;
    int last = to > (double)in ? (int)in : (int)to, j;
    for (j = first; j < last; j++)
        sum += cgd__filter(filter, (j - centre + 0.5) * narrow);
    taps[0] = first;
    taps[1] = last - first;
    for (j = first; j < last; j++) {
        double w = cgd__filter(filter, (j - centre + 0.5) * narrow) / sum;
        w *= (double)(1 << CGD__RESAMPLE_BITS);
        taps[2 + j - first] = (int)(w < 0 ? w - 0.5 : w + 0.5);
    }
}

/* Round, shift, clamp. C89 leaves the shift of a negative sum to the
 * compiler, but those are clamped to 0 anyway. */
static unsigned char cgd__resample_byte(int sum)
{
    if (sum < 0) return 0;
    sum >>= CGD__RESAMPLE_BITS;
    return (unsigned char)(sum > 255 ? 255 : sum);
}

static void cgd__resample_row_across(const cgd__resampling *r, size_t y)
{
    const size_t c = r->in->c;
    const unsigned char *in = r->in->data + y * r->in->w * c;
    unsigned char *out = r->out->data + y * r->out->w * c;
    const int *taps = r->taps;
    size_t x, k;
    int j;
    for (x = 0; x < r->out->w; x++, out += c, taps += r->stride) {
        const unsigned char *from = in + (size_t)taps[0] * c;
        int sum[3] = { 1 << (CGD__RESAMPLE_BITS - 1), 0, 0 };
        sum[1] = sum[2] = sum[0];
        if (c == 3) {                     /* the usual case, unrolled        */
            for (j = 0; j < taps[1]; j++, from += 3) {
                sum[0] += taps[2 + j] * from[0];
                sum[1] += taps[2 + j] * from[1];
                sum[2] += taps[2 + j] * from[2];
            }
            for (k = 0; k < 3; k++) out[k] = cgd__resample_byte(sum[k]);
            continue;
        }
        for (k = 0; k < c; k++) {
            for (sum[0] = sum[1], j = 0; j < taps[1]; j++)
                sum[0] += taps[2 + j] * from[(size_t)j * c + k];
            out[k] = cgd__resample_byte(sum[0]);
        }
    }
}

/* The same for a row of values, either way: the taps of an output lie `step`
 * values apart. Divided by what the rounded weights sum to, so that an even
 * surface keeps its value; 16 bits are rounded, as in Pillow. */
static void cgd__resample_row_values(const cgd__resampling *r, size_t y)
{
    const size_t c = r->in->c, n = r->out->w * c;
    const size_t step = r->across ? c : r->in->w * c;
    const float white = r->in->white;
    float *out = r->out->values + y * n;
    size_t i;
    int j;
    for (i = 0; i < n; i++) {
        const int *taps = r->taps + (r->across ? i / c : y) * r->stride;
        const float *from = r->in->values + (size_t)taps[0] * step
            + (r->across ? y * r->in->w * c + i % c : i);
        double sum = 0, weights = 0;
        for (j = 0; j < taps[1]; j++, from += step) {
            sum += (double)taps[2 + j] * (double)*from;
            weights += taps[2 + j];
        }
        out[i] = (float)(sum / weights);
        if (white > 0)
            out[i] = (float)(int)cgd__clamp(out[i] + 0.5f, 0, white);
    }
}

static void cgd__resample_row_down(const cgd__resampling *r, size_t y)
{
    const size_t n = r->in->w * r->in->c;
    const int *taps = r->taps + y * r->stride;
    const unsigned char *in = r->in->data + (size_t)taps[0] * n;
    unsigned char *out = r->out->data + y * n;
    size_t at, k;
    int j, sum[CGD__RESAMPLE_BLOCK];
    for (at = 0; at < n; at += CGD__RESAMPLE_BLOCK) {
        const unsigned char *from = in + at;
        size_t m = cgd__min(n - at, CGD__RESAMPLE_BLOCK);
        for (k = 0; k < m; k++) sum[k] = 1 << (CGD__RESAMPLE_BITS - 1);
        for (j = 0; j < taps[1]; j++, from += n)
            for (k = 0; k < m; k++) sum[k] += taps[2 + j] * from[k];
        for (k = 0; k < m; k++) out[at + k] = cgd__resample_byte(sum[k]);
    }
}

static void cgd__resample_slice(void *job, size_t slice)
{
    const cgd__resampling *r = (const cgd__resampling *)job;
    size_t y = slice * CGD__RESAMPLE_ROWS;
    size_t end = cgd__min(y + CGD__RESAMPLE_ROWS, r->out->h);
    for (; y < end; y++) {
        if (!r->in->data) cgd__resample_row_values(r, y);
        else if (r->across) cgd__resample_row_across(r, y);
        else cgd__resample_row_down(r, y);
    }
}

static cgd_status cgd__resample_plan(cgd_ctx *ctx, cgd__resampling *r,
                                     size_t in, size_t out)
{
    double scale = (double)in / (double)out, stretch = scale < 1 ? 1 : scale;
    size_t x;
    r->stride = 2 * (size_t)cgd__filter_reach(r->filter, stretch) + 2 + 3;
    if (!cgd__mul(&r->bytes, out, r->stride * sizeof *r->taps)
        || !(r->taps = (int *)cgd__alloc(ctx, r->bytes)))
        return cgd__fail(ctx, CGD_ERR_MEMORY, "out of memory: resizing a "
                         "picture from %u to %u pixels", in, out);
    for (x = 0; x < out; x++)
        cgd__resample_taps(r->taps + x * r->stride, x, in, scale, r->filter);
    return CGD_OK;
}

/* One pass: the width (across) or the height becomes size. */
static cgd_status cgd__resample(cgd_ctx *ctx, cgd_image *out,
                                const cgd_image *in, size_t size, int across,
                                int filter)
{
    cgd__resampling r;
    cgd_status status = cgd_image_init_white(ctx, out, across ? size : in->w,
                            across ? in->h : size, in->c,
                            in->data ? 255 : in->white);
    if (status != CGD_OK) return status;
    r.in = in;
    r.out = out;
    r.across = across;
    r.filter = filter;
    status = cgd__resample_plan(ctx, &r, across ? in->w : in->h, size);
    if (status != CGD_OK) {
        cgd_image_free(ctx, out);
        return status;
    }
    cgd__for(ctx, cgd__ceil_div(out->h, CGD__RESAMPLE_ROWS),
             cgd__resample_slice, &r);
    cgd__free(ctx, r.taps, r.bytes);
    return CGD_OK;
}

CGDDEF cgd_status cgd_image_resize(cgd_ctx *ctx, cgd_image *out,
                                   const cgd_image *in, size_t w, size_t h,
                                   int filter)
{
    cgd_image between;
    cgd_status status;
    memset(out, 0, sizeof *out);
    if ((!in->data && !in->values) || w == 0 || h == 0
        || (filter != CGD_BICUBIC && filter != CGD_BILINEAR))
        return cgd__fail(ctx, CGD_ERR_ARGUMENT, "resize: a picture of %u x %u "
                         "cannot become %u x %u with filter %d", in->w, in->h,
                         w, h, filter);
    if (w == in->w && h == in->h) {
        status = cgd_image_init_white(ctx, out, w, h, in->c,
                                      in->data ? 255 : in->white);
        if (status != CGD_OK) return status;
        if (in->data) memcpy(out->data, in->data, w * h * in->c);
        else memcpy(out->values, in->values, w * h * in->c * sizeof(float));
        return status;
    }
    if (w == in->w) return cgd__resample(ctx, out, in, h, 0, filter);
    if (h == in->h) return cgd__resample(ctx, out, in, w, 1, filter);
    status = cgd__resample(ctx, &between, in, w, 1, filter);
    if (status == CGD_OK)
        status = cgd__resample(ctx, out, &between, h, 0, filter);
    cgd_image_free(ctx, &between);
    return status;
}

/* ---- decoding ------------------------------------------------------------*/
/* Files become samples, and samples files, through the context's codec. The
 * plain one, which stands in where none is set, leaves all to stb_image and
 * stb_image_write, and so trusts what files say but for their size. */

static void cgd__refuse(cgd_decoding *d, cgd_status status,
                        const char *reason)
{
    d->status = status;
    cgd__format(d->sentence, sizeof d->sentence, "%s: %s", d->label, reason);
}

#ifdef STBI_INCLUDE_STB_IMAGE_H

static void cgd__plain_look(cgd_ctx *ctx, cgd_decoding *d)
{
    int w = 0, h = 0, c = 0, size = (int)d->size;
    (void)ctx;
    d->white = 255;
    if (d->size == 0)
        cgd__refuse(d, CGD_ERR_FORMAT, "the file is empty");
    else if (d->size > INT_MAX / 2)
        cgd__refuse(d, CGD_ERR_FORMAT, "the file is too large for a picture");
    else if (!stbi_info_from_memory(d->bytes, size, &w, &h, &c))
        cgd__refuse(d, CGD_ERR_FORMAT, "this is no JPEG, PNG or BMP picture");
    else if (w < 1 || h < 1 || (size_t)w > CGD__MAX_SIDE
             || (size_t)h > CGD__MAX_SIDE
             || (size_t)w > CGD__MAX_PIXELS / (size_t)h)
        cgd__refuse(d, CGD_ERR_SHAPE, "the picture has too many pixels");
    if (d->status != CGD_OK) return;
    if (stbi_is_16_bit_from_memory(d->bytes, size)) d->white = 65535.0f;
    d->alpha = c == 2 || c == 4;
}

static void cgd__plain_decode(cgd_decoding *d)
{
    int w = 0, h = 0, has, c = d->channels == 4 || d->alpha ? 4 : 3;
    if (d->status != CGD_OK) return;
    if (d->white > 255)
        d->pixels = (unsigned char *)stbi_load_16_from_memory(d->bytes,
                                         (int)d->size, &w, &h, &has, c);
    else
        d->pixels = stbi_load_from_memory(d->bytes, (int)d->size, &w, &h,
                                          &has, c);
    if (!d->pixels) cgd__refuse(d, CGD_ERR_FORMAT, "the picture is damaged");
    d->w = (size_t)w;
    d->h = (size_t)h;
    d->c = (size_t)c;
}

static void cgd__plain_release(cgd_ctx *ctx, cgd_decoding *d)
{
    (void)ctx;
    if (d->pixels) stbi_image_free(d->pixels);
    d->pixels = NULL;
}

#else

static void cgd__plain_look(cgd_ctx *ctx, cgd_decoding *d)
{
    (void)ctx;
    cgd__refuse(d, CGD_ERR_UNSUPPORTED, "this build decodes no pictures: "
                "include stb_image.h before cycle_gan_distil.h");
}

static void cgd__plain_decode(cgd_decoding *d) { (void)d; }

static void cgd__plain_release(cgd_ctx *ctx, cgd_decoding *d)
{
    (void)ctx;
    (void)d;
}

#endif /* STBI_INCLUDE_STB_IMAGE_H */

/* Three channels become one as luma, ITU-R 601-2; one is grey in all three;
 * others are what is asked for. */
static cgd_status cgd__channels_check(cgd_ctx *ctx, const char *label,
                                      size_t has, size_t c)
{
    if (has == c || (has == 3 && c == 1) || (has == 1 && c == 3))
        return CGD_OK;
    return cgd__fail(ctx, CGD_ERR_SHAPE, "%s: it has %u channels where %u are "
                     "asked for", label, has, c);
}

static void cgd__put_pixel(cgd_image *image, size_t pixel, const float *v,
                           size_t has)
{
    size_t c = image->c, to = pixel * c, k;
    for (k = 0; k < c; k++, to++) {
        double x = (double)v[has == 1 ? 0 : k];
        if (c == 1 && has > 1)
            x = (19595.0 * (double)v[0] + 38470.0 * (double)v[1]
                 + 7471.0 * (double)v[2]) / 65536;
        if (image->white > 0) x = (int)(x + 0.5);
        if (image->data) image->data[to] = (unsigned char)x;
        else image->values[to] = (float)x;
    }
}

/* Where alpha is not asked for, on white. */
static cgd_status cgd__plain_end(cgd_ctx *ctx, cgd_image *image,
                                 cgd_decoding *d)
{
    const size_t c = d->channels, n = d->w * d->h;
    size_t i, k, has = d->c == 4 && c != 4 ? 3 : d->c;
    unsigned short deep[4];
    float v[4];
    cgd_status status = cgd__channels_check(ctx, d->label, has, c);
    if (status == CGD_OK)
        status = cgd_image_init_white(ctx, image, d->w, d->h, c, d->white);
    for (i = 0; i < n && status == CGD_OK; i++) {
        if (d->white > 255)
            memcpy(deep, d->pixels + 2 * i * d->c, 2 * d->c);
        for (k = 0; k < d->c; k++)
            v[k] = d->white > 255 ? (float)deep[k]
                                  : (float)d->pixels[i * d->c + k];
        for (k = 0; k < 3 && has < d->c; k++)
            v[k] = d->white + (v[k] - d->white) * v[3] / d->white;
        cgd__put_pixel(image, i, v, has);
    }
    return status;
}

#ifndef CGD_NO_STDIO

static int cgd__lower(int c) { return c >= 'A' && c <= 'Z' ? c + 32 : c; }

/* Does the name end in this extension (".png"), in either case? */
static int cgd__has_extension(const char *name, const char *extension)
{
    size_t n = strlen(name), m = strlen(extension), i;
    if (n < m) return 0;
    for (i = 0; i < m; i++)
        if (cgd__lower(name[n - m + i]) != extension[i]) return 0;
    return 1;
}

#ifdef INCLUDE_STB_IMAGE_WRITE_H

static void cgd__sink_write(void *user, void *data, int size)
{
    if (size > 0) cgd_output_write((cgd_output *)user, data, (size_t)size);
}

static int cgd__plain_write(cgd_output *out, const cgd_image *image,
                            const char *path)
{
    int w = (int)image->w, h = (int)image->h, c = (int)image->c;
    if (cgd__has_extension(path, ".png"))
        return stbi_write_png_to_func(cgd__sink_write, out, w, h, c,
                                      image->data, w * c);
    if (cgd__has_extension(path, ".bmp"))
        return stbi_write_bmp_to_func(cgd__sink_write, out, w, h, c,
                                      image->data);
    return stbi_write_jpg_to_func(cgd__sink_write, out, w, h, c, image->data,
                                  95);
}

static cgd_status cgd__plain_save(cgd_ctx *ctx, const cgd_image *image,
                                  const char *path)
{
    cgd_output out;
    if (!image->data || image->c > 4)
        return cgd__fail(ctx, CGD_ERR_ARGUMENT, "%s: 1 to 4 channels of 8 "
            "bits are written; more by tools/cgd_pictures.h", path);
    if (!cgd__has_extension(path, ".png") && !cgd__has_extension(path, ".bmp")
        && !cgd__has_extension(path, ".jpg")
        && !cgd__has_extension(path, ".jpeg"))
        return cgd__fail(ctx, CGD_ERR_ARGUMENT, "%s: pictures are written as "
                         ".png, .jpg, .jpeg or .bmp", path);
    cgd_output_open(ctx, &out, path);
    if (out.status == CGD_OK && !cgd__plain_write(&out, image, path)
        && out.status == CGD_OK)
        out.status = cgd__fail(ctx, CGD_ERR_IO, "%s: the picture cannot be "
                               "written", path);
    return cgd_output_close(&out);
}

#else

static cgd_status cgd__plain_save(cgd_ctx *ctx, const cgd_image *image,
                                  const char *path)
{
    (void)image;
    return cgd__fail(ctx, CGD_ERR_UNSUPPORTED, "%s: this build writes "
        "pictures only with stb_image_write.h included before "
        "cycle_gan_distil.h, or by tools/cgd_pictures.h", path);
}

#endif /* INCLUDE_STB_IMAGE_WRITE_H */
#endif

CGDDEF const cgd_codec *cgd_codec_of(const cgd_ctx *ctx)
{
    static const cgd_codec plain = { cgd__plain_look, cgd__plain_look,
        cgd__plain_decode, cgd__plain_end, cgd__plain_release, NULL,
#ifndef CGD_NO_STDIO
        cgd__plain_save
#else
        NULL
#endif
    };
    return ctx->codec ? ctx->codec : &plain;
}

static cgd_status cgd__decode_end(cgd_ctx *ctx, cgd_image *image,
                                  cgd_decoding *d)
{
    memset(image, 0, sizeof *image);
    if (d->status != CGD_OK)
        return cgd__fail(ctx, d->status, "%s", d->sentence);
    return cgd_codec_of(ctx)->end(ctx, image, d);
}

CGDDEF cgd_status cgd_image_decode_deep(cgd_ctx *ctx, cgd_image *image,
                                   const unsigned char *bytes, size_t size,
                                   size_t c, const char *label)
{
    const cgd_codec *codec = cgd_codec_of(ctx);
    cgd_decoding d;
    cgd_status status;
    memset(&d, 0, sizeof d);
    d.label = label;
    d.bytes = bytes;
    d.size = size;
    d.channels = c;
    codec->begin(ctx, &d);
    codec->decode(&d);
    status = cgd__decode_end(ctx, image, &d);
    if (status == CGD_OK && d.note) cgd_warn(ctx, "%s: %s", label, d.note);
    codec->release(ctx, &d);
    return status;
}

CGDDEF cgd_status cgd_image_decode(cgd_ctx *ctx, cgd_image *image,
                                   const unsigned char *bytes, size_t size,
                                   size_t c, const char *label)
{
    cgd_status status = cgd_image_decode_deep(ctx, image, bytes, size, c,
                                              label);
    if (status != CGD_OK || image->data) return status;
    if (image->white > 0)
        cgd_warn(ctx, "%s: of its 16 bits a sample 8 are kept", label);
    status = cgd_image_to_bytes(ctx, image, NULL);
    if (status == CGD_OK) return status;
    cgd_image_free(ctx, image);
    if (status != CGD_ERR_ARGUMENT) return status;
    return cgd__fail(ctx, CGD_ERR_FORMAT,
                     "%s: its numbers are no 8 bits a sample", label);
}

#ifndef CGD_NO_STDIO

/* ---- picture files -------------------------------------------------------*/

#define CGD__MAX_PICTURE_FILE 0x3fffffffL

/* The whole of an open file; it is at its second byte, which proved that it
 * can be read. */
static cgd_status cgd__read_rest(cgd_ctx *ctx, FILE *f, const char *path,
                                 unsigned char **bytes, size_t *size)
{
    long end;
    if (fseek(f, 0, SEEK_END) != 0 || (end = ftell(f)) < 1)
        return cgd__fail(ctx, CGD_ERR_IO, "%s: the file cannot be read", path);
    if (end > CGD__MAX_PICTURE_FILE)
        return cgd__fail(ctx, CGD_ERR_FORMAT,
                         "%s: the file is too large for a picture", path);
    *size = (size_t)end;
    *bytes = (unsigned char *)cgd__alloc(ctx, *size);
    if (!*bytes)
        return cgd__fail(ctx, CGD_ERR_MEMORY, "%s: out of memory for the "
                         "file's %u bytes", path, *size);
    rewind(f);
    if (fread(*bytes, 1, *size, f) == *size) return CGD_OK;
    cgd__free(ctx, *bytes, *size);
    *bytes = NULL;
    return cgd__fail(ctx, CGD_ERR_IO, "%s: the file cannot be read", path);
}

CGDDEF cgd_status cgd_read_file(cgd_ctx *ctx, const char *path,
                                unsigned char **bytes, size_t *size)
{
    cgd_status status;
    FILE *f = cgd_open_input(ctx, path);
    *bytes = NULL;
    *size = 0;
    if (!f) return CGD_ERR_IO;
    if (fgetc(f) != EOF)
        status = cgd__read_rest(ctx, f, path, bytes, size);
    else if (ferror(f))
        status = cgd__fail(ctx, CGD_ERR_IO, "%s: the file cannot be read",
                           path);
    else
        status = cgd__fail(ctx, CGD_ERR_FORMAT, "%s: the file is empty", path);
    fclose(f);
    return status;
}

static cgd_status cgd__image_load(cgd_ctx *ctx, cgd_image *image,
                                  const char *path, size_t c, int deep)
{
    unsigned char *bytes;
    size_t size;
    cgd_status status = cgd_read_file(ctx, path, &bytes, &size);
    memset(image, 0, sizeof *image);
    if (status != CGD_OK) return status;
    status = deep ? cgd_image_decode_deep(ctx, image, bytes, size, c, path)
                  : cgd_image_decode(ctx, image, bytes, size, c, path);
    cgd__free(ctx, bytes, size);
    return status;
}

CGDDEF cgd_status cgd_image_load(cgd_ctx *ctx, cgd_image *image,
                                 const char *path, size_t c)
{
    return cgd__image_load(ctx, image, path, c, 0);
}

CGDDEF cgd_status cgd_image_load_deep(cgd_ctx *ctx, cgd_image *image,
                                      const char *path, size_t c)
{
    return cgd__image_load(ctx, image, path, c, 1);
}

CGDDEF cgd_status cgd_image_save(cgd_ctx *ctx, const cgd_image *image,
                                 const char *path)
{
    if (image->w == 0 || (!image->data && !image->values))
        return cgd__fail(ctx, CGD_ERR_ARGUMENT, "%s: there is no picture to "
                         "write", path);
    return cgd_codec_of(ctx)->save(ctx, image, path);
}

/* ---- folders -------------------------------------------------------------*/

/* Two scans, one to count and one to fill a block of that size; a file that
 * appears in between is left to the next time. */
typedef struct cgd__scan {
    const cgd_codec *codec;        /* who knows kinds of pictures            */
    const char *top;               /* where it began                         */
    int recurse, depth;
    char **paths;                  /* NULL: only count                       */
    char  *text;
    size_t count, length;          /* so far: paths, characters              */
    size_t count_room, length_room;
    cgd__text *folders;            /* not NULL: only name the folders in top */
    struct { const char *kind; size_t count; } left[8];   /* no pictures     */
    char failed[CGD_PATH_ROOM];    /* what could not be read                 */
} cgd__scan;

/* macOS leaves a hidden ._name.jpg, which is none, beside each name.jpg. */
static int cgd__is_picture_name(const char *name)
{
    static const char *const endings[] = { ".jpg", ".jpeg", ".jpe", ".jfif",
        ".png", ".bmp", ".npy", ".safetensors" };
    size_t i;
    for (i = 0; i < sizeof endings / sizeof *endings; i++)
        if (name[0] != '.' && cgd__has_extension(name, endings[i])) return 1;
    return 0;
}

static void cgd__scan_add(cgd__scan *scan, const char *path)
{
    size_t length = strlen(path) + 1;
    if (scan->paths) {
        if (scan->count == scan->count_room
            || length > scan->length_room - scan->length) return;
        scan->paths[scan->count] = scan->text + scan->length;
        memcpy(scan->text + scan->length, path, length);
    }
    scan->count++;
    scan->length += length;
}

/* A file that does not bear a picture's name: is it one all the same? */
static void cgd__scan_left(cgd__scan *scan, const char *path)
{
    unsigned char first[160];
    FILE *f = cgd_fopen(path, "rb");
    size_t n = f ? fread(first, 1, sizeof first, f) : 0, i;
    const char *kind = scan->codec->kind(first, n);
    if (f) fclose(f);
    if (!kind || !strstr(kind, "picture")) return;
    for (i = 0; i < sizeof scan->left / sizeof *scan->left; i++)
        if (!scan->left[i].count || strcmp(scan->left[i].kind, kind) == 0) {
            scan->left[i].kind = kind;
            scan->left[i].count++;
            return;
        }
}

/* Is path the folder it lies in, or one above that? A link can lead there. */
static int cgd__scan_loops(const cgd__scan *scan, const char *folder,
                           const char *path)
{
    char up[CGD_PATH_ROOM];
    size_t n = strlen(folder), top = strlen(scan->top);
    memcpy(up, folder, n + 1);
    for (;;) {
        if (cgd_path_same(up, path)) return 1;
        if (n <= top) return 0;
        while (n > top && up[n] != '/') n--;
        up[n] = 0;
    }
}

static cgd_status cgd__scan_folder(cgd__scan *scan, const char *folder);

static cgd_status cgd__scan_visit(cgd__scan *scan, const char *folder,
                                  const char *name)
{
    char path[CGD_PATH_ROOM];
    int kind;
    cgd_status status = CGD_OK;
    if (name[0] == '.') return CGD_OK;
    if (!cgd_path_join(path, folder, name) || scan->depth > 32) {
        cgd__format(scan->failed, sizeof scan->failed, "%s", folder);
        return CGD_ERR_SHAPE;
    }
    kind = cgd_path_kind(path);
    if (kind == CGD_PATH_FOLDER && scan->folders) {
        if (scan->length++) cgd__put_string(scan->folders, ", ");
        cgd__put_string(scan->folders, name);
    } else if (kind == CGD_PATH_FOLDER) {
        if (!scan->recurse || cgd__scan_loops(scan, folder, path))
            return CGD_OK;
        scan->depth++;
        status = cgd__scan_folder(scan, path);
        scan->depth--;
    } else if (cgd__is_picture_name(name)) {
        cgd__scan_add(scan, path);
    } else if (kind == CGD_PATH_FILE && !scan->paths && scan->codec->kind) {
        cgd__scan_left(scan, path);
    }
    return status;
}

/* CGD_ERR_IO: no such folder. CGD_ERR_UNSUPPORTED: no folders here at all. */
#if defined(_WIN32)

static cgd_status cgd__scan_folder(cgd__scan *scan, const char *folder)
{
    char name[CGD_PATH_ROOM];
    wchar_t wide[CGD_PATH_ROOM];
    WIN32_FIND_DATAW found;
    HANDLE search;
    cgd_status status = CGD_OK;
    cgd__format(scan->failed, sizeof scan->failed, "%s", folder);
    if (!cgd_path_join(name, folder, "*")) return CGD_ERR_IO;
    search = FindFirstFileW(cgd__wide_path(wide, name), &found);
    if (search == INVALID_HANDLE_VALUE) return CGD_ERR_IO;
    do {
        if (WideCharToMultiByte(cgd__code_page(folder), 0, found.cFileName,
                                -1, name, CGD_PATH_ROOM, NULL, NULL))
            status = cgd__scan_visit(scan, folder, name);
    } while (status == CGD_OK && FindNextFileW(search, &found));
    FindClose(search);
    return status;
}

#elif defined(__unix__) || defined(__APPLE__)
#include <dirent.h>

static cgd_status cgd__scan_folder(cgd__scan *scan, const char *folder)
{
    const struct dirent *entry;
    DIR *open = opendir(folder);
    cgd_status status = CGD_OK;
    if (!open) {
        cgd__format(scan->failed, sizeof scan->failed, "%s", folder);
        return CGD_ERR_IO;
    }
    while (status == CGD_OK && (entry = readdir(open)) != NULL)
        status = cgd__scan_visit(scan, folder, entry->d_name);
    closedir(open);
    return status;
}

#else

static cgd_status cgd__scan_folder(cgd__scan *scan, const char *folder)
{
    (void)cgd__scan_visit;
    cgd__format(scan->failed, sizeof scan->failed, "%s", folder);
    return CGD_ERR_UNSUPPORTED;
}

#endif

/* "3 x a WebP picture, 1 x a TIFF picture"; 0 if nothing was left out. */
static int cgd__scan_words(const cgd__scan *scan, char *out, size_t room)
{
    size_t i;
    cgd__text t;
    t.at = out;
    t.room = room;
    for (i = 0; i < sizeof scan->left / sizeof *scan->left; i++) {
        if (!scan->left[i].count) break;
        if (i) cgd__put_string(&t, ", ");
        cgd__put_unsigned(&t, scan->left[i].count);
        cgd__put_string(&t, " x ");
        cgd__put_string(&t, scan->left[i].kind);
    }
    *t.at = 0;
    return i > 0;
}

static cgd_status cgd__list_fail(cgd_ctx *ctx, cgd_status status,
                                 const cgd__scan *scan)
{
    char left[200];
    int found = cgd__scan_words(scan, left, sizeof left);
    if (status == CGD_ERR_UNSUPPORTED)
        return cgd__fail(ctx, status, "%s: this build cannot list folders; "
                         "use a packed data file", scan->failed);
    if (status == CGD_ERR_MEMORY)
        return cgd__fail(ctx, status, "%s: out of memory for the list of "
                         "pictures", scan->top);
    if (status == CGD_ERR_IO)
        return cgd__fail(ctx, status, "%s: there is no such folder, or it "
                         "cannot be read", scan->failed);
    if (status == CGD_ERR_SHAPE)
        return cgd__fail(ctx, status, "%s: the paths in it are too long or "
                         "too deep", scan->failed);
    return cgd__fail(ctx, status, "%s: the folder holds no picture (.jpg, "
                     ".jpeg, .png or .bmp)%s%s", scan->top,
                     found ? ", but " : "", left);
}

CGDDEF cgd_status cgd_list_pictures(cgd_ctx *ctx, cgd_listing *listing,
                                    const char *folder, int recurse)
{
    cgd__scan scan;
    char left[200];
    cgd_status status;
    memset(listing, 0, sizeof *listing);
    memset(&scan, 0, sizeof scan);
    scan.codec = cgd_codec_of(ctx);
    scan.top = folder;
    scan.recurse = recurse;
    status = cgd__scan_folder(&scan, folder);
    if (status == CGD_OK && scan.count == 0) status = CGD_ERR_FORMAT;
    if (status != CGD_OK) return cgd__list_fail(ctx, status, &scan);
    if (cgd__scan_words(&scan, left, sizeof left))
        cgd_warn(ctx, "%s: left out: %s; pictures are files named .jpg, "
                 ".jpeg, .png or .bmp that are such", folder, left);
    listing->bytes = scan.count * sizeof *scan.paths + scan.length;
    scan.paths = (char **)cgd__alloc(ctx, listing->bytes);
    if (!scan.paths) {
        listing->bytes = 0;
        return cgd__list_fail(ctx, CGD_ERR_MEMORY, &scan);
    }
    listing->paths = scan.paths;
    scan.text = (char *)(scan.paths + scan.count);
    scan.count_room = scan.count;
    scan.length_room = scan.length;
    scan.count = scan.length = 0;
    status = cgd__scan_folder(&scan, folder);
    listing->count = scan.count;
    if (status == CGD_OK && scan.count == 0) status = CGD_ERR_FORMAT;
    if (status == CGD_OK)
        cgd__sort(listing->paths, listing->count, sizeof *listing->paths,
                  cgd__before_key);
    else
        cgd_listing_free(ctx, listing);
    return status == CGD_OK ? CGD_OK : cgd__list_fail(ctx, status, &scan);
}

CGDDEF void cgd_listing_free(cgd_ctx *ctx, cgd_listing *listing)
{
    cgd__free(ctx, listing->paths, listing->bytes);
    memset(listing, 0, sizeof *listing);
}

/* ---- data sets: opening --------------------------------------------------*/

typedef struct cgd__picture {
    const char *name;                  /* the path, or the tensor's name     */
    const cgd_file_tensor *packed;     /* NULL: a file                       */
    cgd_image kept;                    /* resized; w 0: not in memory        */
    int broken;                        /* found out when it was decoded      */
} cgd__picture;

struct cgd__folder {
    cgd_listing listing;               /* empty where the pictures are packed*/
    cgd__picture *pictures;
    size_t count, room;
    float white;                       /* of the first picture               */
    const char *other;                 /* the first of another, if there is  */
    float other_white;
};

CGDDEF cgd_data_config cgd_data_defaults(void)
{
    cgd_data_config config;
    memset(&config, 0, sizeof config);
    config.channels[0] = config.channels[1] = 3;
    config.load_size = 286;
    config.size = 256;
    config.fit = CGD_FIT_RESIZE_CROP;
    config.flip = 1;
    config.filter = CGD_BICUBIC;
    config.cache_bytes = (size_t)512 << 20;
    return config;
}

/* What zeros stand for. */
static void cgd__data_sizes(cgd_data_config *c)
{
    if (c->height == 0) c->height = c->size;
    if (c->load_size == 0) c->load_size = c->size;
    if (c->load_height == 0 && c->size > 0)
        c->load_height = (c->load_size * c->height + c->size / 2) / c->size;
}
CGDDEF cgd_status cgd_data_check(cgd_ctx *ctx, cgd_data_config *c)
{
    int d;
    cgd__data_sizes(c);
    if (!c->root && (!c->dir[0] || !c->dir[1]))
        return cgd__fail(ctx, CGD_ERR_ARGUMENT, "the data need a root folder "
                         "or a folder for each domain");
    for (d = 0; d < 2; d++) {
        const cgd_range *r = &c->range[d];
        if (c->channels[d] < 1 || c->channels[d] > CGD__MAX_CHANNELS)
            return cgd__fail(ctx, CGD_ERR_ARGUMENT, "pictures have 1 to %u "
                             "channels, not %u", CGD__MAX_CHANNELS,
                             c->channels[d]);
        if (!(r->lo <= r->hi && r->lo >= -FLT_MAX && r->hi <= FLT_MAX)
            || (r->lo == r->hi && r->lo != 0))
            return cgd__fail(ctx, CGD_ERR_ARGUMENT, "values from %f to %f "
                             "are no range", (double)r->lo, (double)r->hi);
    }
    if (c->size < 1 || c->size > 8192 || c->load_size > 8192
        || c->height < 1 || c->height > 8192 || c->load_height > 8192)
        return cgd__fail(ctx, CGD_ERR_ARGUMENT, "pictures are trained on at 1 "
                         "to 8192 pixels, not %u x %u of %u x %u", c->size,
                         c->height, c->load_size, c->load_height);
    if ((c->fit != CGD_FIT_CROP && c->load_size < c->size)
        || (c->fit == CGD_FIT_RESIZE_CROP && c->load_height < c->height))
        return cgd__fail(ctx, CGD_ERR_ARGUMENT, "a crop of %u x %u pixels "
                         "does not fit pictures of %u x %u", c->size,
                         c->height, c->load_size, c->load_height);
    if (c->joined < CGD_JOINED_NO || c->joined > CGD_JOINED_RIGHT)
        return cgd__fail(ctx, CGD_ERR_ARGUMENT, "pictures cannot be joined "
                         "in way %d", c->joined);
    if (c->fit < CGD_FIT_RESIZE_CROP || c->fit > CGD_FIT_WIDTH_CROP)
        return cgd__fail(ctx, CGD_ERR_ARGUMENT, "there is no fit %d", c->fit);
    if (c->filter != CGD_BICUBIC && c->filter != CGD_BILINEAR)
        return cgd__fail(ctx, CGD_ERR_ARGUMENT, "there is no filter %d",
                         c->filter);
    return CGD_OK;
}

/* What is wrong with one picture, for which others can stand in: what it is.
 * That it cannot be opened now, or that memory is short, says nothing of it,
 * and must not change in silence what is learnt. */
static int cgd__skippable(cgd_status status)
{
    return status == CGD_ERR_FORMAT || status == CGD_ERR_SHAPE;
}

/* What a codec made of a file, and the file. */
static void cgd__decoding_free(cgd_ctx *ctx, cgd_decoding *d)
{
    cgd_codec_of(ctx)->release(ctx, d);
    cgd__free(ctx, d->owned, d->size);
    d->owned = NULL;
    d->bytes = NULL;
}

/* Can this file be a picture? All of it but the decoding. */
static cgd_status cgd__probe_file(cgd_ctx *ctx, const char *path, size_t c,
                                  float *white)
{
    const cgd_codec *codec = cgd_codec_of(ctx);
    cgd_decoding d;
    cgd_status status;
    memset(&d, 0, sizeof d);
    d.label = path;
    d.channels = c;
    status = cgd_read_file(ctx, path, &d.owned, &d.size);
    if (status != CGD_OK) return status;
    d.bytes = d.owned;
    codec->look(ctx, &d);
    if (d.note) cgd_warn(ctx, "%s: %s", path, d.note);
    if (d.status != CGD_OK) cgd__fail(ctx, d.status, "%s", d.sentence);
    *white = d.white;
    cgd__decoding_free(ctx, &d);
    return d.status;
}

/* What the type of a folder's next picture means for the range of all. */
static void cgd__range_type(cgd_range *range, struct cgd__folder *folder,
                            const char *name, float white)
{
    if (folder->count == 0) range->white = folder->white = white;
    else if (white == 0 || range->white == 0) range->white = 0;
    else range->white = white > range->white ? white : range->white;
    if (white == folder->white || folder->other) return;
    folder->other = name;
    folder->other_white = white;
}

static const char *cgd__type_title(float white)
{
    return white == 255 ? "8 bits" : white > 0 ? "16 bits" : "floating point";
}

/* Types that are mixed mean something that one picture may have decided. */
static void cgd__warn_mixed(cgd_ctx *ctx, const struct cgd__folder *folder,
                            const cgd_range *range)
{
    if (!folder->other) return;
    cgd_warn(ctx, "%s has %s a sample and others %s: %s", folder->other,
             cgd__type_title(folder->other_white),
             cgd__type_title(folder->white), range->lo < range->hi
             ? "one range holds for all their numbers"
             : "all are taken as 0 to 65535, 8 bits times 257 (a range of "
               "your own: --range)");
}

static cgd_status cgd__folder_room(cgd_ctx *ctx, struct cgd__folder *folder,
                                   size_t room)
{
    folder->pictures = (cgd__picture *)cgd__alloc_zeroed(ctx, room,
                                sizeof *folder->pictures, "list of pictures");
    if (!folder->pictures) return CGD_ERR_MEMORY;
    folder->room = room;
    return CGD_OK;
}

static cgd_status cgd__folder_list(cgd_dataset *data, int domain,
                                   const char *path)
{
    cgd_ctx *ctx = data->ctx;
    struct cgd__folder *folder = data->folder[domain];
    cgd_range *range = &data->config.range[domain];
    char reason[sizeof ctx->message / 2];
    size_t i;
    float white = 0;
    cgd_status status = cgd_list_pictures(ctx, &folder->listing, path,
                                          !data->config.flat);
    if (status == CGD_OK)
        status = cgd__folder_room(ctx, folder, folder->listing.count);
    if (status != CGD_OK) return status;
    for (i = 0; i < folder->listing.count; i++) {
        const char *name = folder->listing.paths[i];
        status = cgd__probe_file(ctx, name, data->config.channels[domain],
                                 &white);
        if (status == CGD_OK) {
            cgd__range_type(range, folder, name, white);
            folder->pictures[folder->count++].name = name;
        } else if (cgd__skippable(status)) {
            cgd_warn(ctx, "%s; skipped", ctx->message);
            cgd__format(reason, sizeof reason, "%s", ctx->message);
        } else {
            return status;
        }
    }
    if (folder->count > 0) return CGD_OK;
    return cgd__fail(ctx, CGD_ERR_FORMAT, "%s: none of the folder's %u "
                     "pictures can be read; the last: %s", path,
                     folder->listing.count, reason);
}

static float cgd__dtype_white(int dtype)
{
    return dtype == CGD_U8 ? 255 : dtype == CGD_U16 ? 65535.0f : 0;
}

/* The pictures "trainA/..." of a packed file. */
static int cgd__packed_in(const cgd_file_tensor *t, const char *name)
{
    size_t n = strlen(name);
    return strncmp(t->name, name, n) == 0 && t->name[n] == '/'
        && t->dtype != CGD_OTHER && t->rank == 3
        && t->shape[0] > 0 && t->shape[1] > 0 && t->shape[2] > 0;
}

static cgd_status cgd__folder_packed(cgd_ctx *ctx, struct cgd__folder *folder,
                                     const cgd_file *file, const char *name,
                                     cgd_range *range)
{
    size_t i, n = 0;
    cgd_status status;
    for (i = 0; i < file->n_tensors; i++)
        if (cgd__packed_in(&file->tensors[i], name)) n++;
    if (n == 0)
        return cgd__fail(ctx, CGD_ERR_FORMAT, "%s: the packed file holds no "
                         "picture %s/...", file->path, name);
    status = cgd__folder_room(ctx, folder, n);
    for (i = 0; i < file->n_tensors && status == CGD_OK; i++) {
        if (!cgd__packed_in(&file->tensors[i], name)) continue;
        cgd__range_type(range, folder, file->tensors[i].name,
                        cgd__dtype_white(file->tensors[i].dtype));
        folder->pictures[folder->count].name = file->tensors[i].name;
        folder->pictures[folder->count++].packed = &file->tensors[i];
    }
    return status;
}

static cgd_status cgd__join(cgd_ctx *ctx, char out[CGD_PATH_ROOM],
                            const char *folder, const char *name)
{
    if (cgd_path_join(out, folder, name)) return CGD_OK;
    return cgd__fail(ctx, CGD_ERR_ARGUMENT, "the path %s is too long",
                     folder);
}

/* A folder is not where the training layout has it: what is there instead? */
static cgd_status cgd__data_missing(cgd_dataset *data, const char *name)
{
    char found[200];
    cgd__text folders;
    cgd__scan scan;
    cgd_status status;
    memset(&scan, 0, sizeof scan);
    scan.codec = cgd_codec_of(data->ctx);
    scan.top = data->config.root;
    scan.folders = &folders;
    folders.at = found;
    folders.room = sizeof found;
    status = cgd__scan_folder(&scan, scan.top);
    *folders.at = 0;
    if (status != CGD_OK) return cgd__list_fail(data->ctx, status, &scan);
    return cgd__fail(data->ctx, CGD_ERR_IO, "%s holds no folder %s, but %s "
        "and %u pictures: name the folder of each domain (--data-a, --data-b) "
        "or, if every picture shows both domains side by side, which half is "
        "A (--joined)", scan.top, name, scan.length ? found : "no other",
        scan.count);
}

static cgd_status cgd__data_folder(cgd_dataset *data, int domain)
{
    static const char *const names[2] = { "trainA", "trainB" };
    cgd_ctx *ctx = data->ctx;
    const char *dir = data->config.dir[domain];
    cgd_range *range = &data->config.range[domain];
    char path[CGD_PATH_ROOM];
    cgd_status status;
    struct cgd__folder *folder = (struct cgd__folder *)
        cgd__alloc_zeroed(ctx, 1, sizeof *folder, "data folder");
    if (!folder) return CGD_ERR_MEMORY;
    data->folder[domain] = folder;
    if (dir) return cgd__folder_list(data, domain, dir);
    if (data->packed)
        return cgd__folder_packed(ctx, folder, data->packed, names[domain],
                                  range);
    status = cgd__join(ctx, path, data->config.root,
                       data->config.joined ? "train" : names[domain]);
    if (status != CGD_OK) return status;
    if (cgd_path_kind(path) != CGD_PATH_MISSING)
        return cgd__folder_list(data, domain, path);
    if (data->config.joined)
        return cgd__folder_list(data, domain, data->config.root);
    return cgd__data_missing(data, names[domain]);
}

/* Of a picture of two, the half that is the domain's. */
CGDDEF cgd_status cgd_take_half(cgd_ctx *ctx, int joined, int domain,
                                cgd_image *image)
{
    int right = (joined == CGD_JOINED_LEFT) == domain;
    size_t w = image->w / 2, size = image->data ? 1 : sizeof(float), row, y;
    const char *from = image->data ? (const char *)image->data
                                   : (const char *)image->values;
    cgd_image half;
    cgd_status status;
    if (!joined) return CGD_OK;
    status = cgd_image_init_white(ctx, &half, w, image->h, image->c,
                                  image->white);
    row = w * image->c * size;
    for (y = 0; y < image->h && status == CGD_OK; y++)
        memcpy((half.data ? (char *)half.data : (char *)half.values) + y * row,
               from + (y * image->w + (right ? image->w - w : 0)) * image->c
                      * size, row);
    cgd_image_free(ctx, image);
    *image = half;
    return status;
}

/* A picture of a packed file, read. */
static cgd_status cgd__unpack(cgd_dataset *data, int domain,
                              const cgd_file_tensor *t, cgd_image *image)
{
    cgd_ctx *ctx = data->ctx;
    size_t has = t->shape[2], c = data->config.channels[domain], i;
    size_t n = cgd__elements(t);
    float *values;
    cgd_status status = cgd__channels_check(ctx, t->name, has, c);
    if (status != CGD_OK) return status;
    values = (float *)cgd__alloc_zeroed(ctx, n, sizeof *values,
                                        "an array's values");
    if (!values) return CGD_ERR_MEMORY;
    status = cgd_file_read(data->packed, t, 0, n, values);
    if (status == CGD_OK)
        status = cgd_image_init_white(ctx, image, t->shape[1], t->shape[0], c,
                                      cgd__dtype_white(t->dtype));
    for (i = 0; i < n / has && status == CGD_OK; i++)
        cgd__put_pixel(image, i, values + i * has, has);
    cgd__free(ctx, values, n * sizeof *values);
    return status;
}

/* A picture by itself, to be looked at. */
static cgd_status cgd__picture_load(cgd_dataset *data, int domain, size_t i,
                                    cgd_image *image)
{
    const cgd__picture *p = &data->folder[domain]->pictures[i];
    cgd_status status;
    if (p->packed) return cgd__unpack(data, domain, p->packed, image);
    status = cgd_image_load_deep(data->ctx, image, p->name,
                                 data->config.channels[domain]);
    return status == CGD_OK ? cgd_take_half(data->ctx, data->config.joined,
                                             domain, image) : status;
}

/* The range of a domain: as given, or as measured, or as the file says. */
static cgd_status cgd__data_range(cgd_dataset *data, int domain)
{
    const struct cgd__folder *folder = data->folder[domain];
    cgd_range *range = &data->config.range[domain], found[2];
    size_t i;
    cgd_image image;
    cgd_status status = CGD_OK;
    if (range->lo == range->hi && data->packed && folder->count > 0
        && folder->pictures[0].packed
        && cgd__range_read(data->packed, "", found, NULL)) {
        range->lo = found[domain].lo;
        range->hi = found[domain].hi;
    } else if (data->config.measure) {
        range->lo = FLT_MAX;
        range->hi = -FLT_MAX;
        for (i = 0; i < folder->count; i++) {
            status = cgd__picture_load(data, domain, i, &image);
            if (cgd__skippable(status)) continue;
            if (status != CGD_OK) return status;
            cgd_range_widen(range, &image);
            cgd_image_free(data->ctx, &image);
        }
        if (!(range->lo < range->hi))
            return cgd__fail(data->ctx, CGD_ERR_FORMAT, "domain %s: there is "
                "no range to measure, all values are the same",
                domain ? "B" : "A");
    }
    if (range->lo < range->hi || range->white > 0) {
        if (!domain || !data->config.joined)        /* else it is one folder */
            cgd__warn_mixed(data->ctx, folder, range);
        return CGD_OK;
    }
    return cgd__fail(data->ctx, CGD_ERR_ARGUMENT, "the pictures of domain %s "
        "have floating point values: say which are -1 and 1 to the nets, by a "
        "range or by measuring it (--range)", domain ? "B" : "A");
}

static cgd_status cgd__data_packed(cgd_dataset *data)
{
    int kind = data->config.root ? cgd_path_kind(data->config.root)
                                 : CGD_PATH_MISSING;
    cgd_status status;
    if (kind != CGD_PATH_FILE && kind != CGD_PATH_DEVICE) return CGD_OK;
    data->packed = (cgd_file *)cgd__alloc_zeroed(data->ctx, 1,
                                    sizeof *data->packed, "packed data file");
    if (!data->packed) return CGD_ERR_MEMORY;
    data->config.joined = CGD_JOINED_NO;         /* was seen to when packing */
    status = cgd_file_open(data->ctx, data->packed, data->config.root);
    if (status == CGD_OK) return CGD_OK;
    cgd__free(data->ctx, data->packed, sizeof *data->packed);
    data->packed = NULL;
    return status;
}

static cgd_status cgd__data_order(cgd_dataset *data)
{
    size_t n = cgd__max(data->folder[0]->count, data->folder[1]->count);
    data->epoch_length = (unsigned long)n;
    data->order_epoch = ~0UL;                              /* not shuffled   */
    data->order = (cgd_u32 *)cgd__alloc_zeroed(data->ctx, n,
                                  sizeof *data->order, "order of pictures");
    return data->order ? CGD_OK : CGD_ERR_MEMORY;
}


CGDDEF cgd_status cgd_dataset_open(cgd_ctx *ctx, cgd_dataset *data,
                                   const cgd_data_config *config)
{
    cgd_status status;
    int d;
    memset(data, 0, sizeof *data);
    data->ctx = ctx;
    data->config = *config;
    status = cgd_data_check(ctx, &data->config);
    if (status == CGD_OK) status = cgd__data_packed(data);
    for (d = 0; d < 2 && status == CGD_OK; d++)
        status = cgd__data_folder(data, d);
    for (d = 0; d < 2 && status == CGD_OK; d++)
        status = cgd__data_range(data, d);
    if (status == CGD_OK) status = cgd__data_order(data);
    if (status != CGD_OK) cgd_dataset_close(data);
    return status;
}

static void cgd__folder_free(cgd_ctx *ctx, struct cgd__folder *folder)
{
    size_t i;
    if (!folder) return;
    for (i = 0; i < folder->count; i++)
        cgd_image_free(ctx, &folder->pictures[i].kept);
    cgd__free(ctx, folder->pictures, folder->room * sizeof *folder->pictures);
    cgd_listing_free(ctx, &folder->listing);
    cgd__free(ctx, folder, sizeof *folder);
}

CGDDEF void cgd_dataset_close(cgd_dataset *data)
{
    cgd__free(data->ctx, data->order,
              (size_t)data->epoch_length * sizeof *data->order);
    cgd__folder_free(data->ctx, data->folder[1]);
    cgd__folder_free(data->ctx, data->folder[0]);
    if (data->packed) {
        cgd_file_close(data->packed);
        cgd__free(data->ctx, data->packed, sizeof *data->packed);
    }
    memset(data, 0, sizeof *data);
}

CGDDEF size_t cgd_dataset_count(const cgd_dataset *data, int domain)
{
    if (domain < 0 || domain > 1 || !data->folder[domain]) return 0;
    return data->folder[domain]->count;
}

/* ---- data sets: samples --------------------------------------------------*/

/* One picture of a batch: which, and how far it has come. */
typedef struct cgd__draw {
    int domain;
    size_t index;
    cgd_rng rng;                       /* for the crop and the flip          */
    const cgd_codec *codec;
    cgd_decoding decoding;             /* bytes set: to be decoded           */
    cgd_image own;                     /* the picture, resized, unless kept  */
    const cgd_image *ready;            /* it, or the kept one                */
} cgd__draw;

/* Streams of random numbers, one a purpose; the word is added to the seed. */
#define CGD__STREAM_SHUFFLE 0x53485546U
#define CGD__STREAM_DOMAIN(d) (0x50494354U + (cgd_u32)(d))

/* The order of an epoch: Fisher and Yates' shuffle. */
static void cgd__data_shuffle(cgd_dataset *data, unsigned long epoch)
{
    cgd_rng rng;
    size_t i, n = (size_t)data->epoch_length;
    if (data->order_epoch == epoch) return;
    cgd_rng_seed(&rng, data->config.seed + CGD__STREAM_SHUFFLE,
                 (cgd_u32)(epoch & 0xffffffffUL));
    for (i = 0; i < n; i++) data->order[i] = (cgd_u32)i;
    for (i = n; i > 1; i--) {
        size_t j = cgd_rng_below(&rng, (cgd_u32)i);
        cgd_u32 last = data->order[i - 1];
        data->order[i - 1] = data->order[j];
        data->order[j] = last;
    }
    data->order_epoch = epoch;
}

/* From here on, the first picture that is not known to be broken. Whether a
 * picture was found broken before or is only now, the same one stands in. */
static cgd_status cgd__draw_good(cgd_dataset *data, cgd__draw *draw)
{
    const struct cgd__folder *folder = data->folder[draw->domain];
    size_t i;
    for (i = 0; i < folder->count; i++) {
        if (!folder->pictures[draw->index].broken) return CGD_OK;
        draw->index = (draw->index + 1) % folder->count;
    }
    return cgd__fail(data->ctx, CGD_ERR_FORMAT, "none of domain %s's %u "
                     "pictures can be decoded", draw->domain ? "B" : "A",
                     folder->count);
}

static cgd_status cgd__draw_plan(cgd_dataset *data, cgd__draw *draw,
                                 unsigned long t, int domain)
{
    size_t count = data->folder[domain]->count;
    memset(draw, 0, sizeof *draw);
    draw->domain = domain;
    cgd_rng_seed(&draw->rng, data->config.seed + CGD__STREAM_DOMAIN(domain),
                 (cgd_u32)(t & 0xffffffffUL));
    if (domain == 0) {
        cgd__data_shuffle(data, t / data->epoch_length);
        draw->index = data->order[t % data->epoch_length] % count;
    } else {
        draw->index = cgd_rng_below(&draw->rng, (cgd_u32)count);
    }
    return cgd__draw_good(data, draw);
}

/* side * to / from, rounded down, at least `least`; what is beyond every
 * limit stays so (a picture of 1 x 100000 enlarged to 256 x 256 crops). */
static size_t cgd__scaled(size_t side, size_t to, size_t from, size_t least)
{
    double scaled = (double)side * (double)to / (double)from;
    if (scaled > (double)CGD__MAX_SIDE) return CGD__MAX_SIDE + 1;
    return cgd__max((size_t)scaled, least);
}

/* The size a picture is resized to, before the crop. */
static void cgd__data_fit(const cgd_data_config *c, size_t *w, size_t *h)
{
    if (c->fit == CGD_FIT_RESIZE_CROP) {
        *w = c->load_size;
        *h = c->load_height;
    } else if (c->fit == CGD_FIT_WIDTH_CROP) {
        *h = cgd__scaled(*h, c->load_size, *w, c->height);
        *w = c->load_size;
    } else if (*w < c->size || *h < c->height) {  /* enlarge, keep the aspect */
        if ((double)c->size * (double)*h > (double)c->height * (double)*w) {
            *h = cgd__scaled(*h, c->size, *w, c->height);
            *w = c->size;
        } else {
            *w = cgd__scaled(*w, c->height, *h, c->size);
            *h = c->height;
        }
    }
}

/* Resize a decoded picture, which is freed, and keep it if there is room. */
static cgd_status cgd__draw_finish(cgd_dataset *data, cgd__draw *draw,
                                   cgd_image *image)
{
    cgd__picture *p = &data->folder[draw->domain]->pictures[draw->index];
    size_t w = image->w, h = image->h, bytes;
    cgd_status status = CGD_OK;
    cgd__data_fit(&data->config, &w, &h);
    if (w == image->w && h == image->h) {
        draw->own = *image;
        memset(image, 0, sizeof *image);
    } else {
        status = cgd_image_resize(data->ctx, &draw->own, image, w, h,
                                  data->config.filter);
        cgd_image_free(data->ctx, image);
    }
    if (status != CGD_OK) return status;
    draw->ready = &draw->own;
    bytes = w * h * draw->own.c * (draw->own.data ? 1 : sizeof(float));
    if (p->kept.w > 0 || data->cached > data->config.cache_bytes
        || bytes > data->config.cache_bytes - data->cached) return CGD_OK;
    data->cached += bytes;
    p->kept = draw->own;
    memset(&draw->own, 0, sizeof draw->own);
    draw->ready = &p->kept;
    return CGD_OK;
}

/* Ready if the picture is kept or packed, or else its bytes to be decoded. */
static cgd_status cgd__draw_begin(cgd_dataset *data, cgd__draw *draw)
{
    const cgd__picture *p =
        &data->folder[draw->domain]->pictures[draw->index];
    cgd_decoding *d = &draw->decoding;
    cgd_image image;
    cgd_status status;
    if (p->kept.w > 0) {
        draw->ready = &p->kept;
        return CGD_OK;
    }
    if (p->packed) {
        status = cgd__unpack(data, draw->domain, p->packed, &image);
        return status == CGD_OK ? cgd__draw_finish(data, draw, &image)
                                : status;
    }
    draw->codec = cgd_codec_of(data->ctx);
    memset(d, 0, sizeof *d);
    d->channels = data->config.channels[draw->domain];
    d->label = p->name;
    status = cgd_read_file(data->ctx, p->name, &d->owned, &d->size);
    d->bytes = d->owned;
    if (status == CGD_OK) draw->codec->begin(data->ctx, d);
    return status;
}

static void cgd__draw_decode(void *job, size_t i)
{
    cgd__draw *draw = (cgd__draw *)job + i;
    if (draw->decoding.bytes) draw->codec->decode(&draw->decoding);
}

/* From decoded pixels to the ready picture; frees what decoding held. */
static cgd_status cgd__draw_end(cgd_dataset *data, cgd__draw *draw)
{
    cgd_decoding *d = &draw->decoding;
    cgd_image image;
    cgd_status status = cgd__decode_end(data->ctx, &image, d);
    cgd__decoding_free(data->ctx, d);
    if (status == CGD_OK)
        status = cgd_take_half(data->ctx, data->config.joined, draw->domain,
                                &image);
    if (status == CGD_OK) status = cgd__draw_finish(data, draw, &image);
    return status;
}

/* A broken picture is reported once, and the next good one taken. */
static cgd_status cgd__draw_skip(cgd_dataset *data, cgd__draw *draw,
                                 cgd_status status)
{
    cgd__picture *p = &data->folder[draw->domain]->pictures[draw->index];
    if (!cgd__skippable(status)) return status;
    if (!p->broken)
        cgd_warn(data->ctx, "%s; the next picture takes its place",
                 data->ctx->message);
    p->broken = 1;
    return cgd__draw_good(data, draw);
}

/* Bring all draws closer: read one by one, decode side by side, resize one
 * by one (each by all threads). *waiting: how many met a broken picture. */
static cgd_status cgd__draws_round(cgd_dataset *data, cgd__draw *draws,
                                   size_t n, size_t *waiting)
{
    size_t i;
    cgd_status status = CGD_OK;
    for (i = 0; i < n && status == CGD_OK; i++) {
        if (draws[i].ready) continue;
        status = cgd__draw_begin(data, &draws[i]);
        if (status != CGD_OK) status = cgd__draw_skip(data, &draws[i], status);
    }
    if (status != CGD_OK) return status;
    cgd__for(data->ctx, n, cgd__draw_decode, draws);
    *waiting = 0;
    for (i = 0; i < n && status == CGD_OK; i++) {
        if (!draws[i].decoding.bytes) {
            if (!draws[i].ready) ++*waiting;
            continue;
        }
        status = cgd__draw_end(data, &draws[i]);
        if (status == CGD_OK) continue;
        ++*waiting;
        status = cgd__draw_skip(data, &draws[i], status);
    }
    return status;
}

/* Crop at a random place, mirror or not, and into the batch it goes. */
static void cgd__draw_crop(const cgd_data_config *config, cgd__draw *draw,
                           cgd_tensor *out, size_t index)
{
    const cgd_image *from = draw->ready;
    size_t c = from->c, x, y, n;
    size_t left = cgd_rng_below(&draw->rng,
                                (cgd_u32)(from->w - config->size + 1));
    size_t top = cgd_rng_below(&draw->rng,
                               (cgd_u32)(from->h - config->height + 1));
    int mirror = config->flip && (cgd_rng_next(&draw->rng) >> 31);
    float *to = out->data + index * out->h * out->w * c;
    cgd_range range = config->range[draw->domain];
    if (range.lo == range.hi) range.white = from->white;
    n = mirror ? c : out->w * c;
    for (y = 0; y < out->h; y++)
        for (x = 0; x < (mirror ? out->w : 1); x++, to += n) {
            size_t at = ((top + y) * from->w + left
                         + (mirror ? out->w - 1 - x : 0)) * c;
            cgd__samples_in(to, from->data ? from->data + at : NULL,
                            from->data ? NULL : from->values + at, n, &range);
        }
}

static cgd_status cgd__batch_check(const cgd_dataset *data,
                                   const cgd_tensor *a, const cgd_tensor *b)
{
    const cgd_data_config *c = &data->config;
    const cgd_tensor *t[2];
    int d;
    t[0] = a;
    t[1] = b;
    for (d = 0; d < 2; d++)
        if (t[d]->n == 0 || t[d]->n != a->n || t[d]->h != c->height
            || t[d]->w != c->size || t[d]->c != c->channels[d])
            return cgd__fail(data->ctx, CGD_ERR_SHAPE, "the data set gives "
                "batches of %u x %u pixels and %u channels, not (%u, %u, %u, "
                "%u)", c->height, c->size, c->channels[d], t[d]->n, t[d]->h,
                t[d]->w, t[d]->c);
    return CGD_OK;
}

/* Draws 2i and 2i + 1 are sample i's A and B. */
static cgd_status cgd__batch_fill(cgd_dataset *data, unsigned long position,
                                  cgd__draw *draws, cgd_tensor *a,
                                  cgd_tensor *b)
{
    size_t i, waiting = 1;
    cgd_status status = CGD_OK;
    memset(draws, 0, 2 * a->n * sizeof *draws);
    for (i = 0; i < 2 * a->n && status == CGD_OK; i++)
        status = cgd__draw_plan(data, &draws[i],
                    position + (unsigned long)(i / 2), (int)(i % 2));
    while (status == CGD_OK && waiting > 0)
        status = cgd__draws_round(data, draws, 2 * a->n, &waiting);
    for (i = 0; i < 2 * a->n && status == CGD_OK; i++)
        cgd__draw_crop(&data->config, &draws[i], i % 2 ? b : a, i / 2);
    for (i = 0; i < 2 * a->n; i++) {
        cgd__decoding_free(data->ctx, &draws[i].decoding);
        cgd_image_free(data->ctx, &draws[i].own);
    }
    return status;
}

CGDDEF cgd_status cgd_dataset_at(cgd_dataset *data, unsigned long position,
                                 cgd_tensor *a, cgd_tensor *b)
{
    cgd__draw *draws;
    cgd_status status = cgd__batch_check(data, a, b);
    if (status != CGD_OK) return status;
    draws = (cgd__draw *)cgd__alloc_zeroed(data->ctx, 2 * a->n, sizeof *draws,
                                           "batch of pictures");
    if (!draws) return CGD_ERR_MEMORY;
    status = cgd__batch_fill(data, position, draws, a, b);
    cgd__free(data->ctx, draws, 2 * a->n * sizeof *draws);
    return status;
}

CGDDEF cgd_status cgd_dataset_next(cgd_dataset *data, cgd_tensor *a,
                                   cgd_tensor *b)
{
    cgd_status status = cgd_dataset_at(data, data->position, a, b);
    if (status == CGD_OK) data->position += (unsigned long)a->n;
    return status;
}

#endif /* CGD_NO_STDIO */

/* ======================================================================== */
/* [impl:run] The full loops                                                */
/* ======================================================================== */
/* Owns what happens around steps: the folder of a run, its log, sample
 * sheets, states, and the models left at the end. */
#ifndef CGD_NO_STDIO

CGDDEF cgd_status cgd_translate_file(cgd_ctx *ctx, const char *model,
                                     const char *in, const char *out)
{
    cgd_model m;
    cgd_image image, result;
    size_t c;
    cgd_status status;
    if (cgd_path_same(in, out) || cgd_path_same(model, out))
        return cgd__fail(ctx, CGD_ERR_ARGUMENT, "%s is an input, which the "
            "output would overwrite; give the output another name", out);
    status = cgd_model_load(ctx, &m, model);
    if (status != CGD_OK) return status;
    c = m.net.layers[0].in_c;
    memset(&result, 0, sizeof result);
    status = cgd_image_load_deep(ctx, &image, in, c);
    if (status == CGD_OK) {
        status = cgd_translate_image(&m, &result, &image);
        cgd_image_free(ctx, &image);
    }
    if (status == CGD_OK) status = cgd_image_save(ctx, &result, out);
    cgd_image_free(ctx, &result);
    cgd_model_free(&m);
    return status;
}

#ifndef CGD_NO_TRAIN

/* ---- the lock ------------------------------------------------------------*/
/* The system locks a file in the folder for as long as the process lives, so
 * that none is left behind by one that was killed. What the file says is for
 * the message only. */

enum { CGD__LOCK_TEXT = 128 };         /* always that long, to be overwritten*/

#if defined(_WIN32)
#include <share.h>

typedef FILE *cgd__lock;

/* 1: it is ours; 0: another holds it; -1: there are no locks here. */
static int cgd__lock_take(cgd__lock *lock, const char *path)
{
    wchar_t wide[CGD_PATH_ROOM];
    char name[CGD__LOCK_TEXT], host[MAX_COMPUTERNAME_LENGTH + 1];
    DWORD room = sizeof host;
    *lock = _wfsopen(cgd__wide_path(wide, path), L"wb", _SH_DENYWR);
    if (!*lock) return errno == EACCES ? 0 : -1;
    if (!GetComputerNameA(host, &room)) host[0] = 0;
    cgd__format(name, sizeof name, "process %u on %s\n",
                (size_t)GetCurrentProcessId(), host);
    fputs(name, *lock);
    fflush(*lock);
    return 1;
}

static void cgd__lock_give(cgd__lock *lock, const char *path)
{
    if (!*lock) return;
    fclose(*lock);
    cgd__remove(path);
}

#elif defined(CGD__POSIX)
#include <sys/utsname.h>

typedef struct cgd__lock {
    int file, held;                    /* held: 1, or 2 if it names us       */
} cgd__lock;

/* 1: it is ours; 0: another holds it; -1: there are no locks here. A file that
 * the holder before removed in the meantime is no lock: take the new one. */
static int cgd__lock_take(cgd__lock *lock, const char *path)
{
    char name[CGD__LOCK_TEXT];
    struct utsname machine;
    struct flock want;
    struct stat ours, there;
    int turn;
    for (turn = 0; ; turn++) {
        lock->file = turn < 100 ? open(path, O_RDWR | O_CREAT, 0666) : -1;
        if (lock->file < 0) return -1;
        memset(&want, 0, sizeof want);
        want.l_type = F_WRLCK;
        want.l_whence = SEEK_SET;
        if (fcntl(lock->file, F_SETLK, &want) != 0) {
            int held = errno == EACCES || errno == EAGAIN;
            close(lock->file);
            return held ? 0 : -1;
        }
        if (fstat(lock->file, &ours) == 0 && stat(path, &there) == 0
            && ours.st_ino == there.st_ino) break;
        close(lock->file);
    }
    memset(name, '\n', sizeof name);
    if (uname(&machine) < 0) machine.nodename[0] = 0;
    cgd__format(name, sizeof name, "process %u on %s\n", (size_t)getpid(),
                machine.nodename);
    name[strlen(name)] = '\n';
    lock->held = 1 + (write(lock->file, name, sizeof name) > 0);
    return 1;
}

static void cgd__lock_give(cgd__lock *lock, const char *path)
{
    if (!lock->held) return;
    cgd__remove(path);
    close(lock->file);
}

#else

typedef int cgd__lock;
static int cgd__lock_take(cgd__lock *lock, const char *path)
{
    (void)path;
    return *lock = 1;
}
static void cgd__lock_give(cgd__lock *lock, const char *path)
{
    (void)lock;
    (void)path;
}

#endif

enum { CGD__TERMS = 11 };              /* of cgd_losses, which is doubles    */
CGD__STATIC_ASSERT(losses_are_terms_of_two_words,
                   sizeof(cgd_losses) == CGD__TERMS * 2 * sizeof(cgd_u32));

/* What a state notes of the run besides the trainer's: steps summed for the
 * next line of the log, the bits of the rate's factor in the next step, how
 * many pictures each domain has and a check sum of their names and the first
 * sample, and the sums themselves, high word first. */
enum { CGD__NOTE_SUMMED = 0, CGD__NOTE_RATE, CGD__NOTE_DATA, CGD__NOTE_SUMS = 6,
       CGD__NOTES = CGD__NOTE_SUMS + 2 * CGD__TERMS };

typedef struct cgd__run {
    cgd_ctx *ctx;
    const cgd_run_config *config;
    cgd_trainer trainer;
    cgd_dataset data;
    float *pictures;                   /* a batch of A, then one of B        */
    size_t picture_values;             /* in both                            */
    cgd_tensor real[2];
    double sums[CGD__TERMS];           /* since the last line of the log     */
    unsigned long summed;
    cgd_u32 met[4];                    /* what the state notes of the data   */
    cgd__lock lock;
    int whole;                         /* the state in the folder is good... */
    int saved;                         /* and the one to be saved now        */
} cgd__run;

CGDDEF cgd_run_config cgd_run_defaults(void)
{
    cgd_run_config c;
    memset(&c, 0, sizeof c);
    c.data = cgd_data_defaults();
    c.data.size = c.data.channels[0] = c.data.channels[1] = 0;
    c.out = "run";
    c.steps = 1000;
    c.log_every = 10;
    c.sample_every = 500;
    c.save_every = 500;
    return c;
}

/* ---- the folder ----------------------------------------------------------*/

/* Put together a path in the folder, which cgd__run_folder has found to be
 * short enough, and return it. */
static const char *cgd__run_path(const cgd__run *r, char path[CGD_PATH_ROOM],
                                 const char *name)
{
    (void)cgd_path_join(path, r->config->out, name);
    return path;
}

/* out/samples/000100 and what follows; the step of now. */
static const char *cgd__run_numbered(const cgd__run *r,
                                     char path[CGD_PATH_ROOM],
                                     const char *what)
{
    char name[64], digits[24];
    size_t n;
    cgd__format(digits, sizeof digits, "%u", (size_t)r->trainer.step);
    n = strlen(digits);
    cgd__format(name, sizeof name, "samples/%s%s.%s", &"000000"[n < 6 ? n : 6],
                digits, what);
    return cgd__run_path(r, path, name);
}

/* Make the folder, and see that no other process works there. */
static cgd_status cgd__run_folder(cgd__run *r)
{
    static const char longest[] =
        "/samples/18446744073709551615.student.safetensors.cgd-part";
    char path[CGD_PATH_ROOM], holder[CGD__LOCK_TEXT];
    int mine;
    FILE *f;
    cgd_status status;
    if (strlen(r->config->out) + sizeof longest > CGD_PATH_ROOM)
        return cgd__fail(r->ctx, CGD_ERR_ARGUMENT, "the path %s is too long",
                         r->config->out);
    status = cgd_make_folder(r->ctx, cgd__run_path(r, path, "samples"));
    if (status != CGD_OK) return status;
    mine = cgd__lock_take(&r->lock, cgd__run_path(r, path, "run.lock"));
    if (mine < 0)
        cgd_warn(r->ctx, "%s cannot be locked: take care that no other "
                 "process trains into %s", path, r->config->out);
    if (mine != 0) return CGD_OK;
    memset(holder, 0, sizeof holder);
    f = cgd_fopen(path, "rb");
    if (f && fread(holder, 1, sizeof holder - 1, f) == 0) holder[0] = 0;
    if (f) fclose(f);
    holder[strcspn(holder, "\n")] = 0;
    return cgd__fail(r->ctx, CGD_ERR_ARGUMENT, "%s is in use by %s: two runs "
                     "cannot share a folder", r->config->out,
                     holder[0] ? holder : "another process");
}

/* ---- the log -------------------------------------------------------------*/

static const char *const cgd__log_columns =
    "step,gan_ab,gan_ba,cycle_a,cycle_b,identity_b,identity_a,d_b,d_a,"
    "feature,output,generators,lr_g,lr_d\n";

/* Keep the lines of the log up to the step that training resumes from, since
 * a run that was killed may have written more than it saved; also the last
 * line of a run that had come to its end, and now goes on, is not due yet. */
static cgd_status cgd__log_start(cgd__run *r)
{
    unsigned long step = r->trainer.step;
    size_t at;
    char path[CGD_PATH_ROOM], line[512];
    cgd_output out;
    FILE *from = NULL;
    cgd__run_path(r, path, "log.csv");
    if (step > 0 && cgd_path_kind(path) != CGD_PATH_MISSING) {
        from = cgd_open_input(r->ctx, path);
        if (!from) return CGD_ERR_IO;
    } else if (step > 0) {
        cgd_warn(r->ctx, "%s is missing: it begins after step %u", path,
                 (size_t)step);
    }
    cgd_output_open(r->ctx, &out, path);
    cgd_output_write(&out, cgd__log_columns, strlen(cgd__log_columns));
    while (from && fgets(line, sizeof line, from)) {
        if (!strchr(line, '\n') || !cgd__decimal(line, (size_t)-1, &at)
            || at > step || (at == step && r->summed > 0
                             && step < r->config->steps)) continue;
        cgd_output_write(&out, line, strlen(line));
    }
    if (from && ferror(from) && out.status == CGD_OK)
        out.status = cgd__fail(r->ctx, CGD_ERR_IO, "cannot read %s", path);
    if (from) fclose(from);
    return cgd_output_close(&out);
}

static cgd_status cgd__log_line(cgd__run *r, const cgd_progress *p)
{
    char path[CGD_PATH_ROOM], line[512];
    double value[CGD__TERMS + 2];
    cgd__text t;
    int i, bad;
    FILE *f;
    memcpy(value, &p->losses, sizeof p->losses);
    value[CGD__TERMS] = (double)p->lr_g;
    value[CGD__TERMS + 1] = (double)p->lr_d;
    t.at = line;
    t.room = sizeof line;
    cgd__put_unsigned(&t, (size_t)p->step);
    for (i = 0; i < CGD__TERMS + 2; i++) {
        cgd__put(&t, ',');
        cgd__put_float(&t, value[i]);
    }
    cgd__put(&t, '\n');
    *t.at = 0;
    f = cgd_fopen(cgd__run_path(r, path, "log.csv"), "ab");
    bad = !f || fputs(line, f) < 0;
    if (f && fclose(f) != 0) bad = 1;
    return bad ? cgd__disk_full(r->ctx, path) : CGD_OK;
}

/* ---- samples -------------------------------------------------------------*/

#define CGD__SHEET_ROWS 4

/* Put a picture of the batch into cell (row, column) of the sheet; a picture
 * of one channel is shown grey. */
static void cgd__sheet_put(cgd_image *sheet, size_t row, size_t column,
                           const cgd_tensor *t, unsigned char *bytes)
{
    size_t i, j, k;
    cgd_tensor_to_bytes(bytes, t, 0);
    for (i = 0; i < t->h; i++)
        for (j = 0; j < t->w; j++)
            for (k = 0; k < 3; k++)
                sheet->data[((row * t->h + i) * sheet->w + column * t->w + j)
                            * 3 + k] =
                    bytes[(i * t->w + j) * t->c + (t->c >= 3 ? k : 0)];
}

/* Show what a generator (its average, where there is one) makes of x, in the
 * memory of a step. */
static cgd_status cgd__sheet_translate(cgd_trainer *t, cgd_image *sheet,
                                       size_t row, size_t column,
                                       cgd_net *net, const float *values,
                                       const cgd_tensor *x,
                                       unsigned char *bytes)
{
    cgd_pass pass;
    cgd_status status = cgd_pass_plan(&pass, net, 1, x->h, x->w, CGD_INFER,
                                      NULL, 0);
    if (status != CGD_OK) return status;
    pass.params = values;
    status = cgd_pass_place(&pass, pass.bytes <= t->block_size ? t->block
                                                               : NULL);
    if (status == CGD_OK) status = cgd_pass_forward(&pass, x);
    if (status == CGD_OK)
        cgd__sheet_put(sheet, row, column, &pass.y, bytes);
    cgd_pass_free(&pass);
    return status;
}

/* A row: A, G_ab(A), B, G_ba(B); or input, teacher's and student's answer. */
static cgd_status cgd__sheet_row(cgd__run *r, cgd_image *sheet, size_t row,
                                 unsigned char *bytes)
{
    cgd_trainer *t = &r->trainer;
    cgd_status status = CGD_OK;
    int s;
    for (s = 0; s < 2 && status == CGD_OK; s++) {
        cgd_learner *g = &t->side[s].g;
        cgd_tensor x = r->real[s];
        size_t column = cgd__distils(t) ? 0 : (size_t)(2 * s);
        x.n = 1;
        if (cgd__distils(t) && !cgd__taught(t, s)) continue;
        cgd__sheet_put(sheet, row, column++, &x, bytes);
        if (cgd__distils(t))
            status = cgd__sheet_translate(t, sheet, row, column++,
                                          &t->teacher, NULL, &x, bytes);
        if (status == CGD_OK)
            status = cgd__sheet_translate(t, sheet, row, column, &g->net,
                                          g->ema, &x, bytes);
    }
    return status;
}

/* The first pictures of the first epoch, always the same ones. */
static cgd_status cgd__run_sample(cgd__run *r)
{
    char path[CGD_PATH_ROOM];
    unsigned long batch = (unsigned long)r->trainer.config.batch;
    size_t h = r->real[0].h, w = r->real[0].w, row;
    size_t channels = cgd__max(r->real[0].c, r->real[1].c);
    unsigned char *bytes;
    cgd_image sheet;
    cgd_status status = cgd_image_init(r->ctx, &sheet,
        w * (size_t)(cgd__distils(&r->trainer) ? 3 : 4), h * CGD__SHEET_ROWS,
        3);
    if (status != CGD_OK) return status;
    bytes = (unsigned char *)cgd__alloc_zeroed(r->ctx, h * w, channels,
                                               "a sample");
    if (!bytes) status = CGD_ERR_MEMORY;
    for (row = 0; row < CGD__SHEET_ROWS && status == CGD_OK; row++) {
        status = cgd_dataset_at(&r->data, (unsigned long)row * batch,
                                &r->real[0], &r->real[1]);
        if (status == CGD_OK) status = cgd__sheet_row(r, &sheet, row, bytes);
    }
    if (status == CGD_OK)
        status = cgd_image_save(r->ctx, &sheet,
                                cgd__run_numbered(r, path, "png"));
    cgd__free(r->ctx, bytes, h * w * channels);
    cgd_image_free(r->ctx, &sheet);
    return status;
}

/* ---- states and models ---------------------------------------------------*/

/* CRC-32, four bits at a time, of bytes behind those of which it is crc; of
 * none it is 0. */
static cgd_u32 cgd__crc32(cgd_u32 crc, const unsigned char *p, size_t n)
{
    static const cgd_u32 table[16] = {
        0x00000000U, 0x1db71064U, 0x3b6e20c8U, 0x26d930acU,
        0x76dc4190U, 0x6b6b51f4U, 0x4db26158U, 0x5005713cU,
        0xedb88320U, 0xf00f9344U, 0xd6d6a3e8U, 0xcb61b38cU,
        0x9b64c2b0U, 0x86d3d2d4U, 0xa00ae278U, 0xbdbdf21cU };
    crc ^= 0xffffffffU;
    for (; n > 0; n--) {
        crc ^= *p++;
        crc = crc >> 4 ^ table[crc & 15];
        crc = crc >> 4 ^ table[crc & 15];
    }
    return crc ^ 0xffffffffU;
}

/* Know the data again: how many pictures, of which names, and how they look
 * as they are trained on, by the first of them. */
static cgd_status cgd__run_meet(cgd__run *r)
{
    size_t i;
    int d;
    cgd_status status = cgd_dataset_at(&r->data, 0, &r->real[0], &r->real[1]);
    for (d = 0; d < 2 && status == CGD_OK; d++) {
        const struct cgd__folder *f = r->data.folder[d];
        const cgd_tensor *x = &r->real[d];
        cgd_u32 sum = 0;
        for (i = 0; i < cgd_tensor_size(x); i++) {   /* any build's rounding */
            float level = x->data[i] * 127.5f + 128;
            unsigned char byte = (unsigned char)(level < 0 ? 0
                               : level > 255 ? 255 : (int)level);
            sum = cgd__crc32(sum, &byte, 1);
        }
        for (i = 0; i < f->count; i++) {
            const char *name = cgd_path_name(f->pictures[i].name);
            sum = cgd__crc32(sum, (const unsigned char *)name,
                             strlen(name) + 1);
        }
        r->met[2 * d] = (cgd_u32)(f->count & 0xffffffffU);
        r->met[2 * d + 1] = sum;
    }
    return status;
}

/* The words of doubles as they lie in memory and the high one first, to and
 * fro. */
static void cgd__order_words(cgd_u32 *word, int doubles)
{
    int i;
    for (i = 0; i < 2 * doubles && cgd__little_endian(); i += 2) {
        cgd_u32 low = word[i];
        word[i] = word[i + 1];
        word[i + 1] = low;
    }
}

static void cgd__run_note(const cgd__run *r, cgd_u32 notes[CGD__NOTES])
{
    float rate = cgd_schedule_at(&r->trainer.config.schedule,
                                 r->trainer.step);
    notes[CGD__NOTE_SUMMED] = (cgd_u32)(r->summed & 0xffffffffUL);
    memcpy(&notes[CGD__NOTE_RATE], &rate, sizeof rate);
    memcpy(notes + CGD__NOTE_DATA, r->met, sizeof r->met);
    memcpy(notes + CGD__NOTE_SUMS, r->sums, sizeof r->sums);
    cgd__order_words(notes + CGD__NOTE_SUMS, CGD__TERMS);
}

static cgd_status cgd__run_save(cgd__run *r)
{
    char path[CGD_PATH_ROOM], keep[CGD_PATH_ROOM], text[12 * CGD__NOTES];
    const char *more[5] = { "cgd.run", NULL, "cgd.options", NULL, NULL };
    cgd_u32 notes[CGD__NOTES];
    cgd_status status;
    FILE *log;
    if (r->saved) return CGD_OK;
    cgd__run_note(r, notes);
    cgd__put_numbers(text, sizeof text, notes, CGD__NOTES);
    more[1] = text;
    more[3] = r->config->options;
    if (!more[3]) more[2] = NULL;
    /* A state must not reach the disk before the lines that belong to it. */
    log = cgd_fopen(cgd__run_path(r, path, "log.csv"), "ab");
    if (log) {
        (void)cgd__to_disk(log);
        fclose(log);
    }
    cgd__run_path(r, keep, "state.previous.safetensors");
    status = cgd__state_save(&r->trainer,
                             cgd__run_path(r, path, "state.safetensors"),
                             r->whole ? keep : NULL, more);
    if (status == CGD_OK) r->whole = r->saved = 1;
    return status;
}

/* Write a generator as a model of its own, its average where it has one. What
 * learnt with frozen statistics is folded: it has no norms. */
static cgd_status cgd__run_model(cgd__run *r, cgd_learner *g,
                                 const char *path)
{
    cgd_net folded;
    cgd_status status;
    if (r->trainer.config.freeze == 0)
        return cgd_net_save(&g->net, g->ema, path);
    status = cgd_net_fold(r->ctx, &folded, &g->net, g->ema);
    if (status == CGD_OK) status = cgd_net_save(&folded, NULL, path);
    cgd_net_free(&folded);
    return status;
}

/* Both generators or the student; numbered: under the number of this step. */
static cgd_status cgd__run_models(cgd__run *r, int numbered)
{
    cgd_trainer *t = &r->trainer;
    cgd_status status = CGD_OK;
    int s;
    for (s = 0; s < 2 && status == CGD_OK; s++) {
        cgd_learner *g = &t->side[s].g;
        char path[CGD_PATH_ROOM];
        const char *name = cgd__distils(t) ? "student.safetensors"
                         : s ? "g_ba.safetensors" : "g_ab.safetensors";
        if (cgd__distils(t) && !cgd__taught(t, s)) continue;
        status = cgd__run_model(r, g, numbered
            ? cgd__run_numbered(r, path, name) : cgd__run_path(r, path, name));
    }
    return status;
}

/* Begin with nets of somebody else's: their weights, not their past. */
static cgd_status cgd__run_starts(cgd__run *r)
{
    const cgd_net *const *from = r->config->start;
    cgd_side *side = r->trainer.side;
    cgd_learner *to[4];
    int i;
    to[0] = &side[0].g;
    to[1] = &side[1].g;
    to[2] = &side[1].d;
    to[3] = &side[0].d;
    for (i = 0; i < 4; i++) {
        if (!from[i] || (i >= 2 && !cgd__exists(to[i]))) continue;
        if (cgd_net_copy(&to[i]->net, from[i]) != CGD_OK)
            return cgd__fail(r->ctx, CGD_ERR_SHAPE,
                "start[%d] is a net of other layers than this run needs "
                "there", i);
        if (to[i]->ema)
            memcpy(to[i]->ema, from[i]->params,
                   from[i]->state * sizeof(float));
    }
    return CGD_OK;
}

/* Say if a resumed run does not find the pictures that it was begun with. */
static void cgd__run_tell_data(const cgd__run *r, const cgd_u32 *then,
                               const cgd_u32 *now)
{
    if (memcmp(then, now, 4 * sizeof *then) == 0) return;
    cgd_warn(r->ctx, "%s goes on with other pictures than it was begun with, "
             "or takes other parts of them: then %u of A and %u of B, now %u "
             "and %u", r->config->out, (size_t)then[0], (size_t)then[2],
             (size_t)now[0], (size_t)now[2]);
}

/* Say what the learning rate does where that is no matter of course: a run
 * that goes on after its end begins, under a schedule that falls, at another
 * rate than it had. */
static void cgd__run_tell_rate(const cgd__run *r, float then, float now)
{
    const cgd_schedule *plan = &r->trainer.config.schedule;
    const char *out = r->config->out;
    char then_falls[100] = "";
    size_t step = (size_t)r->trainer.step;
    if (step >= r->config->steps) return;
    if (plan->kind == CGD_LR_LINEAR || plan->kind == CGD_LR_COSINE)
        cgd__format(then_falls, sizeof then_falls,
                    "; it falls from step %u to 0 at step %u",
                    (size_t)plan->start, (size_t)plan->total);
    if (now != then)
        cgd_warn(r->ctx, "%s goes on by another schedule: after step %u the "
                 "learning rate is %f of the full one, where it was to be %f"
                 "%s", out, step, (double)now, (double)then, then_falls);
    else if (!(now > 0))
        cgd_warn(r->ctx, "%s learns nothing after step %u: its schedule has "
                 "brought the learning rate to 0", out, step);
}

/* Take up a state: the trainer's, and what is the run's own in it. */
static cgd_status cgd__run_load(cgd__run *r, const char *path)
{
    cgd_file file;
    cgd_u32 notes[CGD__NOTES], now[CGD__NOTES];
    const char *options = r->config->options, *theirs;
    cgd_status status = cgd_file_open(r->ctx, &file, path);
    if (status == CGD_OK) status = cgd__state_load(&r->trainer, &file);
    if (status == CGD_OK) {
        theirs = cgd_file_meta(&file, "cgd.options");
        r->saved = !options || (theirs && strcmp(options, theirs) == 0);
        if (cgd__numbers(cgd_file_meta(&file, "cgd.run"), notes, CGD__NOTES)) {
            r->summed = notes[CGD__NOTE_SUMMED];
            cgd__order_words(notes + CGD__NOTE_SUMS, CGD__TERMS);
            memcpy(r->sums, notes + CGD__NOTE_SUMS, sizeof r->sums);
            cgd__run_note(r, now);
            cgd__run_tell_data(r, notes + CGD__NOTE_DATA,
                               now + CGD__NOTE_DATA);
            cgd__run_tell_rate(r, cgd__bits_float(notes[CGD__NOTE_RATE]),
                               cgd__bits_float(now[CGD__NOTE_RATE]));
        }
    }
    cgd_file_close(&file);
    return status;
}

/* Go on from the state in the folder, the one before it where that was
 * damaged, or start there; never start over a state that somebody may still
 * want. */
static cgd_status cgd__run_resume(cgd__run *r)
{
    char last[CGD_PATH_ROOM], before[CGD_PATH_ROOM], why[1024];
    int exists, spare;
    cgd_status status;
    cgd__run_path(r, last, "state.safetensors");
    cgd__run_path(r, before, "state.previous.safetensors");
    exists = cgd_path_kind(last) != CGD_PATH_MISSING;
    spare = cgd_path_kind(before) != CGD_PATH_MISSING;
    if (r->config->resume == CGD_RESUME_NO && (exists || spare))
        return cgd__fail(r->ctx, CGD_ERR_ARGUMENT,
            "%s holds a run already: resume it, or choose another folder",
            r->config->out);
    if (r->config->resume == CGD_RESUME_YES && !exists && !spare)
        return cgd__fail(r->ctx, CGD_ERR_IO,
            "there is nothing to resume: %s does not exist", last);
    if (!exists && !spare) return cgd__run_starts(r);
    status = exists ? cgd__run_load(r, last)
           : cgd__fail(r->ctx, CGD_ERR_FORMAT, "%s is missing", last);
    r->whole = status == CGD_OK;
    if (status != CGD_ERR_FORMAT || !spare) return status;
    cgd__format(why, sizeof why, "%s", r->ctx->message);
    status = cgd__run_load(r, before);
    if (status != CGD_OK)
        return cgd__fail(r->ctx, status, "%s", why);
    r->saved = 0;
    cgd_warn(r->ctx, "%s; going on from %s, step %u", why, before,
             (size_t)r->trainer.step);
    return CGD_OK;
}

/* ---- the loop ------------------------------------------------------------*/

static int cgd__due(unsigned long step, unsigned long every)
{
    return every > 0 && step % every == 0;
}

/* Everything that belongs to one step. */
static cgd_status cgd__run_step(cgd__run *r, const cgd_run_config *c)
{
    cgd_trainer *t = &r->trainer;
    cgd_losses losses;
    cgd_progress p;
    double term[CGD__TERMS];
    int i, due = cgd__due(t->step + 1, c->log_every);
    float factor = cgd_schedule_at(&t->config.schedule, t->step);
    cgd_status status = cgd_dataset_next(&r->data, &r->real[0], &r->real[1]);
    if (status == CGD_OK)
        status = cgd_train_step(t, &r->real[0], &r->real[1], &losses);
    if (status != CGD_OK) return status;
    r->saved = 0;
    r->summed++;
    memcpy(term, &losses, sizeof term);
    for (i = 0; i < CGD__TERMS; i++) {
        r->sums[i] += term[i];
        term[i] = r->sums[i] / (double)r->summed;
    }
    memset(&p, 0, sizeof p);
    p.step = t->step;
    p.total = c->steps;
    memcpy(&p.losses, term, sizeof term);
    p.lr_g = t->config.lr_g * factor;
    p.lr_d = t->config.lr_d * factor;
    p.logged = due || t->step == c->steps;
    if (p.logged) status = cgd__log_line(r, &p);
    if (due) {
        memset(r->sums, 0, sizeof r->sums);
        r->summed = 0;
    }
    if (status == CGD_OK && c->sample_every
        && (cgd__due(t->step, c->sample_every) || t->step == c->steps))
        status = cgd__run_sample(r);
    if (status == CGD_OK && cgd__due(t->step, c->keep_every))
        status = cgd__run_models(r, 1);
    if (status == CGD_OK && cgd__due(t->step, c->save_every))
        status = cgd__run_save(r);
    if (status == CGD_OK && c->progress && c->progress(c->user, &p))
        status = cgd__fail(r->ctx, CGD_STOPPED, "stopped at step %u, which is "
                           "saved: a resumed run goes on from there",
                           (size_t)t->step);
    return status;
}

/* A student learns on the numbers that its teacher learnt on, unless told
 * otherwise. */
static void cgd__run_range(const cgd__run *r, cgd_range range[2])
{
    const cgd_trainer *t = &r->trainer;
    int d;
    for (d = 0; cgd__distils(t) && d < 2; d++)
        if (range[d].lo == range[d].hi && !r->config->data.measure)
            range[d] = t->teacher.generator.range[d ^ t->config.direction];
}

/* What the pictures have to be like is the training's to say. */
static cgd_status cgd__run_data(const cgd__run *r, cgd_data_config *data)
{
    const cgd_train_config *c = &r->trainer.config;
    cgd_data_config is = *data;
    data->size = c->width;
    data->height = c->height;
    data->channels[0] = cgd__channels(&r->trainer, 0);
    data->channels[1] = cgd__channels(&r->trainer, 1);
    if (data->seed == 0) data->seed = c->seed;
    if ((is.size == 0 || is.size == data->size)
        && (is.height == 0 || is.height == data->height)
        && (is.channels[0] == 0 || is.channels[0] == data->channels[0])
        && (is.channels[1] == 0 || is.channels[1] == data->channels[1]))
        return CGD_OK;
    return cgd__fail(r->ctx, CGD_ERR_ARGUMENT,
        "training takes pictures of %u x %u with %u and %u channels, the "
        "data's configuration gives others: leave its size, height and "
        "channels 0", data->size, data->height, data->channels[0],
        data->channels[1]);
}

static cgd_status cgd__run_open(cgd__run *r)
{
    const cgd_train_config *c = &r->trainer.config;
    cgd_data_config data = r->config->data;
    size_t values = c->batch * c->height * c->width, domain;
    cgd_status status;
    status = cgd__run_data(r, &data);
    if (status != CGD_OK) return status;
    cgd__run_range(r, data.range);
    status = cgd_dataset_open(r->ctx, &r->data, &data);
    if (status != CGD_OK) return status;
    for (domain = 0; domain < 4; domain++)      /* g_ab: A, B; g_ba: B, A   */
        r->trainer.side[domain / 2].g.net.generator.range[domain % 2] =
            r->data.config.range[domain / 2 ^ domain % 2];
    r->picture_values = values * (data.channels[0] + data.channels[1]);
    r->pictures = (float *)cgd__alloc_zeroed(r->ctx, r->picture_values,
                                             sizeof(float), "a batch");
    if (!r->pictures) return CGD_ERR_MEMORY;
    for (domain = 0; domain < 2; domain++)
        r->real[domain] = cgd_tensor_view(c->batch, c->height, c->width,
            data.channels[domain],
            r->pictures + domain * values * data.channels[0]);
    status = cgd__run_meet(r);
    if (status == CGD_OK) status = cgd__run_folder(r);
    if (status == CGD_OK) status = cgd__run_resume(r);
    r->data.position = r->trainer.step * (unsigned long)c->batch;
    if (status == CGD_OK) status = cgd__log_start(r);
    return status == CGD_OK ? cgd__run_save(r) : status;
}

/* What all pictures that are yet to be kept take in the end, at most. */
static size_t cgd__data_growth(const cgd_dataset *data)
{
    const cgd_data_config *c = &data->config;
    size_t n = 0, all = 0, bytes, i;
    int d;
    for (d = 0; d < 2; d++) {          /* other fits keep the aspect         */
        for (i = 0; i < data->folder[d]->count; i++)
            n += data->folder[d]->pictures[i].kept.w == 0;
        if (c->fit != CGD_FIT_RESIZE_CROP
            || !cgd__mul(&bytes, c->load_size * c->load_height
                * c->channels[d] * (c->range[d].white == 255 ? 1 : 4),
                         data->folder[d]->count)
            || !cgd__add(&all, all, bytes)) all = c->cache_bytes;
    }
    all = cgd__min(all, c->cache_bytes);
    return (all > data->cached ? all - data->cached : 0)
         + n * CGD__ALLOC_MORE;
}

/* What the memory may grow by: pictures, and an answer to each of the
 * teacher's domain, as it is and mirrored. */
static size_t cgd__run_growth(const cgd__run *r)
{
    const cgd_trainer *t = &r->trainer;
    size_t more = cgd__data_growth(&r->data), answers;
    if (!t->answers) return more;
    answers = cgd_dataset_count(&r->data, t->config.direction);
    if (r->config->data.flip) answers *= 2;
    answers = cgd__min(answers, t->answers->most);
    return more + answers * (t->answers->values * sizeof(float)
                             + CGD__ALLOC_MORE);
}

/* The loop for a trainer that has been initialised; frees it. */
static cgd_status cgd__run_loop(cgd__run *r)
{
    char lock[CGD_PATH_ROOM];
    cgd_status status = cgd__run_open(r), saved;
    if (status == CGD_OK && r->config->started)
        r->config->started(r->config->user, cgd_memory_in_use(r->ctx),
                           cgd__run_growth(r));
    while (status == CGD_OK && r->trainer.step < r->config->steps)
        status = cgd__run_step(r, r->config);
    if (status == CGD_OK || status == CGD_STOPPED) {
        saved = cgd__run_save(r);
        if (saved == CGD_OK) saved = cgd__run_models(r, 0);
        if (saved != CGD_OK) status = saved;
    }
    cgd__lock_give(&r->lock, cgd__run_path(r, lock, "run.lock"));
    cgd_dataset_close(&r->data);
    cgd__free(r->ctx, r->pictures, r->picture_values * sizeof(float));
    cgd_trainer_free(&r->trainer);
    return status;
}

CGDDEF cgd_status cgd_train_run(cgd_ctx *ctx, const cgd_train_config *config,
                                const cgd_run_config *run)
{
    cgd__run r;
    const cgd_data_config *data = &run->data;
    cgd_train_config c = *config;
    cgd_status status;
    if (data->fit != CGD_FIT_RESIZE_CROP
        || (data->load_size > 0 && data->load_size != c.width)
        || (data->load_height > 0 && data->load_height != c.height))
        c.answer_bytes = 0;            /* no crop of a picture comes again   */
    if (c.schedule.total == 0) {
        c.schedule.total = run->steps;
        if (c.schedule.kind == CGD_LR_LINEAR) c.schedule.start = run->steps / 2;
    }
    memset(&r, 0, sizeof r);
    r.ctx = ctx;
    r.config = run;
    status = cgd_trainer_init(ctx, &r.trainer, &c, run->teacher, run->reverse);
    return status == CGD_OK ? cgd__run_loop(&r) : status;
}
#endif /* CGD_NO_TRAIN */
#endif /* CGD_NO_STDIO */

/* ======================================================================== */
/* [end:changes] Change log                                                 */
/* ======================================================================== */
/* next   Changed. Distilling is training with a teacher, by cgd_trainer_init,
 *        cgd_train_step and cgd_train_run; cgd_distiller and cgd_distil_run
 *        are gone. Judging (cgd_psnr, cgd_ssim) is tools/cgd_judge.h.
 *        Passes are planned once (cgd_pass_plan, cgd_pass_place), and a net
 *        is passed through without learning (CGD_THROUGH).
 *        Operators by themselves (cgd_conv2d, cgd_norm ...) are private.
 *        cgd_pass_match is cgd_pass_pull. cgd_train_defaults lets the rate
 *        fall to 0 in the second half.
 *        Files of others: PyTorch's are read (tools/cgd_import.h); PyTorch,
 *        ONNX and C written (tools/cgd_export.h).
 *        Students: any widths, channels taken over or pruned little by little,
 *        terms on hidden states and contrast, remembered answers, frozen
 *        statistics and norms folded away.
 *        Pictures: 16 bits, floating point, any number of channels, alpha,
 *        rectangles; folders in folders, joined pairs. Damaged files are
 *        refused before stb_image sees them, PNG is written without
 *        stb_image_write, and EXIF, backgrounds and arrays are known by
 *        tools/cgd_pictures.h (cgd_use_pictures).
 *        Runs: killed at any moment they go on; one at a time in a folder;
 *        the state before the last, numbered generators; memory is foretold,
 *        and what is not finite never saved.
 *        Speed: norms inside convolutions, bf16, CGD_RECOMPUTE for memory.
 *        Machines: Windows in any letters, WebAssembly, ARM; threads follow
 *        affinity and quotas. make install; CGD_VERSION_NUMBER.
 * 0.1.0  The first complete form: training, distillation, translation.     */

#endif /* CGD__IMPLEMENTED_KERNELS: the second half */
#endif /* CGD_IMPLEMENTATION */

/* ======================================================================== */
/* [end:licence] Licence                                                    */
/* ======================================================================== */
/* This software is available under two licences; choose the one you prefer.
 *
 * ALTERNATIVE A - MIT License
 *
 * Copyright (c) 2026 the cycle_gan_distil.h authors
 *
 * Permission is hereby granted, free of charge, to any person obtaining a
 * copy of this software and associated documentation files (the "Software"),
 * to deal in the Software without restriction, including without limitation
 * the rights to use, copy, modify, merge, publish, distribute, sublicense,
 * and/or sell copies of the Software, and to permit persons to whom the
 * Software is furnished to do so, subject to the following conditions:
 *
 * The above copyright notice and this permission notice shall be included in
 * all copies or substantial portions of the Software.
 *
 * THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
 * IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
 * FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
 * AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
 * LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING
 * FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER
 * DEALINGS IN THE SOFTWARE.
 *
 * ALTERNATIVE B - Public Domain (www.unlicense.org)
 *
 * This is free and unencumbered software released into the public domain.
 *
 * Anyone is free to copy, modify, publish, use, compile, sell, or distribute
 * this software, either in source code form or as a compiled binary, for any
 * purpose, commercial or non-commercial, and by any means.
 *
 * In jurisdictions that recognize copyright laws, the author or authors of
 * this software dedicate any and all copyright interest in the software to
 * the public domain. We make this dedication for the benefit of the public at
 * large and to the detriment of our heirs and successors. We intend this
 * dedication to be an overt act of relinquishment in perpetuity of all
 * present and future rights to this software under copyright law.
 *
 * THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
 * IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
 * FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
 * AUTHORS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN
 * ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN
 * CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
 */
