package rule_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudvlan/cvlanctl/diag"
	"github.com/cloudvlan/cvlanctl/diag/rule"
	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/trace"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// site is a daemon with one tunnel on a host that is as it should be; a row
// sets one thing wrong.
type site struct {
	facts diag.Facts
	sa    *engine.IKESA
	child *engine.ChildSA
	host  *diag.HostFacts
	conn  *engine.Connection
	more  []*engine.IKESA
}

func p(s string) netip.Prefix { return netip.MustParsePrefix(s) }

func healthySite() *site {
	s := &site{}
	s.child = &engine.ChildSA{Name: "net", UniqueID: 1, State: engine.ChildInstalled, Mode: "TUNNEL", Protocol: "ESP", Encap: engine.Some(false),
		SPIIn: engine.Some(spiIn), LocalTS: []string{"10.1.0.0/24"}, RemoteTS: []string{"10.2.0.0/24"},
		PacketsIn: engine.Some(uint64(100)), PacketsOut: engine.Some(uint64(90)), Installed: begin, LastIn: begin.Add(10 * time.Minute), LastOut: begin.Add(10 * time.Minute)}
	s.sa = &engine.IKESA{Name: "gw", UniqueID: 1, Version: 2, State: engine.IKEEstablished, InitiatorSPI: 0xa1, ResponderSPI: 0xb1, Initiator: engine.Some(true),
		Local: engine.Side{Host: alice, Port: 500, ID: "a.example"}, Remote: engine.Side{Host: bob, Port: 500, ID: "b.example"}, Established: begin, Children: []*engine.ChildSA{s.child}}
	s.conn = &engine.Connection{Name: "gw", DPDDelay: engine.Some(30 * time.Second), Children: []*engine.ChildConfig{{Name: "net", LocalTS: s.child.LocalTS, RemoteTS: s.child.RemoteTS}}}
	s.host = &diag.HostFacts{
		At: begin.Add(10 * time.Minute), Sysctls: map[string]string{"net.ipv4.ip_forward": "1"},
		Interfaces: []diag.HostInterface{{Name: "eth0", MTU: 1500, Up: true, Prefixes: []netip.Prefix{p("192.0.2.1/24")}}, {Name: "eth1", MTU: 1500, Up: true, Prefixes: []netip.Prefix{p("10.1.0.1/24")}}},
		Routes:     []diag.HostRoute{{Table: 254, Dst: p("0.0.0.0/0"), Gateway: netip.MustParseAddr("192.0.2.254"), Dev: "eth0", Type: "unicast"}},
		Policies:   []diag.HostPolicy{{Dir: "out", Src: p("10.1.0.0/24"), Dst: p("10.2.0.0/24"), Reqid: 1, Tunnel: true}},
		States:     []diag.HostState{{Src: bob, Dst: alice, SPI: spiIn, Proto: "esp", Reqid: 1}},
		XfrmStat:   map[string]uint64{}, XfrmGrowth: map[string]uint64{},
		Sockets: []diag.HostSocket{{Addr: netip.MustParseAddrPort("0.0.0.0:500")}, {Addr: netip.MustParseAddrPort("0.0.0.0:4500")}},
		Chains: []diag.HostChain{
			{Table: "ip filter", Name: "INPUT", Hook: "input", Policy: "drop", Rules: []diag.HostRule{{Verdict: "accept", Protocol: "udp", Ports: []uint16{500, 4500}}, {Verdict: "accept", Protocol: "esp"}}},
			{Table: "ip nat", Name: "POSTROUTING", Hook: "postrouting", Policy: "accept", Rules: []diag.HostRule{{IPsec: true, Verdict: "accept"}, {Verdict: "masquerade"}}},
		},
	}
	return s
}

const spiIn wire.ESPSPI = 0xc0000001

func (s *site) findings() []diag.Finding {
	tr := trace.New(trace.Options{})
	tr.Add(&event.Event{Time: begin.Add(10 * time.Minute), Table: &event.Table{SAs: append([]*engine.IKESA{s.sa}, s.more...), First: true}})
	s.facts.Source, s.facts.Trace, s.facts.Now, s.facts.Live = "vici:test", tr, begin.Add(10*time.Minute), true
	s.facts.Host, s.facts.Connections = s.host, []*engine.Connection{s.conn}
	return diag.Diagnose(&s.facts, rule.All())
}

func (s *site) oneWay() { s.child.PacketsOut = engine.Some(uint64(0)) }
func (s *site) connecting() {
	s.sa.State, s.sa.Established, s.sa.Children, s.sa.ResponderSPI = engine.IKEConnecting, time.Time{}, nil, 0
}

