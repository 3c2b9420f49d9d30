package capture

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// The ring that the kernel writes frames to: 8 MiB, in blocks that are handed
// over when they are full or when the oldest frame in them has waited.
const (
	ringBlock  = 256 << 10
	ringBlocks = 32
	ringWait   = 50 * time.Millisecond
)

// Live captures on a network interface; the name "any" means all of them. It
// needs the capability CAP_NET_RAW. Interfaces that are not Ethernet, and
// "any", yield frames of the type LinkSLL2. VLAN tags that the network card
// took off are put back. On the loopback interface each packet comes once.
//
// The Source ends, without an error, when ctx does, after the frames that the
// kernel has captured by then; it ends with an error when the interface goes.
// It implements Counter; Dropped are the frames for which the kernel had no
// room.
func Live(ctx context.Context, iface string, opts LiveOptions) (Source, error) {
	index, err := interfaceIndex(iface)
	if err != nil {
		return nil, err
	}
	s := &live{ctx: ctx, name: iface}
	if s.loopback, err = loopbacks(); err != nil {
		return nil, err
	}
	if err := s.open(index, opts); err != nil {
		if s.sock != nil {
			err = errors.Join(err, s.sock.Close())
		}
		if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
			return nil, fmt.Errorf("capture on %s needs root or the capability CAP_NET_RAW: %w", iface, err)
		}
		return nil, fmt.Errorf("capture on %s: %w", iface, err)
	}
	return s, nil
}

// interfaceIndex finds an interface; 0 is all of them.
func interfaceIndex(name string) (int, error) {
	if name == "any" {
		return 0, nil
	}
	all, err := net.Interfaces()
	if err != nil {
		return 0, fmt.Errorf("list network interfaces: %w", err)
	}
	var names []string
	for _, in := range all {
		if in.Name != name {
			names = append(names, in.Name)
			continue
		}
		if in.Flags&net.FlagUp == 0 {
			return 0, fmt.Errorf("interface %s is down", name)
		}
		return in.Index, nil
	}
	return 0, fmt.Errorf("no interface named %q; there are %s and any", name, strings.Join(names, ", "))
}

// loopbacks gives the indexes of the loopback interfaces, where the kernel
// shows each packet on its way out and again on its way in.
func loopbacks() (map[uint32]bool, error) {
	all, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("list network interfaces: %w", err)
	}
	m := map[uint32]bool{}
	for _, in := range all {
		if in.Flags&net.FlagLoopback != 0 {
			m[uint32(in.Index)] = true
		}
	}
	return m, nil
}

// live is the Source of Live.
type live struct {
	counters
	ctx      context.Context
	name     string
	sock     *os.File // closes itself where Frames is never called
	fd       int
	cooked   bool
	loopback map[uint32]bool
	began    atomic.Bool

	number, size int64
	frame        []byte // the current frame, copied out of the ring
}

func (s *live) socket(kind int) error {
	// Protocol 0: nothing arrives before the filter is in place.
	fd, err := unix.Socket(unix.AF_PACKET, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open a packet socket: %w", err)
	}
	s.fd, s.sock = fd, os.NewFile(uintptr(fd), "packet socket")
	return nil
}

