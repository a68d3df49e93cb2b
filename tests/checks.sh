# What the tests of the command line share. To be sourced, with the test's own
# arguments [CGD [SCRATCH]] and the project's folder in $root: $cgd is the
# program, the current folder the scratch one, where the last command's output
# is in the files log and err; passed, failed and skipped count.

cgd=${1:-$root/build/cgd}
case $cgd in
/*) ;;
*) cgd=$PWD/$cgd ;;
esac
if [ -n "${2:-}" ]; then
    scratch=$2
    mkdir -p "$scratch" || exit 1
else
    scratch=$(mktemp -d) || exit 1
    trap 'rm -rf "$scratch"' EXIT
    trap 'exit 130' HUP INT TERM
fi
cd "$scratch" || exit 1

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
