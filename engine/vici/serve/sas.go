package serve

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/engine/vici/packet"
)

// entries collects what a message holds; what is not known is left out, as
// strongSwan does.
type entries []packet.Element

func (m *entries) text(name, value string) {
	if value != "" {
		*m = append(*m, packet.Value(name, value))
	}
}

func (m *entries) number(name string, n uint64) {
	*m = append(*m, packet.Value(name, strconv.FormatUint(n, 10)))
}

// positive adds a number that is there where it is not 0.
func (m *entries) positive(name string, n int) {
	if n > 0 {
		m.number(name, uint64(n))
	}
}

// condition adds what is said only where it holds.
func (m *entries) condition(name string, v engine.Opt[bool]) {
	if v.Or(false) {
		m.text(name, "yes")
	}
}

// list adds a list that is there where it has items.
func (m *entries) list(name string, items []string) {
	if len(items) > 0 {
		*m = append(*m, packet.List(name, items...))
	}
}

// since adds how many seconds ago something was.
func (m *entries) since(name string, then, now time.Time) {
	if !then.IsZero() {
		m.number(name, uint64(max(now.Sub(then), 0)/time.Second))
	}
}

// until adds how many seconds there are to a timer; one that is over has a
// negative number.
func (m *entries) until(name string, timers []engine.Timer, timer string, now time.Time) {
	for i := range timers {
		if timers[i].Name == timer {
			*m = append(*m, packet.Value(name, strconv.FormatInt(int64(timers[i].Due.Sub(now)/time.Second), 10)))
			return
		}
	}
}

func hex[T ~uint16 | ~uint32](m *entries, name string, digits int, v engine.Opt[T]) {
	if n, ok := v.Get(); ok {
		m.text(name, fmt.Sprintf("%0*x", digits, uint64(n)))
	}
}

func decimal[T ~uint32 | ~uint64](m *entries, name string, v engine.Opt[T]) {
	if n, ok := v.Get(); ok {
		m.number(name, uint64(n))
	}
}

func (m *entries) suite(s *engine.Suite, prf bool) {
	m.text("encr-alg", s.EncrAlg)
	m.positive("encr-keysize", s.EncrKeySize)
	m.text("integ-alg", s.IntegAlg)
	m.positive("integ-keysize", s.IntegKeySize)
	if prf {
		m.text("prf-alg", s.PRFAlg)
	}
	m.text("dh-group", s.DHGroup)
	for i, name := range s.AKE {
		m.text("ake"+strconv.Itoa(i+1), name)
	}
}

// ikeState gives a state in strongSwan's words: ours are more, for SAs that have
// ended.
func ikeState(s engine.IKEState) string {
	switch s {
	case engine.IKEDeleted:
		s = engine.IKEDeleting
	case engine.IKEFailed:
		s = engine.IKEDestroying
	}
	return string(s)
}

func childState(s engine.ChildState) string {
	if s == engine.ChildFailed {
		s = engine.ChildDestroying
	}
	return string(s)
}

// ikeSA gives an IKE SA without its children.
func ikeSA(sa *engine.IKESA, at time.Time) []packet.Element {
	var m entries
	m.number("uniqueid", uint64(sa.UniqueID))
	m.number("version", uint64(sa.Version))
	m.text("state", ikeState(sa.State))
	m = append(m, side("local", &sa.Local)...)
	m.identity("local-id", sa.Local.ID)
	m = append(m, side("remote", &sa.Remote)...)
	m.identity("remote-id", sa.Remote.ID)
	m.text("remote-xauth-id", sa.RemoteXAuthID)
	m.text("remote-eap-id", sa.RemoteEAPID)
	m.condition("initiator", sa.Initiator)
	m.text("initiator-spi", sa.InitiatorSPI.String())
	m.text("responder-spi", sa.ResponderSPI.String())
	m.condition("nat-local", sa.NAT.Local)
	m.condition("nat-remote", sa.NAT.Remote)
	m.condition("nat-fake", sa.NAT.Fake)
	m.condition("nat-any", sa.NAT.Any)
	hex(&m, "if-id-in", 8, sa.IfIDIn)
	hex(&m, "if-id-out", 8, sa.IfIDOut)
	m.suite(&sa.Suite, true)
	m.condition("ppk", sa.PPK)
	if sa.State == engine.IKEEstablished {
		m.since("established", sa.Established, at)
		m.until("rekey-time", sa.Timers, "rekey", at)
		m.until("reauth-time", sa.Timers, "reauth", at)
	}
	m.list("local-vips", sa.LocalVIPs)
	m.list("remote-vips", sa.RemoteVIPs)
	m.list("tasks-queued", sa.TasksQueued)
	m.list("tasks-active", sa.TasksActive)
	m.list("tasks-passive", sa.TasksPassive)
	return m
}

