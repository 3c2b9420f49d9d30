package capture

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"
	"time"
)

func TestPcapngSectionsHaveTheirOwnByteOrderAndInterfaces(t *testing.T) {
	le, be := ng{binary.LittleEndian}, ng{binary.BigEndian}
	got := mustRead(t, slices.Concat(
		le.section(), le.face(1, 0), le.face(113, 0), le.enhanced(1, 5, frameA), le.enhanced(0, 6, frameB),
		be.section(), be.face(276, 0), be.enhanced(0, 7, frameA)))
	var links []LinkType
	for _, f := range got {
		links = append(links, f.Link)
	}
	if want := []LinkType{LinkLinuxSLL, LinkEthernet, LinkSLL2}; !slices.Equal(links, want) {
		t.Errorf("link types %v, want %v", links, want)
	}
	if !got[2].Time.Equal(time.UnixMicro(7)) {
		t.Errorf("big endian time is %v", got[2].Time)
	}
}

func TestPcapngTimeResolutionAndOffset(t *testing.T) {
	n := ng{binary.LittleEndian}
	u64 := func(v uint64) []byte { return binary.LittleEndian.AppendUint64(nil, v) }
	minusHour := int64(-3600)
	for _, c := range []struct {
		name  string
		opts  [][]byte
		stamp uint64
		want  time.Time
	}{
		{"microseconds unless told otherwise", nil, 1_700_000_000_123_456, time.Unix(1_700_000_000, 123_456_000)},
		{"nanoseconds", [][]byte{n.opt(9, []byte{9})}, 1_700_000_000_123_456_789, time.Unix(1_700_000_000, 123_456_789)},
		{"milliseconds", [][]byte{n.opt(9, []byte{3})}, 1_700_000_000_123, time.Unix(1_700_000_000, 123_000_000)},
		{"seconds", [][]byte{n.opt(9, []byte{0})}, 1_700_000_000, time.Unix(1_700_000_000, 0)},
		{"power of two", [][]byte{n.opt(9, []byte{0x80 | 10})}, 1_700_000_000<<10 | 512, time.Unix(1_700_000_000, 500_000_000)},
		{"finest power of two", [][]byte{n.opt(9, []byte{0x80 | 63})}, 1<<63 | 1<<62, time.Unix(1, 500_000_000)},
		{"offset", [][]byte{n.opt(14, u64(3600))}, 5_000_000, time.Unix(3605, 0)},
		{"negative offset", [][]byte{n.opt(14, u64(uint64(minusHour)))}, 4000_000_000, time.Unix(400, 0)},
		{"beyond any calendar", [][]byte{n.opt(9, []byte{0})}, 1<<64 - 1, time.Time{}},
		{"before 1970", [][]byte{n.opt(14, u64(uint64(minusHour)))}, 0, time.Time{}},
		{"an option cut short is passed over", [][]byte{n.opt(9, nil), n.opt(14, []byte{1})}, 5_000_000, time.Unix(5, 0)},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := mustRead(t, slices.Concat(n.section(), n.face(1, 0, c.opts...), n.enhanced(0, c.stamp, frameA)))
			if !got[0].Time.Equal(c.want) {
				t.Errorf("time is %v, want %v", got[0].Time, c.want.UTC())
			}
		})
	}
}

func TestPcapngSimpleBlockTakesItsLengthFromTheSnapLength(t *testing.T) {
	n := ng{binary.LittleEndian}
	got := mustRead(t, slices.Concat(n.section(), n.face(1, 8), n.simple(31, frameA[:8]), n.simple(5, frameA[:5])))
	if f := got[0]; f.Length != 31 || !bytes.Equal(f.Data, frameA[:8]) || !f.Time.IsZero() {
		t.Errorf("cut frame is %+v", f)
	}
	if f := got[1]; f.Length != 5 || !bytes.Equal(f.Data, frameA[:5]) {
		t.Errorf("short frame is %+v", f)
	}
}

