#!/bin/sh
# Exported models, in the hands of those they are for: a C program without
# files and heap gives the bytes of `cgd translate`; PyTorch, onnx and ONNX
# Runtime, where python3 finds them, read the others and agree.
#
#     sh tests/test_export.sh [CGD [SCRATCH]]

set -u
root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/tests/checks.sh"
rm -rf models pictures broken sound
cc=${CC:-cc}

# refuse NAME PATTERN COMMAND...: it fails with one sentence that has the
# pattern in it, and writes nothing to `new`.
refuse()
{
    name=$1 pattern=$2
    shift 2
    rm -f new
    "$@" >log 2>err
    status=$?
    if [ $status -ne 0 ] && [ $status -le 2 ] && [ "$(wc -l <err)" -eq 1 ] &&
        grep -q "^cgd: .*$pattern" err && [ ! -e new ] && [ ! -e new.cgd-part ]
    then pass "$name"; else flunk "$name"; fi
}

# ---- models ----------------------------------------------------------------

$cc -DCGD_NO_SIMD -I"$root" -o export_nets "$root/tests/export_nets.c" -lm || exit 1
mkdir -p models
kinds=$(./export_nets make models) || exit 1
check 'draw pictures' "$cgd" dataset pictures --size 32 --count 5 --tests 1
check '--calibrate folds what it measures' "$cgd" export \
    models/instance.safetensors --calibrate pictures/trainA --count 3 \
    --safetensors models/folded.safetensors
check '--frozen folds running statistics' "$cgd" export \
    models/running.safetensors --frozen \
    --safetensors models/running_folded.safetensors
check "--frozen takes a batch norm's statistics" "$cgd" export \
    models/batch.safetensors --frozen \
    --safetensors models/batch_folded.safetensors
for kind in $kinds folded running_folded batch_folded; do
    m=models/$kind
    check "export $kind" "$cgd" export $m.safetensors --pth $m.pth \
        --onnx $m.onnx --c $m.h
    check "export $kind, half" "$cgd" export $m.safetensors --dtype f16 \
        --safetensors $m.f16.safetensors --pth $m.f16.pth --onnx $m.f16.onnx
    check "export $kind, bfloat16" "$cgd" export $m.safetensors \
        --dtype bf16 --pth $m.bf16.pth --safetensors $m.bf16.safetensors
done
check 'a .pth says what it is' sh -c '"$1" import models/none.pth -o again \
    >kind 2>said && ! grep -q assumed said && grep -q "norm none" kind' - "$cgd"
check 'export what has a range' "$cgd" export \
    models/none.ranged.safetensors --pth models/none.ranged.pth \
    --safetensors models/none.described.safetensors --describe
check 'and with metadata it comes back' "$cgd" import \
    models/none.described.safetensors -o again
check 'as it was' cmp again models/none.ranged.safetensors
check 'a .pth holds the range too' "$cgd" import models/none.ranged.pth \
    -o again
check 'and comes back as it was' cmp again models/none.ranged.safetensors
measures()
{
    "$cgd" export "models/$1.safetensors" --onnx new >said 2>err &&
        grep -q 'batch norms measure each picture.*--stats running' said
}
check 'ONNX of a batch norm: what it measures is said' measures batch
for kind in instance running batch_folded; do
    if measures $kind; then flunk "not of $kind"; else pass "not of $kind"; fi
done
no_norm()
{
    "$cgd" info "$1" >info && grep -q 'norm none' info &&
        ! grep -qa Normalization "$2"
}
check 'a folded model has no norm' no_norm models/folded.safetensors \
    models/folded.onnx
check 'measured again' "$cgd" export models/instance.safetensors \
    --calibrate pictures/trainA --count 3 --safetensors again
check 'the same pictures give the same model' \
    cmp again models/folded.safetensors
check 'sizes and pictures can be chosen' "$cgd" export \
    models/instance.safetensors --calibrate pictures/trainA --count 1 \
    --size 24 --safetensors again
