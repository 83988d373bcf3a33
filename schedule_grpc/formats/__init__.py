"""Tasks and executions as others read and write them: protobuf messages, JSON answers, task files."""
