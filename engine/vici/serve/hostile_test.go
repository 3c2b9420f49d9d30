package serve_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/native"
	"github.com/cloudvlan/cvlanctl/engine/policy"
	"github.com/cloudvlan/cvlanctl/engine/vici/packet"
	"github.com/cloudvlan/cvlanctl/engine/vici/serve"
)

// fake is a backend that tells the events that it is given, and does of the rest
// what a test sets.
type fake struct {
	backend.Backend
	events chan *event.Event
	fail   error
	up     func(context.Context, backend.Progress) error
}

func (f *fake) Events(ctx context.Context, _ backend.EventOptions) iter.Seq2[*event.Event, error] {
	return func(yield func(*event.Event, error) bool) {
		if f.fail != nil {
			yield(nil, f.fail)
			return
		}
		if !yield(&event.Event{Time: time.Now(), Table: &event.Table{First: true}}, nil) {
			return
		}
		for {
			select {
			case e, open := <-f.events:
				if !open || !yield(e, nil) {
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}
}

func (f *fake) Up(ctx context.Context, _ backend.Target, _ backend.UpOptions, progress backend.Progress) error {
	return f.up(ctx, progress)
}

// plug is a raw connection to a server.
type plug struct {
	*testing.T
	net.Conn
}

func dial(t *testing.T, path string) *plug {
	t.Helper()
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() }) // it may be closed by now
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return &plug{t, c}
}

func (p *plug) send(kind packet.Kind, name string, entries ...packet.Element) {
	p.Helper()
	b, err := packet.Append(nil, kind, name, entries)
	if err == nil {
		_, err = p.Write(b)
	}
	if err != nil {
		p.Fatal(err)
	}
}

func (p *plug) read() packet.Packet {
	p.Helper()
	got, err := packet.Read(p.Conn)
	if err != nil {
		p.Fatal(err)
	}
	return got
}

// ends wants the server to end the connection.
func (p *plug) ends(what string) {
	p.Helper()
	if _, err := io.Copy(io.Discard, p.Conn); err != nil {
		var n net.Error
		if errors.As(err, &n) && n.Timeout() {
			p.Errorf("%s: the connection stays open", what)
		}
	}
}

// TestHostileClientsAreCutOffAndOthersServed proves it for each way to be
// hostile, while another client is served all the time.
func TestHostileClientsAreCutOffAndOthersServed(t *testing.T) {
	goroutines(t)
	e := bare(t)
	server, path := served(t, e, serve.Options{Patience: 200 * time.Millisecond})
	segment := func(b ...byte) []byte { return append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...) }
	for what, b := range map[string][]byte{
		"nothing of a message that was announced": {0, 0, 0, 99},
		"a length that is cut":                    {0, 0},
		"four GiB":                                {0xff, 0xff, 0xff, 0xff, 0},
		"one octet more than allowed":             binary.BigEndian.AppendUint32(nil, packet.MaxSegment+1),
		"an empty message":                        {0, 0, 0, 0},
		"a response":                              segment(1),
		"an event":                                segment(7, 1, 'x'),
		"a type that does not exist":              segment(99),
		"a request without a name":                segment(0, 0),
		"a request that is cut":                   segment(0, 200, 'x'),
		"an unknown element":                      segment(0, 1, 'x', 77),
		"an open section":                         segment(0, 1, 'x', 1, 1, 'y'),
		"sections without end":                    segment(append([]byte{0, 1, 'x'}, bytes.Repeat([]byte{1, 1, 'y'}, 100_000)...)...),
		"values without end":                      segment(append([]byte{0, 1, 'x'}, bytes.Repeat([]byte{3, 1, 'y', 0, 0}, 100_000)...)...),
		"HTTP":                                    []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
	} {
		p := dial(t, path)
		if _, err := p.Write(b); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		p.ends(what)
		if v, err := client(t, path, false).Version(limited(t)); err != nil || v.Daemon != "cvlanctl" {
			t.Errorf("another client after %s: %+v, %v", what, v, err)
		}
	}
	eventually(t, "no client is left", func() bool { return server.Clients() == 0 })
}

