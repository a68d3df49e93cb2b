/* scene.h: a generator of landscapes in two appearances, for demo and tests
 *
 *     unsigned char day[64 * 64 * 3], dusk[64 * 64 * 3];
 *     scene_draw(scene_seed(1UL, SCENE_TEST, 0UL), 64, day, dusk);
 *
 * Domain A is a landscape in daylight, domain B the same place as a painting
 * of dusk: other colours, and brush strokes whose direction depends on what
 * they cover. A seed fixes the geometry, so a test picture has a true
 * counterpart, which real unpaired data never have. No colour map gets from
 * A to B: the strokes need to know what a pixel belongs to.
 *
 * The strokes repeat every four pixels and are tied to the grid of the
 * finished picture. The generator networks halve the picture twice, so the
 * phase of a stroke is a constant of each of their cells, which they can
 * learn exactly; with a random phase, a comparison with the truth would mean
 * little. Flips and crops break this, so train without.
 *
 * Lengths are in units of 1/64 of the picture's side, x to the right and y
 * down; colours are 0..255. There are no globals, no allocation, no library
 * calls. The arithmetic is that of 32-bit integers and of doubles with
 * + - * / only. Plain colours stay whole numbers throughout, so that their
 * averages round the same way everywhere; on all others, the last bit of a
 * double decides a byte too seldom to be met.
 *
 * Contents: [seed] [noise] [colour] [plan] [paint] [draw]                   */

#ifndef SCENE_H
#define SCENE_H

/* ======================================================================== */
/* [seed] Seeds and random numbers                                          */
/* ======================================================================== */

/* What a picture is for: see scene_seed. */
enum { SCENE_TRAIN_A, SCENE_TRAIN_B, SCENE_TEST };

/* Scramble 32 bits; one to one. The finaliser of MurmurHash3 (A. Appleby). */
static unsigned long scene_hash(unsigned long v)
{
    v &= 0xffffffffUL;
    v ^= v >> 16;
    v = (v * 0x85ebca6bUL) & 0xffffffffUL;
    v ^= v >> 13;
    v = (v * 0xc2b2ae35UL) & 0xffffffffUL;
    return v ^ (v >> 16);
}

/* The seed of picture number index (below 2^30) of a split.
 *
 * For one base the result is one to one in (split, index): the three splits
 * share no scene, which is what makes the training sets unpaired and the
 * test set unseen. Another base gives another data set. */
static unsigned long scene_seed(unsigned long base, int split,
                                unsigned long index)
{
    unsigned long number = ((unsigned long)split << 30) | index;
    return scene_hash(base + 0x5ce9eUL) ^ (number & 0xffffffffUL);
}

typedef struct scene_rng {
    unsigned long seed, count;
} scene_rng;

/* The next 32 random bits: a hashed counter. */
static unsigned long scene_bits(scene_rng *rng)
{
    rng->count++;
    return scene_hash(scene_hash(rng->seed) + rng->count * 0x9e3779b9UL);
}

/* 32 bits as a number in [0, 1); 24 of them are kept. */
static double scene_unit(unsigned long bits)
{
    return (double)(bits >> 8) / 16777216.0;
}

/* A random number in [low, high). Call it once a statement: C does not say
 * which of two calls in one expression comes first. */
static double scene_uniform(scene_rng *rng, double low, double high)
{
    return low + (high - low) * scene_unit(scene_bits(rng));
}

/* A random whole number in low..high. */
static int scene_integer(scene_rng *rng, int low, int high)
{
    return (int)scene_uniform(rng, (double)low, (double)high + 1.0);
}

/* ======================================================================== */
/* [noise] Value noise                                                      */
/* ======================================================================== */

static double scene_clip(double v, double low, double high)
{
    return v < low ? low : v > high ? high : v;
}

/* The random value in [0, 1) at a corner of the integer grid. */
static double scene_corner(unsigned long seed, unsigned long i,
                           unsigned long j)
{
    return scene_unit(scene_hash(scene_hash(seed + i) + j * 0x9e3779b9UL));
}

