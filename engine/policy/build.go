package policy

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// Options says how a policy file is read.
type Options struct {
	// Dir is what relative paths in the file are relative to; "" is the
	// working folder.
	Dir string
	// NoFiles leaves the files that the policy names unread: for a policy
	// that is checked elsewhere than where it is to be used.
	NoFiles bool
	// Now is the moment that certificates must be valid at; the zero time
	// leaves their dates unread.
	Now time.Time
}

// Load reads and checks the policy file at a path. The error is of reading
// the file; what is wrong in it are Findings. The Policy is nil where one of
// them is an error.
func Load(ctx context.Context, file string, o Options) (*Policy, []Finding, error) {
	data, err := readFile(file, MaxSize)
	if err != nil {
		return nil, nil, fmt.Errorf("policy: %w", err)
	}
	if o.Dir == "" {
		o.Dir = filepath.Dir(file)
	}
	p, findings := Parse(ctx, file, data, o)
	return p, findings, nil
}

// Parse checks a policy file's octets; name stands in the findings. The
// Policy is nil where a finding is an error.
func Parse(ctx context.Context, name string, data []byte, o Options) (*Policy, []Finding) {
	r := &report{file: name}
	root := readYAML(data, r)
	if root == nil {
		return nil, r.sorted()
	}
	compare(r, fileSpec(), root, "")
	b := &builder{report: r, options: o, root: root, ctx: ctx}
	if root.entries != nil {
		b.build()
	}
	findings := r.sorted()
	if Failed(findings) {
		return nil, findings
	}
	return b.policy, findings
}

// builder makes the model from nodes that were compared with the description.
// What is bad there is absent here.
type builder struct {
	ctx         context.Context
	report      *report
	options     Options
	root        *node
	policy      *Policy
	children    map[string][]childAt // by peer
	authorities map[string]string    // path by name
}

// childAt is a child and where it stands.
type childAt struct {
	child Child
	entry *entry
	path  string
}

func (b *builder) build() {
	b.policy = &Policy{}
	b.authorities = map[string]string{}
	for _, e := range b.entries("authorities") {
		a := Authority{Name: e.key, Certificate: b.file(e.value, "certificate", "authorities."+e.key), CRL: texts(e.value.get("crl")), OCSP: texts(e.value.get("ocsp"))}
		b.authorities[e.key] = a.Certificate
		b.checkAuthority(e.value.get("certificate"), a.Certificate, "authorities."+e.key+".certificate")
		b.policy.Authorities = append(b.policy.Authorities, a)
	}
	for _, e := range b.entries("pools") {
		p := Pool{Name: e.key}
		if n := e.value.get("addresses"); n != nil {
			p.Range, _ = parseRange(n.text) // was checked
		}
		p.DNS = parsed(e.value.get("dns"), parseIP)
		p.Subnets = parsed(e.value.get("subnets"), parsePrefix)
		b.policy.Pools = append(b.policy.Pools, p)
	}
	b.tunnels()
	node := b.root.get("node")
	if node != nil {
		b.checkOwn(node, "node")
	}
	used := map[string]bool{}
	for _, e := range b.entries("peers") {
		c := b.connection(e, node)
		for _, name := range c.Pools {
			used[name] = true
		}
		b.policy.Connections = append(b.policy.Connections, c)
	}
	b.intermediates(node)
	for _, e := range b.entries("pools") {
		if !used[e.key] {
			b.report.at(e.at(), Warning, "unused", "pools."+e.key, "no peer gets addresses from this pool")
		}
	}
	b.overlaps()
}

// entries gives the good entries of a map at the top.
func (b *builder) entries(name string) []*entry {
	n := b.root.get(name)
	if n == nil {
		return nil
	}
	var good []*entry
	for i := range n.entries {
		if e := &n.entries[i]; e.value.kind == mapNode {
			good = append(good, e)
		}
	}
	return good
}

// texts gives the good texts of a list.
func texts(n *node) []string {
	if n == nil {
		return nil
	}
	var all []string
	for _, item := range n.items {
		if item.kind == textNode {
			all = append(all, item.text)
		}
	}
	return all
}

// parsed gives the good items of a list, read.
func parsed[T any](n *node, parse func(string) (T, error)) []T {
	var all []T
	for _, s := range texts(n) {
		if v, err := parse(s); err == nil {
			all = append(all, v)
		}
	}
	return all
}

// value gives a text of a map, def where there is none.
func value(n *node, key, def string) string {
	if v := n.get(key); v != nil {
		return v.text
	}
	return def
}

// file gives the path at a key, absolute.
func (b *builder) file(n *node, key, at string) string {
	v := n.get(key)
	if v == nil {
		return ""
	}
	return b.absolute(v, v.text, join(at, key))
}

