package view

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/wazuh-pulse/pulse/internal/detector"
)

// Fleet is read page by page; each page interrupts the detector for a moment.
type Fleet interface {
	Page(n int) (page []detector.Record, more bool)
}

// Joined is a fleet of several nodes. Its pages are read in one go, from the first.
type Joined interface{ BeginReading() Fleet }

// ReadFleet calls read with every page of a fleet. It returns ctx's error if that ends
// before the last page.
func ReadFleet(ctx context.Context, fleet Fleet, read func(page []detector.Record)) error {
	if joined, ok := fleet.(Joined); ok {
		fleet = joined.BeginReading()
	}
	for n, more := 0, true; more; n++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		var page []detector.Record
		page, more = fleet.Page(n)
		read(page)
	}
	return nil
}

// Listed is an agent in a list, with its place in the list's order.
type Listed struct {
	detector.Record
	key sortKey
}

// Cursor returns the cursor of the page that begins after the agent.
func (l *Listed) Cursor() string {
	text, _ := json.Marshal(l.key)
	return base64.RawURLEncoding.EncodeToString(text)
}

// ListAgents reads a fleet. It returns how many agents match the filter, and the first n
// of these after the order's cursor. The result is complete unless there is an error.
func ListAgents(ctx context.Context, fleet Fleet, f *Filter, o *Order, n int) (total int, list []Listed, err error) {
	var last *sortKey // of the first n so far
	err = ReadFleet(ctx, fleet, func(page []detector.Record) {
		for i := range page {
			r := &page[i]
			if !f.Matches(r) {
				continue
			}
			total++
			k := o.keyOf(r)
			if (o.after == nil || o.compareKeys(o.after, &k) < 0) && (last == nil || o.compareKeys(&k, last) < 0) {
				list = append(list, Listed{*r, k})
			}
		}
		if len(list) > 2*n {
			list = o.sortFirst(list, n)
			k := list[n-1].key
			last = &k
		}
	})
	return total, o.sortFirst(list, n), err
}

// sortKey is what an agent is sorted by. Agents with equal values are sorted by ID. As
// JSON in base64 it is a cursor.
type sortKey struct {
	Number int64            `json:"n,omitempty"`
	Text   string           `json:"t,omitempty"`
	ID     detector.AgentID `json:"i"`
}

// sortFields are the fields by which the fleet can be sorted.
var sortFields = map[string]func(r *detector.Record) sortKey{
	"id":        func(*detector.Record) sortKey { return sortKey{} },
	"name":      func(r *detector.Record) sortKey { return sortKey{Text: r.Name} },
	"ip":        func(r *detector.Record) sortKey { return sortKey{Text: sortableAddress(r.IP)} },
	"status":    func(r *detector.Record) sortKey { return sortKey{Number: int64(r.Status)} },
	"group":     func(r *detector.Record) sortKey { return sortKey{Number: int64(r.Group)} },
	"since":     func(r *detector.Record) sortKey { return sortKey{Number: int64(r.Since)} },
	"last_seen": func(r *detector.Record) sortKey { return sortKey{Number: int64(r.LastSeen)} },
	"missed":    func(r *detector.Record) sortKey { return sortKey{Number: int64(r.Missed)} },
	"rtt":       func(r *detector.Record) sortKey { return sortKey{Number: int64(r.RTT)} },
}

// sortableAddress returns an address as text that sorts as addresses do.
func sortableAddress(ip string) string {
	addr, err := netip.ParseAddr(ip)
	if err != nil {
		return "~" + ip // after all addresses
	}
	return fmt.Sprintf("%x", addr.As16())
}

// Order is how a list is sorted, and where its page begins.
type Order struct {
	field      func(r *detector.Record) sortKey
	descending bool
	after      *sortKey // nil for the beginning
}

// ParseOrder returns the order by a field, with - before it for descending ("" for id),
// that begins at a cursor ("" for the beginning).
func ParseOrder(sort, cursor string) (*Order, error) {
	o := new(Order)
	name, descending := strings.CutPrefix(cmp.Or(sort, "id"), "-")
	o.descending = descending
	var ok bool
	if o.field, ok = sortFields[name]; !ok {
		return nil, fmt.Errorf("sort %.40q: want one of %s, with - before it for the other way", sort, strings.Join(slices.Sorted(maps.Keys(sortFields)), ", "))
	}
	if cursor == "" {
		return o, nil
	}
	text, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil || json.Unmarshal(text, &o.after) != nil || o.after == nil {
		return nil, errors.New("cursor: want the next of the page before")
	}
	return o, nil
}

// OrderByID returns the order by ID that begins after one.
func OrderByID(after detector.AgentID) *Order {
	return &Order{field: sortFields["id"], after: &sortKey{ID: after}}
}

func (o *Order) keyOf(r *detector.Record) sortKey {
	k := o.field(r)
	k.ID = r.ID
	return k
}

func (o *Order) compareKeys(a, b *sortKey) int {
	c := cmp.Or(cmp.Compare(a.Number, b.Number), strings.Compare(a.Text, b.Text), cmp.Compare(a.ID, b.ID))
	if o.descending {
		return -c
	}
	return c
}

// sortFirst returns the first n, sorted.
func (o *Order) sortFirst(list []Listed, n int) []Listed {
	slices.SortFunc(list, func(a, b Listed) int { return o.compareKeys(&a.key, &b.key) })
	return list[:min(n, len(list))]
}
