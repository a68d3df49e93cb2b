#!/bin/sh
# Real photographs, when CGD_DATA names a folder that has them: a few steps of
# training and distillation on each set, and pictures of several sizes through
# the result. What the nets learn is not judged here.
#
#     CGD_DATA=/data sh tests/test_real.sh [CGD [SCRATCH]]

cgd=${1:-build/cgd}
if [ -z "$CGD_DATA" ] || [ ! -d "$CGD_DATA" ]; then
    echo '0 passed, 0 failed, 1 skipped (CGD_DATA names no folder)'
    exit 0
fi
scratch=${2:-$(mktemp -d)}
trap 'rm -rf "$scratch"' EXIT
passed=0 failed=0

# check NAME COMMAND...: the command succeeds
check() {
    name=$1
    shift
    if "$@" >"$scratch/out" 2>&1; then
        passed=$((passed + 1))
        echo "ok $name"
    else
        failed=$((failed + 1))
        echo "FAILED $name"
        tail -n 3 "$scratch/out"
    fi
}

tiny='--size 64 --load-size 72 --ngf 8 --ndf 8 --sample-every 4'
for set in apple2orange64 maps monet2photo facades horse2zebra; do
    [ -d "$CGD_DATA/$set/trainA" ] || continue
    run=$scratch/$set
    check "train on $set" "$cgd" train --preset demo $tiny --steps 4 \
        --data "$CGD_DATA/$set" --out "$run"
    check "distil on $set" "$cgd" distil --preset demo $tiny --ngf 0 \
        --steps 4 --data "$CGD_DATA/$set" --teacher "$run/g_ab.safetensors" \
        --direction ab --out "$run.student"
    check "the original recipe on $set" "$cgd" distil --preset original \
        $tiny --ngf 0 --disc patch --steps 2 --data "$CGD_DATA/$set" --direction ab \
        --teacher "$run/g_ab.safetensors" \
        --reverse "$run/g_ba.safetensors" --out "$run.original"
    check "translate pictures of $set" "$cgd" translate \
        "$run.student/student.safetensors" "$CGD_DATA/$set/testA" \
        -o "$run.out"
    check "as many pictures out of $set as in" test \
        "$(ls "$CGD_DATA/$set/testA" | wc -l)" = "$(ls "$run.out" | wc -l)"
done
for set in maps facades; do
    [ -d "$CGD_DATA/$set/joined_originals_train" ] || continue
    check "oblong originals of $set" "$cgd" translate \
        "$scratch/$set.student/student.safetensors" \
        "$CGD_DATA/$set/joined_originals_train" -o "$scratch/$set.joined"
done

# A published net that is cut to two thirds of its work, and learns nothing
# again, still does most of what it did.
net=$(ls "$CGD_DATA"/checkpoints/01_*.pth 2>/dev/null)
if [ -n "$net" ] && [ -d "$CGD_DATA/horse2zebra/testA" ]; then
    check "import a published net" "$cgd" import "$net" \
        -o "$scratch/teacher.safetensors"
    check "cut it" "$cgd" prune "$scratch/teacher.safetensors" \
        --stages 14,28,112,64,28,14 -o "$scratch/cut.safetensors"
    check "compare the two" "$cgd" eval --size 128 --replicates 0 \
        --teacher "$scratch/teacher.safetensors" \
        --model "$scratch/cut.safetensors" \
        --input "$CGD_DATA/horse2zebra/testA" --csv "$scratch/cut.csv"
    check "they agree to 18 dB" awk -F, '
        $1 == "student" && $2 == "teacher" && $3 == "psnr" { psnr = $4 }
        END { exit !(psnr > 18) }' "$scratch/cut.csv"
fi

echo "$passed passed, $failed failed"
[ $failed = 0 ]
