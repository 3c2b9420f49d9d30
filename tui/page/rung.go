package page

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/trace"
	"github.com/cloudvlan/cvlanctl/engine/wire"
	"github.com/cloudvlan/cvlanctl/tui/theme"
)

// rung is a row of the ladder: the head of an SA, a message, a repetition, or
// what is not there.
type rung struct {
	kind     rungKind
	sa       *trace.IKESA
	exchange *trace.Exchange
	message  *trace.Message // of a message; the original of a repetition
	response bool
	repeat   int // index in Repeats
	time     time.Time
	frame    int64
}

// toldOnly says whether a message is known from a daemon's log: it has
// neither octets nor a packet.
func (r *rung) toldOnly() bool { return r.message != nil && r.frame == 0 && len(r.message.Octets) == 0 }

type rungKind uint8

const (
	rungHead rungKind = iota
	rungMessage
	rungRepeat
	rungSilence // the request has no response
	rungMeaning // what the error notify of the message before says, in words
	rungSkipped // exchanges that are not kept
	rungQuiet   // nothing was exchanged while a daemon was watched
)

// addSA adds the rows of one SA that the filter lets through.
func (p *Exchanges) addSA(sa *trace.IKESA) {
	head := rung{kind: rungHead, sa: sa, time: sa.First, frame: sa.FirstFrame}
	start := len(p.rows)
	p.rows = append(p.rows, head)
	last := time.Time{}
	sorted := true
	add := func(r rung) {
		if r.kind != rungSkipped && r.time.Before(last) {
			sorted = false
		} else {
			last = r.time
		}
		p.rows = append(p.rows, r)
	}
	skippedBefore := len(sa.Exchanges)
	if sa.Skipped > 0 {
		skippedBefore = firstAfterGap(sa)
	}
	for i, x := range sa.Exchanges {
		if i == skippedBefore {
			add(rung{kind: rungSkipped, sa: sa, time: last})
		}
		addExchange(sa, x, add)
	}
	body := p.rows[start+1:]
	p.total += len(body)
	if !sorted {
		slices.SortStableFunc(body, func(a, b rung) int { return a.time.Compare(b.time) })
	}
	if p.filter.Empty() {
		if p.daemon && len(body) == 0 && sa.Ended == "" {
			p.rows = append(p.rows, rung{kind: rungQuiet, sa: sa, time: sa.First})
		}
		return
	}
	known := peers(sa)
	kept := slices.DeleteFunc(body, func(r rung) bool { return !p.filter.Match(p.field(r, known)) })
	p.rows = p.rows[:start+1+len(kept)]
	if len(kept) == 0 {
		p.rows = p.rows[:start]
	}
}

// firstAfterGap gives the index of the exchange before which others are not
// kept: where the message ids of one side jump the furthest.
func firstAfterGap(sa *trace.IKESA) int {
	var lastID [3]int64
	best, jump := len(sa.Exchanges), int64(1)
	for i, x := range sa.Exchanges {
		side := int(x.By) % 3
		if d := int64(x.MessageID) - lastID[side]; d > jump {
			best, jump = i, d
		}
		lastID[side] = int64(x.MessageID)
	}
	return best
}

func addExchange(sa *trace.IKESA, x *trace.Exchange, add func(rung)) {
	message := func(m *trace.Message, response bool) {
		r := rung{kind: rungMessage, sa: sa, exchange: x, message: m, response: response, time: m.Time, frame: m.Frame}
		add(r)
		if n := m.ErrorNotify(); n != nil && notifyMeaning(n) != "" {
			r.kind = rungMeaning
			add(r)
		}
	}
	if x.Request != nil {
		message(x.Request, false)
	}
	last := time.Time{}
	for i, r := range x.Repeats {
		original := x.Request
		if r.Response {
			original = x.Response
		}
		add(rung{kind: rungRepeat, sa: sa, exchange: x, message: original, response: r.Response, repeat: i, time: r.Time, frame: r.Frame})
		last = r.Time
	}
	switch {
	case x.Response != nil:
		message(x.Response, true)
	case x.Request != nil && sa.Version != 1:
		if last.Before(x.Request.Time) {
			last = x.Request.Time
		}
		add(rung{kind: rungSilence, sa: sa, exchange: x, time: last, frame: x.Request.Frame})
	}
	for i, m := range x.More {
		message(m, i%2 == 1)
	}
}

// peers gives all that a filter may know the peers of an SA by.
func peers(sa *trace.IKESA) string {
	return host(sa.Local.Host) + " " + host(sa.Remote.Host) + " " + sa.Local.ID + " " + sa.Remote.ID
}

func (p *Exchanges) field(r rung, peers string) func(string) string {
	return func(key string) string {
		switch key {
		case "":
			return r.label() + " " + rungNote(r).Text + " " + r.sa.InitiatorSPI.String() + " " + peers
		case "peer":
			return peers
		case "spi":
			return r.sa.InitiatorSPI.String() + " " + r.sa.ResponderSPI.String()
		case "exchange":
			return r.label()
		case "frame":
			return fmt.Sprint(r.frame)
		}
		return ""
	}
}

