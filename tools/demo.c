/* Judge the demo: compare what the teacher and the student make of the test
 * pictures with the truth, which the drawn data set knows, and with answers
 * that need no learning. tools/demo.sh (make demo) trains them first.
 *
 *     cc -O2 tools/demo.c -o demo_report -lm
 *     ./demo_report DATA TEACHER STUDENT OUT
 *
 * DATA has trainA, trainB, testA and testB, where testB holds the truth of
 * testA in the same order. Prints a table, writes OUT/metrics.csv and
 * OUT/sheet.png, and ends with status 0 if the bounds below are kept. */
#define STB_IMAGE_IMPLEMENTATION
#define STBI_ONLY_PNG
#define STBI_MALLOC(size) calloc(1, size)
#define STBI_REALLOC(p, size) realloc(p, size)
#define STBI_FREE(p) free(p)
#include <stb/stb_image.h>
#define STB_IMAGE_WRITE_IMPLEMENTATION
#include <stb/stb_image_write.h>
#define CGD_IMPLEMENTATION
#define CGD_JUDGE_IMPLEMENTATION
#define CGD_PICTURES_IMPLEMENTATION
#include "cgd_judge.h"
#include "cgd_pictures.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Answers without learning reach 17 dB and .54: see the table. */
#define TEACHER_PSNR 22.0
#define TEACHER_SSIM 0.70
#define STUDENT_TO_TEACHER 30.0     /* dB */
#define STUDENT_LOSS 0.5            /* dB that it may be farther from truth */

/* ======================================================================== */
/* Pictures                                                                 */
/* ======================================================================== */

static cgd_ctx ctx;

/* A demo has no use for half a result: say what is wrong and end. */
static void need(cgd_status status)
{
    if (status == CGD_OK) return;
    fprintf(stderr, "demo: %s\n", cgd_message(&ctx, status));
    exit(EXIT_FAILURE);
}

static void need_that(int condition, const char *sentence)
{
    if (condition) return;
    fprintf(stderr, "demo: %s\n", sentence);
    exit(EXIT_FAILURE);
}

/* Pictures of one size, in the order of their names. */
typedef struct gallery {
    size_t count, w, h;
    unsigned char **rgb;
} gallery;

static gallery gallery_new(size_t count, size_t w, size_t h)
{
    gallery g;
    size_t i;
    g.count = count;
    g.w = w;
    g.h = h;
    g.rgb = (unsigned char **)malloc(count * sizeof *g.rgb);
    need_that(g.rgb != NULL, "out of memory");
    for (i = 0; i < count; i++) {
        g.rgb[i] = (unsigned char *)malloc(w * h * 3);
        need_that(g.rgb[i] != NULL, "out of memory");
    }
    return g;
}

static void gallery_free(gallery *g)
{
    size_t i;
    for (i = 0; i < g->count; i++) free(g->rgb[i]);
    free(g->rgb);
}

static gallery gallery_load(const char *root, const char *folder)
{
    gallery g;
    cgd_listing list;
    cgd_image image;
    char path[CGD_PATH_ROOM];
    size_t i;
    memset(&g, 0, sizeof g);
    need_that(cgd_path_join(path, root, folder),
              "the path of the data is too long");
    need(cgd_list_pictures(&ctx, &list, path, 0));
    need_that(list.count > 0, "a folder of the data has no pictures");
    for (i = 0; i < list.count; i++) {
        need(cgd_image_load(&ctx, &image, list.paths[i], 3));
        if (i == 0) g = gallery_new(list.count, image.w, image.h);
        need_that(image.w == g.w && image.h == g.h,
                  "the pictures of a folder differ in size");
        memcpy(g.rgb[i], image.data, g.w * g.h * 3);
        cgd_image_free(&ctx, &image);
    }
    cgd_listing_free(&ctx, &list);
    return g;
}

/* ======================================================================== */
/* Answers that need no learning                                            */
/* ======================================================================== */

/* Always the same picture: the mean of the training pictures of B. */
static gallery answer_mean(const gallery *input, const gallery *train_b)
{
    gallery g = gallery_new(input->count, input->w, input->h);
    size_t bytes = g.w * g.h * 3, i, k;
    for (k = 0; k < bytes; k++) {
        double sum = 0.0;
        for (i = 0; i < train_b->count; i++) sum += train_b->rgb[i][k];
        for (i = 0; i < g.count; i++)
            g.rgb[i][k] = (unsigned char)(sum / (double)train_b->count + 0.5);
    }
    return g;
}

