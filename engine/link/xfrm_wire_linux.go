package link

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/cloudvlan/cvlanctl/engine/ike"
	"github.com/cloudvlan/cvlanctl/engine/suite"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// xfrmSocket asks and orders of the kernel's SAs and policies. It is safe for
// concurrent use.
type xfrmSocket struct {
	socket *nl.NetlinkSocket
	handle map[int]*nl.SocketHandle
}

// openXFRMSocket opens one in the network namespace of the calling thread.
func openXFRMSocket() (*xfrmSocket, error) {
	s, err := nl.Subscribe(unix.NETLINK_XFRM)
	if errors.Is(err, unix.EPROTONOSUPPORT) {
		return nil, fmt.Errorf("%w: this kernel has no interface to it (CONFIG_XFRM_USER, module xfrm_user): load the module, or use '--data tun', which does ESP in user space", ErrNoKernelESP)
	}
	if err != nil {
		return nil, fmt.Errorf("socket to the kernel's SAs: %w", err)
	}
	wait := unix.Timeval{Sec: 10}
	_ = s.SetSendTimeout(&wait) // neither of them fails
	_ = s.SetReceiveTimeout(&wait)
	return &xfrmSocket{s, map[int]*nl.SocketHandle{unix.NETLINK_XFRM: {Socket: s}}}, nil
}

func (x *xfrmSocket) close() { x.socket.Close() }

// request sends a message and gives the messages of a kind that answer it.
func (x *xfrmSocket) request(kind, flags int, answer uint16, data ...nl.NetlinkRequestData) ([][]byte, error) {
	r := nl.NewNetlinkRequest(kind, flags)
	r.Sockets = x.handle
	for _, d := range data {
		r.AddData(d)
	}
	return r.Execute(unix.NETLINK_XFRM, answer)
}

// probe looks whether the kernel does ESP between addresses of a family, by an
// SA of no use that it removes again.
func (x *xfrmSocket) probe(loopback netip.Addr) error {
	modules := "CONFIG_INET_ESP, module esp4"
	if loopback.Is6() {
		modules = "CONFIG_INET6_ESP, module esp6"
	}
	key := suite.NewSecret(make([]byte, 20))
	s := xfrmState{spi: 0x100 + wire.ESPSPI(time.Now().UnixNano()&0xffffff), src: loopback, dst: loopback, window: 32, reqid: 1}
	s.aead = xfrmAlgorithm{"rfc4106(gcm(aes))", key, 128}
	err := x.putState(&s, nil, false)
	if errors.Is(err, unix.ENOSYS) { // no AES-GCM, but perhaps ESP
		s.aead = xfrmAlgorithm{}
		s.crypt, s.auth = xfrmAlgorithm{name: "cbc(aes)", key: suite.NewSecret(make([]byte, 16))}, xfrmAlgorithm{"hmac(sha1)", key, 96}
		err = x.putState(&s, nil, false)
	}
	switch {
	case err == nil:
		return x.deleteState(s.id())
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("%w for this process: it needs root, or CAP_NET_ADMIN", ErrNoKernelESP)
	case errors.Is(err, unix.EPROTONOSUPPORT), errors.Is(err, unix.EAFNOSUPPORT):
		return fmt.Errorf("%w: this kernel cannot do it (%s): load the module, or use '--data tun', which does ESP in user space", ErrNoKernelESP, modules)
	case errors.Is(err, unix.ENOSYS):
		return fmt.Errorf("%w: this kernel has neither AES-GCM nor AES-CBC for it, as one without ESP (%s, and with it the crypto modules gcm, cbc, hmac): load the modules, or use '--data tun', which does ESP in user space", ErrNoKernelESP, modules)
	}
	return err
}

// native16 gives a number as the octets of its big-endian form lie in memory.
func native16(v uint16) uint16 {
	return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, v))
}

func native32(v uint32) uint32 {
	return binary.NativeEndian.Uint32(binary.BigEndian.AppendUint32(nil, v))
}

func xfrmAddress(a netip.Addr) (x nl.XfrmAddress) {
	copy(x[:], a.AsSlice())
	return x
}

func addressOf(x nl.XfrmAddress, family uint16) netip.Addr {
	if family == unix.AF_INET {
		return netip.AddrFrom4([4]byte(x[:4]))
	}
	return netip.AddrFrom16(x)
}

