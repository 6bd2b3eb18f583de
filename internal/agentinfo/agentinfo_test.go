package agentinfo

import (
	"strings"
	"testing"
	"unicode/utf8"

	"go.uber.org/goleak"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/printable"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestWhatIsWrittenOfAnAgentIsCleanedAndBounded(t *testing.T) {
	long := strings.Repeat("ä", 3000)
	for name, tt := range map[string]struct{ in, want detector.Info }{
		"as a manager has it": {detector.Info{Groups: "default,web", OSName: "Debian GNU/Linux", OSVersion: "12", Version: "Wazuh v4.14.7"},
			detector.Info{Groups: "default,web", OSName: "Debian GNU/Linux", OSVersion: "12", Version: "v4.14.7"}},
		"nothing":           {},
		"a bare version":    {detector.Info{Version: "v4.14.7"}, detector.Info{Version: "v4.14.7"}},
		"spaces":            {detector.Info{Groups: " web , db ", OSName: " Ubuntu ", OSVersion: "\t22.04\n"}, detector.Info{Groups: "web,db", OSName: "Ubuntu", OSVersion: "22.04"}},
		"escape sequences":  {detector.Info{OSName: "\x1b[31mUbuntu", Version: "v4\n4.7"}, detector.Info{OSName: "?[31mUbuntu", Version: "v4?4.7"}},
		"no UTF-8":          {detector.Info{OSName: "Ubuntu\xff"}, detector.Info{OSName: "Ubuntu\ufffd"}},
		"an endless system": {detector.Info{OSName: long, OSVersion: long, Version: long}, detector.Info{OSName: long[:128], OSVersion: long[:64], Version: long[:64]}},
		"groups twice":      {detector.Info{Groups: "web,web,db,web"}, detector.Info{Groups: "web,db"}},
		"one group twice":   {detector.Info{Groups: "web,web"}, detector.Info{Groups: "web"}},
		"empty groups":      {detector.Info{Groups: ",web,,db,"}, detector.Info{Groups: "web,db"}},
		"no groups":         {detector.Info{Groups: ",,"}, detector.Info{}},
		"an endless group":  {detector.Info{Groups: "web," + strings.Repeat("x", 256) + ",db"}, detector.Info{Groups: "web,db"}},
		"an escaping group": {detector.Info{Groups: "web,\x1b[2J,db"}, detector.Info{Groups: "web,db"}},
		"one name only":     {detector.Info{Groups: strings.Repeat("x", 5000)}, detector.Info{}},
		"as many groups as fit": {detector.Info{Groups: strings.Repeat("group-0001,", 1)[:10] + strings.Repeat(",x", 2000)},
			detector.Info{Groups: "group-0001,x"}},
	} {
		if got := New(tt.in.Groups, tt.in.OSName, tt.in.OSVersion, tt.in.Version); got != tt.want {
			t.Errorf("%s: %+v, want %+v", name, got, tt.want)
		}
	}
}

func TestALongListOfGroupsEndsAfterAWholeName(t *testing.T) {
	var all []string
	for i := range 128 {
		all = append(all, strings.Repeat("g", 40)+string(rune('a'+i%26))+string(rune('a'+i/26)))
	}
	got := New(strings.Join(all, ","), "", "", "").Groups
	if len(got) > MaxGroups || len(got) < MaxGroups-43 {
		t.Errorf("%d bytes are left", len(got))
	}
	for i, name := range SplitGroups(got) {
		if name != all[i] {
			t.Errorf("group %d is %q, want %q", i, name, all[i])
		}
	}
	if SplitGroups("") != nil {
		t.Error("no groups are some")
	}
}

