#!/bin/sh
# The header in every way it may be compiled: languages, warnings, macros,
# several files, and the code that the documentation shows. Checks run a few
# at a time, each in a directory of its own below $tmp. A compiler needs many
# seconds for all of the header: what only has to be accepted is not compiled
# (-fsyntax-only), what has to run and is no matter of vectors runs without
# them (CGD_NO_SIMD), and what can use one build (impl.o) does.

root=$(cd "$(dirname "$0")/.." && pwd)
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
trap 'exit 130' HUP INT TERM
ln -s "$root" "$tmp/root"
cd "$tmp" || exit 1
checks=0 skipped=0

have() { command -v "$1" >/dev/null 2>&1; }
skip() { echo "skipped: $*"; skipped=$((skipped + 1)); }

# check NAME COMMANDS: plan a check, which passes if the commands succeed.
check() {
    checks=$((checks + 1))
    plan "$(printf %03d $checks)" "$@"
}

plan() {
    mkdir "$1"
    echo "$2" >"$1/name"
    echo "$3" >"$1/commands"
}

# none COMMAND: it must not succeed ("! command" would not stop sh -e).
cat >run_check <<'END'
none() { if "$@"; then exit 1; fi; }
cd "$1" || exit 1
(set -e; . ./commands) >log 2>&1
if [ $? -eq 0 ]; then
    echo "ok $(cat name)" | tee verdict
else
    { echo "FAILED $(cat name)"; sed 's/^/    /;12q' log; } | tee verdict
fi
END

# ---- Sources ---------------------------------------------------------------

# A small network translates a picture, by the kernels that were chosen and by
# the plain loops: they may differ by one. It runs in every kind of build.
cat >smoke.h <<'END'
#ifndef SMOKE_NO_HEADER
#include "cycle_gan_distil.h"
#endif
#include <string.h>
#ifdef CGD_NO_MALLOC
static double room[1 << 18];
#endif
int main(void)
{
    static unsigned char in[13 * 9 * 3], fast[sizeof in], plain[sizeof in];
    cgd_generator_config config = cgd_generator_defaults();
    cgd_options options;
    cgd_ctx ctx;
    cgd_model model;
    cgd_rng rng;
    size_t i;
    int differ = 0;
    memset(&model, 0, sizeof model);
    memset(&options, 0, sizeof options);
#ifdef CGD_NO_MALLOC
    options.memory = room;
    options.memory_size = sizeof room;
#endif
    cgd_init(&ctx, &options);
    config.width = 6;
    config.blocks = 2;
    if (cgd_generator_init(&ctx, &model.net, &config) != CGD_OK) return 10;
    cgd_rng_seed(&rng, 1, 0);
    for (i = 0; i < model.net.state; i++)
        model.net.params[i] = (float)(0.1 * cgd_rng_normal(&rng));
    for (i = 0; i < sizeof in; i++)
        in[i] = (unsigned char)cgd_rng_below(&rng, 256);
    if (cgd_translate(&model, fast, in, 13, 9, NULL, 0) != CGD_OK) return 11;
    if (cgd_use_kernels(&ctx, "reference") != CGD_OK) return 12;
    if (cgd_translate(&model, plain, in, 13, 9, NULL, 0) != CGD_OK) return 13;
    for (i = 0; i < sizeof in; i++) {
        int d = fast[i] - plain[i];
        if (d < -1 || d > 1) return 14;
        differ |= plain[i] != plain[0];
    }
    if (!differ) return 15;
    cgd_model_free(&model);
    cgd_free(&ctx);
    return 0;
}
END
echo '#include "smoke.h"' >user.c
cp user.c user.cpp
printf '#define CGD_IMPLEMENTATION\n#include "smoke.h"\n' >smoke.c
cp smoke.c smoke.cpp
printf '#define CGD_IMPLEMENTATION\n#include "cycle_gan_distil.h"\n' >impl.c
cp impl.c impl.cpp
cat >twice.c <<'END'
#include "cycle_gan_distil.h"
#define CGD_IMPLEMENTATION
#include "cycle_gan_distil.h"
#include "cycle_gan_distil.h"
#define SMOKE_NO_HEADER
#include "smoke.h"
END
cat >static1.c <<'END'
#define CGD_STATIC
#define CGD_IMPLEMENTATION
#include "cycle_gan_distil.h"
cgd_rng other(void);
cgd_rng other(void) { cgd_rng rng; cgd_rng_seed(&rng, 2, 3); return rng; }
END
printf '#define CGD_STATIC\n#define CGD_IMPLEMENTATION\n#include "smoke.h"\n' \
    >static2.c
