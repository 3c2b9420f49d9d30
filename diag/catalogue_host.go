package diag

var hostEntries = []Entry{
	{
		ID: "policy-or-if-id-missing", Title: "SA without its policy or interface", Severity: High, Ownership: Host,
		Symptom: "The SA exists, and traffic goes past it.",
		Cause:   "The kernel has no policy for the CHILD SA, or the SA carries an if_id and no xfrm interface has that number.",
		Shows: []Shows{
			charon("Alert install-child-policy-failed; if-id in list-sas."),
			host("No matching entry in ip xfrm policy; no link with that if_id; XfrmInTmplMismatch or XfrmInNoPols rises."),
		},
		Remedies: []Remedy{
			linux("local", "ip link add ipsec0 type xfrm dev <outer interface> if_id 42; ip link set ipsec0 up; ip route add <remote_ts> dev ipsec0"),
			swan("local", "connections.<c>.children.<k>.if_id_in = 42, if_id_out = 42"),
		},
		RFC: []string{"RFC 4301 4.4.1"}, Related: []string{"esp-no-traffic-both", "sa-install-failed"},
	},
	{
		ID: "sa-install-failed", Title: "Kernel refuses the SA", Severity: Critical, Ownership: Host,
		Symptom: "Negotiation succeeds and the CHILD SA fails at the end.",
		Cause:   "The kernel lacks the algorithm, the process lacks CAP_NET_ADMIN, the container has no XFRM, or an option contradicts another (ESN with replay_window = 0, hardware offload).",
		Shows:   []Shows{charon("\"unable to add SAD entry with SPI X\", \"unable to install inbound and outbound IPsec SA (SAD) in kernel\"; alert install-child-sa-failed.")},
		Remedies: []Remedy{
			linux("local", "modprobe esp4; modprobe esp6; modprobe xfrm_user"),
			linux("local", "run the daemon with CAP_NET_ADMIN in the network namespace that it serves"),
			swan("local", "connections.<c>.children.<k>.hw_offload = no"),
		},
		RFC: []string{"RFC 4301 4.4.2"}, Related: []string{"kernel-algorithm-missing", "policy-or-if-id-missing"},
	},
	{
		ID: "kernel-algorithm-missing", Title: "Kernel does not know the algorithm", Severity: High, Ownership: Host,
		Symptom: "One cipher works, another one fails at installation.",
		Cause:   "The ESP algorithm that was negotiated is not compiled into the kernel or its module is not loaded.",
		Shows: []Shows{
			charon("\"algorithm X not supported by kernel!\", \"Function not implemented (38)\"."),
			host("The algorithm is not in /proc/crypto."),
		},
		Remedies: []Remedy{
			linux("local", "modprobe chacha20poly1305; modprobe gcm; modprobe authenc"),
			swan("local", "connections.<c>.children.<k>.esp_proposals = aes256gcm16   (one that the kernel has)"),
		},
		Related: []string{"sa-install-failed"},
	},
	{
		ID: "route-missing", Title: "No route for the tunnel's traffic", Severity: High, Ownership: Host,
		Symptom: "The tunnel is up and the traffic goes elsewhere, or the peer is not reachable at all.",
		Cause:   "The gateway, or a host behind it, has no route that leads the remote networks to the tunnel; in clouds the network's route table or its source check stands in the way.",
		Shows: []Shows{
			charon("\"no route found to reach X\"."),
			host("ip route get <address of remote_ts> does not point to table 220, the xfrm interface or the outer gateway."),
		},
		Remedies: []Remedy{
			swan("local", "charon.install_routes = yes   (strongswan.conf)"),
			linux("local", "ip route add <remote_ts> via <VPN gateway>   (on the hosts behind it)"),
			aws("local", "a route for remote_ts to the gateway's interface, and its source/destination check off"),
		},
		Related: []string{"esp-one-way-in", "forwarding-firewall-rpfilter"},
	},
	{
		ID: "forwarding-firewall-rpfilter", Title: "Host does not forward", Severity: High, Ownership: Host,
		Symptom: "Packets come out of the tunnel and go nowhere.",
		Cause:   "Forwarding is off, the firewall's FORWARD chain drops, or the reverse path filter rejects packets that come in by the tunnel.",
		Shows: []Shows{
			host("net.ipv4.ip_forward = 0; FORWARD policy drop; rp_filter = 1 on the xfrm or VTI interface; martian counters."),
			charon("packets-in grows, packets-out is 0."),
		},
		Remedies: []Remedy{
			linux("local", "sysctl -w net.ipv4.ip_forward=1"),
			linux("local", "sysctl -w net.ipv4.conf.all.rp_filter=2"),
			linux("local", "iptables -I FORWARD -m policy --dir in --pol ipsec -j ACCEPT; iptables -I FORWARD -m policy --dir out --pol ipsec -j ACCEPT"),
			linux("local", "sysctl -w net.ipv4.conf.all.send_redirects=0"),
		},
		Related: []string{"esp-one-way-in", "snat-before-ipsec", "route-missing"},
	},
	{
		ID: "snat-before-ipsec", Title: "Source NAT takes packets out of the tunnel", Severity: High, Ownership: Host,
		Symptom: "Answers from behind the gateway leave by the internet instead of the tunnel.",
		Cause:   "A masquerading rule changes the source before the IPsec policy is looked up, so that the packet no longer matches local_ts.",
		Shows:   []Shows{host("MASQUERADE or SNAT in POSTROUTING without an exception for packets with an IPsec policy.")},
		Remedies: []Remedy{
			linux("local", "iptables -t nat -I POSTROUTING -m policy --pol ipsec --dir out -j ACCEPT"),
			linux("local", "nft insert rule ip nat postrouting rt ipsec exists accept"),
		},
		Related: []string{"esp-one-way-in", "cleartext-leak-when-down"},
	},
	{
		ID: "stale-policy-claims-traffic", Title: "An old policy claims the traffic", Severity: High, Ownership: Host,
		Symptom: "After a change of configuration the new tunnel is up and carries nothing.",
		Cause:   "A policy of the former configuration is still installed for the same addresses, has no SA, and drops what it matches.",
		Shows: []Shows{
			host("An entry in ip xfrm policy that belongs to no configured child."),
			charon("list-pols shows a policy whose connection is not in list-conns."),
		},
		Remedies: []Remedy{
			swan("local", "swanctl --uninstall --child <old child>"),
			linux("local", "ip xfrm policy delete dir out src <local_ts> dst <remote_ts>"),
		},
		RFC: []string{"RFC 4301 4.4.1"}, Related: []string{"ts-overlap-route-conflict"},
	},
}
