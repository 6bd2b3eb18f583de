package doctor

import (
	"context"
	"slices"
	"time"

	"github.com/wazuh-pulse/pulse/internal/daemon"
	"github.com/wazuh-pulse/pulse/internal/expiry"
)

// checkExpiry reports which certificates and logins expire within [expiry.Notice], else which is the first to do so.
func (e *examination) checkExpiry(context.Context) {
	now, items := time.Now(), slices.Concat(e.expiries, daemon.ListFileExpiries(&e.Config))
	for _, i := range expiry.FindSoon(items, now) {
		level, when := Warning, "before"
		if !now.Before(i.At) {
			level, when = Failure, "now"
		}
		e.add("expiry", level, i.Describe(now), "replace it "+when+": Pulse takes up the changed file by itself (docs/operators.md, What expires)")
	}
	if first, ok := expiry.First(items); ok && first.At.Sub(now) >= expiry.Notice {
		e.add("expiry", Good, "the first: "+first.Describe(now), "")
	}
}
