package link

import (
	"net"
	"net/netip"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/esp"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// Device is where the packets inside tunnels come from and go to: a TUN
// device, or a stack within the process. The Device of
// golang.zx2c4.com/wireguard/tun has its methods.
//
// Read and Write move up to BatchSize packets a call; each packet begins at
// offset in its buffer, and a Device may use the octets before it. Read and
// Write are each called by one goroutine at a time; Close makes Read return.
type Device interface {
	Read(bufs [][]byte, sizes []int, offset int) (n int, err error)
	Write(bufs [][]byte, offset int) (n int, err error)
	// MTU is the size in octets of the largest packet that goes through.
	MTU() (int, error)
	BatchSize() int
	Close() error
}

// Router is a Device that sees to it that packets for tunnels come to it:
// one that puts routes into the system.
type Router interface {
	// Route leads traffic of a child's selectors to the device, and Unroute no
	// longer; each call of the one is undone by one of the other. Peer is the
	// other end of the tunnel, which must stay reachable outside of it.
	Route(local, remote []wire.TrafficSelector, peer netip.Addr) error
	Unroute(local, remote []wire.TrafficSelector) error
}

// Reports is what a data plane tells the engine that it works for. The calls
// return at once.
type Reports interface {
	// Heard tells of authentic traffic from a peer, at most once a second for
	// an SA, and at once where it comes from another address than before.
	Heard(in wire.ESPSPI, from netip.AddrPort)
	// Expired tells that an SA has used up its octets or packets: softly, to
	// be replaced, or hard, to be closed. It is told once of each.
	Expired(in wire.ESPSPI, hard bool)
	// Acquire tells that there is traffic for a trap, now and then while there
	// is.
	Acquire(connection, child string)
}

// Trap is a child that traffic brings up.
type Trap struct {
	Connection, Child string
	Local, Remote     []wire.TrafficSelector
	Transport         bool
	Peer              netip.Addr // must stay reachable outside of the tunnel
}

// Attachment is what an engine hands its data plane before anything else.
type Attachment struct {
	Local   netip.Addr   // to send ESP from
	IKE     *net.UDPConn // the socket for plain IKE, which is the engine's alone
	NATT    *net.UDPConn // the socket for ESP in UDP; the engine reads it
	Reports Reports
}

// ESPPacket is an ESP packet that came in. It is valid during the call that
// hands it over.
type ESPPacket struct {
	Remote netip.AddrPort // where it came from; port 0 where it was not in UDP
	Octets []byte
	TOS    uint8 // traffic class octet of the packet that carried it
}

// Traffic is what a CHILD SA has carried.
type Traffic struct {
	In, Out         esp.Count
	Missing         uint64    // packets of the peer's that did not come, see esp.In.Missing; 0 where the data plane cannot tell
	LastIn, LastOut time.Time // of the last packets, to a second; zero for none
}
