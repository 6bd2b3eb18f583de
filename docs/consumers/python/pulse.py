"""Reads Pulse's messages: verifies their signatures, decrypts them, refuses replayed messages.

It needs the package cryptography, and nothing of JOSE: both formats are small.
"""
import base64
import json
import re
import time
from binascii import Error as NotBase64

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.concatkdf import ConcatKDFHash
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap


class Refused(Exception):
    def __init__(self, verdict, detail=""):
        super().__init__(f"{verdict}: {detail}" if detail else verdict)
        self.verdict = verdict


def encode(raw):
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def decode(text, verdict="malformed"):
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (NotBase64, ValueError):
        raise Refused(verdict, "no base64url") from None
    if encode(raw) != text:
        raise Refused(verdict, "no base64url")
    return raw


def parse(text, verdict="malformed"):
    """json.loads, but for names that are in an object twice."""

    def unique(pairs):
        if len({name.lower() for name, _ in pairs}) != len(pairs):
            raise Refused(verdict, "a name twice")
        return dict(pairs)

    try:
        value = json.loads(text, object_pairs_hook=unique)
    except (ValueError, RecursionError):
        raise Refused(verdict, "no JSON") from None
    if not isinstance(value, dict):
        raise Refused(verdict, "no JSON object")
    return value


def only(value, names):
    if not isinstance(value, dict) or set(value) - set(names):
        raise Refused("forbidden_header", str(value)[:80])
    return value


def keys_of(path):
    with open(path, encoding="utf-8") as f:
        found = parse(f.read())
    return found.get("keys", [found])


def header_of(kid):
    return encode(b'{"alg":"EdDSA","b64":false,"crit":["b64"],"kid":"%s"}' % kid.encode())


