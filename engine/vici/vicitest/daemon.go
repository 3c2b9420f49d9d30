package vicitest

import (
	"fmt"
	"strconv"

	"github.com/cloudvlan/cvlanctl/engine/vici/packet"
)

// DaemonEvents are the events that strongSwan 6.0 knows.
var DaemonEvents = []string{
	"log", "control-log", "list-sa", "list-policy", "list-conn", "list-cert", "list-authority",
	"ike-updown", "ike-rekey", "ike-update", "child-updown", "child-rekey", "alert",
}

// NewDaemon makes a server that looks like a strongSwan with so many
// connections, of which the first sas have an IKE SA with one CHILD SA each.
// What it lists is made once, so that it serves as fast as it can write.
func NewDaemon(connections, sas int) *Server {
	var conns, ikes [][]byte
	for i := range connections {
		conns = append(conns, AppendPacket(nil, packet.Event, "list-conn", []packet.Element{Connection(i)}))
	}
	for i := range sas {
		ikes = append(ikes, AppendPacket(nil, packet.Event, "list-sa", []packet.Element{SA(i, true)}))
	}
	all := func(event string, packets [][]byte) Command {
		return func(c *Call) []packet.Element {
			for _, p := range packets {
				c.RaisePacket(event, p)
			}
			return nil
		}
	}
	return NewServer(map[string]Command{
		"version": func(*Call) []packet.Element {
			return []packet.Element{packet.Value("daemon", "charon-test"), packet.Value("version", "6.0.3"), packet.Value("sysname", "Linux"),
				packet.Value("release", "6.1"), packet.Value("machine", "x86_64")}
		},
		"stats": func(*Call) []packet.Element {
			return []packet.Element{
				packet.Sub("uptime", packet.Value("running", "5 minutes"), packet.Value("since", "Mar 01 12:00:00 2026")),
				packet.Sub("workers", packet.Value("total", "16"), packet.Value("idle", "11"),
					packet.Sub("active", packet.Value("critical", "4"), packet.Value("high", "0"), packet.Value("medium", "1"), packet.Value("low", "0"))),
				packet.Sub("queues", packet.Value("critical", "0"), packet.Value("high", "0"), packet.Value("medium", "0"), packet.Value("low", "0")),
				packet.Value("scheduled", "3"), packet.Sub("ikesas", packet.Value("total", strconv.Itoa(sas)), packet.Value("half-open", "0")),
				packet.List("plugins", "vici", "openssl"),
			}
		},
		"list-conns":       all("list-conn", conns),
		"list-sas":         all("list-sa", ikes),
		"list-policies":    all("list-policy", nil),
		"list-certs":       all("list-cert", nil),
		"list-authorities": all("list-authority", nil),
		"get-pools":        func(*Call) []packet.Element { return nil },
		"get-keys":         func(*Call) []packet.Element { return []packet.Element{packet.List("keys")} },
		"get-shared":       func(*Call) []packet.Element { return []packet.Element{packet.List("keys")} },
		"get-algorithms": func(*Call) []packet.Element {
			return []packet.Element{packet.Sub("encryption", packet.Value("AES_CBC", "openssl")), packet.Sub("aead", packet.Value("AES_GCM_16", "openssl"))}
		},
		"get-counters": func(*Call) []packet.Element {
			return []packet.Element{packet.Sub("counters", packet.Sub("", packet.Value("ike-init-in-req", "7"))), packet.Value("success", "yes")}
		},
		"initiate": func(*Call) []packet.Element { return []packet.Element{packet.Value("success", "yes")} },
		"terminate": func(*Call) []packet.Element {
			return []packet.Element{packet.Value("success", "yes"), packet.Value("matches", "1")}
		},
	}, DaemonEvents...)
}

// Name is the name of the i-th connection.
func Name(i int) string { return fmt.Sprintf("site-%04d", i) }

