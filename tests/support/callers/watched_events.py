"""Events of one execution as a server streams them, and as a client gives them."""

from support.rigs.rig import START

from schedule_grpc.domain.execution import State
from schedule_grpc.domain.execution.log_lines import LogLine
from schedule_grpc.events import Logged, Lost, Progress, Transition
from schedule_grpc.formats import protobuf
from schedule_grpc.pb import schedule_pb2 as pb

EXECUTION = protobuf.execution_from(
    pb.Execution(
        id="exec_1", task_name="report", state="RUNNING", trigger="SCHEDULE", create_time=protobuf.instant_to(START)
    )
)
RECORDED = Transition(previous_state=None, execution=EXECUTION, time=START)
STARTED = Transition(previous_state=State.PENDING, execution=EXECUTION, time=START)
PROGRESS = Progress(execution_id="exec_1", task_name="report", fraction=0.25, text="a quarter", time=START)
LINES = tuple(LogLine(number, START, level, f"line {number}\nof two") for number, level in ((7, "info"), (9, "error")))
LOGGED = Logged(execution_id="exec_1", task_name="report", attempt=2, lines=LINES)
EVENTS = [RECORDED, STARTED, PROGRESS, Lost(count=3), LOGGED]
TOLD = [protobuf.event_to(event) for event in EVENTS]
