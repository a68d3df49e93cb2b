/* libFuzzer target: any bytes as a safetensors file (make fuzz). */
#define CGD_NO_THREADS
#define CGD_NO_STDIO
#define CGD_IMPLEMENTATION
#define CGD_IMPORT_IMPLEMENTATION
#include "../../tools/cgd_import.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t size)
{
    cgd_ctx ctx;
    cgd_file file;
    cgd_net net;
    cgd_init(&ctx, NULL);
    if (cgd_file_open_memory(&ctx, &file, bytes, size, "x") == CGD_OK) {
        fuzz_read(&file);
        if (cgd_net_load(&ctx, &net, &file, "") == CGD_OK) cgd_net_free(&net);
        fuzz_nets(&file);
        cgd_file_close(&file);
    }
    fuzz_end(&ctx, size);
    return 0;
}
