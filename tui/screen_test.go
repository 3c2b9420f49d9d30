package tui_test

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/tui"
	"github.com/cloudvlan/cvlanctl/tui/feed"
	"github.com/cloudvlan/cvlanctl/tui/theme"
)

var sizes = []struct{ width, height int }{{80, 24}, {120, 40}}

// screens are the keys that lead to each screen that there is.
var screens = []struct {
	name string
	keys []string
}{
	{"tunnels", nil},
	{"tunnels-detail", []string{"down", "enter"}},
	{"tunnels-child", []string{"down", "down", "enter"}},
	{"exchanges", []string{"2"}},
	{"nat", []string{"3"}},
	{"timers", []string{"4"}},
	{"compare", []string{"2", "d"}},
	{"diagnoses", []string{"5"}},
	{"diagnoses-detail", []string{"5", "enter", "down"}},
	{"packets", []string{"6"}},
	{"packets-icmp", []string{"6", "G", "enter"}},
	{"packets-decode", []string{"6", "enter", "down", "down"}},
	{"help", []string{"?"}},
	{"explain", []string{":", "explain no-proposal-ike", "enter"}},
	{"filter", []string{"/", "state=fail"}},
}

// saInit is a packet to decode: the header of an IKE_SA_INIT request and a
// nonce payload.
func saInit(int64) (*event.Packet, error) {
	octets := append([]byte{
		0x0e, 0xda, 0xee, 0x72, 0x09, 0x39, 0x03, 0xa1, 0, 0, 0, 0, 0, 0, 0, 0,
		40, 0x20, 34, 0x08, 0, 0, 0, 0, 0, 0, 0, 64,
		0, 0, 0, 36,
	}, make([]byte, 32)...)
	return &event.Packet{
		Src: siteA, Dst: siteB, SrcPort: 500, DstPort: 500, Proto: event.IKEv2, Encap: event.UDP, Length: len(octets), Octets: octets, TTL: 64,
		IKE: &event.IKE{},
	}, nil
}

func TestScreensAreAsTheyWereLookedAt(t *testing.T) {
	for _, size := range sizes {
		for _, s := range screens {
			name := fmt.Sprintf("%s-%dx%d", s.name, size.width, size.height)
			t.Run(name, func(t *testing.T) {
				d := drive(t, handMade(), size.width, size.height, withPacket(saInit))
				golden(t, name+".txt", d.press(s.keys...).text())
			})
		}
	}
}

func TestColoursMeanTheSameAsBefore(t *testing.T) {
	golden(t, "tunnels-80x24.ansi", drive(t, handMade(), 80, 24).styled()+"\n")
	light := func(o *tui.Options) { o.Theme.Light = true }
	golden(t, "diagnoses-light-80x24.ansi", drive(t, handMade(), 80, 24, light).press("5").styled()+"\n")
}

var style = regexp.MustCompile("\x1b\\[[0-9;:]*m")

// wellFormed fails the test where a screen is not exactly as large as the
// terminal, or holds anything but text and styles.
func wellFormed(t *testing.T, d *driver, width, height int) {
	t.Helper()
	content := d.styled()
	rows := strings.Split(content, "\n")
	if len(rows) > height {
		t.Errorf("%d rows on a screen of %d", len(rows), height)
	}
	for i, row := range rows {
		if w := ansi.StringWidth(row); w != width {
			t.Errorf("row %d is %d cells wide on a screen of %d: %q", i, w, width, ansi.Strip(row))
		}
		for _, r := range style.ReplaceAllString(row, "") {
			if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
				t.Fatalf("row %d holds %U: %q", i, r, row)
			}
		}
	}
}

