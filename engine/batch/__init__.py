"""Whole files of posts in, a table of predictions out."""
