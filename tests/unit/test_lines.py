"""Lines for a reader who is slow, stuck or gone: nothing waits for him, and what he misses he is told."""

import os
import threading
from collections.abc import Iterator

import pytest

from schedule_grpc.log.lines import Lines, text_of


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """A pipe with a reader who does not read by himself."""
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


def made(descriptor: int, dropped: list[int], **bounds: int) -> Lines:
    """Return lines that tell of what they drop as ``(N)``."""
    return Lines(descriptor, notice="({})\n".format, dropped=dropped.append, **bounds)


def test_they_come_in_their_order(pipe: tuple[int, int]):
    """Put by one thread after the other, and printed too."""
    lines = made(pipe[1], [])
    for number in range(100):
        lines.put(f"{number}\n")
    print("last", file=text_of(lines, pipe[1]))
    lines.flush()
    assert os.read(pipe[0], 65536).decode().split() == [*map(str, range(100)), "last"]


def test_lines_that_are_put_together_are_counted_one_by_one(pipe: tuple[int, int]):
    """Those that there is room for are written, the others told as dropped."""
    dropped: list[int] = []
    lines = made(pipe[1], dropped, most_lines=3)
    with lines._changed:  # nothing is taken from the queue meanwhile
        lines.put(*(f"{number}\n" for number in range(5)))
    lines.flush()
    assert dropped == [2]
    assert os.read(pipe[0], 100).decode().split() == ["0", "1", "2", "(2)"]


def test_a_reader_who_does_not_read_keeps_nobody(pipe: tuple[int, int]):
    """What there is no room for is dropped, counted, and told where it would have stood."""
    dropped: list[int] = []
    lines = made(pipe[1], dropped, most_lines=10)
    filling = "x" * 65536
    lines.put(filling)
    lines.flush()  # the pipe is full from now on
    lines.put("being written\n")
    while lines._waiting:
        threading.Event().wait(0.001)
    for number in range(15):
        lines.put(f"{number}\n")
    assert sum(dropped) == 5
    read = b""
    while b"(5)" not in read:
        read += os.read(pipe[0], 65536)
    lines.put("after\n")
    lines.flush()
    read += os.read(pipe[0], 65536)
    expected = ["being written", *map(str, range(10)), "(5)", "after"]
    assert read.decode().removeprefix(filling).splitlines() == expected


def test_bytes_are_bounded_too(pipe: tuple[int, int]):
    """One long line after the other would take the memory."""
    dropped: list[int] = []
    lines = made(pipe[1], dropped, most_bytes=200_000)
    for _ in range(20):
        lines.put("x" * 50_000 + "\n")
    assert sum(dropped) >= 13
    while os.read(pipe[0], 65536) and lines._waiting:
        pass
    os.read(pipe[0], 65536)


def test_flushing_is_bounded(pipe: tuple[int, int]):
    """A process ends though its log cannot be written."""
    lines = made(pipe[1], [])
    lines.put("x" * 65536)
    lines.put("more\n")
    lines.flush(0.01)
    read = os.read(pipe[0], 65536)
    lines.flush()
    assert read + os.read(pipe[0], 65536) == b"x" * 65536 + b"more\n"


def test_a_descriptor_that_does_not_block_is_waited_for(pipe: tuple[int, int]):
    """Whoever shares it may have set it so: no line is cut."""
    os.set_blocking(pipe[1], False)
    lines = made(pipe[1], [])
    lines.put("x" * 65000 + "\n")
    lines.put("y" * 65000 + "\n")
    read = b""
    while len(read) < 130_002:
        read += os.read(pipe[0], 65536)
    assert read == b"x" * 65000 + b"\n" + b"y" * 65000 + b"\n"


def test_a_reader_who_has_gone_harms_nobody():
    """The lines are lost."""
    reader, writer = os.pipe()
    os.close(reader)
    lines = made(writer, [])
    lines.put("line\n")
    lines.flush()
    os.close(writer)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # Python 3.12 warns of what is tested here
def test_a_forked_child_writes_by_itself(pipe: tuple[int, int]):
    """It has no thread that would, and the lock may be held by one that is not there."""
    lines = made(pipe[1], [])
    with lines._changed:
        child = os.fork()
        if not child:
            lines.put("child\n")
            lines.flush()
            os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert os.read(pipe[0], 100) == b"child\n"
