/* cgd_export.h - nets for other programs. For cycle_gan_distil.h
 *
 * Writes a net as safetensors (float32, or rounded to f16 or bf16), as a .pth
 * file that PyTorch loads, as ONNX, and as a C header of constants.
 *
 * Quick start: in one source file
 *
 *     #define CGD_IMPLEMENTATION
 *     #define CGD_EXPORT_IMPLEMENTATION
 *     #include "tools/cgd_export.h"
 *
 *     s = cgd_model_load(&ctx, &model, "student.safetensors");
 *     if (s == CGD_OK)
 *         s = cgd_export_onnx(&model.net, CGD_F32, "student.onnx");
 *
 * and everywhere else only the last #include. It includes cycle_gan_distil.h,
 * whose public interface it uses and whose macros (CGD_STATIC, CGDDEF) hold
 * here too; it writes files (no CGD_NO_STDIO).
 *
 * Contents
 *
 *   [api:export]         the four formats
 *   [impl:bytes]         bytes of a file, weights as bytes
 *   [impl:safetensors]   safetensors
 *   [impl:pth]           zip and pickle: .pth
 *   [impl:onnx]          ONNX
 *   [impl:c]             C
 */
#ifndef CGD_EXPORT_H
#define CGD_EXPORT_H

#include "../cycle_gan_distil.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ======================================================================== */
/* [api:export] The four formats                                            */
/* ======================================================================== */
/* Files for other programs, written whole or not at all. dtype is CGD_F32,
 * CGD_F16 or CGD_BF16: weights are rounded to the nearest, ties to even, and
 * one beyond the type's range is refused. Errors: CGD_ERR_ARGUMENT (a type, a
 * net without names), CGD_ERR_FORMAT (a weight that is no finite number, or
 * out of range), CGD_ERR_UNSUPPORTED, CGD_ERR_MEMORY, CGD_ERR_IO. While it
 * works the file is in memory.
 *
 * safetensors and pth (the zip form of torch.save, a flat state dict that
 * torch.load reads with weights_only=True): official names and layouts, for
 * load_state_dict(strict=True); a bias that a norm cancels is zero. */
CGDDEF cgd_status cgd_export_safetensors(const cgd_net *net, int dtype,
                                         const char *path);
CGDDEF cgd_status cgd_export_pth(const cgd_net *net, int dtype,
                                 const char *path);

/* Python's load_file and save_file lose the metadata that say what net a
 * safetensors file holds. This one says it in a small U8 tensor as well,
 * "cgd.description", which cgd_net_load and cgd_import.h understand; the
 * official class takes the rest: state.pop("cgd.description") first. */
CGDDEF cgd_status cgd_export_described(const cgd_net *net, int dtype,
                                       const char *path);

/* ONNX, opset 11, ir_version 6: float32 "input" (N, C, H, W) to "output",
 * any N, H, W (a generator's output has their size for multiples of 4). Norms
 * that measure each picture, also batch norms (image_stats), are
 * InstanceNormalization, exactly what the net does; those with running
 * statistics BatchNormalization: fold them for Conv, ConvTranspose, Pad,
 * Resize, Relu, Add and Tanh alone. CGD_F16 halves the file: the weights are
 * cast back to float32 when it is used; CGD_BF16 needs a newer opset and is
 * CGD_ERR_UNSUPPORTED, as is a transposed convolution that reflects. The
 * metadata have cgd.net, and cgd.range where the net learnt numbers of a range
 * of their own: lo, hi and white of the input, then of the output. */
CGDDEF cgd_status cgd_export_onnx(const cgd_net *net, int dtype,
                                  const char *path);

/* A C header of constants, for cgd_model_attach: path "small/student.h" holds
 * student_model, a const cgd_const_model, and what it points to. Float32,
 * exactly. Generators only: CGD_ERR_UNSUPPORTED else. */
CGDDEF cgd_status cgd_export_c(const cgd_net *net, const char *path);

/* The same with the numbers in a file of their own, `bin` (float32, little-
 * endian), which the header has the assembler read: millions of them compile
 * at once. For gcc and clang on little-endian machines with ELF, Mach-O or
 * COFF; others meet an #error. The header looks for the file under its name
 * without folders: in the folder the compiler runs in, and in those of -I;
 * -DCGD_BIN_student='"small/student.bin"' says where else. A name with a
 * quote, a backslash or a control character is CGD_ERR_ARGUMENT. */
CGDDEF cgd_status cgd_export_c_incbin(const cgd_net *net, const char *path,
                                      const char *bin);

#ifdef __cplusplus
}
#endif
#endif /* CGD_EXPORT_H */

/* ======================================================================== */
/*                              IMPLEMENTATION                              */
/* ======================================================================== */
#if defined(CGD_EXPORT_IMPLEMENTATION) && !defined(CGD__EXPORT_IMPLEMENTED)
#define CGD__EXPORT_IMPLEMENTED

#include <stdarg.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ======================================================================== */
/* [impl:bytes] Bytes of a file, weights as bytes                           */
/* ======================================================================== */
/* A file is made in memory, and then written whole. */
/* Grows at its end. After a failure nothing is added any more. */
typedef struct cgd__bytes {
    cgd_ctx *ctx;
    cgd_status status;
    unsigned char *data;
    size_t size, room;
} cgd__bytes;

static void cgd__bytes_init(cgd__bytes *b, cgd_ctx *ctx)
{
    memset(b, 0, sizeof *b);
    b->ctx = ctx;
}

static void cgd__bytes_free(cgd__bytes *b)
{
    cgd_release(b->ctx, b->data, b->room);
    b->data = NULL;
}

/* n more bytes, to be filled in; NULL after a failure. */
static unsigned char *cgd__bytes_room(cgd__bytes *b, size_t n)
{
    size_t room = b->room;
    if (b->status != CGD_OK) return NULL;
    if (n > b->room - b->size) {
        unsigned char *grown = NULL;
        while (room < (size_t)-1 / 2 && n > room - b->size)
            room = room ? 2 * room : 4096;
        if (n <= room - b->size)
            grown = (unsigned char *)cgd_alloc(b->ctx, room, 1, "a file");
        if (!grown) {
            b->status = CGD_ERR_MEMORY;
            return NULL;
        }
        if (b->size > 0) memcpy(grown, b->data, b->size);
        cgd_release(b->ctx, b->data, b->room);
        b->data = grown;
        b->room = room;
    }
    b->size += n;
    return b->data + b->size - n;
}

static void cgd__bytes_put(cgd__bytes *b, const void *data, size_t n)
{
    unsigned char *to = cgd__bytes_room(b, n);
    if (to && n > 0) memcpy(to, data, n);
}

