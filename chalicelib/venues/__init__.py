"""Markets: who quotes, and where transactions land."""
