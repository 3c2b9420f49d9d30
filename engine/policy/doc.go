// Package policy is the CloudVLAN policy file: which tunnels this node is to
// have, with whom, and how both sides prove who they are. One file serves
// strongSwan and our own engine.
//
// A file becomes a Policy in three steps: a bounded reading of YAML, a strict
// comparison with the description of the file (fileSpec, from which the JSON
// schema is made as well), and the building of the model with every default
// put in. Whatever is wrong is a Finding with line and column; a Policy with a
// Finding of severity error is not to be used.
//
// A Policy is the form that everything downstream reads: Tree turns it into
// the settings that swanctl.conf has, Swanctl writes those as text, VICI as
// the requests that swanctl itself would send, and our own engine takes the
// Connections as they stand.
//
// Contract: the file is hostile until it is checked: its size, depth, number
// of nodes and of findings are bounded, anchors, aliases, tags and merges are
// refused, and nothing panics. A secret is named in the file, never written
// there; it is read only by Resolve, and nothing here prints it.
package policy
