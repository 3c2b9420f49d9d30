package wire

import (
	"bytes"
	"errors"
	"testing"
)

// checkLaws holds one octet string against the laws of Parse: the verdict and
// the problems agree, every span lies inside the input, and what is accepted
// is written back octet for octet.
func checkLaws(t *testing.T, b []byte) (*Message, error) {
	t.Helper()
	m, err := Parse(b)
	fatal := FirstFatal(m.Problems)
	if (err == nil) != (fatal == nil) {
		t.Fatalf("error %v and first fatal problem %v disagree", err, fatal)
	}
	var p *Problem
	if err != nil && !errors.Is(err, ErrShortHeader) && (!errors.As(err, &p) || *p != *fatal) {
		t.Fatalf("error %v does not carry the first fatal problem %v", err, fatal)
	}
	last := 0
	for _, p := range m.Problems {
		if p.Offset < last || p.Offset > len(b) {
			t.Fatalf("problem at octet %d after one at %d in %d octets: %v", p.Offset, last, len(b), &p)
		}
		last = p.Offset
		if p.What == "" || p.RFC == "" {
			t.Fatalf("problem without words or source: %+v", p)
		}
	}
	for _, f := range m.Tree() {
		checkSpans(t, f, 0, len(b))
	}
	if err == nil {
		if got := m.Append(nil); !bytes.Equal(got, b) {
			t.Fatalf("Append gives\n%x, parsed was\n%x", got, b)
		}
	}
	return m, err
}

// checkSpans holds a field and its children against the span of its parent.
func checkSpans(t *testing.T, f Field, start, end int) {
	t.Helper()
	if f.Offset < start || f.Length < 0 || f.Offset+f.Length > end {
		t.Fatalf("field %q spans octets %d to %d, its parent %d to %d", f.Name, f.Offset, f.Offset+f.Length, start, end)
	}
	if f.Name == "" {
		t.Fatalf("field at octet %d has no name", f.Offset)
	}
	for _, r := range f.Name + f.Value {
		if r < 0x20 || r == 0x7f {
			t.Fatalf("field %q holds control character %#x: %q", f.Name, r, f.Value)
		}
	}
	for _, c := range f.Children {
		checkSpans(t, c, f.Offset, f.Offset+f.Length)
	}
}

// checkChainLaws is checkLaws for a chain of payloads without a header.
func checkChainLaws(t *testing.T, first PayloadType, v Version, b []byte) ([]Payload, []Problem) {
	t.Helper()
	ps, problems := ParsePayloads(first, v, b)
	if ps == nil {
		t.Fatal("payloads are nil")
	}
	for i := range ps {
		checkSpans(t, ps[i].Tree(), 0, len(b))
	}
	if FirstFatal(problems) == nil && first != PayloadNone {
		got := AppendPayloads(nil, ps)
		if v == Version1 { // what follows the last payload is padding
			got = append(got, b[min(len(got), len(b)):]...)
		}
		if !bytes.Equal(got, b) {
			t.Fatalf("first payload %s: AppendPayloads gives\n%x, parsed was\n%x", first, got, b)
		}
	}
	return ps, problems
}

func TestEveryVectorKeepsTheLawsAtEveryCut(t *testing.T) {
	for _, v := range allVectors(t) {
		t.Run(v.Name, func(t *testing.T) {
			for n := range len(v.b) + 1 {
				_, err := checkLaws(t, v.b[:n:n])
				if err == nil && n < len(v.b) {
					if _, whole := Parse(v.b); whole == nil {
						t.Fatalf("%d of %d octets are accepted", n, len(v.b))
					}
				}
			}
			for _, first := range []PayloadType{PayloadSA, PayloadKE, PayloadIDi, PayloadCert, PayloadCertReq,
				PayloadAuth, PayloadNonce, PayloadNotify, PayloadDelete, PayloadVendor, PayloadTSi, PayloadSK,
				PayloadSKF, PayloadCP, PayloadEAP, PayloadGSPM} {
				checkChainLaws(t, first, Version2, v.b)
				for n := range min(len(v.b), 100) {
					checkChainLaws(t, first, Version2, v.b[:n:n])
				}
			}
			for first := PayloadV1SA; first <= PayloadV1NATOA; first++ {
				checkChainLaws(t, first, Version1, v.b)
			}
		})
	}
}

