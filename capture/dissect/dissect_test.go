package dissect_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"iter"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/capture"
	"github.com/cloudvlan/cvlanctl/capture/dissect"
	"github.com/cloudvlan/cvlanctl/capture/keylog"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/trace"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

var (
	alice = netip.MustParseAddr("192.0.2.1")
	bob   = netip.MustParseAddr("192.0.2.2")
)

// frames is a Source of IP packets.
type frames struct {
	packets [][]byte
	err     error
}

func (s frames) Frames() iter.Seq2[capture.Frame, error] {
	return func(yield func(capture.Frame, error) bool) {
		for i, p := range s.packets {
			f := capture.Frame{Number: int64(i + 1), Time: time.Unix(int64(i), 0), Link: capture.LinkRaw, Length: len(p), Data: p}
			if !yield(f, nil) {
				return
			}
		}
		if s.err != nil {
			yield(capture.Frame{}, s.err)
		}
	}
}

// ip4 makes an IPv4 packet.
func ip4(src, dst netip.Addr, proto uint8, payload []byte) []byte {
	b := make([]byte, 20, 20+len(payload))
	b[0], b[8], b[9] = 0x45, 64, proto
	binary.BigEndian.PutUint16(b[2:], uint16(20+len(payload)))
	copy(b[12:], src.AsSlice())
	copy(b[16:], dst.AsSlice())
	return append(b, payload...)
}

// udp makes a UDP datagram in IPv4.
func udp(src, dst netip.Addr, sport, dport uint16, payload []byte) []byte {
	b := make([]byte, 8, 8+len(payload))
	binary.BigEndian.PutUint16(b, sport)
	binary.BigEndian.PutUint16(b[2:], dport)
	binary.BigEndian.PutUint16(b[4:], uint16(8+len(payload)))
	return ip4(src, dst, 17, append(b, payload...))
}

// request makes an IKE_SA_INIT request.
func request() []byte {
	ts, err := wire.ParseProposal(wire.ProtocolIKE, "aes256gcm16-prfsha256-ecp256")
	if err != nil {
		panic(err)
	}
	m := wire.Message{
		Header: wire.Header{InitiatorSPI: 0x1122334455667788, Version: wire.Version2, Exchange: wire.ExchangeIKESAInit, Flags: wire.FlagInitiator},
		Payloads: []wire.Payload{
			{Type: wire.PayloadSA, Body: &wire.SA{Proposals: []wire.Proposal{{Number: 1, Protocol: wire.ProtocolIKE, Transforms: ts}}}},
			{Type: wire.PayloadKE, Body: &wire.KE{Group: wire.KEECP256, Data: make([]byte, 64)}},
			{Type: wire.PayloadNonce, Body: &wire.Nonce{Data: make([]byte, 32)}},
		},
	}
	return m.Append(nil)
}

func espPacket(spi uint32) []byte {
	b := binary.BigEndian.AppendUint32(nil, spi)
	return append(binary.BigEndian.AppendUint32(b, 1), make([]byte, 40)...)
}

// kinds gives the summaries' first words.
func kinds(t *testing.T, packets ...[]byte) []string {
	t.Helper()
	var out []string
	for e, err := range dissect.New(dissect.Options{}).Events(frames{packets: packets}) {
		if err != nil {
			t.Fatal(err)
		}
		word := "other"
		if e.Packet != nil {
			word = e.Packet.Proto.String() + "/" + e.Packet.Encap.String()
		} else if e.ICMP != nil {
			word = "icmp"
		}
		out = append(out, word)
	}
	return out
}

