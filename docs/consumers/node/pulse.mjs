// Reads Pulse's messages: verifies their signatures, decrypts them, refuses replayed messages.
import { readFile } from 'node:fs/promises'
import { compactDecrypt, flattenedVerify, generalDecrypt, importJWK } from 'jose'

export class Refused extends Error {
  constructor(verdict, detail = '') {
    super(detail ? `${verdict}: ${detail}` : verdict)
    this.verdict = verdict
  }
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
const day = 24 * 3600e3
// Of what is no number, neither "too old" nor "seen" would be true.
const whole = (n) => Number.isSafeInteger(n) && n > 0

export class Opener {
  // publicFile: the nodes' public.jwks. privateFile: the key to decrypt with, if messages are encrypted.
  // plain: whether messages in the clear are taken though there is a key to decrypt with.
  static async load(publicFile, privateFile, { plain = false, maxAge = day, maxAhead = 120e3 } = {}) {
    const o = new Opener()
    Object.assign(o, { plain, maxAge, maxAhead, trusted: new Map(), mine: new Map(), windows: new Map() })
    for (const jwk of await keysOf(publicFile)) {
      // All signatures of a key have the same header, so it is compared and never interpreted.
      const header = `{"alg":"EdDSA","b64":false,"crit":["b64"],"kid":"${jwk.kid}"}`
      const name = Buffer.from(header).toString('base64url')
      const signer = o.trusted.get(name) ?? { nodes: new Set(), key: await importJWK(jwk, 'EdDSA') }
      for (const node of [jwk.pulse_node, ...(jwk.pulse_former_nodes ?? [])]) signer.nodes.add(node) // of a renamed node; undefined: for any
      o.trusted.set(name, signer)
    }
    for (const jwk of privateFile ? await keysOf(privateFile) : []) o.mine.set(jwk.kid, await importJWK(jwk, 'ECDH-ES+A256KW'))
    return o
  }

  // open returns the message, or throws Refused. headers: name -> values. data: the bytes as they came.
  async open(subject, headers, data, now = Date.now()) {
    const signer = await this.#verify(headers['Pulse-Signature'] ?? [], data)
    const text = await this.#decrypt(data)
    const message = parse(text)
    const s = message.security
    if (s?.source !== 'wazuh-manager' || !whole(s.sequence) || !whole(s.epoch) || !whole(s.issued_at) || typeof s.node !== 'string') throw new Refused('malformed', 'security')
    if (!signer.nodes.has(undefined) && !signer.nodes.has(s.node)) throw new Refused('wrong_node', s.node)
    if (s.subject !== subject) throw new Refused('wrong_subject', s.subject)
    if (now - s.issued_at > this.maxAge) throw new Refused('stale')
    if (s.issued_at - now > this.maxAhead) throw new Refused('future')
    if (s.epoch > (now + this.maxAhead) / 1000 + 60) throw new Refused('future', `epoch ${s.epoch}`) // else all that the node says later would be replayed
    this.#checkReplay(s)
    return { message, text }
  }

  async #verify(values, data) {
    if (values.length > 1) throw new Refused('malformed', 'two signatures')
    if (!values[0]) throw new Refused('unsigned')
    const parts = values[0].split('.')
    if (parts.length !== 3 || parts[1] !== '') throw new Refused('malformed', 'no detached JWS')
    const [header, , signature] = parts
    const signer = this.trusted.get(header)
    if (!signer) throw refusedHeader(header)
    // 64 bytes, in the one form that they have
    if (!/^[\w-]{86}$/.test(signature) || Buffer.from(signature, 'base64url').toString('base64url') !== signature) throw new Refused('bad_signature')
    try {
      await flattenedVerify({ protected: header, payload: data, signature }, signer.key, { algorithms: ['EdDSA'] })
    } catch {
      throw new Refused('bad_signature')
    }
    return signer
  }

