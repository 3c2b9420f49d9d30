package packet_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudvlan/cvlanctl/engine/vici/packet"
)

// sample has every kind of element.
var sample = []packet.Element{
	packet.Value("key", "value\x00\xff"), packet.Value("empty", ""), packet.List("none"), packet.List("two", "a", ""),
	packet.Sub("", packet.Sub("inner", packet.Value("x", "1"))), packet.Sub("bare"),
}

func TestWhatIsWrittenIsReadBack(t *testing.T) {
	for kind, name := range map[packet.Kind]string{packet.Request: "version", packet.Event: "log", packet.Response: "", packet.Confirm: ""} {
		b, err := packet.Append([]byte("before"), kind, name, sample)
		if err != nil {
			t.Fatal(err)
		}
		r := bytes.NewReader(b[len("before"):])
		got, err := packet.Read(r)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(packet.Packet{Kind: kind, Name: name, Entries: sample}, got); d != "" {
			t.Error(d)
		}
		if _, err := packet.Read(r); !errors.Is(err, io.EOF) {
			t.Errorf("after the last segment: %v", err)
		}
	}
}

func TestASegmentCutAnywhereIsAnError(t *testing.T) {
	b, err := packet.Append(nil, packet.Request, "load-conn", sample)
	if err != nil {
		t.Fatal(err)
	}
	for n := range b {
		if _, err := packet.Read(bytes.NewReader(b[:n])); err == nil {
			t.Errorf("%d of %d octets are read without an error", n, len(b))
		}
		// Without its end a message may still be one, but not every one of the
		// lengths within may.
		if _, err := packet.Parse(b[4:max(n, 4)]); err != nil && !errors.Is(err, packet.ErrMalformed) {
			t.Errorf("%d octets: %v", n, err)
		}
	}
}

func TestWhatDoesNotFitIsAnErrorAndNeverCut(t *testing.T) {
	big := strings.Repeat("x", packet.MaxValue)
	many := make([]packet.Element, 9)
	for i := range many {
		many[i] = packet.Value("k", big)
	}
	for name, entries := range map[string][]packet.Element{
		"a value":               {packet.Value("k", big+"x")},
		"an item":               {packet.List("k", big+"x")},
		"a name":                {packet.Value(strings.Repeat("n", packet.MaxName+1), "")},
		"the name of a list":    {packet.List(strings.Repeat("n", packet.MaxName+1))},
		"the name of a section": {packet.Sub("s", packet.Sub(strings.Repeat("n", packet.MaxName+1)))},
		"a segment":             many,
	} {
		b, err := packet.Append([]byte("kept"), packet.Response, "", entries)
		if !errors.Is(err, packet.ErrTooLong) || string(b) != "kept" {
			t.Errorf("%s that is too long: %v", name, err)
		}
	}
	if _, err := packet.Append(nil, packet.Request, strings.Repeat("n", 256), nil); !errors.Is(err, packet.ErrTooLong) {
		t.Errorf("a command of 256 octets: %v", err)
	}
}

func TestHostileSegmentsAreRefused(t *testing.T) {
	nested := bytes.Repeat([]byte{1, 1, 'x'}, packet.MaxDepth+1)
	crowd := bytes.Repeat([]byte{3, 1, 'k', 0, 0}, packet.MaxEntries+1)
	items := append([]byte{4, 1, 'l'}, bytes.Repeat([]byte{5, 0, 0}, packet.MaxEntries+1)...)
	for name, b := range map[string][]byte{
		"empty":                     {},
		"unknown type":              {99},
		"a request without a name":  {0, 0},
		"a name that is cut":        {0, 9, 'x'},
		"the end of no section":     {1, 2},
		"an open section":           {1, 1, 1, 'x'},
		"an open list":              {1, 4, 1, 'x', 5, 0, 1, 'y'},
		"a section within a list":   {1, 4, 1, 'x', 1, 1, 'y', 2, 6},
		"an unknown element":        {1, 77, 1, 'x'},
		"an item outside of a list": {1, 5, 0, 1, 'x'},
		"a value that is cut":       {1, 3, 1, 'x', 0xff, 0xff, 'y'},
		"too deep":                  append([]byte{1}, nested...),
		"too many values":           append([]byte{1}, crowd...),
		"too many items":            append([]byte{1}, items...),
	} {
		if _, err := packet.Parse(b); !errors.Is(err, packet.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, head := range [][]byte{{0, 0, 0, 0}, {0xff, 0xff, 0xff, 0xff, 1}} {
		if _, err := packet.Read(bytes.NewReader(head)); !errors.Is(err, packet.ErrTooLong) {
			t.Errorf("a segment of length %x: %v", head[:4], err)
		}
	}
}

func TestExactFormsSurviveInPieces(t *testing.T) {
	want := strings.Repeat("a long text; ", 20_000)
	entries, err := packet.AppendExact(nil, want)
	if err != nil || len(entries) != 1 || len(entries[0].List) < 4 {
		t.Fatalf("%d entries, %v", len(entries), err)
	}
	b, err := packet.Join(entries[0].List)
	if err != nil || string(b) != `"`+want+`"` {
		t.Errorf("%d octets come back, %v", len(b), err)
	}
	if _, err := packet.Join(nil); !errors.Is(err, packet.ErrNotExact) {
		t.Errorf("nothing is an exact form: %v", err)
	}
	if _, err := packet.AppendExact(nil, func() {}); err == nil {
		t.Error("a function has an exact form")
	}
}

func TestGetFindsTheFirstOfAName(t *testing.T) {
	if packet.Find(sample, "key") != "value\x00\xff" || packet.Find(sample, "missing") != "" || packet.Get(sample, "bare") == nil {
		t.Error("an entry is not found, or one that is not there is")
	}
}

// FuzzParse proves that what is read is written and read again the same.
func FuzzParse(f *testing.F) {
	b, err := packet.Append(nil, packet.Request, "load-conn", sample)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b[4:])
	f.Add([]byte{1, 4, 1, 'x', 5, 0, 1, 'y', 6})
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := packet.Parse(b)
		if err != nil {
			return
		}
		again, err := packet.Append(nil, p.Kind, p.Name, p.Entries)
		if errors.Is(err, packet.ErrTooLong) && len(b) > packet.MaxSegment {
			return
		}
		if err != nil || !bytes.Equal(again[4:], b) {
			t.Fatalf("%x becomes %x, %v", b, again, err)
		}
	})
}
