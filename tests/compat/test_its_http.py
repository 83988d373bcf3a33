"""The older service's HTTP interface (compat.md, section 1): routes, envelopes and texts, asked of a real server."""

import re
from typing import Any

import httpx2
import pytest

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
CLEANUP = "cleanup-expired-sessions"


def register(web: httpx2.Client, name: str, **fields: Any) -> dict[str, Any]:
    """Register a task that is run by hand; return it."""
    answer = web.post("/tasks", json={"name": name, "schedule": "@manual", "handler": "steps"} | fields)
    assert answer.status_code == 200, answer.text
    task: dict[str, Any] = answer.json()["task"]
    return task


def test_the_root_tells_what_this_is(web: httpx2.Client):
    """Service, version, description, interfaces, endpoints."""
    told = web.get("/").json()
    assert told["service"] == "schedule"
    assert set(told) == {"service", "version", "description", "interfaces", "endpoints"}
    assert set(told["interfaces"]) == {"rpc", "http", "cron"}
    assert {"list", "get", "register", "enable", "disable", "delete", "run", "history"} <= set(
        told["endpoints"]["tasks"]
    )
    assert {"handlers", "executions", "health"} <= set(told["endpoints"])


def test_health(web: httpx2.Client):
    """200 and three fields."""
    answer = web.get("/health")
    told = answer.json()
    assert (answer.status_code, told["status"], told["service"], set(told)) == (
        200,
        "ok",
        "schedule",
        {"status", "service", "timestamp"},
    )
    assert TIME.fullmatch(told["timestamp"])


def test_all_tasks_are_listed(web: httpx2.Client, name: str):
    """With their number, more than a page of them too."""
    register(web, name)
    told = web.get("/tasks").json()
    assert (told["success"], told["count"]) == (True, len(told["tasks"]))
    assert name in [task["name"] for task in told["tasks"]]
    assert "nextPageToken" not in told


def test_a_task(web: httpx2.Client):
    """The fields that callers know, times as they know them."""
    told = web.get(f"/tasks/{CLEANUP}").json()
    assert set(told) == {"success", "task"}
    task = told["task"]
    assert {"id", "name", "schedule", "handler", "enabled", "nextRun", "metadata", "createdAt", "updatedAt"} <= set(
        task
    )
    assert (task["id"], task["name"], task["schedule"], task["enabled"]) == (
        f"task_{CLEANUP}",
        CLEANUP,
        "@hourly",
        True,
    )
    for field in ("nextRun", "createdAt", "updatedAt"):
        assert TIME.fullmatch(task[field])


@pytest.mark.parametrize(
    ("method", "path"), [("GET", ""), ("POST", "/enable"), ("POST", "/disable"), ("DELETE", ""), ("PATCH", "")]
)
def test_a_task_that_is_not_there(web: httpx2.Client, method: str, path: str):
    """404 in these words, for deleting too."""
    answer = web.request(method, f"/tasks/nobody{path}", json={} if method == "PATCH" else None)
    assert (answer.status_code, answer.json()) == (404, {"success": False, "error": "Task not found"})


def test_registering(web: httpx2.Client, name: str):
    """200, the task, and a message; nothing fires."""
    answer = web.post(
        "/tasks",
        json={
            "name": name,
            "schedule": "@hourly",
            "handler": "steps",
            "enabled": True,
            "metadata": {"description": "My custom task", "category": "custom"},
        },
    )
    told = answer.json()
    assert (answer.status_code, told["success"], told["message"]) == (200, True, f"Task {name} registered successfully")
    assert (told["task"]["name"], told["task"]["metadata"]["category"]) == (name, "custom")
    assert web.get(f"/tasks/{name}/history").json()["count"] == 0


def test_a_bad_schedule(web: httpx2.Client, name: str):
    """400 in the older words, with our reason beside them."""
    answer = web.post("/tasks", json={"name": name, "schedule": "invalid cron", "handler": "steps"})
    told = answer.json()
    assert (answer.status_code, told["success"]) == (400, False)
    assert told["error"] == "Invalid schedule expression: invalid cron"
    assert told["details"][0]["field"] == "schedule"
    assert web.get(f"/tasks/{name}").status_code == 404


def test_an_unknown_handler(web: httpx2.Client, name: str):
    """400 in the older words; the names there are stand beside them."""
    answer = web.post("/tasks", json={"name": name, "schedule": "@hourly", "handler": "nope"})
    told = answer.json()
    assert (answer.status_code, told["error"]) == (400, "Task handler not found: nope")
    assert CLEANUP in told["details"][0]["reason"]


