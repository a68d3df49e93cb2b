#!/bin/sh
# cgd eval: the figures it writes, the page, the alarms, and what it refuses.
#
#     sh tests/test_eval.sh [CGD [SCRATCH]]
#
# CGD is the program, build/cgd if it is not named. SCRATCH is a folder for the
# test's own files, a temporary one if it is not named. Prints "ok NAME" or
# "FAILED NAME" for each check and at last "N passed, N failed".

set -u
root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/tests/checks.sh"
rm -rf data big few one renamed empty twins odd other net net2 dug many \
    worn ruined 'a<b&c'
rm -f ./*.csv ./*.html

# ---- checks -----------------------------------------------------------------

# refuse NAME PATTERN ARGUMENTS...: cgd eval refuses, in one sentence on
# stderr with the pattern in it, and writes no file.
refuse()
{
    name=$1 pattern=$2
    shift 2
    "$cgd" eval "$@" --csv refused.csv >log 2>err
    status=$?
    if { [ $status -eq 1 ] || [ $status -eq 2 ]; } && [ ! -e refused.csv ] &&
        [ "$(grep -c '^cgd: ' err)" -eq "$(wc -l <err)" ] &&
        tail -n 1 err | grep -q -e "$pattern"; then pass "$name"
    else flunk "$name"; fi
    rm -f refused.csv
}

eval_() { "$cgd" eval "$@" --replicates 40; }

# value FILE ANSWER AGAINST METRIC: the figure in a CSV file.
value() { awk -F, -v k="$2,$3,$4" '$1 "," $2 "," $3 == k { print $4 }' "$1"; }

# near FILE ANSWER AGAINST METRIC WANTED TOLERANCE
near()
{
    value "$1" "$2" "$3" "$4" | awk -v w="$5" -v t="$6" '
        { n++; d = $1 - w; good = $1 != "" && (d < 0 ? -d : d) <= t
          if (!good) print "got", $1, "wanted", w > "/dev/stderr" }
        END { exit !(n == 1 && good) }'
}

# within FILE: no interval lies beside its value.
within()
{
    awk -F, 'NR > 1 && $2 != "" && $4 != "" {
        n++; if ($5 > $4 || $6 < $4) bad++ } END { exit !(n > 3 && !bad) }' "$1"
}

has() { grep -q -e "$1" "$2"; }

# ---- data -------------------------------------------------------------------

[ -x "$cgd" ] || { echo "FAILED there is no program $cgd"; exit 1; }
check "data" "$cgd" dataset data --size 32 --count 12 --tests 10
check "data of another size" "$cgd" dataset big --size 36 --count 1 --tests 10
mkdir few one renamed empty twins odd
cp data/trainB/000[1-4].png few
for i in 1 2 3 4 5 6 7 8 9; do cp data/testB/0001.png one/000$i.png; done
for i in 1 2 3; do cp data/testA/000$i.png renamed/000$i.bmp; done
cp data/testA/0004.png renamed/unknown.png
cp data/testA/0001.png twins/0001.png
cp data/testA/0002.png twins/0001.bmp
cp data/testA/0001.png odd
cp big/testA/0002.png odd

# ---- pairs ------------------------------------------------------------------

check "help" sh -c '"$1" eval --help | grep -q "^usage: cgd eval"' sh "$cgd"
check "no line of the help is too long" \
    sh -c '! "$1" eval --help | grep -q ".\{81\}"' sh "$cgd"
check "a folder against itself" eval_ data/testB --truth data/testB \
    --csv same.csv
check "equal pictures: 99 dB" near same.csv outputs truth psnr 99 0
check "equal pictures: SSIM 1" near same.csv outputs truth ssim 1 1e-6
check "equal pictures: MS-SSIM 1" near same.csv outputs truth ms_ssim 1 1e-6
check "equal pictures: no L1" near same.csv outputs truth l1 0 0
check "pairs" eval_ data/testA --truth data/testB --train data/trainB \
    --csv pairs.csv
# The wanted numbers are numpy's, from the same PNG files.
check "PSNR is numpy's" near pairs.csv outputs truth psnr 10.232901 2e-6
check "L1 is numpy's" near pairs.csv outputs truth l1 64.085840 2e-6
check "the mean picture's PSNR is numpy's" \
    near pairs.csv mean truth psnr 16.488869 2e-6
check "the mean picture's L1 is numpy's" \
    near pairs.csv mean truth l1 26.688378 2e-6
check "values lie in their intervals" within pairs.csv
check "the table is on stdout" sh -c '
    "$1" eval data/testA --truth data/testB | grep -q "^outputs *10.23+-"' \
    sh "$cgd"
check "names pair whatever their ending" eval_ renamed --truth data/testA \
    --csv renamed.csv
check "a picture without counterpart is left out, with a warning" sh -c '
    "$1" eval renamed --truth data/testA 2>&1 >/dev/null |
        grep -q "1 of 4 pictures of renamed"' sh "$cgd"
check "the others are paired" near renamed.csv outputs truth psnr 99 0

# ---- models -----------------------------------------------------------------

check "a teacher" "$cgd" train --preset demo --data data --size 32 --ngf 4 \
    --blocks 1 --steps 2 --out net
check "a student" "$cgd" distil --preset demo --data data --size 32 \
    --direction ab --blocks 1 --steps 1 --teacher net/g_ab.safetensors \
    --out net2
models="--model net2/student.safetensors --teacher net/g_ab.safetensors"
# shellcheck disable=SC2086
check "student, teacher, truth, real, input, mean at once" eval_ $models \
    --input data/testA --truth data/testB --real data/trainB \
    --train data/trainB --csv all.csv --html all.html
for key in input,truth,psnr mean,truth,ssim teacher,truth,ms_ssim \
    student,truth,l1 input,teacher,psnr student,teacher,psnr \
    mean,real,swd teacher,real,kid student,real,density floor,real,coverage \
    student,,parameters teacher,,macs student,,alarm_collapse; do
    check "a line for $key" has "^$key,[-0-9]" all.csv
done
check "the teacher is not compared with itself" \
    sh -c '! grep -q "^teacher,teacher" all.csv'
check "every line has its fields" awk -F, '
    { gsub(/"[^"]*"/, ""); if (NF != 7) bad++ } END { exit bad > 0 }' all.csv
check "the input's figures are those of its folder" sh -c '
    [ "$(grep ^input,truth,psnr all.csv | cut -d, -f4-)" = \
      "$(grep ^outputs,truth,psnr pairs.csv | cut -d, -f4-)" ]'
check "a model is its own best student" eval_ --model net/g_ab.safetensors \
    --teacher net/g_ab.safetensors --input data/testA --csv self.csv
check "which is equal to it" near self.csv student teacher psnr 99 0
check "translated into a folder" "$cgd" translate net2/student.safetensors \
    data/testA -o dug/
check "and judged there" eval_ dug --truth data/testB --input data/testA \
    --csv dug.csv
check "gives the same as judging the model" sh -c '
    [ "$(grep ^student,truth all.csv | cut -d, -f2-)" = \
      "$(grep ^outputs,truth dug.csv | cut -d, -f2-)" ]'
# shellcheck disable=SC2086
check "a folder and a model beside each other" eval_ dug $models \
    --input data/testA --csv both.csv
check "have a line each" sh -c '
    [ "$(grep ^student,teacher both.csv | cut -d, -f2-)" = \
      "$(grep ^outputs,teacher both.csv | cut -d, -f2-)" ] &&
    [ "$(grep -c ^student,teacher both.csv)" = 4 ]'

# ---- sets -------------------------------------------------------------------

check "a set against real pictures" eval_ data/testB --real data/trainB \
    --csv set1.csv --threads 1
check "again, with three threads" eval_ data/testB --real data/trainB \
    --csv set3.csv --threads 3
check "is the same byte by byte" cmp set1.csv set3.csv
check "another seed draws otherwise" sh -c '
    "$1" eval data/testB --real data/trainB --replicates 40 --seed 9 \
        --csv seed.csv && ! cmp -s set1.csv seed.csv' sh "$cgd"
check "the wrong kind of pictures is farther away" eval_ data/testA \
    --real data/trainB --csv wrong.csv
farther()
{
    for m in swd kid; do
        awk -v a="$(value set1.csv outputs real $m)" \
            -v b="$(value wrong.csv outputs real $m)" \
            'BEGIN { exit !(a + 1 < b) }' || return 1
    done
}
check "by SWD and by KID" farther
check "a set against itself is no distance away" sh -c '
    "$1" eval data/trainB --real data/trainB --csv zero.csv' sh "$cgd"
check "SWD 0" near zero.csv outputs real swd 0 0
check "coverage 1" near zero.csv outputs real coverage 1 0
check "too few real pictures leave figures out" eval_ data/testB --real few \
    --csv few.csv
check "and say which, and why" \
    has '^outputs,real,density,,,,"left out: needs six real' few.csv
check "the others are there" has '^outputs,real,kid,[-0-9]' few.csv

check "more than a thousand pictures" "$cgd" dataset many --size 16 --count 1 \
    --tests 1003
check "are thinned out alike on both sides" sh -c '
    "$1" eval many/testB --truth many/testB --csv many.csv --replicates 5 \
        2>warned | grep -q "^1000 pictures judged" &&
    [ $(grep -c "of 1003 pictures in many/testB 1000" warned) = 2 ]' sh "$cgd"
check "and still pairs" near many.csv outputs truth psnr 99 0

# ---- alarms -----------------------------------------------------------------

fired() { has "^$2,,alarm_$3,.*,1,\"" "$1"; }
quiet() { ! grep -q "^$2,,alarm_[a-z]*,[^,]*,[^,]*,1," "$1"; }
check "health raises no alarm" eval_ data/testB --input data/testA \
    --real data/trainB --truth data/testB --csv well.csv
check "none at all" quiet well.csv outputs
check "which five lines say" sh -c '
    [ "$(grep -c "^outputs,,alarm_" well.csv)" = 5 ]'
check "the colours of another kind raise the alarm" \
    fired wrong.csv outputs colour
check "always the same picture" eval_ one --real data/trainB --csv one.csv
check "is a collapse" fired one.csv outputs collapse
check "which the terminal shows" sh -c '
    "$1" eval one --real data/trainB | grep -q "ALARM  collapse"' sh "$cgd"

# ---- the page ---------------------------------------------------------------

if command -v xmllint >/dev/null 2>&1; then
    check "the page is well formed" xmllint --noout all.html
elif python3 -c 'import xml.dom.minidom' >/dev/null 2>&1; then
    check "the page is well formed" python3 -c '
import sys, xml.dom.minidom
xml.dom.minidom.parse(sys.argv[1])' all.html
else
    skipped=$((skipped + 1))
    echo "skipped: neither xmllint nor python3 to read the page"
fi
check "it needs no other file and no script" \
    sh -c '! grep -q -e "<script" -e "http:" -e "https:" -e "<link" all.html'
check "nine rows of input, teacher, student, truth" sh -c '
    [ "$(grep -c "data:image/png;base64," all.html)" = 36 ]'
# Dig the truth of the first row out again: it is one of the test pictures.
dig()
{
    rm -rf dug
    mkdir dug
    shown=$(sed -n 's/.*<small>\([0-9]*\.png\)<br.*/\1/p' all.html | head -1)
    sed -n 's/.*alt="truth".*base64,\([^"]*\)".*/\1/p' all.html | head -1 |
        base64 -d >"dug/$shown" &&
        eval_ dug --truth data/testB --csv dug.csv
}
check "a picture comes out of the page" dig
check "as it went in" near dug.csv outputs truth psnr 99 0
check "names are escaped" sh -c '
    mkdir -p "a<b&c" && cp data/testB/000[1-3].png "a<b&c" &&
    "$1" eval "a<b&c" --truth data/testB --html odd.html &&
    grep -q "a&lt;b&amp;c" odd.html && ! grep -q "a<b" odd.html' sh "$cgd"
