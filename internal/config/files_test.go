package config

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

func TestNamedFilesMustBeReadable(t *testing.T) {
	dir := t.TempDir()
	file, locked, pipe := filepath.Join(dir, "file"), filepath.Join(dir, "locked"), filepath.Join(dir, "pipe")
	group, public, open := filepath.Join(dir, "group"), filepath.Join(dir, "public"), filepath.Join(dir, "open")
	for path, mode := range map[string]os.FileMode{file: 0o600, locked: 0, group: 0o640, public: 0o644, open: 0o602} {
		if err := errors.Join(os.WriteFile(path, nil, 0o600), os.Chmod(path, mode)); err != nil {
			t.Fatal(err)
		}
	}
	server := "<server_url>tls://h</server_url>"
	secret := func(name, path string) string {
		return "<" + name + ">" + path + "</" + name + ">: every user of this host may read or change it, and it holds a secret; make it private: chmod o= " + path
	}
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	keys := "<ossec_config><pulse><client_keys>" + file + "</client_keys></pulse></ossec_config>"
	const absentHint = "name an existing file, or remove the element"
	tests := []struct{ name, text, want string }{
		{"all there", keys + in("nats", "<tls_cert>"+file+"</tls_cert>", "<tls_key>"+file+"</tls_key>"), ""},
		{"NATS's files do not matter without NATS", keys + in("nats", "<enabled>no</enabled>", "<tls_ca>/absent</tls_ca>"), ""},
		{"absent", keys + in("nats", server, "<credentials_file>/absent/x</credentials_file>"),
			"pulse.conf:4: <credentials_file>/absent/x</credentials_file>: no such file or directory; " + absentHint},
		{"a directory and a pipe", keys + in("nats", "<tls_cert>"+dir+"</tls_cert>", "<tls_key>"+pipe+"</tls_key>"),
			"pulse.conf:3: <tls_cert>" + dir + "</tls_cert>: not a regular file; " + absentHint + "\n" +
				"pulse.conf:4: <tls_key>" + pipe + "</tls_key>: not a regular file; " + absentHint},
		{"keys under home", in("pulse", "<home>/absent</home>"),
			"pulse.conf:3: <client_keys>/absent/etc/client.keys</client_keys> (derived from home): no such file or directory; " +
				"set <home> or <client_keys> to where the manager keeps its agents' keys"},
		{"a login that only Pulse and its group may read", keys + in("nats", server, "<nkey_file>"+group+"</nkey_file>"), ""},
		{"certificates are no secrets", keys + in("nats", "<tls_ca>"+public+"</tls_ca>", "<tls_cert>"+public+"</tls_cert>", "<tls_key>"+file+"</tls_key>"), ""},
		{"a seed for everybody", keys + in("nats", server, "<nkey_file>"+public+"</nkey_file>"), "pulse.conf:4: " + secret("nkey_file", public)},
		{"credentials for everybody", keys + in("nats", server, "<credentials_file>"+public+"</credentials_file>"), "pulse.conf:4: " + secret("credentials_file", public)},
		{"a token that everybody may change", keys + in("nats", server, "<token_file>"+open+"</token_file>"), "pulse.conf:4: " + secret("token_file", open)},
		{"a password and a key for everybody", keys + in("nats", server, "<user>u</user>", "<password_file>"+public+"</password_file>", "<tls_cert>"+file+"</tls_cert>", "<tls_key>"+public+"</tls_key>"),
			"pulse.conf:5: " + secret("password_file", public) + "\npulse.conf:7: " + secret("tls_key", public)},
		{"forbidden", keys + in("nats", "<tls_ca>"+locked+"</tls_ca>"),
			"pulse.conf:3: <tls_ca>" + locked + "</tls_ca>: permission denied; " +
				"run as a user who may read it, or give Pulse's group the right: chgrp, chmod g+r"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if os.Geteuid() == 0 && tt.name == "forbidden" {
				t.Skip("root may read everything")
			}
			got := ""
			if err := mustRead(t, tt.text).CheckFiles(); err != nil {
				got = err.Error()
			}
			if got != tt.want {
				t.Errorf("\n got %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestADefaultFileThatIsMissingSaysItIsTheDefault(t *testing.T) {
	l := mustRead(t, "")
	l.Pulse.ClientKeys = "/absent/client.keys"
	err := l.CheckFiles()
	if err == nil || !strings.HasPrefix(err.Error(), "<client_keys>/absent/client.keys</client_keys> (default): ") {
		t.Errorf("got %v", err)
	}
}

// A new setting that names a file is in the list of what is checked and fingerprinted,
// by its type in the table alone.
func TestEverySettingOfAFileIsAmongThoseThatAreChecked(t *testing.T) {
	cfg := Default()
	for _, s := range table {
		if f, ok := s.field(&cfg).(textField); ok && strings.HasPrefix(f.rule.desc, "an absolute path") && s.path != pathHome && s.path != pathClientKeys && s.path != "pulse/state_dir" {
			t.Errorf("%s is neither a secret nor whom to trust", s.path)
		}
		switch s.field(&cfg).(type) {
		case secretFile, trustFile:
			if err := s.field(&cfg).setFromText("/etc/pulse/" + s.elementName()); err != nil {
				t.Error(err)
			}
		}
	}
	for _, f := range cfg.SecurityFiles() {
		name := filepath.Base(f.Path)
		if want := !slices.Contains([]string{"tls_ca", "tls_cert", "http_cert", "recipients_file", "server_config"}, name); f.Secret != want {
			t.Errorf("%s: secret: %v", f.Setting, f.Secret)
		}
	}
	if n := len(cfg.SecurityFiles()); n != 13 {
		t.Errorf("%d files", n)
	}
}
