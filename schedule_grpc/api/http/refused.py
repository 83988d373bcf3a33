"""A request that is refused before its route answers it."""

from schedule_grpc.api.http.envelope import Answer, refusal


class Refused(Exception):
    """A call that the guard refuses."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.answer = answer

    @classmethod
    def of(cls, status: int, error: str, **headers: str) -> "Refused":
        """Return the refusal with a status and a reason."""
        return cls(refusal(status, error, headers={name.replace("_", "-"): value for name, value in headers.items()}))
