package doc

import (
	"encoding/hex"
	"encoding/json"
	"net/netip"

	"github.com/cloudvlan/cvlanctl/engine/trace"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// Exchange is a request with its response; for IKEv1 a phase 1, or the
// messages of one message id of phase 2.
type Exchange struct {
	IKESA         SARef       `json:"ike_sa"`
	Exchange      string      `json:"exchange"`
	ExchangeType  uint8       `json:"exchange_type"`
	MessageID     uint32      `json:"message_id"`
	By            string      `json:"by,omitempty"`
	Purpose       string      `json:"purpose"`
	Request       *Message    `json:"request,omitempty"`
	Response      *Message    `json:"response,omitempty"`
	More          []*Message  `json:"more,omitempty"`
	RTT           json.Number `json:"rtt,omitzero"`
	RequestAgain  int         `json:"request_retransmits"`
	ResponseAgain int         `json:"response_retransmits"`
	Repeats       []Repeat    `json:"repeats,omitempty"`
	Variant       bool        `json:"variant,omitempty"`
}

// SARef names an IKE SA.
type SARef struct {
	SPIi   string `json:"spi_i"`
	SPIr   string `json:"spi_r"`
	Local  string `json:"local_host,omitempty"`
	Remote string `json:"remote_host,omitempty"`
}

// Message is one IKE message.
type Message struct {
	Frame        int64    `json:"frame"`
	Frames       []int64  `json:"frames,omitempty"`
	Time         string   `json:"time,omitzero"`
	Src          string   `json:"src,omitempty"`
	Dst          string   `json:"dst,omitempty"`
	SPort        uint16   `json:"sport,omitempty"`
	DPort        uint16   `json:"dport,omitempty"`
	Encap        string   `json:"encap"`
	Length       int      `json:"length"`
	Encrypted    bool     `json:"encrypted"`
	Decrypted    bool     `json:"decrypted"`
	DecryptError string   `json:"decrypt_error,omitempty"`
	FirstInner   string   `json:"first_inner,omitempty"`
	Payloads     []string `json:"payloads"`
	Notifies     []Notify `json:"notifies,omitempty"`
	IKEFragments int      `json:"ike_fragments,omitempty"`
	IPFragments  int      `json:"ip_fragments,omitempty"`
	Problems     []string `json:"problems,omitempty"`
}

// Notify is one notify of a message.
type Notify struct {
	Notify   string `json:"notify"`
	NotifyID uint16 `json:"notify_id"`
	SPI      string `json:"spi,omitempty"`
}

// Repeat is one retransmission.
type Repeat struct {
	Frame    int64  `json:"frame"`
	Time     string `json:"time,omitzero"`
	Response bool   `json:"response"`
}

// Exchanges is the document of `pcap exchanges`: all exchanges that t kept, in
// the order of SAs and of each SA's messages.
func Exchanges(t *trace.Trace, source string) []Field {
	var all []*trace.Exchange
	for _, sa := range t.SAs {
		all = append(all, sa.Exchanges...)
	}
	return []Field{
		{Name: "schema", Value: ExchangesSchema},
		{Name: "source", Value: source},
		list("exchanges", all, NewExchange),
	}
}

// NewExchange makes the object of one exchange.
func NewExchange(x *trace.Exchange) Exchange {
	e := Exchange{
		Exchange: x.Type.String(), ExchangeType: uint8(x.Type), MessageID: x.MessageID,
		By: x.By.String(), Purpose: string(x.Purpose),
		Request: newMessage(x.Request), Response: newMessage(x.Response),
		RTT: seconds(x.RTT), RequestAgain: x.RequestRepeats, ResponseAgain: x.ResponseRepeats, Variant: x.Variant,
	}
	if x.SA != nil {
		e.IKESA = ref(x.SA)
	}
	for _, m := range x.More {
		e.More = append(e.More, newMessage(m))
	}
	for _, r := range x.Repeats {
		e.Repeats = append(e.Repeats, Repeat{r.Frame, stamp(r.Time), r.Response})
	}
	return e
}

func ref(sa *trace.IKESA) SARef {
	return SARef{sa.InitiatorSPI.String(), sa.ResponderSPI.String(), host(sa.Local.Host), host(sa.Remote.Host)}
}

func newMessage(m *trace.Message) *Message {
	if m == nil {
		return nil
	}
	d := &Message{
		Frame: m.Frame, Frames: m.Frames, Time: stamp(m.Time),
		Src: host(m.Src.Addr()), Dst: host(m.Dst.Addr()), SPort: m.Src.Port(), DPort: m.Dst.Port(),
		Encap: m.Encap.String(), Length: m.Length,
		Encrypted: m.Encrypted, Decrypted: m.Decrypted, DecryptError: m.DecryptError,
		Payloads: []string{}, IKEFragments: m.Fragments, IPFragments: m.IPFragments,
	}
	if m.First != 0 {
		d.FirstInner = m.First.String()
	}
	for i := range m.Payloads {
		d.Payloads = append(d.Payloads, m.Payloads[i].Type.String())
		if n, ok := m.Payloads[i].Body.(*wire.Notify); ok {
			d.Notifies = append(d.Notifies, Notify{n.Type.String(), uint16(n.Type), hex.EncodeToString(n.SPI)})
		}
	}
	for i := range m.Problems {
		d.Problems = append(d.Problems, m.Problems[i].Error())
	}
	return d
}

// host gives an address, "" where there is none.
func host(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}