typedef struct matrix { double at[3][3]; } matrix;

static matrix multiply(const matrix *a, const matrix *b)
{
    matrix m;
    int i, j, k;
    for (i = 0; i < 3; i++)
    for (j = 0; j < 3; j++) {
        m.at[i][j] = 0.0;
        for (k = 0; k < 3; k++) m.at[i][j] += a->at[i][k] * b->at[k][j];
    }
    return m;
}

/* Jacobi's method: turn the plane of rows i and j until a[i][j] is zero; the
 * columns of v become the eigenvectors, the diagonal of a the eigenvalues. */
static void jacobi_turn(matrix *a, matrix *v, int i, int j)
{
    double angle = 0.5 * atan2(2.0 * a->at[i][j], a->at[j][j] - a->at[i][i]);
    double c = cos(angle), s = sin(angle);
    int k;
    for (k = 0; k < 3; k++) {
        double p = a->at[k][i], q = a->at[k][j];
        a->at[k][i] = c * p - s * q;
        a->at[k][j] = s * p + c * q;
    }
    for (k = 0; k < 3; k++) {
        double p = a->at[i][k], q = a->at[j][k];
        a->at[i][k] = c * p - s * q;
        a->at[j][k] = s * p + c * q;
    }
    for (k = 0; k < 3; k++) {
        double p = v->at[k][i], q = v->at[k][j];
        v->at[k][i] = c * p - s * q;
        v->at[k][j] = s * p + c * q;
    }
}

/* A symmetric positive matrix to the power 1/2 or -1/2. */
static matrix matrix_power(matrix a, double power)
{
    matrix v = { { { 1, 0, 0 }, { 0, 1, 0 }, { 0, 0, 1 } } }, m;
    int sweep, i, j, k;
    for (sweep = 0; sweep < 20; sweep++) {
        jacobi_turn(&a, &v, 0, 1);
        jacobi_turn(&a, &v, 0, 2);
        jacobi_turn(&a, &v, 1, 2);
    }
    for (i = 0; i < 3; i++)
    for (j = 0; j < 3; j++) {
        m.at[i][j] = 0.0;
        for (k = 0; k < 3; k++)
            m.at[i][j] += v.at[i][k] * pow(a.at[k][k], power) * v.at[j][k];
    }
    return m;
}

/* The mean colour of all pixels and its covariance. */
static matrix colours(const gallery *g, double mean[3])
{
    double pixels = (double)(g->count * g->w * g->h);
    size_t i, k, c, d;
    matrix m;
    memset(&m, 0, sizeof m);
    for (c = 0; c < 3; c++) mean[c] = 0.0;
    for (i = 0; i < g->count; i++)
        for (k = 0; k < g->w * g->h * 3; k += 3)
            for (c = 0; c < 3; c++) mean[c] += g->rgb[i][k + c] / pixels;
    for (i = 0; i < g->count; i++)
        for (k = 0; k < g->w * g->h * 3; k += 3)
            for (c = 0; c < 3; c++)
            for (d = 0; d < 3; d++)
                m.at[c][d] += (g->rgb[i][k + c] - mean[c]) *
                              (g->rgb[i][k + d] - mean[d]) / pixels;
    return m;
}

/* The best linear map of colours that unpaired pictures can tell: of all that
 * give A the mean and covariance of B, the one that moves colours least
 * (optimal transport between Gaussians, Olkin & Pukelsheim 1982),
 *
 *   M = Ca^-1/2 (Ca^1/2 Cb Ca^1/2)^1/2 Ca^-1/2,   y = mean_b + M (x - mean_a) */
static gallery answer_colours(const gallery *input, const gallery *train_a,
                              const gallery *train_b)
{
    gallery g = gallery_new(input->count, input->w, input->h);
    double mean_a[3], mean_b[3];
    matrix ca = colours(train_a, mean_a), cb = colours(train_b, mean_b);
    matrix root = matrix_power(ca, 0.5), inverse = matrix_power(ca, -0.5);
    matrix m = multiply(&root, &cb);
    size_t i, k, c, d;
    m = multiply(&m, &root);
    m = matrix_power(m, 0.5);
    m = multiply(&m, &inverse);
    m = multiply(&inverse, &m);
    for (i = 0; i < g.count; i++)
        for (k = 0; k < g.w * g.h * 3; k += 3)
            for (c = 0; c < 3; c++) {
                double y = mean_b[c] + 0.5;
                for (d = 0; d < 3; d++)
                    y += m.at[c][d] * (input->rgb[i][k + d] - mean_a[d]);
                g.rgb[i][k + c] = (unsigned char)(y < 0 ? 0 : y > 255 ? 255
                                                                      : y);
            }
    return g;
}

