"""The handler http-request: a task that sends an HTTP request."""