check 'other pictures give another' sh -c \
    '! cmp -s again models/folded.safetensors'

# ---- C without files and heap ----------------------------------------------

strict='-pedantic-errors -Wall -Wextra -Wconversion -Wshadow -Werror'

# same_bytes KIND COMPILER...: the program agrees with cgd translate.
same_bytes()
{
    kind=$1
    shift
    "$@" $strict -I"$root" -Imodels -DMODEL_FILE="\"$kind.h\"" \
        -DMODEL=${kind}_model "$root/tests/export_micro.c" -o micro || return 1
    ./micro draw >in.bmp && ./micro >micro.bmp || return 1
    "$cgd" translate models/$kind.safetensors in.bmp -o out.bmp || return 1
    tail -c +55 out.bmp >out.pixels
    tail -c +55 micro.bmp >micro.pixels
    cmp out.pixels micro.pixels
}

# Without vectors, which differ by a byte nowhere here, a build is short.
for kind in $kinds folded; do
    check "$kind in constants translates like cgd" same_bytes $kind \
        $cc -std=c89 -DCGD_NO_SIMD
done
check 'and with vectors' same_bytes stages $cc -std=c89
for compiler in gcc clang g++ clang++; do
    if ! have $compiler; then skip "$compiler is not installed"; continue; fi
    case $compiler in
    *++) language='-x c++ -std=c++98' ;;
    *)   language='-std=c89' ;;
    esac
    check "and compiled by $compiler" same_bytes stages $compiler $language \
        -DCGD_NO_SIMD
done
read_only()
{
    $cc -I"$root" -Imodels -DMODEL_FILE='"grey.h"' -DMODEL=grey_model \
        -DCGD_NO_SIMD -c \
        "$root/tests/export_micro.c" -o micro.o || return 1
    for what in params layers; do
        nm micro.o | grep -q " [rR] _*grey_$what" || return 1
    done
}
case $(uname) in
Linux) check 'the constants are in read-only memory' read_only ;;
esac

# The numbers in a file that the assembler reads: nothing but the file itself
# and its size is new to the program.
check '--incbin writes two files' "$cgd" export models/stages.safetensors \
    --c models/stages.h --incbin
check 'the header then holds no numbers' sh -c \
    'grep -q "incbin" models/stages.h && [ "$(wc -c <models/stages.h)" -lt \
     9000 ] && [ "$(wc -c <models/stages.bin)" -gt 9000 ]'
{ cat models/stages.bin; echo more; } >longer
head -c 4000 models/stages.bin >shorter
# other_size BIN COMPILER...: the assembler refuses it.
other_size()
{
    bin=$1
    shift
    "$@" -I"$root" -Imodels -DMODEL_FILE='"stages.h"' -DMODEL=stages_model \
        -DCGD_NO_SIMD "-DCGD_BIN_stages=\"$bin\"" -c \
        "$root/tests/export_micro.c" -o micro.o 2>said && return 1
    grep -q '\.org' said
}
for compiler in gcc clang g++ clang++; do
    if ! have $compiler; then skip "$compiler is not installed"; continue; fi
    case $compiler in
    *++) language='-x c++ -std=c++98' ;;
    *)   language='-std=c89' ;;
    esac
    check "--incbin, compiled by $compiler" same_bytes stages $compiler \
        $language -DCGD_NO_SIMD
    for bin in longer shorter; do
        check "$compiler takes no file that is $bin" other_size $bin \
            $compiler $language
    done
done
check 'elsewhere it says what it needs' sh -c "! $cc -U__GNUC__ -I$root \
    -E -include $root/cycle_gan_distil.h models/stages.h 2>said >expanded
    grep -q 'error.*without --incbin' said"
refuse '--describe without --safetensors' 'for --safetensors' "$cgd" export \
    models/none.safetensors --describe --pth new
