// Package vicitest is a VICI server for tests: it speaks the wire format of
// package packet, without govici, so that a client is tested against another
// reading of the protocol than its own. It can be a daemon of any size
// (NewDaemon), answer commands by functions, and misbehave in every way that a
// client has to survive (Misbehaviours).
//
// Contract: a Server runs until Close, which ends its connections and waits
// for them; it is safe for concurrent use once it has been started.
package vicitest

import "github.com/cloudvlan/cvlanctl/engine/vici/packet"

// The elements of a message, for messages that are wrong.
const (
	sectionStart = 1
	sectionEnd   = 2
	keyValue     = 3
	listStart    = 4
	listItem     = 5
	listEnd      = 6
)

// AppendPacket appends a whole segment. It panics on what no segment can hold:
// then the test is wrong.
func AppendPacket(b []byte, kind packet.Kind, name string, entries []packet.Element) []byte {
	b, err := packet.Append(b, kind, name, entries)
	if err != nil {
		panic(err)
	}
	return b
}
