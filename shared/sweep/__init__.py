"""What the sweeper does each minute, a file for each part. None of it moves an incident by itself."""
