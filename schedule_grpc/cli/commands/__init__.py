"""The commands, each in the module of its name: ``tasks apply`` is `commands/tasks/apply.py`."""
