package wire

import "fmt"

// Many says that a payload may stand any number of times.
const Many = maxPayloads

// A Form is one shape that a message of IKEv2 can have: "IKE_AUTH request that
// opens an EAP conversation". Engine, decoder and explanations read the same
// table, Forms.
type Form struct {
	Exchange  ExchangeType
	Response  bool
	Name      string // unique within the exchange: "EAP message"
	Purpose   string // one sentence for a person
	RFC       string
	Sealed    bool // the payloads stand inside SK or SKF
	Payloads  []PayloadRule
	Notifies  []NotifyRule
	ErrorOnly bool // stands on an error notify: one that this package does not know fits too
}

// PayloadRule says how often a payload of one type stands in a form. Notify
// and Vendor ID payloads may stand anywhere and have no rules (RFC 7296 3.10,
// 3.12).
type PayloadRule struct {
	Type     PayloadType
	Min, Max int
}

// NotifyRule names a notify that belongs to a form.
type NotifyRule struct {
	Type     NotifyType
	Required bool
}

func one(ts ...PayloadType) []PayloadRule       { return rules(1, 1, ts) }
func maybe(ts ...PayloadType) []PayloadRule     { return rules(0, 1, ts) }
func anyNumber(ts ...PayloadType) []PayloadRule { return rules(0, Many, ts) }

func rules(lo, hi int, ts []PayloadType) []PayloadRule {
	var rs []PayloadRule
	for _, t := range ts {
		rs = append(rs, PayloadRule{t, lo, hi})
	}
	return rs
}

func all(rs ...[]PayloadRule) []PayloadRule {
	var sum []PayloadRule
	for _, r := range rs {
		sum = append(sum, r...)
	}
	return sum
}

func required(ts ...NotifyType) []NotifyRule { return notifyRules(true, ts) }
func expected(ts ...NotifyType) []NotifyRule { return notifyRules(false, ts) }

func notifyRules(required bool, ts []NotifyType) []NotifyRule {
	var rs []NotifyRule
	for _, t := range ts {
		rs = append(rs, NotifyRule{t, required})
	}
	return rs
}

// String gives "IKE_AUTH response: EAP message".
func (f *Form) String() string {
	kind := "request"
	if f.Response {
		kind = "response"
	}
	return fmt.Sprintf("%s %s: %s", f.Exchange, kind, f.Name)
}

// Match finds the form that a message has, or comes nearest to, and its
// deviations from it. The payloads are those of m, or for a sealed message
// inner, the decrypted ones (of all its fragments). The form is nil where the
// exchange is not one of IKEv2's, or where the message is sealed, as messages of
// its exchange may be, and inner is nil, so that nothing can be said. Missing and surplus payloads are fatal,
// payloads that do not belong into the exchange are not. Offsets are those of
// the chain that was looked at.
func Match(m *Message, inner []Payload) (*Form, []Problem) {
	_, sealed := m.Sealed()
	ps := m.Payloads
	if sealed {
		if inner == nil && hasSealedForms(m.Exchange) {
			return nil, nil
		}
		ps = inner
	}
	var best *Form
	var bestDeviations, deviations []deviation
	var distance int
	for i := range Forms {
		f := &Forms[i]
		if f.Exchange != m.Exchange || f.Response != m.Response() || f.Sealed != sealed {
			continue
		}
		deviations = f.check(deviations[:0], ps)
		if d := f.distance(ps, deviations); best == nil || d < distance {
			best, distance = f, d
			bestDeviations, deviations = deviations, bestDeviations
		}
	}
	if best == nil && m.Version.Major() == 2 && m.Exchange.Version2() && hasForms(m.Exchange) {
		what := "the payloads stand in the clear"
		if sealed {
			what = "the payloads are encrypted before there are keys"
		}
		return nil, []Problem{{Offset: HeaderLength, Payload: m.NextPayload, Fatal: true, What: what,
			RFC: "RFC 7296 1.2", Notify: NotifyInvalidSyntax}}
	}
	var problems []Problem
	for i := range bestDeviations {
		problems = append(problems, bestDeviations[i].problem(best))
	}
	return best, problems
}