func TestEveryScreenFillsEverySizeExactlyAndHoldsNothingHostile(t *testing.T) {
	for _, s := range screens {
		t.Run(s.name, func(t *testing.T) {
			d := drive(t, handMade(), 80, 24, withPacket(saInit)).press(s.keys...)
			for width := 80; width <= 230; width += 25 {
				for height := 24; height <= 70; height += 9 {
					d.send(tea.WindowSizeMsg{Width: width, Height: height})
					wellFormed(t, d, width, height)
				}
			}
		})
	}
}

func TestSmallTerminalIsToldWhatIsNeeded(t *testing.T) {
	d := drive(t, handMade(), 79, 24)
	d.has("needs 80 columns and 24 rows", "79 by 24")
	for _, size := range []struct{ w, h int }{{1, 1}, {3, 50}, {200, 2}, {79, 23}, {80, 23}} {
		d.send(tea.WindowSizeMsg{Width: size.w, Height: size.h})
		wellFormed(t, d, size.w, size.h)
	}
	d.press("2", "enter") // goes nowhere
	d.send(tea.WindowSizeMsg{Width: 80, Height: 24})
	d.has("TUNNEL")
	d.send(tea.WindowSizeMsg{Width: 20, Height: 5})
	if d.press("q"); !d.quit {
		t.Error("q does not quit a small screen")
	}
}

func TestLayoutTilesTheScreen(t *testing.T) {
	for width := tui.MinWidth; width < 300; width += 7 {
		for height := tui.MinHeight; height < 120; height += 5 {
			areas, small := tui.Layout(width, height)
			y := 0
			for _, a := range areas {
				if a[0] != 0 || a[1] != y || a[2] != width || a[3] < 1 {
					t.Fatalf("%dx%d: areas %v", width, height, areas)
				}
				y += a[3]
			}
			if y != height || small {
				t.Fatalf("%dx%d: areas %v cover %d rows, small %v", width, height, areas, y, small)
			}
		}
	}
	for _, size := range [][2]int{{79, 24}, {80, 23}, {0, 0}} {
		if _, small := tui.Layout(size[0], size[1]); !small {
			t.Errorf("%v is not too small", size)
		}
	}
}

var colour = regexp.MustCompile("\x1b\\[[0-9;:]*(3[0-7]|4[0-7]|38|48|9[0-7]|10[0-7])[;:m]")

func TestNothingIsToldByColourAlone(t *testing.T) {
	plain := func(o *tui.Options) { o.Theme.Colour = false }
	for _, s := range screens {
		t.Run(s.name, func(t *testing.T) {
			d := drive(t, handMade(), 120, 40, withPacket(saInit), plain).press(s.keys...)
			if found := colour.FindString(d.styled()); found != "" {
				t.Errorf("colour %q without colours", found)
			}
			if coloured := drive(t, handMade(), 120, 40, withPacket(saInit)).press(s.keys...); coloured.text() != d.text() {
				t.Error("the words differ without colours")
			}
		})
	}
}

func TestASCIIScreenHasOnlyASCII(t *testing.T) {
	only := func(o *tui.Options) { o.Theme.ASCII = true }
	for _, s := range screens {
		for _, r := range drive(t, handMade(), 80, 24, withPacket(saInit), only).press(s.keys...).text() {
			if r > 0x7e {
				t.Fatalf("%s: %U", s.name, r)
			}
		}
	}
}

func TestKeysLeadFromPageToPage(t *testing.T) {
	d := drive(t, handMade(), 120, 40, withPacket(saInit))
	d.has("PEER, SELECTORS")
	d.press("2").has("INITIATOR")
	d.press("5").has("what to change")
	d.press("6").has("DESTINATION")
	d.press("tab").has("a capture has no log").press("tab").has("PEER, SELECTORS")
	d.press("shift+tab", "shift+tab").has("DESTINATION")
	d.press("3").has("KEEPALIVES").press("4").has("WHAT IT DID")
	d.press("9").has("does nothing here")
	d.press("1", "down", "x").has("INITIATOR").press("esc").has("PEER, SELECTORS")
	d.press("?").has("Keys of Tunnels").press("?").hasNot("Keys of Tunnels")
	d.press("q")
	if !d.quit {
		t.Error("q does not quit")
	}
}

