"""Effects: the only modules that change anything outside waguard."""
