"""Round trips through a real PACS (Orthanc): what is sent comes back, byte for byte, in every transfer syntax."""

from __future__ import annotations

import pytest

from tests.verticals.medical.orthanc import Orthanc
from verticals.medical.probes import pydicom_file

pytestmark = pytest.mark.slow


def test_a_file_that_is_put_in_comes_back_as_it_was(orthanc: Orthanc, ct: bytes) -> None:
    assert orthanc.instances() == []

    stored = orthanc.upload(ct)

    assert orthanc.file(stored) == ct
    assert orthanc.upload(pydicom_file("MR_small.dcm")) != stored
