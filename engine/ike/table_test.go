package ike

import (
	"encoding/binary"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/auth"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/suite"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

func TestConnectionsThatCannotWorkAreRefused(t *testing.T) {
	good := func() *Connection {
		return benchConnection(t, benchA, benchB, "a.example", "b.example", "10.1.0.0/16", "10.2.0.0/16")
	}
	for _, row := range []struct {
		name  string
		alter func(*Connection)
		want  string
	}{
		{"good", func(*Connection) {}, ""},
		{"no credentials", func(c *Connection) { c.Credentials = nil }, "no credentials"},
		{"no proposals", func(c *Connection) { c.Proposals = nil }, "no proposals"},
		{"too many proposals", func(c *Connection) { c.Proposals = make([][]wire.Transform, 256) }, "256 proposals"},
		{"no key exchange", func(c *Connection) { c.Proposals[0] = withoutKE(c.Proposals[0]) }, "no proposal with a key exchange"},
		{"a cipher known by name only", func(c *Connection) { c.Proposals = withIDEA(c.Proposals) }, "IKE proposal 1: ENCR IDEA: not supported"},
		{"a cipher that IKE does not have", func(c *Connection) { c.Proposals[0][0] = wire.Transform{Type: wire.TransformEncr, ID: wire.EncrNull} },
			"IKE proposal 1: ENCR NULL: does not exist in IKE"},
		{"a further key exchange", func(c *Connection) {
			c.Proposals[0] = append(c.Proposals[0], wire.Transform{Type: wire.TransformADDKE1, ID: wire.KEMLKEM768})
		}, "IKE proposal 1: ADDKE1 ML_KEM_768: not supported"},
		{"a child's cipher known by name only", func(c *Connection) { c.Children[0].Proposals = withIDEA(c.Children[0].Proposals) },
			"ESP proposal 1: ENCR IDEA: not supported"},
		{"no identity", func(c *Connection) { c.LocalID = wire.ID{} }, "no local identity"},
		{"child without proposals", func(c *Connection) { c.Children[0].Proposals = nil }, "0 proposals"},
		{"child with too many selectors", func(c *Connection) { c.Children[0].LocalTS = make([]wire.TrafficSelector, 256) }, "255 selectors"},
	} {
		c := good()
		row.alter(c)
		err := NewEndpoint(Settings{}).Add(c)
		if row.want == "" && err != nil || row.want != "" && (err == nil || !strings.Contains(err.Error(), row.want)) {
			t.Errorf("%s: %v, want %q", row.name, err, row.want)
		}
	}
	e := NewEndpoint(Settings{})
	if err := e.Add(good()); err != nil {
		t.Fatal(err)
	}
	if e.Add(good()) == nil {
		t.Error("two connections have one name")
	}
	e.Drop("gw")
	if e.Connection("gw") != nil {
		t.Error("a connection that was dropped is there")
	}
}

func TestInitiatingSaysWhatIsMissing(t *testing.T) {
	for _, row := range []struct {
		name  string
		alter func(*Connection)
		set   Settings
		want  string
	}{
		{"another name", func(c *Connection) { c.Name = "other" }, Settings{}, "no connection"},
		{"no remote address", func(c *Connection) { c.Remote = netip.Addr{} }, Settings{}, "no remote address"},
		{"no local address", func(c *Connection) { c.Local = netip.Addr{} }, Settings{}, "no local address"},
		{"too many SAs", func(*Connection) {}, Settings{MaxSAs: -1}, "the most"},
	} {
		e := NewEndpoint(row.set)
		c := benchConnection(t, benchA, benchB, "a.example", "b.example", "10.1.0.0/16", "10.2.0.0/16")
		row.alter(c)
		if err := e.Add(c); err != nil {
			t.Fatal(err)
		}
		if _, _, err := e.Initiate(time.Now(), "gw", netip.Addr{}); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %v, want %q", row.name, err, row.want)
		}
	}
}

