#!/bin/sh
# The command line program as its users meet it: what it does, what it refuses
# and in what words, and that nothing already written is lost.
#
#     sh tests/test_cli.sh [CGD [SCRATCH]]
#
# CGD is the program, build/cgd if it is not named. SCRATCH is a folder for the
# test's own files, a temporary one if it is not named. Prints "ok NAME" or
# "FAILED NAME" for each check and at last "N passed, N failed"; the exit
# status is 0 if none failed.

set -u
root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/tests/checks.sh"
rm -rf data pictures runs models out err log said warnings
mkdir data pictures runs models out

# ---- checks -----------------------------------------------------------------

# is_refusal STATUS: a plain failure, with one sentence on stderr.
is_refusal()
{
    [ "$1" -eq 1 ] || [ "$1" -eq 2 ] || return 1
    [ "$(wc -l <err)" -eq 1 ] && grep -q '^cgd: .....' err
}

# refuse NAME PATTERN COMMAND...: the command refuses, in one sentence with
# the pattern in it.
refuse()
{
    name=$1 pattern=$2
    shift 2
    "$@" >log 2>err
    if is_refusal $? && grep -q -e "$pattern" err; then pass "$name"
    else flunk "$name"; fi
}

# The same, and the folder is afterwards as it was before.
refuse_unchanged()
{
    folder=$1
    shift
    before=$(find "$folder" -type f -exec cksum {} + | sort)
    refuse "$@"
    if [ "$before" = "$(find "$folder" -type f -exec cksum {} + | sort)" ]
    then pass "$1: nothing lost"; else flunk "$1: nothing lost"; fi
}

# Width and height of a PNG.
png_size()
{
    od -An -tu1 -j16 -N8 "$1" |
        awk '{ print (($1*256+$2)*256+$3)*256+$4, (($5*256+$6)*256+$7)*256+$8 }'
}

equal() { cmp -s "$1" "$2"; }

# The same tensors, whatever the metadata before them say.
equal_tensors()
{
    tail -c +$(($(od -An -tu4 -N4 "$1") + 9)) "$1" >out/tensors
    tail -c +$(($(od -An -tu4 -N4 "$2") + 9)) "$2" | cmp -s - out/tensors
}
differ() { ! cmp -s "$1" "$2"; }
has() { grep -q -e "$1" "$2"; }

# ---- help -------------------------------------------------------------------

[ -x "$cgd" ] || { echo "FAILED there is no program $cgd"; exit 1; }
help_is_good()
{
    "$cgd" "$@" --help >log 2>err && [ ! -s err ] && has '^usage: cgd' log &&
        ! grep -q '.\{81\}' log
}
check "help" help_is_good
for command in dataset train distil translate info pack import; do
    check "$command --help" help_is_good $command
done
check "help names every command" sh -c '
    for c in dataset train distil translate info pack import; do
        "$1" --help | grep -q "^  $c" || exit 1
    done' sh "$cgd"
check "help of a preset shows its values" sh -c '
    "$1" train --preset paper --help | grep -q "ngf.*\[64\]"' sh "$cgd"
check "version" "$cgd" --version
refuse "no such command" 'no command' "$cgd" frobnicate
for command in dataset train distil translate info pack import; do
    refuse "$command: unknown option" "see cgd $command --help" \
        "$cgd" $command --frobnicate
done
refuse "an option without its value" 'needs a value' "$cgd" train --ngf
refuse "an option that is no number" 'needs a number' \
    "$cgd" train --ngf many
refuse "a number out of range" 'out of range' "$cgd" train --ngf 100000
refuse "a number that is not whole" 'whole number' "$cgd" train --ngf 1.5
refuse "a word that is no choice" 'instance, affine' \
    "$cgd" train --norm fancy
check "help of no preset" sh -c '
    "$1" train --help --preset | grep -q "usage: cgd train"' sh "$cgd"
refuse "no such preset" 'no preset' "$cgd" train --preset fancy
refuse "one argument too many" 'too many' "$cgd" info a b

# ---- dataset ----------------------------------------------------------------

check "dataset" "$cgd" dataset data/set --size 16 --count 6 --tests 3
check "dataset has as many pictures as asked for" sh -c '
    [ $(ls data/set/trainA | wc -l) = 6 ] &&
        [ $(ls data/set/trainB | wc -l) = 6 ]'
check "test pictures come in pairs" sh -c '
    [ "$(ls data/set/testA)" = "$(ls data/set/testB)" ]'
"$cgd" dataset data/again --size 16 --count 6 --tests 3 >log
check "dataset: same seed, same pictures" diff -r data/set data/again
"$cgd" dataset data/other --size 16 --count 6 --tests 3 --seed 2 >log
check "dataset: other seed, other pictures" \
    differ data/set/trainA/0001.png data/other/trainA/0001.png
check "a scene to train is in one domain only" \
    differ data/set/trainA/0001.png data/set/testA/0001.png
refuse_unchanged data/set "dataset over a dataset" 'pictures already' \
    "$cgd" dataset data/set --seed 3
refuse "dataset where a file is" 'cannot be made' \
    "$cgd" dataset data/set/trainA/0001.png

# ---- training ---------------------------------------------------------------

tiny="--preset demo --size 16 --load-size 16 --ngf 2 --blocks 1 --ndf 2
      --disc-layers 1 --pool 2 --threads 1"
train() { "$cgd" train $tiny "$@"; }

check "train" train --data data/set --out runs/whole --steps 8 --log-every 2
for file in g_ab.safetensors g_ba.safetensors state.safetensors log.csv \
        samples/000008.png; do
    check "train leaves $file" test -s runs/whole/$file
done
check "log has a line for every interval" \
    sh -c '[ $(wc -l <runs/whole/log.csv) = 5 ]'
train --data data/set --out runs/cut --steps 4 --log-every 2 >log 2>err
check "resume" "$cgd" train --out runs/cut --resume --steps 8 --threads 2
check "resumed = never stopped: state" \
    equal runs/whole/state.safetensors runs/cut/state.safetensors
check "resumed = never stopped: generators" \
    equal runs/whole/g_ba.safetensors runs/cut/g_ba.safetensors
check "a run that has ended leaves no lock" test ! -e runs/whole/run.lock
check "resumed = never stopped: log" equal runs/whole/log.csv runs/cut/log.csv
check "resume of a finished run does nothing" sh -c '
    "$1" train --out runs/cut --resume | grep -q "nothing to do"' sh "$cgd"
train --data data/set --out runs/seed --steps 8 --seed 2 >log 2>err
check "other seed, other run" \
    differ runs/whole/g_ab.safetensors runs/seed/g_ab.safetensors
check "folders one by one" train --data-a data/set/trainA \
    --data-b data/set/trainB --out runs/folders --steps 8
check "folders one by one are the same data" \
    equal_tensors runs/whole/state.safetensors runs/folders/state.safetensors

check "train generators with frozen statistics" train --data data/set \
    --out runs/ice --steps 4 --norm frozen
check "both generators are folded" sh -c '
    "$1" info runs/ice/g_ab.safetensors | grep -q "norm none" &&
        "$1" info runs/ice/g_ba.safetensors | grep -q "norm none"' - "$cgd"
check "epochs" train --data data/set --out runs/epochs --epochs 1 --decay 1 \
    --schedule linear --log-every 1
