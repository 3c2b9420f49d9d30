package ipflow

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/gopacket/layers"

	"github.com/cloudvlan/cvlanctl/capture"
)

// ikeRecord is an IKE message of n octets as a TCP record.
func ikeRecord(n int, id byte) []byte {
	m := make([]byte, n)
	m[0], m[17], m[18], m[23] = id, 0x20, 34, id
	binary.BigEndian.PutUint32(m[24:], uint32(n))
	return record(append(make([]byte, 4), m...))
}

func espRecord(n int, spi byte) []byte {
	m := make([]byte, n)
	m[0], m[3] = 0xc0, spi
	return record(m)
}

func record(b []byte) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(2+len(b))), b...)
}

// talk builds the segments of one TCP connection.
type talk struct {
	t            testing.TB
	sport, dport uint16
	frames       []capture.Frame
}

func (k *talk) segment(back bool, seq, ack uint32, set func(*layers.TCP), data []byte) {
	ip, tcp := v4(layers.IPProtocolTCP), &layers.TCP{SrcPort: layers.TCPPort(k.sport), DstPort: layers.TCPPort(k.dport), Seq: seq, Ack: ack, ACK: ack != 0, Window: 1000}
	if back {
		ip.SrcIP, ip.DstIP = ip.DstIP, ip.SrcIP
		tcp.SrcPort, tcp.DstPort = tcp.DstPort, tcp.SrcPort
	}
	if set != nil {
		set(tcp)
	}
	k.frames = append(k.frames, frame(int64(len(k.frames)+1), capture.LinkRaw, octets(k.t, ip, tcp, payload(data))))
}

func syn(h *layers.TCP) { h.SYN = true }
func fin(h *layers.TCP) { h.FIN = true }
func rst(h *layers.TCP) { h.RST = true }

func (k *talk) open(seq, ack uint32) {
	k.segment(false, seq, 0, syn, nil)
	k.segment(true, ack, seq+1, syn, nil)
}

// records walks the segments and gives the records among what they yield.
func (k *talk) records(w *Walker) []Datagram {
	return slices.DeleteFunc(walk(k.t, w, k.frames...), func(d Datagram) bool { return d.Encap != TCPRecord })
}

func wantRecords(t *testing.T, got []Datagram, want ...[]byte) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("got %d records, want %d", len(got), len(want))
	}
	for i, d := range got {
		if !bytes.Equal(d.Payload, want[i][2:]) {
			t.Errorf("record %d is %.20x of %d octets, want %.20x of %d", i+1, d.Payload, len(d.Payload), want[i][2:], len(want[i])-2)
		}
	}
}

func TestRecordsOfAWholeConnection(t *testing.T) {
	a, b, c, e := ikeRecord(300, 1), ikeRecord(200, 2), ikeRecord(1000, 3), espRecord(100, 4)
	for _, port := range []uint16{4500, 443} {
		k := &talk{t: t, sport: 40000, dport: port}
		k.open(1000, 5000)
		k.segment(false, 1001, 5001, nil, slices.Concat([]byte(prefixIKE), a))
		k.segment(true, 5001, 1313, nil, b)
		k.segment(false, 1313, 5207, nil, slices.Concat(c, e)[:500])
		k.segment(false, 1813, 5207, nil, slices.Concat(c, e)[500:])
		k.segment(false, 2421, 5207, fin, nil)
		w := New(Options{})
		all := walk(t, w, k.frames...)
		got := k.records(New(Options{}))
		wantRecords(t, got, a, b, c, e)
		if len(all) != len(k.frames)+4 {
			t.Errorf("port %d: %d datagrams, want a segment for each of %d frames and 4 records", port, len(all), len(k.frames))
		}
		if d := got[0]; d.Frame != 3 || d.SrcPort != 40000 || d.DstPort != port || d.Src != addr(ip1) || d.Offset != 20+20+6+2 {
			t.Errorf("port %d: first record is %+v", port, d)
		}
		if d := got[1]; d.Frame != 4 || d.Src != addr(ip2) || d.SrcPort != port {
			t.Errorf("port %d: second record is %+v", port, d)
		}
		if got[2].Frame != 6 || got[2].Offset != -1 {
			t.Errorf("port %d: third record is of frame %d at %d", port, got[2].Frame, got[2].Offset)
		}
		if st := w.Stats(); st.Records != 4 || st.StreamGaps != 0 {
			t.Errorf("port %d: stats are %+v", port, st)
		}
	}
}

func TestSegmentsAreYieldedWithTheirHeader(t *testing.T) {
	k := &talk{t: t, sport: 40000, dport: 4500}
	k.segment(false, 7, 0, syn, nil)
	k.segment(true, 0, 8, rst, nil)
	got := walk(t, New(Options{}), k.frames...)
	if d := got[0]; d.Proto != ProtoTCP || d.TCP.Flags != FlagSYN || d.TCP.Seq != 7 || d.DstPort != 4500 || d.TCP.Window != 1000 {
		t.Errorf("first segment is %+v", d)
	}
	if d := got[1]; d.TCP.Flags != FlagRST|FlagACK || d.TCP.Ack != 8 {
		t.Errorf("second segment is %+v", d)
	}
}

