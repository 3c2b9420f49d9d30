package dissect

import (
	"slices"

	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// Limits on sets of IKE fragments (RFC 7383 2.6 asks for some).
const (
	maxSets         = 1024
	maxSetFragments = 256
	maxSetOctets    = 1 << 20 // decrypted octets held, over all sets
)

// setKey names the message that a fragment is a part of.
type setKey struct {
	spiI, spiR wire.SPI
	flags      wire.Flags // initiator and response
	id         uint32
	total      uint16
}

// fragmentSet is what has come of one fragmented message.
type fragmentSet struct {
	frames []int64  // by number - 1, 0 where not yet
	plain  [][]byte // decrypted parts, nil where not decrypted
	first  wire.PayloadType
	have   int
	octets int
	age    uint64
}

// fragments holds the sets in flight, oldest forgotten first.
type fragments struct {
	sets   map[setKey]*fragmentSet
	octets int
	clock  uint64
}

func newFragments() fragments { return fragments{sets: make(map[setKey]*fragmentSet)} }

// fragment notes an SKF payload and says on the event which it is of how many.
func (d *Dissector) fragment() {
	f := d.skf()
	if f == nil || f.Total == 0 || f.Number == 0 || f.Number > f.Total {
		return
	}
	d.set = event.Fragment{Number: f.Number, Total: f.Total}
	d.ike.Fragment = &d.set
	s := d.fragments.get(d.setKey(f))
	if s == nil {
		return
	}
	i := int(f.Number) - 1
	if s.frames[i] == 0 {
		s.have++
	}
	s.frames[i] = d.event.Frame
	if f.Number == 1 {
		s.first = f.First
	}
	if s.have == int(f.Total) {
		d.set.Frames = slices.Clone(s.frames)
	}
}

// skf gives the fragment payload of the current message, nil where it is none.
func (d *Dissector) skf() *wire.Fragment {
	if n := len(d.message.Payloads); n > 0 {
		f, _ := d.message.Payloads[n-1].Body.(*wire.Fragment)
		return f
	}
	return nil
}

func (d *Dissector) setKey(f *wire.Fragment) setKey {
	h := &d.message.Header
	return setKey{h.InitiatorSPI, h.ResponderSPI, h.Flags & (wire.FlagInitiator | wire.FlagResponse), h.MessageID, f.Total}
}

// get finds or makes the set of a key; nil where it would be too large.
func (fs *fragments) get(k setKey) *fragmentSet {
	fs.clock++
	if s := fs.sets[k]; s != nil {
		s.age = fs.clock
		return s
	}
	if k.total > maxSetFragments {
		return nil
	}
	if len(fs.sets) >= maxSets {
		fs.evict()
	}
	s := &fragmentSet{frames: make([]int64, k.total), plain: make([][]byte, k.total), age: fs.clock}
	fs.sets[k] = s
	return s
}

// evict forgets the older half of the sets.
func (fs *fragments) evict() {
	ages := make([]uint64, 0, len(fs.sets))
	for _, s := range fs.sets {
		ages = append(ages, s.age)
	}
	slices.Sort(ages)
	for k, s := range fs.sets {
		if s.age <= ages[len(ages)/2] {
			fs.drop(k, s)
		}
	}
}

func (fs *fragments) drop(k setKey, s *fragmentSet) {
	fs.octets -= s.octets
	delete(fs.sets, k)
}

// add keeps the decrypted part of one fragment. When all have come it gives
// the whole chain and the type of its first payload, and forgets the set.
func (fs *fragments) add(k setKey, number uint16, plain []byte) (chain []byte, first wire.PayloadType, done bool) {
	s := fs.sets[k]
	if s == nil {
		return nil, 0, false
	}
	i := int(number) - 1
	if s.plain[i] == nil {
		if fs.octets+len(plain) > maxSetOctets {
			fs.evict()
			if fs.sets[k] == nil {
				return nil, 0, false
			}
		}
		s.plain[i] = append(make([]byte, 0, len(plain)+1), plain...) // never nil, even when empty
		s.octets += len(plain)
		fs.octets += len(plain)
	}
	for _, part := range s.plain {
		if part == nil {
			return nil, 0, false
		}
	}
	chain = slices.Concat(s.plain...)
	fs.drop(k, s)
	return chain, s.first, true
}
