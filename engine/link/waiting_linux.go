package link

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// waiting is a socket on which reads wait in the kernel instead of in the
// runtime's poller. The poller is told of every packet that comes and of every
// one that has left, also while the reader is at work; at some hundred thousand
// packets a second that costs a good part of a core, and wakes threads that find
// nothing to do.
//
// Of the methods of net.Conn only LocalAddr works; x/net asks for the others by
// type alone.
type waiting struct {
	net.Conn
	file *os.File
	raw  syscall.RawConn
}

// awaiting makes a waiting socket of the one that a connection has. Until the
// connection is closed the poller still knows of it; nobody may read from it.
func awaiting(c net.Conn) (*waiting, error) {
	s, ok := c.(syscall.Conn)
	if !ok {
		return nil, fmt.Errorf("socket %v is none of the system's", c.LocalAddr())
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("socket %v: %w", c.LocalAddr(), err)
	}
	fd := -1
	var failed error
	err = raw.Control(func(old uintptr) {
		if fd, failed = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 0); failed == nil {
			failed = unix.SetNonblock(fd, false)
		}
	})
	if err = errors.Join(err, failed); err != nil {
		if fd >= 0 {
			err = errors.Join(err, unix.Close(fd))
		}
		return nil, fmt.Errorf("socket %v: %w", c.LocalAddr(), err)
	}
	w := &waiting{Conn: c, file: os.NewFile(uintptr(fd), "socket")}
	if w.raw, err = w.file.SyscallConn(); err != nil {
		return nil, errors.Join(err, w.file.Close())
	}
	return w, nil
}

// SyscallConn gives what x/net makes its system calls by.
func (w *waiting) SyscallConn() (syscall.RawConn, error) { return w.raw, nil }

// ReadFrom is there for net.PacketConn.
func (w *waiting) ReadFrom([]byte) (int, net.Addr, error) { return 0, nil, errors.ErrUnsupported }

// WriteTo is there for net.PacketConn.
func (w *waiting) WriteTo([]byte, net.Addr) (int, error) { return 0, errors.ErrUnsupported }

// Close gives the descriptor back.
func (w *waiting) Close() error { return w.file.Close() }

// wake ends the socket for all who have it: reads that wait return.
func (w *waiting) wake() error {
	// Of a socket without a peer it says that there is none, and wakes all the same.
	return w.raw.Control(func(fd uintptr) { _ = unix.Shutdown(int(fd), unix.SHUT_RDWR) })
}

// withPeers is a waiting socket whose messages have addresses: by this method
// x/net tells one of UDP.
type withPeers struct{ *waiting }

// ReadMsgUDP is there for the type.
func (withPeers) ReadMsgUDP(_, _ []byte) (n, oobn, flags int, addr *net.UDPAddr, err error) {
	return 0, 0, 0, nil, errors.ErrUnsupported
}

// withoutPeers is a waiting socket whose messages come without addresses, which
// saves making them: by this method x/net tells one of TCP.
type withoutPeers struct{ *waiting }

// SetLinger is there for the type.
func (withoutPeers) SetLinger(int) error { return errors.ErrUnsupported }