func TestFindingAndEvidenceAreOneKeyApart(t *testing.T) {
	d := drive(t, handMade(), 120, 40, withPacket(saInit))
	d.press("5", "enter", "down", "enter")
	d.has("INITIATOR")
	if !strings.Contains(cursorRow(d), "NO_PROPOSAL_CHOSEN") {
		t.Errorf("the cursor is on %q", cursorRow(d))
	}
	d.press("esc").has("what to change")
	if !strings.Contains(cursorRow(d), "frame 41") {
		t.Errorf("back, the cursor is on %q", cursorRow(d))
	}
	d.press("down", "y")
	if len(d.copied) != 1 || d.copied[0] != "connections.<conn>.proposals = aes256gcm16-prfsha256-ecp256" {
		t.Errorf("copied %q", d.copied)
	}
}

// cursorRow gives the row that the cursor is on, the lowest where there are
// several.
func cursorRow(d *driver) string {
	found := ""
	for _, row := range d.rows() {
		if strings.Contains(row, theme.Unicode.Cursor) {
			found = row
		}
	}
	return found
}

func TestTunnelLeadsToItsFindingAndBack(t *testing.T) {
	d := drive(t, handMade(), 80, 24)
	d.press("n")
	if !strings.Contains(cursorRow(d), "high") {
		t.Fatalf("n leads to %q", cursorRow(d))
	}
	d.press("f").has("whose", "no-proposal-ike").press("v").has("TUNNEL")
	d.press("esc").has("whose").press("esc").has("TUNNEL")
}

func TestFilterShowsOnlyWhatMatches(t *testing.T) {
	rows := []struct{ page, filter, has, hasNot string }{
		{"1", "state=fail", "853da0116d264038", "0edaee72093903a1"},
		{"1", "!state=fail spi=0eda", "0edaee72093903a1", "853da0116d264038"},
		{"2", "no_proposal", "NO_PROPOSAL_CHOSEN", "1e71c451aee890e7"},
		{"2", "peer=203.0.113.99", "sent again", "NO_PROPOSAL"},
		{"5", "owner=external", "no-response-to-sa-init", "no-proposal-ike  "},
		{"6", "proto=esp", "feedf00d", "IKE_SA_INIT"},
		{"6", "frame=41", "response 0: N(N", "feedf00d"},
	}
	for _, row := range rows {
		t.Run(row.page+" "+row.filter, func(t *testing.T) {
			d := drive(t, handMade(), 80, 24)
			d.press(row.page, "/", row.filter)
			d.has(row.has)
			body := strings.Join(d.rows()[2:], "\n")
			if strings.Contains(body, row.hasNot) {
				t.Errorf("still has %q:\n%s", row.hasNot, body)
			}
			d.press("enter").has("/" + row.filter[:4])
			d.press("esc").has("filter cleared", row.has)
		})
	}
	d := drive(t, handMade(), 80, 24)
	d.press("/", "nothing like this").has("no tunnel matches").press("esc").has("0edaee72093903a1")
}

func TestJumpClearsAFilterThatHidesItsTarget(t *testing.T) {
	d := drive(t, handMade(), 80, 24)
	d.press("2", "/", "peer=203", "enter", "5", "enter", "enter")
	if !strings.Contains(cursorRow(d), "IKE_SA_INIT") {
		t.Errorf("the cursor is on %q", cursorRow(d))
	}
}

