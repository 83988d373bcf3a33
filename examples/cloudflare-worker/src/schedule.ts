// The schedule service as a binding of a Worker: Connect's client, made from the contract, over the Worker's fetch.
import { type Client, createClient } from '@connectrpc/connect'
import { createConnectTransport } from '@connectrpc/connect-web'
import { ScheduleService } from '../contract/schedule/v1/schedule_pb.js'

export type Schedule = Client<typeof ScheduleService>

export interface ScheduleSettings {
  /** The server's HTTP port, such as `https://schedule.example`. */
  SCHEDULE_URL: string
  /** A secret (`wrangler secret put SCHEDULE_KEY`), where the server asks for keys. */
  SCHEDULE_KEY?: string
}

export function scheduleOf({ SCHEDULE_URL, SCHEDULE_KEY }: ScheduleSettings): Schedule {
  return createClient(
    ScheduleService,
    createConnectTransport({
      baseUrl: SCHEDULE_URL,
      // Workers know no `redirect: 'error'`, which Connect asks for. A redirect then is an answer that is not 200.
      fetch: (input, init) => fetch(input, { ...init, redirect: 'manual' }),
      interceptors: [
        (next) => (request) => {
          if (SCHEDULE_KEY) request.header.set('authorization', `Bearer ${SCHEDULE_KEY}`)
          return next(request)
        }
      ]
    })
  )
}
