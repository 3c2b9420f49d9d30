package lab

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"

	"golang.org/x/sys/unix"
)

// mark sends a frame that there is once only out of an interface, and gives it.
// Whoever listens there sees it behind all that passed before.
func (ns *NS) mark(dev string) ([]byte, error) {
	frame := make([]byte, 60) // the shortest
	binary.BigEndian.PutUint16(frame[12:], markType)
	_, _ = rand.Read(frame[14:]) // never fails
	if err := ns.Do(func() (err error) {
		i, err := net.InterfaceByName(dev)
		if err != nil {
			return err
		}
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, unix.Close(fd)) }()
		return unix.Sendto(fd, frame, 0, &unix.SockaddrLinklayer{Ifindex: i.Index, Halen: 6})
	}); err != nil {
		return nil, fmt.Errorf("mark in the capture of %s: %w", dev, err)
	}
	return frame, nil
}
