// Package charonlog finds session keys in the log of strongSwan's charon
// and writes them as Wireshark's key tables.
//
// charon prints what it derives when its log groups ike and chd stand at
// level 4: SKEYSEED and the SK_* keys of RFC 7296 section 2.14, and the
// encryption and integrity keys of every CHILD SA. The SPIs that the keys
// belong to are in other lines of the same worker thread (group mgr at level
// 2, group chd at level 1), so the parser follows each thread on its own.
//
// Contract: Parse reads any octets without panicking, keeps at most a bounded
// number of key sets, and returns only complete ones. Keys do not print
// themselves; WriteTables is the one call that spells them out.
package charonlog

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
)

// Key is secret octets. Printing one gives its length only.
type Key []byte

// String gives the length, never the octets.
func (k Key) String() string { return fmt.Sprintf("[%d octets]", len(k)) }

// GoString gives the length, never the octets.
func (k Key) GoString() string { return k.String() }

// Suite names the algorithms of an SA as charon spells them, for example
// Encr "AES_CBC_256" with Integ "HMAC_SHA2_256_128". Integ is empty where the
// cipher authenticates by itself.
type Suite struct {
	Encr  string
	Integ string
	ESN   bool // extended sequence numbers; CHILD SAs only
}

// IKE holds the keys that protect the messages of one IKEv2 SA. For AEAD
// ciphers EncrI and EncrR end with the salt, and the Integ keys are empty.
type IKE struct {
	SPIi, SPIr     uint64
	Suite          Suite
	EncrI, EncrR   Key
	IntegI, IntegR Key
}

// IKEv1 holds the phase 1 encryption key of one ISAKMP SA.
type IKEv1 struct {
	CookieI uint64
	Encr    Key
}

// ESP holds the keys of one direction of a CHILD SA. Src and Dst are the
// outer addresses as the daemon that wrote the log saw them: behind a NAT
// these differ from what a capture elsewhere shows.
type ESP struct {
	SPI      uint32
	Src, Dst netip.Addr
	Suite    Suite
	Encr     Key
	Integ    Key
}

// Keys is everything found in one or more logs, in the order of the log.
type Keys struct {
	IKE   []IKE
	IKEv1 []IKEv1
	ESP   []ESP
}

// Limits of what one log may make the parser hold.
const (
	maxLine   = 1 << 16 // octets in a line; charon's are far shorter
	maxSets   = 1 << 16 // key sets of each kind
	maxDump   = 1 << 10 // octets in one hex dump that is kept
	maxThread = 1 << 10 // worker threads followed at once
)

// ErrTooMuch is returned, wrapped, when a log holds more than the parser keeps.
var ErrTooMuch = errors.New("log holds more than the parser keeps")

var (
	// "13[IKE] <gw|1> text" or "13[IKE] <1> text", with anything (a time, a host) before it. Journals
	// and syslog put their own prefix there.
	lineRE    = regexp.MustCompile(`(?:^|\s)(\d{1,5})\[([A-Z]{3})\] (?:<(?:[^>]*\|)?(\d+)> )?(.*)$`)
	dumpRE    = regexp.MustCompile(`^(.+) => (\d+) bytes @ `)
	hexRE     = regexp.MustCompile(`^\s*(\d+): ((?:[0-9A-Fa-f]{2} ){1,16})`)
	checkinRE = regexp.MustCompile(`^checkin IKEv([12]) SA .* with SPIs ([0-9a-f]{16})_i ([0-9a-f]{16})_r`)
	checkedRE = regexp.MustCompile(`^checkout IKEv([12]) SA .*with SPIs ([0-9a-f]{16})_i ([0-9a-f]{16})_r`)
	destroyRE = regexp.MustCompile(`^checkin and destroy IKE_SA .*\[(\d+)\]$`)
	messageRE = regexp.MustCompile(`^(?:parsed|generating) (\S+) (request|response) `)
	spiRE     = regexp.MustCompile(`^\s+SPI 0x([0-9a-f]{1,8}), src (\S+) dst (\S+)`)
)

// thread is what one worker thread of the daemon has said so far about the SA
// that it is at work on.
type thread struct {
	label     string // the hex dump being read
	want, got int    // its announced length, and what was seen of it
	dump      []byte

	initiated bool // the exchange at hand was begun by this daemon

	// version, spii and spir are of the SA that was checked out last.
	version, spii, spir string

	ikeSuite  Suite
	ike       map[string]Key // by label; nil when no key set is open
	derivedIn string         // the daemon's number for the SA in which the open key set was derived

	espSuite Suite
	esp      map[string]Key
	inbound  bool // the SPI line to come names the inbound SA
}

