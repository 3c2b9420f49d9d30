package trace

import (
	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// suiteOf gives the suite of a proposal as a responder selects it.
func suiteOf(p *wire.Proposal) engine.Suite { return engine.SuiteOf(p) }
