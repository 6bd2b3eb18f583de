package provision

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/lastwill"
)

// nodeLostSubject returns the subject of announced losses of nodes.
func nodeLostSubject(prefix event.Prefix) string { return prefix.NodeLost() }

// willServices returns the service for storing a node's last will.
func willServices() []service { return []service{{subject: lastwill.Subject("*")}} }

func willFilePath(node string) string {
	return filepath.Join(streamsDir, lastwill.StreamName(node)+".json")
}

// willFile returns the configuration of the stream of a node's last will.
func willFile(node string, replicas int) (file, error) {
	cfg := lastwill.StreamConfig(node)
	cfg.Replicas = replicas
	return jsonFile(willFilePath(node), cfg)
}

// newWillFiles returns the configurations that an existing setup does not have yet, of nodes
// that have the right to write their last wills: they are new, or have new credentials.
func (st *Setup) newWillFiles(nodes []string) (files []file, err error) {
	for _, n := range nodes {
		if _, err := os.Stat(filepath.Join(st.dir, willFilePath(n))); !errors.Is(err, fs.ErrNotExist) {
			continue
		}
		replicas, err := st.readReplicas()
		if err != nil {
			return nil, err
		}
		f, err := willFile(n, replicas)
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	return files, nil
}

// readReplicas returns how many replicas the streams of an existing setup have.
func (st *Setup) readReplicas() (int, error) {
	text, err := os.ReadFile(filepath.Join(st.dir, streamsDir, statusStream+".json"))
	if err != nil {
		return 0, err
	}
	var status jetstream.StreamConfig
	if err := json.Unmarshal(text, &status); err != nil {
		return 0, fmt.Errorf("%s.json: %w", statusStream, err)
	}
	return max(1, status.Replicas), nil
}

// applyWillStream makes the stream of a last will, or lets an existing one schedule messages.
// It is no error if the server cannot: the node then has no last will.
func applyWillStream(ctx context.Context, js jetstream.JetStream, cfg jetstream.StreamConfig) (m Made, err error) {
	m.What = "stream " + cfg.Name
	s, err := js.Stream(ctx, cfg.Name)
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		m.New = true
		s, err = js.CreateStream(ctx, cfg)
	case err == nil && !s.CachedInfo().Config.AllowMsgSchedules:
		m.Changed = "schedules messages now"
		s, err = js.UpdateStream(ctx, cfg)
	}
	if err == nil && !s.CachedInfo().Config.AllowMsgSchedules {
		m.Changed, m.Problem = "", "the server schedules no messages, which takes NATS 2.12: the node's loss is announced by other nodes alone"
	}
	return m, err
}

// applyWillSources has the stream of alerts take the losses that the server announces of
// these nodes.
func (st *Setup) applyWillSources(ctx context.Context, js jetstream.JetStream, nodes []string) (m Made, err error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	subject := nodeLostSubject(event.Prefix(st.state.Prefix))
	name, err := js.StreamNameBySubject(ctx, subject)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return m, nil
	}
	var s jetstream.Stream
	if err == nil {
		s, err = js.Stream(ctx, name)
	}
	if err != nil {
		return m, fmt.Errorf("find the stream of %s: %w", subject, err)
	}
	cfg := s.CachedInfo().Config
	for _, n := range nodes {
		if !slices.ContainsFunc(cfg.Sources, func(from *jetstream.StreamSource) bool { return from.Name == lastwill.StreamName(n) }) {
			cfg.Sources = append(cfg.Sources, lastwill.SourceConfig(n, subject))
		}
	}
	if len(cfg.Sources) == len(s.CachedInfo().Config.Sources) {
		return m, nil
	}
	if cfg.Duplicates == 0 { // a server turns it off where a stream has sources, unless it is given
		cfg.Duplicates = duplicatesTime
	}
	m = Made{What: "stream " + name, Changed: "takes what the server announces of nodes that are lost"}
	if _, err := js.UpdateStream(ctx, cfg); err != nil {
		return m, fmt.Errorf("let stream %s take announced losses of nodes: %w", name, err)
	}
	return m, nil
}

// isWillStream reports whether a stream is of the last will of a node, and of which.
func isWillStream(name string) (node string, ok bool) {
	return strings.CutPrefix(name, lastwill.StreamName(""))
}
