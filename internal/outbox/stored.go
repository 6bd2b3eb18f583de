package outbox

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/wazuh-pulse/pulse/internal/atomicfile"
)

// storedFile names the subjects that a stream of the remote has stored at some time.
const storedFile = "stored"

// storedMax is how many patterns of subjects are remembered.
const storedMax = 1000

// storedSubjects are the subjects whose messages a stream of the remote has
// acknowledged, now or in an earlier run. It is learned from acknowledgements and from
// streams that the remote lists, kept on disk, and never removed: what was stored once and
// is not acknowledged now has to wait. It may be used concurrently.
type storedSubjects struct {
	path string

	mu       sync.Mutex
	patterns []string
	unsaved  bool // the file does not have all of them
}

// openStoredSubjects reads the file. After an error of a damaged one, there are no patterns.
func openStoredSubjects(dir string) (*storedSubjects, error) {
	s := &storedSubjects{path: filepath.Join(dir, storedFile)}
	text, err := os.ReadFile(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return s, fmt.Errorf("read which subjects are stored: %w", err)
	}
	body, ok := cutChecksum(string(text))
	if !ok {
		return s, fmt.Errorf("read which subjects are stored: %s: %w", s.path, errDamaged)
	}
	s.patterns = strings.Fields(body)
	s.patterns = s.patterns[:min(len(s.patterns), storedMax)]
	return s, nil
}

// StoredSubjects returns the patterns of the subjects that a remote has acknowledged to
// the outbox in dir; none if that is not known.
func StoredSubjects(dir string) []string {
	s, err := openStoredSubjects(dir)
	if err != nil {
		return nil
	}
	return s.patterns
}

// Covers reports whether one of the patterns of subjects matches a subject.
func Covers(patterns []string, subject string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return matchesPattern(p, subject) })
}

// hasSubject reports whether a stream has stored the subject at some time.
func (s *storedSubjects) hasSubject(subject string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Covers(s.patterns, subject)
}

// addPatterns adds patterns, on disk too.
func (s *storedSubjects) addPatterns(patterns ...string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range patterns {
		if len(s.patterns) < storedMax && !slices.Contains(s.patterns, p) {
			s.patterns, s.unsaved = append(s.patterns, p), true
		}
	}
	if !s.unsaved {
		return nil
	}
	if err := atomicfile.Write(s.path, []byte(appendChecksum(strings.Join(s.patterns, "\n")+"\n")), 0o600); err != nil {
		return fmt.Errorf("keep which subjects are stored: %w", err)
	}
	s.unsaved = false
	return nil
}

func appendChecksum(body string) string {
	return fmt.Sprintf("%s%08x\n", body, crc32.ChecksumIEEE([]byte(body)))
}

// cutChecksum returns a text without its checksum line, and whether that is right.
func cutChecksum(text string) (body string, ok bool) {
	const line = 9
	if len(text) < line {
		return "", false
	}
	body = text[:len(text)-line]
	return body, text == appendChecksum(body)
}

// kindOfSubject is the pattern of all subjects like this one: of a status change, of a
// keep-alive, of a heartbeat, whatever the agent or node.
func kindOfSubject(prefix, subject string) string {
	rest, ok := strings.CutPrefix(subject, prefix+".")
	if !ok {
		return subject
	}
	switch parts := strings.Split(rest, "."); {
	case len(parts) == 3 && parts[0] == "agent":
		return prefix + ".agent.*." + parts[2]
	case len(parts) == 3 && parts[0] == "manager":
		return prefix + ".manager." + parts[1] + ".*"
	}
	return subject
}

// matchesPattern reports whether a NATS subject is within pattern ("*" is one token, a
// last ">" all that follow, at least one).
func matchesPattern(pattern, subject string) bool {
	for {
		p, pRest, pMore := strings.Cut(pattern, ".")
		s, sRest, sMore := strings.Cut(subject, ".")
		switch {
		case p == ">":
			return true
		case p != "*" && p != s, pMore != sMore:
			return false
		case !pMore:
			return true
		}
		pattern, subject = pRest, sRest
	}
}
