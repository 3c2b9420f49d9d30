package lab

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
)

// Forward serves a Unix socket whose connections go on to a TCP address as a
// namespace reaches it: a daemon in a guest is spoken to as one on this kernel.
// The caller calls stop when it needs the socket no more.
func Forward(ns *NS, address, socket string) (stop func() error, err error) {
	l, err := net.Listen("unix", socket)
	if err != nil {
		return nil, fmt.Errorf("socket of %s: %w", address, err)
	}
	var work sync.WaitGroup
	work.Go(func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return // it was closed
			}
			work.Go(func() { passOn(ns, address, near) })
		}
	})
	return func() error {
		err := l.Close()
		work.Wait()
		if err := os.Remove(socket); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("socket of %s: %w", address, err)
		}
		return err
	}, nil
}

// passOn joins a connection to one that it makes, until either side ends. What
// goes wrong the near side sees as an end.
func passOn(ns *NS, address string, near net.Conn) {
	var far net.Conn
	err := ns.Do(func() (err error) {
		far, err = net.Dial("tcp", address)
		return err
	})
	if err != nil {
		_ = near.Close()
		return
	}
	var both sync.WaitGroup
	for _, way := range [][2]net.Conn{{near, far}, {far, near}} {
		both.Go(func() {
			_, _ = io.Copy(way[0], way[1])
			_, _ = way[0].Close(), way[1].Close()
		})
	}
	both.Wait()
}
