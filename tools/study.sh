#!/bin/sh
# The study of distillation: make study. Hours in the background; stop it at
# any moment and start it again: what build/study/results.csv holds is not done
# again.
#
# For every set and seed: a teacher; students of several sizes, distilled from
# it by our default recipe; their twins, which learn for as many processor
# seconds by the original recipe, and from scratch. On the drawn set, too, how
# soon a student is good, and what an adversarial term buys and costs.
#
#     drawn     what cgd dataset draws, where the truth is known
#     maps      $CGD_DATA/maps, photograph -> map, trained as unpaired
#     facades   $CGD_DATA/facades, labels -> photograph, likewise
#     horses    $CGD_DATA/horse2zebra160; the teacher is a published one
#
# SETS ("drawn", with CGD_DATA all), SEEDS ("1 2 3"), and for a quick look
# STEPS (100: per cent of the steps of every run) can be set. Columns: l1, psnr
# and ssim against the truth, then against the teacher; seconds of one core.

cd "$(dirname "$0")/.." || exit 1
study=build/study
csv=$study/results.csv
sets=${SETS:-drawn${CGD_DATA:+ maps facades horses}}
mkdir -p $study
[ -s $csv ] || echo "set,seed,student,recipe,steps,seconds,l1,psnr,ssim,\
l1_teacher,psnr_teacher,ssim_teacher,params,macs" >$csv
trap 'exit 130' INT TERM

# known STUDENT RECIPE: is there a row of this set and seed already?
known() { grep -q "^$set,$seed,$1,$2," $csv; }

# steps N: so many, or the share that STEPS asks for.
steps() { echo $((($1 * ${STEPS:-100} + 99) / 100)); }

# judge MODEL: compare what it makes of the test pictures.
judge() {
    build/cgd eval --model "$1" --teacher "$teacher" --size $size \
        --input "$input" ${truth:+--truth "$truth" --train "$train"} \
        --replicates 0 --csv $study/eval.csv >$study/eval.txt || exit 1
}

# record STUDENT RECIPE STEPS SECONDS [ANSWER]: a row of what was judged.
record() {
    awk -F, -v a="${5:-student}" -v row="$set,$seed,$1,$2,$3,$4" '
        $1 == a { v[$2 "," $3] = $4 }
        END {
            n = split("truth,l1 truth,psnr truth,ssim teacher,l1 " \
                      "teacher,psnr teacher,ssim ,parameters ,macs", key, " ")
            for (i = 1; i <= n; i++) row = row "," v[key[i]]
            print row
        }' $study/eval.csv | tee -a $csv
}

# learn RUN COMMAND...: run it on one core; $took: the seconds of a processor.
learn() {
    run=$1
    shift
    times >$study/before
    "$@" --out "$run" --threads 1 --sample-every 0 >"$run.log" 2>&1 || exit 1
    times >$study/after
    took=$(awk 'FNR == 2 {
        split($1, t, /[ms]/)
        s[NR] = t[1] * 60 + t[2] } END { printf "%.1f", s[4] - s[2] }' \
        $study/before $study/after)
}

# distil STUDENT RECIPE STEPS OPTIONS...: a student by our recipe.
distil() {
    student=$1 recipe=$2 n=$3
    shift 3
    known "$student" "$recipe" && return
    out=$study/$set-$student-$recipe-$seed
    rm -rf "$out"
    # shellcheck disable=SC2086
    learn "$out" build/cgd distil --preset demo $pictures --seed "$seed" \
        --teacher "$teacher" --direction $direction --steps "$n" "$@"
    judge "$out/student.safetensors"
    record "$student" "$recipe" "$n" "$took"
}

# twin STUDENT RECIPE MODEL COMMAND...: the same net by another way, in the
# seconds that our recipe took; a short run tells how many steps these are.
twin() {
    student=$1 recipe=$2 model=$3
    shift 3
    known "$student" "$recipe" && return
    out=$study/$set-$student-$recipe-$seed
    rm -rf "$out" "$out-pace"
    learn "$out-pace" "$@" --steps 40
    rm -rf "$out-pace" "$out-pace.log"
    n=$(grep "^$set,$seed,$student,best," $csv | cut -d, -f6 |
        awk -v pace="$took" '{ n = int($1 * 40 / pace)
                               print n < 40 ? 40 : n }')
    learn "$out" "$@" --steps "$n"
    judge "$out/$model"
    record "$student" "$recipe" "$n" "$took"
}

