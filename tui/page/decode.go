package page

import (
	"fmt"

	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/trace"
	"github.com/cloudvlan/cvlanctl/engine/wire"
	"github.com/cloudvlan/cvlanctl/tui/theme"
	"github.com/cloudvlan/cvlanctl/tui/widget"
)

// The buffers that a packet's nodes point into.
const (
	bufferWire  = iota // as captured
	bufferPlain        // the decrypted chain
	noBuffer           // what is told of a packet beside its octets
)

// decoded is what a kept message and a fetched packet have in common.
type decoded struct {
	octets, plain []byte
	inner         []wire.Payload // nil where not decrypted
	innerProblems []wire.Problem
	decryptError  string
	about         []*widget.Node
}

// decodeMessage makes the tree of a message that a trace has kept.
func decodeMessage(m *trace.Message) ([]*widget.Node, []buffer) {
	d := decoded{octets: m.Octets, decryptError: m.DecryptError}
	if m.Decrypted {
		d.plain, d.inner = m.Plain, m.Payloads
	}
	d.about = append(d.about,
		note("from", endpoint(m.Src)), note("to", endpoint(m.Dst)), note("carried in", m.Encap.String()), note("time", clock(m.Time)))
	if len(m.Frames) > 1 {
		d.about = append(d.about, note("frames", fmt.Sprint(m.Frames)))
	}
	return d.ike()
}

// decodePacket makes the tree of a packet.
func decodePacket(p *event.Packet) ([]*widget.Node, []buffer) {
	d := decoded{octets: p.Octets}
	for _, o := range p.Outer {
		d.about = append(d.about, note("inside", fmt.Sprintf("%s from %s to %s", o.Kind, host(o.Src), host(o.Dst))))
	}
	d.about = append(d.about,
		note("from", endpointOf(p.Src, p.SrcPort)), note("to", endpointOf(p.Dst, p.DstPort)),
		note("carried in", p.Encap.String()), note("hop limit", fmt.Sprint(p.TTL)))
	if len(p.VLANs) > 0 {
		d.about = append(d.about, note("VLAN", fmt.Sprint(p.VLANs)))
	}
	if len(p.IPFragments) > 0 {
		d.about = append(d.about, note("IP fragments", fmt.Sprint(p.IPFragments)))
	}
	if p.Truncated {
		d.about = append(d.about, bad("truncated", fmt.Sprintf("%d of %d octets were captured", len(p.Octets), p.Length)))
	}
	switch {
	case p.IKE != nil:
		d.decryptError = p.IKE.DecryptError
		if p.IKE.Decrypted {
			d.plain, d.inner, d.innerProblems = p.IKE.Plain, p.IKE.Inner, p.IKE.InnerProblems
		}
		if f := p.IKE.Fragment; f != nil {
			d.about = append(d.about, note("IKE fragment", fmt.Sprintf("%d of %d, frames %v", f.Number, f.Total, f.Frames)))
		}
		return d.ike()
	case p.ESP != nil:
		return d.security("ESP", p.ESP)
	case p.AH != nil:
		return d.security("AH", p.AH)
	}
	return []*widget.Node{
		{Name: p.Proto.String(), Length: len(p.Octets)},
		packetNode(d.about),
	}, d.buffers(p.Proto.String())
}

func (d *decoded) buffers(name string) []buffer {
	b := []buffer{{fmt.Sprintf("%s, %s", name, count(int64(len(d.octets)), "octet")), d.octets}}
	if d.plain != nil {
		b = append(b, buffer{"decrypted, " + count(int64(len(d.plain)), "octet"), d.plain})
	}
	return b
}

func packetNode(about []*widget.Node) *widget.Node {
	return &widget.Node{Name: "packet", Buffer: noBuffer, Children: about, Closed: true}
}

// ike makes the tree of an IKE message.
func (d *decoded) ike() ([]*widget.Node, []buffer) {
	m, err := wire.Parse(d.octets)
	var roots []*widget.Node
	if m != nil {
		roots = nodes(m.Tree(), bufferWire)
		for i := range m.Problems {
			roots = append(roots, problemNode(&m.Problems[i], bufferWire))
		}
		d.seal(m, roots)
	}
	if err != nil && (m == nil || len(m.Problems) == 0) {
		roots = append(roots, bad("not readable", err.Error()))
	}
	return append(roots, packetNode(d.about)), d.buffers("IKE message")
}

