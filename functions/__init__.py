"""The ten deployable functions, one folder each, and the actions. They never import each other."""
