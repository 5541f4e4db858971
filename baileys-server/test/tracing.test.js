import assert from 'node:assert/strict'
import http from 'node:http'
import { after, before, test } from 'node:test'
import { Tracer } from '../src/tracing.js'

/** Spans as a collector gets them, on loopback. */

const TRACE = 'a'.repeat(32)
const PARENT = 'b'.repeat(16)

let collector, posts, warnings, tracer, status

before(async () => {
  collector = http.createServer(async (request, response) => {
    const chunks = []
    for await (const chunk of request) chunks.push(chunk)
    posts.push({ url: request.url, headers: request.headers, body: JSON.parse(Buffer.concat(chunks).toString()) })
    response.writeHead(status).end('{}')
  })
  await new Promise(resolve => collector.listen(0, '127.0.0.1', resolve))
  posts = []
  warnings = []
  status = 200
  tracer = new Tracer({
    endpoint: `http://127.0.0.1:${collector.address().port}/`,
    headers: { 'x-key': 'k' },
    instance: 'i-1',
    log: { warn: (fields, event) => warnings.push({ ...fields, event }) }
  })
})

after(async () => {
  await tracer.close()
  collector.close()
})

const spansOf = post => post.body.resourceSpans[0].scopeSpans[0].spans

test('a call that is traced becomes a span with its calls as children', async () => {
  let later
  const done = await tracer.served('POST /v1/sessions/{ref}/messages', `00-${TRACE}-${PARENT}-01`, async () => {
    const call = tracer.call('orchestrator POST /internal')
    assert.match(call.header, new RegExp(`^00-${TRACE}-[0-9a-f]{16}-01$`))
    call.end({ bytes: 3 })
    later = new Promise(resolve => setImmediate(() => setImmediate(() => resolve(tracer.call('left behind')))))
    return 'answer'
  })
  assert.equal(done, 'answer')
  assert.equal(await later, null)
  await tracer.flush()
  const [post] = posts.splice(0)
  assert.equal(post.url, '/v1/traces')
  assert.equal(post.headers['x-key'], 'k')
  const [call, served] = spansOf(post)
  assert.deepEqual([served.traceId, served.parentSpanId, served.kind], [TRACE, PARENT, 2])
  assert.deepEqual([call.traceId, call.parentSpanId, call.kind], [TRACE, served.spanId, 3])
  assert.deepEqual(call.attributes, [{ key: 'bytes', value: { intValue: 3 } }])
  assert.ok(BigInt(served.endTimeUnixNano) >= BigInt(served.startTimeUnixNano))
})

test('what no trace asked for is done and not told', async () => {
  for (const header of [undefined, '', 'nonsense', `00-${TRACE}-short-01`]) {
    assert.equal(await tracer.served('GET /', header, async () => tracer.call('inner')), null)
  }
  await tracer.flush()
  assert.equal(posts.length, 0)
})

test('a failure stays one, and a collector that is away is told of once', async () => {
  const header = `00-${TRACE}-${PARENT}-01`
  const work = tracer.served('GET /', header, async () => { throw Object.assign(new Error('no'), { code: 'not_found' }) })
  await assert.rejects(work, { code: 'not_found' })
  status = 503
  await tracer.flush()
  assert.equal(spansOf(posts.splice(0)[0])[0].status.code, 2)
  await tracer.served('GET /', header, async () => {})
  await tracer.flush()
  assert.deepEqual(warnings.map(warning => warning.event), ['traces_not_sent'])
})
