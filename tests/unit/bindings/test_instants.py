"""Instants in tables that others made: one text for each, whichever database and column it stands in."""

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from schedule_grpc.bindings import Environment
from schedule_grpc.bindings.instants import instant, written

TEXTS = {
    "2026-01-31 10:00:00": "2026-01-31T10:00:00.000Z",
    "2026-01-31T10:00:00.000Z": "2026-01-31T10:00:00.000Z",
    "2026-01-31 10:00:00.5": "2026-01-31T10:00:00.500Z",
    "2026-01-31T10:00:00.123456Z": "2026-01-31T10:00:00.123Z",
    "2026-01-31T10:00Z": "2026-01-31T10:00:00.000Z",
    "2026-01-31 10:00": "2026-01-31T10:00:00.000Z",
    "2026-01-31": "2026-01-31T00:00:00.000Z",
    "2026-01-31T12:30:00+02:30": "2026-01-31T10:00:00.000Z",
    "2026-01-31 05:00:00-05:00": "2026-01-31T10:00:00.000Z",
    "2026-01-31 23:30:00-01:00": "2026-02-01T00:30:00.000Z",
    "2024-02-29 00:00:00": "2024-02-29T00:00:00.000Z",
    "2026-02-31 00:00:00": "2026-03-03T00:00:00.000Z",
    "0001-01-01 00:00:00": "0001-01-01T00:00:00.000Z",
    "9999-12-31 23:59:59": "9999-12-31T23:59:59.000Z",
} | dict.fromkeys([
    None, "", "never", "now", "0", "12:34", "2461072.5", "1769853600", "infinity", "2026", "2026-01", "2026-13-01",
    "2026-00-10", "2026-01-32", "0000-00-00", "0000-01-01 00:00:00", "2026-01-31 25:00:00", "2026-01-31 10:61:00",
    "2026-01-31 10:00:00 tomorrow", "20260131T100000Z", "31.01.2026", "2026-01-31T10:00:00+25:00",
])  # fmt: skip
"""What a column of text may hold, and the instant it is: None where it is none."""


@pytest.fixture(params=["sqlite", "postgresql"])
async def env(request: pytest.FixtureRequest, tmp_path: Path, postgres, postgres_database: str):
    """An environment with a DB of either kind."""
    urls = {"sqlite": f"sqlite:///{tmp_path}/platform.db", "postgresql": postgres.url(postgres_database)}
    made = Environment({"DB": urls[request.param]})
    yield made
    await made.aclose()


async def test_a_text_is_the_same_instant_on_both_databases(env: Environment):
    """In either form, with or without an offset; what is no instant is none, and never fails the statement."""
    await env.DB.execute("CREATE TABLE times (id INTEGER, moment TEXT)")
    for number, text in enumerate(TEXTS):
        await env.DB.execute("INSERT INTO times VALUES (:id, :text)", id=number, text=text)
    seen = instant("moment", await env.DB.dialect())
    rows = await env.DB.fetch(f"SELECT moment, {seen} AS seen FROM times ORDER BY id")
    assert {row["moment"]: row["seen"] for row in rows} == TEXTS


async def test_both_forms_compare_rightly(env: Environment):
    """A text that is later by its characters may be the earlier instant, and the other way round."""
    await env.DB.execute("CREATE TABLE times (moment TEXT)")
    for text in (
        "2026-01-31T09:59:59.999Z",
        "2026-01-31 10:00:00",
        "2026-01-31 10:00:00.001",
        "2026-01-31T10:00:00.001Z",
    ):
        await env.DB.execute("INSERT INTO times VALUES (:text)", text=text)
    seen = instant("times.moment", await env.DB.dialect())
    asked = f"SELECT count(*) AS n FROM times WHERE {seen} < :now"
    counts = []
    for offset in (0, 1, 2):
        now = written(datetime(2026, 1, 31, 10, tzinfo=UTC) + timedelta(milliseconds=offset))
        counts += [row["n"] for row in await env.DB.fetch(asked, now=now)]
    assert counts == [1, 2, 4]


@pytest.mark.parametrize("kind", ["timestamptz", "timestamp"])
async def test_a_postgresql_timestamp_is_the_same_instant_too(postgres, postgres_database, kind: str):
    """Whatever time zone the database believes to be in; what never ends is no instant."""
    env = Environment({"DB": postgres.url(postgres_database)})
    await env.DB.execute(f"ALTER DATABASE {postgres_database} SET timezone TO 'Asia/Kathmandu'")
    await env.DB.execute(f"CREATE TABLE times (moment {kind})")
    await env.DB.execute("INSERT INTO times VALUES ('2026-01-31 10:00:00.25'), ('infinity'), ('0044-03-15 BC'), (NULL)")
    await env.aclose()
    env = Environment({"DB": postgres.url(postgres_database)})
    seen = instant("moment", "postgresql")
    rows = await env.DB.fetch(f"SELECT {seen} AS seen FROM times ORDER BY seen")
    assert [row["seen"] for row in rows] == ["2026-01-31T10:00:00.250Z", None, None, None]
    await env.aclose()


def test_an_instant_is_written_in_utc_to_the_millisecond():
    """Whatever zone it is in; without one it is refused."""
    moment = datetime(2026, 1, 31, 12, 0, 0, 999_999, tzinfo=timezone(timedelta(hours=2)))
    assert written(moment) == "2026-01-31T10:00:00.999Z"
    assert written(datetime(1, 1, 1, tzinfo=UTC)) == "0001-01-01T00:00:00.000Z"
    with pytest.raises(ValueError, match="2026-01-31T10:00:00 is not aware"):
        written(datetime(2026, 1, 31, 10))  # noqa: DTZ001


def test_only_the_name_of_a_column_becomes_sql():
    """Anything else is refused, as is a dialect that nobody speaks."""
    for column in ("", "a b", "a; DROP TABLE t", "1", "a)"):
        with pytest.raises(ValueError, match="is not the name of a column"):
            instant(column, "sqlite")
    with pytest.raises(ValueError, match="neither sqlite nor postgresql"):
        instant("a", "mysql")