// Connection is the i-th connection as list-conns has it.
func Connection(i int) packet.Element {
	return packet.Sub(Name(i),
		packet.List("local_addrs", "192.0.2.1"), packet.List("remote_addrs", peer(i)), packet.Value("version", "IKEv2"),
		packet.Value("reauth_time", "0"), packet.Value("rekey_time", "14400"), packet.Value("unique", "UNIQUE_NO"), packet.Value("dpd_delay", "30"),
		packet.Sub("local-1", packet.Value("id", "hub.example"), packet.Value("class", "pre-shared key"), packet.List("groups"), packet.List("certs"), packet.List("cacerts")),
		packet.Sub("remote-1", packet.Value("id", Name(i)+".example"), packet.Value("class", "pre-shared key"), packet.List("groups"), packet.List("certs"), packet.List("cacerts")),
		packet.Sub("children", packet.Sub("net", packet.Value("mode", "TUNNEL"), packet.Value("rekey_time", "3600"), packet.Value("rekey_bytes", "0"),
			packet.Value("rekey_packets", "0"), packet.Value("dpd_action", "restart"), packet.Value("close_action", "none"),
			packet.List("local-ts", "10.0.0.0/16"), packet.List("remote-ts", network(i)))))
}

// peer and network spread peers over addresses.
func peer(i int) string    { return fmt.Sprintf("198.18.%d.%d", i/250%250, i%250+1) }
func network(i int) string { return fmt.Sprintf("10.%d.%d.0/24", 1+i/250%250, i%250) }

// SA is the IKE SA of the i-th connection as list-sas has it, with its child or
// without.
func SA(i int, children bool) packet.Element {
	id := strconv.Itoa(i + 1)
	entries := []packet.Element{
		packet.Value("uniqueid", id), packet.Value("version", "2"), packet.Value("state", "ESTABLISHED"),
		packet.Value("local-host", "192.0.2.1"), packet.Value("local-port", "4500"), packet.Value("local-id", "hub.example"),
		packet.Value("remote-host", peer(i)), packet.Value("remote-port", "4500"), packet.Value("remote-id", Name(i)+".example"),
		packet.Value("initiator", "yes"), packet.Value("initiator-spi", fmt.Sprintf("%016x", 0xa000000000000000+uint64(i))),
		packet.Value("responder-spi", fmt.Sprintf("%016x", 0xb000000000000000+uint64(i))),
		packet.Value("nat-remote", "yes"), packet.Value("nat-any", "yes"),
		packet.Value("encr-alg", "AES_GCM_16"), packet.Value("encr-keysize", "256"), packet.Value("prf-alg", "PRF_HMAC_SHA2_256"),
		packet.Value("dh-group", "ECP_256"), packet.Value("established", strconv.Itoa(100+i%1000)), packet.Value("rekey-time", "13000"),
	}
	if children {
		entries = append(entries, packet.Sub("child-sas", packet.Sub("net-"+id,
			packet.Value("name", "net"), packet.Value("uniqueid", id), packet.Value("reqid", id), packet.Value("state", "INSTALLED"),
			packet.Value("mode", "TUNNEL"), packet.Value("protocol", "ESP"), packet.Value("encap", "yes"),
			packet.Value("spi-in", fmt.Sprintf("%08x", 0xc0000000+uint32(i))), packet.Value("spi-out", fmt.Sprintf("%08x", 0xd0000000+uint32(i))),
			packet.Value("encr-alg", "AES_GCM_16"), packet.Value("encr-keysize", "256"),
			packet.Value("bytes-in", strconv.Itoa(84*i)), packet.Value("packets-in", strconv.Itoa(i)), packet.Value("use-in", "3"),
			packet.Value("bytes-out", strconv.Itoa(84*i)), packet.Value("packets-out", strconv.Itoa(i)), packet.Value("use-out", "3"),
			packet.Value("rekey-time", "3300"), packet.Value("life-time", "3960"), packet.Value("install-time", "100"),
			packet.List("local-ts", "10.0.0.0/16"), packet.List("remote-ts", network(i)))))
	}
	return packet.Sub(Name(i), entries...)
}
