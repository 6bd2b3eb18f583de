package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/audit"
	"github.com/wazuh-pulse/pulse/internal/audittrail"
	"github.com/wazuh-pulse/pulse/internal/hint"
	"github.com/wazuh-pulse/pulse/internal/plural"
	"github.com/wazuh-pulse/pulse/internal/printable"
)

type auditCommand struct {
	Verify auditVerifyCommand `cmd:"" help:"Check that nobody has changed the audit log."`
	Show   auditShowCommand   `cmd:"" help:"Show lines of the audit log."`
}

func (*auditCommand) Help() string {
	return `The audit log is in <pulse><state_dir>/audit, with the public keys to check it in <state_dir>/audit.jwks.

    pulse audit verify
    pulse audit show --since 1h --kind transition`
}

// auditFlags select the log.
type auditFlags struct {
	settingsFlag
	Dir string `arg:"" optional:"" type:"path" help:"The log's directory. Default: audit in <pulse><state_dir> of the settings."`
}

func (f *auditFlags) auditLogDir(e *env) (string, error) {
	if f.Dir != "" {
		return f.Dir, nil
	}
	loaded, err := f.loadSettings(e)
	if err != nil {
		return "", err
	}
	return audittrail.Dir(loaded.Pulse.StateDir), nil
}

type auditVerifyCommand struct {
	auditFlags
	Key        []string `placeholder:"FILE" sep:"none" help:"Public keys, JWK or JWKS; may be repeated. Default: audit.jwks beside the directory, which whoever changed the log may have changed, too."`
	Head       []string `placeholder:"SEQ:HASH" sep:"none" help:"A line that the log had at some time; may be repeated."`
	Heartbeats string   `placeholder:"FILE" help:"The node's heartbeats, a JSON object a line, as pulse events --json prints them; - is standard input. Each has the number and hash of a line of the log."`
	Node       string   `complete:"nodes" placeholder:"NAME" help:"The node, if the heartbeats are of several."`
	JSON       bool     `help:"Print one JSON object."`
}

func (*auditVerifyCommand) Help() string {
	return `Reads the whole log: each line has to be as it was written, none may be missing, inserted or moved, and the checkpoints
have to be signed with a key that you trust. If not, the exit code is 1 and the first bad line is printed.

    pulse audit verify
    pulse audit verify /mnt/copy/audit --key node01-audit.jwks

No log can show by itself that its newest lines were cut off, or that all of it was replaced. The heartbeats of the node
have the number of the newest line, so keep them elsewhere, and compare:

    pulse events --subject 'wazuh.xdr.manager.status.*' --json >> heartbeats.json   # on another host
    pulse audit verify --heartbeats heartbeats.json`
}

func (c *auditVerifyCommand) Run(e *env) error {
	dir, err := c.auditLogDir(e)
	if err != nil {
		return err
	}
	if _, err := os.Stat(dir); c.Dir != "" && errors.Is(err, fs.ErrNotExist) {
		return usageError{fmt.Errorf("%s: there is no such directory", printable.Only(dir))}
	}
	if len(c.Key) == 0 {
		c.Key = []string{audittrail.PublicKeysPath(filepath.Dir(dir))}
	}
	check := audit.Check{Progress: progressOn(e.stderr)}
	if check.Key, err = audit.ReadKeys(c.Key...); err != nil {
		return usageError{hint.Add(err, "name them with --key")}
	}
	if check.Heads, err = c.readKnownHeads(); err != nil {
		return err
	}
	found, err := audit.Verify(dir, check)
	if c.JSON {
		if jsonErr := writeVerdict(e.stdout, &found, err); jsonErr != nil {
			return jsonErr
		}
		return err
	}
	if err != nil {
		return fmt.Errorf("the audit log is not as it was written: %w", err)
	}
	fmt.Fprintf(e.stdout, "%s: good\n%s", printable.Only(dir), formatVerdict(&found, len(check.Heads)))
	return nil
}

func writeVerdict(w io.Writer, found *audit.Checked, err error) error {
	result := struct {
		Good  bool   `json:"good"`
		Error string `json:"error,omitempty"`
		Path  string `json:"path,omitempty"`
		Line  int    `json:"line,omitempty"`
		*audit.Checked
	}{Good: err == nil, Checked: found}
	if err != nil {
		result.Error = err.Error()
	}
	if bad, ok := errors.AsType[*audit.BadLine](err); ok {
		result.Path, result.Line = bad.Path, bad.Line
	}
	return json.NewEncoder(w).Encode(result)
}

