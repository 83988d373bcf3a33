/** A server that assigns attempts as a test says, for what no healthy service does. */
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import { durationFromMs } from '@bufbuild/protobuf/wkt'
import type { DescMethod, MessageInitShape, MessageShape } from '@bufbuild/protobuf'
import { Server, ServerCredentials, status } from '@grpc/grpc-js'
import type { sendUnaryData, ServerUnaryCall } from '@grpc/grpc-js'
import * as contract from '../dist/contract/schedule/v1/worker_pb.js'

type Pulled = MessageInitShape<typeof contract.PullResponseSchema>
const PARKED = 300 // milliseconds
type Waiter = { met: () => boolean, done: () => void }

/** Thrown by a script: the call fails with this status. */
export class Refusal extends Error {
  constructor (readonly code: status) { super(status[code]) }
}

export class Scripted {
  readonly registered: contract.RegisterWorkerRequest[] = []
  readonly pulls: contract.PullRequest[] = []
  readonly updates: contract.Update[] = []
  readonly unregistered: string[] = []
  lease = 30
  /** Answers a Pull; undefined: it waits. */
  onPull: (request: contract.PullRequest) => Pulled | undefined = () => undefined
  onRegister: (request: contract.RegisterWorkerRequest) => MessageInitShape<typeof contract.RegisterWorkerResponseSchema> =
    () => ({})
  onReport: (update: contract.Update) => contract.ReportResponse_Verdict =
    () => contract.ReportResponse_Verdict.APPLIED
  address = ''
  readonly #server = new Server()
  #waiters: Waiter[] = []
  #parked = 0
  mostParked = 0

  async start (): Promise<this> {
    const { method } = contract.WorkerService
    this.#server.addService({
      ...definition(method.registerWorker), ...definition(method.pull),
      ...definition(method.report), ...definition(method.unregisterWorker)
    }, {
      RegisterWorker: this.#answering(method.registerWorker, request => {
        this.registered.push(request)
        const lease = this.#duration()
        return { sessionId: `session-${this.registered.length}`, protocol: 1, lease, ...this.onRegister(request) }
      }),
      Pull: (call: ServerUnaryCall<contract.PullRequest, unknown>, answer: sendUnaryData<unknown>) => { this.#park(call, answer) },
      Report: this.#answering(method.report, request => {
        const verdicts = request.updates.map(update => this.onReport(update))
        this.updates.push(...request.updates)
        return { verdicts, reasons: Object.fromEntries(verdicts.map((_, index) => [index, 'as scripted'])) }
      }),
      UnregisterWorker: this.#answering(method.unregisterWorker, request => {
        this.unregistered.push(request.sessionId)
        return {}
      })
    })
    const port = await new Promise<number>((resolve, reject) => {
      this.#server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) => {
        if (error === null) resolve(port)
        else reject(error)
      })
    })
    this.address = `127.0.0.1:${port}`
    return this
  }

  close (): void {
    this.#server.forceShutdown()
  }

  /** Resolves once a condition holds; it is looked at after each call. */
  until (met: () => boolean): Promise<void> {
    return new Promise(done => {
      this.#waiters.push({ met, done })
      this.#changed()
    })
  }

  /** The outcomes that were reported, by token. */
  outcomes (token: string): contract.Update_Outcome['end'][] {
    return this.updates.flatMap(({ leaseToken, news }) =>
      leaseToken === token && news.case === 'outcome' ? [news.value.end] : [])
  }

  #park (call: ServerUnaryCall<contract.PullRequest, unknown>, answer: sendUnaryData<unknown>): void {
    this.pulls.push(call.request)
    this.mostParked = Math.max(this.mostParked, ++this.#parked)
    let isOver = false
    const end = (reply?: () => void): void => {
      if (isOver) return
      isOver = true
      clearTimeout(timer)
      this.#parked--
      reply?.()
    }
    const respond = (pulled: object): void => {
      end(() => { answer(null, create(contract.PullResponseSchema, { lease: this.#duration(), ...pulled })) })
    }
    const timer = setTimeout(() => { respond({}) }, PARKED)
    call.on('cancelled', () => { end() })
    try {
      const pulled = this.onPull(call.request)
      if (pulled !== undefined) respond(pulled)
    } catch (error) {
      end(() => { answer(error as Refusal) })
    }
    this.#changed()
  }

  #duration () {
    return durationFromMs(this.lease * 1000)
  }

  #answering<M extends DescMethod> (method: M, reply: (request: MessageShape<M['input']>) => object) {
    return (call: ServerUnaryCall<MessageShape<M['input']>, unknown>, answer: sendUnaryData<unknown>): void => {
      try {
        answer(null, create(method.output, reply(call.request) as never))
      } catch (error) {
        answer(error as Refusal)
      }
      this.#changed()
    }
  }

  #changed (): void {
    this.#waiters = this.#waiters.filter(({ met, done }) => {
      const isMet = met()
      if (isMet) done()
      return !isMet
    })
  }
}

function definition (method: DescMethod) {
  return {
    [method.name]: {
      path: `/${method.parent.typeName}/${method.name}`,
      requestStream: false,
      responseStream: false,
      requestSerialize: (message: any) => Buffer.from(toBinary(method.input, message)),
      requestDeserialize: (bytes: Buffer) => fromBinary(method.input, bytes),
      responseSerialize: (message: any) => Buffer.from(toBinary(method.output, message)),
      responseDeserialize: (bytes: Buffer) => fromBinary(method.output, bytes)
    }
  }
}
