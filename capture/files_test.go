package capture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

func TestPcapOfEveryMagicAndByteOrder(t *testing.T) {
	nano0 := time.Unix(1_700_000_000, 123_456).UTC()
	for _, c := range []struct {
		name  string
		o     order
		magic uint32
		extra int
		when  time.Time
	}{
		{"little endian, microseconds", binary.LittleEndian, 0xa1b2c3d4, 0, micro0},
		{"big endian, microseconds", binary.BigEndian, 0xa1b2c3d4, 0, micro0},
		{"little endian, nanoseconds", binary.LittleEndian, 0xa1b23c4d, 0, nano0},
		{"big endian, nanoseconds", binary.BigEndian, 0xa1b23c4d, 0, nano0},
		{"little endian, patched libpcap", binary.LittleEndian, 0xa1b2cd34, 8, micro0},
		{"big endian, patched libpcap", binary.BigEndian, 0xa1b2cd34, 8, micro0},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := mustRead(t, pcapFile(c.o, c.magic, 113, c.extra, frameA, frameB))
			if len(got) != 2 {
				t.Fatalf("got %d frames, want 2", len(got))
			}
			f := got[0]
			if f.Number != 1 || !f.Time.Equal(c.when) || f.Link != LinkLinuxSLL || f.Length != len(frameA)+10 || !bytes.Equal(f.Data, frameA) {
				t.Errorf("first frame is %+v", f)
			}
			if f = got[1]; f.Number != 2 || !f.Time.Equal(c.when.Add(time.Second)) || !bytes.Equal(f.Data, frameB) {
				t.Errorf("second frame is %+v", f)
			}
		})
	}
}

func TestPcapLinkTypeIgnoresFrameCheckSequenceBits(t *testing.T) {
	got := mustRead(t, pcapFile(binary.LittleEndian, 0xa1b2c3d4, 0x24000001, 0, frameA))
	if got[0].Link != LinkEthernet {
		t.Errorf("link type %d, want %d", got[0].Link, LinkEthernet)
	}
}

func TestPcapOfOldVersionHasItsLengthsInTheOtherOrder(t *testing.T) {
	b := pcapFile(binary.LittleEndian, 0xa1b2c3d4, 1, 0, frameA)
	b[6] = 2 // version 2.2
	captured, length := slices.Clone(b[32:36]), slices.Clone(b[36:40])
	copy(b[32:], length)
	copy(b[36:], captured)
	if f := mustRead(t, b)[0]; f.Length != len(frameA)+10 || !bytes.Equal(f.Data, frameA) {
		t.Errorf("frame is %+v", f)
	}
}

func TestCapturedLengthBeyondTheOriginalIsTolerated(t *testing.T) {
	b := pcapFile(binary.LittleEndian, 0xa1b2c3d4, 1, 0, frameA)
	binary.LittleEndian.PutUint32(b[36:], 5)
	if f := mustRead(t, b)[0]; f.Length != len(frameA) || !bytes.Equal(f.Data, frameA) {
		t.Errorf("frame is %+v", f)
	}
}

func TestSeveralFilesAreNumberedOn(t *testing.T) {
	a := put(t, "a.pcap", pcapFile(binary.LittleEndian, 0xa1b2c3d4, 1, 0, frameA, frameB))
	n := ng{binary.BigEndian}
	b := put(t, "b.pcapng.gz", zipped(t, slices.Concat(n.section(), n.face(276, 0), n.enhanced(0, 1, frameB))))
	src, err := Open([]string{a, b, "-"}, FileOptions{Stdin: bytes.NewReader(pcapFile(binary.BigEndian, 0xa1b23c4d, 101, 0, frameA))})
	if err != nil {
		t.Fatal(err)
	}
	got, err := drain(t, src)
	if err != nil {
		t.Fatal(err)
	}
	var links []LinkType
	for i, f := range got {
		links = append(links, f.Link)
		if f.Number != int64(i+1) {
			t.Errorf("frame %d has number %d", i+1, f.Number)
		}
	}
	if want := []LinkType{LinkEthernet, LinkEthernet, LinkSLL2, LinkRaw}; !slices.Equal(links, want) {
		t.Errorf("link types %v, want %v", links, want)
	}
	st := src.(Counter).Stats()
	if st.Frames != 4 || st.Octets != int64(2*len(frameA)+2*len(frameB)) {
		t.Errorf("stats are %+v", st)
	}
}

