package wire

import (
	"bytes"
	"testing"
)

// FuzzParse feeds octets to everything that reads octets: nothing panics, the
// laws hold, and reusing a Message changes nothing.
func FuzzParse(f *testing.F) {
	for _, v := range allVectors(f) {
		f.Add(v.b)
	}
	for _, b := range seeds(f) {
		f.Add(b)
	}
	reused := new(Message)
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := checkLaws(t, b)
		err2 := reused.Decode(b)
		if (err == nil) != (err2 == nil) || err != nil && err.Error() != err2.Error() {
			t.Fatalf("Parse says %v, Decode into a used message %v", err, err2)
		}
		if err == nil && !bytes.Equal(m.Append(nil), reused.Append(nil)) {
			t.Fatalf("Parse and Decode into a used message differ")
		}
		Check(m, m.Payloads)
		if LooksLikeIKE(b) && m.Version.Major() != 1 && m.Version.Major() != 2 {
			t.Fatalf("LooksLikeIKE accepts version %s", m.Version)
		}
		for i := range m.Payloads {
			if v, ok := m.Payloads[i].Body.(*VendorID); ok {
				VendorName(v.Data)
			}
		}
		if e, err := ParseESP(b); err == nil && len(e.Data) != len(b)-ESPHeaderLength {
			t.Fatalf("ESP data of %d octets in %d", len(e.Data), len(b))
		}
		if a, err := ParseAH(b); err == nil && len(a.Payload)+a.Length != len(b) {
			t.Fatalf("AH of %d octets and payload of %d in %d", a.Length, len(a.Payload), len(b))
		}
		for _, natt := range []bool{false, true} {
			if kind, rest := ClassifyUDP(b, natt); kind == UDPIKEMarked && len(rest) != len(b)-NonESPMarkerLength {
				t.Fatalf("marker of %d octets", len(b)-len(rest))
			}
		}
		for s := b; ; {
			_, _, n := NextTCP(s)
			if n == 0 {
				break
			}
			s = s[n:]
		}
		DNText(b)
		CertNames(b)
		SignatureAlgorithmName(b)
	})
}

// FuzzRoundTrip feeds chains of payloads, as they come out of decryption: what
// is accepted is written back octet for octet, and reads the same again.
func FuzzRoundTrip(f *testing.F) {
	for _, v := range allVectors(f) {
		if m, err := Parse(v.b); err == nil && len(m.Payloads) > 0 {
			f.Add(uint8(m.NextPayload), m.Version.Major() == 1, v.b[HeaderLength:])
		}
		f.Add(uint8(PayloadSA), false, v.b)
	}
	for _, b := range seeds(f) {
		f.Add(b[16], b[17] == uint8(Version1), b[HeaderLength:])
	}
	f.Fuzz(func(t *testing.T, first uint8, v1 bool, b []byte) {
		v := Version2
		if v1 {
			v = Version1
		}
		ps, problems := checkChainLaws(t, PayloadType(first), v, b)
		if FirstFatal(problems) != nil || v1 {
			return
		}
		out := AppendPayloads(nil, ps)
		again, problems2 := ParsePayloads(PayloadType(first), v, out)
		if len(again) != len(ps) || len(problems) != len(problems2) {
			t.Fatalf("%d payloads with %d problems became %d with %d", len(ps), len(problems), len(again), len(problems2))
		}
		for i := range ps {
			if a, b := ps[i].Summary(), again[i].Summary(); a != b {
				t.Fatalf("payload %d was %q and is %q", i, a, b)
			}
		}
	})
}
