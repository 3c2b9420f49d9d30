package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli/print"
	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/engine/vici"
	"github.com/cloudvlan/cvlanctl/internal/clean"
)

// NewCmdIPsec makes `cvlanctl ipsec`, under which stand the commands on a
// running IKE daemon.
func NewCmdIPsec(app *App) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "ipsec",
		Short: "See and drive an IKE daemon: a strongSwan over VICI",
		Long: `See and drive an IKE daemon. --source names it: vici:/PATH of its socket,
vici:tcp://HOST:PORT, or auto, which looks where charon usually listens.`,
		Example: `  cvlanctl ipsec status
  cvlanctl ipsec list-sas --watch
  cvlanctl ipsec up office --timeout 10s
  cvlanctl ipsec list-sas -o json --source vici:/run/charon.vici | jq '.ike_sas[].state'`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(
		NewCmdIPsecStatus(app, nil),
		NewCmdIPsecSAs(app, nil),
		NewCmdIPsecConns(app, nil),
		NewCmdIPsecPols(app, nil),
		NewCmdIPsecCerts(app, nil),
		NewCmdIPsecPools(app, nil),
		NewCmdIPsecAlgs(app, nil),
		NewCmdIPsecCounters(app, nil),
		NewCmdIPsecStats(app, nil),
		NewCmdIPsecUp(app, nil),
		NewCmdIPsecDown(app, nil),
		NewCmdIPsecRekey(app, nil),
		NewCmdIPsecDPD(app, nil),
		NewCmdIPsecMonitor(app, nil),
		NewCmdIPsecLog(app, nil),
		NewCmdIPsecDiagnose(app, nil),
		NewCmdIPsecBundle(app, nil),
		NewCmdIPsecScan(app, nil),
		NewCmdIPsecTestPeer(app, nil),
		NewCmdIPsecDaemon(app),
		NewCmdIPsecRun(app, nil),
	)
	return cmd
}

// withBackend reaches the daemon and runs f, all within --timeout.
func (a *App) withBackend(ctx context.Context, f func(context.Context, *vici.Client) error) error {
	client, err := a.backend(ctx)
	if err != nil {
		return err
	}
	defer closeBackend(a, client)
	limited, cancel := a.patience(ctx, defaultTimeout)
	defer cancel()
	return advise(f(limited, client))
}

// oneName refuses all but one argument.
func oneName(cmd *cobra.Command, args []string) error {
	if len(args) != 1 || args[0] == "" {
		return usagef("%q needs one NAME: a connection, a child, or CONNECTION/CHILD", cmd.CommandPath())
	}
	return nil
}

// target is what a NAME on the command line means: a connection, or a child of
// one.
type target struct {
	connection string
	child      string // "" for the connection itself
	children   []backend.Child
	tunnel     *backend.Tunnel
}

// String gives the name as swanctl and we write it.
func (t *target) String() string {
	if t.child == "" {
		return t.connection
	}
	return t.connection + "/" + t.child
}

// up says whether all that the target names carries traffic.
func (t *target) up() bool {
	if len(t.children) == 0 {
		return t.tunnel.Up()
	}
	for i := range t.children {
		if !t.children[i].Up() {
			return false
		}
	}
	return true
}

// active says whether the daemon has any SA of the target.
func (t *target) active() bool {
	if t.child == "" {
		return len(t.tunnel.SAs) > 0
	}
	for i := range t.children {
		if len(t.children[i].SAs) > 0 {
			return true
		}
	}
	return false
}

// find gives what a name means: CONNECTION/CHILD, a connection, or a child
// that only one connection has.
func find(s *backend.Snapshot, name string) (*target, error) {
	var found []*target
	for i := range s.Tunnels {
		t := &s.Tunnels[i]
		if t.Name == name {
			return &target{connection: t.Name, children: t.Children, tunnel: t}, nil
		}
		for j := range t.Children {
			if c := &t.Children[j]; c.Name == name || t.Name+"/"+c.Name == name {
				found = append(found, &target{connection: t.Name, child: c.Name, children: t.Children[j : j+1], tunnel: t})
			}
		}
	}
	switch len(found) {
	case 0:
		return nil, fmt.Errorf("the daemon has no connection or child %q%s", name, known(s))
	case 1:
		return found[0], nil
	}
	all := make([]string, len(found))
	for i, t := range found {
		all[i] = t.String()
	}
	return nil, usagef("more than one connection has a child %q: say %s", name, strings.Join(all, " or "))
}

// maxNamesTold is how many names an error lists.
const maxNamesTold = 12

// known lists what there is, for an error about what there is not.
func known(s *backend.Snapshot) string {
	var names []string
	for i := range s.Tunnels {
		t := &s.Tunnels[i]
		names = append(names, t.Name)
		for j := range t.Children {
			names = append(names, t.Name+"/"+t.Children[j].Name)
		}
	}
	if len(names) == 0 {
		return "; it has none at all: nothing is loaded"
	}
	return listed(names)
}

// listed tells the first names of what there is.
func listed(names []string) string {
	if len(names) > maxNamesTold {
		return fmt.Sprintf("; it has %s and %d more", strings.Join(names[:maxNamesTold], ", "), len(names)-maxNamesTold)
	}
	return "; it has " + strings.Join(names, ", ")
}

func unprintable(s string) bool { return s != clean.Text(s) }

// age gives how long ago something was, "" where not known.
func age(then, now time.Time) string {
	if then.IsZero() {
		return ""
	}
	return span(max(now.Sub(then), 0))
}

// span gives a duration in whole seconds: 12 s, 3 m 5 s, 2 h 10 m, 4 d 3 h.
func span(d time.Duration) string {
	d = d.Truncate(time.Second)
	switch s := int64(d / time.Second); {
	case s < 60:
		return fmt.Sprintf("%d s", s)
	case s < 3600:
		return fmt.Sprintf("%d m %02d s", s/60, s%60)
	case s < 86400:
		return fmt.Sprintf("%d h %02d m", s/3600, s/60%60)
	default:
		return fmt.Sprintf("%d d %02d h", s/86400, s/3600%24)
	}
}

// clockLayout is how text tells a time of the present: the operator's own.
const clockLayout = "2006-01-02 15:04:05"

// clock gives a time as text, "" where not known.
func (a *App) clock(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Local().Format(clockLayout)
}

// document writes a document of a daemon in a form for programs.
func document[T any](app *App, d any, items []T) error {
	return print.Document(app.Term.Out, app.Output, d, items)
}

// joined gives a list in a cell.
func joined(list []string) string { return strings.Join(list, " ") }