func TestRequestsOfAnyFormAreAnswered(t *testing.T) {
	goroutines(t)
	e := bare(t)
	_, path := served(t, e, serve.Options{})
	p := dial(t, path)
	p.send(packet.Request, "no-such-command")
	if got := p.read(); got.Kind != packet.Unknown {
		t.Errorf("an unknown command: %+v", got)
	}
	for _, kind := range []packet.Kind{packet.Register, packet.Unregister} {
		p.send(kind, "no-such-event")
		if got := p.read(); got.Kind != packet.EventUnknown {
			t.Errorf("an unknown event: %+v", got)
		}
		p.send(kind, "log")
		if got := p.read(); got.Kind != packet.Confirm {
			t.Errorf("an event: %+v", got)
		}
	}
	big := strings.Repeat("x", packet.MaxValue)
	for _, row := range []struct {
		name, says string
		in         []packet.Element
	}{
		{"initiate", "missing configuration name", nil},
		{"terminate", "missing terminate selector", nil},
		{"rekey", "missing rekey selector", nil},
		{"redirect", "missing target gateway", nil},
		{"redirect", "missing redirect selector", []packet.Element{packet.Value("gateway", "x")}},
		{"install", "missing configuration name", nil},
		{"uninstall", "missing configuration name", nil},
		{"uninstall", "trap policies", []packet.Element{packet.Value("child", "x")}},
		{"load-conn", "one section", nil},
		{"load-conn", "no section", []packet.Element{packet.Value("x", "y")}},
		{"load-authority", "one section", nil},
		{"load-pool", "one section", nil},
		{"load-pool", "pools", []packet.Element{packet.Sub("x", packet.List("y", "z"))}},
		{"unload-conn", "missing connection name", nil},
		{"unload-conn", "unload: connection", []packet.Element{packet.Value("name", big)}},
		{"unload-authority", "missing authority name", nil},
		{"unload-pool", "missing pool name", nil},
		{"unload-key", "missing key id", nil},
		{"unload-shared", "missing unique identifier", nil},
		{"load-cert", "certificate type missing", nil},
		{"load-cert", "certificate data missing", []packet.Element{packet.Value("type", "X509")}},
		{"load-cert", "parsing", []packet.Element{packet.Value("type", "x509ca"), packet.Value("data", big)}},
		{"load-key", "key type missing", nil},
		{"load-key", "key data missing", []packet.Element{packet.Value("type", "any")}},
		{"load-key", "no private key", []packet.Element{packet.Value("type", "any"), packet.Value("data", big)}},
		{"load-token", "keyid missing", nil},
		{"load-token", "tokens", []packet.Element{packet.Value("handle", "00")}},
		{"load-shared", "type missing", nil},
		{"load-shared", "data missing", []packet.Element{packet.Value("type", "ike")}},
		{"load-shared", "invalid shared key type", []packet.Element{packet.Value("type", big), packet.Value("data", "x")}},
		{packet.CommandDPD, "missing connection name", nil},
		{packet.CommandDPD, "no IKE SA", []packet.Element{packet.Value("connection", "x"), packet.List("timeout", "x")}},
	} {
		p.send(packet.Request, row.name, row.in...)
		got := p.read()
		if why := packet.Find(got.Entries, "errmsg"); got.Kind != packet.Response || packet.Find(got.Entries, "success") != "no" || !strings.Contains(why, row.says) {
			t.Errorf("%s: %.200q, want %q", row.name, why, row.says)
		}
	}
	// One after the other, however many are sent ahead.
	for range 20 {
		p.send(packet.Request, "version")
	}
	for range 20 {
		if got := p.read(); packet.Find(got.Entries, "version") != "1.2.3" {
			t.Fatalf("%+v", got)
		}
	}
}

