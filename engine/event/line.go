package event

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/cloudvlan/cvlanctl/engine"
)

// Line gives an event as a line of a log, as strongSwan would write it: nil for
// a Table. Changes are of level 0, steps and comparisons that fail of level 1,
// those that succeed of level 2. Names in it may be a stranger's: clean it
// before it goes to a terminal.
func Line(e *Event) *Log {
	switch {
	case e.Log != nil:
		return e.Log
	case e.Change != nil:
		return changeLine(e.Change)
	case e.Alert != nil:
		l := &Log{Group: "IKE", Level: 1, Text: "alert: " + e.Alert.Type}
		l.of(e.Alert.SA)
		return l
	case e.Check != nil:
		return checkLine(e.Check)
	case e.Step != nil:
		l := &Log{Group: "IKE", Level: 1, IKE: e.Step.IKE, IKEID: e.Step.IKEID, SPIi: e.Step.SPIi, SPIr: e.Step.SPIr,
			Text: e.Step.Kind + ": " + e.Step.Text}
		l.OfPeer(e.Step.Peer)
		if e.Step.Child != "" {
			l.Group = "CHD"
		}
		return l
	case e.Packet != nil:
		p := e.Packet
		l := &Log{Group: "ENC", Level: 1, Text: fmt.Sprintf("%s; %s[%d] to %s[%d]", Summary(e), p.Src, p.SrcPort, p.Dst, p.DstPort)}
		if p.IKE != nil && p.IKE.Message != nil {
			l.SPIi, l.SPIr = p.IKE.Message.InitiatorSPI, p.IKE.Message.ResponderSPI
		}
		return l
	case e.Gap != nil:
		return &Log{Group: "DMN", Level: 0, Text: gapText(e.Gap)}
	case e.ICMP != nil, e.Loss != nil:
		return &Log{Group: "NET", Level: 1, Text: Summary(e)}
	}
	return nil
}

// of says which IKE SA a line is about.
func (l *Log) of(sa *engine.IKESA) {
	if sa != nil {
		l.IKE, l.IKEID = sa.Name, sa.UniqueID
	}
}

func gapText(g *Gap) string {
	if g.Dropped == 0 {
		return g.What
	}
	return fmt.Sprintf("%s: %d are lost", g.What, g.Dropped)
}

// OfPeer has a line that is about no connection begin with the peer that it is
// about instead.
func (l *Log) OfPeer(peer netip.Addr) {
	if l.IKE == "" && peer.IsValid() {
		l.Text = fmt.Sprintf("peer %s: %s", peer, l.Text)
	}
}

func checkLine(c *Check) *Log {
	l := &Log{Group: "CFG", Level: 2, IKE: c.IKE, IKEID: c.IKEID, SPIi: c.SPIi, SPIr: c.SPIr}
	text := fmt.Sprintf("%s: %s: local %s, remote %s", c.Kind, c.What, c.Local, c.Remote)
	switch {
	case c.OK:
	case c.Kind == CheckRefusal:
		text = fmt.Sprintf("%s: %s: here %s; the peer says %s", c.Kind, c.What, c.Local, c.Remote)
	case c.Kind == CheckBusy:
		text = fmt.Sprintf("%s: %s: here %s; the peer asks for %s", c.Kind, c.What, c.Local, c.Remote)
	default:
		text += ": they do not fit"
	}
	if !c.OK {
		l.Level = 1
	}
	if c.Why != "" {
		text += ": " + c.Why
	}
	if c.RFC != "" {
		text += " (" + c.RFC + ")"
	}
	l.Text = text
	l.OfPeer(c.Peer)
	return l
}

func changeLine(c *Change) *Log {
	l := &Log{Group: "IKE"}
	l.of(c.SA)
	name := fmt.Sprintf("IKE_SA %s[%d]", c.SA.Name, c.SA.UniqueID)
	ends := fmt.Sprintf("%s[%s]...%s[%s]", c.SA.Local.Host, c.SA.Local.ID, c.SA.Remote.Host, c.SA.Remote.ID)
	switch c.Kind {
	case IKEUp:
		l.Text = name + " established between " + ends
	case IKEDown:
		l.Text = name + " deleted between " + ends
	case IKERekey:
		l.Text = name + " rekeyed between " + ends
	case IKEUpdate:
		l.Text = name + " moved, now between " + ends
	case ChildUp, ChildDown, ChildRekey:
		l.Group = "CHD"
		what := map[ChangeKind]string{ChildUp: "established", ChildDown: "closed", ChildRekey: "rekeyed, now"}[c.Kind]
		var texts []string
		for _, ch := range c.SA.Children {
			texts = append(texts, fmt.Sprintf("CHILD_SA %s{%d} %s with SPIs %s_i %s_o and TS %s === %s", ch.Name, ch.UniqueID, what,
				ch.SPIIn.Or(0), ch.SPIOut.Or(0), strings.Join(ch.LocalTS, " "), strings.Join(ch.RemoteTS, " ")))
		}
		l.Text = strings.Join(texts, "; ")
	default:
		l.Text = Summary(&Event{Change: c})
	}
	return l
}
