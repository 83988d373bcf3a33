/** The client: one method for each rpc of ScheduleService, with plain objects, Dates and milliseconds. */
import { randomUUID } from 'node:crypto'
import { PassThrough, pipeline } from 'node:stream'
import type { DescMessage, DescMethodUnary, Message, MessageShape } from '@bufbuild/protobuf'
import type { ServiceError } from '@grpc/grpc-js'
import * as contract from './contract/schedule/v1/schedule_pb.js'
import { Connection, type CallOptions, type ConnectionOptions } from './connection.js'
import { errorOf } from './errors.js'
import { fromPlain, maskOf, toPlain, type EnumName, type Input, type Plain } from './plain.js'

export interface Task extends Plain<contract.Task> {}
export interface Execution extends Plain<contract.Execution> {}
export interface TaskPolicy extends Input<contract.TaskPolicy> {}
export type ExecutionState = EnumName<contract.Execution_State>

type Asked<M, Required extends keyof Input<M> = never> =
  Omit<Input<M>, Required> & { [K in Required]-?: NonNullable<Input<M>[K]> }

export interface RegisterTaskRequest extends Asked<contract.RegisterTaskRequest, 'name' | 'schedule' | 'handler'> {}

/** The fields to change. One that is left out stays as it is; null, like an empty text, means its default. */
export type TaskChanges = {
  [K in 'schedule' | 'timeZone' | 'handler' | 'enabled' | 'payload' | 'metadata' | 'description' | 'policy']?:
  Input<contract.Task>[K] | null
} & { name: string, etag?: string, namespace?: string }

/** An event of a watch. `lost` stands for events that were dropped; its count is 0 if it is not known. */
export type WatchEvent =
  | { type: 'transition' } & Plain<contract.WatchExecutionsResponse_Transition>
  | { type: 'progress' } & Plain<contract.WatchExecutionsResponse_Progress>
  | { type: 'log' } & Plain<contract.WatchExecutionsResponse_Log>
  | { type: 'lost' } & Plain<contract.WatchExecutionsResponse_Lost>

/** Events as they come. Ends when it is closed, or when a `for await` over it is left. */
export interface Watch extends AsyncIterable<WatchEvent> {
  /** Resolves once the server sends events: what happens from then on is in the watch. */
  readonly ready: Promise<void>
  close(): void
}

/** A list in pages: `await` gives the first page, `for await` all items of all pages. */
export interface Pages<Page, Item> extends PromiseLike<Page>, AsyncIterable<Item> {}

export interface ClientOptions extends ConnectionOptions {
  /** The namespace of requests that name none. */
  namespace?: string
  /** The milliseconds after which a call fails, its retries included; by default 10 s, and never for runTaskNow. */
  timeout?: number
}

const { method: rpc } = contract.ScheduleService
const ONCE = ['TriggerCron'] // it would do its work once more if it were repeated
const SERVICE = contract.ScheduleService.typeName
const RETRIES = {
  methodConfig: [
    { name: ONCE.map(method => ({ service: SERVICE, method })) },
    {
      name: [{ service: SERVICE }],
      retryPolicy: {
        maxAttempts: 4, initialBackoff: '0.2s', maxBackoff: '2s', backoffMultiplier: 2,
        retryableStatusCodes: ['UNAVAILABLE', 'CANCELLED']
      }
    }
  ]
}

/** Returns a client. It connects at its first call; `close` ends the connection. */
export function createClient (options: ClientOptions): ScheduleClient {
  return new ScheduleClient(options)
}

/** See `createClient`. Each method rejects with a ScheduleError. */
export class ScheduleClient {
  readonly #connection: Connection
  readonly #namespace: string
  readonly #timeout: number

  constructor (options: ClientOptions) {
    this.#connection = new Connection(options, RETRIES)
    this.#namespace = options.namespace ?? ''
    this.#timeout = options.timeout ?? 10_000
  }

  /** Creates a task, or replaces its definition. Registering the same again changes nothing. */
  registerTask (request: RegisterTaskRequest, options?: CallOptions): Promise<Task> {
    return this.#ask(rpc.registerTask, request, options)
  }

