"""Texts of others: made Unicode, freed of secrets, safe for terminals."""
