# The study's results.csv as tables, mean +- half the range over the seeds:
#
#     awk -F, -f tools/study_table.awk results.csv
#
# advantage: what the student keeps of the teacher's lead over the best answer
# that needs no learning, in mean error to the truth (l1).

NR == 1 { next }
$4 == "trivial" {
    if (!(($1, $2) in blank) || $7 < blank[$1, $2]) blank[$1, $2] = $7
}
$3 == "teacher" { level[$1, $2] = $7; work[$1] = $14 }   # the last is it
{
    row = $1 "," $3 "," $4
    if (!(row in count)) {
        rows[++n] = row
        set[row] = $1; student[row] = $3; recipe[row] = $4
        macs[row] = $14
    }
    k = ++count[row]
    steps[row, k] = $5; seconds[row, k] = $6; l1[row, k] = $7
    truth[row, k] = $8; teacher[row, k] = $11; seed[row, k] = $2
}

# "mean +- half the range" of v[row, 1 ...], or - where there is nothing.
function spread(v, row, digits,    i, sum, low, high) {
    for (i = 1; i <= count[row]; i++) {
        if (v[row, i] == "") return "-"
        sum += v[row, i]
        if (i == 1 || v[row, i] + 0 < low) low = v[row, i] + 0
        if (i == 1 || v[row, i] + 0 > high) high = v[row, i] + 0
    }
    sum = sprintf("%." digits "f", sum / count[row])
    if (count[row] == 1) return sum
    return sum sprintf(" +-%." digits "f", (high - low) / 2)
}

END {
    for (r = 1; r <= n; r++) {
        row = rows[r]
        s = set[row]
        if (s != last) {
            printf "\n%s\n%-14s %-10s %5s %5s  %-14s %-14s %-14s %-14s\n", s,
                "net", "recipe", "seeds", "work", "seconds", "dB to truth",
                "dB to teacher", "advantage, %"
            last = s
        }
        for (i = 1; i <= count[row]; i++) {
            b = blank[s, seed[row, i]]
            t = level[s, seed[row, i]]
            kept[row, i] = b == "" || t == "" || t >= b ? "" \
                : (b - l1[row, i]) / (b - t) * 100
        }
        printf "%-14s %-10s %5d %5s  %-14s %-14s %-14s %-14s\n",
            student[row], recipe[row], count[row],
            work[s] && macs[row] && student[row] != "teacher" \
                ? sprintf("1/%.1f", work[s] / macs[row]) : "",
            spread(seconds, row, 1), spread(truth, row, 2),
            spread(teacher, row, 2), spread(kept, row, 0)
    }
}