// formatVerdict describes a good log, and what it cannot show.
func formatVerdict(c *audit.Checked, heads int) string {
	var b strings.Builder
	add := func(format string, args ...any) { fmt.Fprintf(&b, "  "+format+"\n", args...) }
	add("%s, number %d to %d, in %s", plural.CountNoun(c.Lines, "line"), c.First, c.Head.Seq, plural.CountNoun(c.Files, "file"))
	switch unsigned := c.Head.Seq - c.Signed; {
	case c.Checkpoints == 0:
		add("none of them is signed yet")
	case unsigned == 0 && c.Unsigned == 0:
		add("all are signed, by %s", plural.CountNoun(c.Checkpoints, "checkpoint"))
	case unsigned == 0:
		add("signed up to the end, by %s", plural.CountNoun(c.Checkpoints, "checkpoint"))
	default:
		add("signed up to number %d, by %s; the %s after that %s not signed yet", c.Signed, plural.CountNoun(c.Checkpoints, "checkpoint"), plural.CountNoun(unsigned, "line"), plural.ChooseForm(unsigned, "is", "are"))
	}
	if c.Unsigned > 0 {
		add("%s among them nobody signs: %s. Pulse was killed before it could, or somebody else wrote them", plural.CountNoun(c.Unsigned, "line"), formatSpans(c.UnsignedAt))
	}
	switch {
	case c.Live:
		add("it is being written")
	case c.Closed:
		add("it ends in order")
	default:
		add("it does not end in order: Pulse was killed, or the end was cut off")
	}
	if c.First > 1 {
		add("older lines were removed at the limit of its size, as the log records")
	}
	if c.NotClosed > 0 {
		add("Pulse was killed %s", plural.CountNoun(c.NotClosed, "time"))
	}
	if c.Missing > 0 {
		add("%s could not be written at their time, as the log records", plural.CountNoun(c.Missing, "line"))
	}
	if heads == 0 {
		add("whether newer lines were cut off can only be seen from a head that was kept elsewhere: --heartbeats or --head")
	} else {
		add("%d of %s are in it, and the others are older than it", c.Heads, plural.CountNoun(heads, "noted head"))
	}
	add("head %d:%s", c.Head.Seq, c.Head.Hash)
	return b.String()
}

// formatSpans lists the first spans of lines.
func formatSpans(all []audit.Span) string {
	const most = 10
	var list []string
	for _, s := range all[:min(most, len(all))] {
		if list = append(list, strconv.FormatUint(s.First, 10)); s.Last > s.First {
			list[len(list)-1] += fmt.Sprintf("-%d", s.Last)
		}
	}
	if len(all) > most {
		list = append(list, "…")
	}
	return strings.Join(list, ", ")
}

// readKnownHeads returns the heads that the command line names.
func (c *auditVerifyCommand) readKnownHeads() (heads []audit.Head, err error) {
	for _, text := range c.Head {
		seq, hash, ok := strings.Cut(text, ":")
		n, err := strconv.ParseUint(seq, 10, 63)
		if !ok || err != nil || hash == "" {
			return nil, usageError{fmt.Errorf("--head %q: want the number and the hash of a line, SEQ:HASH", text)}
		}
		heads = append(heads, audit.Head{Seq: n, Hash: hash})
	}
	if c.Heartbeats == "" {
		return heads, nil
	}
	in := os.Stdin
	if c.Heartbeats != "-" {
		if in, err = os.Open(c.Heartbeats); err != nil {
			return nil, usageError{fmt.Errorf("--heartbeats: %w", err)}
		}
		defer in.Close()
	}
	beats, err := readHeartbeats(in, c.Node)
	if err != nil {
		return nil, usageError{fmt.Errorf("--heartbeats %s: %w", c.Heartbeats, err)}
	}
	return append(heads, beats...), nil
}

// maxHeartbeatLine is the longest line with a heartbeat, in bytes.
const maxHeartbeatLine = 1 << 20

// maxNodesNamed bounds the nodes that an error names.
const maxNodesNamed = 20

// readHeartbeats returns the heads in a node's heartbeats; with node "", all have
// to be of one.
func readHeartbeats(r io.Reader, node string) (heads []audit.Head, err error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxHeartbeatLine)
	first := ""
	var others []string // nodes whose heartbeats are not asked for
	for n := 1; lines.Scan(); n++ {
		var m event.ManagerStatusMessage
		if err := json.Unmarshal(lines.Bytes(), &m); err != nil {
			return nil, fmt.Errorf("line %d is no message of Pulse's: %w", n, err)
		}
		s := &m.ManagerStatus
		if s.ManagerNode != "" && s.ManagerNode != node && len(others) < maxNodesNamed && !slices.Contains(others, s.ManagerNode) {
			others = append(others, s.ManagerNode)
		}
		if s.Audit == nil || s.Audit.Seq == 0 || node != "" && s.ManagerNode != node {
			continue // another message, or of a node without a log, or not of this one
		}
		if first == "" {
			first = s.ManagerNode
		}
		if s.ManagerNode != first {
			return nil, fmt.Errorf("line %d is of the node %q, others are of %q: name the node with --node", n, s.ManagerNode, first)
		}
		heads = append(heads, audit.Head{Seq: s.Audit.Seq, Hash: s.Audit.Hash})
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if len(heads) == 0 && node != "" && len(others) > 0 {
		slices.Sort(others)
		e := newChoiceError("--node", node, others)
		return nil, hint.Add(fmt.Errorf("no heartbeat in it is of that node: %w", e.error), e.hint)
	}
	if len(heads) == 0 {
		return nil, errors.New("no heartbeat in it has an audit log")
	}
	return heads, nil
}
