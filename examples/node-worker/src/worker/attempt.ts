/** One attempt: from its assignment until the service has acknowledged its outcome. */
import { create, toBinary } from '@bufbuild/protobuf'
import { timestampDate } from '@bufbuild/protobuf/wkt'
import {
  Update_ConditionSchema, UpdateSchema, type Assignment, type Update, type Update_Condition, type Update_Outcome
} from '../contract/schedule/v1/worker_pb.js'
import { msOf } from '../plain.js'
import type { HandlerFunction, TaskContext } from './context.js'
import { Journal, wellFormed } from './journal.js'
import { isPermanent, outcomeOfError, outcomeOfResult, released, timedOut } from './outcomes.js'

/** How long a handler may take to stop once it was asked to. */
export const GRACE = 10_000
const SOON = 500
const PROGRESS_SOON = 100
const FLUSH_BYTES = 16 * 1024
const UPDATE_BYTES = 256 * 1024
const PROGRESS_TEXT = 256
const CONDITION_BYTES = 256 * 1024

/** Why an attempt is to stop. `lost`: it is no longer this worker's, and nothing is said of it. */
export type Why = 'cancelled' | 'timeout' | 'shutdown' | 'lost'

export interface Listener {
  /** There is news to report within so many milliseconds. */
  onNews(attempt: Attempt, within: number): void
  /** The handler has ended, or the worker waits for its end no longer. */
  onSettled(attempt: Attempt): void
}

export class Attempt {
  /** Why it is to stop; undefined while it may go on. */
  why: Why | undefined
  /** Set once, when it is known how the attempt ended. */
  outcome: Update_Outcome | undefined
  /** Whether its handler was called and has not ended. */
  isRunning = false
  /** Whether its handler ignored that it was asked to stop. */
  isAbandoned = false
  progress: { fraction: number, text: string } | undefined
  readonly #abort = new AbortController()
  readonly #journal: Journal
  readonly #conditions: Update_Condition[] = []
  #conditionBytes = 0
  #began: number | undefined
  #timer: NodeJS.Timeout | undefined
  #isProgressNew = false
  #isOutcomeNew = false

  constructor (readonly assignment: Assignment, readonly listener: Listener) {
    this.#journal = new Journal(pending => { listener.onNews(this, pending < FLUSH_BYTES ? SOON : 0) })
  }

  get token (): string {
    return this.assignment.leaseToken
  }

  /** Whether its handler was called. */
  get hasBegun (): boolean {
    return this.#began !== undefined
  }

  /** Calls the handler. */
  begin (handler: HandlerFunction): void {
    this.#began = performance.now()
    this.isRunning = true
    const timeout = msOf(this.assignment.timeout)
    this.#timer = setTimeout(() => { this.stop('timeout') }, timeout)
    void this.#perform(handler, timeout)
  }

