"""Reflection, v1 and v1alpha: what clients learn by it, asked by real ones and in its own messages."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_reflection.v1alpha import reflection_pb2
from support.callers.foreign import buf_curl, grpcurl
from support.patience import AT_MOST
from support.servers.live import HANDLER, Live
from support.servers.teams import channel_to

from schedule_grpc.api.descriptors import served
from schedule_grpc.api.reflection import SERVICES
from schedule_grpc.pb import access_pb2, schedule_pb2, worker_pb2

SERVICE = "schedule.v1.ScheduleService"
VERSIONS = ["grpc-v1", "grpc-v1alpha"]
OURS = [module.DESCRIPTOR for module in (schedule_pb2, access_pb2, worker_pb2)]


async def asked(live: Live, service: str, **question: Any) -> Any:
    """Return the answer to one question."""
    async with channel_to(live.parts.address) as channel:
        call = channel.stream_stream(
            f"/{service}/ServerReflectionInfo",
            request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
            response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
        )(timeout=AT_MOST)
        await call.write(reflection_pb2.ServerReflectionRequest(host="somewhere", **question))
        await call.done_writing()
        answers = [answer async for answer in call]
    (answer,) = answers
    assert answer.valid_host == "somewhere"
    assert answer.original_request == reflection_pb2.ServerReflectionRequest(host="somewhere", **question)
    return answer


async def test_a_foreign_client_finds_its_way_by_reflection(live: Live):
    """grpcurl lists, describes, registers, and shows the field violation of a bad schedule."""
    address = live.parts.address
    _, listed, _ = await grpcurl(address, "list")
    assert {SERVICE, "grpc.health.v1.Health", *SERVICES} <= set(listed.split())
    _, described, _ = await grpcurl(address, "describe", SERVICE)
    assert "rpc RunTaskNow ( .schedule.v1.RunTaskNowRequest )" in described
    data = json.dumps({"name": "by-grpcurl", "schedule": "every 5 seconds", "handler": HANDLER})
    code, answer, _ = await grpcurl(address, f"{SERVICE}/RegisterTask", data=data)
    assert code == 0
    assert json.loads(answer)["schedule"] == "every 5 seconds"
    bad = json.dumps({"name": "x", "schedule": "61 * * * *", "handler": HANDLER})
    code, _, told = await grpcurl(address, f"{SERVICE}/RegisterTask", data=bad)
    assert code != 0
    assert "minute: 61 is above 59" in told
    _, health, _ = await grpcurl(address, "grpc.health.v1.Health/Check")
    assert json.loads(health) == {"status": "SERVING"}


@pytest.mark.parametrize(
    ("symbol", "kind", "comment"),
    [
        (f"{SERVICE}.RunTaskNow", "method", "A client that disconnects does not stop the execution."),
        (SERVICE, "service", "Runs a task now, beside its schedule"),
        ("schedule.v1.Task.policy", "field", "How executions are treated."),
        ("schedule.v1.Execution", "message", "Ended without having run"),
    ],
)
async def test_a_client_shows_the_comments_of_the_contract(live: Live, symbol: str, kind: str, comment: str):
    """Of methods too: their file is found by their name."""
    code, described, _ = await grpcurl(live.parts.address, "describe", symbol)
    assert code == 0
    assert described.startswith(f"{symbol} is a {kind}:\n")
    assert comment in described


@pytest.mark.parametrize("version", VERSIONS)
async def test_buf_curl_lists_the_methods_by_each_version(live: Live, version: str):
    """It asks v1 unless told otherwise."""
    code, listed, told = await buf_curl(
        live.parts.address, "", f"--reflect-protocol={version}", "--list-methods", "--http2-prior-knowledge"
    )
    assert code == 0, told
    assert {f"{SERVICE}/RunTaskNow", "schedule.v1.WorkerService/Pull"} <= set(listed.split())


def updates() -> Iterator[tuple[str, Callable[..., Any], dict[str, Any]]]:
    """Yield the forms of an update that README gives to each client."""
    policy = {"timeout": "60s", "startDeadline": "90s"}
    paths = {"paths": ["policy.timeout", "policy.start_deadline"]}
    yield "grpcurl", grpcurl, {"task": {"name": "changed", "policy": policy}, "update_mask": paths}
    text = "policy.timeout,policy.startDeadline"
    yield "buf curl", buf_curl, {"task": {"name": "changed", "policy": policy}, "updateMask": text}


@pytest.mark.parametrize(("call", "update"), [pytest.param(*rest, id=name) for name, *rest in updates()])
async def test_each_client_takes_a_mask_in_its_form(live: Live, call: Callable[..., Any], update: dict[str, Any]):
    """grpcurl as a message, `buf curl` as protobuf's JSON has it; both answer by JSON's names."""
    await live.client.register_task(name="changed", schedule="@daily", handler=HANDLER)
    code, answer, told = await call(live.parts.address, f"{SERVICE}/UpdateTask", data=json.dumps(update))
    assert code == 0, told
    task = json.loads(answer)
    assert (task["policy"]["timeout"], task["policy"]["startDeadline"]) == ("60s", "90s")
    assert task["timeZone"] == "UTC"


@pytest.mark.parametrize("service", SERVICES)
async def test_each_version_answers_every_question(live: Live, service: str):
    """Both by the same messages; a name that is not there is NOT_FOUND, and the stream goes on."""
    listed = await asked(live, service, list_services="")
    assert service in [each.name for each in listed.list_services_response.service]
    for question in ({"file_by_filename": "schedule/v1/schedule.proto"}, {"file_containing_symbol": SERVICE}):
        answer = await asked(live, service, **question)
        found = [FileDescriptorProto.FromString(each) for each in answer.file_descriptor_response.file_descriptor_proto]
        assert found[0].name == "schedule/v1/schedule.proto"
        assert {name for file in found for name in file.dependency} <= {file.name for file in found}
    numbers = await asked(live, service, all_extension_numbers_of_type="schedule.v1.Task")
    assert numbers.all_extension_numbers_response.base_type_name == "schedule.v1.Task"
    extension = {"containing_type": "schedule.v1.Task", "extension_number": 1000}
    for missing in (
        {"file_by_filename": "schedule/v1/none.proto"},
        {"file_containing_symbol": f"{SERVICE}.None"},
        {"all_extension_numbers_of_type": SERVICE},
        {"file_containing_extension": extension},
    ):
        assert (await asked(live, service, **missing)).error_response.error_code == 5, missing  # NOT_FOUND
    assert (await asked(live, service)).error_response.error_code == 3  # INVALID_ARGUMENT


def test_what_is_served_is_what_the_stubs_have():
    """Apart from comments and JSON names, which the stubs lack; `make proto-check` compares with protos/."""
    for stub in OURS:
        described = FileDescriptorProto()
        stub.CopyToProto(described)
        file = FileDescriptorProto.FromString(served().files[stub.name].SerializeToString())
        assert file.source_code_info.location
        file.ClearField("source_code_info")
        fields = [field for message in file.message_type for field in every_field(message)]
        assert all(field.json_name for field in fields)
        for field in fields:
            field.ClearField("json_name")
        assert file == described


def every_field(message: Any) -> Iterator[Any]:
    """Yield the fields of a message and of those within it."""
    yield from message.field
    for nested in message.nested_type:
        yield from every_field(nested)


def test_every_symbol_is_found():
    """All that Python's descriptors name, and the details of errors, which clients read by their types."""
    found = served().file_of_symbol
    for file in OURS:
        for service in file.services_by_name.values():
            assert found[service.full_name] == file.name
            assert all(found[method.full_name] == file.name for method in service.methods)
        for message in file.message_types_by_name.values():
            assert all(found[field.full_name] == file.name for field in message.fields)
            assert all(found[oneof.full_name] == file.name for oneof in message.oneofs)
            for enum in message.enum_types:
                assert found[f"{message.full_name}.{enum.values[0].name}"] == file.name
    for name in ("google.rpc.BadRequest.FieldViolation", "google.rpc.ErrorInfo", "google.protobuf.Any"):
        assert name in found