  async #decrypt(data) {
    let text
    try {
      text = utf8.decode(data)
    } catch {
      throw new Refused('malformed', 'no UTF-8')
    }
    const compact = !text.startsWith('{') && text.split('.').length === 5
    const general = text.startsWith('{') && text.includes('"recipients"') && Array.isArray(parse(text).recipients)
    if (!compact && !general) {
      if (this.mine.size && !this.plain) throw new Refused('not_encrypted')
      return text
    }
    if (!this.mine.size) throw new Refused('encrypted')
    const options = { keyManagementAlgorithms: ['ECDH-ES+A256KW'], contentEncryptionAlgorithms: ['A256GCM'] }
    const { jwe, key } = compact ? this.#compact(text) : this.#general(text)
    try {
      const { plaintext } = await (compact ? compactDecrypt : generalDecrypt)(jwe, key, options)
      return utf8.decode(plaintext)
    } catch {
      throw new Refused('undecryptable')
    }
  }

  #compact(text) {
    const header = decodeHeader(text.split('.')[0])
    only(header, ['alg', 'enc', 'epk', 'kid'])
    if (header.alg !== 'ECDH-ES+A256KW' || header.enc !== 'A256GCM') throw new Refused('forbidden_header', header.alg)
    return { jwe: text, key: this.#key(header.kid) }
  }

  #general(text) {
    const jwe = parse(text)
    only(jwe, ['ciphertext', 'iv', 'protected', 'recipients', 'tag'])
    const header = decodeHeader(jwe.protected)
    only(header, ['enc'])
    if (header.enc !== 'A256GCM') throw new Refused('forbidden_header', header.enc)
    if (!Array.isArray(jwe.recipients)) throw new Refused('forbidden_header', 'recipients')
    for (const r of jwe.recipients) {
      only(r, ['header', 'encrypted_key'])
      only(r.header, ['alg', 'epk', 'kid'])
      if (r.header.alg !== 'ECDH-ES+A256KW') throw new Refused('forbidden_header', r.header.alg)
    }
    const recipient = jwe.recipients.find((r) => this.mine.has(r.header.kid))
    return { jwe: { ...jwe, recipients: [recipient] }, key: this.#key(recipient?.header.kid) }
  }

  #key(kid) {
    const key = this.mine.get(kid)
    if (!key) throw new Refused('not_recipient')
    return key
  }

  // checkReplay accepts each message once. Status changes and telemetry are two streams: one may overtake the other.
  #checkReplay(s) {
    const telemetry = /\.manager\.(keepalive|status)\.[^.]+$/.test(s.subject)
    const name = JSON.stringify([s.node, telemetry])
    let stream = this.windows.get(name)
    if (stream && s.epoch < stream.epoch) throw new Refused('replayed', `epoch ${s.epoch}`)
    if (!stream || s.epoch > stream.epoch) this.windows.set(name, (stream = { epoch: s.epoch, highest: 0, seen: new Set() }))
    const window = 100_000
    if (stream.seen.has(s.sequence) || s.sequence <= stream.highest - window) throw new Refused('replayed', `sequence ${s.sequence}`)
    stream.seen.add(s.sequence)
    stream.highest = Math.max(stream.highest, s.sequence)
    if (stream.seen.size > 2 * window) for (const q of stream.seen) if (q <= stream.highest - window) stream.seen.delete(q)
  }
}

async function keysOf(file) {
  const json = parse(await readFile(file, 'utf8'))
  return json.keys ?? [json]
}

// refusedHeader says what is wrong with a header that no trusted key's signatures have.
function refusedHeader(header) {
  try {
    const { kid } = JSON.parse(Buffer.from(header, 'base64url').toString())
    const expected = `{"alg":"EdDSA","b64":false,"crit":["b64"],"kid":"${kid}"}`
    if (Buffer.from(expected).toString('base64url') === header) return new Refused('unknown_key', kid)
  } catch {}
  return new Refused('forbidden_header')
}

function decodeHeader(encoded) {
  return parse(Buffer.from(encoded, 'base64url').toString(), 'forbidden_header')
}

function only(object, names) {
  if (typeof object !== 'object' || object === null || Array.isArray(object)) throw new Refused('forbidden_header', 'no object')
  for (const name of Object.keys(object)) if (!names.includes(name)) throw new Refused('forbidden_header', name)
}

// parse is JSON.parse, but for names that are in an object twice: of these JavaScript takes the last, others the first.
function parse(text, verdict = 'malformed') {
  let value
  try {
    value = JSON.parse(text)
  } catch {
    throw new Refused(verdict, 'no JSON')
  }
  if (typeof value !== 'object' || value === null) throw new Refused(verdict, 'no JSON object')
  const open = []
  for (const [token] of text.matchAll(/"(?:[^"\\]|\\.)*"(?:\s*:)?|[{}[\]]/g)) {
    if (token === '{' || token === '[') open.push(new Set())
    else if (token === '}' || token === ']') open.pop()
    else if (token.endsWith(':')) {
      const name = JSON.parse(token.replace(/\s*:$/, '')).toLowerCase()
      if (open.at(-1).has(name)) throw new Refused(verdict, `${name} twice`)
      open.at(-1).add(name)
    }
  }
  return value
}
