/* What the fuzz targets do with a file that was accepted, and what must hold
 * after any. */
#ifndef FUZZ_H
#define FUZZ_H

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t size);

/* Every tensor, to the last value. */
static void fuzz_read(const cgd_file *file)
{
    static float values[1000];
    size_t i, k, n, count;
    for (i = 0; i < file->n_tensors; i++) {
        const cgd_file_tensor *t = &file->tensors[i];
        for (count = 1, k = 0; k < t->rank; k++) count *= t->shape[k];
        if (cgd_file_find(file, t->name) != t) abort();
        for (k = 0; k < count && k < 100 * 1000; k += n) {
            n = count - k < 1000 ? count - k : 1000;
            if (cgd_file_read(file, t, k, n, values) == CGD_ERR_FORMAT)
                abort();
        }
    }
}

static void fuzz_nets(const cgd_file *file)
{
    cgd_import_options options = cgd_import_defaults();
    cgd_found found;
    cgd_net net;
    size_t at = 0;
    while (cgd_import_next(file, &at, &found)) {
        options.key = found.prefix;
        options.stats = (int)(at % 3) - 1;
        if (cgd_import_net(file->ctx, &net, file, &options) == CGD_OK)
            cgd_net_free(&net);
    }
    if (cgd_import_net(file->ctx, &net, file, NULL) == CGD_OK)
        cgd_net_free(&net);
}

/* Nothing is left, and nothing was asked for that the file could not pay:
 * what is fixed, and so many bytes for each of the file's. */
static void fuzz_end(cgd_ctx *ctx, size_t size)
{
    if (cgd_memory_in_use(ctx) != 0) abort();
    if (cgd_memory_peak(ctx) > 2000000 + 400 * size) abort();
    cgd_free(ctx);
}

#endif