static void cgd__bytes_text(cgd__bytes *b, const char *text)
{
    cgd__bytes_put(b, text, strlen(text));
}

static void cgd__bytes_format(cgd__bytes *b, const char *format, ...)
{
    char line[CGD_DESCRIPTION_ROOM + 32];
    va_list args;
    va_start(args, format);
    cgd_format_list(line, sizeof line, format, args);
    va_end(args);
    cgd__bytes_text(b, line);
}

static void cgd__store(unsigned char *to, size_t v, size_t width)
{
    for (; width > 0; width--, v >>= 8) *to++ = (unsigned char)(v & 255);
}

/* A number in `width` bytes, the lowest first. */
static void cgd__bytes_number(cgd__bytes *b, size_t v, size_t width)
{
    unsigned char *to = cgd__bytes_room(b, width);
    if (to) cgd__store(to, v, width);
}

/* Write the bytes to a file, if nothing went wrong, and free them. */
static cgd_status cgd__bytes_save(cgd__bytes *b, const char *path)
{
    cgd_output out;
    cgd_output_open(b->ctx, &out, path);
    if (b->status != CGD_OK) out.status = b->status;
    cgd_output_write(&out, b->data, b->size);
    cgd__bytes_free(b);
    return cgd_output_close(&out);
}

/* ---- weights -------------------------------------------------------------*/

static cgd_u32 cgd__float_bits(float v)
{
    cgd_u32 bits;
    memcpy(&bits, &v, sizeof bits);
    return bits;
}

/* To the nearest half, ties to even: 5 bits of exponent (bias 15, where a
 * float has 127), 10 of fraction. From 65520 on that is infinity. */
static cgd_u32 cgd__float_half(float v)
{
    cgd_u32 bits = cgd__float_bits(v), sign = bits >> 16 & 0x8000U;
    cgd_u32 half, rest, cut = 13;                /* bits that are cut off    */
    bits &= 0x7fffffffU;
    if (bits > 0x7f800000U) return sign | 0x7e00U;
    if (bits >= 0x477ff000U) return sign | 0x7c00U;
    if (bits < 0x33000000U) return sign;         /* less than half of 2^-24  */
    if (bits < 0x38800000U) {                    /* less than 2^-14: in      */
        cut = 126 - (bits >> 23);                /* steps of 2^-24           */
        bits = (bits & 0x7fffffU) | 0x800000U;
        half = bits >> cut;
    } else {
        half = (bits >> cut) - (112U << 10);
    }
    rest = bits & ((1U << cut) - 1);
    if (rest + (half & 1) > 1U << (cut - 1)) half++;
    return sign | half;
}

/* To the nearest bfloat16, the upper half of a float, ties to even. */
static cgd_u32 cgd__float_bfloat(float v)
{
    cgd_u32 bits = cgd__float_bits(v);
    if ((bits & 0x7fffffffU) > 0x7f800000U) return bits >> 16 | 0x40U;
    return (bits + 0x7fffU + (bits >> 16 & 1)) >> 16;
}

/* The types that weights are written in, and how the file formats call
 * them. `infinite` are the bits that are all set in what is not finite. */
typedef struct cgd__export_type {
    int dtype;
    size_t width;
    cgd_u32 infinite;
    const char *name, *storage;              /* in messages, in pickles      */
} cgd__export_type;

static const cgd__export_type cgd__export_types[] = {
    { CGD_F32, 4, 0x7f800000U, "f32", "FloatStorage" },
    { CGD_F16, 2, 0x7c00U, "f16", "HalfStorage" },
    { CGD_BF16, 2, 0x7f80U, "bf16", "BFloat16Storage" }
};

static const cgd__export_type *cgd__export_type_of(int dtype)
{
    size_t i;
    for (i = 0; i < 3; i++)
        if (cgd__export_types[i].dtype == dtype) return cgd__export_types + i;
    return NULL;
}

/* Add one part of a net, in the order and the type of the file. */
static void cgd__bytes_part(cgd__bytes *b, const cgd_net *net,
                            const cgd_part *e, const cgd__export_type *type)
{
    float *values = (float *)cgd_alloc(b->ctx, e->count, sizeof *values,
                                       e->name);
    unsigned char *to = cgd__bytes_room(b, e->count * type->width);
    size_t i;
    if (!values && b->status == CGD_OK) b->status = CGD_ERR_MEMORY;
    if (values && to) cgd_part_get(net, e, values);
    for (i = 0; values && to && i < e->count; i++, to += type->width) {
        float v = values[i];
        cgd_u32 bits = type->dtype == CGD_F16 ? cgd__float_half(v)
                     : type->dtype == CGD_BF16 ? cgd__float_bfloat(v)
                     : cgd__float_bits(v);
        cgd__store(to, bits, type->width);
        if ((bits & type->infinite) == type->infinite && b->status == CGD_OK)
            b->status = cgd_fail(b->ctx, CGD_ERR_FORMAT,
                "%s holds %f, which is not a finite number in %s", e->name,
                (double)v, type->name);
    }
    cgd_release(b->ctx, values, e->count * sizeof *values);
}

/* Can this net be written under its names in this type? */
static cgd_status cgd__export_check(const cgd_net *net, int dtype)
{
    size_t i, k;
    if (!cgd__export_type_of(dtype))
        return cgd_fail(net->ctx, CGD_ERR_ARGUMENT,
                        "weights are exported as f32, f16 or bf16");
    for (i = 0; i < net->n_layers; i++) {
        const cgd_layer *l = net->layers + i;
        int good = l->name[0] != 0 && (!l->norm || l->norm_name[0] != 0);
        if (l->norm && strcmp(l->name, l->norm_name) == 0) good = 0;
        for (k = 0; k < i && good; k++) {
            const cgd_layer *m = net->layers + k;
            good = strcmp(l->name, m->name) != 0
                && strcmp(l->name, m->norm_name) != 0
                && (!l->norm || (strcmp(l->norm_name, m->name) != 0
                              && strcmp(l->norm_name, m->norm_name) != 0));
        }
        if (!good)
            return cgd_fail(net->ctx, CGD_ERR_ARGUMENT,
                "layer %u (%s) needs names that no other layer has", i,
                l->name);
    }
    return CGD_OK;
}

/* Call visit for every part of the net, in order. */
static void cgd__each_part(const cgd_net *net,
                           void (*visit)(void *user, const cgd_part *e),
                           void *user)
{
    cgd_part e;
    size_t at = 0;
    while (cgd_net_part(net, &at, &e)) visit(user, &e);
}

/* ======================================================================== */
/* [impl:safetensors] safetensors                                           */
/* ======================================================================== */