# The user's own macros are really the ones in use.
cat >macros.c <<'END'
#include <math.h>
#include <stdlib.h>
static int blocks, mistakes, roots, tangents;
static void *my_alloc(size_t bytes) { blocks++; return malloc(bytes); }
static void my_free(void *ptr) { blocks--; free(ptr); }
static float my_sqrt(float x) { roots++; return (float)sqrt(x); }
static float my_tanh(float x) { tangents++; return (float)tanh(x); }
#define CGD_MALLOC(bytes) my_alloc(bytes)
#define CGD_FREE(ptr) my_free(ptr)
#define CGD_ASSERT(x) ((void)(mistakes += !(x)))
#define CGD_SQRTF(x) my_sqrt(x)
#define CGD_TANHF(x) my_tanh(x)
#define CGDDEF static
#define CGD_HEADER "renamed.h"
#define CGD_IMPLEMENTATION
#include "renamed.h"
#define SMOKE_NO_HEADER
#define main smoke
#include "smoke.h"
#undef main
int main(void)
{
    float p = 1, m = 0, v = 0, g = 1;
    cgd_adam adam = { 0.5f, 0.999f, 1e-8f };
    cgd_options options;
    cgd_ctx ctx;
    cgd_net net;
    cgd_generator_config config = cgd_generator_defaults();
    memset(&options, 0, sizeof options);
    options.threads = 1;
    cgd_init(&ctx, &options);
    cgd_use_kernels(&ctx, "reference");
    cgd_adam_step(&ctx, &adam, 0.1f, 0, &p, &m, &v, &g, 1);
    if (!roots) return 1;
    config.width = 4;
    if (cgd_generator_init(&ctx, &net, &config) != CGD_OK) return 2;
    if (!blocks) return 3;
    cgd_net_free(&net);
    cgd_free(&ctx);
    if (smoke() != 0) return 4;
    return blocks ? 5 : !tangents ? 6 : mistakes != 0;
}
END
cp "$root/cycle_gan_distil.h" renamed.h
# stb_image is used when it stands before the header, and not needed.
cat >picture.h <<'END'
#include <stdio.h>
static int try_picture(int expected)
{
    static const unsigned char bmp[58] = {
        'B', 'M', 58, 0, 0, 0, 0, 0, 0, 0, 54, 0, 0, 0, 40, 0, 0, 0,
        1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 24, 0, 0, 0, 0, 0, 4 };
    cgd_ctx ctx;
    cgd_image image;
    int status;
    cgd_init(&ctx, NULL);
    status = cgd_image_decode(&ctx, &image, bmp, sizeof bmp, 3, "a dot");
    printf("status %d: %s\n", status, cgd_message(&ctx, (cgd_status)status));
    if (status == CGD_OK) cgd_image_free(&ctx, &image);
    cgd_free(&ctx);
    return status != expected;
}
END
cat >stb_before.c <<'END'
#define STBI_NO_HDR
#define STBI_NO_LINEAR
#define STB_IMAGE_IMPLEMENTATION
#include <stb/stb_image.h>
#define STB_IMAGE_WRITE_IMPLEMENTATION
#include <stb/stb_image_write.h>
#define CGD_IMPLEMENTATION
#include "cycle_gan_distil.h"
#include "picture.h"
int main(void) { return try_picture(CGD_OK); }
END
sed '/stb_image_write/d; /WRITE/d' stb_before.c >stb_read.c
sed '/IMAGE.*IMPLEMENTATION/d' stb_before.c >stb_declared.c
cat >stb_code.c <<'END'
#define STBI_NO_HDR
#define STBI_NO_LINEAR
#define STB_IMAGE_IMPLEMENTATION
#include <stb/stb_image.h>
#define STB_IMAGE_WRITE_IMPLEMENTATION
#include <stb/stb_image_write.h>
END
cat >stb_after.c <<'END'
#define CGD_IMPLEMENTATION
#include "cycle_gan_distil.h"
#define STBI_NO_HDR
#define STBI_NO_LINEAR
#define STB_IMAGE_IMPLEMENTATION
#include <stb/stb_image.h>
#include "picture.h"
int main(void) { return try_picture(CGD_ERR_UNSUPPORTED); }
END
sed '/STB/d; /stb/d' stb_after.c >stb_never.c

