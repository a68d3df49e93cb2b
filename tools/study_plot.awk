# Curves from the study's results.csv, as SVG; a point is the mean over the
# seeds, its bar reaches from the least to the greatest:
#
#     awk -F, -v what=steps -f tools/study_plot.awk results.csv >steps.svg
#     awk -F, -v what=gan -f tools/study_plot.awk results.csv >gan.svg
#
# steps: PSNR to the truth against steps of training, of the teacher and of
# students. gan: PSNR to the truth against PSNR to the teacher, over the weight
# of the adversarial term.

BEGIN {
    n_colours = split("#888 #06c #c50", colours, " ")
    if (what == "steps") {
        series["teacher"] = "teacher, 9 blocks"
        series["16-plain"] = "student, 3 blocks"
        series["8-plain"] = "the same, half as wide"
    } else series["8-plain"] = "student, 3 blocks, half as wide"
}

$1 == "drawn" && $3 in series {
    if (what == "steps" && $4 !~ /^(train|best)/) next
    if (what == "gan" && $4 != "best" && $4 !~ /^gan-/) next
    at = what == "steps" ? $5 : $4 == "best" ? 0 : substr($4, 5)
    point = $3 "," at + 0
    if (!(point in count)) {
        if (!points[$3]++) order[++n_series] = $3
        key[$3, points[$3]] = at + 0
        low[point] = high[point] = $8 + 0
    }
    count[point]++
    x[point] += what == "steps" ? log($5) : $11
    y[point] += $8
    if ($8 + 0 < low[point]) low[point] = $8 + 0
    if ($8 + 0 > high[point]) high[point] = $8 + 0
}

function across(v) { return 70 + (v - x0) / (x1 - x0) * 500 }
function down(v) { return 310 - (v - y0) / (y1 - y0) * 270 }
function text(px, py, anchor, s) {
    printf "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">%s</text>\n", px,
        py, anchor, s
}
function line(ax, ay, bx, by, style) {
    printf "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" %s/>\n",
        ax, ay, bx, by, style
}
function stroke(colour, width) {
    return "stroke=\"" colour "\" stroke-width=\"" width "\""
}
function grow(v, least, most) {
    if (x0 == "" || v < x0) x0 = v
    if (x1 == "" || v > x1) x1 = v
    if (y0 == "" || least < y0) y0 = least
    if (y1 == "" || most > y1) y1 = most
}

# The points of a series by rising key, and the range of all.
function arrange(s,    i, k, swap) {
    for (i = 2; i <= points[s]; i++)
        for (k = i; k > 1 && key[s, k - 1] > key[s, k]; k--) {
            swap = key[s, k]; key[s, k] = key[s, k - 1]; key[s, k - 1] = swap
        }
    for (i = 1; i <= points[s]; i++) {
        k = s "," key[s, i]
        x[k] /= count[k]
        y[k] /= count[k]
        grow(x[k], low[k], high[k])
    }
}

function draw(s, colour, row,    i, k, before) {
    for (i = 1; i <= points[s]; i++) {
        k = s "," key[s, i]
        if (i > 1) line(across(x[before]), down(y[before]), across(x[k]),
                        down(y[k]), stroke(colour, 2))
        line(across(x[k]), down(low[k]), across(x[k]), down(high[k]),
             stroke(colour, 1))
        printf "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"4\" fill=\"%s\"/>\n",
            across(x[k]), down(y[k]), colour
        if (what == "gan")             # above and below, in turn
            text(across(x[k]) + 6, down(y[k]) + (i % 2 ? 18 : -8), "start",
                 key[s, i])
        before = k
    }
    text(560, 240 + 18 * row, "end",
         "<tspan fill=\"" colour "\">" series[s] "</tspan>")
}

END {
    for (i = 1; i <= n_series; i++) {
        arrange(order[i])
        if (points[order[i]] > most) most = points[order[i]]
    }
    if (most < 2) {
        print "study_plot: too few results for a curve" >"/dev/stderr"
        exit 1
    }
    pad = (x1 - x0) / 20 + 1e-3; x0 -= pad; x1 += pad
    pad = (y1 - y0) / 10 + 1e-3; y0 -= pad; y1 += pad
    print "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"600\"" \
        " height=\"360\" font-family=\"sans-serif\" font-size=\"12\">"
    print "<rect width=\"600\" height=\"360\" fill=\"white\"/>"
    line(70, 310, 570, 310, stroke("black", 1))
    line(70, 40, 70, 310, stroke("black", 1))
    text(320, 350, "middle", what == "steps" ? "steps of training" \
        : "PSNR to the teacher, dB; beside the points: weight of the " \
          "adversarial term")
    text(70, 28, "middle", "PSNR to the truth, dB")
    for (i = 0; i <= 4; i++) {
        v = y0 + (y1 - y0) * i / 4
        text(64, down(v) + 4, "end",
             sprintf(y1 - y0 < 2 ? "%.2f" : "%.1f", v))
        v = x0 + (x1 - x0) * i / 4
        if (what == "gan") text(across(v), 326, "middle", sprintf("%.1f", v))
    }
    for (v = 1; what == "steps" && log(v) <= x1; v *= 10)
        for (i = 1; i <= 3; i += 2)
            if (log(v * i) >= x0 && log(v * i) <= x1)
                text(across(log(v * i)), 326, "middle", v * i)
    for (i = 1; i <= n_series; i++) draw(order[i], colours[i], i)
    print "</svg>"
}