enum { CGD__EXPORT_RANGE_ROOM = 120 };

typedef struct cgd__export {
    const cgd_net *net;
    const cgd__export_type *type;
    cgd__bytes file, data, directory;
    cgd_writer wr;
    size_t count;                            /* of parts, or of entries      */
} cgd__export;

static cgd_status cgd__export_init(cgd__export *x, const cgd_net *net,
                                   int dtype)
{
    cgd_status status = cgd__export_check(net, dtype);
    memset(x, 0, sizeof *x);
    x->net = net;
    x->type = cgd__export_type_of(dtype);
    cgd__bytes_init(&x->file, net->ctx);
    cgd__bytes_init(&x->data, net->ctx);
    cgd__bytes_init(&x->directory, net->ctx);
    return status;
}

static void cgd__safetensors_declare(void *user, const cgd_part *e)
{
    cgd__export *x = (cgd__export *)user;
    cgd_writer_tensor(&x->wr, e->name, x->type->dtype, e->shape, e->rank);
}

static void cgd__safetensors_append(void *user, const cgd_part *e)
{
    cgd__export *x = (cgd__export *)user;
    if (x->wr.status != CGD_OK) return;
    x->data.size = 0;
    cgd__bytes_part(&x->data, x->net, e, x->type);
    x->wr.status = x->data.status;
    cgd_writer_append(&x->wr, x->data.data, x->data.size);
}

/* lo, hi and white of both ranges; 0 if they say only that samples are
 * bytes. */
static int cgd__range_words(const cgd_net *net,
                            char text[CGD__EXPORT_RANGE_ROOM])
{
    const cgd_range *r = net->generator.range;
    int i, plain = 1;
    for (i = 0; i < 2; i++)
        plain &= r[i].lo >= r[i].hi && r[i].white <= 255;
    cgd_format(text, CGD__EXPORT_RANGE_ROOM, "%f %f %f %f %f %f",
               (double)r[0].lo, (double)r[0].hi, (double)r[0].white,
               (double)r[1].lo, (double)r[1].hi, (double)r[1].white);
    return !plain;
}

static cgd_status cgd__write_safetensors(const cgd_net *net, int dtype,
                                         const char *path, int described)
{
    char text[CGD_DESCRIPTION_ROOM + CGD__EXPORT_RANGE_ROOM];
    char range[CGD__EXPORT_RANGE_ROOM];
    cgd__export x;
    size_t n;
    cgd_status status = cgd__export_init(&x, net, dtype);
    if (status != CGD_OK) return status;
    described = cgd_net_describe(net, text) && described;
    if (cgd__range_words(net, range))
        cgd_format(text + strlen(text), sizeof text - strlen(text), "\n%s",
                   range);
    n = strlen(text);
    cgd_writer_init(net->ctx, &x.wr, path);
    cgd_writer_describe(&x.wr, net, "");
    cgd__each_part(net, cgd__safetensors_declare, &x);
    if (described)
        cgd_writer_tensor(&x.wr, "cgd.description", CGD_U8, &n, 1);
    cgd_writer_begin(&x.wr);
    cgd__each_part(net, cgd__safetensors_append, &x);
    if (described) cgd_writer_append(&x.wr, text, n);
    cgd__bytes_free(&x.data);
    return cgd_writer_end(&x.wr);
}

CGDDEF cgd_status cgd_export_safetensors(const cgd_net *net, int dtype,
                                         const char *path)
{
    return cgd__write_safetensors(net, dtype, path, 0);
}

CGDDEF cgd_status cgd_export_described(const cgd_net *net, int dtype,
                                       const char *path)
{
    return cgd__write_safetensors(net, dtype, path, 1);
}

/* ======================================================================== */
/* [impl:pth] zip and pickle: .pth                                          */
/* ======================================================================== */
/* An archive of stored entries: `data.pkl`, a pickle that rebuilds the
 * tensors and names their storages, and the storages, `data/0`, `data/1` ...
 * Every entry's data start on a multiple of 64, as torch.save has them. */

/* CRC-32, four bits at a time. */
static cgd_u32 cgd__zip_checksum(const unsigned char *p, size_t n)
{
    static const cgd_u32 table[16] = {
        0x00000000U, 0x1db71064U, 0x3b6e20c8U, 0x26d930acU,
        0x76dc4190U, 0x6b6b51f4U, 0x4db26158U, 0x5005713cU,
        0xedb88320U, 0xf00f9344U, 0xd6d6a3e8U, 0xcb61b38cU,
        0x9b64c2b0U, 0x86d3d2d4U, 0xa00ae278U, 0xbdbdf21cU };
    cgd_u32 crc = 0xffffffffU;
    for (; n > 0; n--) {
        crc ^= *p++;
        crc = crc >> 4 ^ table[crc & 15];
        crc = crc >> 4 ^ table[crc & 15];
    }
    return crc ^ 0xffffffffU;
}

/* What a local header and the directory say alike, from the version needed
 * to the length of the name: no flags, stored, 1 January 1980. */
static void cgd__zip_common(cgd__bytes *b, cgd_u32 checksum, size_t size,
                            size_t name_length)
{
    cgd__bytes_number(b, 10, 2);
    cgd__bytes_number(b, 0, 4);
    cgd__bytes_number(b, 0x00210000U, 4);
    cgd__bytes_number(b, checksum, 4);
    cgd__bytes_number(b, size, 4);
    cgd__bytes_number(b, size, 4);
    cgd__bytes_number(b, name_length, 2);
}

/* Add an entry to x->file and to x->directory. */
static void cgd__zip_entry(cgd__export *x, const char *name,
                           const void *data, size_t size)
{
    cgd__bytes *file = &x->file, *directory = &x->directory;
    size_t start = file->size, length = strlen(name), pad;
    cgd_u32 checksum = cgd__zip_checksum((const unsigned char *)data, size);
    pad = 63 - (start + 30 + length + 4 + 63) % 64;
    if (x->count == 65535 || start > 0xfffff000U
        || size > 0xfffff000U - start) {
        if (file->status == CGD_OK)
            file->status = cgd_fail(file->ctx, CGD_ERR_UNSUPPORTED,
                "a .pth file of 4 GB or 65536 entries is not written: export "
                "as safetensors");
        return;
    }
    cgd__bytes_number(file, 0x04034b50U, 4);
    cgd__zip_common(file, checksum, size, length);
    cgd__bytes_number(file, 4 + pad, 2);
    cgd__bytes_text(file, name);
    cgd__bytes_text(file, "FB");             /* an extra field that pads     */
    cgd__bytes_number(file, pad, 2);
    for (; pad > 0; pad--) cgd__bytes_text(file, "Z");
    cgd__bytes_put(file, data, size);

    cgd__bytes_number(directory, 0x02014b50U, 4);
    cgd__bytes_number(directory, 10, 2);
    cgd__zip_common(directory, checksum, size, length);
    cgd__bytes_number(directory, 0, 8);      /* no extra field, no comment,  */
    cgd__bytes_number(directory, 0, 4);      /* first disk, no attributes    */
    cgd__bytes_number(directory, start, 4);
    cgd__bytes_text(directory, name);
    x->count++;
}

