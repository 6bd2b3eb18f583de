package audit

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"strconv"
	"time"
)

// timeFormat is the format of a line's time.
const timeFormat = "2006-01-02T15:04:05.000Z"

// addLine appends a line to what is pending. The caller holds l.mu, as for the other
// functions of this file.
func (l *Log) addLine(now time.Time, kind string, attrs ...slog.Attr) {
	if len(l.pending) >= l.pendingLimit {
		l.failure.lost++
		l.missing++
		return
	}
	from := len(l.pending)
	l.pending = l.appendChainedLine(l.pending, now, kind, attrs)
	if n := len(l.pending) - from; n > lineMax {
		l.pending = l.appendChainedLine(l.pending[:from], now, kind, []slog.Attr{slog.Int("too_long", n)})
	}
	l.chainPendingLine(from)
}

// chainPendingLine makes the pending bytes from an offset on the chain's next line.
func (l *Log) chainPendingLine(from int) {
	l.chain = chain{l.chain.seq + 1, sha256.Sum256(l.pending[from:])}
	l.pending = append(l.pending, '\n')
	l.unsigned++
}

// appendChainedLine appends the chain's next line.
func (l *Log) appendChainedLine(b []byte, now time.Time, kind string, attrs []slog.Attr) []byte {
	b = append(b, `{"seq":`...)
	b = strconv.AppendUint(b, l.chain.seq+1, 10)
	b = append(b, `,"prev":"`...)
	b = base64URL.AppendEncode(b, l.chain.last[:])
	b = append(b, `","time":"`...)
	b = l.appendTime(b, now)
	b = append(b, `","kind":"`...)
	b = append(b, kind...)
	b = append(b, '"')
	return append(b, l.encodeAttrs(attrs)...)
}

// appendTime appends a time in the timeFormat, most of which is that of the last.
func (l *Log) appendTime(b []byte, now time.Time) []byte {
	if second := now.Unix(); second != l.second || len(l.clock) == 0 {
		l.second, l.clock = second, now.UTC().AppendFormat(l.clock[:0], "2006-01-02T15:04:05.")
	}
	ms := now.Nanosecond() / 1e6
	return append(append(b, l.clock...), byte('0'+ms/100), byte('0'+ms/10%10), byte('0'+ms%10), 'Z')
}

// recordPrefix is what slog writes of every record, and lines leave out.
const recordPrefix = `{"level":"INFO","msg":""`

// encodeAttrs returns what follows a line's kind. It is valid until the next call.
func (l *Log) encodeAttrs(attrs []slog.Attr) []byte {
	record := slog.NewRecord(time.Time{}, slog.LevelInfo, "", 0)
	record.AddAttrs(attrs...)
	l.line.Reset()
	_ = l.encoder.Handle(context.Background(), record) // into memory
	return l.line.Bytes()[len(recordPrefix) : l.line.Len()-1]
}

// signPendingLines signs all lines since the last one. A closing one is the last line
// of a log that nobody writes to for now.
func (l *Log) signPendingLines(now time.Time, closes bool) {
	if l.failure.err != nil || l.unsigned == 0 && !closes {
		return
	}
	l.appendSignedCheckpoint(now, closes)
}

// appendSignedCheckpoint signs all lines since the last checkpoint, also where there are none.
func (l *Log) appendSignedCheckpoint(now time.Time, closes bool) {
	attrs := []slog.Attr{slog.Int("lines", l.unsigned)}
	if closes {
		attrs = append(attrs, slog.Bool("closed", true))
	}
	s := l.cfg.Signer
	attrs = append(attrs, slog.String("kid", s.KeyID()))
	from := len(l.pending)
	l.pending = l.appendChainedLine(l.pending, now, KindCheckpoint, attrs)
	l.pending = l.pending[:len(l.pending)-1]
	signature := s.Sign(signedCheckpointBytes(l.pending[from:]))
	l.pending = append(l.pending, signatureMember...)
	l.pending = append(base64URL.AppendEncode(l.pending, signature), `"}`...)
	l.chainPendingLine(from)
	l.unsigned = 0
}

