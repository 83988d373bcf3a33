// node calls.js http://127.0.0.1:8787 [connect | get | grpc-web]: the tour, in Node.
import { scheduleAt } from './schedule.js'
import { tour } from './tour.js'

const [server, protocol = 'connect'] = process.argv.slice(2)
const schedule = scheduleAt(server, { key: process.env.SCHEDULE_KEY, protocol })
console.log(JSON.stringify(await tour(schedule, `fetch-${protocol}`), null, 2))
