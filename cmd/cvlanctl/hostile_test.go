package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"fmt"
	"math/big"
	"os/exec"
	"strconv"
	"time"

	"errors"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/cloudvlan/cvlanctl/capture"
	"github.com/cloudvlan/cvlanctl/capture/keylog"
	"github.com/cloudvlan/cvlanctl/engine/suite"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// attack is what a stranger might send to a terminal: colours, a window
// title, a report request, the same in C1 controls, and a change of the
// direction of text.
const attack = "evil\x1b[31m\x1b]0;owned\x07\x1b[6n\u009b2J\u202etxt.exe\r\nroot# "

// The SA of the hostile capture.
const (
	hostileSPIi = wire.SPI(0x1111111111111111)
	hostileSPIr = wire.SPI(0x2222222222222222)
)

// hostileFrames writes an IKE_SA_INIT and an IKE_AUTH full of attack, and
// gives the row of the key table that opens them.
func hostileFrames(w *capture.Writer) ([]byte, error) {
	key := bytes.Repeat([]byte{0x42}, 36) // AES-256 and 4 octets of salt
	sa := keylog.IKEv2SA{
		InitiatorSPI: hostileSPIi, ResponderSPI: hostileSPIr,
		EncrID: wire.EncrAESGCM16, EncrBits: 256,
		EI: suite.NewSecret(key), ER: suite.NewSecret(key),
	}
	initiator, responder, err := sa.Ciphers()
	if err != nil {
		return nil, err
	}
	certificate, err := hostileCertificate()
	if err != nil {
		return nil, err
	}
	proposal := &wire.SA{Proposals: []wire.Proposal{{Number: 1, Protocol: wire.ProtocolIKE, Transforms: []wire.Transform{
		{Type: wire.TransformEncr, ID: wire.EncrAESGCM16, Attributes: []wire.Attribute{{Type: wire.AttrKeyLength, Short: true, Value: 256}}},
		{Type: wire.TransformPRF, ID: wire.PRFHMACSHA256},
		{Type: wire.TransformKE, ID: 19},
	}}}}
	hello := []wire.Payload{
		{Type: wire.PayloadSA, Body: proposal},
		{Type: wire.PayloadKE, Body: &wire.KE{Group: 19, Data: make([]byte, 64)}},
		{Type: wire.PayloadNonce, Body: &wire.Nonce{Data: make([]byte, 32)}},
		{Type: wire.PayloadVendor, Body: &wire.VendorID{Data: []byte(attack)}},
		{Type: wire.PayloadNotify, Body: &wire.Notify{Type: 40960, Data: []byte(attack)}},
	}
	secret := []wire.Payload{
		{Type: wire.PayloadIDi, Body: &wire.ID{Type: wire.IDFQDN, Data: []byte(attack)}},
		{Type: wire.PayloadCert, Body: &wire.Cert{Encoding: wire.CertX509Signature, Data: certificate}},
		{Type: wire.PayloadIDr, Body: &wire.ID{Type: wire.IDRFC822Addr, Data: []byte(attack)}},
		{Type: wire.PayloadAuth, Body: &wire.Auth{Method: 2, Data: []byte(attack)}},
		{Type: wire.PayloadNotify, Body: &wire.Notify{Type: 40961, Data: []byte(attack)}},
	}
	answer := []wire.Payload{
		{Type: wire.PayloadIDr, Body: &wire.ID{Type: wire.IDRFC822Addr, Data: []byte(attack)}},
		{Type: wire.PayloadNotify, Body: &wire.Notify{Type: 24}},
	}
	request, err := sealed(initiator, wire.ExchangeIKEAuth, wire.FlagInitiator, secret)
	if err != nil {
		return nil, err
	}
	response, err := sealed(responder, wire.ExchangeIKEAuth, wire.FlagResponse, answer)
	if err != nil {
		return nil, err
	}
	first := wire.Header{InitiatorSPI: hostileSPIi, Version: wire.Version2, Exchange: wire.ExchangeIKESAInit, Flags: wire.FlagInitiator}
	second := first
	second.ResponderSPI, second.Flags = hostileSPIr, wire.FlagResponse
	for i, m := range []struct {
		octets []byte
		back   bool
	}{
		{(&wire.Message{Header: first, Payloads: hello}).Append(nil), false},
		{(&wire.Message{Header: second, Payloads: hello}).Append(nil), true},
		{request, false},
		{response, true},
	} {
		frame := datagram(m.octets, m.back)
		err := w.Write(capture.Frame{
			Number: int64(i + 1), Time: time.Unix(1_800_000_000+int64(i), 0), Link: capture.LinkRaw,
			Length: len(frame), Data: frame, Comment: attack,
		})
		if err != nil {
			return nil, err
		}
	}
	hex := fmt.Sprintf("%x", key)
	return fmt.Appendf(nil, "%s,%s,%s,%s,\"AES-GCM-256 with 16 octet ICV [RFC5282]\",\"\",\"\",\"NONE [RFC4306]\"\n", hostileSPIi, hostileSPIr, hex, hex), nil
}

