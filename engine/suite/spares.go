package suite

import (
	"slices"

	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// maxSpares is how many keys of a method are made ahead.
const maxSpares = 4

// Spares are ephemeral keys made ahead, while nobody waits for them. Each is
// given out once. Its zero value and nil have none. It is not safe for concurrent
// use.
type Spares struct {
	wanted []wire.KEMethod // of curves alone: the others take long, and nobody is to wait for one that nobody wants
	keys   map[wire.KEMethod][]KeyExchange
}

// Want has keys of a method made ahead from now on.
func (s *Spares) Want(method wire.KEMethod) {
	if _, ok := curves[method]; ok && !slices.Contains(s.wanted, method) {
		s.wanted = append(s.wanted, method)
	}
}

// Make makes one key that is wanted; it says false where there are enough.
func (s *Spares) Make() bool {
	for _, m := range s.wanted {
		if len(s.keys[m]) >= maxSpares {
			continue
		}
		k, err := NewKeyExchange(m)
		if err != nil {
			return false // it is told where a key is needed
		}
		if s.keys == nil {
			s.keys = map[wire.KEMethod][]KeyExchange{}
		}
		s.keys[m] = append(s.keys[m], k)
		return true
	}
	return false
}

// Take gives a key of a method, made now where there is none.
func (s *Spares) Take(method wire.KEMethod) (KeyExchange, error) {
	if s != nil {
		if list := s.keys[method]; len(list) > 0 {
			k := list[len(list)-1]
			list[len(list)-1] = nil
			s.keys[method] = list[:len(list)-1]
			return k, nil
		}
	}
	return NewKeyExchange(method)
}
