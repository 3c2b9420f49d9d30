package lab

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// ListenUDP opens a UDP socket in the namespace. The socket stays there; the
// caller's goroutine does not.
func (ns *NS) ListenUDP(address string) (conn *net.UDPConn, err error) {
	addr, err := net.ResolveUDPAddr("udp", address)
	if err != nil {
		return nil, fmt.Errorf("address of socket: %w", err)
	}
	err = ns.Do(func() error {
		conn, err = net.ListenUDP("udp", addr)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("socket in namespace %s: %w", ns.Name, err)
	}
	return conn, nil
}

// Do runs f in the namespace and waits for it. Sockets that f opens stay there;
// goroutines that it starts need not.
func (ns *NS) Do(f func() error) error {
	// A thread belongs to one namespace: this goroutine keeps its thread until
	// it is back home. If it cannot get back, the thread stays locked and ends
	// with the goroutine.
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		done <- ns.visit(f)
	}()
	return <-done
}

// visit runs f in the namespace on the calling thread, which must be locked,
// and unlocks it once it is back.
func (ns *NS) visit(f func() error) (err error) {
	home, err := os.Open(fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid()))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, home.Close()) }()
	there, err := os.Open("/run/netns/" + ns.Name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, there.Close()) }()
	if err := unix.Setns(int(there.Fd()), unix.CLONE_NEWNET); err != nil {
		return err
	}
	err = f()
	if back := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); back != nil {
		return errors.Join(err, back)
	}
	runtime.UnlockOSThread()
	return err
}
