#!/bin/sh
# Write cgd's manual page, made from what its --help prints.
#
#     sh tools/package/man.sh build/cgd >cgd.1

set -e
help=$("$1" --help)
version=$("$1" --version)

# An option begins with a dash (in the list of commands, with a letter); its
# text stands two spaces on or below, far to the right. A line above something
# indented is a heading, and what is indented otherwise keeps its lines.
page='
function roff(s)
{
    gsub(/\\/, "\\e", s)
    gsub(/-/, "\\-", s)
    gsub(/`/, "\\(ga", s)
    gsub(/\047/, "\\(aq", s)
    gsub(/\^/, "\\(ha", s)
    gsub(/~/, "\\(ti", s)
    return s ~ /^[.]/ ? "\\&" s : s
}
function usage(s)
{
    print list ? roff(s) "\n.SH DESCRIPTION" : ".SS \"" roff(s) "\""
}
function option(s,   gap)
{
    gap = match(s, /  +/)
    print ".TP\n.B \"" roff(gap ? substr(s, 1, gap - 1) : s) "\""
    if (gap) print roff(substr(s, gap + RLENGTH))
}
function kind(s, follows)
{
    if (s == "") return ""
    if (s ~ /^usage: /) return "usage"
    if (s ~ /^  -/ || list && s ~ /^  [a-z]/) return "option"
    if (s ~ /^          / && was == "option") return "option text"
    if (s ~ /^ /) return "as it is"
    return was == "" && follows ~ /^  / ? "heading" : "text"
}
function line(s, follows,   is)
{
    is = kind(s, follows)
    if (was == "as it is" && is != was) print ".EE"
    if (is == "as it is" && is != was) print ".PP\n.EX"
    if ((is == "text" && is != was || is == "heading") && !first) print ".PP"
    if (is == "usage") usage(substr(s, 8))
    else if (is == "option") option(substr(s, 3))
    else if (is == "heading") print ".I \"" roff(s) "\""
    else if (is == "option text") { sub(/^ +/, "", s); print roff(s) }
    else if (is != "") print roff(s)
    if (is != "") first = is == "usage"
    was = is == "option text" ? "option" : is
}
NR > 1 { line(last, $0) }
{ last = $0 }
END { line(last, ""); line("", "") }
'

echo ".TH CGD 1 \"\" \"$version\" \"User Commands\""
echo .SH NAME
echo "$help" | sed -n 's/^Learn\([^,]*\),.*/cgd \\- learn\1/p'
echo .SH SYNOPSIS
echo "$help" | awk -v list=1 "$page"
echo .SH COMMANDS
for name in $(echo "$help" | sed -n 's/^  \([a-z]*\) .*/\1/p'); do
    text=$("$1" "$name" --help)
    printf '%s\n' "$text" | awk -v list=0 "$page"
done
