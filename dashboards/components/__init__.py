"""Our own elements for the page: scripts and style sheets as files beside this one. Ignores what they are used for."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import streamlit as st

_HERE = Path(__file__).parent


@cache
def component(name: str) -> Any:
    """The element of `<name>.js` and `<name>.css`: call it with `data` and a key.

    Nothing is loaded from elsewhere, and `data` travels as JSON: the script sets its texts as text, never as markup.
    """
    script, style = ((_HERE / f"{name}.{kind}").read_text(encoding="utf-8") for kind in ("js", "css"))
    return st.components.v2.component(f"trivium_{name}", html=f'<div class="{name}"></div>', css=style, js=script)
