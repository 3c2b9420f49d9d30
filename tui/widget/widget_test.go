package widget_test

import (
	"strings"
	"testing"

	"github.com/cloudvlan/cvlanctl/tui/theme"
	"github.com/cloudvlan/cvlanctl/tui/widget"
)

var th = theme.New(theme.Options{Colour: true})

func text(l theme.Line) string {
	var b strings.Builder
	for _, s := range l.Spans {
		b.WriteString(s.Text)
	}
	return b.String()
}

func TestColumnsFillTheWidthAndTheLeastImportantGoFirst(t *testing.T) {
	columns := []widget.Column{
		{Title: "A", Min: 10, Max: 20}, {Title: "B", Min: 5, Max: 5, Drop: 1}, {Title: "C", Min: 5, Max: 9, Drop: 2}, {Title: "D", Min: 3},
	}
	for total := 16; total < 60; total++ {
		widths := widget.Widths(columns, total)
		used := 1
		for i, w := range widths {
			if w == 0 {
				continue
			}
			if used > 1 {
				used += 2
			}
			used += w
			if w < columns[i].Min || w > max(columns[i].Min, columns[i].Max) {
				t.Errorf("in %d cells column %s has %d", total, columns[i].Title, w)
			}
		}
		if used > total {
			t.Errorf("in %d cells the columns %v take %d", total, widths, used)
		}
		if widths[1] == 0 && widths[2] != 0 {
			t.Errorf("in %d cells B went before C: %v", total, widths)
		}
		row := widget.TableRow(th, columns, widths, []theme.Span{{Text: "aé東"}, {Text: strings.Repeat("b", 30)}, {}, {Text: "d"}}, true)
		if w := theme.Width(text(row)); w != used {
			t.Errorf("in %d cells a row takes %d, want %d", total, w, used)
		}
	}
}

func TestWindowAlwaysHoldsTheSelection(t *testing.T) {
	for n := range 30 {
		l := widget.List{}
		l.SetLen(n)
		for step, a := range []theme.Action{theme.Last, theme.Up, theme.PageUp, theme.Down, theme.First, theme.PageDown, theme.Down, theme.Last} {
			for _, height := range []int{1, 4, 10, 100, 3} {
				l.Do(a, height)
				from, to := l.Window(height)
				if to-from > height || to-from != min(n, height) || n > 0 && (l.At < from || l.At >= to) || from < 0 || to > n {
					t.Fatalf("%d rows, step %d, height %d: window %d to %d, selected %d", n, step, height, from, to, l.At)
				}
			}
		}
	}
	l := widget.List{Len: 10, At: 9}
	l.SetLen(0)
	if from, to := l.Window(5); from != 0 || to != 0 || l.At != 0 {
		t.Errorf("an empty list shows %d to %d, selects %d", from, to, l.At)
	}
}

func TestSeekGoesAroundTheEnd(t *testing.T) {
	l := widget.List{Len: 10, At: 7}
	odd := func(i int) bool { return i == 3 || i == 8 }
	for _, want := range []int{8, 3, 8} {
		if !l.Seek(false, odd) || l.At != want {
			t.Fatalf("at %d, want %d", l.At, want)
		}
	}
	for _, want := range []int{3, 8} {
		if !l.Seek(true, odd) || l.At != want {
			t.Fatalf("back at %d, want %d", l.At, want)
		}
	}
	if l.Seek(false, func(int) bool { return false }) || (&widget.List{}).Seek(true, odd) {
		t.Error("found what is not there")
	}
}

func TestFilterTerms(t *testing.T) {
	row := map[string]string{"": "IKE_AUTH request moon.example", "peer": "192.0.2.1", "spi": "0edaee72"}
	rows := []struct {
		filter string
		want   bool
	}{
		{"", true}, {"  ", true}, {"moon", true}, {"MOON", true}, {"sun", false}, {"!sun", true}, {"!moon", false},
		{"peer=192.0.2.1", true}, {"PEER=192", true}, {"peer=10.", false}, {"!peer=10.", true}, {"moon peer=192 !sun", true},
		{"moon peer=10", false}, {"unheard=of", false}, {"!", true}, {"peer=", true}, {"=", false},
	}
	for _, r := range rows {
		f := widget.ParseFilter(r.filter)
		if got := f.Match(func(key string) string { return row[key] }); got != r.want {
			t.Errorf("%q matches: %v, want %v", r.filter, got, r.want)
		}
	}
}

