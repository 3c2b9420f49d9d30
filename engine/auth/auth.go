// Package auth proves who we are to an IKEv2 peer and checks who the peer is
// (RFC 7296 2.15): shared keys, certificates with digital signatures (RFC 7427,
// RFC 4754, RFC 8420), identities and their patterns.
//
// Contract: pure functions over octets and a given time. Nothing is read from
// files or the network. Each judgement comes with the checks that it rests on,
// with both sides' values; secrets and private keys never stand in them. A
// refusal is an *Error.
package auth

import (
	"fmt"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/suite"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// Statement is what one side has to prove, or claims to have proved.
type Statement struct {
	// Prover is the identity that is proved, Verifier the other side's. A
	// Verifier of type 0 is not known, as where an initiator leaves IDr out.
	Prover, Verifier wire.ID
	PRF              suite.PRF
	// Signed are the octets that the proof covers (RFC 7296 2.15), see
	// suite.PRF.SignedOctets.
	Signed []byte
	// Hashes are those of the peer's SIGNATURE_HASH_ALGORITHMS notify, nil where
	// it sent none: then only the older methods can be used (RFC 7427 4).
	Hashes []wire.HashAlgorithm
	// Requested are the authorities of the peer's CERTREQ payloads: SHA-1
	// hashes of their public keys.
	Requested [][]byte
}

// Proof is what a side sends to prove its identity.
type Proof struct {
	Auth  wire.Auth
	Certs []wire.Cert // the prover's own first
}

// Verdict is the outcome of checking a Proof.
type Verdict struct {
	Method string        // "pre-shared key", "RSASSA-PSS with SHA2-256"
	Checks []event.Check // in the order in which they were made
	Err    *Error        // nil where the proof holds
}

// Error says why an identity could not be proved, or a proof does not hold.
type Error struct {
	Kind event.CheckKind // what failed
	What string          // in words, with the values of both sides
	RFC  string
}

// Error says what failed and by which RFC.
func (e *Error) Error() string { return fmt.Sprintf("%s (%s)", e.What, e.RFC) }

// Credentials prove this side's identity and check the peer's. An
// implementation may be shared by any number of IKE SAs, but not by several
// goroutines at once.
type Credentials interface {
	// Prove makes the AUTH payload, and the certificates beside it, for an
	// identity of this side. An error is an *Error.
	Prove(s *Statement) (*Proof, error)
	// Verify checks what the peer sent. The time is for the dates of
	// certificates.
	Verify(s *Statement, p *Proof, now time.Time) *Verdict
	// Hashes are the hash algorithms to announce in
	// SIGNATURE_HASH_ALGORITHMS, nil to announce none.
	Hashes() []wire.HashAlgorithm
	// Authorities are the SHA-1 hashes of the public keys of the authorities
	// that are trusted, for CERTREQ; nil to request no certificate.
	Authorities() [][]byte
}

// verdict collects checks and the first failure.
type verdict struct{ Verdict }

// check records a comparison; the first that fails is the verdict's error.
func (v *verdict) check(c event.Check) bool {
	v.Checks = append(v.Checks, c)
	if !c.OK && v.Err == nil {
		what := c.What
		if c.Why != "" {
			what += ": " + c.Why
		}
		v.Err = &Error{Kind: c.Kind, RFC: c.RFC, What: fmt.Sprintf("%s (local %s, remote %s)", what, c.Local, c.Remote)}
	}
	return c.OK
}

// fail records a failure that compares nothing.
func (v *verdict) fail(kind event.CheckKind, rfc, local, remote, what, why string) *Verdict {
	v.check(event.Check{Kind: kind, RFC: rfc, Local: local, Remote: remote, What: what, Why: why})
	return &v.Verdict
}
