package wire

import (
	"bytes"
	"testing"
)

func TestUDPPayloadsAreToldApart(t *testing.T) {
	ike := saInit().Append(nil)
	esp := append([]byte{0xc0, 0, 0, 1, 0, 0, 0, 1}, make([]byte, 32)...)
	for _, c := range []struct {
		name    string
		payload []byte
		natt    bool
		kind    UDPKind
		rest    []byte
	}{
		{"IKE on port 500", ike, false, UDPIKE, ike},
		{"IKE on port 4500", AppendMarked(nil, ike), true, UDPIKEMarked, ike},
		{"ESP on port 4500", esp, true, UDPESP, esp},
		{"keepalive on port 4500", []byte{0xff}, true, UDPKeepalive, nil},
		{"keepalive on port 500", []byte{0xff}, false, UDPKeepalive, nil},
		{"marker alone", []byte{0, 0, 0, 0}, true, UDPIKEMarked, []byte{}},
		{"three octets", []byte{0, 0, 0}, true, UDPUnknown, nil},
		{"another single octet", []byte{0xfe}, true, UDPUnknown, nil},
		{"nothing on port 500", nil, false, UDPUnknown, nil},
		{"nothing on port 4500", nil, true, UDPUnknown, nil},
		{"IKE with SPI from zero octets on port 500", append(make([]byte, 4), ike...), false, UDPIKE, append(make([]byte, 4), ike...)},
	} {
		kind, rest := ClassifyUDP(c.payload, c.natt)
		if kind != c.kind || !bytes.Equal(rest, c.rest) {
			t.Errorf("%s: %s with %d octets, want %s with %d", c.name, kind, len(rest), c.kind, len(c.rest))
		}
	}
}

func TestTCPStreamsAreCutIntoMessages(t *testing.T) {
	ike := saInit().Append(nil)
	frame := func(b []byte) []byte { return append([]byte{byte((len(b) + 2) >> 8), byte(len(b) + 2)}, b...) }
	esp := append([]byte{0xc0, 0, 0, 1, 0, 0, 0, 1}, make([]byte, 32)...)
	stream := append(frame(AppendMarked(nil, ike)), frame(esp)...)
	stream = append(stream, frame([]byte{0xff})...)
	whole := stream
	for _, want := range []struct {
		kind UDPKind
		rest []byte
	}{{UDPIKEMarked, ike}, {UDPESP, esp}, {UDPKeepalive, nil}} {
		kind, rest, n := NextTCP(stream)
		if kind != want.kind || !bytes.Equal(rest, want.rest) {
			t.Fatalf("%s with %d octets, want %s with %d", kind, len(rest), want.kind, len(want.rest))
		}
		stream = stream[n:]
	}
	if len(stream) != 0 {
		t.Errorf("%d octets are left", len(stream))
	}
	for n := range len(ike) + 6 {
		if _, _, taken := NextTCP(whole[:n]); taken != 0 {
			t.Errorf("%d octets give a message of %d", n, taken)
		}
	}
	if kind, _, n := NextTCP([]byte{0, 1, 0, 0}); kind != UDPUnknown || n != 2 {
		t.Errorf("length 1: %s, %d octets taken", kind, n)
	}
}

