"""The waits of a worker."""

import pytest

from schedule_grpc.worker.back_off import BackOff, PullWait


def largest(_: float, to: float) -> float:
    """Draw the largest number."""
    return to


def test_pauses_double_up_to_five_seconds():
    """And begin again once a call succeeded."""
    back_off = BackOff(draw=largest)
    assert [back_off.pause() for _ in range(8)] == pytest.approx([0.2, 0.4, 0.8, 1.6, 3.2, 5, 5, 5])
    back_off.reset()
    assert back_off.pause() == pytest.approx(0.2)


def test_pauses_are_drawn_from_zero():
    """Full jitter: a thousand workers do not return together."""
    back_off = BackOff()
    pauses = [back_off.pause() for _ in range(300)]
    assert 0 <= min(pauses) < 0.5
    assert 4 < max(pauses) <= 5
    assert all(0.1 <= back_off.elsewhere() <= 0.3 for _ in range(100))


def test_a_wait_is_halved_after_two_failures_in_a_row():
    """Down to two seconds; one failure between answers changes nothing."""
    wait = PullWait()
    for _ in range(3):
        wait.cut_off()
        wait.answered()
    assert wait.seconds == 20
    for _ in range(20):
        wait.cut_off()
    assert wait.seconds == 2


def test_a_wait_is_restored_after_successes():
    """Each time that the longer one fails, after twice as many."""
    wait = PullWait()
    needed = []
    for _ in range(3):
        wait.cut_off()
        wait.cut_off()
        assert wait.seconds == 10
        needed.append(0)
        while wait.seconds == 10:
            wait.answered()
            needed[-1] += 1
    assert needed == [4, 8, 16]
