// What page.html runs; `npm run build` makes dist/page.js of it.
import { scheduleAt } from './schedule.js'
import { tour } from './tour.js'

const asked = new URLSearchParams(location.search)
const protocol = asked.get('protocol') ?? 'connect'
const schedule = scheduleAt(asked.get('server') ?? location.origin, { protocol })
const answers = document.getElementById('answers')
try {
  answers.textContent = JSON.stringify(await tour(schedule, asked.get('name') ?? `page-${protocol}`), null, 2)
} catch (error) {
  answers.textContent = String(error)
}
