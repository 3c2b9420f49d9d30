package feed

import (
	"net/netip"
	"sort"
	"sync"
	"sync/atomic"

	"github.com/cloudvlan/cvlanctl/diag"
	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/trace"
)

// DefaultPackets is how many packets an index keeps where nothing else is
// said: some 40 MB of them.
const DefaultPackets = 200_000

// DefaultLines is how many lines of what happened are kept where nothing else
// is said.
const DefaultLines = 20_000

// Options of a Store.
type Options struct {
	Title      string
	Live       bool
	Daemon     bool // the source is a daemon
	MaxPackets int  // kept in the index; default DefaultPackets
	MaxLines   int  // kept of what happened; default DefaultLines
	Trace      trace.Options
	// Diagnose makes the findings of a trace, nil for none. It is called on
	// the goroutine that fills the Store.
	Diagnose func(*trace.Trace) []diag.Finding
	// Summary says an event in one line, nil for nothing.
	Summary func(*event.Event) string
}

// Store is a Data that one goroutine fills, event by event, while the screen
// reads it.
type Store struct {
	options  Options
	mu       sync.RWMutex // the filling goroutine writes under it and reads without
	version  atomic.Uint64
	trace    *trace.Trace
	findings []diag.Finding
	packets  ring[Packet]
	progress Progress
	daemon   *Daemon
	lines    ring[Line]
	told     int64 // lines so far
	reached  bool  // the daemon has been there before
}

// NewStore makes an empty Store.
func NewStore(o Options) *Store {
	if o.MaxPackets <= 0 {
		o.MaxPackets = DefaultPackets
	}
	if o.MaxLines <= 0 {
		o.MaxLines = DefaultLines
	}
	s := &Store{options: o, trace: trace.New(o.Trace), packets: ring[Packet]{max: o.MaxPackets}, lines: ring[Line]{max: o.MaxLines}}
	if o.Daemon {
		s.daemon = &Daemon{History: &backend.History{}, rates: map[rateKey]*Rates{}}
	}
	return s
}

// Add takes in one event; it copies what it keeps.
func (s *Store) Add(e *event.Event) {
	if s.daemon != nil {
		s.addDaemon(e)
		return
	}
	p := s.line(e)
	s.mu.Lock()
	s.trace.Add(e)
	s.packets.add(p)
	s.progress.Events++
	s.mu.Unlock()
	s.version.Add(1)
}

// addDaemon takes in an event of a daemon.
func (s *Store) addDaemon(e *event.Event) {
	line, ok := s.lineOf(e)
	s.mu.Lock()
	s.trace.Add(e)
	s.fold(e)
	if ok {
		s.told++
		line.Number = s.told
		s.lines.add(line)
	}
	s.progress.Events++
	s.mu.Unlock()
	s.version.Add(1)
}

// Read says how far the source has been read, in octets, and how many there
// are, 0 where that is not known.
func (s *Store) Read(octets, size int64) {
	s.mu.Lock()
	s.progress.Read, s.progress.Size = octets, size
	s.mu.Unlock()
	s.version.Add(1)
}

// Diagnose makes the findings anew. A live source's loader calls it now and
// then; Finish does so by itself.
func (s *Store) Diagnose() {
	if s.options.Diagnose == nil {
		return
	}
	found := s.options.Diagnose(s.trace)
	s.mu.Lock()
	s.findings = found
	s.mu.Unlock()
	s.version.Add(1)
}

// Finish says that the source has ended, with the error that ended it or nil.
func (s *Store) Finish(err error) {
	s.Diagnose()
	s.mu.Lock()
	s.progress.Done, s.progress.Err = true, err
	s.mu.Unlock()
	s.version.Add(1)
}

// Title names the source.
func (s *Store) Title() string { return s.options.Title }

// Live says whether the source goes on.
func (s *Store) Live() bool { return s.options.Live }

// Version changes with everything else.
func (s *Store) Version() uint64 { return s.version.Load() }

// Hold keeps everything as it is until Release.
func (s *Store) Hold() { s.mu.RLock() }

// Release ends a Hold.
func (s *Store) Release() { s.mu.RUnlock() }

// Trace gives the tables.
func (s *Store) Trace() *trace.Trace { return s.trace }

// Findings gives the findings of the last diagnosis.
func (s *Store) Findings() []diag.Finding { return s.findings }

// Packets gives the index.
func (s *Store) Packets() PacketList { return packetRing{&s.packets} }

// Daemon gives what is known of a daemon, nil where the source is none.
func (s *Store) Daemon() *Daemon { return s.daemon }

// Log gives the lines of what happened.
func (s *Store) Log() LogList { return &s.lines }

// Progress says how far the source has been read.
func (s *Store) Progress() Progress { return s.progress }

// line makes the index line of an event.
func (s *Store) line(e *event.Event) Packet {
	p := Packet{Frame: e.Frame, Time: e.Time}
	if s.options.Summary != nil {
		p.Summary = s.options.Summary(e)
	}
	switch {
	case e.Packet != nil:
		p.Src = netip.AddrPortFrom(e.Packet.Src, e.Packet.SrcPort)
		p.Dst = netip.AddrPortFrom(e.Packet.Dst, e.Packet.DstPort)
		p.Proto, p.Length = e.Packet.Proto.String(), e.Packet.Length
		p.Problem = troubled(e.Packet)
	case e.ICMP != nil:
		p.Src, p.Dst = netip.AddrPortFrom(e.ICMP.From, 0), netip.AddrPortFrom(e.ICMP.To, 0)
		p.Proto, p.Problem = "icmp", true
	case e.Loss != nil:
		p.Src = netip.AddrPortFrom(e.Loss.Src, e.Loss.SrcPort)
		p.Dst = netip.AddrPortFrom(e.Loss.Dst, e.Loss.DstPort)
		p.Proto, p.Problem = "fragments", true
	case e.Gap != nil:
		p.Proto, p.Problem = "gap", true
	}
	return p
}

// troubled says whether a packet is itself wrong or reports an error.
func troubled(p *event.Packet) bool {
	switch {
	case p.IKE != nil:
		if p.IKE.Err != nil || p.IKE.DecryptError != "" {
			return true
		}
		m := trace.Message{Payloads: p.IKE.Payloads()}
		return m.ErrorNotify() != nil
	case p.ESP != nil:
		return p.ESP.DecryptError != ""
	case p.AH != nil:
		return p.AH.DecryptError != ""
	}
	return false
}

// ring keeps the newest rows.
type ring[T any] struct {
	max       int
	rows      []T
	start     int // index of the oldest in rows
	forgotten int64
}

func (r *ring[T]) add(v T) {
	if len(r.rows) < r.max {
		r.rows = append(r.rows, v)
		return
	}
	r.rows[r.start] = v
	r.start = (r.start + 1) % r.max
	r.forgotten++
}

// Len gives how many rows there are.
func (r *ring[T]) Len() int { return len(r.rows) }

// At gives row i, 0 for the oldest.
func (r *ring[T]) At(i int) T { return r.rows[(r.start+i)%len(r.rows)] }

// Forgotten gives how many rows came before the oldest.
func (r *ring[T]) Forgotten() int64 { return r.forgotten }

// packetRing is the index of packets.
type packetRing struct{ *ring[Packet] }

// Find gives the index of a frame's packet.
func (r packetRing) Find(frame int64) (int, bool) {
	i := sort.Search(r.Len(), func(i int) bool { return r.At(i).Frame >= frame })
	return i, i < r.Len() && r.At(i).Frame == frame
}
