"""What befalls several servers on one PostgreSQL database, and it: told elsewhere, so that all of it waits together."""

from lease_stories import (
    test_a_disk_that_stands_still,
    test_a_slow_network,
    test_one_handler_blocks_the_event_loop,
    test_suspended_for_as_long_as_is_promised,
)
from replica_database_stories import (
    test_a_table_that_somebody_locks,
    test_connections_are_cut_and_fall_silent,
    test_the_database_crashes_under_load,
    test_the_network_falls_silent_for_long,
)
from replica_stories import (
    test_a_zombie,
    test_alerts_of_several_servers,
    test_asked_to_stop_with_running_work,
    test_killed_and_started_at_random,
    test_killed_with_running_work,
    test_wrong_clocks,
)
from replica_upgrade_stories import (
    test_a_newer_version_beside_this_one,
    test_killed_while_migrating,
    test_started_at_the_same_instant,
)

__all__ = [
    "test_a_disk_that_stands_still",
    "test_a_newer_version_beside_this_one",
    "test_a_slow_network",
    "test_a_table_that_somebody_locks",
    "test_a_zombie",
    "test_alerts_of_several_servers",
    "test_asked_to_stop_with_running_work",
    "test_connections_are_cut_and_fall_silent",
    "test_killed_and_started_at_random",
    "test_killed_while_migrating",
    "test_killed_with_running_work",
    "test_one_handler_blocks_the_event_loop",
    "test_started_at_the_same_instant",
    "test_suspended_for_as_long_as_is_promised",
    "test_the_database_crashes_under_load",
    "test_the_network_falls_silent_for_long",
    "test_wrong_clocks",
]
