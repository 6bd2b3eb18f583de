package console

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/wazuh-pulse/pulse/internal/silence"
)

// Silences are the silences of the node.
type Silences interface {
	List() silence.List
	Figures() silence.Figures
	Add(ctx context.Context, r *silence.Request, peer string) (silence.Added, error)
	End(ctx context.Context, id, by, peer string) (silence.Shown, error)
}

const (
	silencesPerSecond = 10 // added and ended, of all clients
	silenceBurst      = 100
	maxSilenceChanges = 4 // at a time; readers of the fleet, which may be slow, do not count
)

func (s *Server) handleSilenceList(w http.ResponseWriter, r *http.Request) {
	if err := checkParameterNames(r.URL.Query(), nil); err != nil {
		sendProblem(w, http.StatusBadRequest, err.Error())
		return
	}
	sendJSON(w, s.cfg.Silences.List())
}

func (s *Server) handleSilenceAdd(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, silence.MaxRequest))
	if err != nil {
		sendProblem(w, http.StatusBadRequest, fmt.Sprintf("the request cannot be read, or is longer than %d bytes", silence.MaxRequest))
		return
	}
	asked, err := silence.ParseRequest(body)
	if err != nil {
		sendProblem(w, http.StatusBadRequest, err.Error())
		return
	}
	var added silence.Added
	if !s.changeSilences(w, r, func(ctx context.Context) (err error) {
		added, err = s.cfg.Silences.Add(ctx, &asked, r.RemoteAddr)
		return err
	}) {
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusCreated)
	sendJSON(w, added)
}

func (s *Server) handleSilenceEnd(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	if err := checkParameterNames(query, []string{"by"}); err != nil {
		sendProblem(w, http.StatusBadRequest, err.Error())
		return
	}
	var ended silence.Shown
	if s.changeSilences(w, r, func(ctx context.Context) (err error) {
		ended, err = s.cfg.Silences.End(ctx, r.PathValue("id"), query.Get("by"), r.RemoteAddr)
		return err
	}) {
		sendJSON(w, ended)
	}
}

// changeSilences makes a change, as soon as less than maxSilenceChanges others are made, or
// answers with an error.
func (s *Server) changeSilences(w http.ResponseWriter, r *http.Request, change func(context.Context) error) bool {
	if !s.silenceRate.Allow() {
		sendTooManyRequests(w, fmt.Sprintf("more than %d changes of silences a second", silencesPerSecond))
		return false
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()
	select {
	case s.silenceSlots <- struct{}{}:
		defer func() { <-s.silenceSlots }()
	case <-ctx.Done():
		sendProblem(w, http.StatusServiceUnavailable, "the node is ending")
		return false
	}
	err := change(ctx)
	if err == nil {
		return true
	}
	status := http.StatusBadRequest
	switch {
	case errors.Is(err, silence.ErrUnknown):
		status = http.StatusNotFound
	case errors.Is(err, silence.ErrOver), errors.Is(err, silence.ErrFromSettings), errors.Is(err, silence.ErrTooMany), errors.Is(err, silence.ErrTooManyWide):
		status = http.StatusConflict
	case errors.Is(err, silence.ErrUnstored):
		status = http.StatusServiceUnavailable
	}
	if id := r.PathValue("id"); id != "" {
		err = fmt.Errorf("silence %.80q: %w", id, err)
	}
	sendProblem(w, status, err.Error())
	return false
}
