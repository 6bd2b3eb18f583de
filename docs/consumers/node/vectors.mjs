// Holds pulse.mjs to the vectors: node vectors.mjs ../../../testdata/vectors
import { readFile } from 'node:fs/promises'
import { Opener, Refused } from './pulse.mjs'

const dir = process.argv[2] ?? '../../../testdata/vectors'
const { now, messages } = JSON.parse(await readFile(`${dir}/messages.json`, 'utf8'))
const opener = await Opener.load(`${dir}/public.jwks`, `${dir}/xdr.jwk`, { plain: true })
let wrong = 0
for (const v of messages) {
  let verdict = 'good'
  try {
    const { text } = await opener.open(v.subject, v.headers, Buffer.from(v.payload), Date.parse(now))
    if (text !== v.content) verdict = `good, with another content: ${text}`
  } catch (err) {
    if (!(err instanceof Refused)) throw err
    verdict = err.verdict
  }
  if (verdict !== v.verdict) {
    wrong++
    console.log(`${v.name}: ${verdict}, want ${v.verdict}`)
  }
}
console.log(`${messages.length} vectors, ${wrong} judged otherwise`)
process.exitCode = wrong ? 1 : 0
