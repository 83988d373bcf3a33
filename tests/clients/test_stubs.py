"""Other services' stubs: the ones we ship, and the ones plain protoc makes from protos/, against a real server."""

import json
import subprocess
import sys
from pathlib import Path

import grpc
import pytest
from support.patience import AT_MOST
from support.servers.process import serving

from schedule_grpc.pb import schedule_pb2, schedule_pb2_grpc

ROOT = Path(__file__).parents[2]
GENERATOR = ROOT / ".venv-proto" / "bin" / "python"

CALLER = """
import json, sys, grpc
from schedule.v1 import schedule_pb2, schedule_pb2_grpc
with grpc.insecure_channel(sys.argv[1]) as channel:
    stub = schedule_pb2_grpc.ScheduleServiceStub(channel)
    request = schedule_pb2.RegisterTaskRequest(name="by-protoc", schedule="@daily", handler="fail")
    task = stub.RegisterTask(request, timeout=60)
    listed = stub.ListTasks(schedule_pb2.ListTasksRequest(), timeout=60).tasks
    print(json.dumps([task.name, task.uid, [each.name for each in listed]]))
"""


def test_the_bare_stubs_are_a_binding_of_their_own(tmp_path: Path):
    """`from schedule_grpc.pb import schedule_pb2, schedule_pb2_grpc` and a synchronous channel are enough."""
    with serving(tmp_path) as server, grpc.insecure_channel(server.address) as channel:
        stub = schedule_pb2_grpc.ScheduleServiceStub(channel)
        request = schedule_pb2.RegisterTaskRequest(name="by-stub", schedule="every 2 hours", handler="fail")
        registered = stub.RegisterTask(request, timeout=AT_MOST)
        assert registered == stub.GetTask(schedule_pb2.GetTaskRequest(name="by-stub"), timeout=AT_MOST)
        assert schedule_pb2.Task.FromString(registered.SerializeToString()) == registered


def test_the_stub_has_every_rpc_of_the_contract():
    """And the descriptor keeps the contract's own file name, which reflection shows."""
    service = schedule_pb2.DESCRIPTOR.services_by_name["ScheduleService"]
    with grpc.insecure_channel("127.0.0.1:1") as channel:
        stub = schedule_pb2_grpc.ScheduleServiceStub(channel)
        assert all(callable(getattr(stub, method.name)) for method in service.methods)
    assert schedule_pb2.DESCRIPTOR.name == "schedule/v1/schedule.proto"


@pytest.mark.keyless
def test_stubs_of_plain_protoc_work_as_well(tmp_path: Path):
    """A folder of plain protoc's output on the path of another process: it registers and lists."""
    if not GENERATOR.exists():
        pytest.fail("the generator's environment is missing: make .venv-proto/ready")
    made = tmp_path / "made"
    made.mkdir()
    subprocess.run(
        [
            GENERATOR,
            "-m",
            "grpc_tools.protoc",
            f"--proto_path={ROOT / 'protos'}",
            f"--python_out={made}",
            f"--grpc_python_out={made}",
            "schedule/v1/schedule.proto",
        ],
        check=True,
        timeout=AT_MOST,
    )
    with serving(tmp_path) as server:
        called = subprocess.run(
            [sys.executable, "-c", CALLER, server.address],
            cwd=made,
            capture_output=True,
            text=True,
            timeout=AT_MOST,
            check=True,
        )
    name, uid, listed = json.loads(called.stdout)
    assert (name, listed) == ("by-protoc", ["by-protoc"])
    assert len(uid) == 32