func (b *builder) absolute(n *node, name, at string) string {
	if !filepath.IsAbs(name) {
		name = filepath.Join(b.options.Dir, name)
	}
	abs, err := filepath.Abs(name)
	if err != nil || !matches(pathPattern, abs) {
		b.report.at(n, Error, "bad-value", at, "the path %s is not %s", quoted(abs), pathSay)
		return name
	}
	return abs
}

// secret gives the reference at a key.
func (b *builder) secret(n *node, key, at string) SecretRef {
	v := n.get(key)
	if v == nil {
		return SecretRef{}
	}
	return b.secretAt(v, join(at, key))
}

func (b *builder) secretAt(v *node, at string) SecretRef {
	s := SecretRef{File: b.file(v, "file", at), Env: value(v, "env", ""), Command: texts(v.get("command"))}
	if len(s.Command) > 0 {
		s.Timeout = defaultTimeout
	}
	if t := v.get("timeout"); t != nil {
		s.Timeout, _ = parseDuration(t.text) // was checked
		switch {
		case len(s.Command) == 0:
			b.report.at(t, Error, "bad-value", join(at, "timeout"), "only a command has a timeout")
		case s.Timeout < time.Second || s.Timeout > maxTimeout:
			b.report.at(t, Error, "out-of-range", join(at, "timeout"), "want 1s to %s", formatDuration(maxTimeout))
		}
	}
	if s.File != "" {
		b.checkSecretFile(v.get("file"), s.File, join(at, "file"))
	}
	return s
}

// setting finds where a group of settings says something of a key: at the
// place itself, or in the defaults.
type setting struct {
	own, shared      *node
	path, sharedPath string
}

func (b *builder) setting(n *node, at, group string) setting {
	return setting{n.get(group), b.root.get("defaults").get(group), join(at, group), "defaults." + group}
}

func (s setting) sub(group string) setting {
	return setting{s.own.get(group), s.shared.get(group), join(s.path, group), join(s.sharedPath, group)}
}

// get gives the node of a key, nil where neither place has it.
func (s setting) get(key string) *node {
	if n := s.own.get(key); n != nil {
		return n
	}
	return s.shared.get(key)
}

// where gives the place of the first of the keys that is there, for a finding
// about it; else n.
func (s setting) where(n *node, keys ...string) (*node, string) {
	for _, key := range keys {
		if v := s.own.get(key); v != nil {
			return v, s.path
		}
	}
	for _, key := range keys {
		if v := s.shared.get(key); v != nil {
			return v, s.sharedPath
		}
	}
	return n, s.path
}

func (s setting) text(key, def string) string {
	if n := s.get(key); n != nil {
		return n.text
	}
	return def
}

func (s setting) duration(key string, def time.Duration) time.Duration {
	if n := s.get(key); n != nil {
		def, _ = parseDuration(n.text) // was checked
	}
	return def
}

func (s setting) count(key string, def uint64) uint64 {
	if n := s.get(key); n != nil {
		def, _ = parseSize(n.text) // was checked
	}
	return def
}

func (s setting) proposals(p wire.ProtocolID, def string) []Proposal {
	n := s.get("proposals")
	if n == nil {
		return parseProposals(p, []string{def})
	}
	var all []Proposal
	for _, item := range n.items {
		for _, one := range parseProposals(p, texts(&node{items: []*node{item}})) {
			one.Line = item.line
			all = append(all, one)
		}
	}
	return all
}

// The defaults of every policy.
const (
	defaultIKE = "aes256gcm16-prfsha256-ecp256"
	defaultESP = "aes256gcm16-ecp256"

	defaultIKERekey = 4 * time.Hour
	defaultESPRekey = time.Hour
	defaultInterval = 30 * time.Second
	defaultWait     = 10 * time.Second
	defaultRetries  = 3
)

// scalar gives a setting that stands at the place itself or in the defaults.
func (b *builder) scalar(n *node, key, def string) string {
	return value(n, key, value(b.root.get("defaults"), key, def))
}

func (b *builder) ike(c *Connection, n *node, at string) {
	s := b.setting(n, at, "ike")
	c.Proposals = s.proposals(wire.ProtocolIKE, defaultIKE)
	c.Unique, c.Fragmentation = s.text("unique", "no"), s.text("fragmentation", "yes")
	c.MOBIKE = s.text("mobike", "true") == "true"
	life := s.sub("lifetime")
	c.Reauth = life.duration("reauth", 0)
	c.Rekey = life.duration("rekey", defaultIKERekey)
	longest := max(c.Rekey, c.Reauth)
	c.Hard = life.duration("hard", tenth(longest))
	c.Jitter = life.duration("jitter", spread(longest, c.Hard))
	shortest := c.Rekey
	if c.Reauth > 0 && (c.Reauth < shortest || shortest == 0) {
		shortest = c.Reauth
	}
	checkLimits(b.report, life, n, Limits[time.Duration]{longest, c.Hard, c.Jitter}, shortest, formatDuration)
	d := b.setting(n, at, "dpd")
	c.DPD = DPD{Interval: d.duration("interval", defaultInterval), Timeout: d.duration("timeout", defaultWait), Retries: defaultRetries, Action: d.text("action", "clear")}
	if v := d.get("retries"); v != nil {
		c.DPD.Retries, _ = strconv.Atoi(v.text) // was checked
	}
	b.checkDPD(c, d, n)
	c.NAT = b.scalar(n, "nat", "auto")
	if v := n.get("nat"); v != nil && c.NAT == "off" {
		b.report.at(v, Warning, "no-effect", join(at, "nat"), "strongSwan cannot leave NAT detection out: it stays as with auto; our own engine leaves it out")
	}
}

