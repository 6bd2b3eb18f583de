package console

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/internal/testport"
)

// startBufferingProxy is a reverse proxy that sends an answer on in pieces of 64 KiB, and
// compressed, unless it is asked not to: by X-Accel-Buffering, and by no-transform.
func startBufferingProxy(t *testing.T, target string) string {
	t.Helper()
	transport := &http.Transport{DisableCompression: true}
	t.Cleanup(transport.CloseIdleConnections)
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		out := r.Clone(r.Context())
		out.RequestURI, out.URL.Scheme, out.URL.Host = "", "http", strings.TrimPrefix(target, "http://")
		answer, err := transport.RoundTrip(out)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer answer.Body.Close()
		for name, values := range answer.Header {
			w.Header()[name] = values
		}
		body := io.Writer(w)
		if !strings.Contains(answer.Header.Get("Cache-Control"), "no-transform") && strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			w.Header().Set("Content-Encoding", "gzip")
			packed := gzip.NewWriter(w)
			defer packed.Close()
			body = packed
		}
		flush := http.NewResponseController(w).Flush
		if answer.Header.Get("X-Accel-Buffering") != "no" {
			held := bufio.NewWriterSize(body, 64<<10)
			defer held.Flush()
			body, flush = held, func() error { return nil }
		}
		piece := make([]byte, 4096)
		for {
			n, err := answer.Body.Read(piece)
			if _, failed := body.Write(piece[:n]); failed != nil || err != nil {
				return
			}
			_ = flush()
		}
	}))
	t.Cleanup(proxy.Close)
	return proxy.URL
}

// startNginx starts a real one in front of a server, or skips the test.
func startNginx(t *testing.T, target string) string {
	t.Helper()
	path, err := exec.LookPath("nginx")
	if err != nil {
		t.Skip("no nginx on this machine: apt-get install nginx-light")
	}
	dir, port := t.TempDir(), testport.Free(t)
	settings := fmt.Sprintf(`daemon off; pid %[1]s/pid; error_log %[1]s/error.log;
events {}
http {
  access_log off; gzip on; gzip_types *; gzip_min_length 0; gzip_proxied any;
  client_body_temp_path %[1]s/b; proxy_temp_path %[1]s/p; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
  server { listen 127.0.0.1:%[2]d; location / { proxy_pass %[3]s; } }
}
`, dir, port, target)
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, path, "-p", dir, "-c", file)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(); _ = cmd.Wait() })
	url := fmt.Sprintf("http://127.0.0.1:%d", port)
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for deadline := time.After(waitTimeout); ; {
		if answer, err := client.Get(url + "/healthz"); err == nil {
			answer.Body.Close()
			return url
		}
		select {
		case <-deadline:
			t.Fatalf("nginx does not start: %s", &said)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// The second of two events comes when it happens, and not when a buffer is full.
func TestEventsComeThroughAReverseProxyAtOnce(t *testing.T) {
	for name, between := range map[string]func(*testing.T, string) string{"buffering": startBufferingProxy, "nginx": startNginx} {
		t.Run(name, func(t *testing.T) {
			s := openFixture(t, 3)
			s.connectAgents(1, 3)
			s.url = between(t, s.url)
			s.client.Transport = &http.Transport{DisableCompression: true}
			l := s.openEvents("", "Accept-Encoding", "gzip")
			switch got := l.answer.Header.Get("Content-Encoding"); {
			case got == "gzip" && name == "nginx": // it ignores no-transform, and flushes what it compresses with each piece
				packed, err := gzip.NewReader(l.answer.Body)
				if err != nil {
					t.Fatal(err)
				}
				l.lines = bufio.NewScanner(packed)
			case got != "":
				t.Errorf("encoded as %s", got)
			}
			l.nextEvent("hello")
			for id := range 3 {
				s.addEvents(1)
				if events, _ := l.nextChanges(); len(events) == 0 {
					t.Errorf("event %d: none", id)
				}
			}
		})
	}
}
