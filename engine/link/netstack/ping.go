package netstack

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"sync/atomic"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/waiter"
)

// pings numbers the echo requests of this process.
var pings atomic.Uint32

// echoHeader is the length of the header of an echo message.
const echoHeader = 8

// Ping sends an echo request with n octets of data and gives the time until
// its answer came.
func (s *Stack) Ping(ctx context.Context, to netip.Addr, n int) (time.Duration, error) {
	if n < 0 || n > 65535-echoHeader-40 {
		return 0, fmt.Errorf("ping with %d octets", n)
	}
	if s.ctx.Err() != nil {
		return 0, fmt.Errorf("ping of %s: %w", to, os.ErrClosed)
	}
	to = to.Unmap()
	transport := icmp.ProtocolNumber4
	request := make([]byte, echoHeader+n)
	request[0] = byte(header.ICMPv4Echo)
	if to.Is6() {
		transport = icmp.ProtocolNumber6
		request[0] = byte(header.ICMPv6EchoRequest)
	}
	for i := range n {
		request[echoHeader+i] = byte(i)
	}
	binary.BigEndian.PutUint16(request[6:], uint16(pings.Add(1)))
	var queue waiter.Queue
	ep, failed := s.stack.NewEndpoint(transport, protocol(to), &queue)
	if failed != nil {
		return 0, s.refused(failed, "ping of %s", to)
	}
	defer ep.Close()
	wait, notify := waiter.NewChannelEntry(waiter.ReadableEvents)
	queue.EventRegister(&wait)
	defer queue.EventUnregister(&wait)
	if own := s.source(to); own.IsValid() {
		if failed := ep.Bind(tcpip.FullAddress{NIC: nic, Addr: tcpip.AddrFromSlice(own.AsSlice())}); failed != nil {
			return 0, s.refused(failed, "ping of %s from %s", to, own)
		}
	}
	if failed := ep.Connect(tcpip.FullAddress{NIC: nic, Addr: tcpip.AddrFromSlice(to.AsSlice())}); failed != nil {
		return 0, s.refused(failed, "ping of %s", to)
	}
	sent := time.Now()
	if _, failed := ep.Write(bytes.NewReader(request), tcpip.WriteOptions{}); failed != nil {
		return 0, s.refused(failed, "ping of %s with %d octets", to, n)
	}
	for {
		var answer bytes.Buffer
		_, failed := ep.Read(&answer, tcpip.ReadOptions{})
		if b := answer.Bytes(); failed == nil && len(b) == len(request) && bytes.Equal(b[6:], request[6:]) {
			return time.Since(sent), nil
		}
		if _, empty := failed.(*tcpip.ErrWouldBlock); failed != nil && !empty {
			return 0, s.refused(failed, "ping of %s", to)
		}
		if failed == nil {
			continue
		}
		select {
		case <-notify:
		case <-s.ctx.Done():
			return 0, fmt.Errorf("ping of %s: %w", to, os.ErrClosed)
		case <-ctx.Done():
			return 0, fmt.Errorf("ping of %s: no answer within %s: %w", to, time.Since(sent).Round(time.Millisecond), ctx.Err())
		}
	}
}

// refused is the error of what the stack does not do. One that is closed
// meanwhile refuses in words of its own, which differ by what it was doing.
func (s *Stack) refused(failed tcpip.Error, format string, args ...any) error {
	what := fmt.Sprintf(format, args...)
	if s.ctx.Err() != nil {
		return fmt.Errorf("%s: %w", what, os.ErrClosed)
	}
	return fmt.Errorf("%s: %s", what, failed)
}
