package main

import (
	"errors"
	"slices"
	"strings"

	"github.com/wazuh-pulse/pulse/internal/config"
	"github.com/wazuh-pulse/pulse/internal/hint"
	"github.com/wazuh-pulse/pulse/internal/remote"
)

// wayFlags are the way to the NATS server where it is not that of the settings:
// for somebody on the XDR platform's side, who has none. Secrets come from
// files, never from the command line, which every user of the host can read.
type wayFlags struct {
	Server         string `placeholder:"URL" help:"This NATS server, such as tls://xdr-nats:4222, instead of the settings'; its login and TLS come from the flags alone, and settings files count only where --config names them."`
	Creds          string `type:"path" placeholder:"FILE" help:"Log in with this .creds file."`
	NKey           string `name:"nkey" type:"path" placeholder:"FILE" help:"Log in with the NKey seed in this file."`
	User           string `placeholder:"NAME" help:"Log in as this user."`
	PasswordFile   string `type:"path" placeholder:"FILE" help:"The file with that user's password."`
	TokenFile      string `type:"path" placeholder:"FILE" help:"Log in with the token in this file."`
	TLSCA          string `name:"tls-ca" type:"path" placeholder:"FILE" help:"The authorities that may have signed the server's certificate."`
	TLSCert        string `name:"tls-cert" type:"path" placeholder:"FILE" help:"Our own certificate."`
	TLSKey         string `name:"tls-key" type:"path" placeholder:"FILE" help:"The key of that."`
	AllowPlaintext bool   `help:"Log in to another host over an unencrypted connection, too."`
}

// wayFlag is a flag, and the setting that it takes the place of.
type wayFlag struct {
	name, setting, value string
	kind                 int // of one kind, each flag drops the settings of all
}

const (
	theServer = iota
	theLogin
	theAuthority
	thePair
	thePermission
)

func (w *wayFlags) all() []wayFlag {
	allow := ""
	if w.AllowPlaintext {
		allow = "yes"
	}
	return []wayFlag{
		{"--server", "server_url", w.Server, theServer},
		{"--creds", "credentials_file", w.Creds, theLogin},
		{"--nkey", "nkey_file", w.NKey, theLogin},
		{"--user", "user", w.User, theLogin},
		{"--password-file", "password_file", w.PasswordFile, theLogin},
		{"--token-file", "token_file", w.TokenFile, theLogin},
		{"--tls-ca", "tls_ca", w.TLSCA, theAuthority},
		{"--tls-cert", "tls_cert", w.TLSCert, thePair},
		{"--tls-key", "tls_key", w.TLSKey, thePair},
		{"--allow-plaintext", "allow_plaintext", allow, thePermission},
	}
}

// used are the flags that count more than the settings: those given, the
// others of their kind, and with --server all of them.
func (w *wayFlags) used() (flags []wayFlag) {
	given := map[int]bool{}
	for _, f := range w.all() {
		if f.value != "" {
			given[f.kind] = true
		}
	}
	for _, f := range w.all() {
		if given[f.kind] || given[theServer] {
			flags = append(flags, f)
		}
	}
	return flags
}

// overrides are the flags as settings.
func (w *wayFlags) overrides() (list []config.Override) {
	for _, f := range w.used() {
		if f.kind == thePermission && f.value == "" {
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
func (w *wayFlags) nameFlags(err error) error {
	if err == nil {
		return nil
	}
	flags := w.used()
	named := err
	if len(flags) > 0 {
		named = &flagError{err, flags}
	}
	if setting, ok := errors.AsType[*config.Error](err); ok {
		if slices.ContainsFunc(flags, func(f wayFlag) bool { return f.name == setting.File }) {
			return usageError{named}
		}
		return settingsError{err}
	}
	if failure, ok := errors.AsType[*remote.Failure](err); ok && failure.Problem == remote.BadFile {
		if slices.ContainsFunc(flags, func(f wayFlag) bool { return f.setting == failure.Setting }) {
			return usageError{named}
		}
		return settingsError{err}
	}
	return named
}

// flagError is an error that names settings, shown with the flags that replace them.
type flagError struct {
	error
	flags []wayFlag
}

func (e *flagError) Unwrap() error { return e.error }

func (e *flagError) Error() string {
	var lines []string
	for _, part := range e.HintParts() {
		lines = append(lines, part.String())
	}
	return strings.Join(lines, "\n")
}

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
