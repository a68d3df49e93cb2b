#!/bin/sh
# Fetch one of the public CycleGAN data sets and unpack it.
#
# Plain POSIX sh. Needs curl or wget, and unzip, python3 or bsdtar. A set
# appears under its final name only when it is whole: the download grows in
# NAME.zip.part, which the next run continues, and unpacking happens in
# NAME.unpacking, which is then renamed.

# The official script fetches from efrosgans over http; people report that
# https works too, so that is tried first. The older address, which many
# programs still name, was closed in 2023 and answers 404.
hosts=${CGD_DATASET_HOSTS:-"
    https://efrosgans.eecs.berkeley.edu/cyclegan/datasets
    http://efrosgans.eecs.berkeley.edu/cyclegan/datasets
    https://people.eecs.berkeley.edu/~taesung_park/CycleGAN/datasets"}

# Name, megabytes, and the SHA-256 that TensorFlow Datasets publishes for the
# zip (tensorflow_datasets/url_checksums/cycle_gan.txt). The hosts publish no
# sums themselves, so a difference is said aloud but refused only on request.
table() {
    cat <<'END'
apple2orange             78 845a191e9af8926408ea597001cd03a452e3300a1f44a79fe329b3d59f6e3eb8
summer2winter_yosemite  133 167fe1726807a9d22bd106b4a6c0bd7953b688af924ac1bf967439c4961e49f9
horse2zebra             117 a74d9d392eecca9966b51287a76ca126af473d9de4f3e8fc0e9cda08fa1730a1
monet2photo             305 88f91b00fc228f97c9411fbf1880ec1d119c98f1722e4cfcfaa2fb35fac05b04
cezanne2photo           280 3a6c10ca21f9485862f1cbd707744b9dc258954a04631271d23a3605eeb63cff
ukiyoe2photo            293 02a2a2fb5ecf425ca1bf86aca7304377da64a2a1d3b86df54eb65e4068bf3b08
vangogh2photo           307 362c3473e70be0944bda08d49d660eafdc2854df55d697835b8186d1d79caaff
maps                   1477 639534f69dbf9f36bef8d6292a7698006361221f83f0285d7c9ca78afe6e8a9e
facades                  35 9a31ebf3a31b9b5cd195dd5bf62e9308e00cb94604d1019e3889ac84248695c0
cityscapes                - -
iphone2dslr_flower      340 8fcb5e374d631b107e1d961b8c4cd0a186aa2a4ff3e279923f4c426128de7113
ae_photos                10 -
END
}

usage() {
    cat <<'END'
usage: get_dataset.sh [--sha256 HEX] NAME [DIR]
       get_dataset.sh --list | --help

Fetches the CycleGAN data set NAME and unpacks it into DIR/NAME, which then
holds the folders trainA, trainB, testA and testB. DIR is "datasets" in the
current folder unless given. A broken download is continued by the next run,
and a set that is already there is not fetched again.

  --sha256 HEX   refuse a zip with any other SHA-256 checksum
  --list         the known names and their sizes
  --help         this text

Environment:
  CGD_DATASET_HOSTS    base addresses to try in turn, separated by spaces;
                       ADDRESS/NAME.zip is fetched
  CGD_DATASET_SHA256   the same as --sha256
END
}

list() {
    table | while read -r set mb sum; do
        case $set in
        cityscapes) echo "$set: not hosted any more, for licence reasons" ;;
        ae_photos)  echo "$set: about $mb MB, pictures to translate only" ;;
        *)          echo "$set: $mb MB" ;;
        esac
    done
}

say() { printf 'get_dataset: %s\n' "$*"; }
die() { say "$@" >&2; exit 1; }
misused() { say "$@" >&2; exit 2; }
have() { command -v "$1" >/dev/null 2>&1; }
size() { if [ -f "$1" ]; then wc -c <"$1" | tr -d ' '; else echo 0; fi; }

# ---- Fetching ------------------------------------------------------------
# Everything below that can fail leaves the reason in $why.

# Fetch URL $1 into FILE $2, continuing what FILE already holds. Returns 0
# when the tool is content, 1 when the line failed, 2 when the server said no
# or would not continue.
get() {
    before=$(size "$2")
    if [ "$fetcher" = curl ]; then
        bar=-s; [ -t 2 ] && bar=-#
        curl "$bar" -fL -C - --connect-timeout 30 --speed-time 60 \
            -o "$2" "$1"
    else
        bar=-q; [ -t 2 ] && bar=
        wget $bar -c -t 1 -T 60 -O "$2" "$1"
    fi
    case $fetcher$? in
    curl0 | wget0) return 0 ;;
    curl22 | wget8) why='the server answered with an error'; return 2 ;;
    curl33) why='the server does not continue downloads'; return 2 ;;
    curl23 | wget3) die "cannot write $2: is the disk full?" ;;
    curl35 | curl60 | wget5) why='no secure connection' ;;
    *) why='cannot be reached' ;;
    esac
    return 1
}

