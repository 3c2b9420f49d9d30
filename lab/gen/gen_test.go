package gen

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"
)

func generate(t *testing.T, opt Options) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, opt); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// udp is what the tests look at in one frame.
type udp struct {
	port    uint16
	payload []byte
}

// dissect splits a capture into UDP payloads and checks every length on the
// way.
func dissect(t *testing.T, file []byte) []udp {
	t.Helper()
	var frames []udp
	for rest := file[24:]; len(rest) > 0; {
		n := int(binary.LittleEndian.Uint32(rest[8:]))
		frame := rest[recordHeader : recordHeader+n]
		rest = rest[recordHeader+n:]
		ip := frame[ethernetHeader:]
		if got := int(binary.BigEndian.Uint16(ip[2:])); got != len(ip) {
			t.Fatalf("frame %d: IP length %d, want %d", len(frames)+1, got, len(ip))
		}
		if fold(sum(ip[:ipv4Header], 0)) != 0 {
			t.Fatalf("frame %d: IP checksum is wrong", len(frames)+1)
		}
		u := ip[ipv4Header:]
		if got := int(binary.BigEndian.Uint16(u[4:])); got != len(u) {
			t.Fatalf("frame %d: UDP length %d, want %d", len(frames)+1, got, len(u))
		}
		if binary.BigEndian.Uint16(u[6:]) != 0 && fold(sum(u, sum(ip[12:20], 17+uint32(len(u))))) != 0 {
			t.Fatalf("frame %d: UDP checksum is wrong", len(frames)+1)
		}
		frames = append(frames, udp{port: binary.BigEndian.Uint16(u), payload: u[udpHeader:]})
	}
	return frames
}

func TestSameSeedGivesSameOctets(t *testing.T) {
	a := generate(t, Options{Frames: 3000, Seed: 7})
	if !bytes.Equal(a, generate(t, Options{Frames: 3000, Seed: 7})) {
		t.Error("two captures of one seed differ")
	}
	if bytes.Equal(a, generate(t, Options{Frames: 3000, Seed: 8})) {
		t.Error("captures of two seeds are the same")
	}
}

func TestMixIsOneTenthInitTwoTenthsSealedSevenTenthsESP(t *testing.T) {
	frames := dissect(t, generate(t, Options{Frames: 100000}))
	if len(frames) != 100000 {
		t.Fatalf("%d frames, want 100000", len(frames))
	}
	var init, sealed, esp float64
	for _, f := range frames {
		switch {
		case f.port == 500:
			init++
		case binary.BigEndian.Uint32(f.payload) == 0:
			sealed++
		default:
			esp++
		}
	}
	for _, c := range []struct {
		what      string
		got, want float64
	}{{"IKE_SA_INIT", init, 0.02}, {"encrypted IKE", sealed, 0.18}, {"ESP", esp, 0.8}} {
		if share := c.got / 100000; share < c.want-0.005 || share > c.want+0.005 {
			t.Errorf("%s: share %.4f, want %.1f", c.what, share, c.want)
		}
	}
}

func TestMessagesSayTheirTrueLengthAndEveryPayloadFits(t *testing.T) {
	for i, f := range dissect(t, generate(t, Options{Frames: 20000})) {
		m := f.payload
		if f.port == 4500 {
			if binary.BigEndian.Uint32(m) != 0 {
				continue
			}
			m = m[4:]
		}
		if got := int(binary.BigEndian.Uint32(m[24:])); got != len(m) {
			t.Fatalf("frame %d: IKE length %d, want %d", i+1, got, len(m))
		}
		next, rest := m[16], m[ikeHeader:]
		for next != 0 && len(rest) > 0 {
			n := int(binary.BigEndian.Uint16(rest[2:]))
			if n < 4 || n > len(rest) {
				t.Fatalf("frame %d: payload %d has length %d of %d", i+1, next, n, len(rest))
			}
			if next == payloadSK {
				rest = rest[n:]
				break
			}
			next, rest = rest[0], rest[n:]
		}
		if len(rest) != 0 {
			t.Fatalf("frame %d: %d octets after the last payload", i+1, len(rest))
		}
	}
}

func TestSequenceNumbersOfEverySPIRiseByOne(t *testing.T) {
	last := map[uint32]uint32{}
	for i, f := range dissect(t, generate(t, Options{Frames: 50000, SAs: 50})) {
		spi := binary.BigEndian.Uint32(f.payload)
		if f.port != 4500 || spi == 0 {
			continue
		}
		seq := binary.BigEndian.Uint32(f.payload[4:])
		if seq != last[spi]+1 {
			t.Fatalf("frame %d: SPI %08x goes from %d to %d", i+1, spi, last[spi], seq)
		}
		last[spi] = seq
	}
}

func TestOptionsOutOfRangeAreRefused(t *testing.T) {
	for name, opt := range map[string]Options{
		"no frames":    {},
		"negative SAs": {Frames: 1, SAs: -1},
		"too many SAs": {Frames: 1, SAs: MaxSAs + 1},
	} {
		if err := Write(&bytes.Buffer{}, opt); !errors.Is(err, ErrOptions) {
			t.Errorf("%s: error is %v, want ErrOptions", name, err)
		}
	}
}
