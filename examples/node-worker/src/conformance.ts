/**
 * The worker that `schedule-grpc worker-check -- node dist/conformance.js` tries. docs/worker-conformance.md of the
 * service says what its handlers do. It is no part of the published package.
 */
import { appendFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { PermanentFailure, runWorker, type HandlerFunction, type TaskContext } from './index.js'
import type { DurationText } from './plain.js'

const { env } = process

function note (event: 'begin' | 'stopped' | 'end', { executionId, attempt }: TaskContext): void {
  if (env.CONFORMANCE_JOURNAL) appendFileSync(env.CONFORMANCE_JOURNAL, `${event} ${executionId} ${attempt}\n`)
}

/** Returns the handler with its journal. */
function journaled (run: HandlerFunction): HandlerFunction {
  return async (payload, context) => {
    note('begin', context)
    context.signal.addEventListener('abort', () => { note('stopped', context) })
    try {
      return await run(payload, context)
    } finally {
      note('end', context)
    }
  }
}

const handlers: Record<string, HandlerFunction> = {
  echo: payload => payload,
  fail: ({ text }) => { throw new Error(text) },
  reject: ({ text }) => { throw new PermanentFailure(text) },
  soft_fail: ({ text }) => ({ success: false, error: text }),
  sleep: async ({ seconds }, { signal }) => {
    await sleep(seconds * 1000, undefined, { signal })
    return { slept: seconds }
  },
  deaf: async ({ seconds }) => {
    await sleep(seconds * 1000)
    return { slept: seconds }
  },
  log: ({ lines, text }, { log }) => {
    for (let count = 1; count <= lines; count++) log.info(`${count} ${text}`)
    return { logged: lines }
  },
  progress: async ({ steps, seconds }, { signal, progress }) => {
    for (let step = 1; step <= steps; step++) {
      await sleep(seconds / steps * 1000, undefined, { signal })
      progress(step / steps, `step ${step} of ${steps}`)
    }
    return { steps }
  },
  big: ({ bytes }) => ({ text: 'x'.repeat(bytes) }),
  unicode: () => ({ text: 'Grüße, 世界, 🌍, \u0000 and \u2028' }),
  exit: ({ code }) => process.exit(code)
}

await runWorker({
  server: env.SCHEDULE_SERVER ?? '127.0.0.1:50051',
  version: 'conformance',
  slots: Number(env.SCHEDULE_SLOTS ?? 8),
  lease: (env.SCHEDULE_LEASE ?? '30s') as DurationText,
  drainTimeout: (env.SCHEDULE_DRAIN_TIMEOUT ?? '30s') as DurationText,
  handlers: Object.fromEntries(Object.entries(handlers).map(([name, run]) => [`conformance.${name}`, journaled(run)]))
})
