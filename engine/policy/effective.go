package policy

import (
	"fmt"
	"net/netip"
	"strconv"
	"time"
)

// File is the form of a policy file, with every default written out: what
// `policy show` prints. Reading it again gives the same Policy. Secrets are
// references here as they are in a Policy.
type File struct {
	Version     int                      `json:"version"`
	Schema      string                   `json:"schema"`
	Node        FileNode                 `json:"node"`
	Authorities map[string]FileAuthority `json:"authorities,omitempty"`
	Pools       map[string]FilePool      `json:"pools,omitempty"`
	Peers       map[string]FilePeer      `json:"peers"`
	Tunnels     map[string]FileTunnel    `json:"tunnels,omitempty"`
}

// FileNode is this node.
type FileNode struct {
	Identity      string      `json:"identity,omitempty"`
	Addresses     []string    `json:"addresses,omitempty"`
	Certificate   string      `json:"certificate,omitempty"`
	Intermediates []string    `json:"intermediates,omitempty"`
	Key           *FileSecret `json:"key,omitempty"`
}

// FileSecret is a reference to a secret.
type FileSecret struct {
	File    string   `json:"file,omitempty"`
	Env     string   `json:"env,omitempty"`
	Command []string `json:"command,omitempty"`
	Timeout string   `json:"timeout,omitempty"`
}

// FileAuthority is an authority.
type FileAuthority struct {
	Certificate string   `json:"certificate"`
	CRL         []string `json:"crl,omitempty"`
	OCSP        []string `json:"ocsp,omitempty"`
}

// FilePool is a pool.
type FilePool struct {
	Addresses string   `json:"addresses"`
	DNS       []string `json:"dns,omitempty"`
	Subnets   []string `json:"subnets,omitempty"`
}

// FilePeer is a peer.
type FilePeer struct {
	Addresses        []string    `json:"addresses"`
	Port             uint16      `json:"port,omitempty"`
	Identity         string      `json:"identity,omitempty"`
	Auth             string      `json:"auth"`
	PSK              *FileSecret `json:"psk,omitempty"`
	EAP              *FileEAP    `json:"eap,omitempty"`
	Authorities      []string    `json:"authorities,omitempty"`
	Certificate      string      `json:"certificate,omitempty"`
	Revocation       string      `json:"revocation,omitempty"`
	Local            *FileNode   `json:"local,omitempty"`
	VirtualAddresses []string    `json:"virtual_addresses,omitempty"`
	Pools            []string    `json:"pools,omitempty"`
	IKE              FileIKE     `json:"ike"`
	DPD              FileDPD     `json:"dpd"`
	NAT              string      `json:"nat"`
}

// FileEAP is a peer's EAP.
type FileEAP struct {
	Role     string                 `json:"role"`
	Identity string                 `json:"identity,omitempty"`
	Password *FileSecret            `json:"password,omitempty"`
	Users    map[string]*FileSecret `json:"users,omitempty"`
}

// FileIKE is an IKE SA's settings.
type FileIKE struct {
	Proposals     []string        `json:"proposals"`
	Lifetime      FileIKELifetime `json:"lifetime"`
	Unique        string          `json:"unique"`
	Fragmentation string          `json:"fragmentation"`
	MOBIKE        bool            `json:"mobike"`
}

// FileIKELifetime is how long an IKE SA lives.
type FileIKELifetime struct {
	Rekey  string `json:"rekey"`
	Reauth string `json:"reauth"`
	Hard   string `json:"hard"`
	Jitter string `json:"jitter"`
}

// FileDPD is dead peer detection.
type FileDPD struct {
	Interval string `json:"interval"`
	Timeout  string `json:"timeout"`
	Retries  int    `json:"retries"`
	Action   string `json:"action"`
}

// FileTunnel is a tunnel.
type FileTunnel struct {
	Peer   string   `json:"peer"`
	Local  []string `json:"local"`
	Remote []string `json:"remote"`
	Mode   string   `json:"mode"`
	Start  string   `json:"start"`
	Close  string   `json:"close,omitempty"` // absent for none
	ESP    FileESP  `json:"esp"`
}

// FileESP is a CHILD SA's settings. Octets and packets are absent where they
// have no limit.
type FileESP struct {
	Proposals []string            `json:"proposals"`
	Lifetime  FileLimits[string]  `json:"lifetime"`
	Octets    *FileLimits[string] `json:"octets,omitempty"`
	Packets   *FileLimits[uint64] `json:"packets,omitempty"`
}

// FileLimits are limits in one measure.
type FileLimits[T any] struct {
	Rekey  T `json:"rekey"`
	Hard   T `json:"hard"`
	Jitter T `json:"jitter"`
}

// Effective writes a policy as a file with every default in it.
func Effective(p *Policy) *File {
	f := &File{Version: Version, Schema: SchemaName, Authorities: map[string]FileAuthority{},
		Pools: map[string]FilePool{}, Peers: map[string]FilePeer{}, Tunnels: map[string]FileTunnel{}}
	nameOf := map[string]string{}
	for _, a := range p.Authorities {
		if a.Intermediate {
			f.Node.Intermediates = append(f.Node.Intermediates, a.Certificate)
			continue
		}
		nameOf[a.Certificate] = a.Name
		f.Authorities[a.Name] = FileAuthority{a.Certificate, a.CRL, a.OCSP}
	}
	for _, pool := range p.Pools {
		f.Pools[pool.Name] = FilePool{pool.Range.String(), written(pool.DNS), written(pool.Subnets)}
	}
	for i := range p.Connections {
		c := &p.Connections[i]
		peer := filePeer(c, nameOf)
		own := fileNode(c)
		peer.Local = &own
		f.Peers[c.Name] = peer
		for j := range c.Children {
			f.Tunnels[c.Children[j].Name] = fileTunnel(c.Name, &c.Children[j])
		}
	}
	f.shareLocal(p)
	return f
}