check "an epoch is the larger folder, the rate falls in the second" \
    awk -F, 'NR == 7 && $13 < 0.00099 { exit 1 }
             NR == 12 && $13 > 0.0005 { exit 1 }
             END { if (NR != 13) exit 1 }' runs/epochs/log.csv
refuse "steps and epochs" 'same thing' \
    "$cgd" train --steps 5 --epochs 2 --data data/set --out runs/none

thirds="--data data/set --log-every 3 --save-every 3"
train $thirds --out runs/thirds --steps 8 >log 2>err
train $thirds --out runs/broken --steps 4 >log 2>err
check "resume in the middle of a line of the log" \
    "$cgd" train --out runs/broken --resume --steps 8
check "its means are those of a run never stopped" \
    equal runs/thirds/log.csv runs/broken/log.csv
check "keep generators beside the sheets" \
    train --data data/set --out runs/kept --steps 8 --keep-every 4
check "the last of them is the result" equal runs/kept/g_ba.safetensors \
    runs/kept/samples/000008.g_ba.safetensors
check "the earlier ones are earlier" differ runs/kept/g_ba.safetensors \
    runs/kept/samples/000004.g_ba.safetensors

# ---- training: what a run remembers -----------------------------------------

odd=$(printf 'data/50%% \377\nsteps=99')
cp -r data/set "$odd"
check "a path may hold anything" train --data "$odd" --out runs/odd --steps 2
check "and says nothing but where the pictures are" sh -c '
    "$1" train --out runs/odd --resume | grep -q "nothing to do"' sh "$cgd"
check "options stand in the state alone" test ! -e runs/odd/options.txt
mkdir runs/old
LC_ALL=C sed s/cgd.options/cgd.0ptions/ runs/whole/state.safetensors \
    >runs/old/state.safetensors
printf '# cgd train --resume\npreset=demo\n' >runs/old/options.txt
for option in $tiny --data data/set --steps 8; do
    case $option in
    --threads) break ;;
    --*) printf '%s=' "${option#--}" ;;
    *) echo "$option" ;;
    esac
done | grep -v preset >>runs/old/options.txt
printf 'data=data/set\nsteps=8\nlog-every=2\n' >>runs/old/options.txt
check "a run of an earlier version keeps its options" \
    "$cgd" train --out runs/old --resume
check "and its state has them then" \
    equal runs/old/state.safetensors runs/whole/state.safetensors
cp -r runs/cut runs/moved
check "resume with other pictures" "$cgd" train --out runs/moved --resume \
    --steps 9 --data data/other
mv err warnings
check "says so" has 'warning: .*other pictures .* 6 of A and 6 of B' warnings
train --data data/set --out runs/fall --steps 4 --schedule linear \
    --decay-part 1 >log 2>err
check "a run that goes on after its end" \
    "$cgd" train --out runs/fall --resume --steps 8
mv err warnings
check "says what the rate does" has \
    'after step 4 the learning rate is 0.5 .* it was to be 0; it falls' warnings
check "a rate that is as it was is not worth a word" sh -c '
    "$1" train --out runs/cut --resume --steps 9 2>&1 | grep warning
    [ $? = 1 ]' sh "$cgd"

# ---- training: states that were damaged -------------------------------------

train --data data/set --out runs/pair --steps 8 --save-every 3 >log 2>err
check "the state before the last is kept" \
    test -s runs/pair/state.previous.safetensors
for damage in cut lost numbers; do
    rm -rf runs/worn
    cp -r runs/pair runs/worn
    state=runs/worn/state.safetensors
    size=$(wc -c <$state)
    case $damage in
    cut) head -c 5000 $state >out/short; cp out/short $state ;;
    lost) rm $state ;;
    numbers)
        head -c $((size - 4)) runs/pair/state.safetensors >$state
        printf '\000\000\300\177' >>$state ;;
    esac
    check "resume with a state that is damaged ($damage)" \
        "$cgd" train --out runs/worn --resume
    mv err warnings
    check "goes on from the one before it, and says so ($damage)" has \
        'warning: .*state.safetensors.*; going on from .*previous.*, step 6' \
        warnings
    check "to the same end ($damage)" \
        equal $state runs/pair/state.safetensors
    check "with the same log ($damage)" \
        equal runs/worn/log.csv runs/pair/log.csv
done
# May this test be kept from reading a file? Not as root, unless root gives up
# the right to read everything.
may="setpriv --bounding-set=-dac_override,-dac_read_search"
[ "$(id -u)" = 0 ] || may=''
echo secret >out/secret
chmod 0 out/secret
if [ -n "$($may cat out/secret 2>&1 >/dev/null | grep -i denied)" ]; then
    for file in log.csv state.safetensors; do
        rm -rf runs/locked
        cp -r runs/pair runs/locked
        chmod 0 runs/locked/$file
        refuse "a $file that cannot be opened" "cannot open runs/locked/$file" \
            $may "$cgd" train --out runs/locked --resume --steps 9
        chmod 600 runs/locked/$file
        check "a $file that cannot be opened stays as it is" \
            equal runs/locked/$file runs/pair/$file
    done
else
    skip "nothing here is forbidden to read"
fi

# ---- training: signals ------------------------------------------------------

# send SIGNAL...: to the process that trains into runs/stop, once it does.
send()
{
    until grep -q '^2,' runs/stop/log.csv 2>/dev/null; do sleep 0.1; done
    for signal in "$@"; do
        kill -s $signal "$(awk '{ print $2; exit }' runs/stop/run.lock)"
    done
}
# stopped SIGNAL...: a run that is sent these saves and says how to go on. (It
# runs in the foreground: what runs behind it does not get INT.)
stopped()
{
    rm -rf runs/stop
    send "$@" &
    "$cgd" train $tiny --data data/set --out runs/stop --steps 100000000 \
        --log-every 1 >log 2>err
    status=$?
    wait
    [ $status -eq 130 ] && has 'go on with: cgd train --resume' log &&
        equal_step
}
# The state is that of the log's last line.
equal_step()
{
    "$cgd" info runs/stop/state.safetensors |
        grep -q "after $(tail -n 1 runs/stop/log.csv | cut -d, -f1) steps"
}
for signals in TERM HUP INT "INT INT INT"; do
    check "$signals: saves and says how to go on" stopped $signals
done
# ignored: what ignores a signal from the beginning (nohup) goes on ignoring.
ignored()
{
    rm -rf runs/stop
    (
        trap '' HUP
        exec "$cgd" train $tiny --data data/set --out runs/stop --steps 400 \
            --log-every 1 >log 2>err
    ) &
    send HUP
    wait $! && has '^done' log
}
check "an ignored signal stays ignored" ignored
unread()
{
    "$cgd" train $tiny --data data/set --out runs/unread --steps 8 2>&1 |
        head -n 1
    sleep 1
    "$cgd" info runs/unread/state.safetensors | grep 'after 8 steps'
}
check "a run whose output nobody reads goes on" unread
rm -rf runs/stop
"$cgd" train $tiny --data data/set --out runs/stop --steps 100000000 \
    --log-every 1 >log 2>err &
first=$!
send 0
refuse "a folder that another process trains into" \
    "runs/stop is in use by process $first on ." \
    "$cgd" train --out runs/stop --resume
