package console

import (
	"cmp"
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

// key is by what an agent is sorted. Agents that are equal are sorted by ID.
type key struct {
	Number int64            `json:"n,omitempty"`
	Text   string           `json:"t,omitempty"`
	ID     detector.AgentID `json:"i"`
}

type keyed struct {
	key key
	detector.Record
}

// keys are what the fleet can be sorted by.
var keys = map[string]func(r *detector.Record) key{
	"id":        func(*detector.Record) key { return key{} },
	"name":      func(r *detector.Record) key { return key{Text: r.Name} },
	"ip":        func(r *detector.Record) key { return key{Text: sortable(r.IP)} },
	"status":    func(r *detector.Record) key { return key{Number: int64(r.Status)} },
	"group":     func(r *detector.Record) key { return key{Number: int64(r.Group)} },
	"since":     func(r *detector.Record) key { return key{Number: int64(r.Since)} },
	"last_seen": func(r *detector.Record) key { return key{Number: int64(r.LastSeen)} },
	"missed":    func(r *detector.Record) key { return key{Number: int64(r.Missed)} },
	"rtt":       func(r *detector.Record) key { return key{Number: int64(r.RTT)} },
}

// sortable writes an address so that text is in the order of addresses.
func sortable(ip string) string {
	addr, err := netip.ParseAddr(ip)
	if err != nil {
		return "~" + ip // behind all addresses
	}
	return fmt.Sprintf("%x", addr.As16())
}

// order is how the fleet is sorted, and where a page begins.
type order struct {
	by    func(r *detector.Record) key
	down  bool
	after *key // nil: at the beginning
}

func parseOrder(sort, cursor string) (*order, error) {
	o := new(order)
	name, down := strings.CutPrefix(cmp.Or(sort, "id"), "-")
	o.down = down
	var ok bool
	if o.by, ok = keys[name]; !ok {
		return nil, fmt.Errorf("sort %.40q: want one of %s, with - before it for the other way", sort, strings.Join(slices.Sorted(maps.Keys(keys)), ", "))
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

func (k *key) cursor() string {
	text, _ := json.Marshal(k)
	return base64.RawURLEncoding.EncodeToString(text)
}

func (o *order) key(r *detector.Record) key {
	k := o.by(r)
	k.ID = r.ID
	return k
}

func (o *order) compare(a, b *key) int {
	c := cmp.Or(cmp.Compare(a.Number, b.Number), strings.Compare(a.Text, b.Text), cmp.Compare(a.ID, b.ID))
	if o.down {
		return -c
	}
	return c
}

// comesNow reports whether an agent is on this page or a later one.
func (o *order) comesNow(k *key) bool { return o.after == nil || o.compare(o.after, k) < 0 }

// first returns the first n, in order.
func (o *order) first(found []keyed, n int) []keyed {
	slices.SortFunc(found, func(a, b keyed) int { return o.compare(&a.key, &b.key) })
	return found[:min(n, len(found))]
}
