package ike

import (
	"fmt"
	"math"
	"net/netip"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/auth"
	"github.com/cloudvlan/cvlanctl/engine/suite"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// Action says what becomes of a CHILD SA whose IKE SA lost its peer, or that the
// peer has closed.
type Action uint8

// The actions, by swanctl's words.
const (
	ActionClear Action = iota // nothing remains
	ActionStart               // it is set up anew at once (restart)
	ActionTrap                // traffic sets it up anew (hold)
)

// Unique says what a responder does with other IKE SAs of the same pair of
// identities when a new one is authenticated (RFC 7296 2.4).
type Unique uint8

// The uniqueness policies, by swanctl's words.
const (
	UniqueNo      Unique = iota // others stay, unless the peer sends INITIAL_CONTACT
	UniqueReplace               // others are deleted
	UniqueKeep                  // the new one is refused
	UniqueNever                 // others stay, even with INITIAL_CONTACT
)

// Ports are the two UDP ports of an end: for plain IKE, and for IKE and ESP in
// UDP behind the non-ESP marker (RFC 3948).
type Ports struct {
	IKE, NATT uint16
}

// StandardPorts are 500 and 4500.
var StandardPorts = Ports{IKE: wire.PortIKE, NATT: wire.PortNATT}

// Lifetime says when an SA is replaced and when it ends in any case.
type Lifetime struct {
	Rekey time.Duration // 0: never
	// Over is the time after Rekey at which the SA is deleted if it could not
	// be replaced; 0 is a tenth of Rekey.
	Over time.Duration
	// Jitter is the most that is taken off Rekey at random, so that both sides
	// do not start at once.
	Jitter time.Duration
}

// Volume says after how much an SA is replaced and when it ends in any case; 0
// is never.
type Volume struct {
	Rekey, Hard uint64
	// Jitter is the most that is taken off Rekey at random.
	Jitter uint64
}

// draw gives the limits of one SA.
func (v Volume) draw(source Source) (soft, hard uint64) {
	soft = v.Rekey
	if j := min(v.Jitter, soft/2); j > 0 {
		soft -= uint64(source.Jitter(int64(min(j, math.MaxInt64))))
	}
	return soft, v.Hard
}

// Connection is what IKE SAs are made from, in either role. It must not change
// while an Endpoint has it.
type Connection struct {
	Name string
	// Local is the address to send from. A responder takes requests to any
	// address where it is not set.
	Local netip.Addr
	// Remote is where to initiate to; not set for a connection that only
	// responds.
	Remote      netip.Addr
	RemotePorts Ports // 0 stands for the standard ones
	// RemoteNets are where requests may come from. Without them they may come
	// from Remote, or where that is not set, from anywhere.
	RemoteNets  []netip.Prefix
	LocalID     wire.ID
	RemoteID    auth.Pattern
	Credentials auth.Credentials
	Proposals   [][]wire.Transform // of the IKE SA, best first; see wire.ParseProposal
	Children    []*ChildConfig
	Lifetime    Lifetime
	DPDDelay    time.Duration // of silence before the peer is probed; 0: never
	Unique      Unique
	// ForceEncap claims a NAT, so that ESP goes in UDP.
	ForceEncap bool
	// NoFragmentation refuses IKE fragmentation (RFC 7383).
	NoFragmentation bool
	// Childless sets up the IKE SA without its first child (RFC 6023). It is
	// for the initiator; its children are created afterwards.
	Childless bool
	// CallOnly takes no requests by the connection: it is for the initiator.
	CallOnly bool
	// OmitInitialContact leaves INITIAL_CONTACT out (RFC 7296 2.4).
	OmitInitialContact bool
	// AskEAP leaves AUTH out, which asks for EAP (RFC 7296 2.16): the answer tells
	// whether the peer has it for us. No method of it is known here, so that no IKE
	// SA comes of it.
	AskEAP bool
}

// ChildConfig is what CHILD SAs are made from.
type ChildConfig struct {
	Name      string
	Proposals [][]wire.Transform // of ESP, best first; with a key exchange for PFS
	// LocalTS and RemoteTS are the selectors; without any, the side's own
	// address (swanctl's "dynamic").
	LocalTS, RemoteTS []wire.TrafficSelector
	Transport         bool
	Lifetime          Lifetime
	// Octets and Packets are limits of what its SAs may carry; the data plane
	// tells when they are reached (Expired).
	Octets, Packets Volume
	DPDAction       Action // when the peer is lost
	CloseAction     Action // when the peer deletes it, alone or with its IKE SA
	// Wait keeps an initiator from asking for the child by itself.
	Wait bool
}

// Retransmission says how often a request is sent again: after Timeout,
// and each time Base times as long, Tries times (RFC 7296 2.4).
type Retransmission struct {
	Timeout time.Duration
	Base    float64
	Tries   int
}

// after gives how long to wait for an answer after n repetitions.
func (r *Retransmission) after(n int) time.Duration {
	d := float64(r.Timeout)
	for range n {
		d *= r.Base
	}
	return time.Duration(min(d, float64(24*time.Hour)))
}

// Total is how long a request is waited for until the peer counts as dead.
func (r *Retransmission) Total() time.Duration {
	var sum time.Duration
	for n := range r.Tries + 1 {
		sum += r.after(n)
	}
	return sum
}

// Settings hold for all SAs of an Endpoint. The zero value of a field stands
// for its default.
type Settings struct {
	Ports      Ports
	Retransmit Retransmission // 4 s, 1.8, 5
	// HalfOpen is how long a responder waits for the initiator's proof: 30 s.
	HalfOpen time.Duration
	// Linger is how long an SA that has ended still repeats its last answer:
	// 10 s.
	Linger time.Duration
	// Keepalive is the interval of NAT keepalives of a side behind a NAT: 20 s.
	Keepalive time.Duration
	// RetryDelay is how long to wait after TEMPORARY_FAILURE, up to half as
	// much again at random: 10 s.
	RetryDelay time.Duration
	// CookieThreshold is how many half-open SAs there are when cookies are
	// demanded: 30. A negative one demands them always.
	CookieThreshold int
	// HalfOpenPerSource is how many half-open SAs one address may have: 5.
	HalfOpenPerSource int
	// MaxHalfOpen is how many half-open SAs there may be in all: 4096.
	MaxHalfOpen int
	// MaxSAs is how many SAs there may be in all: 65536.
	MaxSAs int
	// MaxChildren is how many CHILD SAs one IKE SA may have: 256.
	MaxChildren int
	// FragmentSize is the size in octets of the IP packets that IKE fragments
	// make: 1280. Smaller than 576 is taken as 576.
	FragmentSize int
	// Window is how many requests the peer may have outstanding: 1.
	Window int
	// Source gives nonces and SPIs: nil for crypto/rand.
	Source Source
	// Packets has every IKE message reported as an event, decrypted, and the
	// repetitions of requests too.
	Packets bool
	// Explain has a responder go on comparing what a refused IKE_AUTH request
	// holds, and report it: a test wants all that is wrong and not only the
	// first. It changes no answer.
	Explain bool
}

// withDefaults fills in what is not set.
func (s Settings) withDefaults() Settings {
	def(&s.Ports.IKE, wire.PortIKE)
	def(&s.Ports.NATT, wire.PortNATT)
	def(&s.Retransmit.Timeout, 4*time.Second)
	def(&s.Retransmit.Base, 1.8)
	def(&s.Retransmit.Tries, 5)
	def(&s.HalfOpen, 30*time.Second)
	def(&s.Linger, 10*time.Second)
	def(&s.Keepalive, 20*time.Second)
	def(&s.RetryDelay, 10*time.Second)
	def(&s.CookieThreshold, 30)
	def(&s.HalfOpenPerSource, 5)
	def(&s.MaxHalfOpen, 4096)
	def(&s.MaxSAs, 65536)
	def(&s.MaxChildren, 256)
	def(&s.FragmentSize, 1280)
	s.FragmentSize = max(s.FragmentSize, 576)
	def(&s.Window, 1)
	if s.Source == nil {
		s.Source = randomSource{}
	}
	return s
}

func def[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// ParseProposals reads proposals in swanctl's spelling, for Connection (with
// wire.ProtocolIKE) and ChildConfig (with wire.ProtocolESP).
func ParseProposals(p wire.ProtocolID, texts ...string) ([][]wire.Transform, error) {
	var all [][]wire.Transform
	for _, text := range texts {
		ts, err := wire.ParseProposal(p, text)
		if err != nil {
			return nil, err
		}
		all = append(all, ts)
	}
	return all, nil
}

// Check says what is wrong with a connection, nil where nothing is. Each
// transform of its proposals must be one that suite.Supports has.
func (c *Connection) Check() error {
	switch {
	case c.Credentials == nil:
		return fmt.Errorf("connection %q: no credentials", c.Name)
	case len(c.Proposals) == 0:
		return fmt.Errorf("connection %q: no proposals", c.Name)
	case len(c.Proposals) > 255:
		return fmt.Errorf("connection %q: %d proposals, at most 255 are possible (RFC 7296 3.3.1)", c.Name, len(c.Proposals))
	case c.LocalID.Type == 0:
		return fmt.Errorf("connection %q: no local identity", c.Name)
	}
	if err := supported(wire.ProtocolIKE, c.Proposals); err != nil {
		return fmt.Errorf("connection %q: %w", c.Name, err)
	}
	if len(groups(c.Proposals)) == 0 {
		return fmt.Errorf("connection %q: no proposal with a key exchange", c.Name)
	}
	for _, ch := range c.Children {
		if n := len(ch.Proposals); n == 0 || n > 255 {
			return fmt.Errorf("child %q of connection %q: %d proposals, 1 to 255 are possible", ch.Name, c.Name, n)
		}
		if err := supported(wire.ProtocolESP, ch.Proposals); err != nil {
			return fmt.Errorf("child %q of connection %q: %w", ch.Name, c.Name, err)
		}
		if len(ch.LocalTS) > 255 || len(ch.RemoteTS) > 255 {
			return fmt.Errorf("child %q of connection %q: at most 255 selectors a side are possible", ch.Name, c.Name)
		}
	}
	return nil
}

// supported refuses proposals with a transform that this program knows by name
// only: it would be offered, perhaps chosen, and then no keys could be made.
func supported(p wire.ProtocolID, proposals [][]wire.Transform) error {
	for i, ts := range proposals {
		for j := range ts {
			if err := suite.Supports(p, &ts[j]); err != nil {
				return fmt.Errorf("%s proposal %d: %w", p, i+1, err)
			}
		}
	}
	return nil
}

// child finds a child's configuration by name, nil where there is none.
func (c *Connection) child(name string) *ChildConfig {
	for _, ch := range c.Children {
		if ch.Name == name {
			return ch
		}
	}
	return nil
}

// remotePorts gives the peer's ports.
func (c *Connection) remotePorts() Ports {
	p := c.RemotePorts
	def(&p.IKE, wire.PortIKE)
	def(&p.NATT, wire.PortNATT)
	return p
}

// accepts says whether a request between two addresses may be for this
// connection.
func (c *Connection) accepts(local, remote netip.Addr) bool {
	if c.CallOnly || c.Local.IsValid() && !c.Local.IsUnspecified() && c.Local != local {
		return false
	}
	if len(c.RemoteNets) == 0 {
		return !c.Remote.IsValid() || c.Remote == remote
	}
	for _, n := range c.RemoteNets {
		if n.Contains(remote) {
			return true
		}
	}
	return false
}
