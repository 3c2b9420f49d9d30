package link_test

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/cloudvlan/cvlanctl/engine/link"
	"github.com/cloudvlan/cvlanctl/lab/need"
)

func TestESPWithoutUDPKeepsItsOrderAndItsTrafficClass(t *testing.T) {
	need.Root(t)
	for _, local := range []string{"127.0.0.2", "::1"} {
		t.Run(local, func(t *testing.T) {
			addr := netip.MustParseAddr(local)
			p := pairAt(t, link.PlaneOptions{}, addr)
			u := orders(p, 1)
			for i := range u {
				u[i].Encap = false
			}
			seen, err := link.ListenRaw(addr)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = seen.Close() }() // only read from
			install(t, p, u)
			const n = 500
			for i := range uint32(n) {
				b := datagram(i, 900, true)
				b[1] = 0xb8 | 2 // expedited forwarding, and takes part in ECN
				p[0].device.in <- b
			}
			for i := range uint32(n) {
				b := p[1].device.next(t)
				if got := binary.BigEndian.Uint32(b[28:]); got != i || b[1] != 0xb8|2 {
					t.Fatalf("packet %d came when %d was due, with traffic class %#x", got, i, b[1])
				}
			}
			if got := traffic(t, p[1], u[1].SPIs).In; got.Packets != n || got.Replayed+got.Integrity+got.Malformed > 0 {
				t.Errorf("the receiver counts %+v", got)
			}
			if addr.Is6() {
				return // the system gives no header
			}
			b := make([]byte, 2000)
			size, err := seen.Read(b)
			if err != nil {
				t.Fatal(err)
			}
			b = b[:size]
			if got := int(binary.BigEndian.Uint16(b[2:])); b[0] != 0x45 || b[1] != 0xb8|2 || got != size || b[6] != 0x40 || b[9] != 50 || netip.AddrFrom4([4]byte(b[12:])) != addr {
				t.Errorf("a packet of %d octets has the header % x", size, b[:20])
			}
		})
	}
}
