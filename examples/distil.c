/* Distil a generator:   cc examples/distil.c -o distil
 *                       ./distil run/g_ab.safetensors photos paintings small
 *
 * The teacher is a generator that translates photos into paintings, such as
 * examples/train.c leaves. small/student.safetensors will do the same with a
 * third of the residual blocks: half the work. It learns from the teacher's
 * answers alone, so paintings is only looked at when a loss below needs it.
 * Stop it whenever you like (Ctrl-C saves first): the same command goes on.
 * Needs stb_image (Debian: libstb-dev). */
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
#include <string.h>

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
        printf("step %lu of %lu: %.4f from the teacher\n", p->step, p->total,
               p->losses.output);
    fflush(stdout);
    return stopped;                 /* 1: saves and stops                    */
}

static void warn(void *user, const char *sentence)
{
    (void)user;
    fprintf(stderr, "distil: %s\n", sentence);
}

int main(int argc, char **argv)
{
    cgd_ctx ctx;
    cgd_options options = { 0 };
    cgd_train_config config = cgd_distil_defaults();
    cgd_run_config run = cgd_run_defaults();
    cgd_model teacher;
    cgd_status status;
    if (argc != 5) {
        fprintf(stderr, "usage: distil TEACHER FOLDER_A FOLDER_B RUN\n");
        return EXIT_FAILURE;
    }
    config.direction = 0;           /* the teacher translates A to B         */
    config.height = config.width = 128;
    run.teacher = &teacher.net;
    run.data.dir[0] = argv[2];
    run.data.dir[1] = argv[3];
    run.data.load_size = 144;       /* resized to this, then cropped         */
    run.out = argv[4];
    run.steps = 5000;
    run.save_every = 100;
    run.resume = CGD_RESUME_AUTO;
    run.progress = progress;
    options.warn = warn;

    signal(SIGINT, stop);
    signal(SIGTERM, stop);
    cgd_init(&ctx, &options);
    cgd_use_pictures(&ctx);
    status = cgd_use_kernels(&ctx, getenv("CGD_ISA"));  /* NULL: the best */
    memset(&teacher, 0, sizeof teacher);
    if (status == CGD_OK) status = cgd_model_load(&ctx, &teacher, argv[1]);
    if (status == CGD_OK) {         /* the same shape, a third of its blocks */
        config.generator = teacher.net.generator;
        config.generator.blocks = (config.generator.blocks + 2) / 3;
        status = cgd_train_run(&ctx, &config, &run);
    }
    if (status != CGD_OK)
        fprintf(stderr, "distil: %s\n", cgd_message(&ctx, status));
    cgd_model_free(&teacher);
    cgd_free(&ctx);
    return status == CGD_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}
