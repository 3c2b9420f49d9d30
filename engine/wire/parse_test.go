package wire

import (
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"
)

// saInit is a request that a strongSwan accepts, for tests that break it.
func saInit() *Message {
	return &Message{
		Header: Header{InitiatorSPI: 1, Version: Version2, Exchange: ExchangeIKESAInit, Flags: FlagInitiator},
		Payloads: []Payload{
			{Type: PayloadSA, Body: &SA{Proposals: []Proposal{{Number: 1, Protocol: ProtocolIKE, Transforms: []Transform{
				{Type: TransformEncr, ID: EncrAESGCM16, Attributes: []Attribute{{Type: AttrKeyLength, Short: true, Value: 256}}},
				{Type: TransformPRF, ID: PRFHMACSHA256},
				{Type: TransformKE, ID: KEECP256}}}}}},
			{Type: PayloadKE, Body: &KE{Group: KEECP256, Data: make([]byte, 64)}},
			{Type: PayloadNonce, Body: &Nonce{Data: make([]byte, 32)}},
		},
	}
}

func TestEachDeviationIsNamedWithItsPlaceAndSeverity(t *testing.T) {
	const sa, ke, nonce = 28, 28 + 40, 28 + 40 + 72 // offsets of the payloads in saInit
	for _, c := range []struct {
		name   string
		change func(m *Message) []byte
		offset int
		fatal  bool
		what   string
		notify NotifyType
		chain  string
	}{
		{"datagram cut", func(m *Message) []byte { b := m.Append(nil); return b[:len(b)-1] },
			24, true, "length says 176 octets, 175 are there", NotifyInvalidSyntax, "SA KE Nonce"},
		{"datagram too long", func(m *Message) []byte { m.Trailing = []byte{0}; return m.Append(nil) },
			176, false, "1 octets behind the end", 0, "SA KE Nonce"},
		{"header length 0", set(27, 0), 24, true, "length 0 is shorter", NotifyInvalidSyntax, "SA KE Nonce"},
		{"major version 3", set(17, 0x30), 17, true, "major version 3", NotifyInvalidMajorVersion, ""},
		{"minor version 5 is fine", set(17, 0x25), -1, false, "", 0, "SA KE Nonce"},
		{"reserved flag", set(19, 0x48), 19, false, "reserved flags 0x40", 0, "SA KE Nonce"},
		{"reserved bit of a payload", set(ke+1, 1), ke + 1, false, "reserved bits 0x01", 0, "SA KE Nonce"},
		{"critical bit on a known payload is fine", set(ke+1, 0x80), -1, false, "", 0, "SA KE Nonce"},
		{"unknown critical payload", func(m *Message) []byte {
			m.Payloads = append(m.Payloads, Payload{Type: 99, Critical: true, Body: &Unknown{Data: []byte("x")}},
				Payload{Type: PayloadVendor, Body: &VendorID{}})
			return m.Append(nil)
		}, 176, true, "payload type 99 is marked critical", NotifyUnsupportedCriticalPayload, "SA KE Nonce UNKNOWN_99 Vendor"},
		{"unknown payload", func(m *Message) []byte {
			m.Payloads = append(m.Payloads, Payload{Type: 99, Body: &Unknown{Data: []byte("x")}})
			return m.Append(nil)
		}, -1, false, "", 0, "SA KE Nonce UNKNOWN_99"},
		{"payload length 3", set(ke+3, 3), ke, true, "payload length 3 is shorter", NotifyInvalidSyntax, "SA KE"},
		{"payload length too long", set(nonce+3, 200), nonce, true, "says 200 octets, 36 are left", NotifyInvalidSyntax, "SA KE Nonce"},
		{"chain goes on behind the end", set(nonce, 41), 176, true, "0 octets are left", NotifyInvalidSyntax, "SA KE Nonce"},
		{"chain ends early", set(ke, 0), nonce, true, "36 octets behind the last payload", NotifyInvalidSyntax, "SA KE"},
		{"short nonce", func(m *Message) []byte {
			m.Payloads[2].Body = &Nonce{Data: make([]byte, 15)}
			return m.Append(nil)
		}, nonce + 4, true, "a nonce of 15 octets", NotifyInvalidSyntax, "SA KE Nonce"},
		{"proposal length", set(sa+4+3, 99), sa + 4 + 2, true, "proposal length says 99", NotifyInvalidSyntax, "SA KE Nonce"},
		{"proposal marked as followed", set(sa+4, 2), sa + 4, true, "marked as followed by another", NotifyInvalidSyntax, "SA KE Nonce"},
		{"wrong number of transforms", set(sa+4+7, 2), sa + 4 + 7, true, "2 transforms are announced, 3 are there", NotifyInvalidSyntax, "SA KE Nonce"},
		{"last transform marked as followed", set(sa+4+28, 3), sa + 4 + 28, true, "marked as followed", NotifyInvalidSyntax, "SA KE Nonce"},
		{"transform marked as the last in the middle", set(sa+4+20, 0), sa + 4 + 28, true, "behind the transform that is marked", NotifyInvalidSyntax, "SA KE Nonce"},
		{"transform length", set(sa+4+20+3, 7), sa + 4 + 20 + 2, true, "transform length says 7", NotifyInvalidSyntax, "SA KE Nonce"},
		{"last-substructure octet", set(sa+4+20, 7), sa + 4 + 20, true, "neither 0 nor 3", NotifyInvalidSyntax, "SA KE Nonce"},
		{"SPI size", set(sa+4+6, 200), sa + 4 + 8, true, "SPI needs 200 octets", NotifyInvalidSyntax, "SA KE Nonce"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, err := checkLaws(t, c.change(saInit()))
			if chainText(m.Payloads) != c.chain {
				t.Errorf("payloads %q, want %q", chainText(m.Payloads), c.chain)
			}
			if c.offset < 0 {
				if err != nil || len(m.Problems) > 0 {
					t.Errorf("error %v, problems %v, want none", err, m.Problems)
				}
				return
			}
			if len(m.Problems) == 0 {
				t.Fatal("no problem is named")
			}
			p := m.Problems[0]
			if p.Offset != c.offset || p.Fatal != c.fatal || p.Notify != c.notify || !strings.Contains(p.What, c.what) {
				t.Errorf("problem %+v, want offset %d, fatal %v, notify %s, %q", p, c.offset, c.fatal, c.notify, c.what)
			}
			if c.fatal != (err != nil) {
				t.Errorf("error %v with fatal %v", err, c.fatal)
			}
		})
	}
}