func TestCommandsDoWhatTheySay(t *testing.T) {
	d := drive(t, handMade(), 80, 24)
	d.press(":", "explain no-proposal-ike", "enter").has("no common IKE proposal", "RFC 7296 2.7").press("esc")
	d.press(":", "explain unheard-of", "enter").has("the catalogue has no unheard-of")
	d.press(":", "explain proposal-ike", "enter").has("did you mean no-proposal-ike?")
	d.press(":", "explain", "enter").has("explain wants the id")
	d.press(":", "goto frame 41", "enter")
	if !strings.Contains(cursorRow(d), "response 0: N(N") {
		t.Errorf("goto leads to %q", cursorRow(d))
	}
	d.press(":", "goto 9999", "enter").has("frame 9999 is not on the Packets page")
	d.press(":", "goto west", "enter").has("goto wants the number of a frame")
	d.press(":", "dance", "enter").has("dance is no command")
	d.press(":", "esc").hasNot("dance")
	if d.press(":", "quit", "enter"); !d.quit {
		t.Error(":quit does not quit")
	}
}

func TestWordsThatHaveNoRoomOnOneLineAreReadToTheirEnd(t *testing.T) {
	for _, size := range sizes {
		d := drive(t, handMade(), size.width, size.height)
		d.press(":", "dance", "enter").has("dance is no command", "explain ID", "quit\n")
		if rows := d.rows(); len(rows) != size.height {
			t.Errorf("the screen of %d rows has %d", size.height, len(rows))
		}
		d.press("j").hasNot("dance", "explain ID").has("? keys")
	}
}

