/** The rules of a worker, against a server that does what no healthy one does. */
import assert from 'node:assert/strict'
import { afterEach, beforeEach, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { MessageInitShape } from '@bufbuild/protobuf'
import { durationFromMs } from '@bufbuild/protobuf/wkt'
import { status } from '@grpc/grpc-js'
import { PermanentFailure, runWorker, type TaskContext, type WorkerOptions } from 'schedule-grpc'
import {
  ReportResponse_Verdict as Verdict, Stop_Reason, type AssignmentSchema, type PullRequest
} from '../dist/contract/schedule/v1/worker_pb.js'
import { Execution_FailureKind as FailureKind } from '../dist/contract/schedule/v1/schedule_pb.js'
import { Refusal, Scripted } from './scripted.js'

let server: Scripted
let stopping: AbortController

beforeEach(async () => {
  server = await new Scripted().start()
  stopping = new AbortController()
})
afterEach(() => {
  stopping.abort()
  server.close()
})

function assignment (token: string, more: MessageInitShape<typeof AssignmentSchema> = {}) {
  return { leaseToken: token, executionId: `exec-${token}`, handler: 'work', attempt: 1, timeout: durationFromMs(60_000), ...more }
}

/** Assigns each of these once. */
function assigning (...given: ReturnType<typeof assignment>[]): void {
  server.onPull = ({ capacity }) => given.length > 0 && capacity > 0 ? { assignments: given.splice(0, capacity) } : undefined
}

function working (run: (payload: any, context: TaskContext) => unknown, more: Partial<WorkerOptions> = {}): Promise<void> {
  return runWorker({
    server: server.address, handlers: { work: run }, signal: stopping.signal, handleSignals: false, log: () => {}, ...more
  })
}

/** Resolves once the outcomes of a token were reported. */
async function outcomeOf (token: string) {
  await server.until(() => server.outcomes(token).length > 0)
  return server.outcomes(token)[0]!
}

const untilAborted = (_: unknown, { signal }: TaskContext) => new Promise((_resolve, reject) => {
  signal.addEventListener('abort', () => { reject(signal.reason as Error) })
})

test('a payload comes as an object, a result goes as JSON, and the lines of an attempt before its outcome', async () => {
  assigning(assignment('a', { payloadJson: '{"to": ["x"]}', metadataJson: '{"category": "mail"}' }))
  const done = working(({ to }, { log, metadata, progress, attempt, scheduledTime }) => {
    log.info('sending', { to: to[0], count: 2, text: 'two words' })
    progress(0.5, 'half')
    return { to, metadata, attempt, scheduledTime: scheduledTime ?? null }
  })
  const outcome = await outcomeOf('a')
  assert.equal(outcome.case, 'succeeded')
  assert.deepEqual(JSON.parse((outcome.value as { resultJson: string }).resultJson),
    { to: ['x'], metadata: { category: 'mail' }, attempt: 1, scheduledTime: null })
  assert.deepEqual(server.updates.map(({ news }) => news.case), ['log', 'progress', 'outcome'])
  const [log] = server.updates
  assert.ok(log?.news.case === 'log')
  assert.equal(log.news.value.lines[0]?.text, 'sending to=x count=2 text="two words"')
  stopping.abort()
  await done
  assert.deepEqual(server.unregistered, ['session-1'])
})

test('the kind says how a handler failed; the stack of an error is a log line', async () => {
  const ends: Record<string, () => unknown> = {
    error: () => { throw new TypeError('no such thing') },
    rejected: () => { throw new PermanentFailure('never') },
    false: () => ({ success: false, error: 'said so', n: 1 }),
    text: () => { throw 'just text' },
    loop: () => { const loop: { self?: object } = {}; loop.self = loop; return loop },
    big: () => 'x'.repeat(2_000_000)
  }
  const names = Object.keys(ends)
  assigning(...names.map(name => assignment(name)))
  const done = working((_, { executionId }) => ends[executionId.slice(5)]!())
  const outcomes = await Promise.all(names.map(outcomeOf))
  const reported = outcomes.map(({ case: end, value }) => end === 'failed'
    ? [value.failureKind, value.error.slice(0, 40), value.resultJson]
    : [end])
  assert.deepEqual(reported, [
    [FailureKind.ERROR, 'TypeError: no such thing', ''],
    [FailureKind.REJECTED, 'never', ''],
    [FailureKind.ERROR, 'said so', '{"success":false,"error":"said so","n":1}'],
    [FailureKind.ERROR, 'just text', ''],
    [FailureKind.ERROR, 'The result is not JSON: TypeError: Conve', ''],
    ['succeeded']
  ])
  const big = outcomes[5]!.value as { resultJson: string }
  assert.equal(JSON.parse(big.resultJson).size_bytes, 2_000_002)
  const stacks = server.updates.filter(({ leaseToken, news }) => leaseToken === 'error' && news.case === 'log')
  assert.match(JSON.stringify(stacks, (_, value) => typeof value === 'bigint' ? Number(value) : value),
    /TypeError: no such thing\\n {4}at .*worker\.test\.js/)
  stopping.abort()
  await done
})

test('never more than the slots run, everything held is named, and one Pull is under way', async () => {
  const given = Array.from({ length: 40 }, (_, index) => assignment(`t${index}`))
  assigning(...given)
  let running = 0
  let most = 0
  const done = working(async () => {
    most = Math.max(most, ++running)
    await sleep(5)
    running--
  }, { slots: 4 })
  await server.until(() => server.updates.filter(({ news }) => news.case === 'outcome').length === 40)
  stopping.abort()
  await done
  assert.equal(most, 4)
  assert.equal(server.mostParked, 1)
  assert.ok(server.pulls.every(({ held, capacity, draining }) => draining || held.length + capacity === 4))
})

test('what is assigned beyond the slots waits: a slot is free at the server before the worker hears of it', async () => {
  const tokens = ['a', 'b', 'c', 'd']
  server.onPull = () => server.pulls.length === 1 ? { assignments: tokens.map(token => assignment(token)) } : undefined
  let running = 0
  let most = 0
  const done = working(async () => { most = Math.max(most, ++running); await sleep(5); running-- }, { slots: 2 })
  const outcomes = await Promise.all(tokens.map(outcomeOf))
  assert.deepEqual([most, ...outcomes.map(end => end.case)], [2, 'succeeded', 'succeeded', 'succeeded', 'succeeded'])
  stopping.abort()
  await done
})

test('a token that is held is nothing new; one that the worker has not heard of again is', async () => {
  let calls = 0
  server.onPull = () => server.pulls.length <= 3 ? { assignments: [assignment('a')] } : undefined
  const done = working(async () => { calls++; await server.until(() => server.pulls.length > 3) })
  await outcomeOf('a')
  stopping.abort()
  await done
  assert.equal(calls, 1)
})

test('a handler has its concurrency, whatever the server assigns', async () => {
  assigning(...['a', 'b', 'c'].map(token => assignment(token)))
  let running = 0
  let most = 0
  const run = async () => { most = Math.max(most, ++running); await sleep(5); running-- }
  const done = working(run, { handlers: { work: { run, concurrency: 1, payloadSchema: { type: 'object' } } } })
  await Promise.all(['a', 'b', 'c'].map(outcomeOf))
  assert.equal(most, 1)
  const [offered] = server.registered[0]!.handlers
  assert.deepEqual([offered?.concurrency, offered?.payloadSchemaJson], [1, '{"type":"object"}'])
  stopping.abort()
  await done
})

test('a timeout aborts the handler, whatever it answers then; a cancel releases the attempt unless it succeeds', async () => {
  const tokens = ['timeout', 'late', 'cancelled', 'faster']
  const short = { timeout: durationFromMs(30) }
  assigning(assignment('timeout', short), assignment('late', short), assignment('cancelled'), assignment('faster'))
  const done = working(async (payload, context) => {
    await untilAborted(payload, context).catch((reason: Error) => {
      if (['exec-late', 'exec-faster'].includes(context.executionId)) return
      throw reason
    })
    return 'done'
  })
  await server.until(() => server.pulls.some(({ held }) => held.length > 0))
  server.onPull = ({ held }) => ({
    stops: held.filter(({ leaseToken }) => ['cancelled', 'faster'].includes(leaseToken))
      .map(({ leaseToken }) => ({ leaseToken, reason: Stop_Reason.CANCELLED }))
  })
  const outcomes = await Promise.all(tokens.map(outcomeOf))
  assert.deepEqual(outcomes.map(end => end.case), ['failed', 'failed', 'released', 'succeeded'])
  assert.deepEqual(outcomes.map(({ value }) => (value as any).failureKind ?? (value as any).began),
    [FailureKind.TIMEOUT, FailureKind.TIMEOUT, true, undefined])
  stopping.abort()
  await done
})

test('5 s before its lease ends the worker lets its attempts go, and says nothing of them', async () => {
  server.lease = 5.2
  let reason: unknown
  let calls = 0
  assigning(assignment('a'))
  const done = working(async (payload, context) => {
    calls++
    server.onPull = () => { throw new Refusal(status.UNAVAILABLE) }
    await untilAborted(payload, context).catch((error: unknown) => { reason = error; throw error })
  })
  await server.until(() => server.pulls.length >= 2 && server.pulls.at(-1)!.held.length === 0)
  assert.match(String(reason), /no longer this worker's/)
  // Where the service has not given the attempt away, it assigns it once more: it is handed back, and not begun again.
  server.onPull = ({ held }) => held.length === 0 && server.outcomes('a').length === 0
    ? { assignments: [assignment('a')] }
    : undefined
  const outcome = await outcomeOf('a')
  assert.deepEqual([outcome.case, (outcome.value as { began?: boolean }).began, calls], ['released', true, 1])
  stopping.abort()
  await done
})

test('a session that the server does not know is registered again, with the tokens that are held', async () => {
  assigning(assignment('kept'), assignment('lost'))
  let aborted = false
  let finish = (): void => {}
  const done = working((payload, context) => context.executionId === 'exec-lost'
    ? untilAborted(payload, context).catch(() => { aborted = true })
    : new Promise<void>(resolve => { finish = resolve }))
  await server.until(() => server.pulls.some(({ held }) => held.length === 2))
  const unknown = server.registered.length
  server.onRegister = () => ({ lostTokens: ['lost'] })
  server.onPull = ({ sessionId }) => {
    if (sessionId === `session-${unknown}`) throw new Refusal(status.NOT_FOUND)
    return undefined
  }
  await server.until(() => server.pulls.some(({ sessionId, held }) => sessionId === 'session-2' && held.length === 1))
  assert.deepEqual(server.registered[1]?.heldTokens.sort(), ['kept', 'lost'])
  assert.equal(aborted, true)
  finish()
  assert.equal((await outcomeOf('kept')).case, 'succeeded')
  stopping.abort()
  await done
  assert.deepEqual([server.outcomes('lost'), server.unregistered], [[], ['session-2']])
})

test('a stale verdict stops the handler; a refused outcome is reported as a failure', async () => {
  server.onReport = ({ leaseToken, news }) => {
    if (leaseToken === 'stale') return Verdict.STALE
    return news.case === 'outcome' && news.value.end.case === 'succeeded' ? Verdict.INVALID : Verdict.APPLIED
  }
  assigning(assignment('stale'), assignment('refused'))
  let isStopped = false
  const done = working(async (payload, context) => {
    if (context.executionId === 'exec-refused') return 1
    context.log.info('going on')
    return await untilAborted(payload, context).finally(() => { isStopped = true })
  })
  await server.until(() => server.outcomes('refused').length === 2)
  const [, refused] = server.outcomes('refused')
  assert.ok(refused?.case === 'failed' && refused.value.error === 'The service refused the outcome: as scripted')
  while (!isStopped) await sleep(5)
  stopping.abort()
  await done
  assert.deepEqual(server.outcomes('stale'), [])
})

test('failures that may pass are tried again, whatever their status', async () => {
  const refusals = [status.UNAVAILABLE, status.CANCELLED, status.RESOURCE_EXHAUSTED]
  const scripted = [...refusals]
  server.onRegister = () => {
    const code = scripted.shift()
    if (code !== undefined) throw new Refusal(code)
    return {}
  }
  assigning(assignment('a'))
  let reports = 0
  server.onReport = () => {
    if (++reports === 1) throw new Refusal(status.UNAVAILABLE)
    return Verdict.REPEATED
  }
  const done = working(() => 1)
  await outcomeOf('a')
  assert.equal(server.registered.length, refusals.length + 1)
  stopping.abort()
  await done
  assert.deepEqual([server.outcomes('a').length, server.unregistered.length], [1, 1])
})

for (const code of [status.UNAUTHENTICATED, status.FAILED_PRECONDITION]) {
  test(`${status[code]} ends the worker, once its handlers have ended`, async () => {
    assigning(assignment('a'))
    let finish = (): void => {}
    const done = working(() => new Promise<void>(resolve => { finish = resolve }))
    await server.until(() => server.pulls.some(({ held }) => held.length > 0))
    server.onPull = () => { throw new Refusal(code) }
    const count = server.pulls.length
    await server.until(() => server.pulls.length > count)
    setTimeout(finish, 20)
    await assert.rejects(done, { name: 'ScheduleError', code: status[code] })
    assert.equal((await outcomeOf('a')).case, 'succeeded')
  })
}

test('a worker that stops tells the server, begins nothing, and releases what does not end in time', async () => {
  assigning(assignment('a'))
  const done = working(untilAborted, { drainTimeout: 200 })
  await server.until(() => server.pulls.some(({ held }) => held.length > 0))
  server.onPull = ({ held, draining }: PullRequest) => draining && held.every(({ leaseToken }) => leaseToken !== 'b')
    ? { assignments: [assignment('b')] }
    : undefined
  stopping.abort()
  await done
  const drained = server.pulls.filter(({ draining }) => draining)
  assert.ok(drained.length > 0 && drained.every(({ capacity }) => capacity === 0))
  assert.deepEqual([server.outcomes('a')[0]?.value, server.outcomes('b')[0]?.value].map((end: any) => end.began), [true, false])
  assert.equal(server.unregistered.length, 1)
})

test('lines beyond 200 at once are dropped, and leave a gap in the numbers', async () => {
  assigning(assignment('a'))
  const done = working((_, { log }) => {
    for (let count = 0; count < 10_000; count++) log.debug(`${count} ${'ä'.repeat(3000)}`)
  })
  await outcomeOf('a')
  const lines = server.updates.flatMap(({ news }) => news.case === 'log' ? news.value.lines : [])
  assert.ok(lines.length >= 200 && lines.length < 260, `${lines.length}`)
  assert.ok(lines.every(({ text }) => Buffer.byteLength(text) <= 4096 && !text.includes('\ufffd')))
  assert.deepEqual(lines.slice(0, 3).map(({ sequence }) => sequence), [1n, 2n, 3n])
  stopping.abort()
  await done
})
