package main

import (
	"context"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/lab"
	"github.com/cloudvlan/cvlanctl/lab/faults"
)

var everyFault = flag.Bool("every-fault", false, "test a peer with every fault of the lab that can be seen from here, and write docs/test-peer.md")

// fewFaults are those of the ordinary test: one of each kind that
// TestATestOfAPeerNamesTheStepThatFailsAndWhy does not have.
var fewFaults = []string{"no IKE integrity in common", "responder claims another identity", "initiator's certificate is over",
	"responder's certificate is over", "initiator does not trust the responder's authority", "responder wants a certificate, gets a PSK",
	"extended sequence numbers on one side only", "firewall drops the answers from UDP 4500", "the host's firewall lets no UDP 4500 in"}

// failingSteps is the step that has to fail by what has to be found.
var failingSteps = map[string]string{
	"peer-dns-failed": "resolve", "no-response-to-sa-init": "UDP 500", "udp4500-blocked": "UDP 4500", "ike-auth-ip-fragment-loss": "path MTU and fragments",
	"no-proposal-ike": "proposal", "keylength-mismatch": "proposal", "no-ike-config-for-peer": "proposal",
	"no-proposal-child-initial": "child SA and selectors", "ts-unacceptable": "child SA and selectors", "ts-any-vs-proxy-id": "child SA and selectors", "cp-required-or-missing": "child SA and selectors",
}

// stepOf gives that step: what is none of these is found while both sides prove
// who they are.
func stepOf(id string) string {
	if step := failingSteps[id]; step != "" {
		return step
	}
	return "authentication"
}

// wantOfTest is what a test of a peer has to find, as our engine does that begins;
// "" where it cannot see the fault.
func wantOfTest(f *faults.Fault) string {
	if f.Want[faults.VICIInitiator] == "private-key-missing" || f.NoEngine[faults.EngineInitiator] != "" || f.Software != "" || f.Kernel || f.Native || f.NAT || f.IPv6 || f.Road != nil || f.Act != nil {
		return ""
	}
	// What the policy file has no words for, or refuses, cannot be tested.
	ours, theirs := lab.Ends("192.0.2.1", "192.0.2.2", "10.1.0.1/32", "10.2.0.1/32")
	if f.Ends != nil && f.Ends(&ours, &theirs) != nil || len(ours.Conn) > 0 || strings.HasPrefix(ours.Local.Method, "eap") || len(ours.Secrets) == 0 {
		return ""
	}
	if id, own := f.Want[faults.EngineInitiator]; own {
		return id
	}
	return f.Want[faults.VICIInitiator]
}

// site writes the policy of an end of ours into a folder.
func site(dir string, e *lab.End) (file string, err error) {
	if err := e.WriteCredentials(dir); err != nil {
		return "", err
	}
	key := ""
	for _, s := range e.Secrets {
		if _, after, ok := strings.Cut(s, "secret = "); ok {
			key = strings.Trim(strings.SplitN(after, "\n", 2)[0], `"`)
		}
	}
	if digits, isHex := strings.CutPrefix(key, "0x"); isHex {
		raw, err := hex.DecodeString(digits)
		if err != nil {
			return "", err
		}
		key = string(raw)
	}
	node, peer, authorities := "", "auth: psk, psk: {file: psk}", ""
	if key != "" {
		if err := os.WriteFile(filepath.Join(dir, "psk"), []byte(key+"\n"), 0o600); err != nil {
			return "", err
		}
	}
	if e.Local.Method == "pubkey" {
		node, peer = ", certificate: x509/me.pem, key: {file: private/me.pem}", "auth: cert"
		authorities = "authorities:\n  root: {certificate: x509ca/root.pem}\n"
		const between = "x509/intermediate-1.pem"
		if _, err := os.Stat(filepath.Join(dir, between)); err == nil {
			node += ", intermediates: [" + between + "]"
		}
	}
	list := func(s string) string { return "[" + s + "]" }
	text := fmt.Sprintf(`version: 1
node: {identity: "%s", addresses: %s%s}
%speers:
  gw: {addresses: %s, identity: "%s", %s, ike: {proposals: %s}}
tunnels:
  net: {peer: gw, local: %s, remote: %s, start: none, esp: {proposals: %s}}
`, e.Local.ID, e.LocalAddrs, node, authorities, e.RemoteAddrs, e.Remote.ID, peer, list(e.Proposals), e.LocalTS, e.RemoteTS, list(e.ESP))
	file = filepath.Join(dir, "site.yaml")
	return file, os.WriteFile(file, []byte(text), 0o600)
}

