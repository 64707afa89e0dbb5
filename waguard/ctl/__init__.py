"""waguardctl: one verb a file; talks to the sockets, needs none of the guard's Python objects."""
