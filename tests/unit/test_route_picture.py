"""The picture of routes is of the router that there is."""

from local.route_picture import PICTURE, picture


def test_the_picture_is_what_the_script_draws() -> None:
    assert PICTURE.read_text() == picture()
