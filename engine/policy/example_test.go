package policy_test

import (
	"context"
	"fmt"

	"github.com/cloudvlan/cvlanctl/engine/policy"
)

// An engine takes connections as they stand: proposals as transforms for the
// wire, selectors as ranges of addresses, times as durations.
func ExampleParse() {
	const file = `
version: 1
node: {identity: node.example.org}
peers: {hub: {addresses: 192.0.2.2, identity: hub.example.org, auth: psk, psk: {env: HUB_PSK}}}
tunnels: {office: {peer: hub, local: 10.1.0.0/16, remote: "10.2.0.1-10.2.0.9[tcp/443]"}}
`
	p, findings := policy.Parse(context.Background(), "site.yaml", []byte(file), policy.Options{NoFiles: true})
	if p == nil {
		fmt.Println(findings)
		return
	}
	for _, c := range p.Connections {
		fmt.Println(c.Name, c.RemoteAddrs[0], c.Local.Method, c.Credentials[0].Secret)
		for _, t := range c.Proposals[0].Transforms {
			fmt.Println(" ", t.Type, t.Keyword())
		}
		for _, child := range c.Children {
			fmt.Println(" ", child.Name, child.Local[0], child.Remote[0], child.Time.Rekey)
		}
	}
	// Output:
	// hub 192.0.2.2 psk environment variable HUB_PSK
	//   ENCR aes256gcm16
	//   PRF prfsha256
	//   KE ecp256
	//   office 10.1.0.0/16 10.2.0.1-10.2.0.9[tcp/443] 1h0m0s
}