func TestPacketsAreToldApartByPortMarkerAndShape(t *testing.T) {
	marker := make([]byte, 4)
	noise := []byte("a datagram of something else altogether, long enough for a header")
	rows := []struct {
		name    string
		packets [][]byte
		want    string
	}{
		{"port 500", [][]byte{udp(alice, bob, 500, 500, request())}, "ikev2/udp"},
		{"port 500 from elsewhere", [][]byte{udp(alice, bob, 31337, 500, request())}, "ikev2/udp"},
		{"port 4500 with the marker", [][]byte{udp(alice, bob, 4500, 4500, append(marker, request()...))}, "ikev2/udp-natt"},
		{"port 4500 without it", [][]byte{udp(alice, bob, 4500, 4500, espPacket(0xc0000001))}, "esp/udp-natt"},
		{"a keepalive", [][]byte{udp(alice, bob, 4500, 4500, []byte{0xff})}, "natt-keepalive/udp-natt"},
		{"marked IKE on port 500", [][]byte{udp(alice, bob, 4500, 500, append(marker, request()...))}, "ikev2/udp-natt"},
		{"ESP in IP", [][]byte{ip4(alice, bob, 50, espPacket(0xc0000001))}, "esp/ip"},
		{"IKE on any port", [][]byte{udp(alice, bob, 9999, 8888, request())}, "ikev2/udp"},
		{"marked IKE on any port, and ESP after it", [][]byte{
			udp(alice, bob, 9999, 8888, espPacket(0xc0000001)),
			udp(alice, bob, 9999, 8888, append(marker, request()...)),
			udp(alice, bob, 9999, 8888, espPacket(0xc0000001)),
		}, "ikev2/udp-natt esp/udp-natt"},
		{"other traffic on any port", [][]byte{udp(alice, bob, 9999, 8888, noise), udp(alice, bob, 53, 53, noise)}, ""},
		{"too short for anything", [][]byte{udp(alice, bob, 4500, 4500, []byte{1, 2}), udp(alice, bob, 500, 500, nil)}, ""},
		{"ESP with a reserved SPI of 0 in IP", [][]byte{ip4(alice, bob, 50, espPacket(0))}, ""},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			if got := strings.Join(kinds(t, row.packets...), " "); got != row.want {
				t.Errorf("%q, want %q", got, row.want)
			}
		})
	}
}

func TestAnICMPErrorAboutIKEIsAnEventAndOthersAreNot(t *testing.T) {
	quote := func(about []byte) []byte {
		return ip4(bob, alice, 1, append([]byte{3, 3, 0, 0, 0, 0, 0, 0}, about...))
	}
	got := kinds(t,
		quote(udp(alice, bob, 500, 500, request())),
		quote(udp(alice, bob, 5000, 53, request())),
	)
	if strings.Join(got, " ") != "icmp" {
		t.Errorf("%q", got)
	}
}

func TestTheErrorOfTheSourceComesLastAndOnce(t *testing.T) {
	broken := errors.New("the file ends")
	var events, failures int
	for e, err := range dissect.New(dissect.Options{}).Events(frames{packets: [][]byte{udp(alice, bob, 500, 500, request())}, err: broken}) {
		switch {
		case err != nil:
			failures++
			if !errors.Is(err, broken) {
				t.Errorf("%v", err)
			}
		case e != nil:
			events++
			if failures > 0 {
				t.Error("an event after the error")
			}
		}
	}
	if events != 1 || failures != 1 {
		t.Errorf("%d events and %d errors", events, failures)
	}
}