// distance says how far a chain with these problems is from the form: what is
// missing weighs more than one payload too many and less than two; an error
// in a form without errors weighs, and a notify that only this form has
// decides between equals.
func (f *Form) distance(ps []Payload, deviations []deviation) int {
	d := 0
	for i := range deviations {
		if deviations[i].kind != strange {
			d += 100
		} else {
			d += 60
		}
	}
	named := false
	for _, r := range f.Notifies {
		if r.Required && FindNotify(ps, r.Type) != nil {
			d--
			named = named || r.Type.Error()
		}
	}
	if hasError(ps) && !f.ErrorOnly && !named {
		d += 50
	}
	return d
}

func hasForms(t ExchangeType) bool {
	for i := range Forms {
		if Forms[i].Exchange == t {
			return true
		}
	}
	return false
}

func hasSealedForms(t ExchangeType) bool {
	for i := range Forms {
		if Forms[i].Exchange == t && Forms[i].Sealed {
			return true
		}
	}
	return !hasForms(t)
}

// Check gives the deviations of a message from the grammar of its exchange,
// none where it fits one of the exchange's forms. See Match.
func Check(m *Message, inner []Payload) []Problem {
	_, problems := Match(m, inner)
	return problems
}

// deviation is a Problem that is not put into words yet: of all forms that are
// tried, those of the nearest are told.
type deviation struct {
	kind    deviationKind
	payload PayloadType
	offset  int
	max     int        // of surplus
	notify  NotifyType // of unnamed
}

type deviationKind uint8

const (
	strange deviationKind = iota // a payload that does not belong there: not fatal
	surplus
	missing
	unnamed // a notify that has to be there
	errorless
)

// problem tells a deviation from the form f.
func (d *deviation) problem(f *Form) Problem {
	p := Problem{Offset: d.offset, Payload: d.payload, RFC: f.RFC, Fatal: d.kind != strange}
	if p.Fatal {
		p.Notify = NotifyInvalidSyntax
	}
	switch d.kind {
	case strange:
		p.What = fmt.Sprintf("does not belong into %s", f)
	case surplus:
		p.What = fmt.Sprintf("stands more than %d times in %s", d.max, f)
	case missing:
		p.What = fmt.Sprintf("is missing from %s", f)
	case unnamed:
		p.What = fmt.Sprintf("%s is missing from %s", d.notify, f)
	case errorless:
		p.What = fmt.Sprintf("no error is told in %s", f)
	}
	return p
}

// check appends the deviations of a chain of payloads from the form.
func (f *Form) check(list []deviation, ps []Payload) []deviation {
	var count [256]int
	for i := range ps {
		t := ps[i].Type
		count[t]++
		if t == PayloadNotify || t == PayloadVendor || !t.Version2() {
			continue
		}
		switch r := f.rule(t); {
		case r == nil:
			list = append(list, deviation{kind: strange, payload: t, offset: ps[i].Offset})
		case count[t] == r.Max+1:
			list = append(list, deviation{kind: surplus, payload: t, offset: ps[i].Offset, max: r.Max})
		}
	}
	for _, r := range f.Payloads {
		if count[r.Type] < r.Min {
			list = append(list, deviation{kind: missing, payload: r.Type})
		}
	}
	for _, r := range f.Notifies {
		if r.Required && FindNotify(ps, r.Type) == nil {
			list = append(list, deviation{kind: unnamed, payload: PayloadNotify, notify: r.Type})
		}
	}
	if f.ErrorOnly && !hasError(ps) {
		list = append(list, deviation{kind: errorless, payload: PayloadNotify})
	}
	return list
}

func (f *Form) rule(t PayloadType) *PayloadRule {
	for i := range f.Payloads {
		if f.Payloads[i].Type == t {
			return &f.Payloads[i]
		}
	}
	return nil
}

func hasError(ps []Payload) bool {
	for i := range ps {
		if n, ok := ps[i].Body.(*Notify); ok && n.Type.Error() {
			return true
		}
	}
	return false
}
