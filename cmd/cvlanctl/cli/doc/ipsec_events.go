package doc

import (
	"encoding/json"
	"net/netip"
	"time"

	"github.com/cloudvlan/cvlanctl/diag"
	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/engine/event"
)

// Event is something that happened at a daemon; one line of jsonl.
type Event struct {
	Time string `json:"time"`
	// Kind is a change of an SA by VICI's name (ike-up, child-rekey, ...),
	// alert, log, connected, away or dropped; of our own engine also packet,
	// check and step.
	Kind       string     `json:"kind"`
	Connection string     `json:"connection,omitempty"`
	UniqueID   uint32     `json:"unique_id,omitempty"` // of the IKE SA
	IKESA      *LiveIKESA `json:"ike_sa,omitempty"`    // as it is now, with the children concerned
	Old        *LiveIKESA `json:"old,omitempty"`       // what was replaced
	Alert      string     `json:"alert,omitempty"`
	IKESAs     *int       `json:"ike_sas,omitempty"` // how many there are, when the daemon is reached
	What       string     `json:"what,omitempty"`
	Dropped    uint64     `json:"dropped,omitempty"`
	Log        *LogLine   `json:"log,omitempty"`
	Packet     *Packet    `json:"packet,omitempty"`
	Check      *Check     `json:"check,omitempty"`
	Step       *Step      `json:"step,omitempty"`
}

// Packet is an IKE message that our own engine sent or took.
type Packet struct {
	Src     string `json:"src"`
	Dst     string `json:"dst"`
	SPort   uint16 `json:"sport"`
	DPort   uint16 `json:"dport"`
	Length  int    `json:"length"`
	Summary string `json:"summary"` // exchange and payloads, decrypted
}

// Check is a comparison that our own engine made.
type Check struct {
	SPIi   string `json:"spi_i"`
	SPIr   string `json:"spi_r"`
	Kind   string `json:"kind"`
	What   string `json:"what"`
	Local  string `json:"local"`
	Remote string `json:"remote"`
	OK     bool   `json:"ok"`
	Why    string `json:"why,omitempty"`
	Near   string `json:"near,omitempty"`
	Peer   string `json:"peer,omitempty"`
	RFC    string `json:"rfc,omitempty"`
}

// Step is another fact that our own engine tells.
type Step struct {
	SPIi  string `json:"spi_i"`
	SPIr  string `json:"spi_r"`
	Kind  string `json:"kind"`
	Child string `json:"child,omitempty"`
	Text  string `json:"text"`
}

// LogLine is a line of a daemon's log and what it was recognised as.
type LogLine struct {
	Group       string          `json:"group"`
	Level       *int            `json:"level,omitempty"`
	Thread      int             `json:"thread,omitempty"`
	Text        string          `json:"text"`
	Message     *LogMessage     `json:"message,omitempty"`
	Datagram    *LogDatagram    `json:"datagram,omitempty"`
	Retransmit  *LogRetransmit  `json:"retransmit,omitempty"`
	Proposals   *LogProposals   `json:"proposals,omitempty"`
	Failure     *Failure        `json:"failure,omitempty"`
	Established *LogEstablished `json:"established,omitempty"`
	Step        *LogStep        `json:"step,omitempty"`
}

// LogMessage is an IKE message that a daemon built or read.
type LogMessage struct {
	Sent         bool     `json:"sent"`
	Exchange     string   `json:"exchange"`
	ExchangeType uint8    `json:"exchange_type,omitempty"`
	Response     bool     `json:"response"`
	MessageID    uint32   `json:"message_id"`
	Payloads     []string `json:"payloads"` // the daemon's short names
	Fragment     int      `json:"fragment,omitempty"`
	Fragments    int      `json:"fragments,omitempty"`
}

// LogDatagram is a datagram that a daemon sent or received.
type LogDatagram struct {
	Sent   bool   `json:"sent"`
	Src    string `json:"src"`
	Dst    string `json:"dst"`
	SPort  uint16 `json:"sport"`
	DPort  uint16 `json:"dport"`
	Length int    `json:"length"`
}

// LogRetransmit is a retransmission, or the end of retransmitting.
type LogRetransmit struct {
	Kind      string  `json:"kind"` // request, response or give-up
	Attempt   int     `json:"attempt"`
	MessageID *uint32 `json:"message_id,omitempty"`
}

