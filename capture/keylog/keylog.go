// Package keylog reads and writes key tables in Wireshark's formats, the files
// of a Wireshark profile folder:
//
//	ikev2_decryption_table  SPIi,SPIr,SK_ei,SK_er,"encryption",SK_ai,SK_ar,"integrity"
//	ikev1_decryption_table  initiator's cookie,encryption key
//	esp_sa                  "IPv4","source","destination","SPI","encryption","key","integrity","key"[,"64-bit","high half"]
//
// Contract: Load takes folders and files, names the file and line of whatever
// it cannot read, and bounds every size. Algorithms are spelled as Wireshark
// spells them, case and punctuation aside; ChaCha20-Poly1305 and AES-CCM for
// ESP, which Wireshark 4.0 lacks, have names in the same style. Neither an
// error nor any printed form of what is here contains a key.
package keylog

import (
	"net/netip"

	"github.com/cloudvlan/cvlanctl/engine/suite"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// The names of the tables, as files of a Wireshark profile.
const (
	TableIKEv1 = "ikev1_decryption_table"
	TableIKEv2 = "ikev2_decryption_table"
	TableESP   = "esp_sa"
)

// IKEv2SA holds the keys of an IKEv2 SA.
type IKEv2SA struct {
	InitiatorSPI wire.SPI
	ResponderSPI wire.SPI

	EncrID   uint16 // transform ids
	EncrBits int    // key length, 0 where the algorithm has only one
	IntegID  uint16

	EI, ER suite.Secret // SK_ei and SK_er, salt included
	AI, AR suite.Secret // SK_ai and SK_ar, empty for an AEAD
}

// Ciphers makes the ciphers of the messages that the original initiator and
// the original responder send.
func (k *IKEv2SA) Ciphers() (initiator, responder *suite.IKECipher, err error) {
	if initiator, err = suite.NewIKE(k.EncrID, k.EncrBits, k.IntegID, k.EI, k.AI); err != nil {
		return nil, nil, err
	}
	if responder, err = suite.NewIKE(k.EncrID, k.EncrBits, k.IntegID, k.ER, k.AR); err != nil {
		return nil, nil, err
	}
	return initiator, responder, nil
}

// IKEv1SA holds the encryption key of an ISAKMP SA.
type IKEv1SA struct {
	Cookie wire.SPI // the initiator's
	Key    suite.Secret
}

// ESPSA holds the keys of one ESP SA, or of all that its patterns match.
type ESPSA struct {
	Src, Dst AddrPattern
	SPI      SPIPattern

	EncrID   uint16 // transform ids
	EncrBits int    // key length, 0 where the algorithm has only one
	IntegID  uint16 // may be one of suite's private ones

	Key     suite.Secret // salt included
	AuthKey suite.Secret // empty for an AEAD

	ESN  bool   // sequence numbers have 64 bits; false also where the table does not say
	High uint32 // the high half of the first sequence number, with ESN
}

// Cipher makes the cipher of the SA.
func (k *ESPSA) Cipher() (*suite.ESPCipher, error) {
	return suite.NewESP(k.EncrID, k.EncrBits, k.IntegID, k.Key, k.AuthKey, k.ESN)
}

// Tables is a set of keys. Reading it is safe for concurrent use, adding to it
// is not. The zero value is empty and ready.
type Tables struct {
	ikev2 map[[2]wire.SPI]*IKEv2SA
	ikev1 map[wire.SPI]*IKEv1SA
	// In order of the tables, for Write.
	ikev2Rows []*IKEv2SA
	ikev1Rows []*IKEv1SA
	espRows   []*ESPSA

	espExact map[wire.ESPSPI][]int // indexes of espRows
	espWild  []int
}

// IKEv2 finds the keys of an IKEv2 SA; of several rows the last one counts. It
// gives nil where there are none.
func (t *Tables) IKEv2(initiator, responder wire.SPI) *IKEv2SA {
	return t.ikev2[[2]wire.SPI{initiator, responder}]
}

// IKEv1 finds the key of an ISAKMP SA by its initiator's cookie; of several
// rows the last one counts. It gives nil where there is none.
func (t *Tables) IKEv1(cookie wire.SPI) *IKEv1SA { return t.ikev1[cookie] }

// ESP finds the keys that may open the ESP packets of an SA, in order of the
// table: several where patterns overlap or an SPI was used twice.
func (t *Tables) ESP(src, dst netip.Addr, spi wire.ESPSPI) []*ESPSA {
	src, dst = src.Unmap(), dst.Unmap()
	exact, wild := t.espExact[spi], t.espWild
	var found []*ESPSA
	for len(exact)+len(wild) > 0 {
		next := &exact
		if len(exact) == 0 || len(wild) > 0 && wild[0] < exact[0] {
			next = &wild
		}
		sa := t.espRows[(*next)[0]]
		*next = (*next)[1:]
		if sa.SPI.Matches(spi) && sa.Src.Matches(src) && sa.Dst.Matches(dst) {
			found = append(found, sa)
		}
	}
	return found
}

// Len gives how many rows there are in each table.
func (t *Tables) Len() (ikev2, ikev1, esp int) {
	return len(t.ikev2Rows), len(t.ikev1Rows), len(t.espRows)
}

// AddIKEv2 adds the keys of an IKEv2 SA.
func (t *Tables) AddIKEv2(sa IKEv2SA) {
	if t.ikev2 == nil {
		t.ikev2 = map[[2]wire.SPI]*IKEv2SA{}
	}
	t.ikev2[[2]wire.SPI{sa.InitiatorSPI, sa.ResponderSPI}] = &sa
	t.ikev2Rows = append(t.ikev2Rows, &sa)
}

// AddIKEv1 adds the key of an ISAKMP SA.
func (t *Tables) AddIKEv1(sa IKEv1SA) {
	if t.ikev1 == nil {
		t.ikev1 = map[wire.SPI]*IKEv1SA{}
	}
	t.ikev1[sa.Cookie] = &sa
	t.ikev1Rows = append(t.ikev1Rows, &sa)
}

// AddESP adds the keys of an ESP SA.
func (t *Tables) AddESP(sa ESPSA) {
	i := len(t.espRows)
	t.espRows = append(t.espRows, &sa)
	if spi, ok := sa.SPI.Exact(); ok {
		if t.espExact == nil {
			t.espExact = map[wire.ESPSPI][]int{}
		}
		t.espExact[spi] = append(t.espExact[spi], i)
	} else {
		t.espWild = append(t.espWild, i)
	}
}