// Parse reads a log to its end. It returns what it found together with the
// first error of the reader, or ErrTooMuch.
func Parse(r io.Reader) (Keys, error) {
	p := parser{threads: map[string]*thread{}, suites: map[string]Suite{}, seen: map[string]bool{}}
	scan := bufio.NewScanner(r)
	scan.Buffer(make([]byte, 4096), maxLine)
	for scan.Scan() {
		if err := p.line(scan.Text()); err != nil {
			return p.keys, err
		}
	}
	if err := scan.Err(); err != nil {
		return p.keys, fmt.Errorf("reading charon log: %w", err)
	}
	return p.keys, nil
}

type parser struct {
	keys    Keys
	threads map[string]*thread
	suites  map[string]Suite // of IKE SAs, by the daemon's number for them
	seen    map[string]bool  // SAs already kept, by kind and SPI
}

func (p *parser) line(s string) error {
	m := lineRE.FindStringSubmatch(s)
	if m == nil {
		return nil
	}
	t := p.threads[m[1]]
	if t == nil {
		if len(p.threads) >= maxThread {
			return fmt.Errorf("%d threads: %w", len(p.threads), ErrTooMuch)
		}
		t = &thread{}
		p.threads[m[1]] = t
	}
	group, sa, text := m[2], m[3], m[4]
	if t.label != "" && t.hexLine(text) {
		return nil
	}
	t.label = ""
	if group == "IKE" || group == "CHD" {
		if d := dumpRE.FindStringSubmatch(text); d != nil {
			t.openDump(d[1], d[2])
			if d[1] == "SKEYSEED" {
				t.derivedIn = sa
			}
			if d[1] == "SKEYSEED" && t.ikeSuite == (Suite{}) {
				// A responder derives its keys when IKE_AUTH arrives, in
				// whatever thread that may be.
				t.ikeSuite = p.suites[sa]
			}
			return nil
		}
	}
	switch group {
	case "ENC":
		if m := messageRE.FindStringSubmatch(text); m != nil {
			// A daemon parses a request when it answers and generates one
			// when it begins.
			t.initiated = strings.HasPrefix(text, "parsed") == (m[2] == "response")
		}
	case "CFG":
		if _, name, ok := strings.Cut(text, "selected proposal: IKE:"); ok {
			t.ikeSuite = parseSuite(name)
			if len(p.suites) >= maxSets {
				return fmt.Errorf("%d IKE SAs: %w", maxSets, ErrTooMuch)
			}
			p.suites[sa] = t.ikeSuite
		} else if _, name, ok := strings.Cut(text, "selected proposal: ESP:"); ok {
			t.espSuite = parseSuite(name)
		}
	case "MGR":
		if m := checkedRE.FindStringSubmatch(text); m != nil {
			t.version, t.spii, t.spir = m[1], m[2], m[3]
			t.ike, t.ikeSuite = nil, Suite{} // what is left of the SA before is not this one's
			return nil
		}
		if m := destroyRE.FindStringSubmatch(text); m != nil {
			var err error
			if m[1] == t.derivedIn { // and not a new SA that a rekeying gave up
				err = p.checkin(t, t.version, t.spii, t.spir)
			}
			t.ike, t.ikeSuite = nil, Suite{}
			return err
		}
		if m := checkinRE.FindStringSubmatch(text); m != nil {
			err := p.checkin(t, m[1], m[2], m[3])
			t.ikeSuite = Suite{} // the thread may turn to another SA
			return err
		}
	case "CHD":
		return p.child(t, text)
	}
	return nil
}

// openDump starts a hex dump; the keys in it are complete when all octets
// that the line announces have been seen.
func (t *thread) openDump(label, length string) {
	n, err := strconv.Atoi(length)
	if err != nil || n > maxDump {
		return
	}
	t.label, t.want, t.got, t.dump = label, n, 0, nil
	if label == "SKEYSEED" || label == "SKEYID" {
		t.ike = map[string]Key{}
	}
	if label == "encryption initiator key" || (label == "integrity initiator key" && t.esp == nil) {
		t.esp = map[string]Key{}
	}
}

// hexLine takes one line of an open dump. It reports whether it was one.
func (t *thread) hexLine(text string) bool {
	m := hexRE.FindStringSubmatch(text + " ")
	if m == nil {
		return false
	}
	offset, err := strconv.Atoi(m[1])
	if err != nil || offset != t.got {
		return false
	}
	octets, err := hex.DecodeString(strings.ReplaceAll(m[2], " ", ""))
	if err != nil {
		return false
	}
	// The text column after a short last line can look like hex pairs.
	octets = octets[:min(len(octets), t.want-t.got)]
	t.dump = append(t.dump, octets...)
	t.got += len(octets)
	if t.got == t.want {
		t.closeDump()
	}
	return true
}

func (t *thread) closeDump() {
	if t.ike != nil {
		t.ike[t.label] = t.dump
	}
	if t.esp != nil {
		t.esp[t.label] = t.dump
	}
	t.label, t.dump = "", nil
}

