"""The DB binding on a real PostgreSQL server."""

import asyncio
import gc
import itertools
import traceback
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from schedule_grpc.bindings import Environment
from schedule_grpc.errors import BindingError
from schedule_grpc.testing import FakeClock

NOW = datetime(2026, 1, 31, 10, tzinfo=UTC)
SECRET = "s3cr3t-w0rd"


@pytest.fixture
async def env(postgres, postgres_database):
    """An environment whose DB has one table."""
    made = Environment({"DB": postgres.url(postgres_database)})
    await made.DB.execute("CREATE TABLE sessions (id text PRIMARY KEY, user_id text, expires_at timestamptz)")
    yield made
    await made.aclose()


async def test_rows_are_dicts_and_writes_tell_how_many_rows_they_changed(env: Environment):
    """As on SQLite: by the names of the columns, parameters by name, one of them in several places."""
    assert (
        await env.DB.execute("INSERT INTO sessions VALUES (:id, :id, NULL), ('b', :user, NULL)", id="a", user="u") == 2
    )
    assert await env.DB.fetch("SELECT * FROM sessions WHERE id = :id", id="a", unused=1) == [
        {"id": "a", "user_id": "a", "expires_at": None}
    ]
    assert await env.DB.execute("UPDATE sessions SET user_id = 'v'") == 2
    assert await env.DB.execute("DELETE FROM sessions WHERE id = 'nobody'") == 0
    assert await env.DB.execute("CREATE TABLE other (id text)") == 0
    assert await env.DB.dialect() == "postgresql"
    await env.ping("DB")


async def test_values_of_many_types_come_back_as_they_went(env: Environment):
    """Numbers, truth, bytes, JSON as text, arrays."""
    [row] = await env.DB.fetch(
        "SELECT :whole::bigint AS whole, :exact::numeric AS exact, :yes::boolean AS yes, :raw::bytea AS raw,"
        " :json::jsonb AS json, :many::text[] AS many",
        whole=2**60, exact=Decimal("0.10"), yes=True, raw=b"\x00", json='{"a": 1}', many=["x", None],
    )  # fmt: skip
    assert row == {
        "whole": 2**60, "exact": Decimal("0.10"), "yes": True, "raw": b"\x00", "json": '{"a": 1}', "many": ["x", None],
    }  # fmt: skip


@pytest.mark.parametrize("kind", ["timestamptz", "timestamp"])
@pytest.mark.parametrize(
    "given",
    [
        "2026-01-31 10:00:00",
        "2026-01-31T10:00:00.000Z",
        "2026-01-31T12:00:00+02:00",
        NOW,
        NOW.replace(tzinfo=None),
    ],
    ids=str,
)
async def test_times_may_be_given_as_texts_and_as_instants(env: Environment, kind: str, given: Any):
    """As for a column of text; without an offset they are UTC."""
    [row] = await env.DB.fetch(f"SELECT CAST(:given AS {kind}) AS moment", given=given)
    assert row["moment"] == (NOW if kind == "timestamptz" else NOW.replace(tzinfo=None))


async def test_times_without_end_stay_so(env: Environment):
    """What PostgreSQL calls infinity is Python's largest time, and goes back as infinity; a day is its midnight."""
    [row] = await env.DB.fetch("SELECT timestamptz 'infinity' AS a, timestamp '-infinity' AS b")
    assert row == {"a": datetime.max.replace(tzinfo=UTC), "b": datetime.min}  # noqa: DTZ901
    [row] = await env.DB.fetch(
        "SELECT CAST(:a AS timestamptz)::text AS a, CAST(:b AS timestamp)::text AS b, CAST(:day AS timestamptz) AS day",
        **row, day=date(2026, 1, 31),
    )  # fmt: skip
    assert row == {"a": "infinity", "b": "-infinity", "day": datetime(2026, 1, 31, tzinfo=UTC)}


@pytest.mark.parametrize("value", ["private words", 7])
async def test_a_value_that_is_refused_is_named_not_quoted(env: Environment, value: Any):
    """The parameter is told, and why; what it was may be nobody's business."""
    with pytest.raises(BindingError, match=r"^DB: the value of :moment is refused: .* is no time$") as caught:
        await env.DB.execute("UPDATE sessions SET expires_at = :moment WHERE id = :id", id="a", moment=value)
    assert str(value) not in str(caught.value)


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("SELECT * FROM nowhere", "no such table: nowhere"),
        ("DELETE FROM public.nowhere", "no such table: public.nowhere"),
        ("SELEKT 1", 'syntax error at or near "SELEKT"'),
        ("SELECT :missing", "no value was given for :missing"),
        ("SELECT $1", r"parameters are written :name, not \$1"),
        ("INSERT INTO sessions VALUES ('a'), ('a')", 'duplicate key value violates unique constraint "sessions_pkey"'),
    ],
)
async def test_what_the_database_refuses_is_told_with_the_bindings_name(env: Environment, sql: str, reason: str):
    """A missing table by its name; no row is quoted."""
    for ask in (env.DB.fetch, env.DB.execute):
        with pytest.raises(BindingError, match=f"^DB: {reason}$") as caught:
            await ask(sql)
        assert caught.value.details == {"binding": "DB"}