func TestOneThingWrongOnTheHostIsNamedAndNothingElse(t *testing.T) {
	for _, row := range []struct {
		name  string
		wrong func(*site)
		want  []string
	}{
		{"nothing", func(*site) {}, []string{}},
		{"forwarding is off", func(s *site) { s.oneWay(); s.host.Sysctls["net.ipv4.ip_forward"] = "0" }, []string{"high forwarding-firewall-rpfilter certain > esp-one-way-in"}},
		{"the firewall does not forward", func(s *site) {
			s.oneWay()
			s.host.Chains = append(s.host.Chains, diag.HostChain{Table: "ip filter", Name: "FORWARD", Hook: "forward", Policy: "drop"})
		}, []string{"high forwarding-firewall-rpfilter likely > esp-one-way-in"}},
		{"source NAT comes first", func(s *site) { s.oneWay(); s.host.Chains[1].Rules = s.host.Chains[1].Rules[1:] }, []string{"high snat-before-ipsec certain > esp-one-way-in"}},
		{"an old policy", func(s *site) {
			s.host.Policies = append(s.host.Policies, diag.HostPolicy{Dir: "out", Src: p("10.1.0.0/24"), Dst: p("10.2.0.0/16"), Reqid: 9, Tunnel: true})
		}, []string{"high stale-policy-claims-traffic certain"}},
		{"a policy of something else", func(s *site) {
			s.host.Policies = append(s.host.Policies, diag.HostPolicy{Dir: "out", Src: p("10.1.0.0/24"), Dst: p("172.16.0.0/16"), Reqid: 9, Tunnel: true})
		}, []string{"info stale-policy-claims-traffic likely"}},
		{"no policy", func(s *site) { s.host.Policies = []diag.HostPolicy{} }, []string{"high policy-or-if-id-missing certain"}},
		{"no interface", func(s *site) { s.child.IfIDOut = engine.Some(uint32(42)) }, []string{"high policy-or-if-id-missing certain"}},
		{"no route into the interface", func(s *site) {
			s.child.IfIDOut = engine.Some(uint32(42))
			s.host.Interfaces = append(s.host.Interfaces, diag.HostInterface{Name: "ipsec0", Kind: "xfrm", IfID: 42, Up: true})
		}, []string{"high route-missing certain"}},
		{"no route to the peer", func(s *site) {
			s.connecting()
			s.host.Routes = []diag.HostRoute{}
			s.host.Interfaces = s.host.Interfaces[1:]
		}, []string{"high route-missing certain"}},
		{"nobody listens", func(s *site) { s.connecting(); s.host.Sockets = []diag.HostSocket{} }, []string{"critical daemon-socket-bind-failed likely"}},
		{"the firewall drops port 500", func(s *site) { s.connecting(); s.host.Chains[0].Rules = s.host.Chains[0].Rules[1:] }, []string{"high no-response-to-sa-init certain"}},
		{"the firewall drops port 4500", func(s *site) {
			s.connecting()
			s.sa.ResponderSPI = 0xb1
			s.host.Chains[0].Rules[0].Ports = []uint16{500}
		}, []string{"high udp4500-blocked certain"}},
		{"the firewall drops ESP", func(s *site) {
			s.child.PacketsIn = engine.Some(uint64(0))
			s.host.Chains[0].Rules = s.host.Chains[0].Rules[:1]
		}, []string{"high esp-proto50-blocked certain > esp-one-way-out"}},
		{"late packets", func(s *site) { s.host.XfrmGrowth["XfrmInStateSeqError"] = 40 }, []string{"medium replay-drops likely"}},
		{"bad packets", func(s *site) { s.host.XfrmGrowth["XfrmInStateProtoError"] = 40 }, []string{"critical esp-auth-failures likely"}},
		{"foreign inner addresses", func(s *site) { s.host.XfrmGrowth["XfrmInTmplMismatch"] = 40 }, []string{"high inner-address-outside-ts likely"}},
		{"ESP of old SAs", func(s *site) { s.host.XfrmGrowth["XfrmInNoStates"] = 40 }, []string{"high invalid-esp-spi-stale-sa likely"}},
		{"too big for the tunnel", func(s *site) { s.host.XfrmGrowth["XfrmOutStateModeError"] = 4 }, []string{"high mtu-pmtu-blackhole likely"}},
		{"sequence numbers are used up", func(s *site) { s.host.XfrmGrowth["XfrmOutStateSeqError"] = 4 }, []string{"low seq-exhaustion likely"}},
		{"a strict reverse path filter", func(s *site) {
			s.child.PacketsIn = engine.Some(uint64(0))
			s.host.PathFiltered, s.host.Interfaces[0].RPFilter, s.host.Interfaces[1].RPFilter = 40, 1, 1
		}, []string{"high forwarding-firewall-rpfilter likely > esp-one-way-out"}},
		{"a strict reverse path filter that harms nobody", func(s *site) {
			s.host.PathFiltered, s.host.Interfaces[0].RPFilter, s.host.Interfaces[1].RPFilter = 40, 1, 1
		}, []string{}},
		{"the tunnel's route is gone", func(s *site) {
			s.host.Policies, s.host.States = []diag.HostPolicy{}, []diag.HostState{}
			s.host.Interfaces = append(s.host.Interfaces, diag.HostInterface{Name: "ipsec0", Kind: "tuntap", Up: true})
		}, []string{"high route-missing certain"}},
		{"the tunnel's route is there", func(s *site) {
			s.host.Policies, s.host.States = []diag.HostPolicy{}, []diag.HostState{}
			s.host.Interfaces = append(s.host.Interfaces, diag.HostInterface{Name: "ipsec0", Kind: "tuntap", Up: true})
			s.host.Routes = append(s.host.Routes, diag.HostRoute{Table: 220, Dst: p("10.2.0.0/24"), Dev: "ipsec0", Type: "unicast"})
		}, []string{}},
		{"policies are switched off", func(s *site) { s.host.Sysctls["net.ipv4.conf.all.disable_xfrm"] = "1" }, []string{"high policy-or-if-id-missing certain"}},
		{"policies are switched off on the outer interface", func(s *site) { s.host.Sysctls["net.ipv4.conf.eth0.disable_xfrm"] = "1" }, []string{"high policy-or-if-id-missing certain"}},
		{"policies are switched off on another interface", func(s *site) { s.host.Sysctls["net.ipv4.conf.eth1.disable_xfrm"] = "1" }, []string{}},
		{"policies are not asked for what comes in", func(s *site) { s.host.Sysctls["net.ipv4.conf.all.disable_policy"] = "1" }, []string{"medium policy-or-if-id-missing certain"}},
		{"late packets once upon a time", func(s *site) { s.host.XfrmGrowth, s.host.XfrmStat["XfrmInStateSeqError"] = nil, 3 }, []string{"info replay-drops hint"}},
	} {
		t.Run(row.name, func(t *testing.T) { checkSite(t, row.wrong, row.want) })
	}
}

