package faults

import (
	"fmt"
	"strings"

	"github.com/cloudvlan/cvlanctl/diag"
)

// uncovered says why no fault of the table has an id of the catalogue.
var uncovered = map[string]string{
	"pq-ke-too-large":                 "strongSwan 5.9.8 has no post-quantum key exchange",
	"pq-intermediate-auth-mismatch":   "strongSwan 5.9.8 has no IKE_INTERMEDIATE",
	"cookie-loop":                     "no daemon here behaves so: the corpus has it from a script",
	"invalid-ke-loop":                 "no daemon here contradicts itself: the corpus has it from a script",
	"nonstandard-port-marker":         "no daemon here sends ESP or IKE to a port without the marker that belongs there",
	"unsupported-critical-payload":    "no daemon here marks a payload of its own as critical",
	"redirect-loop":                   "no gateway here redirects",
	"prf-or-aead-config-error":        "the daemons refuse such a configuration when it is loaded: no tunnel is begun",
	"ike-rekey-ke-mismatch":           "strongSwan rekeys an IKE SA by the settings under which it came up, and these fit",
	"esn-mismatch":                    "the refusal is named first, as no-proposal-child-initial",
	"ipsec-alg-passthrough":           "two hosts behind one box are wanted, and a pair of ends has one initiator",
	"ts-overlap-route-conflict":       "two tunnels are wanted, and a pair of ends has one",
	"duplicate-ike-sa":                "the daemons here use the IKE SA that stands, or remove the second one",
	"cert-san-mismatch":               "the daemons here claim no identity that their certificate does not hold",
	"sig-hash-mismatch":               "the daemons here have hash algorithms in common, and no setting takes them away",
	"rsa-pss-interop":                 "it takes a FortiGate",
	"windows-ms-status":               "it takes a Windows",
	"eap-only-not-supported":          "strongSwan sends EAP_ONLY_AUTHENTICATION always",
	"eap-identity-problem":            "strongSwan with a fixed eap_id does not ask for the identity",
	"eap-msk-or-auth-mismatch":        "it takes a RADIUS server that gives another key",
	"radius-not-responding":           "the lab's strongSwan is without the plugin for RADIUS",
	"ts-multi-subnet-unsupported":     "no daemon here answers SINGLE_PAIR_REQUIRED",
	"no-additional-sas":               "no daemon here limits its children",
	"ipcomp-or-tfc-quirk":             "ESP in user space has no IPComp",
	"vip-install-failed":              "the daemons of the lab may do everything on their hosts",
	"natt-off-with-nat":               "no daemon here can be kept from NAT traversal",
	"encap-asymmetric":                "no daemon here sends otherwise than it receives",
	"nat-port-rebind-split":           "the box maps by ports, and IKE and ESP have the same",
	"inner-icmp-error-not-in-policy":  "an active test shows it, which has tests of its own",
	"ipv6-extension-or-frag-drop":     "on a capture it is a hint beside esp-one-way-out, which comes first; an active test shows it, which has tests of its own",
	"seq-exhaustion":                  "it takes 2^32 packets",
	"inner-address-outside-ts":        "the daemons here send nothing that is outside of the selectors",
	"throughput-capped":               "it takes a load that no test should make",
	"rekey-collision":                 "the daemons here resolve it, and then it is no fault",
	"temporary-failure-storm":         "the daemons here refuse once and no more",
	"child-sa-not-found":              "the daemons here delete their children in order",
	"reauth-gap":                      "a reauthentication counts from five minutes of life on",
	"mobike-address-change-failed":    "no end of the pair can move",
	"invalid-ike-spi":                 "strongSwan drops messages of unknown IKE SAs without a word",
	"invalid-esp-spi-stale-sa":        "ESP in user space drops packets of unknown SAs without a word",
	"message-id-desync":               "it takes a cluster that fails over",
	"proposal-list-truncated-by-peer": "no daemon here looks at a part of a list only",
	"works-one-direction-only":        "no daemon here is restricted to one role",
	"on-demand-never-triggered":       "strongSwan's list-conns does not tell start_action",
}

// worthKnowing are the ids that are never more than an info: no fault has them.
var worthKnowing = []string{"ts-narrowed-surprise", "nat-detected-unexpectedly", "double-nat", "esp-no-traffic-both", "cleartext-leak-when-down",
	"ptb-arrives-one-packet-late", "vendor-lists-mismatch-after-planning"}

// named gives the ids that some source has to name first.
func named(list []Fault) map[string]bool {
	ids := map[string]bool{}
	for i := range list {
		for _, s := range Sources() {
			if id := list[i].want(s); id != "" {
				ids[id] = true
			}
		}
	}
	return ids
}

// without writes which ids of the catalogue no fault has, and why.
func without(b *strings.Builder, list []Fault) {
	ids := named(list)
	n := 0
	for _, e := range diag.All() {
		if ids[e.ID] {
			n++
		}
	}
	fmt.Fprintf(b, "\n## What has no fault here\n\n%d of the catalogue's %d ids are named by a fault above. The others:\n\n", n, len(diag.All()))
	for _, e := range diag.All() {
		if why := uncovered[e.ID]; why != "" {
			fmt.Fprintf(b, "- %s: %s.\n", e.ID, why)
		}
	}
	fmt.Fprintf(b, "- %s: worth knowing, and no fault by themselves.\n", strings.Join(worthKnowing, ", "))
}
