package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// writeFiles writes files of a directory, by their names below it.
func writeFiles(t *testing.T, files map[string]string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func namesOf(dir string, paths []string) (names []string) {
	for _, path := range paths {
		name, _ := strings.CutPrefix(path, dir+"/")
		names = append(names, name)
	}
	return names
}

func TestFilesOfTheDirectoryBesideAreReadBehindASettingsFileInTheirOrder(t *testing.T) {
	level := func(name string) string { return in("pulse", "<log_level>"+name+"</log_level>") }
	dir := writeFiles(t, map[string]string{
		"pulse.conf": level("error"), "pulse.d/10-a.conf": level("warn"), "pulse.d/9-b.conf": level("debug"), "pulse.d/.#x.conf": "<broken",
		"pulse.d/nats.conf.bak": "<broken", "pulse.d/README": "text", "pulse.d/more/x.conf": "<broken", "more.conf": level("info"), "more.d/z.conf": in("pulse", "<node_name>n1</node_name>"),
	})
	path := filepath.Join(dir, "pulse.conf")
	for _, load := range []func() (*Loaded, error){
		func() (*Loaded, error) { return Load(path) },
		func() (*Loaded, error) { return loadFiles(path, nil) },
	} {
		l, err := load()
		if err != nil {
			t.Fatal(err)
		}
		if got := namesOf(dir, l.Files); !slices.Equal(got, []string{"pulse.conf", "pulse.d/10-a.conf", "pulse.d/9-b.conf"}) || l.Pulse.LogLevel != "debug" {
			t.Errorf("%v, %s", got, l.Pulse.LogLevel)
		}
	}
	l, err := Load(path, filepath.Join(dir, "more.conf"))
	if err != nil || l.Pulse.LogLevel != "info" || l.Pulse.NodeName != "n1" || len(l.Files) != 5 {
		t.Errorf("%v, %v", l.Files, err)
	}
}

func TestTheDirectoryIsReadWithoutTheDefaultFileAndNotInThePlaceOfANamedOne(t *testing.T) {
	dir := writeFiles(t, map[string]string{"pulse.d/nats.conf": in("pulse", "<node_name>n1</node_name>")})
	path := filepath.Join(dir, "pulse.conf")
	if l, err := loadFiles(path, nil); err != nil || l.Pulse.NodeName != "n1" {
		t.Errorf("%+v, %v", l, err)
	}
	if _, err := Load(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
}

func TestWhatFilesSayDifferentlyIsShownWithBothPlaces(t *testing.T) {
	level := func(name string) string { return in("pulse", "<log_level>"+name+"</log_level>") }
	dir := writeFiles(t, map[string]string{"pulse.conf": level("error"), "pulse.d/a.conf": level("warn"), "pulse.d/b.conf": level("debug")})
	replaces := func(l *Loaded, path string) string {
		i := slices.IndexFunc(l.Settings(), func(s Setting) bool { return s.Path == "ossec_config/"+path })
		return l.Settings()[i].DescribeSource()
	}
	path := filepath.Join(dir, "pulse.conf")
	l, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := replaces(l, "pulse/log_level"), dir+"/pulse.d/b.conf:3, in place of "+dir+"/pulse.d/a.conf:3"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if len(l.Warnings) > 0 {
		t.Errorf("%v", l.Warnings)
	}
	if l, err = Load(path, path); err != nil || len(l.Warnings) > 0 {
		t.Errorf("a file that is given twice: %v, %v", l.Warnings, err)
	}
	same := mustRead(t, level("warn"), level("warn"))
	if got := replaces(same, "pulse/log_level"); strings.Contains(got, "in place of") {
		t.Errorf("the same value twice: %s", got)
	}
}

func TestTwoValuesOfOneSettingInOneFileAreAWarning(t *testing.T) {
	for text, want := range map[string]string{
		in("nats", "<enabled>no</enabled>") + "\n" + in("nats", "<enabled>yes</enabled>"):                                                   "pulse.conf:8: <enabled> is set on line 3, too: the last one counts; keep one",
		"<ossec_config>\n<remote><port>1</port></remote>\n<remote><port>2</port></remote><pulse></pulse></ossec_config>":                    "pulse.conf:3: <port> is set on line 2, too: the last one counts; keep one",
		"<ossec_config>\n<cluster><enabled>yes</enabled></cluster>\n<cluster><enabled>no</enabled></cluster><pulse></pulse></ossec_config>": "pulse.conf:3: <enabled> is set on line 2, too: the last one counts; keep one",
		in("nats", "<enabled>no</enabled>") + "\n" + in("nats", "<enabled>no</enabled>", "<max_reconnects>5</max_reconnects>"):              "",
	} {
		got := ""
		for _, w := range mustRead(t, text).Warnings {
			got += w.Error()
		}
		if got != want {
			t.Errorf("%s:\ngot  %s\nwant %s", text, got, want)
		}
	}
}

func TestAMistakeInTheDirectoryIsNamedAndTooManyFilesAreRefused(t *testing.T) {
	files := map[string]string{"pulse.conf": "", "pulse.d/a.conf": in("pulse", "<node_nam>n1</node_nam>")}
	dir := writeFiles(t, files)
	if _, err := Load(filepath.Join(dir, "pulse.conf")); err == nil || !strings.Contains(err.Error(), "pulse.d/a.conf:") {
		t.Errorf("%v", err)
	}
	clear(files)
	for i := range maxDropIns + 1 {
		files[fmt.Sprintf("pulse.d/%d.conf", i)] = ""
	}
	files["pulse.conf"] = ""
	if _, err := Load(filepath.Join(writeFiles(t, files), "pulse.conf")); err == nil || !strings.Contains(err.Error(), "101 settings files") {
		t.Errorf("%v", err)
	}
	dir = writeFiles(t, map[string]string{"pulse.conf": "", "pulse.d": "a file"})
	if _, err := Load(filepath.Join(dir, "pulse.conf")); err == nil || !strings.Contains(err.Error(), "pulse.d") {
		t.Errorf("%v", err)
	}
}

func TestFilesWithSettingsThatNobodyReadsAreFound(t *testing.T) {
	ours, managers := in("nats", "<enabled>no</enabled>"), "<ossec_config><global/></ossec_config>"
	dir := writeFiles(t, map[string]string{
		"pulse.conf": ours, "pulse-nats.conf": ours, "ossec.conf": managers, "other.conf": "[ini]", "pulse.conf.bak": ours, ".hidden.conf": ours,
		"pulse.d/nats.xml": ours, "pulse.d/a.conf": ours, "pulse.d/b.conf.disabled": ours, "pulse.d/README": "what <nats> is for",
		"home/etc/pulse.conf": in("pulse", ""), "home/etc/ossec.conf": managers,
	})
	if err := os.Symlink("pulse.conf", filepath.Join(dir, "link.conf")); err != nil {
		t.Fatal(err)
	}
	l, err := Load(filepath.Join(dir, "pulse.conf"))
	if err != nil {
		t.Fatal(err)
	}
	l.Pulse.Home = filepath.Join(dir, "home")
	var paths []string
	for _, f := range l.FindUnreadFiles() {
		paths = append(paths, f.Path)
		if f.Hint == "" {
			t.Errorf("no hint for %s", f.Path)
		}
	}
	if got := namesOf(dir, paths); !slices.Equal(got, []string{"pulse-nats.conf", "pulse.d/nats.xml", "home/etc/pulse.conf"}) {
		t.Errorf("%v", got)
	}
}

func TestAFileOfTheClusterAloneIsOneOfPulse(t *testing.T) {
	if l := mustRead(t, "<ossec_config><cluster><enabled>yes</enabled></cluster></ossec_config>"); !l.Cluster.Enabled {
		t.Error("<cluster><enabled> has no effect in a file of its own")
	}
}

func TestABlockOfPulseThatWouldBeIgnoredIsRefused(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"in capitals", "<ossec_config>\n<NATS><enabled>no</enabled></NATS></ossec_config>", "pulse.conf:2: <NATS> is no block of Pulse; did you mean <nats>?"},
		{"beside a block of the manager", "<ossec_config><cluster/>\n<Pulse/></ossec_config>", "pulse.conf:2: <Pulse> is no block of Pulse; did you mean <pulse>?"},
		{"misspelt", "<ossec_config>\n<natz/></ossec_config>", "pulse.conf:2: <natz> is no block of Pulse; did you mean <nats>?"},
		{"remote in capitals", "<ossec_config>\n<REMOTE/></ossec_config>", "did you mean <remote>?"},
		{"in <remote>", "<ossec_config><remote>\n<nats/></remote></ossec_config>", "pulse.conf:2: <nats> is in a place where it has no effect"},
		{"in <remote> of syslog", "<ossec_config><remote><connection>syslog</connection>\n<Pulse/></remote></ossec_config>", "pulse.conf:2: <Pulse> is in a place"},
		{"keep-alives in capitals", "<ossec_config><remote>\n<MANAGER_KEEPALIVE/></remote></ossec_config>", "did you mean <manager_keepalive>?"},
		{"keep-alives elsewhere", "<ossec_config><global>\n<manager_keepalive/></global></ossec_config>", "move it into the <remote>"},
		{"in a block of the manager", "<ossec_config><global><a>\n<nats/></a></global></ossec_config>", "pulse.conf:2: <nats> is in a place"},
		{"in <cluster>", "<ossec_config><cluster>\n<nats/></cluster></ossec_config>", "pulse.conf:2: <nats> is in a place"},
	} {
		path := write(t, tt.text)
		_, err := Load(path)
		if err == nil || !strings.Contains(strings.ReplaceAll(err.Error(), filepath.Dir(path)+"/", ""), tt.want) {
			t.Errorf("%s: %v, want %s", tt.name, err, tt.want)
		}
	}
}
