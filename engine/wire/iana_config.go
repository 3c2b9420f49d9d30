package wire

// TSType is the kind of a traffic selector (RFC 7296 3.13.1).
type TSType uint8

// The traffic selector types.
const (
	TSIPv4AddrRange TSType = 7
	TSIPv6AddrRange TSType = 8
	TSFCAddrRange   TSType = 9  // RFC 4595
	TSSecLabel      TSType = 10 // RFC 9478
)

var tsTypeNames = []string{
	7: "TS_IPV4_ADDR_RANGE", 8: "TS_IPV6_ADDR_RANGE", 9: "TS_FC_ADDR_RANGE", 10: "TS_SECLABEL",
}

// String gives IANA's name, "TS_IPV4_ADDR_RANGE".
func (t TSType) String() string { return name(tsTypeNames, int(t), 241) }

// ConfigType says what a Configuration payload does (RFC 7296 3.15).
type ConfigType uint8

// The configuration types.
const (
	ConfigRequest ConfigType = 1
	ConfigReply   ConfigType = 2
	ConfigSet     ConfigType = 3
	ConfigAck     ConfigType = 4
)

var configTypeNames = []string{1: "CFG_REQUEST", 2: "CFG_REPLY", 3: "CFG_SET", 4: "CFG_ACK"}

// String gives IANA's name, "CFG_REQUEST".
func (t ConfigType) String() string { return name(configTypeNames, int(t), 128) }

// ConfigAttributeType is the number of a configuration attribute, 15 bits
// (RFC 7296 3.15.1).
type ConfigAttributeType uint16

// The configuration attributes.
const (
	ConfigInternalIP4Address         ConfigAttributeType = 1
	ConfigInternalIP4Netmask         ConfigAttributeType = 2
	ConfigInternalIP4DNS             ConfigAttributeType = 3
	ConfigInternalIP4NBNS            ConfigAttributeType = 4
	ConfigInternalAddressExpiry      ConfigAttributeType = 5 // RFC 4306 only
	ConfigInternalIP4DHCP            ConfigAttributeType = 6
	ConfigApplicationVersion         ConfigAttributeType = 7
	ConfigInternalIP6Address         ConfigAttributeType = 8
	ConfigInternalIP6Netmask         ConfigAttributeType = 9 // IKEv1 drafts only
	ConfigInternalIP6DNS             ConfigAttributeType = 10
	ConfigInternalIP6NBNS            ConfigAttributeType = 11 // RFC 4306 only
	ConfigInternalIP6DHCP            ConfigAttributeType = 12
	ConfigInternalIP4Subnet          ConfigAttributeType = 13
	ConfigSupportedAttributes        ConfigAttributeType = 14
	ConfigInternalIP6Subnet          ConfigAttributeType = 15
	ConfigMIP6HomePrefix             ConfigAttributeType = 16 // RFC 5026
	ConfigInternalIP6Link            ConfigAttributeType = 17 // RFC 5739
	ConfigInternalIP6Prefix          ConfigAttributeType = 18 // RFC 5739
	ConfigHomeAgentAddress           ConfigAttributeType = 19 // 3GPP TS 24.302
	ConfigPCSCFIP4Address            ConfigAttributeType = 20 // RFC 7651
	ConfigPCSCFIP6Address            ConfigAttributeType = 21 // RFC 7651
	ConfigFTTKAT                     ConfigAttributeType = 22 // 3GPP TS 24.302
	ConfigExternalSourceIP4NATInfo   ConfigAttributeType = 23 // 3GPP TS 24.139
	ConfigTimeoutPeriodLivenessCheck ConfigAttributeType = 24 // 3GPP TS 24.302
	ConfigInternalDNSDomain          ConfigAttributeType = 25 // RFC 8598
	ConfigInternalDNSSECTA           ConfigAttributeType = 26 // RFC 8598
	ConfigEncDNSIP4                  ConfigAttributeType = 27 // RFC 9464
	ConfigEncDNSIP6                  ConfigAttributeType = 28 // RFC 9464
	ConfigEncDNSDigestInfo           ConfigAttributeType = 29 // RFC 9464
)

// Attributes of the private range that IKEv1 peers use: XAUTH and Unity.
const (
	ConfigXauthType         ConfigAttributeType = 16520
	ConfigXauthUserName     ConfigAttributeType = 16521
	ConfigXauthUserPassword ConfigAttributeType = 16522
	ConfigXauthPasscode     ConfigAttributeType = 16523
	ConfigXauthMessage      ConfigAttributeType = 16524
	ConfigXauthChallenge    ConfigAttributeType = 16525
	ConfigXauthDomain       ConfigAttributeType = 16526
	ConfigXauthStatus       ConfigAttributeType = 16527
	ConfigXauthNextPIN      ConfigAttributeType = 16528
	ConfigXauthAnswer       ConfigAttributeType = 16529
	ConfigUnityBanner       ConfigAttributeType = 28672
	ConfigUnitySplitInclude ConfigAttributeType = 28676
)

