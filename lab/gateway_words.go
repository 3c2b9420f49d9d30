package lab

import (
	"fmt"
	"slices"
	"strings"

	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// dialect is how a daemon calls transforms.
type dialect struct {
	software Software
	// encr is told the keyword of strongSwan without its key length, and the
	// length in bits, 0 for none.
	encr func(id uint16, bits int) string
	// childOnly are ciphers that it takes for a child and for no IKE SA.
	childOnly []uint16
	prf       map[uint16]string
	// integ and group are by transform id.
	integ, group map[uint16]string
}

// words gives the transforms of one type in a dialect.
func (d *dialect) words(p wire.ProtocolID, ts []wire.Transform, typ wire.TransformType) ([]string, error) {
	var list []string
	for i := range ts {
		t := &ts[i]
		if t.Type != typ {
			continue
		}
		var w string
		switch typ {
		case wire.TransformEncr:
			if p == wire.ProtocolIKE && slices.Contains(d.childOnly, t.ID) {
				return nil, fmt.Errorf("%w: %s takes %s for a child only", ErrNoOrder, d.software, t.Keyword())
			}
			w = d.encr(t.ID, t.KeyLength())
		case wire.TransformPRF:
			w = d.prf[t.ID]
		case wire.TransformInteg:
			w = d.integ[t.ID]
		case wire.TransformKE:
			w = d.group[t.ID]
		}
		if w == "" {
			return nil, fmt.Errorf("%w: %s does not know %s", ErrNoOrder, d.software, t.Keyword())
		}
		list = append(list, w)
	}
	return list, nil
}

// proposal is one proposal in a dialect, by type of transform.
type proposal struct{ encr, prf, integ, group []string }

func (d *dialect) proposal(p wire.ProtocolID, text string) (proposal, error) {
	ts, err := wire.ParseProposal(p, text)
	if err != nil {
		return proposal{}, err
	}
	var out proposal
	for _, part := range []struct {
		typ wire.TransformType
		to  *[]string
	}{{wire.TransformEncr, &out.encr}, {wire.TransformPRF, &out.prf}, {wire.TransformInteg, &out.integ}, {wire.TransformKE, &out.group}} {
		if *part.to, err = d.words(p, ts, part.typ); err != nil {
			return proposal{}, err
		}
	}
	return out, nil
}

// libreswanDialect is ipsec.conf's. Groups have the numbers of the registry.
var libreswanDialect = dialect{
	software: Libreswan,
	encr: func(id uint16, bits int) string {
		name := map[uint16]string{
			wire.EncrAESCBC: "aes", wire.EncrAESCTR: "aes_ctr", wire.Encr3DES: "3des", wire.EncrChaCha20Poly1305: "chacha20_poly1305",
			wire.EncrAESGCM8: "aes_gcm_a", wire.EncrAESGCM12: "aes_gcm_b", wire.EncrAESGCM16: "aes_gcm",
			wire.EncrAESCCM8: "aes_ccm_a", wire.EncrAESCCM12: "aes_ccm_b", wire.EncrAESCCM16: "aes_ccm",
			wire.EncrNull: "null", wire.EncrCamelliaCBC: "camellia", wire.EncrNullAuthAESGMAC: "null_auth_aes_gmac",
		}[id]
		if name == "" || bits == 0 {
			return name
		}
		return fmt.Sprintf("%s%d", name, bits)
	},
	prf: map[uint16]string{wire.PRFHMACMD5: "md5", wire.PRFHMACSHA1: "sha1", wire.PRFHMACSHA256: "sha2_256",
		wire.PRFHMACSHA384: "sha2_384", wire.PRFHMACSHA512: "sha2_512", wire.PRFAES128XCBC: "aes_xcbc"},
	integ: map[uint16]string{wire.IntegMD5_96: "md5", wire.IntegSHA1_96: "sha1", wire.IntegSHA256128: "sha2_256",
		wire.IntegSHA384192: "sha2_384", wire.IntegSHA512256: "sha2_512", wire.IntegAESXCBC96: "aes_xcbc", wire.IntegAESCMAC96: "aes_cmac"},
	group: map[uint16]string{wire.KEModp1536: "dh5", wire.KEModp2048: "dh14", wire.KEModp3072: "dh15", wire.KEModp4096: "dh16",
		wire.KEModp6144: "dh17", wire.KEModp8192: "dh18", wire.KEECP256: "dh19", wire.KEECP384: "dh20", wire.KEECP521: "dh21",
		wire.KECurve25519: "dh31"},
}

// libreswanProposals writes proposals as ipsec.conf has them:
// "aes_gcm256-sha2_256;dh19,aes128-sha2_256;dh14".
func libreswanProposals(p wire.ProtocolID, texts []string) (string, error) {
	var all []string
	for _, text := range texts {
		w, err := libreswanDialect.proposal(p, text)
		if err != nil {
			return "", err
		}
		s := strings.Join(w.encr, "+")
		integ, prf := strings.Join(w.integ, "+"), strings.Join(w.prf, "+")
		switch {
		case integ == "" && prf == "":
		case integ == "":
			s += "-" + prf
		case prf == "" || prf == integ:
			s += "-" + integ
		default:
			s += "-" + integ + "-" + prf
		}
		if len(w.group) > 0 {
			s += ";" + strings.Join(w.group, "+")
		}
		all = append(all, s)
	}
	return strings.Join(all, ","), nil
}

// ikedDialect is iked.conf's.
var ikedDialect = dialect{
	software: OpenIKED,
	encr: func(id uint16, bits int) string {
		switch id {
		case wire.Encr3DES:
			return "3des"
		case wire.EncrChaCha20Poly1305:
			return "chacha20-poly1305"
		case wire.EncrNull:
			return "null"
		}
		form := map[uint16]string{wire.EncrAESCBC: "aes-%d", wire.EncrAESCTR: "aes-%d-ctr", wire.EncrAESGCM16: "aes-%d-gcm",
			wire.EncrAESGCM12: "aes-%d-gcm-12", wire.EncrNullAuthAESGMAC: "aes-%d-gmac"}[id]
		if form == "" {
			return ""
		}
		return fmt.Sprintf(form, bits)
	},
	childOnly: []uint16{wire.EncrChaCha20Poly1305, wire.EncrAESCTR, wire.EncrNull, wire.EncrNullAuthAESGMAC},
	prf: map[uint16]string{wire.PRFHMACMD5: "hmac-md5", wire.PRFHMACSHA1: "hmac-sha1", wire.PRFHMACSHA256: "hmac-sha2-256",
		wire.PRFHMACSHA384: "hmac-sha2-384", wire.PRFHMACSHA512: "hmac-sha2-512"},
	integ: map[uint16]string{wire.IntegMD5_96: "hmac-md5", wire.IntegSHA1_96: "hmac-sha1", wire.IntegSHA256128: "hmac-sha2-256",
		wire.IntegSHA384192: "hmac-sha2-384", wire.IntegSHA512256: "hmac-sha2-512"},
	group: map[uint16]string{wire.KEModp768: "modp768", wire.KEModp1024: "modp1024", wire.KEModp1536: "modp1536", wire.KEModp2048: "modp2048",
		wire.KEModp3072: "modp3072", wire.KEModp4096: "modp4096", wire.KEModp6144: "modp6144", wire.KEModp8192: "modp8192",
		wire.KEECP192: "ecp192", wire.KEECP224: "ecp224", wire.KEECP256: "ecp256", wire.KEECP384: "ecp384", wire.KEECP521: "ecp521",
		wire.KEBrainpoolP224: "brainpool224", wire.KEBrainpoolP256: "brainpool256", wire.KEBrainpoolP384: "brainpool384",
		wire.KEBrainpoolP512: "brainpool512", wire.KECurve25519: "curve25519"},
}

// ikedProposals writes proposals as iked.conf has them, each after a word of
// its own: "ikesa enc aes-256 prf hmac-sha2-256 auth hmac-sha2-256 group
// ecp256".
func ikedProposals(p wire.ProtocolID, texts []string) (string, error) {
	word := "ikesa"
	if p == wire.ProtocolESP {
		word = "childsa"
	}
	var b strings.Builder
	for _, text := range texts {
		w, err := ikedDialect.proposal(p, text)
		if err != nil {
			return "", err
		}
		b.WriteString(" " + word)
		for _, part := range []struct {
			word string
			list []string
		}{{"enc", w.encr}, {"prf", w.prf}, {"auth", w.integ}, {"group", w.group}} {
			for _, v := range part.list {
				b.WriteString(" " + part.word + " " + v)
			}
		}
	}
	return b.String(), nil
}

// Speaks says which algorithm of proposals a gateway's software has no word
// for, by an error that wraps ErrNoOrder; nil where it has all.
func Speaks(software Software, ikeTexts, espTexts []string) error {
	write := libreswanProposals
	switch software {
	case StrongSwan:
		return nil
	case OpenIKED:
		write = ikedProposals
	}
	if _, err := write(wire.ProtocolIKE, ikeTexts); err != nil {
		return err
	}
	_, err := write(wire.ProtocolESP, espTexts)
	return err
}
