"""Templates to HTML: every value is escaped, and a name that a template misspells is an error.

No template marks a value as safe. What looks like markup in a task's texts is shown as text.
"""

from collections.abc import Callable
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from schedule_grpc.formats.json_answers import time_json
from schedule_grpc.text.instants import time_shown

FOLDER = Path(__file__).parent / "templates"


def version_of(value: object) -> str:
    """Return a short hash of a view model: the browser replaces a row only if this differs.

    The hash is of the ``repr``, so it is the same on every server, and models must hold no sets.
    """
    return blake2b(repr(value).encode("utf-8", "replace"), digest_size=6).hexdigest()


def grouped(number: int) -> str:
    """Return a number with commas between thousands."""
    return f"{number:,}"


class Dense(FileSystemLoader):
    """Loads templates without the indentation of their lines, which would be a tenth of every page.

    What a page shows is not concerned: values are put in later.
    """

    def get_source(self, environment: Environment, template: str) -> tuple[str, str, Callable[[], bool]]:
        """Return a template's text, its file, and a function that tells whether that is still the same."""
        source, file, is_same = super().get_source(environment, template)
        return "\n".join(line.lstrip() for line in source.splitlines()), file, is_same


@cache
def environment() -> Environment:
    """Return the one environment of all templates."""
    made = Environment(
        loader=Dense(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.filters |= {"v": version_of, "iso": time_json, "plain": time_shown, "grouped": grouped}
    made.globals["parts"] = made.get_template("parts.html").module
    return made


def render(template: str, **values: Any) -> bytes:
    """Return a template's HTML. Lone surrogates of a text cannot be sent, and become ``?``."""
    return environment().get_template(template).render(**values).encode("utf-8", "replace")
