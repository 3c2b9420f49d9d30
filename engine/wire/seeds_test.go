package wire

import (
	"encoding/binary"
	"net/netip"
	"testing"
)

// samplePayloads has one body of every kind of IKEv2, in the order of a chain
// that no exchange has: SK must be the last.
func samplePayloads() []Payload {
	addr := netip.MustParseAddr
	payload := func(t PayloadType, b Body) Payload { return Payload{Type: t, Body: b} }
	notify := func(t NotifyType, data string) Payload {
		return payload(PayloadNotify, &Notify{Type: t, Data: []byte(data)})
	}
	ps := []Payload{
		payload(PayloadSA, &SA{Proposals: []Proposal{
			{Number: 1, Protocol: ProtocolESP, SPI: []byte{0xc0, 0, 0, 1}, Transforms: []Transform{
				{Type: TransformEncr, ID: EncrAESGCM16, Attributes: []Attribute{{Type: AttrKeyLength, Short: true, Value: 256}}},
				{Type: TransformADDKE1, ID: KEMLKEM768},
				{Type: TransformESN, ID: ESNYes}}},
			{Number: 2, Protocol: ProtocolAH, SPI: []byte{0xc0, 0, 0, 1}, Transforms: []Transform{
				{Type: TransformInteg, ID: IntegSHA256128, Attributes: []Attribute{{Type: 77, Data: []byte("long")}}}}},
		}}),
		payload(PayloadKE, &KE{Group: KECurve25519, Data: make([]byte, 32)}),
		payload(PayloadIDi, &ID{Type: IDFQDN, Data: []byte("gate.example")}),
		payload(PayloadIDr, &ID{Type: IDIPv6Addr, Data: addr("2001:db8::1").AsSlice()}),
		payload(PayloadCert, &Cert{Encoding: CertHashURLX509, Data: append(make([]byte, 20), "http://c.example/1"...)}),
		payload(PayloadCertReq, &CertReq{Encoding: CertX509Signature, Authority: make([]byte, 40)}),
		payload(PayloadAuth, &Auth{Method: AuthDigitalSignature,
			Data: append([]byte{12, 0x30, 10, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2}, "signature"...)}),
		payload(PayloadNonce, &Nonce{Data: make([]byte, 32)}),
		payload(PayloadDelete, &Delete{Protocol: ProtocolESP, SPISize: 4, SPIs: [][]byte{{1, 2, 3, 4}, {5, 6, 7, 8}}}),
		payload(PayloadDelete, &Delete{Protocol: ProtocolIKE}),
		payload(PayloadVendor, &VendorID{Data: []byte("OpenIKED-7.4")}),
		payload(PayloadTSi, &TS{Selectors: []TrafficSelector{
			{Type: TSIPv4AddrRange, Protocol: 6, StartPort: 80, EndPort: 80, Start: addr("10.0.0.0"), End: addr("10.0.0.255")},
			{Type: TSIPv6AddrRange, EndPort: 65535, Start: addr("2001:db8::"), End: addr("2001:db8::ffff")}}}),
		payload(PayloadTSr, &TS{Selectors: []TrafficSelector{
			{Type: TSSecLabel, Data: []byte("system_u:object_r:ipsec_spd_t:s0")},
			{Type: TSIPv4AddrRange, EndPort: 65535, Start: addr("10.1.0.1"), End: addr("10.1.0.9")}}}),
		payload(PayloadCP, &Config{Type: ConfigReply, Attributes: []ConfigAttribute{
			{Type: ConfigInternalIP4Address, Data: []byte{10, 3, 0, 1}},
			{Type: ConfigInternalIP4Subnet, Data: []byte{10, 0, 0, 0, 255, 255, 0, 0}},
			{Type: ConfigInternalIP6Address, Data: append(addr("2001:db8::7").AsSlice(), 64)},
			{Type: ConfigInternalDNSDomain, Data: []byte("corp.example")},
			{Type: ConfigInternalIP4DNS}}}),
		payload(PayloadEAP, &EAP{Code: EAPResponse, Identifier: 1, Type: EAPIdentity, HasType: true, Data: []byte("alice")}),
		payload(PayloadEAP, &EAP{Code: EAPSuccess, Identifier: 2}),
		{Type: PayloadPS, Body: &Unknown{Data: []byte{1, 2, 3}}},
		{Type: PayloadType(200), Reserved: 0x15, Body: &Unknown{Data: []byte{9}}},
		notify(NotifyInvalidKEPayload, "\x00\x13"),
		notify(NotifySignatureHashAlgorithms, "\x00\x02\x00\x03\x00\x05"),
		notify(NotifyRedirect, "\x03\x07gw.test\x01\x02\x03"),
		notify(NotifyRedirectedFrom, "\x01\x04\x0a\x00\x00\x01"),
		notify(NotifySupportedAuthMethods, "\x02\x02\x03\x0e\x01\x0f\x0e\x02\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02"),
		notify(NotifyAuthLifetime, "\x00\x00\x0e\x10"),
		notify(NotifySetWindowSize, "\x00\x00\x00\x05"),
		notify(NotifyIPCompSupported, "\x12\x34\x02"),
		notify(NotifyTicketLTOpaque, "\x00\x00\x0e\x10ticket"),
		notify(NotifyMessageIDSync, "\x01\x02\x03\x04\x00\x00\x00\x05\x00\x00\x00\x06"),
		notify(NotifyReplayCounterSync, "\x00\x00\x00\x00\x00\x00\x01\x00"),
		notify(NotifyAdditionalIP4Address, "\x0a\x00\x00\x02"),
		notify(NotifyAdditionalIP6Address, string(addr("2001:db8::2").AsSlice())),
		notify(NotifyUnsupportedCriticalPayload, "\x7f"),
		notify(NotifyPPKIdentity, "\x02ppk-name"),
		notify(NotifyPuzzle, "\x00\x05\x10"),
		notify(NotifyMicrosoftStatus, "\x00\x00\x35\xe9"),
		notify(NotifySecurePasswordMethods, "\x00\x01\x00\x03"),
		notify(NotifyInvalidSPI, "\xc0\xff\xee\x01"),
		payload(PayloadNotify, &Notify{Protocol: ProtocolESP, SPI: []byte{0xc0, 0, 0, 9}, Type: NotifyRekeySA}),
	}
	return ps
}

