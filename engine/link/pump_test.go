package link

import (
	"context"
	"encoding/binary"
	"net"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/auth"
	"github.com/cloudvlan/cvlanctl/engine/ike"
	"github.com/cloudvlan/cvlanctl/engine/suite"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// pumped is one end of a tunnel over the loopback interface.
type pumped struct {
	t           *testing.T
	endpoint    *ike.Endpoint
	pump        *Pump
	plain, natt netip.AddrPort
}

// socket opens a socket on a free port of the loopback interface.
func socket(t *testing.T) (*net.UDPConn, netip.AddrPort) {
	t.Helper()
	return socketAt(t, netip.AddrPortFrom(loopback(), 0))
}

// loopback is an address of loopback that no other process of these tests has,
// where a system has more than one: a port that was left can be had again.
func loopback() netip.Addr {
	pid := os.Getpid()
	if runtime.GOOS == "linux" {
		return netip.AddrFrom4([4]byte{127, 79, byte(pid >> 8), byte(pid)})
	}
	return netip.MustParseAddr("127.0.0.1")
}

func socketAt(t *testing.T, a netip.AddrPort) (*net.UDPConn, netip.AddrPort) {
	t.Helper()
	c, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(a))
	if err != nil {
		t.Fatal(err)
	}
	return c, c.LocalAddr().(*net.UDPAddr).AddrPort()
}

// start pumps between the Endpoint and two sockets until stop is called.
func (e *pumped) start(plain, natt *net.UDPConn) (stop func()) {
	e.t.Helper()
	var err error
	if e.pump, err = NewPump(e.endpoint, plain, natt, func(ike.Output) {}, nil); err != nil {
		e.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- e.pump.Run(ctx) }()
	return sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			e.t.Error(err)
		}
	})
}

// connected gives two ends that know each other and pump until the test ends,
// or until stop is called for b.
func connected(t *testing.T, r ike.Retransmission) (a, b *pumped, stop func()) {
	t.Helper()
	var ends [2]*pumped
	var sockets [2][2]*net.UDPConn
	for i := range ends {
		ends[i] = &pumped{t: t}
		sockets[i][0], ends[i].plain = socket(t)
		sockets[i][1], ends[i].natt = socket(t)
	}
	ids := [2]wire.ID{}
	for i, s := range []string{"a.example", "b.example"} {
		var err error
		if ids[i], err = auth.ParseID(s); err != nil {
			t.Fatal(err)
		}
	}
	for i, e := range ends {
		peer := ends[1-i]
		conn := &ike.Connection{Name: "gw", Local: e.plain.Addr(), Remote: peer.plain.Addr(), LocalID: ids[i], RemoteID: auth.Exactly(ids[1-i]),
			RemotePorts: ike.Ports{IKE: peer.plain.Port(), NATT: peer.natt.Port()},
			Credentials: auth.SharedKeys{{Key: suite.NewSecret([]byte("a key of the tests"))}}}
		var err error
		if conn.Proposals, err = ike.ParseProposals(wire.ProtocolIKE, "aes128gcm16-prfsha256-curve25519"); err != nil {
			t.Fatal(err)
		}
		e.endpoint = ike.NewEndpoint(ike.Settings{Ports: ike.Ports{IKE: e.plain.Port(), NATT: e.natt.Port()}, Retransmit: r})
		if err := e.endpoint.Add(conn); err != nil {
			t.Fatal(err)
		}
		stop = e.start(sockets[i][0], sockets[i][1])
		t.Cleanup(stop)
	}
	return ends[0], ends[1], stop
}

// established brings the IKE SA up from e. ask tells its state, and how many
// liveness checks were answered.
func (e *pumped) established() (sa *ike.SA, ask func() (s engine.IKEState, answered int)) {
	e.t.Helper()
	e.do(func(now time.Time, p *ike.Endpoint) (out ike.Output) {
		var err error
		if sa, out, err = p.Initiate(now, "gw", netip.Addr{}); err != nil {
			e.t.Error(err)
		}
		return out
	})
	ask = func() (s engine.IKEState, answered int) {
		e.do(func(time.Time, *ike.Endpoint) ike.Output {
			s, answered = sa.State(), int(sa.Model().DPD.Answered)
			return ike.Output{}
		})
		return s, answered
	}
	until(e.t, "the IKE SA", func() bool { s, _ := ask(); return s == engine.IKEEstablished })
	return sa, ask
}

// do runs f with the Endpoint.
func (e *pumped) do(f func(now time.Time, p *ike.Endpoint) ike.Output) {
	e.t.Helper()
	if err := e.pump.Do(e.t.Context(), f); err != nil {
		e.t.Fatal(err)
	}
}

// until waits for something to become true.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func TestAFloodOfStrangersDoesNotCrowdOutAnSA(t *testing.T) {
	// A repetition would hide a loss.
	a, b, _ := connected(t, ike.Retransmission{Timeout: time.Hour})
	sa, state := a.established()

	// b is busy, and more strangers come than it can remember.
	release, held := make(chan struct{}), make(chan struct{})
	busy := make(chan error, 1)
	go func() {
		busy <- b.pump.Do(t.Context(), func(time.Time, *ike.Endpoint) ike.Output {
			close(held)
			<-release
			return ike.Output{}
		})
	}()
	<-held
	stranger, _ := socket(t)
	defer func() { _ = stranger.Close() }() // it has served
	init := wire.Message{Header: wire.Header{InitiatorSPI: 1, Version: wire.Version2, Exchange: wire.ExchangeIKESAInit, Flags: wire.FlagInitiator}}
	octets := init.Append(nil)
	for n := uint64(1); len(b.pump.in.queues[strange]) < strangerBacklog; n++ {
		binary.BigEndian.PutUint64(octets, n)
		if _, err := stranger.WriteToUDPAddrPort(octets, b.plain); err != nil {
			t.Fatal(err)
		}
		if n%32 == 0 { // no faster than they are read
			time.Sleep(time.Millisecond)
		}
	}
	a.do(func(now time.Time, p *ike.Endpoint) ike.Output { return p.Command(now, sa, ike.Probe{}) })
	until(t, "the liveness check to be read", func() bool { return len(b.pump.in.queues[ofSAs]) == 1 })
	close(release)
	if err := <-busy; err != nil {
		t.Fatal(err)
	}
	until(t, "the answer to the liveness check", func() bool { _, answered := state(); return answered == 1 })
}