/* Value noise at x, y >= 0: the four corners around, blended smoothly. */
static double scene_noise(unsigned long seed, double x, double y)
{
    unsigned long i = (unsigned long)x, j = (unsigned long)y;
    double fx = x - (double)i, fy = y - (double)j;
    double wx = fx * fx * (3.0 - 2.0 * fx);
    double wy = fy * fy * (3.0 - 2.0 * fy);
    double a = scene_corner(seed, i, j);
    double b = scene_corner(seed, i + 1, j);
    double c = scene_corner(seed, i, j + 1);
    double d = scene_corner(seed, i + 1, j + 1);
    double top = a + (b - a) * wx, bottom = c + (d - c) * wx;
    return top + (bottom - top) * wy;
}

/* Fractal noise in [0, 1): octaves of doubled frequency and halved weight. */
static double scene_fbm(unsigned long seed, int octaves, double x, double y)
{
    double sum = 0.0, weights = 0.0, weight = 1.0, frequency = 1.0;
    int k;
    for (k = 0; k < octaves; k++) {
        sum += weight * scene_noise(seed + (unsigned long)k * 0x10001UL,
                                    x * frequency, y * frequency);
        weights += weight;
        weight *= 0.5;
        frequency *= 2.0;
    }
    return sum / weights;
}

/* ======================================================================== */
/* [colour] The two palettes and the brush                                  */
/* ======================================================================== */

enum { SCENE_DAY, SCENE_DUSK, SCENE_LOOKS };

enum {
    SCENE_SKY_TOP, SCENE_SKY_MIDDLE, SCENE_SKY_LOW, SCENE_SUN, SCENE_CLOUD,
    SCENE_PEAK, SCENE_SLOPE, SCENE_SNOW, SCENE_HILL_FAR, SCENE_HILL_NEAR,
    SCENE_SHORE, SCENE_WATER_FAR, SCENE_WATER_NEAR,
    SCENE_WALL, SCENE_ROOF, SCENE_WINDOW,
    SCENE_TRUNK, SCENE_LEAF_DARK, SCENE_LEAF_LIT, SCENE_COLOURS
};

/* Red, green and blue by day and at dusk, in the order of the enum. The day's
 * sun is golden: a pale one is too like a cloud, and learnt as one. The day's
 * sky does not use its middle. */
static const double scene_palette[SCENE_COLOURS][SCENE_LOOKS][3] = {
    { {  70, 135, 220 }, {  62,  44, 110 } },   /* sky: top           */
    { { 138, 182, 233 }, { 205,  84, 110 } },   /*      middle        */
    { { 205, 228, 245 }, { 255, 178,  88 } },   /*      low           */
    { { 255, 212,  64 }, { 255,  92,  58 } },   /* sun                */
    { { 252, 252, 252 }, { 236, 132, 138 } },   /* cloud              */
    { { 104, 118, 140 }, {  98,  58, 118 } },   /* mountain: peak     */
    { { 150, 165, 178 }, { 158,  84, 118 } },   /*           slope    */
    { { 246, 248, 252 }, { 250, 186, 170 } },   /* snow               */
    { { 126, 178,  76 }, { 128,  62,  62 } },   /* hills: far         */
    { {  84, 142,  58 }, {  64,  36,  66 } },   /*        near        */
    { { 214, 196, 150 }, { 150,  84,  70 } },   /* shore              */
    { { 128, 178, 216 }, { 255, 168,  96 } },   /* lake: far          */
    { {  44,  96, 160 }, { 150,  66, 108 } },   /*       near         */
    { { 240, 226, 204 }, { 112,  72,  92 } },   /* house: wall        */
    { { 196,  70,  50 }, {  70,  30,  52 } },   /*        roof        */
    { {  62,  72,  92 }, { 255, 226, 110 } },   /*        window, lit */
    { { 104,  72,  48 }, {  34,  20,  34 } },   /* tree: trunk        */
    { {  22,  72,  40 }, {  26,  18,  44 } },   /*       dark leaves  */
    { {  62, 124,  54 }, {  64,  30,  50 } }    /*       lit leaves   */
};

