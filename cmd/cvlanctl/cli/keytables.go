package cli

import (
	"fmt"
	"net/netip"

	"github.com/cloudvlan/cvlanctl/capture/keylog"
	"github.com/cloudvlan/cvlanctl/engine/ike"
	"github.com/cloudvlan/cvlanctl/engine/suite"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// maxKeyRows bounds the key tables of one run, which are written whole each
// time.
const maxKeyRows = 10_000

// keyTables writes Wireshark's key tables of our own engine into a folder. It
// is a native.KeyLog.
type keyTables struct {
	dir    string
	tables keylog.Tables
}

// room says whether the tables take more.
func (k *keyTables) room() error {
	if v2, _, esp := k.tables.Len(); v2+esp >= maxKeyRows {
		return fmt.Errorf("the key tables in %s have %d rows, which is the most: later SAs are not written", k.dir, maxKeyRows)
	}
	return nil
}

// IKE writes the keys of an IKE SA.
func (k *keyTables) IKE(initiator, responder wire.SPI, t suite.IKETransforms, keys *suite.IKEKeys) error {
	if err := k.room(); err != nil {
		return err
	}
	k.tables.AddIKEv2(keylog.IKEv2SA{InitiatorSPI: initiator, ResponderSPI: responder,
		EncrID: t.EncrID, EncrBits: t.EncrBits, IntegID: t.IntegID,
		EI: kept(keys.EI), ER: kept(keys.ER), AI: kept(keys.AI), AR: kept(keys.AR)})
	return k.tables.Write(k.dir)
}

// ESP writes the keys of both directions of a CHILD SA.
func (k *keyTables) ESP(u *ike.Update) error {
	if err := k.room(); err != nil {
		return err
	}
	for _, one := range []struct {
		src, dst netip.Addr
		spi      wire.ESPSPI
		keys     ike.ESPKeys
	}{{u.Remote.Addr(), u.Local.Addr(), u.SPIs.In, u.In}, {u.Local.Addr(), u.Remote.Addr(), u.SPIs.Out, u.Out}} {
		k.tables.AddESP(keylog.ESPSA{Src: keylog.ExactAddr(one.src), Dst: keylog.ExactAddr(one.dst), SPI: keylog.ExactSPI(one.spi),
			EncrID: u.Transforms.EncrID, EncrBits: u.Transforms.EncrBits, IntegID: u.Transforms.IntegID,
			Key: kept(one.keys.Encr), AuthKey: kept(one.keys.Integ), ESN: u.Transforms.ESN})
	}
	return k.tables.Write(k.dir)
}

// kept copies a key, which its owner will wipe.
func kept(s suite.Secret) suite.Secret { return suite.NewSecret(s.Reveal()) }
