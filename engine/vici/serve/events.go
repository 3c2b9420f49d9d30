package serve

import (
	"strconv"
	"time"

	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/vici/packet"
)

// maxLogLevel is the highest level of the event log: what VICI has there.
const maxLogLevel = 1

// change gives the event of a change of an SA; no entries for a kind that VICI
// has no event for.
func change(c *event.Change, at time.Time) (string, []packet.Element) {
	var up []packet.Element
	if c.Kind == event.IKEUp || c.Kind == event.ChildUp {
		up = append(up, packet.Value("up", "yes"))
	}
	old := c.Old
	if old == nil {
		old = c.SA
	}
	switch c.Kind {
	case event.IKEUp, event.IKEDown:
		return "ike-updown", append(up, packet.Sub(c.SA.Name, ikeSA(c.SA, at)...))
	case event.ChildUp, event.ChildDown:
		return "child-updown", append(up, packet.Sub(c.SA.Name, append(ikeSA(c.SA, at), childSAs(c.SA.Children, at))...))
	case event.IKERekey:
		return "ike-rekey", []packet.Element{packet.Sub(old.Name, packet.Sub("old", ikeSA(old, at)...), packet.Sub("new", ikeSA(c.SA, at)...))}
	case event.IKEUpdate:
		// The section is the SA as it was; the new addresses stand beside it.
		return "ike-update", append(append(side("local", &c.SA.Local), side("remote", &c.SA.Remote)...), packet.Sub(old.Name, ikeSA(old, at)...))
	case event.ChildRekey:
		var pairs []packet.Element
		for i, now := range c.SA.Children {
			was := now
			if i < len(old.Children) {
				was = old.Children[i]
			}
			pairs = append(pairs, packet.Sub(was.Name, packet.Sub("old", childSA(was, at)...), packet.Sub("new", childSA(now, at)...)))
		}
		return "child-rekey", []packet.Element{packet.Sub(c.SA.Name, append(ikeSA(c.SA, at), packet.Sub("child-sas", pairs...))...)}
	}
	return "", nil
}

// side gives an end's address and port.
func side(prefix string, s *engine.Side) []packet.Element {
	host := "%any"
	if s.Host.IsValid() {
		host = s.Host.String()
	}
	return []packet.Element{packet.Value(prefix+"-host", host), packet.Value(prefix+"-port", strconv.Itoa(int(s.Port)))}
}

func alert(a *event.Alert, at time.Time) []packet.Element {
	entries := []packet.Element{packet.Value("type", a.Type)}
	if a.SA != nil {
		entries = append(entries, packet.Sub("ike-sa", packet.Sub(a.SA.Name, ikeSA(a.SA, at)...)))
	}
	return entries
}

// logLine gives a line for the events log and control-log.
func logLine(l *event.Log, thread bool) []packet.Element {
	level := l.Level
	if level < -1 {
		level = 1
	}
	entries := []packet.Element{packet.Value("group", l.Group), packet.Value("level", strconv.Itoa(level))}
	if thread {
		entries = append(entries, packet.Value("thread", strconv.Itoa(l.Thread)))
	}
	if l.IKE != "" || l.IKEID != 0 {
		entries = append(entries, packet.Value("ikesa-name", l.IKE), packet.Value("ikesa-uniqueid", strconv.FormatUint(uint64(l.IKEID), 10)))
	}
	text := l.Text
	if len(text) > maxLine {
		text = text[:maxLine]
	}
	return append(entries, packet.Value("msg", text))
}

// maxLine bounds a line of the log in octets.
const maxLine = 8 << 10
