package tui_test

import (
	"net/netip"
	"time"

	"github.com/cloudvlan/cvlanctl/diag"
	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/trace"
	"github.com/cloudvlan/cvlanctl/engine/wire"
	"github.com/cloudvlan/cvlanctl/tui/feed"
)

// fixed is a Data that a test has made by hand.
type fixed struct {
	title    string
	live     bool
	version  uint64
	trace    *trace.Trace
	findings []diag.Finding
	packets  packets
	progress feed.Progress
	held     int
}

func (f *fixed) Title() string            { return f.title }
func (f *fixed) Live() bool               { return f.live }
func (f *fixed) Version() uint64          { return f.version }
func (f *fixed) Hold()                    { f.held++ }
func (f *fixed) Release()                 { f.held-- }
func (f *fixed) Trace() *trace.Trace      { f.mustHold(); return f.trace }
func (f *fixed) Findings() []diag.Finding { f.mustHold(); return f.findings }
func (f *fixed) Packets() feed.PacketList { f.mustHold(); return f.packets }
func (f *fixed) Progress() feed.Progress  { f.mustHold(); return f.progress }
func (f *fixed) Daemon() *feed.Daemon     { return nil }
func (f *fixed) Log() feed.LogList        { return nil }

func (f *fixed) mustHold() {
	if f.held == 0 {
		panic("data is read without being held")
	}
}

type packets []feed.Packet

func (p packets) Len() int             { return len(p) }
func (p packets) At(i int) feed.Packet { return p[i] }
func (p packets) Forgotten() int64     { return 0 }
func (p packets) Find(frame int64) (int, bool) {
	for i := range p {
		if p[i].Frame >= frame {
			return i, p[i].Frame == frame
		}
	}
	return len(p), false
}

// began is when the hand-made trace begins.
var began = time.Date(2026, 3, 1, 2, 59, 0, 0, time.UTC)

func at(d time.Duration) time.Time { return began.Add(d) }

var (
	siteA  = netip.MustParseAddr("192.0.2.1")
	siteB  = netip.MustParseAddr("198.51.100.7")
	branch = netip.MustParseAddr("2001:db8:40::9")
	center = netip.MustParseAddr("2001:db8::1")
	mute   = netip.MustParseAddr("203.0.113.99")
)

// hostile is what a stranger would like to do to the terminal.
const hostile = "\x1b]52;c;cm0gLXJm\a\x1b[2J\u202eevil\r\n\x9b31m"

// handMade is a trace of a morning: a healthy tunnel, one whose proposals do
// not fit, one whose peer is silent, and ESP without IKE.
func handMade() *fixed {
	healthy, refused, silent := healthySA(), refusedSA(), silentSA()
	lone := &trace.Flow{
		Proto: event.ESP, SPI: 0xfeedf00d, Src: netip.AddrPortFrom(branch, 0), Dst: netip.AddrPortFrom(center, 0), Encap: event.IP,
		Packets: 1200, Octets: 1_440_000, First: at(0), Last: at(50 * time.Second), FirstFrame: 4, LastFrame: 3000, FirstSeq: 77, HighSeq: 1300, Missing: 24,
	}
	tr := trace.New(trace.Options{})
	tr.First, tr.Last = at(0), at(time.Minute)
	tr.SAs = []*trace.IKESA{healthy, refused, silent}
	tr.Flows = append(healthy.Flows, lone)
	return &fixed{
		title: "pcap:morning.pcapng", trace: tr, findings: findings(refused, silent), packets: packetRows(),
		progress: feed.Progress{Events: 9, Done: true},
	}
}

func message(frame int64, t time.Duration, src, dst netip.AddrPort, length int, payloads ...wire.Payload) *trace.Message {
	return &trace.Message{Frame: frame, Time: at(t), Src: src, Dst: dst, Encap: event.UDP, Length: length, Payloads: payloads}
}

func payload(t wire.PayloadType, body wire.Body) wire.Payload {
	return wire.Payload{Type: t, Body: body}
}

