package faults

import (
	"encoding/binary"
	"slices"
	"sync"
	"time"
)

// Road is what a path does to the packets of IKE and ESP. The zero value is a
// plain cable.
type Road struct {
	Late time.Duration // how long each packet is underway, either way
	// Treat makes what is done to datagrams, anew for each run; nil for nothing.
	Treat func() treatment
}

// treatment gets the datagrams of UDP ports 500 and 4500 in each direction and
// gives those that are to go on, in order. It may change its argument.
type treatment func(d *datagram) []*datagram

// datagram is a UDP datagram in an Ethernet frame with IPv4.
type datagram struct {
	fromA bool
	frame []byte
}

// Where things stand in such a frame.
const (
	etherIP  = 14
	etherUDP = etherIP + 20
	etherRun = etherUDP + 8 // what UDP carries
)

// read gives the datagram of a frame, nil where it holds none of IKE or ESP.
func read(fromA bool, frame []byte) *datagram {
	if len(frame) < etherRun+8 || binary.BigEndian.Uint16(frame[12:]) != 0x0800 || frame[etherIP] != 0x45 || frame[etherIP+9] != 17 {
		return nil
	}
	for _, at := range []int{etherUDP, etherUDP + 2} {
		if p := binary.BigEndian.Uint16(frame[at:]); p == 500 || p == 4500 {
			return &datagram{fromA, frame}
		}
	}
	return nil
}

// esp says that it is an ESP packet: it does not begin with the marker of IKE.
func (d *datagram) esp() bool {
	src, dst := binary.BigEndian.Uint16(d.frame[etherUDP:]), binary.BigEndian.Uint16(d.frame[etherUDP+2:])
	return src != 500 && dst != 500 && binary.BigEndian.Uint32(d.frame[etherRun:]) != 0
}

// exchange is the exchange type of an IKE message on port 4500, 0 for others.
func (d *datagram) exchange() byte {
	const marker, at = 4, 18
	if d.esp() || len(d.frame) <= etherRun+marker+at || binary.BigEndian.Uint32(d.frame[etherRun:]) != 0 {
		return 0
	}
	return d.frame[etherRun+marker+at]
}

// bent is the datagram with one octet changed, the last but some, and without
// a checksum.
func (d *datagram) bent() *datagram {
	b := slices.Clone(d.frame)
	b[etherUDP+6], b[etherUDP+7] = 0, 0
	b[etherUDP+int(binary.BigEndian.Uint16(b[etherUDP+4:]))-6] ^= 0x20
	return &datagram{d.fromA, b}
}

// road is the path of a pair. It is safe for concurrent use.
type road struct {
	mu    sync.Mutex
	late  time.Duration
	treat treatment
}

func (r *road) lay(w *Road) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.late, r.treat = w.Late, nil
	if w.Treat != nil {
		r.treat = w.Treat()
	}
}

func (r *road) latency() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.late
}

func (r *road) carry(fromA bool, frame []byte) [][]byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	d := read(fromA, frame)
	if d == nil || r.treat == nil {
		return [][]byte{frame}
	}
	var out [][]byte
	for _, d := range r.treat(d) {
		out = append(out, d.frame)
	}
	return out
}

// everyNth picks datagrams by their number in each direction, from 1.
func everyNth(n int, which func(*datagram) bool) func(*datagram) bool {
	seen := map[bool]int{}
	return func(d *datagram) bool {
		if !which(d) {
			return false
		}
		seen[d.fromA]++
		return seen[d.fromA]%n == 0
	}
}

func isESP(d *datagram) bool    { return d.esp() }
func isAnything(*datagram) bool { return true }
func isIKE(d *datagram) bool    { return !d.esp() }

const exchangeAuth = 35 // IKE_AUTH (RFC 7296 3.1)

// losing drops what is not picked.
func losing(pick func() func(*datagram) bool) *Road {
	return &Road{Treat: func() treatment {
		lost := pick()
		return func(d *datagram) []*datagram {
			if lost(d) {
				return nil
			}
			return []*datagram{d}
		}
	}}
}

// twice repeats what is picked.
func twice(pick func() func(*datagram) bool) *Road {
	return &Road{Treat: func() treatment {
		again := pick()
		return func(d *datagram) []*datagram {
			if again(d) {
				return []*datagram{d, d}
			}
			return []*datagram{d}
		}
	}}
}

// bending changes what is picked.
func bending(pick func() func(*datagram) bool) *Road {
	return &Road{Treat: func() treatment {
		hit := pick()
		return func(d *datagram) []*datagram {
			if hit(d) {
				return []*datagram{d.bent()}
			}
			return []*datagram{d}
		}
	}}
}

// overtaken has what is picked wait until behind more ESP packets of its
// direction have gone by.
func overtaken(behind int, pick func() func(*datagram) bool) *Road {
	type waiting struct {
		d    *datagram
		left int
	}
	return &Road{Treat: func() treatment {
		late := pick()
		held := map[bool][]waiting{}
		return func(d *datagram) []*datagram {
			if !d.esp() {
				return []*datagram{d}
			}
			var out []*datagram
			if late(d) {
				held[d.fromA] = append(held[d.fromA], waiting{&datagram{d.fromA, slices.Clone(d.frame)}, behind})
			} else {
				out = append(out, d)
			}
			queue := held[d.fromA]
			for i := range queue {
				queue[i].left--
			}
			for len(queue) > 0 && queue[0].left < 0 {
				out = append(out, queue[0].d)
				queue = queue[1:]
			}
			held[d.fromA] = queue
			return out
		}
	}}
}
