package lab

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// layWire joins the ends through a namespace in which this process carries each
// frame from one cable to the other, as the scenario's Wire says.
func (b *Bench) layWire(ctx context.Context) error {
	middle, err := b.ns(ctx, "wire")
	if err != nil {
		return err
	}
	if err := b.join(ctx, b.NSA, middle, "wire-a"); err != nil {
		return err
	}
	if err := b.join(ctx, b.NSB, middle, "wire-b"); err != nil {
		return err
	}
	var ends [2]*os.File
	if err := middle.Do(func() error {
		for i, dev := range []string{"wire-a", "wire-b"} {
			if ends[i], err = tap(dev); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		if ends[0] != nil {
			err = errors.Join(err, ends[0].Close())
		}
		return fmt.Errorf("wire: %w", err)
	}
	var work sync.WaitGroup
	for i, fromA := range []bool{true, false} {
		late := b.Scenario.Latency
		if late == nil {
			late = func() time.Duration { return 0 }
		}
		road := make(chan underway, maxUnderway)
		work.Go(func() {
			defer close(road)
			carry(ends[i], road, late, func(frame []byte) [][]byte { return b.Scenario.Wire(fromA, frame) })
		})
		work.Go(func() { deliver(road, ends[1-i]) })
	}
	b.onClose(func() error {
		err := errors.Join(ends[0].Close(), ends[1].Close())
		work.Wait()
		return err
	})
	return nil
}

// underway is a frame and when it arrives.
type underway struct {
	frame []byte
	due   time.Time
}

// maxUnderway is how many frames may be on the way; more wait at its beginning.
const maxUnderway = 1024

// tap opens a socket for the frames that come in at an interface.
func tap(dev string) (*os.File, error) {
	i, err := net.InterfaceByName(dev)
	if err != nil {
		return nil, err
	}
	all := binary.NativeEndian.Uint16([]byte{unix.ETH_P_ALL >> 8, unix.ETH_P_ALL & 0xff})
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	err = unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1)
	if err == nil {
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 8<<20)
	}
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: i.Index})
	}
	if err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	return os.NewFile(uintptr(fd), dev), nil
}

// carry takes frames until their end is closed.
func carry(from *os.File, road chan<- underway, late func() time.Duration, wire func(frame []byte) [][]byte) {
	b := make([]byte, 1<<16)
	for {
		n, err := from.Read(b)
		if errors.Is(err, os.ErrClosed) {
			return
		}
		if err != nil {
			continue // the interface went down, which is told once
		}
		due := time.Now().Add(late())
		for _, frame := range wire(b[:n]) {
			road <- underway{bytes.Clone(frame), due}
		}
	}
}

// deliver hands each frame over when it is due.
func deliver(road <-chan underway, to *os.File) {
	for u := range road {
		time.Sleep(time.Until(u.due))
		_, _ = to.Write(u.frame) // a full queue loses it, as any wire does
	}
}
