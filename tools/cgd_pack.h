/* cgd_pack.h - a folder of pictures in one file. For cycle_gan_distil.h
 *
 * Decodes and resizes a data folder once, so that training begins at once and
 * reads fast, also where there are no folders.
 *
 * Quick start: in one source file
 *
 *     #define CGD_IMPLEMENTATION
 *     #define CGD_PACK_IMPLEMENTATION
 *     #include "tools/cgd_pack.h"
 *
 *     cgd_data_config config = cgd_data_defaults();
 *     config.root = "data/horse2zebra";
 *     cgd_dataset_pack(&ctx, &config, "horse2zebra.safetensors");
 *
 * and everywhere else only the last #include. It includes cycle_gan_distil.h,
 * whose public interface it uses and whose macros (CGD_STATIC, CGDDEF) hold
 * here too; with CGD_NO_STDIO there is nothing in it. Pictures are read by the
 * codec of the context: tools/cgd_pictures.h.
 *
 * Contents
 *
 *   [api:pack]      packing
 *   [impl:packing]  two passes over the pictures
 */
#ifndef CGD_PACK_H
#define CGD_PACK_H

#include "../cycle_gan_distil.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ======================================================================== */
/* [api:pack] Packing                                                       */
/* ======================================================================== */

#ifndef CGD_NO_STDIO
/* Decode and resize a data folder once, into one file that cgd_dataset_open
 * takes as root: a safetensors file of pictures "trainA/NAME", U8, U16 or F32.
 * Takes those of trainA, trainB, testA and testB in config->root that exist
 * (of joined pairs: train, and test or val), with config's channels, resized
 * to its size and height by its filter (size 0: as they are). Its range, or
 * one measured, goes into the file and holds when it is opened. Broken
 * pictures are left out with a warning. */
CGDDEF cgd_status cgd_dataset_pack(cgd_ctx *ctx,
                                   const cgd_data_config *config,
                                   const char *path);
#endif

#ifdef __cplusplus
}
#endif
#endif /* CGD_PACK_H */

/* ======================================================================== */
/*                              IMPLEMENTATION                              */
/* ======================================================================== */
#if defined(CGD_PACK_IMPLEMENTATION) && !defined(CGD__PACK_IMPLEMENTED)
#define CGD__PACK_IMPLEMENTED
#ifndef CGD_NO_STDIO

#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ======================================================================== */
/* [impl:packing] Two passes over the pictures                              */
/* ======================================================================== */
/* The file's header wants every size before the first pixel, and a picture
 * may turn out broken only when it is decoded; so all are decoded twice. */

#define CGD__PACK_FOLDERS 4
#define CGD__PACK_CHUNK 16                  /* pictures decoded side by side */

static const char *const cgd__pack_names[CGD__PACK_FOLDERS] =
    { "trainA", "trainB", "testA", "testB" };

typedef struct cgd__packing {
    cgd_ctx *ctx;
    const cgd_codec *codec;
    cgd_writer writer;
    cgd_listing listing[CGD__PACK_FOLDERS];
    cgd_data_config config;
    int whole;                     /* pictures keep their size               */
    size_t skip[CGD__PACK_FOLDERS];   /* characters of the folder's path     */
    int writing;                   /* the second time                        */
    size_t skipped;                /* pictures left out                      */
    char reason[400];              /* for the last of them                   */
    cgd_decoding chunk[CGD__PACK_CHUNK];
} cgd__packing;

static void cgd__pack_decode(void *job, size_t i)
{
    cgd__packing *p = (cgd__packing *)job;
    if (p->chunk[i].bytes) p->codec->decode(&p->chunk[i]);
}

static void cgd__pack_read(cgd__packing *p, char **paths, size_t n, size_t c)
{
    size_t i;
    memset(p->chunk, 0, sizeof p->chunk);
    for (i = 0; i < n; i++) {
        cgd_decoding *d = &p->chunk[i];
        d->label = paths[i];
        d->channels = c;
        d->status = cgd_read_file(p->ctx, paths[i], &d->owned, &d->size);
        d->bytes = d->owned;
        if (d->status == CGD_OK) p->codec->begin(p->ctx, d);
        else cgd_format(d->sentence, sizeof d->sentence, "%s",
                        p->ctx->message);
    }
    cgd_parallel_for(p->ctx, n, cgd__pack_decode, p);
}