// LogProposals is what a log says of proposals, in strongSwan's long form.
type LogProposals struct {
	Received   []string `json:"received,omitempty"`
	Configured []string `json:"configured,omitempty"`
	Selected   string   `json:"selected,omitempty"`
}

// LogEstablished is an SA that has come up.
type LogEstablished struct {
	Name     string `json:"name"`
	UniqueID uint32 `json:"unique_id"`
	Child    bool   `json:"child"`
	Local    string `json:"local,omitempty"`
	Remote   string `json:"remote,omitempty"`
	SPIIn    string `json:"spi_in,omitempty"`
	SPIOut   string `json:"spi_out,omitempty"`
	LocalTS  string `json:"local_ts,omitempty"`
	RemoteTS string `json:"remote_ts,omitempty"`
}

// LogStep is another fact that a line tells.
type LogStep struct {
	Kind   string            `json:"kind"`
	Detail map[string]string `json:"detail,omitempty"`
}

// NewEvent makes the document of one event.
func NewEvent(e *event.Event) Event {
	d := Event{Time: stamp(e.Time), Kind: "unknown"}
	switch {
	case e.Change != nil:
		d.Kind, d.Connection, d.UniqueID = string(e.Change.Kind), e.Change.SA.Name, e.Change.SA.UniqueID
		sa := NewLiveIKESA(e.Change.SA, e.Time)
		d.IKESA = &sa
		if e.Change.Old != nil {
			old := NewLiveIKESA(e.Change.Old, e.Time)
			d.Old = &old
		}
	case e.Log != nil:
		d.Kind, d.Connection, d.UniqueID, d.Log = "log", e.Log.IKE, e.Log.IKEID, newLogLine(e.Log)
	case e.Alert != nil:
		d.Kind, d.Alert = "alert", e.Alert.Type
		if sa := e.Alert.SA; sa != nil {
			live := NewLiveIKESA(sa, e.Time)
			d.Connection, d.UniqueID, d.IKESA = sa.Name, sa.UniqueID, &live
		}
	case e.Packet != nil:
		p := e.Packet
		d.Kind, d.Packet = "packet", &Packet{host(p.Src), host(p.Dst), p.SrcPort, p.DstPort, p.Length, event.Summary(e)}
	case e.Check != nil:
		c := e.Check
		d.Kind, d.Connection, d.UniqueID = "check", c.IKE, c.IKEID
		d.Check = &Check{c.SPIi.String(), c.SPIr.String(), string(c.Kind), c.What, c.Local, c.Remote, c.OK, c.Why, c.Near, host(c.Peer), c.RFC}
	case e.Step != nil:
		s := e.Step
		d.Kind, d.Connection, d.UniqueID = "step", s.IKE, s.IKEID
		d.Step = &Step{s.SPIi.String(), s.SPIr.String(), s.Kind, s.Child, s.Text}
	case e.Table != nil:
		n := len(e.Table.SAs)
		d.Kind, d.IKESAs = "connected", &n
	case e.Gap != nil:
		d.Kind, d.What, d.Dropped = "dropped", e.Gap.What, e.Gap.Dropped
		if e.Gap.Away {
			d.Kind = "away"
		}
	}
	return d
}

func newLogLine(l *event.Log) *LogLine {
	d := &LogLine{Group: l.Group, Thread: l.Thread, Text: l.Text}
	if l.Level >= -1 {
		d.Level = &l.Level
	}
	switch {
	case l.Message != nil:
		m := l.Message
		d.Message = &LogMessage{m.Sent, m.Name, uint8(m.Exchange), m.Response, m.MessageID, append([]string{}, m.Payloads...), m.Fragment, m.Fragments}
	case l.Datagram != nil:
		g := l.Datagram
		d.Datagram = &LogDatagram{g.Sent, host(g.Src.Addr()), host(g.Dst.Addr()), g.Src.Port(), g.Dst.Port(), g.Octets}
	case l.Retransmit != nil:
		d.Retransmit = &LogRetransmit{Kind: string(l.Retransmit.Kind), Attempt: l.Retransmit.Attempt}
		if l.Retransmit.Known {
			d.Retransmit.MessageID = &l.Retransmit.MessageID
		}
	case l.Proposals != nil:
		p := LogProposals(*l.Proposals)
		d.Proposals = &p
	case l.Failure != nil:
		f := newFailure(time.Time{}, l)
		d.Failure = &f
	case l.Established != nil:
		s := l.Established
		d.Established = &LogEstablished{Name: s.Name, UniqueID: s.UniqueID, Child: s.Child, Local: s.Local, Remote: s.Remote, LocalTS: s.LocalTS, RemoteTS: s.RemoteTS}
		if s.Child {
			d.Established.SPIIn, d.Established.SPIOut = s.SPIIn.String(), s.SPIOut.String()
		}
	case l.Step != nil:
		d.Step = &LogStep{l.Step.Kind, l.Step.Detail}
	}
	return d
}

