package cli

import (
	"context"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli/term"
	"github.com/cloudvlan/cvlanctl/engine/wire"
	"github.com/cloudvlan/cvlanctl/lab/need"
)

// TestCaptureShowsAndWritesWhatPasses captures IKE on the loopback interface,
// and reads what it wrote.
func TestCaptureShowsAndWritesWhatPasses(t *testing.T) {
	need.Root(t)
	message := (&wire.Message{
		Header: wire.Header{InitiatorSPI: 0x0edaee72093903a1, Version: wire.Version2, Exchange: wire.ExchangeIKESAInit, Flags: wire.FlagInitiator},
		Payloads: []wire.Payload{
			{Type: wire.PayloadSA, Body: &wire.SA{Proposals: []wire.Proposal{{Number: 1, Protocol: wire.ProtocolIKE, Transforms: []wire.Transform{
				{Type: wire.TransformEncr, ID: wire.EncrAESGCM16, Attributes: []wire.Attribute{{Type: wire.AttrKeyLength, Short: true, Value: 256}}},
			}}}}},
			{Type: wire.PayloadKE, Body: &wire.KE{Group: 19, Data: make([]byte, 64)}},
			{Type: wire.PayloadNonce, Body: &wire.Nonce{Data: make([]byte, 32)}},
		},
	}).Append(nil)
	sink, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer sink.Close()
	port := sink.LocalAddr().(*net.UDPAddr).Port
	conn, err := net.Dial("udp4", sink.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()

	file := filepath.Join(t.TempDir(), "out.pcapng")
	screen, out, errs := term.Test("", nil)
	ctx, cancel := context.WithCancel(context.Background())
	var sending sync.WaitGroup
	sending.Go(func() {
		// The capture begins some time after the command has: go on sending
		// until it has seen one.
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for ctx.Err() == nil {
			_, _ = conn.Write(message) // what is lost is sent again
			<-tick.C
		}
	})
	code := NewApp(screen).run(context.Background(), []string{
		"pcap", "capture", "-i", "lo", "--count", "1", "-w", file, "--duration", "30s", "--port", strconv.Itoa(port),
	})
	cancel()
	sending.Wait()
	if code != exitFine {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	if !strings.Contains(out.String(), "IKE_SA_INIT request 0") {
		t.Errorf("the packet is not shown: %q", out)
	}
	if !strings.Contains(errs.String(), "1 frames captured, 0 dropped") {
		t.Errorf("what was captured and lost is not said: %q", errs)
	}
	if code, shown, errs := run(t, "", nil, "pcap", "decode", "-o", "jsonl", file); code != exitFine || !strings.Contains(shown, `"spi_i":"0edaee72093903a1"`) {
		t.Errorf("the written file: exit code %d, %q, %q", code, shown, errs)
	}
}

func TestCaptureSaysWhatIsMissing(t *testing.T) {
	need.Root(t)
	code, _, errs := run(t, "", nil, "pcap", "capture", "-i", "no-such-interface")
	if code != exitUnreachable || !strings.Contains(errs, "no-such-interface") {
		t.Errorf("exit code %d, %q", code, errs)
	}
}

func TestCaptureRefusesWrongUsage(t *testing.T) {
	for _, args := range [][]string{
		{}, {"-i", "lo", "--count", "-1"}, {"-i", "lo", "--duration", "-1s"}, {"-i", "lo", "--port", "70000"}, {"-i", "lo", "--port", "0"}, {"lo"},
	} {
		if code, _, errs := run(t, "", nil, append([]string{"pcap", "capture"}, args...)...); code != exitUsage {
			t.Errorf("%v: exit code %d, %q", args, code, errs)
		}
	}
}
