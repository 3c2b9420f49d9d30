package vici

import (
	"context"
	"maps"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// SAs lists IKE SAs with their CHILD SAs. It never waits for a busy one, and
// leaves one out that is so.
func (c *Client) SAs(ctx context.Context, f backend.Filter) ([]*engine.IKESA, error) {
	in := c.values("noblock", "yes", "ike", f.IKE, "ike-id", id(f.IKEID), "child", f.Child, "child-id", id(f.ChildID))
	var sas []*engine.IKESA
	_, err := c.list(ctx, "list-sas", "list-sa", in, func(s section) {
		at := time.Now()
		s.each(func(name string, sa section) {
			one := ikeSA(name, sa, at)
			if whole := (engine.IKESA{}); exact(sa, &whole) && event.Whole(&whole) {
				one = &whole
			}
			sas = append(sas, one)
		})
	})
	if err != nil {
		return nil, err
	}
	return sas, nil
}

// ikeSA reads an IKE SA as list-sa and the updown events have it; at is when it
// was told, what its relative times count from.
func ikeSA(name string, s section, at time.Time) *engine.IKESA {
	sa := &engine.IKESA{
		Name:          name,
		UniqueID:      number[uint32](s, "uniqueid").Or(0),
		Version:       number[int](s, "version").Or(0),
		State:         engine.IKEState(s.text("state")),
		Local:         side(s, "local"),
		Remote:        side(s, "remote"),
		Initiator:     engine.Some(s.yes("initiator")),
		Suite:         ikeSuite(s),
		Established:   s.before("established", at),
		RemoteEAPID:   s.text("remote-eap-id"),
		RemoteXAuthID: s.text("remote-xauth-id"),
		PPK:           engine.Some(s.yes("ppk")),
		LocalVIPs:     s.list("local-vips"),
		RemoteVIPs:    s.list("remote-vips"),
		TasksQueued:   s.list("tasks-queued"),
		TasksActive:   s.list("tasks-active"),
		TasksPassive:  s.list("tasks-passive"),
		NAT: engine.NAT{
			Local: engine.Some(s.yes("nat-local")), Remote: engine.Some(s.yes("nat-remote")),
			Fake: engine.Some(s.yes("nat-fake")), Any: engine.Some(s.yes("nat-any")),
		},
	}
	if v, ok := hexNumber(s, "initiator-spi", 64); ok {
		sa.InitiatorSPI = wire.SPI(v)
	}
	if v, ok := hexNumber(s, "responder-spi", 64); ok {
		sa.ResponderSPI = wire.SPI(v)
	}
	sa.IfIDIn, sa.IfIDOut = hex32(s, "if-id-in"), hex32(s, "if-id-out")
	sa.Timers = s.due(sa.Timers, "rekey-time", "rekey", at)
	sa.Timers = s.due(sa.Timers, "reauth-time", "reauth", at)
	s.sub("child-sas").each(func(key string, child section) {
		sa.Children = append(sa.Children, childSA(key, child, at))
	})
	return sa
}

func side(s section, prefix string) engine.Side {
	return engine.Side{
		Host: host(s.text(prefix + "-host")),
		Port: number[uint16](s, prefix+"-port").Or(0),
		ID:   s.text(prefix + "-id"),
	}
}

// host reads an address; the daemon writes %any where it has none.
func host(s string) netip.Addr {
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Addr{}
	}
	return a
}

func hex32(s section, name string) engine.Opt[uint32] {
	v, ok := hexNumber(s, name, 32)
	if !ok {
		return engine.Opt[uint32]{}
	}
	return engine.Some(uint32(v))
}

// childSA reads a CHILD SA. Its key is unique, its name is the child's.
func childSA(key string, s section, at time.Time) *engine.ChildSA {
	c := &engine.ChildSA{
		Name:       s.text("name"),
		UniqueID:   number[uint32](s, "uniqueid").Or(0),
		State:      engine.ChildState(s.text("state")),
		Mode:       s.text("mode"),
		Protocol:   s.text("protocol"),
		SPIIn:      espSPI(s, "spi-in"),
		SPIOut:     espSPI(s, "spi-out"),
		Suite:      childSuite(s),
		LocalTS:    s.list("local-ts"),
		RemoteTS:   s.list("remote-ts"),
		BytesIn:    number[uint64](s, "bytes-in"),
		PacketsIn:  number[uint64](s, "packets-in"),
		MissingIn:  number[uint64](s, "missing-in"), // our own engine's, with the next three
		ReplayedIn: number[uint64](s, "replayed-in"),
		FailedIn:   number[uint64](s, "failed-in"),
		OutsideIn:  number[uint64](s, "outside-in"),
		BytesOut:   number[uint64](s, "bytes-out"),
		PacketsOut: number[uint64](s, "packets-out"),
		LastIn:     s.before("use-in", at),
		LastOut:    s.before("use-out", at),
		Installed:  s.before("install-time", at),
		ReqID:      number[uint32](s, "reqid"),
		MarkIn:     mark(s, "in"),
		MarkOut:    mark(s, "out"),
		IfIDIn:     hex32(s, "if-id-in"),
		IfIDOut:    hex32(s, "if-id-out"),
		CPU:        number[uint32](s, "cpu"),
		Label:      s.text("label"),
	}
	if c.Name == "" { // before 5.8.2 the key was the name
		c.Name = key
	}
	if c.Protocol != "" {
		c.Encap = engine.Some(s.yes("encap"))
	}
	if s.text("per-cpu-sas") != "" {
		c.PerCPU = engine.Some(true)
	}
	c.CPIIn, c.CPIOut = hex16(s, "cpi-in"), hex16(s, "cpi-out")
	c.Timers = s.due(c.Timers, "rekey-time", "rekey", at)
	c.Timers = s.due(c.Timers, "life-time", "expire", at)
	return c
}

