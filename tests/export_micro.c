/* A program for a small machine: a model in constants, no heap, no files, and
 * a lent buffer. Compiled by tests/test_export.sh with MODEL_FILE and MODEL;
 * its own printing is only for the test.
 *
 *     export_micro draw       write a picture as BMP to the standard output
 *     export_micro            write its translation
 */
#define CGD_NO_STDIO
#define CGD_NO_MALLOC
#define CGD_NO_TRAIN
#define CGD_IMPLEMENTATION
#include "cycle_gan_distil.h"
#include MODEL_FILE
#include <stdio.h>

enum { WIDTH = 20, HEIGHT = 14 };      /* rows of BMP are multiples of 4     */

static double plans[1 << 14], workspace[1 << 17];

/* c channels as BMP has them: blue, green, red, the bottom row first. */
static void write_bmp(const unsigned char *p, size_t c)
{
    unsigned char head[54] = { 'B', 'M' };
    size_t x, y, k;
    head[10] = 54;
    head[14] = 40;
    head[18] = WIDTH;
    head[22] = HEIGHT;
    head[26] = 1;
    head[28] = 24;
    fwrite(head, 1, sizeof head, stdout);
    for (y = HEIGHT; y-- > 0; )
        for (x = 0; x < WIDTH; x++)
            for (k = 3; k-- > 0; )
                putchar(p[(y * WIDTH + x) * c + (c == 1 ? 0 : k)]);
}

int main(int argc, char **argv)
{
    static unsigned char in[WIDTH * HEIGHT * 3], out[WIDTH * HEIGHT * 3];
    size_t c = (size_t)MODEL.generator.in_channels, i;
    unsigned long x = 1;
    cgd_ctx ctx;
    cgd_options options;
    cgd_model model;
    (void)argv;
    for (i = 0; i < WIDTH * HEIGHT * c; i++) {
        x = (x * 1664525UL + 1013904223UL) & 0xffffffffUL;
        in[i] = (unsigned char)(x >> 24);
    }
    if (argc > 1) {
        write_bmp(in, c);
        return 0;
    }
    memset(&options, 0, sizeof options);
    options.memory = plans;
    options.memory_size = sizeof plans;
    cgd_init(&ctx, &options);
    cgd_model_attach(&ctx, &model, &MODEL);
    if (cgd_model_workspace(&model, WIDTH, HEIGHT) > sizeof workspace)
        return 2;
    if (cgd_translate(&model, out, in, WIDTH, HEIGHT, workspace,
                      sizeof workspace) != CGD_OK) return 3;
    write_bmp(out, (size_t)MODEL.generator.out_channels);
    cgd_model_free(&model);
    cgd_free(&ctx);
    return 0;
}