/* Directions of the brush strokes, as one sees them in the picture. */
enum { SCENE_LEVEL, SCENE_UPRIGHT, SCENE_RISING, SCENE_FALLING };

/* One sample of the picture, in both looks, while it is painted. */
typedef struct scene_dot {
    double rgb[SCENE_LOOKS][3];
    double stroke;                  /* height of the stroke's crest, 0..255 */
    int direction;
} scene_dot;

/* Blend paint of a colour over the dot: amount 0 leaves it, 1 covers it. */
static void scene_blend(scene_dot *dot, int look, int colour, double amount)
{
    double t = scene_clip(amount, 0.0, 1.0);
    double *rgb = dot->rgb[look];
    int c;
    for (c = 0; c < 3; c++)
        rgb[c] += (scene_palette[colour][look][c] - rgb[c]) * t;
}

/* Cover the dot with one colour and no strokes, in both looks. */
static void scene_cover(scene_dot *dot, int colour)
{
    int look, c;
    for (look = 0; look < SCENE_LOOKS; look++)
        for (c = 0; c < 3; c++)
            dot->rgb[look][c] = scene_palette[colour][look][c];
    dot->stroke = 0.0;
}

/* Cover the dot with the colour t of the way between two, t clipped. */
static void scene_gradient(scene_dot *dot, int from, int to, double t)
{
    scene_cover(dot, from);
    scene_blend(dot, SCENE_DAY, to, t);
    scene_blend(dot, SCENE_DUSK, to, t);
}

/* Make all three channels of a look lighter or darker. */
static void scene_lighten(scene_dot *dot, int look, double amount)
{
    int c;
    for (c = 0; c < 3; c++) dot->rgb[look][c] += amount;
}

/* The profile of the strokes at a pixel of the finished picture: crest,
 * paper, groove, paper. Minus y is 3y, as the period is four. */
static double scene_profile(int direction, int x, int y)
{
    static const double wave[4] = { 1.0, 0.0, -1.0, 0.0 };
    switch (direction) {
    case SCENE_LEVEL:   return wave[y % 4];
    case SCENE_UPRIGHT: return wave[x % 4];
    case SCENE_RISING:  return wave[(x + y) % 4];
    default:            return wave[(x + 3 * y) % 4];
    }
}

/* ======================================================================== */
/* [plan] What stands where                                                 */
/* ======================================================================== */

enum { SCENE_MAX_HOUSES = 2, SCENE_MAX_TREES = 8 };

typedef struct scene_house {
    double x, foot, width, height;  /* of the walls; x is the middle */
} scene_house;

typedef struct scene_tree {
    double x, foot;
    double depth;                   /* of the foot below the hills' edge */
    double size;
    int is_fir;
} scene_tree;

typedef struct scene_plan {
    double horizon;
    double ridge_height, ridge_shift;
    double hill_drop, hill_height, hill_shift;
    double sun_x, sun_y, sun_radius;
    double cloud_shift, cloud_cover;
    int has_lake;
    double lake_x, lake_y, lake_rx, lake_ry;
    scene_house house[SCENE_MAX_HOUSES];
    scene_tree tree[SCENE_MAX_TREES];
    int houses, trees;
    unsigned long ridge_noise, hill_noise, cloud_noise, shade_noise,
                  lake_noise;       /* seeds */
} scene_plan;

/* The height of the mountains' upper edge at x. */
static double scene_ridge(const scene_plan *p, double x)
{
    double n = scene_fbm(p->ridge_noise, 3, x / 18.0 + p->ridge_shift, 0.0);
    return p->horizon - p->ridge_height * (1.6 * n - 0.45);
}