/* Values of 16 bits become that, little-endian, where they stand. */
static void cgd__pack_append(cgd_writer *wr, cgd_image *image)
{
    size_t n = image->w * image->h * image->c, i;
    unsigned char *out = (unsigned char *)(void *)image->values;
    if (image->data) {
        cgd_writer_append(wr, image->data, n);
    } else if (image->white <= 0) {
        cgd_writer_append_f32(wr, image->values, n);
    } else {
        for (i = 0; i < n; i++) {
            unsigned v = (unsigned)image->values[i];
            out[2 * i] = (unsigned char)(v & 255);
            out[2 * i + 1] = (unsigned char)(v >> 8);
        }
        cgd_writer_append(wr, out, 2 * n);
    }
}

/* Declare a picture, or append it. */
static cgd_status cgd__pack_picture(cgd__packing *p, cgd_decoding *d,
                                    int folder)
{
    cgd_image upright, sized;
    char name[CGD_PATH_ROOM];
    size_t shape[3], c = p->config.channels[folder % 2];
    cgd_status status = d->status;
    if (status != CGD_OK) return cgd_fail(p->ctx, status, "%s", d->sentence);
    status = p->codec->end(p->ctx, &upright, d);
    if (status == CGD_OK)
        status = cgd_take_half(p->ctx, p->config.joined, folder % 2,
                                &upright);
    if (status != CGD_OK) return status;
    cgd_format(name, sizeof name, "%s/%s", cgd__pack_names[folder],
               d->label + p->skip[folder]);
    memset(&sized, 0, sizeof sized);
    shape[0] = p->whole ? upright.h : p->config.height;
    shape[1] = p->whole ? upright.w : p->config.size;
    shape[2] = c;
    if (!p->writing)
        cgd_writer_tensor(&p->writer, name, upright.data
            ? CGD_U8 : upright.white > 0 ? CGD_U16 : CGD_F32, shape, 3);
    else
        status = cgd_image_resize(p->ctx, &sized, &upright, shape[1],
                                  shape[0], p->config.filter);
    if (p->writing && status == CGD_OK) cgd__pack_append(&p->writer, &sized);
    cgd_image_free(p->ctx, &sized);
    cgd_image_free(p->ctx, &upright);
    return status == CGD_OK ? p->writer.status : status;
}

/* One of a chunk: done, or left out with a warning (only the first time). */
static cgd_status cgd__pack_one(cgd__packing *p, cgd_decoding *d,
                                int folder, int *taken)
{
    cgd_status status = cgd__pack_picture(p, d, folder);
    *taken = status == CGD_OK;
    if (*taken && d->note && !p->writing)
        cgd_warn(p->ctx, "%s: %s", d->label, d->note);
    if (*taken || p->writing || p->writer.status != CGD_OK
        || (status != CGD_ERR_FORMAT && status != CGD_ERR_SHAPE))
        return status;
    cgd_warn(p->ctx, "%s; skipped", p->ctx->message);
    cgd_format(p->reason, sizeof p->reason, "%s", p->ctx->message);
    p->skipped++;
    return CGD_OK;
}

/* A folder, chunk by chunk; broken pictures leave the listing. */
static cgd_status cgd__pack_folder(cgd__packing *p, int folder)
{
    cgd_listing *listing = &p->listing[folder];
    size_t at, i, good = 0, n, c = p->config.channels[folder % 2];
    cgd_status status = CGD_OK;
    for (at = 0; at < listing->count && status == CGD_OK; at += n) {
        n = listing->count - at < CGD__PACK_CHUNK ? listing->count - at
                                                  : CGD__PACK_CHUNK;
        cgd__pack_read(p, listing->paths + at, n, c);
        for (i = 0; i < n; i++) {
            int taken = 0;
            if (status == CGD_OK)
                status = cgd__pack_one(p, &p->chunk[i], folder, &taken);
            if (taken) listing->paths[good++] = listing->paths[at + i];
            p->codec->release(p->ctx, &p->chunk[i]);
            cgd_release(p->ctx, p->chunk[i].owned, p->chunk[i].size);
        }
    }
    if (status == CGD_OK) listing->count = good;
    return status;
}

/* Before the first pass, since it stands in front of all: the range. Packing
 * itself will give the warnings. */
