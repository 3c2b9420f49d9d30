package dissect_test

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cloudvlan/cvlanctl/capture"
	"github.com/cloudvlan/cvlanctl/capture/dissect"
	"github.com/cloudvlan/cvlanctl/capture/keylog"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/wire"
	"github.com/cloudvlan/cvlanctl/lab/need"
)

// columns are tshark's fields that are compared, frame by frame; each holds
// all its occurrences, in order.
var columns = []string{
	"frame.number", "isakmp.ispi", "isakmp.rspi", "isakmp.exchangetype", "isakmp.flags", "isakmp.messageid", "isakmp.length",
	"isakmp.typepayload", "isakmp.notify.msgtype", "isakmp.prop.number", "isakmp.prop.protoid", "isakmp.prop.transforms",
	"isakmp.tf.type", "isakmp.tf.id.encr", "isakmp.tf.id.prf", "isakmp.tf.id.integ", "isakmp.tf.id.dh", "isakmp.tf.id.esn",
	"isakmp.ike2.attr.key_length", "isakmp.key_exchange.dh_group", "isakmp.nonce", "isakmp.vid_bytes", "isakmp.delete.spi",
	"isakmp.id.type", "isakmp.auth.method", "isakmp.ts.start_ipv4", "isakmp.ts.end_ipv4",
	"esp.spi", "esp.sequence", "ah.spi", "ah.sequence",
}

// tsharksFault lists the differences that are tshark's: by capture and column.
// It must hold nothing that no longer differs.
var tsharksFault = map[string]string{}

// TestEveryFrameOfTheCorpusDecodesAsTsharkDecodesIt compares headers, payload
// chains, proposals and the rest, and with keys the decrypted chains too.
func TestEveryFrameOfTheCorpusDecodesAsTsharkDecodesIt(t *testing.T) {
	tshark := need.Program(t, "tshark")
	files, err := filepath.Glob("../../testdata/captures/*.pcap*")
	if err != nil || len(files) == 0 {
		t.Fatalf("no captures: %v", err)
	}
	unused := maps.Clone(tsharksFault)
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), filepath.Ext(file))
		t.Run(name, func(t *testing.T) {
			keys := strings.TrimSuffix(file, filepath.Ext(file)) + ".keys"
			if _, err := os.Stat(keys); err != nil {
				keys = ""
			}
			theirs := askTshark(t, tshark, file, keys)
			ours := decode(t, file, keys)
			for _, frame := range slices.Sorted(maps.Keys(theirs)) {
				us := ours[frame]
				if us == nil {
					us = make(row)
				}
				for _, column := range columns[1:] {
					if a, b := us[column], theirs[frame][column]; a != b {
						id := name + " " + column
						if tsharksFault[id] != "" {
							delete(unused, id)
							continue
						}
						t.Errorf("frame %d, %s:\n ours    %s\n tshark  %s", frame, column, a, b)
					}
				}
				delete(ours, frame)
			}
			for frame, us := range ours {
				if us["isakmp.ispi"] != "" || us["esp.spi"] != "" {
					t.Errorf("frame %d: tshark sees nothing, we see %v", frame, us)
				}
			}
		})
	}
	for id := range unused {
		t.Errorf("%q is listed as tshark's fault and no longer differs", id)
	}
}

// row is one frame's values by column.
type row map[string]string

func (r row) add(column, value string) {
	if r[column] != "" {
		value = r[column] + "," + value
	}
	r[column] = value
}