func TestEveryPayloadOfBothVersionsKeepsTheLawsAtEveryCut(t *testing.T) {
	seen := map[PayloadType]bool{}
	for i, b := range seeds(t) {
		m, err := checkLaws(t, b)
		if err != nil {
			t.Fatalf("seed %d: %v", i, err)
		}
		for _, p := range m.Payloads {
			seen[p.Type] = true
		}
		for n := range len(b) {
			if _, err := checkLaws(t, b[:n:n]); err == nil && uint32(n) < m.Length {
				t.Fatalf("seed %d: %d of %d octets are accepted", i, n, len(b))
			}
		}
		for n := range b { // one octet changed, and what it breaks is named
			c := bytes.Clone(b)
			c[n] ^= byte(1 + n%255)
			checkLaws(t, c)
		}
	}
	for _, typ := range []PayloadType{PayloadSA, PayloadKE, PayloadIDi, PayloadIDr, PayloadCert, PayloadCertReq,
		PayloadAuth, PayloadNonce, PayloadNotify, PayloadDelete, PayloadVendor, PayloadTSi, PayloadTSr, PayloadSK,
		PayloadCP, PayloadEAP, PayloadSKF, PayloadV1SA, PayloadV1KE, PayloadV1ID, PayloadV1Cert, PayloadV1CertReq,
		PayloadV1Hash, PayloadV1Sig, PayloadV1Nonce, PayloadV1Notify, PayloadV1Delete, PayloadV1Attributes,
		PayloadV1NATD, PayloadV1NATOA, PayloadV1NATDDraft, PayloadV1Fragment} {
		if !seen[typ] {
			t.Errorf("no seed holds payload %s (%d)", typ, uint8(typ))
		}
	}
}

func TestPublishedMessagesAreReadAsTheirSendersMeantThem(t *testing.T) {
	want := map[string]string{
		"rusticata/ike-sa-init-req.bin":      "SA KE Nonce",
		"rusticata/ike-sa-init-resp.bin":     "SA KE Nonce CERTREQ Notify",
		"ancwrd1/mm.bin":                     "SA VID VID VID VID N N",
		"i-e-b/IKEv2-1_Port-500_IKE.bin":     "SA KE Nonce Notify Notify Notify Notify Notify",
		"i-e-b/IkeV2_message1.bin":           "SA KE Nonce Notify Notify Notify Notify Notify",
		"i-e-b/SK-raw.bin":                   "SK",
		"free5gc/ike_test.go#3":              "SK",
		"free5gc/ike_test.go#4":              "SK",
		"free5gc/header_test.go":             "",
		"free5gc/message_test.go":            "SA KE Nonce Vendor Vendor Vendor Notify Notify Vendor",
		"free5gc/message_test.go#3":          "SA Notify Notify",
		"free5gc/message_test.go#5":          "TSi TSr Notify",
		"free5gc/message_test.go#7":          "Notify Notify",
		"free5gc/message_test.go#8":          "SK",
		"CybercentreCanada/ikev2_parse.rs#2": "PRIVATE_USE_255 Proposal",
		"CybercentreCanada/ikev2_parse.rs#3": "SA KE Nonce Vendor Vendor Vendor Vendor Notify Notify Notify",
		"P1sec/test_crypto.py":               "SA KE Nonce Vendor Vendor Vendor Notify Notify Vendor",
		"P1sec/test_crypto.py#2":             "SK",
		"P1sec/test_crypto.py#3":             "SK",
		"P1sec/test_crypto.py#4":             "SA KE Nonce Notify Notify",
		"valid_packet":                       "SA KE Nonce Notify Notify",
		// Malformed for a responder, well formed as octets:
		"cve-2015-3204#0":    "SA",
		"cve-2015-3204#1":    "SAK",
		"send_bad_packets#0": "SA KE Nonce",
		"send_bad_packets#6": "SA KE Proposal",
		"send_bad_packets#7": "SA Nonce",
		"send_bad_packets#8": "SA KE Nonce",
		"send_bad_packets#9": "SK",
	}
	for _, v := range allVectors(t) {
		m, err := Parse(v.b)
		chain, accepted := want[v.Name]
		delete(want, v.Name)
		if accepted != (err == nil) {
			t.Errorf("%s: error %v, want accepted %v", v.Name, err, accepted)
			continue
		}
		if accepted && chainText(m.Payloads) != chain {
			t.Errorf("%s: payloads %q, want %q", v.Name, chainText(m.Payloads), chain)
		}
	}
	for name := range want {
		t.Errorf("no vector is named %s", name)
	}
}

func TestPublishedPayloadsAreReadAsTheirSendersMeantThem(t *testing.T) {
	first := map[string]PayloadType{
		"saxform_pld": PayloadSA, "ke_pld": PayloadKE, "nonce_pld": PayloadNonce, "notify_pld": PayloadNotify,
		"id_pld": PayloadIDi, "certreq_pld": PayloadCertReq, "auth_pld": PayloadAuth,
		"vendor_pld": PayloadVendor, "ts_pld": PayloadTSi,
	}
	for _, v := range readVectors(t, "openiked_payloads.json") {
		typ, ok := first[v.Name]
		if !ok {
			continue
		}
		delete(first, v.Name)
		if v.Name == "notify_pld" {
			v.b = v.b[:28] // two payloads stand side by side, unchained
		}
		ps, problems := checkChainLaws(t, typ, Version2, v.b)
		if p := FirstFatal(problems); p != nil || len(ps) == 0 {
			t.Errorf("%s: %d payloads, %v", v.Name, len(ps), p)
		}
	}
	for name := range first {
		t.Errorf("no vector is named %s", name)
	}
}
