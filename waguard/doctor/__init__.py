"""The doctor: looks at everything once, judges it, and says so. A short-lived process of its own."""
