package attach

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/remoted"
	"github.com/wazuh-pulse/pulse/internal/wazuhdb"
	"github.com/wazuh-pulse/pulse/internal/wazuhsock"
)

// What is special about a manager of Wazuh 5 is in this file. Its agents of Wazuh 5 are
// passive: they have no lasting connection and remoted cannot send them a request, which
// would be an error in its log each time. Their keep-alives come every 10 s, but one of
// them is written to the database in a time that the manager's options set, and starts
// and shutdowns at once. So their silence there is all that shows a loss.

const (
	// throttleOption is the manager's option for the least time between two keep-alives
	// of an agent that are written, in seconds.
	throttleOption                = "remoted.control_keepalive_throttle"
	defaultThrottle               = time.Minute
	minThrottle, maxThrottle      = time.Second, time.Hour
	passiveNotify, passiveLatency = 10 * time.Second, 10 * time.Second
	// passiveHold is for how long no passive agent is given up after wazuh-db or remoted
	// was away, at least. Agents that could not reach remoted try again after up to a
	// minute. And what wazuh-db did not write counts for the throttle.
	passiveHold = 80 * time.Second
	// passiveRecheck is the time after the loss of a passive agent at which its row is
	// read again, and the loss written unless it is contradicted: what was written
	// falsely would stay until the next keep-alive that is.
	passiveRecheck = 10 * time.Second
	// maxOptionsFile is far above any real file.
	maxOptionsFile = 1 << 20
)

// passiveTimeout returns the silence after which a passive agent is given up.
func passiveTimeout(throttle time.Duration) time.Duration {
	return throttle + passiveNotify + passiveLatency
}

// parseThrottle returns the throttle that a manager's options set. The manager takes the first
// line that is exactly NAME=VALUE, without spaces, and ignores others. Where it is not sure
// which one counts, the longest of them is returned, and an error: with less, living agents
// would be lost.
func parseThrottle(options io.Reader) (time.Duration, error) {
	var throttle time.Duration
	var problem error
	lines := bufio.NewScanner(io.LimitReader(options, maxOptionsFile))
	for lines.Scan() {
		line := lines.Text()
		name, value, found := strings.Cut(line, "=")
		if !found || strings.TrimSpace(name) != throttleOption {
			continue
		}
		value = strings.TrimSpace(value)
		n, err := strconv.ParseUint(value, 10, 16)
		d := time.Duration(n) * time.Second
		switch {
		case err != nil || d < minThrottle || d > maxThrottle:
			problem = cmp.Or(problem, fmt.Errorf("%s=%.40q is no number from 1 to 3600", throttleOption, value))
			d = defaultThrottle
		case strings.TrimRight(line, "\r") != throttleOption+"="+value:
			problem = cmp.Or(problem, fmt.Errorf("the manager ignores a line with spaces: write %s=%s", throttleOption, value))
			d = max(d, defaultThrottle)
		case throttle != 0 && d != throttle:
			problem = cmp.Or(problem, fmt.Errorf("%s is there more than once, and the manager takes the first: remove the others", throttleOption))
		}
		throttle = max(throttle, d)
	}
	if err := lines.Err(); err != nil {
		return max(throttle, defaultThrottle), err
	}
	return cmp.Or(throttle, defaultThrottle), problem
}

// throttleFile reads the throttle from the manager's options, again after each change.
type throttleFile struct {
	path    string
	modTime time.Time
	size    int64
	read    bool
	written time.Duration // what the file has
	err     error
}

// readThrottle returns the throttle that the file sets and when it was written; that is zero
// for the default of a file that does not exist.
func (f *throttleFile) readThrottle() (time.Duration, time.Time, error) {
	info, err := os.Stat(f.path)
	if err != nil {
		if f.read = false; errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		return defaultThrottle, time.Time{}, err
	}
	if f.read && info.ModTime().Equal(f.modTime) && info.Size() == f.size {
		return f.written, f.modTime, f.err
	}
	f.modTime, f.size, f.read, f.written = info.ModTime(), info.Size(), true, defaultThrottle
	var file *os.File
	if file, f.err = os.Open(f.path); f.err == nil {
		f.written, f.err = parseThrottle(file)
		_ = file.Close()
	}
	return f.written, f.modTime, f.err
}

