#!/usr/bin/env bash
# A worker in Python is killed in the middle of an attempt, and a worker in JavaScript takes the execution over, once the
# lease of the first one is over: half a minute. Needs `schedule-grpc` on the PATH, and `npm ci && npm run build` here.
set -euo pipefail

package=$(cd "$(dirname "$0")" && pwd)
folder=$(mktemp -d)
cd "$folder"
mkdir node_modules
ln -s "$package" node_modules/schedule-grpc
trap 'kill $(jobs -p) 2> /dev/null || true; wait; rm -rf "$folder"' EXIT

show() { printf '\n$ %s\n' "$*"; "$@"; }
until_it_says() { until grep -qs "$2" "$1"; do sleep 0.1; done; }

cat > reports.py << 'PYTHON'
import asyncio

from schedule_grpc import TaskContext, handler


@handler("send-report", description="Sends the report, slowly")
async def send_report(ctx: TaskContext) -> dict:
    ctx.log.info("sending", language="Python", attempt=ctx.attempt)
    await asyncio.sleep(600)
    return {"sent_by": "Python"}
PYTHON

cat > worker.mjs << 'JAVASCRIPT'
import { runWorker } from 'schedule-grpc'

await runWorker({
  server: process.env.SCHEDULE_SERVER,
  name: 'in-javascript',
  handlers: {
    'send-report': async (payload, { log, attempt }) => {
      log.info('sending', { language: 'JavaScript', attempt })
      return { sent_by: 'JavaScript' }
    }
  }
})
JAVASCRIPT

schedule-grpc serve --grpc "unix:$folder/schedule.sock" --http off > server.txt 2> server.log &
until_it_says server.txt 'gRPC on'
export SCHEDULE_SERVER="unix:$folder/schedule.sock"
schedule-grpc worker reports --name in-python --version 2026.1 --lease 10s > python.txt 2> python.log &
python=$!
until_it_says python.txt 'send-report'

show schedule-grpc tasks register report --schedule @manual --handler send-report
id=$(schedule-grpc tasks run report --detach --json | grep -oE '"id": ?"[^"]+"' | head -n 1 | cut -d '"' -f 4)
until schedule-grpc executions get "$id" | grep -q RUNNING; do sleep 0.1; done
node worker.mjs > node.txt 2> node.log &
until schedule-grpc workers list | grep -q in-javascript; do sleep 0.1; done
show schedule-grpc workers list
show schedule-grpc executions get "$id"

printf '\n$ kill -9 %s  # the worker in Python\n' "$python"
{ kill -9 "$python" && wait "$python" || true; } 2> /dev/null
until schedule-grpc executions get "$id" | grep -q SUCCEEDED; do sleep 0.5; done
show schedule-grpc executions get "$id"
show schedule-grpc executions logs "$id"
show schedule-grpc workers list