# A training whose learning rate is far too high: it must stop with a sentence,
# and no file hold what is no number, whatever the compiler takes for granted.
cat >diverge.c <<'END'
#define CGD_IMPLEMENTATION
#include "cycle_gan_distil.h"
static int diverge(cgd_ctx *ctx, float lr)
{
    static float pixels[16 * 16 * 3];
    cgd_train_config config = cgd_train_defaults();
    cgd_tensor x = cgd_tensor_view(1, 16, 16, 3, pixels);
    cgd_trainer t;
    cgd_rng rng;
    cgd_losses losses;
    cgd_status status;
    size_t i;
    cgd_rng_seed(&rng, 1, 0);
    for (i = 0; i < sizeof pixels / sizeof *pixels; i++)
        pixels[i] = (float)cgd_rng_below(&rng, 201) / 100 - 1;
    config.height = config.width = 16;
    config.generator.width = config.discriminator.width = 2;
    config.generator.blocks = config.discriminator.layers = 1;
    config.lr_g = config.lr_d = lr;
    status = cgd_trainer_init(ctx, &t, &config, NULL, NULL);
    for (i = 0; i < 20 && status == CGD_OK; i++)
        status = cgd_train_step(&t, &x, &x, &losses);
    if (status != CGD_ERR_FORMAT || !strstr(ctx->message, "no longer a number"))
        return 1;
    memset(t.side[0].g.v, 0xff, sizeof(float));
    if (cgd_trainer_save(&t, "state") != CGD_ERR_FORMAT) return 2;
    cgd_trainer_free(&t);
    return 0;
}
int main(void)
{
    cgd_ctx ctx;
    int bad;
    cgd_init(&ctx, NULL);
    bad = diverge(&ctx, 1e18f) || diverge(&ctx, 1e38f);
    cgd_free(&ctx);
    return bad;
}
END

# ---- The matrix ------------------------------------------------------------

strict='-pedantic-errors -Wall -Wextra -Wconversion -Wshadow -Werror'
off='STDIO TRAIN SIMD THREADS MALLOC'
all_off=$(printf ' -DCGD_NO_%s' $off)
I='-I../root -I..'
look=-fsyntax-only
plain=-DCGD_NO_SIMD

# The build that many checks share. GCC says what stands on the stack.
cc=${CC:-cc}
stack=
case $($cc -dM -E - </dev/null) in
*__clang__*) ;;
*__x86_64__*) stack=-fstack-usage ;;
esac
plan build "$cc -O2: no warnings" "
    $cc -std=c89 $strict -O2 $stack $I -c ../impl.c -o ../impl.o"
check "$cc -O2: two files, one with the implementation, and it runs" "
    $cc -std=c89 $strict $I ../user.c ../impl.o -o smoke; ./smoke"

compilers=''
for c in gcc clang; do
    if have $c; then compilers="$compilers $c"
    else skip "$c is not installed"; fi
done
compilers_c=$compilers
for c in $compilers; do
    for std in c89 c99 c17; do
        check "$c -std=$std: no warnings" "
            $c -std=$std $strict $look $I ../impl.c"
    done
    for what in $off; do
        check "$c -DCGD_NO_$what: no warnings" "
            $c -std=c89 $strict -DCGD_NO_$what $look $I ../smoke.c"
    done
    check "$c, all CGD_NO_ at once: no warnings, and it runs" "
        $c -std=c89 $strict $all_off $I ../smoke.c -o smoke; ./smoke"
    check "$c -ffast-math: a training that diverges is stopped" "
        $c -O1 -ffast-math $plain $I ../diverge.c -o diverge; ./diverge
        test ! -e state"
    case $c in
    gcc)   level=-Os ;;
    clang) level=-O3 ;;
    esac
    check "$c $level: no warnings, and it runs" "
        $c -std=c89 $strict $level $I ../smoke.c -o smoke; ./smoke"
done
for what in $off; do
    check "-DCGD_NO_$what: no warnings, and it runs" "
        $cc -std=c89 $strict -DCGD_NO_$what $plain $I ../smoke.c -o smoke
        ./smoke"
done

compilers=''
for cxx in g++ clang++; do
    if have $cxx; then compilers="$compilers $cxx"
    else skip "$cxx is not installed"; fi
