package wire

// NotifyType is the type of an IKEv2 Notify payload (RFC 7296 3.10.1).
type NotifyType uint16

// Errors, below 16384.
const (
	NotifyUnsupportedCriticalPayload NotifyType = 1
	NotifyInvalidIKESPI              NotifyType = 4
	NotifyInvalidMajorVersion        NotifyType = 5
	NotifyInvalidSyntax              NotifyType = 7
	NotifyInvalidMessageID           NotifyType = 9
	NotifyInvalidSPI                 NotifyType = 11
	NotifyNoProposalChosen           NotifyType = 14
	NotifyInvalidKEPayload           NotifyType = 17
	NotifyAuthenticationFailed       NotifyType = 24
	NotifySinglePairRequired         NotifyType = 34
	NotifyNoAdditionalSAs            NotifyType = 35
	NotifyInternalAddressFailure     NotifyType = 36
	NotifyFailedCPRequired           NotifyType = 37
	NotifyTSUnacceptable             NotifyType = 38
	NotifyInvalidSelectors           NotifyType = 39
	NotifyUnacceptableAddresses      NotifyType = 40 // RFC 4555
	NotifyUnexpectedNATDetected      NotifyType = 41 // RFC 4555
	NotifyUseAssignedHoA             NotifyType = 42 // RFC 5026
	NotifyTemporaryFailure           NotifyType = 43
	NotifyChildSANotFound            NotifyType = 44
	NotifyInvalidGroupID             NotifyType = 45 // RFC 9838
	NotifyAuthorizationFailed        NotifyType = 46 // RFC 9838
	NotifyStateNotFound              NotifyType = 47 // RFC 9370
	NotifyTSMaxQueue                 NotifyType = 48 // RFC 9611
	NotifyRegistrationFailed         NotifyType = 49 // RFC 9838
)

// NotifyMicrosoftStatus is in the private range of errors: Windows puts a
// 4-octet status code of its own in the data.
const NotifyMicrosoftStatus NotifyType = 12345