func checkSite(t *testing.T, wrong func(*site), want []string) {
	t.Helper()
	s := healthySite()
	wrong(s)
	found := s.findings()
	if d := cmp.Diff(want, brief(found)); d != "" {
		for _, f := range found {
			t.Log(line(f))
		}
		t.Errorf("(-want +got):\n%s", d)
	}
	for _, f := range found {
		checkTold(t, f)
	}
}

func TestWhatADaemonHasNowTellsWhatIsWrongWithIt(t *testing.T) {
	twin := func(s *site) *engine.IKESA {
		o := *s.sa
		o.UniqueID, o.InitiatorSPI, o.ResponderSPI, o.Children = 2, 0xa2, 0xb2, nil
		s.more = append(s.more, &o)
		return &o
	}
	for _, row := range []struct {
		name  string
		wrong func(*site)
		want  []string
	}{
		{"two IKE SAs", func(s *site) { twin(s) }, []string{"medium duplicate-ike-sa certain"}},
		{"two IKE SAs for a moment", func(s *site) { twin(s).Established = begin.Add(10*time.Minute - time.Second) }, []string{}},
		{"two children", func(s *site) {
			o := *s.child
			o.UniqueID = 2
			s.sa.Children = append(s.sa.Children, &o)
		}, []string{"medium duplicate-child-sa certain"}},
		{"the peer is gone and nobody looks", func(s *site) {
			s.conn.DPDDelay = engine.Some(time.Duration(0))
			s.child.LastIn = begin.Add(time.Minute)
		}, []string{"medium dpd-off-stale-tunnel likely"}},
		{"nothing was ever sent", func(s *site) {
			s.child.PacketsIn, s.child.PacketsOut = engine.Some(uint64(0)), engine.Some(uint64(0))
		}, []string{"info esp-no-traffic-both hint"}},
		{"no trap", func(s *site) {
			s.conn.Children = append(s.conn.Children, &engine.ChildConfig{Name: "lazy", StartAction: "trap", RemoteTS: s.child.RemoteTS})
			s.facts.Policies = []engine.Policy{}
		}, []string{"medium on-demand-never-triggered certain"}},
		{"a trap that waits", func(s *site) {
			s.conn.Children = append(s.conn.Children, &engine.ChildConfig{Name: "lazy", StartAction: "trap", LocalTS: s.child.LocalTS, RemoteTS: s.child.RemoteTS})
			s.facts.Policies = []engine.Policy{{Connection: "gw", Child: "lazy"}}
		}, []string{"info on-demand-never-triggered hint"}},
		{"many half-open SAs", func(s *site) { s.facts.Stats = &engine.Stats{HalfOpen: engine.Some(12)} }, []string{"medium half-open-responder hint"}},
		{"two tunnels to one network", func(s *site) {
			o := twin(s)
			child := *s.child
			o.Name, o.Remote.ID, o.Children = "other", "c.example", []*engine.ChildSA{&child}
			s.host = nil
		}, []string{"medium ts-overlap-route-conflict likely"}},
		{"an old certificate", func(s *site) {
			s.facts.Certificates = []engine.Certificate{{Type: "X509", Flag: "NONE", HasKey: true, Subject: "CN=a", NotAfter: begin}}
		}, []string{"critical cert-expired certain"}},
		{"a certificate of tomorrow", func(s *site) {
			s.facts.Certificates = []engine.Certificate{{Type: "X509", Flag: "NONE", HasKey: true, Subject: "CN=a", NotBefore: begin.Add(time.Hour), NotAfter: begin.Add(2 * time.Hour)}}
		}, []string{"high cert-not-yet-valid certain"}},
	} {
		t.Run(row.name, func(t *testing.T) { checkSite(t, row.wrong, row.want) })
	}
}
