package daemon

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
)

// tagger makes the IDs of messages such that nobody can foresee one, and have a
// stream take a message of ours for a duplicate: each ends with a code that only this
// run of the node can make.
//
// The secret is in memory only. Another run has another epoch, and makes none of these IDs
// again; what is sent again after a crash has the ID with which it is stored.
type tagger struct{ secret [32]byte }

func newTagger() *tagger {
	t := new(tagger)
	_, _ = rand.Read(t.secret[:]) // never fails
	return t
}

// tagBytes is how much of the code an ID has: 16 characters.
const tagBytes = 10

// tag appends the code of an ID to it; a nil tagger appends nothing.
func (t *tagger) tag(id string) string {
	if t == nil {
		return id
	}
	mac := hmac.New(sha256.New, t.secret[:])
	mac.Write([]byte(id))
	return id + "-" + base32.StdEncoding.EncodeToString(mac.Sum(nil)[:tagBytes])
}
