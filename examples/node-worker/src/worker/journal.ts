/** The lines that one attempt logs: numbered, cut to size, and limited in number. */
import { inspect } from 'node:util'
import { create } from '@bufbuild/protobuf'
import { timestampFromMs } from '@bufbuild/protobuf/wkt'
import { Update_LogLineSchema, type Update_LogLine } from '../contract/schedule/v1/worker_pb.js'
import type { Log } from './context.js'

export const LINE_BYTES = 4 * 1024
const LINES_PER_SECOND = 50
const BURST = 200

type Level = 'debug' | 'info' | 'warning' | 'error'

/** Collects lines until they are taken. A number that is left out is a line that was dropped. */
export class Journal {
  #lines: Update_LogLine[] = []
  #bytes = 0
  #sequence = 0
  #allowed = BURST
  #refilled = performance.now()
  readonly #onLine: (pendingBytes: number) => void

  constructor (onLine: (pendingBytes: number) => void) {
    this.#onLine = onLine
  }

  /** The logger of a handler's context. */
  readonly log: Log = {
    debug: (text, fields) => { this.#write('debug', text, fields) },
    info: (text, fields) => { this.#write('info', text, fields) },
    warn: (text, fields) => { this.#write('warning', text, fields) },
    error: (text, fields) => { this.#write('error', text, fields) }
  }

  /** Adds a handler's error with its stack: whole, in several lines where it is long. */
  addError (error: unknown): void {
    const bytes = Buffer.from(wellFormed(inspect(error)))
    for (let start = 0; start < bytes.length;) {
      const text = cut(bytes.subarray(start), LINE_BYTES)
      start += Math.max(Buffer.byteLength(text), 1)
      this.#append('error', text)
    }
  }

  /** Takes the oldest lines, together at most about so many bytes. */
  take (mostBytes: number): Update_LogLine[] {
    let count = 0
    for (let room = mostBytes; count < this.#lines.length; count++) {
      room -= sizeOf(this.#lines[count]!)
      if (count > 0 && room < 0) break
    }
    const taken = this.#lines.splice(0, count)
    for (const line of taken) this.#bytes -= sizeOf(line)
    return taken
  }

  #write (level: Level, text: string, fields?: object): void {
    this.#refill()
    if (this.#allowed < 1) {
      this.#sequence++
      return
    }
    this.#allowed--
    this.#append(level, cut(Buffer.from(wellFormed(String(text) + shown(fields))), LINE_BYTES))
  }

  #append (level: Level, text: string): void {
    const line = create(Update_LogLineSchema, {
      sequence: BigInt(++this.#sequence), time: timestampFromMs(Date.now()), level, text
    })
    this.#lines.push(line)
    this.#bytes += sizeOf(line)
    this.#onLine(this.#bytes)
  }

  #refill (): void {
    const now = performance.now()
    this.#allowed = Math.min(BURST, this.#allowed + (now - this.#refilled) / 1000 * LINES_PER_SECOND)
    this.#refilled = now
  }
}

/** Returns the beginning of a text that has at most so many bytes of UTF-8. */
export function cut (bytes: Buffer, most: number): string {
  if (bytes.length <= most) return bytes.toString()
  let end = most
  while (end > 0 && (bytes[end]! & 0xc0) === 0x80) end-- // within a character
  return bytes.toString('utf8', 0, end)
}

/** Returns a text without lone surrogates, which no message can hold. */
export function wellFormed (text: string): string {
  return text.replace(/\p{Surrogate}/gu, '\ufffd')
}

function sizeOf (line: Update_LogLine): number {
  return Buffer.byteLength(line.text) + 48
}

function shown (fields: object = {}): string {
  return Object.entries(fields).map(([name, value]) => ` ${name}=${typeof value === 'string' ? valueOf(value) : inspect(value)}`).join('')
}

function valueOf (text: string): string {
  return /^[\w.:/@+-]+$/.test(text) ? text : JSON.stringify(text)
}
