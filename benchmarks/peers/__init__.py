"""What the service is compared with: small programs, each a process of its own."""
