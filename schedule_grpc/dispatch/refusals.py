"""The errors that only workers' calls are answered with."""

from schedule_grpc.domain.worker import PROTOCOL
from schedule_grpc.errors import FailedPrecondition, NotFound


class SessionUnknown(NotFound):
    """The service knows no session of a worker by that id: it never began, or it has ended. Register again."""

    code = "SESSION_UNKNOWN"

    def __init__(self) -> None:
        super().__init__("Session not known: register the worker again")


class ProtocolUnknown(FailedPrecondition):
    """The worker speaks no version of the protocol that this server speaks."""

    code = "WORKER_PROTOCOL"

    def __init__(self, protocol: int) -> None:
        super().__init__(
            f"This server speaks the workers' protocol 1 to {PROTOCOL}, and the worker {protocol}",
            details={"oldest": "1", "newest": str(PROTOCOL)},
        )
