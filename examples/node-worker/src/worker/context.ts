/** What a handler is, and what it is given. */

/** Writes lines that are kept with the execution: the newest 200 of an attempt, together 64 KiB. */
export interface Log {
  debug(text: string, fields?: object): void
  info(text: string, fields?: object): void
  warn(text: string, fields?: object): void
  error(text: string, fields?: object): void
}

/** The second argument of a handler. */
export interface TaskContext {
  readonly executionId: string
  /** All attempts of one execution share it: pass it to a service that must not do its part twice. */
  readonly idempotencyKey: string
  readonly taskName: string
  readonly namespace: string
  /** The number of the attempt, 1 for the first. */
  readonly attempt: number
  /** The occurrence for which the execution stands; undefined for manual runs. */
  readonly scheduledTime: Date | undefined
  /** When the attempt times out. */
  readonly deadline: Date
  /** The task's metadata. */
  readonly metadata: Readonly<Record<string, any>>
  /** What travels with the execution, such as `traceparent`. */
  readonly headers: Readonly<Record<string, string>>
  /** Aborted when the attempt is to stop: its time is up, it was cancelled, or the worker stops or lost its lease. */
  readonly signal: AbortSignal
  readonly log: Log
  /** Reports how far the attempt is, from 0 to 1, and its present step. */
  progress(fraction: number, text?: string): void
  /** Reports a condition that is wrong: an alert is sent when it begins, and not again while it lasts. */
  alert(condition: { key: string, title: string, body?: string }): void
  /** Reports that the condition of this key is over. */
  recovered(key: string): void
}

/**
 * Does a task's work. What it returns is kept as the execution's result; `{ success: false }` is a failure, as a thrown
 * error is. The payload is any JSON object: a handler that is typed more closely checks it, or trusts its tasks.
 */
export type HandlerFunction = (payload: any, context: TaskContext) => unknown

/** A handler, and how the service describes it. */
export interface HandlerDefinition {
  run: HandlerFunction
  description?: string
  /** How many of its attempts run at once in this worker; by default as many as there are slots. */
  concurrency?: number
  /** A JSON Schema of its payload. */
  payloadSchema?: object
}

export type Handler = HandlerFunction | HandlerDefinition