check "unpaired, a page shows the nearest real picture" sh -c '
    "$1" eval data/testB --real data/trainB --html real.html &&
    [ "$(grep -c "alt=\"nearest real\"" real.html)" = 9 ]' sh "$cgd"

check "--size brings pictures of two sizes to one" \
    "$cgd" eval big/testB --real data/trainB --truth big/testB --size 32 \
    --csv sized.csv
check "both of a pair" near sized.csv outputs truth psnr 99 0

# ---- refusals ---------------------------------------------------------------

refuse "nothing to judge" 'nothing to judge' --truth data/testB
refuse "nothing to compare with" 'nothing to compare' data/testA
refuse "a model without pictures" 'needs --input' --model x --truth data/testB
refuse "a teacher without a student" 'needs --model' data/testA --teacher x
refuse "a folder that is not there" 'nowhere' nowhere --truth data/testB
refuse "an empty folder" 'empty' empty --truth data/testB
mkdir other
cp data/testA/0001.png other/elsewhere.png
refuse "names that do not pair" 'counterpart' other --truth data/testB
refuse "sizes that differ" '36 x 36.*32 x 32\|32 x 32.*36 x 36' \
    data/testA --truth big/testB
refuse "real pictures of another size" 'bring them to one with --size' \
    data/testB --real big/testB