// sealed makes an encrypted message.
func sealed(c *suite.IKECipher, exchange wire.ExchangeType, flags wire.Flags, inner []wire.Payload) ([]byte, error) {
	plain := wire.AppendPayloads(nil, inner)
	m := &wire.Message{
		Header: wire.Header{InitiatorSPI: hostileSPIi, ResponderSPI: hostileSPIr, Version: wire.Version2, Exchange: exchange, Flags: flags, MessageID: 1},
		Payloads: []wire.Payload{{Type: wire.PayloadSK, Body: &wire.Encrypted{
			First: inner[0].Type, Data: make([]byte, c.SealedLen(len(plain))),
		}}},
	}
	octets := m.Append(nil)
	prefix := octets[:len(octets)-c.SealedLen(len(plain))]
	return c.Seal(prefix, prefix, plain)
}

// datagram puts an IKE message into UDP port 500 and IPv4. The checksums are
// left out: a UDP checksum of 0 means none (RFC 768).
func datagram(message []byte, back bool) []byte {
	b := make([]byte, 28, 28+len(message))
	b[0], b[8], b[9] = 0x45, 64, 17
	binary.BigEndian.PutUint16(b[2:], uint16(28+len(message)))
	copy(b[12:], []byte{192, 0, 2, 1})
	copy(b[16:], []byte{192, 0, 2, 2})
	if back {
		b[15], b[19] = 2, 1
	}
	binary.BigEndian.PutUint16(b[20:], 500)
	binary.BigEndian.PutUint16(b[22:], 500)
	binary.BigEndian.PutUint16(b[24:], uint16(8+len(message)))
	return append(b, message...)
}

// hostileCertificate makes a certificate whose names hold attack.
func hostileCertificate() ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: attack, Organization: []string{attack}},
		NotBefore:    time.Unix(0, 0), NotAfter: time.Unix(4_000_000_000, 0),
	}
	return x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
}

// noEscape holds the output of the last command to printable characters:
//
//	noescape stdout stderr
func noEscape(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: noescape stdout|stderr...")
	}
	for _, name := range args {
		text := ts.ReadFile(name)
		if text == "" && name == "stdout" {
			ts.Fatalf("there is no output to look at")
		}
		for i, r := range text {
			if r != '\n' && (r < ' ' || r >= 0x7f && r < 0xa0 || r >= 0x202a && r <= 0x202e || r == '\ufffd') {
				ts.Fatalf("%s holds %q at octet %d: %q", name, r, i, text[max(0, i-20):min(len(text), i+20)])
			}
		}
	}
}

// exitStatus gives the exit code in an error of testscript's Exec.
func exitStatus(err error) string {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return err.Error()
	}
	return strconv.Itoa(exit.ExitCode())
}

func atoi(ts *testscript.TestScript, s string) int {
	n, err := strconv.Atoi(s)
	ts.Check(err)
	return n
}
