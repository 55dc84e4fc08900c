"""Programs: recorded, differentiated, improved, planned, run."""