func TestConnectionsAreFoundByAddress(t *testing.T) {
	a, b, c := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("2001:db8::1")
	nets := []netip.Prefix{netip.MustParsePrefix("192.0.2.0/30"), netip.MustParsePrefix("2001:db8::/32")}
	for _, row := range []struct {
		name          string
		conn          Connection
		local, remote netip.Addr
		want          bool
	}{
		{"any", Connection{}, a, b, true},
		{"any local", Connection{Local: netip.IPv4Unspecified()}, a, b, true},
		{"the local one", Connection{Local: a}, a, b, true},
		{"another local one", Connection{Local: b}, a, b, false},
		{"the remote one", Connection{Remote: b}, a, b, true},
		{"another remote one", Connection{Remote: c}, a, b, false},
		{"in a net", Connection{Remote: c, RemoteNets: nets}, a, b, true},
		{"in the other net", Connection{RemoteNets: nets}, a, c, true},
		{"in no net", Connection{RemoteNets: nets[:1]}, a, c, false},
	} {
		if got := row.conn.accepts(row.local, row.remote); got != row.want {
			t.Errorf("%s: %v", row.name, got)
		}
	}
}

func TestSelectorsAreIntersectedInEveryPart(t *testing.T) {
	ts := func(cidr string, protocol uint8, ports ...uint16) wire.TrafficSelector {
		s := PrefixSelector(netip.MustParsePrefix(cidr))
		s.Protocol = protocol
		if len(ports) == 2 {
			s.StartPort, s.EndPort = ports[0], ports[1]
		}
		return s
	}
	for _, row := range []struct {
		name string
		a, b wire.TrafficSelector
		want string // "" for nothing in common
	}{
		{"subnet", ts("10.0.0.0/8", 0), ts("10.1.0.0/16", 0), "10.1.0.0/16"},
		{"disjoint", ts("10.0.0.0/8", 0), ts("11.0.0.0/8", 0), ""},
		{"families", ts("10.0.0.0/8", 0), ts("2001:db8::/32", 0), ""},
		{"IPv6", ts("2001:db8::/32", 0), ts("2001:db8:1::/48", 0), "2001:db8:1::/48"},
		{"protocol", ts("10.0.0.0/8", 6), ts("10.0.0.0/8", 0), "10.0.0.0/8[tcp]"},
		{"other protocol", ts("10.0.0.0/8", 6), ts("10.0.0.0/8", 17), ""},
		{"ports", ts("10.0.0.0/8", 6, 80, 90), ts("10.0.0.0/8", 6, 85, 100), "10.0.0.0/8[tcp/85-90]"},
		{"other ports", ts("10.0.0.0/8", 6, 80, 90), ts("10.0.0.0/8", 6, 91, 100), ""},
		{"hidden ports with any", ts("10.0.0.0/8", 6, 65535, 0), ts("10.0.0.0/8", 6), "10.0.0.0/8[tcp/OPAQUE]"},
		{"any with hidden ports", ts("10.0.0.0/8", 6), ts("10.0.0.0/8", 6, 65535, 0), "10.0.0.0/8[tcp/OPAQUE]"},
		{"hidden ports with hidden", ts("10.0.0.0/8", 6, 65535, 0), ts("10.0.0.0/8", 6, 65535, 0), "10.0.0.0/8[tcp/OPAQUE]"},
		{"hidden ports with some", ts("10.0.0.0/8", 6, 65535, 0), ts("10.0.0.0/8", 6, 80, 80), ""},
		{"unknown type", wire.TrafficSelector{Type: 200}, wire.TrafficSelector{Type: 200}, ""},
	} {
		out := narrow([]wire.TrafficSelector{row.a}, []wire.TrafficSelector{row.b})
		want := row.want
		if want == "" {
			want = "none"
		}
		if got := selectorWords(out); got != want {
			t.Errorf("%s: %s, want %s", row.name, got, want)
		}
		if len(out) > 0 && (!within(out, []wire.TrafficSelector{row.a}) || !within(out, []wire.TrafficSelector{row.b})) {
			t.Errorf("%s: wider than before", row.name)
		}
	}
	var many []wire.TrafficSelector
	for i := range 20 {
		many = append(many, host(netip.AddrFrom4([4]byte{10, 0, 0, byte(i)})))
	}
	if words := selectorWords(many); !strings.HasSuffix(words, "...") {
		t.Errorf("20 selectors are all told: %s", words)
	}
}

