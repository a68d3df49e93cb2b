/* cgd_import.h - nets out of other people's files. For cycle_gan_distil.h
 *
 * Reads what PyTorch saves (both containers, without Python) and safetensors
 * that say nothing of their net, and finds CycleGAN's generators and
 * discriminators in them by names and shapes.
 *
 * Quick start: in one source file
 *
 *     #define CGD_IMPLEMENTATION
 *     #define CGD_IMPORT_IMPLEMENTATION
 *     #include "tools/cgd_import.h"
 *
 *     s = cgd_import_open(&ctx, &file, "latest_net_G_A.pth");
 *     if (s == CGD_OK) s = cgd_import_net(&ctx, &model.net, &file, NULL);
 *     if (s == CGD_OK) cgd_file_close(&file);
 *
 * and everywhere else only the last #include. It includes cycle_gan_distil.h,
 * whose public interface it uses and whose macros (CGD_STATIC, CGDDEF,
 * CGD_NO_STDIO) hold here too.
 *
 * Contents
 *
 *   [api:import]   opening, finding, filling
 *   [impl:torch]   PyTorch's containers
 *   [impl:nets]    nets out of names and shapes
 */
#ifndef CGD_IMPORT_H
#define CGD_IMPORT_H

#include "../cycle_gan_distil.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ======================================================================== */
/* [api:import] Other people's files                                        */
/* ======================================================================== */

/* Open a file of torch.save (the zip form, or the one before release 1.6) or
 * a safetensors file, whichever it is. A PyTorch file is a program; of that
 * only what rebuilds tensors is followed, and nothing is ever called. Its
 * tensors then are those of a cgd_file, named by the path through the dicts
 * around them ("state_dict.module.model.1.weight"), wherever in their
 * storages they lie. What cannot be read is refused with a sentence that says
 * what to do in Python instead. As for cgd_file_open, the source or the bytes
 * must live until cgd_file_close. */
CGDDEF cgd_status cgd_import_open_source(cgd_ctx *ctx, cgd_file *file,
                                const cgd_source *source, const char *label);
CGDDEF cgd_status cgd_import_open_memory(cgd_ctx *ctx, cgd_file *file,
                                const void *bytes, size_t size,
                                const char *label);
#ifndef CGD_NO_STDIO
CGDDEF cgd_status cgd_import_open(cgd_ctx *ctx, cgd_file *file,
                                  const char *path);
#endif

/* A place in a file that looks like a net: what stands before its names, what
 * it was inferred to be, and whether that fits (else cgd_message has
 * the sentence, until the next call). */
enum { CGD_PREFIX_ROOM = 192 };
typedef struct cgd_found {
    char prefix[CGD_PREFIX_ROOM];
    cgd_status status;
    int is_generator;
    cgd_generator_config generator;
    cgd_discriminator_config discriminator;
} cgd_found;

/* Find the next one and return 1, or 0 at the end; *at starts at 0. */
CGDDEF int cgd_import_next(const cgd_file *file, size_t *at,
                           cgd_found *found);

/* What a file leaves open; -1: what it says, or else the first of these.
 *   up     CGD_UP_BILINEAR or CGD_UP_NEAREST, of resizing convolutions
 *   norm   CGD_NORM_INSTANCE or CGD_NORM_NONE, where a net has no tensors of
 *          norms
 *   stats  CGD_STATS_IMAGE: norms measure each picture; CGD_STATS_RUNNING:
 *          they use the statistics in the file, as PyTorch after eval() */
enum { CGD_STATS_RUNNING = 0, CGD_STATS_IMAGE };
typedef struct cgd_import_options {
    const char *key;               /* "state_dict", "netG"; NULL: the only
                                      net that fits                          */
    int up, norm, stats;
} cgd_import_options;
CGDDEF cgd_import_options cgd_import_defaults(void);

/* Build and fill a net (options NULL: the defaults). Everything is inferred
 * from names and shapes: width of every stage and block, number and kind of
 * blocks, norm and upsampling, of the official layout, CUT's with fixed
 * blurs (its default), GAN Compression's mobile one and the original
 * distillation project's. Weights under spectral or weight norm are folded.
 * What is guessed is said in a warning, with the option of cgd import that
 * changes it. Several nets that fit, or none, are refused in a sentence that
 * lists them or what is wrong. */
CGDDEF cgd_status cgd_import_net(cgd_ctx *ctx, cgd_net *net,
                                 const cgd_file *file,
                                 const cgd_import_options *options);

#ifdef __cplusplus
}
#endif
#endif /* CGD_IMPORT_H */

/* ======================================================================== */
/*                              IMPLEMENTATION                              */
/* ======================================================================== */
#if defined(CGD_IMPORT_IMPLEMENTATION) && !defined(CGD__IMPORT_IMPLEMENTED)
#define CGD__IMPORT_IMPLEMENTED

#include <stdlib.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- small tools ---------------------------------------------------------*/

static size_t cgd__lesser(size_t a, size_t b) { return a < b ? a : b; }

/* Store a*b (a+b) in *out and return 1, or return 0 if it does not fit. */
static int cgd__times(size_t *out, size_t a, size_t b)
{
    if (a != 0 && b > (size_t)-1 / a) return 0;
    *out = a * b;
    return 1;
}

static int cgd__plus(size_t *out, size_t a, size_t b)
{
    if (b > (size_t)-1 - a) return 0;
    *out = a + b;
    return 1;
}

static cgd_u32 cgd__half_at(const unsigned char *p)
{
    return (cgd_u32)p[0] | (cgd_u32)p[1] << 8;
}

static cgd_u32 cgd__word_at(const unsigned char *p)
{
    return cgd__half_at(p) | cgd__half_at(p + 2) << 16;
}

