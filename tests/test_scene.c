/* tools/scene.h: the same pictures everywhere, and what the demo relies on.
 *
 * The hashes were computed once with gcc on x86-64 and are the same with
 * clang and without optimisation; a change of the pictures is a change of
 * everything that was ever measured on them. */
#include "test.h"
#include "../tools/scene.h"
#include <stdlib.h>
#include <string.h>

static unsigned char day[512 * 512 * 3], dusk[512 * 512 * 3];

/* Fowler, Noll and Vo's hash FNV-1a. */
static unsigned long fnv1a(const unsigned char *bytes, size_t n)
{
    unsigned long hash = 2166136261UL;
    size_t i;
    for (i = 0; i < n; i++)
        hash = ((hash ^ bytes[i]) * 16777619UL) & 0xffffffffUL;
    return hash;
}

static void pictures_are_the_same_everywhere(void)
{
    static const struct { int size; unsigned long day, dusk; } known[] = {
        {  32, 0x6fab8cc1UL, 0x21614334UL },
        {  64, 0x92712f25UL, 0xef88587dUL },
        {  96, 0x92e0b78eUL, 0x1fad7565UL },
        { 128, 0xea418ea6UL, 0x4f43ec28UL },
        { 512, 0x7f350cb2UL, 0x15c1062fUL }
    };
    size_t i;
    for (i = 0; i < sizeof known / sizeof *known; i++) {
        size_t bytes = (size_t)known[i].size * (size_t)known[i].size * 3;
        scene_draw(scene_seed(1UL, SCENE_TEST, 0UL), known[i].size, day, dusk);
        CHECK(fnv1a(day, bytes) == known[i].day);
        CHECK(fnv1a(dusk, bytes) == known[i].dusk);
    }
}

static void seeds_are_the_same_everywhere(void)
{
    CHECK(scene_seed(1UL, SCENE_TRAIN_A, 0UL) == 0x31398581UL);
    CHECK(scene_seed(1UL, SCENE_TRAIN_B, 0UL) == 0x71398581UL);
    CHECK(scene_seed(1UL, SCENE_TEST, 0UL) == 0xb1398581UL);
}

static int compare_seeds(const void *a, const void *b)
{
    unsigned long x = *(const unsigned long *)a;
    unsigned long y = *(const unsigned long *)b;
    return x < y ? -1 : x > y;
}

static void splits_share_no_scene(void)
{
    static unsigned long seed[3 * 5000];
    size_t n = 0, same = 0, i;
    int split;
    for (split = SCENE_TRAIN_A; split <= SCENE_TEST; split++)
        for (i = 0; i < 5000; i++)
            seed[n++] = scene_seed(1UL, split, (unsigned long)i);
    qsort(seed, n, sizeof *seed, compare_seeds);
    for (i = 1; i < n; i++) same += seed[i] == seed[i - 1];
    CHECK(same == 0);
}

static void another_base_is_another_data_set(void)
{
    size_t bytes = 64 * 64 * 3;
    unsigned long one;
    scene_draw(scene_seed(1UL, SCENE_TEST, 0UL), 64, day, NULL);
    one = fnv1a(day, bytes);
    scene_draw(scene_seed(2UL, SCENE_TEST, 0UL), 64, day, NULL);
    CHECK(fnv1a(day, bytes) != one);
}

static void either_look_can_be_left_out(void)
{
    size_t bytes = 64 * 64 * 3;
    unsigned long seed = scene_seed(1UL, SCENE_TEST, 0UL);
    memset(day, 0, bytes);
    memset(dusk, 0, bytes);
    scene_draw(seed, 64, day, NULL);
    scene_draw(seed, 64, NULL, dusk);
    CHECK(fnv1a(day, bytes) == 0x92712f25UL);
    CHECK(fnv1a(dusk, bytes) == 0xef88587dUL);
    scene_draw(seed, 64, NULL, NULL);
}

static void nothing_is_written_past_the_end(void)
{
    int size;
    for (size = 1; size <= 33; size += 4) {
        size_t bytes = (size_t)size * (size_t)size * 3;
        day[bytes] = dusk[bytes] = 77;
        scene_draw(scene_seed(1UL, SCENE_TEST, 7UL), size, day, dusk);
        CHECK(day[bytes] == 77 && dusk[bytes] == 77);
    }
}

/* Level strokes would give the same mean for all phases of (x+y); the near
 * hills, at the bottom of the picture, have rising ones. */
static void strokes_have_a_period_of_four_pixels(void)
{
    double sum_day[4] = { 0, 0, 0, 0 }, sum_dusk[4] = { 0, 0, 0, 0 };
    static const double expected[4] = { 102, 71, 41, 71 };
    double pixels = 200.0 * 64.0;       /* of each phase, in four rows */
    int scene, x, y, k;
    for (scene = 0; scene < 200; scene++) {
        scene_draw(scene_seed(1UL, SCENE_TEST, (unsigned long)scene), 64,
                   day, dusk);
        for (y = 60; y < 64; y++)
        for (x = 0; x < 64; x++) {
            sum_day[(x + y) % 4] += day[(y * 64 + x) * 3];
            sum_dusk[(x + y) % 4] += dusk[(y * 64 + x) * 3];
        }
    }
    for (k = 0; k < 4; k++) {
        CHECK_NEAR(sum_day[k] / pixels, 85.0, 2.0);
        CHECK_NEAR(sum_dusk[k] / pixels, expected[k], 2.0);
    }
}

int main(void)
{
    RUN(pictures_are_the_same_everywhere);
    RUN(seeds_are_the_same_everywhere);
    RUN(splits_share_no_scene);
    RUN(another_base_is_another_data_set);
    RUN(either_look_can_be_left_out);
    RUN(nothing_is_written_past_the_end);
    RUN(strokes_have_a_period_of_four_pixels);
    return test_end();
}
