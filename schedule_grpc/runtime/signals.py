"""The signals that ask a server to stop, handled in its event loop."""

import asyncio
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from schedule_grpc.runtime import forks

STOP = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""SIGHUP too: the terminal is gone, or an operator expects a reload that there is not. By default it kills at once."""


@contextmanager
def hearing(on_signal: Callable[[], None]) -> Iterator[None]:
    """Within this context the running loop calls ``on_signal`` for each signal of `STOP`. Afterwards they are ignored.

    For good: repeated signals while the process ends must not kill it halfway. The event loop's own
    ``add_signal_handler`` cannot do that, for it goes back to the default in between. A SIGHUP that is ignored already
    (``nohup``) stays so.
    """
    loop = asyncio.get_running_loop()
    chosen = [each for each in STOP if each is not signal.SIGHUP or signal.getsignal(each) is not signal.SIG_IGN]
    reader, writer = socket.socketpair()
    reader.setblocking(False)
    writer.setblocking(False)

    def came() -> None:
        with suppress(BlockingIOError):
            for number in reader.recv(4096):
                if number in chosen:
                    on_signal()

    loop.add_reader(reader, came)
    former = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    with forks.keeping_signals({each: signal.signal(each, _noted) for each in chosen}):
        for each in chosen:
            signal.siginterrupt(each, False)
        try:
            yield
        finally:
            for each in chosen:
                signal.signal(each, signal.SIG_IGN)
            signal.set_wakeup_fd(former)
            loop.remove_reader(reader)
            reader.close()
            writer.close()


def _noted(_number: int, _frame: object) -> None:
    """Do nothing: the number has been written to the loop's socket."""
