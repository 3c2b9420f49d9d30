package tui_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/trace"
	"github.com/cloudvlan/cvlanctl/tui"
	"github.com/cloudvlan/cvlanctl/tui/feed"
	"github.com/cloudvlan/cvlanctl/tui/page"
)

// engineStore is our own engine's screen: the packets of a recorded tunnel, and
// what an engine tells beside them.
func engineStore(t *testing.T) *feed.Store {
	store := feed.NewStore(feed.Options{Title: "engine:127.0.0.1", Live: true, Daemon: true, Trace: trace.Options{KeepOctets: true}})
	events(t, "child-rekey", func(e *event.Event) bool {
		if e.Packet != nil && e.Packet.IKE != nil {
			e.Frame = 0
			store.Add(e)
			h := &e.Packet.IKE.Message.Header
			store.Add(&event.Event{Time: e.Time, Check: &event.Check{SPIi: h.InitiatorSPI, SPIr: h.ResponderSPI, Kind: event.CheckProposal, What: "ESP proposal 1", Local: "aes256gcm16", Remote: "aes128-sha1"}})
			store.Add(&event.Event{Time: e.Time, Step: &event.Step{SPIi: h.InitiatorSPI, SPIr: h.ResponderSPI, Kind: "retransmit", Text: "again"}})
		}
		return true
	})
	return store
}

// mashed are the keys that impatient fingers hit, and some words.
var mashed = []string{"1", "2", "3", "4", "5", "6", "7", "up", "down", "left", "right", "pgup", "pgdown", "home", "end", "enter", "enter", "esc", "esc", "tab", "shift+tab", "space",
	"g", "G", "n", "N", "j", "k", "h", "l", "a", "b", "c", "d", "e", "f", "p", "r", "s", "t", "u", "v", "x", "y", "z", "w", "B", "D", "F", "?", "/", ":", "backspace", "ctrl+u", "ctrl+w",
	"/", "state=", ":", "explain no-proposal-ike", "0", "9", "~", "\u00e9"}

// TestNoSequenceOfKeysAndSizesBreaksAScreen plays random keys, and a terminal
// that is drawn larger and smaller, on every kind of source.
func TestNoSequenceOfKeysAndSizesBreaksAScreen(t *testing.T) {
	for name, source := range map[string]func(*testing.T) (feed.Data, func(*tui.Options)){
		"hand-made": func(*testing.T) (feed.Data, func(*tui.Options)) { return handMade(), withPacket(saInit) },
		"empty": func(*testing.T) (feed.Data, func(*tui.Options)) {
			return feed.NewStore(feed.Options{}), withPacket(saInit)
		},
		"capture": func(t *testing.T) (feed.Data, func(*tui.Options)) { return recorded(t, "dpd-peer-dies") },
		"keys":    func(t *testing.T) (feed.Data, func(*tui.Options)) { return recorded(t, "child-rekey") },
		"daemon":  func(*testing.T) (feed.Data, func(*tui.Options)) { return daemon(), withPacket(saInit) },
		"engine":  func(t *testing.T) (feed.Data, func(*tui.Options)) { return engineStore(t), withPacket(saInit) },
	} {
		t.Run(name, func(t *testing.T) {
			data, packet := source(t)
			for seed := range uint64(2) {
				random := rand.New(rand.NewPCG(seed, 1))
				var pressed []string
				broken := func() {
					if r := recover(); r != nil {
						t.Fatalf("seed %d, after %q: %v", seed, pressed, r)
					}
				}
				func() {
					defer broken()
					width, height := 80, 24
					d := drive(t, data, width, height, packet, takesOrders(new([]page.Order), nil), atSecond(17))
					for i := range 300 {
						key := mashed[random.IntN(len(mashed))]
						switch random.IntN(25) {
						case 0:
							width, height = 20+random.IntN(150), 5+random.IntN(50)
							key = fmt.Sprintf("%dx%d", width, height)
							d.send(tea.WindowSizeMsg{Width: width, Height: height})
						case 1:
							key = "tick"
							d.send(tui.Tick(at(time.Duration(17+i) * time.Second)))
						case 2:
							x, y := random.IntN(width), random.IntN(height)
							key = fmt.Sprintf("click %d,%d", x, y)
							d.send(tea.MouseClickMsg{X: x, Y: y, Button: tea.MouseLeft})
						default:
							d.press(key)
						}
						pressed = append(pressed, key)
						wellFormed(t, d, width, height)
						if t.Failed() {
							t.Fatalf("seed %d, after %q", seed, pressed)
						}
					}
				}()
			}
		})
	}
}

func TestALineOfOurEnginesLogLeadsToItsMessageAndBack(t *testing.T) {
	d := drive(t, engineStore(t), 120, 40)
	d.press("7", "g").has("IKE_SA_INIT request 0", "aes128-sha1", "retransmit: again")
	d.press("enter").has("INITIATOR", "── IKE_SA_INIT 0")
	d.press("esc").has("aes128-sha1")
	d.press("down", "t").has("STATE").press("esc").has("aes128-sha1")
}