# student STUDENT STEPS OPTIONS...: all three ways to it.
student() {
    name=$1 n=$2
    shift 2
    distil "$name" best "$n" "$@"
    # The original losses, with what makes them learn in minutes. A teacher
    # that came alone has no way back: no cycle.
    if [ -n "$reverse" ]; then way="--reverse $reverse"; else way="--cycle 0"; fi
    # shellcheck disable=SC2086
    twin "$name" original student.safetensors build/cgd distil \
        --preset original $pictures --filter bicubic --disc patch \
        --disc-layers 2 --ndf 32 --lr 0.001 --init normal --seed "$seed" \
        --teacher "$teacher" $way --direction $direction "$@"
    # shellcheck disable=SC2086
    twin "$name" scratch g_$direction.safetensors build/cgd train \
        --preset demo --blocks 3 $pictures --seed "$seed" "$@"
}

# teach STEPS...: a teacher, judged after so many steps; the last is it.
teach() {
    teacher=$study/$set-teacher-$seed/g_$direction.safetensors
    reverse=$study/$set-teacher-$seed/g_$back.safetensors
    all=0 go_on="--preset demo $pictures --seed $seed"
    for n in "$@"; do
        [ "$n" = "$1" ] || go_on=--resume
        if known teacher "train-$n"; then
            all=$(grep "^$set,$seed,teacher,train-$n," $csv | cut -d, -f6)
            continue
        fi
        # shellcheck disable=SC2086
        learn $study/$set-teacher-"$seed" build/cgd train $go_on --steps "$n"
        all=$(echo "$all $took" | awk '{ print $1 + $2 }')
        judge "$teacher"
        record teacher "train-$n" "$n" "$all" teacher
    done
    known mean trivial && return
    judge "$teacher"
    for answer in input mean; do record $answer trivial 0 0 $answer; done
}

for set in $sets; do
    direction=ab back=ba size=64
    case $set in
    drawn)
        data=$study/data
        pictures="--data $study/data --size 64 --load-size 64 --no-flip"
        [ -d $data/testB ] || build/cgd dataset $data >/dev/null || exit 1 ;;
    maps | facades)
        data=$CGD_DATA/$set
        pictures="--data $data --size 64 --load-size 72 --flip" ;;
    horses)
        size=128 data=$CGD_DATA/horse2zebra160
        pictures="--data $data --size 128 --load-size 144 --flip" ;;
    *)
        echo "study: $set is none of drawn, maps, facades, horses" >&2
        exit 1 ;;
    esac
    input=$data/testA truth=$data/testB train=$data/trainB
    if [ $set = facades ]; then
        direction=ba back=ab
        input=$data/testB truth=$data/testA train=$data/trainA
    fi
    for seed in ${SEEDS:-1 2 3}; do
        few=$(steps 2000) many=$(steps 3000)
        case $set in
        drawn) teach "$(steps 100)" "$(steps 250)" "$(steps 500)" \
            "$(steps 1000)" ;;
        horses)
            teacher=$study/horses-teacher.safetensors reverse='' truth=''
            build/cgd import "$CGD_DATA"/checkpoints/01_*.pth -o "$teacher" \
                >$study/import.log || exit 1
            known teacher published || {
                judge "$teacher"
                record teacher published 0 0 teacher
            } ;;
        *)  few=$(steps 4000) many=$(steps 6000)
            teach "$(steps 1000)" "$(steps 3000)" "$(steps 8000)" ;;
        esac
        if [ $set = horses ]; then
            student 9-blocks "$many" --blocks 9 --block separable \
                --stages 10,16,54,32,16,10
            distil 9-blocks hidden "$many" --blocks 9 --block separable \
                --stages 10,16,54,32,16,10 --output 5 --haar 5 --feature 1 \
                --teacher-blocks 0,1,2,3,4,5,6,7,8
            distil 9-blocks pruned "$(steps 5000)" --blocks 9 --block separable \
                --stages 10,16,54,32,16,10 --cuts 40 --contrast 20 --lr 0.002
            student 3-blocks "$many" --block separable \
                --stages 8,16,80,80,16,8
            continue
        fi
        student 16-plain "$few" --ngf 16
        student 16-separable "$few" --ngf 16 --block separable
        student 8-plain "$many" --ngf 8
        student 8-separable "$many" --ngf 8 --block separable
        student 4-plain "$many" --ngf 4
        student 4-separable "$many" --ngf 4 --block separable
        [ $set = drawn ] || continue
        for n in 30 100 300 1000; do
            for w in 16 8; do
                distil $w-plain "best-$n" "$(steps $n)" --ngf $w
            done
        done
        for weight in 0.03 0.1 0.3 1; do
            distil 8-plain "gan-$weight" "$many" --ngf 8 --lr-d 0.0002 \
                --gan-weight $weight
        done
    done
done

awk -F, -f tools/study_table.awk $csv | tee $study/table.txt
for what in steps gan; do
    awk -F, -v what=$what -f tools/study_plot.awk $csv >$study/$what.svg ||
        rm -f $study/$what.svg
done