// set gives saInit with one octet changed.
func set(offset int, v byte) func(m *Message) []byte {
	return func(m *Message) []byte {
		b := m.Append(nil)
		b[offset] = v
		return b
	}
}

func TestCountsBeyondTheLimitsEndTheMessageNotTheProcess(t *testing.T) {
	m := saInit()
	for range 1000 {
		m.Payloads = append(m.Payloads, Payload{Type: PayloadVendor, Body: &VendorID{}})
	}
	got, err := Parse(m.Append(nil))
	if err == nil || len(got.Payloads) != maxPayloads {
		t.Errorf("%d payloads, error %v", len(got.Payloads), err)
	}

	m = saInit()
	cp := &Config{Type: ConfigRequest, Attributes: make([]ConfigAttribute, 2000)}
	m.Payloads = []Payload{{Type: PayloadCP, Body: cp}}
	if got, err = Parse(m.Append(nil)); err == nil || len(got.Payloads[0].Body.(*Config).Attributes) != maxConfigAttributes {
		t.Errorf("error %v", err)
	}

	m.Payloads = []Payload{{Type: PayloadDelete, Body: &Delete{Protocol: ProtocolESP, SPISize: 4,
		SPIs: slices.Repeat([][]byte{{1, 2, 3, 4}}, 5000)}}}
	if got, err = Parse(m.Append(nil)); err == nil || len(got.Payloads[0].Body.(*Delete).SPIs) != maxDeleteSPIs {
		t.Errorf("error %v", err)
	}

	m.Payloads = []Payload{{Type: PayloadDelete, Body: &Delete{Protocol: ProtocolIKE, Count: 65535}}}
	if got, err = Parse(m.Append(nil)); err != nil || len(got.Payloads[0].Body.(*Delete).SPIs) != 0 {
		t.Errorf("65535 SPIs of no octets: error %v", err)
	}

	// Each pair of octets is a problem of its own; they are not all kept.
	bad := make([]byte, 60000)
	for i := 0; i+4 <= len(bad); i += 4 {
		bad[i], bad[i+1], bad[i+3] = uint8(PayloadVendor), 1, 4
	}
	ps, problems := ParsePayloads(PayloadVendor, Version2, bad)
	if len(ps) > maxPayloads || len(problems) > maxProblems+1 || FirstFatal(problems) == nil {
		t.Errorf("%d payloads, %d problems", len(ps), len(problems))
	}
}

