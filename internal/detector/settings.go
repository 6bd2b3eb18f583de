package detector

import (
	"fmt"
	"time"
)

// Method is the kind of keep-alive the manager sends.
type Method uint8

// The methods.
const (
	Request Method = iota // a request that the agent answers: a round trip
	Notify                // a message that the agent hears and does not answer
	Ack                   // the same, silent in the agent's log
)

var methodNames = [...]string{"request", "notify", "ack"}

func (m Method) String() string { return methodNames[m] }

// ParseMethod reads a method by its name in the settings.
func ParseMethod(name string) (Method, error) {
	for m, n := range methodNames {
		if n == name {
			return Method(m), nil
		}
	}
	return 0, fmt.Errorf("keep-alive method %q: want request, notify or ack", name)
}

// Settings steer the detector. All durations are positive, but for Interval and
// ReconnectGrace, which may be 0; Timeout is at least Interval.
type Settings struct {
	Interval       time.Duration // between keep-alives to one agent; 0: none are sent
	Timeout        time.Duration // no sign of life for this long: disconnected
	MaxMissed      int           // this many unanswered keep-alives in a row: disconnected
	RetryInterval  time.Duration // a keep-alive unanswered for this long is a miss
	ReconnectGrace time.Duration // a closed connection is lost after this
	Method         Method
}
