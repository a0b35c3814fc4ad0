"""From a request's bytes to a stored order on the queue."""
