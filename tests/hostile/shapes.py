"""Shapes that hostile JSON takes, in bodies and frames alike."""


def nested(opening: str, closing: str, depth: int) -> str:
    """Arrays or objects within each other."""
    return opening * depth + "1" + closing * depth
