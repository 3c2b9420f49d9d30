package lab

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// spoofed is where the sources of a flood lie: 198.18.0.0/15, which is for
// measurements (RFC 2544).
var spoofed = netip.MustParsePrefix("198.18.0.0/15")

// headers are the octets of an IPv4 and a UDP header.
const headers = 20 + 8

// Flood sends UDP datagrams from the namespace to a target, each from another
// spoofed address and port, at a rate a second, until the context ends; where
// the machine is slower, as fast as it can. fill writes the next payload into
// the octets that it is given and returns how many it has. Flood gives how many
// datagrams were sent.
func (ns *NS) Flood(ctx context.Context, to netip.AddrPort, rate int, fill func(b []byte) int) (sent int, err error) {
	if !to.Addr().Is4() || rate < 1 {
		return 0, fmt.Errorf("a flood of %d a second to %s: it needs an IPv4 address and a rate", rate, to)
	}
	fd, err := ns.rawSocket()
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, unix.Close(fd)) }()
	packet := make([]byte, headers+65535-headers)
	packet[0], packet[8], packet[9] = 0x45, 64, unix.IPPROTO_UDP
	target := to.Addr().As4()
	copy(packet[16:], target[:])
	binary.BigEndian.PutUint16(packet[22:], to.Port())
	base := spoofed.Addr().As4()
	first := binary.BigEndian.Uint32(base[:])
	address := &unix.SockaddrInet4{Addr: target}
	for begin := time.Now(); ctx.Err() == nil; {
		due := int(time.Since(begin).Seconds() * float64(rate))
		for ; sent < due && ctx.Err() == nil; sent++ {
			n := fill(packet[headers:])
			binary.BigEndian.PutUint32(packet[12:], first+rand.Uint32N(1<<(32-spoofed.Bits())))
			binary.BigEndian.PutUint16(packet[20:], uint16(1024+rand.IntN(64000)))
			binary.BigEndian.PutUint16(packet[24:], uint16(8+n))
			switch err := unix.Sendto(fd, packet[:headers+n], 0, address); {
			case errors.Is(err, unix.ENOBUFS), errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
				// the machine is too slow: this one is lost
			case err != nil:
				return sent, fmt.Errorf("flood of %s: %w", to, err)
			}
		}
		time.Sleep(time.Millisecond)
	}
	return sent, nil
}

// rawSocket opens a socket in the namespace that takes whole IPv4 packets.
func (ns *NS) rawSocket() (fd int, err error) {
	done := make(chan struct{})
	go func() { // see ListenUDP
		defer close(done)
		runtime.LockOSThread()
		err = ns.visit(func() (err error) {
			fd, err = unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
			return err
		})
	}()
	<-done
	if err != nil {
		return 0, fmt.Errorf("raw socket in namespace %s: %w", ns.Name, err)
	}
	return fd, nil
}
