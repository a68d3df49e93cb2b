#!/bin/sh
# Run test programs and test scripts one after the other and add up.
#
#     sh tests/run.sh build/tests/test_scene tests/test_build.sh
#
# Each ends with a line "N passed, N failed" or "N passed, N failed, N
# skipped", perhaps with a word about why. One that does not (it crashed, or
# was not built), or that fails without saying what, counts as one failure.

passed=0 failed=0 skipped=0 failures=''
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
trap 'exit 130' HUP INT TERM

run() {
    case $1 in
    *.sh) set -- sh "$1" ;;
    /*)   ;;
    *)    set -- "./$1" ;;
    esac
    # No test takes so long: one that does, hangs.
    if command -v timeout >/dev/null; then set -- timeout 900 "$@"; fi
    "$@" 2>&1
    echo $? >"$tmp/status"
}

# Take the numbers from the words of a closing line.
add() {
    p=$1 f=$3 s=${5:-0}
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
}

for test in "$@"; do
    echo "== $test"
    run "$test" | tee "$tmp/out"
    line=$(grep -E '^[0-9]+ passed, [0-9]+ failed(, [0-9]+ skipped|$)' \
           "$tmp/out" | tail -n 1)
    status=$(cat "$tmp/status")
    before=$failed
    # shellcheck disable=SC2086         # split into words
    add ${line:-0 passed, 0 failed}
    if [ -z "$line" ] || { [ "$status" != 0 ] && [ $failed = $before ]; }; then
        echo "FAILED $test: ended with status $status"
        failed=$((failed + 1))
    fi
    [ $failed = $before ] || failures="$failures ${test##*/}"
done

echo
[ -z "$failures" ] || echo "failed in:$failures"
if [ $skipped -gt 0 ]; then
    echo "$passed passed, $failed failed, $skipped skipped"
else
    echo "$passed passed, $failed failed"
fi
[ $failed -eq 0 ]