func TestESPAndAHHeadersAreReadWithinTheirBounds(t *testing.T) {
	packet := append([]byte{0xc0, 0xff, 0xee, 1, 0, 0, 0, 7}, make([]byte, 24)...)
	e, err := ParseESP(packet)
	if err != nil || e.SPI != 0xc0ffee01 || e.Sequence != 7 || len(e.Data) != 24 || e.SPI.String() != "c0ffee01" {
		t.Errorf("%+v, %v", e, err)
	}
	if got := AppendESPHeader(nil, e.SPI, e.Sequence); !bytes.Equal(got, packet[:8]) {
		t.Errorf("header %x", got)
	}
	for n := range minESPLength {
		if _, err := ParseESP(packet[:n]); err == nil {
			t.Errorf("%d octets are taken for ESP", n)
		}
	}
	if _, err := ParseESP(make([]byte, 40)); err == nil {
		t.Error("SPI 0 is taken for an SA's")
	}

	ah := append([]byte{6, 4, 0, 0, 0xc0, 0xff, 0xee, 2, 0, 0, 0, 9}, make([]byte, 12+20)...)
	a, err := ParseAH(ah)
	if err != nil || a.NextHeader != 6 || a.Length != 24 || a.SPI != 0xc0ffee02 || a.Sequence != 9 || len(a.ICV) != 12 || len(a.Payload) != 20 {
		t.Errorf("%+v, %v", a, err)
	}
	for n := range 24 {
		if _, err := ParseAH(ah[:n]); err == nil {
			t.Errorf("%d octets are taken for AH", n)
		}
	}
	ah[1] = 0 // 8 octets: shorter than the fixed part
	if _, err := ParseAH(ah); err == nil {
		t.Error("a length of 8 octets is accepted")
	}
}

func TestIKEIsFoundOnAnyPortAndOtherTrafficIsNot(t *testing.T) {
	for _, name := range []string{"rusticata/ike-sa-init-req.bin", "rusticata/ike-sa-init-resp.bin", "ancwrd1/mm.bin",
		"i-e-b/IKEv2-1_Port-500_IKE.bin", "i-e-b/SK-raw.bin", "P1sec/test_crypto.py", "P1sec/test_crypto.py#2",
		"P1sec/test_crypto.py#3", "P1sec/test_crypto.py#4"} {
		b := vectorNamed(t, name)
		if !LooksLikeIKE(b) {
			t.Errorf("%s is not recognised", name)
		}
		for n := range len(b) {
			if LooksLikeIKE(b[:n]) {
				t.Errorf("%d octets of %s are recognised", n, name)
			}
		}
	}
	encrypted := seeds(t)[7]
	if !LooksLikeIKE(encrypted) {
		t.Error("encrypted IKEv1 is not recognised")
	}
	for _, c := range []struct {
		name   string
		change func(b []byte)
	}{
		{"initiator SPI 0", func(b []byte) { clear(b[:8]) }},
		{"minor version", func(b []byte) { b[17] = 0x21 }},
		{"exchange type of IKEv1", func(b []byte) { b[18] = 2 }},
		{"unassigned exchange type", func(b []byte) { b[18] = 99 }},
		{"reserved flag", func(b []byte) { b[19] |= 1 }},
		{"request and response at once", func(b []byte) { b[19] = 0x28 }},
		{"message id in IKE_SA_INIT", func(b []byte) { b[23] = 1 }},
		{"responder SPI in a first request", func(b []byte) { b[8] = 1 }},
		{"length", func(b []byte) { b[27]++ }},
		{"first payload of IKEv1", func(b []byte) { b[16] = 1 }},
		{"no payload", func(b []byte) { b[16] = 0 }},
		{"reserved bit of a payload", func(b []byte) { b[29] = 1 }},
		{"chain that ends early", func(b []byte) { b[28] = 0 }},
	} {
		b := saInit().Append(nil)
		if !LooksLikeIKE(b) {
			t.Fatal("the unchanged message is not recognised")
		}
		c.change(b)
		if LooksLikeIKE(b) {
			t.Errorf("%s: is recognised", c.name)
		}
	}
	for name, b := range map[string][]byte{
		"DNS query":  unhex(t, "12340100000100000000000003777777076578616d706c6503636f6d0000010001"),
		"zeros":      make([]byte, 200),
		"empty":      nil,
		"STUN":       unhex(t, "000100002112a442000102030405060708090a0b0c0d0e0f1011121314151617"),
		"ESP marked": append([]byte{0, 0, 0, 0}, saInit().Append(nil)...),
	} {
		if LooksLikeIKE(b) {
			t.Errorf("%s is taken for IKE", name)
		}
	}
}
