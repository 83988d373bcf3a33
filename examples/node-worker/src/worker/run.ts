/** A worker: one Pull after the other, and the attempts that they bring. */
import { hostname } from 'node:os'
import { create } from '@bufbuild/protobuf'
import {
  PullRequestSchema, RegisterWorkerRequestSchema, ReportRequestSchema, Stop_Reason, UnregisterWorkerRequestSchema,
  WorkerService, type Assignment, type PullResponse, type Update
} from '../contract/schedule/v1/worker_pb.js'
import { Connection, type ConnectionOptions } from '../connection.js'
import { ScheduleError } from '../errors.js'
import { durationOf, milliseconds, msOf, type DurationText } from '../plain.js'
import { Attempt, GRACE } from './attempt.js'
import { Backoff, isFinal, pause } from './backoff.js'
import type { Handler, HandlerDefinition } from './context.js'
import { released } from './outcomes.js'
import { Reporter } from './reporter.js'

export interface WorkerOptions extends ConnectionOptions {
  /** The handlers by the names that tasks use. */
  handlers: Readonly<Record<string, Handler>>
  /** How many attempts run at once; by default 8. */
  slots?: number
  /** A label for people; by default the host's name and the process id. */
  name?: string
  /** The version of the program, for people. */
  version?: string
  /** The namespace whose executions the worker runs; `*`: of every namespace. */
  namespace?: string
  /** How long the worker may be out of reach before its attempts are given to others: 10 s to 10 min, by default 30 s. */
  lease?: number | DurationText
  /** Shown to people. */
  labels?: Readonly<Record<string, string>>
  /** When aborted, the worker begins nothing more, and stops once its handlers have ended. */
  signal?: AbortSignal
  /** Whether SIGTERM and SIGINT stop the worker, too: true by default. A second one asks its handlers to stop at once. */
  handleSignals?: boolean
  /** How long handlers may go on once the worker stops; then they are asked to stop. By default 30 s. */
  drainTimeout?: number | DurationText
  /** Takes the worker's own log; by default it goes to the standard error stream. */
  log?: (level: 'info' | 'warn' | 'error', text: string) => void
}

const PROTOCOL = 1
const CALL = 10_000
const LONGEST_WAIT = 20_000
const SHORTEST_WAIT = 2_000
const BEFORE_LEASE_ENDS = 5_000
const LET_GO_KNOWN = 1_000

const { method: rpc } = WorkerService

/**
 * Offers handlers to the service and runs what it assigns, until `signal`, SIGTERM or SIGINT. Resolves once all handlers
 * have ended and their outcomes are recorded. Rejects with a ScheduleError if the service refuses the worker.
 */
export async function runWorker (options: WorkerOptions): Promise<void> {
  const worker = new Worker(options)
  let count = 0
  const onSignal = (): void => { if (count++ === 0) worker.stop(); else worker.hurry() }
  const onAbort = (): void => { worker.stop() }
  const signals = options.handleSignals === false ? [] : ['SIGTERM', 'SIGINT'] as const
  for (const signal of signals) process.on(signal, onSignal)
  options.signal?.addEventListener('abort', onAbort)
  if (options.signal?.aborted === true) worker.stop()
  try {
    await worker.run()
  } finally {
    for (const signal of signals) process.off(signal, onSignal)
    options.signal?.removeEventListener('abort', onAbort)
  }
}

class Worker {
  readonly #options: WorkerOptions
  readonly #connection: Connection
  readonly #handlers: ReadonlyMap<string, HandlerDefinition>
  readonly #slots: number
  readonly #log: NonNullable<WorkerOptions['log']>
  readonly #backoff = new Backoff()
  readonly #reporter: Reporter
  /** By token, from the assignment until the outcome is acknowledged. */
  readonly #held = new Map<string, Attempt>()
  /** Attempts that were not begun yet. */
  readonly #waiting = new Set<Attempt>()
  /** Attempts whose handlers have not ended, by execution, whether they are held or not. */
  readonly #running = new Map<string, Attempt>()
  /** Attempts that were begun here and then let go, by token. */
  readonly #letGo = new Map<string, Attempt>()
  #session: string | undefined
  #leaseEnds = Infinity
  #wait = LONGEST_WAIT
  #cutOff = 0
  #isAway = false
  #isDraining = false
  #failure: ScheduleError | undefined
  #drain: NodeJS.Timeout | undefined
  #interrupt = new AbortController()
  #sentCapacity = 0

