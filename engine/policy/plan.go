package policy

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/backend"
)

// Action is what becomes of one thing at the daemon.
type Action string

// The actions.
const (
	ActionLoad    Action = "load"    // the daemon does not have it
	ActionReplace Action = "replace" // the daemon has another version
	ActionRefresh Action = "refresh" // a secret: loaded again, because nobody can tell whether it changed
	ActionKeep    Action = "keep"    // nothing is done
	ActionUnload  Action = "unload"  // ours, and no longer in the policy
	ActionForget  Action = "forget"  // ours, no longer in the policy, and gone from the daemon already
)

// Step is one thing to be done.
type Step struct {
	Action Action `json:"action"`
	Kind   Kind   `json:"kind"`
	Name   string `json:"name"`
	Why    string `json:"why,omitempty"`

	request *Request
}

// Plan is what has to be done at a daemon so that it has a policy, in order:
// first what is loaded, then what is taken away.
type Plan struct {
	Steps []Step
	state *State
}

// Changes counts the steps that do something new: those that neither keep nor
// refresh.
func (p *Plan) Changes() int {
	n := 0
	for _, s := range p.Steps {
		if s.Action != ActionKeep && s.Action != ActionRefresh {
			n++
		}
	}
	return n
}

// had is what a daemon has now, by kind and name.
type had struct {
	names       map[Kind]map[string]bool
	connections map[string]*engine.Connection
}

func look(ctx context.Context, d backend.Lister) (*had, error) {
	h := &had{names: map[Kind]map[string]bool{}, connections: map[string]*engine.Connection{}}
	for _, k := range kinds {
		h.names[k] = map[string]bool{}
	}
	conns, err := d.Connections(ctx)
	if err != nil {
		return nil, err
	}
	for _, c := range conns {
		h.names[KindConnection][c.Name] = true
		h.connections[c.Name] = c
	}
	authorities, err := d.Authorities(ctx)
	if err != nil {
		return nil, err
	}
	for _, a := range authorities {
		h.names[KindAuthority][a.Name] = true
	}
	pools, err := d.Pools(ctx, false)
	if err != nil {
		return nil, err
	}
	for _, p := range pools {
		h.names[KindPool][p.Name] = true
	}
	credentials, err := d.Credentials(ctx)
	if err != nil {
		return nil, err
	}
	for _, id := range credentials.Keys {
		h.names[KindKey][id] = true
	}
	for _, id := range credentials.Secrets {
		h.names[KindSecret][id] = true
	}
	return h, nil
}

// NewPlan compares the requests of a policy with what a daemon has and with
// what was loaded into it before. It asks the daemon and changes nothing.
// What the daemon has and we did not load is left alone, unless the policy has
// something of the same name.
func NewPlan(ctx context.Context, d backend.Lister, requests []Request, state *State) (*Plan, error) {
	h, err := look(ctx, d)
	if err != nil {
		return nil, err
	}
	p := &Plan{state: state}
	wanted := map[Kind]map[string]bool{}
	for _, k := range kinds {
		wanted[k] = map[string]bool{}
	}
	for i := range requests {
		r := &requests[i]
		wanted[r.Kind][r.Name] = true
		p.Steps = append(p.Steps, stepFor(r, h, state))
	}
	// What depends on others goes before them.
	for _, k := range slices.Backward(kinds) {
		for _, name := range slices.Sorted(maps.Keys(state.Loaded[k])) {
			switch {
			case wanted[k][name]:
			case h.names[k][name]:
				p.Steps = append(p.Steps, Step{ActionUnload, k, name, "no longer in the policy", nil})
			default:
				p.Steps = append(p.Steps, Step{ActionForget, k, name, "no longer in the policy, and the daemon has lost it", nil})
			}
		}
	}
	return p, nil
}

func stepFor(r *Request, h *had, state *State) Step {
	s := Step{Kind: r.Kind, Name: r.Name, request: r}
	digest, ours := state.Loaded[r.Kind][r.Name]
	there := h.names[r.Kind][r.Name]
	switch {
	case !there && ours:
		s.Action, s.Why = ActionLoad, "the daemon has lost it"
	case !there:
		s.Action, s.Why = ActionLoad, "new"
	case r.Kind == KindKey:
		s.Action = ActionKeep
	case r.Kind == KindSecret:
		s.Action, s.Why = ActionRefresh, "whether it changed cannot be told"
	case !ours:
		s.Action, s.Why = ActionReplace, "the daemon has one that this program did not load"
	case digest != r.Digest:
		s.Action, s.Why = ActionReplace, "changed in the policy"
	default:
		s.Action = ActionKeep
		if c := h.connections[r.Name]; r.Kind == KindConnection && c != nil {
			if diff := Differences(r.Settings, c); len(diff) > 0 {
				s.Action, s.Why = ActionReplace, "changed at the daemon: "+strings.Join(diff, ", ")
			}
		}
	}
	return s
}

// Apply does the steps and notes in the state what succeeded; the caller
// writes the state afterwards, also after an error. Each step's outcome is
// told to done. A step that fails does not keep the others from being done,
// unless the daemon is lost.
func (p *Plan) Apply(ctx context.Context, d backend.Commander, done func(Step, error)) error {
	var failed []error
	for _, s := range p.Steps {
		err := p.apply(ctx, d, s)
		done(s, err)
		if err == nil {
			continue
		}
		failed = append(failed, fmt.Errorf("%s %s %s: %w", s.Action, s.Kind, s.Name, err))
		if errors.Is(err, backend.ErrUnreachable) || ctx.Err() != nil {
			break
		}
	}
	return errors.Join(failed...)
}

