"""Fitting members, blends and bundles."""
