"""How long the fault tests are: short in the suite, long with FAULTS=long (`make soak`)."""

import os

import pytest


@pytest.fixture
def long() -> bool:
    """Whether there is time."""
    return os.environ.get("FAULTS") == "long"
