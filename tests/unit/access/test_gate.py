"""The gate: who is let in, as whom, and until when."""

import asyncio
from datetime import timedelta
from hashlib import sha256

import pytest
from support.rigs.gate_house import House, bearer
from support.rigs.rig import START

from schedule_grpc.access.attempts import MOST
from schedule_grpc.access.authenticator import Authenticator, CallerPolicy, Mode
from schedule_grpc.access.credentials import LONGEST_TOKEN, Credentials
from schedule_grpc.access.gate import MOST_SLOWED, Gate
from schedule_grpc.access.key_ring import KNOWN_FOR
from schedule_grpc.access.proven import Proven
from schedule_grpc.access.rules import ACCESS, HEALTH, METRICS, PAGES, RULES, SCHEDULE, rules_with
from schedule_grpc.domain.access.caller import ANONYMOUS, Caller
from schedule_grpc.domain.access.grant import read_grants
from schedule_grpc.domain.access.key_text import new_key
from schedule_grpc.domain.access.keys import revoked, rotated
from schedule_grpc.errors import (
    FailedPrecondition,
    InvalidArgument,
    PermissionDenied,
    Unauthenticated,
    Unavailable,
)

MAKER = Caller(name="key:maker", grants=read_grants(["admin@*"]))
GET, RUN, WATCH = SCHEDULE + "GetTask", SCHEDULE + "RunTaskNow", SCHEDULE + "WatchExecutions"
CREATE_KEY = ACCESS + "CreateKey"


@pytest.fixture
async def closed() -> House:
    """A server that requires proof."""
    return House(Mode.REQUIRED)


async def test_a_key_lets_in_as_what_it_is(closed: House):
    """With its name, its grants, and the address and program that the call came from."""
    text = closed.keys.make("run@reports")
    await closed.ring.refresh()
    caller = await closed.caller(RUN, bearer(text))
    assert (caller.name, caller.key_id, caller.home) == ("key:k", text.id, "reports")
    assert (caller.peer, caller.agent) == ("10.0.0.7:1234", "test/1")
    assert (await closed.caller(RUN, bearer(text, scheme="bearer"))).name == "key:k"


async def test_everything_else_is_refused_in_the_same_words(closed: House):
    """A stranger learns nothing: not even whether a key was once right."""
    good, gone, old = (closed.keys.make("admin@*", name=name) for name in ("good", "gone", "old"))
    short = closed.keys.make("admin@*", name="short", lifetime=timedelta(seconds=5))
    closed.keys.put(revoked(closed.keys.kept[gone.id], START))
    await closed.ring.refresh()
    await closed.clock.advance(5)
    flipped = good.text[:-1] + ("a" if good.text[-1] != "a" else "b")
    wrong = [
        *(Credentials(), Credentials(authorization=[""]), bearer(""), bearer(" "), bearer(good, scheme="Basic")),
        *(Credentials(authorization=[good.text]), bearer(good, good), bearer(good, old), bearer(flipped)),
        *(bearer(gone), bearer(short), bearer(new_key()), bearer(new_key(good.id)), bearer(good.text + " ")),
        *(bearer("x" * (LONGEST_TOKEN + 1)), bearer(good.text.upper()), bearer(" " + good.text)),
    ]
    for credentials in wrong:
        with pytest.raises(Unauthenticated, match=r"^Authentication required$"):
            await closed.caller(GET, credentials)
    assert closed.denied == [(GET, "UNAUTHENTICATED")] * len(wrong)
    assert (await closed.caller(GET, bearer(good))).name == "key:good"


async def test_a_rotated_key_has_two_texts_for_a_while(closed: House):
    """Its users change over one by one."""
    before = closed.keys.make("read@a")
    after = new_key(before.id)
    closed.keys.put(rotated(closed.keys.kept[before.id], after, timedelta(hours=1), START))
    await closed.ring.refresh()
    for text in (before, after):
        assert (await closed.caller(GET, bearer(text))).name == "key:k"
    await closed.clock.advance(3600)
    assert (await closed.caller(GET, bearer(after))).name == "key:k"
    with pytest.raises(Unauthenticated):
        await closed.caller(GET, bearer(before))


