"""APScheduler 3.11 with as many jobs due at one instant: `python -m benchmarks.peers.apscheduler_burst FILE COUNT`."""

import json
import pickle
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from apscheduler.events import EVENT_JOB_REMOVED
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.util import datetime_to_utc_timestamp

ran, removed = threading.Semaphore(0), threading.Semaphore(0)


def nothing() -> None:
    """Do nothing, and say so."""
    ran.release()


def fill(store: SQLAlchemyJobStore, scheduler: BackgroundScheduler, due: datetime, count: int) -> None:
    """Add the jobs in one transaction: `add_job` for each would take longer than the burst."""
    job = scheduler.add_job(nothing, "date", run_date=due, id="first", misfire_grace_time=None)
    state = job.__getstate__()
    rows = [
        {
            "id": f"job-{number}",
            "next_run_time": datetime_to_utc_timestamp(due),
            "job_state": pickle.dumps({**state, "id": f"job-{number}"}, store.pickle_protocol),
        }
        for number in range(1, count)
    ]
    with store.engine.begin() as connection:
        connection.execute(store.jobs_t.insert(), rows)


def main(path: str, count: int) -> None:
    """Run the jobs and print the figures."""
    Path(path).unlink(missing_ok=True)
    store = SQLAlchemyJobStore(url=f"sqlite:///{path}")
    # Its pool takes what is submitted as it comes; ten threads are its default.
    scheduler = BackgroundScheduler(
        jobstores={"default": store}, executors={"default": ThreadPoolExecutor(10)}, timezone=UTC
    )
    scheduler.add_listener(lambda _: removed.release(), EVENT_JOB_REMOVED)
    scheduler.start(paused=True)
    due = datetime.now(UTC) + timedelta(seconds=1 + count / 5000)
    fill(store, scheduler, due, count)
    time.sleep(max((due - datetime.now(UTC)).total_seconds(), 0))
    began, used = time.perf_counter(), time.process_time()
    scheduler.resume()
    for _ in range(count):
        assert ran.acquire(timeout=600)
        assert removed.acquire(timeout=600)
    figures = {"wall s": time.perf_counter() - began, "CPU µs each": (time.process_time() - used) / count * 1e6}
    print(json.dumps(figures))
    scheduler.shutdown()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
