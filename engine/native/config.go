package native

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/auth"
	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/engine/ike"
	"github.com/cloudvlan/cvlanctl/engine/policy"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// resolveTimeout bounds the resolution of one host name.
const resolveTimeout = 5 * time.Second

// unsupported says what of a connection the engine cannot do.
func unsupported(c *policy.Connection, format string, args ...any) error {
	return fmt.Errorf("connection %s: %s: %w", c.Name, fmt.Sprintf(format, args...), backend.ErrUnsupported)
}

// supported refuses what the engine does not do, rather than doing something
// else in silence.
func (o *Options) supported(c *policy.Connection) error {
	_, traps := o.Plane.(Trapper)
	switch {
	case c.Reauth > 0:
		return unsupported(c, "reauthentication")
	case len(c.VirtualAddrs) > 0 || len(c.Pools) > 0:
		return unsupported(c, "virtual addresses")
	case c.NAT == "off":
		return unsupported(c, "NAT detection that is off")
	case c.Fragmentation == "force" || c.Fragmentation == "accept":
		return unsupported(c, "fragmentation %s", c.Fragmentation)
	case c.Local.Method.EAP() || c.Remote.Method.EAP():
		return unsupported(c, "authentication by %s and %s", c.Local.Method, c.Remote.Method)
	case c.Remote.Revocation == "ifuri" || c.Remote.Revocation == "strict":
		return unsupported(c, "revocation %s: the engine asks no CRL and no OCSP responder", c.Remote.Revocation)
	case c.DPD.Action == "trap" && !traps:
		return unsupported(c, "the DPD action trap, without a data plane that waits for traffic")
	case c.RemotePort == wire.PortNATT:
		return unsupported(c, "port %d as the first to speak to", wire.PortNATT)
	}
	for i := range c.Children {
		ch := &c.Children[i]
		if ch.Start != "trap" {
			continue
		}
		if !traps {
			return unsupported(c, "tunnel %s: start trap, without a data plane that waits for traffic", ch.Name)
		}
		if !slices.ContainsFunc(c.RemoteAddrs, policy.Address.Single) {
			return unsupported(c, "tunnel %s: start trap, for a peer without an address to bring it up at", ch.Name)
		}
	}
	return nil
}

// resolve gives the address that a policy's address stands for.
func resolve(ctx context.Context, a policy.Address) (netip.Addr, error) {
	if a.Host == "" {
		return a.Prefix.Addr(), nil
	}
	ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	list, err := net.DefaultResolver.LookupNetIP(ctx, "ip", a.Host)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("host %s: %w", a.Host, err)
	}
	if len(list) == 0 {
		return netip.Addr{}, fmt.Errorf("host %s has no address", a.Host)
	}
	return list[0].Unmap(), nil
}

// remote fills in where the peer is.
func remote(ctx context.Context, from *policy.Connection, c *ike.Connection) error {
	anywhere := len(from.RemoteAddrs) == 0
	for _, a := range from.RemoteAddrs {
		switch {
		case a.Any():
			anywhere = true
		case a.Single():
			addr, err := resolve(ctx, a)
			if err != nil {
				return fmt.Errorf("connection %s: %w", from.Name, err)
			}
			if !c.Remote.IsValid() {
				c.Remote = addr
			}
			c.RemoteNets = append(c.RemoteNets, netip.PrefixFrom(addr, addr.BitLen()))
		default:
			c.RemoteNets = append(c.RemoteNets, a.Prefix)
		}
	}
	switch {
	case anywhere && !c.Remote.IsValid():
		c.RemoteNets = nil
	case anywhere:
		c.RemoteNets = []netip.Prefix{netip.PrefixFrom(netip.IPv4Unspecified(), 0), netip.PrefixFrom(netip.IPv6Unspecified(), 0)}
	}
	return nil
}

// ownIdentity gives the identity of this side: the one that is named, the
// subject of its certificate, or its address.
func ownIdentity(from *policy.Connection, m *material, local netip.Addr) (wire.ID, error) {
	switch {
	case from.Local.ID != "":
		return auth.ParseID(from.Local.ID)
	case from.Local.Method == policy.Pubkey && len(m.own) > 0:
		return wire.ID{Type: wire.IDDERASN1DN, Data: m.own[0].RawSubject}, nil
	}
	return auth.ParseID(local.String())
}

