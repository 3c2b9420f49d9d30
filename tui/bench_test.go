package tui_test

import (
	"net/netip"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/cloudvlan/cvlanctl/diag"
	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/trace"
	"github.com/cloudvlan/cvlanctl/engine/wire"
	"github.com/cloudvlan/cvlanctl/tui"
	"github.com/cloudvlan/cvlanctl/tui/feed"
	"github.com/cloudvlan/cvlanctl/tui/theme"
)

// crowd is a trace of n tunnels, each with an IKE SA, a child SA and four
// exchanges, and as many packets; every tenth has a finding.
func crowd(n int) *fixed {
	tr := trace.New(trace.Options{})
	tr.First, tr.Last = at(0), at(time.Hour)
	f := &fixed{title: "pcap:crowd.pcapng", trace: tr, progress: feed.Progress{Done: true, Events: int64(n)}}
	for i := range n {
		peer := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		child := &engine.ChildSA{
			State: engine.ChildInstalled, Protocol: "ESP", SPIIn: engine.Some(wire.ESPSPI(2 * i)), SPIOut: engine.Some(wire.ESPSPI(2*i + 1)),
			LocalTS: []string{"10.1.0.0/16"}, RemoteTS: []string{"10.2.0.0/16"}, BytesIn: engine.Some(uint64(i * 1000)), Installed: at(time.Second),
		}
		sa := &trace.IKESA{
			IKESA: engine.IKESA{
				Version: 2, State: engine.IKEEstablished, InitiatorSPI: wire.SPI(i + 1), ResponderSPI: wire.SPI(i + 2),
				Local: engine.Side{Host: siteA, Port: 500}, Remote: engine.Side{Host: peer, Port: 500, ID: "peer.example"},
				Suite: engine.Suite{Keyword: "aes256gcm16-prfsha256-ecp256"}, Established: at(time.Second), Children: []*engine.ChildSA{child},
			},
			First: at(0), FirstFrame: int64(8 * i),
		}
		near, far := netip.AddrPortFrom(siteA, 500), netip.AddrPortFrom(peer, 500)
		for id := range 4 {
			x := &trace.Exchange{SA: sa, Type: wire.ExchangeInformational, MessageID: uint32(id), By: trace.Initiator, Purpose: trace.PurposeDPD}
			x.Request = message(int64(8*i+2*id), time.Duration(id)*time.Second, near, far, 57)
			x.Response = message(int64(8*i+2*id+1), time.Duration(id)*time.Second+time.Millisecond, far, near, 57)
			sa.Exchanges = append(sa.Exchanges, x)
		}
		tr.SAs = append(tr.SAs, sa)
		f.packets = append(f.packets, feed.Packet{
			Frame: int64(i + 1), Time: at(time.Duration(i) * time.Millisecond), Src: near, Dst: far, Proto: "ikev2", Length: 57, Summary: "INFORMATIONAL request 1: empty",
		})
		if i%10 == 0 {
			f.findings = append(f.findings, diag.Finding{
				ID: "dpd-timeout", Severity: diag.High, Summary: "the peer does not answer", Count: 1,
				Subject: diag.Subject{Local: siteA.String(), Remote: peer.String(), SPIi: sa.InitiatorSPI.String()},
			})
		}
	}
	return f
}

// BenchmarkFrame draws one frame after one key at 10,000 tunnels, which must
// stay under 16 ms for scrolling to be smooth.
func BenchmarkFrame(b *testing.B) {
	for _, page := range []string{"1", "2", "3", "5", "6"} {
		b.Run("page"+page, func(b *testing.B) {
			m := tui.New(tui.Options{Data: crowd(10_000), Now: func() time.Time { return at(time.Hour) }, Theme: theme.Options{Colour: true}, Page: page})
			m.Init()
			m.Update(tea.WindowSizeMsg{Width: 200, Height: 60})
			b.ReportAllocs()
			for b.Loop() {
				m.Update(tea.KeyPressMsg{Code: tea.KeyPgDown})
				m.View()
			}
		})
	}
}

// BenchmarkSync makes a page's rows anew, as a live source asks for.
func BenchmarkSync(b *testing.B) {
	for _, page := range []string{"1", "2", "3", "5", "6"} {
		b.Run("page"+page, func(b *testing.B) {
			data := crowd(10_000)
			m := tui.New(tui.Options{Data: data, Now: func() time.Time { return at(time.Hour) }, Page: page})
			m.Init()
			m.Update(tea.WindowSizeMsg{Width: 200, Height: 60})
			b.ReportAllocs()
			for b.Loop() {
				data.version++
				for range 20 { // a page with many rows rests for some frames
					m.Update(tui.Tick(at(0)))
				}
			}
		})
	}
}

// BenchmarkFilter types a letter of a filter and takes it back, and lets the
// filter be applied, at 10,000 tunnels.
func BenchmarkFilter(b *testing.B) {
	for _, page := range []string{"1", "2", "3", "5", "6"} {
		b.Run("page"+page, func(b *testing.B) {
			m := tui.New(tui.Options{Data: crowd(10_000), Now: func() time.Time { return at(time.Hour) }, Page: page})
			m.Init()
			m.Update(tea.WindowSizeMsg{Width: 200, Height: 60})
			m.Update(tea.KeyPressMsg{Code: '/', Text: "/"})
			for b.Loop() {
				m.Update(tea.KeyPressMsg{Code: 'a', Text: "a"})
				m.Update(tea.KeyPressMsg{Code: tea.KeyBackspace})
				m.Update(tui.Tick(at(0)))
			}
		})
	}
}

func TestTenThousandTunnelsDrawOnlyWhatIsSeen(t *testing.T) {
	small, large := drive(t, crowd(100), 200, 60), drive(t, crowd(10_000), 200, 60)
	count := func(d *driver) float64 { return testing.AllocsPerRun(5, func() { d.styled() }) }
	if a, b := count(small), count(large); b > 1.5*a {
		t.Errorf("a frame costs %v allocations at 100 tunnels and %v at 10,000", a, b)
	}
	large.press("G").has("30,000 of 30,000")
}
