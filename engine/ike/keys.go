package ike

import "github.com/cloudvlan/cvlanctl/engine/suite"

// Keys gives the SA's keys and the transforms that they are for, nil before
// they are negotiated. They belong to the SA, which wipes them at its end. It
// is for key tables that the operator asked for.
func (s *SA) Keys() (suite.IKETransforms, *suite.IKEKeys) {
	if s.keys == nil || s.ended() {
		return suite.IKETransforms{}, nil
	}
	return ikeTransforms(&s.proposal), s.keys
}
