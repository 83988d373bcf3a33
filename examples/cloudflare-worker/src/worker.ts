// A Worker that registers a task, runs it, and looks at it. Each call is one fetch to the service.
import { Code, ConnectError } from '@connectrpc/connect'
import { Execution_State as State } from '../contract/schedule/v1/schedule_pb.js'
import { type Schedule, scheduleOf, type ScheduleSettings } from './schedule.js'

interface Env extends ScheduleSettings {
  SCHEDULE: Schedule
}

export default {
  async fetch(_request: Request, settings: ScheduleSettings): Promise<Response> {
    const env: Env = { ...settings, SCHEDULE: scheduleOf(settings) }
    return Response.json(await tour(env))
  }
}

async function tour(env: Env): Promise<Record<string, unknown>> {
  const name = 'from-a-worker'
  const task = await env.SCHEDULE.registerTask({
    name,
    schedule: '0 9 * * 1',
    handler: 'check-rate-limits',
    payload: { limit: 500 }
  })
  const { tasks } = await env.SCHEDULE.listTasks({ namePrefix: name })
  const disabled = await env.SCHEDULE.disableTask({ name, note: 'holiday' })
  const enabled = await env.SCHEDULE.enableTask({ name })

  // An empty message opens the stream: from there on no event is missed.
  const watching = new AbortController()
  const watched = env.SCHEDULE.watchExecutions({ taskName: name }, { signal: watching.signal })
  const events = watched[Symbol.asyncIterator]()
  await events.next()

  const run = await env.SCHEDULE.runTaskNow({ name })
  const states: State[] = []
  while (states.at(-1) !== run.execution?.state) {
    const { event } = (await events.next()).value
    if (event.case === 'transition' && event.value.execution) states.push(event.value.execution.state)
  }
  watching.abort()

  const { executions } = await env.SCHEDULE.getTaskHistory({ name })
  const read = await env.SCHEDULE.getTask({ name })
  return {
    RegisterTask: task.payload,
    ListTasks: tasks.map((each) => each.name),
    GetTask: read.schedule,
    RunTaskNow: run.success,
    GetTaskHistory: executions.map((each) => each.id === run.execution?.id),
    EnableTask: enabled.enabled,
    DisableTask: disabled.enabled,
    WatchExecutions: states.map((each) => State[each]),
    error: await refusal(env.SCHEDULE)
  }
}

async function refusal(schedule: Schedule): Promise<string[]> {
  try {
    await schedule.getTask({ name: 'nothing-of-that-name' })
    return []
  } catch (error) {
    const { code, rawMessage, details } = ConnectError.from(error)
    return [Code[code], rawMessage, ...details.map((each) => ('type' in each ? each.type : each.desc.typeName))]
  }
}
