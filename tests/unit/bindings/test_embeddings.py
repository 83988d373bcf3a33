"""The AI binding against a local server that speaks the OpenAI API."""

import asyncio
import traceback
import zlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from support.servers.http_server import http_server

from schedule_grpc.bindings import Environment, embeddings
from schedule_grpc.errors import BindingError
from schedule_grpc.testing import FakeClock

KEY = "sk-geheim-1234"
KEY_REFUSED = r"its key is refused, or none is set \(key_env, key_file\)"
NOW = datetime(2026, 1, 31, 10, tzinfo=UTC)


@pytest.fixture
async def env(ai, monkeypatch: pytest.MonkeyPatch):
    """An environment whose AI is that server, with a key from the environment."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("AI_KEY", KEY)
    made = Environment({"AI": {"url": ai.url, "key_env": "AI_KEY", "model": "small"}})
    yield made
    await made.aclose()


def refuse(ai, status: int, said: Any) -> None:
    """Let the service answer so from now on."""
    ai.answer = lambda *_: (status, said)


async def test_each_text_gets_its_vector_in_order(ai, env: Environment):
    """However the service orders them; model and key are sent."""
    assert await env.AI.embed(["a", "four", "größe"]) == [[1.0, -0.5], [4.0, -0.5], [5.0, -0.5]]
    [(path, headers, body)] = ai.requests
    assert (path, body) == ("/v1/embeddings", {"model": "small", "input": ["a", "four", "größe"]})
    assert headers["authorization"] == f"Bearer {KEY}"
    await env.AI.embed(("b",), model="large")
    assert ai.requests[-1][2] == {"model": "large", "input": ["b"]}


async def test_no_text_is_no_request(ai, env: Environment):
    """And one text is not a list of its letters."""
    assert await env.AI.embed([]) == []
    with pytest.raises(BindingError, match=r"^AI: embed\(\) takes a list of texts, not one text$"):
        await env.AI.embed("abc")
    assert ai.requests == []


async def test_a_ping_lists_the_models(ai, env: Environment):
    """Which costs nothing."""
    await env.ping("AI")
    assert [path for path, _, _ in ai.requests] == ["/v1/models"]


async def test_without_a_model_nothing_is_asked(ai):
    """It is named in the configuration or by the handler."""
    env = Environment({"AI": f"{ai.url}/"})
    with pytest.raises(BindingError, match=r"^AI: no model is named"):
        await env.AI.embed(["a"])
    assert await env.AI.embed(["a"], model="small") == [[1.0, -0.5]]
    assert "authorization" not in ai.requests[0][1]
    await env.aclose()


@pytest.mark.parametrize(
    ("status", "said", "told"),
    [
        (500, {"error": {"message": f"{KEY} is on fire"}}, r"500 Internal Server Error: \*\*\* is on fire"),
        (500, b"<html>", "500 Internal Server Error"),
        (503, {"error": "busy"}, "503 Service Unavailable"),
        (429, {"error": {"message": "slow down"}}, "429 Too Many Requests: slow down"),
        (404, {"error": {"message": "no model small"}}, "404 Not Found: no model small"),
        (400, {"error": {"message": "x" * 1000}}, f"400 Bad Request: {'x' * 300}"),
        (401, {"error": {"message": "Incorrect API key: sk-geheim-12*"}}, f"401 Unauthorized: {KEY_REFUSED}"),
        (403, b"sk-geheim", f"403 Forbidden: {KEY_REFUSED}"),
        (302, b"", "302 Found"),
        (204, b"", "204 No Content"),
    ],
)  # fmt: skip
async def test_a_refusal_is_told_without_the_key(ai, env: Environment, status: int, said: Any, told: str):
    """Of an embedding and of a ping; where a key is refused not even the service's words are repeated."""
    refuse(ai, status, said)
    for ask in (env.AI.embed(["a"]), env.ping("AI")):
        with pytest.raises(BindingError, match=f"^AI: answered {told}$") as caught:
            await ask
        assert "geheim" not in "".join(traceback.format_exception(caught.value))


VECTOR = {"index": 0, "embedding": [1.0]}


