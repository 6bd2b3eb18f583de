package redpanda

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"testing"
)

const (
	password = "a password of OpenSearch's"
	token    = "12345678-1234-1234-1234-123456789012"
)

// failure is what goes wrong with one request: it returns true if the request was answered,
// or is not to be.
type failure func(s *sink, w http.ResponseWriter, r *http.Request, body []byte) bool

// sink is OpenSearch or Splunk as far as a bridge sees it. What it stores is kept by its ID.
type sink struct {
	t     *testing.T
	store func(s *sink, w http.ResponseWriter, r *http.Request, body []byte)

	mu       sync.Mutex
	stored   map[string]json.RawMessage
	failures []failure
	refuse   int // the status of the next item

	blocked chan struct{} // a request waits
	free    chan struct{} // closed: it need not any longer
	once    sync.Once
}

func newSink(t *testing.T, store func(*sink, http.ResponseWriter, *http.Request, []byte)) *sink {
	return &sink{t: t, store: store, stored: map[string]json.RawMessage{}, blocked: make(chan struct{}, 100), free: make(chan struct{})}
}

// fail has the next requests fail.
func (s *sink) fail(how ...failure) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failures = append(s.failures, how...)
}

func (s *sink) len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.stored)
}

func (s *sink) waitBlocked() { <-s.blocked }
func (s *sink) unblock()     { s.once.Do(func() { close(s.free) }) }

func (s *sink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the bridge is gone
	}
	s.mu.Lock()
	var how failure
	if len(s.failures) > 0 {
		how, s.failures = s.failures[0], s.failures[1:]
	}
	s.mu.Unlock()
	if how != nil && how(s, w, r, body) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.store(s, w, r, body)
}

// status answers with a status, and stores nothing.
func status(code int) failure {
	return func(_ *sink, w http.ResponseWriter, _ *http.Request, _ []byte) bool {
		w.WriteHeader(code)
		return true
	}
}

// cutOff ends the connection, and stores nothing.
func cutOff(*sink, http.ResponseWriter, *http.Request, []byte) bool { panic(http.ErrAbortHandler) }

// unanswered stores everything, and ends the connection without an answer.
func unanswered(s *sink, _ http.ResponseWriter, r *http.Request, body []byte) bool {
	s.mu.Lock()
	s.store(s, nowhere{}, r, body)
	s.mu.Unlock()
	panic(http.ErrAbortHandler)
}

type nowhere struct{}

func (nowhere) Header() http.Header         { return http.Header{} }
func (nowhere) Write(b []byte) (int, error) { return len(b), nil }
func (nowhere) WriteHeader(int)             {}

// partly refuses the first item of the request.
func partly(code int) failure {
	return func(s *sink, _ http.ResponseWriter, _ *http.Request, _ []byte) bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.refuse = code
		return false
	}
}

// blocked does not answer before the sink is unblocked, and stores nothing.
func blocked(s *sink, w http.ResponseWriter, _ *http.Request, _ []byte) bool {
	s.blocked <- struct{}{}
	<-s.free
	w.WriteHeader(503)
	return true
}

// serveBulk is OpenSearch's bulk API: two lines for a document, the last one ended too.
func serveBulk(s *sink, w http.ResponseWriter, r *http.Request, body []byte) {
	user, pass, _ := r.BasicAuth()
	if r.Method != http.MethodPost || r.URL.Path != "/_bulk" || r.Header.Get("Content-Type") != "application/x-ndjson" ||
		user != "pulse" || pass != password || !bytes.HasSuffix(body, []byte("}\n")) {
		s.t.Errorf("%s %s, %v: %.200q", r.Method, r.URL, r.Header, body)
		w.WriteHeader(400)
		return
	}
	var items []any
	failed := false
	lines := bufio.NewScanner(bytes.NewReader(body))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var action map[string]struct {
			Index string `json:"_index"`
			ID    string `json:"_id"`
		}
		if err := json.Unmarshal(lines.Bytes(), &action); err != nil || len(action) != 1 || action["create"].Index != "pulse-status" ||
			!strings.HasPrefix(action["create"].ID, "node01-") || !lines.Scan() || !json.Valid(lines.Bytes()) {
			s.t.Errorf("bulk: %v: %.300q", err, lines.Bytes())
			w.WriteHeader(400)
			return
		}
		id := action["create"].ID
		answer := map[string]any{"_index": "pulse-status", "_id": id, "status": 201}
		switch {
		case s.refuse != 0:
			answer["status"], answer["error"] = s.refuse, map[string]string{"type": "mapper_parsing_exception", "reason": "failed to parse"}
			s.refuse, failed = 0, true
		case s.stored[id] != nil:
			answer["status"], answer["error"] = 409, map[string]string{"type": "version_conflict_engine_exception", "reason": "document already exists"}
			failed = true
		default:
			s.stored[id] = bytes.Clone(lines.Bytes())
		}
		items = append(items, map[string]any{"create": answer})
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(map[string]any{"took": 1, "errors": failed, "items": items})
}

// serveHEC is Splunk's HTTP Event Collector: events one after another.
func serveHEC(s *sink, w http.ResponseWriter, r *http.Request, body []byte) {
	if r.Method != http.MethodPost || r.URL.Path != "/services/collector/event" || r.Header.Get("Authorization") != "Splunk "+token {
		s.t.Errorf("%s %s, %v", r.Method, r.URL, r.Header)
		w.WriteHeader(403)
		return
	}
	d := json.NewDecoder(bytes.NewReader(body))
	for d.More() {
		var raw json.RawMessage
		var e struct {
			Time       float64
			Source     string
			Sourcetype string
			Index      string
			Event      any
			Fields     map[string]string // Splunk takes no nested ones
		}
		err := d.Decode(&raw)
		if err == nil {
			strict := json.NewDecoder(bytes.NewReader(raw))
			strict.DisallowUnknownFields()
			err = strict.Decode(&e)
		}
		if err != nil || e.Time < 1.7e9 || e.Time > 5e9 || e.Sourcetype != "pulse:status" || e.Index != "main" || e.Event == nil || e.Fields["pulse_id"] == "" {
			s.t.Errorf("HEC: %v: %.400q", err, raw)
			w.WriteHeader(400)
			return
		}
		s.stored[e.Fields["pulse_id"]] = raw
	}
	fmt.Fprint(w, `{"text":"Success","code":0}`)
}

func sameJSON(a, b []byte) bool {
	var x, y any
	return json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && reflect.DeepEqual(x, y)
}
