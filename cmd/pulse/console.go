package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/wazuh-pulse/pulse/internal/config"
	"github.com/wazuh-pulse/pulse/internal/hint"
	"github.com/wazuh-pulse/pulse/internal/printable"
)

// consoleClient asks the running daemon on this host.
type consoleClient struct {
	http  http.Client
	base  string
	addr  string // as the settings have it
	token string
}

// openConsole reads what the settings say of the console. It goes straight to the
// daemon, whatever proxy the environment names, and does not wait for one that hangs.
func openConsole(p *config.Pulse) (*consoleClient, error) {
	if p.HTTP == "" {
		return nil, settingsError{hint.Add(errors.New("the console is off (<pulse><http> is empty)"), "give <pulse><http> an address, such as 127.0.0.1:8420, and restart the daemon")}
	}
	c := &consoleClient{base: "http://" + p.HTTP, addr: p.HTTP}
	way := &http.Transport{DialContext: (&net.Dialer{Timeout: 5 * time.Second}).DialContext, ResponseHeaderTimeout: 15 * time.Second}
	if p.HTTPTokenFile != "" {
		text, err := os.ReadFile(p.HTTPTokenFile)
		if err != nil {
			return nil, settingsError{fmt.Errorf("read the token (<pulse><http_token_file>): %w", err)}
		}
		c.token = strings.TrimSpace(string(text))
	}
	if p.HTTPCert != "" {
		c.base = "https://" + p.HTTP
		pinned, err := pinned(p.HTTPCert)
		if err != nil {
			return nil, settingsError{err}
		}
		way.TLSClientConfig = pinned
	}
	c.http.Transport = way
	return c, nil
}

// pinned trusts the daemon's own certificate and no other, whoever signed it and
// whatever names it has: we know it by its file.
func pinned(path string) (*tls.Config, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the console's certificate (<pulse><http_cert>): %w", err)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("read the console's certificate (<pulse><http_cert>): %s has none in PEM", path)
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: true, // VerifyConnection does it
		VerifyConnection: func(s tls.ConnectionState) error {
			if len(s.PeerCertificates) == 0 || !bytes.Equal(s.PeerCertificates[0].Raw, block.Bytes) {
				return errors.New("its certificate is not that of <pulse><http_cert>")
			}
			return nil
		}}, nil
}

// get returns what the console answers, to be closed.
func (c *consoleClient) get(ctx context.Context, path, lastEvent string) (io.ReadCloser, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+path, nil)
	if err != nil {
		return nil, fmt.Errorf("ask the daemon at %s (<pulse><http>): %w", c.addr, err)
	}
	request.Host = "localhost" // without a token the console answers to no name but this
	if c.token != "" {
		request.Header.Set("Authorization", "Bearer "+c.token)
	}
	if lastEvent != "" {
		request.Header.Set("Last-Event-ID", lastEvent)
	}
	answer, err := c.http.Do(request)
	switch {
	case ctx.Err() != nil && err != nil:
		return nil, errors.New("interrupted")
	case err != nil:
		return nil, hint.Add(fmt.Errorf("ask the daemon at %s (<pulse><http>): %w", c.addr, bare(err)), "does it run, and with these settings?")
	case answer.StatusCode != http.StatusOK:
		defer answer.Body.Close()
		return nil, c.refused(answer)
	}
	return answer.Body, nil
}

// refused says why, in the daemon's own words if that is what answers.
func (c *consoleClient) refused(answer *http.Response) error {
	var problem struct{ Detail string }
	if json.NewDecoder(io.LimitReader(answer.Body, 1<<16)).Decode(&problem) == nil && problem.Detail != "" {
		return fmt.Errorf("the daemon at %s (<pulse><http>) answers %s: %s", c.addr, answer.Status, printable.Only(problem.Detail))
	}
	return hint.Add(fmt.Errorf("the daemon at %s (<pulse><http>) answers %s", c.addr, answer.Status), "is that Pulse?")
}

// ask reads an answer as JSON.
func (c *consoleClient) ask(ctx context.Context, path string, into any) error {
	body, err := c.get(ctx, path, "")
	if err != nil {
		return err
	}
	defer body.Close()
	if err := json.NewDecoder(body).Decode(into); err != nil {
		return fmt.Errorf("read the answer of the daemon at %s: %w", c.addr, err)
	}
	return nil
}

// bare drops what an HTTP client's error repeats of the address.
func bare(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
}
