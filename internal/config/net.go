package config

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/wazuh-pulse/pulse/internal/printable"
)

type addrField struct{ p *netip.Addr }

func (f addrField) String() string                 { return f.p.String() }
func (f addrField) describeAcceptedValues() string { return "an IP address" }

func (f addrField) setFromText(text string) error {
	a, err := netip.ParseAddr(text)
	if err != nil || !printable.Is(text) { // the zone may be anything
		return errors.New("not an IP address")
	}
	*f.p = a
	return nil
}

// protocolField is remoted's list of transports: any case, order and spaces.
type protocolField struct{ tcp, udp *bool }

func (f protocolField) describeAcceptedValues() string { return "tcp, udp or tcp,udp" }

func (f protocolField) setFromText(text string) error {
	var tcp, udp bool
	for p := range strings.SplitSeq(text, ",") {
		switch strings.ToLower(strings.TrimSpace(p)) {
		case "tcp":
			tcp = true
		case "udp":
			udp = true
		default:
			return errors.New("unknown protocol")
		}
	}
	*f.tcp, *f.udp = tcp, udp
	return nil
}

func (f protocolField) String() string {
	switch {
	case *f.tcp && *f.udp:
		return "tcp,udp"
	case *f.udp:
		return "udp"
	}
	return "tcp"
}

// serverURLField is a comma-separated list of NATS servers.
type serverURLField struct{ p *string }

func (f serverURLField) describeAcceptedValues() string {
	return "nats://HOST:PORT (or tls, ws, wss), several separated by commas, or nothing"
}

func (f serverURLField) String() string { return *f.p }

func (f serverURLField) setFromText(text string) error {
	if text == "" {
		*f.p = ""
		return nil
	}
	urls := strings.Split(text, ",")
	websockets := 0
	for i, u := range urls {
		urls[i] = strings.TrimSpace(u)
		ws, err := checkServerURL(urls[i])
		which := "the URL"
		if len(urls) > 1 {
			which = fmt.Sprintf("URL %d of %d", i+1, len(urls))
		}
		if errors.Is(err, errUserInURL) {
			return &Error{Problem: which + " " + err.Error(), Hint: "put them into <user> and the file of <password_file>, or a token into that of <token_file>"}
		}
		if err != nil {
			return fmt.Errorf("%s %w", which, err)
		}
		if ws {
			websockets++
		}
	}
	if websockets != 0 && websockets != len(urls) { // nats.go refuses it too, at connect
		return errors.New("mixes ws with nats")
	}
	*f.p = strings.Join(urls, ",")
	return nil
}

var errUserInURL = errors.New("has a user or a password in it, and secrets come from files only")

var errNoScheme = errors.New("does not start with nats://, tls://, ws:// or wss://")

// checkServerURL never quotes the URL, nor wraps an error that does: it may hold a password.
func checkServerURL(s string) (websocket bool, err error) {
	if !strings.Contains(s, "://") {
		return false, errNoScheme
	}
	u, err := url.Parse(s)
	if err != nil || !printable.Is(s) {
		return false, errors.New("is malformed")
	}
	switch u.Scheme {
	case "nats", "tls":
	case "ws", "wss":
		websocket = true
	default:
		return false, errNoScheme
	}
	if u.User != nil {
		return false, errUserInURL
	}
	if !isHost(u.Hostname()) {
		return false, errors.New("has no proper host")
	}
	if p := u.Port(); p != "" {
		if n, err := strconv.ParseUint(p, 10, 16); err != nil || n == 0 {
			return false, errors.New("has a port outside 1 to 65535")
		}
	}
	if u.RawQuery != "" || u.Fragment != "" || u.Path != "" && u.Path != "/" && !websocket {
		return false, errors.New("has something behind the host and port")
	}
	return websocket, nil
}

// maxWebURL is the length of the longest URL of a web page.
const maxWebURL = 2048

// webURL accepts where a web application is: what is behind it is added to its path.
var webURL = rule{"https://HOST:PORT, or http://", func(s string) error {
	u, err := url.Parse(s)
	switch {
	case len(s) > maxWebURL:
		return errors.New("the URL is too long")
	case !printable.Is(s):
		return errUnprintable
	case err != nil:
		return errors.New("the URL is malformed") // the error quotes it
	case u.User != nil:
		return errors.New("the URL has a user or a password in it, and is shown to everybody who may look")
	case u.Scheme != "https" && u.Scheme != "http":
		return errors.New("the URL does not start with https:// or http://")
	case !isHost(u.Hostname()):
		return errors.New("the URL has no proper host")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.Contains(s, "#"):
		return errors.New("the URL has something behind its path")
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
			return errors.New("the URL has a port outside 1 to 65535")
		}
	}
	return nil
}}
