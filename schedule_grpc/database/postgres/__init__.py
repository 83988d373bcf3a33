"""PostgreSQL: one database for many servers."""
