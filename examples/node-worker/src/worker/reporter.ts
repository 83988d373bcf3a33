/** Reports the news of attempts in batches, one call at a time, until the service has taken them. */
import { toBinary } from '@bufbuild/protobuf'
import {
  ReportResponse_Verdict as Verdict, UpdateSchema, type ReportResponse, type Update
} from '../contract/schedule/v1/worker_pb.js'
import { ScheduleError } from '../errors.js'
import type { Attempt } from './attempt.js'
import { Backoff, isFinal, pause } from './backoff.js'
import { failed } from './outcomes.js'

const MOST_UPDATES = 500
const MOST_BYTES = 900 * 1024 // of 1 MiB

interface Entry {
  attempt: Attempt
  update: Update
  size: number
}

export interface Reporting {
  /** Sends a Report. */
  send(updates: Update[]): Promise<ReportResponse>
  /** The outcome of an attempt is acknowledged, or nothing can be said of it. */
  onAcknowledged(attempt: Attempt): void
  /** The lease of an attempt does not stand. */
  onStale(attempt: Attempt): void
  /** Calls fail for good. */
  onFinal(error: ScheduleError): void
}

export class Reporter {
  readonly #reporting: Reporting
  readonly #backoff = new Backoff()
  readonly #noisy = new Set<Attempt>()
  readonly #refused = new WeakSet<Attempt>()
  #queue: Entry[] = []
  #most = MOST_UPDATES
  #isSending = false
  #due = Infinity
  #timer: NodeJS.Timeout | undefined

  constructor (reporting: Reporting) {
    this.#reporting = reporting
  }

  /** Reports the news of an attempt within so many milliseconds. */
  note (attempt: Attempt, within: number): void {
    this.#noisy.add(attempt)
    const due = performance.now() + within
    if (due >= this.#due) return
    this.#due = due
    clearTimeout(this.#timer)
    if (within > 0) this.#timer = setTimeout(() => { void this.#flush() }, within)
    else queueMicrotask(() => { void this.#flush() }) // what ends at the same time travels together
  }

  async #flush (): Promise<void> {
    clearTimeout(this.#timer)
    this.#due = Infinity
    if (this.#isSending) return // the loop below looks again
    this.#isSending = true
    try {
      for (let batch; (batch = this.#nextBatch()).length > 0;) await this.#send(batch)
    } finally {
      this.#isSending = false
    }
  }

  #nextBatch (): Entry[] {
    for (const attempt of this.#noisy) {
      for (const update of attempt.takeNews()) {
        this.#queue.push({ attempt, update, size: toBinary(UpdateSchema, update).length + 8 })
      }
    }
    this.#noisy.clear()
    this.#queue = this.#queue.filter(({ attempt }) => attempt.why !== 'lost')
    let count = 0
    for (let size = 0; count < Math.min(this.#queue.length, this.#most); count++) {
      size += this.#queue[count]!.size
      if (count > 0 && size > MOST_BYTES) break
    }
    return this.#queue.slice(0, count)
  }

  async #send (batch: Entry[]): Promise<void> {
    try {
      const { verdicts, reasons } = await this.#reporting.send(batch.map(({ update }) => update))
      this.#backoff.reset()
      this.#most = MOST_UPDATES
      this.#remove(batch)
      batch.forEach(({ attempt, update }, index) => {
        this.#judge(attempt, update, verdicts[index] ?? Verdict.APPLIED, reasons[index] ?? '')
      })
    } catch (error) {
      if (!(error instanceof ScheduleError)) throw error
      if (isFinal(error)) {
        this.#remove(batch)
        for (const { attempt, update } of batch) if (update.news.case === 'outcome') this.#reporting.onAcknowledged(attempt)
        this.#reporting.onFinal(error)
        return
      }
      if (error.code === 'RESOURCE_EXHAUSTED') this.#most = Math.max(1, batch.length >> 1)
      await pause(this.#backoff.next())
    }
  }

  #remove (batch: Entry[]): void {
    const sent = new Set(batch)
    this.#queue = this.#queue.filter(entry => !sent.has(entry))
  }

  #judge (attempt: Attempt, { news }: Update, verdict: Verdict, reason: string): void {
    if (verdict === Verdict.STALE) this.#reporting.onStale(attempt)
    if (news.case !== 'outcome') return
    if (verdict !== Verdict.INVALID || this.#refused.has(attempt)) {
      this.#reporting.onAcknowledged(attempt)
      return
    }
    this.#refused.add(attempt)
    attempt.finish(failed(`The service refused the outcome: ${reason}`, { took: 0, conditions: [] }))
  }
}