// askTshark gives tshark's values of all frames in which it sees IKE, ESP or
// AH.
func askTshark(t *testing.T, tshark, file, keys string) map[int64]row {
	config := t.TempDir()
	if keys != "" {
		tables, err := filepath.Glob(filepath.Join(keys, "*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, table := range tables {
			content, err := os.ReadFile(table)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(config, filepath.Base(table)), onlyTsharks(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	args := []string{"-r", file, "-T", "fields", "-E", "occurrence=a", "-E", "aggregator=,", "-E", "separator=/t"}
	for _, c := range columns {
		args = append(args, "-e", c)
	}
	cmd := exec.Command(tshark, args...)
	cmd.Env = append(os.Environ(), "WIRESHARK_CONFIG_DIR="+config, "TZ=UTC")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("tshark: %v: %s", err, stderr.String())
	}
	rows := make(map[int64]row)
	for line := range strings.Lines(string(out)) {
		values := strings.Split(strings.TrimRight(line, "\n"), "\t")
		frame, err := strconv.ParseInt(values[0], 10, 64)
		if err != nil || len(values) != len(columns) {
			t.Fatalf("tshark printed %q", line)
		}
		r := make(row)
		for i, v := range values[1:] {
			if v != "" {
				r[columns[i+1]] = v
			}
		}
		if r["isakmp.ispi"] != "" || r["esp.spi"] != "" || r["ah.spi"] != "" {
			rows[frame] = r
		}
	}
	return rows
}

// onlyTsharks leaves out the rows whose algorithm tshark does not have: it
// would refuse the whole table.
func onlyTsharks(table []byte) []byte {
	var out []byte
	for line := range bytes.Lines(table) {
		if !bytes.Contains(bytes.ToUpper(line), []byte("CHACHA20")) {
			out = append(out, line...)
		}
	}
	return out
}

// decode gives our values of all frames. Chains that only we can decrypt are
// left undecrypted, so that both are asked the same.
func decode(t *testing.T, file, keys string) map[int64]row {
	var o dissect.Options
	if keys != "" {
		filtered := t.TempDir()
		tables, _ := filepath.Glob(filepath.Join(keys, "*"))
		for _, table := range tables {
			content, err := os.ReadFile(table)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(filtered, filepath.Base(table)), onlyTsharks(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		var err error
		if o.Keys, err = keylog.Load([]string{filtered}); err != nil {
			t.Fatal(err)
		}
	}
	src, err := capture.Open([]string{file}, capture.FileOptions{})
	if err != nil {
		t.Fatal(err)
	}
	rows := make(map[int64]row)
	for e, err := range dissect.New(o).Events(src) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Packet == nil {
			continue
		}
		r := rows[e.Frame]
		if r == nil {
			r = make(row)
			rows[e.Frame] = r
		}
		r.packet(e.Packet)
	}
	return rows
}

func (r row) packet(p *event.Packet) {
	switch {
	case p.ESP != nil:
		r.add("esp.spi", fmt.Sprintf("0x%08x", uint32(p.ESP.SPI)))
		r.add("esp.sequence", fmt.Sprint(p.ESP.Seq))
	case p.AH != nil:
		r.add("ah.spi", fmt.Sprintf("0x%08x", uint32(p.AH.SPI)))
		r.add("ah.sequence", fmt.Sprint(p.AH.Seq))
	case p.IKE != nil:
		h := &p.IKE.Message.Header
		r.add("isakmp.ispi", h.InitiatorSPI.String())
		r.add("isakmp.rspi", h.ResponderSPI.String())
		r.add("isakmp.exchangetype", fmt.Sprint(uint8(h.Exchange)))
		r.add("isakmp.flags", fmt.Sprintf("0x%02x", uint8(h.Flags)))
		r.add("isakmp.messageid", fmt.Sprintf("0x%08x", h.MessageID))
		r.add("isakmp.length", fmt.Sprint(h.Length))
		r.chain(p.IKE.Message.Payloads)
		r.chain(p.IKE.Inner)
	}
}

func (r row) chain(ps []wire.Payload) {
	for i := range ps {
		p := &ps[i]
		if _, sealed := p.Body.(*wire.V1Encrypted); sealed {
			continue // it has no generic header
		}
		r.add("isakmp.typepayload", fmt.Sprint(uint8(p.Type)))
		r.body(p.Body)
	}
}

func (r row) body(b wire.Body) {
	switch b := b.(type) {
	case *wire.SA:
		for i := range b.Proposals {
			r.proposal(&b.Proposals[i])
		}
	case *wire.V1SA:
		for i := range b.Proposals {
			p := &b.Proposals[i]
			r.add("isakmp.typepayload", "2")
			r.add("isakmp.prop.number", fmt.Sprint(p.Number))
			r.add("isakmp.prop.protoid", fmt.Sprint(uint8(p.Protocol)))
			r.add("isakmp.prop.transforms", fmt.Sprint(len(p.Transforms)))
			for range p.Transforms {
				r.add("isakmp.typepayload", "3")
			}
		}
	case *wire.KE:
		r.add("isakmp.key_exchange.dh_group", fmt.Sprint(uint16(b.Group)))
	case *wire.Nonce:
		r.add("isakmp.nonce", hex.EncodeToString(b.Data))
	case *wire.Notify:
		r.add("isakmp.notify.msgtype", fmt.Sprint(uint16(b.Type)))
	case *wire.V1Notify:
		r.add("isakmp.notify.msgtype", fmt.Sprint(uint16(b.Type)))
	case *wire.VendorID:
		r.add("isakmp.vid_bytes", hex.EncodeToString(b.Data))
	case *wire.Delete:
		for _, spi := range b.SPIs {
			r.add("isakmp.delete.spi", hex.EncodeToString(spi))
		}
	case *wire.ID:
		r.add("isakmp.id.type", fmt.Sprint(uint8(b.Type)))
	case *wire.V1ID:
		r.add("isakmp.id.type", fmt.Sprint(uint8(b.Type)))
	case *wire.Auth:
		r.add("isakmp.auth.method", fmt.Sprint(uint8(b.Method)))
	case *wire.TS:
		for i := range b.Selectors {
			if s := &b.Selectors[i]; s.Start.Is4() {
				r.add("isakmp.ts.start_ipv4", s.Start.String())
				r.add("isakmp.ts.end_ipv4", s.End.String())
			}
		}
	}
}

func (r row) proposal(p *wire.Proposal) {
	r.add("isakmp.typepayload", "2")
	r.add("isakmp.prop.number", fmt.Sprint(p.Number))
	r.add("isakmp.prop.protoid", fmt.Sprint(uint8(p.Protocol)))
	r.add("isakmp.prop.transforms", fmt.Sprint(len(p.Transforms)))
	for i := range p.Transforms {
		tf := &p.Transforms[i]
		r.add("isakmp.typepayload", "3")
		r.add("isakmp.tf.type", fmt.Sprint(uint8(tf.Type)))
		column := map[wire.TransformType]string{
			wire.TransformEncr: "encr", wire.TransformPRF: "prf", wire.TransformInteg: "integ",
			wire.TransformKE: "dh", wire.TransformESN: "esn",
		}[tf.Type]
		if column != "" {
			r.add("isakmp.tf.id."+column, fmt.Sprint(tf.ID))
		}
		if n := tf.KeyLength(); n > 0 {
			r.add("isakmp.ike2.attr.key_length", fmt.Sprint(n))
		}
	}
}
