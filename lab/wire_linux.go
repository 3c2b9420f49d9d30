package lab

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"

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
	work.Go(func() { carry(ends[0], ends[1], func(frame []byte) [][]byte { return b.Scenario.Wire(true, frame) }) })
	work.Go(func() { carry(ends[1], ends[0], func(frame []byte) [][]byte { return b.Scenario.Wire(false, frame) }) })
	b.onClose(func() error {
		err := errors.Join(ends[0].Close(), ends[1].Close())
		work.Wait()
		return err
	})
	return nil
}

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

// carry carries frames until one end is closed.
func carry(from, to *os.File, wire func(frame []byte) [][]byte) {
	b := make([]byte, 1<<16)
	for {
		n, err := from.Read(b)
		if errors.Is(err, os.ErrClosed) {
			return
		}
		if err != nil {
			continue // the interface went down, which is told once
		}
		for _, frame := range wire(b[:n]) {
			_, _ = to.Write(frame) // a full queue loses it, as any wire does
		}
	}
}