static void cgd__zip_end(cgd__export *x)
{
    cgd__bytes *file = &x->file, *directory = &x->directory;
    size_t start = file->size;
    if (file->status == CGD_OK) file->status = directory->status;
    cgd__bytes_put(file, directory->data, directory->size);
    cgd__bytes_number(file, 0x06054b50U, 4);
    cgd__bytes_number(file, 0, 4);
    cgd__bytes_number(file, x->count, 2);
    cgd__bytes_number(file, x->count, 2);
    cgd__bytes_number(file, directory->size, 4);
    cgd__bytes_number(file, start, 4);
    cgd__bytes_number(file, 0, 2);
}

static void cgd__pickled_string(cgd__bytes *b, const char *s)
{
    cgd__bytes_text(b, "X");
    cgd__bytes_number(b, strlen(s), 4);
    cgd__bytes_text(b, s);
}

static void cgd__pickled_number(cgd__bytes *b, size_t v)
{
    if (v > 0x7fffffffU && b->status == CGD_OK)
        b->status = cgd_fail(b->ctx, CGD_ERR_UNSUPPORTED,
            "a .pth file of a tensor with %u values is not written: export as "
            "safetensors", v);
    cgd__bytes_text(b, "J");
    cgd__bytes_number(b, v, 4);
}

/* name: _rebuild_tensor_v2(storage, 0, shape, strides, False, {}) */
static void cgd__pickled_part(void *user, const cgd_part *e)
{
    cgd__export *x = (cgd__export *)user;
    cgd__bytes *b = &x->data;
    size_t stride, i, k;
    char key[24];
    cgd_format(key, sizeof key, "%u", x->count++);
    cgd__pickled_string(b, e->name);
    cgd__bytes_text(b, "ctorch._utils\n_rebuild_tensor_v2\n((");
    cgd__pickled_string(b, "storage");
    cgd__bytes_format(b, "ctorch\n%s\n", x->type->storage);
    cgd__pickled_string(b, key);
    cgd__pickled_string(b, "cpu");
    cgd__pickled_number(b, e->count);
    cgd__bytes_text(b, "tQ");
    cgd__pickled_number(b, 0);
    cgd__bytes_text(b, "(");
    for (i = 0; i < e->rank; i++) cgd__pickled_number(b, e->shape[i]);
    cgd__bytes_text(b, "t(");
    for (i = 0; i < e->rank; i++) {
        for (stride = 1, k = i + 1; k < e->rank; k++) stride *= e->shape[k];
        cgd__pickled_number(b, stride);
    }
    cgd__bytes_text(b, "t\211ccollections\nOrderedDict\n)RtR");
}

/* dict._metadata = {"": {"cgd.net": text, "cgd.range": range}}, beside the
 * versions that PyTorch keeps there: load_state_dict passes over what it does
 * not know. */
static void cgd__pickled_metadata(cgd__bytes *b, const cgd_net *net,
                                  const char *text)
{
    char range[CGD__EXPORT_RANGE_ROOM];
    cgd__bytes_text(b, "}");
    cgd__pickled_string(b, "_metadata");
    cgd__bytes_text(b, "ccollections\nOrderedDict\n)R");
    cgd__pickled_string(b, "");
    cgd__bytes_text(b, "}");
    cgd__pickled_string(b, "cgd.net");
    cgd__pickled_string(b, text);
    if (cgd__range_words(net, range)) {
        cgd__bytes_text(b, "s");
        cgd__pickled_string(b, "cgd.range");
        cgd__pickled_string(b, range);
    }
    cgd__bytes_text(b, "sssb");
}

static void cgd__pth_storage(void *user, const cgd_part *e)
{
    cgd__export *x = (cgd__export *)user;
    char name[40];
    cgd_format(name, sizeof name, "archive/data/%u", x->count - 3);
    x->data.size = 0;
    cgd__bytes_part(&x->data, x->net, e, x->type);
    cgd__zip_entry(x, name, x->data.data, x->data.size);
}

CGDDEF cgd_status cgd_export_pth(const cgd_net *net, int dtype,
                                 const char *path)
{
    cgd__export x;
    char text[CGD_DESCRIPTION_ROOM];
    cgd_status status = cgd__export_init(&x, net, dtype);
    if (status != CGD_OK) return status;
    cgd__bytes_text(&x.data, "\200\002ccollections\nOrderedDict\n)R(");
    cgd__each_part(net, cgd__pickled_part, &x);
    cgd__bytes_text(&x.data, "u");
    if (cgd_net_describe(net, text)) cgd__pickled_metadata(&x.data, net, text);
    cgd__bytes_text(&x.data, ".");
    x.count = 0;
    cgd__zip_entry(&x, "archive/data.pkl", x.data.data, x.data.size);
    cgd__zip_entry(&x, "archive/byteorder", "little", 6);
    cgd__zip_entry(&x, "archive/version", "3\n", 2);
    cgd__each_part(net, cgd__pth_storage, &x);
    cgd__zip_end(&x);
    if (x.data.status != CGD_OK) x.file.status = x.data.status;
    cgd__bytes_free(&x.data);
    cgd__bytes_free(&x.directory);
    return cgd__bytes_save(&x.file, path);
}

/* ======================================================================== */
/* [impl:onnx] ONNX                                                         */
/* ======================================================================== */
/* Protocol buffers: a message is a row of fields, each a key (number * 8 +
 * type) and a value: a varint (type 0), four bytes (5), or a length and as
 * many bytes (2), which may be a message again. Field numbers are those of
 * onnx.proto. */

static void cgd__pb_varint(cgd__bytes *b, size_t v)
{
    for (; v >= 128; v >>= 7) cgd__bytes_number(b, (v & 127) | 128, 1);
    cgd__bytes_number(b, v, 1);
}

static void cgd__pb_number(cgd__bytes *b, size_t field, size_t v)
{
    cgd__pb_varint(b, field * 8);
    cgd__pb_varint(b, v);
}

static void cgd__pb_float(cgd__bytes *b, size_t field, float v)
{
    cgd__pb_varint(b, field * 8 + 5);
    cgd__bytes_number(b, cgd__float_bits(v), 4);
}