static cgd_status cgd__pack_range(cgd__packing *p)
{
    cgd_dataset data;
    cgd_status status = CGD_OK;
    void (*warn)(void *user, const char *sentence) = p->ctx->warn;
    if (p->config.measure) {
        p->ctx->warn = NULL;
        status = cgd_dataset_open(p->ctx, &data, &p->config);
        p->ctx->warn = warn;
        if (status != CGD_OK) return status;
        memcpy(p->config.range, data.config.range, sizeof p->config.range);
        cgd_dataset_close(&data);
    }
    cgd_writer_range(&p->writer, p->config.range, "");
    return status;
}

static cgd_status cgd__pack_join(cgd_ctx *ctx, char out[CGD_PATH_ROOM],
                                 const char *folder, const char *name)
{
    if (cgd_path_join(out, folder, name)) return CGD_OK;
    return cgd_fail(ctx, CGD_ERR_ARGUMENT, "the path %s is too long", folder);
}

/* The pictures of one of the four folders; it may be missing or empty. */
static cgd_status cgd__pack_list(cgd__packing *p, int i)
{
    const char *root = p->config.root, *name = cgd__pack_names[i];
    char folder[CGD_PATH_ROOM], path[CGD_PATH_ROOM] = "x";
    cgd_status status;
    if (p->config.joined) name = i < 2 ? "train" : "test";
    status = cgd__pack_join(p->ctx, folder, root, name);
    if (status == CGD_OK && p->config.joined
        && cgd_path_kind(folder) == CGD_PATH_MISSING)
        status = cgd__pack_join(p->ctx, folder, root, i < 2 ? "" : "val");
    if (status != CGD_OK) return status;
    if (cgd_path_kind(folder) == CGD_PATH_MISSING) return CGD_OK;
    status = cgd_list_pictures(p->ctx, &p->listing[i], folder,
                               !p->config.flat);
    if (status == CGD_ERR_FORMAT) return CGD_OK;
    if (status == CGD_OK) status = cgd__pack_join(p->ctx, path, folder, "x");
    p->skip[i] = strlen(path) - 1;            /* what stands before the name */
    return status;
}

/* Both passes; the writer's end is also what removes a half-written file. */
static cgd_status cgd__pack_write(cgd__packing *p, const char *path)
{
    size_t total = 0;
    int i;
    cgd_status status;
    cgd_writer_init(p->ctx, &p->writer, path);
    status = cgd__pack_range(p);
    for (i = 0; i < CGD__PACK_FOLDERS && status == CGD_OK; i++) {
        status = cgd__pack_folder(p, i);
        total += p->listing[i].count;
    }
    if (status == CGD_OK && total == 0)
        status = cgd_fail(p->ctx, CGD_ERR_FORMAT, "%s: there is no readable "
            "picture in %s%s%s", p->config.root, p->config.joined
            ? "it, train, test or val" : "trainA, trainB, testA or testB",
            p->skipped ? "; the last: " : "", p->reason);
    p->writing = 1;
    if (status == CGD_OK) {
        cgd_writer_begin(&p->writer);
        status = p->writer.status;
    }
    for (i = 0; i < CGD__PACK_FOLDERS && status == CGD_OK; i++)
        status = cgd__pack_folder(p, i);
    if (p->writer.status == CGD_OK) p->writer.status = status;
    return cgd_writer_end(&p->writer);
}

CGDDEF cgd_status cgd_dataset_pack(cgd_ctx *ctx,
                                   const cgd_data_config *config,
                                   const char *path)
{
    int i;
    cgd_data_config checked = *config;
    cgd_status status;
    cgd__packing *p;
    if (checked.size == 0) checked.size = checked.height = 8;     /* unused  */
    checked.load_size = checked.load_height = 0;
    status = cgd_data_check(ctx, &checked);
    if (status != CGD_OK) return status;
    p = (cgd__packing *)cgd_alloc(ctx, 1, sizeof *p,
                                  "packing pictures");
    if (!p) return CGD_ERR_MEMORY;
    p->ctx = ctx;
    p->codec = cgd_codec_of(ctx);
    p->config = checked;
    p->whole = config->size == 0;
    for (i = 0; i < CGD__PACK_FOLDERS && status == CGD_OK; i++)
        status = cgd__pack_list(p, i);
    if (status == CGD_OK) status = cgd__pack_write(p, path);
    for (i = 0; i < CGD__PACK_FOLDERS; i++)
        cgd_listing_free(ctx, &p->listing[i]);
    cgd_release(ctx, p, sizeof *p);
    return status;
}

#ifdef __cplusplus
}
#endif
#endif /* CGD_NO_STDIO */
#endif /* CGD_PACK_IMPLEMENTATION */