/* The height of the hills' upper edge at x. */
static double scene_hill(const scene_plan *p, double x)
{
    double n = scene_fbm(p->hill_noise, 2, x / 26.0 + p->hill_shift, 0.0);
    return p->horizon + p->hill_drop - p->hill_height * (n - 0.5);
}

/* How far from the lake: below 1 inside its ellipse, above 1 outside. */
static double scene_lake_level(const scene_plan *p, double x, double y)
{
    double dx = (x - p->lake_x) / p->lake_rx;
    double dy = (y - p->lake_y) / p->lake_ry;
    return dx * dx + dy * dy;
}

static void scene_plan_land(scene_plan *p, scene_rng *rng)
{
    p->horizon = scene_uniform(rng, 21.0, 37.0);
    p->ridge_height = scene_uniform(rng, 6.0, 17.0);
    p->ridge_shift = scene_uniform(rng, 0.0, 100.0);
    p->hill_drop = scene_uniform(rng, 1.0, 6.0);
    p->hill_height = scene_uniform(rng, 5.0, 14.0);
    p->hill_shift = scene_uniform(rng, 0.0, 100.0);
    p->ridge_noise = scene_bits(rng);
    p->hill_noise = scene_bits(rng);
    p->shade_noise = scene_bits(rng);
}

static void scene_plan_sky(scene_plan *p, scene_rng *rng)
{
    p->sun_x = scene_uniform(rng, 8.0, 56.0);
    p->sun_y = scene_uniform(rng, 6.0, p->horizon - 10.0);
    p->sun_radius = scene_uniform(rng, 4.0, 6.0);
    p->cloud_shift = scene_uniform(rng, 0.0, 100.0);
    p->cloud_cover = scene_uniform(rng, 0.5, 0.6);
    p->cloud_noise = scene_bits(rng);
}

static void scene_plan_lake(scene_plan *p, scene_rng *rng)
{
    p->has_lake = scene_uniform(rng, 0.0, 1.0) < 0.7;
    p->lake_rx = scene_uniform(rng, 14.0, 32.0);
    p->lake_ry = scene_uniform(rng, 4.5, 9.0);
    p->lake_x = scene_uniform(rng, 6.0, 58.0);
    p->lake_y = scene_uniform(rng, p->horizon + 12.0 + p->lake_ry / 2.0,
                              57.0);
    p->lake_noise = scene_bits(rng);
}

/* Houses that would stand in the lake are left out. */
static void scene_plan_houses(scene_plan *p, scene_rng *rng)
{
    int wanted = scene_integer(rng, 0, SCENE_MAX_HOUSES);
    int k;
    p->houses = 0;
    for (k = 0; k < wanted; k++) {
        scene_house h;
        h.x = scene_uniform(rng, 8.0, 56.0);
        h.foot = scene_hill(p, h.x) + scene_uniform(rng, 3.0, 7.0);
        h.width = scene_uniform(rng, 7.0, 10.0);
        h.height = scene_uniform(rng, 6.0, 8.0);
        if (!p->has_lake || scene_lake_level(p, h.x, h.foot) >= 1.5)
            p->house[p->houses++] = h;
    }
}

/* Put a tree into the list, which is kept in order from far to near. */
static void scene_add_tree(scene_plan *p, const scene_tree *t)
{
    int k = p->trees++;
    for (; k > 0 && p->tree[k - 1].depth > t->depth; k--)
        p->tree[k] = p->tree[k - 1];
    p->tree[k] = *t;
}

/* Trees grow with nearness; those that would stand in the lake are left out. */
static void scene_plan_trees(scene_plan *p, scene_rng *rng)
{
    int wanted = scene_integer(rng, 3, SCENE_MAX_TREES);
    int k;
    p->trees = 0;
    for (k = 0; k < wanted; k++) {
        scene_tree t;
        t.x = scene_uniform(rng, 2.0, 62.0);
        t.depth = scene_uniform(rng, 1.0, 14.0);
        t.foot = scene_hill(p, t.x) + t.depth;
        t.size = 0.75 + t.depth / 18.0;
        t.is_fir = scene_integer(rng, 0, 1);
        if (!p->has_lake || scene_lake_level(p, t.x, t.foot) >= 1.25)
            scene_add_tree(p, &t);
    }
}

