"""What a process needs of its machine: clocks, event loops, threads, signals, forks, files."""
