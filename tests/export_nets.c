/* What tests/test_export.sh needs from the library:
 *
 *     export_nets make DIR                   DIR/instance.safetensors, ...
 *     export_nets apply MODEL N H W IN OUT   IN: N * H * W * channels floats
 */
#define CGD_IMPLEMENTATION
#include "../cycle_gan_distil.h"
#include "generators.h"

static int fail(const cgd_ctx *ctx, cgd_status status)
{
    fprintf(stderr, "%s\n", cgd_message(ctx, status));
    return 1;
}

static int make(cgd_ctx *ctx, const char *folder)
{
    size_t i;
    cgd_status status = CGD_OK;
    for (i = 0; i < N(kinds) && status == CGD_OK; i++) {
        char path[500];
        cgd_net net;
        sprintf(path, "%.400s/%s.safetensors", folder, kinds[i].name);
        build(ctx, &net, kinds + i);
        status = cgd_net_save(&net, NULL, path);
        if (status == CGD_OK && strcmp(kinds[i].name, "none") == 0) {
            net.generator.range[0].lo = -1000;        /* of no bytes         */
            net.generator.range[0].hi = 3000.5f;
            net.generator.range[1].white = 65535.0f;
            sprintf(path, "%.400s/none.ranged.safetensors", folder);
            status = cgd_net_save(&net, NULL, path);
        }
        cgd_net_free(&net);
        printf("%s\n", kinds[i].name);
    }
    return status == CGD_OK ? 0 : fail(ctx, status);
}

static int apply(cgd_ctx *ctx, char **args)
{
    cgd_model model;
    cgd_pass pass;
    cgd_tensor x;
    FILE *f;
    size_t count, written;
    cgd_status status = cgd_model_load(ctx, &model, args[0]);
    if (status != CGD_OK) return fail(ctx, status);
    x = cgd_tensor_view((size_t)atoi(args[1]), (size_t)atoi(args[2]),
                        (size_t)atoi(args[3]), model.net.layers[0].in_c, NULL);
    count = cgd_tensor_size(&x);
    x.data = (float *)malloc(count * sizeof(float));
    f = fopen(args[4], "rb");
    if (!f || fread(x.data, sizeof(float), count, f) != count) return 2;
    fclose(f);
    status = cgd_pass_init(&pass, &model.net, x.n, x.h, x.w, CGD_INFER, NULL,
                           0, NULL);
    if (status == CGD_OK) status = cgd_pass_forward(&pass, &x);
    if (status != CGD_OK) return fail(ctx, status);
    f = fopen(args[5], "wb");
    if (!f) return 3;
    count = cgd_tensor_size(&pass.y);
    written = fwrite(pass.y.data, sizeof(float), count, f);
    return fclose(f) != 0 || written != count;
}

int main(int argc, char **argv)
{
    cgd_ctx ctx;
    cgd_init(&ctx, NULL);
    if (argc == 3 && strcmp(argv[1], "make") == 0) return make(&ctx, argv[2]);
    if (argc == 8 && strcmp(argv[1], "apply") == 0)
        return apply(&ctx, argv + 2);
    fprintf(stderr, "usage: export_nets make DIR | apply MODEL N H W IN OUT\n");
    return 2;
}
