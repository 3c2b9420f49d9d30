package peer

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/cloudvlan/cvlanctl/diag"
	"github.com/cloudvlan/cvlanctl/diag/probe/scan"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

func (r *run) resolve() (Status, string) {
	ctx, cancel := r.patient()
	defer cancel()
	a, err := r.tools.Resolve(ctx)
	if err != nil {
		r.probe.ResolveError = err.Error()
		r.end("the peer has no address")
		return Fail, err.Error()
	}
	r.probe.Remote = a
	if a.String() == r.target.Host {
		return Pass, "it is an address"
	}
	return Pass, a.String()
}

func (r *run) route() (Status, string) {
	ctx, cancel := r.patient()
	defer cancel()
	words, _, err := r.tools.Route(ctx, r.probe.Remote)
	if err != nil {
		r.end("there is no route to the peer")
		return Fail, err.Error()
	}
	return Pass, words
}

func (r *run) hostSettings() (Status, string) {
	if r.tools.Host == nil {
		return Skip, "not looked at"
	}
	ctx, cancel := r.patient()
	defer cancel()
	h := r.tools.Host(ctx)
	if h == nil || h.Chains == nil {
		return Skip, "the firewall cannot be seen here: " + whyUnseen(h)
	}
	r.host = &diag.HostFacts{At: h.At, Chains: h.Chains}
	if len(h.Chains) == 0 {
		return Pass, "no firewall here"
	}
	return Pass, fmt.Sprintf("firewall read: %d chains that packets come by", len(h.Chains))
}

// whyUnseen says why the firewall is not among what was seen.
func whyUnseen(h *diag.HostFacts) string {
	if h != nil {
		for _, u := range h.Unseen {
			if strings.Contains(u.What, "firewall") {
				return u.Why
			}
		}
	}
	return "nothing tells of it"
}

func reach(q *scan.Question) diag.Reach {
	switch q.Verdict() {
	case scan.Answers:
		return diag.ReachAnswers
	case scan.Refused:
		return diag.ReachRefused
	case scan.Silent:
		return diag.ReachSilent
	}
	return diag.ReachUnknown
}

// outcome says how a port took a request, in words.
func outcome(q *scan.Question) string {
	switch q.Verdict() {
	case scan.Answers:
		words := "answered"
		if q.RTT > 0 {
			words += fmt.Sprintf(" in %s", q.RTT.Round(10*time.Microsecond))
		}
		if q.Cookie {
			words += ", after a cookie was demanded"
		}
		return words
	case scan.Refused:
		return "refused by ICMP: nobody listens"
	}
	return "no answer"
}

func (r *run) plainPort() (Status, string) {
	var err error
	if r.line, err = r.tools.Line(r.probe.Remote); err != nil {
		r.end("the peer cannot be sent to")
		return Fail, err.Error()
	}
	local, remote := r.line.Ends(false)
	_, natt := r.line.Ends(true)
	r.probe.Local, r.probe.PlainPort, r.probe.NATTPort = local.Addr(), remote.Port(), natt.Port()
	r.prober = scan.NewProber(r.line, scan.Options{Pace: time.Millisecond})
	q, err := r.prober.Propose(r.ctx, r.target.Proposals, false, 0)
	switch {
	case errors.Is(err, fs.ErrPermission):
		// To the peer it is the same as any other firewall on the way.
		r.probe.Plain = diag.ReachSilent
		return Fail, err.Error()
	case err != nil:
		r.end("the peer cannot be sent to")
		return Fail, err.Error()
	}
	r.plain = q
	r.probe.Plain = reach(&q)
	if r.probe.Plain == diag.ReachAnswers {
		return Pass, outcome(&q)
	}
	// Is anybody there, who only does not answer us?
	if f, err := r.prober.Future(r.ctx); err == nil {
		r.probe.Stranger = reach(&f)
	}
	return Fail, outcome(&q)
}

func (r *run) nattPort() (Status, string) {
	q, err := r.prober.Propose(r.ctx, r.target.Proposals, true, 0)
	words := outcome(&q)
	switch {
	case errors.Is(err, fs.ErrPermission):
		r.probe.NATT, words = diag.ReachSilent, err.Error()
	case err != nil:
		return Fail, err.Error()
	default:
		r.probe.NATT = reach(&q)
	}
	if r.probe.Plain != diag.ReachAnswers {
		if r.probe.NATT != diag.ReachAnswers {
			r.end("the peer does not answer")
			return Fail, words
		}
		r.end("port %d does not answer, and the engine begins there", r.probe.PlainPort)
		return Pass, words
	}
	if r.probe.NATT != diag.ReachAnswers {
		return Fail, words
	}
	return Pass, words
}

func (r *run) nat() (Status, string) {
	local, remote := r.plain.NATLocal, r.plain.NATRemote
	switch {
	case local == nil || remote == nil:
		return Skip, "the answer has no NAT detection hashes"
	case *local && *remote:
		return Pass, "a NAT in front of both sides, or in front of this one while the peer forces encapsulation"
	case *local:
		return Pass, "a NAT in front of this side"
	case *remote:
		return Pass, "a NAT in front of the peer, or it forces encapsulation"
	}
	return Pass, "no NAT on the way"
}

// probeSizes are the sizes of IP packets to try, each twice: what every path
// takes, what common tunnels leave, Ethernet, and one that becomes IP fragments.
var probeSizes = []int{576, 1280, 1400, 1500, 2000}

func (r *run) sizes() (Status, string) {
	if r.plain.Outcome == scan.OutcomeAccepted {
		takes := slices.Contains(r.plain.Notifies, wire.NotifyFragmentationSupported.String())
		r.probe.IKEFragments = &takes
	}
	var lost []string
	for _, size := range probeSizes {
		s := diag.ProbeSize{Octets: size}
		for range 2 {
			q, err := r.prober.Propose(r.ctx, r.target.Proposals, false, size)
			if err != nil {
				return Fail, err.Error()
			}
			s.Sent++
			if q.Verdict() == scan.Answers {
				s.Answered++
				break
			}
		}
		r.probe.Sizes = append(r.probe.Sizes, s)
		if s.Answered == 0 {
			lost = append(lost, fmt.Sprint(size))
			if size == probeSizes[0] {
				break
			}
		}
	}
	words := "packets of 576 to 1500 octets and IP fragments pass"
	if len(lost) > 0 {
		words = "packets of " + strings.Join(lost, ", ") + " octets get no answer"
	}
	if f := r.probe.IKEFragments; f != nil {
		words += map[bool]string{true: "; IKE fragmentation: yes", false: "; IKE fragmentation: no"}[*f]
	}
	if len(lost) > 0 {
		return Warn, words
	}
	return Pass, words
}

func (r *run) proposal() (Status, string) {
	if r.plain.Outcome == scan.OutcomeAccepted {
		return Pass, "agreed: " + r.plain.Suite
	}
	r.probe.Refusal = r.plain.Outcome
	words := r.plain.Outcome
	if r.plain.Outcome == wire.NotifyNoProposalChosen.String() {
		if accepts, err := r.prober.Accepts(r.ctx); err == nil && len(accepts.Suites) > 0 {
			r.probe.Accepts = accepts.Suites
			words += "; asked for others, it took " + strings.Join(accepts.Suites, ", ")
		}
	}
	r.end("the proposals do not fit")
	return Fail, words
}