func familyOf(a netip.Addr) uint16 {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

func modeOf(transport bool) uint8 {
	const modeTransport, modeTunnel = 0, 1
	if transport {
		return modeTransport
	}
	return modeTunnel
}

func lifetime(l ike.Limits) nl.XfrmLifetimeCfg {
	or := func(n uint64) uint64 {
		if n == 0 {
			return nl.XFRM_INF
		}
		return n
	}
	return nl.XfrmLifetimeCfg{SoftByteLimit: or(l.SoftOctets), HardByteLimit: or(l.HardOctets), SoftPacketLimit: or(l.SoftPackets), HardPacketLimit: or(l.HardPackets)}
}

// putState adds a state, or changes the ports of one. Stands is what another
// one was that it takes the place of, nil for none.
func (x *xfrmSocket) putState(s *xfrmState, stands *xfrmStanding, update bool) error {
	info := &nl.XfrmUsersaInfo{Id: nl.XfrmId{Daddr: xfrmAddress(s.dst), Spi: native32(uint32(s.spi)), Proto: unix.IPPROTO_ESP},
		Saddr: xfrmAddress(s.src), Lft: lifetime(s.limits), Reqid: s.reqid, Family: familyOf(s.dst), Mode: modeOf(s.transport)}
	if !s.transport {
		info.Flags |= nl.XFRM_STATE_AF_UNSPEC // it carries packets of either version
	}
	if s.esn {
		info.Flags |= nl.XFRM_STATE_ESN
	}
	data := []nl.NetlinkRequestData{info}
	add := func(kind int, b []byte) { data = append(data, nl.NewRtAttr(kind, b)) }
	name := func(a *xfrmAlgorithm) (n [64]byte) { copy(n[:], a.name); return n }
	if a := &s.aead; a.name != "" {
		add(nl.XFRMA_ALG_AEAD, (&nl.XfrmAlgoAEAD{AlgName: name(a), AlgKeyLen: uint32(a.key.Len() * 8), AlgICVLen: uint32(a.icv), AlgKey: a.key.Reveal()}).Serialize())
	}
	if a := &s.crypt; a.name != "" {
		add(nl.XFRMA_ALG_CRYPT, (&nl.XfrmAlgo{AlgName: name(a), AlgKeyLen: uint32(a.key.Len() * 8), AlgKey: a.key.Reveal()}).Serialize())
	}
	if a := &s.auth; a.name != "" {
		add(nl.XFRMA_ALG_AUTH_TRUNC, (&nl.XfrmAlgoAuth{AlgName: name(a), AlgKeyLen: uint32(a.key.Len() * 8), AlgTruncLen: uint32(a.icv), AlgKey: a.key.Reveal()}).Serialize())
	}
	if s.encap {
		add(nl.XFRMA_ENCAP, (&nl.XfrmEncapTmpl{EncapType: unix.UDP_ENCAP_ESPINUDP, EncapSport: native16(s.srcPort), EncapDport: native16(s.dstPort)}).Serialize())
	}
	if stands != nil && stands.replay != nil {
		add(nl.XFRMA_REPLAY_ESN_VAL, stands.replay)
		add(nl.XFRMA_LTIME_VAL, stands.lifetime.Serialize())
	} else {
		add(nl.XFRMA_REPLAY_ESN_VAL, (&nl.XfrmReplayStateEsn{BmpLen: uint32((s.window + 31) / 32), ReplayWindow: uint32(s.window)}).Serialize())
	}
	kind := nl.XFRM_MSG_NEWSA
	if update {
		kind = nl.XFRM_MSG_UPDSA
	}
	_, err := x.request(kind, unix.NLM_F_CREATE|unix.NLM_F_EXCL|unix.NLM_F_ACK, 0, data...)
	switch {
	case errors.Is(err, unix.ENOSYS), errors.Is(err, unix.ENOENT):
		return fmt.Errorf("SA %s to %s: this kernel has no %s for ESP, or cannot load its module: choose another suite, or '--data tun', which does ESP in user space: %w", s.spi, s.dst, s.words(), err)
	case err != nil:
		return fmt.Errorf("SA %s to %s with %s: %w", s.spi, s.dst, s.words(), err)
	}
	return nil
}

func xfrmUsersaID(id xfrmID) *nl.XfrmUsersaId {
	return &nl.XfrmUsersaId{Daddr: xfrmAddress(id.dst), Spi: native32(uint32(id.spi)), Family: familyOf(id.dst), Proto: unix.IPPROTO_ESP}
}

// deleteState removes a state, unless it is gone.
func (x *xfrmSocket) deleteState(id xfrmID) error {
	_, err := x.request(nl.XFRM_MSG_DELSA, unix.NLM_F_ACK, 0, xfrmUsersaID(id))
	if err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("removing SA %s to %s: %w", id.spi, id.dst, err)
	}
	return nil
}

