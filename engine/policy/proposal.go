package policy

import (
	"slices"
	"strings"
	"sync"

	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// Proposal is one set of algorithms to offer or accept.
type Proposal struct {
	// Text is the proposal in swanctl's spelling, as the file has it.
	Text string
	// Transforms are what it says, with what swanctl takes for granted: ready
	// for the wire.
	Transforms []wire.Transform
	// Line is where the policy file has it, from 1; 0 where no file does.
	Line int
}

// someKeywords are offered where a keyword is not known.
var someKeywords = sync.OnceValue(func() []string {
	words := []string{"chacha20poly1305", "3des", "null", "sha1", "sha256", "sha384", "sha512", "aesxcbc", "aescmac", "md5",
		"prfsha1", "prfsha256", "prfsha384", "prfsha512", "prfaesxcbc", "prfaescmac",
		"ecp256", "ecp384", "ecp521", "curve25519", "x25519", "curve448", "ecp256bp", "ecp384bp", "ecp512bp",
		"modp1024", "modp1536", "modp2048", "modp3072", "modp4096", "modp6144", "modp8192",
		"mlkem512", "mlkem768", "mlkem1024", "esn", "noesn"}
	for _, bits := range []string{"128", "192", "256"} {
		words = append(words, "aes"+bits)
		for _, mode := range []string{"gcm16", "gcm12", "gcm8", "ccm16", "ccm12", "ccm8", "ctr", "gmac"} {
			words = append(words, "aes"+bits+mode)
		}
	}
	return words
})

// weak are keywords that still work and should not be used, and why. Values
// are compared by what the keyword means, so that aliases count too.
var weak = []struct {
	typ wire.TransformType
	id  uint16
	why string
}{
	{wire.TransformEncr, wire.EncrNull, "encrypts nothing"},
	{wire.TransformEncr, wire.EncrDES, "has a key of 56 bits"},
	{wire.TransformEncr, wire.Encr3DES, "has blocks of 64 bits (RFC 8221 5)"},
	{wire.TransformEncr, wire.EncrCAST, "has blocks of 64 bits (RFC 8221 5)"},
	{wire.TransformEncr, wire.EncrBlowfish, "has blocks of 64 bits (RFC 8221 5)"},
	{wire.TransformEncr, wire.EncrNullAuthAESGMAC, "encrypts nothing"},
	{wire.TransformInteg, wire.IntegMD5_96, "rests on MD5 (RFC 8221 6)"},
	{wire.TransformInteg, wire.IntegMD5_128, "rests on MD5 (RFC 8221 6)"},
	{wire.TransformInteg, wire.IntegSHA1_96, "rests on SHA-1 (RFC 8247 2.3)"},
	{wire.TransformInteg, wire.IntegSHA1_160, "rests on SHA-1 (RFC 8247 2.3)"},
	{wire.TransformPRF, wire.PRFHMACMD5, "rests on MD5 (RFC 8247 2.2)"},
	{wire.TransformPRF, wire.PRFHMACSHA1, "rests on SHA-1 (RFC 8247 2.2)"},
	{wire.TransformKE, wire.KEModp768, "can be broken (RFC 8247 2.4)"},
	{wire.TransformKE, wire.KEModp1024, "can be broken (RFC 8247 2.4)"},
	{wire.TransformKE, wire.KEModp1536, "is too short (RFC 8247 2.4)"},
	{wire.TransformKE, wire.KEModp1024s160, "can be broken (RFC 8247 2.4)"},
	{wire.TransformKE, wire.KEModp2048s224, "has a small subgroup (RFC 8247 2.4)"},
	{wire.TransformKE, wire.KEModp2048s256, "has a small subgroup (RFC 8247 2.4)"},
	{wire.TransformKE, wire.KEECP192, "is too short"},
	{wire.TransformKE, wire.KEECP224, "is too short"},
}

func checkIKEProposal(r *report, n *node, path string) bool {
	return checkProposal(wire.ProtocolIKE, r, n, path)
}

func checkESPProposal(r *report, n *node, path string) bool {
	return checkProposal(wire.ProtocolESP, r, n, path)
}

// checkProposal points at the word that is not known or is weak, and at the
// whole where the words do not go together.
func checkProposal(p wire.ProtocolID, r *report, n *node, path string) bool {
	ok, offset := true, 0
	for _, word := range strings.Split(n.text, "-") {
		t, known := wire.ParseKeyword(word)
		if !known {
			ok = false
			r.at(n.char(offset), Error, "unknown-algorithm", path, "%s is no algorithm%s", quoted(word), didYouMean(strings.ToLower(word), someKeywords()))
		}
		for _, w := range weak {
			// A hash in an AEAD's proposal for IKE stands for the PRF alone.
			if known && w.typ == t.Type && w.id == t.ID {
				r.at(n.char(offset), Warning, "weak-algorithm", path, "%s %s", word, w.why)
			}
		}
		offset += len(word) + 1
	}
	if !ok {
		return false
	}
	if _, err := wire.ParseProposal(p, n.text); err != nil {
		hint := ""
		if strings.Contains(err.Error(), "no pseudorandom function") {
			hint = "; an AEAD cipher brings no PRF with it: add prfsha256"
		}
		r.at(n, Error, "bad-proposal", path, "%v%s", err, hint)
		return false
	}
	checkUsable(p, r, n, path)
	return true
}

// checkUsable points at the words that our own engine knows by name only.
func checkUsable(p wire.ProtocolID, r *report, n *node, path string) {
	kept, lacks := parseProposals(p, []string{n.text})[0].Usable(p)
	outcome := "it leaves this out of the proposal"
	if kept == nil {
		outcome = "it cannot use the proposal"
	}
	offset := 0
	for _, word := range strings.Split(n.text, "-") {
		if i := slices.IndexFunc(lacks, func(l Lack) bool { return l.is(word) }); i >= 0 {
			r.at(n.char(offset), Warning, "engine-lacks", path, "%s, so %s", lacks[i], outcome)
		}
		offset += len(word) + 1
	}
}

// parseProposals reads proposals that checkProposal has passed.
func parseProposals(p wire.ProtocolID, texts []string) []Proposal {
	var all []Proposal
	for _, s := range texts {
		if ts, err := wire.ParseProposal(p, s); err == nil {
			all = append(all, Proposal{Text: strings.ToLower(s), Transforms: ts})
		}
	}
	return slices.Clip(all)
}