// readEffectiveThrottle returns the throttle of the remoted that was started at a time. That
// reads its options when it starts: of a file that was changed since, the longer of the
// old and the new is returned.
func (f *throttleFile) readEffectiveThrottle(before time.Duration, started time.Time) (time.Duration, error) {
	throttle, written, err := f.readThrottle()
	if err != nil || started.IsZero() || written.After(started) {
		throttle = max(throttle, cmp.Or(before, defaultThrottle))
	}
	return throttle, err
}

// passiveAgents is what the link knows of passive agents in common. It belongs to the
// tracker, but for heldUntil.
type passiveAgents struct {
	file       throttleFile
	wazuh5     bool // the manager's database is of Wazuh 5
	throttle   time.Duration
	loggedErr  string
	startedAt  time.Time // when wazuh-db or remoted was started, whichever was later
	doubtUntil time.Time // until then, one sign of life does not prove that a lost agent is back
	relays     *relays
	timeout    time.Duration // of silence

	heldUntil atomic.Int64 // Unix nanoseconds; none of them is given up before
}

func newPassiveAgents(home wazuhsock.Home, role wazuhdb.ClusterRole) *passiveAgents {
	return &passiveAgents{file: throttleFile{path: home.Path(wazuhsock.Options5)}, relays: newRelays(home, role)}
}

// isHeld reports whether passive agents are not given up at present.
func (p *passiveAgents) isHeld() bool { return time.Now().UnixNano() < p.heldUntil.Load() }

// watchPassiveAgents prepares for the agents of a manager of Wazuh 5.
func (t *tracker) watchPassiveAgents() {
	first := !t.passive.wazuh5
	t.passive.wazuh5 = true
	t.updatePassivePace()
	if first {
		t.awaitRelayedRows()
		t.handleDaemonStarted(t.passive.startedAt)
	}
}

// updatePassivePace gives the detector the pace of passive agents, if it has changed.
func (t *tracker) updatePassivePace() {
	p := t.passive
	if !p.wazuh5 {
		return
	}
	throttle, err := p.file.readEffectiveThrottle(p.throttle, t.remoted.ReadIncarnation().Started)
	if err != nil && err.Error() != p.loggedErr {
		p.loggedErr = err.Error()
		t.log.Warn("it is in doubt how often the manager writes keep-alives of agents of Wazuh 5: the longest time is taken", "err", err, "throttle", throttle.String())
	}
	timeout := passiveTimeout(throttle) + p.relays.delay()
	if throttle == p.throttle && timeout == p.timeout {
		return
	}
	p.throttle, p.timeout = throttle, timeout
	t.passiveTimeout.Store(int64(timeout))
	t.fleet.SetPassivePace(throttle, timeout)
	t.log.Info("agents of Wazuh 5 are watched by their keep-alives in the database", "written_every", throttle.String(), "lost_after", timeout.String(), "workers", p.relays.delay() > 0)
}

// setPassive records whether an agent is passive.
func (t *tracker) setPassive(id detector.AgentID, a *agent, is bool) {
	if a.passive == is {
		return
	}
	a.passive, t.recount = is, true
	t.index.setPassive(id, is)
	t.fleet.SetPassive(id, is)
}

// holdPassiveAgents has no passive agent given up for a while: one of the manager's daemons
// was away until now. For a moment their signs of life may be what had waited.
func (t *tracker) holdPassiveAgents() {
	t.passive.doubtUntil = time.Now().Add(minSignInterval)
	t.holdPassiveAgentsFor(t.passive.holdTime())
}

// holdTime returns for how long no passive agent is given up after a daemon was away.
func (p *passiveAgents) holdTime() time.Duration {
	return max(passiveHold, p.timeout)
}

func (t *tracker) holdPassiveAgentsFor(d time.Duration) {
	if until := time.Now().Add(d).UnixNano(); t.passive.wazuh5 && until > t.passive.heldUntil.Load() {
		t.passive.heldUntil.Store(until)
		t.fleet.HoldPassive(d)
	}
}

// handleDaemonStarted handles that wazuh-db or remoted was started at a time, perhaps before
// this process.
func (t *tracker) handleDaemonStarted(at time.Time) {
	if at.After(t.passive.startedAt) {
		t.passive.startedAt = at
	}
	if since, hold := t.wall.currentTime().Sub(at), t.passive.holdTime(); !at.IsZero() && since >= 0 && since < hold {
		t.holdPassiveAgentsFor(hold - since)
	}
}

