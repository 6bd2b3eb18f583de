package audit

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"
)

// resume finds the end of the log in the directory. What a crash left of a line is
// taken away, and the log says so.
func (l *Log) resume() (err error) {
	if err := os.MkdirAll(l.cfg.Dir, 0o700); err != nil {
		return err
	}
	if l.files, err = list(l.cfg.Dir); err != nil {
		return err
	}
	now := time.Now()
	today := now.UTC().Truncate(24 * time.Hour)
	if len(l.files) == 0 {
		return l.begin(today)
	}
	last := l.files[len(l.files)-1]
	if l.out, err = os.OpenFile(last.path, os.O_RDWR, 0); err != nil {
		return err
	}
	if info, err := l.out.Stat(); err != nil {
		return err
	} else {
		l.day = info.ModTime().UTC().Truncate(24 * time.Hour)
	}
	torn, err := l.end(last)
	if err != nil {
		return fmt.Errorf("read %s: %w", last.path, err)
	}
	if torn > lineMax { // no crash leaves that: let it be as it is
		return l.begin(today)
	}
	if torn > 0 {
		if err := l.out.Truncate(l.size); err != nil {
			return err
		}
		l.add(now, KindTorn, slog.Int64("bytes", torn-1))
	}
	return nil
}

// end reads the last file for its last whole line, and returns how many bytes come
// behind that, and one: what should be the end of a line.
func (l *Log) end(f file) (torn int64, err error) {
	l.chain.seq = f.first - 1
	if len(l.files) > 1 {
		if l.chain.last, err = lastDigest(l.files[len(l.files)-2].path); err != nil {
			return 0, err
		}
	}
	err = lines(l.out, func(line []byte, whole bool) error {
		if !whole || torn > 0 {
			torn += int64(len(line)) + 1
			return nil
		}
		l.chain = chain{l.chain.seq + 1, sha256.Sum256(line)}
		l.size += int64(len(line)) + 1
		if l.unsigned++; bytes.Contains(line, []byte(`"kind":"`+KindCheckpoint+`"`)) {
			l.unsigned = 0
		}
		return nil
	})
	return torn, err
}

func lastDigest(path string) (d digest, err error) {
	f, err := os.Open(path)
	if err != nil {
		return d, err
	}
	defer f.Close()
	err = lines(f, func(line []byte, _ bool) error { d = sha256.Sum256(line); return nil })
	return d, err
}

// lines calls each with every line, without its end, and with what comes behind
// the last, which is not whole. A line longer than lineMax comes in parts.
func lines(r io.Reader, each func(line []byte, whole bool) error) error {
	buffer, n := make([]byte, lineMax+1), 0
	for {
		got, err := r.Read(buffer[n:])
		n += got
		from := 0
		for {
			end := bytes.IndexByte(buffer[from:n], '\n')
			if end < 0 {
				break
			}
			if err := each(buffer[from:from+end], true); err != nil {
				return err
			}
			from += end + 1
		}
		n = copy(buffer, buffer[from:n])
		if err == io.EOF || n == len(buffer) {
			if n > 0 {
				if err := each(buffer[:n], false); err != nil {
					return err
				}
			}
			n = 0
		}
		switch err {
		case nil:
		case io.EOF:
			return nil
		default:
			return err
		}
	}
}