// Statuses, from 16384 on.
const (
	NotifyInitialContact                NotifyType = 16384
	NotifySetWindowSize                 NotifyType = 16385
	NotifyAdditionalTSPossible          NotifyType = 16386
	NotifyIPCompSupported               NotifyType = 16387
	NotifyNATDetectionSourceIP          NotifyType = 16388
	NotifyNATDetectionDestinationIP     NotifyType = 16389
	NotifyCookie                        NotifyType = 16390
	NotifyUseTransportMode              NotifyType = 16391
	NotifyHTTPCertLookupSupported       NotifyType = 16392
	NotifyRekeySA                       NotifyType = 16393
	NotifyESPTFCPaddingNotSupported     NotifyType = 16394
	NotifyNonFirstFragmentsAlso         NotifyType = 16395
	NotifyMobikeSupported               NotifyType = 16396 // RFC 4555
	NotifyAdditionalIP4Address          NotifyType = 16397 // RFC 4555
	NotifyAdditionalIP6Address          NotifyType = 16398 // RFC 4555
	NotifyNoAdditionalAddresses         NotifyType = 16399 // RFC 4555
	NotifyUpdateSAAddresses             NotifyType = 16400 // RFC 4555
	NotifyCookie2                       NotifyType = 16401 // RFC 4555
	NotifyNoNATsAllowed                 NotifyType = 16402 // RFC 4555
	NotifyAuthLifetime                  NotifyType = 16403 // RFC 4478
	NotifyMultipleAuthSupported         NotifyType = 16404 // RFC 4739
	NotifyAnotherAuthFollows            NotifyType = 16405 // RFC 4739
	NotifyRedirectSupported             NotifyType = 16406 // RFC 5685
	NotifyRedirect                      NotifyType = 16407 // RFC 5685
	NotifyRedirectedFrom                NotifyType = 16408 // RFC 5685
	NotifyTicketLTOpaque                NotifyType = 16409 // RFC 5723
	NotifyTicketRequest                 NotifyType = 16410 // RFC 5723
	NotifyTicketAck                     NotifyType = 16411 // RFC 5723
	NotifyTicketNack                    NotifyType = 16412 // RFC 5723
	NotifyTicketOpaque                  NotifyType = 16413 // RFC 5723
	NotifyLinkID                        NotifyType = 16414 // RFC 5739
	NotifyUseWESPMode                   NotifyType = 16415 // RFC 5840
	NotifyROHCSupported                 NotifyType = 16416 // RFC 5857
	NotifyEAPOnlyAuthentication         NotifyType = 16417 // RFC 5998
	NotifyChildlessIKEv2Supported       NotifyType = 16418 // RFC 6023
	NotifyQuickCrashDetection           NotifyType = 16419 // RFC 6290
	NotifyMessageIDSyncSupported        NotifyType = 16420 // RFC 6311
	NotifyReplayCounterSyncSupported    NotifyType = 16421 // RFC 6311
	NotifyMessageIDSync                 NotifyType = 16422 // RFC 6311
	NotifyReplayCounterSync             NotifyType = 16423 // RFC 6311
	NotifySecurePasswordMethods         NotifyType = 16424 // RFC 6467
	NotifyPSKPersist                    NotifyType = 16425 // RFC 6631
	NotifyPSKConfirm                    NotifyType = 16426 // RFC 6631
	NotifyERXSupported                  NotifyType = 16427 // RFC 6867
	NotifyIFOMCapability                NotifyType = 16428 // 3GPP TS 24.303
	NotifyGroupSender                   NotifyType = 16429 // RFC 9838
	NotifyFragmentationSupported        NotifyType = 16430 // RFC 7383
	NotifySignatureHashAlgorithms       NotifyType = 16431 // RFC 7427
	NotifyCloneIKESASupported           NotifyType = 16432 // RFC 7791
	NotifyCloneIKESA                    NotifyType = 16433 // RFC 7791
	NotifyPuzzle                        NotifyType = 16434 // RFC 8019
	NotifyUsePPK                        NotifyType = 16435 // RFC 8784
	NotifyPPKIdentity                   NotifyType = 16436 // RFC 8784
	NotifyNoPPKAuth                     NotifyType = 16437 // RFC 8784
	NotifyIntermediateExchangeSupported NotifyType = 16438 // RFC 9242
	NotifyIP4Allowed                    NotifyType = 16439 // RFC 8983
	NotifyIP6Allowed                    NotifyType = 16440 // RFC 8983
	NotifyAdditionalKeyExchange         NotifyType = 16441 // RFC 9370
	NotifyUseAggFrag                    NotifyType = 16442 // RFC 9347
	NotifySupportedAuthMethods          NotifyType = 16443 // RFC 9593
	NotifySAResourceInfo                NotifyType = 16444 // RFC 9611
	NotifyUsePPKInt                     NotifyType = 16445 // RFC 9867
	NotifyPPKIdentityKey                NotifyType = 16446 // RFC 9867
	NotifyIKESAInitFullTranscriptAuth   NotifyType = 16447 // draft, early allocation
)

const firstStatus = 16384

var notifyErrorNames = []string{
	1: "UNSUPPORTED_CRITICAL_PAYLOAD", 4: "INVALID_IKE_SPI", 5: "INVALID_MAJOR_VERSION", 7: "INVALID_SYNTAX",
	9: "INVALID_MESSAGE_ID", 11: "INVALID_SPI", 14: "NO_PROPOSAL_CHOSEN", 17: "INVALID_KE_PAYLOAD",
	24: "AUTHENTICATION_FAILED", 34: "SINGLE_PAIR_REQUIRED", 35: "NO_ADDITIONAL_SAS",
	36: "INTERNAL_ADDRESS_FAILURE", 37: "FAILED_CP_REQUIRED", 38: "TS_UNACCEPTABLE", 39: "INVALID_SELECTORS",
	40: "UNACCEPTABLE_ADDRESSES", 41: "UNEXPECTED_NAT_DETECTED", 42: "USE_ASSIGNED_HoA",
	43: "TEMPORARY_FAILURE", 44: "CHILD_SA_NOT_FOUND", 45: "INVALID_GROUP_ID", 46: "AUTHORIZATION_FAILED",
	47: "STATE_NOT_FOUND", 48: "TS_MAX_QUEUE", 49: "REGISTRATION_FAILED",
}

