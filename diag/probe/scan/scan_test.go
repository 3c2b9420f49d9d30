package scan

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/enginetest"
	"github.com/cloudvlan/cvlanctl/engine/ike"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// memory is a Line to an Endpoint of our own, without a network between.
type memory struct {
	t      *testing.T
	host   *ike.Endpoint
	now    time.Time
	local  netip.AddrPort // as we see ourselves
	seen   netip.AddrPort // as the host sees us
	silent bool           // on the plain port
	asked  int
	// refuses says what the host refuses although its configuration has it.
	refuses func(*wire.SA) bool
}

func (m *memory) Ends(marked bool) (local, remote netip.AddrPort) {
	port := uint16(500)
	if marked {
		port = 4500
	}
	return m.local, netip.AddrPortFrom(enginetest.AddrB, port)
}

func (m *memory) Ask(_ context.Context, marked bool, request []byte, fits func([]byte) bool) ([]byte, time.Duration, bool, error) {
	m.asked++
	m.now = m.now.Add(time.Second)
	if m.silent && !marked {
		return nil, 0, false, nil
	}
	if r, err := wire.Parse(request); err == nil && m.refuses != nil {
		if sa, ok := body[*wire.SA](r, wire.PayloadSA); ok && m.refuses(sa) {
			no := wire.Message{Header: wire.Header{InitiatorSPI: r.InitiatorSPI, Version: wire.Version2, Exchange: r.Exchange, Flags: wire.FlagResponse},
				Payloads: []wire.Payload{{Type: wire.PayloadNotify, Body: &wire.Notify{Type: wire.NotifyNoProposalChosen}}}}
			if b := no.Append(nil); fits(b) {
				return b, time.Millisecond, false, nil
			}
		}
	}
	_, to := m.Ends(marked)
	if marked {
		request = wire.AppendMarked(nil, request)
	}
	out := m.host.Step(m.now, ike.Input{Datagram: &ike.Datagram{Local: to, Remote: m.seen, Marked: marked, Octets: request}})
	for _, d := range out.Datagrams {
		_, octets := wire.ClassifyUDP(d.Octets, d.Marked)
		if fits(octets) {
			return octets, time.Millisecond, false, nil
		}
	}
	return nil, 0, false, nil
}

func responder(t *testing.T, change func(*memory, *ike.Connection, *ike.Settings)) *memory {
	t.Helper()
	_, b := enginetest.PSKConnections(t)
	set := ike.Settings{HalfOpenPerSource: 2}
	m := &memory{t: t, now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), local: netip.MustParseAddrPort("192.0.2.1:40000")}
	m.seen = m.local
	change(m, b, &set)
	m.host = ike.NewEndpoint(set)
	if err := m.host.Add(b); err != nil {
		t.Fatal(err)
	}
	return m
}

func noWait(context.Context, time.Duration) error { return nil }

func (m *memory) scan(o Options) (*Result, error) {
	o.Wait = noWait
	return Run(context.Background(), m, o)
}

// keywords gives what was accepted of a type, sorted.
func keywords(r *Result, t wire.TransformType) []string {
	var list []string
	for _, a := range only(r.Accepted, t) {
		list = append(list, a.Keyword())
	}
	slices.Sort(list)
	return list
}

