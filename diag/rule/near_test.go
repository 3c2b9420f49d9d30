package rule

import (
	"testing"

	"github.com/cloudvlan/cvlanctl/engine/auth"
)

func TestEveryNearMissOfAKeyHasARemedy(t *testing.T) {
	known := map[string]bool{auth.NearOther: true}
	for _, id := range auth.NearMissIDs() {
		known[id] = true
	}
	for id := range known {
		if len(nearRemedies(id)) != 1 {
			t.Errorf("%s: %d remedies", id, len(nearRemedies(id)))
		}
	}
	for _, m := range nearMends {
		for _, id := range m.kinds {
			if !known[id] {
				t.Errorf("%s is no kind of near miss", id)
			}
		}
	}
	if nearRemedies("nonsense") != nil {
		t.Error("a remedy for a kind that is not known")
	}
}
