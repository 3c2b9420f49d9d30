package enginetest

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/ike"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// maxRungs bounds a ladder: of a long life only the end is kept.
const maxRungs = 2000

// Ladder is a record of what went over the network, to be read by people.
type Ladder struct{ rungs []string }

func (l *Ladder) add(now time.Time, format string, args ...any) {
	if len(l.rungs) >= maxRungs {
		l.rungs = append(l.rungs[:0], l.rungs[len(l.rungs)-maxRungs/2:]...)
	}
	l.rungs = append(l.rungs, fmt.Sprintf("%10.3f  ", now.Sub(Start).Seconds())+fmt.Sprintf(format, args...))
}

func (l *Ladder) note(now time.Time, text string) { l.add(now, "    . %s", text) }

func (l *Ladder) packet(now time.Time, p *Packet, fate string) {
	to := p.Dst.String()
	if p.To != nil {
		to = p.To.Name
	}
	if fate != "" {
		fate = "  (" + fate + ")"
	}
	l.add(now, "%s --> %s  %s%s", p.From.Name, to, p.Label, fate)
}

// String gives the ladder, a line for a message or a remark.
func (l *Ladder) String() string { return strings.Join(l.rungs, "\n") + "\n" }

// label says what a datagram holds, from its header and the events of the
// step that made it.
func label(d ike.Datagram, events []event.Event) string {
	kind, octets := wire.ClassifyUDP(d.Octets, d.Marked)
	if kind == wire.UDPKeepalive {
		return "NAT keepalive"
	}
	h, err := wire.ParseHeader(octets)
	if err != nil {
		return fmt.Sprintf("%d octets", len(octets))
	}
	text := fmt.Sprintf("%s %s %d", h.Exchange, h.Role(), h.MessageID)
	for i := range events {
		p := events[i].Packet
		if p == nil || !bytes.Equal(p.Octets, octets) {
			continue
		}
		var words []string
		for _, pl := range p.IKE.Payloads() {
			if n, ok := pl.Body.(*wire.Notify); ok {
				words = append(words, "N("+n.Type.String()+")")
			} else {
				words = append(words, pl.Type.String())
			}
		}
		return text + " [" + strings.Join(words, " ") + "]"
	}
	return fmt.Sprintf("%s, %d octets", text, len(octets))
}
