// Package keys has the files of a node's keys, and is the one place where keys are
// made, read, replaced and made public:
//
//   - the signing key, private: <nats><signing_key_file>, else signing.jwk in the
//     state directory. An NKey seed will do, too;
//   - reading.jwk in the state directory, private: the encryption key with which the node
//     reads its own outbox;
//   - public.jwks in the state directory: the signing key that is used and those that
//     were, for who verifies. [Bulletin] shows it on NATS.
//
// Files with secrets have mode 0600, and others are refused. No error has a secret in it.
//
// Its functions start no goroutines, and none of them may be called beside another for
// the same files; [Bulletin.Run] runs in its caller's.
package keys