/* What is added between open and close is the value of the field. */
static size_t cgd__pb_open(cgd__bytes *b, size_t field)
{
    cgd__pb_varint(b, field * 8 + 2);
    return b->size;
}

static void cgd__pb_close(cgd__bytes *b, size_t start)
{
    size_t length = b->size - start, width;
    cgd__pb_varint(b, length);               /* shows how wide it is, and    */
    if (b->status != CGD_OK) return;         /* makes the room               */
    width = b->size - start - length;
    memmove(b->data + start + width, b->data + start, length);
    b->size = start;
    cgd__pb_varint(b, length);
    b->size += length;
}

static void cgd__pb_string(cgd__bytes *b, size_t field, const char *s)
{
    size_t start = cgd__pb_open(b, field);
    cgd__bytes_text(b, s);
    cgd__pb_close(b, start);
}

enum { CGD__ONNX_FLOAT = 1, CGD__ONNX_INT64 = 7, CGD__ONNX_FLOAT16 = 10 };

/* Open a constant (TensorProto) and its data; cgd__onnx_constant_end closes
 * both. */
static size_t cgd__onnx_constant(cgd__bytes *b, const char *name, size_t type,
                                 const size_t *shape, size_t rank,
                                 size_t *data)
{
    size_t start = cgd__pb_open(b, 5), i;
    for (i = 0; i < rank; i++) cgd__pb_number(b, 1, shape[i]);
    cgd__pb_number(b, 2, type);
    cgd__pb_string(b, 8, name);
    *data = cgd__pb_open(b, 9);
    return start;
}

static void cgd__onnx_constant_end(cgd__bytes *b, size_t start, size_t data)
{
    cgd__pb_close(b, data);
    cgd__pb_close(b, start);
}

static void cgd__onnx_number(cgd__bytes *b, const char *name, size_t v)
{
    size_t start = cgd__pb_open(b, 5);
    cgd__pb_string(b, 1, name);
    cgd__pb_number(b, 3, v);
    cgd__pb_number(b, 20, 2);
    cgd__pb_close(b, start);
}

static void cgd__onnx_real(cgd__bytes *b, const char *name, float v)
{
    size_t start = cgd__pb_open(b, 5);
    cgd__pb_string(b, 1, name);
    cgd__pb_float(b, 2, v);
    cgd__pb_number(b, 20, 1);
    cgd__pb_close(b, start);
}

static void cgd__onnx_word(cgd__bytes *b, const char *name, const char *v)
{
    size_t start = cgd__pb_open(b, 5);
    cgd__pb_string(b, 1, name);
    cgd__pb_string(b, 4, v);
    cgd__pb_number(b, 20, 3);
    cgd__pb_close(b, start);
}

/* The same number n times. */
static void cgd__onnx_numbers(cgd__bytes *b, const char *name, size_t v,
                              size_t n)
{
    size_t start = cgd__pb_open(b, 5);
    cgd__pb_string(b, 1, name);
    for (; n > 0; n--) cgd__pb_number(b, 8, v);
    cgd__pb_number(b, 20, 7);
    cgd__pb_close(b, start);
}

static void cgd__onnx_constant_floats(cgd__bytes *b, const char *stem,
                                      const char *suffix, float v, size_t n)
{
    char name[64];
    size_t start, data;
    cgd_format(name, sizeof name, "%s.%s", stem, suffix);
    start = cgd__onnx_constant(b, name, CGD__ONNX_FLOAT, &n, 1, &data);
    for (; n > 0; n--) cgd__bytes_number(b, cgd__float_bits(v), 4);
    cgd__onnx_constant_end(b, start, data);
}

/* Are the weights of this part kept as halves, which a node turns back? */
static int cgd__onnx_halves(const cgd__export *x, const cgd_part *e)
{
    return x->type->dtype == CGD_F16 && e->rank == 4;
}

static void cgd__onnx_part(void *user, const cgd_part *e)
{
    cgd__export *x = (cgd__export *)user;
    char name[112];
    size_t start, data;
    int half = cgd__onnx_halves(x, e);
    if (e->absent || (e->kind >= CGD_PART_MEAN && x->net->image_stats)) return;
    cgd_format(name, sizeof name, "%s%s", e->name, half ? ".f16" : "");
    start = cgd__onnx_constant(&x->file, name, half ? CGD__ONNX_FLOAT16
                               : CGD__ONNX_FLOAT, e->shape, e->rank, &data);
    cgd__bytes_part(&x->file, x->net, e, half ? x->type : cgd__export_types);
    cgd__onnx_constant_end(&x->file, start, data);
}

/* What the nodes of a layer need beside its parameters. */
static void cgd__onnx_extras(cgd__bytes *b, const cgd_layer *l)
{
    char name[64];
    size_t start, data, i, eight = 8, four = 4, pad = l->window.pad;
    if (l->norm == CGD_NORM_INSTANCE) {
        cgd__onnx_constant_floats(b, l->norm_name, "weight", 1, l->out_c);
        cgd__onnx_constant_floats(b, l->norm_name, "bias", 0, l->out_c);
    }
    if (l->up) {                /* no region of interest; N, C, H, W times   */
        cgd__onnx_constant_floats(b, l->name, "roi", 0, 0);
        cgd_format(name, sizeof name, "%s.scales", l->name);
        start = cgd__onnx_constant(b, name, CGD__ONNX_FLOAT, &four, 1, &data);
        for (i = 0; i < 4; i++)
            cgd__bytes_number(b, cgd__float_bits(i < 2 ? 1 : 2), 4);
        cgd__onnx_constant_end(b, start, data);
    }
    if (pad > 0 && l->window.pad_mode == CGD_PAD_REFLECT) {
        cgd_format(name, sizeof name, "%s.pads", l->name);
        start = cgd__onnx_constant(b, name, CGD__ONNX_INT64, &eight, 1, &data);
        for (i = 0; i < 8; i++)              /* before and after each axis   */
            cgd__bytes_number(b, i % 4 < 2 ? 0 : pad, 8);
        cgd__onnx_constant_end(b, start, data);
    }
}

static void cgd__onnx_cast(void *user, const cgd_part *e)
{
    cgd__export *x = (cgd__export *)user;
    char from[112];
    size_t start;
    if (!cgd__onnx_halves(x, e)) return;
    cgd_format(from, sizeof from, "%s.f16", e->name);
    start = cgd__pb_open(&x->file, 1);
    cgd__pb_string(&x->file, 1, from);
    cgd__pb_string(&x->file, 2, e->name);
    cgd__pb_string(&x->file, 4, "Cast");
    cgd__onnx_number(&x->file, "to", CGD__ONNX_FLOAT);
    cgd__pb_close(&x->file, start);
}

