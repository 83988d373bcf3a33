/** The errors of this package. */
import { anyUnpack } from '@bufbuild/protobuf/wkt'
import { fromBinary } from '@bufbuild/protobuf'
import { status, type ServiceError } from '@grpc/grpc-js'
import { BadRequestSchema, ErrorInfoSchema, StatusSchema } from './contract/google/rpc/status_pb.js'

/** A canonical code of gRPC, such as `NOT_FOUND`. */
export type Code = keyof typeof status

/** A refused field of a request, and why it was refused. */
export interface Violation {
  field: string
  description: string
}

/** A call that the service refused, or that did not reach it. */
export class ScheduleError extends Error {
  override readonly name = 'ScheduleError'

  constructor (
    message: string,
    /** The canonical code: `NOT_FOUND`, `INVALID_ARGUMENT`, `UNAVAILABLE`, ... */
    readonly code: Code,
    /** The service's own code, such as `TASK_NOT_FOUND`; empty where the answer has none. */
    readonly reason = '',
    /** The fields that were refused. */
    readonly violations: readonly Violation[] = [],
    options?: ErrorOptions
  ) {
    super(message, options)
  }
}

/** Thrown by a handler whose work cannot succeed however often it is tried: the attempt is not retried. */
export class PermanentFailure extends Error {
  override readonly name = 'PermanentFailure'
}

/** Returns the ScheduleError of an error of grpc-js. */
export function errorOf (error: ServiceError): ScheduleError {
  let reason = ''
  let violations: Violation[] = []
  for (const bytes of error.metadata?.get('grpc-status-details-bin') ?? []) {
    for (const detail of detailsOf(bytes)) {
      reason = anyUnpack(detail, ErrorInfoSchema)?.reason ?? reason
      violations = anyUnpack(detail, BadRequestSchema)?.fieldViolations ?? violations
    }
  }
  const plain = violations.map(({ field, description }) => ({ field, description }))
  return new ScheduleError(error.details || error.message, codeOf(error.code), reason, plain, { cause: error })
}

function detailsOf (bytes: string | Buffer) {
  try {
    return fromBinary(StatusSchema, Buffer.from(bytes as Buffer)).details
  } catch {
    return [] // of a proxy, and not of the service
  }
}

function codeOf (code: number): Code {
  return (status[code] as Code | undefined) ?? 'UNKNOWN'
}