  /** Registers up to 1,000 tasks: all of them, or none. */
  async batchRegisterTasks (
    request: { requests: RegisterTaskRequest[], validateOnly?: boolean, namespace?: string }, options?: CallOptions
  ): Promise<Task[]> {
    return (await this.#ask(rpc.batchRegisterTasks, request, options)).tasks
  }

  /** Changes the fields that are given, single policies too, and keeps all others. */
  updateTask (
    { namespace, ...task }: TaskChanges,
    { validateOnly = false, allowUnknownHandler = false, ...options }:
    CallOptions & { validateOnly?: boolean, allowUnknownHandler?: boolean } = {}
  ): Promise<Task> {
    const { name: _name, etag: _etag, ...changes } = task
    const request = {
      task, updateMask: { paths: maskOf(contract.TaskSchema, changes) }, validateOnly, allowUnknownHandler, namespace
    }
    return this.#ask(rpc.updateTask, request, options)
  }

  /** Deletes a task; its history stays readable. */
  async deleteTask (request: Asked<contract.DeleteTaskRequest, 'name'>, options?: CallOptions): Promise<void> {
    await this.#ask(rpc.deleteTask, request, options)
  }

  /** Reads one task. */
  getTask (request: Asked<contract.GetTaskRequest, 'name'>, options?: CallOptions): Promise<Task> {
    return this.#ask(rpc.getTask, request, options)
  }

  /** Lists tasks in the order of their names. */
  listTasks (
    request: Input<contract.ListTasksRequest> = {}, options?: CallOptions
  ): Pages<Plain<contract.ListTasksResponse>, Task> {
    return this.#pages(rpc.listTasks, request, page => page.tasks, options)
  }

  /** Lets a task fire again. */
  enableTask (request: Asked<contract.EnableTaskRequest, 'name'>, options?: CallOptions): Promise<Task> {
    return this.#ask(rpc.enableTask, request, options)
  }

  /** Stops a task from firing. */
  disableTask (request: Asked<contract.DisableTaskRequest, 'name'>, options?: CallOptions): Promise<Task> {
    return this.#ask(rpc.disableTask, request, options)
  }

  /** Runs a task now and waits for its end; with `detach`, only until the execution is recorded. */
  runTaskNow (
    request: Omit<Asked<contract.RunTaskNowRequest, 'name'>, 'payload'> & { payload?: object }, options: CallOptions = {}
  ): Promise<Plain<contract.RunTaskNowResponse> & { execution: Execution }> {
    const timeout = request.detach === true ? this.#timeout : 0
    const answer = this.#ask(rpc.runTaskNow, { requestId: randomUUID(), ...request }, { timeout, ...options })
    return answer as Promise<Plain<contract.RunTaskNowResponse> & { execution: Execution }>
  }

  /** Runs each enabled task whose schedule means the cron expression. */
  async triggerCron (request: Asked<contract.TriggerCronRequest, 'cron'>, options?: CallOptions): Promise<Execution[]> {
    return (await this.#ask(rpc.triggerCron, request, options)).executions
  }

  /** Records executions for the occurrences of a past period. */
  backfillTask (
    request: Asked<contract.BackfillTaskRequest, 'name' | 'startTime' | 'endTime'>, options?: CallOptions
  ): Promise<Plain<contract.BackfillTaskResponse>> {
    return this.#ask(rpc.backfillTask, request, options)
  }

  /** Computes when a schedule would fire. */
  previewSchedule (
    request: Asked<contract.PreviewScheduleRequest, 'schedule'>, options?: CallOptions
  ): Promise<Plain<contract.PreviewScheduleResponse>> {
    return this.#ask(rpc.previewSchedule, request, options)
  }

  /** Lists the executions of a task, newest first. */
  getTaskHistory (
    request: Asked<contract.GetTaskHistoryRequest, 'name'>, options?: CallOptions
  ): Pages<Plain<contract.GetTaskHistoryResponse>, Execution> {
    return this.#pages(rpc.getTaskHistory, request, page => page.executions, options)
  }

  /** Lists the executions of all tasks, newest first. */
  listExecutions (
    request: Input<contract.ListExecutionsRequest> = {}, options?: CallOptions
  ): Pages<Plain<contract.ListExecutionsResponse>, Execution> {
    return this.#pages(rpc.listExecutions, request, page => page.executions, options)
  }

  /** Reads one execution; with `logLines`, its newest log lines too. */
  getExecution (request: Asked<contract.GetExecutionRequest, 'id'>, options?: CallOptions): Promise<Execution> {
    return this.#ask(rpc.getExecution, request, options)
  }

  /** Cancels an execution. */
  cancelExecution (request: Asked<contract.CancelExecutionRequest, 'id'>, options?: CallOptions): Promise<Execution> {
    return this.#ask(rpc.cancelExecution, request, options)
  }

  /** Lists the handlers that tasks can name. */
  async listHandlers (
    request: Input<contract.ListHandlersRequest> = {}, options?: CallOptions
  ): Promise<Plain<contract.Handler>[]> {
    return (await this.#ask(rpc.listHandlers, request, options)).handlers
  }

  /** Watches executions from now on. The iteration throws the signal's reason if it is aborted. */
  watchExecutions (request: Input<contract.WatchExecutionsRequest> = {}, { signal }: CallOptions = {}): Watch {
    signal?.throwIfAborted()
    const call = this.#connection.stream(rpc.watchExecutions, this.#message(rpc.watchExecutions.input, request))
    const events = new PassThrough({ objectMode: true })
    const stop = (): void => { events.destroy(signal?.reason as Error) }
    signal?.addEventListener('abort', stop)
    pipeline(call, events, () => {
      signal?.removeEventListener('abort', stop)
      call.cancel()
    })
    const ready = new Promise<void>((resolve, reject) => {
      call.once('metadata', () => { resolve() })
      events.once('error', error => { reject(asError(error)) })
      events.once('close', () => { reject(new Error('the watch was closed')) })
    })
    ready.catch(() => {}) // the iteration throws it, too
    return { ready, close: () => { events.destroy() }, [Symbol.asyncIterator]: () => eventsOf(events) }
  }

  /** Ends the connection. */
  close (): void {
    this.#connection.close()
  }

  async #ask<I extends DescMessage, O extends DescMessage> (
    method: DescMethodUnary<I, O>, request: object, options: CallOptions = {}
  ): Promise<Plain<MessageShape<O>>> {
    const message = this.#message(method.input, request)
    const answer = await this.#connection.unary(method, message, { timeout: this.#timeout, ...options })
    return toPlain(method.output, answer)
  }

  #message<D extends DescMessage> (desc: D, request: object): MessageShape<D> {
    return fromPlain(desc, { ...request, namespace: (request as { namespace?: string }).namespace ?? this.#namespace })
  }

  #pages<I extends DescMessage, O extends DescMessage, Item> (
    method: DescMethodUnary<I, O>, request: object, itemsOf: (page: Plain<MessageShape<O>>) => Item[], options?: CallOptions
  ): Pages<Plain<MessageShape<O>>, Item> {
    const ask = (pageToken?: string) =>
      this.#ask(method, pageToken === undefined ? request : { ...request, pageToken }, options)
    return {
      then: (resolve, reject) => ask().then(resolve, reject),
      async * [Symbol.asyncIterator] () {
        for (let token: string | undefined; token !== '';) {
          const page = await ask(token)
          yield * itemsOf(page)
          token = (page as { nextPageToken?: string }).nextPageToken ?? ''
        }
      }
    }
  }
}

async function * eventsOf (answers: PassThrough): AsyncGenerator<WatchEvent, void> {
  try {
    for await (const { event } of answers as AsyncIterable<contract.WatchExecutionsResponse>) {
      const desc = event.case === undefined ? undefined : contract.WatchExecutionsResponseSchema.field[event.case].message
      if (desc !== undefined) yield { type: event.case, ...toPlain(desc, event.value as Message) } as WatchEvent
    } // a message without an event is a heartbeat
  } catch (error) {
    throw asError(error)
  }
}

function asError (error: unknown): unknown {
  return error instanceof Error && 'metadata' in error ? errorOf(error as ServiceError) : error
}
