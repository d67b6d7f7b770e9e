"""Verbs, one a file: what an agent or a person can ask for."""