kill -KILL $first
wait $first 2>/dev/null
check "after a kill: the lock holds nobody up, the options are there" \
    "$cgd" train --out runs/stop --resume --steps 1

if command -v taskset >/dev/null; then
    check "pinned to one core" taskset -c 0 "$cgd" train --preset demo \
        --size 16 --ngf 2 --blocks 1 --data data/set --out runs/pinned --steps 1
    mv log said
    check "pinned to one core: one thread" has '^kernels: .* 1 thread$' said
fi

# ---- training: refusals -----------------------------------------------------

refuse "train without --out" '--out' "$cgd" train --data data/set
refuse "train without --data" '--data' "$cgd" train --out runs/none
refuse "train with one folder" '--data-b' \
    "$cgd" train --data-a data/set/trainA --out runs/none
refuse "missing folder" 'no such folder' train --data nowhere --out runs/none
mkdir -p data/empty/trainA data/empty/trainB
refuse "empty folder" 'data/empty/trainA' \
    train --data data/empty --out runs/none
refuse "size not a multiple of 4" 'multiple of 4' \
    train --data data/set --out runs/none --size 18
refuse "unknown kernels" 'fancy' \
    train --data data/set --out runs/none --kernels fancy
refuse "unknown kernels in CGD_ISA" 'fancy' env CGD_ISA=fancy \
    "$cgd" train $tiny --data data/set --out runs/none
refuse "crop larger than the picture" 'crop' \
    train --data data/set --out runs/none --load-size 8
refuse "--out is a file" 'is a file' \
    train --data data/set --out data/set/trainA/0001.png
check "refused runs leave no folder" sh -c '! test -e runs/none'
refuse_unchanged runs/whole "a run in the way" 'resume' \
    train --data data/set --out runs/whole --steps 9
refuse "nothing to resume" 'nothing to resume' \
    "$cgd" train --out runs/none --resume
refuse_unchanged runs/whole "another width on resume" 'width=2' \
    "$cgd" train --out runs/whole --resume --steps 9 --ngf 4
refuse_unchanged runs/whole "another discriminator on resume" 'layers' \
    "$cgd" train --out runs/whole --resume --steps 9 --disc-layers 2
refuse_unchanged runs/whole "another size on resume" 'size' \
    "$cgd" train --out runs/whole --resume --steps 9 --size 32
refuse_unchanged runs/whole "another preset on resume" 'preset' \
    "$cgd" train --out runs/whole --resume --preset paper
out_of_memory()
{
    # shellcheck disable=SC3045         # asked for below whether it works
    ulimit -v 400000
    "$cgd" train --data data/set --out runs/big --size 1024 --ngf 256 \
        --threads 1
}
# shellcheck disable=SC3045
if (ulimit -v 400000) 2>/dev/null; then
    refuse "out of memory" 'memory' out_of_memory
fi

# ---- odd pictures -----------------------------------------------------------

model=runs/whole/g_ab.safetensors
"$cgd" dataset pictures/dot --size 1 --count 1 --tests 0 >log
"$cgd" dataset pictures/odd --size 7 --count 1 --tests 0 >log
{
    printf 'BM\336\125\002\000\000\000\000\000\066\000\000\000'
    printf '\050\000\000\000\270\013\000\000\021\000\000\000\001\000\030\000'
    head -c 24 /dev/zero
    head -c 153000 /dev/zero
} >pictures/long.bmp
"$cgd" dataset pictures/large --size 64 --count 1 --tests 0 >log
check "PNG to JPEG" \
    "$cgd" translate $model pictures/large/trainA/0001.png -o pictures/good.jpg
head -c 600 pictures/good.jpg >pictures/cut.jpg
echo 'This is no picture.' >pictures/text.jpg
: >pictures/nothing.png

# mixed FILE...: a data set of these and the good pictures.
mixed()
{
    rm -rf data/mixed
    mkdir data/mixed
    cp -r data/set/trainA data/set/trainB data/mixed
    cp "$@" data/mixed/trainA
}
# only FILE: a data set of one picture in each domain.
only()
{
    rm -rf data/only
    mkdir -p data/only/trainA data/only/trainB
    cp "$1" data/only/trainA
    cp "$1" data/only/trainB
}
for file in data/set/trainA/0001.png pictures/dot/trainA/0001.png \
        pictures/long.bmp pictures/good.jpg; do
    only $file
    check "train on nothing but $file" \
        train --data data/only --out "runs/$(echo $file | tr / _)" --steps 2
done
for file in text.jpg cut.jpg nothing.png; do
    only pictures/$file
    refuse "train on nothing but $file" 'data/only/trainA' \
        train --data data/only --out runs/none
done
mixed pictures/text.jpg pictures/cut.jpg pictures/nothing.png \
    pictures/long.bmp
check "train on broken pictures among good ones" \
    train --data data/mixed --out runs/mixed --steps 4
mv err warnings
for file in text.jpg cut.jpg nothing.png; do
    check "a warning names $file" has "warning: .*$file" warnings
done
check "each warning comes once" sh -c '[ $(grep -c warning: warnings) = 3 ]'

# ---- folders as people have them --------------------------------------------

mkdir -p data/nested/trainA/one/two data/nested/trainB
cp data/set/trainA/0001.png data/nested/trainA/one/two
cp data/set/trainA/0002.png data/nested/trainA/one
cp data/set/trainA/0003.png data/nested/trainA
cp data/set/trainB/0001.png data/nested/trainB
printf 'RIFF....WEBPVP8 ' >data/nested/trainA/one/a.webp
printf 'GIF89a' >data/nested/trainA/b.gif
check "train on folders inside folders" \
    train --data data/nested --out runs/nested --steps 1
mv err warnings
mv log said
check "folders inside folders are counted" has '^pictures: 3 of A, 1 of B' said
check "pictures left out are counted by kind, once" sh -c '
    [ "$(grep -c "left out" warnings)" = 1 ] && grep -q \
        "trainA: left out: .*1 x a WebP picture" warnings'
check "train without folders inside folders" \
    train --data data/nested --out runs/flat --steps 1 --no-recurse
mv log said
check "folders inside folders are left alone" has '^pictures: 1 of A' said
check "translate folders inside folders" "$cgd" translate \
    runs/whole/g_ab.safetensors data/nested/trainA/ -o out/nested
check "folders inside folders stay" sh -c '
    [ "$(cd out/nested && echo $(find . -type f | sort))" = \
        "./0003.png ./one/0002.png ./one/two/0001.png" ]'
mkdir -p data/pairs/A data/pairs/B data/joined/train
refuse "no trainA: what there is instead" \
    'holds no folder trainA, but .* and 0 pictures' \
    train --data data/pairs --out runs/none