done
for cxx in $compilers; do
    check "$cxx -std=c++17: no warnings" "
        $cxx -std=c++17 $strict $look $I ../smoke.cpp"
    check "$cxx -std=c++98: no warnings, and it runs" "
        $cxx -std=c++98 $strict $I ../smoke.cpp -o smoke; ./smoke"
    check "$cxx, all CGD_NO_ at once: no warnings, and it runs" "
        $cxx -std=c++98 $strict $all_off $I ../smoke.cpp -o smoke; ./smoke"
    check "a program in C++ ($cxx) uses the library in C" "
        $cxx $strict -c $I ../user.cpp
        $cxx user.o ../impl.o -o smoke; ./smoke"
done

check 'two files, both CGD_STATIC: no warnings' "
    $cc -std=c89 $strict $plain $I ../static1.c ../static2.c -o smoke; ./smoke"
check 'included three times in one file' "
    $cc -std=c89 $strict $look $I ../twice.c
    $cc -std=c89 $strict $plain $I ../twice.c -o smoke; ./smoke"
# The companions: compiled apart from the header's implementation, they can
# use nothing of it but its public interface.
printf '#define CGD_STATIC\n#define CGD_IMPLEMENTATION\n' >companions.c
for path in "$root"/tools/cgd_*.h; do
    name=$(basename "$path" .h)
    macro=$(echo "$name" | tr a-z A-Z)_IMPLEMENTATION
    printf '#define %s\n#include "root/tools/%s.h"\n' $macro $name >$name.c
    cp $name.c $name.cpp
    { printf '#include "root/tools/%s.h"\n' $name; cat user.c; } >${name}_user.c
    cat $name.c >>companions.c
    check "tools/$name.h by itself: no warnings, only cgd_ names" "
        $cc -std=c89 $strict -c $I ../$name.c
        $cc -std=c89 $strict $I ../impl.o $name.o ../${name}_user.c -o smoke
        ./smoke; nm -g $name.o | grep -v ' U ' >names
        test -s names; none grep -v ' cgd_[a-z]' names
        nm $name.o >all; none grep ' U cgd__' all"
    for cxx in $compilers; do
        check "tools/$name.h ($cxx -std=c++98): no warnings" "
            $cxx -std=c++98 $strict $look $I ../$name.cpp"
    done
done
cat user.c >>companions.c
check "the companions, all static and in one file: no warnings, it runs" "
    $cc -std=c89 $strict $plain $I ../companions.c -o smoke; ./smoke"
check 'without CGD_IMPLEMENTATION nothing is emitted' "
    $cc -std=c89 $strict -c $I ../user.c; nm user.o >names
    grep ' T main' names; none grep ' [TtDdBbRr] cgd_' names"
check 'only cgd_ names are exported' "
    nm -g ../impl.o | grep -v ' U ' >names
    none grep -v ' cgd_[a-z]' names; none grep ' cgd__' names"
# Functions that want more than 1 KB of the stack. Only to become shorter:
# whoever mends one takes its name out.
cat >stack_allowed <<'END'
cgd__data_folder cgd__folder_list cgd__least_quota cgd__net_fits
cgd__run_models cgd__run_save cgd__scan_visit
cgd__state_load cgd_file_read cgd_list_pictures
cgd_loss_contrast cgd_net_load cgd_train_defaults cgd_train_run
cgd_translate_file cgd_writer_append_f32
cgd_writer_describe
END
cat >stack_check <<'END'
/\t/ {
    name = $1
    sub(/.*:/, "", name)
    sub(/[.].*/, "", name)             # .part.0 and the like
    if ($2 > 1024 && $2 > most[name]) most[name] = $2
    frames++
}
!/\t/ { for (i = 1; i <= NF; i++) allowed[$i] = 1 }
END {
    for (name in most) if (!(name in allowed)) {
        print name " wants " most[name] " bytes of the stack"
        bad = 1
    }
    for (name in allowed) if (!(name in most)) {
        print name " need no longer be on the list"
        bad = 1
    }
    exit bad || !frames
}
END
if [ -n "$stack" ]; then
    check 'no function wants more than 1 KB of the stack, but for a list' "
        awk -f ../stack_check ../stack_allowed ../impl.su"
else
    skip "how much stack functions want: $cc is not GCC for x86-64"
fi
check 'CGD_MALLOC, CGD_ASSERT, CGD_SQRTF, CGD_HEADER ... can be replaced' "
    $cc $look -I.. ../macros.c
    $cc $plain -I.. ../macros.c -o macros -lm; ./macros"