func TestSegmentsInEveryOrderGiveTheRecordsInOrder(t *testing.T) {
	a, b, c := ikeRecord(100, 1), espRecord(90, 2), ikeRecord(80, 3)
	stream := slices.Concat([]byte(prefixIKE), a, b, c)
	cuts := []int{0, 4, 50, 200, len(stream)}
	permute(len(cuts)-1, func(order []int) {
		for _, base := range []uint32{1000, 1<<32 - 60} { // the second one wraps
			k := &talk{t: t, sport: 40000, dport: 4500}
			k.open(base-1, 5000)
			for _, i := range order {
				k.segment(false, base+uint32(cuts[i]), 5001, nil, stream[cuts[i]:cuts[i+1]])
			}
			w := New(Options{})
			wantRecords(t, k.records(w), a, b, c)
			if w.streams.held != 0 {
				t.Fatalf("order %v: %d octets held", order, w.streams.held)
			}
		}
	})
}

func TestRetransmittedSegmentsGiveNoRecordTwice(t *testing.T) {
	a, b := ikeRecord(100, 1), ikeRecord(80, 2)
	stream := slices.Concat([]byte(prefixIKE), a, b)
	k := &talk{t: t, sport: 40000, dport: 4500}
	k.open(1000, 5000)
	k.segment(false, 1001, 5001, nil, stream[:60])
	k.segment(false, 1001, 5001, nil, stream[:60])
	k.segment(false, 1001, 5001, nil, stream[:150])
	k.segment(false, 1050, 5001, nil, stream[49:])
	k.segment(false, 1001, 5001, nil, stream)
	w := New(Options{})
	wantRecords(t, k.records(w), a, b)
	var again []int64
	for _, d := range walk(t, New(Options{}), k.frames...) {
		if d.TCP.Retransmit {
			again = append(again, d.Frame)
		}
	}
	if !slices.Equal(again, []int64{4, 7}) {
		t.Errorf("retransmissions in frames %v, want 4 and 7", again)
	}
}

func TestOctetsThatTheCaptureMissesAreSteppedOver(t *testing.T) {
	a, b, c, e := ikeRecord(100, 1), ikeRecord(90, 2), ikeRecord(80, 3), ikeRecord(70, 4)
	stream := slices.Concat([]byte(prefixIKE), a, b, c, e)
	at := func(n int) uint32 { return 1001 + uint32(n) }
	bAt, cAt, eAt := 6+len(a), 6+len(a)+len(b), 6+len(a)+len(b)+len(c)
	k := &talk{t: t, sport: 40000, dport: 4500}
	k.open(1000, 5000)
	k.segment(false, at(0), 5001, nil, stream[:bAt+20]) // the rest of b is missing
	k.segment(false, at(cAt), 5001, nil, stream[cAt:eAt])
	w := New(Options{})
	wantRecords(t, k.records(w), a)
	k.segment(true, 5001, at(eAt), nil, nil) // the other side has it all
	w = New(Options{})
	got := k.records(w)
	wantRecords(t, got, a, c)
	if d := got[1]; d.Frame != 5 || d.Src != addr(ip1) || d.DstPort != 4500 {
		t.Errorf("record after the gap is %+v", d)
	}
	k.segment(false, at(eAt), 5001, nil, stream[eAt:])
	w = New(Options{})
	wantRecords(t, k.records(w), a, c, e)
	if w.Stats().StreamGaps != 1 || w.streams.held != 0 {
		t.Errorf("stats %+v, %d octets held", w.Stats(), w.streams.held)
	}
}

func TestSegmentsCutBySnapLengthLoseTheirRecordOnly(t *testing.T) {
	a, b, c := ikeRecord(100, 1), ikeRecord(500, 2), ikeRecord(100, 3)
	k := &talk{t: t, sport: 40000, dport: 4500}
	k.open(1000, 5000)
	k.segment(false, 1001, 5001, nil, slices.Concat([]byte(prefixIKE), a))
	k.segment(false, 1001+6+uint32(len(a)), 5001, nil, b)
	k.segment(false, 1001+6+uint32(len(a)+len(b)), 5001, nil, c)
	k.frames[3].Data = k.frames[3].Data[:200]
	w := New(Options{})
	wantRecords(t, k.records(w), a, c)
	if w.Stats().StreamGaps != 1 {
		t.Errorf("stats are %+v", w.Stats())
	}
}