func FuzzFilter(f *testing.F) {
	for _, s := range []string{"a b", "!a=b", "=", "!!", "peer=10 !x"} {
		f.Add(s, "row")
	}
	f.Fuzz(func(t *testing.T, filter, row string) {
		p := widget.ParseFilter(filter)
		got := p.Match(func(string) string { return row })
		if p.Empty() && !got {
			t.Errorf("the empty filter %q hides %q", filter, row)
		}
	})
}

func TestOctetIsFoundWhereItIsDrawn(t *testing.T) {
	data := make([]byte, 100)
	for i := range data {
		data[i] = byte(i)
	}
	for _, width := range []int{20, 39, 72, 140} {
		h := widget.Hexdump{Data: data}
		r := widget.Rect{W: width, H: 5}
		h.Scroll(1)
		lines := h.View(th, r)
		n := widget.PerRow(width)
		for y, l := range lines {
			row := text(l)
			if len(row) > max(width, widget.HexWidth(4)) {
				t.Errorf("width %d: row of %d cells", width, len(row))
			}
			for x := range len(row) {
				i := h.OctetAt(x, y)
				if i < 0 {
					continue
				}
				first := (h.Top + y) * n
				if i < first || i >= first+n || i >= len(data) {
					t.Fatalf("width %d: (%d,%d) is octet %d, the row begins at %d", width, x, y, i, first)
				}
				if digits := strings.TrimSpace(row[x:min(len(row), x+2)]); len(digits) == 2 && x < 6+3*n && row[x-1] == ' ' && digits != hex(data[i]) {
					t.Errorf("width %d: octet %d is drawn as %q", width, i, digits)
				}
			}
		}
	}
}

func hex(b byte) string { return string("0123456789abcdef"[b>>4]) + string("0123456789abcdef"[b&15]) }

func TestMarkedOctetsAreInView(t *testing.T) {
	h := widget.Hexdump{Data: make([]byte, 4096)}
	r := widget.Rect{W: 39, H: 10}
	h.View(th, r)
	for _, at := range []int{0, 4000, 100, 2048, 4095} {
		h.Mark(at, 1)
		marked := false
		for _, l := range h.View(th, r) {
			for _, s := range l.Spans {
				marked = marked || s.Role == theme.Mark
			}
		}
		if !marked {
			t.Errorf("octet %d is not in view; the first row is %d", at, h.Top)
		}
	}
}

func tree() *widget.Tree {
	t := &widget.Tree{}
	t.SetRoots([]*widget.Node{
		{Name: "header", Length: 28, Closed: true, Children: []*widget.Node{{Name: "spi", Offset: 0, Length: 8}, {Name: "flags", Offset: 19, Length: 1}}},
		{Name: "SK", Offset: 28, Length: 60, Children: []*widget.Node{
			{Name: "IDi", Buffer: 1, Offset: 0, Length: 10, Closed: true, Children: []*widget.Node{{Name: "type", Buffer: 1, Offset: 4, Length: 1, Role: theme.Bad}}},
		}},
	})
	return t
}

func TestTreeSelectsTheSmallestNodeOfAnOctet(t *testing.T) {
	rows := []struct {
		buffer, octet int
		want          string
	}{{0, 3, "spi"}, {0, 19, "flags"}, {0, 18, "header"}, {0, 40, "SK"}, {1, 4, "type"}, {1, 9, "IDi"}}
	for _, r := range rows {
		tr := tree()
		if !tr.SelectOctet(r.buffer, r.octet) || tr.Selected().Name != r.want {
			t.Errorf("octet %d of buffer %d is %q, want %q", r.octet, r.buffer, tr.Selected().Name, r.want)
		}
	}
	if tree().SelectOctet(0, 88) || tree().SelectOctet(2, 0) {
		t.Error("an octet of nothing was found")
	}
}

