package console

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"unique"

	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/evidence"
	"github.com/wazuh-pulse/pulse/internal/view"
)

const (
	defaultPageSize = 100
	maxPageSize     = 1000
)

func (s *Server) handleAgentList(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	want, err := s.parseAgentFilter(query)
	var order *view.Order
	if err == nil {
		order, err = view.ParseOrder(query.Get("sort"), query.Get("cursor"))
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
	want.Nodes = view.MatchNodes(s.cfg.Fleet, s.cfg.Node, query.Get("node"))
	var total int
	var found []view.Listed
	if !s.runFleetScan(r, func(ctx context.Context) (err error) {
		total, found, err = view.ListAgents(ctx, s.cfg.Fleet, want, order, limit+1)
		return err
	}) {
		sendProblem(w, http.StatusServiceUnavailable, "too many clients read the fleet, or the node is ending: try again in a second")
		return
	}
	page := view.AgentPage{Node: s.cfg.Node, Total: total, Agents: []view.LocatedAgent{}}
	for i := range found {
		if i == limit {
			page.Next = found[i-1].Cursor()
			break
		}
		page.Agents = append(page.Agents, s.presentAgent(&found[i].Record))
	}
	sendJSON(w, page)
}

var filterFields = []string{"status", "dormant", "q", "name", "address", "group", "os", "version", "network", "node"}

func (s *Server) parseAgentFilter(query url.Values) (*view.Filter, error) {
	f := &view.Filter{Text: strings.ToLower(query.Get("q")), Name: query.Get("name"), Address: query.Get("address"),
		Group: query.Get("group"), Groups: s.groupNames(), OS: strings.ToLower(query.Get("os")), Version: query.Get("version")}
	for word := range strings.SplitSeq(query.Get("status"), ",") {
		if word == "" {
			continue
		}
		status, ok := detector.ParseStatus(word)
		if !ok {
			return nil, fmt.Errorf("status %.40q: want active, disconnected, pending or never_connected, several separated by commas", word)
		}
		f.Statuses[status] = true
	}
	if word := query.Get("dormant"); word != "" {
		dormant := word == "yes"
		if !dormant && word != "no" {
			return nil, fmt.Errorf("dormant %.40q: want yes or no", word)
		}
		f.Dormant = &dormant
	}
	for field, pattern := range map[string]string{"name": f.Name, "address": f.Address, "group": f.Group, "os": f.OS, "version": f.Version, "node": query.Get("node")} {
		if _, err := path.Match(pattern, ""); err != nil {
			return nil, fmt.Errorf("%s %.80q: want a pattern such as web-*", field, pattern)
		}
	}
	if text := query.Get("network"); text != "" {
		network, err := netip.ParsePrefix(text)
		if err != nil || network != network.Masked() {
			return nil, errors.New("network: want one such as 10.1.2.0/24")
		}
		f.Network = network
	}
	return f, nil
}

func (s *Server) presentAgent(r *detector.Record) view.LocatedAgent {
	return view.LocatedAgent{Agent: view.NewAgent(s.cfg.Fleet, r, s.cfg.Clock), Group: s.groupName(r.Group), Network: view.NetworkOf(r.IP)}
}

func (s *Server) groupName(n int) string {
	names := s.groupNames()
	if n < 1 || n > len(names) {
		return ""
	}
	return names[n-1]
}

// runFleetScan runs a reader of the whole fleet, as soon as less than maxScans others run. It
// reports whether the fleet was read to its end.
func (s *Server) runFleetScan(r *http.Request, read func(context.Context) error) bool {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()
	select {
	case s.scanSlots <- struct{}{}:
		defer func() { <-s.scanSlots }()
	case <-ctx.Done():
		return false
	}
	return s.ctx.Err() == nil && read(ctx) == nil
}

// checkParameterNames returns an error for unknown parameters: a misspelt filter would
// match every agent.
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

// handleFleetMap answers with the whole fleet in a compact form, for the dashboard: {"node":…,"last_event_id":…,"groups":[…],"agents":[[id,name,ip,status,group,info],…],"infos":[…]},
// where status is its number in messages, group the index in groups, -1 for none, and info
// that in infos, which many agents share. A silenced agent has a 1 behind that. In a cluster
// there is nodes, too, the names of all, and behind the 1, or 0, the index of the agent's node.
//
// The event is the last before the first page was read: a client that reads the events
// after it misses none, and gets some that the map has already.
func (s *Server) handleFleetMap(w http.ResponseWriter, r *http.Request) {
	out, finish := newPackedWriter(w, r)
	defer finish()
	nodes := view.NodeNames(s.cfg.Fleet)
	head, _ := json.Marshal(struct {
		Node   string   `json:"node"`
		Last   string   `json:"last_event_id"`
		Groups []string `json:"groups"`
		Nodes  []string `json:"nodes,omitempty"`
	}{s.cfg.Node, strconv.FormatUint(s.cfg.Epoch, 10) + "-" + strconv.FormatUint(s.cfg.History.LastSequence(), 10), append([]string{}, s.groupNames()...), nodes})
	_, _ = out.Write(head[:len(head)-1])
	_, _ = out.WriteString(`,"agents":[`)
	separator, infos := "", newInfoTable()
	whole := s.runFleetScan(r, func(ctx context.Context) error {
		return view.ReadFleet(ctx, s.cfg.Fleet, func(page []detector.Record) {
			for i := range page {
				a := &page[i]
				row := []any{a.ID.String(), a.Name, a.IP, a.Status, a.Group - 1, infos.indexOf(a.Info)}
				if a.Silenced {
					row = append(row, 1)
				} else if nodes != nil {
					row = append(row, 0)
				}
				if nodes != nil {
					row = append(row, a.Node)
				}
				text, _ := json.Marshal(row)
				_, _ = out.WriteString(separator)
				_, _ = out.Write(text)
				separator = ","
			}
		})
	})
	if whole { // otherwise it is cut off, and no JSON
		text, _ := json.Marshal(infos.list)
		_, _ = out.WriteString(`],"infos":`)
		_, _ = out.Write(text)
		_, _ = out.WriteString("}\n")
	}
}

// infoTable numbers what is known of agents, which is the same of many.
type infoTable struct {
	index map[unique.Handle[detector.Info]]int
	list  []event.AgentInfo
}

func newInfoTable() *infoTable {
	return &infoTable{index: make(map[unique.Handle[detector.Info]]int), list: []event.AgentInfo{}}
}

func (t *infoTable) indexOf(i unique.Handle[detector.Info]) int {
	n, known := t.index[i]
	if !known {
		n = len(t.list)
		t.index[i] = n
		t.list = append(t.list, evidence.InfoMessage(detector.ReadInfo(i)))
	}
	return n
}