func TestAScanFindsExactlyWhatTheResponderAccepts(t *testing.T) {
	m := responder(t, func(_ *memory, c *ike.Connection, _ *ike.Settings) {
		c.Proposals = enginetest.Proposals(t, wire.ProtocolIKE,
			"aes256gcm16-aes128gcm16-chacha20poly1305-prfsha384-prfsha256-ecp384-curve25519-modp2048",
			"aes256-aes128-3des-sha256-sha1-modp1024-modp2048")
	})
	r, err := m.scan(Options{})
	if err != nil {
		t.Fatal(err)
	}
	want := map[wire.TransformType][]string{
		wire.TransformEncr:  {"3des", "aes128", "aes128gcm16", "aes256", "aes256gcm16", "chacha20poly1305"},
		wire.TransformPRF:   {"prfsha1", "prfsha256", "prfsha384"},
		wire.TransformInteg: {"sha1", "sha256"},
		wire.TransformKE:    {"curve25519", "ecp384", "modp1024", "modp2048"},
	}
	for typ, list := range want {
		if got := keywords(r, typ); !slices.Equal(got, list) {
			t.Errorf("%s: %v, want %v", typ, got, list)
		}
	}
	if r.IKEv2 != Answers || r.Port4500 != Answers || r.IKEv1 != Silent && r.IKEv1 != Unasked || !r.Complete {
		t.Errorf("IKEv2 %s, port 4500 %s, IKEv1 %s, complete %t", r.IKEv2, r.Port4500, r.IKEv1, r.Complete)
	}
	if r.MajorVersion3 != "INVALID_MAJOR_VERSION" || r.Critical != "UNSUPPORTED_CRITICAL_PAYLOAD" {
		t.Errorf("major version 3: %s, critical payload: %s", r.MajorVersion3, r.Critical)
	}
	if r.NATLocal == nil || *r.NATLocal || *r.NATRemote || !r.Has(wire.NotifyFragmentationSupported) {
		t.Errorf("NAT %v %v, notifies %v", r.NATLocal, r.NATRemote, r.Notifies)
	}
	if held := m.host.Held(); held.HalfOpen != 0 {
		t.Errorf("the scan left %d half-open SAs behind", held.HalfOpen)
	}
	if r.Requests != m.asked || r.Requests > 60 {
		t.Errorf("%d requests counted, %d sent", r.Requests, m.asked)
	}
}

