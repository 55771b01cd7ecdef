"""Plain frozen data that events, state and functions hand to each other. No input or output, no imports of ours."""
