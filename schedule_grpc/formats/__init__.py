"""The formats in which callers read and write tasks and executions: protobuf messages, JSON answers, task files."""