static int cgd__begins_with(const char *s, const char *prefix)
{
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

/* CRC-32, four bits at a time, of bytes behind those of which it is crc; of
 * none it is 0. */
static cgd_u32 cgd__checksum(cgd_u32 crc, const unsigned char *p, size_t n)
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

/* A name of the file's as a message may hold it: short, no control
 * characters. */
typedef struct cgd__clean { char text[64]; } cgd__clean;

static const char *cgd__printable(cgd__clean *clean, const char *name)
{
    size_t i;
    cgd_format(clean->text, sizeof clean->text, "%s", name);
    for (i = 0; clean->text[i]; i++)
        if ((unsigned char)clean->text[i] < 32 || clean->text[i] == 127)
            clean->text[i] = '?';
    return clean->text;
}

static const struct cgd__type {
    const char *name;
    int dtype;
    size_t width;                            /* bytes of one element         */
} cgd__types[] = {
    { "F32", CGD_F32, 4 }, { "F16", CGD_F16, 2 }, { "BF16", CGD_BF16, 2 },
    { "F64", CGD_F64, 8 }, { "I64", CGD_I64, 8 }, { "I32", CGD_I32, 4 },
    { "U8", CGD_U8, 1 },   { "I16", CGD_I16, 2 }, { "I8", CGD_I8, 1 },
    { "BOOL", CGD_BOOL, 1 }
};

static const struct cgd__type *cgd__type_of(int dtype)
{
    const struct cgd__type *type = cgd__types;
    while (type->dtype != dtype) type++;
    return type;
}

/* ======================================================================== */
/* [impl:torch] PyTorch's containers                                        */
/* ======================================================================== */
/* Owns the readers of PyTorch's two containers, the zip file since release
 * 1.6 and the older run of pickles. A pickle is a program for Python's stack
 * machine. Here it is followed as far as it describes tensors, and nothing in
 * it is ever called: the names it may use are a fixed list. What it describes
 * becomes a cgd_file, so that all else works as with safetensors.
 * A file cannot ask for much: every value costs it a byte at least, every
 * tensor lies inside the file, and numbers are checked before they are used.
 * Gives back all it allocates but what an open file needs. */

#define CGD__PICKLE_VALUES ((size_t)1 << 21)   /* more than any weights need */
#define CGD__PICKLE_TENSORS ((size_t)1 << 16)
#define CGD__PICKLE_DEPTH 32                   /* dicts inside dicts         */
#define CGD__PATH_ROOM 256                     /* the names of nested dicts  */

/* What a pickle builds. Containers are chains of cells, since they grow. */
enum { CGD__NOTHING = 0,  /* None, floats and all else of no interest        */
       CGD__NUMBER,       /* at: the number                                  */
       CGD__STRING,       /* at, size: its bytes in the file                 */
       CGD__GLOBAL,       /* at: its row in the table below                  */
       CGD__LIST,         /* first, last: cells; size: how many              */
       CGD__DICT,         /* the same; a key, its value, a key, ...          */
       CGD__CELL,         /* first: the value; last: the next cell           */
       CGD__STORAGE,      /* at: its row among the storages                  */
       CGD__TENSOR };     /* at: its row among the tensors                   */

typedef struct cgd__value {
    int kind;
    cgd_u32 first, last;
    size_t at, size;
} cgd__value;

#define CGD__MARK 0xffffffffU                  /* on the stack               */

/* A run of numbers somewhere in the file, or the part of one (a view). */
typedef struct cgd__storage {
    char key[32];
    int dtype, found;
    size_t whole;                  /* elements                               */
    size_t first, count;           /* of those, what this one shows          */
    size_t begin;                  /* byte in the file                       */
} cgd__storage;

typedef struct cgd__slice {
    size_t storage, offset, rank, shape[8], stride[8], span;
} cgd__slice;

typedef struct cgd__torch {
    cgd_file *file;
    cgd_status status;
    size_t at, end;                /* of the pickle not yet followed         */
    unsigned char window[512];     /* of the file from window_at             */
    size_t window_at, window_size;
    cgd__value *values;
    cgd_u32 *stack, *memo;
    cgd__storage *storages;
    cgd__storage **by_key;
    cgd__slice *slices;
    size_t n_values, value_room, depth, stack_room, n_memo, memo_room;
    size_t n_storages, storage_room, n_slices, slice_room, n_by_key;
    size_t visits, n_names, text_size;        /* while names are collected   */
    cgd_u32 described, said[2];  /* a dict, and what it says of itself       */
    char path[CGD__PATH_ROOM];
} cgd__torch;

/* Keep the first failure, return 0. what completes "FILE ...". */
static int cgd__torch_fail(cgd__torch *p, const char *what)
{
    if (p->status == CGD_OK)
        p->status = cgd_fail(p->file->ctx, CGD_ERR_FORMAT, "%s %s",
                             p->file->path, what);
    return 0;
}

/* The same about a name of the file's. */
static int cgd__torch_refuse(cgd__torch *p, const char *before,
                             const char *name, const char *after)
{
    cgd__clean shown;
    if (p->status == CGD_OK)
        p->status = cgd_fail(p->file->ctx, CGD_ERR_FORMAT, "%s %s%s%s",
            p->file->path, before, cgd__printable(&shown, name), after);
    return 0;
}

/* Room for one more element in an array of the reader. */
static int cgd__torch_grow(cgd__torch *p, void *array, size_t *room,
                           size_t need, size_t size)
{
    void *block, *grown;
    size_t wanted = need < 16 ? 16 : need;
    if (need <= *room) return 1;
    if (wanted < 2 * *room) wanted = 2 * *room;
    memcpy(&block, array, sizeof block);
    grown = cgd_alloc(p->file->ctx, wanted, size, p->file->path);
    if (!grown) {
        if (p->status == CGD_OK) p->status = CGD_ERR_MEMORY;
        return 0;
    }
    if (block) memcpy(grown, block, *room * size);
    cgd_release(p->file->ctx, block, *room * size);
    *room = wanted;
    memcpy(array, &grown, sizeof grown);
    return 1;
}

static int cgd__torch_read(cgd__torch *p, size_t at, void *dst, size_t bytes)
{
    size_t size = p->file->source.size;
    if (p->status != CGD_OK) return 0;
    if (at > size || bytes > size - at)
        return cgd__torch_fail(p, "was cut short, or its parts lie about "
                                  "where they are");
    if (bytes == 0
        || p->file->source.read(p->file->source.user, at, dst, bytes))
        return 1;
    p->status = cgd_fail(p->file->ctx, CGD_ERR_IO,
                         "%s: cannot read %u bytes at byte %u", p->file->path,
                         bytes, at);
    return 0;
}

/* ---- the pickle: bytes and values ----------------------------------------*/

static int cgd__pickle_byte(cgd__torch *p)
{
    if (p->at >= p->end) {
        cgd__torch_fail(p, "was cut short: its pickle has no end");
        return 0;
    }
    if (p->at < p->window_at || p->at - p->window_at >= p->window_size) {
        p->window_size = cgd__lesser(sizeof p->window, p->end - p->at);
        p->window_at = p->at;
        if (!cgd__torch_read(p, p->at, p->window, p->window_size)) {
            p->window_size = 0;
            return 0;
        }
    }
    return p->window[p->at++ - p->window_at];
}

/* A little-endian number of so many bytes; 0 if it does not fit. *fits may be
 * NULL. */
static size_t cgd__pickle_number(cgd__torch *p, size_t bytes, int *fits)
{
    size_t v = 0, i;
    for (i = 0; i < bytes; i++) {
        size_t byte = (size_t)cgd__pickle_byte(p);
        if (i < sizeof v) v |= byte << 8 * i;
        else if (byte != 0 && fits) *fits = 0;
    }
    return v;
}

/* A new value; 0, which is a value of no interest, after a failure. */
static cgd_u32 cgd__value_new(cgd__torch *p, int kind, size_t at, size_t size)
{
    cgd__value *v;
    if (p->status != CGD_OK) return 0;
    if (p->n_values == CGD__PICKLE_VALUES) {
        cgd__torch_fail(p, "has more parts than any file of weights");
        return 0;
    }
    if (!cgd__torch_grow(p, &p->values, &p->value_room, p->n_values + 1,
                         sizeof *p->values)) return 0;
    v = &p->values[p->n_values];
    memset(v, 0, sizeof *v);
    v->kind = kind;
    v->at = at;
    v->size = size;
    return (cgd_u32)p->n_values++;
}

static void cgd__put_on(cgd__torch *p, cgd_u32 value)
{
    if (p->status != CGD_OK
        || !cgd__torch_grow(p, &p->stack, &p->stack_room, p->depth + 1,
                            sizeof *p->stack)) return;
    p->stack[p->depth++] = value;
}

static void cgd__put_new(cgd__torch *p, int kind, size_t at, size_t size)
{
    cgd__put_on(p, cgd__value_new(p, kind, at, size));
}

static cgd_u32 cgd__take_off(cgd__torch *p)
{
    if (p->status == CGD_OK && p->depth > 0
        && p->stack[p->depth - 1] != CGD__MARK) return p->stack[--p->depth];
    cgd__torch_fail(p, "holds a broken pickle: it takes what it never put");
    return 0;
}

static void cgd__append_to(cgd__torch *p, cgd_u32 list, cgd_u32 value)
{
    cgd_u32 cell = cgd__value_new(p, CGD__CELL, 0, 0);
    cgd__value *v = p->values + list;
    if (p->status != CGD_OK) return;
    p->values[cell].first = value;
    if (v->size++ == 0) v->first = cell;
    else p->values[v->last].last = cell;
    v->last = cell;
}

/* The n-th element of a list, or 0. Lists of arguments are short. */
static cgd_u32 cgd__nth(const cgd__torch *p, cgd_u32 list, size_t n)
{
    const cgd__value *v = p->values + list;
    cgd_u32 cell = v->first;
    if (v->kind != CGD__LIST || n >= v->size) return 0;
    for (; n > 0; n--) cell = p->values[cell].last;
    return p->values[cell].first;
}

/* Take what lies above the topmost mark, and the mark, from the stack into a
 * container; a dict gets pairs. */
static void cgd__take_marked(cgd__torch *p, cgd_u32 into)
{
    size_t mark = p->depth, i;
    while (mark > 0 && p->stack[mark - 1] != CGD__MARK) mark--;
    if (mark == 0) {
        cgd__torch_fail(p, "holds a broken pickle: it lacks a mark");
        return;
    }
    for (i = mark; i < p->depth && p->status == CGD_OK; i++)
        cgd__append_to(p, into, p->stack[i]);
    p->depth = mark - 1;
}

/* The container on top of the stack. */
static cgd_u32 cgd__top(cgd__torch *p, int kind)
{
    cgd_u32 v = p->depth > 0 ? p->stack[p->depth - 1] : CGD__MARK;
    if (v != CGD__MARK && p->values[v].kind == kind) return v;
    cgd__torch_fail(p, "holds a broken pickle: it fills what is no list or "
                       "dict");
    return 0;
}

/* The n values on top as a list, which is how a tuple is kept too. */
static void cgd__tuple(cgd__torch *p, size_t n)
{
    cgd_u32 list = cgd__value_new(p, CGD__LIST, 0, 0);
    size_t i;
    for (i = 0; i < n; i++)
        if (p->depth < n || p->stack[p->depth - 1 - i] == CGD__MARK) {
            cgd__torch_fail(p, "holds a broken pickle: a tuple is short");
            return;
        }
    for (i = 0; i < n && p->status == CGD_OK; i++)
        cgd__append_to(p, list, p->stack[p->depth - n + i]);
    p->depth -= n;
    cgd__put_on(p, list);
}

/* Copy a string's bytes; 0 if it is none, too long or has zeros inside. */
static int cgd__string(cgd__torch *p, cgd_u32 value, char *to, size_t room)
{
    const cgd__value *v = p->values + value;
    if (v->kind != CGD__STRING || v->size >= room) return 0;
    if (!cgd__torch_read(p, v->at, to, v->size)) return 0;
    to[v->size] = 0;
    return strlen(to) == v->size;
}

static int cgd__is(const cgd__torch *p, cgd_u32 value, int kind)
{
    return p->values[value].kind == kind;
}

/* ---- the pickle: what tensors are made of --------------------------------*/

enum { CGD__ORDERED_DICT = 0, CGD__REBUILD_V2, CGD__REBUILD, CGD__PARAMETER,
       CGD__SIZE, CGD__OF_TYPE, CGD__HARMLESS };

static const struct cgd__global {
    const char *module, *name;
    int what, dtype;
} cgd__globals[] = {
    { "collections", "OrderedDict", CGD__ORDERED_DICT, 0 },
    { "torch._utils", "_rebuild_tensor_v2", CGD__REBUILD_V2, 0 },
    { "torch._utils", "_rebuild_tensor", CGD__REBUILD, 0 },
    { "torch._utils", "_rebuild_parameter", CGD__PARAMETER, 0 },
    { "torch", "Size", CGD__SIZE, 0 },
    { "torch", "FloatStorage", CGD__OF_TYPE, CGD_F32 },
    { "torch", "DoubleStorage", CGD__OF_TYPE, CGD_F64 },
    { "torch", "HalfStorage", CGD__OF_TYPE, CGD_F16 },
    { "torch", "BFloat16Storage", CGD__OF_TYPE, CGD_BF16 },
    { "torch", "LongStorage", CGD__OF_TYPE, CGD_I64 },
    { "torch", "IntStorage", CGD__OF_TYPE, CGD_I32 },
    { "torch", "ShortStorage", CGD__OF_TYPE, CGD_I16 },
    { "torch", "CharStorage", CGD__OF_TYPE, CGD_I8 },
    { "torch", "ByteStorage", CGD__OF_TYPE, CGD_U8 },
    { "torch", "BoolStorage", CGD__OF_TYPE, CGD_BOOL },
    { "torch", "device", CGD__HARMLESS, 0 },     /* beside the weights: of   */
    { "torch", "float32", CGD__HARMLESS, 0 },    /* no interest              */
    { "torch", "float64", CGD__HARMLESS, 0 },
    { "torch", "float16", CGD__HARMLESS, 0 },
    { "torch", "bfloat16", CGD__HARMLESS, 0 },
    { "torch", "int64", CGD__HARMLESS, 0 },
    { "torch", "int32", CGD__HARMLESS, 0 },
    { "torch", "int16", CGD__HARMLESS, 0 },
    { "torch", "int8", CGD__HARMLESS, 0 },
    { "torch", "uint8", CGD__HARMLESS, 0 },
    { "torch", "bool", CGD__HARMLESS, 0 },
    { "collections", "Counter", CGD__HARMLESS, 0 },
    { "builtins", "set", CGD__HARMLESS, 0 },
    { "__builtin__", "set", CGD__HARMLESS, 0 },
    { "builtins", "complex", CGD__HARMLESS, 0 },
    { "__builtin__", "complex", CGD__HARMLESS, 0 }
};

/* Refuse a name that is not in the list, with what to do about it. */
static void cgd__global_refuse(cgd__torch *p, const char *module,
                               const char *name)
{
    static const char *const shady[] = { "posix", "nt", "os", "subprocess",
        "sys", "builtins", "__builtin__", "runpy", "importlib", "socket",
        "shutil", "pty", "commands", "webbrowser" };
    cgd__clean a, b;
    size_t i;
    int evil = 0;
    for (i = 0; i < sizeof shady / sizeof *shady; i++)
        evil |= strcmp(module, shady[i]) == 0;
    if (p->status != CGD_OK) return;
    cgd__printable(&a, module);
    cgd__printable(&b, name);
    if (strncmp(name, "_rebuild_qtensor", 16) == 0 || name[0] == 'Q'
        || strcmp(name, "_rebuild_tensor_v3") == 0)
        p->status = cgd_fail(p->file->ctx, CGD_ERR_FORMAT,
            "%s holds numbers of 8 bits or fewer, or of a new kind (%s.%s), "
            "which are not weights by themselves: save it from Python as "
            "float32", p->file->path, a.text, b.text);
    else if (evil)
        p->status = cgd_fail(p->file->ctx, CGD_ERR_FORMAT,
            "%s would have Python call %s.%s, which no weights need: do not "
            "load it there either", p->file->path, a.text, b.text);
    else
        p->status = cgd_fail(p->file->ctx, CGD_ERR_FORMAT,
            "%s holds a Python object (%s.%s), perhaps a whole model, not "
            "weights alone: in Python, torch.save(model.state_dict(), "
            "\"weights.pth\") writes a file that can be read", p->file->path,
            a.text, b.text);
}

static void cgd__pickle_line(cgd__torch *p, char *to, size_t room)
{
    size_t n = 0;
    int c;
    while ((c = cgd__pickle_byte(p)) != '\n' && p->status == CGD_OK)
        if (n + 1 < room) to[n++] = (char)c;
    to[n] = 0;
}

/* Look a name up, and put it on the stack. */
static void cgd__global_put(cgd__torch *p, const char *module,
                            const char *name)
{
    const char *m = module;
    size_t i, n = strlen(name);
    if (strcmp(module, "torch.cuda") == 0 && n > 7
        && strcmp(name + n - 7, "Storage") == 0) m = "torch";
    for (i = 0; i < sizeof cgd__globals / sizeof *cgd__globals; i++)
        if (strcmp(m, cgd__globals[i].module) == 0
            && strcmp(name, cgd__globals[i].name) == 0) {
            cgd__put_new(p, CGD__GLOBAL, i, 0);
            return;
        }
    cgd__global_refuse(p, module, name);
}

/* Both names in lines of text: GLOBAL; or on the stack: STACK_GLOBAL. */
static void cgd__pickle_global(cgd__torch *p, int stacked)
{
    char module[96] = "", name[96] = "";
    if (stacked) {
        cgd_u32 second = cgd__take_off(p), first = cgd__take_off(p);
        if (p->status != CGD_OK) return;
        if (!cgd__string(p, first, module, sizeof module)
            || !cgd__string(p, second, name, sizeof name)) {
            cgd__torch_fail(p, "holds a broken pickle: a name is no string");
            return;
        }
    } else {
        cgd__pickle_line(p, module, sizeof module);
        cgd__pickle_line(p, name, sizeof name);
    }
    cgd__global_put(p, module, name);
}

/* ("storage", class, key, device, elements[, (key, first, elements)]) */
static void cgd__pickle_storage(cgd__torch *p)
{
    cgd_u32 id = cgd__take_off(p), type, count, view;
    cgd__storage s;
    char word[16] = "";
    memset(&s, 0, sizeof s);
    if (p->status != CGD_OK) return;
    type = cgd__nth(p, id, 1);
    count = cgd__nth(p, id, 4);
    view = cgd__nth(p, id, 5);
    if (cgd__string(p, cgd__nth(p, id, 0), word, sizeof word)
        && strcmp(word, "module") == 0) {
        cgd__torch_fail(p, "holds a whole model with its code: in Python, "
            "torch.save(model.state_dict(), \"weights.pth\") writes a file "
            "that can be read");
        return;
    }
    if (p->status != CGD_OK) return;
    if (strcmp(word, "storage") != 0 || !cgd__is(p, type, CGD__GLOBAL)
        || cgd__globals[p->values[type].at].what != CGD__OF_TYPE
        || !cgd__string(p, cgd__nth(p, id, 2), s.key, sizeof s.key)
        || !cgd__is(p, count, CGD__NUMBER)
        || p->n_storages == CGD__PICKLE_TENSORS) {
        cgd__torch_fail(p, "describes a storage that makes no sense");
        return;
    }
    s.dtype = cgd__globals[p->values[type].at].dtype;
    s.whole = s.count = p->values[count].at;
    if (cgd__is(p, view, CGD__LIST)) {
        cgd_u32 first = cgd__nth(p, view, 1), part = cgd__nth(p, view, 2);
        s.first = p->values[first].at;
        s.count = p->values[part].at;
        if (!cgd__is(p, first, CGD__NUMBER) || !cgd__is(p, part, CGD__NUMBER)
            || s.first > s.whole || s.count > s.whole - s.first) {
            cgd__torch_fail(p, "describes a view outside its storage");
            return;
        }
    }
    if (!cgd__torch_grow(p, &p->storages, &p->storage_room, p->n_storages + 1,
                         sizeof *p->storages)) return;
    p->storages[p->n_storages++] = s;
    cgd__put_new(p, CGD__STORAGE, p->n_storages - 1, 0);
}

/* Sizes and strides; 0 if they are not lists of numbers of one length. */
static int cgd__slice_axes(cgd__torch *p, cgd__slice *t, cgd_u32 shape,
                           cgd_u32 stride)
{
    size_t i;
    if (!cgd__is(p, shape, CGD__LIST) || !cgd__is(p, stride, CGD__LIST)
        || p->values[shape].size != p->values[stride].size
        || p->values[shape].size > 8) return 0;
    t->rank = p->values[shape].size;
    for (i = 0; i < t->rank; i++) {
        cgd_u32 n = cgd__nth(p, shape, i), s = cgd__nth(p, stride, i);
        if (!cgd__is(p, n, CGD__NUMBER) || !cgd__is(p, s, CGD__NUMBER))
            return 0;
        t->shape[i] = p->values[n].at;
        t->stride[i] = p->values[s].at;
    }
    return 1;
}

/* How far the elements reach: they must lie inside the storage, and cannot be
 * more than it has, so none is counted twice to make a small file large. */
static int cgd__slice_measure(cgd__slice *t, const cgd__storage *s)
{
    size_t i, step, elements = 1;
    t->span = 1;
    for (i = 0; i < t->rank; i++) {
        if (!cgd__times(&elements, elements, t->shape[i])) return 0;
        if (t->shape[i] < 2) continue;
        if (t->stride[i] == 0
            || !cgd__times(&step, t->shape[i] - 1, t->stride[i])
            || !cgd__plus(&t->span, t->span, step)) return 0;
    }
    if (elements == 0) t->span = 0;
    return elements <= s->count && t->offset <= s->count
        && t->span <= s->count - t->offset;
}

/* Row-major slices need no strides; those that do keep them, but for axes of
 * one element, whose stride says nothing. */
static void cgd__slice_tidy(cgd__slice *t)
{
    size_t i, packed = 1, same = 1;
    for (i = t->rank; i-- > 0; packed *= t->shape[i])
        if (t->shape[i] > 1 && t->stride[i] != packed) same = 0;
    for (i = 0; i < t->rank; i++)
        if (same || t->span == 0) t->stride[i] = 0;
}

/* (storage, offset, sizes, strides, ...) */
static cgd_u32 cgd__make_tensor(cgd__torch *p, cgd_u32 args)
{
    cgd_u32 storage = cgd__nth(p, args, 0), offset = cgd__nth(p, args, 1);
    cgd__slice t;
    memset(&t, 0, sizeof t);
    t.storage = p->values[storage].at;
    t.offset = p->values[offset].at;
    if (!cgd__is(p, storage, CGD__STORAGE) || !cgd__is(p, offset, CGD__NUMBER)
        || p->n_slices == CGD__PICKLE_TENSORS
        || !cgd__slice_axes(p, &t, cgd__nth(p, args, 2),
                            cgd__nth(p, args, 3))) {
        cgd__torch_fail(p, "describes a tensor that makes no sense");
        return 0;
    }
    if (!cgd__slice_measure(&t, &p->storages[t.storage])) {
        cgd__torch_fail(p, "describes a tensor that does not fit into its "
            "storage (one that was expanded, in Python, is saved after "
            ".contiguous())");
        return 0;
    }
    cgd__slice_tidy(&t);
    if (!cgd__torch_grow(p, &p->slices, &p->slice_room, p->n_slices + 1,
                         sizeof *p->slices)) return 0;
    p->slices[p->n_slices++] = t;
    return cgd__value_new(p, CGD__TENSOR, p->n_slices - 1, 0);
}

/* OrderedDict(), or, as Python 2 wrote it, OrderedDict([[key, value], ...]) */
static cgd_u32 cgd__make_dict(cgd__torch *p, cgd_u32 args)
{
    cgd_u32 dict = cgd__value_new(p, CGD__DICT, 0, 0);
    cgd_u32 pairs = cgd__nth(p, args, 0);
    cgd_u32 cell = p->status == CGD_OK ? p->values[pairs].first : 0;
    size_t n = p->status == CGD_OK && cgd__is(p, pairs, CGD__LIST)
             ? p->values[pairs].size : 0;
    for (; n > 0 && p->status == CGD_OK; n--, cell = p->values[cell].last) {
        cgd_u32 pair = p->values[cell].first;
        cgd__append_to(p, dict, cgd__nth(p, pair, 0));
        cgd__append_to(p, dict, cgd__nth(p, pair, 1));
    }
    return dict;
}

/* "Call" one of the list's names: REDUCE and NEWOBJ. */
static void cgd__pickle_reduce(cgd__torch *p)
{
    cgd_u32 args = cgd__take_off(p), callee = cgd__take_off(p), made = 0;
    if (p->status != CGD_OK) return;
    if (!cgd__is(p, callee, CGD__GLOBAL) || !cgd__is(p, args, CGD__LIST)) {
        cgd__torch_fail(p, "holds a broken pickle: it calls what is no "
                           "function");
        return;
    }
    switch (cgd__globals[p->values[callee].at].what) {
    case CGD__ORDERED_DICT: made = cgd__make_dict(p, args); break;
    case CGD__REBUILD:
    case CGD__REBUILD_V2:   made = cgd__make_tensor(p, args); break;
    case CGD__PARAMETER:
    case CGD__SIZE:         made = cgd__nth(p, args, 0); break;
    case CGD__HARMLESS:     break;
    default: cgd__torch_fail(p, "makes a storage in a way that torch.save "
                                "does not");
    }
    cgd__put_on(p, made);
}

/* ---- the pickle: the machine ---------------------------------------------*/

/* Indices are given out one by one, from 0 or (Python 2) from 1. */
static void cgd__memo_put(cgd__torch *p, size_t index)
{
    cgd_u32 v = p->depth > 0 ? p->stack[p->depth - 1] : CGD__MARK;
    if (v == CGD__MARK || index > p->n_memo + 1) {
        cgd__torch_fail(p, "holds a broken pickle: it keeps what it cannot");
        return;
    }
    if (!cgd__torch_grow(p, &p->memo, &p->memo_room, index + 1,
                         sizeof *p->memo)) return;
    for (; p->n_memo <= index; p->n_memo++) p->memo[p->n_memo] = 0;
    p->memo[index] = v;
}

static void cgd__memo_get(cgd__torch *p, size_t index)
{
    if (p->status == CGD_OK && index >= p->n_memo)
        cgd__torch_fail(p, "holds a broken pickle: it wants what it never "
                           "kept");
    if (p->status == CGD_OK) cgd__put_on(p, p->memo[index]);
}

static void cgd__pickle_string(cgd__torch *p, size_t n)
{
    if (p->status != CGD_OK) return;
    if (n > p->end - p->at) {
        cgd__torch_fail(p, "was cut short: a string in its pickle does not "
                           "fit");
        return;
    }
    cgd__put_new(p, CGD__STRING, p->at, n);
    p->at += n;
}

/* A number of `bytes` bytes; negative and huge ones are of no interest, and
 * where they would matter, missing. */
static void cgd__pickle_integer(cgd__torch *p, size_t bytes, int is_signed)
{
    int fits = 1, negative;
    size_t v = cgd__pickle_number(p, bytes, &fits);
    negative = is_signed && bytes > 0 && p->status == CGD_OK
            && (p->window[p->at - 1 - p->window_at] & 0x80);
    cgd__put_new(p, fits && !negative ? CGD__NUMBER : CGD__NOTHING, v, 0);
}

static void cgd__pickle_set(cgd__torch *p, int kind, int n)
{
    cgd_u32 value[2], into;
    int i;
    for (i = n; i-- > 0;) value[i] = cgd__take_off(p);
    into = p->status == CGD_OK ? cgd__top(p, kind) : 0;
    for (i = 0; i < n && p->status == CGD_OK; i++)
        cgd__append_to(p, into, value[i]);
}

/* Everything above the mark goes into the container below it. */
static void cgd__pickle_set_many(cgd__torch *p, int kind)
{
    cgd_u32 more = cgd__value_new(p, CGD__LIST, 0, 0), into, cell;
    size_t n;
    cgd__take_marked(p, more);
    into = p->status == CGD_OK ? cgd__top(p, kind) : 0;
    if (p->status != CGD_OK) return;
    n = p->values[more].size;
    if (kind == CGD__DICT && n % 2 != 0) {
        cgd__torch_fail(p, "holds a broken pickle: a key lacks its value");
        return;
    }
    if (n == 0) return;
    cell = p->values[more].first;              /* hang the chain on the end  */
    if (p->values[into].size == 0) p->values[into].first = cell;
    else p->values[p->values[into].last].last = cell;
    p->values[into].last = p->values[more].last;
    p->values[into].size += n;
}

/* The value of a key, or 0. */
static cgd_u32 cgd__dict_get(cgd__torch *p, cgd_u32 dict, const char *key)
{
    char word[16];
    size_t n = cgd__is(p, dict, CGD__DICT) ? p->values[dict].size : 0;
    cgd_u32 cell = p->values[dict].first;
    for (; n > 1 && p->status == CGD_OK; n -= 2) {
        cgd_u32 value = p->values[cell].last;
        if (cgd__string(p, p->values[cell].first, word, sizeof word)
            && strcmp(word, key) == 0) return p->values[value].first;
        cell = p->values[value].last;
    }
    return 0;
}

static const char *const cgd__said_keys[2] = { "cgd.net", "cgd.range" };

/* BUILD: attributes, which say nothing of weights; but for ours. */
static void cgd__pickle_build(cgd__torch *p)
{
    cgd_u32 state = cgd__take_off(p), words, text;
    int i;
    if (p->status != CGD_OK || p->depth == 0
        || p->stack[p->depth - 1] == CGD__MARK) return;
    words = cgd__dict_get(p, state, "_metadata");
    words = words ? cgd__dict_get(p, words, "") : 0;
    if (!words || !cgd__dict_get(p, words, "cgd.net")) return;
    for (i = 0; i < 2; i++) {
        text = cgd__dict_get(p, words, cgd__said_keys[i]);
        p->said[i] = text && cgd__is(p, text, CGD__STRING)
            && p->values[text].size < CGD_DESCRIPTION_ROOM ? text : 0;
    }
    p->described = p->stack[p->depth - 1];
}

/* The metadata of the dict that is the file's object, or its room in text. */
static size_t cgd__torch_said(cgd__torch *p, char *text)
{
    cgd_file *file = p->file;
    size_t used = 0;
    int i;
    for (i = 0; i < 2; i++) {
        size_t key = strlen(cgd__said_keys[i]) + 1, words;
        if (!p->said[i]) continue;
        words = p->values[p->said[i]].size + 1;
        if (text) {
            memcpy(text + used, cgd__said_keys[i], key);
            if (!cgd__string(p, p->said[i], text + used + key, words))
                continue;
            file->meta[2 * file->n_meta] = text + used;
            file->meta[2 * file->n_meta++ + 1] = text + used + key;
        }
        used += key + words;
    }
    return used;
}

static void cgd__pickle_unknown(cgd__torch *p, int op)
{
    if (p->status == CGD_OK)
        p->status = cgd_fail(p->file->ctx, CGD_ERR_FORMAT,
            "%s holds a pickle with operation %d, which torch.save does not "
            "use by itself: in Python, torch.save(state_dict, "
            "\"weights.pth\") writes a file that can be read", p->file->path,
            op);
}

/* One operation; 0 at the end. Names are those of Python's pickletools. */
static int cgd__pickle_step(cgd__torch *p)
{
    cgd_u32 list;
    int op = cgd__pickle_byte(p);
    if (p->status != CGD_OK) return 0;
    switch (op) {
    case 0x80: cgd__pickle_byte(p); break;                   /* PROTO        */
    case '.': return 0;                                      /* STOP         */
    case 0x95: cgd__pickle_number(p, 8, NULL); break;        /* FRAME        */
    case 'c':                                                /* GLOBAL       */
    case 0x93: cgd__pickle_global(p, op == 0x93); break;     /* STACK_GLOBAL */
    case '(': cgd__put_on(p, CGD__MARK); break;              /* MARK         */
    case 'q': cgd__memo_put(p, cgd__pickle_number(p, 1, NULL)); break;
    case 'r': cgd__memo_put(p, cgd__pickle_number(p, 4, NULL)); break;
    case 0x94: cgd__memo_put(p, p->n_memo); break;           /* MEMOIZE      */
    case 'h': cgd__memo_get(p, cgd__pickle_number(p, 1, NULL)); break;
    case 'j': cgd__memo_get(p, cgd__pickle_number(p, 4, NULL)); break;
    case 'U': case 'C':                                      /* SHORT_...    */
    case 0x8c: cgd__pickle_string(p, cgd__pickle_number(p, 1, NULL)); break;
    case 0x8d: case 0x8e:                                    /* BINUNICODE8  */
        cgd__pickle_string(p, cgd__pickle_number(p, 8, NULL));
        break;
    case 'B':                                                /* BINBYTES     */
    case 'X':                                                /* BINUNICODE   */
    case 'T': cgd__pickle_string(p, cgd__pickle_number(p, 4, NULL)); break;
    case 'K': cgd__pickle_integer(p, 1, 0); break;           /* BININT1      */
    case 'M': cgd__pickle_integer(p, 2, 0); break;           /* BININT2      */
    case 'J': cgd__pickle_integer(p, 4, 1); break;           /* BININT       */
    case 0x8a:                                               /* LONG1        */
        cgd__pickle_integer(p, cgd__pickle_number(p, 1, NULL), 1);
        break;
    case 'G':                                                /* BINFLOAT     */
        cgd__pickle_number(p, 8, NULL);
        cgd__put_new(p, CGD__NOTHING, 0, 0);
        break;
    case 0x88:                                               /* NEWTRUE      */
    case 0x89:                                               /* NEWFALSE     */
        cgd__put_new(p, CGD__NUMBER, op == 0x88, 0);
        break;
    case 'N': cgd__put_new(p, CGD__NOTHING, 0, 0); break;
    case 0x8f:                                               /* EMPTY_SET    */
    case ')':                                                /* EMPTY_TUPLE  */
    case ']': cgd__put_new(p, CGD__LIST, 0, 0); break;
    case '}': cgd__put_new(p, CGD__DICT, 0, 0); break;
    case 0x91:                                               /* FROZENSET    */
    case 't':                                                /* TUPLE        */
        list = cgd__value_new(p, CGD__LIST, 0, 0);
        cgd__take_marked(p, list);
        cgd__put_on(p, list);
        break;
    case 0x85: cgd__tuple(p, 1); break;                      /* TUPLE1       */
    case 0x86: cgd__tuple(p, 2); break;
    case 0x87: cgd__tuple(p, 3); break;
    case 'a': cgd__pickle_set(p, CGD__LIST, 1); break;       /* APPEND       */
    case 0x90:                                               /* ADDITEMS     */
    case 'e': cgd__pickle_set_many(p, CGD__LIST); break;     /* APPENDS      */
    case 's': cgd__pickle_set(p, CGD__DICT, 2); break;       /* SETITEM      */
    case 'u': cgd__pickle_set_many(p, CGD__DICT); break;     /* SETITEMS     */
    case 'Q': cgd__pickle_storage(p); break;                 /* BINPERSID    */
    case 'R':                                                /* REDUCE       */
    case 0x81: cgd__pickle_reduce(p); break;                 /* NEWOBJ       */
    case 'b': cgd__pickle_build(p); break;                   /* BUILD        */
    default: cgd__pickle_unknown(p, op);
    }
    return p->status == CGD_OK;
}

/* Follow one pickle from p->at to its end and return what it built. */
static cgd_u32 cgd__pickle(cgd__torch *p)
{
    p->depth = p->n_memo = 0;
    while (cgd__pickle_step(p)) continue;
    return cgd__take_off(p);
}

/* ---- where storages lie --------------------------------------------------*/

static int cgd__storage_order(const void *a, const void *b)
{
    return strcmp((*(cgd__storage *const *)a)->key,
                  (*(cgd__storage *const *)b)->key);
}

static int cgd__storages_sort(cgd__torch *p)
{
    size_t i;
    if (p->status != CGD_OK) return 0;
    if (p->n_storages == 0)
        return cgd__torch_fail(p, "holds no tensors");
    p->by_key = (cgd__storage **)cgd_alloc(p->file->ctx, p->n_storages,
                                           sizeof *p->by_key, p->file->path);
    if (!p->by_key) {
        p->status = CGD_ERR_MEMORY;
        return 0;
    }
    p->n_by_key = p->n_storages;
    for (i = 0; i < p->n_storages; i++) p->by_key[i] = &p->storages[i];
    qsort(p->by_key, p->n_storages, sizeof *p->by_key, cgd__storage_order);
    return 1;
}

/* The first in by_key with this key, or n_storages. */
static size_t cgd__storage_find(const cgd__torch *p, const char *key)
{
    size_t low = 0, high = p->n_storages, n = high;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(key, p->by_key[middle]->key);
        if (order == 0) n = middle;
        if (order <= 0) high = middle;
        else low = middle + 1;
    }
    return n;
}

