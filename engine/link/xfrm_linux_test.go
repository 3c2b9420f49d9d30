package link

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink/nl"

	"github.com/cloudvlan/cvlanctl/engine/wire"
)

func TestAKernelWithoutESPSaysWhatIsMissing(t *testing.T) {
	p, err := OpenXFRM(XFRMOptions{Dir: t.TempDir()})
	if err == nil { // this one has it
		if err := p.kernel.close(true); err != nil {
			t.Error(err)
		}
		return
	}
	if text := err.Error(); !errors.Is(err, ErrNoKernelESP) || !strings.Contains(text, "esp4") && !strings.Contains(text, "xfrm_user") && !strings.Contains(text, "CAP_NET_ADMIN") {
		t.Errorf("%v: nothing that is missing is named", err)
	}
}

// xfrmMessage puts fields at their places in a message of the kernel.
func xfrmMessage(kind uint16, size int, at map[int][]byte) *syscall.NetlinkMessage {
	m := &syscall.NetlinkMessage{Data: make([]byte, size)}
	m.Header.Type = kind
	for i, b := range at {
		copy(m.Data[i:], b)
	}
	return m
}

func TestWhatTheKernelReportsIsRead(t *testing.T) {
	here := []byte{192, 0, 2, 1}
	family := []byte{2, 0} // of a struct in a machine's own order
	if native16(1) == 1 {
		family = []byte{0, 2}
	}
	template := nl.NewRtAttr(nl.XFRMA_TMPL, (&nl.XfrmUserTmpl{Reqid: 0x1230007}).Serialize()).Serialize()
	id := xfrmID{netip.MustParseAddr("192.0.2.1"), 0x1111}
	spi := []byte{0, 0, 0x11, 0x11}
	for _, row := range []struct {
		name string
		m    *syscall.NetlinkMessage
		want xfrmEvent
	}{
		// struct xfrm_usersa_info: id.daddr at 56, id.spi at 72, family at 212.
		{"soft expiry", xfrmMessage(nl.XFRM_MSG_EXPIRE, 232, map[int][]byte{56: here, 72: spi, 212: family}), xfrmEvent{kind: xfrmExpired, id: id}},
		{"hard expiry", xfrmMessage(nl.XFRM_MSG_EXPIRE, 232, map[int][]byte{56: here, 72: spi, 212: family, 224: {1}}), xfrmEvent{kind: xfrmExpired, id: id, hard: true}},
		// struct xfrm_user_mapping: id, reqid at 24, the addresses at 28 and 44, the ports at 60 and 62.
		{"a new mapping", xfrmMessage(nl.XFRM_MSG_MAPPING, 64, map[int][]byte{0: here, 16: spi, 20: family, 28: {9, 9, 9, 9}, 44: {192, 0, 2, 2}, 60: {1, 1}, 62: {0x79, 0x18}}),
			xfrmEvent{kind: xfrmMapping, id: id, from: netip.MustParseAddrPort("192.0.2.2:31000")}},
		// struct xfrm_user_acquire: 280 octets, then attributes.
		{"acquire", xfrmMessage(nl.XFRM_MSG_ACQUIRE, 280+len(template), map[int][]byte{280: template}), xfrmEvent{kind: xfrmAcquire, reqid: 0x1230007}},
	} {
		t.Run(row.name, func(t *testing.T) {
			if e, ok := readEvent(row.m); !ok || e != row.want {
				t.Errorf("%+v, %v", e, ok)
			}
			for n := range row.m.Data { // cut at every octet
				cut := &syscall.NetlinkMessage{Header: row.m.Header, Data: row.m.Data[:n]}
				if e, ok := readEvent(cut); ok && e != row.want {
					t.Fatalf("%d octets are read as %+v", n, e)
				}
			}
		})
	}
	if _, ok := readEvent(xfrmMessage(nl.XFRM_MSG_NEWSA, 232, nil)); ok {
		t.Error("a report of no use is told")
	}
}

func TestAStateOfTheKernelIsReadWithItsCounters(t *testing.T) {
	info := nl.XfrmUsersaInfo{Id: nl.XfrmId{Daddr: xfrmAddress(netip.MustParseAddr("2001:db8::1")), Spi: native32(0x2222)}, Family: 10, Reqid: 77,
		Curlft: nl.XfrmLifetimeCur{Bytes: 840, Packets: 10}, Stats: nl.XfrmStats{ReplayWindow: 1, Replay: 2, IntegrityFailed: 4}}
	b := append([]byte(nil), info.Serialize()...)
	b = append(b, nl.NewRtAttr(nl.XFRMA_LASTUSED, nl.Uint64Attr(1_700_000_000)).Serialize()...)
	b = append(b, nl.NewRtAttr(nl.XFRMA_REPLAY_ESN_VAL, []byte("window..")).Serialize()...)
	s, err := readState(b)
	if err != nil {
		t.Fatal(err)
	}
	if s.id != (xfrmID{netip.MustParseAddr("2001:db8::1"), wire.ESPSPI(0x2222)}) || s.reqid != 77 || s.use.Packets != 10 || s.use.Octets != 840 ||
		s.use.Replayed != 3 || s.use.Integrity != 4 || s.use.last.Unix() != 1_700_000_000 || string(s.replay) != "window.." {
		t.Errorf("%+v", s)
	}
	if _, err := readState(b[:100]); err == nil {
		t.Error("a state that was cut off is read")
	}
}

func TestNotesThatWereCutOffAreNotFollowed(t *testing.T) {
	l := readNotes("net:[1]\nroute 10.2.0.0/16\nreqids 19070976\nlarval 1\nsomething else\nroute nonsense\nroute 10.3.0.0/1")
	if got := fmt.Sprintln(l.routes, l.reqids, l.larval); got != "map[10.2.0.0/16:true] map[19070976:true] 1\n" {
		t.Error(got)
	}
}
