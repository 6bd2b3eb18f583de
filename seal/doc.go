// Package seal signs and encrypts Pulse's messages, and verifies, decrypts and parses them.
// An XDR platform written in Go imports it, and [event]:
//
//	verifier, err := seal.NewVerifier(keys...)       // of public.jwks: see ParseKeys
//	opener := &seal.Opener{Verifier: verifier, Guard: seal.NewGuard(seal.GuardConfig{})}
//	...
//	opened, err := opener.Open(seal.Message{Subject: m.Subject, Header: m.Header, Data: m.Data})
//
// A message that is accepted was published by the node it names, on that subject, was not
// changed, and was not accepted before. Of others, [errors.Is] distinguishes the errors
// ([ErrUnsigned], [ErrBadSignature], [ErrReplayed], ...).
//
// All formats are standard JOSE, so that any language can read them:
//
//   - The header Pulse-Signature is a detached JWS (RFC 7515, appendix F) whose
//     payload is not encoded (RFC 7797), signed with Ed25519 (RFC 8037). It covers the
//     bytes that are sent, the encrypted ones of an encrypted message.
//   - An encrypted payload is a JWE (RFC 7516), by ECDH-ES+A256KW on X25519 with
//     A256GCM: in compact form for one recipient, else in general JSON form.
//   - Keys are JWKs (RFC 7517). Their kid is their thumbprint (RFC 7638).
//
// Nothing in a message chooses how it is read: a signature's header has to be, byte
// for byte, the one that its key's signatures have, and an envelope's algorithms
// are fixed.
//
// A [Guard] and, with it, an [Opener] may be used concurrently, and so may all other
// types, which do not change. Nothing here starts a goroutine or does I/O.
package seal