func TestErrorsCarryTheFirstFatalProblem(t *testing.T) {
	b := saInit().Append(nil)
	b[19] = 0x48       // not fatal, earlier
	b[28+40+72+3] = 20 // a nonce that is cut short leaves octets behind
	_, err := Parse(b)
	var p *Problem
	if !errors.As(err, &p) || !p.Fatal || p.Offset < 28+40+72 {
		t.Fatalf("error %v", err)
	}
	if want := "IKE message: Nonce payload at octet 160: 16 octets behind the last payload (RFC 7296 3.2)"; err.Error() != want {
		t.Errorf("error %q, want %q", err, want)
	}
	if _, err := Parse(b[:27]); !errors.Is(err, ErrShortHeader) {
		t.Errorf("27 octets: error %v", err)
	}
}

func TestPayloadsThatCannotBeKeptAreRefused(t *testing.T) {
	for _, c := range []struct {
		name, hex, what string
		typ             PayloadType
	}{
		{"selector count", "0000001c 02000000 07000010 0000ffff 0a000000 0a0000ff 00000000", "octets are left|2 selectors|selector length", PayloadTSi},
		{"selector length", "00000018 01000000 07000014 0000ffff 0a000000 0a0000ff", "selector length says 20", PayloadTSi},
		{"IPv4 selector of wrong size", "0000000c 01000000 07000004", "has 4 octets, not 16", PayloadTSi},
		{"IPv4 identity of 5 octets", "0000000d 01000000 0a00000001", "an IPv4 address of 5 octets", PayloadIDi},
		{"delete count", "0000000c 03040002 c0000001", "2 SPIs of 4 octets are announced, 4", PayloadDelete},
		{"fragment 3 of 2", "00000009 00030002 ff", "fragment 3 of 2", PayloadSKF},
		{"fragment 0", "00000009 00000002 ff", "fragment 0 of 2", PayloadSKF},
		{"EAP length", "00000009 01010004 01", "length says 4 octets, 5 are there", PayloadEAP},
		{"notify SPI", "00000009 03044009 01", "SPI needs 4 octets", PayloadNotify},
		{"configuration attribute", "0000000c 01000000 00010004", "attribute value needs 4", PayloadCP},
		{"signature algorithm", "0000000a 0e000000 0530", "algorithm identifier does not fit", PayloadAuth},
		{"no proposal", "00000004", "no proposal", PayloadSA},
		{"KE without group", "00000005 00", "group needs 2 octets", PayloadKE},
	} {
		t.Run(c.name, func(t *testing.T) {
			ps, problems := checkChainLaws(t, c.typ, Version2, unhex(t, c.hex))
			p := FirstFatal(problems)
			if p == nil || len(ps) != 1 || ps[0].Body == nil {
				t.Fatalf("%d payloads, problems %v", len(ps), problems)
			}
			if !slices.ContainsFunc(strings.Split(c.what, "|"), func(w string) bool { return strings.Contains(p.What, w) }) {
				t.Errorf("problem %q, want %q", p.What, c.what)
			}
		})
	}
}

func TestAppendWritesWhatRFC7296Pictures(t *testing.T) {
	b := saInit().Append([]byte("before"))[6:]
	if n := binary.BigEndian.Uint32(b[24:]); int(n) != len(b) || n != 176 {
		t.Errorf("length %d of %d octets", n, len(b))
	}
	want := unhex(t, `0000000000000001 0000000000000000 21 20 22 08 00000000 000000b0
		22 00 0028  00 00 0024 01 01 00 03  03 00 000c 01 00 0014 800e 0100
		03 00 0008 02 00 0005  00 00 0008 04 00 0013  28 00 0048 0013 0000`)
	if string(b[:len(want)]) != string(want) {
		t.Errorf("got\n%x, want\n%x", b[:len(want)], want)
	}
}
