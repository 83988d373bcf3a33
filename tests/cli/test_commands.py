"""The commands that ask a server about tasks: what they show, their JSON, their exit codes."""

import json
import re
from pathlib import Path

import pytest
from support.servers.process import Server, run, serving

REPORT = ("--schedule", "0 9 * * 1-5", "--zone", "Europe/Berlin", "--handler", "cleanup-expired-sessions")
MANUAL = ("--schedule", "@manual", "--handler", "by-steps")


def test_serving_says_where_and_what_to_try(server: Server):
    """Address, the tasks with their next runs, a line to paste."""
    assert server.greeting.startswith(f"gRPC on {server.address}\n")
    for text in ("cleanup-expired-sessions", "@hourly", "NEXT", f"grpcurl -plaintext {server.address} list"):
        assert text in server.greeting


def test_a_greeting_shows_the_first_hundred_tasks(tmp_path: Path):
    """And says that there are others, and how to see them."""
    declared = json.dumps([{"name": f"t{n:03}", "schedule": "@manual", "handler": "by-steps"} for n in range(101)])
    with serving(tmp_path, SCHEDULE_TASKS=declared) as started:
        assert re.findall(r"^t\d+", started.greeting, re.MULTILINE) == [f"t{n:03}" for n in range(100)]
        assert "\n... and more: schedule-grpc tasks list\n" in started.greeting


@pytest.mark.keyless
def test_a_handler_that_nobody_offers_is_shown(ask, tmp_path: Path):
    """At start, in the list and with the task: it looks as if it would run, and does not."""
    options = ("--schedule", "@manual", "--handler", "send-raport", "--start-deadline", "2h", "--allow-unknown-handler")
    ask("tasks", "register", "orphaned", *options)
    ask("tasks", "register", "served", *MANUAL)
    orphaned, served = ask("tasks", "list", "--prefix", "orphaned").out, ask("tasks", "list", "--prefix", "served").out
    assert orphaned.splitlines()[1].endswith("  ! send-raport")
    assert orphaned.splitlines()[2] == "! No server and no worker offers this handler: executions wait for it."
    assert len(served.splitlines()) == 2
    assert served.splitlines()[1].endswith("  by-steps")
    shown = ask("tasks", "get", "orphaned").out
    waits = "no server and no worker offers it: executions wait 2.00h, and are MISSED then"
    assert f"handler   send-raport  ({waits})\n" in shown
    assert "no worker" not in ask("tasks", "get", "served").out
    assert (
        ask("tasks", "get", "orphaned", "--json").json["noWorker"],
        "noWorker" in ask("tasks", "get", "served", "--json").json,
    ) == (True, False)
    declared = json.dumps([{"name": "orphan", "schedule": "@manual", "handler": "orphan"}])
    with serving(tmp_path, handlers=None, SCHEDULE_TASKS=declared) as started:
        assert re.search(r"^orphan +@manual +! orphan$", started.greeting, re.MULTILINE)


def test_a_name_that_is_none_is_an_error_with_the_one_that_is_meant(ask):
    """The history's too; of a deleted task the history stays."""
    ask("tasks", "register", "monthly-report", *MANUAL, "--payload", '{"pages": 1}')
    for words in (("get",), ("history",), ("run",), ("delete",), ("enable",), ("disable",), ("update", "--timeout=1m")):
        done = ask("tasks", words[0], "monthly-repotr", *words[1:])
        assert (done.code, done.out) == (1, "")
        assert done.err == "Task not found: monthly-repotr; did you mean monthly-report?\n"
    assert ask("tasks", "history", "unheard-of", "--json").err == "Task not found: unheard-of\n"
    assert ask("tasks", "history", "monthly-report").out == "No executions.\n"
    assert ask("tasks", "run", "monthly-report").code == 0
    ask("tasks", "delete", "monthly-report")
    assert "SUCCEEDED" in ask("tasks", "history", "monthly-report").out
    done = ask("tasks", "history", "monthly-report", "--state", "failed")
    assert (done.code, done.out) == (0, "No executions.\n")
    done = ask("tasks", "register", "x", "--schedule", "@manual", "--handler", "by-step")
    assert (done.code, "by-step (did you mean by-steps? handlers: " in done.err) == (1, True)


def test_a_command_is_a_process_of_its_own(server: Server):
    """The exit code, standard output and standard error that a script sees."""
    done = run("tasks", "get", "cleanup-expired-sessions", "--json", "--server", server.address)
    assert (done.returncode, done.stderr, json.loads(done.stdout)["name"]) == (0, "", "cleanup-expired-sessions")
    done = run("tasks", "get", "nobody", "--server", server.address)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "Task not found: nobody\n")


