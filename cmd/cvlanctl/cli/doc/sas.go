package doc

import (
	"encoding/hex"
	"encoding/json"
	"net/netip"
	"time"

	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/trace"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// Capture is what went into the tables.
type Capture struct {
	First      string `json:"first,omitzero"`
	Last       string `json:"last,omitzero"`
	Packets    int64  `json:"packets"`
	IKEv1      int64  `json:"ikev1"`
	IKEv2      int64  `json:"ikev2"`
	ESP        int64  `json:"esp"`
	AH         int64  `json:"ah"`
	Keepalives int64  `json:"keepalives"`
	Malformed  int64  `json:"malformed"`
	Dropped    uint64 `json:"dropped"`
	Forgotten  int64  `json:"forgotten"`
}

// IKESA is one IKE SA; names are VICI's with _ for -.
type IKESA struct {
	Name         string           `json:"name,omitempty"`
	UniqueID     uint32           `json:"unique_id,omitempty"`
	Version      int              `json:"version"`
	State        string           `json:"state"`
	LocalHost    string           `json:"local_host,omitempty"`
	LocalPort    uint16           `json:"local_port,omitempty"`
	LocalID      string           `json:"local_id,omitempty"`
	RemoteHost   string           `json:"remote_host,omitempty"`
	RemotePort   uint16           `json:"remote_port,omitempty"`
	RemoteID     string           `json:"remote_id,omitempty"`
	Initiator    engine.Opt[bool] `json:"initiator,omitzero"`
	InitiatorSPI string           `json:"initiator_spi"`
	ResponderSPI string           `json:"responder_spi"`
	engine.Suite
	Established   json.Number `json:"established,omitzero"` // up to the end of the capture
	EstablishedAt string      `json:"established_at,omitzero"`
	NAT           NAT         `json:"nat"`
	DPD           DPD         `json:"dpd"`
	Timers        []Timer     `json:"timers"`
	Seen          Seen        `json:"capture"`
	ChildSAs      []ChildSA   `json:"child_sas"`
}

// Seen is what a capture knows of an IKE SA beyond the daemon's own listing.
type Seen struct {
	First        string     `json:"first,omitzero"`
	Last         string     `json:"last,omitzero"`
	FirstFrame   int64      `json:"first_frame"`
	LastFrame    int64      `json:"last_frame"`
	Messages     int64      `json:"messages"`
	Octets       int64      `json:"octets"`
	Exchanges    int        `json:"exchanges"`
	Skipped      int64      `json:"exchanges_skipped,omitempty"`
	Partial      bool       `json:"partial"` // its beginning was not captured
	Decrypted    bool       `json:"decrypted"`
	WrongKey     bool       `json:"wrong_key,omitempty"`
	Keepalives   int64      `json:"keepalives"`
	LastKeepAt   string     `json:"last_keepalive,omitzero"`
	Predecessor  string     `json:"predecessor_spi,omitempty"` // initiator SPI of the SA that this one replaced
	Successor    string     `json:"successor_spi,omitempty"`
	Ended        string     `json:"ended,omitempty"`
	EndedAt      string     `json:"ended_at,omitzero"`
	EndedBy      string     `json:"ended_by,omitempty"`
	VendorIDs    []VendorID `json:"vendor_ids,omitempty"`
	Moves        []Move     `json:"moves,omitempty"`
	FlowsRelated []string   `json:"flow_spis,omitempty"`
}

// NAT is what the NAT_DETECTION hashes say.
type NAT struct {
	engine.NAT
	LocalInside  string    `json:"local_inside,omitempty"` // address before translation, found by search
	RemoteInside string    `json:"remote_inside,omitempty"`
	Request      *HashPair `json:"request,omitempty"`
	Response     *HashPair `json:"response,omitempty"`
}

// HashPair is what one message claims, compared with what was seen.
type HashPair struct {
	SrcSeen     string `json:"src_seen,omitempty"`
	DstSeen     string `json:"dst_seen,omitempty"`
	Source      string `json:"source"`      // match, mismatch or unknown
	Destination string `json:"destination"` // the same
}

// DPD is what was seen of liveness checks.
type DPD struct {
	Delay     json.Number `json:"delay,omitzero"`
	Probes    int         `json:"probes"`
	Answered  int         `json:"answered"`
	LastHeard string      `json:"last_heard,omitzero"`
	RTT       json.Number `json:"rtt,omitzero"`
}

// Timer is one named deadline.
type Timer struct {
	Name string `json:"name"`
	Due  string `json:"due"`
}

// ChildSA is one CHILD SA; names are VICI's with _ for -.
type ChildSA struct {
	Name     string           `json:"name,omitempty"`
	UniqueID uint32           `json:"unique_id,omitempty"`
	State    string           `json:"state"`
	Mode     string           `json:"mode,omitempty"`
	Protocol string           `json:"protocol,omitempty"`
	Encap    engine.Opt[bool] `json:"encap,omitzero"`
	SPIIn    string           `json:"spi_in,omitempty"`
	SPIOut   string           `json:"spi_out,omitempty"`
	engine.Suite
	LocalTS     []string    `json:"local_ts,omitempty"`
	RemoteTS    []string    `json:"remote_ts,omitempty"`
	BytesIn     *uint64     `json:"bytes_in,omitzero"`
	PacketsIn   *uint64     `json:"packets_in,omitzero"`
	UseIn       json.Number `json:"use_in,omitzero"` // since the last packet, at the end of the capture
	BytesOut    *uint64     `json:"bytes_out,omitzero"`
	PacketsOut  *uint64     `json:"packets_out,omitzero"`
	UseOut      json.Number `json:"use_out,omitzero"`
	InstallTime json.Number `json:"install_time,omitzero"`
}

// Flow is one ESP or AH SA on the wire.
type Flow struct {
	Proto          string      `json:"proto"`
	SPI            string      `json:"spi"`
	Encap          string      `json:"encap"`
	Src            string      `json:"src,omitempty"`
	Dst            string      `json:"dst,omitempty"`
	SPort          uint16      `json:"sport,omitempty"`
	DPort          uint16      `json:"dport,omitempty"`
	IKESPI         string      `json:"ike_spi_i,omitempty"`
	Certain        bool        `json:"certain"` // the join with the IKE SA is from decrypted SPIs
	Packets        int64       `json:"packets"`
	Octets         int64       `json:"octets"`
	First          string      `json:"first,omitzero"`
	Last           string      `json:"last,omitzero"`
	FirstFrame     int64       `json:"first_frame"`
	LastFrame      int64       `json:"last_frame"`
	FirstSeq       uint32      `json:"first_seq"`
	HighSeq        uint32      `json:"high_seq"`
	Missing        int64       `json:"missing"`
	Duplicates     int64       `json:"duplicates"`
	Reordered      int64       `json:"reordered"`
	LongestGap     int64       `json:"longest_gap"`
	Resets         int64       `json:"resets"`
	MaxLength      int         `json:"max_length"`
	LongestSilence json.Number `json:"longest_silence"`
	Decrypted      int64       `json:"decrypted"`
	ICVFailed      int64       `json:"icv_failed"`
	DecryptError   string      `json:"decrypt_error,omitempty"`
	InnerSrc       string      `json:"inner_src,omitempty"`
	InnerDst       string      `json:"inner_dst,omitempty"`
}

// VendorID is a vendor id payload.
type VendorID struct {
	By   string `json:"by,omitempty"`
	Data string `json:"data"` // hex
	Name string `json:"name,omitempty"`
}

// Move is a change of an SA's addresses.
type Move struct {
	Time  string `json:"time,omitzero"`
	Frame int64  `json:"frame"`
	By    string `json:"by,omitempty"`
	From  string `json:"from"`
	To    string `json:"to"`
}

// ICMPError is an ICMP error about IKE, ESP or AH.
type ICMPError struct {
	Time     string `json:"time,omitzero"`
	Frame    int64  `json:"frame"`
	From     string `json:"from,omitempty"`
	To       string `json:"to,omitempty"`
	Type     uint8  `json:"type"`
	Code     uint8  `json:"code"`
	What     string `json:"what"`
	MTU      uint32 `json:"mtu,omitempty"`
	Src      string `json:"src,omitempty"`
	Dst      string `json:"dst,omitempty"`
	SPort    uint16 `json:"sport,omitempty"`
	DPort    uint16 `json:"dport,omitempty"`
	Protocol uint8  `json:"protocol"`
	SPIi     string `json:"spi_i,omitempty"`
	Count    int64  `json:"count"`
}

// FragmentLoss is a set of IP fragments that stayed incomplete.
type FragmentLoss struct {
	Time     string  `json:"time,omitzero"`
	Frame    int64   `json:"frame"`
	Src      string  `json:"src,omitempty"`
	Dst      string  `json:"dst,omitempty"`
	SPort    uint16  `json:"sport,omitempty"`
	DPort    uint16  `json:"dport,omitempty"`
	Protocol uint8   `json:"protocol"`
	Have     int     `json:"have"`
	First    bool    `json:"first_seen"`
	Last     bool    `json:"last_seen"`
	Frames   []int64 `json:"frames,omitempty"`
	SPIi     string  `json:"spi_i,omitempty"`
}

// Gap is a hole in the source.
type Gap struct {
	Time    string `json:"time,omitzero"`
	Frame   int64  `json:"frame,omitempty"`
	What    string `json:"what"`
	Dropped uint64 `json:"dropped,omitempty"`
}

// Tunnel is an outer encapsulation in which packets were found.
type Tunnel struct {
	Kind    string `json:"kind"`
	Src     string `json:"src,omitempty"`
	Dst     string `json:"dst,omitempty"`
	ID      uint32 `json:"id,omitempty"`
	Packets int64  `json:"packets"`
}

// SAs is the document of `pcap sas`: the SAs in t and every ESP and AH SA on
// the wire. The local side of an SA is its original initiator, because on a
// capture nobody is local.
func SAs(t *trace.Trace, source string) []Field {
	c := t.Counts
	fields := []Field{
		{Name: "schema", Value: SAsSchema},
		{Name: "source", Value: source},
		{Name: "capture", Value: Capture{
			First: stamp(t.First), Last: stamp(t.Last), Packets: c.Packets, IKEv1: c.IKEv1, IKEv2: c.IKEv2, ESP: c.ESP, AH: c.AH,
			Keepalives: c.Keepalives, Malformed: c.Malformed, Dropped: c.Dropped, Forgotten: c.Forgotten,
		}},
		list("ike_sas", t.SAs, func(sa *trace.IKESA) IKESA { return newIKESA(sa, t.Last) }),
		list("flows", t.Flows, newFlow),
	}
	for _, f := range []Field{
		list("icmp_errors", t.ICMP, newICMP),
		list("fragment_losses", t.Losses, newLoss),
		list("gaps", t.Gaps, func(g trace.Gap) Gap { return Gap{stamp(g.Time), g.Frame, g.What, g.Dropped} }),
		list("tunnels", t.Tunnels, func(u trace.Tunnel) Tunnel {
			return Tunnel{u.Kind, host(u.Src), host(u.Dst), u.ID, u.Packets}
		}),
	} {
		if f.Len > 0 {
			fields = append(fields, f)
		}
	}
	return fields
}

func newIKESA(sa *trace.IKESA, now time.Time) IKESA {
	d := IKESA{
		Name: sa.Name, UniqueID: sa.UniqueID, Version: sa.Version, State: string(sa.State),
		LocalHost: host(sa.Local.Host), LocalPort: sa.Local.Port, LocalID: sa.Local.ID,
		RemoteHost: host(sa.Remote.Host), RemotePort: sa.Remote.Port, RemoteID: sa.Remote.ID,
		Initiator: sa.Initiator, InitiatorSPI: sa.InitiatorSPI.String(), ResponderSPI: sa.ResponderSPI.String(),
		Suite: sa.Suite, Established: since(sa.Established, now), EstablishedAt: stamp(sa.Established),
		NAT:    newNAT(sa),
		DPD:    DPD{seconds(sa.DPD.Delay), sa.DPD.Probes, sa.DPD.Answered, stamp(sa.DPD.LastHeard), seconds(sa.DPD.RTT)},
		Timers: []Timer{}, Seen: newSeen(sa), ChildSAs: []ChildSA{},
	}
	for _, timer := range sa.Timers {
		d.Timers = append(d.Timers, Timer{timer.Name, stamp(timer.Due)})
	}
	for _, c := range sa.Children {
		d.ChildSAs = append(d.ChildSAs, newChildSA(c, now))
	}
	return d
}

func newSeen(sa *trace.IKESA) Seen {
	s := Seen{
		First: stamp(sa.First), Last: stamp(sa.Last), FirstFrame: sa.FirstFrame, LastFrame: sa.LastFrame,
		Messages: sa.Messages, Octets: sa.Octets, Exchanges: len(sa.Exchanges), Skipped: sa.Skipped,
		Partial: sa.Partial, Decrypted: sa.Decrypted, WrongKey: sa.WrongKey,
		Keepalives: sa.Keepalives, LastKeepAt: stamp(sa.LastKeepalive),
		Ended: string(sa.Ended), EndedAt: stamp(sa.EndedAt), EndedBy: sa.EndedBy.String(),
	}
	if sa.Predecessor != nil {
		s.Predecessor = sa.Predecessor.InitiatorSPI.String()
	}
	if sa.Successor != nil {
		s.Successor = sa.Successor.InitiatorSPI.String()
	}
	for _, v := range sa.VendorIDs {
		s.VendorIDs = append(s.VendorIDs, VendorID{v.By.String(), hex.EncodeToString(v.Data), v.Name})
	}
	for _, m := range sa.Moves {
		s.Moves = append(s.Moves, Move{stamp(m.Time), m.Frame, m.By.String(), m.From.String(), m.To.String()})
	}
	for _, f := range sa.Flows {
		s.FlowsRelated = append(s.FlowsRelated, f.SPI.String())
	}
	return s
}

func newNAT(sa *trace.IKESA) NAT {
	n := NAT{NAT: sa.NAT}
	if a := sa.NATD.InitiatorInside; a.IsValid() {
		n.LocalInside = a.String()
	}
	if a := sa.NATD.ResponderInside; a.IsValid() {
		n.RemoteInside = a.String()
	}
	n.Request, n.Response = newHashPair(&sa.NATD.Request), newHashPair(&sa.NATD.Response)
	return n
}

func newHashPair(p *trace.HashPair) *HashPair {
	if !p.Seen {
		return nil
	}
	return &HashPair{endpoint(p.SrcSeen), endpoint(p.DstSeen), matchName(p.Source), matchName(p.Destination)}
}

func matchName(m trace.Match) string {
	switch m {
	case trace.MatchYes:
		return "match"
	case trace.MatchNo:
		return "mismatch"
	}
	return "unknown"
}

// endpoint gives address and port, "" where there is none.
func endpoint(a netip.AddrPort) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

func newChildSA(c *engine.ChildSA, now time.Time) ChildSA {
	return ChildSA{
		Name: c.Name, UniqueID: c.UniqueID, State: string(c.State), Mode: c.Mode, Protocol: c.Protocol,
		Encap: c.Encap, SPIIn: optSPI(c.SPIIn), SPIOut: optSPI(c.SPIOut), Suite: c.Suite,
		LocalTS: c.LocalTS, RemoteTS: c.RemoteTS,
		BytesIn: known(c.BytesIn), PacketsIn: known(c.PacketsIn), UseIn: since(c.LastIn, now),
		BytesOut: known(c.BytesOut), PacketsOut: known(c.PacketsOut), UseOut: since(c.LastOut, now),
		InstallTime: since(c.Installed, now),
	}
}

func optSPI(s engine.Opt[wire.ESPSPI]) string {
	v, ok := s.Get()
	if !ok {
		return ""
	}
	return v.String()
}

func newFlow(f *trace.Flow) Flow {
	d := Flow{
		Proto: f.Proto.String(), SPI: f.SPI.String(), Encap: f.Encap.String(),
		Src: host(f.Src.Addr()), Dst: host(f.Dst.Addr()), SPort: f.Src.Port(), DPort: f.Dst.Port(),
		Certain: f.Certain, Packets: f.Packets, Octets: f.Octets, First: stamp(f.First), Last: stamp(f.Last),
		FirstFrame: f.FirstFrame, LastFrame: f.LastFrame, FirstSeq: f.FirstSeq, HighSeq: f.HighSeq,
		Missing: f.Missing, Duplicates: f.Duplicates, Reordered: f.Reordered, LongestGap: f.LongestGap, Resets: f.Resets,
		MaxLength: f.MaxLength, LongestSilence: decimal(f.LongestSilence),
		Decrypted: f.Decrypted, ICVFailed: f.ICVFailed, DecryptError: f.DecryptError,
		InnerSrc: host(f.InnerSrc), InnerDst: host(f.InnerDst),
	}
	if f.SA != nil {
		d.IKESPI = f.SA.InitiatorSPI.String()
	}
	return d
}

func newICMP(e trace.ICMPError) ICMPError {
	d := ICMPError{
		Time: stamp(e.Time), Frame: e.Frame, From: host(e.From), To: host(e.To), Type: e.Type, Code: e.Code, What: e.What, MTU: e.MTU,
		Src: host(e.Src), Dst: host(e.Dst), SPort: e.SrcPort, DPort: e.DstPort, Protocol: e.Protocol, Count: e.Count,
	}
	if e.SPI != 0 {
		d.SPIi = e.SPI.String()
	}
	return d
}

func newLoss(l trace.FragmentLoss) FragmentLoss {
	d := FragmentLoss{
		Time: stamp(l.Time), Frame: l.Frame, Src: host(l.Src), Dst: host(l.Dst), SPort: l.SrcPort, DPort: l.DstPort,
		Protocol: l.Protocol, Have: l.Have, First: l.First, Last: l.Last, Frames: l.Frames,
	}
	if l.SPI != 0 {
		d.SPIi = l.SPI.String()
	}
	return d
}
