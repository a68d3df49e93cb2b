#!/bin/sh
# Other machines, by cross compilers and emulators where they are installed:
# 64-bit ARM with NEON and big-endian S/390 (qemu-user), WebAssembly with SIMD
# (Node.js) and Windows (MinGW; its programs run where there is Wine). Checks
# run a few at a time, each in a directory of its own below $tmp.

root=$(cd "$(dirname "$0")/.." && pwd)
tmp=$(mktemp -d) || exit 1
end() { [ ! -d wine ] || wineserver -k; rm -rf "$tmp"; }
trap end EXIT
trap 'exit 130' HUP INT TERM
cd "$tmp" || exit 1
ln -s "$root" root
checks=0 firsts=0 skipped=0

have() {
    for tool in "$@"; do command -v "$tool" >/dev/null 2>&1 || return 1; done
}
skip() { echo "skipped: $*"; skipped=$((skipped + 1)); }

# check NAME COMMANDS: plan a check, which passes if the commands succeed.
# first: one that the checks wait for, because it builds what they link.
check() {
    checks=$((checks + 1))
    plan "$(printf %03d $checks)" "$@"
}
first() {
    firsts=$((firsts + 1))
    plan "first$firsts" "$@"
}
plan() {
    mkdir "$1"
    echo "$2" >"$1/name"
    echo "$3" >"$1/commands"
}

# build COMPILER NAME PROGRAM: the command that builds test_NAME, with the
# library of that compiler where it uses one.
build() {
    library=
    if ! grep -q '^#define CGD_IMPLEMENTATION' "$root/tests/test_$2.c"; then
        library=$tmp/${1%% *}.o
    fi
    echo "$1 tests/test_$2.c $library -o $3"
}

# library COMPILER TITLE: the header has no warnings, and the library.
library() {
    first "$2: the header has no warnings" "
        $1 $strict -fsyntax-only -I. $tmp/impl.c
        $1 -c tests/library.c -o $tmp/${1%% *}.o"
}

# The programs find their golden files below the project's folder.
cat >run_check <<'END'
here=$(pwd)/$1
cd root || exit 1
(set -e; out=$here; . "$here/commands") >"$here/log" 2>&1
if [ $? -eq 0 ]; then
    echo "ok $(cat "$here/name")" | tee "$here/verdict"
else
    { echo "FAILED $(cat "$here/name")"; grep -v '^ok' "$here/log" |
      sed 's/^/    /;12q'; } | tee "$here/verdict"
fi
END

printf '#define CGD_IMPLEMENTATION\n#include "cycle_gan_distil.h"\n' >impl.c
strict='-std=c89 -pedantic-errors -Wall -Wextra -Wconversion -Wshadow -Werror'

# ---- 64-bit ARM, and a big-endian machine ----------------------------------
# Emulation is slow: only what compares with the reference of test_kernels, one
# whole net of test_gradients, and of test_files what goes out and comes back.

only() {
    case $1 in
    kernels)   echo CGD_TESTS=fast_ ;;
    gradients) echo CGD_TESTS=discriminators_ ;;
    files)     echo CGD_TESTS=what_ ;;
    esac
}

# emulate NAME MACHINE TESTS: build and run them there.
emulate() {
    name=$1 machine=$2
    shift 2
    if ! have $machine-linux-gnu-gcc qemu-$machine; then
        skip "$name: gcc-$machine-linux-gnu and qemu-user are not both there"
        return
    fi
    library "$machine-linux-gnu-gcc -O2" "$name"
    for test in "$@"; do
        check "$name, test_$test" "
            $(build "$machine-linux-gnu-gcc -O2" $test \$out/test) -lm
            $(only $test) qemu-$machine -L /usr/$machine-linux-gnu \$out/test"
    done
}

emulate NEON aarch64 kernels nets gradients ops
emulate 'big-endian' s390x files ops

# ---- WebAssembly -----------------------------------------------------------

if have clang wasm-ld node; then
    wasm='clang --target=wasm32 -msimd128 -nostdlib -Itests/wasm -O2'
    check 'WebAssembly without a C library draws the same picture' "
        ${CC:-cc} -O2 tests/wasm/student.c -o \$out/student
        \$out/student >\$out/picture
        $wasm $strict -c tests/wasm/student.c -o \$out/student.o
        $wasm $strict -fno-builtin -c tests/wasm/string.c -o \$out/string.o
        wasm-ld --no-entry --export=translate --export=picture \
            --export=picture_bytes \$out/student.o \$out/string.o \
            -o \$out/student.wasm
        node tests/wasm/student.js \$out/student.wasm \$out/picture"
    # Node.js 20 crashes as it ends if the memory of a program has grown.
    wasi='clang --target=wasm32-wasi -msimd128 -O2 -Wl,-z,stack-size=1048576'
    wasi=$wasi,--initial-memory=536870912
    echo 'int main(void) { return 0; }' >empty.c
    if $wasi empty.c -o empty.wasm 2>/dev/null && node -e 'require("wasi")' \
        2>/dev/null; then
        first 'WebAssembly: the library' "
            $wasi -c tests/library.c -o $tmp/clang.o"
        for test in gradients kernels nets ops; do
            check "WebAssembly, test_$test" "
                $(build "$wasi" $test \$out/test.wasm)
                node --no-warnings tests/wasm/wasi.mjs \$out/test.wasm"
        done
    else
        skip 'WebAssembly: wasi-libc, libclang-rt-dev-wasm32 or Node.js 20'
    fi
