package tui_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/cloudvlan/cvlanctl/capture"
	"github.com/cloudvlan/cvlanctl/capture/dissect"
	"github.com/cloudvlan/cvlanctl/capture/keylog"
	"github.com/cloudvlan/cvlanctl/diag"
	"github.com/cloudvlan/cvlanctl/diag/rule"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/trace"
	"github.com/cloudvlan/cvlanctl/tui"
	"github.com/cloudvlan/cvlanctl/tui/feed"
)

// events calls f for each event of testdata/NAME.pcap, read with its keys, or of
// a capture of the corpus, read without, until f has enough.
func events(t *testing.T, name string, f func(*event.Event) bool) {
	t.Helper()
	path := "testdata/" + name
	var keys *keylog.Tables
	if _, err := os.Stat(path + ".pcap"); err != nil {
		path = "../testdata/captures/" + name
	} else if keys, err = keylog.Load([]string{path + ".keys"}); err != nil {
		t.Fatal(err)
	}
	source, err := capture.Open([]string{path + ".pcap"}, capture.FileOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for e, err := range dissect.New(dissect.Options{Keys: keys}).Events(source) {
		if err != nil {
			t.Fatal(err)
		}
		if !f(e) {
			return
		}
	}
}

// recorded loads a capture of two strongSwan daemons as the program does.
func recorded(t *testing.T, name string) (*feed.Store, func(*tui.Options)) {
	t.Helper()
	store := feed.NewStore(feed.Options{
		Title: "pcap:" + name + ".pcap", Summary: event.Summary, Trace: trace.Options{KeepOctets: true},
		Diagnose: func(tr *trace.Trace) []diag.Finding {
			return diag.Diagnose(&diag.Facts{Source: "pcap:" + name, Trace: tr, Now: tr.Last}, rule.All())
		},
	})
	events(t, name, func(e *event.Event) bool { store.Add(e); return true })
	store.Finish(nil)
	return store, withPacket(func(frame int64) (found *event.Packet, err error) {
		events(t, name, func(e *event.Event) bool {
			if e.Frame == frame {
				found = e.Packet
			}
			return found == nil
		})
		return found, nil
	})
}

func TestRecordedTunnelsAreReadable(t *testing.T) {
	views := []struct {
		capture, name string
		keys          []string
	}{
		{"child-rekey", "tunnels", []string{"down", "down", "down", "enter"}},
		{"child-rekey", "exchanges", []string{"2"}},
		{"child-rekey", "message", []string{"2", "down", "down", "down", "enter", "down", "down", "down", "down", "right", "down"}},
		{"child-rekey", "packets", []string{"6", "down", "down", "enter", "down", "down"}},
		{"child-rekey", "compare", []string{"2", "down", "down", "down", "down", "down", "d"}},
		{"wrong-psk", "exchanges", []string{"2"}},
		{"wrong-psk", "diagnoses", []string{"5", "enter"}},
		{"wrong-psk", "nat", []string{"3"}},
		{"child-rekey", "timers", []string{"4"}},
		{"dpd-peer-dies", "timers", []string{"4"}},
		{"dpd-peer-dies", "nat", []string{"3"}},
		{"dpd-peer-dies", "diagnoses", []string{"5"}},
	}
	for _, v := range views {
		for _, size := range sizes {
			name := fmt.Sprintf("recorded-%s-%s-%dx%d", v.capture, v.name, size.width, size.height)
			t.Run(name, func(t *testing.T) {
				store, packet := recorded(t, v.capture)
				d := drive(t, store, size.width, size.height, packet)
				golden(t, name+".txt", d.press(v.keys...).text())
				wellFormed(t, d, size.width, size.height)
			})
		}
	}
}

func TestWrongSecretLeadsFromFindingToMessage(t *testing.T) {
	store, packet := recorded(t, "wrong-psk")
	d := drive(t, store, 120, 40, packet)
	d.press("5", "enter").has("auth")
	d.press("enter", "enter").has("IKE message")
	d.press("esc", "esc").has("evidence")
}

// TestAMessageOfOurEngineIsOpenedWhereItIsListed gives a daemon's screen the
// packets of a recorded tunnel, as our engine tells them: without a frame.
func TestAMessageOfOurEngineIsOpenedWhereItIsListed(t *testing.T) {
	store := feed.NewStore(feed.Options{Title: "engine:127.0.0.1", Live: true, Daemon: true, Trace: trace.Options{KeepOctets: true}})
	events(t, "child-rekey", func(e *event.Event) bool {
		if e.Packet != nil && e.Packet.IKE != nil {
			e.Frame = 0
			store.Add(e)
		}
		return true
	})
	d := drive(t, store, 120, 40)
	d.press("2", "down", "down", "down", "enter").has("IKE message", "IKE_AUTH").hasNot("frame 0", "reading the packet")
	d.press("esc").has("INITIATOR")
}
