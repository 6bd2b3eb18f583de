// Package kv has the JetStream key-value buckets that several nodes write to:
// how they are configured, made, and kept from being wiped by one of the nodes.
//
// A bucket that a client library makes allows roll-ups: one message with the header
// Nats-Rollup removes all others of its key, or of the whole bucket. Whoever may
// write one key may then delete those of all nodes. The buckets here refuse roll-ups,
// purges and the deletion of single messages; a delete marker can still be written
// to a key.
//
// Its functions start no goroutines and may be called concurrently.
package kv

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// StreamConfig returns the configuration of a bucket's stream. History is how many values
// each key keeps.
func StreamConfig(name, description string, history int64) jetstream.StreamConfig {
	return jetstream.StreamConfig{Name: "KV_" + name, Description: description, Subjects: []string{"$KV." + name + ".>"},
		MaxMsgsPerSubject: history, MaxBytes: -1, MaxMsgs: -1, MaxMsgSize: -1, MaxConsumers: -1, Discard: jetstream.DiscardNew,
		Storage: jetstream.FileStorage, Replicas: 1, AllowDirect: true, DenyDelete: true, DenyPurge: true, Duplicates: 2 * time.Minute}
}

// ClusterBucket is the bucket by which the nodes of a cluster know where agents are.
const ClusterBucket = "PULSE_CLUSTER"

// Limits of the cluster's bucket: a node that writes whatever it can uses up no more. A key
// that is there can be written when the bucket is full.
const (
	clusterKeysMax  = 4 << 20
	clusterValueMax = 2 << 10
)

// ClusterStreamConfig returns the configuration of the stream of [ClusterBucket]. A value may
// have a time after which the server removes it.
func ClusterStreamConfig() jetstream.StreamConfig {
	cfg := StreamConfig(ClusterBucket, "Pulse: where agents are, and the nodes' signs of life", 1)
	cfg.MaxMsgs, cfg.MaxMsgSize, cfg.AllowMsgTTL = clusterKeysMax, clusterValueMax, true
	return cfg
}

// AllowsWipe reports whether a client that may write one value of a bucket's stream can
// remove the others.
func AllowsWipe(cfg *jetstream.StreamConfig) bool { return cfg.AllowRollup }

// ProtectStream updates the stream of an existing bucket, so that it refuses what a stream
// of [StreamConfig] refuses.
func ProtectStream(ctx context.Context, js jetstream.JetStream, cfg jetstream.StreamConfig) error {
	cfg.AllowRollup, cfg.DenyDelete, cfg.DenyPurge = false, true, true
	if _, err := js.UpdateStream(ctx, cfg); err != nil {
		return fmt.Errorf("forbid roll-ups in stream %s: %w", cfg.Name, err)
	}
	return nil
}