func TestCookieHoldsForItsRequestAndForTwoLivesOfTheSecret(t *testing.T) {
	var c cookies
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	ni := []byte("a nonce of sixteen octets")
	b := c.make(now, benchA, 7, ni)
	if len(b) > 64 {
		t.Errorf("a cookie of %d octets, at most 64 are allowed", len(b))
	}
	for _, row := range []struct {
		name  string
		after time.Duration
		from  netip.Addr
		spi   wire.SPI
		ni    []byte
		want  bool
	}{
		{"the request", 0, benchA, 7, ni, true},
		{"another address", 0, benchB, 7, ni, false},
		{"another SPI", 0, benchA, 8, ni, false},
		{"another nonce", 0, benchA, 7, []byte("another"), false},
		{"under the next secret", cookieLife + time.Second, benchA, 7, ni, true},
		{"two secrets later", 2*cookieLife + 2*time.Second, benchA, 7, ni, false},
	} {
		if got := c.check(now.Add(row.after), b, row.from, row.spi, row.ni); got != row.want {
			t.Errorf("%s: %v", row.name, got)
		}
	}
	for n := range b {
		if c.check(now, b[:n], benchA, 7, ni) {
			t.Errorf("a cookie cut to %d octets holds", n)
		}
	}
}

// reply forges an answer of b to a's oldest request.
func (x *bench) reply(ps []wire.Payload) Output {
	x.tb.Helper()
	sent, err := wire.ParseHeader(x.sa.out.requests[0].wire[0])
	if err != nil {
		x.tb.Fatal(err)
	}
	first := wire.PayloadNone
	if len(ps) > 0 {
		first = ps[0].Type
	}
	return x.take(x.a, &Datagram{Local: x.sa.path.local, Remote: x.sa.path.remote,
		Octets: sealedBy(x.tb, x.sb, x.sb.header(sent.Exchange, sent.MessageID, true), first, wire.AppendPayloads(nil, ps))})
}

