"""The log: its set-up, its values, its lines."""
