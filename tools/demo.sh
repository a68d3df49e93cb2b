#!/bin/sh
# The whole pipeline on drawn pictures: make demo. Expects build/cgd and
# build/demo_report; everything it makes goes to build/demo.
#
# DEMO_STEPS and DEMO_STUDENT_STEPS replace the numbers of steps (1000 each),
# for a quick look: the bounds will then be missed.

set -e
cd "$(dirname "$0")/.."
demo=build/demo
begin=$(date +%s)

# stage SENTENCE COMMAND...: say what comes, do it, say how long it took.
stage() {
    echo
    echo "== $1"
    shift
    echo "   $*"
    start=$(date +%s)
    "$@" || return
    echo "   took $(($(date +%s) - start)) s"
}

rm -rf "$demo"
mkdir -p "$demo"

stage "Drawing landscapes by day and at dusk, unpaired but for the test set" \
    build/cgd dataset $demo/data
stage "Training the teacher, 9 blocks, both ways (the longest stage)" \
    build/cgd train --preset demo --data $demo/data --out $demo/train \
    --steps "${DEMO_STEPS:-1000}"
stage "Distilling the student, 3 blocks, from day to dusk" \
    build/cgd distil --preset demo --data $demo/data --direction ab \
    --teacher $demo/train/g_ab.safetensors --out $demo/student \
    --steps "${DEMO_STUDENT_STEPS:-1000}"
status=0
stage "Translating the test pictures and comparing with the truth" \
    build/demo_report $demo/data $demo/train/g_ab.safetensors \
    $demo/student/student.safetensors $demo || status=$?

echo
echo "$(($(date +%s) - begin)) s in all. See $demo/sheet.png (input, teacher," \
     "student, truth) and $demo/metrics.csv."
exit $status
