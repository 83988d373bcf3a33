/**
 * Messages as plain objects, and back: a Date for a Timestamp, milliseconds for a Duration, a name for an enum's value,
 * any JSON for Struct and Value, a number for an int64.
 */
import { create, toJson } from '@bufbuild/protobuf'
import type { DescEnum, DescField, DescMessage, JsonObject, JsonValue, Message, MessageShape } from '@bufbuild/protobuf'
import { durationFromMs, timestampDate, timestampFromDate, ValueSchema } from '@bufbuild/protobuf/wkt'
import type { Duration, Timestamp, Value } from '@bufbuild/protobuf/wkt'
import type {
  Execution_FailureKind, Execution_Reason, Execution_State, Execution_Trigger, TaskPolicy_CatchUp, TaskPolicy_Overlap
} from './contract/schedule/v1/schedule_pb.js'

/** A duration as one writes it: `500ms`, `30s`, `5m`, `2h`, `7d`. */
export type DurationText = `${number}${'ms' | 's' | 'm' | 'h' | 'd'}`

type NamesOf<Enum> = keyof Enum | `UNKNOWN_${number}`

/** The names of an enum's values; `UNKNOWN_9` stands for a value of a newer contract. */
export type EnumName<T> = T extends Execution_State ? NamesOf<typeof Execution_State>
  : T extends Execution_Reason ? NamesOf<typeof Execution_Reason>
    : T extends Execution_FailureKind ? NamesOf<typeof Execution_FailureKind>
      : T extends Execution_Trigger ? NamesOf<typeof Execution_Trigger>
        : T extends TaskPolicy_Overlap ? NamesOf<typeof TaskPolicy_Overlap>
          : T extends TaskPolicy_CatchUp ? NamesOf<typeof TaskPolicy_CatchUp>
            : never

type FieldsOf<T> = Exclude<keyof T, '$typeName' | '$unknown'>

// A number that no enum has tells a number from an enum: `number` itself can be assigned to both.
/** The plain form of a message's type, as answers have it. */
export type Plain<T> = T extends Timestamp ? Date
  : T extends Duration ? number
    : T extends Value ? JsonValue
      : T extends Message ? { [K in keyof T as K extends FieldsOf<T> ? K : never]: Plain<T[K]> }
        : T extends readonly (infer Each)[] ? Plain<Each>[]
          : T extends number ? (0.5 extends T ? number : EnumName<T>)
            : T extends bigint ? number
              : T

/** The plain form of a message's type, as requests take it. */
export type Input<T> = T extends Timestamp ? Date
  : T extends Duration ? number | DurationText
    : T extends Value ? unknown
      : T extends Message ? { [K in keyof T as K extends FieldsOf<T> ? K : never]?: Input<T[K]> | undefined }
        : T extends readonly (infer Each)[] ? readonly Input<Each>[]
          : T extends number ? (0.5 extends T ? number : EnumName<T>)
            : T extends bigint ? number | bigint
              : T extends JsonObject ? object
                : T

/** Returns the milliseconds of a duration. */
export function milliseconds (duration: number | DurationText): number {
  if (typeof duration === 'number') return duration
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(duration)
  if (match === null) throw new TypeError(`${JSON.stringify(duration)} is not a duration such as 500ms, 30s, 5m, 2h or 7d`)
  const units: Record<string, number> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }
  return Number(match[1]) * (units[match[2] ?? ''] ?? 1)
}

/** Returns the Duration of milliseconds. */
export function durationOf (ms: number): Duration {
  return durationFromMs(Math.round(ms))
}

/** Returns the milliseconds of a Duration; 0 if it is unset. */
export function msOf (duration: Duration | undefined): number {
  return duration === undefined ? 0 : Number(duration.seconds) * 1000 + duration.nanos / 1e6
}

type Fields = Record<string, unknown>

