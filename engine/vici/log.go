package vici

import (
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// maxLine bounds what is kept of a log line, in octets.
const maxLine = 8 << 10

// logEvent reads a log or control-log event.
func logEvent(s section, at time.Time, progress bool) *event.Event {
	level := -2
	if v, err := strconv.ParseInt(s.text("level"), 10, 8); err == nil {
		level = int(v)
	}
	l := &event.Log{
		Group: s.text("group"), Level: level,
		Thread: number[int](s, "thread").Or(0),
		IKE:    s.text("ikesa-name"), IKEID: number[uint32](s, "ikesa-uniqueid").Or(0),
		Text: s.text("msg"), Progress: progress,
	}
	Recognise(l)
	return &event.Event{Time: at, Log: l}
}

// Recognise reads the text of a line of charon's log and sets what it tells.
// A line that the table does not know stays as it is.
func Recognise(l *event.Log) {
	if len(l.Text) > maxLine {
		l.Text = l.Text[:maxLine]
	}
	for _, p := range patternsFor(l.Text) {
		if !strings.Contains(l.Text, p.has) {
			continue
		}
		if m := p.re().FindStringSubmatch(l.Text); m != nil {
			if p.set(l, p, m) {
				return
			}
		}
	}
}

// pattern is one row of the table of log lines.
type pattern struct {
	has string // must be in the line; what makes looking cheap
	// expr is the line, as a regular expression; named groups become details.
	expr string
	kind string // the fixed word of a failure or step
	set  func(l *event.Log, p *pattern, m []string) bool

	once     sync.Once
	compiled *regexp.Regexp
}

func (p *pattern) re() *regexp.Regexp {
	p.once.Do(func() { p.compiled = regexp.MustCompile(p.expr) })
	return p.compiled
}

// patternsFor narrows the table down by the first letter of the line: a row
// whose expression begins with a literal only fits lines that do too.
func patternsFor(text string) []*pattern {
	if text == "" {
		return nil
	}
	return byFirst()[text[0]]
}

var byFirst = sync.OnceValue(func() *[256][]*pattern {
	var t [256][]*pattern
	for i := range patterns {
		p := &patterns[i]
		if first := p.expr; len(first) > 1 && first[0] == '^' && first[1] != '(' && first[1] != '\\' && first[1] != '[' && first[1] != '.' {
			t[first[1]] = append(t[first[1]], p)
			continue
		}
		for c := range t {
			t[c] = append(t[c], p)
		}
	}
	return &t
})

// details gives the named groups that matched something.
func details(p *pattern, m []string) map[string]string {
	var d map[string]string
	for i, name := range p.re().SubexpNames() {
		if name != "" && m[i] != "" {
			if d == nil {
				d = make(map[string]string)
			}
			d[name] = m[i]
		}
	}
	return d
}

func atoi(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0
	}
	return n
}

func atou(s string) uint32 {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil {
		return 0
	}
	return uint32(n)
}

func setMessage(l *event.Log, _ *pattern, m []string) bool {
	msg := &event.LogMessage{Sent: m[1] == "generating", Name: m[2], Response: m[3] == "response", MessageID: atou(m[4])}
	msg.Exchange = exchanges()[m[2]]
	msg.Payloads = splitPayloads(m[5])
	if len(msg.Payloads) == 1 {
		if f, ok := strings.CutPrefix(msg.Payloads[0], "EF("); ok {
			a, b, _ := strings.Cut(strings.TrimSuffix(f, ")"), "/")
			msg.Fragment, msg.Fragments = atoi(a), atoi(b)
		}
	}
	l.Message = msg
	return true
}

// splitPayloads takes charon's list apart at the blanks that are not within
// parentheses.
func splitPayloads(s string) []string {
	var list []string
	depth, start := 0, -1
	for i := 0; i <= len(s); i++ {
		switch {
		case i == len(s) || s[i] == ' ' && depth == 0:
			if start >= 0 {
				list = append(list, s[start:i])
			}
			start = -1
			continue
		case s[i] == '(':
			depth++
		case s[i] == ')':
			depth--
		}
		if start < 0 {
			start = i
		}
	}
	return list
}

