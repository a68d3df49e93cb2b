# Two curves from the study's results.csv, as SVG, each a mean over the seeds:
#
#     awk -F, -v what=steps -f tools/study_plot.awk results.csv >steps.svg
#     awk -F, -v what=gan -f tools/study_plot.awk results.csv >gan.svg
#
# steps: PSNR to the truth against steps of distillation, and the teacher's.
# gan: PSNR to the truth against PSNR to the teacher, over the weight of the
# adversarial term.

NR > 1 && $2 == "teacher" { level += $6; teachers++; next }
NR > 1 && $2 == "8-plain" && ($3 == "best" || \
    (what == "steps" && $3 ~ /^best-/) || (what == "gan" && $3 ~ /^gan-/)) {
    key = what == "steps" ? $4 : $3 == "best" ? 0 : substr($3, 5)
    if (!(key in count)) keys[++n] = key + 0
    count[key]++
    x[key] += what == "steps" ? log($4) : $8
    y[key] += $6
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
function grow(v, w) {
    if (x0 == "" || v < x0) x0 = v
    if (x1 == "" || v > x1) x1 = v
    if (y0 == "" || w < y0) y0 = w
    if (y1 == "" || w > y1) y1 = w
}

END {
    if (n < 2) {
        print "study_plot: too few results for a curve" >"/dev/stderr"
        exit 1
    }
    for (i = 1; i <= n; i++)               # sorted by steps, or by weight
        for (k = i; k > 1 && keys[k - 1] > keys[k]; k--) {
            swap = keys[k]; keys[k] = keys[k - 1]; keys[k - 1] = swap
        }
    for (i = 1; i <= n; i++) {
        k = keys[i]
        x[k] /= count[k]
        y[k] /= count[k]
        grow(x[k], y[k])
    }
    if (teachers) { level /= teachers; grow(x[keys[1]], level) }
    pad = (x1 - x0) / 20 + 1e-3; x0 -= pad; x1 += pad
    pad = (y1 - y0) / 10 + 1e-3; y0 -= pad; y1 += pad
    print "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"600\"" \
        " height=\"360\" font-family=\"sans-serif\" font-size=\"12\">"
    print "<rect width=\"600\" height=\"360\" fill=\"white\"/>"
    line(70, 310, 570, 310, "stroke=\"black\"")
    line(70, 40, 70, 310, "stroke=\"black\"")
    text(320, 350, "middle", what == "steps" ? "steps of distillation" \
        : "PSNR to the teacher, dB; beside the points: weight of the " \
          "adversarial term")
    text(70, 28, "middle", "PSNR to the truth, dB")
    for (i = 0; i <= 4; i++) {
        v = y0 + (y1 - y0) * i / 4
        text(64, down(v) + 4, "end", sprintf("%.1f", v))
        v = x0 + (x1 - x0) * i / 4
        if (what == "gan") text(across(v), 326, "middle", sprintf("%.1f", v))
    }
    if (teachers) {
        line(70, down(level), 570, down(level),
             "stroke=\"gray\" stroke-dasharray=\"4\"")
        text(566, down(level) - 4, "end", "teacher")
    }
    for (i = 1; i <= n; i++) {
        k = keys[i]
        if (i > 1)
            line(across(x[keys[i - 1]]), down(y[keys[i - 1]]), across(x[k]),
                 down(y[k]), "stroke=\"#06c\" stroke-width=\"2\"")
        printf "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"4\" fill=\"#06c\"/>\n",
            across(x[k]), down(y[k])
        if (what == "gan") text(across(x[k]) + 7, down(y[k]) - 5, "start", k)
        else text(across(x[k]), 326, "middle", k)
    }
    print "</svg>"
}