def test_the_environment_names_the_server(server: Server, tell, monkeypatch: pytest.MonkeyPatch):
    """SCHEDULE_SERVER, where no option does."""
    monkeypatch.setenv("SCHEDULE_SERVER", server.address)
    assert tell("tasks", "get", "cleanup-expired-sessions").code == 0
    assert tell("tasks", "list", "--server", "127.0.0.1:1").code == 3


@pytest.mark.keyless
def test_register_shows_the_task(ask):
    """With its schedule in English, its next runs, and every policy that is not as usual."""
    policies = {
        "--timeout": "5m",
        "--max-retries": "5",
        "--initial-backoff": "500ms",
        "--multiplier": "1.5",
        "--max-backoff": "90",
        "--overlap": "buffer-one",
        "--catch-up": "all",
        "--catch-up-window": "7d",
        "--jitter": "30s",
        "--window-start": "2026-01-01T00:00:00+01:00",
        "--window-end": "2999-01-01T00:00:00Z",
        "--start-deadline": "2h",
        "--retention-age": "2d",
        "--retention-count": "12",
        "--payload-override": "true",
    }
    options = [text for option in policies.items() for text in option]
    done = ask("tasks", "register", "report", *REPORT, *options, "--payload", '{"batch_size": 5}')
    assert (done.code, done.err) == (0, "")
    for text in (
        "0 9 * * 1-5 Europe/Berlin  (At 09:00, Monday through Friday)",
        'payload    {"batch_size": 5}',
        "timeout 5m, retry.max_retries 5, retry.initial_backoff 500ms, retry.multiplier 1.5, retry.max_backoff 90s",
        "overlap buffer-one, catch_up all, catch_up_window 7d, jitter 30s, window.start_time 2025-12-31T23:00:00Z",
        "window.end_time 2999-01-01T00:00:00Z, start_deadline 2h, retention.max_age 2d, retention.max_count 12",
        "payload_override true",
    ):
        assert text in done.out
    task = ask("tasks", "get", "report", "--json").json
    assert (task["enabled"], task["timeZone"], task["etag"]) == (True, "Europe/Berlin", "1")
    assert task["nextRun"].endswith(":00:00.000Z")
    assert task["policy"] == {
        "timeoutMs": 300_000,
        "retry": {"maxRetries": 5, "initialBackoffMs": 500, "multiplier": 1.5, "maxBackoffMs": 90_000},
        "overlap": "BUFFER_ONE",
        "catchUp": "ALL",
        "catchUpWindowMs": 604_800_000,
        "jitterMs": 30_000,
        "window": {"startTime": "2025-12-31T23:00:00.000Z", "endTime": "2999-01-01T00:00:00.000Z"},
        "startDeadlineMs": 7_200_000,
        "retention": {"maxAgeMs": 172_800_000, "maxCount": 12},
        "alertAfter": 0,
        "overdueGraceMs": 0,
        "payloadOverride": True,
    }


def test_register_replaces_the_whole_definition(ask):
    """What is not given is the default again; an etag that is not the task's any more is refused."""
    ask("tasks", "register", "replaced", *MANUAL, "--jitter", "5s", "--description", "first")
    done = ask("tasks", "register", "replaced", *MANUAL, "--etag", "1", "--json")
    assert (done.code, done.json["policy"]["jitterMs"], "description" in done.json) == (0, 0, False)
    done = ask("tasks", "register", "replaced", *MANUAL, "--etag", "1")
    assert (done.code, done.err) == (1, "Task replaced has changed: its etag is 2, not 1\n")


def test_update_changes_what_is_given(ask):
    """And nothing else; `default` gives a policy its default again."""
    ask("tasks", "register", "updated", *MANUAL, "--jitter", "5s", "--timeout", "1m", "--payload", '{"a": 1}')
    changes = ("--schedule", "@daily", "--zone", "Europe/Berlin", "--description", "now with words", "--disabled")
    task = ask("tasks", "update", "updated", *changes, "--jitter", "default", "--json").json
    assert (task["schedule"], task["timeZone"], task["description"]) == ("@daily", "Europe/Berlin", "now with words")
    assert (task["policy"]["jitterMs"], task["policy"]["timeoutMs"], task["payload"]) == (0, 60_000, {"a": 1})
    assert task["enabled"] is False
    done = ask("tasks", "update", "updated", "--enabled", "--metadata", '{"category": "x"}', "--payload", "{}")
    assert ("enabled      yes" in done.out, 'metadata     {"category": "x"}' in done.out) == (True, True)
    done = ask("tasks", "update", "updated", "--handler", "nobody")
    assert (done.code, done.err.startswith("Task handler not found: nobody (handlers: ")) == (1, True)
    done = ask("tasks", "update", "updated", "--handler", "nobody", "--allow-unknown-handler", "--etag", task["etag"])
    assert (done.code, "has changed" in done.err) == (1, True)