// exchanges finds an exchange type by the name that charon prints.
var exchanges = sync.OnceValue(func() map[string]wire.ExchangeType {
	m := map[string]wire.ExchangeType{"ID_PROT": 2, "AUTH_ONLY": 3, "AGGRESSIVE": 4, "INFORMATIONAL_V1": 5, "TRANSACTION": 6, "QUICK_MODE": 32, "NEW_GROUP_MODE": 33}
	for t := wire.ExchangeType(34); t < 64; t++ {
		if t.Version2() {
			m[t.String()] = t
		}
	}
	return m
})

func setDatagram(l *event.Log, _ *pattern, m []string) bool {
	src, ok1 := endpoint(m[2])
	dst, ok2 := endpoint(m[3])
	if !ok1 || !ok2 {
		return false
	}
	l.Datagram = &event.LogDatagram{Sent: m[1] == "sending", Src: src, Dst: dst, Octets: atoi(m[4])}
	return true
}

// endpoint reads charon's "192.0.2.1[500]".
func endpoint(s string) (netip.AddrPort, bool) {
	host, port, ok := strings.Cut(strings.TrimSuffix(s, "]"), "[")
	a, err := netip.ParseAddr(host)
	n, err2 := strconv.ParseUint(port, 10, 16)
	if !ok || err != nil || err2 != nil {
		return netip.AddrPort{}, false
	}
	return netip.AddrPortFrom(a, uint16(n)), true
}

func setRetransmit(l *event.Log, p *pattern, m []string) bool {
	d := details(p, m)
	r := &event.LogRetransmit{Kind: event.RetransmitKind(p.kind), Attempt: atoi(d["attempt"])}
	if v, ok := d["id"]; ok {
		r.MessageID, r.Known = atou(v), true
	}
	l.Retransmit = r
	return true
}

func setProposals(l *event.Log, p *pattern, m []string) bool {
	list := strings.Split(m[1], ", ")
	switch p.kind {
	case "received":
		l.Proposals = &event.LogProposals{Received: list}
	case "configured":
		l.Proposals = &event.LogProposals{Configured: list}
	default:
		l.Proposals = &event.LogProposals{Selected: m[1]}
	}
	return true
}

func setFailure(local bool) func(*event.Log, *pattern, []string) bool {
	return func(l *event.Log, p *pattern, m []string) bool {
		f := &event.LogFailure{Kind: p.kind, Local: local, Detail: details(p, m)}
		f.Notify, f.Child = f.Detail["notify"], f.Detail["child"]
		delete(f.Detail, "notify")
		delete(f.Detail, "child")
		if len(f.Detail) == 0 {
			f.Detail = nil
		}
		l.Failure = f
		return true
	}
}

func setStep(l *event.Log, p *pattern, m []string) bool {
	l.Step = &event.LogStep{Kind: p.kind, Detail: details(p, m)}
	return true
}

func setIKE(l *event.Log, _ *pattern, m []string) bool {
	l.Established = &event.LogEstablished{Name: m[1], UniqueID: atou(m[2]), Local: m[3], Remote: m[4]}
	return true
}

func setChild(l *event.Log, _ *pattern, m []string) bool {
	in, err := strconv.ParseUint(m[3], 16, 32)
	out, err2 := strconv.ParseUint(m[4], 16, 32)
	if err != nil || err2 != nil {
		return false
	}
	l.Established = &event.LogEstablished{Child: true, Name: m[1], UniqueID: atou(m[2]),
		SPIIn: wire.ESPSPI(in), SPIOut: wire.ESPSPI(out), LocalTS: m[5], RemoteTS: m[6]}
	return true
}