async def test_a_scope_that_is_had_nowhere_is_refused_before_the_request_is_read(closed: House):
    """One that is had somewhere is judged by the namespace that the request names."""
    text = closed.keys.make("run@reports/nightly-", "observe@other")
    await closed.ring.refresh()
    with pytest.raises(PermissionDenied, match="write@default is needed"):
        await closed.caller(SCHEDULE + "RegisterTask", bearer(text))
    assert closed.denied == [(SCHEDULE + "RegisterTask", "PERMISSION_DENIED")]
    async with closed.gate.admitting(RUN, bearer(text)) as call:
        assert call.permit("reports").covers("nightly-1")
        for namespace in ("other", "nowhere", ""):
            with pytest.raises(PermissionDenied):
                call.permit(namespace)
        with pytest.raises(InvalidArgument, match="namespace"):
            call.permit("No Namespace")


async def test_what_concerns_all_namespaces_takes_a_grant_in_all(closed: House):
    """The metrics name the tasks of every team."""
    some, every = closed.keys.make("admin@reports"), closed.keys.make("observe@*", name="all")
    await closed.ring.refresh()
    assert (await closed.caller(METRICS, bearer(every))).name == "key:all"
    with pytest.raises(PermissionDenied, match=r"observe@\* is needed"):
        await closed.caller(METRICS, bearer(some))


async def test_strangers_may_ask_for_health_and_for_what_is_opened_to_them(closed: House):
    """As nobody: they have no grant."""
    caller = await closed.caller(HEALTH + "Check", Credentials())
    assert (caller.name, caller.grants) == (ANONYMOUS, ())
    with pytest.raises(Unauthenticated):
        await closed.caller(PAGES, Credentials())
    assert not rules_with([])[PAGES].open
    assert rules_with(["docs"])[PAGES].open


async def test_a_server_without_keys_asks_nobody():
    """And ignores tokens, which may be for a proxy before it."""
    house = House()
    caller = await house.caller(GET, bearer("anything"))
    assert (caller.name, caller.is_identified, caller.attribution) == (ANONYMOUS, False, "")
    assert house.gate.mode is Mode.OFF
    with pytest.raises(PermissionDenied, match="a caller without a key is given none"):
        await house.caller(CREATE_KEY, Credentials())


async def test_a_server_that_shall_stay_open_makes_no_key():
    """Not for its socket's callers either: it would answer everybody beside the key, and not start again."""
    house = House(Mode.OFF)
    for credentials in (Credentials(), Credentials(socket_grants=read_grants(["admin@*"]))):
        with pytest.raises(FailedPrecondition, match=r"auth\.mode is off"):
            await house.caller(CREATE_KEY, credentials)
    assert (await house.caller(GET, Credentials())).name == ANONYMOUS


async def test_the_first_key_closes_the_server_for_good():
    """Also once it is revoked: whoever lost the last key takes another way in, not the open one."""
    house = House()
    text = house.keys.make("admin@*")
    await house.ring.refresh()
    assert house.gate.mode is Mode.REQUIRED
    with pytest.raises(Unauthenticated):
        await house.caller(GET, Credentials())
    house.keys.put(revoked(house.keys.kept[text.id], START))
    await house.ring.refresh()
    assert house.gate.mode is Mode.REQUIRED


async def test_a_permissive_server_lets_pass_what_it_would_refuse_and_counts_it():
    """With the anonymous grants, and not a scope more."""
    house = House(Mode.PERMISSIVE, anonymous=["read@default"])
    text = house.keys.make("write@default")
    await house.ring.refresh()
    assert (await house.caller(GET, bearer("wrong"))).grants == read_grants(["read@default"])
    assert house.passed == [GET]
    with pytest.raises(PermissionDenied):
        await house.caller(RUN, Credentials())
    assert (await house.caller(RUN, bearer(text))).name == "key:k"
    assert house.passed == [GET, RUN]