func newFailure(at time.Time, l *event.Log) Failure {
	f := l.Failure
	return Failure{Time: stamp(at), Kind: f.Kind, Text: l.Text, Notify: f.Notify, By: sideOf(f.Local), Child: f.Child, Detail: f.Detail}
}

// Action is the document of `ipsec up`, `down`, `rekey` and `dpd`.
type Action struct {
	Schema     string         `json:"schema"`
	Source     string         `json:"source"`
	Time       string         `json:"time"`
	Action     string         `json:"action"`
	Connection string         `json:"connection"`
	Child      string         `json:"child,omitempty"`
	Success    bool           `json:"success"`
	Already    bool           `json:"already,omitempty"` // there was nothing to do
	Duration   json.Number    `json:"duration"`
	Error      string         `json:"error,omitempty"`
	Matches    *int           `json:"matches,omitempty"` // SAs that a rekeying was begun for
	Probe      *Probe         `json:"probe,omitempty"`
	Pings      []Ping         `json:"pings,omitempty"` // through the tunnel
	Failures   []Failure      `json:"failures"`
	Proposals  *LogProposals  `json:"proposals,omitempty"`
	Findings   []diag.Finding `json:"findings"`
	Events     []Event        `json:"events"`
}

// Probe is the outcome of a liveness check.
type Probe struct {
	Sent            string      `json:"sent,omitempty"`
	Answered        bool        `json:"answered"`
	RTT             json.Number `json:"rtt,omitzero"`
	Retransmissions int         `json:"retransmissions"`
}

// Ping is one echo request through a tunnel.
type Ping struct {
	Sequence int         `json:"sequence"`
	Address  string      `json:"address"`
	Length   int         `json:"length"` // octets of data
	Answered bool        `json:"answered"`
	RTT      json.Number `json:"rtt,omitzero"`
	Error    string      `json:"error,omitempty"`
}

// NewPing makes the document of a ping; err is why there was no answer.
func NewPing(n int, to netip.Addr, length int, rtt time.Duration, err error) Ping {
	if err != nil {
		return Ping{Sequence: n, Address: host(to), Length: length, Error: err.Error()}
	}
	return Ping{Sequence: n, Address: host(to), Length: length, Answered: true, RTT: decimal(rtt)}
}

// NewAction begins the document of an action.
func NewAction(source, action string, begin time.Time) Action {
	return Action{Schema: ActionSchema, Source: source, Time: stamp(begin), Action: action, Failures: []Failure{}, Findings: []diag.Finding{}, Events: []Event{}}
}

// Finish completes it: how it went, how long it took, what failed.
func (d *Action) Finish(success bool, took time.Duration, failed []*event.Event, offers *event.LogProposals, findings []diag.Finding) {
	d.Success, d.Duration = success, decimal(took)
	for _, e := range failed {
		d.Failures = append(d.Failures, newFailure(e.Time, e.Log))
	}
	if len(offers.Received)+len(offers.Configured) > 0 || offers.Selected != "" {
		p := LogProposals(*offers)
		d.Proposals = &p
	}
	d.Findings = append(d.Findings, findings...)
}

// NewProbe makes the document of a liveness check.
func NewProbe(p *backend.Probe) *Probe {
	return &Probe{Sent: stamp(p.Sent), Answered: p.Answered, RTT: seconds(p.RTT), Retransmissions: p.Retransmissions}
}
