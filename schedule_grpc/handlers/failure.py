"""The meaning of a handler's exception, and the text that the history keeps of it.

A group (`asyncio.TaskGroup`, `ExceptionGroup`, groups within groups) is what was raised in it, its leaves. If one of
them is a PermanentFailure, the attempt is not retried: that part of the work cannot succeed, so the whole cannot
either, whatever else failed beside it. A cause (``raise X from Y``) is in the text, but decides nothing: the
handler that turned a PermanentFailure into another error meant the other one.
"""

from collections.abc import Iterator

from schedule_grpc.domain.retry import FailureKind
from schedule_grpc.handlers.context import PermanentFailure
from schedule_grpc.text.unicode import cut, readable

MAX_ERRORS = 10
"""Leaves of one group that the text names; the others are counted."""
MAX_CAUSES = 10
"""Links of one chain that the text names."""
MAX_LOOKED_AT = 100_000
"""Leaves and groups of one group that are looked at."""
MAX_PART = 2048
"""Characters of each leaf and each cause, where there are several."""

_NO_TITLES = ("", "unhandled errors in a TaskGroup")
"""Messages of groups without information: those that ``except*`` makes, and those of every `asyncio.TaskGroup`."""


def kind_of(error: BaseException) -> FailureKind:
    """Return the kind of failure of an attempt that raised this error."""
    try:
        is_permanent = any(isinstance(leaf, PermanentFailure) for leaf in leaves_of(error))
    except BaseException:  # noqa: BLE001 (an exception's class may be any program's own)
        return FailureKind.ERROR
    return FailureKind.REJECTED if is_permanent else FailureKind.ERROR


def description_of(error: BaseException) -> str:
    """Return the history's text of an exception: its type and text, or those of its leaves, and its causes."""
    try:
        return _described(error)
    except BaseException as nested:  # noqa: BLE001 (an exception's class may be any program's own)
        return f"{type(error).__name__}: (it cannot be told: {type(nested).__name__})"


def text_of(error: BaseException) -> str:
    """Return an exception's own text."""
    try:
        return readable(str(error))
    except BaseException as nested:  # noqa: BLE001 (a handler's exception may not even be printable)
        return f"(its text raised {type(nested).__name__})"


def leaves_of(error: BaseException) -> Iterator[BaseException]:
    """Yield the exceptions in a group, through groups within it, in order and each once; else the error itself."""
    waiting, seen = [error], {id(error)}
    for _ in range(MAX_LOOKED_AT):
        if not waiting:
            return
        found = waiting.pop()
        if isinstance(found, BaseExceptionGroup) and not isinstance(found, PermanentFailure):
            inner = {id(each): each for each in found.exceptions if id(each) not in seen}
            seen.update(inner)
            waiting += reversed(inner.values())
        else:
            yield found


def _described(error: BaseException) -> str:
    leaves = list(leaves_of(error))
    if leaves[0] is error:
        return _with_causes(_named(error), error)
    title = _title_of(error)
    if len(leaves) == 1:
        return title + _with_causes(_named(leaves[0]), leaves[0], error)
    # What decides stands first, for the rest may be left out.
    leaves.sort(key=lambda leaf: not isinstance(leaf, PermanentFailure))
    texts = [
        f"({number}) {_with_causes(cut(_named(leaf), MAX_PART), leaf)}"
        for number, leaf in enumerate(leaves[:MAX_ERRORS], start=1)
    ]
    left_out = len(leaves) - len(texts)
    texts += [f"and {left_out} more"] if left_out else []
    return _with_causes(f"{title}{len(leaves)} errors: {'; '.join(texts)}", error)


def _named(error: BaseException) -> str:
    # The text of a PermanentFailure gives the reason: its type adds nothing.
    return text_of(error) if isinstance(error, PermanentFailure) else f"{type(error).__name__}: {text_of(error)}"


def _title_of(error: BaseException) -> str:
    message = getattr(error, "message", "")
    return "" if message in _NO_TITLES else f"{cut(readable(message), MAX_PART)}: "


def _with_causes(text: str, *errors: BaseException) -> str:
    """Add the causes of errors to their text; a text that ends as its cause's does names the cause already."""
    seen = set(map(id, errors))
    for error in errors:
        effect, cause = error, error.__cause__
        while cause is not None and id(cause) not in seen and len(seen) <= MAX_CAUSES:
            seen.add(id(cause))
            if not _names_cause(effect, cause):
                text += f", caused by {_listed(cause)}"
            effect, cause = cause, cause.__cause__
    return text


def _names_cause(effect: BaseException, cause: BaseException) -> bool:
    texts = [text_of(cause)]
    if isinstance(cause, OSError) and isinstance(cause.strerror, str):
        texts.append(readable(cause.strerror))  # its own text puts a number before it, and a path behind
    return any(text and text_of(effect).endswith(text) for text in texts)


def _listed(cause: BaseException) -> str:
    leaves = list(leaves_of(cause))
    texts = [cut(_named(leaf), MAX_PART) for leaf in leaves[:MAX_ERRORS]]
    left_out = len(leaves) - len(texts)
    return "; ".join([*texts, f"and {left_out} more"] if left_out else texts)