# As get, again and again while each attempt brings something.
fetch() {
    start=$(size "$2") tries=8
    until get "$1" "$2"; do
        status=$? now=$(size "$2") tries=$((tries - 1))
        [ "$status" -eq 1 ] || return "$status"
        [ "$now" -eq "$start" ] || why='the connection broke off'
        if [ "$now" -le "$before" ] || [ $tries -eq 0 ]; then return 1; fi
    done
}

# Bring a good zip from URL $1 into $part.
try_url() {
    copy=$part
    if [ -s "$part" ]; then
        held=$(size "$part")
        fetch "$1" "$part"
        case $? in
        0) accept "$part" && return 0
           # What grew to its end and is no good was begun from another file.
           [ "$(size "$part")" -eq "$held" ] || rm -f "$part" ;;
        1) return 1 ;;
        esac
        # This host cannot continue it, so ask for a whole copy; only a good
        # one may replace what is kept, never a host's error page.
        [ -s "$part" ] && copy=$part.new && rm -f "$copy"
    fi
    if fetch "$1" "$copy"; then
        if accept "$copy"; then
            [ "$copy" = "$part" ] || mv -f "$copy" "$part"
            return
        fi
        rm -f "$copy"
    fi
    rm -f "$part.new"
    return 1
}

# ---- Zips ----------------------------------------------------------------

zip_test() {
    case $unzipper in
    unzip)   unzip -tqq "$1" >/dev/null 2>&1; [ $? -le 1 ] ;;  # 1: a warning
    python3) python3 -c 'import sys, zipfile
sys.exit(zipfile.ZipFile(sys.argv[1]).testzip() is not None)' \
                 "$1" 2>/dev/null ;;
    bsdtar)  bsdtar -xOf "$1" >/dev/null 2>&1 ;;
    esac
}

zip_names() {
    case $unzipper in
    unzip)   unzip -Z1 "$1" ;;
    python3) python3 -c 'import sys, zipfile
for name in zipfile.ZipFile(sys.argv[1]).namelist():
    sys.stdout.buffer.write(name.encode("utf-8", "replace") + b"\n")' "$1" ;;
    bsdtar)  bsdtar -tf "$1" ;;
    esac
}

zip_unpack() {
    case $unzipper in
    unzip)   unzip -qo "$1" -d "$2"; [ $? -le 1 ] ;;
    python3) python3 -m zipfile -e "$1" "$2" ;;
    bsdtar)  bsdtar -xf "$1" -C "$2" ;;
    esac
}

checksum() {
    if have sha256sum; then sha256sum <"$1" | cut -d ' ' -f 1
    elif have shasum; then shasum -a 256 <"$1" | cut -d ' ' -f 1
    fi
}

# Is FILE $1 a whole zip, the expected one, with nothing in it but our folders?
accept() {
    if dd if="$1" bs=1024 count=1 2>/dev/null |
        LC_ALL=C grep -qi -e '<html' -e '<!doctype'; then
        why='sent a web page instead of a zip'; return 1
    fi
    if [ "$(dd if="$1" bs=2 count=1 2>/dev/null | tr -d '\000')" != PK ] ||
        ! zip_test "$1"; then
        why='sent something that is not a sound zip'; return 1
    fi
    sum=$(checksum "$1")
    if [ -n "$expected" ] && [ "$sum" != "$expected" ]; then
        why="the zip's SHA-256 is $sum, not the expected $expected"; return 1
    fi
    names=$(zip_names "$1" | tr '\134' /)      # some zips say \ for /
    outside=$(printf '%s\n' "$names" |
        grep -E '^/|^[A-Za-z]:|(^|/)\.\.(/|$)' | head -n 1)
    if [ -n "$outside" ]; then
        why="the zip holds a path that leaves the folder: $outside"; return 1
    fi
    for folder in $wanted; do
        if ! printf '%s\n' "$names" | grep -q "^$folder."; then
            why="the zip has nothing in $folder"; return 1
        fi
    done
}

# ---- The command line ----------------------------------------------------

name='' dir='' expected=${CGD_DATASET_SHA256:-}
while [ $# -gt 0 ]; do
    case $1 in
    -h | --help) usage; exit 0 ;;
    --list) list; exit 0 ;;
    --sha256)
        [ $# -ge 2 ] || misused '--sha256 wants a checksum after it'
        expected=$2; shift ;;
    -*) misused "unknown option $1; see --help" ;;
    *)
        if [ -z "$name" ]; then name=$1
        elif [ -z "$dir" ]; then dir=$1
        else misused "one NAME and one DIR only, not also \"$1\"; see --help"
        fi ;;
    esac
    shift
