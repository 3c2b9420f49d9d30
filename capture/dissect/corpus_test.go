package dissect_test

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudvlan/cvlanctl/capture"
	"github.com/cloudvlan/cvlanctl/capture/dissect"
	"github.com/cloudvlan/cvlanctl/capture/keylog"
	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/trace"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestEveryCaptureOfTheCorpusFoldsAsItsGoldenSays holds the one-line form of
// every packet and the tables that it is folded into, without keys and with.
func TestEveryCaptureOfTheCorpusFoldsAsItsGoldenSays(t *testing.T) {
	files, err := filepath.Glob("../../testdata/captures/*.pcap*")
	if err != nil || len(files) == 0 {
		t.Fatalf("no captures: %v", err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), filepath.Ext(file))
		t.Run(name, func(t *testing.T) {
			golden(t, name, file, "")
		})
		if keys := strings.TrimSuffix(file, filepath.Ext(file)) + ".keys"; exists(keys) {
			t.Run(name+" with keys", func(t *testing.T) {
				golden(t, name+".keys", file, keys)
			})
		}
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func golden(t *testing.T, name, file, keys string) {
	var o dissect.Options
	if keys != "" {
		var err error
		if o.Keys, err = keylog.Load([]string{keys}); err != nil {
			t.Fatal(err)
		}
	}
	src, err := capture.Open([]string{file}, capture.FileOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	tr := trace.New(trace.Options{})
	var begin time.Time
	for e, err := range dissect.New(o).Events(src) {
		if err != nil {
			t.Fatal(err)
		}
		if begin.IsZero() {
			begin = e.Time
		}
		tr.Add(e)
		fmt.Fprintf(&out, "%d %s\n", e.Frame, event.Summary(e))
		if p := e.Packet; p != nil && p.IKE != nil && p.IKE.Err != nil {
			t.Errorf("frame %d: %v", e.Frame, p.IKE.Err)
		}
	}
	describe(&out, tr)
	path := filepath.Join("testdata", "golden", name+".txt")
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v (run with -update to make it)", err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(out.String(), "\n")); diff != "" {
		t.Error(diff)
	}
}

// describe writes the tables in a form that does not depend on timing.
func describe(w io.Writer, t *trace.Trace) {
	for _, sa := range t.SAs {
		fmt.Fprintf(w, "\nIKE SA %s %s v%d %s\n", sa.InitiatorSPI, sa.ResponderSPI, sa.Version, sa.State)
		fmt.Fprintf(w, "  initiator %s:%d %s\n", sa.Local.Host, sa.Local.Port, sa.Local.ID)
		fmt.Fprintf(w, "  responder %s:%d %s\n", sa.Remote.Host, sa.Remote.Port, sa.Remote.ID)
		fmt.Fprintf(w, "  suite %s\n", sa.Suite.Keyword)
		fmt.Fprintf(w, "  nat initiator %s, responder %s\n", yesNo(sa.NAT.Local), yesNo(sa.NAT.Remote))
		fmt.Fprintf(w, "  dpd %d of %d answered, keepalives %d, messages %d, moves %d\n",
			sa.DPD.Answered, sa.DPD.Probes, sa.Keepalives, sa.Messages, len(sa.Moves))
		if sa.Ended != "" {
			fmt.Fprintf(w, "  ended %s by %s\n", sa.Ended, sa.EndedBy)
		}
		if sa.Predecessor != nil {
			fmt.Fprintf(w, "  after %s\n", sa.Predecessor.InitiatorSPI)
		}
		for _, x := range sa.Exchanges {
			_, timed := x.RTT.Get()
			fmt.Fprintf(w, "  %s %d by %s for %s, answered %v, repeats %d and %d, variant %v\n",
				x.Type, x.MessageID, x.By, x.Purpose, timed, x.RequestRepeats, x.ResponseRepeats, x.Variant)
		}
		for _, c := range sa.Children {
			in, _ := c.SPIIn.Get()
			out, _ := c.SPIOut.Get()
			fmt.Fprintf(w, "  child %s %s %s in %s out %s suite %s ts %v === %v packets %d in %d out\n", c.State, c.Mode, c.Protocol,
				in, out, c.Suite.Keyword, c.LocalTS, c.RemoteTS, c.PacketsIn.Or(0), c.PacketsOut.Or(0))
		}
	}
	for _, f := range t.Flows {
		fmt.Fprintf(w, "\nflow %s %s to %s packets %d octets %d missing %d duplicates %d reordered %d joined %v certain %v decrypted %d\n",
			f.SPI, f.Src, f.Dst, f.Packets, f.Octets, f.Missing, f.Duplicates, f.Reordered, f.SA != nil, f.Certain, f.Decrypted)
	}
	for _, l := range t.Losses {
		fmt.Fprintf(w, "\nlost %s to %s: %d fragments, %s\n", l.Src, l.Dst, l.Have, l.Why)
	}
	for _, e := range t.ICMP {
		fmt.Fprintf(w, "\nicmp from %s: %s, %d times\n", e.From, e.What, e.Count)
	}
}

func yesNo(o engine.Opt[bool]) string {
	v, ok := o.Get()
	switch {
	case !ok:
		return "unknown"
	case v:
		return "yes"
	}
	return "no"
}
