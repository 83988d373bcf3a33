"""Traces and metrics for OpenTelemetry, sent by OTLP: the only package that knows it, and loaded only where it is on.

`executions` makes the spans of executions and attempts of what the store has committed, whichever process ran them;
`tracer` those of calls, handlers, and what handlers call; `metrics` shows the instruments of /metrics to OTLP;
`exporters` sends, beside all that; `opening` puts them together for a server or a worker.
"""
