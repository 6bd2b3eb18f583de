// Follows Pulse's messages:
//
//   node consume.mjs --server nats://127.0.0.1:4222 --keys public.jwks [--decrypt xdr.jwk] [--count N]
//
// It reads the status changes and alerts from the stream STATUS, in order and from where it stopped, and says of every
// one whether it is good; with --live, all messages as they come, without a stream.
import { parseArgs } from 'node:util'
import { AckPolicy, jetstream, jetstreamManager } from '@nats-io/jetstream'
import { connect } from '@nats-io/transport-node'
import { Opener, Refused } from './pulse.mjs'

const { values: flags } = parseArgs({
  options: {
    server: { type: 'string', default: 'nats://127.0.0.1:4222' }, keys: { type: 'string' }, decrypt: { type: 'string' },
    live: { type: 'boolean', default: false }, count: { type: 'string', default: '0' }, subject: { type: 'string', default: 'wazuh.xdr.>' },
  },
})
if (!flags.keys) throw new Error('--keys: name the file that pulse keys export made')
const opener = await Opener.load(flags.keys, flags.decrypt)
const nc = await connect({ servers: flags.server, maxReconnectAttempts: -1 })
let good = 0, refused = 0

async function take(subject, headers, data) {
  try {
    const { message } = await opener.open(subject, headers, data)
    good++
    const change = message.status_change
    if (change) console.log(`${change.agent_id} ${change.agent_name}: ${change.previous_status} → ${change.current_status} (${change.reason})`)
  } catch (err) {
    if (!(err instanceof Refused)) throw err
    refused++
    console.log(`REFUSED ${subject}: ${err.message}`)
  }
  return Number(flags.count) > 0 && good + refused >= Number(flags.count)
}

// Each header with all its values: a second signature is an attack.
const headersOf = (m) => Object.fromEntries((m.headers?.keys() ?? []).map((k) => [k, m.headers.values(k)]))

if (flags.live) {
  for await (const m of nc.subscribe(flags.subject)) if (await take(m.subject, headersOf(m), m.data)) break
} else {
  const jsm = await jetstreamManager(nc)
  await jsm.consumers.add('STATUS', { durable_name: 'xdr-node', ack_policy: AckPolicy.Explicit })
  const consumer = await jetstream(nc).consumers.get('STATUS', 'xdr-node')
  for await (const m of await consumer.consume()) {
    const enough = await take(m.subject, headersOf(m), m.data)
    m.ack() // when it is safe with you, with the guard's state
    if (enough) break
  }
}
console.log(`${good} good, ${refused} refused`)
await nc.close()
process.exitCode = refused ? 1 : 0
