// The calls that a caller makes most, a stream, and an error with its details: by any client of the contract.
import { Code, ConnectError } from '@connectrpc/connect'
import { Execution_State as State } from './contract/schedule/v1/schedule_pb.js'

/** Make each call for a task of this name; return what was answered, by the name of the call. */
export async function tour(schedule, name) {
  const task = await schedule.registerTask({
    name,
    schedule: '0 9 * * 1',
    handler: 'check-rate-limits',
    payload: { limit: 500 }
  })

  // An empty message opens the stream: from there on no event is missed.
  const watching = new AbortController()
  const events = schedule.watchExecutions({ taskName: name }, { signal: watching.signal })[Symbol.asyncIterator]()
  await events.next()

  const run = await schedule.runTaskNow({ name })
  const states = []
  while (states.length === 0 || states.at(-1) < State.SUCCEEDED) {
    const { value } = await events.next()
    if (value.event.case === 'transition') states.push(value.event.value.execution.state)
  }
  watching.abort()

  const disabled = await schedule.disableTask({ name, note: 'holiday' })
  const enabled = await schedule.enableTask({ name })
  const read = await schedule.getTask({ name })
  const { tasks } = await schedule.listTasks({ namePrefix: name })
  const { executions } = await schedule.getTaskHistory({ name })
  return {
    RegisterTask: task.payload,
    ListTasks: tasks.map((each) => each.name),
    GetTask: read.schedule,
    RunTaskNow: run.success,
    GetTaskHistory: executions.map((each) => each.id === run.execution.id),
    EnableTask: enabled.enabled,
    DisableTask: disabled.enabled,
    WatchExecutions: states.map((each) => State[each]),
    error: await refusal(schedule)
  }
}

async function refusal(schedule) {
  try {
    await schedule.getTask({ name: 'nothing-of-that-name' })
    return []
  } catch (error) {
    const { code, rawMessage, details } = ConnectError.from(error)
    return [Code[code], rawMessage, ...details.map((each) => each.type)]
  }
}
