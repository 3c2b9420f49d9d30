package rule

import (
	"encoding/binary"
	"fmt"

	"github.com/cloudvlan/cvlanctl/diag"
	"github.com/cloudvlan/cvlanctl/engine/trace"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// notifyRules are for notifies that by themselves name the fault.
var notifyRules = []diag.Rule{
	notifyRule(named{
		id: "unsupported-critical-payload", typ: wire.NotifyUnsupportedCriticalPayload,
		say: func(m *trace.Message, n *wire.Notify) string {
			what := "a payload"
			if len(n.Data) > 0 {
				what = fmt.Sprintf("the payload of type %d (%s)", n.Data[0], wire.PayloadType(n.Data[0]))
			}
			return fmt.Sprintf("%s does not understand %s, which %s marks as critical", m.Src.Addr(), what, m.Dst.Addr())
		},
	}),
	notifyRule(named{
		id: "malformed-or-garbled-message", typ: wire.NotifyInvalidSyntax,
		say: func(m *trace.Message, _ *wire.Notify) string {
			return fmt.Sprintf("%s finds a message of %s malformed: INVALID_SYNTAX", m.Src.Addr(), m.Dst.Addr())
		},
	}),
	notifyRule(named{
		id: "invalid-ike-spi", typ: wire.NotifyInvalidIKESPI, many: 2,
		say: func(m *trace.Message, _ *wire.Notify) string {
			return fmt.Sprintf("%s does not know the IKE SA that %s uses", m.Src.Addr(), m.Dst.Addr())
		},
	}),
	notifyRule(named{
		id: "invalid-esp-spi-stale-sa", typ: wire.NotifyInvalidSPI, many: 3,
		say: func(m *trace.Message, n *wire.Notify) string {
			spi := n.Data
			if len(spi) > 4 {
				spi = spi[:4]
			}
			return fmt.Sprintf("%s does not know the ESP SA %x that %s sends on", m.Src.Addr(), spi, m.Dst.Addr())
		},
	}),
	notifyRule(named{
		id: "message-id-desync", typ: wire.NotifyInvalidMessageID,
		say: func(m *trace.Message, n *wire.Notify) string {
			id := ""
			if len(n.Data) >= 4 {
				id = fmt.Sprintf(" %d", binary.BigEndian.Uint32(n.Data))
			}
			return fmt.Sprintf("%s got message ID%s outside its window from %s", m.Src.Addr(), id, m.Dst.Addr())
		},
	}),
	notifyRule(named{
		id: "windows-ms-status", typ: wire.NotifyMicrosoftStatus,
		say: func(m *trace.Message, n *wire.Notify) string {
			return fmt.Sprintf("%s (Windows) says %s", m.Src.Addr(), microsoftStatus(n.Data))
		},
	}),
}

// named is a notify that names a fault.
type named struct {
	id  string
	typ wire.NotifyType
	// many is from how many on it is more than a passing race; below, the
	// finding is an info. 0 means that one is enough.
	many int
	say  func(*trace.Message, *wire.Notify) string
}

func notifyRule(r named) diag.Rule {
	return diag.Rule{
		ID:    r.id,
		Needs: []string{fmt.Sprintf("notifies %s (%d): in the clear, or opened with keys", r.typ, uint16(r.typ))},
		Find:  func(f *diag.Facts) []diag.Finding { return r.find(f) },
	}
}

func (r named) find(f *diag.Facts) []diag.Finding {
	var found []diag.Finding
	for _, sa := range v2(f) {
		if !carries(sa, r.typ) {
			continue
		}
		d := about(sa)
		d.Confidence = diag.Certain
		n := 0
		for _, x := range sa.Exchanges {
			for _, m := range []*trace.Message{x.Request, x.Response} {
				notify := m.Notify(r.typ)
				if notify == nil {
					continue
				}
				n++
				where := "protected"
				if !m.Encrypted {
					// Anyone can send it: no proof.
					where = "unprotected"
					if m.Header.Exchange != wire.ExchangeIKESAInit {
						d.Confidence = diag.Likely
						d.Surer = "the sender's log: the notify is not protected"
					}
				}
				if d.Summary == "" {
					d.Summary = r.say(m, notify)
				}
				if len(d.Evidence) < maxListed {
					d.Evidence = append(d.Evidence, at(m, "N(%s), %s, in %s", r.typ, where, m.Header.Exchange))
				}
			}
		}
		if n < r.many {
			d.Severity = diag.Info
		}
		d.Count = n
		found = append(found, span(d))
	}
	return found
}

// microsoftStatus translates the data of a Microsoft status notify: a code of
// Win32, four octets in network order.
func microsoftStatus(data []byte) string {
	if len(data) < 4 {
		return "a status without a code"
	}
	code := binary.BigEndian.Uint32(data)
	if s, ok := microsoftCodes[code]; ok {
		return fmt.Sprintf("%d, %s", code, s)
	}
	return fmt.Sprintf("%d, a code that is not known here", code)
}
