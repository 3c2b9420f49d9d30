package suite

import (
	"fmt"

	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// Supports says whether this package can do what a transform names, in an SA of
// protocol IKE or ESP: nil, or an *AlgorithmError. Many transforms are known by
// name only. ENCR_NULL, GMAC and implicit IVs do not exist in IKE; beside a
// first key exchange there is no further one (RFC 9370).
func Supports(p wire.ProtocolID, t *wire.Transform) error {
	no := func(why string) error { return &AlgorithmError{t.Type, t.ID, t.KeyLength(), why} }
	switch {
	case p != wire.ProtocolIKE && p != wire.ProtocolESP:
		return no(fmt.Sprintf("not supported in %s", p))
	case t.Type == wire.TransformEncr:
		e, err := encryptionOf(t.ID, t.KeyLength())
		if err == nil && p == wire.ProtocolIKE && !e.protectsIKE() {
			err = no("does not exist in IKE")
		}
		return err
	case t.Type == wire.TransformPRF && p == wire.ProtocolIKE:
		_, err := NewPRF(t.ID)
		return err
	case t.Type == wire.TransformInteg:
		a, err := integrityOf(t.ID)
		if err == nil && a.unchecked {
			err = no("cannot be made")
		}
		return err
	case t.Type == wire.TransformKE:
		if t.ID == wire.KENone && p == wire.ProtocolESP || CanExchange(wire.KEMethod(t.ID)) {
			return nil
		}
	case t.Type == wire.TransformESN && p == wire.ProtocolESP:
		if t.ID == wire.ESNNo || t.ID == wire.ESNYes {
			return nil
		}
	case t.Type.KeyExchange() && t.ID == wire.KENone:
		return nil
	}
	return no("not supported")
}
