"""What the service costs, each measure beside a peer or a limit in the same run: `python -m benchmarks --help`.

One file of `measures` per measure; its docstring says what is measured, in which unit, what the peer does, and why the
comparison is fair. `peers` are the programs compared with; each runs in a process of its own.
"""
