"""Options that several commands share."""

from typing import Annotated

import typer

Server = Annotated[str, typer.Option(envvar="SCHEDULE_SERVER", help="Address of a running server")]
AsJson = Annotated[bool, typer.Option("--json", help="JSON for programs instead of a table for people")]
Limit = Annotated[int, typer.Option(min=1, max=1000, help="How many to show")]