// xfrmStanding is a state as the kernel shows it.
type xfrmStanding struct {
	id       xfrmID
	reqid    uint32
	use      xfrmUse
	lifetime nl.XfrmLifetimeCur
	replay   []byte // its window, as it is given back
}

func readState(b []byte) (*xfrmStanding, error) {
	if len(b) < nl.SizeofXfrmUsersaInfo {
		return nil, fmt.Errorf("an SA of %d octets, where the kernel's have %d", len(b), nl.SizeofXfrmUsersaInfo)
	}
	info := nl.DeserializeXfrmUsersaInfo(b)
	s := &xfrmStanding{id: xfrmID{addressOf(info.Id.Daddr, info.Family), wire.ESPSPI(native32(info.Id.Spi))}, reqid: info.Reqid, lifetime: info.Curlft}
	s.use.Packets, s.use.Octets = info.Curlft.Packets, info.Curlft.Bytes
	s.use.Replayed, s.use.Integrity = uint64(info.Stats.ReplayWindow)+uint64(info.Stats.Replay), uint64(info.Stats.IntegrityFailed)
	attrs, err := nl.ParseRouteAttr(b[nl.SizeofXfrmUsersaInfo:])
	if err != nil {
		return nil, err
	}
	for _, a := range attrs {
		switch a.Attr.Type {
		case nl.XFRMA_REPLAY_ESN_VAL:
			s.replay = append([]byte(nil), a.Value...)
		case nl.XFRMA_LASTUSED:
			if len(a.Value) >= 8 {
				s.use.last = time.Unix(int64(binary.NativeEndian.Uint64(a.Value)), 0)
			}
		}
	}
	return s, nil
}

func (x *xfrmSocket) getState(id xfrmID) (*xfrmStanding, error) {
	b, err := x.request(nl.XFRM_MSG_GETSA, unix.NLM_F_ACK, nl.XFRM_MSG_NEWSA, xfrmUsersaID(id))
	if err == nil && len(b) != 1 {
		err = fmt.Errorf("%d answers", len(b))
	}
	if err != nil {
		return nil, fmt.Errorf("SA %s to %s: %w", id.spi, id.dst, err)
	}
	return readState(b[0])
}

// states calls f with all states of ESP.
func (x *xfrmSocket) states(f func(*xfrmStanding)) error {
	all, err := x.request(nl.XFRM_MSG_GETSA, unix.NLM_F_DUMP, nl.XFRM_MSG_NEWSA)
	if err != nil {
		return fmt.Errorf("list of SAs: %w", err)
	}
	for _, b := range all {
		s, err := readState(b)
		if err != nil {
			return err
		}
		f(s)
	}
	return nil
}

func xfrmSelectorOf(s *xfrmSelector) nl.XfrmSelector {
	return nl.XfrmSelector{Daddr: xfrmAddress(s.dst.Addr()), Saddr: xfrmAddress(s.src.Addr()),
		Dport: native16(s.dstPort.value), DportMask: native16(s.dstPort.mask), Sport: native16(s.srcPort.value), SportMask: native16(s.srcPort.mask),
		Family: familyOf(s.dst.Addr()), PrefixlenD: uint8(s.dst.Bits()), PrefixlenS: uint8(s.src.Bits()), Proto: s.protocol}
}

