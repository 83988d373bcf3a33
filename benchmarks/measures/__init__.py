"""One file per measure, in the order in which they are taken."""

from benchmarks.measure import Measure
from benchmarks.measures.batch import BATCH
from benchmarks.measures.burst import BURST
from benchmarks.measures.calls import CALLS
from benchmarks.measures.cron_burst import CRON_BURST
from benchmarks.measures.curve import CURVE
from benchmarks.measures.far_postgres import FAR_POSTGRES
from benchmarks.measures.history import HISTORY
from benchmarks.measures.http import HTTP
from benchmarks.measures.idle import IDLE
from benchmarks.measures.keys import KEYS
from benchmarks.measures.postgres_burst import POSTGRES_BURST
from benchmarks.measures.restart import RESTART
from benchmarks.measures.steady import STEADY
from benchmarks.measures.workers import WORKERS

MEASURES: tuple[Measure, ...] = (
    BURST,
    CRON_BURST,
    STEADY,
    CALLS,
    KEYS,
    BATCH,
    RESTART,
    HISTORY,
    HTTP,
    WORKERS,
    POSTGRES_BURST,
    FAR_POSTGRES,
    IDLE,
    CURVE,
)
