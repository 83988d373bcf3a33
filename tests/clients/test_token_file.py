"""The token of a client in a file: whoever rotates a key replaces the file, and no program starts anew."""

import os
from pathlib import Path

import pytest

from schedule_grpc.client.token import TokenFile, metadata_with, no_metadata


def replaced(path: Path, text: str) -> None:
    """Replace a file as a careful program does: by another one, which is moved to its place."""
    beside = path.with_suffix(".new")
    beside.write_text(text)
    beside.replace(path)


def sent(text: str) -> tuple[tuple[str, str], ...]:
    """Return the metadata with a token."""
    return (("authorization", f"Bearer {text}"),)


def test_a_changed_file_is_read_again(tmp_path: Path):
    """With the next call, whether it was replaced or written over."""
    path = tmp_path / "token"
    path.write_text("first\n")
    token = TokenFile(path)
    assert token.metadata() == sent("first")
    replaced(path, "second")
    assert token.metadata() == sent("second")
    path.write_text("third, longer".replace(", ", "-"))
    assert token.metadata() == sent("third-longer")


def test_an_unchanged_file_is_not_read_again(tmp_path: Path):
    """A call costs no reading."""
    path = tmp_path / "token"
    path.write_text("first")
    token = TokenFile(path)
    before = path.stat()
    path.write_text("other")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert token.metadata() == sent("first")


@pytest.mark.parametrize("becomes", [None, "", "two words", "\udcff"])
def test_a_file_that_holds_no_token_for_a_moment_changes_nothing(tmp_path: Path, becomes: str | None):
    """It is being replaced; the next call looks again."""
    path = tmp_path / "token"
    path.write_text("first")
    token = TokenFile(path)
    if becomes is None:
        path.unlink()
    else:
        path.write_bytes(becomes.encode(errors="surrogateescape"))
    assert token.metadata() == sent("first")
    replaced(path, "second")
    assert token.metadata() == sent("second")


def test_what_is_no_token_is_told_at_once(tmp_path: Path):
    """Not by the first call, hours later."""
    with pytest.raises(FileNotFoundError):
        metadata_with(None, tmp_path / "missing")
    (tmp_path / "empty").touch()
    with pytest.raises(ValueError, match="empty holds no token"):
        metadata_with(None, tmp_path / "empty")
    with pytest.raises(ValueError, match="exclude each other"):
        metadata_with("a", tmp_path / "empty")
    assert metadata_with(None, None) is no_metadata
    assert metadata_with("a", None)() == sent("a")