/* The storages of this key, from number `i` of by_key, are these bytes. */
static int cgd__storage_place(cgd__torch *p, size_t i, size_t begin,
                              size_t bytes)
{
    const char *key = p->by_key[i]->key;
    for (; i < p->n_storages && strcmp(p->by_key[i]->key, key) == 0; i++) {
        cgd__storage *s = p->by_key[i];
        size_t size;
        if (s->found)
            return cgd__torch_refuse(p, "holds storage ", key, " twice");
        if (!cgd__times(&size, s->whole, cgd__type_of(s->dtype)->width)
            || size != bytes)
            return cgd__torch_refuse(p, "gives storage ", key,
                                     " two different sizes");
        s->found = 1;
        s->begin = begin;
    }
    return 1;
}

/* ---- the older container -------------------------------------------------*/
/* Five pickles (a magic number, 1001, facts about the machine, the object,
 * the keys of its storages), then for each key a count of 8 bytes and the
 * elements. */

static int cgd__legacy_machine(cgd__torch *p)
{
    cgd_u32 facts = cgd__pickle(p), cell, value;
    char key[24];
    size_t n = 0;
    if (p->status != CGD_OK) return 0;
    if (cgd__is(p, facts, CGD__DICT)) n = p->values[facts].size;
    for (cell = p->values[facts].first; n > 0;
         n -= 2, cell = p->values[value].last) {
        value = p->values[cell].last;
        if (cgd__string(p, p->values[cell].first, key, sizeof key)
            && strcmp(key, "little_endian") == 0
            && p->values[p->values[value].first].at == 0)
            return cgd__torch_fail(p, "was written by a big-endian machine: "
                "load and save it in Python on a common one");
    }
    return p->status == CGD_OK;
}