/* Everything about a scene that is decided once, from its seed. */
static void scene_make_plan(scene_plan *p, unsigned long seed)
{
    scene_rng rng;
    rng.seed = seed;
    rng.count = 0;
    scene_plan_land(p, &rng);
    scene_plan_sky(p, &rng);
    scene_plan_lake(p, &rng);
    scene_plan_houses(p, &rng);
    scene_plan_trees(p, &rng);
}

/* ======================================================================== */
/* [paint] One sample, from back to front                                   */
/* ======================================================================== */

/* Where a sample is. The edges and the shade of the ground belong to the
 * place, not to a thing, so they are computed once. */
typedef struct scene_place {
    double x, y;
    double ridge, hill;             /* the edges at x */
    double shade;                   /* 0..1 */
} scene_place;

/* Set the strokes; strength is a part of full brightness. */
static void scene_brush(scene_dot *dot, int direction, double strength)
{
    dot->stroke = 1.5 * 255.0 * strength;
    dot->direction = direction;
}

/* The sky turns from its top colour to its low one, at the horizon; at dusk
 * by way of the middle one, strongest about half way down. */
static void scene_paint_sky(scene_dot *dot, const scene_plan *p,
                            const scene_place *at)
{
    double t = at->y / p->horizon;
    scene_cover(dot, SCENE_SKY_TOP);
    scene_blend(dot, SCENE_DAY, SCENE_SKY_LOW, t);
    scene_blend(dot, SCENE_DUSK, SCENE_SKY_MIDDLE, 1.7 * t);
    scene_blend(dot, SCENE_DUSK, SCENE_SKY_LOW, 1.7 * t - 0.7);
    scene_brush(dot, SCENE_LEVEL, 0.075);
}

static void scene_paint_sun(scene_dot *dot, const scene_plan *p,
                            const scene_place *at)
{
    double dx = at->x - p->sun_x, dy = at->y - p->sun_y;
    if (dx * dx + dy * dy < p->sun_radius * p->sun_radius)
        scene_cover(dot, SCENE_SUN);
}

/* Clouds are soft: they cover what noise leaves above a threshold, and
 * smooth the strokes of the sky away as they get denser. */
static void scene_paint_clouds(scene_dot *dot, const scene_plan *p,
                               const scene_place *at)
{
    double n, amount;
    if (at->y >= p->horizon || at->y > at->ridge) return;   /* out of sight */
    n = scene_fbm(p->cloud_noise, 3, at->x / 14.0 + p->cloud_shift,
                  at->y / 6.0);
    amount = scene_clip(9.0 * (n - p->cloud_cover), 0.0, 1.0);
    scene_blend(dot, SCENE_DAY, SCENE_CLOUD, amount);
    scene_blend(dot, SCENE_DUSK, SCENE_CLOUD, amount);
    dot->stroke *= 1.0 - amount;
}

/* Mountains, and snow where they rise well above the horizon: a coat that
 * is thin where it ends. */
static void scene_paint_mountains(scene_dot *dot, const scene_plan *p,
                                  const scene_place *at)
{
    double depth = at->y - at->ridge;
    double snow = 1.2 + 3.2 * at->shade;
    double thin = 2.0 * (p->horizon - 5.0 - at->ridge);
    if (depth <= 0.0) return;
    scene_gradient(dot, SCENE_PEAK, SCENE_SLOPE, depth / 12.0);
    scene_lighten(dot, SCENE_DAY, 255.0 * 0.14 * (at->shade - 0.5));
    scene_lighten(dot, SCENE_DUSK, 255.0 * 0.10 * (at->shade - 0.5));
    scene_brush(dot, SCENE_FALLING, 0.07);
    if (depth < snow && depth < thin) scene_cover(dot, SCENE_SNOW);
}

