"""Gives attempts to workers, and takes what became of them: sessions, leases, Pulls that wait, reports.

::

    RegisterWorker ─► Session ◄── Pull (held, capacity) ──► waits ──► assignments, stops, lost tokens
                        ▲                                     ▲
                        └── Report (outcomes) ─► Recorder     └── Giving: one claim for all Pulls that wait

`workers` answers the calls, `session` is what this server knows of a worker, `giving` claims, `reports` records,
`renewals` renews leases, and `upkeep` ends the sessions of workers that are gone. All of it can be read from the
database again: a worker may call any server, and a server may die at any time.
"""

from schedule_grpc.dispatch.workers import Workers

__all__ = ["Workers"]