/* The last thing that a layer does. */
static const char *cgd__onnx_last(const cgd_layer *l)
{
    return l->skip ? "sum" : l->act ? "act" : l->norm ? "norm" : "conv";
}

/* Where the nodes have got to: the layer, and the value they made last. */
typedef struct cgd__onnx {
    cgd__bytes *b;
    const cgd_net *net;
    size_t layer;
    char value[64];
} cgd__onnx;

/* Open a node that turns the value, and others called stem.suffix, into the
 * next. Attributes may follow. */
static size_t cgd__onnx_step(cgd__onnx *o, const char *op, const char *step,
                             const char *stem, const char *const *suffixes)
{
    const cgd_layer *l = o->net->layers + o->layer;
    int last = o->layer + 1 == o->net->n_layers
            && strcmp(step, cgd__onnx_last(l)) == 0;
    size_t start = cgd__pb_open(o->b, 1);
    cgd__pb_string(o->b, 1, o->value);
    for (; *suffixes; suffixes++) {
        char name[64];
        cgd_format(name, sizeof name, "%s.%s", stem, *suffixes);
        cgd__pb_string(o->b, 1, name);
    }
    cgd_format(o->value, sizeof o->value, "%s.%s", l->name, step);
    cgd__pb_string(o->b, 3, o->value);
    if (last) cgd_format(o->value, sizeof o->value, "output");
    cgd__pb_string(o->b, 2, o->value);
    cgd__pb_string(o->b, 4, op);
    return start;
}

/* Upsampling and padding, as far as the convolution does not do it. */
static void cgd__onnx_before(cgd__onnx *o, const cgd_layer *l)
{
    static const char *const scales[] = { "roi", "scales", NULL };
    static const char *const pads[] = { "pads", NULL };
    size_t start;
    if (l->up) {
        int nearest = l->up == CGD_UP_NEAREST;
        start = cgd__onnx_step(o, "Resize", "up", l->name, scales);
        cgd__onnx_word(o->b, "mode", nearest ? "nearest" : "linear");
        cgd__onnx_word(o->b, "coordinate_transformation_mode",
                       nearest ? "asymmetric" : "half_pixel");
        if (nearest) cgd__onnx_word(o->b, "nearest_mode", "floor");
        cgd__pb_close(o->b, start);
    }
    if (l->window.pad > 0 && l->window.pad_mode == CGD_PAD_REFLECT) {
        start = cgd__onnx_step(o, "Pad", "pad", l->name, pads);
        cgd__onnx_word(o->b, "mode", "reflect");
        cgd__pb_close(o->b, start);
    }
}

static void cgd__onnx_conv(cgd__onnx *o, const cgd_layer *l)
{
    static const char *const weight[] = { "weight", NULL };
    static const char *const both[] = { "weight", "bias", NULL };
    static const char *const filter[] = { "filt", NULL };
    int transposed = l->kind == CGD_DECONV;
    const cgd_window *w = &l->window;
    size_t start = cgd__onnx_step(o, transposed ? "ConvTranspose" : "Conv",
                                  "conv", l->name, l->kind == CGD_BLUR
                                  ? filter : l->norm ? weight : both);
    cgd__onnx_numbers(o->b, "kernel_shape", w->kernel, 2);
    cgd__onnx_numbers(o->b, "strides", w->stride, 2);
    if (w->pad_mode == CGD_PAD_ZERO)
        cgd__onnx_numbers(o->b, "pads", w->pad, 4);
    if (transposed)                          /* exactly stride times larger  */
        cgd__onnx_numbers(o->b, "output_padding",
                          w->stride + 2 * w->pad - w->kernel, 2);
    if (l->kind >= CGD_DEPTHWISE) cgd__onnx_number(o->b, "group", l->in_c);
    cgd__pb_close(o->b, start);
}

static void cgd__onnx_after(cgd__onnx *o, const cgd_layer *l)
{
    static const char *const acts[] = { "", "Relu", "LeakyRelu", "Tanh" };
    static const char *const own[] = { "weight", "bias", NULL };
    static const char *const running[] = { "weight", "bias", "running_mean",
                                           "running_var", NULL };
    static const char *const none[] = { NULL };
    size_t start;
    if (l->norm) {
        int frozen = l->norm == CGD_NORM_BATCH && !o->net->image_stats;
        start = cgd__onnx_step(o, frozen ? "BatchNormalization"
                               : "InstanceNormalization", "norm",
                               l->norm_name, frozen ? running : own);
        cgd__onnx_real(o->b, "epsilon", 1e-5f);
        cgd__pb_close(o->b, start);
    }
    if (l->act) {
        start = cgd__onnx_step(o, acts[l->act], "act", l->name, none);
        if (l->act == CGD_ACT_LEAKY) cgd__onnx_real(o->b, "alpha", 0.2f);
        cgd__pb_close(o->b, start);
    }
    if (l->skip) {
        const char *other[2];
        other[0] = cgd__onnx_last(l - l->skip);
        other[1] = NULL;
        start = cgd__onnx_step(o, "Add", "sum", (l - l->skip)->name, other);
        cgd__pb_close(o->b, start);
    }
}

/* An input or output of the graph: float32 (N, channels, height, width). */
static void cgd__onnx_port(cgd__bytes *b, size_t field, const char *name,
                           size_t channels, const char *height,
                           const char *width)
{
    size_t port = cgd__pb_open(b, field), type, tensor, shape, dim, i;
    cgd__pb_string(b, 1, name);
    type = cgd__pb_open(b, 2);
    tensor = cgd__pb_open(b, 1);
    cgd__pb_number(b, 1, CGD__ONNX_FLOAT);
    shape = cgd__pb_open(b, 2);
    for (i = 0; i < 4; i++) {
        dim = cgd__pb_open(b, 1);
        if (i == 1) cgd__pb_number(b, 1, channels);
        else cgd__pb_string(b, 2, i == 0 ? "N" : i == 2 ? height : width);
        cgd__pb_close(b, dim);
    }
    cgd__pb_close(b, shape);
    cgd__pb_close(b, tensor);
    cgd__pb_close(b, type);
    cgd__pb_close(b, port);
}

