package wazuhrules

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// startHome makes a manager's directory with files of rules.
func startHome(t *testing.T, files map[string]string) *Settings {
	t.Helper()
	set := &Settings{Home: t.TempDir(), Dirs: []string{"ruleset/rules", "etc/rules"}}
	for _, dir := range []string{"ruleset/rules", "etc/rules", "queue/sockets"} {
		if err := os.MkdirAll(filepath.Join(set.Home, dir), 0o750); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(set.Home, name), []byte(text), 0o660); err != nil {
			t.Fatal(err)
		}
	}
	return set
}

const local = "<group name=\"local,\">\n <rule id=\"100001\" level=\"5\"><match>x</match></rule>\n<!-- <rule id=\"119510\" level=\"1\"> -->\n</group>\n"

func TestAnInstallationIsFoundWithWhatKeepsItFromWorking(t *testing.T) {
	current := string(Format(DefaultFirstID))
	for _, c := range []struct {
		name   string
		files  map[string]string
		change func(*Settings)
		found  string
		first  int
		want   string // a problem; empty for none
	}{
		{"not installed", map[string]string{"etc/rules/local_rules.xml": local}, nil, "", 0, ""},
		{"installed", map[string]string{"etc/rules/local_rules.xml": local, "etc/rules/pulse_rules.xml": current}, nil, "etc/rules/pulse_rules.xml", DefaultFirstID, ""},
		{"with other IDs and another name", map[string]string{"etc/rules/p.xml": string(Format(101000))}, nil, "etc/rules/p.xml", 101000, ""},
		{"a level is changed by the user's own file", map[string]string{"etc/rules/local_rules.xml": `<group name="l,"><rule id="119514" level="15" overwrite="yes"></rule></group>`, "etc/rules/pulse_rules.xml": current},
			nil, "etc/rules/pulse_rules.xml", DefaultFirstID, ""},
		{"of another version", map[string]string{"etc/rules/pulse_rules.xml": strings.Replace(current, `level="13"`, `level="12"`, 1)}, nil, "etc/rules/pulse_rules.xml", DefaultFirstID, "not of this version"},
		{"without rules", map[string]string{"etc/rules/pulse_rules.xml": `<group name="pulse,ossec,">`}, nil, "etc/rules/pulse_rules.xml", 0, "no rules"},
		{"an ID is another's too", map[string]string{"etc/rules/local_rules.xml": strings.Replace(local, "100001", "119582", 1), "etc/rules/pulse_rules.xml": current}, nil,
			"etc/rules/pulse_rules.xml", DefaultFirstID, "rule 119582 is in"},
		{"twice", map[string]string{"etc/rules/a.xml": current, "etc/rules/pulse_rules.xml": current}, nil, "etc/rules/a.xml", DefaultFirstID, "has Pulse's rules too"},
		{"excluded", map[string]string{"etc/rules/pulse_rules.xml": current}, func(s *Settings) { s.Excludes = []string{"pulse_rules.xml"} }, "", 0, "does not read it"},
		{"the user's directory is not read", map[string]string{"etc/rules/pulse_rules.xml": current}, func(s *Settings) { s.Dirs = s.Dirs[:1] }, "", 0, "does not read it"},
		{"named by itself", map[string]string{"etc/rules/pulse_rules.xml": current}, func(s *Settings) { s.Dirs, s.Files = s.Dirs[:1], []string{"/etc/rules/pulse_rules.xml"} }, "etc/rules/pulse_rules.xml", DefaultFirstID, ""},
		{"the manager's user may not read it", map[string]string{"etc/rules/pulse_rules.xml": current}, func(s *Settings) {
			if err := os.Chmod(filepath.Join(s.Home, "etc/rules/pulse_rules.xml"), 0o600); err != nil {
				panic(err)
			}
		}, "etc/rules/pulse_rules.xml", DefaultFirstID, "cannot be read by the manager's user"},
		{"analysisd started before", map[string]string{"etc/rules/pulse_rules.xml": current, "queue/sockets/queue": ""}, func(s *Settings) {
			before := time.Now().Add(-time.Hour)
			if err := os.Chtimes(filepath.Join(s.Home, "queue/sockets/queue"), before, before); err != nil {
				panic(err)
			}
		}, "etc/rules/pulse_rules.xml", DefaultFirstID, "newer than the start"},
		{"another file is a pipe", map[string]string{"etc/rules/pulse_rules.xml": current}, func(s *Settings) {
			if err := syscall.Mkfifo(filepath.Join(s.Home, "etc/rules/x.xml"), 0o600); err != nil {
				panic(err)
			}
		}, "etc/rules/pulse_rules.xml", DefaultFirstID, "no regular file"},
		{"another file is huge", map[string]string{"etc/rules/pulse_rules.xml": current, "etc/rules/x.xml": strings.Repeat(" ", maxRuleFile+1)}, nil, "etc/rules/pulse_rules.xml", DefaultFirstID, "larger than 8 MiB"},
	} {
		t.Run(c.name, func(t *testing.T) {
			set := startHome(t, c.files)
			if c.change != nil {
				c.change(set)
			}
			in, err := FindInstallation(set)
			if err != nil {
				t.Fatal(err)
			}
			want := ""
			if c.found != "" {
				want = filepath.Join(set.Home, c.found)
			}
			if in.File != want || in.FirstID != c.first {
				t.Errorf("found %q from %d on, want %q from %d on", in.File, in.FirstID, want, c.first)
			}
			switch {
			case c.want == "" && len(in.Problems) > 0, c.want != "" && (len(in.Problems) != 1 || !strings.Contains(in.Problems[0].What, c.want) || in.Problems[0].Hint == ""):
				t.Errorf("problems: %+v, want %q", in.Problems, c.want)
			}
		})
	}
}

func TestAManagersDirectoryThatCannotBeReadIsAnError(t *testing.T) {
	set := startHome(t, map[string]string{"file": ""})
	set.Dirs = []string{"file"}
	if _, err := FindInstallation(set); err == nil {
		t.Error("no error")
	}
	if in, err := FindInstallation(&Settings{Home: filepath.Join(set.Home, "nowhere"), Dirs: []string{"etc/rules"}}); err != nil || in.File != "" {
		t.Errorf("%+v, %v", in, err)
	}
}

// Files of rules are other people's: whatever is in them, IDs are numbers that can be IDs.
func FuzzListNewIDs(f *testing.F) {
	f.Add(local)
	f.Add(string(Format(DefaultFirstID)))
	f.Add(`<rule id='7' overwrite="yes"><rule level="1" id = "8">`)
	f.Fuzz(func(t *testing.T, text string) {
		for _, id := range listNewIDs([]byte(text)) {
			if id < 0 || id > 999_999_999 {
				t.Errorf("ID %d", id)
			}
		}
		isOurs([]byte(text))
	})
}
