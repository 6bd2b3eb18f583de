package demo

import (
	"strings"
	"testing"
)

func TestADemoThatTakesMoreFilesThanThereMayBeIsRefused(t *testing.T) {
	for _, tt := range []struct {
		agents, each int
		limit        uint64
		want         string
	}{
		{50, agentFiles, 1024, ""},
		{362, agentFiles, 1024, ""},
		{363, agentFiles, 1024, "--agents 363 takes 1026 open files, and this process may have 1024: take fewer, or allow more with ulimit -n 1026"},
		{5000, clusterAgentFiles, 20000, "ulimit -n 20300"},
		{50, clusterAgentFiles, 64, "ulimit -n 500"},
	} {
		err := compareOpenFiles(tt.agents, tt.each, tt.limit)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%d agents, %d files: %v", tt.agents, tt.limit, err)
		}
	}
}
