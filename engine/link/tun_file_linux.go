package link

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// tunFile is the file of a TUN device, whose reader waits in the kernel instead
// of in the runtime's poller, for the reason that waiting gives. A read that
// finds nothing fails with EAGAIN; wait then waits for more.
type tunFile struct {
	*os.File
	raw  syscall.RawConn
	end  *os.File // an eventfd that ends a wait
	over syscall.RawConn
	fds  [2]unix.PollFd
}

// openTUNFile makes a TUN device, whose name may be a pattern with %d.
func openTUNFile(name string) (f *tunFile, err error) {
	const clone = "/dev/net/tun"
	fd, err := unix.Open(clone, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: clone, Err: err}
	}
	// While reads block the file stays out of the poller.
	f = &tunFile{File: os.NewFile(uintptr(fd), clone)}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.File.Close())
		}
	}()
	request, err := unix.NewIfreq(name)
	if err != nil {
		return nil, err
	}
	request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, request); err != nil {
		return nil, os.NewSyscallError("TUNSETIFF", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	if f.raw, err = f.SyscallConn(); err != nil {
		return nil, err
	}
	event, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("eventfd", err)
	}
	f.end = os.NewFile(uintptr(event), "eventfd")
	if f.over, err = f.end.SyscallConn(); err != nil {
		return nil, errors.Join(err, f.end.Close())
	}
	return f, nil
}

// wait waits until there is something to read, or an error to be read. It gives
// os.ErrClosed once nothing will come any more. One goroutine at a time waits.
func (f *tunFile) wait() error {
	var ended, failed error
	// Both descriptors stay what they are while the call uses them.
	err := f.raw.Control(func(fd uintptr) {
		ended = f.over.Control(func(end uintptr) {
			f.fds = [2]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}, {Fd: int32(end), Events: unix.POLLIN}}
			_, failed = unix.Poll(f.fds[:], -1)
		})
	})
	switch {
	case err != nil || ended != nil: // of a file that was closed
		return os.ErrClosed
	case errors.Is(failed, unix.EINTR):
		return nil
	}
	return os.NewSyscallError("poll", failed)
}

// wake ends a wait, and those that would come.
func (f *tunFile) wake() error {
	_, err := f.end.Write([]byte{7: 1})
	if err != nil {
		err = fmt.Errorf("the reader of the TUN device: %w", err)
	}
	return errors.Join(err, f.end.Close())
}
