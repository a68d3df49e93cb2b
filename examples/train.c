/* Train a CycleGAN:   cc examples/train.c -o train
 *                     ./train photos paintings run
 *
 * photos and paintings are folders of JPEG, PNG or BMP pictures, unpaired, of
 * any size. run will hold g_ab.safetensors, which turns photos into
 * paintings, and g_ba.safetensors, which does the reverse; a log; samples to
 * look at; and the state of the training. Stop it whenever you like (Ctrl-C
 * saves first): the same command goes on from the last saved state. Needs
 * stb_image (Debian: libstb-dev).
 *
 * The settings below are those of `cgd train`: 128 x 128, in hours on a few
 * cores. The paper's are those of cgd_train_defaults() and
 * cgd_data_defaults(): 256 x 256 and twice the width, for 200 epochs. */
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
#define CGD_PICTURES_IMPLEMENTATION
#include "../cycle_gan_distil.h"
#include "../tools/cgd_pictures.h"
#include <signal.h>
#include <stdlib.h>

static volatile sig_atomic_t stopped;

static void stop(int number)
{
    stopped = 1;
    signal(number, stop);           /* some systems forget it each time      */
}

static int progress(void *user, const cgd_progress *p)
{
    (void)user;
    if (p->logged)
        printf("step %lu of %lu: generators %.3f, discriminators %.3f\n",
               p->step, p->total, p->losses.generators,
               p->losses.d[0] + p->losses.d[1]);
    fflush(stdout);
    return stopped;                 /* 1: saves and stops                    */
}

static void warn(void *user, const char *sentence)
{
    (void)user;
    fprintf(stderr, "train: %s\n", sentence);
}

int main(int argc, char **argv)
{
    cgd_ctx ctx;
    cgd_options options = { 0 };
    cgd_train_config config = cgd_train_defaults();
    cgd_run_config run = cgd_run_defaults();
    cgd_status status;
    if (argc != 4) {
        fprintf(stderr, "usage: train FOLDER_A FOLDER_B RUN\n");
        return EXIT_FAILURE;
    }
    config.generator.width = 32;
    config.generator.blocks = 6;
    config.discriminator.width = 32;
    config.height = config.width = 128;
    config.ema = 0.999f;            /* results are averages of the weights   */
    config.lr_g = 4e-4f;
    run.data.dir[0] = argv[1];
    run.data.dir[1] = argv[2];
    run.data.load_size = 144;       /* resized to this, then cropped         */
    run.out = argv[3];
    run.steps = 20000;
    run.save_every = 100;
    run.resume = CGD_RESUME_AUTO;
    run.progress = progress;
    options.warn = warn;

    signal(SIGINT, stop);
    signal(SIGTERM, stop);
    cgd_init(&ctx, &options);
    cgd_use_pictures(&ctx);
    status = cgd_use_kernels(&ctx, getenv("CGD_ISA"));  /* NULL: the best */
    if (status == CGD_OK)
        status = cgd_train_run(&ctx, &config, &run);
    if (status != CGD_OK)
        fprintf(stderr, "train: %s\n", cgd_message(&ctx, status));
    cgd_free(&ctx);
    return status == CGD_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}
