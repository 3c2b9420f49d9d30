package cli

import (
	"bufio"
	"fmt"
	"slices"

	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli/doc"
	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli/print"
	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli/term"
	"github.com/cloudvlan/cvlanctl/diag/grade"
	"github.com/cloudvlan/cvlanctl/diag/probe/peer"
	"github.com/cloudvlan/cvlanctl/engine/policy"
	"github.com/cloudvlan/cvlanctl/engine/suite"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// espKeywords are what a peer is asked for: what our engine can compute of it.
var espKeywords = []string{"aes256gcm16", "aes192gcm16", "aes128gcm16", "aes256gcm12", "aes192gcm12", "aes128gcm12", "aes256gcm8", "aes192gcm8", "aes128gcm8",
	"aes256ccm16", "aes192ccm16", "aes128ccm16", "aes256ccm12", "aes192ccm12", "aes128ccm12", "aes256ccm8", "aes192ccm8", "aes128ccm8", "chacha20poly1305",
	"aes256", "aes192", "aes128", "aes256ctr", "aes192ctr", "aes128ctr", "3des", "null",
	"sha256", "sha384", "sha512", "aesxcbc", "aescmac", "sha1", "md5"}

// espOffers gives the connection a child for each ESP algorithm, beside the
// tested one and otherwise as that. Encryption without integrity of its own is
// offered with all integrity, and integrity with all such encryption.
func (t *testPeer) espOffers() []peer.ESPOffer {
	i := slices.IndexFunc(t.conn.Children, func(c policy.Child) bool { return c.Name == t.child })
	if i < 0 || len(t.conn.Children[i].Proposals) == 0 {
		return nil
	}
	like := t.conn.Children[i]
	var algorithms, plain, integ, rest []wire.Transform
	for _, k := range espKeywords {
		a, ok := wire.ParseKeyword(k)
		if !ok {
			continue
		}
		id, bits, mac := a.ID, a.KeyLength(), uint16(wire.IntegSHA256128)
		if a.Type == wire.TransformInteg {
			id, bits, mac = wire.EncrAESCBC, 128, a.ID
		}
		if wire.AEAD(id) {
			mac = 0
		}
		if _, _, err := suite.KeyLengths(id, bits, mac); err != nil {
			continue // our engine does not have it
		}
		algorithms = append(algorithms, a)
		switch {
		case a.Type == wire.TransformInteg:
			integ = append(integ, a)
		case !wire.AEAD(a.ID):
			plain = append(plain, a)
		}
	}
	// The group and the sequence numbers are those that the tunnel has shown to fit.
	for _, x := range like.Proposals[0].Transforms {
		if x.Type != wire.TransformEncr && x.Type != wire.TransformInteg {
			rest = append(rest, x)
		}
	}
	var offers []peer.ESPOffer
	for _, a := range algorithms {
		ts := []wire.Transform{a}
		switch {
		case a.Type == wire.TransformInteg:
			ts = append(slices.Clone(plain), a)
		case !wire.AEAD(a.ID):
			ts = append(ts, integ...)
		}
		ts = append(ts, rest...)
		c := like
		c.Name, c.Start, c.Close = like.Name+"~"+a.Keyword(), "none", "none"
		c.Proposals = []policy.Proposal{{Text: wire.FormatProposal(wire.ProtocolESP, ts), Transforms: ts}}
		t.conn.Children = append(t.conn.Children, c)
		offers = append(offers, peer.ESPOffer{Child: c.Name, Algorithm: a})
	}
	return offers
}

// closeESP writes what the peer takes for ESP, with its grade.
func (t *testPeer) closeESP(r *peer.Report) error {
	d := doc.NewTestPeerESP(r, t.profile)
	if d == nil {
		return nil
	}
	if _, err := fmt.Fprintln(t.app.Term.Out); err != nil {
		return fmt.Errorf("writing the outcome: %w", err)
	}
	rows := &print.Rows{Columns: []print.Column{{Title: "type"}, {Title: "ESP accepted"}, {Title: "grade"}, {Title: t.profile.ESPSource}}}
	for _, x := range d.Transforms {
		if x.Accepted {
			rows.Add(print.C(x.Type), print.C(x.Keyword), print.Cell{Text: x.Grade, Meaning: gradeMeaning(x.Grade)}, print.C(x.Why))
		}
	}
	if err := rows.Write(t.app.Term, t.app.Output); err != nil || t.profile.Note == "" {
		return err
	}
	out := bufio.NewWriter(t.app.Term.Out)
	w := &wrapper{w: out, term: t.app.Term, width: columns(t.app.Term)}
	w.blank()
	w.line(term.Muted, "", t.profile.Note)
	if err := out.Flush(); err != nil {
		return fmt.Errorf("writing the outcome: %w", err)
	}
	return nil
}

// graded looks up the profile that --grade names.
func (o *TestPeerOptions) graded() (*grade.Profile, error) {
	if o.Grade == "" {
		return nil, nil
	}
	if o.Listen {
		return nil, usagef("--grade asks the peer, and --listen lets it ask")
	}
	p, err := grade.Named(o.Grade)
	if err != nil {
		return nil, &usageError{err}
	}
	return p, nil
}
