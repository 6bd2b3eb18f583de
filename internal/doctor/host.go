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
	"github.com/wazuh-pulse/pulse/internal/plural"
	"github.com/wazuh-pulse/pulse/internal/statedir"
)

// otherFiles are those a process needs beside its agents' connections.
const otherFiles = 1000

// checkUser reports the user of the other findings.
func (e *examination) checkUser(context.Context) {
	who := fmt.Sprintf("uid %d", os.Getuid())
	if u, err := user.Current(); err == nil {
		who = u.Username
	}
	if os.Getuid() == 0 {
		e.add("user", Warning, "this is root, which has every right: whether Pulse's own user has them is not examined",
			"setpriv --reuid pulse --regid pulse --init-groups pulse doctor")
		return
	}
	e.add("user", Good, "as "+who, "")
}

// checkManager connects to the sockets of the stock manager that Pulse would attach to.
func (e *examination) checkManager(ctx context.Context) {
	var err error
	if e.attach, err = daemon.Attaches(&e.Config); err != nil {
		e.addError("manager", Failure, err)
		return
	}
	switch {
	case !e.attach && e.Pulse.Link == "auto":
		e.add("manager", Warning, "no manager is in "+e.Pulse.Home+": Pulse is the agents' manager itself",
			"set <home> to where the manager is; where there is to be none, <link>listen</link>")
		return
	case !e.attach:
		e.add("manager", Good, "Pulse is the agents' manager itself", "")
		return
	}
	list, err := daemon.ExamineManager(ctx, &e.Config)
	if err != nil {
		e.addError("manager", Failure, err)
		return
	}
	if m, err := config.ReadManager(e.Pulse.Home); err == nil {
		for _, text := range m.Cautions {
			e.add("manager", Warning, "its ossec.conf: "+text, "")
		}
	}
	for _, socket := range list {
		switch {
		case socket.Err != nil:
			e.addError("manager", Failure, socket.Err)
		case socket.Caution != "":
			e.add("manager", Note, socket.Caution, socket.Hint)
		default:
			e.add("manager", Good, socket.Daemon+": "+socket.Result, "")
		}
	}
}

// checkClientKeys reads client.keys, unless the manager is the one that needs it.
func (e *examination) checkClientKeys(context.Context) {
	if e.attach {
		return
	}
	set, problems, err := clientkeys.ReadFile(e.Pulse.ClientKeys)
	if err != nil {
		return // a finding of the settings
	}
	e.agents = set.Len()
	text := e.Pulse.ClientKeys + ": " + plural.CountNoun(e.agents, "agent")
	switch {
	case len(problems) > 0:
		for _, p := range problems {
			e.add("client.keys", Warning, e.Pulse.ClientKeys+": "+p.Describe(), "correct the line, or remove it")
		}
		e.add("client.keys", Note, text, "")
	case e.agents == 0:
		e.add("client.keys", Warning, text, "register agents with the manager")
	default:
		e.add("client.keys", Good, text, "")
	}
}

// checkStateDir reports whether the state directory can be written and is private.
func (e *examination) checkStateDir(context.Context) {
	e.stateDirFailed = !e.examineStateDir()
}

// examineStateDir returns false if the node cannot use the directory.
func (e *examination) examineStateDir() bool {
	dir := e.Pulse.StateDir
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		e.add("state directory", Note, dir+" is not there yet", "systemd makes it (StateDirectory=), or: install -d -o pulse -g pulse -m 0700 "+dir)
		return true
	case err != nil:
		e.add("state directory", Failure, err.Error(), "let Pulse's user reach it, or set another <state_dir>")
		return false
	case !info.IsDir():
		e.add("state directory", Failure, dir+" is no directory", "set another <state_dir>")
		return false
	}
	caution, err := statedir.Check(dir)
	if err != nil {
		e.add("state directory", Failure, err.Error(), "chmod 0700 "+dir)
		return false
	}
	f, err := os.CreateTemp(dir, "doctor-")
	if err != nil {
		e.add("state directory", Failure, err.Error(), "let Pulse's user write there: chown -R pulse:pulse "+dir)
		return false
	}
	_ = f.Close()
	_ = os.Remove(f.Name())
	if caution != nil && os.Geteuid() != 0 { // root is not the user that has to own it
		e.add("state directory", Warning, caution.Error(), "chown -R pulse:pulse "+dir)
		return true
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		e.add("state directory", Warning, fmt.Sprintf("%s has mode %04o: other users of this host may read it", dir, mode), "chmod 0700 "+dir)
		return true
	}
	e.add("state directory", Good, dir, "")
	return true
}

