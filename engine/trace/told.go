package trace

import (
	"maps"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// Check is a comparison of our own engine's that failed.
type Check struct {
	Time time.Time
	SA   *IKESA // nil where it belongs to none
	event.Check
}

// Step is another fact that a daemon's log or our own engine told.
type Step struct {
	Time   time.Time
	SA     *IKESA // nil where it belongs to none
	IKE    string // connection, "" where not known
	Kind   string // as in event.LogStep or event.Step
	Text   string
	Detail map[string]string // nil where there is none
}

// keptSteps are the steps of a daemon's log that say more than the tables do.
// Every line of a long log is not kept for the sake of a few.
var keptSteps = map[string]bool{
	"collision": true, "initial-contact": true, "duplicate": true, "message-id": true, "unknown-ca": true,
	"child-closing": true, "acquire": true, "notify-received": true, "nat-mapping": true, "reauth": true,
	"eap-start": true, "unmatched-delete": true, "child-gone": true, "spi-unknown": true, "port-used": true,
	"invalid-ke": true, "pool-full": true, "plugin-failed": true,
}

// keptEngineSteps are those of our own engine.
var keptEngineSteps = map[string]bool{"collision": true, "give-up": true, "recovery": true, "limit": true, "ended": true, "duplicate": true, "delete": true}

// addCheck keeps a comparison that failed; those that held are the normal case.
// Stray, late and repeated messages, which anybody can send, are not kept: they
// would push out what two sides could not agree on.
func (t *Trace) addCheck(at time.Time, c *event.Check) {
	t.Daemon.Known = true
	sa := t.told(c.SPIi, c.SPIr, c.IKE, c.IKEID)
	if !c.OK && c.Kind != event.CheckMessage {
		t.Daemon.Checks = bounded(t.Daemon.Checks, Check{at, sa, *c})
	}
}

func (t *Trace) addStep(at time.Time, s *event.Step) {
	t.Daemon.Known = true
	sa := t.told(s.SPIi, s.SPIr, s.IKE, s.IKEID)
	if keptEngineSteps[s.Kind] {
		t.Daemon.Steps = bounded(t.Daemon.Steps, Step{Time: at, SA: sa, Kind: s.Kind, Text: s.Text})
	}
}

// told gives the SA that our own engine tells something of, nil where it is not
// known. One that ends before it is listed has its name and number from here.
func (t *Trace) told(i, r wire.SPI, name string, id uint32) *IKESA {
	sa := t.ofSPIs(i, r)
	if sa != nil && sa.UniqueID == 0 && id != 0 {
		sa.Name, sa.UniqueID = name, id
	}
	return sa
}

// ofSPIs gives the SA with these SPIs, nil where there is none.
func (t *Trace) ofSPIs(i, r wire.SPI) *IKESA {
	if i == 0 {
		return nil
	}
	return t.findSA(&wire.Header{InitiatorSPI: i, ResponderSPI: r})
}

func (t *Trace) addLogStep(at time.Time, sa *IKESA, l *event.Log) {
	if keptSteps[l.Step.Kind] {
		t.Daemon.Steps = bounded(t.Daemon.Steps, Step{at, sa, l.IKE, l.Step.Kind, l.Text, maps.Clone(l.Step.Detail)})
	}
}
