"""What the dialog of a run gets from the server: a payload as it is stored, and the fields of the handler's schema."""

import json
from typing import Any

from support.callers.page_reader import Reader
from support.rigs.namespaces import wanted
from support.rigs.rig import START, Rig
from support.rigs.worker_rows import worker_there

FLAT = json.dumps({"type": "object", "properties": {"rows": {"type": "integer", "title": "<b>Rows</b>"}}})


async def form(pages: Reader, name: str, query: str = "") -> dict[str, Any]:
    """Return what the dialog gets."""
    read = await pages.get(f"/ui/tasks/{name}/run-form{query}")
    assert (read.status, read.headers["content-type"]) == (200, "application/json")
    found: dict[str, Any] = read.json
    return found


async def test_a_handler_with_a_flat_schema_has_fields(rig: Rig, pages: Reader):
    """As data, whose texts are the page's to show."""
    await worker_there(rig.store, "s", START, "remote", schemas={"remote": FLAT})
    await rig.service.register(wanted("task", "remote"))
    assert (await form(pages, "task"))["fields"] == [
        {
            "key": "rows",
            "label": "<b>Rows</b>",
            "hint": "rows",
            "required": False,
            "input": {"type": "number", "step": "1"},
            "choices": [],
        }
    ]


async def test_any_other_handler_has_none(rig: Rig, pages: Reader):
    """One of the server, one of a worker with a schema that is not flat, with a broken one, and one of nobody."""
    schemas = {"nested": '{"properties": {"a": {"type": "array"}}}', "broken": "{", "bare": ""}
    await worker_there(rig.store, "s", START, *schemas, schemas=schemas)
    await rig.register("own", "@manual")
    for handler in (*schemas, "nobody"):
        await rig.service.register(wanted(handler, handler))
    for name in ("own", *schemas, "nobody"):
        assert (await form(pages, name))["fields"] == [], name


async def test_the_payload_comes_as_it_is_stored(rig: Rig, pages: Reader):
    """The task's, or that of an execution which was given one; numbers keep the way they are written."""
    await rig.register("task", "@manual", payload={"share": 1e-7, "rows": 2**53})
    assert (await form(pages, "task"))["payload"] == '{\n  "rows": 9007199254740992,\n  "share": 1e-07\n}'
    plain = await rig.run_now("task")
    given = await rig.run_now("task", payload={"rows": 3})
    again, other = [(await form(pages, "task", f"?execution={run.id}"))["payload"] for run in (plain, given)]
    assert json.loads(again) == {"share": 1e-7, "rows": 2**53}
    assert json.loads(other) == {"rows": 3}
    await rig.register("empty", "@manual")
    assert (await form(pages, "empty"))["payload"] == "{}"


async def test_a_run_that_would_be_skipped_is_told_before(rig: Rig, pages: Reader):
    """Where the policy is SKIP and one execution is open."""
    for name, overlap in (("skips", "SKIP"), ("waits", "BUFFER_ONE")):
        await rig.register(name, "@manual", "nobody", allow_unknown_handler=True, policy={"overlap": overlap})
        assert not (await form(pages, name))["skips"]
        await rig.service.run_now(name, detach=True)
    assert (await form(pages, "skips"))["skips"]
    assert not (await form(pages, "waits"))["skips"]


async def test_what_is_not_there_is_refused_with_json(pages: Reader, rig: Rig):
    """A task, and an execution that retention removed: running its task's payload instead would be another run."""
    await rig.register("task", "@manual")
    for path in ("gone/run-form", "task/run-form?execution=exec_gone"):
        read = await pages.get(f"/ui/tasks/{path}")
        assert (read.status, read.json["success"]) == (404, False), path
