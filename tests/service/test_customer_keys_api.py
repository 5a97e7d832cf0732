"""A customer's key opens what is marked for customers, for that customer, and nothing else."""

from __future__ import annotations

import httpx
import pytest

from service.kit import Kit


def as_caller(url: str, key: str) -> httpx.Client:
    return httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, trust_env=False)


@pytest.fixture
def staff(url: str, key: str) -> httpx.Client:
    return as_caller(url, key)


@pytest.fixture
def customer(url: str, staff: httpx.Client) -> httpx.Client:
    return as_caller(url, staff.post("/v1/customer-keys", json={"customer": "C-1"}).json()["key"])


def test_the_handler_learns_the_customer_from_the_key(customer: httpx.Client, staff: httpx.Client) -> None:
    assert customer.get("/v1/parcels/parcels/p1").json()["customer"] == "C-1"
    assert staff.get("/v1/parcels/parcels/p1").json()["customer"] is None


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/parcels/weigh", {"weight_kg": 1}),
        ("/v1/customer-keys", {"customer": "C-2"}),
        ("/v1/chat/completions", {"model": "trivium-core", "messages": [{"role": "user", "content": "hi"}]}),
        ("/v1/embeddings", {"model": "trivium-core", "input": "hi"}),
    ],
)
def test_everything_else_is_closed_to_a_customer(customer: httpx.Client, path: str, body: dict[str, object]) -> None:
    answer = customer.post(path, json=body)

    assert answer.status_code == 403, answer.text


def test_a_customer_key_ends_by_itself(staff: httpx.Client) -> None:
    answer = staff.post("/v1/customer-keys", json={"customer": "C-1", "lifetime_s": 59})

    assert answer.status_code == 422
    assert "lifetime_s" in answer.text


def test_only_a_key_with_the_scope_makes_them(url: str, kit: Kit) -> None:
    answer = as_caller(url, kit.keys.issue(tenant="acme", label="web", scopes=["parcels.*"])).post(
        "/v1/customer-keys", json={"customer": "C-1"}
    )

    assert (answer.status_code, answer.json()["detail"][:8]) == (403, "scope: t")
