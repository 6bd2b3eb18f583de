package provision

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/kv"
)

const (
	streamsDir   = "streams"   // STREAM.json
	consumersDir = "consumers" // STREAM.READER.json
)

const gigabyte = 1 << 30

// streamConfigs are all streams, those of buckets among them.
func streamConfigs(prefix event.Prefix, replicas int) []jetstream.StreamConfig {
	list := []jetstream.StreamConfig{{
		Name: statusStream, Description: "Pulse: status changes of agents, and alerts",
		Subjects: []string{prefix.StatusChanges(), string(prefix) + ".alerts.*"},
		MaxBytes: 10 * gigabyte, DenyDelete: true, DenyPurge: true,
	}, {
		Name: telemetryStream, Description: "Pulse: keep-alive events, and heartbeats of the nodes",
		Subjects: []string{prefix.KeepAlive("*"), prefix.ManagerStatus("*")},
		MaxBytes: 10 * gigabyte, MaxAge: 7 * 24 * time.Hour, DenyDelete: true,
	}}
	for i := range list {
		// After an outage Pulse begins where the server last confirmed: what it repeats comes soon.
		list[i].MaxMsgsPerSubject, list[i].Duplicates = -1, 10*time.Minute
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
		s.Storage, s.Replicas, s.AllowDirect = jetstream.FileStorage, replicas, true
		s.MaxMsgs, s.MaxConsumers, s.MaxMsgSize = -1, -1, -1
	}
	return list
}

func streamFiles(s *state, replicas int) (files []file, err error) {
	for _, cfg := range streamConfigs(event.Prefix(s.Prefix), replicas) {
		f, err := jsonFile(filepath.Join(streamsDir, cfg.Name+".json"), cfg)
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	return files, nil
}

// consumerConfig is a reader's own consumer of a stream. That of the agents'
// states begins with all there are, and goes on with what changes.
func consumerConfig(stream, reader string) jetstream.ConsumerConfig {
	cfg := jetstream.ConsumerConfig{Name: reader, Durable: reader, Description: "of the reader " + reader, AckPolicy: jetstream.AckExplicitPolicy,
		AckWait: 30 * time.Second, MaxDeliver: -1, MaxAckPending: 10_000, MaxWaiting: 512}
	if stream == agentsStream {
		cfg.DeliverPolicy = jetstream.DeliverLastPerSubjectPolicy
		cfg.FilterSubject = "$KV." + event.AgentsBucket + ".>"
	}
	return cfg
}

func consumerFile(stream, reader string) string {
	return filepath.Join(consumersDir, stream+"."+reader+".json")
}

func consumerFiles(reader string) (files []file, err error) {
	for _, stream := range followed {
		f, err := jsonFile(consumerFile(stream, reader), consumerConfig(stream, reader))
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