func TestBrokenFileDoesNotHideTheFilesAfterIt(t *testing.T) {
	whole := pcapFile(binary.LittleEndian, 0xa1b2c3d4, 1, 0, frameA, frameB)
	a := put(t, "cut.pcap", whole[:len(whole)-1])
	b := put(t, "whole.pcap", whole)
	c := put(t, "text.txt", []byte("no capture at all"))
	src, err := Open([]string{a, b, c}, FileOptions{})
	if err != nil {
		t.Fatal(err)
	}
	got, err := drain(t, src)
	if len(got) != 3 {
		t.Errorf("got %d frames, want 3", len(got))
	}
	if err == nil || !strings.Contains(err.Error(), "cut.pcap: at octet 71") || !strings.Contains(err.Error(), "text.txt: at octet 0: neither pcap nor pcapng") {
		t.Errorf("error is %v", err)
	}
}

func TestOpenRefusesWhatIsNoFile(t *testing.T) {
	for _, c := range []struct {
		name  string
		names []string
		want  string
	}{
		{"no name", nil, "no capture file named"},
		{"missing", []string{"no/such/file.pcap"}, "no such file"},
		{"directory", []string{t.TempDir()}, "is a directory"},
		{"standard input twice", []string{"-", "-"}, "only once"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Open(c.names, FileOptions{})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error is %v, want one with %q", err, c.want)
			}
		})
	}
	if _, err := Open([]string{"no/such/file.pcap"}, FileOptions{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v is not fs.ErrNotExist", err)
	}
}