/* ======================================================================== */
/* Answers of the networks                                                  */
/* ======================================================================== */

/* One line of the table. */
typedef struct row {
    const char *name, *text;
    gallery pictures;
    double psnr, ssim, psnr_teacher, ssim_teacher;
    double params, macs, ms;            /* networks only */
} row;

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* The median time of translating one picture, in milliseconds. */
static double measure_ms(cgd_model *model, const gallery *input,
                         void *workspace, size_t bytes)
{
    enum { TIMES = 101 };
    double ms[TIMES];
    unsigned char *out = (unsigned char *)malloc(input->w * input->h * 3);
    size_t i;
    need_that(out != NULL, "out of memory");
    for (i = 0; i < TIMES; i++) {
        double start = seconds();
        need(cgd_translate(model, out, input->rgb[i % input->count],
                           input->w, input->h, workspace, bytes));
        ms[i] = (seconds() - start) * 1000.0;
    }
    free(out);
    qsort(ms, TIMES, sizeof *ms, compare_doubles);
    return ms[TIMES / 2];
}

/* Translate all pictures by a model file. */
static void answer_network(row *r, const gallery *input, const char *path)
{
    cgd_model model;
    cgd_cost cost;
    void *workspace;
    size_t bytes, i;
    need(cgd_model_load(&ctx, &model, path));
    bytes = cgd_model_workspace(&model, input->w, input->h);
    workspace = malloc(bytes);
    need_that(workspace != NULL, "out of memory");
    r->pictures = gallery_new(input->count, input->w, input->h);
    for (i = 0; i < input->count; i++)
        need(cgd_translate(&model, r->pictures.rgb[i], input->rgb[i],
                           input->w, input->h, workspace, bytes));
    cost = cgd_net_cost(&model.net, input->h, input->w);
    r->params = (double)cost.params;
    r->macs = cost.macs;
    r->ms = measure_ms(&model, input, workspace, bytes);
    free(workspace);
    cgd_model_free(&model);
}

/* ======================================================================== */
/* The table                                                                */
/* ======================================================================== */

enum { ROW_INPUT, ROW_MEAN, ROW_COLOUR, ROW_TEACHER, ROW_STUDENT, ROWS };

/* Means over the pictures, each against its own counterpart. */
static void compare(const gallery *a, const gallery *b, double *psnr,
                    double *ssim)
{
    size_t i;
    *psnr = *ssim = 0.0;
    for (i = 0; i < a->count; i++) {
        *psnr += cgd_psnr(a->rgb[i], b->rgb[i], a->w, a->h, 3);
        *ssim += cgd_ssim(&ctx, a->rgb[i], b->rgb[i], a->w, a->h, 3);
    }
    *psnr /= (double)a->count;
    *ssim /= (double)a->count;
}

static void print_table(const row *rows)
{
    int i;
    printf("\n%-28s%16s%18s\n", "", "to the truth", "to the teacher");
    printf("%-28s%8s%8s%10s%8s%12s%8s%8s\n", "", "PSNR", "SSIM", "PSNR",
           "SSIM", "parameters", "MMACs", "ms");
    for (i = 0; i < ROWS; i++) {
        const row *r = &rows[i];
        printf("%-28s%8.2f%8.3f", r->text, r->psnr, r->ssim);
        if (i == ROW_TEACHER) printf("%10s%8s", "-", "-");
        else printf("%10.2f%8.3f", r->psnr_teacher, r->ssim_teacher);
        if (r->params > 0.0)
            printf("%12.0f%8.1f%8.2f\n", r->params, r->macs / 1e6, r->ms);
        else
            printf("%12s%8s%8s\n", "-", "-", "-");
    }
    printf("\n");
}

/* Zeros where there is no network to count; the teacher is equal to itself,
 * which cgd_psnr calls 99 dB. */
