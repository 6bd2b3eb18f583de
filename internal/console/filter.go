package console

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"path"
	"strings"

	"github.com/wazuh-pulse/pulse/internal/detector"
)

// filter says which agents are wanted. What is not set wants all.
type filter struct {
	status  [4]bool // all false: any
	some    bool    // some are true
	text    string  // lower case, in the id, name or address
	name    string  // pattern, as path.Match has it
	address string
	group   string
	network netip.Prefix

	groups []string
}

var filterFields = []string{"status", "q", "name", "address", "group", "network"}

func (s *Server) parseFilter(query url.Values) (*filter, error) {
	f := &filter{text: strings.ToLower(query.Get("q")), name: query.Get("name"), address: query.Get("address"),
		group: query.Get("group"), groups: s.groupNames()}
	for word := range strings.SplitSeq(query.Get("status"), ",") {
		if word == "" {
			continue
		}
		status, ok := detector.ParseStatus(word)
		if !ok {
			return nil, fmt.Errorf("status %.40q: want active, disconnected, pending or never_connected, several separated by commas", word)
		}
		f.status[status], f.some = true, true
	}
	for field, pattern := range map[string]string{"name": f.name, "address": f.address, "group": f.group} {
		if _, err := path.Match(pattern, ""); err != nil {
			return nil, fmt.Errorf("%s %.80q: want a pattern such as web-*", field, pattern)
		}
	}
	if text := query.Get("network"); text != "" {
		network, err := netip.ParsePrefix(text)
		if err != nil || network != network.Masked() {
			return nil, errors.New("network: want one such as 10.1.2.0/24")
		}
		f.network = network
	}
	return f, nil
}

func (f *filter) matches(r *detector.Record) bool {
	switch {
	case f.some && !f.status[r.Status]:
		return false
	case f.text != "" && !f.found(r):
		return false
	case f.name != "" && !fits(f.name, r.Name), f.address != "" && !fits(f.address, r.IP):
		return false
	case f.group != "" && (r.Group < 1 || r.Group > len(f.groups) || !fits(f.group, f.groups[r.Group-1])):
		return false
	case f.network.IsValid():
		addr, err := netip.ParseAddr(r.IP)
		return err == nil && f.network.Contains(addr.Unmap())
	}
	return true
}

func (f *filter) found(r *detector.Record) bool {
	return strings.Contains(strings.ToLower(r.Name), f.text) || strings.Contains(r.IP, f.text) || strings.Contains(r.ID.String(), f.text)
}

func fits(pattern, text string) bool {
	ok, _ := path.Match(pattern, text) // it was looked at
	return ok
}
