"""``schedule-grpc handlers``: the handlers that tasks can name."""

from schedule_grpc.cli.connection import Caller, connection
from schedule_grpc.cli.option_groups import takes


@takes(call=connection)
def handlers(*, call: Caller) -> None:
    """List the handlers that tasks can name, and how many workers, of which versions, offer each."""
    from schedule_grpc.cli import worker_tables
    from schedule_grpc.cli.answers import show
    from schedule_grpc.formats import json_answers as as_json

    found = call.ask(lambda client: client.list_handlers())
    show(call, found, json=lambda each: list(map(as_json.handler_json, each)), people=worker_tables.print_handlers)