// purposes that the name of the exchange does not say already.
var purposes = map[trace.Purpose]string{
	trace.PurposeChild: "new child", trace.PurposeRekeyChild: "rekey child", trace.PurposeRekeyIKE: "rekey IKE",
	trace.PurposeDelete: "delete", trace.PurposeDPD: "DPD", trace.PurposeNotify: "notify",
	trace.PurposeMobike: "MOBIKE", trace.PurposeConfig: "config",
}

func (r *rung) label() string {
	if r.exchange == nil {
		return ""
	}
	label := r.exchange.Type.String() + " " + strconv.FormatUint(uint64(r.exchange.MessageID), 10)
	if r.sa.Version == 1 {
		label = strings.TrimSuffix(strings.TrimPrefix(r.exchange.Type.String(), "Identity Protection ("), ")")
		if r.exchange.MessageID != 0 {
			label += fmt.Sprintf(" %08x", r.exchange.MessageID)
		}
	}
	return label
}

// leftward says whether the message goes to the initiator of the IKE SA.
func (r *rung) leftward() bool {
	if r.message != nil && r.kind != rungRepeat && r.sa.Version == 1 && r.message.Src.Addr() != r.message.Dst.Addr() {
		return r.message.Src.Addr() == r.sa.Remote.Host
	}
	return (r.exchange.By == trace.Responder) != r.response
}

// rungNote says what there is to say about a message: an error, a
// repetition, a missing answer, else its payloads.
func rungNote(r rung) theme.Span {
	x := r.exchange
	switch r.kind {
	case rungSilence:
		if x.RequestRepeats > 0 {
			return theme.S(theme.Bad, fmt.Sprintf("no answer, sent %d times", x.RequestRepeats+1))
		}
		return theme.S(theme.Bad, "no answer seen")
	case rungRepeat:
		total, number := x.RequestRepeats, 0
		if r.response {
			total = x.ResponseRepeats
		}
		for i := 0; i <= r.repeat; i++ {
			if x.Repeats[i].Response == r.response {
				number++
			}
		}
		return theme.S(theme.Warning, fmt.Sprintf("sent again, %d of %d", number, total))
	case rungMessage:
		return messageNote(x, r.message)
	case rungMeaning:
		note := messageNote(x, r.message)
		note.Text = notifyMeaning(r.message.ErrorNotify())
		return note
	}
	return theme.Span{}
}

func messageNote(x *trace.Exchange, m *trace.Message) theme.Span {
	if n := m.ErrorNotify(); n != nil {
		role := theme.Bad
		if n.Type == wire.NotifyInvalidKEPayload || n.Type == wire.NotifyTemporaryFailure {
			role = theme.Warning
		}
		return theme.S(role, n.Type.String())
	}
	for i := range m.Problems {
		if m.Problems[i].Fatal {
			return theme.S(theme.Bad, "malformed: "+m.Problems[i].What)
		}
	}
	if m == x.Response && m.Notify(wire.NotifyCookie) != nil {
		return theme.S(theme.Warning, "asks for its cookie back")
	}
	words := payloadWords(m)
	if m.DecryptError != "" {
		return theme.S(theme.Warning, m.DecryptError+"; "+words)
	}
	if m == x.Request {
		words = purposeWords(x.Purpose, m, words)
	}
	if m.Fragments > 1 {
		words = fmt.Sprintf("%d fragments  ", m.Fragments) + words
	}
	if m.IPFragments > 1 {
		words = fmt.Sprintf("%d IP fragments  ", m.IPFragments) + words
	}
	return theme.S(theme.Muted, words)
}

// purposeWords says what a request is for, before its payloads where these
// say more.
func purposeWords(p trace.Purpose, m *trace.Message, payloads string) string {
	word := purposes[p]
	for i := range m.Payloads {
		d, ok := m.Payloads[i].Body.(*wire.Delete)
		switch {
		case !ok || p != trace.PurposeDelete:
		case len(d.SPIs) == 0:
			return "delete this IKE SA"
		default:
			word = "delete " + d.Protocol.String()
			for _, spi := range d.SPIs[:min(len(d.SPIs), 4)] {
				word += fmt.Sprintf(" %x", spi)
			}
			return word
		}
	}
	switch {
	case word == "":
		return payloads
	case p == trace.PurposeDPD:
		return word
	}
	return word + ": " + payloads
}

// payloadWords gives the chain of payloads in short: runs of one type are
// counted.
func payloadWords(m *trace.Message) string {
	if m.Encrypted && !m.Decrypted {
		if m.First == 0 {
			return "encrypted, empty"
		}
		return "encrypted, " + m.First.String() + " first"
	}
	var parts []string
	last, run := "", 0
	flush := func() {
		if run > 1 {
			last = fmt.Sprintf("%s×%d", last, run)
		}
		if run > 0 {
			parts = append(parts, last)
		}
	}
	for i := range m.Payloads {
		word := m.Payloads[i].Type.String()
		if word == "Notify" {
			word = "N"
		}
		if word == last {
			run++
			continue
		}
		flush()
		last, run = word, 1
	}
	flush()
	if len(parts) == 0 {
		return "empty"
	}
	return strings.Join(parts, " ")
}

func (r *rung) has(frame int64) bool {
	return r.frame == frame || r.message != nil && r.kind != rungRepeat && slices.Contains(r.message.Frames, frame)
}
