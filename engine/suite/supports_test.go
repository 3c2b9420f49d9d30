package suite

import (
	"testing"

	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// TestWhatIsSupportedIsWhatKeysCanBeMadeFor goes through all numbers of each
// type of transform, named or not.
func TestWhatIsSupportedIsWhatKeysCanBeMadeFor(t *testing.T) {
	zeros := func(n int) Secret { return ownSecret(make([]byte, n)) }
	made := func(p wire.ProtocolID, x *wire.Transform) bool {
		switch x.Type {
		case wire.TransformEncr, wire.TransformInteg:
			encr, bits, integ := x.ID, x.KeyLength(), uint16(wire.IntegSHA256128)
			if x.Type == wire.TransformInteg {
				encr, bits, integ = wire.EncrAESCBC, 128, x.ID
			}
			if x.Type == wire.TransformInteg && x.ID == wire.IntegNone { // it stands beside an AEAD
				encr = wire.EncrAESGCM16
			}
			if AEAD(encr) {
				integ = wire.IntegNone
			}
			e, i, err := KeyLengths(encr, bits, integ)
			if err != nil {
				return false
			}
			if p == wire.ProtocolIKE {
				c, err := NewIKE(encr, bits, integ, zeros(e), zeros(i))
				if err != nil {
					return false
				}
				_, err = c.Seal(nil, make([]byte, 32), make([]byte, 16))
				return err == nil
			}
			c, err := NewESP(encr, bits, integ, zeros(e), zeros(i), false)
			if err != nil {
				return false
			}
			_, err = c.Seal(nil, 256, 1, make([]byte, 40), 4)
			return err == nil
		case wire.TransformPRF:
			_, err := NewPRF(x.ID)
			return err == nil && p == wire.ProtocolIKE
		case wire.TransformKE:
			_, err := NewKeyExchange(wire.KEMethod(x.ID))
			return err == nil || x.ID == wire.KENone && p == wire.ProtocolESP
		case wire.TransformESN:
			return x.ID <= 1 && p == wire.ProtocolESP
		}
		return x.ID == 0 && x.Type.KeyExchange()
	}
	supported := map[wire.TransformType]int{}
	for typ := wire.TransformType(0); typ <= wire.TransformADDKE7+1; typ++ {
		for id := range 1 << 16 {
			if typ == wire.TransformKE && id > 64 && id < 1<<16-1 {
				continue // making a key takes long
			}
			for _, bits := range []int{0, 64, 128, 192, 256} {
				if bits != 0 && (typ != wire.TransformEncr || id > 64) {
					continue
				}
				x := &wire.Transform{Type: typ, ID: uint16(id)}
				if bits != 0 {
					x.Attributes = []wire.Attribute{{Type: wire.AttrKeyLength, Short: true, Value: uint16(bits)}}
				}
				for _, p := range []wire.ProtocolID{wire.ProtocolIKE, wire.ProtocolESP} {
					err := Supports(p, x)
					if want := made(p, x); (err == nil) != want {
						t.Errorf("%s %s of %d bits in %s: %v, and keys can be made: %v", typ, x.Name(), bits, p, err, want)
					}
					if err == nil {
						supported[typ]++
					}
				}
			}
		}
	}
	if supported[wire.TransformEncr] < 40 || supported[wire.TransformKE] < 24 || supported[wire.TransformPRF] < 7 {
		t.Errorf("supported are %v", supported)
	}
	if Supports(wire.ProtocolAH, &wire.Transform{Type: wire.TransformInteg, ID: wire.IntegSHA256128}) == nil {
		t.Error("AH is supported")
	}
}