async def test_a_transaction_is_all_or_nothing(env: Environment):
    """Committed at its end; left by an exception or cancelled in its middle it leaves nothing, and nothing open."""
    async with env.DB.transaction() as transaction:
        await transaction.execute("INSERT INTO sessions VALUES ('a')")
    with pytest.raises(LookupError):
        async with env.DB.transaction() as transaction:
            await transaction.execute("INSERT INTO sessions VALUES ('b')")
            assert len(await transaction.fetch("SELECT id FROM sessions")) == 2
            raise LookupError
    inside = asyncio.Event()

    async def hold() -> None:
        async with env.DB.transaction() as transaction:
            await transaction.execute("INSERT INTO sessions VALUES ('c')")
            inside.set()
            await asyncio.Event().wait()

    holding = asyncio.create_task(hold())
    await inside.wait()
    holding.cancel()
    await asyncio.wait([holding])
    assert await env.DB.fetch("SELECT id FROM sessions") == [{"id": "a"}]
    assert await env.DB.execute("INSERT INTO sessions VALUES ('b'), ('c')") == 2


async def test_a_statement_after_a_failed_one_does_not_slip_out_of_its_transaction(env: Environment):
    """The error is caught within the transaction, the handler goes on: nothing of it is kept."""
    with pytest.raises(BindingError, match="current transaction is aborted"):
        async with env.DB.transaction() as transaction:
            with pytest.raises(BindingError, match="duplicate key"):
                await transaction.execute("INSERT INTO sessions VALUES ('a'), ('a')")
            await transaction.execute("INSERT INTO sessions VALUES ('b')")
    assert await env.DB.fetch("SELECT id FROM sessions") == []


async def test_a_server_that_is_down_at_first_use_and_back_later(postgres, postgres_database, relay):
    """The error names the binding; the next call connects."""
    way = await relay(postgres.socket)
    await way.close()
    env = Environment({"DB": f"postgresql://postgres@127.0.0.1:{way.port}/{postgres_database}"})
    with pytest.raises(BindingError, match=r"^DB: cannot connect: .*refused"):
        await env.ping("DB")
    with pytest.raises(BindingError, match=r"^DB: cannot connect: .*refused"):
        async with env.DB.transaction():
            pass
    await way.open()
    await env.ping("DB")
    await env.aclose()


async def test_a_connection_that_is_lost_in_the_middle_heals(postgres, postgres_database, relay):
    """Lost while idle, nobody notices; lost under a statement, that one fails and the next one connects anew."""
    way = await relay(postgres.socket)
    env = Environment({"DB": f"postgresql://postgres@127.0.0.1:{way.port}/{postgres_database}"})
    await env.ping("DB")
    await way.cut()
    await env.ping("DB")
    way.hold()
    asking = asyncio.create_task(env.DB.fetch("SELECT 1 AS one"))
    await way.held.wait()
    await way.cut()
    with pytest.raises(BindingError, match=r"^DB: .*connection"):
        await asking
    way.go_on()
    assert await env.DB.fetch("SELECT 1 AS one") == [{"one": 1}]
    await env.aclose()


async def test_a_server_that_does_not_answer_is_given_up_in_time(postgres, postgres_database, relay):
    """After the binding's timeout, whether it is silent from the start or in the middle; it heals when it is back."""
    way = await relay(postgres.socket)
    clock = FakeClock(NOW)
    url = f"postgresql://postgres@127.0.0.1:{way.port}/{postgres_database}"
    env = Environment({"DB": {"url": url, "timeout": "3s"}}, clock=clock)
    for _ in range(2):
        way.hold()
        asking = asyncio.create_task(env.ping("DB"))
        await way.held.wait()
        await clock.advance(2.9)
        assert not asking.done()
        await clock.advance(0.2)
        with pytest.raises(BindingError, match=r"^DB: no answer within 3s$"):
            await asking
        way.go_on()
        await env.ping("DB")
    await env.aclose()


async def test_a_table_that_another_writer_has_locked_is_waited_for_in_time_only(
    env, postgres, postgres_database, other
):
    """The server is told to stop waiting too: nothing is left that could still happen."""
    clock = FakeClock(NOW)
    impatient = Environment({"DB": {"url": postgres.url(postgres_database), "timeout": "2s"}}, clock=clock)
    await impatient.ping("DB")
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'sessions'::regclass"
    async with other.transaction():
        await other.execute("LOCK TABLE sessions IN ACCESS EXCLUSIVE MODE")
        asking = asyncio.create_task(impatient.DB.execute("DELETE FROM sessions"))
        while not await other.fetchval(waiting):
            pass
        await clock.advance(2)
        with pytest.raises(BindingError, match=r"^DB: no answer within 2s$"):
            await asking
        while await other.fetchval(waiting):
            pass
    assert await impatient.DB.execute("INSERT INTO sessions VALUES ('a')") == 1
    await impatient.aclose()


