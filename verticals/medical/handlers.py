"""The operations of the medical vertical: steps in order, one transaction each, one audit row each. Ignores HTTP."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.pixels import pixel_array
from sqlalchemy.orm import Session, sessionmaker

from verticals.contract import Artifact, Context, Decision, Handler, InvalidInput, Resources
from verticals.medical.ct import handlers as ct_handlers
