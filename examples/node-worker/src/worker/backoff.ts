/** The pauses of a worker, and which failures end it. */
import type { ScheduleError } from '../errors.js'

const FIRST = 200
const LONGEST = 5_000
const FINAL = new Set(['INVALID_ARGUMENT', 'FAILED_PRECONDITION', 'UNAUTHENTICATED', 'PERMISSION_DENIED', 'UNIMPLEMENTED'])

/** Whether a call would fail in the same way however often it is made. Everything else is tried again, for ever. */
export function isFinal (error: ScheduleError): boolean {
  return FINAL.has(error.code)
}

/** Pauses that are drawn from zero up to a bound that doubles: workers that lost one server do not return together. */
export class Backoff {
  #failures = 0

  reset (): void {
    this.#failures = 0
  }

  /** Returns the milliseconds until the next try. */
  next (): number {
    return Math.random() * Math.min(LONGEST, FIRST * 2 ** Math.min(this.#failures++, 10))
  }
}

/** Resolves after so many milliseconds, or when the signal is aborted. */
export function pause (ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise(resolve => {
    if (signal?.aborted === true) { resolve(); return }
    const done = (): void => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', done)
      resolve()
    }
    const timer = setTimeout(done, ms)
    signal?.addEventListener('abort', done)
  })
}
