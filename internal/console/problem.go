package console

import (
	"encoding/json"
	"net/http"
)

// problem is an error as RFC 9457 has it. Its type is that of the HTTP status.
type problem struct {
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
}

// sendProblem answers with an error.
func sendProblem(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Del("Content-Length")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(problem{http.StatusText(status), status, detail})
}

func sendJSON(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(value)
}

// withProblemAnswers turns the mux's own refusals into problems.
func withProblemAnswers(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, pattern := mux.Handler(r); pattern != "" {
			mux.ServeHTTP(w, r)
			return
		}
		refused := headerRecorder{header: make(http.Header)}
		mux.ServeHTTP(&refused, r)
		if allow := refused.header.Get("Allow"); allow != "" {
			w.Header().Set("Allow", allow)
			sendProblem(w, http.StatusMethodNotAllowed, "allowed here: "+allow)
			return
		}
		sendProblem(w, http.StatusNotFound, "nothing is here: /api/v1/openapi.json says what there is")
	})
}

// headerRecorder records the header of a response and discards the rest.
type headerRecorder struct{ header http.Header }

func (r *headerRecorder) Header() http.Header            { return r.header }
func (r *headerRecorder) Write(text []byte) (int, error) { return len(text), nil }
func (r *headerRecorder) WriteHeader(int)                {}
