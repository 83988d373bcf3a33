"""Numbered steps of the schema; see schedule_grpc.database.migration."""
