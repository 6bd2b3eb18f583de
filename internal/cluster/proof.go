package cluster

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"strings"

	"github.com/wazuh-pulse/pulse/seal"
)

// A value is the record's text, a line feed, and in base64url the proof: which key signed the
// root of the tree (the first 8 bytes of the SHA-256 of its ID), the record's place among the
// leaves, the signature, and the hashes beside the way from the record's leaf to the root.
const (
	batchMax     = 64 // leaves of a tree
	depthMax     = 6
	keyIDLen     = 8
	signatureLen = 64
	headLen      = keyIDLen + 1 + signatureLen
	valueMax     = 2 << 10
)

type hash [sha256.Size]byte

type keyID [keyIDLen]byte

var proofBase64 = base64.RawURLEncoding.Strict()

func hashLeaf(key, text string) hash {
	var room [512]byte
	b := append(append(append(room[:0], 0), key...), '\n')
	return sha256.Sum256(append(b, text...))
}

func hashPair(left, right hash) hash {
	var b [1 + 2*sha256.Size]byte
	b[0] = 1
	copy(b[1:], left[:])
	copy(b[1+sha256.Size:], right[:])
	return sha256.Sum256(b[:])
}

// signedRoot is what is signed. It is no JSON, so that no message's signature fits it.
func signedRoot(node string, root hash) []byte {
	return append([]byte("pulse cluster 1\n"+node+"\n"), root[:]...)
}

func keyIDOf(k *seal.Key) keyID {
	sum := sha256.Sum256([]byte(k.ID()))
	return keyID(sum[:keyIDLen])
}

// signer signs batches of records.
type signer struct {
	node string
	sign *seal.Signer
	id   keyID
}

// record is one to be signed.
type record struct{ key, text string }

// signBatch returns the values of up to batchMax records.
func (s *signer) signBatch(records []record) [][]byte {
	level := make([]hash, len(records))
	for i, r := range records {
		level[i] = hashLeaf(r.key, r.text)
	}
	paths := make([][]byte, len(records))
	for width := 1; len(level) > 1; width *= 2 {
		if len(level)%2 == 1 {
			level = append(level, level[len(level)-1])
		}
		for i := range records {
			paths[i] = append(paths[i], level[i/width^1][:]...)
		}
		for i := 0; i < len(level); i += 2 {
			level[i/2] = hashPair(level[i], level[i+1])
		}
		level = level[:len(level)/2]
	}
	_, encoded, _ := strings.Cut(s.sign.Sign(signedRoot(s.node, level[0])), "..")
	signature, err := base64.RawURLEncoding.DecodeString(encoded)
	if err != nil {
		panic("cluster: a signature in another form: " + err.Error())
	}
	values := make([][]byte, len(records))
	for i, r := range records {
		proof := append(append(append([]byte{}, s.id[:]...), byte(i)), signature...)
		proof = append(proof, paths[i]...)
		v := make([]byte, 0, len(r.text)+1+proofBase64.EncodedLen(len(proof)))
		values[i] = proofBase64.AppendEncode(append(append(v, r.text...), '\n'), proof)
	}
	return values
}

// The reasons for which a value is refused.
var (
	errUnsigned  = errors.New("it is not signed")
	errSignature = errors.New("its signature is not valid")
)

// unknownKeyError is the key with which a value is signed.
type unknownKeyError keyID

func (unknownKeyError) Error() string {
	return "it is signed with a key that its node has not published"
}

// proof is a value's.
type proof struct {
	id        keyID
	place     int
	signature [signatureLen]byte
	path      []byte
}

// splitValue splits a value into the record's text and the proof.
func splitValue(value []byte) (text string, p proof, err error) {
	line, encoded, ok := bytes.Cut(value, []byte{'\n'})
	if !ok || len(value) > valueMax {
		return "", p, errUnsigned
	}
	raw := make([]byte, 0, headLen+depthMax*sha256.Size)
	raw, err = proofBase64.AppendDecode(raw, encoded)
	if n := len(raw) - headLen; err != nil || n < 0 || n%sha256.Size != 0 || n > depthMax*sha256.Size {
		return "", p, errUnsigned
	}
	p.id, p.place, p.path = keyID(raw), int(raw[keyIDLen]), raw[headLen:]
	copy(p.signature[:], raw[keyIDLen+1:])
	return string(line), p, nil
}

// root returns the root of the tree that the record is in.
func (p *proof) root(key, text string) hash {
	h := hashLeaf(key, text)
	place := p.place
	for path := p.path; len(path) > 0; path = path[sha256.Size:] {
		if beside := hash(path[:sha256.Size]); place%2 == 0 {
			h = hashPair(h, beside)
		} else {
			h = hashPair(beside, h)
		}
		place /= 2
	}
	return h
}

// verifier verifies the values of one node.
type verifier struct {
	node     string
	keys     map[keyID]trustedKey
	verified [rootsMax]verifiedRoot // the latest
	next     int
}

type trustedKey struct {
	verify *seal.Verifier
	header string // of its signatures
}

// verifiedRoot is a root whose signature was verified.
type verifiedRoot struct {
	root      hash
	id        keyID
	signature [signatureLen]byte
}

const rootsMax = 8

func newVerifier(node string, keys []*seal.Key) *verifier {
	v := &verifier{node: node, keys: make(map[keyID]trustedKey)}
	for _, k := range keys {
		if k.Use() != seal.Signing || k.Node != node {
			continue
		}
		if verify, err := seal.NewVerifier(k); err == nil {
			v.keys[keyIDOf(k)] = trustedKey{verify, signatureHeader(k)}
		}
	}
	return v
}

// signatureHeader is the protected header of a key's signatures, which is the same for all:
// see [seal.Signer.Sign].
func signatureHeader(k *seal.Key) string {
	return base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"EdDSA","b64":false,"crit":["b64"],"kid":"` + k.ID() + `"}`))
}

// verifyValue returns the text of a value under a key.
func (v *verifier) verifyValue(key string, value []byte) (text string, err error) {
	text, p, err := splitValue(value)
	if err != nil {
		return "", err
	}
	k, ok := v.keys[p.id]
	if !ok {
		return "", unknownKeyError(p.id)
	}
	is := verifiedRoot{p.root(key, text), p.id, p.signature}
	for i := range v.verified {
		if v.verified[i] == is {
			return text, nil
		}
	}
	signature := k.header + ".." + base64.RawURLEncoding.EncodeToString(p.signature[:])
	if _, err := k.verify.Verify(signature, signedRoot(v.node, is.root)); err != nil {
		return "", errSignature
	}
	v.verified[v.next%rootsMax] = is
	v.next++
	return text, nil
}

// encodeOrder and decodeOrder are of what nodes publish on pulse.NODE.cluster.
func encodeOrder(order uint64) []byte { return binary.BigEndian.AppendUint64(nil, order) }

func decodeOrder(data []byte) (uint64, bool) {
	if len(data) != 8 {
		return 0, false
	}
	return binary.BigEndian.Uint64(data), true
}
