package keylog

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/cloudvlan/cvlanctl/engine/suite"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

func hexOctet(hi, lo byte) (byte, bool) {
	var out [1]byte
	_, err := hex.Decode(out[:], []byte{hi, lo})
	return out[0], err == nil
}

// spi reads an IKE SPI or cookie: eight octets in hexadecimal.
func spi(what, s string) (wire.SPI, error) {
	s, _ = cutHexMark(s)
	n, err := strconv.ParseUint(s, 16, 64)
	if err != nil || len(s) != 16 {
		return 0, fmt.Errorf("%s %s must be 16 hexadecimal digits", what, shown(s))
	}
	return wire.SPI(n), nil
}

// hexKey reads a key in hexadecimal, with 0x or without. Its errors do not
// repeat it.
func hexKey(what, s string) (suite.Secret, error) {
	s, _ = cutHexMark(s)
	if len(s) > 2*maxKey {
		return suite.Secret{}, fmt.Errorf("%s is longer than %d octets", what, maxKey)
	}
	b, err := hex.DecodeString(s)
	switch {
	case errors.Is(err, hex.ErrLength):
		return suite.Secret{}, fmt.Errorf("%s has %d hexadecimal digits, an odd number", what, len(s))
	case err != nil:
		return suite.Secret{}, fmt.Errorf("%s has a character that is no hexadecimal digit", what)
	}
	return suite.NewSecret(b), nil
}

// wantKey checks the length of a key.
func wantKey(what string, k suite.Secret, want int, algorithm string) error {
	if k.Len() != want {
		return fmt.Errorf("%s has %d octets, but %s takes %d", what, k.Len(), algorithm, want)
	}
	return nil
}

func (t *Tables) rowIKEv1(row []string) error {
	if len(row) < 2 {
		return fmt.Errorf("%d fields where %s has 2: cookie,key", len(row), TableIKEv1)
	}
	cookie, err := spi("initiator's cookie", row[0])
	if err != nil {
		return err
	}
	key, err := hexKey("encryption key", row[1])
	if err != nil {
		return err
	}
	if key.Len() == 0 {
		return errors.New("encryption key is empty")
	}
	t.AddIKEv1(IKEv1SA{cookie, key})
	return nil
}

func (t *Tables) rowIKEv2(row []string) error {
	if len(row) < 8 {
		return fmt.Errorf("%d fields where %s has 8: SPIi,SPIr,SK_ei,SK_er,encryption,SK_ai,SK_ar,integrity", len(row), TableIKEv2)
	}
	var sa IKEv2SA
	var err error
	if sa.InitiatorSPI, err = spi("initiator's SPI", row[0]); err != nil {
		return err
	}
	if sa.ResponderSPI, err = spi("responder's SPI", row[1]); err != nil {
		return err
	}
	encr, err := named(ikev2Encr, "encryption", row[4])
	if err != nil {
		return err
	}
	integ, err := named(ikev2Integ, "integrity", row[7])
	if err != nil {
		return err
	}
	sa.EncrID, sa.EncrBits, sa.IntegID = encr.id, encr.bits, integ.id
	if suite.AEAD(encr.id) {
		// Wireshark takes any integrity algorithm here and leaves it unused.
		sa.IntegID = wire.IntegNone
	}
	encrLen, integLen, err := suite.KeyLengths(sa.EncrID, sa.EncrBits, sa.IntegID)
	if err != nil {
		return err
	}
	for _, k := range []struct {
		what, text, algorithm string
		key                   *suite.Secret
		length                int
	}{
		{"SK_ei", row[2], encr.name, &sa.EI, encrLen},
		{"SK_er", row[3], encr.name, &sa.ER, encrLen},
		{"SK_ai", row[5], integ.name, &sa.AI, integLen},
		{"SK_ar", row[6], integ.name, &sa.AR, integLen},
	} {
		if *k.key, err = hexKey(k.what, k.text); err != nil {
			return err
		}
		if suite.AEAD(encr.id) && k.algorithm == integ.name {
			*k.key = suite.Secret{}
			continue
		}
		if err := wantKey(k.what, *k.key, k.length, k.algorithm); err != nil {
			return err
		}
	}
	t.AddIKEv2(sa)
	return nil
}

