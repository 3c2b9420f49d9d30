package native

import (
	"context"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/ike"
)

// Note tells a line to all who follow the engine's events, as a line of its
// log: whoever embeds the engine says so what it does to it.
func (e *Engine) Note(ctx context.Context, group, text string) error {
	return e.do(ctx, func(now time.Time) ike.Output {
		e.tell(&event.Event{Time: now, Log: &event.Log{Group: group, Level: 0, Text: text}})
		return ike.Output{}
	})
}
