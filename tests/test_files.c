/* Weights files: what the reader accepts and refuses, that the writer leaves
 * a whole file or none, and that nets and training states come back. */
#define CGD_IMPORT_IMPLEMENTATION
#include "../tools/cgd_import.h"
#include "../tools/cgd_pictures.h"
#include "test.h"
#include <stdlib.h>
#include <string.h>

/* ---- tools ---------------------------------------------------------------*/

/* An allocator that says no at the call number `left`, and counts. */
typedef struct purse { long left; size_t held; } purse;

static void *purse_alloc(void *user, size_t bytes)
{
    purse *p = (purse *)user;
    void *block;
    if (p->left == 0) return NULL;
    if (p->left > 0) p->left--;
    block = malloc(bytes);
    if (block) p->held += bytes;
    return block;
}

static void purse_release(void *user, void *block, size_t bytes)
{
    purse *p = (purse *)user;
    p->held -= bytes;
    free(block);
}

static purse money;

static void begin(cgd_ctx *ctx)
{
    cgd_options options;
    memset(&options, 0, sizeof options);
    money.left = -1;
    money.held = 0;
    options.allocator.alloc = purse_alloc;
    options.allocator.release = purse_release;
    options.allocator.user = &money;
    options.threads = 1;
    cgd_init(ctx, &options);
}

static void end(cgd_ctx *ctx)
{
    cgd_free(ctx);
    CHECK(money.held == 0);
}

/* A path in the folder of products where there is one, else right here. */
static const char *path_of(const char *name)
{
    static char paths[4][128];
    static int next;
    char *path = paths[next = (next + 1) % 4];
    FILE *probe = fopen("build/test_files.probe", "wb");
    strcpy(path, probe ? "build/" : "");
    if (probe) {
        fclose(probe);
        remove("build/test_files.probe");
    }
    strcat(path, name);
    return path;
}

static int exists(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (f) fclose(f);
    return f != NULL;
}

typedef struct bytes { unsigned char *at; size_t size; } bytes;

static bytes slurp(const char *path)
{
    bytes b;
    long size;
    FILE *f = fopen(path, "rb");
    b.at = NULL;
    b.size = 0;
    if (!f) return b;
    fseek(f, 0, SEEK_END);
    size = ftell(f);
    fseek(f, 0, SEEK_SET);
    b.at = (unsigned char *)malloc((size_t)size + 1);
    if (b.at) b.size = fread(b.at, 1, (size_t)size, f);
    fclose(f);
    return b;
}

static void spill(const char *path, const void *data, size_t size)
{
    FILE *f = fopen(path, "wb");
    if (!f) return;
    fwrite(data, 1, size, f);
    fclose(f);
}

static int holds(const char *path, const char *text)
{
    bytes b = slurp(path);
    int same = b.at && b.size == strlen(text)
        && memcmp(b.at, text, b.size) == 0;
    free(b.at);
    return same;
}

/* A file in memory: length, header, then data bytes counting up from 1. The
 * block is exactly as large as the file, so that sanitizers see every step
 * beyond it. */
static bytes file_of(const char *json, size_t data)
{
    bytes b;
    size_t n = strlen(json), i;
    b.size = 8 + n + data;
    b.at = (unsigned char *)malloc(b.size);
    if (!b.at) exit(EXIT_FAILURE);
    for (i = 0; i < 8; i++)
        b.at[i] = (unsigned char)(i < 4 ? n >> 8 * i & 255 : 0);
    memcpy(b.at + 8, json, n);
    for (i = 0; i < data; i++) b.at[8 + n + i] = (unsigned char)(i + 1);
    return b;
}

/* The header is refused, with a sentence that holds the word, and without
 * keeping memory. */
static void refuse(const char *json, size_t data, const char *word)
{
    cgd_ctx ctx;
    cgd_file file;
    bytes b = file_of(json, data);
    begin(&ctx);
    CHECK(cgd_file_open_memory(&ctx, &file, b.at, b.size, "bad.file")
          == CGD_ERR_FORMAT);
    CHECK(strstr(ctx.message, "bad.file") != NULL);
    if (!strstr(ctx.message, word)) {
        test_failure(__FILE__, __LINE__, json);
        printf("    %s\n", ctx.message);
    }
    CHECK(money.held == 0);
    cgd_file_close(&file);
    free(b.at);
    end(&ctx);
}

static void accept(const char *json, size_t data)
{
    cgd_ctx ctx;
    cgd_file file;
    bytes b = file_of(json, data);
    begin(&ctx);
    if (cgd_file_open_memory(&ctx, &file, b.at, b.size, "good") != CGD_OK) {
        test_failure(__FILE__, __LINE__, json);
        printf("    %s\n", ctx.message);
    }
    cgd_file_close(&file);
    free(b.at);
    end(&ctx);
}

static size_t elements(const cgd_file_tensor *t)
{
    size_t n = 1, i;
    for (i = 0; i < t->rank; i++) n *= t->shape[i];
    return n;
}

/* ---- the reader ----------------------------------------------------------*/

static void reader_finds_tensors_and_metadata(void)
{
    cgd_ctx ctx;
    cgd_file file;
    const cgd_file_tensor *t;
    bytes b = file_of("{\"b\":{\"data_offsets\":[2,6],\"dtype\":\"F32\","
        "\"shape\":[1]},\n \"__metadata__\" : {\"z\":\"1\",\"a\":\"two\"},"
        "\"a\":{\"shape\":[2,1],\"dtype\":\"U8\",\"data_offsets\":[0,2]},"
        "\"empty\":{\"dtype\":\"F32\",\"shape\":[0,7],"
        "\"data_offsets\":[6,6]}}    ", 6);
    unsigned char raw[2];
    float v[2];
    begin(&ctx);
    CHECK(cgd_file_open_memory(&ctx, &file, b.at, b.size, "x") == CGD_OK);
    CHECK(file.n_tensors == 3 && strcmp(file.tensors[0].name, "a") == 0);
    CHECK(strcmp(cgd_file_meta(&file, "a"), "two") == 0);
    CHECK(strcmp(cgd_file_meta(&file, "z"), "1") == 0);
    CHECK(cgd_file_meta(&file, "q") == NULL);
    CHECK(cgd_file_find(&file, "c") == NULL);
    t = cgd_file_find(&file, "a");
    CHECK(t && t->rank == 2 && t->shape[0] == 2 && t->dtype == CGD_U8);
    CHECK(cgd_file_read(&file, t, 0, 2, v) == CGD_OK);
    CHECK(v[0] == 1 && v[1] == 2);
    CHECK(cgd_file_read_bytes(&file, t, 1, 1, raw) == CGD_OK && raw[0] == 2);
    CHECK(cgd_file_read(&file, t, 1, 2, v) == CGD_ERR_ARGUMENT);
    CHECK(cgd_file_read_bytes(&file, t, 3, 0, raw) == CGD_ERR_ARGUMENT);
    t = cgd_file_find(&file, "empty");
    CHECK(t && cgd_file_read(&file, t, 0, 0, v) == CGD_OK);
    cgd_file_close(&file);
    free(b.at);
    end(&ctx);
}

/* Type, little-endian bytes, and the float that they mean. */
static const struct known {
    const char *dtype;
    unsigned char raw[8];
    double value;
} known[] = {
    { "F32", { 0, 0, 0x20, 0xc0 }, -2.5 },
    { "F16", { 0, 0x3c }, 1 }, { "F16", { 1, 0 }, 1.0 / 16777216 },
    { "F16", { 0xff, 0xfb }, -65504 },
    { "F16", { 0x55, 0x35 }, 0.333251953125 },
    { "F16", { 0xff, 3 }, 1023.0 / 16777216 },
    { "BF16", { 0x80, 0x3f }, 1 }, { "BF16", { 0x49, 0xc0 }, -3.140625 },
    { "F64", { 0, 0, 0, 0, 0, 0, 4, 0xc0 }, -2.5 },
    /* 1 + 2^-24 is half way and goes to the even 1; 2^-52 more does not. */
    { "F64", { 0, 0, 0, 0x10, 0, 0, 0xf0, 0x3f }, 1 },
    { "F64", { 1, 0, 0, 0x10, 0, 0, 0xf0, 0x3f }, 1 + 1.0 / 8388608 },
    { "I64", { 255, 255, 255, 255, 255, 255, 255, 255 }, -1 },
    { "I64", { 1, 0, 0, 1, 0, 0, 0, 0 }, 16777216 },       /* ties to even   */
    { "I64", { 3, 0, 0, 1, 0, 0, 0, 0 }, 16777220 },
    { "I64", { 0, 0, 0, 0, 0, 1, 0, 0 }, 1099511627776.0 },
    { "I64", { 0, 0, 0, 0, 0, 0, 0, 0x80 }, -9223372036854775808.0 },
    { "I64", { 1, 0, 0, 0x80, 0, 0, 0x80, 0 }, 36028801313931264.0 },
    { "I32", { 0, 0, 0, 0x80 }, -2147483648.0 },
    { "I32", { 254, 255, 255, 255 }, -2 }, { "I32", { 7, 0, 0, 0 }, 7 },
    { "I16", { 0, 0x80 }, -32768 }, { "I16", { 255, 127 }, 32767 },
    { "I8", { 128 }, -128 }, { "I8", { 127 }, 127 },
    { "BOOL", { 2 }, 1 }, { "U8", { 255 }, 255 }
};

static void every_type_becomes_the_nearest_float(void)
{
    size_t i, width;
    for (i = 0; i < sizeof known / sizeof *known; i++) {
        cgd_ctx ctx;
        cgd_file file;
        bytes b;
        char json[128];
        float v = 12345;
        const char *d = known[i].dtype;
        width = strstr(d, "16") ? 2 : strstr(d, "32") ? 4
              : strstr(d, "64") ? 8 : 1;
        sprintf(json, "{\"t\":{\"dtype\":\"%s\",\"shape\":[],"
                "\"data_offsets\":[0,%d]}}", d, (int)width);
        b = file_of(json, width);
        memcpy(b.at + b.size - width, known[i].raw, width);
        begin(&ctx);
        CHECK(cgd_file_open_memory(&ctx, &file, b.at, b.size, "x") == CGD_OK);
        CHECK(cgd_file_read(&file, file.tensors, 0, 1, &v) == CGD_OK);
        CHECK_NEAR(v, known[i].value, 0);
        cgd_file_close(&file);
        free(b.at);
        end(&ctx);
    }
}

static int little_endian(void)
{
    static const int one = 1;
    return *(const char *)&one;
}

/* A double with these 64 bits. */
static double double_of(cgd_u32 hi, cgd_u32 lo)
{
    cgd_u32 word[2];
    double v;
    word[little_endian() ? 0 : 1] = lo;
    word[little_endian() ? 1 : 0] = hi;
    memcpy(&v, word, sizeof v);
    return v;
}

/* A file of doubles, read as floats. */
static void check_doubles(const cgd_u32 (*bits)[2], size_t n)
{
    static float got[1000];
    char json[128];
    cgd_ctx ctx;
    cgd_file file;
    bytes b;
    size_t i, k;
    sprintf(json, "{\"t\":{\"dtype\":\"F64\",\"shape\":[%u],"
            "\"data_offsets\":[0,%u]}}", (unsigned)n, (unsigned)(8 * n));
    b = file_of(json, 8 * n);
    for (i = 0; i < n; i++)
        for (k = 0; k < 8; k++)
            b.at[b.size - 8 * (n - i) + k] = (unsigned char)
                (bits[i][k < 4] >> 8 * (k % 4) & 255);
    begin(&ctx);
    CHECK(cgd_file_open_memory(&ctx, &file, b.at, b.size, "x") == CGD_OK);
    CHECK(cgd_file_read(&file, file.tensors, 0, n, got) == CGD_OK);
    cgd_file_close(&file);
    free(b.at);
    end(&ctx);
    for (i = 0; i < n; i++) {
        double v = double_of(bits[i][0], bits[i][1]);
        float expected = (float)v;
        if (v != v) CHECK(got[i] != got[i]);
        else if (v > 3.4028234e38) CHECK(got[i] > 3.4028234e38f);
        else if (v < -3.4028234e38) CHECK(got[i] < -3.4028234e38f);
        else CHECK(memcmp(&expected, got + i, sizeof expected) == 0);
    }
}

