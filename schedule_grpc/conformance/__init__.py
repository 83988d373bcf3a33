"""The conformance kit: proves that a worker, in whatever language, keeps the rules of the workers' protocol.

A stage is a worker process under test, a middleman that sees and can falsify each of its calls, and a wire that can be
cut; behind them is a real server in a process of its own::

    worker process ── TcpProxy ── Middleman ── schedule-grpc serve (SQLite)
          │ journal                   │ tape
          └────────────► checks ◄─────┘

`docs/worker-conformance.md` is the guide for authors of workers.
"""
