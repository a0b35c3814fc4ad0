"""Event in, reply out: REST, sockets, queues and the schedule."""
