package provision

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/kv"
	"github.com/wazuh-pulse/pulse/internal/lastwill"
	"github.com/wazuh-pulse/pulse/internal/remote"
)

const (
	streamsDir   = "streams"   // STREAM.json
	consumersDir = "consumers" // STREAM.READER.json
)

const gigabyte = 1 << 30

// duplicatesTime is for how long a stream remembers which messages it has. After an outage
// Pulse resumes at the last confirmed message: what it repeats is recent.
const duplicatesTime = 10 * time.Minute

// streamConfigs returns the configurations of all streams, including those of buckets.
func (s *state) streamConfigs(replicas int) []jetstream.StreamConfig {
	prefix := event.Prefix(s.Prefix)
	list := []jetstream.StreamConfig{{
		Name: statusStream, Description: "Pulse: status changes of agents, and alerts",
		Subjects: []string{prefix.StatusChanges(), string(prefix) + ".alerts.*"},
		MaxBytes: 10 * gigabyte, DenyDelete: true, DenyPurge: true,
	}, {
		Name: telemetryStream, Description: "Pulse: keep-alive events, and heartbeats of the nodes",
		Subjects: []string{prefix.KeepAlive("*"), prefix.ManagerStatus("*")},
		MaxBytes: 10 * gigabyte, MaxAge: 7 * 24 * time.Hour, DenyDelete: true,
	}}
	if s.OCSF != "" {
		list = append(list, s.ocsfStreamConfig())
	}
	for i := range list {
		list[i].MaxMsgsPerSubject, list[i].Duplicates = -1, duplicatesTime
	}
	for _, b := range []struct {
		name, description string
		history           int64
	}{
		{event.AgentsBucket, "Pulse: the present state of every agent", 1},
		{keysBucket, "Pulse: the public keys of the nodes", 10},
	} {
		list = append(list, kv.StreamConfig(b.name, b.description, b.history))
	}
	for i := range list {
		s := &list[i]
		s.Storage, s.AllowDirect = jetstream.FileStorage, true
		s.MaxMsgs, s.MaxConsumers, s.MaxMsgSize = -1, -1, -1
	}
	if s.Cluster != "" {
		list = append(list, kv.ClusterStreamConfig())
	}
	for i := range s.Users {
		if s.Users[i].Kind == node {
			list = append(list, lastwill.StreamConfig(s.Users[i].Name))
		}
	}
	for i := range list {
		list[i].Replicas = replicas
	}
	return list
}

// ocsfStreamConfig returns the configuration of the stream of OCSF events.
func (s *state) ocsfStreamConfig() jetstream.StreamConfig {
	return jetstream.StreamConfig{Name: ocsfStream, Description: "Pulse: status changes and alerts as events of OCSF", Subjects: []string{s.OCSF + ".>"},
		MaxBytes: 10 * gigabyte, DenyDelete: true, DenyPurge: true, MaxMsgsPerSubject: -1, Duplicates: duplicatesTime,
		Storage: jetstream.FileStorage, AllowDirect: true, MaxMsgs: -1, MaxConsumers: -1, MaxMsgSize: -1}
}

