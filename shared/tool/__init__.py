"""Programs of our own that run in Jobs beside the data, with the standard library alone and no way to the cluster."""