func (p *Plan) apply(ctx context.Context, d backend.Commander, s Step) error {
	switch s.Action {
	case ActionUnload:
		if err := unload(ctx, d, s.Kind, s.Name); err != nil {
			return err
		}
		p.state.drop(s.Kind, s.Name)
		return nil
	case ActionForget:
		p.state.drop(s.Kind, s.Name)
		return nil
	case ActionKeep:
		// A key that was there before us stays when we go.
		if s.Kind != KindKey {
			p.state.set(s.Kind, s.Name, s.request.Digest)
		}
		return nil
	}
	if err := s.request.send(ctx, d); err != nil {
		return err
	}
	p.state.set(s.Kind, s.Name, s.request.Digest)
	return nil
}

// Differences names the settings of a connection in which a daemon's listing
// contradicts what was asked for. It compares what the listing tells:
// addresses, identities, methods, lifetimes, DPD, children and their
// selectors; of proposals strongSwan tells nothing.
func Differences(want *backend.Section, have *engine.Connection) []string {
	var diff []string
	differ := func(name string, w, h any) {
		if fmt.Sprint(w) != fmt.Sprint(h) {
			diff = append(diff, fmt.Sprintf("%s is %v, not %v", name, h, w))
		}
	}
	differ("local_addrs", listOf(want, "local_addrs"), have.LocalAddrs)
	differ("remote_addrs", listOf(want, "remote_addrs"), have.RemoteAddrs)
	differ("rekey_time", timeOf(want, "rekey_time"), have.RekeyTime.Or(0))
	differ("reauth_time", timeOf(want, "reauth_time"), have.ReauthTime.Or(0))
	differ("dpd_delay", timeOf(want, "dpd_delay"), have.DPDDelay.Or(0))
	differ("unique", "UNIQUE_"+strings.ToUpper(textOf(want, "unique")), have.Unique)
	authDiffers(differ, "local", subOf(want, "local"), have.Local)
	authDiffers(differ, "remote", subOf(want, "remote"), have.Remote)
	children := map[string]*engine.ChildConfig{}
	for _, c := range have.Children {
		children[c.Name] = c
	}
	var names []string
	for _, item := range subOf(want, "children").Items {
		names = append(names, item.Name)
		if c := children[item.Name]; c != nil {
			childDiffers(differ, item.Name, item.Section, c)
		}
	}
	slices.Sort(names)
	differ("children", names, slices.Sorted(maps.Keys(children)))
	return diff
}

func authDiffers(differ func(string, any, any), side string, want *backend.Section, have []engine.AuthRound) {
	if len(have) != 1 {
		differ(side+" rounds of authentication", 1, len(have))
		return
	}
	class := map[string]string{"psk": "pre-shared key", "pubkey": "public key", "eap-tls": "EAP", "eap-mschapv2": "EAP"}[textOf(want, "auth")]
	differ(side+".auth", class, have[0].Class)
	if id := textOf(want, "id"); id != "" && !strings.ContainsAny(id, "=@ ") {
		differ(side+".id", id, have[0].ID)
	}
	differ(side+".certs", len(listOf(want, "certs")), len(have[0].Certs))
	differ(side+".cacerts", len(listOf(want, "cacerts")), len(have[0].CACerts))
}

func childDiffers(differ func(string, any, any), name string, want *backend.Section, have *engine.ChildConfig) {
	differ(name+".mode", strings.ToUpper(textOf(want, "mode")), have.Mode)
	differ(name+".rekey_time", timeOf(want, "rekey_time"), have.RekeyTime.Or(0))
	differ(name+".rekey_bytes", numberOf(want, "rekey_bytes"), have.RekeyBytes.Or(0))
	differ(name+".rekey_packets", numberOf(want, "rekey_packets"), have.RekeyPackets.Or(0))
	for key, listed := range map[string][]string{"local_ts": have.LocalTS, "remote_ts": have.RemoteTS} {
		asked := listOf(want, key)
		differ("number of "+name+"."+key, len(asked), len(listed))
		for i := range min(len(asked), len(listed)) {
			// charon names ports and protocols by the host's tables, and writes
			// ranges its own way: plain prefixes are told alike.
			if !strings.ContainsAny(asked[i], "[-") {
				differ(name+"."+key, asked[i], listed[i])
			}
		}
	}
}

func textOf(s *backend.Section, name string) string {
	if item := s.Get(name); item != nil {
		return item.Value
	}
	return ""
}

func subOf(s *backend.Section, name string) *backend.Section {
	if item := s.Get(name); item != nil && item.Section != nil {
		return item.Section
	}
	return &backend.Section{}
}

func listOf(s *backend.Section, name string) []string {
	if item := s.Get(name); item != nil {
		return item.List
	}
	return nil
}

func timeOf(s *backend.Section, name string) time.Duration {
	d, err := parseDuration(textOf(s, name))
	if err != nil {
		return 0
	}
	return d
}

func numberOf(s *backend.Section, name string) uint64 {
	n, err := strconv.ParseUint(textOf(s, name), 10, 64)
	if err != nil {
		return 0
	}
	return n
}
