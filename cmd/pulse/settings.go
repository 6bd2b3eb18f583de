package main

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"syscall"

	"github.com/wazuh-pulse/pulse/internal/config"
	"github.com/wazuh-pulse/pulse/internal/daemon"
	"github.com/wazuh-pulse/pulse/internal/hint"
	"github.com/wazuh-pulse/pulse/internal/remote"
	"github.com/wazuh-pulse/pulse/internal/sealing"
)

// settingsFlag is the flag for settings files of the commands that need them.
type settingsFlag struct {
	Config []string `short:"c" sep:"none" placeholder:"FILE" help:"Settings file; may be repeated, later ones override. Behind a NAME.conf the files NAME.d/*.conf are read. Default: /var/ossec/etc/pulse.conf if it exists."`
}

// loadSettings reads the settings, and prints their warnings to stderr.
func (f *settingsFlag) loadSettings(e *env) (*config.Loaded, error) {
	return f.loadWithOverrides(e, nil)
}

// loadWithOverrides is loadSettings, with settings of the command line.
func (f *settingsFlag) loadWithOverrides(e *env, overrides []config.Override) (*config.Loaded, error) {
	loaded, err := config.LoadWith(overrides, f.Config...)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EISDIR) {
			return nil, settingsError{err}
		}
		return nil, err
	}
	for _, w := range loaded.Warnings {
		fmt.Fprintln(e.stderr, errorLines("pulse: warning: ", w))
	}
	return loaded, nil
}

// loadAndCheckFiles reads the settings, and the files that they name as the daemon does.
func (f *settingsFlag) loadAndCheckFiles(e *env) (*config.Loaded, error) {
	loaded, err := f.loadSettings(e)
	if err != nil {
		return nil, err
	}
	if err := loaded.CheckFiles(); err != nil {
		return nil, err
	}
	if err := sealing.CheckKeys(&loaded.Config); err != nil {
		return nil, settingsError{err}
	}
	if err := daemon.CheckConsoleFiles(&loaded.Config); err != nil {
		return nil, settingsError{err}
	}
	if loaded.NATS.Enabled && loaded.NATS.ServerURL != "" {
		if err := remote.Check(daemon.RemoteConfig(&loaded.Config, nil)); err != nil {
			return nil, settingsError{err}
		}
	}
	return loaded, nil
}

// serverFlags select the NATS server and the login without settings, as on the XDR
// platform's side. Secrets come from files, never from the command line, which every
// user of the host can read.
type serverFlags struct {
	Context        string `complete:"contexts" placeholder:"NAME" help:"The server, the login and TLS of this context of the nats command line, in the place of --server; or of the context in this file, by its absolute path."`
	Server         string `placeholder:"URL" help:"This NATS server, such as tls://xdr-nats:4222, instead of the settings'; its login and TLS come from the flags alone, and only settings files of --config are read."`
	Creds          string `type:"path" placeholder:"FILE" help:"Log in with this .creds file."`
	NKey           string `name:"nkey" type:"path" placeholder:"FILE" help:"Log in with the NKey seed in this file."`
	User           string `placeholder:"NAME" help:"Log in as this user."`
	PasswordFile   string `type:"path" placeholder:"FILE" help:"The file with that user's password."`
	TokenFile      string `type:"path" placeholder:"FILE" help:"Log in with the token in this file."`
	TLSCA          string `name:"tls-ca" type:"path" placeholder:"FILE" help:"The authorities for the server's certificate."`
	TLSCert        string `name:"tls-cert" type:"path" placeholder:"FILE" help:"The client's certificate."`
	TLSKey         string `name:"tls-key" type:"path" placeholder:"FILE" help:"The key of that certificate."`
	AllowPlaintext bool   `help:"Log in to another host over an unencrypted connection, too."`
}

// serverFlag is a flag, and the setting that it replaces.
type serverFlag struct {
	name, setting, value string
	kind                 int // a flag replaces the settings of all flags of its kind
}

const (
	serverKind = iota
	loginKind
	authorityKind
	certificateKind
	plaintextKind
)