def test_validate_only_stores_nothing(ask):
    """And says so; a mistake is told all the same."""
    done = ask("tasks", "register", "imagined", *MANUAL, "--validate-only")
    assert (done.code, done.err) == (0, "Valid; nothing was stored.\n")
    assert ask("tasks", "get", "imagined").code == 1
    done = ask("tasks", "register", "imagined", "--schedule", "99 * * * *", "--handler", "h", "--validate-only")
    assert (done.code, done.err) == (1, "schedule: minute: 99 is above 59\n")
    done = ask("tasks", "update", "cleanup-expired-sessions", "--timeout", "5m", "--validate-only", "--json")
    assert (done.json["policy"]["timeoutMs"], done.err) == (300_000, "Valid; nothing was stored.\n")


def test_every_wrong_field_is_told(ask):
    """One a line, by its name in the contract."""
    done = ask("tasks", "register", "b@d", "--schedule", "nonsense", "--handler", "no blanks")
    assert done.code == 1
    assert [line.partition(":")[0] for line in done.err.splitlines()] == ["name", "handler", "schedule"]


def test_list_is_filtered(ask):
    """By beginning, handler, category, and whether it fires; JSON is a list of tasks."""
    ask("tasks", "register", "listed-a", *MANUAL, "--metadata", '{"category": "print"}')
    ask("tasks", "register", "listed-b", *REPORT, "--disabled")

    def names(*options: str) -> list[str]:
        return [task["name"] for task in ask("tasks", "list", "--prefix", "listed-", *options, "--json").json]

    assert names() == ["listed-a", "listed-b"]
    assert names("--handler", "by-steps") == ["listed-a"]
    assert names("--category", "print") == ["listed-a"]
    assert names("--enabled") == ["listed-a"]
    assert names("--disabled") == ["listed-b"]
    shown = ask("tasks", "list", "--prefix", "listed-").out.splitlines()
    assert [line.split()[0] for line in shown] == ["TASK", "listed-a", "listed-b"]
    assert "disabled" in shown[2]
    assert ask("tasks", "list", "--prefix", "unheard-of").out == "No tasks.\n"
    assert ask("tasks", "list", "--prefix", "unheard-of", "--json").json == []


def test_disable_and_enable(ask):
    """With a note, which stands until the task is enabled."""
    ask("tasks", "register", "switched", *REPORT)
    done = ask("tasks", "disable", "switched", "--note", "holiday")
    assert (done.code, "no: holiday" in done.out) == (0, True)
    task = ask("tasks", "enable", "switched", "--json").json
    assert (task["enabled"], "note" in task) == (True, False)
    done = ask("tasks", "disable", "switched", "--etag", "1")
    assert (done.code, "has changed" in done.err) == (1, True)


def test_delete(ask):
    """A task that is not there cannot be deleted."""
    ask("tasks", "register", "deleted", *MANUAL)
    done = ask("tasks", "delete", "deleted", "--etag", "7")
    assert (done.code, "has changed" in done.err) == (1, True)
    assert ask("tasks", "delete", "deleted").out == "Task deleted deleted\n"
    assert ask("tasks", "delete", "deleted").err == "Task not found: deleted\n"
    ask("tasks", "register", "deleted", *MANUAL)
    assert ask("tasks", "delete", "deleted", "--json").json == {"name": "deleted", "deleted": True}


def test_handlers_and_init(ask):
    """What tasks can name; the built-in tasks that are not there."""
    done = ask("handlers")
    names = [line.split()[0] for line in done.out.splitlines()]
    assert (names[0], names[1:] == sorted(names[1:])) == ("HANDLER", True)
    assert {"block", "backup-database", "http-request"} <= set(names)
    steps = next(each for each in ask("handlers", "--json").json if each["name"] == "steps")
    assert steps == {
        "name": "steps",
        "description": "Tells how far it is",
        "offered": True,
        "concurrency": 2,
        "workerCount": 0,
        "workerVersions": [],
    }
    assert ask("init").out == "All built-in tasks are registered already.\n"
    ask("tasks", "delete", "cleanup-old-generations")
    assert [task["name"] for task in ask("init", "--json").json] == ["cleanup-old-generations"]


def test_a_payload_can_come_from_a_file(ask, tmp_path):
    """With @ before its name."""
    file = tmp_path / "payload.json"
    file.write_text('{"from": "file"}')
    task = ask("tasks", "register", "from-file", *MANUAL, "--payload", f"@{file}", "--json").json
    assert task["payload"] == {"from": "file"}


