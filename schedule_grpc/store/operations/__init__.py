"""What the store does, as generators of statements: one module for each kind of thing that is stored."""