// checkKeys reads the node's own keys, without which it does not start. Keys that do
// not exist are no finding: the node makes them.
func (e *examination) checkKeys(context.Context) {
	if e.stateDirFailed { // that is why
		return
	}
	for _, err := range daemon.ExamineKeys(&e.Config) {
		e.add("keys", Failure, err.Error(), "let Pulse's user alone have it (chown pulse:pulse, chmod 600), or restore it; Pulse makes another if it is deleted")
	}
	if was := daemon.FormerName(&e.Config); was != "" {
		e.add("keys", Warning, fmt.Sprintf("this node was called %s, and will be %s: readers that verify refuse its messages until they have its keys under that name", was, e.Pulse.NodeName),
			"before the start, give them what this prints: pulse keys export --node "+e.Pulse.NodeName)
	}
}

// statusSpace is what should be free beside the telemetry: a year of a fleet's
// status changes takes far less.
const statusSpace = 1 << 30

// checkDisk reports whether there is space for the messages of an outage of the NATS server.
func (e *examination) checkDisk(context.Context) {
	dir := nearestExisting(e.Pulse.StateDir)
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		e.add("disk", Warning, fmt.Sprintf("%s: %v", dir, err), "")
		return
	}
	if at, ok := statedir.OpenSpace(e.Pulse.StateDir).FullAt(time.Now()); ok {
		e.add("disk", Warning, fmt.Sprintf("%s is full on %s if it fills as during the last day", dir, at.UTC().Format("2006-01-02 15:04 MST")),
			"find what fills it, and free some space; what Pulse takes is bounded by <telemetry_limit>, <status_limit> and <audit_limit>")
	}
	free := int64(fs.Bavail) * fs.Bsize
	need := e.Pulse.TelemetryLimit + statusSpace
	text := fmt.Sprintf("%s has %s free", dir, gigabytes(free))
	switch {
	case fs.Files > 0 && fs.Ffree < 1000:
		e.add("disk", Failure, fmt.Sprintf("%s has %s free", dir, plural.CountNoun(fs.Ffree, "inode")), "delete files there, or set another <state_dir>")
	case free < 64<<20:
		e.add("disk", Failure, text, "free some space, or set another <state_dir>")
	case free < need:
		e.add("disk", Warning, fmt.Sprintf("%s, and %s may be needed: <telemetry_limit> and 1 GB for status changes", text, gigabytes(need)),
			"free some space, or lower <telemetry_limit>")
	default:
		e.add("disk", Good, text, "")
	}
}

// nearestExisting returns a directory, or the first above it that exists.
func nearestExisting(dir string) string {
	for {
		if _, err := os.Stat(dir); err == nil || dir == filepath.Dir(dir) {
			return dir
		}
		dir = filepath.Dir(dir)
	}
}

func gigabytes(n int64) string { return fmt.Sprintf("%.1f GB", float64(n)/(1<<30)) }

// checkOpenFiles reports whether this process may open a file for each connection.
func (e *examination) checkOpenFiles(context.Context) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return
	}
	text := fmt.Sprintf("%d, for %s", limit.Max, plural.CountNoun(e.agents, "agent"))
	if e.attach {
		text = fmt.Sprint(limit.Max)
	}
	if need := uint64(e.agents + otherFiles); limit.Max < need {
		e.add("open files", Warning, text+": the rest would be refused", fmt.Sprintf("ulimit -n %d; the unit of the packages sets LimitNOFILE=", need))
		return
	}
	e.add("open files", Good, text, "")
}

// checkClock reports whether the kernel's clock is synchronised. Consumers refuse
// messages with a wrong time as stale.
func (e *examination) checkClock(context.Context) {
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	switch {
	case err != nil:
		e.add("clock", Note, "whether it is synchronised is not known: "+err.Error(), "")
	case state == unix.TIME_ERROR || t.Status&unix.STA_UNSYNC != 0:
		e.add("clock", Warning, "it is not synchronised: consumers may refuse messages as stale", "run chrony or systemd-timesyncd")
	default:
		e.add("clock", Good, fmt.Sprintf("synchronised, within %v", (time.Duration(t.Maxerror)*time.Microsecond).Round(time.Millisecond)), "")
	}
}