def test_text_that_moves_the_cursor_is_made_visible(ask):
    """Whatever somebody wrote into a task cannot rewrite the terminal of who looks at it."""
    ask("tasks", "register", "tricky", *MANUAL, "--description", "a\x1b[2Jb\u202ec")
    assert "a\\x1b[2Jb\\u202ec" in ask("tasks", "get", "tricky").out


def test_a_server_that_cannot_be_reached_is_exit_code_3(tell):
    """And the address is named, on one line that says what may be the matter."""
    done = tell("tasks", "list", "--server", "http://127.0.0.1:1")
    assert (done.code, done.out) == (3, "")
    assert done.err == "127.0.0.1:1: nothing listens there: is the server running, and is this its gRPC address?\n"


def test_a_text_that_is_no_unicode_is_refused_by_its_field(tell):
    """Before a server is asked, as the server would refuse it."""
    done = tell("tasks", "register", "x", *MANUAL, "--description", "\udcff")
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("description: ")


def test_an_address_that_is_none_is_wrong_usage(tell):
    """Told before anything is sent."""
    done = tell("tasks", "list", "--server", "127.0.0.1:http")
    assert (done.code, "'…' has no port from 1 to 65535 after its colon" in done.err) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("nonsense",), "No such command 'nonsense'"),
        (("tasks", "register", "x"), "Missing option '--schedule'"),
        (("tasks", "register", "x", *MANUAL, "--payload", "[1]"), "Invalid value for --payload: is not a JSON object"),
        (("tasks", "register", "x", *MANUAL, "--payload", "{"), "Invalid value for --payload: Expecting property name"),
        (("tasks", "register", "x", *MANUAL, "--payload", '{"a": NaN}'), "Invalid value for --payload: .a: nan is not"),
        (
            ("tasks", "register", "x", *MANUAL, "--metadata", "@/nowhere.json"),
            "Invalid value for --metadata: [Errno 2]",
        ),
        (("tasks", "register", "x", *MANUAL, "--overlap", "sometimes"), "for --overlap: 'sometimes' is none of skip,"),
        (("tasks", "register", "x", *MANUAL, "--catch-up", "some"), "for --catch-up: 'some' is none of latest, all"),
        (("tasks", "register", "x", *MANUAL, "--timeout", "soon"), "for --timeout: 'soon' is not a duration such as"),
        (("tasks", "register", "x", *MANUAL, "--timeout", "0s"), "for --timeout: must be between 1 s and 24 h"),
        (("tasks", "register", "x", *MANUAL, "--max-retries", "1e30"), "for --max-retries: 1e+30 is not a whole"),
        (("tasks", "register", "x", *MANUAL, "--max-retries", "9" * 30), "for --max-retries: must be between 0 and"),
        (("tasks", "register", "x", *MANUAL, "--multiplier", "two"), "for --multiplier: 'two' is not a number"),
        (("tasks", "register", "x", *MANUAL, "--window-end", "2026"), "for --window-end: 2026 is not an instant with"),
        (("tasks", "update", "x"), "nothing to change was given"),
        (("tasks", "list", "--token", "a b"), "a token consists of printable ASCII characters without blanks"),
        (
            ("tasks", "list", "--token", "t", "--server", "example.org:1"),
            "a token is not sent to example.org:1 without",
        ),
        (("tasks", "list", "--tls-ca", "/nowhere.pem"), "No such file or directory"),
        (("tasks", "list", "--tls-ca", __file__), "ca is not PEM"),
        (("tasks", "list", "--tls-cert", __file__), "certificate and key belong together"),
        (("tasks", "list", "--tls-key", __file__), "certificate and key belong together"),
        (("tasks", "history", "x", "--limit", "0"), "Invalid value for '--limit': "),
        (("tasks", "history", "x", "--state", "sad"), "for --state: sad: the states are pending, running, succeeded"),
        (("tasks", "history", "x", "--since", "yesterday"), "for --since: 'yesterday' is neither a time such as"),
        (("tasks", "backfill", "x", "--from", "31.1.2026"), "for --from: '31.1.2026' is neither a time such as"),
        (("executions", "watch", "--state", "sad"), "for --state: sad: the states are"),
        (("executions", "list", "--until", "9999999999d"), "for --until: '9999999999d' is neither a time"),
    ],
)
def test_wrong_usage_is_exit_code_2(tell, arguments: tuple[str, ...], complaint: str):
    """With words on standard error, and nothing asked of any server."""
    done = tell(*arguments)
    assert (done.code, done.out) == (2, "")
    assert complaint in done.err