/** Returns a message's plain form. An unset message field and an unset optional one are left out. */
export function toPlain<D extends DescMessage> (desc: D, message: MessageShape<D>): Plain<MessageShape<D>> {
  const fields = message as unknown as Fields
  const plain: Fields = {}
  for (const field of desc.fields) {
    const value = fields[field.localName]
    if (value !== undefined) plain[field.localName] = each(field, value, plainOf)
  }
  return plain as Plain<MessageShape<D>>
}

/** Returns the message of a plain form. A field that the message does not have is a TypeError. */
export function fromPlain<D extends DescMessage> (desc: D, plain: object): MessageShape<D> {
  const init: Fields = {}
  for (const [name, value] of Object.entries(plain)) {
    const field = desc.field[name]
    if (field === undefined) throw new TypeError(`${desc.name} has no field ${JSON.stringify(name)}`)
    if (value !== undefined && value !== null) init[name] = each(field, value, messageOf)
  }
  return create(desc, init as Parameters<typeof create<D>>[1])
}

/** Returns the paths of a FieldMask for the fields that `changes` has; parts of a message are named one by one. */
export function maskOf (desc: DescMessage, changes: object, prefix = ''): string[] {
  return Object.entries(changes).flatMap(([name, value]) => {
    const field = desc.field[name]
    if (field === undefined || value === undefined) return []
    const isPart = field.fieldKind === 'message' && !field.message.typeName.startsWith('google.') && value !== null
    return isPart ? maskOf(field.message, value as object, `${prefix}${field.name}.`) : [prefix + field.name]
  })
}

/** Returns a copy of a value that is made of JSON only: what JSON.stringify leaves out is left out. */
export function jsonOf (value: unknown): JsonValue {
  return JSON.parse(JSON.stringify(value) ?? 'null') as JsonValue
}

function each (field: DescField, value: unknown, change: (field: DescField, value: unknown) => unknown): unknown {
  if (field.fieldKind === 'list') return (value as unknown[]).map(item => change(field, item))
  if (field.fieldKind === 'map') {
    return Object.fromEntries(Object.entries(value as object).map(([key, item]) => [key, change(field, item)]))
  }
  return change(field, value)
}

function plainOf (field: DescField, value: unknown): unknown {
  if (field.enum !== undefined) return nameOf(field.enum, value as number)
  if (field.message === undefined) return typeof value === 'bigint' ? Number(value) : value
  switch (field.message.typeName) {
    case 'google.protobuf.Timestamp': return timestampDate(value as Timestamp)
    case 'google.protobuf.Duration': return msOf(value as Duration)
    case 'google.protobuf.Value': return toJson(ValueSchema, value as Value)
    case 'google.protobuf.Struct': return value // which is a JsonObject already
    default: return toPlain(field.message, value as Message)
  }
}

function messageOf (field: DescField, value: unknown): unknown {
  if (field.enum !== undefined) return numberOf(field.enum, value as string)
  if (field.message === undefined) {
    return field.scalar !== undefined && isLong(field) ? BigInt(value as number) : value
  }
  switch (field.message.typeName) {
    case 'google.protobuf.Timestamp': return timestampFromDate(value as Date)
    case 'google.protobuf.Duration': return durationOf(milliseconds(value as DurationText))
    case 'google.protobuf.Struct': return objectOf(field, value)
    default: return fromPlain(field.message, value as object)
  }
}

function isLong (field: DescField): boolean {
  return field.scalar === 3 || field.scalar === 4 // ScalarType.INT64, UINT64
}

function nameOf (desc: DescEnum, number: number): string {
  return desc.value[number]?.name ?? `UNKNOWN_${number}`
}

function numberOf (desc: DescEnum, name: string): number {
  const value = desc.values.find(each => each.name === name)
  if (value !== undefined) return value.number
  throw new TypeError(`${JSON.stringify(name)} is none of ${desc.values.map(each => each.name).join(', ')}`)
}

function objectOf (field: DescField, value: unknown): JsonObject {
  const json = jsonOf(value)
  if (json !== null && typeof json === 'object' && !Array.isArray(json)) return json
  throw new TypeError(`${field.localName} is not an object`)
}