/* Random doubles against the compiler's own conversion. */
static void doubles_round_as_the_machine_does(void)
{
    static cgd_u32 bits[1000][2];
    cgd_rng rng;
    long i;
    int round;
    cgd_rng_seed(&rng, 5, 0);
    for (round = 0; round < 200; round++) {
        for (i = 0; i < 1000; i++) {
            cgd_u32 hi = cgd_rng_next(&rng), lo = cgd_rng_next(&rng);
            if (i % 2) lo &= 0xe0000000U | (lo & 1U ? 0x10000000U : 0);
            if (i % 3) hi = (hi & 0x800fffffU)
                          | (860U + (hi >> 20 & 2047U) % 300U) << 20;
            bits[i][0] = hi;
            bits[i][1] = lo;
        }
        bits[0][0] = round % 2 ? 0x7fe00000U : 0x7ff80000U;
        bits[0][1] = 0;
        check_doubles((const cgd_u32 (*)[2])bits, 1000);
    }
}

static void foreign_types_are_listed_but_not_read(void)
{
    cgd_ctx ctx;
    cgd_file file;
    float v;
    bytes b = file_of("{\"mask\":{\"dtype\":\"F8_E4M3\",\"shape\":[3],"
                      "\"data_offsets\":[0,3]}}", 3);
    unsigned char raw[3];
    begin(&ctx);
    CHECK(cgd_file_open_memory(&ctx, &file, b.at, b.size, "x") == CGD_OK);
    CHECK(strcmp(file.tensors[0].dtype_name, "F8_E4M3") == 0);
    CHECK(cgd_file_read(&file, file.tensors, 0, 1, &v)
          == CGD_ERR_UNSUPPORTED);
    CHECK(strstr(ctx.message, "mask") && strstr(ctx.message, "F8_E4M3"));
    CHECK(cgd_file_read_bytes(&file, file.tensors, 0, 3, raw) == CGD_OK);
    CHECK(raw[2] == 3);
    cgd_file_close(&file);
    free(b.at);
    end(&ctx);
}

#define ENTRY(begin, end) \
    "{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[" #begin "," #end "]}"

static void hostile_places_are_refused(void)
{
    char json[128];
    accept("{\"a\":" ENTRY(0,2) ",\"b\":" ENTRY(2,4) "}", 4);
    refuse("{\"a\":" ENTRY(0,2) ",\"b\":" ENTRY(1,3) "}", 3, "overlaps");
    refuse("{\"a\":" ENTRY(0,2) ",\"b\":" ENTRY(0,2) "}", 2, "overlaps");
    refuse("{\"a\":" ENTRY(0,2) ",\"b\":" ENTRY(3,5) "}", 5, "gap");
    refuse("{\"a\":" ENTRY(1,3) "}", 3, "gap");
    refuse("{\"a\":" ENTRY(0,2) "}", 3, "after the last");
    refuse("{\"a\":" ENTRY(0,2) "}", 1, "outside");
    refuse("{\"a\":" ENTRY(2,0) "}", 2, "outside");
    refuse("{\"a\":" ENTRY(0,3) "}", 3, "contradicts");
    sprintf(json, "{\"a\":{\"dtype\":\"U8\",\"shape\":[2],"
            "\"data_offsets\":[0,%s]}}", sizeof(size_t) > 4
            ? "18446744073709551615" : "4294967295");
    refuse(json, 2, "outside");
    refuse("{\"a\":" ENTRY(0,18446744073709551616) "}", 2, "too large");
    refuse("{\"a\":" ENTRY(0,99999999999999999999999) "}", 2, "too large");
    refuse("{\"a\":" ENTRY(-1,1) "}", 2, "whole number");
    refuse("{\"a\":" ENTRY(0,2.0) "}", 2, "prescribes");
    refuse("{\"a\":" ENTRY(00,2) "}", 2, "whole number");
    refuse("{\"a\":" ENTRY(0,2) ",\"a\":" ENTRY(2,4) "}", 4, "twice");
    refuse("{\"a\":" ENTRY(0,2) ",\"\\u0061\":" ENTRY(2,4) "}", 4, "twice");
}

#define SHAPE(shape) "{\"a\":{\"dtype\":\"F32\",\"shape\":" shape \
    ",\"data_offsets\":[0,4]}}"

