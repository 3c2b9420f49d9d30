package native

import (
	"context"
	"slices"
	"sync"

	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/suite"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// plugin is what lists algorithms as their maker.
const plugin = "cvlanctl"

// supportedAlgorithms lists what package suite can do.
var supportedAlgorithms = sync.OnceValue(func() []engine.Algorithm {
	var list []engine.Algorithm
	add := func(kind string, t wire.TransformType, id uint16) {
		list = append(list, engine.Algorithm{Kind: kind, Name: wire.TransformName(t, id), Plugin: plugin})
	}
	const most = 1100 // IANA's numbers, and those above 1023 that strongSwan uses
	can := func(id uint16) bool {
		return slices.ContainsFunc([]int{0, 128, 256}, func(bits int) bool {
			_, _, err := suite.KeyLengths(id, bits, wire.IntegSHA256128)
			return err == nil
		})
	}
	for id := range uint16(most) {
		switch {
		case !can(id):
		case suite.AEAD(id):
			add("aead", wire.TransformEncr, id)
		default:
			add("encryption", wire.TransformEncr, id)
		}
	}
	for id := uint16(1); id < most; id++ {
		if _, _, err := suite.KeyLengths(wire.EncrAESCBC, 128, id); err == nil {
			add("integrity", wire.TransformInteg, id)
		}
	}
	for id := range uint16(most) {
		if _, err := suite.NewPRF(id); err == nil {
			add("prf", wire.TransformPRF, id)
		}
	}
	for id := range uint16(most) {
		if suite.CanExchange(wire.KEMethod(id)) {
			add("ke", wire.TransformKE, id)
		}
	}
	return list
})

// Algorithms lists what the engine can do.
func (e *Engine) Algorithms(context.Context) ([]engine.Algorithm, error) {
	return slices.Clone(supportedAlgorithms()), nil
}