// isFreshPassive reports whether a keep-alive of a passive agent is no reason to think that it
// is away.
func (t *tracker) isFreshPassive(keepAlive int64) bool {
	return t.passive.isHeld() || t.wall.ageOfSecond(keepAlive) < t.passive.timeout
}

// lossProvenAt returns from when on signs of life prove that an agent is back that was
// given up at a time. A passive one was given up for its silence: each later sign does.
func lossProvenAt(index *agentIndex, id detector.AgentID, at, lastSeen detector.Instant, seen bool) detector.Instant {
	const rounding = 10 * time.Millisecond
	if seen && index.isPassive(id) {
		return lastSeen.Add(time.Second + rounding)
	}
	return at
}

// checkMethod5 returns an error if a manager of Wazuh 5 cannot send the keep-alives of a method.
func checkMethod5(home wazuhsock.Home, method detector.Method) error {
	if !home.IsWazuh5() || method == detector.Request {
		return nil
	}
	return fmt.Errorf("the manager is of Wazuh 5, which has no queue for keep-alives of the method %s: set <manager_keepalive><method> to request", method)
}

// checkWazuh5 reports how agents are watched beside a manager of Wazuh 5, and what would make
// that faster.
func checkWazuh5(ctx context.Context, h wazuhsock.Home, cfg *Config) (list []SocketCheck) {
	if err := checkMethod5(h, cfg.Method); err != nil {
		list = append(list, SocketCheck{Daemon: "wazuh-remoted", Err: err})
	}
	list = append(list, checkThrottle(h)...)
	if settings, err := remoted.NewClient(h).ReadSettings(ctx, socketCheckTimeout); err == nil && len(settings.Ports) == 0 {
		list = append(list, SocketCheck{Caution: "the manager's listener for agents of Wazuh 4 is off: none of them can be connected", Hint: "if there are any, enable <remote><legacy>"})
	}
	if newRelays(h, cfg.Cluster).isMaster5 {
		list = append(list, SocketCheck{Caution: "if this cluster has workers, their agents are seen here in the master's database alone, and agents of Wazuh 5 are lost a minute later",
			Hint: "run Pulse on the workers too"})
	}
	return append(list, SocketCheck{Caution: "Wazuh 5 has no rule 504, and takes no events of Pulse: losses are on NATS, and in the manager's database"})
}

func checkThrottle(h wazuhsock.Home) (list []SocketCheck) {
	file := throttleFile{path: h.Path(wazuhsock.Options5)}
	throttle, err := file.readEffectiveThrottle(0, remoted.NewClient(h).ReadIncarnation().Started)
	if errors.Is(err, fs.ErrPermission) {
		err = wazuhsock.ExplainError(err, "the manager's options", file.path)
	}
	if err != nil {
		return []SocketCheck{{Daemon: "agents of Wazuh 5", Err: err}}
	}
	list = append(list, SocketCheck{Daemon: "agents of Wazuh 5", Result: fmt.Sprintf("seen in the database every %s, lost after %s of silence", throttle, passiveTimeout(throttle))})
	if written, _, _ := file.readThrottle(); written < throttle {
		return append(list, SocketCheck{Caution: fmt.Sprintf("%s=%d was written after wazuh-remoted had started, which may not follow it yet", throttleOption, written/time.Second),
			Hint: "restart the manager"})
	}
	if throttle > passiveNotify {
		list = append(list, SocketCheck{
			Caution: fmt.Sprintf("the manager writes a keep-alive of an agent of Wazuh 5 every %s, and so its loss is known late", throttle),
			Hint: fmt.Sprintf("for losses after %s write %s=%d into %s, and restart the manager: its database then has %s writes of these agents",
				passiveTimeout(passiveNotify), throttleOption, passiveNotify/time.Second, h.Path(wazuhsock.Options5), formatFactor(throttle, passiveNotify)),
		})
	}
	return list
}

// formatFactor returns how many times a period fits into another.
func formatFactor(period, fits time.Duration) string {
	return strconv.FormatFloat(period.Seconds()/fits.Seconds(), 'f', -1, 64) + " times as many"
}

// logManagerVersion5 logs what is different beside a manager of Wazuh 5.
func logManagerVersion5(log *slog.Logger) {
	log.Info("the manager is of Wazuh 5: it takes no events of Pulse, and has no rule 504")
}
