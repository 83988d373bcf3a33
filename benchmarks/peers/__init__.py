"""The peers of the service: small programs, each a process of its own."""