func TestAWrongKeyIsSaidToBeWrongAndAMissingOneMissing(t *testing.T) {
	const dir = "../../testdata/captures/psk-ecp256-aes256gcm16.keys"
	verdicts := func(change func(table string, row []byte) []byte) string {
		folder := t.TempDir()
		for _, table := range []string{keylog.TableIKEv2, keylog.TableESP} {
			b, err := os.ReadFile(filepath.Join(dir, table))
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(folder, table), change(table, b), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		tables, err := keylog.Load([]string{folder})
		if err != nil {
			t.Fatal(err)
		}
		src, err := capture.Open([]string{"../../testdata/captures/psk-ecp256-aes256gcm16.pcap"}, capture.FileOptions{})
		if err != nil {
			t.Fatal(err)
		}
		seen := make(map[string]bool)
		for e, err := range dissect.New(dissect.Options{Keys: tables}).Events(src) {
			if err != nil {
				t.Fatal(err)
			}
			if p := e.Packet; p.IKE != nil && p.IKE.Message.Exchange == wire.ExchangeIKEAuth {
				seen["ike: "+p.IKE.DecryptError] = true
			} else if p.ESP != nil {
				seen["esp: "+p.ESP.DecryptError] = true
			}
		}
		var all []string
		for _, kind := range []string{"ike: ", "esp: "} {
			for v := range seen {
				if strings.HasPrefix(v, kind) {
					all = append(all, v)
				}
			}
		}
		return strings.Join(all, ", ")
	}
	if got := verdicts(func(_ string, b []byte) []byte { return b }); got != "ike: , esp: " {
		t.Errorf("with the right keys: %s", got)
	}
	none := verdicts(func(string, []byte) []byte { return nil })
	if none != "ike: no key for this SA, esp: no key for this SA" {
		t.Errorf("without keys: %s", none)
	}
	wrong := verdicts(func(table string, b []byte) []byte {
		// Another last digit in each key.
		lines := bytes.Split(b, []byte("\n"))
		for i, line := range lines {
			fields := bytes.Split(line, []byte(","))
			for j, f := range fields {
				if n := len(bytes.Trim(f, `"`)); n >= 40 {
					at := bytes.LastIndexAny(f, "0123456789abcdef")
					f = bytes.Clone(f)
					f[at] = "123456789abcdef0"[strings.IndexByte("0123456789abcdef", f[at])]
					fields[j] = f
				}
			}
			lines[i] = bytes.Join(fields, []byte(","))
		}
		return bytes.Join(lines, []byte("\n"))
	})
	if wrong != "ike: wrong key: the integrity check failed, esp: wrong key: the integrity check failed" {
		t.Errorf("with wrong keys: %s", wrong)
	}
}

// FuzzEvents feeds arbitrary IP packets, with keys for an SA of the corpus so
// that decryption is reached, and folds what comes of them.
func FuzzEvents(f *testing.F) {
	f.Add(udp(alice, bob, 500, 500, request()), udp(alice, bob, 4500, 4500, espPacket(7)))
	const name = "../../testdata/captures/psk-ecp256-aes256gcm16"
	tables, err := keylog.Load([]string{name + ".keys"})
	if err != nil {
		f.Fatal(err)
	}
	src, err := capture.Open([]string{name + ".pcap"}, capture.FileOptions{})
	if err != nil {
		f.Fatal(err)
	}
	var last []byte
	for frame, err := range src.Frames() {
		if err != nil {
			f.Fatal(err)
		}
		packet := bytes.Clone(frame.Data[14:])
		if last != nil {
			f.Add(last, packet)
		}
		last = packet
	}
	f.Fuzz(func(t *testing.T, a, b []byte) {
		var out []byte
		folded := trace.New(trace.Options{})
		for e, err := range dissect.New(dissect.Options{Keys: tables}).Events(frames{packets: [][]byte{a, b, a}}) {
			if err != nil {
				t.Fatal(err)
			}
			folded.Add(e)
			out = event.AppendJSON(out[:0], e)
			out = event.AppendSummary(out[:0], e)
		}
	})
}

func TestEveryCutOfAPacketIsSurvivedAndGivesValidJSON(t *testing.T) {
	packets := [][]byte{
		udp(alice, bob, 500, 500, request()),
		udp(alice, bob, 4500, 4500, append(make([]byte, 4), request()...)),
		ip4(alice, bob, 50, espPacket(0xc0000001)),
	}
	for _, whole := range packets {
		for n := range whole {
			for e, err := range dissect.New(dissect.Options{}).Events(frames{packets: [][]byte{whole[:n]}}) {
				if err != nil {
					t.Fatal(err)
				}
				if b := event.AppendJSON(nil, e); len(b) > 0 && !json.Valid(b) {
					t.Fatalf("cut at %d: %s", n, b)
				}
			}
		}
	}
}
