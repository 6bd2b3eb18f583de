package daemon

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/wazuh-pulse/pulse/internal/atomicfile"
	"github.com/wazuh-pulse/pulse/internal/audit"
	"github.com/wazuh-pulse/pulse/internal/clientkeys"
	"github.com/wazuh-pulse/pulse/internal/config"
	"github.com/wazuh-pulse/pulse/internal/sealing"
)

// past is how things were when the node started last, so that the audit log can
// tell what was changed meanwhile. Settings hold no secrets. Files that do are there
// by a fingerprint, which says nothing to those who have not the audit log's key.
type past struct {
	path string

	mu       sync.Mutex        // of what follows
	Settings map[string]string `json:"settings"`
	Files    map[string]string `json:"files"`       // by setting
	Agents   string            `json:"client_keys"` // the fingerprint of who is in it; "" before it was read
	AuditKey string            `json:"audit_key"`
}

func readPast(stateDir string) (*past, error) {
	p := &past{path: filepath.Join(stateDir, "audit.json")}
	text, err := os.ReadFile(p.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return p, nil
	case err != nil:
		return nil, fmt.Errorf("read what the settings were: %w", err)
	}
	if err := json.Unmarshal(text, p); err != nil {
		return nil, fmt.Errorf("read what the settings were: %s: %w; delete the file to go on without", p.path, err)
	}
	return p, nil
}

func (p *past) keep() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	text, err := json.MarshalIndent(p, "", " ")
	if err != nil {
		return err
	}
	if err := atomicfile.Write(p.path, append(text, '\n'), 0o600); err != nil {
		return fmt.Errorf("keep what the settings are: %w", err)
	}
	return nil
}

// settingsOf are all settings in effect.
func settingsOf(cfg *config.Config) map[string]string {
	all := make(map[string]string)
	for _, s := range (&config.Loaded{Config: *cfg}).Settings() {
		all[s.Path] = s.Value
	}
	return all
}

func digestOf(settings map[string]string) string {
	h := sha256.New()
	for _, path := range slices.Sorted(maps.Keys(settings)) {
		fmt.Fprintf(h, "%s\x00%s\x00", path, settings[path])
	}
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

// keyFiles are the fingerprints of the files that hold secrets, or say whom to trust.
func keyFiles(cfg *config.Config, key *audit.Key) map[string]string {
	files := make(map[string]string)
	where := sealing.KeyFiles(cfg)
	all := append(cfg.SecurityFiles(), config.File{Setting: "nats/signing_key_file", Path: where.SigningPath()})
	for _, f := range all {
		if content, err := os.ReadFile(f.Path); err == nil {
			files[f.Setting] = key.Fingerprint(content)
		}
	}
	return files
}

// compare says what is not as it was, and takes it for the past from now on.
func (a *auditor) compare(settings, files map[string]string) {
	p := a.past
	if p.Settings != nil { // not the first start
		for _, c := range differences(p.Settings, settings) {
			a.log.Add(auditSetting, slog.String("name", c.name), slog.String("was", bounded(c.was)), slog.String("is", bounded(c.is)))
		}
		for _, c := range differences(p.Files, files) {
			a.log.Add(auditKey, slog.String("file", c.name), slog.String("change", c.what()))
		}
		if p.AuditKey != a.key.KeyID() {
			a.log.Add(auditKey, slog.String("file", "audit"), slog.String("change", "changed"), slog.String("was", p.AuditKey), slog.String("is", a.key.KeyID()))
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.Settings, p.Files, p.AuditKey = settings, files, a.key.KeyID()
}

type change struct{ name, was, is string }

func (c *change) what() string {
	switch {
	case c.was == "":
		return "added"
	case c.is == "":
		return "removed"
	}
	return "changed"
}

func differences(was, is map[string]string) (list []change) {
	names := make(map[string]bool)
	for name := range was {
		names[name] = true
	}
	for name := range is {
		names[name] = true
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if was[name] != is[name] {
			list = append(list, change{name, was[name], is[name]})
		}
	}
	return list
}

// agents takes a reading of client.keys, and the one before, nil at the start. Who
// came and who went while the node was down is in the status changes.
func (a *auditor) agents(was, is *clientkeys.Set, skipped int) {
	if a == nil {
		return
	}
	fingerprint := a.fingerprint(is)
	if was == nil {
		a.log.Add(auditAgents, slog.Int("count", is.Len()), slog.Int("skipped_lines", skipped),
			slog.Bool("changed", a.past.Agents != "" && a.past.Agents != fingerprint))
	} else {
		added, removed, changed := diff(was, is)
		a.log.Add(auditAgents, slog.Int("count", is.Len()), slog.Int("skipped_lines", skipped), slog.Bool("changed", true),
			slog.String("added", someOf(added)), slog.String("removed", someOf(removed)), slog.String("new_line", someOf(changed)))
	}
	if a.past.Agents != fingerprint {
		a.past.mu.Lock()
		a.past.Agents = fingerprint
		a.past.mu.Unlock()
		_ = a.past.keep() // the next start will say "changed" once more
	}
}

func (a *auditor) fingerprint(keys *clientkeys.Set) string {
	h := sha256.New()
	for k := range keys.All() {
		for _, part := range []string{k.ID, k.Name, k.IP.String(), k.Secret} {
			h.Write([]byte(part))
			h.Write([]byte{0})
		}
	}
	return a.key.Fingerprint(h.Sum(nil))
}

// diff tells who is new, who is gone, and whose name, address or key is another.
func diff(was, is *clientkeys.Set) (added, removed, changed []string) {
	for k := range is.All() {
		switch old, ok := was.ByID([]byte(k.ID)); {
		case !ok:
			added = append(added, k.ID)
		case *old != *k:
			changed = append(changed, k.ID)
		}
	}
	for k := range was.All() {
		if _, ok := is.ByID([]byte(k.ID)); !ok {
			removed = append(removed, k.ID)
		}
	}
	return added, removed, changed
}

// someOf lists agents, as many as a line has room for.
func someOf(ids []string) string {
	const most = 2000
	if more := len(ids) - most; more > 0 {
		return strings.Join(ids[:most], ",") + fmt.Sprintf(" and %d more", more)
	}
	return strings.Join(ids, ",")
}
