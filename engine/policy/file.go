package policy

import "sync"

// Version is the version of the file's form.
const Version = 1

// SchemaName is what the optional key schema of a file says.
const SchemaName = "cvlanctl/policy/v1"

const (
	timePattern = `([0-9]{1,6}[dhms]){1,4}`
	timeSay     = "a time: 30s, 10m, 4h, 1d or together, 1h30m"
	sizePattern = `[0-9]{1,15}(B|KB|MB|GB|TB|KiB|MiB|GiB|TiB)?`
	sizeSay     = "a number of octets: 500MB, 4GiB, 1000000"
	pathPattern = `[^\x00-\x1f,"\\{}#]+`
	pathSay     = "a path that strongSwan can read too: without comma, quotes, braces, #, backslash and control characters"
	idPattern   = `[^\x00-\x1f"\\]{1,255}`
	idSay       = "an identity: a name, an address, an e-mail address or a distinguished name"
	uriPattern  = `(http|https|ldap)://[^\x00-\x20,"\\{}#]+`
)

// The most that a file may have of each.
const (
	maxPeers   = 5000
	maxTunnels = 5000
	maxNamed   = 1000 // pools, authorities, users
	maxListed  = 64   // addresses, proposals, selectors of one place
)

// fileSpec describes the file.
var fileSpec = sync.OnceValue(buildSpec)

func text(doc string) *spec { return &spec{doc: doc} }

func choice(doc string, words ...string) *spec { return &spec{doc: doc, enum: words} }

func path(doc string) *spec { return &spec{doc: doc, pattern: pathPattern, say: pathSay} }

func identity(doc string) *spec { return &spec{doc: doc, pattern: idPattern, say: idSay} }

func duration(doc string) *spec {
	return &spec{doc: doc, pattern: timePattern, say: timeSay, check: checkDuration}
}

func size(doc string) *spec {
	return &spec{doc: doc, pattern: sizePattern, say: sizeSay, number: true, check: checkSize}
}

func integer(doc string, low, high int64) *spec {
	return &spec{form: intForm, doc: doc, min: low, max: high}
}

func yesNo(doc string) *spec { return &spec{form: boolForm, doc: doc} }

func list(doc string, of *spec) *spec {
	return &spec{form: listForm, doc: doc, of: of, lone: true, min: 1, max: maxListed}
}

func named(doc string, most int64, of *spec) *spec {
	return &spec{form: mapForm, doc: doc, of: of, max: most}
}

func object(doc string, fields ...field) *spec {
	return &spec{form: objectForm, doc: doc, fields: fields}
}

func must(name string, s *spec) field { return field{name, true, s} }
func may(name string, s *spec) field  { return field{name, false, s} }

// secret is a reference to a secret.
func secret(doc string) *spec {
	return &spec{form: objectForm, doc: doc, hidden: true, exactly: []string{"file", "env", "command"}, fields: []field{
		may("file", path("the file that holds the secret; one line end at its end does not belong to it")),
		may("env", &spec{doc: "the environment variable of cvlanctl that holds the secret", pattern: `[A-Za-z_][A-Za-z0-9_]{0,127}`, say: "the name of a variable", hidden: true}),
		may("command", &spec{form: listForm, doc: "the program that prints the secret, and its arguments; no shell is asked", of: text("program or argument"), min: 1, max: 32, hidden: true}),
		may("timeout", duration("how long the command may take, at most 60s; 10s by default")),
	}}
}

// limits are soft and hard limits of one measure.
func limits(doc string, value func(string) *spec) *spec {
	return object(doc,
		may("rekey", value("when a new SA is made; 0 is never")),
		may("hard", value("when the SA ends where none was made; 10 % later by default")),
		may("jitter", value("up to how much earlier, at random, the new SA is made; 10 % of rekey by default")))
}

func ikeSpec() *spec {
	return object("the IKE SA",
		may("proposals", list("algorithms in swanctl's spelling, best first; by default aes256gcm16-prfsha256-ecp256", &spec{doc: "proposal", check: checkIKEProposal})),
		may("lifetime", object("how long an IKE SA lives",
			may("rekey", duration("when a new one is made by rekeying; 4h by default, 0s is never")),
			may("reauth", duration("when a new one is made by authenticating anew; 0s, never, by default")),
			may("hard", duration("when it ends where none was made; 10 % later by default")),
			may("jitter", duration("up to how much earlier, at random, the new one is made; 10 % of rekey by default")))),
		may("unique", choice("what becomes of a second IKE SA with the same identity; no by default", "no", "never", "keep", "replace")),
		may("fragmentation", choice("splitting large IKE messages (RFC 7383); yes by default", "yes", "accept", "force", "no")),
		may("mobike", yesNo("following changes of address (RFC 4555); true by default")))
}

func dpdSpec() *spec {
	return object("dead peer detection",
		may("interval", duration("after how much silence the peer is asked; 30s by default, 0s is never")),
		may("timeout", duration("how long an answer is waited for; 10s by default. strongSwan takes its retransmission settings instead")),
		may("retries", integer("how often an unanswered question is asked again; 3 by default", 1, 20)),
		may("action", choice("what becomes of the tunnels of a dead peer; clear by default", "clear", "restart", "trap")))
}

func natSpec() *spec {
	return choice("UDP encapsulation for NAT: as detected, always, or never; auto by default", "auto", "force", "off")
}

