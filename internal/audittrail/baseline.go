package audittrail

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

// baseline is the state of the settings and files at the last start, with which the
// present ones are compared. Settings hold no secrets. Files that do are there by a
// fingerprint, which reveals nothing without the audit log's key.
type baseline struct {
	path string

	mu       sync.Mutex        // of what follows
	Settings map[string]string `json:"settings"`
	Files    map[string]string `json:"files"`       // by setting
	Agents   string            `json:"client_keys"` // the fingerprint of who is in it; "" before it was read
	AuditKey string            `json:"audit_key"`
}

func readBaseline(stateDir string) (*baseline, error) {
	b := &baseline{path: filepath.Join(stateDir, "audit.json")}
	text, err := os.ReadFile(b.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return b, nil
	case err != nil:
		return nil, fmt.Errorf("read what the settings were: %w", err)
	}
	if err := json.Unmarshal(text, b); err != nil {
		return nil, fmt.Errorf("read what the settings were: %s: %w; delete the file to go on without", b.path, err)
	}
	return b, nil
}

func (b *baseline) save() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	text, err := json.MarshalIndent(b, "", " ")
	if err != nil {
		return err
	}
	if err := atomicfile.Write(b.path, append(text, '\n'), 0o600); err != nil {
		return fmt.Errorf("keep what the settings are: %w", err)
	}
	return nil
}

// listSettings returns all settings in effect, by their paths.
func listSettings(cfg *config.Config) map[string]string {
	all := make(map[string]string)
	for _, s := range (&config.Loaded{Config: *cfg}).Settings() {
		all[s.Path] = s.Value
	}
	return all
}

func digestSettings(settings map[string]string) string {
	h := sha256.New()
	for _, path := range slices.Sorted(maps.Keys(settings)) {
		fmt.Fprintf(h, "%s\x00%s\x00", path, settings[path])
	}
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

// fingerprintFiles returns the fingerprints, by setting, of the files that hold secrets
// or trusted keys.
func fingerprintFiles(cfg *config.Config, key *audit.Key) map[string]string {
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

// compareBaseline records what differs from the baseline, and makes it the baseline.
func (t *Trail) compareBaseline(cfg *config.Config) {
	settings, files := listSettings(cfg), fingerprintFiles(cfg, t.key)
	b := t.baseline
	if b.Settings != nil { // not the first start
		for _, c := range listDifferences(b.Settings, settings) {
			t.log.Add(kindSetting, slog.String("name", c.name), slog.String("was", boundText(c.was)), slog.String("is", boundText(c.is)))
		}
		for _, c := range listDifferences(b.Files, files) {
			t.log.Add(kindKey, slog.String("file", c.name), slog.String("change", c.describe()))
		}
		if b.AuditKey != t.key.KeyID() {
			t.log.Add(kindKey, slog.String("file", "audit"), slog.String("change", "changed"), slog.String("was", b.AuditKey), slog.String("is", t.key.KeyID()))
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.Settings, b.Files, b.AuditKey = settings, files, t.key.KeyID()
}

type difference struct{ name, was, is string }

func (c *difference) describe() string {
	switch {
	case c.was == "":
		return "added"
	case c.is == "":
		return "removed"
	}
	return "changed"
}

func listDifferences(was, is map[string]string) (list []difference) {
	names := make(map[string]bool)
	for name := range was {
		names[name] = true
	}
	for name := range is {
		names[name] = true
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if was[name] != is[name] {
			list = append(list, difference{name, was[name], is[name]})
		}
	}
	return list
}

// RecordAgents records the agents of client.keys, with those that were in it before,
// nil at the start. Agents added and removed while the node was down are in the status
// changes.
func (t *Trail) RecordAgents(was, is *clientkeys.Set, skipped int) {
	if t.log == nil {
		return
	}
	fingerprint := t.fingerprintAgents(is)
	if was == nil {
		t.log.Add(kindAgents, slog.Int("count", is.Len()), slog.Int("skipped_lines", skipped),
			slog.Bool("changed", t.baseline.Agents != "" && t.baseline.Agents != fingerprint))
	} else {
		added, removed, changed := compareAgents(was, is)
		t.log.Add(kindAgents, slog.Int("count", is.Len()), slog.Int("skipped_lines", skipped), slog.Bool("changed", true),
			slog.String("added", joinIDs(added)), slog.String("removed", joinIDs(removed)), slog.String("new_line", joinIDs(changed)))
	}
	if t.baseline.Agents != fingerprint {
		t.baseline.mu.Lock()
		t.baseline.Agents = fingerprint
		t.baseline.mu.Unlock()
		_ = t.baseline.save() // the next start will say "changed" once more
	}
}

func (t *Trail) fingerprintAgents(keys *clientkeys.Set) string {
	h := sha256.New()
	for k := range keys.All() {
		for _, part := range []string{k.ID, k.Name, k.IP.String(), k.Secret} {
			h.Write([]byte(part))
			h.Write([]byte{0})
		}
	}
	return t.key.Fingerprint(h.Sum(nil))
}

// compareAgents returns the agents that are new, gone, or have another name, address
// or key.
func compareAgents(was, is *clientkeys.Set) (added, removed, changed []string) {
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

// joinIDs lists agents, as many as a line has room for.
func joinIDs(ids []string) string {
	const most = 2000
	if more := len(ids) - most; more > 0 {
		return strings.Join(ids[:most], ",") + fmt.Sprintf(" and %d more", more)
	}
	return strings.Join(ids, ",")
}
