"""From quotes to a route."""
