#!/bin/sh
# Tests of tools/get_dataset.sh against a web server on this machine, so that
# nothing is fetched from outside. The script is given a PATH that holds only
# one of curl and wget, and only one of unzip, python3 and bsdtar, in turn.

script=$(CDPATH='' cd "$(dirname "$0")/../tools" && pwd)/get_dataset.sh
passed=0 failed=0

skip() { echo "0 passed, 0 failed, 1 skipped: $*"; exit 0; }
have() { command -v "$1" >/dev/null 2>&1; }
have python3 || skip 'python3 is not installed'
have curl || have wget || skip 'neither curl nor wget is installed'
have unzip || skip 'unzip is not installed'
have sha256sum || have shasum || skip 'no sha256sum and no shasum'

tmp=$(mktemp -d) || exit 1
server=''
# shellcheck disable=SC2317,SC2329  # called by trap
clean_up() {
    [ -z "$server" ] || kill "$server" 2>/dev/null
    rm -rf "$tmp"
}
trap clean_up EXIT
trap 'exit 130' HUP INT TERM

# The user's settings must not decide the result, and even a broken script
# must not reach the real hosts: a proxy that is not there sees to that.
unset all_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY NO_PROXY \
    CGD_DATASET_HOSTS CGD_DATASET_SHA256 CDPATH
export http_proxy=http://127.0.0.1:1 https_proxy=http://127.0.0.1:1 \
    no_proxy=127.0.0.1
: >"$tmp/wgetrc"
export CURL_HOME="$tmp" WGETRC="$tmp/wgetrc"

# ---- Zips and a server that misbehaves on request -------------------------

cat >"$tmp/make_zips.py" <<'END'
import os, random, stat, sys, zipfile
root, rng = sys.argv[1], random.Random(1)
folders = ["trainA", "trainB", "testA", "testB"]

def make(kind, name="apple2orange", folders=folders, extra=()):
    os.makedirs(os.path.join(root, kind), exist_ok=True)
    path = os.path.join(root, kind, name + ".zip")
    with zipfile.ZipFile(path, "w") as z:
        for folder in folders:
            for i in range(2):
                z.writestr("%s/%s/%d.jpg" % (name, folder, i),
                           rng.getrandbits(8 * 8000).to_bytes(8000, "big"))
        for entry, text in extra:
            z.writestr(entry, text)
    return path

make("fine")
make("fine", "cityscapes")
make("fine", "ae_photos", ["testA"])
make("other")                                  # good, but other pictures
make("partial", folders=folders[:3])
make("up", extra=[("apple2orange/../../escaped.txt", "x")])
make("absolute", extra=[("/tmp/escaped.txt", "x")])
make("backslash", extra=[("apple2orange\\..\\..\\escaped.txt", "x")])
link = zipfile.ZipInfo("apple2orange/trainA/link.jpg")
link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
make("link", extra=[(link, "/etc/passwd")])
path = make("damaged")
with open(path, "r+b") as f:                   # one wrong byte in a picture
    f.seek(5000)
    byte = f.read(1)[0]
    f.seek(5000)
    f.write(bytes([byte ^ 1]))
END

# Addresses are /MODE/KIND/NAME.zip; the log gets "MODE FIRST-BYTE" a request.
cat >"$tmp/server.py" <<'END'
import http.server, os, sys
root, log = sys.argv[1], open(sys.argv[2], "a", buffering=1)

