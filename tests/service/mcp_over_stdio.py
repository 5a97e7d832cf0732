"""A process as `trivium mcp` starts one, over a kit without models. Arguments: the kit's folder, and a key."""

import sys
from pathlib import Path

from service.cli_mcp import serve_mcp
from tests.fake_kit import make_kit
from tests.service.fake_support import FakeSupport

if __name__ == "__main__":
    home, key = sys.argv[1:]
    serve_mcp(make_kit(Path(home), {"support": FakeSupport().vertical()}, settings={"mcp_key": key}))