else
    skip 'WebAssembly: clang, lld and nodejs are not all installed'
fi

# ---- Windows ---------------------------------------------------------------

mingw=x86_64-w64-mingw32-gcc
if have $mingw; then
    # Of all that a cross compiler must not see only the pictures' header.
    mkdir include
    ln -s "${STB:-/usr/include/stb}" include/stb
    library "$mingw -O2" Windows
    for tool in examples/train examples/distil examples/translate tools/cgd; do
        if [ -f include/stb/stb_image.h ]; then
            check "Windows: $tool.c has no warnings" "
                $mingw -fsyntax-only -Wall -Wextra -Werror \
                    -isystem $tmp/include $tool.c"
        else
            skip "Windows: $tool.c needs stb_image (Debian: libstb-dev)"
        fi
    done
    export WINEPREFIX="$tmp/wine" WINEDEBUG=-all
    if have wine wineboot && wineboot >/dev/null 2>&1; then
        for test in kernels nets metrics; do
            check "Windows, test_$test" "
                $(build "$mingw -O2" $test \$out/test.exe)
                $(only $test) wine \$out/test.exe"
        done
        # Names beyond any code page, folders parted by \, and a last word
        # from a system that knows no case.
        cat >windows_names <<'END'
export LC_ALL=C.UTF-8
x86_64-w64-mingw32-gcc -O0 -isystem $tmp/include tools/cgd.c -o $out/cgd.exe
cd $out
tiny='--preset demo --size 16 --load-size 16 --ngf 2 --blocks 1 --ndf 2
      --disc-layers 1 --pool 2 --threads 1'
bear=$(printf 'B\303\244r im S\303\274den')                     # German
sea=$(printf '\346\265\267')                                    # Japanese
sun=$(printf '\317\200\317\211') SUN=$(printf '\316\240\316\251') # Greek
w() { wine cgd.exe "$@"; }
refuse() { pattern=$1; shift; ! w "$@" 2>said && grep "$pattern" said; }
w dataset "$bear\\$sea" --size 16 --count 3 --tests 2
test -f "$bear/$sea/testB/0002.png"
w train $tiny --data "$bear\\$sea" --out "$sun\\$sea" --steps 2
w train --resume --out "$sun\\$sea" --steps 3
test -f $sun/$sea/samples/000002.png
model="$sun\\$sea\\g_ab.safetensors"
w translate "$model" "$bear\\$sea\\testA" -o "$sun-1\\"
test -f $sun-1/0002.png
w translate "$model" "$bear\\$sea\\testA\\0001.png" -o "$sun-2\\"
cmp $sun-1/0001.png $sun-2/0001.png
mv $sun-1/0001.png $sun-1/$sea.png
mv $sun-1/0002.png "$sun-1/$bear.png"
w translate "$model" $sun-1 -o "$sun-3\\4"
test -f $sun-3/4/$sea.png
test -f "$sun-3/4/$bear.png"
w translate "$model" "$sun-1\\$sea.png" -o "$bear.bmp"
test -f "$bear.bmp"
w pack "$bear\\$sea" -o "$bear.packed"
w info "$bear.packed" | grep 'trainB/ 3 packed'
w export "$model" --onnx "$sun\\$sea\\$bear.onnx" --c NUL
test -f "$sun/$sea/$bear.onnx"
w eval $sun-1 --truth "$sun-3\\4" --html "$sun-3\\$sea.html" --csv "$bear.csv"
grep -q $sea.png $sun-3/$sea.html
test -f "$bear.csv"
refuse overwrite translate "$model" $sun-1/$sea.png -o ".\\$SUN-1\\$sea.PNG"
refuse overwrite import "$model" -o "$SUN\\$sea\\G_AB.SafeTensors"
refuse "no.*$sea.st" info "no\\$sea.st"
test -z "$(find . -name '*cgd-part*')"
# A folder has one run at a time, and none when that was killed.
w train $tiny --data "$bear\\$sea" --out one --steps 100000000 --log-every 1 &
until grep -q '^2,' one/log.csv; do sleep 0.2; done
refuse "in use by process [0-9]* on " train --resume --out one
wine taskkill /f /pid "$(sed -n 's/^process \([0-9]*\) .*/\1/p' one/run.lock)"
wait
w train --resume --out one --steps 1
test ! -e one/run.lock
END
        check 'Windows: names in any letters, either slash; runs and their lock' "
            tmp=$tmp; . $tmp/windows_names"
        check 'Windows, test_files' "
            $(build "$mingw -O2" files \$out/test.exe)
            wine \$out/test.exe"
    else
        skip 'Windows: its programs need Wine'
    fi
else
    skip 'Windows: gcc-mingw-w64-x86-64 is not installed'
fi

# ---- Run -------------------------------------------------------------------

if [ $checks = 0 ]; then
    echo "0 passed, 0 failed, $skipped skipped"
    exit 0
fi
jobs=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
if [ $firsts -gt 0 ]; then
    ls -d first* | xargs -n 1 -P "$jobs" sh run_check
fi
ls -d [0-9]* | xargs -n 1 -P "$jobs" sh run_check
passed=$(cat first*/verdict [0-9]*/verdict | grep -c '^ok ')
failed=$((firsts + checks - passed))
if [ $skipped -gt 0 ]; then
    echo "$passed passed, $failed failed, $skipped skipped"
else
    echo "$passed passed, $failed failed"
fi
[ $failed -eq 0 ]
