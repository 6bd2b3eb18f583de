// Package doctor examines whether this host is ready for Pulse: what the settings
// name, the rights of who asks, ports, the NATS server, clock and disk.
//
// It changes nothing that lasts. Findings are told as they come, from the goroutine
// of [Examine], which starts no other.
package doctor

import (
	"context"
	"errors"
	"strings"

	"github.com/wazuh-pulse/pulse/internal/config"
)

// Level is how grave a finding is.
type Level string

// The levels, as they are in JSON.
const (
	Good    Level = "good"
	Note    Level = "note"    // nothing to do, or to know
	Warning Level = "warning" // Pulse works, and not as it should
	Failure Level = "failure" // Pulse does not start, or does not do its work
)

// Finding is what one look came to.
type Finding struct {
	Check  string `json:"check"`
	Level  Level  `json:"level"`
	What   string `json:"what"`
	WayOut string `json:"way_out,omitempty"`
}

// patient is what is examined, and where findings go.
type patient struct {
	*config.Loaded
	tell    func(Finding)
	running bool // another Pulse works with this state directory
	attach  bool // to a stock manager on this host
	agents  int  // in client.keys
}

// Examine looks at everything, one after the other, and tells what it finds. It
// takes some seconds where servers do not answer; ctx ends it.
func Examine(ctx context.Context, loaded *config.Loaded, tell func(Finding)) {
	p := &patient{Loaded: loaded, tell: tell}
	for _, look := range []func(context.Context){
		p.settings, p.user, p.manager, p.clientKeys, p.stateDir, p.keys, p.disk, p.files, p.ports, p.nats, p.clock,
	} {
		if ctx.Err() != nil {
			return
		}
		look(ctx)
	}
}

// Settings is the finding about settings that cannot be loaded, with which
// nothing else can be looked at.
func Settings(err error) []Finding {
	var list []Finding
	if errs, ok := errors.AsType[*config.Errors](err); ok {
		for _, e := range errs.List {
			list = append(list, ofSetting(Failure, e))
		}
		return list
	}
	what, wayOut, _ := strings.Cut(err.Error(), "; ")
	return append(list, Finding{"settings", Failure, what, wayOut})
}

func ofSetting(level Level, e *config.Error) Finding {
	bare := *e
	bare.Hint = ""
	return Finding{"settings", level, bare.Error(), e.Hint}
}

func (p *patient) found(check string, level Level, what, wayOut string) {
	p.tell(Finding{check, level, what, wayOut})
}

func (p *patient) settings(context.Context) {
	for _, w := range p.Warnings {
		p.tell(ofSetting(Warning, w))
	}
	if err := p.CheckFiles(); err != nil {
		for _, f := range Settings(err) {
			p.tell(f)
		}
		return
	}
	read := strings.Join(p.Files, ", ")
	if read == "" {
		read = "no settings file, all defaults"
	}
	p.found("settings", Good, read, "")
}
