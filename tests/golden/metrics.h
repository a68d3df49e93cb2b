/* Written by tools/make_picture_goldens.py with Pillow 11.3.0, scikit-image
 * 0.26.0 and numpy 2.4.6; seeds are the sizes'. Do not edit. */

static const struct { size_t w, h, c; int change;
    double psnr, ssim; } golden_metric[] = {
    { 64, 64, 3, 20, 32.4255034227, 0.9523942613 },
    { 11, 11, 1, 90, 19.6460114929, 0.4526877378 },
    { 100, 37, 3, 5, 43.1450904785, 0.9964023603 },
    { 37, 41, 1, 255, 11.3424034533, 0.1145312075 },
    { 256, 256, 3, 1, 51.1526938419, 0.9997284395 },
    { 12, 200, 3, 60, 23.1510120750, 0.7127685546 },
};
