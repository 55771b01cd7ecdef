"""Events: their types, their wire form, their signature, and the one adapter between HTTP and a typed function."""