printf '#include <omp.h>\nint main(void) { return omp_in_parallel(); }\n' \
    >openmp.c
if $cc -fopenmp openmp.c -o openmp 2>/dev/null && ./openmp; then
    check 'with OpenMP: no warnings, and it runs' "
        for no in '' -DCGD_NO_THREADS; do
            $cc -fopenmp -std=c89 $strict $plain \$no $I ../smoke.c -o smoke
            ./smoke
        done"
else
    skip "$cc has no OpenMP"
fi
echo 'int main(void) { return 0; }' >empty.c
if $cc -m32 empty.c -o empty 2>/dev/null && ./empty; then
    check 'on a 32-bit machine: no warnings, and it runs' "
        $cc -m32 -std=c89 $strict $I ../smoke.c -o smoke; ./smoke"
else
    skip "$cc has no libraries for -m32"
fi

# ---- Pictures and examples -------------------------------------------------

check 'programs give stb_image memory that is cleared' "
    for path in '$root'/tools/*.c '$root'/examples/*.c; do
        grep -q STB_IMAGE_IMPLEMENTATION \"\$path\" || continue
        grep -qF 'STBI_MALLOC(size) calloc(1, size)' \"\$path\" || exit 1
    done"
check 'without stb_image, pictures are refused in a sentence' "
    $cc $plain $I ../stb_never.c -o picture; ./picture"
if echo '#include <stb/stb_image.h>' | $cc -E -xc - >/dev/null 2>&1; then
    check 'stb_image before the header is used' "
        $cc $plain $I ../stb_before.c -o picture; ./picture"
    check 'stb_image without stb_image_write is enough to read' "
        $cc $plain $I ../stb_read.c -o picture; ./picture"
    check 'stb_image may be compiled in another file' "
        $cc $plain -c $I ../stb_declared.c; $cc -c ../stb_code.c
        $cc stb_declared.o stb_code.o -o picture; ./picture"
    check 'stb_image after the header does no harm' "
        $cc $plain $I ../stb_after.c -o picture; ./picture"
    for path in "$root"/examples/*.c "$root"/tools/*.c; do
        name=${path#"$root"/}
        for c in $compilers_c; do
            check "$name ($c): no warnings" "
                $c $look -Wall -Wextra -Werror ../root/$name"
        done
    done
    for path in "$root"/examples/*.c; do
        name=$(basename "$path")
        check "cc examples/$name: no flags at all" "
            $cc ../root/examples/$name"
    done
else
    skip 'stb_image (Debian: libstb-dev) is not installed'
fi

# ---- Documentation ---------------------------------------------------------

# Code is compiled as it stands if it has its own #include, else as the body
# of a function.
check_code() {
    if grep -q '#include' "$2"; then
        flags='-c'
        grep -q 'CGD_IMPLEMENTATION' "$2" && grep -q 'main(' "$2" && flags=''
        check "$1 compiles" "$cc $flags $plain $I ../$2"
    else
        { echo '#include "cycle_gan_distil.h"'; echo 'void fragment(void);'
          echo 'void fragment(void)'; echo '{'; cat "$2"; echo '}'; } >"_$2"
        check "$1 compiles" "$cc -c $I ../_$2"
    fi
}

header=$root/cycle_gan_distil.h
awk '/^```c$/ { n++; on = 1; next } /^```/ { on = 0 }
     on { print > ("readme" n ".c") }' "$root/README.md" 2>/dev/null
for code in readme*.c; do
    [ -f "$code" ] || continue
    n=${code#readme} n=${n%.c}
    check_code "README.md, code block $n," "$code"
done
# In the manual the code is what is indented by four more than the text.
awk '/\*\// { exit } /[Qq]uick start/ && !/\[/ { on = 1; next }
     on && /Contents/ { exit }
     on && /^ \*?     / { sub(/^ \*?     /, ""); print }' "$header" >quick.c
if [ -s quick.c ]; then check_code "the quick start of the manual" quick.c; fi

# ---- Run -------------------------------------------------------------------

jobs=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
sh run_check build
ls -d [0-9]* | xargs -n 1 -P "$jobs" sh run_check
passed=$(cat build/verdict [0-9]*/verdict | grep -c '^ok ')
failed=$((checks + 1 - passed))
if [ $skipped -gt 0 ]; then
    echo "$passed passed, $failed failed, $skipped skipped"
else
    echo "$passed passed, $failed failed"
fi
[ $failed -eq 0 ]
