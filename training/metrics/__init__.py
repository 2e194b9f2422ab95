"""Metrics, their intervals, and the tables they read."""
