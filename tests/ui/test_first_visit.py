"""What a browser loads at its first visit: scripts that one page alone needs are loaded there."""

import re
from pathlib import PurePosixPath

from support.callers.page_reader import Reader
from support.rigs.rig import Rig

from schedule_grpc.api.ui.assets import FOLDER as STATIC
from schedule_grpc.api.ui.assets import Assets, without_comments
from schedule_grpc.api.ui.render import FOLDER

ALWAYS = re.compile(r'^import (?:[^"]+ from )?"\./([^"]+)";$', re.MULTILINE)
LATER = re.compile(r'=> import\("\./([^"]+)"\)')
WANTED = re.compile(r'\["([a-z-]+)", \(\) => import\("\./([^"]+)"\)\]')
MOST, MOST_PACKED = 60_000, 20_000
"""Bytes of the first visit beside the page; and compressed."""


def loaded(assets: Assets, first: str) -> set[str]:
    """Return a script, and those that it imports before it runs."""
    found, left = set(), [first]
    while left:
        name = left.pop()
        if name not in found:
            found.add(name)
            left += ALWAYS.findall(assets.files[name].content.decode())
    return found


def test_the_first_visit_is_small():
    """Dialogs, editing, bulk actions, the palette, the map, logs, the help and the login are not part of it."""
    assets = Assets.read()
    scripts = loaded(assets, "main.js")
    assert not scripts & {"dialogs.js", "asks.js", "run-with.js", "payload-form.js", "json-text.js", "help.js"}
    assert not scripts & {"edit.js", "bulk.js", "palette.js", "map.js", "log.js", "login.js"}
    files = scripts | {"app.css", "theme.js", "icon.svg", "feed-worker.js"}
    plain = sum(len(assets.files[name].content) for name in files)
    packed = sum(len(assets.files[name].packed) for name in files)
    assert (plain <= MOST, packed <= MOST_PACKED) == (True, True), (plain, packed)


async def test_a_script_of_one_page_is_loaded_by_what_it_works_on(rig: Rig, pages: Reader):
    """Each is a file, and its page has the element that it is loaded for."""
    await rig.register("task", "@hourly")
    execution = await rig.run_now("task")
    assets = Assets.read()
    wanted = dict(WANTED.findall(assets.files["main.js"].content.decode()))
    below = {
        "bulk": "/tasks",
        "task-form": "/tasks/new",
        "log": f"/executions/{execution.id}",
        "map": "/upcoming",
    }
    assert set(wanted) == {*below, "login-form"}
    assert 'id="login-form"' in (FOLDER / "login.html").read_text()  # this service asks nobody for a key
    for name, path in below.items():
        ids = {attributes.get("id") for _, attributes in (await pages.get(f"/ui{path}")).page.elements}
        assert name in ids, path
    later = {file for asset in assets.files.values() for file in LATER.findall(asset.content.decode())}
    assert later == {*wanted.values(), "palette.js", "asks.js", "help.js"}
    assert all(PurePosixPath(file).name in assets.files for file in later)


def test_comments_are_not_sent_and_lines_stay_where_they_are():
    """Of scripts and style sheets; what stands behind code on its line is code to this."""
    script = b"// first\n/** @param {string} a\n * @returns {string} */\nconst b = `// ${a}`; // c\n  /* d */\nf();"
    assert without_comments(script) == b"\n\n\nconst b = `// ${a}`; // c\n\nf();"
    for name, asset in Assets.read().files.items():
        assert asset.content.count(b"\n") == (STATIC / name).read_bytes().count(b"\n")
        assert not re.search(rb"^\s*//", asset.content, re.MULTILINE), name
