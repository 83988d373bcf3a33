"""Tasks, their schedules and policies, executions and what becomes of them: pure, without waits or databases."""