static int cgd__legacy_storages(cgd__torch *p, cgd_u32 keys)
{
    unsigned char head[8];
    char key[32];
    size_t n, i, width, bytes, at = p->at;
    cgd_u32 cell;
    if (!cgd__is(p, keys, CGD__LIST))
        return cgd__torch_fail(p, "lacks the list of its storages");
    n = p->values[keys].size;
    for (cell = p->values[keys].first; n > 0;
         n--, cell = p->values[cell].last) {
        if (!cgd__string(p, p->values[cell].first, key, sizeof key))
            return cgd__torch_fail(p, "has a list of storages that makes no "
                                      "sense");
        i = cgd__storage_find(p, key);
        if (i == p->n_storages)
            return cgd__torch_refuse(p, "holds a storage ", key,
                                     " that no tensor has");
        width = cgd__type_of(p->by_key[i]->dtype)->width;
        if (!cgd__torch_read(p, at, head, 8)) return 0;
        at += 8;
        if (cgd__word_at(head + 4) != 0 && sizeof(size_t) <= 4)
            return cgd__torch_fail(p, "is too large for this machine");
        bytes = (size_t)cgd__word_at(head + 4) << 16 << 16
              | cgd__word_at(head);
        if (!cgd__times(&bytes, bytes, width)
            || bytes > p->file->source.size - at)
            return cgd__torch_fail(p, "was cut short, or a storage lies "
                                      "about its size");
        if (!cgd__storage_place(p, i, at, bytes)) return 0;
        at += bytes;
    }
    return 1;
}

/* The value that the file describes. */
static cgd_u32 cgd__legacy_open(cgd__torch *p)
{
    cgd_u32 version, object, keys;
    p->end = p->file->source.size;
    cgd__pickle(p);                                 /* the magic one         */
    version = cgd__pickle(p);
    if (p->status == CGD_OK && p->values[version].at != 1001)
        cgd__torch_fail(p, "has another version than 1001, which is not "
                           "known");
    if (!cgd__legacy_machine(p)) return 0;
    object = cgd__pickle(p);
    keys = cgd__pickle(p);
    if (cgd__storages_sort(p)) cgd__legacy_storages(p, keys);
    return object;
}

/* ---- the zip container ---------------------------------------------------*/
/* NAME/data.pkl, and a storage in each of NAME/data/KEY. Sizes and places are
 * those of the directory at the end; entries are stored, never compressed. */

typedef struct cgd__zip {
    cgd__torch *p;
    size_t at, end, entries;             /* what is left of the directory    */
    size_t begin;                        /* where it starts                  */
    char root[128];                      /* "NAME/"                          */
    char name[256];                      /* of the entry, without the root   */
    unsigned method, flags;
    cgd_u32 crc;
    size_t packed, size, local;          /* local: place of its local header */
    size_t read;                         /* bytes of all entries so far      */
} cgd__zip;

static int cgd__u64_at(const unsigned char *b, size_t *v)
{
    *v = (size_t)cgd__word_at(b + 4) << 16 << 16 | cgd__word_at(b);
    return sizeof(size_t) > 4 || cgd__word_at(b + 4) == 0;
}

/* Find the directory: a record at the file's end tells, behind which only a
 * comment stands, or for large files another one before it. */
static int cgd__zip_open(cgd__zip *z)
{
    cgd__torch *p = z->p;
    unsigned char b[56];
    size_t size = p->file->source.size, comment, bytes = 0, at = 0;
    for (comment = 0; comment < 65536 && comment + 22 <= size; comment++) {
        at = size - 22 - comment;
        if (!cgd__torch_read(p, at, b, 22)) return 0;
        if (cgd__word_at(b) == 0x06054b50U && cgd__half_at(b + 20) == comment)
            break;
    }
    if (comment == 65536 || comment + 22 > size)
        return cgd__torch_fail(p, "was cut short: the directory at the end "
                                  "of a zip file is missing");
    z->entries = cgd__half_at(b + 10);
    bytes = cgd__word_at(b + 12);
    z->at = cgd__word_at(b + 16);
    if (at >= 20 && cgd__torch_read(p, at - 20, b, 20)
        && cgd__word_at(b) == 0x07064b50U) {
        if (!cgd__u64_at(b + 8, &at)
            || !cgd__torch_read(p, at, b, 56)
            || cgd__word_at(b) != 0x06064b50U
            || !cgd__u64_at(b + 32, &z->entries)
            || !cgd__u64_at(b + 40, &bytes) || !cgd__u64_at(b + 48, &z->at))
            return cgd__torch_fail(p, "has a directory for large zip files "
                                      "that makes no sense");
    }
    if (p->status != CGD_OK) return 0;
    if (z->at > size || bytes > size - z->at || z->entries > bytes / 46)
        return cgd__torch_fail(p, "has a directory that does not fit into "
                                  "it");
    z->begin = z->at;
    z->end = z->at + bytes;
    return 1;
}

/* Sizes and places that did not fit into 32 bits, in their fixed order. */
static int cgd__zip64(cgd__zip *z, size_t at, size_t bytes)
{
    unsigned char b[8];
    size_t *where[3], wanted = 0, i, n;
    if (z->size == 0xffffffffU) where[wanted++] = &z->size;
    if (z->packed == 0xffffffffU) where[wanted++] = &z->packed;
    if (z->local == 0xffffffffU) where[wanted++] = &z->local;
    while (wanted > 0 && bytes >= 4) {
        if (!cgd__torch_read(z->p, at, b, 4)) return 0;
        n = cgd__half_at(b + 2);
        if (n > bytes - 4) break;
        if (cgd__half_at(b) == 1 && n >= 8 * wanted) {
            for (i = 0; i < wanted; i++)
                if (!cgd__torch_read(z->p, at + 4 + 8 * i, b, 8)
                    || !cgd__u64_at(b, where[i])) return 0;
            return 1;
        }
        at += 4 + n;
        bytes -= 4 + n;
    }
    return wanted == 0;
}

/* Go to the next entry; 0 at the end, or if it makes no sense. */
static int cgd__zip_next(cgd__zip *z)
{
    cgd__torch *p = z->p;
    unsigned char b[46];
    size_t name, extra, comment, left, root;
    char whole[256];
    if (z->entries == 0 || p->status != CGD_OK) return 0;
    z->entries--;
    left = z->end - z->at;
    if (left < 46 || !cgd__torch_read(p, z->at, b, 46)
        || cgd__word_at(b) != 0x02014b50U)
        return cgd__torch_fail(p, "has a broken directory");
    z->flags = cgd__half_at(b + 8);
    z->method = cgd__half_at(b + 10);
    z->crc = cgd__word_at(b + 16);
    z->packed = cgd__word_at(b + 20);
    z->size = cgd__word_at(b + 24);
    z->local = cgd__word_at(b + 42);
    name = cgd__half_at(b + 28);
    extra = cgd__half_at(b + 30);
    comment = cgd__half_at(b + 32);
    if (name + extra + comment > left - 46)
        return cgd__torch_fail(p, "has a broken directory");
    if (name >= sizeof whole)
        return cgd__torch_fail(p, "has an entry with a very long name");
    if (!cgd__torch_read(p, z->at + 46, whole, name)) return 0;
    whole[name] = 0;
    if (!cgd__zip64(z, z->at + 46 + name, extra))
        return cgd__torch_refuse(p, "lies about the size of its entry ",
                                 whole, "");
    z->at += 46 + name + extra + comment;
    if (!z->root[0]) {
        root = strcspn(whole, "/") + 1;
        if (root < sizeof z->root)
            cgd_format(z->root, root + 1, "%s", whole);
    }
    cgd_format(z->name, sizeof z->name, "%s",
               cgd__begins_with(whole, z->root) ? whole + strlen(z->root) : "");
    return 1;
}

/* Where the entry's data begin, when they are stored as they are and their
 * checksum is right. PyTorch can be told to leave it out, which is 0. */
static int cgd__zip_data(cgd__zip *z, size_t *begin)
{
    cgd__torch *p = z->p;
    unsigned char b[4096];
    cgd_u32 crc = 0;
    size_t left, n, at;
    if (z->method != 0 || (z->flags & 1U))
        return cgd__torch_refuse(p, "has compressed its entry ", z->name,
            ", which torch.save never does: unpack it and zip it without "
            "compression, or load and save it in Python");
    if (!cgd__torch_read(p, z->local, b, 30)) return 0;
    at = z->local + 30 + cgd__half_at(b + 26) + cgd__half_at(b + 28);
    if (cgd__word_at(b) != 0x04034b50U || z->packed != z->size
        || at > z->begin || z->size > z->begin - at)
        return cgd__torch_refuse(p, "lies about its entry ", z->name, "");
    *begin = at;
    z->read += z->size;                  /* each byte once, or it is a trap  */
    if (z->read > p->file->source.size)
        return cgd__torch_fail(p, "has entries that overlap");
    for (left = z->size; left > 0; left -= n, at += n) {
        n = cgd__lesser(left, sizeof b);
        if (!cgd__torch_read(p, at, b, n)) return 0;
        crc = cgd__checksum(crc, b, n);
    }
    return z->crc == 0 || crc == z->crc
        || cgd__torch_refuse(p, "was damaged: the checksum of its entry ",
                             z->name, " is wrong");
}

/* The pickle's place, and what kind of archive this is. */
static int cgd__zip_pickle(cgd__zip z)
{
    cgd__torch *p = z.p;
    char order[7];
    size_t at;
    int found = 0;
    while (cgd__zip_next(&z)) {
        if (strcmp(z.name, "constants.pkl") == 0
            || cgd__begins_with(z.name, "code/"))
            return cgd__torch_fail(p, "is a TorchScript program, not weights:"
                " in Python, torch.save(torch.jit.load(path).state_dict(), "
                "\"weights.pth\") writes a file that can be read");
        if (strcmp(z.name, "byteorder") == 0) {
            memset(order, 0, sizeof order);
            if (!cgd__zip_data(&z, &at) || !cgd__torch_read(p, at, order,
                                     cgd__lesser(z.size, 6))) return 0;
            if (strcmp(order, "little") != 0)
                return cgd__torch_fail(p, "was written by a big-endian "
                    "machine: load and save it in Python on a common one");
        }
        if (found || strcmp(z.name, "data.pkl") != 0) continue;
        if (!cgd__zip_data(&z, &p->at)) return 0;
        p->end = p->at + z.size;
        found = 1;
    }
    if (found) return p->status == CGD_OK;
    return cgd__torch_fail(p, "is a zip file without the data.pkl of "
                              "torch.save: is it an archive that holds the "
                              "checkpoint?");
}

static cgd_u32 cgd__zip_read(cgd__torch *p)
{
    cgd__zip z;
    cgd_u32 object = 0;
    size_t begin, i;
    memset(&z, 0, sizeof z);
    z.p = p;
    if (!cgd__zip_open(&z) || !cgd__zip_pickle(z)) return 0;
    object = cgd__pickle(p);
    if (!cgd__storages_sort(p)) return 0;
    while (cgd__zip_next(&z)) {
        if (!cgd__begins_with(z.name, "data/")) continue;
        i = cgd__storage_find(p, z.name + 5);
        if (i < p->n_storages && cgd__zip_data(&z, &begin))
            cgd__storage_place(p, i, begin, z.size);
    }
    return object;
}