// checkin joins the open IKE key set of a thread with the SPIs under which the
// SA is put back. A rekeyed SA is checked in before the one that it replaces.
func (p *parser) checkin(t *thread, version, spii, spir string) error {
	keys := t.ike
	if keys == nil {
		return nil
	}
	i, errI := strconv.ParseUint(spii, 16, 64)
	r, errR := strconv.ParseUint(spir, 16, 64)
	if errI != nil || errR != nil || r == 0 {
		return nil
	}
	t.ike = nil
	if len(p.keys.IKE) >= maxSets || len(p.keys.IKEv1) >= maxSets {
		return fmt.Errorf("%d IKE SAs: %w", maxSets, ErrTooMuch)
	}
	if p.seen["ike"+spii+spir] {
		return nil
	}
	if version == "1" {
		encr := keys["encryption key Ka"]
		if encr == nil {
			return nil
		}
		p.seen["ike"+spii+spir] = true
		p.keys.IKEv1 = append(p.keys.IKEv1, IKEv1{CookieI: i, Encr: encr})
		return nil
	}
	sa := IKE{SPIi: i, SPIr: r, Suite: t.ikeSuite,
		EncrI: keys["Sk_ei secret"], EncrR: keys["Sk_er secret"],
		IntegI: keys["Sk_ai secret"], IntegR: keys["Sk_ar secret"]}
	if sa.EncrI == nil || sa.EncrR == nil {
		return nil
	}
	p.seen["ike"+spii+spir] = true
	p.keys.IKE = append(p.keys.IKE, sa)
	return nil
}

// child follows the lines with which charon installs a CHILD SA.
func (p *parser) child(t *thread, text string) error {
	switch {
	case strings.HasPrefix(text, "adding inbound ESP SA"):
		t.inbound = true
		return nil
	case strings.HasPrefix(text, "adding outbound ESP SA"), strings.HasPrefix(text, "registering outbound ESP SA"):
		t.inbound = false
		return nil
	}
	m := spiRE.FindStringSubmatch(text)
	if m == nil || t.esp == nil {
		return nil
	}
	spi, err := strconv.ParseUint(m[1], 16, 32)
	if err != nil {
		return nil
	}
	src, errS := netip.ParseAddr(m[2])
	dst, errD := netip.ParseAddr(m[3])
	if errS != nil || errD != nil {
		return nil
	}
	if len(p.keys.ESP) >= maxSets {
		return fmt.Errorf("%d CHILD SAs: %w", maxSets, ErrTooMuch)
	}
	// Octets that this daemon sends are protected with the initiator's key
	// where it began the exchange, with the responder's where it did not.
	role := "responder"
	if t.initiated != t.inbound {
		role = "initiator"
	}
	sa := ESP{SPI: uint32(spi), Src: src, Dst: dst, Suite: t.espSuite,
		Encr: t.esp["encryption "+role+" key"], Integ: t.esp["integrity "+role+" key"]}
	if !t.inbound {
		t.esp = nil // the outbound SA is the last of a pair
	}
	if id := fmt.Sprint("esp", spi, dst); !p.seen[id] {
		p.seen[id] = true
		p.keys.ESP = append(p.keys.ESP, sa)
	}
	return nil
}

// parseSuite reads a selected proposal such as
// "AES_CBC_256/HMAC_SHA2_256_128/PRF_HMAC_SHA2_256/ECP_256".
func parseSuite(s string) Suite {
	var suite Suite
	for i, name := range strings.Split(strings.TrimSpace(s), "/") {
		switch {
		case i == 0:
			suite.Encr = name
		case name == "EXT_SEQ":
			suite.ESN = true
		case strings.HasPrefix(name, "HMAC_"), strings.HasPrefix(name, "AES_XCBC_"), strings.HasPrefix(name, "AES_CMAC_"):
			suite.Integ = name
		}
	}
	return suite
}

// Merge adds the SAs of other that k does not know yet: the two ends of a
// tunnel print the same keys.
func (k *Keys) Merge(other Keys) {
	for _, sa := range other.IKE {
		known := false
		for _, have := range k.IKE {
			known = known || have.SPIi == sa.SPIi && have.SPIr == sa.SPIr
		}
		if !known {
			k.IKE = append(k.IKE, sa)
		}
	}
	for _, sa := range other.IKEv1 {
		known := false
		for _, have := range k.IKEv1 {
			known = known || have.CookieI == sa.CookieI
		}
		if !known {
			k.IKEv1 = append(k.IKEv1, sa)
		}
	}
	for _, sa := range other.ESP {
		known := false
		for _, have := range k.ESP {
			known = known || have.SPI == sa.SPI && have.Encr.equal(sa.Encr)
		}
		if !known {
			k.ESP = append(k.ESP, sa)
		}
	}
}

// equal says whether two keys are the same. These are test keys read from a
// file: the comparison need not take constant time.
func (k Key) equal(other Key) bool { return string(k) == string(other) }
