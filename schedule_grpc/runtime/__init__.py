"""The process and its machine: clocks, event loops, threads, signals, forks, files."""