  constructor (options: WorkerOptions) {
    this.#options = options
    this.#connection = new Connection(options, { loadBalancingConfig: [{ round_robin: {} }] })
    this.#slots = options.slots ?? 8
    this.#log = options.log ?? ((level, text) => { process.stderr.write(`${level} ${text}\n`) })
    this.#handlers = new Map(Object.entries(options.handlers).map(
      ([name, handler]) => [name, typeof handler === 'function' ? { run: handler } : handler]))
    this.#reporter = new Reporter({
      send: updates => this.#report(updates),
      onAcknowledged: attempt => { this.#release(attempt) },
      onStale: attempt => { this.#lose(attempt.token) },
      onFinal: error => { this.#fail(error) }
    })
  }

  async run (): Promise<void> {
    const watch = setInterval(() => { this.#keepLease() }, 250)
    try {
      while (!this.#isOver) {
        try {
          if (this.#failure !== undefined) await this.#sleep(LONGEST_WAIT)
          else if (this.#session === undefined) await this.#register()
          else await this.#pull(this.#session)
        } catch (error) {
          await this.#recover(error)
        }
      }
      await this.#unregister()
    } finally {
      clearInterval(watch)
      clearTimeout(this.#drain)
      this.#connection.close()
    }
    if (this.#failure !== undefined) throw this.#failure
  }

  /** Begins nothing more; handlers get the drain's time to end. */
  stop (): void {
    if (this.#isDraining) return
    this.#isDraining = true
    this.#drain = setTimeout(() => { this.hurry() }, milliseconds(this.#options.drainTimeout ?? 30_000))
    for (const attempt of this.#waiting) attempt.stop('shutdown')
    this.#wake()
  }

  /** Asks all handlers to stop now. */
  hurry (): void {
    for (const attempt of this.#held.values()) attempt.stop('shutdown')
  }

  /** Whether the worker stops, and holds nothing but attempts whose handlers do not stop: their leases run out. */
  get #isOver (): boolean {
    return this.#isDraining && [...this.#held.values()].every(each => each.isAbandoned && each.outcome === undefined)
  }

  get #capacity (): number {
    if (this.#isDraining) return 0
    let used = this.#held.size
    for (const each of this.#running.values()) if (each.why === 'lost' && !each.isAbandoned) used++
    return Math.max(this.#slots - used, 0)
  }

  async #register (): Promise<void> {
    const { name = `${hostname()}-${process.pid}`, version, namespace, lease, labels = {} } = this.#options
    const request = create(RegisterWorkerRequestSchema, {
      name,
      protocol: PROTOCOL,
      slots: this.#slots,
      labels: { ...labels },
      handlers: [...this.#handlers].map(([name, { description = '', concurrency, payloadSchema }]) => ({
        name, description, concurrency, payloadSchemaJson: payloadSchema === undefined ? '' : JSON.stringify(payloadSchema)
      })),
      heldTokens: [...this.#held.keys()],
      ...(version === undefined ? {} : { version }),
      ...(namespace === undefined ? {} : { namespace }),
      ...(lease === undefined ? {} : { lease: durationOf(milliseconds(lease)) })
    })
    const sent = performance.now()
    const answer = await this.#connection.unary(rpc.registerWorker, request, { timeout: CALL, signal: this.#fresh() })
    this.#session = answer.sessionId
    this.#leaseEnds = sent + msOf(answer.lease)
    this.#log('info', `registered with ${this.#options.server}: ${[...this.#handlers.keys()].join(', ')}`)
    for (const token of answer.lostTokens) this.#lose(token)
  }

  async #pull (sessionId: string): Promise<void> {
    const held = [...this.#held.values()].map(({ token, progress }) => ({
      leaseToken: token, ...(progress === undefined ? {} : { progress: progress.fraction, progressText: progress.text })
    }))
    this.#sentCapacity = this.#capacity
    const request = create(PullRequestSchema, {
      sessionId, held, capacity: this.#sentCapacity, wait: durationOf(this.#wait), draining: this.#isDraining
    })
    const sent = performance.now()
    const answer = await this.#connection.unary(rpc.pull, request, { timeout: this.#wait + CALL, signal: this.#fresh() })
    this.#cutOff = 0
    this.#isAway = false
    this.#backoff.reset()
    if (answer.lease !== undefined) this.#leaseEnds = sent + msOf(answer.lease)
    this.#obey(answer)
    if (answer.serverDraining) await this.#sleep(100 + Math.random() * 200)
  }

  #obey (answer: PullResponse): void {
    for (const token of answer.lostTokens) this.#lose(token)
    for (const { leaseToken, reason } of answer.stops) {
      this.#held.get(leaseToken)?.stop(reason === Stop_Reason.TIMEOUT ? 'timeout' : 'cancelled')
    }
    for (const assignment of answer.assignments) this.#take(assignment)
    this.#keepLease()
  }

  #take (assignment: Assignment): void {
    if (this.#held.has(assignment.leaseToken)) return
    const attempt = new Attempt(assignment, {
      onNews: (each, within) => { if (each.why !== 'lost') this.#reporter.note(each, within) },
      onSettled: each => { this.#onSettled(each) }
    })
    this.#held.set(attempt.token, attempt)
    const former = this.#letGo.get(attempt.token)
    if (former !== undefined) {
      void this.#resume(attempt, former)
    } else if (this.#isDraining || !this.#handlers.has(assignment.handler)) {
      attempt.finish(released(false))
    } else {
      this.#waiting.add(attempt)
      this.#beginWaiting()
      if (this.#waiting.has(attempt)) this.#waitForFormer(attempt)
    }
  }

  /**
   * Begins the attempts that wait, except where a handler is busy or an earlier attempt of the execution goes on. More
   * than there are slots may be held: a slot is given again when an outcome is on disk, before the worker hears of it.
   */
  #beginWaiting (): void {
    for (const attempt of this.#waiting) {
      if (this.#runningCount() >= this.#slots) return
      const { executionId, handler: name } = attempt.assignment
      const handler = this.#handlers.get(name)
      if (handler === undefined || attempt.outcome !== undefined || attempt.why !== undefined) {
        this.#waiting.delete(attempt)
      } else if (!this.#running.has(executionId) && this.#runningCount(name) < (handler.concurrency ?? this.#slots)) {
        this.#waiting.delete(attempt)
        this.#running.set(executionId, attempt)
        attempt.begin(handler.run)
      }
    }
  }

  #runningCount (handler?: string): number {
    let count = 0
    for (const { assignment, isAbandoned } of this.#running.values()) {
      if (!isAbandoned && (handler === undefined || assignment.handler === handler)) count++
    }
    return count
  }

  /** Hands an attempt back that an earlier one of its execution keeps from beginning. */
  #waitForFormer (attempt: Attempt): void {
    setTimeout(() => {
      const isBlocked = this.#waiting.has(attempt) && this.#running.has(attempt.assignment.executionId)
      if (isBlocked && attempt.why === undefined) attempt.finish(released(false))
    }, GRACE).unref()
  }

  /** Reports an attempt that began here and was let go, once its handler has ended: it is not begun again. */
  async #resume (attempt: Attempt, former: Attempt): Promise<void> {
    while (former.isRunning && this.#held.get(attempt.token) === attempt) await pause(100)
    if (attempt.why !== 'lost') attempt.finish(former.outcome ?? released(true))
  }

  #onSettled (attempt: Attempt): void {
    const { executionId } = attempt.assignment
    if (!attempt.isRunning && this.#running.get(executionId) === attempt) this.#running.delete(executionId)
    if (attempt.isAbandoned && attempt.isRunning) {
      this.#log('warn', `${executionId}: its handler did not stop, and may still run`)
    }
    this.#beginWaiting()
    this.#note()
  }

  #release (attempt: Attempt): void {
    if (this.#held.get(attempt.token) === attempt) this.#held.delete(attempt.token)
    this.#note()
  }

  /** Stops an attempt that is no longer this worker's, and says nothing more of it. */
  #lose (token: string): void {
    const attempt = this.#held.get(token)
    if (attempt === undefined) return
    this.#held.delete(token)
    this.#waiting.delete(attempt)
    if (attempt.hasBegun) this.#remember(attempt)
    attempt.stop('lost')
    this.#log('warn', `${attempt.assignment.executionId}: the lease was lost`)
    this.#note()
  }

  #remember (attempt: Attempt): void {
    this.#letGo.set(attempt.token, attempt)
    const [oldest = ''] = this.#letGo.keys()
    if (this.#letGo.size > LET_GO_KNOWN) this.#letGo.delete(oldest)
  }

  /** Lets all attempts go 5 s before the lease ends: after its end others may run them. */
  #keepLease (): void {
    if (performance.now() < this.#leaseEnds - BEFORE_LEASE_ENDS) return
    for (const token of [...this.#held.keys()]) this.#lose(token)
  }

  async #report (updates: Update[]) {
    this.#keepLease()
    const sessionId = this.#session
    if (sessionId === undefined) throw new ScheduleError('no session yet', 'UNAVAILABLE')
    try {
      return await this.#connection.unary(rpc.report, create(ReportRequestSchema, { sessionId, updates }), { timeout: CALL })
    } catch (error) {
      if (error instanceof ScheduleError && error.code === 'NOT_FOUND' && this.#session === sessionId) {
        this.#session = undefined
        this.#wake()
      }
      throw error
    }
  }

  async #recover (error: unknown): Promise<void> {
    if (this.#interrupt.signal.aborted && error === this.#interrupt.signal.reason) return
    if (!(error instanceof ScheduleError)) throw error
    if (isFinal(error)) { this.#fail(error); return }
    if (error.code === 'NOT_FOUND' && this.#session !== undefined) this.#session = undefined
    else if (!this.#isAway) this.#log('warn', `${error.code}: ${error.message}; trying again`)
    this.#isAway = true
    const isCutOff = error.code === 'DEADLINE_EXCEEDED' || error.code === 'UNAVAILABLE'
    if (isCutOff && ++this.#cutOff >= 2) { // something on the way may end calls that are longer
      this.#cutOff = 0
      this.#wait = Math.max(this.#wait / 2, SHORTEST_WAIT)
    }
    if (error.code === 'DEADLINE_EXCEEDED') this.#connection.close() // which may be half open
    await this.#sleep(this.#backoff.next())
  }

  #fail (error: ScheduleError): void {
    this.#failure ??= error
    this.#log('error', `${error.code}: ${error.message}`)
    this.stop()
    this.#wake()
  }

  async #unregister (): Promise<void> {
    if (this.#session === undefined || this.#held.size > 0) return
    const request = create(UnregisterWorkerRequestSchema, { sessionId: this.#session })
    await this.#connection.unary(rpc.unregisterWorker, request, { timeout: CALL }).catch((error: unknown) => {
      this.#log('warn', `UnregisterWorker failed: ${String(error)}`) // its lease runs out instead
    })
  }

  /** Looks again where something ended: the worker may be done, or have slots that the Pull does not know of. */
  #note (): void {
    if (this.#isOver) { this.#wake(); return }
    if (this.#sentCapacity > 0 || this.#capacity === 0) return
    const { signal } = this.#interrupt
    setTimeout(() => { if (this.#interrupt.signal === signal) this.#wake() }, 100)
  }

  /** Ends the present call or pause of the loop. */
  #wake (): void {
    this.#interrupt.abort(new Error('interrupted'))
  }

  #fresh (): AbortSignal {
    this.#interrupt = new AbortController()
    return this.#interrupt.signal
  }

  #sleep (ms: number): Promise<void> {
    return pause(ms, this.#fresh())
  }
}