var configAttributeNames = []string{
	1: "INTERNAL_IP4_ADDRESS", 2: "INTERNAL_IP4_NETMASK", 3: "INTERNAL_IP4_DNS", 4: "INTERNAL_IP4_NBNS",
	5: "INTERNAL_ADDRESS_EXPIRY", 6: "INTERNAL_IP4_DHCP", 7: "APPLICATION_VERSION", 8: "INTERNAL_IP6_ADDRESS",
	9: "INTERNAL_IP6_NETMASK", 10: "INTERNAL_IP6_DNS", 11: "INTERNAL_IP6_NBNS", 12: "INTERNAL_IP6_DHCP",
	13: "INTERNAL_IP4_SUBNET", 14: "SUPPORTED_ATTRIBUTES", 15: "INTERNAL_IP6_SUBNET", 16: "MIP6_HOME_PREFIX",
	17: "INTERNAL_IP6_LINK", 18: "INTERNAL_IP6_PREFIX", 19: "HOME_AGENT_ADDRESS", 20: "P_CSCF_IP4_ADDRESS",
	21: "P_CSCF_IP6_ADDRESS", 22: "FTT_KAT", 23: "EXTERNAL_SOURCE_IP4_NAT_INFO",
	24: "TIMEOUT_PERIOD_FOR_LIVENESS_CHECK", 25: "INTERNAL_DNS_DOMAIN", 26: "INTERNAL_DNSSEC_TA",
	27: "ENCDNS_IP4", 28: "ENCDNS_IP6", 29: "ENCDNS_DIGEST_INFO",
}

// privateConfigAttributes are uses of the private range seen in the field.
var privateConfigAttributes = map[ConfigAttributeType]string{
	16387: "CHKPT_DEF_DOMAIN", 16388: "CHKPT_MAC_ADDRESS", 16389: "CHKPT_MARCIPAN_REASON_CODE",
	16520: "XAUTH_TYPE", 16521: "XAUTH_USER_NAME", 16522: "XAUTH_USER_PASSWORD", 16523: "XAUTH_PASSCODE",
	16524: "XAUTH_MESSAGE", 16525: "XAUTH_CHALLENGE", 16526: "XAUTH_DOMAIN", 16527: "XAUTH_STATUS",
	16528: "XAUTH_NEXT_PIN", 16529: "XAUTH_ANSWER",
	28672: "UNITY_BANNER", 28673: "UNITY_SAVE_PASSWD", 28674: "UNITY_DEF_DOMAIN", 28675: "UNITY_SPLIT_DOMAIN",
	28676: "UNITY_SPLIT_INCLUDE", 28677: "UNITY_NATT_PORT", 28678: "UNITY_SPLIT_EXCLUDE", 28679: "UNITY_PFS",
	28680: "UNITY_FW_TYPE", 28681: "UNITY_BACKUP_SERVERS", 28682: "UNITY_DDNS_HOSTNAME",
}

// String gives IANA's name, "INTERNAL_IP4_ADDRESS"; for private numbers that
// are known from the field, the name used there.
func (t ConfigAttributeType) String() string {
	if s := privateConfigAttributes[t]; s != "" && int(t) >= attributePrivateUse {
		return s
	}
	return name(configAttributeNames, int(t), attributePrivateUse)
}

// IPCompTransform is a compression algorithm (RFC 7296 3.10.1, RFC 2407 4.4.5).
type IPCompTransform uint8

// The compression algorithms.
const (
	IPCompOUI     IPCompTransform = 1
	IPCompDeflate IPCompTransform = 2
	IPCompLZS     IPCompTransform = 3
	IPCompLZJH    IPCompTransform = 4
)

var ipcompNames = []string{1: "IPCOMP_OUI", 2: "IPCOMP_DEFLATE", 3: "IPCOMP_LZS", 4: "IPCOMP_LZJH"}

// String gives IANA's name, "IPCOMP_DEFLATE".
func (t IPCompTransform) String() string { return name(ipcompNames, int(t), 241) }

// GatewayIDType is the form of the gateway in REDIRECT and REDIRECTED_FROM
// (RFC 5685 3).
type GatewayIDType uint8

// The gateway identity types.
const (
	GatewayIPv4 GatewayIDType = 1
	GatewayIPv6 GatewayIDType = 2
	GatewayFQDN GatewayIDType = 3
)

var gatewayIDNames = []string{1: "IPv4", 2: "IPv6", 3: "FQDN"}

// String gives "FQDN".
func (t GatewayIDType) String() string { return name(gatewayIDNames, int(t), 241) }

// PPKIDType is the form of a PPK_ID (RFC 8784 5.1).
type PPKIDType uint8

// The PPK_ID types.
const (
	PPKIDOpaque PPKIDType = 1
	PPKIDFixed  PPKIDType = 2
)

var ppkIDNames = []string{1: "PPK_ID_OPAQUE", 2: "PPK_ID_FIXED"}

// String gives IANA's name, "PPK_ID_FIXED".
func (t PPKIDType) String() string { return name(ppkIDNames, int(t), 128) }

// SecurePasswordMethod is an entry of SECURE_PASSWORD_METHODS (RFC 6467 2).
type SecurePasswordMethod uint16

var securePasswordNames = []string{1: "PACE", 2: "AugPAKE", 3: "Secure PSK Authentication"}

// String gives IANA's name, "PACE".
func (m SecurePasswordMethod) String() string { return name(securePasswordNames, int(m), 1024) }
