"""Who may do what, and where: scopes, grants, callers and permits, and namespaces, which own tasks. Pure."""