func (w *serverFlags) allFlags() []serverFlag {
	allow := ""
	if w.AllowPlaintext {
		allow = "yes"
	}
	return []serverFlag{
		{"--server", "server_url", w.Server, serverKind},
		{"--creds", "credentials_file", w.Creds, loginKind},
		{"--nkey", "nkey_file", w.NKey, loginKind},
		{"--user", "user", w.User, loginKind},
		{"--password-file", "password_file", w.PasswordFile, loginKind},
		{"--token-file", "token_file", w.TokenFile, loginKind},
		{"--tls-ca", "tls_ca", w.TLSCA, authorityKind},
		{"--tls-cert", "tls_cert", w.TLSCert, certificateKind},
		{"--tls-key", "tls_key", w.TLSKey, certificateKind},
		{"--allow-plaintext", "allow_plaintext", allow, plaintextKind},
	}
}

// flagsInEffect returns the flags that replace settings: those given, the others of
// their kind, and with --server all of them.
func (w *serverFlags) flagsInEffect() (flags []serverFlag) {
	given := map[int]bool{}
	for _, f := range w.allFlags() {
		if f.value != "" {
			given[f.kind] = true
		}
	}
	for _, f := range w.allFlags() {
		if given[f.kind] || given[serverKind] {
			flags = append(flags, f)
		}
	}
	return flags
}

// isElsewhere reports whether the server is another than that of the settings.
func (w *serverFlags) isElsewhere() bool { return w.Server != "" || w.Context != "" }

// checkContext refuses flags that the context has in itself.
func (w *serverFlags) checkContext() error {
	if w.Context == "" {
		return nil
	}
	for _, f := range w.allFlags() {
		if f.value != "" && f.kind != plaintextKind {
			return usageError{hint.Add(fmt.Errorf("%s beside --context: the context has the server, the login and TLS", f.name), "leave one of them out")}
		}
	}
	return nil
}

func (w *serverFlags) settingOverrides() (list []config.Override) {
	if w.Context != "" { // it takes the place of all that is set
		list = append(list, config.Override{Path: "nats/enabled", Value: "yes", Source: "--context"}, config.Override{Path: "nats/allow_plaintext", Value: "no", Source: "--context"})
		for _, f := range w.allFlags() {
			if f.kind != plaintextKind {
				list = append(list, config.Override{Path: "nats/" + f.setting, Source: "--context"})
			}
		}
		return list
	}
	for _, f := range w.flagsInEffect() {
		if f.kind == plaintextKind && f.value == "" {
			f.value = "no"
		}
		list = append(list, config.Override{Path: "nats/" + f.setting, Value: f.value, Source: f.name})
	}
	if w.Server != "" {
		list = append(list, config.Override{Path: "nats/enabled", Value: "yes", Source: "--server"})
	}
	return list
}

// nameFlags returns an error with flags in the place of the settings that they
// replace. A bad setting or file is a mistake on the command line if a flag has it, else
// one in the settings.
func (w *serverFlags) nameFlags(err error) error {
	if err == nil {
		return nil
	}
	flags := w.flagsInEffect()
	named := err
	if len(flags) > 0 {
		named = &flagError{err, flags}
	}
	if setting, ok := errors.AsType[*config.Error](err); ok {
		if slices.ContainsFunc(flags, func(f serverFlag) bool { return f.name == setting.File }) {
			return usageError{named}
		}
		return settingsError{err}
	}
	if failure, ok := errors.AsType[*remote.Failure](err); ok && failure.Problem == remote.BadFile {
		if failure.Setting == remote.ContextSetting || slices.ContainsFunc(flags, func(f serverFlag) bool { return f.setting == failure.Setting }) {
			return usageError{named}
		}
		return settingsError{err}
	}
	return named
}

// flagError is an error that names settings, shown with the flags that replace them.
type flagError struct {
	error
	flags []serverFlag
}

func (e *flagError) Unwrap() error { return e.error }

func (e *flagError) Error() string { return hint.Join(e.HintParts()) }

// HintParts returns the parts of the error, with flags in the place of settings.
func (e *flagError) HintParts() []hint.Part {
	var pairs []string
	for _, f := range e.flags {
		pairs = append(pairs, f.name+": <"+f.setting+">", f.name, "<"+f.setting+">/", f.name+" /", "</"+f.setting+">", "", "<"+f.setting+">", f.name)
	}
	names := strings.NewReplacer(pairs...)
	parts := hint.Split(e.error)
	for i, part := range parts {
		parts[i] = hint.Part{Problem: names.Replace(part.Problem), Hint: names.Replace(part.Hint)}
	}
	return parts
}
