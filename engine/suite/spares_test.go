package suite

import (
	"bytes"
	"crypto/ecdh"
	"crypto/rand"
	"errors"
	"testing"

	"github.com/cloudvlan/cvlanctl/engine/wire"
)

func TestAKeyMadeAheadIsGivenOutOnce(t *testing.T) {
	var s Spares
	if s.Make() {
		t.Error("a key is made that nobody wants")
	}
	s.Want(wire.KECurve25519)
	s.Want(wire.KEECP256)
	s.Want(wire.KEModp2048) // takes too long
	made := 0
	for s.Make() {
		made++
	}
	if made != 2*maxSpares {
		t.Errorf("%d keys are made ahead", made)
	}
	seen := map[string]bool{}
	for _, m := range []wire.KEMethod{wire.KECurve25519, wire.KEECP256, wire.KEModp2048} {
		for range maxSpares + 2 { // the last two were not there
			k, err := s.Take(m)
			if err != nil {
				t.Fatal(err)
			}
			if k.Method() != m || seen[string(k.Public())] {
				t.Errorf("a key of %s is given out a second time, or instead of one of %s", k.Method(), m)
			}
			seen[string(k.Public())] = true
		}
	}
	if k, err := (*Spares)(nil).Take(wire.KECurve25519); err != nil || k == nil {
		t.Errorf("without spares: %v, %v", k, err)
	}
}

func TestAnAnswerThatGoesFirstAgreesWithThePeer(t *testing.T) {
	for _, m := range []wire.KEMethod{wire.KECurve25519, wire.KEECP256, wire.KEECP384, wire.KEECP521, wire.KEModp2048, wire.KEMLKEM768} {
		var s Spares
		s.Want(m)
		s.Make()
		peer, err := NewKeyExchange(m)
		if err != nil {
			t.Fatal(err)
		}
		public, shared, err := RespondFirst(&s, m, peer.Public())
		if err != nil {
			t.Fatal(m, err)
		}
		ours, err := shared()
		if err != nil {
			t.Fatal(m, err)
		}
		theirs, err := peer.Shared(public)
		if err != nil || !ours.Equal(theirs) {
			t.Errorf("%s: the secrets differ: %v", m, err)
		}
		var bad *KeyError
		if _, _, err := RespondFirst(&s, m, make([]byte, len(peer.Public())-1)); !errors.As(err, &bad) {
			t.Errorf("%s: a value too short: %v", m, err)
		}
	}
}

func TestValuesOfLowOrderAreKnownBeforehand(t *testing.T) {
	k, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, low := range lowOrders {
		for _, top := range []byte{0, 0x80} {
			v := bytes.Clone(low)
			v[31] |= top
			p, err := ecdh.X25519().NewPublicKey(v)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := k.ECDH(p); err == nil {
				t.Errorf("%x leads to a secret", v)
			}
			var bad *KeyError
			if _, _, err := RespondFirst(nil, wire.KECurve25519, v); !errors.As(err, &bad) {
				t.Errorf("%x is let through: %v", v, err)
			}
		}
	}
	if lowOrder(k.PublicKey().Bytes()) {
		t.Error("an honest value is taken for one of low order")
	}
}
