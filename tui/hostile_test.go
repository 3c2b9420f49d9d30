package tui_test

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cloudvlan/cvlanctl/capture"
	"github.com/cloudvlan/cvlanctl/capture/dissect"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/trace"
	"github.com/cloudvlan/cvlanctl/tui/feed"
)

// hostileCapture writes a capture whose vendor ids, notify data, identity and
// certificate are escape sequences: an IKE_SA_INIT of IKEv2, and an aggressive
// mode of IKEv1, whose identity travels in the clear.
func hostileCapture(t *testing.T) string {
	t.Helper()
	evil := []byte(hostile)
	v2 := ikeMessage(0x20, 34, 0x08, 43, // vendor id first
		part{43, evil}, part{41, append([]byte{0, 0, 0xff, 0x01}, evil...)}, part{37, append([]byte{4}, evil...)}, part{0, append([]byte{4}, evil...)})
	v1 := ikeMessage(0x10, 4, 0, 5, // identification first
		part{13, append([]byte{2, 17, 0x01, 0xf4}, evil...)}, part{6, evil}, part{0, append([]byte{4}, evil...)})
	file := binary.LittleEndian.AppendUint32(nil, 0xa1b2c3d4)
	file = append(file, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 101, 0, 0, 0) // raw IP
	for i, message := range [][]byte{v2, v1} {
		udp := binary.BigEndian.AppendUint16([]byte{0x01, 0xf4, 0x01, 0xf4}, uint16(8+len(message)))
		udp = append(append(udp, 0, 0), message...)
		ip := []byte{0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, byte(1 + i), 198, 51, 100, 7}
		binary.BigEndian.PutUint16(ip[2:], uint16(20+len(udp)))
		frame := append(ip, udp...)
		for _, v := range []uint32{uint32(began.Unix()) + uint32(i), 0, uint32(len(frame)), uint32(len(frame))} {
			file = binary.LittleEndian.AppendUint32(file, v)
		}
		file = append(file, frame...)
	}
	name := filepath.Join(t.TempDir(), "hostile.pcap")
	if err := os.WriteFile(name, file, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// part is a payload: the type of the one behind it, and its body.
type part struct {
	next byte
	body []byte
}

// ikeMessage makes an IKE message of payloads.
func ikeMessage(version, exchange, flags, first byte, parts ...part) []byte {
	b := append(make([]byte, 0, 256), 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0, first, version, exchange, flags, 0, 0, 0, 0, 0, 0, 0, 0)
	b[0] = version
	for _, p := range parts {
		b = binary.BigEndian.AppendUint16(append(b, p.next, 0), uint16(4+len(p.body)))
		b = append(b, p.body...)
	}
	binary.BigEndian.PutUint32(b[24:], uint32(len(b)))
	return b
}

func TestHostileCaptureNeverReachesTheTerminalRaw(t *testing.T) {
	file := hostileCapture(t)
	read := func(f func(*event.Event)) {
		source, err := capture.Open([]string{file}, capture.FileOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for e, err := range dissect.New(dissect.Options{}).Events(source) {
			if err != nil {
				t.Fatal(err)
			}
			f(e)
		}
	}
	store := feed.NewStore(feed.Options{Title: "pcap:" + file + hostile, Summary: event.Summary, Trace: trace.Options{KeepOctets: true}})
	read(store.Add)
	store.Finish(nil)
	if n := store.Trace().Counts; n.IKEv2 != 1 || n.IKEv1 != 1 {
		t.Fatalf("the capture holds %+v", n)
	}
	packet := func(frame int64) (found *event.Packet, err error) {
		read(func(e *event.Event) {
			if e.Frame == frame {
				p := *e.Packet
				found = &p
			}
		})
		return found, nil
	}
	d := drive(t, store, 120, 40, withPacket(packet))
	check := func() { t.Helper(); wellFormed(t, d, 120, 40) }
	seen := ""
	for _, page := range []string{"1", "2", "6"} {
		for row := range 5 {
			d.press(page, "g")
			for range row {
				d.press("down")
			}
			check()
			d.press("enter")
			for range 24 { // open every branch on the way down
				d.press("right", "down")
				check()
				seen += d.text()
			}
			d.press("y", "w", "enter", "esc", "esc", "esc")
			check()
		}
	}
	if !strings.Contains(seen, `\x1b`) {
		t.Error("the escape sequences are not even shown as text, so nothing is proved")
	}
	for _, text := range d.copied {
		if strings.ContainsAny(text, "\x1b\u009b\a\u202e\r\n") {
			t.Errorf("copied %q", text)
		}
	}
	for name, text := range d.written {
		if strings.ContainsAny(text, "\x1b\u009b\a\u202e") {
			t.Errorf("%s holds control characters", name)
		}
	}
}
