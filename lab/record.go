package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/cloudvlan/cvlanctl/capture/keylog/charonlog"
)

// wanted is the capture filter: IKE and ESP in all their forms, what routers
// say about them, and later fragments, which show no ports.
const wanted = "udp port 500 or udp port 4500 or ip proto 50 or ip6 proto 50 or icmp or (ip[6:2] & 0x1fff != 0) or (ip6[6] = 44) or (ip6[6] = 58 and ip6[40] < 128)"

// Recorder writes what passes on one interface to a pcap file.
type Recorder struct {
	process *Process
	path    string
	ns      *NS
	dev     string
}

// Record starts a capture and returns when it has begun.
func Record(ctx context.Context, ns *NS, dev, path string) (*Recorder, error) {
	logPath := path + ".tcpdump.log"
	p, err := ns.Spawn(nil, logPath, "tcpdump", "-i", dev, "-n", "-p", "-U", "--immediate-mode", "-s", "0", "-Z", "root", "-w", path, fmt.Sprintf("(%s) or ether proto %d", wanted, markType))
	if err != nil {
		return nil, err
	}
	r := &Recorder{process: p, path: path, ns: ns, dev: dev}
	err = Eventually(ctx, time.Minute, "tcpdump to listen", func() bool {
		log, err := os.ReadFile(logPath)
		return err == nil && bytes.Contains(log, []byte("listening on"))
	})
	if err != nil {
		return nil, errors.Join(err, r.end())
	}
	return r, nil
}

// Stop ends the capture. Frames that were sent before are in the file.
func (r *Recorder) Stop() error {
	mark, err := r.ns.mark(r.dev)
	if err != nil {
		return errors.Join(err, r.end())
	}
	// What tcpdump has not read when it is told to end is lost: the last of what
	// it has to read is a frame that we know.
	err = Eventually(context.Background(), time.Minute, "tcpdump to write what has passed", func() bool {
		all, err := os.ReadFile(r.path)
		return err == nil && bytes.Contains(all, mark) || r.process.ended()
	})
	return errors.Join(err, r.end(), without(r.path, mark))
}

func (r *Recorder) end() error {
	return errors.Join(r.process.Stop(), removeIfThere(r.path+".tcpdump.log"))
}

// markType is the EtherType of a mark: one for experiments (IEEE 802).
const markType = 0x88b5

// pcapRecord is the length of the header before each frame of a pcap file.
const pcapRecord = 16

// without takes a frame out of a pcap file.
func without(path string, frame []byte) error {
	all, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("capture: %w", err)
	}
	at := bytes.Index(all, frame)
	if at < pcapRecord {
		return nil
	}
	if err := os.WriteFile(path, slices.Delete(all, at-pcapRecord, at+len(frame)), 0o644); err != nil {
		return fmt.Errorf("capture: %w", err)
	}
	return nil
}

func removeIfThere(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("tidying up: %w", err)
	}
	return nil
}

// Recording is what a run leaves behind.
type Recording struct {
	Capture string // path of the pcap file
	KeysDir string // folder of Wireshark's key tables; "" where there are none
	Keys    charonlog.Keys
	Entry   Entry
}

// Run runs a scenario and leaves NAME.pcap and NAME.keys in folder dir. The
// daemons' configuration and logs stay in NAME.run, for people. Everything
// else is torn down before Run returns.
func Run(ctx context.Context, s Scenario, dir string) (rec Recording, err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return rec, fmt.Errorf("folder of recordings: %w", err)
	}
	work := filepath.Join(dir, s.Name+".run")
	if err := os.RemoveAll(work); err != nil {
		return rec, fmt.Errorf("working folder of an earlier run: %w", err)
	}
	b, err := NewBench(ctx, s, work)
	defer func() { err = errors.Join(err, b.Close()) }()
	if err != nil {
		return rec, fmt.Errorf("scenario %s: %w", s.Name, err)
	}
	if s.Prepare != nil {
		if err := s.Prepare(ctx, b); err != nil {
			return rec, fmt.Errorf("scenario %s: preparing: %w", s.Name, err)
		}
	}
	rec.Capture = filepath.Join(dir, s.Name+".pcap")
	ns, dev := b.tap()
	recorder, err := Record(ctx, ns, dev, rec.Capture)
	if err != nil {
		return rec, fmt.Errorf("scenario %s: %w", s.Name, err)
	}
	act := s.Act
	if act == nil {
		act = BringUpAndPing
	}
	actErr := act(ctx, b)
	// The last answer is on its way.
	settleErr := pause(ctx, 150*time.Millisecond)
	if err := errors.Join(actErr, settleErr, recorder.Stop()); err != nil {
		return rec, fmt.Errorf("scenario %s: %w", s.Name, err)
	}
	rec.Keys, err = b.Keys()
	if err != nil {
		return rec, fmt.Errorf("scenario %s: %w", s.Name, err)
	}
	if rec.KeysDir, err = writeKeys(s, rec.Keys, dir); err != nil {
		return rec, fmt.Errorf("scenario %s: %w", s.Name, err)
	}
	rec.Entry, err = b.entry(ctx, rec)
	return rec, err
}

// tap is the interface to listen on.
func (b *Bench) tap() (*NS, string) {
	switch b.Scenario.Tap {
	case TapResponder:
		return b.NSB, outerDev
	case TapMiddle:
		return b.Boxes[0], "out"
	}
	return b.NSA, outerDev
}

// Keys gives the keys that the logs of both daemons tell.
func (b *Bench) Keys() (charonlog.Keys, error) {
	var all charonlog.Keys
	for _, d := range []*Daemon{b.A, b.B} {
		if d == nil {
			continue
		}
		keys, err := d.Keys()
		if err != nil {
			return all, err
		}
		all.Merge(keys)
	}
	return all, nil
}

func writeKeys(s Scenario, keys charonlog.Keys, dir string) (string, error) {
	folder := filepath.Join(dir, s.Name+".keys")
	if err := os.RemoveAll(folder); err != nil {
		return "", fmt.Errorf("keys of an earlier run: %w", err)
	}
	if len(keys.IKE)+len(keys.IKEv1)+len(keys.ESP) == 0 {
		return "", nil
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return "", fmt.Errorf("folder of keys: %w", err)
	}
	tables := charonlog.Tables{Shared: true, AnyAddress: s.NAT != NoNAT || s.KeysAnyAddress}
	return folder, tables.Write(folder, keys)
}