async def test_a_caller_who_gives_up_stops_his_statement(env: Environment, other):
    """A cancelled handler's query does not go on in the server."""
    asking = asyncio.create_task(env.DB.execute("SELECT pg_sleep(60)"))
    running = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query = 'SELECT pg_sleep(60)'"
    while not await other.fetchval(running):
        pass
    asking.cancel()
    await asyncio.wait([asking])
    while await other.fetchval(running):
        pass
    await env.ping("DB")


async def test_closing_ends_what_is_in_use(env: Environment, other):
    """Its caller gets an error that says so; what it did is undone; afterwards the binding stays closed."""
    inside = asyncio.Event()

    async def work() -> None:
        async with env.DB.transaction() as transaction:
            await transaction.execute("INSERT INTO sessions VALUES ('a')")
            inside.set()
            await transaction.execute("SELECT pg_sleep(60)")

    working = asyncio.create_task(work())
    await inside.wait()
    while not await other.fetchval("SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(60)'"):
        pass
    await env.aclose()
    with pytest.raises(BindingError, match=r"^DB: is closed$"):
        await working
    assert await other.fetchval("SELECT count(*) FROM sessions") == 0
    with pytest.raises(BindingError, match=r"^DB: is closed$"):
        await env.DB.ping()


@pytest.mark.parametrize("password", ["wrong-w0rd", "wr%2Fng%40w0rd"])
async def test_a_wrong_password_is_told_without_it(postgres, postgres_database, relay, password: str):
    """Neither in the error nor in its traceback; user and reason are told."""
    way = await relay(postgres.socket)
    env = Environment({"DB": f"postgresql://locked:{password}@127.0.0.1:{way.port}/{postgres_database}"})
    with pytest.raises(BindingError, match=r'^DB: password authentication failed for user "locked"$') as caught:
        await env.ping("DB")
    told = "".join(traceback.format_exception(caught.value)) + repr(env.DB)
    assert "w0rd" not in told
    await env.aclose()
    right = Environment({"DB": f"postgresql://locked:{SECRET}@127.0.0.1:{way.port}/{postgres_database}"})
    await right.ping("DB")
    await right.aclose()


async def test_a_database_that_is_not_there_is_told(postgres):
    """In the server's words."""
    env = Environment({"DB": postgres.url("nowhere")})
    with pytest.raises(BindingError, match=r'^DB: database "nowhere" does not exist$'):
        await env.ping("DB")
    await env.aclose()


async def test_callers_share_a_bounded_number_of_connections(postgres, postgres_database, other):
    """As many as the option says, however many ask at once."""
    env = Environment({"DB": {"url": postgres.url(postgres_database), "connections": 2}})
    numbers = [
        row["n"] for [row] in await asyncio.gather(*(env.DB.fetch("SELECT :n::int AS n", n=n) for n in range(20)))
    ]
    assert numbers == list(range(20))
    named = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'schedule-grpc' AND datname = $1"
    assert await other.fetchval(named, postgres_database) == 2
    await env.aclose()


async def test_a_table_that_is_changed_meanwhile_does_not_break_the_statements_that_were_used_before(env, other):
    """Plans are not kept, within a transaction neither."""
    async with env.DB.transaction() as transaction:
        assert await transaction.fetch("SELECT * FROM sessions") == []
    await other.execute("ALTER TABLE sessions ADD COLUMN more text")
    async with env.DB.transaction() as transaction:
        await transaction.execute("INSERT INTO sessions (id) VALUES ('a')")
        assert list((await transaction.fetch("SELECT * FROM sessions"))[0]) == ["id", "user_id", "expires_at", "more"]


@pytest.mark.parametrize("options", ["port=99999", "port=hunter22", "sslmode=hunter22"])
async def test_options_that_are_none_are_told_without_quoting_them(options: str):
    """The driver reads them when it connects, and its own words quote them."""
    env = Environment({"DB": f"postgresql:///d?host=127.0.0.1&{options}"})
    with pytest.raises(BindingError, match=r"^DB: its URL is not postgresql://USER:PASSWORD@HOST:PORT/DATABASE"):
        await env.DB.fetch("SELECT 1")
    await env.aclose()


FAILING = {
    "a missing table": "SELECT * FROM nowhere",
    "a wrong statement": "SELEC 1",
    "a wrong value": "SELECT 1 / 0",
    "a wrong parameter": "SELECT :none",
}


async def _in_transaction(env: Environment, sql: str) -> None:
    async with env.DB.transaction() as transaction:
        await transaction.fetch(sql)


@pytest.mark.parametrize("failure", FAILING)
async def test_closing_right_after_a_failed_statement_leaves_no_error_behind(
    postgres, postgres_database: str, caplog: pytest.LogCaptureFixture, failure: str
):
    """Its connection is being given back at that moment, at whichever step; alone, or within a transaction."""
    for alone, turns in itertools.product((True, False), range(4)):
        env = Environment({"DB": postgres.url(postgres_database)})
        with pytest.raises(BindingError, match=r"^DB: "):
            await (env.DB.fetch(FAILING[failure]) if alone else _in_transaction(env, FAILING[failure]))
        for _ in range(turns):
            await asyncio.sleep(0)
        await env.aclose()
    gc.collect()
    assert caplog.messages == []