func streamFiles(s *state, replicas int) (files []file, err error) {
	for _, cfg := range s.streamConfigs(replicas) {
		f, err := jsonFile(filepath.Join(streamsDir, cfg.Name+".json"), cfg)
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	return files, nil
}

// clusterStreamFile returns the configuration of the cluster's bucket for an existing setup,
// with as many replicas as its other streams have.
func (st *Setup) clusterStreamFile() (file, error) {
	replicas, err := st.readReplicas()
	if err != nil {
		return file{}, err
	}
	cfg := kv.ClusterStreamConfig()
	cfg.Replicas = replicas
	return jsonFile(filepath.Join(streamsDir, cfg.Name+".json"), cfg)
}

// consumerConfig returns the configuration of a reader's own consumer of a stream. The
// consumer of the agents' states begins with all present states, followed by changes.
func consumerConfig(stream, reader string) jetstream.ConsumerConfig {
	cfg := jetstream.ConsumerConfig{Name: reader, Durable: reader, Description: "of the reader " + reader, AckPolicy: jetstream.AckExplicitPolicy,
		AckWait: 30 * time.Second, MaxDeliver: -1, MaxAckPending: 10_000, MaxWaiting: 512}
	if stream == agentsStream {
		cfg.DeliverPolicy = jetstream.DeliverLastPerSubjectPolicy
		cfg.FilterSubject = "$KV." + event.AgentsBucket + ".>"
	}
	return cfg
}

func consumerFilePath(stream, reader string) string {
	return filepath.Join(consumersDir, stream+"."+reader+".json")
}

func consumerFiles(s *state, reader string) (files []file, err error) {
	for _, stream := range s.listConsumedStreams() {
		f, err := jsonFile(consumerFilePath(stream, reader), consumerConfig(stream, reader))
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	return files, nil
}

func jsonFile(path string, v any) (file, error) {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return file{}, fmt.Errorf("make %s: %w", path, err)
	}
	return file{path, append(text, '\n'), public}, nil
}

// answerTimeout is for one answer of the server; making a stream in a cluster needs an election.
const answerTimeout = 20 * time.Second

// Made is a stream or a consumer on the server after [Setup.Apply].
type Made struct {
	What    string // such as "stream STATUS" or "consumer xdr of STATUS"
	New     bool   // made now
	Changed string // how an existing one was changed; "" if it was not
	Problem string // what it cannot do
}

// Apply makes the streams, buckets and consumers on the running server by the present
// files of the setup. Existing ones are not changed, but for buckets that allow roll-ups,
// which one node could wipe, and for what nodes' last wills need. The URL is "" for the
// setup's own hosts.
func (st *Setup) Apply(ctx context.Context, url string) (made []Made, err error) {
	return st.applyOn(ctx, st.RemoteConfig(url))
}

// ApplyIn is [Setup.Apply] with the server and the login of a context of the nats command line, and in its domain.
func (st *Setup) ApplyIn(ctx context.Context, name string) (made []Made, err error) {
	return st.applyOn(ctx, remote.Config{Context: name, Name: connectionName, Timeout: answerTimeout, Log: slog.New(slog.DiscardHandler)})
}

const connectionName = "pulse provision"

func (st *Setup) applyOn(ctx context.Context, server remote.Config) (made []Made, err error) {
	session, err := remote.Dial(ctx, server)
	if err != nil {
		return nil, err
	}
	defer session.Conn.Close()
	js, err := session.JetStreamDomain().NewClient(session.Conn, jetstream.WithDefaultTimeout(answerTimeout))
	if err != nil {
		return nil, err
	}
	var willing []string // nodes that have a last will
	err = forEachJSONFile(filepath.Join(st.dir, streamsDir), func(base string, text []byte) error {
		m, err := applyStreamConfig(ctx, js, text)
		made = append(made, m)
		if n, ok := isWillStream(base); ok && m.Problem == "" {
			willing = append(willing, n)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	m, err := st.applyWillSources(ctx, js, willing)
	if err != nil {
		return nil, err
	}
	if i := slices.IndexFunc(made, func(of Made) bool { return of.What == m.What }); m.Changed != "" && (i < 0 || !made[i].New) {
		made = append(made, m)
	}
	err = forEachJSONFile(filepath.Join(st.dir, consumersDir), func(base string, text []byte) error {
		stream, _, _ := strings.Cut(base, ".")
		var cfg jetstream.ConsumerConfig
		if err := json.Unmarshal(text, &cfg); err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(ctx, answerTimeout)
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

func applyStreamConfig(ctx context.Context, js jetstream.JetStream, text []byte) (m Made, err error) {
	var cfg jetstream.StreamConfig
	if err := json.Unmarshal(text, &cfg); err != nil {
		return m, err
	}
	m.What = "stream " + cfg.Name
	isBucket := strings.HasPrefix(cfg.Name, "KV_")
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	if _, ok := isWillStream(cfg.Name); ok {
		return applyWillStream(ctx, js, cfg)
	}
	s, err := js.Stream(ctx, cfg.Name)
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		if isBucket { // files of an earlier version allow them
			cfg.AllowRollup = false
		}
		m.New = true
		_, err = js.CreateStream(ctx, cfg)
	case err == nil && isBucket && kv.AllowsWipe(&s.CachedInfo().Config):
		m.Changed = "forbids roll-ups now"
		err = kv.ProtectStream(ctx, js, s.CachedInfo().Config)
	}
	return m, err
}

// RemoteConfig returns the connection of the setup's administrator to the server.
func (st *Setup) RemoteConfig(url string) remote.Config {
	u := user{Kind: admin, Name: string(admin)}
	cfg := remote.Config{URL: cmp.Or(url, st.state.serverURLs()), Name: connectionName, CredentialsFile: filepath.Join(st.dir, u.credsPath()), Timeout: answerTimeout,
		Log: slog.New(slog.DiscardHandler)}
	if st.trust.pem != nil {
		cfg.CA = filepath.Join(st.dir, u.caPath())
	}
	if st.state.MutualTLS {
		cfg.Cert, cfg.Key = filepath.Join(st.dir, u.certPath()), filepath.Join(st.dir, u.certKeyPath())
	}
	return cfg
}

func forEachJSONFile(dir string, do func(base string, text []byte) error) error {
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
			return fmt.Errorf("apply %s: %w", path, err)
		}
	}
	return nil
}