// open sets everything up; capture has begun when it returns.
func (s *live) open(index int, opts LiveOptions) error {
	s.cooked = index == 0
	if !s.cooked {
		if err := s.socket(unix.SOCK_RAW); err != nil {
			return err
		}
		kind, err := s.hardware(index)
		if err != nil {
			return err
		}
		if kind != unix.ARPHRD_ETHER && kind != unix.ARPHRD_LOOPBACK {
			s.cooked = true
			if err := s.sock.Close(); err != nil {
				return err
			}
		}
	}
	if s.cooked {
		if err := s.socket(unix.SOCK_DGRAM); err != nil {
			return err
		}
	}
	if !opts.All {
		if err := s.attach(opts); err != nil {
			return err
		}
	}
	if err := unix.SetsockoptInt(s.fd, unix.SOL_PACKET, unix.PACKET_VERSION, unix.TPACKET_V3); err != nil {
		return fmt.Errorf("choose the ring's version 3: %w", err)
	}
	req := unix.TpacketReq3{
		Block_size: ringBlock, Block_nr: ringBlocks,
		Frame_size: 2048, Frame_nr: ringBlock / 2048 * ringBlocks,
		Retire_blk_tov: uint32(ringWait / time.Millisecond),
	}
	if err := unix.SetsockoptTpacketReq3(s.fd, unix.SOL_PACKET, unix.PACKET_RX_RING, &req); err != nil {
		return fmt.Errorf("set the ring up: %w", err)
	}
	if opts.Promiscuous && index != 0 {
		mreq := unix.PacketMreq{Ifindex: int32(index), Type: unix.PACKET_MR_PROMISC}
		if err := unix.SetsockoptPacketMreq(s.fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, &mreq); err != nil {
			return fmt.Errorf("ask for promiscuous mode: %w", err)
		}
	}
	if err := unix.Bind(s.fd, &unix.SockaddrLinklayer{Protocol: hostToNet(unix.ETH_P_ALL), Ifindex: index}); err != nil {
		return fmt.Errorf("bind: %w", err)
	}
	return nil
}

// hardware asks for the interface's ARPHRD_ type.
func (s *live) hardware(index int) (uint16, error) {
	if err := unix.Bind(s.fd, &unix.SockaddrLinklayer{Ifindex: index}); err != nil {
		return 0, fmt.Errorf("bind: %w", err)
	}
	sa, err := unix.Getsockname(s.fd)
	if err != nil {
		return 0, fmt.Errorf("ask for the type of the interface: %w", err)
	}
	ll, ok := sa.(*unix.SockaddrLinklayer)
	if !ok {
		return 0, errors.New("the packet socket has no link-layer address")
	}
	return ll.Hatype, nil
}

// attach gives the kernel its filter.
func (s *live) attach(opts LiveOptions) error {
	raw, err := filterProgram(opts, s.cooked)
	if err != nil {
		return fmt.Errorf("assemble the filter: %w", err)
	}
	prog := make([]unix.SockFilter, len(raw))
	for i, r := range raw {
		prog[i] = unix.SockFilter{Code: r.Op, Jt: r.Jt, Jf: r.Jf, K: r.K}
	}
	fprog := unix.SockFprog{Len: uint16(len(prog)), Filter: &prog[0]}
	if err := unix.SetsockoptSockFprog(s.fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &fprog); err != nil {
		return fmt.Errorf("attach the filter: %w", err)
	}
	return nil
}

func hostToNet(v uint16) uint16 {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], v)
	return binary.NativeEndian.Uint16(b[:])
}

// Frames yields frames until the context or the interface ends.
func (s *live) Frames() iter.Seq2[Frame, error] {
	return func(yield func(Frame, error) bool) {
		if s.began.Swap(true) {
			yield(Frame{}, errors.New("a capture source can be read only once"))
			return
		}
		if err := s.run(yield); err != nil {
			yield(Frame{}, fmt.Errorf("capture on %s: %w", s.name, err))
		}
	}
}

// run pumps the ring. It returns an error only where yield is still to be
// told of it.
func (s *live) run(yield func(Frame, error) bool) (err error) {
	stopped := false // the consumer has broken out: no one is left to be told
	defer func() {
		if e := s.sock.Close(); err == nil && !stopped {
			err = e
		}
	}()
	ring, err := unix.Mmap(s.fd, 0, ringBlock*ringBlocks, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("map the ring: %w", err)
	}
	defer func() {
		if e := unix.Munmap(ring); err == nil && !stopped {
			err = e
		}
	}()
	wake, err := newWaker(s.ctx)
	if err != nil {
		return err
	}
	defer wake.close()

	for at := 0; ; {
		// The kernel says in poll that a block is ours, which orders its
		// writes before our reads: no block is looked at without.
		ready, err := wake.wait(s.fd)
		if err != nil || !ready {
			return err
		}
		block := ring[at*ringBlock : (at+1)*ringBlock]
		if binary.NativeEndian.Uint32(block[8:])&unix.TP_STATUS_USER == 0 {
			time.Sleep(time.Millisecond) // never seen; not to spin if a kernel does it
			continue
		}
		if !s.block(block, yield) {
			stopped = true
			return nil
		}
		binary.NativeEndian.PutUint32(block[8:], unix.TP_STATUS_KERNEL)
		at = (at + 1) % ringBlocks
		st, err := unix.GetsockoptTpacketStatsV3(s.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS)
		if err != nil {
			return fmt.Errorf("read the kernel's counters: %w", err)
		}
		s.dropped.Add(int64(st.Drops)) // reading them sets them to 0
	}
}

