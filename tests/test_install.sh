#!/bin/sh
# What make install leaves: a header and companions that programs find by
# pkg-config and by CMake as the README says, cgd, and a manual page with all
# of its help. make uninstall takes that away, and nothing else.
#
#     sh tests/test_install.sh [CGD [SCRATCH]]

set -u
root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/tests/checks.sh"
cc=${CC:-cc}
header=$root/cycle_gan_distil.h
version=$(sed -n 's/^#define CGD_VERSION "\(.*\)"/\1/p' "$header")
build() { make -C "$root" DESTDIR="$PWD/a stage" PREFIX=/opt/cgd "$@"; }
rm -rf 'a stage' stage app* *_app
there=$PWD/stage/opt/cgd
ln -s 'a stage' stage
mkdir -p 'a stage/opt/cgd/bin'
echo theirs >"$there/bin/other"

# ---- versions --------------------------------------------------------------

one_version()
{
    number=$(echo "$version" | awk -F. '{ print $1 * 10000 + $2 * 100 + $3 }')
    test -n "$version" &&
        grep "^#define CGD_VERSION_NUMBER $number " "$header" &&
        sed 1q "$header" | grep "; v$version\$"
}
check 'the versions in the header are one' one_version

# ---- what is there ---------------------------------------------------------

installs() { (umask 077 && build install && build install); }
readable()
{
    find "$there" ! -type d ! -perm -444 >log
    find "$there/include" "$there/share" -type d ! -perm -555 >>log
    test ! -s log
}
version_of() { test "$("$1" --version)" = "cgd $version"; }
check 'make install, twice' installs
check 'everybody may read what root installed' readable
check 'cgd runs from where it was installed' version_of "$there/bin/cgd"
check "cgd is built with a packager's flags" \
    env -u MAKEFLAGS CPPFLAGS=-Dpre CFLAGS=-O LDFLAGS=-Wl,-z sh -c "
        make -C '$root' -n -B build/cgd | grep ' -Dpre -O -Wl,-z '"

# ---- the manual page -------------------------------------------------------

page=$there/share/man/man1/cgd.1
words() { tr -s ' \n' '\n\n' | grep -v '^usage:$'; }
helps()
{
    "$cgd" --help
    for command in $("$cgd" --help | sed -n 's/^  \([a-z]*\) .*/\1/p'); do
        "$cgd" $command --help
    done
}
same_words()
{
    helps | words >helps
    sed '1,/^.SH SYNOPSIS/d; /^[.][STPE][HPXE]/d
         s/^[.][A-Z]* "\(.*\)"$/\1/; s/^\\&//; s/\\-/-/g; s/\\(ga/`/g
         s/\\(aq/'\''/g; s/\\(ha/^/g; s/\\(ti/~/g; s/\\e/\\/g' "$page" |
        words >words
    test "$(grep -c -- '^--' helps)" -gt 50 && diff helps words
}
has_sections()
{
    grep '^cgd \\- [a-z]' "$page" || return
    for command in $("$cgd" --help | sed -n 's/^  \([a-z]*\) .*/\1/p'); do
        grep "^.SS \"cgd $command " "$page" || return
    done
}
typeset() { groff -ww -man -Tascii "$page" 2>err >log && test ! -s err; }
check 'the manual page has a section for every command' has_sections
check 'the manual page has the words of every --help' same_words
if have groff; then check 'the manual page is set without warnings' typeset
else skip 'groff is not installed'; fi

# ---- programs --------------------------------------------------------------

# The README's program, with the code of all companions.
for path in "$there"/include/cycle_gan_distil/*.h; do
    name=$(basename "$path" .h)
    echo "#define $(echo "$name" | tr a-z A-Z)_IMPLEMENTATION" >>app_begin
    echo "#include <cycle_gan_distil/$name.h>" >>app_end
done
awk '/^```c$/ { on = 1; next } on && /^```/ { exit } on' "$root/README.md" \
    >app_middle
cat app_begin app_middle app_end >app.c
said() { sed -n "s/^ *\($1.*$2\).*/\1/p" "$root/README.md"; }
runs() { "$1" 2>err; grep student.safetensors err; }

by_pkg_config()
{
    PKG_CONFIG_SYSROOT_DIR=$PWD/stage PKG_CONFIG_LIBDIR=$there/share/pkgconfig
    export PKG_CONFIG_SYSROOT_DIR PKG_CONFIG_LIBDIR
    test "$(pkg-config --modversion cycle_gan_distil)" = "$version" &&
        eval "$(said 'cc app.c' '-o app' | sed "s|^cc|$cc -DCGD_NO_SIMD|")" &&
        runs ./app
}
by_cmake()
{
    {
        echo 'cmake_minimum_required(VERSION 3.10)'
        echo 'project(app C)'
        echo 'add_executable(app app.c)'
        for other in 0.0 "${version%.*}.999"; do
            echo "find_package(cycle_gan_distil $other QUIET)"
            echo 'if(cycle_gan_distil_FOUND)'
            echo "    message(FATAL_ERROR \"taken for $other\")"
            echo 'endif()'
        done
        echo "find_package(cycle_gan_distil ${version%.*} REQUIRED)"
        said find_package ')'
        said target_link_libraries ')'
    } >CMakeLists.txt
    CC=$cc cmake -S . -B cmake_app -DCMAKE_PREFIX_PATH="$there" \
        -DCMAKE_C_FLAGS=-DCGD_NO_SIMD &&
        cmake --build cmake_app && runs cmake_app/app
}
if have pkg-config; then check 'a program by pkg-config' by_pkg_config
else skip 'pkg-config is not installed'; fi
if have cmake; then check 'a program by CMake' by_cmake
else skip 'CMake is not installed'; fi

# ---- and gone --------------------------------------------------------------

leaves_nothing()
{
    build uninstall || return
    find "$there" ! -type d >left
    find "$there" -type d -name '*cycle_gan_distil*' >>left
    echo "$there/bin/other" | diff - left
}
check 'make uninstall leaves what is not ours, and nothing else' leaves_nothing

echo "$passed passed, $failed failed, $skipped skipped"
[ $failed -eq 0 ]
