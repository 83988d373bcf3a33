"""Who may do what: scopes, grants, callers, and permits; nothing here waits or speaks to anybody."""
