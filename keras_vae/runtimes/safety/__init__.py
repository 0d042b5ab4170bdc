"""What a stranger's file may hold, found by reading it before a runtime opens it: one file for each format."""
