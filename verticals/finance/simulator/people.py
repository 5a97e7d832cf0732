"""Who a simulated customer is on paper: invented names, dates and document numbers. SYNTHETIC; ignores the account.

The state is Utopia (UTO), which ICAO Doc 9303 uses in its specimens, so no document of these is anybody's.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

STATE = "UTO"
GIVEN_NAMES = (
    *("Ada", "Bruno", "Clara", "Daniel", "Elif", "Farid", "Greta", "Hugo", "Ines", "Jonas", "Kavya", "Liam"),
    *("Mara", "Nils", "Olga", "Pavel", "Quentin", "Rosa", "Samir", "Tessa", "Umberto", "Vera", "Wim", "Yara"),
)
FAMILY_NAMES = (
    *("Almond", "Birkland", "Castelo", "Dunmore", "Eriksdal", "Farrow", "Grunwald", "Hollis", "Imhof", "Jansky"),
    *("Kestrel", "Lindqvist", "Marlow", "Novara", "Oakes", "Pellini", "Quist", "Ravensby", "Solano", "Thorne"),
    *("Ulmer", "Verdi", "Westerby", "Yarrow", "Zeller"),
)
CHINESE_FAMILY_NAMES = tuple("王李张刘陈杨赵黄周吴徐孙")
CHINESE_GIVEN_NAMES = ("明", "芳", "伟", "静", "建国", "秀英", "小红", "志强", "丽华", "海燕", "文博", "雨晴")


@dataclass(frozen=True)
class Identity:
    """What an identity document of a simulated customer says."""

    given_name: str
    family_name: str
    chinese_name: str
    birth_date: date
    sex: str  # "F", "M" or "X", as in a machine-readable zone
    document_number: str  # nine characters of A-Z and 0-9
    issued: date
    expires: date
    state: str = STATE
    synthetic: bool = True


def identity(customer: str, *, seed: int, today: date) -> Identity:
    """The identity of a simulated customer: the same for the same id and seed.

    Args:
        customer: An id, as `simulate` gives them.
        today: The customer is 20 to 74 years old then, and the document valid.
    """
    rng = np.random.default_rng([seed, *customer.encode()])
    number = "".join(rng.choice(list("ABCDEFGHJKLMNPRSTUVWXYZ0123456789"), 9))
    issued = today - timedelta(days=int(rng.integers(30, 3000)))
    return Identity(
        given_name=str(rng.choice(GIVEN_NAMES)),
        family_name=str(rng.choice(FAMILY_NAMES)),
        chinese_name=str(rng.choice(CHINESE_FAMILY_NAMES)) + str(rng.choice(CHINESE_GIVEN_NAMES)),
        birth_date=today - timedelta(days=int(rng.integers(20 * 366, 75 * 365))),
        sex=str(rng.choice(["F", "M", "X"], p=[0.49, 0.49, 0.02])),
        document_number=number,
        issued=issued,
        expires=issued + timedelta(days=3652),
    )