static void scene_paint_hills(scene_dot *dot, const scene_place *at)
{
    double depth = at->y - at->hill;
    if (depth <= 0.0) return;
    scene_gradient(dot, SCENE_HILL_FAR, SCENE_HILL_NEAR, depth / 25.0);
    scene_lighten(dot, SCENE_DAY, 255.0 * 0.22 * (at->shade - 0.5));
    scene_lighten(dot, SCENE_DUSK, 255.0 * 0.14 * (at->shade - 0.5));
    scene_brush(dot, SCENE_RISING, 0.085);
}

/* An ellipse with a ragged edge and a narrow shore, where there are hills. */
static void scene_paint_lake(scene_dot *dot, const scene_plan *p,
                             const scene_place *at)
{
    double depth = (at->y - p->lake_y + p->lake_ry) / (2.0 * p->lake_ry);
    double level;
    if (!p->has_lake || at->y <= at->hill) return;
    level = scene_lake_level(p, at->x, at->y);
    level += 0.7 * (scene_fbm(p->lake_noise, 2, at->x / 7.0, at->y / 7.0)
                    - 0.5);
    if (level < 1.0) {
        scene_gradient(dot, SCENE_WATER_FAR, SCENE_WATER_NEAR, depth);
        scene_brush(dot, SCENE_LEVEL, 0.10);
    } else if (level < 1.12) {
        scene_cover(dot, SCENE_SHORE);
    }
}

/* A wall, two windows in it, and a roof that overhangs by 1 on each side. */
static void scene_paint_house(scene_dot *dot, const scene_house *h,
                              const scene_place *at)
{
    double aside = at->x < h->x ? h->x - at->x : at->x - h->x;
    double eaves = h->foot - h->height, top = eaves - 5.0;
    double window_x = aside - h->width / 4.0;
    double window_y = at->y - (h->foot - 0.75 * h->height);
    if (at->y < top || at->y >= h->foot) return;
    if (at->y < eaves) {
        if (aside < (h->width / 2.0 + 1.0) * (at->y - top) / 5.0)
            scene_cover(dot, SCENE_ROOF);
    } else if (aside < h->width / 2.0) {
        int glass = window_x > -1.25 && window_x < 1.25 &&
                    window_y >= 0.0 && window_y < 3.0;
        scene_cover(dot, glass ? SCENE_WINDOW : SCENE_WALL);
    }
}

/* Is a point, relative to the foot and in units of the tree's size (up is
 * positive), inside the crown? A fir has three tiers, each a triangle. */
static int scene_in_crown(const scene_tree *t, double aside, double up)
{
    if (t->is_fir) {
        double v = (9.0 - up) / 7.0;            /* 0 at the tip, 1 below */
        double tier = 3.0 * v - (double)(int)(3.0 * v);
        double half_width = 2.7 * (0.45 * tier + 0.55 * v);
        return v >= 0.0 && v < 1.0 &&
               aside < half_width && aside > -half_width;
    } else {
        double dx = aside / 2.9, dy = (up - 5.6) / 3.2;
        return dx * dx + dy * dy < 1.0;
    }
}

static void scene_paint_tree(scene_dot *dot, const scene_tree *t,
                             const scene_place *at, double sun_x)
{
    double aside = (at->x - t->x) / t->size;
    double up = (t->foot - at->y) / t->size;
    if (scene_in_crown(t, aside, up)) {
        double sunward = sun_x < t->x ? -aside : aside;
        scene_gradient(dot, SCENE_LEAF_DARK, SCENE_LEAF_LIT,
                       0.5 + 0.5 * sunward / 3.0);
        scene_brush(dot, SCENE_UPRIGHT, 0.06);
    } else if (up >= 0.0 && up < 3.0 && aside > -0.6 && aside < 0.6) {
        scene_cover(dot, SCENE_TRUNK);
    }
}