static void write_csv(const row *rows, const char *path)
{
    cgd_output out;
    int i;
    need(cgd_output_open(&ctx, &out, path));
    fprintf(out.stream,
            "row,psnr,ssim,psnr_teacher,ssim_teacher,params,macs,ms\n");
    for (i = 0; i < ROWS; i++) {
        const row *r = &rows[i];
        fprintf(out.stream, "%s,%.3f,%.4f,%.3f,%.4f,%.0f,%.0f,%.3f\n", r->name,
                r->psnr, r->ssim, r->psnr_teacher, r->ssim_teacher,
                r->params, r->macs, r->ms);
    }
    need(cgd_output_close(&out));
}

/* ======================================================================== */
/* The sheet                                                                */
/* ======================================================================== */

enum { SCALE = 3, GAP = 10, HEAD = 32, LETTER = 2, SHOWN = 6 };

/* Letters of 5 x 7 dots, a byte a row, only those of the headings. */
static const struct { char name; unsigned char dots[7]; } letters[] = {
    { 'A', { 0x0e, 0x11, 0x11, 0x1f, 0x11, 0x11, 0x11 } },
    { 'C', { 0x0e, 0x11, 0x10, 0x10, 0x10, 0x11, 0x0e } },
    { 'D', { 0x1e, 0x11, 0x11, 0x11, 0x11, 0x11, 0x1e } },
    { 'E', { 0x1f, 0x10, 0x10, 0x1e, 0x10, 0x10, 0x1f } },
    { 'H', { 0x11, 0x11, 0x11, 0x1f, 0x11, 0x11, 0x11 } },
    { 'I', { 0x0e, 0x04, 0x04, 0x04, 0x04, 0x04, 0x0e } },
    { 'N', { 0x11, 0x11, 0x19, 0x15, 0x13, 0x11, 0x11 } },
    { 'P', { 0x1e, 0x11, 0x11, 0x1e, 0x10, 0x10, 0x10 } },
    { 'R', { 0x1e, 0x11, 0x11, 0x1e, 0x14, 0x12, 0x11 } },
    { 'S', { 0x0f, 0x10, 0x10, 0x0e, 0x01, 0x01, 0x1e } },
    { 'T', { 0x1f, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04 } },
    { 'U', { 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x0e } }
};

static void fill(cgd_image *sheet, size_t x, size_t y, size_t w, size_t h,
                 int grey)
{
    size_t i;
    for (i = 0; i < h; i++)
        memset(sheet->data + ((y + i) * sheet->w + x) * 3, grey, w * 3);
}

/* Write a word with its middle at x. */
static void write_word(cgd_image *sheet, size_t x, size_t y,
                       const char *word)
{
    size_t i, k, u, v;
    x -= (strlen(word) * 6 - 1) * LETTER / 2;
    for (i = 0; word[i]; i++)
        for (k = 0; k < sizeof letters / sizeof *letters; k++)
            if (letters[k].name == word[i])
                for (v = 0; v < 7; v++)
                for (u = 0; u < 5; u++)
                    if (letters[k].dots[v] >> (4 - u) & 1)
                        fill(sheet, x + (i * 6 + u) * LETTER, y + v * LETTER,
                             LETTER, LETTER, 60);
}

/* Put a picture into the sheet, enlarged, with a thin frame. */
static void place(cgd_image *sheet, size_t x, size_t y,
                  const unsigned char *rgb, size_t w, size_t h)
{
    size_t i, j;
    fill(sheet, x - 1, y - 1, w * SCALE + 2, h * SCALE + 2, 60);
    for (i = 0; i < h * SCALE; i++)
        for (j = 0; j < w * SCALE; j++)
            memcpy(sheet->data + ((y + i) * sheet->w + x + j) * 3,
                   rgb + (i / SCALE * w + j / SCALE) * 3, 3);
}

/* Every so manieth test picture, not the best ones. */
static void write_sheet(const row *rows, const gallery *truth,
                        const char *path)
{
    const gallery *column[4];
    static const char *const heading[4] = { "INPUT", "TEACHER", "STUDENT",
                                            "TRUTH" };
    size_t w = truth->w, h = truth->h, i, k;
    size_t shown = truth->count < SHOWN ? truth->count : (size_t)SHOWN;
    size_t step_x = w * SCALE + GAP, step_y = h * SCALE + GAP;
    cgd_image sheet;
    column[0] = &rows[ROW_INPUT].pictures;
    column[1] = &rows[ROW_TEACHER].pictures;
    column[2] = &rows[ROW_STUDENT].pictures;
    column[3] = truth;
    need(cgd_image_init(&ctx, &sheet, 4 * step_x + GAP,
                        HEAD + shown * step_y, 3));
    fill(&sheet, 0, 0, sheet.w, sheet.h, 255);
    for (k = 0; k < 4; k++) {
        size_t x = GAP + k * step_x;
        write_word(&sheet, x + w * SCALE / 2, (HEAD - 7 * LETTER) / 2,
                   heading[k]);
        for (i = 0; i < shown; i++)
            place(&sheet, x, HEAD + i * step_y,
                  column[k]->rgb[i * truth->count / shown], w, h);
    }
    need(cgd_image_save(&ctx, &sheet, path));
    cgd_image_free(&ctx, &sheet);
}

