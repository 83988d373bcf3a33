"""The settings of a server: where they are read from, and what they mean."""
