package keylog

import (
	"encoding/binary"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"

	"github.com/cloudvlan/cvlanctl/engine/suite"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// datagram is a UDP datagram of a capture.
type datagram struct {
	src, dst netip.Addr
	natt     bool // of port 4500
	data     []byte
}

// readDatagrams gives the datagrams of a capture that nobody has cut into
// fragments.
func readDatagrams(t *testing.T, path string) []datagram {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }() // only read from
	r, err := pcapgo.NewReader(f)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	var all []datagram
	for {
		b, _, err := r.ReadPacketData()
		if err != nil {
			return all
		}
		p := gopacket.NewPacket(b, r.LinkType(), gopacket.Default)
		u, _ := p.Layer(layers.LayerTypeUDP).(*layers.UDP)
		if u == nil || p.NetworkLayer() == nil {
			continue
		}
		src, _ := netip.AddrFromSlice(p.NetworkLayer().NetworkFlow().Src().Raw())
		dst, _ := netip.AddrFromSlice(p.NetworkLayer().NetworkFlow().Dst().Raw())
		all = append(all, datagram{src, dst, u.SrcPort == 4500 || u.DstPort == 4500, u.Payload})
	}
}

// opened counts what keys opened and what they did not.
type opened struct{ ike, ikeFailed, esp, espFailed int }

// openAll opens every encrypted IKEv2 message and ESP packet of a capture.
func openAll(t *testing.T, tables *Tables, list []datagram) (n opened) {
	t.Helper()
	for _, d := range list {
		m := d.data
		if d.natt {
			if len(m) < 8 {
				continue // a keepalive
			}
			if spi := binary.BigEndian.Uint32(m); spi != 0 {
				if openESP(t, tables.ESP(d.src, d.dst, wire.ESPSPI(spi)), m) {
					n.esp++
				} else {
					n.espFailed++
				}
				continue
			}
			m = m[4:]
		}
		if len(m) < 36 || m[17] != byte(wire.Version2) {
			continue
		}
		front := 32
		switch m[16] {
		case 46: // SK first
		case 53: // SKF first
			front = 36
		default:
			continue
		}
		sa := tables.IKEv2(wire.SPI(binary.BigEndian.Uint64(m)), wire.SPI(binary.BigEndian.Uint64(m[8:])))
		if sa == nil {
			n.ikeFailed++
			continue
		}
		initiator, responder, err := sa.Ciphers()
		if err != nil {
			t.Fatal(err)
		}
		c := responder
		if m[19]&byte(wire.FlagInitiator) != 0 {
			c = initiator
		}
		if _, err := c.Open(nil, m[:front], m[front:]); err != nil {
			n.ikeFailed++
		} else {
			n.ike++
		}
	}
	return n
}

// openESP says whether one of the keys opens a packet to an IP packet.
func openESP(t *testing.T, keys []*ESPSA, packet []byte) bool {
	t.Helper()
	for _, k := range keys {
		c, err := k.Cipher()
		if err != nil {
			t.Fatal(err)
		}
		payload, next, err := c.Open(nil, packet, 0)
		if err == nil && (next == 4 && payload[0]>>4 == 4 || next == 41 && payload[0]>>4 == 6 || next == 59) {
			return true
		}
	}
	return false
}

const corpus = "../../testdata/captures"

func TestEveryCaptureOfTheLabOpensWithItsKeys(t *testing.T) {
	folders, err := filepath.Glob(corpus + "/*.keys")
	if err != nil || len(folders) < 20 {
		t.Fatalf("%d key folders, %v", len(folders), err)
	}
	var total opened
	for _, folder := range folders {
		name := strings.TrimSuffix(filepath.Base(folder), ".keys")
		path := filepath.Join(corpus, name+".pcap")
		if _, err := os.Stat(path); err != nil {
			continue // another file format, which the package capture reads
		}
		tables, err := Load([]string{folder})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		list := readDatagrams(t, path)
		n := openAll(t, tables, list)
		if n.ikeFailed+n.espFailed > 0 {
			t.Errorf("%s: %+v", name, n)
		}
		total.ike += n.ike
		total.esp += n.esp

		// Written and read again, the tables open the same.
		dir := t.TempDir()
		if err := tables.Write(dir); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		again, err := Load([]string{dir})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if m := openAll(t, again, list); m != n {
			t.Errorf("%s: written and read again %+v, before %+v", name, m, n)
		}
	}
	if total.ike < 100 || total.esp < 200 {
		t.Errorf("only %+v opened", total)
	}
	t.Logf("%d IKE messages and %d ESP packets opened", total.ike, total.esp)
}

