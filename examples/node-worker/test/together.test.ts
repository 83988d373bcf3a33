/** Worker and client at one real server, whose address is SCHEDULE_SERVER. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { createClient, PermanentFailure, runWorker, type ScheduleClient } from 'schedule-grpc'

const server = process.env.SCHEDULE_SERVER ?? ''
const options = { skip: server === '' && 'SCHEDULE_SERVER names no server' }
const stopping = new AbortController()
let client: ScheduleClient
let worker: Promise<void>

before(async () => {
  client = createClient({ server: server || '127.0.0.1:50051' })
  if (server === '') return
  worker = runWorker({
    server,
    signal: stopping.signal,
    log: () => {},
    handlers: {
      'node.echo': (payload, { taskName, attempt, metadata, scheduledTime }) =>
        ({ payload, taskName, attempt, metadata, manual: scheduledTime === undefined }),
      'node.fail-once': (_, { attempt }) => { if (attempt === 1) throw new RangeError('not yet') },
      'node.reject': () => { throw new PermanentFailure('never') },
      'node.wait': {
        run: async ({ ms }, { signal }) => { await sleep(ms, undefined, { signal }) }, description: 'waits', concurrency: 2
      }
    }
  })
})
after(async () => {
  stopping.abort()
  await worker
  client.close()
})

async function register (handler: string, payload: object = {}): Promise<void> {
  const policy = { retry: { maxRetries: 1, initialBackoff: 1 }, overlap: 'ALLOW_ALL' } as const
  await client.registerTask({
    name: handler, schedule: '@manual', handler, payload, metadata: { team: 'node' }, policy, allowUnknownHandler: true
  })
}

test('what a task has comes to the handler, and what the handler returns to the history', options, async () => {
  const payload = { text: 'Grüße, 世界, 🌍', deep: [{ n: 1.5 }, null, []] }
  await register('node.echo', payload)
  const { execution } = await client.runTaskNow({ name: 'node.echo' })
  assert.deepEqual(execution.result, { payload, taskName: 'node.echo', attempt: 1, metadata: { team: 'node' }, manual: true })
})

test('an error is retried, a permanent one is not', options, async () => {
  await register('node.fail-once')
  const { execution: retried } = await client.runTaskNow({ name: 'node.fail-once' })
  assert.deepEqual([retried.state, retried.attempt, retried.failedAttempts[0]?.error], ['SUCCEEDED', 2, 'RangeError: not yet'])
  const { log } = await client.getExecution({ id: retried.id, logLines: 10 })
  const [stack] = log!.lines
  assert.deepEqual([log?.lines.length, stack?.attempt, stack?.level, stack?.sequence], [1, 1, 'error', 1])
  assert.match(stack!.text, /^RangeError: not yet\n {4}at .*together\.test\.js/)
  await register('node.reject')
  const { success, execution } = await client.runTaskNow({ name: 'node.reject' })
  assert.deepEqual([success, execution.attempt, execution.failureKind, execution.error], [false, 1, 'REJECTED', 'never'])
})

test('a cancelled execution stops its handler', options, async () => {
  await register('node.wait', { ms: 600_000 })
  const watch = client.watchExecutions({ taskName: 'node.wait' })
  await watch.ready
  const { execution: { id } } = await client.runTaskNow({ name: 'node.wait', detach: true })
  const states: string[] = []
  for await (const event of watch) {
    if (event.type !== 'transition') continue
    states.push(event.execution!.state)
    if (states.at(-1) === 'RUNNING') await client.cancelExecution({ id })
    if (states.at(-1) === 'CANCELLED') break
  }
  assert.deepEqual(states, ['PENDING', 'RUNNING', 'CANCELLED'])
})

test('many at once run each once', options, async () => {
  await register('node.echo')
  const answers = await Promise.all(Array.from({ length: 100 }, (_, count) =>
    client.runTaskNow({ name: 'node.echo', payload: { count } })))
  const counts = answers.map(({ execution }) => (execution.result as { payload: { count: number } }).payload.count)
  assert.deepEqual(counts, Array.from({ length: 100 }, (_, count) => count))
})