@pytest.mark.parametrize(
    "said",
    [
        {},
        [],
        None,
        "vectors",
        {"data": None},
        {"data": []},
        {"data": [VECTOR]},
        {"data": [VECTOR, VECTOR]},
        {"data": [VECTOR, {"index": 2, "embedding": [1.0]}]},
        {"data": [VECTOR, {"index": 1, "embedding": [1.0]}, {"index": 2, "embedding": [1.0]}]},
        {"data": [VECTOR, {"index": 1, "embedding": [1.0, 2.0]}]},
        {"data": [{"index": 0, "embedding": []}, {"index": 1, "embedding": []}]},
        {"data": [VECTOR, {"index": 1, "embedding": "AACAPw=="}]},
        {"data": [VECTOR, {"index": 1, "embedding": [None]}]},
        {"data": [VECTOR, {"index": 1}]},
        {"data": [VECTOR, {"embedding": [1.0]}]},
        b'{"data": [{"index": 0, "embedding": [1]}, {"index": 1, "embedding": [NaN]}]}',
        b'{"data": [{"index": 0, "embedding": [1]}, {"index": 1, "embedding": [1' + b"0" * 400 + b"]}]}",
    ],
)
async def test_garbage_and_too_few_vectors_are_refused(ai, env: Environment, said: Any):
    """Nothing is made up, nothing is shifted to another text."""
    refuse(ai, 200, said)
    with pytest.raises(BindingError, match=r"^AI: answered something else than 2 vectors of one length$"):
        await env.AI.embed(["a", "b"])


@pytest.mark.parametrize("said", [b"", b"<html>", b"\xff\xfe", b"[" * 100_000], ids=["empty", "html", "bytes", "deep"])
async def test_what_is_not_json_is_refused(ai, env: Environment, said: bytes):
    """A proxy's page, for one; a ping notices it too."""
    refuse(ai, 200, said)
    for ask in (env.AI.embed(["a"]), env.ping("AI")):
        with pytest.raises(BindingError, match=r"^AI: answered something else than JSON$"):
            await ask


