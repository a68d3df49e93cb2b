/* Frozen statistics and folding; models in constants; and the files for other
 * programs, taken apart by small readers of their own. What those programs
 * make of the files is in tests/test_export.sh. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#define CGD_EXPORT_IMPLEMENTATION
#include "../tools/cgd_export.h"
#include "test.h"
#include "generators.h"
#include "golden/halves.h"

static cgd_ctx context;

/* ---- nets and pictures ---------------------------------------------------*/

static void fill(cgd_tensor *x, cgd_u32 seed)
{
    cgd_rng rng;
    size_t i;
    cgd_rng_seed(&rng, seed, 1);
    for (i = 0; i < cgd_tensor_size(x); i++)
        x->data[i] = (float)(2 * cgd_rng_uniform(&rng) - 1);
}

/* The output of a net on x: malloc'd values. */
static float *apply(cgd_net *net, const cgd_tensor *x, size_t *count)
{
    cgd_pass pass;
    float *y = NULL;
    *count = 0;
    CHECK(cgd_pass_init(&pass, net, x->n, x->h, x->w, CGD_INFER, NULL, 0,
                        NULL) == CGD_OK);
    if (cgd_pass_forward(&pass, x) == CGD_OK) {
        *count = cgd_tensor_size(&pass.y);
        y = (float *)malloc(*count * sizeof *y);
        if (y) memcpy(y, pass.y.data, *count * sizeof *y);
    }
    CHECK(y != NULL);
    cgd_pass_free(&pass);
    return y;
}

/* The largest difference between two nets' outputs on x. */
static double apart(cgd_net *a, cgd_net *b, const cgd_tensor *x)
{
    size_t n = 0, m = 0, i;
    float *p = apply(a, x, &n), *q = apply(b, x, &m);
    double worst = n == m && n > 0 ? 0 : 1e9;
    for (i = 0; worst < 1e9 && i < n; i++)
        if (!(fabs((double)p[i] - (double)q[i]) <= worst))
            worst = fabs((double)p[i] - (double)q[i]);
    free(p);
    free(q);
    return worst;
}

static float room[3][3 * 24 * 24];
static cgd_tensor pictures[3];

/* Pictures of different sizes, one of them two in a batch. */
static void draw_pictures(size_t channels)
{
    pictures[0] = cgd_tensor_view(1, 20, 16, channels, room[0]);
    pictures[1] = cgd_tensor_view(2, 12, 16, channels, room[1]);
    pictures[2] = cgd_tensor_view(1, 24, 24, channels, room[2]);
    fill(pictures, 1);
    fill(pictures + 1, 2);
    fill(pictures + 2, 3);
}

/* ---- frozen statistics ---------------------------------------------------*/

static void a_net_frozen_on_one_picture_treats_it_as_before(void)
{
    size_t i;
    for (i = 0; i < N(kinds); i++) {
        cgd_net net, frozen;
        build(&context, &net, kinds + i);
        draw_pictures(net.layers[0].in_c);
        CHECK(cgd_net_freeze(&context, &frozen, &net, pictures, 1) == CGD_OK);
        CHECK(frozen.image_stats == 0 && frozen.is_generator);
        CHECK(frozen.generator.norm == (kinds[i].norm ? CGD_NORM_BATCH : 0));
        if (net.image_stats)
            CHECK_NEAR(apart(&net, &frozen, pictures), 0, 1e-5);
        else           /* what was frozen otherwise is measured anew         */
            CHECK(apart(&net, &frozen, pictures) > 0.01);
        if (kinds[i].norm)
            CHECK(apart(&net, &frozen, pictures + 2) > 0.01);
        cgd_net_free(&frozen);
        cgd_net_free(&net);
    }
}

/* What a norm sees: the front of a frozen net, whose last layer is bare. */
static float *before_norm(cgd_net *frozen, size_t i, const cgd_tensor *x,
                          size_t *count)
{
    cgd_layer *layers = (cgd_layer *)malloc((i + 1) * sizeof *layers);
    cgd_net bare;
    float *y;
    size_t k;
    memcpy(layers, frozen->layers, (i + 1) * sizeof *layers);
    layers[i].norm = CGD_NORM_NONE;
    layers[i].act = CGD_ACT_NONE;
    layers[i].skip = 0;
    CHECK(cgd_net_init(&context, &bare, layers, i + 1) == CGD_OK);
    bare.image_stats = 0;
    for (k = 0; k <= i; k++) {
        const cgd_layer *to = bare.layers + k, *l = frozen->layers + k;
        memcpy(bare.params + to->w, frozen->params + l->w,
               (l->gamma - l->w) * sizeof(float));
        if (k == i || !l->norm) continue;
        memcpy(bare.params + to->gamma, frozen->params + l->gamma,
               2 * l->out_c * sizeof(float));
        memcpy(bare.params + to->mean, frozen->params + l->mean,
               2 * l->out_c * sizeof(float));
    }
    y = apply(&bare, x, count);
    cgd_net_free(&bare);
    free(layers);
    return y;
}

/* Mean and variance of channel c at a norm, averaged over all pictures. */
static void measure(cgd_net *frozen, size_t i, size_t c, double want[2])
{
    size_t channels = frozen->layers[i].out_c, p, n, k, total = 0;
    want[0] = want[1] = 0;
    for (p = 0; p < N(pictures); p++) {
        size_t count, each;
        float *y = before_norm(frozen, i, pictures + p, &count);
        each = count / pictures[p].n;
        for (n = 0; n < pictures[p].n; n++, total++) {
            double mean = 0, var = 0, pixels = (double)(each / channels);
            const float *at = y + n * each + c;
            for (k = 0; k < each; k += channels) mean += (double)at[k];
            mean /= pixels;
            for (k = 0; k < each; k += channels)
                var += ((double)at[k] - mean) * ((double)at[k] - mean);
            want[0] += mean;
            want[1] += var / pixels;
        }
        free(y);
    }
    want[0] /= (double)total;
    want[1] /= (double)total;
}

