package auth

import (
	"time"

	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// Split proves this side by one kind of credentials and checks the peer by
// another, as where one side has a certificate and the other a shared key
// (RFC 7296 2.15).
type Split struct {
	Own, Peer Credentials
}

// Prove is that of Own.
func (c Split) Prove(s *Statement) (*Proof, error) { return c.Own.Prove(s) }

// Verify is that of Peer.
func (c Split) Verify(s *Statement, p *Proof, now time.Time) *Verdict {
	return c.Peer.Verify(s, p, now)
}

// Hashes are those of Peer. Where it needs none, those of Own are announced,
// since a peer that hears nothing does not tell its own either.
func (c Split) Hashes() []wire.HashAlgorithm {
	if h := c.Peer.Hashes(); len(h) > 0 {
		return h
	}
	return c.Own.Hashes()
}

// Authorities are those of Peer.
func (c Split) Authorities() [][]byte { return c.Peer.Authorities() }
