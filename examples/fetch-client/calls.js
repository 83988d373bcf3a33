// node calls.js http://127.0.0.1:8787 [connect | grpc-web]: the calls that a caller makes most, and a stream.
import { Code, ConnectError } from '@connectrpc/connect'
import { Execution_State as State } from './contract/schedule/v1/schedule_pb.js'
import { scheduleAt } from './schedule.js'

const [server, protocol = 'connect'] = process.argv.slice(2)
const schedule = scheduleAt(server, { key: process.env.SCHEDULE_KEY, grpcWeb: protocol === 'grpc-web' })
const name = `fetch-${protocol}`

const task = await schedule.registerTask({
  name,
  schedule: '0 9 * * 1',
  handler: 'check-rate-limits',
  payload: { limit: 500 }
})
console.log('registered', task.name, task.payload, task.enabled)

// An empty message opens the stream: from there on no event is missed.
const watching = new AbortController()
const events = schedule.watchExecutions({ taskName: name }, { signal: watching.signal })[Symbol.asyncIterator]()
const opening = await events.next()
console.log('watching', opening.value.event.case ?? 'nothing yet')

const run = await schedule.runTaskNow({ name })
console.log('ran', run.success, run.execution?.taskName)
const states = []
while (states.length === 0 || states.at(-1) < State.SUCCEEDED) {
  const { value } = await events.next()
  if (value.event.case === 'transition') states.push(value.event.value.execution.state)
}
watching.abort()
console.log('watched', states.map((each) => State[each]).join(' '))

console.log('disabled', (await schedule.disableTask({ name, note: 'holiday' })).enabled)
console.log('enabled', (await schedule.enableTask({ name })).enabled)
console.log('read', (await schedule.getTask({ name })).schedule)
console.log('listed', (await schedule.listTasks({})).tasks.some((each) => each.name === name))
console.log('history', (await schedule.getTaskHistory({ name })).executions.length)

try {
  await schedule.getTask({ name: 'nothing-of-that-name' })
} catch (error) {
  const { code, rawMessage, details } = ConnectError.from(error)
  console.log('refused', Code[code], rawMessage, details.map((each) => each.type).join(' '))
}
