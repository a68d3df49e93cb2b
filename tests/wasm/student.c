/* A student in 6 MB of lent memory, without a C library: draws its weights and
 * a picture from a seed and translates it. tests/test_ports.sh builds it as a
 * WebAssembly module (see student.js) and as a program of the machine, which
 * writes the picture to its output, and compares the two. */
#define CGD_NO_STDIO
#define CGD_NO_MALLOC
#define CGD_NO_TRAIN
#define CGD_NO_THREADS
#define CGD_ASSERT(x) ((x) ? (void)0 : __builtin_trap())
#define CGD_IMPLEMENTATION
#include "../../cycle_gan_distil.h"

enum { WIDTH = 61, HEIGHT = 47, BYTES = WIDTH * HEIGHT * 3 };

static double memory[6 << 17];
static unsigned char pixels[BYTES];

unsigned char *picture(void);
size_t picture_bytes(void);
int translate(int reference);

unsigned char *picture(void) { return pixels; }
size_t picture_bytes(void) { return BYTES; }

/* 0, or which of the steps failed. */
int translate(int reference)
{
    cgd_generator_config config = cgd_generator_defaults();
    cgd_options options;
    cgd_ctx ctx;
    cgd_model model;
    cgd_rng rng;
    size_t i;
    memset(&options, 0, sizeof options);
    options.memory = memory;
    options.memory_size = sizeof memory;
    cgd_init(&ctx, &options);
    if (cgd_use_kernels(&ctx, reference ? "reference" : NULL) != CGD_OK)
        return 1;
    config.width = 16;
    config.blocks = 3;
    memset(&model, 0, sizeof model);
    if (cgd_generator_init(&ctx, &model.net, &config) != CGD_OK) return 2;
    cgd_rng_seed(&rng, 5, 0);
    cgd_net_init_weights(&model.net, CGD_INIT_NORMAL, &rng);
    for (i = 0; i < BYTES; i++)
        pixels[i] = (unsigned char)cgd_rng_below(&rng, 256);
    if (cgd_translate(&model, pixels, pixels, WIDTH, HEIGHT, NULL, 0)
        != CGD_OK) return 3;
    cgd_model_free(&model);
    cgd_free(&ctx);
    return 0;
}

#ifndef __wasm__
#include <stdio.h>
int main(void)
{
    int failed = translate(0);
    return failed ? failed : fwrite(pixels, BYTES, 1, stdout) != 1;
}
#endif