/* ---- names ---------------------------------------------------------------*/

/* List tensor number `slice` under p->path, or only make room for it. */
static void cgd__list_tensor(cgd__torch *p, size_t slice)
{
    const cgd__slice *s = &p->slices[slice];
    const cgd__storage *storage = &p->storages[s->storage];
    const struct cgd__type *type = cgd__type_of(storage->dtype);
    size_t length = strlen(p->path) + 1;
    cgd_file *file = p->file;
    if (file->tensors) {
        cgd_file_tensor *t = &file->tensors[p->n_names];
        char *name = file->text + p->text_size;
        if (!storage->found) {
            cgd__torch_refuse(p, "lacks the values of ", p->path, "");
            return;
        }
        memcpy(name, p->path, length);
        t->name = name;
        t->dtype = type->dtype;
        t->dtype_name = type->name;
        t->rank = s->rank;
        memcpy(t->shape, s->shape, sizeof t->shape);
        memcpy(t->stride, s->stride, sizeof t->stride);
        t->begin = storage->begin + (storage->first + s->offset)
                                    * type->width;
        t->end = t->begin + s->span * type->width;
    }
    p->n_names++;
    p->text_size += length;
}

/* Put ".key" behind the path; 0 for a key that names nothing. */
static int cgd__path_add(cgd__torch *p, cgd_u32 key)
{
    size_t n = strlen(p->path);
    const cgd__value *v = p->values + key;
    if (n > 0 && n + 1 < sizeof p->path) p->path[n++] = '.';
    p->path[n] = 0;
    if (v->kind == CGD__NUMBER) {
        cgd_format(p->path + n, sizeof p->path - n, "%u", v->at);
        return 1;
    }
    if (v->kind != CGD__STRING) return 0;
    return cgd__string(p, key, p->path + n, sizeof p->path - n)
        || cgd__torch_refuse(p, "has an impossible name below ", p->path, "");
}

/* List the tensors in a value. No value is visited often enough to take long:
 * dicts inside themselves, or each in the next one twice, are refused. */
static void cgd__list_in(cgd__torch *p, cgd_u32 value, int depth)
{
    const cgd__value *v = p->values + value;
    size_t n, length = strlen(p->path);
    cgd_u32 cell, item;
    if (v->kind == CGD__TENSOR) cgd__list_tensor(p, v->at);
    if (v->kind != CGD__LIST && v->kind != CGD__DICT) return;
    if (depth == CGD__PICKLE_DEPTH) {
        cgd__torch_fail(p, "nests dicts too deeply");
        return;
    }
    cell = v->first;
    for (n = 0; n < v->size && p->status == CGD_OK; n++) {
        int named = 1;
        item = p->values[cell].first;
        if (v->kind == CGD__DICT) {
            named = cgd__path_add(p, item);
            cell = p->values[cell].last;
            item = p->values[cell].first;
            n++;
        } else {
            cgd_format(p->path + length, sizeof p->path - length, "%s%u",
                       length > 0 ? "." : "", n);
        }
        if (++p->visits > p->n_values + 1) {
            cgd__torch_fail(p, "holds a dict that is inside itself");
            return;
        }
        if (p->n_names == CGD__PICKLE_TENSORS) {
            cgd__torch_fail(p, "holds more tensors than any net");
            return;
        }
        if (named) cgd__list_in(p, item, depth + 1);
        p->path[length] = 0;
        cell = p->values[cell].last;
    }
}

static void cgd__list_all(cgd__torch *p, cgd_u32 object)
{
    p->visits = p->n_names = p->text_size = 0;
    p->path[0] = 0;
    cgd__list_in(p, object, 0);
}

static int cgd__place_order(const void *a, const void *b)
{
    const cgd_file_tensor *x = (const cgd_file_tensor *)a;
    const cgd_file_tensor *y = (const cgd_file_tensor *)b;
    return x->begin != y->begin ? x->begin < y->begin ? -1 : 1
         : strcmp(x->name, y->name);
}

static int cgd__name_order(const void *a, const void *b)
{
    return strcmp((*(const cgd_file_tensor *const *)a)->name,
                  (*(const cgd_file_tensor *const *)b)->name);
}

/* Turn what was read into the tensors of a file: count, then fill. */
static void cgd__torch_finish(cgd__torch *p, cgd_u32 object)
{
    cgd_file *file = p->file;
    size_t text, i;
    cgd__list_all(p, object);
    if (p->status == CGD_OK && p->n_names == 0)
        cgd__torch_fail(p, "holds no tensors in dicts");
    if (p->status != CGD_OK) return;
    text = p->text_size;
    if (p->described && p->described == object) {
        file->meta = (const char **)cgd_alloc(file->ctx, 4,
                                              sizeof *file->meta, "names");
        if (!file->meta) {
            p->status = CGD_ERR_MEMORY;
            return;
        }
        file->meta_room = 2;
        text += cgd__torch_said(p, NULL);
    }
    file->text = (char *)cgd_alloc(file->ctx, text, 1, "names");
    if (file->text) file->text_size = text;
    file->tensors = (cgd_file_tensor *)cgd_alloc(file->ctx, p->n_names,
                                         sizeof *file->tensors, "names");
    if (file->tensors) file->tensor_room = p->n_names;
    if (file->text && file->tensors) {
        cgd__list_all(p, object);
        if (p->status != CGD_OK) return;
        file->by_name = (const cgd_file_tensor **)cgd_alloc(file->ctx,
                            p->n_names, sizeof *file->by_name, "names");
    }
    if (!file->by_name) {
        p->status = CGD_ERR_MEMORY;
        return;
    }
    if (file->meta) cgd__torch_said(p, file->text + p->text_size);
    file->n_tensors = p->n_names;
    qsort(file->tensors, file->n_tensors, sizeof *file->tensors,
          cgd__place_order);
    for (i = 0; i < file->n_tensors; i++) file->by_name[i] = file->tensors + i;
    qsort((void *)file->by_name, file->n_tensors, sizeof *file->by_name,
          cgd__name_order);
    for (i = 1; i < file->n_tensors; i++)
        if (strcmp(file->by_name[i - 1]->name, file->by_name[i]->name) == 0)
            cgd__torch_refuse(p, "holds the tensor ", file->by_name[i]->name,
                              " twice");
}

static void cgd__torch_free(cgd__torch *p)
{
    cgd_ctx *ctx = p->file->ctx;
    cgd_release(ctx, p->by_key, p->n_by_key * sizeof *p->by_key);
    cgd_release(ctx, p->slices, p->slice_room * sizeof *p->slices);
    cgd_release(ctx, p->storages, p->storage_room * sizeof *p->storages);
    cgd_release(ctx, p->memo, p->memo_room * sizeof *p->memo);
    cgd_release(ctx, p->stack, p->stack_room * sizeof *p->stack);
    cgd_release(ctx, p->values, p->value_room * sizeof *p->values);
}

/* ---- opening -------------------------------------------------------------*/

static int cgd__begins(const unsigned char *head, const char *with)
{
    return memcmp(head, with, strlen(with)) == 0;
}

/* What a file is that is neither; NULL if its first 512 bytes say nothing, or
 * say that it is safetensors, whose first byte can be any. */
static const char *cgd__other_kind(const unsigned char *head,
                                   const char *path)
{
    static const char *const named[][2] = {
        { ".onnx", "is an ONNX model: it is run, not trained on; import the "
                   "checkpoint that it was exported from" },
        { ".pb", "is a graph of TensorFlow (or ONNX): import reads PyTorch's "
                 "checkpoints and safetensors" },
        { ".index", "is half of a checkpoint of TensorFlow's: import reads "
                    "PyTorch's checkpoints and safetensors" },
        { ".ckpt", "is no checkpoint of PyTorch's, so one of TensorFlow's: "
                   "import reads PyTorch's and safetensors" },
        { ".mlmodel", "is a Core ML model: it is run, not trained on; import "
                      "the checkpoint that it was converted from" },
        { ".tflite", "is a TensorFlow Lite model: it is run, not trained on; "
                     "import a checkpoint of PyTorch's" } };
    size_t i = 0, n = strlen(path), m;
    if (cgd__word_at(head + 4) == 0 && head[8] == '{') return NULL;
    while (i < 64 && (head[i] == ' ' || head[i] == '\n' || head[i] == '\r'
                      || head[i] == '\t' || head[i] == 0xef
                      || head[i] == 0xbb || head[i] == 0xbf)) i++;
    if (head[i] == '<')
        return "is a page of HTML or XML, not a checkpoint: download the "
               "file itself";
    if (memcmp(head + 257, "ustar", 5) == 0)
        return "is a tar archive, which PyTorch wrote before 2017 or "
               "somebody packed: unpack it, or in Python, "
               "torch.save(torch.load(path), \"weights.pth\")";
    if (cgd__begins(head, "version https://git-lfs"))
        return "is a Git LFS pointer, not the file itself: git lfs pull "
               "fetches it";
    if (head[0] == 0x1f && head[1] == 0x8b)
        return "is compressed by gzip: unpack it first";
    if (cgd__begins(head, "\x89HDF"))
        return "is an HDF5 file, as Keras writes it: its weights have to be "
               "saved from Python";
    if (memcmp(head + 4, "TFL3", 4) == 0) return named[5][1];
    for (i = 0; i < sizeof named / sizeof *named; i++) {
        m = strlen(named[i][0]);
        if (n > m && strcmp(path + n - m, named[i][0]) == 0)
            return named[i][1];
    }
    if (head[0] == 0x80 && head[1] > 0 && head[1] < 6)
        return "is a pickle of Python's, not a file of torch.save: in "
               "Python, torch.save(model.state_dict(), \"weights.pth\") "
               "writes one that can be read";
    return NULL;
}

/* The magic number behind PROTO, and from protocol 4 on behind FRAME. */
static int cgd__is_legacy(const unsigned char *head)
{
    static const char magic[] = "\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8"
                                "\x50\x19";
    return head[0] == 0x80
        && (memcmp(head + 2, magic, 12) == 0
            || (head[2] == 0x95 && memcmp(head + 11, magic, 12) == 0));
}

CGDDEF cgd_status cgd_import_open_source(cgd_ctx *ctx, cgd_file *file,
                                const cgd_source *source, const char *label)
{
    unsigned char head[512];
    cgd__torch p;
    cgd_u32 object = 0;
    const char *other;
    int zip, legacy;
    memset(file, 0, sizeof *file);
    memset(&p, 0, sizeof p);
    memset(head, 0, sizeof head);
    file->ctx = ctx;
    file->source = *source;
    cgd_format(file->path, sizeof file->path, "%s", label);
    p.file = file;
    cgd__torch_read(&p, 0, head, cgd__lesser(sizeof head, source->size));
    zip = cgd__begins(head, "PK\3\4");
    legacy = cgd__is_legacy(head);
    if (p.status == CGD_OK && !zip && !legacy) {
        other = cgd__other_kind(head, label);
        if (!other) return cgd_file_open_source(ctx, file, source, label);
        cgd__torch_fail(&p, other);
    }
    cgd__value_new(&p, CGD__NOTHING, 0, 0);       /* number 0                */
    if (p.status == CGD_OK)
        object = zip ? cgd__zip_read(&p) : cgd__legacy_open(&p);
    if (p.status == CGD_OK) cgd__torch_finish(&p, object);
    cgd__torch_free(&p);
    if (p.status != CGD_OK) cgd_file_close(file);
    return p.status;
}

static int cgd__import_memory(void *user, size_t offset, void *dst,
                              size_t bytes)
{
    memcpy(dst, (const char *)user + offset, bytes);
    return 1;
}

CGDDEF cgd_status cgd_import_open_memory(cgd_ctx *ctx, cgd_file *file,
                                const void *bytes, size_t size,
                                const char *label)
{
    cgd_source source;
    source.read = cgd__import_memory;
    source.user = (void *)bytes;                       /* only ever read     */
    source.size = size;
    return cgd_import_open_source(ctx, file, &source, label);
}

#ifndef CGD_NO_STDIO
CGDDEF cgd_status cgd_import_open(cgd_ctx *ctx, cgd_file *file,
                                  const char *path)
{
    cgd_source source;
    cgd_status status = cgd_source_open(ctx, &source, path);
    memset(file, 0, sizeof *file);
    if (status != CGD_OK) return status;
    return cgd_import_open_source(ctx, file, &source, path);
}
#endif

/* ======================================================================== */
/* [impl:nets] Nets out of names and shapes                                 */
/* ======================================================================== */
/* Owns the names that others give to a net's tensors, what can be inferred
 * from them, and the filling of a net. */

/* ---- names ---------------------------------------------------------------*/

/* How a file names a net's tensors. The official names are the net's own;
 * others are derived from them:
 *   a block's second half stands elsewhere: a dropout moves conv_block.5 to
 *     .6, and without one a separable block's .6 is .5
 *   blocks are called `block`, as PyTorch-GAN does
 *   a resizing stage is a Sequential of its own: model.16.2, with the norm
 *     behind it at model.17
 *   the original distillation project: layers.inp_layers.1, downsampling_1.0,
 *     res_block_1.layers.conv_1, upsampling_1.0, out_layers.1 */
typedef struct cgd__layout {
    const char *prefix;
    int original, block;
    int nested;                    /* the convolution's place in its stage   */
    int padded;                    /* a pad stands before it                 */
    size_t blocks;
    int shift;                     /* of the second half of a block          */
} cgd__layout;

enum { CGD__LONG_NAME = 288 };
typedef struct cgd__long_name { char text[CGD__LONG_NAME]; } cgd__long_name;

/* The decimal number that s begins with, and what follows it; NULL if there
 * is none, or a large one. */
static const char *cgd__index_in(const char *s, size_t *index)
{
    const char *from = s;
    for (*index = 0; *s >= '0' && *s <= '9' && s - from < 5; s++)
        *index = *index * 10 + (size_t)(*s - '0');
    return s > from ? s : NULL;
}