class Opener:
    window = 100_000

    def __init__(self, public_file, private_file=None, plain=False, max_age=86400, max_ahead=120):
        # All signatures of a key have the same header, so it is compared and never interpreted.
        self.trusted = {}
        for k in keys_of(public_file):
            nodes, key = self.trusted.get(header_of(k["kid"]), (set(), Ed25519PublicKey.from_public_bytes(decode(k["x"]))))
            nodes.update([k.get("pulse_node"), *k.get("pulse_former_nodes", [])])  # of a renamed node; None: for any
            self.trusted[header_of(k["kid"])] = nodes, key
        self.mine = {k["kid"]: X25519PrivateKey.from_private_bytes(decode(k["d"])) for k in keys_of(private_file)} if private_file else {}
        self.plain, self.max_age, self.max_ahead, self.windows = plain, max_age, max_ahead, {}

    def open(self, subject, signatures, data, now=None):
        """The message and its text; or Refused. signatures: the values of Pulse-Signature. data: the bytes as they came."""
        now = time.time() if now is None else now
        nodes = self._verify(signatures, data)
        text = self._decrypt(data)
        message = parse(text)
        s = message.get("security")
        # type, as True is an int too
        if not isinstance(s, dict) or s.get("source") != "wazuh-manager" or not all(
                type(s.get(n)) is int and s[n] > 0 for n in ("sequence", "epoch", "issued_at")) or not isinstance(s.get("node"), str):
            raise Refused("malformed", "security")
        if None not in nodes and s["node"] not in nodes:
            raise Refused("wrong_node", s["node"])
        if s.get("subject") != subject:
            raise Refused("wrong_subject", str(s.get("subject")))
        age = now - s["issued_at"] / 1000
        if age > self.max_age:
            raise Refused("stale")
        if -age > self.max_ahead or s["epoch"] > now + self.max_ahead + 60:  # else all that the node says later would be replayed
            raise Refused("future")
        self._check_replay(s)
        return message, text

    def _verify(self, signatures, data):
        if len(signatures) > 1:
            raise Refused("malformed", "two signatures")
        if not signatures or not signatures[0]:
            raise Refused("unsigned")
        parts = signatures[0].split(".")
        if len(parts) != 3 or parts[1]:
            raise Refused("malformed", "no detached JWS")
        if parts[0] not in self.trusted:
            raise self._refused_header(parts[0])
        nodes, key = self.trusted[parts[0]]
        try:
            key.verify(decode(parts[2], "bad_signature"), parts[0].encode() + b"." + data)
        except InvalidSignature:
            raise Refused("bad_signature") from None
        return nodes

    @staticmethod
    def _refused_header(header):
        try:
            kid = parse(decode(header)).get("kid")
            if isinstance(kid, str) and header_of(kid) == header:
                return Refused("unknown_key", kid)
        except (Refused, UnicodeDecodeError):
            pass
        return Refused("forbidden_header")

    def _decrypt(self, data):
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            raise Refused("malformed", "no UTF-8") from None
        if not text.startswith("{") and text.count(".") == 4:
            head, wrapped, iv, ciphertext, tag = text.split(".")
            header = only(parse(decode(head), "forbidden_header"), ("alg", "enc", "epk", "kid"))
            enc, recipients = header.pop("enc", None), [{"header": header, "encrypted_key": wrapped}]
        elif text.startswith("{") and '"recipients"' in text and "recipients" in parse(text):
            jwe = only(parse(text), ("ciphertext", "iv", "protected", "recipients", "tag"))
            head, iv, ciphertext, tag, recipients = (jwe.get(n) for n in ("protected", "iv", "ciphertext", "tag", "recipients"))
            if not all(isinstance(t, str) for t in (head, iv, ciphertext, tag)) or not isinstance(recipients, list):
                raise Refused("forbidden_header")
            enc = only(parse(decode(head), "forbidden_header"), ("enc",)).get("enc")
        else:
            if self.mine and not self.plain:
                raise Refused("not_encrypted")
            return text
        if not self.mine:
            raise Refused("encrypted")
        for r in recipients:
            only(r, ("header", "encrypted_key"))
            if only(r.get("header"), ("alg", "epk", "kid")).get("alg") != "ECDH-ES+A256KW" or enc != "A256GCM":
                raise Refused("forbidden_header")
        for r in recipients:
            if r["header"].get("kid") in self.mine:
                return self._content(r, head, iv, ciphertext, tag)
        raise Refused("not_recipient")

    def _content(self, r, head, iv, ciphertext, tag):
        """RFC 7518, section 4.6, and RFC 7516, section 5.2."""
        try:
            once = X25519PublicKey.from_public_bytes(decode(r["header"]["epk"]["x"]))
            alg = b"ECDH-ES+A256KW"
            about = len(alg).to_bytes(4, "big") + alg + bytes(4) + bytes(4) + (256).to_bytes(4, "big")
            shared = self.mine[r["header"]["kid"]].exchange(once)
            wrapping = ConcatKDFHash(algorithm=hashes.SHA256(), length=32, otherinfo=about).derive(shared)
            key = aes_key_unwrap(wrapping, decode(r["encrypted_key"]))
            if len(key) != 32 or len(decode(tag)) != 16:
                raise ValueError
            return AESGCM(key).decrypt(decode(iv), decode(ciphertext) + decode(tag), head.encode()).decode("utf-8")
        except (InvalidTag, InvalidUnwrap, ValueError, KeyError, TypeError):
            raise Refused("undecryptable") from None

    def _check_replay(self, s):
        """Accepts each message once. Status changes and telemetry are two streams: one may overtake the other."""
        stream = (s["node"], re.search(r"\.manager\.(keepalive|status)\.[^.]+$", s["subject"]) is not None)
        epoch, highest, seen = self.windows.get(stream, (0, 0, set()))
        if s["epoch"] < epoch:
            raise Refused("replayed", f"epoch {s['epoch']}")
        if s["epoch"] > epoch:
            epoch, highest, seen = s["epoch"], 0, set()
        if s["sequence"] in seen or s["sequence"] <= highest - self.window:
            raise Refused("replayed", f"sequence {s['sequence']}")
        seen.add(s["sequence"])
        highest = max(highest, s["sequence"])
        if len(seen) > 2 * self.window:
            seen = {q for q in seen if q > highest - self.window}
        self.windows[stream] = epoch, highest, seen
