package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/policy"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// yamlText gives a text as YAML takes it.
func yamlText(s string) string {
	b, _ := json.Marshal(s) // a string has a form in JSON, and JSON is YAML
	return string(b)
}

// policyText writes the policy that the options say.
func (o *TestPeerOptions) policyText() ([]byte, error) {
	switch {
	case o.ID == "":
		return nil, usagef("without --config, --id says who we are: a name or an address that the peer knows us by")
	case (o.PSKFile == "") == (o.PSKEnv == ""):
		return nil, usagef("without --config, one of --psk-file and --psk-env has the preshared key")
	}
	var b strings.Builder
	fmt.Fprintf(&b, "version: 1\nnode: {identity: %s}\npeers:\n  peer:\n    addresses: %s\n    auth: psk\n", yamlText(o.ID), yamlText(o.Peer))
	if o.PSKFile != "" {
		fmt.Fprintf(&b, "    psk: {file: %s}\n", yamlText(o.PSKFile))
	} else {
		fmt.Fprintf(&b, "    psk: {env: %s}\n", yamlText(o.PSKEnv))
	}
	if o.RemoteID != "" {
		fmt.Fprintf(&b, "    identity: %s\n", yamlText(o.RemoteID))
	}
	if o.PlainPort != wire.PortIKE {
		fmt.Fprintf(&b, "    port: %d\n", o.PlainPort)
	}
	list := func(s string) string {
		var words []string
		for part := range strings.SplitSeq(s, ",") {
			words = append(words, yamlText(strings.TrimSpace(part)))
		}
		return "[" + strings.Join(words, ", ") + "]"
	}
	if o.IKE != "" {
		fmt.Fprintf(&b, "    ike: {proposals: %s}\n", list(o.IKE))
	}
	b.WriteString("tunnels:\n  tunnel:\n    peer: peer\n")
	if o.LocalTS != "" {
		fmt.Fprintf(&b, "    local: %s\n", list(o.LocalTS))
	}
	if o.RemoteTS != "" {
		fmt.Fprintf(&b, "    remote: %s\n", list(o.RemoteTS))
	}
	if o.ESP != "" {
		fmt.Fprintf(&b, "    esp: {proposals: %s}\n", list(o.ESP))
	}
	return []byte(b.String()), nil
}

// policy gives the policy with the peer, and the name of the peer in it.
func (o *TestPeerOptions) policy(ctx context.Context, app *App) (*policy.Policy, string, error) {
	if o.Config != "" {
		p, err := readPolicy(ctx, app, o.Config)
		return p, o.Peer, err
	}
	text, err := o.policyText()
	if err != nil {
		return nil, "", err
	}
	p, findings := policy.Parse(ctx, "options", text, policy.Options{Now: time.Now(), Dir: "."})
	for _, f := range findings {
		if f.Severity == policy.Error {
			fmt.Fprintln(app.Term.Err, cleaned(f.String()))
		}
	}
	if p == nil {
		return nil, "", usagef("the options do not make a tunnel")
	}
	return p, "peer", nil
}
