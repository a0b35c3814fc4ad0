"""The operator's command: which orders need somebody, what one of them waits for, and setting it going again."""
