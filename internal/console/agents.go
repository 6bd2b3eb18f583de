package console

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strconv"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/view"
)

// Agent is one agent, as the API has it.
type Agent struct {
	view.Agent
	Group   string `json:"group,omitempty"`   // the <agent_group> it belongs to
	Network string `json:"network,omitempty"` // the /24 of IPv4 or /64 of IPv6 it is in
}

// Agents is one page of the fleet, as /api/v1/agents has it.
type Agents struct {
	Node   string  `json:"node"`
	Total  int     `json:"total"` // agents that match, on all pages
	Agents []Agent `json:"agents"`
	Next   string  `json:"next,omitempty"` // the cursor of the next page
}

const (
	defaultPageSize = 100
	maxPageSize     = 1000
)

func (s *Server) handleAgentList(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	want, err := s.parseFilter(query)
	var sorted *order
	if err == nil {
		sorted, err = parseOrder(query.Get("sort"), query.Get("cursor"))
	}
	limit := defaultPageSize
	if text := query.Get("limit"); err == nil && text != "" {
		if limit, err = strconv.Atoi(text); err != nil || limit < 1 || limit > maxPageSize {
			err = fmt.Errorf("limit: want a whole number from 1 to %d", maxPageSize)
		}
	}
	if err == nil {
		err = checkParameterNames(query, append(filterFields, "sort", "cursor", "limit"))
	}
	if err != nil {
		sendProblem(w, http.StatusBadRequest, err.Error())
		return
	}
	var total int
	var found []keyed
	if !s.scanFleet(r, func(page []detector.Record) {
		for i := range page {
			if !want.matches(&page[i]) {
				continue
			}
			total++
			if k := sorted.key(&page[i]); sorted.comesNow(&k) {
				found = append(found, keyed{k, page[i]})
			}
		}
		if len(found) > 2*(limit+1) {
			found = sorted.first(found, limit+1)
		}
	}) {
		sendProblem(w, http.StatusServiceUnavailable, "too many clients read the fleet, or the node is ending: try again in a second")
		return
	}
	found = sorted.first(found, limit+1)
	list := Agents{Node: s.cfg.Node, Total: total, Agents: []Agent{}}
	for i := range found {
		if i == limit {
			list.Next = found[i-1].key.cursor()
			break
		}
		list.Agents = append(list.Agents, s.presentAgent(&found[i].Record))
	}
	sendJSON(w, list)
}

func (s *Server) presentAgent(r *detector.Record) Agent {
	return Agent{view.NewAgent(r, s.cfg.Clock), s.groupName(r.Group), networkOf(r.IP)}
}

func (s *Server) groupName(n int) string {
	names := s.groupNames()
	if n < 1 || n > len(names) {
		return ""
	}
	return names[n-1]
}

// scanFleet reads the whole fleet when there is a place for it, and reports whether
// it did.
func (s *Server) scanFleet(r *http.Request, see func(page []detector.Record)) bool {
	select {
	case s.scanSlots <- struct{}{}:
		defer func() { <-s.scanSlots }()
	case <-r.Context().Done():
		return false
	case <-s.ctx.Done():
		return false
	}
	for n, more := 0, true; more; n++ {
		if r.Context().Err() != nil || s.ctx.Err() != nil {
			return false
		}
		var page []detector.Record
		page, more = s.cfg.Fleet.Page(n)
		see(page)
	}
	return true
}

// networkOf returns the network that an address is in: "" if there is no address yet.
func networkOf(ip string) string {
	if addr, err := netip.ParseAddr(ip); err == nil {
		return networkAt(addr).String()
	}
	if _, err := netip.ParsePrefix(ip); err == nil {
		return ip // what it is registered under
	}
	return ""
}

func networkAt(addr netip.Addr) netip.Prefix {
	bits := 64
	if addr = addr.Unmap().WithZone(""); addr.Is4() {
		bits = 24
	}
	network, _ := addr.Prefix(bits) // the bits fit
	return network
}

// checkParameterNames refuses parameters that nobody reads: a misspelt filter would match everything.
func checkParameterNames(query map[string][]string, names []string) error {
	for name, values := range query {
		if !slices.Contains(names, name) {
			slices.Sort(names)
			return fmt.Errorf("unknown parameter %.40q: known are %v", name, names)
		}
		if len(values) > 1 {
			return fmt.Errorf("parameter %q is there twice", name)
		}
	}
	return nil
}