// signatureMember precedes a checkpoint's signature, which is its last member and covers
// the line before it.
const signatureMember = `,"sig":"`

// base64URL accepts one encoding of a signature only: no bit of it can be changed.
var base64URL = base64.RawURLEncoding.Strict()

// signatureEnd is how long a line's end is from the signatureMember on.
var signatureEnd = len(signatureMember) + base64URL.EncodedLen(ed25519.SignatureSize) + len(`"}`)

// signedCheckpointBytes returns what is signed of a checkpoint: its line up to the signature, after a
// prefix that no other signed text of Pulse has.
func signedCheckpointBytes(line []byte) []byte {
	return append([]byte("pulse audit checkpoint 1\n"), line...)
}

var (
	errNoSignature  = errors.New("a checkpoint without a signature")
	errBadSignature = errors.New("the signature is not that of this line")
)

func checkSignature(line []byte, key ed25519.PublicKey) error {
	cut := len(line) - signatureEnd
	if cut < 0 || !bytes.HasPrefix(line[cut:], []byte(signatureMember)) || !bytes.HasSuffix(line, []byte(`"}`)) {
		return errNoSignature
	}
	signature, err := base64URL.AppendDecode(nil, line[cut+len(signatureMember):len(line)-len(`"}`)])
	if err != nil || !ed25519.Verify(key, signedCheckpointBytes(line[:cut]), signature) {
		return errBadSignature
	}
	return nil
}

// Line is a line of a log.
type Line struct {
	Seq   uint64
	Time  time.Time
	Kind  string
	Agent string // the agent it is about; "" for none, and for sums
	Text  []byte // the line itself, JSON; valid until the next line
}

// Filter selects lines. An empty field selects all.
type Filter struct {
	Since, Until time.Time // Since is included, Until is not
	Agent, Kind  string    // sums are about all their agents
}

func (f *Filter) matchesLine(l *Line, summed string) bool {
	return (f.Since.IsZero() || !l.Time.Before(f.Since)) && (f.Until.IsZero() || l.Time.Before(f.Until)) &&
		(f.Agent == "" || f.Agent == l.Agent || summed != "" && isInRanges(summed, f.Agent)) && (f.Kind == "" || f.Kind == l.Kind)
}

// clockSlack is by how much a file may seem to be older than its last line.
const clockSlack = time.Hour

// Read calls each with the lines of the log in a directory that a filter selects,
// oldest first. Malformed lines are skipped: [Verify] reports them.
func Read(dir string, filter Filter, each func(*Line) error) error {
	files, err := listLogFiles(dir)
	if err != nil {
		return err
	}
	for _, f := range files {
		if f.changed.Before(filter.Since.Add(-clockSlack)) {
			continue // its last line was written then
		}
		if err := readLogFile(f, filter, each); err != nil {
			return err
		}
	}
	return nil
}

// readLogFile calls each with the lines of one file that a filter selects.
func readLogFile(f logFile, filter Filter, each func(*Line) error) error {
	in, err := os.Open(f.path)
	if errors.Is(err, os.ErrNotExist) { // removed meanwhile
		return nil
	}
	if err != nil {
		return err
	}
	err = scanFileLines(in, func(text []byte, whole bool) error {
		h, err := parseLineHeader(text)
		if err != nil || !whole {
			return nil
		}
		var about struct{ Agent, Agents string }
		_ = json.Unmarshal(text, &about) // another type of agent is none
		if h.Kind != KindKeepAlives {
			about.Agents = ""
		}
		l := &Line{h.Seq, h.Time, h.Kind, about.Agent, text}
		if !filter.matchesLine(l, about.Agents) {
			return nil
		}
		return each(l)
	})
	return errors.Join(err, in.Close())
}

// Last returns the last line of a kind; nil for none.
func Last(dir, kind string) (last *Line, err error) {
	files, err := listLogFiles(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	for i := len(files) - 1; i >= 0 && last == nil && err == nil; i-- {
		err = readLogFile(files[i], Filter{Kind: kind}, func(l *Line) error {
			found := *l
			found.Text = bytes.Clone(l.Text)
			last = &found
			return nil
		})
	}
	return last, err
}
