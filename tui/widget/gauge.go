package widget

import (
	"strings"

	"github.com/cloudvlan/cvlanctl/tui/theme"
)

// Gauge draws how much of something is done, width cells wide.
func Gauge(t *theme.Theme, done float64, width int) string {
	full := int(max(0, min(1, done))*float64(width) + 0.5)
	return strings.Repeat(t.Glyphs.Full, full) + strings.Repeat(t.Glyphs.Empty, width-full)
}

// Sparkline draws values as columns, one cell each, scaled to the highest. A
// value above zero never looks like none.
func Sparkline(t *theme.Theme, values []int64) string {
	var high int64
	for _, v := range values {
		high = max(high, v)
	}
	var b strings.Builder
	top := int64(len(t.Glyphs.Steps) - 1)
	for _, v := range values {
		step := int64(0)
		if v > 0 {
			step = max(1, int64(float64(v)/float64(high)*float64(top)+0.5))
		}
		b.WriteString(t.Glyphs.Steps[step])
	}
	return b.String()
}
