"""Tables with declared schemas."""
