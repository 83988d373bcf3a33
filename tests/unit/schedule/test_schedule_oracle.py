"""Debian cron's own answers, where they lie beside the repository."""

import json
from datetime import datetime
from pathlib import Path

import pytest

from schedule_grpc.domain.schedule import parse

ORACLE = Path(__file__).resolve().parents[4] / "shared" / "cron_oracle.jsonl"


@pytest.mark.skipif(not ORACLE.exists(), reason=f"{ORACLE} is not there")
def test_schedule_agrees_with_debian_cron():
    """Every case that Debian's cron answered under a simulated clock has the same answer here."""
    disagreed = []
    for line in ORACLE.read_text().splitlines():
        case = json.loads(line)
        schedule = parse(case["expr"], case["tz"])
        found = schedule.upcoming(datetime.fromisoformat(case["after"]), len(case["expect"]))
        if [instant.strftime("%Y-%m-%dT%H:%M:%SZ") for instant in found] != case["expect"]:
            disagreed.append(case)
    assert disagreed == []