async def test_a_socket_lets_in_with_its_own_grants(closed: House):
    """Its file's mode is the proof; a wrong token by that way is wrong all the same."""
    grants = read_grants(["admin@*"])
    caller = await closed.caller(CREATE_KEY, Credentials(socket_grants=grants, peer="unix:"))
    assert (caller.name, caller.grants) == ("socket", grants)
    with pytest.raises(Unauthenticated):
        await closed.caller(GET, Credentials(authorization=["Bearer wrong"], socket_grants=grants))


async def test_a_wrong_token_gives_no_more_than_the_socket_by_which_it_came():
    """A permissive server lets it pass, and would hand out the anonymous grants, which may be all there are."""
    house = House(Mode.PERMISSIVE, anonymous=["admin@*"])
    grants = read_grants(["observe@a"])
    caller = await house.caller(GET, Credentials(authorization=["Bearer wrong"], socket_grants=grants))
    assert (caller.name, caller.grants) == ("socket", grants)
    assert house.passed == [GET]


class ByAgent:
    """Takes the program's name for proof, until a time."""

    async def prove(self, credentials: Credentials) -> Proven | None:
        """Return a caller for one program."""
        if credentials.agent != "test/1":
            return None
        return Proven(Caller(name="jwt:x", grants=read_grants(["read@a"])), START + timedelta(seconds=30))


async def watching(house: House, gate: Gate, credentials: Credentials) -> None:
    """Make a call that lasts."""
    async with gate.admitting(WATCH, credentials):
        await asyncio.Event().wait()


async def begun(house: House, gate: Gate, credentials: Credentials) -> "asyncio.Task[None]":
    """Make it in a task, which waits."""
    task = asyncio.create_task(watching(house, gate, credentials))
    await house.clock.advance(0)
    return task


async def test_a_call_that_lasts_ends_with_its_key(closed: House):
    """Others go on; one that is cancelled by its own caller stays cancelled."""
    gone, stays = closed.keys.make("read@a"), closed.keys.make("read@a", name="stays")
    await closed.ring.refresh()
    ending, going_on, left = [await begun(closed, closed.gate, bearer(text)) for text in (gone, stays, stays)]
    closed.gate.end_lapsed()
    await closed.clock.advance(0)
    assert not any(task.done() for task in (ending, going_on, left))
    closed.keys.put(revoked(closed.keys.kept[gone.id], START))
    await closed.ring.refresh()
    closed.gate.end_lapsed()
    closed.gate.end_lapsed()
    with pytest.raises(Unauthenticated):
        await ending
    left.cancel()
    with pytest.raises(asyncio.CancelledError):
        await left
    assert not going_on.done()
    going_on.cancel()


async def test_a_call_that_lasts_ends_with_its_session(closed: House):
    """Not with the key, which goes on for those who show the key itself."""
    text = closed.keys.make("read@a")
    await closed.ring.refresh()
    digest = sha256(text.text.encode()).digest()
    of_session = Credentials(key_digest=digest, session_until=closed.clock.now() + timedelta(hours=12))
    browser, owner = [await begun(closed, closed.gate, each) for each in (of_session, bearer(text))]
    await closed.clock.advance(12 * 3600 - 1)
    closed.gate.end_lapsed()
    assert not browser.done()
    await closed.clock.advance(1)
    closed.gate.end_lapsed()
    with pytest.raises(Unauthenticated):
        await browser
    assert not owner.done()
    owner.cancel()


async def test_a_call_that_lasts_ends_with_the_text_of_its_key(closed: House):
    """Who found a text that was replaced since watches no longer than the text is accepted."""
    text = closed.keys.make("read@a")
    await closed.ring.refresh()
    leaked = await begun(closed, closed.gate, bearer(text))
    after = new_key(text.id)
    closed.keys.put(rotated(closed.keys.kept[text.id], after, timedelta(minutes=1), START))
    await closed.ring.refresh()
    owner = await begun(closed, closed.gate, bearer(after))
    await closed.clock.advance(59)
    closed.gate.end_lapsed()
    await closed.clock.advance(1)
    assert not leaked.done()
    closed.gate.end_lapsed()
    await closed.clock.advance(0)
    assert leaked.done()
    with pytest.raises(Unauthenticated):
        await leaked
    assert not owner.done()
    owner.cancel()