func (t *Tables) rowESP(row []string) error {
	if len(row) < 8 {
		return fmt.Errorf("%d fields where %s has at least 8: family,source,destination,SPI,encryption,key,integrity,key", len(row), TableESP)
	}
	var sa ESPSA
	var v6 bool
	switch strings.ToUpper(row[0]) {
	case "IPV4":
	case "IPV6":
		v6 = true
	default:
		return fmt.Errorf("address family %s; known are \"IPv4\", \"IPv6\"", shown(row[0]))
	}
	var err error
	if sa.Src, err = ParseAddrPattern(row[1], v6); err != nil {
		return fmt.Errorf("source %s: %w", shown(row[1]), err)
	}
	if sa.Dst, err = ParseAddrPattern(row[2], v6); err != nil {
		return fmt.Errorf("destination %s: %w", shown(row[2]), err)
	}
	if sa.SPI, err = ParseSPIPattern(row[3]); err != nil {
		return fmt.Errorf("SPI %s: %w", shown(row[3]), err)
	}
	encr, err := named(espEncr, "encryption", row[4])
	if err != nil {
		return err
	}
	integ, err := named(espInteg, "integrity", row[6])
	if err != nil {
		return err
	}
	sa.EncrID, sa.IntegID = encr.id, integ.id
	if encr.name == gcmPlain {
		switch integ.id {
		case suite.IntegUnchecked + 8:
			sa.EncrID = wire.EncrAESGCM8
		case suite.IntegUnchecked + 12:
			sa.EncrID = wire.EncrAESGCM12
		}
	}
	if suite.AEAD(sa.EncrID) {
		sa.IntegID = wire.IntegNone
	}
	if sa.Key, sa.EncrBits, err = encrKey(encr.name, sa.EncrID, row[5]); err != nil {
		return err
	}
	if sa.AuthKey, err = integKey(integ.name, sa.IntegID, row[7]); err != nil {
		return err
	}
	if err := sequence(&sa, row[8:]); err != nil {
		return err
	}
	t.AddESP(sa)
	return nil
}

// sequence reads the columns that Wireshark has added for extended sequence
// numbers: "32-bit" or "64-bit", and the high half in hexadecimal.
func sequence(sa *ESPSA, columns []string) error {
	if len(columns) == 0 {
		return nil
	}
	switch columns[0] {
	case "", "32-bit":
		return nil
	case "64-bit":
		sa.ESN = true
	default:
		return fmt.Errorf(`sequence number length %s; known are "32-bit", "64-bit"`, shown(columns[0]))
	}
	if len(columns) > 1 && columns[1] != "" {
		digits, _ := cutHexMark(columns[1])
		n, err := strconv.ParseUint(digits, 16, 32)
		if err != nil {
			return fmt.Errorf("high half of the sequence number %s must be up to 8 hexadecimal digits", shown(columns[1]))
		}
		sa.High = uint32(n)
	}
	return nil
}

// encrKey reads an ESP encryption key, whose length tells the key length of
// algorithms that have several.
func encrKey(name string, id uint16, s string) (suite.Secret, int, error) {
	var lengths []string
	var readings []suite.Secret
	supported := false
	for _, bits := range []int{0, 128, 192, 256} {
		want, _, err := suite.KeyLengths(id, bits, wire.IntegNone)
		if err != nil {
			continue
		}
		supported = true
		if readings == nil {
			if readings, err = espKey("encryption key", s); err != nil {
				return suite.Secret{}, 0, err
			}
		}
		for _, k := range readings {
			if k.Len() == want {
				return k, bits, nil
			}
		}
		lengths = append(lengths, strconv.Itoa(want))
		if bits == 0 {
			break // there is but one length
		}
	}
	if !supported {
		// Named by Wireshark, but not here: making a cipher of it says so.
		k, err := espKey("encryption key", s)
		if err != nil {
			return suite.Secret{}, 0, err
		}
		return k[0], 8 * k[0].Len(), nil
	}
	return suite.Secret{}, 0, fmt.Errorf("encryption key has %d octets, but %s takes %s", readings[0].Len(), name, strings.Join(lengths, ", "))
}

func integKey(name string, id uint16, s string) (suite.Secret, error) {
	_, want, err := suite.KeyLengths(wire.EncrNull, 0, id)
	if err != nil {
		return suite.Secret{}, err
	}
	readings, err := espKey("integrity key", s)
	if err != nil {
		return suite.Secret{}, err
	}
	if want == 0 { // none is used: an AEAD, or an unknown algorithm
		return suite.Secret{}, nil
	}
	for _, k := range readings {
		if k.Len() == want {
			return k, nil
		}
	}
	return suite.Secret{}, wantKey("integrity key", readings[0], want, name)
}

// espKey gives the ways to read a key of esp_sa, never none. Behind 0x it is
// hexadecimal. Without, Wireshark takes the characters themselves as the key;
// as that is seldom meant, hexadecimal is preferred where the length fits.
func espKey(what, s string) ([]suite.Secret, error) {
	if _, marked := cutHexMark(s); marked || s == "" {
		k, err := hexKey(what, s)
		return []suite.Secret{k}, err
	}
	if len(s) > 2*maxKey {
		return nil, fmt.Errorf("%s is longer than %d octets", what, maxKey)
	}
	readings := []suite.Secret{suite.NewSecret([]byte(s))}
	if k, err := hexKey(what, s); err == nil {
		readings = []suite.Secret{k, readings[0]}
	}
	return readings, nil
}
