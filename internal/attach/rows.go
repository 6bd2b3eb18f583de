package attach

import (
	"context"
	"errors"
	"fmt"

	"github.com/wazuh-pulse/pulse/internal/detector"
)

const (
	// maxName, maxAddr and maxStatus are how many bytes of a column are of use. Of
	// longer values so many and one more are read, which shows that they are too long.
	maxName, maxAddr, maxStatus = 256, 64, 32
	// maxNumber is more than any second, code or id is, and exact in any JSON.
	maxNumber = 1 << 48
	// maxUnreadable is how many rows of one reading may be unreadable before it is
	// the database that is, and not they.
	maxUnreadable = 100
)

// boundedText is the SQL for the first bytes of a column, which may hold anything:
// what agents send of themselves goes there unchecked. It counts bytes, as a
// character that is not UTF-8 may have any number of them.
func boundedText(column string, most int) string {
	return fmt.Sprintf("CAST(substr(CAST(%s AS BLOB), 1, %d) AS TEXT)", column, most+1)
}

// boundedNumber is the SQL for a column as a number from 0 up, whatever it holds.
func boundedNumber(column string) string {
	return fmt.Sprintf("max(min(CAST(%s AS INTEGER), %d), 0)", column, maxNumber)
}

// tooMuch reports whether an answer may have been unreadable because of a row in
// it: it did not fit, or wazuh-db could not make it.
func tooMuch(err error) bool {
	_, refused := errors.AsType[refusal](err)
	_, cut := errors.AsType[noRows](err)
	_, long := errors.AsType[frameTooLong](err)
	return refused || cut || long
}

// fewer halves how many rows are asked for, if so many may have been too many for one
// answer, and reports whether it did.
func fewer(limit *int, err error) bool {
	if !tooMuch(err) || *limit <= 1 {
		return false
	}
	*limit /= 2
	return true
}

// readRows reads rows in the order of their ids, page by page. Query is the
// statement for columns of no more rows than limit, after the id last. A page that does
// not fit into an answer is read in smaller ones, and a row that does not fit alone, or
// makes no sense, is passed over.
func (w *watch) readRows(ctx context.Context, query func(columns string, last int64, limit int) string, take func(row)) error {
	l, err := w.db.layout(ctx)
	if err != nil {
		return err
	}
	limit, unreadable := rollPage, 0
	for last := int64(0); ; {
		page, err := sql[row](ctx, w.db, query(l.columns(), last, limit))
		switch {
		case err != nil && fewer(&limit, err):
			continue
		case err != nil && tooMuch(err) && unreadable < maxUnreadable:
			next, found := w.nextID(ctx, query, last)
			if !found {
				return err
			}
			unreadable++
			w.skips.row(next, fmt.Errorf("the row of agent %s cannot be read: %w", detector.AgentID(next), err))
			last = next
			continue
		case err != nil:
			return err
		}
		for i := range page {
			if page[i].ID <= last {
				return errors.New("wazuh-db answers rows out of order")
			}
			last = page[i].ID
			if err := page[i].check(); err != nil {
				w.skips.row(last, err)
			} else {
				take(page[i])
			}
			if last > int64(detector.MaxAgentID) {
				return nil // and so are the ids of all that follow
			}
		}
		if len(page) < limit {
			return nil
		}
		limit = min(limit+limit/4+1, rollPage)
	}
}

// nextID is the id of the first row after one, if that can be read.
func (w *watch) nextID(ctx context.Context, query func(columns string, last int64, limit int) string, last int64) (id int64, found bool) {
	rows, err := sql[row](ctx, w.db, query(boundedNumber("id")+" AS i", last, 1))
	if err != nil || len(rows) != 1 || rows[0].ID <= last || rows[0].ID > int64(detector.MaxAgentID) {
		return 0, false
	}
	return rows[0].ID, true
}
