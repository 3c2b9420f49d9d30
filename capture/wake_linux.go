package capture

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// waker waits for the ring and for the context at once.
type waker struct {
	file   *os.File // an eventfd that the end of the context makes readable
	fd     int
	stop   func() bool
	ending bool
	until  time.Time // when ending: how long the kernel is given
}

func newWaker(ctx context.Context) (*waker, error) {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("make an eventfd: %w", err)
	}
	w := &waker{file: os.NewFile(uintptr(fd), "eventfd"), fd: fd}
	w.stop = context.AfterFunc(ctx, func() {
		// It fails only where the capture is over already.
		_, _ = w.file.Write(binary.NativeEndian.AppendUint64(nil, 1))
	})
	return w, nil
}

func (w *waker) close() {
	w.stop()
	_ = w.file.Close() // holds nothing that could be lost
}

// wait returns true when the ring has a block, and false when the context has
// ended and the kernel has handed over what it had.
func (w *waker) wait(sock int) (bool, error) {
	for {
		fds := []unix.PollFd{{Fd: int32(sock), Events: unix.POLLIN}, {Fd: int32(w.fd), Events: unix.POLLIN}}
		timeout := -1
		if w.ending {
			fds = fds[:1]
			left := time.Until(w.until)
			if left <= 0 {
				return false, nil // more keeps coming: it is not for us
			}
			timeout = int(left/time.Millisecond) + 1
		}
		n, err := unix.Poll(fds, timeout)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return false, fmt.Errorf("wait for frames: %w", err)
		case fds[0].Revents&unix.POLLIN != 0:
			return true, nil
		case fds[0].Revents != 0:
			return false, socketError(sock)
		case n == 0:
			return false, nil
		}
		w.ending, w.until = true, time.Now().Add(2*ringWait)
	}
}

// socketError asks what is wrong with a socket: the interface went down.
func socketError(sock int) error {
	code, err := unix.GetsockoptInt(sock, unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		return fmt.Errorf("ask for the socket's error: %w", err)
	}
	if code == 0 {
		return errors.New("the packet socket was closed")
	}
	return unix.Errno(code)
}
