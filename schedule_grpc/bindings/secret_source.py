"""A secret that stands elsewhere than in the configuration: in a variable of the environment, or in a file."""

import os
from pathlib import Path

from schedule_grpc.bindings.setting import Setting
from schedule_grpc.errors import BindingError


class SecretSource:
    """Reads a secret anew whenever it is asked, so that one that was changed is used at once."""

    def __init__(self, setting: Setting, option: str) -> None:
        """Take the options ``{option}_env`` and ``{option}_file``.

        Raises:
            ConfigurationError: if both are set, or are no texts.
        """
        self._setting = setting
        self._variable = setting.text(f"{option}_env")
        self._file = setting.text(f"{option}_file")
        self._option = option
        if self._variable and self._file:
            raise setting.refused(f"{option}_env and {option}_file are both set")

    def read(self) -> str | None:
        """Return the secret; None if neither option is set.

        Raises:
            BindingError: if it is not there, or is none: empty, of several lines, not ASCII.
        """
        if self._variable:
            place = f"the environment variable {self._variable} ({self._option}_env)"
            secret = os.environ.get(self._variable)
        elif self._file:
            place = f"the file {self._file} ({self._option}_file)"
            secret = self._text_of(Path(self._file), place)
        else:
            return None
        if not secret or not secret.strip():
            raise BindingError(self._setting.name, f"{place} is not set" if secret is None else f"{place} is empty")
        secret = secret.strip()
        self._setting.secrets.add(secret)
        if not secret.isascii() or not secret.isprintable():
            raise BindingError(self._setting.name, f"{place} holds something else than one line of ASCII")
        return secret

    def _text_of(self, path: Path, place: str) -> str:
        try:
            return path.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not text"
            raise BindingError(self._setting.name, f"{place} cannot be read: {reason}") from None
