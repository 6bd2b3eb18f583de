package seal

import "errors"

// What may be wrong with a message. The errors of [Opener.Open] and of the others
// here wrap one of these.
var (
	// ErrUnsigned is a message without a signature.
	ErrUnsigned = errors.New("not signed")
	// ErrMalformed is what cannot be read: a signature that is none, JSON that is
	// none or has a name twice, a field of the wrong type.
	ErrMalformed = errors.New("malformed")
	// ErrForbiddenHeader is a signature or envelope whose header asks for something
	// that Pulse's never do, such as another algorithm, or a key that it brings along.
	ErrForbiddenHeader = errors.New("a header that Pulse does not write")
	// ErrUnknownKey is a signature by a key that is not among those trusted.
	ErrUnknownKey = errors.New("signed with an unknown key")
	// ErrBadSignature is a signature that is not of these bytes.
	ErrBadSignature = errors.New("the signature is not of these bytes")
	// ErrWrongNode is a message that names another node than the one its key is of.
	ErrWrongNode = errors.New("signed with the key of another node")
	// ErrWrongSubject is a message that came on another subject than it was published to.
	ErrWrongSubject = errors.New("not published to this subject")
	// ErrWrongAnswer is what was signed, and is not the answer to this question.
	ErrWrongAnswer = errors.New("not the answer to this question")
	// ErrReplayed is a message that was let through before, or is older than the
	// guard remembers, or of an earlier life of its node.
	ErrReplayed = errors.New("said before")
	// ErrStale is a message that was made too long ago.
	ErrStale = errors.New("too old")
	// ErrFuture is a message that was made in the future, or in an epoch of the future.
	ErrFuture = errors.New("from the future")
	// ErrEncrypted is an encrypted message, and there is no key to read it with.
	ErrEncrypted = errors.New("encrypted, and there is no key to read it with")
	// ErrNotEncrypted is a message in the clear where they have to be encrypted.
	ErrNotEncrypted = errors.New("not encrypted")
	// ErrNotRecipient is an envelope that is for others.
	ErrNotRecipient = errors.New("encrypted for others")
	// ErrUndecryptable is an envelope for us whose content does not come out.
	ErrUndecryptable = errors.New("cannot be decrypted")
	// ErrTooManyNodes is a node more than a guard remembers.
	ErrTooManyNodes = errors.New("too many nodes")
)
