package native

import (
	"cmp"
	"context"
	"crypto/x509"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/engine/ike"
	"github.com/cloudvlan/cvlanctl/engine/policy"
)

func sortByID(list []*engine.IKESA) {
	slices.SortFunc(list, func(a, b *engine.IKESA) int { return cmp.Compare(a.UniqueID, b.UniqueID) })
}

// listed gives a connection as the listings have it.
func listed(c *policy.Connection, m *material, own *ike.Connection, port uint16) *engine.Connection {
	l := &engine.Connection{Name: c.Name, Loaded: engine.Some(m.loaded), LocalAddrs: []string{own.Local.String()}, LocalPort: engine.Some(port), Version: "IKEv2",
		RekeyTime: engine.Some(c.Rekey), ReauthTime: engine.Some(c.Reauth), DPDDelay: engine.Some(c.DPD.Interval),
		Unique: "UNIQUE_" + strings.ToUpper(c.Unique),
		Local:  []engine.AuthRound{round(&c.Local, own.LocalID.String(), m.own, nil)}, Remote: []engine.AuthRound{round(&c.Remote, c.Remote.ID, m.peers, m.roots)}}
	if c.Hard > c.Rekey {
		l.OverTime = engine.Some(c.Hard - c.Rekey)
	}
	for _, a := range c.RemoteAddrs {
		l.RemoteAddrs = append(l.RemoteAddrs, a.String())
	}
	l.RemotePort = engine.Some(cmp.Or(c.RemotePort, ike.StandardPorts.IKE))
	l.Proposals = proposalTexts(c.Proposals)
	for i := range c.Children {
		ch := &c.Children[i]
		child := &engine.ChildConfig{Name: ch.Name, Mode: "TUNNEL", RekeyTime: engine.Some(ch.Time.Rekey),
			LocalTS: selectorTexts(ch.Local), RemoteTS: selectorTexts(ch.Remote), Proposals: proposalTexts(ch.Proposals),
			DPDAction: c.DPD.Action, CloseAction: ch.Close, StartAction: ch.Start}
		if ch.Transport {
			child.Mode = "TRANSPORT"
		}
		l.Children = append(l.Children, child)
	}
	return l
}

func round(a *policy.Auth, id string, certs, roots []*x509.Certificate) engine.AuthRound {
	class := "public key"
	switch {
	case a.Method == policy.PSK:
		class = "pre-shared key"
	case a.Method.EAP():
		class = "EAP"
	}
	r := engine.AuthRound{Class: class, ID: id, Certs: subjects(certs), CACerts: subjects(roots)}
	if a.Method == policy.Pubkey {
		r.Revocation = a.Revocation
	}
	return r
}

// authoritiesOf lists the authorities of a policy that are believed.
func authoritiesOf(p *policy.Policy) ([]engine.Authority, error) {
	var list []engine.Authority
	for i := range p.Authorities {
		a := &p.Authorities[i]
		if a.Intermediate {
			continue
		}
		certs, err := certificatesOf(a.Certificate)
		if err != nil {
			return nil, fmt.Errorf("authority %s: %w", a.Name, err)
		}
		list = append(list, engine.Authority{Name: a.Name, CACert: subjectOf(certs[0]), CRLURIs: a.CRL, OCSPURIs: a.OCSP})
	}
	return list, nil
}

func proposalTexts(list []policy.Proposal) []string {
	texts := make([]string, len(list))
	for i := range list {
		texts[i] = list[i].Text
	}
	return texts
}

func selectorTexts(list []policy.Selector) []string {
	texts := make([]string, len(list))
	for i := range list {
		texts[i] = list[i].String()
	}
	return texts
}

// Version says what the engine is.
func (e *Engine) Version(context.Context) (engine.Version, error) {
	return engine.Version{Daemon: backend.Native, Version: e.options.Version, SysName: runtime.GOOS, Machine: runtime.GOARCH}, nil
}

// Stats counts the engine's IKE SAs.
func (e *Engine) Stats(ctx context.Context) (engine.Stats, error) {
	s := engine.Stats{Since: e.began}
	err := e.do(ctx, func(now time.Time) ike.Output {
		held := e.endpoint.Held()
		s.Running = now.Sub(e.began)
		s.IKESAs, s.HalfOpen, s.Scheduled = engine.Some(len(e.models())), engine.Some(held.HalfOpen), engine.Some(held.Deadlines)
		return ike.Output{}
	})
	return s, err
}

// Connections lists the connections of the policy, and those that were loaded.
// They belong to the engine: who
// wants to change them copies them.
func (e *Engine) Connections(context.Context) ([]*engine.Connection, error) {
	return e.listing(), nil
}

// SAs lists the IKE SAs that a filter lets through.
func (e *Engine) SAs(ctx context.Context, f backend.Filter) ([]*engine.IKESA, error) {
	var all []*engine.IKESA
	if err := e.do(ctx, func(time.Time) ike.Output {
		all = e.models()
		return ike.Output{}
	}); err != nil {
		return nil, err
	}
	var list []*engine.IKESA
	for _, sa := range all {
		if f.IKE != "" && f.IKE != sa.Name || f.IKEID != 0 && f.IKEID != sa.UniqueID {
			continue
		}
		if f.Child != "" || f.ChildID != 0 {
			sa.Children = slices.DeleteFunc(sa.Children, func(c *engine.ChildSA) bool {
				return f.Child != "" && f.Child != c.Name || f.ChildID != 0 && f.ChildID != c.UniqueID
			})
			if len(sa.Children) == 0 {
				continue
			}
		}
		list = append(list, sa)
	}
	return list, nil
}

// Snapshot lists connections and SAs at one moment and joins them.
func (e *Engine) Snapshot(ctx context.Context) (*backend.Snapshot, error) {
	s := &backend.Snapshot{State: e.State(), Watched: e.began}
	s.Version, _ = e.Version(ctx) // it has no error
	err := e.do(ctx, func(now time.Time) ike.Output {
		s.At, s.SAs = now, e.models()
		return ike.Output{}
	})
	if err != nil {
		return nil, err
	}
	s.Connections = e.listing()
	s.Tunnels = backend.Join(s.Connections, s.SAs, &e.history)
	return s, nil
}