func TestRefusedRequestsFollowTheRecoveryTable(t *testing.T) {
	const (
		stands  = iota // nothing more happens
		retries        // a retry waits
		again          // a request follows at once
		ends           // the SA has ended
	)
	rekeyChild := func(x *bench) Command { return RekeyChild{SPI: x.sa.children[0].in} }
	rekeyIKE := func(*bench) Command { return RekeyIKE{} }
	add := func(x *bench) Command {
		more := *x.sa.conn.Children[0]
		more.Name = "more"
		x.sa.conn.Children = append(x.sa.conn.Children, &more)
		return AddChild{Name: "more"}
	}
	group := func(n byte) []byte { return []byte{0, n} }
	for _, row := range []struct {
		name    string
		command func(*bench) Command
		n       wire.NotifyType
		data    []byte
		want    int
	}{
		{"child, TEMPORARY_FAILURE", add, wire.NotifyTemporaryFailure, nil, retries},
		{"child, NO_PROPOSAL_CHOSEN", add, wire.NotifyNoProposalChosen, nil, stands},
		{"child, TS_UNACCEPTABLE", add, wire.NotifyTSUnacceptable, nil, stands},
		{"child, NO_ADDITIONAL_SAS", add, wire.NotifyNoAdditionalSAs, nil, stands},
		{"child, INVALID_KE_PAYLOAD, ours", add, wire.NotifyInvalidKEPayload, group(19), again},
		{"child, INVALID_KE_PAYLOAD, not ours", add, wire.NotifyInvalidKEPayload, group(14), retries},
		{"child, INVALID_SYNTAX", add, wire.NotifyInvalidSyntax, nil, ends},
		{"child, unknown error", add, 8000, nil, stands},
		{"child rekey, TEMPORARY_FAILURE", rekeyChild, wire.NotifyTemporaryFailure, nil, retries},
		{"child rekey, CHILD_SA_NOT_FOUND", rekeyChild, wire.NotifyChildSANotFound, nil, again},
		{"child rekey, NO_PROPOSAL_CHOSEN", rekeyChild, wire.NotifyNoProposalChosen, nil, retries},
		{"child rekey, INVALID_KE_PAYLOAD, ours", rekeyChild, wire.NotifyInvalidKEPayload, group(19), again},
		{"child rekey, INVALID_KE_PAYLOAD, cut off", rekeyChild, wire.NotifyInvalidKEPayload, []byte{0}, retries},
		{"child rekey, INVALID_SYNTAX", rekeyChild, wire.NotifyInvalidSyntax, nil, ends},
		{"IKE rekey, TEMPORARY_FAILURE", rekeyIKE, wire.NotifyTemporaryFailure, nil, retries},
		{"IKE rekey, NO_PROPOSAL_CHOSEN", rekeyIKE, wire.NotifyNoProposalChosen, nil, retries},
		{"IKE rekey, NO_ADDITIONAL_SAS", rekeyIKE, wire.NotifyNoAdditionalSAs, nil, stands},
		{"IKE rekey, INVALID_KE_PAYLOAD, ours", rekeyIKE, wire.NotifyInvalidKEPayload, group(19), again},
		{"IKE rekey, INVALID_SYNTAX", rekeyIKE, wire.NotifyInvalidSyntax, nil, ends},
	} {
		t.Run(row.name, func(t *testing.T) {
			x := newBench(t, Settings{}).up()
			x.a.Command(x.now, x.sa, row.command(x))
			out := x.reply(notify(row.n, row.data))
			if out.Err == nil && row.want != again || out.Err != nil && out.Err.Survived == (row.want == ends) {
				t.Errorf("error %v", out.Err)
			}
			got := stands
			switch {
			case x.sa.ended():
				got = ends
			case len(out.Datagrams) > 0:
				got = again
			case len(x.sa.out.waits) > 0:
				got = retries
			}
			if got != row.want {
				t.Errorf("outcome %d, want %d; %s", got, row.want, x.sa.Waiting())
			}
			if row.want == retries {
				due := x.sa.timers[TimerRetry]
				if d := due.Sub(x.now); d < 10*time.Second || d > 16*time.Second || !strings.Contains(x.sa.Waiting(), "to retry") {
					t.Errorf("retry in %s: %s", d, x.sa.Waiting())
				}
				x.now = due
				if out := x.a.Step(x.now, Input{}); len(out.Datagrams) != 1 {
					t.Errorf("%d requests at the time of the retry", len(out.Datagrams))
				}
			}
		})
	}
}

func TestRetriesOfOneKindEnd(t *testing.T) {
	x := newBench(t, Settings{}).up()
	x.sa.conn.Children = append(x.sa.conn.Children, &ChildConfig{Name: "more", Proposals: x.sa.conn.Children[0].Proposals})
	x.a.Command(x.now, x.sa, AddChild{Name: "more"})
	for n := 0; ; n++ {
		if n > 2*maxInitTries {
			t.Fatal("it is tried for ever")
		}
		x.reply(notify(wire.NotifyInvalidKEPayload, []byte{0, 14}))
		if len(x.sa.out.waits) == 0 {
			break
		}
		x.now = x.sa.timers[TimerRetry]
		x.a.Step(x.now, Input{})
	}
	if h := x.a.Held(); h.ESPSPIs != 1 {
		t.Errorf("%d SPIs are held, want that of the first child", h.ESPSPIs)
	}
}