// convert makes the engine's connection of a policy's and what it brings.
func (o *Options) convert(ctx context.Context, from *policy.Connection, m *material, local netip.Addr, s *store) (*configured, error) {
	if err := o.supported(from); err != nil {
		return nil, err
	}
	c := &ike.Connection{Name: from.Name, Local: local,
		RemotePorts: ike.Ports{IKE: from.RemotePort, NATT: o.PeerNATT},
		Lifetime:    lifetime(from.Rekey, from.Hard, from.Jitter), DPDDelay: from.DPD.Interval,
		ForceEncap: from.NAT == "force", NoFragmentation: from.Fragmentation == "no",
		Unique: map[string]ike.Unique{"replace": ike.UniqueReplace, "keep": ike.UniqueKeep, "never": ike.UniqueNever}[from.Unique]}
	if err := remote(ctx, from, c); err != nil {
		return nil, err
	}
	var err error
	if c.LocalID, err = ownIdentity(from, m, local); err != nil {
		return nil, fmt.Errorf("connection %s: %w", from.Name, err)
	}
	if c.RemoteID, err = auth.ParsePattern(from.Remote.ID); err != nil {
		return nil, fmt.Errorf("connection %s: %w", from.Name, err)
	}
	c.Credentials = &credentials{store: s, material: m, local: from.Local.Method, peer: from.Remote.Method}
	var lacks, more []string
	if c.Proposals, lacks, err = usable(from, wire.ProtocolIKE, from.Proposals, ""); err != nil {
		return nil, err
	}
	trapped := map[string]bool{}
	for i := range from.Children {
		child, err := convertChild(from, &from.Children[i], c)
		if err != nil {
			return nil, err
		}
		if child.Proposals, more, err = usable(from, wire.ProtocolESP, from.Children[i].Proposals, "tunnel "+child.Name+": "); err != nil {
			return nil, err
		}
		lacks = append(lacks, more...)
		c.Children = append(c.Children, child)
		trapped[child.Name] = from.Children[i].Start == "trap"
	}
	return &configured{Connection: c, material: m, trapped: trapped, lacks: lacks, listed: listed(from, m, c, o.ownPort())}, nil
}

// ownPort is the port for plain IKE.
func (o *Options) ownPort() uint16 { return o.Ports.IKE }

func convertChild(conn *policy.Connection, from *policy.Child, c *ike.Connection) (*ike.ChildConfig, error) {
	child := &ike.ChildConfig{Name: from.Name, Transport: from.Transport,
		Lifetime: lifetime(from.Time.Rekey, from.Time.Hard, from.Time.Jitter), Wait: from.Start != "start",
		Octets: volume(from.Octets), Packets: volume(from.Packets)}
	switch from.Close {
	case "start":
		child.CloseAction = ike.ActionStart
	case "trap":
		child.CloseAction = ike.ActionTrap
	}
	switch conn.DPD.Action {
	case "restart":
		child.DPDAction = ike.ActionStart
	case "trap":
		child.DPDAction = ike.ActionTrap
	}
	var err error
	if child.LocalTS, err = selectors(conn, from.Local, c.Local); err != nil {
		return nil, err
	}
	child.RemoteTS, err = selectors(conn, from.Remote, c.Remote)
	return child, err
}

func volume(l policy.Limits[uint64]) ike.Volume {
	return ike.Volume{Rekey: l.Rekey, Hard: l.Hard, Jitter: l.Jitter}
}

