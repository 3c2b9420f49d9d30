package wire

import (
	"strings"
	"testing"
)

// shape builds a chain from words: payload types, and notifies in braces.
func shape(t *testing.T, words string) []Payload {
	t.Helper()
	notifies := map[string]NotifyType{}
	for i := range notifyStatusNames {
		notifies[notifyStatusNames[i]] = NotifyType(firstStatus + i)
	}
	for i, n := range notifyErrorNames {
		if n != "" {
			notifies[n] = NotifyType(i)
		}
	}
	types := map[string]PayloadType{}
	for typ := PayloadSA; typ <= PayloadPS; typ++ {
		types[typ.String()] = typ
	}
	ps := []Payload{}
	for _, w := range strings.Fields(words) {
		if n, ok := strings.CutPrefix(w, "N("); ok {
			typ, ok := notifies[strings.TrimSuffix(n, ")")]
			if !ok {
				t.Fatalf("no notify %s", w)
			}
			ps = append(ps, Payload{Type: PayloadNotify, Body: &Notify{Type: typ}})
			continue
		}
		typ, ok := types[w]
		if !ok {
			t.Fatalf("no payload %s", w)
		}
		ps = append(ps, Payload{Type: typ, Body: &Unknown{}})
	}
	return ps
}

func TestMessagesMatchTheFormThatTheyHave(t *testing.T) {
	for _, c := range []struct {
		exchange ExchangeType
		response bool
		chain    string
		form     string
		problems string // what the problems say, "" for none
	}{
		{ExchangeIKESAInit, false, "SA KE Nonce N(NAT_DETECTION_SOURCE_IP) Vendor", "offer", ""},
		{ExchangeIKESAInit, false, "N(COOKIE) SA KE Nonce", "offer", ""},
		{ExchangeIKESAInit, false, "SA Nonce", "offer", "KE payload at octet 0: is missing from IKE_SA_INIT request: offer"},
		{ExchangeIKESAInit, false, "SA SA KE Nonce", "offer", "stands more than 1 times"},
		{ExchangeIKESAInit, false, "SA KE Nonce EAP", "offer", "EAP payload at octet 0: does not belong"},
		{ExchangeIKESAInit, true, "SA KE Nonce CERTREQ", "choice", ""},
		{ExchangeIKESAInit, true, "N(COOKIE)", "cookie demand", ""},
		{ExchangeIKESAInit, true, "N(INVALID_KE_PAYLOAD)", "other group", ""},
		{ExchangeIKESAInit, true, "N(NO_PROPOSAL_CHOSEN)", "refusal", ""},
		{ExchangeIKESAInit, true, "N(REDIRECT)", "redirect", ""},
		{ExchangeIKEAuth, false, "IDi CERT CERTREQ IDr AUTH CP SA TSi TSr N(MOBIKE_SUPPORTED)", "proof and first child", ""},
		{ExchangeIKEAuth, false, "IDi CERTREQ CP SA TSi TSr", "request for EAP", ""},
		{ExchangeIKEAuth, false, "IDi AUTH N(INITIAL_CONTACT)", "proof without child", ""},
		{ExchangeIKEAuth, false, "EAP", "EAP message", ""},
		{ExchangeIKEAuth, false, "AUTH", "proof after EAP", ""},
		{ExchangeIKEAuth, false, "IDi AUTH SA TSi", "proof and first child", "TSr payload at octet 0: is missing"},
		{ExchangeIKEAuth, true, "IDr CERT AUTH SA TSi TSr", "proof and first child", ""},
		{ExchangeIKEAuth, true, "IDr AUTH N(TS_UNACCEPTABLE)", "proof, child refused", ""},
		{ExchangeIKEAuth, true, "IDr AUTH", "proof without child", ""},
		{ExchangeIKEAuth, true, "IDr CERT AUTH EAP", "EAP begins", ""},
		{ExchangeIKEAuth, true, "EAP", "EAP message", ""},
		{ExchangeIKEAuth, true, "AUTH CP SA TSi TSr", "proof after EAP", ""},
		{ExchangeIKEAuth, true, "N(AUTHENTICATION_FAILED)", "refusal", ""},
		{ExchangeCreateChildSA, false, "SA Nonce TSi TSr", "new child", ""},
		{ExchangeCreateChildSA, false, "N(REKEY_SA) SA Nonce KE TSi TSr", "child rekey", ""},
		{ExchangeCreateChildSA, false, "SA Nonce KE", "IKE rekey", ""},
		{ExchangeCreateChildSA, true, "SA Nonce KE TSi TSr", "child accepted", ""},
		{ExchangeCreateChildSA, true, "SA Nonce KE", "IKE rekey accepted", ""},
		{ExchangeCreateChildSA, true, "N(TEMPORARY_FAILURE)", "refusal", ""},
		{ExchangeCreateChildSA, true, "", "refusal", "no error is told"},
		{ExchangeInformational, false, "", "information", ""},
		{ExchangeInformational, false, "Delete Delete", "information", ""},
		{ExchangeInformational, true, "N(UPDATE_SA_ADDRESSES)", "information", ""},
		{ExchangeInformational, false, "TSi", "information", "TSi payload at octet 0: does not belong"},
		{ExchangeIKESessionResume, false, "Nonce N(TICKET_OPAQUE)", "resumption", ""},
		{ExchangeIKESessionResume, true, "N(TICKET_NACK)", "ticket refused", ""},
		{ExchangeIKEIntermediate, false, "KE", "additional key exchange", ""},
		{ExchangeIKEFollowupKE, false, "KE", "additional key exchange", "ADDITIONAL_KEY_EXCHANGE is missing"},
		{ExchangeIKEFollowupKE, true, "N(STATE_NOT_FOUND)", "refusal", ""},
	} {
		m := &Message{Header: Header{Version: Version2, Exchange: c.exchange}}
		if c.response {
			m.Flags = FlagResponse
		}
		ps := shape(t, c.chain)
		inner := ps
		if c.exchange == ExchangeIKESAInit || c.exchange == ExchangeIKESessionResume {
			m.Payloads, inner = ps, nil
		} else {
			m.Payloads = []Payload{{Type: PayloadSK, Body: &Encrypted{}}}
		}
		form, problems := Match(m, inner)
		if form == nil {
			t.Errorf("%s %q: no form", c.exchange, c.chain)
			continue
		}
		var texts []string
		for i := range problems {
			texts = append(texts, problems[i].Error())
		}
		got := strings.Join(texts, "; ")
		if form.Name != c.form || (got == "") != (c.problems == "") || !strings.Contains(got, c.problems) {
			t.Errorf("%s %q: form %q with %q, want %q with %q", c.exchange, c.chain, form.Name, got, c.form, c.problems)
		}
	}
}

