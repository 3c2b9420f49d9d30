package lab

import (
	"fmt"
	"strings"
)

// Auth is how one end proves who it is, in swanctl's words.
type Auth struct {
	Method string // "psk", "pubkey", "eap-mschapv2"
	ID     string
	Lines  []string // further lines of the section, for example "certs = a.pem"
}

// End is one side of the tunnel: its connection, child and secrets as
// swanctl.conf has them. The zero value of a field leaves the line out.
type End struct {
	Name          string // of the connection, "gw" unless said otherwise
	Version       string // "2" unless said otherwise
	LocalAddrs    string
	RemoteAddrs   string
	Proposals     string
	ESP           string
	LocalTS       string
	RemoteTS      string
	Local, Remote Auth
	Conn          []string // further lines of the connection
	Child         []string // further lines of the child
	Secrets       []string // sections of secrets, whole
	Pools         []string // sections of pools, whole

	Daemon  DaemonConfig
	Absent  bool // no daemon runs here
	certPEM map[string][]byte
}

func setting(name, value string) string {
	if value == "" {
		return ""
	}
	return name + " = " + value + "\n"
}

func (a Auth) section(name string) string {
	return fmt.Sprintf("%s {\nauth = %s\n%s%s\n}\n", name, a.Method, setting("id", a.ID), strings.Join(a.Lines, "\n"))
}

// SwanctlConf is the end as a swanctl.conf with one connection and its child
// "net".
func (e End) SwanctlConf() string { return swanctlConf(e) }

// swanctlConf is a swanctl.conf with a connection for each end.
func swanctlConf(ends ...End) string {
	var connections, secrets, pools strings.Builder
	for i := range ends {
		connections.WriteString(ends[i].connection())
		secrets.WriteString(strings.Join(ends[i].Secrets, "\n") + "\n")
		pools.WriteString(strings.Join(ends[i].Pools, "\n") + "\n")
	}
	return fmt.Sprintf("connections {\n%s}\nsecrets {\n%s}\npools {\n%s}\n", &connections, &secrets, &pools)
}

// connection is the end's section of connections.
func (e *End) connection() string {
	var b strings.Builder
	b.WriteString(e.nameOr("gw") + " {\n")
	b.WriteString(setting("version", e.Version))
	b.WriteString(setting("local_addrs", e.LocalAddrs))
	b.WriteString(setting("remote_addrs", e.RemoteAddrs))
	b.WriteString(setting("proposals", e.Proposals))
	b.WriteString(strings.Join(e.Conn, "\n") + "\n")
	b.WriteString(e.Local.section("local"))
	b.WriteString(e.Remote.section("remote"))
	b.WriteString("children {\nnet {\n")
	b.WriteString(setting("local_ts", e.LocalTS))
	b.WriteString(setting("remote_ts", e.RemoteTS))
	b.WriteString(setting("esp_proposals", e.ESP))
	b.WriteString(strings.Join(e.Child, "\n") + "\n")
	b.WriteString("}\n}\n}\n")
	return b.String()
}

// nameOr is the end's name where it has one.
func (e *End) nameOr(other string) string {
	if e.Name == "" {
		return other
	}
	return e.Name
}