cp data/set/trainA/*.png data/joined/train
check "train on joined pictures" \
    train --data data/joined --joined right --out runs/joined --steps 1
mv log said
check "both halves are counted" has '^pictures: 6 of A, 6 of B' said
check "pack joined pictures" \
    "$cgd" pack data/joined --joined left -o out/joined.pack
check "pack a folder of joined pictures" \
    "$cgd" pack data/joined/train/ --joined left -o out/joined.pack2
check "a folder or its train, the same" equal out/joined.pack out/joined.pack2
check "train on them, packed" \
    train --data out/joined.pack --out runs/joined2 --steps 1
ln -s nowhere data/nested/trainB/gone.png
refuse "a picture that is not there is no broken one" 'gone.png' \
    train --data data/nested --out runs/none
check "refused runs leave no folder" sh -c '! test -e runs/none'

# ---- files cut anywhere -----------------------------------------------------

cut_state()
{
    size=$(wc -c <runs/whole/state.safetensors)
    mkdir -p runs/short
    at=0
    while [ $at -lt $size ]; do
        head -c $at runs/whole/state.safetensors >runs/short/state.safetensors
        cp runs/short/state.safetensors out/before
        "$cgd" train --out runs/short --resume --steps 9 >log 2>err
        is_refusal $? && equal out/before runs/short/state.safetensors ||
            { echo "cut at $at" >>err; return 1; }
        at=$((at + 1024))
    done
}
if cut_state; then pass "a state cut at every kilobyte"
else flunk "a state cut at every kilobyte"; fi
cut_model()
{
    size=$(wc -c <$model)
    at=0
    while [ $at -lt $size ]; do
        head -c $at $model >models/cut
        "$cgd" info models/cut >log 2>err
        is_refusal $? || { echo "cut at $at" >>err; return 1; }
        at=$((at + 512))
    done
}
if cut_model; then pass "a model cut anywhere"
else flunk "a model cut anywhere"; fi
refuse "info of a text file" 'text.jpg' "$cgd" info pictures/text.jpg
refuse "info of nothing" 'nowhere' "$cgd" info nowhere
check "info of a model" "$cgd" info $model
mv log said
check "info counts in both conventions" has 'as papers count' said
check "info of a state" "$cgd" info runs/whole/state.safetensors
mv log said
check "info shows all four nets" \
    sh -c '[ $(grep -c "^  parameters " said) = 4 ]'

# ---- translate --------------------------------------------------------------

same_size()
{
    "$cgd" translate $model "$1" -o out/same.png >log 2>err &&
        [ "$(png_size out/same.png)" = "$2" ]
}
check "translate a picture of 16x16" same_size data/set/testA/0001.png "16 16"
check "translate a picture of 1x1" same_size pictures/dot/trainA/0001.png "1 1"
check "translate a picture of 7x7" same_size pictures/odd/trainA/0001.png "7 7"
check "translate a picture of 3000x17" same_size pictures/long.bmp "3000 17"
check "translate a folder" "$cgd" translate $model data/set/testA -o out/folder
check "a folder's names stay" \
    sh -c '[ "$(ls out/folder)" = "$(ls data/set/testA)" ]'
check "translate several" "$cgd" translate $model data/set/testA/0001.png \
    data/set/testA/0002.png pictures/good.jpg -o out/several
check "several keep their names" \
    sh -c '[ "$(echo $(ls out/several))" = "0001.png 0002.png good.jpg" ]'
check "a file alone or in a folder, the same" \
    equal out/folder/0001.png out/several/0001.png
cp "$root/tests/fuzz/corpus/picture/rgba" pictures/rgba.png
check "transparent parts are laid on white, and it is said" sh -c '
    "$0" translate $1 pictures/rgba.png -o out/white.png 2>err &&
    grep -q "pictures/rgba.png: transparent parts are laid on white" err &&
    "$0" translate $1 pictures/rgba.png --background "#ffffff" \
        -o out/named.png 2>err && [ ! -s err ] &&
    cmp out/white.png out/named.png' "$cgd" $model
check "or on another colour, or on none" sh -c '
    "$0" translate $1 pictures/rgba.png --background black -o out/black.png &&
    "$0" translate $1 pictures/rgba.png --background none -o out/none.png &&
    ! cmp -s out/white.png out/black.png && ! cmp -s out/black.png out/none.png
    ' "$cgd" $model
alphas() { od -An -v -tu1 -j128 -w4 "$1" | awk '{ print $4 }'; }
"$cgd" translate $model pictures/rgba.png --alpha keep -o out/kept.png 2>err
"$cgd" translate $model out/kept.png --alpha keep -o out/kept.npy 2>err
"$cgd" translate $model pictures/rgba.png --alpha keep -o out/first.npy 2>err
alphas out/first.npy >alpha
check "--alpha keep keeps it" sh -c '[ "$(wc -l <alpha)" = 128 ] &&
    [ "$(sort -u alpha | wc -l)" -gt 20 ]'
alphas out/kept.npy >alpha.png
check "and so does the PNG" cmp alpha alpha.png
refuse "a JPEG has none to keep" 'write .png for --alpha keep' \
    "$cgd" translate $model pictures/rgba.png --alpha keep \
    --background white -o out/kept.jpg
refuse "no colour" 'needs a colour: #RRGGBB' \
    "$cgd" translate $model pictures/rgba.png --background teal -o out/x.png

check "translate to raw numbers" "$cgd" translate $model \
    pictures/odd/trainA/0001.png --raw -o out/raw.f32
check "raw numbers are w h c floats" \
    sh -c '[ $(wc -c <out/raw.f32) = $((7 * 7 * 3 * 4)) ]'
check "nothing but numbers goes to a pipe" \
    sh -c '"$1" translate $2 pictures/odd/trainA/0001.png --raw -o /dev/stdout \
           | cmp - out/raw.f32' sh "$cgd" $model
check "translate with a net of a state" "$cgd" translate \
    runs/whole/state.safetensors --net ema.g_ab data/set/testA/0001.png \
    -o out/net.png
check "a state's average is the model" equal out/net.png out/folder/0001.png

refuse "translate without -o" '-o OUT' "$cgd" translate $model pictures/long.bmp
refuse "translate nothing" 'missing' "$cgd" translate $model -o out/x.png
refuse "translate with no model" 'nowhere' \
    "$cgd" translate nowhere pictures/long.bmp -o out/x.png
refuse "translate with a state" 'training state' "$cgd" translate \
    runs/whole/state.safetensors pictures/long.bmp -o out/x.png
refuse "translate with a discriminator" 'discriminator' "$cgd" translate \
    runs/whole/state.safetensors --net d_a pictures/long.bmp -o out/x.png
refuse "translate a missing picture" 'nowhere' \
    "$cgd" translate $model nowhere.png -o out/x.png
for file in text.jpg cut.jpg nothing.png; do
    refuse "translate $file" "$file" \
        "$cgd" translate $model pictures/$file -o out/x.png
done
refuse "translate to a .gif" 'gif' \
    "$cgd" translate $model pictures/long.bmp -o out/x.gif
refuse "translate into no folder" 'nowhere' \
    "$cgd" translate $model pictures/long.bmp -o nowhere/x.png
refuse "translate an empty folder" 'data/empty/trainA' \
    "$cgd" translate $model data/empty/trainA -o out/empty
check "refused translations leave no file" sh -c '! ls out/x.* 2>/dev/null'
refuse_unchanged pictures "translate a picture onto itself" 'overwrite' \
    "$cgd" translate $model pictures/good.jpg -o pictures/../pictures/good.jpg
refuse "translate two pictures to one name" 'both' "$cgd" translate $model \
    data/set/testA/0001.png data/set/testB/0001.png -o out/names
"$cgd" translate $model data/mixed/trainA -o out/mixed >log 2>warnings
check "a folder with broken pictures: the good ones are translated" \
    sh -c '[ $(ls out/mixed | wc -l) = 7 ] && grep -q "3 of 10" warnings'

# 50,000 names: to compare every one with every other takes many seconds.
many_names()
{
    names=$(awk 'BEGIN { for (i = 0; i < 50000; i++) print "a" i ".png" }')
    # shellcheck disable=SC2086         # so many words
    timeout 6 "$cgd" translate $model $names b/a77.png -o out/names
}
if command -v timeout >/dev/null; then
    refuse "one name twice among 50,000" 'both' many_names
fi

# ---- more than 8 bits, and other channels -----------------------------------

# array TYPE CHANNELS FIRST: a .npy file of 16 x 24 pixels, whose little-endian
# 16-bit numbers are FIRST, FIRST + 7, ...
array()
{
    awk -v type="$1" -v c="$2" -v v="$3" 'BEGIN {
        head = "{\047descr\047: \047" type "\047, \047fortran_order\047: " \
               "False, \047shape\047: (24, 16, " c "), }"
        printf "\\223NUMPY\\001\\000\\166\\000%s", head
        for (i = length(head); i < 117; i++) printf " "
        printf "\\n"
        for (i = 0; i < 384 * c; i++) {
            printf "\\%03o\\%03o", v % 256, int(v / 256)
            v += 7
        }
    }' >out/escapes
    # shellcheck disable=SC2059         # the file is the format
    printf "$(cat out/escapes)"
}
for d in A B; do
    mkdir -p data/deep/train$d data/floats/train$d
    for i in 1 2; do
        array '<u2' 1 $((i * 100)) >data/deep/train$d/$i.npy
        array '<f2' 5 $((i * 1000)) >data/floats/train$d/$i.npy
    done
done
check "train on 16 bits, by the range they have, on rectangles" \
    train --data data/deep --out runs/deep --steps 2 --channels 1 \
    --range auto --size 12x16 --load-size 16
mv log said
check "the range is said" has 'values: 100 to 2881 of A, 100 to 2881 of B' said
check "the size is said" has 'taken as 12 x 16' said
deep=runs/deep/g_ab.safetensors
check "the range is in the model" sh -c '
    "$1" info $2 | grep -q "values: 100 to 2881 in"' - "$cgd" $deep
check "the range that was measured is kept for --resume" sh -c '
    "$1" info runs/deep/state.safetensors |
        grep -q "^  range=100,2881,100,2881$"' sh "$cgd"
check "translate 16 bits" "$cgd" translate $deep data/deep/trainA/1.npy \
    -o out/deep.png
mv log said
check "a translation says the range" has 'values: 100 to 2881 in' said
check "16 bits in, 16 bits out" sh -c '
    [ $(od -An -tu1 -j24 -N1 out/deep.png) = 16 ] && [ ! -s err ]'
check "translate 16 bits to 8" "$cgd" translate $deep out/deep.png \
    -o out/deep.jpg
mv err warnings
check "dropped bits are warned of" has 'warning: .*8 bits' warnings
check "translate 8 bits by a model of 16" "$cgd" translate $deep \
    data/set/testA/0001.png -o out/deep.png
mv err warnings
check "too few bits are warned of" has 'warning: .*has 8 bits' warnings
array '<u2' 3 100 >out/deep3.npy
mkdir -p data/depths/trainA data/depths/trainB
cp data/set/trainA/*.png data/depths/trainA
cp data/set/trainB/*.png data/depths/trainB
"$cgd" translate $deep data/deep/trainA/1.npy -o data/depths/trainB/deep.png \
    >log 2>err
check "train on 8 bits, and one picture of 16 among them" \
    train --data data/depths --out runs/depths --steps 2
mv err warnings
check "the one is named, once" sh -c '
    [ "$(grep -c "trainB/deep.png has 16 bits" warnings)" -eq 1 ] &&
        [ "$(grep -c "warning" warnings)" -eq 1 ]'
check "translate 8 bits by a model of both" "$cgd" translate \
    runs/depths/g_ab.safetensors data/set/testA/0001.png -o out/depths.png
mv err warnings
check "8 bits in, 8 bits out" sh -c '
    [ $(od -An -tu1 -j24 -N1 out/depths.png) = 8 ]'
check "of which none are dropped" "$cgd" translate \
    runs/depths/g_ab.safetensors data/set/testA/0001.png -o out/depths.jpg
cat err >>warnings
check "and nothing is warned of" sh -c '! grep . warnings'
check "translate 16 bits by it" "$cgd" translate \
    runs/depths/g_ab.safetensors out/deep3.npy -o out/depths.png
check "and they come out as 16" sh -c '
    [ $(od -An -tu1 -j24 -N1 out/depths.png) = 16 ]'
check "translate a folder into arrays" "$cgd" translate $deep \
    data/deep/trainA --npy -o out/arrays
check "arrays keep the type" sh -c '
    grep -q "<u2" out/arrays/1.npy && [ "$(ls out/arrays | wc -l)" -eq 2 ]'
check "translate by another range" "$cgd" translate $deep \
    data/deep/trainA/1.npy -o out/deep.png --range 0,4000,-10,10
mv log said
check "the range given holds" has '0 to 4000 in, -10 to 10 out' said
check "translate by the range of the input" "$cgd" translate $model \
    pictures/large/trainA/0001.png -o out/auto.png --range auto
check "judge 16 bits" "$cgd" eval --model $deep --input data/deep/trainA \
    --truth data/deep/trainB --replicates 0
cp err warnings
mv log said
check "judging in 8 bits is warned of" has 'judged as 8, from 100 to 2881' \
    warnings
check "what is judged has the model's range" has 'values: 100 to 2881 in' said
refuse "judge 16 bits, each folder its own" 'give LO,HI' "$cgd" eval \
    data/deep/trainA --truth data/deep/trainB --range auto
check "pack 16 bits" "$cgd" pack data/deep -o out/deep.pack --channels 1 \
    --range auto
check "info of packed pictures" "$cgd" info out/deep.pack
mv log said
check "info shows their range" has 'range of A, .*: 100 2881' said
check "train on packed 16 bits" train --data out/deep.pack --steps 2 \
    --channels 1 --size 12x16 --load-size 16 --out runs/deep2
check "packed or not, the same" \
    equal_tensors runs/deep/state.safetensors runs/deep2/state.safetensors
check "distil a teacher of 16 bits" "$cgd" distil --preset demo --size 16 \
    --blocks 1 --threads 1 --data data/deep --teacher $deep --direction ab \
    --steps 2 --out runs/deeper
check "the student has the teacher's range" sh -c '
    "$1" info runs/deeper/student.safetensors |
        grep -q "values: 100 to 2881 in"' - "$cgd"
refuse "floating point without a range" 'domain A have floating point' \
    train --data data/floats --out runs/none --channels 5
check "train on 5 channels of floating point" train --data data/floats \
    --out runs/five --channels 5 --range=-2,2 --steps 2
check "translate 5 channels" "$cgd" translate runs/five/g_ba.safetensors \
    data/floats/trainB -o out/five
check "5 channels come out" has '<f4.*24, 16, 5' out/five/1.npy
refuse "5 channels as a picture" 'npy' "$cgd" translate \
    runs/five/g_ba.safetensors data/floats/trainB/1.npy -o out/x.png
check "train from grey to RGBA" train --data data/set --out runs/alpha \
    --channels 1,4 --steps 2 --identity 0
check "translate from RGBA" "$cgd" translate runs/alpha/g_ba.safetensors \
    data/set/testB/0001.png -o out/alpha.png
check "calibrate by 16 bits" "$cgd" export $deep --safetensors out/ice.tensors \
    --calibrate data/deep/trainA
check "an exported model keeps its range" sh -c '
    "$1" info out/ice.tensors | grep -q "values: 100 to 2881 in"' - "$cgd"
check "export 16 bits for C and ONNX" "$cgd" export $deep --c out/deep.h \
    --onnx out/deep.onnx
mv log said
check "what the net takes is said" has 'values: 100 to 2881 in' said
check "C and ONNX have the range too" sh -c '
    grep -q "^ *2881.0f,$" out/deep.h && grep -aq "cgd.range" out/deep.onnx'
check "prune a model of 16 bits" "$cgd" prune $deep --ngf 1 -o out/thin
check "a pruned model keeps its range" sh -c '
    "$1" info out/thin | grep -q "values: 100 to 2881 in"' - "$cgd"
for range in 5,3 7 1,2,3 a,b 1,2,4,3 1,2,3,4,5 1,nan; do
    refuse "range $range" "needs LO,HI" \
        train --data data/deep --out runs/none --channels 1 --range $range
done
refuse "a rectangle not of multiples of 4" 'multiple of 4' \
    train --data data/set --out runs/none --size 16x18
refuse "a rectangle of letters" '356x32' \
    train --data data/set --out runs/none --size 16xN
refuse "no channels" 'out of range' \
    train --data data/set --out runs/none --channels 0
refuse "arrays with other channels" '5 channels' \
    train --data data/floats --out runs/none --channels 3 --range 0,1
check "refused runs leave no folder" sh -c '! test -e runs/none'

# ---- distil -----------------------------------------------------------------

distil()
{
    "$cgd" distil --preset demo --size 16 --load-size 16 --blocks 1 \
        --threads 1 --data data/set "$@"
}
teach="--teacher $model --direction ab"
check "distil" distil $teach --out runs/student --ngf 1 --steps 6
check "distil leaves a student" test -s runs/student/student.safetensors
distil $teach --out runs/half --ngf 1 --steps 6 >log 2>err
check "distillation is repeatable" \
    equal runs/student/state.safetensors runs/half/state.safetensors
distil $teach --out runs/long --ngf 1 --steps 9 --schedule constant >log 2>err
distil $teach --out runs/part --ngf 1 --steps 5 --schedule constant >log 2>err
check "resume a distillation" \
    "$cgd" distil --out runs/part --resume --steps 9
check "resumed distillation = never stopped" \
    equal runs/long/state.safetensors runs/part/state.safetensors
check "distil with frozen statistics" distil $teach --out runs/frozen \
    --ngf 1 --steps 8 --schedule constant --norm frozen
distil $teach --out runs/thaw --ngf 1 --steps 5 --schedule constant \
    --norm frozen --freeze-part 0.25 >log 2>err
check "resume with frozen statistics" \
    "$cgd" distil --out runs/thaw --resume --steps 8 --freeze-part 0.5
check "frozen, resumed = never stopped" \
    equal runs/frozen/state.safetensors runs/thaw/state.safetensors
check "a frozen student has no norms left" sh -c '
    "$1" info runs/frozen/student.safetensors | grep -q "norm none"' - "$cgd"
check "a frozen student becomes C as it is" \
    "$cgd" export runs/frozen/student.safetensors --c runs/frozen/student.h
refuse "statistics of a norm that keeps none" 'batch norm' distil $teach \
    --out runs/none --ngf 1 --norm instance --freeze-part 0.5
check "distil a teacher's layers" distil $teach --out runs/full --steps 2 \
    --transfer full
check "distil from B to A" distil --teacher runs/whole/g_ba.safetensors \
    --direction ba --out runs/back --steps 2
check "distil with all losses" "$cgd" distil --preset original --size 16 \
    --load-size 16 --blocks 1 --disc patch --disc-layers 1 --ndf 2 \
    --teacher-blocks 0 --data data/set $teach --steps 2 --out runs/all \
    --reverse runs/whole/g_ba.safetensors
check "distil with every term on hidden states and outputs" distil $teach \
    --out runs/terms --ngf 1 --steps 4 --feature 1 --haar 1 \
    --schedule constant
cp -r runs/terms runs/more
check "adaptors are resumed" "$cgd" distil --out runs/more --resume --steps 6
check "adaptors are in the state, not in the student" sh -c '
    grep -q "adaptor.0.conv.weight" runs/terms/state.safetensors &&
    ! grep -q adaptor runs/terms/student.safetensors'
check "inherit discriminators" distil $teach --out runs/heir --steps 2 \
    --gan-weight 1 --inherit runs/whole/state.safetensors --ndf 7
check "inherited discriminators keep their shape" sh -c '
    own=$("$1" info runs/heir/state.safetensors | grep -A1 d_b | tail -1)
    its=$("$1" info runs/whole/state.safetensors | grep -A1 d_b | tail -1)
    [ -n "$own" ] && [ "$own" = "$its" ]' - "$cgd"
refuse "inherit from what is no training" 'd_b' distil $teach \
    --out runs/none --gan-weight 1 --inherit $model
check "stages of any width" distil $teach --out runs/stages --steps 2 \
    --stages 1,0,5,3,2,1
refuse "stages that are too few" 'six' distil $teach --out runs/none \
    --stages 1,2,3

# ---- plan -------------------------------------------------------------------

check "plan" "$cgd" plan --macs 2e6 --ms 1000 --size 32
cp log planned
check "what is planned is within the budget" sh -c '
    grep -q -e "--ngf 2 --blocks 1 " planned &&
    ! grep -q -e "--ngf 64" planned'
refuse "plan without a budget" 'budget' "$cgd" plan --size 64
refuse "plan for nothing" 'smallest' "$cgd" plan --macs 10

check "translate with a student" "$cgd" translate \
    runs/student/student.safetensors data/set/testA -o out/student
refuse "distil without a teacher" '--teacher' distil --direction ab \
    --out runs/none
refuse "distil without a direction" '--direction' distil --teacher $model \
    --out runs/none
refuse "distil from a missing teacher" 'nowhere' \
    distil --teacher nowhere --direction ab --out runs/none
refuse "distil from a text file" 'text.jpg' \
    distil --teacher pictures/text.jpg --direction ab --out runs/none
refuse "distil from a state" 'training state' \
    distil --teacher runs/whole/state.safetensors --direction ab \
    --out runs/none
refuse "transfer to a student that is wider" 'narrower' \
    distil $teach --out runs/none --ngf 3 --transfer updown
refuse "blocks that the teacher does not have" 'teacher block 9' \
    distil $teach --out runs/none --ngf 1 --feature 1 --teacher-blocks 9
refuse_unchanged runs/whole "distil into a training" 'run already' \
    distil $teach --out runs/whole
refuse_unchanged runs/whole "resume a training as a distillation" 'cgd train' \
    "$cgd" distil $teach --out runs/whole --resume --steps 20

# ---- pack -------------------------------------------------------------------

check "pack" "$cgd" pack data/set -o data/set.safetensors
check "info of a packed file" "$cgd" info data/set.safetensors
mv log said
check "info counts the pictures" has '^trainA.* 6 ' said
check "train from a packed file" train --data data/set.safetensors \
    --out runs/packed --steps 8
check "packed = not packed" \
    equal_tensors runs/whole/state.safetensors runs/packed/state.safetensors
check "pack to another size" "$cgd" pack data/set --size 8 \
    -o data/small.safetensors
refuse "pack without -o" '-o FILE' "$cgd" pack data/set
refuse "pack nothing" 'nowhere' "$cgd" pack nowhere -o data/x
refuse "pack into no folder" 'nowhere' "$cgd" pack data/set -o nowhere/x
head -c 5000 data/set.safetensors >data/short.safetensors
refuse "train from a packed file that is cut" 'short.safetensors' \
    train --data data/short.safetensors --out runs/none

# ---- import -----------------------------------------------------------------

golden=$root/tests/golden/checkpoints
check "import" "$cgd" import "$golden/official.pth" -o models/import.safetensors
check "translate with what was imported" "$cgd" translate \
    models/import.safetensors data/set/testA -o out/import
check "list a checkpoint" "$cgd" import "$golden/project.pth" --list
mv log said
check "the list has tensors" has 'epoch\|exp_avg  *F32  *2$' said
check "the list has nets" has '^key model_state_dict.generator_ab: gen' said
refuse "import of several nets" 'generator_ba (generator)' \
    "$cgd" import "$golden/project.pth" -o models/none.safetensors
for net in generator_ab generator_ba discriminator_a discriminator_b; do
    check "import by key: $net" "$cgd" import "$golden/project.pth" \
        --key model_state_dict.$net -o models/$net.safetensors
done
check "info shows the widths inside the blocks" sh -c '
    "$1" import "$2" -o models/mobile.safetensors &&
        "$1" info models/mobile.safetensors | grep "blocks: 4 4 6"' \
    sh "$cgd" "$golden/mobile.pth"
refuse "import of a pickle that calls things" 'posix.system' \
    "$cgd" import "$golden/calls.pth" -o models/none.safetensors
refuse "import without -o" '-o MODEL' "$cgd" import "$golden/official.pth"
check "nothing refused was written" test ! -e models/none.safetensors
check "train from a PyTorch file" train --data data/set --out runs/start \
    --init-gab "$golden/official.pth" --lr 0 --steps 1 --ema 0
check "no learning, no change" \
    equal runs/start/g_ab.safetensors models/import.safetensors
check "resume what began so" "$cgd" train --out runs/start --resume --steps 2 \
    --lr 0.001
check "then it learns" \
    differ runs/start/g_ab.safetensors models/import.safetensors
check "train from four nets" train --data data/set --out runs/four --steps 1 \
    --init-gab models/generator_ab.safetensors \
    --init-gba models/generator_ba.safetensors \
    --init-da models/discriminator_a.safetensors \
    --init-db models/discriminator_b.safetensors
# So sure of itself that a loss has 72 digits before its point, and the squares
# of gradients do not fit into a float.
size=$(wc -c <models/discriminator_a.safetensors)
{
    head -c $((size - 4)) models/discriminator_a.safetensors
    printf '\316\227\100\173'
} >models/sure.safetensors
sure()
{
    train --data data/set --out runs/sure --steps 2 \
        --init-da models/sure.safetensors \
        --init-db models/sure.safetensors >out/said 2>&1
    [ $? = 1 ] && has ' g 2e+72' out/said
}
check "losses of 72 digits fit their line" sure
check "what is not finite is not saved" has 'cgd: .*not finite' out/said
check "the state is the one before" sh -c '
    "$1" info runs/sure/state.safetensors | grep "after 0 steps"' sh "$cgd"
refuse "a discriminator where a generator belongs" 'holds a discriminator' \
    train --data data/set --out runs/none \
    --init-gab models/discriminator_a.safetensors
refuse "two generators of different shape" 'import.safetensors .*other layers' \
    train --data data/set --out runs/none \
    --init-gab models/import.safetensors \
    --init-gba models/generator_ba.safetensors
check "distil an imported teacher" distil --teacher models/import.safetensors \
    --direction ab --out runs/taught --steps 2
check "a teacher asked again and again" distil --direction ab --steps 2 \
    --teacher models/import.safetensors --out runs/asked --answers 0
check "says the same" \
    equal runs/asked/student.safetensors runs/taught/student.safetensors
check "go on with a student, by other losses" distil \
    --teacher models/import.safetensors --direction ab --out runs/further \
    --init-student runs/taught/student.safetensors --gan-weight 1 --lr 0 \
    --ema 0 --steps 1
check "which begins as it was" \
    equal runs/further/student.safetensors runs/taught/student.safetensors
check "a student from B to A" distil --direction ba --out runs/flip \
    --teacher models/import.safetensors --lr 0 --ema 0 --steps 1 \
    --init-student runs/taught/student.safetensors
check "begins as it was, too" \
    equal runs/flip/student.safetensors runs/taught/student.safetensors
for weight in 0 5; do
    check "a student with contrast x $weight" distil --direction ab \
        --teacher models/import.safetensors --out runs/contrast$weight \
        --steps 2 --size 24 --load-size 24 --contrast $weight
done
check "which learn differently" differ runs/contrast0/student.safetensors \
    runs/contrast5/student.safetensors
refuse "contrast of pictures too small for it" '24 x 24' distil \
    --teacher models/import.safetensors --direction ab --out runs/none \
    --steps 2 --size 20 --load-size 20 --contrast 5
check "prune a generator" "$cgd" prune models/import.safetensors \
    --stages 2,3,6,5,0,0 --blocks 1 -o models/pruned.safetensors
check "to the widths it says" sh -c '
    "$1" info models/pruned.safetensors |
        grep "conv_block.1 .*64x64x5"' sh "$cgd"
check "teach what was pruned" distil --teacher models/import.safetensors \
    --direction ab --out runs/pruned --lr 0 --ema 0 --steps 1 \
    --init-student models/pruned.safetensors
check "which begins as it was pruned" \
    equal runs/pruned/student.safetensors models/pruned.safetensors
check "prune in three cuts, learning between them" distil --direction ab \
    --teacher models/import.safetensors --out runs/cuts --steps 6 \
    --stages 2,3,6,5,0,0 --blocks 1 --cuts 3
check "to the same widths" sh -c '
    "$1" info runs/cuts/student.safetensors |
        grep "conv_block.1 .*64x64x5"' sh "$cgd"
refuse "cuts of a student from elsewhere" 'without --init-student' distil \
    --direction ab --teacher models/import.safetensors --out runs/none \
    --init-student models/pruned.safetensors --cuts 3
refuse "cuts of a student that starts afresh" 'takes over' distil \
    --direction ab --teacher models/import.safetensors --out runs/none \
    --transfer none --cuts 3
check "pruning nothing changes nothing" "$cgd" prune \
    models/import.safetensors -o models/same.safetensors
check "not a byte" equal models/same.safetensors models/import.safetensors
refuse "pruning to more" 'only a narrower' "$cgd" prune \
    models/import.safetensors --ngf 3 -o models/none.safetensors
refuse "prune without -o" '-o FILE' "$cgd" prune models/import.safetensors
refuse "a discriminator as a student" 'holds a discriminator' distil \
    --direction ab --out runs/none --teacher models/import.safetensors \
    --init-student models/discriminator_a.safetensors

# ---- files: how they are opened, written and named --------------------------

cp $model models/own.safetensors
ln models/own.safetensors models/other.safetensors
own=models/own.safetensors other=models/other.safetensors
refuse_unchanged models "export onto the model" 'overwrite' \
    "$cgd" export $own --dtype f16 --safetensors $own
refuse_unchanged models "export onto the model by another name" 'overwrite' \
    "$cgd" export $own --onnx $other
refuse_unchanged models "import onto the file" 'overwrite' \
    "$cgd" import $own -o ./$own
refuse_unchanged models "prune onto the model" 'overwrite' \
    "$cgd" prune $own --ngf 1 -o $other
refuse_unchanged models "translate onto the model" 'overwrite' \
    "$cgd" translate $own data/set/testA/0001.png --raw -o $own
refuse_unchanged data/set "pack onto a picture" 'overwrite' \
    "$cgd" pack data/set -o data/set/trainB/0001.png
refuse_unchanged data/set "export onto a picture" 'overwrite' "$cgd" export \
    $own --onnx data/set/testA/0001.png --calibrate data/set/testA
refuse_unchanged data/set "figures onto a picture" 'overwrite' "$cgd" eval \
    data/set/testA --truth data/set/testB --csv data/set/testB/0001.png
refuse_unchanged data/set "a report onto a picture" 'overwrite' "$cgd" eval \
    data/set/testA --truth data/set/testB --html data/set/testA/0001.png
mkdir runs/own
cp $own runs/own/student.safetensors
cp $own runs/own/g_ba.safetensors
refuse_unchanged runs/own "distil onto the teacher" 'overwrite' distil \
    --teacher runs/own/student.safetensors --direction ab --steps 1 \
    --out runs/own
refuse_unchanged runs/own "train onto what it starts from" 'overwrite' \
    train --data data/set --steps 1 --init-gba runs/own/g_ba.safetensors \
    --out ./runs/own
refuse "two exports to one file" 'two outputs' \
    "$cgd" export $own --onnx out/both --pth out/both
check "of which none was written" test ! -e out/both

# Under a limit on the size of files writing fails as on a full disk.
full() { sh -c 'trap "" 25; ulimit -f 1; exec "$@" >/dev/null' sh "$@"; }
picture=data/set/testA/0001.png file=out/whole.bmp
for command in "translate $own $picture -o" \
        "translate $own $picture --raw -o" "export $own --safetensors" \
        "export $own --onnx" "export $own --pth" "export $own --c" \
        "import $own -o" "pack data/set -o" \
        "eval data/set/testA --truth data/set/testB --csv" \
        "eval data/set/testA --truth data/set/testB --html"; do
    printf old >$file
    refuse "a full disk: $command" 'is the disk full' \
        full "$cgd" $command $file
    check "leaves what was there" sh -c '
        [ "$(cat $1)" = old ] && [ "$(echo $1*)" = $1 ]' sh $file
    check "which is replaced" "$cgd" $command $file
    check "when there is room" sh -c '
        [ "$(wc -c <$1)" -gt 500 ] && [ "$(echo $1*)" = $1 ]' sh $file
done

cp -r runs/whole runs/crammed
refuse_unchanged runs/crammed "a full disk under a run" 'is the disk full' \
    full "$cgd" train --out runs/crammed --resume --steps 9
check "which goes on when there is room" sh -c '
    "$1" train --out runs/crammed --resume --steps 9 2>&1 | grep "step 9/9"' \
    sh "$cgd"

# What is renamed is on the disk before, and its name is afterwards.
if have strace && strace -o calls true 2>/dev/null; then
    strace -e trace=fsync,/rename -o calls "$cgd" export $own --pth out/order \
        >log 2>err
    check "an output is flushed, renamed, and its folder flushed" sh -c '
        sed "s/at.*(.*//; s/(.*//" calls | tr "\n" " " |
            grep -q "fsync rename fsync "'
else
    skip 'the order of writing: strace is not there, or may not look'
fi
if [ -c /dev/full ]; then
    for command in "info $own" --version --help "import $own --list" \
            "eval data/set/testA --truth data/set/testB" \
            "plan --params 1000000" "train --help"; do
        "$cgd" $command >/dev/full 2>said
        check "cgd $command notices a full standard output" \
            sh -c '[ $1 = 1 ] && grep -q "standard output" said' sh $?
    done
fi

if have mkfifo; then
    mkfifo pictures/fifo.png
    refuse "a pipe as a model" 'pipe' \
        timeout 10 "$cgd" translate pictures/fifo.png $own -o out/x.png
    refuse "a pipe as a picture" 'pipe' \
        timeout 10 "$cgd" translate $own pictures/fifo.png -o out/x.png
    refuse "a pipe as data" 'pipe' \
        timeout 10 "$cgd" train --data pictures/fifo.png --out runs/none
    refuse "a pipe to show" 'pipe' timeout 10 "$cgd" info pictures/fifo.png
    (timeout 10 cat pictures/fifo.png >out/piped) &
    timeout 10 "$cgd" export $own --safetensors pictures/fifo.png >log 2>err
    wait
    check "a pipe is written to" sh -c '
        [ -p pictures/fifo.png ] && cmp out/piped "$1"' sh $own
    rm pictures/fifo.png
fi
# Who may write to its folder could replace this by a file.
if [ "$(id -u)" = 0 ] && mknod out/null c 1 3 2>/dev/null; then
    for command in "export $own --safetensors" "export $own --c" \
            "import $own -o" "pack data/set -o"; do
        check "$command /dev/null" "$cgd" $command out/null
        check "leaves the device" test -c out/null
    done
    rm out/null
else
    skip 'a device as an output: only root can make one to try'
fi

refuse "dataset with an empty name" 'empty' "$cgd" dataset ''
refuse "translate a picture without a name" 'empty' \
    "$cgd" translate $own '' -o out/x.png
escape=$(printf '\033')
printf 'no picture' >"pictures/red$escape[31m.png"
refuse "a name that would colour the terminal" 'red?\[31m' \
    "$cgd" translate $own "pictures/red$escape[31m.png" -o out/x.png
mkdir -p data/red/trainA data/red/trainB
cp data/set/trainA/0001.png "pictures/red$escape[31m.png" data/red/trainA
cp data/set/trainB/0001.png data/red/trainB
"$cgd" pack data/red -o out/red >log 2>said
check "a warning about such a name does not" sh -c '
    grep -q "red?" said && ! grep -q "$1" said' sh "$escape"
refuse "an argument that would" 'red?\[31m' "$cgd" "red$escape[31m"
# A safetensors file of one tensor with such a name.
json="{\"red\\\\u001b\\\\u009b\":{\"dtype\":\"U8\",\"shape\":[1],"
json="$json\"data_offsets\":[0,1]}}  "
printf "\\$(printf %03o $((${#json} - 2)))\\0\\0\\0\\0\\0\\0\\0$json"x \
    >models/red.safetensors
check "names in files are listed without control characters" sh -c '
    "$1" import models/red.safetensors --list >listed 2>&1
    grep -q "red???" listed && ! grep -q "$2" listed' sh "$cgd" "$escape"

if [ "$skipped" -gt 0 ]; then
    echo "$passed passed, $failed failed, $skipped skipped"
else
    echo "$passed passed, $failed failed"
fi
[ "$failed" -eq 0 ]