refuse '--incbin without --c' 'for --c' "$cgd" export \
    models/none.safetensors --incbin --pth new
refuse 'a file name that no string holds' 'quotes' "$cgd" export \
    models/none.safetensors --incbin --c 'new"'
check 'as constants again' "$cgd" export models/stages.safetensors \
    --c models/stages.h
check 'a header without the library says so' sh -c \
    "! $cc -c -x c models/grey.h -o micro.o 2>said
     grep -q 'include cycle_gan_distil.h before' said"

# ---- refusals --------------------------------------------------------------

refuse 'nothing to write' 'nothing to write' "$cgd" export \
    models/none.safetensors
refuse 'no model' '' "$cgd" export no_such_file --onnx new
refuse 'live norms cannot be folded' 'calibrate DIR' "$cgd" export \
    models/instance.safetensors --frozen --onnx new
mkdir nothing
refuse 'no pictures to calibrate with' 'holds no picture' "$cgd" export \
    models/instance.safetensors --calibrate nothing --onnx new
mkdir -p broken/all sound
cp pictures/trainA/*.png broken
cp pictures/trainA/*.png sound
first=$(cd broken && ls -- *.png | head -n 1)
head -c 700 "pictures/trainA/$first" >"broken/$first"
check 'a broken picture is skipped, the next one measured' sh -c '
    "$1" export models/instance.safetensors --calibrate broken --count 1 \
        --safetensors new 2>said && [ "$(wc -l <said)" -eq 1 ] &&
    grep -q "^cgd: warning: broken/$2.*; skipped$" said' - "$cgd" "$first"
rm -f "sound/$first"
check 'as if it were not there' sh -c '
    "$1" export models/instance.safetensors --calibrate sound \
        --count 1 --safetensors again && cmp new again' - "$cgd"
mv "broken/$first" broken/all
rm -f new
check 'none but broken pictures to calibrate with' sh -c '
    ! "$1" export models/instance.safetensors --calibrate broken/all \
        --safetensors new 2>said && [ ! -e new ] &&
    tail -n 1 said | grep -q "broken/all: none of .* the last: "' - "$cgd"
refuse 'bf16 in ONNX' 'bf16' "$cgd" export models/none.safetensors \
    --dtype bf16 --pth new --onnx new
refuse 'halves in C' 'dtype' "$cgd" export models/none.safetensors \
    --dtype f16 --pth new --c new
refuse 'an unknown type' 'f32, f16, bf16' "$cgd" export \
    models/none.safetensors --dtype int8 --pth new
refuse 'a missing folder' 'folder missing' "$cgd" export \
    models/none.safetensors --pth no_such_folder/new
"$cgd" export --help >help
check 'help names every option' sh -c \
    'for o in safetensors describe pth onnx "c NAME.h" incbin dtype net frozen calibrate count
     do grep -q -e "--$o" help || exit 1; done'

# ---- Python's packages -----------------------------------------------------

for python in python3 /usr/bin/python3; do
    if [ $python = /usr/bin/python3 ] && have python3 &&
        [ "$(python3 -c 'import sys; print(sys.prefix)')" = /usr ]; then
        continue                               # it is the one from before
    fi
    if ! $python -c 'import numpy' 2>/dev/null; then
        skip "$python has no numpy"
        continue
    fi
    OMP_NUM_THREADS=2 $python "$root/tests/export_check.py" models \
        "$scratch/export_nets" "$cgd" >checks 2>err
    grep -v ' passed, ' checks
    line=$(grep -E '^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped' checks)
    if [ -z "$line" ]; then flunk "$python tests/export_check.py"; continue; fi
    # shellcheck disable=SC2086
    set -- $line
    passed=$((passed + $1)) failed=$((failed + $3)) skipped=$((skipped + $5))
done

echo "$passed passed, $failed failed, $skipped skipped"
[ $failed -eq 0 ]