func proposal(number uint8, encr, group uint16) wire.Proposal {
	return wire.Proposal{Number: number, Protocol: wire.ProtocolIKE, Transforms: []wire.Transform{
		{Type: wire.TransformEncr, ID: encr, Attributes: []wire.Attribute{{Type: wire.AttrKeyLength, Short: true, Value: 256}}},
		{Type: wire.TransformPRF, ID: 5},
		{Type: wire.TransformKE, ID: group},
	}}
}

func initMessage(frame int64, t time.Duration, src, dst netip.AddrPort, length int, proposals ...wire.Proposal) *trace.Message {
	return message(frame, t, src, dst, length,
		payload(wire.PayloadSA, &wire.SA{Proposals: proposals}),
		payload(wire.PayloadKE, &wire.KE{Group: 19, Data: make([]byte, 64)}),
		payload(wire.PayloadNonce, &wire.Nonce{Data: make([]byte, 32)}),
		payload(wire.PayloadNotify, &wire.Notify{Type: wire.NotifyNATDetectionSourceIP}),
		payload(wire.PayloadNotify, &wire.Notify{Type: wire.NotifyNATDetectionDestinationIP}))
}

func healthySA() *trace.IKESA {
	near, far := netip.AddrPortFrom(siteA, 4500), netip.AddrPortFrom(siteB, 4500)
	suite := engine.Suite{Keyword: "aes256gcm16-prfsha256-ecp256"}
	child := &engine.ChildSA{
		State: engine.ChildInstalled, Mode: "TUNNEL", Protocol: "ESP", Encap: engine.Some(true),
		SPIIn: engine.Some(wire.ESPSPI(0xc0a80101)), SPIOut: engine.Some(wire.ESPSPI(0xbe9debbe)), Suite: engine.Suite{Keyword: "aes256gcm16"},
		LocalTS: []string{"10.1.0.0/16"}, RemoteTS: []string{"10.2.0.0/16"}, BytesIn: engine.Some(uint64(1_234_567)), PacketsIn: engine.Some(uint64(1024)),
		BytesOut: engine.Some(uint64(98_765)), PacketsOut: engine.Some(uint64(512)), Installed: at(10 * time.Millisecond), LastIn: at(55 * time.Second),
	}
	sa := &trace.IKESA{
		IKESA: engine.IKESA{
			Version: 2, State: engine.IKEEstablished, InitiatorSPI: 0x0edaee72093903a1, ResponderSPI: 0x5fb1c7d0aa10be22,
			Local: engine.Side{Host: siteA, Port: 4500, ID: "moon.example"}, Remote: engine.Side{Host: siteB, Port: 4500, ID: "CN=sun, O=Example" + hostile},
			Suite: suite, NAT: engine.NAT{Local: engine.Some(true), Remote: engine.Some(false)},
			DPD:         engine.DPD{Probes: 3, Answered: 3, LastHeard: at(50 * time.Second), RTT: engine.Some(1800 * time.Microsecond)},
			Established: at(8 * time.Millisecond), Children: []*engine.ChildSA{child},
		},
		First: at(0), Last: at(50 * time.Second), FirstFrame: 1, LastFrame: 800, Messages: 10, Octets: 3120, Decrypted: true,
		NATD:      trace.NATDetection{InitiatorInside: netip.MustParseAddrPort("10.0.0.5:500")},
		VendorIDs: []trace.VendorID{{By: trace.Responder, Data: []byte(hostile), Name: "strongSwan"}},
	}
	x := &trace.Exchange{
		SA: sa, Type: wire.ExchangeIKESAInit, By: trace.Initiator, Purpose: trace.PurposeInit, RTT: engine.Some(1083 * time.Microsecond),
		Request:  initMessage(1, 0, netip.AddrPortFrom(siteA, 500), netip.AddrPortFrom(siteB, 500), 264, proposal(1, 12, 14), proposal(2, 20, 19)),
		Response: initMessage(2, 1083*time.Microsecond, netip.AddrPortFrom(siteB, 500), netip.AddrPortFrom(siteA, 500), 272, proposal(2, 20, 19)),
	}
	auth := &trace.Exchange{
		SA: sa, Type: wire.ExchangeIKEAuth, MessageID: 1, By: trace.Initiator, Purpose: trace.PurposeAuth, RTT: engine.Some(2060 * time.Microsecond),
		Request:  message(3, 4*time.Millisecond, near, far, 1420, payload(wire.PayloadIDi, &wire.ID{Type: 2, Data: []byte(hostile)}), payload(wire.PayloadAuth, &wire.Auth{})),
		Response: message(5, 6*time.Millisecond, far, near, 218, payload(wire.PayloadIDr, &wire.ID{}), payload(wire.PayloadAuth, &wire.Auth{})),
	}
	auth.Request.Fragments = 2
	dpd := &trace.Exchange{
		SA: sa, Type: wire.ExchangeInformational, MessageID: 2, By: trace.Initiator, Purpose: trace.PurposeDPD, RTT: engine.Some(1800 * time.Microsecond),
		Request: message(70, 30*time.Second, near, far, 57), Response: message(71, 30*time.Second+1800*time.Microsecond, far, near, 57),
	}
	sa.Init, sa.Auth, sa.Exchanges = x, []*trace.Exchange{auth}, []*trace.Exchange{x, auth, dpd}
	sa.Flows = []*trace.Flow{{
		Proto: event.ESP, SPI: 0xbe9debbe, Src: near, Dst: far, Encap: event.UDPNATT, SA: sa, Child: child, Certain: true,
		Packets: 512, Octets: 98_765, First: at(time.Second), Last: at(55 * time.Second), FirstSeq: 1, HighSeq: 512, MaxLength: 1400, LongestSilence: 4 * time.Second,
	}}
	return sa
}

