// node try.js http://127.0.0.1:8787: the Worker in workerd, the runtime of Cloudflare, at a server of yours.
import { Miniflare } from 'miniflare'

const worker = new Miniflare({
  modules: true,
  scriptPath: 'dist/worker.js',
  compatibilityDate: '2026-01-01',
  bindings: { SCHEDULE_URL: process.argv[2], ...(process.env.SCHEDULE_KEY && { SCHEDULE_KEY: process.env.SCHEDULE_KEY }) }
})
try {
  const answer = await worker.dispatchFetch('http://worker.example/')
  console.log(await answer.text())
  process.exitCode = answer.ok ? 0 : 1
} finally {
  await worker.dispose()
}
