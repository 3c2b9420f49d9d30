package doc

import "github.com/cloudvlan/cvlanctl/engine/ike"

// RecoverySchema is the kind of a Recovery.
const RecoverySchema = "cvlanctl/recovery/v1"

// Recovery is what `cvlanctl explain recovery` prints.
type Recovery struct {
	Schema string        `json:"schema"`
	Rows   []RecoveryRow `json:"rows"`
}

// RecoveryRow is what our engine does about one error.
type RecoveryRow struct {
	Notify string `json:"notify,omitempty"` // of the peer
	Cause  string `json:"cause,omitempty"`  // seen by our side itself
	During string `json:"during"`
	Action string `json:"action"`
	Tries  int    `json:"tries,omitempty"`
	What   string `json:"what"`
	RFC    string `json:"rfc"`
}

// NewRecovery makes the document of a recovery table.
func NewRecovery(table []ike.Recovery) *Recovery {
	d := &Recovery{Schema: RecoverySchema, Rows: []RecoveryRow{}}
	for _, r := range table {
		row := RecoveryRow{Cause: r.Cause, During: r.During, Action: string(r.Action), Tries: r.Tries, What: r.Words, RFC: r.RFC}
		if r.Error != 0 {
			row.Notify = r.Error.String()
		}
		d.Rows = append(d.Rows, row)
	}
	return d
}