// identity adds an identity; one that is not known yet is any.
func (m *entries) identity(name, id string) {
	if id == "" {
		id = "%any"
	}
	m.text(name, id)
}

// carries are the states in which a CHILD SA has keys and counts packets.
var carries = []engine.ChildState{engine.ChildInstalled, engine.ChildRekeying, engine.ChildRekeyed, engine.ChildDeleting, engine.ChildDeleted}

func childSA(c *engine.ChildSA, at time.Time) []packet.Element {
	var m entries
	m.text("name", c.Name)
	m.number("uniqueid", uint64(c.UniqueID))
	decimal(&m, "reqid", c.ReqID)
	m.text("state", childState(c.State))
	m.text("mode", c.Mode)
	m.text("label", c.Label)
	if slices.Contains(carries, c.State) {
		m.carried(c, at)
	}
	return append(m, packet.List("local-ts", c.LocalTS...), packet.List("remote-ts", c.RemoteTS...))
}

func (m *entries) carried(c *engine.ChildSA, at time.Time) {
	m.text("protocol", c.Protocol)
	m.condition("encap", c.Encap)
	hex(m, "spi-in", 8, c.SPIIn)
	hex(m, "spi-out", 8, c.SPIOut)
	hex(m, "cpi-in", 4, c.CPIIn)
	hex(m, "cpi-out", 4, c.CPIOut)
	m.mark("in", c.MarkIn)
	m.mark("out", c.MarkOut)
	hex(m, "if-id-in", 8, c.IfIDIn)
	hex(m, "if-id-out", 8, c.IfIDOut)
	m.condition("per-cpu-sas", c.PerCPU)
	decimal(m, "cpu", c.CPU)
	m.suite(&c.Suite, false)
	if c.Suite.ESN.Or(false) {
		m.text("esn", "1")
	}
	decimal(m, "bytes-in", c.BytesIn)
	decimal(m, "packets-in", c.PacketsIn)
	decimal(m, "missing-in", c.MissingIn) // strongSwan has no such thing, nor the next three
	decimal(m, "replayed-in", c.ReplayedIn)
	decimal(m, "failed-in", c.FailedIn)
	decimal(m, "outside-in", c.OutsideIn)
	m.since("use-in", c.LastIn, at)
	decimal(m, "bytes-out", c.BytesOut)
	decimal(m, "packets-out", c.PacketsOut)
	m.since("use-out", c.LastOut, at)
	m.until("rekey-time", c.Timers, "rekey", at)
	m.until("life-time", c.Timers, "expire", at)
	m.since("install-time", c.Installed, at)
}

func (m *entries) mark(direction string, v engine.Opt[engine.Mark]) {
	k, ok := v.Get()
	if !ok || k == (engine.Mark{}) {
		return
	}
	m.text("mark-"+direction, fmt.Sprintf("%08x", k.Value))
	if k.Mask != 0xffffffff {
		m.text("mark-mask-"+direction, fmt.Sprintf("%08x", k.Mask))
	}
}

// childSAs gives the section of the children.
func childSAs(list []*engine.ChildSA, at time.Time) packet.Element {
	all := packet.Sub("child-sas")
	for _, c := range list {
		all.Section = append(all.Section, packet.Sub(fmt.Sprintf("%s-%d", c.Name, c.UniqueID), childSA(c, at)...))
	}
	return all
}

// listSAs raises a list-sa for each IKE SA. As strongSwan has it, a filter by
// child empties the list of an IKE SA that has none, and does not leave the IKE
// SA out.
func listSAs(ctx context.Context, r *request) ([]packet.Element, error) {
	f := backend.Filter{IKE: r.text("ike"), IKEID: r.id("ike-id")}
	child, childID := r.text("child"), r.id("child-id")
	list, err := r.backend.SAs(ctx, f) // a backend never waits for a busy one
	if err != nil {
		return nil, err
	}
	now := time.Now()
	for _, sa := range list {
		children := slices.Clone(sa.Children)
		children = slices.DeleteFunc(children, func(c *engine.ChildSA) bool {
			return child != "" && child != c.Name || childID != 0 && childID != c.UniqueID
		})
		section := append(ikeSA(sa, now), childSAs(children, now))
		if r.exact {
			whole := *sa
			whole.Children = children
			if section, err = packet.AppendExact(section, &whole); err != nil {
				return nil, err
			}
		}
		if err := r.raise("list-sa", packet.Sub(sa.Name, section...)); err != nil {
			return nil, err
		}
	}
	return nil, nil
}
