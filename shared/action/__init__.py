"""What an action declares, how one is found, and the life of one attempt."""
