package probe

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os/exec"
	"strings"

	"github.com/cloudvlan/cvlanctl/diag"
)

// firewall asks nft, which shows the rules of today's iptables too, and the
// older iptables where the kernel says that its tables are in use.
func firewall(ctx context.Context, h *diag.HostFacts) error {
	ruleset, err := tool(ctx, "nft", "-j", "list", "ruleset")
	if err == nil {
		h.Chains = []diag.HostChain{}
		if len(bytes.TrimSpace(ruleset)) > 0 {
			h.Chains, err = chainsOf(ruleset)
		}
	}
	return errors.Join(err, legacy(ctx, h, "ip"), legacy(ctx, h, "ip6"))
}

// legacy reads the tables that the iptables of before nft keeps. The program is
// asked only where there are tables: asking would make them.
func legacy(ctx context.Context, h *diag.HostFacts, family string) error {
	names, err := readFile("/proc/thread-self/net/" + family + "_tables_names")
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(bytes.TrimSpace(names)) == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	saved, err := tool(ctx, family+"tables-legacy-save")
	if errors.Is(err, exec.ErrNotFound) {
		// Where there is one kind of iptables only, it has the plain name.
		saved, err = tool(ctx, family+"tables-save")
	}
	if err != nil {
		return fmt.Errorf("the tables %s of the older iptables are in use: %w", strings.Join(strings.Fields(string(names)), ", "), err)
	}
	chains, err := legacyChains(family, saved)
	h.Chains = append(h.Chains, chains...)
	return err
}

// tool runs a program and gives what it prints, up to maxFile octets.
func tool(ctx context.Context, name string, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, maxTool)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.WaitDelay = maxTool
	var told bytes.Buffer
	cmd.Stderr = &limited{w: &told, left: 4 << 10}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	printed, err := io.ReadAll(io.LimitReader(out, maxFile))
	if len(printed) == maxFile {
		cancel() // it has more to say than is read
	}
	if err = errors.Join(err, cmd.Wait()); err != nil {
		return nil, fmt.Errorf("%s: %w: %s", name, err, strings.TrimSpace(told.String()))
	}
	return printed, nil
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