func TestAScanGivesTheCookieThatIsDemanded(t *testing.T) {
	m := responder(t, func(_ *memory, _ *ike.Connection, set *ike.Settings) { set.CookieThreshold = -1 })
	r, err := m.scan(Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got := keywords(r, wire.TransformEncr); !r.Cookie || !slices.Equal(got, []string{"aes256gcm16"}) {
		t.Errorf("cookie %t, accepted %v", r.Cookie, got)
	}
}

func TestAScanSeesANATInFrontOfIt(t *testing.T) {
	m := responder(t, func(m *memory, c *ike.Connection, _ *ike.Settings) {
		m.seen = netip.MustParseAddrPort("203.0.113.9:1024")
		c.Remote = netip.Addr{}
	})
	r, err := m.scan(Options{})
	if err != nil {
		t.Fatal(err)
	}
	if r.NATLocal == nil || !*r.NATLocal || *r.NATRemote {
		t.Errorf("NAT %v %v", r.NATLocal, r.NATRemote)
	}
}

func TestAScanGoesOnOverPort4500WherePort500IsSilent(t *testing.T) {
	m := responder(t, func(m *memory, _ *ike.Connection, _ *ike.Settings) { m.silent = true })
	r, err := m.scan(Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got := keywords(r, wire.TransformKE); !r.OnlyNATT || !slices.Equal(got, []string{"curve25519"}) {
		t.Errorf("only the NATT port %t, accepted %v", r.OnlyNATT, got)
	}
}

func TestABoundedScanGoesOnWhereItStopped(t *testing.T) {
	m := responder(t, func(*memory, *ike.Connection, *ike.Settings) {})
	whole, err := m.scan(Options{})
	if err != nil {
		t.Fatal(err)
	}
	var before *Result
	for range 50 {
		r, err := m.scan(Options{Max: 3, Before: before})
		if err != nil && !errors.Is(err, ErrBound) {
			t.Fatal(err)
		}
		if r.Requests > 3 {
			t.Fatalf("%d requests, at most 3 were allowed", r.Requests)
		}
		before = r
		if err == nil {
			break
		}
	}
	if !before.Complete || !slices.Equal(before.Accepted, whole.Accepted) {
		t.Errorf("in parts %v, at once %v", before.Accepted, whole.Accepted)
	}
	again, err := m.scan(Options{Before: before})
	if err != nil || again.Requests != 0 || !slices.Equal(again.Accepted, whole.Accepted) {
		t.Errorf("a complete result led to %d requests, %v", again.Requests, err)
	}
}

func TestAScanOfASilentHostEndsSoon(t *testing.T) {
	m := responder(t, func(m *memory, _ *ike.Connection, _ *ike.Settings) {})
	m.host = ike.NewEndpoint(ike.Settings{}) // with no connection at all
	r, err := m.scan(Options{})
	if err != nil || r.Requests > 12 || len(r.Accepted) != 0 {
		t.Errorf("%d requests, %v accepted, %v", r.Requests, r.Accepted, err)
	}
}

func TestAScanEndsWithItsContext(t *testing.T) {
	m := responder(t, func(*memory, *ike.Connection, *ike.Settings) {})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Run(ctx, m, Options{Pace: time.Hour}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

// aloneOf gives what came of asking for an algorithm alone.
func aloneOf(r *Result, keyword string) string {
	for i := range r.Accepted {
		if r.Accepted[i].Keyword() == keyword {
			return r.Accepted[i].Alone
		}
	}
	return "not accepted at all"
}

func TestEachAlgorithmThatAScanFoundIsConfirmedAlone(t *testing.T) {
	m := responder(t, func(_ *memory, c *ike.Connection, _ *ike.Settings) {
		c.Proposals = enginetest.Proposals(t, wire.ProtocolIKE, "aes256gcm16-prfsha384-ecp384", "aes128-3des-sha256-sha1-prfsha256-modp1024-modp2048")
	})
	r, err := m.scan(Options{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range r.Accepted {
		if a := &r.Accepted[i]; !a.Confirmed() || a.Contradicted() {
			t.Errorf("%s: alone %q", a.Keyword(), a.Alone)
		}
	}
	for _, q := range r.Questions {
		if q.Name == "alone" && (strings.Contains(q.Offer, ",") || q.Suite != q.Offer) {
			t.Errorf("asked for %s alone, and got %s", q.Offer, q.Suite)
		}
	}
}

func TestAHostThatTakesAnAlgorithmOnlyAmongOthersIsShown(t *testing.T) {
	m := responder(t, func(m *memory, c *ike.Connection, _ *ike.Settings) {
		c.Proposals = enginetest.Proposals(t, wire.ProtocolIKE, "aes256-aes128-sha256-sha1-prfsha256-modp2048")
		m.refuses = func(sa *wire.SA) bool {
			ts := sa.Proposals[0].Transforms
			return len(sa.Proposals) == 1 && len(ts) == 4 && has(sa.Proposals, Accepted{Type: wire.TransformEncr, ID: wire.EncrAESCBC, Bits: 128})
		}
	})
	r, err := m.scan(Options{})
	if err != nil {
		t.Fatal(err)
	}
	for keyword, want := range map[string]string{"aes128": "NO_PROPOSAL_CHOSEN", "aes256": OutcomeAccepted, "sha1": OutcomeAccepted,
		"sha256": OutcomeAccepted, "prfsha256": OutcomeAccepted, "modp2048": OutcomeAccepted} {
		if got := aloneOf(r, keyword); got != want {
			t.Errorf("%s alone: %s, want %s", keyword, got, want)
		}
	}
}

// transforms reads keywords, also such as make no proposal.
func transforms(t *testing.T, keywords string) []wire.Transform {
	t.Helper()
	var list []wire.Transform
	for k := range strings.FieldsFuncSeq(keywords, func(r rune) bool { return r == '-' }) {
		tr, ok := wire.ParseKeyword(k)
		if !ok {
			t.Fatalf("keyword %q", k)
		}
		list = append(list, tr)
	}
	return list
}

func TestAnAnswerThatChoosesWhatWasNotOfferedIsNotBelieved(t *testing.T) {
	ps := []wire.Proposal{{Transforms: transforms(t, "aes256gcm16-prfsha256-ecp256")}, {Transforms: transforms(t, "aes256-aes128-sha256-prfsha256-ecp256")}}
	for _, x := range []struct{ chosen, want string }{
		{"aes256-sha256-prfsha256-ecp256", ""},
		{"aes192-sha256-prfsha256-ecp256", "aes192, which was not offered"},
		{"aes256-aes128-sha256-prfsha256-ecp256", "more than one ENCR"},
		{"aes256gcm16-sha256-prfsha256-ecp256", "a mixture of two proposals"},
	} {
		if got := unoffered(ps, &wire.Proposal{Transforms: transforms(t, x.chosen)}); (got == "") != (x.want == "") || !strings.Contains(got, x.want) {
			t.Errorf("%s: %q, want %q", x.chosen, got, x.want)
		}
	}
}