  /** Asks the handler to stop, once. An attempt that is lost stays so. */
  stop (why: Why): void {
    const isFirst = this.why === undefined
    if (isFirst || why === 'lost') this.why = why
    if (!isFirst) return
    clearTimeout(this.#timer)
    if (!this.isRunning) {
      if (this.outcome === undefined && why !== 'lost') this.finish(why === 'timeout' ? timedOut(this.#ended) : released(false))
      return
    }
    this.#timer = setTimeout(() => { this.#abandon() }, GRACE)
    this.#abort.abort(new DOMException(REASONS[why], why === 'timeout' ? 'TimeoutError' : 'AbortError'))
  }

  /** Notes the outcome; a later one only replaces one that the service refused. */
  finish (outcome: Update_Outcome): void {
    this.outcome = outcome
    this.#isOutcomeNew = true
    this.listener.onNews(this, 0)
  }

  /** Takes what is new: lines first, the outcome last. */
  takeNews (): Update[] {
    const news: Update['news'][] = []
    for (let lines; (lines = this.#journal.take(UPDATE_BYTES)).length > 0;) {
      news.push({ case: 'log', value: { $typeName: 'schedule.v1.Update.Log', lines } })
    }
    if (this.#isProgressNew && this.progress !== undefined) {
      news.push({ case: 'progress', value: { $typeName: 'schedule.v1.Update.Progress', ...this.progress } })
    }
    if (this.#isOutcomeNew && this.outcome !== undefined) news.push({ case: 'outcome', value: this.outcome })
    this.#isProgressNew = this.#isOutcomeNew = false
    return news.map(each => create(UpdateSchema, { leaseToken: this.token, news: each }))
  }

  async #perform (handler: HandlerFunction, timeout: number): Promise<void> {
    let outcome: Update_Outcome
    try {
      const payload: unknown = JSON.parse(this.assignment.payloadJson || '{}')
      const result = await handler(payload, this.#context(timeout))
      outcome = this.why === 'timeout' ? timedOut(this.#ended) : outcomeOfResult(result, this.#ended)
    } catch (error) {
      outcome = this.#outcomeOfThrown(error)
    }
    clearTimeout(this.#timer)
    this.isRunning = false
    if (this.why === 'lost') this.outcome ??= outcome // reported only if the service assigns the attempt here again
    else if (this.outcome === undefined) this.finish(outcome)
    this.listener.onSettled(this)
  }

  #outcomeOfThrown (error: unknown): Update_Outcome {
    if (this.why === 'timeout') return timedOut(this.#ended)
    if (this.why !== undefined) return released(true, this.#ended.took)
    try {
      if (!isPermanent(error)) this.#journal.addError(error)
      return outcomeOfError(error, this.#ended)
    } catch { // what was thrown cannot even be shown
      return outcomeOfError(new Error('The handler threw something that has no text'), this.#ended)
    }
  }

  #abandon (): void {
    this.isAbandoned = true
    // While this process stops, another worker must not begin before this handler is gone: the lease's end decides.
    if (this.why === 'cancelled' || this.why === 'timeout') this.finish(timedOut(this.#ended, true))
    this.listener.onSettled(this)
  }

  get #ended () {
    return { took: performance.now() - (this.#began ?? performance.now()), conditions: this.#conditions }
  }

  #context (timeout: number): TaskContext {
    const { executionId, taskName, namespace, attempt, scheduledTime, metadataJson, headers } = this.assignment
    return {
      executionId,
      idempotencyKey: executionId,
      taskName,
      namespace,
      attempt,
      scheduledTime: scheduledTime && timestampDate(scheduledTime),
      deadline: new Date(Date.now() + timeout),
      metadata: JSON.parse(metadataJson || '{}') as Record<string, unknown>,
      headers,
      signal: this.#abort.signal,
      log: this.#journal.log,
      progress: (fraction, text = '') => {
        this.progress = { fraction: Math.min(Math.max(Number(fraction) || 0, 0), 1), text: firstOf(text, PROGRESS_TEXT) }
        this.#isProgressNew = true
        this.listener.onNews(this, PROGRESS_SOON)
      },
      alert: ({ key, title, body = '' }) => { this.#note({ key, title, body }) },
      recovered: key => { this.#note({ key, over: true }) }
    }
  }

  #note ({ key, title = '', body = '', over = false }: { key: string, title?: string, body?: string, over?: boolean }): void {
    if (!key) throw new TypeError('a condition has a key')
    if (!over && !title) throw new TypeError('an alert has a title')
    const condition = create(Update_ConditionSchema, { key: String(key), title: String(title), body: String(body), over })
    this.#conditionBytes += toBinary(Update_ConditionSchema, condition).length
    if (this.#conditionBytes > CONDITION_BYTES) throw new RangeError(`the conditions of an attempt have at most ${CONDITION_BYTES} bytes`)
    this.#conditions.push(condition)
  }
}

const REASONS: Record<Why, string> = {
  cancelled: 'The execution was cancelled',
  timeout: 'The attempt takes longer than its timeout',
  shutdown: 'The worker stops',
  lost: 'The attempt is no longer this worker\'s'
}

function firstOf (text: string, most: number): string {
  return [...wellFormed(String(text))].slice(0, most).join('')
}