// Offsets in the kernel's struct tpacket3_hdr, and of the address behind it.
const (
	hdrNext, hdrSec, hdrNsec, hdrSnap, hdrLen, hdrStatus = 0, 4, 8, 12, 16, 20
	hdrMac, hdrTCI, hdrTPID                              = 24, 32, 36
	hdrSize                                              = unix.SizeofTpacket3Hdr
	llProtocol, llIndex, llHardware, llKind, llLength    = 2, 4, 8, 10, 11
	llSize                                               = 20
)

// block yields the frames of one block, and says whether more are wanted.
func (s *live) block(b []byte, yield func(Frame, error) bool) bool {
	ne := binary.NativeEndian
	count, off := ne.Uint32(b[12:]), int(ne.Uint32(b[16:]))
	for range count {
		if off < 0 || off+hdrSize+llSize > len(b) {
			return true
		}
		h := b[off : off+hdrSize+llSize]
		from := off + int(ne.Uint16(h[hdrMac:]))
		to := from + int(ne.Uint32(h[hdrSnap:]))
		if to < from || to > len(b) {
			return true
		}
		ll := h[hdrSize:]
		if ll[llKind] != unix.PACKET_OUTGOING || !s.loopback[ne.Uint32(ll[llIndex:])] {
			f := s.build(h, ll, b[from:to])
			s.number++
			s.size += int64(len(f.Data))
			s.frames.Store(s.number)
			s.octets.Store(s.size)
			f.Number = s.number
			if !yield(f, nil) {
				return false
			}
		}
		next := int(ne.Uint32(h[hdrNext:]))
		if next <= 0 {
			return true
		}
		off += next
	}
	return true
}

// build makes a frame, with the VLAN tag back in its place. It copies: the
// ring is unmapped when the Source ends, and a consumer that held on to a
// frame too long must not crash.
func (s *live) build(h, ll, data []byte) Frame {
	ne := binary.NativeEndian
	f := Frame{
		Time:   time.Unix(int64(ne.Uint32(h[hdrSec:])), int64(ne.Uint32(h[hdrNsec:]))).UTC(),
		Link:   LinkEthernet,
		Length: int(ne.Uint32(h[hdrLen:])),
	}
	status := ne.Uint32(h[hdrStatus:])
	tci, tpid := uint16(ne.Uint32(h[hdrTCI:])), uint16(0x8100)
	tagged := status&unix.TP_STATUS_VLAN_VALID != 0
	if status&unix.TP_STATUS_VLAN_TPID_VALID != 0 {
		tpid = ne.Uint16(h[hdrTPID:])
	}
	be := binary.BigEndian
	b := s.frame[:0]
	switch {
	case s.cooked:
		f.Link = LinkSLL2
		protocol := be.Uint16(ll[llProtocol:])
		outer := protocol
		if tagged {
			outer = tpid
		}
		b = be.AppendUint16(b, outer)
		b = append(b, 0, 0)
		b = be.AppendUint32(b, ne.Uint32(ll[llIndex:]))
		b = be.AppendUint16(b, ne.Uint16(ll[llHardware:]))
		b = append(b, ll[llKind])
		b = append(b, ll[llLength:llSize]...)
		if tagged {
			b = be.AppendUint16(b, tci)
			b = be.AppendUint16(b, protocol)
		}
		f.Length += len(b)
		b = append(b, data...)
	case tagged && len(data) >= 12:
		b = append(b, data[:12]...)
		b = be.AppendUint16(b, tpid)
		b = be.AppendUint16(b, tci)
		b = append(b, data[12:]...)
		f.Length += 4
	default:
		b = append(b, data...)
	}
	s.frame, f.Data = b, b
	f.Length = max(f.Length, len(b))
	return f
}
