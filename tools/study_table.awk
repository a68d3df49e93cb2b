# The study's results.csv as tables, mean +- half the range over the seeds:
#
#     awk -F, -f tools/study_table.awk results.csv
#
# L1: mean error to the truth, in grey levels; advantage: of the teachers' mean
# lead over the best answer that needs no learning, what the students keep.

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
            printf "\n%s\n%-14s %-10s %5s %6s  %-12s %-14s %-14s %-14s %s\n",
                s, "net", "recipe", "seeds", "work", "seconds",
                "dB to truth", "dB to teacher", "L1 to truth", "advantage"
            last = s
        }
        lead = gain = 0
        for (i = 1; i <= count[row]; i++) {
            b = blank[s, seed[row, i]]
            lead += b - level[s, seed[row, i]]
            gain += b - l1[row, i]
        }
        printf "%-14s %-10s %5d %6s  %-12s %-14s %-14s %-14s %s\n",
            student[row], recipe[row], count[row],
            work[s] && macs[row] && student[row] != "teacher" \
                ? sprintf("1/%.1f", work[s] / macs[row]) : "",
            spread(seconds, row, 1), spread(truth, row, 2),
            spread(teacher, row, 2), spread(l1, row, 2),
            (l1[row, 1] && lead > 0 ? sprintf("%.0f %%", gain / lead * 100) \
                                    : "-")
    }
}
