package wire_test

import (
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// A responder that wants another group answers with one Notify.
func ExampleParse() {
	datagram, _ := hex.DecodeString("0102030405060708" + "1112131415161718" + "29202220" + "00000000" + "00000026" +
		"0000000a" + "00000011" + "0013")
	m, err := wire.Parse(datagram)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(m.Exchange, m.Role())
	for i := range m.Payloads {
		fmt.Println(m.Payloads[i].Type, "-", m.Payloads[i].Summary())
	}
	form, problems := wire.Match(m, nil)
	fmt.Println(form.Purpose, len(problems), "deviations")
	// Output:
	// IKE_SA_INIT response
	// Notify - INVALID_KE_PAYLOAD, accepted group ECP_256 (19)
	// The responder wants a public key of another group than the initiator guessed. 0 deviations
}

// What was understood of a broken message is still there.
func ExampleParse_broken() {
	datagram, _ := hex.DecodeString("0102030405060708" + "1112131415161718" + "29202220" + "00000000" + "00000026" +
		"0000000a" + "000000")
	m, err := wire.Parse(datagram)
	var p *wire.Problem
	fmt.Println(errors.As(err, &p), p)
	fmt.Println(m.Exchange, m.Payloads[0].Type)
	// Output:
	// true header at octet 24: length says 38 octets, 35 are there (RFC 7296 3.1)
	// IKE_SA_INIT Notify
}

func ExampleParseProposal() {
	ts, err := wire.ParseProposal(wire.ProtocolIKE, "aes256gcm16-prfsha256-ecp256")
	if err != nil {
		fmt.Println(err)
		return
	}
	for i := range ts {
		fmt.Println(ts[i].Type, ts[i].Name(), ts[i].KeyLength())
	}
	fmt.Println(wire.FormatProposal(wire.ProtocolIKE, ts))
	// Output:
	// ENCR AES_GCM_16 256
	// PRF PRF_HMAC_SHA2_256 0
	// KE ECP_256 0
	// aes256gcm16-prfsha256-ecp256
}

func ExampleClassifyUDP() {
	for _, payload := range [][]byte{{0xff}, {0xc0, 0, 0, 1, 0, 0, 0, 1}, {0, 0, 0, 0, 1, 2, 3, 4}} {
		kind, _ := wire.ClassifyUDP(payload, true)
		fmt.Println(kind)
	}
	// Output:
	// natt-keepalive
	// esp
	// ike-natt
}
