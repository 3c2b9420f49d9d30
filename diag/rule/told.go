package rule

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cloudvlan/cvlanctl/diag"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/trace"
)

// telling is how a daemon, or our own engine, says a fault in so many words.
// A row that fits yields a finding of its id; the first row that fits counts.
type telling struct {
	kind string // of event.LogFailure, LogStep, Alert or Check: as the table says
	id   string
	when func(*fact) bool // further condition, nil for none
	says string           // summary; {name} stands for a detail of the fact, {peer} and {us} for the hosts
	conf diag.Confidence  // zero is Certain
	own  diag.Ownership   // "" as the catalogue has it
	sev  diag.Severity    // 0 as the catalogue has it
	root bool             // it follows from nothing, see diag.Finding
	// surer is given where conf is not Certain.
	surer string
	fix   []diag.Remedy // lines with details in them; nil for the catalogue's
	// fixes gives further lines that depend on the fact; nil for none.
	fixes func(*fact) []diag.Remedy
}

// fact is one thing that was told, whoever told it.
type fact struct {
	time   time.Time
	sa     *trace.IKESA // nil where it belongs to none
	ike    string
	text   string
	notify string
	local  bool
	detail map[string]string
	peer   netip.Addr // not valid where not told: then the trace's remote end is the peer
}

// ends gives this side and the peer, "" where not known. A trace of packets
// alone has the initiator first, whoever tells the fact.
func (k *fact) ends() (us, peer string) {
	if k.sa == nil {
		return "", host(k.peer)
	}
	if k.peer.IsValid() && k.peer == k.sa.Local.Host {
		return host(k.sa.Remote.Host), host(k.sa.Local.Host)
	}
	return host(k.sa.Local.Host), host(k.sa.Remote.Host)
}

// told is where one kind of fact is looked up.
type told struct {
	table []telling
	facts func(*trace.Trace) []keyedFact
}

type keyedFact struct {
	kind string
	fact
}

var toldTables = []told{
	{failureTellings, failureFacts},
	{slices.Concat(checkTellings, refusedTellings, refusalTellings), checkFacts},
	{stepTellings, stepFacts},
	{alertTellings, alertFacts},
}

func failureFacts(t *trace.Trace) []keyedFact {
	var l []keyedFact
	for i := range t.Daemon.Failures {
		f := &t.Daemon.Failures[i]
		l = append(l, keyedFact{f.Kind, fact{time: f.Time, sa: f.SA, ike: f.IKE, text: f.Text, notify: f.Notify, local: f.Local, detail: f.Detail}})
	}
	return l
}

func stepFacts(t *trace.Trace) []keyedFact {
	var l []keyedFact
	for i := range t.Daemon.Steps {
		s := &t.Daemon.Steps[i]
		l = append(l, keyedFact{s.Kind, fact{time: s.Time, sa: s.SA, ike: s.IKE, text: s.Text, detail: s.Detail}})
	}
	return l
}

func alertFacts(t *trace.Trace) []keyedFact {
	var l []keyedFact
	for i := range t.Daemon.Alerts {
		a := &t.Daemon.Alerts[i]
		l = append(l, keyedFact{a.Type, fact{time: a.Time, sa: a.SA, text: "alert " + a.Type}})
	}
	return l
}

// checkFacts gives the comparisons of our own engine's that failed. {what},
// {local}, {remote} and {why} are their details; times is the how-manieth of its
// kind it is in its SA.
func checkFacts(t *trace.Trace) []keyedFact {
	type same struct {
		sa           *trace.IKESA
		kind, remote string
	}
	var l []keyedFact
	times := map[same]int{}
	for i := range t.Daemon.Checks {
		c := &t.Daemon.Checks[i]
		text := c.What + ": here " + c.Local + "; the peer " + c.Remote
		if c.Why != "" {
			text += " (" + c.Why + ")"
		}
		if c.Kind == event.CheckMAC && strings.HasPrefix(c.What, "AUTH of") {
			text = c.What + " does not verify: " + c.Why // two digests tell nobody anything
		}
		key := same{sa: c.SA, kind: string(c.Kind)}
		if c.Kind == event.CheckRefusal {
			key.remote = c.Remote
		}
		times[key]++
		l = append(l, keyedFact{string(c.Kind), fact{time: c.Time, sa: c.SA, text: text, local: true, peer: c.Peer,
			detail: map[string]string{"what": c.What, "local": c.Local, "remote": c.Remote, "why": c.Why, "near": c.Near, "times": strconv.Itoa(times[key])}}})
	}
	return l
}