def test_switching(web: httpx2.Client, name: str):
    """Disabled there is no next run; enabled there is one again."""
    register(web, name, schedule="@hourly")
    told = web.post(f"/tasks/{name}/disable").json()
    assert (told["success"], told["message"]) == (True, f"Task {name} disabled")
    task = web.get(f"/tasks/{name}").json()["task"]
    assert (task["enabled"], "nextRun" in task) == (False, False)
    told = web.post(f"/tasks/{name}/enable").json()
    assert (told["success"], told["message"]) == (True, f"Task {name} enabled")
    assert "nextRun" in web.get(f"/tasks/{name}").json()["task"]


def test_deleting(web: httpx2.Client, name: str):
    """Gone; its history stays."""
    register(web, name)
    web.post(f"/tasks/{name}/run")
    assert web.delete(f"/tasks/{name}").json() == {"success": True, "message": f"Task {name} unregistered"}
    assert web.get(f"/tasks/{name}").status_code == 404
    assert web.get(f"/tasks/{name}/history").json()["count"] == 1


@pytest.mark.parametrize(
    "sent",
    [
        {},
        {"json": {}},
        {"content": b"", "headers": {"content-type": "text/plain"}},
        {"content": b"", "headers": {"content-type": "application/x-www-form-urlencoded"}},
    ],
)
def test_running(web: httpx2.Client, name: str, sent: dict[str, Any]):
    """200 when it has succeeded; an empty body is {} whatever it calls itself."""
    register(web, name)
    answer = web.post(f"/tasks/{name}/run", **sent)
    told = answer.json()
    assert (answer.status_code, told["success"]) == (200, True)
    assert told["message"] == f"Task {name} executed successfully"
    assert told["execution"]["status"] == "success"


def test_what_cannot_be_run(web: httpx2.Client, name: str):
    """Not there, or disabled: 400 in one text; the details, which came later, say which."""
    register(web, name, enabled=False)
    refused = {"success": False, "error": "Failed to run task (task not found or disabled)"}
    for path, reason, code in (
        (f"/tasks/{name}/run", f"Task is disabled: {name}", "TASK_DISABLED"),
        ("/tasks/nobody/run?wait=false", "Task not found: nobody", "TASK_NOT_FOUND"),
    ):
        answer = web.post(path)
        detail = {"field": "name", "reason": reason, "code": code}
        assert (answer.status_code, answer.json()) == (400, refused | {"details": [detail]})


def test_a_run_that_fails(web: httpx2.Client, name: str):
    """400 with the execution's error, and the execution."""
    register(web, name, handler="fail", policy={"retry": {"maxRetries": 0}})
    answer = web.post(f"/tasks/{name}/run")
    told = answer.json()
    assert (answer.status_code, told["success"], told["error"]) == (400, False, "ValueError: as asked")
    assert (told["execution"]["status"], told["execution"]["failedAttempts"][0]["failureKind"]) == ("failed", "ERROR")


def test_a_run_that_is_skipped(web: httpx2.Client, name: str, tmp_path):
    """400 with STATE: REASON where there is no error."""
    register(web, name, handler="note", payload={"file": str(tmp_path / "notes"), "seconds": 5})
    held = web.post(f"/tasks/{name}/run?wait=false").json()["execution"]
    answer = web.post(f"/tasks/{name}/run")
    assert (answer.status_code, answer.json()["error"]) == (400, "SKIPPED: OVERLAP")
    assert answer.json()["execution"]["status"] == "skipped"
    cancelled = web.post(f"/executions/{held['id']}/cancel", json={"note": "enough"})
    assert cancelled.json()["success"] is True


def test_a_run_that_nobody_waits_for(web: httpx2.Client, name: str):
    """202 at once."""
    register(web, name)
    answer = web.post(f"/tasks/{name}/run", params={"wait": "false"})
    assert answer.status_code == 202
    assert answer.json()["execution"]["status"] in ("pending", "running", "success")


def test_a_history(web: httpx2.Client, name: str):
    """Under the key history, newest first; an unknown name has none."""
    register(web, name)
    ids = [web.post(f"/tasks/{name}/run").json()["execution"]["id"] for _ in range(3)]
    told = web.get(f"/tasks/{name}/history").json()
    assert (told["success"], told["count"]) == (True, 3)
    assert [each["id"] for each in told["history"]] == ids[::-1]
    assert web.get(f"/tasks/{name}/history?limit=2").json()["count"] == 2
    assert web.get("/tasks/nobody/history").json() == {"success": True, "count": 0, "history": []}