static void scene_paint(scene_dot *dot, const scene_plan *p,
                        const scene_place *at)
{
    int k;
    scene_paint_sky(dot, p, at);
    scene_paint_sun(dot, p, at);
    scene_paint_clouds(dot, p, at);
    scene_paint_mountains(dot, p, at);
    scene_paint_hills(dot, at);
    scene_paint_lake(dot, p, at);
    for (k = 0; k < p->houses; k++)
        scene_paint_house(dot, &p->house[k], at);
    for (k = 0; k < p->trees; k++)
        scene_paint_tree(dot, &p->tree[k], at, p->sun_x);
}

/* ======================================================================== */
/* [draw] Pixels                                                            */
/* ======================================================================== */

/* Add a painted sample to the sums of a pixel. Only dusk is a painting. */
static void scene_add_dot(double sum[SCENE_LOOKS][3], const scene_dot *dot,
                          double profile)
{
    int look, c;
    for (look = 0; look < SCENE_LOOKS; look++) {
        double stroke = look == SCENE_DUSK ? dot->stroke * profile : 0.0;
        for (c = 0; c < 3; c++)
            sum[look][c] += scene_clip(dot->rgb[look][c] + stroke,
                                       0.0, 255.0);
    }
}

/* Store the mean of four samples, rounded. */
static void scene_store(unsigned char *rgb, const double sum[3])
{
    int c;
    for (c = 0; c < 3; c++)
        rgb[c] = (unsigned char)(int)(sum[c] / 4.0 + 0.5);
}

/* Sample pixel (x, y) at 2x2 points; column[] holds the edges at both xs.
 * The position is in half pixels, step is their size in units. */
static void scene_sample(double sum[SCENE_LOOKS][3], const scene_plan *p,
                         scene_place column[2], int x, int y, double step)
{
    int k, c;
    for (c = 0; c < 3; c++) sum[SCENE_DAY][c] = sum[SCENE_DUSK][c] = 0.0;
    for (k = 0; k < 4; k++) {
        scene_place *at = &column[k % 2];
        scene_dot dot;
        at->y = ((double)(2 * y + k / 2) + 0.5) * step;
        at->shade = scene_fbm(p->shade_noise, 2, at->x / 5.0, at->y / 5.0);
        scene_paint(&dot, p, at);
        scene_add_dot(sum, &dot, scene_profile(dot.direction, x, y));
    }
}

/* Draw the scene of a seed in both appearances.
 *
 *   seed  any; the low 32 bits count. See scene_seed for data sets
 *   size  side in pixels, at least 1; 64 is what the demo uses. The geometry
 *         is scaled to it, the strokes keep their period of four pixels
 *   day   size * size * 3 bytes, RGB, row by row; written, or NULL
 *   dusk  likewise
 *
 * Twice the size is sampled and averaged 2x2, by columns, since the edges of
 * mountains and hills depend on x only. */
static void scene_draw(unsigned long seed, int size,
                       unsigned char *day, unsigned char *dusk)
{
    double step = 64.0 / (2.0 * (double)size);
    scene_plan plan;
    int x, y, k;
    scene_make_plan(&plan, seed);
    for (x = 0; x < size; x++) {
        scene_place column[2];
        for (k = 0; k < 2; k++) {
            column[k].x = ((double)(2 * x + k) + 0.5) * step;
            column[k].ridge = scene_ridge(&plan, column[k].x);
            column[k].hill = scene_hill(&plan, column[k].x);
        }
        for (y = 0; y < size; y++) {
            long at = ((long)y * size + x) * 3;
            double sum[SCENE_LOOKS][3];
            scene_sample(sum, &plan, column, x, y, step);
            if (day) scene_store(day + at, sum[SCENE_DAY]);
            if (dusk) scene_store(dusk + at, sum[SCENE_DUSK]);
        }
    }
}

#endif /* SCENE_H */
