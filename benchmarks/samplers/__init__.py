"""What looks on while something is measured: time by part, memory, blocks."""
