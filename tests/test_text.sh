#!/bin/sh
# The header and its companions as texts: the contents list what there is, the
# characters are plain, and private functions stand above their first use.

root=$(cd "$(dirname "$0")/.." && pwd)
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
trap 'exit 130' HUP INT TERM
cd "$tmp" || exit 1
passed=0 failed=0

check() {
    what=$1
    shift
    if "$@" >log 2>&1; then
        passed=$((passed + 1))
        echo "ok $what"
    else
        failed=$((failed + 1))
        echo "FAILED $what"
        sed 's/^/    /;12q' log
    fi
}
none() { ! "$@"; }

# ---- contents and characters -----------------------------------------------

# Each section's tag stands in the contents and at its banner.
tags='match($0, /\[[a-z]+:[a-z0-9_]+\]/) { print substr($0, RSTART, RLENGTH) }'
same_list()
{
    awk '/\*\// { exit } /Contents/ { on = 1 } on && /^ \* +\[/' "$1" |
        awk "$tags" >contents
    grep '^/\* \[' "$1" | awk "$tags" >banners
    test -s contents && diff contents banners
}
plain_text()
{
    none grep -n '[^ -~]' "$1" && none grep -nE '.{81}' "$1" &&
        none grep -n ' $' "$1"
}

# ---- the order of calls ----------------------------------------------------

# What is called from above its definition: what the method asks the engine,
# which stands below it, and the two functions that walk through folders in
# folders, one calling the other. Nothing else may be.
allowed='
cgd__best_kernels cgd__convolve cgd__conv_extras cgd__pack_size cgd__pack
cgd__scan_folder
'
downwards() { awk -f "$root/tests/order.awk" "$@"; }

# order FILES: calls go upwards but for the list, which names nothing else.
order()
{
    for path in "$@"; do downwards "$path"; done | sort >found
    printf '%s\n' $allowed | sort >list
    comm -23 found list | sed 's/$/ is used above its definition/' >wrong
    comm -13 found list | sed 's/$/ need no longer be on the list/' >>wrong
    cat wrong
    test ! -s wrong
}

# A text of its own shows that the order is really read.
cat >sample.h <<'END'
#ifdef __cplusplus
extern "C" {
#endif
static int cgd__far(int x);            /* cgd__near(1) is no use */
static int cgd__near(int x) { return x; }
static const char cgd__text[] = "cgd__late(1)";
static int (*const cgd__jobs[])(int) = { cgd__near, cgd__tabled };
static int cgd__first(int x)
{
    return cgd__near(x) + cgd__far(x) + cgd__first(x - 1);
}
static int cgd__far(int x)
{
    return cgd__first(x);
}
static int cgd__tabled(int x)
{
    return x;
}
static int cgd__late(int x)
{
    return x;
}
END
sample() { test "$(downwards sample.h | tr '\n' ' ')" = 'cgd__tabled cgd__far '; }

# ---- run -------------------------------------------------------------------

LC_ALL=C
export LC_ALL
for path in "$root"/cycle_gan_distil.h "$root"/tools/cgd_*.h; do
    name=${path##*/}
    check "contents and banners of $name are the same list" same_list "$path"
    check "$name is ASCII, without tabs, in 80 columns" plain_text "$path"
done
check 'a call from above the definition is noticed' sample
check 'private functions stand above their first use' \
    order "$root"/cycle_gan_distil.h "$root"/tools/cgd_*.h

check 'no text is put where its length is not known to fit' \
    none grep -nwE 'v?sprintf' "$root"/cycle_gan_distil.h \
    "$root"/tools/cgd*.[ch] "$root"/tools/cmd_*.h "$root"/tools/demo.c

echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
