package link

import (
	"errors"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/ike"
)

// TestICMPErrorsEndNothing proves that port unreachable, which anybody can
// forge, does not make this side believe that its peer has failed (RFC 7296
// 2.4): IKEv2.EN.I.1.1.3.1 and IKEv2.EN.R.1.1.3.1.
func TestICMPErrorsEndNothing(t *testing.T) {
	a, b, stop := connected(t, ike.Retransmission{Timeout: 50 * time.Millisecond, Base: 1, Tries: 1000})
	sa, state := a.established()
	stop()
	a.do(func(now time.Time, p *ike.Endpoint) ike.Output { return p.Command(now, sa, ike.Probe{}) })

	// What this socket is told, that of a is told too.
	witness, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(b.plain))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = witness.Close() }() // it has served
	for n := 0; n < 3; {
		_, _ = witness.Write([]byte{0}) // refused now or at the next reading
		if err := witness.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		if _, err := witness.Read(make([]byte, 1)); errors.Is(err, syscall.ECONNREFUSED) {
			n++
		}
		if s, answered := state(); s != engine.IKEEstablished || answered != 0 {
			t.Fatalf("the IKE SA is %s, %d answers", s, answered)
		}
	}

	plain, _ := socketAt(t, b.plain)
	natt, _ := socketAt(t, b.natt)
	t.Cleanup(b.start(plain, natt))
	until(t, "the answer after the peer is back", func() bool { _, answered := state(); return answered == 1 })
	if s, _ := state(); s != engine.IKEEstablished {
		t.Errorf("the IKE SA is %s", s)
	}
}