// putPolicy adds a policy, or replaces one.
func (x *xfrmSocket) putPolicy(k xfrmKey, p *xfrmPolicy, there bool) error {
	info := &nl.XfrmUserpolicyInfo{Sel: xfrmSelectorOf(&k.selector), Lft: lifetime(ike.Limits{}), Priority: k.priority(p), Dir: uint8(k.direction)}
	all := ^uint32(0)
	t := nl.XfrmUserTmpl{XfrmId: nl.XfrmId{Daddr: xfrmAddress(p.dst), Spi: native32(uint32(p.spi)), Proto: unix.IPPROTO_ESP}, Family: familyOf(p.dst),
		Saddr: xfrmAddress(p.src), Reqid: p.reqid, Mode: modeOf(p.transport), Aalgos: all, Ealgos: all, Calgos: all}
	kind := nl.XFRM_MSG_NEWPOLICY
	if there {
		kind = nl.XFRM_MSG_UPDPOLICY
	}
	if _, err := x.request(kind, unix.NLM_F_CREATE|unix.NLM_F_EXCL|unix.NLM_F_ACK, 0, info, nl.NewRtAttr(nl.XFRMA_TMPL, t.Serialize())); err != nil {
		return fmt.Errorf("%s: %w", k, err)
	}
	return nil
}

// deletePolicy removes a policy, unless it is gone.
func (x *xfrmSocket) deletePolicy(k xfrmKey) error {
	_, err := x.request(nl.XFRM_MSG_DELPOLICY, unix.NLM_F_ACK, 0, &nl.XfrmUserpolicyId{Sel: xfrmSelectorOf(&k.selector), Dir: uint8(k.direction)})
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("removing %s: %w", k, err)
	}
	return nil
}

// templateReqid gives the number in the first template of a list.
func templateReqid(attrs []byte) uint32 {
	list, err := nl.ParseRouteAttr(attrs)
	if err != nil {
		return 0
	}
	for _, a := range list {
		if a.Attr.Type == nl.XFRMA_TMPL && len(a.Value) >= nl.SizeofXfrmUserTmpl {
			return nl.DeserializeXfrmUserTmpl(a.Value).Reqid
		}
	}
	return 0
}

// clearXFRM removes the states and policies with numbers of some bases, in the
// network namespace of the calling thread.
func clearXFRM(bases map[uint32]bool) error {
	x, err := openXFRMSocket()
	if errors.Is(err, ErrNoKernelESP) {
		return nil // there can be none
	}
	if err != nil {
		return err
	}
	defer x.close()
	policies, err := x.request(nl.XFRM_MSG_GETPOLICY, unix.NLM_F_DUMP, nl.XFRM_MSG_NEWPOLICY)
	if err != nil {
		return fmt.Errorf("policies left by an earlier run: %w", err)
	}
	var all error
	for _, b := range policies {
		if len(b) < nl.SizeofXfrmUserpolicyInfo || !bases[templateReqid(b[nl.SizeofXfrmUserpolicyInfo:])&^0xffff] {
			continue
		}
		info := nl.DeserializeXfrmUserpolicyInfo(b)
		if _, err := x.request(nl.XFRM_MSG_DELPOLICY, unix.NLM_F_ACK, 0, &nl.XfrmUserpolicyId{Sel: info.Sel, Dir: info.Dir}); err != nil && !errors.Is(err, unix.ENOENT) {
			all = errors.Join(all, fmt.Errorf("removing a policy left by an earlier run: %w", err))
		}
	}
	err = x.states(func(s *xfrmStanding) {
		if bases[s.reqid&^0xffff] && s.id.spi != 0 {
			all = errors.Join(all, x.deleteState(s.id))
		}
	})
	return errors.Join(all, err)
}

// bypass exempts a socket from all policies.
func bypass(fd int, six bool) error {
	level, option, family := unix.IPPROTO_IP, unix.IP_XFRM_POLICY, uint16(unix.AF_INET)
	if six {
		level, option, family = unix.IPPROTO_IPV6, unix.IPV6_XFRM_POLICY, unix.AF_INET6
	}
	for _, d := range []xfrmDirection{xfrmIn, xfrmOut} {
		info := &nl.XfrmUserpolicyInfo{Sel: nl.XfrmSelector{Family: family}, Lft: lifetime(ike.Limits{}), Dir: uint8(d)}
		if err := unix.SetsockoptString(fd, level, option, string(info.Serialize())); err != nil {
			return os.NewSyscallError("setsockopt", err)
		}
	}
	return nil
}