/* model.`index``rest` in the original project's words; rest is empty or
 * .conv_block.N. */
static void cgd__original_name(char to[64], size_t index, const char *rest,
                               size_t blocks)
{
    static const char *const stages[] = { "inp_layers", "downsampling_1",
        "downsampling_2", "upsampling_1", "upsampling_2", "out_layers" };
    static const char *const halves[] = { "conv_1", "norm_1", "", "",
                                          "conv_2", "norm_2" };
    size_t stage, part = 0;
    if (*rest) {
        cgd__index_in(rest + 12, &part);           /* behind ".conv_block."  */
        cgd_format(to, 64, "layers.res_block_%u.layers.%s", index - 9,
                   halves[part > 0 && part < 7 ? part - 1 : 0]);
        return;
    }
    if (index >= 10) index -= blocks;
    stage = index / 3 < 5 ? index / 3 : 5;         /* 10, 13, 17 are 3, 4, 5 */
    part = index - (stage == 0 ? 0 : stage == 5 ? 16 : 3 * stage + 1);
    cgd_format(to, 64, "layers.%s.%u", stages[stage], part);
}

/* The same where a resizing stage is one module: the net counts up to
 * `padded` more modules before each convolution, the file none. */
static void cgd__nested_name(char to[64], const cgd__layout *y, size_t index)
{
    size_t stage = 5 - !y->padded, first = 10 + y->blocks, place;
    if (index < first) {
        cgd_format(to, 64, "model.%u", index);
        return;
    }
    place = (index - first) % stage;
    if (index - first >= 2 * stage)                      /* pad and head     */
        cgd_format(to, 64, "model.%u", index - 2 * (stage - 3));
    else if (place == stage - 3)
        cgd_format(to, 64, "model.%u.%d", first + (index - first) / stage * 3,
                   y->nested);
    else
        cgd_format(to, 64, "model.%u", first + (index - first) / stage * 3
                   + (place > stage - 3 ? place - (stage - 3) : 0));
}

/* The name that a file of layout y has for the module `own`. */
static void cgd__module_name(char to[64], const cgd__layout *y,
                             const char *own)
{
    const char *rest, *tail = NULL;
    size_t index, part = 0;
    cgd_format(to, 64, "%s", own);
    if (strncmp(own, "model.", 6) != 0) return;
    rest = cgd__index_in(own + 6, &index);
    if (!rest) return;
    if (y->original && (!*rest || strncmp(rest, ".conv_block.", 12) == 0)) {
        cgd__original_name(to, index, rest, y->blocks);
        return;
    }
    if (y->nested && !*rest) cgd__nested_name(to, y, index);
    if (strncmp(rest, ".conv_block.", 12) == 0)
        tail = cgd__index_in(rest + 12, &part);
    if (!tail) return;
    if (part >= 5) part = (size_t)((int)part + y->shift);
    cgd_format(to, 64, "model.%u.%s.%u%s", index,
               y->block ? "block" : "conv_block", part, tail);
}

static const char *cgd__name_of(cgd__long_name *out, const cgd__layout *y,
                                const char *own, const char *leaf)
{
    char module[64];
    cgd__module_name(module, y, own);
    cgd_format(out->text, sizeof out->text, "%s%s.%s", y->prefix, module,
               leaf);
    return out->text;
}

static const cgd_file_tensor *cgd__tensor_at(const cgd_file *file,
                                             const cgd__layout *y,
                                             const char *own,
                                             const char *leaf)
{
    cgd__long_name name;
    return cgd_file_find(file, cgd__name_of(&name, y, own, leaf));
}

/* ---- weights that are computed -------------------------------------------*/
/* Spectral norm (Miyato et al. 2018) divides a weight by its largest singular
 * value, which u'Wv estimates; weight norm (Salimans & Kingma 2016) keeps
 * direction and length, w = g v / |v|. Both come in two spellings. */

static const char *const cgd__weight_leaves[] = {
    "weight", "weight_orig", "parametrizations.weight.original", "weight_v",
    "parametrizations.weight.original1", "filt"
};
enum { CGD__PLAIN_WEIGHT = 0, CGD__SPECTRAL, CGD__SPECTRAL_NEW, CGD__SCALED,
       CGD__SCALED_NEW, CGD__FILTER, CGD__LEAVES };

/* The tensor that holds a module's weight, or most of it, and which of the
 * leaves it is; NULL if there is none of that rank. */
static const cgd_file_tensor *cgd__weight_of(const cgd_file *file,
                                             const cgd__layout *y,
                                             const char *own, size_t rank,
                                             int *leaf)
{
    int i;
    for (i = 0; i < CGD__LEAVES; i++) {
        const cgd_file_tensor *t = cgd__tensor_at(file, y, own,
                                                  cgd__weight_leaves[i]);
        if (t && leaf) *leaf = i;
        if (t) return t->rank == rank ? t : NULL;
    }
    return NULL;
}

/* A tensor of `count` values, read whole; the caller releases them. */
static float *cgd__values_of(const cgd_file *file, const cgd_file_tensor *t,
                             size_t count, cgd_status *status)
{
    float *values = NULL;
    size_t all = 1, i;
    for (i = 0; t && i < t->rank; i++) all *= t->shape[i];
    if (!t || all != count) {
        *status = cgd_fail(file->ctx, CGD_ERR_FORMAT,
            "%s lacks what its spectral or weight norm keeps beside the "
            "weights, or has another size of it", file->path);
        return NULL;
    }
    values = (float *)cgd_alloc(file->ctx, count, sizeof *values, t->name);
    if (!values) *status = CGD_ERR_MEMORY;
    else *status = cgd_file_read(file, t, 0, count, values);
    if (values && *status != CGD_OK) {
        cgd_release(file->ctx, values, count * sizeof *values);
        return NULL;
    }
    return values;
}

/* The value i of W in the matrix (axis, all others): its row and column. */
static void cgd__unfold(const cgd_part *e, size_t axis, size_t i, size_t *row,
                        size_t *column)
{
    size_t inner = e->shape[2] * e->shape[3], second = e->shape[1];
    size_t a = i / (second * inner), b = i / inner % second, c = i % inner;
    *row = axis ? b : a;
    *column = (axis ? a : b) * inner + c;
}

/* w /= u'Wv; of a transposed convolution the second axis is the output. */
static cgd_status cgd__undo_spectral(const cgd_file *file,
                                     const cgd__layout *y, const cgd_net *net,
                                     const cgd_part *e, int leaf, float *w)
{
    const char *own = net->layers[e->layer].name;
    size_t axis = net->layers[e->layer].kind == CGD_DECONV, i, r, c;
    size_t rows = e->shape[axis], columns = e->count / rows;
    cgd_status status = CGD_OK;
    double sigma = 0;
    float *u, *v = NULL;
    int old = leaf == CGD__SPECTRAL;
    u = cgd__values_of(file, cgd__tensor_at(file, y, own,
            old ? "weight_u" : "parametrizations.weight.0._u"), rows,
            &status);
    if (u) v = cgd__values_of(file, cgd__tensor_at(file, y, own,
            old ? "weight_v" : "parametrizations.weight.0._v"), columns,
            &status);
    for (i = 0; v && i < e->count; i++) {
        cgd__unfold(e, axis, i, &r, &c);
        sigma += (double)u[r] * (double)w[i] * (double)v[c];
    }
    for (i = 0; v && i < e->count; i++)
        w[i] = (float)((double)w[i] / sigma);
    cgd_release(file->ctx, v, columns * sizeof *v);
    cgd_release(file->ctx, u, rows * sizeof *u);
    return status;
}

/* w = g w / |w|, along the axis that g has. */
static cgd_status cgd__undo_scaled(const cgd_file *file,
                                   const cgd__layout *y, const cgd_net *net,
                                   const cgd_part *e, int leaf, float *w)
{
    const cgd_file_tensor *t = cgd__tensor_at(file, y,
        net->layers[e->layer].name, leaf == CGD__SCALED ? "weight_g"
                                    : "parametrizations.weight.original0");
    size_t axis = t && t->rank > 1 && t->shape[0] == 1 && t->shape[1] > 1;
    size_t rows = e->shape[axis], i, r, c;
    cgd_status status = CGD_OK;
    double *length;
    float *g = cgd__values_of(file, t, rows, &status);
    if (!g) return status;
    length = (double *)cgd_alloc(file->ctx, rows, sizeof *length, e->name);
    if (!length) status = CGD_ERR_MEMORY;
    for (i = 0; length && i < e->count; i++) {
        cgd__unfold(e, axis, i, &r, &c);
        length[r] += (double)w[i] * (double)w[i];
    }
    for (i = 0; length && i < e->count; i++) {
        cgd__unfold(e, axis, i, &r, &c);
        w[i] = (float)((double)g[r] * (double)w[i] / cgd_sqrt(length[r]));
    }
    cgd_release(file->ctx, length, rows * sizeof *length);
    cgd_release(file->ctx, g, rows * sizeof *g);
    return status;
}

/* ---- what names and shapes say -------------------------------------------*/
/* What they leave open is what the caller says, or is guessed; a guess goes
 * into a sentence. A wrong one of the rest is caught when the tensors are
 * compared with the net. */

enum { CGD__CHANNELS_MOST = 16384 };

typedef struct cgd__guess {
    const cgd_file *file;
    const cgd_import_options *options;
    cgd__layout y;
    cgd_found *found;
    char said[400];                          /* what was guessed             */
} cgd__guess;

static void cgd__say(cgd__guess *q, const char *what)
{
    size_t n = strlen(q->said);
    cgd_format(q->said + n, sizeof q->said - n, "%s%s", n ? ", " : "", what);
}

/* The weight of a convolution model.`index``rest`, if no axis of it is empty
 * or beyond any use. */
static const cgd_file_tensor *cgd__conv_at(const cgd__guess *q, int index,
                                           const char *rest)
{
    char own[64];
    const cgd_file_tensor *t;
    size_t i;
    int leaf;
    cgd_format(own, sizeof own, "model.%d%s", index, rest);
    t = cgd__weight_of(q->file, &q->y, own, 4, &leaf);
    if (t && leaf == CGD__FILTER) return NULL;
    for (i = 0; t && i < 4; i++)
        if (t->shape[i] < 1 || t->shape[i] > CGD__CHANNELS_MOST) return NULL;
    return t;
}

/* A norm by its tensors, or by what the caller says of those that have none.
 * One that counts statistics without weights is an instance norm that tracks
 * them, or a batch norm that learns nothing: for both the question is whose
 * statistics count. */
static int cgd__infer_norm(cgd__guess *q, const char *own)
{
    int weight = cgd__tensor_at(q->file, &q->y, own, "weight") != NULL;
    int mean = cgd__tensor_at(q->file, &q->y, own, "running_mean") != NULL;
    int norm = q->options->norm, stats = q->options->stats;
    if (mean && stats < 0)
        cgd__say(q, "each picture's own statistics (--stats running for those "
                    "in the file)");
    if (norm >= 0) return norm;
    if (weight) return mean ? CGD_NORM_BATCH : CGD_NORM_INSTANCE_AFFINE;
    if (mean && stats == CGD_STATS_RUNNING) return CGD_NORM_BATCH;
    if (!mean) cgd__say(q, "instance norm (--norm none for a net without)");
    return CGD_NORM_INSTANCE;
}

/* Count the residual blocks, find the channels inside each and where their
 * second halves stand. */
static void cgd__infer_blocks(cgd__guess *q, cgd_generator_config *g, int at)
{
    const cgd_file_tensor *plain, *inner;
    cgd__layout *y = &q->y;
    y->block = 1;
    y->block = cgd__conv_at(q, at, ".conv_block.1") != NULL;
    for (g->blocks = 0; g->blocks < CGD_MAX_BLOCKS; g->blocks++) {
        int index = at + g->blocks;
        size_t inside;
        plain = cgd__conv_at(q, index, ".conv_block.1");
        inner = plain ? plain : cgd__conv_at(q, index, ".conv_block.1.conv.2");
        if (!inner) break;
        inside = inner->shape[0];
        if (g->blocks == 0) {
            g->block = plain ? CGD_BLOCK_PLAIN : CGD_BLOCK_SEPARABLE;
            g->stage[3] = (int)inside;
            if (plain && !cgd__conv_at(q, index, ".conv_block.5")
                && cgd__conv_at(q, index, ".conv_block.6")) y->shift = 1;
            if (!plain && cgd__conv_at(q, index, ".conv_block.5.conv.0"))
                y->shift = -1;
        }
        if ((int)inside != g->stage[3])
            g->inside[g->blocks] = (unsigned short)inside;
    }
    y->blocks = (size_t)g->blocks;
}

/* Resizing or transposed? What stands between the last block and the next
 * convolution tells: nothing; an upsampling, and perhaps a pad; the same in a
 * Sequential of its own. CUT's upsampling has a filter, which makes it the
 * bilinear one. Returns the first index that may hold it. */
static int cgd__infer_up(cgd__guess *q, cgd_generator_config *g, int at)
{
    int known = q->options->up, i, fixed;
    char filter[24];
    g->up = CGD_UP_DECONV;
    if (cgd__conv_at(q, at, "")) return at;
    for (i = 1; i <= 2 && !q->y.nested; i++) {
        char rest[4];
        cgd_format(rest, sizeof rest, ".%d", i);
        if (cgd__conv_at(q, at, rest)) q->y.nested = i;
    }
    q->y.padded = q->y.nested ? q->y.nested == 2
                              : cgd__conv_at(q, at + 2, "") != NULL;
    g->zero_pad = !q->y.padded;
    cgd_format(filter, sizeof filter, "model.%d", at);
    fixed = cgd__tensor_at(q->file, &q->y, filter, "filt") != NULL;
    if (fixed) known = CGD_UP_BILINEAR;
    g->up = known >= 0 ? known : q->y.block ? CGD_UP_NEAREST : CGD_UP_BILINEAR;
    if (known < 0)
        cgd__say(q, q->y.block
            ? "upsampling to the nearest pixel (--up bilinear)"
            : "bilinear upsampling (--up nearest)");
    return at + 1;
}