// toldFindings gives what was told about one id.
func toldFindings(id string) func(*diag.Facts) []diag.Finding {
	return func(f *diag.Facts) []diag.Finding {
		if !f.Trace.Daemon.Known {
			return nil
		}
		var found []diag.Finding
		var idx peers
		for _, t := range toldTables {
			if !slices.ContainsFunc(t.table, func(r telling) bool { return r.id == id }) {
				continue
			}
			for _, k := range t.facts(f.Trace) {
				row := match(t.table, &k)
				if row == nil || row.id != id {
					continue
				}
				if idx == nil {
					idx = byPeers(v2(f))
				}
				found = append(found, row.finding(&k.fact, idx))
			}
		}
		return found
	}
}

func match(table []telling, k *keyedFact) *telling {
	for i := range table {
		if r := &table[i]; r.kind == k.kind && (r.when == nil || r.when(&k.fact)) {
			return r
		}
	}
	return nil
}

func (r *telling) finding(k *fact, idx peers) diag.Finding {
	d := diag.Finding{Severity: r.sev, Confidence: r.conf, Ownership: r.own, Surer: r.surer, Root: r.root, FirstSeen: k.time, LastSeen: k.time}
	if k.sa != nil {
		first := about(k.sa)
		d.Subject = first.Subject
		d.Subject.Local, d.Subject.Remote = k.ends()
	} else {
		d.Subject.Connection = k.ike
		d.Subject.Local, d.Subject.Remote = k.detail["local"], k.detail["remote"]
		if strings.ContainsAny(d.Subject.Local+d.Subject.Remote, " /") {
			d.Subject.Local, d.Subject.Remote = "", ""
		}
	}
	if d.Confidence == 0 {
		d.Confidence, d.Surer = diag.Certain, ""
	}
	fill := k.fill()
	d.Summary = fill(r.says)
	fix := r.fix
	if r.fixes != nil {
		fix = append(slices.Clone(fix), r.fixes(k)...)
	}
	for _, l := range fix {
		l.Change = fill(l.Change)
		if strings.Contains(l.Change, notTold) {
			continue // the catalogue's line says it better
		}
		d.Remedies = append(d.Remedies, l)
	}
	if len(d.Remedies) > 0 {
		d.Remedies = instead(r.id, d.Remedies...)
	}
	if k.sa != nil && k.sa.Established.IsZero() && idx.recovered(k.sa) {
		d.Severity = diag.Low
		d.Summary += "; a later attempt succeeded"
	}
	d.Evidence = []diag.Evidence{{Time: k.time, What: clip(k.text, maxEvidenceText)}}
	if k.sa != nil && strings.HasPrefix(r.id, "no-proposal") {
		d.Evidence = append(d.Evidence, bothOffers(k)...)
	}
	return d
}

// bothOffers are the proposals of both sides as the log has them.
func bothOffers(k *fact) []diag.Evidence {
	var l []diag.Evidence
	for _, side := range []struct {
		whose string
		list  []string
	}{{"theirs", k.sa.Offers.Received}, {"ours", k.sa.Offers.Configured}} {
		for _, p := range side.list[:min(len(side.list), maxListed)] {
			l = append(l, diag.Evidence{Time: k.time, What: side.whose + ": " + short(p)})
		}
	}
	return l
}

// notTold stands for a detail that is not known.
const notTold = "(not told)"

// fill puts the details of a fact into words. Strangers' text is bounded, and
// what is not known reads as such.
func (k *fact) fill() func(string) string {
	pairs := []string{"{us}", "this side", "{peer}", "the peer", "{notify}", k.notify, "{text}", short(k.text)}
	us, peer := k.ends()
	if us != "" {
		pairs[1] = us
	}
	if peer != "" {
		pairs[3] = peer
	}
	names := []string{"local", "remote", "received", "required", "required", "used", "id", "subject", "issuer", "from", "to", "why", "what", "requested", "offered",
		"name", "peer", "status", "uri", "algorithm", "address", "asked", "pool", "mode", "tried", "version", "spi", "expected", "child", "type", "wanted", "server", "eap", "error", "attempts", "when", "protocol", "other", "policy", "config"}
	for _, n := range names {
		if v := k.detail[n]; v != "" && n != "peer" {
			pairs = append(pairs, "{"+n+"}", short(v))
		} else if n != "peer" {
			pairs = append(pairs, "{"+n+"}", notTold)
		}
	}
	return strings.NewReplacer(pairs...).Replace
}

