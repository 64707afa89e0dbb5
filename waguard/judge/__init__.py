"""Pure: observations and history in, findings out."""
