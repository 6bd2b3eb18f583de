package kv

import (
	"errors"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

func TestAnAnswerToAWriteIsARevisionOrAReason(t *testing.T) {
	if revision, err := parseAck(&nats.Msg{Data: []byte(`{"stream":"KV_A","seq":7}`)}); revision != 7 || err != nil {
		t.Errorf("%d, %v", revision, err)
	}
	var api *jetstream.APIError
	if _, err := parseAck(&nats.Msg{Data: []byte(`{"error":{"code":400,"err_code":10071,"description":"wrong last sequence: 3"}}`)}); !errors.As(err, &api) || api.ErrorCode != jetstream.JSErrCodeStreamWrongLastSequence {
		t.Error(err)
	}
	if _, err := parseAck(&nats.Msg{Header: nats.Header{"Status": {"503"}}}); !errors.Is(err, jetstream.ErrNoStreamResponse) {
		t.Error(err)
	}
	for _, text := range []string{"", "hello", "{}", `{"seq":-1}`, `{"seq":0}`, `[]`} {
		if _, err := parseAck(&nats.Msg{Data: []byte(text)}); !errors.Is(err, errBadAck) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func FuzzParseAck(f *testing.F) {
	f.Add([]byte(`{"stream":"KV_A","seq":7}`))
	f.Add([]byte(`{"error":{"err_code":10071}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if revision, err := parseAck(&nats.Msg{Data: data}); (revision == 0) == (err == nil) {
			t.Errorf("%d, %v", revision, err)
		}
	})
}
