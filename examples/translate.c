/* Translate a picture:   cc examples/translate.c -o translate
 *                        ./translate student.safetensors in.jpg out.png
 *
 * The model is a generator that examples/train.c or examples/distil.c left;
 * the picture may have any size. Needs stb_image (Debian: libstb-dev). */
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
#include <stdlib.h>

static void warn(void *user, const char *sentence)
{
    (void)user;
    fprintf(stderr, "translate: %s\n", sentence);
}

int main(int argc, char **argv)
{
    cgd_ctx ctx;
    cgd_options options = { 0 };
    cgd_status status;
    if (argc != 4) {
        fprintf(stderr, "usage: translate MODEL IN OUT\n");
        return EXIT_FAILURE;
    }
    options.warn = warn;
    cgd_init(&ctx, &options);
    cgd_use_pictures(&ctx);
    status = cgd_use_kernels(&ctx, getenv("CGD_ISA"));  /* NULL: the best */
    if (status == CGD_OK)
        status = cgd_translate_file(&ctx, argv[1], argv[2], argv[3]);
    if (status != CGD_OK)
        fprintf(stderr, "translate: %s\n", cgd_message(&ctx, status));
    cgd_free(&ctx);
    return status == CGD_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}
