package interop_test

import (
	"context"
	"encoding/hex"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/ike"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// kernelSA is one ESP SA of the guest's kernel.
type kernelSA struct {
	to          netip.Addr
	spi         wire.ESPSPI
	encr, integ string // keys in hex
	encap       bool
}

var kernelSARE = regexp.MustCompile(`(?m)^src (\S+) dst (\S+)\n\s+proto esp spi 0x([0-9a-f]+) `)

// kernel gives the ESP SAs of the guest's kernel, but for those whose keys
// have not come yet.
func (r *gatewayRig) kernel(ctx context.Context) ([]kernelSA, error) {
	out, err := r.guest.Exec(ctx, "ip", "xfrm", "state")
	if err != nil {
		return nil, err
	}
	var list []kernelSA
	starts := append(kernelSARE.FindAllStringSubmatchIndex(out, -1), []int{len(out)})
	for i, m := range starts[:len(starts)-1] {
		text := out[m[0]:starts[i+1][0]]
		to, err := netip.ParseAddr(out[m[4]:m[5]])
		if err != nil {
			return nil, fmt.Errorf("address in the guest's kernel: %w", err)
		}
		spi, err := strconv.ParseUint(out[m[6]:m[7]], 16, 32)
		if err != nil {
			return nil, fmt.Errorf("SPI in the guest's kernel: %w", err)
		}
		sa := kernelSA{to: to, spi: wire.ESPSPI(spi), encap: strings.Contains(text, "\tencap ")}
		for line := range strings.Lines(text) {
			switch f := strings.Fields(line); {
			case len(f) >= 3 && (f[0] == "aead" || f[0] == "enc"):
				sa.encr = strings.TrimPrefix(f[2], "0x")
			case len(f) >= 3 && strings.HasPrefix(f[0], "auth"):
				sa.integ = strings.TrimPrefix(f[2], "0x")
			}
		}
		if sa.encr != "" || sa.integ != "" {
			list = append(list, sa)
		}
	}
	return list, nil
}

// differs says in what our children and the guest's kernel differ, "" in
// nothing.
func (p *pair) differs(ours *engine.IKESA, states []kernelSA, n int) string {
	if len(ours.Children) != n || len(states) != 2*n {
		return fmt.Sprintf("%d children here, %d SAs in the guest's kernel, want %d and %d", len(ours.Children), len(states), n, 2*n)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range ours.Children {
		u, ok := p.children[c.SPIIn.Or(0)]
		if !ok || c.State != engine.ChildInstalled {
			return fmt.Sprintf("child %s is %s here", c.Name, c.State)
		}
		for _, way := range []struct {
			to   netip.Addr
			spi  wire.ESPSPI
			keys ike.ESPKeys
		}{{u.Local.Addr(), u.SPIs.In, u.In}, {u.Remote.Addr(), u.SPIs.Out, u.Out}} {
			i := slices.IndexFunc(states, func(s kernelSA) bool { return s.spi == way.spi && s.to == p.there(way.to) })
			switch {
			case i < 0:
				return fmt.Sprintf("the guest's kernel has no SA with SPI %s to %s", way.spi, way.to)
			case states[i].encr != hex.EncodeToString(way.keys.Encr.Reveal()) || states[i].integ != hex.EncodeToString(way.keys.Integ.Reveal()):
				return fmt.Sprintf("the SA with SPI %s has other keys in the guest's kernel", way.spi)
			case states[i].encap != u.Encap:
				return fmt.Sprintf("the SA with SPI %s: UDP encapsulation is %t here, %t in the guest's kernel", way.spi, u.Encap, states[i].encap)
			}
		}
	}
	return ""
}

// there gives an address of ours as the gateway sees it.
func (p *pair) there(a netip.Addr) netip.Addr {
	if a == p.local {
		return netip.MustParseAddr(p.seen)
	}
	return a
}