// Indexed from firstStatus.
var notifyStatusNames = []string{
	"INITIAL_CONTACT", "SET_WINDOW_SIZE", "ADDITIONAL_TS_POSSIBLE", "IPCOMP_SUPPORTED",
	"NAT_DETECTION_SOURCE_IP", "NAT_DETECTION_DESTINATION_IP", "COOKIE", "USE_TRANSPORT_MODE",
	"HTTP_CERT_LOOKUP_SUPPORTED", "REKEY_SA", "ESP_TFC_PADDING_NOT_SUPPORTED", "NON_FIRST_FRAGMENTS_ALSO",
	"MOBIKE_SUPPORTED", "ADDITIONAL_IP4_ADDRESS", "ADDITIONAL_IP6_ADDRESS", "NO_ADDITIONAL_ADDRESSES",
	"UPDATE_SA_ADDRESSES", "COOKIE2", "NO_NATS_ALLOWED", "AUTH_LIFETIME", "MULTIPLE_AUTH_SUPPORTED",
	"ANOTHER_AUTH_FOLLOWS", "REDIRECT_SUPPORTED", "REDIRECT", "REDIRECTED_FROM", "TICKET_LT_OPAQUE",
	"TICKET_REQUEST", "TICKET_ACK", "TICKET_NACK", "TICKET_OPAQUE", "LINK_ID", "USE_WESP_MODE",
	"ROHC_SUPPORTED", "EAP_ONLY_AUTHENTICATION", "CHILDLESS_IKEV2_SUPPORTED", "QUICK_CRASH_DETECTION",
	"IKEV2_MESSAGE_ID_SYNC_SUPPORTED", "IPSEC_REPLAY_COUNTER_SYNC_SUPPORTED", "IKEV2_MESSAGE_ID_SYNC",
	"IPSEC_REPLAY_COUNTER_SYNC", "SECURE_PASSWORD_METHODS", "PSK_PERSIST", "PSK_CONFIRM", "ERX_SUPPORTED",
	"IFOM_CAPABILITY", "GROUP_SENDER", "IKEV2_FRAGMENTATION_SUPPORTED", "SIGNATURE_HASH_ALGORITHMS",
	"CLONE_IKE_SA_SUPPORTED", "CLONE_IKE_SA", "PUZZLE", "USE_PPK", "PPK_IDENTITY", "NO_PPK_AUTH",
	"INTERMEDIATE_EXCHANGE_SUPPORTED", "IP4_ALLOWED", "IP6_ALLOWED", "ADDITIONAL_KEY_EXCHANGE",
	"USE_AGGFRAG", "SUPPORTED_AUTH_METHODS", "SA_RESOURCE_INFO", "USE_PPK_INT", "PPK_IDENTITY_KEY",
	"IKE_SA_INIT_FULL_TRANSCRIPT_AUTH",
}

// String gives IANA's name, "NO_PROPOSAL_CHOSEN"; "PRIVATE_USE_40960" and
// "UNKNOWN_2000" where IANA assigns none.
func (t NotifyType) String() string {
	switch {
	case int(t) >= firstStatus && int(t)-firstStatus < len(notifyStatusNames):
		return notifyStatusNames[int(t)-firstStatus]
	case int(t) >= firstStatus:
		return name(nil, int(t), 40960)
	}
	return name(notifyErrorNames, int(t), 8192)
}

