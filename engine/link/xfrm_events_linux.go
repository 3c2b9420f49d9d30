package link

import (
	"errors"
	"net/netip"
	"syscall"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// xfrmEvents is a subscription to what the kernel reports of SAs.
type xfrmEvents struct{ socket *nl.NetlinkSocket }

// openXFRMEvents subscribes in the network namespace of the calling thread.
func openXFRMEvents() (*xfrmEvents, error) {
	s, err := nl.Subscribe(unix.NETLINK_XFRM, nl.XFRMNLGRP_ACQUIRE, nl.XFRMNLGRP_EXPIRE, nl.XFRMNLGRP_MAPPING)
	if err != nil {
		return nil, err
	}
	_ = s.SetReceiveBufferSize(socketRoom, true) // with less, more may be missed
	return &xfrmEvents{s}, nil
}

func (x *xfrmEvents) close() { x.socket.Close() }

// watch calls f with what comes until the subscription is closed. What came too
// fast is lost: soft expiry is followed by hard expiry, an acquire by another.
func (x *xfrmEvents) watch(f func(xfrmEvent)) {
	for {
		messages, from, err := x.socket.Receive()
		if errors.Is(err, unix.ENOBUFS) || errors.Is(err, unix.EINTR) || errors.Is(err, unix.EAGAIN) {
			continue
		}
		if err != nil {
			return
		}
		if from.Pid != nl.PidKernel {
			continue
		}
		for i := range messages {
			if e, ok := readEvent(&messages[i]); ok {
				f(e)
			}
		}
	}
}

// The layout of the kernel's struct xfrm_user_mapping and struct
// xfrm_user_acquire, in octets.
const (
	mappingNewAddress = nl.SizeofXfrmUsersaId + 4 + nl.SizeofXfrmAddress
	mappingNewPort    = mappingNewAddress + nl.SizeofXfrmAddress + 2
	sizeofMapping     = mappingNewPort + 2
	sizeofAcquire     = nl.SizeofXfrmId + nl.SizeofXfrmAddress + nl.SizeofXfrmSelector + nl.SizeofXfrmUserpolicyInfo + 16
)

// readEvent reads a message, false for one that tells nothing of use.
func readEvent(m *syscall.NetlinkMessage) (e xfrmEvent, ok bool) {
	b := m.Data
	switch {
	case m.Header.Type == nl.XFRM_MSG_EXPIRE && len(b) >= nl.SizeofXfrmUserExpire:
		x := nl.DeserializeXfrmUserExpire(b)
		s := &x.XfrmUsersaInfo
		return xfrmEvent{kind: xfrmExpired, id: xfrmID{addressOf(s.Id.Daddr, s.Family), wire.ESPSPI(native32(s.Id.Spi))}, hard: x.Hard != 0}, true
	case m.Header.Type == nl.XFRM_MSG_MAPPING && len(b) >= sizeofMapping:
		id := nl.DeserializeXfrmUsersaId(b)
		address := addressOf(nl.XfrmAddress(b[mappingNewAddress:][:nl.SizeofXfrmAddress]), id.Family)
		port := uint16(b[mappingNewPort])<<8 | uint16(b[mappingNewPort+1])
		return xfrmEvent{kind: xfrmMapping, id: xfrmID{addressOf(id.Daddr, id.Family), wire.ESPSPI(native32(id.Spi))}, from: netip.AddrPortFrom(address, port)}, true
	case m.Header.Type == nl.XFRM_MSG_ACQUIRE && len(b) >= sizeofAcquire:
		e = xfrmEvent{kind: xfrmAcquire, reqid: templateReqid(b[sizeofAcquire:])}
		return e, e.reqid != 0
	}
	return e, false
}