func TestBentProofsOfTheResponderAreRefused(t *testing.T) {
	for _, row := range []struct {
		name  string
		alter func(x *bench, ps []wire.Payload) []wire.Payload
		child bool // the IKE SA stands without the child
		want  string
		tells bool // the responder is told AUTHENTICATION_FAILED
	}{
		{"AUTHENTICATION_FAILED", func(*bench, []wire.Payload) []wire.Payload { return notify(wire.NotifyAuthenticationFailed, nil) }, false, "refuses IKE_AUTH", false},
		{"nothing", func(*bench, []wire.Payload) []wire.Payload { return nil }, false, "", false},
		{"wrong proof", func(_ *bench, ps []wire.Payload) []wire.Payload {
			return edit(ps, wire.PayloadAuth, func(a *wire.Auth) { a.Data[0] ^= 1 })
		}, false, "AUTH", true},
		{"another method", func(_ *bench, ps []wire.Payload) []wire.Payload {
			return edit(ps, wire.PayloadAuth, func(a *wire.Auth) { a.Method = wire.AuthRSA })
		}, false, "method", true},
		{"another identity", func(_ *bench, ps []wire.Payload) []wire.Payload {
			return edit(ps, wire.PayloadIDr, func(i *wire.ID) { i.Data = []byte("other.example") })
		}, false, "other.example", true},
		{"child refused", func(_ *bench, ps []wire.Payload) []wire.Payload {
			ps = without(without(without(ps, wire.PayloadSA), wire.PayloadTSi), wire.PayloadTSr)
			return append(ps, notify(wire.NotifyTSUnacceptable, nil)...)
		}, true, "set up no child", false},
		{"child with other selectors", func(_ *bench, ps []wire.Payload) []wire.Payload {
			return edit(ps, wire.PayloadTSi, func(ts *wire.TS) { ts.Selectors = []wire.TrafficSelector{host(benchA)} })
		}, true, "widened", false},
	} {
		t.Run(row.name, func(t *testing.T) {
			x := newBench(t, Settings{})
			out := x.pass(x.b, x.begin())
			out = x.pass(x.a, out.Datagrams[0])
			out = x.pass(x.b, out.Datagrams[0])
			for _, s := range x.b.SAs() {
				x.sb = s
			}
			raw := out.Datagrams[0].Octets
			m, err := wire.Parse(raw)
			if err != nil {
				t.Fatal(err)
			}
			plain, first, _, err := x.sa.unseal(raw, m)
			if err != nil {
				t.Fatal(err)
			}
			inner, _ := wire.ParsePayloads(first, wire.Version2, plain)
			got := x.reply(row.alter(x, inner))
			if got.Err == nil || !strings.Contains(got.Err.Error(), row.want) {
				t.Errorf("error %v, want %q", got.Err, row.want)
			}
			if row.child {
				if x.sa.state != engine.IKEEstablished {
					t.Errorf("state %s, want the IKE SA to stand", x.sa.state)
				}
				return
			}
			if row.tells {
				if len(got.Datagrams) != 1 || x.sa.state != engine.IKEDeleting {
					t.Fatalf("%d requests, state %s", len(got.Datagrams), x.sa.state)
				}
				x.pass(x.b, got.Datagrams[0])
				if !x.sb.ended() || !strings.Contains(x.sb.Why(), "AUTHENTICATION_FAILED") {
					t.Errorf("the responder keeps its SA: %s", x.sb.Why())
				}
				x.reply(nil)
			}
			if x.sa.state != engine.IKEFailed || x.sa.why == "" {
				t.Errorf("state %s: %s", x.sa.state, x.sa.why)
			}
		})
	}
}

// failing are credentials that can prove nothing.
type failing struct{ auth.SharedKeys }

func (failing) Prove(*auth.Statement) (*auth.Proof, error) {
	return nil, &auth.Error{Kind: "signature", What: "the key is gone", RFC: "RFC 7427 3"}
}

func TestOwnProofThatCannotBeMadeSaysWhy(t *testing.T) {
	for _, side := range []string{"initiator", "responder"} {
		x := newBench(t, Settings{})
		c := x.a.conns[0]
		if side == "responder" {
			c = x.b.conns[0]
		}
		c.Credentials = failing{auth.SharedKeys{{Key: suite.NewSecret([]byte("a key of the tests"))}}}
		out := x.pass(x.b, x.begin())
		out = x.pass(x.a, out.Datagrams[0])
		if side == "responder" {
			out = x.pass(x.b, out.Datagrams[0])
		}
		if out.Err == nil || !strings.Contains(out.Err.Error(), "the key is gone") {
			t.Errorf("%s: error %v", side, out.Err)
		}
	}
}

