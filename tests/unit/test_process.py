"""How tests start processes."""

import subprocess
import sys
from pathlib import Path

from support.patience import AT_MOST

TESTS = Path(__file__).parents[1]
CHILD = """
import signal
print([signal.getsignal(each) is signal.SIG_IGN for each in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM)])
print(signal.pthread_sigmask(signal.SIG_BLOCK, ()))
"""
PARENT = f"""
import os, signal, subprocess, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGHUP, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
sys.path.insert(0, {str(TESTS)!r})
from support.servers import process
process.let_children_hear()
os.kill(os.getpid(), signal.SIGINT)
subprocess.run([sys.executable, "-c", {CHILD!r}], check=True)
"""


def test_a_suite_in_the_background_lets_its_children_be_interrupted():
    """`make test &` in a script ignores SIGINT: so does the suite itself, but not the servers that it starts."""
    done = subprocess.run([sys.executable, "-c", PARENT], capture_output=True, text=True, timeout=AT_MOST, check=False)
    assert (done.returncode, done.stdout) == (0, "[False, False, False]\nset()\n")