done
[ -n "$name" ] || misused 'which data set? see --list and --help'
dir=${dir:-datasets}

known=$(table | cut -d ' ' -f 1 | tr '\n' ' ')
case " $known" in
*" $name "*) ;;
*) misused "no data set is called \"$name\"; the known ones are ${known% }" ;;
esac

expected=$(printf %s "$expected" | tr A-F a-f)
case $expected in
*[!0-9a-f]*) misused 'a SHA-256 checksum has 64 hexadecimal digits' ;;
esac
[ ${#expected} -eq 0 ] || [ ${#expected} -eq 64 ] ||
    misused 'a SHA-256 checksum has 64 hexadecimal digits'

if [ -d "$dir/$name" ]; then
    say "$dir/$name is already there; nothing fetched"
    exit 0
fi
[ ! -e "$dir/$name" ] || die "$dir/$name is in the way: it is not a folder"

# The Cityscapes licence does not let others hand the pictures out. Who has
# them may still serve a zip of their own, so an own host is asked.
if [ "$name" = cityscapes ] && [ -z "${CGD_DATASET_HOSTS:-}" ]; then
    die 'cityscapes is not hosted by the CycleGAN project any more,' \
        'for licence reasons: register at' \
        'https://www.cityscapes-dataset.com, take' \
        'leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip, and put' \
        'the photos and the label pictures into' \
        "$dir/cityscapes/trainA, trainB, testA and testB"
fi

if have curl; then fetcher=curl
elif have wget; then fetcher=wget
else die 'neither curl nor wget is installed, and one of them is needed'
fi
if unzip -Z >/dev/null 2>&1; then unzipper=unzip    # busybox's has no -Z
elif have python3; then unzipper=python3
elif have bsdtar; then unzipper=bsdtar
else die 'none of unzip, python3 and bsdtar is installed, and one is needed'
fi
[ -z "$expected" ] || have sha256sum || have shasum ||
    die 'neither sha256sum nor shasum is installed to check the zip with'

# ---- The work ------------------------------------------------------------

wanted="$name/trainA/ $name/trainB/ $name/testA/ $name/testB/"
[ "$name" != ae_photos ] || wanted=$name/  # photos to try a trained model on

mkdir -p "$dir" || die "cannot make the folder $dir"
dir=$(CDPATH='' cd "$dir" && pwd) || die "cannot enter the folder $dir"
part=$dir/$name.zip.part
unpacking=$dir/$name.unpacking
tidy() {
    rm -rf "$unpacking" "$part.new"
    [ -s "$part" ] || rm -f "$part"         # wget leaves an empty file
}
trap tidy EXIT
trap 'exit 130' HUP INT TERM

found='' failures='' why=''
if [ -s "$part" ]; then
    accept "$part" && found=$part    # stopped after the last byte, last time
fi
set -f
for host in $hosts; do
    [ -z "$found" ] || break
    url=${host%/}/$name.zip
    kept=''
    [ ! -s "$part" ] || kept=" (continuing after $(size "$part") bytes)"
    say "fetching $url$kept"
    if try_url "$url"; then found=$part; break; fi
    failures="$failures${failures:+, }$url ($why)"
done
set +f
if [ -z "$found" ]; then
    hint='another host can be named in CGD_DATASET_HOSTS'
    [ ! -s "$part" ] || hint="$part is kept to be continued, and $hint"
    die "no host gave a good $name.zip: $failures; $hint"
fi

published=$(table | sed -n "s/^$name .* //p")
case $published in
"$sum") remark=', as published by TensorFlow Datasets' ;;
-) remark='' ;;
*) remark=', not the one published by TensorFlow Datasets' ;;
esac
[ -n "$sum" ] || remark=' unknown: neither sha256sum nor shasum is installed'
say "SHA-256 of $name.zip: $sum$remark"

rm -rf "$unpacking"
if ! mkdir "$unpacking" || ! zip_unpack "$part" "$unpacking"; then
    die "cannot unpack $part: is the disk full?"
fi
if [ -n "$(find "$unpacking" ! -type f ! -type d)" ]; then
    rm -f "$part"
    die "refused $name.zip: it holds links, not only files and folders"
fi
mv "$unpacking/$name" "$dir/$name" || die "cannot make $dir/$name"
rm -f "$part"

counts=''
for folder in trainA trainB testA testB; do
    [ -d "$dir/$name/$folder" ] || continue
    files=$(find "$dir/$name/$folder" -type f | wc -l | tr -d ' ')
    counts="$counts${counts:+, }$folder $files"
done
say "$dir/$name is ready${counts:+: }$counts"