static void cgd__onnx_graph(cgd__export *x)
{
    const cgd_net *net = x->net;
    cgd__bytes *b = &x->file;
    cgd__onnx o;
    size_t i, start = cgd__pb_open(b, 7);
    cgd__each_part(net, cgd__onnx_part, x);
    for (i = 0; i < net->n_layers; i++) cgd__onnx_extras(b, net->layers + i);
    cgd__each_part(net, cgd__onnx_cast, x);
    o.b = b;
    o.net = net;
    cgd_format(o.value, sizeof o.value, "input");
    for (i = 0; i < net->n_layers; i++) {
        o.layer = i;
        cgd__onnx_before(&o, net->layers + i);
        cgd__onnx_conv(&o, net->layers + i);
        cgd__onnx_after(&o, net->layers + i);
    }
    cgd__pb_string(b, 2, "net");
    cgd__onnx_port(b, 11, "input", net->layers[0].in_c, "H", "W");
    cgd__onnx_port(b, 12, "output", net->layers[net->n_layers - 1].out_c,
                   "OH", "OW");
    cgd__pb_close(b, start);
}

static cgd_status cgd__onnx_check(const cgd_net *net, int dtype)
{
    size_t i;
    if (dtype == CGD_BF16)
        return cgd_fail(net->ctx, CGD_ERR_UNSUPPORTED,
            "an ONNX file of opset 11 cannot hold bf16: export as f32 or f16");
    if (net->state > 0x1f000000U)
        return cgd_fail(net->ctx, CGD_ERR_UNSUPPORTED,
            "an ONNX file cannot hold %u values: its limit is 2 GB",
            net->state);
    for (i = 0; i < net->n_layers; i++) {
        const cgd_layer *l = net->layers + i;
        const cgd_window *w = &l->window;
        if (l->kind == CGD_DECONV
            && (w->stride + 2 * w->pad < w->kernel
                || w->stride > w->kernel
                || (w->pad > 0 && w->pad_mode == CGD_PAD_REFLECT)))
            return cgd_fail(net->ctx, CGD_ERR_UNSUPPORTED,
                "layer %u (%s) is a transposed convolution of a kind that "
                "ONNX does not have", i, l->name);
    }
    return CGD_OK;
}

/* An entry of metadata_props. */
static void cgd__onnx_meta(cgd__bytes *b, const char *key, const char *text)
{
    size_t start = cgd__pb_open(b, 14);
    cgd__pb_string(b, 1, key);
    cgd__pb_string(b, 2, text);
    cgd__pb_close(b, start);
}

CGDDEF cgd_status cgd_export_onnx(const cgd_net *net, int dtype,
                                  const char *path)
{
    cgd__export x;
    cgd__bytes *b = &x.file;
    const cgd_range *r = net->generator.range;
    char text[CGD_DESCRIPTION_ROOM];
    size_t start;
    cgd_status status = cgd__export_init(&x, net, dtype);
    if (status == CGD_OK) status = cgd__onnx_check(net, dtype);
    if (status != CGD_OK) return status;
    cgd__pb_number(b, 1, 6);                 /* ir_version                   */
    cgd__pb_string(b, 2, "cycle_gan_distil");
    cgd__pb_string(b, 3, CGD_VERSION);
    cgd__onnx_graph(&x);
    start = cgd__pb_open(b, 8);              /* opset_import                 */
    cgd__pb_number(b, 2, 11);
    cgd__pb_close(b, start);
    if (cgd_net_describe(net, text)) cgd__onnx_meta(b, "cgd.net", text);
    cgd__range_words(net, text);
    if (r[0].lo < r[0].hi || r[1].lo < r[1].hi)
        cgd__onnx_meta(b, "cgd.range", text);
    return cgd__bytes_save(b, path);
}

/* ======================================================================== */
/* [impl:c] C                                                               */
/* ======================================================================== */

/* student of "small/student.h", as a name in C. */
static void cgd__c_name(char name[64], const char *path)
{
    const char *s = path, *p;
    size_t n;
    for (p = path; *p; p++) if (*p == '/' || *p == '\\') s = p + 1;
    for (n = 0; n < 48 && s[n] && s[n] != '.'; n++) {
        char c = s[n];
        int letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        name[n] = (char)(letter || (n > 0 && c >= '0' && c <= '9') ? c : '_');
    }
    if (n == 0) name[n++] = '_';
    name[n] = 0;
}

/* Four to a line. Nine digits bring every float back; the sign comes by
 * itself because that of zero would be lost. */
static void cgd__c_floats(cgd__bytes *b, const float *v, size_t n)
{
    char digits[32];
    size_t i;
    for (i = 0; i < n; i++) {
        int negative = (cgd__float_bits(v[i]) & 0x80000000U) != 0;
        cgd_format(digits, sizeof digits, "%f",
                   negative ? -(double)v[i] : (double)v[i]);
        cgd__bytes_format(b, "%s%s%s%sf%s", i % 4 ? " " : "\n    ",
                          negative ? "-" : "", digits,
                          strchr(digits, '.') || strchr(digits, 'e') ? ""
                          : ".0", i + 1 < n ? "," : "");
    }
}

static void cgd__c_layer(cgd__bytes *b, const cgd_layer *l)
{
    cgd__bytes_format(b, "    { %d, %d, %d, %d, { %u, %u, %u, %d }, %u, %u, "
                      "%u,\n      \"%s\", \"%s\",\n", l->kind, l->up, l->norm,
                      l->act, l->window.kernel, l->window.stride,
                      l->window.pad, l->window.pad_mode, l->in_c, l->out_c,
                      l->skip, l->name, l->norm_name);
    cgd__bytes_format(b, "      %u, %u, %u, %u, %u, %u, 0 }", l->w, l->b,
                      l->gamma, l->beta, l->mean, l->var);
}

/* What comes before the numbers. */
static void cgd__c_head(cgd__bytes *b, const cgd_net *net, const char *name)
{
    char text[CGD_DESCRIPTION_ROOM];
    cgd_net_describe(net, text);
    cgd__bytes_format(b, "/* %s\n *\n", text);
    cgd__bytes_format(b, " * Made by cycle_gan_distil.h " CGD_VERSION
        ", to be included after it, in one file:\n *\n *     "
        "cgd_model_attach(&ctx, &model, &%s_model);\n */\n", name);
    cgd__bytes_format(b, "#ifndef CGD_CONST_MODEL_%s\n"
                      "#define CGD_CONST_MODEL_%s\n\n", name, name);
    cgd__bytes_text(b, "#ifndef CYCLE_GAN_DISTIL_H\n"
        "#error \"include cycle_gan_distil.h before this file\"\n"
        "#elif CGD_CONST_MODEL != 1\n"
        "#error \"this model is for another cycle_gan_distil.h: export it "
        "again\"\n#endif\n\n");
}