func refusedSA() *trace.IKESA {
	near, far := netip.AddrPortFrom(branch, 500), netip.AddrPortFrom(center, 500)
	sa := &trace.IKESA{
		IKESA: engine.IKESA{
			Version: 2, State: engine.IKEFailed, InitiatorSPI: 0x853da0116d264038,
			Local: engine.Side{Host: branch, Port: 500}, Remote: engine.Side{Host: center, Port: 500},
		},
		First: at(10 * time.Second), Last: at(10*time.Second + time.Millisecond), FirstFrame: 40, LastFrame: 41, Messages: 2,
		Ended: trace.EndFailed, EndedAt: at(10*time.Second + time.Millisecond), EndedBy: trace.Responder,
	}
	x := &trace.Exchange{
		SA: sa, Type: wire.ExchangeIKESAInit, By: trace.Initiator, Purpose: trace.PurposeInit, RTT: engine.Some(980 * time.Microsecond),
		Request: initMessage(40, 10*time.Second, near, far, 240, proposal(1, 12, 14)),
		Response: message(41, 10*time.Second+980*time.Microsecond, far, near, 36,
			payload(wire.PayloadNotify, &wire.Notify{Type: wire.NotifyNoProposalChosen})),
	}
	sa.Init, sa.Exchanges = x, []*trace.Exchange{x}
	return sa
}

func silentSA() *trace.IKESA {
	near, far := netip.AddrPortFrom(siteA, 500), netip.AddrPortFrom(mute, 500)
	sa := &trace.IKESA{
		IKESA: engine.IKESA{
			Version: 2, State: engine.IKEConnecting, InitiatorSPI: 0x1e71c451aee890e7,
			Local: engine.Side{Host: siteA, Port: 500}, Remote: engine.Side{Host: mute, Port: 500},
		},
		First: at(20 * time.Second), Last: at(27 * time.Second), FirstFrame: 50, LastFrame: 52, Messages: 3,
	}
	x := &trace.Exchange{
		SA: sa, Type: wire.ExchangeIKESAInit, By: trace.Initiator, Purpose: trace.PurposeInit, RequestRepeats: 2,
		Request: initMessage(50, 20*time.Second, near, far, 264, proposal(1, 20, 19)),
		Repeats: []trace.Repeat{{Frame: 51, Time: at(22 * time.Second)}, {Frame: 52, Time: at(27 * time.Second)}},
	}
	sa.Init, sa.Exchanges = x, []*trace.Exchange{x}
	return sa
}