func TestSourceIsReadOnlyOnce(t *testing.T) {
	src, err := Open([]string{put(t, "a.pcap", pcapFile(binary.LittleEndian, 0xa1b2c3d4, 1, 0, frameA))}, FileOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := drain(t, src); err != nil {
		t.Fatal(err)
	}
	if got, err := drain(t, src); len(got) != 0 || err == nil {
		t.Errorf("second reading gives %d frames and error %v", len(got), err)
	}
}

func TestBreakingOutStopsTheSource(t *testing.T) {
	src, err := Open([]string{put(t, "a.pcap", pcapFile(binary.LittleEndian, 0xa1b2c3d4, 1, 0, frameA, frameB))}, FileOptions{})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for range src.Frames() {
		n++
		break
	}
	if st := src.(Counter).Stats(); n != 1 || st.Frames != 1 {
		t.Errorf("%d frames taken, %d counted, want 1", n, st.Frames)
	}
}

// wholeFiles are files with all that the readers know, for cutting and fuzzing.
func wholeFiles(t testing.TB) map[string][]byte {
	le, be := ng{binary.LittleEndian}, ng{binary.BigEndian}
	many := slices.Concat(
		le.section(), le.face(1, 0, le.opt(9, []byte{9}), le.opt(14, binary.LittleEndian.AppendUint64(nil, 3600))), le.face(113, 4),
		le.enhanced(0, 1e9, frameA, le.opt(1, []byte("a comment"))), le.old(1, 7, frameB), le.block(10, []byte("secrets!")),
		be.section(), be.face(101, 8), be.simple(uint32(len(frameA)), frameA[:8]), be.enhanced(0, 5, frameB), be.block(5, make([]byte, 12)))
	return map[string][]byte{
		"pcap little endian": pcapFile(binary.LittleEndian, 0xa1b2c3d4, 1, 0, frameA, frameB),
		"pcap big endian":    pcapFile(binary.BigEndian, 0xa1b23c4d, 1, 0, frameA, frameB),
		"pcap patched":       pcapFile(binary.LittleEndian, 0xa1b2cd34, 1, 8, frameA, frameB),
		"pcapng":             many,
		"gzip":               zipped(t, many),
	}
}

func TestTruncatedFileYieldsReadableFramesThenOffset(t *testing.T) {
	for name, b := range wholeFiles(t) {
		t.Run(name, func(t *testing.T) {
			whole := mustRead(t, b)
			best := 0
			for n := range b {
				got, err := read(t, b[:n])
				if len(got) < best && name != "gzip" {
					t.Fatalf("cut at %d gives %d frames, a shorter cut gave %d", n, len(got), best)
				}
				best = max(best, len(got))
				for i, f := range got {
					if !bytes.Equal(f.Data, whole[i].Data) || !f.Time.Equal(whole[i].Time) {
						t.Fatalf("cut at %d: frame %d differs", n, i+1)
					}
				}
				if err == nil {
					continue // cut between two frames or blocks
				}
				if fe := formatError(t, err); fe.Offset > int64(n) && name != "gzip" {
					t.Fatalf("cut at %d: error at octet %d, beyond the end", n, fe.Offset)
				}
			}
			if got, err := read(t, b[:len(b)-1]); len(got) < len(whole)-1 || err == nil {
				t.Errorf("cut by one octet: %d frames of %d, error %v", len(got), len(whole), err)
			}
		})
	}
}

func TestHostileLengthsAreNamedWithTheirOffset(t *testing.T) {
	le := ng{binary.LittleEndian}
	pcap := func(length uint32) []byte {
		b := pcapFile(binary.LittleEndian, 0xa1b2c3d4, 1, 0, frameA, frameB)
		binary.LittleEndian.PutUint32(b[24+16+len(frameA)+8:], length)
		return b
	}
	head := slices.Concat(le.section(), le.face(1, 0))
	epb := func(captured uint32) []byte {
		b := le.enhanced(0, 0, frameA)
		binary.LittleEndian.PutUint32(b[20:], captured)
		return slices.Concat(head, b)
	}
	for _, c := range []struct {
		name   string
		b      []byte
		frames int
		offset int64
		what   string
	}{
		{"empty", nil, 0, 0, "the file is empty"},
		{"three octets", []byte{0xd4, 0xc3, 0xb2}, 0, 0, "file ends inside the file header"},
		{"text", []byte("GET / HTTP/1.1\r\n"), 0, 0, "neither pcap nor pcapng: begins with octets 47455420"},
		{"pcap frame of 4 GiB", pcap(1<<32 - 1), 1, 79, "frame header says 4294967295 octets, limit is 262144"},
		{"pcap frame one over the limit", pcap(maxFrame + 1), 1, 79, "frame header says 262145 octets, limit is 262144"},
		{"pcap frame longer than the file", pcap(maxFrame), 1, 71, "file ends inside the frame"},
		{"pcap version 7", append([]byte{0xd4, 0xc3, 0xb2, 0xa1, 7}, make([]byte, 19)...), 0, 4, "pcap version 7.0, known is 2"},
		{"block of 4 GiB to step over", slices.Concat(head, []byte{0xff, 0, 0, 0, 0xfc, 0xff, 0xff, 0xff, 1, 2, 3, 4}), 0, 48, "file ends inside the block"},
		{"packet block of 4 GiB", slices.Concat(head, []byte{6, 0, 0, 0, 0xfc, 0xff, 0xff, 0xff, 1, 2, 3, 4}), 0, 52, "block of type 6 says 4294967292 octets, limit is 524288"},
		{"block of 0 octets", slices.Concat(head, make([]byte, 12)), 0, 52, "block says 0 octets, the least is 12"},
		{"block of 11 octets", slices.Concat(head, []byte{6, 0, 0, 0, 11, 0, 0, 0}, make([]byte, 8)), 0, 52, "block says 11 octets, the least is 12"},
		{"lengths disagree", slices.Concat(head, le.enhanced(0, 0, frameA)[:60], []byte{1, 0, 0, 0}), 0, 108, "block begins with length 64 and ends with length 1"},
		{"captured 4 GiB", epb(1<<32 - 1), 0, 68, "packet block says 4294967295 octets captured, limit is 262144"},
		{"captured more than the block", epb(100), 0, 68, "packet block says 100 octets captured and holds 32"},
		{"unknown interface", slices.Concat(head, le.enhanced(9, 0, frameA)), 0, 56, "frame names interface 9, the section describes 1"},
		{"no interface", slices.Concat(le.section(), le.simple(4, frameA[:4])), 0, 36, "frame names interface 0, the section describes 0"},
		{"section of an interface ends with it", slices.Concat(head, le.section(), le.enhanced(0, 0, frameA)), 0, 84, "frame names interface 0, the section describes 0"},
		{"byte-order mark", slices.Concat(le.section()[:8], []byte{1, 2, 3, 4}, le.section()[12:]), 0, 8, "section header has byte-order mark 01020304"},
		{"short packet block", slices.Concat(head, le.block(6, make([]byte, 8))), 0, 52, "packet block of 20 octets is too short"},
		{"simple block claims more", slices.Concat(head, le.simple(100, frameA)), 0, 56, "simple packet block says 100 octets captured and holds 32"},
		{"clock too fine", slices.Concat(le.section(), le.face(1, 0, le.opt(9, []byte{20}))), 0, 28, "interface 0 counts time in units of 0x14, which is finer than 64 bits hold"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := read(t, c.b)
			if len(got) != c.frames {
				t.Errorf("%d frames, want %d", len(got), c.frames)
			}
			fe := formatError(t, err)
			if fe.Offset != c.offset || fe.What != c.what || fe.File != "-" {
				t.Errorf("error is %q at %d, want %q at %d", fe.What, fe.Offset, c.what, c.offset)
			}
		})
	}
}

// zeros is a stream without end, which counts what is taken of it.
type zeros struct{ n int64 }