@pytest.mark.parametrize("status", [200, 500])
async def test_an_answer_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch, status: int):
    """More than what was asked for can need is not read, though it is compressed to little."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    ended = asyncio.Event()

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.1 {status} Said\r\ncontent-encoding: gzip\r\n\r\n".encode())
        packer = zlib.compressobj(wbits=31)
        try:
            while True:
                writer.write(packer.compress(b"[" * 100_000) + packer.flush(zlib.Z_SYNC_FLUSH))
                await writer.drain()
                await asyncio.sleep(0)  # what is so small does not wait
        except ConnectionError:
            ended.set()

    async with http_server() as server:
        for path in ("/embeddings", "/models"):
            server.answer(path, endless)
        env = Environment({"AI": {"url": f"http://127.0.0.1:{server.port}", "model": "small"}})
        told = rf"more than {embeddings.MOST_BYTES}" if status == 200 else "500 Said"
        with pytest.raises(BindingError, match=rf"^AI: answered {told}"):
            await env.ping("AI")
        await ended.wait()
        told = rf"more than {embeddings.MOST_BYTES + 2 * embeddings.MOST_BYTES_A_TEXT}" if status == 200 else "500 Said"
        with pytest.raises(BindingError, match=rf"^AI: answered {told}"):
            await env.AI.embed(["a", "b"])
        await env.aclose()


async def test_as_many_vectors_as_are_asked_for_are_read(ai, env: Environment):
    """A hundred texts, vectors of three thousand numbers: more than the 1 MiB of other answers."""
    vector = [0.0123456789] * 3072
    refuse(ai, 200, {"data": [{"index": index, "embedding": vector} for index in range(100)]})
    assert await env.AI.embed(["a"] * 100) == [vector] * 100


async def test_a_ping_that_is_answered_with_something_else_fails(ai, env: Environment):
    """Another service stands there."""
    refuse(ai, 200, {"status": "ok"})
    with pytest.raises(BindingError, match=r"^AI: answered something else than a list of models$"):
        await env.ping("AI")


async def test_a_redirect_takes_the_key_nowhere(ai, env: Environment):
    """It is for the configured address only."""
    refuse(ai, 307, b"")
    with pytest.raises(BindingError, match=r"^AI: answered 307 Temporary Redirect$"):
        await env.AI.embed(["a"])
    assert len(ai.requests) == 1


async def test_a_service_that_is_slow_beyond_the_timeout_is_given_up(ai):
    """The next call, once it is quick again, works."""
    clock = FakeClock(NOW)
    env = Environment({"AI": {"url": ai.url, "model": "small", "timeout": "4s"}}, clock=clock)
    quick, loop, asked = ai.answer, asyncio.get_running_loop(), asyncio.Event()

    def slow(*_: object) -> tuple[int, Any]:
        loop.call_soon_threadsafe(asked.set)
        ai.released.wait(60)
        return 200, {}

    ai.answer = slow
    asking = asyncio.create_task(env.AI.embed(["a"]))
    await asked.wait()
    await clock.advance(4)
    with pytest.raises(BindingError, match=r"^AI: no answer within 4s$"):
        await asking
    ai.answer = quick
    assert await env.AI.embed(["a"]) == [[1.0, -0.5]]
    await env.aclose()


async def test_closing_ends_what_is_in_use(ai, env: Environment):
    """Its caller gets an error that says so, and need not wait for the answer."""
    loop, asked = asyncio.get_running_loop(), asyncio.Event()

    def slow(*_: object) -> tuple[int, Any]:
        loop.call_soon_threadsafe(asked.set)
        ai.released.wait(60)
        return 200, {}

    ai.answer = slow
    asking = asyncio.create_task(env.AI.embed(["a"]))
    await asked.wait()
    await env.aclose()
    with pytest.raises(BindingError, match=r"^AI: is closed$"):
        await asking
    with pytest.raises(BindingError, match=r"^AI: is closed$"):
        await env.AI.embed(["a"])


async def test_a_service_that_is_down_at_first_and_back_later(ai, relay):
    """Down at first use, back, cut in the middle, and back again."""
    way = await relay(ai.port)
    await way.close()
    env = Environment({"AI": {"url": f"http://127.0.0.1:{way.port}/v1", "model": "small"}})
    with pytest.raises(BindingError, match=r"^AI: ConnectError"):
        await env.ping("AI")
    await way.open()
    await env.ping("AI")
    way.hold()
    asking = asyncio.create_task(env.ping("AI"))
    await way.held.wait()
    await way.cut()
    with pytest.raises(BindingError, match=r"^AI: (Remote|Read|Write)"):
        await asking
    way.go_on()
    await env.ping("AI")
    await env.aclose()


async def test_a_key_in_a_file_is_read_anew(ai, tmp_path: Path):
    """Changed while the server runs, the new one is used; missing, empty or odd, the file is named, never the key."""
    file = tmp_path / "key"
    env = Environment({"AI": {"url": ai.url, "key_file": str(file)}})
    with pytest.raises(BindingError, match=rf"^AI: the file {file} \(key_file\) cannot be read: No such file"):
        await env.ping("AI")
    for key in ("first-key", " second-key\n"):
        file.write_text(key)
        await env.ping("AI")
        assert ai.requests[-1][1]["authorization"] == f"Bearer {key.strip()}"
    for key, reason in ((b" \n", "is empty"), (b"a\nb-key", "one line of ASCII"), ("schlüssel".encode(), "one line")):
        file.write_bytes(key)
        with pytest.raises(BindingError, match=rf"^AI: the file {file} \(key_file\) .*{reason}") as caught:
            await env.ping("AI")
        assert "b-key" not in str(caught.value)
    file.write_bytes(b"\xff")
    with pytest.raises(BindingError, match="cannot be read: it is not text"):
        await env.ping("AI")
    refuse(ai, 500, {"error": {"message": "first-key, second-key"}})
    file.write_text("third-key")
    with pytest.raises(BindingError, match=r"Error: \*\*\*, \*\*\*$"):
        await env.ping("AI")
    await env.aclose()


async def test_a_variable_that_is_not_set_is_named(ai, monkeypatch: pytest.MonkeyPatch):
    """Nothing is asked without the key."""
    monkeypatch.delenv("AI_KEY", raising=False)
    env = Environment({"AI": {"url": ai.url, "key_env": "AI_KEY"}})
    with pytest.raises(BindingError, match=r"^AI: the environment variable AI_KEY \(key_env\) is not set$"):
        await env.ping("AI")
    assert ai.requests == []
    await env.aclose()
