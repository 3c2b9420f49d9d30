package ipflow

import (
	"bytes"
	"slices"
)

// Limits of one stream.
const (
	maxWaiting = 64      // segments ahead of a gap
	maxAhead   = 1 << 20 // octets from a gap to a segment
)

// A stream's first octets, after its SYN was seen.
const (
	startDone       = iota // past them, or never seen
	startOriginator        // prefixIKE must come
	startResponder         // a record must come
)

// stream is one direction of a TCP connection that carries IKE.
type stream struct {
	key          flow
	older, newer *stream // by use, for eviction

	next    uint32 // sequence number of the octet that is next
	start   uint8
	synced  bool // records are known to begin where pending does
	foreign bool // begins with something else than IKE: TLS, or another protocol
	pending []byte
	counted int // octets of pending in streams.held
	waiting []segment
}

// segment is one that came before its turn.
type segment struct {
	seq  uint32
	data []byte
}

// streams holds the streams that are followed.
type streams struct {
	by             map[flow]*stream
	oldest, newest *stream
	held           int
	limits         *Limits
	stats          *Stats
	ports          []uint16
}

func (ss *streams) init(l *Limits, s *Stats, ports []uint16) {
	*ss = streams{by: map[flow]*stream{}, limits: l, stats: s, ports: append([]uint16{portIKE}, ports...)}
}

// find gives the stream that a segment belongs to, and makes it where the
// segment shows that it carries IKE; nil for all other TCP.
func (ss *streams) find(key flow, h *TCP, b []byte) *stream {
	prefixed := bytes.HasPrefix(b, []byte(prefixIKE))
	ported := slices.Contains(ss.ports, key.sport) || slices.Contains(ss.ports, key.dport)
	if !prefixed && !ported && len(ss.by) == 0 {
		return nil
	}
	s := ss.by[key]
	if h.Flags&FlagSYN != 0 && h.Flags&FlagRST == 0 {
		if s == nil {
			if !ported {
				return nil
			}
			s = ss.open(key)
		} else if s.next == h.Seq+1 {
			ss.touch(s)
			return s // a repeated SYN
		}
		ss.clear(s)
		s.next, s.synced, s.foreign = h.Seq+1, true, false
		s.start = startOriginator
		if h.Flags&FlagACK != 0 {
			s.start = startResponder
		}
		return s
	}
	switch {
	case s != nil:
		ss.touch(s)
		return s
	case prefixed:
		s = ss.open(key)
		s.next, s.synced, s.start = h.Seq, true, startOriginator
		if back := key.reverse(); h.Flags&FlagACK != 0 && ss.by[back] == nil {
			r := ss.open(back)
			r.next, r.synced, r.start = h.Ack, true, startResponder
		}
		return s
	case ported && plausible(b):
		s = ss.open(key)
		s.next = h.Seq
		return s
	}
	return nil
}

// begin judges a stream's first octets: how many to step over, and false
// where there are too few to judge by.
func (s *stream) begin(b []byte) (int, bool) {
	if s.start == startResponder {
		if len(b) < 2+4+28 && !plausible(b) {
			return 0, false
		}
		s.start, s.foreign = startDone, !plausible(b)
		return 0, true
	}
	if n := min(len(b), len(prefixIKE)); string(b[:n]) != prefixIKE[:n] {
		s.start, s.foreign = startDone, true
		return 0, true
	} else if n < len(prefixIKE) {
		return 0, false
	}
	s.start = startDone
	return len(prefixIKE), true
}

// spoil forgets the record that a gap cut.
func (s *stream) spoil() {
	s.synced = false
	s.start = startDone
	s.pending = s.pending[:0]
}

// keep files a segment that is ahead of its turn, and says whether the stream
// is still there: its own octets may be what breaks the limit.
func (ss *streams) keep(s *stream, seq uint32, b []byte) bool {
	at, _ := slices.BinarySearchFunc(s.waiting, seq, func(g segment, seq uint32) int {
		return int(int32(g.seq - seq))
	})
	if at < len(s.waiting) && s.waiting[at].seq == seq {
		if len(s.waiting[at].data) >= len(b) {
			return true
		}
		ss.held -= len(s.waiting[at].data)
		s.waiting[at].data = bytes.Clone(b)
	} else {
		s.waiting = slices.Insert(s.waiting, at, segment{seq: seq, data: bytes.Clone(b)})
	}
	ss.held += len(b)
	return ss.shrink(s)
}

// shrink evicts streams, least recently used first, until what is held is
// within the limit, and says whether s survived.
func (ss *streams) shrink(s *stream) bool {
	alive := true
	for ss.held > ss.limits.StreamOctets && ss.oldest != nil {
		if ss.oldest == s {
			alive = false
		}
		ss.drop(ss.oldest)
	}
	return alive
}

// open begins to follow a stream.
func (ss *streams) open(key flow) *stream {
	for len(ss.by) >= ss.limits.Streams {
		ss.drop(ss.oldest)
	}
	s := &stream{key: key}
	ss.by[key] = s
	ss.link(s)
	return s
}

// clear empties a stream.
func (ss *streams) clear(s *stream) {
	for _, g := range s.waiting {
		ss.held -= len(g.data)
	}
	ss.held -= s.counted
	s.waiting, s.pending, s.counted = nil, nil, 0
}

// drop forgets a stream. Dropping it again does nothing.
func (ss *streams) drop(s *stream) {
	if ss.by[s.key] != s {
		return
	}
	ss.clear(s)
	delete(ss.by, s.key)
	ss.unlink(s)
}

// touch marks a stream as used just now.
func (ss *streams) touch(s *stream) {
	if ss.newest != s {
		ss.unlink(s)
		ss.link(s)
	}
}

func (ss *streams) link(s *stream) {
	s.older, s.newer = ss.newest, nil
	if ss.newest != nil {
		ss.newest.newer = s
	} else {
		ss.oldest = s
	}
	ss.newest = s
}

func (ss *streams) unlink(s *stream) {
	if s.older != nil {
		s.older.newer = s.newer
	} else {
		ss.oldest = s.newer
	}
	if s.newer != nil {
		s.newer.older = s.older
	} else {
		ss.newest = s.older
	}
	s.older, s.newer = nil, nil
}