// shareLocal moves what this node says of itself to all peers alike to the
// node.
func (f *File) shareLocal(p *Policy) {
	if len(p.Connections) == 0 {
		return
	}
	first := *f.Peers[p.Connections[0].Name].Local
	for _, peer := range f.Peers {
		if fmt.Sprintf("%+v %+v", *peer.Local, peer.Local.Key) != fmt.Sprintf("%+v %+v", first, first.Key) {
			return
		}
	}
	first.Intermediates = f.Node.Intermediates
	f.Node = first
	for name, peer := range f.Peers {
		peer.Local = nil
		f.Peers[name] = peer
	}
}

func fileNode(c *Connection) FileNode {
	return FileNode{Identity: c.Local.ID, Addresses: addressTexts(c.LocalAddrs), Certificate: c.Local.Certificate, Key: fileSecret(c.Local.Key)}
}

func addressTexts(list []Address) []string {
	all := make([]string, len(list))
	for i, a := range list {
		all[i] = a.written()
	}
	return all
}

// String gives the reference without a command's arguments.
func (s *FileSecret) String() string {
	if s == nil {
		return ""
	}
	return fmt.Sprintf("%q", append([]string{s.File, s.Env, s.Timeout}, s.Command...))
}

func fileSecret(s SecretRef) *FileSecret {
	if s.IsZero() {
		return nil
	}
	f := &FileSecret{File: s.File, Env: s.Env, Command: s.Command}
	if s.Timeout > 0 {
		f.Timeout = formatDuration(s.Timeout)
	}
	return f
}

func filePeer(c *Connection, nameOf map[string]string) FilePeer {
	p := FilePeer{
		Addresses: addressTexts(c.RemoteAddrs), Port: c.RemotePort, Identity: c.Remote.ID,
		Certificate: c.Remote.Certificate, Revocation: c.Remote.Revocation, Pools: c.Pools, NAT: c.NAT,
		IKE: FileIKE{Proposals: proposalTexts(c.Proposals), Unique: c.Unique, Fragmentation: c.Fragmentation, MOBIKE: c.MOBIKE,
			Lifetime: FileIKELifetime{formatDuration(c.Rekey), formatDuration(c.Reauth), formatDuration(c.Hard), formatDuration(c.Jitter)}},
		DPD: FileDPD{formatDuration(c.DPD.Interval), formatDuration(c.DPD.Timeout), c.DPD.Retries, c.DPD.Action},
	}
	for _, path := range c.Remote.Authorities {
		p.Authorities = append(p.Authorities, nameOf[path])
	}
	for _, a := range c.VirtualAddrs {
		p.VirtualAddresses = append(p.VirtualAddresses, virtualText(a))
	}
	switch {
	case c.Local.Method == PSK:
		p.Auth = "psk"
		p.PSK = fileSecret(c.Credentials[0].Secret)
	case c.Local.Method.EAP():
		p.Auth, p.EAP = string(c.Local.Method), &FileEAP{Role: "client", Identity: c.Local.EAPID}
		if len(c.Credentials) > 0 {
			p.EAP.Password = fileSecret(c.Credentials[0].Secret)
		}
	case c.Remote.Method.EAP():
		p.Auth, p.EAP = string(c.Remote.Method), &FileEAP{Role: "server", Identity: c.Remote.EAPID}
		for _, user := range c.Credentials {
			if p.EAP.Users == nil {
				p.EAP.Users = map[string]*FileSecret{}
			}
			p.EAP.Users[user.Owners[0]] = fileSecret(user.Secret)
		}
	default:
		p.Auth = "cert"
	}
	return p
}

func virtualText(a netip.Addr) string {
	switch a {
	case netip.IPv4Unspecified():
		return "ipv4"
	case netip.IPv6Unspecified():
		return "ipv6"
	}
	return a.String()
}

func fileTunnel(peer string, c *Child) FileTunnel {
	t := FileTunnel{Peer: peer, Local: written(c.Local), Remote: written(c.Remote), Mode: "tunnel", Start: c.Start,
		ESP: FileESP{Proposals: proposalTexts(c.Proposals), Lifetime: fileLimits(c.Time, func(d time.Duration) string { return formatDuration(d) })}}
	if c.Transport {
		t.Mode = "transport"
	}
	if c.Close != "none" {
		t.Close = c.Close
	}
	if c.Octets != (Limits[uint64]{}) {
		l := fileLimits(c.Octets, func(n uint64) string { return strconv.FormatUint(n, 10) + "B" })
		t.ESP.Octets = &l
	}
	if c.Packets != (Limits[uint64]{}) {
		l := fileLimits(c.Packets, func(n uint64) uint64 { return n })
		t.ESP.Packets = &l
	}
	return t
}

func fileLimits[T ~int64 | ~uint64, U any](l Limits[T], say func(T) U) FileLimits[U] {
	return FileLimits[U]{say(l.Rekey), say(l.Hard), say(l.Jitter)}
}
