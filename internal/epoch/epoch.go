// Package epoch counts the starts of a node. The number of a start is the epoch of its
// messages; it must rise even if the file that holds the last one is lost.
package epoch

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/wazuh-pulse/pulse/internal/atomicfile"
	"github.com/wazuh-pulse/pulse/internal/audittrail"
	"github.com/wazuh-pulse/pulse/internal/outbox"
	"github.com/wazuh-pulse/pulse/internal/statedir"
	"github.com/wazuh-pulse/pulse/seal"
)

// Path returns the file of the last epoch in a state directory.
func Path(stateDir string) string { return filepath.Join(stateDir, "epoch") }

// Next returns the epoch of this start and writes it to the state directory. It is
// higher than any before, and at least the present Unix time. Without the file, or with a
// damaged one, it is above the last one in the audit log; [ReadStored] returns that of
// stored messages. If the disk is full, the file is pending.
func Next(stateDir string, now time.Time, pending *statedir.PendingWrites, log *slog.Logger) (uint64, error) {
	epoch, err := next(stateDir, now, log)
	if statedir.IsFull(err) {
		pending.Postpone("epoch", err, func() error { return write(Path(stateDir), epoch) })
		err = nil
	}
	return epoch, err
}

// next does as Next; a full disk is an error beside the number.
func next(dir string, now time.Time, log *slog.Logger) (uint64, error) {
	path := Path(dir)
	epoch := uint64(max(now.Unix(), 1))
	last, err := read(path)
	if errors.Is(err, errDamaged) {
		log.Error("the file of the node's epoch is damaged: it goes on behind the last one in the audit log and the stored messages", "err", err)
	}
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, errDamaged) {
		if last, err = audittrail.LastEpoch(dir); last > limit { // not a line that a node wrote
			last = 0
		}
	}
	if err != nil {
		return 0, err
	}
	epoch = max(epoch, last+1)
	return epoch, write(path, epoch)
}

// errDamaged is the error of a file that does not hold an epoch: a power cut leaves zeros.
var errDamaged = errors.New("want the number of the node's last start")

func read(path string) (last uint64, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	last, err = strconv.ParseUint(strings.TrimSpace(string(text)), 10, 63) // room for one more
	if err != nil {
		return 0, fmt.Errorf("read %s: %w, have %.20q", path, errDamaged, text)
	}
	return last, nil
}

func write(path string, epoch uint64) error {
	return atomicfile.Write(path, append(strconv.AppendUint(nil, epoch, 10), '\n'), 0o600)
}

// limit is above the time of any clock.
const limit = 1 << 62

// aheadMax is how far an epoch may be ahead of the clock for readers that verify: see
// [seal.GuardConfig].
const aheadMax = seal.DefaultMaxAhead + time.Minute

// AheadProblem describes an epoch that is too far ahead of the clock; "" if it is not.
func AheadProblem(epoch uint64, now time.Time) string {
	if ahead := time.Duration(min(int64(epoch)-now.Unix(), 1<<32)) * time.Second; ahead > aheadMax {
		return fmt.Sprintf("the node's epoch %d is ahead of its clock by %v, since that was wrong once, or many starts came in a second: readers that verify refuse its messages until then", epoch, ahead)
	}
	return ""
}

// messageID is an ID as [event.Security.ID] makes it, with or without a code behind.
var messageID = regexp.MustCompile(`^.+-([0-9]{1,19})-[0-9]{1,20}(-[A-Z2-7]+)?$`)

// ReadStored returns the highest epoch of the last stored messages; 0 for none.
func ReadStored(ctx context.Context, from *outbox.Outbox, log *slog.Logger) (highest uint64) {
	for _, c := range []outbox.Class{outbox.Status, outbox.Telemetry} {
		id, err := from.ReadLastID(ctx, c)
		if err != nil {
			log.Warn("the epoch of the last stored message cannot be read", "err", err)
			continue
		}
		if found := messageID.FindStringSubmatch(id); found != nil {
			epoch, err := strconv.ParseUint(found[1], 10, 64)
			if err == nil && epoch <= limit {
				highest = max(highest, epoch)
			}
		}
	}
	return highest
}
