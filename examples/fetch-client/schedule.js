// The schedule service by fetch alone. Works where fetch does: browsers, Deno, edge functions, Node 20.
import { createClient } from '@connectrpc/connect'
import { createConnectTransport, createGrpcWebTransport } from '@connectrpc/connect-web'
import { ScheduleService } from './contract/schedule/v1/schedule_pb.js'

/**
 * Return the client of a server's HTTP port, such as `https://schedule.example`.
 *
 * `key` is needed where the server asks for keys; a key in a page is read by all who see the page. `grpcWeb` is for
 * proxies that know gRPC-Web and not Connect.
 */
export function scheduleAt(baseUrl, { key, grpcWeb = false } = {}) {
  const authorized = (next) => (request) => {
    if (key !== undefined) request.header.set('authorization', `Bearer ${key}`)
    return next(request)
  }
  const options = { baseUrl, interceptors: [authorized] }
  return createClient(ScheduleService, grpcWeb ? createGrpcWebTransport(options) : createConnectTransport(options))
}
