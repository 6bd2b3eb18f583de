package provision

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/wazuh-pulse/pulse/internal/kv"
	"github.com/wazuh-pulse/pulse/internal/remote"
)

// answerWait is for one answer of the server; making a stream in a cluster takes an election.
const answerWait = 20 * time.Second

// Made says what became of a stream or a consumer on the server.
type Made struct {
	What    string // stream STATUS, consumer xdr of STATUS
	New     bool   // it was not there before; one that was there is left as it is
	Changed bool   // a bucket that one node could have wiped is one no more
}

// Apply makes the streams, buckets and consumers on the running server, as the
// files have them that are there now. What the server has already stays as it is,
// but for buckets that allow roll-ups: one node could wipe them.
// The URL is "" for the setup's own hosts.
func (st *Setup) Apply(ctx context.Context, url string) (made []Made, err error) {
	session, err := remote.Dial(ctx, st.Way(url))
	if err != nil {
		return nil, err
	}
	defer session.Conn.Close()
	js, err := jetstream.New(session.Conn, jetstream.WithDefaultTimeout(answerWait))
	if err != nil {
		return nil, err
	}
	err = eachFile(filepath.Join(st.dir, streamsDir), func(base string, text []byte) error {
		m, err := applyStream(ctx, js, text)
		made = append(made, m)
		return err
	})
	if err != nil {
		return nil, err
	}
	err = eachFile(filepath.Join(st.dir, consumersDir), func(base string, text []byte) error {
		stream, _, _ := strings.Cut(base, ".")
		var cfg jetstream.ConsumerConfig
		if err := json.Unmarshal(text, &cfg); err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(ctx, answerWait)
		defer cancel()
		_, err := js.Consumer(ctx, stream, cfg.Name)
		missing := errors.Is(err, jetstream.ErrConsumerNotFound)
		if missing {
			_, err = js.CreateConsumer(ctx, stream, cfg)
		}
		made = append(made, Made{What: "consumer " + cfg.Name + " of " + stream, New: missing})
		return err
	})
	return made, err
}

func applyStream(ctx context.Context, js jetstream.JetStream, text []byte) (m Made, err error) {
	var cfg jetstream.StreamConfig
	if err := json.Unmarshal(text, &cfg); err != nil {
		return m, err
	}
	m.What = "stream " + cfg.Name
	isBucket := strings.HasPrefix(cfg.Name, "KV_")
	ctx, cancel := context.WithTimeout(ctx, answerWait)
	defer cancel()
	s, err := js.Stream(ctx, cfg.Name)
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		if isBucket { // files of an earlier version allow them
			cfg.AllowRollup = false
		}
		m.New = true
		_, err = js.CreateStream(ctx, cfg)
	case err == nil && isBucket && kv.AllowsWipe(&s.CachedInfo().Config):
		m.Changed = true
		err = kv.ProtectStream(ctx, js, s.CachedInfo().Config)
	}
	return m, err
}

// Way is how the setup's administrator gets to the server.
func (st *Setup) Way(url string) remote.Config {
	u := user{Kind: admin, Name: string(admin)}
	if url == "" {
		url = st.state.urls()
	}
	way := remote.Config{URL: url, Name: "pulse provision", CredentialsFile: filepath.Join(st.dir, u.creds()), Timeout: answerWait,
		Log: slog.New(slog.DiscardHandler)}
	if st.trust.pem != nil {
		way.CA = filepath.Join(st.dir, u.ca())
	}
	if st.state.MutualTLS {
		way.Cert, way.Key = filepath.Join(st.dir, u.cert()), filepath.Join(st.dir, u.certKey())
	}
	return way
}

func eachFile(dir string, do func(base string, text []byte) error) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		base, ok := strings.CutSuffix(e.Name(), ".json")
		if !ok {
			continue
		}
		path := filepath.Join(dir, e.Name())
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if err := do(base, text); err != nil {
			return fmt.Errorf("make what %s says: %w", path, err)
		}
	}
	return nil
}
