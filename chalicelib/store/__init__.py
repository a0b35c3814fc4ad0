"""The only room that knows psycopg: each statement of sql/, and what it is for."""