func TestWhatCannotBeJudgedIsNotJudged(t *testing.T) {
	sealed := &Message{Header: Header{Version: Version2, Exchange: ExchangeIKEAuth},
		Payloads: []Payload{{Type: PayloadSK, Body: &Encrypted{}}}}
	if form, problems := Match(sealed, nil); form != nil || problems != nil {
		t.Errorf("without keys: %v, %v", form, problems)
	}
	main := &Message{Header: Header{Version: Version1, Exchange: ExchangeV1Main}}
	if form, problems := Match(main, nil); form != nil || problems != nil {
		t.Errorf("IKEv1: %v, %v", form, problems)
	}
	clear := &Message{Header: Header{Version: Version2, Exchange: ExchangeIKEAuth}, Payloads: shape(t, "IDi AUTH")}
	if problems := Check(clear, nil); len(problems) != 1 || !problems[0].Fatal || problems[0].What != "the payloads stand in the clear" {
		t.Errorf("IKE_AUTH in the clear: %v", problems)
	}
	early := &Message{Header: Header{Version: Version2, Exchange: ExchangeIKESAInit}, Payloads: append(shape(t, "SA KE Nonce"), sealed.Payloads...)}
	if problems := Check(early, nil); len(problems) != 1 || !problems[0].Fatal || problems[0].What != "the payloads are encrypted before there are keys" {
		t.Errorf("IKE_SA_INIT with an encrypted payload: %v", problems)
	}
}

func TestFormsAreCompleteAndDistinct(t *testing.T) {
	seen := map[string]bool{}
	for i := range Forms {
		f := &Forms[i]
		key := f.String()
		if f.Sealed {
			key += " sealed"
		}
		if seen[key] {
			t.Errorf("%s stands twice", key)
		}
		seen[key] = true
		if f.Purpose == "" || !strings.HasSuffix(f.Purpose, ".") || !strings.HasPrefix(f.RFC, "RFC ") {
			t.Errorf("%s: purpose %q, source %q", key, f.Purpose, f.RFC)
		}
		types := map[PayloadType]bool{}
		for _, r := range f.Payloads {
			if types[r.Type] || r.Min > r.Max || !r.Type.Version2() {
				t.Errorf("%s: rule %+v", key, r)
			}
			types[r.Type] = true
		}
	}
	for _, exchange := range []ExchangeType{ExchangeIKESAInit, ExchangeIKEAuth, ExchangeCreateChildSA,
		ExchangeInformational, ExchangeIKESessionResume, ExchangeIKEIntermediate, ExchangeIKEFollowupKE} {
		for _, response := range []bool{false, true} {
			found := false
			for i := range Forms {
				found = found || Forms[i].Exchange == exchange && Forms[i].Response == response
			}
			if !found {
				t.Errorf("%s, response %v: no form", exchange, response)
			}
		}
	}
}
