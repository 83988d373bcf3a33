// The schedule service by fetch alone. Works where fetch does: browsers, Deno, edge functions, Node 20.
import { createClient } from '@connectrpc/connect'
import { createConnectTransport, createGrpcWebTransport } from '@connectrpc/connect-web'
import { ScheduleService } from './contract/schedule/v1/schedule_pb.js'

/**
 * Return the client of a server's HTTP port, such as `https://schedule.example`.
 *
 * `key` is needed where the server asks for keys; a key in a page is read by all who see the page. `protocol` is
 * `connect`; `get`, by which calls that only read are GETs, for which a browser needs no preflight without a key; or
 * `grpc-web`, for proxies that know gRPC-Web and not Connect.
 */
export function scheduleAt(baseUrl, { key, protocol = 'connect' } = {}) {
  const authorized = (next) => (request) => {
    if (key !== undefined) request.header.set('authorization', `Bearer ${key}`)
    return next(request)
  }
  const options = { baseUrl, interceptors: [authorized], useHttpGet: protocol === 'get' }
  const transport = protocol === 'grpc-web' ? createGrpcWebTransport(options) : createConnectTransport(options)
  return createClient(ScheduleService, transport)
}
