"""APScheduler 3.11 is given cron jobs, one by one: `python -m benchmarks.peers.apscheduler_add FILE COUNT`."""

import json
import sys
import time
from datetime import UTC
from pathlib import Path

from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.cron import CronTrigger


def nothing(team: str, limit: int) -> None:
    """Do nothing."""


def main(path: str, count: int) -> None:
    """Add the jobs and print the figures."""
    Path(path).unlink(missing_ok=True)
    store = SQLAlchemyJobStore(url=f"sqlite:///{path}")
    scheduler = BackgroundScheduler(jobstores={"default": store}, timezone=UTC)
    scheduler.start(paused=True)
    began, used = time.perf_counter(), time.process_time()
    for number in range(count):
        trigger = CronTrigger.from_crontab(f"{number % 60} {number // 60 % 24} * * mon-fri", timezone="Europe/Berlin")
        scheduler.add_job(nothing, trigger, id=f"job-{number}", kwargs={"team": "reporting", "limit": 100})
    spent, cpu = time.perf_counter() - began, time.process_time() - used
    print(json.dumps({"tasks/s": count / spent, "CPU µs each": cpu / count * 1e6}))
    scheduler.shutdown()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
