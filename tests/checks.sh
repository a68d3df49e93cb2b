# What the tests of the command line share. To be sourced: passed, failed and
# skipped count; the last command's output is in the files log and err.

passed=0 failed=0 skipped=0

have() { command -v "$1" >/dev/null 2>&1; }
skip() { echo "skipped: $*"; skipped=$((skipped + 1)); }
pass() { passed=$((passed + 1)); echo "ok $1"; }
flunk()
{
    failed=$((failed + 1))
    echo "FAILED $1"
    sed 's/^/    /' err | head -5
}

# check NAME COMMAND...: the command succeeds.
check()
{
    name=$1
    shift
    if "$@" >log 2>err; then pass "$name"; else flunk "$name"; fi
}
