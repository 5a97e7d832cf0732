"""Made-up objects that wait for a person's look, and refusals, in memory."""

from __future__ import annotations

import io
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from verticals.contract import Artifact, Conflict, Handler, InvalidInput
from verticals.medical import intake_schemas as i
from verticals.medical.schemas import TextPlace

NOW = datetime(2026, 11, 20, 9, tzinfo=UTC)
REFUSALS = [
    i.Refusal(
        refusal_id="rf_2",
        source="c-store",
        reason="PatientID (0010,0020): must be the patient of the study's other objects (PS3.3 A.1.2.2) (got 'st_1').",
        received_at=NOW,
    ),
    i.Refusal(refusal_id="rf_1", source="upload", reason="file: must be a DICOM Part 10 file.", received_at=NOW),
]


def _held(number: int, **values: Any) -> i.HeldObject:
    first: Any = {
        "held_id": f"hd_{number}", "modality": "CR", "origin": "synthetic", "frames": 1, "state": "held",
        "reason": "PixelData (7fe0,0010): text was found in the pixels: it may identify the patient (PS3.3 C.7.6.1)",
        "places": [TextPlace(left=10, top=12, right=150, bottom=40)], "received_at": NOW,
        "decided_by": None, "decided_at": None,
    }  # fmt: skip
    return i.HeldObject.model_validate(first | values)


def png() -> bytes:
    image = Image.fromarray(np.full((256, 256), 60, np.uint8))
    ImageDraw.Draw(image).text((12, 16), "MUSTERMANN, ERIKA", fill=255)
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


class Held:
    """What waits. `asked` keeps the requests that change or show something."""

    def __init__(self, *, filled: bool) -> None:
        decided = {"state": "discarded", "decided_by": "Dr. B", "decided_at": NOW, "discarded_because": "wrong study"}
        self.objects = [_held(1), _held(2, **decided)] if filled else []
        self.refusals = REFUSALS if filled else []
        self.asked: list[Any] = []

    def list_held(self, request: i.PageRequest) -> i.HeldResponse:
        return i.HeldResponse(objects=self.objects[request.offset :], total=len(self.objects))

    def list_refusals(self, request: i.PageRequest) -> i.RefusalsResponse:
        return i.RefusalsResponse(refusals=self.refusals[request.offset :], total=len(self.refusals))

    def show(self, request: i.HeldImageRequest) -> Artifact:
        self.asked.append(request)
        return Artifact(png(), "image/png", "held.png")

    def release(self, request: i.ReleaseRequest) -> i.ObjectOutcome:
        if not request.attest:
            raise InvalidInput("must be true: you have looked at every frame", field="attest", value=False)
        self._decide(request, state="masked" if request.masks else "released")
        return i.ObjectOutcome(number=1, status="stored", id="i-3", study_id="s-3")

    def discard(self, request: i.DiscardRequest) -> i.HeldObject:
        return self._decide(request, state="discarded", discarded_because=request.reason)

    def _decide(self, request: Any, **values: Any) -> i.HeldObject:
        self.asked.append(request)
        place = next(n for n, one in enumerate(self.objects) if one.held_id == request.held_id)
        if self.objects[place].state != "held":
            raise Conflict("somebody has decided already", field="held_id", value=request.held_id)
        changed = self.objects[place].model_copy(update={**values, "decided_by": request.name, "decided_at": NOW})
        self.objects[place] = changed
        return changed


def handlers(store: Held) -> Mapping[str, Handler]:
    """Handlers over the store."""
    functions = {
        "list_held": store.list_held, "list_refusals": store.list_refusals, "show_held": store.show,
        "release_held": store.release, "discard_held": store.discard,
    }  # fmt: skip
    return {name: lambda request, _context, act=act: act(request) for name, act in functions.items()}