// TestATestOfAPeerNamesEachFaultOfTheLabAndTheStepThatFailsForIt has the lab's
// faults happen to a tunnel with a real strongSwan, as far as the one who tests
// it can see them.
func TestATestOfAPeerNamesEachFaultOfTheLabAndTheStepThatFailsForIt(t *testing.T) {
	b := bench(t)
	binary := program(t)
	var rows []string
	for _, f := range faults.Faults() {
		id := wantOfTest(&f)
		if id == "" || !*everyFault && !slices.Contains(fewFaults, f.Name) {
			continue
		}
		t.Run(f.Name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			ours, theirs := lab.Ends(b.OuterA, b.OuterB, b.InnerA+"/32", b.InnerB+"/32")
			if f.Ends != nil {
				if err := f.Ends(&ours, &theirs); err != nil {
					t.Fatal(err)
				}
			}
			if err := b.B.Restage(ctx, &theirs); err != nil {
				t.Fatal(err)
			}
			if f.Upset != nil {
				undo, err := f.Upset(ctx, b)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() {
					if err := undo(context.WithoutCancel(ctx)); err != nil {
						t.Error(err)
					}
				})
			}
			file, err := site(t.TempDir(), &ours)
			if err != nil {
				t.Fatal(err)
			}
			d, code, took := testPeer(t, b, binary, "net", "--config", file, "--wait", "1s")
			first, found := firstFailure(&d)
			if code == 0 || first != stepOf(id) || len(found) == 0 || found[0] != id {
				t.Errorf("exit code %d after %s: %q fails with %v, want %q with %s first", code, took, first, found, stepOf(id), id)
			}
			rows = append(rows, fmt.Sprintf("| %s | %s | `%s` | %s |\n", f.Name, stepOf(id), id, right(t)))
		})
	}
	section(t, "The lab's faults", "| fault | step that has to fail | finding | right |\n|---|---|---|---|\n"+strings.Join(rows, ""))
}

// section writes the rows of a table into docs/test-peer.md, in place of those
// that stand there under its heading; nothing but with -every-fault.
func section(t *testing.T, heading, table string) {
	t.Helper()
	if !*everyFault {
		return
	}
	const path = "../../docs/test-peer.md"
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(b), "\n## "+heading+"\n\n")
	intro, rest, whole := strings.Cut(rest, "\n\n|")
	if !found || !whole {
		t.Fatalf("%s has no %q with an introduction and a table", path, heading)
	}
	_, after, more := strings.Cut(rest, "\n\n## ")
	page := before + "\n## " + heading + "\n\n" + intro + "\n\n" + table
	if more {
		page += "\n## " + after
	}
	if err := os.WriteFile(path, []byte(page), 0o644); err != nil {
		t.Fatal(err)
	}
}

// right is the last cell of a row.
func right(t *testing.T) string {
	if t.Failed() {
		return "no"
	}
	return "yes"
}

// firstFailure gives the first step that failed, or else that warned, and what
// it found.
func firstFailure(d *tested) (step string, found []string) {
	for _, status := range []string{"fail", "warn"} {
		for _, s := range d.Steps {
			if s.Status != status {
				continue
			}
			for _, f := range s.Findings {
				found = append(found, f.ID)
			}
			return s.Step, found
		}
	}
	return "", nil
}

func TestTheFaultsOfTheOrdinaryTestAreOfTheLab(t *testing.T) {
	for _, name := range fewFaults {
		if !slices.ContainsFunc(faults.Faults(), func(f faults.Fault) bool { return f.Name == name && wantOfTest(&f) != "" }) {
			t.Errorf("no fault %q that a test of a peer can see", name)
		}
	}
}