func hex16(s section, name string) engine.Opt[uint16] {
	v, ok := hexNumber(s, name, 16)
	if !ok {
		return engine.Opt[uint16]{}
	}
	return engine.Some(uint16(v))
}

func mark(s section, direction string) engine.Opt[engine.Mark] {
	v, ok := hex32(s, "mark-"+direction).Get()
	if !ok {
		return engine.Opt[engine.Mark]{}
	}
	return engine.Some(engine.Mark{Value: v, Mask: hex32(s, "mark-mask-"+direction).Or(0xffffffff)})
}

func ikeSuite(s section) engine.Suite { return suite(s, wire.ProtocolIKE) }
func childSuite(s section) engine.Suite {
	p := wire.ProtocolESP
	if s.text("protocol") == "AH" {
		p = wire.ProtocolAH
	}
	q := suite(s, p)
	if s.text("protocol") != "" {
		q.ESN = engine.Some(s.text("esn") != "" && s.text("esn") != "0")
	}
	return q
}

// suite reads the algorithms of an SA and looks their numbers up.
func suite(s section, p wire.ProtocolID) engine.Suite {
	q := engine.Suite{
		EncrAlg: s.text("encr-alg"), EncrKeySize: number[int](s, "encr-keysize").Or(0),
		IntegAlg: s.text("integ-alg"), IntegKeySize: number[int](s, "integ-keysize").Or(0),
		PRFAlg: s.text("prf-alg"), DHGroup: s.text("dh-group"),
	}
	var ts []wire.Transform
	find := func(t wire.TransformType, name string, bits int) uint16 {
		id, ok := transforms()[transformName{t, name}]
		if ok {
			x := wire.Transform{Type: t, ID: id}
			if bits > 0 && t == wire.TransformEncr {
				x.Attributes = append(x.Attributes, wire.Attribute{Type: wire.AttrKeyLength, Short: true, Value: uint16(bits)})
			}
			ts = append(ts, x)
		}
		return id
	}
	q.EncrID = find(wire.TransformEncr, q.EncrAlg, q.EncrKeySize)
	q.IntegID = find(wire.TransformInteg, q.IntegAlg, 0)
	q.PRFID = find(wire.TransformPRF, q.PRFAlg, 0)
	q.DHID = find(wire.TransformKE, q.DHGroup, 0)
	for i := 1; i <= 7; i++ {
		if v := s.text("ake" + strconv.Itoa(i)); v != "" {
			q.AKE = append(q.AKE, v)
			find(wire.TransformADDKE1+wire.TransformType(i-1), v, 0)
		}
	}
	if len(ts) > 0 {
		q.Keyword = wire.FormatProposal(p, ts)
	}
	return q
}

type transformName struct {
	typ  wire.TransformType
	name string
}

// charonNames are what charon calls transforms where the registry's name is
// another.
var charonNames = map[transformName]uint16{
	{wire.TransformEncr, "DES_CBC"}:       wire.EncrDES,
	{wire.TransformEncr, "3DES_CBC"}:      wire.Encr3DES,
	{wire.TransformEncr, "CAST_CBC"}:      wire.EncrCAST,
	{wire.TransformEncr, "BLOWFISH_CBC"}:  wire.EncrBlowfish,
	{wire.TransformEncr, "NULL_AES_GMAC"}: wire.EncrNullAuthAESGMAC,
}

// transforms finds the number of a transform by the name that charon prints.
var transforms = sync.OnceValue(func() map[transformName]uint16 {
	m := maps.Clone(charonNames)
	types := []wire.TransformType{wire.TransformEncr, wire.TransformPRF, wire.TransformInteg, wire.TransformKE}
	for t := wire.TransformADDKE1; t <= wire.TransformADDKE7; t++ {
		types = append(types, t)
	}
	for _, t := range types {
		for id := range uint16(64) {
			if name := wire.TransformName(t, id); !strings.HasPrefix(name, "UNKNOWN_") && name != "NONE" {
				m[transformName{t, name}] = id
			}
		}
	}
	return m
})
