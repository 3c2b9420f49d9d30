package capture

import (
	"bytes"
	"testing"
)

func FuzzOpen(f *testing.F) {
	for _, b := range wholeFiles(f) {
		f.Add(b)
		f.Add(b[:len(b)*2/3])
	}
	_, b := written(f)
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 1<<20 {
			return
		}
		src, err := Open([]string{"-"}, FileOptions{Stdin: bytes.NewReader(b)})
		if err != nil {
			t.Fatal(err)
		}
		var number int64
		ended := false
		for fr, err := range src.Frames() {
			if ended {
				t.Fatal("the source goes on after its error")
			}
			if err != nil {
				ended = true
				if formatError(t, err).Offset < 0 {
					t.Fatalf("negative offset: %v", err)
				}
				continue
			}
			if number++; fr.Number != number {
				t.Fatalf("frame %d has number %d", number, fr.Number)
			}
			if fr.Length < len(fr.Data) || len(fr.Data) > maxFrame || len(fr.Comment) > maxComment {
				t.Fatalf("frame of length %d holds %d octets", fr.Length, len(fr.Data))
			}
			if y := fr.Time.Year(); y > 9999 || !fr.Time.IsZero() && y < 1970 {
				t.Fatalf("frame of the year %d", y)
			}
		}
	})
}
