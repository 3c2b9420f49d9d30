package serve

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/engine/vici/packet"
)

// request is one command as it came.
type request struct {
	client  *client
	backend backend.Backend
	in      []packet.Element
	exact   bool // the client wants our own additions
}

// command answers a request; what it gives is the answer. An error becomes an
// answer that says no. It may raise events before.
type command func(ctx context.Context, r *request) ([]packet.Element, error)

// commands are all that there are. load-token is not among them: no backend of
// ours has tokens but strongSwan's own, which serves itself.
var commands = map[string]command{
	"version": version, "stats": stats, "reload-settings": reloadSettings,
	"initiate": initiate, "terminate": terminate, "rekey": rekey, "redirect": redirect,
	"install": install, "uninstall": uninstall,
	"list-sas": listSAs, "list-policies": listPolicies, "list-conns": listConns, "get-conns": getConns,
	"list-certs": listCerts, "list-authorities": listAuthorities, "get-authorities": getAuthorities,
	"load-conn": loadConn, "unload-conn": unloadConn, "load-cert": loadCert, "load-key": loadKey, "unload-key": unloadKey,
	"get-keys": getKeys, "load-token": loadToken, "load-shared": loadShared, "unload-shared": unloadShared, "get-shared": getShared,
	"flush-certs": flushCerts, "clear-creds": clearCreds,
	"load-authority": loadAuthority, "unload-authority": unloadAuthority,
	"load-pool": loadPool, "unload-pool": unloadPool, "get-pools": getPools,
	"get-algorithms": getAlgorithms, "get-counters": getCounters, "reset-counters": resetCounters,
	packet.CommandDPD: dpd, packet.CommandPast: past, packet.CommandRecall: recall,
}

// request answers one command. It says whether the client may go on.
func (c *client) request(p *packet.Packet) bool {
	do := commands[p.Name]
	if do == nil {
		return c.reply(packet.Unknown, nil)
	}
	r := &request{client: c, backend: c.server.backend, in: p.Entries, exact: packet.Get(p.Entries, packet.Exact) != nil}
	answer, err := do(c.ctx, r)
	switch {
	case c.ctx.Err() != nil:
		return false
	case err != nil:
		answer = append(answer, refusal(err, r.exact)...)
	}
	return c.reply(packet.Response, answer)
}

// done is the answer of a command that has none of its own.
func done() []packet.Element { return []packet.Element{packet.Value("success", "yes")} }

// ok is the answer of a command that has none of its own and may fail.
func ok(err error) ([]packet.Element, error) {
	if err != nil {
		return nil, err
	}
	return done(), nil
}

// refusal is the answer that says no, and why.
func refusal(err error, exact bool) []packet.Element {
	text, kind := err.Error(), "refused"
	for _, k := range []struct {
		err  error
		name string
	}{{backend.ErrUnsupported, "unsupported"}, {backend.ErrUnreachable, "unreachable"}, {backend.ErrRefused, "refused"}} {
		if errors.Is(err, k.err) {
			kind = k.name
			text = strings.TrimSuffix(text, ": "+k.err.Error())
			break
		}
	}
	if len(text) > maxLine {
		text = text[:maxLine]
	}
	no := []packet.Element{packet.Value("success", "no"), packet.Value("errmsg", text)}
	if exact {
		no = append(no, packet.Value(packet.KindKey, kind))
	}
	return no
}

// text gives a value of the request, "" where there is none.
func (r *request) text(name string) string { return packet.Find(r.in, name) }

// yes says whether a value of the request says so, in any of VICI's words.
func (r *request) yes(name string) bool {
	switch strings.ToLower(r.text(name)) {
	case "yes", "true", "enabled", "1":
		return true
	}
	return false
}

// number gives a number of the request, def where there is none; it may be
// negative.
func (r *request) number(name string, def int) int {
	n, err := strconv.ParseInt(r.text(name), 0, 32)
	if err != nil {
		return def
	}
	return int(n)
}

// id gives a unique id, 0 where there is none.
func (r *request) id(name string) uint32 {
	n, err := strconv.ParseUint(r.text(name), 0, 32)
	if err != nil {
		return 0
	}
	return uint32(n)
}

// list gives a list of the request; a single value is a list of one.
func (r *request) list(name string) []string {
	e := packet.Get(r.in, name)
	switch {
	case e == nil || e.Section != nil:
		return nil
	case e.List != nil:
		return e.List
	}
	return []string{e.Value}
}

// target gives what a command is to act on.
func (r *request) target() backend.Target {
	return backend.Target{IKE: r.text("ike"), IKEID: r.id("ike-id"), Child: r.text("child"), ChildID: r.id("child-id")}
}

// section gives the one section of the request and its name.
func (r *request) section() (string, *backend.Section, error) {
	if len(r.in) != 1 && !(r.exact && len(r.in) == 2) {
		return "", nil, fmt.Errorf("the request has %d entries; it wants one section with a name", len(r.in))
	}
	for i := range r.in {
		if e := &r.in[i]; e.Section != nil && e.Name != "" {
			return e.Name, settings(e.Section), nil
		}
	}
	return "", nil, errors.New("the request has no section with a name")
}

// settings gives entries as the settings of swanctl.conf.
func settings(list []packet.Element) *backend.Section {
	s := &backend.Section{}
	for i := range list {
		item := backend.Item{Name: list[i].Name, Value: list[i].Value, List: list[i].List}
		if list[i].Section != nil {
			item.Section = settings(list[i].Section)
		}
		s.Items = append(s.Items, item)
	}
	return s
}

// errGone says that the client has gone while it was being answered.
var errGone = errors.New("the client has gone")

// raise sends an event to the client that gave the command, if it has
// registered.
func (r *request) raise(event string, entries ...packet.Element) error {
	if !r.client.subscribed(event) {
		return nil
	}
	b, err := packet.Append(nil, packet.Event, event, entries)
	if err != nil {
		return err
	}
	if !r.client.send(b) {
		return errGone
	}
	return nil
}
