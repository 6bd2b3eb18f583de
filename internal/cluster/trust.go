package cluster

import (
	"context"
	"errors"
	"slices"
	"time"
)

// readVerifier reads the public keys of a node. Keys that cannot be parsed are none.
func (r *reader) readVerifier(ctx context.Context, node string) (*verifier, error) {
	list, err := r.bucket.readPublicKeys(ctx, node)
	if errors.Is(err, errBadKeys) {
		r.log.Warn("the public keys of a node are not known: what it writes is refused", "node", node, "err", err)
		err = nil
	}
	if err != nil {
		return nil, err
	}
	r.looked[node] = time.Now()
	r.verifiers[node] = newVerifier(node, list)
	return r.verifiers[node], nil
}

// missedMax is how many keys of a node are remembered that were not known.
const missedMax = 16

func (r *reader) rememberMissedKey(node string, id keyID) {
	if missed := r.missed[node]; !slices.Contains(missed, id) && len(missed) < missedMax {
		r.missed[node] = append(missed, id)
	}
}

// readMissedKeys reads again the keys of nodes whose records were refused because their keys
// were not known, and if they are known now, the records.
func (r *reader) readMissedKeys(ctx context.Context) error {
	found := false
	for node, missed := range r.missed {
		v, err := r.readVerifier(ctx, node)
		if err != nil {
			return err
		}
		for _, id := range missed {
			if _, known := v.keys[id]; known {
				delete(r.missed, node)
				found = true
				break
			}
		}
	}
	if found {
		r.reread(r.position)
	}
	return nil
}

// waitForOwnKey reads this node's public keys. The writer starts when the one that it signs
// with is among them: what it wrote before would be refused.
func (r *reader) waitForOwnKey(ctx context.Context) error {
	for warned := false; ; {
		v, err := r.readVerifier(ctx, r.cfg.Node)
		if err != nil {
			return err
		}
		if _, ok := v.keys[r.signer.id]; ok {
			close(r.writable)
			return nil
		}
		if !warned {
			warned = true
			r.log.Info("this node's public key is not in the bucket of the keys yet: its agents are claimed when it is", "key", r.cfg.Signer.Key().ID())
		}
		if err := r.readTo(ctx); err != nil {
			return err
		}
		select {
		case <-time.After(min(r.timing.keyWait, time.Second)):
		case <-r.bucket.session.Ended():
			return r.bucket.session.Reason()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
