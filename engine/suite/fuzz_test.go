package suite

import "testing"

// FuzzOpen gives any octets to every combination: an error or a payload, never
// a panic.
func FuzzOpen(f *testing.F) {
	var esp []*ESPCipher
	var ike []*IKECipher
	for _, c := range combinations(f) {
		e := c.esp(f, len(esp)%2 == 0)
		esp = append(esp, e)
		sealed, err := e.Seal(nil, 1, 1, counting(20), 4)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(sealed, uint32(0), 3)
		if k := c.ike(f); k != nil {
			ike = append(ike, k)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte, high uint32, cut int) {
		cut = min(max(cut, 0), len(b))
		for _, e := range esp {
			if got, _, err := e.Open(nil, b, high); err == nil && len(got) > len(b) {
				t.Fatalf("%d octets from a packet of %d", len(got), len(b))
			}
		}
		for _, k := range ike {
			if got, err := k.Open(nil, b[:cut], b[cut:]); err == nil && len(got) > len(b) {
				t.Fatalf("%d octets from %d", len(got), len(b))
			}
		}
	})
}
