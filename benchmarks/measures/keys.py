"""What it costs to know who calls: GetTask with a key, over TLS, and with a certificate, beside neither."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import count

from benchmarks.certificates import make_certificates
from benchmarks.database import Database
from benchmarks.load import task_name
from benchmarks.measure import Bench, Figures, Headline, Measure, Sides
from benchmarks.processes import Process, result_of, server
from schedule_grpc.domain.task import define

TASKS = 64
CLIENT = "spiffe://benchmark.example/client"
CALL = "GetTask"


@contextmanager
def keys(bench: Bench) -> Iterator[Sides]:
    """GetTask, 64 in flight, of a server that asks nobody who they are, beside one that requires proof.

    Both have the same three listeners. The keyless server is asked in the clear and over TLS; the other one by key in
    the clear, by key over TLS, and by client certificate. All five are called in turn by one driver, a process of its
    own, with a channel of its own each time. "CPU µs each" is what the server's process uses: the share of the key is
    the difference to the clear.
    """
    seconds = bench.sized("seconds a call", full=5.0, quick=0.5, tiny=0.1)
    runs = count()
    made = make_certificates(bench.folder, client_id=CLIENT)
    tls = {"address": "localhost:0", "tls_cert": str(made.server), "tls_key": str(made.server_key)}
    first_key = bench.folder / "first.key"
    auth = {
        "bootstrap_key_file": str(first_key),
        "certificates": [{"spiffe": CLIENT, "grants": ["observe@default"]}],
    }
    plain, closed = bench.folder / "plain", bench.folder / "closed"
    for folder in (plain, closed):
        folder.mkdir()
        Database.file(folder).register(
            [define(name=task_name(number), schedule="30 4 * * 1-5", handler="nothing") for number in range(TASKS)]
        )
    listeners = ["127.0.0.1:0", tls, tls | {"client_ca": str(made.ca)}]
    told = {"grpc": json.dumps(listeners), "auth": json.dumps(auth)}
    with server(plain, grpc=told["grpc"]) as open_one, server(closed, **told) as keyed:
        token = {"token": first_key.read_text().strip()}
        trust = {"ca": str(made.ca)}
        own = {"certificate": str(made.client), "key": str(made.client_key)}

        def driven(process: Process, place: int, proof: dict[str, str]) -> Figures:
            file = bench.folder / "proof.json"
            file.write_text(json.dumps(proof))
            used = process.cpu()
            arguments = (process.addresses[place], CALL, str(seconds), str(next(runs)), str(file))
            figures = result_of("load", *arguments, folder=bench.folder)
            return figures | {"CPU µs each": (process.cpu() - used) / figures.pop("calls") * 1e6}

        yield {
            "clear": partial(driven, open_one, 0, {}),
            "key": partial(driven, keyed, 0, token),
            "TLS": partial(driven, open_one, 1, trust),
            "TLS, key": partial(driven, keyed, 1, trust | token),
            "TLS, certificate": partial(driven, keyed, 2, trust | own),
        }


def _beside_the_clear(side: str, goal: str = "") -> tuple[Headline, Headline]:
    return (
        Headline(
            says=f"{side}, times the clear's CPU", figure=f"{side}: CPU µs each", over="clear: CPU µs each", goal=goal
        ),
        Headline(says=f"{side}, of the clear's rate", figure=f"{side}: calls/s", over="clear: calls/s"),
    )


KEYS = Measure(
    name="keys",
    sides=keys,
    headlines=(
        *_beside_the_clear("key", "<= 1.05"),
        *(line for side in ("TLS", "TLS, key", "TLS, certificate") for line in _beside_the_clear(side)),
    ),
)