async def test_a_call_that_lasts_ends_with_its_proof(closed: House):
    """A token's own end counts, by our clock."""
    authenticator = Authenticator(CallerPolicy(mode=Mode.REQUIRED), closed.ring, closed.clock, provers=[ByAgent()])
    gate = Gate(authenticator, RULES, closed.clock)
    task = await begun(closed, gate, bearer("x"))
    await closed.clock.advance(29)
    gate.end_lapsed()
    await closed.clock.advance(0)
    assert not task.done()
    await closed.clock.advance(1)
    gate.end_lapsed()
    with pytest.raises(Unauthenticated):
        await task


async def test_anonymous_calls_end_once_the_server_is_closed():
    """The first key was made while they were open."""
    house = House()
    task = await begun(house, house.gate, Credentials())
    house.keys.make("admin@*")
    await house.ring.refresh()
    house.gate.end_lapsed()
    with pytest.raises(Unauthenticated):
        await task


async def test_a_peer_that_fails_often_is_answered_slowly_and_never_locked_out(closed: House):
    """Its port does not matter; others wait for nothing."""
    text = closed.keys.make("read@a")
    await closed.ring.refresh()
    for port in range(MOST):
        with pytest.raises(Unauthenticated):
            await closed.caller(GET, Credentials(peer=f"10.0.0.7:{port}"))
    slow = asyncio.create_task(closed.caller(GET, Credentials(peer="10.0.0.7:1")))
    await closed.clock.advance(0.5)
    assert not slow.done()
    with pytest.raises(Unauthenticated):
        await closed.caller(GET, Credentials(peer="10.0.0.8:1"))
    assert (await closed.caller(GET, bearer(text, peer="10.0.0.7:2"))).name == "key:k"
    await closed.clock.advance(0.5)
    with pytest.raises(Unauthenticated):
        await slow


async def test_only_so_many_calls_wait_for_their_refusal(closed: House):
    """Each holds its request: a flood of them is refused at once, and slowed again once there is room."""
    stranger = Credentials(peer="10.0.0.7:1")
    calls = [asyncio.create_task(closed.caller(GET, stranger)) for _ in range(MOST + MOST_SLOWED + 50)]
    await closed.clock.advance(0)
    assert [call.done() for call in calls] == [True] * MOST + [False] * MOST_SLOWED + [True] * 50
    await closed.clock.advance(1)
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(answer) for answer in answers} == {Unauthenticated}
    again = asyncio.create_task(closed.caller(GET, stranger))
    await closed.clock.advance(0)
    assert not again.done()
    again.cancel()


async def test_keys_are_accepted_for_a_minute_without_the_database():
    """Then one of them may have been revoked by another server for too long."""
    house = House(Mode.REQUIRED, shared=True)
    text = house.keys.make("read@a")
    await house.ring.refresh()
    house.keys.away = True
    await house.clock.advance(KNOWN_FOR)
    assert (await house.caller(GET, bearer(text))).name == "key:k"
    await house.clock.advance(1)
    with pytest.raises(Unavailable, match="may have been revoked"):
        await house.caller(GET, bearer(text))
    with pytest.raises(Unauthenticated):
        await house.caller(GET, bearer(new_key()))


async def test_uses_are_written_once_a_minute():
    """Whatever the number of calls."""
    house = House(Mode.REQUIRED)
    text = house.keys.make("read@a")
    await house.ring.refresh()
    for _ in range(90):
        await house.caller(GET, bearer(text))
        await house.ring.keep_fresh()
        await house.clock.advance(1)
    await house.ring.keep_fresh()
    assert house.keys.used == [(text.id, START), (text.id, START + timedelta(seconds=60))]


async def test_keys_that_expire_tell_how_long_they_have():
    """For an alarm before their users are refused."""
    house = House()
    house.keys.make("read@a", name="soon", lifetime=timedelta(days=1))
    house.keys.make("read@b", name="soon", lifetime=timedelta(hours=2))
    house.keys.make("read@a", name="never")
    await house.ring.refresh()
    await house.clock.advance(3600)
    assert house.ring.expiries() == {("a", "soon"): 23 * 3600, ("b", "soon"): 3600}
