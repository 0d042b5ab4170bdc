"""Checks of a stranger's files, which are read before a runtime opens them: one module for each format."""