func TestPcapngOldPacketBlock(t *testing.T) {
	n := ng{binary.BigEndian}
	got := mustRead(t, slices.Concat(n.section(), n.face(1, 0), n.face(113, 0), n.old(1, 9_000_001, frameA)))
	if f := got[0]; f.Link != LinkLinuxSLL || !f.Time.Equal(time.UnixMicro(9_000_001)) || !bytes.Equal(f.Data, frameA) {
		t.Errorf("frame is %+v", f)
	}
}

func TestPcapngComments(t *testing.T) {
	n := ng{binary.LittleEndian}
	end := n.opt(0, nil)
	long := bytes.Repeat([]byte("x"), 65_000)
	for _, c := range []struct {
		name string
		opts [][]byte
		want string
	}{
		{"none", nil, ""},
		{"one", [][]byte{n.opt(1, []byte("hello")), end}, "hello"},
		{"two, with another option between", [][]byte{n.opt(1, []byte("one")), n.opt(2, []byte{0, 0, 0, 1}), n.opt(1, []byte("two")), end}, "one\ntwo"},
		{"closed by a null as some tools do", [][]byte{n.opt(1, []byte("hello\x00")), end}, "hello"},
		{"without an end of options", [][]byte{n.opt(1, []byte("hello"))}, "hello"},
		{"after the end of options", [][]byte{end, n.opt(1, []byte("hidden"))}, ""},
		{"an option longer than the block", [][]byte{n.opt(1, []byte("seen")), {1, 0, 200, 0}}, "seen"},
		{"more than the limit", [][]byte{n.opt(1, long), n.opt(1, long), end}, string(long)},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := mustRead(t, slices.Concat(n.section(), n.face(1, 0), n.enhanced(0, 0, frameA, c.opts...)))
			if got[0].Comment != c.want {
				t.Errorf("comment is %.40q, want %.40q", got[0].Comment, c.want)
			}
		})
	}
}

func TestPcapngStatisticsTellOfLostFrames(t *testing.T) {
	n := ng{binary.LittleEndian}
	u64 := func(v uint64) []byte { return binary.LittleEndian.AppendUint64(nil, v) }
	stats := func(id uint32, ifdrop, osdrop uint64) []byte {
		b := append(binary.LittleEndian.AppendUint32(nil, id), make([]byte, 8)...)
		return n.block(5, slices.Concat(b, n.opt(5, u64(ifdrop)), n.opt(7, u64(osdrop)), n.opt(0, nil)))
	}
	b := slices.Concat(n.section(), n.face(1, 0), n.face(1, 0), n.enhanced(0, 0, frameA), stats(0, 3, 4), stats(0, 3, 6), stats(1, 0, 1), stats(7, 100, 100))
	src, err := Open([]string{"-"}, FileOptions{Stdin: bytes.NewReader(b)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := drain(t, src); err != nil {
		t.Fatal(err)
	}
	if got := src.(Counter).Stats().Dropped; got != 10 {
		t.Errorf("%d frames lost, want 10", got)
	}
}

func TestPcapngBlocksNotReadAreSteppedOver(t *testing.T) {
	n := ng{binary.LittleEndian}
	secrets := n.block(10, bytes.Repeat([]byte("k"), windowSize*2))
	got := mustRead(t, slices.Concat(n.section(), n.block(4, []byte("names")), n.face(1, 0), secrets, n.enhanced(0, 0, frameA), n.block(0x80000001, nil), n.enhanced(0, 0, frameB)))
	if len(got) != 2 || !bytes.Equal(got[1].Data, frameB) {
		t.Errorf("got %d frames", len(got))
	}
}

func TestPcapngLengthThatLeavesThePaddingOutIsTolerated(t *testing.T) {
	n := ng{binary.LittleEndian}
	b := n.enhanced(0, 0, frameB)
	total := uint32(len(b) - 2) // frameB is padded by two octets
	binary.LittleEndian.PutUint32(b[4:], total)
	binary.LittleEndian.PutUint32(b[len(b)-4:], total)
	names := n.block(4, []byte("12"))
	names[4] -= 2
	got := mustRead(t, slices.Concat(n.section(), n.face(1, 0), b, names, n.enhanced(0, 0, frameA)))
	if len(got) != 2 || !bytes.Equal(got[0].Data, frameB) || !bytes.Equal(got[1].Data, frameA) {
		t.Errorf("got %+v", got)
	}
}