func TestFragmentsAreJoinedWithinLimits(t *testing.T) {
	x := newBench(t, Settings{Window: 2}).up()
	h := x.request(wire.ExchangeInformational)
	send := func(number, total uint8, plain []byte) Output {
		b, err := x.sa.sealed(h, wire.PayloadSKF, wire.PayloadVendor, []byte{0, number, 0, total}, plain)
		if err != nil {
			t.Fatal(err)
		}
		return x.b.Step(x.now, Input{Datagram: &Datagram{Local: x.sb.path.local, Remote: x.sb.path.remote, Octets: b}})
	}
	whole := wire.AppendPayloads(nil, []wire.Payload{payload(wire.PayloadVendor, &wire.VendorID{Data: make([]byte, 3000)})})
	for name, f := range map[string]func() Output{
		"number 0": func() Output { return send(0, 2, whole) }, "number over the total": func() Output { return send(3, 2, whole) },
		"too many": func() Output { return send(1, 200, whole) },
	} {
		if out := f(); out.Err == nil || !out.Err.Survived || len(out.Datagrams) > 0 {
			t.Errorf("%s: %v", name, out.Err)
		}
	}
	send(1, 2, whole[:2000])
	send(1, 2, whole[:2000]) // again
	if out := send(1, 3, whole[:1000]); len(out.Datagrams) > 0 {
		t.Error("answered before it is whole")
	}
	send(2, 2, whole[2000:]) // of the old set
	send(3, 3, whole[2000:])
	if out := send(2, 3, whole[1000:2000]); len(out.Datagrams) != 1 || out.Err != nil {
		t.Errorf("three fragments out of order: %d answers, %v", len(out.Datagrams), out.Err)
	}
	h.MessageID++
	send(1, 2, whole)
	x.now = x.now.Add(x.b.set.HalfOpen)
	x.b.Step(x.now, Input{})
	if x.sb.in.parts != nil {
		t.Error("an incomplete set is kept")
	}
	big := make([]byte, 60000)
	send(1, 3, big)
	if out := send(2, 3, big); out.Err == nil || !strings.Contains(out.Err.Error(), "65535") {
		t.Errorf("a message of 120000 octets: %v", out.Err)
	}
	x.sb.peerFragments = false
	if out := send(1, 2, whole); out.Err == nil || !strings.Contains(out.Err.Error(), "not agreed") {
		t.Errorf("a fragment that was not agreed: %v", out.Err)
	}
}

func TestMessagesTooLongForFragmentsAreNotSent(t *testing.T) {
	x := newBench(t, Settings{}).up()
	long := func(n int) []wire.Payload {
		return []wire.Payload{payload(wire.PayloadVendor, &wire.VendorID{Data: make([]byte, n)}), payload(wire.PayloadVendor, &wire.VendorID{Data: make([]byte, n)})}
	}
	x.sa.res = &Output{}
	if got, err := x.sa.protect(wire.ExchangeInformational, 9, false, long(3000)); err != nil || len(got) < 5 {
		t.Errorf("6000 octets: %d fragments, %v", len(got), err)
	}
	if _, err := x.sa.protect(wire.ExchangeInformational, 9, false, long(65000)); err != nil {
		t.Errorf("130000 octets: %v", err)
	}
	if _, err := x.sa.protect(wire.ExchangeInformational, 9, false, append(long(65000), long(65000)...)); err == nil {
		t.Error("260000 octets are sent")
	}
	x.sa.peerFragments = false
	if _, err := x.sa.protect(wire.ExchangeInformational, 9, false, long(65000)); err == nil {
		t.Error("130000 octets are sent in one piece")
	}
}

func TestRecoveryTableIsComplete(t *testing.T) {
	for i := range Recoveries {
		r := &Recoveries[i]
		if r.Words == "" || r.RFC == "" || r.During == "" || (r.Error == 0) == (r.Cause == "") {
			t.Errorf("row %d is incomplete: %+v", i, r)
		}
		if r.Error != 0 && recovery(r.Error, r.During) != r {
			t.Errorf("row %d, %s during %s, is hidden by another", i, r.Error, r.During)
		}
	}
	if recovery(9999, "child") != &unknownError || recovery(0, "any") != &unknownError {
		t.Error("an unknown error has a row")
	}
}

