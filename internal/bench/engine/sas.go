package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/cloudvlan/cvlanctl/engine/esp"
	"github.com/cloudvlan/cvlanctl/engine/ike"
	"github.com/cloudvlan/cvlanctl/engine/suite"
)

// sas are the ESP SAs of an end of ours, ready to carry packets: what a data
// plane makes and keeps of each child. The charon beside us makes and keeps the
// same in its own process.
type sas map[ike.SPIPair]*child

type child struct {
	in  *esp.In
	out *esp.Out
}

// follow does what the engine orders, before the peer hears of it.
func (s sas) follow(o *ike.Output) {
	for i := range o.Updates {
		u := &o.Updates[i]
		switch u.Kind {
		case ike.Install:
			c, err := newChild(u)
			if err != nil {
				// The engine and its data plane do not go together: no figure would count.
				fmt.Fprintln(os.Stderr, "bench: ESP SA:", err)
				os.Exit(1)
			}
			s[u.SPIs] = c
		case ike.Remove:
			delete(s, u.SPIs)
		}
	}
}

func newChild(u *ike.Update) (*child, error) {
	cipherOf := func(k ike.ESPKeys) (*suite.ESPCipher, error) {
		return suite.NewESP(u.Transforms.EncrID, u.Transforms.EncrBits, u.Transforms.IntegID, k.Encr, k.Integ, u.Transforms.ESN)
	}
	in, errIn := cipherOf(u.In)
	out, errOut := cipherOf(u.Out)
	if err := errors.Join(errIn, errOut); err != nil {
		return nil, err
	}
	c := &child{}
	c.in, errIn = esp.NewIn(esp.Config{SPI: u.SPIs.In, Cipher: in, Src: u.RemoteTS, Dst: u.LocalTS})
	c.out, errOut = esp.NewOut(esp.Config{SPI: u.SPIs.Out, Cipher: out, Src: u.LocalTS, Dst: u.RemoteTS})
	return c, errors.Join(errIn, errOut)
}
