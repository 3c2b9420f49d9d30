package cli

import (
	"bufio"
	"fmt"
	"net/netip"
	"strings"

	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli/print"
	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli/term"
	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/trace"
	"github.com/cloudvlan/cvlanctl/internal/clean"
)

// saTable gives the SAs as a table: a line for each IKE SA, and under it a
// line for each of its CHILD SAs.
func saTable(t *trace.Trace) *print.Rows {
	rows := &print.Rows{
		Columns: []print.Column{
			{Title: "SA"}, {Title: "local"}, {Title: "remote"}, {Title: "state"},
			{Title: "NAT"}, {Title: "in", Right: true}, {Title: "out", Right: true}, {Title: "suite"},
		},
		Empty: "No security association in this capture.",
	}
	for _, sa := range t.SAs {
		rows.Add(
			print.C(sa.InitiatorSPI.String()),
			print.C(endpointText(sa.Local.Host, sa.Local.Port)), print.C(endpointText(sa.Remote.Host, sa.Remote.Port)),
			print.Cell{Text: string(sa.State), Meaning: ikeMeaning(sa.State)},
			print.C(natWord(&sa.NAT)), print.C(""), print.C(fmt.Sprintf("%d msgs", sa.Messages)), print.C(sa.Suite.Keyword),
		)
		for i, c := range sa.Children {
			branch := "├ "
			if i == len(sa.Children)-1 {
				branch = "└ "
			}
			rows.Add(
				print.C(branch+childSPIs(c)),
				print.C(strings.Join(c.LocalTS, ",")), print.C(strings.Join(c.RemoteTS, ",")),
				print.Cell{Text: string(c.State), Meaning: childMeaning(c.State)},
				print.C(""), print.C(count(c.PacketsIn)), print.C(count(c.PacketsOut)), print.C(c.Suite.Keyword),
			)
		}
	}
	for _, f := range t.Flows {
		if f.Child != nil {
			continue
		}
		in, out := "", fmt.Sprintf("%d pkts", f.Packets)
		if f.Inbound && f.SA != nil {
			in, out = out, ""
		}
		rows.Add(print.C(f.SPI.String()+" "+f.Proto.String()), print.C(endpointText(f.Src.Addr(), f.Src.Port())), print.C(endpointText(f.Dst.Addr(), f.Dst.Port())),
			print.Cell{Text: "unjoined", Meaning: term.Muted}, print.C(""), print.C(in), print.C(out), print.C(""))
	}
	return rows
}

func count(n engine.Opt[uint64]) string {
	v, ok := n.Get()
	if !ok {
		return ""
	}
	return fmt.Sprintf("%d pkts", v)
}

// childSPIs gives the two SPIs of a CHILD SA, a question mark for one that is
// not known.
func childSPIs(c *engine.ChildSA) string {
	in, out := "?", "?"
	if v, ok := c.SPIIn.Get(); ok {
		in = v.String()
	}
	if v, ok := c.SPIOut.Get(); ok {
		out = v.String()
	}
	return in + " / " + out
}

// natWord says where NAT is, in a word.
func natWord(n *engine.NAT) string {
	local, remote := n.Local.Or(false), n.Remote.Or(false)
	switch {
	case n.Fake.Or(false):
		return "forced"
	case local && remote:
		return "both"
	case local:
		return "local"
	case remote:
		return "remote"
	case !n.Local.IsZero() && !n.Remote.IsZero():
		return "none"
	}
	return "unknown"
}

// ikeMeaning says what a state means to an operator.
func ikeMeaning(s engine.IKEState) term.Meaning {
	switch s {
	case engine.IKEEstablished, engine.IKEPassive:
		return term.Good
	case engine.IKEFailed:
		return term.Bad
	case engine.IKEDeleted, engine.IKERekeyed, engine.IKEDestroying, engine.IKEDeleting:
		return term.Muted
	}
	return term.Busy
}

func childMeaning(s engine.ChildState) term.Meaning {
	switch s {
	case engine.ChildInstalled, engine.ChildRouted:
		return term.Good
	case engine.ChildFailed:
		return term.Bad
	case engine.ChildDeleted, engine.ChildRekeyed, engine.ChildDestroying, engine.ChildDeleting:
		return term.Muted
	}
	return term.Busy
}

// writeSAs writes all that is known of every SA, for -o wide.
func writeSAs(t *term.Terminal, tr *trace.Trace) error {
	w := bufio.NewWriter(t.Out)
	if len(tr.SAs) == 0 && len(tr.Flows) == 0 {
		fmt.Fprintln(w, "No security association in this capture.")
	}
	for i, sa := range tr.SAs {
		if i > 0 {
			fmt.Fprintln(w)
		}
		writeSA(w, t, sa)
	}
	first := true
	for _, f := range tr.Flows {
		if f.SA != nil {
			continue
		}
		if first {
			fmt.Fprintln(w, "\nESP and AH without an IKE SA in this capture:")
			first = false
		}
		writeFlow(w, f)
	}
	return w.Flush()
}