class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def answer(self, status, body, length=None, **headers):
        self.send_response(status)
        self.send_header("Content-Length", str(length or len(body)))
        for key, value in headers.items():
            self.send_header(key.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        mode, kind, name = self.path.strip("/").split("/")
        first = int(self.headers.get("Range", "bytes=0-")[6:].split("-")[0])
        log.write("%s %d\n" % (mode, first))
        with open(os.path.join(root, kind, name), "rb") as f:
            data = f.read()
        size, half = len(data), len(data) // 2
        if mode == "gone":
            return self.answer(404, b"<html>not found</html>")
        if mode == "html":
            return self.answer(200, b"<!DOCTYPE html>\n<p>moved</p>",
                               Content_Type="text/html")
        if mode == "noranges":
            first = 0
        if first >= size:
            return self.answer(416, b"", Content_Range="bytes */%d" % size)
        end = size
        if mode == "cut" and first == 0 or mode == "half":
            end = half                         # the connection breaks off
        headers = {"Accept_Ranges": "bytes"}
        if first:
            headers["Content_Range"] = "bytes %d-%d/%d" % (
                first, size - 1, size)
        self.answer(206 if first else 200, data[first:end], size - first,
                    **headers)

httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
with open(sys.argv[3] + ".new", "w") as f:
    f.write("%d\n" % httpd.server_port)
os.rename(sys.argv[3] + ".new", sys.argv[3])
httpd.serve_forever()
END

mkdir "$tmp/zips"
python=$(python3 -c 'import sys; print(sys.executable)')
"$python" "$tmp/make_zips.py" "$tmp/zips" || exit 1
"$python" "$tmp/server.py" "$tmp/zips" "$tmp/log" "$tmp/port" &
server=$!
waited=0
until [ -s "$tmp/port" ]; do
    waited=$((waited + 1))
    [ $waited -le 100 ] || { echo 'the test server does not start'; exit 1; }
    sleep 0.1
done
base=http://127.0.0.1:$(cat "$tmp/port")
zip=$tmp/zips/fine/apple2orange.zip
length=$(wc -c <"$zip" | tr -d ' ')
sum=$("$python" -c 'import hashlib, sys
print(hashlib.sha256(open(sys.argv[1], "rb").read()).hexdigest())' "$zip")

# ---- Helpers --------------------------------------------------------------

# Make the folder $1 of the commands the script may see: the usual and $2 ...
tools_path() {
    bin=$1; shift
    mkdir "$bin"
    for tool in sh cat cut dd find grep head mkdir mv pwd rm sed sha256sum \
        shasum tr wc "$@"; do
        target=$(command -v "$tool") || continue
        [ "$tool" != python3 ] || target=$python
        case $target in /*) ln -s "$target" "$bin/$tool" ;; esac
    done
}

# Run the script with hosts $1 and the other arguments, in an empty folder.
get() {
    hosts=$1; shift
    : >"$tmp/log"
    out=$(cd "$work" && PATH=$path CGD_DATASET_HOSTS=$hosts \
        sh "$script" "$@" 2>&1)
    status=$?
}
said() { case $out in *"$1"*) ;; *) return 1 ;; esac; }
failed_in_one_sentence() {
    [ $status -ne 0 ] &&
        [ "$(printf '%s\n' "$out" | grep -vc ': fetching ')" -eq 1 ]
}
asked() { grep -qx "$1" "$tmp/log"; }
set_is() {      # the set is there, is that of zip $1, and nothing else is left
    mkdir "$work/wanted" && unzip -q "$1" -d "$work/wanted" &&
        diff -r "$work/wanted/${2:-apple2orange}" \
            "$work/datasets/${2:-apple2orange}" >/dev/null &&
        [ "$(ls -A "$work/datasets")" = "${2:-apple2orange}" ]
}
nothing_left() {
    [ -z "$(ls -A "$work/datasets")" ] && [ "$(ls "$work")" = datasets ]
}
keep() {        # what an earlier run is to have left behind
    mkdir "$work/datasets" && cat >"$work/datasets/apple2orange.zip.part"
}

check() {       # check FUNCTION: its name, with spaces, is the check's name
    work=$tmp/work out='' status=''
    rm -rf "$work"; mkdir "$work"
    title="$with: $(echo "$1" | tr _ ' ')"
    if "$1"; then
        echo "ok $title"; passed=$((passed + 1))
    else
        echo "FAILED $title"; failed=$((failed + 1))
        printf 'status %s, said:\n%s\n' "$status" "$out" | sed 's/^/    /' >&2
    fi
}

# ---- The checks -----------------------------------------------------------

a_fresh_download_is_unpacked() {
    get "$base/good/fine" apple2orange
    [ $status -eq 0 ] && said 'trainA 2, trainB 2' && set_is "$zip"
}
the_checksum_is_printed() {
    get "$base/good/fine" apple2orange
    [ $status -eq 0 ] && said "$sum"
}
another_folder_may_be_named() {
    get "$base/good/fine" apple2orange 'my sets/new'
    [ $status -eq 0 ] && [ -d "$work/my sets/new/apple2orange/testB" ]
}
a_cut_download_is_resumed() {
    get "$base/cut/fine" apple2orange
    [ $status -eq 0 ] && asked "cut $((length / 2))" && set_is "$zip"
}
the_next_run_resumes() {
    get "$base/half/fine" apple2orange
    failed_in_one_sentence && said 'broke off' && said 'is kept' &&
        [ ! -e "$work/datasets/apple2orange" ] || return 1
    get "$base/good/fine" apple2orange
    [ $status -eq 0 ] && asked "good $((length / 2))" && ! asked 'good 0' &&
        set_is "$zip"
}
the_second_host_continues_what_the_first_began() {
    get "$base/half/fine $base/good/fine" apple2orange
    [ $status -eq 0 ] && asked "good $((length / 2))" && set_is "$zip"
}
a_whole_part_is_not_fetched_again() {
    keep <"$zip"
    get "$base/good/fine" apple2orange
    [ $status -eq 0 ] && [ ! -s "$tmp/log" ] && set_is "$zip"
}
a_server_without_ranges_starts_over() {
    head -c 9000 "$zip" | keep
    get "$base/noranges/fine" apple2orange
    [ $status -eq 0 ] && set_is "$zip"
}
a_part_of_another_zip_is_given_up() {
    head -c 9000 "$tmp/zips/other/apple2orange.zip" | keep
    get "$base/good/fine" apple2orange
    [ $status -eq 0 ] && asked 'good 9000' && asked 'good 0' && set_is "$zip"
}
a_part_longer_than_the_zip_is_given_up() {
    { cat "$zip"; head -c 9000 "$zip"; } | tr 'P' 'Q' | keep
    get "$base/good/fine" apple2orange
    [ $status -eq 0 ] && set_is "$zip"
}
a_dead_first_host_is_passed_over() {
    get "http://127.0.0.1:1/none $base/good/fine" apple2orange
    [ $status -eq 0 ] && set_is "$zip"
}
a_first_host_with_404_is_passed_over() {
    get "$base/gone/fine $base/good/fine/" apple2orange
    [ $status -eq 0 ] && asked 'gone 0' && set_is "$zip"
}
all_hosts_gone_is_one_sentence() {
    get "http://127.0.0.1:1/none $base/gone/fine" apple2orange
    failed_in_one_sentence && said 'no host gave' && said 'cannot be reached' &&
        said 'answered with an error' && nothing_left
}
a_web_page_is_recognised() {
    get "$base/html/fine" apple2orange
    failed_in_one_sentence && said 'a web page instead' && nothing_left
}
a_web_page_does_not_replace_what_is_kept() {
    head -c 9000 "$zip" | keep
    get "$base/html/fine $base/gone/fine" apple2orange
    failed_in_one_sentence && head -c 9000 "$zip" |
        cmp -s - "$work/datasets/apple2orange.zip.part"
}
a_damaged_zip_is_refused() {
    get "$base/good/damaged" apple2orange
    failed_in_one_sentence && said 'not a sound zip' && nothing_left
}
a_damaged_zip_sends_us_to_the_next_host() {
    get "$base/good/damaged $base/good/fine" apple2orange
    [ $status -eq 0 ] && set_is "$zip"
}
a_wrong_checksum_is_refused() {
    get "$base/good/other" --sha256 "$sum" apple2orange
    failed_in_one_sentence && said "not the expected $sum" && nothing_left
}
a_wrong_checksum_in_the_environment_is_refused() {
    export CGD_DATASET_SHA256="$sum"
    get "$base/good/other" apple2orange
    unset CGD_DATASET_SHA256
    failed_in_one_sentence && said "not the expected $sum" && nothing_left
}
the_right_checksum_in_capitals_is_accepted() {
    get "$base/good/fine" --sha256 "$(echo "$sum" | tr a-f A-F)" apple2orange
    [ $status -eq 0 ] && set_is "$zip"
}
a_checksum_of_the_wrong_length_is_refused() {
    get "$base/good/fine" apple2orange --sha256 abc
    failed_in_one_sentence && said '64 hexadecimal digits' &&
        [ ! -s "$tmp/log" ]
}
a_path_upwards_is_refused() {
    get "$base/good/up" apple2orange
    failed_in_one_sentence && said 'leaves the folder' && nothing_left
}
an_absolute_path_is_refused() {
    get "$base/good/absolute" apple2orange
    failed_in_one_sentence && said 'leaves the folder' && nothing_left
}
a_path_with_backslashes_is_refused() {
    get "$base/good/backslash" apple2orange
    failed_in_one_sentence && said 'leaves the folder' && nothing_left
}
a_link_in_the_zip_is_refused() {
    get "$base/good/link" apple2orange
    [ $status -ne 0 ] && said 'it holds links' && nothing_left
}
a_zip_without_testB_is_refused() {
    get "$base/good/partial" apple2orange
    failed_in_one_sentence && said 'apple2orange/testB' && nothing_left
}
a_set_already_there_is_left_alone() {
    mkdir -p "$work/datasets/apple2orange"
    get "$base/good/fine" apple2orange
    [ $status -eq 0 ] && said 'already there' && [ ! -s "$tmp/log" ] &&
        [ -z "$(ls -A "$work/datasets/apple2orange")" ]
}
a_half_unpacked_set_is_done_again() {
    mkdir -p "$work/datasets/apple2orange.unpacking/apple2orange/junk"
    get "$base/good/fine" apple2orange
    [ $status -eq 0 ] && set_is "$zip"
}
ae_photos_needs_no_training_pictures() {
    get "$base/good/fine" ae_photos
    [ $status -eq 0 ] && set_is "$tmp/zips/fine/ae_photos.zip" ae_photos
}
cityscapes_is_explained() {
    get '' cityscapes
    failed_in_one_sentence && said 'licence' && said 'cityscapes-dataset.com'
}
cityscapes_comes_from_an_own_host() {
    get "$base/good/fine" cityscapes
    [ $status -eq 0 ] && set_is "$tmp/zips/fine/cityscapes.zip" cityscapes
}
an_unknown_name_is_answered_with_the_known() {
    get "$base/good/fine" apple2organ
    failed_in_one_sentence && said 'horse2zebra' && said 'ae_photos' &&
        [ ! -s "$tmp/log" ] && [ ! -e "$work/datasets" ]
}
help_explains() {
    get '' --help
    [ $status -eq 0 ] && said 'usage: ' && said 'CGD_DATASET_HOSTS' &&
        said '--sha256'
}
list_names_all_twelve() {
    get '' --list
    [ $status -eq 0 ] && [ "$(printf '%s\n' "$out" | grep -c :)" -eq 12 ] &&
        said 'maps: 1477 MB'
}
a_missing_tool_is_named() {
    get "$base/good/fine" apple2orange
    failed_in_one_sentence && said "$missing" && [ ! -e "$work/datasets" ]
}

# ---- Every check with each fetching tool, the zip ones with each unpacker ---

zip_checks='a_fresh_download_is_unpacked the_next_run_resumes
    a_damaged_zip_is_refused a_path_upwards_is_refused
    an_absolute_path_is_refused a_path_with_backslashes_is_refused
    a_zip_without_testB_is_refused'
fetch_checks='the_checksum_is_printed another_folder_may_be_named
    a_cut_download_is_resumed the_second_host_continues_what_the_first_began
    a_whole_part_is_not_fetched_again a_server_without_ranges_starts_over
    a_part_of_another_zip_is_given_up a_part_longer_than_the_zip_is_given_up
    a_dead_first_host_is_passed_over a_first_host_with_404_is_passed_over
    all_hosts_gone_is_one_sentence a_web_page_is_recognised
    a_web_page_does_not_replace_what_is_kept
    a_damaged_zip_sends_us_to_the_next_host a_wrong_checksum_is_refused'
other_checks='a_wrong_checksum_in_the_environment_is_refused
    the_right_checksum_in_capitals_is_accepted
    a_checksum_of_the_wrong_length_is_refused a_link_in_the_zip_is_refused
    a_set_already_there_is_left_alone a_half_unpacked_set_is_done_again
    ae_photos_needs_no_training_pictures cityscapes_is_explained
    cityscapes_comes_from_an_own_host an_unknown_name_is_answered_with_the_known
    help_explains list_names_all_twelve'

others=$other_checks
for with in curl wget; do
    have "$with" || continue
    fetcher=$with path=$tmp/$with
    tools_path "$path" "$with" unzip
    for name in $zip_checks $fetch_checks $others; do check "$name"; done
    others=''                           # once: they do not depend on the tool
done
for with in python3 bsdtar; do
    have "$with" || continue
    path=$tmp/$with
    tools_path "$path" "$fetcher" "$with"
    for name in $zip_checks; do check "$name"; done
done

path=$tmp/no_fetcher with='no curl, no wget' missing='neither curl nor wget'
tools_path "$path" unzip
check a_missing_tool_is_named
path=$tmp/no_unpacker with='no unpacker' missing='none of unzip'
tools_path "$path" "$fetcher"
check a_missing_tool_is_named

echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