func TestTheSystemAndVersionOfAKeepAliveAreRead(t *testing.T) {
	for line, want := range map[string]detector.Info{
		"Linux |vm |6.18.44-fc-v595 |#1 SMP PREEMPT_DYNAMIC @0 |x86_64 [Debian GNU/Linux|debian: 12 (bookworm)] - Wazuh v4.14.7": {OSName: "Debian GNU/Linux", OSVersion: "12", Version: "v4.14.7"},
		"Linux |vm |6.18 |#1 SMP |x86_64 [Ubuntu|ubuntu: 22.04.3 LTS (Jammy Jellyfish)] - Wazuh v4.7.0 / ab73af41699f13fdd81903b5f23d8d00\nca35f9148a3273413eccb79f149f4757 merged.mg\n": {
			OSName: "Ubuntu", OSVersion: "22.04.3 LTS", Version: "v4.7.0"},
		"Microsoft Windows 10 Enterprise [Ver: 10.0.19044.1766] - Wazuh v4.3.5 / ab73af41699f13fdd81903b5f23d8d00": {OSName: "Microsoft Windows 10 Enterprise", OSVersion: "10.0.19044.1766", Version: "v4.3.5"},
		"Darwin |mac |21.6.0 |Darwin Kernel Version 21.6.0 |x86_64 [macOS|darwin: 12.6 (Monterey)] - Wazuh v4.4.1": {OSName: "macOS", OSVersion: "12.6", Version: "v4.4.1"},
		"Linux |a - b |1 |2 |x86_64 [Odd - Linux|odd: 1] - Wazuh v4.4.1":                                           {OSName: "Odd - Linux", OSVersion: "1", Version: "v4.4.1"},
		"Linux |vm |1 |2 |x86_64 [rhel: 7.9] - Wazuh v4.4.1":                                                       {OSName: "rhel", OSVersion: "7.9", Version: "v4.4.1"},
		"Linux |vm |1 |2 |x86_64 [|sles: 15.4] - Wazuh v4.4.1":                                                     {OSName: "sles", OSVersion: "15.4", Version: "v4.4.1"},
		"Linux |vm |1 |2 |x86_64 [Arch Linux|arch: ] - Wazuh v4.4.1":                                               {OSName: "Arch Linux", Version: "v4.4.1"},
		"Linux |vm |1 |2 |x86_64 [Arch Linux|arch] - Wazuh v4.4.1":                                                 {OSName: "Arch Linux", Version: "v4.4.1"},
		"Linux vm 2.6.32 - OSSEC HIDS v2.8 / ab73af41699f13fdd81903b5f23d8d00":                                     {Version: "OSSEC HIDS v2.8"},
		"Linux |vm |1 |2 |x86_64 [Ubuntu|ubuntu: 22.04 - Wazuh v4.4.1":                                             {Version: "v4.4.1"},
		"": {}, "\n": {}, " - ": {}, "[]": {}, " [] - ": {}, "nothing of the kind": {}, "a\n - Wazuh v4": {},
	} {
		if got := ParseKeepAlive(line); got != want {
			t.Errorf("%q: %+v, want %+v", line, got, want)
		}
	}
}

// checkInfo fails for what must never be published.
func checkInfo(t *testing.T, info detector.Info) {
	t.Helper()
	for name, field := range map[string]struct {
		text string
		most int
	}{"system": {info.OSName, MaxOSName}, "its version": {info.OSVersion, MaxOSVersion}, "version": {info.Version, MaxVersion}, "groups": {info.Groups, MaxGroups}} {
		if !printable.Is(field.text) || !utf8.ValidString(field.text) || len(field.text) > field.most || strings.TrimSpace(field.text) != field.text {
			t.Errorf("the %s: %q", name, field.text)
		}
	}
	seen := make(map[string]bool)
	for _, name := range SplitGroups(info.Groups) {
		if !isGroupName(name) || seen[name] {
			t.Errorf("the group %q", name)
		}
		seen[name] = true
	}
	if again := New(info.Groups, info.OSName, info.OSVersion, "Wazuh "+info.Version); again != info {
		t.Errorf("cleaned again, %+v is %+v", info, again)
	}
}

func FuzzKeepAlive(f *testing.F) {
	f.Add("Linux |vm |6.18.44 |#1 SMP |x86_64 [Debian GNU/Linux|debian: 12 (bookworm)] - Wazuh v4.14.7 / ab73af41699f13fdd81903b5f23d8d00\nx merged.mg\n")
	f.Add("Microsoft Windows 10 Enterprise [Ver: 10.0.19044.1766] - Wazuh v4.3.5")
	f.Add(" [ - ")
	f.Add("[|: (] - \xff\x1b" + strings.Repeat("ä", 200))
	f.Fuzz(func(t *testing.T, line string) { checkInfo(t, ParseKeepAlive(line)) })
}

func FuzzRow(f *testing.F) {
	f.Add("default,web", "Ubuntu", "22.04", "Wazuh v4.9.2")
	f.Add(",a,,a, b\x1b,", strings.Repeat("\xc0\x80", 100), "\u202e", "Wazuh Wazuh v1")
	f.Fuzz(func(t *testing.T, groups, osName, osVersion, version string) {
		checkInfo(t, New(groups, osName, osVersion, version))
	})
}

func BenchmarkParseKeepAlive(b *testing.B) {
	const line = "Linux |vm |6.18.44-fc-v595 |#1 SMP PREEMPT_DYNAMIC @0 |x86_64 [Debian GNU/Linux|debian: 12 (bookworm)] - Wazuh v4.14.7 / ab73af41699f13fdd81903b5f23d8d00"
	b.ReportAllocs()
	for b.Loop() {
		ParseKeepAlive(line)
	}
}

func BenchmarkNew(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		New("default,web", "Debian GNU/Linux", "12", "Wazuh v4.14.7")
	}
}