// v1Samples are IKEv1 messages with the payloads that the published vectors
// lack, in the clear as they stand inside the encryption; seeds sets the
// header's length.
var v1Samples = []string{
	// Quick mode: HASH SA NONCE ID ID NAT-OA, and padding.
	`0102030405060708 1112131415161718 08 10 20 00 0a0b0c0d 00000000
	 01000014 000102030405060708090a0b0c0d0e0f
	 0a000034 00000001 00000001 00000028 01 03 04 01 c0000001 0000001c 01 0c 0000
	 80010001 00020004 00000e10 80040001 80050002
	 0500000c 0001020304050607
	 05000010 04000000 0a000000 ffffff00
	 15000010 04 06 0050 0a010000 ffff0000
	 0000000c 01000000 0a000001 000000`,
	// Informational: N R-U-THERE, D, mode configuration attributes.
	`0102030405060708 1112131415161718 0b 10 05 00 0a0b0c0d 00000000
	 0c000020 00000001 01 10 8d28 0102030405060708 1112131415161718 00000001
	 0e000010 00000001 03 04 0001 c0000001
	 0000001c 01 00 1234 4088 0000 4089 0004 75736572 7001 0000 8001 0002`,
	// Main mode 5: ID SIG CERT CR KE, NAT-D of both numbers.
	`0102030405060708 1112131415161718 05 10 02 00 00000000 00000000
	 06000010 02 11 01f4 6e616d652e746573
	 0900000d 04 3000000000000000 07000009 04 30000000 04000005 04 14000008 aabbccdd 82000008 01020304
	 84000008 05060708 00000009 0001 01 01 ff`,
	// Encrypted.
	`0102030405060708 1112131415161718 08 10 20 01 0a0b0c0d 00000000 00112233445566778899aabbccddeeff`,
}

// seeds are whole messages that hold every payload of both versions.
func seeds(t testing.TB) [][]byte {
	t.Helper()
	m := &Message{Header: Header{InitiatorSPI: 0x0102030405060708, ResponderSPI: 1, Version: Version2,
		Exchange: ExchangeIKEAuth, Flags: FlagInitiator, MessageID: 1}}
	m.Payloads = samplePayloads()
	list := [][]byte{m.Append(nil)}
	m.Payloads = append(m.Payloads, Payload{Type: PayloadSK,
		Body: &Encrypted{First: PayloadIDi, Data: []byte("initialisation vector, ciphertext, checksum")}})
	list = append(list, m.Append(nil))
	m.Payloads = []Payload{{Type: PayloadSKF, Body: &Fragment{First: PayloadIDi, Number: 1, Total: 2, Data: make([]byte, 64)}}}
	list = append(list, m.Append(nil))
	m.Trailing = []byte("behind")
	list = append(list, m.Append(nil))
	for _, s := range v1Samples {
		b := unhex(t, s)
		binary.BigEndian.PutUint32(b[24:], uint32(len(b)))
		list = append(list, b)
	}
	return list
}
