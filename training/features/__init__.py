"""Features of every post, kept by fingerprint."""