/* ======================================================================== */
/* The verdict                                                              */
/* ======================================================================== */

/* Say whether a value is above its bound; return 1 if not. */
static int judge(const char *what, double value, double bound)
{
    int kept = value >= bound;
    printf("%s  %s: %.3f, at least %.3f wanted\n",
           kept ? "passed" : "FAILED", what, value, bound);
    return !kept;
}

static int judge_all(const row *teacher, const row *student)
{
    int broken = 0;
    broken += judge("teacher to the truth, PSNR", teacher->psnr,
                    TEACHER_PSNR);
    broken += judge("teacher to the truth, SSIM", teacher->ssim,
                    TEACHER_SSIM);
    broken += judge("student to the teacher, PSNR", student->psnr_teacher,
                    STUDENT_TO_TEACHER);
    broken += judge("student to the truth, PSNR", student->psnr,
                    teacher->psnr - STUDENT_LOSS);
    printf(broken ? "The demo FAILED: %d of 4 bounds are broken.\n"
                  : "The demo passed.\n", broken);
    return broken;
}

int main(int argc, char **argv)
{
    static const char *const names[ROWS][2] = {
        { "input",   "input, copied" },
        { "mean",    "mean picture of training B" },
        { "colour",  "best global colour map" },
        { "teacher", "teacher" },
        { "student", "student" }
    };
    static row rows[ROWS];              /* all zero */
    gallery train_a, train_b, truth;
    char path[CGD_PATH_ROOM];
    int i, broken;
    if (argc != 5) {
        fprintf(stderr, "usage: demo_report DATA TEACHER STUDENT OUT\n");
        return EXIT_FAILURE;
    }
    cgd_init(&ctx, NULL);
    cgd_use_pictures(&ctx);
    train_a = gallery_load(argv[1], "trainA");
    train_b = gallery_load(argv[1], "trainB");
    truth = gallery_load(argv[1], "testB");
    rows[ROW_INPUT].pictures = gallery_load(argv[1], "testA");
    need_that(truth.count == rows[ROW_INPUT].pictures.count &&
              truth.w == rows[ROW_INPUT].pictures.w &&
              truth.h == rows[ROW_INPUT].pictures.h,
              "testA and testB do not belong together");
    need_that(truth.w == train_b.w && truth.h == train_b.h,
              "trainB and testB differ in size");

    rows[ROW_MEAN].pictures = answer_mean(&rows[ROW_INPUT].pictures,
                                          &train_b);
    rows[ROW_COLOUR].pictures = answer_colours(&rows[ROW_INPUT].pictures,
                                               &train_a, &train_b);
    answer_network(&rows[ROW_TEACHER], &rows[ROW_INPUT].pictures, argv[2]);
    answer_network(&rows[ROW_STUDENT], &rows[ROW_INPUT].pictures, argv[3]);
    for (i = 0; i < ROWS; i++) {
        row *r = &rows[i];
        r->name = names[i][0];
        r->text = names[i][1];
        compare(&r->pictures, &truth, &r->psnr, &r->ssim);
        compare(&r->pictures, &rows[ROW_TEACHER].pictures, &r->psnr_teacher,
                &r->ssim_teacher);
    }
    print_table(rows);
    need_that(cgd_path_join(path, argv[4], "metrics.csv"),
              "the path of the results is too long");
    write_csv(rows, path);
    cgd_path_join(path, argv[4], "sheet.png");
    write_sheet(rows, &truth, path);
    broken = judge_all(&rows[ROW_TEACHER], &rows[ROW_STUDENT]);

    for (i = 0; i < ROWS; i++) gallery_free(&rows[i].pictures);
    gallery_free(&train_a);
    gallery_free(&train_b);
    gallery_free(&truth);
    cgd_free(&ctx);
    need_that(fflush(stdout) == 0 && !ferror(stdout),
              "standard output cannot be written");
    return broken ? EXIT_FAILURE : EXIT_SUCCESS;
}
