package daemon

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

// nextEpoch returns the number of this life of the node and remembers it in
// dir. It is higher than any before, and at least the present Unix time. Without the
// file, it is above the last one in the audit log; that of stored messages is looked
// at later ([Publisher.settleEpoch]). A full disk is an error beside the number.
func nextEpoch(dir string, now time.Time) (uint64, error) {
	path := filepath.Join(dir, "epoch")
	epoch := uint64(max(now.Unix(), 1))
	text, err := os.ReadFile(path)
	switch {
	case err == nil:
		last, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 63) // room for one more
		if err != nil {
			return 0, fmt.Errorf("read %s: want the number of the node's last start, have %.20q; delete the file to go on behind the last one in the audit log and the stored messages", path, text)
		}
		epoch = max(epoch, last+1)
	case !errors.Is(err, fs.ErrNotExist):
		return 0, err
	default:
		last, err := audittrail.LastEpoch(dir)
		if err != nil {
			return 0, err
		}
		if last <= epochMax { // else it is not a line that a node wrote
			epoch = max(epoch, last+1)
		}
	}
	return epoch, writeEpoch(path, epoch)
}

func writeEpoch(path string, epoch uint64) error {
	return atomicfile.Write(path, append(strconv.AppendUint(nil, epoch, 10), '\n'), 0o600)
}

// epochMax is above all that a clock says.
const epochMax = 1 << 62

// aheadMax is how far an epoch may be ahead of the clock for readers that verify: see
// [seal.GuardConfig].
const aheadMax = seal.DefaultMaxAhead + time.Minute

// epochAhead is what to say of an epoch that is ahead of the clock; "" for nothing.
func epochAhead(epoch uint64, now time.Time) string {
	if ahead := time.Duration(min(int64(epoch)-now.Unix(), 1<<32)) * time.Second; ahead > aheadMax {
		return fmt.Sprintf("the node's epoch %d is ahead of its clock by %v, since that was wrong once, or many starts came in a second: readers that verify refuse its messages until then", epoch, ahead)
	}
	return ""
}

// countEpoch does as nextEpoch. What a full disk does not take is written later.
func (p *Publisher) countEpoch(dir string, now time.Time) (uint64, error) {
	epoch, err := nextEpoch(dir, now)
	if statedir.IsFull(err) {
		p.pending.Postpone("epoch", err, func() error {
			return writeEpoch(filepath.Join(dir, "epoch"), epoch)
		})
		err = nil
	}
	return epoch, err
}

// messageID is an ID as [event.Security.ID] makes it, with or without a code behind.
var messageID = regexp.MustCompile(`^.+-([0-9]{1,19})-[0-9]{1,20}(-[A-Z2-7]+)?$`)

// storedEpoch returns the highest epoch of the last stored messages; 0 for none.
func storedEpoch(ctx context.Context, from *outbox.Outbox, log *slog.Logger) (highest uint64) {
	for _, c := range []outbox.Class{outbox.Status, outbox.Telemetry} {
		id, err := from.LastID(ctx, c)
		if err != nil {
			log.Warn("the epoch of the last stored message cannot be read", "err", err)
			continue
		}
		if found := messageID.FindStringSubmatch(id); found != nil {
			epoch, err := strconv.ParseUint(found[1], 10, 64)
			if err == nil && epoch <= epochMax {
				highest = max(highest, epoch)
			}
		}
	}
	return highest
}
