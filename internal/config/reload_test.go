package config

import (
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestReloadTakesWhatCanChangeWhileANodeRuns(t *testing.T) {
	was := mustRead(t, "<ossec_config><remote><manager_keepalive><interval>60</interval>"+
		"<agent_group name=\"old\"><ids>001</ids><timeout>90</timeout></agent_group></manager_keepalive></remote></ossec_config>")
	next := mustRead(t, "<ossec_config><remote><port>1600</port><manager_keepalive><interval>5</interval><timeout>2m</timeout><method>ack</method>"+
		"<agent_group name=\"new\"><names>web-*</names><high_alert_threshold>3</high_alert_threshold></agent_group></manager_keepalive></remote>"+
		"<nats><high_alert_threshold>6</high_alert_threshold><subject_prefix>a.b</subject_prefix></nats><pulse><log_level>debug</log_level></pulse></ossec_config>")
	now, changed, waiting := was.Reload(&next.Config)
	want := next.Config
	want.Remote.Port, want.KeepAlive.Method, want.NATS.SubjectPrefix = 1514, "request", "wazuh.xdr"
	if diff := cmp.Diff(want, now, cmpopts.EquateComparable(want.Remote.LocalIP)); diff != "" {
		t.Error(diff)
	}
	paths := func(list []Change) (all []string) {
		for _, c := range list {
			all = append(all, c.Path+" "+c.Was+"→"+c.Is)
		}
		return all
	}
	const k, old, fresh = "ossec_config/remote/manager_keepalive/", "agent_group[@name='old']/", "agent_group[@name='new']/"
	if diff := cmp.Diff([]string{k + "interval 60→5", k + "timeout 180→120", k + fresh + "names →web-*", k + fresh + "interval →5", k + fresh + "timeout →120",
		k + fresh + "max_missed →3", k + fresh + "high_alert_threshold →3", "ossec_config/nats/high_alert_threshold 8→6", "ossec_config/pulse/log_level info→debug",
		k + old + "ids 001→", k + old + "interval 60→", k + old + "timeout 90→", k + old + "max_missed 3→", k + old + "high_alert_threshold 8→"}, paths(changed)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"ossec_config/remote/port 1514→1600", k + "method request→ack", "ossec_config/nats/subject_prefix wazuh.xdr→a.b"}, paths(waiting)); diff != "" {
		t.Error(diff)
	}
	if _, changed, waiting := now.Reload(&now); len(changed)+len(waiting) > 0 {
		t.Errorf("changed by itself: %v %v", changed, waiting)
	}
}

// What is printed of each setting is understood again, as a reload relies on.
func TestEverySettingIsReadAsItIsPrinted(t *testing.T) {
	full := loadFull(t)
	c := Default()
	for _, s := range table {
		if err := s.field(&c).parse(s.field(&full.Config).String()); err != nil {
			t.Errorf("%s: %v", s.path, err)
		}
	}
	c.Groups = full.Groups
	if !reflect.DeepEqual(c, full.Config) {
		t.Error(cmp.Diff(full.Config, c, cmpopts.EquateComparable(c.Remote.LocalIP)))
	}
}
