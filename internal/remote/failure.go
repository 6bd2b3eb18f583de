package remote

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/wazuh-pulse/pulse/internal/hint"
	"github.com/wazuh-pulse/pulse/internal/keyfile"
	"github.com/wazuh-pulse/pulse/internal/printable"
)

// Problem is the kind of a failure, as a word for programs.
type Problem string

// Problems of the network, of TLS in both directions, of the login, and of local files.
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

// Problems returns all problems, in the order of the documentation.
func Problems() []Problem {
	return []Problem{NameNotFound, Refused, NoAnswer, NoNATS, ServerFull, ConnectionLost, NoTLS, OldTLS, Expired, WrongHost, UnknownAuthority,
		BadCertificate, WantsCertificate, CertificateTaken, WantsLogin, LoginRefused, LoginExpired, LoginRevoked, SubjectRefused, NotConfirmed, BadFile, Other}
}

// RefusesLogin reports whether the server has refused the login.
func (p Problem) RefusesLogin() bool {
	return slices.Contains([]Problem{WantsCertificate, CertificateTaken, WantsLogin, LoginRefused, LoginExpired, LoginRevoked}, p)
}

// Failure is the reason for which a server could not be used. Its text holds
// no secret.
type Failure struct {
	Server  string // "" if it is about no server
	Problem Problem
	Setting string // of a [BadFile]: the setting that names it, as "token_file"

	what, hint string
	cause      error
}

// What returns the server and the problem as text.
func (f *Failure) What() string {
	if f.Server == "" {
		return f.what
	}
	return f.Server + ": " + f.what
}

// Error returns one line: the server, the problem and what to do about it.
func (f *Failure) Error() string { return f.hintPart().String() }

// HintParts returns the problem and what to do about it.
func (f *Failure) HintParts() []hint.Part { return []hint.Part{f.hintPart()} }

func (f *Failure) hintPart() hint.Part { return hint.Part{Problem: f.What(), Hint: f.hint} }

func (f *Failure) Unwrap() error { return f.cause }

func newFileFailure(f file, err error) *Failure {
	advice := "correct <" + f.setting + ">, or that file"
	if errors.Is(err, keyfile.ErrShared) {
		advice = "make it private: chmod o= " + f.path
	}
	return &Failure{Problem: BadFile, Setting: f.setting, what: fmt.Sprintf("<%s>%s</%s>: %v", f.setting, f.path, f.setting, err), hint: advice, cause: err}
}

// serverFailures has a failure for each server.
type serverFailures []*Failure

func (u serverFailures) Error() string {
	var texts []string
	for _, f := range u {
		texts = append(texts, f.Error())
	}
	return strings.Join(texts, " / ")
}

// HintParts returns one part per server.
func (u serverFailures) HintParts() (parts []hint.Part) {
	for _, f := range u {
		parts = append(parts, f.hintPart())
	}
	return parts
}

func (u serverFailures) Unwrap() (errs []error) {
	for _, f := range u {
		errs = append(errs, f)
	}
	return errs
}

// Failures returns the failures that an error of [Dial] or [Check] consists
// of.
func Failures(err error) []*Failure {
	switch e := err.(type) {
	case *Failure:
		return []*Failure{e}
	case serverFailures:
		return e
	}
	return nil
}

// failureKey returns a text that is equal for failures with the same servers
// and problems, whatever numbers their texts contain.
func failureKey(err error) string {
	var b strings.Builder
	for _, f := range Failures(err) {
		fmt.Fprintf(&b, "%s %s,", f.Server, f.Problem)
	}
	return b.String()
}

// countRefusedLogins returns how many of the failures are refused logins.
func countRefusedLogins(err error) (n int) {
	for _, f := range Failures(err) {
		if f.Problem.RefusesLogin() {
			n++
		}
	}
	return n
}

func joinFailureProblems(err error) string {
	var words []string
	for _, f := range Failures(err) {
		if !slices.Contains(words, string(f.Problem)) {
			words = append(words, string(f.Problem))
		}
	}
	return strings.Join(words, ",")
}

// quoteBrief quotes the beginning of foreign text.
func quoteBrief(s string) string {
	return `"` + printable.Brief(s, 64) + `"`
}
