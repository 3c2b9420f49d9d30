package vicitest

import (
	"fmt"
	"strconv"
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
		conns = append(conns, AppendPacket(nil, PacketEvent, "list-conn", []Element{Connection(i)}))
	}
	for i := range sas {
		ikes = append(ikes, AppendPacket(nil, PacketEvent, "list-sa", []Element{SA(i, true)}))
	}
	all := func(event string, packets [][]byte) Command {
		return func(c *Call) []Element {
			for _, p := range packets {
				c.RaisePacket(event, p)
			}
			return nil
		}
	}
	return NewServer(map[string]Command{
		"version": func(*Call) []Element {
			return []Element{Value("daemon", "charon-test"), Value("version", "6.0.3"), Value("sysname", "Linux"),
				Value("release", "6.1"), Value("machine", "x86_64")}
		},
		"stats": func(*Call) []Element {
			return []Element{
				Sub("uptime", Value("running", "5 minutes"), Value("since", "Mar 01 12:00:00 2026")),
				Sub("workers", Value("total", "16"), Value("idle", "11"),
					Sub("active", Value("critical", "4"), Value("high", "0"), Value("medium", "1"), Value("low", "0"))),
				Sub("queues", Value("critical", "0"), Value("high", "0"), Value("medium", "0"), Value("low", "0")),
				Value("scheduled", "3"), Sub("ikesas", Value("total", strconv.Itoa(sas)), Value("half-open", "0")),
				List("plugins", "vici", "openssl"),
			}
		},
		"list-conns":       all("list-conn", conns),
		"list-sas":         all("list-sa", ikes),
		"list-policies":    all("list-policy", nil),
		"list-certs":       all("list-cert", nil),
		"list-authorities": all("list-authority", nil),
		"get-pools":        func(*Call) []Element { return nil },
		"get-keys":         func(*Call) []Element { return []Element{List("keys")} },
		"get-shared":       func(*Call) []Element { return []Element{List("keys")} },
		"get-algorithms": func(*Call) []Element {
			return []Element{Sub("encryption", Value("AES_CBC", "openssl")), Sub("aead", Value("AES_GCM_16", "openssl"))}
		},
		"get-counters": func(*Call) []Element {
			return []Element{Sub("counters", Sub("", Value("ike-init-in-req", "7"))), Value("success", "yes")}
		},
		"initiate":  func(*Call) []Element { return []Element{Value("success", "yes")} },
		"terminate": func(*Call) []Element { return []Element{Value("success", "yes"), Value("matches", "1")} },
	}, DaemonEvents...)
}

// Name is the name of the i-th connection.
func Name(i int) string { return fmt.Sprintf("site-%04d", i) }

// Connection is the i-th connection as list-conns has it.
func Connection(i int) Element {
	return Sub(Name(i),
		List("local_addrs", "192.0.2.1"), List("remote_addrs", peer(i)), Value("version", "IKEv2"),
		Value("reauth_time", "0"), Value("rekey_time", "14400"), Value("unique", "UNIQUE_NO"), Value("dpd_delay", "30"),
		Sub("local-1", Value("id", "hub.example"), Value("class", "pre-shared key"), List("groups"), List("certs"), List("cacerts")),
		Sub("remote-1", Value("id", Name(i)+".example"), Value("class", "pre-shared key"), List("groups"), List("certs"), List("cacerts")),
		Sub("children", Sub("net", Value("mode", "TUNNEL"), Value("rekey_time", "3600"), Value("rekey_bytes", "0"),
			Value("rekey_packets", "0"), Value("dpd_action", "restart"), Value("close_action", "none"),
			List("local-ts", "10.0.0.0/16"), List("remote-ts", network(i)))))
}

// peer and network spread peers over addresses.
func peer(i int) string    { return fmt.Sprintf("198.18.%d.%d", i/250%250, i%250+1) }
func network(i int) string { return fmt.Sprintf("10.%d.%d.0/24", 1+i/250%250, i%250) }

// SA is the IKE SA of the i-th connection as list-sas has it, with its child or
// without.
func SA(i int, children bool) Element {
	id := strconv.Itoa(i + 1)
	entries := []Element{
		Value("uniqueid", id), Value("version", "2"), Value("state", "ESTABLISHED"),
		Value("local-host", "192.0.2.1"), Value("local-port", "4500"), Value("local-id", "hub.example"),
		Value("remote-host", peer(i)), Value("remote-port", "4500"), Value("remote-id", Name(i)+".example"),
		Value("initiator", "yes"), Value("initiator-spi", fmt.Sprintf("%016x", 0xa000000000000000+uint64(i))),
		Value("responder-spi", fmt.Sprintf("%016x", 0xb000000000000000+uint64(i))),
		Value("nat-remote", "yes"), Value("nat-any", "yes"),
		Value("encr-alg", "AES_GCM_16"), Value("encr-keysize", "256"), Value("prf-alg", "PRF_HMAC_SHA2_256"),
		Value("dh-group", "ECP_256"), Value("established", strconv.Itoa(100+i%1000)), Value("rekey-time", "13000"),
	}
	if children {
		entries = append(entries, Sub("child-sas", Sub("net-"+id,
			Value("name", "net"), Value("uniqueid", id), Value("reqid", id), Value("state", "INSTALLED"),
			Value("mode", "TUNNEL"), Value("protocol", "ESP"), Value("encap", "yes"),
			Value("spi-in", fmt.Sprintf("%08x", 0xc0000000+uint32(i))), Value("spi-out", fmt.Sprintf("%08x", 0xd0000000+uint32(i))),
			Value("encr-alg", "AES_GCM_16"), Value("encr-keysize", "256"),
			Value("bytes-in", strconv.Itoa(84*i)), Value("packets-in", strconv.Itoa(i)), Value("use-in", "3"),
			Value("bytes-out", strconv.Itoa(84*i)), Value("packets-out", strconv.Itoa(i)), Value("use-out", "3"),
			Value("rekey-time", "3300"), Value("life-time", "3960"), Value("install-time", "100"),
			List("local-ts", "10.0.0.0/16"), List("remote-ts", network(i)))))
	}
	return Sub(Name(i), entries...)
}
