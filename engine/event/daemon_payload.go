package event

import (
	"strings"

	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// Chain gives the payloads of a logged message as far as their names tell:
// types, and the kinds of notifies. Names that are not known are left out.
func (m *LogMessage) Chain() []wire.Payload {
	var chain []wire.Payload
	for _, name := range m.Payloads {
		head, rest, _ := strings.Cut(name, "(")
		head, _, _ = strings.Cut(head, "/") // EAP/REQ/ID
		rest = strings.TrimSuffix(rest, ")")
		if head == "N" {
			if t, ok := shortNotifies[rest]; ok {
				chain = append(chain, wire.Payload{Type: wire.PayloadNotify, Body: &wire.Notify{Type: t}})
			}
			continue
		}
		if t, ok := shortPayloads[head]; ok {
			chain = append(chain, wire.Payload{Type: t})
		}
	}
	return chain
}

// shortPayloads are strongSwan's short names of IKEv2's payloads.
var shortPayloads = map[string]wire.PayloadType{
	"SA": wire.PayloadSA, "KE": wire.PayloadKE, "IDi": wire.PayloadIDi, "IDr": wire.PayloadIDr,
	"CERT": wire.PayloadCert, "CERTREQ": wire.PayloadCertReq, "AUTH": wire.PayloadAuth, "No": wire.PayloadNonce,
	"D": wire.PayloadDelete, "V": wire.PayloadVendor, "TSi": wire.PayloadTSi, "TSr": wire.PayloadTSr,
	"E": wire.PayloadSK, "CP": wire.PayloadCP, "CPRQ": wire.PayloadCP, "CPRP": wire.PayloadCP, "CPS": wire.PayloadCP,
	"CPA": wire.PayloadCP, "EAP": wire.PayloadEAP, "GSPM": wire.PayloadGSPM, "EF": wire.PayloadSKF,
}

// shortNotifies are strongSwan's short names of notifies.
var shortNotifies = map[string]wire.NotifyType{
	"CRIT": wire.NotifyUnsupportedCriticalPayload, "INVAL_IKE_SPI": wire.NotifyInvalidIKESPI,
	"INVAL_MAJOR": wire.NotifyInvalidMajorVersion, "INVAL_SYN": wire.NotifyInvalidSyntax,
	"INVAL_MID": wire.NotifyInvalidMessageID, "INVAL_SPI": wire.NotifyInvalidSPI,
	"NO_PROP": wire.NotifyNoProposalChosen, "INVAL_KE": wire.NotifyInvalidKEPayload,
	"AUTH_FAILED": wire.NotifyAuthenticationFailed, "SINGLE_PAIR": wire.NotifySinglePairRequired,
	"NO_ADD_SAS": wire.NotifyNoAdditionalSAs, "INT_ADDR_FAIL": wire.NotifyInternalAddressFailure,
	"FAIL_CP_REQ": wire.NotifyFailedCPRequired, "TS_UNACCEPT": wire.NotifyTSUnacceptable,
	"INVAL_SEL": wire.NotifyInvalidSelectors, "UNACCEPT_ADDR": wire.NotifyUnacceptableAddresses,
	"UNEXPECT_NAT": wire.NotifyUnexpectedNATDetected, "TEMP_FAIL": wire.NotifyTemporaryFailure,
	"NO_CHILD_SA": wire.NotifyChildSANotFound, "STATE_NOT_FOUND": wire.NotifyStateNotFound,

	"INIT_CONTACT": wire.NotifyInitialContact, "SET_WINSIZE": wire.NotifySetWindowSize,
	"ADD_TS_POSS": wire.NotifyAdditionalTSPossible, "IPCOMP_SUP": wire.NotifyIPCompSupported,
	"NATD_S_IP": wire.NotifyNATDetectionSourceIP, "NATD_D_IP": wire.NotifyNATDetectionDestinationIP,
	"COOKIE": wire.NotifyCookie, "USE_TRANSP": wire.NotifyUseTransportMode,
	"HTTP_CERT_LOOK": wire.NotifyHTTPCertLookupSupported, "REKEY_SA": wire.NotifyRekeySA,
	"ESP_TFC_PAD_N": wire.NotifyESPTFCPaddingNotSupported, "NON_FIRST_FRAG": wire.NotifyNonFirstFragmentsAlso,
	"MOBIKE_SUP": wire.NotifyMobikeSupported, "ADD_4_ADDR": wire.NotifyAdditionalIP4Address,
	"ADD_6_ADDR": wire.NotifyAdditionalIP6Address, "NO_ADD_ADDR": wire.NotifyNoAdditionalAddresses,
	"UPD_SA_ADDR": wire.NotifyUpdateSAAddresses, "COOKIE2": wire.NotifyCookie2, "NO_NATS": wire.NotifyNoNATsAllowed,
	"AUTH_LFT": wire.NotifyAuthLifetime, "MULT_AUTH": wire.NotifyMultipleAuthSupported,
	"AUTH_FOLLOWS": wire.NotifyAnotherAuthFollows, "REDIR_SUP": wire.NotifyRedirectSupported,
	"REDIR": wire.NotifyRedirect, "REDIR_FROM": wire.NotifyRedirectedFrom,
	"EAP_ONLY": wire.NotifyEAPOnlyAuthentication, "CHDLESS_SUP": wire.NotifyChildlessIKEv2Supported,
	"CRASH_DET": wire.NotifyQuickCrashDetection, "MSG_ID_SYN_SUP": wire.NotifyMessageIDSyncSupported,
	"RPL_CTR_SYN_SUP": wire.NotifyReplayCounterSyncSupported, "MSG_ID_SYN": wire.NotifyMessageIDSync,
	"FRAG_SUP": wire.NotifyFragmentationSupported, "HASH_ALG": wire.NotifySignatureHashAlgorithms,
	"USE_PPK": wire.NotifyUsePPK, "PPK_ID": wire.NotifyPPKIdentity, "NO_PPK": wire.NotifyNoPPKAuth,
	"INTERMEDIATE": wire.NotifyIntermediateExchangeSupported, "INTERMEDIATE_EXCHANGE_SUPPORTED": wire.NotifyIntermediateExchangeSupported,
}