func findings(refused, silent *trace.IKESA) []diag.Finding {
	subject := func(sa *trace.IKESA) diag.Subject {
		return diag.Subject{Local: sa.Local.Host.String(), Remote: sa.Remote.Host.String(), SPIi: sa.InitiatorSPI.String()}
	}
	return []diag.Finding{{
		ID: "no-proposal-ike", Severity: diag.High, Confidence: diag.Certain, Ownership: diag.PeerConfig, Subject: subject(refused),
		Summary: "the responder takes none of the proposals of the initiator (aes256-prfsha256-modp2048)",
		Cause:   "No single proposal of the initiator fits one of the responder completely: cipher, key length, PRF and group have to agree within one proposal.",
		Remedies: []diag.Remedy{
			{Side: "initiator", Platform: "strongswan", Change: "connections.<conn>.proposals = aes256gcm16-prfsha256-ecp256"},
			{Side: "responder", Platform: "strongswan", Change: "connections.<conn>.proposals = aes256-sha256-modp2048"},
		},
		Evidence: []diag.Evidence{
			{Frame: 40, Time: at(10 * time.Second), What: "the initiator offers one proposal"},
			{Frame: 41, Time: at(10*time.Second + time.Millisecond), What: "the responder answers NO_PROPOSAL_CHOSEN" + hostile},
		},
		FirstSeen: at(10 * time.Second), LastSeen: at(10*time.Second + time.Millisecond), Count: 1, Consequences: []string{"child-missing"},
		Surer: "the responder's log at level 2",
	}, {
		ID: "no-response-to-sa-init", Severity: diag.Medium, Confidence: diag.Likely, Ownership: diag.External, Subject: subject(silent),
		Summary: "203.0.113.99 answers none of 3 IKE_SA_INIT requests", Cause: "A firewall on the way drops UDP port 500, or the peer is down.",
		Evidence:  []diag.Evidence{{Frame: 50, What: "first request"}, {Frame: 52, What: "last repetition"}, {What: "no packet of the peer at all"}},
		FirstSeen: at(20 * time.Second), LastSeen: at(27 * time.Second), Count: 3,
	}}
}

func packetRows() packets {
	near, far := netip.AddrPortFrom(siteA, 500), netip.AddrPortFrom(siteB, 500)
	v6, c6 := netip.AddrPortFrom(branch, 500), netip.AddrPortFrom(center, 500)
	row := func(frame int64, t time.Duration, src, dst netip.AddrPort, proto string, length int, summary string) feed.Packet {
		return feed.Packet{Frame: frame, Time: at(t), Src: src, Dst: dst, Proto: proto, Length: length, Summary: summary}
	}
	p := packets{
		row(1, 0, near, far, "ikev2", 264, "IKE_SA_INIT request 0: SA KE Nonce N N"),
		row(2, 1083*time.Microsecond, far, near, "ikev2", 272, "IKE_SA_INIT response 0: SA KE Nonce N N"),
		row(3, 4*time.Millisecond, near, far, "ikev2", 1420, "IKE_AUTH request 1: SK{ IDi AUTH } "+hostile),
		row(4, 5*time.Millisecond, netip.AddrPortFrom(branch, 0), netip.AddrPortFrom(center, 0), "esp", 1200, "ESP spi feedf00d seq 77"),
		row(5, 6*time.Millisecond, far, near, "ikev2", 218, "IKE_AUTH response 1: SK{ IDr AUTH }"),
		row(40, 10*time.Second, v6, c6, "ikev2", 240, "IKE_SA_INIT request 0: SA KE Nonce N N"),
		row(41, 10*time.Second+980*time.Microsecond, c6, v6, "ikev2", 36, "IKE_SA_INIT response 0: N(NO_PROPOSAL_CHOSEN)"),
		row(50, 20*time.Second, near, netip.AddrPortFrom(mute, 500), "ikev2", 264, "IKE_SA_INIT request 0: SA KE Nonce N N"),
		row(51, 22*time.Second, netip.AddrPortFrom(mute, 0), netip.AddrPortFrom(siteA, 0), "icmp", 0, "ICMP port unreachable from 203.0.113.99"),
	}
	p[6].Problem, p[8].Problem = true, true
	return p
}
