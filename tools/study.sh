#!/bin/sh
# The study of distillation on drawn pictures: make study. Hours in the
# background; stop it at any moment and start it again: what build/study/
# results.csv holds is not done again.
#
# For every seed: a teacher, trained as `make demo` does; students of several
# widths distilled from it by our recipe; their twins, which get as many
# seconds by the original recipe, and from scratch; and how the distilled ones
# change with the number of steps and with the weight of an adversarial term.
#
# SEEDS="1 2 3", TEACHER_STEPS (1000) and STUDENT_STEPS (3000) can be set.
# Columns: psnr and ssim against the truth, then against the teacher; seconds
# of learning; parameters, MACs and ms of one picture.

cd "$(dirname "$0")/.." || exit 1
study=build/study
csv=$study/results.csv
seeds=${SEEDS:-1 2 3}
steps=${STUDENT_STEPS:-3000}
mkdir -p $study
[ -s $csv ] || echo "seed,student,recipe,steps,seconds,psnr,ssim,\
psnr_teacher,ssim_teacher,params,macs,ms" >$csv
trap 'exit 130' INT TERM

# known SEED STUDENT RECIPE: is there a row of this already?
known() { grep -q "^$1,$2,$3," $csv; }

# record SEED STUDENT RECIPE STEPS SECONDS MODEL [ROW]: judge it, add its row.
record() {
    teacher=$study/teacher-$1/g_ab.safetensors
    build/demo_report $study/data "$teacher" "$6" $study >/dev/null
    row=$(grep "^${7:-student}," $study/metrics.csv | cut -d, -f2-) || exit 1
    echo "$1,$2,$3,$4,$5,$row" | tee -a $csv
}

# learn OUT SECONDS COMMAND...: run, at most so many seconds (0: to the end),
# and say how long it took in $took. A folder without its models is a run that
# was cut off.
learn() {
    out=$1 limit=$2
    shift 2
    rm -rf "$out"
    start=$(date +%s)
    if [ "$limit" = 0 ]; then
        "$@" --out "$out" --sample-every 0 >"$out.log" 2>&1 || exit 1
    else
        timeout -s INT "$limit" "$@" --out "$out" --sample-every 0 \
            >"$out.log" 2>&1
    fi
    took=$(($(date +%s) - start))
}

# distil SEED STUDENT RECIPE STEPS OPTIONS...: a student by our recipe.
distil() {
    seed=$1 student=$2 recipe=$3 n=$4
    shift 4
    known "$seed" "$student" "$recipe" && return
    out=$study/$student-$recipe-$seed
    learn "$out" 0 build/cgd distil --preset demo --data $study/data \
        --teacher $study/teacher-"$seed"/g_ab.safetensors --direction ab \
        --seed "$seed" --steps "$n" "$@"
    record "$seed" "$student" "$recipe" "$n" $took "$out/student.safetensors"
}

# twins SEED STUDENT OPTIONS...: the same net by the original recipe and from
# scratch, in the seconds that our recipe took.
twins() {
    seed=$1 student=$2
    shift 2
    took=$(grep "^$seed,$student,best," $csv | cut -d, -f5)
    [ "$took" -gt 0 ] || took=1
    if ! known "$seed" "$student" original; then
        out=$study/$student-original-$seed
        learn "$out" "$took" build/cgd distil --preset original --size 64 \
            --load-size 64 --no-flip --disc patch --disc-layers 2 --ndf 32 \
            --lr 0.001 --init normal --steps 1000000 --data $study/data \
            --teacher $study/teacher-"$seed"/g_ab.safetensors \
            --reverse $study/teacher-"$seed"/g_ba.safetensors \
            --direction ab --seed "$seed" "$@"
        record "$seed" "$student" original 0 $took \
            "$out/student.safetensors"
    fi
    took=$(grep "^$seed,$student,best," $csv | cut -d, -f5)
    [ "$took" -gt 0 ] || took=1
    if ! known "$seed" "$student" scratch; then
        out=$study/$student-scratch-$seed
        learn "$out" "$took" build/cgd train --preset demo \
            --data $study/data --steps 1000000 --seed "$seed" "$@"
        record "$seed" "$student" scratch 0 $took "$out/g_ab.safetensors"
    fi
}

[ -d $study/data/testB ] || build/cgd dataset $study/data >/dev/null || exit 1
for s in $seeds; do
    if ! known "$s" teacher teacher; then
        n=${TEACHER_STEPS:-1000}
        learn $study/teacher-"$s" 0 build/cgd train --preset demo \
            --data $study/data --seed "$s" --steps "$n"
        record "$s" teacher teacher "$n" $took \
            $study/teacher-"$s"/g_ab.safetensors teacher
    fi
    # Students of about 1/2, 1/7, 1/13, 1/22 and 1/58 of the teacher's MACs.
    for student in "16 plain" "8 plain" "8 separable" "4 plain" "2 plain"; do
        w=${student% *} kind=${student#* }
        distil "$s" "$w-$kind" best "$steps" --ngf "$w" --block "$kind"
        twins "$s" "$w-$kind" --ngf "$w" --block "$kind" --blocks 3
    done
    # How soon it is good, and what an adversarial term buys and costs.
    for n in 100 300 1000; do
        distil "$s" 8-plain "best-$n" $n --ngf 8
    done
    for weight in 0.03 0.1 0.3 1; do
        distil "$s" 8-plain "gan-$weight" "$steps" --ngf 8 \
            --gan-weight $weight --lr-d 0.0002
    done
done

for what in steps gan; do
    awk -F, -v what=$what -f tools/study_plot.awk $csv >$study/$what.svg ||
        rm -f $study/$what.svg
done
