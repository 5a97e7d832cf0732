"""The document check over HTTP: a multipart form in, fields and findings out, an entry in the audit trail."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import httpx

from service.kit import Kit
from tests.fake_kit import make_kit
from tests.verticals.finance.documents.fakes import TODAY, FakeOcr, lines_of
from tests.verticals.finance.documents.test_images import file_of, picture
from verticals.contract import Context, Decision, Handler, Resources
from verticals.finance import VERTICAL
from verticals.finance.documents.handlers import DocumentDesk
from verticals.finance.documents.holders import invent
from verticals.finance.documents.operations import DOCUMENT_OPERATIONS

FACTS = invent("passport", seed=3, today=TODAY)


def keep_nothing(context: Context, customer: str, features: object, decision: Decision) -> str:
    raise AssertionError("nobody named a customer")


def _build(resources: Resources) -> Mapping[str, Handler]:
    ocr = FakeOcr(lines_of(FACTS))
    return {"documents": DocumentDesk(keep_nothing, open_reader=lambda: ocr, today=lambda: TODAY).read}


def _post(kit: Kit, url: str, content: bytes, form: Mapping[str, str]) -> httpx.Response:
    headers = {"Authorization": f"Bearer {kit.keys.issue(tenant='bank', label='test')}"}
    files = {"file": ("card.png", content, "image/png")}
    return httpx.post(f"{url}/v1/finance/documents", data=form, files=files, headers=headers, trust_env=False)


def test_a_form_with_an_image_is_answered_and_audited(tmp_path: Path, serve: Callable[[Kit], str]) -> None:
    kit = make_kit(tmp_path, {"finance": replace(VERTICAL, operations=DOCUMENT_OPERATIONS, build=_build)})
    form = {"application_id": "app-7", "name": "Zoe Unknown", "birth_date": str(FACTS.birth_date)}

    found = _post(kit, serve(kit), file_of(picture()), form).json()

    assert {field["name"]: field["value"] for field in found["fields"]}["number"] == FACTS.number
    assert ("D03", "name") in [(finding["code"], finding["field"]) for finding in found["findings"]]
    [entry] = list(kit.audit.of_kind("bank", "finance.document"))
    assert (entry["subject"], entry["input_sha256"]) == ("app-7", found["input_sha256"])


def test_a_bad_form_is_refused_with_field_and_rule(tmp_path: Path, serve: Callable[[Kit], str]) -> None:
    kit = make_kit(tmp_path, {"finance": replace(VERTICAL, operations=DOCUMENT_OPERATIONS, build=_build)})
    url = serve(kit)

    no_image = _post(kit, url, b"no image", {})
    no_date = _post(kit, url, file_of(picture()), {"birth_date": "yesterday"})
    future = _post(kit, url, file_of(picture()), {"birth_date": "2999-01-01"})

    assert [each.status_code for each in (no_image, no_date, future)] == [422, 422, 422]
    assert "is no image" in no_image.text
    assert "birth_date" in no_date.text
    assert "must not lie in the future" in future.text
