package probe

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"

	"github.com/cloudvlan/cvlanctl/diag"
)

// firewall asks nft, which shows the rules of today's iptables too.
func firewall(ctx context.Context, h *diag.HostFacts) error {
	ctx, cancel := context.WithTimeout(ctx, maxTool)
	defer cancel()
	cmd := exec.CommandContext(ctx, "nft", "-j", "list", "ruleset")
	var told bytes.Buffer
	cmd.Stderr = &limited{w: &told, left: 4 << 10}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("nft: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	ruleset, err := io.ReadAll(io.LimitReader(out, maxFile))
	if len(ruleset) == maxFile {
		cancel() // it has more to say than is read
	}
	if err = errors.Join(err, cmd.Wait()); err != nil {
		return fmt.Errorf("nft: %w: %s", err, strings.TrimSpace(told.String()))
	}
	if len(bytes.TrimSpace(ruleset)) == 0 {
		h.Chains = []diag.HostChain{}
		return nil
	}
	h.Chains, err = chainsOf(ruleset)
	return err
}

// limited writes the first octets and swallows the rest.
type limited struct {
	w    io.Writer
	left int
}

// Write never fails for what is swallowed.
func (l *limited) Write(b []byte) (int, error) {
	n := min(len(b), l.left)
	l.left -= n
	if _, err := l.w.Write(b[:n]); err != nil {
		return 0, err
	}
	return len(b), nil
}