def test_an_execution(web: httpx2.Client, name: str):
    """The fields that callers know, and their words."""
    register(web, name)
    execution = web.post(f"/tasks/{name}/run").json()["execution"]
    known = {"id", "taskId", "taskName", "startedAt", "completedAt", "status", "durationMs", "trigger", "attempt"}
    assert known <= set(execution)
    assert (execution["taskId"], execution["taskName"]) == (f"task_{name}", name)
    assert re.fullmatch(rf"exec_{name}_\d+_[a-z0-9]+", execution["id"])
    told = web.get(f"/executions/{execution['id']}").json()
    progress = {"progress": told["execution"]["progress"]}  # which callers of the older service do not read
    assert told == {"success": True, "execution": execution | progress}


def test_recent_executions(web: httpx2.Client, name: str):
    """Of all tasks, newest first, a hundred unless it is said."""
    register(web, name)
    newest = web.post(f"/tasks/{name}/run").json()["execution"]["id"]
    told = web.get("/executions?limit=1").json()
    assert (told["success"], told["count"], told["executions"][0]["id"]) == (True, 1, newest)


@pytest.mark.parametrize("limit", ["0", "-1", "NaN", "1.5", "", "ten"])
@pytest.mark.parametrize("path", ["/executions", f"/tasks/{CLEANUP}/history"])
def test_a_limit_that_is_none(web: httpx2.Client, path: str, limit: str):
    """400, naming it."""
    answer = web.get(path, params={"limit": limit})
    assert (answer.status_code, answer.json()["success"]) == (400, False)
    assert answer.json()["error"].startswith("limit: ")


def test_the_largest_limit(web: httpx2.Client):
    """More than 1,000 gives 1,000; what there is is fewer, so no token follows."""
    told = web.get("/executions?limit=100000").json()
    assert told["count"] <= 1000


def test_handlers(web: httpx2.Client):
    """Names, with their number."""
    told = web.get("/handlers").json()
    assert (told["success"], told["count"]) == (True, len(told["handlers"]))
    assert CLEANUP in told["handlers"]
    assert [each["name"] for each in told["details"]] == told["handlers"]


def test_init(web: httpx2.Client):
    """The message, and which were registered: none, for the server did it as it started."""
    assert web.post("/init").json() == {"success": True, "message": "Default tasks initialized", "registered": []}


@pytest.mark.parametrize("method", [pytest.param("GET", marks=pytest.mark.keyless), "POST"])
def test_the_manual_cron_trigger(web: httpx2.Client, name: str, method: str):
    """Every enabled task whose schedule means the same."""
    register(web, name, schedule="17 3 9 9 *")
    told = web.request(method, "/__scheduled?cron=17+3+9+9+*").json()
    assert (told["success"], told["cron"]) == (True, "17 3 9 9 *")
    assert told["count"] == len(told["executions"])
    assert [each["trigger"] for each in told["executions"] if each["taskName"] == name] == ["CRON"]
    web.delete(f"/tasks/{name}")


@pytest.mark.keyless
@pytest.mark.parametrize("question", ["?cron=nonsense", "?cron=", ""])
def test_a_manual_cron_trigger_of_nothing(web: httpx2.Client, question: str):
    """400."""
    answer = web.get(f"/__scheduled{question}")
    assert (answer.status_code, answer.json()["success"]) == (400, False)


@pytest.mark.keyless
def test_defect_33_a_state_change_by_get_without_any_check(web: httpx2.Client, name: str):
    """A page of another site cannot trigger anything, a prefetch and a HEAD neither; curl and the address bar can."""
    register(web, name, schedule="18 3 9 9 *")
    url = "/__scheduled?cron=18+3+9+9+*"
    for headers in (
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"sec-purpose": "prefetch"},
        {"purpose": "prefetch"},
    ):
        assert web.get(url, headers=headers).status_code == 403, headers
    assert web.head(url).status_code == 200
    assert web.get(f"/tasks/{name}/history").json()["count"] == 0
    assert web.get(url, headers={"sec-fetch-site": "none"}).json()["count"] == 1
    web.delete(f"/tasks/{name}")


def test_defects_12_and_32_limits_come_after_sorting_and_errors_say_nothing_raw(web: httpx2.Client, name: str):
    """Two tasks run in turn; the newest two executions are the last two."""
    register(web, name)
    ids = [web.post(f"/tasks/{name}/run").json()["execution"]["id"] for _ in range(2)]
    assert [each["id"] for each in web.get("/executions?limit=2").json()["executions"]] == ids[::-1]
