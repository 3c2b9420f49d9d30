package diag

var reachEntries = []Entry{
	{
		ID: "no-response-to-sa-init", Aliases: []string{"udp500-blocked-outbound"},
		Title: "No answer to IKE_SA_INIT", Severity: High, Ownership: External,
		Symptom: "The initiator repeats its first message and gives up. Nothing at all comes back.",
		Cause: "The request does not reach an IKE daemon, or one that answers: UDP port 500 is filtered on the way, the address is not the peer's, " +
			"its daemon is down, or it is one of those that stay silent towards addresses they do not know.",
		Shows: []Shows{
			capture("The same IKE_SA_INIT request several times, message ID 0, responder SPI 0, no response; perhaps an ICMP error (port unreachable, administratively prohibited)."),
			native("The whole retransmission budget is used up in the first exchange."),
			charon("Alerts retransmit-send and retransmit-send-timeout; log \"giving up after N retransmits\", \"peer not responding\"; 165 s with the default timers."),
		},
		Remedies: []Remedy{
			network("Let UDP 500 and UDP 4500 pass in both directions between the two addresses, at every firewall and cloud security group on the way."),
			network("Have the other administrator look for the request on the outer interface. If it arrives, their host drops it; if it does not, the path does."),
		},
		Distinguish: "Before any configuration is touched: does the request arrive at the peer? A probe with major version 3 helps: strongSwan answers INVALID_MAJOR_VERSION " +
			"even to strangers, so an answer to that and silence to this means a live daemon without a connection for our address. If the responder's side shows responses leaving, it is sa-init-response-lost.",
		RFC: []string{"RFC 7296 2.1", "RFC 7296 2.4"}, Related: []string{"sa-init-response-lost", "ikev1-only-peer", "half-open-limit", "pq-ke-too-large", "no-ike-config-for-peer"},
	},
	{
		ID: "sa-init-response-lost", Aliases: []string{"udp500-blocked-inbound"},
		Title: "IKE_SA_INIT responses do not come back", Severity: High, Ownership: External,
		Symptom: "The responder answers, yet the initiator keeps repeating its request. Each side believes that the other one is silent.",
		Cause: "The way back is broken: a firewall without state for it, an asymmetric route, an answer sent from another address, " +
			"or the initiator's own host firewall dropping the packet after the capture point and before the daemon.",
		Shows: []Shows{
			capture("Request, response, the same request, the same response, and so on."),
			charon("Responder: \"received retransmit of request with ID 0, retransmitting response\", then \"deleting half open IKE_SA\" and alert half-open-timeout."),
		},
		Remedies: []Remedy{
			network("Allow UDP 500 and 4500 from the responder back to the initiator, statefully, on every firewall of the way and on the initiator's host."),
			network("Compare the routes of both directions; a stateful firewall has to see both."),
		},
		Distinguish: "A capture on the initiator's host that shows the responses while its daemon logs none points to the host firewall or reverse path filter. No responses in that capture point to the path.",
		RFC:         []string{"RFC 7296 2.1"}, Related: []string{"no-response-to-sa-init", "peer-replies-from-other-address"},
	},
	{
		ID: "peer-dns-failed", Title: "Peer's name does not resolve", Severity: Medium, Ownership: External,
		Symptom: "Nothing leaves the host; the daemon says that it cannot resolve the peer.",
		Cause:   "The peer is configured by name, and the resolver has no answer at the moment when the tunnel starts.",
		Shows:   []Shows{charon("Alert peer-addr-failed; log \"unable to resolve NAME\".")},
		Remedies: []Remedy{
			network("Make the name resolve from this host, before the tunnel is needed: check the resolver, its reachability without the tunnel, and the record itself."),
		},
		Distinguish: "`getent ahosts NAME` on the host settles it. If the resolver is only reachable through the tunnel, the tunnel can never start.",
		Related:     []string{"no-response-to-sa-init"},
	},
	{
		ID: "udp4500-blocked", Title: "UDP port 4500 is blocked", Severity: High, Ownership: External,
		Symptom: "IKE_SA_INIT works on port 500, then IKE_AUTH on port 4500 gets no answer.",
		Cause: "Only port 500 was opened. IKEv2 moves to port 4500 when there is a NAT, and with MOBIKE even when there is none, " +
			"so a rule for port 500 alone lets the first exchange through and nothing after it.",
		Shows: []Shows{
			capture("A complete IKE_SA_INIT exchange on port 500; then small IKE_AUTH requests to port 4500, repeated, without response."),
			charon("Retransmits of message ID 1. The responder logs nothing after IKE_SA_INIT and deletes the half-open SA after 30 s."),
		},
		Remedies:    []Remedy{network("Let UDP 4500 pass in both directions, exactly as UDP 500.")},
		Distinguish: "Send an IKE_SA_INIT to port 4500 (behind the non-ESP marker): an answer means that the port is open, and then size is the suspect (ike-auth-ip-fragment-loss) or the peer's silence (auth-phase-silent).",
		RFC:         []string{"RFC 7296 2.23", "RFC 3948 2.2", "RFC 4555 3.3"}, Related: []string{"udp4500-one-way", "ike-auth-ip-fragment-loss", "auth-phase-silent"},
	},
	{
		ID: "udp4500-one-way", Title: "UDP port 4500 works in one direction only", Severity: High, Ownership: External,
		Symptom: "The responder may show the tunnel as up while the initiator gives up: a tunnel that is half there until liveness checks remove it.",
		Cause:   "IKE_AUTH arrives and is answered, but the answer does not come back: a firewall or NAT on the way has no state for port 4500.",
		Shows: []Shows{
			capture("At the responder: IKE_AUTH requests and their responses, both repeated. At the initiator: requests only."),
			charon("Responder: \"received retransmit of request\", possibly with the SA already ESTABLISHED."),
		},
		Remedies: []Remedy{network("Allow the return direction of UDP 4500 statefully, and keep the NAT's mapping of port 4500 as long as that of port 500.")},
		RFC:      []string{"RFC 7296 2.23"}, Related: []string{"udp4500-blocked", "sa-init-response-lost"},
	},
	{
		ID: "ike-auth-ip-fragment-loss", Title: "Large IKE_AUTH lost as IP fragments", Severity: High, Ownership: LocalConfig,
		Symptom: "Certificates fail where a shared key works. Small messages pass; the big IKE_AUTH never gets an answer.",
		Cause: "IKE_AUTH with certificates exceeds the path MTU and leaves as IP fragments, and something on the way drops fragments. " +
			"IKE's own fragmentation, which avoids them, was not agreed or not used.",
		Shows: []Shows{
			capture("IKE_AUTH above about 1400 octets in several IP fragments; behind the obstacle only some of them, or none; often no IKEV2_FRAGMENTATION_SUPPORTED in one of the IKE_SA_INIT messages."),
			charon("Retransmits of message ID 1 and no \"splitting IKE message\"."),
		},
		Remedies: []Remedy{
			swan("both", "connections.<c>.fragmentation = yes"),
			libre("both", "fragmentation=yes"),
			cisco("both", "crypto ikev2 fragmentation mtu 1300"),
			forti("both", "config vpn ipsec phase1-interface: set fragmentation enable"),
			windows("both", "Windows 10 1803 or newer fragments IKE; for RAS servers registry HKLM\\SYSTEM\\CurrentControlSet\\Services\\RemoteAccess\\Parameters\\Ikev2\\EnableServerFragmentation = 1"),
			swan("local", "connections.<c>.send_certreq = no, and ECDSA certificates: smaller messages"),
			network("or let IP fragments of UDP 500 and 4500 pass"),
		},
		Distinguish: "The same two peers with a shared key: if that works, size is the cause.",
		RFC:         []string{"RFC 7383 1", "RFC 7296 2"}, Related: []string{"ike-fragment-incomplete", "udp4500-blocked", "pq-ke-too-large"},
	},
	{
		ID: "ike-fragment-incomplete", Title: "A set of IKE fragments never completes", Severity: Medium, Ownership: LocalConfig,
		Symptom: "Large IKE messages fail although both sides fragment in IKE.",
		Cause:   "Some fragments of a message never arrive, time after time: they are still too large for the path, or the receiver accepts fewer fragments than were sent.",
		Shows: []Shows{
			capture("Encrypted Fragment payloads (SKF) whose numbers never reach the total."),
			charon("\"received fragment #N of M, waiting for complete IKE message\" and never the completion."),
		},
		Remedies: []Remedy{
			swan("both", "charon.fragment_size = 1000   (strongswan.conf; default 1280)"),
			cisco("both", "crypto ikev2 fragmentation mtu 1000"),
			forti("both", "config vpn ipsec phase1-interface: set fragmentation enable, set fragmentation-mtu 1000"),
			libre("both", "fragmentation=yes"),
		},
		RFC: []string{"RFC 7383 2.5", "RFC 7383 2.6"}, Related: []string{"ike-auth-ip-fragment-loss"},
	},
	{
		ID: "pq-ke-too-large", Title: "Post-quantum key exchange too large for IKE_SA_INIT", Severity: High, Ownership: LocalConfig,
		Symptom: "The peer answers with classical groups and stays silent as soon as ML-KEM or another large key exchange is offered first.",
		Cause: "IKE_SA_INIT cannot be split by IKE fragmentation. A large key share in it makes IP fragments, and those get lost. " +
			"Large key exchanges belong into IKE_INTERMEDIATE, which can be fragmented.",
		Shows: []Shows{
			capture("IKE_SA_INIT as IP fragments without response; or IKE_INTERMEDIATE (exchange type 43) repeated and unfragmented."),
			charon("\"peer didn't send INTERMEDIATE_EXCHANGE_SUPPORTED while proposing multiple key exchanges\"."),
		},
		Remedies: []Remedy{
			swan("both", "connections.<c>.proposals = aes256gcm16-prfsha384-x25519-ke1_mlkem768"),
			swan("both", "connections.<c>.fragmentation = yes"),
			libre("both", "intermediate=yes"),
		},
		RFC: []string{"RFC 7383 2.2", "RFC 9242 3.2", "RFC 9370 2"}, Related: []string{"no-response-to-sa-init", "pq-intermediate-auth-mismatch"},
	},
	{
		ID: "pq-intermediate-auth-mismatch", Title: "IKE_INTERMEDIATE counted by one side only", Severity: Medium, Ownership: Software,
		Symptom: "AUTHENTICATION_FAILED with correct credentials, only when both sides know IKE_INTERMEDIATE.",
		Cause:   "AUTH covers the IKE_INTERMEDIATE exchanges that took place. An implementation that counts one that did not, or forgets one that did, computes another AUTH.",
		Shows: []Shows{
			capture("Both announce INTERMEDIATE_EXCHANGE_SUPPORTED, no exchange of type 43 is seen, and IKE_AUTH is answered with a lone notify."),
		},
		Remedies: []Remedy{
			libre("remote", "upgrade; until then intermediate=no"),
			anyone("both", "Switch intermediate exchanges off on one side and try again; if that works, upgrade the older implementation."),
		},
		RFC: []string{"RFC 9242 3.3.2"}, Related: []string{"auth-failed-opaque", "pq-ke-too-large"},
	},
	{
		ID: "cookie-loop", Title: "Cookies without end", Severity: High, Ownership: External,
		Symptom: "The responder answers every IKE_SA_INIT by asking for a cookie, even when it just got one.",
		Cause: "A cookie is bound to the initiator's address, SPI and nonce. If the packets of one attempt come from changing addresses (carrier NAT, load balancer), " +
			"reach cluster members that do not share a secret, or the initiator changes its SPI or nonce, no cookie ever fits.",
		Shows: []Shows{
			capture("N(COOKIE) in answer to a request that carries a cookie, twice or more. One round is normal."),
			charon("\"ignore response with duplicate COOKIE notify\", \"giving up after 5 retries\"."),
		},
		Remedies: []Remedy{
			network("Pin each source address to one gateway at the load balancer, and keep the initiator's address and port stable at the NAT."),
			network("Share the cookie secret between the members of the responding cluster."),
		},
		Distinguish: "Compare the source address and port of the attempts as the responder sees them. If they are stable, the responder's cluster is the suspect.",
		RFC:         []string{"RFC 7296 2.6"}, Related: []string{"half-open-limit"},
	},
	{
		ID: "half-open-limit", Title: "Responder refuses more half-open SAs", Severity: Medium, Ownership: Host,
		Symptom: "From outside it looks like silence; the responder's log says that it ignores requests.",
		Cause:   "Too many SAs from one address, or in all, are in the making. Often another peer retries without pause.",
		Shows: []Shows{
			charon("\"ignoring IKE_SA setup from ADDRESS, per-IP half-open IKE_SA limit of N reached\"; the half-open count of the statistics grows."),
		},
		Remedies: []Remedy{
			anyone("responder", "Find the peer whose attempts fill the table and stop its retry storm; that is the cause, the limit only shows it."),
			swan("responder", "charon.block_threshold = 10   (strongswan.conf; default 5 for one address)"),
		},
		RFC: []string{"RFC 8019 4"}, Related: []string{"no-response-to-sa-init", "half-open-responder", "cookie-loop"},
	},
	{
		ID: "ikev1-only-peer", Title: "Peer speaks IKEv1 only", Severity: Medium, Ownership: PeerConfig,
		Symptom: "IKEv2 requests are refused or ignored while the peer itself sends IKEv1.",
		Cause:   "The peer is configured for IKEv1, or knows nothing else. IKEv1 is historic; the peer has to move, not we.",
		Shows: []Shows{
			capture("N(INVALID_MAJOR_VERSION), or main mode or aggressive mode (version 1.0) from the address that leaves IKEv2 unanswered."),
			charon("\"received INVALID_MAJOR_VERSION notify error\"."),
		},
		Remedies: []Remedy{
			swan("remote", "connections.<c>.version = 2"),
			libre("remote", "ikev2=insist   (keyexchange=ikev2 in 5.x)"),
			forti("remote", "config vpn ipsec phase1-interface: set ike-version 2"),
			pan("remote", "IKE Gateway > General > Version: IKEv2 only mode"),
			cisco("remote", "configure crypto ikev2 proposal, policy and profile, and refer to the profile; crypto isakmp lines are IKEv1"),
		},
		RFC: []string{"RFC 7296 2.5", "RFC 9395 2"}, Related: []string{"no-response-to-sa-init", "vendor-lists-mismatch-after-planning"},
	},
	{
		ID: "peer-replies-from-other-address", Title: "Answers come from another address or port", Severity: High, Ownership: PeerConfig,
		Symptom: "The peer answers, but not from where it was asked. NATs and firewalls drop such answers, and so may the daemon.",
		Cause:   "The peer has several addresses (a second uplink, a virtual address of a cluster, a NAT in one direction only) and its daemon or NAT chooses another one for the answer.",
		Shows:   []Shows{capture("A response with our SPI whose source is not the destination of the request.")},
		Remedies: []Remedy{
			swan("remote", "connections.<c>.local_addrs = <the address that the initiator uses>"),
			forti("remote", "config vpn ipsec phase1-interface: set local-gw <address>"),
			cisco("remote", "interface Tunnel<n>: tunnel source <interface of that address>"),
			anyone("remote", "Remove source NAT for UDP 500 and 4500 of the gateway itself."),
		},
		RFC: []string{"RFC 7296 2.11"}, Related: []string{"sa-init-response-lost"},
	},
	{
		ID: "nonstandard-port-marker", Title: "IKE on another port without the non-ESP marker", Severity: Medium, Ownership: LocalConfig,
		Symptom: "With a custom port the responder sees odd ESP packets instead of IKE.",
		Cause:   "On any port but 500, IKE messages need four zero octets in front, or the receiver takes them for ESP. A source port of 500 leaves them out.",
		Shows:   []Shows{capture("IKE messages to a custom port that begin with the SPI instead of four zero octets.")},
		Remedies: []Remedy{
			swan("initiator", "connections.<c>.local_port = 4500 together with remote_port = <custom port>"),
			swan("responder", "charon.port_nat_t = <custom port>   (strongswan.conf)"),
		},
		RFC: []string{"RFC 3948 2.2", "RFC 7296 3.1"}, Related: []string{"no-response-to-sa-init"},
	},
	{
		ID: "daemon-socket-bind-failed", Title: "Daemon cannot open its sockets", Severity: Critical, Ownership: Host,
		Symptom: "The daemon runs, yet nothing leaves and nothing is heard.",
		Cause:   "Another IKE daemon holds ports 500 and 4500, or the process may not bind them.",
		Shows: []Shows{
			charon("\"unable to bind socket\", \"could not open IPv4 socket\", \"enabling UDP decapsulation failed\"."),
			host("Another process listens on UDP 500 or 4500."),
		},
		Remedies: []Remedy{
			linux("local", "ss -ulpn 'sport = :500 or sport = :4500', then stop the other daemon"),
			linux("local", "give the daemon CAP_NET_BIND_SERVICE and CAP_NET_ADMIN"),
		},
		Related: []string{"no-response-to-sa-init"},
	},
	{
		ID: "malformed-or-garbled-message", Title: "Messages arrive damaged", Severity: Medium, Ownership: External,
		Symptom: "Messages are dropped for wrong lengths or failed integrity checks, or answered with INVALID_SYNTAX.",
		Cause:   "Something between the peers rewrites IKE (an application gateway, an \"IPsec passthrough\" helper) or corrupts packets; rarely an implementation sends what the RFC does not allow.",
		Shows: []Shows{
			capture("Lengths that do not add up, unknown exchange types, or N(INVALID_SYNTAX). Checksums that a network card fills in later are no evidence."),
			charon("Alerts parse-error-header and parse-error-body; \"integrity check failed\"."),
		},
		Remedies: []Remedy{network("Switch off IPsec or VPN passthrough helpers and application gateways for UDP 500 and 4500 on the way.")},
		RFC:      []string{"RFC 7296 2.21", "RFC 7296 3.10.1"}, Related: []string{"ipsec-alg-passthrough", "unsupported-critical-payload"},
	},
	{
		ID: "unsupported-critical-payload", Title: "A critical payload is not understood", Severity: Medium, Ownership: Software,
		Symptom: "The peer refuses a message with UNSUPPORTED_CRITICAL_PAYLOAD.",
		Cause:   "A message carries a payload of an extension, marked critical, that the receiver does not know. The notify's data names the payload type.",
		Shows: []Shows{
			capture("N(UNSUPPORTED_CRITICAL_PAYLOAD) with one octet of data; or an unknown payload with the critical bit."),
			charon("\"critical payload type N not supported\"."),
		},
		Remedies: []Remedy{anyone("both", "Switch the extension off at the sender, or upgrade the receiver.")},
		RFC:      []string{"RFC 7296 2.5", "RFC 7296 3.2"}, Related: []string{"malformed-or-garbled-message"},
	},
	{
		ID: "redirect-loop", Title: "Gateways redirect in a circle", Severity: Low, Ownership: PeerConfig,
		Symptom: "The client is sent from gateway to gateway and never gets a tunnel.",
		Cause:   "The gateways' redirect targets point at each other or at one that redirects again.",
		Shows: []Shows{
			capture("N(REDIRECT) in answer to IKE_SA_INIT, more than once."),
			charon("\"only N redirects are allowed within M seconds\"."),
		},
		Remedies: []Remedy{
			anyone("remote", "Correct the redirect target of the gateways; one of them has to serve."),
			swan("local", "charon.follow_redirects = no   (strongswan.conf; stay with the gateway that was asked)"),
		},
		RFC: []string{"RFC 5685 3", "RFC 5685 7"}, Related: []string{"no-response-to-sa-init"},
	},
}
