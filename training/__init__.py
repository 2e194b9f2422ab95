"""From raw data to bundle and report: `python -m training`. Imports engine, never an app."""
