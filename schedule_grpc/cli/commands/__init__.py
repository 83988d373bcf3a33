"""The commands, each in the module of its name: ``tasks apply`` is in `commands/tasks/apply.py`."""
