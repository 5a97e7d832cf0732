"""The knowledge base: try a query, upload, list and remove articles. Ignores how passages are found."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st

from dashboards import parts
from dashboards.i18n import Labels
from dashboards.views.support_parts import escaped, under
from service.client import TriviumClient, UploadedFile
from verticals.support.schemas import (
    DeleteDocumentRequest,
    DocumentInput,
    IngestRequest,
    IngestResponse,
    ListDocumentsRequest,
    SearchRequest,
    Source,
    UploadRequest,
)

_TYPES = ("md", "txt", "html", "pdf", "docx", "csv", "json", "jsonl")
_SMALL = frozenset(
    {"and", "are", "but", "can", "did", "does", "for", "from", "has", "have", "how", "its", "the", "this", "was"}
    | {"what", "when", "where", "who", "why", "you"}
)


def render(client: TriviumClient, labels: Labels) -> None:
    """Draw search, list and forms."""
    _search(client, labels)
    _documents(client, labels)


def query_words(query: str) -> list[str]:
    """The words of a query worth looking for: three letters or more and no small words; pairs of Chinese characters."""
    words = [word for word in re.findall(r"[a-z0-9]{3,}", query.lower()) if word not in _SMALL]
    for run in re.findall(r"[\u4e00-\u9fff]{2,}", query):
        words += [run[idx : idx + 2] for idx in range(len(run) - 1)]
    return list(dict.fromkeys(words))


def highlighted(text: str, words: Sequence[str]) -> str:
    """`text` as safe Markdown with the words marked, a plural like its singular."""
    stems = [re.escape(word.removesuffix("s") if word.isascii() else word) for word in words]
    if not stems:
        return escaped(text)
    pattern = "|".join(rf"\b{stem}(?:s|es)?\b" if stem.isascii() else stem for stem in stems)
    return re.sub(pattern, lambda found: f":orange-background[{found[0]}]", escaped(text), flags=re.IGNORECASE)


def _search(client: TriviumClient, labels: Labels) -> None:
    left, right = st.columns([4, 1], vertical_alignment="bottom")
    query = left.text_input(labels("support.query"), placeholder=labels("support.query_example"), max_chars=2000)
    k = right.number_input(labels("support.k"), min_value=1, max_value=20, value=5)
    if not query:
        return
    found = parts.ask(labels, lambda: client.call("support", "search", SearchRequest(query=query, k=int(k))))
    if found is None:
        return
    if not found.hits:
        parts.empty(labels("support.no_hits"), labels("support.no_hits_hint"))
    for hit in found.hits:
        _hit(labels, hit, query_words(query))


def _hit(labels: Labels, hit: Source, words: Sequence[str]) -> None:
    """A passage and why it ranked: its scores and the words of the query that it holds."""
    matched = [word for word in words if highlighted(f"{hit.heading} {hit.text}", [word]).count(":orange-background[")]
    with st.container(border=True, gap="xsmall"):
        st.markdown(f":primary-badge[{hit.number}] **{escaped(hit.title)}**{under(hit)}")
        names = ", ".join(matched) or "–"
        st.caption(
            f"{labels('support.score')} {hit.score:.4f} · {labels('support.similarity')} {hit.similarity:.2f} · "
            f"{labels('support.words', names=parts.plain(names), count=len(matched), total=len(words))}"
        )
        st.markdown(highlighted(hit.text, words))


def _documents(client: TriviumClient, labels: Labels) -> None:
    page = parts.ask(labels, lambda: client.call("support", "list_documents", ListDocumentsRequest(limit=500)))
    if page is None:
        return
    st.subheader(labels("support.documents", total=page.total), anchor=False)
    if page.documents:
        rows = [
            {
                labels("document.title"): document.title,
                labels("document.id"): document.doc_id,
                labels("document.passages"): document.passages,
            }
            for document in page.documents
        ]
        st.dataframe(pd.DataFrame(rows), hide_index=True, height="content" if len(rows) <= 8 else 299)
        if client.may("support.delete_document"):
            _remove(client, labels, [document.doc_id for document in page.documents])
    else:
        parts.empty(labels("support.no_documents"), labels("support.no_documents_hint"))
    if not client.may("support.ingest"):
        return
    with st.expander(labels("support.upload")), st.form("support.upload", border=False, clear_on_submit=True):
        file = st.file_uploader(labels("support.file"), type=_TYPES)
        if st.form_submit_button(labels("support.upload_send"), type="primary") and file is not None:
            sent = UploadedFile(filename=file.name, content=file.getvalue())
            _added(client, labels, "upload", UploadRequest(file=sent))
    with st.expander(labels("support.add")), st.form("support.ingest", border=False, clear_on_submit=True):
        doc_id = st.text_input(labels("document.id"), max_chars=128, help=labels("document.id_help"))
        title = st.text_input(labels("document.title"), max_chars=300)
        text = st.text_area(labels("document.text"), height=160)
        if st.form_submit_button(labels("support.add_send"), type="primary"):
            document: dict[str, Any] = {"doc_id": doc_id.strip(), "title": title.strip(), "text": text.strip()}
            # Sent as typed, so that the API names the field and the rule that a bad value breaks.
            request = IngestRequest.model_construct(documents=[DocumentInput.model_construct(None, **document)])
            _added(client, labels, "ingest", request)


def _remove(client: TriviumClient, labels: Labels, ids: Sequence[str]) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        doc_id = st.selectbox(
            labels("document.remove"), ids, index=None, placeholder=labels("document.choose"), key="support.remove"
        )
        with st.popover(labels("document.remove_send"), disabled=doc_id is None):
            st.markdown(labels("document.sure"))
            if st.button(labels("document.yes"), type="primary") and doc_id is not None:
                request = DeleteDocumentRequest(doc_id=doc_id)
                if parts.ask(labels, lambda: client.call("support", "delete_document", request)) is not None:
                    st.rerun()


def _added(client: TriviumClient, labels: Labels, operation: str, request: Any) -> None:
    done: IngestResponse | None = parts.ask(
        labels, lambda: client.call("support", operation, request), waiting=labels("support.adding")
    )
    if done is None:
        return
    for left_out in done.skipped:
        st.warning(parts.plain(f"{left_out.doc_id}: {left_out.reason}"))
    for double in done.duplicates:
        st.warning(labels("support.duplicate", doc_id=parts.plain(double.doc_id), kept=parts.plain(double.kept)))
    counts = {name: getattr(done, name) for name in ("added", "replaced", "unchanged")}
    st.success(labels("support.added", **counts), icon=":material/check:")