// seal hangs what keys have opened, or why they have not, on the node of the
// encrypted payload.
func (d *decoded) seal(m *wire.Message, roots []*widget.Node) {
	for i := range m.Payloads {
		switch m.Payloads[i].Body.(type) {
		case *wire.Encrypted, *wire.Fragment, *wire.V1Encrypted:
		default:
			continue
		}
		for _, root := range roots {
			if root.Offset != m.Payloads[i].Offset || root.Length != m.Payloads[i].Length {
				continue
			}
			switch {
			case d.decryptError != "":
				root.Children = append(root.Children, bad("keys", d.decryptError))
			case d.inner != nil:
				root.Closed = false
				var inner []*widget.Node
				for j := range d.inner {
					inner = append(inner, node(d.inner[j].Tree(), bufferPlain))
				}
				for j := range d.innerProblems {
					inner = append(inner, problemNode(&d.innerProblems[j], bufferPlain))
				}
				root.Children = append(inner, root.Children...)
			}
		}
	}
}

// security makes the tree of an ESP or AH packet.
func (d *decoded) security(name string, s *event.SecurityPacket) ([]*widget.Node, []buffer) {
	spiAt := 0
	if name == "AH" {
		spiAt = 4 // next header, length and reserved come first (RFC 4302 2)
	}
	root := &widget.Node{Name: name, Length: len(d.octets), Children: []*widget.Node{
		{Name: "SPI", Value: s.SPI.String(), Offset: spiAt, Length: 4},
		{Name: "sequence number", Value: fmt.Sprint(s.Seq), Offset: spiAt + 4, Length: 4},
	}}
	switch {
	case s.DecryptError != "":
		root.Children = append(root.Children, bad("keys", s.DecryptError))
	case s.Decrypted:
		icv := note("integrity", "holds")
		if !s.ICVOK {
			icv = bad("integrity", "does not hold")
		}
		root.Children = append(root.Children, icv, note("next header", fmt.Sprint(s.NextHeader)))
	case name == "ESP" && len(d.octets) > 8:
		root.Children = append(root.Children, &widget.Node{
			Name: "encrypted", Value: count(int64(len(d.octets)-8), "octet"), Offset: 8, Length: len(d.octets) - 8,
		})
	}
	if in := s.Inner; in != nil {
		words := fmt.Sprintf("protocol %d, %s", in.Protocol, count(int64(in.Length), "octet"))
		root.Children = append(root.Children, &widget.Node{Name: "inner packet", Value: words, Buffer: noBuffer, Children: []*widget.Node{
			note("from", endpointOf(in.Src, in.SrcPort)), note("to", endpointOf(in.Dst, in.DstPort)),
		}})
	}
	return []*widget.Node{root, packetNode(d.about)}, d.buffers(name)
}

// nodes turns decoded fields into nodes. Branches start closed, so that the
// chain of payloads can be seen at once.
func nodes(fields []wire.Field, buffer int) []*widget.Node {
	out := make([]*widget.Node, len(fields))
	for i := range fields {
		out[i] = node(fields[i], buffer)
	}
	return out
}

func node(f wire.Field, buffer int) *widget.Node {
	return &widget.Node{
		Name: f.Name, Value: f.Value, Buffer: buffer, Offset: f.Offset, Length: f.Length, Children: nodes(f.Children, buffer),
		Closed: true,
	}
}

func problemNode(p *wire.Problem, buffer int) *widget.Node {
	role := theme.Warning
	if p.Fatal {
		role = theme.Bad
	}
	return &widget.Node{Name: "problem", Value: p.What + " (" + p.RFC + ")", Role: role, Buffer: buffer, Offset: p.Offset, Length: 1}
}

func note(name, value string) *widget.Node {
	return &widget.Node{Name: name, Value: value, Buffer: noBuffer}
}

func bad(name, value string) *widget.Node {
	return &widget.Node{Name: name, Value: value, Role: theme.Bad, Buffer: noBuffer}
}
