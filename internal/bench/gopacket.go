package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
)

// gopacketLoop is the least that a Go program with gopacket does: it reads
// every frame and decodes its layers down to UDP's payload. It prints how many
// were UDP, so that nothing is left out for want of use.
func gopacketLoop(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	r, err := pcapgo.NewReader(bufio.NewReaderSize(f, 1<<20))
	if err != nil {
		return errors.Join(err, f.Close())
	}
	decode := gopacket.DecodeOptions{NoCopy: true}
	datagrams := 0
	for {
		data, _, err := r.ReadPacketData()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return errors.Join(err, f.Close())
		}
		p := gopacket.NewPacket(data, layers.LinkType(r.LinkType()), decode)
		if p.Layer(layers.LayerTypeUDP) != nil && p.ApplicationLayer() != nil {
			datagrams++
		}
	}
	fmt.Println(datagrams)
	return f.Close()
}
