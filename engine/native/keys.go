package native

import (
	"fmt"

	"github.com/cloudvlan/cvlanctl/engine/ike"
	"github.com/cloudvlan/cvlanctl/engine/suite"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// KeyLog is told the keys of SAs, once each, because the operator asked for
// them. It is called on the engine's goroutine. The keys belong to others and
// are wiped in time: it copies what it keeps.
type KeyLog interface {
	IKE(initiator, responder wire.SPI, t suite.IKETransforms, k *suite.IKEKeys) error
	// ESP is told a CHILD SA: an Update of the kind Install.
	ESP(u *ike.Update) error
}

// keys tells a KeyLog what is new.
type keys struct {
	log    KeyLog
	known  map[wire.SPI]bool // by the SPI of this side
	failed bool
}

// note tells the keys that a step has made. That this fails is said once, until
// it succeeds again.
func (k *keys) note(e *ike.Endpoint, o *ike.Output) error {
	var err error
	told := false
	for _, s := range e.SAs() {
		t, have := s.Keys()
		if have == nil || k.known[s.LocalSPI()] {
			continue
		}
		k.known[s.LocalSPI()] = true
		i, r := s.SPIs()
		told, err = true, first(err, k.log.IKE(i, r, t, have))
	}
	for i := range o.Updates {
		if o.Updates[i].Kind == ike.Install {
			told, err = true, first(err, k.log.ESP(&o.Updates[i]))
		}
	}
	if len(k.known) > 2*e.Held().SAs+64 {
		for spi := range k.known {
			if e.Find(spi) == nil {
				delete(k.known, spi)
			}
		}
	}
	if !told || err != nil && k.failed {
		return nil
	}
	k.failed = err != nil
	if err != nil {
		return fmt.Errorf("key log: %w", err)
	}
	return nil
}

func first(a, b error) error {
	if a != nil {
		return a
	}
	return b
}
