#!/bin/sh
# Run test programs and test scripts, as many at once as there are processors,
# and add up. What a test prints appears when it ends.
#
#     sh tests/run.sh build/tests/test_scene tests/test_build.sh
#
# Each ends with a line "N passed, N failed" or "N passed, N failed, N
# skipped", perhaps with a word about why. One that does not (it crashed, or
# was not built), or that fails without saying what, counts as one failure.

# What hangs is ended. No test wants more than a few minutes of processors,
# which on a busy machine may be an hour.
limit=3600

# Itself, for one test: RESULTS names a folder for what is added up.
if [ "${1:-}" = --one ]; then
    results=$2 test=$3
    out=$results/$(echo "$test" | tr / _)
    case $test in
    *.sh) set -- sh "$test" ;;
    /*)   set -- "$test" ;;
    *)    set -- "./$test" ;;
    esac
    if command -v timeout >/dev/null; then set -- timeout $limit "$@"; fi
    { echo "== $test"; "$@" 2>&1; } >"$out"
    status=$?
    line=$(grep -E '^[0-9]+ passed, [0-9]+ failed(, [0-9]+ skipped|$)' \
           "$out" | tail -n 1)
    case "$line" in
    '' | *' 0 failed'*)
        if [ -z "$line" ] || [ $status != 0 ]; then
            echo "FAILED $test: ended with status $status" >>"$out"
            line=$(echo "${line:-0 passed, 0 failed}" | sed 's/ 0 f/ 1 f/')
        fi ;;
    esac
    echo "$line" >"$out.line"
    cat "$out"
    exit 0
fi

tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
trap 'exit 130' HUP INT TERM
jobs=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
printf '%s\n' "$@" | xargs -n 1 -P "$jobs" sh "$0" --one "$tmp"
echo
for test in "$@"; do
    line=$(cat "$tmp/$(echo "$test" | tr / _).line" 2>/dev/null)
    echo "${line:-0 passed, 1 failed} | ${test##*/}"
done | awk '{ passed += $1; failed += $3; if ($6 ~ /^skipped/) skipped += $5 }
            $3 > 0 { bad = bad " " $NF }
            END {
                if (bad) print "failed in:" bad
                printf "%d passed, %d failed", passed, failed
                if (skipped) printf ", %d skipped", skipped
                print ""
                exit failed > 0
            }'