func (z *zeros) Read(p []byte) (int, error) {
	clear(p)
	z.n += int64(len(p))
	return len(p), nil
}

func TestMemoryStaysBoundedWhateverTheFileSays(t *testing.T) {
	le := ng{binary.LittleEndian}
	head := slices.Concat(le.section(), le.face(1, 0))
	for _, c := range []struct {
		name string
		b    []byte
		tail int64 // zero octets that follow
	}{
		{"unknown block of 1 GiB that lacks its last octet", slices.Concat(head, []byte{0xff, 0, 0, 0, 0, 0, 0, 0x40}), 1<<30 - 9},
		{"packet block of 1 GiB", slices.Concat(head, []byte{6, 0, 0, 0, 0, 0, 0, 0x40}), 1 << 30},
		{"pcap frame of 1 GiB", slices.Concat(pcapFile(binary.LittleEndian, 0xa1b2c3d4, 1, 0), []byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x40, 0, 0, 0, 0x40}), 1 << 30},
		{"interfaces without end", slices.Concat(le.section(), bytes.Repeat(le.face(1, 0), 100_000)), 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			src, err := Open([]string{"-"}, FileOptions{Stdin: io.MultiReader(bytes.NewReader(c.b), io.LimitReader(&zeros{}, c.tail))})
			if err != nil {
				t.Fatal(err)
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			if _, err := drain(t, src); err == nil {
				t.Error("no error")
			}
			runtime.ReadMemStats(&after)
			if grown := after.TotalAlloc - before.TotalAlloc; grown > 4<<20 {
				t.Errorf("%d octets allocated, limit is 4 MiB", grown)
			}
		})
	}
}

func TestGzipBombCostsNoMemory(t *testing.T) {
	const size = 16 << 20
	b := slices.Concat(pcapFile(binary.LittleEndian, 0xa1b2c3d4, 1, 0), make([]byte, size))
	z := zipped(t, b)
	src, err := Open([]string{"-"}, FileOptions{Stdin: bytes.NewReader(z)})
	if err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	n := 0
	for _, err := range src.Frames() {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	runtime.ReadMemStats(&after)
	if n != size/16 {
		t.Errorf("%d empty frames, want %d", n, size/16)
	}
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 4<<20 {
		t.Errorf("%d octets allocated, limit is 4 MiB", grown)
	}
}

func TestCorruptGzipIsSaidToBe(t *testing.T) {
	z := zipped(t, pcapFile(binary.LittleEndian, 0xa1b2c3d4, 1, 0, frameA, frameB))
	z[len(z)-6] ^= 1 // the checksum
	got, err := read(t, z)
	if fe := formatError(t, err); len(got) != 2 || fe.What != "gzip data is corrupt" {
		t.Errorf("%d frames, error %v", len(got), err)
	}
	if _, err := read(t, []byte{0x1f, 0x8b, 9, 9, 9, 9, 9, 9, 9, 9, 9}); formatError(t, err).What != "gzip data is corrupt" {
		t.Errorf("error is %v", err)
	}
}

func TestReadErrorIsNotTheFilesFault(t *testing.T) {
	b := pcapFile(binary.LittleEndian, 0xa1b2c3d4, 1, 0, frameA, frameB)
	broken := errors.New("the disk is on fire")
	src, err := Open([]string{"-"}, FileOptions{Stdin: io.MultiReader(bytes.NewReader(b[:75]), iotest.ErrReader(broken))})
	if err != nil {
		t.Fatal(err)
	}
	got, err := drain(t, src)
	var fe *FormatError
	if len(got) != 1 || !errors.Is(err, broken) || errors.As(err, &fe) {
		t.Errorf("%d frames, error %v", len(got), err)
	}
}

func TestStreamInSmallReadsYieldsEachFrameAsItComes(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	src, err := Open([]string{"-"}, FileOptions{Stdin: iotest.OneByteReader(r)})
	if err != nil {
		t.Fatal(err)
	}
	b := pcapFile(binary.LittleEndian, 0xa1b2c3d4, 1, 0, frameA, frameB)
	first := 24 + 16 + len(frameA)
	if _, err := w.Write(b[:first]); err != nil {
		t.Fatal(err)
	}
	n := 0
	for f, err := range src.Frames() {
		if err != nil {
			t.Fatal(err)
		}
		if n++; n == 1 {
			// The second frame is written only after the first was seen.
			if !bytes.Equal(f.Data, frameA) {
				t.Errorf("first frame is %q", f.Data)
			}
			if _, err := w.Write(b[first:]); err != nil {
				t.Fatal(err)
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if n != 2 {
		t.Errorf("%d frames, want 2", n)
	}
}
