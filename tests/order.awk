# Private functions (cgd__name) that are used above their definition, one a
# line, in the order of the file: a section of the library calls only upwards.
# Reads the code as it is written here: a definition begins and ends in column
# one, and a forward declaration is no use.

# A line without comments, strings and characters.
function bare(s,    out, i)
{
    gsub(/\\./, "", s)
    gsub(/"[^"]*"/, "", s)
    gsub(/'[^']*'/, "", s)
    while (1) {
        if (comment) {
            if (!(i = index(s, "*/"))) return out
            s = substr(s, i + 2)
            comment = 0
        }
        if (!(i = index(s, "/*"))) return out s
        out = out substr(s, 1, i - 1) " "
        s = substr(s, i + 2)
        comment = 1
    }
}

{
    line = bare($0)
    if (line ~ /^#ifdef __cplusplus/) cpp = 1
    if (cpp || directive || line ~ /^#/) {
        if (line ~ /^#endif/) cpp = 0
        directive = line ~ /\\$/
        next
    }
    if (line ~ /^[{]/ && head != "" && !(head in defined)) defined[head] = NR
    if (line ~ /^[{]/) body = 1
    if (line ~ /=/) table = 1
    rest = line
    while (match(rest, /cgd__[a-z0-9_]+/)) {
        name = substr(rest, RSTART, RLENGTH)
        rest = substr(rest, RSTART + RLENGTH)
        if (!body && !table && rest ~ /^\(/) head = name
        else if (!(name in used)) { used[name] = NR; order[++n] = name }
    }
    if (line ~ /^}/) { body = 0; head = "" }
    if (line ~ /;/) { table = 0; if (!body) head = "" }
}

END {
    for (i = 1; i <= n; i++)
        if (order[i] in defined && used[order[i]] < defined[order[i]])
            print order[i]
}