// usable gives the transforms of proposals, without those that the engine does
// not have; what it leaves out it says in words. It refuses a list of which
// nothing is left. within is the tunnel, "" for the IKE SA.
func usable(c *policy.Connection, p wire.ProtocolID, list []policy.Proposal, within string) (all [][]wire.Transform, left []string, err error) {
	for i := range list {
		ts, lacks := list[i].Usable(p)
		if ts != nil {
			all = append(all, ts)
		}
		where := within + "proposal " + list[i].Text
		if list[i].Line > 0 {
			where += fmt.Sprintf(" (line %d)", list[i].Line)
		}
		for _, l := range lacks {
			left = append(left, fmt.Sprintf("%s: %s", where, l))
		}
	}
	if len(all) == 0 && len(left) > 0 {
		return nil, nil, unsupported(c, "%s", left[0])
	}
	return all, left, nil
}

func lifetime(rekey, hard, jitter time.Duration) ike.Lifetime {
	l := ike.Lifetime{Rekey: rekey, Jitter: jitter}
	if hard > rekey {
		l.Over = hard - rekey
	}
	return l
}

// selectors makes the selectors of one side; own is its address, not valid
// where any peer may come. The side's own address alone is no selector: the
// engine puts in the one that an SA has.
func selectors(c *policy.Connection, list []policy.Selector, own netip.Addr) ([]wire.TrafficSelector, error) {
	if len(list) == 1 && list[0].Dynamic && list[0].Protocol == 0 && list[0].StartPort == 0 && list[0].EndPort == 65535 {
		return nil, nil
	}
	all := make([]wire.TrafficSelector, 0, len(list))
	for i := range list {
		s := &list[i]
		from, to := s.Range.From, s.Range.To
		if s.Dynamic {
			if !own.IsValid() {
				return nil, unsupported(c, "selector %s for a peer of any address", s)
			}
			from, to = own, own
		}
		ts := wire.TrafficSelector{Type: wire.TSIPv4AddrRange, Protocol: s.Protocol, StartPort: s.StartPort, EndPort: s.EndPort, Start: from, End: to}
		if from.Is6() {
			ts.Type = wire.TSIPv6AddrRange
		}
		all = append(all, ts)
	}
	return all, nil
}

// only gives a connection of which no child but one is asked for with the IKE
// SA; without a name it is the connection as it is configured.
func only(c *ike.Connection, child string) *ike.Connection {
	if child == "" {
		return c
	}
	clone := *c
	clone.Children = make([]*ike.ChildConfig, len(c.Children))
	for i, ch := range c.Children {
		one := *ch
		one.Wait = ch.Name != child
		clone.Children[i] = &one
	}
	return &clone
}

// localAddress gives the one address that the engine speaks from: the one that
// was asked for, the only one that the policy names, or the one that the
// system takes towards the first peer.
func (o *Options) localAddress(ctx context.Context) (netip.Addr, error) {
	if o.Local.IsValid() {
		return o.Local, nil
	}
	var named []netip.Addr
	for i := range o.Policy.Connections {
		for _, a := range o.Policy.Connections[i].LocalAddrs {
			if a.Single() && a.Host == "" && !slices.Contains(named, a.Prefix.Addr()) {
				named = append(named, a.Prefix.Addr())
			}
		}
	}
	switch {
	case len(named) == 1:
		return named[0], nil
	case len(named) > 1:
		return netip.Addr{}, fmt.Errorf("the policy names %d addresses of this node, %s and %s among them; the engine speaks from one: %w",
			len(named), named[0], named[1], backend.ErrUnsupported)
	}
	for i := range o.Policy.Connections {
		for _, a := range o.Policy.Connections[i].RemoteAddrs {
			if !a.Single() {
				continue
			}
			peer, err := resolve(ctx, a)
			if err != nil {
				return netip.Addr{}, err
			}
			return towards(peer)
		}
	}
	return netip.Addr{}, fmt.Errorf("neither the policy's node nor a peer has an address: it is not known which to listen on")
}

// towards gives the address that the system would send from. Nothing is sent.
func towards(peer netip.Addr) (netip.Addr, error) {
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(peer, wire.PortIKE)))
	if err != nil {
		return netip.Addr{}, fmt.Errorf("route to %s: %w", peer, err)
	}
	local := c.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap()
	if err := c.Close(); err != nil {
		return netip.Addr{}, fmt.Errorf("route to %s: %w", peer, err)
	}
	return local, nil
}
