/** Handlers and calls of the schedule service, for Node. */
export { createClient, ScheduleClient } from './client.js'
export type {
  ClientOptions, Execution, ExecutionState, Pages, RegisterTaskRequest, Task, TaskChanges, TaskPolicy, Watch, WatchEvent
} from './client.js'
export type { CallOptions, ConnectionOptions, Tls } from './connection.js'
export { PermanentFailure, ScheduleError } from './errors.js'
export type { Code, Violation } from './errors.js'
export type { DurationText } from './plain.js'
export { runWorker } from './worker/run.js'
export type { WorkerOptions } from './worker/run.js'
export type { Handler, HandlerDefinition, HandlerFunction, Log, TaskContext } from './worker/context.js'
