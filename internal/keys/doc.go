// Package keys makes, reads, rotates and publishes a node's keys:
//
//   - the signing key, private: <nats><signing_key_file>, else signing.jwk in the
//     state directory. It may be an NKey seed;
//   - reading.jwk in the state directory, private: the encryption key with which the node
//     reads its own outbox;
//   - public.jwks in the state directory: the signing key that is used and those that
//     were, for who verifies. [KVPublisher] shows it on NATS.
//
// Files with secrets have mode 0600, and are refused with another. No error contains a secret.
//
// Its functions start no goroutines, and they must not be called concurrently for the
// same files; [KVPublisher.Run] runs in its caller's.
package keys
