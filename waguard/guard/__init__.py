"""waguardd, the guard: life cycle, event loop, state, control methods."""