func writeSA(w *bufio.Writer, t *term.Terminal, sa *trace.IKESA) {
	line := func(label, format string, args ...any) {
		fmt.Fprintf(w, "  %-12s %s\n", label, clean.Text(fmt.Sprintf(format, args...)))
	}
	fmt.Fprintf(w, "%s  IKEv%d  %s\n", t.Paint(term.Strong, "IKE SA "+spis(sa)), sa.Version, t.Paint(ikeMeaning(sa.State), string(sa.State)))
	line("local", "%s%s", endpointText(sa.Local.Host, sa.Local.Port), identity(sa.Local.ID))
	line("remote", "%s%s", endpointText(sa.Remote.Host, sa.Remote.Port), identity(sa.Remote.ID))
	switch {
	case sa.Suite.Keyword != "":
		line("suite", "%s", sa.Suite.Keyword)
	case sa.Partial:
		line("suite", "unknown: the beginning of this SA was not captured")
	}
	line("NAT", "%s", natText(sa))
	if !sa.First.IsZero() {
		line("seen", "%s for %s, %d messages, %d octets", sa.First.UTC().Format("2006-01-02 15:04:05.000"), shortDuration(sa.Last.Sub(sa.First)), sa.Messages, sa.Octets)
	}
	if sa.DPD.Probes > 0 {
		line("DPD", "%d probes, %d answered", sa.DPD.Probes, sa.DPD.Answered)
	}
	if sa.Keepalives > 0 {
		line("keepalives", "%d", sa.Keepalives)
	}
	if sa.WrongKey {
		line("keys", "the keys given for this SA are wrong")
	}
	for _, v := range sa.VendorIDs {
		if v.Name != "" {
			line("vendor id", "%s%s", v.Name, ofSide(v.By))
		}
	}
	for _, m := range sa.Moves {
		line("moved", "%s to %s in frame %d%s", m.From, m.To, m.Frame, by(m.By))
	}
	if sa.Predecessor != nil {
		line("replaces", "%s", spis(sa.Predecessor))
	}
	if sa.Successor != nil {
		line("replaced by", "%s", spis(sa.Successor))
	}
	if sa.Ended != "" {
		line("ended", "%s%s", endingText(sa.Ended), by(sa.EndedBy))
	}
	for _, c := range sa.Children {
		writeChild(w, t, c)
	}
	for _, f := range sa.Flows {
		writeFlow(w, f)
	}
}

func writeChild(w *bufio.Writer, t *term.Terminal, c *engine.ChildSA) {
	words := []string{string(c.State)}
	for _, s := range []string{c.Mode, c.Protocol, c.Suite.Keyword} {
		if s != "" {
			words = append(words, s)
		}
	}
	if c.Encap.Or(false) {
		words = append(words, "in UDP")
	}
	words[0] = t.Paint(childMeaning(c.State), words[0])
	fmt.Fprintf(w, "  CHILD SA %s  %s\n", childSPIs(c), strings.Join(words, ", "))
	if len(c.LocalTS)+len(c.RemoteTS) > 0 {
		fmt.Fprintf(w, "    %s === %s\n", clean.Text(strings.Join(c.LocalTS, " ")), clean.Text(strings.Join(c.RemoteTS, " ")))
	}
}

// writeFlow writes one ESP or AH SA on the wire.
func writeFlow(w *bufio.Writer, f *trace.Flow) {
	fmt.Fprintf(w, "  %s %s  %s -> %s  %d packets, %d octets, seq %d to %d",
		strings.ToUpper(f.Proto.String()), f.SPI, endpointText(f.Src.Addr(), f.Src.Port()), endpointText(f.Dst.Addr(), f.Dst.Port()),
		f.Packets, f.Octets, f.FirstSeq, f.HighSeq)
	for _, x := range []struct {
		n    int64
		what string
	}{{f.Missing, "missing"}, {f.Duplicates, "duplicates"}, {f.Reordered, "reordered"}, {f.Resets, "resets"}, {f.ICVFailed, "with a wrong ICV"}} {
		if x.n > 0 {
			fmt.Fprintf(w, ", %d %s", x.n, x.what)
		}
	}
	if f.SA != nil && !f.Certain {
		fmt.Fprint(w, " (joined by address and time)")
	}
	fmt.Fprintln(w)
}

func identity(id string) string {
	if id == "" {
		return ""
	}
	return " '" + id + "'"
}

func ofSide(o trace.Origin) string {
	if o == trace.Nobody {
		return ""
	}
	return " (" + o.String() + ")"
}

// natText says what the NAT detection of an SA came to.
func natText(sa *trace.IKESA) string {
	var text string
	switch natWord(&sa.NAT) {
	case "forced":
		text = "encapsulation in UDP was forced by a false hash"
	case "both":
		text = "both sides are behind NAT"
	case "local":
		text = "the initiator is behind NAT"
	case "remote":
		text = "the responder is behind NAT"
	case "none":
		text = "none"
	default:
		text = "unknown"
	}
	for _, x := range []struct {
		who string
		at  netip.AddrPort
	}{{"initiator", sa.NATD.InitiatorInside}, {"responder", sa.NATD.ResponderInside}} {
		if x.at.IsValid() {
			text += fmt.Sprintf("; the %s's own address is %s", x.who, x.at)
		}
	}
	return text
}
