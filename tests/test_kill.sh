#!/bin/sh
# Trainings and distillations are killed at random moments and resumed as the
# manual says, until they have done all their steps: state, models, samples
# and log must then be those of a run that nobody touched, byte for byte.
#
#     sh tests/test_kill.sh [CGD [SCRATCH]]
#
# KILLS in the environment: how many, 8 if it is not set; `make kill` takes
# 200. Most are SIGKILL, every fourth a signal upon which the run saves.

set -u
root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/tests/checks.sh"
kills=${KILLS:-8}
rm -rf data untouched killed log err
mkdir -p untouched

steps="--steps 160 --log-every 7 --save-every 5 --sample-every 20
       --keep-every 40"
tiny="--preset demo --data data --size 16 --load-size 16 --blocks 1
      --threads 1"
teach="$tiny --direction ab --teacher untouched/train/g_ab.safetensors"
# begin KIND FOLDER: what starts a run of that kind. (run=exec makes it take
# the place of a subshell, so that what is killed is the run.)
run=
begin()
{
    case $1 in
    train) $run "$cgd" train $tiny --ngf 2 --ndf 2 --disc-layers 1 --pool 4 \
               $steps --out "$2" ;;
    distil) $run "$cgd" distil $teach --ngf 2 --feature 1 $steps --out "$2" ;;
    cuts) $run "$cgd" distil $teach --ngf 1 --cuts 20 $steps --out "$2" ;;
    esac
}
# go_on KIND FOLDER: start it, or resume it where it has saved something.
go_on()
{
    if [ -e "$2/state.safetensors" ] || [ -e "$2/state.previous.safetensors" ]
    then case $1 in
        train) $run "$cgd" train --resume --out "$2" ;;
        *) $run "$cgd" distil --resume --out "$2" ;;
        esac
    else begin $1 "$2"; fi
}
# files FOLDER: all of a run's files and their sums. Which state came before
# the last depends on when a run was stopped.
files()
{
    (cd "$1" && find . -type f ! -name state.previous.safetensors \
        -exec cksum {} + | sort -k 3)
}
# between A B: a random number of seconds.
between()
{
    awk -v seed=$tries -v a="$1" -v b="$2" \
        'BEGIN { srand(seed); rand(); print a + (b - a) * rand() }'
}

tries=0 hits=0
# same KIND: the killed run, gone on with to its end, is as the untouched one.
same()
{
    go_on $1 killed/$1 && files killed/$1 >was.killed &&
        files untouched/$1 >was.untouched && diff was.untouched was.killed >&2
}
# torture KIND KILLS: until so many kills have hit. Whenever the run comes to
# its end before one, it is compared and begun again.
torture()
{
    until [ $hits -ge $2 ]; do
        tries=$((tries + 1))
        case $((tries % 8)) in
        3) signal=TERM ;;
        7) signal=HUP ;;
        *) signal=KILL ;;
        esac
        run=exec
        go_on $1 killed/$1 >log 2>err &
        run=
        sleep "$(between 0.02 0.7)"
        kill -s $signal $! 2>/dev/null
        wait $! 2>/dev/null
        status=$?
        case $status in
        0)  check "$1, after $hits kills in all" same $1
            rm -rf killed/$1 ;;
        130 | 137 | 143 | 129) hits=$((hits + 1)) ;;
        *)  flunk "$1 after a kill: status $status"
            return ;;
        esac
    done
    [ ! -e killed/$1 ] || check "$1, after all its kills" same $1
    rm -rf killed/$1
}

"$cgd" dataset data --size 16 --count 5 --tests 0 >log 2>err
mkdir killed
part=0
for kind in train distil cuts; do
    part=$((part + 1))
    check "an untouched run: $kind" begin $kind untouched/$kind
    torture $kind $((kills * part / 3))
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