static int cgd__infer_generator(cgd__guess *q)
{
    static const int times[6] = { 1, 2, 4, 4, 2, 1 };
    cgd_generator_config *g = &q->found->generator;
    const cgd_file_tensor *conv[6];
    size_t n, i;
    int index, deconv;
    *g = cgd_generator_defaults();
    q->y.original = cgd__tensor_at(q->file, &q->y, "layers.inp_layers.1",
                                   "weight") != NULL;
    g->antialias = cgd__tensor_at(q->file, &q->y, "model.7", "filt") != NULL;
    for (n = 0; n < 3; n++) {
        conv[n] = cgd__conv_at(q, 1 + 3 * (int)n + (n == 2 && g->antialias),
                               "");
        if (!conv[n]) return 0;
    }
    index = g->antialias ? 12 : 10;
    cgd__infer_blocks(q, g, index);
    index = cgd__infer_up(q, g, index + g->blocks);
    deconv = g->up == CGD_UP_DECONV;
    for (i = 0; i < 16 && n < 6; i++, index++) {
        conv[n] = cgd__conv_at(q, index, "");
        if (conv[n]) n++;
    }
    if (n < 6) return 0;
    g->norm = cgd__infer_norm(q, "model.2");
    g->image_stats = q->options->stats != CGD_STATS_RUNNING;
    g->in_channels = (int)conv[0]->shape[1];
    g->out_channels = (int)conv[5]->shape[0];
    g->width = (int)conv[0]->shape[0];
    for (i = 0; i < 3; i++) g->stage[i] = (int)conv[i]->shape[0];
    for (i = 4; i < 6; i++) g->stage[i] = (int)conv[i - 1]->shape[deconv];
    for (i = 0; i < 6 && g->stage[i] == times[i] * g->width; i++) continue;
    if (i == 6) memset(g->stage, 0, sizeof g->stage);     /* follow from it  */
    cgd__say(q, "padding that reflects");
    return 1;
}

/* PatchGAN: model.0, .2, .5, .8, .11, the stride-1 pair last; five plain
 * convolutions: model.0, .2, .4, .6, .8; 1x1 pixels: net.0, .2, .5. */
static int cgd__infer_discriminator(cgd__guess *q)
{
    cgd_discriminator_config *d = &q->found->discriminator;
    const cgd_file_tensor *first = cgd__conv_at(q, 0, "");
    *d = cgd_discriminator_defaults();
    if (!first) {
        first = cgd__weight_of(q->file, &q->y, "net.0", 4, NULL);
        d->kind = CGD_DISC_PIXEL;
        if (first) d->norm = cgd__infer_norm(q, "net.3");
    } else if (cgd__conv_at(q, 4, "")) {
        d->kind = CGD_DISC_FIVE;
        d->norm = CGD_NORM_NONE;
    } else {
        for (d->layers = 8; d->layers > 1; d->layers--)  /* the last one     */
            if (cgd__conv_at(q, 2 + 3 * d->layers, "")) break;
        d->norm = cgd__infer_norm(q, "model.3");
    }
    if (!first || first->shape[0] > CGD__CHANNELS_MOST
        || first->shape[1] > CGD__CHANNELS_MOST) return 0;
    d->in_channels = (int)first->shape[1];
    d->width = (int)first->shape[0];
    return 1;
}

/* ---- fitting a file to a net ---------------------------------------------*/

/* What does not fit, as far as a message has room, and how much of it. */
typedef struct cgd__misfit_list {
    size_t count, length;
    char text[800];
} cgd__misfit_list;

static void cgd__misfit_shape(cgd__misfit_list *m, const size_t *shape,
                              size_t rank)
{
    size_t i;
    for (i = 0; i < rank; i++) {
        cgd_format(m->text + m->length, sizeof m->text - m->length, "%s%u",
                   i ? ", " : "(", shape[i]);
        m->length += strlen(m->text + m->length);
    }
    cgd_format(m->text + m->length, sizeof m->text - m->length,
               rank ? ")" : "()");
    m->length += strlen(m->text + m->length);
}

/* "no NAME (64, 3, 7, 7)" */
static void cgd__misfit_add(cgd__misfit_list *m, const char *before,
                            const char *name, const char *between,
                            const size_t *shape, size_t rank)
{
    cgd__clean clean;
    cgd_format(m->text + m->length, sizeof m->text - m->length, "%s%s%s%s",
               m->count++ ? "; " : "", before, cgd__printable(&clean, name),
               between);
    m->length += strlen(m->text + m->length);
    cgd__misfit_shape(m, shape, rank);
}

/* Compare a part with what the file has for it. Biases may be missing: what
 * was made without one has none. So may the weights of a norm. */
static void cgd__fit_part(cgd__misfit_list *m, const cgd_net *net,
                          const cgd_part *e, const cgd_file *file,
                          const cgd__layout *y)
{
    const cgd_layer *l = net->layers + e->layer;
    const char *own = e->kind < CGD_PART_GAMMA ? l->name : l->norm_name;
    const char *leaf = strrchr(e->name, '.') + 1;
    const cgd_file_tensor *t = e->rank == 4
        ? cgd__weight_of(file, y, own, 4, NULL)
        : cgd__tensor_at(file, y, own, leaf);
    cgd__long_name name;
    size_t i;
    cgd__name_of(&name, y, own, leaf);
    if (!t && e->kind != CGD_PART_WEIGHT && e->kind < CGD_PART_MEAN
        && (e->kind == CGD_PART_BIAS
            || !cgd__tensor_at(file, y, own, e->kind == CGD_PART_GAMMA
                               ? "bias" : "weight"))) return;
    if (!t) {
        cgd__misfit_add(m, "no ", name.text, " ", e->shape, e->rank);
        return;
    }
    if (t->dtype != CGD_F32 && t->dtype != CGD_F16 && t->dtype != CGD_BF16
        && t->dtype != CGD_F64) {
        char what[64];
        cgd_format(what, sizeof what, " holds %s, which need a scale to mean "
                   "anything, ", t->dtype_name);
        cgd__misfit_add(m, "", t->name, what, t->shape, t->rank);
        return;
    }
    for (i = 0; i < e->rank && i < t->rank; i++)
        if (t->shape[i] != e->shape[i]) break;
    if (i == e->rank && i == t->rank) return;
    cgd__misfit_add(m, "", t->name, " is ", t->shape, t->rank);
    cgd_format(m->text + m->length, sizeof m->text - m->length, ", not ");
    m->length += strlen(m->text + m->length);
    cgd__misfit_shape(m, e->shape, e->rank);
}

/* Is there a place in the net for a tensor of this name, or a reason to pass
 * over it? Old files hold running statistics under instance norms too,
 * PyTorch counts batches where nobody reads the count, and the fixed filter
 * before an upsampled convolution is the bilinear one. */
static int cgd__has_place(const cgd_net *net, const char *name,
                          const cgd__layout *y)
{
    static const char *const norms[] = { "weight", "bias", "running_mean",
        "running_var", "num_batches_tracked" };
    static const char *const more[] = { "bias", "weight_u", "weight_g",
        "parametrizations.weight.0._u", "parametrizations.weight.0._v",
        "parametrizations.weight.original0" };
    size_t i, k;
    for (i = 0; i < net->n_layers; i++) {
        const cgd_layer *l = net->layers + i;
        cgd__long_name whole;
        size_t n = strlen(cgd__name_of(&whole, y, l->name, ""));
        if (strncmp(name, whole.text, n) == 0) {
            for (k = 0; k < CGD__LEAVES; k++)
                if (strcmp(name + n, cgd__weight_leaves[k]) == 0) return 1;
            for (k = 0; k < 6; k++)
                if (strcmp(name + n, more[k]) == 0) return 1;
        }
        if (l->up == CGD_UP_BILINEAR && cgd__index_in(l->name + 6, &k)) {
            char module[24];
            cgd_format(module, sizeof module, "model.%u", k - 1);
            if (strcmp(name, cgd__name_of(&whole, y, module, "filt")) == 0)
                return 1;
        }
        if (!l->norm_name[0]) continue;
        n = strlen(cgd__name_of(&whole, y, l->norm_name, ""));
        if (strncmp(name, whole.text, n) != 0) continue;
        for (k = l->norm == CGD_NORM_INSTANCE ? 2 : 0; k < 5; k++)
            if (strcmp(name + n, norms[k]) == 0) return l->norm != 0;
    }
    return 0;
}

/* Are all the fixed filters under the prefix CUT's? [1 2 1] down, [1 3 3 1]
 * and four times that up, where a zero stands between any two pixels. */
static cgd_status cgd__filters_fit(const cgd_file *file, const char *prefix)
{
    static const float row[2][4] = { { .25f, .5f, .25f, 0 },
                                     { .25f, .75f, .75f, .25f } };
    size_t at, i, k, n;
    cgd_status status = CGD_OK;
    for (at = 0; at < file->n_tensors && status == CGD_OK; at++) {
        const cgd_file_tensor *t = file->by_name[at];
        float *v;
        n = strlen(t->name);
        if (!cgd__begins_with(t->name, prefix) || n < 5
            || strcmp(t->name + n - 5, ".filt") != 0) continue;
        k = t->rank == 4 ? t->shape[2] : 0;
        if ((k == 3 || k == 4) && t->shape[1] == 1 && t->shape[3] == k
            && t->shape[0] <= CGD__CHANNELS_MOST) {
            n = t->shape[0] * k * k;
            v = cgd__values_of(file, t, n, &status);
            if (!v) return status;
            for (i = 0; i < n; i++) {
                float d = v[i] - row[k - 3][i / k % k] * row[k - 3][i % k];
                if (!(d * d < 1e-10f)) break;
            }
            cgd_release(file->ctx, v, n * sizeof *v);
            if (i == n) continue;
        }
        status = cgd_fail(file->ctx, CGD_ERR_FORMAT,
            "%s: %s is not the fixed filter of CUT's generator, [1 2 1] x "
            "[1 2 1] / 16 down or [1 3 3 1] x [1 3 3 1] / 16 up, and others "
            "are not read", file->path, t->name);
    }
    return status;
}

/* Does the file hold the net, all of it and nothing else under the prefix? */
static cgd_status cgd__fits(const cgd_net *net, const cgd_file *file,
                            const cgd__layout *y)
{
    cgd__misfit_list m;
    cgd_part e;
    size_t at = 0;
    m.count = m.length = 0;
    m.text[0] = 0;
    while (cgd_net_part(net, &at, &e))
        if (!e.absent) cgd__fit_part(&m, net, &e, file, y);
    for (at = 0; at < file->n_tensors && m.count < 4096; at++) {
        const cgd_file_tensor *t = file->by_name[at];
        if (cgd__begins_with(t->name, y->prefix)
            && strcmp(t->name + strlen(y->prefix), "cgd.description") != 0
            && !cgd__has_place(net, t->name, y))
            cgd__misfit_add(&m, "unexpected ", t->name, " ", t->shape,
                            t->rank);
    }
    if (m.count == 0) return cgd__filters_fit(file, y->prefix);
    return cgd_fail(net->ctx, CGD_ERR_SHAPE,
        "%s does not fit the net in %u place%s: %s%s", file->path, m.count,
        m.count == 1 ? "" : "s", m.text,
        m.length + 1 < sizeof m.text ? "" : " ... and so on");
}

/* The values of one part, whatever they are made of. */
static cgd_status cgd__part_fill(cgd_net *net, const cgd_part *e,
                                 const cgd_file *file, const cgd__layout *y,
                                 float *values)
{
    const cgd_layer *l = net->layers + e->layer;
    const char *own = e->kind < CGD_PART_GAMMA ? l->name : l->norm_name;
    int leaf = CGD__PLAIN_WEIGHT;
    const cgd_file_tensor *t = e->rank == 4
        ? cgd__weight_of(file, y, own, 4, &leaf)
        : cgd__tensor_at(file, y, own, strrchr(e->name, '.') + 1);
    cgd_status status;
    size_t i;
    if (!t) {                      /* cgd__fit_part allowed it               */
        for (i = 0; i < e->count; i++) values[i] = e->kind == CGD_PART_GAMMA;
        return CGD_OK;
    }
    status = cgd_file_read(file, t, 0, e->count, values);
    if (status != CGD_OK) return status;
    if (leaf == CGD__SPECTRAL || leaf == CGD__SPECTRAL_NEW)
        status = cgd__undo_spectral(file, y, net, e, leaf, values);
    if (leaf == CGD__SCALED || leaf == CGD__SCALED_NEW)
        status = cgd__undo_scaled(file, y, net, e, leaf, values);
    for (i = 0; i < e->count && status == CGD_OK; i++)
        if (!(values[i] - values[i] <= 0))
            status = cgd_fail(file->ctx, CGD_ERR_FORMAT,
                "%s: %s holds values that are not finite numbers",
                file->path, t->name);
    return status;
}

/* A bias before a batch norm, as some write them: with the picture's own
 * statistics it has no effect, and from the running mean it is taken away. */
static cgd_status cgd__bias_swallow(const cgd_net *net, const cgd_part *e,
                                    const cgd_file *file,
                                    const cgd__layout *y, float *mean)
{
    const cgd_layer *l = net->layers + e->layer;
    const cgd_file_tensor *t = cgd__tensor_at(file, y, l->name, "bias");
    cgd_status status = CGD_OK;
    float *bias;
    size_t i;
    if (e->kind != CGD_PART_MEAN || !t) return CGD_OK;
    if (t->rank != 1 || t->shape[0] != l->out_c)
        return cgd_fail(file->ctx, CGD_ERR_SHAPE,
            "%s: %s should have %u values", file->path, t->name, l->out_c);
    bias = cgd__values_of(file, t, l->out_c, &status);
    for (i = 0; bias && i < l->out_c; i++) mean[i] -= bias[i];
    cgd_release(file->ctx, bias, l->out_c * sizeof *bias);
    return status;
}

