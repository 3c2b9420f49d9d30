package rule

import (
	"fmt"
	"slices"

	"github.com/cloudvlan/cvlanctl/diag"
	"github.com/cloudvlan/cvlanctl/engine/trace"
)

// lostAfterSilence is a NAT in front of this side that forgets: packets of the
// peer's side come soon after one of ours, and not after a longer silence.
func lostAfterSilence(f *diag.Facts) []diag.Finding {
	if f.Probe == nil || len(f.Probe.Quiet) < 2 || !slices.ContainsFunc(f.Trace.SAs, func(sa *trace.IKESA) bool { return sa.NAT.Local.Or(false) }) {
		return nil
	}
	first, last := f.Probe.Quiet[0], f.Probe.Quiet[len(f.Probe.Quiet)-1]
	// Most of each: a single packet may be lost for other reasons, and our own
	// rekeying breaks a silence.
	if 2*first.Answered <= first.Sent || 2*last.Answered >= last.Sent {
		return nil
	}
	d := probeFinding(f)
	d.Confidence, d.Surer = diag.Likely, "a capture outside of the NAT: does it send from another port after the silence?"
	d.Summary = fmt.Sprintf("packets from %s come through the NAT in front of %s %s after ours, and not after %s of silence: it has forgotten the mapping by then",
		f.Probe.Remote, f.Probe.Local, first.Silence, last.Silence)
	for _, q := range f.Probe.Quiet {
		d.Evidence = append(d.Evidence, seen("%s after our last packet: %d of %d from the peer's side came", q.Silence, q.Answered, q.Sent))
	}
	return []diag.Finding{d}
}
