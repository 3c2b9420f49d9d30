package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"

	"github.com/spf13/cobra"

	"github.com/cloudvlan/cvlanctl/engine/link"
	"github.com/cloudvlan/cvlanctl/engine/native"
)

// DataOptions say how our own engine carries the traffic of its tunnels.
type DataOptions struct {
	Data    string // auto, xfrm, tun, none
	Device  string
	MTU     int
	PathMTU int
	MSS     bool
	Window  int

	changed func(flag string) bool // says which flags were given; nil for none
}

// dataWays are the ways to carry traffic.
var dataWays = []string{"auto", "xfrm", "tun", "none"}

// tunFlags are those that only a TUN device makes use of.
var tunFlags = []string{"tun-name", "mtu", "path-mtu", "clamp-mss"}

// forTUN names a flag that was given and that only a TUN device makes use of,
// "" for none.
func (o *DataOptions) forTUN() string {
	for _, name := range tunFlags {
		if o.changed != nil && o.changed(name) {
			return "--" + name
		}
	}
	return ""
}

func (o *DataOptions) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.Data, "data", "auto", "how traffic is carried: xfrm, by the ESP of the kernel; tun, in user space through a TUN device; none; auto, which is the first of them that is possible")
	f.StringVar(&o.Device, "tun-name", "cvl%d", "the name of the TUN device")
	f.IntVar(&o.MTU, "mtu", 1400, "the MTU inside the tunnels, in octets, where ESP is done in user space")
	f.IntVar(&o.PathMTU, "path-mtu", 1500, "the size of the largest packet that the path to the peers takes, in octets, where ESP is done in user space")
	f.BoolVar(&o.MSS, "clamp-mss", false, "lower the segment size of TCP to what fits the tunnels, where ESP is done in user space")
	f.IntVar(&o.Window, "replay-window", 64, "the anti-replay window, in packets")
	complete(cmd, "data", words(dataWays...))
	o.changed = f.Changed
}

// check refuses options that carry nothing.
func (o *DataOptions) check() error {
	switch {
	case !slices.Contains(dataWays, o.Data):
		return usagef("--data %q is none of %v", o.Data, dataWays)
	case o.Data == "xfrm" && o.forTUN() != "":
		return usagef("%s is for a TUN device; with --data xfrm the kernel sees to it", o.forTUN())
	case o.MTU < 576 || o.MTU > 65535:
		return usagef("--mtu %d is not from 576 to 65535", o.MTU)
	case o.PathMTU < 576 || o.PathMTU > 65535:
		return usagef("--path-mtu %d is not from 576 to 65535", o.PathMTU)
	case o.Window < 32 || o.Window > 4096:
		return usagef("--replay-window %d is not from 32 to 4096", o.Window)
	}
	return nil
}

// possible says whether this process may make a TUN device.
func possible() bool { return runtime.GOOS == "linux" && os.Geteuid() == 0 }

// plane makes the data plane. The caller gives it to an engine, which closes
// it. words say what it is.
func (o *DataOptions) plane() (plane native.DataPlane, words string, err error) {
	if err := o.check(); err != nil {
		return nil, "", err
	}
	if o.Data == "xfrm" || o.Data == "auto" && o.forTUN() == "" {
		p, err := link.OpenXFRM(link.XFRMOptions{Window: o.Window})
		switch {
		case err == nil:
			return p, "carries traffic by the ESP of the kernel", nil
		case o.Data == "xfrm" || !errors.Is(err, link.ErrNoKernelESP):
			return nil, "", err
		}
	}
	if o.Data == "none" || o.Data == "auto" && !possible() {
		words = "carries no traffic: keys are negotiated and kept"
		if o.Data == "auto" {
			words += "; the kernel's ESP and a TUN device need root on Linux, 'ipsec up --netstack' needs neither"
		}
		return &native.Counter{}, words, nil
	}
	tun, err := link.OpenTUN(o.Device, o.MTU, "")
	if err != nil {
		return nil, "", err
	}
	p, err := link.NewPlane(tun, link.PlaneOptions{PathMTU: o.PathMTU, Window: o.Window, ClampMSS: o.MSS, Cores: link.SpareProcessors()})
	if err != nil {
		return nil, "", errors.Join(err, tun.Close())
	}
	return p, fmt.Sprintf("carries traffic through TUN device %s", tun.Name), nil
}

// start starts an engine that carries traffic so. words say how.
func (o *DataOptions) start(ctx context.Context, n native.Options) (engine *native.Engine, words string, err error) {
	if n.Plane, words, err = o.plane(); err != nil {
		return nil, "", err
	}
	if engine, err = native.Start(ctx, n); err != nil {
		return nil, "", errors.Join(err, n.Plane.Close())
	}
	return engine, words, nil
}
