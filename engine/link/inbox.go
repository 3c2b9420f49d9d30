package link

import (
	"sync/atomic"

	"github.com/cloudvlan/cvlanctl/engine/ike"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// urgency says in what order datagrams are taken.
type urgency int

const (
	ofSAs     urgency = iota // of an SA that is there
	returning                // a request of IKE_SA_INIT with a cookie: its sender gets what is sent to it
	strange                  // one without, which anybody can send in any number, from any address
	urgencies = iota
)

// Bounds of what waits for the engine; more is dropped, as a full socket buffer
// would. Strangers get more room: a busy machine may take the engine off its
// processor for some time, and of those that are dropped the genuine have to
// come again.
const (
	backlog         = 256
	strangerBacklog = 4096
	strangerOctets  = 4 << 20
)

// inbox keeps datagrams until the engine takes them. Readers put them in, one
// goroutine takes them out.
type inbox struct {
	queues [urgencies]chan ike.Datagram
	octets atomic.Int64 // of strangers, with cookies and without
}

func newInbox() *inbox {
	b := &inbox{}
	for u := range b.queues {
		n := strangerBacklog
		if urgency(u) == ofSAs {
			n = backlog
		}
		b.queues[u] = make(chan ike.Datagram, n)
	}
	return b
}

// put takes a datagram in, or drops it.
func (b *inbox) put(d ike.Datagram) {
	u := urgencyOf(d.Octets, d.Marked)
	size := int64(len(d.Octets))
	if u != ofSAs && b.octets.Add(size) > strangerOctets {
		b.octets.Add(-size)
		return
	}
	select {
	case b.queues[u] <- d:
	default:
		b.taken(u, &d)
	}
}

// taken notes that a datagram is not in the queue any more.
func (b *inbox) taken(u urgency, d *ike.Datagram) {
	if u != ofSAs {
		b.octets.Add(-int64(len(d.Octets)))
	}
}

// ready gives the queues that may be taken from: the most urgent one that has
// something, and those before it, where something may come meanwhile.
func (b *inbox) ready() (queues [urgencies]<-chan ike.Datagram) {
	for u := range b.queues {
		queues[u] = b.queues[u]
		if len(b.queues[u]) > 0 {
			break
		}
	}
	return queues
}

// urgencyOf judges a datagram by its first octets.
func urgencyOf(octets []byte, marked bool) urgency {
	_, message := wire.ClassifyUDP(octets, marked)
	h, err := wire.ParseHeader(message)
	switch {
	case err != nil || h.Exchange != wire.ExchangeIKESAInit || h.Response():
		return ofSAs
	case h.NextPayload == wire.PayloadNotify && cookieFirst(message[wire.HeaderLength:]):
		return returning
	}
	return strange
}

// cookieFirst says whether the notification that payloads begin with is a
// cookie; where there is one it comes first (RFC 7296 2.6).
func cookieFirst(b []byte) bool {
	return len(b) >= 8 && wire.NotifyType(uint16(b[6])<<8|uint16(b[7])) == wire.NotifyCookie
}
