"""The context of a call by Connect or gRPC-Web: what a servicer's method gets in place of gRPC's own."""


class FetchContext:
    """Stands in for gRPC's context, as far as the servicers use it."""

    async def send_initial_metadata(self, _: object) -> None:
        """Do nothing: over HTTP the headers are sent with the first message."""


def opens_with_message(context: object) -> bool:
    """Tell whether a stream must send a message at once, because its caller sees no headers before one."""
    return isinstance(context, FetchContext)
