// A Worker that registers a task, runs it, and looks at it. Each call is one fetch to the service.
import { Code, ConnectError } from '@connectrpc/connect'
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
  const run = await env.SCHEDULE.runTaskNow({ name })
  const { executions } = await env.SCHEDULE.getTaskHistory({ name })
  const read = await env.SCHEDULE.getTask({ name })
  return {
    registered: task.payload,
    listed: tasks.map((each) => each.name),
    disabled: disabled.enabled,
    enabled: enabled.enabled,
    ran: run.success,
    history: executions.map((each) => each.id === run.execution?.id),
    read: read.schedule,
    watched: await firstEvent(env.SCHEDULE, name),
    refused: await refusal(env.SCHEDULE)
  }
}

/** A stream: its first message says that it is open; what happens from then on is not missed. */
async function firstEvent(schedule: Schedule, name: string): Promise<string | undefined> {
  const watching = new AbortController()
  let began = false
  try {
    for await (const { event } of schedule.watchExecutions({ taskName: name }, { signal: watching.signal })) {
      if (!began) await schedule.runTaskNow({ name, detach: true })
      began = true
      if (event.case !== undefined) return event.case
    }
  } finally {
    watching.abort()
  }
  return undefined
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
