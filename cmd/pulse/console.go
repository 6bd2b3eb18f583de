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
	"os"
	"strings"
	"time"

	"github.com/wazuh-pulse/pulse/internal/config"
	"github.com/wazuh-pulse/pulse/internal/hint"
	"github.com/wazuh-pulse/pulse/internal/printable"
)

// consoleClient is a client of the running daemon on this host.
type consoleClient struct {
	http  http.Client
	base  string
	addr  string // as in the settings
	token string
}

// openConsole returns a client with the settings of the console. It connects directly to
// the daemon, without a proxy of the environment, and has a timeout.
func openConsole(p *config.Pulse) (*consoleClient, error) {
	if p.HTTP == "" {
		return nil, settingsError{hint.Add(errors.New("the console is off (<pulse><http> is empty)"), "give <pulse><http> an address, such as 127.0.0.1:8420, and restart the daemon")}
	}
	c := &consoleClient{base: "http://" + p.HTTP, addr: p.HTTP}
	transport := &http.Transport{DialContext: (&net.Dialer{Timeout: 5 * time.Second}).DialContext, ResponseHeaderTimeout: 15 * time.Second}
	if p.HTTPTokenFile != "" {
		text, err := os.ReadFile(p.HTTPTokenFile)
		if err != nil {
			return nil, settingsError{fmt.Errorf("read the token (<pulse><http_token_file>): %w", err)}
		}
		c.token = strings.TrimSpace(string(text))
	}
	if p.HTTPCert != "" {
		c.base = "https://" + p.HTTP
		pinned, err := pinnedTLSConfig(p.HTTPCert)
		if err != nil {
			return nil, settingsError{err}
		}
		transport.TLSClientConfig = pinned
	}
	c.http.Transport = transport
	return c, nil
}

// pinnedTLSConfig trusts the certificate in a file and no other, whoever signed it and
// whatever names it has.
func pinnedTLSConfig(path string) (*tls.Config, error) {
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

// openPath returns the body of the console's answer, which the caller closes.
func (c *consoleClient) openPath(ctx context.Context, path, lastEvent string) (io.ReadCloser, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+path, nil)
	if err != nil {
		return nil, fmt.Errorf("ask the daemon at %s (<pulse><http>): %w", c.addr, err)
	}
	if lastEvent != "" {
		request.Header.Set("Last-Event-ID", lastEvent)
	}
	return c.sendRequest(request)
}

// sendRequest returns the body of the answer to a request, which the caller closes.
func (c *consoleClient) sendRequest(request *http.Request) (io.ReadCloser, error) {
	ctx := request.Context()
	request.Host = "localhost" // without a token the console accepts no other name
	if c.token != "" {
		request.Header.Set("Authorization", "Bearer "+c.token)
	}
	answer, err := c.http.Do(request)
	switch {
	case ctx.Err() != nil && err != nil:
		return nil, errors.New("interrupted")
	case err != nil: // an url.Error, whose URL is left out
		return nil, hint.Add(fmt.Errorf("ask the daemon at %s (<pulse><http>): %w", c.addr, errors.Unwrap(err)), "does it run, and with these settings?")
	case answer.StatusCode != http.StatusOK && answer.StatusCode != http.StatusCreated:
		defer answer.Body.Close()
		return nil, c.explainStatus(answer)
	}
	return answer.Body, nil
}

// explainStatus returns an error for a status that is none of success, with the daemon's own text if there is one.
func (c *consoleClient) explainStatus(answer *http.Response) error {
	var problem struct{ Detail string }
	if json.NewDecoder(io.LimitReader(answer.Body, 1<<16)).Decode(&problem) == nil && problem.Detail != "" {
		if answer.StatusCode == http.StatusBadRequest { // what was asked for is wrong
			return usageError{errors.New(printable.Only(problem.Detail))}
		}
		return fmt.Errorf("the daemon at %s (<pulse><http>) answers %s: %s", c.addr, answer.Status, printable.Only(problem.Detail))
	}
	return hint.Add(fmt.Errorf("the daemon at %s (<pulse><http>) answers %s", c.addr, answer.Status), "is that Pulse?")
}

// fetchJSON decodes an answer in JSON.
func (c *consoleClient) fetchJSON(ctx context.Context, path string, into any) error {
	body, err := c.openPath(ctx, path, "")
	if err != nil {
		return err
	}
	return c.decodeAnswer(body, into)
}

func (c *consoleClient) decodeAnswer(body io.ReadCloser, into any) error {
	defer body.Close()
	if err := json.NewDecoder(body).Decode(into); err != nil {
		return fmt.Errorf("read the answer of the daemon at %s: %w", c.addr, err)
	}
	return nil
}

// changeJSON sends a request that changes something, with a body in JSON unless that is
// nil, and decodes the answer.
func (c *consoleClient) changeJSON(ctx context.Context, method, path string, body, into any) error {
	var text bytes.Buffer
	if body != nil {
		if err := json.NewEncoder(&text).Encode(body); err != nil {
			return err
		}
	}
	request, err := http.NewRequestWithContext(ctx, method, c.base+path, &text)
	if err != nil {
		return fmt.Errorf("ask the daemon at %s (<pulse><http>): %w", c.addr, err)
	}
	request.Header.Set("Pulse-Request", "pulse")
	answer, err := c.sendRequest(request)
	if err != nil {
		return err
	}
	return c.decodeAnswer(answer, into)
}

// openDaemon returns a client of the running daemon.
func (f *settingsFlag) openDaemon(e *env) (*consoleClient, error) {
	loaded, err := f.loadSettings(e)
	if err != nil {
		return nil, err
	}
	return openConsole(&loaded.Pulse)
}
