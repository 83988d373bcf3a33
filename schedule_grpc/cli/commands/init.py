"""``schedule-grpc init``: the built-in tasks, registered."""

from schedule_grpc.cli.connection import Caller, connection
from schedule_grpc.cli.option_groups import takes


@takes(call=connection)
def init(*, call: Caller) -> None:
    """Register the built-in tasks that are not there."""
    from schedule_grpc.cli.answers import show_tasks

    registered = call.ask(lambda client: client.initialize_default_tasks())
    show_tasks(call, registered, none="All built-in tasks are registered already.")
