package cli

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cloudvlan/cvlanctl/diag"
)

// VendorOptions say what systems peers are, for remedies in their syntax.
type VendorOptions struct {
	Vendors []string // PLATFORM or ADDRESS=PLATFORM
}

func (o *VendorOptions) flags(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&o.Vendors, "peer-vendor", nil,
		"what the peer is, as PLATFORM or ADDRESS=PLATFORM, for what to change there; else what it claims to be: "+strings.Join(diag.Platforms(), ", "))
	complete(cmd, "peer-vendor", words(diag.Platforms()...))
}

// vendors gives the platforms by address, "" for every peer.
func (o *VendorOptions) vendors() (map[string]string, error) {
	var m map[string]string
	for _, v := range o.Vendors {
		address, platform, ok := strings.Cut(v, "=")
		if !ok {
			address, platform = "", v
		} else if a, err := netip.ParseAddr(address); err != nil {
			return nil, usagef("--peer-vendor %q: %q is no IP address", v, address)
		} else {
			address = a.String()
		}
		if !slices.Contains(diag.Platforms(), platform) {
			return nil, usagef("--peer-vendor %q: no platform %q; there are %s", v, platform, strings.Join(diag.Platforms(), ", "))
		}
		if m == nil {
			m = map[string]string{}
		}
		m[address] = platform
	}
	return m, nil
}
