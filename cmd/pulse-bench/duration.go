package main

import (
	"fmt"
	"reflect"
	"time"

	"github.com/alecthomas/kong"

	"github.com/wazuh-pulse/pulse/internal/silence"
)

// durations has kong parse durations as Pulse's settings have them: seconds, or with a unit.
func durations() kong.Option {
	return kong.TypeMapper(reflect.TypeFor[time.Duration](), kong.MapperFunc(func(ctx *kong.DecodeContext, target reflect.Value) error {
		var text string
		if err := ctx.Scan.PopValueInto("duration", &text); err != nil {
			return err
		}
		d, err := silence.ParseDuration(text)
		if err != nil {
			return fmt.Errorf("want seconds, or a duration such as 90s, 2m, 1.5h or 1d, not %q", text)
		}
		target.SetInt(int64(d))
		return nil
	}))
}