func TestMoreClientsThanAllowedAreCutOff(t *testing.T) {
	goroutines(t)
	e := bare(t)
	server, path := served(t, e, serve.Options{Clients: 2})
	for range 2 {
		p := dial(t, path)
		p.send(packet.Request, "version")
		p.read()
	}
	dial(t, path).ends("the third of two")
	if n := server.Clients(); n != 2 {
		t.Errorf("%d clients", n)
	}
}

// TestASlowReaderLosesEventsAndIsTold proves that a client which does not read
// holds up nobody, and that what it lost is told.
func TestASlowReaderLosesEventsAndIsTold(t *testing.T) {
	goroutines(t)
	f := &fake{events: make(chan *event.Event)}
	_, path := served(t, f, serve.Options{Patience: time.Minute, Queue: 1})
	slow, quick := dial(t, path), dial(t, path)
	for _, p := range []*plug{slow, quick} {
		for _, name := range []string{"log", packet.EventName} {
			p.send(packet.Register, name)
			p.read()
		}
	}
	const lines = 3000
	text := strings.Repeat("x", 4000)
	taken := make(chan struct{}, lines)
	var work sync.WaitGroup
	work.Go(func() {
		for i := range lines {
			if i >= 50 {
				<-taken // as fast as the quick one reads
			}
			f.events <- &event.Event{Time: time.Now(), Log: &event.Log{Group: "IKE", Level: 1, Text: fmt.Sprintf("%d %s", i, text)}}
		}
	})
	last := func(p *plug, took func()) (seen int, gaps []uint64) {
		for {
			got := p.read()
			if got.Name != packet.EventName {
				if msg := packet.Find(got.Entries, "msg"); msg == "end" {
					return seen, gaps
				}
				continue
			}
			b, err := packet.Join(packet.Get(got.Entries, packet.Exact).List)
			if err != nil {
				t.Fatal(err)
			}
			e, err := event.Decode(b)
			switch {
			case err != nil:
				t.Fatal(err)
			case e.Gap != nil:
				gaps = append(gaps, e.Gap.Dropped)
			case e.Log.Text != "end":
				seen++
				took()
			}
		}
	}
	type outcome struct {
		seen int
		gaps []uint64
	}
	read := make(chan outcome, 1)
	go func() {
		seen, gaps := last(quick, func() { taken <- struct{}{} })
		read <- outcome{seen, gaps}
	}()
	work.Wait()
	// Now the slow one reads: until it has room again, nothing is told of the loss.
	done := make(chan outcome, 1)
	go func() {
		seen, gaps := last(slow, func() {})
		done <- outcome{seen, gaps}
	}()
	end := time.NewTicker(20 * time.Millisecond)
	defer end.Stop()
	var of outcome
	for waiting := true; waiting; {
		select {
		case f.events <- &event.Event{Time: time.Now(), Log: &event.Log{Group: "IKE", Level: 1, Text: "end"}}:
		case of = <-done:
			waiting = false
		}
		<-end.C
	}
	if got := <-read; got.seen != lines || len(got.gaps) != 0 {
		t.Errorf("the quick reader has %d of %d events, with gaps %v", got.seen, lines, got.gaps)
	}
	if len(of.gaps) == 0 || of.gaps[0] == 0 || of.seen >= lines {
		t.Errorf("the slow reader has %d of %d events, with gaps %v", of.seen, lines, of.gaps)
	}
}

// TestAClientThatTakesNothingIsCutOff proves that nobody can hold a place by
// not reading.
func TestAClientThatTakesNothingIsCutOff(t *testing.T) {
	goroutines(t)
	f := &fake{events: make(chan *event.Event)}
	server, path := served(t, f, serve.Options{Patience: 100 * time.Millisecond})
	p := dial(t, path)
	p.send(packet.Register, "log")
	p.read()
	eventually(t, "the client is cut off", func() bool {
		if server.Clients() == 0 {
			return true
		}
		f.events <- &event.Event{Time: time.Now(), Log: &event.Log{Text: strings.Repeat("x", 8000)}}
		return false
	})
}

