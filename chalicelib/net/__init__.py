"""The only room that knows HTTP: requests over kept connections, and the replies to them."""
