package capture

import (
	"fmt"
	"slices"
	"strings"
)

// LiveOptions changes what Live captures. The zero value is ready to use.
type LiveOptions struct {
	// Ports are UDP and TCP ports that carry IKE or ESP besides UDP 500, UDP
	// 4500 and TCP 4500.
	Ports []uint16
	// Tunnels lets GRE, IP in IP and VXLAN through as well: IPsec may be
	// inside. The kernel does not look, so all of it comes.
	Tunnels bool
	// All lets every frame through.
	All bool
	// Promiscuous asks the interface for frames to other stations too.
	Promiscuous bool
}

// Filter says in words, close to those of tcpdump, what the kernel lets
// through. IP fragments behind the first have no ports to know them by, and
// come whatever they belong to.
func (o LiveOptions) Filter() string {
	if o.All {
		return ""
	}
	ports := []string{"udp port 500", "udp port 4500", "tcp port 4500"}
	for _, p := range o.extra() {
		ports = append(ports, fmt.Sprintf("port %d", p))
	}
	text := strings.Join(ports, " or ") + " or esp or ah or icmp error or later ip fragment"
	if o.Tunnels {
		text += " or gre or ipip or vxlan"
	}
	return text
}

// maxPorts bounds the kernel's filter program, and how far its near jumps go.
const maxPorts = 64

// extra gives the user's ports, each once, without those that come anyway.
func (o LiveOptions) extra() []uint16 {
	var ports []uint16
	for _, p := range o.Ports {
		if p != 4500 && !slices.Contains(ports, p) && len(ports) < maxPorts {
			ports = append(ports, p)
		}
	}
	return ports
}