func TestTreeOpensAndCloses(t *testing.T) {
	tr := tree()
	height := func() int { return len(tr.View(th, widget.Rect{W: 40, H: 20}, true)) }
	if height() != 3 {
		t.Fatalf("%d rows, want 3", height())
	}
	tr.Toggle()
	if height() != 5 {
		t.Fatalf("open, %d rows, want 5", height())
	}
	tr.OpenOrDown()
	if tr.Selected().Name != "spi" {
		t.Errorf("inside is %q", tr.Selected().Name)
	}
	tr.CloseOrUp()
	tr.CloseOrUp()
	if tr.Selected().Name != "header" || height() != 3 {
		t.Errorf("out again at %q with %d rows", tr.Selected().Name, height())
	}
	if !tr.Seek(false, func(n *widget.Node) bool { return n.Role == theme.Bad }) || tr.Selected().Name != "type" || height() != 4 {
		t.Errorf("seek ends at %q with %d rows", tr.Selected().Name, height())
	}
	empty := &widget.Tree{}
	empty.Toggle()
	empty.CloseOrUp()
	empty.OpenOrDown()
	if empty.Selected() != nil || len(empty.View(th, widget.Rect{W: 40, H: 20}, true)) != 0 {
		t.Error("an empty tree shows something")
	}
}

func TestSparklineNeverHidesAValue(t *testing.T) {
	got := []rune(widget.Sparkline(th, []int64{0, 1, 1000, 500, 0}))
	if len(got) != 5 || got[0] != ' ' || got[1] == ' ' || got[2] != '█' || got[4] != ' ' {
		t.Errorf("drawn as %q", string(got))
	}
	if got := widget.Sparkline(th, []int64{0, 0}); got != "  " {
		t.Errorf("nothing is drawn as %q", got)
	}
}

func TestGaugeKeepsItsWidth(t *testing.T) {
	for _, done := range []float64{-1, 0, 0.01, 0.5, 0.99, 1, 7} {
		if w := theme.Width(widget.Gauge(th, done, 10)); w != 10 {
			t.Errorf("%v is %d cells wide", done, w)
		}
	}
}

func TestArrowKeepsItsWidthWhateverItsLabel(t *testing.T) {
	for _, label := range []string{"", "IKE_SA_INIT 0", strings.Repeat("very long ", 10), "\x1b[2J"} {
		for width := 20; width < 60; width += 7 {
			for _, left := range []bool{true, false} {
				line := theme.L(widget.Arrow{Label: label, Leftward: left}.View(th, width)...)
				if w := theme.Width(text(line)); w != width {
					t.Errorf("%q is %d cells wide, want %d: %q", label, w, width, text(line))
				}
			}
		}
	}
}

func TestInputEdits(t *testing.T) {
	var in widget.Input
	in.Insert("pear=192\x1b\x00")
	in.Key("home")
	in.Key("right")
	in.Key("right")
	in.Key("delete")
	in.Insert("e")
	in.Key("end")
	in.Insert(" !sun")
	if in.Text() != "peer=192 !sun" {
		t.Errorf("text is %q", in.Text())
	}
	in.Key("ctrl+w")
	in.Key("backspace")
	if in.Text() != "peer=192" {
		t.Errorf("text is %q", in.Text())
	}
	in.Key("ctrl+u")
	in.Key("backspace")
	in.Key("left")
	if in.Text() != "" || in.Key("f5") {
		t.Errorf("text is %q", in.Text())
	}
	in.Insert(strings.Repeat("x", 5000))
	if n := len(in.Text()); n > 1024 {
		t.Errorf("takes %d runes", n)
	}
}

func TestWrapKeepsEveryWordAndTheWidth(t *testing.T) {
	words := "No single proposal of the initiator fits: " + strings.Repeat("x", 100) + " 東京東京東京東京 end"
	for width := 8; width < 120; width += 9 {
		joined := ""
		for _, l := range widget.Wrap(words, width) {
			if theme.Width(l) > width {
				t.Errorf("%q is wider than %d", l, width)
			}
			joined += l
		}
		if strings.ReplaceAll(joined, " ", "") != strings.ReplaceAll(words, " ", "") {
			t.Errorf("width %d loses words: %q", width, joined)
		}
	}
}
