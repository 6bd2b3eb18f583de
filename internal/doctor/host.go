package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/wazuh-pulse/pulse/internal/clientkeys"
	"github.com/wazuh-pulse/pulse/internal/config"
	"github.com/wazuh-pulse/pulse/internal/daemon"
	"github.com/wazuh-pulse/pulse/internal/statedir"
)

// otherFiles are those a process needs beside its agents' connections.
const otherFiles = 1000

// user says as whom the other findings are made.
func (p *patient) user(context.Context) {
	who := fmt.Sprintf("uid %d", os.Getuid())
	if u, err := user.Current(); err == nil {
		who = u.Username
	}
	if os.Getuid() == 0 {
		p.found("user", Warning, "this is root, who may everything: what Pulse's own user may does not show",
			"setpriv --reuid pulse --regid pulse --init-groups pulse doctor")
		return
	}
	p.found("user", Good, "as "+who, "")
}

// manager tries the sockets of the stock manager that Pulse would attach to.
func (p *patient) manager(ctx context.Context) {
	var err error
	if p.attach, err = daemon.Attaches(&p.Config); err != nil {
		p.found("manager", Failure, err.Error(), "")
		return
	}
	if !p.attach {
		p.found("manager", Good, "Pulse is the agents' manager itself", "")
		return
	}
	list, err := daemon.ExamineManager(ctx, &p.Config)
	if err != nil {
		p.found("manager", Failure, err.Error(), "")
		return
	}
	if m, err := config.ReadManager(p.Pulse.Home); err == nil {
		for _, text := range m.Cautions {
			p.found("manager", Warning, "its ossec.conf: "+text, "")
		}
	}
	for _, e := range list {
		switch {
		case e.Err != nil:
			p.found("manager", Failure, e.Err.Error(), "")
		case e.Caution != "":
			p.found("manager", Note, e.Caution, e.Hint)
		default:
			p.found("manager", Good, e.Daemon+": "+e.Result, "")
		}
	}
}

// clientKeys reads client.keys, if it is Pulse that needs it.
func (p *patient) clientKeys(context.Context) {
	if p.attach {
		return
	}
	set, problems, err := clientkeys.ReadFile(p.Pulse.ClientKeys)
	if err != nil {
		return // a finding of the settings
	}
	p.agents = set.Len()
	text := fmt.Sprintf("%s: %d agents", p.Pulse.ClientKeys, p.agents)
	switch {
	case len(problems) > 0:
		p.found("client.keys", Warning, fmt.Sprintf("%s; broken lines are skipped, and their agents not known: %v", text, problems[0]),
			"correct the line; the log names all of them")
	case p.agents == 0:
		p.found("client.keys", Warning, text, "register agents with the manager")
	default:
		p.found("client.keys", Good, text, "")
	}
}

// stateDir looks whether the state directory can be made and written, and is private.
func (p *patient) stateDir(context.Context) {
	dir := p.Pulse.StateDir
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		p.found("state directory", Note, dir+" is not there yet", "systemd makes it (StateDirectory=), or: install -d -o pulse -g pulse -m 0700 "+dir)
		return
	case err != nil:
		p.found("state directory", Failure, err.Error(), "let Pulse's user reach it, or set another <state_dir>")
		return
	case !info.IsDir():
		p.found("state directory", Failure, dir+" is no directory", "set another <state_dir>")
		return
	}
	caution, err := statedir.Check(dir)
	if err != nil {
		p.found("state directory", Failure, err.Error(), "chmod 0700 "+dir)
		return
	}
	f, err := os.CreateTemp(dir, "doctor-")
	if err != nil {
		p.found("state directory", Failure, err.Error(), "let Pulse's user write there: chown -R pulse:pulse "+dir)
		return
	}
	_ = f.Close()
	_ = os.Remove(f.Name())
	if caution != nil && os.Geteuid() != 0 { // what root sees, its user may not
		p.found("state directory", Warning, caution.Error(), "chown -R pulse:pulse "+dir)
		return
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		p.found("state directory", Warning, fmt.Sprintf("%s has mode %04o: others on this host may look into it", dir, mode), "chmod 0700 "+dir)
		return
	}
	p.found("state directory", Good, dir, "")
}

// keys reads the node's own keys, without which it does not start. Those that are not
// there yet it makes.
func (p *patient) keys(context.Context) {
	for _, err := range daemon.ExamineKeys(&p.Config) {
		p.found("keys", Failure, err.Error(), "it has to be Pulse's user's alone (chown pulse:pulse, chmod 600), and whole; deleted, another is made")
	}
}

// statusRoom is what should be free beside the telemetry: a year of a fleet's
// status changes is far less.
const statusRoom = 1 << 30

// disk looks for room for what waits when the NATS server is away.
func (p *patient) disk(context.Context) {
	dir := nearest(p.Pulse.StateDir)
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		p.found("disk", Warning, fmt.Sprintf("%s: %v", dir, err), "")
		return
	}
	free := int64(fs.Bavail) * fs.Bsize
	need := p.Pulse.TelemetryLimit + statusRoom
	text := fmt.Sprintf("%s has %s free", dir, gigabytes(free))
	switch {
	case fs.Files > 0 && fs.Ffree < 1000:
		p.found("disk", Failure, fmt.Sprintf("%s has %d inodes free", dir, fs.Ffree), "delete files there, or set another <state_dir>")
	case free < 64<<20:
		p.found("disk", Failure, text, "make room, or set another <state_dir>")
	case free < need:
		p.found("disk", Warning, fmt.Sprintf("%s, and %s may be needed: <telemetry_limit> and 1 GB for status changes", text, gigabytes(need)),
			"make room, or lower <telemetry_limit>")
	default:
		p.found("disk", Good, text, "")
	}
}

// nearest is the directory itself, or what is there of those above it.
func nearest(dir string) string {
	for {
		if _, err := os.Stat(dir); err == nil || dir == filepath.Dir(dir) {
			return dir
		}
		dir = filepath.Dir(dir)
	}
}

func gigabytes(n int64) string { return fmt.Sprintf("%.1f GB", float64(n)/(1<<30)) }

// files looks at how many files this process may open: each connection is one.
func (p *patient) files(context.Context) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return
	}
	text := fmt.Sprintf("%d, for %d agents", limit.Max, p.agents)
	if p.attach {
		text = fmt.Sprint(limit.Max)
	}
	if need := uint64(p.agents + otherFiles); limit.Max < need {
		p.found("open files", Warning, text+": the rest would be refused", fmt.Sprintf("ulimit -n %d; the unit of the packages sets LimitNOFILE=", need))
		return
	}
	p.found("open files", Good, text, "")
}

// clock asks the kernel whether something keeps the time right. Consumers refuse
// messages of another time as stale.
func (p *patient) clock(context.Context) {
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	switch {
	case err != nil:
		p.found("clock", Note, "whether something keeps it right cannot be seen: "+err.Error(), "")
	case state == unix.TIME_ERROR || t.Status&unix.STA_UNSYNC != 0:
		p.found("clock", Warning, "nothing keeps it right: consumers may take messages for stale", "run chrony or systemd-timesyncd")
	default:
		p.found("clock", Good, fmt.Sprintf("kept right, within %v", (time.Duration(t.Maxerror)*time.Microsecond).Round(time.Millisecond)), "")
	}
}
