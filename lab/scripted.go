package lab

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
)

// A script answers one datagram that came to UDP 500; nil is silence.
type script func(request []byte) []byte

// Octets of the IKE header (RFC 7296 section 3.1) and numbers of the protocol
// that the scripts need.
const (
	ikeHeader        = 28
	exchangeSAInit   = 34
	flagResponse     = 0x20
	payloadKE        = 34
	payloadNotify    = 41
	notifyInvalidKE  = 17
	notifyCookie     = 16390
	groupECP256      = 19
	groupCurve25519  = 31
	v1Informational  = 5
	v1PayloadNotify  = 11
	v1InvalidMajor   = 5
	v1DOIIPsec       = 1
	v1ProtocolISAKMP = 1
)

// scripted has a script answer at the responder's address in place of its
// daemon. The script ends with the bench.
func scripted(s script) func(context.Context, *Bench) error {
	return func(ctx context.Context, b *Bench) error {
		if err := b.B.Stop(); err != nil {
			return err
		}
		b.B = nil
		conn, err := b.NSB.ListenUDP(net.JoinHostPort(b.OuterB, "500"))
		if err != nil {
			return err
		}
		done := make(chan error, 1)
		go func() { done <- serve(conn, s) }()
		b.onClose(func() error {
			err := conn.Close()
			return errors.Join(err, <-done)
		})
		return nil
	}
}

func serve(conn *net.UDPConn, s script) error {
	buf := make([]byte, 1<<16)
	for {
		n, from, err := conn.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("scripted peer: %w", err)
		}
		if n < ikeHeader || buf[18] != exchangeSAInit {
			continue
		}
		answer := s(buf[:n])
		if answer == nil {
			continue
		}
		if _, err := conn.WriteToUDPAddrPort(answer, from); err != nil {
			return fmt.Errorf("scripted peer: %w", err)
		}
	}
}

// saInitNotify builds an IKE_SA_INIT response that holds one notification
// (RFC 7296 section 3.10).
func saInitNotify(request []byte, kind uint16, data []byte) []byte {
	msg := append([]byte(nil), request[:8]...)
	msg = append(msg, make([]byte, 8)...) // no SA was made: responder's SPI is zero
	msg = append(msg, payloadNotify, 0x20, exchangeSAInit, flagResponse, 0, 0, 0, 0)
	msg = binary.BigEndian.AppendUint32(msg, uint32(ikeHeader+8+len(data)))
	msg = append(msg, 0, 0)
	msg = binary.BigEndian.AppendUint16(msg, uint16(8+len(data)))
	msg = append(msg, 0, 0)
	msg = binary.BigEndian.AppendUint16(msg, kind)
	return append(msg, data...)
}

// answerInvalidKE asks for the one group of two that the request does not use.
func answerInvalidKE(request []byte) []byte {
	ke := findPayload(request, payloadKE)
	if len(ke) < 2 {
		return nil
	}
	want := uint16(groupCurve25519)
	if binary.BigEndian.Uint16(ke) == groupCurve25519 {
		want = groupECP256
	}
	return saInitNotify(request, notifyInvalidKE, binary.BigEndian.AppendUint16(nil, want))
}

// findPayload gives the body of the first payload of a kind, nil where the
// message has none or is broken.
func findPayload(message []byte, kind byte) []byte {
	next, rest := message[16], message[ikeHeader:]
	for next != 0 && len(rest) >= 4 {
		n := int(binary.BigEndian.Uint16(rest[2:]))
		if n < 4 || n > len(rest) {
			return nil
		}
		if next == kind {
			return rest[4:n]
		}
		next, rest = rest[0], rest[n:]
	}
	return nil
}

// answerCookie demands a cookie that has never been given before.
func answerCookie(request []byte) []byte {
	cookie := make([]byte, 20)
	if _, err := rand.Read(cookie); err != nil {
		return nil
	}
	return saInitNotify(request, notifyCookie, cookie)
}

// answerInvalidMajorVersion is what an ISAKMP daemon says to a message with a
// higher major version (RFC 2408 section 5.2): an informational exchange of
// its own version.
func answerInvalidMajorVersion(request []byte) []byte {
	msg := append([]byte(nil), request[:8]...)
	msg = append(msg, 0x5c, 0x1a, 0x90, 0x33, 0x7e, 0x04, 0xd2, 0x68) // responder cookie
	msg = append(msg, v1PayloadNotify, 0x10, v1Informational, 0, 0x3b, 0x11, 0x6f, 0x02)
	msg = binary.BigEndian.AppendUint32(msg, ikeHeader+12)
	msg = append(msg, 0, 0, 0, 12)
	msg = binary.BigEndian.AppendUint32(msg, v1DOIIPsec)
	msg = append(msg, v1ProtocolISAKMP, 0)
	return binary.BigEndian.AppendUint16(msg, v1InvalidMajor)
}