// Error says whether the type is an error: below 16384. One that a receiver
// does not know means that the request failed (RFC 7296 3.10.1).
func (t NotifyType) Error() bool { return t < firstStatus }

// privateNotifies are uses of the private ranges that are seen in the field.
// Anyone may use the same numbers for something else.
var privateNotifies = map[NotifyType]string{
	8192:  "PDN_CONNECTION_REJECTION (3GPP)",
	8193:  "MAX_CONNECTION_REACHED (3GPP)",
	8241:  "SEMANTIC_ERROR_IN_THE_TFT_OPERATION (3GPP)",
	8242:  "SYNTACTICAL_ERROR_IN_THE_TFT_OPERATION (3GPP)",
	8244:  "SEMANTIC_ERRORS_IN_PACKET_FILTERS (3GPP)",
	8245:  "SYNTACTICAL_ERRORS_IN_PACKET_FILTERS (3GPP)",
	9000:  "NON_3GPP_ACCESS_TO_EPC_NOT_ALLOWED (3GPP)",
	9001:  "USER_UNKNOWN (3GPP)",
	9002:  "NO_APN_SUBSCRIPTION (3GPP)",
	9003:  "AUTHORIZATION_REJECTED (3GPP)",
	9006:  "ILLEGAL_ME (3GPP)",
	10500: "NETWORK_FAILURE (3GPP)",
	11001: "RAT_TYPE_NOT_ALLOWED (3GPP)",
	11005: "IMEI_NOT_ACCEPTED (3GPP)",
	11011: "PLMN_NOT_ALLOWED (3GPP)",
	11055: "UNAUTHENTICATED_EMERGENCY_NOT_SUPPORTED (3GPP)",
	12345: "MS_STATUS (Microsoft)",
	40961: "REACTIVATION_REQUESTED_CAUSE (3GPP)",
	41041: "BACKOFF_TIMER (3GPP)",
	41050: "PDN_TYPE_IPV4_ONLY_ALLOWED (3GPP)",
	41051: "PDN_TYPE_IPV6_ONLY_ALLOWED (3GPP)",
	41101: "DEVICE_IDENTITY (3GPP)",
	41112: "EMERGENCY_SUPPORT (3GPP)",
	41134: "EMERGENCY_CALL_NUMBERS (3GPP)",
	41288: "NBIFOM_GENERIC_CONTAINER (3GPP)",
	41304: "P-CSCF_RESELECTION_SUPPORT (3GPP)",
	41501: "PTI (3GPP)",
	42011: "IKEV2_MULTIPLE_BEARER_PDN_CONNECTIVITY (3GPP)",
	42014: "EPS_QOS (3GPP)",
	42015: "EXTENDED_EPS_QOS (3GPP)",
	42017: "TFT (3GPP)",
	42020: "MODIFIED_BEARER (3GPP)",
	42094: "APN_AMBR (3GPP)",
	42095: "EXTENDED_APN_AMBR (3GPP)",
	51015: "N1_MODE_CAPABILITY (3GPP)",
	51115: "N1_MODE_INFORMATION (3GPP)",
	52216: "N1_MODE_S_NSSAI_PLMN_ID (3GPP)",
	55501: "5G_QOS_INFO (3GPP)",
	55502: "NAS_IP4_ADDRESS (3GPP)",
	55503: "NAS_IP6_ADDRESS (3GPP)",
	55504: "UP_IP4_ADDRESS (3GPP)",
	55505: "UP_IP6_ADDRESS (3GPP)",
	55506: "NAS_TCP_PORT (3GPP)",
	55507: "N3GPP_BACKOFF_TIMER (3GPP)",
}

// PrivateMeaning gives what a type in a private range is known to be used for
// in the field, "" where nothing is known. It is a hint: private numbers
// belong to nobody.
func (t NotifyType) PrivateMeaning() string { return privateNotifies[t] }
