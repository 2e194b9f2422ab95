"""Raw dumps to clean, grouped, split posts."""
