/* The library, built once for all tests that reach no private name of it: they
 * include the header alone and are linked with this. Its assertions hold
 * however the tests are built. */
#undef NDEBUG
#define CGD_IMPLEMENTATION
#define CGD_PICTURES_IMPLEMENTATION
#include "../cycle_gan_distil.h"
#include "../tools/cgd_pictures.h"
