#!/bin/sh
# The readers of files under libFuzzer, from the corpus that is kept: a few
# seconds each as a test, longer by hand.
#
#     sh tests/test_fuzz.sh [SECONDS]          (make fuzz: an hour each)
#
# What crashes a reader is left in build/fuzz.

cd "$(dirname "$0")/.." || exit 1
seconds=${1:-5}
out=build/fuzz
mkdir -p $out
clang=${CLANG:-clang}
flags='-g -O1 -std=c89 -DCGD_NO_SIMD'
checks='-fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined'
if ! echo 'int LLVMFuzzerTestOneInput(const char *s, unsigned long n)
           { return s && n > 9 && s[0] == 1; }' |
        $clang $flags $checks -xc - -o $out/probe 2>/dev/null; then
    echo '0 passed, 0 failed, 3 skipped (clang has no libFuzzer)'
    exit 0
fi
passed=0 failed=0
for name in pth safetensors picture; do
    mkdir -p $out/$name
    [ $name != picture ] || checks='-fsanitize=fuzzer,memory -w'
    if $clang $flags $checks tests/fuzz/fuzz_$name.c -o $out/fuzz_$name &&
            $out/fuzz_$name -max_len=8192 -timeout=100 -rss_limit_mb=1500 \
            -max_total_time="$seconds" -artifact_prefix=$out/ \
            $out/$name tests/fuzz/corpus/$name >$out/$name.log 2>&1; then
        passed=$((passed + 1))
        echo "ok fuzz_$name: $(tail -n 1 $out/$name.log)"
    else
        failed=$((failed + 1))
        echo "FAILED fuzz_$name"
        tail -n 20 $out/$name.log
    fi
done
echo "$passed passed, $failed failed"
[ $failed = 0 ]