// withTold adds to a rule what daemons and our own engine say in so many words, so
// that one rule serves every source, and makes rules of the ids that have no
// other.
func withTold(rules []diag.Rule) []diag.Rule {
	rules, have := joined(rules)
	for _, t := range toldTables {
		for _, row := range t.table {
			if _, ok := have[row.id]; !ok {
				have[row.id] = len(rules)
				rules = append(rules, diag.Rule{ID: row.id})
			}
		}
	}
	said := toldIDs()
	for i := range rules {
		r := &rules[i]
		if said[r.ID] {
			r.Needs = append(slices.Clone(r.Needs), "a daemon's log and alerts, or our own engine's comparisons")
			r.Find = confirmed(r.Find, toldFindings(r.ID))
		}
		for _, id := range toldAfter[r.ID] {
			if id != r.ID && !slices.Contains(r.After, id) {
				r.After = append(slices.Clone(r.After), id)
			}
		}
	}
	return rules
}

// joined makes one rule of those with the same ID: what shows a fault on a
// capture, in a daemon's tables and on the host stands in a file each.
func joined(rules []diag.Rule) ([]diag.Rule, map[string]int) {
	at := make(map[string]int, len(rules))
	var one []diag.Rule
	for _, r := range rules {
		i, ok := at[r.ID]
		if !ok {
			at[r.ID] = len(one)
			one = append(one, r)
			continue
		}
		o := &one[i]
		o.Needs = slices.Concat(o.Needs, r.Needs)
		o.Find = both(o.Find, r.Find)
		for _, id := range r.After {
			if !slices.Contains(o.After, id) {
				o.After = append(slices.Clone(o.After), id)
			}
		}
	}
	return one, at
}

func toldIDs() map[string]bool {
	said := map[string]bool{}
	for _, t := range toldTables {
		for _, row := range t.table {
			said[row.id] = true
		}
	}
	return said
}

func both(a, b func(*diag.Facts) []diag.Finding) func(*diag.Facts) []diag.Finding {
	if a == nil {
		return b
	}
	return func(f *diag.Facts) []diag.Finding { return append(a(f), b(f)...) }
}

// confirmed joins what a rule sees in an SA's messages with what was told in
// words about the same SA: they are one occurrence, and the words say more.
func confirmed(seen, told func(*diag.Facts) []diag.Finding) func(*diag.Facts) []diag.Finding {
	if seen == nil {
		return told
	}
	return func(f *diag.Facts) []diag.Finding {
		found := seen(f)
		words := told(f)
		if len(words) == 0 {
			return found
		}
		at := make(map[string]int, len(found))
		for i := range found {
			if s := found[i].Subject.SPIi; s != "" {
				at[s] = i
			}
		}
		for _, w := range words {
			i, ok := at[w.Subject.SPIi]
			if !ok {
				found = append(found, w)
				continue
			}
			o := &found[i]
			evidence := append(slices.Clone(o.Evidence), w.Evidence...)
			if w.Confidence <= o.Confidence {
				if w.Remedies == nil {
					w.Remedies = o.Remedies
				}
				w.Variant, w.Count = o.Variant, o.Count
				w.FirstSeen = o.FirstSeen
				*o = w
			}
			o.Evidence = evidence
			*o = span(*o)
		}
		return found
	}
}

// The conditions that rows share.

func says(detail, part string) func(*fact) bool {
	return func(k *fact) bool { return strings.Contains(k.detail[detail], part) }
}

func notified(notify string) func(*fact) bool {
	return func(k *fact) bool { return k.notify == notify }
}

func textHas(part string) func(*fact) bool {
	return func(k *fact) bool { return strings.Contains(k.text, part) }
}

func every(conds ...func(*fact) bool) func(*fact) bool {
	return func(k *fact) bool {
		for _, c := range conds {
			if !c(k) {
				return false
			}
		}
		return true
	}
}

// inInit says that nothing but IKE_SA_INIT has been exchanged.
func inInit(k *fact) bool { return k.sa == nil || len(k.sa.Auth) == 0 && k.sa.Established.IsZero() }
