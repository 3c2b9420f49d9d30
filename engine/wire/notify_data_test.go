package wire

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestNotifyDataReadsAsNamedFields(t *testing.T) {
	want := map[NotifyType]string{
		NotifyInvalidKEPayload:           "accepted group: ECP_256 (19) [0+2]",
		NotifySignatureHashAlgorithms:    "hash algorithms: SHA2-256, SHA2-384, Identity [0+6]",
		NotifyRedirect:                   "gateway type: FQDN [0+1]; gateway: gw.test [2+7]; nonce: 010203 [9+3]",
		NotifyRedirectedFrom:             "gateway type: IPv4 [0+1]; gateway: 10.0.0.1 [2+4]",
		NotifyAuthLifetime:               "lifetime: 3600 s [0+4]",
		NotifySetWindowSize:              "window size: 5 [0+4]",
		NotifyIPCompSupported:            "CPI: 1234 [0+2]; transform: IPCOMP_DEFLATE (2) [2+1]",
		NotifyTicketLTOpaque:             "lifetime: 3600 s [0+4]; ticket: 7469636b6574 [4+6]",
		NotifyReplayCounterSync:          "sequence number increment: 256 [0+8]",
		NotifyAdditionalIP4Address:       "address: 10.0.0.2 [0+4]",
		NotifyAdditionalIP6Address:       "address: 2001:db8::2 [0+16]",
		NotifyPPKIdentity:                "PPK_ID type: PPK_ID_FIXED [0+1]; PPK_ID: ppk-name [1+8]",
		NotifyPuzzle:                     "PRF: PRF_HMAC_SHA2_256 [0+2]; difficulty: 16 zero bits [2+1]",
		NotifyMicrosoftStatus:            "status code: 13801 (0x000035e9) [0+4]",
		NotifySecurePasswordMethods:      "methods: PACE, Secure PSK Authentication [0+4]",
		NotifyInvalidSPI:                 "SPI: c0ffee01 [0+4]",
		NotifyRekeySA:                    "",
		NotifyUnsupportedCriticalPayload: "payload type: UNKNOWN_127 (127) [0+1]",
		NotifyMessageIDSync: "nonce: 01020304 [0+4]; expected send request message id: 5 [4+4]; " +
			"expected receive request message id: 6 [8+4]",
		NotifySupportedAuthMethods: "authentication method: Shared Key Message Integrity Code [0+2]; " +
			"authentication method: Digital Signature, for CA 1 of CERTREQ [2+3]; " +
			"authentication method: Digital Signature, ecdsa-with-sha256, for CA 2 of CERTREQ [5+15]",
	}
	for _, p := range samplePayloads() {
		n, ok := p.Body.(*Notify)
		if !ok {
			continue
		}
		var parts []string
		for _, f := range n.Details(0) {
			parts = append(parts, fmt.Sprintf("%s: %s [%d+%d]", f.Name, f.Value, f.Offset, f.Length))
		}
		w, ok := want[n.Type]
		delete(want, n.Type)
		if got := strings.Join(parts, "; "); !ok || got != w {
			t.Errorf("%s: got %q, want %q", n.Type, got, w)
		}
	}
	for typ := range want {
		t.Errorf("no sample of %s", typ)
	}
}

func TestMalformedNotifyDataIsShownAsOctetsAndNeverHalfRead(t *testing.T) {
	for _, c := range []struct {
		typ  NotifyType
		data string
	}{
		{NotifyInvalidKEPayload, "13"}, {NotifySignatureHashAlgorithms, "000200"},
		{NotifyAdditionalIP4Address, "0a0000"}, {NotifyAdditionalIP6Address, "0a000001"},
		{NotifyRedirect, "0309"}, {NotifyRedirect, "01020a00"}, {NotifyRedirectedFrom, "03"},
		{NotifySetWindowSize, "0005"}, {NotifyAuthLifetime, "00000e1000"}, {NotifyIPCompSupported, "1234"},
		{NotifySupportedAuthMethods, "0102"}, {NotifySupportedAuthMethods, "0302"},
		{NotifyMicrosoftStatus, "35e9"}, {NotifyTicketLTOpaque, "0e10"}, {NotifyMessageIDSync, "01020304"},
		{NotifyReplayCounterSync, "0102"}, {NotifyPPKIdentityKey, "0102"}, {NotifyPuzzle, "0005"},
		{NotifyUnsupportedCriticalPayload, "7f00"}, {NotifySecurePasswordMethods, "000100"},
		{NotifyChildSANotFound, "aa"}, {NotifyType(50000), "aa"},
	} {
		n := &Notify{Type: c.typ, Data: unhex(t, c.data)}
		fs := n.Details(40)
		if len(fs) != 1 || fs[0].Name != "data" || fs[0].Value != c.data || fs[0].Offset != 40 || fs[0].Length != len(n.Data) {
			t.Errorf("%s %s: %+v", c.typ, c.data, fs)
		}
	}
}

func TestNotifyDataReadsAsValues(t *testing.T) {
	notify := func(typ NotifyType, data string) *Notify { return &Notify{Type: typ, Data: unhex(t, data)} }
	if g, ok := notify(NotifyInvalidKEPayload, "0013").AcceptedGroup(); !ok || g != KEECP256 {
		t.Errorf("group %s, %v", g, ok)
	}
	if d, ok := notify(NotifyAuthLifetime, "00000e10").AuthLifetime(); !ok || d != time.Hour {
		t.Errorf("lifetime %s, %v", d, ok)
	}
	if w, ok := notify(NotifySetWindowSize, "00000005").WindowSize(); !ok || w != 5 {
		t.Errorf("window %d, %v", w, ok)
	}
	if _, ok := notify(NotifyCookie, "00000005").WindowSize(); ok {
		t.Error("a cookie is no window size")
	}
	if s, ok := notify(NotifyMicrosoftStatus, "000035e9").MicrosoftStatus(); !ok || s != 13801 {
		t.Errorf("status %d, %v", s, ok)
	}
	if p, ok := notify(NotifyUnsupportedCriticalPayload, "36").UnsupportedPayload(); !ok || p != PayloadPS {
		t.Errorf("payload %s, %v", p, ok)
	}
	if g, ok := notify(NotifyRedirect, "0307 67772e74657374 aa").Gateway(); !ok || g.FQDN != "gw.test" || len(g.Nonce) != 1 {
		t.Errorf("gateway %+v, %v", g, ok)
	}
	if cpi, typ, ok := notify(NotifyIPCompSupported, "123403").IPComp(); !ok || cpi != 0x1234 || typ != IPCompLZS {
		t.Errorf("IPComp %x %s, %v", cpi, typ, ok)
	}
	for typ, isError := range map[NotifyType]bool{NotifyTSUnacceptable: true, NotifyMicrosoftStatus: true,
		NotifyInitialContact: false, 40960: false, 16383: true} {
		if typ.Error() != isError {
			t.Errorf("%s: error %v", typ, typ.Error())
		}
	}
}