func TestEveryStateSaysWhatItWaitsFor(t *testing.T) {
	x := newBench(t, Settings{}).up()
	for _, row := range []struct {
		alter func(*SA)
		want  string
	}{
		{func(s *SA) {}, "nothing but the peer"},
		{func(s *SA) { s.start(TimerRekey, time.Hour) }, "timer rekey"},
		{func(s *SA) { s.state = engine.IKERekeyed; s.start(TimerDelete, time.Minute) }, "to delete this IKE SA"},
		{func(s *SA) { s.state = engine.IKECreated }, "end of a collision"},
		{func(s *SA) { s.state, s.why = engine.IKEFailed, "as the test wants" }, "as the test wants"},
	} {
		s := *x.sa
		s.now = x.now
		row.alter(&s)
		if got := s.Waiting(); !strings.Contains(got, row.want) {
			t.Errorf("it waits for %q, want %q", got, row.want)
		}
	}
	for n, want := range map[int]string{1: "first", 2: "second", 3: "third", 4: "4th"} {
		if ordinal(n) != want {
			t.Errorf("%d is %s", n, ordinal(n))
		}
	}
	for k, want := range map[UpdateKind]string{Install: "install", Switch: "switch", Move: "move", Remove: "remove"} {
		if k.String() != want {
			t.Errorf("%d is %s", k, k)
		}
	}
}

func TestAReturningPeersCookieIsToldAmongAnyNumberOfStrangers(t *testing.T) {
	x := newBench(t, Settings{CookieThreshold: -1})
	d := x.begin()
	again := x.pass(x.a, x.pass(x.b, d).Datagrams[0])
	told := 0
	const strangers = 5000
	for n := range uint64(strangers) {
		s := d
		s.Octets = append([]byte(nil), d.Octets...)
		binary.BigEndian.PutUint64(s.Octets, n+1)
		told += len(x.pass(x.b, s).Events)
	}
	if told == 0 || told == strangers {
		t.Errorf("%d of %d strangers are told: it proves nothing", told, strangers)
	}
	for _, e := range x.pass(x.b, again.Datagrams[0]).Events {
		if c := e.Check; c != nil && c.Kind == event.CheckCookie && c.OK && c.Peer == d.Local.Addr() && c.SPIi == x.sa.spiI {
			return
		}
	}
	t.Error("the cookie of a returning peer is not told")
}

func TestCookiesStopOnlyWhoDoesNotReceive(t *testing.T) {
	x := newBench(t, Settings{CookieThreshold: -1})
	d := x.begin()
	out := x.pass(x.b, d)
	if len(out.Datagrams) != 1 || x.b.Held() != (Holdings{}) {
		t.Fatalf("%d answers, held %+v", len(out.Datagrams), x.b.Held())
	}
	again := x.pass(x.a, out.Datagrams[0])
	if out = x.pass(x.b, again.Datagrams[0]); len(x.b.SAs()) != 1 {
		t.Fatalf("the cookie was not taken: %v", out.Err)
	}
	forged := again.Datagrams[0]
	forged.Octets = append([]byte(nil), forged.Octets...)
	forged.Octets[wire.HeaderLength+12] ^= 1
	forged.Octets[3] ^= 1
	if out = x.pass(x.b, forged); len(out.Datagrams) != 1 || len(x.b.SAs()) != 1 {
		t.Errorf("a wrong cookie: %d SAs", len(x.b.SAs()))
	}
	for range maxInitTries + 1 {
		m := wire.Message{Header: wire.Header{InitiatorSPI: x.sa.spiI, Version: wire.Version2, Exchange: wire.ExchangeIKESAInit, Flags: wire.FlagResponse},
			Payloads: notify(wire.NotifyCookie, []byte("again"))}
		x.a.Step(x.now, Input{Datagram: &Datagram{Local: x.sa.path.local, Remote: x.sa.path.remote, Octets: m.Append(nil)}})
	}
	if !x.sa.ended() {
		t.Error("a peer that always demands another cookie is never given up")
	}
}
