package main

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/wazuh-pulse/pulse/event"
)

func TestASubjectThatNoMessageHasIsRefused(t *testing.T) {
	for _, good := range []string{"wazuh.xdr.>", "wazuh.xdr.agent.>", "wazuh.xdr.*.*.*", "wazuh.xdr.agent.001.status_change", "wazuh.xdr.agent.*.status_change",
		"wazuh.xdr.alerts.*", "wazuh.xdr.alerts.node_lost", "wazuh.xdr.manager.status.node01", "wazuh.xdr.manager.*.*", "ocsf.>", ">", "*.xdr.alerts.>", "wazuh.xdrs.x"} {
		if err := checkSubject(good, "wazuh.xdr"); err != nil {
			t.Error(err)
		}
	}
	for bad, want := range map[string]string{"wazuh.xdr.agent.001.status_chang": "wazuh.xdr.agent.001.status_change", "wazuh.xdr.agents.001.status_change": "wazuh.xdr.agent.001.status_change",
		"wazuh.xdr.alert.node_lost": "wazuh.xdr.alerts.node_lost", "wazuh.xdr.manager.state.node01": "wazuh.xdr.manager.status.node01",
		"wazuh.xdr.*": "", "wazuh.xdr.alerts": "", "wazuh.xdr.agent.001": "", "wazuh.xdr.alerts.*.x": "", "wazuh.xdr.": ""} {
		err := checkSubject(bad, "wazuh.xdr")
		if err == nil || want != "" && !strings.HasSuffix(err.Error(), "did you mean "+want+"?") {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

func TestEverySubjectOfAMessageIsListed(t *testing.T) {
	prefix := event.Prefix("p")
	list := listSubjects(prefix)
	for name, method := range reflect.ValueOf(prefix).Methods() {
		subject := ""
		switch of := method.Interface().(type) {
		case func() string:
			subject = of()
		case func(string) string:
			subject = of("*")
		}
		if subject != "" && name.Name != "All" && !slices.Contains(list, subject) {
			t.Errorf("%s is not listed", subject)
		}
	}
}
