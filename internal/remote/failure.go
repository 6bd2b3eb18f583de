package remote

import (
	"fmt"
	"slices"
	"strings"

	"github.com/wazuh-pulse/pulse/internal/printable"
)

// Problem is the kind of a failure, in a word for machines.
type Problem string

// Problems of the way to a server, of TLS in both directions, of the login, and of our own files.
const (
	NameNotFound     Problem = "name_not_found"
	Refused          Problem = "connection_refused"
	NoAnswer         Problem = "no_answer"
	NoNATS           Problem = "no_nats"
	ServerFull       Problem = "server_full"
	ConnectionLost   Problem = "connection_lost"
	NoTLS            Problem = "no_tls"
	OldTLS           Problem = "old_tls"
	Expired          Problem = "certificate_expired"
	WrongHost        Problem = "certificate_of_another_host"
	UnknownAuthority Problem = "certificate_of_unknown_authority"
	BadCertificate   Problem = "certificate_unusable"
	WantsCertificate Problem = "client_certificate_missing"
	CertificateTaken Problem = "client_certificate_refused"
	WantsLogin       Problem = "login_missing"
	LoginRefused     Problem = "login_refused"
	LoginExpired     Problem = "login_expired"
	LoginRevoked     Problem = "login_revoked"
	SubjectRefused   Problem = "subject_refused"
	NotConfirmed     Problem = "not_confirmed"
	BadFile          Problem = "file_unusable"
	Other            Problem = "other"
)

// Problems lists all, in the order of the documentation.
func Problems() []Problem {
	return []Problem{NameNotFound, Refused, NoAnswer, NoNATS, ServerFull, ConnectionLost, NoTLS, OldTLS, Expired, WrongHost, UnknownAuthority,
		BadCertificate, WantsCertificate, CertificateTaken, WantsLogin, LoginRefused, LoginExpired, LoginRevoked, SubjectRefused, NotConfirmed, BadFile, Other}
}

// RefusesLogin says whether it is the server that does not want us.
func (p Problem) RefusesLogin() bool {
	return slices.Contains([]Problem{WantsCertificate, CertificateTaken, WantsLogin, LoginRefused, LoginExpired, LoginRevoked}, p)
}

// Failure is why a server could not be used. Its text has no secret in it.
type Failure struct {
	Server  string // "" if it is not about one
	Problem Problem

	what, wayOut string
	cause        error
}

// What is the server and what is wrong with it.
func (f *Failure) What() string {
	if f.Server == "" {
		return f.what
	}
	return f.Server + ": " + f.what
}

// WayOut is what to do about it; empty where that is not known.
func (f *Failure) WayOut() string { return f.wayOut }

// Error is one line: the server, what is wrong with it, and the way out.
func (f *Failure) Error() string {
	text := f.What()
	if f.wayOut != "" {
		text += "; " + f.wayOut
	}
	return text
}

func (f *Failure) Unwrap() error { return f.cause }

// badFile is about one of our own files.
func badFile(f file, err error) *Failure {
	wayOut := "correct <" + f.setting + ">, or that file"
	if err == errPublic {
		wayOut = "make it private: chmod o= " + f.path
	}
	return &Failure{Problem: BadFile, what: fmt.Sprintf("<%s>%s</%s>: %v", f.setting, f.path, f.setting, err), wayOut: wayOut, cause: err}
}

// unreached is the failure of every server.
type unreached []*Failure

func (u unreached) Error() string {
	var texts []string
	for _, f := range u {
		texts = append(texts, f.Error())
	}
	return strings.Join(texts, " / ")
}

func (u unreached) Unwrap() (errs []error) {
	for _, f := range u {
		errs = append(errs, f)
	}
	return errs
}

// Failures returns the failures that an error of [Dial] or [Check] consists of.
func Failures(err error) []*Failure {
	switch e := err.(type) {
	case *Failure:
		return []*Failure{e}
	case unreached:
		return e
	}
	return nil
}

// kind tells one trouble from another, whatever numbers are in its text. What
// the users of a session say against it is one trouble.
func kind(err error) string {
	var b strings.Builder
	for _, f := range Failures(err) {
		fmt.Fprintf(&b, "%s %s,", f.Server, f.Problem)
	}
	return b.String()
}

// refusals is how many of the failures are refused logins.
func refusals(err error) (n int) {
	for _, f := range Failures(err) {
		if f.Problem.RefusesLogin() {
			n++
		}
	}
	return n
}

// problems are the words for the log.
func problems(err error) string {
	var words []string
	for _, f := range Failures(err) {
		if !slices.Contains(words, string(f.Problem)) {
			words = append(words, string(f.Problem))
		}
	}
	return strings.Join(words, ",")
}

// brief quotes what somebody else has written.
func brief(s string) string {
	return `"` + printable.Brief(s, 64) + `"`
}
