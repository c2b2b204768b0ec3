package report

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bgpguard/bgpguard/pkg/audit"
	"github.com/bgpguard/bgpguard/pkg/policy"
)

// pointsShown is the number of audits in the trend: the newest.
const pointsShown = 100

// The size of the chart, in its own units.
const (
	chartWidth  = 1160
	chartHeight = 260
	chartLeft   = 52
	chartRight  = 1146
	chartTop    = 14
	chartBottom = 226
)

// trend is a chart of violations over time with stacked severities, the most severe at
// the bottom.
type trend struct {
	Text                     string
	Width, Height            int
	Left, Right, Top, Bottom int
	LabelX, TickY            int
	Areas                    []area
	Grid                     []gridLine
	Ticks                    []tick
	Legend                   []badge
	Table                    cells
}

// area is a band of the chart and its upper edge.
type area struct{ Tone, Path, Edge string }

type gridLine struct {
	Y, TextY int
	Text     string
}

type tick struct {
	X            int
	Text, Anchor string
}

// newTrend returns the chart of a and earlier audits; nil if there are no earlier ones.
func newTrend(a *audit.Audit) *trend {
	if len(a.Trend) == 0 {
		return nil
	}
	points := append(slices.Clone(a.Trend), a.Point())
	left := max(len(points)-pointsShown, 0)
	points = points[left:]
	t := &trend{
		Width: chartWidth, Height: chartHeight, Left: chartLeft, Right: chartRight, Top: chartTop, Bottom: chartBottom,
		LabelX: chartLeft - 6, TickY: chartBottom + 18, Text: trendText(points), Table: trendCells(points, left),
	}
	most := 0
	for _, p := range points {
		most = max(most, total(p))
	}
	top := roundUp(most)
	for _, n := range []int{0, top / 2, top} {
		if n == 0 && len(t.Grid) > 0 {
			continue // top is 1, and top/2 is 0 again.
		}
		y := chartY(n, top)
		t.Grid = append(t.Grid, gridLine{y, y + 4, number(n)})
	}
	t.areas(points, top)
	t.ticks(points)
	return t
}

func total(p audit.Point) int {
	n := 0
	for _, severity := range policy.Severities {
		n += p.Violations[severity]
	}
	return n
}

// roundUp returns the next 1, 2 or 5 times a power of ten.
func roundUp(n int) int {
	for step := 1; ; step *= 10 {
		for _, top := range []int{step, 2 * step, 5 * step} {
			if n <= top {
				return top
			}
		}
	}
}

func chartY(n, top int) int { return chartBottom - n*(chartBottom-chartTop)/top }

// chartX returns the position of a time between the first and the last.
func chartX(at time.Time, points []audit.Point) int {
	first, last := points[0].Time, points[len(points)-1].Time
	if !last.After(first) {
		return chartRight
	}
	return chartLeft + int(float64(chartRight-chartLeft)*float64(at.Sub(first))/float64(last.Sub(first)))
}

// areas adds one band for each severity that occurs.
func (t *trend) areas(points []audit.Point, top int) {
	below := make([]int, len(points))
	for _, severity := range policy.Severities {
		var edge, back []string
		for i, p := range points {
			x := chartX(p.Time, points)
			back = append(back, fmt.Sprintf("%d %d", x, chartY(below[i], top)))
			below[i] += p.Violations[severity]
			edge = append(edge, fmt.Sprintf("%d %d", x, chartY(below[i], top)))
		}
		if !slices.ContainsFunc(points, func(p audit.Point) bool { return p.Violations[severity] > 0 }) {
			continue
		}
		line := "M" + strings.Join(edge, "L")
		slices.Reverse(back)
		t.Areas = append(t.Areas, area{tone(severity), line + "L" + strings.Join(back, "L") + "Z", line})
		t.Legend = slices.Insert(t.Legend, 0, badge{tone(severity), tone(severity), severity})
	}
}

// ticks adds the first and the last time.
func (t *trend) ticks(points []audit.Point) {
	t.Ticks = []tick{
		{chartLeft, moment(points[0].Time), "start"},
		{chartRight, moment(points[len(points)-1].Time), "end"},
	}
}

// trendText describes the chart.
func trendText(points []audit.Point) string {
	first, last := points[0], points[len(points)-1]
	was, is := total(first), total(last)
	change := "as many as"
	switch {
	case is > was:
		change = number(is-was) + " more than"
	case is < was:
		change = number(was-is) + " fewer than"
	}
	return fmt.Sprintf("%s now, %s the %s of %s; %s", Count(is, "violation"), change, number(was), moment(first.Time), Count(len(points), "audit"))
}

// trendCells returns the trend as a table, newest first.
func trendCells(points []audit.Point, left int) cells {
	c := cells{Title: "Audits, newest first", Sortable: true, Header: heads("Time")}
	for _, severity := range policy.Severities {
		c.Header = append(c.Header, numberHead(strings.ToUpper(severity[:1])+severity[1:]))
	}
	c.Header = append(c.Header, numberHead("Nodes"), numberHead("Sessions"), numberHead("Start, seconds"))
	for _, p := range slices.Backward(points) {
		row := []cell{{Text: moment(p.Time), Value: strconv.FormatInt(p.Time.Unix(), 10)}}
		for _, severity := range policy.Severities {
			row = append(row, numberCell(p.Violations[severity]))
		}
		c.Rows = append(c.Rows, cellRow{Cells: append(row, numberCell(p.Nodes), numberCell(p.Sessions), numberCell(p.StartSeconds))})
	}
	if left > 0 {
		c.Rest = "and " + Count(left, "earlier one")
	}
	return c
}
