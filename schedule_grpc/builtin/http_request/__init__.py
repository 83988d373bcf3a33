"""The handler http-request: a request to some service as a task."""
