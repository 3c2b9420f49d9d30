package rule

import (
	"fmt"
	"strings"

	"github.com/cloudvlan/cvlanctl/diag"
	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/trace"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

var cryptoRules = []diag.Rule{{
	ID:    "weak-crypto-negotiated",
	Needs: []string{"IKE_SA_INIT response", "with keys: IKE_AUTH and CREATE_CHILD_SA responses, for ESP"},
	Find:  weakCrypto,
}}

// weakness is one algorithm that should not be used.
type weakness struct {
	severity diag.Severity
	what     string
}

func weakCrypto(f *diag.Facts) []diag.Finding {
	var found []diag.Finding
	for _, sa := range v2(f) {
		list := weakIKE(sa.Suite)
		seen := map[string]bool{}
		for _, c := range sa.Children {
			if c.Suite.Keyword != "" && !seen[c.Suite.Keyword] {
				seen[c.Suite.Keyword] = true
				list = append(list, weakESP(c.Suite)...)
			}
		}
		if len(list) == 0 {
			continue
		}
		d := about(sa)
		d.Confidence = diag.Certain
		d.Severity = diag.Info
		var texts []string
		for _, w := range list {
			d.Severity = min(d.Severity, w.severity)
		}
		for _, w := range list {
			// What is merely on its way out is not worth a line beside what
			// is forbidden.
			if w.severity < diag.Info || d.Severity == diag.Info {
				texts = append(texts, w.what)
			}
		}
		if x := sa.Init; x != nil && x.Response != nil && sa.Suite.Keyword != "" {
			d.Evidence = append(d.Evidence, at(x.Response, "IKE: %s", sa.Suite.Keyword))
		}
		if m := childResponse(sa); m != nil && len(sa.Children) > 0 {
			for k := range seen {
				d.Evidence = append(d.Evidence, at(m, "ESP: %s", k))
				break
			}
		}
		d.Summary = fmt.Sprintf("%s and %s use %s", sa.Local.Host, sa.Remote.Host, strings.Join(texts, "; "))
		d.Variant = d.Summary
		found = append(found, span(d))
	}
	return found
}

// childResponse gives the decrypted message in which the first CHILD SA was
// agreed, nil where none can be read.
func childResponse(sa *trace.IKESA) *trace.Message {
	for _, x := range sa.Exchanges {
		if x.Type != wire.ExchangeIKESAInit && x.Response != nil && proposals(x.Response) != nil {
			return x.Response
		}
	}
	return nil
}

// weakIKE judges an IKE suite by RFC 8247 and RFC 9395.
func weakIKE(s engine.Suite) []weakness {
	var list []weakness
	add := func(sev diag.Severity, format string, args ...any) {
		list = append(list, weakness{sev, "IKE " + fmt.Sprintf(format, args...)})
	}
	switch s.EncrID {
	case wire.EncrDES, wire.EncrDESIV64, wire.EncrDESIV32, wire.EncrRC5, wire.EncrIDEA, wire.EncrCAST, wire.EncrBlowfish, wire.Encr3IDEA:
		add(diag.Medium, "%s, which is deprecated", s.EncrAlg)
	case wire.EncrNull:
		add(diag.High, "without encryption (NULL), which RFC 8247 forbids")
	case wire.Encr3DES:
		add(diag.Low, "%s, optional in RFC 8247, with 64-bit blocks", s.EncrAlg)
	}
	switch s.PRFID {
	case wire.PRFHMACMD5, wire.PRFHMACTiger:
		add(diag.Medium, "%s, which is deprecated", s.PRFAlg)
	case wire.PRFHMACSHA1:
		add(diag.Info, "%s, which RFC 8247 expects to drop", s.PRFAlg)
	}
	list = append(list, weakInteg("IKE", s)...)
	return append(list, weakGroup("IKE", s)...)
}

// weakESP judges an ESP suite by RFC 8221 and RFC 9395.
func weakESP(s engine.Suite) []weakness {
	var list []weakness
	add := func(sev diag.Severity, format string, args ...any) {
		list = append(list, weakness{sev, "ESP " + fmt.Sprintf(format, args...)})
	}
	aead := false
	switch s.EncrID {
	case wire.EncrDES, wire.EncrDESIV64, wire.EncrDESIV32, wire.EncrRC5, wire.EncrIDEA, wire.EncrCAST, wire.EncrBlowfish, wire.Encr3IDEA:
		add(diag.Medium, "%s, which is deprecated", s.EncrAlg)
	case wire.Encr3DES:
		add(diag.Medium, "%s, which RFC 8221 advises against", s.EncrAlg)
	case wire.EncrNull:
		add(diag.Low, "without encryption (NULL): authenticated, readable by anyone")
	case wire.EncrAESCBC, wire.EncrAESCTR, wire.EncrCamelliaCBC, wire.EncrCamelliaCTR:
	default:
		aead = true // and whatever this package does not know
	}
	if !aead && s.IntegID == wire.IntegNone && s.EncrID != 0 {
		add(diag.High, "%s without integrity, which RFC 8221 forbids", s.EncrAlg)
	}
	list = append(list, weakInteg("ESP", s)...)
	return append(list, weakGroup("ESP", s)...)
}

func weakInteg(who string, s engine.Suite) []weakness {
	switch s.IntegID {
	case wire.IntegMD5_96, wire.IntegMD5_128, wire.IntegDESMAC, wire.IntegKPDKMD5, wire.IntegSHA1_160:
		return []weakness{{diag.Medium, fmt.Sprintf("%s %s, which is deprecated", who, s.IntegAlg)}}
	case wire.IntegSHA1_96:
		return []weakness{{diag.Info, fmt.Sprintf("%s %s, still allowed and expected to go", who, s.IntegAlg)}}
	}
	return nil
}

func weakGroup(who string, s engine.Suite) []weakness {
	switch s.DHID {
	case wire.KEModp768, wire.KEModp1024s160:
		return []weakness{{diag.Medium, fmt.Sprintf("%s group %d (%s), which RFC 8247 forbids", who, s.DHID, s.DHGroup)}}
	case wire.KEModp1024, wire.KEModp1536, wire.KEModp2048s224, wire.KEModp2048s256:
		return []weakness{{diag.Medium, fmt.Sprintf("%s group %d (%s), which RFC 8247 advises against", who, s.DHID, s.DHGroup)}}
	}
	return nil
}
