"""The command line that asks by gRPC for what a page shows."""

import shlex

import pytest
from google.protobuf import json_format
from google.protobuf.message_factory import GetMessageClass
from support.callers.page_reader import Reader
from support.rigs.rig import Rig

from schedule_grpc.api.ui.grpcurl import UNKNOWN, address_of, command
from schedule_grpc.pb import schedule_pb2
from schedule_grpc.runtime.listeners import Bound

SERVICE = "schedule.v1.ScheduleService"


@pytest.mark.parametrize(
    ("addresses", "expected"),
    [
        (["127.0.0.1:50051"], "127.0.0.1:50051"),
        (["0.0.0.0:7000"], "host:7000"),
        (["[::]:7000"], "host:7000"),
        (["unix:/run/schedule.sock", "10.0.0.7:50051"], "10.0.0.7:50051"),
        (["unix:/run/schedule.sock"], UNKNOWN),
        ([], UNKNOWN),
    ],
)
def test_the_address_is_one_that_the_browsers_machine_can_call(addresses: list[str], expected: str):
    """The server's own, under the name by which the browser calls it where it listens on all."""
    assert address_of([Bound(address=each, encrypted=False) for each in addresses], "host") == (expected, False)


def test_a_shell_reads_the_command_as_it_is_meant():
    """Whatever a name has in it."""
    bound = [Bound(address="10.0.0.7:50051", encrypted=True)]
    said = command("S/M", {"name": "it's $(a)", "q": ""}, bound=bound, host="h", namespace="reports", has_key=True)
    assert shlex.split(said) == [
        "grpcurl",
        "-H",
        "authorization: Bearer $SCHEDULE_KEY",
        "-d",
        '{"name": "it\'s $(a)", "namespace": "reports"}',
        "10.0.0.7:50051",
        "S/M",
    ]


async def test_each_page_has_the_command_and_the_json(rig: Rig, pages: Reader):
    """The method is one of the service, and knows each field."""
    await rig.register("task")
    execution = await rig.run_now("task")
    service = schedule_pb2.DESCRIPTOR.services_by_name["ScheduleService"]
    below = ["", "/tasks?q=a", "/tasks/task", "/tasks/task/why", "/executions?states=FAILED", "/executions?task=task"]
    for path in [*below, f"/executions/{execution.id}", "/failures", "/upcoming", "/handlers", "/system"]:
        read = await pages.get(f"/ui{path}")
        assert "this page as JSON" in read.page.said, path
        text = read.page.said.partition("as grpcurl ")[2].partition(" API metrics")[0]
        words = shlex.split(text)
        assert words[:2] == ["grpcurl", "-plaintext"], path
        assert words[-2] == UNKNOWN
        if words[-1] == "grpc.health.v1.Health/Check":
            continue
        name, _, method = words[-1].partition("/")
        request = GetMessageClass(service.methods_by_name[method].input_type)()
        assert name == SERVICE
        if "-d" in words:
            json_format.Parse(words[words.index("-d") + 1], request)
