/** The client against a real server: SCHEDULE_SERVER is its address, tests/clients/test_node.py starts it. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { createClient, ScheduleError, type ScheduleClient, type WatchEvent } from 'schedule-grpc'

const server = process.env.SCHEDULE_SERVER ?? ''
const options = { skip: server === '' && 'SCHEDULE_SERVER names no server' }
const HANDLER = 'cleanup-expired-sessions'
const manual = { schedule: '@manual', handler: HANDLER }
let client: ScheduleClient

before(() => { client = createClient({ server: server || '127.0.0.1:50051' }) })
after(() => { client.close() })

test('a task from its registration to its deletion, in plain objects, Dates and milliseconds', options, async () => {
  const payload = { to: ['a@example.com'], count: 3, half: 0.5, none: null, deep: { on: true } }
  const registered = await client.registerTask({
    name: 'node-report', schedule: '30 2 * * *', timeZone: 'Europe/Berlin', handler: HANDLER, payload,
    metadata: { category: 'node' },
    policy: { timeout: '90s', retry: { maxRetries: 0, initialBackoff: 1500 }, overlap: 'CANCEL_OTHER', window: { endTime: new Date('2100-01-01') } }
  })
  assert.deepEqual(registered.payload, payload)
  assert.deepEqual([registered.note, registered.enabled, registered.lastRunTime], ['', true, undefined])
  assert.ok(registered.nextRunTime instanceof Date && registered.nextRunTime > registered.createTime!)
  const { timeout, retry, overlap, window, retention } = registered.policy!
  assert.deepEqual([timeout, retry?.maxRetries, retry?.initialBackoff, overlap, retention?.maxCount], [90_000, 0, 1500, 'CANCEL_OTHER', 10_000])
  assert.deepEqual(window, { endTime: new Date('2100-01-01') })
  assert.deepEqual(await client.getTask({ name: 'node-report' }), registered)

  const changed = await client.updateTask({ name: 'node-report', policy: { timeout: 2000, retry: { maxRetries: 5 } }, payload: null })
  assert.deepEqual([changed.payload, changed.policy?.timeout, changed.policy?.retry?.maxRetries, changed.policy?.retry?.initialBackoff],
    [{}, 2000, 5, 1500])
  assert.deepEqual([changed.timeZone, changed.metadata], ['Europe/Berlin', { category: 'node' }])

  assert.deepEqual(await client.disableTask({ name: 'node-report', note: 'for now' }).then(task => [task.enabled, task.note]), [false, 'for now'])
  assert.equal((await client.enableTask({ name: 'node-report' })).enabled, true)
  await client.deleteTask({ name: 'node-report' })
  await assert.rejects(client.getTask({ name: 'node-report' }), { name: 'ScheduleError', code: 'NOT_FOUND', reason: 'TASK_NOT_FOUND' })
})

test('lists are read by page, or whole', options, async () => {
  const names = ['node-page-1', 'node-page-2', 'node-page-3']
  await client.batchRegisterTasks({ requests: names.map(name => ({ name, ...manual })) })
  const page = await client.listTasks({ namePrefix: 'node-page', pageSize: 2 })
  assert.deepEqual([page.tasks.map(task => task.name), page.nextPageToken === ''], [names.slice(0, 2), false])
  const all: string[] = []
  for await (const task of client.listTasks({ namePrefix: 'node-page', pageSize: 2 })) all.push(task.name)
  assert.deepEqual(all, names)
})

test('a run is waited for, watched, and found in the history', options, async () => {
  await client.registerTask({ name: 'node-run', ...manual })
  const watch = client.watchExecutions({ taskName: 'node-run' })
  await watch.ready
  const { success, execution } = await client.runTaskNow({ name: 'node-run' })
  assert.deepEqual([success, execution.state, execution.scheduledTime], [true, 'SUCCEEDED', undefined])
  assert.equal((execution.result as { success: boolean }).success, true)
  const states: string[] = []
  for await (const event of watch) {
    if (event.type === 'transition') states.push(event.execution!.state)
    if (states.at(-1) === 'SUCCEEDED') break
  }
  assert.deepEqual(states, ['PENDING', 'RUNNING', 'SUCCEEDED'])
  assert.deepEqual(await client.getExecution({ id: execution.id }), execution)
  const { executions } = await client.getTaskHistory({ name: 'node-run', states: ['SUCCEEDED'] })
  assert.deepEqual(executions, [execution])
  assert.deepEqual(await client.cancelExecution({ id: execution.id }), execution) // which has ended, and stays as it is
})

test('a watch and a call end with their signal', options, async () => {
  const stop = new AbortController()
  const watch = client.watchExecutions({}, { signal: stop.signal })
  await watch.ready
  const events: WatchEvent[] = []
  const reading = (async () => { for await (const event of watch) events.push(event) })()
  stop.abort(new Error('enough'))
  await assert.rejects(reading, /enough/)
  await assert.rejects(client.getTask({ name: 'x' }, { signal: AbortSignal.abort(new Error('never')) }), /never/)
})

test('an error has its code, its reason and the refused fields', options, async () => {
  const error = await client.registerTask({ name: 'node bad', schedule: 'soon', handler: HANDLER }).catch((error: unknown) => error)
  assert.ok(error instanceof ScheduleError)
  assert.deepEqual([error.code, error.violations.map(({ field }) => field).sort()], ['INVALID_ARGUMENT', ['name', 'schedule']])
})

test('what cannot be sent is refused before it is sent', async () => {
  const typo = { name: 'x', ...manual, payloadd: {} }
  await assert.rejects(client.registerTask(typo), new TypeError('RegisterTaskRequest has no field "payloadd"'))
  const enumerated = { name: 'x', ...manual, policy: { overlap: 'SKIPP' as 'SKIP' } }
  await assert.rejects(client.registerTask(enumerated), /"SKIPP" is none of OVERLAP_UNSPECIFIED, SKIP, ALLOW_ALL/)
  await assert.rejects(client.registerTask({ name: 'x', ...manual, policy: { timeout: '5 parsecs' as '5m' } }), /not a duration/)
  assert.throws(() => createClient({ server: 'schedule.example:50051', key: 'sgk_x' }), /without TLS/)
  assert.throws(() => createClient({ server: 'ftp://x' }), /not an address/)
})