func TestConnectionJoinedInTheMiddle(t *testing.T) {
	a, b, e := ikeRecord(100, 1), espRecord(64, 2), espRecord(64, 3)
	k := &talk{t: t, sport: 40000, dport: 4500}
	k.segment(false, 7000, 1, nil, []byte("the end of a record that began before"))
	k.segment(false, 8000, 1, nil, slices.Concat(b, e))
	k.segment(false, 8000+uint32(len(b)+len(e)), 1, nil, a)
	wantRecords(t, k.records(New(Options{})), b, e, a)
}

func TestStreamsOfOtherProtocolsGiveNoRecords(t *testing.T) {
	tls := append([]byte{0x16, 3, 1, 0, 100}, make([]byte, 100)...)
	for name, port := range map[string]uint16{"on port 4500": 4500, "on another port": 443} {
		t.Run(name, func(t *testing.T) {
			k := &talk{t: t, sport: 40000, dport: port}
			k.open(1000, 5000)
			k.segment(false, 1001, 5001, nil, tls)
			k.segment(true, 5001, 1106, nil, tls)
			k.segment(false, 1106, 5106, nil, tls)
			w := New(Options{})
			if got := k.records(w); len(got) != 0 || w.streams.held != 0 {
				t.Errorf("%d records, %d octets held", len(got), w.streams.held)
			}
		})
	}
}

func TestPortsNamedByTheUserCarryIKE(t *testing.T) {
	a := ikeRecord(100, 1)
	k := &talk{t: t, sport: 40000, dport: 8443}
	k.segment(true, 8000, 1, nil, a)
	if got := k.records(New(Options{})); len(got) != 0 {
		t.Errorf("unnamed port gives %d records", len(got))
	}
	wantRecords(t, k.records(New(Options{TCPPorts: []uint16{8443}})), a)
}

func TestResetConnectionIsForgotten(t *testing.T) {
	k := &talk{t: t, sport: 40000, dport: 4500}
	k.open(1000, 5000)
	k.segment(false, 1001, 5001, nil, []byte(prefixIKE))
	k.segment(true, 5001, 1007, rst, nil)
	w := New(Options{})
	walk(t, w, k.frames...)
	if len(w.streams.by) != 0 || w.streams.oldest != nil || w.streams.newest != nil {
		t.Errorf("%d streams remain", len(w.streams.by))
	}
}

func TestSegmentSentAgainAfterTheEndGivesNoRecordTwice(t *testing.T) {
	a := ikeRecord(100, 1)
	data := slices.Concat([]byte(prefixIKE), a)
	k := &talk{t: t, sport: 40000, dport: 4500}
	k.open(1000, 5000)
	k.segment(false, 1001, 5001, nil, data)
	k.segment(false, 1001+uint32(len(data)), 5001, fin, nil)
	k.segment(false, 1007, 5001, nil, a)
	wantRecords(t, k.records(New(Options{})), a)
}

func TestNewConnectionOnTheSamePortsBeginsAnew(t *testing.T) {
	a, b := ikeRecord(100, 1), ikeRecord(90, 2)
	k := &talk{t: t, sport: 40000, dport: 4500}
	k.open(1000, 5000)
	k.segment(false, 1001, 5001, nil, slices.Concat([]byte(prefixIKE), a)[:50])
	k.open(900_000, 70_000)
	k.segment(false, 900_000, 0, syn, nil) // repeated
	k.segment(false, 900_001, 70_001, nil, slices.Concat([]byte(prefixIKE), b))
	wantRecords(t, k.records(New(Options{})), b)
}

func TestStreamFloodStaysWithinTheLimits(t *testing.T) {
	limits := Limits{Streams: 40, StreamOctets: 50_000}
	w := New(Options{Limits: limits})
	r := rand.New(rand.NewPCG(3, 4))
	big := record(make([]byte, 60_000))
	for i := range 5000 {
		k := &talk{t: t, sport: uint16(r.IntN(100)), dport: 4500}
		switch r.IntN(4) {
		case 0:
			k.segment(false, 1000, 0, syn, nil)
		case 1:
			k.segment(false, 1001, 1, nil, append([]byte(prefixIKE), big[:1400]...))
		case 2:
			k.segment(false, 1001+uint32(r.IntN(1<<21)), 1, nil, make([]byte, r.IntN(1400)))
		default:
			k.segment(true, 1, 1001+uint32(r.IntN(1<<21)), nil, nil)
		}
		walk(t, w, k.frames...)
		held := 0
		for _, s := range w.streams.by {
			held += len(s.pending)
			for _, g := range s.waiting {
				held += len(g.data)
			}
			if len(s.waiting) > maxWaiting {
				t.Fatalf("%d segments wait in one stream", len(s.waiting))
			}
		}
		if held != w.streams.held || held > limits.StreamOctets || len(w.streams.by) > limits.Streams {
			t.Fatalf("segment %d: %d octets held, %d counted, %d streams", i, held, w.streams.held, len(w.streams.by))
		}
	}
	if len(w.streams.by) == 0 || w.streams.held == 0 {
		t.Error("nothing was held at all")
	}
}