refuse "sets of several sizes" 'several sizes' odd --real data/trainB
refuse "one name twice" 'one picture of a pair' twins --truth data/testB
refuse "a mean of another size" 'bring them to one with --size' \
    data/testA --truth data/testB --train big/testB
refuse "a model that is none" '.' --model data/testA/0001.png \
    --input data/testA --truth data/testB
mkdir -p damaged
cp data/testA/0001.png damaged
head -c 700 data/testA/0002.png >damaged/0002.png
refuse "a damaged picture" 'damaged/0002.png' damaged --truth data/testB
mkdir -p worn ruined
cp data/trainB/*.png worn
cp damaged/0002.png worn/0000.png
cp damaged/0002.png ruined
sound="data/testA --truth data/testB"
# shellcheck disable=SC2086
for kind in real train; do
    check "what --$kind gives" eval_ $sound --$kind data/trainB --csv sound.csv
    check "a damaged picture of --$kind is skipped" \
        eval_ $sound --$kind worn --csv worn.csv
    mv err warnings
    check "--$kind warns of it" \
        has '^cgd: warning: worn/0000.png.*; skipped$' warnings
    check "--$kind is otherwise the same" cmp sound.csv worn.csv
    refuse "--$kind with no sound picture" 'ruined: none of .*the last: ' \
        $sound --$kind ruined
done
refuse "a damaged picture among the truth" 'damaged/0002.png' \
    data/testA --truth damaged
check "a CSV file that cannot be written is a failure" sh -c '
    ! "$1" eval data/testA --truth data/testB --csv no/such.csv 2>err &&
    grep -q "cannot write no.such.csv" err' sh "$cgd"
check "pictures of several sizes are judged one by one" sh -c '
    "$1" eval odd --truth odd --csv odd.csv | grep -q "several sizes"' \
    sh "$cgd"

if [ $skipped -gt 0 ]; then
    echo "$passed passed, $failed failed, $skipped skipped"
else
    echo "$passed passed, $failed failed"
fi
[ $failed -eq 0 ]