static void statistics_are_means_over_the_pictures(void)
{
    size_t k, i;
    for (k = 0; k < N(kinds); k++) {
        cgd_net net, frozen;
        build(&context, &net, kinds + k);
        draw_pictures(net.layers[0].in_c);
        CHECK(cgd_net_freeze(&context, &frozen, &net, pictures, N(pictures))
              == CGD_OK);
        for (i = 0; i < frozen.n_layers; i++) {
            const cgd_layer *l = frozen.layers + i;
            double want[2];
            if (!l->norm) continue;
            measure(&frozen, i, l->out_c - 1, want);
            CHECK_NEAR(frozen.params[l->mean + l->out_c - 1], want[0], 1e-5);
            CHECK_NEAR(frozen.params[l->var + l->out_c - 1], want[1],
                       1e-5 * (1 + want[1]));
        }
        cgd_net_free(&frozen);
        cgd_net_free(&net);
    }
}

static void running_statistics_need_no_pictures(void)
{
    size_t i;
    for (i = 0; i < N(kinds); i++) {
        cgd_net net, frozen;
        int running = !kinds[i].norm || !kinds[i].image_stats;
        cgd_status status;
        build(&context, &net, kinds + i);
        draw_pictures(net.layers[0].in_c);
        status = cgd_net_freeze(&context, &frozen, &net, NULL, 0);
        CHECK(status == (running ? CGD_OK : CGD_ERR_ARGUMENT));
        if (running) {
            CHECK(frozen.state == net.state);
            CHECK(memcmp(frozen.params, net.params,
                         net.state * sizeof(float)) == 0);
        } else {
            CHECK(strstr(context.message, "takes pictures") != NULL);
            CHECK(frozen.params == NULL);
        }
        cgd_net_free(&frozen);
        cgd_net_free(&net);
    }
}

static void pictures_that_do_not_fit_are_refused(void)
{
    cgd_net net, frozen;
    cgd_tensor x = cgd_tensor_view(1, 8, 8, 1, room[0]);
    build(&context, &net, kinds);
    CHECK(cgd_net_freeze(&context, &frozen, &net, &x, 1) == CGD_ERR_SHAPE);
    CHECK(frozen.params == NULL);
    x = cgd_tensor_view(1, 2, 8, 3, room[0]);
    CHECK(cgd_net_freeze(&context, &frozen, &net, &x, 1) == CGD_ERR_SHAPE);
    CHECK(frozen.params == NULL);
    cgd_net_free(&net);
}

/* ---- folding -------------------------------------------------------------*/

static void a_folded_net_has_the_same_outputs(void)
{
    size_t i, k;
    for (i = 0; i < N(kinds); i++) {
        cgd_net net, frozen, folded;
        build(&context, &net, kinds + i);
        draw_pictures(net.layers[0].in_c);
        CHECK(cgd_net_freeze(&context, &frozen, &net, pictures,
                             net.image_stats ? N(pictures) : 0) == CGD_OK);
        CHECK(cgd_net_fold(&context, &folded, &frozen, NULL) == CGD_OK);
        CHECK(folded.generator.norm == CGD_NORM_NONE);
        for (k = 0; k < folded.n_layers; k++)
            CHECK(folded.layers[k].norm == CGD_NORM_NONE);
        for (k = 0; k < N(pictures); k++)
            CHECK_NEAR(apart(&frozen, &folded, pictures + k), 0, 1e-5);
        cgd_net_free(&folded);
        cgd_net_free(&frozen);
        cgd_net_free(&net);
    }
}

static void a_folded_net_is_saved_and_loaded_as_any_other(void)
{
    const char *path = "build/test_export.safetensors";
    cgd_net net, folded;
    cgd_model model;
    build(&context, &net, kinds + 3);
    draw_pictures(3);
    CHECK(cgd_net_fold(&context, &folded, &net, NULL) == CGD_OK);
    CHECK(cgd_net_save(&folded, NULL, path) == CGD_OK);
    CHECK(cgd_model_load(&context, &model, path) == CGD_OK);
    CHECK(model.net.generator.norm == CGD_NORM_NONE);
    CHECK(apart(&model.net, &folded, pictures) <= 0);
    cgd_model_free(&model);
    cgd_net_free(&folded);
    cgd_net_free(&net);
    remove(path);
}

static void live_statistics_cannot_be_folded(void)
{
    cgd_net net, folded;
    build(&context, &net, kinds + 2);
    CHECK(cgd_net_fold(&context, &folded, &net, NULL) == CGD_ERR_ARGUMENT);
    CHECK(strstr(context.message, "freeze them first") != NULL);
    CHECK(folded.params == NULL);
    cgd_net_free(&net);
}