// tenth gives the hard limit of a soft one: 10 % more, in whole seconds.
func tenth[T ~int64 | ~uint64](soft T) T { return soft + soft/10 }

// spread gives the jitter of limits that name none: 10 % of the soft one, and
// not more than lies between the two.
func spread[T ~int64 | ~uint64](soft, hard T) T {
	if hard <= soft {
		return 0
	}
	return min(hard-soft, soft/10)
}

func (b *builder) tunnels() {
	b.children = map[string][]childAt{}
	peers := b.root.get("peers")
	for _, e := range b.entries("tunnels") {
		at := "tunnels." + e.key
		peer := e.value.get("peer")
		child := b.child(e, at)
		if peer == nil {
			continue
		}
		if !peers.has(peer.text) {
			b.dangling(peer, at+".peer", "peer", peers)
			continue
		}
		b.children[peer.text] = append(b.children[peer.text], childAt{child, e, at})
	}
}

// dangling reports a name that nothing has.
func (b *builder) dangling(n *node, at, what string, in *node) {
	var names []string
	if in != nil {
		for i := range in.entries {
			names = append(names, in.entries[i].key)
		}
	}
	f := Finding{Line: n.line, Column: n.column, Severity: Error, Code: "dangling-reference", Path: at,
		Message: fmt.Sprintf("there is no %s %s%s", what, quoted(n.text), didYouMean(n.text, names))}
	if len(names) <= 12 {
		f.Allowed = names
	}
	b.report.add(f)
}

func (b *builder) child(e *entry, at string) Child {
	n := e.value
	s := b.setting(n, at, "esp")
	c := Child{Name: e.key, Proposals: s.proposals(wire.ProtocolESP, defaultESP),
		Transport: b.scalar(n, "mode", "tunnel") == "transport", Start: b.scalar(n, "start", "none"), Close: b.scalar(n, "close", "none")}
	c.Local, c.Remote = selectors(n.get("local")), selectors(n.get("remote"))
	c.Time = childLimits(b.report, s.sub("lifetime"), n, defaultESPRekey, setting.duration, formatDuration)
	plain := func(v uint64) string { return strconv.FormatUint(v, 10) }
	c.Octets = childLimits(b.report, s.sub("octets"), n, 0, setting.count, plain)
	c.Packets = childLimits(b.report, s.sub("packets"), n, 0, setting.count, plain)
	b.checkSelectors(&c, n, at)
	return c
}

func childLimits[T ~int64 | ~uint64](r *report, s setting, n *node, rekey T, get func(setting, string, T) T, say func(T) string) Limits[T] {
	var l Limits[T]
	l.Rekey = get(s, "rekey", rekey)
	l.Hard = get(s, "hard", tenth(l.Rekey))
	l.Jitter = get(s, "jitter", spread(l.Rekey, l.Hard))
	checkLimits(r, s, n, l, l.Rekey, say)
	return l
}

func selectors(n *node) []Selector {
	all := parsed(n, parseSelector)
	if n == nil {
		dynamic, _ := parseSelector("dynamic")
		all = []Selector{dynamic}
	}
	return all
}

// intermediates adds the authorities of this node's own chains.
func (b *builder) intermediates(self *node) {
	seen := map[string]bool{}
	add := func(n *node, at string) {
		v := n.get("intermediates")
		if v == nil {
			return
		}
		for i, item := range v.items {
			if item.kind != textNode {
				continue
			}
			here := fmt.Sprintf("%s.intermediates[%d]", at, i)
			file := b.absolute(item, item.text, here)
			if seen[file] {
				continue
			}
			seen[file] = true
			b.checkAuthority(item, file, here)
			b.policy.Authorities = append(b.policy.Authorities, Authority{
				Name: fmt.Sprintf("own-chain-%d", len(seen)), Certificate: file, Intermediate: true})
		}
	}
	add(self, "node")
	for _, e := range b.entries("peers") {
		add(e.value.get("local"), "peers."+e.key+".local")
	}
}

// missing says whether an error is that of a file that is not there.
func missing(err error) bool { return errors.Is(err, fs.ErrNotExist) }

// anyAddr is the list of one address that is any.
func anyAddr(list []Address) []Address {
	if len(list) == 0 {
		return []Address{{}}
	}
	return list
}
