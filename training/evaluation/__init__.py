"""Reports: what a run is worth, and what its parts earn."""
