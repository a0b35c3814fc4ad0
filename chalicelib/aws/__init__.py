"""The only room that calls AWS: queues and pushes."""
