package print

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli/doc"
	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli/term"
)

func TestTableAlignsCutsAndCleans(t *testing.T) {
	rows := func() *Rows {
		r := &Rows{Columns: []Column{{Title: "name"}, {Title: "n", Right: true}, {Title: "more", Wide: true}, {Title: "last"}}}
		r.Add(C("é"), C("1"), C("x"), C("a\x1b[31mb"))
		r.Add(Cell{Text: "longer", Meaning: term.Bad}, C("100"), C("y"), C("c"))
		return r
	}
	tests := []struct {
		name   string
		form   Format
		width  int
		colour bool
		want   string
	}{
		{"narrow", Table, 0, false, "NAME      N  LAST\né         1  a\\x1b[31mb\nlonger  100  c\n"},
		{"wide", Wide, 0, false, "NAME      N  MORE  LAST\né         1  x     a\\x1b[31mb\nlonger  100  y     c\n"},
		{"cut", Table, 10, false, "NAME     N\né        1\nlonger  1…\n"},
		{"colour", Table, 0, true, "\x1b[1mNAME\x1b[0m      \x1b[1mN\x1b[0m  \x1b[1mLAST\x1b[0m\né         1  a\\x1b[31mb\n\x1b[31mlonger\x1b[0m  100  c\n"},
	}
	for _, x := range tests {
		screen, out, _ := term.Test("", nil)
		screen.Width, screen.Colour = x.width, x.colour
		if err := rows().Write(screen, x.form); err != nil {
			t.Fatal(err)
		}
		if out.String() != x.want {
			t.Errorf("%s: got\n%q, want\n%q", x.name, out.String(), x.want)
		}
	}
}

func TestEmptyTableSaysSo(t *testing.T) {
	screen, out, _ := term.Test("", nil)
	if err := (&Rows{Columns: []Column{{Title: "x"}}, Empty: "nothing"}).Write(screen, Table); err != nil || out.String() != "nothing\n" {
		t.Errorf("%v, %q", err, out.String())
	}
}

func TestEscapeKeepsTheValueAndLeavesNothingThatSteers(t *testing.T) {
	value := "a\u007f\u009b2J\u202e\u2066\u200fz é \u2603 \U0001F600"
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	escaped := Escape(text)
	for _, r := range string(escaped) {
		if steers(r) {
			t.Errorf("%U is still there", r)
		}
	}
	var back string
	if err := json.Unmarshal(escaped, &back); err != nil || back != value {
		t.Errorf("%v: %q, want %q", err, back, value)
	}
	if plain := []byte(`"plain é"`); &Escape(plain)[0] != &plain[0] {
		t.Error("text without such characters is copied")
	}
}

// TestLargeAndSmallDocumentsHoldTheSame proves that a document is whole and
// the same on both sides of the size up to which it is indented.
func TestLargeAndSmallDocumentsHoldTheSame(t *testing.T) {
	for _, n := range []int{0, 1, 3, 50_000} {
		item := func(i int) any { return map[string]any{"i": i, "text": "a [list], an {object}, a \" quote"} }
		fields := []doc.Field{{Name: "schema", Value: "x"}, {Name: "items", Len: n, Item: item}, {Name: "end", Value: []int{1}}}
		var out bytes.Buffer
		if err := Fields(&out, JSON, fields, "items"); err != nil {
			t.Fatal(err)
		}
		var got struct {
			Schema string
			Items  []struct {
				I    int
				Text string
			}
			End []int
		}
		if err := json.Unmarshal(out.Bytes(), &got); err != nil {
			t.Fatalf("%d items: %v", n, err)
		}
		if got.Schema != "x" || len(got.Items) != n || !reflect.DeepEqual(got.End, []int{1}) {
			t.Errorf("%d items: %d came back", n, len(got.Items))
		}
		if n > 0 && (got.Items[n-1].I != n-1 || got.Items[n-1].Text != "a [list], an {object}, a \" quote") {
			t.Errorf("%d items: the last is %+v", n, got.Items[n-1])
		}
		if indented := strings.Contains(out.String(), "\n  \"schema\""); indented != (n < 50_000) {
			t.Errorf("%d items, %d octets: indented is %v", n, out.Len(), indented)
		}
		var lines bytes.Buffer
		if err := Fields(&lines, JSONL, fields, "items"); err != nil {
			t.Fatal(err)
		}
		if got := bytes.Count(lines.Bytes(), []byte("\n")); got != n {
			t.Errorf("%d lines of jsonl for %d items", got, n)
		}
	}
}

// fullDisk takes some octets and no more.
type fullDisk struct{ room int }

var errFull = errors.New("full")

func (f *fullDisk) Write(p []byte) (int, error) {
	if f.room -= len(p); f.room < 0 {
		return 0, errFull
	}
	return len(p), nil
}

func TestErrorsOfTheWriterComeBack(t *testing.T) {
	fields := []doc.Field{{Name: "items", Len: 100_000, Item: func(i int) any { return i * 1_000_000 }}}
	for _, form := range []Format{JSON, JSONL, YAML} {
		if err := Fields(&fullDisk{room: 10}, form, fields, "items"); !errors.Is(err, errFull) {
			t.Errorf("%s: error is %v", form, err)
		}
	}
	s := NewStream(&fullDisk{room: 10}, true)
	_, err := s.Write(make([]byte, 2*streamBuffer))
	if closed := s.Close(); !errors.Is(errors.Join(err, closed), errFull) {
		t.Errorf("stream: %v, %v", err, closed)
	}
	if err := Document(&fullDisk{}, Table, 1, []int{1}); err == nil {
		t.Error("a table is taken for a form for programs")
	}
}

func TestFormsAreReadByName(t *testing.T) {
	for _, f := range Formats {
		var got Format
		if err := got.Set(string(f)); err != nil || got != f {
			t.Errorf("%s: %v, %q", f, err, got)
		}
	}
	var got Format
	if err := got.Set("xml"); err == nil || !strings.Contains(err.Error(), "table, wide, json, jsonl, yaml") {
		t.Errorf("xml: %v", err)
	}
}
