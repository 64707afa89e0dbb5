"""Pure state machines with the clock handed in: restart policy, verbose lease."""
