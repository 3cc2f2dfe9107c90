import re
from pathlib import Path

import stream.web.static
from stream.heat import HEAT


def test_the_legend_of_a_small_screen_has_the_colours_of_the_heat_map() -> None:
    css = (Path(stream.web.static.__file__).parent / "live.css").read_text(encoding="utf-8")
    legend = re.search(r"\.rcd-heat i .*linear-gradient\(90deg, ([^)]*)\)", css)
    assert legend is not None
    assert legend[1].split(", ") == [f"#{red:02x}{green:02x}{blue:02x}" for red, green, blue in HEAT]
