package cli

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/engine/ike"
	"github.com/cloudvlan/cvlanctl/engine/native"
	"github.com/cloudvlan/cvlanctl/engine/policy"
)

// called writes the policy file of a node "b" and that of a node that calls it,
// with what is said about it and its key.
func called(t *testing.T, identity, key string) (own netip.Addr, file, callers string) {
	t.Helper()
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("psk", "tests only\n")
	write("key", key+"\n")
	// Other processes run the same test; and all addresses are of one length,
	// because text is wrapped behind them.
	hundreds, rest := byte(100+os.Getpid()/100%100), byte(100+os.Getpid()%100)
	own, other := netip.AddrFrom4([4]byte{127, 79, hundreds, rest}), netip.AddrFrom4([4]byte{127, 80, hundreds, rest})
	file = write("b.yaml", fmt.Sprintf(`version: 1
node: {identity: b.example, addresses: %s}
peers:
  a: {addresses: %s, identity: a.example, auth: psk, psk: {file: psk}}
tunnels:
  lan: {peer: a, local: 10.2.0.1/32, remote: 10.1.0.1/32}
`, other, own))
	return own, file, write("a.yaml", fmt.Sprintf(`version: 1
node: {identity: %s, addresses: %s}
peers:
  office: {addresses: %s, port: 5500, identity: b.example, auth: psk, psk: {file: key}}
tunnels:
  lan: {peer: office, local: 10.1.0.1/32, remote: 10.2.0.1/32}
`, identity, own, other))
}

// caller starts an engine that calls a node "b" until it is answered, and gives
// the policy file of that node.
func caller(t *testing.T, identity, key string) (file string) {
	t.Helper()
	own, file, callers := called(t, identity, key)
	p, findings, err := policy.Load(t.Context(), callers, policy.Options{})
	if p == nil {
		t.Fatal(findings, err)
	}
	e, err := native.Start(t.Context(), native.Options{Policy: p, Local: own, Ports: ike.Ports{IKE: 5500, NATT: 5501}, PeerNATT: 5501,
		Settings: ike.Settings{Retransmit: ike.Retransmission{Timeout: time.Second, Base: 1.01, Tries: 300}}})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	ctx, stop := context.WithCancel(context.Background())
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			// It is refused, as the test wants it, and before that nobody listens. Who
			// listens is not asked again before a slow answer has come, of which a
			// warning would tell.
			_ = e.Up(ctx, backend.Target{IKE: "office", Child: "lan"}, backend.UpOptions{}, nil)
		}
	}()
	t.Cleanup(func() {
		stop()
		if err := e.Close(); err != nil {
			t.Error(err)
		}
		<-done
	})
	return file
}

// TestATestOfACallingPeerShowsWhatIsWrong has a peer call with a blank after its
// key and an identity that nobody expects: both are told.
func TestATestOfACallingPeerShowsWhatIsWrong(t *testing.T) {
	for _, x := range []struct{ name, identity, key string }{
		{"a key with a blank", "a.example", "tests only "},
		{"another identity and another key", "stranger.example", "nothing like it"},
	} {
		t.Run(x.name, func(t *testing.T) {
			file := caller(t, x.identity, x.key)
			args := []string{"ipsec", "test-peer", "a", "--config", file, "--listen", "--listen-port", "5500", "--listen-natt-port", "5501", "--call", "30s"}
			code, out, errs := run(t, "", nil, args...)
			if code != exitFindings || errs != "" {
				t.Errorf("exit code %d: %s", code, errs)
			}
			if strings.Contains(out, "tests only") || strings.Contains(out, x.key) {
				t.Errorf("a key is shown:\n%s", out)
			}
			golden(t, "ipsec/test-peer-listen-"+strings.ReplaceAll(x.name, " ", "-")+".txt", maskListen(out))
		})
	}
	t.Run("in JSON", func(t *testing.T) {
		file := caller(t, "a.example", "tests only ")
		_, out, _ := run(t, "", nil, "ipsec", "test-peer", "a", "--config", file, "--listen", "--listen-port", "5500", "--listen-natt-port", "5501", "--call", "30s", "-o", "json")
		holds(t, "test-peer", "step", "json", out)
	})
}

func TestATestOfACallingPeerSaysThatNobodyCalls(t *testing.T) {
	_, file, _ := called(t, "a.example", "tests only")
	code, out, _ := run(t, "", nil, "ipsec", "test-peer", "a", "--config", file, "--listen", "--listen-port", "5500", "--listen-natt-port", "5501", "--call", "100ms")
	if code != exitFailed || !strings.Contains(out, "nothing came within 100ms") {
		t.Errorf("exit code %d: %s", code, out)
	}
}

// maskListen takes out what differs from run to run.
func maskListen(s string) string {
	s = regexp.MustCompile(`octets, [0-9a-f]{8}\.\.\.`).ReplaceAllString(s, "octets, N...")
	// Which systems are only named depends on whether a list of SAs came in time.
	s = regexp.MustCompile(`(?m)^ *for .*: cvlanctl explain .*\n`).ReplaceAllString(s, "")
	s = regexp.MustCompile(`IKE SA\s+[0-9a-f]{16}`).ReplaceAllString(s, "IKE SA N")
	return regexp.MustCompile(`127\.(79|80)\.\d+\.\d+`).ReplaceAllString(maskTest(s), "127.$1.N.N")
}