static void cgd__c_model(cgd__bytes *b, const cgd_net *net, const char *name)
{
    const cgd_generator_config *g = &net->generator;
    int i;
    cgd__bytes_format(b, "static const cgd_const_model %s_model = {\n"
        "    %s_layers, %u, %s_params, %u, %u,\n", name, name, net->n_layers,
        name, net->count, net->state);
    cgd__bytes_format(b, "    { %d, %d, %d, %d, %d, %d, %d, %d,\n"
        "      { %d, %d, %d, %d, %d, %d },\n      {", g->in_channels,
        g->out_channels, g->width, g->blocks, g->norm, g->up, g->block,
        net->image_stats != 0, g->stage[0], g->stage[1], g->stage[2],
        g->stage[3], g->stage[4], g->stage[5]);
    for (i = 0; i < g->blocks; i++)
        cgd__bytes_format(b, "%s %d", i ? "," : "", (int)g->inside[i]);
    cgd__bytes_text(b, g->blocks ? " },\n      { " : " 0 },\n      { ");
    for (i = 0; i < 6; i++) {
        const cgd_range *r = &g->range[i / 3];
        float v = i % 3 == 0 ? r->lo : i % 3 == 1 ? r->hi : r->white;
        cgd__bytes_text(b, i == 0 ? "{" : i == 3 ? " }, {" : ",");
        cgd__c_floats(b, &v, 1);
    }
    cgd__bytes_format(b, " } }, %d, %d }\n};\n\n#endif\n",
                      g->zero_pad, g->antialias);
}

/* Have the assembler read the numbers. It refuses a file of another size: one
 * of the two moves of .org would go backwards. The symbol is given to C under
 * its own name, whatever the system puts before those of C. */
static void cgd__c_incbin(cgd__bytes *b, const cgd_net *net, const char *name,
                          const char *bin)
{
    size_t size = 4 * net->state;
    cgd__bytes_text(b, "/* An assembler that cannot move .org backwards here "
        "has found a file of\n * another export. */\n");
    cgd__bytes_format(b, "#ifndef CGD_BIN_%s\n#define CGD_BIN_%s \"%s\"\n"
                      "#endif\n", name, name, bin);
    cgd__bytes_text(b, "#if !defined(__GNUC__) || !defined(__BYTE_ORDER__) \\\n"
        "    || __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__ \\\n"
        "    || !(defined(__ELF__) || defined(__APPLE__) || defined(_WIN32))\n"
        "#error \"this model needs gcc or clang and a little-endian machine: "
        "export it without --incbin\"\n#endif\n__asm__(\n#if defined(__ELF__)\n"
        "    \".pushsection .rodata,\\\"a\\\"\\n\"\n#elif defined(__APPLE__)\n"
        "    \".pushsection __TEXT,__const\\n\"\n#else\n"
        "    \".section .rdata,\\\"dr\\\"\\n\"\n#endif\n");
    cgd__bytes_format(b, "    \".balign 64\\n.globl cgd_%s_params\\n\"\n"
        "    \"cgd_%s_params:\\n\"\n"
        "    \".incbin \\\"\" CGD_BIN_%s \"\\\"\\n\"\n"
        "    \"cgd_%s_end:\\n.org cgd_%s_params + %u\\n\"\n",
        name, name, name, name, name, size);
    cgd__bytes_format(b, "    \".org cgd_%s_end + (cgd_%s_end - "
        "cgd_%s_params) - %u\\n\"\n", name, name, name, size);
    cgd__bytes_text(b, "#if defined(__ELF__) || defined(__APPLE__)\n"
        "    \".popsection\\n\"\n#else\n    \".text\\n\"\n#endif\n);\n");
    cgd__bytes_format(b, "extern const float %s_params[%u] "
        "__asm__(\"cgd_%s_params\");\n", name, net->state, name);
}

/* The whole header. The numbers are in it, or in the file incbin. */
static cgd_status cgd__c_header(cgd__bytes *b, const cgd_net *net,
                                const char *path, const char *incbin)
{
    char name[64];
    size_t i;
    if (!net->is_generator)
        return cgd_fail(net->ctx, CGD_ERR_UNSUPPORTED,
                        "only generators are written as C");
    for (i = 0; i < net->state; i++)
        if ((cgd__float_bits(net->params[i]) & 0x7f800000U) == 0x7f800000U)
            return cgd_fail(net->ctx, CGD_ERR_FORMAT,
                "the model holds values that are not finite numbers");
    cgd__c_name(name, path);
    cgd__c_head(b, net, name);
    if (incbin) {
        cgd__c_incbin(b, net, name, incbin);
    } else {
        cgd__bytes_format(b, "static const float %s_params[%u] = {", name,
                          net->state);
        cgd__c_floats(b, net->params, net->state);
        cgd__bytes_text(b, "\n};\n");
    }
    cgd__bytes_format(b, "\nstatic const cgd_layer %s_layers[%u] = {\n", name,
                      net->n_layers);
    for (i = 0; i < net->n_layers; i++) {
        cgd__c_layer(b, net->layers + i);
        cgd__bytes_text(b, i + 1 < net->n_layers ? ",\n" : "\n};\n\n");
    }
    cgd__c_model(b, net, name);
    return CGD_OK;
}

CGDDEF cgd_status cgd_export_c(const cgd_net *net, const char *path)
{
    cgd__bytes b;
    cgd_status status;
    cgd__bytes_init(&b, net->ctx);
    status = cgd__c_header(&b, net, path, NULL);
    return status == CGD_OK ? cgd__bytes_save(&b, path) : status;
}

CGDDEF cgd_status cgd_export_c_incbin(const cgd_net *net, const char *path,
                                      const char *bin)
{
    cgd__bytes b, numbers;
    cgd_status status;
    const char *name = cgd_path_name(bin), *c;
    size_t i;
    for (c = name; *c; c++)
        if (*c == '"' || *c == '\\' || (unsigned char)*c < 32)
            return cgd_fail(net->ctx, CGD_ERR_ARGUMENT,
                "a header cannot hold the name of the file %s: choose one "
                "without quotes and backslashes", bin);
    cgd__bytes_init(&b, net->ctx);
    cgd__bytes_init(&numbers, net->ctx);
    status = cgd__c_header(&b, net, path, name);
    if (status != CGD_OK) return status;
    for (i = 0; i < net->state; i++)
        cgd__bytes_number(&numbers, cgd__float_bits(net->params[i]), 4);
    if (numbers.status == CGD_OK) numbers.status = b.status;
    status = cgd__bytes_save(&numbers, bin);
    if (status != CGD_OK) b.status = status;
    if (b.status == CGD_OK) return cgd__bytes_save(&b, path);
    cgd__bytes_free(&b);
    return b.status;
}

#ifdef __cplusplus
}
#endif
#endif /* CGD_EXPORT_IMPLEMENTATION */
