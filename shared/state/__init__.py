"""The safety core: six atomic transitions in Redis and what is read beside them. Nothing else moves an incident."""