func TestAKeyWithOneBitChangedOpensNothing(t *testing.T) {
	tables, err := Load([]string{corpus + "/psk-modp2048-aes256-sha256.keys"})
	if err != nil {
		t.Fatal(err)
	}
	change := func(k suite.Secret) suite.Secret {
		b := k.Reveal()
		b[5] ^= 4
		return suite.NewSecret(b)
	}
	for _, sa := range tables.ikev2Rows {
		sa.AI, sa.AR = change(sa.AI), change(sa.AR)
	}
	for _, sa := range tables.espRows {
		sa.AuthKey = change(sa.AuthKey)
	}
	n := openAll(t, tables, readDatagrams(t, corpus+"/psk-modp2048-aes256-sha256.pcap"))
	if n.ike+n.esp > 0 || n.ikeFailed == 0 || n.espFailed == 0 {
		t.Errorf("%+v", n)
	}
}

// v1Payloads walks a chain of IKEv1 payloads and gives their bodies by type.
// whole says that the chain ends within b, with at most a block of padding.
func v1Payloads(first byte, b []byte) (bodies map[byte][]byte, whole bool) {
	bodies = map[byte][]byte{}
	for first != 0 {
		if len(b) < 4 {
			return bodies, false
		}
		n := int(binary.BigEndian.Uint16(b[2:]))
		if n < 4 || n > len(b) {
			return bodies, false
		}
		bodies[first] = b[4:n]
		first, b = b[0], b[n:]
	}
	return bodies, len(b) <= 16
}

func TestIKEv1MainModeAndQuickModeOpenWithTheTablesKey(t *testing.T) {
	tables, err := Load([]string{corpus + "/ikev1-main-mode.keys"})
	if err != nil {
		t.Fatal(err)
	}
	var public [][]byte
	var c *suite.IKEv1Cipher
	var iv, last []byte
	quick := map[uint32][]byte{}
	opened := 0
	for _, d := range readDatagrams(t, corpus+"/ikev1-main-mode.pcap") {
		m := d.data
		if d.natt {
			if len(m) < 32 || binary.BigEndian.Uint32(m) != 0 {
				continue
			}
			m = m[4:]
		}
		if m[19]&byte(wire.FlagV1Encrypted) == 0 {
			if bodies, _ := v1Payloads(m[16], m[28:]); bodies[4] != nil {
				public = append(public, bodies[4])
			}
			continue
		}
		if c == nil {
			key := tables.IKEv1(wire.SPI(binary.BigEndian.Uint64(m)))
			if key == nil || len(public) != 2 {
				t.Fatalf("no key, or %d public values", len(public))
			}
			if c, err = suite.NewIKEv1(7, 4, key.Key); err != nil { // AES-CBC, SHA2-256
				t.Fatal(err)
			}
			iv = c.Phase1IV(public[0], public[1])
		}
		from, id := iv, binary.BigEndian.Uint32(m[20:])
		if id != 0 {
			if from = quick[id]; from == nil {
				from = c.Phase2IV(last, id)
			}
		}
		plain, next, err := c.Open(from, m[28:])
		if err != nil {
			t.Fatal(err)
		}
		if bodies, whole := v1Payloads(m[16], plain); !whole || len(bodies) == 0 {
			t.Errorf("message %d of exchange %d: no payload chain", opened, m[18])
		}
		if id == 0 {
			iv, last = next, next
		} else {
			quick[id] = next
		}
		opened++
	}
	if opened != 5 {
		t.Errorf("%d messages opened, want 2 of main mode and 3 of quick mode", opened)
	}
}
