package feed_test

import (
	"errors"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/diag"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/trace"
	"github.com/cloudvlan/cvlanctl/engine/wire"
	"github.com/cloudvlan/cvlanctl/tui/feed"
)

func espEvent(frame int64) *event.Event {
	return &event.Event{
		Time: time.Unix(1_700_000_000+frame, 0), Frame: frame,
		Packet: &event.Packet{
			Src: netip.MustParseAddr("192.0.2.1"), Dst: netip.MustParseAddr("192.0.2.2"), Proto: event.ESP, Encap: event.IP,
			Length: 100, ESP: &event.SecurityPacket{SPI: 0x11223344, Seq: uint32(frame)},
		},
	}
}

func TestIndexKeepsTheNewestPacketsAndCountsTheOthers(t *testing.T) {
	s := feed.NewStore(feed.Options{MaxPackets: 10})
	for frame := int64(1); frame <= 25; frame++ {
		s.Add(espEvent(2 * frame)) // frames 2, 4, ... 50
	}
	p := s.Packets()
	if p.Len() != 10 || p.Forgotten() != 15 {
		t.Fatalf("keeps %d and forgot %d, want 10 and 15", p.Len(), p.Forgotten())
	}
	if first, last := p.At(0).Frame, p.At(9).Frame; first != 32 || last != 50 {
		t.Errorf("keeps frames %d to %d, want 32 to 50", first, last)
	}
	for _, row := range []struct {
		frame int64
		at    int
		found bool
	}{{32, 0, true}, {50, 9, true}, {40, 4, true}, {41, 5, false}, {2, 0, false}, {51, 10, false}} {
		if at, found := p.Find(row.frame); at != row.at || found != row.found {
			t.Errorf("Find(%d) = %d, %v; want %d, %v", row.frame, at, found, row.at, row.found)
		}
	}
}

func TestEveryEventHasALine(t *testing.T) {
	a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	refusal := &wire.Message{Payloads: []wire.Payload{{Body: &wire.Notify{Type: wire.NotifyNoProposalChosen}}}}
	rows := []struct {
		name    string
		event   event.Event
		proto   string
		problem bool
	}{
		{"esp", *espEvent(1), "esp", false},
		{"icmp", event.Event{ICMP: &event.ICMPError{From: a, To: b}}, "icmp", true},
		{"lost fragments", event.Event{Loss: &event.FragmentLoss{Src: a, Dst: b}}, "fragments", true},
		{"gap", event.Event{Gap: &event.Gap{What: "the file ends early"}}, "gap", true},
		{"keepalive", event.Event{Packet: &event.Packet{Src: a, Dst: b, Proto: event.Keepalive, Length: 1}}, "natt-keepalive", false},
		{"error notify", event.Event{Packet: &event.Packet{Src: a, Dst: b, Proto: event.IKEv2, IKE: &event.IKE{Message: refusal}}}, "ikev2", true},
		{"wrong key", event.Event{Packet: &event.Packet{Src: a, Dst: b, Proto: event.ESP, ESP: &event.SecurityPacket{DecryptError: "wrong key"}}}, "esp", true},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			s := feed.NewStore(feed.Options{Summary: func(*event.Event) string { return row.name }})
			s.Add(&row.event)
			got := s.Packets().At(0)
			if got.Proto != row.proto || got.Problem != row.problem || got.Summary != row.name {
				t.Errorf("line is %+v", got)
			}
		})
	}
}

func TestFinishDiagnosesAndSaysWhy(t *testing.T) {
	end := errors.New("cut short")
	s := feed.NewStore(feed.Options{Title: "pcap:x", Diagnose: func(tr *trace.Trace) []diag.Finding {
		return []diag.Finding{{ID: "seen", Count: int(tr.Counts.ESP)}}
	}})
	s.Add(espEvent(1))
	s.Read(10, 20)
	before := s.Version()
	s.Finish(end)
	if s.Version() == before {
		t.Error("the version did not change")
	}
	s.Hold()
	defer s.Release()
	if f := s.Findings(); len(f) != 1 || f[0].Count != 1 {
		t.Errorf("findings %+v", f)
	}
	if p := s.Progress(); !p.Done || !errors.Is(p.Err, end) || p.Events != 1 || p.Read != 10 || p.Size != 20 {
		t.Errorf("progress %+v", p)
	}
}

func TestScreenReadsWhileTheLoaderWrites(t *testing.T) {
	s := feed.NewStore(feed.Options{MaxPackets: 100})
	var loader sync.WaitGroup
	loader.Go(func() {
		for frame := int64(1); frame <= 5000; frame++ {
			s.Add(espEvent(frame))
		}
		s.Finish(nil)
	})
	for done := false; !done; {
		s.Hold()
		done = s.Progress().Done
		p := s.Packets()
		if n := p.Len(); n > 1 && p.At(n-1).Frame != p.At(0).Frame+int64(n)-1 {
			t.Errorf("frames %d to %d in %d rows", p.At(0).Frame, p.At(n-1).Frame, n)
		}
		s.Release()
	}
	loader.Wait()
}

// BenchmarkAdd is what the store costs per event beside the fold: the lock,
// the index line, the summary.
func BenchmarkAdd(b *testing.B) {
	s := feed.NewStore(feed.Options{Summary: event.Summary})
	e := espEvent(1)
	b.ReportAllocs()
	for b.Loop() {
		e.Frame++
		e.Packet.ESP.Seq++
		s.Add(e)
	}
}
