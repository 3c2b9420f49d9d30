package native

import (
	"context"
	"encoding/binary"
	"maps"
	"slices"
	"time"

	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/ike"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// counts are the counters of all connections together ("") and of each, by
// strongSwan's names. They are of the engine's goroutine. Messages count once
// however many fragments carry them; repetitions do not count.
type counts map[string]map[string]uint64

func (c counts) add(connection, name string) {
	of := func(connection string) {
		m := c[connection]
		if m == nil {
			m = map[string]uint64{}
			c[connection] = m
		}
		m[name]++
	}
	of("")
	if connection != "" {
		of(connection)
	}
}

// exchangeNames are the counters of messages, by exchange.
var exchangeNames = map[wire.ExchangeType]string{
	wire.ExchangeIKESAInit: "ike-init", wire.ExchangeIKEAuth: "ike-auth",
	wire.ExchangeCreateChildSA: "create-child", wire.ExchangeInformational: "info",
}

// counterNames are all there are.
var counterNames = func() []string {
	names := []string{"ike-rekey-init", "ike-rekey-resp", "child-rekey", "invalid", "invalid-spi"}
	for _, exchange := range exchangeNames {
		for _, way := range []string{"-in-req", "-in-resp", "-out-req", "-out-resp"} {
			names = append(names, exchange+way)
		}
	}
	return names
}()

// header reads the header of a datagram that begins an IKE message: the one of
// a whole message, or of the first of its fragments.
func header(d *ike.Datagram) (wire.Header, bool) {
	kind, octets := wire.ClassifyUDP(d.Octets, d.Marked)
	if kind == wire.UDPIKE {
		octets = d.Octets
	} else if kind != wire.UDPIKEMarked {
		return wire.Header{}, false
	}
	h, err := wire.ParseHeader(octets)
	if err != nil || h.Version.Major() != 2 {
		return h, false
	}
	const head, number = 28, 28 + 4 // of a message; of the fragment's number behind the generic payload header
	if h.NextPayload == wire.PayloadSKF && len(octets) >= number+2 && binary.BigEndian.Uint16(octets[number:]) != 1 {
		return h, false
	}
	return h, len(octets) >= head
}

// message counts one that comes or goes.
func (e *Engine) message(d *ike.Datagram, way string) {
	h, ok := header(d)
	name := exchangeNames[h.Exchange]
	if !ok || name == "" {
		return
	}
	kind := "-req"
	if h.Response() {
		kind = "-resp"
	}
	e.counts.add(e.connectionOf(h.InitiatorSPI, h.ResponderSPI), name+way+kind)
}

// connectionOf names the connection of an IKE SA, "" while it is not known.
func (e *Engine) connectionOf(spiI, spiR wire.SPI) string {
	for _, spi := range []wire.SPI{spiI, spiR} {
		if s := e.endpoint.Find(spi); s != nil && s.Connection() != nil {
			return s.Connection().Name
		}
	}
	return ""
}

// count counts what a step brought: in is what it took, nil where it took no
// datagram.
func (e *Engine) count(in *ike.Datagram, o *ike.Output) {
	repeated := false
	for i := range o.Events {
		ev := &o.Events[i]
		switch {
		case ev.Step != nil && (ev.Step.Kind == "retransmit" || ev.Step.Kind == "repeat"):
			repeated = true
		case ev.Change == nil:
		case ev.Change.Kind == event.ChildRekey:
			e.counts.add(ev.Change.SA.Name, "child-rekey")
		case ev.Change.Kind == event.IKERekey && ev.Change.SA.Initiator.Or(false):
			e.counts.add(ev.Change.SA.Name, "ike-rekey-init")
		case ev.Change.Kind == event.IKERekey:
			e.counts.add(ev.Change.SA.Name, "ike-rekey-resp")
		}
	}
	if in != nil && !repeated {
		e.message(in, "-in")
	}
	if in != nil && o.Err != nil && !o.Err.Peer {
		name := "invalid"
		if o.Err.RFC == "RFC 7296 2.21.4" {
			name = "invalid-spi"
		}
		h, _ := header(in)
		e.counts.add(e.connectionOf(h.InitiatorSPI, h.ResponderSPI), name)
	}
	if repeated {
		return
	}
	for i := range o.Datagrams {
		e.message(&o.Datagrams[i], "-out")
	}
}

// Counters gives the counts of messages and rekeyings of a connection, or of all
// together.
func (e *Engine) Counters(ctx context.Context, connection string) (engine.Counters, error) {
	c := engine.Counters{Connection: connection, Counts: map[string]uint64{}}
	if connection != "" && e.find(connection) == nil {
		return c, refused("no counters found for this connection: there is no %q", connection)
	}
	for _, name := range counterNames {
		c.Counts[name] = 0
	}
	err := e.do(ctx, func(time.Time) ike.Output {
		maps.Copy(c.Counts, e.counts[connection])
		return ike.Output{}
	})
	return c, err
}

// ResetCounters sets the counts of a connection, or of all together, to zero.
func (e *Engine) ResetCounters(ctx context.Context, connection string) error {
	if connection != "" && e.find(connection) == nil {
		return refused("no counters found for this connection: there is no %q", connection)
	}
	return e.do(ctx, func(time.Time) ike.Output {
		delete(e.counts, connection)
		return ike.Output{}
	})
}

// pruneCounts forgets the counts of connections that are gone.
func (e *Engine) pruneCounts() {
	names := []string{""}
	for _, c := range e.configured() {
		names = append(names, c.Name)
	}
	maps.DeleteFunc(e.counts, func(name string, _ map[string]uint64) bool { return !slices.Contains(names, name) })
}