func TestAClientThatGoesEndsItsCommand(t *testing.T) {
	goroutines(t)
	began, ended := make(chan struct{}), make(chan struct{})
	f := &fake{up: func(ctx context.Context, _ backend.Progress) error {
		close(began)
		<-ctx.Done()
		close(ended)
		return ctx.Err()
	}}
	_, path := served(t, f, serve.Options{})
	p := dial(t, path)
	p.send(packet.Request, "initiate", packet.Value("child", "net"))
	<-began
	_ = p.Close() // this is what is proved
	select {
	case <-ended:
	case <-time.After(patience):
		t.Fatal("the command goes on")
	}
}

func TestWhereTheBackendEndsItsFollowersSeeItGo(t *testing.T) {
	goroutines(t)
	f := &fake{events: make(chan *event.Event)}
	_, path := served(t, f, serve.Options{})
	p := dial(t, path)
	p.send(packet.Register, "ike-updown")
	p.read()
	close(f.events)
	p.ends("events have ended")
	f.fail = backend.ErrUnreachable
	p = dial(t, path)
	p.send(packet.Register, "log")
	p.ends("there are no events")
}

// fuzzed is one server for all rounds of a fuzzer's process.
var fuzzed = sync.OnceValues(func() (*serve.Server, error) {
	e, err := native.Start(context.Background(), native.Options{Policy: &policy.Policy{}, Local: netip.MustParseAddr("127.0.0.1"),
		Listen: func(a netip.AddrPort) (*net.UDPConn, error) {
			return net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(a.Addr(), 0)))
		}})
	if err != nil {
		return nil, err
	}
	return serve.New(e, serve.Options{Patience: time.Second}), nil
})

// one is a listener that has one connection to give.
type one struct {
	c    net.Conn
	once sync.Once
	end  chan struct{}
}

func (o *one) Accept() (c net.Conn, err error) {
	o.once.Do(func() { c = o.c })
	if c == nil {
		<-o.end
		return nil, net.ErrClosed
	}
	return c, nil
}

func (o *one) Close() error   { return nil }
func (o *one) Addr() net.Addr { return o.c.LocalAddr() }

// FuzzCommands proves that whatever a client sends is answered or ends the
// connection, in time, and never crashes the server.
func FuzzCommands(f *testing.F) {
	names := []string{"version", "load-conn", "load-cert", "load-key", "load-shared", "list-sas", "initiate", "terminate", "rekey", "list-certs",
		"get-counters", "load-authority", "unload-conn", "get-pools", packet.CommandDPD, packet.CommandPast, "list-conns", "stats"}
	for i := range names {
		b, err := packet.AppendMessage(nil, []packet.Element{packet.Value("child", "net"), packet.Value("data", "x"), packet.List("owners", "a"), packet.Value(packet.Exact, "yes")})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(uint8(i), b)
	}
	b, err := packet.AppendMessage(nil, []packet.Element{packet.Sub("gw", packet.List("local_addrs", "%any"), packet.Sub("local", packet.Value("auth", "psk"), packet.Value("id", "a")),
		packet.Sub("children", packet.Sub("net", packet.List("local_ts", "10.0.0.0/8"), packet.Value("start_action", "none"))))})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(uint8(1), b)
	f.Fuzz(func(t *testing.T, which uint8, message []byte) {
		server, err := fuzzed()
		if err != nil {
			t.Fatal(err)
		}
		near, far := net.Pipe()
		l := &one{c: far, end: make(chan struct{})}
		done := make(chan error, 1)
		go func() { done <- server.Serve(l) }()
		name := names[int(which)%len(names)]
		head := append([]byte{byte(packet.Request), byte(len(name))}, name...)
		segment := append(binary.BigEndian.AppendUint32(nil, uint32(len(head)+len(message))), append(head, message...)...)
		if err := near.SetDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		if _, err := near.Write(segment); err == nil {
			var n net.Error
			if _, err = packet.Read(near); errors.As(err, &n) && n.Timeout() {
				t.Fatalf("%s: no answer", name)
			}
		}
		_ = near.Close() // the answer was had
		close(l.end)
		<-done
	})
}