static void hostile_shapes_are_refused(void)
{
    accept(SHAPE("[]"), 4);
    accept(SHAPE("[1,1,1,1,1,1,1,1]"), 4);
    refuse(SHAPE("[1,1,1,1,1,1,1,1,1]"), 4, "too long");
    refuse(SHAPE("[-1]"), 4, "whole number");
    refuse(SHAPE("[1e0]"), 4, "prescribes");
    refuse(SHAPE("[1,]"), 4, "whole number");
    refuse(SHAPE("[2]"), 4, "contradicts");
    refuse(SHAPE("[0]"), 4, "contradicts");
    refuse(SHAPE("1"), 4, "prescribes");
    refuse(SHAPE("[4294967296,4294967296]"), 4, "too large");
    refuse(SHAPE("[9223372036854775807,8,0]"), 4, "too large");
    refuse("{\"a\":{\"dtype\":\"F31\",\"shape\":[1],\"data_offsets\":[0,4]}}",
           4, "unknown dtype");
    refuse("{\"a\":{\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "lacks");
    refuse("{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 4, "lacks");
    refuse("{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, "lacks");
    refuse("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0]}}",
           4, "lacks");
    refuse("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],"
           "\"data_offsets\":[0,4,4]}}", 4, "too long");
    refuse("{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[1],"
           "\"data_offsets\":[0,4]}}", 4, "should not");
    refuse("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4],"
           "\"x\":[[[[[[]]]]]]}}", 4, "should not");
}

static void hostile_json_is_refused(void)
{
    accept("{}", 0);
    accept("{ }   \n", 0);
    accept("{\"__metadata__\":{}}", 0);
    accept("{\"__metadata__\":{\"a\":\"\\u00e9\\ud83d\\ude00\\n\"}}", 0);
    refuse("x", 0, "brace");
    refuse(" {}", 0, "brace");
    refuse("{", 0, "prescribes");
    refuse("{}x", 0, "after its end");
    refuse("{\"a\"}", 0, "prescribes");
    refuse("{\"a\":1}", 0, "prescribes");
    refuse("{\"a\":[]}", 0, "prescribes");
    refuse("{\"a\":{}}", 0, "lacks its dtype");
    refuse("{,}", 0, "prescribes");
    refuse("{\"a", 0, "string");
    refuse("{\"a\\", 0, "string");
    refuse("{\"a\\u", 0, "string");
    refuse("{\"a\\u12", 0, "string");
    refuse("{\"\\u0000\":{}}", 0, "string");
    refuse("{\"\\ud800\":{}}", 0, "string");
    refuse("{\"\\ud800\\u0041\":{}}", 0, "string");
    refuse("{\"\\udc00\":{}}", 0, "string");
    refuse("{\"\\x\":{}}", 0, "string");
    refuse("{\"a\nb\":{}}", 0, "string");
    refuse("{\"\xff\":{}}", 0, "string");
    refuse("{\"\xc0\x80\":{}}", 0, "string");
    refuse("{\"\xed\xa0\x80\":{}}", 0, "string");
    refuse("{\"\xf5\x80\x80\x80\":{}}", 0, "string");
    refuse("{\"\xe2\x82", 0, "string");
    refuse("{\"__metadata__\":{\"a\":1}}", 0, "prescribes");
    refuse("{\"__metadata__\":{\"a\":\"1\",\"a\":\"2\"}}", 0, "repeats");
    refuse("{\"__metadata__\":{},\"__metadata__\":{}}", 0, "two sets");
    refuse("{\"__metadata__\":{\"a\":\"1\",}}", 0, "prescribes");
}

static void deep_nesting_is_refused(void)
{
    char *json = (char *)malloc(100002);
    if (!json) exit(EXIT_FAILURE);
    memset(json, '{', 100001);
    json[100001] = 0;
    refuse(json, 0, "prescribes");
    memset(json, '[', 100001);
    memcpy(json, "{\"a\":", 5);
    refuse(json, 0, "prescribes");
    free(json);
}

static void lying_lengths_are_refused(void)
{
    static const unsigned char lengths[][8] = {
        { 0 }, { 3 }, { 255, 255, 255, 255 }, { 2, 0, 0, 0, 1 },
        { 255, 255, 255, 255, 255, 255, 255, 255 }, { 0, 0, 0, 0, 0, 0, 0, 128 }
    };
    size_t i;
    for (i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        cgd_ctx ctx;
        cgd_file file;
        bytes b = file_of("{}", 0);
        memcpy(b.at, lengths[i], 8);
        begin(&ctx);
        CHECK(cgd_file_open_memory(&ctx, &file, b.at, b.size, "bad.file")
              == CGD_ERR_FORMAT);
        CHECK(strstr(ctx.message, "bad.file") != NULL);
        CHECK(cgd_memory_peak(&ctx) == 0);
        free(b.at);
        end(&ctx);
    }
}

/* Header and data of a small file with everything in it. */
static bytes small_file(void)
{
    return file_of("{\"__metadata__\":{\"k\":\"v\\u00e9\"},"
        "\"a\":{\"dtype\":\"F16\",\"shape\":[2,1],\"data_offsets\":[0,4]},"
        "\"b\":{\"dtype\":\"F64\",\"shape\":[1],\"data_offsets\":[4,12]},"
        "\"c\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[12,20]},"
        "\"d\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[20,23]}}",
        23);
}

/* Open, and where that works read everything. */
static cgd_status read_all(const void *data, size_t size)
{
    cgd_ctx ctx;
    cgd_file file;
    cgd_status status;
    size_t i, n;
    begin(&ctx);
    status = cgd_file_open_memory(&ctx, &file, data, size, "x");
    for (i = 0; i < file.n_tensors && status == CGD_OK; i++) {
        float v[64];
        n = elements(&file.tensors[i]);
        if (n <= 64 && file.tensors[i].dtype != CGD_OTHER)
            status = cgd_file_read(&file, &file.tensors[i], 0, n, v);
    }
    CHECK(status == CGD_OK || ctx.message[0] != 0);
    cgd_file_close(&file);
    end(&ctx);
    return status;
}

static void a_file_cut_anywhere_is_refused(void)
{
    bytes b = small_file();
    size_t size;
    CHECK(read_all(b.at, b.size) == CGD_OK);
    for (size = 0; size < b.size; size++) {
        unsigned char *cut = (unsigned char *)malloc(size + 1);
        if (!cut) exit(EXIT_FAILURE);
        memcpy(cut + 1, b.at, size);    /* ends where the block ends         */
        CHECK(read_all(cut + 1, size) == CGD_ERR_FORMAT);
        free(cut);
    }
    free(b.at);
}

static void flipped_bytes_never_crash(void)
{
    bytes b = small_file();
    cgd_rng rng;
    long i;
    unsigned char *bad = (unsigned char *)malloc(b.size);
    if (!bad) exit(EXIT_FAILURE);
    cgd_rng_seed(&rng, 9, 0);
    for (i = 0; i < 60000; i++) {
        cgd_u32 flips = 1 + cgd_rng_below(&rng, 3);
        memcpy(bad, b.at, b.size);
        for (; flips > 0; flips--)
            bad[cgd_rng_below(&rng, (cgd_u32)b.size)] ^=
                (unsigned char)(1U << cgd_rng_below(&rng, 8));
        read_all(bad, b.size);
    }
    free(bad);
    free(b.at);
}

/* 30000 tensors, sorted the wrong way round; quadratic work would show. */
static void thousands_of_tensors_open_quickly(void)
{
    size_t n = 30000, i, room = n * 80;
    char *json = (char *)malloc(room), *to = json;
    cgd_ctx ctx;
    cgd_file file;
    bytes b;
    if (!json) exit(EXIT_FAILURE);
    for (i = 0; i < n; i++) {
        sprintf(to, "%s\"t%u\":{\"dtype\":\"U8\",\"shape\":[1],"
                "\"data_offsets\":[%u,%u]}", i ? "," : "{", (unsigned)i,
                (unsigned)(n - 1 - i), (unsigned)(n - i));
        to += strlen(to);
    }
    strcpy(to, "}");
    b = file_of(json, n);
    begin(&ctx);
    CHECK(cgd_file_open_memory(&ctx, &file, b.at, b.size, "x") == CGD_OK);
    CHECK(file.n_tensors == n);
    CHECK(strcmp(file.tensors[0].name, "t29999") == 0);
    CHECK(cgd_file_find(&file, "t123") == &file.tensors[n - 1 - 123]);
    cgd_file_close(&file);
    end(&ctx);
    to = strstr(json, "\"t777\"");
    if (to) memcpy(to, "\"t778\"", 6);
    refuse(json, n, "twice");
    free(b.at);
    free(json);
}

static int broken_read(void *user, size_t offset, void *dst, size_t n)
{
    (void)dst;
    return offset + n <= *(size_t *)user;
}

static void a_failing_source_is_an_io_error(void)
{
    cgd_ctx ctx;
    cgd_file file;
    cgd_source source;
    size_t works = 4;
    source.read = broken_read;
    source.user = &works;
    source.size = 100;
    begin(&ctx);
    CHECK(cgd_file_open_source(&ctx, &file, &source, "x") == CGD_ERR_IO);
    end(&ctx);
}

static void a_missing_file_and_a_folder_are_io_errors(void)
{
    cgd_ctx ctx;
    cgd_file file;
    begin(&ctx);
    CHECK(cgd_file_open(&ctx, &file, "no/such.file") == CGD_ERR_IO);
    CHECK(strstr(ctx.message, "no/such.file") != NULL);
    CHECK(cgd_file_open(&ctx, &file, ".") == CGD_ERR_IO);
    end(&ctx);
}

static void opening_survives_every_failed_allocation(void)
{
    bytes b = small_file();
    cgd_ctx ctx;
    cgd_file file;
    cgd_status status = CGD_ERR_MEMORY;
    long k;
    begin(&ctx);
    for (k = 0; k < 100 && status == CGD_ERR_MEMORY; k++) {
        money.left = k;
        status = cgd_file_open_memory(&ctx, &file, b.at, b.size, "x");
        CHECK(status == CGD_OK || status == CGD_ERR_MEMORY);
        if (status != CGD_OK) CHECK(money.held == 0);
    }
    CHECK(status == CGD_OK && k > 3);
    cgd_file_close(&file);
    free(b.at);
    end(&ctx);
}

static cgd_generator_config small_generator(void)
{
    cgd_generator_config g = cgd_generator_defaults();
    g.width = 4;
    g.blocks = 2;
    return g;
}

/* ---- the writer ----------------------------------------------------------*/

static cgd_status write_sample(cgd_ctx *ctx, const char *path)
{
    static const float values[] = { 1, -2.5f, 3 };
    static const unsigned char raw[] = { 9, 8 };
    size_t shape[2];
    cgd_writer wr;
    cgd_writer_init(ctx, &wr, path);
    cgd_writer_meta(&wr, "quote\"back\\", "line\nbell\007 \xc3\xa9 \xe9!");
    cgd_writer_meta(&wr, "empty", "");
    shape[0] = 3;
    shape[1] = 1;
    cgd_writer_tensor(&wr, "values", CGD_F32, shape, 2);
    shape[0] = 2;
    cgd_writer_tensor(&wr, "raw", CGD_U8, shape, 1);
    cgd_writer_begin(&wr);
    cgd_writer_append_f32(&wr, values, 3);
    cgd_writer_append(&wr, raw, 2);
    return cgd_writer_end(&wr);
}

static void what_is_written_is_read(void)
{
    cgd_ctx ctx;
    cgd_file file;
    const cgd_file_tensor *t;
    const char *path = path_of("test_files_sample");
    float v[3];
    begin(&ctx);
    CHECK(write_sample(&ctx, path) == CGD_OK);
    CHECK(!exists(path_of("test_files_sample.cgd-part")));
    CHECK(cgd_file_open(&ctx, &file, path) == CGD_OK);
    CHECK(strcmp(cgd_file_meta(&file, "empty"), "") == 0);
    CHECK(strcmp(cgd_file_meta(&file, "quote\"back\\"),
                 "line\nbell\007 \xc3\xa9 \xc3\xa9!") == 0);
    t = cgd_file_find(&file, "values");
    CHECK(t && t->begin % 64 == 0);
    CHECK(cgd_file_read(&file, t, 0, 3, v) == CGD_OK);
    CHECK(v[0] == 1 && v[1] == -2.5f && v[2] == 3);
    CHECK(cgd_file_read(&file, cgd_file_find(&file, "raw"), 1, 1, v)
          == CGD_OK && v[0] == 8);
    cgd_file_close(&file);
    remove(path);
    end(&ctx);
}

static void the_same_calls_write_the_same_bytes(void)
{
    cgd_ctx ctx;
    const char *one = path_of("test_files_one"), *two = path_of(
                                                         "test_files_two");
    bytes a, b;
    begin(&ctx);
    CHECK(write_sample(&ctx, one) == CGD_OK);
    CHECK(write_sample(&ctx, two) == CGD_OK);
    a = slurp(one);
    b = slurp(two);
    CHECK(a.size > 0 && a.size == b.size && !memcmp(a.at, b.at, a.size));
    free(a.at);
    free(b.at);
    remove(one);
    remove(two);
    end(&ctx);
}

static void wrong_orders_and_sizes_leave_no_file(void)
{
    const char *path = path_of("test_files_wrong");
    int i;
    for (i = 0; i < 8; i++) {
        cgd_ctx ctx;
        cgd_writer wr;
        size_t shape[2];
        float v[4] = { 0, 0, 0, 0 };
        shape[0] = shape[1] = i == 0 ? (size_t)-1 / 2 : 2;
        begin(&ctx);
        cgd_writer_init(&ctx, &wr, path);
        cgd_writer_tensor(&wr, "a", i == 1 ? CGD_OTHER : CGD_F32, shape,
                          i == 2 ? 9 : 2);
        if (i == 3) cgd_writer_meta(&wr, "late", "");
        if (i != 4) cgd_writer_begin(&wr);
        if (i == 5) cgd_writer_tensor(&wr, "late", CGD_F32, shape, 2);
        cgd_writer_append_f32(&wr, v, i == 6 ? 3 : 4);
        if (i == 7) cgd_writer_append(&wr, v, 1);
        CHECK(cgd_writer_end(&wr) == CGD_ERR_ARGUMENT);
        CHECK(strstr(ctx.message, path) != NULL);
        CHECK(!exists(path) && !exists(path_of("test_files_wrong.cgd-part")));
        end(&ctx);
    }
}

static void an_impossible_path_is_refused(void)
{
    cgd_ctx ctx;
    char longest[3000];
    begin(&ctx);
    CHECK(write_sample(&ctx, "no/such/folder/file") == CGD_ERR_IO);
    CHECK(strstr(ctx.message, "no/such/folder/file") != NULL);
    memset(longest, 'x', sizeof longest);
    longest[sizeof longest - 1] = 0;
    CHECK(write_sample(&ctx, longest) == CGD_ERR_ARGUMENT);
    end(&ctx);
}

/* Write a text to a file by way of the library. */
static cgd_status put_text(cgd_ctx *ctx, const char *path, const char *text)
{
    cgd_output out;
    cgd_output_open(ctx, &out, path);
    cgd_output_write(&out, text, strlen(text));
    return cgd_output_close(&out);
}

#ifdef __unix__
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
extern int symlink(const char *target, const char *path);

/* A short file is refused when it is flushed, a long one while it is written.
 * A limit on the size of files does to them what a full disk does. */
static void a_full_disk_leaves_the_old_file(void)
{
    cgd_ctx ctx;
    const char *path = path_of("test_files_full");
    struct rlimit before, none;
    cgd_net net;
    cgd_generator_config g = small_generator();
    int i;
    begin(&ctx);
    CHECK(cgd_generator_init(&ctx, &net, &g) == CGD_OK);
    spill(path, "old", 3);
    signal(SIGXFSZ, SIG_IGN);
    CHECK(getrlimit(RLIMIT_FSIZE, &before) == 0);
    for (i = 0; i < 2; i++) {
        cgd_status status;
        none = before;
        none.rlim_cur = 0;
        CHECK(setrlimit(RLIMIT_FSIZE, &none) == 0);
        status = i == 0 ? write_sample(&ctx, path)
                        : cgd_net_save(&net, NULL, path);
        CHECK(setrlimit(RLIMIT_FSIZE, &before) == 0);
        CHECK(status == CGD_ERR_IO && strstr(ctx.message, "full") != NULL);
        CHECK(!exists(path_of("test_files_full.cgd-part")));
    }
    CHECK(holds(path, "old"));
    cgd_net_free(&net);
    remove(path);
    end(&ctx);
}

static void an_output_keeps_rights_and_follows_the_link_it_is_named_by(void)
{
    cgd_ctx ctx;
    struct stat is;
    const char *path = path_of("test_files_kept");
    const char *link = path_of("test_files_link");
    begin(&ctx);
    spill(path, "old", 3);
    CHECK(chmod(path, 0640) == 0);
    remove(link);
    CHECK(symlink("test_files_kept", link) == 0);
    CHECK(put_text(&ctx, link, "new") == CGD_OK);
    CHECK(holds(path, "new") && holds(link, "new"));
    CHECK(stat(path, &is) == 0 && (is.st_mode & 0777) == 0640);
    CHECK(cgd_path_same(path, link));
    remove(path);
    CHECK(put_text(&ctx, link, "first") == CGD_OK && holds(path, "first"));
    remove(link);
    CHECK(symlink("test_files_link", link) == 0);          /* to itself      */
    CHECK(put_text(&ctx, link, "never") == CGD_ERR_IO);
    remove(link);
    remove(path);
    end(&ctx);
}

/* The temporary name may have been made a link to something dear. */
static void no_link_at_the_temporary_name_is_followed(void)
{
    cgd_ctx ctx;
    const char *path = path_of("test_files_new");
    const char *dear = path_of("test_files_dear");
    const char *trap = path_of("test_files_new.cgd-part");
    begin(&ctx);
    spill(dear, "dear", 4);
    remove(trap);
    CHECK(symlink("test_files_dear", trap) == 0);
    CHECK(put_text(&ctx, path, "new") == CGD_OK);
    CHECK(holds(path, "new") && holds(dear, "dear") && !exists(trap));
    remove(path);
    remove(dear);
    end(&ctx);
}

static void devices_and_pipes_are_written_to_and_stay(void)
{
    cgd_ctx ctx;
    struct stat is;
    char got[8] = "", command[200];
    const char *pipe = path_of("test_files_pipe");
    const char *device = path_of("test_files_device");
    FILE *in;
    begin(&ctx);
    /* Linux's /dev/full, but one of our own: who may make one could ruin it. */
    remove(device);
    sprintf(command, "mknod %s c 1 7 2>/dev/null", device);
    if (exists("/dev/full") && system(command) == 0) {
        CHECK(put_text(&ctx, device, "x") == CGD_ERR_IO);
        CHECK(stat(device, &is) == 0 && S_ISCHR(is.st_mode));
    }
    remove(device);
    remove(pipe);
    CHECK(mkfifo(pipe, 0600) == 0);
    CHECK(cgd_path_kind(pipe) == CGD_PATH_DEVICE);
    CHECK(cgd_open_input(&ctx, pipe) == NULL);             /* would hang     */
    CHECK(strstr(ctx.message, "a pipe") != NULL);
    in = fopen(pipe, "r+");                                /* Linux: no wait */
    CHECK(put_text(&ctx, pipe, "piped\n") == CGD_OK);
    CHECK(stat(pipe, &is) == 0);
    CHECK(S_ISFIFO(is.st_mode) && in && fgets(got, sizeof got, in)
          && strcmp(got, "piped\n") == 0);
    if (in) fclose(in);
    remove(pipe);
    end(&ctx);
}

/* The temporary file of one is taken away and made anew by the other. */
static void two_writers_of_a_file_leave_it_whole(void)
{
    cgd_ctx ctx;
    cgd_output one, two;
    const char *path = path_of("test_files_both");
    begin(&ctx);
    CHECK(cgd_output_open(&ctx, &one, path) == CGD_OK);
    cgd_output_write(&one, "one", 3);
    CHECK(cgd_output_open(&ctx, &two, path) == CGD_OK);
    cgd_output_write(&two, "half of ", 8);
    CHECK(cgd_output_close(&one) == CGD_ERR_IO && !exists(path));
    cgd_output_write(&two, "two", 3);
    CHECK(cgd_output_close(&two) == CGD_OK && holds(path, "half of two"));
    remove(path);
    end(&ctx);
}

/* 255 bytes is what most file systems allow; here of two-byte characters. */
static void the_longest_name_can_be_written(void)
{
    cgd_ctx ctx;
    cgd_output out;
    char name[300] = "build/";
    size_t i, n = exists("build/.") ? 6 : 0;
    begin(&ctx);
    name[n++] = 'x';
    for (i = 0; i < 127; i++) memcpy(name + n + 2 * i, "\xc3\xa9", 3);
    CHECK(put_text(&ctx, name, "new") == CGD_OK && holds(name, "new"));
    remove(name);
    CHECK(cgd_output_open(&ctx, &out, name) == CGD_OK);    /* no half letter */
    CHECK((strstr(out.temporary, ".cgd-part")[-1] & 0xc0) == 0x80);
    out.status = CGD_STOPPED;
    CHECK(cgd_output_close(&out) == CGD_STOPPED && !exists(name));
    CHECK(put_text(&ctx, "", "new") == CGD_ERR_ARGUMENT);
    CHECK(put_text(&ctx, "no/such/folder", "new") == CGD_ERR_IO);
    end(&ctx);
}
#endif

static void texts_are_shown_without_control_characters(void)
{
    cgd_ctx ctx;
    char text[32];
    begin(&ctx);
    CHECK(strcmp(cgd_plain(text, sizeof text, "a\033[31m\n\t\177z"),
                 "a?[31m???z") == 0);
    CHECK(strcmp(cgd_plain(text, sizeof text, "\xc2\x9b\xc2\xa0\xc3\x9b"),
                 "??\xc2\xa0\xc3\x9b") == 0);
    CHECK(strcmp(cgd_plain(text, 4, "abcdef"), "abc") == 0);
    CHECK(strcmp(cgd_plain(text, 4, "ab\xc2\x9b"), "ab?") == 0);
    CHECK(cgd_open_input(&ctx, "no/\033[31m") == NULL);
    CHECK(strstr(ctx.message, "no/?[31m") != NULL);
    end(&ctx);
}

static void folders_and_names_are_joined_and_parted(void)
{
    cgd_ctx ctx;
    char path[CGD_PATH_ROOM], longest[CGD_PATH_ROOM];
    const char *made = path_of("test_files_folder");
    begin(&ctx);
    CHECK(cgd_path_join(path, "a/b", "c") && strcmp(path, "a/b/c") == 0);
    CHECK(cgd_path_join(path, "a/", "c") && strcmp(path, "a/c") == 0);
    CHECK(cgd_path_join(path, "/", "c") && strcmp(path, "/c") == 0);
    CHECK(cgd_path_join(path, "", "c") && strcmp(path, "c") == 0);
    memset(longest, 'x', sizeof longest);
    longest[sizeof longest - 1] = 0;
    CHECK(!cgd_path_join(path, longest, ""));
    CHECK(strcmp(cgd_path_name("a/b.png"), "b.png") == 0);
    CHECK(strcmp(cgd_path_name("b.png"), "b.png") == 0);
    CHECK(strcmp(cgd_path_name("a/"), "") == 0);
    CHECK(cgd_path_join(path, made, "in/in/"));
    CHECK(cgd_make_folder(&ctx, path) == CGD_OK);
    CHECK(cgd_make_folder(&ctx, path) == CGD_OK);
    CHECK(cgd_path_kind(path) == CGD_PATH_FOLDER);
    CHECK(cgd_path_join(path, made, "file"));
    CHECK(cgd_path_kind(path) == CGD_PATH_MISSING);
    CHECK(put_text(&ctx, path, "x") == CGD_OK);
    CHECK(cgd_path_kind(path) == CGD_PATH_FILE);
    CHECK(cgd_make_folder(&ctx, path) == CGD_ERR_IO);
    CHECK(put_text(&ctx, made, "x") == CGD_ERR_IO);
    CHECK(strstr(ctx.message, "it is a folder") != NULL);
    CHECK(cgd_make_folder(&ctx, "") == CGD_ERR_ARGUMENT);
    remove(path);
    end(&ctx);
}

#ifdef _WIN32
/* A program whose main() is given the code page's letters lists a folder and
 * opens what it finds, whether that code page or only UTF-8 has the letters of
 * the folder. (Windows-1252, Wine's own.) */
static void folders_are_listed_in_the_letters_they_are_named_by(void)
{
    static const char *const folders[] = { "f\344r", "f\316\251r" };
    static const char *const names[] = { "\366.png", "\316\251.png" };
    char path[CGD_PATH_ROOM], folder[CGD_PATH_ROOM];
    cgd_ctx ctx;
    cgd_listing list;
    FILE *f;
    int i;
    begin(&ctx);
    for (i = 0; i < 2; i++) {
        cgd_path_join(folder, path_of("test_files_listed"), folders[i]);
        CHECK(cgd_make_folder(&ctx, folder) == CGD_OK);
        cgd_path_join(path, folder, names[i]);
        CHECK(put_text(&ctx, path, "x") == CGD_OK);
        CHECK(cgd_list_pictures(&ctx, &list, folder, 0)
              == CGD_OK);
        CHECK(list.count == 1 && strcmp(list.paths[0], path) == 0);
        f = cgd_fopen(list.count ? list.paths[0] : "", "rb");
        CHECK(f != NULL);
        if (f) fclose(f);
        cgd_listing_free(&ctx, &list);
    }
    end(&ctx);
}
#endif

static void an_abandoned_file_leaves_the_old_one(void)
{
    cgd_ctx ctx;
    cgd_writer wr;
    size_t shape = 1;
    const char *path = path_of("test_files_left");
    bytes old;
    begin(&ctx);
    spill(path, "old", 3);
    cgd_writer_init(&ctx, &wr, path);
    cgd_writer_tensor(&wr, "a", CGD_F32, &shape, 1);
    cgd_writer_begin(&wr);
    wr.status = CGD_STOPPED;
    CHECK(cgd_writer_end(&wr) == CGD_STOPPED);
    CHECK(!exists(path_of("test_files_left.cgd-part")));
    old = slurp(path);
    CHECK(old.size == 3 && memcmp(old.at, "old", 3) == 0);
    free(old.at);
    remove(path);
    end(&ctx);
}

static void writing_survives_every_failed_allocation(void)
{
    cgd_ctx ctx;
    const char *path = path_of("test_files_poor");
    cgd_status status = CGD_ERR_MEMORY;
    long k;
    begin(&ctx);
    for (k = 0; k < 100 && status != CGD_OK; k++) {
        money.left = k;
        status = write_sample(&ctx, path);
        CHECK(status == CGD_OK || status == CGD_ERR_MEMORY);
        CHECK(money.held == 0);
        if (status != CGD_OK) CHECK(!exists(path));
    }
    CHECK(status == CGD_OK && k > 2);
    remove(path);
    end(&ctx);
}

/* ---- nets ----------------------------------------------------------------*/

static void fill(float *values, size_t n, cgd_u32 seed)
{
    cgd_rng rng;
    size_t i;
    cgd_rng_seed(&rng, seed, 1);
    for (i = 0; i < n; i++) values[i] = (float)cgd_rng_normal(&rng);
}

static int same(const float *a, const float *b, size_t n)
{
    return memcmp(a, b, n * sizeof *a) == 0;
}

/* Save a net, load it into one that the file describes, compare all. */
static void round_trip(const cgd_net *net)
{
    const char *path = path_of("test_files_net");
    cgd_file file;
    cgd_net back;
    cgd_status status;
    CHECK(cgd_net_save(net, NULL, path) == CGD_OK);
    CHECK(cgd_file_open(net->ctx, &file, path) == CGD_OK);
    status = cgd_net_load(net->ctx, &back, &file, "");
    CHECK(status == CGD_OK);
    if (status != CGD_OK) printf("    %s\n", net->ctx->message);
    else {
        CHECK(back.state == net->state && back.n_layers == net->n_layers);
        CHECK(same(back.params, net->params, net->state));
        CHECK(back.is_generator == net->is_generator);
        CHECK(back.image_stats == net->image_stats);
        CHECK(!memcmp(&back.generator, &net->generator,
                      sizeof back.generator));
        CHECK(!memcmp(&back.discriminator, &net->discriminator,
                      sizeof back.discriminator));
    }
    cgd_net_free(&back);
    cgd_file_close(&file);
    remove(path);
}

static void every_generator_comes_back(void)
{
    cgd_ctx ctx;
    cgd_net net;
    int i;
    begin(&ctx);
    for (i = 0; i < 4 * 3 * 2 * 3; i++) {
        cgd_generator_config g = small_generator();
        g.norm = i % 4;
        g.up = CGD_UP_NEAREST + i / 4 % 3;
        g.block = i / 12 % 2;
        g.blocks = i / 24 * 2;
        g.in_channels = 1 + i % 3;
        g.out_channels = 1 + i % 2;
        g.image_stats = i % 2;
        if (i % 5 == 0) {                       /* every stage its own width */
            int k;
            for (k = 0; k < 6; k++) g.stage[k] = 3 + (k * 5 + i) % 7;
        }
        CHECK(cgd_generator_init(&ctx, &net, &g) == CGD_OK);
        fill(net.params, net.state, (cgd_u32)i);
        round_trip(&net);
        cgd_net_free(&net);
    }
    end(&ctx);
}

static void every_discriminator_comes_back(void)
{
    cgd_ctx ctx;
    cgd_net net;
    int i;
    begin(&ctx);
    for (i = 0; i < 3 * 4 * 2; i++) {
        cgd_discriminator_config d = cgd_discriminator_defaults();
        d.kind = i % 3;
        d.norm = i / 3 % 4;
        d.layers = 1 + i / 12 * 4;
        d.width = 5;
        d.in_channels = 1 + i % 2;
        CHECK(cgd_discriminator_init(&ctx, &net, &d) == CGD_OK);
        fill(net.params, net.state, (cgd_u32)i);
        round_trip(&net);
        cgd_net_free(&net);
    }
    end(&ctx);
}

/* One value of each kind of weight, followed by hand from memory to file. */
static void layouts_are_those_of_pytorch(void)
{
    const char *path = path_of("test_files_layout");
    cgd_ctx ctx;
    cgd_net net;
    cgd_file file;
    const cgd_file_tensor *t;
    const cgd_layer *l;
    cgd_generator_config g = small_generator();
    float v[600], *w;
    size_t i;
    begin(&ctx);
    CHECK(cgd_generator_init(&ctx, &net, &g) == CGD_OK);
    fill(net.params, net.state, 3);
    CHECK(cgd_net_save(&net, NULL, path) == CGD_OK);
    CHECK(cgd_file_open(&ctx, &file, path) == CGD_OK);
    t = cgd_file_find(&file, "model.1.weight");       /* (4, 3, 7, 7)        */
    CHECK(t && t->rank == 4 && t->shape[0] == 4 && t->shape[1] == 3);
    CHECK(cgd_file_read(&file, t, 0, 4 * 3 * 49, v) == CGD_OK);
    w = net.params + net.layers[0].w;                 /* (7, 7, 3, 4)        */
    CHECK(v[((2 * 3 + 1) * 7 + 5) * 7 + 6] == w[((5 * 7 + 6) * 3 + 1) * 4
                                               + 2]);
    l = &net.layers[net.n_layers - 2];
    CHECK(l->kind == CGD_DECONV && l->in_c == 8 && l->out_c == 4);
    t = cgd_file_find(&file, "model.15.weight");      /* (in 8, out 4, 3, 3) */
    CHECK(t && t->shape[0] == 8 && t->shape[1] == 4 && t->shape[3] == 3);
    CHECK(cgd_file_read(&file, t, 0, 8 * 4 * 9, v) == CGD_OK);
    w = net.params + l->w;                            /* (3, 3, 4, 8)        */
    CHECK(v[((6 * 4 + 3) * 3 + 1) * 3 + 2] == w[((1 * 3 + 2) * 4 + 3) * 8
                                               + 6]);
    /* The official class has biases before instance norms; here they are 0,
     * and the bias of the head is the net's own. */
    t = cgd_file_find(&file, "model.1.bias");
    CHECK(t && cgd_file_read(&file, t, 0, 4, v) == CGD_OK);
    for (i = 0; i < 4; i++) CHECK(v[i] == 0);
    t = cgd_file_find(&file, "model.19.bias");
    CHECK(t && cgd_file_read(&file, t, 0, 3, v) == CGD_OK);
    CHECK(same(v, net.params + net.layers[net.n_layers - 1].b, 3));
    CHECK(cgd_file_find(&file, "model.2.weight") == NULL);
    cgd_file_close(&file);
    cgd_net_free(&net);
    remove(path);
    end(&ctx);
}

/* Copy a file: metadata `key` becomes `value` (NULL: no metadata at all), and
 * tensors are dropped and added by name, as the flags say. */
typedef struct change {
    const char *key, *value;
    const char *drop, *reshape, *add;
    int dtype;
} change;

static void rewrite(cgd_ctx *ctx, const char *to, const char *from,
                    const change *c)
{
    cgd_file file;
    cgd_writer wr;
    size_t i, n;
    float *v;
    CHECK(cgd_file_open(ctx, &file, from) == CGD_OK);
    cgd_writer_init(ctx, &wr, to);
    for (i = 0; i < file.n_meta && c->key; i++)
        cgd_writer_meta(&wr, file.meta[2 * i],
                        strcmp(file.meta[2 * i], c->key) == 0 ? c->value
                        : file.meta[2 * i + 1]);
    for (i = 0; i < file.n_tensors; i++) {
        const cgd_file_tensor *t = &file.tensors[i];
        size_t flat = elements(t);
        int reshaped = c->reshape && strcmp(c->reshape, t->name) == 0;
        if (c->drop && strcmp(c->drop, t->name) == 0) continue;
        cgd_writer_tensor(&wr, t->name, c->dtype, reshaped ? &flat : t->shape,
                          reshaped ? 1 : t->rank);
    }
    n = 1;
    if (c->add) cgd_writer_tensor(&wr, c->add, CGD_F32, &n, 1);
    cgd_writer_begin(&wr);
    for (i = 0; i < file.n_tensors; i++) {
        const cgd_file_tensor *t = &file.tensors[i];
        size_t k;
        if (c->drop && strcmp(c->drop, t->name) == 0) continue;
        n = elements(t);
        v = (float *)malloc((n + 1) * sizeof *v);
        if (!v) exit(EXIT_FAILURE);
        CHECK(cgd_file_read(&file, t, 0, n, v) == CGD_OK);
        for (k = 0; k < n; k++) {
            double wide = (double)v[k];
            if (c->dtype == CGD_F64) cgd_writer_append(&wr, &wide, 8);
        }
        if (c->dtype == CGD_F32) cgd_writer_append_f32(&wr, v, n);
        free(v);
    }
    if (c->add) cgd_writer_append(&wr, "\0\0\0\0", 4);
    if (cgd_writer_end(&wr) != CGD_OK) {
        test_failure(__FILE__, __LINE__, "the copy is written");
        printf("    %s\n", ctx->message);
    }
    cgd_file_close(&file);
}

static const change no_change = { "", NULL, NULL, NULL, NULL, CGD_F32 };

/* A file from Python says nothing about its architecture. */
static void a_generator_is_known_by_its_tensors(void)
{
    const char *path = path_of("test_files_known");
    const char *bare = path_of("test_files_bare");
    cgd_ctx ctx;
    cgd_net net, back;
    cgd_file file;
    int i;
    begin(&ctx);
    for (i = 0; i < 3 * 2 * 2 * 2; i++) {
        cgd_generator_config g = small_generator();
        change c = no_change;
        c.key = NULL;
        g.norm = CGD_NORM_INSTANCE + i % 3;
        g.up = i / 3 % 2 ? CGD_UP_BILINEAR : CGD_UP_DECONV;
        g.block = i / 6 % 2;
        g.in_channels = 1;
        g.blocks = 3;
        if (i / 12) {
            g.stage[0] = 4;
            g.stage[1] = 5;
            g.stage[2] = 6;
            g.stage[3] = 7;
            g.stage[4] = 8;
            g.stage[5] = 9;
        }
        CHECK(cgd_generator_init(&ctx, &net, &g) == CGD_OK);
        fill(net.params, net.state, (cgd_u32)i);
        CHECK(cgd_net_save(&net, NULL, path) == CGD_OK);
        rewrite(&ctx, bare, path, &c);
        CHECK(cgd_file_open(&ctx, &file, bare) == CGD_OK);
        CHECK(cgd_import_net(&ctx, &back, &file, NULL) == CGD_OK);
        CHECK(back.state == net.state
              && same(back.params, net.params, net.state));
        CHECK(!memcmp(&back.generator, &g, sizeof g));
        cgd_net_free(&back);
        cgd_net_free(&net);
        cgd_file_close(&file);
    }
    remove(path);
    remove(bare);
    end(&ctx);
}

/* A batch-normed net as PyTorch saves it, in double precision, with the count
 * of batches; an instance-normed one with stale statistics of old versions. */
static void what_python_adds_is_passed_over(void)
{
    const char *path = path_of("test_files_python");
    const char *more = path_of("test_files_more");
    int i;
    for (i = 0; i < 4; i++) {
        cgd_ctx ctx;
        cgd_net net, back;
        cgd_file file;
        cgd_generator_config g = small_generator();
        change c = no_change;
        g.norm = i % 2 ? CGD_NORM_BATCH : CGD_NORM_INSTANCE;
        c.add = i % 2 ? "model.2.num_batches_tracked" : "model.2.running_var";
        c.drop = i % 2 ? NULL : "model.1.bias";
        if (i / 2 && little_endian()) {
            c.dtype = CGD_F64;
            c.add = NULL;
        }
        begin(&ctx);
        CHECK(cgd_generator_init(&ctx, &net, &g) == CGD_OK);
        fill(net.params, net.state, (cgd_u32)i);
        CHECK(cgd_net_save(&net, NULL, path) == CGD_OK);
        rewrite(&ctx, more, path, &c);
        CHECK(cgd_file_open(&ctx, &file, more) == CGD_OK);
        CHECK(cgd_net_load(&ctx, &back, &file, "") == CGD_OK);
        CHECK(same(back.params, net.params, net.state));
        cgd_net_free(&back);
        cgd_net_free(&net);
        cgd_file_close(&file);
        remove(path);
        remove(more);
        end(&ctx);
    }
}

/* Overwrite the first value of a tensor, as no writer of ours would. */
static void put_infinity(cgd_ctx *ctx, const char *path, const char *name)
{
    static const unsigned char infinity[4] = { 0, 0, 0x80, 0x7f };
    cgd_file file;
    bytes whole = slurp(path);
    CHECK(cgd_file_open(ctx, &file, path) == CGD_OK);
    memcpy(whole.at + cgd_file_find(&file, name)->begin, infinity, 4);
    cgd_file_close(&file);
    spill(path, whole.at, whole.size);
    free(whole.at);
}

/* Load a changed copy of a small generator's file; the sentence must hold the
 * word, and the memory asked for stay small. */
static void refuse_net(const change *c, const char *word)
{
    const char *path = path_of("test_files_refuse");
    const char *bad = path_of("test_files_refused");
    cgd_ctx ctx;
    cgd_net net;
    cgd_file file;
    cgd_generator_config g = small_generator();
    size_t peak;
    begin(&ctx);
    CHECK(cgd_generator_init(&ctx, &net, &g) == CGD_OK);
    fill(net.params, net.state, 2);
    CHECK(cgd_net_save(&net, NULL, path) == CGD_OK);
    if (c->dtype == CGD_U8)
        put_infinity(&ctx, path, "model.10.conv_block.1.weight");
    peak = cgd_memory_peak(&ctx);
    if (c->dtype == CGD_F32) rewrite(&ctx, bad, path, c);
    cgd_net_free(&net);
    CHECK(cgd_file_open(&ctx, &file, c->dtype == CGD_F32 ? bad : path)
          == CGD_OK);
    CHECK(cgd_net_load(&ctx, &net, &file, "") != CGD_OK);
    if (!strstr(ctx.message, word)) {
        test_failure(__FILE__, __LINE__, word);
        printf("    %s\n", ctx.message);
    }
    CHECK(net.params == NULL && cgd_memory_peak(&ctx) < 2 * peak + 1000000);
    cgd_file_close(&file);
    remove(path);
    remove(bad);
    end(&ctx);
}

static void refuse_description(const char *text, const char *word)
{
    change c = no_change;
    c.key = "cgd.net";
    c.value = text;
    refuse_net(&c, word);
}

static void impossible_descriptions_are_refused(void)
{
    static const char stage[] = "stage=4,8,16,16,8,4";
    char text[200];
    refuse_description("", "kind of net");
    refuse_description("painter", "kind of net");
    refuse_description("generator in=3", "sensible out");
    refuse_description("generator in=0 out=3", "sensible in");
    refuse_description("generator in=-3 out=3", "sensible in");
    refuse_description("generator in=3x out=3", "sensible in");
    refuse_description("generator in=99999999999999999999999", "sensible in");
    refuse_description("discriminator kind=round", "sensible kind");
    refuse_description("discriminator kind=patch in=3 width=64 layers=3 "
                       "norm=instance", "does not fit the net");
    refuse_description("discriminator kind=patch in=3 width=1024 layers=99 "
                       "norm=none", "1 to 8 layers");
    refuse_description("generator in=3 out=3 width=4 blocks=2 norm=instance "
        "up=deconv block=plain image_stats=1 stage=4,8,16,16,8",
        "sensible stage");
    sprintf(text, "generator in=3 out=3 width=4096 blocks=256"
        " norm=instance up=deconv block=plain image_stats=1 %s",
        "stage=4096,8192,16384,16384,8192,4096");
    refuse_description(text, "does not fit the net");
    sprintf(text, "generator in=3 out=3 width=4 blocks=257 "
        "norm=instance up=deconv block=plain image_stats=1 %s", stage);
    refuse_description(text, "0 to 256 blocks");
    sprintf(text, "generator in=3 out=3 width=4 blocks=2 "
        "norm=instance up=none block=plain image_stats=1 %s", stage);
    refuse_description(text, "upsampling");
    sprintf(text, "generator in=3 out=3 width=4 blocks=1 "
        "norm=instance up=deconv block=plain image_stats=1 %s", stage);
    refuse_description(text, "does not fit the net in");
}

static void misfits_are_named(void)
{
    change c = no_change;
    c.drop = "model.4.weight";
    refuse_net(&c, "1 place: no model.4.weight");
    c = no_change;
    c.add = "model.99.weight";
    refuse_net(&c, "1 place: unexpected model.99.weight");
    c = no_change;
    c.reshape = "model.4.weight";
    refuse_net(&c, "model.4.weight is (288), not (8, 4, 3, 3)");
    c.add = "tail";
    c.drop = "model.1.weight";
    refuse_net(&c, "3 places: no model.1.weight (4, 3, 7, 7); model.4.weight "
                   "is (288), not (8, 4, 3, 3); unexpected tail (1)");
    c = no_change;
    c.drop = "model.1.weight";
    c.key = NULL;
    refuse_net(&c, "does not say what net it holds");
    c.dtype = CGD_U8;                           /* see refuse_net            */
    refuse_net(&c, "model.10.conv_block.1.weight holds values that are not");
}

static void reading_into_another_net_changes_nothing(void)
{
    const char *path = path_of("test_files_other");
    cgd_ctx ctx;
    cgd_net net, other;
    cgd_file file;
    cgd_generator_config g = small_generator();
    float *before;
    begin(&ctx);
    CHECK(cgd_generator_init(&ctx, &net, &g) == CGD_OK);
    CHECK(cgd_net_save(&net, NULL, path) == CGD_OK);
    g.width = 5;
    CHECK(cgd_generator_init(&ctx, &other, &g) == CGD_OK);
    fill(other.params, other.state, 8);
    before = (float *)malloc(other.state * sizeof *before);
    if (!before) exit(EXIT_FAILURE);
    memcpy(before, other.params, other.state * sizeof *before);
    CHECK(cgd_file_open(&ctx, &file, path) == CGD_OK);
    CHECK(cgd_net_read(&other, &file, "") == CGD_ERR_SHAPE);
    CHECK(strstr(ctx.message, "model.1.weight is (4, 3, 7, 7), not "
                 "(5, 3, 7, 7)") != NULL);
    CHECK(same(before, other.params, other.state));
    CHECK(cgd_net_read(&other, &file, "g_ab.") == CGD_ERR_SHAPE);
    CHECK(cgd_net_read(&net, &file, "") == CGD_OK);
    free(before);
    cgd_file_close(&file);
    cgd_net_free(&other);
    cgd_net_free(&net);
    remove(path);
    end(&ctx);
}

/* A net that neither of the two builders made has names, but no description:
 * it can be filled, not built. */
static void a_net_of_ones_own_can_be_read(void)
{
    const char *path = path_of("test_files_own");
    cgd_ctx ctx;
    cgd_net net, back;
    cgd_file file;
    cgd_layer l;
    memset(&l, 0, sizeof l);
    l.kind = CGD_CONV;
    l.window.kernel = 5;
    l.window.stride = 1;
    l.window.pad = 2;
    l.in_c = 2;
    l.out_c = 70;
    strcpy(l.name, "only");
    begin(&ctx);
    CHECK(cgd_net_init(&ctx, &net, &l, 1) == CGD_OK);
    CHECK(cgd_net_init(&ctx, &back, &l, 1) == CGD_OK);
    fill(net.params, net.state, 4);
    CHECK(cgd_net_save(&net, NULL, path) == CGD_OK);
    CHECK(cgd_file_open(&ctx, &file, path) == CGD_OK);
    CHECK(file.n_meta == 0);
    CHECK(cgd_net_read(&back, &file, "") == CGD_OK);
    CHECK(same(back.params, net.params, net.state));
    cgd_net_free(&back);
    CHECK(cgd_net_load(&ctx, &back, &file, "") == CGD_ERR_FORMAT);
    cgd_file_close(&file);
    cgd_net_free(&net);
    remove(path);
    end(&ctx);
}

static void nets_survive_every_failed_allocation(void)
{
    const char *path = path_of("test_files_netpoor");
    cgd_ctx ctx;
    cgd_net net, back;
    cgd_file file;
    cgd_generator_config g = small_generator();
    cgd_status status = CGD_ERR_MEMORY;
    size_t held;
    long k;
    begin(&ctx);
    CHECK(cgd_generator_init(&ctx, &net, &g) == CGD_OK);
    held = money.held;
    for (k = 0; k < 100 && status != CGD_OK; k++) {
        money.left = k;
        status = cgd_net_save(&net, NULL, path);
        CHECK(status == CGD_OK || status == CGD_ERR_MEMORY);
        CHECK(money.held == held);
        if (status != CGD_OK) CHECK(!exists(path));
    }
    CHECK(status == CGD_OK && k > 3);
    status = CGD_ERR_MEMORY;
    for (k = 0; k < 100 && status != CGD_OK; k++) {
        money.left = k;
        status = cgd_file_open(&ctx, &file, path);
        if (status == CGD_OK) status = cgd_net_load(&ctx, &back, &file, "");
        CHECK(status == CGD_OK || status == CGD_ERR_MEMORY);
        cgd_file_close(&file);
        if (status != CGD_OK) CHECK(money.held == held);
    }
    CHECK(status == CGD_OK && k > 5);
    cgd_net_free(&back);
    cgd_net_free(&net);
    remove(path);
    end(&ctx);
}

/* ---- training states -----------------------------------------------------*/

static cgd_train_config small_training(void)
{
    cgd_train_config c = cgd_train_defaults();
    c.generator = small_generator();
    c.generator.blocks = 1;
    c.discriminator.width = 4;
    c.discriminator.layers = 1;
    c.height = 16;
    c.width = 12;
    c.pool = 3;
    c.ema = 0.9f;
    c.lr_g = c.lr_d = 1e-3f;
    return c;
}

static void steps(cgd_trainer *t, int count)
{
    static float pixels[2][16 * 12 * 3];
    cgd_tensor a = cgd_tensor_view(1, 16, 12, 3, pixels[0]);
    cgd_tensor b = cgd_tensor_view(1, 16, 12, 3, pixels[1]);
    cgd_losses losses;
    for (; count > 0; count--) {
        fill(pixels[0], 16 * 12 * 3, (cgd_u32)t->step * 2);
        fill(pixels[1], 16 * 12 * 3, (cgd_u32)t->step * 2 + 1);
        CHECK(cgd_train_step(t, &a, &b, &losses) == CGD_OK);
    }
}

static int same_learner(const cgd_learner *a, const cgd_learner *b)
{
    if (!a->net.layers || !b->net.layers)
        return a->net.layers == b->net.layers;
    return same(a->net.params, b->net.params, a->net.state)
        && !a->m == !b->m && !a->ema == !b->ema
        && (!a->m || (same(a->m, b->m, a->net.count)
                      && same(a->v, b->v, a->net.count)))
        && (!a->ema || same(a->ema, b->ema, a->net.state));
}

static int same_state(const cgd_trainer *a, const cgd_trainer *b)
{
    int i;
    for (i = 0; i < 2; i++) {
        const cgd_pool *p = &a->side[i].pool, *q = &b->side[i].pool;
        if (!same_learner(&a->side[i].g, &b->side[i].g)
            || !same_learner(&a->side[i].d, &b->side[i].d)
            || p->filled != q->filled
            || (p->filled && !same(p->data, q->data,
                                   p->filled * p->picture))) return 0;
    }
    return a->step == b->step && !memcmp(&a->rng, &b->rng, sizeof a->rng);
}

/* Train, save, load into a fresh trainer: equal then, and equal after more
 * steps of both. */
static void a_training_goes_on_as_if_never_stopped(void)
{
    const char *path = path_of("test_files_state");
    int i;
    for (i = 0; i < 8; i++) {
        cgd_ctx ctx;
        cgd_trainer t, u;
        cgd_train_config c = small_training();
        c.generator.norm = i % 4;
        c.discriminator.norm = (i + 2) % 4;
        c.generator.block = i / 4;
        if (i == 3) c.gan_weight = 0;           /* no discriminators, pools  */
        if (i == 5) c.ema = 0;
        if (i == 6) c.pool = 0;
        begin(&ctx);
        CHECK(cgd_trainer_init(&ctx, &t, &c, NULL, NULL) == CGD_OK);
        c.seed = 77;
        CHECK(cgd_trainer_init(&ctx, &u, &c, NULL, NULL) == CGD_OK);
        steps(&t, i);
        CHECK(!same_state(&t, &u));
        CHECK(cgd_trainer_save(&t, path) == CGD_OK);
        CHECK(cgd_trainer_load(&u, path) == CGD_OK);
        CHECK(same_state(&t, &u));
        steps(&t, 3);
        steps(&u, 3);
        CHECK(same_state(&t, &u));
        cgd_trainer_free(&u);
        cgd_trainer_free(&t);
        end(&ctx);
    }
    remove(path);
}

static cgd_train_config small_distillation(void)
{
    cgd_train_config c = small_training();
    c.transfer = CGD_TRANSFER_NONE;
    c.output_weight = 10;
    c.feature_weight = 1;
    c.train_reverse = 1;
    return c;
}

static void a_distillation_goes_on_as_if_never_stopped(void)
{
    const char *path = path_of("test_files_distil");
    int i;
    for (i = 0; i < 3; i++) {
        cgd_ctx ctx;
        cgd_net teacher;
        cgd_trainer s, u;
        cgd_trainer plain;
        cgd_train_config pc = small_training();
        cgd_train_config c = small_distillation();
        cgd_generator_config g = small_generator();
        c.direction = i % 2;
        c.train_reverse = i < 2;                /* else one that is frozen   */
        begin(&ctx);
        CHECK(cgd_generator_init(&ctx, &teacher, &g) == CGD_OK);
        fill(teacher.params, teacher.state, 6);
        CHECK(cgd_trainer_init(&ctx, &s, &c, &teacher, &teacher) == CGD_OK);
        c.seed = 77;
        CHECK(cgd_trainer_init(&ctx, &u, &c, &teacher, &teacher) == CGD_OK);
        steps(&s, 4);
        CHECK(cgd_trainer_save(&s, path) == CGD_OK);
        CHECK(cgd_trainer_load(&u, path) == CGD_OK);
        CHECK(same_state(&s, &u));
        steps(&s, 2);
        steps(&u, 2);
        CHECK(same_state(&s, &u));
        cgd_trainer_free(&u);
        c.direction = !c.direction;
        CHECK(cgd_trainer_init(&ctx, &u, &c, &teacher, &teacher) == CGD_OK);
        CHECK(cgd_trainer_load(&u, path) == CGD_ERR_SHAPE);
        CHECK(strstr(ctx.message, "distillation ba") != NULL);
        CHECK(cgd_trainer_init(&ctx, &plain, &pc, NULL, NULL) == CGD_OK);
        CHECK(cgd_trainer_load(&plain, path) == CGD_ERR_SHAPE);
        CHECK(strstr(ctx.message, "from scratch") != NULL);
        cgd_trainer_free(&plain);
        cgd_trainer_free(&u);
        cgd_trainer_free(&s);
        cgd_net_free(&teacher);
        end(&ctx);
    }
    remove(path);
}

static void a_state_holds_nets_and_averages(void)
{
    const char *path = path_of("test_files_nets");
    cgd_ctx ctx;
    cgd_trainer t;
    cgd_net net;
    cgd_file file;
    cgd_train_config c = small_training();
    begin(&ctx);
    CHECK(cgd_trainer_init(&ctx, &t, &c, NULL, NULL) == CGD_OK);
    steps(&t, 2);
    CHECK(cgd_trainer_save(&t, path) == CGD_OK);
    CHECK(cgd_file_open(&ctx, &file, path) == CGD_OK);
    CHECK(cgd_net_load(&ctx, &net, &file, "g_ba.") == CGD_OK);
    CHECK(same(net.params, t.side[1].g.net.params, net.state));
    cgd_net_free(&net);
    CHECK(cgd_net_load(&ctx, &net, &file, "ema.g_ab.") == CGD_OK);
    CHECK(same(net.params, t.side[0].g.ema, net.state));
    cgd_net_free(&net);
    CHECK(cgd_net_load(&ctx, &net, &file, "d_a.") == CGD_OK);
    CHECK(!net.is_generator
          && same(net.params, t.side[1].d.net.params, net.state));
    cgd_net_free(&net);
    CHECK(cgd_net_load(&ctx, &net, &file, "") == CGD_ERR_FORMAT);
    CHECK(strstr(ctx.message, "training state") != NULL);
    CHECK(cgd_net_load(&ctx, &net, &file, "g_xy.") == CGD_ERR_FORMAT);
    cgd_file_close(&file);
    cgd_trainer_free(&t);
    remove(path);
    end(&ctx);
}

/* A trainer that differs from a saved one in one thing refuses its state,
 * says which, and stays as it was. */
static void refuse_state(const cgd_train_config *c, const char *path,
                         const char *word)
{
    cgd_ctx ctx;
    cgd_trainer t, before;
    begin(&ctx);
    CHECK(cgd_trainer_init(&ctx, &t, c, NULL, NULL) == CGD_OK);
    CHECK(cgd_trainer_init(&ctx, &before, c, NULL, NULL) == CGD_OK);
    CHECK(cgd_trainer_load(&t, path) != CGD_OK);
    if (!strstr(ctx.message, word)) {
        test_failure(__FILE__, __LINE__, word);
        printf("    %s\n", ctx.message);
    }
    CHECK(same_state(&t, &before));
    cgd_trainer_free(&before);
    cgd_trainer_free(&t);
    end(&ctx);
}

static void another_architecture_is_refused(void)
{
    const char *path = path_of("test_files_arch");
    const char *bad = path_of("test_files_bad");
    cgd_ctx ctx;
    cgd_trainer t;
    cgd_train_config c = small_training();
    change edit = no_change;
    begin(&ctx);
    CHECK(cgd_trainer_init(&ctx, &t, &c, NULL, NULL) == CGD_OK);
    steps(&t, 2);
    CHECK(cgd_trainer_save(&t, path) == CGD_OK);
    cgd_trainer_free(&t);
    c.generator.blocks = 2;
    refuse_state(&c, path, "g_ab. has blocks=1 where this training's has "
                           "blocks=2");
    c = small_training();
    c.generator.up = CGD_UP_BILINEAR;
    refuse_state(&c, path, "up=deconv");
    c = small_training();
    c.discriminator.layers = 2;
    refuse_state(&c, path, "d_b. has layers=1");
    c = small_training();
    c.gan_weight = 0;
    refuse_state(&c, path, "holds a net d_b.");
    c = small_training();
    c.height = 32;
    refuse_state(&c, path, "at the size it was begun with");
    c = small_training();
    edit.drop = "adam.d_a.v";
    rewrite(&ctx, bad, path, &edit);
    refuse_state(&c, bad, "does not hold adam.d_a.v");
    edit = no_change;
    edit.drop = "g_ba.model.1.weight";
    rewrite(&ctx, bad, path, &edit);
    refuse_state(&c, bad, "no g_ba.model.1.weight");
    edit = no_change;
    edit.key = "cgd.step";
    edit.value = "-1";
    rewrite(&ctx, bad, path, &edit);
    refuse_state(&c, bad, "cgd.step");
    edit.key = "cgd.rng";
    edit.value = "1 2 3 4294967296";
    rewrite(&ctx, bad, path, &edit);
    refuse_state(&c, bad, "cgd.rng");
    edit.value = "0 0 0 0";
    rewrite(&ctx, bad, path, &edit);
    refuse_state(&c, bad, "cgd.rng");
    edit.key = "cgd.kind";
    edit.value = "poem";
    rewrite(&ctx, bad, path, &edit);
    refuse_state(&c, bad, "not a training state");
    remove(path);
    remove(bad);
    end(&ctx);
}

/* An average that was not kept starts from the weights; of a larger pool what
 * fits is kept; image_stats is not architecture. */
static void harmless_differences_are_not_refused(void)
{
    const char *path = path_of("test_files_harmless");
    cgd_ctx ctx;
    cgd_trainer t, u;
    cgd_train_config c = small_training();
    c.ema = 0;
    begin(&ctx);
    CHECK(cgd_trainer_init(&ctx, &t, &c, NULL, NULL) == CGD_OK);
    steps(&t, 3);
    CHECK(t.side[0].pool.filled == 3);
    CHECK(cgd_trainer_save(&t, path) == CGD_OK);
    c.ema = 0.5f;
    c.pool = 2;
    c.generator.image_stats = 0;
    CHECK(cgd_trainer_init(&ctx, &u, &c, NULL, NULL) == CGD_OK);
    CHECK(cgd_trainer_load(&u, path) == CGD_OK);
    CHECK(same(u.side[0].g.ema, t.side[0].g.net.params,
               t.side[0].g.net.state));
    CHECK(u.side[1].pool.filled == 2);
    CHECK(same(u.side[1].pool.data, t.side[1].pool.data,
               2 * t.side[1].pool.picture));
    CHECK(cgd_trainer_save(&u, path) == CGD_OK);
    CHECK(cgd_trainer_load(&t, path) == CGD_OK);
    CHECK(t.side[0].pool.filled == 2);
    cgd_trainer_free(&u);
    cgd_trainer_free(&t);
    remove(path);
    end(&ctx);
}

static float float_of_bits(cgd_u32 bits)
{
    float v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

/* Every vector of a training with one value that is no number. */
static void what_is_not_finite_is_not_saved(void)
{
    const char *path = path_of("test_files_finite");
    cgd_ctx ctx;
    cgd_trainer t;
    cgd_train_config c = small_training();
    float *vectors[7];
    bytes before, after;
    int i;
    begin(&ctx);
    CHECK(cgd_trainer_init(&ctx, &t, &c, NULL, NULL) == CGD_OK);
    steps(&t, 2);
    CHECK(cgd_trainer_save(&t, path) == CGD_OK);
    before = slurp(path);
    vectors[0] = t.side[0].g.net.params;
    vectors[1] = t.side[1].g.ema;
    vectors[2] = t.side[0].g.m + t.side[0].g.net.count - 1;
    vectors[3] = t.side[1].g.v;
    vectors[4] = t.side[0].d.net.params;
    vectors[5] = t.side[1].d.v + t.side[1].d.net.count - 1;
    vectors[6] = t.side[1].pool.data;
    for (i = 0; i < 14; i++) {
        float old = *vectors[i % 7];
        *vectors[i % 7] = float_of_bits(i < 7 ? 0xffc00000U : 0x7f800000U);
        CHECK(cgd_trainer_save(&t, path) == CGD_ERR_FORMAT);
        CHECK(strstr(ctx.message, "not finite") != NULL);
        *vectors[i % 7] = old;
    }
    after = slurp(path);
    CHECK(after.size == before.size
          && memcmp(after.at, before.at, after.size) == 0);
    *vectors[0] = float_of_bits(0x7f800000U);
    CHECK(cgd_net_save(&t.side[0].g.net, NULL, path) == CGD_ERR_FORMAT);
    free(before.at);
    free(after.at);
    cgd_trainer_free(&t);
    remove(path);
    end(&ctx);
}

/* The same in a file: each value is looked at when it is loaded. */
static void states_of_values_that_are_no_numbers_are_refused(void)
{
    static const char *const names[] = { "g_ab.model.1.weight", "adam.g_ab.m",
        "adam.g_ba.v", "adam.d_a.v", "adam.d_b.m", "pool.0", "pool.1" };
    static const unsigned char bad[3][4] = { { 0, 0, 0x80, 0x7f },
        { 1, 0, 0xc0, 0xff }, { 0, 0, 0x80, 0xbf } };    /* inf, nan, -1     */
    const char *path = path_of("test_files_nonumbers");
    cgd_ctx ctx;
    cgd_trainer t;
    cgd_file file;
    cgd_train_config c = small_training();
    bytes whole;
    size_t i, k;
    begin(&ctx);
    CHECK(cgd_trainer_init(&ctx, &t, &c, NULL, NULL) == CGD_OK);
    steps(&t, 2);
    CHECK(cgd_trainer_save(&t, path) == CGD_OK);
    whole = slurp(path);
    for (i = 0; i < 21; i++) {
        const char *name = names[i / 3];
        unsigned char old[4];
        if (i % 3 == 2 && !strstr(name, ".v")) continue;
        CHECK(cgd_file_open(&ctx, &file, path) == CGD_OK);
        k = cgd_file_find(&file, name)->end - 4;          /* the last value  */
        cgd_file_close(&file);
        memcpy(old, whole.at + k, 4);
        memcpy(whole.at + k, bad[i % 3], 4);
        spill(path, whole.at, whole.size);
        CHECK(cgd_trainer_load(&t, path) == CGD_ERR_FORMAT);
        CHECK(strstr(ctx.message, name) != NULL);
        memcpy(whole.at + k, old, 4);
        spill(path, whole.at, whole.size);
        CHECK(cgd_trainer_load(&t, path) == CGD_OK);
    }
    free(whole.at);
    cgd_trainer_free(&t);
    remove(path);
    end(&ctx);
}

static void a_state_cut_at_every_kilobyte_is_refused(void)
{
    const char *path = path_of("test_files_cut");
    cgd_ctx ctx;
    cgd_trainer t, u;
    cgd_train_config c = small_training();
    bytes whole;
    size_t size;
    begin(&ctx);
    CHECK(cgd_trainer_init(&ctx, &t, &c, NULL, NULL) == CGD_OK);
    CHECK(cgd_trainer_init(&ctx, &u, &c, NULL, NULL) == CGD_OK);
    steps(&t, 2);
    CHECK(cgd_trainer_save(&t, path) == CGD_OK);
    cgd_trainer_free(&t);
    CHECK(cgd_trainer_init(&ctx, &t, &c, NULL, NULL) == CGD_OK);
    whole = slurp(path);
    for (size = 0; size < whole.size; size += 1024) {
        spill(path, whole.at, size);
        CHECK(cgd_trainer_load(&u, path) == CGD_ERR_FORMAT);
        CHECK(strstr(ctx.message, path) != NULL);
    }
    CHECK(same_state(&t, &u));
    free(whole.at);
    cgd_trainer_free(&u);
    cgd_trainer_free(&t);
    remove(path);
    end(&ctx);
}

static void flipped_states_never_crash(void)
{
    const char *path = path_of("test_files_flip");
    cgd_ctx ctx;
    cgd_trainer t;
    cgd_train_config c = small_training();
    cgd_rng rng;
    bytes whole;
    size_t header;
    int i;
    begin(&ctx);
    CHECK(cgd_trainer_init(&ctx, &t, &c, NULL, NULL) == CGD_OK);
    steps(&t, 2);
    CHECK(cgd_trainer_save(&t, path) == CGD_OK);
    whole = slurp(path);
    header = (size_t)whole.at[0] | (size_t)whole.at[1] << 8;
    cgd_rng_seed(&rng, 4, 0);
    for (i = 0; i < 2000; i++) {
        size_t at = cgd_rng_below(&rng, (cgd_u32)(i % 4 ? header + 8
                                                        : whole.size));
        unsigned char old = whole.at[at];
        whole.at[at] = (unsigned char)(old ^ (1U << cgd_rng_below(&rng, 8)));
        spill(path, whole.at, whole.size);
        ctx.message[0] = 0;
        if (cgd_trainer_load(&t, path) != CGD_OK)
            CHECK(ctx.message[0] != 0);
        whole.at[at] = old;
    }
    free(whole.at);
    cgd_trainer_free(&t);
    remove(path);
    end(&ctx);
}

static void states_survive_every_failed_allocation(void)
{
    const char *path = path_of("test_files_statepoor");
    cgd_ctx ctx;
    cgd_trainer t, u;
    cgd_train_config c = small_training();
    cgd_status status = CGD_ERR_MEMORY;
    size_t held;
    long k;
    begin(&ctx);
    CHECK(cgd_trainer_init(&ctx, &t, &c, NULL, NULL) == CGD_OK);
    CHECK(cgd_trainer_init(&ctx, &u, &c, NULL, NULL) == CGD_OK);
    steps(&t, 1);
    held = money.held;
    for (k = 0; k < 200 && status != CGD_OK; k++) {
        money.left = k;
        status = cgd_trainer_save(&t, path);
        CHECK(status == CGD_OK || status == CGD_ERR_MEMORY);
        CHECK(money.held == held);
        if (status != CGD_OK) CHECK(!exists(path));
    }
    CHECK(status == CGD_OK && k > 5);
    status = CGD_ERR_MEMORY;
    for (k = 0; k < 200 && status != CGD_OK; k++) {
        money.left = k;
        status = cgd_trainer_load(&u, path);
        CHECK(status == CGD_OK || status == CGD_ERR_MEMORY);
        CHECK(money.held == held);
    }
    CHECK(status == CGD_OK && k > 5 && same_state(&t, &u));
    cgd_trainer_free(&u);
    cgd_trainer_free(&t);
    remove(path);
    end(&ctx);
}

/* ---- runs ----------------------------------------------------------------*/

/* What a run of a few steps is told, and what it has said. */
typedef struct talk {
    unsigned long stop;                /* after this step, 0: never          */
    int warnings;
    char last[512];
} talk;

static int stops(void *user, const cgd_progress *p)
{
    return ((talk *)user)->stop == p->step;
}

static void listen(void *user, const char *sentence)
{
    talk *t = (talk *)user;
    t->warnings++;
    sprintf(t->last, "%.500s", sentence);
}

/* Pictures of both domains in a packed file, which needs no decoder. */
static void pack_pictures(cgd_ctx *ctx, const char *path, int count)
{
    static const size_t shape[3] = { 12, 12, 3 };
    unsigned char pixels[12 * 12 * 3];
    cgd_writer wr;
    cgd_rng rng;
    char name[32];
    int i;
    size_t k;
    cgd_writer_init(ctx, &wr, path);
    for (i = 0; i < 2 * count; i++) {
        sprintf(name, "train%c/%d.png", i < count ? 'A' : 'B', i);
        cgd_writer_tensor(&wr, name, CGD_U8, shape, 3);
    }
    cgd_writer_begin(&wr);
    cgd_rng_seed(&rng, 5, 0);
    for (i = 0; i < 2 * count; i++) {
        for (k = 0; k < sizeof pixels; k++)
            pixels[k] = (unsigned char)cgd_rng_below(&rng, 256);
        cgd_writer_append(&wr, pixels, sizeof pixels);
    }
    CHECK(cgd_writer_end(&wr) == CGD_OK);
}

/* Train into folder until step `stop`, of 7. */
static cgd_status run_to(talk *t, const char *data, const char *folder,
                         unsigned long stop)
{
    cgd_ctx ctx;
    cgd_options options;
    cgd_train_config config = small_training();
    cgd_run_config run = cgd_run_defaults();
    cgd_status status;
    memset(&options, 0, sizeof options);
    memset(t, 0, sizeof *t);
    options.warn = listen;
    options.warn_user = t;
    t->stop = stop;
    config.height = config.width = 12;
    run.data.root = data;
    run.data.load_size = 0;
    run.out = folder;
    run.steps = 7;
    run.log_every = 3;
    run.save_every = 2;
    run.keep_every = 4;
    run.resume = CGD_RESUME_AUTO;
    run.options = "said=before\nand=after";
    run.progress = stops;
    run.user = t;
    cgd_init(&ctx, &options);
    cgd_use_pictures(&ctx);
    status = cgd_train_run(&ctx, &config, &run);
    if (status != CGD_OK) sprintf(t->last, "%.500s", cgd_message(&ctx, status));
    cgd_free(&ctx);
    return status;
}

static int same_file(const char *one, const char *two)
{
    bytes a = slurp(one), b = slurp(two);
    int same_bytes = a.size == b.size && memcmp(a.at, b.at, a.size) == 0;
    free(a.at);
    free(b.at);
    return same_bytes;
}

/* The files of a run, which a test removes in the end. */
static const char *const run_files[] = { "state.safetensors", "log.csv",
    "g_ab.safetensors", "g_ba.safetensors", "samples/000004.g_ab.safetensors",
    "samples/000004.g_ba.safetensors", "state.previous.safetensors",
    "samples", "." };

static void remove_run(const char *folder)
{
    char path[256];
    size_t i;
    for (i = 0; i < sizeof run_files / sizeof *run_files; i++) {
        sprintf(path, "%.200s/%s", folder, run_files[i]);
        if (strcmp(run_files[i], ".") == 0) remove(folder);
        else remove(path);
    }
}

/* Stopped after each step, and never: the same files but for what came before
 * the last state. The text of the caller's is in the state. */
static void a_run_goes_on_as_if_never_stopped(void)
{
    const char *data = path_of("test_files_data");
    const char *whole = path_of("test_files_whole");
    const char *parts = path_of("test_files_parts");
    char one[256], two[256];
    unsigned long step;
    cgd_ctx ctx;
    cgd_file file;
    size_t i;
    talk t;
    begin(&ctx);
    pack_pictures(&ctx, data, 3);
    CHECK(run_to(&t, data, whole, 0) == CGD_OK && t.warnings == 0);
    for (step = 1; step < 7; step++)
        CHECK(run_to(&t, data, parts, step) == CGD_STOPPED);
    CHECK(run_to(&t, data, parts, 0) == CGD_OK && t.warnings == 0);
    for (i = 0; i < 6; i++) {
        sprintf(one, "%.200s/%s", whole, run_files[i]);
        sprintf(two, "%.200s/%s", parts, run_files[i]);
        CHECK(same_file(one, two));
    }
    sprintf(one, "%.200s/state.safetensors", whole);
    CHECK(cgd_file_open(&ctx, &file, one) == CGD_OK);
    CHECK(strcmp(cgd_file_meta(&file, "cgd.options"),
                 "said=before\nand=after") == 0);
    cgd_file_close(&file);
    remove_run(whole);
    remove_run(parts);
    remove(data);
    end(&ctx);
}

#ifdef __unix__                                    /* remove() takes folders */
/* A state that was damaged gives way to the one before it; a state and a log
 * that are there and cannot be opened are nothing to begin anew for. */
static void a_run_never_starts_over_a_state(void)
{
    const char *data = path_of("test_files_data");
    const char *folder = path_of("test_files_run");
    char state[256], previous[256], aside[256], log[256], deep[CGD_PATH_ROOM];
    cgd_ctx ctx;
    talk t;
    begin(&ctx);
    sprintf(state, "%.200s/state.safetensors", folder);
    sprintf(previous, "%.200s/state.previous.safetensors", folder);
    sprintf(aside, "%.200s/aside", folder);
    sprintf(log, "%.200s/log.csv", folder);
    pack_pictures(&ctx, data, 3);
    CHECK(run_to(&t, data, folder, 4) == CGD_STOPPED);
    put_infinity(&ctx, state, "adam.g_ab.v");
    CHECK(run_to(&t, data, folder, 5) == CGD_STOPPED && t.warnings == 1);
    CHECK(exists(previous));
    put_infinity(&ctx, previous, "adam.g_ab.v");
    put_infinity(&ctx, state, "adam.g_ab.v");
    CHECK(run_to(&t, data, folder, 0) == CGD_ERR_FORMAT);
    CHECK(strstr(t.last, "/state.safetensors: adam.g_ab.v") != NULL);
    remove(previous);
    rename(state, aside);
    CHECK(cgd_make_folder(&ctx, state) == CGD_OK);
    CHECK(run_to(&t, data, folder, 0) == CGD_ERR_IO);
    CHECK(strstr(t.last, "cannot open") != NULL);
    remove(state);
    CHECK(run_to(&t, data, folder, 2) == CGD_STOPPED);       /* there is none */
    remove(log);
    CHECK(cgd_make_folder(&ctx, log) == CGD_OK);
    CHECK(run_to(&t, data, folder, 0) == CGD_ERR_IO);
    CHECK(strstr(t.last, "cannot open") != NULL);
    memset(deep, '/', sizeof deep - 1);    /* no room for the longest name   */
    memcpy(deep, folder, strlen(folder));
    deep[CGD_PATH_ROOM - 50] = 0;
    CHECK(run_to(&t, data, deep, 2) == CGD_ERR_ARGUMENT);
    CHECK(strncmp(t.last, "the path ", 9) == 0);
    remove(aside);
    remove_run(folder);
    remove(data);
    end(&ctx);
}
#endif

static void a_run_says_what_has_changed(void)
{
    const char *data = path_of("test_files_data");
    const char *folder = path_of("test_files_run");
    cgd_ctx ctx;
    talk t;
    begin(&ctx);
    pack_pictures(&ctx, data, 3);
    CHECK(run_to(&t, data, folder, 4) == CGD_STOPPED && t.warnings == 0);
    pack_pictures(&ctx, data, 4);
    CHECK(run_to(&t, data, folder, 0) == CGD_OK && t.warnings == 1);
    CHECK(strstr(t.last, "3 of A and 3 of B, now 4 and 4") != NULL);
    remove_run(folder);
    remove(data);
    end(&ctx);
}

int main(void)
{
    RUN(reader_finds_tensors_and_metadata);
    RUN(every_type_becomes_the_nearest_float);
    RUN(doubles_round_as_the_machine_does);
    RUN(foreign_types_are_listed_but_not_read);
    RUN(hostile_places_are_refused);
    RUN(hostile_shapes_are_refused);
    RUN(hostile_json_is_refused);
    RUN(deep_nesting_is_refused);
    RUN(lying_lengths_are_refused);
    RUN(a_file_cut_anywhere_is_refused);
    RUN(flipped_bytes_never_crash);
    RUN(thousands_of_tensors_open_quickly);
    RUN(a_failing_source_is_an_io_error);
    RUN(a_missing_file_and_a_folder_are_io_errors);
    RUN(opening_survives_every_failed_allocation);
    RUN(what_is_written_is_read);
    RUN(the_same_calls_write_the_same_bytes);
    RUN(wrong_orders_and_sizes_leave_no_file);
    RUN(an_impossible_path_is_refused);
#ifdef __unix__
    RUN(a_full_disk_leaves_the_old_file);
    RUN(an_output_keeps_rights_and_follows_the_link_it_is_named_by);
    RUN(no_link_at_the_temporary_name_is_followed);
    RUN(devices_and_pipes_are_written_to_and_stay);
    RUN(two_writers_of_a_file_leave_it_whole);
    RUN(the_longest_name_can_be_written);
#endif
#ifdef _WIN32
    RUN(folders_are_listed_in_the_letters_they_are_named_by);
#endif
    RUN(texts_are_shown_without_control_characters);
    RUN(folders_and_names_are_joined_and_parted);
    RUN(an_abandoned_file_leaves_the_old_one);
    RUN(writing_survives_every_failed_allocation);
    RUN(every_generator_comes_back);
    RUN(every_discriminator_comes_back);
    RUN(layouts_are_those_of_pytorch);
    RUN(a_generator_is_known_by_its_tensors);
    RUN(what_python_adds_is_passed_over);
    RUN(impossible_descriptions_are_refused);
    RUN(misfits_are_named);
    RUN(reading_into_another_net_changes_nothing);
    RUN(a_net_of_ones_own_can_be_read);
    RUN(nets_survive_every_failed_allocation);
    RUN(a_training_goes_on_as_if_never_stopped);
    RUN(a_distillation_goes_on_as_if_never_stopped);
    RUN(a_state_holds_nets_and_averages);
    RUN(another_architecture_is_refused);
    RUN(harmless_differences_are_not_refused);
    RUN(what_is_not_finite_is_not_saved);
    RUN(states_of_values_that_are_no_numbers_are_refused);
    RUN(a_state_cut_at_every_kilobyte_is_refused);
    RUN(flipped_states_never_crash);
    RUN(states_survive_every_failed_allocation);
    RUN(a_run_goes_on_as_if_never_stopped);
#ifdef __unix__
    RUN(a_run_never_starts_over_a_state);
#endif
    RUN(a_run_says_what_has_changed);
    return test_end();
}
