"""The settings of a server: their sources, their values, their meaning."""