func TestWriteAsksForANameAndRefusesToReplace(t *testing.T) {
	d := drive(t, handMade(), 80, 24)
	d.press("w").has("write to: cvlanctl-tunnels.md")
	d.press("enter").has("wrote cvlanctl-tunnels.md")
	golden(t, "tunnels.md", d.written["cvlanctl-tunnels.md"])
	d.press("w", "enter").has("file already exists")
	d.press("5", "w", "ctrl+u", "found.json", "enter").has("wrote found.json")
	golden(t, "diagnoses.json", d.written["found.json"])
	d.press("w", "ctrl+u", "found.txt", "enter").has("must end in .json or .md")
	d.press("w", "ctrl+u", "enter").has("nothing written")
	for name, text := range d.written {
		if strings.ContainsAny(text, "\x1b\u009b\a") {
			t.Errorf("%s holds control characters", name)
		}
	}
	schema, err := jsonschema.NewCompiler().Compile("../docs/schema/screen.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range []string{"1", "2", "5", "6"} {
		name := "page" + page + ".json"
		d.press(page, "w", "ctrl+u", name, "enter")
		document, err := jsonschema.UnmarshalJSON(strings.NewReader(d.written[name]))
		if err == nil {
			err = schema.Validate(document)
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	none := func(o *tui.Options) { o.Write = nil }
	drive(t, handMade(), 80, 24, none).press("w").has("not now")
}

func TestPacketIsReadAgainWhenOpened(t *testing.T) {
	var asked []int64
	d := drive(t, handMade(), 120, 40, withPacket(func(frame int64) (*event.Packet, error) {
		asked = append(asked, frame)
		if frame == 5 {
			return nil, errors.New("morning.pcapng: at octet 77: the file has changed")
		}
		return saInit(frame)
	}))
	d.press("6", "enter").has("Nonce  32 octets", "IKE message, 64 octets")
	d.press("]", "]", "]", "]").has("the file has changed")
	if fmt.Sprint(asked) != "[1 2 3 4 5]" {
		t.Errorf("asked for frames %v", asked)
	}
	d.press("esc", "enter", "esc").has("DESTINATION")
	drive(t, handMade(), 80, 24).press("6", "enter").has("this source does not keep its packets")
}

func TestOctetsAndTreeAreLinkedBothWays(t *testing.T) {
	d := drive(t, handMade(), 80, 24, withPacket(saInit))
	d.press("6", "enter", "down", "right", "down", "down", "down")
	if !strings.Contains(cursorRow(d), "length") {
		t.Fatalf("the cursor is on %q", cursorRow(d))
	}
	// The third octet of the row at 0x10 of the dump is the exchange type.
	for y, row := range d.rows() {
		if i := strings.Index(row, "│ 0010  28 20 22"); i >= 0 {
			x := ansi.StringWidth(row[:i]) + len("│ 0010  28 20 ") - len("│") + 1
			d.send(tea.MouseClickMsg{X: x, Y: y, Button: tea.MouseLeft})
		}
	}
	if !strings.Contains(cursorRow(d), "exchange type") {
		t.Errorf("a click on the octet selects %q", cursorRow(d))
	}
	if d.press("y"); len(d.copied) != 1 || d.copied[0] != "22" {
		t.Errorf("copied %q", d.copied)
	}
}

func TestMouseScrollsSelectsAndOpens(t *testing.T) {
	d := drive(t, handMade(), 80, 24)
	d.send(tea.MouseClickMsg{X: 15, Y: 1, Button: tea.MouseLeft})
	d.has("INITIATOR")
	d.send(tea.MouseClickMsg{X: 3, Y: 1, Button: tea.MouseLeft})
	d.has("TUNNEL")
	click := tea.MouseClickMsg{X: 10, Y: 5, Button: tea.MouseLeft}
	d.send(click)
	if !strings.Contains(cursorRow(d), "be9debbe") {
		t.Fatalf("a click selects %q", cursorRow(d))
	}
	d.hasNot("selectors")
	d.send(click)
	d.has("selectors")
	d.send(tea.MouseWheelMsg{X: 10, Y: 5, Button: tea.MouseWheelDown})
	if strings.Contains(cursorRow(d), "be9debbe") {
		t.Error("the wheel does not scroll")
	}
	for y := range 24 {
		for x := 0; x < 80; x += 19 {
			for _, page := range []string{"1", "2", "5", "6"} {
				d.press(page)
				d.send(tea.MouseClickMsg{X: x, Y: y, Button: tea.MouseLeft})
				d.send(tea.MouseWheelMsg{X: x, Y: y, Button: tea.MouseWheelUp})
				wellFormed(t, d, 80, 24)
			}
		}
	}
}

func TestEmptySourceSaysSo(t *testing.T) {
	s := feed.NewStore(feed.Options{Title: "pcap:empty.pcap"})
	d := drive(t, s, 80, 24)
	d.has("no IKE or ESP seen yet", "reading")
	d.press("2").has("no IKE exchange seen yet").press("5").has("the diagnosis follows").press("6").has("no packet")
	for _, key := range []string{"1", "2", "5", "6"} {
		d.press(key, "enter", "down", "G", "n", "N", "x", "f", "d", "p", "s", "v", "e", "y", "J", "esc", "]", "t", "space")
		wellFormed(t, d, 80, 24)
	}
	s.Finish(nil)
	d.send(tui.Tick(at(0)))
	d.press("5").has("nothing is wrong as far as this source can tell")
}

func TestLoadingShowsProgressAndItsEnd(t *testing.T) {
	s := feed.NewStore(feed.Options{Title: "pcap:long/way/down/the/tree/of/folders/with/a/name/that/does/not/fit/trace.pcap"})
	d := drive(t, s, 80, 24)
	s.Read(30, 100)
	d.send(tui.Tick(at(0)))
	d.has("30%", "fit/trace.pcap")
	near := event.Event{Time: at(0), Frame: 1, Packet: &event.Packet{Src: siteA, Dst: siteB, Proto: event.ESP, Encap: event.IP, ESP: &event.SecurityPacket{SPI: 7, Seq: 1}}}
	s.Add(&near)
	d.send(tui.Tick(at(time.Second)))
	d.has("00000007")
	s.Read(100, 100)
	d.send(tui.Tick(at(time.Second)))
	d.has("diagnosing 1 packet")
	s.Finish(errors.New("trace.pcap: at octet 4711: the file ends within a frame"))
	d.send(tui.Tick(at(2 * time.Second)))
	d.has("ended with an error", "at octet 4711: the file ends within a frame")
	wellFormed(t, d, 80, 24)
}
