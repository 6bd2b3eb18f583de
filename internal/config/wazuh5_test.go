package config

import (
	"os"
	"path/filepath"
	"testing"
)

const managersFile5 = `<wazuh_config>
  <global><agents_disconnection_time>15m</agents_disconnection_time></global>
  <remote><legacy><enabled>yes</enabled><port>1514</port></legacy><port>1517</port><local_ip>127.0.0.1</local_ip></remote>
  <cluster><name>wazuh</name><node_name>worker7</node_name><node_type>worker</node_type></cluster>
</wazuh_config>
`

func makeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestTheSettingsOfWazuh5AreRead(t *testing.T) {
	dir := t.TempDir()
	makeFile(t, filepath.Join(dir, managerFile5), managersFile5)
	if m, err := ReadManager(dir); err != nil || m.NodeName != "worker7" || !m.Clustered || !m.Worker || len(m.Cautions) > 0 {
		t.Errorf("%+v, %v", m, err)
	}
	l, err := Load(filepath.Join(dir, managerFile5))
	if err != nil || l.Pulse.NodeName != "worker7" || len(l.Warnings) > 0 {
		t.Fatalf("%+v, %v", l, err)
	}
	if l.Remote.Port != 1514 || l.Remote.LocalIP.String() != "0.0.0.0" {
		t.Errorf("its ports are not Pulse's: %v:%d", l.Remote.LocalIP, l.Remote.Port)
	}
	makeFile(t, filepath.Join(dir, "pulse.conf"), "<ossec_config><pulse><home>"+dir+"</home></pulse></ossec_config>")
	if l, err = Load(filepath.Join(dir, "pulse.conf")); err != nil || l.Pulse.NodeName != "worker7" {
		t.Errorf("%+v, %v", l, err)
	}
}

func TestTheManagerOfThisHostIsFound(t *testing.T) {
	for name, c := range map[string]struct {
		files4, files5 []string
		want5          bool
	}{
		"none":                          {nil, nil, false},
		"of Wazuh 4":                    {[]string{managersDatabase}, nil, false},
		"of Wazuh 5":                    {nil, []string{managerFile5, managersDatabase}, true},
		"of Wazuh 5, beside an agent":   {[]string{"etc/client.keys", "etc/ossec.conf"}, []string{managersDatabase}, true},
		"of Wazuh 5, not yet started":   {nil, []string{managerFile5}, true},
		"of both, of which the old one": {[]string{managersDatabase}, []string{managersDatabase}, false},
	} {
		home4, home5 := filepath.Join(t.TempDir(), "ossec"), filepath.Join(t.TempDir(), "wazuh-manager")
		for _, file := range c.files4 {
			makeFile(t, filepath.Join(home4, file), "")
		}
		for _, file := range c.files5 {
			makeFile(t, filepath.Join(home5, file), "")
		}
		got, both := findHome(home4, home5)
		if (got == home5) != c.want5 || both != (c.files4 != nil && c.files5 != nil && !c.want5) {
			t.Errorf("%s: %s, both %v", name, got, both)
		}
	}
}

// Before its first start a manager of Wazuh 5 has settings, and no database and no client.keys.
func TestBesideAManagerOfWazuh5ThatHasNotRunNoKeysAreNeeded(t *testing.T) {
	dir := t.TempDir()
	l := mustRead(t, "<ossec_config><pulse><home>"+dir+"</home></pulse></ossec_config>")
	if !l.isFileUsed(pathClientKeys) {
		t.Error("as the agents' manager it needs none")
	}
	makeFile(t, filepath.Join(dir, managerFile5), managersFile5)
	if l.isFileUsed(pathClientKeys) {
		t.Error("it needs client.keys")
	}
}