static void cgd__warn_of(const cgd_file *file, const char *format,
                         const char *what)
{
    cgd_ctx *ctx = file->ctx;
    char sentence[700];
    if (!ctx->warn) return;
    cgd_format(sentence, sizeof sentence, format, file->path, what);
    ctx->warn(ctx->warn_user, sentence);
}

/* Read a net's values, which cgd__fits has found to fit. */
static cgd_status cgd__fill(cgd_net *net, const cgd_file *file,
                            const cgd__layout *y)
{
    cgd_part e;
    cgd_status status = CGD_OK;
    size_t at = 0;
    while (status == CGD_OK && cgd_net_part(net, &at, &e)) {
        const char *own = net->layers[e.layer].name;
        float *values;
        if (e.absent) continue;
        values = (float *)cgd_alloc(net->ctx, e.count, sizeof *values,
                                    e.name);
        if (!values) return CGD_ERR_MEMORY;
        status = cgd__part_fill(net, &e, file, y, values);
        if (status == CGD_OK)
            status = cgd__bias_swallow(net, &e, file, y, values);
        if (status == CGD_OK) cgd_part_set(net, &e, values);
        cgd_release(net->ctx, values, e.count * sizeof *values);
        if (status == CGD_OK && e.kind == CGD_PART_BIAS
            && !cgd__tensor_at(file, y, own, "bias")) {
            cgd__long_name name;
            cgd__warn_of(file, "%s has no %s: it is taken as zero",
                         cgd__name_of(&name, y, own, "bias"));
        }
    }
    return status;
}

/* What else the tensors are, in plain words; NULL if that is not known. */
static const char *cgd__known_stranger(const cgd_file *file)
{
    size_t i;
    for (i = 0; i < file->n_tensors; i++) {
        const char *name = file->by_name[i]->name;
        if (strstr(name, "model.1.model."))
            return "a U-Net, the generator of pix2pix: it has no residual "
                   "blocks, which all generators here have";
        if (strstr(name, "down_blocks.0."))
            return "the generator of a common tutorial (initial, "
                   "down_blocks, res_blocks): its strided convolutions "
                   "reflect at the borders, which those here do not";
    }
    return NULL;
}

static cgd_status cgd__unknown_net(const cgd_file *file, const char *prefix)
{
    const char *stranger = cgd__known_stranger(file);
    if (stranger)
        return cgd_fail(file->ctx, CGD_ERR_FORMAT, "%s holds %s", file->path,
                        stranger);
    if (*prefix)
        return cgd_fail(file->ctx, CGD_ERR_FORMAT,
            "%s: what begins with \"%s\" is neither a generator nor a "
            "discriminator of CycleGAN", file->path, prefix);
    return cgd_fail(file->ctx, CGD_ERR_FORMAT,
        "%s holds %u tensors, but no generator or discriminator of CycleGAN, "
        "which would have a model.1.weight (64, 3, 7, 7) and others behind "
        "it", file->path, file->n_tensors);
}

/* ---- nets in a file ------------------------------------------------------*/

/* A convolution that every net of a kind has: what stands before it is the
 * prefix of a net, or of something that looks like one. */
static const char *const cgd__net_marks[] = {
    "model.1", "layers.inp_layers.1", "model.0", "net.0"
};

/* Cut a mark and a weight's leaf from the end of a name; 0 if it has none, or
 * if another mark has the same prefix and comes before it in the list. */
static int cgd__cut_mark(cgd__layout *y, char prefix[CGD_PREFIX_ROOM],
                         const cgd_file *file, const char *name)
{
    size_t i, k, n = strlen(name), m;
    char end[64];
    for (i = 0; i < sizeof cgd__net_marks / sizeof *cgd__net_marks; i++)
        for (k = 0; k < CGD__FILTER; k++) {
            cgd_format(end, sizeof end, "%s.%s", cgd__net_marks[i],
                       cgd__weight_leaves[k]);
            m = strlen(end);
            if (n < m || n - m >= CGD_PREFIX_ROOM
                || strcmp(name + n - m, end) != 0
                || (n > m && name[n - m - 1] != '.')) continue;
            memcpy(prefix, name, n - m);
            prefix[n - m] = 0;
            memset(y, 0, sizeof *y);
            y->prefix = prefix;
            while (k-- > 0)
                if (cgd__tensor_at(file, y, cgd__net_marks[i],
                                   cgd__weight_leaves[k])) return 0;
            while (i-- > 0)
                if (cgd__weight_of(file, y, cgd__net_marks[i], 4, NULL))
                    return 0;
            return 1;
        }
    return 0;
}

/* More values than the file has bytes were shared, or made up. */
static cgd_status cgd__affordable(const cgd_file *file,
                                  const cgd_found *found)
{
    const cgd_generator_config *g = &found->generator;
    const cgd_discriminator_config *d = &found->discriminator;
    int s[6];
    double values = (double)d->width * d->in_channels, wide = d->width;
    int i;
    for (i = 0; i < 6; i++)
        s[i] = g->stage[i] ? g->stage[i]
             : g->width * (i == 2 || i == 3 ? 4 : i == 0 || i == 5 ? 1 : 2);
    if (found->is_generator) {
        values = 49.0 * (s[0] * (double)g->in_channels
                         + s[5] * (double)g->out_channels)
               + 9.0 * ((double)s[0] * s[1] + (double)s[1] * s[2]
                        + (double)s[2] * s[4] + (double)s[4] * s[5]);
        for (i = 0; i < g->blocks; i++)
            values += (g->block == CGD_BLOCK_PLAIN ? 18.0 : 2.0) * s[2]
                    * (g->inside[i] ? g->inside[i] : s[3]);
    } else if (d->kind != CGD_DISC_PIXEL) {
        for (i = 0; i < (d->kind == CGD_DISC_FIVE ? 3 : d->layers); i++) {
            double next = i < 3 ? 2 * wide : wide;
            values += 16 * wide * next;
            wide = next;
        }
    }
    if (values <= (double)file->source.size) return CGD_OK;
    return cgd_fail(file->ctx, CGD_ERR_SHAPE,
        "%s does not fit the net: its %u bytes cannot hold %f values",
        file->path, file->source.size, values);
}

/* Infer the net under found->prefix, build it and hold the file against it;
 * found->status is the outcome. The net is the caller's, empty on failure. */
static void cgd__examine(cgd__guess *q, cgd_net *net)
{
    cgd_found *found = q->found;
    cgd_ctx *ctx = q->file->ctx;
    memset(net, 0, sizeof *net);
    memset(&q->y, 0, sizeof q->y);
    q->y.prefix = found->prefix;
    found->is_generator = cgd__infer_generator(q);
    if (!found->is_generator) {
        memset(&q->y, 0, sizeof q->y);
        q->y.prefix = found->prefix;
        q->said[0] = 0;
        if (!cgd__infer_discriminator(q)) {
            found->status = cgd__unknown_net(q->file, found->prefix);
            return;
        }
    }
    found->status = cgd__affordable(q->file, found);
    if (found->status != CGD_OK) return;
    found->status = found->is_generator
        ? cgd_generator_init(ctx, net, &found->generator)
        : cgd_discriminator_init(ctx, net, &found->discriminator);
    if (found->status == CGD_OK)
        found->status = cgd__fits(net, q->file, &q->y);
    if (found->status != CGD_OK) cgd_net_free(net);
}

CGDDEF cgd_import_options cgd_import_defaults(void)
{
    cgd_import_options o;
    o.key = NULL;
    o.up = o.norm = o.stats = -1;
    return o;
}

/* The next place that looks like a net, and the net if it is one. */
static int cgd__next_net(cgd__guess *q, size_t *at, cgd_net *net)
{
    cgd__layout y;
    while (*at < q->file->n_tensors) {
        memset(q->found, 0, sizeof *q->found);
        q->said[0] = 0;
        if (!cgd__cut_mark(&y, q->found->prefix, q->file,
                           q->file->by_name[(*at)++]->name)) continue;
        cgd__examine(q, net);
        return 1;
    }
    return 0;
}

CGDDEF int cgd_import_next(const cgd_file *file, size_t *at,
                           cgd_found *found)
{
    cgd_import_options options = cgd_import_defaults();
    cgd__guess q;
    cgd_net net;
    q.file = file;
    q.options = &options;
    q.found = found;
    if (!cgd__next_net(&q, at, &net)) return 0;
    if (found->status == CGD_OK) cgd_net_free(&net);
    return 1;
}

/* Does a key name the prefix, or dicts in front of it, or some last part of
 * those? NULL names all. */
static int cgd__key_fits(const char *prefix, const char *key)
{
    size_t n = key ? strlen(key) : 0;
    while (n > 0 && key[n - 1] == '.') n--;
    if (n == 0) return 1;
    for (; *prefix; prefix += strcspn(prefix, ".") + 1)
        if (strncmp(prefix, key, n) == 0 && prefix[n] == '.') return 1;
    return 0;
}

/* Why no net, or none by itself, can be taken. */
static cgd_status cgd__choice_fails(const cgd_file *file, const char *key,
                                    size_t fit, size_t seen,
                                    const char *names)
{
    cgd__clean clean;
    if (fit > 1)
        return cgd_fail(file->ctx, CGD_ERR_ARGUMENT,
            "%s holds %u nets, of which one has to be named: %s", file->path,
            fit, names);
    if (seen > 0)
        return cgd_fail(file->ctx, CGD_ERR_FORMAT,
            "%s holds nothing under the key %s that looks like a CycleGAN "
            "generator or discriminator; there is: %s", file->path,
            cgd__printable(&clean, key), names);
    return cgd__unknown_net(file, "");
}

/* Does a tensor of that name begin as "generator" or "discriminator" do?
 * What is called so and says something else is passed over. */
static int cgd__describes(const cgd_file *file, const char *name)
{
    const cgd_file_tensor *t = cgd_file_find(file, name);
    float v;
    return t && t->rank == 1 && t->shape[0] > 0
        && cgd_file_read(file, t, 0, 1, &v) == CGD_OK
        && (v == (float)'g' || v == (float)'d');
}

/* Find the only net that fits, and fill it. */
static cgd_status cgd__take_net(cgd__guess *q, cgd_net *net)
{
    const char *key = q->options->key;
    char names[640], first[CGD_PREFIX_ROOM];
    size_t at = 0, fit = 0, seen = 0, others = 0, n = 0;
    cgd_found *found = q->found;
    cgd_net one;
    names[0] = first[0] = 0;
    while (cgd__next_net(q, &at, &one)) {
        int fits = cgd__key_fits(found->prefix, key), good;
        size_t length = strlen(found->prefix);
        good = found->status == CGD_OK;
        if (good) cgd_net_free(&one);
        if (found->status == CGD_ERR_MEMORY) return found->status;
        if (fits && seen++ == 0) memcpy(first, found->prefix, sizeof first);
        if (fits && good && fit++ == 0)
            memcpy(first, found->prefix, sizeof first);
        if (!good || (fits ? 0 : others++ > 20)) continue;
        found->prefix[length ? length - 1 : 0] = 0;
        cgd_format(names + n, sizeof names - n, "%s%s (%s)", n ? ", " : "",
                   length ? found->prefix : "the file itself",
                   found->is_generator ? "generator" : "discriminator");
        n += strlen(names + n);
    }
    if (fit > 1 || seen == 0)
        return cgd__choice_fails(q->file, key, fit, others, names);
    memset(found, 0, sizeof *found);
    memcpy(found->prefix, first, sizeof first);
    q->said[0] = 0;
    cgd_format(names, sizeof names, "%scgd.description", first);
    if (fit == 1 && cgd__describes(q->file, names))
        return cgd_net_load(q->file->ctx, net, q->file, first);
    if (fit == 0 && cgd__known_stranger(q->file))
        return cgd__unknown_net(q->file, "");
    cgd__examine(q, &one);
    if (found->status != CGD_OK) return found->status;
    if (q->options->stats == CGD_STATS_RUNNING
        && (found->is_generator ? found->generator.norm
            : found->discriminator.norm) != CGD_NORM_BATCH) {
        cgd_net_free(&one);
        return cgd_fail(q->file->ctx, CGD_ERR_FORMAT,
            "%s holds no running statistics", q->file->path);
    }
    found->status = cgd__fill(&one, q->file, &q->y);
    if (found->status != CGD_OK) cgd_net_free(&one);
    else *net = one;
    return found->status;
}

CGDDEF cgd_status cgd_import_net(cgd_ctx *ctx, cgd_net *net,
                                 const cgd_file *file,
                                 const cgd_import_options *options)
{
    cgd_import_options plain = cgd_import_defaults();
    char prefix[CGD_PREFIX_ROOM], name[CGD_PREFIX_ROOM];
    char tensor[CGD_PREFIX_ROOM + 16];
    const char *kind;
    cgd__guess q;
    cgd_found found;
    cgd_status status;
    size_t n;
    memset(net, 0, sizeof *net);
    q.file = file;
    q.options = options ? options : &plain;
    q.found = &found;
    n = q.options->key ? strlen(q.options->key) : 0;
    while (n > 0 && q.options->key[n - 1] == '.') n--;
    if (n + 9 < sizeof name) {               /* what describes itself        */
        memcpy(prefix, q.options->key ? q.options->key : "", n);
        cgd_format(prefix + n, sizeof prefix - n, n ? "." : "");
        cgd_format(name, sizeof name, "%scgd.net", prefix);
        kind = cgd_file_meta(file, "cgd.kind");
        cgd_format(tensor, sizeof tensor, "%scgd.description", prefix);
        if (cgd_file_meta(file, name) || cgd__describes(file, tensor)
            || (n == 0 && kind && strcmp(kind, "state") == 0))
            return cgd_net_load(ctx, net, file, prefix);
    }
    status = cgd__take_net(&q, net);
    if (status == CGD_OK && q.said[0])
        cgd__warn_of(file, "%s leaves open, and therefore assumed: %s (cgd "
                     "export --describe writes files that say it, whatever "
                     "Python makes of their metadata)", q.said);
    return status;
}

#ifdef __cplusplus
}
#endif
#endif /* CGD_IMPORT_IMPLEMENTATION */
