package vicitest

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/vici/packet"
)

// Misbehaviour is one way for a server to be broken or hostile.
type Misbehaviour struct {
	Name string
	// Protocol says that a client can tell it from an absent server: its
	// error should be one about the protocol.
	Protocol bool
	Serve    func(net.Conn)
}

// answering reads requests and answers each with what f gives, until the
// client goes. Registrations are confirmed.
func answering(f func(c net.Conn)) func(net.Conn) {
	return func(c net.Conn) {
		for {
			p, err := packet.Read(c)
			if err != nil {
				return
			}
			if p.Kind == packet.Register {
				write(c, AppendPacket(nil, packet.Confirm, "", nil))
				continue
			}
			f(c)
		}
	}
}

// write sends octets; a client that is gone is no matter here.
func write(c net.Conn, b []byte) { _, _ = c.Write(b) }

// segment puts a length and a type before octets.
func segment(kind packet.Kind, b ...byte) []byte {
	return append(append(binary.BigEndian.AppendUint32(nil, uint32(len(b)+1)), byte(kind)), b...)
}

// untilGone waits for the client to go.
func untilGone(c net.Conn) { _, _ = io.Copy(io.Discard, c) }

// Misbehaviours lists them. Each applies to any command.
func Misbehaviours() []Misbehaviour {
	always := func(b []byte) func(net.Conn) { return answering(func(c net.Conn) { write(c, b) }) }
	nested := bytes.Repeat([]byte{sectionStart, 1, 'x'}, 100_000)
	return []Misbehaviour{
		{"closes at once", false, func(net.Conn) {}},
		{"says nothing", false, untilGone},
		{"closes instead of an answer", false, answering(func(c net.Conn) { _ = c.Close() })},
		{"announces four GiB", true, always([]byte{0xff, 0xff, 0xff, 0xff, byte(packet.Response)})},
		{"announces one octet more than allowed", true, always(binary.BigEndian.AppendUint32(nil, 512<<10+1))},
		{"sends an empty message", true, always([]byte{0, 0, 0, 0})},
		{"ends within the length", true, answering(func(c net.Conn) { write(c, []byte{0, 0}); _ = c.Close() })},
		{"ends within a message", true, answering(func(c net.Conn) { write(c, []byte{0, 0, 0, 9, byte(packet.Response), 3}); _ = c.Close() })},
		{"sends a type that does not exist", true, always(segment(99))},
		{"sends a request", true, always(segment(packet.Request, 1, 'x'))},
		{"sends an event without a name", true, always(segment(packet.Event, 0))},
		{"sends an event whose name is cut", true, always(segment(packet.Event, 200, 'x'))},
		{"sends an unknown element", true, always(segment(packet.Response, 77))},
		{"closes a section that is not open", true, always(segment(packet.Response, sectionEnd))},
		{"leaves a section open", true, always(segment(packet.Response, sectionStart, 1, 'x'))},
		{"leaves a list open", true, always(segment(packet.Response, listStart, 1, 'x', listItem, 0, 1, 'y'))},
		{"puts a section into a list", true, always(segment(packet.Response, listStart, 1, 'x', sectionStart, 1, 'y', sectionEnd, listEnd))},
		{"sends a value that is cut", true, always(segment(packet.Response, keyValue, 1, 'x', 255, 255, 'y'))},
		{"sends a key that is cut", true, always(segment(packet.Response, keyValue, 255, 'x'))},
		{"nests a hundred thousand sections", true, always(segment(packet.Response, nested...))},
		{"speaks HTTP", true, func(c net.Conn) { write(c, []byte("HTTP/1.1 400 Bad Request\r\n\r\n")); untilGone(c) }},
		{"confirms what it is asked", true, answering(func(c net.Conn) { write(c, segment(packet.Confirm)) })},
		{"drips one octet at a time", false, answering(func(c net.Conn) {
			for _, o := range AppendPacket(nil, packet.Response, "", []packet.Element{packet.Value("x", string(make([]byte, 60000)))}) {
				if _, err := c.Write([]byte{o}); err != nil {
					return
				}
				time.Sleep(5 * time.Millisecond)
			}
		})},
		{"raises events for ever", false, answering(func(c net.Conn) {
			names := []string{"list-sa", "list-conn", "list-cert", "list-policy", "list-authority", "control-log"}
			for i := 0; ; i++ {
				e := AppendPacket(nil, packet.Event, names[i%len(names)], []packet.Element{SA(i, true)})
				if _, err := c.Write(e); err != nil {
					return
				}
			}
		})},
	}
}
