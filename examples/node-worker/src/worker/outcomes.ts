/** The outcomes that a worker reports. */
import { create } from '@bufbuild/protobuf'
import { Execution_FailureKind } from '../contract/schedule/v1/schedule_pb.js'
import {
  Update_OutcomeSchema, type Update_Condition, type Update_Outcome
} from '../contract/schedule/v1/worker_pb.js'
import { durationOf } from '../plain.js'
import { cut, wellFormed } from './journal.js'

const KEPT_BYTES = 64 * 1024 // what the service keeps of an error
const RESULT_BYTES = 512 * 1024 // what a Report has room for

/** How a handler ended, and what it reported meanwhile. */
export interface Ended {
  took: number
  conditions: Update_Condition[]
}

/** Returns the outcome of what a handler returned. */
export function outcomeOfResult (result: unknown, ended: Ended): Update_Outcome {
  let resultJson: string
  try {
    resultJson = fitting(JSON.stringify(result ?? null) ?? 'null')
  } catch (error) {
    return failed(`The result is not JSON: ${textOf(error)}`, ended)
  }
  if (result === null || typeof result !== 'object' || (result as { success?: unknown }).success !== false) {
    return outcome({ case: 'succeeded', value: { resultJson } }, ended)
  }
  const { error, message } = result as { error?: unknown, message?: unknown }
  const reason = error || message || 'The handler returned success: false'
  return failed(typeof reason === 'string' ? reason : JSON.stringify(reason), ended, { resultJson })
}

/** Returns the outcome of what a handler threw. */
export function outcomeOfError (error: unknown, ended: Ended): Update_Outcome {
  const failureKind = isPermanent(error) ? Execution_FailureKind.REJECTED : Execution_FailureKind.ERROR
  return failed(textOf(error), ended, { failureKind })
}

/** Returns the outcome of an attempt that took longer than its timeout, or that did not stop. */
export function timedOut (ended: Ended, abandoned = false): Update_Outcome {
  return failed('Task execution timeout', ended, { failureKind: Execution_FailureKind.TIMEOUT, abandoned })
}

/** Returns the outcome of an attempt that another worker shall run. */
export function released (began: boolean, took = 0): Update_Outcome {
  return outcome({ case: 'released', value: { began } }, { took, conditions: [] })
}

/** Returns the outcome of an attempt that failed. */
export function failed (
  error: string, ended: Ended,
  more: { failureKind?: Execution_FailureKind, resultJson?: string, abandoned?: boolean } = {}
): Update_Outcome {
  const text = cut(Buffer.from(wellFormed(error)), KEPT_BYTES)
  return outcome({ case: 'failed', value: { failureKind: Execution_FailureKind.ERROR, ...more, error: text } }, ended)
}

/** Whether no retry can help. By the name, because a program may have two copies of this package. */
export function isPermanent (error: unknown): boolean {
  return error instanceof Error && error.name === 'PermanentFailure'
}

type End = NonNullable<Parameters<typeof create<typeof Update_OutcomeSchema>>[1]>['end']

function outcome (end: End, { took, conditions }: Ended): Update_Outcome {
  return create(Update_OutcomeSchema, { end, duration: durationOf(took), conditions } as object)
}

function textOf (error: unknown): string {
  if (!(error instanceof Error)) return typeof error === 'string' ? error : `thrown: ${JSON.stringify(error) ?? typeof error}`
  const hasPlainName = error.name === 'Error' || isPermanent(error)
  return hasPlainName ? error.message || error.name : `${error.name}: ${error.message}`
}

/** Returns a result's JSON, or what the service itself keeps of one that is too large. */
function fitting (json: string): string {
  const bytes = Buffer.from(json)
  if (bytes.length <= RESULT_BYTES) return json
  return JSON.stringify({ truncated: true, size_bytes: bytes.length, head: cut(bytes, KEPT_BYTES / 2 - 100) })
}