func espSpec() *spec {
	return object("the CHILD SAs",
		may("proposals", list("algorithms in swanctl's spelling, best first; by default aes256gcm16-ecp256", &spec{doc: "proposal", check: checkESPProposal})),
		may("lifetime", limits("in time; rekey is 1h by default", duration)),
		may("octets", limits("in octets of traffic; no limit by default", size)),
		may("packets", limits("in packets; no limit by default", func(doc string) *spec { return integer(doc, 0, 1<<53) })))
}

func modeSpec() *spec {
	return choice("what ESP protects: whole packets, or those between the two hosts; tunnel by default", "tunnel", "transport")
}

func startSpec() *spec {
	return choice("when the tunnel is brought up: by command or by the peer, by traffic, or at once; none by default", "none", "trap", "start")
}

func closeSpec() *spec {
	return choice("what follows when the peer closes the tunnel: nothing, traffic brings it up again, or it is brought up again at once; none by default", "none", "trap", "start")
}

func addressesSpec(doc string) *spec {
	return list(doc, &spec{doc: "an address, a prefix, a host name, or any", check: checkAddress})
}

func nodeFields() []field {
	return []field{
		may("identity", identity("the IKE identity of this node")),
		may("addresses", addressesSpec("the addresses that this node speaks from; any by default")),
		may("certificate", path("the file of this node's certificate, PEM or DER")),
		may("intermediates", list("files of the authorities between the certificate and its root", path("file"))),
		may("key", secret("where the private key is, PEM or DER, without a passphrase")),
	}
}

func peerSpec() *spec {
	return object("a peer: one connection",
		may("addresses", addressesSpec("where the peer is; any by default, which only waits")),
		may("port", integer("the UDP port of its IKE, where it is not 500", 1, 65535)),
		may("identity", identity("the IKE identity that the peer must prove; any by default")),
		must("auth", choice("how both sides prove who they are", "psk", "cert", "eap-tls", "eap-mschapv2")),
		may("psk", secret("where the preshared key is")),
		may("eap", object("for eap-tls and eap-mschapv2: the server proves itself by its certificate, the client by EAP",
			must("role", choice("what this node is in EAP", "client", "server")),
			may("identity", identity("the EAP identity: a client's own; for a server the one that it takes, any by default")),
			may("password", secret("a client's password")),
			may("users", &spec{form: mapForm, doc: "a server's users and where their passwords are", of: secret("where the password is"),
				pattern: userPattern, say: "a user's name", max: maxNamed}))),
		may("authorities", list("names of the authorities that may vouch for the peer; all of the file by default", &spec{doc: "name", pattern: namePattern, say: "a name"})),
		may("certificate", path("the file of the one certificate that is taken from the peer")),
		may("revocation", choice("what a certificate without news of its revocation is worth: relaxed takes it, ifuri takes it where it names no place to ask, strict refuses it; relaxed by default", "relaxed", "ifuri", "strict")),
		may("local", object("what this node says of itself to this peer, where that differs", nodeFields()...)),
		may("virtual_addresses", list("inner addresses to ask the peer for: ipv4, ipv6, or an address", &spec{doc: "ipv4, ipv6 or an address", check: checkVirtual})),
		may("pools", list("names of the pools that the peer gets inner addresses from", &spec{doc: "name", pattern: namePattern, say: "a name"})),
		may("ike", ikeSpec()), may("dpd", dpdSpec()), may("nat", natSpec()))
}

func selectorsSpec(doc string) *spec {
	return list(doc, &spec{doc: "a prefix, a range, or dynamic; with [protocol] or [protocol/port] behind it where wanted", check: checkSelector})
}

func buildSpec() *spec {
	return object("A CloudVLAN policy: the tunnels of one node.",
		must("version", integer("the version of this form", Version, Version)),
		may("schema", choice("the name of this form", SchemaName)),
		must("node", object("this node", nodeFields()...)),
		may("authorities", named("whom this node believes, by name", maxNamed, object("an authority",
			must("certificate", path("the file of its certificate, PEM or DER")),
			may("crl", list("where its revocation lists are", &spec{doc: "address", pattern: uriPattern, say: "a URI: http, https or ldap"})),
			may("ocsp", list("where it answers OCSP", &spec{doc: "address", pattern: uriPattern, say: "a URI: http, https or ldap"}))))),
		may("pools", named("inner addresses that this node gives to peers, by name", maxNamed, object("a pool",
			must("addresses", &spec{doc: "a prefix or a range", check: checkPool}),
			may("dns", list("name servers that the peer is told", &spec{doc: "address", check: checkIP})),
			may("subnets", list("networks behind this node that the peer is told", &spec{doc: "prefix", check: checkPrefix}))))),
		may("defaults", object("what peers and tunnels have where they say nothing",
			may("ike", ikeSpec()), may("dpd", dpdSpec()), may("nat", natSpec()), may("esp", espSpec()),
			may("mode", modeSpec()), may("start", startSpec()), may("close", closeSpec()))),
		must("peers", named("the peers, by name", maxPeers, peerSpec())),
		may("tunnels", named("the tunnels, by name: one child each of its peer's connection", maxTunnels, object("a tunnel",
			must("peer", &spec{doc: "the name of its peer", pattern: namePattern, say: "a name"}),
			may("local", selectorsSpec("what lies on this side; dynamic, the outer or virtual address, by default")),
			may("remote", selectorsSpec("what lies on the peer's side; dynamic by default")),
			may("mode", modeSpec()), may("start", startSpec()), may("close", closeSpec()), may("esp", espSpec())))))
}
