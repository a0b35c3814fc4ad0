"""What prices and limits make of the measured figures."""