static float bits_float(cgd_u32 bits)
{
    float v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

/* ---- halves --------------------------------------------------------------*/

static void halves_are_rounded_as_numpy_and_pytorch_do(void)
{
    size_t i;
    for (i = 0; i < N(golden_half); i++) {
        float v = bits_float(golden_half[i].bits);
        CHECK(cgd__float_half(v) == golden_half[i].half);
        CHECK(cgd__float_bfloat(v) == golden_half[i].bfloat);
    }
    CHECK((cgd__float_half(bits_float(0x7f800001U)) & 0x7fffU) > 0x7c00U);
    CHECK((cgd__float_bfloat(bits_float(0xff800001U)) & 0x7fffU)
          > 0x7f80U);
}

/* A half by its definition; not for infinity and what is no number. */
static float half_value(cgd_u32 h)
{
    int exponent = (int)(h >> 10 & 31);
    double v = ldexp((double)(h & 0x3ff) + (exponent ? 1024 : 0),
                     (exponent ? exponent : 1) - 25);
    return (float)(h & 0x8000U ? -v : v);
}

static void every_half_comes_back_as_itself(void)
{
    cgd_u32 h;
    for (h = 0; h < 0x10000U; h++)
        if ((h & 0x7c00U) != 0x7c00U)
            CHECK(cgd__float_half(half_value(h)) == h);
}

/* ---- files, read back by hand --------------------------------------------*/

#define FILE_NAME "build/test_export.out"

typedef struct content { unsigned char *data; size_t size; } content;

static content read_back(const char *path)
{
    FILE *f = fopen(path, "rb");
    content b;
    b.data = NULL;
    b.size = 0;
    if (!f) return b;
    fseek(f, 0, SEEK_END);
    b.size = (size_t)ftell(f);
    rewind(f);
    b.data = (unsigned char *)malloc(b.size + 1);
    if (fread(b.data, 1, b.size, f) != b.size) b.size = 0;
    b.data[b.size] = 0;
    fclose(f);
    return b;
}

static unsigned long number_at(const unsigned char *p, int width)
{
    unsigned long v = 0;
    while (width-- > 0) v = v << 8 | p[width];
    return v;
}

static float float_at(const unsigned char *p)
{
    return bits_float((cgd_u32)number_at(p, 4));
}

/* The value in the file's order: weights are (b, a, taps) there and
 * (taps, a, b) in memory. */
static float value_of(const cgd_net *net, const cgd_part *e, size_t i)
{
    size_t tap = i % e->taps, a = i / e->taps % e->a, b = i / e->taps / e->a;
    return e->absent ? 0 : net->params[e->at + (tap * e->a + a) * e->b + b];
}

/* The part of that name; 0 if the net has none. */
static int find_part(cgd_part *e, const cgd_net *net, const char *name)
{
    size_t at = 0;
    while (cgd_net_part(net, &at, e))
        if (strcmp(e->name, name) == 0) return 1;
    return 0;
}

/* ---- safetensors ---------------------------------------------------------*/

static void safetensors_hold_every_part_in_each_type(void)
{
    static const int types[] = { CGD_F32, CGD_F16, CGD_BF16 };
    static const double bounds[] = { 0, 1.0 / 2048, 1.0 / 256 };
    size_t k, t, i, n;
    for (k = 0; k < N(kinds); k++)
        for (t = 0; t < N(types); t++) {
            cgd_net net;
            cgd_model model;
            cgd_file file;
            build(&context, &net, kinds + k);
            CHECK(cgd_export_safetensors(&net, types[t], FILE_NAME) == CGD_OK);
            CHECK(cgd_file_open(&context, &file, FILE_NAME) == CGD_OK);
            for (i = n = 0; i < file.n_tensors; i++) {
                cgd_part e;
                CHECK(file.tensors[i].dtype == types[t]);
                CHECK(find_part(&e, &net, file.tensors[i].name));
                if (e.absent) n++;
            }
            CHECK(n == (net.layers[0].norm == CGD_NORM_INSTANCE
                        || net.layers[0].norm == CGD_NORM_INSTANCE_AFFINE
                        ? net.n_layers - 1
                          - 2 * (size_t)net.generator.antialias : 0));
            cgd_file_close(&file);
            CHECK(cgd_model_load(&context, &model, FILE_NAME) == CGD_OK);
            CHECK(model.net.state == net.state);
            CHECK(model.net.image_stats == net.image_stats);
            for (i = 0; i < net.state && i < model.net.state; i++)
                CHECK_NEAR(model.net.params[i], net.params[i],
                           bounds[t] * fabs((double)net.params[i]) + 1e-7
                           * (double)(t > 0));
            cgd_model_free(&model);
            cgd_net_free(&net);
        }
    remove(FILE_NAME);
}

static void float32_safetensors_are_those_that_are_saved(void)
{
    cgd_net net;
    content a, b;
    build(&context, &net, kinds + 1);
    CHECK(cgd_net_save(&net, NULL, FILE_NAME) == CGD_OK);
    a = read_back(FILE_NAME);
    CHECK(cgd_export_safetensors(&net, CGD_F32, FILE_NAME) == CGD_OK);
    b = read_back(FILE_NAME);
    CHECK(a.size == b.size && memcmp(a.data, b.data, a.size) == 0);
    free(a.data);
    free(b.data);
    cgd_net_free(&net);
    remove(FILE_NAME);
}

/* ---- pth: a zip archive --------------------------------------------------*/

/* CRC-32 bit by bit, from its definition. */
static unsigned long crc32_of(const unsigned char *p, size_t n)
{
    unsigned long crc = 0xffffffffUL;
    int k;
    for (; n > 0; n--, p++)
        for (crc ^= *p, k = 0; k < 8; k++)
            crc = crc & 1 ? crc >> 1 ^ 0xedb88320UL : crc >> 1;
    return crc ^ 0xffffffffUL;
}

typedef struct entry { char name[64]; const unsigned char *data; size_t size; }
    entry;

/* The entry that the directory describes at p; 0 if anything is amiss. */
static int read_entry(entry *e, const content *zip, const unsigned char *p)
{
    size_t length = number_at(p + 28, 2), at = number_at(p + 42, 4), start;
    const unsigned char *local = zip->data + at;
    if (number_at(p, 4) != 0x02014b50UL || length >= sizeof e->name
        || number_at(p + 30, 4) != 0 || at + 30 + length > zip->size) return 0;
    if (number_at(local, 4) != 0x04034b50UL
        || memcmp(local + 4, p + 6, 24) != 0             /* version ... name */
        || memcmp(local + 30, p + 46, length) != 0) return 0;
    memcpy(e->name, p + 46, length);
    e->name[length] = 0;
    e->size = number_at(p + 20, 4);
    start = at + 30 + length + number_at(local + 28, 2);
    e->data = zip->data + start;
    return number_at(p + 8, 2) == 0 && number_at(p + 10, 2) == 0  /* stored  */
        && number_at(p + 24, 4) == e->size && start % 64 == 0
        && start + e->size <= zip->size
        && memcmp(local + 30 + length, "FB", 2) == 0
        && number_at(local + 32 + length, 2) + 4 == number_at(local + 28, 2)
        && number_at(p + 16, 4) == crc32_of(e->data, e->size);
}

/* Read the archive; the number of entries, 0 if anything is amiss. */
static size_t read_zip(const content *zip, entry *e, size_t most)
{
    const unsigned char *end = zip->data + zip->size - 22, *p;
    size_t n, i;
    if (zip->size < 22 || number_at(end, 4) != 0x06054b50UL) return 0;
    n = number_at(end + 10, 2);
    p = zip->data + number_at(end + 16, 4);
    if (n > most || p + number_at(end + 12, 4) != end) return 0;
    for (i = 0; i < n; i++) {
        if (p + 46 > end || !read_entry(e + i, zip, p)) return 0;
        p += 46 + number_at(p + 28, 2);
    }
    return p == end ? n : 0;
}

static void a_pth_is_a_sound_archive_of_every_part(void)
{
    size_t k, i, n;
    for (k = 0; k < N(kinds); k++) {
        cgd_net net;
        cgd_part e;
        entry entries[200];
        content zip;
        size_t at = 0, parts = 0;
        int dtype = k % 2 ? CGD_F16 : CGD_F32;
        build(&context, &net, kinds + k);
        CHECK(cgd_export_pth(&net, dtype, FILE_NAME) == CGD_OK);
        zip = read_back(FILE_NAME);
        n = read_zip(&zip, entries, N(entries));
        CHECK(n > 3);
        if (n > 3) {
            CHECK(strcmp(entries[0].name, "archive/data.pkl") == 0);
            CHECK(memcmp(entries[0].data, "\200\002", 2) == 0);
            CHECK(entries[0].data[entries[0].size - 1] == '.');
            CHECK(strcmp(entries[2].name, "archive/version") == 0);
        }
        while (n > 3 && cgd_net_part(&net, &at, &e)) {
            const entry *found = entries + 3 + parts;
            char name[64];
            sprintf(name, "archive/data/%lu", (unsigned long)parts++);
            CHECK(parts + 3 <= n && strcmp(found->name, name) == 0);
            CHECK(found->size == e.count * (dtype ? 2 : 4));
            for (i = 0; i < e.count; i++) {
                float v = value_of(&net, &e, i);
                if (dtype)
                    CHECK(number_at(found->data + 2 * i, 2)
                          == cgd__float_half(v));
                else
                    CHECK(float_at(found->data + 4 * i) == v);
            }
        }
        CHECK(parts + 3 == n);
        free(zip.data);
        cgd_net_free(&net);
    }
    remove(FILE_NAME);
}

/* ---- ONNX: protocol buffers ----------------------------------------------*/

/* A field of a message: its number, and its value or where its bytes are. */
typedef struct field {
    unsigned long number, value;
    const unsigned char *data;
    size_t size;
} field;

static unsigned long varint(const unsigned char **p, const unsigned char *end)
{
    unsigned long v = 0;
    int shift;
    for (shift = 0; *p < end && shift < 63; shift += 7) {
        unsigned long digit = *(*p)++;
        v |= (digit & 127) << shift;
        if (digit < 128) return v;
    }
    CHECK(!"a sound varint");
    return 0;
}

/* The next field from *p on; 0 at the end. */
static int next_field(field *f, const unsigned char **p,
                      const unsigned char *end)
{
    unsigned long key;
    if (*p >= end) return 0;
    key = varint(p, end);
    memset(f, 0, sizeof *f);
    f->number = key >> 3;
    if ((key & 7) == 0) {
        f->value = varint(p, end);
        return 1;
    }
    f->size = (key & 7) == 5 ? 4 : varint(p, end);
    CHECK((key & 7) == 2 || (key & 7) == 5);
    CHECK(f->size <= (size_t)(end - *p));
    if (f->size > (size_t)(end - *p)) return 0;
    f->data = *p;
    *p += f->size;
    return 1;
}

/* The nth field of that number in a message; 0 if there is none. */
static int get(field *f, const field *message, unsigned long number, size_t n)
{
    const unsigned char *p = message->data, *end = p + message->size;
    while (next_field(f, &p, end))
        if (f->number == number && n-- == 0) return 1;
    memset(f, 0, sizeof *f);
    return 0;
}

static int is_text(const field *f, const char *text)
{
    return f->data && f->size == strlen(text)
        && memcmp(f->data, text, f->size) == 0;
}

static int same_text(const field *a, const field *b)
{
    return a->size == b->size && memcmp(a->data, b->data, a->size) == 0;
}

/* Is the text in that field of one of the graph's first n messages of that
 * sort? */
static int among(const field *graph, unsigned long sort, size_t n,
                 unsigned long number, const field *text)
{
    field m, t;
    size_t i;
    for (i = 0; i < n && get(&m, graph, sort, i); i++)
        if (get(&t, &m, number, 0) && same_text(&t, text)) return 1;
    return 0;
}

/* Every input of node number i is there before it, and its output is new. */
static int is_sound_node(const field *graph, size_t i, const field *node)
{
    field in, out;
    size_t k;
    for (k = 0; get(&in, node, 1, k); k++)
        if (!is_text(&in, "input") && !among(graph, 5, 10000, 8, &in)
            && !among(graph, 1, i, 2, &in)) return 0;
    return k > 0 && get(&out, node, 2, 0) && !among(graph, 1, i, 2, &out);
}

/* Is the text an input of some node? */
static int is_used(const field *graph, const field *text)
{
    field node, in;
    size_t i, k;
    for (i = 0; get(&node, graph, 1, i); i++)
        for (k = 0; get(&in, &node, 1, k); k++)
            if (same_text(&in, text)) return 1;
    return 0;
}

static size_t count_nodes(const field *graph, const char *op)
{
    field node, f;
    size_t i, n = 0;
    for (i = 0; get(&node, graph, 1, i); i++)
        if (get(&f, &node, 4, 0) && is_text(&f, op)) n++;
    return n;
}

/* A constant that is a parameter has its shape and its values. */
static void check_constant(const cgd_net *net, const field *constant)
{
    field f, data;
    char name[100] = "";
    cgd_part e;
    size_t i, count = 1;
    int half;
    CHECK(get(&f, constant, 8, 0) && f.size < sizeof name);
    memcpy(name, f.data, f.size);
    half = f.size > 4 && strcmp(name + f.size - 4, ".f16") == 0;
    if (half) name[f.size - 4] = 0;
    CHECK(get(&data, constant, 9, 0));
    for (i = 0; get(&f, constant, 1, i); i++) count *= f.value;
    CHECK(get(&f, constant, 2, 0));
    CHECK(data.size == count * (f.value == 10 ? 2 : f.value == 7 ? 8 : 4));
    CHECK(f.value == 10 ? half : f.value == 1 || f.value == 7);
    if (!find_part(&e, net, name)) return;
    for (i = 0; i < e.rank; i++)
        CHECK(get(&f, constant, 1, i) && f.value == e.shape[i]);
    CHECK(!get(&f, constant, 1, e.rank));
    for (i = 0; i < count && count == e.count; i++)
        CHECK(half ? number_at(data.data + 2 * i, 2)
                         == cgd__float_half(value_of(net, &e, i))
                   : float_at(data.data + 4 * i) == value_of(net, &e, i));
}

/* Nodes of each sort that a net must have. */
static void check_nodes(const cgd_net *net, const field *graph)
{
    static const char *const acts[] = { "none", "Relu", "LeakyRelu", "Tanh" };
    size_t i, conv = 0, deconv = 0, norm = 0, sum = 0, pad = 0, up = 0;
    size_t act[4] = { 0, 0, 0, 0 };
    int frozen = !net->image_stats;
    for (i = 0; i < net->n_layers; i++) {
        const cgd_layer *l = net->layers + i;
        if (l->kind == CGD_DECONV) deconv++; else conv++;
        act[l->act]++;
        if (l->norm) norm++;
        if (l->skip) sum++;
        if (l->up) up++;
        if (l->window.pad && l->window.pad_mode == CGD_PAD_REFLECT) pad++;
    }
    CHECK(count_nodes(graph, "Conv") == conv);
    CHECK(count_nodes(graph, "ConvTranspose") == deconv);
    CHECK(count_nodes(graph, "InstanceNormalization") == (frozen ? 0 : norm));
    CHECK(count_nodes(graph, "BatchNormalization") == (frozen ? norm : 0));
    CHECK(count_nodes(graph, "Add") == sum);
    CHECK(count_nodes(graph, "Resize") == up);
    CHECK(count_nodes(graph, "Pad") == pad);
    for (i = 1; i < 4; i++) CHECK(count_nodes(graph, acts[i]) == act[i]);
}

static void check_port(const field *graph, unsigned long number,
                       const char *name, size_t channels)
{
    field port, type, tensor, shape, dim, f;
    CHECK(get(&port, graph, number, 0) && get(&f, &port, 1, 0)
          && is_text(&f, name));
    CHECK(get(&type, &port, 2, 0) && get(&tensor, &type, 1, 0));
    CHECK(get(&f, &tensor, 1, 0) && f.value == 1);
    CHECK(get(&shape, &tensor, 2, 0));
    CHECK(get(&dim, &shape, 1, 1) && get(&f, &dim, 1, 0)
          && f.value == channels);
    CHECK(get(&dim, &shape, 1, 3) && get(&f, &dim, 2, 0));
    CHECK(!get(&dim, &shape, 1, 4));
}

static void check_onnx(const cgd_net *net)
{
    content b = read_back(FILE_NAME);
    field model, graph, f, m;
    size_t i;
    memset(&model, 0, sizeof model);
    model.data = b.data;
    model.size = b.size;
    CHECK(get(&f, &model, 1, 0) && f.value == 6);
    CHECK(get(&m, &model, 8, 0) && get(&f, &m, 2, 0) && f.value == 11);
    CHECK(get(&graph, &model, 7, 0) && !get(&f, &model, 7, 1));
    get(&graph, &model, 7, 0);
    for (i = 0; get(&m, &graph, 1, i); i++)
        CHECK(is_sound_node(&graph, i, &m));
    CHECK(i > net->n_layers && get(&m, &graph, 1, i - 1)
          && get(&f, &m, 2, 0) && is_text(&f, "output"));
    for (i = 0; get(&m, &graph, 5, i); i++) {
        check_constant(net, &m);
        CHECK(get(&f, &m, 8, 0) && is_used(&graph, &f));
    }
    check_nodes(net, &graph);
    check_port(&graph, 11, "input", net->layers[0].in_c);
    check_port(&graph, 12, "output", net->layers[net->n_layers - 1].out_c);
    free(b.data);
}

static void an_onnx_file_is_a_sound_graph_of_the_net(void)
{
    size_t k;
    for (k = 0; k < N(kinds); k++) {
        cgd_net net;
        build(&context, &net, kinds + k);
        CHECK(cgd_export_onnx(&net, CGD_F32, FILE_NAME) == CGD_OK);
        check_onnx(&net);
        CHECK(cgd_export_onnx(&net, CGD_F16, FILE_NAME) == CGD_OK);
        check_onnx(&net);
        cgd_net_free(&net);
    }
    remove(FILE_NAME);
}

static void nets_that_are_no_generators_become_graphs_too(void)
{
    static const int ends[] = { CGD_ACT_NONE, CGD_ACT_LEAKY };
    cgd_discriminator_config d = cgd_discriminator_defaults();
    cgd_layer layers[2];
    cgd_net net;
    size_t i;
    d.width = 2;
    CHECK(cgd_discriminator_init(&context, &net, &d) == CGD_OK);
    CHECK(cgd_export_onnx(&net, CGD_F32, FILE_NAME) == CGD_OK);
    check_onnx(&net);
    cgd_net_free(&net);
    /* the end is a norm, an activation, a sum */
    memset(layers, 0, sizeof layers);
    for (i = 0; i < 2; i++) {
        layers[i].in_c = layers[i].out_c = 2;
        layers[i].window.kernel = layers[i].window.stride = 1;
        layers[i].norm = CGD_NORM_INSTANCE_AFFINE;
        strcpy(layers[i].name, i ? "second" : "first");
        strcpy(layers[i].norm_name, i ? "second.norm" : "first.norm");
    }
    for (i = 0; i < 3; i++) {
        layers[1].act = i < 2 ? ends[i] : CGD_ACT_NONE;
        layers[1].skip = i == 2;
        CHECK(cgd_net_init(&context, &net, layers, 2) == CGD_OK);
        CHECK(cgd_export_onnx(&net, CGD_F32, FILE_NAME) == CGD_OK);
        check_onnx(&net);
        cgd_net_free(&net);
    }
    remove(FILE_NAME);
}

/* ---- constants of C ------------------------------------------------------*/

/* Floats from the text after "{", as a compiler reads them. */
static size_t read_floats(const char *text, float *v, size_t most)
{
    const char *at = strstr(text, "_params[");
    size_t n = 0;
    at = at ? strchr(at, '{') : NULL;
    for (; at && n < most; at = strchr(at, ',')) {
        char *end;
        v[n] = (float)strtod(++at, &end);
        if (*end != 'f' || !memchr(at, '.', (size_t)(end - at))) break;
        n++;
        if (end[1] != ',') break;
        at = end;
    }
    return n;
}

static void every_float_comes_back_from_c(void)
{
    static const cgd_u32 edges[] = { 0, 0x80000000U, 1, 0x80000001U,
        0x007fffffU, 0x00800000U, 0x7f7fffffU, 0xff7fffffU, 0x3f800000U,
        0x4e6e6b28U, 0x4f000000U, 0x38d1b717U, 0x38d1b716U, 0x3f7fffffU };
    static float back[20000];
    cgd_net net;
    cgd_rng rng;
    content text;
    size_t i;
    build(&context, &net, kinds + 1);
    cgd_rng_seed(&rng, 8, 0);
    CHECK(net.state <= N(back));
    for (i = 0; i < net.state; i++) {
        cgd_u32 bits = i < N(edges) ? edges[i] : cgd_rng_next(&rng);
        if ((bits & 0x7f800000U) == 0x7f800000U) bits ^= 0x40000000U;
        net.params[i] = bits_float(bits);
    }
    CHECK(cgd_export_c(&net, FILE_NAME) == CGD_OK);
    text = read_back(FILE_NAME);
    CHECK(read_floats((const char *)text.data, back, N(back)) == net.state);
    for (i = 0; i < net.state; i++)
        CHECK(memcmp(back + i, net.params + i, sizeof *back) == 0);
    free(text.data);
    cgd_net_free(&net);
    remove(FILE_NAME);
}

static void names_of_files_become_names_in_c(void)
{
    char name[64];
    cgd__c_name(name, "small/my-student.v2.h");
    CHECK(strcmp(name, "my_student") == 0);
    cgd__c_name(name, "C:\\models\\3d.h");
    CHECK(strcmp(name, "_d") == 0);
    cgd__c_name(name, ".h");
    CHECK(strcmp(name, "_") == 0);
    cgd__c_name(name, "a_very_long_name_a_very_long_name_a_very_long_name_"
                "a_very_long_name");
    CHECK(strlen(name) == 48);
}

static void a_model_in_constants_is_used_where_it_lies(void)
{
    size_t k;
    for (k = 0; k < N(kinds); k++) {
        cgd_net net;
        cgd_model model;
        cgd_const_model constants;
        size_t before;
        build(&context, &net, kinds + k);
        draw_pictures(net.layers[0].in_c);
        memset(&constants, 0, sizeof constants);
        constants.layers = net.layers;
        constants.n_layers = net.n_layers;
        constants.params = net.params;
        constants.count = net.count;
        constants.state = net.state;
        constants.generator = net.generator;
        before = cgd_memory_in_use(&context);
        cgd_model_attach(&context, &model, &constants);
        CHECK(cgd_memory_in_use(&context) == before);
        CHECK(model.net.params == net.params);
        CHECK(model.net.layers == net.layers);
        CHECK(apart(&net, &model.net, pictures) <= 0);
        cgd_model_free(&model);
        CHECK(cgd_memory_in_use(&context) == before);
        CHECK(net.params[0] < 0 || net.params[0] >= 0);  /* still there      */
        cgd_net_free(&net);
    }
}

static void a_model_in_constants_cannot_be_changed(void)
{
    cgd_net net, other;
    cgd_model model;
    cgd_const_model constants;
    cgd_rng rng;
    cgd_file file;
    float *was;
    build(&context, &net, kinds);
    build(&context, &other, kinds);
    memset(other.params, 0, other.state * sizeof(float));
    was = (float *)malloc(net.state * sizeof(float));
    memcpy(was, net.params, net.state * sizeof(float));
    memset(&constants, 0, sizeof constants);
    constants.layers = net.layers;
    constants.n_layers = net.n_layers;
    constants.params = net.params;
    constants.count = net.count;
    constants.state = net.state;
    constants.generator = net.generator;
    cgd_model_attach(&context, &model, &constants);
    CHECK(cgd_net_with_grads(&model.net) == CGD_ERR_ARGUMENT);
    CHECK(cgd_net_pack(&model.net, 1000000) == CGD_ERR_ARGUMENT);
    CHECK(cgd_net_copy(&model.net, &other) == CGD_ERR_ARGUMENT);
    CHECK(cgd_transfer(&model.net, &other, CGD_TRANSFER_UPDOWN, NULL)
          == CGD_ERR_ARGUMENT);
    CHECK(strstr(context.message, "cannot be changed") != NULL);
    cgd_rng_seed(&rng, 1, 1);
    cgd_net_init_weights(&model.net, CGD_INIT_NORMAL, &rng);
    CHECK(cgd_net_save(&other, NULL, FILE_NAME) == CGD_OK);
    CHECK(cgd_file_open(&context, &file, FILE_NAME) == CGD_OK);
    CHECK(cgd_net_read(&model.net, &file, "") == CGD_ERR_ARGUMENT);
    cgd_file_close(&file);
    CHECK(memcmp(was, net.params, net.state * sizeof(float)) == 0);
    CHECK(cgd_net_copy(&other, &model.net) == CGD_OK);  /* read it may be    */
    cgd_model_free(&model);
    free(was);
    cgd_net_free(&other);
    cgd_net_free(&net);
    remove(FILE_NAME);
}

/* ---- refusals ------------------------------------------------------------*/

enum { SAFETENSORS, PTH, ONNX, C, FORMATS };

static cgd_status export_as(int format, const cgd_net *net, int dtype,
                            const char *path)
{
    return format == SAFETENSORS ? cgd_export_safetensors(net, dtype, path)
         : format == PTH ? cgd_export_pth(net, dtype, path)
         : format == ONNX ? cgd_export_onnx(net, dtype, path)
         : cgd_export_c(net, path);
}

/* The export fails with that status and those words, the file that stood
 * there still does, and no other is left. */
static void refused(int format, const cgd_net *net, int dtype,
                    cgd_status status, const char *words)
{
    FILE *f = fopen(FILE_NAME, "wb");
    content b;
    fputs("older", f);
    fclose(f);
    CHECK(export_as(format, net, dtype, FILE_NAME) == status);
    CHECK(strstr(context.message, words) != NULL);
    if (!strstr(context.message, words)) printf("    %s\n", context.message);
    b = read_back(FILE_NAME);
    CHECK(b.size == 5 && memcmp(b.data, "older", 5) == 0);
    free(b.data);
    remove(FILE_NAME);
    f = fopen(FILE_NAME ".cgd-part", "rb");
    CHECK(f == NULL);
    if (f) fclose(f);
}

static void weights_beyond_the_type_are_refused(void)
{
    cgd_net net;
    int format;
    build(&context, &net, kinds);
    net.params[net.layers[3].w + 5] = 70000;
    for (format = 0; format < C; format++) {
        refused(format, &net, CGD_F16, CGD_ERR_FORMAT,
                ".weight holds 70000, which is not a finite number in f16");
        CHECK(export_as(format, &net, CGD_F32, FILE_NAME) == CGD_OK);
    }
    CHECK(cgd_export_safetensors(&net, CGD_BF16, FILE_NAME) == CGD_OK);
    net.params[net.layers[3].w + 5] = 3.4e38f;
    refused(SAFETENSORS, &net, CGD_BF16, CGD_ERR_FORMAT, "in bf16");
    net.params[net.layers[3].w + 5] = bits_float(0x7fc00000U);
    for (format = 0; format < FORMATS; format++)
        refused(format, &net, CGD_F32, CGD_ERR_FORMAT, "finite number");
    cgd_net_free(&net);
}

static void what_a_format_does_not_have_is_refused(void)
{
    cgd_net net, twin;
    cgd_layer layers[2];
    cgd_discriminator_config d = cgd_discriminator_defaults();
    build(&context, &net, kinds);
    refused(ONNX, &net, CGD_BF16, CGD_ERR_UNSUPPORTED, "bf16");
    refused(PTH, &net, CGD_F64, CGD_ERR_ARGUMENT, "f32, f16 or bf16");
    cgd_net_free(&net);

    memset(layers, 0, sizeof layers);
    layers[0].kind = CGD_DECONV;
    layers[0].in_c = layers[0].out_c = layers[1].in_c = layers[1].out_c = 2;
    layers[0].window.kernel = layers[1].window.kernel = 3;
    layers[0].window.stride = layers[1].window.stride = 1;
    layers[0].window.pad = layers[1].window.pad = 1;
    layers[0].window.pad_mode = CGD_PAD_REFLECT;
    strcpy(layers[0].name, "a");
    CHECK(cgd_net_init(&context, &net, layers, 1) == CGD_OK);
    refused(ONNX, &net, CGD_F32, CGD_ERR_UNSUPPORTED, "transposed");
    net.layers[0].window.pad_mode = CGD_PAD_ZERO;
    CHECK(cgd_export_onnx(&net, CGD_F32, FILE_NAME) == CGD_OK);
    net.layers[0].window.kernel = 4;           /* cannot run at all          */
    refused(ONNX, &net, CGD_F32, CGD_ERR_UNSUPPORTED, "transposed");
    CHECK(cgd_net_init(&context, &twin, layers, 2) == CGD_OK);
    refused(SAFETENSORS, &twin, CGD_F32, CGD_ERR_ARGUMENT, "layer 1 ()");
    strcpy(twin.layers[1].name, "a");
    refused(PTH, &twin, CGD_F32, CGD_ERR_ARGUMENT, "layer 1 (a)");
    cgd_net_free(&twin);
    cgd_net_free(&net);

    d.width = 2;
    CHECK(cgd_discriminator_init(&context, &net, &d) == CGD_OK);
    refused(C, &net, CGD_F32, CGD_ERR_UNSUPPORTED, "generators");
    cgd_net_free(&net);
}

static void folders_that_are_missing_are_an_io_error(void)
{
    cgd_net net;
    int format;
    build(&context, &net, kinds);
    for (format = 0; format < FORMATS; format++) {
        CHECK(export_as(format, &net, CGD_F32, "build/no/such/folder/file")
              == CGD_ERR_IO);
        CHECK(strstr(context.message, "folder missing") != NULL);
    }
    cgd_net_free(&net);
}

/* ---- memory --------------------------------------------------------------*/

static long purse, held;                   /* calls left, blocks held        */

static void *purse_alloc(void *user, size_t bytes)
{
    (void)user;
    if (purse == 0) return NULL;
    purse--;
    held++;
    return malloc(bytes);
}

static void purse_release(void *user, void *ptr, size_t bytes)
{
    (void)user;
    (void)bytes;
    held--;
    free(ptr);
}

/* Run work with 0, 1, 2 ... allocations until it succeeds. */
static void starve(cgd_status (*work)(cgd_ctx *ctx, const cgd_net *net),
                   const cgd_net *net)
{
    cgd_options options;
    cgd_status status = CGD_ERR_MEMORY;
    long calls;
    memset(&options, 0, sizeof options);
    options.allocator.alloc = purse_alloc;
    options.allocator.release = purse_release;
    options.threads = 1;
    for (calls = 0; status != CGD_OK && calls < 1000; calls++) {
        cgd_ctx ctx;
        purse = calls;
        held = 0;
        cgd_init(&ctx, &options);
        status = work(&ctx, net);
        CHECK(status == CGD_OK || status == CGD_ERR_MEMORY);
        CHECK(status == CGD_OK || strstr(ctx.message, "memory") != NULL);
        CHECK(held == 0 && cgd_memory_in_use(&ctx) == 0);
        cgd_free(&ctx);
    }
    CHECK(calls > 2 && status == CGD_OK);
}

static cgd_status freeze_and_fold(cgd_ctx *ctx, const cgd_net *net)
{
    cgd_net frozen, folded;
    cgd_status status = cgd_net_freeze(ctx, &frozen, net, pictures, 1);
    if (status == CGD_OK) status = cgd_net_fold(ctx, &folded, &frozen, NULL);
    if (status == CGD_OK) cgd_net_free(&folded);
    cgd_net_free(&frozen);
    return status;
}

/* The starving context is lent to the net for the call. */
static int starved_format;

static cgd_status export_one(cgd_ctx *ctx, const cgd_net *net)
{
    cgd_net lent = *net;
    content b;
    cgd_status status;
    lent.ctx = ctx;
    remove(FILE_NAME);
    status = export_as(starved_format, &lent, CGD_F16, FILE_NAME);
    b = read_back(FILE_NAME);
    CHECK((b.size > 0) == (status == CGD_OK));
    free(b.data);
    return status;
}

static void every_failing_allocation_is_reported_and_nothing_leaks(void)
{
    cgd_net net;
    build(&context, &net, kinds);
    draw_pictures(3);
    starve(freeze_and_fold, &net);
    for (starved_format = 0; starved_format < FORMATS; starved_format++)
        starve(export_one, &net);
    cgd_net_free(&net);
    remove(FILE_NAME);
}

int main(void)
{
    cgd_init(&context, NULL);
    RUN(a_net_frozen_on_one_picture_treats_it_as_before);
    RUN(statistics_are_means_over_the_pictures);
    RUN(running_statistics_need_no_pictures);
    RUN(pictures_that_do_not_fit_are_refused);
    RUN(a_folded_net_has_the_same_outputs);
    RUN(a_folded_net_is_saved_and_loaded_as_any_other);
    RUN(live_statistics_cannot_be_folded);
    RUN(halves_are_rounded_as_numpy_and_pytorch_do);
    RUN(every_half_comes_back_as_itself);
    RUN(safetensors_hold_every_part_in_each_type);
    RUN(float32_safetensors_are_those_that_are_saved);
    RUN(a_pth_is_a_sound_archive_of_every_part);
    RUN(an_onnx_file_is_a_sound_graph_of_the_net);
    RUN(nets_that_are_no_generators_become_graphs_too);
    RUN(every_float_comes_back_from_c);
    RUN(names_of_files_become_names_in_c);
    RUN(a_model_in_constants_is_used_where_it_lies);
    RUN(a_model_in_constants_cannot_be_changed);
    RUN(weights_beyond_the_type_are_refused);
    RUN(what_a_format_does_not_have_is_refused);
    RUN(folders_that_are_missing_are_an_io_error);
    RUN(every_failing_allocation_is_reported_and_nothing_leaks);
    cgd_free(&context);
    return test_end();
}
