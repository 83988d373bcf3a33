/** A connection to the service: address, TLS and key, and calls by the contract's descriptions of methods. */
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import type { DescMethod, DescMethodServerStreaming, DescMethodUnary, DescMessage, MessageShape } from '@bufbuild/protobuf'
import { Client, credentials, Metadata, status } from '@grpc/grpc-js'
import type { ChannelCredentials, ClientReadableStream, ServiceError } from '@grpc/grpc-js'
import { errorOf, ScheduleError } from './errors.js'

/** Certificates and keys, as PEM. */
export interface Tls {
  /** The certificates to trust; unset: those that Node trusts. */
  ca?: string | Buffer
  /** The client's own certificate, for servers that ask for it, */
  certificate?: string | Buffer
  /** and its private key. */
  key?: string | Buffer
  /** The name in the server's certificate, if it differs from the one in the address. */
  serverName?: string
}

/** How the service is reached. */
export interface ConnectionOptions {
  /** `host:port`, `[::1]:port`, `http://host:port` or `unix:/path`; without a port, 50051. */
  server: string
  /** An API key (`sgk_...`), or a function that returns it: it is asked at each call, so a key can change. */
  key?: string | (() => string)
  /** TLS; `true` trusts what Node trusts. */
  tls?: boolean | Tls
}

/** How one call is made. */
export interface CallOptions {
  /** Ends the call when aborted. */
  signal?: AbortSignal | undefined
  /** The milliseconds after which the call fails with DEADLINE_EXCEEDED; 0: never. */
  timeout?: number | undefined
}

const LOOPBACK = /^(unix(-abstract)?:|localhost(:\d+)?$|127\.\d+\.\d+\.\d+(:\d+)?$|\[::1\](:\d+)?$)/
const LIMIT = 64 * 1024 * 1024 // bytes of an answer; a page of tasks may have more than the 4 MiB of grpc-js

/** Makes calls; opened at the first one. */
export class Connection {
  readonly #target: string
  readonly #credentials: ChannelCredentials
  readonly #key: () => string | undefined
  readonly #settings: Record<string, string | number>
  #client: Client | undefined

  /** Throws a TypeError for an address that cannot be read, and for a key that would leave this machine without TLS. */
  constructor (options: ConnectionOptions, serviceConfig: object) {
    const { place, isEncrypted } = placeOf(options.server)
    const tls = options.tls ?? isEncrypted
    const { key } = options
    if (key !== undefined && tls === false && !LOOPBACK.test(place)) {
      throw new TypeError(`a key is not sent to ${place} without TLS: give tls, or use a loopback address`)
    }
    const parts = typeof tls === 'object' ? tls : {}
    this.#target = place
    this.#key = typeof key === 'function' ? key : () => key
    this.#credentials = tls === false
      ? credentials.createInsecure()
      : credentials.createSsl(bufferOf(parts.ca), bufferOf(parts.key), bufferOf(parts.certificate))
    this.#settings = {
      'grpc.service_config': JSON.stringify(serviceConfig),
      'grpc.max_receive_message_length': LIMIT,
      'grpc.initial_reconnect_backoff_ms': 100,
      'grpc.max_reconnect_backoff_ms': 5_000,
      'grpc.keepalive_time_ms': 30_000, // a call without a deadline notices a server that is gone
      'grpc.keepalive_timeout_ms': 10_000,
      ...(LOOPBACK.test(place) ? { 'grpc.enable_http_proxy': 0 } : {}),
      ...(parts.serverName === undefined ? {} : { 'grpc.ssl_target_name_override': parts.serverName })
    }
  }

  /** Makes a unary call. Rejects with a ScheduleError, or with the reason of a signal that was aborted. */
  async unary<I extends DescMessage, O extends DescMessage> (
    method: DescMethodUnary<I, O>, request: MessageShape<I>, options: CallOptions = {}
  ): Promise<MessageShape<O>> {
    const { signal } = options
    signal?.throwIfAborted()
    let cancel = (): void => {}
    try {
      return await new Promise((resolve, reject) => {
        const call = this.#opened().makeUnaryRequest(
          pathOf(method), bytesBy(method.input), messageBy(method.output), request, this.#metadata(), deadlineOf(options),
          (error: ServiceError | null, answer?: MessageShape<O>) => {
            if (error === null) resolve(answer ?? create(method.output))
            else reject(signal?.aborted === true && error.code === status.CANCELLED ? signal.reason : errorOf(error))
          })
        cancel = () => { call.cancel() }
        signal?.addEventListener('abort', cancel)
      })
    } finally {
      signal?.removeEventListener('abort', cancel)
    }
  }

  /** Begins a call whose answer is a stream; the caller handles its errors and cancels it. */
  stream<I extends DescMessage, O extends DescMessage> (
    method: DescMethodServerStreaming<I, O>, request: MessageShape<I>
  ): ClientReadableStream<MessageShape<O>> {
    return this.#opened().makeServerStreamRequest(
      pathOf(method), bytesBy(method.input), messageBy(method.output), request, this.#metadata())
  }

  /** Ends the connection; calls in progress fail with CANCELLED. A later call opens it again. */
  close (): void {
    this.#client?.close()
    this.#client = undefined
  }

  #opened (): Client {
    this.#client ??= new Client(this.#target, this.#credentials, this.#settings)
    return this.#client
  }

  #metadata (): Metadata {
    const metadata = new Metadata()
    try {
      const key = this.#key()
      if (key !== undefined) metadata.set('authorization', `Bearer ${key.trim()}`)
    } catch (cause) {
      throw new ScheduleError('the key cannot be read', 'UNAVAILABLE', '', [], { cause }) // it may be, later
    }
    return metadata
  }
}

function placeOf (server: string): { place: string, isEncrypted: boolean } {
  const url = /^(http|https|grpc|grpcs):\/\/([^/?#@]+)\/?$/i.exec(server.trim())
  const scheme = url?.[1]?.toLowerCase() ?? ''
  const place = url?.[2] ?? server.trim()
  if (place === '' || place.includes('://')) throw new TypeError(`${JSON.stringify(server)} is not an address: write host:port`)
  const isComplete = /^(unix|unix-abstract|dns|ipv4|ipv6):/.test(place) || /:\d+$/.test(place)
  const port = scheme === 'https' ? 443 : 50051
  return { place: isComplete ? place : `${place}:${port}`, isEncrypted: scheme === 'https' || scheme === 'grpcs' }
}

function pathOf (method: DescMethod): string {
  return `/${method.parent.typeName}/${method.name}`
}

function bytesBy<D extends DescMessage> (desc: D) {
  return (message: MessageShape<D>) => Buffer.from(toBinary(desc, message))
}

function messageBy<D extends DescMessage> (desc: D) {
  return (bytes: Buffer) => fromBinary(desc, bytes)
}

function deadlineOf ({ timeout = 0 }: CallOptions) {
  return timeout > 0 ? { deadline: Date.now() + timeout } : {}
}

function bufferOf (pem: string | Buffer | undefined): Buffer | null {
  return pem === undefined ? null : Buffer.from(pem)
}
