"""Drafts that have no answer yet: compared with one another, and changed to see what the model makes of it."""
